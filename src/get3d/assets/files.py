"""Checks untrusted files before loading, and reads the files that they name, from their own folder only."""

import faulthandler
import io
import multiprocessing
import os
import re
import signal
import threading
import unicodedata
import urllib.parse
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from types import FrameType
from typing import Any

from PIL import Image
from trimesh.resolvers import Resolver

from get3d.files import InputError

__all__ = ["LIMITS", "FolderResolver", "careful_images", "readable_name", "require_loadable", "time_limit"]

IMAGE_FORMATS = ("PNG", "JPEG", "WEBP", "BMP", "TGA", "TIFF", "GIF", "DDS")
"""Formats that PIL decodes by itself; some of its others start programs."""
_IMAGE_SUFFIXES = (".png", ".jpg", ".jpeg", ".webp", ".bmp", ".tga", ".tif", ".tiff", ".gif", ".dds")
MOST_PIXELS = 8192**2


@dataclass(frozen=True)
class Limits:
    """Limits for one untrusted object, in addition to the number of faces (`--max-faces`).

    Attributes:
        bytes: total bytes of the other files that it names.
        pixels: total pixels of its textures.
        instances: number of placed meshes.
        nodes: number of nodes of its scene, or prims, with everything that they refer to, including bones and groups.
        seconds: time for reading it.
    """

    bytes: int = 2**31
    pixels: int = 2**29
    instances: int = 20_000
    nodes: int = 200_000
    seconds: int = 300


LIMITS = Limits()
GRACE = 30
"""Seconds until a process that cannot be interrupted is killed."""
_BYTES_PER_FACE = 256
"""Bytes per face; no format needs more, apart from textures."""


_USUAL_FOLDERS = ("", "textures", "../textures", "materials/textures", "../materials/textures")
"""Texture folders relative to the model, as in Sketchfab, Poly Haven and Google Scanned Objects."""
_ENCODINGS = ("utf-8", "cp1252", "gb18030", "cp932", "big5", "euc_kr", "cp1251")
"""Encodings of names that are not UTF-8; the first that gives an existing file counts."""
_ABSOLUTE = re.compile(r"/|[A-Za-z]:/|file:")


class FolderResolver(Resolver):
    """Gives trimesh the files that a model asks for, of one folder and those below.

    trimesh goes on without a file that it does not get, so what was missing and what was refused is kept here.

    Attributes:
        missing: names of files that are not there, or are images that cannot be read.
        refused: names that lead out of the folder.
        decoded: images by their name or identity, and what is left of them when they are decoded and reduced.
        maps: whether textures besides the base colour are wanted.
    """

    def __init__(self, root: Path, folder: Path, *, maps: bool = False) -> None:
        self.maps = maps
        # Links are not followed: a model may be a link, and its files are in the folder of the link.
        self.root, self.folder = root.absolute(), folder.absolute()
        self.missing: list[str] = []
        self.refused: list[str] = []
        self.decoded: dict[int | str, tuple[Image.Image, Image.Image | None]] = {}
        self._bytes = self._pixels = 0
        self._listings: dict[Path, dict[str, str]] = {}

    def get(self, key: str) -> bytes:
        """The content of a file, named from the model's folder.

        Raises:
            OSError: it is not there, is refused, or is an image that cannot be read.
        """
        path = self.find(key)
        if path is not None and self._bytes + path.stat().st_size <= LIMITS.bytes:
            content = path.read_bytes()
            self._bytes += len(content)
            if path.suffix.lower() not in _IMAGE_SUFFIXES or _readable(content):
                return content
        name = readable_name(key)
        if name not in (*self.refused, *self.missing):
            self.missing.append(name)
        raise FileNotFoundError(key)

    def image(self, key: str) -> Image.Image | None:
        """An image that the model names, not yet decoded; None, and noted as missing, if it cannot be read."""
        try:
            image = Image.open(io.BytesIO(self.get(key)), formats=IMAGE_FORMATS)
        except OSError:
            if readable_name(key) not in (*self.missing, *self.refused):
                self.missing.append(readable_name(key))
            return None
        image.info["file_path"] = readable_name(key)
        return image

    def affordable(self, image: Image.Image, name: str) -> bool:
        """Whether an image may be decoded; if not, it is noted as missing."""
        pixels = image.width * image.height
        known = image.format in (*IMAGE_FORMATS, None)
        if not known or pixels > MOST_PIXELS or self._pixels + pixels > LIMITS.pixels:
            self.missing.append(name)
            return False
        self._pixels += pixels
        return True

    def find(self, key: str) -> Path | None:
        """The file of a name, at its path or in the usual folders; None if there is none or it is refused.

        Letter case and the form of accents may differ, as may the folder where the name is of its maker's machine.
        """
        for name in _readings(key):
            # Nothing outside is read: only the last part of an absolute name is searched for.
            for place in [] if _ABSOLUTE.match(name) else dict.fromkeys((name, urllib.parse.unquote(name))):
                path = self._existing(place)
                if path is None:
                    continue
                if not self._within(path):
                    self.refused.append(readable_name(key))
                    return None
                if path.is_file():
                    return path
            for folder in _USUAL_FOLDERS:
                path = self._existing(f"{folder}/{PurePosixPath(name).name}".lstrip("/"))
                if path is not None and self._within(path) and path.is_file():
                    return path
        return None

    def _within(self, path: Path) -> bool:
        return path.resolve().is_relative_to(self.root.resolve())

    def _existing(self, place: str) -> Path | None:
        """The path of a name with its case on disk; unchanged outside the root; None if there is no such file."""
        wanted = Path(os.path.normpath(self.folder / place))
        if not wanted.is_relative_to(self.root):
            return wanted
        path = self.root
        for part in wanted.relative_to(self.root).parts:
            if not os.path.lexists(path / part):
                part = self._listing(path).get(_folded(part), "")
                if not part:
                    return None
            path = path / part
        return path

    def _listing(self, folder: Path) -> dict[str, str]:
        """Names in a folder, by their lower case."""
        if folder not in self._listings:
            try:
                names = (
                    sorted(entry.name for entry in folder.iterdir())
                    if folder.resolve().is_relative_to(self.root.resolve())
                    else []
                )
            except OSError:
                names = []
            self._listings[folder] = {_folded(name): name for name in names}
        return self._listings[folder]

    def keys(self) -> list[str]:
        """Names are not listed."""
        return []

    def write(self, name: str, data: Any) -> None:
        """Nothing is written."""
        raise PermissionError(name)

    def namespaced(self, namespace: str) -> "FolderResolver":
        """The resolver itself: archives within archives are not opened."""
        return self


def readable_name(key: str) -> str:
    """A printable name: bytes that are not UTF-8 (surrogates here) are decoded as Windows-1252."""
    return key.strip().encode("utf-8", "surrogateescape").decode("utf-8" if _is_text(key) else "cp1252", "replace")


def _is_text(key: str) -> bool:
    return not any("\ud800" <= letter <= "\udfff" for letter in key)


def _readings(key: str) -> list[str]:
    """Possible readings of a name, with `/` between folders and without quotes."""
    names = [key]
    if not _is_text(key):
        names = []
        for encoding in _ENCODINGS:
            with suppress(UnicodeError):
                names.append(key.encode("utf-8", "surrogateescape").decode(encoding))
    return [name.strip().strip("\"'").strip().replace("\\", "/") for name in names]


def _folded(name: str) -> str:
    return unicodedata.normalize("NFC", name).casefold()


@contextmanager
def careful_images() -> Iterator[None]:
    """Within this context, PIL opens no image of more than `MOST_PIXELS`."""
    before = Image.MAX_IMAGE_PIXELS
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        warnings.simplefilter("error", Image.DecompressionBombWarning)
        Image.MAX_IMAGE_PIXELS = MOST_PIXELS
        try:
            yield
        finally:
            Image.MAX_IMAGE_PIXELS = before


@contextmanager
def time_limit(seconds: int) -> Iterator[None]:
    """Interrupts Python code that takes longer; other code ends with its process, if it is a worker.

    Raises:
        InputError: it takes longer.
    """
    if threading.current_thread() is not threading.main_thread() or not hasattr(signal, "setitimer"):
        yield
        return

    def stop(number: int, frame: FrameType | None) -> None:
        raise InputError(f"it takes more than {seconds} s to read; simplify it")

    before = signal.signal(signal.SIGALRM, stop)
    left, interval = signal.setitimer(signal.ITIMER_REAL, seconds)
    with Path(os.devnull).open("w") as nowhere:
        if multiprocessing.parent_process() is not None:
            faulthandler.dump_traceback_later(seconds + GRACE, exit=True, file=nowhere)
        try:
            yield
        finally:
            if multiprocessing.parent_process() is not None:
                faulthandler.cancel_dump_traceback_later()
            signal.setitimer(signal.ITIMER_REAL, left, interval)
            signal.signal(signal.SIGALRM, before)


def _readable(content: bytes) -> bool:
    try:
        Image.open(io.BytesIO(content), formats=IMAGE_FORMATS).close()
    except Exception:  # Decoders of damaged images raise whatever they do.
        return False
    return True


def require_loadable(path: Path, max_faces: int) -> None:
    """Refuses a file by its size, before it is read.

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
