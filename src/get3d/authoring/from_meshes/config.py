"""Options of `get3d render`."""

import shlex
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Annotated, Any, Literal

from get3d.assets.names import BlenderLight, Up
from get3d.camera_prior import CameraPrior
from get3d.datasets.config import require_images
from get3d.distributed.config import RanksConfig
from get3d.files import InputError, require_name
from get3d.light_prior import ShadingName
from get3d.options import Option
from get3d.ranges import SEED, Range, require_ranges

__all__ = ["RenderConfig", "command_line", "settings"]


@dataclass(frozen=True)
class RenderConfig:
    """A dataset made from 3D models: images with cameras, and the meshes that they show.

    Attributes:
        assets: folder of models, at any depth; or a text file in their folder that lists them, one per line.
        out: folder of the dataset. An incomplete dataset is completed, and new or fixed models are added.
        views: number of images of each object.
        resolution: side of the images in pixels, a power of two.
        prior: the distribution that cameras are drawn from.
        scale: longest side of the objects; the default camera distance is 1.2.
        fit: make an object smaller if it would not fit into the images; `--no-fit` cuts it off at the border instead.
        up: direction that is up in all files, such as --up=-y; "file": what the format says, otherwise +Y.
        light: "studio" is a soft lamp and the sky; "even" shows the colours of the textures unchanged; "published"
            (Blender only) has the lamps, tones and bounces of the paper's script, which does not centre objects.
            "random" turns the studio about +Y by another angle in each image, which `cameras.csv` records.
        shading: "matte" shows only the base colour; "pbr" also roughness, metallic, normals and emission of .gltf,
            .glb, .obj and .usdz files.
        renderer: "builtin" is fast; "blender" uses Cycles with 32 denoised samples.
        blender: the Blender program, or a Python with the module bpy; by default the installed Blender. It also reads
            .blend files.
        supersample: samples per pixel and axis of the built-in renderer.
        texture: side in texels to which larger textures are reduced.
        ratio: shares of objects for training, validation and testing.
        splits: folder with train.txt, val.txt and test.txt that list the objects to render; replaces the ratio.
        layout: "published" writes img/ (with transforms.json) and camera/ as the paper's scripts do.
        limit: render at most this many models, the first by name.
        strict: leave out objects with a missing texture, instead of showing their base colour.
        max_faces: leave out objects with more faces.
        kind: what the objects are; by default the name of the folder.
        licence: licence of the models, an SPDX identifier if there is one.
        seed: seed of the cameras. The cameras of an object depend only on the seed and on its name.
        workers: number of parallel processes, for each of `--processes`; 0: one for each processor core.
        device: device that renders; "auto" uses a GPU if there is one.
        ranks: how processes divide the models; each process uses one GPU.
    """

    assets: Annotated[Path, Option(positional="ASSETS")]
    out: Path
    views: Annotated[int, Range(1, 1000)] = 24
    resolution: Annotated[int, Range(16, 2048, power_of_two=True)] = 256
    prior: CameraPrior = field(default_factory=CameraPrior)
    scale: Annotated[float, Range(0.01, 1)] = 0.9
    fit: bool = True
    up: Up = "file"
    light: BlenderLight = "studio"
    shading: ShadingName = "matte"
    renderer: Literal["builtin", "blender"] = "builtin"
    blender: Path | None = None
    supersample: Annotated[int, Range(1, 8)] = 3
    texture: Annotated[int, Range(1, 8192)] = 2048
    ratio: Annotated[tuple[float, float, float], Range(0, 1)] = (0.7, 0.1, 0.2)
    splits: Path | None = None
    layout: Literal["own", "published"] = "own"
    limit: Annotated[int | None, Range(1)] = None
    strict: bool = False
    max_faces: Annotated[int, Range(1, 10**8)] = 2_000_000
    kind: str | None = None
    licence: str = "unknown"
    seed: Annotated[int, SEED] = 0
    workers: Annotated[int, Range(0, 1024)] = 0
    device: str = "auto"
    ranks: Annotated[RanksConfig, Option(flat=True)] = field(default_factory=RanksConfig)

    def __post_init__(self) -> None:
        if self.kind is not None:
            require_name(self.kind, "--kind")
        require_ranges(self)
        if self.light == "random" and self.layout == "published":
            raise InputError("--light random has no place in the published layout; use --layout own, or --light studio")
        if self.light == "random" and self.renderer != "builtin":
            raise InputError(
                "--light random is of the built-in renderer; add --renderer builtin, or take --light studio"
            )
        if self.light == "published" and self.renderer != "blender":
            raise InputError("--light published needs Blender; add --renderer blender, or use --light studio")
        require_images(self.prior)
        if not 0.99 < sum(self.ratio) < 1.01:
            raise InputError(f"--ratio is {' '.join(map(str, self.ratio))}, but it must be three shares that sum to 1")


def command_line(config: RenderConfig) -> str:
    """The command that the configuration is made by."""
    words = ["get3d", "render", str(config.assets), f"--out={config.out}"]
    plain = CameraPrior()
    for option in fields(config):
        value = getattr(config, option.name)
        if option.name in ("assets", "out", "prior", "ranks") or value == option.default:
            continue
        if isinstance(value, bool):
            words.append(f"--{option.name}" if value else f"--no-{option.name}")
        else:
            words += _words(_flag(option.name), value)
    for part in ("azimuth", "polar", "radius", "fov"):
        value = getattr(config.prior, part)
        words += [] if value == getattr(plain, part) else _words(f"prior.{part}", value)
    return shlex.join(words)


def settings(config: RenderConfig) -> dict[str, Any]:
    """Settings that must be the same to resume a dataset, in addition to the values that every `dataset.json` has."""
    names = ("views", "fit", "up", "light", "renderer", "supersample", "texture", "layout")
    return {name: getattr(config, name) for name in names} | (
        {} if config.shading == "matte" else {"shading": config.shading}
    )


def _flag(name: str) -> str:
    return name.replace("_", "-")


def _words(flag: str, value: Any) -> list[str]:
    parts = value if isinstance(value, tuple) else (value,)
    return [f"--{flag}={parts[0]}", *map(str, parts[1:])]
