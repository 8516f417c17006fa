"""Random styles around known ones: a distribution, and the flow from latents to it.

A generator that reconstructs objects from free codes is an auto-decoder (Bojanowski et al. 2018, "Optimizing the Latent
Space of Generative Networks"; Park et al. 2019, "DeepSDF"). What makes it generative is a distribution of the codes:
one around the codes, for geometry and texture apart, so that each can be drawn without the other.
"""

from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from get3d.networks.config import PriorConfig
from get3d.networks.mapping import Mapping, normalized, require_label

__all__ = ["PriorMapping", "StylePrior", "transport"]

_STEPS = 16
"""Steps of the flow."""

_SHORTEST = 1e-12
"""Square length of an axis below which styles do not vary along it."""


@dataclass(frozen=True)
class StylePrior:
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
    def fitted(cls, styles: Float[Tensor, "n w"], components: int, bandwidth: float = 1.0) -> "StylePrior":
        """The distribution around given styles, along their greatest principal components."""
        mean, root = styles.mean(0), max(len(styles) - 1, 1) ** 0.5
        left, singular, axes = torch.linalg.svd(styles - mean, full_matrices=False)
        centers = (1 - bandwidth**2) ** 0.5 * root * left[:, :components]
        return cls(mean, singular[:components, None] / root * axes[:components], centers, bandwidth)


class PriorMapping(Mapping):
    """From a latent to a style of the distribution around known styles, by a flow that has a closed form.

    With labels, each class has a distribution of its own. There is nothing to learn in it: `fit` sets its buffers.

    Args:
        z_dim: size of z; the flow uses as many of its first numbers as there are axes.
        w_dim: size of w.
        prior: sizes, and the bandwidth.
        label_dim: number of classes; 0 for none.

    Attributes:
        directions: of each class, as in `StylePrior`; zeros where it has fewer.
        centers: of all classes.
        center_class: class of each center.
    """

    directions: Float[Tensor, "c k w"]
    centers: Float[Tensor, "n k"]
    center_class: Int[Tensor, " n"]

    def __init__(self, *, z_dim: int, w_dim: int, prior: PriorConfig, label_dim: int = 0) -> None:
        super().__init__(z_dim=z_dim, w_dim=w_dim, label_dim=label_dim)
        self.bandwidth = prior.bandwidth
        axes = min(prior.components, z_dim, w_dim)
        self.register_buffer("directions", torch.zeros(max(label_dim, 1), axes, w_dim))
        self.register_buffer("centers", torch.zeros(prior.styles, axes))
        self.register_buffer("center_class", torch.zeros(prior.styles, dtype=torch.long))

    @torch.no_grad()
    def fit(self, styles: Float[Tensor, "n w"], label: Int[Tensor, " n"]) -> None:
        """Puts the distributions around known styles.

        Where there are more than `prior.styles`, centers are some of them, evenly chosen; mean and axes are of all.

        Args:
            styles: the known styles.
            label: their classes, on any device; zeros without classes.
        """
        label = label.to(styles.device)
        chosen = torch.linspace(0, len(styles) - 1, len(self.centers), device=styles.device).round().long()
        self.center_class.copy_(label[chosen])
        self.directions.zero_()
        self.centers.zero_()
        for number in range(len(self.directions)):
            own = label == number
            prior = StylePrior.fitted(styles[own], self.directions.shape[1], self.bandwidth)
            axes = len(prior.directions)
            self.directions[number, :axes] = prior.directions
            place = own.cumsum(0) - 1
            here = chosen[own[chosen]]
            self.centers[self.center_class == number, :axes] = prior.centers[place[here]]
            (self.w_avg[number] if self.label_dim else self.w_avg).copy_(prior.mean)

    @torch.no_grad()
    def narrow(self, bandwidth: float) -> None:
        """Gives the distributions another bandwidth, with the same means and covariances.

        Raises:
            ValueError: the bandwidth was 1, with which the known styles are not held.
        """
        if self.bandwidth == 1:
            raise ValueError("a Gaussian of all styles does not hold them")
        self.centers *= ((1 - bandwidth**2) / (1 - self.bandwidth**2)) ** 0.5
        self.bandwidth = bandwidth

    @torch.no_grad()
    def known_styles(self) -> Float[Tensor, "n w"]:
        """The styles that `fit` was given, along the axes, for a mapping without labels.

        Raises:
            ValueError: there are labels, or the bandwidth was 1, with which the known styles are not held.
        """
        if self.label_dim or self.bandwidth == 1:
            raise ValueError("the known styles of one class are needed, and a bandwidth below 1")
        return self.w_avg + self.centers @ self.directions[0] / (1 - self.bandwidth**2) ** 0.5

    def forward(self, z: Float[Tensor, "n z"], label: Int[Tensor, " n"] | None = None) -> Float[Tensor, "n w"]:
        """Styles of latents.

        Raises:
            ValueError: a label is given to a mapping without labels, or missing where one is needed.
        """
        require_label(label, self.label_dim)
        # Rounding moves what lies between two centers.
        with torch.autocast(z.device.type, enabled=False):
            x = normalized(z)[:, : self.centers.shape[1]]
            among = None if label is None else label[:, None] == self.center_class
            if self.bandwidth < 1:
                x = transport(x, self.centers, self.bandwidth, among=among)
            if label is None:
                return self.w_avg + x @ self.directions[0]
            return self.w_avg[label] + torch.einsum("nk,nkw->nw", x, self.directions[label])

    def truncate(
        self, style: Float[Tensor, "n w"], psi: float, label: Int[Tensor, " n"] | None = None
    ) -> Float[Tensor, "n w"]:
        """Styles drawn nearer to the known ones around them (Mokady et al. 2022, "Self-Distilled StyleGAN").

        That is m + ψ·(w − m), where m is the mean of the centers that the style may have come from: E[center | w]. The
        mean of all would be between kinds of objects, and what lies there is of none.
        """
        if psi == 1:
            return style
        with torch.autocast(style.device.type, enabled=False):
            row = label if label is not None else torch.zeros(len(style), dtype=torch.long, device=style.device)
            mean, axes = (self.w_avg if label is None else self.w_avg[label]), self.directions[row]
            x = torch.einsum("nw,nkw->nk", style - mean, axes) / axes.square().sum(2).clamp(min=_SHORTEST)
            logits = -0.5 * torch.cdist(x, self.centers).square() / self.bandwidth**2
            part = torch.softmax(logits.masked_fill(self.center_class != row[:, None], -torch.inf), dim=1)
            return style + (psi - 1) * torch.einsum("nk,nkw->nw", x - part @ self.centers, axes)

    @torch.no_grad()
    def mean_style(self, samples: int, generator: torch.Generator) -> Float[Tensor, "*k w"]:
        """The mean of the known styles, of each class, which is that of random ones."""
        return self.w_avg


def transport(
    x: Float[Tensor, "n k"],
    centers: Float[Tensor, "m k"],
    bandwidth: float,
    steps: int = _STEPS,
    among: Bool[Tensor, "n m"] | None = None,
) -> Float[Tensor, "n k"]:
    """Moves points of N(0, I) so that they follow a mixture of Gaussians; neighbours stay neighbours.

    The probability flow along x(t) = (1 − t) ε + t y between noise ε and samples y of the mixture (Lipman et al. 2023,
    "Flow Matching for Generative Modeling"), whose velocity E[y − ε | x(t)] has a closed form here. Heun's method.

    Args:
        x: points of N(0, I).
        centers: of the mixture's m equal parts.
        bandwidth: standard deviation of each part along each axis.
        steps: of the integration from t = 0 to 1.
        among: the parts that the mixture of each point has; None for all.
    """
    squares = centers.square().sum(1)
    left_out = None if among is None else torch.zeros_like(among, dtype=x.dtype).masked_fill_(~among, -torch.inf)

    def velocity(x: Tensor, t: float) -> Tensor:
        variance = (1 - t) ** 2 + (t * bandwidth) ** 2
        logits = (t * x @ centers.T - 0.5 * t**2 * squares) / variance
        part = torch.softmax(logits if left_out is None else logits + left_out, dim=1)
        center = part @ centers
        return center + (t * bandwidth**2 - (1 - t)) / variance * (x - t * center)

    for number in range(steps):
        now, then = number / steps, (number + 1) / steps
        first = velocity(x, now)
        x = x + 0.5 / steps * (first + velocity(x + first / steps, then))
    return x
