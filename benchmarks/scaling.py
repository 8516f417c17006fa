"""How long a training step takes in many processes: the formula of docs/scaling.md.

python benchmarks/scaling.py --preset small --ranks 8 measures as `get3d bench --ranks` does, and prints for each number
of processes what the formula predicts from the times of two.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import tyro
from rich.console import Console
from rich.table import Table

from get3d.benchmarks.ranks import SIZES, Measured, measured, processors
from get3d.presets import PRESETS

__all__ = ["Fabric", "Link", "Pass", "Step", "all_reduce", "barrier", "exposed", "fitted", "predicted", "ring"]

BARRIERS = 3
"""Barriers of a step: one for each network that is updated, and one that asks whether to stop."""


@dataclass(frozen=True)
class Link:
    """A connection from each process to the next.

    Attributes:
        bandwidth: bytes per second in each direction.
        latency: additional seconds for each message.
    """

    bandwidth: float
    latency: float


@dataclass(frozen=True)
class Fabric:
    """The connections of the processes of a node, and of the nodes.

    Attributes:
        near: between processes of a node.
        far: between nodes, for each process of a node.
        node: processes in a node.
        barrier: seconds of the first process for each other process in a barrier.
    """

    near: Link
    far: Link
    node: int
    barrier: float

    def shared(self, turns: float) -> "Fabric":
        """The same if so many processes share a core, which also does the sending."""
        near, far = (Link(link.bandwidth / turns, link.latency * turns) for link in (self.near, self.far))
        return Fabric(near, far, self.node, self.barrier)


@dataclass(frozen=True)
class Pass:
    """A backward pass after which a network is updated.

    Attributes:
        buckets: bytes of the gradients that are sent together, in order.
        window: share of a step's computation between the first bucket and the last.
    """

    buckets: tuple[int, ...]
    window: float


@dataclass(frozen=True)
class Step:
    """A training step.

    Attributes:
        fixed: seconds of computation for any share of the batch.
        each: additional seconds for each image.
        passes: backward passes whose gradients are sent.
        barriers: number of barriers.
    """

    fixed: float
    each: float
    passes: tuple[Pass, ...]
    barriers: int

    def computing(self, share: float) -> float:
        """Seconds of a process with so many images of the batch, and a core or a GPU of its own."""
        return self.fixed + self.each * share


def ring(size: int | float, count: int, link: Link) -> float:
    """Seconds of a ring all-reduce of so many bytes, in 2 (n − 1) messages (Patarasuk and Yuan 2009, section 3)."""
    return 2 * (count - 1) * (size / count / link.bandwidth + link.latency)


def all_reduce(size: int | float, count: int, fabric: Fabric) -> float:
    """Seconds of an all-reduce of so many bytes over so many processes.

    The processes of a node form a ring. With several nodes, each node first reduces its own gradients, so that each of
    its processes has a part of the sums; processes with the same part form a ring; then each node distributes the
    parts.
    """
    if count <= fabric.node:
        return ring(size, count, fabric.near)
    return ring(size, fabric.node, fabric.near) + ring(size / fabric.node, count // fabric.node, fabric.far)


def exposed(step: Step, computing: float, count: int, fabric: Fabric) -> float:
    """Seconds of a step in which gradients are sent and nothing is computed.

    Buckets are ready one after another, evenly over the pass's window, and are sent one after another.

    Args:
        step: its backward passes.
        computing: seconds of computation of a process.
        count: number of processes.
        fabric: their connections.
    """
    total = 0.0
    for part in step.passes:
        window = part.window * computing
        end = 0.0
        for number, size in enumerate(part.buckets, start=1):
            made = window * (number - 1) / max(1, len(part.buckets) - 1)
            end = max(end, made) + all_reduce(size, count, fabric)
        total += end - (window if len(part.buckets) > 1 else 0.0)
    return total


def barrier(count: int, fabric: Fabric) -> float:
    """Seconds of a barrier that all processes reach at once: the first receives from each other one, and answers."""
    return (count - 1) * fabric.barrier


def predicted(step: Step, batch: int, count: int, fabric: Fabric, processors: int) -> float:
    """Seconds of a step that so many processes share.

    Args:
        step: times and sizes of one process.
        batch: images of all processes together.
        count: number of processes.
        fabric: their connections.
        processors: cores or GPUs; if there are fewer than processes, the processes share them.
    """
    turns = max(1.0, count / processors)
    computing = turns * step.computing(batch / count)
    if count == 1:
        return computing
    travelling = exposed(step, computing, count, fabric.shared(turns))
    return computing + travelling + step.barriers * barrier(count, fabric)


def fitted(sizes: Sequence[int], seconds: Sequence[float], count: int) -> Link:
    """The link of a ring from measured times, by least squares of relative errors.

    Args:
        sizes: bytes that were reduced.
        seconds: measured times.
        count: processes of the ring.
    """
    times = np.array(seconds)
    parts = np.stack([np.array(sizes) / count, np.ones(len(sizes))], axis=1) * 2 * (count - 1)
    pace, latency = np.linalg.lstsq(parts / times[:, None], np.ones(len(times)), rcond=None)[0]
    return Link(float(1 / pace), max(0.0, float(latency)))


def compared(found: Measured, batch: int, there: int) -> Table:
    """A table of measured times, and of those that the formula predicts from the times of the fewest processes.

    Args:
        found: the times.
        batch: images of a step, of all processes together.
        there: cores or GPUs.
    """
    first, largest = found.teams[0], found.teams[-1].count
    each = (found.single - found.part) / (batch - batch / largest)
    passes = tuple(Pass(sizes, window) for sizes, window in zip(found.buckets, first.windows, strict=True))
    formula = Step(max(0.0, found.single - each * batch), each, passes, BARRIERS)
    link = fitted(SIZES, first.sums, first.count)
    fabric = Fabric(link, link, node=largest, barrier=first.barrier / (first.count - 1))
    table = Table(title=f"{link.bandwidth / 1e9:.2g} GB/s, {link.latency * 1e6:.0f} µs a message", title_justify="left")
    for heading in ("", "measured, ms", "predicted, ms"):
        table.add_column(heading, justify="left" if not heading else "right")

    def row(name: str, seconds: float, guess: float) -> None:
        table.add_row(name, f"{1000 * seconds:,.1f}", f"{1000 * guess:,.1f}")

    for team in found.teams:
        shared = fabric.shared(max(1.0, team.count / there))
        row(f"a step of {team.count} processes", team.step, predicted(formula, batch, team.count, fabric, there))
        for size, seconds in zip(SIZES, team.sums, strict=True):
            name = f"{size / 2**20:.3g} MiB over {team.count} processes"
            row(name, seconds, all_reduce(size, team.count, shared))
        row(f"a barrier of {team.count} processes", team.barrier, barrier(team.count, fabric))
    return table


def main(preset: str = "demo", ranks: int = 2, repeats: int = 5, warm: int = 32, device: str = "auto") -> None:
    """Measures and prints; the options are those of `get3d bench`."""
    config = replace(PRESETS[preset].config, device=device)
    Console().print(compared(measured(config, repeats, warm, ranks), config.batch, processors(device)))


if __name__ == "__main__":
    tyro.cli(main)
