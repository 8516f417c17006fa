"""Packs a dataset into tar shards: `get3d pack`.

Each shard is written completely or not at all, and its content depends only on the dataset and the options. Until all
shards are finished, a file next to each records what it was made from, so that a repeated command makes only what is
missing.
"""

import hashlib
import io
import json
import math
import os
import shutil
import tarfile
import zlib
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from jaxtyping import Int64, Shaped
from rich.console import Console
from rich.progress import Progress

from get3d.arrays import read_npz
from get3d.console import counted
from get3d.datasets.cache import stamps_of
from get3d.datasets.config import PackConfig
from get3d.datasets.index import Description, Listing, read
from get3d.datasets.shards import (
    FORMAT,
    INDEX,
    MANIFEST,
    Shard,
    Shards,
    encoded,
    file_checksum,
    member_name,
    row_type,
    shard_name,
)
from get3d.datasets.validation import content_problem, quick_problems
from get3d.files import InputError, make_name, read_json, require_space, require_writable, write_json, writing
from get3d.ranges import require_ranges

__all__ = ["PackConfig", "pack"]

_MIB = 2**20
_BLOCK = 512
"""Bytes of a tar header; content is padded to a multiple of this."""
_END = 10_240
"""A tar file ends in empty blocks and is padded to a multiple of this."""
THREADS = 8
_NOTES = ".packing"


@dataclass(frozen=True)
class _Plan:
    """What goes where.

    Attributes:
        listing: the images.
        resolution: side of each in pixels.
        splits: name of the split of each object; None for objects in none.
        rows: kind of the index's rows.
        ends: numbers of the images at which shards begin, and the number of all images.
        stamps: [n, 2] numbers that are others when an image is another.
    """

    listing: Listing
    resolution: int
    splits: Sequence[str | None]
    rows: np.dtype[np.void]
    ends: list[int]
    stamps: Int64[np.ndarray, "n 2"]

    def key(self, shard: int) -> str:
        """A digest of all that a shard is made from."""
        start, end = self.ends[shard : shard + 2]
        digest = hashlib.sha256(f"{FORMAT} {start} {end} {self.resolution} {self.rows}".encode())
        digest.update(self.stamps[start:end].tobytes() + self.listing.angles[start:end].tobytes())
        for number in range(start, end):
            digest.update(_description(self.listing, self.splits, number))
        return digest.hexdigest()


def pack(config: PackConfig, console: Console) -> Path:
    """Writes the shards, their index and `dataset.json`.

    Args:
        config: the options.
        console: console for progress.

    Returns:
        The folder.

    Raises:
        InputError: the dataset cannot be used, an image is not a complete PNG file, or the folder cannot be written to.
    """
    out = config.out
    require_ranges(config)
    listing = read(config.data, assumed=config.assumed)
    resolution, problems = quick_problems(listing)
    if problems:
        raise InputError(f"{problems[0].message}; {len(problems)} problems in total, see `get3d check {config.data}`")
    if any((out / name).exists() for name in ("cameras.csv", "img")) or out.resolve() == config.data.resolve():
        raise InputError(f"{out}: is already a dataset; choose an empty or new folder for --out")
    require_writable(out)
    plan = _planned(listing, resolution, round(config.shard_size * _MIB))
    there = sum(path.stat().st_size for path in out.glob("images-*.tar"))
    require_space(out, int(plan.stamps[:, 1].sum()) - there, "the images in the shards")
    keys = [plan.key(shard) for shard in range(len(plan.ends) - 1)]
    source = hashlib.sha256("".join(keys).encode()).hexdigest()
    if config.meshes and (config.data / "meshes").is_dir():
        _copy_meshes(config.data / "meshes", out / "meshes")
    if _is_done(out, source):
        _describe(plan).write(out)
        console.print(f"{out}: already packed, and nothing has changed", highlight=False)
    else:
        _write(plan, keys, source, out, console)
    return out


def _planned(listing: Listing, resolution: int, most: int) -> _Plan:
    splits: list[str | None] = [None] * len(listing.objects)
    for split, members in listing.splits.items():
        for member in members.tolist():
            splits[member] = split
    if listing.shards is None:
        stamps = stamps_of(listing.root / listing.folder, listing.images)
        sizes = stamps[:, 1].tolist()
    else:
        sizes = listing.shards.index["size"].tolist()
        stamps = np.stack([listing.shards.index["crc"], listing.shards.index["size"]], axis=1).astype(np.int64)
    ends, filled, longest = [0], _END, 0
    for number, size in enumerate(sizes):
        both = size, len(_description(listing, splits, number))
        needed = sum(_BLOCK + math.ceil(length / _BLOCK) * _BLOCK for length in both)
        if filled + needed > most and number > ends[-1]:
            ends.append(number)
            filled = _END
        filled += needed
        longest = max(longest, len(encoded(listing.images[number])))
    return _Plan(
        listing, resolution, splits, row_type(longest, turned=listing.turns is not None), [*ends, len(sizes)], stamps
    )


def _description(listing: Listing, splits: Sequence[str | None], number: int) -> bytes:
    """The JSON member of an image: what it shows, and its camera in degrees."""
    thing = int(listing.object_index[number])
    azimuth, polar = (round(math.degrees(angle), 6) for angle in listing.angles[number].tolist())
    values = {
        "image": listing.images[number],
        "object": listing.objects[thing],
        "azimuth": azimuth,
        "polar": polar,
        "split": splits[thing],
    }
    if listing.turns is not None:
        values["light"] = round(math.degrees(listing.turns[number]), 6)
    if listing.classes:
        values["label"] = listing.classes[listing.labels[thing]]
    return json.dumps(values).encode()


def _describe(plan: _Plan) -> Description:
    """What `dataset.json` says of the shards: what it said before, with all that was assumed or followed from names."""
    listing = plan.listing
    splits = {split: [listing.objects[member] for member in members] for split, members in listing.splits.items()}
    if (listing.root / "dataset.json").is_file():
        return replace(Description.read(listing.root), resolution=plan.resolution, splits=splits)
    kind = make_name(listing.root.resolve().name)
    return Description(kind, plan.resolution, listing.scale, listing.prior, splits, licence="unknown")


def _is_done(out: Path, source: str) -> bool:
    """Whether the folder holds all shards of what is to be packed."""
    try:
        Shards(out)
        return bool(read_json(out / MANIFEST).get("source") == source)
    except InputError:
        return False


def _write(plan: _Plan, keys: list[str], source: str, out: Path, console: Console) -> None:
    (out / MANIFEST).unlink(missing_ok=True)
    shards, parts = [], []
    with Progress(console=console, transient=True) as progress, ThreadPoolExecutor(THREADS) as pool:
        task = progress.add_task("packing", total=len(plan.listing.images))
        for shard, rows in pool.map(lambda number: _shard(plan, number, keys[number], out), range(len(keys))):
            shards.append(shard)
            parts.append(rows)
            progress.advance(task, len(rows))
    for left in out.glob("images-*.tar"):
        if left.name not in {shard.name for shard in shards}:
            left.unlink()
    with writing(out / INDEX) as temporary, temporary.open("wb") as file:
        np.save(file, np.concatenate(parts), allow_pickle=False)
    images = sum(shard.images for shard in shards)
    index = Shard(INDEX, images, (out / INDEX).stat().st_size, file_checksum(out / INDEX))
    _describe(plan).write(out)
    write_json(
        out / MANIFEST,
        {"format": FORMAT, "source": source, "index": vars(index), "shards": [vars(shard) for shard in shards]},
    )
    shutil.rmtree(out / _NOTES)
    total = sum(shard.size for shard in shards)
    console.print(
        f"{out}: {counted(images, 'image')} in {counted(len(shards), 'shard')}, {total / _MIB:.1f} MiB", highlight=False
    )


def _shard(plan: _Plan, number: int, key: str, out: Path) -> tuple[Shard, Shaped[np.ndarray, " k"]]:
    """One shard and its rows of the index; as they are, where the note says that they were made of the same."""
    path, note = out / shard_name(number), out / _NOTES / f"{number:06d}.npz"
    try:
        stored = read_npz(note)
        rows = stored["rows"]
        shard = Shard(path.name, len(rows), int(stored["size"]), str(stored["sha256"]))
        if str(stored["key"]) == key and path.stat().st_size == shard.size:
            return shard, rows
    except (OSError, ValueError, KeyError, TypeError, OverflowError):
        pass  # There is no such note, or it is damaged: the shard is made.
    rows = write_shard(plan, number, path)
    shard = Shard(path.name, len(rows), path.stat().st_size, file_checksum(path))
    with writing(note) as temporary, temporary.open("wb") as file:
        np.savez(file, key=key, rows=rows, size=shard.size, sha256=shard.sha256)
    return shard, rows


def write_shard(plan: _Plan, number: int, path: Path) -> Shaped[np.ndarray, " k"]:
    """Writes one shard. Returns the rows of its images for the index."""
    start, end = plan.ends[number : number + 2]
    listing = plan.listing
    rows = np.zeros(end - start, dtype=plan.rows)
    rows["name"] = [encoded(name) for name in listing.images[start:end]]
    rows["object"], rows["shard"] = listing.object_index[start:end], number
    rows["azimuth"], rows["polar"] = listing.angles[start:end].T
    if listing.turns is not None:
        rows["turn"] = listing.turns[start:end]
    with writing(path) as temporary, tarfile.open(temporary, "w", format=tarfile.USTAR_FORMAT) as tar:
        for row, image in zip(rows, range(start, end), strict=True):
            content = listing.content(image)
            problem = content_problem(listing.path(image), content, plan.resolution)
            if problem is not None:
                raise InputError(problem.message)
            row["offset"], row["size"], row["crc"] = tar.offset + _BLOCK, len(content), zlib.crc32(content)
            _add(tar, f"{member_name(image)}.png", content)
            _add(tar, f"{member_name(image)}.json", _description(listing, plan.splits, image))
    return rows


def _add(tar: tarfile.TarFile, name: str, content: bytes) -> None:
    """Adds a member without owner or time, so that equal datasets give equal shards."""
    member = tarfile.TarInfo(name)
    member.size = len(content)
    tar.addfile(member, io.BytesIO(content))


def _copy_meshes(folder: Path, out: Path) -> None:
    """Copies meshes that are not there yet, without the files of evaluation next to them."""

    def copy(source: str, target: str) -> str:
        there, here = Path(source).stat(), Path(target)
        if not here.exists() or (here.stat().st_size, here.stat().st_mtime_ns) != (there.st_size, there.st_mtime_ns):
            with writing(target) as temporary:
                shutil.copyfile(source, temporary)
            os.utime(target, ns=(there.st_atime_ns, there.st_mtime_ns))
        return target

    ignored = shutil.ignore_patterns(".*", "*.measures.npz")
    try:
        shutil.copytree(folder, out, symlinks=True, ignore=ignored, copy_function=copy, dirs_exist_ok=True)
    except OSError as error:
        raise InputError(f"{out}: meshes cannot be copied ({error}); free some space or use --no-meshes") from error
