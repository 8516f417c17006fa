"""Timing of versions that alternate, so that other work on the machine affects all of them."""

import statistics
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import torch

__all__ = ["Stopwatch", "side_by_side"]


class Stopwatch:
    """Collects wall-clock times by name, as often as a name comes up.

    Args:
        device: where the work is done; a GPU is waited for at both ends.
    """

    def __init__(self, device: torch.device) -> None:
        self.device = device
        self.laps: dict[str, list[float]] = {}

    @contextmanager
    def lap(self, name: str) -> Iterator[None]:
        """Times its block."""
        self._wait()
        start = time.perf_counter()
        yield
        self._wait()
        self.laps.setdefault(name, []).append(time.perf_counter() - start)

    @property
    def medians(self) -> dict[str, float]:
        """Seconds by name."""
        return {name: statistics.median(seconds) for name, seconds in self.laps.items()}

    def _wait(self) -> None:
        if self.device.type == "cuda":
            torch.cuda.synchronize(self.device)


def side_by_side(device: torch.device, repeats: int, **runs: Callable[[], object]) -> dict[str, float]:
    """The median seconds of each run. The runs alternate, after a first round that does not count."""
    watch = Stopwatch(device)
    for run in runs.values():
        run()
    for _ in range(repeats):
        for name, run in runs.items():
            with watch.lap(name):
                run()
    return watch.medians
