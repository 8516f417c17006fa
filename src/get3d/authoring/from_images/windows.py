"""The square of each image for the dataset, with one field of view around the optical axis."""

from dataclasses import dataclass

import numpy as np

from get3d.authoring.from_images.config import Fit
from get3d.authoring.from_images.crop import Window
from get3d.authoring.from_images.matching import Left, Matched, Tolerances
from get3d.files import InputError

__all__ = ["Fit", "Fitted", "fit_windows"]


@dataclass(frozen=True)
class Fitted:
    """Squares of images.

    Attributes:
        ratio: their side in focal lengths, 2 tan(fov / 2).
        windows: the square of each image that has one, by index.
        left: images without a square.
    """

    ratio: float
    windows: dict[int, Window]
    left: list[Left]


def fit_windows(matched: Matched, fit: Fit, tolerance: Tolerances) -> Fitted:
    """Finds squares centred on the optical axes with one field of view.

    Args:
        matched: the images.
        fit: "exact" keeps images that already are such squares, within the tolerance; "crop" takes the largest squares
            inside all images, "pad" the smallest squares around all of them.
        tolerance: allowed deviations of images.

    Raises:
        InputError: the squares have no size.
    """
    numbers = range(len(matched.images))
    if not numbers:
        return Fitted(1.0, {}, [])
    sizes = np.array([(head.width, head.height) for head in matched.heads], dtype=np.float64)
    if fit != "exact":
        reaches = np.concatenate([matched.principal, sizes - matched.principal], axis=1)
        choose = np.min if fit == "crop" else np.max
        ratio = float(choose(2 * choose(reaches, axis=1) / matched.focal))
        if ratio <= 0:
            raise InputError("--fit is crop, which leaves nothing: an optical axis is outside its image; use pad")
        return Fitted(ratio, {number: _window(matched, number, ratio, fit == "crop") for number in numbers}, [])
    square = sizes[:, 0] == sizes[:, 1]
    off = 100 * np.linalg.norm(matched.principal - sizes / 2, axis=1) / sizes.max(axis=1)
    ratios = sizes[:, 1] / matched.focal
    good = square & (off <= tolerance.centre)
    ratio = float(np.median(ratios[good])) if good.any() else 1.0
    windows: dict[int, Window] = {}
    left: list[Left] = []
    for number in numbers:
        width, height = sizes[number].astype(int)
        differs = 100 * (ratio / ratios[number] - 1)
        if not square[number]:
            reason, text = "size", f"is {width} × {height}, not square; --fit crop or pad makes it so"
        elif off[number] > tolerance.centre:
            text = f"its optical axis is {off[number]:.1f} % of its side off the middle; --fit crop or pad fixes that"
            reason = "size"
        elif abs(differs) > tolerance.fov:
            text = f"its focal length differs by {differs:+.1f} % from the median; --fit crop or pad fixes that"
            reason = "lens"
        else:
            windows[number] = Window(0, 0, int(width))
            continue
        left.append(Left(matched.images[number], reason, text))
    return Fitted(ratio, windows, left)


def _window(matched: Matched, number: int, ratio: float, inside: bool) -> Window:
    head, (x, y) = matched.heads[number], matched.principal[number]
    side = max(1, round(ratio * float(matched.focal[number])))
    left, top = round(x - side / 2), round(y - side / 2)
    if inside:
        side = min(side, head.width, head.height)
        left, top = min(max(left, 0), head.width - side), min(max(top, 0), head.height - side)
    return Window(left, top, side)
