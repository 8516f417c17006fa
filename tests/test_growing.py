"""A model that grows begins with what it has learnt: finer planes hold the same field, and judgements stay the same."""

from dataclasses import replace

import pytest
import torch
from rich.console import Console

import tiny
from get3d.cameras import Cameras
from get3d.files import InputError
from get3d.generator import Generator
from get3d.networks import Discriminator
from get3d.networks.layers import downsample, upsample
from get3d.storage import load_tensors, without_prefix
from get3d.training.config import prepare_run
from get3d.training.growing import grown
from get3d.training.loop import start, train


def _planes(resolution):
    planes = replace(tiny.GENERATOR.synthesis.planes, resolution=resolution)
    return replace(tiny.GENERATOR, synthesis=replace(tiny.GENERATOR.synthesis, planes=planes))


def test_finer_planes_begin_as_the_coarse_ones_doubled():
    torch.manual_seed(0)
    coarse, fine = Generator(_planes(8)), Generator(_planes(32))
    fine.load_state_dict(grown(fine, coarse.state_dict()))
    geometry = torch.randn(2, fine.synthesis.num_geometry_styles - 2, 16, generator=tiny.seeded())
    texture = torch.randn(2, fine.synthesis.num_texture_styles - 2, 16, generator=tiny.seeded(1))
    held = coarse.synthesis.num_geometry_styles - 2, coarse.synthesis.num_texture_styles - 2
    for low, high in zip(
        coarse.synthesis.planes(geometry[:, : held[0]], texture[:, : held[1]]),
        fine.synthesis.planes(geometry, texture),
        strict=True,
    ):
        doubled = upsample(upsample(low.flatten(1, 2))).view_as(high)
        torch.testing.assert_close(high, doubled, rtol=0.0, atol=1e-5 * float(doubled.detach().abs().max()))


@pytest.mark.parametrize("isosurface", ["tetrahedra", "flexicubes"])
@pytest.mark.parametrize("synthesis", [tiny.GENERATOR.synthesis, tiny.SEPARATE], ids=["unified", "separate"])
def test_wider_planes_begin_as_the_narrow_ones(synthesis, isosurface):
    """Also where styles are far from one and biases from zero, as after training."""
    torch.manual_seed(0)
    narrow, wide = (
        Generator(
            replace(
                tiny.GENERATOR,
                isosurface=isosurface,
                synthesis=replace(synthesis, planes=replace(synthesis.planes, channel_base=base, channel_max=24)),
            )
        )
        for base in (64, 128)
    )
    for parameter in narrow.parameters():
        parameter.data.add_(0.3 * torch.randn(parameter.shape))
    wide.load_state_dict(grown(wide, narrow.state_dict()))
    assert sum(map(torch.numel, wide.parameters())) > sum(map(torch.numel, narrow.parameters()))
    latents = narrow.sample_latents(2, seed=0)
    shapes = [generator.shapes(generator.styles(latents)) for generator in (narrow, wide)]
    torch.testing.assert_close(shapes[1].meshes.vertices, shapes[0].meshes.vertices)
    assert shapes[1].meshes.faces.equal(shapes[0].meshes.faces)
    cameras = Cameras.orbit(torch.zeros(2), torch.full((2,), 1.3))
    drawn = [shape.draw(cameras, 32).rgb for shape in shapes]
    assert drawn[0].std() > 0.01
    torch.testing.assert_close(drawn[1], drawn[0], atol=2e-4, rtol=1e-4)
    (drawn[1].square().sum() + shapes[1].meshes.vertices.square().sum()).backward()
    gradients = {name: value.grad for name, value in wide.named_parameters() if "blocks.1.outputs" in name}
    read = [gradient[:, 8:] for name, gradient in gradients.items() if name.count(".weight") and "affine" not in name]
    assert read
    assert all(part.abs().sum() > 0 for part in read)


@pytest.mark.parametrize("synthesis", [tiny.GENERATOR.synthesis, tiny.SEPARATE], ids=["unified", "separate"])
@pytest.mark.parametrize("first", [0, 2])
def test_more_frequencies_begin_as_the_fewer(synthesis, first):
    torch.manual_seed(0)
    few, many = (
        Generator(replace(tiny.GENERATOR, synthesis=replace(synthesis, texture_frequencies=count)))
        for count in (first, 5)
    )
    for parameter in few.parameters():
        parameter.data.add_(0.3 * torch.randn(parameter.shape))
    many.load_state_dict(grown(many, few.state_dict()))
    latents, points = few.sample_latents(2, seed=0), torch.rand(2, 50, 3, generator=tiny.seeded()) - 0.5
    held, colors = (generator.field(generator.styles(latents)).color(points) for generator in (few, many))
    assert held.std() > 0.01
    torch.testing.assert_close(colors, held, atol=1e-5, rtol=1e-4)
    colors.square().sum().backward()
    added = many.synthesis.waves.dense.weight.grad.unflatten(0, (-1, 3))[-18:]
    assert (added.abs().sum((1, 2)) > 0).all()


def test_a_discriminator_of_larger_images_begins_with_the_judgement_of_the_smaller():
    torch.manual_seed(0)
    small = Discriminator(tiny.DISCRIMINATOR, resolution=16)
    large = Discriminator(tiny.DISCRIMINATOR, resolution=64)
    large.load_state_dict(grown(large, small.state_dict()))
    images, angles = torch.randn(4, 4, 64, 64), torch.randn(4, 2)
    logits = large(images, angles)
    expected = small(downsample(downsample(images)), angles)
    torch.testing.assert_close(logits.rgb, expected.rgb)
    torch.testing.assert_close(logits.mask, expected.mask)


@pytest.mark.slow
def test_every_part_of_a_grown_model_learns(tmp_path):
    data = tiny.write_dataset(tmp_path / "data", resolution=32)
    fine = tiny.write_dataset(tmp_path / "fine", resolution=64)
    made = train(tiny.run_config(data, tmp_path / "small", resolution=32), Console(quiet=True))
    asked = tiny.run_config(fine, tmp_path / "large", init_from=made, grow_planes=32, grow_grid=10)
    config = prepare_run(asked).config
    assert (config.resolution, config.generator.grid_resolution) == (64, 10)
    before = start(config)
    after = load_tensors(train(asked, Console(quiet=True)))
    assert after.description["generator"]["synthesis"]["planes"]["resolution"] == 32
    for prefix, network in (("generator.", before.generator), ("discriminator.", before.discriminator)):
        learnt = without_prefix(prefix, after.tensors)
        blocks = {name: value for name, value in network.named_parameters() if ".blocks." in name}
        assert not [name for name, value in blocks.items() if torch.equal(value, learnt[name])]


def test_a_model_that_cannot_grow_so_is_refused(tmp_path):
    data = tiny.write_dataset(tmp_path / "data")
    made = train(tiny.run_config(data, tmp_path / "small"), Console(quiet=True))
    synthesis = replace(tiny.GENERATOR.synthesis, texture_frequencies=2)
    changed = {"generator": replace(tiny.GENERATOR, synthesis=synthesis)}
    waves = train(tiny.run_config(data, tmp_path / "waves", **changed), Console(quiet=True))
    for changes, message in (
        ({"init_from": made, "grow_planes": 4}, r"--grow-planes is 4; it must be at least the 8 of .*"),
        ({"init_from": made, "grow_planes": 24}, "--grow-planes is 24"),
        ({"init_from": made, "grow_grid": 1}, "--grow-grid is 1; it must be from 2 to 1024"),
        ({"init_from": made, "grow_channels": 8}, r"--grow-channels is 8; it must be at least the \d+ of .*"),
        ({"init_from": waves, "grow_frequencies": 1}, r"--grow-frequencies is 1; it must be at least the 2 of .*"),
        ({"grow_planes": 16}, "--grow-planes needs a model; give it with --init-from"),
        ({"grow_grid": 16, "grow_frequencies": 2}, "--grow-frequencies needs a model"),
        ({"grow_channels": 64}, "give it with --init-from"),
    ):
        with pytest.raises(InputError, match=message):
            prepare_run(tiny.run_config(data, tmp_path / "new", **changes))
