"""Visual hulls against the objects that they are of, and the loss that holds an SDF against them."""

import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from get3d.camera_prior import CameraPrior
from get3d.cameras import Cameras
from get3d.datasets.loader import ImageDataset
from get3d.generator import Generator
from get3d.isosurface import TetrahedralGrid, marching_tetrahedra
from get3d.meshes import MeshBatch
from get3d.networks import SeparateConfig, VolumeConfig
from get3d.reconstruction.hulls import (
    Hulls,
    at_lattice,
    hull_loss,
    lattice_sdf,
    stratified_axis,
    thin_voxels,
    visual_hull,
)
from get3d.render import mask_of, rasterize
from get3d.storage import load_tensors
from get3d.training.config import TrainConfig, prepare_run
from get3d.training.loop import start, train
from get3d.training.warmup_step import warmup_step
from ranks import Ranks, statistics
from tiny import GENERATOR, run_config, seeded, write_dataset

CPU, QUIET = torch.device("cpu"), Console(quiet=True)
CAMERAS = Cameras.sample(CameraPrior(polar=(20.0, 160.0)), 40, seeded())


def _table(points: torch.Tensor) -> torch.Tensor:
    """SDF, but for its length, of a top on four legs 0.06 thick."""

    def box(low: tuple[float, ...], high: tuple[float, ...]) -> torch.Tensor:
        return torch.minimum(points - torch.tensor(low), torch.tensor(high) - points).amin(-1)

    parts = [box((-0.3, 0.1, -0.3), (0.3, 0.2, 0.3))]
    parts += [box((x, -0.3, z), (x + 0.06, 0.15, z + 0.06)) for x in (-0.3, 0.24) for z in (-0.3, 0.24)]
    return torch.stack(parts).amax(0)


def _seen(meshes: MeshBatch, cameras: Cameras, resolution: int) -> torch.Tensor:
    many = meshes.select(torch.zeros(len(cameras), dtype=torch.long))
    return mask_of(many, rasterize(many, cameras, resolution))


@pytest.fixture(scope="module")
def table() -> torch.Tensor:
    """Masks of the table in `CAMERAS`."""
    grid = TetrahedralGrid(60, 1.0)
    meshes = marching_tetrahedra(grid.vertices, _table(grid.vertices)[None], grid.tetrahedra)
    return _seen(meshes, CAMERAS, 128)


def _lattice(steps: int, size: float = 0.9) -> torch.Tensor:
    axis = torch.linspace(-size / 2, size / 2, steps + 1)
    return torch.cartesian_prod(axis, axis, axis)


def test_a_hull_holds_its_object_and_little_else(table: torch.Tensor):
    points = _lattice(30)
    hull = visual_hull(table, CAMERAS, points) > 0.5
    sdf = _table(points)
    assert hull[sdf > 0.02].all()
    assert not hull[sdf < -0.1].any()
    legs = (points[:, 1] < 0.05) & (sdf > 0.02)
    assert legs.sum() > 30


def test_hulls_are_the_least_of_the_masks_point_by_point(table: torch.Tensor):
    """A plain version: each point in each image, bilinear by hand, that of the border outside of it."""
    points = (torch.rand(40, 3, generator=seeded()) - 0.5) * torch.tensor([0.6] * 25 + [3.0] * 15)[:, None]
    near = CAMERAS[torch.arange(11)]
    want = []
    for point in points:
        least = 1.0
        for view in range(11):
            x, y, nearness = near.project(point[None], torch.tensor([view]), 128)[0].tolist()
            if nearness < 0:
                continue
            columns, rows = ([np.clip(np.floor(v - 0.5) + step, 0, 127) for step in (0, 1)] for v in (x, y))
            right, down = (v - 0.5 - np.floor(v - 0.5) for v in (x, y))
            (a, b), (c, d) = ([float(table[view, 0, int(row), int(column)]) for column in columns] for row in rows)
            least = min(least, (1 - down) * ((1 - right) * a + right * b) + down * ((1 - right) * c + right * d))
        want.append(least)
    assert len({round(least, 3) for least in want}) > 5
    torch.testing.assert_close(visual_hull(table[:11], near, points), torch.tensor(want).float(), atol=1e-4, rtol=0)


def test_nothing_is_in_corners_that_no_image_shows(table: torch.Tensor):
    """They were taken for a part of the object, and models learnt pieces that float there."""
    cameras, masks = CAMERAS[torch.arange(8)], table[:8]
    points = _lattice(30, 1.2)
    beyond = points.abs().amax(1) > 0.5
    screen = cameras.project(points.repeat(8, 1), torch.arange(8).repeat_interleave(len(points)), 128)
    shown = ((screen[:, :2] > 0) & (screen[:, :2] < 128)).all(1).view(8, -1)
    assert (beyond & ~shown.any(0)).sum() > 10
    assert not (visual_hull(masks, cameras, points)[beyond] > 0.5).any()


def test_an_object_that_an_image_cuts_off_goes_on_beyond_it(table: torch.Tensor):
    """A camera that shows only the middle of the table says nothing of the ends of its top."""
    cameras = CAMERAS[torch.arange(1)]
    focal = cameras.focal_lengths
    near = Cameras(cameras.positions, cameras.rotations, 3 * focal, cameras.principal_points)
    points = _lattice(30)
    inside = points[_table(points) > 0.02]
    grid = TetrahedralGrid(60, 1.0)
    meshes = marching_tetrahedra(grid.vertices, _table(grid.vertices)[None], grid.tetrahedra)
    screen = near.project(inside, torch.zeros(len(inside), dtype=torch.long), 128)
    assert (screen[:, 0] < 0).any() and (screen[:, 0] > 128).any()
    assert (visual_hull(_seen(meshes, near, 128), near, inside) > 0.5).float().mean() > 0.95


def test_legs_are_thin_and_the_middle_of_a_block_is_not():
    hull = torch.zeros(1, 12, 12, 12)
    hull[0, 2:9, 2:9, 2:9] = 1
    hull[0, 5, 5, 9:12] = 1
    thin = thin_voxels(hull)[0]
    leg = torch.zeros(12, 12, 12)
    leg[4:7, 4:7, 9:12] = 1
    assert thin.equal(leg)


@given(
    radii=st.lists(st.floats(4, 15), min_size=3, max_size=3),
    power=st.sampled_from((2.0, 4.0, 20.0)),
    turn=st.floats(0, math.pi),
)
def test_nothing_of_a_bulky_body_is_thin(radii: list[float], power: float, turn: float):
    """Superellipsoids, from round ones to boxes with edges and corners."""
    axis = torch.arange(41.0) - 20
    x, y, z = torch.meshgrid(axis, axis, axis, indexing="ij")
    x, y = math.cos(turn) * x - math.sin(turn) * y, math.sin(turn) * x + math.cos(turn) * y
    body = sum((part / radius).abs() ** power for part, radius in zip((x, y, z), radii, strict=True)) <= 1
    assert not thin_voxels(body.float()[None]).any()


@given(count=st.integers(2, 30), size=st.floats(0.1, 2), seed=st.integers(0, 1000))
def test_a_random_axis_has_one_coordinate_in_each_interval(count: int, size: float, seed: int):
    axis = stratified_axis(count, size, seeded(seed))
    assert ((axis / size + 0.5) * count).clamp(0, count - 1e-3).floor().tolist() == list(range(count))


def test_volumes_are_interpolated_trilinearly():
    volumes = torch.rand(2, 3, 6, 6, 6, generator=seeded())
    axis = stratified_axis(5, 0.7, seeded(1))
    points = torch.cartesian_prod(axis, axis, axis) / 0.35
    # grid_sample's first coordinate runs along the last axis.
    grid = points.flip(1).view(1, 5, 5, 5, 3).expand(6, -1, -1, -1, -1)
    want = torch.nn.functional.grid_sample(volumes.view(6, 1, 6, 6, 6), grid, align_corners=True)
    torch.testing.assert_close(at_lattice(volumes, 0.7, axis), want.view(2, 3, 5, 5, 5))


def test_a_lattice_of_a_field_is_the_field_at_its_points():
    torch.manual_seed(0)
    generator = Generator(GENERATOR)
    field = generator.field(generator.sample_latents(2, 0), 1.0).fields.geometry
    axis = stratified_axis(4, 0.8, seeded())
    points = torch.cartesian_prod(axis, axis, axis)[None].expand(2, -1, -1)
    torch.testing.assert_close(lattice_sdf(field, axis), field.at(points).sdf.view(2, 4, 4, 4))


def test_the_loss_is_a_weighted_cross_entropy():
    sdf, hull, near = (torch.randn(2, 4, 4, 4, generator=seeded(n), dtype=torch.float64) for n in range(3))
    hull, near = hull.sigmoid(), near.sigmoid()
    thin = torch.zeros_like(hull)
    thin[0, 0] = 1
    inside = torch.sigmoid(3 * sdf)
    entropy = torch.where(hull > 0.5, -inside.log(), torch.where(near > 0.1, 0.0, -(1 - inside).log()))
    # A quarter of the first shape's points are thin, five times the usual share.
    weight = torch.ones_like(hull)
    weight[0, 0] += 7 / 5
    torch.testing.assert_close(hull_loss(sdf, hull, near, thin, 3.0, 7.0), (weight * entropy).mean())
    weight[hull > 0.5] *= torch.where(thin > 0, 1.0, 0.25)[hull > 0.5]
    torch.testing.assert_close(hull_loss(sdf, hull, near, thin, 3.0, 7.0, 0.25), (weight * entropy).mean())
    assert torch.autograd.gradcheck(
        lambda value: hull_loss(value, hull[:1], near[:1], thin[:1], 3.0, 7.0, 0.25),
        (sdf[:1].clone().requires_grad_(True),),
    )


def test_a_slat_thinner_than_a_pixel_is_not_taken_for_empty(tmp_path: Path):
    """Its mask covers no pixel by half; what is farther from it is taken for empty."""
    data = write_dataset(tmp_path, views=8, resolution=32)
    images = ImageDataset(data, "train")
    slat = torch.zeros(8, 4, 32, 32, dtype=torch.uint8)
    slat[:, 3, 16] = 100
    images.load = lambda rows: slat[: len(rows)]  # type: ignore[method-assign,assignment,return-value]
    inside, near, thin = Hulls(images, 0.7, 16, CPU)(torch.tensor([0]))
    sdf = torch.zeros_like(inside, requires_grad=True)
    hull_loss(sdf, inside, near, thin, 5.0, 20.0).backward()
    # All cameras look at the origin, from all around and somewhat from above.
    assert inside.max() < 0.5
    assert (sdf.grad[0, 7:10, 8, 7:10] == 0).all()
    assert (sdf.grad[:, :, :4] > 0).all()
    assert (sdf.grad[:, :, 13:] > 0).all()


def test_below_what_stands_nothing_is_asked(tmp_path: Path):
    """Cameras from the side leave it open how far down an object goes; that is known of what is centred."""
    images = ImageDataset(write_dataset(tmp_path, views=8, resolution=32), "train")
    everywhere = torch.full((8, 4, 32, 32), 255, dtype=torch.uint8)
    images.load = lambda rows: everywhere[: len(rows)]  # type: ignore[method-assign,assignment,return-value]
    size = images.scale * 8 / 6
    inside, near, thin = Hulls(images, size, 8, CPU)(torch.tensor([0]))
    box = torch.zeros(1, 9, 9, 9)
    box[:, 1:8, 1:8, 1:8] = 1
    assert inside.equal(box)
    sdf = torch.zeros_like(inside, requires_grad=True)
    hull_loss(sdf, inside, near, thin, 5.0, 20.0).backward()
    assert ((sdf.grad != 0) == (box > 0)).all()


def test_without_a_weight_inside_a_hull_asks_for_legs_and_emptiness_only(table: torch.Tensor):
    axis = torch.linspace(-0.45, 0.45, 31)
    hull = visual_hull(table, CAMERAS, _lattice(30)).view(1, 31, 31, 31)
    inside, thin = at_lattice(hull, 0.9, axis), at_lattice(thin_voxels(hull), 0.9, axis)
    sdf = torch.zeros_like(hull, requires_grad=True)
    hull_loss(sdf, inside, inside, thin, 5.0, 20.0, 0.0).backward()
    thick = (inside > 0.5) & (thin == 0)
    assert thick.any()
    assert (sdf.grad[thick] == 0).all()
    assert (sdf.grad[(inside > 0.5) & (thin > 0)] < 0).all()
    assert (sdf.grad[inside < 0.1] > 0).all()


def test_the_loss_makes_legs_where_there_are_none(table: torch.Tensor):
    """By gradient alone, from an SDF that is empty everywhere: thin parts are there as soon as bulk is."""
    axis = torch.linspace(-0.45, 0.45, 31)
    hull = visual_hull(table, CAMERAS, _lattice(30)).view(1, 31, 31, 31)
    thin = thin_voxels(hull)
    sdf = torch.full_like(hull, -0.3, requires_grad=True)
    optimizer = torch.optim.Adam([sdf], lr=0.02)
    for _ in range(40):
        optimizer.zero_grad()
        inside = at_lattice(hull, 0.9, axis)
        hull_loss(sdf, inside, inside, at_lattice(thin, 0.9, axis), 5.0, 20.0).backward()
        optimizer.step()
    legs = _table(_lattice(30)).view(1, 31, 31, 31) > 0.02
    legs[:, :, 16:] = False
    assert (sdf[legs] > 0).float().mean() > 0.95


def _views(root: Path, views: int) -> Path:
    return write_dataset(root, views=views)


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return _views(tmp_path_factory.mktemp("discs"), 8)


def test_hulls_of_a_dataset_are_kept_while_there_is_room(data: Path, device: torch.device):
    images = ImageDataset(data, "train")
    hulls = Hulls(images, 0.7, 6, device)
    objects = torch.tensor([2, 0, 2])
    inside, near, thin = hulls(objects).cpu()
    assert inside[0].equal(inside[2])
    rows = (images.object == 2).nonzero().flatten()
    masks = images.load(rows)[:, 3:] / 255
    cameras = Cameras.of_prior(images.prior, images.angles[rows])
    want = visual_hull(masks, cameras, _lattice(6, 0.7)).view(1, 7, 7, 7)
    torch.testing.assert_close(inside[:1], want, atol=0.5 / 255 + 1e-6, rtol=0)
    assert thin[:1].equal(thin_voxels(want))
    pooled = torch.nn.functional.max_pool2d(masks, 3, 1, 1)
    want = visual_hull(pooled, cameras, _lattice(6, 0.7)).view(1, 7, 7, 7)
    torch.testing.assert_close(near[:1], want, atol=0.5 / 255 + 1e-6, rtol=0)
    loads = []
    images.load = lambda rows: loads.append(rows)  # type: ignore[method-assign,assignment,return-value]
    assert hulls(objects)[0].cpu().equal(inside)
    assert not loads
    small = Hulls(ImageDataset(data, "train"), 0.7, 6, device, cache_bytes=3 * 7**3)
    assert small(objects)[0].cpu().equal(inside)
    assert small(objects)[0].cpu().equal(inside)


def _config(data: Path, out: Path, **changes: object) -> TrainConfig:
    config = run_config(data, out, warmup_kimg=0.020, kimg=0.020, **changes)
    hull = replace(config.warmup.hull, points=6, resolution=8, objects=2)
    return replace(config, warmup=replace(config.warmup, views=2, hull=hull))


SEPARATE = SeparateConfig(
    volume=VolumeConfig(resolution=8, channel_base=64, channel_max=8, hidden=8),
    planes=GENERATOR.synthesis.planes,
    texture_features=4,
)


@pytest.mark.parametrize(
    "generator",
    [
        pytest.param(GENERATOR, id="unified"),
        pytest.param(replace(GENERATOR, isosurface="flexicubes"), id="flexicubes"),
        pytest.param(replace(GENERATOR, synthesis=SEPARATE), id="separate"),
    ],
)
@pytest.mark.slow
def test_shapes_come_to_agree_with_hulls(data: Path, tmp_path: Path, generator):
    """The hull alone moves them, the shapes that are drawn and those that are not."""
    config = _config(data, tmp_path, generator=generator)
    losses = {"color": 0.0, "mask": 1e-9}
    config = replace(config, warmup_kimg=1.0, warmup=replace(config.warmup, losses=losses, learning_rate=0.01))
    run = prepare_run(config)
    state, stream = start(run.config, len(run.images.objects)), run.images.object_batches(4, 2, 0)
    found = []
    hulls = run.hulls()
    for _ in range(60):
        state.sums.clear()
        warmup_step(state, next(stream), run.config, hulls=hulls)
        total, count = state.sums["loss/hull"]
        found.append(float(total / count))
    assert sum(found[-5:]) < 0.8 * sum(found[:5])


@pytest.mark.slow
def test_interrupted_and_shared_runs_follow_the_same_course(data: Path, tmp_path: Path):
    def tensors(out: Path) -> dict[str, torch.Tensor]:
        return load_tensors(out / "checkpoints" / "checkpoint-000000000016.safetensors").tensors

    base = _config(data, tmp_path, batch=8)
    base = replace(base, kimg=0.016, warmup_kimg=0.016, discriminator=replace(base.discriminator, group=2))
    one, two, parts, halves = (replace(base, out=tmp_path / name) for name in ("one", "two", "parts", "halves"))
    train(one, QUIET)
    assert all("loss/hull" in line for line in statistics(tmp_path / "one"))
    train(replace(halves, kimg=0.008), QUIET)
    train(halves, QUIET)
    want, again = tensors(one.out), tensors(halves.out)
    for name, tensor in want.items():
        assert tensor.equal(again[name]), name
    ranks = Ranks([two, two])
    said = ranks.end()
    assert [process.exitcode for process in ranks.processes] == [0, 0], said
    train(replace(parts, grad_accum_steps=2), QUIET)
    for out in (two.out, parts.out):
        torch.testing.assert_close(tensors(out)["codes.styles"], want["codes.styles"], atol=1e-4, rtol=1e-3)


def test_few_images_of_objects_leave_hulls_out(tmp_path: Path):
    run = prepare_run(_config(_views(tmp_path / "data", 7), tmp_path / "out"))
    assert run.hulls() is None
    assert run.remarks == ("no visual hulls in the warm-up: they need 8 images of an object, not 7",)
