"""Codes of known objects in W (DeepSDF, Park et al. 2019; GLO, Bojanowski et al. 2018)."""

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from get3d.latents import Styles

__all__ = ["ObjectCodes"]


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
