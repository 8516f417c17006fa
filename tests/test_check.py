"""Every kind of bad file is found, by the quick checks where they can, and named with what to do."""

import io
import json
import math
import re
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from rich.console import Console

from datasets import image, make_dataset, make_published
from get3d.authoring.procedural import SynthConfig, synthesize
from get3d.datasets.check import check, print_report
from get3d.datasets.index import Assumed
from get3d.datasets.loader import ImageDataset
from get3d.files import InputError


def test_a_good_dataset_is_usable(tmp_path):
    report = check(make_dataset(tmp_path))
    assert report.usable
    assert (report.images, report.objects, report.resolution) == (30, 10, 16)
    assert report.splits == {"train": 7, "val": 1, "test": 2}
    assert report.silhouette_iou is None
    assert report.touching == 0
    assert str(report).startswith("usable\n")
    assert check(make_published(tmp_path / "published")).usable


def first(root: Path) -> Path:
    return root / "images" / "000000" / "000.png"


def drop_camera(root: Path) -> None:
    lines = (root / "cameras.csv").read_text().splitlines(keepends=True)
    (root / "cameras.csv").write_text("".join(lines[:1] + lines[2:]))


def drop_image(root: Path) -> None:
    first(root).unlink()


def double_camera(root: Path) -> None:
    lines = (root / "cameras.csv").read_text().splitlines(keepends=True)
    (root / "cameras.csv").write_text("".join([*lines, lines[1]]))


def truncate(root: Path) -> None:
    first(root).write_bytes(first(root).read_bytes()[:-20])


def empty_file(root: Path) -> None:
    first(root).write_bytes(b"")


def other_format(root: Path) -> None:
    Image.fromarray(image(0, 16)[..., :3]).save(first(root), format="JPEG")


def no_alpha(root: Path) -> None:
    Image.fromarray(image(0, 16)[..., :3]).save(first(root))


def other_size(root: Path) -> None:
    Image.fromarray(image(0, 32)).save(first(root))


def rewrite_cameras(root: Path, function) -> None:
    lines = (root / "cameras.csv").read_text().splitlines()
    rows = [line.split(",") for line in lines[1:]]
    changed = [f"{name},{function(float(a), float(p))}" for name, a, p in rows]
    (root / "cameras.csv").write_text("\n".join([lines[0], *changed]) + "\n")


def radians(root: Path) -> None:
    rewrite_cameras(root, lambda a, p: f"{np.radians(a)},{np.radians(p)}")


def elevation(root: Path) -> None:
    rewrite_cameras(root, lambda a, p: f"{a},{90 - p}")


def infinite(root: Path) -> None:
    rewrite_cameras(root, lambda a, p: f"inf,{p}")


def too_large(root: Path) -> None:
    rewrite_cameras(root, lambda a, p: f"1e300,{p}")


def narrow_prior(root: Path) -> None:
    path = root / "dataset.json"
    values = json.loads(path.read_text())
    values["camera"]["azimuth"] = [0, 180]
    path.write_text(json.dumps(values))


def leak(root: Path) -> None:
    path = root / "dataset.json"
    values = json.loads(path.read_text())
    values["splits"]["test"].append(values["splits"]["train"][0])
    path.write_text(json.dumps(values))


def odd_resolution(root: Path) -> None:
    shutil.rmtree(root)
    make_dataset(root, resolution=24)


QUICK = [
    (drop_camera, r"000000/000\.png: has no camera"),
    (drop_image, r"000000/000\.png: has a camera but is missing"),
    (double_camera, r"000000/000\.png: has 2 cameras"),
    (truncate, r"000000/000\.png: is truncated"),
    (empty_file, r"000000/000\.png: is not a PNG file, or is truncated"),
    (other_format, r"000000/000\.png: is not a PNG file"),
    (no_alpha, r"000000/000\.png: has no alpha channel \(RGB\)"),
    (other_size, r"000000/000\.png: is 32 × 32, the dataset's images are 16 × 16"),
    (radians, r"cameras\.csv: no azimuth is larger than 6\.\d+, so the angles seem to be radians; write .* degrees"),
    (elevation, r"cameras\.csv: the camera of 000000/000\.png has azimuth .* outside azimuth 0° to 360°, polar"),
    (infinite, r"cameras\.csv: the camera of 000000/000\.png has azimuth inf"),
    (too_large, r"cameras\.csv: the camera of 000000/000\.png has azimuth 1e\+300"),
    (narrow_prior, r"outside azimuth 0° to 180°"),
    (leak, r"the object '000000' is in the splits test and train"),
    (odd_resolution, r"dataset\.json: the resolution is 24; it must be a power of two"),
]


@pytest.mark.parametrize(("spoil", "text"), QUICK, ids=[spoil.__name__ for spoil, _ in QUICK])
def test_quick_problems_stop_training_and_are_reported(tmp_path, spoil, text):
    root = make_dataset(tmp_path / "data")
    spoil(root)
    with pytest.raises(InputError, match=text):
        ImageDataset(root, "train")
    report = check(root)
    assert not report.usable
    with pytest.raises(AssertionError, match=text):
        raise AssertionError(str(report))


def damaged(root: Path) -> None:
    content = first(root).read_bytes()
    first(root).write_bytes(content[:60] + bytes(10) + content[70:])


def empty_alpha(root: Path) -> None:
    Image.fromarray(np.zeros((16, 16, 4), np.uint8)).save(first(root))


def full_alpha(root: Path) -> None:
    Image.fromarray(np.full((16, 16, 4), 255, np.uint8)).save(first(root))


@pytest.mark.parametrize(
    ("spoil", "text"),
    [(damaged, "is damaged"), (empty_alpha, "its alpha is empty"), (full_alpha, "its alpha is full")],
)
def test_what_shows_in_pixels_only_is_reported(tmp_path, spoil, text):
    root = make_dataset(tmp_path)
    spoil(root)
    report = check(root)
    assert [problem.file for problem in report.errors] == [first(root)]
    assert text in str(report)
    assert "not usable: 1 problem\n" in str(report)


def test_every_bad_image_is_named_once(tmp_path):
    root = make_dataset(tmp_path)
    drop_image(root)
    for spoil, name in ((truncate, "000001"), (no_alpha, "000002")):
        shutil.copy(root / "images" / name / "001.png", first(root))
        spoil(root)
        shutil.move(first(root), root / "images" / name / "001.png")
    files = [problem.file.relative_to(root / "images").as_posix() for problem in check(root).errors]
    assert sorted(files) == ["000000/000.png", "000001/001.png", "000002/001.png"]


def test_objects_at_the_border_are_counted_but_usable(tmp_path):
    root = make_dataset(tmp_path)
    pixels = image(0, 16)
    pixels[:8, 3] = 255
    Image.fromarray(pixels).save(first(root))
    report = check(root)
    assert report.usable
    assert report.touching == 1
    assert "1 image (3.3 %) shows" in str(report)


def test_repeated_images_and_those_in_two_splits_are_told(tmp_path):
    root = make_dataset(tmp_path)
    for name in ("000000/001.png", "000003/002.png"):
        shutil.copy(first(root), root / "images" / name)
    report = check(root)
    assert report.usable
    assert report.details.repeated == [[0, 1, 11]]
    assert "3 images equal another one, pixel by pixel, for example 000000/000.png and 000000/001.png" in str(report)
    assert "1 image is in two splits, for example 000000/000.png and 000000/001.png and 000003/002.png" in str(report)


def test_parts_of_the_range_without_cameras_are_told(tmp_path):
    root = make_dataset(tmp_path, objects=40)
    assert "few cameras" not in str(check(root))
    rewrite_cameras(root, lambda a, p: f"{a / 2},{p}")
    report = check(root)
    assert report.usable
    assert "few cameras or none have their azimuth in 180° to 210°, 210° to 240°" in str(report)
    rewrite_cameras(root, lambda a, p: f"{a},{60 + (p - 60) / 2}")
    assert "polar angle in 75° to 80°, 80° to 85°, 85° to 90°" in str(check(root))


def test_small_objects_off_the_middle_are_told(tmp_path):
    root = make_dataset(tmp_path)
    for path in (root / "images").rglob("*.png"):
        pixels = np.zeros((16, 16, 4), np.uint8)
        pixels[1:5, 2:4] = [*np.random.default_rng(len(str(path))).integers(0, 255, 3), 255]
        Image.fromarray(pixels).save(path)
    report = check(root)
    assert report.usable
    assert "objects are 25% to 25% of their images' side long, half of them more than 25%" in str(report)
    assert "objects are small" in str(report)
    assert "of the side off the middle of their image" in str(report)


def test_missing_and_empty_folders_are_reported(tmp_path):
    assert "no such folder" in str(check(tmp_path / "nothing"))
    assert "is not a dataset" in str(check(tmp_path))


def test_published_layout_problems(tmp_path):
    root = make_published(tmp_path)
    model = root / "img" / "03001627" / "model2"
    (model / "002.png").unlink()
    shutil.copy(root / "img" / "03001627" / "model1" / "000.png", root / "img" / "03001627" / "model1" / "003.png")
    shutil.rmtree(root / "camera" / "03001627" / "model5")
    text = str(check(root))
    assert "model2/002.png: has a camera but is missing" in text
    assert "model1/003.png: has no camera" in text
    assert "model5/000.png: has no camera" in text
    with pytest.raises(InputError):
        ImageDataset(root, "train")


@pytest.fixture(scope="module")
def chairs(tmp_path_factory):
    root = tmp_path_factory.mktemp("chairs")
    config = SynthConfig("chair", root, shapes=4, views=4, resolution=64, texture=256, workers=1)
    return synthesize(config, Console(quiet=True))


def test_silhouettes_agree_with_the_meshes(chairs):
    report = check(chairs)
    assert report.usable
    assert report.silhouette_iou > 0.95


def test_wrong_conventions_are_found_by_the_meshes(chairs, tmp_path):
    root = shutil.copytree(chairs, tmp_path / "data")
    rewrite_cameras(root, lambda a, p: f"{360 - a},{p}")
    report = check(root)
    assert not report.usable
    assert [problem.file.name for problem in report.errors] == ["meshes"]
    assert "agree poorly with the images" in str(report)
    assert "when cameras are read as −azimuth" in str(report)


def test_the_mesh_of_another_object_is_found(chairs, tmp_path):
    root = shutil.copytree(chairs, tmp_path / "data")
    shutil.copy(root / "meshes" / "000002.glb", root / "meshes" / "000000.glb")
    report = check(root)
    assert [problem.file.name for problem in report.errors] == ["000000.glb"]
    assert "agree poorly with the images of 000000" in str(report)


def test_a_broken_mesh_is_reported(chairs, tmp_path):
    root = shutil.copytree(chairs, tmp_path / "data")
    (root / "meshes" / "000000.glb").write_bytes(b"glTF nonsense")
    report = check(root)
    assert [problem.file.name for problem in report.errors] == ["000000.glb"]
    assert "is not a readable mesh" in str(report)


def described(root, **changes):
    path = root / "dataset.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))
    return check(root)


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({"scale": math.nan}, "dataset.json: is not readable JSON (NaN is not a finite number)"),
        ({"scale": -1}, "scale is -1, not the longest side"),
        ({"scale": 0}, "scale is 0, not the longest side"),
        ({"scale": 1e300}, "scale is 1e+300, not the longest side"),
        ({"scale": 3.0}, "objects are 3 long, and shapes are learned in a cube of a side below 2; divide `scale`"),
        ({"splits": {"train": [], "val": [], "test": []}}, "none of the 10 objects is in the split 'train'"),
        ({"splits": {}}, "none of the 10 objects is in the split 'train'"),
        ({"splits": {"train": "000000"}}, "train is str, not a list of names"),
        ({"splits": {"training": ["000000"]}}, "splits has the entry 'training', not one of train, val, test"),
        ({"resolution": 16.5}, "the resolution is 16.5, not an integer"),
    ],
)
def test_descriptions_that_nothing_can_be_trained_by(tmp_path, changes, text):
    report = described(make_dataset(tmp_path), **changes)
    assert not report.usable
    assert text in report.errors[0].message
    with pytest.raises(InputError):
        ImageDataset(tmp_path, "train")


@pytest.mark.parametrize("turn", ["nan", "inf", "1e300"])
def test_turns_of_the_light_are_finite(tmp_path, turn):
    root = make_dataset(tmp_path)
    described(root, light={"kind": "studio", "turned": True, "shading": "matte"})
    lines = (root / "cameras.csv").read_text().splitlines()
    lines = [f"{lines[0]},light", *(f"{line},{turn if number == 4 else 30}" for number, line in enumerate(lines[1:]))]
    (root / "cameras.csv").write_text("\n".join(lines) + "\n")
    found = r"cameras\.csv: the light of 000001/001\.png is turned by (nan|inf|1\.7\d*e\+298) radians; correct it"
    assert re.search(found, str(check(root)))
    with pytest.raises(InputError, match=found):
        ImageDataset(root, "train")


@pytest.mark.parametrize("scale", [math.nan, -1.0, 0.0, 1e300])
def test_what_is_assumed_must_be_possible(tmp_path, scale):
    with pytest.raises(InputError, match="--assumed: scale is"):
        ImageDataset(make_published(tmp_path), "train", assumed=Assumed(scale=scale))


def test_sets_without_held_out_objects_are_told(tmp_path):
    report = described(make_dataset(tmp_path), splits={"train": ["000000"], "val": [], "test": []})
    assert report.usable
    assert "no object is in the split 'val': training measures its snapshots on the images that" in str(report)
    assert "no object is in the split 'test': `get3d evaluate` needs --split train\n" in f"{report}\n"


def test_an_object_that_fills_an_image_is_no_forgotten_mask(tmp_path):
    root = make_dataset(tmp_path)
    large = np.full((16, 16, 4), 255, np.uint8)
    Image.fromarray(large).save(root / "images" / "000000" / "000.png")
    # The object's other images show it in the middle: a mask was forgotten.
    assert "000000/000.png: its alpha is full" in str(check(root))
    large[:4] = 0
    for view in (1, 2):
        Image.fromarray(large).save(root / "images" / "000000" / f"{view:03d}.png")
    report = check(root)
    assert report.usable, str(report)
    assert report.touching == 3
    # Where all are full, none has a mask.
    for view in (1, 2):
        Image.new("RGBA", (16, 16), "red").save(root / "images" / "000000" / f"{view:03d}.png")
    assert len(check(root).errors) == 3


def test_many_objects_at_the_border_bring_a_hint(tmp_path):
    root = make_dataset(tmp_path)
    assert "--scale" not in str(check(root))
    for name in ("000000", "000001"):
        for view in range(3):
            pixels = np.zeros((16, 16, 4), np.uint8)
            pixels[3:, 4:12] = 255
            Image.fromarray(pixels).save(root / "images" / name / f"{view:03d}.png")
    # The corners of a cube of 0.57 lie on a sphere that just fits: 2 · 1.2 · sin(atan(16 / 35)) / √3 = 0.576.
    text = str(check(root))
    assert "6 images (20.0 %) show an object that touches the border: objects are cut off. Render them with" in text
    assert "a smaller --scale (0.57 fits any form)" in text


def test_the_report_as_json(tmp_path):
    root = make_dataset(tmp_path)
    (root / "images" / "000000" / "000.png").unlink()
    values = json.loads(json.dumps(check(root).as_json(), allow_nan=False))
    assert (values["usable"], values["objects"], values["splits"]) == (False, 10, {"train": 7, "val": 1, "test": 2})
    assert values["errors"][0]["file"].endswith("000000/000.png")
    assert json.loads(json.dumps(check(tmp_path / "none").as_json()))["usable"] is False


def test_the_verdict_is_printed_first_and_in_colour(tmp_path):
    root = make_dataset(tmp_path)
    for colour, verdict in (("32", "usable"), ("31", "not usable: 1 problem")):
        said = io.StringIO()
        print_report(check(root), Console(file=said, force_terminal=True, color_system="standard", width=200))
        assert re.match(rf"\x1b\[1;{colour}m{verdict}\x1b\[0m\n[^\x1b]+$", said.getvalue())
        (root / "images" / "000000" / "000.png").unlink(missing_ok=True)
