"""Camera files, images and masks as other programs leave them: each is read right, or refused with what is wrong."""

import json
import math
import os
import re
import shutil
import socket
from pathlib import Path

import numpy as np
import psutil
import pytest
from PIL import Image
from rich.console import Console

from captures import blender_matrices, capture, write_colmap, write_transforms
from datasets import make_dataset
from get3d.authoring.from_images import ImportConfig, import_images
from get3d.authoring.from_images.colmap import read_colmap
from get3d.authoring.from_images.crop import Window, read_head, write_image
from get3d.authoring.from_images.tables import read_csv
from get3d.authoring.from_images.transforms import read_transforms
from get3d.checkpoints.published import load_published
from get3d.datasets.check import check
from get3d.datasets.ground_truth import read_mesh
from get3d.files import InputError, open_file, read_text, text_lines
from get3d.storage import load_tensors

CASES = Path(__file__).parent / "fixtures" / "cases"
QUIET = Console(quiet=True)
RIGHT = CASES / "suffix_upper" / "images"
"""The five images that most cases show, as they should come out."""


def imported(out, images, cameras, **options):
    report = import_images(ImportConfig(images, cameras, out, **{"object": "thing"} | options), QUIET)
    assert check(out).usable
    return report


def pixels(path):
    return np.asarray(Image.open(path).convert("RGBA"))


def written(out, count):
    paths = sorted((out / "images").rglob("*.png"))
    assert len(paths) == count
    return [pixels(path) for path in paths]


def read_lines(path, most):
    with text_lines(path, most) as lines:
        return list(lines)


def right(count):
    return [pixels(RIGHT / f"r_{number:03d}.PNG") for number in range(count)]


def same(some, others):
    return all(np.array_equal(one, other) for one, other in zip(some, others, strict=True))


def test_colmap_without_lines_of_points(tmp_path):
    case = CASES / "colmap_no_point_lines"
    report = imported(tmp_path / "out", case / "images", case)
    assert (report["imported"], report["left_out"]) == (5, 0)


@pytest.mark.parametrize("points", ["", "1.5 2.5 -1 3 4 7 5 6 1 8.5 9 -1", None])
@pytest.mark.parametrize("names", [["a b.png", "b.png", "c.png"], ["1", "2", "3"]])
def test_colmap_lines_of_points_tell_themselves_apart(tmp_path, points, names):
    matrices = blender_matrices(np.array([[10.0, 80.0], [200.0, 70.0], [300.0, 60.0]]), 2.0)
    path = write_colmap(tmp_path, matrices, names, "PINHOLE 80 60 50 51 40 30") / "images.txt"
    heads = [line for line in path.read_text().splitlines() if len(line.split()) >= 10]
    path.write_text("".join(f"{line}\n" + ("" if points is None else f"{points}\n") for line in heads))
    poses = read_colmap(tmp_path)
    assert poses.names == names
    assert np.allclose(poses.positions, matrices[:, :3, 3], atol=1e-6)


@pytest.mark.parametrize(("kind", "found"), [("latin1", "it has the byte 0xfc"), ("utf16", "it is UTF-16")])
def test_tables_in_other_encodings_are_refused(kind, found):
    path = CASES / "csv_not_utf8" / f"v_{kind}" / "cameras.csv"
    with pytest.raises(InputError, match=rf"cameras\.csv: is not UTF-8 text \({found}\); save it again"):
        read_csv(path, 50.0)


def test_images_are_turned_as_exif_says(tmp_path):
    case = CASES / "exif_turned"
    report = imported(tmp_path / "out", case, case / "transforms.json")
    assert report["warnings"][0] == "5 images are stored sideways and were rotated as their EXIF data says"
    assert same(written(tmp_path / "out", 5), right(5))
    assert not any(Image.open(path).getexif() for path in (tmp_path / "out").rglob("*.png"))


@pytest.mark.parametrize("suffix", ["png", "jpg", "webp"])
def test_the_aspect_of_the_camera_says_whether_it_is_of_the_stored_image(tmp_path, suffix):
    stored = Image.new("RGB", (40, 20), "white")
    exif = Image.Exif()
    exif[0x0112] = 6
    stored.save(tmp_path / f"a.{suffix}", exif=exif)
    Image.new("L", (20, 40), 255).save(tmp_path / "mask.png")
    turned = read_head(tmp_path / f"a.{suffix}", tmp_path / "mask.png", 0.5)
    assert (turned.width, turned.height, turned.turned) == (20, 40, True)
    Image.new("L", (40, 20), 255).save(tmp_path / "mask.png")
    as_stored = read_head(tmp_path / f"a.{suffix}", tmp_path / "mask.png", 2.0)
    assert (as_stored.width, as_stored.height, as_stored.turned) == (40, 20, False)


@pytest.mark.parametrize("kind", ["01", "i16", "rgba_opaque"])
def test_masks_of_other_ranges_and_depths(tmp_path, kind):
    case = CASES / "mask_messages" / f"m_{kind}"
    imported(tmp_path / "out", case / "p", case / "p" / "transforms.json", masks=case / "m")
    alpha = [one[..., 3] for one in written(tmp_path / "out", 3)]
    truth = [one[..., 3] for one in right(3)]
    if kind == "01":
        truth = [np.where(one > 127, 255, 0) for one in truth]
    assert same(alpha, truth)


def test_masks_of_labels(tmp_path):
    case = CASES / "mask_palette"
    imported(tmp_path / "out", case / "p", case / "p" / "transforms.json", masks=case / "m")
    alpha = [one[..., 3] for one in written(tmp_path / "out", 5)]
    assert same(alpha, [np.where(one[..., 3] > 127, 255, 0) for one in right(5)])


@pytest.mark.parametrize(
    ("labels", "alpha", "message"),
    [
        ([0, 1, 255], [0, 255, 0], None),  # The border of Pascal VOC is no object.
        ([0, 255, 255], [0, 255, 255], None),
        ([0, 1, 2], None, r"mask\.png has 2 labels \(1, 2\); one object has one"),
        ([0, 0, 0], None, r"its mask .*mask\.png is empty"),
        ([3, 3, 3], None, r"its mask .*mask\.png is full"),
    ],
)
def test_labels_of_masks(tmp_path, labels, alpha, message):
    Image.new("RGB", (16, 16), "red").save(tmp_path / "a.png")
    mask = Image.fromarray(np.repeat(np.repeat(np.array([labels + labels[:1]], np.uint8), 16, 0), 4, 1), "P")
    mask.putpalette([0, 0, 0, 128, 0, 0, 0, 128, 0, 9, 90, 9] + [224, 224, 192] * 252)
    mask.save(tmp_path / "mask.png")
    head = read_head(tmp_path / "a.png", tmp_path / "mask.png")
    if message is not None:
        with pytest.raises(InputError, match=message):
            write_image(head, Window(0, 0, 16), 16, tmp_path / "out.png")
        return
    write_image(head, Window(0, 0, 16), 16, tmp_path / "out.png")
    assert pixels(tmp_path / "out.png")[0, 1:12:4, 3].tolist() == alpha


def test_coloured_masks_are_refused(tmp_path):
    Image.new("RGB", (16, 16), "red").save(tmp_path / "a.png")
    Image.new("RGB", (16, 16), "green").save(tmp_path / "mask.png")
    head = read_head(tmp_path / "a.png", tmp_path / "mask.png")
    with pytest.raises(InputError, match=r"its mask .*mask\.png is coloured; save it as grey"):
        write_image(head, Window(0, 0, 16), 16, tmp_path / "out.png")


@pytest.mark.parametrize("folder", [".", "images"])
def test_nerfstudio_folders(tmp_path, folder):
    case = CASES / "nerfstudio_images_masks"
    imported(tmp_path / "out", case / folder, case / "transforms.json", masks=case / "masks")
    found = written(tmp_path / "out", 5)
    assert same([one[..., 3] for one in found], [one[..., 3] for one in right(5)])


def test_masks_that_the_camera_file_names(tmp_path):
    case = shutil.copytree(CASES / "nerfstudio_images_masks", tmp_path / "case")
    shutil.move(case / "masks", case / "cut")
    values = json.loads((case / "transforms.json").read_text())
    for frame in values["frames"]:
        frame["mask_path"] = frame["file_path"].replace("images", "cut")
    values["frames"][4]["mask_path"] = "../../secret.png"
    (case / "transforms.json").write_text(json.dumps(values))
    report = imported(tmp_path / "out", case, case / "transforms.json")
    assert same([one[..., 3] for one in written(tmp_path / "out", 4)], [one[..., 3] for one in right(4)])
    assert report["reasons"]["no mask"] == 1


def test_smaller_copies_of_images_can_be_chosen_and_are_else_left_alone(tmp_path):
    shot = capture(tmp_path / "shots" / "images", views=8, side=64)
    (tmp_path / "shots" / "images_2").mkdir()
    for path in shot.folder.iterdir():
        Image.open(path).resize((32, 32)).save(tmp_path / "shots" / "images_2" / path.name)
    names = [f"images/{view:03d}.png" for view in range(8)]
    matrices = blender_matrices(shot.degrees, 1.2)
    cameras = write_transforms(tmp_path / "shots" / "transforms.json", matrices, names, fl_x=70.0, w=64, h=64)
    report = imported(tmp_path / "out", tmp_path / "shots", cameras)
    assert (report["imported"], report["left_out"], report["resolution"]) == (8, 0, 64)
    assert "images_2: its 8 images are smaller copies of those of images" in report["warnings"][0]
    report = imported(tmp_path / "small", tmp_path / "shots" / "images_2", cameras)
    assert (report["imported"], report["resolution"]) == (8, 32)


def test_the_scale_of_single_views_is_bounded_and_said_to_be_a_guess(tmp_path):
    case = CASES / "one_image_each"
    report = imported(tmp_path / "out", case / "p", case / "cameras.csv", object=None)
    assert 0.7 < report["scale"] < 1
    assert "from one image of an object" in report["warnings"][0]
    report = imported(tmp_path / "said", case / "p", case / "cameras.csv", object=None, scale=0.7)
    assert (report["scale"], report["warnings"]) == (0.7, [])


@pytest.mark.parametrize("column", ["image", "file", "picture"])
def test_the_images_of_a_table_are_in_a_column_of_any_of_three_names(tmp_path, column):
    table = (CASES / "one_image_each" / "cameras.csv").read_text(encoding="utf-8")
    cameras = tmp_path / "cameras.csv"
    cameras.write_text(table.replace("picture", column, 1), encoding="utf-8")
    report = imported(tmp_path / "out", CASES / "one_image_each" / "p", cameras, object=None)
    assert (report["imported"], report["left_out"]) == (6, 0)


def test_the_reason_is_that_of_images_with_a_camera(tmp_path):
    case = CASES / "reason_hidden_by_no_camera"
    with pytest.raises(InputError, match=r"not one of 3 .* 3 are left out like images/r_000\.png: has no alpha"):
        imported(tmp_path / "out", case, case / "transforms.json")
    for number in range(5):
        shutil.copyfile(case / "images" / "r_000.png", tmp_path / f"other_{number}.png")
    shutil.copytree(case, tmp_path, dirs_exist_ok=True)
    with pytest.raises(InputError, match="has no alpha channel"):
        imported(tmp_path.parent / "out", tmp_path, tmp_path / "transforms.json")


@pytest.mark.parametrize("case", ["suffix_upper", "transforms_bom"])
def test_suffixes_in_capitals_and_byte_order_marks(tmp_path, case):
    report = imported(tmp_path / "out", CASES / case, CASES / case / "transforms.json")
    assert (report["imported"], report["left_out"]) == (5, 0)
    assert same(written(tmp_path / "out", 5), right(5))


@pytest.mark.parametrize(
    "change",
    [
        {"camera_model": "OPENCV_FISHEYE"},
        {"camera_model": "EQUIRECTANGULAR"},
        {"camera_model": "PINHOLE", "is_fisheye": True},
        {"camera_model": 7},
    ],
)
def test_lenses_that_are_no_pinhole_are_refused(tmp_path, change):
    values = json.loads((CASES / "transforms_fisheye" / "transforms.json").read_text())
    (tmp_path / "transforms.json").write_text(json.dumps(values | change))
    with pytest.raises(InputError, match="the lens is not a pinhole"):
        read_transforms(tmp_path / "transforms.json")
    (tmp_path / "transforms.json").write_text(json.dumps(values | {"camera_model": "OPENCV", "is_fisheye": False}))
    assert len(read_transforms(tmp_path / "transforms.json").names) == 5


@pytest.mark.parametrize(
    ("lens", "message"),
    [
        ({"camera_angle_x": math.pi}, "camera_angle_x is 3.14159, .* write radians"),
        ({"camera_angle_x": 49.1}, "camera_angle_x is 49.1, .* write radians"),
        ({"camera_angle_x": math.pi - 1e-9}, "its field of view is 180° across"),
        ({"fl_x": 1e-9, "w": 64}, "its field of view is 180° across"),
        ({"fl_y": 1e9, "h": 64}, "its field of view is .* down"),
    ],
)
def test_fields_of_view_that_no_pinhole_has(tmp_path, lens, message):
    path = write_transforms(tmp_path / "t.json", blender_matrices(np.array([[0.0, 80.0]]), 2.0), ["a"], **lens)
    with pytest.raises(InputError, match=message):
        read_transforms(path)


def test_splits_in_other_encodings(tmp_path):
    root = make_dataset(tmp_path / "data", objects=4)
    report = check(root, CASES / "splits_not_utf8" / "latin")
    assert re.search(r"train\.txt: is not UTF-8 text", report.errors[0].message)
    for split, name in (("train", "000000"), ("val", "000001"), ("test", "000002")):
        (tmp_path / f"{split}.txt").write_text(f"{name}\n", encoding="utf-8-sig")
    report = check(root, tmp_path)
    assert report.usable
    assert report.splits == {"train": 1, "val": 1, "test": 1}


def test_a_dataset_whose_table_is_utf16(tmp_path):
    report = check(CASES / "utf16_cameras")
    assert not report.usable
    assert "cameras.csv: is not UTF-8 text (it is UTF-16)" in report.errors[0].message
    assert len(str(report).splitlines()) == 2


@pytest.mark.parametrize("kind", ["fifo", "socket", "device"])
def test_nothing_waits_for_what_is_no_file(tmp_path, kind):
    path = tmp_path / "a.png"
    listening = socket.socket(socket.AF_UNIX)
    if kind == "fifo":
        os.mkfifo(path)
    elif kind == "socket":
        listening.bind(str(path))
    else:
        path.symlink_to("/dev/zero")
    with listening:
        with pytest.raises(OSError, match=r"regular file|No such device"):
            open_file(path)
        with pytest.raises(InputError, match=r"a\.png: cannot be read"):
            read_text(path)
        with pytest.raises(InputError, match=r"a\.png: cannot be read"):
            read_lines(path, 5)
        with pytest.raises(InputError, match="is not a readable image"):
            read_head(path, None)
        with pytest.raises(InputError, match=r"a\.png: is truncated or not a safetensors file"):
            load_tensors(path)
        with pytest.raises(InputError, match=r"a\.png: is truncated or not a PyTorch checkpoint"):
            load_published(path)
        with pytest.raises(InputError, match=r"a\.png: is not a readable mesh"):
            read_mesh(path)


@pytest.mark.parametrize("name", ["images/000001/001.png", "images/000001/new.png", ".folder.npz", "cameras.csv"])
def test_check_waits_for_no_pipe(tmp_path, name):
    root = make_dataset(tmp_path / "data", objects=4)
    (root / name).unlink(missing_ok=True)
    os.mkfifo(root / name)
    report = check(root)
    assert report.usable == (name == ".folder.npz")
    assert report.usable or name in str(report)


def test_import_waits_for_no_pipe(tmp_path):
    case = shutil.copytree(CASES / "suffix_upper", tmp_path / "case")
    (case / "images" / "r_004.PNG").unlink()
    os.mkfifo(case / "images" / "r_004.PNG")
    report = imported(tmp_path / "out", case, case / "transforms.json")
    assert report["imported"] == 4
    assert "not a regular file" in report["images_left_out"][0]["text"]


def test_text_is_bounded(tmp_path, monkeypatch):
    path = tmp_path / "t.txt"
    path.write_text("a\nb\nc\n", encoding="utf-8-sig")
    assert read_lines(path, 3) == ["a\n", "b\n", "c\n"]
    assert read_text(path) == "a\nb\nc\n"
    with pytest.raises(InputError, match="has more than 2 lines, the maximum; split it"):
        read_lines(path, 2)
    path.write_text("a\nb\0\n")
    for read in (read_text, lambda path: read_lines(path, 9)):
        with pytest.raises(InputError, match=r"is not UTF-8 text \(it has a NUL character"):
            read(path)
    monkeypatch.setattr("get3d.files.MOST_TEXT", 2)
    monkeypatch.setattr("get3d.files.LONGEST_LINE", 3)
    path.write_text("abc")
    with pytest.raises(InputError, match="is larger than"):
        read_text(path)
    with pytest.raises(InputError, match="line 1 is longer than 3 characters"):
        read_lines(path, 2)


def test_a_file_of_which_not_all_lines_are_read_is_closed(tmp_path):
    path = tmp_path / "t.txt"
    path.write_text("a\nb\n")
    with text_lines(path, 9) as lines:
        assert next(lines) == "a\n"
        assert str(path) in [file.path for file in psutil.Process().open_files()]
    assert str(path) not in [file.path for file in psutil.Process().open_files()]
    with pytest.raises(InputError) as caught, text_lines(path, 9) as lines:
        raise InputError("the first line is wrong")
    assert caught.value.__traceback__
    assert str(path) not in [file.path for file in psutil.Process().open_files()]


def test_camera_files_name_no_more_images_than_can_be_read(tmp_path, monkeypatch):
    path = tmp_path / "t.csv"
    path.write_text("image,azimuth,polar\n" + "a.png,1,80\n" * 9)
    for module in ("tables", "transforms", "colmap"):
        monkeypatch.setattr(f"get3d.authoring.from_images.{module}.MOST_IMAGES", 8)
    with pytest.raises(InputError, match="more than 9 lines"):
        read_csv(path, 50.0)
    matrices = np.repeat(blender_matrices(np.array([[10.0, 80.0]]), 2.0), 9, axis=0)
    with pytest.raises(InputError, match="has 9 frames, at most 8 are read"):
        read_transforms(write_transforms(tmp_path / "t.json", matrices, ["a"] * 9, camera_angle_x=0.8))
    with pytest.raises(InputError, match="lists more than 8 images"):
        read_colmap(write_colmap(tmp_path, matrices, ["a"] * 9, "PINHOLE 80 60 50 51 40 30"))
