"""Experiment trackers: always TensorBoard, optionally Weights & Biases and MLflow.

A resumed run continues its tracked run, whose name is stored in the folder of the run.
"""

import importlib
import importlib.util
import os
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Protocol, runtime_checkable
from uuid import uuid4

import numpy as np
from PIL import Image

from get3d.files import InputError, read_json, write_json
from get3d.training.run_config import TrackerName

__all__ = [
    "MLflow",
    "TensorBoard",
    "Tracker",
    "TrackerError",
    "TrackerName",
    "Wandb",
    "open_trackers",
    "require_trackers",
]


PROJECT = "get3d"
"""The W&B project and the MLflow experiment, where the environment names no other."""

IDENTITIES = "trackers.json"
"""The file of a run that says which tracked runs are its own."""


class TrackerError(RuntimeError):
    """A tracker could not take what it was given; the run itself is none the worse."""


@runtime_checkable
class Tracker(Protocol):
    """Receives the results of a run. `cur_nimg` is the number of real images shown so far."""

    def scalars(self, values: Mapping[str, float], cur_nimg: int) -> None:
        """The statistics of a tick, by name.

        Raises:
            TrackerError: they could not be taken.
        """

    def images(self, name: str, sheet: Image.Image, cur_nimg: int) -> None:
        """A sheet of images.

        Raises:
            TrackerError: it could not be taken.
        """

    def close(self, *, failed: bool) -> None:
        """The end, for now.

        Args:
            failed: by an error.

        Raises:
            TrackerError: it could not be taken.
        """


class TensorBoard:
    """Curves and images in the folder `tensorboard` of a run.

    Args:
        folder: the run's.
        cur_nimg: where the run starts or resumes; later data are hidden.
    """

    def __init__(self, folder: Path, cur_nimg: int) -> None:
        # SummaryWriter's module takes a second to import; commands that do not train should not wait for it.
        from torch.utils.tensorboard.writer import SummaryWriter

        self._writer = SummaryWriter(str(folder / "tensorboard"), purge_step=cur_nimg)

    @contextmanager
    def _telling(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise TrackerError(f"TensorBoard: {error.strerror}") from error

    def scalars(self, values: Mapping[str, float], cur_nimg: int) -> None:
        """See `Tracker`."""
        with self._telling():
            for name, value in values.items():
                self._writer.add_scalar(name, value, cur_nimg)

    def images(self, name: str, sheet: Image.Image, cur_nimg: int) -> None:
        """See `Tracker`."""
        with self._telling():
            self._writer.add_image(name, np.asarray(sheet), cur_nimg, dataformats="HWC")

    def close(self, *, failed: bool) -> None:
        """See `Tracker`."""
        with self._telling():
            self._writer.close()


class Wandb:
    """A run of Weights & Biases; WANDB_MODE, WANDB_PROJECT and its other variables count.

    Args:
        folder: the run's; names it, and holds what is not sent.
        config: the run's configuration.

    Raises:
        TrackerError: it cannot be begun.
    """

    def __init__(self, folder: Path, config: dict[str, Any]) -> None:
        self._wandb = importlib.import_module("wandb")
        identity = _identity(folder, "wandb", lambda: uuid4().hex)
        with self._telling():
            self._run = self._wandb.init(
                project=os.environ.get("WANDB_PROJECT", PROJECT),
                name=folder.resolve().name,
                id=identity,
                resume="allow",
                dir=str(folder),
                config=config,
                allow_val_change=True,
            )
            # A run that goes on repeats some of its steps, which W&B's own count does not allow.
            self._run.define_metric("cur_nimg", hidden=True)
            self._run.define_metric("*", step_metric="cur_nimg")

    @contextmanager
    def _telling(self) -> Iterator[None]:
        try:
            yield
        except self._wandb.Error as error:
            raise TrackerError(f"wandb: {error}") from error

    def scalars(self, values: Mapping[str, float], cur_nimg: int) -> None:
        """See `Tracker`."""
        with self._telling():
            self._run.log({**values, "cur_nimg": cur_nimg})

    def images(self, name: str, sheet: Image.Image, cur_nimg: int) -> None:
        """See `Tracker`."""
        with self._telling():
            self._run.log({name: self._wandb.Image(sheet), "cur_nimg": cur_nimg})

    def close(self, *, failed: bool) -> None:
        """See `Tracker`."""
        with self._telling():
            self._run.finish(exit_code=int(failed))


class MLflow:
    """A run of MLflow; MLFLOW_TRACKING_URI, MLFLOW_EXPERIMENT_NAME and its other variables count.

    Args:
        folder: the run's; names it.
        config: the configuration: parameters at the start of the run, and `config.json` when it resumes.

    Raises:
        TrackerError: it cannot be begun.
    """

    def __init__(self, folder: Path, config: dict[str, Any]) -> None:
        self._mlflow = importlib.import_module("mlflow")
        with self._telling():
            self._client = self._mlflow.MlflowClient()
            self._run = _identity(folder, "mlflow", lambda: self._begun(folder.resolve().name, config))
            self._client.update_run(self._run, status="RUNNING")
            self._client.log_dict(self._run, config, "config.json")

    def _begun(self, name: str, config: dict[str, Any]) -> str:
        title = os.environ.get("MLFLOW_EXPERIMENT_NAME", PROJECT)
        experiment = self._client.get_experiment_by_name(title)
        number = experiment.experiment_id if experiment else self._client.create_experiment(title)
        run: str = self._client.create_run(number, run_name=name).info.run_id
        param = self._mlflow.entities.Param
        self._client.log_batch(run, params=[param(key, str(value)) for key, value in _leaves(config).items()])
        return run

    @contextmanager
    def _telling(self) -> Iterator[None]:
        try:
            yield
        except self._mlflow.exceptions.MlflowException as error:
            raise TrackerError(f"mlflow: {str(error).splitlines()[0]}") from error

    def scalars(self, values: Mapping[str, float], cur_nimg: int) -> None:
        """See `Tracker`."""
        now, metric = int(1000 * time.time()), self._mlflow.entities.Metric
        with self._telling():
            metrics = [metric(name, value, now, cur_nimg) for name, value in values.items()]
            self._client.log_batch(self._run, metrics=metrics)

    def images(self, name: str, sheet: Image.Image, cur_nimg: int) -> None:
        """See `Tracker`."""
        with self._telling():
            self._client.log_image(self._run, sheet, key=name, step=cur_nimg)

    def close(self, *, failed: bool) -> None:
        """See `Tracker`."""
        with self._telling():
            self._client.set_terminated(self._run, "FAILED" if failed else "FINISHED")


_TRACKERS: dict[TrackerName, type[Wandb] | type[MLflow]] = {"wandb": Wandb, "mlflow": MLflow}


def require_trackers(names: Sequence[TrackerName]) -> None:
    """Checks that the packages of trackers are installed, without importing them.

    Raises:
        InputError: one is not.
    """
    for name in names:
        found = importlib.util.find_spec(name)
        # A mere folder of that name, as W&B leaves where it ran, is found too.
        if found is None or found.origin is None:
            raise InputError(f"--trackers {name} needs a package that is not installed; pip install 'get3d[{name}]'")


def open_trackers(names: Sequence[TrackerName], folder: Path, config: dict[str, Any]) -> list[Tracker]:
    """Starts or resumes the tracked runs of a run.

    Args:
        names: of the trackers; their packages must be there.
        folder: the run's.
        config: its configuration.

    Raises:
        InputError: one cannot be begun.
    """
    made: list[Tracker] = []
    for name in names:
        try:
            made.append(_TRACKERS[name](folder, config))
        except TrackerError as error:
            raise InputError(
                f"--trackers {error}; check its address and login, leave it out, or remove {folder / IDENTITIES} "
                "to start a new tracked run"
            ) from error
    return made


def _identity(folder: Path, name: TrackerName, begin: Callable[[], str]) -> str:
    """What names the tracked run of a run; begins one where there is none yet."""
    path = folder / IDENTITIES
    known = read_json(path) if path.exists() else {}
    if name not in known:
        known[name] = begin()
        write_json(path, known)
    return str(known[name])


def _leaves(config: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """The settings of a configuration by the option that sets them."""
    leaves: dict[str, Any] = {}
    for key, value in config.items():
        inner = isinstance(value, Mapping)
        leaves |= _leaves(value, f"{prefix}{key}.") if inner else {prefix + key: value}
    return leaves
