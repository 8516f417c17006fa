"""Codes of training objects in W, a prior fitted to them, and mapping networks taught to give that prior."""

from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor

from get3d.networks import MappingNetwork

__all__ = ["ObjectCodes", "StylePrior", "teach_mapping"]


class ObjectCodes(torch.nn.Module):
    """A code for the geometry and one for the texture of every training object.

    Plain codes are points, kept near 0 by their mean square. Variational ones are Gaussians, kept near N(0, I) by their
    divergence from it (Zadeh et al. 2019, "Variational Auto-Decoder").

    Attributes:
        mean: [n, 2, c].
        log_std: [n, 2, c] logarithm of the standard deviation of variational codes; None of plain ones.
    """

    def __init__(self, objects: int, size: int, *, variational: bool = False, scale: float = 0.3) -> None:
        super().__init__()
        self.mean = torch.nn.Parameter(scale * torch.randn(objects, 2, size))
        self.log_std = torch.nn.Parameter(torch.full((objects, 2, size), -1.0)) if variational else None

    def sample(
        self, objects: Int[Tensor, " o"], noise: float, random: torch.Generator
    ) -> tuple[Float[Tensor, "o 2 c"], Float[Tensor, ""]]:
        """Codes of objects, and how far they are from the prior.

        Args:
            objects: their numbers.
            noise: standard deviation that plain codes are given.
            random: draws the noise.
        """
        mean = self.mean[objects]
        normal = torch.randn(mean.shape, generator=random, device=random.device).to(mean)
        if self.log_std is None:
            return mean + noise * normal, mean.square().mean()
        log_std = self.log_std[objects]
        divergence = 0.5 * (mean.square() + (2 * log_std).exp() - 2 * log_std - 1)
        return mean + log_std.exp() * normal, divergence.sum(-1).mean()


@dataclass(frozen=True)
class StylePrior:
    """A Gaussian of styles: mean + ε · directions with ε ~ N(0, I).

    Attributes:
        mean: of the styles.
        directions: principal axes, each as long as the standard deviation along it, the longest first.
    """

    mean: Float[Tensor, " w"]
    directions: Float[Tensor, "k w"]

    @classmethod
    def of(cls, styles: Float[Tensor, "n w"], kept: int) -> "StylePrior":
        """The Gaussian with the mean and the `kept` greatest principal components of given styles."""
        mean = styles.mean(0)
        _, singular, axes = torch.linalg.svd(styles - mean, full_matrices=False)
        scale = singular[:kept] / max(len(styles) - 1, 1) ** 0.5
        return cls(mean, scale[:, None] * axes[:kept])

    def styles(self, z: Float[Tensor, "n z"]) -> Float[Tensor, "n w"]:
        """The styles that latents stand for: their first k numbers are the ε, the others say nothing."""
        return self.mean + z[:, : len(self.directions)] @ self.directions

    def latents(self, styles: Float[Tensor, "n w"], z: Float[Tensor, "n z"]) -> Float[Tensor, "n z"]:
        """Latents of given styles; `z` ~ N(0, I) gives the numbers that say nothing."""
        scale = self.directions.norm(dim=1).clamp(min=1e-12)
        known = (styles - self.mean) @ (self.directions / scale[:, None] ** 2).T
        return torch.cat([known, z[:, known.shape[1] :]], dim=1)


def teach_mapping(
    mapping: MappingNetwork,
    prior: StylePrior,
    *,
    steps: int = 3000,
    batch: int = 256,
    learning_rate: float = 2.0,
    generator: torch.Generator,
) -> float:
    """Trains a mapping network to give a prior's styles, and returns the share of the variance that it misses.

    The rate is that of stored weights, which the layers scale by 0.01. The network normalises its latent, so what it
    is taught is ε = z/√mean(z²), which is N(0, I) but for the length.
    """
    optimizer = torch.optim.Adam(mapping.parameters(), lr=learning_rate, betas=(0.9, 0.99))
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps)
    variance = prior.directions.square().sum()
    missed = 1.0
    for _ in range(steps):
        z = torch.randn(batch, mapping.z_dim, generator=generator)
        wanted = prior.styles(z * z.square().mean(1, keepdim=True).rsqrt())
        error = (mapping(z) - wanted).square().sum(1).mean() / variance
        optimizer.zero_grad()
        error.backward()
        optimizer.step()
        schedule.step()
        missed = 0.95 * missed + 0.05 * float(error.detach())
    mapping.w_avg.copy_(prior.mean)
    return missed
