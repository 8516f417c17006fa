"""What processes that share a step give to each other, by the profiler's times of each.

They wait for each other in two ways. Whoever is done with a backward pass waits until the slowest is, too: that is
imbalance, and would be there with the fastest network. Then all wait for the gradients that still travel. Of each pass,
the least that any process gave to the others is communication, since the process that comes last waits for nobody; what
the others gave besides is waiting.
"""

import math
import statistics
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise

from torch.autograd import DeviceType
from torch.autograd.profiler_util import FunctionEvent

from get3d.training.gradients import BARRIER, RECEIVING, SENDING

__all__ = ["ASKING", "STEP", "Given", "Profiled", "Span", "given", "profiled", "windows"]

ASKING = "asking the other ranks"
"""What follows each step: whether any process is to stop, or has a checkpoint to write."""
STEP = "a whole step"
_MICROSECOND = 1e-6


@dataclass(frozen=True)
class Span:
    """Something that a process did.

    Attributes:
        name: what.
        start: when it began, in seconds.
        end: when it was done, in seconds.
    """

    name: str
    start: float
    end: float


@dataclass(frozen=True)
class Profiled:
    """A step of one process.

    Attributes:
        seconds: of the step.
        spans: what it did for the others (SENDING, BARRIER, RECEIVING and ASKING), in order of time.
        carrying: when a GPU carried gradients; on CPUs the spans tell.
        computing: when a GPU computed; on CPUs a process does one thing at a time.
    """

    seconds: float
    spans: tuple[Span, ...]
    carrying: tuple[Span, ...] = ()
    computing: tuple[Span, ...] = ()


@dataclass(frozen=True)
class Given:
    """What processes gave to each other in a step, while nothing was computed.

    Attributes:
        communication: seconds that there would be if all came at the same time.
        waiting: seconds for which a process, in the mean, waited for slower ones.
    """

    communication: float
    waiting: float


def profiled(events: Iterable[FunctionEvent]) -> list[Profiled]:
    """The steps in what the profiler recorded of one process."""
    steps, spans, carrying, computing = [], [], [], []
    for event in events:
        times = event.time_range.start * _MICROSECOND, event.time_range.end * _MICROSECOND
        span = Span(event.name, *times)
        if event.device_type == DeviceType.CPU:
            if event.name == STEP:
                steps.append(span)
            elif event.name in (SENDING, BARRIER, RECEIVING, ASKING):
                spans.append(span)
        elif event.name.startswith("nccl"):
            carrying.append(span)
        elif event.name not in (STEP, SENDING, BARRIER, RECEIVING, ASKING):
            computing.append(span)
    return [
        Profiled(step.end - step.start, *(_within(step, found) for found in (spans, carrying, computing)))
        for step in steps
    ]


def given(steps: Sequence[Profiled]) -> Given:
    """What the processes gave to each other in a step that all of them did.

    Args:
        steps: of each process, the same step.
    """
    passes = list(zip(*(_passes(step) for step in steps), strict=True))
    least = [min(times) for times in passes]
    means = [statistics.mean(times) for times in passes]
    return Given(math.fsum(least), math.fsum(means) - math.fsum(least))


def windows(step: Profiled) -> list[float]:
    """Of each network that moves, the part of the step between the first bucket that left and the last."""
    found = []
    for start, end in _bounds(step):
        sent = [span.start for span in step.spans if span.name == SENDING and start <= span.start < end]
        if sent:
            found.append((sent[-1] - sent[0]) / step.seconds)
    return found


def _passes(step: Profiled) -> list[float]:
    """Seconds in which a process did something for the others and computed nothing, for each pass and for asking."""
    found = []
    for start, end in _bounds(step):
        doing = _within(Span("", start, end), [*step.spans, *step.carrying])
        found.append(_covered([*doing, *step.computing]) - _covered(step.computing))
    return found


def _bounds(step: Profiled) -> list[tuple[float, float]]:
    """From when to when there are gradients of the same pass: each begins to send, or asks, after something else."""
    names = ["", *(span.name for span in step.spans)]
    starts = [
        span.start
        for before, span in zip(names, step.spans, strict=False)
        if span.name == ASKING or (span.name == SENDING != before)
    ]
    return list(pairwise([*starts, math.inf]))


def _within(place: Span, spans: Iterable[Span]) -> tuple[Span, ...]:
    """Those that begin within another, in order of time."""
    return tuple(sorted((span for span in spans if place.start <= span.start < place.end), key=lambda span: span.start))


def _covered(spans: Iterable[Span]) -> float:
    """Seconds in which there is at least one of them."""
    total, end = 0.0, -math.inf
    for span in sorted(spans, key=lambda span: span.start):
        total += max(0.0, span.end - max(end, span.start))
        end = max(end, span.end)
    return total
