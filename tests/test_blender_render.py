"""Cycles and the built-in renderer see the same object alike. `make test` installs Blender."""

import json
import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
import trimesh
from PIL import Image
from rich.console import Console

from get3d.assets import blender, programs
from get3d.assets.asset import Asset
from get3d.assets.blender import draw_in_blender, find_blender
from get3d.assets.loading import load_asset
from get3d.assets.shading import shade
from get3d.authoring.from_images.transforms import read_transforms
from get3d.authoring.from_meshes.command import render_models
from get3d.authoring.from_meshes.config import RenderConfig
from get3d.authoring.procedural import make
from get3d.cameras import Cameras
from get3d.datasets.index import read
from get3d.files import InputError
from models import RED, plain, save_wedge, square, textured

pytestmark = pytest.mark.slow

HERE = Path(__file__).parent
PYTHON = HERE.parent / ".venv-blender/bin/python"

needs_blender = pytest.mark.skipif(
    not (HERE.parent / ".venv-blender/.ready").is_file(), reason="needs Blender: make .venv-blender/.ready"
)


def lopsided() -> Asset:
    """A textured car, skewed so that none of its mirror images is itself."""
    car = Asset.of(make("car", seed=0, index=3, texture=256))
    x, y, z = car.vertices.unbind(1)
    return replace(car, vertices=0.7 * torch.stack([x + 0.5 * z, y + 0.4 * z, z], dim=1))


def around() -> Cameras:
    """Views from all sides and heights, some of them rolled and off the centre."""
    polar = torch.tensor([0.3, 1.2, 1.57, 2.4, 0.9, 1.4])
    roll = torch.tensor([0.0, 0.0, 0.4, -1.0, 0.0, 2.0])
    cameras = Cameras.orbit(torch.arange(6) * math.pi / 3 + 0.2, polar, roll=roll)
    moved = torch.tensor([[0.0, 0.0], [0.15, 0.0], [0.0, -0.1], [-0.1, 0.1], [0.0, 0.2], [0.0, 0.0]])
    return replace(cameras, principal_points=cameras.principal_points + moved)


def overlap(first: torch.Tensor, second: torch.Tensor) -> torch.Tensor:
    """Intersection over union of each view's silhouettes."""
    first, second = first[:, 3] > 127, second[:, 3] > 127
    return (first & second).sum((1, 2)) / (first | second).sum((1, 2))


@needs_blender
def test_silhouettes_and_colours_agree_and_mirrored_ones_do_not():
    asset, cameras = lopsided(), around()
    ours = shade(asset, cameras, 256)
    theirs = draw_in_blender(PYTHON, asset, cameras, 256)
    assert overlap(ours, theirs).min() > 0.98
    for axis in range(3):
        sign = torch.ones(3)
        sign[axis] = -1
        mirrored = replace(asset, vertices=asset.vertices * sign)
        assert overlap(shade(mirrored, cameras, 256), theirs).mean() < 0.9
    inside = ((ours[:, 3] == 255) & (theirs[:, 3] == 255))[:, None].expand(-1, 3, -1, -1)
    pairs = torch.stack([images[:, :3][inside].float() for images in (ours, theirs)])
    assert torch.corrcoef(pairs)[0, 1] > 0.8


@needs_blender
def test_a_folder_rendered_with_both_has_the_same_cameras_and_textures(tmp_path):
    (tmp_path / "assets/things").mkdir(parents=True)
    textured(square(), plain(RED)).export(tmp_path / "assets/things/flat.glb")
    quiet = Console(quiet=True)
    settings = RenderConfig(tmp_path / "assets", tmp_path / "a", views=2, resolution=32, light="even", workers=1)
    ours = read(render_models(settings, quiet))
    cycles = replace(settings, renderer="blender", blender=PYTHON, out=tmp_path / "b", layout="published")
    theirs = read(render_models(cycles, quiet))
    assert abs(ours.angles - theirs.angles).max() < 1e-6
    listed = [torch.stack([_pixels(listing.path(number)) for number in (0, 1)]) for listing in (ours, theirs)]
    assert overlap(*listed).min() > 0.9
    inside = (listed[0][:, 3] == 255) & (listed[1][:, 3] == 255)
    difference = (listed[0].int() - listed[1].int()).movedim(1, -1)[inside][:, :3]
    assert difference.abs().float().mean() < 3


def _pixels(path: Path) -> torch.Tensor:
    with Image.open(path) as image:
        return torch.from_numpy(np.array(image)).permute(2, 0, 1)


@needs_blender
def test_published_light_lights_from_above_cuts_edges_hard_and_has_other_tones(tmp_path):
    trimesh.creation.box((1, 1, 1)).export(tmp_path / "box.stl")
    box = load_asset(tmp_path / "box.stl", tmp_path, scale=0.8).asset
    ends = Cameras.orbit(torch.zeros(2), torch.tensor([0.02, math.pi - 0.02]))
    top, bottom = (
        image[:3, 28:36, 28:36].float().mean() for image in draw_in_blender(PYTHON, box, ends, 64, "published")
    )
    # From below there is but the grey sky of 5 %.
    assert top > 3 * bottom > 0
    asset, cameras = lopsided(), around()
    studio = draw_in_blender(PYTHON, asset, cameras[4:], 64)
    published = draw_in_blender(PYTHON, asset, cameras[4:], 64, "published")
    assert overlap(studio, published).min() > 0.9
    # The filter's width is a hundredth of a pixel, so far fewer pixels are covered in part.
    parts = [((images[:, 3] > 25) & (images[:, 3] < 230)).sum() for images in (studio, published)]
    inside = (studio[:, 3] == 255) & (published[:, 3] == 255)
    first, second = (images[:, :3].movedim(1, -1)[inside].float() for images in (studio, published))
    assert (first - second).abs().mean() > 10
    assert parts[1] < parts[0]


def test_published_light_is_of_blender_and_keeps_the_origin(tmp_path):
    with pytest.raises(InputError, match="--light published needs Blender; add --renderer blender"):
        RenderConfig(tmp_path, tmp_path / "out", light="published")
    (tmp_path / "a").mkdir()
    trimesh.creation.box((1, 2, 4)).apply_translation((5, 0, 1)).export(tmp_path / "a/b.ply")
    placed = load_asset(tmp_path / "a/b.ply", tmp_path / "a", scale=0.8, centred=False).asset.vertices
    low, high = placed.amin(0), placed.amax(0)
    # Longest side 4 becomes 0.8: the middle (5, 0, 1) goes to (1, 0, 0.2).
    torch.testing.assert_close(high - low, torch.tensor([0.2, 0.4, 0.8]))
    torch.testing.assert_close((low + high) / 2, torch.tensor([1.0, 0.0, 0.2]))


def test_cameras_beside_published_images_are_those_of_the_dataset(tmp_path):
    save_wedge(tmp_path / "assets/things/a.ply")
    settings = RenderConfig(
        tmp_path / "assets", tmp_path / "out", views=3, resolution=16, layout="published", workers=1, supersample=1
    )
    listing = read(render_models(settings, Console(quiet=True)))
    poses = read_transforms(tmp_path / "out/img/things/a/transforms.json")
    assert poses.names == ["000.png", "001.png", "002.png"]
    angles = torch.from_numpy(np.asarray(listing.angles)).float()
    cameras = Cameras.orbit(angles[:, 0], angles[:, 1])
    x, y, z = torch.from_numpy(poses.positions).float().unbind(1)
    torch.testing.assert_close(torch.stack([x, z, -y], dim=1), cameras.positions, rtol=1e-5, atol=1e-5)
    for ours, theirs in zip(cameras.rotations, torch.from_numpy(poses.rotations).float(), strict=True):
        x, y, z = theirs.unbind(1)
        torch.testing.assert_close(torch.stack([x, z, -y], dim=1), ours, rtol=1e-5, atol=1e-5)
    values = json.loads((tmp_path / "out/img/things/a/transforms.json").read_text())
    assert values["camera_angle_x"] == pytest.approx(2 * math.atan(16 / 35))


def test_a_blender_that_is_not_there_or_fails_is_said(tmp_path):
    with pytest.raises(InputError, match="--blender is /nowhere/blender, which is not a program"):
        find_blender(Path("/nowhere/blender"))
    program = tmp_path / "blender"
    program.write_text("#!/bin/sh\necho out of memory >&2\nexit 3\n")
    program.chmod(0o755)
    save_wedge(tmp_path / "assets/a.ply")
    settings = RenderConfig(
        tmp_path / "assets", tmp_path / "out", resolution=16, renderer="blender", blender=program, workers=1
    )
    with pytest.raises(InputError, match="exit status 3: out of memory"):
        render_models(settings, Console(quiet=True))


def test_a_blender_that_hangs_is_stopped(tmp_path, monkeypatch):
    program = tmp_path / "blender"
    program.write_text("#!/bin/sh\nexec sleep 60\n")
    program.chmod(0o755)
    monkeypatch.setattr(blender, "LIMITS", replace(blender.LIMITS, seconds=0))
    monkeypatch.setattr(blender, "IMAGE_SECONDS", 0.25)
    # Two images, each of four times the pixels of 256².
    with pytest.raises(InputError, match=r"Blender takes more than 2 s; simplify the model"):
        draw_in_blender(program, lopsided(), Cameras.orbit(torch.zeros(2), torch.ones(2)), 512)


@needs_blender
def test_a_drawing_that_needs_too_much_memory_is_refused(monkeypatch):
    cameras = Cameras.orbit(torch.zeros(1), torch.ones(1))
    assert draw_in_blender(PYTHON, lopsided(), cameras, 16)[:, 3].any()
    monkeypatch.setitem(programs._MOST_MEMORY, "Blender", 2**24)
    with pytest.raises(InputError, match="Blender could not draw it") as caught:
        draw_in_blender(PYTHON, lopsided(), cameras, 16)
    assert len(str(caught.value).splitlines()) == 1
