"""Polygons are cut into triangles that cover what they cover, no more and no less."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from get3d.assets.polygons import triangles

U = [(0, 0), (3, 0), (3, 3), (2, 3), (2, 1), (1, 1), (1, 3), (0, 3)]


def areas(points: np.ndarray, corners: np.ndarray) -> np.ndarray:
    a, b, c = points[corners].transpose(1, 0, 2)
    return np.cross(b - a, c - a) / 2


def covered(points: np.ndarray, corners: np.ndarray, places: np.ndarray) -> np.ndarray:
    """How many triangles, in the plane of x and y, each place lies in: [n]."""
    found = np.zeros(len(places), int)
    for corner in corners:
        a, b, c = points[corner][:, :2]
        sides = [
            (q[0] - p[0]) * (places[:, 1] - p[1]) - (q[1] - p[1]) * (places[:, 0] - p[0])
            for p, q in ((a, b), (b, c), (c, a))
        ]
        found += np.all(np.array(sides) > 0, axis=0) | np.all(np.array(sides) < 0, axis=0)
    return found


@pytest.mark.parametrize("first", range(8))
@pytest.mark.parametrize("turned", [False, True])
def test_the_slot_of_a_u_stays_open_whichever_corner_comes_first(first, turned):
    ring = [(*corner, 0.0) for corner in U[first:] + U[:first]]
    points = np.array(ring[::-1] if turned else ring)
    polygon, corners = triangles(np.array([8]), points)
    assert polygon.tolist() == [0] * 6
    signed = areas(points, corners)[:, 2]
    assert signed.sum() == pytest.approx(-7 if turned else 7)
    assert np.all(signed <= 0 if turned else signed >= 0)
    places = np.array([(1.5, 2.01), (0.51, 2.03), (2.52, 2.07), (1.53, 0.49)])
    assert covered(points, corners, places).tolist() == [0, 1, 1, 1]


def test_polygons_of_all_kinds_keep_their_order_and_number():
    square = [(0, 0, 5), (1, 0, 5), (1, 1, 5), (0, 1, 5)]
    dart = [(0, 0, 0), (2, 0, 0), (0.5, 0.5, 0), (0, 2, 0)]
    points = np.array([*square, *square[:2], *dart, *square[:3]], float)
    polygon, corners = triangles(np.array([4, 2, 4, 3]), points)
    assert polygon.tolist() == [0, 0, 2, 2, 3]
    assert corners[:2].tolist() == [[0, 1, 2], [0, 2, 3]]
    assert np.linalg.norm(areas(points, corners[2:4]), axis=1).sum() == pytest.approx(1.0)
    assert corners[4].tolist() == [10, 11, 12]


@given(st.integers(3, 24), st.integers(0, 2**32 - 1))
def test_stars_in_any_plane_keep_their_area(count, seed):
    rng = np.random.default_rng(seed)
    angles = (np.arange(count) + rng.uniform(0, 0.8, count)) * (2 * np.pi / count)
    radius = rng.uniform(0.1, 1, count)
    flat = np.stack([radius * np.cos(angles), radius * np.sin(angles)], axis=1)
    basis = np.linalg.qr(rng.normal(size=(3, 3)))[0][:, :2]
    points = flat @ basis.T + rng.normal(size=3)
    _, corners = triangles(np.array([count]), points)
    x, y = flat.T
    shoelace = abs((x * np.roll(y, -1) - y * np.roll(x, -1)).sum()) / 2
    whole = areas(points, corners)
    assert len(corners) == count - 2
    # A star may turn about its centre the wrong way where a gap between angles is more than half a turn.
    assert np.linalg.norm(whole.sum(axis=0)) == pytest.approx(shoelace)
    assert np.linalg.norm(whole, axis=1).sum() == pytest.approx(shoelace)


@pytest.mark.parametrize(
    "ring",
    [
        [(0, 0, 0)] * 6,
        [(0, 0, 0), (1, 1, 0), (1, 0, 0), (0, 1, 0)],
        [(0, 0, 0), (1, 0, 0), (np.nan, 1, 0), (0, 1, 0)],
        [(i, 0, 0) for i in range(5)],
    ],
)
def test_what_is_no_surface_becomes_some_triangles_and_no_error(ring):
    points = np.array(ring, float)
    polygon, corners = triangles(np.array([len(ring)]), points)
    assert len(polygon) == len(corners) == len(ring) - 2
    assert corners.min() >= 0
    assert corners.max() < len(ring)


def test_no_polygons():
    polygon, corners = triangles(np.zeros(0, np.int64), np.zeros((0, 3)))
    assert polygon.shape == (0,)
    assert corners.shape == (0, 3)
