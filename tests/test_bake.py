import functools
from collections.abc import Callable

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from get3d.export import UnwrappedMesh, bake, sample_texture, simplify, unwrap
from get3d.files import InputError
from get3d.meshes import Mesh
from solids import ripples, sponge, torus


def baked(unwrapped: UnwrappedMesh, color: Callable[[Tensor], Tensor], resolution: int) -> Tensor:
    """The texture of a base colour."""
    return bake(unwrapped, lambda points: {"base_color": color(points)}, resolution)["base_color"]


@functools.cache
def unwrapped_torus(resolution: int = 512) -> UnwrappedMesh:
    return unwrap(simplify(torus(), 3000), resolution)


@functools.cache
def unwrapped_sponge(resolution: int = 1024) -> UnwrappedMesh:
    return unwrap(simplify(sponge(0), 6000), resolution)


def inner_points(unwrapped: UnwrappedMesh, count: int) -> tuple[Tensor, Tensor]:
    """Places in the texture and positions, spread over the surface evenly."""
    generator = np.random.default_rng(0)
    a, b, c = unwrapped.vertices[unwrapped.faces].unbind(1)
    share = torch.linalg.cross(b - a, c - a).norm(dim=1).double().numpy()
    face = torch.from_numpy(generator.choice(len(share), count, p=share / share.sum()))
    weight = torch.from_numpy(generator.dirichlet(np.ones(3), count)).float()[..., None]
    corners = unwrapped.faces[face]
    return (unwrapped.uv[corners] * weight).sum(1), (unwrapped.vertices[corners] * weight).sum(1)


def seam_points(unwrapped: UnwrappedMesh, per_edge: int) -> tuple[Tensor, Tensor]:
    """The same along the borders of the charts: edges that have a face on one side only."""
    edges = torch.stack([unwrapped.faces, unwrapped.faces.roll(-1, dims=1)], dim=-1).flatten(0, 1)
    _, number, count = edges.sort(dim=1).values.unique(dim=0, return_inverse=True, return_counts=True)
    border = edges[count[number] == 1].repeat_interleave(per_edge, dim=0)
    assert len(border) > 100
    along = torch.from_numpy(np.random.default_rng(1).uniform(size=(len(border), 1))).float()
    start, end = border.unbind(1)
    return (
        unwrapped.uv[start] * (1 - along) + unwrapped.uv[end] * along,
        unwrapped.vertices[start] * (1 - along) + unwrapped.vertices[end] * along,
    )


def errors(texture: Tensor, uv: Tensor, points: Tensor) -> Tensor:
    """Differences to the true colour, in steps of 1/255."""
    return (sample_texture(texture, uv) - (ripples(points) + 1) / 2).abs().amax(dim=1) * 255


@pytest.mark.parametrize("points_of", ["inside", "seams"])
def test_smooth_shape_shows_the_true_colour_everywhere(points_of: str) -> None:
    unwrapped = unwrapped_torus()
    texture = baked(unwrapped, ripples, 512)
    uv, points = inner_points(unwrapped, 100_000) if points_of == "inside" else seam_points(unwrapped, 20)
    error = errors(texture, uv, points)
    assert float(error.mean()) < 0.5
    assert float(error.quantile(0.99)) < 2
    # Only where a chart comes near itself, at the end of a cut, can a texel not serve both sides.
    assert float(error.max()) < 20


@pytest.mark.parametrize("points_of", ["inside", "seams"])
def test_wild_shape_of_many_charts_shows_nearly_the_true_colour(points_of: str) -> None:
    unwrapped = unwrapped_sponge()
    texture = baked(unwrapped, ripples, 1024)
    uv, points = inner_points(unwrapped, 100_000) if points_of == "inside" else seam_points(unwrapped, 10)
    error = errors(texture, uv, points)
    assert float(error.mean()) < 1
    assert float(error.quantile(0.99)) < 6
    assert float(error.max()) < 64


def test_no_texel_is_black_and_smaller_copies_keep_the_colours() -> None:
    """As mip-mapping reads a texture from afar: down to one texel, no colour that the surface has not."""
    unwrapped = unwrapped_sponge()
    texture = baked(unwrapped, ripples, 1024)
    lowest = ((ripples(unwrapped.vertices) + 1) / 2 * 255).amin(dim=0)
    level = texture.permute(2, 0, 1)[None].float()
    while level.shape[-1] > 1:
        assert bool((level.amin(dim=(0, 2, 3)) >= lowest - 12).all())
        level = torch.nn.functional.avg_pool2d(level, 2)


def test_no_chart_is_too_small_to_be_painted() -> None:
    """Two small triangles between texel centres, far from a large one of another colour."""
    flat = [[0.02, 0.02], [0.5, 0.02], [0.02, 0.5], [0.905, 0.905], [0.91, 0.905], [0.905, 0.91]]
    uv = torch.tensor(flat)
    vertices = torch.cat([uv, torch.tensor([[0.0]] * 3 + [[1.0]] * 3)], dim=1)
    unwrapped = UnwrappedMesh(vertices, torch.tensor([[0, 1, 2], [3, 4, 5]]), uv, torch.arange(6))

    def color(points: Tensor) -> Tensor:
        return torch.where(points[:, 2:] > 0.5, points.new_tensor([1.0, 0, 0]), points.new_tensor([0.0, 0, 1]))

    texture = baked(unwrapped, color, 16)
    assert sample_texture(texture, uv[3:]).argmax(dim=1).tolist() == [0, 0, 0]
    assert sample_texture(texture, uv[:3]).argmax(dim=1).tolist() == [2, 2, 2]


def test_texels_hold_the_colour_of_their_centres_upright() -> None:
    """A square that fills the texture: (0, 0) is the lower left corner, the first row the upper one."""
    uv = torch.tensor([[0.0, 0], [1, 0], [1, 1], [0, 1]])
    square = UnwrappedMesh(
        torch.cat([uv, torch.zeros(4, 1)], dim=1), torch.tensor([[0, 1, 2], [0, 2, 3]]), uv, torch.arange(4)
    )
    texture = baked(square, lambda points: points * 2 - 1, 20)
    steps = ((torch.arange(20) + 0.5) / 20 * 255).round()
    assert torch.equal(texture[..., 0], steps.expand(20, 20).byte())
    assert torch.equal(texture[..., 1], steps.flip(0)[:, None].expand(20, 20).byte())
    assert not bool(texture[..., 2].any())


def test_colours_out_of_range_are_clamped() -> None:
    texture = baked(unwrapped_torus(), lambda points: torch.full_like(points, 3.0), 64)
    assert texture.unique().tolist() == [255]
    texture = baked(unwrapped_torus(), lambda points: torch.full_like(points, -3.0), 64)
    assert texture.unique().tolist() == [0]


def test_asks_for_bounded_numbers_of_points_and_no_gradient() -> None:
    sizes = []

    def color(points: Tensor) -> Tensor:
        assert not torch.is_grad_enabled()
        sizes.append(points.shape[0])
        return points

    baked(unwrapped_torus(), color, 1024)
    assert max(sizes) <= 2**16
    assert sum(sizes) > 400_000


@settings(max_examples=10)
@given(st.integers(16, 400))
def test_any_size_is_possible(resolution: int) -> None:
    texture = baked(unwrapped_torus(), ripples, resolution)
    assert texture.shape == (resolution, resolution, 3)
    assert int(texture.min()) > 40


def test_same_surface_same_texture(device: torch.device) -> None:
    parts = unwrapped_torus()
    unwrapped = UnwrappedMesh(*(part.to(device) for part in (parts.vertices, parts.faces, parts.uv, parts.source)))
    once, again = (baked(unwrapped, ripples, 256) for _ in range(2))
    assert once.device.type == "cpu"
    assert torch.equal(once, again)


@pytest.mark.parametrize("resolution", [0, 15, 8193, -1])
def test_sizes_out_of_range_are_refused(resolution: int) -> None:
    with pytest.raises(InputError, match=f"texture resolution: {resolution} .* choose 16 to 8192"):
        baked(unwrapped_torus(), ripples, resolution)


def test_colours_that_are_not_finite_are_refused() -> None:
    with pytest.raises(ValueError, match="not finite"):
        baked(unwrapped_torus(), lambda points: points * float("nan"), 64)


def test_faces_without_area_do_no_harm() -> None:
    mesh = simplify(torus(), 500)
    corner = mesh.faces[0, 0]
    pointed = Mesh(mesh.vertices, torch.cat([mesh.faces, corner.expand(1, 3)]))
    texture = baked(unwrap(pointed), ripples, 128)
    assert int(texture.min()) > 40
