"""Commands that split their work over processes leave the files that one leaves, and say what is wrong once."""

import io
import json
import os
import re
import subprocess
import sys
import time
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path

import numpy as np
import psutil
import pytest
import torch

import datasets
import tiny
from get3d import cli
from get3d.authoring.from_meshes.command import render_models
from get3d.authoring.from_meshes.config import RenderConfig
from get3d.distributed.processes import RanksConfig, joined
from get3d.evaluation.report import EvaluateConfig, evaluate
from get3d.files import InputError
from get3d.generation.generate import GenerateConfig, generate
from get3d.metrics.feature_networks import NETWORKS
from models import save_wedge
from ranks import Ranks


@dataclass(frozen=True)
class _Sum:
    """Numbers to square; each is made by whoever is free. Who has begun what is kept in `begun`."""

    begun: Path
    ranks: RanksConfig = field(default_factory=RanksConfig)
    bad: int | None = None


def _squares(config, console):
    numbers = range(3, 10)
    with joined(config.ranks, "cpu") as ranks:

        def square(turn, number):
            (config.begun / f"{turn} {number} of rank {ranks.rank}").touch()
            # The second process is far slower than the first: it ends its first number when all are begun.
            awaited, count = (f"{turn} *", len(numbers)) if ranks.rank else (f"{turn} * of rank 1", ranks.world > 1)
            end = time.monotonic() + 120
            while (config.bad is None or not ranks.rank) and len(list(config.begun.glob(awaited))) < count:
                assert time.monotonic() < end
                time.sleep(0.01)
            if number == config.bad:
                raise InputError(f"--bad is {number}")
            return number**2, ranks.rank

        for turn in range(2):
            console.print(ranks.each(numbers, partial(square, turn)))
        console.print(sorted(ranks.work_queue("abc")) and "taken")


@pytest.mark.slow
def test_whoever_is_free_takes_the_next_and_the_first_has_all_in_order(tmp_path):
    both, one = tmp_path / "both", tmp_path / "one"
    both.mkdir(), one.mkdir()
    first, second = Ranks([_Sum(both)] * 2, work=_squares).end()
    for made in map(eval, first.splitlines()[:2]):
        assert [square for square, _ in made] == [9, 16, 25, 36, 49, 64, 81]
        assert sum(rank for _, rank in made) == 1
    assert second.splitlines()[:2] == ["[]", "[]"]
    alone = Ranks([_Sum(one)], work=_squares).end()[0]
    assert alone.splitlines() == [str([(n**2, 0) for n in range(3, 10)])] * 2 + ["taken"]


@pytest.mark.slow
def test_what_cannot_be_done_is_said_by_the_first_alone_whoever_finds_it(tmp_path):
    for bad in (3, 4):
        ranks = Ranks([_Sum(tmp_path, bad=bad)] * 2, work=_squares)
        assert ranks.end() == [f"InputError: --bad is {bad}", ""]
        assert [process.exitcode for process in ranks.processes] == [1, 2]


def _same_folder(config, console):
    with joined(config.ranks, "cpu") as ranks:
        ranks.require_same(config.out)
    console.print("the same")


@dataclass(frozen=True)
class _Out:
    out: os.PathLike
    ranks: RanksConfig = field(default_factory=RanksConfig)


@pytest.mark.slow
def test_a_folder_that_is_another_on_another_machine_is_named(tmp_path):
    mine, theirs = tmp_path / "mine", tmp_path / "theirs"
    mine.mkdir(), theirs.mkdir()
    assert Ranks([_Out(mine)] * 2, work=_same_folder).end() == ["the same\n"] * 2
    first, second = Ranks([_Out(mine), _Out(theirs)], work=_same_folder).end()
    assert first.startswith("InputError: rank 1 (")
    assert "theirs: is not the folder of rank 0" in first
    assert not second
    assert not list(mine.iterdir())


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return tiny.write_model(tmp_path_factory.mktemp("model") / "model.safetensors")


def _files(root):
    """What a folder holds, by name; a file that tells its folder's name tells "OUT"."""
    paths = sorted(path for path in root.rglob("*") if path.is_file())
    return {str(path.relative_to(root)): path.read_bytes().replace(bytes(root), b"OUT") for path in paths}


def _work(work, config, world):
    """What the first of several processes says, of which all end well, and the files they leave."""
    config = replace(config, out=config.out / str(world))
    ranks = Ranks([config] * world, work=work)
    said = ranks.end()
    assert [process.exitcode for process in ranks.processes] == [0] * world, said
    assert not any(said[1:])
    return said[0].replace(str(config.out), "OUT"), _files(config.out)


QUICK = {"resolution": 16, "texture": 16, "faces": 60, "device": "cpu"}


@pytest.mark.slow
def test_objects_their_sheet_and_their_film_are_those_of_one_process(model, tmp_path):
    config = GenerateConfig(model, out=tmp_path, num=8, **QUICK)
    said, files = _work(generate, config, 2)
    # Objects, each once more for the page; sheet, video, record; the page and its two files.
    assert len(files) == 8 * 2 + 3 + 3
    assert (said, files) == _work(generate, config, 1)
    assert "8 objects" in said


@pytest.mark.slow
def test_bare_meshes_and_their_points_are_those_of_one_process(model, tmp_path):
    config = GenerateConfig(model, out=tmp_path, num=9, geometry_only=True, points=20, **QUICK)
    files = _work(generate, config, 2)[1]
    assert len(files) == 9 * 2 + 1
    assert files == _work(generate, config, 1)[1]
    for name in ("000002.npz", "000003.npz", "000005.npz"):
        (tmp_path / "2" / name).unlink()
    again = _work(generate, config, 2)[1]
    assert again.keys() == files.keys()
    # Which shapes are made together is another matter, and so are the last bits.
    for name in ("000002.npz", "000003.npz", "000005.npz"):
        one, other = (np.load(io.BytesIO(content[name]))["points"] for content in (files, again))
        np.testing.assert_allclose(one, other, atol=1e-5)


class _Means:
    """A network whose features are mean colours."""

    key = "means"

    def __call__(self, images):
        return torch.nn.functional.adaptive_avg_pool2d(images.float(), 2).flatten(1)


def _evaluate(config, console):
    kind = NETWORKS["inception"]
    NETWORKS.update({name: replace(kind, there=lambda: True, open=_Means) for name in NETWORKS})
    evaluate(config, console)
    for path in config.data.rglob("*.measures.npz"):
        path.unlink(missing_ok=True)


@pytest.mark.slow
def test_a_report_and_what_it_was_made_from_are_those_of_one_process(model, tmp_path):
    data = datasets.make_boxes(tmp_path / "data", 20)
    config = EvaluateConfig(
        (model,), data, tmp_path / "out", references=3, ratio=4, points=64, train_objects=5, images=40, textures=2,
        device="cpu",
    )  # fmt: skip
    said, files = _work(_evaluate, config, 2)
    metrics = json.loads(files["report.json"])["models"][0]["metrics"]
    assert {"fid", "fed", "cov_lfd", "swd_rgb", "texture_used"} <= metrics.keys()
    assert not [name for name in files if "blocks" in name]
    assert (said, files) == _work(_evaluate, config, 1)


def _assets(folder):
    for name in ("a.ply", "b.glb", "c.obj", "d.stl"):
        save_wedge(folder / name)
    (folder / "e.glb").write_bytes(b"glTF")
    return folder


@pytest.mark.slow
def test_a_rendered_dataset_is_that_of_one_process_and_is_gone_on_with(tmp_path):
    config = RenderConfig(
        _assets(tmp_path / "assets"), tmp_path / "out", views=2, resolution=16, supersample=1, workers=1
    )
    said, files = _work(render_models, config, 2)
    assert "4 objects rendered, 1 file left out" in said
    assert len(files) == 4 * 3 + 3
    alone = _work(render_models, config, 1)
    assert files == alone[1]
    # Two that were stopped: each had its own models done.
    out = tmp_path / "out/2"
    whole = json.loads((out / "report.json").read_text())
    for rank, name in enumerate(("report.json", "report-1.json")):
        (out / name).write_text(json.dumps(whole | {"models": whole["models"][rank::2]}))
    (out / "cameras.csv").unlink()
    (out / "meshes/a.glb").unlink()
    kept = (out / "images/b/000.png").stat().st_mtime_ns
    assert _work(render_models, config, 2)[1] == files
    assert (out / "images/b/000.png").stat().st_mtime_ns == kept


@pytest.mark.slow
def test_a_lost_process_is_named_and_the_others_go_on_from_what_is_written(model, tmp_path):
    """Bare meshes that are there are not made again, after one process was killed and both were started again."""
    out = tmp_path / "out"
    options = ["--num=200", "--geometry-only", "--points=20", "--device=cpu", "--processes=2", "--max-restarts=1"]
    launcher = subprocess.Popen(
        [sys.executable, "-m", "get3d", "generate", model, f"--out={out}", *options],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
    )
    while not list(out.glob("0*.npz")):
        assert launcher.poll() is None, launcher.communicate()
        time.sleep(0.01)
    children = psutil.Process(launcher.pid).children()
    next(child for child in children if "get3d.distributed.launcher" in child.cmdline()).kill()
    made = {path: path.stat().st_mtime_ns for path in out.glob("0*.npz")}
    said, _ = launcher.communicate(timeout=550)
    assert launcher.returncode == 0, said
    assert re.search(r"rank \d was ended by SIGKILL; all processes are started again", said)
    assert said.count("200 meshes") == 1
    assert 0 < len(made) < 200
    assert {path: path.stat().st_mtime_ns for path in made} == made
    assert len(list(out.glob("0*.npz"))) == len(list(out.glob("0*.glb"))) == 200


COMMANDS = {
    "generate": ["nothing"],
    "evaluate": ["nothing", "--data=nowhere"],
    "render": ["nowhere", "--out=data"],
    "train": ["demo", "--data=nowhere"],
}


@pytest.mark.parametrize("command", COMMANDS)
@pytest.mark.parametrize(
    ("option", "message"),
    [
        ("--processes=0", "--processes is 0; it must be at least 1"),
        ("--gpus=0", "--processes is 0; it must be at least 1"),
        ("--processes=2", "no such (model|folder)"),
        ("--max-restarts=-1", "--max-restarts is -1; it must be at least 0"),
        ("--timeout=0", "--timeout is 0.0; it must be above 0"),
    ],
)
def test_bad_input_is_said_once_before_any_process_is_started(monkeypatch, capfd, tmp_path, command, option, message):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("torch.distributed.launcher.api.elastic_launch", lambda *_: pytest.fail("started"))
    monkeypatch.setattr(sys, "argv", ["get3d", command, *COMMANDS[command], option, "--device=cpu"])
    with pytest.raises(SystemExit) as ended:
        cli.main()
    assert ended.value.code == 2
    assert re.fullmatch(f"error: .*{message}.*\n", capfd.readouterr().err)
    assert not Path("data").exists()


@pytest.mark.slow
def test_what_only_one_of_the_processes_cannot_do_is_said_once(model, tmp_path):
    config = GenerateConfig(model, out=tmp_path, num=2, **QUICK)
    first, second = Ranks([config, replace(config, model="nothing")], work=generate).end()
    assert re.match(r"InputError: rank 1 \(.*\): nothing: no such model", first)
    assert not second
