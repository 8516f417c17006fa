"""Images are copied where they can be, cut and resampled where they must be, and refused with a reason."""

import math
import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
import torch
import trimesh
from PIL import Image

from get3d.authoring.from_images.crop import Head, UnusableImageError, Window, read_head, write_image
from get3d.authoring.from_images.matching import Matched, Tolerances
from get3d.authoring.from_images.visual_hull import hull_size
from get3d.authoring.from_images.windows import fit_windows
from get3d.cameras import Cameras
from get3d.datasets.alpha import alpha_fault, framing
from get3d.meshes import Mesh, MeshBatch
from get3d.render import rasterize


def disc(side: int = 32) -> np.ndarray:
    i, j = np.mgrid[:side, :side] + 0.5 - side / 2
    pixels = np.random.default_rng(0).integers(0, 256, (side, side, 4)).astype(np.uint8)
    pixels[..., 3] = 255 * (np.hypot(i, j) < 0.35 * side)
    return pixels


@pytest.fixture
def rgba(tmp_path):
    Image.fromarray(disc()).save(tmp_path / "a.png")
    return tmp_path / "a.png"


def test_what_is_right_already_is_copied_byte_by_byte(rgba, tmp_path):
    head = read_head(rgba, None)
    assert head == Head(rgba, None, 32, 32, plain=True)
    assert write_image(head, Window(0, 0, 32), 32, tmp_path / "out.png") == "copied"
    assert (tmp_path / "out.png").read_bytes() == rgba.read_bytes()


def test_windows_are_cut_beyond_the_image_too(rgba, tmp_path):
    head = read_head(rgba, None)
    assert write_image(head, Window(-10, 5, 32), 32, tmp_path / "out.png") == "written anew"
    expected = np.zeros((32, 32, 4), np.uint8)
    expected[:27, 10:] = disc()[5:, :22]
    assert (np.asarray(Image.open(tmp_path / "out.png")) == expected).all()


def test_resampling_does_not_stain_edges(tmp_path):
    """White on transparent black stays white at its edges."""
    pixels = np.zeros((64, 64, 4), np.uint8)
    pixels[20:44, 21:43] = 255
    Image.fromarray(pixels).save(tmp_path / "a.png")
    made = write_image(read_head(tmp_path / "a.png", None), Window(0, 0, 64), 16, tmp_path / "out.png")
    assert made == "resampled"
    small = np.asarray(Image.open(tmp_path / "out.png"))
    assert small.shape == (16, 16, 4)
    assert (small[small[..., 3] > 16][:, :3] > 245).all()
    assert 8 < (small[..., 3] > 8).sum(axis=1).max() - 22 / 4 + 8 < 12


@pytest.mark.parametrize("mode", ["L", "1", "RGB", "RGBA", "LA"])
def test_masks_take_the_place_of_alpha(tmp_path, mode):
    pixels = disc()
    Image.fromarray(pixels[..., :3]).save(tmp_path / "a.png")
    mask = Image.fromarray(pixels[..., 3])
    if mode in ("RGBA", "LA"):
        with_alpha = Image.new(mode, (32, 32), "white")
        with_alpha.putalpha(mask)
        with_alpha.save(tmp_path / "m.png")
    else:
        mask.convert(mode).save(tmp_path / "m.png")
    head = read_head(tmp_path / "a.png", tmp_path / "m.png")
    assert not head.plain
    assert write_image(head, Window(0, 0, 32), 32, tmp_path / "out.png") == "written anew"
    assert (np.asarray(Image.open(tmp_path / "out.png")) == pixels).all()


def test_unusable_images_say_why(rgba, tmp_path):
    def refused(path, mask=None):
        with pytest.raises(UnusableImageError) as caught:
            write_image(read_head(path, mask), Window(0, 0, 32), 32, tmp_path / "out.png")
        assert not (tmp_path / "out.png").exists()
        return str(caught.value)

    Image.fromarray(disc()[..., :3]).save(tmp_path / "rgb.png")
    assert "has no alpha channel; give a folder of masks" in refused(tmp_path / "rgb.png")
    Image.fromarray(disc(16)[..., 3]).save(tmp_path / "mask.png")
    assert "is 16 × 16, the image 32 × 32" in refused(tmp_path / "rgb.png", tmp_path / "mask.png")
    (tmp_path / "text.png").write_text("nothing")
    assert "is not a readable image" in refused(tmp_path / "text.png")
    (tmp_path / "short.png").write_bytes(rgba.read_bytes()[:-500])
    assert "is damaged" in refused(tmp_path / "short.png")
    Image.new("RGBA", (32, 32)).save(tmp_path / "empty.png")
    assert "alpha is empty" in refused(tmp_path / "empty.png")
    Image.new("RGBA", (32, 32), "white").save(tmp_path / "full.png")
    assert "alpha is full" in refused(tmp_path / "full.png")
    Image.new("1", (9000, 9000)).save(tmp_path / "bomb.png")
    assert "is 9000 × 9000 pixels, more than" in refused(tmp_path / "bomb.png")


def test_images_of_sixteen_bits_are_written_anew(tmp_path):
    """Written by hand, since Pillow writes none: signature, then chunks of length, kind, content and checksum."""
    head = struct.pack(">IIBBBBB", 32, 32, 16, 6, 0, 0, 0)
    rows = b"".join(b"\0" + (row.astype(">u2") * 257).tobytes() for row in disc())
    chunks = ((b"IHDR", head), (b"IDAT", zlib.compress(rows)), (b"IEND", b""))
    packed = [struct.pack(">I", len(c)) + k + c + struct.pack(">I", zlib.crc32(k + c)) for k, c in chunks]
    (tmp_path / "a.png").write_bytes(b"\x89PNG\r\n\x1a\n" + b"".join(packed))
    found = read_head(tmp_path / "a.png", None)
    assert write_image(found, Window(0, 0, 32), 32, tmp_path / "out.png") == "written anew"
    assert (np.asarray(Image.open(tmp_path / "out.png")) == disc()).all()


def matched(sizes, focal, principal):
    count = len(sizes)
    return Matched(
        images=[str(number) for number in range(count)],
        objects=[""] * count,
        heads=[Head(Path("a.png"), None, width, height, plain=True) for width, height in sizes],
        focal=np.array(focal, dtype=float),
        principal=np.array(principal, dtype=float),
        angles=np.zeros((count, 2)),
        deviations=np.zeros((count, 3)),
        left=[],
        worlds=[],
    )


def test_exact_images_are_square_and_of_one_lens():
    found = fit_windows(
        matched(
            [(64, 64), (64, 64), (128, 128), (64, 48), (64, 64), (64, 64)],
            [80, 80.1, 160, 80, 90, 80],
            [(32, 32), (32, 32), (64, 64), (32, 24), (32, 32), (35, 32)],
        ),
        "exact",
        Tolerances(),
    )
    assert found.windows == {0: Window(0, 0, 64), 1: Window(0, 0, 64), 2: Window(0, 0, 128)}
    assert found.ratio == pytest.approx(0.8, rel=1e-3)
    reasons = {entry.image: (entry.reason, entry.text) for entry in found.left}
    assert reasons["3"] == ("size", "is 64 × 48, not square; --fit crop or pad makes it so")
    assert "focal length differs by +12.4 % from the median" in reasons["4"][1]
    assert "optical axis is 4.7 % of its side off the middle" in reasons["5"][1]


def test_cropping_and_padding_give_all_one_lens_about_the_axis():
    values = matched([(100, 80), (50, 50)], [100, 50], [(60, 40), (25, 24)])
    cropped = fit_windows(values, "crop", Tolerances())
    # The first reaches 40 of 100 pixels from its axis, the second 24 of 50: the first is the narrower.
    assert cropped.ratio == pytest.approx(0.8)
    assert cropped.windows == {0: Window(20, 0, 80), 1: Window(5, 4, 40)}
    padded = fit_windows(values, "pad", Tolerances())
    assert padded.ratio == pytest.approx(1.2)
    assert padded.windows == {0: Window(0, -20, 120), 1: Window(-5, -6, 60)}


def test_the_hull_is_as_large_as_the_object():
    generator = np.random.default_rng(0)
    degrees = np.stack([generator.uniform(0, 360, 24), generator.uniform(40, 110, 24)], axis=1)
    box = trimesh.creation.box((0.7, 0.4, 0.3))
    mesh = Mesh(torch.tensor(box.vertices, dtype=torch.float32), torch.tensor(box.faces, dtype=torch.int64))
    angles = torch.from_numpy(np.radians(degrees)).float()
    cameras = Cameras.orbit(angles[:, 0], angles[:, 1], 1.2, math.radians(49.13))
    views = MeshBatch.from_meshes([mesh]).select(torch.zeros(24, dtype=torch.long))
    alpha = (rasterize(views, cameras, 64).covered[:, 0] * 255).to(torch.uint8).numpy()
    assert 0.7 <= hull_size(alpha, degrees, 1.2, 49.13) < 0.78
    assert hull_size(alpha * 0, degrees, 1.2, 49.13) == 0


def test_alpha_says_where_the_object_is():
    alpha = np.zeros((20, 20), np.uint8)
    assert "empty" in str(alpha_fault(alpha))
    assert "full" in str(alpha_fault(alpha + 200))
    alpha[4:8, 10:20] = 255
    assert alpha_fault(alpha) is None
    found = framing(alpha)
    assert found.touching
    assert (found.extent, found.cover) == (0.5, 0.1)
    assert found.offset == pytest.approx(math.hypot(5, 4) / 20)
    alpha[:, -1] = 0
    assert not framing(alpha).touching
