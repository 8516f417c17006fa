"""Objects of a page, lit: <model-viewer> in a real browser beside our own renderer, in the same map of light."""

import base64
import math
from dataclasses import replace

import pytest
import torch
import trimesh

from browser import chromium, drawn, needs_chromium, wait_for_objects, watched
from get3d.assets.shading import shade
from get3d.cameras import Cameras
from get3d.export import TexturedMesh
from get3d.export.gltf import glb_bytes
from get3d.html import Orbit, PageObject, data_file, document, linked_objects, viewer_script
from get3d.render.environment import directions_of, read_environment
from get3d.render.lights import SphericalGaussians

pytestmark = [needs_chromium, pytest.mark.slow]

SIDE = 192


def _balls(camera, roughness, metallic):
    """Three balls side by side before a camera, each of its own roughness and metallic, in bands of two colours."""
    sphere = trimesh.creation.icosphere(subdivisions=4)
    normals, faces = torch.tensor(sphere.vertices, dtype=torch.float32), torch.tensor(sphere.faces)
    up = (normals[:, 1] + 1) / 2
    upper, lower = [[200, 60, 40], [40, 90, 200], [235, 235, 230]], [[230, 200, 60], [60, 170, 80], [240, 190, 110]]
    # One texel for each band of each ball.
    texels = {
        "base_color": torch.tensor([upper, lower, upper, lower]),
        "roughness": (255 * torch.tensor(roughness)).expand(4, -1)[..., None],
        "metallic": (255 * torch.tensor(metallic)).expand(4, -1)[..., None],
    }
    return TexturedMesh(
        vertices=torch.cat([0.16 * normals + 0.35 * (number - 1) * camera.rotations[0, 0] for number in range(3)]),
        faces=torch.cat([faces + number * len(normals) for number in range(3)]),
        normals=normals.repeat(3, 1),
        uv=torch.cat([torch.stack([torch.full_like(up, (2 * number + 1) / 6), up], dim=1) for number in range(3)]),
        textures={
            name: one.round().byte().repeat_interleave(16, 0).repeat_interleave(16, 1) for name, one in texels.items()
        },
    )


_LIT_BY = """(viewer, base64) => {
  const bytes = Uint8Array.from(atob(base64), (each) => each.charCodeAt(0));
  const attributes = {
    "tone-mapping": "none",  // Linear light, encoded as sRGB, without a curve.
    exposure: "1",
    "shadow-intensity": "0",
    "environment-image": URL.createObjectURL(new Blob([bytes])) + "#.hdr",  // The end of a URL says the format.
  };
  // Otherwise a slow machine draws fewer pixels.
  ModelViewerElement.ModelViewerElement.minimumRenderScale = 1;
  viewer.addEventListener("environment-change", async () => {
    // What is loaded had its first light, so this is ours. Each frame of the viewer is between two of these.
    for (let frame = 0; frame < 3; frame++) await new Promise(requestAnimationFrame);
    viewer.dataset.lit = "";
  });
  for (const [name, value] of Object.entries(attributes)) viewer.setAttribute(name, value);
}"""


def _shown(folder, orbit, light):
    """What the viewer of our page draws of an object in a map of light, over nothing: [4, h, w] in [0, 1]."""
    content = document("Balls", linked_objects([PageObject("balls")], ["balls"], "page", orbit))
    (folder / "index.html").write_text(content, encoding="utf-8")
    with chromium() as browser:
        found = watched(browser, viewport={"width": 600, "height": 600})
        found.page.goto((folder / "index.html").as_uri())
        found.page.add_style_tag(content=f".objects {{ grid-template-columns: {SIDE}px !important }}")
        wait_for_objects(found.page, 1)
        found.page.locator("model-viewer").evaluate(_LIT_BY, base64.b64encode(light).decode())
        shown = drawn(found.page.locator("model-viewer[data-lit]"))
        assert found.errors == []
    assert shown.shape == (4, SIDE, SIDE)
    return shown


def test_materials_in_a_map_of_light_look_as_in_our_own_renderer(tmp_path):
    """A matte and a glossy dielectric, and a rough metal: the mean difference, in sRGB of 0 to 1, is small.

    From the integral of Cook and Torrance, ours differs by 0.002, 0.002 and 0.011, and that of <model-viewer> by 0.006,
    0.004 and 0.019: it filters light with narrower lobes. Hence the metal's larger tolerance.
    """
    roughness, metallic, most = [0.9, 0.2, 0.7], [0.0, 0.0, 1.0], torch.tensor([0.01, 0.01, 0.025])
    codecs = pytest.importorskip("imagecodecs")
    generator = torch.Generator().manual_seed(5)
    axes = torch.nn.functional.normalize(torch.randn(8, 3, generator=generator), dim=1)
    light = SphericalGaussians(axes, 3 + 5 * torch.rand(8, generator=generator), torch.rand(8, 3, generator=generator))
    radiance = light.radiance(directions_of(64, axes).flatten(0, 1)).view(64, 128, 3)
    (tmp_path / "light.hdr").write_bytes(codecs.rgbe_encode(radiance.numpy()))
    orbit = Orbit(azimuth=35.0, polar=70.0, radius=1.2, fov=50.0)
    azimuth, polar, fov = torch.tensor([[orbit.azimuth], [orbit.polar], [orbit.fov]]).deg2rad()
    camera = Cameras.orbit(azimuth, polar, orbit.radius, fov)
    balls = _balls(camera, roughness, metallic)
    (tmp_path / "page").mkdir()
    (tmp_path / "page" / "model-viewer.js").write_text(viewer_script(), encoding="utf-8")
    (tmp_path / "page" / "balls.js").write_text(data_file("balls", glb_bytes(balls)), encoding="utf-8")
    shown = _shown(tmp_path, orbit, (tmp_path / "light.hdr").read_bytes())

    def differences(mesh, light, turn=0.0):
        """Of each ball, where both cover a pixel."""
        own = shade(mesh, camera, SIDE, light=light, shading="pbr", turns=torch.tensor([turn]))[0] / 255
        there, expected = shown[3] > 0.5, own[3] > 0.5
        assert (there & expected).sum() / (there | expected).sum() >= 0.97
        both = ((shown[3] == 1) & (own[3] == 1)).tensor_split(3, dim=1)
        difference = (shown - own)[:3].abs().mean(0).tensor_split(3, dim=1)
        return torch.stack([part[covered].mean() for part, covered in zip(difference, both, strict=True)])

    surroundings = read_environment(tmp_path / "light.hdr")
    right = differences(balls, surroundings)
    assert (right < most).all()
    # Each ball tells how the light stands, …
    levels, matte = surroundings.levels, surroundings.matte
    mirrored = replace(surroundings, levels=levels.flip(2), matte=matte.flip(2))
    upside_down = replace(surroundings, levels=levels.flip(1), matte=matte.flip(1))
    for wrong in (mirrored, upside_down):
        assert (differences(balls, wrong) > 2 * most).all()
    for turn in (math.pi / 2, math.pi, -math.pi / 2):
        assert (differences(balls, surroundings, turn) > 2 * most).all()
    # … and together they tell what they are made of: other maps, another roughness, no metal.
    squared = [each**2 for each in roughness]
    for wrong in ((metallic, roughness), (squared, metallic), (roughness, [0.0, 0.0, 0.0])):
        assert (differences(_balls(camera, *wrong), surroundings) > 1.25 * most).any()
