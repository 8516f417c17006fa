"""Mappings: from a latent code to the style that modulates a synthesis network."""

from abc import ABC, abstractmethod

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from get3d.networks.layers import Dense

__all__ = ["Mapping", "MappingNetwork", "normalized", "one_hot", "require_label"]

LR_MULTIPLIER = 0.01


def normalized(x: Float[Tensor, "n c"]) -> Float[Tensor, "n c"]:
    """Each row scaled to a second moment of one: x / √(mean(x²) + 1e-8)."""
    return x * torch.rsqrt(x.square().mean(1, keepdim=True) + 1e-8)


def require_label(label: Int[Tensor, " n"] | None, classes: int) -> None:
    """Checks that class numbers are given where there are classes, and only there.

    Raises:
        ValueError: they are missing, or there are no classes.
    """
    if (label is None) != (classes == 0):
        raise ValueError(f"a network of {classes} classes needs {'a' if classes else 'no'} label")


def one_hot(label: Int[Tensor, " n"] | None, classes: int, like: Tensor) -> Float[Tensor, "n k"]:
    """Class numbers as rows with a single one; no columns where there are no classes.

    Args:
        label: class numbers, or None.
        classes: how many there are; 0 is a network without labels.
        like: a tensor of n rows, which gives count, dtype and device.

    Raises:
        ValueError: a label is given to a network without labels, or missing where one is needed.
    """
    require_label(label, classes)
    if label is None:
        return like.new_zeros(like.shape[0], 0)
    return torch.nn.functional.one_hot(label.long(), classes).to(like.dtype)


class Mapping(nn.Module, ABC):
    """From a latent code z to a style w, with a mean style.

    Args:
        z_dim: size of z.
        w_dim: size of w.
        label_dim: number of classes; 0 for none.

    Attributes:
        w_avg: the mean style, towards which styles are truncated; with labels one for each class.
    """

    w_avg: Float[Tensor, "*k w"]

    def __init__(self, *, z_dim: int, w_dim: int, label_dim: int = 0) -> None:
        super().__init__()
        self.label_dim = label_dim
        self.z_dim = z_dim
        self.w_dim = w_dim
        self.register_buffer("w_avg", torch.zeros((label_dim, w_dim) if label_dim else w_dim))

    def truncate(
        self, style: Float[Tensor, "n w"], psi: float, label: Int[Tensor, " n"] | None = None
    ) -> Float[Tensor, "n w"]:
        """Styles drawn nearer to the mean style: w_avg + ψ·(w − w_avg); ψ = 1 changes nothing, 0 gives the mean.

        With labels, the mean is that of a style's class: between classes lies nothing that is of any.
        """
        if psi == 1:
            return style
        mean = self.w_avg if label is None else self.w_avg[label]
        return mean.lerp(style, psi)

    @abstractmethod
    def mean_style(self, samples: int, generator: torch.Generator) -> Float[Tensor, "*k w"]:
        """The mean style of that many random codes, drawn on the generator's device; with labels, of each class."""


class MappingNetwork(Mapping):
    """Dense layers from a latent code z to a style w (Karras et al. 2019, "A style-based generator architecture").

    With labels, a normalised, learned embedding of the class is concatenated with the normalised z.

    Args:
        z_dim: size of z.
        w_dim: size of w.
        layers: number of dense layers.
        label_dim: number of classes; 0 for none.
    """

    def __init__(self, *, z_dim: int, w_dim: int, layers: int = 8, label_dim: int = 0) -> None:
        super().__init__(z_dim=z_dim, w_dim=w_dim, label_dim=label_dim)
        self.embed = Dense(label_dim, w_dim) if label_dim else None
        inputs = z_dim + (w_dim if label_dim else 0)
        self.layers = nn.ModuleList(
            Dense(inputs if i == 0 else w_dim, w_dim, active=True, lr_multiplier=LR_MULTIPLIER) for i in range(layers)
        )

    def forward(self, z: Float[Tensor, "n z"], label: Int[Tensor, " n"] | None = None) -> Float[Tensor, "n w"]:
        """Styles of latent codes.

        Raises:
            ValueError: a label is given to a network without labels, or missing where one is needed.
        """
        hot = one_hot(label, self.label_dim, z)
        x = normalized(z)
        if self.embed is not None:
            x = torch.cat([x, normalized(self.embed(hot))], dim=1)
        for layer in self.layers:
            x = layer(x)
        return x

    @torch.no_grad()
    def mean_style(self, samples: int, generator: torch.Generator) -> Float[Tensor, "*k w"]:
        """The mean style of that many random codes, drawn on the generator's device; with labels, of each class."""
        if not self.label_dim:
            return self._mean(samples, generator, None)
        each = -(-samples // self.label_dim)
        return torch.stack([self._mean(each, generator, label) for label in range(self.label_dim)])

    def _mean(self, samples: int, generator: torch.Generator, label: int | None) -> Float[Tensor, " w"]:
        total = torch.zeros(self.w_dim, dtype=torch.float64, device=generator.device)
        for start in range(0, samples, 10_000):
            count = min(10_000, samples - start)
            z = torch.randn(count, self.z_dim, generator=generator, device=generator.device)
            labels = None if label is None else torch.full((count,), label, device=generator.device)
            total += self(z, labels).double().sum(0)
        return (total / samples).to(self.w_avg.dtype)
