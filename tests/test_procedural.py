"""Objects are closed, turned outward, textured within their atlas, all different, and the same from the same seed."""

import hashlib
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from rich.console import Console

from get3d.authoring.procedural import KINDS, SynthConfig, make, synthesize
from get3d.camera_prior import CameraPrior
from get3d.datasets.check import check
from get3d.datasets.index import SPLITS, read
from get3d.export import sample_texture
from get3d.files import InputError
from get3d.synthetic.assemble import assemble
from get3d.synthetic.parts import Part, ellipse, lathe, slab, tube

SEEDS = range(8)
QUIET = Console(quiet=True)


def signed_volume(vertices: np.ndarray, faces: np.ndarray) -> float:
    a, b, c = (vertices[faces[:, i]].astype(np.float64) for i in range(3))
    return float((a * np.cross(b, c)).sum() / 6)


def edge_balance(vertices: np.ndarray, faces: np.ndarray) -> np.ndarray:
    """How often each directed edge is used less how often its reverse is, after joining vertices at the same place."""
    _, place = np.unique(vertices, axis=0, return_inverse=True)
    welded = place[faces]
    starts, ends = welded.ravel(), np.roll(welded, -1, axis=1).ravel()
    count = len(vertices)
    keys, times = np.unique(starts * count + ends, return_counts=True)
    table = dict(zip(keys.tolist(), times.tolist(), strict=True))
    return np.array([times - table.get(key % count * count + key // count, 0) for key, times in table.items()])


@pytest.mark.parametrize("kind", KINDS)
def test_objects_are_closed_outward_and_textured(kind):
    for index in SEEDS:
        mesh = make(kind, seed=3, index=index, texture=256)
        vertices, faces = mesh.vertices.numpy(), mesh.faces.numpy()
        assert not edge_balance(vertices, faces).any()
        assert np.isfinite(vertices).all()
        assert 500 < len(faces) < 30_000
        low, high = vertices.min(axis=0), vertices.max(axis=0)
        np.testing.assert_allclose((high - low).max(), KINDS[kind].scale, atol=1e-5)
        np.testing.assert_allclose(low + high, 0, atol=1e-5)
        torch.testing.assert_close(mesh.normals.norm(dim=1), torch.ones(len(vertices)), atol=1e-4, rtol=0)
        assert mesh.uv.min() > 0
        assert mesh.uv.max() < 1
        assert mesh.texture.shape == (256, 256, 3)
        assert mesh.texture.float().std() > 1


@pytest.mark.parametrize("kind", KINDS)
def test_every_part_encloses_a_volume_and_faces_outward(kind):
    for index in SEEDS:
        generator = np.random.default_rng([4, index])
        for part in KINDS[kind].parts(generator):
            single = assemble([part], 1.0, 64, np.random.default_rng(0))
            vertices, faces = single.vertices.numpy(), single.faces.numpy()
            assert not edge_balance(vertices, faces).any()
            assert signed_volume(vertices, faces) > 0


@pytest.mark.parametrize("kind", KINDS)
def test_normals_agree_with_the_faces(kind):
    mesh = make(kind, seed=5, index=0, texture=256)
    a, b, c = mesh.vertices[mesh.faces].unbind(1)
    crosses = torch.linalg.cross(b - a, c - a)
    agreement = (mesh.normals[mesh.faces] * crosses[:, None]).sum(-1)
    visible = crosses.norm(dim=1) > 1e-7
    assert (agreement[visible] > 0).float().mean() > 0.99


@pytest.mark.parametrize("kind", KINDS)
def test_no_two_objects_are_equal_and_each_depends_on_its_numbers_only(kind):
    def digest(seed: int, index: int) -> str:
        mesh = make(kind, seed, index, texture=256)
        return hashlib.sha256(mesh.vertices.numpy().tobytes() + mesh.texture.numpy().tobytes()).hexdigest()

    first = [digest(0, index) for index in range(4)]
    assert len({*first, *(digest(1, index) for index in range(4))}) == 8
    assert digest(0, 3) == first[3]


def test_shapes_of_a_kind_spread():
    """Proportions differ: the boxes around forty chairs vary by more than a tenth in each direction."""
    extents = []
    for index in range(40):
        grids = [part.grid.reshape(-1, 3) for part in KINDS["chair"].parts(np.random.default_rng([9, index]))]
        points = np.concatenate(grids)
        extents.append(points.max(axis=0) - points.min(axis=0))
    spread = np.std(extents, axis=0) / np.mean(extents, axis=0)
    assert (spread > 0.1).all()


def test_the_longest_side_is_what_is_asked_for():
    mesh = make("vase", seed=0, index=0, scale=0.5, texture=256)
    torch.testing.assert_close((mesh.vertices.amax(0) - mesh.vertices.amin(0)).max(), torch.tensor(0.5))


def test_a_material_shows_where_its_positions_are():
    """Colours painted from positions come back at those positions, across the seams between charts."""

    def material(points: np.ndarray) -> np.ndarray:
        return 0.5 + 0.4 * points

    box = Part(slab(ellipse(1.0, 1.0, 40, 4.0), 1.0, bevel=0.1, rings=4), material)
    ring = Part(lathe(np.array([[0.8, 0.2], [1.0, 0.2], [1.0, 0.6], [0.8, 0.6]]), 48, poles=False), material, loop=True)
    mesh = assemble([box, ring], 2.0, 512, np.random.default_rng(0))
    center = np.array([0.0, 0.5, 0.0])
    expected = material(mesh.vertices.numpy() + center)
    weights = torch.tensor([0.2, 0.3, 0.5])
    inside = torch.einsum("fkc,k->fc", mesh.uv[mesh.faces], weights)
    found = sample_texture(mesh.texture, inside).numpy()
    wanted = np.einsum("fkc,k->fc", expected[mesh.faces.numpy()], weights.numpy())
    assert np.abs(found - wanted).max() < 0.02


def test_charts_do_not_overlap():
    """Each part painted in a colour of its own keeps that colour at all of its corners."""
    parts = [
        Part(slab(ellipse(0.2 + 0.1 * i, 0.3, 20), 0.1).copy() + i, lambda p, i=i: np.full((len(p), 3), i / 9))
        for i in range(9)
    ]
    mesh = assemble(parts, 1.0, 128, np.random.default_rng(0))
    colors = sample_texture(mesh.texture, mesh.uv)[:, 0]
    near = torch.stack([(colors - i / 9).abs() for i in range(9)]).amin(0)
    assert near.max() < 0.01
    assert len((colors * 9).round().unique()) == 9


def test_too_many_parts_for_a_texture_are_refused():
    grid = slab(ellipse(1.0, 1.0, 8), 0.1)
    parts = [Part(grid + i, lambda p: np.zeros((len(p), 3))) for i in range(200)]
    with pytest.raises(ValueError, match="200 parts do not fit"):
        assemble(parts, 1.0, 64, np.random.default_rng(0))


def test_a_swept_circle_has_the_volume_of_its_tube():
    turn = np.linspace(0, 2 * np.pi, 200, endpoint=False)
    path = np.stack([np.cos(turn), np.sin(turn), 0 * turn], axis=1)
    torus = Part(tube(path, ellipse(0.4, 0.4, 64), up=(0, 0, 1), loop=True), lambda p: np.zeros((len(p), 3)), loop=True)
    mesh = assemble([torus], 2.4, 128, np.random.default_rng(0))
    volume = signed_volume(mesh.vertices.numpy(), mesh.faces.numpy())
    assert volume == pytest.approx(2 * np.pi**2 * 0.2**2, rel=0.01)


def config(out: Path, **changes: object) -> SynthConfig:
    defaults = SynthConfig("vase", out, shapes=3, views=2, resolution=32, texture=256, workers=1)
    return replace(defaults, **changes)


def files(root: Path) -> dict[str, bytes]:
    return {str(path.relative_to(root)): path.read_bytes() for path in sorted(root.rglob("*")) if path.is_file()}


def test_an_interrupted_dataset_is_gone_on_with_and_comes_out_the_same(tmp_path):
    whole = files(synthesize(config(tmp_path / "a"), QUIET))
    part = synthesize(config(tmp_path / "b"), QUIET)
    (part / "cameras.csv").unlink()
    (part / "meshes" / "000001.glb").unlink()
    (part / "images" / "000001" / "001.png").unlink()
    kept = (part / "images" / "000002" / "000.png").stat().st_mtime_ns
    synthesize(config(tmp_path / "b"), QUIET)
    assert (part / "images" / "000002" / "000.png").stat().st_mtime_ns == kept
    again = files(part)
    for name in ("dataset.json",):  # It records the command, which names the folder.
        whole.pop(name), again.pop(name)
    assert again == whole


def test_a_dataset_grows_and_objects_keep_their_split(tmp_path):
    root = synthesize(config(tmp_path, shapes=2), QUIET)
    before = files(root)
    splits = read(root).splits
    synthesize(config(tmp_path, shapes=4), QUIET)
    after = files(root)
    assert all(after[name] == content for name, content in before.items() if name.startswith(("images", "meshes")))
    listing = read(root)
    assert len(listing.objects) == 4
    assert all(set(splits[split]) <= set(listing.splits[split]) for split in SPLITS)


def test_all_kinds_together_are_labelled_and_each_is_split_alike(tmp_path):
    root = synthesize(config(tmp_path, kind="all", shapes=2, views=1, resolution=16), QUIET)
    listing = read(root)
    assert listing.classes == tuple(KINDS)
    assert [listing.classes[label] for label in listing.labels] == [name.split("/")[0] for name in listing.objects]
    assert listing.scale == max(kind.scale for kind in KINDS.values())
    assert len(listing.splits["train"]) == 2 * len(KINDS)
    assert check(root).silhouette_iou > 0.9
    alone = synthesize(config(tmp_path / "alone", kind="car", shapes=2, views=1, resolution=16), QUIET)
    assert files(alone / "images") == files(root / "images" / "car")


@pytest.mark.slow
def test_processes_give_the_same_as_one(tmp_path):
    one = files(synthesize(config(tmp_path / "a", shapes=2, views=1), QUIET))
    two = files(synthesize(config(tmp_path / "b", shapes=2, views=1, workers=2), QUIET))
    one.pop("dataset.json"), two.pop("dataset.json")
    assert one == two


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({"seed": 1}, "seed 0, requested is 1"),
        ({"resolution": 64}, "resolution 32, requested is 64"),
        ({"views": 3}, "views"),
        ({"kind": "car"}, "kind vase, requested is car"),
        ({"shapes": 1}, "shapes 3, requested is 1"),
    ],
)
def test_another_dataset_is_not_overwritten(tmp_path, changes, text):
    synthesize(config(tmp_path), QUIET)
    before = files(tmp_path)
    with pytest.raises(InputError, match=text):
        synthesize(config(tmp_path, **changes), QUIET)
    assert files(tmp_path) == before


def test_a_disk_without_room_is_known_before_any_object_is_made(tmp_path, monkeypatch):
    free = 2 * 10**6
    monkeypatch.setattr(
        "get3d.files.shutil.disk_usage", lambda _: shutil._ntuple_diskusage(10**12, 10**12 - free, free)
    )
    config = SynthConfig("vase", tmp_path / "data", shapes=40, views=24, resolution=64, texture=256, workers=1)
    with pytest.raises(
        InputError, match=r"data: has 2\.0 MB free, and 960 images of 64 × 64 of 40 objects take 3\.6 MB"
    ):
        synthesize(config, QUIET)
    assert list((tmp_path / "data").iterdir()) == []
    assert synthesize(replace(config, shapes=1, views=1), QUIET).is_dir()


def test_what_a_dataset_is_reckoned_to_take_is_no_more_than_it_takes(tmp_path, monkeypatch):
    asked = []
    monkeypatch.setattr("get3d.authoring.dataset_writer.require_space", lambda _, needed, __: asked.append(needed))
    root = synthesize(SynthConfig("car", tmp_path, shapes=2, views=4, resolution=64, texture=256, workers=1), QUIET)
    taken = sum(path.stat().st_size for path in root.rglob("*.png")) + sum(
        path.stat().st_size for path in root.rglob("*.glb")
    )
    assert taken / 10 < asked[0] <= taken


def test_a_folder_with_other_things_is_refused(tmp_path):
    (tmp_path / "letter.txt").write_text("Dear")
    with pytest.raises(InputError, match=r"not empty and holds no dataset\.json"):
        synthesize(config(tmp_path), QUIET)


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({"resolution": 100}, "--resolution is 100"),
        ({"shapes": 0}, "--shapes is 0"),
        ({"views": 1001}, "--views is 1001"),
        ({"scale": 2.0}, "--scale is 2.0"),
        ({"texture": 64}, "--texture is 64"),
        ({"prior": CameraPrior(polar=(90.0, 60.0))}, "--prior: polar is 90 to 60"),
        ({"prior": CameraPrior(polar=(1.0, 1.6))}, "--prior: polar is 1 to 1.6, not an angle in degrees"),
        ({"prior": CameraPrior(radius=0.5)}, "--prior.radius is 0.5"),
    ],
)
def test_settings_out_of_range_are_refused(tmp_path, changes, text):
    with pytest.raises(InputError, match=text):
        config(tmp_path, **changes)
