"""Reconstruction from images: an analytic object comes back, a stopped fit goes on, bad input is refused."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
import trimesh
from PIL import Image
from rich.console import Console
from scipy.spatial import cKDTree

from get3d.cameras import Cameras
from get3d.datasets.camera_table import write_cameras
from get3d.datasets.ground_truth import read_mesh
from get3d.files import InputError
from get3d.fitting import reconstruct as command
from get3d.fitting.config import ReconstructConfig
from get3d.fitting.fields import LatticeGeometry
from get3d.fitting.optimisation import Reconstruction, hull_sdf
from get3d.fitting.reconstruct import held_out, read_object, reconstruct
from get3d.isosurface import ISOSURFACES
from get3d.meshes import Mesh, MeshBatch
from get3d.sampling import sample_surface
from photographed import PRIOR, SIDES, box, images_of, write_box
from tiny import seeded

QUIET = Console(quiet=True)


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_box(tmp_path_factory.mktemp("box"))


def _config(data: Path, out: Path, **changes: object) -> ReconstructConfig:
    config = ReconstructConfig(
        data, "box", out, grids=(12, 20), steps=60, planes=32, texture=64, video="none", device="cpu"
    )
    return replace(config, **changes)


def _chamfer(a: Mesh, b: Mesh) -> float:
    """Mean squares of the distances in both directions, of so many points that their spacing hardly counts."""
    first, second = (
        sample_surface(MeshBatch.from_meshes([mesh]), 60_000, seeded()).positions[0].numpy() for mesh in (a, b)
    )
    pairs = ((first, second), (second, first))
    return sum(float((cKDTree(to).query(points)[0] ** 2).mean()) for points, to in pairs)


@pytest.mark.slow
@pytest.mark.parametrize("isosurface", ["flexicubes", "tetrahedra"])
def test_a_box_with_coloured_sides_comes_back(data: Path, tmp_path: Path, isosurface: str):
    report = reconstruct(_config(data, tmp_path, isosurface=isosurface), QUIET)
    found = read_mesh(tmp_path / "box.glb")
    # 2 · 0.01²: a distance of a fiftieth of the longest side; a step of the grid is 0.03. The start is at 1e-3.
    assert _chamfer(found, box()) < 2e-4
    assert report["held_out"]["psnr"] > 25
    assert report["held_out"]["iou"] > 0.96
    assert report["watertight"]
    assert {"box.glb", "comparison.png", "report.json"} == {path.name for path in tmp_path.iterdir()}
    assert json.loads((tmp_path / "report.json").read_text()) == report
    color = trimesh.load_scene(tmp_path / "box.glb").geometry
    assert len(color) == 1


def test_a_stopped_fit_goes_on_as_if_it_had_not_been(data: Path):
    config = _config(data, Path("unused"), grids=(8, 12), steps=8)
    views, fitted = read_object(config), torch.arange(20)
    whole = Reconstruction(views, fitted, config)
    expected = [whole.advance() for _ in range(8)]
    for stopped in (2, 5):
        first = Reconstruction(views, fitted, config)
        for _ in range(stopped):
            first.advance()
        second = Reconstruction(views, fitted, config, first.stored())
        assert [second.advance() for _ in range(8 - stopped)] == expected[stopped:]
        for name, value in whole.stored().tensors.items():
            assert torch.equal(value, second.stored().tensors[name]), name


def test_a_command_that_was_stopped_resumes(data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    config = _config(data, tmp_path, grids=(8,), steps=6)
    expected = reconstruct(replace(config, out=tmp_path / "whole"), QUIET)
    monkeypatch.setattr(command, "CHECKPOINT_SECONDS", 0.0)
    advance, steps = Reconstruction.advance, []

    def interrupted(fit: Reconstruction) -> dict[str, float]:
        if len(steps) == 3:
            raise KeyboardInterrupt
        steps.append(fit.step)
        return advance(fit)

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(Reconstruction, "advance", interrupted)
        reconstruct(config, QUIET)
    with pytest.raises(InputError, match="other settings; choose another --out"):
        reconstruct(replace(config, steps=7), QUIET)
    # As a kill in the middle of writing leaves them, and a file of somebody else.
    left = [tmp_path / name for name in (".unfinished.k3jx0a9q.safetensors", ".tmpA1b2C3", ".model.safetensors")]
    for path in left:
        path.write_bytes(b"half")
    found = reconstruct(config, QUIET)
    assert [path.exists() for path in left] == [False, False, True]
    assert {**found, "seconds": 0} == {**expected, "seconds": 0}
    assert not (tmp_path / command.UNFINISHED).exists()
    assert (tmp_path / "box.glb").read_bytes() == (tmp_path / "whole" / "box.glb").read_bytes()


def test_a_fit_without_progress_ends_early(data: Path):
    config = _config(data, Path("unused"), grids=(6,), steps=10_000, patience=50)
    fit = Reconstruction(read_object(config), torch.arange(20), config)
    for loss in (1.0, 0.5):
        for _ in range(50):
            fit._note(loss)
            assert not fit.done
    for _ in range(50):
        fit._note(0.4999)
    assert fit.done


def test_the_distance_to_a_hull_is_that_to_the_box():
    cameras = Cameras.of_prior(PRIOR, torch.rand(60, 2, generator=seeded()) * torch.tensor([6.283, 2.0]) + 0.5)
    masks = images_of(box(), cameras, 96)[:, 3:].float() / 255
    axis = torch.linspace(-0.3, 0.3, 31)
    sdf, thin = hull_sdf(masks, cameras, axis)
    points = torch.cartesian_prod(axis, axis, axis)
    beyond = points.abs() - torch.tensor(SIDES) / 2
    exact = -(beyond.clamp(min=0).norm(dim=1) + beyond.amax(1).clamp(max=0))
    # A hull is larger at the corners; a step of the lattice is 0.02.
    error = (sdf.flatten() - exact).abs()
    assert error.median() < 0.012
    assert error.quantile(0.95) < 0.03
    assert thin.float().mean() < 0.02


@pytest.mark.parametrize("name", ["flexicubes", "tetrahedra"])
def test_values_at_the_points_of_a_lattice_are_the_parameters(name: str):
    isosurface = ISOSURFACES[name](6, 0.8, 6)
    vertices = isosurface.grid.vertices
    # Linear in space, so that all lattices say the same everywhere inside.
    geometry = LatticeGeometry((vertices @ torch.tensor([0.3, -0.5, 0.2]) + 0.05)[None], isosurface)
    inner = vertices[vertices.abs().amax(1) < 0.3]
    found = geometry.at(inner[None])
    torch.testing.assert_close(found.sdf[0, :, 0], inner @ torch.tensor([0.3, -0.5, 0.2]) + 0.05)
    parts = geometry.on_lattices(isosurface.grid.lattices)
    torch.testing.assert_close(torch.cat([part.sdf for part in parts], 1)[..., 0], geometry.sdf)
    with pytest.raises(ValueError, match="the grid's have"):
        geometry.on_lattices([torch.zeros(3)])


def test_regularisers_of_a_true_distance_are_small_and_have_gradients():
    isosurface = ISOSURFACES["flexicubes"](16, 1.0, 16)
    distance = 0.3 - isosurface.grid.vertices.norm(dim=1)
    true, steep = LatticeGeometry(distance[None], isosurface), LatticeGeometry(3 * distance[None], isosurface)
    assert true.field_losses()["eikonal"] < 0.01
    torch.testing.assert_close(steep.field_losses()["eikonal"], torch.tensor(4.0), rtol=0.1, atol=0)
    # The Laplacian of a distance to a sphere is −2 / r, times the step in units of the step.
    rough = LatticeGeometry((distance + 0.01 * torch.randn(len(distance), generator=seeded()))[None], isosurface)
    assert rough.field_losses()["smoothness"] > 4 * true.field_losses()["smoothness"]
    geometry = LatticeGeometry(distance.double()[None], isosurface).double()

    def loss(sdf: torch.Tensor) -> torch.Tensor:
        return torch.stack(list(torch.func.functional_call(_Losses(geometry), {"of.sdf": sdf}, ()).values())).sum()

    chosen = geometry.sdf.detach().clone().requires_grad_(True)
    (gradient,) = torch.autograd.grad(loss(chosen), chosen)
    direction = torch.randn(chosen.shape, generator=seeded(1), dtype=torch.float64)
    step = 1e-6
    with torch.no_grad():
        numeric = (loss(chosen + step * direction) - loss(chosen - step * direction)) / (2 * step)
    torch.testing.assert_close((gradient * direction).sum(), numeric, rtol=1e-3, atol=1e-6)


class _Losses(torch.nn.Module):
    def __init__(self, of: LatticeGeometry) -> None:
        super().__init__()
        self.of = of

    def forward(self) -> dict[str, torch.Tensor]:
        return self.of.field_losses()


def test_held_out_images_are_spread_and_leave_two():
    assert held_out(50, 0.1) == [5, 15, 25, 35, 45]
    assert held_out(4, 0.9) == [1, 3]
    assert held_out(10, 0.0) == []


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"object": "bix"}, "--object bix: no object of .*; like it are box"),
        ({"resolution": 48}, "--resolution is 48, but the images have 64 pixels; choose a divisor"),
        ({"materials": "pbr"}, "--materials pbr: .* does not say its light; use color"),
        ({"data": Path("nowhere")}, "nowhere: no such folder"),
        ({"grids": ()}, "--grids is empty"),
        ({"grids": (2,)}, "--grids"),
    ],
)
def test_bad_input_is_refused(data: Path, tmp_path: Path, changes: dict[str, object], message: str):
    with pytest.raises(InputError, match=message):
        reconstruct(replace(_config(data, tmp_path / "out"), **changes), QUIET)
    assert not (tmp_path / "out").exists()


def test_cameras_that_do_not_see_the_object_are_refused(tmp_path: Path):
    data = write_box(tmp_path / "data", views=8, resolution=32)
    for view, path in enumerate(sorted((data / "images" / "box").iterdir())):
        # The object is in another corner of each image, where no place lies in all masks.
        pixels = np.zeros((32, 32, 4), np.uint8)
        row, column = (view % 2) * 22, (view // 2 % 2) * 22
        pixels[row : row + 6, column : column + 6] = 255
        Image.fromarray(pixels).save(path)
    write_cameras(data, [f"box/{view:03d}.png" for view in range(8)], np.full((8, 2), 60.0))
    with pytest.raises(InputError, match="cameras and masks do not agree"):
        reconstruct(_config(data, tmp_path / "out"), QUIET)
