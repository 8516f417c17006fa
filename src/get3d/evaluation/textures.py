"""Quality of the textures of generated shapes."""

import torch

from get3d.evaluation.drawing import Sampling
from get3d.export import textured_mesh
from get3d.generator import Generator
from get3d.metrics.quality import TextureQuality, texture_quality

__all__ = ["examine_texture"]

_SIDE = 512
_FACES = 20_000


@torch.no_grad()
def examine_texture(generator: Generator, sampling: Sampling, number: int) -> TextureQuality | None:
    """Bakes the texture of a shape and examines it; None if the shape is empty."""
    shapes = sampling.shapes(generator, [number])
    if shapes.surfaces.empty[0]:
        return None
    (mesh,) = shapes.surfaces.meshes.split()
    return texture_quality(textured_mesh(mesh, shapes.material(0), _SIDE, _FACES))
