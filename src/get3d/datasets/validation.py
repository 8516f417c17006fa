"""Validation of datasets without decoding images, done at every start of training."""

import math
import os
import struct
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path

import numpy as np

from get3d.datasets.cache import evenly
from get3d.datasets.config import RESOLUTIONS
from get3d.datasets.description import LARGEST
from get3d.datasets.index import Listing
from get3d.datasets.shards import INDEX, in_parts
from get3d.files import InputError, open_file

__all__ = ["RESOLUTIONS", "Problem", "content_problem", "head_problem", "quick_problems"]

_THREADS = 16
"""Number of threads: files on a network are read in parallel, because each access waits."""
_END = b"IEND\xaeB`\x82"
_COLOR_TYPES = {0: "grey", 2: "RGB", 3: "palette", 4: "grey and alpha"}
_RGBA = 6
_GRID = 2.0
_TOLERANCE = 0.01
"""Tolerance in degrees for angles outside the prior."""


@dataclass(frozen=True)
class Problem:
    """Something wrong with a dataset.

    Attributes:
        file: the file.
        message: the file, what is wrong, the value, and the fix.
    """

    file: Path
    message: str

    @classmethod
    def found(cls, file: Path, what: str, fix: str) -> "Problem":
        """A problem with a message from its parts."""
        return cls(file, f"{file}: {what}; {fix}")


def quick_problems(listing: Listing) -> tuple[int, list[Problem]]:
    """The resolution of the images, and problems of files, cameras and splits, without decoding an image.

    Raises:
        InputError: the resolution is not known, because not even the first image can be read.
    """
    resolution = _resolution_of(listing) if listing.resolution is None else listing.resolution
    problems = []
    if resolution not in RESOLUTIONS:
        problems.append(
            Problem.found(
                listing.path(0) if listing.resolution is None else listing.root / "dataset.json",
                f"the resolution is {resolution}",
                "it must be a power of two from 16 to 2048: make the images again",
            )
        )
    files, ends = ([], []) if listing.seen else (_file_problems(listing), _ends_problems(listing, resolution))
    described = _scale_problems(listing) + _split_problems(listing)
    return resolution, problems + files + described + _angle_problems(listing) + _turn_problems(listing) + ends


def head_problem(path: Path, head: bytes, resolution: int) -> Problem | None:
    """Problems in the first 26 bytes of an image: not a PNG, no alpha channel, another size."""
    if not _is_png(head):
        return Problem.found(path, "is not a PNG file, or is truncated", "make the image again")
    width, height, _, color = struct.unpack(">IIBB", head[16:26])
    if color != _RGBA:
        kind = _COLOR_TYPES.get(color, "unknown")
        what = f"has no alpha channel ({kind})"
        return Problem.found(path, what, "save it as RGBA with the object masked")
    if (width, height) != (resolution, resolution):
        what = f"is {width} × {height}, the dataset's images are {resolution} × {resolution}"
        return Problem.found(path, what, "make the image again")
    return None


def content_problem(path: Path, content: bytes, resolution: int) -> Problem | None:
    """Problems in the bytes of an image, without decoding it: a wrong header, or no end."""
    return head_problem(path, content[:26], resolution) or _end_problem(path, content[-len(_END) :])


def _end_problem(path: Path, end: bytes) -> Problem | None:
    if end == _END:
        return None
    return Problem.found(path, "is truncated: a PNG file ends with IEND", "make the image again")


def _is_png(head: bytes) -> bool:
    return len(head) >= 26 and head[:8] == b"\x89PNG\r\n\x1a\n" and head[12:16] == b"IHDR"


def _resolution_of(listing: Listing) -> int:
    path = listing.path(0)
    try:
        with open_file(path) as file:
            head = file.read(26)
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror}); restore it or remove its camera") from error
    if not _is_png(head):
        raise InputError(f"{path}: is not a PNG file, or is truncated; make the image again")
    return int(struct.unpack(">I", head[16:20])[0])


def _ends_problems(listing: Listing, resolution: int) -> list[Problem]:
    """What the first and last bytes of some images, evenly spread, say against them."""

    def problems(numbers: Sequence[int]) -> list[Problem]:
        found = (ends_problem(listing.path(number), resolution) for number in numbers)
        return [problem for problem in found if problem is not None]

    numbers = evenly(len(listing.images))
    step = math.ceil(len(numbers) / _THREADS)
    with ThreadPoolExecutor(_THREADS) as pool:
        parts = pool.map(problems, (numbers[start : start + step] for start in range(0, len(numbers), step)))
        return [problem for part in parts for problem in part]


def ends_problem(path: Path, resolution: int) -> Problem | None:
    """What is wrong with the start and the end of an image file."""
    try:
        with open_file(path) as file:
            problem = head_problem(path, file.read(26), resolution)
            if problem is not None:
                return problem
            file.seek(-len(_END), os.SEEK_END)
            return _end_problem(path, file.read())
    except FileNotFoundError:
        return None  # A missing image is told of with the files.
    except OSError as error:
        return Problem.found(path, f"cannot be read ({error.strerror})", "make the image again")


def _file_problems(listing: Listing) -> list[Problem]:
    folder = listing.root / listing.folder
    present, cameras = set(listing.present), Counter(listing.images)
    missing = [
        Problem.found(folder / name, "has a camera but is missing", "restore the image or remove its camera")
        for name in cameras
        if name not in present
    ]
    unlisted = [
        Problem.found(folder / name, "has no camera", "add its camera or remove the image")
        for name in listing.present
        if name not in cameras
    ]
    repeated = [
        Problem.found(folder / name, f"has {count} cameras", "keep one of them")
        for name, count in cameras.items()
        if count > 1
    ]
    return missing + unlisted + repeated


def _scale_problems(listing: Listing) -> list[Problem]:
    if listing.scale < _GRID:
        return []
    what = f"objects are {listing.scale:g} long, and shapes are learned in a cube of a side below {_GRID:g}"
    fix = "divide `scale`, and the `radius` of `camera`, by the same number"
    return [Problem.found(listing.root / "dataset.json", what, fix)]


def _split_problems(listing: Listing) -> list[Problem]:
    problems = []
    if not len(listing.splits.get("train", ())):
        what = f"none of the {len(listing.objects)} objects is in the split 'train'"
        fix = "name the objects to learn from under `splits` in dataset.json, or in a folder for --splits"
        problems.append(Problem.found(listing.root, what, fix))
    for first, second in combinations(sorted(listing.splits), 2):
        both = np.intersect1d(listing.splits[first], listing.splits[second])
        if len(both):
            problems.append(
                Problem.found(
                    listing.root,
                    f"the object {listing.objects[both[0]]!r} is in the splits {first} and {second} "
                    f"({len(both)} such objects)",
                    "an object may be in one split only",
                )
            )
    return problems


def _turn_problems(listing: Listing) -> list[Problem]:
    """Turns of the light that are not finite, or too large for single precision."""
    if listing.turns is None:
        return []
    table = listing.root / (INDEX if listing.shards is not None else "cameras.csv")
    wrong: list[int] = []
    for part in in_parts(len(listing.turns)):
        wrong += (part.start + np.flatnonzero(~(np.abs(listing.turns[part]) <= math.radians(LARGEST)))).tolist()
    return [
        Problem.found(
            table,
            f"the light of {listing.images[number]} is turned by {listing.turns[number]:g} radians",
            f"correct it: at most {LARGEST:g}°",
        )
        for number in wrong
    ]


def _angle_problems(listing: Listing) -> list[Problem]:
    """Angles that are not finite, in the wrong unit, or outside the prior."""
    parts = in_parts(len(listing.angles))
    (low, high), (top, bottom) = listing.prior.azimuth, listing.prior.polar
    table = listing.root / {"images": "cameras.csv", "img": "camera"}.get(listing.folder, INDEX)
    with np.errstate(over="ignore"):
        largest = np.max([np.abs(np.degrees(listing.angles[part, 0])).max() for part in parts])
    if len(listing.angles) >= 8 and high - low > 20 and largest <= 2 * math.pi + 1e-3:
        what = f"no azimuth is larger than {largest:.3f}, so the angles seem to be radians"
        return [Problem.found(table, what, "write angles in degrees")]
    wrong: list[int] = []
    for part in parts:
        with np.errstate(over="ignore"):
            azimuth, polar = np.degrees(listing.angles[part]).T
        # An angle that is far larger has no meaning in single precision, or is not finite there.
        finite = np.abs(azimuth) <= LARGEST
        turned = np.where(finite, azimuth - low + _TOLERANCE, 0.0) % 360
        inside = (turned <= high - low + 2 * _TOLERANCE) | (high - low >= 360)
        inside &= (polar >= top - _TOLERANCE) & (polar <= bottom + _TOLERANCE)
        wrong += (part.start + np.flatnonzero(~(finite & inside))).tolist()
    prior = f"outside azimuth {low:g}° to {high:g}°, polar angle {top:g}° to {bottom:g}°"
    return [
        Problem.found(
            table,
            f"the camera of {listing.images[number]} has azimuth {azimuth:g}° and polar angle "
            f"{polar:g}° from straight above, {prior}",
            "correct it, or the range in dataset.json (`camera`)",
        )
        for number in wrong
        for azimuth, polar in [map(math.degrees, listing.angles[number].tolist())]
    ]
