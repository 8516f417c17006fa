"""The network of each synthesis configuration: one table row for each."""

from typing import Any

from get3d.networks.config import SeparateConfig, UnifiedConfig
from get3d.networks.fields import UnifiedSynthesis
from get3d.networks.volume import SeparateSynthesis

__all__ = ["build_synthesis"]

_NETWORKS: dict[type, Any] = {
    UnifiedConfig: UnifiedSynthesis,
    SeparateConfig: SeparateSynthesis,
}


def build_synthesis(
    config: UnifiedConfig | SeparateConfig, *, style: int, size: float, cell_values: int
) -> UnifiedSynthesis | SeparateSynthesis:
    """The network of a configuration, with random weights.

    Args:
        config: sizes of the network.
        style: size of the style codes.
        size: side of the cube that the fields fill.
        cell_values: number of values that the isosurface needs for each cell of its grid; 0 for none.
    """
    network: UnifiedSynthesis | SeparateSynthesis
    network = _NETWORKS[type(config)](config, style=style, size=size, cell_values=cell_values)
    return network
