"""Ranges of numbers: declared at each field, and checked by one function for every configuration.

A field of a configuration dataclass has its range in its type:

    batch: Annotated[int, Range(1, 65_536)] = 32

`require_ranges` checks a configuration, and the configurations in it, before any work starts.
"""

import dataclasses
import math
import types
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Annotated, Any, Union, get_args, get_origin, get_type_hints

from get3d.files import InputError
from get3d.options import Option

__all__ = ["SEED", "Range", "option_names", "require_ranges", "whole"]


@dataclass(frozen=True)
class Range:
    """Allowed numbers of a field, or of each value of a tuple or a dictionary. None is always allowed.

    Attributes:
        low: lowest number.
        high: highest number; infinity allows every finite number.
        above: whether `low` itself is excluded.
        below: whether `high` itself is excluded.
        power_of_two: whether it must be a power of two.
    """

    low: float | int = -math.inf
    high: float | int = math.inf
    above: bool = False
    below: bool = False
    power_of_two: bool = False

    def holds(self, value: float | int) -> bool:
        """Whether a finite number is in the range."""
        if isinstance(value, float) and not math.isfinite(value):
            return False
        low = value > self.low if self.above else value >= self.low
        high = value < self.high if self.below else value <= self.high
        power = not self.power_of_two or (value == int(value) and value > 0 and not int(value) & (int(value) - 1))
        return low and high and power

    def __str__(self) -> str:
        kind = "a power of two " if self.power_of_two else ""
        if self.low == -math.inf and self.high == math.inf:
            return "finite"
        high = f"{'below' if self.below else 'at most'} {_written(self.high)}"
        low = f"{'above' if self.above else 'at least'} {_written(self.low)}"
        if self.high == math.inf:
            return "positive" if self.above and self.low == 0 else f"{kind}{low}".strip()
        if self.low == -math.inf:
            return f"{kind}{high}"
        if not self.above and not self.below:
            return f"{kind}from {_written(self.low)} to {_written(self.high)}"
        return f"{kind}{low} and {high}"


SEED = Range(0, 2**62)
"""Range of seeds: numbers can be added to them, and every random number generator accepts the sum."""


def whole(value: Any, name: str, allowed: Range) -> int:
    """Returns a value of an untrusted JSON file after checking that it is an integer in a range.

    Args:
        value: the value; 1e300, 2.0, true and "2" are no integers.
        name: what it is called, for the message.
        allowed: the range.

    Raises:
        ValueError: it is none.
    """
    if type(value) is not int or not allowed.holds(value):
        raise ValueError(f"{name} is {value!r:.40}, not an integer {allowed}")
    return value


def require_ranges(config: Any, where: object | None = None) -> None:
    """Checks that every number of a configuration, and of the configurations in it, is in its range.

    Numbers without a range must be finite.

    Args:
        config: a dataclass whose fields have ranges as `Annotated[…, Range(…)]`.
        where: the file of the configuration; without it, messages name options.

    Raises:
        InputError: a number is out of range; the message names the option (or file and field), value and range.
    """
    for field in _fields(config, ""):
        for value in _numbers(field.value):
            if isinstance(value, bool) or not isinstance(value, int | float):
                continue
            if not field.range.holds(value):
                name = f"--{field.option.replace('_', '-')}" if where is None else f"{where}: {field.path}"
                shown = value if isinstance(field.value, int | float | dict) else " ".join(map(str, field.value))
                raise InputError(f"{name} is {shown}; it must be {field.range}")


def option_names(config: Any) -> dict[str, str]:
    """The names of the options of a configuration by the paths of their fields, both with dots and without dashes."""
    return {field.path: field.option.replace("_", "-") for field in _fields(config, "")}


def _numbers(value: Any) -> tuple[Any, ...]:
    if isinstance(value, dict):
        return tuple(value.values())
    return value if isinstance(value, tuple) else (value,)


@dataclass(frozen=True)
class _Field:
    """A field that has no fields of its own, by the option that sets it and by its path, with its value and range."""

    option: str
    path: str
    value: Any
    range: Range


def _fields(config: Any, option: str, path: str = "") -> Iterator[_Field]:
    hints = get_type_hints(type(config), include_extras=True)
    for field in dataclasses.fields(config):
        value = getattr(config, field.name)
        marks = _marks(hints[field.name])
        said = next((mark for mark in marks if isinstance(mark, Option)), Option())
        own = "" if said.flat else said.flag or field.name
        below, deeper = (".".join(part for part in parts if part) for parts in ((option, own), (path, field.name)))
        if dataclasses.is_dataclass(value):
            yield from _fields(value, below, deeper)
        else:
            ranges = [mark for mark in marks if isinstance(mark, Range)]
            yield _Field(below, deeper, value, ranges[0] if ranges else Range())


def _marks(hint: Any) -> list[Any]:
    """What is said of a type by `Annotated`, anywhere in it."""
    if get_origin(hint) is Annotated:
        inner, *marks = get_args(hint)
        return [*marks, *_marks(inner)]
    if get_origin(hint) in (Union, types.UnionType, tuple):
        return [mark for part in get_args(hint) for mark in _marks(part)]
    return []


def _written(value: float | int) -> str:
    return str(value) if isinstance(value, int) else f"{value:g}"
