"""Camera files and datasets, damaged in every way: each is read or refused in one sentence, in bounded time and memory.

GET3D_FUZZ_SECONDS is how long each reader is tried.
"""

import json
import time

import numpy as np
import pytest
from hypothesis import strategies as st
from rich.console import Console

from captures import blender_matrices, write_colmap, write_transforms
from datasets import make_dataset, make_published
from fuzzing import cut_and_changed, fuzz, odd_json, reads_or_refuses
from get3d.authoring.from_images.colmap import read_colmap
from get3d.authoring.from_images.sources import Present
from get3d.authoring.from_images.tables import read_csv, read_pair
from get3d.authoring.from_images.transforms import read_transforms
from get3d.datasets import cache as folder_cache
from get3d.datasets.check import check
from get3d.datasets.index import read
from get3d.datasets.pack import PackConfig, pack

pytestmark = pytest.mark.slow

QUIET = Console(quiet=True)
MATRICES = blender_matrices(np.array([[10.0, 80.0], [200.0, 70.0], [300.0, 60.0]]), 2.0)
NAMES = ["images/a.png", "b", "c.JPG"]


def odd_text(whole):
    """A text file with bytes changed, or words of it replaced by odd ones, or in another encoding."""
    words = whole.decode().replace(",", " ").split()

    def replaced(pair):
        return whole.decode().replace(pair[0], pair[1], 1).encode("utf-8", "surrogatepass")

    odd = st.sampled_from(["nan", "inf", "-1e400", "1e300", "", "0", "x", "\u2028", "\0", '"', "9" * 400, "\r", "a b"])
    return st.one_of(
        cut_and_changed(whole),
        st.tuples(st.sampled_from(words), odd).map(replaced),
        st.sampled_from(["utf-16", "utf-8-sig", "utf-32", "latin-1"]).map(lambda name: whole.decode().encode(name)),
        st.binary(max_size=200),
    )


def test_transforms(tmp_path):
    lens = {"fl_x": 50.0, "w": 64, "h": 64, "cx": 32, "k1": 0, "camera_model": "OPENCV"}
    path = write_transforms(tmp_path / "transforms.json", MATRICES, NAMES, **lens)
    whole = path.read_bytes()
    present = Present(tmp_path, ["images/a.png", "b.png", "c.jpg"])

    def check_one(content):
        path.write_bytes(content)

        def use():
            poses = read_transforms(path)
            present.look_up([*poses.names, *poses.refused], path, None)
            assert np.isfinite(poses.positions).all()
            assert np.isfinite(poses.rotations).all()

        reads_or_refuses(use)

    fuzz(st.one_of(odd_json(json.loads(whole)), cut_and_changed(whole), odd_text(whole)), check_one)


@pytest.mark.parametrize("file", ["images.txt", "cameras.txt"])
def test_colmap(tmp_path, file):
    folder = write_colmap(tmp_path, MATRICES, NAMES, "OPENCV 80 60 50 51 40 30 0 0 0 0")
    whole = (folder / file).read_bytes()

    def check_one(content):
        (folder / file).write_bytes(content)

        def use():
            poses = read_colmap(folder)
            assert np.isfinite(poses.positions).all()
            assert np.isfinite(poses.rotations).all()

        reads_or_refuses(use)

    fuzz(odd_text(whole), check_one)


def test_tables(tmp_path):
    path = tmp_path / "cameras.csv"
    whole = b"image,azimuth,polar\na.png,10,80\n" + b"".join(b"%d.png,%d,70.5\n" % (n, n) for n in range(9))

    def check_one(content):
        path.write_bytes(content)
        reads_or_refuses(lambda: read_csv(path, 50.0))

    fuzz(odd_text(whole), check_one)


def test_pairs(tmp_path):
    np.save(tmp_path / "azimuth.npy", np.arange(3.0))
    np.save(tmp_path / "elevation.npy", np.arange(3.0))
    whole = (tmp_path / "azimuth.npy").read_bytes()
    claims = [b"(3,)", b"(3000000000000,)", b"(-1,)", b"(True,)", b"(3, 1" + b", 1" * 40 + b")", b"(" * 50]
    kinds = [b"'<f8'", b"'|O'", b"'<c16'", b"'<U9'", b"[('a', '<f8')]", b"'<M8[s]'", b"None"]
    claimed = st.tuples(st.sampled_from(claims), st.sampled_from(kinds)).map(
        lambda pair: whole.replace(b"(3,)", pair[0]).replace(b"'<f8'", pair[1])
    )

    def check_one(content):
        (tmp_path / "azimuth.npy").write_bytes(content)
        reads_or_refuses(lambda: read_pair(tmp_path, ["a", "b", "c"], 50.0))

    fuzz(st.one_of(cut_and_changed(whole), claimed), check_one)


def checked(root, path, splits=None):
    """A check that writes a file of a dataset and has it read and checked: problems are told, each in one line."""

    def check_one(content):
        path.write_bytes(content)
        reads_or_refuses(lambda: read(root, splits))

        def use():
            report = check(root, splits)
            assert all(len(problem.message.splitlines()) == 1 for problem in report.errors)
            json.dumps(report.as_json(), allow_nan=False)

        assert reads_or_refuses(use) is None

    return check_one


@pytest.mark.parametrize("file", ["dataset.json", "cameras.csv"])
def test_own_datasets(tmp_path, file):
    path = make_dataset(tmp_path / "data", objects=3) / file
    whole = path.read_bytes()
    odd = odd_json(json.loads(whole)) if file == "dataset.json" else odd_text(whole)
    fuzz(st.one_of(odd, cut_and_changed(whole)), checked(path.parent, path))


def test_published_datasets(tmp_path):
    root = make_published(tmp_path / "data", objects=3)
    path = root / "camera" / "03001627" / "model1" / "rotation.npy"
    fuzz(cut_and_changed(path.read_bytes()), checked(root, path))


def test_splits(tmp_path):
    root = make_dataset(tmp_path / "data", objects=3)
    for split in ("train", "val", "test"):
        (tmp_path / f"{split}.txt").write_text("000000\n000001\n")
    path = tmp_path / "val.txt"
    fuzz(odd_text(path.read_bytes()), checked(root, path, tmp_path))


def test_kept_listings(tmp_path, monkeypatch):
    monkeypatch.setattr(folder_cache, "LARGE_FOLDER", 1)
    root = make_dataset(tmp_path / "data", objects=3)
    began = time.time() + 60
    listing = read(root)
    tables = ["dataset.json", "cameras.csv"]
    folder_cache.remember(root, "images", tables, folder_cache.Found(list(listing.images), listing.angles), began)
    path = root / ".folder.npz"
    assert read(root).seen
    fuzz(cut_and_changed(path.read_bytes()), checked(root, path))


@pytest.mark.parametrize("file", ["shards.json", "index.npy", "images-000000.tar", "dataset.json"])
def test_shards(tmp_path, file):
    root = pack(PackConfig(make_dataset(tmp_path / "data", objects=3), tmp_path / "packed"), QUIET)
    whole = (root / file).read_bytes()
    odd = cut_and_changed(whole)
    if file.endswith(".json"):
        odd = st.one_of(odd, odd_json(json.loads(whole)))
    if file == "index.npy":
        # Of the right size, so that its rows are read.
        odd = st.one_of(odd, odd.map(lambda content: (content + whole)[: len(whole)]))
    fuzz(odd, checked(root, root / file))
