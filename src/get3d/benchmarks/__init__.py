"""How fast each part is, beside plain versions of it: `get3d bench`."""

from get3d.benchmarks.command import BenchConfig, run

__all__ = ["BenchConfig", "run"]
