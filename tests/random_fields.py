"""Random networks and points for the tests of the two kinds of fields."""

import torch
from torch import Tensor

from get3d.networks.config import SeparateConfig, UnifiedConfig
from get3d.networks.fields import Fields, UnifiedSynthesis
from get3d.networks.synthesis import build_synthesis
from get3d.networks.volume import SeparateSynthesis

SIZE = 0.8


def random_fields(
    config: UnifiedConfig | SeparateConfig, n: int = 2, style: int = 6, cell_values: int = 21
) -> tuple[UnifiedSynthesis | SeparateSynthesis, Fields]:
    """A network whose biases are not zero, and the fields of n random styles."""
    torch.manual_seed(0)
    network = build_synthesis(config, style=style, size=SIZE, cell_values=cell_values)
    for name, parameter in network.named_parameters():
        if name.endswith("bias") and "affine" not in name:
            torch.nn.init.normal_(parameter)
    geometry = torch.randn(n, network.num_geometry_styles, style)
    return network, network(geometry, torch.randn(n, network.num_texture_styles, style))


def random_points(n: int, count: int) -> Tensor:
    """Also outside of the cube, and on its faces."""
    points = 1.2 * SIZE * (torch.rand(n, count, 3, generator=torch.Generator().manual_seed(1)) - 0.5)
    points[:, :8] = points[:, :8].sign() * SIZE / 2
    return points
