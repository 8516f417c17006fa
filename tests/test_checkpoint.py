import io
import threading
import time

import pytest
import torch
from rich.console import Console

import tiny
from get3d import storage
from get3d.datasets.loader import Batch
from get3d.files import InputError
from get3d.storage import describe
from get3d.training.checkpoint import BEST, CheckpointWriter, checkpoints_in, resume, save_checkpoint
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
    for name in ("generator", "generator_ema", "discriminator"):
        tensors |= {f"{name}.{key}": value for key, value in getattr(state, name).state_dict().items()}
    for name in ("generator_optimizer", "discriminator_optimizer"):
        for number, moments in getattr(state, name).state_dict()["state"].items():
            tensors |= {f"{name}.{number}.{key}": torch.as_tensor(value) for key, value in moments.items()}
    return tensors | {f"sums.{name}": value for name, value in state.sums.items()}


def test_a_state_comes_back_bit_equal(config, tmp_path):
    state = _trained(config)
    state.best, state.nonfinite_steps = 12.5, 1
    save_checkpoint(tmp_path, state, describe(config), keep=2, best=False)
    other = start(config)
    assert resume(tmp_path, other, describe(config), Console())
    saved, restored = _everything(state), _everything(other)
    assert saved.keys() == restored.keys()
    assert len([name for name in saved if "optimizer" in name]) > 50
    for name, tensor in saved.items():
        assert torch.equal(restored[name], tensor), name
    assert (other.cur_nimg, other.best, other.nonfinite_steps) == (8, 12.5, 1)


def test_the_last_few_and_the_best_are_kept(config, tmp_path):
    state = start(config)
    for number in range(5):
        state.cur_nimg = 4 * number
        save_checkpoint(tmp_path, state, describe(config), keep=2, best=number == 1)
    assert [path.name for path in checkpoints_in(tmp_path)] == [
        "checkpoint-000000000016.safetensors",
        "checkpoint-000000000012.safetensors",
    ]
    (tmp_path / BEST).rename(tmp_path / "checkpoint-000000000099.safetensors")
    assert resume(tmp_path, state, describe(config), Console())
    assert state.cur_nimg == 4


def _cut_short(content):
    return content[:-100]


def _one_bit_flipped(content):
    middle = len(content) // 2
    return content[:middle] + bytes([content[middle] ^ 1]) + content[middle + 1 :]


@pytest.mark.parametrize("damage", [_cut_short, _one_bit_flipped])
def test_a_damaged_checkpoint_is_told_and_the_one_before_taken(config, tmp_path, damage):
    state = start(config)
    for shown in (4, 8):
        state.cur_nimg = shown
        newest = save_checkpoint(tmp_path, state, describe(config), keep=2, best=False)
    newest.write_bytes(damage(newest.read_bytes()))
    said = io.StringIO()
    assert resume(tmp_path, state, describe(config), Console(file=said, width=1000))
    assert state.cur_nimg == 4
    assert newest.name in said.getvalue()
    assert "using the previous checkpoint" in said.getvalue()
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


def test_an_option_newer_than_a_run_has_its_default(config, tmp_path):
    state = start(config)
    path = save_checkpoint(tmp_path, state, describe(config), keep=2, best=False)
    stored = storage.load_tensors(path)
    generator = {**stored.description["generator"]}
    generator["synthesis"] = {**generator["synthesis"]}
    assert generator["synthesis"].pop("texture_frequencies") == 0
    storage.save_tensors(path, stored.tensors, stored.description | {"generator": generator})
    assert resume(tmp_path, start(config), describe(config), Console())


@pytest.mark.parametrize("progress", [None, {"best": None, "nonfinite_steps": 0}, {"cur_nimg": -4}, {"cur_nimg": "4"}])
def test_progress_that_is_none_of_a_run_is_named(config, tmp_path, progress):
    state = start(config)
    path = save_checkpoint(tmp_path, state, describe(config), keep=2, best=False)
    stored = storage.load_tensors(path)
    storage.save_tensors(path, stored.tensors, stored.description | {"progress": progress})
    with pytest.raises(InputError, match=str(tmp_path)):
        resume(tmp_path, state, describe(config), Console())


def test_an_empty_folder_has_nothing_to_go_on_with(config, tmp_path):
    assert not resume(tmp_path / "none", start(config), describe(config), Console())


class _Disk:
    """A disk that writes when it is told to, and counts."""

    def __init__(self, monkeypatch):
        self.go, self.writing, self.most = threading.Event(), 0, 0
        self._save = storage.save_file
        monkeypatch.setattr(storage, "save_file", self)

    def __call__(self, *arguments, **options):
        self.writing += 1
        self.most = max(self.most, self.writing)
        assert self.go.wait(60)
        self._save(*arguments, **options)
        self.writing -= 1


@pytest.fixture
def disk(monkeypatch):
    return _Disk(monkeypatch)


def _until(condition):
    deadline = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.001)


def test_a_checkpoint_in_the_background_is_of_the_moment_it_was_asked_for(config, tmp_path, disk):
    state = _trained(config)
    before = {name: tensor.clone() for name, tensor in _everything(state).items()}
    with CheckpointWriter(tmp_path, 2, Console()) as writer:
        writer.save(state, describe(config), best=True)
        images = torch.zeros(4, 4, 16, 16, dtype=torch.uint8)
        train_step(state, Batch(images, torch.ones(4, 2)), config)
        assert not checkpoints_in(tmp_path)
        disk.go.set()
    assert [path.name for path in checkpoints_in(tmp_path)] == ["checkpoint-000000000008.safetensors"]
    other = start(config)
    assert resume(tmp_path, other, describe(config), Console())
    restored = _everything(other)
    assert other.cur_nimg == 8
    assert restored.keys() == before.keys()
    for name, tensor in before.items():
        assert torch.equal(restored[name], tensor), name


def test_one_checkpoint_is_written_at_a_time_and_the_last_few_are_kept(config, tmp_path, disk):
    state, asked = start(config), []
    with CheckpointWriter(tmp_path, 2, Console()) as writer:

        def ask():
            for number in range(5):
                state.cur_nimg = 4 * number
                writer.save(state, describe(config), best=number == 1)
                asked.append(number)

        asking = threading.Thread(target=ask)
        asking.start()
        _until(lambda: disk.writing)
        time.sleep(0.05)
        assert asked == [0]
        disk.go.set()
        asking.join(60)
    assert disk.most == 1
    assert [path.name for path in checkpoints_in(tmp_path)] == [
        "checkpoint-000000000016.safetensors",
        "checkpoint-000000000012.safetensors",
    ]
    assert storage.read_description(tmp_path / BEST)["progress"]["cur_nimg"] == 4


def test_a_checkpoint_that_cannot_be_written_is_known_at_the_next_step_and_told_by_the_next_one(config, tmp_path, disk):
    state = start(config)
    disk.go.set()
    good = save_checkpoint(tmp_path, state, describe(config), keep=1, best=False)
    content = good.read_bytes()
    state.cur_nimg = 4
    (tmp_path / "checkpoint-000000000004.safetensors").mkdir()
    with CheckpointWriter(tmp_path, 1, Console()) as writer:
        disk.go.clear()
        writer.save(state, describe(config), best=False)
        assert not writer.failed
        disk.go.set()
        _until(lambda: writer.failed)
        with pytest.raises(InputError, match=r"checkpoint-000000000004\.safetensors: not written"):
            writer.save(state, describe(config), best=False)
    assert good.read_bytes() == content


def test_a_run_that_ends_waits_for_its_checkpoint_and_tells_of_both_errors(config, tmp_path, disk):
    state, said = start(config), io.StringIO()
    disk.go.set()
    with pytest.raises(FloatingPointError), CheckpointWriter(tmp_path / "a", 2, Console(file=said)) as writer:
        writer.save(state, describe(config), best=False)
        raise FloatingPointError
    assert checkpoints_in(tmp_path / "a")
    assert not said.getvalue()
    (tmp_path / "b" / "checkpoint-000000000000.safetensors").mkdir(parents=True)
    for first in (None, FloatingPointError):
        with pytest.raises(first or InputError), CheckpointWriter(tmp_path / "b", 2, Console(file=said)) as writer:
            writer.save(state, describe(config), best=False)
            if first:
                raise first
    assert said.getvalue().count("not written") == 1


def test_what_a_killed_run_left_half_written_is_removed(config, tmp_path):
    good = save_checkpoint(tmp_path, start(config), describe(config), keep=1, best=True)
    (tmp_path / ".checkpoint-000000000004.x1y2.safetensors").write_bytes(b"half")
    (tmp_path / ".tmpAb3xYz").write_bytes(b"half, by safetensors itself")
    with CheckpointWriter(tmp_path, 1, Console()):
        assert sorted(path.name for path in tmp_path.iterdir()) == [BEST, good.name]
