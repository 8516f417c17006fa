"""Those who follow a run get what it writes: real clients of W&B, offline, and MLflow, with a store in a file."""

import io
import json
import struct
from importlib import util
from importlib.machinery import ModuleSpec
from pathlib import Path

import pytest
import torch
from PIL import Image
from rich.console import Console

import tiny
from get3d.files import InputError
from get3d.training.config import prepare_run
from get3d.training.loop import train
from get3d.training.monitor import Monitor
from get3d.training.trackers import open_trackers

pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("ignore::DeprecationWarning")]


@pytest.fixture
def store(tmp_path, monkeypatch):
    """Where the clients write, and nothing leaves the machine."""
    monkeypatch.setenv("WANDB_MODE", "offline")
    monkeypatch.setenv("WANDB_SILENT", "true")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path}/mlflow.db")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def _sent(folder):
    """The records of a run's W&B files, one file a start."""
    from wandb.proto.wandb_internal_pb2 import Record

    for path in sorted(folder.glob("wandb/offline-run-*/*.wandb")):
        found = []
        for content in _log(path.read_bytes()):
            record = Record()
            record.ParseFromString(content)
            found.append(record)
        yield path, found


def _log(content):
    """The entries of a file in LevelDB's log format, after W&B's own seven bytes."""
    at, entry = 7, b""
    while at + 7 <= len(content):
        if 32768 - at % 32768 < 7:
            at += 32768 - at % 32768
            continue
        _, length, kind = struct.unpack("<IHB", content[at : at + 7])
        entry += content[at + 7 : at + 7 + length]
        at += 7 + length
        if kind in (1, 4):
            yield entry
            entry = b""


def _items(items):
    return {"/".join(item.nested_key) or item.key: json.loads(item.value_json) for item in items}


def test_a_run_and_its_going_on_are_one_tracked_run(store):
    from mlflow import MlflowClient

    data, out = tiny.write_dataset(store / "data"), store / "run"
    for kimg in (0.016, 0.024):
        config = tiny.run_config(data, out, kimg=kimg, snapshot_kimg=0.016, trackers=("wandb", "mlflow"))
        train(config, Console(file=io.StringIO(), width=500))
    lines = [json.loads(line) for line in (out / "stats.jsonl").read_text().splitlines()]
    names = json.loads((out / "trackers.json").read_text())

    starts = list(_sent(out))
    assert len(starts) == 2
    logged = []
    for path, records in starts:
        begun = next(record.run for record in records if record.WhichOneof("record_type") == "run")
        assert (begun.run_id, begun.project, begun.display_name) == (names["wandb"], "get3d", "run")
        settings = {item.key: json.loads(item.value_json) for item in begun.config.update}
        assert settings["batch"] == 4
        assert settings["generator"]["z_dim"] == 8
        ends = [record.exit.exit_code for record in records if record.WhichOneof("record_type") == "exit"]
        assert ends == [0]
        logged += [_items(record.history.item) for record in records if record.WhichOneof("record_type") == "history"]
        with Image.open(next((path.parent / "files").rglob("fakes*.png"))) as image:
            assert image.width == 8 * 16
    ticks = [entry for entry in logged if "loss/generator" in entry]
    assert [entry["cur_nimg"] for entry in ticks] == [line["cur_nimg"] for line in lines]
    assert [entry["swd_rgb"] for entry in ticks if "swd_rgb" in entry] == [
        line["swd_rgb"] for line in lines if "swd_rgb" in line
    ]

    client, name = MlflowClient(), names["mlflow"]
    run = client.get_run(name)
    assert client.get_experiment(run.info.experiment_id).name == "get3d"
    assert len(client.search_runs([run.info.experiment_id])) == 1
    assert (run.info.run_name, run.info.status) == ("run", "FINISHED")
    assert run.data.params["generator.z_dim"] == "8"
    assert run.data.params["kimg"] == "0.016"
    for key in ("loss/generator", "surface/empty"):
        history = {metric.step: metric.value for metric in client.get_metric_history(name, key)}
        assert history == {line["cur_nimg"]: line[key] for line in lines}
    images = [Path(found.path).name for found in client.list_artifacts(name, "images")]
    assert {image.split("+")[0] for image in images} == {"reals", "fakes"}
    assert json.loads(Path(client.download_artifacts(name, "config.json")).read_text())["kimg"] == 0.024


def test_a_tracker_that_is_lost_is_said_and_the_run_goes_on(store):
    from mlflow import MlflowClient

    said = io.StringIO()
    trackers = open_trackers(("mlflow",), store, {"a": {"b": 1}})
    with Monitor(store, Console(file=said, width=500), cur_nimg=0, total=9000, trackers=trackers) as monitor:
        MlflowClient().delete_run(json.loads((store / "trackers.json").read_text())["mlflow"])
        monitor.write({"loss/generator": torch.tensor([4.0, 4.0])}, 5000)
    assert "training continues" in said.getvalue()
    assert len((store / "stats.jsonl").read_text().splitlines()) == 1
    with pytest.raises(InputError, match=r"--trackers mlflow: .*deleted.*trackers\.json"):
        open_trackers(("mlflow",), store, {})


def test_a_run_that_fails_is_one_that_failed(store):
    from mlflow import MlflowClient

    trackers = open_trackers(("wandb", "mlflow"), store, {})
    with (
        pytest.raises(FloatingPointError),
        Monitor(store, Console(quiet=True), cur_nimg=0, total=9000, trackers=trackers),
    ):
        raise FloatingPointError
    names = json.loads((store / "trackers.json").read_text())
    assert MlflowClient().get_run(names["mlflow"]).info.status == "FAILED"
    ((_, records),) = _sent(store)
    assert [record.exit.exit_code for record in records if record.WhichOneof("record_type") == "exit"] == [1]


@pytest.mark.parametrize(("name", "found"), [("wandb", None), ("mlflow", None), ("wandb", ModuleSpec("wandb", None))])
def test_a_package_that_is_missing_is_named_before_any_work(store, monkeypatch, name, found):
    """Also where a folder of its name lies about."""
    find = util.find_spec
    monkeypatch.setattr(util, "find_spec", lambda wanted, *rest: found if wanted == name else find(wanted, *rest))
    config = tiny.run_config(tiny.write_dataset(store / "data"), store / "run", trackers=(name,))
    with pytest.raises(InputError, match=rf"--trackers {name} needs .*; pip install 'get3d\[{name}\]'"):
        prepare_run(config)
    assert not (store / "run").exists()


def test_a_server_that_cannot_be_reached_is_named(store, monkeypatch):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:9")
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    with pytest.raises(InputError, match=r"--trackers mlflow: .*127\.0\.0\.1.*; check its address and login"):
        open_trackers(("mlflow",), store, {})
