import json
import math
import os
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from rich.console import Console
from torch.autograd.profiler_util import FunctionEvent
from torch.profiler import ProfilerActivity, profile, record_function

from get3d import benchmarks as bench
from get3d import presets, spans
from get3d.benchmarks import full, phases, plain_fields, step
from get3d.benchmarks.rows import Row, at_least, at_most, compared, to_table
from get3d.benchmarks.step import stage_seconds
from get3d.benchmarks.timing import Stopwatch, side_by_side
from get3d.files import InputError
from get3d.generator import Generator
from get3d.networks.fields import Head, TriPlanes
from get3d.networks.layers import Linear
from get3d.training.config import prepare_run
from get3d.training.loop import start
from tiny import GENERATOR, run_config, seeded, write_dataset

SIZES = {"repeats": 1, "warm": 1, "shapes": 2, "grid": 6, "image": 16, "mesh_faces": 200, "faces": 300, "texture": 32}


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """The presets, the dataset and the matrices of the measurements, all tiny."""
    config = run_config(tmp_path / "data", tmp_path / "out")
    for name in ("demo", "paper"):
        monkeypatch.setitem(presets.PRESETS, name, presets.Preset("tiny", config))
    monkeypatch.setattr(step, "make_dataset", lambda folder, config: write_dataset(folder))
    monkeypatch.setattr(phases, "compilers", list)
    for module in (full, phases):
        monkeypatch.setattr(module, "SIDE", 32)


@pytest.mark.slow
def test_measures_every_row(small: None, tmp_path: Path):
    console = Console(width=160, record=True)
    file = tmp_path / "rows.json"
    rows = bench.run(bench.BenchConfig(full=True, json=file, device="cpu", **SIZES), console)
    names = [(row.group, row.name) for row in rows]
    assert len(set(names)) == len(names)
    found = {name for _, name in names}
    stages = set(step.STAGES)
    assert found >= stages | {
        "marching tetrahedra, 2 shapes, grid 6",
        "FlexiCubes, 2 shapes, grid 6",
        "SDF and deformation, 2 shapes, grid 6",
        "largest difference of the values",
        "sum of the stages, and the step",
        "rasterising, extraction and field lookup together",
        "a step of the warm-up",
        "an adversarial step without R1",
        "from a folder",
        "from shards",
        "tri-planes, 2 shapes",
        "planes to meshes, 2 shapes, grid 8",
        "field and surface",
        "simplify and repair",
        "unwrap",
        "bake",
        "write a GLB",
        "an object, from latent to file",
        "a coarse object, while a slider moves",
        "the textured object, when it rests",
    }
    assert sum("faces, 16²" in name for name in found) == 1
    for row in rows:
        assert row.seconds is None or 0 < row.seconds < math.inf
        assert row.result is None or 0 <= row.result < math.inf
        assert row.goal is None or row.verdict in ("pass", "short")
    assert sum(row.result for row in rows if row.name in step.STAGES) == pytest.approx(1)
    (difference,) = (row for row in rows if row.name == "largest difference of the values")
    assert difference.verdict == "pass"

    written = json.loads(file.read_text())
    assert written["repeats"] == 1
    assert [(row["group"], row["name"], row["result"]) for row in written["rows"]] == [
        (row.group, row.name, row.result) for row in rows
    ]
    text = console.export_text()
    assert all(name in text for name in stages)
    assert "goal" in text
    assert text.startswith("medians of 1; ")


COMPILED = """
import sys
from functools import partialmethod
from pathlib import Path

import torch
from get3d.benchmarks import phases
from tiny import run_config, write_dataset

# Without a C++ compiler, which takes minutes; what it makes is tested in test_compile.py.
torch.nn.Module.compile = partialmethod(torch.nn.Module.compile, backend="aot_eager")
phases.make_dataset = lambda folder, config: write_dataset(folder)
phases.SIDE = 32
config = run_config(Path(sys.argv[1]) / "data", Path(sys.argv[1]) / "out")
*steps, compiled = phases.rows("demo", config, 1, 1, compiled=True)
print(len(steps), compiled.name, compiled.seconds > 0, *compiled.other_seconds)
"""


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("g++") is None, reason="torch.compile on a CPU needs g++")
def test_a_compiled_step_is_timed_beside_an_eager_one(tmp_path: Path):
    """In a process of its own, as checks of shapes at run time are not to be compiled."""
    done = subprocess.run(
        [sys.executable, "-c", COMPILED, str(tmp_path)],
        env=os.environ | {"PYTHONPATH": os.pathsep.join(folder for folder in sys.path if folder)},
        capture_output=True,
        text=True,
        timeout=900,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1] == "2 a compiled step True eager"


def test_refuses_a_model_that_is_not_there(small: None, tmp_path: Path):
    with pytest.raises(InputError, match="no such model"):
        bench.run(bench.BenchConfig(model=str(tmp_path / "nothing"), **SIZES), Console(quiet=True))


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"preset": "tiny"}, "--preset is tiny; choose one of demo, small, paper"),
        ({"repeats": 0}, "--repeats is 0"),
        ({"grid": 1}, "--grid is 1"),
        ({"texture": 9000}, "--texture is 9000"),
        ({"mesh_faces": 5}, "--mesh-faces is 5"),
    ],
)
def test_refuses_what_cannot_be_measured(change: dict[str, object], said: str):
    with pytest.raises(InputError, match=said):
        bench.run(bench.BenchConfig(**change), Console(quiet=True))


def _event(name: str, start: float, end: float, *, number: int = -1, backward: bool = False) -> FunctionEvent:
    threads = {"thread": 2, "fwd_thread": 1} if backward else {"thread": 1, "fwd_thread": 0}
    return FunctionEvent(0, name, start_us=start, end_us=end, sequence_nr=number, **threads)


def test_a_moment_counts_for_the_innermost_stage_and_a_gradient_for_the_stage_it_differentiates():
    second = 1e6
    events = [
        _event("a step", 0, 20 * second),
        _event(spans.EXTRACTION, 1 * second, 7 * second),
        _event(spans.FIELDS, 2 * second, 4 * second),
        _event("aten::mul", 2 * second, 3 * second, number=5),
        # Its number is only that of the next operation with a gradient.
        _event("aten::detach", 3 * second, 4 * second, number=6),
        _event("aten::sin", 5 * second, 6 * second, number=6),
        _event("SinBackward", 10 * second, 12 * second, number=6, backward=True),
        _event("aten::cos", 10 * second, 11 * second, number=7),
        _event("MulBackward", 12 * second, 15 * second, number=5, backward=True),
    ]
    assert stage_seconds(events) == {
        "the rest": {"forward": pytest.approx(20 - 6 - 5)},
        spans.EXTRACTION: {"forward": pytest.approx(4), "backward": pytest.approx(2)},
        spans.FIELDS: {"forward": pytest.approx(2), "backward": pytest.approx(3)},
    }


def test_the_profiler_tells_whose_gradient_is_computed():
    """A slow product and a quick sine: nearly all of the forward pass, and of the backward pass, is the product's."""
    a, b = (torch.randn(300, 300, generator=seeded(i)).requires_grad_(True) for i in range(2))
    with profile(activities=[ProfilerActivity.CPU]) as recorded:
        with record_function(spans.PLANES):
            product = a @ b
            for _ in range(8):
                product = product @ b
        with record_function(spans.TEXTURE):
            value = product[0].sin().sum()
        value.backward()
    found = stage_seconds(recorded.events())
    for way in ("forward", "backward"):
        assert found[spans.PLANES][way] > found[spans.TEXTURE][way] > 0
    assert found[spans.PLANES]["backward"] > found["the rest"]["forward"]


@pytest.mark.parametrize("isosurface", ["tetrahedra", pytest.param("flexicubes", marks=pytest.mark.slow)])
def test_a_training_step_marks_every_stage(isosurface: str, tmp_path: Path):
    write_dataset(tmp_path / "data")
    changed = replace(GENERATOR, isosurface=isosurface)
    config = prepare_run(run_config(tmp_path / "data", tmp_path / "out", generator=changed)).config
    state, batch = start(config), next(prepare_run(config).images.batches(config.batch, 0))
    found = step.profiled_stages(state, batch, config, 0)
    for stage in set(step.STAGES) - {step.DATA, step.REST, spans.UPDATE}:
        assert set(found[stage]) == {"forward", "backward"}, stage
    assert set(found) == set(step.STAGES) - {step.DATA}


def test_convolution_flops_by_hand():
    """Planes of 8² with 8 channels inside: convolutions 4², 4² (doubling) and 8², and 12 channels read out twice."""
    three_by_three = 8 * 8 * 9 * (4**2 + 4**2 + 8**2)
    one_by_one = 2 * 8 * 12 * (4**2 + 8**2)
    planes = Generator(GENERATOR).synthesis.planes
    assert full.convolution_flops(planes, 3) == 3 * 2 * (three_by_three + one_by_one)


def test_plain_fields_are_the_formula():
    """A point on a texel's centre has that texel's features; the layers are matrix products."""
    planes = torch.randn(2, 3, 4, 8, 8, generator=seeded(0))
    points = torch.tensor([[-0.4375, 0.0625, 0.3125], [0.1875, 0.4375, -0.0625]])
    texel = ((points + 0.5) * 8 - 0.5).long()
    x, y, z = texel.unbind(1)
    want = planes[:, 0, :, y, x] + planes[:, 1, :, z, y] + planes[:, 2, :, z, x]
    torch.testing.assert_close(plain_fields.sample(planes, points, 1.0), want.permute(0, 2, 1), atol=1e-5, rtol=1e-5)
    ours = TriPlanes(planes, 1.0).at(points.expand(2, 2, 3), torch.arange(2))
    torch.testing.assert_close(ours, want.permute(0, 2, 1), atol=1e-5, rtol=1e-5)
    weights = [torch.randn(2, 5, 4, generator=seeded(1)), torch.randn(2, 3, 5, generator=seeded(2))]
    biases = [torch.randn(5, generator=seeded(3)), torch.randn(3, generator=seeded(4))]
    got = plain_fields.evaluate(planes, list(zip(weights, biases, strict=True)), points, 1.0)
    head = Head(tuple(Linear(w, b) for w, b in zip(weights, biases, strict=True)))
    torch.testing.assert_close(got, head(want.permute(0, 2, 1)), atol=1e-4, rtol=1e-4)


def test_turns_are_taken_side_by_side(device: torch.device):
    turns = []
    medians = side_by_side(device, 2, a=lambda: turns.append("a"), b=lambda: turns.append("b"))
    assert turns == ["a", "b"] * 3
    assert set(medians) == {"a", "b"}
    assert all(seconds > 0 for seconds in medians.values())
    watch = Stopwatch(device)
    watch.laps = {"c": [3.0, 1.0, 2.0]}
    assert watch.medians == {"c": 2.0}


def test_rows_judge_and_print():
    row = compared("group", "name", 0.010, "plain", 0.052, goal=5.0)
    assert row.result == pytest.approx(5.2)
    assert row.verdict == "pass"
    assert replace(row, goal=at_least(6.0)).verdict == "short"
    assert Row("group", "share", result=0.4, unit="%", goal=at_most(0.3)).verdict == "short"
    assert Row("group", "no goal", result=0.4).verdict == ""
    console = Console(width=120, record=True)
    console.print(to_table([row]))
    text = console.export_text()
    for part in ("group", "name", "10.0", "plain 52.0", "5.2×", "≥ 5.0×", "pass"):
        assert part in text
