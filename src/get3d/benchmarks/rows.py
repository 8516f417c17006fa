"""What is measured, as rows of a table for people, and as JSON for programs."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import groupby
from typing import Any

from rich.table import Table
from rich.text import Text

__all__ = ["Goal", "Row", "at_least", "at_most", "compared", "to_json", "to_table"]


@dataclass(frozen=True)
class Goal:
    """What a result should be.

    Attributes:
        bound: the result that is just good enough.
        upwards: whether more is better.
    """

    bound: float
    upwards: bool

    def met(self, result: float) -> bool:
        """Whether a result is good enough."""
        return result >= self.bound if self.upwards else result <= self.bound


def at_least(bound: float) -> Goal:
    """A goal for results of which more is better."""
    return Goal(bound, upwards=True)


def at_most(bound: float) -> Goal:
    """A goal for results of which less is better."""
    return Goal(bound, upwards=False)


@dataclass(frozen=True)
class Row:
    """One line of the table.

    Attributes:
        group: what it belongs to; rows of a group follow each other.
        name: what is measured.
        seconds: how long it takes; None where the row is no time.
        other_seconds: other times by name: of the plain version, or of the parts.
        result: what the times come to: a ratio, a share, or another number; None where there is none.
        unit: of the result: "×", "%" (the result is a share of 1), "s", "GFLOP/s" or nothing.
        goal: what the result should be, where there is a goal.
        note: what else there is to know.
    """

    group: str
    name: str
    seconds: float | None = None
    other_seconds: dict[str, float] = field(default_factory=dict)
    result: float | None = None
    unit: str = ""
    goal: Goal | None = None
    note: str = ""

    @property
    def verdict(self) -> str:
        """Whether the goal is met: "pass" or "short", or nothing where there is no goal or no result."""
        if self.goal is None or self.result is None:
            return ""
        return "pass" if self.goal.met(self.result) else "short"


def compared(group: str, name: str, ours: float, plain: str, theirs: float, goal: float) -> Row:
    """How many times faster ours is than something plain.

    Args:
        group: what the row belongs to.
        name: what is measured.
        ours: seconds.
        plain: what it is compared with.
        theirs: seconds of that.
        goal: the ratio to reach.
    """
    return Row(group, name, ours, {plain: theirs}, theirs / ours, "×", at_least(goal))


def to_table(rows: Sequence[Row]) -> Table:
    """The rows as a table, a section for each group."""
    table = Table(show_edge=False, pad_edge=False)
    table.add_column("")
    table.add_column("ms", justify="right")
    table.add_column("other times, ms")
    table.add_column("result", justify="right")
    table.add_column("goal", justify="right")
    table.add_column("")
    for group, members in groupby(rows, key=lambda row: row.group):
        table.add_section()
        table.add_row(Text(group, style="bold"))
        for row in members:
            table.add_row(
                Text.assemble(f"  {row.name}", (f"\n  {row.note}" if row.note else "", "dim")),
                "" if row.seconds is None else _milliseconds(row.seconds),
                ", ".join(f"{name} {_milliseconds(seconds)}" for name, seconds in row.other_seconds.items()),
                "" if row.result is None else _shown(row.result, row.unit),
                "" if row.goal is None else f"{'≥' if row.goal.upwards else '≤'} {_shown(row.goal.bound, row.unit)}",
                Text(row.verdict, style={"pass": "green", "short": "red", "": ""}[row.verdict]),
            )
    return table


def to_json(rows: Sequence[Row]) -> list[dict[str, Any]]:
    """The rows as JSON values; times in seconds."""
    return [
        {
            "group": row.group,
            "name": row.name,
            "seconds": row.seconds,
            "other_seconds": row.other_seconds,
            "result": row.result,
            "unit": row.unit,
            "goal": None if row.goal is None else {"bound": row.goal.bound, "upwards": row.goal.upwards},
            "verdict": row.verdict,
            "note": row.note,
        }
        for row in rows
    ]


def _milliseconds(seconds: float) -> str:
    return f"{1000 * seconds:,.{0 if seconds >= 0.1 else 1 if seconds >= 0.001 else 3}f}"


def _shown(value: float, unit: str) -> str:
    if unit == "%":
        return f"{100 * value:.0f} %" if value >= 0.1 else f"{100 * value:.1f} %"
    if unit == "×":
        return f"{value:.1f}×"
    return f"{value:,.0f} {unit}".strip() if value >= 1000 else f"{value:.3g} {unit}".strip()
