"""Training as a whole: what it writes, that it can be killed and goes on, and what stops it before it starts."""

import copy
import io
import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import replace

import pytest
import torch
from PIL import Image
from rich.console import Console

import tiny
from get3d.cameras import Cameras
from get3d.checkpoints.model import load
from get3d.checkpoints.release import ReleaseConfig, release
from get3d.datasets.loader import Batch, to_network
from get3d.files import InputError
from get3d.generator import GeneratorConfig, Styles, mix
from get3d.storage import load_tensors
from get3d.training.checkpoint import checkpoints_in, shown_of
from get3d.training.config import prepare_run
from get3d.training.loop import start, train, train_step
from get3d.training.objective import discriminator_loss, gradient_penalty
from get3d.training.update import update

QUIET = Console(file=io.StringIO(), width=500)

RUN = """
import sys
sys.path[:0] = {path!r}
from pathlib import Path
import tiny, torch
from rich.console import Console
from get3d.training.loop import train
torch.set_num_threads(1)
train(tiny.run_config(Path({data!r}), Path({out!r}), **{changes!r}), Console(width=500))
"""


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return tiny.write_dataset(tmp_path_factory.mktemp("data") / "discs")


@pytest.fixture(scope="module")
def run(data, tmp_path_factory):
    """An undisturbed run."""
    out = tmp_path_factory.mktemp("runs") / "whole"
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    train(tiny.run_config(data, out), QUIET)
    torch.set_num_threads(threads)
    return out


def _launch(data, out, **changes):
    path = [str(folder) for folder in sys.path if folder]
    code = RUN.format(path=path, data=str(data), out=str(out), changes=changes)
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    return subprocess.Popen(
        [sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=environment
    )


def _values(out):
    """The lines of stats.jsonl without what depends on the clock."""
    lines = [json.loads(line) for line in (out / "stats.jsonl").read_text().splitlines()]
    return [{key: value for key, value in line.items() if key != "images_per_second"} for line in lines]


def test_a_run_leaves_all_it_should(run):
    lines = _values(run)
    assert [line["cur_nimg"] for line in lines] == [8, 16, 20, 24, 32, 40]
    assert {"loss/generator", "loss/discriminator", "surface/sdf", "logits/mask_real"} <= lines[0].keys()
    assert {"swd", "swd_rgb", "swd_mask"} <= lines[2].keys()
    assert all(isinstance(value, int | float) and value == value for line in lines for value in line.values())
    for name in ("reals.png", "fakes-000000.02.png", "fakes-000000.04.png"):
        with Image.open(run / name) as image:
            assert image.size[0] == 8 * 16
    assert [path.name for path in checkpoints_in(run / "checkpoints")] == [
        "checkpoint-000000000040.safetensors",
        "checkpoint-000000000020.safetensors",
    ]
    assert json.loads((run / "config.json").read_text())["generator"]["cameras"]["polar"] == [60.0, 90.0]
    assert any((run / "tensorboard").iterdir())


def test_the_folder_of_a_run_is_a_model(run):
    generator = load(run)
    weights = load_tensors(checkpoints_in(run / "checkpoints")[0]).tensors
    name = "mapping_geometry.layers.0.weight"
    assert torch.equal(generator.state_dict()[name], weights["generator_ema." + name])
    assert not torch.equal(generator.state_dict()[name], weights["generator." + name])
    assert generator.config.grid_size == pytest.approx(0.7)


@pytest.mark.slow
@pytest.mark.parametrize("moment", [0.3, 0.8])
def test_a_killed_run_goes_on_as_if_it_had_not_been(data, run, tmp_path, moment):
    out = tmp_path / "killed"
    process = _launch(data, out)
    expected = _values(run)
    stats = out / "stats.jsonl"
    deadline = time.monotonic() + 120
    # The kill comes after a share of the run's lines, wherever that is within a step, a checkpoint or a write.
    while process.poll() is None and time.monotonic() < deadline:
        if stats.exists() and len(stats.read_text().splitlines()) >= moment * len(expected):
            break
        time.sleep(0.002)
    process.kill()
    process.communicate()
    finished = _launch(data, out)
    said, _ = finished.communicate(timeout=200)
    assert finished.returncode == 0, said
    assert _values(out) == expected
    mine, theirs = (load_tensors(checkpoints_in(folder / "checkpoints")[0]).tensors for folder in (out, run))
    assert mine.keys() == theirs.keys()
    for key, tensor in theirs.items():
        assert torch.equal(mine[key], tensor), key


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_stopped_run_finishes_its_step_and_says_how_to_go_on(data, run, tmp_path, number):
    out = tmp_path / "stopped"
    process = _launch(data, out)
    while not (out / "stats.jsonl").exists():
        assert process.poll() is None
        time.sleep(0.002)
    process.send_signal(number)
    said, _ = process.communicate(timeout=200)
    # A program that Ctrl-C stops ends as the signal has it; schedulers, which send SIGTERM, want to see no error.
    assert process.returncode == (0 if number == signal.SIGTERM else -signal.SIGINT), said
    assert "repeat the command to resume" in said
    assert checkpoints_in(out / "checkpoints")
    again = _launch(data, out)
    said, _ = again.communicate(timeout=200)
    assert again.returncode == 0, said
    assert "resumes at" in said
    assert [line["cur_nimg"] for line in _values(out)] == [line["cur_nimg"] for line in _values(run)]
    for mine, theirs in zip(_values(out), _values(run), strict=True):
        assert mine == pytest.approx(theirs, rel=1e-5)


@pytest.mark.slow
def test_a_checkpoint_is_written_when_the_last_is_too_old(data, run, tmp_path):
    """Here after every step; nothing else is different."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    train(tiny.run_config(data, tmp_path, checkpoint_minutes=0.0, keep=9), QUIET)
    torch.set_num_threads(threads)
    assert [shown_of(path) for path in checkpoints_in(tmp_path / "checkpoints")] == list(range(40, 4, -4))
    assert _values(tmp_path) == _values(run)


def test_a_finished_run_has_nothing_left_to_do(data, run):
    before = (run / "stats.jsonl").read_bytes()
    train(tiny.run_config(data, run), QUIET)
    assert (run / "stats.jsonl").read_bytes() == before


def test_a_gradient_that_is_not_finite_is_skipped_then_named(data, tmp_path):
    config = tiny.run_config(data, tmp_path, max_nonfinite_steps=3)
    state = start(config)
    images = torch.randint(0, 256, (4, 4, 16, 16), dtype=torch.uint8, generator=tiny.seeded())
    angles = torch.ones(4, 2)
    before = {name: tensor.clone() for name, tensor in state.discriminator.state_dict().items()}
    with torch.no_grad():
        state.discriminator.rgb.out.bias[0] = float("nan")
    for _ in range(2):
        train_step(state, Batch(images, angles), config)
    assert state.nonfinite_steps == 2
    # What was not finite must not be added to the next step's gradient.
    assert all(parameter.grad is None for parameter in state.generator.parameters())
    for name, tensor in state.discriminator.state_dict().items():
        if name != "rgb.out.bias":
            assert torch.equal(tensor, before[name])
    with pytest.raises(FloatingPointError, match=r"gradient of discriminator\.rgb.*3 steps in a row"):
        train_step(state, Batch(images, angles), config)


@pytest.mark.slow
def test_the_generator_learns_where_the_discriminator_leads(data, tmp_path):
    """With a discriminator that likes large masks, masks grow: the gradient passes all the way."""
    config = tiny.run_config(data, tmp_path)
    state = start(config)
    latents = state.generator.sample_latents(8, 0)
    cameras = Cameras.sample(config.generator.cameras, 8, tiny.seeded())
    optimizer = torch.optim.Adam(state.generator.parameters(), lr=0.01)
    masks = []
    for _ in range(20):
        images = state.generator.shapes(state.generator.styles(latents)).draw(cameras, 16)
        masks.append(images.mask.mean())
        (-masks[-1]).backward()
        optimizer.step()
        optimizer.zero_grad()
    assert masks[-1] > masks[0] + 0.1


def test_mixing_takes_later_layers_from_the_second():
    first = Styles(torch.zeros(3, 6, 2), torch.zeros(3, 4, 2))
    second = Styles(torch.ones(3, 6, 2), torch.ones(3, 4, 2))
    mixed = mix(first, second, torch.tensor([[1.0, 0.0], [0.0, 1.0], [0.5, 0.5]]))
    assert mixed.geometry[:, :, 0].sum(1).tolist() == [0, 5, 3]
    assert mixed.texture[:, :, 0].sum(1).tolist() == [3, 0, 2]
    assert mixed.geometry[2, :, 0].tolist() == [0, 0, 0, 1, 1, 1]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"batch": 3}, r"--batch is 3; it must be a multiple of --discriminator.group, 2"),
        ({"batch": 0}, r"--batch is 0"),
        ({"resolution": 24}, r"--resolution is 24; it must be a power of two"),
        ({"resolution": 32}, r"images are 16², requested is 32².*use --resolution 16 or"),
        ({"kimg": 0.0}, r"--kimg is 0"),
        ({"grid_size": 0.3}, r"--grid-size is 0.3"),
        ({"device": "warp9"}, r"--device is warp9"),
    ],
)
def test_settings_that_cannot_be_are_refused_before_any_work(data, tmp_path, changes, message):
    config = tiny.run_config(data, tmp_path / "out")
    with pytest.raises(InputError, match=message):
        train(replace(config, **changes), QUIET)
    assert not (tmp_path / "out" / "stats.jsonl").exists()


def test_a_missing_dataset_is_named(tmp_path):
    with pytest.raises(InputError, match="nowhere"):
        train(tiny.run_config(tmp_path / "nowhere", tmp_path / "out"), QUIET)


def test_a_new_run_starts_from_the_networks_of_another(data, run, tmp_path):
    config = prepare_run(tiny.run_config(data, tmp_path / "new", init_from=run, generator=GeneratorConfig())).config
    assert config.generator.grid_resolution == tiny.GENERATOR.grid_resolution
    state = start(config)
    stored = load_tensors(checkpoints_in(run / "checkpoints")[0]).tensors
    for name, tensor in state.discriminator.state_dict().items():
        assert torch.equal(tensor, stored["discriminator." + name])
    for name, tensor in state.generator_ema.state_dict().items():
        assert torch.equal(tensor, stored["generator_ema." + name])
    assert state.cur_nimg == 0


def test_a_new_run_without_a_warmup_starts_from_no_lone_generator(data, run, tmp_path):
    release(ReleaseConfig(str(run), tmp_path / "lone", "chairs", "CC0-1.0"), QUIET)
    with pytest.raises(InputError, match=r"lone.model.safetensors: contains only a generator.*give --warmup-kimg"):
        prepare_run(tiny.run_config(data, tmp_path / "new", init_from=tmp_path / "lone"))


def test_a_disk_that_fills_up_leaves_the_last_checkpoint(data, run, tmp_path, monkeypatch):
    import errno

    from get3d import storage

    out = tmp_path / "full"
    real, calls = storage.save_file, []

    def full_the_second_time(*arguments, **options):
        calls.append(1)
        if len(calls) == 2:
            raise OSError(errno.ENOSPC, "No space left on device")
        real(*arguments, **options)

    monkeypatch.setattr(storage, "save_file", full_the_second_time)
    with pytest.raises(InputError, match="No space left on device"):
        train(tiny.run_config(data, out, checkpoint_minutes=0.0, kimg=8.0), QUIET)
    assert [path.name for path in checkpoints_in(out / "checkpoints")] == ["checkpoint-000000000004.safetensors"]
    load_tensors(checkpoints_in(out / "checkpoints")[0])


def test_published_files_of_splits_say_what_is_learnt_from(data, tmp_path):
    members = {"train": ["001", "003"], "val": ["000"], "test": ["002"]}
    for split, names in members.items():
        (tmp_path / f"{split}.txt").write_text("\n".join(names) + "\n")
    found = prepare_run(tiny.run_config(data, tmp_path / "run", splits=tmp_path))
    for images, split in ((found.images, "train"), (found.held_out, "val")):
        expected = torch.cat([_angles_of(data, name) for name in members[split]])
        torch.testing.assert_close(images.angles, expected, atol=1e-5, rtol=0)


def _angles_of(data, name):
    """Azimuth and polar angle of an object's images, in radians, as the table has them."""
    rows = [line.split(",") for line in (data / "cameras.csv").read_text().splitlines()[1:]]
    return torch.deg2rad(torch.tensor([[float(v) for v in row[1:3]] for row in rows if row[0].startswith(name)]))


@pytest.mark.slow
def test_a_finished_run_says_so_and_what_it_wrote_and_again_that_it_is_finished(data, tmp_path):
    said = io.StringIO()
    out = tmp_path / "a[/b]"
    for _ in range(2):
        train(tiny.run_config(data, out), Console(file=said, width=500, markup=False))
    lines = said.getvalue().splitlines()
    total = tiny.run_config(data, out).kimg
    (finished,) = [line for line in lines if "finished at" in line]
    assert finished.startswith(f"{out}: finished at {total:g} kimg: checkpoints/")
    assert lines[-1] == f"{out}: already finished, at {total:g} kimg; a larger --kimg continues"


@pytest.mark.parametrize("nimg", [0, 4])
def test_terms_one_after_the_other_have_the_gradient_of_their_sum(data, tmp_path, monkeypatch, nimg):
    config = tiny.run_config(data, tmp_path)
    batch = Batch(torch.randint(0, 256, (4, 4, 16, 16), generator=tiny.seeded()).to(torch.uint8), torch.ones(4, 2))
    state = start(config)
    state.cur_nimg = nimg
    found, seen = [], []
    network = state.discriminator
    network.register_forward_hook(lambda module, inputs, output: seen.append(inputs))

    def kept(moved, optimizer, name):
        if name == "discriminator":
            found.extend(parameter.grad.clone() for parameter in moved.parameters())
        return update(moved, optimizer, name)

    monkeypatch.setattr("get3d.training.loop.update", kept)
    before = copy.deepcopy(network)
    train_step(state, batch, config)
    fakes, fake_angles, _ = seen[0]
    images = to_network(batch.images).requires_grad_()
    real = before(images, batch.angles)
    loss = discriminator_loss(real, before(fakes, fake_angles))
    if nimg == 0:
        penalty = gradient_penalty(real.rgb + real.mask, images)
        loss = loss + 0.5 * config.objective.r1_gamma * config.objective.r1_interval * penalty
        torch.testing.assert_close(state.sums["loss/r1"][0], penalty.detach().double())
    loss.backward()
    for mine, parameter in zip(found, before.parameters(), strict=True):
        scale = float(parameter.grad.abs().max())
        torch.testing.assert_close(mine, parameter.grad, rtol=1e-4, atol=1e-5 * scale)
