"""Fitting a surface and a texture to images of one object, on grids from coarse to fine.

The first surface is the visual hull; it is then optimised through the same differentiable path as in training. A step's
randomness follows from its number and the seed, so a fit that was stopped resumes with the same result.
"""

import math
from dataclasses import dataclass, replace

import numpy as np
import torch
from jaxtyping import Bool, Float, Int, UInt8
from scipy.ndimage import distance_transform_edt
from torch import Tensor, nn

from get3d.camera_prior import CameraPrior
from get3d.cameras import Cameras
from get3d.datasets.loader import to_network
from get3d.files import InputError
from get3d.fitting.config import ReconstructConfig
from get3d.fitting.fields import FreeTexture, LatticeGeometry, fields_of
from get3d.generator_config import MATERIALS
from get3d.images import Images
from get3d.isosurface import ISOSURFACES, Isosurface, regularizers_of
from get3d.light_prior import LightPrior
from get3d.materials import BASE_COLOR
from get3d.reconstruction.hulls import thin_voxels, visual_hull
from get3d.reconstruction.losses import image_losses
from get3d.render.lights import LIGHTS, STUDIO
from get3d.shapes import Shapes
from get3d.storage import Stored, without_prefix

__all__ = ["MARGIN", "ObjectImages", "Reconstruction", "hull_sdf"]

MARGIN = 0.1
"""The side of the grid, less the longest side of the object."""

SDF_RATE, DEFORMATION_RATE, CELL_RATE = 0.15, 0.1, 0.05
"""Learning rates of the geometry; that of the SDF is in steps of the grid."""
PLANE_RATE, HEAD_RATE = 0.02, 0.005
_LAST = 0.1
"""Factor of learning rates and regularisers at the end."""
_POINTS = 2**16
_CELLS = "geometry.cells"
_RECENT, _PROGRESS = 50, 0.995
"""Steps over which the loss is averaged, and the ratio to the best earlier mean below which it counts as progress."""


@dataclass(frozen=True)
class ObjectImages:
    """The images of one object.

    Attributes:
        images: [n, 4, r, r] RGBA.
        angles: azimuth and polar angle of each camera in radians.
        turns: rotation of the light in each image in radians; None if it never turns.
        prior: the cameras of the dataset.
        scale: longest side of the dataset's objects.
        light: of the images; None if it is unknown.
    """

    images: UInt8[Tensor, "n 4 r r"]
    angles: Float[Tensor, "n 2"]
    turns: Float[Tensor, " n"] | None
    prior: CameraPrior
    scale: float
    light: LightPrior | None

    def __len__(self) -> int:
        return len(self.images)

    @property
    def resolution(self) -> int:
        """Side of the images in pixels."""
        return self.images.shape[-1]

    def cameras(self, rows: Int[Tensor, " k"] | slice) -> Cameras:
        """The cameras of some images."""
        return Cameras.of_prior(self.prior, self.angles[rows])

    def real(self, rows: Int[Tensor, " k"] | slice) -> Float[Tensor, "k 4 r r"]:
        """Some images, as networks see them."""
        return to_network(self.images[rows])

    def turned(self, rows: Int[Tensor, " k"] | slice) -> Float[Tensor, " k"] | None:
        """The turns of the light in some images."""
        return None if self.turns is None else self.turns[rows]

    def to(self, device: torch.device) -> "ObjectImages":
        """The same on another device."""
        turns = None if self.turns is None else self.turns.to(device)
        return replace(self, images=self.images.to(device), angles=self.angles.to(device), turns=turns)


@torch.no_grad()
def hull_sdf(
    masks: Float[Tensor, "k 1 r r"], cameras: Cameras, axis: Float[Tensor, " m"]
) -> tuple[Float[Tensor, "m m m"], Bool[Tensor, "m m m"]]:
    """The signed distance to the visual hull on a lattice, positive inside, and where the object is thin."""
    points = torch.cartesian_prod(axis, axis, axis)
    parts = [visual_hull(masks, cameras, part) for part in points.split(_POINTS)]
    hull = torch.cat(parts).view(len(axis), len(axis), len(axis))
    inside = (hull > 0.5).cpu().numpy()
    if not inside.any():
        raise InputError(
            "the cameras and masks do not agree on any place where the object could be (the visual hull is empty); "
            "check the cameras with `get3d check`"
        )
    step = float(axis[1] - axis[0])
    # A surface lies half a step beyond the last point.
    distance = np.where(inside, distance_transform_edt(inside) - 0.5, 0.5 - distance_transform_edt(~inside))
    sdf = torch.from_numpy(step * distance).to(axis)
    return sdf, thin_voxels(hull[None])[0] * (hull > 0.5) > 0


class Reconstruction:
    """A fit of one object that can stop and go on after any step.

    Args:
        views: all its images, on the device of the fit.
        fitted: numbers of those that it is fitted to.
        config: the options.
        stored: the result of `stored` from which to resume; None starts a new fit.

    Attributes:
        step: number of steps done.
        done: whether it has ended.
        geometry: of the present grid.
        texture: of the object.
    """

    def __init__(
        self, views: ObjectImages, fitted: Int[Tensor, " k"], config: ReconstructConfig, stored: Stored | None = None
    ) -> None:
        self.views, self.fitted, self.config = views, fitted, config
        self.step, self.done = 0, False
        self._history: list[float] = []
        self._size = views.scale + MARGIN
        channels = (BASE_COLOR, *MATERIALS[config.materials])
        random = torch.Generator().manual_seed(config.seed)
        self.texture = FreeTexture(config.planes, self._size, channels, random).to(self.device)
        if stored is None:
            self._begin(0, None)
        else:
            self._go_on(stored)

    @property
    def device(self) -> torch.device:
        """Where it is fitted."""
        return self.views.images.device

    def _begin(self, stage: int, before: LatticeGeometry | None) -> None:
        """Starts a grid from the visual hull, or from the result of a coarser grid and the thin parts of the hull."""
        isosurface = self._surface(stage)
        masks, cameras = self.views.real(self.fitted)[:, 3:], self.views.cameras(self.fitted)
        parts = []
        for axis in isosurface.grid.lattices:
            sdf, thin = hull_sdf(masks, cameras, axis)
            if before is not None:
                with torch.no_grad():
                    coarse = before.at(torch.cartesian_prod(axis, axis, axis)[None]).sdf.view_as(sdf)
                sdf = torch.where(thin, torch.maximum(coarse, sdf), coarse)
            parts.append(sdf.flatten())
        self._use(stage, isosurface, torch.cat(parts)[None])

    def _surface(self, stage: int) -> Isosurface:
        resolution = self.config.grids[stage]
        isosurface: Isosurface = ISOSURFACES[self.config.isosurface](resolution, self._size, resolution)
        return isosurface.to(self.device).train()

    def _use(self, stage: int, isosurface: Isosurface, sdf: Float[Tensor, "1 v"]) -> None:
        self._stage, self.isosurface = stage, isosurface
        self.geometry = geometry = LatticeGeometry(sdf, isosurface)
        rest = [parameter for name, parameter in self.texture.named_parameters() if name != "planes"]
        first = isosurface.grid.lattices[0]
        step = float(first[1] - first[0])
        self._rates = (SDF_RATE * step, DEFORMATION_RATE, CELL_RATE, PLANE_RATE, HEAD_RATE)
        groups = ([geometry.sdf], [geometry.deformation], [geometry.cells], [self.texture.planes], rest)
        self._optimizer = torch.optim.Adam([{"params": g} for g in groups], betas=(0.9, 0.99), fused=True)

    def _named(self) -> dict[str, nn.Parameter]:
        return dict(nn.ModuleDict({"geometry": self.geometry, "texture": self.texture}).named_parameters())

    def stored(self) -> Stored:
        """The state after the steps so far, on the CPU."""
        tensors = {"history": torch.tensor(self._history, dtype=torch.float64)}
        for name, parameter in self._named().items():
            moments = self._optimizer.state.get(parameter, {})
            parts: dict[str, Tensor] = {"value": parameter.detach(), **moments}
            if name == _CELLS and moments:
                # Most cubes are never crossed, and their values are still those of the start.
                (rows,) = moments["exp_avg_sq"][0].any(1).nonzero(as_tuple=True)
                parts = {part: value[0, rows] if value.ndim else value for part, value in parts.items()}
                parts["rows"] = rows
            tensors |= {f"{name}.{part}": value.cpu() for part, value in parts.items()}
        return Stored(tensors, {"step": self.step, "stage": self._stage})

    def _go_on(self, stored: Stored) -> None:
        self.step, self._history = stored.description["step"], stored.tensors["history"].tolist()
        stage = stored.description["stage"]
        self._use(stage, self._surface(stage), stored.tensors["geometry.sdf.value"].to(self.device))
        for name, parameter in self._named().items():
            parts = {key: value.to(self.device) for key, value in without_prefix(f"{name}.", stored.tensors).items()}
            if "rows" in parts:
                rows, empty = parts.pop("rows"), torch.zeros_like(parameter[0])
                parts = {
                    part: empty.index_copy(0, rows, value)[None] if value.ndim else value
                    for part, value in parts.items()
                }
            with torch.no_grad():
                parameter.copy_(parts.pop("value"))
            self._optimizer.state[parameter] = parts

    def _stage_of(self, step: int) -> int:
        """The grid of a step: finer ones have more, in proportion to their number."""
        count = len(self.config.grids)
        share = step / self.config.steps * count * (count + 1) / 2
        ends = [(i + 1) * (i + 2) / 2 for i in range(count)]
        return min(sum(share >= end for end in ends), count - 1)

    def shapes(self) -> Shapes:
        """The object as it is."""
        light = self.views.light
        return Shapes(
            self.isosurface(self.geometry),
            fields_of(self.geometry, self.texture),
            self.config.materials,
            STUDIO if light is None else LIGHTS[light.kind],
        )

    def advance(self) -> dict[str, float]:
        """One step; returns the losses by name."""
        config = self.config
        stage = self._stage_of(self.step)
        if stage != self._stage:
            self._begin(stage, self.geometry)
        left = _LAST + (1 - _LAST) * (0.5 + 0.5 * math.cos(math.pi * self.step / config.steps))
        random = torch.Generator().manual_seed(config.seed + self.step)
        chosen = torch.randperm(len(self.fitted), generator=random)[: config.views]
        rows = self.fitted[chosen.to(self.device)]
        shapes = self.shapes()
        drawn = shapes.draw(
            self.views.cameras(rows), self.views.resolution, through_positions=True, turn=self.views.turned(rows)
        )
        losses = image_losses(drawn, self.views.real(rows), config.losses)
        image_loss = torch.stack(list(losses.values())).sum()
        regularizers = regularizers_of(shapes.surfaces, config.regularizers) | self.geometry.field_losses()
        weights = {name: left * config.regularizers.get(name, 0.0) for name in regularizers}
        held = [weight * regularizers[name] for name, weight in weights.items() if weight]
        for group, rate in zip(self._optimizer.param_groups, self._rates, strict=True):
            group["lr"] = rate * left
        self._optimizer.zero_grad()
        torch.stack([image_loss, *held]).sum().backward()
        self._optimizer.step()
        self.step += 1
        self._note(float(image_loss.detach()))
        return {name: float(value.detach()) for name, value in losses.items()}

    def _note(self, loss: float) -> None:
        """Ends the fit after its last step, or on the last grid once the loss has not decreased for long."""
        if self._stage == len(self.config.grids) - 1:
            self._history.append(loss)
        size, patience = _RECENT, self.config.patience
        means = [sum(self._history[i : i + size]) / size for i in range(0, len(self._history) - size + 1, size)]
        stale = max(patience // size, 1)
        late = len(means) > stale and min(means[-stale:]) > _PROGRESS * min(means[:-stale])
        self.done = self.step >= self.config.steps or late

    @torch.no_grad()
    def drawn(self, rows: Int[Tensor, " k"]) -> Images:
        """The object rendered by the cameras of some of its images."""
        return self.shapes().draw(self.views.cameras(rows), self.views.resolution, turn=self.views.turned(rows))
