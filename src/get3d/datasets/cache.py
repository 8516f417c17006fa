"""Cached listings of large folders, so that the next start need not read every file.

A listing is stored in the dataset, or in the cache folder if the dataset is read-only, together with a stamp
(modification time and size) of each folder, each camera file and a share of the images. If a stamp differs, the folder
is read again.
"""

import hashlib
import os
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Float, Int64

from get3d.arrays import read_npz
from get3d.files import InputError, require_names, writing

__all__ = ["LOOKED_AT", "Found", "evenly", "recall", "remember", "stamps_of"]

LOOKED_AT = 20_000
"""Maximum number of images, evenly spread, that are checked before training; `get3d check` reads all."""
LARGE_FOLDER = 5_000
"""Listings are cached from this number of images; smaller folders are read in less than a second."""
_SETTLED = 2.0
"""Seconds for which a folder must be unchanged, because of the coarse modification times of some file systems."""
_FORMAT = 1
_THREADS = 16


@dataclass(frozen=True)
class Found:
    """A listing of a folder whose images and cameras match.

    Attributes:
        images: names of the images, in order.
        angles: azimuth and polar angle of each camera and, if the light is turned in each image, its angle; radians.
    """

    images: list[str]
    angles: Float[np.ndarray, "n k"]


def evenly(count: int) -> range:
    """Indices of at most `LOOKED_AT` of `count` images, evenly spread."""
    return range(0, count, max(1, -(-count // LOOKED_AT)))


def recall(root: Path, folder: str) -> Found | None:
    """The cached listing; None if there is none, or if the folder has changed since.

    Args:
        root: the dataset folder.
        folder: its folder of images.
    """
    for place in _places(root):
        try:
            arrays = read_npz(place)
            if (int(arrays["format"]), str(arrays["folder"])) != (_FORMAT, folder):
                continue
            tracked, stamps = _names(arrays["tracked"]), arrays["stamps"]
            found = Found(_names(arrays["images"]), arrays["angles"])
            if found.angles.dtype != np.float64 or found.angles.shape not in ((len(found.images), k) for k in (2, 3)):
                continue
            # Everything in a dataset is untrusted, including this file. An InputError is a ValueError.
            require_names([*found.images, *tracked], place)
        except (OSError, ValueError, KeyError, TypeError, OverflowError, AttributeError):
            continue
        if np.array_equal(stamps_of(root, tracked), stamps):
            return found
    return None


def remember(root: Path, folder: str, tables: Iterable[str], found: Found, began: float) -> None:
    """Caches a listing, if the folder is large and nothing in it changed recently.

    Args:
        root: the dataset folder.
        folder: its folder of images.
        tables: its files and folders with cameras.
        found: the listing.
        began: start of reading, in seconds since the epoch.
    """
    if len(found.images) < LARGE_FOLDER:
        return
    places = {folder}
    for name in found.images:
        parent = name.rpartition("/")[0]
        while parent and f"{folder}/{parent}" not in places:
            places.add(f"{folder}/{parent}")
            parent = parent.rpartition("/")[0]
    sampled = (f"{folder}/{found.images[number]}" for number in evenly(len(found.images)))
    tracked = [*tables, *sorted(places), *sampled]
    stamps = stamps_of(root, tracked)
    if stamps[:, 0].max() > (began - _SETTLED) * 1e9:
        return
    for place in _places(root):
        try:
            with writing(place) as temporary, temporary.open("wb") as file:
                np.savez(
                    file,
                    format=_FORMAT,
                    folder=folder,
                    images=_joined(found.images),
                    angles=found.angles,
                    tracked=_joined(tracked),
                    stamps=stamps,
                )
        except InputError:
            continue
        return


def _places(root: Path) -> tuple[Path, Path]:
    base = os.environ.get("XDG_CACHE_HOME")
    cache = (Path(base) if base else Path.home() / ".cache") / "get3d" / "folders"
    return root / ".folder.npz", cache / f"{hashlib.sha256(str(root.resolve()).encode()).hexdigest()}.npz"


def stamps_of(root: Path, names: Sequence[str]) -> Int64[np.ndarray, "k 2"]:
    """Modification time in nanoseconds and size of each file or folder; −1 if it is missing."""
    top = os.fspath(root)

    def stamps(part: Sequence[str]) -> list[tuple[int, int]]:
        found = []
        for name in part:
            try:
                status = os.stat(f"{top}/{name}")  # noqa: PTH116 (many; a Path costs more than the call)
            except OSError:
                found.append((-1, -1))
            else:
                found.append((status.st_mtime_ns, status.st_size))
        return found

    step = max(1, -(-len(names) // _THREADS))
    with ThreadPoolExecutor(_THREADS) as pool:
        parts = pool.map(stamps, (names[start : start + step] for start in range(0, len(names), step)))
        return np.array([stamp for part in parts for stamp in part], dtype=np.int64).reshape(-1, 2)


def _joined(names: Sequence[str]) -> np.ndarray:
    return np.frombuffer("\0".join(names).encode("utf-8", "surrogateescape"), dtype=np.uint8)


def _names(joined: np.ndarray) -> list[str]:
    return joined.tobytes().decode("utf-8", "surrogateescape").split("\0")
