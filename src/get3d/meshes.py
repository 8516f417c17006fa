"""Triangle meshes, and batches of meshes packed into the same tensors."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from get3d.tensors import TensorDataclass

__all__ = ["Mesh", "MeshBatch"]


@dataclass(frozen=True)
class Mesh:
    """One triangle mesh.

    Attributes:
        vertices: [V, 3] positions.
        faces: [F, 3] vertex indices, counter-clockwise seen from outside.
    """

    vertices: Float[Tensor, "v 3"]
    faces: Int[Tensor, "f 3"]


@dataclass(frozen=True)
class MeshBatch(TensorDataclass):
    """B concatenated meshes. Face indices refer to the packed vertices, so no loop over the meshes is needed.

    `len` and `[]` count meshes.

    Attributes:
        vertices: [V, 3] positions of all meshes.
        faces: [F, 3] indices into `vertices`.
        vertex_offsets: [B + 1]; mesh b has the vertices from vertex_offsets[b] up to vertex_offsets[b + 1].
        face_offsets: [B + 1], the same for faces.
        placeholder: [B] whether a mesh is a placeholder for a shape without a surface; None if there are none.
    """

    vertices: Float[Tensor, "v 3"]
    faces: Int[Tensor, "f 3"]
    vertex_offsets: Int[Tensor, " b1"]
    face_offsets: Int[Tensor, " b1"]
    placeholder: Bool[Tensor, " b"] | None = None

    def __len__(self) -> int:
        return self.face_offsets.shape[0] - 1

    @classmethod
    def from_meshes(cls, meshes: Sequence[Mesh]) -> "MeshBatch":
        """Packs meshes, in order.

        Raises:
            ValueError: there is no mesh.
        """
        if not meshes:
            raise ValueError("a batch of meshes needs at least one mesh")
        device = meshes[0].vertices.device
        vertex_offsets = _offsets([mesh.vertices.shape[0] for mesh in meshes], device)
        face_offsets = _offsets([mesh.faces.shape[0] for mesh in meshes], device)
        faces = torch.cat([mesh.faces.long() for mesh in meshes])
        shift = torch.repeat_interleave(vertex_offsets[:-1], face_offsets.diff(), output_size=len(faces))
        return cls(torch.cat([mesh.vertices for mesh in meshes]), faces + shift[:, None], vertex_offsets, face_offsets)

    def split(self) -> list[Mesh]:
        """The single meshes, with face indices into their own vertices."""
        vertices = self.vertices.split(self.vertex_offsets.diff().tolist())
        faces = self.faces.split(self.face_offsets.diff().tolist())
        starts = self.vertex_offsets[:-1]
        return [Mesh(v, f - start) for v, f, start in zip(vertices, faces, starts, strict=True)]

    def select(self, index: Int[Tensor, " n"]) -> "MeshBatch":
        """The meshes with the given indices, in that order; indices may repeat (one mesh, many views)."""
        vertices, vertex_offsets = _gather_ranges(self.vertex_offsets, index)
        faces, face_offsets = _gather_ranges(self.face_offsets, index)
        shift = vertex_offsets[:-1] - self.vertex_offsets[index]
        shift = torch.repeat_interleave(shift, face_offsets.diff(), output_size=len(faces))
        placeholder = None if self.placeholder is None else self.placeholder[index]
        faces = self.faces[faces] + shift[:, None]
        return type(self)(self.vertices[vertices], faces, vertex_offsets, face_offsets, placeholder)

    def _chosen(self, index: slice | Tensor) -> "MeshBatch":
        return self.select(torch.arange(len(self), device=self.device)[index])

    @property
    def empty(self) -> Bool[Tensor, " b"]:
        """[B] shapes without a surface: meshes without faces, and placeholders."""
        without = self.face_offsets.diff() == 0
        return without if self.placeholder is None else without | self.placeholder

    @property
    def vertex_shape(self) -> Int[Tensor, " v"]:
        """Index of the mesh that each vertex belongs to."""
        return torch.repeat_interleave(self.vertex_offsets.diff(), output_size=len(self.vertices))

    @property
    def face_mesh(self) -> Int[Tensor, " f"]:
        """Index of the mesh that each face belongs to."""
        return torch.repeat_interleave(self.face_offsets.diff(), output_size=len(self.faces))

    def face_crosses(self) -> Float[Tensor, "f 3"]:
        """Outward face normals with a length of twice the face area."""
        a, b, c = self.vertices[self.faces].unbind(1)
        return torch.linalg.cross(b - a, c - a)

    def vertex_normals(self) -> Float[Tensor, "v 3"]:
        """Unit vertex normals: the area-weighted mean of the adjacent faces; zero for a vertex without faces."""
        crosses = self.face_crosses().repeat_interleave(3, dim=0)
        summed = torch.zeros_like(self.vertices).index_add(0, self.faces.flatten(), crosses)
        return torch.nn.functional.normalize(summed, dim=1)


def _offsets(counts: list[int], device: torch.device) -> Int[Tensor, " b1"]:
    return torch.tensor([0, *counts], device=device).cumsum(0)


def _gather_ranges(offsets: Int[Tensor, " b1"], index: Int[Tensor, " n"]) -> tuple[Tensor, Tensor]:
    """Numbers of the elements of the chosen ranges, one range after the other, and the offsets of those."""
    counts = offsets.diff()[index]
    new = torch.cat([counts.new_zeros(1), counts.cumsum(0)])
    total = int(new[-1])
    shift = torch.repeat_interleave(offsets[index] - new[:-1], counts, output_size=total)
    return torch.arange(total, device=offsets.device) + shift, new
