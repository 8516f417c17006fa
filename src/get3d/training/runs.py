"""The runs of a folder in a table: progress, speed, metrics and state."""

import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

from rich.console import Console
from rich.table import Table

from get3d.console import print_json
from get3d.evaluation.metric_table import METRICS
from get3d.files import InputError, parse_json
from get3d.training.checkpoint import checkpoints_in, shown_of
from get3d.training.folder import read_config
from get3d.training.monitor import HEARTBEAT
from get3d.training.run_config import RunsConfig

__all__ = ["RunsConfig", "Status", "list_runs", "status"]

_SILENT = 600.0
"""Seconds without a heartbeat after which a run is taken for ended: longer than most steps and snapshots."""


@dataclass(frozen=True)
class Status:
    """The status of a run.

    Attributes:
        name: of its folder.
        state: "running" while its heartbeat is recent, "finished" if its last checkpoint is the end.
        cur_nimg: real images shown at the last line of the statistics.
        total: length of the run in real images.
        speed: images a second, at that line.
        metrics: as last measured, by name.
        checkpoint: images shown at the last checkpoint; None before the first.
    """

    name: str
    state: Literal["running", "stopped", "finished"]
    cur_nimg: int
    total: int
    speed: float
    metrics: dict[str, float]
    checkpoint: int | None


def list_runs(config: RunsConfig, console: Console) -> None:
    """Prints a table of the runs in a folder, or JSON.

    Raises:
        InputError: there are none.
    """
    found = sorted(
        path.parent for path in config.folder.rglob("config.json") if (path.parent / "stats.jsonl").is_file()
    )
    if not found:
        raise InputError(
            f"{config.folder}: holds no run; give the folder that `get3d train --out` writes to, or its parent"
        )
    names = [folder.name if folder == config.folder else str(folder.relative_to(config.folder)) for folder in found]
    rows = {name: _status(folder, name) for folder, name in zip(found, names, strict=True)}
    if config.json:
        print_json(console, {"runs": [_as_json(name, row) for name, row in rows.items()]})
        return
    table = Table("run", "state", box=None)
    for title in ("kimg", "of", "img/s", "checkpoint"):
        table.add_column(title, justify="right")
    table.add_column("metrics")
    for name, row in rows.items():
        if isinstance(row, InputError):
            table.add_row(name, "unreadable", *["–"] * 4, str(row))
            continue
        table.add_row(
            row.name,
            row.state,
            f"{row.cur_nimg / 1000:.2f}",
            f"{row.total / 1000:g}",
            f"{row.speed:.1f}",
            "–" if row.checkpoint is None else f"{row.checkpoint / 1000:.2f}",
            "  ".join(f"{name} {value:.3g}" for name, value in row.metrics.items()),
        )
    console.print(table, markup=False)


def _status(folder: Path, name: str) -> Status | InputError:
    """One run that was damaged, or is of another version, does not hide the others."""
    try:
        return status(folder, name)
    except InputError as error:
        return error


def _as_json(name: str, row: Status | InputError) -> dict[str, Any]:
    return {"name": name, "state": "unreadable", "problem": str(row)} if isinstance(row, InputError) else asdict(row)


def status(folder: Path, name: str) -> Status:
    """The status of the run in a folder.

    Args:
        folder: the run's.
        name: what to call it.

    Raises:
        InputError: its configuration or its statistics cannot be read.
    """
    total = round(read_config(folder)["kimg"] * 1000)
    lines = _lines(folder / "stats.jsonl")
    paths = checkpoints_in(folder / "checkpoints")
    checkpoint = shown_of(paths[0]) if paths else None
    last: dict[str, Any] = lines[-1] if lines else {"cur_nimg": 0, "images_per_second": 0.0}
    measured = [{key: line[key] for key in line if key in METRICS} for line in lines]
    if checkpoint is not None and checkpoint >= total:
        state: Literal["running", "stopped", "finished"] = "finished"
    else:
        state = "running" if _beats(folder / HEARTBEAT) else "stopped"
    metrics: dict[str, float] = next((values for values in reversed(measured) if values), {})
    speed = float(last.get("images_per_second", 0.0))
    return Status(name, state, last["cur_nimg"], total, speed, metrics, checkpoint)


def _beats(heart: Path) -> bool:
    try:
        return time.time() - heart.stat().st_mtime < _SILENT
    except FileNotFoundError:
        return False


def _lines(stats: Path) -> list[dict[str, Any]]:
    """The whole lines; the last may just be being written."""
    lines = []
    try:
        text = stats.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{stats}: cannot be read ({error}); restore it, or remove the run") from error
    for number, line in enumerate(text.splitlines(), start=1):
        try:
            values = parse_json(line, stats)
        except InputError:
            break
        known = isinstance(values, dict) and isinstance(values.get("cur_nimg"), int)
        if not known or not all(isinstance(values.get(name, 0), int | float) for name in _shown_of(values)):
            raise InputError(f"{stats}: line {number} was not written by training; restore it, or remove the run")
        lines.append(values)
    return lines


def _shown_of(values: dict[str, Any]) -> list[str]:
    """The names of what the table shows of a line."""
    return ["images_per_second", *(name for name in values if name.startswith(("metrics/", "swd/")))]
