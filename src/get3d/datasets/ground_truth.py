"""Reads the ground-truth meshes of a dataset: positions and faces."""

import io
from pathlib import Path

import torch
import trimesh

from get3d.files import InputError, open_file
from get3d.meshes import Mesh

__all__ = ["read_mesh"]


def read_mesh(path: Path | str) -> Mesh:
    """Reads a mesh of any format that trimesh supports, with all parts joined.

    Raises:
        InputError: the file is missing or cannot be read.
    """
    try:
        # As bytes without a name, so that no other file is read that the mesh names.
        with open_file(path) as file:
            content = io.BytesIO(file.read())
        shape = trimesh.load_scene(content, file_type=Path(path).suffix[1:]).to_mesh()
        vertices = torch.tensor(shape.vertices, dtype=torch.float32)
        if not vertices.isfinite().all():
            raise ValueError("its vertices are not finite in single precision")
    except Exception as error:  # The reader raises whatever its parsers do.
        raise InputError(f"{path}: is not a readable mesh ({error}); make it again or remove it") from error
    return Mesh(vertices, torch.tensor(shape.faces, dtype=torch.int64))
