"""Images come back as they were written, and the stream of batches can go on from any position."""

import itertools
import math
import subprocess
import sys
import time
from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from datasets import VIEWS, degrees, image, make_dataset, make_published
from get3d.camera_prior import CameraPrior
from get3d.datasets import loader
from get3d.datasets.index import Description, read
from get3d.datasets.loader import ImageDataset, decode, to_network
from get3d.files import InputError


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return make_dataset(tmp_path_factory.mktemp("data"))


@pytest.fixture(scope="module")
def images(data):
    return ImageDataset(data, "train")


@pytest.mark.parametrize("cache_bytes", [0, 2**20])
def test_images_and_angles_are_those_of_the_split(data, cache_bytes):
    images = ImageDataset(data, "test", cache_bytes=cache_bytes)
    numbers = read(data).of_split("test")
    assert len(images) == len(numbers) == 2 * VIEWS
    assert images.resolution == 16
    assert images.prior == CameraPrior()
    np.testing.assert_allclose(np.degrees(images.angles.numpy()), degrees(10 * VIEWS)[numbers], atol=1e-4)
    for chosen in (torch.tensor([4, 0, 4]), [4, 0, 4]):
        loaded = images.load(chosen)
        for row, number in zip(loaded, numbers[[4, 0, 4]], strict=True):
            np.testing.assert_array_equal(row.numpy().transpose(1, 2, 0), image(int(number), 16))


def test_the_published_layout_gives_the_same_images(data, tmp_path):
    published = make_published(tmp_path)
    own = ImageDataset(data, "train")
    lists = tmp_path / "lists"
    lists.mkdir()
    for split, members in read(data).splits.items():
        (lists / f"{split}.txt").write_text("\n".join(f"model{k}" for k in members))
    other = ImageDataset(published, "train", splits=lists)
    everything = torch.arange(len(own))
    assert torch.equal(own.load(everything), other.load(everything))
    torch.testing.assert_close(own.angles, other.angles)


def test_an_epoch_shows_every_image_once_and_epochs_differ(images):
    stream = images.batches(7, seed=5)
    epochs = []
    for _ in range(2):
        shown = torch.cat([batch.images for batch in itertools.islice(stream, 3)])
        epochs.append(shown[:, 0, 8, 8])
        assert len(epochs[-1].unique()) == len(images) == 21
    assert not torch.equal(epochs[0], epochs[1])
    other = torch.cat([batch.images for batch in itertools.islice(images.batches(7, seed=6), 3)])
    assert not torch.equal(epochs[0], other[:, 0, 8, 8])


@settings(max_examples=20)
@given(position=st.integers(0, 100), batch=st.integers(1, 30), first=st.integers(1, 30))
def test_a_stream_goes_on_at_any_position(images, position, batch, first):
    """Whatever was the batch size before, the images from a position on are the same."""
    whole = _shown(images, first, 0, position + 2 * batch)
    assert torch.equal(_shown(images, batch, position, 2 * batch), whole[position:])


@pytest.mark.parametrize("world_size", [1, 2, 4, 8])
def test_ranks_share_a_batch(images, world_size):
    """Whatever their number, their parts one after another are the batch, also over the ends of epochs."""
    streams = [images.batches(8, 1, 11, rank=rank, world_size=world_size) for rank in range(world_size)]
    for whole in itertools.islice(images.batches(8, seed=1, position=11), 4):
        parts = [next(stream) for stream in streams]
        assert all(len(part.images) == 8 // world_size for part in parts)
        assert torch.equal(torch.cat([part.images for part in parts]), whole.images)
        assert torch.equal(torch.cat([part.angles for part in parts]), whole.angles)


def test_the_order_of_a_run_stays_what_it_was(images):
    """Runs go on for weeks and over versions of the program; [7 · 3 images, seed 5, from 18 on]."""
    stream = images.batches(6, seed=5, position=18)
    numbers = torch.cat([next(stream).images[:, 0, 8, 8] for _ in range(2)])
    order = np.concatenate([np.random.default_rng([5, epoch]).permutation(21) for epoch in (0, 1)])[18:30]
    everything = images.load(range(21))[:, 0, 8, 8]
    assert torch.equal(numbers, everything[torch.from_numpy(order)])


def test_no_more_is_decoded_than_a_few_batches_ahead(data, monkeypatch):
    """A consumer that is slower than the disk does not fill the memory."""
    images, decoded = ImageDataset(data, "train", cache_bytes=0), []
    inner = loader.decode_listed
    monkeypatch.setattr(loader, "decode_listed", lambda *which: (decoded.append(which), inner(*which))[1])
    stream = images.batches(2, seed=0)
    for taken in range(1, 4):
        next(stream)
        for _ in range(50):
            time.sleep(0.002)
        assert len(decoded) <= 2 * (taken + 3)
    stream.close()


def _shown(images: ImageDataset, batch: int, position: int, count: int) -> torch.Tensor:
    stream = images.batches(batch, seed=1, position=position)
    shown = torch.cat([part.angles for part in itertools.islice(stream, math.ceil(count / batch))])[:count]
    stream.close()
    return shown


def test_loading_leaves_the_threads_of_pytorch_to_training(tmp_path):
    """A thread that computes with PyTorch gets threads of its own, and all of them then sleep between operations."""
    root = make_dataset(tmp_path, resolution=64)
    count = (
        "import sys, threading, psutil, torch\n"
        "from get3d.datasets.loader import ImageDataset\n"
        "torch.set_num_threads(4)\n"
        "torch.ones(2**20).mul(2)\n"
        "stream = ImageDataset(sys.argv[1], 'train').batches(32, seed=0)\n"
        "def others(): return psutil.Process().num_threads() - threading.active_count()\n"
        "before = others()\n"
        "for _ in range(8): next(stream)\n"
        "print(max(0, others() - before))\n"
    )
    printed = subprocess.run([sys.executable, "-c", count, root], capture_output=True, text=True, check=True)
    assert printed.stdout == "0\n"


def test_images_and_angles_of_a_batch_belong_together(images):
    everything = images.load(range(len(images)))
    batch = next(images.batches(8, seed=0, position=17))
    assert batch.label is None
    for pixels, angle in zip(batch.images, batch.angles, strict=True):
        (number,) = torch.nonzero((images.angles == angle).all(1)).flatten().tolist()
        assert torch.equal(everything[number], pixels)


def test_batches_bring_the_classes_of_their_objects(tmp_path):
    names = [f"{k:06d}" for k in range(10)]
    root = make_dataset(tmp_path)
    description = Description.read(root)
    replace(description, labels={"odd": names[1::2], "even": names[::2]}).write(root)
    images = ImageDataset(root, "train")
    batch = next(images.batches(8, seed=0))
    # The first channel of an image in the middle is its number: VIEWS images of each object.
    numbers = batch.images[:, 0, 8, 8].long() // VIEWS
    assert images.classes == ("odd", "even")
    assert torch.equal(batch.label, 1 - numbers % 2)


def test_an_error_in_an_image_reaches_the_one_who_asked(tmp_path):
    root = make_dataset(tmp_path)
    path = root / "images" / "000001" / "001.png"
    content = path.read_bytes()
    images = ImageDataset(root, "train")
    path.write_bytes(content[:60] + content[80:])
    with pytest.raises(InputError, match=r"000001/001\.png: is damaged"):
        for _ in itertools.islice(images.batches(7, seed=0), 3):
            pass


def test_to_network(device):
    raw = torch.tensor([[255, 0, 128, 255], [255, 0, 128, 1], [255, 0, 128, 0]], dtype=torch.uint8, device=device)
    images = to_network(raw.T.reshape(1, 4, 1, 3))
    assert images.device.type == device.type
    full = torch.tensor([1.0, -1.0, 128 / 127.5 - 1, 1.0], device=device)
    torch.testing.assert_close(images[0, :, 0, 0], full)
    torch.testing.assert_close(images[0, :, 0, 1], torch.cat([full[:3], full.new_tensor([1 / 255])]))
    torch.testing.assert_close(images[0, :, 0, 2], full.new_tensor([-1.0, -1.0, -1.0, 0.0]))


def test_an_image_of_another_size_is_refused_before_it_is_decoded(tmp_path):
    """The head says 60000 × 60000; decoding it would take 14 GB."""
    path = tmp_path / "bomb.png"
    Image.fromarray(image(0, 16)).save(path)
    content = bytearray(path.read_bytes())
    content[16:24] = (60000).to_bytes(4, "big") * 2
    path.write_bytes(content)
    with pytest.raises(InputError, match="is 60000 × 60000"):
        decode(path, 16)


def test_a_split_without_objects_is_refused(tmp_path):
    with pytest.raises(InputError, match="no object is in the split 'val'"):
        ImageDataset(make_dataset(tmp_path, objects=2), "val")


def test_problems_stop_before_any_work_and_are_counted(tmp_path):
    root = make_dataset(tmp_path)
    for name in ("000000/000.png", "000003/002.png"):
        (root / "images" / name).unlink()
    with pytest.raises(InputError, match=r"000000/000\.png: has a camera but is missing; .*; 1 more, see"):
        ImageDataset(root, "train")


@pytest.mark.parametrize(("batch", "position"), [(0, 0), (4, -1)])
def test_impossible_streams_are_refused(images, batch, position):
    with pytest.raises(ValueError, match="must be at least"):
        next(images.batches(batch, seed=0, position=position))


@pytest.mark.parametrize(("rank", "world_size"), [(2, 2), (-1, 2), (0, 3), (0, 0)])
def test_impossible_shares_are_refused(images, rank, world_size):
    with pytest.raises(ValueError, match="a batch of 8 has no part"):
        next(images.batches(8, seed=0, rank=rank, world_size=world_size))
