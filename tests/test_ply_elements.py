"""Elements of .ply files: what is read at once is what plyfile reads row by row."""

import io
import warnings

import numpy as np
import plyfile
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from get3d.assets.ply_elements import read_elements
from get3d.assets.text_numbers import all_numbers, words_in_lines
from get3d.files import InputError

HEADER = """ply
format ascii 1.0
comment TextureFile skin.png
element vertex {vertices}
property float x
property uchar red
element face {faces}
property list uchar int vertex_indices
property short texnumber
property list uchar float texcoord
end_header
"""
ROWS = st.lists(
    st.tuples(
        st.lists(st.integers(0, 9), max_size=5),
        st.integers(-5, 5),
        st.lists(st.floats(-9, 9, width=16), max_size=5),
    ),
    max_size=9,
)


def text(faces, vertices=(), end="\n") -> bytes:
    lines = HEADER.format(vertices=len(vertices), faces=len(faces)).splitlines()
    lines += [f"{x} {red}" for x, red in vertices]
    lines += [" ".join(map(str, [len(a), *a, n, len(b), *b])) for a, n, b in faces]
    return "".join(line + end for line in lines).encode()


@settings(max_examples=60)
@given(
    ROWS,
    st.lists(st.tuples(st.floats(-9, 9, width=32), st.integers(0, 255)), max_size=9),
    st.sampled_from(["\n", "\r\n", "\r"]),
)
def test_text_is_read_as_by_plyfile(tmp_path_factory, faces, vertices, end):
    path = tmp_path_factory.mktemp("ply") / "a.ply"
    path.write_bytes(text(faces, vertices, end))
    elements, comments = read_elements(path)
    with warnings.catch_warnings(action="ignore"):  # Of lists that are empty.
        expected = plyfile.PlyData.read(io.BytesIO(text(faces, vertices)))
    assert comments == ["TextureFile skin.png"]
    assert (elements["vertex"].count, elements["face"].count) == (len(vertices), len(faces))
    assert elements["vertex"].greatest == {"x": 1, "red": 255}
    np.testing.assert_allclose(elements["vertex"].numbers["x"], expected["vertex"]["x"], rtol=1e-6)
    np.testing.assert_array_equal(elements["vertex"].numbers["red"], expected["vertex"]["red"])
    np.testing.assert_array_equal(elements["face"].numbers["texnumber"], expected["face"]["texnumber"])
    for name in ("vertex_indices", "texcoord"):
        rows = [list(row) for row in expected["face"][name]]
        found = elements["face"].lists[name]
        np.testing.assert_array_equal(found.counts, [len(row) for row in rows])
        np.testing.assert_allclose(found.values, [value for row in rows for value in row], rtol=1e-6)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (b"3 0 1 2 0 0\n", b"3 0 1 2 0\n"),
        (b"3 0 1 2 0 0\n", b"3 0 1 2 0 0 7\n"),
        (b"3 0 1 2 0 0\n", b"4 0 1 2 0 0\n"),
        (b"3 0 1 2 0 0\n", b"-3 0 1 2 0 0\n"),
        (b"3 0 1 2 0 0\n", b"1.5 0 1 2 0 0\n"),
        (b"3 0 1 2 0 0\n", b"3 0 1 x 0 0\n"),
        (b"3 0 1 2 0 0\n", b""),
        (b"3 0 1 2 0 0\n", b"\n"),
        (b"element face 1", b"element face 2"),
        (b"element face 1", b"element face 999999"),
        (b"end_header\n", b""),
    ],
)
def test_text_that_is_not_as_its_header_says_is_refused(tmp_path, old, new):
    path = tmp_path / "a.ply"
    whole = text([([0, 1, 2], 0, [])], [(1.5, 7)])
    assert old in whole
    path.write_bytes(whole.replace(old, new))
    with pytest.raises(InputError, match=r"(get|export) it again"):
        read_elements(path)


@pytest.mark.parametrize("corners", [3, 4, 5])
def test_binary_faces_of_as_many_corners(tmp_path, corners):
    path = tmp_path / "a.ply"
    rows = np.arange(3 * corners).reshape(3, corners)
    faces = np.empty(3, dtype=[("vertex_indices", "i4", (corners,))])
    faces["vertex_indices"] = rows
    points = np.zeros(3 * corners, dtype=[(axis, "f4") for axis in "xyz"])
    plyfile.PlyData([plyfile.PlyElement.describe(points, "vertex"), plyfile.PlyElement.describe(faces, "face")]).write(
        str(path)
    )
    found = read_elements(path)[0]["face"].lists["vertex_indices"]
    np.testing.assert_array_equal(found.values.reshape(-1, corners), rows)
    np.testing.assert_array_equal(found.counts, [corners] * 3)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", []),
        (b"a", [1]),
        (b"a b\n", [2]),
        (b"\n", [0]),
        (b" a\t b \n\nc", [2, 0, 1]),
        (b"a\r\nb c\r", [1, 2]),
    ],
)
def test_words_in_lines(content, words):
    assert words_in_lines(content).tolist() == words


def test_what_is_no_number_is_known():
    assert all_numbers("1 2.5\n-3e2 nan").tolist()[:3] == [1, 2.5, -300]
    assert all_numbers("1 x 2") is None
    assert all_numbers("1.5", np.int64) is None
