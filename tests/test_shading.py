"""Images against what optics says: known colours, known coverage, known orientation."""

import math

import pytest
import torch

from get3d.assets.shading import shade
from get3d.authoring.procedural import make
from get3d.cameras import Cameras
from get3d.export.write import TexturedMesh
from get3d.render.lights import STUDIO


def square(side: float, texture: torch.Tensor, normal: tuple[float, float, float] = (0.0, 0.0, -1.0)) -> TexturedMesh:
    """A square in z = 0 that faces −Z, where the camera of azimuth 0 stands; u runs to that camera's right."""
    half = side / 2
    vertices = torch.tensor([[half, -half, 0.0], [-half, -half, 0.0], [-half, half, 0.0], [half, half, 0.0]])
    return TexturedMesh(
        vertices=vertices,
        faces=torch.tensor([[0, 1, 2], [0, 2, 3]]),
        normals=torch.tensor(normal).expand(4, 3).clone(),
        uv=torch.tensor([[0.0, 0.0], [1.0, 0.0], [1.0, 1.0], [0.0, 1.0]]),
        textures={"base_color": texture},
    )


def front(count: int = 1) -> Cameras:
    return Cameras.orbit(torch.zeros(count), torch.full((count,), math.pi / 2))


def plain(color: tuple[int, int, int]) -> torch.Tensor:
    return torch.tensor(color, dtype=torch.uint8).expand(4, 4, 3).clone()


def srgb_to_linear(value: float) -> float:
    return value / 12.92 if value <= 0.04045 else ((value + 0.055) / 1.055) ** 2.4


def linear_to_srgb(value: float) -> float:
    return value * 12.92 if value <= 0.0031308 else 1.055 * value ** (1 / 2.4) - 0.055


def test_a_square_has_its_colour_times_the_light_with_gamma_in_between():
    color = (200, 120, 40)
    image = shade(square(0.5, plain(color)), front(), 32)[0]
    light = float(STUDIO.diffuse(torch.tensor([[0.0, 0.0, -1.0]])))
    for channel, value in enumerate(color):
        expected = 255 * linear_to_srgb(min(srgb_to_linear(value / 255) * light, 1.0))
        assert abs(int(image[channel, 16, 16]) - expected) <= 1
    assert image[3, 16, 16] == 255


def test_alpha_is_the_covered_share_and_colours_are_not_darkened_at_the_border():
    side, resolution = 0.61, 64
    image = shade(square(side, plain((180, 180, 180))), front(), resolution, supersample=4)[0]
    half = side / 1.2 * 35 / 32 * resolution
    edges = torch.arange(resolution + 1.0)
    low, high = resolution / 2 - half / 2, resolution / 2 + half / 2
    covered = (edges[1:].clamp(max=high) - edges[:-1].clamp(min=low)).clamp(0, 1)
    exact = covered[:, None] * covered[None]
    alpha = image[3].float() / 255
    assert (alpha - exact).abs().max() <= 0.26
    assert abs(float(alpha.sum() - exact.sum()) / float(exact.sum())) < 0.02
    partial = (alpha > 0) & (alpha < 1)
    assert partial.any()
    assert (image[:3, partial] == image[:3, 32, 32][:, None]).all()
    assert (image[:3, alpha == 0] == 0).all()


def test_images_are_the_right_way_round():
    texture = torch.zeros(2, 2, 3, dtype=torch.uint8)
    texture[0, 0] = torch.tensor([255, 0, 0])  # upper left: u = 0, v = 1
    texture[0, 1] = torch.tensor([0, 255, 0])
    texture[1, 0] = torch.tensor([0, 0, 255])
    image = shade(square(0.6, texture.repeat_interleave(8, 0).repeat_interleave(8, 1)), front(), 32)[0]
    assert image[:3, 12, 12].argmax() == 0
    assert image[:3, 12, 20].argmax() == 1
    assert image[:3, 20, 12].argmax() == 2
    assert (image[:3, 20, 20] == 0).all()


def test_light_comes_from_above_and_stays_with_the_world():
    up, down = STUDIO.diffuse(torch.tensor([[0.0, 1.0, 0.0], [0.0, -1.0, 0.0]]))
    assert up > 1.5 * down > 0
    directions = torch.nn.functional.normalize(torch.randn(2000, 3, generator=torch.Generator().manual_seed(0)), dim=1)
    assert STUDIO.diffuse(directions).max() <= 1
    assert STUDIO.diffuse(directions).min() > 0.1


def test_texture_is_read_between_texels():
    ramp = torch.linspace(0, 255, 4).to(torch.uint8)
    texture = ramp[None, :, None].expand(4, 4, 3).clone()
    row = shade(square(0.6, texture), front(), 64)[0][0, 32].int()
    inside = row[row > 0]
    assert len(inside.unique()) > 12


def test_many_views_are_each_as_alone_and_the_front_is_where_it_should_be():
    mesh = make("car", seed=0, index=0, texture=256)
    cameras = Cameras.orbit(torch.tensor([0.0, 1.0, math.pi / 2]), torch.tensor([1.4, 1.1, 1.5]))
    together = shade(mesh, cameras, 32)
    for view in range(3):
        alone = shade(mesh, cameras[torch.tensor([view])], 32)
        assert torch.equal(together[view], alone[0])
    widths = (together[:, 3] > 127).any(dim=1).sum(dim=1)
    assert widths[0] < 0.75 * widths[2]  # A car is narrower from the front than from its side.


@pytest.mark.parametrize("supersample", [1, 3])
def test_shape_and_type(supersample):
    images = shade(square(0.5, plain((10, 20, 30))), front(2), 16, supersample)
    assert images.shape == (2, 4, 16, 16)
    assert images.dtype == torch.uint8
