from dataclasses import dataclass, replace

import pytest
import torch

import tiny
from get3d.generator import Generator
from get3d.isosurface import ISOSURFACES
from get3d.networks import GeometryValues
from manifold import assert_closed_manifold, signed_volume


@dataclass(frozen=True)
class _Ball:
    """A field that is the signed distance to spheres, with the same deformation everywhere."""

    radii: torch.Tensor
    offset: float = 0.0
    deformation: tuple[float, float, float] = (0.0, 0.0, 0.0)

    def at(self, points):
        sdf = self.radii[:, None, None] - points.norm(dim=-1, keepdim=True) + self.offset
        return GeometryValues(sdf, torch.tensor(self.deformation).expand_as(points))

    def on_lattices(self, axes):
        return [self.at(torch.cartesian_prod(axis, axis, axis).expand(len(self.radii), -1, -1)) for axis in axes]

    def cell_values(self, axis):
        return torch.zeros(len(self.radii), (len(axis) - 1) ** 3, 21)


@pytest.fixture(params=list(ISOSURFACES))
def isosurface(request):
    return ISOSURFACES[request.param](32, 1.0, 32).eval()


def test_a_field_of_spheres_gives_spheres(isosurface):
    radii = torch.tensor([0.2, 0.35])
    surfaces = isosurface(_Ball(radii))
    assert not surfaces.empty.any()
    for mesh, radius in zip(surfaces.meshes.split(), radii, strict=True):
        assert_closed_manifold(mesh.faces, len(mesh.vertices))
        torch.testing.assert_close(mesh.vertices.norm(dim=1), radius.expand(len(mesh.vertices)), rtol=0, atol=3e-3)
        volume = 4 / 3 * torch.pi * radius.item() ** 3
        assert signed_volume(mesh.vertices, mesh.faces) == pytest.approx(volume, rel=0.04)


@pytest.mark.parametrize(("name", "reach"), [("tetrahedra", 1 / 16), ("flexicubes", 1 / 32)])
def test_on_every_grid_the_deformation_is_that_of_the_grid_of_training(name, reach):
    field = _Ball(torch.tensor([0.3]), deformation=(0.5, 0.0, -2.0))
    shift = reach * torch.tanh(torch.tensor(field.deformation))
    for resolution in (16, 24, 40):
        meshes = ISOSURFACES[name](resolution, 1.0, 16).eval()(field).meshes
        distance = (meshes.vertices - shift).norm(dim=1)
        torch.testing.assert_close(distance, torch.full_like(distance, 0.3), rtol=0, atol=0.3 / resolution)


def test_what_reaches_the_hull_is_closed_there(isosurface):
    """A sphere larger than the grid is cut by it; the mesh has a lid on each side."""
    (mesh,) = isosurface(_Ball(torch.tensor([0.6]))).meshes.split()
    assert_closed_manifold(mesh.faces, len(mesh.vertices))
    assert mesh.vertices.abs().max() <= 0.5
    assert signed_volume(mesh.vertices, mesh.faces) == pytest.approx(0.8, abs=0.15)


def test_fields_of_one_sign_are_empty_and_cost_their_size(isosurface):
    surfaces = isosurface(_Ball(torch.tensor([0.0, 0.3]), offset=0.0))
    assert surfaces.empty.tolist() == [True, False]
    outside = isosurface(_Ball(torch.tensor([0.0]), offset=-2.0))
    mean = (isosurface.grid.vertices.norm(dim=1) + 2).mean()
    torch.testing.assert_close(outside.regularizers["sdf"], mean)
    assert len(outside.meshes.faces) > 0


@pytest.mark.parametrize("name", list(ISOSURFACES))
def test_random_generators_make_closed_objects(name):
    torch.manual_seed(1)
    generator = Generator(replace(tiny.GENERATOR, isosurface=name, grid_resolution=12)).eval()
    for mesh in generator.meshes(generator.sample_latents(8, 0), psi=1.0).split():
        assert_closed_manifold(mesh.faces, len(mesh.vertices))
        assert signed_volume(mesh.vertices, mesh.faces) > 0
