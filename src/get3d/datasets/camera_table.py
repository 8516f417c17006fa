"""The cameras of a dataset's images in files: `cameras.csv` of our layout, and the numbers of the published one."""

import csv
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from jaxtyping import Float

from get3d.arrays import read_numbers
from get3d.files import InputError, require_names, text_lines, writing

__all__ = ["TURN", "read_cameras", "read_published_cameras", "write_cameras", "write_published_cameras"]

_COLUMNS, TURN = ("image", "azimuth", "polar"), "light"
"""Of the table of images; the last only where the light is turned."""
_ANGLES = {3: "two angles in degrees", 4: "three angles in degrees"}
_MOST_LINES = 20_000_000
"""Lines of the table; larger datasets are packed."""


def write_cameras(
    root: Path, images: Sequence[str], degrees: Float[np.ndarray, "n 2"], turns: Float[np.ndarray, " n"] | None = None
) -> None:
    """Writes `cameras.csv`, the list of a finished dataset's images, with angles in degrees.

    Args:
        root: the dataset folder.
        images: their names.
        degrees: azimuth and polar angle of each one's camera.
        turns: by which the light is turned about +Y in each; None where it never is.
    """
    angles = degrees if turns is None else np.concatenate([degrees, turns[:, None]], axis=1)
    with writing(root / "cameras.csv") as temporary, temporary.open("w", newline="", encoding="utf-8") as file:
        rows = csv.writer(file, lineterminator="\n")
        rows.writerow(_COLUMNS if turns is None else (*_COLUMNS, TURN))
        rows.writerows((name, *(f"{a:.6f}" for a in row)) for name, row in zip(images, angles.tolist(), strict=True))


def write_published_cameras(root: Path, name: str, degrees: Float[np.ndarray, "v 2"]) -> None:
    """Writes azimuth and polar angle in degrees of one object's views as the published layout has them."""
    for file, values in (("rotation", degrees[:, 0]), ("elevation", 90 - degrees[:, 1])):
        with writing(root / "camera" / name / f"{file}.npy") as temporary:
            np.save(temporary, values)


def read_cameras(path: Path) -> tuple[list[str], Float[np.ndarray, "n k"]]:
    """Names of the images, and in radians their cameras' angles and, where there is one, the turn of the light.

    Raises:
        InputError: the table cannot be read, or lists no image.
    """
    images, angles = [], []
    with text_lines(path, _MOST_LINES) as lines:
        rows = csv.reader(lines)
        try:
            head = tuple(next(rows, ()))
            if head not in (_COLUMNS, (*_COLUMNS, TURN)):
                raise InputError(f"{path}: the first line is not `image,azimuth,polar`; see docs/datasets.md")
            for row in rows:
                try:
                    name, *numbers = row
                    angle = tuple(map(float, numbers))
                    if len(row) != len(head):
                        raise ValueError
                except ValueError as error:
                    shown, wanted = ",".join(row)[:200], _ANGLES[len(head)]
                    raise InputError(f"{path}: line {rows.line_num} is {shown!r}, not an image and {wanted}") from error
                images.append(name)
                angles.append(angle)
        except csv.Error as error:
            raise InputError(
                f"{path}: line {rows.line_num} is not a line of a table ({error}); write it again"
            ) from error
    if not images:
        raise InputError(f"{path}: lists no image, the dataset is empty; make it again")
    require_names(images, path)
    return images, np.radians(np.array(angles))


def read_published_cameras(folder: Path) -> Float[np.ndarray, "v 2"]:
    """Azimuth and polar angle in degrees of one object's views; none where the files are missing.

    Raises:
        InputError: one cannot be read, or they have not as many numbers.
    """
    columns = []
    for name in ("rotation", "elevation"):
        path = folder / f"{name}.npy"
        if not path.is_file():
            return np.zeros((0, 2))
        columns.append(read_numbers(path))
    rotation, elevation = columns
    if len(rotation) != len(elevation):
        raise InputError(f"{folder}: {len(rotation)} rotations and {len(elevation)} elevations; each view needs both")
    return np.stack([rotation, 90 - elevation], axis=1)
