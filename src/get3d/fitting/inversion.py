"""Inversion: finds styles of a generator, and cameras, whose images match given images.

A few starts are refined together in W, along the principal axes of the model's random styles. The best one then gets a
style for each layer (W+; Abdal et al. 2019, "Image2StyleGAN"), held near the common style. The synthesis network can be
tuned around the result (Roich et al. 2021, "Pivotal Tuning").
"""

import copy
import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor, nn

from get3d.cameras import Cameras
from get3d.fitting.comparison import mask_iou
from get3d.fitting.search import Candidates
from get3d.fitting.views import Views
from get3d.generator import Generator
from get3d.images import Images
from get3d.latents import Styles
from get3d.materials import BASE_COLOR
from get3d.networks import StylePrior
from get3d.reconstruction.losses import image_losses

__all__ = [
    "FreeStyles",
    "Objective",
    "Step",
    "StyleModel",
    "along_axes",
    "per_layer",
    "refine",
    "style_model",
    "symmetry",
    "tune",
]


@dataclass(frozen=True)
class Step:
    """A fit as it is in a step.

    Attributes:
        found: the objects, with their losses.
        drawn: their images, those of the first object first.
        real: the photos that each object's images are compared with.
    """

    found: Candidates
    drawn: Images
    real: Float[Tensor, "v 4 r r"]

    def best(self) -> "Step":
        """That of the object with the smallest loss."""
        number, views = int(self.found.losses.argmin()), len(self.real)
        return Step(self.found.best(1), self.drawn[number * views : (number + 1) * views], self.real)


Progress = Callable[[Step], None]
"""Called after each step; may end the fit by an exception."""

SAMPLES, COMPONENTS = 4096, 64
"""Number of random styles from which the principal axes are computed, and number of axes."""

STYLE_RATE, LAYER_RATE, TUNE_RATE = 0.08, 0.03, 5e-4
ANGLE_RATE, FRAME_RATE = 0.02, 0.004
"""Adam's rates: styles in standard deviations, weights, angles in radians, and zoom, pan and distance."""

HELD, HELD_WEIGHT = 4096, 1.0
"""Points at which tuning keeps other objects unchanged, and the weight of this term."""

_SYMMETRY_SIDE = 64
_LAST_RATE = 0.1
_NEUTRAL_DISTANCE = 0.3
"""Standard deviation of the logarithm of the distance around that of the model's images."""


@dataclass(frozen=True)
class StyleModel:
    """The distribution of a model's random styles, for geometry and texture."""

    geometry: StylePrior
    texture: StylePrior

    @property
    def mean(self) -> Styles:
        """The mean object (W)."""
        return Styles(self.geometry.mean[None], self.texture.mean[None])

    @property
    def priors(self) -> tuple[StylePrior, StylePrior]:
        """Both."""
        return self.geometry, self.texture


@torch.no_grad()
def style_model(generator: Generator, label: str | None) -> StyleModel:
    """The distribution of the styles (W) of random latents of a class."""
    styles = generator.styles(generator.sample_latents(SAMPLES, 0, label), per_layer=False)
    return StyleModel(*(StylePrior.fitted(part, COMPONENTS) for part in (styles.geometry, styles.texture)))


@dataclass(frozen=True)
class Objective:
    """The loss that a fit minimises.

    Attributes:
        real: the windows of v photos.
        losses: weights of the image losses.
        prior: weight of the mean square of styles in standard deviations.
        layer_prior: weight of the mean square of the layers' differences from their common style, likewise.
        symmetry: factor of the losses of what mirrored cameras see, relative to those of the photos; 0 leaves them out.
    """

    real: Float[Tensor, "v 4 r r"]
    losses: dict[str, float]
    prior: float
    layer_prior: float
    symmetry: float = 0.0

    def of_objects(self, drawn: Images) -> Float[Tensor, " m"]:
        """The image losses of m objects, each drawn by v cameras."""
        return self._losses(drawn, self.real, self.losses)

    def mirrored(self, drawn: Images) -> Float[Tensor, " m"]:
        """The image losses of m objects, each drawn by v mirrored cameras."""
        weights = {name: self.symmetry * weight for name, weight in self.losses.items()}
        return self._losses(drawn, self.real.flip(3), weights)

    def _losses(self, drawn: Images, real: Float[Tensor, "v 4 r r"], weights: dict[str, float]) -> Float[Tensor, " m"]:
        parts = [drawn[start : start + len(real)] for start in range(0, len(drawn), len(real))]
        return torch.stack([torch.stack(list(image_losses(part, real, weights).values())).sum() for part in parts])


@dataclass(frozen=True)
class FreeStyles:
    """The free parameters of a refinement of styles.

    Attributes:
        parameters: of the styles, in standard deviations.
        rate: their learning rate.
        weight: weight of their mean square in the loss.
        styles: gives the styles of their present values.
    """

    parameters: list[nn.Parameter]
    rate: float
    weight: float
    styles: Callable[[], Styles]


def along_axes(model: StyleModel, start: Styles, objective: Objective) -> FreeStyles:
    """Styles in W that move along the principal axes of the model's random styles.

    Args:
        model: the axes.
        start: of m objects (W).
        objective: its `prior` is the weight.
    """
    axes, places, rests = [], [], []
    for kind, prior in zip(("geometry", "texture"), model.priors, strict=True):
        away = getattr(start, kind).detach() - prior.mean
        deviations = prior.directions.norm(dim=1).clamp(min=1e-6)
        place = (away @ (prior.directions / deviations[:, None]).T) / deviations
        axes.append(prior.directions)
        places.append(nn.Parameter(place))
        # The part outside the axes, which styles of training objects have, stays unchanged.
        rests.append(prior.mean + away - place @ prior.directions)

    def styles() -> Styles:
        return Styles(*(rest + place @ axis for rest, place, axis in zip(rests, places, axes, strict=True)))

    return FreeStyles(places, STYLE_RATE, objective.prior, styles)


def per_layer(model: StyleModel, start: Styles, objective: Objective) -> FreeStyles:
    """A style for each layer (W+), of one object.

    Args:
        model: the scale of the styles.
        start: W+, for every layer.
        objective: its `layer_prior` is the weight.
    """
    parts = (start.geometry, start.texture)
    scales = [prior.directions.square().sum(0).mean().sqrt() for prior in model.priors]
    moves = [nn.Parameter(torch.zeros_like(part)) for part in parts]

    def styles() -> Styles:
        return Styles(*(part + scale * move for part, scale, move in zip(parts, scales, moves, strict=True)))

    return FreeStyles(moves, LAYER_RATE, objective.layer_prior, styles)


@torch.no_grad()
def symmetry(generator: Generator, styles: Styles) -> float:
    """How symmetric a model's objects are to the plane x = 0: the mean IoU of images and those of mirrored cameras.

    Args:
        generator: the model.
        styles: of some of its objects.
    """
    prior = generator.config.cameras
    middle = sum(prior.polar) / 2
    angles = torch.deg2rad(torch.tensor([[40.0, middle], [130.0, middle], [-40.0, middle], [-130.0, middle]]))
    cameras = Cameras.of_prior(prior, angles.to(generator.device))
    found = []
    for number in range(len(styles)):
        drawn = generator.shapes(styles[number]).draw(cameras, _SYMMETRY_SIDE)
        other = torch.cat([drawn.rgb, drawn.mask], 1)[2:].flip(3)
        found.append(mask_iou(drawn[:2], other).mean())
    return float(torch.stack(found).mean())


def refine(
    generator: Generator,
    free: FreeStyles,
    start: Candidates,
    objective: Objective,
    *,
    estimate: bool,
    steps: int,
    progress: Progress,
) -> Candidates:
    """Optimises styles and cameras; the loss is a sum over the objects.

    Args:
        generator: the model.
        free: the styles of m objects.
        start: their cameras.
        objective: the loss.
        estimate: whether the cameras are optimised, too.
        steps: number of steps.
        progress: called after each.
    """
    views, losses = start.views[slice(None)], start.losses
    for _ in _steps([(free.parameters, free.rate), *_camera_groups(views, estimate)], steps):
        found = free.styles()
        shapes, side = generator.shapes(found), objective.real.shape[-1]
        drawn = shapes.draw(views(), side, through_positions=True)
        losses = objective.of_objects(drawn)
        if objective.symmetry:
            losses = losses + objective.mirrored(shapes.draw(views(mirrored=True), side, through_positions=True))
        spread = sum(parameter.square().mean() for parameter in free.parameters)
        (losses.sum() + free.weight * len(losses) * spread + _distance_loss(views, estimate)).backward()
        progress(Step(_detached(found, views, losses), drawn, objective.real))
    return _detached(free.styles(), views, losses)


def tune(
    generator: Generator,
    model: StyleModel,
    start: Candidates,
    objective: Objective,
    *,
    steps: int,
    seed: int,
    progress: Progress,
) -> Generator:
    """Tunes a copy of a generator, so that the styles found for one object match the images more closely.

    The fields of objects between this one and random ones are kept unchanged at random points (Roich et al. 2021,
    section 3.3, with fields in place of images).
    """
    tuned = copy.deepcopy(generator)
    tuned.synthesis.requires_grad_(True)
    with torch.no_grad():
        cameras, styles = start.views(), generator.require_styles(start.styles)
    random = torch.Generator().manual_seed(seed)
    size = generator.config.grid_size
    for _ in _steps([(list(tuned.synthesis.parameters()), TUNE_RATE)], steps):
        drawn = tuned.shapes(styles).draw(cameras, objective.real.shape[-1], through_positions=True)
        other = _between(generator, styles, model, random)
        points = size * (torch.rand(1, HELD, 3, generator=random) - 0.5).to(generator.device)
        held, moved = generator.fields(other), tuned.fields(other)
        change = (held.geometry.at(points).sdf - moved.geometry.at(points).sdf).square().mean()
        colors = held.texture.at(points)[BASE_COLOR] - moved.texture.at(points)[BASE_COLOR]
        losses = objective.of_objects(drawn)
        (losses.sum() + HELD_WEIGHT * (change + colors.square().mean())).backward()
        progress(Step(_detached(styles, start.views, losses), drawn, objective.real))
    return tuned.requires_grad_(False)


def _detached(styles: Styles, views: Views, losses: Float[Tensor, " m"]) -> Candidates:
    return Candidates(Styles(styles.geometry.detach(), styles.texture.detach()), views, losses.detach())


@torch.no_grad()
def _between(generator: Generator, styles: Styles, model: StyleModel, random: torch.Generator) -> Styles:
    """An object somewhere between the found one and a random one."""
    share = float(torch.rand((), generator=random))
    mixed = []
    for kind, prior in zip(("geometry", "texture"), model.priors, strict=True):
        own = getattr(styles, kind)
        drawn = prior.mean + torch.randn(1, len(prior.directions), generator=random).to(own) @ prior.directions
        mixed.append(torch.lerp(own, drawn[:, None].expand_as(own), share))
    return Styles(*mixed)


def _camera_groups(views: Views, estimate: bool) -> list[tuple[list[nn.Parameter], float]]:
    views.requires_grad_(estimate)
    return [([views.angles], ANGLE_RATE), ([views.zoom, views.pan, views.distance], FRAME_RATE)] if estimate else []


def _distance_loss(views: Views, estimate: bool) -> Tensor | float:
    return 0.01 * (views.distance / _NEUTRAL_DISTANCE).square().sum() if estimate else 0.0


@torch.enable_grad()
def _steps(groups: list[tuple[list[nn.Parameter], float]], steps: int) -> Iterator[None]:
    """Steps of Adam, whose rates fall by half a cosine; the caller makes the gradients."""
    optimizer = torch.optim.Adam([{"params": params, "lr": rate} for params, rate in groups], betas=(0.9, 0.99))
    for step in range(steps):
        left = _LAST_RATE + (1 - _LAST_RATE) * (0.5 + 0.5 * math.cos(math.pi * step / steps))
        for group, (_, rate) in zip(optimizer.param_groups, groups, strict=True):
            group["lr"] = rate * left
        optimizer.zero_grad()
        yield
        optimizer.step()
