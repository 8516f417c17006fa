"""From a model to folders of new objects, variations of one, and ways from one to another."""

from get3d.gallery.generate import GenerateConfig, generate, prove
from get3d.gallery.plan import read_plan, write_shape_list
from get3d.gallery.release import ReleaseConfig, list_models, release
from get3d.gallery.walks import InterpolateConfig, VaryConfig, interpolate, vary

__all__ = [
    "GenerateConfig",
    "InterpolateConfig",
    "ReleaseConfig",
    "VaryConfig",
    "generate",
    "interpolate",
    "list_models",
    "prove",
    "read_plan",
    "release",
    "vary",
    "write_shape_list",
]
