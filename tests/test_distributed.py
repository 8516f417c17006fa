"""Training over several processes follows the course of one; what is lost, hangs or differs is named."""

import os
import re
import shutil
import signal
import time
from dataclasses import replace

import pytest
import torch

import tiny
from get3d import training
from get3d.distributed.processes import RanksConfig
from get3d.files import InputError
from get3d.storage import load_tensors
from get3d.training.checkpoint import checkpoints_in
from get3d.training.config import prepare_run
from get3d.training.loop import train
from ranks import Ranks, assert_same_course, statistics, three_steps_one_not_finite

pytestmark = pytest.mark.slow

STEPS = 6


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return tiny.write_dataset(tmp_path_factory.mktemp("data") / "discs")


@pytest.fixture(scope="module")
def course(data, tmp_path_factory):
    """Undisturbed runs by their number of processes, made when asked for."""
    folder, made = tmp_path_factory.mktemp("runs"), {}

    def run(world):
        if world not in made:
            made[world] = folder / str(world)
            ranks = Ranks([_config(data, made[world])] * world)
            said = ranks.end()
            assert [process.exitcode for process in ranks.processes] == [0] * world, said
            assert all(text == "" for text in said[1:])
        return made[world]

    return run


def _config(data, out, **changes):
    config = tiny.run_config(data, out, batch=8, kimg=0.008 * STEPS, snapshot_kimg=0.016)
    return replace(config, **changes)


def _until_it_learns(ranks, out):
    """Waits for the first line of statistics."""
    while not (out / "stats.jsonl").exists() or not statistics(out):
        assert all(process.is_alive() for process in ranks.processes)
        time.sleep(0.01)


@pytest.mark.parametrize("world", [2, 4])
def test_many_processes_follow_the_course_of_one(course, world):
    assert_same_course(course(world), course(1), 1e-5)


def test_twenty_steps_are_those_of_one_process(data, tmp_path):
    """To 1e-4, slowly: at the usual rate rounding grows tenfold every other step in networks so small."""
    base = _config(data, tmp_path, kimg=0.160, snapshot_kimg=0.160)
    base = replace(base, optimizer=replace(base.optimizer, learning_rate=0.0002))
    losses, weights = {}, {}
    for world in (1, 2, 4):
        out = tmp_path / str(world)
        said = Ranks([replace(base, out=out)] * world).end()
        assert not any("Error" in text for text in said), said
        losses[world] = [line[name] for line in statistics(out) for name in sorted(line) if name.startswith("loss/")]
        tensors = load_tensors(checkpoints_in(out / "checkpoints")[0]).tensors
        weights[world] = {
            network: torch.cat([value.flatten() for name, value in sorted(tensors.items()) if name.startswith(network)])
            for network in ("generator.", "generator_ema.", "discriminator.")
        }
    assert len(losses[1]) >= 2 * 20
    for world in (2, 4):
        assert losses[world] == pytest.approx(losses[1], rel=1e-4)
        for network, expected in weights[1].items():
            assert (weights[world][network] - expected).norm() <= 1e-4 * expected.norm()


def test_a_run_goes_on_in_another_number_of_processes(data, course, tmp_path):
    for world, kimg in ((2, 0.016), (4, 0.032), (1, 0.048)):
        ranks = Ranks([_config(data, tmp_path, kimg=kimg)] * world)
        said = ranks.end()
        assert [process.exitcode for process in ranks.processes] == [0] * world, said
        assert ("resumes" if kimg > 0.016 else "starts") in said[0]
    assert_same_course(tmp_path, course(1), 1e-5)


def test_a_gradient_that_is_not_finite_on_one_rank_is_skipped_on_all(data, tmp_path):
    """Rank 1 is shown cameras that are not finite, in the second of three steps."""
    said = Ranks([_config(data, tmp_path)] * 2, work=three_steps_one_not_finite).end()
    assert said[0] == said[1]
    assert said[0].split()[:2] == ["[0,1,0]", "2"]


def test_each_process_has_whole_groups(data, tmp_path):
    with pytest.raises(InputError, match=r"--batch is 8; .* --discriminator.group, 2, for each of 8 processes: 16"):
        prepare_run(_config(data, tmp_path), world=8)


def _train_with_other_versions(config, console):
    """Each process believes to have versions of its own."""
    training.config.version = lambda name: f"rank {os.environ['RANK']}'s"
    train(config, console)


def test_what_processes_must_have_in_common_is_compared_before_they_start(data, tmp_path):
    other = tiny.write_dataset(tmp_path / "other")
    first, *_, last = sorted(other.rglob("*.png"))
    shutil.copyfile(last, first)
    mine = _config(data, tmp_path / "out")
    for theirs, work, message in (
        (
            replace(mine, seed=1),
            train,
            r"rank 1 \(.*process \d+\) has --seed 1, rank 0 \(.*\) has 0; use the same in all",
        ),
        (replace(mine, data=other), train, r"rank 1 \(.*\) has a dataset of images 16, fingerprint .*, rank 0"),
        (replace(mine, data=tmp_path / "nowhere"), train, r"rank 1 \(.*\): .*nowhere"),
        (mine, _train_with_other_versions, r"rank 1 \(.*\) has version of get3d rank 1's, rank 0 \(.*\) has rank 0's"),
    ):
        first, second = Ranks([mine, theirs], work=work).end()
        assert re.search("InputError: " + message, first)
        assert not second
        assert not (tmp_path / "out" / "stats.jsonl").exists()


def test_a_signal_to_one_process_stops_all_after_the_step(data, course, tmp_path):
    ranks = Ranks([_config(data, tmp_path)] * 2)
    _until_it_learns(ranks, tmp_path)
    os.kill(ranks.processes[1].pid, signal.SIGTERM)
    said = ranks.end()
    assert [process.exitcode for process in ranks.processes] == [0, 0]
    assert "repeat the command to resume" in said[0]
    assert not said[1]
    assert Ranks([_config(data, tmp_path)] * 2).end()
    assert_same_course(tmp_path, course(2), 1e-6)


def test_a_process_that_hangs_is_named_and_the_others_end(data, tmp_path):
    waiting = RanksConfig(timeout=0.3)
    ranks = Ranks([_config(data, tmp_path, kimg=8.0, ranks=waiting)] * 4)
    _until_it_learns(ranks, tmp_path)
    os.kill(ranks.processes[2].pid, signal.SIGSTOP)
    try:
        said = [ranks.wait(rank) for rank in (0, 1, 3)]
        # Where it hangs between meeting the others and what follows, they hear that it does not answer.
        how = r"(did not respond within 0.3 minutes \(--timeout\)|does not answer): it hangs or is lost"
        assert re.search(rf"RanksError: rank 2 \(\S+ process \d+\) {how}", said[0])
        assert all("RanksError: " in text for text in said)
        assert ranks.processes[2].is_alive()
    finally:
        ranks.processes[2].kill()
