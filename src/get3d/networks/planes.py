"""Tri-plane synthesis: styles become three planes of features, with the skip architecture of StyleGAN2."""

import torch
from jaxtyping import Float
from torch import Tensor, nn

from get3d.networks.config import PlanesConfig
from get3d.networks.layers import ModulatedConv, ModulatedOutput, upsample

__all__ = ["PlaneSynthesis", "PlanesConfig"]


class PlaneBlock(nn.Module):
    """One resolution: upsampled and convolved features (at 4×4 a convolved constant), and their output planes."""

    def __init__(self, inputs: int, width: int, *, resolution: int, style: int, outputs: tuple[int, ...]) -> None:
        super().__init__()
        if inputs:
            self.conv0 = ModulatedConv(inputs, width, style=style, resolution=resolution, up=True)
        else:
            self.constant = nn.Parameter(torch.randn(width, resolution, resolution))
        self.conv1 = ModulatedConv(width, width, style=style, resolution=resolution)
        self.outputs = nn.ModuleList(ModulatedOutput(width, count, style=style) for count in outputs)

    def forward(
        self, x: Tensor | None, sums: list[Tensor], convolutions: list[Tensor], outputs: list[Tensor]
    ) -> tuple[Tensor, list[Tensor]]:
        """Features of this resolution, and the upsampled sums of output planes with this block's added.

        Args:
            x: features of half the resolution; None at 4×4.
            sums: of the outputs of the earlier blocks, at half the resolution, one of each kind; none at 4×4.
            convolutions: the style of each convolution.
            outputs: the style of each read-out.
        """
        if x is None:
            x = self.constant.expand(outputs[0].shape[0], -1, -1, -1).contiguous(memory_format=torch.channels_last)
        else:
            x = self.conv0(x, convolutions[0])
        x = self.conv1(x, convolutions[-1])
        onto = map(upsample, sums) if sums else [None] * len(outputs)
        full = self.conv1.weight.dtype
        return x, [output(x, *rest).to(full) for output, *rest in zip(self.outputs, outputs, onto, strict=True)]


class PlaneSynthesis(nn.Module):
    """Tri-planes of one kind (texture) or two (geometry and texture, from the same features).

    Every block adds its output to the upsampled sum of the earlier blocks (Karras et al. 2020, figure 7b).

    Args:
        config: sizes.
        style: size of the style code.
        kinds: how many kinds of planes are read out. The first takes its styles from the same sequence as the
            convolutions; a second has styles of its own, one a block.

    Attributes:
        num_styles: how many styles the sequence has: one per convolution and per first read-out.
        num_extra_styles: how many styles of its own each further kind takes: one per block.
    """

    def __init__(self, config: PlanesConfig, *, style: int, kinds: int = 1) -> None:
        super().__init__()
        widths = config.widths()
        outputs = (3 * config.channels,) * kinds
        self.blocks = nn.ModuleList(
            PlaneBlock(widths.get(resolution // 2, 0), width, resolution=resolution, style=style, outputs=outputs)
            for resolution, width in widths.items()
        )
        self.num_styles = 3 * len(self.blocks) - 1
        self.num_extra_styles = len(self.blocks)

    def read_outs(self, kind: int) -> nn.ModuleList:
        """The layers that read planes of one kind from the features."""
        return nn.ModuleList(block.get_submodule(f"outputs.{kind}") for block in self.blocks)

    def forward(
        self, styles: Float[Tensor, "n l s"], *extra: Float[Tensor, "n b s"]
    ) -> tuple[Float[Tensor, "n 3 c r r"], ...]:
        """Planes of each kind.

        Args:
            styles: the sequence: conv, read-out of the 4×4 block; conv, conv, read-out of every other block.
            extra: the styles of each further kind.

        Returns:
            For each kind, planes (x, y), (y, z) and (x, z); a plane's first coordinate runs along its width.
        """
        x: Tensor | None = None
        sums: list[Tensor] = []
        taken = 0
        for number, block in enumerate(self.blocks):
            convolutions = 2 if number else 1
            *own, first = styles[:, taken : taken + convolutions + 1].unbind(1)
            taken += convolutions + 1
            x, sums = block(x, sums, own, [first, *(code[:, number] for code in extra)])
        return tuple(planes.unflatten(1, (3, -1)) for planes in sums)
