"""From a model to folders of new objects, variations of one, and ways from one to another."""

from get3d.checkpoints.release import ReleaseConfig, list_models, release
from get3d.generation.generate import GenerateConfig, generate, validate
from get3d.generation.interpolation import InterpolateConfig, VaryConfig, interpolate, vary

__all__ = [
    "GenerateConfig",
    "InterpolateConfig",
    "ReleaseConfig",
    "VaryConfig",
    "generate",
    "interpolate",
    "list_models",
    "release",
    "validate",
    "vary",
]
