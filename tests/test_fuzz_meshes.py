"""Damaged and made-up .obj, .mtl, .ply and .off files are read, or refused in one sentence, in bounded memory."""

import tempfile
from pathlib import Path

import numpy as np
import plyfile
import pytest
from hypothesis import strategies as st

from fuzzing import cut_and_changed, fuzz, reads_or_refuses
from get3d.assets.loading import load_asset
from models import RED, plain, png, save_wedge

pytestmark = pytest.mark.slow

CASES = Path(__file__).parent / "fixtures" / "cases"
NUMBER = st.one_of(
    st.integers(-9, 9).map(str),
    st.floats(allow_nan=True, allow_infinity=True).map(repr),
    st.sampled_from(["", "1e999", "-0", "99999999999999999999", "0x1", "١", "1,5", "nan"]),
)
CORNER = st.one_of(
    st.builds("{}/{}/{}".format, *[st.integers(-5, 5)] * 3),
    st.sampled_from(["1", "2", "3", "4", "1//1", "2/2", "-1/-1/-1", "/", "//", "1/", "9" * 20, "1/2/3/4"]),
)
TEXT = st.text(max_size=12).map(lambda text: text.replace("\n", " "))
OBJ_LINE = st.one_of(
    st.builds(
        lambda word, numbers: " ".join([word, *numbers]),
        st.sampled_from(["v", "vt", "vn"]),
        st.lists(NUMBER, max_size=8),
    ),
    st.lists(CORNER, max_size=9).map(lambda corners: " ".join(["f", *corners])),
    st.builds("{} {}".format, st.sampled_from(["usemtl", "mtllib", "o", "g", "#", "surf", "l", "\\"]), TEXT),
    st.sampled_from(
        ["mtllib paint.mtl", "usemtl paint", "v 0 0 0\nv 1 0 0\nv 0 1 0\nv 1 1 1", "f 1 2 4 3 \\", "\ufeff"]
    ),
)
MTL_LINE = st.one_of(
    st.builds(
        lambda word, numbers: " ".join([word, *numbers]),
        st.sampled_from(["Kd", "d", "Tr"]),
        st.lists(NUMBER, max_size=4),
    ),
    st.builds(
        lambda word, options, name: " ".join([word, *options, name]),
        st.sampled_from(["map_Kd", "map_d"]),
        st.lists(
            st.one_of(NUMBER, st.sampled_from(["-s", "-o", "-t", "-mm", "-clamp", "-clamp on", "-bm 1", "-"])),
            max_size=7,
        ),
        st.one_of(TEXT, st.sampled_from(["red.png", "RED.PNG", "../red.png", "/red.png", "C:\\red.png", '"red.png"'])),
    ),
    st.sampled_from(["newmtl paint", "newmtl", "newmtl other"]),
)
OFF_LINE = st.one_of(
    st.lists(NUMBER, max_size=9).map(" ".join), st.sampled_from(["OFF", "COFF", "3 0 1 2", "0 0 0", "8 1 0"])
)


def loads_or_refuses(name: str, files: dict[str, bytes]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        for file, content in files.items():
            (Path(folder) / file).write_bytes(content)
        reads_or_refuses(lambda: load_asset(Path(folder) / name, Path(folder), max_faces=100_000))


def lines(line: st.SearchStrategy[str]) -> st.SearchStrategy[bytes]:
    encodings = st.sampled_from(["utf-8", "utf-16", "latin-1", "shift_jis"])
    texts = st.lists(line, max_size=30).map("\n".join)
    return st.builds(lambda text, encoding: text.encode(encoding, "replace"), texts, encodings)


def test_made_up_obj_and_mtl():
    def check(files: tuple[bytes, bytes]) -> None:
        loads_or_refuses("a.obj", {"a.obj": files[0], "paint.mtl": files[1], "red.png": png(plain(RED))})

    fuzz(st.tuples(lines(OBJ_LINE), lines(MTL_LINE)), check)


def test_made_up_off():
    fuzz(lines(OFF_LINE), lambda content: loads_or_refuses("a.off", {"a.off": content or b"\n"}))


def wholes() -> dict[str, bytes]:
    """Sound files of each kind, small."""
    with tempfile.TemporaryDirectory() as folder:
        binary = save_wedge(Path(folder) / "a.ply").read_bytes()
        ragged = np.array([([0, 1, 2, 3],), ([3, 2, 1],)], dtype=[("vertex_index", object)])
        points = np.array([(0, 0, 0), (1, 0, 0), (1, 1, 0), (0, 1, 1)], dtype=[(axis, "f4") for axis in "xyz"])
        elements = [plyfile.PlyElement.describe(points, "vertex"), plyfile.PlyElement.describe(ragged, "face")]
        plyfile.PlyData(elements, byte_order=">").write(f"{folder}/b.ply")
        mixed = (Path(folder) / "b.ply").read_bytes()
    return {
        "binary.ply": binary,
        "mixed.ply": mixed,
        "strips.ply": (CASES / "ply_tristrips/model.ply").read_bytes(),
        "faces.ply": (CASES / "ply_face_colors_quads/model.ply").read_bytes(),
        "a.off": (CASES / "off_colors/off_coff/model.off").read_bytes(),
        "a.obj": (CASES / "obj_bom/model.obj").read_bytes(),
    }


@pytest.mark.parametrize("name", ["binary.ply", "mixed.ply", "strips.ply", "faces.ply", "a.off", "a.obj"])
def test_damaged_files(name):
    fuzz(cut_and_changed(wholes()[name]), lambda content: loads_or_refuses(name, {name: content or b"\n"}))
