"""Shards hold what was packed and are read as the folder was; packing can be stopped and repeated."""

import json
import os
import shutil
import tarfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from rich.console import Console
from safetensors.torch import load_file

import tiny
from datasets import VIEWS, degrees, make_dataset, make_published
from get3d.camera_prior import CameraPrior
from get3d.datasets import pack as pack_module
from get3d.datasets.index import Assumed, Description, read
from get3d.datasets.loader import ImageDataset
from get3d.datasets.pack import PackConfig, pack
from get3d.files import InputError
from get3d.training.loop import train

SHARD = 0.024
"""MiB: a few images a shard."""


def packed(data: Path, out: Path, **options: object) -> Path:
    return pack(PackConfig(data, out, **{"shard_size": SHARD, **options}), Console(quiet=True))


def contents(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    root = make_dataset(tmp_path_factory.mktemp("data"))
    names = [f"{k:06d}" for k in range(10)]
    replace(Description.read(root), labels={"odd": names[1::2], "even": names[::2]}).write(root)
    (root / "meshes").mkdir()
    (root / "meshes" / "000002.glb").write_bytes(b"a mesh")
    (root / "meshes" / "000002.glb.measures.npz").write_bytes(b"kept beside it")
    return root


@pytest.fixture(scope="module")
def shards(data, tmp_path_factory):
    return packed(data, tmp_path_factory.mktemp("packed") / "shards")


def test_shards_are_tar_files_in_the_conventions_of_webdataset(data, shards):
    """A plain tar reader finds, next to each other, an image as it was and what is known of it."""
    listing, members = read(data), []
    files = sorted(shards.glob("*.tar"))
    assert len(files) > 2
    for path in files:
        assert path.stat().st_size <= SHARD * 2**20
        with tarfile.open(path) as tar:
            members += [(member, tar.extractfile(member).read()) for member in tar.getmembers()]
    assert len(members) == 2 * 10 * VIEWS
    for number in range(10 * VIEWS):
        (image, content), (description, text) = members[2 * number : 2 * number + 2]
        assert (image.name, description.name) == (f"{number:08d}.png", f"{number:08d}.json")
        assert (image.mtime, image.uid, image.uname) == (0, 0, "")
        assert content == listing.path(number).read_bytes()
        thing = number // VIEWS
        azimuth, polar = degrees(10 * VIEWS)[number]
        assert json.loads(text) == {
            "image": f"{thing:06d}/{number % VIEWS:03d}.png",
            "object": f"{thing:06d}",
            "azimuth": pytest.approx(azimuth, abs=1e-6),
            "polar": pytest.approx(polar, abs=1e-6),
            "split": next(split for split, of in listing.splits.items() if thing in of),
            "label": "odd" if thing % 2 else "even",
        }


def test_a_packed_dataset_is_listed_like_the_folder(data, shards):
    folder, listing = read(data), read(shards)
    assert list(listing.images) == list(listing.present) == folder.images
    assert listing.objects == folder.objects
    assert (listing.classes, listing.prior, listing.scale) == (folder.classes, folder.prior, folder.scale)
    for name in ("object_index", "angles", "labels"):
        np.testing.assert_array_equal(getattr(listing, name), getattr(folder, name))
    for split, members in folder.splits.items():
        np.testing.assert_array_equal(listing.splits[split], members)
    assert [listing.content(n) for n in range(30)] == [folder.content(n) for n in range(30)]
    assert listing.path(29).name == "00000029.png"
    assert listing.path(29).parent.is_file()


@pytest.mark.parametrize("cache_bytes", [0, 2**20])
def test_training_sees_the_same_images_in_the_same_order(data, shards, cache_bytes):
    streams = [
        ImageDataset(root, "train", cache_bytes=cache_bytes).batches(8, seed=3, position=5) for root in (data, shards)
    ]
    for _ in range(6):
        one, other = (next(stream) for stream in streams)
        assert torch.equal(one.images, other.images)
        assert torch.equal(one.angles, other.angles)
        assert torch.equal(one.label, other.label)


@pytest.mark.slow
def test_a_run_that_began_on_the_folder_goes_on_with_the_shards(tmp_path):
    data = tiny.write_dataset(tmp_path / "data")
    shards = packed(data, tmp_path / "shards")
    config, quiet = tiny.run_config(data, tmp_path / "parts", kimg=0.020), Console(quiet=True)
    train(config, quiet)
    last = load_file(train(replace(config, data=shards, kimg=0.040), quiet))
    whole = load_file(train(replace(config, out=tmp_path / "whole", kimg=0.040), quiet))
    assert last.keys() == whole.keys()
    assert all(torch.equal(last[name], whole[name]) for name in whole)


def test_meshes_come_along_unless_not_wanted(data, shards, tmp_path):
    assert contents(shards / "meshes") == {"000002.glb": b"a mesh"}
    assert not (packed(data, tmp_path, meshes=False) / "meshes").exists()


def test_equal_datasets_give_equal_shards(data, shards, tmp_path):
    copy = shutil.copytree(data, tmp_path / "copy")
    for path in copy.rglob("*.png"):
        os.utime(path, (1, 1))
    found, before = contents(packed(copy, tmp_path / "out")), contents(shards)
    for files in (found, before):
        files["shards.json"] = {**json.loads(files["shards.json"]), "source": ""}
    assert found == before


def test_packing_that_was_stopped_goes_on(data, shards, tmp_path, monkeypatch):
    """Shards that are done are not made again; one that was made from other images is."""
    out = tmp_path / "out"
    write = pack_module.write_shard
    written = []

    def stopped(plan, number, path):
        if number == 2:
            raise KeyboardInterrupt
        written.append(number)
        return write(plan, number, path)

    monkeypatch.setattr(pack_module, "THREADS", 1)
    monkeypatch.setattr(pack_module, "write_shard", stopped)
    with pytest.raises(KeyboardInterrupt):
        packed(data, out)
    assert written[:2] == [0, 1]
    with pytest.raises(InputError, match=r"shards\.json: no such file, packing was not completed"):
        read(out)
    done = set(written)
    assert len(list(out.glob("*.tar"))) == len(done)

    again = []
    monkeypatch.setattr(pack_module, "write_shard", lambda plan, n, path: (again.append(n), write(plan, n, path))[1])
    packed(data, out)
    assert set(again) == set(range(len(list(shards.glob("*.tar"))))) - done
    assert contents(out) == contents(shards)

    again.clear()
    packed(data, out)
    assert not again
    packed(data, out, shard_size=10.0)
    assert again == [0]
    assert [path.name for path in out.glob("*.tar")] == ["images-000000.tar"]


def test_an_image_that_changed_is_packed_again(data, tmp_path):
    copy = shutil.copytree(data, tmp_path / "copy")
    out = packed(copy, tmp_path / "out")
    path = copy / "images" / "000004" / "001.png"
    path.write_bytes((copy / "images" / "000004" / "002.png").read_bytes())
    packed(copy, out)
    assert read(out).content(13) == path.read_bytes()


def test_shards_can_be_packed_anew(data, shards, tmp_path):
    large, small = packed(shards, tmp_path / "large", shard_size=1.0), packed(data, tmp_path / "small", shard_size=1.0)
    found, before = contents(large), contents(small)
    assert found.keys() == before.keys()
    assert {name for name in found if found[name] != before[name]} == {"shards.json"}


def test_the_published_layout_is_packed_with_what_is_assumed(tmp_path):
    published = make_published(tmp_path / "published")
    prior = CameraPrior(polar=(45.0, 90.0))
    out = packed(published, tmp_path / "out", assumed=Assumed(0.7, prior))
    folder, listing = read(published), read(out)
    assert (listing.prior, listing.scale, listing.resolution) == (prior, 0.7, 16)
    assert list(listing.images) == folder.images
    np.testing.assert_array_equal(listing.angles, folder.angles)
    assert {s: m.tolist() for s, m in listing.splits.items()} == {s: m.tolist() for s, m in folder.splits.items()}


def test_a_damaged_image_is_not_packed(data, tmp_path, monkeypatch):
    copy = shutil.copytree(data, tmp_path / "copy")
    path = copy / "images" / "000004" / "001.png"
    whole = path.read_bytes()
    path.write_bytes(whole[:-6])
    with pytest.raises(InputError, match=r"001\.png: is truncated"):
        packed(copy, tmp_path / "out")
    # Beyond the images that are looked at before, each is looked at when its turn has come.
    monkeypatch.setattr(pack_module, "quick_problems", lambda listing: (16, []))
    with pytest.raises(InputError, match=r"001\.png: is truncated"):
        packed(copy, tmp_path / "out")
    assert not (tmp_path / "out" / "shards.json").exists()


@pytest.mark.parametrize("size", [0.0, -1.0, float("nan")])
def test_impossible_sizes_are_refused(data, tmp_path, size):
    with pytest.raises(InputError, match="--shard-size is"):
        packed(data, tmp_path, shard_size=size)


def test_a_dataset_is_not_packed_over(data, tmp_path):
    with pytest.raises(InputError, match="is already a dataset"):
        packed(data, data)
    with pytest.raises(InputError, match="is already a dataset"):
        packed(data, make_published(tmp_path))
