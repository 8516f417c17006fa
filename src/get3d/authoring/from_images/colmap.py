"""Cameras of COLMAP text models: cameras.txt and images.txt (https://colmap.github.io/format.html)."""

import math
from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np
from jaxtyping import Float

from get3d.authoring.from_images.poses import MOST_IMAGES, Lens, Poses, lens_fault
from get3d.files import InputError, text_lines

__all__ = ["read_colmap"]

_MODELS = {
    "SIMPLE_PINHOLE": (1, 0),
    "PINHOLE": (2, 0),
    "SIMPLE_RADIAL": (1, 1),
    "RADIAL": (1, 2),
    "OPENCV": (2, 4),
}
"""Number of focal lengths and of distortion coefficients of each camera model; the centre is between them."""
_LARGEST = 1e9
"""Maximum length of translations, so that nothing overflows."""


def read_colmap(folder: Path) -> Poses:
    """Reads a text model. Its axes have no meaning, so the up direction is not known.

    Each image has two lines; the second one lists points and may be empty. Hand-written files often leave it out, which
    is recognised, because lines of points have three numbers per point and no name.

    Raises:
        InputError: a file is missing, too large or cannot be read, or a lens distorts.
    """
    if (folder / "images.bin").exists() and not (folder / "images.txt").exists():
        raise InputError(
            f"{folder / 'images.bin'}: is a binary model; convert it to text with "
            "`colmap model_converter --output_type TXT`"
        )
    if not (folder / "cameras.txt").exists():
        raise InputError(
            f"{folder / 'cameras.txt'}: no such file; a COLMAP text model is cameras.txt and images.txt, written by "
            "`colmap model_converter --output_type TXT`"
        )
    lenses = _read_lenses(folder / "cameras.txt")
    path = folder / "images.txt"
    names: list[str] = []
    numbers: list[list[float]] = []
    chosen: list[Lens] = []
    refused: dict[str, str] = {}
    with text_lines(path, 2 * MOST_IMAGES + 1000) as lines:
        for line in _image_lines(lines, lenses):
            parts = line.split(maxsplit=9)
            try:
                values = [float(part) for part in parts[1:8]]
                name, lens = parts[9].strip(), lenses[parts[8]]
            except (IndexError, ValueError, KeyError) as error:
                raise InputError(
                    f"{path}: the line {line.strip()[:200]!r} is not an image of cameras.txt: number, quaternion, "
                    "translation, camera, name; export the model again as text"
                ) from error
            # Not hypot, which takes infinities for infinite without a word.
            length = math.sqrt(sum(min(abs(value), _LARGEST) ** 2 for value in values[:4]))
            if not (abs(length - 1) < 1e-2 and all(abs(value) <= _LARGEST for value in values)):
                refused[name] = "its quaternion and translation are not a finite rotation and position"
                continue
            names.append(name)
            numbers.append(values)
            chosen.append(lens)
            if len(names) > MOST_IMAGES:
                raise InputError(f"{path}: lists more than {MOST_IMAGES:,} images, the maximum; split it")
    if not names and not refused:
        raise InputError(f"{path}: lists no image; export the model again as text")
    table = np.array(numbers).reshape(-1, 7)
    rotations = _rotations(table[:, :4] / np.linalg.norm(table[:, :4], axis=1, keepdims=True))
    return Poses(
        file=path,
        format="a COLMAP text model",
        names=names,
        positions=-np.einsum("nji,nj->ni", rotations, table[:, 4:]),
        # COLMAP's cameras have x right, y down, z forward.
        rotations=rotations * np.array([[1.0], [-1.0], [-1.0]]),
        lenses=chosen,
        up=None,
        refused=refused,
    )


def _image_lines(lines: Iterable[str], lenses: dict[str, Lens]) -> Iterator[str]:
    """The first line of each image."""
    points = False
    for line in lines:
        if line.startswith("#") or (not points and not line.strip()):
            continue
        points = not points or _is_image(line, lenses)
        if points:
            yield line


def _is_image(line: str, lenses: dict[str, Lens]) -> bool:
    """Whether a line, where points are expected, is the next image's: it has a camera, and ends in a file's name."""
    parts = line.split(maxsplit=9)
    if len(parts) < 10 or parts[8] not in lenses:
        return False
    try:
        float(parts[9].split()[0])
    except ValueError:
        return True
    # A name may be a number, but the line then has ten fields, which points, three numbers each, never have.
    return len(parts[9].split()) == 1


def _read_lenses(path: Path) -> dict[str, Lens]:
    lenses = {}
    with text_lines(path, MOST_IMAGES) as lines:
        for line in lines:
            if line.startswith("#") or not line.strip():
                continue
            try:
                number, model, width, height, *values = line.split()
                lenses[number] = _lens(path, model, float(width), float(height), [float(value) for value in values])
            except (ValueError, ArithmeticError) as error:
                if isinstance(error, InputError):
                    raise
                what = f"the line {line.strip()[:200]!r} is not a camera"
                raise InputError(f"{path}: {what}; export the model again as text") from error
    return lenses


def _lens(path: Path, model: str, width: float, height: float, values: list[float]) -> Lens:
    if model not in _MODELS:
        raise InputError(f"{path}: the lens is a {model[:40]}; convert it to a PINHOLE with `colmap image_undistorter`")
    focals, coefficients = _MODELS[model]
    if len(values) != focals + 2 + coefficients or not all(map(math.isfinite, values)):
        raise InputError(f"{path}: a {model} has {focals + 2 + coefficients} finite parameters, found {values[:20]}")
    if any(values[focals + 2 :]):
        raise InputError(
            f"{path}: the lens distorts ({model}); convert it to a PINHOLE with `colmap image_undistorter`"
        )
    lens = Lens(
        focal_x=values[0] / width,
        focal_y=values[focals - 1] / height,
        centre=(values[focals] / width, values[focals + 1] / height),
        aspect=width / height,
    )
    fault = lens_fault(lens)
    if fault is not None:
        raise InputError(f"{path}: a camera is not a pinhole: {fault}; export the model again as text")
    return lens


def _rotations(quaternions: Float[np.ndarray, "n 4"]) -> Float[np.ndarray, "n 3 3"]:
    """The matrices of unit quaternions (w, x, y, z)."""
    w, x, y, z = quaternions.T
    return np.stack(
        [
            *(w * w + x * x - y * y - z * z, 2 * (x * y - w * z), 2 * (x * z + w * y)),
            *(2 * (x * y + w * z), w * w - x * x + y * y - z * z, 2 * (y * z - w * x)),
            *(2 * (x * z - w * y), 2 * (y * z + w * x), w * w - x * x - y * y + z * z),
        ],
        axis=1,
    ).reshape(-1, 3, 3)
