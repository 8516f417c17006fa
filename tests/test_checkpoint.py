import io

import pytest
import torch
from rich.console import Console

import tiny
from get3d.data.dataset import Batch
from get3d.files import InputError
from get3d.storage import describe
from get3d.training.checkpoint import BEST, checkpoints_in, resume, save_checkpoint
from get3d.training.loop import start, train_step


@pytest.fixture
def config(tmp_path):
    return tiny.run_config(tmp_path / "data", tmp_path / "run")


def _trained(config, steps=2):
    state = start(config)
    images = torch.randint(0, 256, (4, 4, 16, 16), dtype=torch.uint8, generator=tiny.seeded())
    for _ in range(steps):
        train_step(state, Batch(images, torch.rand(4, 2, generator=tiny.seeded())), config)
    return state


def _everything(state):
    tensors = {}
    for name in ("generator", "average", "discriminator"):
        tensors |= {f"{name}.{key}": value for key, value in getattr(state, name).state_dict().items()}
    for name in ("generator_optimizer", "discriminator_optimizer"):
        for number, moments in getattr(state, name).state_dict()["state"].items():
            tensors |= {f"{name}.{number}.{key}": torch.as_tensor(value) for key, value in moments.items()}
    return tensors | {f"sums.{name}": value for name, value in state.sums.items()}


def test_a_state_comes_back_bit_equal(config, tmp_path):
    state = _trained(config)
    state.best, state.bad_steps = 12.5, 1
    save_checkpoint(tmp_path, state, describe(config), keep=2, best=False)
    other = start(config)
    assert resume(tmp_path, other, describe(config), Console())
    saved, restored = _everything(state), _everything(other)
    assert saved.keys() == restored.keys()
    assert len([name for name in saved if "optimizer" in name]) > 50
    for name, tensor in saved.items():
        assert torch.equal(restored[name], tensor), name
    assert (other.shown, other.best, other.bad_steps) == (8, 12.5, 1)


def test_the_last_few_and_the_best_are_kept(config, tmp_path):
    state = start(config)
    for number in range(5):
        state.shown = 4 * number
        save_checkpoint(tmp_path, state, describe(config), keep=2, best=number == 1)
    assert [path.name for path in checkpoints_in(tmp_path)] == [
        "checkpoint-000000000016.safetensors",
        "checkpoint-000000000012.safetensors",
    ]
    (tmp_path / BEST).rename(tmp_path / "checkpoint-000000000099.safetensors")
    assert resume(tmp_path, state, describe(config), Console())
    assert state.shown == 4


def test_a_damaged_checkpoint_is_told_and_the_one_before_taken(config, tmp_path):
    state = start(config)
    for shown in (4, 8):
        state.shown = shown
        newest = save_checkpoint(tmp_path, state, describe(config), keep=2, best=False)
    newest.write_bytes(newest.read_bytes()[:-100])
    said = io.StringIO()
    assert resume(tmp_path, state, describe(config), Console(file=said, width=1000))
    assert state.shown == 4
    assert newest.name in said.getvalue()
    assert "going back" in said.getvalue()
    for path in checkpoints_in(tmp_path):
        path.write_bytes(b"")
    with pytest.raises(InputError, match="no checkpoint can be read"):
        resume(tmp_path, state, describe(config), Console(file=said))


def test_networks_of_other_sizes_are_named(config, tmp_path):
    from dataclasses import replace

    state = start(config)
    save_checkpoint(tmp_path, state, describe(config), keep=2, best=False)
    other = replace(config, generator=replace(config.generator, grid_resolution=12))
    with pytest.raises(InputError, match=r"generator has grid_resolution = 8, this run asks for 12"):
        resume(tmp_path, start(other), describe(other), Console())
    other = replace(config, resolution=32)
    with pytest.raises(InputError, match=r"resolution = 16, this run asks for 32"):
        resume(tmp_path, start(other), describe(other), Console())


def test_an_empty_folder_has_nothing_to_go_on_with(config, tmp_path):
    assert not resume(tmp_path / "none", start(config), describe(config), Console())
