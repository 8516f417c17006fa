"""How good generated pictures and shapes are."""

from get3d.metrics.images import sliced_wasserstein_distance, sliced_wasserstein_levels
from get3d.metrics.lightfield import LightFieldDescriptors, light_field_descriptors, light_field_distance

__all__ = [
    "LightFieldDescriptors",
    "light_field_descriptors",
    "light_field_distance",
    "sliced_wasserstein_distance",
    "sliced_wasserstein_levels",
]
