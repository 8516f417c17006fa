"""Camera files that are not as they should be are named with what is wrong; odd but right ones are read."""

import json
import math

import numpy as np
import pytest
from PIL import Image

from captures import blender_matrices, write_colmap, write_transforms
from get3d.authoring.from_images.colmap import read_colmap
from get3d.authoring.from_images.sources import Present, find_sources, list_images
from get3d.authoring.from_images.tables import read_csv, read_pair
from get3d.authoring.from_images.transforms import read_transforms
from get3d.files import InputError

DEGREES = np.array([[10.0, 80.0], [200.0, 70.0], [300.0, 60.0]])
MATRICES = blender_matrices(DEGREES, 2.0)
NAMES = ["a", "b", "c"]
ANGLE = {"camera_angle_x": 0.8}


def spoiled(path, **changes):
    values = json.loads(path.read_text())
    values["frames"][1] |= changes
    path.write_text(json.dumps(values))
    return path


def test_a_lens_of_a_frame_comes_before_that_of_the_file(tmp_path):
    path = write_transforms(tmp_path / "t.json", MATRICES, NAMES, fl_x=50.0, w=100, h=80, cx=55.0, cy=44.0)
    lens = read_transforms(path).lenses[0]
    assert (lens.focal_x, lens.focal_y, lens.centre, lens.aspect) == (0.5, None, (0.55, 0.55), 1.25)
    assert read_transforms(spoiled(path, fl_x=60.0)).lenses[1].focal_x == 0.6
    path = write_transforms(tmp_path / "t.json", MATRICES, NAMES, **ANGLE)
    assert read_transforms(path).lenses[0].focal_x == pytest.approx(0.5 / math.tan(0.4))


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({"transform_matrix": [[math.nan] * 4] * 4}, "not finite"),
        ({"transform_matrix": [[1, 2], [3, 4]]}, r"of shape \[2, 2\]"),
        ({"transform_matrix": "none"}, r"of shape \[0\]"),
        ({"transform_matrix": np.diag([1.0, 1, -1, 1]).tolist()}, "mirrors"),
        ({"transform_matrix": np.diag([1.0, 1, 1.1, 1]).tolist()}, r"not a rotation: axes are 0\.136 from"),
    ],
)
def test_a_matrix_that_is_no_camera_is_refused_alone(tmp_path, change, why):
    poses = read_transforms(spoiled(write_transforms(tmp_path / "t.json", MATRICES, NAMES, **ANGLE), **change))
    assert poses.names == ["a", "c"]
    with pytest.raises(AssertionError, match=why):
        raise AssertionError(poses.refused["b"])


@pytest.mark.parametrize(
    ("lens", "message"),
    [
        ({}, "has no lens; give camera_angle_x"),
        ({"fl_x": 50.0}, "has no lens"),
        ({"camera_angle_x": "wide"}, r"the lens of frame 0 cannot be read \(could not convert"),
        ({"camera_angle_x": -0.3}, r"camera_angle_x is -0\.3, .* above 0 and below π"),
        ({"camera_angle_x": math.pi}, r"camera_angle_x is 3\.14159, .* below π; write radians"),
        (ANGLE | {"k1": 0.1}, r"the lens distorts \(k1 is 0\.1\)"),
    ],
)
def test_a_lens_that_is_not_known_or_distorts_is_named(tmp_path, lens, message):
    with pytest.raises(InputError, match=message):
        read_transforms(write_transforms(tmp_path / "t.json", MATRICES, NAMES, **lens))


def test_other_json_is_no_transforms(tmp_path):
    path = tmp_path / "t.json"
    for text, message in (
        ("[]", "no list of `frames`"),
        ('{"frames": [{}]}', "frame 0 has no file_path"),
        ("{", "JSON"),
    ):
        path.write_text(text)
        with pytest.raises(InputError, match=message):
            read_transforms(path)


def test_colmap_models(tmp_path):
    folder = write_colmap(
        tmp_path / "model", MATRICES, ["a b.png", "b.png", "c.png"], "OPENCV 80 60 50 51 40 30 0 0 0 0"
    )
    poses = read_colmap(folder)
    assert poses.names[0] == "a b.png"
    assert np.allclose(poses.positions, MATRICES[:, :3, 3], atol=1e-6)
    assert np.allclose(poses.rotations, MATRICES[:, :3, :3].transpose(0, 2, 1), atol=1e-6)
    assert (poses.lenses[0].focal_x, poses.lenses[0].focal_y) == (50 / 80, 51 / 60)
    assert poses.up is None
    lines = (folder / "images.txt").read_text().splitlines()
    lines[3] = "2 nan nan nan nan 0 0 0 1 b.png"
    (folder / "images.txt").write_text("\n".join(lines))
    poses = read_colmap(folder)
    assert poses.names == ["a b.png", "c.png"]
    assert "not a finite rotation" in poses.refused["b.png"]
    for camera, message in (
        ("OPENCV 80 60 50 51 40 30 0.1 0 0 0", "the lens distorts"),
        ("FISHEYE 80 60 50 51", "the lens is a FISHEYE; .* image_undistorter"),
        ("PINHOLE 80 60 50 51 40", "a PINHOLE has 4 finite parameters"),
        ("PINHOLE 80 60 a b c d", "is not a camera"),
    ):
        (folder / "cameras.txt").write_text(f"1 {camera}\n")
        with pytest.raises(InputError, match=message):
            read_colmap(folder)
    (folder / "cameras.txt").write_text("2 SIMPLE_PINHOLE 80 60 50 40 30\n")
    with pytest.raises(InputError, match=r"is not an image of cameras\.txt"):
        read_colmap(folder)
    (folder / "cameras.txt").unlink()
    with pytest.raises(InputError, match=r"cameras\.txt: no such file; .* model_converter"):
        read_colmap(folder)


def test_tables(tmp_path):
    path = tmp_path / "t.csv"
    path.write_text("azimuth,elevation,image,more\n10, 20 ,a.png,x\nnan,1,b.png,\n30,95,c.png,\n")
    poses = read_csv(path, 50.0)
    assert poses.names == ["a.png"]
    assert np.allclose(poses.positions[0, 1], math.cos(math.radians(70)))
    assert set(poses.refused) == {"b.png", "c.png"}
    assert poses.lenses[0].focal_y == pytest.approx(0.5 / math.tan(math.radians(25)))
    for text, message in (
        ("image,azimuth\na,1\n", "must name the columns"),
        ("image,azimuth,polar\na,1,many\n", "line 2 gives azimuth '1' and polar 'many'"),
        ("image,azimuth,polar\n", "lists no image"),
        ("image,azimuth,polar\n" + "".join(f"{n},{n / 2},1.2\n" for n in range(9)), "seem to be radians"),
    ):
        path.write_text(text)
        with pytest.raises(InputError, match=message):
            read_csv(path, 50.0)


def test_pairs_need_an_angle_for_each_image(tmp_path):
    np.save(tmp_path / "rotation.npy", [1.0, 2.0])
    with pytest.raises(InputError, match=r"holds neither elevation\.npy nor polar\.npy"):
        read_pair(tmp_path, ["a", "b"], 50.0)
    np.save(tmp_path / "elevation.npy", [1.0, 2.0, 3.0])
    with pytest.raises(InputError, match="2 azimuths and 3 other angles for 2 images"):
        read_pair(tmp_path, ["a", "b"], 50.0)
    (tmp_path / "elevation.npy").write_bytes(b"nothing")
    with pytest.raises(InputError, match="not a readable array"):
        read_pair(tmp_path, ["a", "b"], 50.0)


def test_sources_are_found_by_what_they_are(tmp_path):
    with pytest.raises(InputError, match=r"no such file or folder; cameras are read from a \.csv"):
        find_sources(tmp_path / "none", [], 50.0)
    with pytest.raises(InputError, match="holds no cameras"):
        find_sources(tmp_path, [], 50.0)
    (tmp_path / "cameras.yaml").write_text("")
    with pytest.raises(InputError, match="has no known format"):
        find_sources(tmp_path / "cameras.yaml", [], 50.0)
    for split in ("train", "test"):
        write_transforms(tmp_path / f"transforms_{split}.json", MATRICES, [f"{split}/{n}" for n in NAMES], **ANGLE)
    (source,) = find_sources(tmp_path, [], 50.0)
    assert source.object is None
    assert source.poses.names == ["test/a", "test/b", "test/c", "train/a", "train/b", "train/c"]
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "images.bin").write_bytes(b"")
    with pytest.raises(InputError, match="is a binary model; convert it to text"):
        find_sources(tmp_path / "model", [], 50.0)


def test_names_are_looked_up_in_the_folder_of_images_only(tmp_path):
    root = tmp_path / "shots"
    for name in ("one/images/a.png", "one/b.jpg", "c.PNG", "masks/a.png"):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (4, 4)).save(root / name)
    Image.new("RGB", (4, 4)).save(tmp_path / "secret.png")
    (root / "notes.txt").write_text("")
    images = list_images(root, root / "one" / ".." / "masks")
    assert images == ["c.PNG", "one/b.jpg", "one/images/a.png"]

    def found(name, file=root / "one" / "transforms.json", owner=None):
        return Present(root, images).look_up([name], file, owner)[0]

    assert found("c.PNG") == "c.PNG"
    assert found("./b") == "one/b.jpg"
    assert found("images\\a.png") == "one/images/a.png"
    assert found("a", tmp_path / "elsewhere.json", "one") == "one/images/a.png"
    assert found("../one/b.jpg") == "one/b.jpg"
    assert found("../../secret.png") is None
    assert found(str(tmp_path / "secret.png")) is None
    (root / "one" / "b.jpg").unlink()
    with pytest.raises(InputError, match="holds no image"):
        list_images(root / "one", root / "one" / "images")
    with pytest.raises(InputError, match="no such folder"):
        list_images(tmp_path / "none", None)
