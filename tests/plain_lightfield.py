"""The light field descriptor of a silhouette, pixel by pixel as its description reads: a reference for the fast one."""

import json

import numpy as np
from scipy.ndimage import label

from conftest import FIXTURES

TABLES = json.loads((FIXTURES / "lfd" / "tables.json").read_text())
DISC = np.ones((5, 5), dtype=bool)
DISC[::4, ::4] = False


def trace(image: np.ndarray) -> list[tuple[int, int]] | None:
    """The listed points of the contour, the start first and last; None where it fails."""
    if not image.any():
        return None
    start = tuple(map(int, np.argwhere(image)[0]))
    row, column = start
    ambiguous = (
        image[row + 1, column - 1]
        and not image[row + 1, column]
        and (image[row + 1, column + 1] or image[row, column + 1])
    )
    here, direction, points = start, 0, [start]
    while True:
        for _ in range(4):
            moves = [
                ((here[0] + drow, here[1] + dcolumn), new)
                for drow, dcolumn, new in TABLES["contour_moves"][str(direction)]
                if image[here[0] + drow, here[1] + dcolumn]
            ]
            if moves:
                break
            direction = (direction + 1) % 4
        else:
            return None
        here, direction = moves[0]
        points.append(here)
        if here == start and not (ambiguous and direction == 1):
            return points


def is_one_part(image: np.ndarray, points: list[tuple[int, int]] | None) -> bool:
    if not image.any():
        return False
    on_trace = np.zeros_like(image)
    on_trace[tuple(np.array(points or [np.argwhere(image)[0]]).T)] = True
    parts, _ = label(~on_trace)
    flooded = parts == parts[0, 0]
    return (image & ~flooded).sum() / image.sum() > 0.95


def dilate(image: np.ndarray, element: np.ndarray) -> np.ndarray:
    grown = np.zeros_like(image)
    radius = len(element) // 2
    for row, column in np.argwhere(image):
        grown[row - radius : row + radius + 1, column - radius : column + radius + 1] |= element
    return grown


def thin(image: np.ndarray, original: np.ndarray) -> np.ndarray:
    table = TABLES["thin_deletable"]
    image = image.copy()
    changed = True
    while changed:
        changed = False
        for side in table["pass_order_side_must_be_background_drow_dcol"]:
            doomed = [
                (row, column)
                for row, column in np.argwhere(image & ~original & ~np.roll(image, (-side[0], -side[1]), axis=(0, 1)))
                if table["table"][
                    sum(
                        1 << bit
                        for bit, (drow, dcolumn) in enumerate(table["bit_offsets_drow_dcol"])
                        if image[row + drow, column + dcolumn]
                    )
                ]
            ]
            for place in doomed:
                image[place] = False
                changed = True
    return image


def contour(image: np.ndarray) -> tuple[list[tuple[int, int]] | None, int]:
    """The contour, and how the image was bridged for it: 0 to 3."""
    points = trace(image)
    if is_one_part(image, points) or not image.any():
        return points, 0
    bridge, bridged = 1, dilate(image, np.ones((3, 3), dtype=bool))
    if not is_one_part(bridged, trace(bridged)):
        bridge, bridged = 2, dilate(bridged, DISC)
        if not is_one_part(bridged, trace(bridged)):
            rows, columns = np.nonzero(image)
            bridge, bridged = 3, np.zeros_like(image)
            bridged[rows.min() : rows.max() + 1, columns.min() : columns.max() + 1] = True
    return trace(thin(bridged, image)), bridge


def centre(image: np.ndarray) -> np.ndarray:
    if not image.any():
        return np.array([-1.0, -1.0])
    rows, columns = np.nonzero(image)
    return np.array([rows.min() + rows.max(), columns.min() + columns.max()]) / 2


def spectrum(points: list[tuple[int, int]] | None, middle: np.ndarray) -> np.ndarray:
    result = np.zeros(10)
    if points is not None and len(points) >= 8:
        transform = np.abs(np.fft.fft(np.linalg.norm(np.array(points) - middle, axis=1)))
        count = min(10, len(points) // 2)
        result[:count] = transform[1 : count + 1] / transform[0]
    return result


def radius(images: np.ndarray) -> float:
    """The radius of one light field."""
    return max(np.linalg.norm(np.argwhere(image) - centre(image), axis=1).max() for image in images if image.any())


def region(image: np.ndarray, reach: float) -> np.ndarray:
    if not image.any():
        return np.zeros(35)
    axis = np.arange(-50, 52)
    y, x = np.meshgrid(axis, axis, indexing="ij")
    rho, theta = np.hypot(x, y), np.arctan2(y, x)
    tx, ty = ((np.argwhere(image) - centre(image)) * 50 / reach + 50).T[::-1]
    i, j = tx.astype(int), ty.astype(int)
    u, v = tx - i, ty - j
    coefficients = []
    for p in range(12):
        for r in range(3):
            table = np.where(rho < 50, np.cos(3.141592653 * r * rho / 50) * np.exp(1j * p * theta), 0)
            low = (1 - u) * table[j, i] + u * table[j, i + 1]
            high = (1 - u) * table[j + 1, i] + u * table[j + 1, i + 1]
            coefficients.append(abs(((1 - v) * low + v * high).sum()) / image.sum())
    return np.array(coefficients[1:])


def circularity(image: np.ndarray) -> float:
    edge = sum(not image[row - 1 : row + 2, column - 1 : column + 2].all() for row, column in np.argwhere(image))
    return min(1.0, 12.5663704 * image.sum() / edge**2) if edge else 0.0


def eccentricity(image: np.ndarray) -> float:
    if image.sum() <= 1:
        return 0.0
    y, x = (np.argwhere(image) - centre(image)).T
    i20, i02, i11 = (x * x).sum(), (y * y).sum(), (x * y).sum()
    return min(1.0, ((i20 - i02) ** 2 + 4 * i11**2) / (i20 + i02) ** 2)


def distance(a: dict[str, np.ndarray], b: dict[str, np.ndarray], rotations: list[list[int]]) -> int:
    """Between two shapes given by their bytes [10, 10, …]: the plain minimum over everything."""
    weights = {"region": 1, "contour": 2, "circularity": 2, "eccentricity": 1}
    joined = [
        np.concatenate([w * s[name].reshape(10, 10, -1).astype(int) for name, w in weights.items()], axis=2)
        for s in (a, b)
    ]
    return min(
        int(np.abs(joined[0][s][rotation] - joined[1][t]).sum())
        for s in range(10)
        for t in range(10)
        for rotation in rotations
    )
