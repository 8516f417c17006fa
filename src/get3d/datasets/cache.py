"""What a large folder of images was found to hold, kept so that the next start need not look at every file.

It is kept beside the images, or in the cache folder where the dataset cannot be written to, together with a stamp
(time of change and size) of each folder, each camera file and a share of the images. Any other stamp, and the folder
is read anew.
"""

import hashlib
import os
import zipfile
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
"""At most so many images, evenly spread, are looked at before training; `get3d check` reads all."""
_WORTH = 5_000
"""Folders with fewer images are read in less than a second anyway."""
_SETTLED = 2.0
"""Seconds for which a folder must have been left alone: some file systems count its time of change no finer."""
_FORMAT = 1
_THREADS = 16


@dataclass(frozen=True)
class Found:
    """What was found in a folder whose images all have cameras, and the other way round.

    Attributes:
        images: names of the images, in order.
        angles: azimuth and polar angle of each one's camera, and where it is turned the angle of the light, radians.
    """

    images: list[str]
    angles: Float[np.ndarray, "n k"]


def evenly(count: int) -> range:
    """Numbers of at most `LOOKED_AT` images of so many, evenly spread."""
    return range(0, count, max(1, -(-count // LOOKED_AT)))


def recall(root: Path, folder: str) -> Found | None:
    """What was found before; None where it was not kept, or the folder has changed since.

    Args:
        root: the dataset's folder.
        folder: where the images lie in it.
    """
    for place in _places(root):
        try:
            arrays = read_npz(place)
            if (int(arrays["format"]), str(arrays["folder"])) != (_FORMAT, folder):
                continue
            watched, stamps = _names(arrays["watched"]), arrays["stamps"]
            found = Found(_names(arrays["images"]), arrays["angles"])
            # What comes with a dataset is a stranger's, this file too. An InputError is a ValueError.
            require_names([*found.images, *watched], place)
        except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile):
            continue
        if np.array_equal(stamps_of(root, watched), stamps):
            return found
    return None


def remember(root: Path, folder: str, tables: Iterable[str], found: Found, began: float) -> None:
    """Keeps what was found, if the folder is large and nothing in it changed recently.

    Args:
        root: the dataset's folder.
        folder: where the images lie in it.
        tables: the files and folders in it that hold the cameras.
        found: what was found.
        began: when reading began, in seconds since the epoch.
    """
    if len(found.images) < _WORTH:
        return
    places = {folder}
    for name in found.images:
        parent = name.rpartition("/")[0]
        while parent and f"{folder}/{parent}" not in places:
            places.add(f"{folder}/{parent}")
            parent = parent.rpartition("/")[0]
    shown = (f"{folder}/{found.images[number]}" for number in evenly(len(found.images)))
    watched = [*tables, *sorted(places), *shown]
    stamps = stamps_of(root, watched)
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
                    watched=_joined(watched),
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
    """Time of change in nanoseconds and size of each file or folder; −1 where it is missing."""
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
