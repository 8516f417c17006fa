"""Programs that are not Python's, run in a process of their own with limits on its memory and time."""

import subprocess
import sys
from functools import partial
from pathlib import Path

from get3d.files import InputError

__all__ = ["last_words", "run_program"]

_MOST_MEMORY = {"assimp": 4 * 2**30, "Blender": 8 * 2**30}
"""Bytes that a program may ask for; of Blender's, its own code and drivers are not counted."""


def run_program(command: list[str], folder: Path, name: str, seconds: int) -> subprocess.CompletedProcess[bytes]:
    """Runs a program until it ends, and gives its exit status and what it printed.

    Args:
        command: the program and its arguments.
        folder: where it runs.
        name: "assimp" or "Blender", which decides how much memory it may ask for (on Linux only).
        seconds: after which it is stopped.

    Raises:
        InputError: it takes longer.
    """
    try:
        return subprocess.run(
            command,
            cwd=folder,
            capture_output=True,
            stdin=subprocess.DEVNULL,
            timeout=seconds,
            preexec_fn=partial(_limit_memory, name) if sys.platform == "linux" else None,
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        raise InputError(f"{name} takes more than {seconds} s; simplify the model") from error


def _limit_memory(name: str) -> None:
    import resource

    kind = resource.RLIMIT_AS if name == "assimp" else resource.RLIMIT_DATA
    resource.setrlimit(kind, (_MOST_MEMORY[name], _MOST_MEMORY[name]))


def last_words(run: subprocess.CompletedProcess[bytes]) -> str:
    """The last line that names an error, or else the last one that a program printed."""
    said = (run.stdout + run.stderr).decode("utf-8", "replace")
    lines = [line.strip() for line in said.splitlines() if line.strip()]
    errors = [line for line in lines if "error" in line.lower()]
    return ([*lines, *errors] or ["it printed nothing"])[-1][:200]
