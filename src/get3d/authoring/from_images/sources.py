"""Finds camera files, and the images that they name."""

import os
import posixpath
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from get3d.authoring.from_images.formats import format_of_file, format_of_folder, known_formats
from get3d.authoring.from_images.poses import Poses
from get3d.files import InputError

__all__ = ["SUFFIXES", "Present", "Source", "find_sources", "list_images", "without_copies"]

SUFFIXES = (".png", ".jpg", ".jpeg", ".webp", ".tif", ".tiff")
"""Of images that can be read."""
_IMAGES = re.compile(r"images(_\d+)?")
_REDUCED = re.compile(r"images_\d+")
"""Folders of nerfstudio, of images and of smaller copies of them."""


@dataclass(frozen=True)
class Source:
    """A camera file.

    Attributes:
        object: folder of its object, if there is a camera file for each object; otherwise None.
        poses: its cameras, or the reason why they cannot be read.
    """

    object: str | None
    poses: Poses | InputError


def list_images(root: Path, without: Path | None) -> list[str]:
    """Sorted names of all images below a folder, relative to it, except for those in the folder `without`.

    Raises:
        InputError: there is no such folder, or no image in it.
    """
    if not root.is_dir():
        raise InputError(f"{root}: no such folder; give the folder of the images")
    found = []
    for place, folders, files in os.walk(root):
        folders[:] = [
            name for name in folders if without is None or (Path(place) / name).resolve() != without.resolve()
        ]
        prefix = Path(place).relative_to(root).as_posix()
        names = [name for name in files if name.lower().endswith(SUFFIXES) and not name.startswith(".")]
        found += names if prefix == "." else [f"{prefix}/{name}" for name in names]
    if not found:
        raise InputError(f"{root}: holds no image ({', '.join(SUFFIXES)}); give the folder of the images")
    return sorted(found)


def find_sources(cameras: Path, images: list[str], fov: float) -> list[Source]:
    """Reads the cameras of one file, or of a file in each object's folder.

    Args:
        cameras: the file, a folder of one of `CAMERA_FORMATS`, or a folder of such folders, named after the objects.
        images: names of all images.
        fov: vertical field of view in degrees, for tables.

    Raises:
        InputError: there is no such file, or it has no known format or cannot be used.
    """
    if cameras.is_file():
        known = format_of_file(cameras.name)
        if known is None:
            raise InputError(f"{cameras}: has no known format; {known_formats()}")
        return [Source(None, known.read(cameras, images, fov))]
    if not cameras.is_dir():
        raise InputError(f"{cameras}: no such file or folder; {known_formats()}")
    found = []
    for place, folders, files in os.walk(cameras):
        folders.sort()
        known = format_of_folder(files)
        if known is None:
            continue
        name = Path(place).relative_to(cameras).as_posix()
        if name == ".":
            return [Source(None, known.read(cameras, images, fov))]
        owner = _object_of(name)
        own = [image for image in images if image.startswith(f"{owner}/")]
        try:
            found.append(Source(owner, known.read(Path(place), own, fov)))
        except InputError as error:
            # The cameras of one object do not stop the others.
            found.append(Source(owner, error))
    if not found:
        raise InputError(f"{cameras}: holds no cameras; {known_formats()}")
    return found


def _object_of(name: str) -> str:
    """The object of a folder of cameras: COLMAP puts its models in sparse/0."""
    parts = name.split("/")
    while len(parts) > 1 and parts[-1] in ("0", "sparse"):
        parts.pop()
    return "/".join(parts)


def without_copies(images: list[str]) -> tuple[list[str], list[str]]:
    """Removes the smaller copies of images that nerfstudio writes: images_2, images_4 … next to images.

    Returns:
        The other images, and a note for each folder of copies.
    """
    present = frozenset(images)
    kept: list[str] = []
    copies: dict[str, int] = {}
    for name in images:
        parts = name.split("/")
        place = next((number for number, part in enumerate(parts[:-1]) if _REDUCED.fullmatch(part)), None)
        if place is not None and "/".join([*parts[:place], "images", *parts[place + 1 :]]) in present:
            folder = "/".join(parts[: place + 1])
            copies[folder] = copies.get(folder, 0) + 1
        else:
            kept.append(name)
    warnings = [
        f"{folder}: its {count} images are smaller copies of those of images, and were ignored"
        for folder, count in copies.items()
    ]
    return kept, warnings


class Present:
    """Finds existing images by their names in camera files.

    Only existing images can be found, so no path leads out of their folder.
    """

    def __init__(self, root: Path, images: Sequence[str]) -> None:
        """Takes the names of the images in the folder `root`."""
        self._root = root.resolve()
        # Of images that differ only in their suffix, the first of SUFFIXES is taken.
        rank = {suffix: number for number, suffix in enumerate(SUFFIXES)}
        ordered = sorted(images, key=lambda name: rank[posixpath.splitext(name)[1].lower()])
        self._names = {name: name for name in ordered}
        self._stems: dict[str, str] = {}
        self._folded: dict[str, str] = {}
        for name in ordered:
            stem = posixpath.splitext(name)[0]
            self._stems.setdefault(stem, name)
            self._folded.setdefault(name.casefold(), name)
            self._folded.setdefault(stem.casefold(), name)

    def look_up(self, names: Sequence[str], file: Path, owner: str | None) -> list[str | None]:
        """The images named in a camera file, relative to the folder of images, of the object, or of the file.

        Args:
            names: names in the file, with or without a suffix or with another suffix, in any letter case.
            file: the camera file, or its folder.
            owner: object of the file, if it belongs to one object.

        Returns:
            Their names; None if there is no such image.
        """
        bases = [""] if owner is None else [owner, f"{owner}/images", ""]
        above = ""
        folder = (file if file.is_dir() else file.parent).resolve()
        if folder.is_relative_to(self._root):
            bases.append(folder.relative_to(self._root).as_posix())
        else:
            # Seen from a file above it, names begin with the folder of images.
            above = self._root.relative_to(folder).as_posix() if self._root.is_relative_to(folder) else ""
        return [self._find(posixpath.normpath(name.replace("\\", "/")), bases, above) for name in names]

    def _find(self, name: str, bases: Sequence[str], above: str) -> str | None:
        paths = [posixpath.normpath(posixpath.join(base, name)) for base in bases]
        if above and name.startswith(f"{above}/"):
            paths.append(name.removeprefix(f"{above}/"))
        first, _, rest = name.partition("/")
        if _IMAGES.fullmatch(first) and _IMAGES.fullmatch(self._root.name):
            paths.append(rest)  # The folder of images is a copy in another size of the one that the file names.
        for found in (self._names, self._stems):
            for path in paths:
                if path in found:
                    return found[path]
        for path in paths:
            stem, suffix = posixpath.splitext(path)
            for way in (path, *([stem] if suffix.lower() in SUFFIXES else [])):
                if way.casefold() in self._folded:
                    return self._folded[way.casefold()]
        return None
