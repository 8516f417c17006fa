"""Indices of their own: each corner keeps its position, place and normal, whatever is equal."""

import torch
from hypothesis import given
from hypothesis import strategies as st

from get3d.export import TexturedMesh
from get3d.export.welded import WeldedMesh


def scattered(vertices: int, faces: int, seed: int) -> TexturedMesh:
    """Vertices of few different values, so that many are equal in one or all of what they have."""
    generator = torch.Generator().manual_seed(seed)
    positions, normals, uv = (
        torch.randint(-1, 2, (vertices, width), generator=generator) * torch.tensor(0.5) for width in (3, 3, 2)
    )
    return TexturedMesh(positions, torch.randint(0, vertices, (faces, 3), generator=generator), normals, uv, {})


@given(st.integers(3, 12), st.integers(1, 20), st.integers(0, 2**31))
def test_corners_keep_what_they_have(vertices: int, faces: int, seed: int) -> None:
    textured = scattered(vertices, faces, seed)
    welded = WeldedMesh.of(textured)
    corners = textured.vertices[textured.faces]
    whole = [len({tuple(corner) for corner in face}) == 3 for face in corners.add(0.0).tolist()]
    kept = textured.faces[torch.tensor(whole)]
    assert torch.equal(welded.positions[welded.position], textured.vertices[kept])
    assert torch.equal(welded.uv[welded.place], textured.uv[kept])
    assert torch.equal(welded.normals[welded.normal], textured.normals[kept])
    for rows in (welded.positions, welded.uv, welded.normals):
        assert len(rows.add(0.0).unique(dim=0)) == len(rows)
