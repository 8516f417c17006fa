"""Reads the ground-truth meshes of a dataset: positions and faces."""

from pathlib import Path

import torch
import trimesh

from get3d.files import InputError
from get3d.meshes import Mesh

__all__ = ["read_mesh"]


def read_mesh(path: Path | str) -> Mesh:
    """Reads a mesh of any format that trimesh supports, with all parts joined.

    Raises:
        InputError: the file is missing or cannot be read.
    """
    try:
        shape = trimesh.load_scene(path).to_mesh()
    except Exception as error:  # The reader raises whatever its parsers do.
        raise InputError(f"{path}: is not a readable mesh ({error}); make it again or remove it") from error
    return Mesh(torch.tensor(shape.vertices, dtype=torch.float32), torch.tensor(shape.faces, dtype=torch.int64))
