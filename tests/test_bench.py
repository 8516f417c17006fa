import json
import math
from dataclasses import replace

import pytest
import torch
from rich.console import Console

import tiny
from get3d import bench, presets
from get3d.bench.rows import Row, at_least, at_most
from get3d.bench.timing import side_by_side
from get3d.files import InputError

TINY = {"repeats": 1, "shapes": 2, "grid": 6, "picture": 16, "mesh_faces": 200, "faces": 200, "texture": 32}


def test_every_group_is_measured_and_written(tmp_path, monkeypatch):
    small = replace(presets.PRESETS["demo"], config=tiny.run_config(tmp_path, tmp_path))
    monkeypatch.setitem(presets.PRESETS, "demo", small)
    path = tmp_path / "rows.json"
    rows = bench.run(bench.BenchConfig(device="cpu", json=path, **TINY), Console(quiet=True))
    written = json.loads(path.read_text())["rows"]
    assert len(written) == len(rows)
    named = " ".join(row.name.lower() for row in rows)
    for part in ("tetrahedra", "flexicubes", "together", "r1"):
        assert part in named
    for row in rows:
        assert row.seconds is None or row.seconds >= 0
        assert row.result is None or math.isfinite(row.result)


def test_goals_bound_from_the_right_side():
    assert at_least(5.0).met(5.0) and at_least(5.0).met(6.0) and not at_least(5.0).met(4.0)
    assert at_most(0.3).met(0.3) and at_most(0.3).met(0.1) and not at_most(0.3).met(0.4)
    assert Row("group", "name").result is None


def test_what_is_compared_takes_turns():
    order = []
    medians = side_by_side(torch.device("cpu"), 3, ours=lambda: order.append("a"), plain=lambda: order.append("b"))
    assert medians.keys() == {"ours", "plain"}
    assert order[-6:] == ["a", "b"] * 3


@pytest.mark.parametrize(("option", "value"), [("preset", "none"), ("repeats", 0), ("grid", 1), ("texture", 9000)])
def test_options_out_of_range_are_named(option, value):
    with pytest.raises(InputError, match=f"--{option} is {value}"):
        bench.run(bench.BenchConfig(**{option: value}), Console(quiet=True))
