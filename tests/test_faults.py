"""What clusters do to a run: processes are killed, disks fill up, files are damaged, machines leave. It survives."""

import json
import random
import re
import resource
import shutil
import socket
import time
from contextlib import ExitStack
from dataclasses import replace
from functools import partial

import pytest
import tyro

import tiny
from faults import Command, train_as_nobody_special, train_on_a_small_disk
from get3d.flags import REGISTRY
from get3d.presets import PRESETS
from get3d.training.checkpoint import BEST, checkpoints_in, shown_of
from get3d.training.config import TrainConfig
from ranks import Ranks, assert_same_course

pytestmark = pytest.mark.slow

STEPS = 12
"""Of eight images each; a line of statistics after each, a checkpoint after every other."""

FLAGS = (
    *("--resolution=16", "--batch=8", "--log-kimg=0.008", "--snapshot-kimg=0.016", "--metric-images=4"),
    *("--generator.z-dim=8", "--generator.w-dim=16", "--generator.mapping-layers=1", "--generator.grid-resolution=8"),
    *("--discriminator.channel-base=128", "--discriminator.channel-max=8", "--discriminator.condition=8"),
    *("--device=cpu", f"--kimg={0.008 * STEPS}"),
)


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return tiny.write_dataset(tmp_path_factory.mktemp("data") / "discs")


@pytest.fixture(scope="module")
def undisturbed(data, tmp_path_factory):
    """A run in two processes."""
    out = tmp_path_factory.mktemp("undisturbed") / "run"
    _train(_config(data, out))
    return out


def _config(data, out, **changes):
    """What the flags say."""
    config = tyro.cli(TrainConfig, args=FLAGS, default=PRESETS["demo"].config, registry=REGISTRY)
    return replace(config, data=data, out=out, **changes)


def _command(data, out, *more):
    return ("get3d", "train", "demo", f"--data={data}", f"--out={out}", *FLAGS, *more)


def _train(config):
    """Two processes train to the end; returns what the first one says."""
    ranks = Ranks([config] * 2)
    said = ranks.end()
    assert [process.exitcode for process in ranks.processes] == [0, 0], said
    assert not said[1]
    return said[0]


def _shown(out):
    """Images shown at the last line of statistics that is whole; read once, since a run that resumes drops lines."""
    stats = out / "stats.jsonl"
    lines = stats.read_text().split("\n")[:-1] if stats.exists() else []
    return json.loads(lines[-1])["cur_nimg"] if lines else 0


def _files(out):
    """Checkpoints, also those that are being written."""
    folder = out / "checkpoints"
    return {path.name for path in folder.iterdir()} if folder.exists() else set()


def test_a_run_whose_processes_are_killed_again_and_again_follows_the_same_course(data, undisturbed, tmp_path):
    """Killed twice while they start, twice in a step, once around a checkpoint; rank and moment are random."""
    draw, out = random.Random(3), tmp_path / "run"
    points = draw.sample(["start", "start", "step", "step", "checkpoint"], 5)
    with Command(tmp_path / "said", *_command(data, out, "--processes=2", "--max-restarts=5")) as launcher:
        for point in points:
            ranks, before, shown = launcher.ranks(2), _files(out), _shown(out)
            if point == "step":
                launcher.until(lambda: _shown(out) > shown)  # noqa: B023
            if point == "checkpoint":
                launcher.until(lambda: _files(out) - before)  # noqa: B023
            time.sleep(draw.uniform(0, {"start": 4, "step": 0.1, "checkpoint": 0.02}[point]))
            ranks[draw.randrange(2)].kill()
        said = launcher.end()
    assert launcher.process.returncode == 0, said
    assert said.count("all processes are started again") == 5
    assert "resumes at" in said
    assert not [name for name in _files(out) if name.startswith(".")]
    assert_same_course(out, undisturbed, 1e-6)


def test_a_launcher_that_is_told_to_stop_leaves_a_checkpoint_in_time(data, undisturbed, tmp_path):
    out = tmp_path / "run"
    with Command(tmp_path / "said", *_command(data, out, "--processes=2")) as launcher:
        launcher.ranks(2)
        launcher.until(lambda: _shown(out))
        launcher.process.terminate()
        said = launcher.end(timeout=30)
    assert launcher.process.returncode == 0, said
    assert "repeat the command to resume" in said
    assert f"resumes at {_shown(out) / 1000:.2f} kimg" in _train(_config(data, out))
    assert_same_course(out, undisturbed, 1e-6)


def test_two_nodes_train_start_again_and_stop_together(data, undisturbed, tmp_path):
    """Two addresses of this machine stand for two: each has a launcher and a process of its own."""
    out = tmp_path / "run"
    with socket.create_server(("127.0.0.2", 0)) as free:
        port = free.getsockname()[1]

    def node(address):
        group = ("--nnodes=2", "--nproc-per-node=1", "--max-restarts=3", f"--local-addr={address}")
        meeting = ("--rdzv-backend=c10d", f"--rdzv-endpoint=127.0.0.2:{port}", "--rdzv-id=two")
        train = ("torch.distributed.run", *group, *meeting, "-m", *_command(data, out))
        return Command(tmp_path / address, *train, TORCH_DISABLE_SHARE_RDZV_TCP_STORE="1")

    with ExitStack() as stack:
        nodes = [stack.enter_context(node(address)) for address in ("127.0.0.1", "127.0.0.2")]
        ranks = [node.ranks(1) for node in nodes]
        nodes[0].until(lambda: checkpoints_in(out / "checkpoints"))
        ranks[1].popitem()[1].kill()
        for node in nodes:
            node.ranks(1)
        shown = _shown(out)
        nodes[0].until(lambda: _shown(out) > shown)
        for node in nodes:
            node.process.terminate()
        told = time.monotonic()
        said = [node.end(timeout=30 - time.monotonic() + told) for node in nodes]
    assert "starts at 0.00 kimg in 2 processes" in said[0], said
    assert re.search(r"resumes at 0\.\d\d kimg in 2 processes", said[0]), said
    assert "repeat the command to resume" in said[0], said
    _train(_config(data, out))
    assert_same_course(out, undisturbed, 1e-6)


def _fill(ranks, out, size):
    """Nothing: the disk is small, and something else fills it."""


def _limit(ranks, out, size):
    """The first rank may not write files as large as a checkpoint any more."""
    resource.prlimit(ranks.processes[0].pid, resource.RLIMIT_FSIZE, (size // 2, size // 2))


def _close(ranks, out, size):
    (out / "checkpoints").chmod(0o555)


@pytest.mark.parametrize(
    ("fault", "message"),
    [
        (_fill, "No space left on device"),
        (_limit, "File too large"),
        (_close, "Permission denied"),
    ],
)
def test_what_cannot_be_written_stops_the_run_and_leaves_the_checkpoints(data, undisturbed, tmp_path, fault, message):
    newest = checkpoints_in(undisturbed / "checkpoints")[0]
    size, out, kept = newest.stat().st_size, tmp_path / "run", tmp_path / "run"
    work = train_as_nobody_special
    if fault is _fill:
        kept = tmp_path / "kept"
        work = partial(train_on_a_small_disk, 8 * size, kept)
    ranks = Ranks([_config(data, out)] * 2, work=work)
    while fault is not _fill and not checkpoints_in(out / "checkpoints"):
        assert ranks.processes[0].is_alive(), ranks.end()
        time.sleep(0.002)
    fault(ranks, out, size)
    said = ranks.end()
    if fault is _fill and "PermissionError" in said[0]:
        pytest.skip("this machine lets nobody mount a disk")
    *before, last = said[0].splitlines()
    assert re.fullmatch(rf"InputError: {re.escape(str(out))}/.*{message}.*", last)
    assert message not in "".join(before)
    assert not said[1]
    assert 0 not in [process.exitcode for process in ranks.processes]
    (kept / "checkpoints").chmod(0o755)
    good = checkpoints_in(kept / "checkpoints")
    # In a closed folder what was being written cannot be removed; the next start does.
    assert {name for name in _files(kept) if name[0] != "."} - {BEST} == {path.name for path in good}
    assert f"resumes at {shown_of(good[0]) / 1000:.2f} kimg" in _train(_config(data, kept))
    assert not [name for name in _files(kept) if name[0] == "."]
    assert_same_course(kept, undisturbed, 1e-6)


def test_a_folder_that_cannot_be_written_to_is_named_before_any_work(data, tmp_path):
    tmp_path.chmod(0o555)
    ranks = Ranks([_config(data, tmp_path)] * 2, work=train_as_nobody_special)
    said = ranks.end()
    tmp_path.chmod(0o755)
    assert re.fullmatch(r"InputError: .*cannot be written to \(Permission denied\); choose another --out", said[0])
    assert not said[1]
    assert not list(tmp_path.iterdir())


def _cut(content):
    return content[: len(content) // 2]


def _flip(content):
    middle = len(content) // 2
    return content[:middle] + bytes([content[middle] ^ 1]) + content[middle + 1 :]


@pytest.mark.parametrize("damage", [_cut, _flip])
def test_all_go_on_from_the_checkpoint_before_a_damaged_one(data, undisturbed, tmp_path, damage):
    out = shutil.copytree(undisturbed, tmp_path / "run")
    newest, before = checkpoints_in(out / "checkpoints")
    newest.write_bytes(damage(newest.read_bytes()))
    said = _train(_config(data, out))
    assert re.search(rf"{newest.name}: is (truncated|damaged).*; using the previous checkpoint", said)
    assert f"resumes at {shown_of(before) / 1000:.2f} kimg in 2 processes" in said
    assert_same_course(out, undisturbed, 1e-6)
