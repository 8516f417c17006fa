"""What the controls of the live page change: views, light, directions, filters; and the page in a notebook."""

import io
import json
from dataclasses import replace

import numpy as np
import pytest
import torch
import trimesh
from PIL import Image
from rich.console import Console

import tiny
from browser import choose, chromium, enter, needs_chromium, still, wait_for_field, watched
from get3d import view
from get3d.assets.asset import Asset
from get3d.assets.shading import shade
from get3d.authoring.procedural import SynthConfig, synthesize
from get3d.cameras import Cameras
from get3d.checkpoints.model import load
from get3d.color import bytes_to_unit, linear_to_srgb, srgb_to_linear, unit_to_bytes
from get3d.datasets.check import check
from get3d.datasets.index import read
from get3d.export import TexturedMesh
from get3d.files import InputError, read_json
from get3d.generation.config import GenerateConfig, Settings
from get3d.generation.generate import generate
from get3d.latents import Styles
from get3d.viewer import look
from get3d.viewer.camera import VIEW
from get3d.viewer.command import open_page
from get3d.viewer.config import ViewConfig
from get3d.viewer.directions import directions_file, find_directions, moved, read_directions
from get3d.viewer.look import Look, shown, views_of
from get3d.viewer.problems import objects_by_problem
from get3d.viewer.studio import Studio

QUIET = Console(quiet=True)
SMALL = {"faces": 1500, "texture": 64, "device": "cpu"}
SIDE = 600
WINDOW = {"viewport": {"width": 1100, "height": SIDE}, "offline": False}


@pytest.fixture(scope="module")
def browser():
    with chromium() as browser:
        yield browser


def _canvas(page) -> torch.Tensor:
    """What is drawn, as [3, h, h] bytes: the middle of the canvas, which stands still."""
    image = still(page.locator("canvas").first)
    left = (image.shape[1] - image.shape[0]) // 2
    return torch.from_numpy(image[:, left : left + len(image)].copy()).permute(2, 0, 1)


def _expected(mesh: TexturedMesh | Asset, prior) -> tuple[torch.Tensor, torch.Tensor]:
    """Colours without light from the page's first camera, and the mask, by our own renderer."""
    angles = torch.tensor([[VIEW, prior.still_polar]]).deg2rad()
    (image,) = shade(mesh, Cameras.of_prior(prior, angles), SIDE, light="even")
    return image[:3], image[3] > 127


@needs_chromium
@pytest.mark.slow
def test_views_and_directions_of_the_page(browser, tmp_path):
    """Bare colours and normals are those of our own renderer, light changes what is lit, and names are kept."""
    config = ViewConfig(("vase",), out=tmp_path / "viewed", port=0, **SMALL)
    live = open_page(config)
    try:
        found = watched(browser, **WINDOW)
        page = found.page
        page.goto(live.server.address)
        wait_for_field(page, "^ready: geometry 0")
        page.get_by_role("alert").get_by_role("button").dispatch_event("click")  # WebGL in software.
        enter(page, 0, "7")
        enter(page, 1, "7")
        wait_for_field(page, "^ready: geometry 7, texture 7")
        lit = _canvas(page)

        generator = load("vase", "cpu")
        latents = generator.sample_latents(1, 7)
        (mesh,) = generator.textured(latents, psi=0.7, texture_resolution=64, faces=1500)
        colors = TexturedMesh(mesh.vertices, mesh.faces, mesh.normals, mesh.uv, mesh.textures)
        expected, mask = _expected(colors, generator.config.cameras)
        choose(page, "Show", "Base color")
        wait_for_field(page, "^ready")
        bare = _canvas(page)
        # A pixel that is half covered is half as far from white as one that is covered.
        there = (bare < 195).any(0)
        assert (there & mask).sum() / (there | mask).sum() >= 0.97
        inside = there & mask
        difference = bare[:, inside].float().mean(1) - expected[:, inside].float().mean(1)
        assert difference.abs().max() < 0.05 * 255
        assert (bare[:, inside].float() - lit[:, inside].float()).abs().mean() > 5

        # Normals: upward faces are green, and what faces the camera is what the camera's direction says.
        choose(page, "Show", "Normals")
        wait_for_field(page, "^ready")
        normals = _canvas(page)[:, inside].float()
        white = {"base_color": torch.full((1, 1, 3), 255, dtype=torch.uint8)}
        at_corners = srgb_to_linear((mesh.normals + 1) / 2)
        as_colors = replace(Asset.of(replace(colors, textures=white)), colors=at_corners)
        of_corners = _expected(as_colors, generator.config.cameras)[0][:, inside]
        # Of the colours of normals, the curve gives no bright greens.
        displayed = 255 * _through_page(bytes_to_unit(of_corners.T)).T
        assert (normals - displayed).abs().mean() < 5
        given = (displayed - of_corners).abs().amax(0) < 5
        assert given.float().mean() > 0.25
        assert (normals - of_corners)[:, given].abs().mean() < 8

        # A wireframe is dark lines on the same object.
        choose(page, "Show", "Base color")
        wait_for_field(page, "^ready")
        page.get_by_role("checkbox", name="Wireframe").click()
        wait_for_field(page, "^ready")
        wires = _canvas(page)
        darker = (wires.float().mean(0) < bare.float().mean(0) - 20)[inside].float().mean()
        assert 0.05 < darker < 0.9
        page.get_by_role("checkbox", name="Wireframe").click()

        choose(page, "Show", "Lit")
        wait_for_field(page, "^ready")
        choose(page, "Light", "sunset")
        assert (_canvas(page)[:, inside].float() - lit[:, inside].float()).abs().mean() > 3

        # A direction is moved along, named, and undone.
        page.get_by_text("Directions", exact=True).click()
        enter(page, 3, "2")
        wait_for_field(page, r"^ready: geometry 7, texture 7, ψ 0\.7, moved$")
        page.locator("xpath=//*[text()='Call it']/following::input[1]").fill("wide <b>seat</b>")
        page.get_by_role("button", name="Rename").click()
        page.get_by_text("wide <b>seat</b>").first.wait_for()
        page.get_by_role("button", name="Save", exact=True).click()
        wait_for_field(page, "^get3d generate vase --latents ")
        page.get_by_role("button", name="Undo").click()
        wait_for_field(page, r"^ready: geometry 7, texture 7, ψ 0\.7$")
        assert found.errors == []
        assert {request.split("/")[2] for request in found.requests} == {live.server.address.split("/")[2]}
    finally:
        live.stop()
    out = tmp_path / "viewed"
    names = [entry["name"] for entry in read_json(out / "directions.json")["directions"]]
    assert names[:2] == ["wide <b>seat</b>", "geometry 2"]
    assert read_directions(out / "directions.json", generator)[0].name == "wide <b>seat</b>"
    again = GenerateConfig("vase", out=tmp_path / "again", latents=out / "shapes.json", resolution=16, video="none")
    generate(replace(again, **SMALL), QUIET)
    assert (out / "object-1.glb").read_bytes() == (tmp_path / "again/object-1.glb").read_bytes()
    unmoved = GenerateConfig("vase", out=tmp_path / "unmoved", num=1, seed=7, resolution=16, video="none")
    generate(replace(unmoved, **SMALL), QUIET)
    assert (out / "object-1.glb").read_bytes() != (tmp_path / "unmoved/000007.glb").read_bytes()


@needs_chromium
@pytest.mark.slow
def test_objects_of_a_dataset_are_found_by_their_problems(browser, tmp_path):
    data = synthesize(SynthConfig("vase", tmp_path / "data", shapes=4, views=4, resolution=32, workers=1), QUIET)
    listing = read(data)
    (data / "images" / listing.images[0]).write_bytes((data / "images" / listing.images[5]).read_bytes())
    live = open_page(ViewConfig((str(data),), port=0))
    try:
        found = watched(browser, **WINDOW)
        found.page.goto(live.server.address)
        wait_for_field(found.page, r"\(1 of 4\), 4 images$")
        found.page.get_by_role("button", name="Find problems").click()
        found.page.get_by_text("Problems are found").wait_for()
        choose(found.page, "Problem", "with an image that is there twice (2)")
        first = wait_for_field(found.page, r"\(1 of 2\), 4 images$").split()[0]
        enter(found.page, 0, "1")
        second = wait_for_field(found.page, r"\(2 of 2\), 4 images$").split()[0]
        owners = {listing.objects[listing.object_index[number]] for number in (0, 5)}
        assert {first, second} == owners
        # Together with a split.
        split = next(name for name, objects in listing.splits.items() if listing.objects.index(first) in objects)
        choose(found.page, "Split", split)
        wait_for_field(found.page, r"\(\d of \d\), 4 images$")
        assert found.errors == []
    finally:
        live.stop()


@needs_chromium
@pytest.mark.slow
def test_a_notebook_shows_the_page_of_a_generator(browser, tmp_path):
    generator = load(tiny.write_model(tmp_path / "model.safetensors"), "cpu").requires_grad_(True)
    live = view(generator, out=tmp_path / "viewed", texture=16, faces=60, grid=9, port=0, height=500)
    try:
        found = watched(browser, **WINDOW)
        found.page.set_content(f"<h1>A notebook</h1>{live._repr_html_()}")
        frame = found.page.frame_locator("iframe")
        frame.locator("input[value^='ready: geometry 0']").wait_for()
        assert found.page.locator("iframe").bounding_box()["height"] == 500
        assert found.errors == []
    finally:
        live.stop()
    # The generator is as it was.
    assert generator.isosurface.grid.resolution == tiny.GENERATOR.grid_resolution
    assert all(parameter.requires_grad for parameter in generator.parameters())
    with pytest.raises(InputError, match="--psi is 3"):
        view(generator, psi=3.0, out=tmp_path / "viewed")


@pytest.fixture(scope="module")
def small(tmp_path_factory):
    return tiny.write_model(tmp_path_factory.mktemp("model") / "model.safetensors")


@pytest.fixture(scope="module")
def studio(small, tmp_path_factory):
    return Studio(Settings(small, out=tmp_path_factory.mktemp("out"), faces=60, texture=16, device="cpu"))


def test_directions_are_the_principal_components_of_styles(studio):
    generator = studio.generator
    latents = generator.sample_latents(3000, 0)
    for kind in ("geometry", "texture"):
        styles = getattr(generator.styles(latents, per_layer=False), kind).double()
        values, axes = np.linalg.eigh(np.cov(styles.detach().numpy().T))
        own = [direction for direction in find_directions(generator) if direction.kind == kind]
        assert len(own) == 4
        for direction, variance, axis in zip(own, values[::-1], axes.T[::-1], strict=False):
            vector = np.array(direction.vector)
            # Another sample of 3,000 styles has another largest component, a little.
            assert np.linalg.norm(vector) ** 2 == pytest.approx(variance, rel=0.15)
            if direction is own[0]:
                assert abs(vector @ axis) == pytest.approx(np.linalg.norm(vector), rel=0.05)


def test_styles_are_moved_in_every_layer_of_their_kind(studio):
    directions = studio.directions
    styles = studio.generator.styles(studio.generator.sample_latents(1, 0))
    steps = [0.0] * len(directions)
    steps[1], steps[4] = 2.0, -1.0
    found = moved(styles, directions, steps)
    for kind, number, step in (("geometry", 1, 2.0), ("texture", 4, -1.0)):
        difference = getattr(found, kind) - getattr(styles, kind)
        vector = torch.tensor(directions[number].vector)
        torch.testing.assert_close(difference, (step * vector).expand_as(difference))
    assert torch.equal(moved(styles, directions, [0.0] * 8).geometry, styles.geometry)
    assert isinstance(found, Styles)


def test_mixed_and_interpolated_objects_take_their_steps_along(studio):
    first = replace(studio.pick(0, 0, 0.7), steps=(1.0,) * 8)
    second = replace(studio.pick(1, 1, 0.7), steps=(3.0,) * 8)
    assert studio.mixed(first, second).steps == (1.0,) * 4 + (3.0,) * 4
    assert studio.between(first, second, 0.5).steps == (2.0,) * 8
    assert studio.between(first, studio.pick(1, 1, 0.7), 0.5).steps == (0.5,) * 8
    assert {pick.steps for pick in studio.neighbours(first, 0.3, 0).picks} == {first.steps}


def test_names_lie_beside_a_model_but_for_a_bundled_one(small, tmp_path):
    assert directions_file(small, tmp_path).parent == directions_file(small, tmp_path / "other").parent != tmp_path
    assert directions_file("chair", tmp_path) == tmp_path / "directions.json"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda values: values | {"format": 9}, "directions.json.*format"),
        (lambda values: values | {"directions": values["directions"][:3]}, "must list 8 directions"),
        (lambda values: _with(values, vector=[1.0]), "has 1 numbers, but this model's styles have 16"),
        (lambda values: _with(values, vector=["x"] * 16), "is not a Direction"),
        (lambda values: _with(values, kind="colour"), "is not a Direction"),
        (lambda values: _with(values, name="geometry 2"), "another direction is called 'geometry 2'"),
        (lambda values: _with(values, name="a\nb"), "cannot be called"),
        (lambda values: _with(values, name=""), "cannot be called"),
    ],
)
def test_a_damaged_list_of_directions_is_refused(studio, tmp_path, change, message):
    path = tmp_path / "directions.json"
    entries = [{"name": one.name, "kind": one.kind, "vector": one.vector} for one in studio.directions]
    path.write_text(json.dumps(change({"format": 1, "directions": entries})))
    with pytest.raises(InputError, match=message):
        read_directions(path, studio.generator)


def _with(values, **changes):
    return values | {"directions": [values["directions"][0] | changes, *values["directions"][1:]]}


def _tone_curve(light: torch.Tensor) -> torch.Tensor:
    """The page's: three.js' ACESFilmicToneMapping, with its exposure of 1."""
    to_aces = [[0.59719, 0.35458, 0.04823], [0.07600, 0.90834, 0.01566], [0.02840, 0.13383, 0.83777]]
    from_aces = [[1.60475, -0.53108, -0.07367], [-0.10208, 1.10813, -0.00605], [-0.00327, -0.07276, 1.07602]]
    v = light / 0.6 @ light.new_tensor(to_aces).T
    v = (v * (v + 0.0245786) - 0.000090537) / (v * (0.983729 * v + 0.4329510) + 0.238081)
    return (v @ light.new_tensor(from_aces).T).clamp(0, 1)


def _through_page(color: torch.Tensor) -> torch.Tensor:
    """What a page displays for a colour that is sent without light."""
    sent = bytes_to_unit(unit_to_bytes(look.untoned(color))).double()
    return linear_to_srgb(_tone_curve(look._GAIN * srgb_to_linear(sent)))


def test_colours_come_through_the_tone_curve_as_they_are():
    level = torch.linspace(0, 0.97, 50)[:, None]
    # Greys, and colours that are not both bright and saturated, which the curve cannot give.
    for tint in ([1.0, 1.0, 1.0], [1.0, 0.8, 0.6], [0.5, 0.7, 0.8]):
        color = level * torch.tensor(tint)
        assert (_through_page(color) - color).abs().max() < 0.02


def test_colours_that_the_tone_curve_cannot_give_keep_their_hue():
    """Those of normals, of all directions: up is a bright green."""
    directions = torch.randn(4000, 3, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    color = (torch.nn.functional.normalize(directions, dim=1) + 1) / 2
    displayed = _through_page(color)
    wanted = srgb_to_linear(color)
    share = (srgb_to_linear(displayed) * wanted).sum(1, keepdim=True) / wanted.square().sum(1, keepdim=True)
    assert (linear_to_srgb(share * wanted) - displayed).abs().max() < 0.04
    assert share.min() > 0.5 and share.max() < 1.05
    assert (share > 0.95).double().mean() > 0.7


def test_every_map_can_be_shown_also_one_without_a_texture(studio):
    textured = studio.textured(studio.pick(0, 0, 0.7))
    assert textured is not None
    textured = replace(textured, constants={"roughness": (0.25,)})
    views = views_of(("base_color", "roughness"))
    assert views == {"lit": "Lit", "base_color": "Base color", "roughness": "Roughness", "normals": "Normals"}
    for name in views:
        sent = shown(textured, Look(8, 60, name))
        scene = trimesh.load_scene(io.BytesIO(sent.glb), file_type="glb")
        (mesh,) = scene.geometry.values()
        np.testing.assert_allclose(mesh.bounds, trimesh.Trimesh(textured.vertices, textured.faces).bounds, atol=1e-6)
        assert sent.edges is None
        head = json.loads(sent.glb[20 : 20 + int.from_bytes(sent.glb[12:16], "little")])
        assert ("KHR_materials_unlit" in head.get("extensionsUsed", [])) == (name != "lit")
    preview = studio.preview(studio.pick(0, 0, 0.7), Look(8, 60, "normals", wireframe=True))
    assert preview is not None
    # A closed surface has three edges for two faces.
    (mesh,) = trimesh.load_scene(io.BytesIO(preview.glb), file_type="glb").geometry.values()
    assert 2 * len(preview.edges) == 3 * len(mesh.faces)


def test_a_folder_keeps_to_one_number_of_triangles(small, tmp_path):
    studio = Studio(Settings(small, out=tmp_path, faces=60, texture=16, device="cpu"))
    pick = studio.pick(0, 0, 0.7)
    studio.save(pick, "first")
    for other, message in ((Look(8, 40), "have faces 60, and the page's 40"), (Look(12, 60), "on a grid of 8")):
        with pytest.raises(InputError, match=message):
            studio.save(pick, "second", other)
        assert studio.textured(pick, other) is not None
    studio.save(pick, "second")
    assert (tmp_path / "first.glb").read_bytes() == (tmp_path / "second.glb").read_bytes()
    with pytest.raises(InputError, match="have texture 16, and the page's 32"):
        Studio(Settings(small, out=tmp_path, faces=60, texture=32, device="cpu"))


def test_objects_are_told_by_what_the_check_says_of_them(tmp_path):
    data = tiny.write_dataset(tmp_path / "data")
    listing = read(data)
    assert objects_by_problem(check(data), listing) == {}
    image = Image.open(data / "images" / listing.images[2])
    pixels = np.array(image)
    pixels[0, :, 3] = 255
    Image.fromarray(pixels).save(data / "images" / listing.images[2])
    (data / "images" / listing.images[7]).write_bytes((data / "images" / listing.images[8]).read_bytes())
    found = objects_by_problem(check(data), listing)
    assert {kind: objects.tolist() for kind, objects in found.items()} == {
        "touching the border": [1],
        "with an image that is there twice": [3, 4],
    }
    (data / "images" / listing.images[4]).write_bytes(b"no image")
    assert objects_by_problem(check(data), listing)["with an error"].tolist() == [2]
