"""`get3d fit`: an object of a model that looks like photos."""

import math
import time
import warnings
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from rich.console import Console
from rich.progress import Progress as Bar
from torch import Tensor

from get3d.bundled import MODEL_FILE
from get3d.checkpoints.model import save_tuned, training_objects, training_styles
from get3d.datasets.camera_table import read_cameras
from get3d.datasets.description import LARGEST
from get3d.files import InputError
from get3d.fitting.comparison import mask_iou, psnr, write_comparison
from get3d.fitting.config import FitConfig
from get3d.fitting.inversion import (
    Objective,
    Step,
    StyleModel,
    along_axes,
    per_layer,
    refine,
    style_model,
    symmetry,
    tune,
)
from get3d.fitting.photos import Photo, read_photo, targets
from get3d.fitting.search import Candidates, best_starts
from get3d.fitting.views import Views
from get3d.generation.manifest import begin_manifest
from get3d.generation.objects import write_objects
from get3d.generation.settings import PSI, Settings, open_generator
from get3d.generation.shape_list import ShapeList, require_plain_names
from get3d.generator import Generator
from get3d.images import Images
from get3d.latents import Styles
from get3d.ranges import require_ranges
from get3d.reconstruction.losses import require_losses

__all__ = ["FitConfig", "Stage", "doubt", "drawn_as_fitted", "fit", "invert", "numbers", "training_starts"]

COMPARISON = "comparison.png"
STARTS = 6
"""Starts that are refined together."""
_TRAINED = 48
"""Maximum number of training objects among the candidates for starts."""
_COMPARED, _SYMMETRIC = 8, 0.8
"""Candidates whose symmetry is measured, and the mean above which objects are symmetric: thin legs that are a pixel off
already cost a tenth."""
_IN_SIGHT = 0.02
"""Minimum intersection over union before fitting if the cameras are right."""
_STRANGE = 0.7
"""Intersection over union below which the model may not know such objects."""
_REFRESH = 3.0
"""Seconds between updates of the comparison."""


@dataclass(frozen=True)
class Stage:
    """How far a fit is.

    Attributes:
        name: of what is done.
        done: steps done, of all stages.
        total: steps of all stages.
    """

    name: str
    done: int
    total: int


Progress = Callable[[Stage, Step | None], None]


def fit(config: FitConfig, console: Console) -> dict[str, Any]:
    """Writes an object of a model that looks like photos, and returns its entry in `shapes.json`.

    Besides the files of `generate`, it writes `comparison.png` with target, fit and difference of each image, and
    updates it while the fit runs.

    Raises:
        InputError: an option is out of range, or the model, an image, a mask or a camera cannot be used.
    """
    require_ranges(config)
    require_losses(config.losses)
    photos, angles = _read(config)
    name = config.name if config.name is not None else photos[0].path.stem
    require_plain_names("--name", [name])
    generator = open_generator(config)
    others = [COMPARISON, MODEL_FILE] if config.tune else [COMPARISON]
    begin_manifest(config.out, others)
    began = time.perf_counter()
    with Bar(console=console, transient=True) as bar:
        shown = _Shown(config.out / COMPARISON, bar)
        found, generator, objective = invert(
            generator, config, photos, angles, training_starts(config.model, generator.device), shown
        )
    settings: Settings = config
    if config.tune:
        save_tuned(config.out / MODEL_FILE, config.model, generator)
        settings = replace(config, model=str(config.out))
    entry: dict[str, Any] = {
        "images": [str(photo.path) for photo in photos],
        "cameras": "estimated" if angles is None else "known",
    }
    drawn = drawn_as_fitted(generator, found, objective)
    write_comparison(config.out / COMPARISON, drawn, objective.real)
    entry |= numbers(drawn, found, objective)
    entry["seconds"] = round(time.perf_counter() - began, 1)
    _say(entry, console)
    write_objects(generator, ShapeList([name], found.styles, [entry]), settings, console, others=others)
    return entry


def _read(config: FitConfig) -> tuple[list[Photo], Tensor | None]:
    """The photos, and the angles of their cameras if they are known."""
    if not config.images:
        raise InputError("no IMAGE; give one or several images of the object")
    if config.mask and len(config.mask) != len(config.images):
        raise InputError(f"--mask: {len(config.mask)} masks for {len(config.images)} images; give one for each")
    masks = config.mask or (None,) * len(config.images)
    photos = [read_photo(path, mask) for path, mask in zip(config.images, masks, strict=True)]
    for photo in photos:
        if photo.removed is not None:
            warnings.warn(photo.removed, stacklevel=3)
    if config.cameras is None:
        return photos, None
    for photo in photos:
        if not photo.square:
            width, height = photo.rgba.shape[1], photo.rgba.shape[0]
            fix = "crop it as the model's images are, or leave out --cameras"
            raise InputError(f"{photo.path}: is {width} × {height}, but an image with a known camera is square; {fix}")
    return photos, _angles(config.cameras, [photo.path for photo in photos])


def _angles(table: Path, paths: list[Path]) -> Tensor:
    """The cameras of images by the ends of their paths."""
    names, angles = read_cameras(table)
    rows = []
    for path in paths:
        parts = path.resolve().parts
        found = [row for row, name in enumerate(names) if parts[-len(name.split("/")) :] == tuple(name.split("/"))]
        if len(found) != 1:
            said = "no line" if not found else f"{len(found)} lines"
            raise InputError(f"{table}: has {said} for the image {path}; give each image one, with its name or path")
        rows += found
    chosen = angles[rows, :2]
    usable = (np.abs(chosen) <= math.radians(LARGEST)).all(axis=1)
    if not usable.all():
        name = names[rows[int(np.argmin(usable))]]
        raise InputError(f"{table}: an angle of the camera of {name} is above {LARGEST:g}° or not finite; correct it")
    return torch.from_numpy(chosen).float()


def invert(
    generator: Generator,
    config: FitConfig,
    photos: list[Photo],
    angles: Tensor | None,
    trained: Styles | None,
    progress: Progress,
) -> tuple[Candidates, Generator, Objective]:
    """Searches, refines and, with `--tune`, tunes.

    Args:
        generator: the model.
        config: the options.
        photos: of one object.
        angles: [v, 2] azimuth and polar angle of their cameras in radians; None if they are to be estimated.
        trained: styles (W) of training objects, among which starts are searched, too.
        progress: called before the search with no step, and after each step; may end the fit by an exception.

    Returns:
        The object and its cameras, the generator that makes it, and what it was compared with.
    """
    device, windows = generator.device, [photo.window() for photo in photos]
    pixels = max(window.side * len(photo.rgba) for window, photo in zip(windows, photos, strict=True))
    resolution = min(config.image_resolution, max(16, 8 * round(pixels / 8)))
    real, coarse = (targets(photos, windows, max(16, side)).to(device) for side in (resolution, resolution // 2))
    known = None if angles is None else Views.of_windows(generator.config.cameras, angles.to(device), windows)
    objective = Objective(real, config.losses, config.prior, config.layer_prior)
    stages = {"all starts in W": config.steps // 3, "W": config.steps // 2, "W+": config.steps}
    stages |= {"tuning": config.steps // 2} if config.tune else {}
    total, done = sum(stages.values()), 0
    progress(Stage("search", 0, total), None)
    model = style_model(generator, config.label)
    candidates = _candidate_styles(generator, model, config, trained)
    if config.symmetry and symmetry(generator, candidates[-_COMPARED:]) > _SYMMETRIC:
        objective = replace(objective, symmetry=config.symmetry)
    found = best_starts(generator, candidates, real, known, STARTS)
    if known is not None:
        _require_in_sight(drawn_as_fitted(generator, found.best(1), objective), real, photos)
    for stage, steps in stages.items():

        def shown(step: Step, stage: str = stage) -> None:
            nonlocal done
            done += 1
            progress(Stage(stage, done, total), step)

        how: dict[str, Any] = {"estimate": known is None, "steps": steps, "progress": shown}
        if stage == "tuning":
            generator = tune(generator, model, found, objective, steps=steps, seed=config.seed, progress=shown)
        elif stage == "W+":
            styles = per_layer(model, generator.require_styles(found.styles), objective)
            found = refine(generator, styles, found, objective, **how)
        else:
            compared = replace(objective, real=coarse) if stage == "all starts in W" else objective
            styles = along_axes(model, found.styles, objective)
            found = refine(generator, styles, found, compared, **how).best(1)
    return found, generator, objective


def _require_in_sight(drawn: Images, real: Tensor, photos: list[Photo]) -> None:
    """Sees to it that known cameras see an object of the model about where the photos show theirs."""
    for photo, iou in zip(photos, mask_iou(drawn, real).tolist(), strict=True):
        if iou < _IN_SIGHT:
            raise InputError(
                f"{photo.path}: its camera does not see the model's objects where the image shows one (IoU {iou:.2f} "
                "before fitting); check --cameras, or leave it out to estimate them"
            )


class _Shown:
    """Shows a fit on a bar, and updates the comparison at intervals."""

    def __init__(self, path: Path, bar: Bar) -> None:
        self._path, self._bar, self._last = path, bar, time.monotonic()
        self._task = bar.add_task("")

    def __call__(self, stage: Stage, step: Step | None) -> None:
        self._bar.update(self._task, description=stage.name, completed=stage.done, total=stage.total)
        if step is not None and time.monotonic() - self._last > _REFRESH:
            best = step.best()
            write_comparison(self._path, best.drawn, best.real)
            self._last = time.monotonic()


def training_starts(model: str, device: torch.device) -> Styles | None:
    """The styles (W) of some training objects, of a run that has them."""
    names = training_objects(model)
    return training_styles(model, names[:: -(-len(names) // _TRAINED)], device) if names else None


def _candidate_styles(generator: Generator, model: StyleModel, config: FitConfig, trained: Styles | None) -> Styles:
    """The styles (W) among which starts are searched: the mean, random ones, and those of training objects, if any."""
    parts = [model.mean]
    if config.starts:
        latents = generator.sample_latents(config.starts, config.seed, config.label)
        parts.append(generator.styles(latents, PSI if config.psi is None else config.psi, per_layer=False))
    if trained is not None:
        parts.append(trained)
    return Styles(torch.cat([p.geometry for p in parts]), torch.cat([p.texture for p in parts]))


@torch.no_grad()
def drawn_as_fitted(generator: Generator, found: Candidates, objective: Objective) -> Images:
    """The images of an object by its cameras, as they are compared with the photos."""
    return generator.shapes(found.styles).draw(found.views(), objective.real.shape[-1])


@torch.no_grad()
def numbers(drawn: Images, found: Candidates, objective: Objective) -> dict[str, Any]:
    """How similar images are to the photos, and their cameras' angles in degrees, as `shapes.json` has them."""
    degrees = found.views().angles.rad2deg()
    return {
        "iou": [round(value, 4) for value in mask_iou(drawn, objective.real).tolist()],
        "psnr": [round(value, 2) for value in psnr(drawn, objective.real).tolist()],
        "angles": [[round(value, 2) for value in row] for row in degrees.tolist()],
    }


def doubt(iou: float) -> str | None:
    """What a small intersection over union means; None for a large one."""
    return f"IoU {iou:.2f} after fitting: this model may not know such objects" if iou < _STRANGE else None


def _say(entry: dict[str, Any], console: Console) -> None:
    for path, iou, psnr_, (azimuth, polar) in zip(
        entry["images"], entry["iou"], entry["psnr"], entry["angles"], strict=True
    ):
        text = f"{path}: IoU {iou:.2f}, PSNR {psnr_:.1f} dB, azimuth {azimuth:.0f}°, polar angle {polar:.0f}°"
        console.print(text, highlight=False, markup=False, soft_wrap=True)
    said = doubt(min(entry["iou"]))
    if said is not None:
        warnings.warn(said, stacklevel=2)
