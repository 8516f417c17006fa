"""What is alarming in the statistics of a tick is said, and nothing else."""

import io
import json
import math

import pytest
import torch
from rich.console import Console

from get3d.training.alarms import alarms
from get3d.training.monitor import Monitor

WELL = {"logits/rgb_real": 2.0, "logits/rgb_fake": -3.0, "surface/empty": 0.0, "loss/generator": 1.0}


@pytest.mark.parametrize(
    ("changes", "kimg", "speed", "message"),
    [
        ({}, 5.0, 10.0, None),
        ({"loss/generator": math.nan}, 5.0, 10.0, "loss/generator is not finite"),
        ({"logits/rgb_real": 30.0}, 5.0, 10.0, None),
        ({"logits/rgb_real": 30.0, "logits/rgb_fake": -20.0}, 5.0, 10.0, "wins outright (logits/rgb: 30.0 and -20.0)"),
        ({"surface/empty": 0.5}, 1.0, 10.0, None),
        ({"surface/empty": 0.5}, 5.0, 10.0, "50 % of the shapes are empty"),
        ({"random/empty": 0.5}, 1.0, 10.0, None),
        ({"random/empty": 0.5}, 5.0, 10.0, "50 % of the random shapes are empty"),
        ({}, 5.0, 6.0, None),
        ({}, 5.0, 4.0, "4.0 img/s, less than half of before (10.0)"),
    ],
)
def test_what_is_wrong_is_said(changes, kimg, speed, message):
    found = alarms(WELL | changes, kimg=kimg, speed=speed, speeds=[100.0, *[10.0] * 9, 11.0])
    assert len(found) == (message is not None)
    assert message is None or message in found[0]


def test_a_run_without_a_past_is_never_slow():
    assert not alarms(WELL, kimg=5.0, speed=0.1, speeds=[10.0] * 9)


def test_an_alarm_is_printed_and_kept(tmp_path):
    said = io.StringIO()
    with Monitor(tmp_path, Console(file=said, width=200), cur_nimg=0, total=9000) as monitor:
        monitor.write({"surface/empty": torch.tensor([4.0, 4.0])}, 5000)
        monitor.write({"surface/empty": torch.tensor([0.0, 4.0])}, 6000)
    first, second = (json.loads(line) for line in (tmp_path / "stats.jsonl").read_text().splitlines())
    assert "100 % of the shapes" in first["alarms"][0]
    assert "5.00 kimg: 100 % of the shapes" in said.getvalue()
    assert "alarms" not in second


def test_speeds_of_different_phases_are_not_compared(tmp_path, monkeypatch):
    clock = [0.0]
    monkeypatch.setattr("get3d.training.monitor.time.monotonic", lambda: clock[0])
    with Monitor(tmp_path, Console(file=io.StringIO()), cur_nimg=0, total=99_000) as monitor:
        for number in range(1, 26):
            name = "loss/color" if number <= 11 else "loss/generator"
            clock[0] += {11: 10.0, 25: 100.0}.get(number, 1.0 if number < 12 else 4.0)
            monitor.write({name: torch.tensor([1.0, 1.0])}, 1000 * number)
    lines = [json.loads(line) for line in (tmp_path / "stats.jsonl").read_text().splitlines()]
    assert [line["kimg"] for line in lines if "alarms" in line] == [11, 25]
