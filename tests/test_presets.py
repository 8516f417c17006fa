"""Every preset trains, with both surfaces, when its sizes are turned down on the command line."""

import itertools
from dataclasses import replace

import pytest
import torch
import tyro

import tiny
from get3d.files import InputError
from get3d.flags import REGISTRY
from get3d.networks import SeparateConfig
from get3d.presets import PRESETS
from get3d.training.config import TrainConfig, prepare_run
from get3d.training.loop import start, train_step
from get3d.training.warmup_step import warmup_step

SMALL = {
    "resolution": 16,
    "batch": 4,
    "device": "cpu",
    "generator.z-dim": 8,
    "generator.w-dim": 8,
    "generator.mapping-layers": 2,
    "generator.grid-resolution": 8,
    "generator.synthesis.planes.resolution": 8,
    "generator.synthesis.planes.channels": 4,
    "generator.synthesis.planes.channel-max": 8,
    "generator.synthesis.texture-features": 4,
    "discriminator.channel-max": 8,
    "discriminator.condition": 8,
    "discriminator.condition-layers": 1,
}
SMALL_VOLUME = {"resolution": 8, "channel-max": 8, "hidden": 16}


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return tiny.write_dataset(tmp_path_factory.mktemp("data") / "discs")


def _overridden(preset, **changes):
    """What the command line makes of a preset, without its warm-up, which some tests start by themselves."""
    config = replace(PRESETS[preset].config, warmup_kimg=0.0)
    values = SMALL | {name.replace("__", "."): value for name, value in changes.items()}
    if isinstance(config.generator.synthesis, SeparateConfig):
        values |= {f"generator.synthesis.volume.{name}": value for name, value in SMALL_VOLUME.items()}
    arguments = [part for name, value in values.items() for part in (f"--{name}", str(value))]
    return tyro.cli(TrainConfig, default=config, args=arguments, registry=REGISTRY)


@pytest.mark.parametrize("isosurface", ["tetrahedra", pytest.param("flexicubes", marks=pytest.mark.slow)])
@pytest.mark.parametrize("preset", PRESETS)
def test_two_steps_of_every_preset(data, tmp_path, preset, isosurface):
    config = _overridden(preset, data=data, out=tmp_path, generator__isosurface=isosurface)
    assert type(config.generator.synthesis) is type(PRESETS[preset].config.generator.synthesis)
    run = prepare_run(config)
    assert run.config.generator.grid_size == pytest.approx(0.7)  # of the dataset, whose discs are 0.6 across
    assert run.config.generator.isosurface == isosurface
    state = start(run.config)
    for batch in itertools.islice(run.images.batches(run.config.batch, seed=0), 2):
        train_step(state, batch, run.config)
    assert (state.cur_nimg, state.nonfinite_steps) == (8, 0)
    assert all(torch.isfinite(pair).all() for pair in state.sums.values())


@pytest.mark.parametrize("preset", ["demo", "small"])
def test_presets_of_reconstruction_learn_by_it_only(data, tmp_path, preset):
    assert PRESETS[preset].config.warmup_kimg == PRESETS[preset].config.kimg
    run = prepare_run(_overridden(preset, data=data, out=tmp_path, warmup_kimg=1.0))
    state = start(run.config, len(run.images.objects))
    before = state.codes.styles.clone()
    stream = run.images.object_batches(run.config.batch, run.config.warmup.views, seed=0)
    for batch in itertools.islice(stream, 2):
        warmup_step(state, batch, run.config)
    assert (state.cur_nimg, state.nonfinite_steps) == (8, 0)
    assert not state.codes.styles.equal(before)
    assert all(torch.isfinite(pair).all() for pair in state.sums.values())


@pytest.mark.parametrize("materials", ["base_color", "pbr"])
@pytest.mark.parametrize("preset", ["small", "paper", "car-separate"])
def test_presets_learn_materials(data, tmp_path, preset, materials):
    run = prepare_run(_overridden(preset, data=data, out=tmp_path, generator__materials=materials))
    state = start(run.config)
    before = [value.clone() for value in state.generator.learnt_light.parameters()]
    train_step(state, next(run.images.batches(run.config.batch, seed=0)), run.config)
    assert state.nonfinite_steps == 0
    assert all(torch.isfinite(pair).all() for pair in state.sums.values())
    assert not any(map(torch.equal, state.generator.learnt_light.parameters(), before))


def test_the_published_numbers():
    """R1's weight, the grid's size, the lowest polar angle, as the paper and its checkpoints have them; and views."""
    expected = {
        "car": (40, 1.0, 60, 24),
        "chair": (400, 0.8, 60, 24),
        "motorbike": (80, 1.0, 60, 100),
        "table": (400, 0.8, 60, 24),
        "animal": (40, 0.8, 45, 100),
        "house": (200, 0.9, 60, 100),
        "people": (80, 1.0, 70, 100),
        "car-separate": (40, 1.0, 60, 24),
        "chair-separate": (3200, 0.8, 60, 24),
        "motorbike-separate": (80, 1.0, 60, 100),
    }
    for name, (gamma, size, polar, views) in expected.items():
        config = PRESETS[name].config
        generator = config.generator
        assert (config.objective.r1_gamma, generator.grid_size, generator.cameras.polar[0]) == (gamma, size, polar)
        assert (config.batch, config.resolution, generator.grid_resolution, generator.z_dim) == (32, 1024, 90, 512)
        assert isinstance(generator.synthesis, SeparateConfig) == name.endswith("separate")
        assert config.assumed.scale == pytest.approx(size - 0.1)
        assert f"{views} views each" in PRESETS[name].description


def test_what_is_not_published_or_known_at_second_hand_is_said():
    assert "views as for chairs" in PRESETS["table"].description
    for name in ("animal", "house", "people"):
        assert "known only at second hand" in PRESETS[name].description


def test_a_dataset_in_the_published_layout_is_taken_to_be_as_the_preset_says(tmp_path):
    from datasets import make_published

    data = make_published(tmp_path / "data", objects=40)
    config = prepare_run(_overridden("chair", data=data, out=tmp_path / "run", generator__grid_resolution=8)).config
    assert config.generator.grid_size == pytest.approx(0.8)
    config = prepare_run(_overridden("car", data=data, out=tmp_path / "run")).config
    assert config.generator.grid_size == pytest.approx(1.0)
    with pytest.raises(InputError, match="outside azimuth"):
        prepare_run(_overridden("people", data=data, out=tmp_path / "run"))
