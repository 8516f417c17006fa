"""Material channels, one table row each, used by networks, baking and all writers of files.

A new channel is one row of `CHANNELS`. A network outputs a channel if its configuration names it (`channels`). An
object has it as a texture, as a constant, or by default. A file contains it if the format has a slot for it.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from torch import Tensor

from get3d.files import InputError

__all__ = [
    "BASE_COLOR",
    "CHANNELS",
    "NORMAL",
    "Channel",
    "GltfSlot",
    "Material",
    "MtlSlot",
    "initial_outputs",
    "require_channels",
    "split",
]

BASE_COLOR, NORMAL = "base_color", "normal"

Material = Callable[[Tensor], Mapping[str, Tensor]]
"""A function of points [P, 3] that returns the values [P, components] of each channel, in the network's range."""


@dataclass(frozen=True)
class GltfSlot:
    """Where a channel goes in a glTF material (glTF 2.0, section 3.9).

    Attributes:
        texture: name of the texture, which several channels may share.
        factor: name of the factor that multiplies the texture; None if there is none.
        lane: the first component of the texture that belongs to the channel.
        inside: whether both are inside `pbrMetallicRoughness`.
        alpha: whether the factor has an additional alpha component.
    """

    texture: str
    factor: str | None
    lane: int = 0
    inside: bool = True
    alpha: bool = False


@dataclass(frozen=True)
class MtlSlot:
    """The .mtl keywords of a channel: for its constant, None if there is none, and for its texture."""

    value: str | None
    map: str


@dataclass(frozen=True)
class Channel:
    """One property of a surface.

    Attributes:
        name: its name in configurations, textures and file names.
        components: number of components at a point.
        color_space: "srgb" if files store it encoded, "linear" for data.
        network_range: network outputs for the lowest and highest value in a file.
        default: default value as in files, 0 to 1.
        gltf: its slot in glTF; None if there is none.
        mtl: its slot in .mtl; None if there is none.
        usd: the UsdPreviewSurface input; None if there is none.
        learnt: whether a network can make it; otherwise it is made from the mesh.
    """

    name: str
    components: int
    color_space: Literal["srgb", "linear"]
    network_range: tuple[float, float]
    default: tuple[float, ...]
    gltf: GltfSlot | None
    mtl: MtlSlot | None
    usd: str | None
    learnt: bool = True


CHANNELS: dict[str, Channel] = {
    channel.name: channel
    for channel in (
        Channel(
            name=BASE_COLOR,
            components=3,
            color_space="srgb",
            network_range=(-1.0, 1.0),
            default=(0.8, 0.8, 0.8),
            gltf=GltfSlot("baseColorTexture", "baseColorFactor", alpha=True),
            mtl=MtlSlot("Kd", "map_Kd"),
            usd="diffuseColor",
        ),
        Channel(
            name="roughness",
            components=1,
            color_space="linear",
            network_range=(-1.0, 1.0),
            default=(0.6,),
            gltf=GltfSlot("metallicRoughnessTexture", "roughnessFactor", lane=1),
            mtl=MtlSlot("Pr", "map_Pr"),
            usd="roughness",
        ),
        Channel(
            name="metallic",
            components=1,
            color_space="linear",
            network_range=(-1.0, 1.0),
            default=(0.0,),
            gltf=GltfSlot("metallicRoughnessTexture", "metallicFactor", lane=2),
            mtl=MtlSlot("Pm", "map_Pm"),
            usd="metallic",
        ),
        Channel(
            name=NORMAL,
            components=3,
            color_space="linear",
            network_range=(-1.0, 1.0),
            default=(0.5, 0.5, 1.0),
            gltf=GltfSlot("normalTexture", None, inside=False),
            mtl=MtlSlot(None, "norm"),
            usd="normal",
            learnt=False,
        ),
    )
}


def require_channels(names: Sequence[str], where: object) -> None:
    """Checks that a network can output these channels.

    Raises:
        InputError: a channel is unknown or repeated, or the base colour, which images show, is not the first.
    """
    known = [channel.name for channel in CHANNELS.values() if channel.learnt]
    unknown = [name for name in names if name not in known]
    if unknown:
        raise InputError(f"{where}: there is no channel {unknown[0]!r}; the channels are {', '.join(known)}")
    if not names or names[0] != BASE_COLOR or len(set(names)) < len(names):
        raise InputError(f"{where}: the channels are {list(names)}; name each once, {BASE_COLOR} first")


def initial_outputs(names: Sequence[str]) -> list[float]:
    """What an untrained network gives for these channels: grey, and of all others the default.

    Images explain a new channel poorly at first. From a metallic of one half, training would not find back to 0.

    Raises:
        InputError: as `require_channels`.
    """
    require_channels(names, "channels")
    found: list[float] = []
    for channel in (CHANNELS[name] for name in names):
        low, high = channel.network_range
        values = (0.5,) * channel.components if channel.name == BASE_COLOR else channel.default
        found += [low + (high - low) * value for value in values]
    return found


def split(values: Tensor, names: Sequence[str]) -> dict[str, Tensor]:
    """Splits network outputs [..., outputs] into channels, in the order of the names."""
    if len(names) == 1:
        return {names[0]: values}
    sizes = [CHANNELS[name].components for name in names]
    return dict(zip(names, values.split(sizes, dim=-1), strict=True))
