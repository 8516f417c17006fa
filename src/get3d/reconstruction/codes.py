"""Codes of known objects in W, a prior fitted to them, and mapping networks that are taught to give that prior.

A generator that reconstructs objects from free codes is an auto-decoder (Bojanowski et al. 2018, "Optimizing the Latent
Space of Generative Networks"; Park et al. 2019, "DeepSDF"). What makes it generative is a distribution of the codes:
here a Gaussian, for geometry and texture apart, so that each can be drawn without the other.
"""

import copy
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from get3d.latents import Styles
from get3d.networks import MappingNetwork

__all__ = ["CodePrior", "ObjectCodes", "teach_mapping"]

TEACHING_BATCH, TEACHING_RATE = 256, 2.0
"""The rate is that of stored weights, which the mapping network's layers scale by 0.01."""


class ObjectCodes(nn.Module):
    """A style for the geometry and one for the texture of each of some objects; zeros before they are known.

    Attributes:
        styles: [n, 2, w].
    """

    def __init__(self, objects: int, w_dim: int) -> None:
        super().__init__()
        self.styles = nn.Parameter(torch.zeros(objects, 2, w_dim))

    def forward(self, objects: Int[Tensor, " m"], noise: Float[Tensor, "m 2 w"] | None = None) -> Styles:
        """The styles (W) of objects by their numbers, with noise added."""
        styles = self.styles[objects]
        styles = styles if noise is None else styles + noise
        return Styles(styles[:, 0], styles[:, 1])


@dataclass(frozen=True)
class CodePrior:
    """A Gaussian of styles: mean + ε · directions with ε ~ N(0, I).

    Attributes:
        mean: of the styles.
        directions: principal axes, each as long as the standard deviation along it, the longest first.
    """

    mean: Float[Tensor, " w"]
    directions: Float[Tensor, "k w"]

    @classmethod
    def fitted(cls, styles: Float[Tensor, "n w"], components: int) -> "CodePrior":
        """The Gaussian with the mean and the greatest principal components of given styles."""
        mean = styles.mean(0)
        _, singular, axes = torch.linalg.svd(styles - mean, full_matrices=False)
        scale = singular[:components] / max(len(styles) - 1, 1) ** 0.5
        return cls(mean, scale[:, None] * axes[: len(scale)])

    def __call__(self, latents: Float[Tensor, "n z"]) -> Float[Tensor, "n w"]:
        """The styles that latents stand for: their first k numbers are the ε, the others say nothing."""
        count = min(latents.shape[1], len(self.directions))
        return self.mean + latents[:, :count] @ self.directions[:count]


@torch.enable_grad()
def teach_mapping(
    mapping: MappingNetwork,
    priors: Sequence[CodePrior],
    generator: torch.Generator,
    steps: int,
) -> float:
    """Trains a mapping network by regression to give priors' styles, and returns the share of their variance it misses.

    The network normalises its latent, so what stands for ε is z/√mean(z²), which is N(0, I) but for its length.

    Args:
        mapping: changed in place; its mean style becomes that of the priors.
        priors: one, or with labels one for each class.
        generator: draws latents and classes, on the CPU.
        steps: of Adam, whose rate falls to 0 by half a cosine.
    """
    device = mapping.w_avg.device
    learner = copy.deepcopy(mapping).requires_grad_(True)
    optimizer = torch.optim.Adam(learner.parameters(), lr=TEACHING_RATE, betas=(0.9, 0.99))
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps)
    variance = sum(float(prior.directions.square().sum()) for prior in priors) / len(priors)
    missed = 1.0
    for _ in range(steps):
        z = torch.randn(TEACHING_BATCH, mapping.z_dim, generator=generator).to(device)
        unit = z * z.square().mean(1, keepdim=True).rsqrt()
        label = None
        if mapping.label_dim:
            label = torch.randint(len(priors), (len(z),), generator=generator).to(device)
            wanted = torch.stack([prior(unit) for prior in priors])[label, torch.arange(len(z), device=device)]
        else:
            wanted = priors[0](unit)
        error = (learner(z, label) - wanted).square().sum(1).mean() / max(variance, 1e-12)
        optimizer.zero_grad()
        error.backward()
        optimizer.step()
        schedule.step()
        missed = 0.95 * missed + 0.05 * float(error.detach())
    means = torch.stack([prior.mean for prior in priors])
    learner.w_avg.copy_(means if mapping.label_dim else means[0])
    mapping.load_state_dict(learner.state_dict())
    return missed
