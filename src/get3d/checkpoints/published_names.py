"""Names of published tensors, and the corresponding get3d names."""

from collections.abc import Mapping

from get3d.files import InputError
from get3d.generator_config import GeneratorConfig
from get3d.isosurface import ISOSURFACES
from get3d.materials import BASE_COLOR
from get3d.networks import DiscriminatorConfig, PlanesConfig, UnifiedConfig, VolumeConfig

__all__ = ["LOW_PASS_FILTER", "SEPARATE", "UNIFIED", "discriminator_names", "generator_names"]

_DENSE = {"weight": "weight", "bias": "bias"}
_MODULATED = {**_DENSE, "affine.weight": "affine.weight", "affine.bias": "affine.bias"}
_CONVOLUTION = {**_MODULATED, "noise_strength": "noise_strength", "noise_const": "noise_image"}

LOW_PASS_FILTER = "resample_filter"
UNIFIED = "synthesis.generator."
SEPARATE = "synthesis.geometry_synthesis_"


def generator_names(config: GeneratorConfig) -> dict[str, str | None]:
    """Our name of each tensor that a published generator of these sizes has; None for a low-pass filter.

    Raises:
        InputError: no published generator is like that.
    """
    synthesis, cells = config.synthesis, ISOSURFACES[config.isosurface].cell_values > 0
    if config.prior.styles:
        raise InputError("no published model has the random styles of a warm-up; keep this one in our format")
    if synthesis.channels != (BASE_COLOR,):
        channels = ", ".join(synthesis.channels)
        raise InputError(f"no published model makes the channels {channels}; keep this one in our format")
    if synthesis.texture_frequencies:
        raise InputError("no published model has textures of waves; keep this one in our format")
    if isinstance(synthesis, UnifiedConfig):
        towers = {"sdf": "sdf_head", "def": "deformation_head", "tex": "texture_head"}
        towers |= {"weight": "cell_head"} if cells else {}
        names = _plane_names(f"{UNIFIED}tri_plane_synthesis", synthesis.planes, ("togeo", "totex"))
        for published, ours in towers.items():
            names |= _layer_names(f"{UNIFIED}mlp_synthesis_{published}", f"synthesis.{ours}", 2)
    elif cells:
        raise InputError("no published model has separate generators and FlexiCubes; keep this one in our format")
    else:
        names = _plane_names(f"{SEPARATE}tex.tri_plane_synthesis", synthesis.planes, ("torgb",))
        names |= _layer_names(f"{SEPARATE}tex.mlp_synthesis", "synthesis.texture_head", 2)
        names |= _volume_names(f"{SEPARATE}sdf", "synthesis.sdf", synthesis.volume, 4)
        names |= _volume_names(f"{SEPARATE}def", "synthesis.deformation", synthesis.volume, 3)
    names |= _renamed("synthesis.to_rgb", "synthesis.to_rgb", _MODULATED)
    for published, ours in (("mapping", "mapping_texture"), ("mapping_geo", "mapping_geometry")):
        names[f"{published}.w_avg"] = f"{ours}.w_avg"
        for number in range(config.mapping_layers):
            names |= _renamed(f"{published}.fc{number}", f"{ours}.layers.{number}", _DENSE)
    return names


def discriminator_names(config: DiscriminatorConfig, resolution: int) -> dict[str, str | None]:
    """Our name of each tensor that a published discriminator of these sizes has; None for a low-pass filter."""
    names: dict[str, str | None] = {}
    for prefix, branch in (("", "rgb"), ("mask_", "mask")):
        for number in range(resolution.bit_length() - 3):
            theirs, block = f"{prefix}b{resolution >> number}", f"{branch}.blocks.{number}"
            names[f"{theirs}.{LOW_PASS_FILTER}"] = None
            for published, ours in (("fromrgb", "read"), ("conv0", "conv0"), ("conv1", "conv1")):
                names |= _renamed(f"{theirs}.{published}", f"{block}.{ours}", _DENSE, filtered=True)
        last = f"{prefix}b4"
        for published, ours in (("fromrgb", "read"), ("conv", "conv")):
            names |= _renamed(f"{last}.{published}", f"{branch}.{ours}", _DENSE, filtered=True)
        for published, ours in (("fc", "dense"), ("out", "out")):
            names |= _renamed(f"{last}.{published}", f"{branch}.{ours}", _DENSE)
        names |= _renamed(f"{prefix}mapping.embed", f"{branch}.embed", _DENSE)
        for number in range(config.condition_layers):
            names |= _renamed(f"{prefix}mapping.fc{number}", f"{branch}.mapping.{number}", _DENSE)
    return names


def _renamed(published: str, ours: str, leaves: Mapping[str, str], *, filtered: bool = False) -> dict[str, str | None]:
    names: dict[str, str | None] = {f"{published}.{theirs}": f"{ours}.{leaf}" for theirs, leaf in leaves.items()}
    return names | {f"{published}.{LOW_PASS_FILTER}": None} if filtered else names


def _layer_names(published: str, ours: str, layers: int) -> dict[str, str | None]:
    names: dict[str, str | None] = {}
    for number in range(layers):
        names |= _renamed(f"{published}.layers.{number}", f"{ours}.layers.{number}", _MODULATED)
    return names


def _plane_names(published: str, config: PlanesConfig, outputs: tuple[str, ...]) -> dict[str, str | None]:
    names: dict[str, str | None] = {f"{published}.b4.const": "synthesis.planes.blocks.0.constant"}
    for number, side in enumerate(config.widths()):
        theirs, block = f"{published}.b{side}", f"synthesis.planes.blocks.{number}"
        names[f"{theirs}.{LOW_PASS_FILTER}"] = None
        for convolution in ("conv0", "conv1")[number == 0 :]:
            names |= _renamed(f"{theirs}.{convolution}", f"{block}.{convolution}", _CONVOLUTION, filtered=True)
        for kind, output in enumerate(outputs):
            names |= _renamed(f"{theirs}.{output}", f"{block}.outputs.{kind}", _MODULATED)
    return names


def _volume_names(published: str, ours: str, config: VolumeConfig, layers: int) -> dict[str, str | None]:
    names: dict[str, str | None] = {f"{published}.b4.const": f"{ours}.blocks.0.constant"}
    for number, side in enumerate(config.widths()):
        theirs, block = f"{published}.b{side}", f"{ours}.blocks.{number}"
        for convolution in ("conv0", "conv1")[number == 0 :]:
            names |= _renamed(f"{theirs}.{convolution}", f"{block}.{convolution}", _CONVOLUTION)
        if number:
            names |= {f"{theirs}.skip.weight": f"{block}.skip", f"{theirs}.skip.{LOW_PASS_FILTER}": None}
    return names | _layer_names(published, f"{ours}.head", layers)
