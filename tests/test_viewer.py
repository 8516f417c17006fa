"""The live page of `get3d view`, with real clicks, and who may ask its server."""

import http.client
import json
import re
import threading
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
import trimesh
from rich.console import Console

from browser import chromium, enter, needs_chromium, still, wait_for_field, watched
from get3d.authoring.procedural import SynthConfig, synthesize
from get3d.cameras import Cameras
from get3d.files import InputError, read_json
from get3d.generation.config import GenerateConfig
from get3d.generation.generate import generate
from get3d.viewer.camera import quaternions
from get3d.viewer.command import open_page
from get3d.viewer.config import ViewConfig
from get3d.viewer.latest import Latest
from get3d.viewer.studio import Studio

QUIET = Console(quiet=True)
SMALL = {"faces": 1500, "texture": 32, "device": "cpu"}
WINDOW = {"viewport": {"width": 800, "height": 700}, "offline": False}


@pytest.fixture(scope="module")
def browser():
    with chromium() as browser:
        yield browser


@pytest.fixture
def shown(tmp_path):
    page = open_page(ViewConfig(("chair",), out=tmp_path / "viewed", port=0, **SMALL))
    yield page
    page.stop()


def _open(browser, shown):
    found = watched(browser, **WINDOW)
    found.page.goto(shown.server.address)
    wait_for_field(found.page, r"^ready: geometry 0, texture 0, ψ 0\.7$")
    return found


def _asked(found):
    """The machines that a page asked something of."""
    return {re.sub(r"^(blob:)?\w+://([^:/]*).*", r"\2", request) for request in found.requests}


@needs_chromium
@pytest.mark.slow
def test_what_is_steered_and_saved_is_made_again_to_the_byte(browser, shown, tmp_path):
    found = _open(browser, shown)
    page = found.page
    # ψ, with the mouse.
    box = page.locator("[role=slider]").nth(2).bounding_box()
    page.mouse.move(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
    page.mouse.down()
    page.mouse.move(box["x"] + 40, box["y"] + box["height"] / 2, steps=8)
    page.mouse.up()
    said = wait_for_field(page, r"^ready: geometry 0, texture 0, ψ (?!0\.7$)")
    psi = float(said.rpartition(" ")[2])
    assert 0.75 < psi < 1.5
    page.get_by_role("button", name="More like this").last.click()
    page.get_by_role("button", name="3", exact=True).click()
    wait_for_field(page, "^ready: geometry varied, texture varied")
    page.get_by_role("button", name="Save", exact=True).click()
    command = wait_for_field(page, "^get3d generate chair --latents ")
    # Another, of other seeds and another truncation, in the same file.
    enter(page, 0, "5")
    wait_for_field(page, "^ready: geometry 5, texture varied")
    enter(page, 1, "6")
    wait_for_field(page, "^ready: geometry 5, texture 6")
    assert wait_for_field(page, "^object-2$")
    page.get_by_role("button", name="Save", exact=True).click()
    page.get_by_text("object-2.glb").wait_for()
    assert found.errors == []
    assert _asked(found) == {"127.0.0.1"}

    out = tmp_path / "viewed"
    record = read_json(out / "shapes.json")
    assert [entry["file"] for entry in record["shapes"]] == ["object-1.glb", "object-2.glb"]
    assert record["shapes"][0]["psi"] == pytest.approx(psi)
    assert f"--latents {out}/shapes.json --faces 1500 --texture 32" in command
    config = GenerateConfig("chair", out=tmp_path / "again", latents=out / "shapes.json", resolution=16, video="none")
    generate(replace(config, **SMALL), QUIET)
    for entry in record["shapes"]:
        assert (out / entry["file"]).read_bytes() == (tmp_path / "again" / entry["file"]).read_bytes()
    # The folder has a page, too, as every folder of objects.
    assert (out / "index.html").is_file()
    assert (out / "page" / "objects" / "object-2.js").is_file()


@needs_chromium
@pytest.mark.slow
def test_a_seed_of_the_page_is_the_shape_of_generate(browser, shown, tmp_path):
    found = _open(browser, shown)
    for place in (0, 1):
        enter(found.page, place, "7")
    wait_for_field(found.page, "^ready: geometry 7, texture 7")
    found.page.get_by_role("button", name="Save", exact=True).click()
    found.page.get_by_text("object-1.glb").wait_for()
    generate(
        GenerateConfig("chair", out=tmp_path / "again", num=1, seed=7, resolution=16, video="none", **SMALL), QUIET
    )
    assert (tmp_path / "viewed/object-1.glb").read_bytes() == (tmp_path / "again/000007.glb").read_bytes()


@needs_chromium
@pytest.mark.slow
def test_windows_have_objects_of_their_own_and_outlive_the_server(browser, tmp_path):
    config = ViewConfig(("chair",), out=tmp_path / "viewed", port=0, **SMALL)
    shown = open_page(config)
    try:
        one, other = _open(browser, shown), _open(browser, shown)
        enter(one.page, 0, "3")
        wait_for_field(one.page, "^ready: geometry 3, texture 0")
        wait_for_field(other.page, "^ready: geometry 0, texture 0")
        # Undone, and done again.
        one.page.get_by_role("button", name="Undo").click()
        wait_for_field(one.page, "^ready: geometry 0, texture 0")
        one.page.get_by_role("button", name="Redo").click()
        wait_for_field(one.page, "^ready: geometry 3, texture 0")
        port = shown.server.get_port()
    finally:
        shown.stop()
    shown = open_page(replace(config, port=port))
    try:
        assert shown.server.get_port() == port
        wait_for_field(one.page, "^ready: geometry 0, texture 0")
        enter(one.page, 1, "4")
        wait_for_field(one.page, "^ready: geometry 0, texture 4")
    finally:
        shown.stop()


@needs_chromium
@pytest.mark.slow
def test_a_control_that_is_used_while_another_still_works_keeps_its_value(browser, shown, monkeypatch):
    found = _open(browser, shown)
    mixed = Studio.mixed
    monkeypatch.setattr(Studio, "mixed", lambda *args: (time.sleep(1), mixed(*args))[1])
    for place, value in ((0, "9"), (1, "8"), (2, "0.5")):
        enter(found.page, place, value)
    wait_for_field(found.page, r"^ready: geometry 9, texture 8, ψ 0\.5$")
    fields = found.page.locator("input[inputmode=decimal]")
    assert [fields.nth(place).input_value() for place in range(3)] == ["9", "8", "0.5"]
    assert found.errors == []


@needs_chromium
@pytest.mark.slow
def test_kept_objects_are_mixed_and_walked_between(browser, shown):
    found = _open(browser, shown)
    page = found.page
    page.get_by_role("button", name="Keep this one").click()
    for place in (0, 1):
        enter(page, place, "9")
    wait_for_field(page, "^ready: geometry 9, texture 9")
    page.get_by_role("button", name="Keep this one").click()
    wait_for_field(page, "^2: geometry 9")
    page.get_by_role("button", name="Geometry of the first").click()
    wait_for_field(page, "^ready: geometry 0, texture 9")
    # After the seeds, ψ, eight directions and the strength of variations.
    enter(page, 12, "0.5")
    wait_for_field(page, "^ready: geometry varied, texture varied")
    assert found.errors == []


@needs_chromium
@pytest.mark.slow
def test_a_name_that_is_no_plain_name_is_refused_and_nothing_is_written(browser, shown, tmp_path):
    found = _open(browser, shown)
    field = found.page.locator("input[value='object-1']")
    for count, name in enumerate(["../outside", "a/b", ".hidden", "a\\b"]):
        field.fill(name)
        field = found.page.locator("input[value=" + json.dumps(name) + "]")
        found.page.get_by_role("button", name="Save", exact=True).click()
        found.page.get_by_text("Not done").nth(count).wait_for()
    assert not list(tmp_path.rglob("*.glb"))
    assert found.errors == []


@needs_chromium
@pytest.mark.slow
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_on_a_phone_the_object_is_above_the_controls_and_all_of_it_is_seen(browser, shown, scheme):
    found = watched(browser, viewport={"width": 390, "height": 844}, color_scheme=scheme, offline=False)
    page = found.page
    page.goto(shown.server.address)
    wait_for_field(page, "^ready: geometry 0, texture 0")
    page.get_by_role("alert").get_by_role("button").dispatch_event("click")  # WebGL in software.
    assert page.evaluate("document.documentElement.dataset.mantineColorScheme") == scheme
    canvas = page.locator("canvas").first
    panel = page.locator(".mantine-Paper-root", has=page.get_by_role("button", name="Save", exact=True)).first
    page.wait_for_function("[...document.querySelectorAll('canvas')].every(each => each.clientHeight < 0.45 * 844)")
    above, below = canvas.bounding_box(), panel.bounding_box()
    assert above["y"] + above["height"] <= below["y"] + 1
    assert (below["x"], below["width"]) == (0, 390)
    save = page.get_by_role("button", name="Save", exact=True).bounding_box()
    assert save["y"] + save["height"] < 844
    image = still(canvas)
    background = image[0, 0]
    assert (background.mean() > 200) == (scheme == "light")
    # More than the shadow of the panel below, less than dark legs before the dark scheme's background.
    there = np.abs(image.astype(int) - background).max(2) > 15
    rows, columns = there.any(1), there.any(0)
    assert not rows[[0, -1]].any() and not columns[[0, -1]].any()
    assert rows.mean() > 0.5
    assert found.errors == []


@needs_chromium
@pytest.mark.slow
def test_a_dataset_is_shown_with_its_cameras_and_meshes(browser, tmp_path):
    data = synthesize(SynthConfig("vase", tmp_path / "data", shapes=4, views=5, resolution=32, workers=1), QUIET)
    shown = open_page(ViewConfig((str(data),), port=0))
    try:
        found = watched(browser, **WINDOW)
        found.page.goto(shown.server.address)
        first = wait_for_field(found.page, r"\(1 of 4\), 5 images$")
        enter(found.page, 0, "2")
        assert wait_for_field(found.page, r"\(3 of 4\), 5 images$").split()[0] != first.split()[0]
        assert found.errors == []
        assert _asked(found) == {"127.0.0.1"}
    finally:
        shown.stop()


@needs_chromium
@pytest.mark.slow
def test_mesh_files_are_shown_side_by_side(browser, tmp_path):
    hostile = "<img src=x onerror=alert(1)>.stl"
    trimesh.creation.box().export(tmp_path / hostile)
    trimesh.creation.icosphere().export(tmp_path / "ball.ply")
    shown = open_page(ViewConfig((str(tmp_path / hostile), str(tmp_path / "ball.ply")), port=0))
    try:
        found = watched(browser, **WINDOW)
        found.page.goto(shown.server.address)
        assert wait_for_field(found.page, "onerror") == f"{hostile}: 12 triangles"
        wait_for_field(found.page, "^ball.ply: 1,280 triangles$")
        assert found.errors == []
        assert _asked(found) == {"127.0.0.1"}
    finally:
        shown.stop()


def _answer(shown, path="/", **headers):
    """Status, and the cookie that is set."""
    connection = http.client.HTTPConnection("127.0.0.1", shown.server.get_port(), timeout=30)
    connection.putrequest("GET", path, skip_host="Host" in headers)
    for name, value in headers.items():
        connection.putheader(name, value)
    connection.endheaders()
    response = connection.getresponse()
    response.read()
    connection.close()
    return response.status, response.getheader("Set-Cookie")


@pytest.fixture(scope="module")
def ball(tmp_path_factory):
    path = tmp_path_factory.mktemp("meshes") / "ball.ply"
    trimesh.creation.icosphere(subdivisions=1).export(path)
    return str(path)


def test_on_this_machine_only_its_own_pages_may_ask(ball):
    shown = open_page(ViewConfig((ball,), port=0))
    try:
        own = f"127.0.0.1:{shown.server.get_port()}"
        assert _answer(shown) == (200, None)
        assert _answer(shown, Origin=f"http://{own}")[0] == 200
        assert _answer(shown, Origin="http://evil.example")[0] == 403
        # A name of somebody else's that leads to this machine.
        assert _answer(shown, Host="evil.example")[0] == 403
        assert _answer(shown, Host="evil.example", Origin="http://evil.example")[0] == 403
        websocket = {"Upgrade": "websocket", "Connection": "Upgrade", "Sec-WebSocket-Version": "13"}
        websocket["Sec-WebSocket-Key"] = "dGhlIHNhbXBsZSBub25jZQ=="
        assert _answer(shown, Origin="http://evil.example", **websocket)[0] == 403
        for path in ("/../../../../etc/passwd", "/%2e%2e/%2e%2e/etc/passwd", "/etc/passwd"):
            assert _answer(shown, path)[0] == 404
        assert shown.server.request_share_url() is None
    finally:
        shown.stop()


def test_from_other_machines_only_who_knows_the_token_may_ask(ball):
    shown = open_page(ViewConfig((ball,), host="0.0.0.0", port=0))
    try:
        _, _, token = shown.server.address.partition("?token=")
        assert len(token) > 20
        assert _answer(shown)[0] == 403
        assert _answer(shown, "/?token=wrong")[0] == 403
        status, cookie = _answer(shown, f"/?token={token}")
        assert status == 200
        assert "HttpOnly" in cookie and "SameSite=Strict" in cookie
        assert _answer(shown, Cookie=cookie.partition(";")[0])[0] == 200
        assert _answer(shown, Cookie="get3d-token=wrong")[0] == 403
        assert _answer(shown, f"/?token={token}", Origin="http://evil.example")[0] == 403
    finally:
        shown.stop()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"targets": ()}, "nothing is named"),
        ({"targets": ("chair", "vase")}, "only of mesh files"),
        ({"targets": ("nowhere.glb",)}, r"nowhere\.glb"),
        ({"targets": ("nosuchmodel",)}, "nosuchmodel"),
        ({"latents": Path("a.json")}, r"--latents a.json: has shapes of a model, and .*ball.ply is none; leave it out"),
        ({"host": "203.0.113.7"}, "--host is 203.0.113.7"),
        ({"psi": 3.0}, "--psi is 3"),
    ],
)
def test_bad_input_is_named(ball, tmp_path, changes, message):
    config = {"targets": (ball,), "out": tmp_path / "out", "port": 0} | changes
    with pytest.raises(InputError, match=message):
        open_page(ViewConfig(**config))


def test_a_folder_of_objects_on_another_grid_is_refused_before_the_page_opens(tmp_path):
    (tmp_path / "shapes.json").write_text(json.dumps({"format": 1, "psi": 0.7, "grid": 12, "shapes": []}))
    with pytest.raises(InputError, match="on a grid of 12, and the page's on 64; choose another --out"):
        open_page(ViewConfig(("chair",), out=tmp_path, port=0, **SMALL))


def test_of_many_requests_the_latest_is_done():
    worker, done, go = Latest("test"), [], threading.Event()
    worker.ask("a", lambda: (go.wait(10), done.append("first")))
    time.sleep(0.2)  # It has begun, so it is not dropped.
    for number in range(50):
        worker.ask("a", lambda number=number: done.append(number))
    worker.ask("b", lambda: done.append("other"))
    worker.ask("c", lambda: done.append("forgotten"))
    worker.forget("c")
    go.set()
    finished = threading.Event()
    worker.ask("d", finished.set, 0.2)
    assert finished.wait(10)
    worker.stop()
    assert done == ["first", 49, "other"]


def test_a_request_that_fails_does_not_end_the_others(capsys):
    worker, finished = Latest("test"), threading.Event()
    worker.ask("a", lambda: 1 / 0)
    worker.ask("b", finished.set, 0.1)
    assert finished.wait(10)
    worker.stop()
    assert "ZeroDivisionError" in capsys.readouterr().err


def test_quaternions_turn_camera_axes_into_the_world():
    cameras = Cameras.orbit(torch.tensor([0.3, 4.0]), torch.tensor([1.2, 0.4]), roll=torch.tensor([0.0, 0.7]))
    for (w, x, y, z), rotation in zip(quaternions(cameras), cameras.rotations.numpy(), strict=True):
        turn = trimesh.transformations.quaternion_matrix([w, x, y, z])[:3, :3]
        right, up, backward = rotation
        np.testing.assert_allclose(turn, np.stack([right, -up, -backward], axis=1), atol=1e-6)
