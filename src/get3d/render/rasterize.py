"""From meshes and cameras to the pixels they cover."""

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
"""Behind so many holes nothing is looked for any more: the leaves of a tree, seen edge on."""


@dataclass(frozen=True)
class Fragments:
    """What is seen in B square images of r × r pixels: the covered pixels, packed.

    Attributes:
        face_index: [B, r, r] the face seen at each pixel's centre, −1 where there is none.
        pixel: [P] numbers of the covered pixels, counted through all images row by row.
        face: [P] the face seen there.
        barycentric: [P, 3] where in the face, perspective-correct; differentiable in the mesh's vertices.
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
        """[P] which mesh is seen at each covered pixel."""
        return self.pixel // self.resolution**2

    @property
    def covered(self) -> Bool[Tensor, "b 1 r r"]:
        """Which pixels are covered at their centres."""
        return self.face_index[:, None] >= 0

    def scatter(self, values: Float[Tensor, "p c"], background: float) -> Float[Tensor, "b c r r"]:
        """Images with the values at the covered pixels and `background` elsewhere."""
        images, r, _ = self.face_index.shape
        flat = values.new_full((images * r * r, values.shape[1]), background).index_copy(0, self.pixel, values)
        return flat.view(images, r, r, -1).permute(0, 3, 1, 2)


def rasterize(meshes: MeshBatch, cameras: Cameras, resolution: int) -> Fragments:
    """Finds which face is seen at each pixel, mesh b by camera b; for many views of one mesh see `MeshBatch.select`.

    Both sides of faces are seen. Faces that are not wholly in front of the camera, or have a vertex that is not
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
    """The same as `rasterize`, for faces with holes: each pixel sees the nearest face that is solid there.

    Args:
        meshes: what to draw.
        cameras: one for each mesh.
        resolution: side of the images in pixels.
        solid: says for the pixels of fragments whether their faces are solid there.

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
    """The vertices of mesh b as camera b sees them, see `Cameras.project`.

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
