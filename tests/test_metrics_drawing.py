"""Which shapes are measured: the same alone and among others, mixed as the paper does, known by all they are of."""

from dataclasses import replace

import numpy as np
import pytest
import torch
import trimesh
from PIL import Image

import tiny
from get3d.cameras import Cameras
from get3d.datasets.loader import ImageDataset
from get3d.distributed.processes import SINGLE_PROCESS
from get3d.evaluation.drawing import Sampling, images_of
from get3d.evaluation.image_metrics import real_images
from get3d.evaluation.shape_sets import Measures, mesh_set
from get3d.generator import Generator

CPU = torch.device("cpu")


def _generator(**changes) -> Generator:
    torch.manual_seed(0)
    return Generator(replace(tiny.GENERATOR, **changes)).eval().requires_grad_(False)


@pytest.mark.parametrize("mixing", [0.0, 0.9])
@pytest.mark.parametrize("classes", [(), ("cup", "jug")])
def test_a_shape_is_the_same_whatever_is_drawn_beside_it(mixing, classes):
    generator, sampling = _generator(classes=classes), Sampling(7, 0.8, mixing)
    together = sampling.styles(generator, range(6))
    for number in (0, 3, 5):
        alone = sampling.styles(generator, [number])
        torch.testing.assert_close(together.geometry[number], alone.geometry[0])
        torch.testing.assert_close(together.texture[number], alone.texture[0])


def test_without_mixing_styles_are_those_of_the_seeds():
    generator = _generator()
    found = Sampling(3, 0.7).styles(generator, range(4))
    expected = generator.styles(generator.sample_latents(4, 3), 0.7)
    torch.testing.assert_close(found.geometry, expected.geometry)
    torch.testing.assert_close(found.texture, expected.texture)


def test_mixed_styles_begin_with_the_seeds_and_end_with_anothers():
    generator, count = _generator(), 300
    own = generator.styles(generator.sample_latents(count, 0))
    mixed = Sampling(0, 1.0, 0.9).styles(generator, range(count))
    for kind in ("geometry", "texture"):
        first, found = getattr(own, kind), getattr(mixed, kind)
        same = (found - first).abs().amax(dim=2) < 1e-6
        assert same[:, 0].all()
        # Once the other style begins, it stays.
        assert (same[:, 1:] <= same[:, :-1]).all()
        layers = first.shape[1]
        # With probability 0.9 the cut is uniform among 1 … layers - 1.
        assert (~same[:, -1]).float().mean() == pytest.approx(0.9, abs=0.06)
        lengths = same[~same[:, -1]].sum(dim=1).float()
        assert lengths.mean() == pytest.approx(layers / 2, abs=0.1 * layers)
        # And the style that follows is one, of no seed.
        after = found[~same[:, -1], -1]
        assert torch.cdist(after, first[:, 0]).amin() > 1e-4


def test_the_key_is_of_all_that_shapes_are_made_of():
    generator, sampling = _generator(), Sampling(0, 1.0)
    key = sampling.key(generator)
    assert key == sampling.key(_generator())
    further = replace(tiny.GENERATOR.cameras, radius=2.0)
    changes = ({"grid_size": 0.7}, {"grid_resolution": 9}, {"cameras": further})
    others = [sampling.key(_generator(**change)) for change in changes]
    others += [changed.key(generator) for changed in (Sampling(1), Sampling(0, 0.9), Sampling(0, 1.0, 0.9))]
    finer = _generator()
    finer.use_grid(10)
    others.append(sampling.key(finer))
    with torch.no_grad():
        generator.mapping_texture.w_avg += 1
    others.append(sampling.key(generator))
    assert len({key, *others}) == 1 + len(others)


def test_an_empty_shape_shows_nothing():
    generator = _generator()
    with torch.no_grad():
        generator.synthesis.sdf_head.layers[-1].bias -= 1000
    shapes = Sampling().shapes(generator, range(2))
    assert shapes.surfaces.empty.all()
    images = images_of(generator, shapes, Cameras.orbit(torch.zeros(2), torch.ones(2)), 16)
    assert (images[:, :3] == -1).all()
    assert (images[:, 3] == 0).all()


@pytest.mark.parametrize("outer", [False, True])
def test_points_that_are_not_centred_are_divided_by_the_longest_side_alone(tmp_path, outer):
    box = trimesh.creation.box((1, 2, 4))
    box.apply_translation((3, 0, -1)).export(tmp_path / "a.ply")
    centred, published = (
        mesh_set(
            tmp_path, ["a"], Measures(4000, outer, descriptors=False, centred=centre), CPU, lambda done: None
        ).points[0]
        for centre in (True, False)
    )
    torch.testing.assert_close(published - centred, torch.tensor([0.75, 0, -0.25]).expand(4000, 3), rtol=0, atol=1e-6)
    torch.testing.assert_close(published.amin(0), torch.tensor([0.625, -0.25, -0.75]), rtol=0, atol=1e-2)
    torch.testing.assert_close(published.amax(0), torch.tensor([0.875, 0.25, 0.25]), rtol=0, atol=1e-2)


def test_binary_masks_are_whole_wherever_anything_is_covered(tmp_path):
    data = tiny.write_dataset(tmp_path / "data")
    for path in (data / "images").rglob("*.png"):
        pixels = np.array(Image.open(path))
        pixels[0, 0] = (200, 100, 50, 1)
        Image.fromarray(pixels).save(path)
    images = ImageDataset(data, "train")
    plain = real_images(images, 4, 0, SINGLE_PROCESS)
    binary = real_images(images, 4, 0, SINGLE_PROCESS, binary_masks=True)
    assert (plain[:, 3, 0, 0] == 1).all()
    assert (binary[:, 3, 0, 0] == 255).all()
    assert torch.equal(binary[:, 3], torch.where(plain[:, 3] > 0, 255, 0).to(torch.uint8))
    assert torch.equal(binary[:, :3], plain[:, :3])
