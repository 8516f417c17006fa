"""Baking: evaluates a material on a surface and writes textures."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Bool, Float, Int, UInt8
from scipy.ndimage import distance_transform_edt
from torch import Tensor

from get3d.color import signed_to_bytes
from get3d.export.unwrap import UnwrappedMesh
from get3d.files import InputError
from get3d.materials import CHANNELS, Material
from get3d.render import visible_faces

__all__ = ["RESOLUTIONS", "Spots", "bake", "require_resolution"]

RESOLUTIONS = range(16, 8193)

# Points asked for at once: bounds the memory that a colour function of some hundred features needs to about 100 MB.
_CHUNK = 1 << 16


def require_resolution(resolution: int) -> None:
    """Checks that a texture resolution is allowed.

    Raises:
        InputError: it is not.
    """
    if resolution not in RESOLUTIONS:
        first, last = RESOLUTIONS[0], RESOLUTIONS[-1]
        raise InputError(f"texture resolution: {resolution} is out of range; choose {first} to {last}")


@dataclass(frozen=True)
class Spots:
    """Places on a surface that texels show.

    Attributes:
        points: [p, 3] positions.
        face: [p] the faces that they are on, or whose planes they are in.
        weights: [p, 3] of each face's corners; they sum to 1.
    """

    points: Float[Tensor, "p 3"]
    face: Int[Tensor, " p"]
    weights: Float[Tensor, "p 3"]

    def interpolate(self, values: Float[Tensor, "v c"], faces: Int[Tensor, "f 3"]) -> Float[Tensor, "p c"]:
        """Values of vertices at the places."""
        return (values[faces[self.face]] * self.weights[..., None]).sum(dim=1)


@torch.no_grad()
def bake(
    unwrapped: UnwrappedMesh,
    material: Material,
    resolution: int,
    further: Callable[[Spots], Mapping[str, Tensor]] | None = None,
) -> dict[str, UInt8[Tensor, "r r _"]]:
    """Bakes the material of a surface into textures without visible seams.

    A texel with its centre in a chart gets the value of the surface there. Texels around a chart get the values on the
    extended plane of the nearest face, so that bilinear lookup is as exact at a seam as elsewhere. A texel that is
    still empty and contains a vertex gets the value at the vertex, so that every small chart has a texel. All others
    get the value of the nearest texel, for smaller copies (mipmaps) of the texture.

    Args:
        unwrapped: the surface with texture coordinates.
        material: a function of points [P, 3] on the device of the surface that returns the values of each channel in
            the network's range: for the base colour sRGB-encoded, in [-1, 1].
        resolution: side of the textures in texels.
        further: gives other channels, which depend on the mesh, likewise.

    Returns:
        A texture for each channel of the material.

    Raises:
        InputError: the resolution is out of range.
        ValueError: the material returns numbers that are not finite.
    """
    require_resolution(resolution)
    place = torch.stack([unwrapped.uv[:, 0], 1 - unwrapped.uv[:, 1]], dim=1) * resolution
    seen = _spread(_visible(place, unwrapped.faces, resolution)).flatten()
    touched, vertex = _touched(place, seen, resolution)

    def chunks() -> Iterator[tuple[Tensor, Spots]]:
        """Texels, and the places that they show."""
        (painted,) = torch.nonzero(seen >= 0, as_tuple=True)
        for texel in painted.split(_CHUNK):
            face = seen[texel].long()
            weights = _weights(unwrapped, place, face, texel, resolution)
            points = (unwrapped.vertices[unwrapped.faces[face]] * weights[..., None]).sum(dim=1)
            yield texel, Spots(points, face, weights)
        some_face = torch.zeros_like(unwrapped.source)
        some_face[unwrapped.faces.flatten()] = torch.arange(len(unwrapped.faces), device=seen.device).repeat_interleave(
            3
        )
        for texel, corner in zip(touched.split(_CHUNK), vertex.split(_CHUNK), strict=True):
            face = some_face[corner]
            weights = (unwrapped.faces[face] == corner[:, None]).to(place)
            yield texel, Spots(unwrapped.vertices[corner], face, weights)

    textures: dict[str, Tensor] = {}
    for texel, spots in chunks():
        channels = dict(material(spots.points)) | ({} if further is None else dict(further(spots)))
        for name, values in _encode(channels).items():
            if name not in textures:
                textures[name] = values.new_zeros(resolution * resolution, values.shape[1])
            textures[name][texel] = values
    seen[touched] = 0
    square = (resolution, resolution)
    nearest = _nearest((seen < 0).view(square).cpu())
    filled = {name: texture.cpu().view(*square, -1).numpy()[nearest] for name, texture in textures.items()}
    return {name: torch.from_numpy(texture) for name, texture in filled.items()}


def _visible(place: Float[Tensor, "v 2"], faces: Int[Tensor, "f 3"], resolution: int) -> Int[Tensor, "r r"]:
    """The face that lies over each texel's centre, −1 where there is none."""
    screen = torch.cat([place, torch.ones_like(place[:, :1])], dim=1).float()
    offsets = torch.tensor([0, faces.shape[0]], device=faces.device)
    return visible_faces(screen, faces, offsets, resolution, resolution)[0]


def _spread(seen: Int[Tensor, "r r"]) -> Int[Tensor, "r r"]:
    """The same, with texels next to a covered one given its face; neighbours by a side go before those by a corner."""
    rows, columns = seen.shape
    padded = torch.nn.functional.pad(seen, (1, 1, 1, 1), value=-1)
    for row, column in ((0, 1), (1, 0), (1, 2), (2, 1), (0, 0), (0, 2), (2, 0), (2, 2)):
        seen = torch.where(seen < 0, padded[row : row + rows, column : column + columns], seen)
    return seen


def _weights(
    unwrapped: UnwrappedMesh,
    place: Float[Tensor, "v 2"],
    face: Int[Tensor, " p"],
    texel: Int[Tensor, " p"],
    resolution: int,
) -> Float[Tensor, "p 3"]:
    """Weights of the corners of faces that give the points at texel centres in the faces' planes."""
    corners = unwrapped.faces[face]
    centre = torch.stack([texel % resolution, texel // resolution], dim=1) + 0.5
    arms = place[corners].double() - centre[:, None]
    ahead, behind = arms.roll(-1, dims=1), arms.roll(-2, dims=1)
    weight = ahead[..., 0] * behind[..., 1] - ahead[..., 1] * behind[..., 0]
    # A face without area in the texture may cover a centre by rounding only.
    total = weight.sum(dim=1, keepdim=True)
    return torch.where(total == 0, 1 / 3, weight / torch.where(total == 0, 1, total)).to(place)


def _touched(
    place: Float[Tensor, "v 2"], seen: Int[Tensor, " n"], resolution: int
) -> tuple[Int[Tensor, " t"], Int[Tensor, " t"]]:
    """Texels that hold a vertex though no chart covers their centres, and of their vertices the lowest number."""
    column, row = place.long().clamp(0, resolution - 1).unbind(1)
    holder = row * resolution + column
    (lonely,) = torch.nonzero(seen[holder] < 0, as_tuple=True)
    touched, slot = holder[lonely].unique(return_inverse=True)
    return touched, torch.zeros_like(touched).scatter_reduce(0, slot, lonely, "amin", include_self=False)


def _encode(values: Mapping[str, Float[Tensor, "p _"]]) -> dict[str, UInt8[Tensor, "p _"]]:
    """What a network gives for each channel, as files hold it."""
    encoded = {}
    for name, value in values.items():
        if not value.isfinite().all():
            raise ValueError(f"the material returns numbers for {name} that are not finite; check the model")
        low, high = CHANNELS[name].network_range
        encoded[name] = signed_to_bytes((value.float() - (low + high) / 2) / ((high - low) / 2))
    return encoded


def _nearest(empty: Bool[Tensor, "h w"]) -> tuple[Int[np.ndarray, "h w"], Int[np.ndarray, "h w"]]:
    """For every texel row and column of the nearest that is not empty."""
    rows, columns = distance_transform_edt(empty.numpy(), return_distances=False, return_indices=True)
    return rows, columns
