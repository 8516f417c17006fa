"""A folder of models, some broken, becomes a dataset that one can train on, and a report that names the others."""

import io
import json
import os
import shutil
from concurrent.futures.process import BrokenProcessPool
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pytest
import trimesh
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from rich.console import Console

from get3d.authoring.from_meshes import command
from get3d.authoring.from_meshes.command import render_models
from get3d.authoring.from_meshes.config import RenderConfig, command_line
from get3d.authoring.from_meshes.model_files import find_models
from get3d.authoring.procedural import make
from get3d.camera_prior import CameraPrior
from get3d.datasets.check import check
from get3d.datasets.index import read
from get3d.files import InputError
from get3d.training.loop import train
from models import FORMATS, RED, plain, png, save_wedge, square, textured, write_obj
from tiny import run_config

QUIET = Console(quiet=True)


def config(assets: Path, out: Path, **changes: object) -> RenderConfig:
    defaults = RenderConfig(assets, out, views=2, resolution=16, supersample=2, workers=1)
    return replace(defaults, **changes)


def files(root: Path) -> dict[str, bytes]:
    return {str(path.relative_to(root)): path.read_bytes() for path in sorted(root.rglob("*")) if path.is_file()}


def report(root: Path) -> dict[str, dict]:
    return {entry["file"]: entry for entry in json.loads((root / "report.json").read_text())["models"]}


@pytest.fixture
def eight(tmp_path: Path) -> Path:
    """Eleven files: one of each of eight formats, a cut one, one without faces and one in a foreign format."""
    for suffix in FORMATS:
        save_wedge(tmp_path / f"assets/{suffix}/thing.{suffix}")
    broken = save_wedge(tmp_path / "assets/broken.glb")
    broken.write_bytes(broken.read_bytes()[:700])
    (tmp_path / "assets/points.obj").write_text("v 0 0 0\nv 1 0 0\n")
    (tmp_path / "assets/foreign.max").write_bytes(b"3ds Max")
    return tmp_path / "assets"


@pytest.mark.slow
def test_files_of_eight_formats_and_broken_ones_become_a_dataset_to_train_on(eight, tmp_path):
    said = Console(record=True, quiet=True, width=200)
    root = render_models(config(eight, tmp_path / "data", supersample=3, resolution=32), said)
    outcome = report(root)
    assert len(outcome) == 11
    rendered = {name for name, entry in outcome.items() if entry["object"]}
    assert rendered == {f"{suffix}/thing.{suffix}" for suffix in FORMATS}
    assert "is cut short" in outcome["broken.glb"]["reason"]
    assert "no faces" in outcome["points.obj"]["reason"]
    assert "format .max is not supported" in outcome["foreign.max"]["reason"]
    listing = read(root)
    assert listing.objects == sorted(f"{suffix}/thing" for suffix in FORMATS)
    assert {split: len(members) for split, members in listing.splits.items()} == {"train": 5, "val": 1, "test": 2}
    found = check(root)
    assert found.usable, str(found)
    run = run_config(root, tmp_path / "run", resolution=32, kimg=0.008, snapshot_kimg=0.008)
    train(run, QUIET)
    assert (tmp_path / "run").is_dir()


def test_a_disk_without_room_is_known_before_any_model_is_opened(tmp_path, monkeypatch):
    for name in "abc":
        save_wedge(tmp_path / f"models/{name}.ply")
    free = 10**4
    monkeypatch.setattr("get3d.files.shutil.disk_usage", lambda _: shutil._ntuple_diskusage(10**9, 10**9 - free, free))
    config = RenderConfig(tmp_path / "models", tmp_path / "data", views=4, resolution=64, workers=1)
    with pytest.raises(InputError, match=r"data: has 0\.0 MB free, and 12 images of 64 × 64 of 3 objects take 0\.0 MB"):
        render_models(config, Console(quiet=True))
    assert list((tmp_path / "data").iterdir()) == []


def test_the_report_is_shown_with_each_file_left_out(eight, tmp_path):
    with (tmp_path / "said.txt").open("w") as file:
        render_models(config(eight, tmp_path / "data"), Console(file=file, width=160))
    said = (tmp_path / "said.txt").read_text()
    assert "8 objects rendered, 3 files left out" in said
    assert all(name in said for name in ("broken.glb", "points.obj", "foreign.max"))


def test_long_names_are_shown_in_full_on_narrow_terminals(tmp_path):
    long = "assets/" + "/".join(f"folder{number}" for number in range(12)) + "/scene.usda"
    (tmp_path / "in" / long).parent.mkdir(parents=True)
    (tmp_path / "in" / long).write_text("#usda 1.0")
    save_wedge(tmp_path / "in" / "a.ply")
    said = io.StringIO()
    render_models(config(tmp_path / "in", tmp_path / "data"), Console(file=said, width=60))
    rows = [line.split("│") for line in said.getvalue().splitlines() if line.startswith("│")]
    assert "".join(row[1].strip() for row in rows) == long
    assert " ".join(row[2].strip() for row in rows).strip() == ("the format .usda is not supported; pack it as .usdz")


def test_an_interrupted_dataset_is_gone_on_with_and_mended_models_come_in(tmp_path):
    for name in "abc":
        save_wedge(tmp_path / f"assets/{name}.ply")
    whole = files(render_models(config(tmp_path / "assets", tmp_path / "whole"), QUIET))
    (tmp_path / "assets/b.ply").rename(tmp_path / "b.ply")
    (tmp_path / "assets/b.ply").write_bytes(b"ply")
    part = render_models(config(tmp_path / "assets", tmp_path / "part"), QUIET)
    assert read(part).objects == ["a", "c"]
    kept = (part / "images/a/000.png").stat().st_mtime_ns
    (part / "cameras.csv").unlink()
    (tmp_path / "b.ply").rename(tmp_path / "assets/b.ply")
    render_models(config(tmp_path / "assets", tmp_path / "part"), QUIET)
    again = files(part)
    assert (part / "images/a/000.png").stat().st_mtime_ns == kept
    assert read(part).objects == ["a", "b", "c"]
    for name in ("dataset.json", "report.json"):  # They hold the command, which names the folder.
        whole.pop(name), again.pop(name)
    assert again == whole


@pytest.mark.slow
def test_an_objects_images_depend_on_its_name_and_the_seed_only(tmp_path):
    save_wedge(tmp_path / "one/b.ply")
    for name in "abc":
        save_wedge(tmp_path / f"three/{name}.ply")
    alone = files(render_models(config(tmp_path / "one", tmp_path / "x"), QUIET) / "images/b")
    among = files(render_models(config(tmp_path / "three", tmp_path / "y", workers=2), QUIET) / "images/b")
    other = files(render_models(config(tmp_path / "one", tmp_path / "z", seed=1), QUIET) / "images/b")
    assert alone == among
    assert alone != other


def test_shapenet_folders_become_the_published_layout(tmp_path):
    """<synset>/<model>/model.obj, as procedural chairs; split files name the models without their group."""
    for number in range(4):
        folder = tmp_path / f"assets/03001627/chair{number}"
        folder.mkdir(parents=True)
        make("chair", 0, number, texture=256).save(folder / "model.obj")
    (tmp_path / "lists").mkdir()
    for split, names in {"train": "chair0\nchair2\n", "val": "chair1\n", "test": "chair3\nelsewhere\n"}.items():
        (tmp_path / f"lists/{split}.txt").write_text(names)
    settings = config(tmp_path / "assets", tmp_path / "data", layout="published", splits=tmp_path / "lists", scale=0.7)
    root = render_models(settings, QUIET)
    assert sorted(path.name for path in root.iterdir()) == [
        "camera", "dataset.json", "img", "meshes", "report.json", "splits",
    ]  # fmt: skip
    rotation = np.load(root / "camera/03001627/chair2/rotation.npy")
    elevation = np.load(root / "camera/03001627/chair2/elevation.npy")
    assert rotation.shape == elevation.shape == (2,)
    listing = read(root)
    assert listing.objects == [f"03001627/chair{number}" for number in range(4)]
    assert [listing.objects[i] for i in listing.splits["train"]] == ["03001627/chair0", "03001627/chair2"]
    np.testing.assert_allclose(np.degrees(listing.angles[4:6]), np.stack([rotation, 90 - elevation], axis=1))
    given = read(root, tmp_path / "lists")
    written = read(root, root / "splits")
    for split in listing.splits:
        assert listing.splits[split].tolist() == given.splits[split].tolist() == written.splits[split].tolist()
    own = render_models(replace(settings, layout="own", out=tmp_path / "own"), QUIET)
    drawn = {name: content for name, content in files(root / "img").items() if not name.endswith("transforms.json")}
    assert drawn == files(own / "images")
    assert files(root / "meshes") == files(own / "meshes")
    assert check(root).usable


def test_objects_that_no_split_names_are_left_out(tmp_path):
    for name in "abcd":
        save_wedge(tmp_path / f"assets/{name}.ply")
    (tmp_path / "lists").mkdir()
    for split, name in zip(("train", "val", "test"), "abc", strict=True):
        (tmp_path / f"lists/{split}.txt").write_text(name)
    root = render_models(config(tmp_path / "assets", tmp_path / "data", splits=tmp_path / "lists"), QUIET)
    assert "in none of the splits" in report(root)["d.ply"]["reason"]
    (tmp_path / "lists/val.txt").write_text("z")
    with pytest.raises(InputError, match="names none of the 4 objects"):
        render_models(config(tmp_path / "assets", tmp_path / "other", splits=tmp_path / "lists"), QUIET)


def test_missing_textures_are_counted_or_with_strict_left_out(tmp_path):
    write_obj(tmp_path / "assets", mtl="map_Kd gone.png\n", name="a.obj")
    save_wedge(tmp_path / "assets/b.ply")
    root = render_models(config(tmp_path / "assets", tmp_path / "data"), QUIET)
    assert json.loads((root / "report.json").read_text())["with_missing_files"] == 1
    assert report(root)["a.obj"]["missing"] == ["gone.png"]
    strict = render_models(config(tmp_path / "assets", tmp_path / "strict", strict=True), QUIET)
    assert "'gone.png' is missing" in report(strict)["a.obj"]["reason"]
    assert read(strict).objects == ["b"]


def test_what_is_clear_all_over_is_left_out(tmp_path):
    (tmp_path / "assets").mkdir()
    textured(square(), plain((*RED, 0)), alphaMode="BLEND").export(tmp_path / "assets/a.glb")
    save_wedge(tmp_path / "assets/b.ply")
    root = render_models(config(tmp_path / "assets", tmp_path / "data"), QUIET)
    assert "nothing of it is visible" in report(root)["a.glb"]["reason"]


def test_a_model_that_kills_its_process_is_found_and_the_others_are_rendered(tmp_path, monkeypatch):
    for name in "abcdef":
        save_wedge(tmp_path / f"assets/{name}.ply")

    def in_processes(function, items, workers, *, isolated=False):
        for item in items:
            if item.name == "c":
                raise BrokenProcessPool
            yield function(item)

    monkeypatch.setattr(command, "in_processes", in_processes)
    root = render_models(config(tmp_path / "assets", tmp_path / "data"), QUIET)
    assert read(root).objects == list("abdef")
    assert "process was killed" in report(root)["c.ply"]["reason"]


def test_names_of_objects(tmp_path):
    for file in ("a/b/model.obj", "a/c/models/model_normalized.obj", "scene.gltf", "d/e.ply", "d/e.stl", ".x/f.ply"):
        path = tmp_path / file
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"")
    names = {source.file: source.name for source in find_models(tmp_path).sources}
    assert names == {
        "a/b/model.obj": "a/b",
        "a/c/models/model_normalized.obj": "a/c",
        "d/e.ply": "d/e.ply",
        "d/e.stl": "d/e.stl",
        "scene.gltf": "scene",
    }


def test_a_list_of_files(tmp_path):
    save_wedge(tmp_path / "a/x.ply")
    save_wedge(tmp_path / "b/y.ply")
    save_wedge(tmp_path / "b/z.ply")
    save_wedge(tmp_path / "outside.ply")
    (tmp_path / "b/list.txt").write_text("# mine\ny.ply\n\n./y.ply\ngone.ply\n../outside.ply\n")
    found = find_models(tmp_path / "b/list.txt")
    assert [source.name for source in found.sources] == ["y"]
    assert found.refused["gone.ply"] == "no such file"
    assert "leads out of the folder" in found.refused["../outside.ply"]


@pytest.mark.parametrize("relative", [False, True])
def test_absolute_lines_of_a_list_do_not_touch_the_models(tmp_path, monkeypatch, relative):
    models = tmp_path / "models"
    save_wedge(models / "a.glb")
    save_wedge(models / "b" / "model.glb")
    save_wedge(tmp_path / "outside.glb")
    (models / "list.txt").write_text(
        f"\ufeff{models}/a.glb\n{models}/b/model.glb\n{models}/b/../a.glb\n{tmp_path}/outside.glb\n", encoding="utf-8"
    )
    before = files(models)
    monkeypatch.chdir(models)
    root = render_models(config(Path("list.txt") if relative else models / "list.txt", tmp_path / "data"), QUIET)
    outcome = report(root)
    assert {name: entry["object"] for name, entry in outcome.items() if entry["object"]} == {
        "a.glb": "a",
        "b/model.glb": "b",
    }
    assert "leads out of the folder" in outcome[f"{tmp_path}/outside.glb"]["reason"]
    assert files(models) == before
    assert {name for name in files(root) if name.endswith(".glb")} == {"meshes/a.glb", "meshes/b.glb"}


def test_names_within_and_without_are_told_apart(tmp_path):
    save_wedge(tmp_path / "elsewhere/a.glb")
    save_wedge(tmp_path / "models/b.glb")
    save_wedge(tmp_path / "models/c\nd.glb")
    (tmp_path / "models/linked").symlink_to(tmp_path / "elsewhere")
    (tmp_path / "models/again").symlink_to(tmp_path / "models")
    os.mkfifo(tmp_path / "models/pipe.glb")
    found = find_models(tmp_path / "models")
    assert [source.name for source in found.sources] == ["b"]
    assert set(found.refused) == {"linked", "pipe.glb", "c\nd.glb"}
    assert "link to the folder" in found.refused["linked"]
    assert found.refused["pipe.glb"] == "is not a regular file"


@given(st.lists(st.text(max_size=12), max_size=4))
def test_no_line_of_a_list_leads_out_of_its_folder(lines):
    with TemporaryDirectory() as name:
        root = Path(name).resolve() / "in"
        save_wedge(root / "a" / "b.off")
        (root / "list.txt").write_text("\n".join(["a/b.off", "a/../../in/a/b.off", *lines]), encoding="utf-8")
        found = find_models(root / "list.txt")
        assert [source.name for source in found.sources] == ["a/b"]


def test_a_pipe_in_place_of_a_list_is_refused_at_once(tmp_path):
    os.mkfifo(tmp_path / "list.txt")
    with pytest.raises(InputError, match="neither a folder nor a list"):
        find_models(tmp_path / "list.txt")


@pytest.mark.parametrize("kind", ["../../x", "..", "/a/b", ""])
def test_a_kind_is_a_name(tmp_path, kind):
    with pytest.raises(InputError, match="--kind"):
        config(tmp_path, tmp_path / "out", kind=kind)


def test_an_empty_folder_and_a_folder_of_broken_models(tmp_path):
    with pytest.raises(InputError, match="no such folder"):
        render_models(config(tmp_path / "assets", tmp_path / "data"), QUIET)
    (tmp_path / "assets").mkdir()
    with pytest.raises(InputError, match="holds no model"):
        render_models(config(tmp_path / "assets", tmp_path / "data"), QUIET)
    assert not (tmp_path / "data").exists()
    (tmp_path / "assets/a.glb").write_bytes(b"")
    with pytest.raises(InputError, match=r"no model could be rendered; a\.glb: the file is empty"):
        render_models(config(tmp_path / "assets", tmp_path / "data"), QUIET)


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({"seed": 1}, "seed 0, requested is 1"),
        ({"light": "even"}, "settings"),
        ({"scale": 0.5}, "scale 0.9, requested is 0.5"),
    ],
)
def test_a_dataset_of_other_settings_is_not_overwritten(tmp_path, changes, text):
    save_wedge(tmp_path / "assets/a.ply")
    settings = config(tmp_path / "assets", tmp_path / "data")
    before = files(render_models(settings, QUIET))
    with pytest.raises(InputError, match=text):
        render_models(replace(settings, **changes), QUIET)
    assert files(tmp_path / "data") == before


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({"resolution": 100}, "--resolution is 100"),
        ({"views": 0}, "--views is 0"),
        ({"scale": 2.0}, "--scale is 2.0"),
        ({"supersample": 9}, "--supersample is 9"),
        ({"max_faces": 0}, "--max-faces is 0"),
        ({"limit": 0}, "--limit is 0"),
        ({"ratio": (0.5, 0.1, 0.1)}, "--ratio is 0.5 0.1 0.1"),
        ({"prior": CameraPrior(polar=(90.0, 60.0))}, "--prior: polar is 90 to 60"),
        ({"prior": CameraPrior(radius=0.5)}, "--prior.radius is 0.5"),
    ],
)
def test_settings_out_of_range_are_refused(tmp_path, changes, text):
    with pytest.raises(InputError, match=text):
        config(tmp_path, tmp_path / "out", **changes)


def test_the_command_line_is_recorded(tmp_path):
    settings = RenderConfig(Path("a b"), Path("out"), strict=True, ratio=(0.8, 0.1, 0.1), max_faces=5, up="-y")
    assert command_line(settings) == "get3d render 'a b' --out=out --up=-y --ratio=0.8 0.1 0.1 --strict --max-faces=5"


def test_images_show_the_texture(tmp_path):
    (tmp_path / "assets").mkdir()
    mesh = textured(square(), plain(RED))
    trimesh.Scene(mesh).export(tmp_path / "assets/a.glb")
    (tmp_path / "assets/unused.png").write_bytes(png(plain(RED)))
    root = render_models(config(tmp_path / "assets", tmp_path / "data", light="even", views=4), QUIET)
    for view in range(4):
        with Image.open(root / f"images/a/{view:03d}.png") as image:
            pixels = np.asarray(image).astype(int)
        inside = pixels[..., 3] > 0
        assert abs(pixels[inside][:, :3] - RED).max() <= 1
