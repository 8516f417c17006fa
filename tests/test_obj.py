"""OBJ and MTL: whatever way a file writes its numbers and names, the triangles and materials are the same."""

import tempfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from get3d.assets.files import FolderResolver
from get3d.assets.mtl import decoded, read_mtl
from get3d.assets.obj import load_obj
from get3d.files import InputError


def corner(style: str, number: int, count: int) -> str:
    """A corner of the numbered vertex, place and normal, all of one number."""
    n = number + 1 if "absolute" in style else number - count
    return {"v": f"{n}", "v/t": f"{n}/{n}", "v//n": f"{n}//{n}", "v/t/n": f"{n}/{n}/{n}"}[style.split()[0]]


@given(
    st.integers(3, 12),
    st.integers(1, 8),
    st.lists(st.sampled_from(["v", "v/t", "v//n", "v/t/n"]), min_size=8, max_size=8),
    st.lists(st.sampled_from(["absolute", "relative"]), min_size=8, max_size=8),
    st.sampled_from(["\n", "\r\n", "\r", " # why\n", " \\\n\n"]),
    st.integers(0, 2**32 - 1),
)
def test_all_ways_of_writing_give_the_same_triangles(vertices, faces, styles, counted, end, seed):
    rng = np.random.default_rng(seed)
    points, places = rng.normal(size=(vertices, 3)).round(4), rng.random((vertices, 2)).round(4)
    triples = [rng.permutation(vertices)[:3] for _ in range(faces)]
    lines = [f"v {x} {y} {z}" for x, y, z in points]
    lines += [f"vt {u} {v}" for u, v in places] + [f"vn {x} {y} {z}" for x, y, z in points]
    for triple, style, way in zip(triples, styles, counted, strict=False):
        lines.append("f  " + "\t".join(corner(f"{style} {way}", number, vertices) for number in triple))
    with tempfile.TemporaryDirectory() as name:
        path = Path(name) / "a.obj"
        path.write_bytes((end.join(lines) + "\n").encode())
        (mesh,) = load_obj(path, FolderResolver(path.parent, path.parent)).geometry.values()
    np.testing.assert_allclose(mesh.triangles, points[np.array(triples)])


def test_places_and_normals_of_corners(tmp_path):
    (tmp_path / "a.mtl").write_text("newmtl m\nKd 1 0 0\n")
    (tmp_path / "a.obj").write_text(
        "mtllib a.mtl\nusemtl m\nv 0 0 0\nv 1 0 0\nv 0 1 0\nv 1 1 0\n"
        "vt 0.25 0.5\nvt 1 0 0\nvt 0 1\nvn 0 0 1\nvn 0 0 -1\nf 1/1/1 2/2/1 3/3/1\nf 2/1/2 4/2/2 3/3/2\n"
    )
    (mesh,) = load_obj(tmp_path / "a.obj", FolderResolver(tmp_path, tmp_path)).geometry.values()
    corners = mesh.faces.ravel()
    np.testing.assert_allclose(mesh.visual.uv[corners], [[0.25, 0.5], [1, 0], [0, 1]] * 2)
    np.testing.assert_allclose(mesh.vertex_normals[corners], [[0, 0, 1]] * 3 + [[0, 0, -1]] * 3)
    assert len(mesh.vertices) == 6


@pytest.mark.parametrize("colors", ["1 0 0", "255 0 0"])
def test_colours_at_vertices(tmp_path, colors):
    (tmp_path / "a.obj").write_text(
        "".join(f"v {place} {colors}\n" for place in ("0 0 0", "1 0 0", "0 1 0")) + "f 1 2 3"
    )
    (mesh,) = load_obj(tmp_path / "a.obj", FolderResolver(tmp_path, tmp_path)).geometry.values()
    assert mesh.visual.vertex_colors[:, :3].tolist() == [[255, 0, 0]] * 3


@pytest.mark.parametrize(
    ("face", "said"),
    [
        ("f 1 2 4", "vertex 4 of 3"),
        ("f 1 2 -4", "vertex -4 of 3"),
        ("f 0 1 2", "vertex 0 of 3"),
        ("f 1 2 x", "not a number"),
    ],
)
def test_corners_that_are_not_there(tmp_path, face, said):
    (tmp_path / "a.obj").write_text(f"v 0 0 0\nv 1 0 0\nv 0 1 0\n{face}\n")
    with pytest.raises(InputError, match=said):
        load_obj(tmp_path / "a.obj", FolderResolver(tmp_path, tmp_path))


@pytest.mark.parametrize(
    ("line", "name", "scale", "offset"),
    [
        ("map_Kd a.png", "a.png", 1, 0),
        ("map_kd\ta b.png ", "a b.png", 1, 0),
        ("map_Kd -s 2 3 1 -o 0.5 0.25 0 a.png", "a.png", [2, 3], [0.5, 0.25]),
        ("map_Kd -s 2 a.png", "a.png", [2, 1], 0),
        ("map_Kd -blendu on -mm 0 1 -clamp off -bm 0.5 -texres 64 -o 1 a b.png", "a b.png", 1, [1, 0]),
        ("map_Kd -s 1 1 1 2.png", "2.png", [1, 1], 0),
        ("map_Kd -mine.png", "-mine.png", 1, 0),
    ],
)
def test_options_of_textures(line, name, scale, offset):
    paint = read_mtl(f"newmtl m\n{line}\n")["m"]
    assert paint.texture == name
    np.testing.assert_allclose(np.broadcast_to(paint.scale, 2), np.broadcast_to(scale, 2))
    np.testing.assert_allclose(np.broadcast_to(paint.offset, 2), np.broadcast_to(offset, 2))


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-32"])
def test_encodings(encoding):
    assert list(read_mtl(decoded("newmtl Stühle\nKd 1 0 0\n".encode(encoding)))) == ["Stühle"]


@pytest.mark.parametrize(("name", "missing"), [("(null)", []), ("None", []), ("wood", ["material wood"])])
def test_names_that_mean_no_material(tmp_path, name, missing):
    (tmp_path / "a.mtl").write_text("newmtl a\nKd 1 0 0\n")
    (tmp_path / "a.obj").write_text(f"mtllib a.mtl\nusemtl {name}\nv 0 0 0\nv 1 0 0\nv 0 1 0\nf 1 2 3\n")
    resolver = FolderResolver(tmp_path, tmp_path)
    (mesh,) = load_obj(tmp_path / "a.obj", resolver).geometry.values()
    assert resolver.missing == missing
    assert mesh.visual.kind is None


def test_two_files_of_materials_and_a_name_with_spaces(tmp_path):
    (tmp_path / "one two.mtl").write_text("newmtl a b\nKd 1 0 0\n")
    (tmp_path / "three.mtl").write_text("newmtl c\nKd 0 1 0\n")
    (tmp_path / "a.obj").write_text(
        "mtllib one two.mtl\nmtllib three.mtl gone.mtl\nv 0 0 0\nv 1 0 0\nv 0 1 0\nusemtl a b\nf 1 2 3\n"
        "usemtl c\nf 3 2 1\n"
    )
    resolver = FolderResolver(tmp_path, tmp_path)
    meshes = load_obj(tmp_path / "a.obj", resolver).geometry.values()
    assert [mesh.visual.material.diffuse[:3].tolist() for mesh in meshes] == [[255, 0, 0], [0, 255, 0]]
    assert resolver.missing == ["gone.mtl"]
