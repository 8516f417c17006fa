"""The import command: each image becomes part of a dataset, or is left out with a reason."""

import json
import math
import os
import shlex
import shutil
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float
from rich.console import Console
from rich.progress import Progress

from get3d.authoring.from_images.config import ImportConfig
from get3d.authoring.from_images.crop import Made, UnusableImageError, Window, write_image
from get3d.authoring.from_images.matching import Left, Matched, match
from get3d.authoring.from_images.report import make_report, nothing_left, print_report
from get3d.authoring.from_images.visual_hull import hull_size
from get3d.authoring.from_images.windows import fit_windows
from get3d.camera_prior import DEFAULT_FOV, DEFAULT_RADIUS, CameraPrior
from get3d.datasets.advice import border_advice
from get3d.datasets.alpha import framing
from get3d.datasets.camera_table import write_cameras
from get3d.datasets.index import SPLITS, Description, split_of
from get3d.datasets.loader import decode
from get3d.datasets.validation import RESOLUTIONS
from get3d.files import InputError, make_name, require_writable, write_json

__all__ = ["ImportConfig", "import_images"]

_MEASURED = 12
_BEYOND = 1.25
"""Maximum length of an object, as a multiple of the longest side of its box in an image at the centre's distance."""
_ENOUGH = 6
"""With fewer images of an object its depth is not known: the hull is up to twice as long as the object."""
_GAP = 60.0
"""Azimuths with no larger gap than this, in degrees, are assumed to cover the full circle."""


def import_images(config: ImportConfig, console: Console) -> dict[str, Any]:
    """Makes the dataset and its report.json, prints the report, and returns it.

    Raises:
        InputError: the images, masks or cameras cannot be read, not one image can be used, or the folder cannot be
            written to or contains something else.
    """
    root = _require_own(config)
    matched = match(config.images, config.cameras, config.masks, config.up, config.centre, config.fov, config.tolerance)
    fitted = fit_windows(matched, config.fit, config.tolerance)
    left = matched.left + fitted.left
    fov = math.degrees(2 * math.atan(fitted.ratio / 2))
    radius = config.radius or DEFAULT_RADIUS * 2 * math.tan(DEFAULT_FOV / 2) / fitted.ratio
    degrees = (matched.angles + np.array([config.turn, 0.0])) % 360
    chosen = _in_range(config, degrees, matched, sorted(fitted.windows), left)
    names = _names(config, matched, chosen, left)
    if not names:
        raise InputError(nothing_left(config.cameras, left))
    resolution = _resolution(config, [fitted.windows[number].side for number in names])
    require_writable(root)
    (root / "cameras.csv").unlink(missing_ok=True)
    shutil.rmtree(root / "images", ignore_errors=True)
    # Written first, so that an unfinished import is known again; the scale and the ranges of angles come at the end.
    _description(config, resolution, config.scale or 1.0, CameraPrior(radius=radius, fov=fov), []).write(root)
    made = dict(_write(config, matched, names, fitted.windows, resolution, left, console))
    if not made:
        raise InputError(nothing_left(config.cameras, left))
    kept = sorted(made, key=lambda number: names[number])
    images, degrees = [names[number] for number in kept], degrees[kept]
    prior = _prior(config, degrees, radius, fov)
    measured = _measure(root, images, degrees, prior, resolution, scaled=config.scale is not None)
    objects = sorted({name.rpartition("/")[0] for name in images})
    description = _description(config, resolution, config.scale or measured.size, prior, objects)
    description.write(root)
    warnings = []
    if measured.odd:
        warnings.append(
            f"the silhouettes of {measured.odd} of {measured.objects} objects have no common point: their cameras "
            "may follow another convention"
        )
    report = make_report(matched, description, made, left, warnings + matched.warnings + measured.warnings)
    write_json(root / "report.json", report)
    write_cameras(root, images, degrees)
    print_report(report, root, console)
    return report


def _require_own(config: ImportConfig) -> Path:
    """The folder of the dataset, which is empty or contains an import with the same settings, complete or not."""
    if config.out.resolve().is_relative_to(config.images.resolve()):
        raise InputError(f"--out is {config.out}, within the folder of the images; choose another folder")
    root = config.out
    if (root / "dataset.json").is_file() and Description.read(root).source.get("settings") == _settings(config):
        return root
    if root.exists() and (not root.is_dir() or any(root.iterdir())):
        raise InputError(f"{root}: is not empty and holds no import of the same settings; choose another --out")
    return root


def _in_range(
    config: ImportConfig, degrees: Float[np.ndarray, "n 2"], matched: Matched, numbers: list[int], left: list[Left]
) -> list[int]:
    """The images whose cameras are in the requested ranges."""
    (low, high), (top, bottom) = config.azimuth or (0.0, 360.0), config.polar or (0.0, 180.0)
    azimuth, polar = degrees.T
    inside = ((azimuth - low) % 360 <= high - low) & (polar >= top) & (polar <= bottom)
    for number in numbers:
        if not inside[number]:
            text = (
                f"azimuth {azimuth[number]:.2f}° and polar angle {polar[number]:.2f}° are outside the requested range"
            )
            left.append(Left(matched.images[number], "range", text))
    return [number for number in numbers if inside[number]]


def _resolution(config: ImportConfig, sides: list[int]) -> int:
    if config.resolution is not None:
        return config.resolution
    low, middle, high = min(sides), sorted(sides)[len(sides) // 2], max(sides)
    if low == high and low in RESOLUTIONS:
        return low
    nearest = max([side for side in RESOLUTIONS if side <= middle], default=RESOLUTIONS[0])
    raise InputError(
        f"{config.images}: images are {low} to {high} pixels wide, and a dataset's are all of one power of two "
        f"from 16 to 2048; resample them with --resolution {nearest}"
    )


def _names(config: ImportConfig, matched: Matched, numbers: list[int], left: list[Left]) -> dict[int, str]:
    """Names of the dataset's images, object / view, by the images' numbers."""
    names: dict[int, str] = {}
    taken: dict[str, str] = {}
    for number in numbers:
        image, folder = matched.images[number], matched.objects[number] if config.object is None else ""
        view = image.removeprefix(f"{folder}/").rpartition(".")[0].replace("/", "-")
        name = make_name(f"{config.object or folder or _folder_name(config)}/{view}.png")
        if name in taken:
            left.append(Left(image, "name", f"{taken[name]} is already named {name}"))
        else:
            taken[name] = image
            names[number] = name
    return names


def _folder_name(config: ImportConfig) -> str:
    return make_name(config.images.resolve().name)


def _settings(config: ImportConfig) -> dict[str, Any]:
    return json.loads(json.dumps(asdict(config), default=str))


def _command(config: ImportConfig) -> str:
    """The command line that the configuration is made by."""
    words = ["get3d", "import", str(config.images)]
    for prefix, values in (("", config), ("tolerance.", config.tolerance)):
        for option in fields(values):
            value = getattr(values, option.name)
            if option.name in ("images", "tolerance") or value == option.default:
                continue
            parts = value if isinstance(value, tuple) else (value,)
            words += [f"--{prefix}{option.name}={parts[0]}", *map(str, parts[1:])]
    return shlex.join(words)


def _description(
    config: ImportConfig, resolution: int, scale: float, prior: CameraPrior, objects: list[str]
) -> Description:
    splits: dict[str, list[str]] = {split: [] for split in SPLITS}
    for number, name in enumerate(objects):
        splits[split_of(number)].append(name)
    return Description(
        kind=config.kind or _folder_name(config),
        resolution=resolution,
        scale=scale,
        prior=prior,
        splits=splits,
        licence=config.licence,
        source={"command": _command(config), "settings": _settings(config)},
    )


def _write(
    config: ImportConfig,
    matched: Matched,
    names: Mapping[int, str],
    windows: Mapping[int, Window],
    resolution: int,
    left: list[Left],
    console: Console,
) -> Iterator[tuple[int, Made]]:
    """Writes the images; gives the number of each that could be, and how."""

    def work(number: int) -> Made | UnusableImageError:
        out = config.out / "images" / names[number]
        try:
            return write_image(matched.heads[number], windows[number], resolution, out)
        except UnusableImageError as error:
            return error

    with ThreadPoolExecutor(os.cpu_count() or 1) as pool, Progress(console=console, transient=True) as progress:
        results = progress.track(pool.map(work, names), total=len(names), description="images")
        for number, result in zip(names, results, strict=True):
            if isinstance(result, UnusableImageError):
                left.append(Left(matched.images[number], "image", str(result)))
            else:
                yield number, result


def _prior(config: ImportConfig, degrees: Float[np.ndarray, "n 2"], radius: float, fov: float) -> CameraPrior:
    """Ranges with all cameras, in integer degrees."""
    azimuth = np.unique(degrees[:, 0])
    gaps = np.diff(azimuth, append=azimuth[0] + 360)
    widest = int(gaps.argmax())
    whole = gaps[widest] <= _GAP
    start = float(np.floor(azimuth[(widest + 1) % len(azimuth)]))
    around = (0.0, 360.0) if whole else (start, start + float(np.ceil(360 - gaps[widest])) + 1)
    top, bottom = float(np.floor(degrees[:, 1].min())), float(np.ceil(degrees[:, 1].max()))
    if top == bottom:
        top, bottom = max(0.0, top - 1), min(180.0, bottom + 1)
    return CameraPrior(config.azimuth or around, config.polar or (top, max(bottom, 4.0)), radius, fov)


@dataclass(frozen=True)
class _Measured:
    """What silhouettes say: how long the longest object is, how many have none that fit, and what else to know."""

    size: float
    objects: int
    odd: int
    warnings: list[str]


def _measure(
    root: Path,
    images: list[str],
    degrees: Float[np.ndarray, "n 2"],
    prior: CameraPrior,
    resolution: int,
    *,
    scaled: bool,
) -> _Measured:
    owners = np.array([name.rpartition("/")[0] for name in images])
    objects = np.unique(owners)
    chosen = objects[:: max(1, len(objects) // _MEASURED)][:_MEASURED]
    sizes, odd, fewest, framings = [], 0, len(images), []
    for name in chosen:
        views = np.flatnonzero(owners == name)
        views = views[:: max(1, len(views) // (2 * _MEASURED))][: 2 * _MEASURED]
        alpha = np.stack([decode(root / "images" / images[view], resolution)[3] for view in views])
        framings += [framing(one) for one in alpha]
        hull = hull_size(alpha, degrees[views], prior.radius, prior.fov)
        extent = max(one.extent for one in framings[-len(alpha) :])
        shown = extent * 2 * prior.radius * math.tan(math.radians(prior.fov) / 2)
        odd += hull == 0
        fewest = min(fewest, len(views))
        # What few images have in common reaches far in depth, so that what an image shows bounds it.
        bound = shown if len(views) < _ENOUGH else _BEYOND * shown
        sizes.append(min(hull, bound) if hull else shown)
    warnings = []
    if fewest < _ENOUGH and not scaled:
        seen = "one image" if fewest == 1 else f"{fewest} images"
        warnings.append(
            f"the objects' length cannot be measured well from {seen} of an object, so {max(sizes):.3g} is a guess "
            "from the images; give the true one with --scale"
        )
    warnings += border_advice(framings, prior)
    return _Measured(round(max(sizes), 3), len(chosen), odd, warnings)
