import math

import pytest
import torch

from get3d.export import mesh_report
from get3d.meshes import Mesh
from solids import soup, sponge, torus


def test_a_torus_is_watertight() -> None:
    report = mesh_report(torus(40))
    assert report.watertight
    assert (report.closed, report.manifold, report.components) == (True, True, 1)
    assert report.volume == pytest.approx(2 * math.pi**2 * 0.3 * 0.12**2, rel=0.05)


def test_inside_out_is_not_watertight() -> None:
    mesh = torus(20)
    report = mesh_report(Mesh(mesh.vertices, mesh.faces.flip(1)))
    assert report.closed
    assert report.volume < 0
    assert not report.watertight


def test_a_hole_is_a_border() -> None:
    mesh = torus(20)
    report = mesh_report(Mesh(mesh.vertices, mesh.faces[1:]))
    assert (report.closed, report.manifold, report.watertight) == (False, True, False)


def test_one_face_turned_round_is_not_closed() -> None:
    mesh = torus(20)
    faces = mesh.faces.clone()
    faces[0] = faces[0].flip(0)
    assert not mesh_report(Mesh(mesh.vertices, faces)).closed


def test_parts_are_counted_and_seams_are_no_borders() -> None:
    mesh = torus(20)
    far = mesh.vertices + 2
    split = torch.cat([mesh.vertices[mesh.faces].flatten(0, 1), far[mesh.faces].flatten(0, 1)])
    report = mesh_report(Mesh(split, torch.arange(len(split)).view(-1, 3)))
    assert report.watertight
    assert report.components == 2


def test_an_edge_of_four_faces_is_closed_but_not_manifold() -> None:
    faces = [[0, 2, 1], [0, 1, 3], [1, 2, 3], [2, 0, 3], [0, 1, 4], [0, 5, 1], [1, 5, 4], [4, 5, 0]]
    positions = [[0.0, 0, 0], [0, 0, 1], [1, -0.5, 0.5], [1, 0.5, 0.5], [-1, -0.5, 0.5], [-1, 0.5, 0.5]]
    report = mesh_report(soup(faces, positions))
    assert (report.closed, report.manifold, report.components) == (True, False, 1)


def test_vertices_without_faces_are_no_parts() -> None:
    mesh = torus(20)
    report = mesh_report(Mesh(torch.cat([mesh.vertices, torch.ones(3, 3)]), mesh.faces))
    assert report.components == 1
    assert report.watertight


def test_nothing_is_not_watertight() -> None:
    report = mesh_report(Mesh(torch.zeros(0, 3), torch.zeros(0, 3, dtype=torch.long)))
    assert (report.closed, report.components, report.volume) == (False, 0, 0.0)
    assert not report.watertight


def test_many_parts_enclose_the_sum_of_their_volumes() -> None:
    report = mesh_report(sponge(0))
    assert report.closed
    assert report.components > 5
    assert report.volume > 0.05
