"""Formats that assimp and Blender read: shapes, textures and colours are what their makers see."""

import shutil
import struct
import subprocess
from pathlib import Path

import pytest

from get3d.assets import converted, programs
from get3d.assets.loading import Loaded, load_asset
from get3d.files import InputError
from models import GREEN, RED, plain, png

HERE = Path(__file__).parent
PYTHON = HERE.parent / ".venv-blender/bin/python"
needs_assimp = pytest.mark.skipif(shutil.which("assimp") is None, reason="needs assimp: apt install assimp-utils")
needs_blender = pytest.mark.skipif(
    not (HERE.parent / ".venv-blender/.ready").is_file(), reason="needs Blender: make .venv-blender/.ready"
)
AC = """AC3Db
MATERIAL "paint" rgb {rgb} amb 1 1 1 emis 0 0 0 spec 0 0 0 shi 0 trans 0
OBJECT world
kids 1
OBJECT poly
name "square"
{texture}numvert 4
-1 0 0
1 0 0
1 1 0
-1 1 0
numsurf 1
SURF 0x20
mat 0
refs 4
0 0 0
1 1 0
2 1 1
3 0 1
kids 0
"""
MAKE_BLEND = """
import bpy, sys
folder, outside = sys.argv[1:]
bpy.ops.wm.read_factory_settings(use_empty=True)
bpy.ops.mesh.primitive_cube_add(size=1)
cube = bpy.context.object
cube.scale = (1, 2, 3)
for name in (folder + "/red.png", outside):
    material = bpy.data.materials.new("m")
    material.use_nodes = True
    node = material.node_tree.nodes.new("ShaderNodeTexImage")
    node.image = bpy.data.images.load(name)
    surface = material.node_tree.nodes["Principled BSDF"].inputs["Base Color"]
    material.node_tree.links.new(node.outputs["Color"], surface)
    cube.data.materials.append(material)
cube.data.polygons[0].material_index = 1
text = bpy.data.texts.new("run.py")
text.write("open(" + repr(folder + "/ran") + ", 'w').close()")
text.use_module = True
bpy.ops.wm.save_as_mainfile(filepath=folder + "/model.blend", relative_remap=True)
bpy.ops.wm.read_factory_settings(use_empty=True)
with bpy.data.libraries.load(folder + "/model.blend", link=True) as (there, here):
    here.objects = there.objects
bpy.context.scene.collection.objects.link(here.objects[0])
bpy.ops.wm.save_as_mainfile(filepath=folder + "/linking.blend")
"""


def load(path: Path, **options: object) -> Loaded:
    return load_asset(path, path.parent, **options)


def sides(loaded: Loaded) -> list[float]:
    vertices = loaded.asset.vertices
    return (vertices.amax(0) - vertices.amin(0)).tolist()


def first_texels(loaded: Loaded) -> set[tuple[int, ...]]:
    used = set(loaded.asset.material.tolist())
    return {tuple(loaded.asset.textures[number][0, 0, :3].tolist()) for number in used}


@needs_assimp
def test_an_fbx_with_a_texture_within():
    # Boxes of sides 1, 2, 3 and 1, 1, 1, three apart, with +Z up; a texture, and 0.2 0.2 0.8 as Blender has it.
    loaded = load(HERE / "fixtures/converted/embedded.fbx")
    assert loaded.missing == ()
    assert len(loaded.asset.faces) == 24
    assert sides(loaded) == pytest.approx([0.9, 0.9 * 3 / 4, 0.9 * 2 / 4], rel=1e-4)
    assert first_texels(loaded) == {(0, 255, 0), (124, 124, 231)}


@needs_assimp
@pytest.mark.parametrize("there", [False, True])
def test_an_ac_with_a_texture_beside(tmp_path, there):
    (tmp_path / "a.ac").write_text(AC.format(rgb="1 1 1", texture='texture "Red.png"\n'))
    if there:
        (tmp_path / "red.png").write_bytes(png(plain(RED)))
    loaded = load(tmp_path / "a.ac")
    assert len(loaded.asset.faces) == 2
    assert sides(loaded) == pytest.approx([0.9, 0.45, 0], abs=1e-6)
    assert loaded.missing == (() if there else ("Red.png",))
    if there:
        assert first_texels(loaded) == {RED}


@needs_assimp
def test_colours_of_an_ac_are_those_of_a_screen(tmp_path):
    (tmp_path / "a.ac").write_text(AC.format(rgb="1 0.5 0", texture=""))
    ((red, green, blue),) = first_texels(load(tmp_path / "a.ac"))
    assert (red, blue) == (255, 0)
    assert abs(green - 128) <= 1


@needs_assimp
def test_a_3ds_of_another_program(tmp_path):
    (tmp_path / "a.obj").write_text(
        "mtllib a.mtl\nv 0 0 0\nv 2 0 0\nv 2 1 0\nv 0 1 0\nusemtl paint\nf 1 2 3\nf 1 3 4\n"
    )
    (tmp_path / "a.mtl").write_text("newmtl paint\nKd 1 0.5 0\n")
    subprocess.run(["assimp", "export", "a.obj", "a.3ds"], cwd=tmp_path, check=True, capture_output=True)
    loaded = load(tmp_path / "a.3ds")
    assert loaded.missing == ()
    assert len(loaded.asset.faces) == 2
    assert sorted(sides(loaded)) == pytest.approx([0, 0.45, 0.9], abs=1e-6)
    ((red, green, blue),) = first_texels(loaded)
    assert (red, blue) == (255, 0)
    assert abs(green - 128) <= 1


def lwo(color: tuple[float, float, float]) -> bytes:
    """LightWave's LWO2: a rectangle of 2 × 1 with a colour."""

    def chunk(name: bytes, content: bytes, size: str = ">I") -> bytes:
        return name + struct.pack(size, len(content)) + content + b"\0" * (len(content) % 2)

    points = struct.pack(">12f", 0, 0, 0, 2, 0, 0, 2, 1, 0, 0, 1, 0)
    surface = b"paint\0" + b"\0\0" + chunk(b"COLR", struct.pack(">3fH", *color, 0), ">H")
    parts = [
        chunk(b"TAGS", b"paint\0"),
        chunk(b"LAYR", struct.pack(">HH3f", 0, 0, 0, 0, 0) + b"\0\0"),
        chunk(b"PNTS", points),
        chunk(b"POLS", b"FACE" + struct.pack(">5H", 4, 0, 1, 2, 3)),
        chunk(b"PTAG", b"SURF" + struct.pack(">2H", 0, 0)),
        chunk(b"SURF", surface),
    ]
    return chunk(b"FORM", b"LWO2" + b"".join(parts))


@needs_assimp
def test_an_lwo_written_by_hand(tmp_path):
    (tmp_path / "a.lwo").write_bytes(lwo((1.0, 0.5, 0.0)))
    loaded = load(tmp_path / "a.lwo")
    assert loaded.missing == ()
    assert len(loaded.asset.faces) == 2
    assert sides(loaded) == pytest.approx([0.9, 0.45, 0], abs=1e-6)
    ((red, green, blue),) = first_texels(loaded)
    assert (red, blue) == (255, 0)
    assert abs(green - 128) <= 1


@needs_assimp
def test_textures_out_of_the_folder_are_refused(tmp_path):
    (tmp_path / "secret.png").write_bytes(png(plain(GREEN)))
    (tmp_path / "in").mkdir()
    (tmp_path / "in/a.ac").write_text(AC.format(rgb="1 1 1", texture='texture "../secret.png"\n'))
    with pytest.raises(InputError, match="leads out of the folder"):
        load(tmp_path / "in/a.ac")


@needs_assimp
@pytest.mark.parametrize("suffix", ["fbx", "3ds", "ac", "lwo"])
def test_damaged_files_are_refused(tmp_path, suffix):
    (tmp_path / f"a.{suffix}").write_bytes(b"FORM Kaydara FBX Binary AC3D MM" * 9)
    with pytest.raises(InputError) as caught:
        load(tmp_path / f"a.{suffix}")
    assert len(str(caught.value).splitlines()) == 1


def test_without_the_program_its_name_is_said(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", "")
    (tmp_path / "a.fbx").write_bytes(b"Kaydara")
    (tmp_path / "a.blend").write_bytes(b"BLENDER")
    with pytest.raises(InputError, match="assimp-utils"):
        load(tmp_path / "a.fbx")
    with pytest.raises(InputError, match="Blender"):
        load(tmp_path / "a.blend")


def test_a_program_that_hangs_is_stopped(tmp_path, monkeypatch):
    program = tmp_path / "bin" / "assimp"
    program.parent.mkdir()
    program.write_text("#!/bin/sh\nexec sleep 60\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(program.parent), prepend=":")
    monkeypatch.setattr(converted, "LIMITS", converted.LIMITS.__class__(seconds=1))
    (tmp_path / "a.fbx").write_bytes(b"Kaydara")
    with pytest.raises(InputError, match="takes more than 1 s"):
        load(tmp_path / "a.fbx")


@pytest.mark.slow
@needs_blender
def test_a_blend_that_needs_too_much_memory_is_refused(tmp_path, monkeypatch):
    make = "import bpy, sys; bpy.ops.wm.save_as_mainfile(filepath=sys.argv[1])"
    subprocess.run([PYTHON, "-c", make, tmp_path / "a.blend"], check=True, capture_output=True)
    assert len(load(tmp_path / "a.blend", blender=PYTHON).asset.faces) == 12
    monkeypatch.setitem(programs._MOST_MEMORY, "Blender", 2**24)
    with pytest.raises(InputError, match="Blender cannot read it") as caught:
        load(tmp_path / "a.blend", blender=PYTHON)
    assert len(str(caught.value).splitlines()) == 1


@pytest.mark.slow
@needs_blender
def test_a_blend_runs_nothing_reads_nothing_outside_and_has_its_textures(tmp_path):
    folder = tmp_path / "in"
    folder.mkdir()
    (folder / "red.png").write_bytes(png(plain(RED)))
    (tmp_path / "secret.png").write_bytes(png(plain(GREEN)))
    script = tmp_path / "make.py"
    script.write_text(MAKE_BLEND)
    subprocess.run([PYTHON, script, folder, tmp_path / "secret.png"], check=True, capture_output=True)
    loaded = load(folder / "model.blend", blender=PYTHON)
    assert sides(loaded) == pytest.approx([0.3, 0.9, 0.6], rel=1e-4)
    assert RED in first_texels(loaded)
    assert GREEN not in first_texels(loaded)
    assert len(loaded.missing) == 1
    assert loaded.missing[0].endswith("secret.png")
    assert not (folder / "ran").exists()
    with pytest.raises(InputError, match="it links the file"):
        load(folder / "linking.blend", blender=PYTHON)
