"""Archives: the same bytes for the same files, aligned where that is asked for, read by Python's own zip."""

import io
import zipfile

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from get3d.export.encoding import archive_bytes, png_bytes

NAMES = st.text("abc/_.", max_size=90).map(lambda name: f"x{name}")
FILES = st.dictionaries(NAMES, st.binary(max_size=300))


@given(FILES, st.sampled_from([None, 1, 16, 64]))
def test_files_come_back_in_order_and_begin_where_they_should(files: dict[str, bytes], align: int | None) -> None:
    data = archive_bytes(files, align)
    assert archive_bytes(dict(files), align) == data
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        assert archive.namelist() == list(files)
        assert {name: archive.read(name) for name in files} == files
        for entry in archive.infolist():
            head = data[entry.header_offset : entry.header_offset + 30]
            start = entry.header_offset + 30 + int.from_bytes(head[26:28], "little")
            start += int.from_bytes(head[28:30], "little")
            assert start % (align or 1) == 0
            assert (entry.compress_type == zipfile.ZIP_STORED) is (align is not None)


@pytest.mark.parametrize("components", [1, 3])
def test_images_come_back(components: int) -> None:
    texture = torch.arange(4 * 5 * components, dtype=torch.uint8).view(4, 5, components)
    with Image.open(io.BytesIO(png_bytes(texture))) as image:
        assert image.mode == {1: "L", 3: "RGB"}[components]
        np.testing.assert_array_equal(np.asarray(image).reshape(texture.shape), texture)
