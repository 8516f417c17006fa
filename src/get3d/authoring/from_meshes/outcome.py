"""The result for each model: `report.json`, and its table."""

from collections.abc import Iterable
from dataclasses import asdict, dataclass
from operator import attrgetter
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from get3d.assets.files import LIMITS
from get3d.authoring.from_meshes.config import RenderConfig, command_line
from get3d.console import counted
from get3d.files import InputError, contained, read_json, write_json

__all__ = ["Outcome", "done", "mesh_path", "note", "show"]

_SHOWN = 30


@dataclass(frozen=True)
class Outcome:
    """The result for a file.

    Attributes:
        file: path relative to the folder of models.
        object: its name in the dataset; empty if it is left out.
        reason: why it is left out; empty if it is not.
        faces: number of faces.
        scale: longest side.
        missing: referenced files that could not be read; the base colour replaces them.
    """

    file: str
    object: str = ""
    reason: str = ""
    faces: int = 0
    scale: float = 0.0
    missing: tuple[str, ...] = ()


def done(root: Path) -> list[Outcome]:
    """The results of an earlier run; if several processes were stopped, each has left a report."""
    known = []
    for path in [root / "report.json", *sorted(root.glob("report-*.json"))]:
        if not path.is_file():
            continue
        try:
            entries = read_json(path)["models"]
            known += [Outcome(**{**entry, "missing": tuple(entry["missing"])}) for entry in entries]
        except (KeyError, TypeError) as error:
            raise InputError(f"{path}: was not written by this command; choose another --out") from error
    return [outcome for outcome in known if outcome.object and mesh_path(root, outcome.object).is_file()]


def mesh_path(root: Path, name: str) -> Path:
    """Path of the mesh of an object; the file marks the object as complete."""
    return contained(root / "meshes", f"{name}.glb")


def note(root: Path, config: RenderConfig, outcomes: Iterable[Outcome], rank: int = 0) -> None:
    """Records results: all of them, or those of one of several processes."""
    ordered: list[dict[str, Any]] = [asdict(outcome) for outcome in sorted(outcomes, key=attrgetter("file"))]
    rendered = [entry for entry in ordered if entry["object"]]
    write_json(
        root / (f"report-{rank}.json" if rank else "report.json"),
        {
            "format": 1,
            "command": command_line(config),
            "limits": {**asdict(LIMITS), "faces": config.max_faces},
            "rendered": len(rendered),
            "with_missing_files": sum(bool(entry["missing"]) for entry in rendered),
            "left_out": len(ordered) - len(rendered),
            "models": ordered,
        },
    )


def show(outcomes: dict[str, Outcome], config: RenderConfig, console: Console) -> None:
    """Prints how many objects were rendered, and what is wrong with which file."""
    root = config.out
    rendered = [outcome for outcome in outcomes.values() if outcome.object]
    left = sorted((outcome.file, outcome.reason) for outcome in outcomes.values() if not outcome.object)
    lacking = sorted((outcome.file, outcome.missing) for outcome in rendered if outcome.missing)
    console.print(
        f"{root}: {counted(len(rendered), 'object')} rendered, {counted(len(left), 'file')} left out", highlight=False
    )
    smaller = sum(0 < outcome.scale < config.scale for outcome in rendered)
    if smaller:
        console.print(
            f"{counted(smaller, 'object')} made shorter than {config.scale}, to fit the images (--no-fit)",
            highlight=False,
        )
    if lacking:
        console.print(
            f"{counted(len(lacking), 'object')} drawn without something that is missing or not supported",
            highlight=False,
        )
    rows = [(file, reason) for file, reason in left]
    rows += [(file, f"rendered without: {', '.join(names)}") for file, names in lacking]
    if not rows:
        return
    table = Table("file", "what is wrong")
    for file, reason in rows[:_SHOWN]:
        table.add_row(Text(file, overflow="fold"), Text(reason, overflow="fold"))
    console.print(table, highlight=False, markup=False)
    if len(rows) > _SHOWN:
        console.print(f"and {len(rows) - _SHOWN} more, see {root / 'report.json'}", highlight=False)
