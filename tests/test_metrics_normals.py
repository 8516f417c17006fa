"""Directions of surfaces against a plain loop and known solids; light in textures against NumPy's correlation."""

import math

import numpy as np
import pytest
import torch
import trimesh
from torch.nn.functional import normalize

from get3d.meshes import Mesh, MeshBatch
from get3d.metrics import histogram_distance, light_correlation, normal_histograms
from get3d.render.lights import STUDIO, even_directions
from tiny import seeded


def batch(*meshes: trimesh.Trimesh) -> MeshBatch:
    return MeshBatch.from_meshes([Mesh(torch.tensor(m.vertices).float(), torch.tensor(m.faces)) for m in meshes])


def ball(subdivisions: int = 4) -> trimesh.Trimesh:
    return trimesh.creation.icosphere(subdivisions=subdivisions, radius=0.4)


def turned_box(degrees: float) -> trimesh.Trimesh:
    box = trimesh.creation.box((0.3, 0.5, 0.4))
    return box.apply_transform(trimesh.transformations.rotation_matrix(math.radians(degrees), (0.3, 1, 0.2)))


def test_the_area_of_each_face_is_shared_among_the_directions_near_its_own():
    meshes = [turned_box(20), ball(1)]
    exact = np.zeros((2, 128))
    for number, mesh in enumerate(meshes):
        for normal, area in zip(mesh.face_normals, mesh.area_faces, strict=True):
            near = np.array([math.exp(30 * (float(d @ normal) - 1)) for d in even_directions(128).numpy()])
            exact[number] += area / mesh.area * near / near.sum()
    np.testing.assert_allclose(normal_histograms(batch(*meshes)).numpy(), exact, atol=1e-6)


def test_all_directions_of_a_ball_are_alike_and_a_boxs_are_not():
    sphere, box = normal_histograms(batch(ball(), turned_box(0)))
    assert (128 * sphere - 1).abs().max() < 0.1
    assert histogram_distance(sphere[None], box[None]) > 0.5


def test_neither_size_nor_the_number_of_faces_nor_a_little_turn_matters():
    box = turned_box(0)
    some, others = box.copy().apply_scale(3), box.copy().subdivide().subdivide()
    one, large, fine, turned, other = normal_histograms(batch(box, some, others, turned_box(2), turned_box(45)))
    assert histogram_distance(one[None], large[None]) < 1e-6
    assert histogram_distance(one[None], fine[None]) < 1e-6
    assert histogram_distance(one[None], turned[None]) < 0.12
    assert histogram_distance(one[None], other[None]) > 0.5


def test_a_rough_surface_is_farther_from_a_smooth_set_the_rougher_it_is():
    boxes = [trimesh.creation.box((a, 0.5, 0.4)).subdivide().subdivide().subdivide() for a in (0.3, 0.4, 0.5)]
    real = normal_histograms(batch(*boxes))
    distances = [0.0]
    for amount in (0.002, 0.008):
        rough = [box.copy() for box in boxes]
        for number, box in enumerate(rough):
            box.vertices += amount * np.random.default_rng(number).normal(size=box.vertices.shape)
        distances.append(histogram_distance(normal_histograms(batch(*rough)), real))
    assert distances[0] + 0.02 < distances[1]
    assert distances[1] + 0.1 < distances[2]


def test_what_has_no_area_has_no_direction():
    flat = MeshBatch.from_meshes([Mesh(torch.zeros(3, 3), torch.tensor([[0, 1, 2]]))])
    with pytest.raises(ValueError, match="mesh 0 has no area"):
        normal_histograms(flat)


def test_light_in_a_texture_is_found_and_a_texture_without_is_cleared():
    normals = normalize(torch.randn(5000, 3, generator=seeded()), dim=1)
    albedo = 0.2 + 0.6 * torch.rand(5000, 3, generator=seeded(1))
    lamp = normalize(torch.tensor(STUDIO.key_direction), dim=0)
    assert abs(light_correlation(albedo, normals, lamp)) < 0.05
    baked = albedo * STUDIO.diffuse(normals)
    assert light_correlation(baked, normals, lamp) > 0.7
    brightness = baked.numpy() @ np.array([0.2126, 0.7152, 0.0722])
    expected = np.corrcoef(brightness, normals.numpy() @ lamp.numpy())[0, 1]
    assert light_correlation(baked, normals, lamp) == pytest.approx(expected, abs=1e-5)
    assert light_correlation(torch.full((5000, 3), 0.4), normals, lamp) == 0
