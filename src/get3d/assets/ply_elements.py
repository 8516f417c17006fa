"""The elements of PLY files as arrays. The package plyfile reads headers and binary elements."""

import io
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import plyfile
from jaxtyping import Bool, Float, Int

from get3d.assets.text_numbers import all_numbers, words_in_lines
from get3d.files import InputError

__all__ = ["PlyElement", "PlyLists", "read_elements"]

_LONGEST_HEADER = 2**16
_ELEMENT = re.compile(rb"^([ \t]*element[ \t]+(\S+)[ \t]+)(\d+)", re.MULTILINE)


@dataclass(frozen=True)
class PlyLists:
    """The lists of a property.

    Attributes:
        counts: length of each.
        values: of all, list after list.
    """

    counts: Int[np.ndarray, " n"]
    values: Float[np.ndarray, " v"]


@dataclass(frozen=True)
class PlyElement:
    """The rows of an element.

    Attributes:
        count: how many there are.
        numbers: the values of each property that is a number.
        greatest: value of such a property's type, 255 for bytes; 1 for floating point.
        lists: of each property that is a list.
    """

    count: int
    numbers: dict[str, Float[np.ndarray, " n"]]
    greatest: dict[str, int]
    lists: dict[str, PlyLists]


def read_elements(path: Path) -> tuple[dict[str, PlyElement], list[str]]:
    """The elements of a file by name, limited by the file's size, and its comments.

    Raises:
        InputError: it is no such file, or is cut short.
    """
    size = path.stat().st_size
    with path.open("rb") as file:
        start = file.read(_LONGEST_HEADER)
    end = re.search(rb"[\r\n]end_header[ \t]*(\r\n|\r|\n)", start)
    length = end.end() if end else len(start)
    header = start[:length].replace(b"\r\n", b"\n").replace(b"\r", b"\n")
    counts = [(name.decode("latin-1"), int(count)) for _, name, count in _ELEMENT.findall(header)]
    for name, count in counts:
        if count > size:
            raise InputError(f"it is to hold {count} of the element {name!r} in {size} bytes; get it again")
    try:
        # Without rows, only the header is read.
        data = plyfile.PlyData.read(io.BytesIO(_ELEMENT.sub(rb"\g<1>0", header)))
        if len(data.elements) != len(counts):
            raise InputError("its header cannot be read; export it again")
        if data.text:
            body = path.read_bytes()[length:]
            return _of_text(data, [count for _, count in counts], body), list(data.comments)
        data = _of_binary(path, data)
    except (plyfile.PlyParseError, UnicodeDecodeError) as error:
        raise InputError(f"it cannot be read ({error}); get or export it again") from error
    return {element.name: _converted(element) for element in data}, list(data.comments)


def _of_binary(path: Path, header: plyfile.PlyData) -> plyfile.PlyData:
    """A binary file; if all faces have three corners, or all four, they are read at once."""
    lists = [(part.name, field.name) for part in header for field in part.properties if _is_list(field)]
    if len(lists) == 1 and lists[0][0] == "face":
        for corners in (3, 4):
            try:
                return plyfile.PlyData.read(str(path), known_list_len={"face": {lists[0][1]: corners}})
            except plyfile.PlyElementParseError:
                continue
    return plyfile.PlyData.read(str(path))


def _is_list(field: Any) -> bool:
    return isinstance(field, plyfile.PlyListProperty)


def _converted(element: Any) -> PlyElement:
    numbers = [field for field in element.properties if not _is_list(field)]
    return PlyElement(
        element.count,
        {field.name: np.asarray(element[field.name]).astype(np.float64) for field in numbers},
        {field.name: _greatest(field.val_dtype) for field in numbers},
        {field.name: _lists(element[field.name]) for field in element.properties if _is_list(field)},
    )


def _lists(rows: np.ndarray) -> PlyLists:
    if rows.dtype != object:
        return PlyLists(np.full(len(rows), rows.shape[1] if rows.ndim == 2 else 0), rows.ravel().astype(np.float64))
    counts = np.array([len(row) for row in rows], np.int64)
    return PlyLists(counts, np.concatenate([*rows, np.zeros(0)]).astype(np.float64))


def _greatest(kind: str) -> int:
    return int(np.iinfo(kind).max) if np.dtype(kind).kind in "iu" else 1


def _of_text(data: plyfile.PlyData, counts: list[int], body: bytes) -> dict[str, PlyElement]:
    """The elements of plain text, each row a line.

    Raises:
        InputError: a row is not as the header has it, or there are too few.
    """
    words = words_in_lines(body)
    values = all_numbers(body)
    if values is None or len(values) != words.sum():
        raise InputError("it holds what is no number; export it again")
    ends = words.cumsum()
    elements = {}
    line = 0
    for element, count in zip(data, counts, strict=True):
        rows = slice(line, line + count)
        if line + count > len(words):
            raise InputError(f"it ends within the element {element.name!r}; get it again")
        elements[element.name] = _rows(element, values, ends[rows] - words[rows], ends[rows])
        line += count
    return elements


def _rows(
    element: Any, values: Float[np.ndarray, " v"], starts: Int[np.ndarray, " n"], ends: Int[np.ndarray, " n"]
) -> PlyElement:
    """Rows of one element, read at once, property by property, even if lists have different lengths."""
    numbers, greatest, lists = {}, {}, {}
    at = starts
    for field in element.properties:
        _require(at < ends, element)
        if _is_list(field):
            lengths = values[at]
            _require((lengths >= 0) & (lengths < ends - at) & (lengths % 1 == 0), element)
            counts = lengths.astype(np.int64)
            before = counts.cumsum() - counts
            found = values[np.repeat(at + 1 - before, counts) + np.arange(counts.sum())]
            lists[field.name] = PlyLists(counts, found)
            at = at + 1 + counts
        else:
            found = numbers[field.name] = values[at]
            greatest[field.name] = _greatest(field.val_dtype)
            at = at + 1
        if np.dtype(field.val_dtype).kind in "iu" and not (np.isfinite(found) & (found % 1 == 0)).all():
            raise InputError(f"{field.name!r} of the element {element.name!r} is to be whole numbers; export it again")
    _require(at == ends, element)
    return PlyElement(len(starts), numbers, greatest, lists)


def _require(right: Bool[np.ndarray, " n"], element: Any) -> None:
    if not right.all():
        row = int(right.argmin())
        raise InputError(f"row {row} of the element {element.name!r} is not as its header says; get or export it again")
