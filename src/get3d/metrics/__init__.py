"""How good generated images and shapes are."""

from get3d.metrics.features import frechet_distance
from get3d.metrics.lightfield import LightFieldDescriptors, light_field_descriptors, light_field_distance
from get3d.metrics.point_clouds import chamfer_distance, coverage, minimum_matching_distance, nearest_neighbour_accuracy
from get3d.metrics.sampling import in_unit_cube, sample_outer_surface, sample_surface
from get3d.metrics.sliced_wasserstein import sliced_wasserstein_distance, sliced_wasserstein_levels

__all__ = [
    "LightFieldDescriptors",
    "chamfer_distance",
    "coverage",
    "frechet_distance",
    "in_unit_cube",
    "light_field_descriptors",
    "light_field_distance",
    "minimum_matching_distance",
    "nearest_neighbour_accuracy",
    "sample_outer_surface",
    "sample_surface",
    "sliced_wasserstein_distance",
    "sliced_wasserstein_levels",
]
