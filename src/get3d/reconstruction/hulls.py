"""Visual hulls: where an object can be, by its silhouettes, and a loss that holds an SDF against them.

The gradient of a silhouette moves surfaces that are there; it makes none. That of a hull also reaches points that no
surface is near, so that thin parts can begin.
"""

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.nn.functional import binary_cross_entropy_with_logits, grid_sample, max_pool2d, max_pool3d

from get3d.cameras import Cameras
from get3d.color import bytes_to_unit
from get3d.datasets.loader import ImageDataset
from get3d.networks import GeometryField

__all__ = [
    "Hulls",
    "at_lattice",
    "hull_loss",
    "lattice",
    "lattice_sdf",
    "stratified_axis",
    "thin_voxels",
    "visual_hull",
]

_VIEWS_AT_ONCE = 4

_USUAL_SHARE, _LEAST_SHARE = 0.05, 0.0025
"""How much of the cube thin parts fill where their weight is as given, and the least that they are taken to fill."""

_NEAR = 0.1
"""How much of a pixel a thin part covers at least."""

_ROUNDING = 1e-4
"""Of coordinates in the world: the sides of a lattice lie exactly where an object may end."""

CACHE_BYTES = 2 * 1024**3


def visual_hull(masks: Float[Tensor, "k 1 r r"], cameras: Cameras, points: Float[Tensor, "p 3"]) -> Float[Tensor, " p"]:
    """How surely points lie in the visual hull of an object: the least of what its masks say, in [0, 1].

    All that silhouettes tell of where an object is (Laurentini 1994). Outside an image its border speaks: an object is
    in one piece, so it lies beyond the border only where it is cut off there. Behind a camera nothing is known.

    Args:
        masks: antialiased masks of one object.
        cameras: of the k images.
        points: in the world.
    """
    resolution, least = masks.shape[-1], points.new_ones(len(points))
    for first in range(0, len(masks), _VIEWS_AT_ONCE):
        # Where one image sees nothing, no other can change that; of most objects this is most of space.
        left = least.nonzero()[:, 0]
        seen, here = masks[first : first + _VIEWS_AT_ONCE], points[left]
        camera = torch.arange(first, first + len(seen), device=points.device).repeat_interleave(len(here))
        screen = cameras.project(here.repeat(len(seen), 1), camera, resolution)
        at = (screen[:, :2] * (2 / resolution) - 1).view(len(seen), 1, -1, 2)
        covered = grid_sample(seen, at, align_corners=False, padding_mode="border").view(len(seen), -1)
        in_front = (screen[:, 2] > 0).view(len(seen), -1)
        least[left] = torch.minimum(least[left], torch.where(in_front, covered, 1.0).amin(0))
    return least


def lattice(size: float, steps: int, device: torch.device) -> Float[Tensor, "p 3"]:
    """The points of a regular lattice that spans a cube about the origin, `steps` + 1 along each side."""
    axis = torch.linspace(-size / 2, size / 2, steps + 1, device=device)
    return torch.cartesian_prod(axis, axis, axis)


def thin_voxels(hull: Float[Tensor, "n m m m"]) -> Float[Tensor, "n m m m"]:
    """1 where an object is thin: at voxels of a hull that opening by a cube of 3 voxels removes, and next to them.

    Opening also takes the edges of bulk, which lie against what it leaves, so what lies there does not count.
    """
    solid = (hull > 0.5).to(hull.dtype)[:, None]
    opened = _dilated(-_dilated(-solid))
    return _dilated(solid * (1 - _dilated(opened)))[:, 0]


def _dilated(voxels: Float[Tensor, "n 1 m m m"]) -> Float[Tensor, "n 1 m m m"]:
    """The largest of each voxel and its 26 neighbours."""
    return max_pool3d(voxels, 3, 1, 1)


class Hulls:
    """The visual hulls of a dataset's objects on lattices that span the generator's cube.

    Each is computed when it is first asked for, from all images of the object, and kept while there is room.

    Args:
        images: of the objects.
        size: side of the cube.
        resolution: steps of the lattice along a side.
        device: where they are computed and kept.
        cache_bytes: most memory for what is kept.
    """

    def __init__(
        self,
        images: ImageDataset,
        size: float,
        resolution: int,
        device: torch.device,
        cache_bytes: int = CACHE_BYTES,
    ) -> None:
        self._images, self._device = images, device
        self._points, self._side = lattice(size, resolution, device), resolution + 1
        self._beyond = self._points.abs().amax(1) > images.scale / 2 + _ROUNDING
        self._of_object = images.by_object()
        self._kept: dict[int, Tensor] = {}
        self._most = cache_bytes // (3 * self._side**3)

    @property
    def kept_bytes(self) -> int:
        """Memory of all hulls, once each has been asked for."""
        return 3 * self._side**3 * min(len(self._of_object), self._most)

    def __call__(self, objects: Int[Tensor, " n"]) -> Float[Tensor, "3 n m m m"]:
        """How surely points are inside objects, how surely one nearby is, and how near a thin part is, in [0, 1].

        Args:
            objects: their numbers, on the CPU.
        """
        found = [self._hull(number) for number in objects.tolist()]
        return bytes_to_unit(torch.stack(found, dim=1))

    @torch.no_grad()
    def _hull(self, number: int) -> Tensor:
        """[3, m, m, m], uint8."""
        kept = self._kept.get(number)
        if kept is not None:
            return kept
        rows = self._of_object[number]
        masks = bytes_to_unit(self._images.load(rows)[:, 3:].to(self._device))
        cameras = Cameras.of_prior(self._images.prior, self._images.angles[rows].to(self._device))
        shape = (1, self._side, self._side, self._side)
        # What is thinner than a pixel covers none whole, and may lie between the points of the lattice.
        reach = max(round(masks.shape[-1] / (2 * (self._side - 1))), 1)
        near = visual_hull(max_pool2d(masks, 2 * reach + 1, 1, reach), cameras, self._points)
        hull = torch.zeros_like(near)
        hull[near > 0] = visual_hull(masks, cameras, self._points[near > 0])
        # Cameras that never look from below leave a cone in the hull under what stands. Where a centred object cannot
        # be, nothing asks for it; nor for emptiness, unless a mask does, because an object may not be centred.
        hull[self._beyond] = 0
        near, hull = near.view(shape), hull.view(shape)
        found = torch.cat([hull, near, thin_voxels(hull)]).mul(255).round().to(torch.uint8)
        if len(self._kept) < self._most:
            self._kept[number] = found
        return found


def stratified_axis(count: int, size: float, generator: torch.Generator) -> Float[Tensor, " l"]:
    """Coordinates in the cube, one drawn in each of `count` equal intervals, ascending.

    A few random planes along each axis make a lattice that costs a tri-plane field count² look-ups, and all such
    lattices together see every point.
    """
    drawn = torch.arange(count) + torch.rand(count, generator=generator)
    return size * (drawn / count - 0.5)


def at_lattice(volumes: Float[Tensor, "*n m m m"], size: float, axis: Float[Tensor, " l"]) -> Float[Tensor, "*n l l l"]:
    """Trilinear values of volumes that span the cube at the points (axis[i], axis[j], axis[k])."""
    steps = volumes.shape[-1] - 1
    position = (axis / size + 0.5).clamp(0, 1) * steps
    nodes = torch.arange(steps + 1, device=axis.device)
    weights = (1 - (position[:, None] - nodes).abs()).clamp(min=0).to(volumes.dtype)
    for _ in range(3):
        # Each product interpolates the last axis and puts it first among the three.
        volumes = torch.einsum("li,...jki->...ljk", weights, volumes)
    return volumes


def lattice_sdf(field: GeometryField, axis: Float[Tensor, " l"]) -> Float[Tensor, "n l l l"]:
    """SDF of n shapes at the points (axis[i], axis[j], axis[k]); differentiable."""
    (values,) = field.on_lattices([axis])
    return values.sdf.view(-1, len(axis), len(axis), len(axis))


def hull_loss(
    sdf: Float[Tensor, "n l l l"],
    hull: Float[Tensor, "n l l l"],
    near: Float[Tensor, "n l l l"],
    thin: Float[Tensor, "n l l l"],
    sharpness: float,
    thin_weight: float,
    inside_weight: float = 1.0,
) -> Float[Tensor, ""]:
    """Mean binary cross-entropy between sigmoid(sharpness · SDF) and the visual hull at points of a lattice.

    Points that are likely outside, but with the object nearby, do not count: where a slat is thinner than a pixel it
    would be taken for empty. Masks say where exactly surfaces are.

    Bulk outweighs thin parts by far, so the points of thin parts weigh 1 + `thin_weight` where those fill 5 % of the
    cube; less of them weigh more and more of them less, so that each object's thin parts count the same.

    Silhouettes cannot show that a bowl is hollow, so its hull is full. With an `inside_weight` of 0 a hull says only
    what is outside, and that thin parts are inside, and images can hollow the rest.

    Args:
        sdf: positive inside.
        hull: how surely a point is inside, in [0, 1].
        near: how surely a point beside it, in each image, is.
        thin: how near a point is to a thin part, in [0, 1].
        sharpness: units of SDF to logits.
        thin_weight: of thin parts.
        inside_weight: of points inside the hull, away from thin parts.
    """
    inside = hull > 0.5
    loss = binary_cross_entropy_with_logits(sharpness * sdf, inside.to(sdf.dtype), reduction="none")
    loss = torch.where(inside, loss * thin.clamp(min=inside_weight), torch.where(near < _NEAR, loss, 0.0))
    share = thin.mean((1, 2, 3), keepdim=True).clamp(min=_LEAST_SHARE)
    return (loss * (1 + thin_weight * _USUAL_SHARE / share * thin)).mean()
