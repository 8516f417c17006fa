"""What is looked at before a stranger's file is loaded, and the files it names: nothing outside its folder is read."""

import io
import urllib.parse
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import Any

from PIL import Image
from trimesh.resolvers import Resolver

from get3d.files import InputError, contained

__all__ = ["FolderResolver", "careful_pictures", "require_loadable"]

PICTURE_FORMATS = ("PNG", "JPEG", "WEBP", "BMP", "TGA", "TIFF", "GIF", "DDS")
"""Read within PIL itself; some of its other formats start programs."""
_PICTURE_SUFFIXES = (".png", ".jpg", ".jpeg", ".webp", ".bmp", ".tga", ".tif", ".tiff", ".gif", ".dds")
MOST_PIXELS = 8192**2
_BYTES_PER_FACE = 256
"""No format takes more for a face, textures apart."""


class FolderResolver(Resolver):
    """Gives trimesh the files that a model asks for, of one folder and those below.

    trimesh goes on without a file that it does not get, so what was missing and what was refused is kept here.

    Attributes:
        missing: names of files that are not there, or are pictures that cannot be read.
        refused: names that lead out of the folder.
    """

    def __init__(self, root: Path, folder: Path) -> None:
        self.root, self.folder = root, folder
        self.missing: list[str] = []
        self.refused: list[str] = []

    def get(self, key: str) -> bytes:
        """The content of a file, named from the model's folder.

        Raises:
            OSError: it is not there, is refused, or is a picture that cannot be read.
        """
        name = key.strip().replace("\\", "/")
        try:
            place = self.folder.relative_to(self.root) / name
            found = [contained(self.root, str(place)), contained(self.root, urllib.parse.unquote(str(place)))]
        except (InputError, ValueError) as error:
            self.refused.append(key.strip())
            raise FileNotFoundError(key) from error
        # Models name textures by where they lay on their maker's machine; beside the model is where they are now.
        found.append(self.folder / PurePosixPath(name).name)
        for path in found:
            if path.is_file() and path.resolve().is_relative_to(self.root.resolve()):
                content = path.read_bytes()
                if path.suffix.lower() in _PICTURE_SUFFIXES and not _readable(content):
                    break
                return content
        self.missing.append(key.strip())
        raise FileNotFoundError(key)

    def keys(self) -> list[str]:
        """Names are not listed, only asked for."""
        return []

    def write(self, name: str, data: Any) -> None:
        """Nothing is written."""
        raise PermissionError(name)

    def namespaced(self, namespace: str) -> "FolderResolver":
        """The same: archives within archives are not opened."""
        return self


@contextmanager
def careful_pictures() -> Iterator[None]:
    """While it lasts, PIL opens no picture of more than `MOST_PIXELS`."""
    before = Image.MAX_IMAGE_PIXELS
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        warnings.simplefilter("error", Image.DecompressionBombWarning)
        Image.MAX_IMAGE_PIXELS = MOST_PIXELS
        try:
            yield
        finally:
            Image.MAX_IMAGE_PIXELS = before


def _readable(content: bytes) -> bool:
    try:
        Image.open(io.BytesIO(content), formats=PICTURE_FORMATS).close()
    except Exception:  # Decoders of damaged pictures raise whatever they do.
        return False
    return True


def require_loadable(path: Path, max_faces: int) -> None:
    """Refuses a file by its size, before memory is spent on it.

    Raises:
        InputError: it is empty or too large.
    """
    size = path.stat().st_size
    if size == 0:
        raise InputError("the file is empty; get it again")
    if size > max_faces * _BYTES_PER_FACE:
        raise InputError(
            f"the file has {size} bytes, more than {max_faces} faces need; simplify it, or allow more with --max-faces"
        )
