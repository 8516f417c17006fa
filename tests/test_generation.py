"""Objects in folders: made, made again, on finer grids, between and around each other, and by the thousand."""

import io
import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import get_args, get_type_hints

import numpy as np
import pytest
import torch
import trimesh
from PIL import Image
from rich.console import Console

import tiny
from get3d.checkpoints.model import WEIGHTS, load
from get3d.datasets.index import Description
from get3d.export import FORMATS
from get3d.files import InputError
from get3d.generation.config import GenerateConfig, InterpolateConfig, Settings, VaryConfig
from get3d.generation.generate import generate
from get3d.generation.interpolation import interpolate, vary
from get3d.generation.shape_list import _decoded, write_shape_list
from get3d.generator import Generator
from get3d.latents import Styles
from get3d.storage import describe, save_tensors, with_prefix
from get3d.training.loop import train

PAGE = ["index.html", "page/LICENSE.txt", "page/model-viewer.js", "page/objects/000000.js"]
QUICK = {"resolution": 16, "texture": 16, "faces": 60, "video": "none", "device": "cpu"}


def _save(generator, path):
    save_tensors(path, with_prefix(WEIGHTS, generator.state_dict()), {"generator": describe(generator.config)})
    return str(path)


def _random_generator(**changes):
    """A generator whose random fields have both signs."""
    torch.manual_seed(3)
    generator = Generator(replace(tiny.GENERATOR, **changes)).requires_grad_(False)
    generator.estimate_mean_styles(samples=100)
    generator.synthesis.sdf_head.layers[-1].bias -= _sdf(generator, 8).median()
    return generator


def _sdf(generator, num):
    points = generator.isosurface.grid.vertices.expand(num, -1, -1)
    return generator.field(generator.sample_latents(num, 0), 0.7).sdf(points)[..., 0]


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return _save(_random_generator(), tmp_path_factory.mktemp("model") / "model.safetensors")


@pytest.fixture(scope="module")
def classes(tmp_path_factory):
    """A model of two classes."""
    return _save(_random_generator(classes=("cup", "jug")), tmp_path_factory.mktemp("model") / "model.safetensors")


@pytest.fixture
def said():
    return Console(file=io.StringIO(), width=500)


def _shapes(folder):
    return json.loads((folder / "shapes.json").read_text())


def _names(folder):
    return {entry.relative_to(folder).as_posix() for entry in folder.rglob("*") if entry.is_file()}


def _latents(entry):
    return entry["latents"]["geometry"], entry["latents"]["texture"]


def test_objects_come_with_a_sheet_a_turntable_and_a_record(model, tmp_path, said):
    paths = generate(GenerateConfig(model, out=tmp_path, num=3, seed=5, **QUICK | {"video": "gif"}), said)
    assert [path.name for path in paths] == ["000005.glb", "000006.glb", "000007.glb"]
    record = _shapes(tmp_path)
    assert (record["psi"], record["grid"], record["model"]) == (0.7, 8, model)
    for path, entry in zip(paths, record["shapes"], strict=True):
        shape = trimesh.load(path, force="mesh")
        assert (entry["file"], entry["faces"], entry["watertight"]) == (path.name, len(shape.faces), True)
    latents = load(model).sample_latents(3, 5)
    assert [entry["latents"]["texture"] for entry in record["shapes"]] == latents.texture.tolist()
    with Image.open(tmp_path / "contact-sheet.png") as sheet:
        assert sheet.size == (48, 16)
    with Image.open(tmp_path / "turntable.gif") as video:
        assert (video.size, video.n_frames) == ((48, 16), 36)
    assert "3 objects (3 watertight)" in said.file.getvalue()


@pytest.mark.parametrize("asked", [{"grid": 10, "psi": 0.4}, {}])
def test_a_record_makes_exactly_the_same_shapes_again(model, tmp_path, said, asked):
    first = generate(GenerateConfig(model, out=tmp_path / "a", num=3, **QUICK, **asked), said)
    again = GenerateConfig(model, out=tmp_path / "b", latents=tmp_path / "a" / "shapes.json", **QUICK)
    second = generate(again, said)
    for one, two in zip(first, second, strict=True):
        assert one.name == two.name
        assert one.read_bytes() == two.read_bytes()
    assert _shapes(tmp_path / "a") == _shapes(tmp_path / "b")
    mean = generate(replace(again, out=tmp_path / "c", psi=0.0), said)
    assert len({path.read_bytes() for path in mean}) == 1


def test_an_empty_shape_does_not_stop_the_others(tmp_path, said):
    generator = _random_generator()
    highest = _sdf(generator, 4).amax(1)
    between = highest.sort().values[1:3].mean()
    generator.synthesis.sdf_head.layers[-1].bias -= between
    expected = (highest < between).int().tolist()
    assert sum(expected) == 2
    path = _save(generator, tmp_path / "model.safetensors")
    written = generate(GenerateConfig(path, out=tmp_path / "out", num=4, **QUICK), said)
    entries = _shapes(tmp_path / "out")["shapes"]
    assert [int("problem" in entry) for entry in entries] == expected
    assert [path.name for path in written] == [entry["file"] for entry in entries if "file" in entry]
    assert "no surface, and 1 more" in said.file.getvalue()
    bare = generate(GenerateConfig(path, out=tmp_path / "bare", num=4, geometry_only=True, **QUICK), said)
    assert len(bare) == 2
    assert len(_shapes(tmp_path / "bare")["empty"]) == 2
    generator.synthesis.sdf_head.layers[-1].bias -= 1000
    path = _save(generator, tmp_path / "model.safetensors")
    with pytest.raises(InputError, match=r"none of 4 shapes could be made \(000000: its field has the same sign"):
        generate(GenerateConfig(path, out=tmp_path / "none", num=4, **QUICK), said)


def test_a_finer_grid_gives_a_finer_mesh_of_the_same_shape(model, tmp_path, said):
    box = []
    for grid in (12, 24):
        (path,) = generate(
            GenerateConfig(model, out=tmp_path / str(grid), num=1, grid=grid, geometry_only=True, points=0, **QUICK),
            said,
        )
        box.append(trimesh.load(path, force="mesh"))
        assert _shapes(tmp_path / str(grid))["grid"] == grid
    coarse, fine = box
    assert len(fine.faces) > 2 * len(coarse.faces)
    np.testing.assert_allclose(fine.bounds, coarse.bounds, atol=1.5 / 12)


def test_a_grid_that_does_not_fit_is_refused_with_the_number(model, tmp_path, said, monkeypatch):
    monkeypatch.setattr("get3d.isosurface.memory.free_memory", lambda device: 10**9)
    generate(GenerateConfig(model, out=tmp_path, num=1, grid=32, **QUICK), said)
    with pytest.raises(
        InputError, match=r"--grid is 200, which takes about 8\.0 GB on the cpu, where 1\.0 GB are free"
    ):
        generate(GenerateConfig(model, out=tmp_path, num=1, grid=200, **QUICK), said)


MEASURED = """
import sys
sys.path[:0] = {path!r}
import ctypes, gc
from dataclasses import replace
import torch, tiny
from get3d.generator import Generator
from get3d.isosurface.memory import grid_memory
from get3d.networks import PlanesConfig, UnifiedConfig
torch.set_num_threads(1)
synthesis = UnifiedConfig(planes=PlanesConfig(resolution=64, channels=32, channel_base=64))
generator = Generator(replace(tiny.GENERATOR, isosurface={kind!r}, synthesis=synthesis)).eval().requires_grad_(False)
latents, grid = generator.sample_latents(1, 0), 56
generator.meshes(latents)
def peak(work):
    gc.collect()
    ctypes.CDLL("libc.so.6").malloc_trim(0)
    open("/proc/self/clear_refs", "w").write("5")
    status = lambda name: next(int(line.split()[1]) for line in open("/proc/self/status") if line.startswith(name))
    before = status("VmRSS")
    work()
    return 1024 * (status("VmHWM") - before)
taken = grid_memory(generator.config.isosurface, generator.config.synthesis)
# Of five, because huge pages, which the system gives as it likes, round a peak up.
print(min(peak(lambda: generator.use_grid(grid)) for _ in range(5)) / (taken.built * grid**3))
print(min(peak(lambda: generator.meshes(latents)) for _ in range(5)) / (taken.shape * grid**3))
"""


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/clear_refs").exists(), reason="peaks of memory are measured on Linux")
@pytest.mark.parametrize("kind", ["tetrahedra", "flexicubes"])
def test_the_estimate_of_memory_is_what_is_taken(kind):
    code = MEASURED.format(path=[folder for folder in sys.path if folder], kind=kind)
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    process = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=environment, check=False)
    assert process.returncode == 0, process.stderr[-2000:]
    for share in map(float, process.stdout.split()):
        assert 0.3 < share < 1.1


def test_a_way_leads_from_one_object_to_the_other(model, tmp_path, said):
    config = InterpolateConfig(
        model, out=tmp_path, start=4, end=9, num=3, frames=5, swaps=3, **QUICK | {"video": "gif"}
    )
    paths = interpolate(config, said)
    assert [path.name for path in paths] == ["000.glb", "001.glb", "002.glb"]
    entries = _shapes(tmp_path)["shapes"]
    assert [entry["share"] for entry in entries] == [0, 0.5, 1]
    generator = load(model)
    for entry, seed in ((entries[0], 4), (entries[2], 9)):
        latents = generator.sample_latents(1, seed)
        assert _latents(entry) == (latents.geometry[0].tolist(), latents.texture[0].tolist())
    with Image.open(tmp_path / "way.gif") as video:
        assert (video.size, video.n_frames) == ((16, 16), 8)
    assert len(list((tmp_path / "frames").glob("*.png"))) == 5
    with Image.open(tmp_path / "swaps.png") as sheet:
        swaps = np.asarray(sheet.convert("RGB")).reshape(3, 16, 3, 16, 3)
    ends = [np.asarray(Image.open(tmp_path / "frames" / f"{number:04d}.png").convert("RGB")) for number in (0, 4)]
    for place, end in ((0, ends[0]), (2, ends[1])):
        assert np.abs(swaps[place, :, place].astype(int) - end).max() <= 2


@pytest.mark.slow
def test_a_way_in_w_is_a_straight_line_of_styles_and_is_made_again(model, tmp_path, said):
    quick = QUICK | {"psi": 0.5}
    config = InterpolateConfig(model, out=tmp_path, start=4, end=9, num=3, frames=2, swaps=10, space="w", **quick)
    paths = interpolate(config, said)
    generator = load(model)
    ends = [generator.styles(generator.sample_latents(1, seed), 0.5) for seed in (4, 9)]
    for entry, share in zip(_shapes(tmp_path)["shapes"], (0, 0.5, 1), strict=True):
        assert (entry["space"], entry["share"]) == ("w", share)
        assert "latents" not in entry
        for kind in ("geometry", "texture"):
            a, b = (getattr(end, kind)[0, 0] for end in ends)
            found = _decoded(entry["styles"][kind], kind)[0, 0]
            torch.testing.assert_close(found, a + share * (b - a), rtol=1e-5, atol=1e-6)
    with Image.open(tmp_path / "swaps.png") as sheet:
        assert sheet.size == (160, 160)
    again = tmp_path / "again"
    remade = generate(GenerateConfig(model, out=again, latents=tmp_path / "shapes.json", **QUICK), said)
    assert [path.read_bytes() for path in remade] == [path.read_bytes() for path in paths]
    settings = GenerateConfig(model, out=again, latents=tmp_path / "shapes.json", **QUICK | {"psi": 1.0})
    with pytest.raises(InputError, match="contains styles, which are already truncated"):
        generate(settings, said)


@pytest.mark.parametrize("change", ["geometry", "texture"])
def test_on_a_way_of_one_code_the_other_stays(model, tmp_path, said, change):
    interpolate(InterpolateConfig(model, out=tmp_path, change=change, num=3, frames=2, swaps=0, **QUICK), said)
    entries = _shapes(tmp_path)["shapes"]
    other = {"geometry": "texture", "texture": "geometry"}[change]
    assert len({tuple(entry["latents"][other]) for entry in entries}) == 1
    assert len({tuple(entry["latents"][change]) for entry in entries}) == 3
    assert not (tmp_path / "swaps.png").exists()
    assert not (tmp_path / "way.gif").exists()


@pytest.mark.parametrize("change", ["both", "geometry", "texture"])
def test_variations_begin_with_the_object_and_change_what_is_asked(model, tmp_path, said, change):
    paths = vary(VaryConfig(model, out=tmp_path, seed=2, num=2, strength=0.5, change=change, **QUICK), said)
    assert [path.name for path in paths] == [f"000002-00{number}.glb" for number in range(3)]
    entries = _shapes(tmp_path)["shapes"]
    latents = load(model).sample_latents(1, 2)
    assert _latents(entries[0]) == (latents.geometry[0].tolist(), latents.texture[0].tolist())
    for code in ("geometry", "texture"):
        distinct = len({tuple(entry["latents"][code]) for entry in entries})
        assert distinct == (3 if change in (code, "both") else 1)
    again = generate(GenerateConfig(model, out=tmp_path / "b", latents=tmp_path / "shapes.json", **QUICK), said)
    assert [path.read_bytes() for path in again] == [path.read_bytes() for path in paths]


def _listed(model, path, names):
    """A shapes.json with styles that no latent gives, and these styles."""
    generator = load(model)
    layers = generator.require_styles(generator.styles(generator.sample_latents(len(names), 20), 1.0))
    noise = torch.Generator().manual_seed(1)
    styles = Styles(*(w + 0.1 * torch.randn(w.shape, generator=noise) for w in (layers.geometry, layers.texture)))
    write_shape_list(path, generator, styles, names)
    return generator, styles


def _styles(entry):
    return [_decoded(entry["styles"][kind], kind) for kind in ("geometry", "texture")]


@pytest.mark.parametrize(("change", "strength"), [("both", 0.6), ("geometry", 0.6), ("both", 0.0), ("both", 1.0)])
def test_variations_of_styles_are_spread_about_the_mean_style_as_those_of_latents(
    model, tmp_path, said, change, strength
):
    generator, styles = _listed(model, tmp_path / "fitted.json", ["a", "b"])
    config = VaryConfig(
        model, out=tmp_path / "out", latents=tmp_path / "fitted.json", shape="b", num=2, strength=strength, **QUICK
    )
    paths = vary(replace(config, change=change), said)
    assert [path.name for path in paths] == ["b-000.glb", "b-001.glb", "b-002.glb"]
    own, *varied = _shapes(tmp_path / "out")["shapes"]
    assert [entry["of"] for entry in varied] == ["b", "b"]
    assert "variation of b, strength" in (tmp_path / "out/index.html").read_text()
    noise = torch.Generator().manual_seed(int(np.random.SeedSequence([0, 1]).generate_state(1)[0]))
    drawn = torch.randn(2, 2, generator.config.z_dim, generator=noise)
    mappings = (generator.mapping_geometry, generator.mapping_texture)
    for kind, mapping, codes in zip(("geometry", "texture"), mappings, drawn, strict=True):
        part = 0 if kind == "geometry" else 1
        fitted, mean = getattr(styles, kind)[1:], mapping.w_avg
        torch.testing.assert_close(_styles(own)[part], fitted, rtol=0, atol=0)
        for number, entry in enumerate(varied):
            share = strength if change in (kind, "both") else 0.0
            away = 0.7 * (mapping(codes)[number] - mean)
            expected = mean + (1 - share**2) ** 0.5 * (fitted - mean) + share * away
            torch.testing.assert_close(_styles(entry)[part], expected, rtol=1e-5, atol=1e-5)


def test_a_way_leads_from_listed_styles_to_a_seed_or_to_others(model, tmp_path, said):
    generator, styles = _listed(model, tmp_path / "fitted.json", ["a", "b"])
    config = InterpolateConfig(
        model, out=tmp_path / "out", latents=(tmp_path / "fitted.json",), shape=("b",), end=9, num=3, frames=2, swaps=2
    )
    interpolate(replace(config, **QUICK), said)
    seed = generator.styles(generator.sample_latents(1, 9), 0.7)
    entries = _shapes(tmp_path / "out")["shapes"]
    assert [(entry["from"], entry["to"], entry["space"]) for entry in entries] == [("b", 9, "w")] * 3
    for share, entry in zip((0, 0.5, 1), entries, strict=True):
        expected = styles.geometry[1:] + share * (seed.geometry - styles.geometry[1:])
        torch.testing.assert_close(_styles(entry)[0], expected, rtol=1e-5, atol=1e-6)
    assert (tmp_path / "out/swaps.png").exists()
    # The other way round by names, and from two files.
    for latents, shape in (
        ((tmp_path / "fitted.json",), ("b", "a")),
        ((tmp_path / "out/shapes.json", tmp_path / "fitted.json"), ("000", "a")),
    ):
        options = {"latents": latents, "shape": shape, "out": tmp_path / "two", "num": 2}
        interpolate(replace(config, **options | QUICK), said)
        first, last = _shapes(tmp_path / "two")["shapes"]
        torch.testing.assert_close(_styles(first)[1], styles.texture[1:], rtol=0, atol=1e-6)
        torch.testing.assert_close(_styles(last)[1], styles.texture[:1], rtol=0, atol=1e-6)


def test_listed_latents_are_varied_and_interpolated_as_their_seeds(model, tmp_path, said):
    generate(GenerateConfig(model, out=tmp_path / "two", num=2, seed=4, **QUICK), said)
    of_seed = VaryConfig(model, out=tmp_path / "seed", seed=4, num=1, **QUICK)
    vary(of_seed, said)
    listed = {"latents": tmp_path / "two/shapes.json", "shape": "000004"}
    vary(replace(of_seed, out=tmp_path / "listed", **listed), said)
    for name in ("000004-000.glb", "000004-001.glb"):
        assert (tmp_path / "listed" / name).read_bytes() == (tmp_path / "seed" / name).read_bytes()
    way = InterpolateConfig(model, out=tmp_path / "a", start=4, end=5, num=2, frames=2, swaps=0, **QUICK)
    interpolate(way, said)
    interpolate(replace(way, out=tmp_path / "b", start=0, end=1, latents=(tmp_path / "two/shapes.json",)), said)
    for name in ("000.glb", "001.glb"):
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes()


@pytest.mark.parametrize(
    ("command", "changes", "message"),
    [
        (vary, {}, r"fitted.json: has 3 shapes; name one of them with --shape"),
        (vary, {"shape": "d"}, r"--shape d: no shape of this name in .*fitted.json; the shapes are a, b, c"),
        (vary, {"latents": None, "shape": "a"}, "--shape a: names a shape of a shapes.json; give it with --latents"),
        (interpolate, {}, "--latents: has 3 shapes; name one or two of them with --shape"),
        (interpolate, {"latents": 2, "shape": ("a",)}, "--shape a: 2 shapes of this name"),
    ],
)
def test_which_listed_shapes_are_meant_must_be_clear(model, tmp_path, said, command, changes, message):
    path = tmp_path / "fitted.json"
    _listed(model, path, ["a", "b", "c"])
    many = command is interpolate
    kind = InterpolateConfig if many else VaryConfig
    changes = {"latents": 1 if many else path, **changes}
    if many:
        changes["latents"] = (path,) * changes["latents"]
    with pytest.raises(InputError, match=message):
        command(kind(model, out=tmp_path / "out", **changes, **QUICK), said)


def test_styles_are_varied_only_if_their_class_is_known(classes, tmp_path, said):
    _listed(classes, tmp_path / "fitted.json", ["a"])
    config = VaryConfig(classes, out=tmp_path / "out", latents=tmp_path / "fitted.json", num=1, **QUICK)
    with pytest.raises(
        InputError, match="--label is None: styles do not say the class of their object; it is cup, jug"
    ):
        vary(config, said)
    vary(replace(config, label="jug"), said)


def _files(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir() if path.suffix != ".json"}


def test_geometry_alone_goes_on_where_it_was_stopped(model, tmp_path, said):
    config = GenerateConfig(model, out=tmp_path / "a", num=6, geometry_only=True, points=50, **QUICK)
    paths = generate(config, said)
    assert [path.name for path in paths] == [f"{number:06d}.glb" for number in range(6)]
    whole = _files(tmp_path / "a")
    assert len(whole) == 12
    stopped = replace(config, out=tmp_path / "b", num=5)
    generate(stopped, said)
    for name in ("000001.npz", "000003.npz", "000003.glb"):
        (tmp_path / "b" / name).unlink()
    kept = (tmp_path / "b" / "000002.npz").stat().st_mtime_ns
    generate(replace(config, out=tmp_path / "b"), said)
    assert (tmp_path / "b" / "000002.npz").stat().st_mtime_ns == kept
    again = _files(tmp_path / "b")
    assert again.keys() == whole.keys()
    for name, content in whole.items():
        if name.endswith(".npz"):
            one, two = (np.load(io.BytesIO(bytes_)) for bytes_ in (content, again[name]))
            np.testing.assert_allclose(one["points"], two["points"], atol=1e-5)
    with pytest.raises(InputError, match=r"psi 0\.7, requested is 1\.0; choose another --out"):
        generate(replace(config, psi=1.0), said)
    other = generate(GenerateConfig(model, out=tmp_path / "c", latents=tmp_path / "a" / "shapes.json", **QUICK), said)
    assert len(other) == 6


def test_points_lie_on_the_meshes_with_their_normals(model, tmp_path, said):
    (path,) = generate(GenerateConfig(model, out=tmp_path, num=1, geometry_only=True, points=500, **QUICK), said)
    mesh = trimesh.load(path, force="mesh", process=False)
    assert len(mesh.faces) > QUICK["faces"]  # nothing is simplified
    drawn = np.load(path.with_suffix(".npz"))
    assert drawn["points"].shape == drawn["normals"].shape == (500, 3)
    _, distance, face = trimesh.proximity.closest_point_naive(mesh, drawn["points"])
    assert distance.max() < 1e-6
    agree = (mesh.face_normals[face] * drawn["normals"]).sum(1)
    assert (agree > 0.999).mean() > 0.9  # points near an edge may be nearer to the other face


def test_every_format_that_can_be_saved_is_offered_in_the_same_order():
    assert get_args(get_type_hints(Settings)["format"]) == tuple(suffix[1:] for suffix in FORMATS)


@pytest.mark.parametrize("format", [suffix[1:] for suffix in FORMATS])
def test_all_files_of_a_format_are_in_the_record(model, tmp_path, said, format):
    """Those, and no others, are written; the next command in another format takes them away."""
    config = GenerateConfig(model, out=tmp_path, num=2, format=format, **QUICK)
    generate(config, said)
    there = _names(tmp_path)
    assert there == {*_shapes(tmp_path)["files"], "shapes.json"}
    assert f"000001.{format}" in there
    generate(replace(config, format="glb"), said)
    names = {"000000.glb", "000001.glb", "contact-sheet.png", "shapes.json", *PAGE, "page/objects/000001.js"}
    assert _names(tmp_path) == names


def test_prints_are_as_long_as_asked(model, tmp_path, said):
    generate(GenerateConfig(model, out=tmp_path, num=1, format="stl", size=42.0, **QUICK), said)
    assert trimesh.load_mesh(tmp_path / "000000.stl").extents.max() == pytest.approx(42, rel=1e-5)
    interpolate(InterpolateConfig(model, out=tmp_path / "way", num=2, frames=2, swaps=0, format="3mf", **QUICK), said)
    vary(VaryConfig(model, out=tmp_path / "like", num=1, format="usdz", **QUICK), said)
    assert len(list((tmp_path / "way").glob("*.3mf"))) == len(list((tmp_path / "like").glob("*.usdz"))) == 2


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"size": 50.0}, r"--size: a size of 50 mm is for printing, and \.glb has no size; use \.stl or \.3mf"),
        ({"size": 0.0, "format": "stl"}, "--size is 0.0; it must be above 0"),
        ({"format": "stl", "geometry_only": True}, "--format stl: meshes without texture are glb or obj or ply"),
    ],
)
def test_formats_that_do_not_go_with_an_option_are_refused_before_work(model, tmp_path, said, changes, message):
    with pytest.raises(InputError, match=message):
        generate(GenerateConfig(model, out=tmp_path / "out", num=1, **QUICK, **changes), said)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("format", ["obj", "ply"])
def test_geometry_alone_in_other_formats(model, tmp_path, said, format):
    config = GenerateConfig(model, out=tmp_path, num=1, geometry_only=True, points=0, format=format, **QUICK)
    (path,) = generate(config, said)
    assert sorted(entry.name for entry in tmp_path.iterdir()) == [f"000000.{format}", "shapes.json"]
    mesh = load(model).meshes(load(model).sample_latents(1, 0))
    assert len(trimesh.load(path, process=False).faces) == len(mesh.faces)


@pytest.mark.slow
def test_a_video_as_mp4(model, tmp_path, said):
    imageio = pytest.importorskip("imageio.v3")
    pytest.importorskip("av")
    generate(GenerateConfig(model, out=tmp_path, num=3, **QUICK | {"video": "mp4", "resolution": 21}), said)
    assert imageio.imread(tmp_path / "turntable.mp4", plugin="pyav").shape == (36, 20, 62, 3)


def test_classes_from_images_to_objects(tmp_path, said):
    """A labelled dataset trains a model of classes; its objects are of the class asked for."""
    data = tiny.write_dataset(tmp_path / "data")
    names = [f"{number:03d}" for number in range(10)]
    replace(Description.read(data), labels={"cup": names[::2], "jug": names[1::2]}).write(data)
    train(tiny.run_config(data, tmp_path / "run", kimg=0.012), said)
    generator = load(tmp_path / "run")
    assert generator.config.classes == ("cup", "jug")
    assert generator.mapping_geometry.w_avg.shape[0] == 2
    config = GenerateConfig(str(tmp_path / "run"), out=tmp_path / "jugs", num=3, label="jug", **QUICK)
    generate(config, said)
    assert [entry["label"] for entry in _shapes(tmp_path / "jugs")["shapes"]] == ["jug"] * 3
    generate(replace(config, out=tmp_path / "any", label=None, num=8), said)
    assert {entry["label"] for entry in _shapes(tmp_path / "any")["shapes"]} == {"cup", "jug"}


def test_a_class_changes_the_object_of_a_seed_and_comes_back_from_the_record(classes, tmp_path, said):
    folders = {label: tmp_path / label for label in ("cup", "jug")}
    for label, folder in folders.items():
        generate(GenerateConfig(classes, out=folder, num=2, label=label, **QUICK), said)
    cup, jug = (_shapes(folder)["shapes"][0] for folder in folders.values())
    assert _latents(cup) == _latents(jug)
    assert (folders["cup"] / "000000.glb").read_bytes() != (folders["jug"] / "000000.glb").read_bytes()
    again = GenerateConfig(classes, out=tmp_path / "b", latents=folders["jug"] / "shapes.json", **QUICK)
    assert [path.read_bytes() for path in generate(again, said)] == [
        path.read_bytes() for path in sorted(folders["jug"].glob("*.glb"))
    ]


def test_classes_that_cannot_be(model, classes, tmp_path, said):
    with pytest.raises(InputError, match="--label is pot, which this model does not know; it knows cup, jug"):
        generate(GenerateConfig(classes, out=tmp_path, label="pot", **QUICK), said)
    with pytest.raises(InputError, match=r"--label is cup, .* objects of one kind"):
        generate(GenerateConfig(model, out=tmp_path, label="cup", **QUICK), said)
    labels = load(classes).sample_latents(20, 0).label.tolist()
    other = labels.index(1 - labels[0])
    with pytest.raises(InputError, match="no interpolation between classes; give both one class with --label"):
        interpolate(InterpolateConfig(classes, out=tmp_path, end=other, **QUICK), said)
    interpolate(InterpolateConfig(classes, out=tmp_path, end=other, label="jug", num=2, frames=2, **QUICK), said)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"shapes": []}, "contains no shape"),
        ({"shapes": [{"name": "../x", "seed": 1}]}, "'../x' cannot be a name"),
        ({"shapes": [{"name": "x", "seed": 1}, {"name": "x", "seed": 2}]}, "two shapes have the name 'x'"),
        ({"shapes": [{"name": "x"}]}, r"not a shapes\.json of get3d"),
        ({"shapes": [{"name": "x", "latents": {"geometry": [1.0], "texture": [1.0]}}]}, "latents of 1 numbers"),
        (
            {"shapes": [{"name": "x", "latents": {"geometry": [float("nan")] * 8, "texture": [0] * 8}}]},
            "NaN is not a finite",
        ),
        ({"shapes": [{"name": "x", "label": "cup", "seed": 1}]}, "--label is cup|class cup"),
        ({"psi": "high"}, r"not a shapes\.json of get3d"),
    ],
)
def test_records_that_cannot_be(model, tmp_path, said, changes, message):
    path = tmp_path / "shapes.json"
    path.write_text(json.dumps({"format": 1, "psi": 0.7, "grid": 8} | {"shapes": [{"name": "a", "seed": 0}]} | changes))
    with pytest.raises(InputError, match=message):
        generate(GenerateConfig(model, out=tmp_path / "out", latents=path, **QUICK), said)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"num": 0}, "--num is 0; it must be from 1"),
        ({"psi": 2.5}, "--psi is 2.5"),
        ({"grid": 2}, "--grid is 2"),
        ({"texture": 9000}, "--texture is 9000"),
        ({"faces": 3}, "--faces is 3"),
        ({"resolution": 8}, "--resolution is 8"),
        ({"seed": -1}, "--seed is -1"),
        ({"points": -1}, "--points is -1"),
        ({"device": "warp9"}, "--device is warp9"),
    ],
)
def test_options_out_of_range_are_refused_before_any_work(model, tmp_path, said, change, message):
    with pytest.raises(InputError, match=message):
        generate(GenerateConfig(model, out=tmp_path / "out", **QUICK | change), said)
    assert not (tmp_path / "out").exists() or not list((tmp_path / "out").iterdir())


@pytest.mark.slow
def test_a_later_command_leaves_nothing_of_an_earlier_one_but_what_is_not_its_own(model, tmp_path, said):
    """Unchanged files of the first command go, changed ones and those that it never wrote stay, and it is said."""
    many = GenerateConfig(model, out=tmp_path, num=4, **QUICK | {"video": "gif", "format": "obj"})
    generate(many, said)
    (tmp_path / "000002.obj").write_text("edited")
    (tmp_path / "000009.obj").write_text("mine")
    (tmp_path / "notes.txt").write_text("mine")
    generate(GenerateConfig(model, out=tmp_path, num=1, **QUICK), said)
    left = {"000002.obj", "000009.obj", "notes.txt"}
    assert _names(tmp_path) == {"000000.glb", "contact-sheet.png", "shapes.json", *PAGE, *left}
    assert "kept, because they have changed since an earlier command wrote them: 000002.obj" in said.file.getvalue()
    assert set(_shapes(tmp_path)["files"]) == {"000000.glb", "contact-sheet.png", *PAGE}
    interpolate(InterpolateConfig(model, out=tmp_path, num=2, frames=3, swaps=1, **QUICK), said)
    generate(GenerateConfig(model, out=tmp_path, num=1, geometry_only=False, **QUICK), said)
    assert sorted(entry.name for entry in tmp_path.rglob("*.png")) == ["contact-sheet.png"]


def test_what_a_command_that_was_stopped_has_left_goes_too(model, tmp_path, said, monkeypatch):
    from get3d.generation import objects

    class StoppedError(Exception):
        pass

    def stop(*_):
        raise StoppedError

    (tmp_path / "000101.glb").write_text("mine")
    with monkeypatch.context() as patch:
        patch.setattr(objects, "write_sheet", stop)
        with pytest.raises(StoppedError):
            generate(GenerateConfig(model, out=tmp_path, num=1, seed=100, **QUICK), said)
    generate(GenerateConfig(model, out=tmp_path, num=1, **QUICK), said)
    assert sorted(entry.name for entry in tmp_path.glob("*.glb")) == ["000000.glb", "000101.glb"]


def test_fewer_meshes_without_texture_leave_no_others(model, tmp_path, said):
    bare = {"geometry_only": True, "points": 16, "format": "ply", "device": "cpu"}
    (tmp_path / "000001.ply").write_text("mine")
    (tmp_path / "000001.npz").write_text("mine")
    generate(GenerateConfig(model, out=tmp_path, num=3, **bare), said)
    assert trimesh.load(tmp_path / "000001.ply").faces.shape[1] == 3
    generate(GenerateConfig(model, out=tmp_path, num=1, **bare), said)
    assert sorted(entry.name for entry in tmp_path.iterdir()) == ["000000.npz", "000000.ply", "shapes.json"]


@pytest.mark.parametrize("text", ['{"shapes": []}', '{"format": 2}', "[]", '{"format": 1, "files": {"../x": null}}'])
def test_another_programs_record_stops_before_anything_is_written(model, tmp_path, said, text):
    out = tmp_path / "out"
    out.mkdir()
    (tmp_path / "x").write_text("mine")
    (out / "shapes.json").write_text(text)
    with pytest.raises(
        InputError, match=r"shapes\.json: (has no format number|format is 2|is a list|files: '\.\./x' cannot)"
    ):
        generate(GenerateConfig(model, out=out, num=1, **QUICK), said)
    assert [entry.name for entry in out.iterdir()] == ["shapes.json"]
    assert (tmp_path / "x").exists()


def test_a_seed_gives_the_same_bytes_whatever_is_made_with_it(tmp_path, said):
    """On a CPU, with the model that comes along, whose products are large enough to be rounded otherwise in batches."""
    quick = QUICK | {"faces": 600, "resolution": 32, "texture": 32}
    generate(GenerateConfig("chair", out=tmp_path / "many", num=3, seed=4, **quick), said)
    generate(GenerateConfig("chair", out=tmp_path / "one", num=1, seed=5, **quick), said)
    assert (tmp_path / "one/000005.glb").read_bytes() == (tmp_path / "many/000005.glb").read_bytes()


def test_shapes_that_are_made_together_are_those_made_alone_to_rounding():
    generator = load("chair")
    latents = generator.sample_latents(3, 4)
    for number, mesh in enumerate(generator.meshes(latents).split()):
        alone = generator.meshes(latents[number : number + 1])
        assert torch.equal(alone.faces, mesh.faces)
        torch.testing.assert_close(alone.vertices, mesh.vertices, rtol=0, atol=5e-5)


@pytest.mark.slow
def test_every_file_that_is_written_is_named_and_seeds_stand_on_the_sheet(model, tmp_path):
    console = Console(file=io.StringIO(), width=500)
    options = QUICK | {"video": "gif", "resolution": 64}
    generate(GenerateConfig(model, out=tmp_path / "new", num=2, seed=7, **options), console)
    options |= {"format": "obj"}
    interpolate(InterpolateConfig(model, out=tmp_path / "way", num=4, frames=3, swaps=2, **options), console)
    new, way = [line for line in console.file.getvalue().splitlines() if "objects" in line and ": " in line]
    assert new.endswith(": 000007.glb, 000008.glb, contact-sheet.png, turntable.gif, index.html, page/, shapes.json")
    assert way.endswith(
        ": 000.obj … 003.obj with .mtl and .png, way.gif, frames/, swaps.png, contact-sheet.png, turntable.gif, "
        "index.html, page/, shapes.json"
    )
    for line, folder in ((new, tmp_path / "new"), (way, tmp_path / "way")):
        for path in folder.iterdir():
            assert path.suffix in (".obj", ".mtl", ".png", ".glb") or path.name in line
    with Image.open(tmp_path / "new" / "contact-sheet.png") as sheet:
        corners = [np.asarray(sheet.convert("L").crop((64 * tile, 0, 64 * tile + 40, 12))) for tile in (0, 1)]
    # Letters are darker than the white that the shapes stand on, and those of 7 and 8 differ.
    assert all((corner < 200).any() for corner in corners)
    assert not np.array_equal(*corners)


def test_a_light_changes_sheets_and_not_meshes(model, tmp_path, said):
    def sheet(name: str, light: str | None) -> np.ndarray:
        settings = GenerateConfig(str(model), tmp_path / name, num=2, video="none", texture=32, resolution=32)
        generate(replace(settings, light=light), said)
        with Image.open(tmp_path / name / "contact-sheet.png") as image:
            return np.asarray(image.convert("RGB")).astype(int)

    codecs = pytest.importorskip("imagecodecs")
    radiance = np.zeros((16, 32, 3), np.float32)
    radiance[:8] = 3, 0, 0
    (tmp_path / "red.hdr").write_bytes(codecs.rgbe_encode(radiance))
    lights = {"usual": None, "even": "even", "studio": "studio", "red": f"{tmp_path}/red.hdr"}
    usual, even, studio, red = (sheet(name, light) for name, light in lights.items())
    # A model of colours with the light in them: even light shows these, any other lights them again.
    assert np.abs(usual - even).max() <= 1
    assert np.abs(usual - studio).max() > 20
    inside = (even < 250).any(axis=2)
    assert red[..., 1:][inside].mean() < even[..., 1:][inside].mean() / 4
    meshes = [sorted((tmp_path / name).glob("*.glb")) for name in ("usual", "studio")]
    assert [path.read_bytes() for path in meshes[0]] == [path.read_bytes() for path in meshes[1]]
    for light, message in (("disco", "--light is disco"), ("nowhere.hdr", r"nowhere\.hdr: cannot be read")):
        with pytest.raises(InputError, match=message):
            sheet("bad", light)


def test_the_page_says_where_objects_come_from(classes, model, tmp_path, said):
    vary(VaryConfig(classes, out=tmp_path / "like", seed=3, num=1, label="jug", change="texture", **QUICK), said)
    page = (tmp_path / "like" / "index.html").read_text(encoding="utf-8")
    assert "<b>seed 3</b><br>jug<br>ψ 0.7<br>" in page
    assert "<b>000003-001</b><br>jug<br>variation of seed 3, strength 0.3, of texture<br>ψ 0.7<br>" in page
    config = InterpolateConfig(model, out=tmp_path / "way", num=3, start=2, end=5, frames=2, swaps=1, psi=0.4, **QUICK)
    interpolate(config, said)
    page = (tmp_path / "way" / "index.html").read_text(encoding="utf-8")
    assert "50% of the way from seed 2 to seed 5, geometry and texture<br>ψ 0.4<br>" in page
    assert 'src="swaps.png"' in page
    # Nothing that called this was a command.
    assert "<pre>" not in page


def test_the_page_says_the_command(model, tmp_path, said, monkeypatch):
    monkeypatch.setattr(sys, "argv", ["/usr/bin/get3d", "generate", "a <b>", "--out", "x y"])
    generate(GenerateConfig(model, out=tmp_path, num=1, **QUICK), said)
    page = (tmp_path / "index.html").read_text(encoding="utf-8")
    assert "<pre>get3d generate &#x27;a &lt;b&gt;&#x27; --out &#x27;x y&#x27;</pre>" in page


def test_a_page_of_many_shows_the_first_and_says_so(model, tmp_path, said, monkeypatch):
    monkeypatch.setattr("get3d.generation.page.SHOWN", 2)
    generate(GenerateConfig(model, out=tmp_path, num=3, **QUICK), said)
    page = (tmp_path / "index.html").read_text(encoding="utf-8")
    assert page.count('class="stage"') == 2
    assert "These are the first 2; the others are files" in page
    assert sorted(path.name for path in (tmp_path / "page" / "objects").iterdir()) == ["000000.js", "000001.js"]
