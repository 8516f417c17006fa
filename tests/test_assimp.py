"""Assimp, which many programs read files by, opens what we write. Debian's assimp-utils has it."""

from pathlib import Path

import pytest

from get3d.export import textured_mesh
from programs import assimp_info, needs_assimp
from solids import painted_ripples, torus

# Corners of .stl are never shared; of .glb and .obj they are split along the seams of the texture.
SPLIT = {"glb": "seams", "obj": "seams", "ply": "joined", "3mf": "joined", "stl": "corners"}


@needs_assimp
@pytest.mark.parametrize("suffix", SPLIT)
def test_assimp_reads_the_object(tmp_path: Path, suffix: str) -> None:
    mesh = textured_mesh(torus(20), painted_ripples, 32, 500)
    mesh.save(tmp_path / f"torus.{suffix}")
    found = assimp_info(tmp_path / f"torus.{suffix}")
    assert (found["Meshes"], found["Faces"]) == ("1", "500")
    joined = len(mesh.vertices.unique(dim=0))
    low, high = {"joined": (joined, joined), "seams": (joined + 1, 1499), "corners": (1500, 1500)}[SPLIT[suffix]]
    assert low <= int(found["Vertices"]) <= high
    if suffix == "glb":
        assert found["Textures (embed.)"] == "1"
