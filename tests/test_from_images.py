"""Sets that we rendered, written out as other programs would, come back as the datasets they were."""

import csv
import json
import math
import shutil

import numpy as np
import pytest
from PIL import Image
from rich.console import Console
from scipy.spatial.transform import Rotation

from captures import blender_matrices, capture, moved, write_colmap, write_transforms
from get3d.authoring.from_images import ImportConfig, import_images
from get3d.authoring.from_images.matching import Tolerances
from get3d.datasets.check import check
from get3d.datasets.index import Description
from get3d.files import InputError

QUIET = Console(quiet=True)


@pytest.fixture(scope="module")
def chair(tmp_path_factory):
    return capture(tmp_path_factory.mktemp("captures") / "chair")


def names(taken) -> list[str]:
    return [f"{view:03d}" for view in range(len(taken.degrees))]


def read_angles(root) -> dict[str, tuple[float, float]]:
    with (root / "cameras.csv").open() as file:
        return {row["image"]: (float(row["azimuth"]), float(row["polar"])) for row in csv.DictReader(file)}


def apart(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    return np.abs((first - second + 180) % 360 - 180)


def imported(taken, cameras, out, **options):
    report = import_images(ImportConfig(taken.folder, cameras, out, **options), QUIET)
    found = read_angles(out)
    angles = np.array([found[f"chair/{name}.png"] for name in names(taken)])
    return report, angles


def test_transforms_are_recovered(chair, tmp_path):
    matrices = blender_matrices(chair.degrees, 4.0, centre=(0.3, -1.0, 2.0))
    files = [f"./{name}" for name in names(chair)]
    cameras = write_transforms(tmp_path / "transforms.json", matrices, files, camera_angle_x=math.radians(chair.fov))
    report, angles = imported(chair, cameras, tmp_path / "out")
    assert apart(angles, chair.degrees).max() < 1e-3
    assert report["left_out"] == 0
    assert report["made"] == {"copied": 16}
    assert report["worlds"][0]["centre"] == pytest.approx([0.3, -1.0, 2.0], abs=1e-6)
    description = Description.read(tmp_path / "out")
    assert description.prior.radius == pytest.approx(1.2, abs=1e-3)
    assert description.prior.fov == pytest.approx(49.13, abs=1e-6)
    # A hull of 16 views is somewhat larger than the chair.
    assert 0.7 <= description.scale < 0.85
    found = check(tmp_path / "out")
    assert found.usable, str(found)
    first = chair.folder / "000.png"
    assert (tmp_path / "out" / "images" / "chair" / "000.png").read_bytes() == first.read_bytes()


def test_colmap_models_are_recovered_up_to_where_azimuth_begins(chair, tmp_path):
    generator = np.random.default_rng(1)
    matrices = moved(
        blender_matrices(chair.degrees, 1.2),
        Rotation.random(random_state=3),
        7.5,
        generator.uniform(-9, 9, 3),
    )
    focal = chair.side / 2 / math.tan(math.radians(chair.fov) / 2)
    files = [f"{name}.png" for name in names(chair)]
    camera = f"PINHOLE {chair.side} {chair.side} {focal} {focal} {chair.side / 2} {chair.side / 2}"
    folder = write_colmap(tmp_path / "sparse" / "0", matrices, files, camera)
    _, angles = imported(chair, folder, tmp_path / "out")
    assert np.abs(angles[:, 1] - chair.degrees[:, 1]).max() < 0.1
    turn = angles[0, 0] - chair.degrees[0, 0]
    assert apart(angles[:, 0], chair.degrees[:, 0] + turn).max() < 0.1
    found = check(tmp_path / "out")
    assert found.usable, str(found)
    _, turned = imported(chair, folder, tmp_path / "turned", turn=-turn)
    assert apart(turned, chair.degrees).max() < 0.1


@pytest.mark.parametrize("level", ["elevation", "polar"])
def test_tables_are_recovered(chair, tmp_path, level):
    level_degrees = chair.degrees[:, 1] if level == "polar" else 90 - chair.degrees[:, 1]
    rows = [
        f"{n}.png,{a:.6f},{p:.6f}" for n, a, p in zip(names(chair), chair.degrees[:, 0], level_degrees, strict=True)
    ]
    (tmp_path / "cameras.csv").write_text("\n".join([f"image, azimuth, {level}", *rows]))
    _, angles = imported(chair, tmp_path / "cameras.csv", tmp_path / "out")
    assert apart(angles, chair.degrees).max() < 1e-4
    np.save(tmp_path / "azimuth.npy", chair.degrees[:, 0])
    np.save(tmp_path / f"{level}.npy", level_degrees)
    (tmp_path / "cameras.csv").unlink()
    shutil.rmtree(tmp_path / "out")
    _, angles = imported(chair, tmp_path, tmp_path / "out")
    assert apart(angles, chair.degrees).max() < 1e-4


def test_each_image_that_is_not_of_the_kind_is_named_with_how_far_it_is_off(chair, tmp_path):
    matrices = blender_matrices(chair.degrees, 2.0)
    own = matrices[:, :3, :3]
    own[0] = own[0] @ Rotation.from_euler("y", 3, degrees=True).as_matrix()
    own[1] = own[1] @ Rotation.from_euler("z", 7, degrees=True).as_matrix()
    matrices[2, :3, 3] *= 1.1
    matrices[3, 0, 0] = np.nan
    own[4] *= np.array([1.0, 1.0, 1.2])
    folder = shutil.copytree(chair.folder, tmp_path / "chair")
    Image.new("RGBA", (64, 64)).save(folder / "005.png")
    (folder / "006.png").write_bytes((folder / "006.png").read_bytes()[:300])
    Image.open(folder / "007.png").convert("RGB").save(folder / "007.png")
    Image.open(folder / "008.png").crop((0, 0, 64, 60)).save(folder / "008.png")
    shutil.copy(folder / "009.png", folder / "extra.png")
    (folder / "010.png").unlink()
    cameras = write_transforms(folder / "transforms.json", matrices, names(chair), camera_angle_y=math.radians(49.13))
    report = import_images(ImportConfig(folder, cameras, tmp_path / "out"), QUIET)
    left = {entry["image"]: entry for entry in report["images_left_out"]}
    assert {name: entry["reason"] for name, entry in left.items()} == {
        "000.png": "aim",
        "001.png": "roll",
        "002.png": "distance",
        "003.png": "camera",
        "004.png": "camera",
        "005.png": "image",
        "006.png": "image",
        "007.png": "image",
        "008.png": "size",
        "extra.png": "no camera",
        "010": "no image",
    }
    assert left["000.png"]["values"]["aim"] == pytest.approx(3, abs=0.02)
    assert abs(left["001.png"]["values"]["roll"]) == pytest.approx(7, abs=0.02)
    assert left["002.png"]["values"]["distance"] == pytest.approx(10, abs=0.1)
    assert "3.00°" in left["000.png"]["text"]
    assert "no alpha channel" in left["007.png"]["text"]
    assert "64 × 60, not square" in left["008.png"]["text"]
    assert report["imported"] == 16 - 10
    assert json.loads((tmp_path / "out" / "report.json").read_text()) == report
    found = read_angles(tmp_path / "out")
    assert apart(np.array(found["chair/011.png"]), chair.degrees[11]).max() < 1e-3
    assert check(tmp_path / "out").usable
    assert report["warnings"] == []
    options = {"aim": 5.0, "roll": 10.0, "distance": 15.0}
    loose = ImportConfig(folder, cameras, tmp_path / "loose", tolerance=Tolerances(**options))
    assert import_images(loose, QUIET)["imported"] == 9


def test_an_object_for_each_folder_each_with_a_world_of_its_own(chair, tmp_path):
    side = chair.side
    focal = side / 2 / math.tan(math.radians(chair.fov) / 2)
    for number in range(3):
        folder = tmp_path / "shots" / f"object{number}"
        shutil.copytree(chair.folder, folder / "images")
        matrices = moved(
            blender_matrices(chair.degrees, 1.2), Rotation.random(random_state=number), 1.0 + number, np.full(3, number)
        )
        files = [f"{name}.png" for name in names(chair)]
        write_colmap(
            folder / "sparse" / "0", matrices, files, f"SIMPLE_PINHOLE {side} {side} {focal} {side / 2} {side / 2}"
        )
    (tmp_path / "shots" / "object2" / "sparse" / "0" / "cameras.txt").write_text("1 FISHEYE 64 64 1 1 1 1\n")
    shots = tmp_path / "shots"
    report = import_images(ImportConfig(shots, shots, tmp_path / "out"), QUIET)
    assert report["imported"] == 32
    assert report["reasons"] == {"camera file": 16}
    assert [world["radius"] for world in report["worlds"]] == pytest.approx([1.2, 2.4])
    assert Description.read(tmp_path / "out").splits == {"train": ["object0", "object1"], "val": [], "test": []}
    assert "object0/images-003.png" in read_angles(tmp_path / "out")


def test_images_with_masks_are_cropped_and_padded(chair, tmp_path):
    """An image larger than the square, off its middle, with the mask beside it, becomes the square again."""
    shots, masks = tmp_path / "shots", tmp_path / "shots" / "masks"
    masks.mkdir(parents=True)
    for name in names(chair):
        image = Image.new("RGBA", (96, 80))
        image.paste(Image.open(chair.folder / f"{name}.png"), (20, 10))
        image.convert("RGB").save(shots / f"{name}.png")
        image.getchannel("A").save(masks / f"{name}.png")
    focal = 32 / math.tan(math.radians(chair.fov) / 2)
    matrices = blender_matrices(chair.degrees, 4.0)
    lens = {"fl_x": focal, "fl_y": focal, "cx": 52.0, "cy": 42.0, "w": 96, "h": 80}
    cameras = write_transforms(tmp_path / "transforms.json", matrices, names(chair), **lens)
    with pytest.raises(InputError, match=r"16 are left out like 000\.png: is 96 × 80, not square; --fit crop or pad"):
        import_images(ImportConfig(shots, cameras, tmp_path / "out", masks=masks), QUIET)
    out = tmp_path / "cropped"
    with pytest.raises(InputError, match=r"76 to 76 pixels wide.* --resolution 64"):
        import_images(ImportConfig(shots, cameras, out, masks=masks, fit="crop"), QUIET)
    report = import_images(ImportConfig(shots, cameras, out, masks=masks, fit="crop", resolution=64), QUIET)
    assert report["made"] == {"resampled": 16}
    fov = math.degrees(2 * math.atan(38 / focal))
    assert report["camera"]["fov"] == pytest.approx(fov)
    assert check(out).usable
    report = import_images(
        ImportConfig(shots, cameras, tmp_path / "padded", masks=masks, fit="pad", resolution=64), QUIET
    )
    assert report["camera"]["fov"] == pytest.approx(math.degrees(2 * math.atan(52 / focal)))
    assert check(tmp_path / "padded").usable


def test_silhouettes_that_fit_no_object_are_told(tmp_path):
    """Seen from two sides, a low object is not a high one, and both images cannot be of one."""
    for name, rows in (("a", slice(2, 6)), ("b", slice(10, 14))):
        pixels = np.zeros((16, 16, 4), np.uint8)
        pixels[rows, 4:12] = 255
        (tmp_path / "shots").mkdir(exist_ok=True)
        Image.fromarray(pixels).save(tmp_path / "shots" / f"{name}.png")
    (tmp_path / "t.csv").write_text("image,azimuth,polar\na,0,90\nb,90,90\n")
    report = import_images(ImportConfig(tmp_path / "shots", tmp_path / "t.csv", tmp_path / "out"), QUIET)
    assert "the silhouettes of 1 of 1 objects have no common point" in report["warnings"][0]
    # Half of what an image shows at the centre.
    assert report["scale"] == pytest.approx(1.2 * 16 / 35, abs=1e-3)
    (tmp_path / "t.csv").write_text("image,azimuth,polar\na,0,90\n")
    report = import_images(ImportConfig(tmp_path / "shots", tmp_path / "t.csv", tmp_path / "one"), QUIET)
    (note,) = report["warnings"]
    assert "cannot be measured well from one image of an object, so 0.549 is a guess" in note
    assert report["scale"] == pytest.approx(1.2 * 16 / 35, abs=1e-3)


def test_an_import_can_be_repeated_but_writes_over_nothing_else(chair, tmp_path):
    rows = [f"{n}.png,{a},{p}" for n, (a, p) in zip(names(chair), chair.degrees.tolist(), strict=True)]
    (tmp_path / "cameras.csv").write_text("\n".join(["image,azimuth,polar", *rows]))
    config = ImportConfig(chair.folder, tmp_path / "cameras.csv", tmp_path / "out", polar=(60.0, 90.0))
    report = import_images(config, QUIET)
    assert report["reasons"]["range"] == ((chair.degrees[:, 1] < 60) | (chair.degrees[:, 1] > 90)).sum()
    (tmp_path / "out" / "cameras.csv").unlink()
    assert import_images(config, QUIET) == report
    assert check(tmp_path / "out").usable
    with pytest.raises(InputError, match="is not empty and holds no import of the same settings"):
        import_images(ImportConfig(chair.folder, tmp_path / "cameras.csv", tmp_path / "out"), QUIET)
    with pytest.raises(InputError, match="within the folder of the images"):
        import_images(ImportConfig(chair.folder, tmp_path / "cameras.csv", chair.folder / "out"), QUIET)


def test_cameras_that_do_not_look_at_the_object_are_refused(chair, tmp_path):
    matrices = blender_matrices(chair.degrees, 2.0)
    away = moved(matrices, Rotation.identity(), 1.0, np.zeros(3))
    away[:, :3, 1:3] *= -1
    lens = {"camera_angle_x": math.radians(chair.fov)}
    config = ImportConfig(chair.folder, tmp_path / "transforms.json", tmp_path / "out")
    write_transforms(config.cameras, away, names(chair), **lens)
    with pytest.raises(InputError, match=r"not one of 16 images .* looks past .* by 180\.00°\. They look away"):
        import_images(config, QUIET)
    fallen = moved(matrices, Rotation.from_euler("x", 180, degrees=True), 1.0, np.zeros(3))
    write_transforms(config.cameras, fallen, names(chair), **lens)
    with pytest.raises(InputError, match=r"turned about its axis by -?180\.00°\. Another axis may be up"):
        import_images(config, QUIET)
    report, angles = imported(chair, config.cameras, tmp_path / "out", up="-z")
    assert report["left_out"] == 0
    assert np.abs(angles[:, 1] - chair.degrees[:, 1]).max() < 1e-3
    write_transforms(config.cameras, matrices, [f"other/{name}" for name in names(chair)], **lens)
    with pytest.raises(
        InputError, match=r"does not name the images of .* for example 'other/000' instead of '000\.png'"
    ):
        import_images(ImportConfig(chair.folder, config.cameras, tmp_path / "none"), QUIET)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"fov": 200.0}, "--fov is 200"),
        ({"resolution": 100}, "--resolution is 100"),
        ({"object": "../../x"}, r"--object: '\.\./\.\./x' cannot be a name"),
        ({"object": ""}, "--object: '' cannot be a name"),
        ({"kind": "../../x"}, r"--kind: '\.\./\.\./x' cannot be a name"),
        ({"polar": (90.0, 60.0)}, "--azimuth or --polar: polar is 90 to 60"),
        ({"tolerance": {"aim": math.nan}}, r"--tolerance\.aim is nan"),
        ({"centre": (0.0, math.inf, 0.0)}, "--centre is"),
    ],
)
def test_options_out_of_range_are_refused(tmp_path, options, message):
    if "tolerance" in options:
        options = {"tolerance": Tolerances(**options["tolerance"])}
    with pytest.raises(InputError, match=message):
        ImportConfig(tmp_path, tmp_path, tmp_path, **options)
