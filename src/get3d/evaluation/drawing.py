"""Sampling and rendering of shapes for evaluation, the same for point sets, meshes, images and textures."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from importlib.metadata import version

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from get3d.cameras import Cameras
from get3d.evaluation.resumable import digest
from get3d.generator import Generator, Shapes, Styles, mix
from get3d.latents import Latents
from get3d.shapes import BACKGROUND
from get3d.storage import checksum, describe

__all__ = ["Sampling", "generator_key", "images_of"]


@dataclass(frozen=True)
class Sampling:
    """How shapes are sampled from a generator: shape i has the seed `seed + i`, independent of other shapes.

    Attributes:
        seed: seed of the first shape.
        psi: truncation.
        style_mixing: probability, for geometry and for texture, that the later layers take the styles of a second
            latent, as in training; 0 for none.
    """

    seed: int = 0
    psi: float = 1.0
    style_mixing: float = 0.0

    @torch.no_grad()
    def styles(self, generator: Generator, numbers: Sequence[int]) -> Styles:
        """Styles of some of the shapes."""
        parts = [generator.sample_latents(1, self.seed + number) for number in numbers]
        labels = [part.label for part in parts if part.label is not None]
        latents = Latents(
            torch.cat([part.geometry for part in parts]),
            torch.cat([part.texture for part in parts]),
            torch.cat(labels) if labels else None,
        )
        styles = generator.styles(latents, self.psi)
        if not self.style_mixing:
            return styles
        draws = [_second(self.seed + number) for number in numbers]
        codes = torch.stack([torch.randn(2, generator.config.z_dim, generator=draw) for draw in draws])
        uniform = torch.stack([torch.rand(2, 2, generator=draw) for draw in draws])
        mixing = torch.where(uniform[:, 1] < self.style_mixing, uniform[:, 0], 1.0).to(latents.geometry)
        second = codes.to(latents.geometry)
        others = Latents(second[:, 0], second[:, 1], latents.label)
        return mix(styles, generator.styles(others, self.psi), mixing)

    @torch.no_grad()
    def shapes(self, generator: Generator, numbers: Sequence[int]) -> Shapes:
        """Some of the shapes; their surfaces say which are empty."""
        return generator.shapes(self.styles(generator, numbers))

    def key(self, generator: Generator) -> str:
        """A key that identifies these shapes of this generator."""
        return digest(generator_key(generator), asdict(self))


def _second(seed: int) -> torch.Generator:
    """What the second latent of a seed is drawn from; it has nothing in common with any seed's own latent."""
    return torch.Generator().manual_seed(int(np.random.SeedSequence([seed, 1]).generate_state(1, np.uint64)[0] >> 1))


def generator_key(generator: Generator) -> str:
    """A key that identifies a generator: weights, complete configuration, current grid, code version."""
    tensors = {name: tensor.detach().cpu() for name, tensor in generator.state_dict().items()}
    grid = generator.isosurface.grid.resolution
    return digest(checksum(tensors), describe(generator.config), grid, version("get3d"))


@torch.no_grad()
def images_of(
    generator: Generator, shapes: Shapes, cameras: Cameras, resolution: int
) -> Float[Tensor, "n 4 {resolution} {resolution}"]:
    """RGB in about [−1, 1] on black, and masks in [0, 1], as the networks use them; an empty shape shows nothing.

    Args:
        generator: the generator of the shapes.
        shapes: n shapes.
        cameras: n cameras, the i-th for the i-th shape.
        resolution: side in pixels.
    """
    turn = None
    if generator.config.light.turned:
        # As evenly spread as the drawn cameras' angles, and the same in whatever batch.
        turn = (cameras.angles[:, 0] * 1000) % (2 * torch.pi)
    images = shapes.draw(cameras, resolution, turn=turn)
    empty = shapes.surfaces.empty[:, None, None, None]
    return torch.cat([torch.where(empty, BACKGROUND, images.rgb), torch.where(empty, 0.0, images.mask)], dim=1)
