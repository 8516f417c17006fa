"""How good generated pictures and shapes are."""

from get3d.metrics.images import sliced_wasserstein_distance, sliced_wasserstein_levels

__all__ = ["sliced_wasserstein_distance", "sliced_wasserstein_levels"]
