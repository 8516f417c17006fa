"""The script that records the live page for README.md still finds all that it clicks."""

import importlib.util
from pathlib import Path

import pytest
from PIL import Image

from browser import chromium, needs_chromium
from get3d.html import document
from get3d.viewer.config import ViewConfig

SCRIPT = Path(__file__).parents[1] / "docs/record_viewer.py"


def _script():
    spec = importlib.util.spec_from_file_location("record_viewer", SCRIPT)
    script = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(script)
    return script


@needs_chromium
@pytest.mark.slow
def test_the_live_page_can_be_recorded(tmp_path):
    script = _script()
    config = ViewConfig(("chair",), out=tmp_path / "viewed", port=0, faces=500, texture=16, device="cpu")
    with chromium() as browser, script.live_page(config) as address:
        recording = script.record(script.opened(browser, address, viewport=script.VIEWPORT), steps=2)
    recording.save(tmp_path / "viewer.gif")
    with Image.open(tmp_path / "viewer.gif") as image:
        assert image.n_frames > 10
        assert image.width == script.WIDTH
    assert (tmp_path / "viewed/object-1.glb").is_file()


@needs_chromium
@pytest.mark.slow
def test_a_page_is_shown_on_a_desktop_dark_and_on_a_phone(tmp_path):
    script = _script()
    script.QUIET = 100
    (tmp_path / "page.html").write_text(document("Objects", "<h1>Objects</h1>"))
    seen = []
    with chromium() as browser:
        image = script.looks(browser, (tmp_path / "page.html").as_uri(), seen.append).convert("L")
    assert len(seen) == 3
    assert image.height == round(script.SCALE * script.HEIGHT)
    # In the middle of each there is only its background.
    bright, dark, narrow = (image.getpixel((round(script.SCALE * x), image.height // 2)) for x in (500, 1510, 2215))
    assert bright == narrow > 240
    assert dark < 60


def test_the_recording_in_the_readme_is_small():
    image = SCRIPT.parent / "images/viewer.gif"
    assert image.stat().st_size < 1_500_000
    assert "docs/images/viewer.gif" in (SCRIPT.parents[1] / "README.md").read_text(encoding="utf-8")
