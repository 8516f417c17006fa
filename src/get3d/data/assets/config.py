"""What one can ask of `get3d render`."""

import shlex
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Annotated, Any, Literal

from get3d.camera_prior import CameraPrior
from get3d.data.config import Light, require_pictures
from get3d.files import InputError
from get3d.options import Option
from get3d.ranks_config import RanksConfig

__all__ = ["RenderConfig", "Up", "command_line", "settings"]

Up = Literal["file", "x", "y", "z", "-x", "-y", "-z"]


@dataclass(frozen=True)
class RenderConfig:
    """A dataset of 3D models that one has: pictures with cameras, and the meshes they show.

    Attributes:
        assets: folder of models, at any depth; or a text file that lists models, one a line, relative to itself.
        out: folder of the dataset. An unfinished one is gone on with; so are new and mended models taken in.
        views: pictures of each object.
        resolution: side of the pictures in pixels, a power of two.
        prior: where the cameras are drawn from.
        scale: longest side of the objects; the camera stands 1.2 away.
        up: the direction that is up in all files, as in --up=-y; "file": as the format says, +Y where it says nothing.
        light: "studio" is a soft lamp and the sky, "even" shows the colours of the textures as they are.
        renderer: "builtin" is quick; "blender" draws with Cycles, 32 samples denoised, as the paper's script does.
        blender: the Blender program, or a Python that has the module bpy; by default the Blender installed.
        supersample: samples per pixel and axis of the built-in renderer.
        texture: side in texels to which larger textures are reduced.
        ratio: shares of objects for training, validation and testing.
        splits: folder with train.txt, val.txt and test.txt that name the objects to render, in place of the ratio.
        layout: "published" writes img/ and camera/ as the paper's scripts do.
        limit: render only so many models, the first by name.
        strict: leave out objects with a missing texture, in place of showing their base colour.
        max_faces: leave out objects with more faces.
        kind: what the objects are; by default the name of the folder.
        licence: of the models (an SPDX identifier where there is one).
        seed: another seed, other cameras; an object's depend on the seed and its name only.
        workers: processes that work side by side, for each of `--processes`; 0: one for each processor core.
        device: where pictures are drawn: cpu, cuda, or auto.
        ranks: how processes share the models; of GPUs each takes one.
    """

    assets: Annotated[Path, Option(positional="ASSETS")]
    out: Path
    views: int = 24
    resolution: int = 256
    prior: CameraPrior = field(default_factory=CameraPrior)
    scale: float = 0.9
    up: Up = "file"
    light: Light = "studio"
    renderer: Literal["builtin", "blender"] = "builtin"
    blender: Path | None = None
    supersample: int = 3
    texture: int = 2048
    ratio: tuple[float, float, float] = (0.7, 0.1, 0.2)
    splits: Path | None = None
    layout: Literal["own", "published"] = "own"
    limit: int | None = None
    strict: bool = False
    max_faces: int = 2_000_000
    kind: str | None = None
    licence: str = "unknown"
    seed: int = 0
    workers: int = 0
    device: str = "cpu"
    ranks: Annotated[RanksConfig, Option(flat=True)] = field(default_factory=RanksConfig)

    def __post_init__(self) -> None:
        limits = [("views", 1, 1000), ("supersample", 1, 8), ("texture", 1, 8192), ("workers", 0, 1024)]
        limits += [("max_faces", 1, 10**8), ("seed", 0, 2**63)] + [("limit", 1, 10**9)] * (self.limit is not None)
        for name, low, high in limits:
            value = getattr(self, name)
            if not low <= value <= high:
                raise InputError(f"--{_flag(name)} is {value}, but it must lie between {low} and {high}")
        if not 0.01 <= self.scale <= 1.0:
            raise InputError(f"--scale is {self.scale}, but it must lie between 0.01 and 1")
        require_pictures(self.resolution, self.prior)
        if min(self.ratio) < 0 or not 0.99 < sum(self.ratio) < 1.01:
            raise InputError(f"--ratio is {' '.join(map(str, self.ratio))}, but it must be three shares that sum to 1")


def command_line(config: RenderConfig) -> str:
    """The command that the configuration is made by."""
    words = ["get3d", "render", str(config.assets), f"--out={config.out}"]
    plain = CameraPrior()
    for option in fields(config):
        value = getattr(config, option.name)
        if option.name in ("assets", "out", "prior", "ranks") or value == option.default:
            continue
        words += [f"--{option.name}"] if value is True else _words(_flag(option.name), value)
    for part in ("azimuth", "polar", "radius", "fov"):
        value = getattr(config.prior, part)
        words += [] if value == getattr(plain, part) else _words(f"prior.{part}", value)
    return shlex.join(words)


def settings(config: RenderConfig) -> dict[str, Any]:
    """What must be the same to go on with a dataset, beside what `dataset.json` says of every dataset."""
    names = ("views", "up", "light", "renderer", "supersample", "texture", "layout")
    return {name: getattr(config, name) for name in names}


def _flag(name: str) -> str:
    return name.replace("_", "-")


def _words(flag: str, value: Any) -> list[str]:
    parts = value if isinstance(value, tuple) else (value,)
    return [f"--{flag}={parts[0]}", *map(str, parts[1:])]
