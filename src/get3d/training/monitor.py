"""Output of a run: a progress line, curves, a line of JSON per tick, images of the same latents."""

import json
import math
import os
import time
from collections import defaultdict
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from types import TracebackType

import torch
from rich.console import Console
from rich.live import Live
from rich.text import Text
from torch import Tensor

from get3d.files import not_written, writing
from get3d.images import contact_sheet
from get3d.training.alarms import alarms
from get3d.training.trackers import TensorBoard, Tracker, TrackerError

__all__ = ["HEARTBEAT", "Monitor", "add_statistic", "progress_text"]

HEARTBEAT = "heartbeat"
"""The file of a run that is updated while it is running, and removed after a clean end."""

_BEAT = 10.0
"""Seconds between two touches."""


def add_statistic(sums: dict[str, Tensor], name: str, value: Tensor, weight: float = 1.0) -> None:
    """Adds a value, with its weight, to the running (sum, count) of a statistic, without waiting for the device."""
    value = value.detach().double()
    pair = weight * torch.stack([value, torch.ones_like(value)])
    sums[name] = sums[name] + pair if name in sums else pair


class Monitor:
    """Writes to the folder of a run, to the terminal and to trackers, of which TensorBoard is always one.

    Lines of `stats.jsonl` after the point where a run resumes are removed first, so that the file reads as if the run
    had never been stopped. If a tracker fails, a message says so, and the run continues.

    Args:
        folder: of the run.
        console: the terminal.
        cur_nimg: real images shown so far.
        total: length of the run in real images.
        trackers: other ones; closed at the end.
    """

    def __init__(
        self, folder: Path, console: Console, *, cur_nimg: int, total: int, trackers: Sequence[Tracker] = ()
    ) -> None:
        self._folder, self._console, self._total = folder, console, total
        self._stats = folder / "stats.jsonl"
        self._drop_after(cur_nimg)
        self._trackers: list[Tracker] = [TensorBoard(folder, cur_nimg), *trackers]
        self._live = Live(console=console, refresh_per_second=2, transient=True)
        self._start = self._tick = (time.monotonic(), cur_nimg)
        self._last = ""
        self._beaten = -math.inf
        self._rates: defaultdict[frozenset[str], list[float]] = defaultdict(list)

    def __enter__(self) -> "Monitor":
        self._live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._live.stop()
        for tracker in self._trackers:
            # Where a full disk stops a run, it is said once.
            with self._telling() if error is None else suppress(TrackerError):
                tracker.close(failed=error is not None)
        with suppress(OSError):
            (self._folder / HEARTBEAT).unlink()

    @contextmanager
    def _telling(self) -> Iterator[None]:
        """Around what a tracker does: says where it could not."""
        try:
            yield
        except TrackerError as error:
            self.say(f"{error}; training continues", alarming=True)

    def _drop_after(self, cur_nimg: int) -> None:
        if not self._stats.exists():
            return
        kept = []
        for line in self._stats.read_text(encoding="utf-8").splitlines():
            try:
                if json.loads(line)["cur_nimg"] <= cur_nimg:
                    kept.append(line)
            except (ValueError, KeyError, TypeError):
                break  # the line that a kill cut short is the last
        with writing(self._stats) as temporary:
            temporary.write_text("".join(line + "\n" for line in kept), encoding="utf-8")

    def say(self, message: str, *, alarming: bool = False) -> None:
        """A line above the progress line."""
        style = "yellow" if alarming else None
        self._console.print(message, style=style, highlight=False, markup=False, soft_wrap=True)

    def progress(self, cur_nimg: int) -> None:
        """Moves the progress line on, and shows that the run is alive."""
        since, before = self._start
        now = time.monotonic()
        if now > self._beaten + _BEAT:
            # A disk that cannot be written to is found where it matters.
            with suppress(OSError):
                (self._folder / HEARTBEAT).touch()
            self._beaten = now
        rate = (cur_nimg - before) / max(now - since, 1e-9)
        self._live.update(Text(f"{progress_text(cur_nimg, self._total, rate)}  {self._last}"))

    def write(self, sums: dict[str, Tensor], cur_nimg: int, extra: dict[str, float] | None = None) -> None:
        """Writes the means of the statistics since the last tick, and clears them; says what is alarming of them.

        Raises:
            InputError: they cannot be written (full disk, permission).
        """
        values = {name: float(pair[0] / pair[1]) for name, pair in sorted(sums.items())} | (extra or {})
        sums.clear()
        since, before = self._tick
        now = time.monotonic()
        self._tick = (now, cur_nimg)
        rate = (cur_nimg - before) / max(now - since, 1e-9)
        # Steps of the phases take different times; their losses have different names.
        rates = self._rates[frozenset(name for name in values if name.startswith("loss/"))]
        found = alarms(values, kimg=cur_nimg / 1000, speed=math.inf if extra else rate, speeds=rates)
        # A snapshot's own time counts in its tick.
        rates += [] if extra else [rate]
        line: dict[str, object] = {
            "cur_nimg": cur_nimg,
            "kimg": cur_nimg / 1000,
            **values,
            "images_per_second": round(rate, 2),
        }
        if found:
            line["alarms"] = found
        try:
            with self._stats.open("a", encoding="utf-8") as file:
                file.write(json.dumps(line) + "\n")
                file.flush()
                os.fsync(file.fileno())
        except OSError as error:
            raise not_written(self._stats, error.strerror) from error
        for tracker in self._trackers:
            with self._telling():
                tracker.scalars(values | {"images_per_second": rate}, cur_nimg)
        self._last = "  ".join(f"{name.removeprefix('loss/')} {value:.3g}" for name, value in values.items())
        self.progress(cur_nimg)
        if not self._console.is_terminal:
            self.say(f"{progress_text(cur_nimg, self._total, rate)}  {self._last}")
        for alarm in found:
            self.say(f"{cur_nimg / 1000:.2f} kimg: {alarm}", alarming=True)

    def images(self, name: str, images: Tensor, cur_nimg: int, *, columns: int) -> None:
        """Saves a sheet of images [n, 3, r, r] in [−1, 1] as `name.png`, and shows it to those who follow the run."""
        sheet = contact_sheet(images, columns=columns)
        with writing(self._folder / f"{name}.png") as temporary:
            sheet.save(temporary)
        for tracker in self._trackers:
            with self._telling():
                tracker.images(name.split("-")[0], sheet, cur_nimg)


def progress_text(cur_nimg: int, total: int, rate: float) -> str:
    """How far a run is, how fast, and how long it still takes: "12.3 of 80 kimg, 14 img/s, 1 h 20 min left".

    Args:
        cur_nimg: real images shown so far.
        total: length of the run in real images.
        rate: images a second.
    """
    # Short runs move by hundredths of a thousand images.
    done = f"{cur_nimg / 1000:.{1 if total >= 10_000 else 2}f} of {total / 1000:g} kimg"
    speed = f"{rate:.{0 if rate >= 10 else 1}f} img/s"
    return f"{done}, {speed}, {_duration((total - cur_nimg) / rate)} left" if rate > 0 else f"{done}, {speed}"


def _duration(seconds: float) -> str:
    if seconds < 60:
        return f"{math.ceil(seconds)} s"
    minutes = round(seconds / 60)
    if minutes < 60:
        return f"{minutes} min"
    hours = minutes // 60
    return f"{hours} h {minutes % 60} min" if hours < 48 else f"{hours // 24} d {hours % 24} h"
