"""Readers are fed damaged files: whatever comes, they read it or refuse it in one sentence."""

import copy
import itertools
import json
import math
import os
import resource
import signal
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any, TypeVar

from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st

from get3d.files import InputError

__all__ = ["ODD", "cut_and_changed", "fuzz", "odd_json", "reads_or_refuses"]

T = TypeVar("T")

SECONDS = 3.0
"""For each reader, unless the environment variable GET3D_FUZZ_SECONDS says otherwise."""
_EXAMPLES = 100
_HANGS_AFTER = 60
_MOST_MEMORY = 1.5 * 2**30
"""Bytes by which the process may grow while one file is read."""

ODD: list[Any] = [
    *(None, True, -1, 0, 0.5, 1e300, math.inf, -math.inf, math.nan, 10**400, [], {}, [[]], "", "x", "../../x", "/"),
    *("\0", "\ud800", "a\nb", "x" * 5000, [1] * 2000, {"a": {"b": [None]}}, -(2**63), "1e5", [math.nan] * 4),
]
"""Values of JSON that no writer of ours writes."""


def fuzz(strategy: st.SearchStrategy[T], check: Callable[[T], object]) -> None:
    """Calls `check` with values of the strategy, in rounds with seeds 0, 1, … until the time is over.

    A value that fails is made as small as possible and shown, as hypothesis does; nothing is remembered between runs.
    """
    end = time.monotonic() + float(os.environ.get("GET3D_FUZZ_SECONDS", SECONDS))

    for number in itertools.count():
        failed = False

        @seed(number)
        @settings(
            max_examples=_EXAMPLES,
            deadline=None,
            database=None,
            phases=(Phase.generate, Phase.shrink),
            suppress_health_check=list(HealthCheck),
        )
        @given(strategy)
        def round_of_examples(value: T) -> None:
            nonlocal failed
            if failed or time.monotonic() < end:
                try:
                    check(value)
                except Exception:
                    failed = True  # Now it is shrunk, for as long as that takes.
                    raise

        with warnings.catch_warnings():
            # A failing file of many bytes is shown whole, however long that is.
            warnings.filterwarnings("ignore", "Generating overly large repr")
            round_of_examples()
        if time.monotonic() >= end:
            return


def reads_or_refuses(read: Callable[[], object]) -> InputError | None:
    """Reads a file; gives the refusal, or None where it was read.

    Fails on any other error, on a refusal of several lines, on a hang, and on too much memory.
    """
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    refusal = None
    with _no_hang():
        try:
            read()
        except InputError as error:
            refusal = error
    grown = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) * 1024
    assert grown < _MOST_MEMORY, f"reading took {grown / 2**20:.0f} MiB"
    if refusal is not None:
        assert str(refusal).strip(), "the refusal says nothing"
        assert len(str(refusal).splitlines()) == 1, f"the refusal has several lines: {refusal}"
    return refusal


@contextmanager
def _no_hang() -> Iterator[None]:
    def stop(number: int, frame: FrameType | None) -> None:
        raise AssertionError(f"it was not read within {_HANGS_AFTER} s")

    before = signal.signal(signal.SIGALRM, stop)
    # pytest-timeout uses the other clock's alarm, so what it had left is set again.
    left, interval = signal.setitimer(signal.ITIMER_REAL, _HANGS_AFTER)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, left, interval)
        signal.signal(signal.SIGALRM, before)


@st.composite
def cut_and_changed(draw: st.DrawFn, whole: bytes) -> bytes:
    """A file damaged as disks and attackers do: bytes set, cut out, doubled, put in, or its end missing."""
    content = bytearray(whole)
    for _ in range(draw(st.integers(1, 4))):
        place = draw(st.integers(0, max(0, len(content) - 1)))
        length = draw(st.integers(1, 16))
        kind = draw(st.sampled_from(("set", "cut", "double", "insert", "end")))
        if kind == "set":
            content[place : place + length] = draw(st.binary(min_size=length, max_size=length))
        elif kind == "cut":
            del content[place : place + length]
        elif kind == "double":
            content[place:place] = content[place : place + length]
        elif kind == "insert":
            content[place:place] = draw(st.binary(min_size=length, max_size=length))
        else:
            del content[place:]
    return bytes(content)


@st.composite
def odd_json(draw: st.DrawFn, value: Any) -> bytes:
    """The JSON text of a value in which some values are others, left out, or doubled."""
    changed = copy.deepcopy(value)
    for _ in range(draw(st.integers(1, 3))):
        place: Any = changed
        while True:
            keys = list(place) if isinstance(place, dict) else list(range(len(place)))
            if not keys:
                break
            key = draw(st.sampled_from(keys))
            if isinstance(place[key], dict | list) and place[key] and draw(st.booleans()):
                place = place[key]
                continue
            if isinstance(place, dict) and draw(st.booleans()):
                del place[key]
            else:
                place[key] = copy.deepcopy(draw(st.sampled_from(ODD)))
            break
    return json.dumps(changed).encode()
