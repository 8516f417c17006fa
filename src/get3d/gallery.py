"""From a model to a folder of new objects: meshes, a contact sheet, a turntable, and a record of how to make them again."""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import torch
import tyro
from PIL import Image
from rich.console import Console
from rich.progress import track
from torch import Tensor

from get3d.export import mesh_report
from get3d.files import InputError, require_writable, write_json, writing
from get3d.generator import Generator, load
from get3d.latents import Latents
from get3d.pictures import contact_sheet

__all__ = ["GenerateConfig", "generate"]

_BATCH = 4
_FRAMES = 36
_FRAMES_PER_SECOND = 18


@dataclass(frozen=True)
class GenerateConfig:
    """New objects from a model.

    Attributes:
        model: a model's name, its folder, the folder of a training run, or a checkpoint.
        out: folder for the meshes and pictures.
        num: how many objects.
        seed: of the first object; the next has the next seed, so one seed is one shape, whatever their number.
        psi: truncation: 0 gives the mean object, 1 the full variety; below 1 fewer odd ones.
        resolution: side in pixels of each picture of the contact sheet and the turntable.
        faces: at most this many triangles an object; none keeps all.
        texture: side of the texture in pixels.
        format: glb opens everywhere; obj brings an mtl and a png; ply has colours at its vertices.
        turntable: gif or mp4 of all objects turning, or none.
        device: "auto" takes a GPU where there is one.
    """

    model: tyro.conf.Positional[str]
    out: Path = Path("generated")
    num: int = 8
    seed: int = 0
    psi: float = 0.7
    resolution: int = 256
    faces: int | None = 20_000
    texture: int = 1024
    format: Literal["glb", "obj", "ply"] = "glb"
    turntable: Literal["gif", "mp4", "none"] = "gif"
    device: str = "auto"


def generate(config: GenerateConfig, console: Console) -> list[Path]:
    """Writes `config.num` objects and returns their files; `contact-sheet.png`, `turntable.gif` and `shapes.json` lie beside.

    Raises:
        InputError: an option is out of its range, the model cannot be read, or the folder cannot be written to.
    """
    _check(config)
    generator = load(config.model, config.device)
    require_writable(config.out)
    latents = generator.sample_latents(config.num, config.seed)
    paths, records, frames = [], [], []
    for start in track(range(0, config.num, _BATCH), "objects", console=console, transient=True):
        part = Latents(latents.geometry[start : start + _BATCH], latents.texture[start : start + _BATCH])
        textured = generator.textured(part, config.psi, config.texture, config.faces)
        for offset, mesh in enumerate(textured):
            seed = config.seed + start + offset
            path = config.out / f"{seed:06d}.{config.format}"
            mesh.save(path)
            report = mesh_report(mesh.mesh)
            paths.append(path)
            records.append(
                {
                    "file": path.name,
                    "seed": seed,
                    "faces": len(mesh.faces),
                    "watertight": report.watertight,
                    "components": report.components,
                    "latents": {
                        "geometry": part.geometry[offset].tolist(),
                        "texture": part.texture[offset].tolist(),
                    },
                }
            )
        frames.append(_turn(generator, part, config))
    turning = torch.cat(frames, dim=1)
    columns = min(4, config.num)
    with writing(config.out / "contact-sheet.png") as temporary:
        contact_sheet(_over_white(turning[_FRAMES // 12]), columns=columns).save(temporary)
    if config.turntable != "none":
        _write_turntable(config.out / f"turntable.{config.turntable}", turning, columns)
    write_json(config.out / "shapes.json", {"model": config.model, "psi": config.psi, "shapes": records})
    closed = sum(bool(record["watertight"]) for record in records)
    console.print(
        f"{config.out}: {len(paths)} objects ({closed} watertight), contact-sheet.png, shapes.json", highlight=False
    )
    return paths


def _check(config: GenerateConfig) -> None:
    ranges = {
        "num": (1, 1_000_000),
        "psi": (0.0, 2.0),
        "resolution": (16, 4096),
        "texture": (16, 8192),
        "faces": (4, 10_000_000),
        "seed": (0, 2**63 - 1),
    }
    for name, (low, high) in ranges.items():
        value = getattr(config, name)
        if value is not None and not low <= value <= high:
            raise InputError(f"--{name} is {value}; it must be from {low} to {high}")


@torch.no_grad()
def _turn(generator: Generator, latents: Latents, config: GenerateConfig) -> Tensor:
    """Pictures of objects seen from all around, [frames, n, 4, r, r]: RGB in [−1, 1] and mask."""
    shapes = generator.shapes(generator.styles(latents, config.psi))
    count = len(latents.geometry)
    orbit = generator.config.cameras.orbit(_FRAMES)
    frames = []
    for frame in range(_FRAMES if config.turntable != "none" else _FRAMES // 12 + 1):
        cameras = orbit[torch.full((count,), frame)].to(latents.geometry.device)
        images = generator.draw(shapes, cameras, config.resolution)
        frames.append(torch.cat([images.rgb, images.mask], dim=1).cpu())
    return torch.stack(frames)


def _over_white(images: Tensor) -> Tensor:
    """Pictures [n, 4, r, r] laid over white, [n, 3, r, r] in [−1, 1]."""
    rgb, mask = images[:, :3].clamp(-1, 1), images[:, 3:]
    return rgb * mask + (1 - mask)


def _write_turntable(path: Path, turning: Tensor, columns: int) -> None:
    sheets = [contact_sheet(_over_white(images), columns=columns) for images in turning]
    with writing(path) as temporary:
        if path.suffix == ".gif":
            first, *rest = (sheet.quantize(128, method=Image.Quantize.MEDIANCUT) for sheet in sheets)
            first.save(temporary, save_all=True, append_images=rest, duration=1000 // _FRAMES_PER_SECOND, loop=0)
        else:
            _write_mp4(temporary, np.stack([np.asarray(sheet) for sheet in sheets]))


def _write_mp4(path: Path, frames: np.ndarray) -> None:
    import imageio.v3 as imageio

    try:
        imageio.imwrite(path, frames, plugin="pyav", codec="libx264", fps=_FRAMES_PER_SECOND)
    except ImportError as error:
        raise InputError("--turntable mp4 needs PyAV; pip install 'get3d[video]', or take gif") from error


