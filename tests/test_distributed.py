"""Training over several processes follows the course of one; what is lost, hangs or differs is named."""

import json
import os
import pickle
import re
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import replace

import psutil
import pytest
import torch

import tiny
from get3d.files import InputError
from get3d.ranks import RanksConfig
from get3d.storage import load_tensors
from get3d.training.checkpoint import checkpoints_in
from get3d.training.config import opened
from ranks import Ranks, three_steps_one_not_finite

STEPS = 6
SMALL = (
    *("--resolution=16", "--batch=8", "--log-kimg=0.008", "--metric-pictures=4", "--device=cpu"),
    *("--generator.z-dim=8", "--generator.w-dim=16", "--generator.mapping-layers=1", "--generator.grid-resolution=8"),
    *("--discriminator.channel-base=128", "--discriminator.channel-max=8", "--discriminator.condition=8"),
)


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


def _lines(out):
    return [json.loads(line) for line in (out / "stats.jsonl").read_text().splitlines()]


def _assert_same_course(mine, theirs, tolerance):
    for one, other in zip(_lines(mine), _lines(theirs), strict=True):
        assert one.keys() == other.keys()
        for name in one.keys() - {"images_per_second"}:
            assert one[name] == pytest.approx(other[name], rel=tolerance, abs=tolerance), (one["shown"], name)
    one, other = (load_tensors(checkpoints_in(out / "checkpoints")[0]).tensors for out in (mine, theirs))
    assert one.keys() == other.keys()
    for name, tensor in one.items():
        if name.startswith(("generator.", "generator_ema.", "discriminator.")):
            torch.testing.assert_close(tensor, other[name], rtol=tolerance, atol=tolerance, msg=name)


def _until_it_learns(ranks, out):
    """Waits for the first line of statistics."""
    while not (out / "stats.jsonl").exists() or not _lines(out):
        assert all(process.is_alive() for process in ranks.processes)
        time.sleep(0.01)


@pytest.mark.parametrize("world", [2, 4])
def test_many_processes_follow_the_course_of_one(course, world):
    _assert_same_course(course(world), course(1), 1e-5)


def test_a_run_goes_on_in_another_number_of_processes(data, course, tmp_path):
    for world, kimg in ((2, 0.016), (4, 0.032), (1, 0.048)):
        ranks = Ranks([_config(data, tmp_path, kimg=kimg)] * world)
        said = ranks.end()
        assert [process.exitcode for process in ranks.processes] == [0] * world, said
        assert ("goes on" if kimg > 0.016 else "starts") in said[0]
    _assert_same_course(tmp_path, course(1), 1e-5)


def test_a_gradient_that_is_not_finite_on_one_rank_is_skipped_on_all(data, tmp_path):
    """Rank 1 is shown cameras that are not finite, in the second of three steps."""
    said = Ranks([_config(data, tmp_path)] * 2, work=three_steps_one_not_finite).end()
    assert said[0] == said[1]
    assert said[0].split()[:2] == ["[0,1,0]", "2"]


def test_each_process_has_whole_groups(data, tmp_path):
    with pytest.raises(InputError, match=r"--batch is 8; .* --discriminator.group, 2, for each of 8 processes: 16"):
        opened(_config(data, tmp_path), world=8)


def test_what_processes_must_have_in_common_is_compared_before_they_start(data, tmp_path):
    other = tiny.write_dataset(tmp_path / "other")
    first, *_, last = sorted(other.rglob("*.png"))
    shutil.copyfile(last, first)
    mine = _config(data, tmp_path / "out")
    for theirs, message in (
        (replace(mine, seed=1), r"rank 1 \(.*process \d+\) has --seed 1, rank 0 \(.*\) has 0; give all"),
        (replace(mine, data=other), r"rank 1 \(.*\) has a dataset of pictures 16, fingerprint .*, rank 0"),
        (replace(mine, data=tmp_path / "nowhere"), r"rank 1 \(.*\): .*nowhere"),
    ):
        first, second = Ranks([mine, theirs]).end()
        assert re.search("InputError: " + message, first)
        assert not second
        assert not (tmp_path / "out" / "stats.jsonl").exists()


def test_a_signal_to_one_process_stops_all_after_the_step(data, course, tmp_path):
    ranks = Ranks([_config(data, tmp_path)] * 2)
    _until_it_learns(ranks, tmp_path)
    os.kill(ranks.processes[1].pid, signal.SIGTERM)
    said = ranks.end()
    assert [process.exitcode for process in ranks.processes] == [0, 0]
    assert "the same command goes on" in said[0]
    assert not said[1]
    assert Ranks([_config(data, tmp_path)] * 2).end()
    _assert_same_course(tmp_path, course(2), 1e-6)


def test_a_process_that_hangs_is_named(data, tmp_path):
    waiting = RanksConfig(timeout=0.3)
    ranks = Ranks([_config(data, tmp_path, kimg=8.0, ranks=waiting)] * 2)
    _until_it_learns(ranks, tmp_path)
    os.kill(ranks.processes[1].pid, signal.SIGSTOP)
    try:
        said = ranks.wait(0)
        assert re.search(r"RanksError: rank 1 \(.*process \d+\) did not come within 0.3 minutes", said)
    finally:
        ranks.processes[1].kill()


def test_a_process_that_is_killed_is_started_again(data, course, tmp_path):
    """The launcher starts both processes again, and they go on from the last checkpoint."""
    config = _config(data, tmp_path, ranks=RanksConfig(processes=2))
    code = "import pickle, sys; from rich.console import Console; from get3d.launching import run\n"
    code += "from get3d.training.loop import train\n"
    code += f"if __name__ == '__main__': run(train, pickle.loads({pickle.dumps(config)!r}), Console(width=500), list)"
    script = tmp_path / "script.py"
    script.write_text(code)
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    launcher = subprocess.Popen(
        [sys.executable, str(script)], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=environment
    )
    while not checkpoints_in(tmp_path / "checkpoints"):
        assert launcher.poll() is None
        time.sleep(0.01)
    children = psutil.Process(launcher.pid).children()
    next(child for child in children if "get3d.launching" in child.cmdline()).kill()
    said, _ = launcher.communicate(timeout=550)
    assert launcher.returncode == 0, said
    assert "starts at 0.00 kimg in 2 processes" in said
    assert re.search(r"rank \d was ended by SIGKILL; all processes are started again", said)
    assert re.search(r"goes on at 0\.0[23] kimg in 2 processes", said)
    _assert_same_course(tmp_path, course(2), 1e-6)


@pytest.mark.parametrize("launcher", ["torchrun", "get3d"])
def test_a_launcher_that_is_told_to_stop_leaves_a_checkpoint(data, tmp_path, launcher):
    train = ["-m", "get3d", "train", "demo", f"--data={data}", f"--out={tmp_path}", "--kimg=8", *SMALL]
    if launcher == "torchrun":
        train = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2", *train]
    else:
        train.append("--processes=2")
    process = subprocess.Popen(
        [sys.executable, *train],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
    )
    while not (tmp_path / "stats.jsonl").exists():
        assert process.poll() is None, process.communicate()
        time.sleep(0.01)
    process.terminate()
    said, _ = process.communicate(timeout=550)
    # torchrun itself ends with a status of its own.
    assert process.returncode == 0 or launcher == "torchrun", said
    assert "the same command goes on" in said
    assert checkpoints_in(tmp_path / "checkpoints")
