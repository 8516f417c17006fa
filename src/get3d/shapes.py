"""Shapes: surfaces with the fields that they were extracted from, and what cameras see of them."""

from collections.abc import Mapping
from contextlib import nullcontext
from dataclasses import dataclass, replace
from typing import Any

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor
from torch.autograd.function import once_differentiable
from torch.nn.functional import normalize
from torch.profiler import record_function

from get3d import spans
from get3d.cameras import Cameras
from get3d.color import linear_to_srgb, signed_to_unit, srgb_to_linear, unit_to_signed
from get3d.generator_config import MaterialsName
from get3d.images import Images
from get3d.isosurface import Surfaces
from get3d.materials import BASE_COLOR, Material
from get3d.meshes import MeshBatch
from get3d.networks import Fields
from get3d.render import Fragments, interpolate, mask_of, rasterize
from get3d.render.lights import STUDIO, Light
from get3d.render.shade import SMOOTHEST, Surface, seen_normals, shade, views_of

__all__ = ["BACKGROUND", "Seen", "Shapes"]

BACKGROUND = -1.0
"""Colour where nothing is seen: black."""


class _Bounded(torch.autograd.Function):
    """A lower bound to 1, with a gradient outside as well that leads back: a clamp would keep values there."""

    @staticmethod
    def forward(ctx: Any, values: Tensor, low: float) -> Tensor:
        """The values, clamped."""
        ctx.save_for_backward(values)
        ctx.low = low
        return values.clamp(low, 1)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:
        """Descent goes against the gradient."""
        (values,) = ctx.saved_tensors
        away = ((values > 1) & (gradient < 0)) | ((values < ctx.low) & (gradient > 0))
        return gradient.masked_fill(away, 0), None


@dataclass(frozen=True)
class Shapes:
    """n shapes, ready for rendering.

    Attributes:
        surfaces: their meshes and regularisers.
        fields: their fields.
        materials: what their textures contain, see `GeneratorConfig`.
        light: the light of the images that they are like.
    """

    surfaces: Surfaces
    fields: Fields
    materials: MaterialsName = "color"
    light: Light = STUDIO

    def __len__(self) -> int:
        return len(self.surfaces.meshes)

    @property
    def meshes(self) -> MeshBatch:
        """The surfaces."""
        return self.surfaces.meshes

    @property
    def empty(self) -> Bool[Tensor, " n"]:
        """[n] shapes without a surface, which have a placeholder."""
        return self.surfaces.empty

    def material(self, number: int) -> Material:
        """The material of one shape, a function of points [p, 3]."""

        def material(points: Float[Tensor, "p 3"]) -> dict[str, Float[Tensor, "p _"]]:
            shape = torch.full(points.shape[:1], number, device=points.device)
            return self.fields.texture.at_packed(points, shape)

        return material

    def draw(
        self,
        cameras: Cameras,
        resolution: int,
        *,
        through_positions: bool = False,
        light: Light | None = None,
        turn: Float[Tensor, " b"] | None = None,
    ) -> Images:
        """Renders the shapes, the i-th with the i-th camera; one shape with many cameras, or many with one camera.

        With n shapes and n · v cameras, the first v cameras see the first shape, and so on.

        The mask is differentiable with respect to surface and camera, the colours with respect to the texture field;
        with a light, also with respect to the light and to the normals of the surface.

        Args:
            cameras: n cameras for n shapes, a multiple of n, or one.
            resolution: side of the images in pixels.
            through_positions: let the gradient of the colours also flow through the visible positions, to surface and
                camera. Training does not, as in the paper.
            light: light on the shapes; None: that of the training images.
            turn: rotation of the light about +Y in each image, in radians; None: no rotation.

        Raises:
            ValueError: the numbers of shapes and cameras do not match.
        """
        return self.seen_by(cameras, resolution).images(through_positions=through_positions, light=light, turn=turn)

    def seen_by(self, cameras: Cameras, resolution: int) -> "Seen":
        """What cameras see of the shapes, in numbers of both as in `draw`.

        Raises:
            ValueError: the numbers of shapes and cameras do not match.
        """
        meshes, count, views = self.meshes, len(self), len(cameras)
        if views != 1 and views % max(count, 1):
            fix = "give as many of both, as many cameras for each shape, or one camera"
            raise ValueError(f"{count} shapes and {views} cameras; {fix}")
        number = torch.arange(count, device=meshes.device).repeat_interleave(views // count) if count < views else None
        if number is not None:
            meshes = meshes.select(number)
        elif views < count:
            cameras = cameras[torch.zeros(count, dtype=torch.long, device=cameras.device)]
        with record_function(spans.RASTER):
            fragments = rasterize(meshes, cameras, resolution)
        return Seen(self, meshes, number, cameras, fragments)


def _with_edges(
    rgb: Float[Tensor, "b 3 r r"], fragments: Fragments, mask: Float[Tensor, "b 1 r r"]
) -> Float[Tensor, "b 3 r r"]:
    """Images whose partly covered pixels have a colour, too, as those of datasets do.

    Where the centre of such a pixel is not covered, it is the mean of the colours of its covered neighbours.
    """
    covered, r = fragments.covered.flatten(), fragments.resolution
    pixel = ((mask.flatten() > 0) & ~covered).nonzero()
    step = torch.arange(-1, 2, device=rgb.device)
    # At the border of an image a neighbour that it does not have is one that it has, or the pixel itself.
    row = (pixel // r % r + step).clamp(0, r - 1)
    column = (pixel % r + step).clamp(0, r - 1)
    near = (pixel // r**2 * r**2)[:, None] + r * row[:, :, None] + column[:, None]
    weight = covered[near].to(rgb.dtype).flatten(1)
    colors = rgb.permute(0, 2, 3, 1).flatten(0, 2)
    mean = (colors[near.flatten(1)] * weight[:, :, None]).sum(1) / weight.sum(1, keepdim=True).clamp(min=1)
    filled = colors.index_copy(0, pixel[:, 0], mean.where(weight.any(1, keepdim=True), BACKGROUND))
    return filled.unflatten(0, (-1, r, r)).permute(0, 3, 1, 2)


@dataclass(frozen=True)
class Seen:
    """What cameras see of shapes.

    Attributes:
        shapes: the shapes.
        meshes: of each image.
        number: [b] the shape of each image; None where there is one image of each.
        cameras: of each image.
        fragments: the visible faces.
    """

    shapes: Shapes
    meshes: MeshBatch
    number: Int[Tensor, " b"] | None
    cameras: Cameras
    fragments: Fragments

    def images(
        self, *, through_positions: bool = False, light: Light | None = None, turn: Float[Tensor, " b"] | None = None
    ) -> Images:
        """Images of what is seen; arguments and gradients as in `Shapes.draw`."""
        meshes, fragments = self.meshes, self.fragments
        with record_function(spans.RASTER):
            mask = mask_of(meshes, fragments)
        with record_function(spans.TEXTURE):
            with nullcontext() if through_positions else torch.no_grad():
                points = interpolate(meshes.vertices, meshes.faces, fragments)
            shape = fragments.shape if self.number is None else self.number.index_select(0, fragments.shape)
            values = self.shapes.fields.texture.at_packed(points, shape)
            rgb = _with_edges(fragments.scatter(self._colors(values, points, light, turn), BACKGROUND), fragments, mask)
        return Images(rgb, mask, meshes.empty)

    def deflation(self) -> Float[Tensor, ""]:
        """A loss whose gradient pushes what is seen inward, each pixel as much: a balloon force (Cohen 1991, "On active
        contour models and balloons"), in units of length, the mean over all pixels.

        Only its gradient means something. What silhouettes or shading contradict can resist it; what only fills a
        hollow, as a lid over a bowl, gives way.
        """
        fragments = self.fragments
        crosses = self.meshes.face_crosses().index_select(0, fragments.face)
        normals = normalize(crosses, dim=1).detach()
        corners = self.meshes.vertices[self.meshes.faces.index_select(0, fragments.face)]
        points = (fragments.barycentric.detach()[:, :, None] * corners).sum(1)
        return (points * normals).sum() / fragments.face_index.numel()

    def _colors(
        self,
        values: Mapping[str, Float[Tensor, "p _"]],
        points: Float[Tensor, "p 3"],
        light: Light | None,
        turn: Float[Tensor, " b"] | None,
    ) -> Float[Tensor, "p 3"]:
        """The colours that are seen at covered pixels, as networks see them: RGB, sRGB-encoded, in about [−1, 1].

        Args:
            values: what the texture field gives there, by channel.
            points: the positions that are seen.
            light: as in `Shapes.draw`.
            turn: as in `Shapes.draw`.
        """
        materials, fragments = self.shapes.materials, self.fragments
        base = values[BASE_COLOR]
        if light is None:
            if materials == "color":
                return base
            light = self.shapes.light
        encoded = signed_to_unit(base)
        # A colour is as bright as it is; a base colour reflects no more than the light that it gets, as in files.
        surface = Surface(srgb_to_linear(encoded if materials == "color" else _Bounded.apply(encoded, 0.0)))
        if materials == "pbr":
            lowest = {"roughness": SMOOTHEST, "metallic": 0.0}
            rest = {name: _Bounded.apply(signed_to_unit(values[name]), low) for name, low in lowest.items()}
            surface = replace(surface, **rest)
        views = views_of(points, self.cameras, fragments)
        normals = seen_normals(self.meshes, fragments, views)
        seen = shade(surface, normals, views, light, None if turn is None else turn.index_select(0, fragments.shape))
        return unit_to_signed(linear_to_srgb(seen, clamp=False))
