"""The kinds of camera files that `get3d import` reads, one table row each.

A new kind is one row of `CAMERA_FORMATS`: how its files are recognised, and a function that reads them as `Poses`.
Everything after that (matching with images and masks, fitting the orbit, cropping, writing) knows no kind.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path

from get3d.authoring.from_images.colmap import read_colmap
from get3d.authoring.from_images.poses import Poses
from get3d.authoring.from_images.tables import AZIMUTH_FILES, LEVEL_FILES, read_csv, read_pair
from get3d.authoring.from_images.transforms import read_split_transforms, read_transforms

__all__ = ["CAMERA_FORMATS", "CameraFormat", "format_of_file", "format_of_folder", "known_formats"]

ReadPoses = Callable[[Path, Sequence[str], float], Poses]
"""Takes the file or folder, the names of the images that it may be of, in order, and --fov in degrees.

It raises `InputError` if the file cannot be used; a single camera that cannot be used goes into `Poses.refused`.
"""


@dataclass(frozen=True)
class CameraFormat:
    """A kind of camera files.

    Attributes:
        name: what messages call it.
        read: reads a file, or a folder, of this kind.
        files: patterns of the names of files that can be given as --cameras, in lower case.
        folder: a folder is of this kind if it has, for each of these groups, a file that matches one of its patterns.
            Empty: folders are not searched for it.
    """

    name: str
    read: ReadPoses
    files: tuple[str, ...] = ()
    folder: tuple[tuple[str, ...], ...] = ()


CAMERA_FORMATS: dict[str, CameraFormat] = {
    "csv": CameraFormat(
        name="a .csv table",
        files=("*.csv",),
        read=lambda path, images, fov: read_csv(path, fov),
    ),
    "transforms": CameraFormat(
        name="a transforms.json",
        files=("*.json",),
        folder=(("transforms*.json",),),
        read=lambda path, images, fov: read_split_transforms(path) if path.is_dir() else read_transforms(path),
    ),
    "pair": CameraFormat(
        name="a folder with a pair of tables (azimuth.npy, elevation.npy)",
        folder=(AZIMUTH_FILES, LEVEL_FILES),
        read=read_pair,
    ),
    "colmap": CameraFormat(
        name="a COLMAP text model (cameras.txt, images.txt)",
        files=("cameras.txt", "images.txt"),
        # A binary model is found too: its reader says how to convert it.
        folder=(("images.txt", "images.bin"),),
        read=lambda path, images, fov: read_colmap(path if path.is_dir() else path.parent),
    ),
}
"""By name. If a folder is of several kinds, the last of them is read."""


def known_formats() -> str:
    """The kinds of camera files, as a sentence for messages."""
    *names, last = [each.name for each in CAMERA_FORMATS.values()]
    return f"cameras are read from {', '.join(names)} or {last}"


def format_of_file(name: str) -> CameraFormat | None:
    """The kind of a file with this name; of several, the last in the table."""
    found = [each for each in CAMERA_FORMATS.values() if _matches(name.lower(), each.files)]
    return found[-1] if found else None


def format_of_folder(files: Sequence[str]) -> CameraFormat | None:
    """The kind of a folder that holds files with these names; of several, the last in the table."""
    found = [
        each
        for each in CAMERA_FORMATS.values()
        if each.folder and all(any(_matches(name, group) for name in files) for group in each.folder)
    ]
    return found[-1] if found else None


def _matches(name: str, patterns: Sequence[str]) -> bool:
    return any(fnmatchcase(name, pattern) for pattern in patterns)
