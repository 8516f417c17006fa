"""The terminal. Output is never parsed as markup, because names and messages come from users and their files."""

import _thread
import json
import os
import shlex
import sys
import threading
import warnings
from pathlib import Path
from typing import Any

from rich.console import Console

__all__ = ["command_line", "counted", "end_quietly", "prepare_process", "print_json", "terminal"]


class _Terminal(Console):
    """Leaves it to the command how to end when nobody reads on."""

    def on_broken_pipe(self) -> None:
        raise BrokenPipeError


def terminal(*, quiet: bool = False) -> Console:
    """The console that commands print to. `[…]` is printed literally, also in table cells.

    Args:
        quiet: print nothing.
    """
    return _Terminal(markup=False, highlight=False, emoji=False, quiet=quiet)


def print_json(console: Console, value: Any) -> None:
    """Prints JSON for programs: in ASCII, without wrapping lines at the terminal's width.

    Raises:
        ValueError: a number is not finite, which JSON cannot represent.
    """
    console.print(json.dumps(value, indent=1, allow_nan=False), soft_wrap=True, markup=False, highlight=False)


def command_line() -> str | None:
    """The command that this process runs, as one types it; None where another program calls."""
    program, *arguments = sys.argv
    called = Path(program)
    own = called.name == "get3d" or called.parts[-2:] == ("get3d", "__main__.py")
    return shlex.join(["get3d", *arguments]) if own else None


def counted(number: int, noun: str) -> str:
    """A number of things for messages: "1 object", "2 objects".

    Args:
        number: how many.
        noun: what one is called, whose plural ends in -s.
    """
    return f"{number} {noun}{'' if number == 1 else 's'}"


def prepare_process() -> None:
    """Makes output accept every character, prints each warning as one line, and makes sure that Ctrl-C is never lost.

    Characters that the output's encoding lacks, and bytes of file names that are not text, are written as escapes.
    For programs, not for libraries: it changes the complete process.
    """
    sys.unraisablehook = _interrupt_again
    for stream in (sys.stdout, sys.stderr):
        # Streams that stand in for these, as in notebooks, take text as it is.
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")
    warnings.showwarning = _say_warning


def _say_warning(message: Warning | str, category: type[Warning], *_: object, **__: object) -> None:
    sys.stderr.write(f"warning: {message}\n")


def _interrupt_again(unraisable: Any) -> None:
    """Ctrl-C that came where nothing can be raised, as in a callback while modules are imported, comes again."""
    if isinstance(unraisable.exc_value, KeyboardInterrupt):
        threading.Timer(0.01, _thread.interrupt_main).start()
    else:
        sys.__unraisablehook__(unraisable)


def end_quietly() -> None:
    """Discards pending output, so that the end of the process does not fail on it."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
