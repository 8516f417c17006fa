"""Fits of a model to images: objects of the model itself come back, and bad input is refused in a sentence."""

import copy
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
import trimesh
from PIL import Image, ImageDraw
from rich.console import Console

from get3d.cameras import Cameras
from get3d.checkpoints import model as model_files
from get3d.checkpoints.model import WEIGHTS, load, load_weights
from get3d.checkpoints.release import ReleaseConfig, release
from get3d.color import signed_to_bytes, unit_to_bytes
from get3d.datasets.camera_table import write_cameras
from get3d.files import InputError
from get3d.fitting.comparison import mask_iou, psnr
from get3d.fitting.config import FIT_LOSSES, FitConfig
from get3d.fitting.fit import fit
from get3d.fitting.inversion import Objective, along_axes, refine, style_model, symmetry
from get3d.fitting.photos import SHARE, Photo, Window, read_photo, targets, window_of
from get3d.fitting.search import best_starts
from get3d.fitting.views import Views
from get3d.generation.config import GenerateConfig, InterpolateConfig, VaryConfig
from get3d.generation.generate import generate
from get3d.generation.interpolation import interpolate, vary
from get3d.generation.shape_list import read_shape_list
from get3d.generator import Generator
from get3d.images import Images
from get3d.latents import Styles
from get3d.meshes import Mesh
from get3d.reconstruction.losses import IMAGE_LOSSES
from get3d.storage import checksum, describe, save_tensors, with_prefix
from photographed import images_of
from tiny import GENERATOR, seeded

QUIET = Console(quiet=True)
PRIOR = GENERATOR.cameras
SMALL = {"resolution": 16, "texture": 16, "faces": 60, "video": "none", "device": "cpu"}


def _generator() -> Generator:
    """Random fields of both signs, of a grid that is fine enough for their forms."""
    torch.manual_seed(3)
    generator = Generator(replace(GENERATOR, grid_resolution=12)).requires_grad_(False).eval()
    generator.estimate_mean_styles(samples=100)
    points = generator.isosurface.grid.vertices
    sdf = generator.field(generator.sample_latents(4, 0), 0.7).sdf(points.expand(4, -1, -1))
    generator.synthesis.sdf_head.layers[-1].bias -= sdf.median()
    return generator


@pytest.fixture(scope="module")
def generator() -> Generator:
    return _generator()


@pytest.fixture
def model(tmp_path: Path, generator: Generator) -> Path:
    path = tmp_path / "model" / "model.safetensors"
    save_tensors(path, with_prefix(WEIGHTS, generator.state_dict()), {"generator": describe(generator.config)})
    return path.parent


def _photo(path: Path, images: Images) -> Path:
    rgba = torch.cat([signed_to_bytes(images.rgb), unit_to_bytes(images.mask)], 1)[0]
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(rgba.permute(1, 2, 0).numpy()).save(path)
    return path


def _disc(path: Path, size: tuple[int, int] = (40, 30), *, mode: str = "RGBA", discs: int = 1) -> Path:
    image = Image.new("RGBA", size, (0, 0, 0, 0) if mode == "RGBA" else (250, 240, 230, 255))
    for number in range(discs):
        ImageDraw.Draw(image).ellipse((4 + 18 * number, 8, 18 + 18 * number, 22), fill=(200, 30, 20, 255))
    image.convert(mode).save(path)
    return path


@pytest.mark.slow
def test_an_object_of_the_model_comes_back_and_other_commands_go_on_from_it(
    generator: Generator, model: Path, tmp_path: Path
):
    # The search begins from random objects of ψ 0.7, this one among them, so that the rest is for the refinement.
    styles = generator.styles(generator.sample_latents(1, 2), 1.0)
    angles = torch.tensor([[0.7, 1.2], [2.9, 1.1], [4.6, 1.4]])
    drawn = generator.shapes(styles).draw(Cameras.of_prior(PRIOR, angles), 48)
    photos = [_photo(tmp_path / "seen" / f"{view}.png", drawn[view]) for view in range(2)]
    write_cameras(tmp_path, ["seen/0.png", "seen/1.png"], np.degrees(angles[:2].numpy()))
    out = tmp_path / "out"
    config = FitConfig(
        str(model), out, images=tuple(photos), cameras=tmp_path / "cameras.csv", starts=4, steps=100, name="it", **SMALL
    )
    entry = fit(config, QUIET)
    assert min(entry["iou"]) > 0.9
    assert min(entry["psnr"]) > 15
    assert {"it.glb", "comparison.png", "shapes.json", "index.html"} <= {path.name for path in out.iterdir()}
    # Three images a row, two rows, of at least 128 pixels.
    with Image.open(out / "comparison.png") as image:
        width, height = image.size
    assert width * 2 == height * 3
    found = read_shape_list(out / "shapes.json", generator)
    assert found.names == ["it"]
    real = torch.cat([drawn.rgb, drawn.mask], 1)
    again = generator.shapes(found.latents).draw(Cameras.of_prior(PRIOR, angles), 48)
    # Also from the side that was not seen.
    assert mask_iou(again, real).min() > 0.85
    generate(GenerateConfig(str(model), tmp_path / "again", latents=out / "shapes.json", **SMALL), QUIET)
    assert (tmp_path / "again" / "it.glb").read_bytes() == (out / "it.glb").read_bytes()
    listed = {"latents": out / "shapes.json"}
    vary(VaryConfig(str(model), tmp_path / "varied", **listed, num=1, **SMALL), QUIET)
    assert (tmp_path / "varied" / "it-000.glb").read_bytes() == (out / "it.glb").read_bytes()
    listed = {"latents": (out / "shapes.json",)}
    interpolate(InterpolateConfig(str(model), tmp_path / "way", **listed, num=2, frames=2, swaps=0, **SMALL), QUIET)
    assert (tmp_path / "way" / "000.glb").read_bytes() == (out / "it.glb").read_bytes()


def test_a_camera_is_estimated(generator: Generator):
    styles = generator.styles(generator.sample_latents(6, 40), 1.0, per_layer=False)
    angles = torch.tensor([[2.1, 1.3]])
    with torch.no_grad():
        drawn = generator.shapes(styles[4]).draw(Cameras.of_prior(PRIOR, angles), 96)
    window = window_of(drawn.mask[0, 0] > 0.5)
    pixels = torch.cat([signed_to_bytes(drawn.rgb), unit_to_bytes(drawn.mask)], 1)[0].permute(1, 2, 0).numpy()
    real = targets([Photo(Path("drawn"), pixels)], [window], 48)
    found = best_starts(generator, styles, real, None, 4)
    objective = Objective(real, FIT_LOSSES, prior=0.0, layer_prior=0.0)
    free = along_axes(style_model(generator, None), found.styles, objective)
    options = {"estimate": True, "steps": 25, "progress": lambda step: None}
    fitted = refine(generator, free, found, objective, **options).best(1)
    error = (fitted.views.angles[0] - angles[0]).abs()
    assert error.max() < np.radians(8)
    exact = Views.of_windows(PRIOR, angles, [window])
    torch.testing.assert_close(fitted.views.zoom, exact.zoom, rtol=0, atol=0.08)
    again = generator.shapes(fitted.styles).draw(fitted.views(), 48)
    assert mask_iou(again, real) > 0.93


def test_the_camera_of_a_window_sees_what_is_cut_out(generator: Generator):
    shapes = generator.shapes(generator.sample_latents(1, 0))
    angles = torch.tensor([[0.4, 1.0]])
    whole = shapes.draw(Cameras.of_prior(PRIOR, angles), 64)
    views = Views.of_windows(PRIOR, angles, [Window(x=32 / 64, y=28 / 64, side=32 / 64)])
    part = shapes.draw(views(), 32)
    # At its border an image knows nothing of what lies beyond.
    inner, cut = slice(1, -1), (..., slice(13, 43), slice(17, 47))
    torch.testing.assert_close(part.mask[..., inner, inner], whole.mask[cut], rtol=0, atol=1e-4)
    torch.testing.assert_close(part.rgb[..., inner, inner], whole.rgb[cut], rtol=0, atol=1e-3)


def test_a_camera_that_moves_away_keeps_the_size_of_the_middle():
    near = Views.of_windows(PRIOR, torch.tensor([[0.4, 1.0]]), [Window(0.5, 0.5, 1.0)])
    far = near[:]
    far.distance.data += 0.5
    points = torch.tensor([[0.0, 0.0, 0.0]]) + 0.01 * near().rotations[0, 0]
    none = torch.zeros(1, dtype=torch.long)
    torch.testing.assert_close(near().project(points, none, 64)[:, :2], far().project(points, none, 64)[:, :2])
    assert far().positions.norm() > 1.6 * near().positions.norm()


def test_mirrored_cameras_see_the_mirror_image_of_a_symmetric_object():
    views = Views.of_windows(
        PRIOR, torch.tensor([[0.7, 1.2], [2.9, 1.0]]), [Window(0.55, 0.4, 0.7), Window(0.4, 0.6, 0.9)]
    )
    views.distance.data += torch.tensor([0.2, -0.1])
    # Symmetric to x = 0, and to no other plane.
    mesh = trimesh.convex.convex_hull(
        [[x, 0.1 * x * x - 0.2, z] for x in (-0.2, -0.1, 0.1, 0.2) for z in (-0.1, 0.2)] + [[0, 0.3, 0.1]]
    )
    prism = Mesh(torch.tensor(mesh.vertices, dtype=torch.float32), torch.tensor(mesh.faces))
    seen, mirrored = (images_of(prism, views(mirrored=which), 64)[:, 3:] for which in (False, True))
    assert (seen != seen.flip(3)).float().mean() > 0.02
    assert (seen.float() - mirrored.flip(3)).abs().mean() < 0.5
    views(mirrored=True).positions.sum().backward()
    assert all(part.grad is not None and part.grad.abs().sum() > 0 for part in (views.angles, views.distance))


def test_the_symmetry_of_a_model_is_that_of_its_images(generator: Generator):
    styles = generator.styles(generator.sample_latents(2, 0), 0.7, per_layer=False)
    middle = np.radians(sum(PRIOR.polar) / 2)
    found = []
    for number in range(2):
        for azimuth in np.radians([40, 130]):
            angles = torch.tensor([[azimuth, middle], [-azimuth, middle]], dtype=torch.float32)
            drawn = generator.shapes(styles[number]).draw(Cameras.of_prior(PRIOR, angles), 64)
            a, b = drawn.mask[0, 0] > 0.5, drawn.mask[1, 0].flip(1) > 0.5
            found.append(float((a & b).sum() / (a | b).sum()))
    assert symmetry(generator, styles) == pytest.approx(np.mean(found), abs=0.01)


def test_the_loss_of_mirrored_images_is_that_of_mirrored_photos():
    rgb, mask = 2 * torch.rand(3, 3, 8, 8, generator=seeded()) - 1, torch.rand(3, 1, 8, 8, generator=seeded(1))
    real, drawn = torch.cat([rgb, mask], 1)[:1], Images(rgb[1:], mask[1:], torch.tensor([False, False]))
    objective = Objective(real, {"color": 1.0, "mask": 2.0}, prior=0.0, layer_prior=0.0, symmetry=0.5)
    mirror = Images(drawn.rgb.flip(3), drawn.mask.flip(3), drawn.empty)
    expected = [
        0.5 * IMAGE_LOSSES["color"](mirror[number], real) + IMAGE_LOSSES["mask"](mirror[number], real)
        for number in range(2)
    ]
    torch.testing.assert_close(objective.mirrored(drawn), torch.stack(expected))


def test_every_image_loss_has_a_weight_in_a_fit():
    assert IMAGE_LOSSES.keys() == FIT_LOSSES.keys()


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:IoU")
def test_tuning_brings_an_object_nearer_and_its_model_is_a_change_of_a_bundled_one(
    generator: Generator, model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(model_files, "bundled", lambda: {"box": model / "model.safetensors"})
    angles = torch.tensor([[0.7, 1.2]])
    styles = generator.styles(generator.sample_latents(1, 18), 1.0)
    drawn = generator.shapes(styles).draw(Cameras.of_prior(PRIOR, angles), 32)
    # Stripes, which the model does not make.
    drawn.rgb[:, :, ::4] = -drawn.rgb[:, :, ::4]
    photo = _photo(tmp_path / "0.png", drawn)
    write_cameras(tmp_path, ["0.png"], np.degrees(angles.numpy()))
    config = FitConfig("box", images=(photo,), cameras=tmp_path / "cameras.csv", starts=2, steps=16, **SMALL)
    plain = fit(replace(config, out=tmp_path / "plain"), QUIET)
    tuned = fit(replace(config, out=tmp_path / "tuned", tune=True), QUIET)
    assert tuned["psnr"][0] > plain["psnr"][0]
    out = tmp_path / "tuned"
    description = json.loads((out / "shapes.json").read_text())
    assert description["model"] == str(out)
    changed = load(out, "cpu")
    differs = {
        name for name, value in changed.state_dict().items() if not torch.equal(value, generator.state_dict()[name])
    }
    assert differs and all(name.startswith("synthesis.") for name in differs)
    generate(GenerateConfig(str(out), tmp_path / "again", latents=out / "shapes.json", **SMALL), QUIET)
    assert (tmp_path / "again" / "0.glb").read_bytes() == (out / "0.glb").read_bytes()
    # A release holds all weights, so that it needs no other file.
    release(ReleaseConfig(str(out), tmp_path / "whole", title="tuned", licence="CC0-1.0"), QUIET)
    weights = load_weights(out / "model.safetensors")
    whole = load(tmp_path / "whole", "cpu").state_dict()
    assert all(torch.equal(whole[name], value) for name, value in weights.items())
    save_tensors(model / "model.safetensors", with_prefix(WEIGHTS, whole), {"generator": describe(changed.config)})
    with pytest.raises(InputError, match=r"was tuned from other weights than those of .*; tune it again"):
        load(out, "cpu")


def test_a_model_tuned_from_one_that_is_not_bundled_needs_no_other_file(
    generator: Generator, model: Path, tmp_path: Path
):
    tuned = copy.deepcopy(generator)
    with torch.no_grad():
        next(tuned.synthesis.parameters()).add_(0.25)
    model_files.save_tuned(tmp_path / "tuned.safetensors", model, tuned)
    (model / "model.safetensors").unlink()
    found = load(tmp_path / "tuned.safetensors", "cpu").state_dict()
    assert all(torch.equal(found[name], value) for name, value in tuned.state_dict().items())


@pytest.mark.parametrize("name", ["model", "../model", "model/model.safetensors", "", None, 5, ["chair"]])
def test_a_tuned_model_leads_to_no_file(generator: Generator, model: Path, tmp_path: Path, name: object, monkeypatch):
    """Not in its own folder either, and wherever the command is typed."""
    monkeypatch.chdir(tmp_path)
    for named in (name, str((tmp_path / name).resolve()) if isinstance(name, str) else name):
        description = {"tuned_from": {"model": named, "weights": checksum(generator.state_dict())}}
        save_tensors(tmp_path / "a.safetensors", {}, description | {"generator": describe(generator.config)})
        with pytest.raises(InputError, match=r"a\.safetensors: was tuned from .*, which is no bundled model"):
            load(tmp_path / "a.safetensors", "cpu")


def test_a_window_is_around_the_object():
    covered = torch.zeros(40, 60, dtype=torch.bool)
    covered[10:20, 30:50] = True
    window = window_of(covered)
    assert (window.x, window.y) == (40 / 40, 15 / 40)
    assert window.side == pytest.approx(20 / SHARE / 40)
    with pytest.raises(ValueError, match="nothing is covered"):
        window_of(covered & False)


def test_a_photo_is_cut_at_its_window_and_clear_beyond_its_border(tmp_path: Path):
    photo = read_photo(_disc(tmp_path / "disc.png"), None)
    # 30 pixels high: a window of 20 pixels, drawn with 20, whose left six columns lie beyond the image.
    cut = targets([photo], [Window(x=4 / 30, y=15 / 30, side=20 / 30)], 20)[0]
    assert (cut[3, :, :6] == 0).all()
    expected = torch.from_numpy(photo.rgba[5:25, :14, 3].copy()).float() / 255
    torch.testing.assert_close(cut[3, :, 6:], expected, rtol=0, atol=0.02)


def test_a_plain_background_is_removed_with_a_warning(tmp_path: Path):
    path = _disc(tmp_path / "disc.png", mode="RGB")
    photo, exact = read_photo(path, None), read_photo(_disc(tmp_path / "masked.png"), None)
    assert exact.removed is None
    assert ((photo.rgba[..., 3] > 127) == (exact.rgba[..., 3] > 127)).all()
    config = FitConfig("no-model", images=(path,), name="a/b")
    warned = pytest.warns(UserWarning, match=r"has no alpha channel; its background, about rgb\(250, 240, 230\)")
    with warned, pytest.raises(InputError):
        fit(config, QUIET)


@pytest.mark.parametrize(("alpha", "joined"), [(60, True), (20, False)])
def test_parts_that_a_thin_leg_joins_are_one_object(tmp_path: Path, alpha: int, joined: bool):
    path = _disc(tmp_path / "a.png", discs=2)
    image = Image.open(path)
    # From the middle of one to that of the other, where nothing is covered by half.
    for column in range(19, 22):
        image.putpixel((column, 15 + column % 2), (200, 30, 20, alpha))
    image.save(path)
    if joined:
        assert (read_photo(path, None).rgba[..., 3] > 127).sum() > 300
    else:
        with pytest.raises(InputError, match="2 separate objects"):
            read_photo(path, None)


def test_a_mask_replaces_alpha(tmp_path: Path):
    path, mask = _disc(tmp_path / "disc.png", mode="RGB"), tmp_path / "mask.png"
    alpha = read_photo(_disc(tmp_path / "masked.png"), None).rgba[..., 3]
    Image.fromarray(alpha).save(mask)
    white = (alpha > 127).sum()
    assert (read_photo(path, mask).rgba[..., 3] > 127).sum() == white


def _noise(path: Path) -> Path:
    Image.fromarray(np.random.default_rng(0).integers(0, 255, (30, 30, 3)).astype(np.uint8)).save(path)
    return path


@pytest.mark.parametrize(
    ("make", "changes", "message"),
    [
        (lambda at: (), {}, "no IMAGE; give one or several images"),
        (lambda at: (at / "none.png",), {}, "none.png: is not a readable image"),
        (lambda at: (_disc(at / "a.png", discs=0),), {}, "a.png: its alpha is empty"),
        (lambda at: (_disc(at / "a.png", discs=2),), {}, "a.png shows 2 separate objects .*; cut the image, or give"),
        (
            lambda at: (_noise(at / "a.png"),),
            {},
            "a.png: has no alpha channel, and its background is",
        ),
        (lambda at: (_disc(at / "a.png"),), {"mask": ("b.png", "c.png")}, "--mask: 2 masks for 1 images"),
        (lambda at: (_disc(at / "a.png"),), {"mask": ("b.png",)}, r"a.png: its mask .*b.png is 20 × 20, the image 40"),
        (lambda at: (_disc(at / "a.png"),), {"cameras": "cameras.csv"}, "a.png: is 40 × 30, but an image with a known"),
        (lambda at: (_disc(at / "x.png", (40, 40)),), {"cameras": "cameras.csv"}, "has no line for the image .*x.png"),
        (lambda at: (_disc(at / "a.png"),), {"name": "a/b"}, "'a/b' is not a plain file name"),
        (lambda at: (_disc(at / "a.png"),), {"steps": 0}, "--steps is 0"),
    ],
)
def test_bad_input_is_refused_in_a_sentence(model: Path, tmp_path: Path, make, changes, message: str):
    Image.new("L", (20, 20), 255).save(tmp_path / "b.png")
    write_cameras(tmp_path, ["a.png"], np.zeros((1, 2)))
    if "mask" in changes:
        changes = {"mask": tuple(tmp_path / name for name in changes["mask"])}
    if "cameras" in changes:
        changes = {"cameras": tmp_path / changes["cameras"]}
    config = FitConfig(str(model), tmp_path / "out", images=make(tmp_path), **{**SMALL, **changes})
    with pytest.raises(InputError, match=message):
        fit(config, QUIET)
    assert not (tmp_path / "out").exists()


def test_a_camera_that_does_not_see_the_object_is_refused(model: Path, tmp_path: Path):
    image = Image.new("RGBA", (200, 200), (0, 0, 0, 0))
    ImageDraw.Draw(image).rectangle((0, 0, 11, 11), fill=(200, 30, 20, 255))
    image.save(tmp_path / "corner.png")
    write_cameras(tmp_path, ["corner.png"], np.array([[30.0, 70.0]]))
    config = FitConfig(
        str(model), tmp_path / "out", images=(tmp_path / "corner.png",), cameras=tmp_path / "cameras.csv", **SMALL
    )
    with pytest.raises(
        InputError, match=r"corner.png: its camera does not see the model's objects .* \(IoU 0.00 before"
    ):
        fit(replace(config, starts=3), QUIET)


def test_images_of_another_kind_are_said_to_be(model: Path, tmp_path: Path):
    image = Image.new("RGBA", (48, 48), (0, 0, 0, 0))
    draw = ImageDraw.Draw(image)
    for start in (4, 20, 36):
        draw.rectangle((start, 4, start + 2, 44), fill=(255, 255, 255, 255))
    draw.rectangle((4, 4, 38, 6), fill=(255, 255, 255, 255))
    image.save(tmp_path / "fork.png")
    config = FitConfig(str(model), tmp_path / "out", images=(tmp_path / "fork.png",), starts=2, steps=4, **SMALL)
    with pytest.warns(UserWarning, match=r"IoU 0\.\d\d after fitting: this model may not know such objects"):
        fit(config, QUIET)


def test_numbers_of_likeness():
    rgb, mask = 2 * torch.rand(2, 3, 8, 8, generator=seeded()) - 1, torch.zeros(2, 1, 8, 8)
    mask[0, :, :4], mask[1, :, 2:6] = 1.0, 1.0
    drawn, real = Images(rgb[:1], mask[:1], torch.tensor([False])), torch.cat([rgb, mask], 1)[1:]
    assert float(mask_iou(drawn, real)) == pytest.approx(2 / 6)
    whites = [(rgb[i] + 1) / 2 * mask[i] + 1 - mask[i] for i in (0, 1)]
    expected = 10 * np.log10(1 / float((whites[0] - whites[1]).square().mean()))
    assert float(psnr(drawn, real)) == pytest.approx(expected, rel=1e-5)
    nothing = Styles(torch.zeros(1, 2), torch.zeros(1, 2))
    assert len(nothing) == 1
