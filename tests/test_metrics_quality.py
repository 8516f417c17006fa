import math

import numpy as np
import pytest
import torch
import trimesh
from hypothesis import given, settings
from hypothesis import strategies as st

from get3d.export import TexturedMesh
from get3d.meshes import Mesh
from get3d.metrics.quality import mesh_quality, texture_quality


def mesh_of(*shapes: trimesh.Trimesh) -> Mesh:
    shape = trimesh.util.concatenate(shapes)
    return Mesh(torch.tensor(shape.vertices, dtype=torch.float32), torch.tensor(shape.faces))


def on(shape: trimesh.Trimesh, device: torch.device) -> Mesh:
    mesh = mesh_of(shape)
    return Mesh(mesh.vertices.to(device), mesh.faces.to(device))


def moved(shape: trimesh.Trimesh, *offset: float) -> trimesh.Trimesh:
    return shape.apply_translation(offset)


SPHERE = trimesh.creation.icosphere
BOX = trimesh.creation.box


def test_a_sphere_is_fit_for_use(device):
    mesh = mesh_of(SPHERE(3))
    found = mesh_quality(Mesh(mesh.vertices.to(device), mesh.faces.to(device)))
    assert (found.faces, found.watertight, found.manifold, found.components, found.genus) == (1280, True, True, 1, 0)
    assert (found.intersecting, found.thin) == (0, 0)
    assert 50 < float(found.smallest_angle.min()) < float(found.smallest_angle.max()) <= 60 * (1 + 1e-6)
    assert 1 <= float(found.aspect.min()) < float(found.aspect.max()) < 1.3


@pytest.mark.parametrize(
    ("shapes", "components", "genus"),
    [
        ([trimesh.creation.torus(1, 0.3)], 1, 1),
        ([trimesh.creation.torus(1, 0.3), moved(trimesh.creation.torus(1, 0.3), 5, 0, 0)], 2, 2),
        ([SPHERE(2), moved(trimesh.creation.torus(1, 0.3), 5, 0, 0), moved(BOX(), 9, 0, 0)], 3, 1),
    ],
)
def test_parts_and_handles(shapes, components, genus):
    found = mesh_quality(mesh_of(*shapes))
    assert found.watertight
    assert (found.components, found.genus) == (components, genus)


def test_the_main_part_has_its_share_of_the_area():
    """Two cubes of sides 1 and 3, and two that touch at a corner, which are one piece."""
    assert mesh_quality(mesh_of(BOX(), moved(BOX((3, 3, 3)), 5, 0, 0))).largest_component_area == pytest.approx(0.9)
    assert mesh_quality(mesh_of(BOX(), moved(BOX(), 1, 1, 1))).largest_component_area == 1


def test_parts_that_touch_at_a_vertex_are_two():
    found = mesh_quality(mesh_of(BOX(), moved(BOX(), 1, 1, 1), moved(BOX(), 2, 2, 0)))
    assert found.watertight
    assert (found.components, found.genus) == (3, 0)


def test_an_open_mesh_has_no_genus():
    box = BOX()
    box.update_faces([True] * 11 + [False])
    found = mesh_quality(mesh_of(box))
    assert (found.watertight, found.manifold, found.genus) == (False, True, None)


def test_seams_of_a_texture_do_not_matter():
    whole = mesh_of(SPHERE(2))
    corners = Mesh(whole.vertices[whole.faces.flatten()], torch.arange(whole.faces.numel()).reshape(-1, 3))
    found = mesh_quality(corners)
    assert (found.watertight, found.components, found.intersecting) == (True, 1, 0)


def test_parts_that_cut_each_other_are_found():
    found = mesh_quality(mesh_of(SPHERE(3), moved(SPHERE(3), 0.8, 0.1, 0)))
    # The circle of the cut crosses a few dozen faces of each sphere.
    assert 0.01 < found.intersecting < 0.1
    assert mesh_quality(mesh_of(SPHERE(3), moved(SPHERE(3), 2.1, 0, 0))).intersecting == 0
    # One inside the other does not cut it.
    assert mesh_quality(mesh_of(SPHERE(3), SPHERE(3, radius=0.5))).intersecting == 0


def test_two_crossing_boxes_mark_the_faces_that_cross():
    # A bar through a box: the four sides of the bar (8 faces) cut the two faces of each end of the box.
    found = mesh_quality(mesh_of(BOX([1, 1, 1]), moved(BOX([3, 0.2, 0.2]), 0, 0.13, 0.07)))
    crossed = found.intersecting * found.faces
    assert 8 + 2 <= round(crossed) <= 8 + 4


@pytest.mark.parametrize(("thickness", "share"), [(0.005, 1.0), (0.02, 0.0)])
def test_thin_sheets(thickness, share):
    found = mesh_quality(mesh_of(BOX([1, 0.8, thickness])))
    assert found.thin == pytest.approx(share, abs=0.03)


def test_a_shape_with_one_thin_wing():
    wing = moved(BOX([1, 0.8, 0.005]), 5, 0, 0)
    block = BOX([1, 0.8, 0.5])
    found = mesh_quality(mesh_of(block, wing))
    # In the unit of the longest side, six, the wing is thinner than a hundredth; the block is not.
    assert found.thin == pytest.approx(2 * 0.8 / (2 * 0.8 + 2 * (0.8 + 0.5 + 0.4)), abs=0.03)


@settings(max_examples=50)
@given(st.floats(0.05, 3), st.floats(0.05, 3), st.floats(0.05, 3.0))
def test_angles_and_aspect_of_a_triangle(a, b, angle):
    c = (a * a + b * b - 2 * a * b * torch.cos(torch.tensor(angle, dtype=torch.float64))).sqrt().item()
    corners = torch.tensor([[0, 0, 0], [a, 0, 0], [0, 0, 0]], dtype=torch.float64)
    corners[2, 0] = b * torch.cos(torch.tensor(angle, dtype=torch.float64))
    corners[2, 1] = b * torch.sin(torch.tensor(angle, dtype=torch.float64))
    found = mesh_quality(Mesh(corners, torch.tensor([[0, 1, 2]])))
    sides = sorted([a, b, c])
    cosine = (sides[1] ** 2 + sides[2] ** 2 - sides[0] ** 2) / (2 * sides[1] * sides[2])
    smallest = torch.rad2deg(torch.arccos(torch.tensor(cosine).clamp(-1, 1)))
    assert float(found.smallest_angle) == pytest.approx(float(smallest), abs=0.2)
    height = a * b * float(torch.sin(torch.tensor(angle, dtype=torch.float64))) / sides[2]
    assert float(found.aspect) == pytest.approx(0.75**0.5 * sides[2] / height, rel=1e-3)


def quad(texture: torch.Tensor, uv: list[list[float]]) -> TexturedMesh:
    vertices = torch.tensor([[0.0, 0, 0], [1, 0, 0], [1, 1, 0], [0, 1, 0]])
    faces = torch.tensor([[0, 1, 2], [0, 2, 3]])
    return TexturedMesh(
        vertices, faces, torch.tensor([[0.0, 0, 1]]).expand(4, 3), torch.tensor(uv), {"base_color": texture}
    )


def test_texels_that_are_used_black_or_at_a_seam():
    texture = torch.full((64, 64, 3), 200, dtype=torch.uint8)
    texture[:, :8] = 1
    texture[0] = 0
    # The chart is the left half: 32 × 64 texels, its rim on three sides the image's border.
    found = texture_quality(quad(texture, [[0, 0], [0.5, 0], [0.5, 1], [0, 1]]))
    assert found.used == 0.5
    assert found.black == pytest.approx((8 * 64 + 24) / (32 * 64))
    assert found.seam == pytest.approx((2 * 64 + 2 * 30) / (32 * 64))


def test_a_texture_nobody_shows():
    found = texture_quality(quad(torch.zeros(16, 16, 3, dtype=torch.uint8), [[0.5, 0.5]] * 4))
    assert (found.used, found.black, found.seam) == (0, 0, 0)


def test_an_empty_mesh_is_refused():
    with pytest.raises(ValueError, match="mesh 0 has no face"):
        mesh_quality(Mesh(torch.rand(3, 3), torch.zeros(0, 3, dtype=torch.int64)))


def test_roughness_of_solids_is_that_of_the_formula_however_they_are_cut(device):
    """2/π · 1 % · Σ angle · length / area: a cube's edges; a sphere's total mean curvature, 2 · area / radius."""
    cube, sphere = BOX(), trimesh.creation.icosphere(subdivisions=4, radius=3.0)
    expected = 0.01 * 2 / math.pi * 12 * 90 / 6
    for mesh in (cube, cube.subdivide(), cube.subdivide().subdivide()):
        assert mesh_quality(on(mesh, device)).roughness == pytest.approx(expected, rel=1e-4)
    expected = 0.01 * 2 / math.pi * math.degrees(2 / 0.5)
    assert mesh_quality(on(sphere, device)).roughness == pytest.approx(expected, rel=1e-2)


def test_a_ragged_surface_is_rougher_and_a_face_turned_over_changes_nothing():
    sphere = trimesh.creation.icosphere(subdivisions=3)
    smooth = mesh_quality(mesh_of(sphere)).roughness
    draw = np.random.default_rng(0)
    ragged = trimesh.Trimesh(sphere.vertices * draw.uniform(0.97, 1.03, (len(sphere.vertices), 1)), sphere.faces)
    assert mesh_quality(mesh_of(ragged)).roughness > 2 * smooth
    faces = sphere.faces.copy()
    faces[::7] = faces[::7, ::-1]
    turned = trimesh.Trimesh(sphere.vertices, faces, process=False)
    assert mesh_quality(mesh_of(turned)).roughness == pytest.approx(smooth, rel=1e-5)
