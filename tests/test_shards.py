"""What happened to shards since they were packed is found before training, or at the latest when it is read."""

import json
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from rich.console import Console

from datasets import VIEWS, make_dataset
from get3d.datasets import shards as module
from get3d.datasets.check import check
from get3d.datasets.index import read
from get3d.datasets.loader import ImageDataset
from get3d.datasets.pack import PackConfig, pack
from get3d.datasets.shards import Names, Shards, row_type
from get3d.files import InputError

LAST = "images-000003.tar"


@pytest.fixture
def root(tmp_path):
    data = make_dataset(tmp_path / "data")
    return pack(PackConfig(data, tmp_path / "shards", shard_size=0.024), Console(quiet=True))


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-10_240])


def grow(path: Path) -> None:
    path.write_bytes(path.read_bytes() + bytes(512))


def empty(path: Path) -> None:
    path.write_bytes(b"")


@pytest.mark.parametrize(
    ("change", "name", "message"),
    [
        (Path.unlink, LAST, r"images-000003\.tar: cannot be read \(No such file"),
        (cut, LAST, r"images-000003\.tar: has \d+ bytes, but \d+ were packed, so it is truncated; copy it again"),
        (grow, LAST, r"images-000003\.tar: has .*, so it is longer than it was; copy it again"),
        (empty, "images-000000.tar", r"images-000000\.tar: has 0 bytes"),
        (Path.unlink, "index.npy", r"index\.npy: cannot be read"),
        (cut, "index.npy", r"index\.npy: has 0 bytes, but \d+ were packed, so it is truncated"),
        (Path.unlink, "shards.json", r"shards\.json: no such file, packing was not completed"),
        (empty, "shards.json", r"shards\.json: is not readable JSON"),
        (Path.unlink, "dataset.json", r"dataset\.json: no such file"),
    ],
)
def test_missing_and_cut_files_are_named_before_training(root, change, name, message):
    change(root / name)
    with pytest.raises(InputError, match=message):
        ImageDataset(root, "train")


def test_changed_bytes_are_found_by_the_checksum_and_when_they_are_read(root):
    assert Shards(root).changed() == []
    path = root / LAST
    content = bytearray(path.read_bytes())
    content[600] ^= 1
    path.write_bytes(content)
    shards = Shards(root)
    ((found, what, fix),) = shards.changed()
    assert found == path
    assert "has changed since it was packed" in what
    assert "repeat `get3d pack`" in fix
    number = int(np.flatnonzero(shards.index["shard"] == 3)[0])
    with pytest.raises(InputError, match=rf"{LAST}: the image 00\d+/00\d\.png at byte 512 has changed since it was"):
        shards.content(number)
    images = ImageDataset(root, "train")
    with pytest.raises(InputError, match="has changed since it was packed"):
        images.load(range(len(images)))
    path.unlink()
    ((found, what, _),) = shards.changed()
    assert (found, what) == (path, "cannot be read (No such file or directory)")


def test_a_checksum_of_several_lines_is_told_in_one(root):
    values = json.loads((root / "shards.json").read_text())
    values["shards"][0]["sha256"] = "a\nb"
    (root / "shards.json").write_text(json.dumps(values))
    ((_, what, _),) = Shards(root).changed()
    assert r"packed as 'a\nb'" in what
    assert len(what.splitlines()) == 1


def edited(root: Path, change) -> None:
    """Replaces the index by a changed one, and tells the manifest its size."""
    index = change(np.load(root / "index.npy"))
    np.save(root / "index.npy", index)
    values = json.loads((root / "shards.json").read_text())
    values["index"]["size"] = (root / "index.npy").stat().st_size
    (root / "shards.json").write_text(json.dumps(values))


def set_name(name: bytes):
    def change(index: np.ndarray) -> np.ndarray:
        longer = index.astype(row_type(max(len(name), index.dtype["name"].itemsize)))
        longer["name"][4] = name
        return longer

    return change


def set_field(name: str, value: int):
    def change(index: np.ndarray) -> np.ndarray:
        index[name][4] = value
        return index

    return change


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda index: index[:-1], r"has 29 rows for 30 images in the shards"),
        (lambda index: index["offset"], r"has rows of another kind \(int64\)"),
        (lambda index: index.astype(row_type(4)).view(np.uint8), r"has rows of another kind \(uint8\)"),
        (set_field("offset", 10**12), r"row 4 is .*, outside its shard"),
        (set_field("offset", -1), r"row 4 is .*, outside its shard"),
        (set_field("shard", 77), r"row 4 is .*, outside its shard"),
        (set_field("object", 29), r"leaves out an object of 30"),
        (set_name(b"../../x/a.png"), r"'\.\./\.\./x/a\.png' cannot be a name"),
        (set_name(b"/etc/a.png"), r"'/etc/a\.png' cannot be a name"),
        (set_name(b"x/\n/a.png"), r"'x/\\n/a\.png' cannot be a name"),
    ],
)
def test_an_index_that_cannot_be_is_refused(root, change, message):
    edited(root, change)
    with pytest.raises(InputError, match=r"index\.npy: " + message):
        read(root)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"format": 2}, "format is 2, this version reads 1"),
        ({"shards": [{"name": "images-000000.tar"}]}, r"is not a Manifest .*shards\[0\]\.images.*repeat `get3d pack`"),
        (
            {"shards": [{"name": "../x.tar", "images": 30, "size": 1, "sha256": ""}]},
            r"names the file '\.\./x\.tar' instead of 'images-000000\.tar'",
        ),
        *(
            ({"shards": [{"name": "images-000000.tar", "images": odd, "size": 1, "sha256": ""}]}, r"images")
            for odd in (1e300, 30.0, "30", True, None, -1, 2**63, [30])
        ),
    ],
)
def test_a_manifest_that_cannot_be_is_refused(root, change, message):
    path = root / "shards.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | change))
    with pytest.raises(InputError, match=message):
        read(root)


def test_many_threads_read_from_more_shards_than_are_held_open(root, monkeypatch):
    monkeypatch.setattr(module, "OPEN_SHARDS", 1)
    shards, folder = Shards(root), read(root.parent / "data")
    numbers = np.random.default_rng(0).permutation(np.repeat(np.arange(10 * VIEWS), 20)).tolist()
    with ThreadPoolExecutor(8) as pool:
        contents = list(pool.map(shards.content, numbers))
    want = [folder.content(number) for number in range(10 * VIEWS)]
    assert contents == [want[number] for number in numbers]


def test_names_are_a_sequence_of_strings():
    names = Names(np.array([b"a/0.png", "ü/1.png".encode(), b"c"]))
    assert list(names) == ["a/0.png", "ü/1.png", "c"]
    assert list(names[1:]) == ["ü/1.png", "c"]
    assert "c" in names
    assert len(names) == 3


def test_check_reads_shards_and_compares_their_checksums(root):
    report = check(root)
    assert report.usable, str(report)
    assert (report.images, report.objects, report.resolution) == (30, 10, 16)
    path = root / LAST
    content = bytearray(path.read_bytes())
    content[-1] ^= 1  # Behind the last image, where nothing but the checksum tells.
    path.write_bytes(content)
    report = check(root)
    assert not report.usable
    assert [problem.file for problem in report.errors] == [path]
    assert "has changed since it was packed" in str(report)


def test_processes_share_the_index_and_copy_none_of_its_columns(root, monkeypatch):
    """Looked at in parts of any size, the listing is the same, and lies in the mapped file."""
    monkeypatch.setattr(module, "IMAGES_TOGETHER", 7)
    listing, folder = read(root), read(root.parent / "data")
    for column in (listing.object_index, listing.angles):
        assert np.shares_memory(column, listing.shards.index)
    assert isinstance(listing.shards.index, np.memmap)
    np.testing.assert_array_equal(listing.object_index, folder.object_index)
    np.testing.assert_allclose(listing.angles, folder.angles)
    assert listing.objects == folder.objects
    np.testing.assert_array_equal(listing.of_split("train"), folder.of_split("train"))
    assert ImageDataset(root, "train").labels.tolist() == [0] * len(ImageDataset(root, "train"))
