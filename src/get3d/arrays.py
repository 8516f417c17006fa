"""Untrusted NumPy files: nothing is unpickled, and the size of a file limits the memory that it takes."""

import zipfile
from pathlib import Path

import numpy as np
from jaxtyping import Float

from get3d.files import InputError, open_file

__all__ = ["map_array", "read_npy", "read_npz", "read_numbers"]

_RATIO = 100
_FREE = 256 * 2**20
"""An .npz file may unpack to this many bytes plus `_RATIO` times its size. Deflate can reach a factor of a thousand."""
_MOST = 10_000_000
"""Maximum number of values in a file with one for each image."""


def map_array(path: Path) -> np.ndarray:
    """Maps an .npy file, so that the size in its header is compared with the file before memory is allocated.

    Raises:
        OSError, ValueError: it cannot be read, is damaged, claims more than the file holds, or holds Python objects.
    """
    open_file(path).close()  # It must be a regular file before it is opened by a library that would wait for a pipe.
    try:
        # Where the size overflows, NumPy warns and goes on with what is left of it.
        with np.errstate(over="raise"):
            # `np.load` would take an archive, too, and leave it open.
            array: np.ndarray = np.lib.format.open_memmap(path, mode="r")
    except OSError:
        raise
    except Exception as error:  # NumPy has Python's own tokenizer and parser read the head, with all their errors.
        raise ValueError(f"is damaged ({_line(error)})") from error
    return array


def read_npy(path: Path) -> np.ndarray:
    """The array of an .npy file, in memory.

    Raises:
        OSError, ValueError: as `map_array`.
    """
    return np.array(map_array(path))


def read_numbers(path: Path) -> Float[np.ndarray, " n"]:
    """Reads an .npy file of real numbers, of any tensor shape, as a flat array.

    Raises:
        InputError: the file is not such an array, or has too many numbers.
    """
    try:
        array = map_array(path)
        if array.dtype.kind not in "iuf":
            raise ValueError(f"its elements are {array.dtype}")
        if array.size > _MOST:
            raise ValueError(f"it holds {array.size:,} numbers, at most {_MOST:,} are read")
    except (OSError, ValueError) as error:
        raise InputError(f"{path}: is not a readable array of numbers ({error}); write it again") from error
    return np.array(array, dtype=np.float64).ravel()


def read_npz(path: Path) -> dict[str, np.ndarray]:
    """The arrays of an .npz file, by name.

    Raises:
        OSError, ValueError: it cannot be read, is damaged, unpacks to far more than its size, or
            holds Python objects.
    """
    with open_file(path) as file:
        try:
            with zipfile.ZipFile(file) as members:
                unpacked = sum(member.file_size for member in members.infolist())
            if unpacked > _FREE + _RATIO * path.stat().st_size:
                raise ValueError(f"it unpacks to {unpacked} bytes")
            file.seek(0)
            with np.load(file, allow_pickle=False) as stored:
                return {name: stored[name] for name in stored.files}
        except OSError:
            raise
        except Exception as error:  # Python reads archives, and NumPy arrays, with all the errors of that.
            raise ValueError(f"is damaged ({_line(error)})") from error


def _line(error: Exception) -> str:
    return " ".join(str(error).split()) or type(error).__name__
