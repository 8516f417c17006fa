"""What a texture is: colour with the light in it, base colour, or base colour, roughness and metallic."""

import json
from dataclasses import replace

import pytest
import torch
from rich.console import Console

import tiny
from get3d.cameras import Cameras
from get3d.checkpoints.model import WEIGHTS, load
from get3d.color import linear_to_srgb, signed_to_unit, srgb_to_linear, unit_to_signed
from get3d.datasets.loader import ImageDataset
from get3d.datasets.pack import PackConfig, pack
from get3d.files import InputError
from get3d.generator import Generator
from get3d.light_prior import LightPrior
from get3d.render import interpolate, rasterize
from get3d.render.lights import EVEN, STUDIO
from get3d.render.shade import Surface, seen_normals, shade, views_of
from get3d.storage import describe, save_tensors, with_prefix
from get3d.training.config import prepare_run
from get3d.training.loop import start, train_step
from get3d.training.warmup_step import warmup_step


def made(materials: str, light: LightPrior = LightPrior()) -> Generator:  # noqa: B008
    torch.manual_seed(0)
    generator = Generator(replace(tiny.GENERATOR, materials=materials, light=light)).eval().requires_grad_(False)
    generator.estimate_mean_styles(samples=1000)
    return generator


def cameras(count: int) -> Cameras:
    return Cameras.sample(tiny.GENERATOR.cameras, count, tiny.seeded())


def not_at_edges(images, fragments):
    """Which values are of pixels whose centre is covered, or of which nothing is."""
    return (fragments.covered | (images.mask == 0)).expand_as(images.rgb)


def test_colour_is_drawn_as_the_field_gives_it():
    generator, views = made("color"), cameras(2)
    shapes = generator.shapes(generator.sample_latents(2, 0))
    fragments = rasterize(shapes.meshes, views, 32)
    points = interpolate(shapes.meshes.vertices, shapes.meshes.faces, fragments)
    exact = fragments.scatter(shapes.fields.texture.at_packed(points, fragments.shape)["base_color"], -1.0)
    drawn = shapes.draw(views, 32)
    whole = not_at_edges(drawn, fragments)
    assert torch.equal(drawn.rgb[whole], exact[whole])
    # Even light shows it as well, but for the way to linear light and back.
    torch.testing.assert_close(shapes.draw(views, 32, light=EVEN).rgb[whole], exact[whole], rtol=0, atol=2e-5)


@pytest.mark.parametrize("materials", ["base_color", "pbr"])
def test_images_are_the_materials_in_the_datasets_light(materials):
    generator, views = made(materials), cameras(2)
    shapes = generator.shapes(generator.sample_latents(2, 0))
    fragments = rasterize(shapes.meshes, views, 32)
    points = interpolate(shapes.meshes.vertices, shapes.meshes.faces, fragments)
    values = shapes.fields.texture.at_packed(points, fragments.shape)
    assert list(values) == (["base_color"] if materials == "base_color" else ["base_color", "roughness", "metallic"])
    seen_from = views_of(points, views, fragments)
    normals = seen_normals(shapes.meshes, fragments, seen_from)
    parts = [signed_to_unit(values[name]).clamp(0, 1) for name in list(values)[1:]]
    surface = Surface(srgb_to_linear(signed_to_unit(values["base_color"]).clamp(0, 1)), *parts)
    exact = unit_to_signed(linear_to_srgb(shade(surface, normals, seen_from, STUDIO)))
    images = shapes.draw(views, 32)
    drawn, whole = images.rgb, not_at_edges(images, fragments)
    expected = fragments.scatter(exact, -1.0)
    torch.testing.assert_close(drawn.clamp(-1, 1)[whole], expected[whole], rtol=0, atol=1e-5)
    turn = torch.tensor([0.0, 2.0])
    turned = shapes.draw(views, 32, turn=turn).rgb
    assert torch.equal(turned[0], drawn[0])
    assert not torch.allclose(turned[1], drawn[1], atol=1e-2)


@pytest.mark.parametrize("synthesis", [tiny.GENERATOR.synthesis, tiny.SEPARATE], ids=["unified", "separate"])
def test_materials_begin_as_those_of_a_file_that_names_none(synthesis):
    generator = Generator(replace(tiny.GENERATOR, synthesis=synthesis, materials="pbr"))
    assert generator.synthesis.to_rgb.bias.tolist() == pytest.approx([0, 0, 0, 0.2, -1])
    plain = Generator(replace(tiny.GENERATOR, synthesis=synthesis))
    assert not plain.synthesis.to_rgb.bias.any()


@pytest.mark.parametrize(("materials", "output"), [("base_color", 0), ("pbr", 0), ("pbr", 3)])
def test_a_material_outside_of_its_range_is_only_led_back(materials, output):
    generator, views = made(materials), cameras(1)
    bias = generator.synthesis.to_rgb.bias.requires_grad_(True)
    codes = generator.sample_latents(1, 0)
    for value, sign in ((-60.0, 1), (60.0, -1)):
        with torch.no_grad():
            # Outside for all points: red, or roughness.
            bias[output] = value
        shapes = generator.shapes(codes)
        rgb = shapes.draw(views, 16).rgb
        for wanted in (1, -1):
            (gradient,) = torch.autograd.grad((wanted * rgb).sum(), bias, retain_graph=True)
            # Descent changes it against the gradient: not at all, or towards the range.
            assert float(-gradient[output] * sign) >= 0
        moved = [torch.autograd.grad((w * rgb).sum(), bias, retain_graph=True)[0][output] != 0 for w in (1, -1)]
        assert any(moved)


def test_shading_gives_normals_a_gradient_and_colour_alone_does_not():
    for materials, expected in (("color", False), ("base_color", True)):
        generator = made(materials).requires_grad_(True)
        shapes = generator.shapes(generator.sample_latents(1, 0))
        rgb = shapes.draw(cameras(1), 32).rgb
        (gradient,) = torch.autograd.grad(rgb.square().mean(), shapes.meshes.vertices, allow_unused=True)
        assert (gradient is not None and bool(gradient.abs().sum() > 0)) == expected


def lit(root, light: LightPrior, turns: bool = False):
    tiny.write_dataset(root)
    path = root / "dataset.json"
    values = json.loads(path.read_text())
    path.write_text(json.dumps(values | {"light": {**vars(light)}}))
    if turns:
        lines = (root / "cameras.csv").read_text().splitlines()
        rows = [lines[0] + ",light", *(f"{line},{number * 10}" for number, line in enumerate(lines[1:]))]
        (root / "cameras.csv").write_text("\n".join(rows) + "\n")
    return root


@pytest.mark.parametrize("materials", ["base_color", "pbr"])
def test_training_goes_through_the_light_of_the_dataset(tmp_path, materials):
    light = LightPrior(turned=True, shading="pbr")
    config = tiny.run_config(lit(tmp_path / "data", light, turns=True), tmp_path / "out")
    config = replace(config, generator=replace(config.generator, materials=materials))
    run = prepare_run(config)
    assert run.config.generator.light == light
    state = start(run.config)
    before = {name: value.clone() for name, value in state.generator.named_parameters()}
    batches = run.images.batches(4, seed=0)
    batch = next(batches)
    assert batch.turn is not None
    train_step(state, batch, run.config)
    batches.close()
    changed = [name for name, value in state.generator.named_parameters() if not torch.equal(value, before[name])]
    assert any("to_rgb" in name for name in changed)
    assert any("sdf_head" in name for name in changed)


@pytest.mark.parametrize(("weight", "falls"), [(1.0, True), (0.0, False)])
def test_a_warmup_holds_things_for_no_metal(tmp_path, weight, falls):
    """With no other weight than the prior's, the metallic value falls, and nothing else moves."""
    config = tiny.run_config(lit(tmp_path / "data", LightPrior(shading="pbr")), tmp_path / "out", warmup_kimg=1.0)
    losses = {"color": 0.0, "mask": 0.0}
    warmup = replace(
        config.warmup,
        losses=losses,
        random_interval=0,
        code_prior=0.0,
        metallic_prior=weight,
        hull=replace(config.warmup.hull, weight=0.0),
    )
    objective = replace(config.objective, regularizers={"sdf": 0.0})
    config = replace(config, warmup=warmup, objective=objective, generator=replace(config.generator, materials="pbr"))
    run = prepare_run(config)
    state = start(run.config, len(run.images.objects))
    bias = state.generator.synthesis.to_rgb.bias
    with torch.no_grad():
        bias[4] = 0.0
    before, stream = bias.detach().clone(), run.images.object_batches(4, 2, 0)
    for _ in range(8):
        warmup_step(state, next(stream), run.config)
    assert (bias[4] < before[4] - 0.01) == falls
    assert bias[:4].equal(before[:4])
    assert ("surface/metallic" in state.sums) == falls


def test_materials_that_the_images_cannot_show_are_refused(tmp_path):
    config = tiny.run_config(lit(tmp_path / "matte", LightPrior()), tmp_path / "out")
    with pytest.raises(InputError, match="are matte, so nothing shows roughness"):
        prepare_run(replace(config, generator=replace(config.generator, materials="pbr")))


def test_a_models_materials_and_light_come_back_from_its_file(tmp_path):
    light = LightPrior("studio", turned=True, shading="pbr")
    generator = made("pbr", light)
    description = {"generator": describe(generator.config)}
    save_tensors(tmp_path / "model.safetensors", with_prefix(WEIGHTS, generator.state_dict()), description)
    again = load(tmp_path / "model.safetensors", "cpu")
    assert (again.config.materials, again.config.light) == ("pbr", light)
    textured = again.textured(again.sample_latents(1, 0), texture_resolution=32)[0]
    if not textured.empty:
        assert set(textured.textures) == {"base_color", "roughness", "metallic"}


def test_the_turn_of_the_light_is_read_packed_and_required(tmp_path):
    root = lit(tmp_path / "data", LightPrior(turned=True), turns=True)
    images = ImageDataset(root, "train")
    expected = torch.deg2rad(torch.arange(len(images)) * 10.0)
    torch.testing.assert_close(images.turns, expected)
    pack(PackConfig(root, tmp_path / "packed"), Console(quiet=True))
    packed = ImageDataset(tmp_path / "packed", "train")
    assert packed.light == LightPrior(turned=True)
    torch.testing.assert_close(packed.turns, images.turns)
    tiny.write_dataset(tmp_path / "plain")
    (root / "cameras.csv").write_text((tmp_path / "plain/cameras.csv").read_text())
    with pytest.raises(InputError, match="says that the light is turned in each image"):
        ImageDataset(root, "train")
    values = json.loads((root / "dataset.json").read_text())
    for name in ("kind", "turned", "shading"):
        (root / "dataset.json").write_text(json.dumps(values | {"light": values["light"] | {name: "disco"}}))
        with pytest.raises(InputError, match=f"the light's {name} is 'disco'"):
            ImageDataset(root, "train")
