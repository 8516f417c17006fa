"""Small files as real programs write them, each of which was once read wrongly, and what is right."""

import math
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from rich.console import Console

from get3d.assets.loading import Loaded, load_asset
from get3d.assets.shading import shade
from get3d.authoring.from_meshes.command import render_models
from get3d.authoring.from_meshes.config import RenderConfig
from get3d.authoring.from_meshes.model_files import find_models
from get3d.cameras import Cameras
from get3d.datasets.check import check

CASES = Path(__file__).parent / "fixtures" / "cases"
QUIET = Console(quiet=True)
RED, GREEN, BLUE, YELLOW = (255, 0, 0), (0, 255, 0), (0, 0, 255), (255, 255, 0)
GREY, CLEAR = (204, 204, 204), None
QUARTERS = (
    (YELLOW, YELLOW, BLUE, BLUE),
    (YELLOW, YELLOW, BLUE, BLUE),
    (GREEN, GREEN, RED, RED),
    (GREEN, GREEN, RED, RED),
)


def load(case: str) -> Loaded:
    """The only model of a case."""
    root = CASES / case
    (source,) = find_models(root).sources
    return load_asset(root / source.file, root)


def colors(loaded: Loaded) -> tuple[tuple[tuple[int, ...] | None, ...], ...]:
    """What is seen from the front at 4 × 4 places of the object: colours, or None where there is none."""
    camera = Cameras.orbit(torch.zeros(1), torch.full((1,), math.pi / 2), radius=3.0)
    image = shade(loaded.asset, camera, 64, 1, "even")[0].permute(1, 2, 0).int().numpy()
    rows, columns = np.nonzero(image[..., 3])
    assert len(rows), "nothing is seen"
    shares = (0.2, 0.4, 0.6, 0.8)
    places = [[int(edge.min() + share * (edge.max() - edge.min())) for share in shares] for edge in (rows, columns)]
    pixels = [[image[row, column].tolist() for column in places[1]] for row in places[0]]
    return tuple(tuple(tuple(pixel[:3]) if pixel[3] else None for pixel in row) for row in pixels)


def same(color: tuple[int, int, int]) -> tuple[tuple[tuple[int, ...], ...], ...]:
    return ((color,) * 4,) * 4


@pytest.mark.parametrize(
    "case",
    [
        *("obj_bom", "obj_quoted", "obj_case", "obj_absolute_unix", "obj_no_usemtl", "obj_latin1/obj_latin1_comment"),
        *("obj_map_options/obj_map_options", "mtl_latin1/latin1_texture_name", "gso_layout"),
    ],
)
def test_textures_are_found_and_lie_as_they_should(case):
    loaded = load(case)
    assert loaded.missing == ()
    assert colors(loaded) == QUARTERS


@pytest.mark.parametrize(
    "case",
    [
        *("obj_two_mtllib", "obj_usemtl_tab", "mtl_bom", "mtl_latin1/obj_latin1_mtl", "obj_latin1/cp1252_degree"),
        *("obj_latin1/gbk_material", "obj_latin1/shiftjis_comment_utf8_rest", "off_colors/off_coff"),
        *("off_colors/off_face_color", "ply_diffuse_color", "ply_face_colors_quads"),
    ],
)
def test_red_cubes_are_red(case):
    loaded = load(case)
    assert loaded.missing == ()
    assert len(loaded.asset.faces) == 12
    assert colors(loaded) == same(RED)


def test_options_of_textures_repeat_them():
    half = ((YELLOW, BLUE) * 2, (GREEN, RED) * 2)
    assert colors(load("obj_map_options/obj_map_options2")) == half * 2


def test_an_image_of_holes_alone_makes_holes_in_the_colour():
    loaded = load("obj_map_d_only")
    assert loaded.missing == ()
    assert 0.5 in loaded.asset.cutoffs.tolist()
    # White is the surface, black a hole, through which the same is seen on the other side.
    assert {color for row in colors(loaded) for color in row} == {RED, CLEAR}


@pytest.mark.parametrize(
    ("case", "missing"), [("obj_exr_texture", "tex.exr"), ("obj_usemtl_unknown", "material paint.001")]
)
def test_what_cannot_be_read_is_named_and_the_base_colour_is_seen(case, missing):
    loaded = load(case)
    assert loaded.missing == (missing,)
    assert colors(loaded) == same(GREY)


@pytest.mark.parametrize(
    "case", ["concave_polygon/ngon_concave_obj", "concave_polygon/ngon_concave_ply", "off_polygons"]
)
def test_the_slot_of_a_u_is_open(case):
    loaded = load(case)
    a, b, c = loaded.asset.vertices[loaded.asset.faces].double().unbind(1)
    areas = torch.linalg.cross(b - a, c - a).norm(dim=1) / 2
    faces_front = loaded.asset.vertices[loaded.asset.faces][:, :, 2].std(dim=1) < 1e-6
    # Two sides, each 7 of the 9 of their rectangle, whose side is the scale.
    assert float(areas[faces_front].sum()) == pytest.approx(2 * 7 / 9 * 0.9**2, rel=1e-5)
    open_slot = ((GREY, CLEAR, CLEAR, GREY),) * 3 + ((GREY,) * 4,)
    assert colors(loaded) == open_slot


def test_strips_of_triangles_are_read():
    loaded = load("ply_tristrips")
    assert len(loaded.asset.faces) == 8
    assert loaded.missing == ()


def test_a_texture_of_16_bit_grey_is_scaled_and_not_cut():
    seen = colors(load("tex_png16_grey"))
    # This side has the image upside down, as QUARTERS shows.
    assert seen[2:] == ((((255,) * 3,) * 4),) * 2
    assert all(abs(value - 128) <= 1 for row in seen[:2] for color in row for value in color)


def test_an_objects_folder_gives_its_name():
    assert [source.name for source in find_models(CASES / "gso_layout").sources] == ["Mug_Of_Someone"]


def render(assets: Path, out: Path, **changes: object) -> Path:
    defaults = {"views": 4, "resolution": 64, "supersample": 2, "workers": 1}
    return render_models(RenderConfig(assets, out, **{**defaults, **changes}), QUIET)


@pytest.mark.parametrize("form", ["{root}/chair.glb", "chair.glb", "./chair.glb", "{root}/../{name}/chair.glb"])
def test_a_list_leaves_its_models_as_they_are(tmp_path, form):
    root = shutil.copytree(CASES / "list_absolute", tmp_path / "models")
    before = (root / "chair.glb").read_bytes()
    (root / "list.txt").write_text(form.format(root=root, name=root.name) + "\n")
    out = render(root / "list.txt", tmp_path / "out", resolution=16, views=1)
    assert (root / "chair.glb").read_bytes() == before
    assert sorted(path.name for path in root.iterdir()) == ["chair.glb", "list.txt"]
    assert [str(path.relative_to(out)) for path in out.rglob("*.png")] == ["images/chair/000.png"]


def test_a_list_may_begin_with_a_byte_order_mark(tmp_path):
    out = render(CASES / "list_bom" / "list.txt", tmp_path / "out", resolution=16, views=1)
    assert (out / "meshes" / "model.glb").is_file()


def test_a_linked_folder_is_named(tmp_path):
    root = shutil.copytree(CASES / "linked_folder", tmp_path / "case")
    (root / "models" / "linked").symlink_to("../elsewhere")
    found = find_models(root / "models")
    assert [source.name for source in found.sources] == ["plain/a"]
    assert list(found.refused) == ["linked"]
    assert "is a link to the folder" in found.refused["linked"]


def test_what_render_makes_of_a_box_by_default_is_usable(tmp_path):
    out = render(CASES / "box_default_scale", tmp_path / "out", views=24)
    result = check(out)
    assert result.usable, result
    borders = []
    for path in out.rglob("*.png"):
        alpha = np.asarray(Image.open(path))[..., 3]
        borders.append(max(alpha[0].max(), alpha[-1].max(), alpha[:, 0].max(), alpha[:, -1].max()))
    assert len(borders) == 24
    assert max(borders) == 0
