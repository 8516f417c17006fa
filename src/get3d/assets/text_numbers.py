"""Parses numbers in text, millions at once."""

import warnings

import numpy as np
from jaxtyping import Int

__all__ = ["all_numbers", "words_in_lines"]


def all_numbers(text: str | bytes, dtype: type = np.float64) -> np.ndarray | None:
    """All numbers of a text, separated by white space; None if something is not a number."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        try:
            return np.fromstring(text, dtype, sep=" ")
        except (ValueError, DeprecationWarning):
            return None


def words_in_lines(text: bytes) -> Int[np.ndarray, " n"]:
    """Number of words in each line of a text; a last line without a newline counts, unless it is empty."""
    if b"\r" in text:
        text = text.replace(b"\r\n", b"\n").replace(b"\r", b"\n")
    letters = np.frombuffer(text, np.uint8)
    blank = letters <= ord(" ")
    begins = ~blank
    begins[1:] &= blank[:-1]
    ends = np.flatnonzero(letters == ord("\n"))
    if len(letters) and letters[-1] != ord("\n"):
        ends = np.append(ends, len(letters))
    return np.diff(np.searchsorted(np.flatnonzero(begins), ends), prepend=0)
