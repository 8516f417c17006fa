"""Codes of known objects in W, a prior fitted to them, and mapping networks that are taught to give that prior.

A generator that reconstructs objects from free codes is an auto-decoder (Bojanowski et al. 2018, "Optimizing the Latent
Space of Generative Networks"; Park et al. 2019, "DeepSDF"). What makes it generative is a distribution of the codes:
one around the codes, for geometry and texture apart, so that each can be drawn without the other.
"""

import copy
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from get3d.latents import Styles
from get3d.networks import MappingNetwork
from get3d.networks.mapping import normalized

__all__ = ["CodePrior", "ObjectCodes", "teach_mapping", "transport"]

TEACHING_BATCH, TEACHING_RATE = 256, 2.0
"""The rate is that of stored weights, which the mapping network's layers scale by 0.01."""
TEACHING_LATENTS = 2**15
"""Latents whose styles are computed, because each takes a flow; steps choose among them."""
_FLOW_BATCH = 1024


class ObjectCodes(nn.Module):
    """A style for the geometry and one for the texture of each of some objects; zeros before they are known.

    Attributes:
        styles: [n, 2, w].
    """

    def __init__(self, objects: int, w_dim: int) -> None:
        super().__init__()
        self.styles = nn.Parameter(torch.zeros(objects, 2, w_dim))

    def forward(self, objects: Int[Tensor, " m"], noise: Float[Tensor, "m 2 w"] | None = None) -> Styles:
        """The styles (W) of objects by their numbers, with noise added.

        Args:
            objects: their numbers.
            noise: as a share of the root mean square of all objects' styles, of geometry and of texture.
        """
        styles = self.styles[objects]
        if noise is not None:
            styles = styles + self.styles.detach().square().mean((0, 2))[:, None].sqrt() * noise
        return Styles(styles[:, 0], styles[:, 1])


@dataclass(frozen=True)
class CodePrior:
    """A distribution of styles around known ones: a smoothed bootstrap (Silverman 1986, section 6.4).

    A style is a known one, chosen at random, plus Gaussian noise of `bandwidth` times the spread of all; known styles
    are drawn towards their mean, so that mean and covariance stay those of the known styles. With a bandwidth of 1 it
    is the Gaussian of the known styles: between objects of different kinds it gives shapes that are neither. With 0 it
    would repeat the known styles.

    Attributes:
        mean: of the styles.
        directions: principal axes, each as long as the standard deviation along it, the longest first.
        centers: where noise is added, along the axes, in their lengths.
        bandwidth: standard deviation of the noise, in the lengths of the axes.
    """

    mean: Float[Tensor, " w"]
    directions: Float[Tensor, "k w"]
    centers: Float[Tensor, "n k"]
    bandwidth: float

    @classmethod
    def fitted(cls, styles: Float[Tensor, "n w"], components: int, bandwidth: float = 1.0) -> "CodePrior":
        """The distribution around given styles, along their greatest principal components."""
        mean, root = styles.mean(0), max(len(styles) - 1, 1) ** 0.5
        left, singular, axes = torch.linalg.svd(styles - mean, full_matrices=False)
        centers = (1 - bandwidth**2) ** 0.5 * root * left[:, :components]
        return cls(mean, singular[:components, None] / root * axes[:components], centers, bandwidth)

    def __call__(self, latents: Float[Tensor, "n z"]) -> Float[Tensor, "n w"]:
        """The styles that latents stand for: their first k numbers begin the flow, the others say nothing."""
        count = min(latents.shape[1], len(self.directions))
        x = latents[:, :count]
        if self.bandwidth < 1:
            x = transport(x, self.centers[:, :count], self.bandwidth)
        return self.mean + x @ self.directions[:count]


def transport(
    x: Float[Tensor, "n k"], centers: Float[Tensor, "m k"], bandwidth: float, steps: int = 16
) -> Float[Tensor, "n k"]:
    """Moves points of N(0, I) so that they follow a mixture of Gaussians; neighbours stay neighbours.

    The probability flow along x(t) = (1 − t) ε + t y between noise ε and samples y of the mixture (Lipman et al. 2023,
    "Flow Matching for Generative Modeling"), whose velocity E[y − ε | x(t)] has a closed form here. Heun's method.

    Args:
        x: points of N(0, I).
        centers: of the mixture's m equal parts.
        bandwidth: standard deviation of each part along each axis.
        steps: of the integration from t = 0 to 1.
    """
    squares = centers.square().sum(1)

    def velocity(x: Tensor, t: float) -> Tensor:
        variance = (1 - t) ** 2 + (t * bandwidth) ** 2
        part = torch.softmax((t * x @ centers.T - 0.5 * t**2 * squares) / variance, dim=1)
        center = part @ centers
        return center + (t * bandwidth**2 - (1 - t)) / variance * (x - t * center)

    for number in range(steps):
        now, then = number / steps, (number + 1) / steps
        first = velocity(x, now)
        x = x + 0.5 / steps * (first + velocity(x + first / steps, then))
    return x


@torch.enable_grad()
def teach_mapping(
    mapping: MappingNetwork,
    priors: Sequence[CodePrior],
    generator: torch.Generator,
    steps: int,
) -> float:
    """Trains a mapping network by regression to give priors' styles, and returns the share of their variance it misses.

    The network normalises its latent, so what flows is z/√mean(z²), which is N(0, I) but for its length. The network is
    smoother than a flow among many centers: it misses more of the variance where these are far from each other.

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
    latents = torch.randn(TEACHING_LATENTS, mapping.z_dim, generator=generator).to(device)
    parts = normalized(latents).split(_FLOW_BATCH)
    styles = torch.stack([torch.cat([prior(part) for part in parts]) for prior in priors])
    missed = 1.0
    for _ in range(steps):
        chosen = torch.randint(len(latents), (TEACHING_BATCH,), generator=generator).to(device)
        drawn = torch.randint(len(priors), (TEACHING_BATCH,), generator=generator).to(device)
        given = learner(latents[chosen], drawn if mapping.label_dim else None)
        error = (given - styles[drawn, chosen]).square().sum(1).mean() / max(variance, 1e-12)
        optimizer.zero_grad()
        error.backward()
        optimizer.step()
        schedule.step()
        missed = 0.95 * missed + 0.05 * float(error.detach())
    means = torch.stack([prior.mean for prior in priors])
    learner.w_avg.copy_(means if mapping.label_dim else means[0])
    mapping.load_state_dict(learner.state_dict())
    return missed
