"""`get3d reconstruct`: a textured mesh of one object from many images with cameras, without a model."""

import difflib
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from rich.console import Console
from rich.progress import Progress as Bar
from torch import Tensor

from get3d.datasets import index
from get3d.datasets.loader import decode_listed
from get3d.datasets.resizing import reduced
from get3d.datasets.validation import quick_problems
from get3d.devices import device_named, keep_memory
from get3d.export import mesh_report, textured_mesh, without_small_components
from get3d.files import InputError, require_writable, write_json
from get3d.fitting.comparison import mask_iou, psnr, write_comparison
from get3d.fitting.config import ReconstructConfig
from get3d.fitting.optimisation import ObjectImages, Reconstruction
from get3d.generation.turntable import sheet, turning, write_video
from get3d.ranges import require_ranges
from get3d.reconstruction.losses import require_losses
from get3d.storage import Stored, checksum, describe, load_tensors, remove_half_written, save_tensors

__all__ = ["ObjectImages", "ReconstructConfig", "read_object", "reconstruct"]

COMPARISON, REPORT, UNFINISHED = "comparison.png", "report.json", "unfinished.safetensors"
CHECKPOINT_SECONDS = 60.0
"""Between checkpoints of the unfinished fit."""
_SHOWN, _REFRESH = 6, 10.0
"""Images in the comparison, and seconds between its updates."""
_FREE = ("out", "faces", "texture", "format", "video", "device")
"""Options that may differ when a fit resumes."""
_AGREE = 0.2
"""Minimum intersection over union of masks and visual hull if the cameras are right, on a coarse grid."""
_SMALL = 0.005
"""Components with less than this share of the area are left out."""


def reconstruct(config: ReconstructConfig, console: Console) -> dict[str, Any]:
    """Writes a textured mesh of an object, and returns the content of `report.json`.

    The files are `<object>.glb`, `comparison.png` with target, fit and difference of held-out images, `turntable.gif`
    and `report.json`.

    Raises:
        InputError: an option is out of range, or the dataset, the object or its images cannot be used.
    """
    require_ranges(config)
    require_losses(config.losses)
    if not config.grids:
        raise InputError("--grids is empty; give one or several resolutions, from coarse to fine")
    views = read_object(config)
    device = device_named(config.device)
    remove_half_written(require_writable(config.out), UNFINISHED)
    keep_memory()
    held = held_out(len(views), config.held_out)
    fitted = torch.tensor([row for row in range(len(views)) if row not in held])
    shown = torch.tensor((held or fitted.tolist())[:_SHOWN])
    unfinished, description = config.out / UNFINISHED, _description(config, views)
    stored = _stored(unfinished, description)
    began = time.monotonic() - (0 if stored is None else stored.description["seconds"])
    drawn = kept = time.monotonic()
    fit = Reconstruction(views.to(device), fitted.to(device), config, stored)
    if stored is None:
        _require_agreement(fit, config)
    with Bar(console=console, transient=True) as bar:
        task = bar.add_task(config.object, total=config.steps)
        while not fit.done:
            losses = fit.advance()
            bar.update(task, completed=fit.step, description=" ".join(f"{n} {v:.4f}" for n, v in losses.items()))
            if time.monotonic() - drawn > _REFRESH:
                _compare(fit, shown.to(device), config.out / COMPARISON)
                drawn = time.monotonic()
            if time.monotonic() - kept > CHECKPOINT_SECONDS:
                now = fit.stored()
                seconds = time.monotonic() - began
                save_tensors(unfinished, now.tensors, description | now.description | {"seconds": seconds})
                kept = time.monotonic()
    report = _finish(fit, shown, held, config, time.monotonic() - began, console)
    unfinished.unlink(missing_ok=True)
    return report


def _require_agreement(fit: Reconstruction, config: ReconstructConfig) -> None:
    """Checks that the visual hull, from which the fit starts, agrees with the masks."""
    rows = fit.fitted[:_SHOWN]
    share = float(mask_iou(fit.drawn(rows), fit.views.real(rows)).mean())
    if share < _AGREE:
        raise InputError(
            f"--object {config.object}: its cameras and masks do not agree (IoU {share:.2f} of the visual hull); "
            f"check them with `get3d check {config.data}`"
        )


def _description(config: ReconstructConfig, views: ObjectImages) -> dict[str, Any]:
    """The settings and images that an unfinished fit must have, to resume it."""
    settings = {name: value for name, value in describe(config).items() if name not in _FREE}
    return {"settings": settings, "images": checksum({"images": views.images, "angles": views.angles})}


def _stored(path: Path, description: dict[str, Any]) -> Stored | None:
    """The unfinished fit of a folder, if there is one."""
    if not path.exists():
        return None
    stored = load_tensors(path)
    for name in ("settings", "images"):
        if stored.description.get(name) != description[name]:
            raise InputError(
                f"{path}: is an unfinished fit with other {name}; choose another --out, or remove the file"
            )
    return stored


def read_object(config: ReconstructConfig) -> ObjectImages:
    """The images of an object of a dataset.

    Raises:
        InputError: the dataset cannot be used, has no such object, or the object has too few images.
    """
    listing = index.read(config.data)
    stored, problems = quick_problems(listing)
    if problems:
        raise InputError(problems[0].message)
    if config.object not in listing.objects:
        near = ", ".join(difflib.get_close_matches(config.object, listing.objects, 3, 0.0))
        raise InputError(f"--object {config.object}: no object of {config.data}; like it are {near}")
    rows = np.flatnonzero(listing.object_index == listing.objects.index(config.object))
    if len(rows) < 2:
        raise InputError(f"--object {config.object}: has {len(rows)} image; a reconstruction needs several")
    resolution = stored if config.resolution is None else config.resolution
    if resolution > stored or stored % resolution:
        raise InputError(f"--resolution is {resolution}, but the images have {stored} pixels; choose a divisor")
    if config.materials != "color" and listing.light is None:
        raise InputError(f"--materials {config.materials}: {config.data} does not say its light; use color")
    images = np.stack([reduced(decode_listed(listing, int(row), stored), resolution) for row in rows])
    turns = None if listing.turns is None else torch.from_numpy(listing.turns[rows]).float()
    angles = torch.from_numpy(np.ascontiguousarray(listing.angles[rows])).float()
    return ObjectImages(torch.from_numpy(images), angles, turns, listing.prior, listing.scale, listing.light)


def held_out(count: int, share: float) -> list[int]:
    """Numbers of the images that are left out of the fit, evenly spread; at least two images stay in it."""
    held = min(round(share * count), count - 2)
    return [int((number + 0.5) * count / held) for number in range(held)]


@torch.no_grad()
def _compare(fit: Reconstruction, rows: Tensor, path: Path) -> None:
    write_comparison(path, fit.drawn(rows), fit.views.real(rows))


@torch.no_grad()
def _finish(
    fit: Reconstruction, shown: Tensor, held: list[int], config: ReconstructConfig, seconds: float, console: Console
) -> dict[str, Any]:
    """Writes the mesh, images and numbers."""
    fit.isosurface.eval()
    shapes = fit.shapes()
    meshes = without_small_components(shapes.meshes, _SMALL)
    shapes = replace(shapes, surfaces=replace(shapes.surfaces, meshes=meshes))
    textured = textured_mesh(meshes.split()[0], shapes.material(0), config.texture, config.faces)
    name = config.object.replace("/", "-")
    textured.save(config.out / f"{name}.{config.format}")
    quality = mesh_report(textured.mesh)
    report: dict[str, Any] = {
        "object": config.object,
        "steps": fit.step,
        "seconds": round(seconds, 1),
        "faces": len(textured.faces),
        "watertight": quality.watertight,
        "components": quality.components,
    }
    for title, rows in (("fitted", fit.fitted), ("held_out", torch.tensor(held, device=fit.device).long())):
        if len(rows):
            drawn, real = fit.drawn(rows), fit.views.real(rows)
            report[title] = {
                "images": len(rows),
                "psnr": round(float(psnr(drawn, real).mean()), 2),
                "iou": round(float(mask_iou(drawn, real).mean()), 4),
            }
    _compare(fit, shown.to(fit.device), config.out / COMPARISON)
    if config.video != "none":
        frames = turning(shapes, fit.views.prior, max(fit.views.resolution, 128))
        write_video(config.out / f"turntable.{config.video}", (sheet(images, 1) for images in frames))
    write_json(config.out / REPORT, report)
    console.print(_said(config.out / f"{name}.{config.format}", report), highlight=False, markup=False, soft_wrap=True)
    return report


def _said(path: Path, report: dict[str, Any]) -> str:
    parts = [f"{report['faces']:,} triangles"]
    for name in ("fitted", "held_out"):
        if name in report:
            parts.append(
                f"{name.replace('_', '-')} images PSNR {report[name]['psnr']:.1f} dB, IoU {report[name]['iou']:.3f}"
            )
    return f"{path}: {'; '.join(parts)}"
