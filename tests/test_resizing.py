"""One dataset serves several resolutions: images are reduced by an area filter, in linear light, weighted by alpha."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from PIL import Image
from rich.console import Console

import tiny
from datasets import make_dataset, make_published
from get3d.datasets.loader import ImageDataset, decode
from get3d.datasets.pack import PackConfig, pack
from get3d.datasets.resizing import reduced
from get3d.files import InputError
from get3d.training.config import prepare_run


def plain(pixels, resolution):
    """Pixel by pixel, by the formulas of IEC 61966-2-1."""
    factor = pixels.shape[1] // resolution
    out = np.zeros((4, resolution, resolution))
    for row in range(resolution):
        for column in range(resolution):
            block = pixels[:, row * factor : (row + 1) * factor, column * factor : (column + 1) * factor]
            block = block.reshape(4, -1).astype(np.float64)
            alpha = block[3].sum()
            out[3, row, column] = block[3].mean()
            for channel in range(3):
                c = block[channel] / 255
                light = np.where(c <= 0.04045, c / 12.92, ((c + 0.055) / 1.055) ** 2.4)
                mean = (light * block[3]).sum() / alpha if alpha else 0.0
                coded = 12.92 * mean if mean <= 0.0031308 else 1.055 * mean ** (1 / 2.4) - 0.055
                out[channel, row, column] = 255 * coded
    return out


@settings(max_examples=30)
@given(arrays(np.uint8, (4, 16, 16)), st.sampled_from([1, 2, 4, 8, 16]))
def test_the_mean_of_light_that_is_seen(pixels, resolution):
    found = reduced(pixels, resolution)
    assert found.dtype == np.uint8
    assert np.abs(found - plain(pixels, resolution)).max() < 0.52 if resolution < 16 else (found == pixels).all()


def test_edges_keep_the_colour_of_the_object():
    pixels = np.zeros((4, 4, 4), np.uint8)
    pixels[:, :, :3] = np.array([200, 100, 50, 255])[:, None, None]
    pixels[:3, :, 3] = np.array([0, 255, 0])[:, None]  # Of what is transparent, the colour is nothing's.
    found = reduced(pixels, 2)
    assert found[:, 0, 1].tolist() == [200, 100, 50, 128]
    # Half black, half white is half the light, not half the byte.
    checks = np.full((4, 2, 2), 255, np.uint8)
    checks[:3] = np.array([[0, 255], [255, 0]])
    assert reduced(checks, 1)[:, 0, 0].tolist() == [188, 188, 188, 255]


@pytest.mark.parametrize("layout", ["own", "published", "packed"])
@pytest.mark.parametrize("cache_bytes", [0, 2**30])
def test_every_layout_is_read_at_any_smaller_resolution(tmp_path, layout, cache_bytes):
    make = make_published if layout == "published" else make_dataset
    root = whole = make(tmp_path / "data", resolution=64)
    if layout == "packed":
        root = pack(PackConfig(whole, tmp_path / "packed"), Console(quiet=True))
    for resolution in (16, 32, 64):
        images = ImageDataset(root, "train", cache_bytes=cache_bytes, resolution=resolution)
        assert images.resolution == resolution
        for _ in range(2):  # The second time from the cache.
            found = images.load([0, 5])
            assert found.shape == (2, 4, resolution, resolution)
        paths = [images._listing.path(int(images._numbers[number])) for number in (0, 5)]
        if layout != "packed":
            truth = [torch.from_numpy(reduced(decode(path, 64), resolution)) for path in paths]
            assert torch.equal(found, torch.stack(truth))
        else:
            assert torch.equal(found, ImageDataset(whole, "train", resolution=resolution).load([0, 5]))
    assert ImageDataset(root, "train").resolution == 64


@pytest.mark.parametrize("resolution", [128, 48, 0, -16])
def test_images_are_not_enlarged(tmp_path, resolution):
    root = make_dataset(tmp_path / "data", resolution=64)
    with pytest.raises(InputError, match=r"its images are 64², requested is -?\d+².* use --resolution 64 or a smaller"):
        ImageDataset(root, "train", resolution=resolution)


def test_an_image_of_another_size_than_the_others_is_refused_at_any_resolution(tmp_path):
    root = make_dataset(tmp_path / "data", resolution=64)
    Image.new("RGBA", (32, 32)).save(root / "images" / "000000" / "000.png")
    with pytest.raises(InputError, match="is 32 × 32, the dataset's images are 64 × 64"):
        ImageDataset(root, "train", resolution=32)


def test_the_size_of_a_set_in_memory_is_that_of_the_reduced_images(tmp_path):
    root = make_dataset(tmp_path / "data", resolution=64)
    count = len(ImageDataset(root, "train"))
    assert ImageDataset(root, "train", cache_bytes=count * 4 * 16 * 16, resolution=16)._cache is not None
    assert ImageDataset(root, "train", cache_bytes=count * 4 * 16 * 16)._cache is None


def test_a_run_sees_images_of_its_own_resolution(tmp_path):
    root = tiny.write_dataset(tmp_path / "data", resolution=64)
    run = prepare_run(tiny.run_config(root, tmp_path / "run", resolution=16))
    assert run.config.resolution == run.images.resolution == run.held_out.resolution == 16
    assert torch.equal(run.images.load([3]), ImageDataset(root, "train", resolution=16).load([3]))


def test_a_run_without_held_out_objects_is_measured_on_its_own(tmp_path):
    root = make_dataset(tmp_path / "data", objects=3)
    run = prepare_run(tiny.run_config(root, tmp_path / "run"))
    assert run.held_out is run.images
