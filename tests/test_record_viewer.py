"""The script that records the live page for README.md still finds all that it clicks."""

import importlib.util
from pathlib import Path

import pytest
from PIL import Image

from browser import chromium, needs_chromium
from get3d.viewer.config import ViewConfig

SCRIPT = Path(__file__).parents[1] / "docs/record_viewer.py"


@needs_chromium
@pytest.mark.slow
def test_the_live_page_can_be_recorded(tmp_path):
    spec = importlib.util.spec_from_file_location("record_viewer", SCRIPT)
    script = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(script)
    config = ViewConfig(("chair",), out=tmp_path / "viewed", port=0, faces=500, texture=16, device="cpu")
    with chromium() as browser, script.live_page(config) as address:
        recording = script.record(script.opened(browser, address, viewport=script.VIEWPORT), steps=2)
    recording.save(tmp_path / "viewer.gif")
    with Image.open(tmp_path / "viewer.gif") as image:
        assert image.n_frames > 10
        assert image.width == script.WIDTH
    assert (tmp_path / "viewed/object-1.glb").is_file()


def test_the_recording_in_the_readme_is_small():
    image = SCRIPT.parent / "images/viewer.gif"
    assert image.stat().st_size < 1_500_000
    assert "docs/images/viewer.gif" in (SCRIPT.parents[1] / "README.md").read_text(encoding="utf-8")
