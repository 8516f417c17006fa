import gc
import sys
import time
from collections import deque
from typing import ClassVar
from unittest.mock import Mock

import pytest
import torch
import xatlas
from torch import Tensor

from get3d.export import UnwrappedMesh, simplify, unwrap
from get3d.meshes import Mesh
from get3d.render import visible_faces
from manifold import area
from solids import sponge, torus

UNWRAP = sys.modules[unwrap.__module__]


def flat_areas(unwrapped: UnwrappedMesh) -> Tensor:
    a, b, c = unwrapped.uv.double()[unwrapped.faces].unbind(1)
    first, second = b - a, c - a
    return (first[:, 0] * second[:, 1] - first[:, 1] * second[:, 0]) / 2


def side_lengths(corners: Tensor) -> Tensor:
    return (corners - corners.roll(1, dims=1)).norm(dim=2)


@pytest.fixture(scope="module", params=["torus", "sponge"])
def pair(request: pytest.FixtureRequest) -> tuple[Mesh, UnwrappedMesh]:
    mesh = simplify(torus(), 3000) if request.param == "torus" else simplify(sponge(0), 3000)
    return mesh, unwrap(mesh, 512)


def test_is_the_same_surface_face_by_face(pair: tuple[Mesh, UnwrappedMesh]) -> None:
    mesh, unwrapped = pair
    assert torch.equal(unwrapped.source[unwrapped.faces], mesh.faces)
    assert torch.equal(unwrapped.vertices, mesh.vertices[unwrapped.source])


def test_lies_in_the_unit_square_and_fills_much_of_it(pair: tuple[Mesh, UnwrappedMesh]) -> None:
    _, unwrapped = pair
    assert float(unwrapped.uv.min()) >= 0
    assert float(unwrapped.uv.max()) <= 1
    assert 0.2 < float(flat_areas(unwrapped).abs().sum()) < 1


def test_charts_do_not_overlap(pair: tuple[Mesh, UnwrappedMesh]) -> None:
    """Where no two faces lie over each other, it makes no difference which of them are drawn first."""
    _, unwrapped = pair
    place = torch.cat([unwrapped.uv * 1024, torch.ones(len(unwrapped.uv), 1)], dim=1)
    count = unwrapped.faces.shape[0]
    offsets = torch.tensor([0, count])
    ahead = visible_faces(place, unwrapped.faces, offsets, 1024, 1024)
    back = visible_faces(place, unwrapped.faces.flip(0), offsets, 1024, 1024)
    differ = (torch.where(back >= 0, count - 1 - back, -1) != ahead).sum() / (ahead >= 0).sum()
    assert float(differ) < 1e-3


def test_faces_keep_their_shape(pair: tuple[Mesh, UnwrappedMesh]) -> None:
    """Texels are spread evenly: faces cover the texture in proportion to their area, and angles change little."""
    mesh, unwrapped = pair
    a, b, c = mesh.vertices.double()[mesh.faces].unbind(1)
    solid = torch.linalg.cross(b - a, c - a).norm(dim=1) / 2
    share = solid / area(mesh.vertices, mesh.faces)
    flat = flat_areas(unwrapped).abs()
    assert float((flat / flat.sum() - share).abs().sum()) < 0.1
    sides = side_lengths(unwrapped.uv.double()[unwrapped.faces])
    solid_sides = side_lengths(mesh.vertices.double()[mesh.faces])
    scale = (flat.sum() / solid.sum()).sqrt()
    stretch = (sides / (solid_sides * scale)).clamp(0, 10)
    assert float((stretch.log().abs().mean(1) * share).sum()) < 0.1


def test_scale_does_not_matter() -> None:
    """Also where faces are so small that their areas vanish beside common tolerances."""
    mesh = simplify(torus(), 3000)
    small = unwrap(Mesh(mesh.vertices * 2.0**-12, mesh.faces))
    assert torch.equal(small.uv, unwrap(mesh).uv)
    assert float((flat_areas(small) == 0).double().mean()) == 0


def test_same_mesh_same_charts() -> None:
    mesh = simplify(sponge(1), 2000)
    once, again = unwrap(mesh), unwrap(mesh)
    assert torch.equal(once.uv, again.uv)
    assert torch.equal(once.faces, again.faces)
    assert torch.equal(once.source, again.source)


def test_finer_textures_get_narrower_gaps() -> None:
    mesh = simplify(torus(), 3000)
    coarse, fine = unwrap(mesh, 128), unwrap(mesh, 2048)
    assert float(flat_areas(fine).abs().sum()) > float(flat_areas(coarse).abs().sum())


def test_stays_on_its_device(device: torch.device) -> None:
    mesh = torus(20)
    unwrapped = unwrap(Mesh(mesh.vertices.to(device), mesh.faces.to(device)))
    for part in (unwrapped.vertices, unwrapped.faces, unwrapped.uv, unwrapped.source):
        assert part.device.type == device.type


def test_nothing_cannot_be_unwrapped() -> None:
    with pytest.raises(ValueError, match="without faces"):
        unwrap(Mesh(torch.zeros(0, 3), torch.zeros(0, 3, dtype=torch.long)))


class Noted(xatlas.Atlas):
    """An atlas whose end is noted."""

    ended: ClassVar[list[int]] = []

    def __del__(self) -> None:
        self.ended.append(id(self))


@pytest.fixture
def ended(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    monkeypatch.setattr(Noted, "ended", [])
    monkeypatch.setattr(xatlas, "Atlas", Noted)
    monkeypatch.setattr(UNWRAP, "_resting", deque())
    return Noted.ended


def test_atlases_end_when_their_threads_sleep(ended: list[int], monkeypatch: pytest.MonkeyPatch) -> None:
    """One that is freed while its thread is about to sleep waits for it forever."""
    now = 10.0
    monkeypatch.setattr(time, "monotonic", lambda: now)
    mesh = simplify(torus(), 100)
    for _ in range(3):
        unwrap(mesh, 64)
    assert len(ended) == 0
    now += 1
    unwrap(mesh, 64)
    assert len(ended) == 3


def test_atlases_rest_after_a_failure_too(ended: list[int], monkeypatch: pytest.MonkeyPatch) -> None:
    mesh = simplify(torus(), 100)
    monkeypatch.setattr(Noted, "add_mesh", Mock(side_effect=RuntimeError("no")))
    with pytest.raises(RuntimeError, match="no"):
        unwrap(mesh, 64)
    gc.collect()
    assert len(ended) == 0
