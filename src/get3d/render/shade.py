"""From what a surface is made of, and the light, to the colour that is seen: differentiable in all of them.

A surface mirrors by the model of Cook and Torrance: microfacets of GGX with the shadows of Smith (Walter et al. 2007),
Fresnel's reflection after Schlick, and what falls between the facets and leaves them after several reflections (Fdez-
Agüera 2019), so that no energy is lost. What is not mirrored is reflected evenly, by what is no metal. The integral
over the light is split in two, as usual in real time (Karis 2013): the light over the lobe, and the lobe's share.
"""

import math
from dataclasses import dataclass
from functools import cache

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn.functional import grid_sample, normalize

from get3d.cameras import Cameras
from get3d.meshes import MeshBatch
from get3d.render.interpolate import interpolate
from get3d.render.lights import Even, Light, turned
from get3d.render.rasterize import Fragments

__all__ = ["SMOOTHEST", "Surface", "seen_normals", "shade", "views_of"]

DIELECTRIC = 0.04
"""What all that is no metal mirrors of light from straight ahead (a refractive index of 1.5)."""
SMOOTHEST = 0.045
"""Roughness below this is this: no pixel would show a smaller highlight."""
_SIDE, _DRAWN, _INSIDE = 32, (64, 24), 2 / 3
"""Of the table of lobes: its side, the directions drawn (heights, turns), and the share of light in the cone."""


@dataclass(frozen=True)
class Surface:
    """What is seen at p points.

    Attributes:
        base_color: [p, 3] linear.
        roughness: [p, 1] 0 to 1; None for a surface that mirrors nothing.
        metallic: [p, 1] 0 to 1; None: none of it is metal.
    """

    base_color: Float[Tensor, "p 3"]
    roughness: Float[Tensor, "p 1"] | None = None
    metallic: Float[Tensor, "p 1"] | None = None


def shade(
    surface: Surface,
    normals: Float[Tensor, "p 3"],
    views: Float[Tensor, "p 3"],
    light: Light,
    turn: Float[Tensor, " p"] | None = None,
) -> Float[Tensor, "p 3"]:
    """The light that points send to who looks at them, linear.

    Args:
        surface: what they are made of.
        normals: unit normals on the side that is seen.
        views: unit vectors to who looks.
        light: what falls on them.
        turn: angle in radians by which the light is turned about +Y, for each point; None: it is as it is.
    """
    if isinstance(light, Even):
        return surface.base_color
    if turn is not None:
        # Turned back, the surface sees the light as it is.
        normals, views = turned(normals, -turn), turned(views, -turn)
    diffuse = light.diffuse(normals)
    if surface.roughness is None:
        return surface.base_color * diffuse
    roughness = surface.roughness.clamp(0, 1)
    metallic = torch.zeros_like(roughness) if surface.metallic is None else surface.metallic.clamp(0, 1)
    facing = (normals * views).sum(1, keepdim=True).clamp(1e-4, 1)
    lobes = _Lobes.of(facing, roughness)
    mirrored = light.specular(lobes.directions(normals, views, facing), lobes.sharpness)
    # A network's colours may lie outside of [0, 1], where reflections between facets have a pole.
    ahead = DIELECTRIC * (1 - metallic) + surface.base_color.clamp(0, 1) * metallic
    once = ahead * lobes.scale + lobes.bias
    lost = 1 - lobes.scale - lobes.bias
    average = ahead + (1 - ahead) / 21
    again = once * average * lost / (1 - average * lost)
    matte = surface.base_color * (1 - metallic) * (1 - once - again)
    return once * mirrored + (again + matte) * diffuse


@dataclass(frozen=True)
class _Lobes:
    """What p surfaces mirror.

    Attributes:
        scale: [p, 1] share of even light that is mirrored once, for each part of F0, …
        bias: [p, 1] … and besides.
        tilt: [p, 1] how far the lobe leans from the normal to the mirrored direction: 1 is there.
        sharpness: [p, 1] of the spherical Gaussian that is the lobe.
    """

    scale: Float[Tensor, "p 1"]
    bias: Float[Tensor, "p 1"]
    tilt: Float[Tensor, "p 1"]
    sharpness: Float[Tensor, "p 1"]

    @classmethod
    def of(cls, facing: Float[Tensor, "p 1"], roughness: Float[Tensor, "p 1"]) -> "_Lobes":
        """By n · v and roughness, read from a table."""
        table = _table().to(facing)
        # Just inside: at the border itself, reading has no gradient.
        place = (1 - 1e-5) * (2 * torch.cat([facing, roughness], dim=1) - 1)
        read = grid_sample(table[None], place[None, None], "bilinear", "border", align_corners=True)[0, :, 0]
        scale, bias, tilt, sharpness = read.T.split(1, dim=1)
        return cls(scale, bias, tilt, sharpness.exp())

    def directions(
        self, normals: Float[Tensor, "p 3"], views: Float[Tensor, "p 3"], facing: Float[Tensor, "p 1"]
    ) -> Float[Tensor, "p 3"]:
        """Unit vectors along the middle of the lobes."""
        up = (1 - self.tilt.square() * (1 - facing.square())).clamp(min=1e-6).sqrt()
        return normalize(up * normals - self.tilt * (views - facing * normals), dim=1)


@cache
@torch.inference_mode(False)
@torch.no_grad()
def _table() -> Float[Tensor, "4 s s"]:
    """Of lobes by roughness and n · v: scale, bias, tilt, logarithm of the sharpness; in double precision.

    The lobe is seen through directions drawn as GGX has them. Its middle is their mean, and its sharpness that of the
    Gaussian that has two thirds of its light in the same cone: the mean cosine would count the long tails of GGX.
    """
    with torch.device("cpu"):
        nodes = torch.linspace(0, 1, _SIDE, dtype=torch.float64)
        # Half a turn: the other half is its mirror image.
        steps = ((torch.arange(count, dtype=torch.float64) + 0.5) / count for count in _DRAWN)
        first, second = (part.flatten() for part in torch.meshgrid(*steps, indexing="ij"))
        rows = [_row(float(node), nodes.clamp(1e-3, 1 - 1e-6)[:, None], first, second) for node in nodes]
    return torch.stack(rows, dim=1)


def _row(
    roughness: float, facing: Float[Tensor, "c 1"], first: Float[Tensor, " k"], second: Float[Tensor, " k"]
) -> Float[Tensor, "4 c"]:
    square = max(roughness, SMOOTHEST) ** 4
    up = ((1 - first) / (1 + (square - 1) * first)).sqrt()
    across = (1 - up.square()).clamp(min=0).sqrt()
    half = torch.stack([across * torch.cos(torch.pi * second), across * torch.sin(torch.pi * second), up])
    side = (1 - facing.square()).sqrt()
    met = (side * half[0] + facing * half[2]).clamp(min=0)
    # [3, c, k], the view leaning to +x.
    mirrored = 2 * met * half[:, None] - torch.stack([side, torch.zeros_like(side), facing])
    lit = mirrored[2].clamp(min=1e-9)

    def shadow(cosine: Tensor) -> Tensor:
        return 2 * cosine / (cosine + (square + (1 - square) * cosine.square()).sqrt())

    # Smith, of heights that are the same for light and view; the half vectors are drawn by D(h) (n · h).
    both = 1 / (1 / shadow(facing) + 1 / shadow(lit) - 1)
    weight = (mirrored[2] > 0) * both * met / (up * facing)
    grazing = (1 - met) ** 5
    middle = (weight * mirrored).sum(2)
    middle[1] = 0
    middle = normalize(middle, dim=0)
    cosine, order = (middle[:, :, None] * mirrored).sum(0).sort(dim=1, descending=True)
    inside = weight.gather(1, order).cumsum(1)
    edge = cosine.gather(1, (inside < _INSIDE * inside[:, -1:]).sum(1, keepdim=True))[:, 0]
    sharpness = -math.log(1 - _INSIDE) / (1 - edge)
    tilt = -middle[0] / side[:, 0]
    return torch.stack([(weight * (1 - grazing)).mean(1), (weight * grazing).mean(1), tilt, sharpness.log()])


def views_of(points: Float[Tensor, "p 3"], cameras: Cameras, fragments: Fragments) -> Float[Tensor, "p 3"]:
    """Unit vectors from seen points to the cameras that see them."""
    return normalize(cameras.positions.index_select(0, fragments.shape) - points, dim=1)


def seen_normals(meshes: MeshBatch, fragments: Fragments, views: Float[Tensor, "p 3"]) -> Float[Tensor, "p 3"]:
    """Smooth unit normals at the covered pixels, on the side that is seen; differentiable in the vertices.

    Args:
        meshes: what was rasterised.
        fragments: what is seen of them.
        views: unit vectors from the points to who looks.
    """
    normals = normalize(interpolate(meshes.vertex_normals(), meshes.faces, fragments), dim=1)
    away = (meshes.face_crosses().index_select(0, fragments.face) * views).sum(1, keepdim=True) < 0
    return torch.where(away, -normals, normals)
