"""What was found in a folder is taken as long as nothing in the folder has changed, and never longer."""

import os
import shutil
import time
from pathlib import Path

import numpy as np
import pytest
import torch

import tiny
from datasets import make_dataset, make_published
from get3d.datasets import cache as folder_cache
from get3d.datasets import index as layout
from get3d.datasets.index import read
from get3d.datasets.loader import ImageDataset
from get3d.distributed.processes import joined
from get3d.files import InputError
from get3d.training.config import cross_rank_fingerprint, prepare_run
from ranks import Ranks


@pytest.fixture(autouse=True)
def anywhere(monkeypatch, tmp_path):
    """Small folders count as large, and the cache folder is the test's own."""
    monkeypatch.setattr(folder_cache, "LARGE_FOLDER", 1)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


def age(root: Path, seconds: float = 60.0) -> None:
    """Sets the time of change of all files and folders back."""
    then = time.time() - seconds
    for place, _, files in os.walk(root):
        for path in (Path(place), *(Path(place) / name for name in files)):
            os.utime(path, (then, then))


@pytest.fixture(params=["ours", "published"])
def root(request, tmp_path):
    root = (make_dataset if request.param == "ours" else make_published)(tmp_path / "data")
    age(root)
    return root


def images_of(root: Path) -> Path:
    return root / ("images" if (root / "images").is_dir() else "img/03001627")


def test_a_listing_that_was_kept_is_the_same(root, monkeypatch):
    before = read(root)
    first = ImageDataset(root, "train")
    assert not before.seen
    assert (root / ".folder.npz").is_file()
    # Neither the names of the files nor their content are looked at.
    monkeypatch.setattr("get3d.datasets.index.images_below", None)
    monkeypatch.setattr("get3d.datasets.validation.ends_problem", None)
    after = read(root)
    assert after.seen
    for name, value in vars(before).items():
        if name == "splits":
            assert {s: m.tolist() for s, m in value.items()} == {s: m.tolist() for s, m in after.splits.items()}
        elif isinstance(value, np.ndarray):
            np.testing.assert_array_equal(getattr(after, name), value)
        elif name != "seen":
            assert getattr(after, name) == value, name
    again = ImageDataset(root, "train")
    assert torch.equal(again.load(range(len(again))), first.load(range(len(first))))


def _remove(root: Path) -> None:
    next(images_of(root).rglob("002.png")).unlink()


def _add(root: Path) -> None:
    path = next(images_of(root).rglob("002.png"))
    shutil.copyfile(path, path.with_name("003.png"))


def _add_object(root: Path) -> None:
    shutil.copytree(next(images_of(root).iterdir()), images_of(root) / "new")


def _cut(root: Path) -> None:
    path = next(images_of(root).rglob("002.png"))
    path.write_bytes(path.read_bytes()[:-20])


def _lose_a_camera(root: Path) -> None:
    if (root / "cameras.csv").is_file():
        lines = (root / "cameras.csv").read_text().splitlines(keepends=True)
        (root / "cameras.csv").write_text("".join(lines[:-1]))
    else:
        path = next(root.rglob("rotation.npy"))
        for name in ("rotation.npy", "elevation.npy"):
            np.save(path.with_name(name), np.load(path.with_name(name))[:-1])


@pytest.mark.parametrize("change", [_remove, _add, _add_object, _cut, _lose_a_camera])
def test_what_changes_is_seen(root, change):
    """Without the cache folder's old times, too: only the time of what was touched is new."""
    ImageDataset(root, "train")
    assert read(root).seen
    change(root)
    assert not read(root).seen
    with pytest.raises(InputError, match="png"):
        ImageDataset(root, "train")


def test_a_moved_camera_is_seen(tmp_path):
    root = make_dataset(tmp_path / "data")
    age(root)
    ImageDataset(root, "train")
    path = root / "cameras.csv"
    lines = path.read_text().splitlines(keepends=True)
    name = lines[1].partition(",")[0]
    path.write_text("".join([lines[0], f"{name},12.000000,70.000000\n", *lines[2:]]))
    np.testing.assert_allclose(np.degrees(read(root).angles[0]), [12, 70])


def test_another_resolution_in_the_description_is_seen(tmp_path):
    root = make_dataset(tmp_path / "data")
    age(root)
    ImageDataset(root, "train")
    path = root / "dataset.json"
    path.write_text(path.read_text().replace('"resolution": 16', '"resolution": 32'))
    with pytest.raises(InputError, match="is 16 × 16, the dataset's images are 32 × 32"):
        ImageDataset(root, "train")


def test_a_folder_that_has_just_changed_is_not_kept(tmp_path):
    """A change that follows within the clock's tick would have the same time."""
    root = make_dataset(tmp_path / "data")
    ImageDataset(root, "train")
    assert not (root / ".folder.npz").exists()


def test_small_and_faulty_folders_are_not_kept(root, monkeypatch):
    monkeypatch.setattr(folder_cache, "LARGE_FOLDER", 1000)
    ImageDataset(root, "train")
    assert not (root / ".folder.npz").exists()
    monkeypatch.setattr(folder_cache, "LARGE_FOLDER", 1)
    _remove(root)
    age(root)
    with pytest.raises(InputError, match=r"has (a camera but is missing|no camera)"):
        ImageDataset(root, "train")
    assert not (root / ".folder.npz").exists()


@pytest.mark.parametrize("cache", ["writable", "not writable either"])
def test_a_dataset_that_cannot_be_written_to(tmp_path, monkeypatch, cache):
    """It is kept in the cache folder, or nowhere; training continues in both cases."""
    root = make_dataset(tmp_path / "data")
    age(root)
    writing = folder_cache.writing

    def refuses(path):
        if root in path.parents or cache != "writable":
            raise InputError(f"{path}: cannot be written")
        return writing(path)

    monkeypatch.setattr(folder_cache, "writing", refuses)
    ImageDataset(root, "train")
    assert not (root / ".folder.npz").exists()
    assert read(root).seen == (cache == "writable")
    assert len(list((tmp_path / "cache").rglob("*.npz"))) == (cache == "writable")


@pytest.mark.parametrize("content", [b"", b"no archive", b"PK\x03\x04 cut short"])
def test_a_damaged_file_is_passed_over(root, content):
    ImageDataset(root, "train")
    (root / ".folder.npz").write_bytes(content)
    listing = read(root)
    assert not listing.seen
    assert len(listing.images) == 30


def test_names_that_lead_out_are_passed_over(root):
    ImageDataset(root, "train")
    with np.load(root / ".folder.npz") as stored:
        arrays = dict(stored)
    arrays["images"] = np.frombuffer(b"../../x.png\0" + arrays["images"].tobytes(), np.uint8)
    np.savez(root / ".folder.npz", **arrays)
    assert not read(root).seen


def test_at_most_so_many_are_looked_at_evenly_spread():
    assert list(evenly := folder_cache.evenly(5)) == [0, 1, 2, 3, 4]
    evenly = folder_cache.evenly(100_001)
    assert len(evenly) <= folder_cache.LOOKED_AT
    assert (evenly[0], evenly.step, evenly[-1]) == (0, 6, 99_996)


def _times_listed(config, console):
    """Work of a process: opens the run, and says how often it looked into the folder."""
    folder_cache.LARGE_FOLDER = 1
    looked, look = [], layout.images_below
    layout.images_below = lambda folder: looked.append(folder) or look(folder)
    with joined(config.ranks, "cpu") as ranks:
        run = ranks.require_agreement(lambda: prepare_run(config, ranks.world), cross_rank_fingerprint)
        console.print(len(looked), len(run.images))


@pytest.mark.slow
def test_one_process_of_a_machine_lists_a_folder_for_all(tmp_path):
    data = tiny.write_dataset(tmp_path / "data")
    age(data)
    said = Ranks([tiny.run_config(data, tmp_path / "out", batch=6)] * 3, work=_times_listed).end()
    assert [text.split() for text in said] == [["1", "16"], ["0", "16"], ["0", "16"]]
