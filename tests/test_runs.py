"""The table of runs: where each stands by what it left in its folder."""

import io
import json
import os
import time

import pytest
from rich.console import Console

from get3d.files import InputError
from get3d.training.monitor import HEARTBEAT, progress_text
from get3d.training.runs import RunsConfig, list_runs, status


def _run(folder, *, cur_nimg, checkpoint=None, beat=None, last=""):
    """A run of 2 kimg; `beat` is the age of its heartbeat in seconds."""
    (folder / "checkpoints").mkdir(parents=True)
    (folder / "config.json").write_text(json.dumps({"format": 1, "seed": 0, "kimg": 2.0}))
    lines = [{"cur_nimg": cur_nimg - 100, "images_per_second": 9.0, "swd": 30.0, "fid": 12.0}]
    lines.append({"cur_nimg": cur_nimg, "images_per_second": 10.0, "loss/generator": 1.0})
    (folder / "stats.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines) + last)
    if checkpoint is not None:
        (folder / "checkpoints" / f"checkpoint-{checkpoint:012d}.safetensors").touch()
    if beat is not None:
        (folder / HEARTBEAT).touch()
        os.utime(folder / HEARTBEAT, (time.time() - beat,) * 2)
    return folder


@pytest.mark.parametrize(
    ("checkpoint", "beat", "state"),
    [
        (None, 1, "running"),
        (1000, 1, "running"),
        (1000, None, "stopped"),
        (1000, 9999, "stopped"),
        (2000, None, "finished"),
    ],
)
def test_a_run_is_running_as_long_as_its_heart_beats(tmp_path, checkpoint, beat, state):
    found = status(_run(tmp_path / "a", cur_nimg=1200, checkpoint=checkpoint, beat=beat), "a")
    assert (found.state, found.checkpoint) == (state, checkpoint)


def test_a_run_says_how_far_how_fast_and_how_good_it_is(tmp_path):
    found = status(_run(tmp_path / "a", cur_nimg=1200, last='{"cur_nimg": 13'), "a")
    assert (found.cur_nimg, found.total, found.speed) == (1200, 2000, 10.0)
    assert found.metrics == {"swd": 30.0, "fid": 12.0}


def test_all_runs_of_a_folder_are_listed(tmp_path):
    _run(tmp_path / "one", cur_nimg=2000, checkpoint=2000)
    _run(tmp_path / "more" / "two", cur_nimg=700)
    (tmp_path / "none").mkdir()
    said = io.StringIO()
    list_runs(RunsConfig(tmp_path), Console(file=said, width=200))
    _, two, one = [line.split() for line in said.getvalue().splitlines()]
    assert one == ["one", "finished", "2.00", "2", "10.0", "2.00", "swd", "30", "fid", "12"]
    assert two[:6] == ["more/two", "stopped", "0.70", "2", "10.0", "–"]
    list_runs(RunsConfig(tmp_path / "one"), Console(file=said, width=200))
    assert said.getvalue().splitlines()[-1].split()[0] == "one"


def test_a_folder_without_runs_is_named(tmp_path):
    with pytest.raises(InputError, match="holds no run"):
        list_runs(RunsConfig(tmp_path), Console())


def test_a_run_that_cannot_be_read_is_a_row_and_hides_no_other(tmp_path):
    for name in ("good", "old", "cut", "odd", "list"):
        _run(tmp_path / name, cur_nimg=700)
    (tmp_path / "old" / "config.json").write_text('{"kimg": 2.0, "seed": 0}')
    (tmp_path / "cut" / "config.json").write_text('{"kimg"')
    (tmp_path / "odd" / "stats.jsonl").write_text('{"cur_nimg": 8, "images_per_second": 1.0}\n{"cur_nimg": "[/b]"}\n')
    (tmp_path / "list" / "stats.jsonl").write_text("[]\n")
    said = io.StringIO()
    list_runs(RunsConfig(tmp_path), Console(file=said, width=300))
    rows = {line.split()[0]: line for line in said.getvalue().splitlines()[1:]}
    assert rows["good"].split()[1] == "stopped"
    assert "unreadable" in rows["old"]
    assert "config.json: has no format number, this version reads 1" in rows["old"]
    assert "unreadable" in rows["cut"]
    assert "is not readable JSON" in rows["cut"]
    assert "stats.jsonl: line 2 was not written by training" in rows["odd"]
    assert "stats.jsonl: line 1 was not written by training" in rows["list"]
    said = io.StringIO()
    list_runs(RunsConfig(tmp_path, json=True), Console(file=said))
    found = {run["name"]: run for run in json.loads(said.getvalue())["runs"]}
    assert {name: run["state"] for name, run in found.items()} == {
        "good": "stopped",
        **dict.fromkeys(("old", "cut", "odd", "list"), "unreadable"),
    }
    assert "config.json: has no format number" in found["old"]["problem"]


def test_runs_are_listed_for_programs(tmp_path):
    _run(tmp_path / "a[/b]", cur_nimg=1200, checkpoint=1000)
    said = io.StringIO()
    list_runs(RunsConfig(tmp_path, json=True), Console(file=said, width=20))
    (found,) = json.loads(said.getvalue())["runs"]
    assert found == {
        "name": "a[/b]",
        "state": "stopped",
        "cur_nimg": 1200,
        "total": 2000,
        "speed": 10.0,
        "metrics": {"swd": 30.0, "fid": 12.0},
        "checkpoint": 1000,
    }


@pytest.mark.parametrize(
    ("shown", "total", "rate", "text"),
    [
        (12_300, 80_000, 14.1, "12.3 of 80 kimg, 14 img/s, 1 h 20 min left"),
        (20, 8_000, 3.7, "0.02 of 8 kimg, 3.7 img/s, 36 min left"),
        (7_990, 8_000, 4.0, "7.99 of 8 kimg, 4.0 img/s, 3 s left"),
        (0, 20_000_000, 40.0, "0.0 of 20000 kimg, 40 img/s, 5 d 18 h left"),
        (0, 8_000, 0.0, "0.00 of 8 kimg, 0.0 img/s"),
    ],
)
def test_progress_is_how_far_how_fast_and_how_long(shown, total, rate, text):
    assert progress_text(shown, total, rate) == text
