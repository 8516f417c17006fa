"""Models by themselves: what is in the file, and the ones that come with the package, by name."""

import io
import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from rich.console import Console

import tiny
from get3d import bundled as packaged
from get3d.bundled import bundled
from get3d.checkpoints.config import ModelsConfig, ReleaseConfig
from get3d.checkpoints.model import WEIGHTS, load, model_file
from get3d.checkpoints.release import list_models, release
from get3d.files import InputError
from get3d.generator import Generator
from get3d.networks import PriorConfig
from get3d.storage import describe, load_tensors, save_tensors, with_prefix
from get3d.training.loop import train


@pytest.fixture(scope="module")
def run(tmp_path_factory) -> Path:
    data = tiny.write_dataset(tmp_path_factory.mktemp("data"))
    out = tmp_path_factory.mktemp("runs") / "run"
    train(tiny.run_config(data, out, kimg=0.020), Console(quiet=True))
    return out


def _released(run: Path, out: Path, **changes: object) -> Path:
    settings = {"title": "discs", "licence": "CC0-1.0"} | changes
    return release(ReleaseConfig(model=str(run), out=out, **settings), Console(quiet=True))


def test_it_is_the_same_model_and_nothing_else(run, tmp_path):
    path = _released(run, tmp_path)
    stored = load_tensors(path)
    assert all(name.startswith("generator_ema.") for name in stored.tensors)
    about = stored.description["about"]
    assert (about["title"], about["licence"], about["kimg"]) == ("discs", "CC0-1.0", 0.02)
    assert about["training"]["batch"] == 4
    assert str(run.parent) not in str(stored.description)
    ours, theirs = load(path), load(run)
    latents = ours.sample_latents(2, seed=1)
    assert torch.equal(ours.meshes(latents).vertices, theirs.meshes(latents).vertices)


def test_a_released_model_can_be_released_again(run, tmp_path):
    again = _released(_released(run, tmp_path / "a"), tmp_path / "b", title="round discs")
    before, after = (load_tensors(tmp_path / name / "model.safetensors").description["about"] for name in "ab")
    assert after == before | {"title": "round discs"}
    assert load_tensors(again).tensors.keys() == load_tensors(tmp_path / "a" / "model.safetensors").tensors.keys()


def test_a_model_of_a_warmup_is_released_with_another_bandwidth(run, tmp_path):
    torch.manual_seed(0)
    generator = Generator(replace(tiny.GENERATOR, prior=PriorConfig(styles=6, components=4, bandwidth=0.6)))
    styles = torch.randn(6, tiny.GENERATOR.w_dim, generator=tiny.seeded())
    for mapping in (generator.mapping_geometry, generator.mapping_texture):
        mapping.fit(styles, torch.zeros(6, dtype=torch.long))
    tensors = with_prefix(WEIGHTS, generator.state_dict())
    save_tensors(tmp_path / "warm.safetensors", tensors, {"generator": describe(generator.config)})
    narrow = load(_released(tmp_path / "warm.safetensors", tmp_path / "narrow", bandwidth=0.2), "cpu")
    assert narrow.config.prior.bandwidth == narrow.mapping_texture.bandwidth == 0.2
    z = narrow.sample_latents(50, 0)
    near = torch.cdist(narrow.styles(z, per_layer=False).geometry, styles).min(1).values.mean()
    wide = torch.cdist(generator.styles(z, per_layer=False).geometry, styles).min(1).values.mean()
    assert near < 0.6 * wide
    with pytest.raises(InputError, match=r"--bandwidth is 1.0; it must be above 0 and below 1"):
        _released(tmp_path / "warm.safetensors", tmp_path / "x", bandwidth=1.0)
    with pytest.raises(InputError, match=r"--bandwidth is 0.5, but .* holds no codes"):
        _released(run, tmp_path / "x", bandwidth=0.5)
    assert not (tmp_path / "x" / "model.safetensors").exists()


@pytest.mark.parametrize("field", ["title", "licence"])
def test_what_it_is_must_be_said(run, tmp_path, field):
    with pytest.raises(InputError, match=f"--{field} is empty"):
        _released(run, tmp_path, **{field: " "})


def test_packaged_models_are_known_by_name(run, tmp_path, monkeypatch):
    monkeypatch.setattr(packaged, "MODELS_FOLDER", tmp_path)
    path = _released(run, tmp_path / "disc")
    assert bundled() == {"disc": path}
    assert model_file("disc") == path
    output = io.StringIO()
    list_models(ModelsConfig(), Console(file=output, width=120))
    for part in ("disc", "discs", "0 kimg", "CC0-1.0"):
        assert part in output.getvalue()
    output = io.StringIO()
    list_models(ModelsConfig(json=True), Console(file=output, width=20))
    (found,) = json.loads(output.getvalue())["models"]
    assert (found["name"], found["title"], found["licence"]) == ("disc", "discs", "CC0-1.0")
    assert (found["file"], found["bytes"]) == (str(path), path.stat().st_size)
    monkeypatch.chdir(tmp_path.parent)
    (tmp_path.parent / "disc").mkdir(exist_ok=True)
    assert model_file("disc") == path, "a folder without a model does not hide it"
    with pytest.raises(InputError, match="or one of disc"):
        model_file("disk")
