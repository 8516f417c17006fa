"""Reads all files of a dataset and reports what is wrong with each: `get3d check`."""

import os
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from hashlib import blake2b
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float
from rich.console import Console
from rich.progress import Progress

from get3d.console import counted
from get3d.datasets.advice import camera_advice, framing_advice, mesh_advice, repeated_advice, split_advice
from get3d.datasets.alpha import Framing, alpha_fault, framing, is_full
from get3d.datasets.config import CheckConfig
from get3d.datasets.ground_truth import read_mesh
from get3d.datasets.index import Listing, read
from get3d.datasets.loader import decode_listed
from get3d.datasets.silhouette_consistency import Comparison, better_convention, compare
from get3d.datasets.validation import Problem, quick_problems
from get3d.files import InputError

__all__ = ["CheckConfig", "Details", "Report", "check", "print_report"]

_SHOWN = 20
"""Maximum number of problems in the text of the report; the others are counted."""
_COMPARED = 12
"""Objects, and images of each, that are compared with ground truth."""
_TRIED_OBJECTS, _TRIED = 6, 4
"""Of so many of those objects, so many images have other conventions tried on them."""
_CONSISTENT = 0.95
"""How much of a mesh's silhouettes must agree with its images, but for a pixel of boundary."""


@dataclass(frozen=True)
class Details:
    """Details of single images, for the HTML report.

    Attributes:
        listing: the dataset.
        framings: position of the object in each usable image, by index.
        repeated: indices of images that are equal, pixel by pixel.
        comparisons: comparisons of some meshes with their images, by index of the object.
    """

    listing: Listing
    framings: dict[int, Framing]
    repeated: list[list[int]]
    comparisons: dict[int, Comparison]


@dataclass(frozen=True)
class Report:
    """The content of a dataset, and what is wrong with it.

    Attributes:
        root: the dataset folder.
        images: number of images.
        objects: number of objects.
        splits: number of objects in each split.
        resolution: side of the images in pixels; 0 if it is not known.
        errors: errors that prevent training.
        advice: advice that does not prevent training.
        touching: images whose object touches the border; training works, but parts of the shape are never seen.
        silhouette_iou: mean intersection over union of silhouettes and ground-truth meshes; None without meshes.
        details: details for the HTML report; None if the dataset could not be listed.
    """

    root: Path
    images: int
    objects: int
    splits: dict[str, int]
    resolution: int
    errors: list[Problem]
    advice: list[str]
    touching: int
    silhouette_iou: float | None
    details: Details | None

    @property
    def usable(self) -> bool:
        """Whether the dataset can be used for training."""
        return not self.errors

    @property
    def verdict(self) -> str:
        """The same in words."""
        count = len(self.errors)
        return "usable" if self.usable else f"not usable: {count} problem{'s' if count > 1 else ''}"

    @property
    def summary(self) -> list[str]:
        """Content and advice; empty if the dataset could not be listed."""
        if self.details is None:
            return self.advice
        splits = ", ".join(f"{split} {count}" for split, count in self.splits.items())
        size = f"{self.resolution} × {self.resolution} pixels"
        images, objects = counted(self.images, "image"), counted(self.objects, "object")
        lines = [f"{self.root}: {images} of {objects} ({splits}), {size}"]
        if self.silhouette_iou is not None:
            lines.append(f"silhouettes agree with the meshes: intersection over union {self.silhouette_iou:.3f}")
        return lines + self.advice

    def __str__(self) -> str:
        lines = [self.verdict] + [problem.message for problem in self.errors[:_SHOWN]]
        if len(self.errors) > _SHOWN:
            lines.append(f"and {len(self.errors) - _SHOWN} more errors")
        return "\n".join(lines + self.summary)

    def as_json(self) -> dict[str, Any]:
        """Everything but the details, as printed by `get3d check --json`."""
        return {
            "format": 1,
            "data": str(self.root),
            "usable": self.usable,
            "images": self.images,
            "objects": self.objects,
            "splits": self.splits,
            "resolution": self.resolution,
            "touching": self.touching,
            "silhouette_iou": self.silhouette_iou,
            "errors": [{"file": str(one.file), "message": one.message} for one in self.errors],
            "advice": self.advice,
        }


def print_report(report: Report, console: Console) -> None:
    """Prints the report to a terminal, with a coloured verdict first."""
    verdict, _, rest = str(report).partition("\n")
    console.print(verdict, style="bold green" if report.usable else "bold red", highlight=False, markup=False)
    console.print(rest, highlight=False, markup=False, soft_wrap=True)


def check(root: Path | str, splits: Path | str | None = None, console: Console | None = None) -> Report:
    """Decodes and checks every image of a dataset and its camera, and compares some images with ground-truth meshes.

    Args:
        root: the dataset folder, in the own or the published layout, or packed.
        splits: folder with train.txt, val.txt and test.txt to use instead of the dataset's own splits.
        console: console for progress.
    """
    root = Path(root)
    try:
        listing = read(root, splits)
        resolution, problems = quick_problems(listing)
    except InputError as error:
        return Report(root, 0, 0, {}, 0, [Problem(root, str(error))], [], 0, None, None)
    if listing.shards is not None:
        problems += [Problem.found(path, what, fix) for path, what, fix in listing.shards.changed()]
    known = {problem.file for problem in problems}
    framings: dict[int, Framing] = {}
    same: dict[bytes, list[int]] = {}
    numbers = [number for number in range(len(listing.images)) if listing.path(number) not in known]
    with (
        ThreadPoolExecutor(os.cpu_count() or 1) as pool,
        Progress(console=console or Console(quiet=True), transient=True) as progress,
    ):
        made = pool.map(partial(_look, listing, resolution), numbers)
        looks = progress.track(made, total=len(numbers), description="images")
        for number, look in zip(numbers, looks, strict=True):
            if isinstance(look, Problem):
                problems.append(look)
            else:
                framings[number] = look.framing
                same.setdefault(look.fingerprint, []).append(number)
    for number in _unmasked(listing, framings):
        fix = "save it with the background transparent, or remove it and its camera"
        problems.append(Problem.found(listing.path(number), "its alpha is full: every pixel is object", fix))
        del framings[number]
    repeated = [group for group in same.values() if len(group) > 1]
    comparisons: dict[int, Comparison] = {}
    if not problems:
        comparisons, problems = _compare_with_meshes(listing, resolution)
    overlaps = [one.overlap.mean() for one in comparisons.values()]
    advice = framing_advice(list(framings.values()), listing.prior) + camera_advice(listing) + split_advice(listing)
    advice += repeated_advice(listing, repeated) + mesh_advice(listing, comparisons)
    return Report(
        root=root,
        images=len(listing.images),
        objects=len(listing.objects),
        splits={split: len(objects) for split, objects in listing.splits.items()},
        resolution=resolution,
        errors=problems,
        advice=advice,
        touching=sum(one.touching for one in framings.values()),
        silhouette_iou=float(np.mean(overlaps)) if overlaps else None,
        details=Details(listing, framings, repeated, comparisons),
    )


@dataclass(frozen=True)
class _Look:
    framing: Framing
    fingerprint: bytes


def _look(listing: Listing, resolution: int, number: int) -> Problem | _Look:
    """Where the object is in an image, and a fingerprint of its pixels; or what is wrong with it."""
    try:
        pixels = decode_listed(listing, number, resolution)
    except InputError as error:
        return Problem(listing.path(number), str(error))
    fault = alpha_fault(pixels[3])
    if fault is not None and not is_full(pixels[3]):
        fix = "save it with the background transparent, or remove it and its camera"
        return Problem.found(listing.path(number), fault, fix)
    return _Look(framing(pixels[3]), blake2b(pixels.tobytes(), digest_size=16).digest())


def _unmasked(listing: Listing, framings: dict[int, Framing]) -> list[int]:
    """Images that are all object, though other images of the object show that it does not fill them: masks forgotten.

    Where an object is so large that it touches the border of most of its images, one that it fills is no mistake.
    """
    full = {number for number, one in framings.items() if one.covers_image}
    if not full:
        return []
    others: dict[int, list[bool]] = {}
    for number, one in framings.items():
        if number not in full:
            others.setdefault(int(listing.object_index[number]), []).append(one.touching)
    touching = {thing: 2 * sum(views) > len(views) for thing, views in others.items()}
    return [number for number in sorted(full) if not touching.get(int(listing.object_index[number]), False)]


def _compare_with_meshes(listing: Listing, resolution: int) -> tuple[dict[int, Comparison], list[Problem]]:
    """Some objects' meshes and images compared, and what is wrong with cameras and meshes."""
    comparisons: dict[int, Comparison] = {}
    problems = []
    paths = [listing.root / "meshes" / f"{name}.glb" for name in listing.objects]
    present = [number for number, path in enumerate(paths) if path.is_file()]
    for number in present[:: max(1, len(present) // _COMPARED)][:_COMPARED]:
        try:
            mesh = read_mesh(paths[number])
        except InputError as error:
            problems.append(Problem(paths[number], str(error)))
            continue
        tried = _TRIED if len(comparisons) < _TRIED_OBJECTS else 0
        views = np.flatnonzero(listing.object_index == number)[:_COMPARED]
        alpha = np.stack([decode_listed(listing, view, resolution)[3] for view in views.tolist()])
        comparisons[number] = compare(mesh, np.degrees(listing.angles[views]), listing.prior, alpha, tried)
    better = better_convention(list(comparisons.values())) if comparisons else None
    if better is not None:
        problems.append(_wrong_convention(listing, better, comparisons))
        return comparisons, problems
    for number, found in comparisons.items():
        if found.consistency < _CONSISTENT:
            name = listing.objects[number]
            what = f"its silhouettes agree poorly with the images of {name} ({found.consistency:.2f})"
            fix = "angles, radius, field of view or the mesh's axes follow other conventions, see docs/datasets.md"
            problems.append(Problem.found(paths[number], what, fix))
    return comparisons, problems


def _wrong_convention(listing: Listing, better: str, comparisons: dict[int, Comparison]) -> Problem:
    overlaps: Float[np.ndarray, "c w"] = np.concatenate([one.conventions for one in comparisons.values()], axis=1)
    means = overlaps.mean(axis=1)
    return Problem.found(
        listing.root / "meshes",
        f"the meshes' silhouettes agree poorly with the images ({means[0]:.2f}), and better ({np.nanmax(means):.2f}) "
        f"when cameras are read as {better}",
        "the recorded angles, or the meshes' axes, follow another convention, see docs/datasets.md",
    )
