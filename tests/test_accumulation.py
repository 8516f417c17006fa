"""A batch that is played in parts is the same batch, in less memory."""

import io
from dataclasses import replace

import pytest
import torch
from rich.console import Console

import tiny
from get3d.datasets.loader import Batch
from get3d.files import InputError
from get3d.shapes import Shapes
from get3d.training.config import prepare_run
from get3d.training.loop import start, train, train_step
from ranks import Ranks, assert_same_course

STEPS = 5
"""R1 is taken in two of them."""


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return tiny.write_dataset(tmp_path_factory.mktemp("data") / "discs")


def _config(data, out, **changes):
    config = tiny.run_config(data, out, batch=8, kimg=0.008 * STEPS, snapshot_kimg=0.024, metric_images=6)
    return replace(config, **changes)


def _train(config):
    train(config, Console(file=io.StringIO(), width=500))
    return config.out


@pytest.fixture(scope="module")
def whole(data, tmp_path_factory):
    """A run whose batches are played at once."""
    return _train(_config(data, tmp_path_factory.mktemp("runs") / "whole"))


def test_a_batch_in_parts_follows_the_course_of_the_whole(data, whole, tmp_path):
    assert_same_course(_train(_config(data, tmp_path, grad_accum_steps=2)), whole, 1e-5)


@pytest.mark.slow
def test_cubes_in_parts_follow_the_course_of_the_whole(data, tmp_path):
    generator = replace(tiny.GENERATOR, isosurface="flexicubes")
    one, four = (_config(data, tmp_path / str(n), generator=generator, grad_accum_steps=n, kimg=0.032) for n in (1, 4))
    assert_same_course(_train(four), _train(one), 1e-5)


@pytest.mark.slow
def test_parts_of_processes_follow_the_course_of_the_whole(data, whole, tmp_path):
    ranks = Ranks([_config(data, tmp_path, grad_accum_steps=2)] * 2)
    said = ranks.end()
    assert [process.exitcode for process in ranks.processes] == [0, 0], said
    assert_same_course(tmp_path, whole, 1e-5)


def test_no_more_than_a_part_is_drawn_at_once_and_one_is_drawn_once(data, tmp_path, monkeypatch):
    drawn, draw = [], Shapes.draw

    def counted(self, cameras, resolution, **options):
        drawn.append((len(cameras), torch.is_grad_enabled()))
        return draw(self, cameras, resolution, **options)

    monkeypatch.setattr(Shapes, "draw", counted)
    images = torch.zeros(8, 4, 16, 16, dtype=torch.uint8)
    for parts, expected in ((1, [(8, True)]), (2, [(4, False), (4, True), (4, True)])):
        drawn.clear()
        config = _config(data, tmp_path, grad_accum_steps=parts)
        train_step(start(config), Batch(images, torch.ones(8, 2)), config)
        assert drawn == expected


@pytest.mark.parametrize(
    ("parts", "world", "message"),
    [
        (0, 1, r"--grad-accum-steps is 0; it must be at least 1"),
        (8, 1, r"--batch is 8; .*--discriminator.group, 2, in 8 micro-batches \(--grad-accum-steps\): 16"),
        (
            4,
            2,
            r"--batch is 8; .*group, 2, for each of 2 processes, in 4 micro-batches \(--grad-accum-steps\): 16",
        ),
    ],
)
def test_parts_that_a_batch_does_not_have_are_refused(data, tmp_path, parts, world, message):
    with pytest.raises(InputError, match=message):
        prepare_run(_config(data, tmp_path, grad_accum_steps=parts), world)
