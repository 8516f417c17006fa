"""The Blender renderer: Cycles in a separate process, with the same object and the same cameras."""

import os
import shutil
import subprocess
import tempfile
from pathlib import Path

import numpy as np
import torch
from jaxtyping import UInt8
from PIL import Image
from torch import Tensor

from get3d.assets.asset import Asset
from get3d.assets.files import LIMITS
from get3d.assets.names import BlenderLight
from get3d.assets.programs import last_words, run_program
from get3d.cameras import Cameras
from get3d.files import InputError, write_json

__all__ = ["BlenderLight", "draw_in_blender", "find_blender", "run_in_blender"]

SCRIPT = Path(__file__).with_name("blender_script.py")
SAMPLES = 32
"""As in the published script; the images are denoised."""
IMAGE_SECONDS = 30
"""For an image of 256² pixels, at most; two cores take 0.5."""
CPU = torch.device("cpu")


def find_blender(program: Path | None) -> Path:
    """Finds Blender: the program at a path, or a Python with the module bpy; without a path, the installed Blender.

    Raises:
        InputError: there is no such program.
    """
    found = shutil.which("blender" if program is None else program)
    if found is None:
        where = "no Blender is installed" if program is None else f"--blender is {program}, which is not a program"
        raise InputError(
            f"{where}; install Blender, or the module bpy in a separate environment: "
            "python3.11 -m venv .venv-blender && .venv-blender/bin/pip install bpy 'numpy<2', "
            "and give --blender .venv-blender/bin/python"
        )
    return Path(found).absolute()


def run_in_blender(program: Path, script: Path, job: Path, seconds: int) -> subprocess.CompletedProcess[bytes]:
    """Runs a script in Blender, which runs no other one, with limits on memory and time.

    Args:
        program: as `find_blender` gives it.
        script: the script, whose one argument is the job.
        job: a file; Blender runs in its folder.
        seconds: after which Blender is stopped.

    Raises:
        InputError: it takes longer.
    """
    command: list[str | Path] = [program, script, job]
    if not program.name.startswith("python"):
        options = ["--background", "--factory-startup", "--disable-autoexec", "--python-exit-code", "1", "--python"]
        command = [program, *options, script, "--", job]
    return run_program([str(part) for part in command], job.parent, "Blender", seconds)


def draw_in_blender(
    program: Path,
    asset: Asset,
    cameras: Cameras,
    resolution: int,
    light: BlenderLight = "studio",
    *,
    device: torch.device = CPU,
    threads: int | None = None,
) -> UInt8[Tensor, "n 4 {resolution} {resolution}"]:
    """Images of an object from each camera, RGBA with a transparent background, as from `shade`.

    Args:
        program: as `find_blender` gives it.
        asset: what to show.
        cameras: n views, of square pixels.
        resolution: side of the images in pixels.
        light: what falls on the object.
        device: cpu or cuda, of which all are taken where none is named.
        threads: of the processor; None: as many as there are cores.

    Raises:
        InputError: Blender failed, or took more memory or time than one object may.
        ValueError: a camera has pixels that are not square.
    """
    across, height = cameras.focal_lengths.unbind(1)
    if not torch.allclose(across, height):
        raise ValueError("Blender draws square pixels; give cameras of the same focal length along x and y")
    to_world = torch.cat([cameras.rotations.mT, cameras.positions[:, :, None]], dim=2)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        asset.save(folder / "object.glb")
        job = {
            "mesh": str(folder / "object.glb"),
            "out": name,
            "resolution": resolution,
            "samples": SAMPLES,
            "cameras": [
                {"to_world": matrix, "focal_length": focal, "principal_point": point}
                for matrix, focal, point in zip(
                    to_world.tolist(), height.tolist(), cameras.principal_points.tolist(), strict=True
                )
            ],
            "light": light,
            "device": device.type,
            "gpu": device.index,
            "threads": threads or os.cpu_count() or 1,
        }
        write_json(folder / "job.json", job)
        run = run_in_blender(program, SCRIPT, folder / "job.json", _most_seconds(len(cameras), resolution))
        images = [folder / f"{view:03d}.png" for view in range(len(cameras))]
        if run.returncode or not all(image.is_file() for image in images):
            raise InputError(f"Blender could not draw it (exit status {run.returncode}: {last_words(run)})")
        return torch.stack([_read(image) for image in images])


def _most_seconds(images: int, resolution: int) -> int:
    return LIMITS.seconds + round(images * IMAGE_SECONDS * max(1.0, (resolution / 256) ** 2))


def _read(path: Path) -> UInt8[Tensor, "4 r r"]:
    with Image.open(path) as image:
        pixels = np.array(image.convert("RGBA"))
    pixels[pixels[..., 3] == 0] = 0
    return torch.from_numpy(pixels).permute(2, 0, 1)
