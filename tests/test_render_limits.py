"""One object of a stranger costs no more than its budget, and the report says what that is."""

import io
import itertools
import json
import multiprocessing
import os
import time
import tracemalloc
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from rich.console import Console

from get3d.assets import files
from get3d.assets.files import LIMITS, FolderResolver, time_limit
from get3d.assets.loading import load_asset
from get3d.assets.materials import _reduced
from get3d.authoring.from_meshes.command import render_models
from get3d.authoring.from_meshes.config import RenderConfig
from get3d.authoring.from_meshes.fit import MARGIN, largest_fit
from get3d.camera_prior import CameraPrior
from get3d.cameras import Cameras
from get3d.files import InputError
from models import RED, plain, png, save_wedge, write_obj


def many_textures(folder: Path, count: int, side: int) -> Path:
    """A square in OBJ for each of so many materials, with a large image each that is a few bytes long."""
    buffer = io.BytesIO()
    Image.new("L", (side, side), 255).save(buffer, "PNG")
    lines = ["mtllib paint.mtl", "v 0 0 0", "v 1 0 0", "v 1 1 0", "v 0 1 0", "vt 0 0", "vt 1 0", "vt 1 1", "vt 0 1"]
    paints = []
    for number in range(count):
        (folder / f"{number}.png").write_bytes(buffer.getvalue())
        lines += [f"usemtl m{number}", "f 1/1 2/2 3/3 4/4"]
        paints += [f"newmtl m{number}", "Kd 1 0 0", f"map_Kd {number}.png"]
    (folder / "paint.mtl").write_text("\n".join(paints))
    (folder / "a.obj").write_text("\n".join(lines))
    return folder / "a.obj"


def test_textures_beyond_the_budget_are_left_out_and_named(tmp_path, monkeypatch):
    monkeypatch.setattr(files, "LIMITS", replace(LIMITS, pixels=5 * 64**2))
    loaded = load_asset(many_textures(tmp_path, 8, 64), tmp_path)
    assert loaded.missing == ("5.png", "6.png", "7.png")
    assert len(loaded.asset.textures) == 9


def test_of_many_large_textures_one_at_a_time_is_held_in_full_size(tmp_path):
    path = many_textures(tmp_path, 6, 2048)
    tracemalloc.start()
    try:
        load_asset(path, tmp_path, texture=64)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    # PIL's own memory is not traced: what is, are our copies.
    assert peak < 6 * 2048**2


def test_decoded_images_are_given_back(tmp_path):
    resolver = FolderResolver(tmp_path, tmp_path)
    (tmp_path / "a.png").write_bytes(png(plain(RED, 64)))
    write_obj(tmp_path, mtl="map_Kd a.png\n")
    image = resolver.image("a.png")
    assert image is not None
    first = _reduced(image, resolver, 16)
    assert first is _reduced(image, resolver, 16)
    assert first.size == (16, 16)
    with pytest.raises(ValueError, match="closed"):
        image.load()


def test_files_beyond_the_budget_are_missing(tmp_path, monkeypatch):
    write_obj(tmp_path, mtl="map_Kd red.png\n")
    (tmp_path / "red.png").write_bytes(png(np.random.default_rng(0).integers(0, 255, (64, 64, 3), np.uint8)))
    monkeypatch.setattr(files, "LIMITS", replace(LIMITS, bytes=1000))
    assert load_asset(tmp_path / "model.obj", tmp_path).missing == ("red.png",)


def test_pipes_are_no_textures_and_no_materials(tmp_path):
    os.mkfifo(tmp_path / "paint.mtl")
    assert load_asset(write_obj(tmp_path), tmp_path).missing == ("paint.mtl",)
    (tmp_path / "paint.mtl").unlink()
    os.mkfifo(tmp_path / "red.png")
    assert load_asset(write_obj(tmp_path, mtl="map_Kd red.png\n"), tmp_path).missing == ("red.png",)


def test_what_takes_too_long_is_stopped_and_alarms_before_go_on():
    with pytest.raises(InputError, match="more than 1 s"), time_limit(1):
        while True:
            time.sleep(0.01)
    with time_limit(60):
        pass


def stuck() -> None:
    """Counts without end within one instruction, which no signal interrupts."""
    files.GRACE = 1
    with time_limit(1):
        sum(itertools.repeat(0))


@pytest.mark.slow
def test_what_no_signal_stops_ends_with_its_process():
    process = multiprocessing.get_context("spawn").Process(target=stuck)
    process.start()
    process.join(60)
    alive = process.is_alive()
    process.kill()
    assert not alive
    assert process.exitcode == 1


def test_the_report_says_the_limits_and_the_size_of_each_object(tmp_path):
    save_wedge(tmp_path / "models/a.off")
    config = RenderConfig(tmp_path / "models", tmp_path / "data", views=1, resolution=16, workers=1, max_faces=5000)
    render_models(config, Console(quiet=True))
    report = json.loads((tmp_path / "data/report.json").read_text())
    assert report["limits"] == {
        "bytes": LIMITS.bytes,
        "pixels": LIMITS.pixels,
        "instances": LIMITS.instances,
        "nodes": LIMITS.nodes,
        "seconds": LIMITS.seconds,
        "faces": 5000,
    }
    assert 0.7 < report["models"][0]["scale"] <= 0.9


def projected(points: torch.Tensor, cameras: Cameras) -> torch.Tensor:
    """How far from the middle, in halves of the image's side, each camera sees the outermost point."""
    camera = torch.arange(len(cameras)).repeat_interleave(len(points))
    pixels = cameras.project(points.float().repeat(len(cameras), 1), camera, 2)[:, :2]
    return (pixels - 1).abs().view(len(cameras), -1).amax(dim=1)


@pytest.mark.slow
@given(st.integers(0, 2**32 - 1))
def test_the_largest_fit_is_seen_whole_and_no_larger_one(seed):
    generator = torch.Generator().manual_seed(seed)
    points = (torch.rand(20, 3, generator=generator) - 0.5) * torch.rand(3, generator=generator) * 1.6
    prior = CameraPrior()
    factor = largest_fit(points, prior)
    assert 0 < factor <= 1
    azimuth, polar = torch.meshgrid(torch.arange(0, 361, 3.0), torch.arange(60, 91, 3.0), indexing="ij")
    cameras = Cameras.orbit(torch.deg2rad(azimuth.ravel()), torch.deg2rad(polar.ravel()), prior.radius)
    outermost = float(projected(points * factor, cameras).max())
    assert outermost <= 1 - MARGIN + 0.004
    if factor < 1:
        assert outermost == pytest.approx(1 - MARGIN, abs=0.004)


def test_a_cube_that_would_fill_images_is_made_smaller():
    cube = torch.tensor([[x, y, z] for x in (-0.45, 0.45) for y in (-0.45, 0.45) for z in (-0.45, 0.45)])
    assert 0.6 < largest_fit(cube, CameraPrior()) < 0.8
    assert largest_fit(cube * 0.5, CameraPrior()) == 1.0
