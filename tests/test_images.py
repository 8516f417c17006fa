"""Sheets put each image in its place, in its colours."""

import numpy as np
import pytest
import torch

from get3d.images import contact_sheet


def test_places_and_the_empty_last_one():
    images = torch.stack([torch.full((3, 2, 3), value, dtype=torch.uint8) for value in (10, 20, 30)])
    sheet = np.asarray(contact_sheet(images, columns=2, background=1.0))
    assert sheet.shape == (4, 6, 3)
    blocks = sheet.reshape(2, 2, 2, 3, 3).transpose(0, 2, 1, 3, 4).reshape(4, -1)
    assert [np.unique(block).tolist() for block in blocks] == [[10], [20], [30], [255]]


def test_numbers_and_bytes_look_the_same():
    raw = torch.randint(0, 256, (2, 4, 5, 5), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    values = raw.float() / 255
    images = torch.cat([values[:, :3] * 2 - 1, values[:, 3:]], dim=1)
    difference = np.asarray(contact_sheet(raw, columns=2)).astype(int) - np.asarray(contact_sheet(images, columns=2))
    assert np.abs(difference).max() <= 1


def test_transparent_pixels_show_the_background():
    images = torch.zeros(1, 4, 2, 2, dtype=torch.uint8)
    assert (np.asarray(contact_sheet(images, columns=1, background=0.5)) == 128).all()


@pytest.mark.parametrize("shape", [(0, 3, 4, 4), (1, 1, 4, 4)])
def test_what_is_no_image_is_refused(shape):
    with pytest.raises(ValueError, match="3 or 4 channels"):
        contact_sheet(torch.zeros(shape), columns=1)
