"""The game between generator and discriminator, and nothing else.

Non-saturating logistic loss on the logits of both branches, a penalty on the discriminator's gradient at real pictures
(R1, Mescheder et al. 2018), and regularisers on the surface (GET3D, section 3.3; FlexiCubes, section 4.4).
"""

from dataclasses import dataclass
from typing import Annotated

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn.functional import softplus

from get3d.isosurface import Surfaces
from get3d.networks import Logits
from get3d.ranges import Range

__all__ = ["ObjectiveConfig", "discriminator_loss", "generator_loss", "gradient_penalty", "surface_loss"]


@dataclass(frozen=True)
class ObjectiveConfig:
    """Weights of the terms.

    Attributes:
        r1_gamma: strength of R1; it grows with the number of pixels and shrinks with the batch.
        r1_interval: R1 is taken every so many steps, that many times as strong.
        style_mixing: share of shapes whose later layers take the styles of a second latent.
        sdf_weight: weight of the agreement of SDF signs along the grid's edges.
        deviation_weight: weight of FlexiCubes' deviation term L_dev.
        cube_weight: weight of the mean square of FlexiCubes' raw weights.
    """

    r1_gamma: Annotated[float, Range(0)] = 40.0
    r1_interval: Annotated[int, Range(1)] = 16
    style_mixing: Annotated[float, Range(0, 1)] = 0.9
    sdf_weight: Annotated[float, Range(0)] = 0.01
    deviation_weight: Annotated[float, Range(0)] = 0.5
    cube_weight: Annotated[float, Range(0)] = 0.1


def generator_loss(fake: Logits) -> Float[Tensor, ""]:
    """−log D(fake), summed over the branches, the mean over the batch."""
    return (softplus(-fake.rgb) + softplus(-fake.mask)).mean()


def discriminator_loss(real: Logits, fake: Logits) -> Float[Tensor, ""]:
    """−log D(real) − log(1 − D(fake)), summed over the branches, the mean over the batch."""
    return (softplus(-real.rgb) + softplus(-real.mask) + softplus(fake.rgb) + softplus(fake.mask)).mean()


def gradient_penalty(real: Logits, images: Float[Tensor, "n 4 r r"]) -> Float[Tensor, ""]:
    """R1 without its weight γ/2: squared norm of the logits' gradient at real pictures, the mean over the batch.

    The branches see different channels, so one gradient of the sum serves both.
    """
    (gradient,) = torch.autograd.grad((real.rgb + real.mask).sum(), images, create_graph=True)
    return gradient.square().sum(dim=(1, 2, 3)).mean()


def surface_loss(surfaces: Surfaces, config: ObjectiveConfig) -> Float[Tensor, ""]:
    """The weighted regularisers that generated surfaces bring with them."""
    weights = {"sdf": config.sdf_weight, "deviation": config.deviation_weight, "weights": config.cube_weight}
    losses = [weights[name] * value for name, value in surfaces.regularizers.items()]
    return torch.stack(losses).sum()
