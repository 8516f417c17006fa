"""Rasterises meshes: visible faces and barycentric coordinates of covered pixels."""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from get3d.cameras import Cameras
from get3d.meshes import MeshBatch
from get3d.render.kernels import faces_of, keys_below, visible_faces

__all__ = ["Fragments", "rasterize", "rasterize_through"]

_LAYERS = 32
"""Maximum number of transparent layers to look through, as in the leaves of a tree seen edge-on."""


@dataclass(frozen=True)
class Fragments:
    """Visible faces of B square images of r × r pixels, with the covered pixels packed.

    Attributes:
        face_index: [B, r, r] the visible face at each pixel centre, −1 for none.
        pixel: [P] indices of the covered pixels, counted row by row through all images.
        face: [P] the visible face.
        barycentric: [P, 3] perspective-correct barycentric coordinates; differentiable with respect to the vertices.
        screen: [V, 3] the projected vertices, see `Cameras.project`.
    """

    face_index: Int[Tensor, "b r r"]
    pixel: Int[Tensor, " p"]
    face: Int[Tensor, " p"]
    barycentric: Float[Tensor, "p 3"]
    screen: Float[Tensor, "v 3"]

    @property
    def resolution(self) -> int:
        """Side of the images in pixels."""
        return self.face_index.shape[-1]

    @property
    def shape(self) -> Int[Tensor, " p"]:
        """[P] index of the visible mesh at each covered pixel."""
        return self.pixel // self.resolution**2

    @property
    def covered(self) -> Bool[Tensor, "b 1 r r"]:
        """Whether the centre of each pixel is covered."""
        return self.face_index[:, None] >= 0

    def scatter(self, values: Float[Tensor, "p c"], background: float) -> Float[Tensor, "b c r r"]:
        """Images with the values at the covered pixels and `background` elsewhere."""
        images, r, _ = self.face_index.shape
        flat = values.new_full((images * r * r, values.shape[1]), background).index_copy(0, self.pixel, values)
        return flat.view(images, r, r, -1).permute(0, 3, 1, 2)


def rasterize(meshes: MeshBatch, cameras: Cameras, resolution: int) -> Fragments:
    """Finds the visible face of each pixel, for mesh b in camera b; for many views of one mesh see `MeshBatch.select`.

    Both sides of faces are visible. Faces that are not completely in front of the camera, or have a vertex that is not
    finite, are left out.

    Raises:
        ValueError: the numbers of meshes and cameras differ.
    """
    screen = project(meshes, cameras, resolution)
    seen = visible_faces(screen.detach().float(), meshes.faces, meshes.face_offsets, resolution, resolution)
    return _fragments(screen, meshes, seen)


def rasterize_through(
    meshes: MeshBatch, cameras: Cameras, resolution: int, solid: Callable[[Fragments], Bool[Tensor, " p"]]
) -> Fragments:
    """`rasterize` for faces with holes: each pixel gets the nearest face that is solid there.

    Args:
        meshes: the meshes.
        cameras: one for each mesh.
        resolution: side of the images in pixels.
        solid: returns for the pixels of fragments whether their faces are solid there.

    Raises:
        ValueError: the numbers of meshes and cameras differ.
    """
    screen = project(meshes, cameras, resolution)
    points = screen.detach().float()
    shape = (len(meshes), resolution, resolution)
    limit = meshes.faces.new_full(shape, torch.iinfo(torch.int64).max)
    seen = torch.full(shape, -1, dtype=torch.int32, device=screen.device)
    for _ in range(_LAYERS):
        keys = keys_below(points, meshes.faces, meshes.face_offsets, limit)
        layer = _fragments(screen, meshes, faces_of(keys))
        found = solid(layer)
        seen.view(-1)[layer.pixel[found]] = layer.face[found].int()
        behind = layer.pixel[~found]
        if not len(behind):
            break
        limit = torch.zeros_like(limit)
        limit.view(-1)[behind] = keys.view(-1)[behind]
    return _fragments(screen, meshes, seen)


def _fragments(screen: Float[Tensor, "v 3"], meshes: MeshBatch, seen: Int[Tensor, "b r r"]) -> Fragments:
    """The fragments of images whose visible faces are known."""
    resolution = seen.shape[-1]
    image, row, column = torch.nonzero(seen >= 0, as_tuple=True)
    pixel = (image * resolution + row) * resolution + column
    face_index = seen.long()
    face = face_index.flatten().index_select(0, pixel)
    centre = torch.stack([column, row]).to(screen.dtype) + 0.5
    barycentric = _barycentric(screen, meshes.faces.index_select(0, face), centre)
    return Fragments(face_index, pixel, face, barycentric, screen)


def project(meshes: MeshBatch, cameras: Cameras, resolution: int) -> Float[Tensor, "v 3"]:
    """Projects the vertices of mesh b with camera b; see `Cameras.project`.

    Raises:
        ValueError: the numbers of meshes and cameras differ.
    """
    if len(meshes) != len(cameras):
        raise ValueError(f"{len(meshes)} meshes and {len(cameras)} cameras; each mesh needs one, see MeshBatch.select")
    return cameras.project(meshes.vertices, meshes.vertex_shape, resolution)


def _barycentric(
    screen: Float[Tensor, "v 3"], corners: Int[Tensor, "p 3"], centre: Float[Tensor, "2 p"]
) -> Float[Tensor, "p 3"]:
    """Areas opposite the corners on the screen, weighted by 1/distance: perspective-correct, no division by depth."""
    # Corners first in memory: PyTorch is quick along long rows.
    x, y, nearness = screen.index_select(0, corners.T.flatten()).view(3, -1, 3).unbind(2)
    x, y = x - centre[0], y - centre[1]
    area = x.roll(-1, 0) * y.roll(-2, 0) - x.roll(-2, 0) * y.roll(-1, 0)
    # Rounding must not lead out of a face so thin that it covers the centre by rounding only.
    weight = (area * area.detach().sum(0).sign()).clamp_min(0) * nearness
    total = weight.sum(0)
    return torch.where(total > 0, weight / total.clamp_min(torch.finfo(total.dtype).tiny), 1 / 3).T
