"""The runs of a folder in a table: how far each is, how fast, how good, and whether it still goes on."""

import json
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

from rich.console import Console
from rich.table import Table

from get3d.console import print_json
from get3d.files import InputError, read_json
from get3d.training.checkpoint import checkpoints_in, shown_of
from get3d.training.monitor import HEARTBEAT
from get3d.training.run_config import RunsConfig

__all__ = ["RunsConfig", "Status", "list_runs", "status"]

_SILENT = 600.0
"""Seconds without a heartbeat after which a run is taken for ended: longer than most steps and snapshots."""


@dataclass(frozen=True)
class Status:
    """How a run stands.

    Attributes:
        name: of its folder.
        state: "running" as long as its heart beats, "finished" when its last checkpoint is the end.
        shown: real pictures shown at the last line of the statistics.
        total: length of the run in real pictures.
        speed: pictures a second, at that line.
        metrics: as last measured, by name.
        checkpoint: pictures shown at the last checkpoint; None before the first.
    """

    name: str
    state: Literal["running", "stopped", "finished"]
    shown: int
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
    rows = [
        status(folder, folder.name if folder == config.folder else str(folder.relative_to(config.folder)))
        for folder in found
    ]
    if config.json:
        print_json(console, {"runs": [asdict(row) for row in rows]})
        return
    table = Table("run", "state", box=None)
    for title in ("kimg", "of", "img/s", "checkpoint"):
        table.add_column(title, justify="right")
    table.add_column("metrics")
    for row in rows:
        table.add_row(
            row.name,
            row.state,
            f"{row.shown / 1000:.2f}",
            f"{row.total / 1000:g}",
            f"{row.speed:.1f}",
            "–" if row.checkpoint is None else f"{row.checkpoint / 1000:.2f}",
            "  ".join(f"{name.removeprefix('metrics/')} {value:.3g}" for name, value in row.metrics.items()),
        )
    console.print(table)


def status(folder: Path, name: str) -> Status:
    """How the run in a folder stands.

    Args:
        folder: the run's.
        name: what to call it.

    Raises:
        InputError: its configuration cannot be read.
    """
    lines = _lines(folder / "stats.jsonl")
    total = round(read_json(folder / "config.json")["kimg"] * 1000)
    paths = checkpoints_in(folder / "checkpoints")
    checkpoint = shown_of(paths[0]) if paths else None
    last: dict[str, Any] = lines[-1] if lines else {"shown": 0, "images_per_second": 0.0}
    measured = [{key: line[key] for key in line if key.startswith(("metrics/", "swd/"))} for line in lines]
    if checkpoint is not None and checkpoint >= total:
        state: Literal["running", "stopped", "finished"] = "finished"
    else:
        state = "running" if _beats(folder / HEARTBEAT) else "stopped"
    metrics: dict[str, float] = next((values for values in reversed(measured) if values), {})
    return Status(name, state, last["shown"], total, last["images_per_second"], metrics, checkpoint)


def _beats(heart: Path) -> bool:
    try:
        return time.time() - heart.stat().st_mtime < _SILENT
    except FileNotFoundError:
        return False


def _lines(stats: Path) -> list[dict[str, Any]]:
    """The whole lines; the last may just be being written."""
    lines = []
    for line in stats.read_text(encoding="utf-8").splitlines():
        try:
            lines.append(json.loads(line))
        except ValueError:
            break
    return lines
