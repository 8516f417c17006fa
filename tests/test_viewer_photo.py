"""Fits to a photo that a window of the live page sends: shown while they go on, cancelled, refused, and kept."""

import io
import threading
from functools import partial
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from PIL import Image

import tiny
from browser import chromium, needs_chromium, wait_for_field, watched
from get3d.cameras import Cameras
from get3d.checkpoints.model import load
from get3d.color import signed_to_bytes, unit_to_bytes
from get3d.files import read_json
from get3d.fitting.config import FitConfig
from get3d.generation.config import Settings
from get3d.generation.shape_list import read_shape_list, write_shape_list
from get3d.latents import Styles
from get3d.viewer import model_page, photo_fit
from get3d.viewer.command import open_page
from get3d.viewer.config import ViewConfig
from get3d.viewer.model_page import ModelPage
from get3d.viewer.photo_fit import Fits
from get3d.viewer.studio import Studio
from live_windows import Server, Worker

pytestmark = pytest.mark.slow

QUICK = partial(FitConfig, steps=6, starts=2)


class _Fits(Worker, Fits):
    def __init__(self):
        Worker.__init__(self, "fits")
        self.ended = threading.Event()


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return tiny.write_model(tmp_path_factory.mktemp("model") / "model.safetensors")


@pytest.fixture
def live(model, tmp_path, monkeypatch):
    monkeypatch.setattr(model_page, "Latest", Worker)
    monkeypatch.setattr(model_page, "Fits", _Fits)
    monkeypatch.setattr(photo_fit, "FitConfig", QUICK)
    monkeypatch.setattr(photo_fit, "_REFRESH", 0.0)
    server = Server()
    studio = Studio(Settings(model, out=tmp_path / "out", faces=60, texture=16, device="cpu"))
    return SimpleNamespace(server=server, studio=studio, page=ModelPage(server, studio), out=tmp_path / "out")


def _rest(live):
    live.page.previews.work()
    live.page.objects.work()


def _photo(generator, *, mode="RGBA"):
    """The bytes of an image of a random object, and of its mask."""
    with torch.no_grad():
        shapes = generator.shapes(generator.sample_latents(1, 3), 0.7)
        drawn = shapes.draw(Cameras.of_prior(generator.config.cameras, torch.tensor([[0.5, 1.2]])), 48)
    rgba = torch.cat([signed_to_bytes(drawn.rgb), unit_to_bytes(drawn.mask)], 1)[0].permute(1, 2, 0).numpy()
    return [_encoded(Image.fromarray(image)) for image in (rgba if mode == "RGBA" else rgba[..., :3], rgba[..., 3])]


def _encoded(image):
    written = io.BytesIO()
    image.save(written, "PNG")
    return written.getvalue()


def test_a_fit_is_shown_and_its_object_is_the_windows(live):
    client, other = live.server.open(), live.server.open()
    _rest(live)
    before, drawn = client.gui["State"].value, client.scene.add_glb.call_count
    client.gui["Fit to a photo"].send("../../chair.png", _photo(live.studio.generator)[0])
    assert client.gui["Fit"].value == "waiting"
    live.page.fits.work()
    # The search shows nothing yet; each step shows an object, before the window's own is another one.
    assert client.scene.add_glb.call_count == drawn + 2 + 3 + 6
    said = client.gui["Fit"].value
    assert said.startswith(("fitted: IoU 0.", "fitted: IoU 1."))
    height, width, _ = client.gui["Photo, fit, difference"].image.shape
    assert width == 3 * height
    assert not client.gui["progress"].visible and not client.gui["Cancel the fit"].visible
    _rest(live)
    assert client.gui["State"].value == "ready: geometry fitted, texture fitted, ψ 1"
    assert client.gui["ψ"].value == 1.0
    assert other.gui["State"].value == before
    # It is saved, with styles of its own for each layer, and kept, varied and mixed as every other object.
    client.gui["Save"].use()
    (entry,) = read_json(live.out / "shapes.json")["shapes"]
    assert entry["file"] == "object-1.glb"
    styles = read_shape_list(live.out / "shapes.json", live.studio.generator).latents
    assert isinstance(styles, Styles) and not torch.equal(styles.geometry[:, 0], styles.geometry[:, 1])
    client.gui["Keep this one"].use()
    client.gui["More like this"].use()
    client.gui["Take"].use("2")
    _rest(live)
    assert client.gui["State"].value == "ready: geometry fitted, texture fitted, ψ 1"
    client.gui["Texture seed"].use(5)
    _rest(live)
    assert client.gui["State"].value == "ready: geometry fitted, texture 5, ψ 1"
    for _ in range(3):
        client.gui["Undo"].use()
    _rest(live)
    assert client.gui["State"].value == before
    assert {path.name for path in live.out.parent.iterdir()} == {"out"}


def test_a_cancelled_fit_leaves_the_window_as_it_was(live, monkeypatch):
    client = live.server.open()
    _rest(live)
    before, steps = client.gui["State"].value, []
    monkeypatch.setattr(
        live.studio,
        "preview",
        lambda *_: (steps.append(1), client.gui["Cancel the fit"].use() if steps[4:] else None)[1],
    )
    client.gui["Fit to a photo"].send("chair.png", _photo(live.studio.generator)[0])
    live.page.fits.work()
    assert client.gui["Fit"].value == "cancelled"
    assert len(steps) == 5
    _rest(live)
    assert client.gui["State"].value == before
    client.gui["Undo"].use()
    _rest(live)
    assert client.gui["State"].value == before


def test_a_second_photo_replaces_the_first_and_a_closed_window_ends_its_fit(live):
    client = live.server.open()
    photo = _photo(live.studio.generator)[0]
    client.gui["Fit to a photo"].send("one.png", b"no image")
    client.gui["Fit to a photo"].send("two.png", photo)
    live.page.fits.work()
    assert client.notes == [] and client.gui["Fit"].value.startswith("fitted")
    client.gui["Fit to a photo"].send("three.png", photo)
    live.server.close(client)
    assert not live.page.fits.jobs


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("<b>.png", b"no image", "_b_.png: is not a readable image"),
        ("../../../a.png", _encoded(Image.new("RGBA", (40, 30))), "_.._.._a.png: its alpha is empty"),
    ],
)
def test_a_photo_that_cannot_be_used_is_refused_by_its_name(live, name, content, message):
    client = live.server.open()
    client.gui["Fit to a photo"].send(name, content)
    live.page.fits.work()
    ((title, body),) = client.notes
    assert title == "Not done" and body.startswith(message)
    assert client.gui["Fit"].value == body


def test_a_photo_without_alpha_takes_a_mask(live):
    client = live.server.open()
    noise = np.random.default_rng(0).integers(0, 255, (48, 48, 3)).astype(np.uint8)
    client.gui["Mask of the photo"].send("mask.png", b"a mask of nothing")
    assert not live.page.fits.jobs
    client.gui["Fit to a photo"].send("noise.png", _encoded(Image.fromarray(noise)))
    live.page.fits.work()
    assert "its background is not of one colour" in client.notes[0][1]
    assert client.gui["Mask of the photo"].visible
    client.gui["Mask of the photo"].send("mask.png", _photo(live.studio.generator)[1])
    live.page.fits.work()
    assert client.gui["Fit"].value.startswith("fitted")
    client.gui["Mask of the photo"].send("small.png", _encoded(Image.new("L", (20, 20), 255)))
    live.page.fits.work()
    assert client.notes[-1][1].startswith("noise.png: its mask small.png is 20 × 20, the image 48 × 48")


def test_the_end_of_the_page_ends_the_fit():
    fits, began, seen = Fits(), threading.Event(), []

    def job():
        began.set()
        seen.append(fits.ended.wait(60))

    fits.ask(0, job)
    assert began.wait(60)
    fits.stop()
    assert seen == [True]


def test_styles_are_truncated_mixed_and_interpolated_as_latents_are(live):
    studio, generator = live.studio, live.studio.generator
    noise = torch.Generator().manual_seed(0)
    layers = generator.require_styles(generator.styles(generator.sample_latents(1, 4), 1.0))
    styles = Styles(*(w + torch.randn(w.shape, generator=noise) for w in (layers.geometry, layers.texture)))
    fitted, seeded = studio.of_styles(styles), studio.pick(2, 2, 0.5)
    own = generator.styles(seeded.latents, 0.5)
    mixed = studio._styles(studio.mixed(fitted, seeded))
    assert torch.equal(mixed.geometry, styles.geometry) and torch.equal(mixed.texture, own.texture)
    half = studio._styles(studio.between(seeded, fitted, 0.5))
    torch.testing.assert_close(half.geometry, (styles.geometry + own.geometry) / 2)
    mean = generator.mapping_texture.w_avg
    truncated = studio._styles(photo_fit.Pick(fitted.latents, 0.25, styles=styles))
    torch.testing.assert_close(truncated.texture, mean + 0.25 * (styles.texture - mean))


def test_windows_begin_with_the_shapes_of_a_file(model, tmp_path, monkeypatch):
    monkeypatch.setattr(model_page, "Latest", Worker)
    generator = load(model)
    styles = generator.styles(generator.sample_latents(1, 9), 0.5)
    write_shape_list(tmp_path / "one.json", generator, styles, ["mine"])
    write_shape_list(tmp_path / "two.json", generator, generator.sample_latents(2, 7), psi=0.4)
    settings = Settings(model, out=tmp_path / "out", faces=60, texture=16, device="cpu")
    for listed, state, kept in (
        ("one.json", "geometry fitted, texture fitted, ψ 1", ["1: mine"]),
        ("two.json", "geometry varied, texture varied, ψ 0.4", ["1: 000000", "2: 000001"]),
    ):
        server = Server()
        studio = Studio(settings, listed=tmp_path / listed)
        page = ModelPage(server, studio)
        client = server.open()
        page.objects.work()
        assert client.gui["State"].value == f"ready: {state}"
        assert list(client.gui["First"].options) == kept
        page.fits.stop()
    client.gui["Keep this one"].use()
    assert list(client.gui["First"].options) == kept
    assert torch.equal(Studio(settings, listed=tmp_path / "one.json").listed["mine"].styles.texture, styles.texture)


@needs_chromium
@pytest.mark.slow
def test_a_photo_is_dropped_on_a_browser(tmp_path, monkeypatch):
    monkeypatch.setattr(photo_fit, "FitConfig", partial(FitConfig, steps=12, starts=2))
    config = ViewConfig(("chair",), out=tmp_path / "viewed", port=0, faces=1500, texture=32, device="cpu")
    shown = open_page(config)
    (tmp_path / "no-image.png").write_bytes(b"no image")
    try:
        with chromium() as browser:
            found = watched(browser, viewport={"width": 1000, "height": 800}, offline=False)
            found.page.goto(shown.server.address)
            wait_for_field(found.page, "^ready: geometry 0")
            page = found.page
            dropped = page.evaluate_handle(
                """content => {
                    const data = new DataTransfer();
                    data.items.add(new File([Uint8Array.from(content)], "seen.png", { type: "image/png" }));
                    return data;
                }""",
                list(_photo(load("chair", "cpu"))[0]),
            )
            page.dispatch_event("canvas", "drop", {"dataTransfer": dropped})
            wait_for_field(found.page, "^fitted: IoU")
            wait_for_field(found.page, "^ready: geometry fitted, texture fitted, ψ 1$")
            page.get_by_text("From a photo").click()
            page.get_by_text("Photo, fit, difference").wait_for()
            with page.expect_file_chooser() as chooser:
                page.get_by_role("button", name="Fit to a photo").click()
            chooser.value.set_files(tmp_path / "no-image.png")
            wait_for_field(page, "^no-image.png: is not a readable image")
            assert found.errors == []
    finally:
        shown.stop()
