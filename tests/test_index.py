"""Both layouts are read into the same listing; what cannot be read is named."""

import json
from pathlib import Path

import numpy as np
import pytest

from datasets import VIEWS, degrees, make_dataset, make_published
from get3d.camera_prior import CameraPrior
from get3d.datasets.index import Assumed, Description, read, split_of
from get3d.files import InputError


def edit(root: Path, **changes: object) -> None:
    path = root / "dataset.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))


def test_description_comes_back(tmp_path):
    prior = CameraPrior((10.0, 350.0), (45.0, 80.0), 1.5, 40.0)
    splits = {"train": ["a"], "val": ["b"], "test": []}
    description = Description("boat", 64, 0.9, prior, splits, "CC-BY-4.0", {"seed": 3})
    description.write(tmp_path)
    assert Description.read(tmp_path) == description


def test_own_layout(tmp_path):
    listing = read(make_dataset(tmp_path))
    assert len(listing.images) == 10 * VIEWS == len(listing.present)
    assert listing.path(4) == tmp_path / "images" / "000001" / "001.png"
    assert listing.resolution == 16
    np.testing.assert_allclose(np.degrees(listing.angles), degrees(10 * VIEWS), atol=1e-5)
    assert {split: len(members) for split, members in listing.splits.items()} == {"train": 7, "val": 1, "test": 2}
    together = np.concatenate([listing.of_split(split) for split in listing.splits])
    assert sorted(together) == list(range(10 * VIEWS))


def test_published_layout_has_the_same_angles(tmp_path):
    own, published = read(make_dataset(tmp_path / "a")), read(make_published(tmp_path / "b"))
    np.testing.assert_allclose(published.angles, own.angles, atol=1e-7)
    assert published.path(4) == tmp_path / "b" / "img" / "03001627" / "model1" / "001.png"
    assert published.prior == CameraPrior()
    assert published.resolution is None
    assert sum(map(len, published.splits.values())) == 10


def test_published_layout_takes_its_prior_from_a_description(tmp_path):
    prior = CameraPrior(polar=(45.0, 90.0))
    Description("animal", 16, 0.9, prior, {}, "unknown").write(make_published(tmp_path))
    assert read(tmp_path).prior == prior


def test_what_the_published_layout_does_not_say_can_be_assumed(tmp_path):
    assumed = Assumed(0.7, CameraPrior(polar=(45.0, 90.0)))
    listing = read(make_published(tmp_path), assumed=assumed)
    assert (listing.scale, listing.prior) == (0.7, assumed.prior)
    Description("disc", 16, 0.5, CameraPrior(), {}, "unknown").write(tmp_path)
    listing = read(tmp_path, assumed=assumed)
    assert (listing.scale, listing.prior) == (0.5, CameraPrior())


def test_labels_number_the_classes_of_the_objects(tmp_path):
    names = [f"{k:06d}" for k in range(10)]
    edit(make_dataset(tmp_path), labels={"odd": names[1::2], "even": names[::2]})
    listing = read(tmp_path)
    assert listing.classes == ("odd", "even")
    assert listing.labels.tolist() == [1, 0] * 5


def test_a_dataset_of_one_kind_has_no_classes(tmp_path):
    listing = read(make_dataset(tmp_path))
    assert listing.classes == ()
    assert listing.labels.tolist() == [0] * 10


@pytest.mark.parametrize(
    ("labels", "text"),
    [
        ({"a": ["000000"]}, r"leave out the object '000001' \(9 such objects\)"),
        ({"a": [f"{k:06d}" for k in range(10)], "b": ["000003"]}, "name the object '000003' twice"),
        ({"a": 3}, r"dataset\.json"),
        ([], r"dataset\.json"),
    ],
)
def test_labels_must_fit_the_objects(tmp_path, labels, text):
    edit(make_dataset(tmp_path), labels=labels)
    with pytest.raises(InputError, match=text):
        read(tmp_path)


def test_split_files(tmp_path):
    data, lists = make_published(tmp_path / "data"), tmp_path / "lists"
    lists.mkdir()
    (lists / "train.txt").write_text("model3\n03001627/model1\n\nnot-rendered\n")
    (lists / "val.txt").write_text("model0\n")
    (lists / "test.txt").write_text("model9\nmodel8")
    splits = read(data, lists).splits
    assert {split: members.tolist() for split, members in splits.items()} == {
        "train": [1, 3],
        "val": [0],
        "test": [8, 9],
    }


def test_a_split_does_not_change_when_objects_are_added(tmp_path):
    few, many = read(make_published(tmp_path / "a", 5)), read(make_published(tmp_path / "b", 12))
    for split, members in few.splits.items():
        assert {few.objects[k] for k in members} <= {many.objects[k] for k in many.splits[split]}


@pytest.mark.parametrize("count", [10, 200, 1000])
def test_seven_of_ten_objects_are_for_training(count):
    splits = [split_of(number) for number in range(count)]
    assert [splits.count(name) for name in ("train", "val", "test")] == [0.7 * count, 0.1 * count, 0.2 * count]


def spoil_missing(root: Path) -> None:
    (root / "dataset.json").unlink()


def spoil_format(root: Path) -> None:
    edit(root, format=7)


def spoil_value(root: Path) -> None:
    edit(root, resolution="large")


def spoil_prior(root: Path) -> None:
    edit(root, camera={"azimuth": [0, 6.3], "polar": [1.0, 1.6], "radius": 1.2, "fov": 49})


def spoil_splits(root: Path) -> None:
    edit(root, splits={"train": ["000001", "lost"], "val": [], "test": []})


def spoil_unfinished(root: Path) -> None:
    (root / "cameras.csv").unlink()


def spoil_header(root: Path) -> None:
    (root / "cameras.csv").write_text("name,theta,phi\n")


def spoil_empty(root: Path) -> None:
    (root / "cameras.csv").write_text("image,azimuth,polar\n")


def spoil_row(root: Path) -> None:
    with (root / "cameras.csv").open("a") as file:
        file.write("000001/009.png,north,70\n")


def spoil_escape(root: Path) -> None:
    with (root / "cameras.csv").open("a") as file:
        file.write("../../secret.png,10,70\n")


@pytest.mark.parametrize(
    ("spoil", "text"),
    [
        (spoil_missing, "neither dataset.json nor img/"),
        (spoil_format, "format is 7, this version reads 1"),
        (spoil_value, "dataset.json: .*large"),
        (spoil_prior, r"dataset\.json: polar is 1 to 1\.6, not an angle in degrees"),
        (spoil_splits, "the object 'lost' of the split 'train'"),
        (spoil_unfinished, r"cameras\.csv: no such file, the dataset is not complete"),
        (spoil_header, "the first line is not"),
        (spoil_empty, "the dataset is empty"),
        (spoil_row, "line 32 is '000001/009.png,north,70'"),
        (spoil_escape, r"cameras\.csv: .*secret\.png' cannot be a name"),
    ],
)
def test_what_cannot_be_read_is_named(tmp_path, spoil, text):
    spoil(make_dataset(tmp_path))
    with pytest.raises(InputError, match=text):
        read(tmp_path)


def test_a_missing_folder_and_an_empty_one(tmp_path):
    with pytest.raises(InputError, match="no such folder"):
        read(tmp_path / "nothing")
    with pytest.raises(InputError, match="is not a dataset"):
        read(tmp_path)


def test_published_cameras_that_cannot_be_read(tmp_path):
    root = make_published(tmp_path, 2)
    folder = root / "camera" / "03001627" / "model1"
    np.save(folder / "elevation.npy", np.zeros(VIEWS + 1))
    with pytest.raises(InputError, match="3 rotations and 4 elevations"):
        read(root)
    (folder / "elevation.npy").write_bytes(b"not an array")
    with pytest.raises(InputError, match=r"elevation\.npy: is not a readable array"):
        read(root)
    np.save(folder / "elevation.npy", np.array([{"code": 1}], dtype=object), allow_pickle=True)
    with pytest.raises(InputError, match=r"elevation\.npy: is not a readable array"):
        read(root)


def test_split_files_that_cannot_be_used(tmp_path):
    data, lists = make_published(tmp_path / "data"), tmp_path / "lists"
    lists.mkdir()
    with pytest.raises(InputError, match=r"train\.txt: no such file"):
        read(data, lists)
    for split in ("train", "val", "test"):
        (lists / f"{split}.txt").write_text("someone-else\n")
    with pytest.raises(InputError, match="names none of the 10 objects"):
        read(data, lists)
