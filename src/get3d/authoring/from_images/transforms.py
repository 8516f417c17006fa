"""Cameras of `transforms.json`, as in NeRF's Blender sets, instant-ngp and nerfstudio."""

import math
from pathlib import Path
from typing import Any

import numpy as np

from get3d.authoring.from_images.poses import MOST_IMAGES, Lens, Poses, joined, lens_fault
from get3d.files import InputError, read_json

__all__ = ["read_split_transforms", "read_transforms"]

_DISTORTION = ("k1", "k2", "k3", "k4", "k5", "k6", "p1", "p2", "distortion_params")
_MODELS = ("", "PINHOLE", "SIMPLE_PINHOLE", "PERSPECTIVE", "OPENCV", "SIMPLE_RADIAL", "RADIAL")
"""Camera models that are pinholes without distortion."""
_LARGEST = 1e9
"""Maximum coordinate of positions, so that nothing overflows."""
_SKEW = 1e-3
"""Tolerance for axes that are not orthogonal or of equal length, as a share of their length."""


def read_transforms(path: Path) -> Poses:
    """Reads the cameras: right, up and backward axes, and position, are the columns of `transform_matrix`; +Z is up.

    Raises:
        InputError: the file is not such JSON, or a lens is missing or distorts.
    """
    values = read_json(path, finite=False)
    frames = values.get("frames") if isinstance(values, dict) else None
    if not isinstance(frames, list) or not frames:
        raise InputError(f"{path}: has no list of `frames`; a transforms.json holds `frames` and the lens")
    if len(frames) > MOST_IMAGES:
        raise InputError(f"{path}: has {len(frames):,} frames, at most {MOST_IMAGES:,} are read; split it")
    names: list[str] = []
    matrices, lenses = [], []
    refused: dict[str, str] = {}
    masks: dict[str, str] = {}
    for number, frame in enumerate(frames):
        if not isinstance(frame, dict) or not isinstance(frame.get("file_path"), str):
            raise InputError(f"{path}: frame {number} has no file_path; add the name of its image")
        name = frame["file_path"]
        try:
            matrix = np.array(frame.get("transform_matrix"), dtype=np.float64)
        except (TypeError, ValueError, OverflowError):
            matrix = np.zeros(0)
        fault = _fault(matrix)
        if fault is not None:
            refused[name] = fault
            continue
        if isinstance(frame.get("mask_path"), str):
            masks[name] = frame["mask_path"]
        names.append(name)
        matrices.append(matrix[:3])
        lenses.append(_lens(path, number, values | frame))
    columns = np.array(matrices).reshape(-1, 3, 4)
    axes = columns[:, :, :3].transpose(0, 2, 1)
    return Poses(
        file=path,
        format="transforms.json",
        names=names,
        positions=columns[:, :, 3],
        rotations=axes / np.linalg.norm(axes, axis=2, keepdims=True),
        lenses=lenses,
        up=(0.0, 0.0, 1.0),
        refused=refused,
        masks=masks,
    )


def read_split_transforms(folder: Path) -> Poses:
    """Reads all `transforms*.json` of a folder: NeRF's sets have a file for each split, all of one world.

    Raises:
        InputError: as `read_transforms`.
    """
    return joined(folder, [read_transforms(path) for path in sorted(folder.glob("transforms*.json"))])


def _fault(matrix: np.ndarray) -> str | None:
    """The reason why a matrix is not a camera, or None."""
    if matrix.shape not in ((4, 4), (3, 4)):
        return f"its transform_matrix is of shape {list(matrix.shape)}, not 4 × 4"
    if not np.isfinite(matrix).all():
        return "its transform_matrix holds values that are not finite"
    if np.abs(matrix[:3]).max() > _LARGEST:
        return f"its transform_matrix holds the value {np.abs(matrix[:3]).max():g}, more than {_LARGEST:g}"
    axes = matrix[:3, :3]
    scale = np.cbrt(np.linalg.det(axes))
    if abs(scale) < 1e-6:
        return "its transform_matrix has axes of length zero"
    if scale <= 0:
        return "its transform_matrix mirrors, a camera's axes are right-handed"
    skew = np.abs(axes.T @ axes / scale**2 - np.eye(3)).max()
    if skew > _SKEW:
        return f"its transform_matrix is not a rotation: axes are {skew:.3g} from orthogonal and of one length"
    return None


def _lens(path: Path, number: int, values: dict[str, Any]) -> Lens:
    """The lens of a frame; values of the frame override those of the file."""
    model = values.get("camera_model", "")
    if values.get("is_fisheye") or not isinstance(model, str) or model.upper() not in _MODELS:
        kind = "is_fisheye" if values.get("is_fisheye") else f"camera_model {str(model)[:40]!r}"
        raise InputError(f"{path}: the lens is not a pinhole ({kind}); undistort the images to a PINHOLE first")
    for name in _DISTORTION:
        value = values.get(name)
        if any(value) if isinstance(value, list) else value:
            raise InputError(f"{path}: the lens distorts ({name} is {str(value)[:80]}); undistort the images first")
    try:
        width, height = (float(values[name]) if name in values else None for name in ("w", "h"))
        focal_x = focal_y = None
        if "fl_x" in values and width is not None:
            focal_x = float(values["fl_x"]) / width
        if "fl_y" in values and height is not None:
            focal_y = float(values["fl_y"]) / height
        if focal_x is None and focal_y is None:
            focal_x, focal_y = (
                _focal_of_angle(path, name, float(values[name])) if name in values else None
                for name in ("camera_angle_x", "camera_angle_y")
            )
        known = [focal for focal in (focal_x, focal_y) if focal is not None]
        if not known or not all(0 < focal < math.inf for focal in known):
            raise InputError(
                f"{path}: frame {number} has no lens; give camera_angle_x in radians, or fl_x in pixels together with w"
            )
        centre = (
            float(values["cx"]) / width if "cx" in values and width is not None else 0.5,
            float(values["cy"]) / height if "cy" in values and height is not None else 0.5,
        )
        aspect = width / height if width is not None and height is not None else None
    except InputError:
        raise
    except (TypeError, ValueError, ArithmeticError) as error:
        raise InputError(f"{path}: the lens of frame {number} cannot be read ({error})") from error
    lens = Lens(focal_x, focal_y, centre, aspect)
    fault = lens_fault(lens)
    if fault is not None:
        raise InputError(f"{path}: the lens of frame {number} is not a pinhole: {fault}; correct its values")
    return lens


def _focal_of_angle(path: Path, name: str, angle: float) -> float:
    if not 0 < angle < math.pi:
        raise InputError(
            f"{path}: {name} is {angle:g}, a pinhole camera's field of view is above 0 and below π; write radians"
        )
    return 0.5 / math.tan(0.5 * angle)
