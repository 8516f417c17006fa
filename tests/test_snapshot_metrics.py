"""Metrics while training: the numbers of the functions themselves, and the best checkpoint by the first of them."""

import hashlib
import io
import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from rich.console import Console

import datasets
import tiny
from get3d.checkpoints.model import load
from get3d.evaluation.drawing import Sampling
from get3d.evaluation.metric_table import METRICS, Metric
from get3d.evaluation.report import EvaluateConfig, evaluate
from get3d.evaluation.shape_sets import Measures, generated_set, mesh_set
from get3d.evaluation.snapshot_metrics import SnapshotMetrics, default_metrics
from get3d.files import InputError
from get3d.generator import Generator
from get3d.metrics.feature_networks import NETWORKS
from get3d.metrics.features import FeatureNetwork, frechet_feature_distance
from get3d.metrics.point_clouds import chamfer_distance, coverage, minimum_matching_distance
from get3d.metrics.sliced_wasserstein import sliced_wasserstein_distance
from get3d.training.config import prepare_run
from get3d.training.loop import train
from get3d.training.runs import RunsConfig, list_runs

OBJECTS = 30
CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def data(tmp_path_factory) -> Path:
    return datasets.make_boxes(tmp_path_factory.mktemp("data"), OBJECTS)


def _images(seed: int, count: int = 6) -> torch.Tensor:
    return torch.rand(count, 4, 16, 16, generator=tiny.seeded(seed)) * 2 - 1


def _generator() -> Generator:
    torch.manual_seed(0)
    return Generator(tiny.GENERATOR).eval()


def test_images_and_masks_are_compared(data, tmp_path):
    real, drawn = _images(0), _images(1)
    found = SnapshotMetrics(("swd", "swd_rgb", "swd_mask"), real, data, None, 40, 0, tmp_path, CPU)(_generator(), drawn)
    expected = [sliced_wasserstein_distance(drawn[:, part], real[:, part]) for part in (slice(0, 3), slice(3, 4))]
    assert found.values == {"swd": sum(expected), "swd_rgb": expected[0], "swd_mask": expected[1]}
    assert found.badness == sum(expected)


def test_shapes_are_compared_with_those_of_held_out_objects(data, tmp_path):
    generator = _generator()
    held_out = json.loads((data / "dataset.json").read_text())["splits"]["val"]
    assert len(held_out) > 2
    found = SnapshotMetrics(("cov_cd", "mmd_cd"), _images(0), data, None, 2, 3, tmp_path, CPU)(generator, _images(1))
    measures = Measures(descriptors=False)
    shapes = generated_set(generator, 10, Sampling(3), measures, tmp_path / "own.npz", lambda done: None)
    real = mesh_set(data / "meshes", held_out[:2], measures, CPU, lambda done: None)
    distances = 1000 * chamfer_distance(shapes.points, real.points)
    assert found.values == {
        "cov_cd": coverage(distances),
        "mmd_cd": pytest.approx(minimum_matching_distance(distances)),
    }
    assert found.badness == -coverage(distances)


def test_fid_is_that_of_the_networks_features(data, tmp_path, monkeypatch):
    class StandIn(torch.nn.Module):
        def forward(self, images: torch.Tensor, return_features: bool = False) -> torch.Tensor:
            return images.float().mean(dim=(2, 3))

    path = tmp_path / "network.pt"
    with pytest.warns(DeprecationWarning):
        torch.jit.save(torch.jit.script(StandIn()), path)
    sha256 = hashlib.sha256(path.read_bytes()).hexdigest()
    kind = replace(NETWORKS["inception"], open=lambda: FeatureNetwork(path, sha256))
    monkeypatch.setitem(NETWORKS, "inception", kind)
    real, drawn = _images(0), _images(1)
    found = SnapshotMetrics(("fid", "kid"), real, data, None, 2, 0, tmp_path, CPU)(_generator(), drawn)
    means = [((part[:, :3] + 1) * 127.5).round().mean(dim=(2, 3)) for part in (drawn, real)]
    assert found.values["fid"] == pytest.approx(frechet_feature_distance(*means), rel=1e-4)
    assert found.values.keys() == {"fid", "kid"}
    assert found.badness == found.values["fid"]


def test_fid_comes_first_where_its_network_is(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setitem(NETWORKS, "efficientnet", replace(NETWORKS["efficientnet"], there=lambda: False))
    assert default_metrics() == ("swd", "swd_rgb", "swd_mask")
    (tmp_path / "get3d").mkdir()
    (tmp_path / "get3d" / "inception-2015-12-05.pt").touch()
    assert default_metrics() == ("fid", "swd", "swd_rgb", "swd_mask")
    monkeypatch.setitem(NETWORKS, "efficientnet", replace(NETWORKS["efficientnet"], there=lambda: True))
    assert default_metrics() == ("fid", "fed", "swd", "swd_rgb", "swd_mask")


@pytest.mark.slow
def test_the_best_checkpoint_is_the_best_by_the_first_metric(data, tmp_path):
    config = replace(
        tiny.run_config(data, tmp_path / "run", metrics=("mmd_cd", "swd"), metric_objects=2, keep=10),
        snapshot_kimg=0.008,
    )
    train(config, Console(file=io.StringIO()))
    lines = [json.loads(line) for line in (config.out / "stats.jsonl").read_text().splitlines()]
    measured = {line["cur_nimg"]: line["mmd_cd"] for line in lines if "mmd_cd" in line}
    assert len(measured) == 5
    assert len(set(measured.values())) > 1
    best = min(measured, key=measured.__getitem__)
    folder = config.out / "checkpoints"
    kept, expected = load(folder / "best.safetensors"), load(folder / f"checkpoint-{best:012d}.safetensors")
    assert all(torch.equal(a, b) for a, b in zip(kept.parameters(), expected.parameters(), strict=True))


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"metrics": ()}, "--metrics is empty"),
        ({"metrics": ("swd", "beauty")}, "--metrics names beauty, which is not a metric; choose from swd, swd_rgb"),
        ({"metrics": ("variety_cd",)}, "--metrics begins with variety_cd, which has no best value"),
        ({"metric_objects": 1}, "--metric-objects is 1"),
        ({"metric_images": 0}, "--metric-images is 0"),
    ],
)
def test_wrong_settings_are_refused(data, tmp_path, change, said):
    with pytest.raises(InputError, match=said):
        prepare_run(tiny.run_config(data, tmp_path / "run", **change))


def test_what_a_metric_needs_must_be_there(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    bare = datasets.make_dataset(tmp_path / "bare")
    with pytest.raises(InputError, match="no such mesh"):
        train(tiny.run_config(bare, tmp_path / "run", metrics=("cov_lfd",)), Console(quiet=True))
    with pytest.raises(InputError, match="no Inception network"):
        train(tiny.run_config(bare, tmp_path / "run", metrics=("fid",)), Console(quiet=True))
    assert not (tmp_path / "run" / "stats.jsonl").exists()


def test_a_snapshot_of_empty_shapes_says_so_and_is_not_the_best(data, tmp_path):
    generator = _generator()
    with torch.no_grad():
        generator.synthesis.sdf_head.layers[-1].bias -= 1000
    names = ("mmd_cd", "empty", "watertight", "cov_cd", "train_cd", "texture_used", "faces")
    found = SnapshotMetrics(names, _images(0), data, None, 2, 0, tmp_path, CPU)(generator, _images(1))
    assert found.values == {"empty": 100, "watertight": 0, "cov_cd": 0}
    assert found.badness is None


def test_a_new_metric_is_one_row(data, tmp_path, monkeypatch):
    """A row of the table is seen in snapshots, in the table of runs, in reports and on their page."""
    row = Metric(
        name="brightness",
        title="Brightness",
        better="real",
        group="Images",
        text="How bright the brightest pixel is.",
        needs=("images",),
        compute=lambda found: found.images.generated[:, :3].max().item(),
    )
    monkeypatch.setitem(METRICS, row.name, row)
    config = tiny.run_config(data, tmp_path / "run", metrics=("swd", "brightness"), kimg=0.02)
    train(config, Console(quiet=True))
    lines = [json.loads(line) for line in (config.out / "stats.jsonl").read_text().splitlines()]
    measured = next(line["brightness"] for line in lines if "brightness" in line)
    said = io.StringIO()
    list_runs(RunsConfig(tmp_path), Console(file=said, width=200))
    assert f"brightness {measured:.3g}" in said.getvalue()

    monkeypatch.setitem(NETWORKS, "efficientnet", replace(NETWORKS["efficientnet"], there=lambda: False))
    wanted = EvaluateConfig(
        (str(config.out),), data, tmp_path / "report", shapes=False, images=4, textures=0, device="cpu"
    )
    evaluate(wanted, Console(quiet=True))
    report = json.loads((wanted.out / "report.json").read_text())
    assert report["models"][0]["metrics"]["brightness"]["value"] > 0
    assert report["real"]["brightness"]["value"] > 0
    page = (wanted.out / "report.html").read_text(encoding="utf-8")
    assert "Brightness → real" in page
    assert "How bright the brightest pixel is." in page


def test_the_docs_list_every_metric_with_its_needs():
    text = (Path(__file__).parent.parent / "docs/evaluation.md").read_text(encoding="utf-8")
    listed = [line for line in text.splitlines() if line.startswith("| `")]
    assert [line.split("`")[1] for line in listed] == list(METRICS)
    for line, row in zip(listed, METRICS.values(), strict=True):
        assert line.endswith(f"| {', '.join(row.needs)} |")
