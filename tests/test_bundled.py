"""The models that come with the package: what they make, and that a wheel brings them along."""

import subprocess
import sys
import zipfile
from pathlib import Path

import hatchling.build
import pytest
import torch

from get3d.bundled import bundled
from get3d.checkpoints.model import load
from get3d.export import mesh_report
from get3d.storage import load_tensors, read_description

ROOT = Path(__file__).parents[1]
MOST_BYTES = 12_000_000


def test_there_are_cars_chairs_and_vases():
    assert bundled().keys() >= {"car", "chair", "vase"}


@pytest.mark.parametrize("name", bundled())
def test_a_model_is_small_whole_and_described(name):
    path = bundled()[name]
    assert path.stat().st_size <= MOST_BYTES
    load_tensors(path)
    about = read_description(path)["about"]
    assert about["licence"] == "Apache-2.0"
    assert about["title"]
    assert about["kimg"] > 1


@pytest.mark.parametrize("name", bundled())
def test_what_it_makes_is_closed_varied_and_of_its_size(name):
    generator = load(name)
    meshes = generator.meshes(generator.sample_latents(6, seed=100), psi=1.0).split()
    for mesh in meshes:
        assert mesh_report(mesh).watertight
        extent = mesh.vertices.amax(dim=0) - mesh.vertices.amin(dim=0)
        assert 0.2 < float(extent.max()) <= generator.config.grid_size
    extents = torch.stack([mesh.vertices.amax(dim=0) - mesh.vertices.amin(dim=0) for mesh in meshes])
    assert float(extents.std(dim=0).max()) > 0.01


@pytest.mark.slow
def test_a_wheel_brings_them_along(tmp_path, monkeypatch):
    monkeypatch.chdir(ROOT)
    wheel = tmp_path / hatchling.build.build_wheel(str(tmp_path))
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(tmp_path / "installed")
    assert (tmp_path / "installed/get3d/py.typed").is_file()
    code = "import get3d; print(get3d.__file__); print(len(get3d.load('chair').sample_latents(2, seed=0)))"
    done = subprocess.run(
        [sys.executable, "-P", "-c", code],
        cwd=tmp_path,
        env={"PYTHONPATH": str(tmp_path / "installed"), "PATH": "", "HOME": str(tmp_path)},
        capture_output=True,
        text=True,
        check=True,
    )
    file, count = done.stdout.splitlines()
    assert Path(file).is_relative_to(tmp_path / "installed")
    assert count == "2"
