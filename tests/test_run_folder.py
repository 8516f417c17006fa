"""A run's folder is its own: no other run, process or program's files are written over."""

import io
import json
import shutil
import subprocess
import sys
from dataclasses import replace

import pytest
from rich.console import Console

import tiny
from get3d.files import InputError
from get3d.locks import LOCK, lock_folder
from get3d.training.checkpoint import checkpoint_bytes, checkpoints_in
from get3d.training.loop import start, train

QUIET = Console(file=io.StringIO(), width=500)


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return tiny.write_dataset(tmp_path_factory.mktemp("data") / "discs")


@pytest.fixture(scope="module")
def run(data, tmp_path_factory):
    out = tmp_path_factory.mktemp("runs") / "run"
    train(tiny.run_config(data, out), QUIET)
    return out


def _content(root):
    return {path: path.read_bytes() for path in root.rglob("*") if path.is_file()}


def test_a_run_says_its_format_and_leaves_no_lock(run):
    config = json.loads((run / "config.json").read_text())
    assert config["format"] == 1
    assert config["dataset"].startswith("16, fingerprint ")
    assert not (run / LOCK).exists()


def test_another_process_that_trains_there_is_named_and_nothing_is_written(data, tmp_path):
    """A real second process, which holds the lock; it is refused for as long as that lives."""
    code = "import sys, time; from pathlib import Path; from get3d.locks import lock_folder\n"
    code += "lock_folder(Path(sys.argv[1]), take_over=False); print('held', flush=True); time.sleep(100)"
    out = tmp_path / "run"
    out.mkdir()
    with subprocess.Popen([sys.executable, "-c", code, out], stdout=subprocess.PIPE, text=True) as other:
        assert other.stdout.readline() == "held\n"
        with pytest.raises(InputError, match=f"run: is in use by process {other.pid} on .* wait until it ends"):
            train(tiny.run_config(data, out, take_over=True), QUIET)
        assert [path.name for path in out.iterdir()] == [LOCK]
        other.kill()
    said = io.StringIO()
    train(tiny.run_config(data, out, kimg=0.004), Console(file=said, width=500))
    assert f"{LOCK}: taken over from process {other.pid} on" in said.getvalue()
    assert not (out / LOCK).exists()


def test_the_lock_is_released_when_training_fails(data, tmp_path, monkeypatch):
    config = tiny.run_config(data, tmp_path / "run", generator=replace(tiny.GENERATOR, z_dim=9))
    train(replace(config, kimg=0.004), QUIET)
    with pytest.raises(InputError, match="its generator has z_dim"):
        train(tiny.run_config(data, tmp_path / "run"), QUIET)
    lock_folder(tmp_path / "run", take_over=False).release()


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("config.json", '{"mine": 1}', r"config\.json: has no format number, this version reads 1; it is not a run"),
        ("config.json", '{"format": 1, "name": "x"}', r"config\.json: has neither kimg nor seed, so it is not a run"),
        ("config.json", '{"format": 2, "kimg": 1, "seed": 0}', r"config\.json: format is 2"),
        ("config.json", "kimg: 1", r"config\.json: is not readable JSON"),
        ("stats.jsonl", "{}", r"stats\.jsonl: does not belong to a run, which has a config\.json in the same folder"),
        ("reals.png", "mine", r"reals\.png: does not belong to a run"),
        ("checkpoints/mine.txt", "mine", r"checkpoints: does not belong to a run"),
    ],
)
def test_a_folder_with_other_files_of_these_names_is_refused_and_left_as_it_is(data, tmp_path, name, text, message):
    path = tmp_path / "out" / name
    path.parent.mkdir(parents=True)
    path.write_text(text)
    with pytest.raises(InputError, match=message):
        train(tiny.run_config(data, tmp_path / "out"), QUIET)
    assert _content(tmp_path / "out") == {path: text.encode()}


def test_a_folder_with_files_of_other_names_is_taken(data, tmp_path):
    (tmp_path / "log.txt").write_text("mine")
    train(tiny.run_config(data, tmp_path, kimg=0.004), QUIET)
    assert (tmp_path / "log.txt").read_text() == "mine"


def test_a_run_does_not_go_on_with_another_seed_or_dataset(data, run, tmp_path):
    before = _content(run)
    with pytest.raises(InputError, match=r"the run there has --seed 0, requested is 1; use its seed"):
        train(tiny.run_config(data, run, seed=1, kimg=1.0), QUIET)
    other = tiny.write_dataset(tmp_path / "other", objects=12)
    with pytest.raises(
        InputError, match=r"is of a dataset of 16, fingerprint \w+ images, requested is one of 20, finger"
    ):
        train(tiny.run_config(other, run, kimg=1.0), QUIET)
    changed = tmp_path / "changed"
    shutil.copytree(data, changed)
    shutil.copy(data / "images/000/001.png", changed / "images/000/000.png")
    with pytest.raises(InputError, match="use the same --data to resume it, or start a new run with --init-from"):
        train(tiny.run_config(changed, run, kimg=1.0), QUIET)
    assert _content(run) == before


def test_a_run_goes_on_where_its_dataset_was_moved_to(data, tmp_path):
    out, moved = tmp_path / "run", tmp_path / "moved"
    train(tiny.run_config(data, out, kimg=0.008), QUIET)
    shutil.copytree(data, moved)
    assert train(tiny.run_config(moved, out, kimg=0.016), QUIET).name == "checkpoint-000000000016.safetensors"


def test_the_size_of_a_checkpoint_is_known_before_the_first_step(data, run):
    (written, *_) = checkpoints_in(run / "checkpoints")
    known = checkpoint_bytes(start(tiny.run_config(data, run)))
    # What is not known is the head of the file: names, settings, and checksums of the many tensors.
    assert 0 < written.stat().st_size - known < 200_000


def test_a_disk_without_room_for_the_checkpoints_is_named_before_any_step(data, tmp_path, monkeypatch):
    real = shutil.disk_usage
    monkeypatch.setattr("get3d.files.shutil.disk_usage", lambda path: real(path)._replace(free=1000))
    monkeypatch.setattr("get3d.training.loop.train_step", None)
    with pytest.raises(InputError, match=r"has 0\.0 MB free, and 4 checkpoints of .* MB \(--keep 2, the best, and one"):
        train(tiny.run_config(data, tmp_path / "run"), QUIET)
    assert not (tmp_path / "run" / "config.json").exists()
