"""`get3d train --dry-run` predicts what a run takes, and refuses what does not fit."""

import io
import json
from dataclasses import replace

import pytest
from rich.console import Console

import tiny
from get3d.files import InputError
from get3d.training import dry_run
from get3d.training.config import prepare_run
from get3d.training.dry_run import Needs, measure
from get3d.training.loop import start


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return tiny.write_dataset(tmp_path_factory.mktemp("data") / "discs", resolution=64, views=4)


def _config(data, out, **changes):
    discriminator = replace(tiny.DISCRIMINATOR, channel_base=2048, channel_max=32)
    return tiny.run_config(data, out, resolution=64, batch=32, discriminator=discriminator, **changes)


def _needs(by_image=10**9):
    return Needs({"generator": 10}, 32, 100, 2 * 10**9, by_image, 1000, 2.0)


@pytest.mark.slow
def test_the_predicted_peak_is_that_of_the_batch(data, tmp_path):
    # Both phases.
    run = prepare_run(_config(data, tmp_path, kimg=0.2, warmup_kimg=0.1))
    needs = measure(run)
    real = dry_run._in_process(run.config, 32).peak
    assert needs.images == 32
    assert needs.by_image > 0
    assert abs(needs.peak(32) - real) < 0.1 * real
    state = start(run.config)
    weights = sum(p.numel() for p in state.discriminator.parameters())
    assert needs.parameters["discriminator"] == weights


def test_the_report_has_the_settings_and_the_needs_and_nothing_is_written(data, tmp_path, monkeypatch):
    monkeypatch.setattr(dry_run, "measure", lambda run, world: _needs(1000))
    former = tmp_path / "former"
    config = _config(data, tmp_path / "run", dry_run=True)
    run = prepare_run(replace(config, dry_run=False))
    former.mkdir()
    (former / "config.json").write_text(json.dumps(run.description | {"format": 1}))
    (former / "stats.jsonl").write_text(json.dumps({"cur_nimg": 32, "images_per_second": 7.5}) + "\n")
    console = Console(file=io.StringIO(), width=200)
    dry_run.dry_run(config, console)
    text = console.file.getvalue()
    assert "--generator.grid-resolution 8\n" in text
    assert "--batch 32\n" in text
    assert "--processes 1\n" in text
    assert "--timeout 30.0\n" in text
    assert "images per second, as in" in text and "7.5" in text
    assert text.endswith("it fits\n")
    assert [path.name for path in tmp_path.rglob("*") if path.is_file() and former not in path.parents] == []


@pytest.mark.parametrize(
    ("free", "fix"), [(20, "use --grad-accum-steps 2$"), (7, "use --grad-accum-steps 8$"), (2, "smaller networks$")]
)
def test_what_does_not_fit_is_refused(data, tmp_path, monkeypatch, free, fix):
    monkeypatch.setattr(dry_run, "measure", lambda run, world: _needs())
    monkeypatch.setattr(dry_run, "free_memory", lambda device: free * 10**9)
    with pytest.raises(InputError, match=f"--batch 32 needs about 34.0 GB, and {free}.0 GB are free; .*{fix}"):
        dry_run.dry_run(_config(data, tmp_path), Console(quiet=True))


def test_not_even_small_batches_fit(data, tmp_path, monkeypatch):
    monkeypatch.setattr(dry_run, "RESERVE", 1.0)
    with pytest.raises(InputError, match=r"8 images of 64² at once do not fit|4 images of 64² at once do not fit"):
        measure(prepare_run(_config(data, tmp_path)))
