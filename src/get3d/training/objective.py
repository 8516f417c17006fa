"""The loss functions of generator and discriminator.

Non-saturating logistic loss on the logits of both branches, a penalty on the discriminator's gradient at real images
(R1, Mescheder et al. 2018), and regularisers on the surface (GET3D, section 3.3; FlexiCubes, section 4.4).
"""

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn.functional import softplus

from get3d.networks import Logits
from get3d.training.run_config import ObjectiveConfig

__all__ = [
    "ObjectiveConfig",
    "discriminator_loss",
    "fake_loss",
    "generator_loss",
    "gradient_penalty",
    "real_loss",
    "surface_loss",
]


def generator_loss(fake: Logits) -> Float[Tensor, ""]:
    """−log D(fake), summed over the branches, the mean over the batch."""
    return real_loss(*fake.branches.values())


def real_loss(*branches: Float[Tensor, "n 1"]) -> Float[Tensor, ""]:
    """−log D(real), summed over the branches whose logits are given, the mean over the batch."""
    return torch.stack([softplus(-logits) for logits in branches]).sum(0).mean()


def fake_loss(*branches: Float[Tensor, "n 1"]) -> Float[Tensor, ""]:
    """−log(1 − D(fake)), summed over the branches whose logits are given, the mean over the batch."""
    return torch.stack([softplus(logits) for logits in branches]).sum(0).mean()


def discriminator_loss(real: Logits, fake: Logits) -> Float[Tensor, ""]:
    """−log D(real) − log(1 − D(fake)), summed over the branches, the mean over the batch."""
    return real_loss(*real.branches.values()) + fake_loss(*fake.branches.values())


def gradient_penalty(logits: Float[Tensor, "n 1"], images: Float[Tensor, "n 4 r r"]) -> Float[Tensor, ""]:
    """R1 without its weight γ/2: squared norm of the logits' gradient at real images, the mean over the batch.

    The branches see different channels, so the penalty of their sum is the sum of their penalties.
    """
    (gradient,) = torch.autograd.grad(logits.sum(), images, create_graph=True)
    return gradient.square().sum(dim=(1, 2, 3)).mean()


def surface_loss(regularizers: dict[str, Float[Tensor, ""]], config: ObjectiveConfig) -> Float[Tensor, ""]:
    """The weighted sum of regularisers of generated surfaces."""
    return torch.stack([config.regularizers[name] * value for name, value in regularizers.items()]).sum()
