"""NumPy files that may be a stranger's: nothing is unpickled, and none takes more memory than its size allows."""

import zipfile
from pathlib import Path

import numpy as np

__all__ = ["read_npy", "read_npz"]

_RATIO = 100
_FREE = 256 * 2**20
"""An .npz file may unpack to this many bytes, and to `_RATIO` times its size beyond; deflate reaches a thousandfold."""


def read_npy(path: Path) -> np.ndarray:
    """The array of an .npy file.

    Raises:
        OSError, ValueError: it cannot be read, is damaged, claims more than the file holds, or holds Python objects.
    """
    # Mapped, so that what the head claims is compared with the size of the file before memory is taken.
    try:
        # Where the size overflows, NumPy warns and goes on with what is left of it.
        with np.errstate(over="raise"):
            return np.array(np.load(path, mmap_mode="r", allow_pickle=False))
    except (FloatingPointError, OverflowError, MemoryError) as error:
        raise ValueError(f"is damaged ({error})") from error


def read_npz(path: Path) -> dict[str, np.ndarray]:
    """The arrays of an .npz file, by name.

    Raises:
        OSError, ValueError, zipfile.BadZipFile: it cannot be read, is damaged, unpacks to far more than its size, or
            holds Python objects.
    """
    with path.open("rb") as file:
        with zipfile.ZipFile(file) as members:
            unpacked = sum(member.file_size for member in members.infolist())
        if unpacked > _FREE + _RATIO * path.stat().st_size:
            raise ValueError(f"unpacks to {unpacked} bytes")
        file.seek(0)
        try:
            with np.load(file, allow_pickle=False) as stored:
                return {name: stored[name] for name in stored.files}
        except (MemoryError, OverflowError, EOFError, KeyError, NotImplementedError) as error:
            raise ValueError(f"is damaged ({error})") from error
