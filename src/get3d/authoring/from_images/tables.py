"""Cameras as tables of azimuth and elevation or polar angle: a .csv, or a pair of .npy files."""

import csv
import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from jaxtyping import Float

from get3d.arrays import read_numbers
from get3d.authoring.from_images.poses import MOST_IMAGES, Lens, Poses, look_at
from get3d.files import InputError, text_lines

__all__ = ["AZIMUTH_FILES", "LEVEL_FILES", "read_csv", "read_pair"]

AZIMUTH_FILES = ("azimuth.npy", "rotation.npy")
LEVEL_FILES = ("elevation.npy", "polar.npy")
"""Possible names of the files of a pair."""


_IMAGE_COLUMNS = ("image", "file", "picture")
"""Names of the column with the names of the images."""


def read_csv(path: Path, fov: float) -> Poses:
    """Reads a table whose first line names its columns: `image`, `azimuth`, and `elevation` or `polar`.

    Args:
        path: the file; angles are degrees, azimuth as docs/datasets.md defines it.
        fov: vertical field of view of all images in degrees.

    Raises:
        InputError: a column is missing, an angle is not a number, or the angles are not degrees.
    """
    names: list[str] = []
    rows: list[tuple[float, float]] = []
    with text_lines(path, MOST_IMAGES + 1) as lines:
        table = csv.DictReader(lines, skipinitialspace=True)
        try:
            columns = [name.strip() for name in table.fieldnames or []]
            table.fieldnames = columns
            level = next((name for name in ("polar", "elevation") if name in columns), None)
            file = next((name for name in _IMAGE_COLUMNS if name in columns), None)
            if level is None or file is None or "azimuth" not in columns:
                raise InputError(
                    f"{path}: the first line is {','.join(columns)!r}; it must name the columns image, azimuth, and "
                    "elevation or polar"
                )
            for row in table:
                try:
                    rows.append((float(row["azimuth"]), float(row[level])))
                except (TypeError, ValueError) as error:
                    raise InputError(
                        f"{path}: line {table.line_num} gives azimuth {row['azimuth']!r} and {level} {row[level]!r}, "
                        "which are not two angles in degrees"
                    ) from error
                names.append((row[file] or "").strip())
        except csv.Error as error:
            raise InputError(
                f"{path}: line {table.line_num} is not a line of a table ({error}); write it again"
            ) from error
    if not rows:
        raise InputError(f"{path}: lists no image; write a line for each image")
    return _poses(path, names, np.array(rows), level == "polar", fov)


def read_pair(folder: Path, images: Sequence[str], fov: float) -> Poses:
    """Reads `azimuth.npy` (or `rotation.npy`) and `elevation.npy` (or `polar.npy`), in degrees.

    Args:
        folder: folder of the files.
        images: names of the images, in order.
        fov: vertical field of view of all images in degrees.

    Raises:
        InputError: a file is missing or unreadable, or there are not as many angles as images.
    """
    azimuth, level = (_array(folder, names) for names in (AZIMUTH_FILES, LEVEL_FILES))
    if not len(azimuth) == len(level) == len(images):
        raise InputError(
            f"{folder}: {len(azimuth)} azimuths and {len(level)} other angles for {len(images)} images; "
            "each image needs one of both, in the order of the images' names"
        )
    return _poses(folder, list(images), np.stack([azimuth, level], 1), (folder / "polar.npy").is_file(), fov)


def _array(folder: Path, names: Sequence[str]) -> Float[np.ndarray, " n"]:
    path = next((folder / name for name in names if (folder / name).is_file()), None)
    if path is None:
        raise InputError(f"{folder}: holds neither {' nor '.join(names)}; a pair of tables needs one of them")
    return read_numbers(path)


def _poses(path: Path, names: list[str], degrees: Float[np.ndarray, "n 2"], polar: bool, fov: float) -> Poses:
    finite = np.isfinite(degrees).all(axis=1)
    if np.abs(degrees[finite]).max(initial=0.0) > 1e6:
        raise InputError(f"{path}: an angle is {np.abs(degrees[finite]).max():g}; write degrees, from 0 to 360")
    largest = np.abs(degrees[finite]).max(initial=0.0)
    if len(degrees) >= 8 and 0 < largest <= 2 * math.pi + 1e-3:
        raise InputError(f"{path}: no angle is larger than {largest:.3f}, so they seem to be radians; write degrees")
    if not polar:
        degrees = np.stack([degrees[:, 0], 90 - degrees[:, 1]], axis=1)
    good = finite & (degrees[:, 1] >= 0) & (degrees[:, 1] <= 180)
    refused = {
        name: f"its angles are azimuth {a:g}° and polar angle {p:g}°, not an angle and one from 0° to 180°"
        for name, (a, p), usable in zip(names, degrees.tolist(), good, strict=True)
        if not usable
    }
    rotations = look_at(degrees[good])
    lens = Lens(focal_x=None, focal_y=0.5 / math.tan(math.radians(fov) / 2))
    return Poses(
        file=path,
        format="a table of angles",
        names=[name for name, usable in zip(names, good, strict=True) if usable],
        positions=rotations[:, 2],
        rotations=rotations,
        lenses=[lens] * int(good.sum()),
        up=(0.0, 1.0, 0.0),
        centre=(0.0, 0.0, 0.0),
        refused=refused,
    )
