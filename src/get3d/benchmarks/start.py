"""Time until help appears, compared with the import of PyTorch."""

import subprocess
import sys
from functools import partial

import torch

from get3d.benchmarks.rows import Row, at_most
from get3d.benchmarks.timing import side_by_side

__all__ = ["rows"]

_COMMANDS = {"help": ("--help",), "a mistyped option": ("train", "demo", "--typo")}


def rows(repeats: int) -> list[Row]:
    """The time until the answer to `get3d --help` and to a mistyped option is there, over that of `import torch`.

    Args:
        repeats: of each measurement.
    """
    runs = {name: partial(_run, "-m", "get3d", *arguments) for name, arguments in _COMMANDS.items()}
    times = side_by_side(torch.device("cpu"), repeats, **runs, torch=partial(_run, "-c", "import torch"))
    group, others = "Response of the command line", {"import torch": times["torch"]}
    return [
        Row(group, name, times[name], others, times[name] / times["torch"], "%", at_most(1.0)) for name in _COMMANDS
    ]


def _run(*arguments: str) -> None:
    subprocess.run([sys.executable, *arguments], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=False)
