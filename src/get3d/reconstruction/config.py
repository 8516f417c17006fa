"""Options of reconstruction. This module imports nothing heavy."""

from dataclasses import dataclass, field
from typing import Annotated, Literal

from get3d.ranges import Range

__all__ = ["LOSS_WEIGHTS", "HullConfig", "WarmupConfig"]

LOSS_WEIGHTS = {"color": 1.0, "mask": 5.0, "structure": 0.0, "perceptual": 0.0}
"""The image losses by name, with their default weights; `get3d.reconstruction.losses` computes them."""


@dataclass(frozen=True)
class HullConfig:
    """How SDFs are compared with the visual hulls of objects, which brings thin parts.

    Attributes:
        weight: of the loss; 0 leaves it out.
        objects: further objects in a step, for each that is drawn, that are compared with their hulls only.
        points: points along each axis of the random lattice on which SDFs and hulls are compared.
        resolution: steps along each axis of the lattice that hulls are kept on.
        sharpness: units of SDF to logits.
        thin: how much more than others the points around thin parts weigh.
        inside: how much the points inside a hull weigh, away from thin parts. Silhouettes do not show hollows, so hulls
            fill bowls; 0 leaves them to the colours of images.
    """

    weight: Annotated[float, Range(0)] = 1.0
    objects: Annotated[int, Range(0, 1024)] = 1
    points: Annotated[int, Range(2, 256)] = 24
    resolution: Annotated[int, Range(2, 256)] = 40
    sharpness: Annotated[float, Range(0, above=True)] = 5.0
    thin: Annotated[float, Range(0)] = 20.0
    inside: Annotated[float, Range(0, 1)] = 1.0


@dataclass(frozen=True)
class WarmupConfig:
    """The warm-up: the generator learns as a multi-view auto-decoder before the adversarial phase.

    Attributes:
        learns: what the warm-up teaches: "all", or "texture": shapes stay as those of the run's start, which makes an
            image take half of the time, with 4 views a third.
        views: number of images of each object in a step.
        losses: weights of the image losses.
        random_interval: every this many steps as many random shapes as objects are made, which the surface regularisers
            keep whole and smooth; 0 for never.
        hull: how shapes are compared with the visual hulls of objects.
        deflation: weight of a force that pushes what images show inward, which opens hollows that silhouettes leave
            closed.
        code_prior: weight of the mean square of the codes.
        metallic_prior: weight of the mean metallic value of surfaces, with materials pbr: without a highlight, pale
            paint and metal look alike, and most things are not of metal.
        code_noise: standard deviation of the noise added to a code in each step, as a share of the root mean square of
            all codes, so that nearby codes give similar shapes, however far codes move apart.
        learning_rate: learning rate of the synthesis network; over the second half of the phase it falls to a tenth.
        code_learning_rate: learning rate of the codes, which falls in the same way.
        light_learning_rate: learning rate of a light that is learnt, which falls in the same way.
        betas: Adam's betas.
        components: maximum number of principal components of the codes along which random shapes vary.
        bandwidth: how far random shapes may be from training objects, as a share of the spread of these: 1 for a
            Gaussian of all codes, less for many small ones around them.
        discriminator_kimg: thousands of real images after the warm-up in which only the discriminator learns.
    """

    learns: Literal["all", "texture"] = "all"
    views: Annotated[int, Range(2, 1024)] = 2
    losses: Annotated[dict[str, float], Range(0)] = field(default_factory=lambda: dict(LOSS_WEIGHTS))
    random_interval: Annotated[int, Range(0)] = 2
    hull: HullConfig = field(default_factory=HullConfig)
    deflation: Annotated[float, Range(0)] = 0.0
    code_prior: Annotated[float, Range(0)] = 1e-3
    metallic_prior: Annotated[float, Range(0)] = 0.05
    code_noise: Annotated[float, Range(0)] = 0.2
    learning_rate: Annotated[float, Range(0, 10, above=True)] = 0.004
    code_learning_rate: Annotated[float, Range(0, 10, above=True)] = 0.005
    light_learning_rate: Annotated[float, Range(0, 10, above=True)] = 0.02
    betas: Annotated[tuple[float, float], Range(0, 1, below=True)] = (0.9, 0.99)
    components: Annotated[int, Range(1, 4096)] = 40
    bandwidth: Annotated[float, Range(0, 1, above=True)] = 0.4
    discriminator_kimg: Annotated[float, Range(0)] = 2.0
