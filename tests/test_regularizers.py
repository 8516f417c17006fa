"""Regularisers of surfaces that every isosurface has."""

import math
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
import scipy.ndimage
import torch

import tiny
from get3d.generator import Generator
from get3d.isosurface import ISOSURFACES, TetrahedralGrid, floaters, gaps, normal_consistency, regularizers_of
from get3d.meshes import Mesh, MeshBatch
from solids import torus


def lattice_edges(side: int) -> torch.Tensor:
    """The edges of a cubic lattice along its axes."""
    number = torch.arange(side**3).view(side, side, side)
    pairs = [(number.narrow(axis, 0, side - 1), number.narrow(axis, 1, side - 1)) for axis in range(3)]
    return torch.cat([torch.stack([low.flatten(), high.flatten()], dim=1) for low, high in pairs])


def surfaces_of(labels: np.ndarray, edges: np.ndarray) -> np.ndarray:
    """Edges that cross the surface of each component; label 0 is outside."""
    sizes = np.zeros(labels.max() + 1, dtype=int)
    for a, b in labels.ravel()[edges]:
        if (a == 0) != (b == 0):
            sizes[max(a, b)] += 1
    return sizes


@pytest.mark.parametrize("seed", range(3))
def test_floaters_are_small_components(seed, device):
    """Against the components that scipy finds in volumes."""
    sdf = torch.randn(9, 8**3, generator=torch.Generator().manual_seed(seed), dtype=torch.float64) - 0.3
    sdf[3] = -1
    sdf[4] = 1
    edges = lattice_edges(8)
    want = []
    for volume in sdf.view(-1, 8, 8, 8).numpy():
        labels, _ = scipy.ndimage.label(volume > 0)
        sizes = surfaces_of(labels, edges.numpy())[1:]
        loose = np.isin(labels, 1 + np.flatnonzero(sizes < 0.02 * sizes.max(initial=0)))
        want.append(volume[loose].sum() / max((volume > 0).sum(), 1))
    assert sum(value > 0 for value in want) >= 4
    sdf, edges = sdf.to(device), edges.to(device)
    torch.testing.assert_close(floaters(sdf, edges).cpu(), torch.tensor(want, dtype=torch.float64))
    assert torch.autograd.gradcheck(lambda value: floaters(value, edges), (sdf[:3].clone().requires_grad_(True),))


def after_descent(
    of: Callable[[torch.Tensor, torch.Tensor], torch.Tensor], sdf: torch.Tensor, edges: torch.Tensor, rate: float
) -> float:
    """What a regulariser is after 200 steps of gradient descent, which change the field in place."""
    optimizer = torch.optim.SGD([sdf], lr=rate)
    for _ in range(200):
        optimizer.zero_grad()
        loss = of(sdf, edges).sum()
        loss.backward()
        optimizer.step()
    return loss.item()


def test_a_floating_piece_vanishes_and_the_rest_stays():
    grid = TetrahedralGrid(24)
    large = 0.25 - (grid.vertices - torch.tensor([-0.15, 0, 0])).norm(dim=1)
    small = 0.05 - (grid.vertices - torch.tensor([0.3, 0, 0])).norm(dim=1)
    sdf = torch.maximum(large, small)[None].requires_grad_(True)
    before = sdf.detach().clone()
    assert after_descent(floaters, sdf, grid.edges, 50.0) == 0
    changed = (sdf != before)[0]
    assert (changed == (small > 0)).all()
    assert (sdf[0, small > 0] <= 0).all()


def test_parts_of_a_broken_shape_stay():
    """Else it would pay to break shapes into parts, and to lose them one by one."""
    grid = TetrahedralGrid(24)
    halves = [0.2 - (grid.vertices - torch.tensor([x, 0, 0])).norm(dim=1) for x in (-0.22, 0.25)]
    sdf = torch.maximum(*halves)[None].requires_grad_(True)
    loss = floaters(sdf, grid.edges).sum()
    loss.backward()
    assert loss == 0
    assert not sdf.grad.any()


def least_ways(costs: np.ndarray, edges: np.ndarray, start: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Costs of the cheapest ways from vertices, and the vertex before each, by relaxing until nothing moves."""
    far, before = np.where(start, 0.0, np.inf), np.full(len(costs), -1)
    moved = True
    while moved:
        moved = False
        for a, b in [*edges, *edges[:, ::-1]]:
            cost = far[a] + costs[a] + costs[b] + 1e-6
            if cost < far[b]:
                far[b], before[b], moved = cost, a, True
    return far, before


@pytest.mark.parametrize("seed", range(3))
def test_gaps_are_those_of_the_cheapest_ways(seed, device):
    """Against a plain search, in volumes whose components scipy finds."""
    side = 7
    noise = torch.randn(4, 1, side, side, side, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    sdf = (torch.nn.functional.avg_pool3d(noise, 3, 1, 1) - 0.15).flatten(1)
    edges = lattice_edges(side)
    want, broken = [], 0
    for values in sdf.numpy():
        labels = scipy.ndimage.label(values.reshape(side, side, side) > 0)[0].ravel()
        sizes = surfaces_of(labels, edges.numpy())
        far, before = least_ways(np.maximum(-values, 0), edges.numpy(), labels == sizes.argmax())
        total = 0.0
        for piece in np.flatnonzero(sizes >= max(0.02 * sizes.max(), 1)):
            if piece == sizes.argmax():
                continue
            vertex = min(np.flatnonzero(labels == piece), key=far.__getitem__)
            outside = []
            while labels[vertex] != sizes.argmax():
                outside.append(-values[vertex])
                vertex = before[vertex]
            total += np.mean([depth for depth in outside if depth >= 0])
            broken += 1
        want.append(total)
    assert broken >= 4
    sdf, edges = sdf.to(device), edges.to(device)
    torch.testing.assert_close(gaps(sdf, edges).cpu(), torch.tensor(want, dtype=torch.float64))
    assert torch.autograd.gradcheck(lambda value: gaps(value, edges), (sdf.clone().requires_grad_(True),))


def test_a_gap_is_filled_where_it_is_narrow():
    grid = TetrahedralGrid(24)
    halves = [0.2 - (grid.vertices - torch.tensor([x, 0, 0])).norm(dim=1) for x in (-0.22, 0.25)]
    small = 0.05 - (grid.vertices - torch.tensor([0, 0.4, 0])).norm(dim=1)
    sdf = torch.stack([*halves, small]).max(0).values[None].requires_grad_(True)
    before = sdf.detach().clone()
    assert after_descent(gaps, sdf, grid.edges, 0.02) == 0
    grown = (sdf > 0)[0] & (before <= 0)[0]
    assert grown.any()
    # Between the two halves, whose nearest points are at x = -0.02 and 0.05; the floater is none of them.
    assert (grid.vertices[grown] - torch.tensor([0.015, 0, 0])).abs().amax() < 0.08
    assert ((sdf != before)[0] <= (before <= 0)[0]).all()


def test_one_piece_and_none_have_no_gap():
    grid = TetrahedralGrid(12)
    ball = 0.2 - grid.vertices.norm(dim=1)
    sdf = torch.stack([ball, torch.full_like(ball, -1.0), torch.full_like(ball, 1.0)]).requires_grad_(True)
    loss = gaps(sdf, grid.edges)
    assert loss.tolist() == [0, 0, 0]
    loss.sum().backward()
    assert not sdf.grad.any()


def test_a_smooth_surface_deviates_as_a_plain_loop_says():
    mesh = torus(16)
    rough = mesh.vertices.double() + 0.02 * torch.randn(mesh.vertices.shape, generator=torch.Generator().manual_seed(0))
    batch = MeshBatch.from_meshes([Mesh(rough, mesh.faces), Mesh(mesh.vertices.double(), mesh.faces)])
    crosses = [np.cross(b - a, c - a) for a, b, c in batch.vertices[batch.faces].numpy()]
    at_vertex = np.zeros((len(batch.vertices), 3))
    for face, cross in zip(batch.faces.tolist(), crosses, strict=True):
        at_vertex[face] += cross
    total = weight = 0.0
    for face, cross in zip(batch.faces.tolist(), crosses, strict=True):
        area = np.linalg.norm(cross)
        around = sum(at_vertex[v] / np.linalg.norm(at_vertex[v]) for v in face)
        chord = math.hypot(np.linalg.norm(around / np.linalg.norm(around) - cross / area), 0.01) - 0.01
        total += area * chord / (1 + chord / 0.1)
        weight += area
    assert normal_consistency(batch).item() == pytest.approx(total / weight)


def test_ripples_cost_more_than_edges_and_flat_surfaces_nothing():
    corners = torch.cartesian_prod(*[torch.arange(9, dtype=torch.float64)] * 2)
    number = torch.arange(81).view(9, 9)
    a, b, c, d = (n.flatten() for n in (number[:-1, :-1], number[1:, :-1], number[1:, 1:], number[:-1, 1:]))
    faces = torch.cat([torch.stack([a, b, c], 1), torch.stack([a, c, d], 1)])

    def of(height: torch.Tensor) -> float:
        return normal_consistency(MeshBatch.from_meshes([Mesh(torch.cat([corners, height[:, None]], 1), faces)])).item()

    x = corners[:, 0]
    assert of(0 * x) == pytest.approx(0, abs=1e-12)
    assert of((x - 4).abs()) < of(0.5 * (x % 2))
    # What is an edge already pays little for being sharper, or an open mouth would be dearer than a lid.
    assert of((x - 4).abs()) < of(3 * (x - 4).abs()) < 1.2 * of((x - 4).abs())


def test_what_only_bends_costs_less_than_what_ripples():
    """A cylinder of radius 0.1, and a flat plate whose ripples turn its faces by as much."""
    side, around = 0.015, 2 * math.asin(0.015 / 0.2)
    corners = torch.cartesian_prod(*[torch.arange(24, dtype=torch.float64)] * 2)
    number = torch.arange(24 * 24).view(24, 24)
    a, b, c, d = (n.flatten() for n in (number[:-1, :-1], number[1:, :-1], number[1:, 1:], number[:-1, 1:]))
    faces = torch.cat([torch.stack([a, b, c], 1), torch.stack([a, c, d], 1)])
    along = side * corners[:, 1]
    bent = torch.stack([0.1 * (around * corners[:, 0]).sin(), along, 0.1 * (around * corners[:, 0]).cos()], 1)
    # Each strip is tilted by half the turn, to one side and to the other.
    x, height = side * math.cos(around / 2) * corners[:, 0], side * math.sin(around / 2) * (corners[:, 0] % 2)
    rippled = torch.stack([x, along, height], 1)
    bends, ripples = (
        normal_consistency(MeshBatch.from_meshes([Mesh(vertices, faces)])).item() for vertices in (bent, rippled)
    )
    # Each corner by itself would deviate by as much in both.
    assert bends < 0.5 * ripples


def test_roughness_falls_by_its_gradient():
    mesh = torus(16)
    noise = 0.02 * torch.randn(mesh.vertices.shape, generator=torch.Generator().manual_seed(0))
    vertices = (mesh.vertices + noise).requires_grad_(True)
    optimizer = torch.optim.Adam([vertices], lr=0.002)
    found = []
    for _ in range(60):
        optimizer.zero_grad()
        loss = normal_consistency(MeshBatch.from_meshes([Mesh(vertices, mesh.faces)]))
        loss.backward()
        optimizer.step()
        found.append(loss.item())
    assert found[-1] < 0.5 * found[0]


@pytest.mark.parametrize("name", list(ISOSURFACES))
def test_every_isosurface_has_those_with_a_weight(name):
    torch.manual_seed(0)
    generator = Generator(replace(tiny.GENERATOR, isosurface=name))
    surfaces = generator.shapes(generator.sample_latents(2, 0)).surfaces
    assert regularizers_of(surfaces, {"floaters": 0.0}).keys() == surfaces.regularizers.keys()
    found = regularizers_of(surfaces, {"floaters": 1.0, "gaps": 1.0, "normals": 0.1})
    assert found.keys() == surfaces.regularizers.keys() | {"floaters", "gaps", "normals"}
    torch.testing.assert_close(found["floaters"], floaters(surfaces.sdf, surfaces.edges).mean())
    torch.testing.assert_close(found["gaps"], gaps(surfaces.sdf, surfaces.edges).mean())
    torch.stack(list(found.values())).sum().backward()
    assert all(p.grad.isfinite().all() for p in generator.parameters() if p.grad is not None)
