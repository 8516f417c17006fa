"""Images packed into tar files in the conventions of WebDataset, found by an index.

A packed dataset (docs/datasets.md, "Packed form") is a folder with `dataset.json`, `images-000000.tar` and so on,
`index.npy` with a row for each image, and `shards.json`, written last, which describes the other files.
"""

import functools
import hashlib
import os
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, SupportsIndex, overload

import numpy as np
from jaxtyping import Shaped

from get3d.arrays import map_array
from get3d.files import InputError, open_file, read_json, require_format, require_names
from get3d.ranges import Range
from get3d.storage import restore

__all__ = [
    "FORMAT",
    "INDEX",
    "MANIFEST",
    "Names",
    "Shard",
    "Shards",
    "encoded",
    "file_checksum",
    "in_parts",
    "member_name",
    "row_type",
    "shard_name",
]

FORMAT = 1
MANIFEST, INDEX = "shards.json", "index.npy"
OPEN_SHARDS = 128
"""Maximum number of open shards; a process can usually open 1024 files."""
IMAGES_TOGETHER = 2**18
"""Number of index rows that are processed together."""
_FIELDS: list[tuple[str, str]] = [
    ("object", "<i4"),
    ("shard", "<i4"),
    ("offset", "<i8"),
    ("size", "<i4"),
    ("crc", "<u4"),
    ("azimuth", "<f8"),
    ("polar", "<f8"),
]
_AGAIN = "copy it again, or repeat `get3d pack`"


def row_type(longest_name: int, *, turned: bool = False) -> np.dtype[np.void]:
    """The type of index rows: name of the image, index of its object, place of its bytes, camera, turn of the light.

    `offset` and `size` are bytes in the tar file with the index `shard`, `crc` is their CRC-32, angles are radians.
    """
    return np.dtype([("name", f"S{max(longest_name, 1)}"), *_FIELDS, *([("turn", "<f8")] if turned else [])])


def shard_name(number: int) -> str:
    """The file of a shard."""
    return f"images-{number:06d}.tar"


def member_name(number: int) -> str:
    """The key of an image in its shard. Keys are numbers, because names may have dots, which end a key."""
    return f"{number:08d}"


def encoded(name: str) -> bytes:
    """The name of an image as stored in the index."""
    return name.encode("utf-8", "surrogateescape")


def in_parts(count: int) -> list[slice]:
    """Parts of the rows, so that results take little memory for any number of rows."""
    return [slice(start, min(start + IMAGES_TOGETHER, count)) for start in range(0, count, IMAGES_TOGETHER)]


def file_checksum(path: Path) -> str:
    """SHA-256 of a file, in hexadecimal digits."""
    with open_file(path) as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


@dataclass(frozen=True)
class Shard:
    """Description of one tar file.

    Attributes:
        name: file name in the dataset folder.
        images: number of images.
        size: size of the file in bytes.
        sha256: SHA-256 of the file, in hexadecimal digits.
    """

    name: str
    images: Annotated[int, Range(0, 2**53)]
    size: Annotated[int, Range(0, 2**53)]
    sha256: str


class Names(Sequence[str]):
    """Names of images, decoded on access, so that ten million names need no memory."""

    def __init__(self, encoded: Shaped[np.ndarray, " n"]) -> None:
        """Takes the names as `encoded` makes them, one an element."""
        self._encoded = encoded

    def __len__(self) -> int:
        return len(self._encoded)

    @overload
    def __getitem__(self, number: SupportsIndex) -> str: ...

    @overload
    def __getitem__(self, number: slice) -> "Names": ...

    def __getitem__(self, number: SupportsIndex | slice) -> "str | Names":
        if isinstance(number, slice):
            return Names(self._encoded[number])
        return bytes(self._encoded[number]).decode("utf-8", "surrogateescape")


class _Opened:
    """A file held open for reading at any place, by any thread; closed when nobody holds it any longer."""

    def __init__(self, path: Path) -> None:
        with open_file(path) as file:
            self.number = os.dup(file.fileno())

    def __del__(self) -> None:
        if hasattr(self, "number"):
            os.close(self.number)


class Shards:
    """The images of a packed dataset.

    Attributes:
        root: the dataset folder.
        files: the tar files, in order.
        index: [n] a row of `row_type` for each image, mapped from its file and shared by all processes.
    """

    root: Path
    files: tuple[Shard, ...]
    index: Shaped[np.ndarray, " n"]

    def __init__(self, root: Path) -> None:
        """Reads the index and checks the sizes of the index and of the tar files.

        Raises:
            InputError: a file is missing, truncated, longer, or not an index of these files.
        """
        self.root = root
        manifest = _read_manifest(root / MANIFEST)
        self.files = manifest.shards
        for shard in (*self.files, manifest.index):
            _require_size(root / shard.name, shard.size)
        self.index = _read_index(root / INDEX, self.files)
        self._index_file = manifest.index
        self._opened = functools.lru_cache(OPEN_SHARDS)(lambda number: _Opened(self.root / self.files[number].name))

    def path(self, number: int) -> Path:
        """The shard of an image, and its member in it, for messages."""
        return self.root / self.files[int(self.index["shard"][number])].name / f"{member_name(number)}.png"

    def content(self, number: int) -> bytes:
        """The bytes of an image, exactly as packed.

        Raises:
            InputError: the shard cannot be read, or its bytes have changed.
        """
        _, _, shard, offset, size, crc, _, _ = self.index[number].item()
        path = self.root / self.files[shard].name
        try:
            # Held by name until it is read: another thread may have opened it too, and the cache keeps but one of them.
            opened = self._opened(shard)
            content = os.pread(opened.number, size, offset)
        except OSError as error:
            raise InputError(f"{path}: cannot be read ({error.strerror}); {_AGAIN}") from error
        if zlib.crc32(content) != crc:
            what = f"the image {Names(self.index['name'])[number]} at byte {offset} has changed since it was packed"
            raise InputError(f"{path}: {what}; {_AGAIN}")
        return content

    def changed(self) -> list[tuple[Path, str, str]]:
        """Reads all files. Returns those with another checksum than when packed: path, what is wrong, the fix."""
        found = []
        for shard in (self._index_file, *self.files):
            path = self.root / shard.name
            try:
                checksum = file_checksum(path)
            except OSError as error:
                found.append((path, f"cannot be read ({error.strerror})", _AGAIN))
                continue
            if checksum != shard.sha256:
                # The list is a file from elsewhere, so its checksum may be any text.
                what = f"has changed since it was packed (SHA-256 {checksum[:12]!r}…, packed as {shard.sha256[:12]!r}…)"
                found.append((path, what, _AGAIN))
        return found


@dataclass(frozen=True)
class Manifest:
    """What `shards.json` says of the files.

    Attributes:
        shards: the tar files, in order.
        index: the index of their images.
    """

    shards: tuple[Shard, ...]
    index: Shard


def _read_manifest(path: Path) -> Manifest:
    values = require_format(read_json(path), path, "pack the dataset again", FORMAT)
    try:
        found = restore(Manifest, {name: values.get(name) for name in ("shards", "index")}, path)
    except InputError as error:
        raise InputError(f"{error}; {_AGAIN}") from error
    names = [shard.name for shard in (*found.shards, found.index)]
    expected = [*map(shard_name, range(len(found.shards))), INDEX]
    for name, right in zip(names, expected, strict=True):
        if name != right:
            raise InputError(f"{path}: names the file {name!r} instead of {right!r}; {_AGAIN}")
    return found


def _require_size(path: Path, size: int) -> None:
    try:
        found = path.stat().st_size
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror}); {_AGAIN}") from error
    if found != size:
        how = "truncated" if found < size else "longer than it was"
        raise InputError(f"{path}: has {found} bytes, but {size} were packed, so it is {how}; {_AGAIN}")


def _read_index(path: Path, files: Sequence[Shard]) -> Shaped[np.ndarray, " n"]:
    """The index, mapped, after a proof that each image lies within its shard."""
    try:
        index = map_array(path)
    except (OSError, ValueError) as error:
        raise InputError(f"{path}: is not an index ({error}); {_AGAIN}") from error
    names = index.dtype.names
    if (
        index.ndim != 1
        or names is None
        or index.dtype
        not in (
            row_type(index.dtype[0].itemsize),
            row_type(index.dtype[0].itemsize, turned=True),
        )
    ):
        raise InputError(f"{path}: has rows of another kind ({index.dtype}); {_AGAIN}")
    images = sum(shard.images for shard in files)
    sizes = np.array([shard.size for shard in files], dtype=np.int64)
    if not len(index) or len(index) != images:
        raise InputError(f"{path}: has {len(index)} rows for {images} images in the shards; {_AGAIN}")
    for part in in_parts(len(index)):
        shard, offset, size, thing = (index[name][part] for name in ("shard", "offset", "size", "object"))
        known = (shard >= 0) & (shard < len(files))
        inside = known & (offset >= 0) & (size >= 0) & (offset + size <= sizes[np.where(known, shard, 0)])
        inside &= (thing >= 0) & (thing < len(index))
        if not inside.all():
            row = part.start + int(np.argmin(inside))
            raise InputError(f"{path}: row {row} is {index[row].item()}, outside its shard; {_AGAIN}")
        require_names(Names(index["name"][part]), path)
    return index
