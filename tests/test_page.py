"""The page beside generated objects, in a real browser that has no network."""

import re
import shutil
from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image
from rich.console import Console

import tiny
from browser import chromium, drawn, needs_chromium, wait_for_objects, watched
from get3d.authoring.procedural import SynthConfig, synthesize
from get3d.cameras import Cameras
from get3d.checkpoints.model import load
from get3d.datasets.check import check
from get3d.datasets.check_html import write_page
from get3d.evaluation.report import EvaluateConfig, evaluate
from get3d.export import TexturedMesh
from get3d.files import read_json
from get3d.fitting.config import FitConfig
from get3d.fitting.fit import fit
from get3d.generation.config import GenerateConfig, InterpolateConfig, VaryConfig
from get3d.generation.generate import generate
from get3d.generation.interpolation import interpolate, vary
from get3d.generation.page import first_view
from get3d.generation.shape_list import write_shape_list
from get3d.html import PageObject, embedded_objects
from get3d.render.lights import EVEN

pytestmark = [needs_chromium, pytest.mark.slow]

SIDE = 384
SMALL = {"resolution": 32, "texture": 256, "faces": 20_000, "video": "none", "device": "cpu"}
HOSTILE = ['<img src=x onerror="alert(1)">', "a&amp;'b\" #?%41", "model-viewer", "ψ 椅子", "c:d", "<!--<script>"]


@pytest.fixture(scope="module")
def browser():
    with chromium() as browser:
        yield browser


@pytest.fixture(scope="module")
def objects(tmp_path_factory):
    out = tmp_path_factory.mktemp("objects")
    generate(GenerateConfig("chair", out=out, num=3, seed=4, **SMALL), Console(quiet=True))
    return out


def _open(browser, folder, **context):
    found = watched(browser, **context)
    found.page.goto((folder / "index.html").as_uri())
    return found


@pytest.mark.slow
def test_objects_from_a_file_without_a_network_look_as_in_our_own_renderer(browser, objects):
    found = _open(browser, objects, viewport={"width": 1300, "height": 1000})
    # Sizes at which thin legs are several pixels wide.
    found.page.add_style_tag(content=f".objects {{ grid-template-columns: repeat(3, {SIDE}px) !important }}")
    found.page.uncheck("#light")
    wait_for_objects(found.page, 3)
    generator = load("chair", "cpu")
    view = first_view(generator.config.cameras)
    angles = torch.tensor([[view.azimuth, view.polar]]).deg2rad()
    camera = Cameras.of_prior(generator.config.cameras, angles)
    for number in range(3):
        with torch.no_grad():
            shapes = generator.shapes(generator.sample_latents(1, 4 + number), 0.7)
            own = shapes.draw(camera, SIDE, light=EVEN)
        shown = drawn(found.page.locator("model-viewer").nth(number))
        assert shown.shape[1:] == (SIDE, SIDE)
        there, expected = shown[3] > 0.5, own.mask[0, 0] > 0.5
        assert (there & expected).sum() / (there | expected).sum() >= 0.97
        both = there & expected
        # Without light, the colours are those that the textures say.
        colors = [shown[:3, both].mean(1), (own.rgb[0].clamp(-1, 1)[:, both].mean(1) + 1) / 2]
        assert (colors[0] - colors[1]).abs().max() < 0.05
    assert found.errors == []
    assert found.requests
    assert {request.partition(":")[0] for request in found.requests} <= {"file", "blob"}


def test_a_page_says_what_it_shows_and_how_to_make_it_again(browser, objects):
    found = _open(browser, objects, viewport={"width": 1300, "height": 1000})
    wait_for_objects(found.page, 3)
    text = found.page.inner_text("body")
    entries = read_json(objects / "shapes.json")["shapes"]
    for number, entry in enumerate(entries):
        assert f"seed {4 + number}\nψ 0.7\n{entry['faces']:,} triangles" in text
    assert "triangles" not in found.page.inner_text("details > summary")
    with found.page.expect_download() as download:
        found.page.get_by_role("link", name="glb file").first.click()
    assert download.value.path().read_bytes() == (objects / "000004.glb").read_bytes()
    assert found.page.locator("img").evaluate_all("all => all.every(image => image.src.startsWith('file:'))")
    assert found.errors == []


@pytest.mark.slow
def test_dragging_turns_an_object_and_enlarging_shows_it_large(browser, objects):
    found = _open(browser, objects, viewport={"width": 1300, "height": 1000})
    wait_for_objects(found.page, 3)
    first = found.page.locator("model-viewer").first
    box = first.bounding_box()
    before = first.evaluate("viewer => viewer.getCameraOrbit().theta")
    found.page.mouse.move(box["x"] + 100, box["y"] + 100)
    found.page.mouse.down()
    found.page.mouse.move(box["x"] + 180, box["y"] + 100, steps=5)
    found.page.mouse.up()
    found.page.wait_for_function(
        "before => Math.abs(document.querySelector('model-viewer').getCameraOrbit().theta - before) > 0.3", arg=before
    )
    found.page.get_by_role("button", name="Enlarge").nth(1).click()
    wait_for_objects(found.page, 4)
    large = found.page.locator("dialog model-viewer")
    assert found.page.inner_text("dialog h2") == "seed 5"
    assert large.bounding_box()["width"] > 2 * box["width"]
    found.page.keyboard.press("Escape")
    found.page.wait_for_function("() => document.querySelectorAll('model-viewer').length === 3")
    assert found.errors == []


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_on_a_phone_nothing_is_wider_than_the_screen(browser, objects, scheme):
    context = {"viewport": {"width": 390, "height": 844}, "has_touch": True, "is_mobile": True, "color_scheme": scheme}
    found = _open(browser, objects, **context)
    wait_for_objects(found.page, 3)
    assert found.page.evaluate("document.documentElement.scrollWidth") <= 390
    assert found.page.locator("model-viewer").first.bounding_box()["width"] > 150
    background, ink = found.page.evaluate(
        "[getComputedStyle(document.body).backgroundColor, getComputedStyle(document.body).color]"
    )
    brightness = [sum(map(int, re.findall(r"\d+", color)[:3])) for color in (background, ink)]
    assert (brightness[0] > brightness[1]) == (scheme == "light")
    assert found.errors == []


@pytest.fixture(scope="module")
def glossy(tmp_path_factory):
    """A model with roughness and metallic textures."""
    config = replace(tiny.GENERATOR, materials="pbr")
    return tiny.write_model(tmp_path_factory.mktemp("model") / "model.safetensors", config)


@pytest.mark.filterwarnings("ignore:IoU")
def test_other_commands_write_a_page_too_with_all_maps_of_a_material(browser, glossy, tmp_path):
    small = SMALL | {"texture": 16, "faces": 60}
    quiet = Console(quiet=True)
    between = InterpolateConfig(glossy, out=tmp_path / "between", start=0, end=1, num=3, frames=2, swaps=0, **small)
    interpolate(between, quiet)
    vary(VaryConfig(glossy, out=tmp_path / "like", seed=2, num=2, **small), quiet)
    disc = np.zeros((32, 32, 4), np.uint8)
    disc[8:24, 8:24] = (200, 30, 20, 255)
    Image.fromarray(disc).save(tmp_path / "<b>photo.png")
    fitted = FitConfig(
        glossy, out=tmp_path / "fitted", images=(tmp_path / "<b>photo.png",), starts=2, steps=3, name="it", **small
    )
    fit(fitted, quiet)
    said = {"between": "50% of the way from seed 0 to seed 1", "like": "variation of seed 2", "fitted": "it\nψ"}
    for folder, count in (("between", 3), ("like", 3), ("fitted", 1)):
        found = _open(browser, tmp_path / folder, viewport={"width": 1300, "height": 1000})
        wait_for_objects(found.page, count)
        assert said[folder] in found.page.inner_text("body")
        maps = "all => all.map(one => one.model.materials[0].pbrMetallicRoughness.metallicRoughnessTexture.texture)"
        assert None not in found.page.locator("model-viewer").evaluate_all(maps)
        assert found.page.locator("img").count() >= 1
        assert found.page.locator("img").evaluate_all("all => all.every(image => image.src.startsWith('file:'))")
        with found.page.expect_download():
            found.page.get_by_role("link", name="glb file").first.click()
        assert found.errors == []
        assert {request.partition(":")[0] for request in found.requests} <= {"file", "blob"}


def test_names_are_only_names(browser, tmp_path):
    generator = load("chair", "cpu")
    write_shape_list(tmp_path / "list.json", generator, generator.sample_latents(len(HOSTILE), 4), HOSTILE, grid=16)
    out = tmp_path / "out # 50% 'a'"
    config = GenerateConfig("chair", out=out, latents=tmp_path / "list.json", **SMALL | {"texture": 16, "faces": 500})
    generate(config, Console(quiet=True))
    found = _open(browser, out, viewport={"width": 1300, "height": 1000})
    said = []
    found.page.on("dialog", lambda dialog: (said.append(dialog.message), dialog.dismiss()))
    wait_for_objects(found.page, len(HOSTILE))
    assert found.page.locator("figcaption b").all_inner_texts() == HOSTILE
    links = found.page.get_by_role("link", name="glb file")
    for number, name in enumerate(HOSTILE):
        with found.page.expect_download() as download:
            links.nth(number).click()
        assert download.value.path().read_bytes() == (out / f"{name}.glb").read_bytes()
    assert said == found.errors == []


def test_objects_far_down_are_read_when_they_come_near(browser, objects):
    found = _open(browser, objects, viewport={"width": 1300, "height": 300})
    wait_for_objects(found.page, 3)
    found.page.add_style_tag(content=".objects { grid-template-columns: 1fr !important } .stage { height: 2000px }")
    found.page.wait_for_function("() => document.querySelectorAll('model-viewer').length === 1")
    found.page.locator("figcaption").last.scroll_into_view_if_needed()
    found.page.wait_for_function("() => document.querySelectorAll('.stage')[2].children.length === 1")
    found.page.wait_for_function("() => document.querySelectorAll('.stage')[0].children.length === 0")
    assert found.errors == []


@pytest.mark.slow
def test_an_object_that_is_lost_is_said_and_the_others_are_shown(browser, objects, tmp_path):
    folder = tmp_path / "copy"
    shutil.copytree(objects, folder)
    (folder / "page" / "objects" / "000005.js").unlink()
    found = _open(browser, folder, viewport={"width": 1300, "height": 1000})
    wait_for_objects(found.page, 2)
    found.page.get_by_text("seed 5 cannot be shown").wait_for()


def test_a_notebook_shows_an_object_to_turn(browser):
    (mesh,) = load("chair", "cpu").textured(load("chair", "cpu").sample_latents(1, 4), 0.7, 64, 1000)
    found = watched(browser, viewport={"width": 900, "height": 900})
    found.page.set_content(f"<h1>A notebook</h1>{mesh._repr_html_()}")
    frame = found.page.frame_locator("iframe")
    frame.locator("model-viewer").wait_for()
    inner = next(one for one in found.page.frames if one.parent_frame)
    wait_for_objects(inner, 1)
    assert inner.inner_text("figcaption b") == "Object"
    assert found.errors == []
    assert {request.partition(":")[0] for request in found.requests} <= {"about", "blob"}
    assert "nothing to see" in TexturedMesh.nothing(mesh.vertices.device)._repr_html_()


def test_an_object_that_is_shown_twice_is_held_once():
    shown = [PageObject("a", glb=b"one"), PageObject("b", glb=b"two"), PageObject("c", glb=b"one")]
    page = embedded_objects({"": shown[:2], "<h3>again</h3>": shown[2:]})
    assert page.count('class="stage"') == 3
    assert page.count('<script type="text/plain"') == 2


def test_reports_hold_objects_to_turn(browser, tmp_path, monkeypatch):
    quiet = Console(quiet=True)
    data = synthesize(SynthConfig("vase", tmp_path / "data", shapes=6, views=3, resolution=32, workers=1), quiet)
    monkeypatch.setattr("sys.argv", ["get3d", "check", "<data>", "--report", "check.html"])
    write_page(check(data), tmp_path / "check.html")
    found = watched(browser)
    found.page.goto((tmp_path / "check.html").as_uri())
    found.page.locator(".objects").scroll_into_view_if_needed()
    wait_for_objects(found.page, 1)
    # What was found first; the meshes that agree least with their images; how it was made, folded.
    text = found.page.inner_text("body")
    assert text.index("usable") < text.index("6 objects") < text.index("those that agree least first")
    overlaps = [float(each) for each in re.findall("overlap with its worst image: (.*)", text)]
    assert len(overlaps) == 6
    assert overlaps == sorted(overlaps)
    assert not found.page.get_by_text("get3d check '<data>'").is_visible()
    found.page.get_by_text("Settings").click()
    assert found.page.get_by_text("get3d check '<data>'").is_visible()
    wanted = {"references": 1, "ratio": 4, "points": 64, "train_objects": 2, "images": 0, "textures": 0}
    config = EvaluateConfig(models=("chair",), data=data, out=tmp_path, device="cpu", distances=("cd",), **wanted)
    evaluate(config, quiet)
    found.page.goto((tmp_path / "report.html").as_uri())
    found.page.locator(".objects").first.scroll_into_view_if_needed()
    wait_for_objects(found.page, 4)
    assert "seed 0" in found.page.locator(".objects").first.inner_text()
    assert "training object, near seed 0" in found.page.locator(".objects").nth(1).inner_text()
    headings = ["Samples, not chosen", "nearest to it", "Worst cases: farthest from every training object"]
    for heading, text in zip(headings, found.page.locator("h3").all_inner_texts(), strict=True):
        assert heading in text
    worst = found.page.locator(".objects").nth(2)
    worst.scroll_into_view_if_needed()
    worst.locator("model-viewer").first.wait_for()
    # Results first; the settings are there, folded.
    assert found.page.locator("h2").all_inner_texts()[:2] == ["Numbers", "Objects to turn"]
    assert not found.page.get_by_text('"psi": ').is_visible()
    found.page.get_by_text("Settings").click()
    assert found.page.get_by_text('"psi": ').is_visible()
    assert found.errors == []
    assert {request.partition(":")[0] for request in found.requests} <= {"file", "blob"}
