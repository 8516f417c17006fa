"""What a surface looks like, as named channels: one row each, which networks, baking and all writers of files go by.

A new channel is one row of `CHANNELS`. A network makes it when its configuration names it (`channels`); an object has
it as a texture, as a constant, or by its default; a file gets it where its format has a slot for it.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from torch import Tensor

from get3d.files import InputError

__all__ = [
    "BASE_COLOR",
    "CHANNELS",
    "Channel",
    "GltfSlot",
    "Material",
    "MtlSlot",
    "outputs",
    "require_channels",
    "split",
]

BASE_COLOR = "base_color"

Material = Callable[[Tensor], Mapping[str, Tensor]]
"""Takes points [P, 3] and gives for each channel its values there [P, components], in the network's range."""


@dataclass(frozen=True)
class GltfSlot:
    """Where a channel goes in a glTF material (glTF 2.0, section 3.9).

    Attributes:
        texture: name of the texture, which several channels may share.
        factor: name of the factor, that of a texture's values; None where there is none.
        lane: the first component of the texture that is the channel's.
        inside: whether both stand in `pbrMetallicRoughness`, or beside it.
        alpha: whether the factor ends with one for alpha.
    """

    texture: str
    factor: str | None
    lane: int = 0
    inside: bool = True
    alpha: bool = False


@dataclass(frozen=True)
class MtlSlot:
    """The keywords of a channel in an .mtl: of its constant, and of its texture."""

    value: str
    map: str


@dataclass(frozen=True)
class Channel:
    """One property of a surface.

    Attributes:
        name: by which configurations, textures and file names call it.
        components: how many numbers it has at a place.
        color_space: "srgb" where files hold it encoded, "linear" where it is data.
        network_range: what a network gives for a file's lowest and highest value.
        default: its value where nothing else is said, as files hold it, 0 to 1.
        gltf: its place in glTF; None where there is none.
        mtl: its place in .mtl; None where there is none.
        usd: the input of UsdPreviewSurface that it is; None where there is none.
    """

    name: str
    components: int
    color_space: Literal["srgb", "linear"]
    network_range: tuple[float, float]
    default: tuple[float, ...]
    gltf: GltfSlot | None
    mtl: MtlSlot | None
    usd: str | None


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
    )
}


def require_channels(names: Sequence[str], where: object) -> None:
    """Sees to it that a network can make these channels.

    Raises:
        InputError: one is unknown or comes twice, or the base colour, which images show, is not the first.
    """
    unknown = [name for name in names if name not in CHANNELS]
    if unknown:
        raise InputError(f"{where}: there is no channel {unknown[0]!r}; the channels are {', '.join(CHANNELS)}")
    if not names or names[0] != BASE_COLOR or len(set(names)) < len(names):
        raise InputError(f"{where}: the channels are {list(names)}; name each once, {BASE_COLOR} first")


def outputs(names: Sequence[str]) -> int:
    """How many numbers a network gives at a point for these channels.

    Raises:
        InputError: as `require_channels`.
    """
    require_channels(names, "channels")
    return sum(CHANNELS[name].components for name in names)


def split(values: Tensor, names: Sequence[str]) -> dict[str, Tensor]:
    """Numbers that a network gives, [..., outputs], by channel, in the order of the names."""
    if len(names) == 1:
        return {names[0]: values}
    sizes = [CHANNELS[name].components for name in names]
    return dict(zip(names, values.split(sizes, dim=-1), strict=True))
