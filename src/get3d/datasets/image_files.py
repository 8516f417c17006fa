"""Reads image files of datasets."""

from pathlib import Path

from get3d.files import InputError, open_file

__all__ = ["read_image"]

_MOST_BYTES = 2**27
"""Maximum bytes of an image file: 2048² pixels of RGBA take 2²⁴, and PNG adds little."""


def read_image(path: Path) -> bytes:
    """Reads the bytes of an image file, up to the maximum size of a dataset image.

    Raises:
        InputError: the file cannot be read, or is too large.
    """
    try:
        with open_file(path) as file:
            content = file.read(_MOST_BYTES + 1)
    except OSError as error:
        what = f"cannot be read ({error.strerror})"
        raise InputError(f"{path}: {what}; restore it or make the dataset again") from error
    if len(content) > _MOST_BYTES:
        raise InputError(f"{path}: is larger than {_MOST_BYTES >> 20} MiB; make the image again")
    return content
