"""The cache folder of compiled kernels: Warp's own, or a writable one if that is not writable."""

import os
import sys
import tempfile
import warnings
from pathlib import Path

from get3d.files import InputError

__all__ = ["VARIABLE", "use_writable_cache"]

VARIABLE = "WARP_CACHE_PATH"
"""Environment variable with the folder, for Warp and for child processes."""


def use_writable_cache() -> None:
    """Makes sure, before Warp starts, that compiled kernels can be cached; warns once if another folder is used.

    Another folder is used for users without a home folder, and in containers with a read-only file system. It is a
    folder of the user among the temporary files, which the next process uses again.

    Raises:
        InputError: no folder is writable.
    """
    if sys.platform == "win32":
        return
    own = os.environ.get(VARIABLE)
    folder = Path(own) if own else _usual()
    problem = _problem(folder)
    if problem is None:
        return
    instead = _temporary()
    os.environ[VARIABLE] = str(instead)
    if os.environ.get("RANK", "0") != "0":
        return
    warnings.warn(
        f"{folder}: compiled kernels cannot be cached there ({problem}); they are cached in {instead}. "
        f"Set {VARIABLE} to a writable folder",
        RuntimeWarning,
        stacklevel=2,
    )


def _usual() -> Path:
    """Where Warp keeps them if nobody says another folder."""
    base = os.environ.get("XDG_CACHE_HOME")
    try:
        if sys.platform == "darwin":
            return Path.home() / "Library" / "Caches" / "warp"
        return (Path(base) if base else Path.home() / ".cache") / "warp"
    except RuntimeError:  # a user that the system does not know, without HOME
        return Path("/.cache/warp")


def _problem(folder: Path) -> str | None:
    """Why files cannot be written in a folder, if so; it is made where it is missing."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            return None
    except OSError as error:
        return error.strerror


def _temporary() -> Path:
    """A folder that only this user can write to: what lies in it is executed."""
    user = os.getuid()
    try:
        folder = Path(tempfile.gettempdir()) / f"get3d-kernels-{user}"
        folder.mkdir(mode=0o700, exist_ok=True)
        state = folder.lstat()
        foreign = folder.is_symlink() or not folder.is_dir() or state.st_mode & 0o022
        if foreign or state.st_uid != user or _problem(folder) is not None:
            return Path(tempfile.mkdtemp(prefix="get3d-kernels-"))
        return folder
    except OSError as error:
        raise InputError(
            f"no folder is writable for compiled kernels ({error.strerror}); set {VARIABLE} to one that is"
        ) from error
