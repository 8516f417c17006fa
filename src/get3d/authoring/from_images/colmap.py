"""Cameras as COLMAP's text models: cameras.txt and images.txt (https://colmap.github.io/format.html)."""

import math
from pathlib import Path

import numpy as np

from get3d.authoring.from_images.poses import Lens, Poses
from get3d.files import InputError

__all__ = ["read_colmap"]

_MODELS = {
    "SIMPLE_PINHOLE": (1, 0),
    "PINHOLE": (2, 0),
    "SIMPLE_RADIAL": (1, 1),
    "RADIAL": (1, 2),
    "OPENCV": (2, 4),
}
"""Of each camera model, how many focal lengths and how many distortion coefficients it has; between is the centre."""


def read_colmap(folder: Path) -> Poses:
    """Reads a text model. Its world has no axes of meaning, so nothing is known of what is up.

    Raises:
        InputError: a file is missing or cannot be read, or a lens distorts.
    """
    lenses = _read_lenses(folder / "cameras.txt")
    path = folder / "images.txt"
    lines = [line for line in _lines(path) if not line.startswith("#")]
    names, positions, rotations, chosen = [], [], [], []
    refused = {}
    # Each image has two lines; the second, of points, may be empty.
    for line in lines[::2]:
        if not line.strip():
            continue
        parts = line.split(maxsplit=9)
        try:
            w, x, y, z, *translation = (float(part) for part in parts[1:8])
            name, lens = parts[9].strip(), lenses[parts[8]]
        except (IndexError, ValueError, KeyError) as error:
            raise InputError(
                f"{path}: the line {line.strip()!r} is not an image of cameras.txt: number, quaternion, translation, "
                "camera, name; export the model again as text"
            ) from error
        quaternion = np.array([w, x, y, z])
        length = np.linalg.norm(quaternion)
        if not (np.isfinite(quaternion).all() and np.isfinite(translation).all() and abs(length - 1) < 1e-2):
            refused[name] = "its quaternion and translation are not a finite rotation and position"
            continue
        rotation = _rotation(quaternion / length)
        names.append(name)
        positions.append(-rotation.T @ np.array(translation))
        # COLMAP's cameras have x right, y down, z forward.
        rotations.append(rotation * np.array([[1.0], [-1.0], [-1.0]]))
        chosen.append(lens)
    if not names and not refused:
        raise InputError(f"{path}: lists no image; export the model again as text")
    return Poses(
        file=path,
        format="a COLMAP text model",
        names=names,
        positions=np.array(positions).reshape(-1, 3),
        rotations=np.array(rotations).reshape(-1, 3, 3),
        lenses=chosen,
        up=None,
        refused=refused,
    )


def _lines(path: Path) -> list[str]:
    try:
        return path.read_text(encoding="utf-8").splitlines()
    except FileNotFoundError as error:
        raise InputError(
            f"{path}: no such file; a COLMAP text model is cameras.txt and images.txt, written by "
            "`colmap model_converter --output_type TXT`"
        ) from error
    except (OSError, ValueError) as error:
        raise InputError(f"{path}: is not readable text ({error}); export the model again as text") from error


def _read_lenses(path: Path) -> dict[str, Lens]:
    lenses = {}
    for line in _lines(path):
        if line.startswith("#") or not line.strip():
            continue
        try:
            number, model, width, height, *values = line.split()
            lenses[number] = _lens(path, model, float(width), float(height), [float(value) for value in values])
        except (ValueError, ArithmeticError) as error:
            if isinstance(error, InputError):
                raise
            raise InputError(f"{path}: the line {line!r} is not a camera; export the model again as text") from error
    return lenses


def _lens(path: Path, model: str, width: float, height: float, values: list[float]) -> Lens:
    if model not in _MODELS:
        raise InputError(f"{path}: the lens is a {model}; make it a PINHOLE with `colmap image_undistorter`")
    focals, coefficients = _MODELS[model]
    if len(values) != focals + 2 + coefficients or not all(map(math.isfinite, values)):
        raise InputError(f"{path}: a {model} has {focals + 2 + coefficients} finite parameters, found {values}")
    if any(values[focals + 2 :]):
        raise InputError(f"{path}: the lens distorts ({model}); make it a PINHOLE with `colmap image_undistorter`")
    return Lens(
        focal_x=values[0] / width,
        focal_y=values[focals - 1] / height,
        centre=(values[focals] / width, values[focals + 1] / height),
        aspect=width / height,
    )


def _rotation(quaternion: np.ndarray) -> np.ndarray:
    """The matrix of a unit quaternion (w, x, y, z)."""
    w, v = quaternion[0], quaternion[1:]
    cross = np.array([[0, -v[2], v[1]], [v[2], 0, -v[0]], [-v[1], v[0], 0]])
    return (w * w - v @ v) * np.eye(3) + 2 * np.outer(v, v) + 2 * w * cross
