"""The page and its diagram show what was found, and need no other file."""

import re

import numpy as np
import pytest
from PIL import Image
from rich.console import Console

from datasets import image, make_dataset
from get3d.authoring.procedural import SynthConfig, synthesize
from get3d.datasets.check import check
from get3d.datasets.check_html import camera_diagram, check_page, write_page
from get3d.datasets.index import read
from get3d.html import document


@pytest.fixture(scope="module")
def vases(tmp_path_factory):
    root = tmp_path_factory.mktemp("vases")
    return synthesize(
        SynthConfig("vase", root, shapes=3, views=3, resolution=32, texture=256, workers=1), Console(quiet=True)
    )


def test_the_page_shows_images_cameras_and_silhouettes(vases, tmp_path):
    report = check(vases)
    assert report.usable, str(report)
    write_page(report, tmp_path / "report.html")
    page = (tmp_path / "report.html").read_text(encoding="utf-8")
    own = re.sub("<script.*?</script>", "", page, flags=re.DOTALL)
    assert not re.search(r"""(src|href)=["'](?!data:)""", own)
    assert not re.search(r"<script[^>]*src", page)
    assert "default-src 'none'" in page
    assert own.count("<svg") == 3
    for text in ("usable", "9 of 9, evenly spread", "Smallest objects: ", "The worst of each object: ", "train"):
        assert text in page
    with Image.open(tmp_path / "report.png") as diagram:
        assert diagram.size == (1200, 520)


def test_problems_are_on_the_page_and_names_are_escaped(tmp_path):
    root = make_dataset(tmp_path / "<b>")
    (root / "images" / "000000" / "000.png").write_bytes(b"")
    page = check_page(check(root))
    assert "not usable: 1 problem<" in page
    assert "is not a PNG file" in page
    assert "<b>" not in page
    assert "&lt;b&gt;" in page
    assert "no such folder" in check_page(check(tmp_path / "nothing"))


def test_worst_examples_are_the_worst(tmp_path):
    root = make_dataset(tmp_path)
    small = np.zeros((16, 16, 4), np.uint8)
    small[2:4, 2:4] = 255
    Image.fromarray(small).save(root / "images" / "000002" / "001.png")
    border = image(5, 16)
    border[:8, 3] = 255
    Image.fromarray(border).save(root / "images" / "000003" / "000.png")
    page = check_page(check(root))
    assert "Objects that touch the border: 000003/000.png<" in page
    assert "Smallest objects: 000002/001.png," in page
    assert "farthest from the middle of their image: 000002/001.png," in page


def test_the_diagram_shows_a_point_where_each_camera_is(tmp_path):
    listing = read(make_dataset(tmp_path, objects=4))
    pixels = np.asarray(camera_diagram(listing)).astype(int)
    blue = (pixels[..., 2] - pixels[..., 0] > 60).any(axis=0)
    # The frame is 90 to 1155 pixels wide for azimuth 0° to 360°.
    for azimuth in np.degrees(listing.angles[listing.of_split("train"), 0]):
        assert blue[int(90 + azimuth / 360 * 1065)]


def test_bytes_of_names_that_are_no_text_are_escapes_in_a_page(tmp_path):
    page = document("caf\udce9", "<p>a\udcffb é</p>")
    (tmp_path / "page.html").write_text(page, encoding="utf-8")
    assert "<title>caf\\udce9</title>" in page
    assert "<p>a\\udcffb é</p>" in page
