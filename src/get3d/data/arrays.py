"""Reading untrusted .npy files: never more memory than the file's own size, one error whatever is wrong."""

from pathlib import Path

import numpy as np
from jaxtyping import Float

from get3d.files import InputError, open_file

__all__ = ["map_array", "read_numbers"]

_MOST = 10_000_000
"""Numbers of a file: one for each image."""


def map_array(path: Path) -> np.ndarray:
    """Maps a .npy file, so that a header which claims more than the file holds allocates nothing.

    Raises:
        OSError: it cannot be read.
        ValueError: it is no such file.
    """
    open_file(path).close()  # It must be a regular file before it is opened by a library that would wait for a pipe.
    try:
        array = np.load(path, mmap_mode="r", allow_pickle=False)
    except OSError:
        raise
    except Exception as error:  # NumPy has Python's own tokenizer and parser read the header, with all their errors.
        raise ValueError(" ".join(str(error).split()) or type(error).__name__) from error
    if not isinstance(array, np.ndarray):
        raise ValueError("it is an archive of arrays")
    return array


def read_numbers(path: Path) -> Float[np.ndarray, " n"]:
    """Reads a .npy file of real numbers, of any tensor shape, as one row.

    Raises:
        InputError: it is no such file, or holds too many numbers.
    """
    try:
        array = map_array(path)
        if array.dtype.kind not in "iuf":
            raise ValueError(f"its elements are {array.dtype}")
        if array.size > _MOST:
            raise ValueError(f"it holds {array.size:,} numbers, at most {_MOST:,} are read")
        return np.array(array, dtype=np.float64).ravel()
    except (OSError, ValueError) as error:
        raise InputError(f"{path}: is not a readable array of numbers ({error}); write it again") from error
