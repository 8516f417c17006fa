"""Shading against closed forms, integrals taken the slow way, finite differences and Cycles."""

import json
import math
import subprocess
from pathlib import Path

import pytest
import torch
import trimesh
from torch.nn.functional import normalize

from get3d.cameras import Cameras
from get3d.files import InputError
from get3d.meshes import Mesh, MeshBatch
from get3d.render import interpolate, rasterize
from get3d.render.environment import EnvironmentMap, directions_of, read_environment
from get3d.render.lights import EVEN, STUDIO, SphericalGaussians, even_directions, turned
from get3d.render.shade import Surface, seen_normals, shade, views_of

HERE = Path(__file__).parent
PYTHON = HERE.parent / ".venv-blender/bin/python"
needs_blender = pytest.mark.skipif(
    not (HERE.parent / ".venv-blender/.ready").is_file(), reason="needs Blender: make .venv-blender/.ready"
)


def lobes(count: int, seed: int = 0, sharpest: float = 20.0) -> SphericalGaussians:
    generator = torch.Generator().manual_seed(seed)
    draw = torch.rand(count, 4, generator=generator, dtype=torch.float64)
    axes = normalize(torch.randn(count, 3, generator=generator, dtype=torch.float64), dim=1)
    return SphericalGaussians(axes, 3 + sharpest * draw[:, 0], draw[:, 1:])


def map_of(light: SphericalGaussians, rows: int = 64) -> EnvironmentMap:
    return EnvironmentMap.of(light.radiance(directions_of(rows, light.axes).flatten(0, 1)).view(rows, 2 * rows, 3))


def ball(radius: float = 0.4, subdivisions: int = 4) -> MeshBatch:
    mesh = trimesh.creation.icosphere(subdivisions=subdivisions, radius=radius)
    return MeshBatch.from_meshes([Mesh(torch.tensor(mesh.vertices), torch.tensor(mesh.faces))])


def front(dtype: torch.dtype = torch.float64) -> Cameras:
    return Cameras.orbit(torch.zeros(1, dtype=dtype), torch.full((1,), math.pi / 2, dtype=dtype))


def frames(facing: list[float]) -> tuple[torch.Tensor, torch.Tensor]:
    """Normals, and views at angles of given cosines to them."""
    generator = torch.Generator().manual_seed(1)
    normals, other = normalize(torch.randn(2, len(facing), 3, generator=generator, dtype=torch.float64), dim=2)
    side = normalize(torch.linalg.cross(normals, other), dim=1)
    cosine = torch.tensor(facing, dtype=torch.float64)[:, None]
    return normals, cosine * normals + (1 - cosine.square()).sqrt() * side


@pytest.mark.parametrize("sharpness", [1e-3, 0.3, 4.0, 60.0, 400.0])
def test_diffuse_light_of_a_lobe_is_its_integral(sharpness):
    light = SphericalGaussians(
        even_directions(7)[2:3], torch.tensor([sharpness], dtype=torch.float64), torch.ones(1, 3, dtype=torch.float64)
    )
    normals, sphere = even_directions(40), even_directions(100_000)
    cosine = (sphere @ normals.T).clamp(min=0)
    exact = 4 / len(sphere) * cosine.T @ light.radiance(sphere)
    assert (light.diffuse(normals) - exact).abs().max() < 0.006 * exact.max()


@pytest.mark.parametrize("lobe", [5000.0, 40.0, 5.0])
def test_specular_light_is_the_mean_over_the_lobe(lobe):
    light, directions, sphere = lobes(5), even_directions(20), even_directions(200_000)
    weight = torch.exp(lobe * (sphere @ directions.T - 1))
    exact = (weight / weight.sum(0)).T @ light.radiance(sphere)
    found = light.specular(directions, torch.full((20, 1), lobe, dtype=torch.float64))
    torch.testing.assert_close(found, exact, rtol=0.01, atol=1e-4)


@pytest.mark.slow
def test_a_map_says_the_same_as_the_lobes_that_it_shows():
    light, directions = lobes(6), even_directions(300)
    shown = map_of(light, 128)
    torch.testing.assert_close(shown.diffuse(directions), light.diffuse(directions), rtol=0, atol=0.01)
    for sharpness in (2.3, 8.0, 40.0, 1000.0, 20_000.0):
        wanted = torch.full((300, 1), sharpness, dtype=torch.float64)
        difference = shown.specular(directions, wanted) - light.specular(directions, wanted)
        assert difference.abs().mean() < 0.006
        assert difference.abs().max() < 0.05


def test_maps_are_oriented_as_blender_and_model_viewer_have_them():
    directions = directions_of(2, torch.zeros(()))
    assert directions.shape == (2, 4, 3)
    x, y, z = directions[0].unbind(1)
    assert (y > 0).all()
    # Columns from −X over −Z to +X in the middle, then +Z.
    assert x.sign().tolist() == [-1, 1, 1, -1]
    assert z.sign().tolist() == [-1, -1, 1, 1]
    torch.testing.assert_close(directions.norm(dim=2), torch.ones(2, 4))


@pytest.mark.parametrize("white", ["matte", "smooth", "rough", "metal", "rough metal"])
def test_a_white_furnace_stays_white(white):
    normals, views = frames([1.0, 0.9, 0.6, 0.3, 0.1, 0.02])
    roughness = {"matte": None, "smooth": 0.1, "rough": 0.9, "metal": 0.3, "rough metal": 1.0}[white]
    one = torch.ones(len(normals), 1, dtype=torch.float64)
    surface = Surface(
        one.expand(-1, 3),
        None if roughness is None else roughness * one,
        None if roughness is None else one * ("metal" in white),
    )
    wide = SphericalGaussians(
        even_directions(32),
        torch.full((32,), 1e-4, dtype=torch.float64),
        torch.full((32, 3), 1 / 32, dtype=torch.float64),
    )
    for light in (EVEN, wide, EnvironmentMap.of(torch.ones(16, 32, 3))):
        seen = shade(surface, normals, views, light)
        assert (seen - 1).abs().max() < 0.01


def slow_cook_torrance(
    normals: torch.Tensor, views: torch.Tensor, roughness: float, light: SphericalGaussians
) -> torch.Tensor:
    """What a metal that mirrors all colours mirrors once: the integral over the sphere, as the papers have it."""
    sphere = even_directions(150_000)
    radiance, alpha = light.radiance(sphere), roughness**2
    seen = []
    for normal, view in zip(normals, views, strict=True):
        half = normalize(sphere + view, dim=1)
        lit, met = (sphere @ normal).clamp(min=0), (half @ normal).clamp(min=0)
        facing = normal @ view
        distribution = alpha**2 / (math.pi * (met**2 * (alpha**2 - 1) + 1) ** 2)
        masked = [(-1 + torch.sqrt(1 + alpha**2 * (1 / c**2 - 1))) / 2 for c in (lit.clamp(min=1e-9), facing)]
        reflected = distribution / (1 + masked[0] + masked[1]) / (4 * facing)
        seen.append(4 * math.pi / len(sphere) * reflected * (lit > 0) @ radiance)
    return torch.stack(seen)


@pytest.mark.parametrize("roughness", [0.25, 0.5, 0.8])
def test_a_metal_mirrors_what_the_integral_of_cook_and_torrance_says(roughness):
    light = lobes(8)
    normals, views = frames([1.0, 0.95, 0.8, 0.6, 0.4, 0.2] * 8)
    exact = slow_cook_torrance(normals, views, roughness, light)
    one = torch.ones(len(normals), 1, dtype=torch.float64)
    found = shade(Surface(one.expand(-1, 3), roughness * one, one), normals, views, light)
    # What is reflected several times is not in the integral.
    found = found - shade_again(roughness, normals, views) * light.diffuse(normals)
    assert (found - exact).abs().mean() < 0.02


def shade_again(roughness: float, normals: torch.Tensor, views: torch.Tensor) -> torch.Tensor:
    """The share that a white metal does not mirror at once, by the slow integral."""
    white = SphericalGaussians(
        even_directions(1), torch.full((1,), 1e-4, dtype=torch.float64), torch.ones(1, 3, dtype=torch.float64)
    )
    return 1 - slow_cook_torrance(normals, views, roughness, white)


def sphere_under(light, resolution: int = 96) -> tuple[torch.Tensor, torch.Tensor]:
    """The radiance of a white matte sphere at its pixels, and the exact normals there."""
    meshes, cameras, radius = ball(subdivisions=5), front(), 0.4
    fragments = rasterize(meshes, cameras, resolution)
    points = interpolate(meshes.vertices, meshes.faces, fragments)
    views = views_of(points, cameras, fragments)
    seen = shade(Surface(torch.ones_like(points)), seen_normals(meshes, fragments, views), views, light)
    # The ray through a pixel's centre meets the sphere.
    row, column = fragments.pixel // resolution, fragments.pixel % resolution
    focal = float(cameras.focal_lengths[0, 0])
    local = torch.stack(
        [((column + 0.5) / resolution - 0.5) / focal, (0.5 - (row + 0.5) / resolution) / focal, -torch.ones(len(row))],
        dim=1,
    ).double()
    rays, start = normalize(local @ cameras.rotations[0], dim=1), cameras.positions[0]
    ahead = -(rays @ start)
    inside = ahead.square() - start.square().sum() + radius**2
    hit = inside > 1e-3
    normals = (start + (ahead - inside.clamp(min=0).sqrt())[:, None] * rays) / radius
    return seen[hit], normals[hit]


def test_a_matte_sphere_under_a_lamp_and_under_half_a_sky_is_the_closed_form():
    direction = normalize(torch.tensor([[0.4, 0.6, -0.7]], dtype=torch.float64), dim=1)
    sharpness = 2000.0
    lamp = SphericalGaussians(
        direction, torch.tensor([sharpness], dtype=torch.float64), torch.full((1, 3), sharpness / 2).double()
    )
    seen, normals = sphere_under(lamp)
    difference = (seen - (normals @ direction.T).clamp(min=0)).abs()
    assert difference.max() < 0.025  # At the rim of a polyhedron.
    assert difference.mean() < 0.003
    sky = torch.zeros(64, 128, 3, dtype=torch.float64)
    sky[:32] = 1
    seen, normals = sphere_under(EnvironmentMap.of(sky))
    assert (seen - (0.5 + 0.5 * normals[:, 1:2])).abs().max() < 0.012


def test_the_gradient_of_shaded_images_is_that_of_finite_differences():
    cameras, generator = front(), torch.Generator().manual_seed(0)
    start = ball(subdivisions=2)
    noise = torch.randn(start.vertices.shape, generator=generator, dtype=torch.float64)
    light = lobes(4)
    values = {
        "vertices": start.vertices + 0.004 * noise,
        "albedo": torch.rand(len(start.vertices), 3, generator=generator, dtype=torch.float64),
        "roughness": 0.3 + 0.5 * torch.rand(len(start.vertices), 1, generator=generator, dtype=torch.float64),
        "metallic": torch.rand(len(start.vertices), 1, generator=generator, dtype=torch.float64),
        "axes": light.axes,
        "sharpness": light.sharpness,
        "amplitude": light.amplitude,
        "turn": torch.tensor(0.3, dtype=torch.float64),
    }
    weights: list[torch.Tensor] = []

    def loss(**changed: torch.Tensor) -> torch.Tensor:
        now = values | changed
        meshes = MeshBatch(now["vertices"], start.faces, start.vertex_offsets, start.face_offsets)
        fragments = rasterize(meshes, cameras, 24)
        read = [
            interpolate(now[name], meshes.faces, fragments) for name in ("vertices", "albedo", "roughness", "metallic")
        ]
        views = views_of(read[0], cameras, fragments)
        normals = seen_normals(meshes, fragments, views)
        gaussians = SphericalGaussians(normalize(now["axes"], dim=1), now["sharpness"], now["amplitude"])
        seen = shade(Surface(*read[1:]), normals, views, gaussians, now["turn"].expand(len(normals)))
        if not weights:
            weights.append(torch.randn(seen.shape, generator=generator, dtype=torch.float64))
        return (seen * weights[0]).mean()

    loss()
    for name, value in values.items():
        wanted = value.clone().requires_grad_(True)
        (gradient,) = torch.autograd.grad(loss(**{name: wanted}), wanted)
        direction = torch.randn(value.shape, generator=generator, dtype=torch.float64)
        step = 1e-6 * direction
        exact = (loss(**{name: value + step}) - loss(**{name: value - step})) / 2e-6
        assert abs(float((gradient * direction).sum() / exact) - 1) < 1e-3, name


def test_colours_that_a_network_may_give_outside_of_0_to_1_have_no_pole():
    normals, views = frames([0.9, 0.5, 0.2])
    one = torch.ones(3, 1, dtype=torch.float64)
    for color in (-0.5, 1.5, 3.0, 10.0):
        for metallic in (0.0, 0.5, 1.0):
            base = torch.full((3, 3), color, dtype=torch.float64, requires_grad=True)
            seen = shade(Surface(base, 0.8 * one, metallic * one), normals, views, STUDIO)
            (gradient,) = torch.autograd.grad(seen.sum(), base)
            assert seen.abs().max() <= max(abs(color), 1)
            assert gradient.abs().max() <= 1


def test_studio_is_mirrored_as_bright_as_it_lights():
    normals = even_directions(2000)
    wide = STUDIO.specular(normals, torch.full((2000, 1), 1.0, dtype=torch.float64)).mean()
    assert abs(wide / STUDIO.diffuse(normals).mean() - 1) < 0.15
    up, down = STUDIO.specular(
        torch.tensor([[0.5, 0.8, 0.33], [0.0, -1.0, 0.0]]).double(), torch.full((2, 1), 1e4, dtype=torch.float64)
    )
    torch.testing.assert_close(up, torch.tensor([0.5]).double(), atol=0.02, rtol=0)
    torch.testing.assert_close(down, torch.tensor([0.24]).double(), atol=0.01, rtol=0)


def test_a_turned_light_lights_as_the_surface_turned_back_sees_it():
    normals, views = frames([0.9, 0.5, 0.2])
    one = torch.ones(3, 1, dtype=torch.float64)
    surface, angle = Surface(0.5 * one.expand(-1, 3), 0.4 * one, one), torch.tensor([0.5, 1.0, -2.0]).double()
    light = lobes(3)
    for number in range(3):
        turned_light = SphericalGaussians(turned(light.axes, angle[number].expand(3)), light.sharpness, light.amplitude)
        fixed = shade(surface, normals, views, turned_light)
        torch.testing.assert_close(shade(surface, normals, views, light, angle)[number], fixed[number])
    # Counter-clockwise seen from above: from +Z to +X.
    torch.testing.assert_close(
        turned(torch.tensor([[0.0, 0.0, 1.0]]), torch.tensor(math.pi / 2)), torch.tensor([[1.0, 0.0, 0.0]])
    )


@pytest.mark.slow
@needs_blender
def test_spheres_look_as_cycles_draws_them(tmp_path):
    """Three roughnesses of metal, and a glossy paint: the mean difference in linear light is at most 0.02."""
    exr = pytest.importorskip("OpenEXR")
    light = lobes(10, seed=3, sharpest=40.0)
    radiance = light.radiance(directions_of(128, light.axes).flatten(0, 1)).view(128, 256, 3).float()
    exr.File({"type": exr.scanlineimage}, {"RGB": radiance.numpy()}).write(str(tmp_path / "light.exr"))
    looks = [
        {"base_color": (0.9, 0.6, 0.3), "roughness": 0.2, "metallic": 1.0},
        {"base_color": (0.9, 0.9, 0.9), "roughness": 0.5, "metallic": 1.0},
        {"base_color": (0.3, 0.6, 0.9), "roughness": 0.8, "metallic": 1.0},
        {"base_color": (0.7, 0.2, 0.1), "roughness": 0.3, "metallic": 0.0},
    ]
    resolution = 48
    job = {"light": str(tmp_path / "light.exr"), "out": str(tmp_path), "resolution": resolution, "samples": 96}
    job |= {"radius": 0.4, "distance": 1.2, "materials": looks}
    (tmp_path / "job.json").write_text(json.dumps(job))
    done = subprocess.run(
        [PYTHON, HERE / "lit_in_blender.py", tmp_path / "job.json"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    meshes, cameras = ball(subdivisions=5), front()
    fragments = rasterize(meshes, cameras, resolution)
    points = interpolate(meshes.vertices, meshes.faces, fragments)
    views = views_of(points, cameras, fragments)
    normals = seen_normals(meshes, fragments, views)
    for shown in (light, EnvironmentMap.of(radiance)):
        for number, look in enumerate(looks):
            with exr.File(str(tmp_path / f"{number}.exr")) as file:
                pixels = torch.tensor(file.channels()["RGBA"].pixels).view(-1, 4)
            surface = Surface(
                points.new_tensor(look["base_color"]).expand_as(points),
                torch.full_like(points[:, :1], look["roughness"]),
                torch.full_like(points[:, :1], look["metallic"]),
            )
            ours = shade(surface, normals, views, shown)
            theirs = pixels[fragments.pixel]
            whole = theirs[:, 3] > 0.999
            difference = (ours - theirs[:, :3])[whole].abs().mean()
            assert difference <= 0.02


def test_maps_of_light_are_read_from_files_and_bad_ones_refused(tmp_path):
    exr, codecs = pytest.importorskip("OpenEXR"), pytest.importorskip("imagecodecs")
    light = lobes(4)
    radiance = light.radiance(directions_of(16, light.axes).flatten(0, 1)).view(16, 32, 3).float()
    exr.File({"type": exr.scanlineimage}, {"RGB": radiance.numpy()}).write(str(tmp_path / "a.exr"))
    (tmp_path / "a.hdr").write_bytes(codecs.rgbe_encode(radiance.numpy()))
    exact = EnvironmentMap.of(radiance)
    for name, most in (("a.exr", 1e-6), ("a.hdr", 0.01)):
        found = read_environment(tmp_path / name)
        assert (found.levels - exact.levels).abs().max() < most
        assert (found.matte - exact.matte).abs().max() < most
    cut = (tmp_path / "a.hdr").read_bytes()
    wide = cut.replace(b"-Y 16 +X 32", b"-Y 16 +X 33", 1)
    huge = cut.replace(b"-Y 16 +X 32", b"-Y 50000 +X 100000", 1)
    bad = {"cut.hdr": cut[:200], "none.hdr": b"P6 2 2 255 ....", "wide.hdr": wide, "huge.hdr": huge}
    bad |= {"cut.exr": (tmp_path / "a.exr").read_bytes()[:400], "none.exr": b"", "picture.png": b""}
    for name, content in bad.items():
        (tmp_path / name).write_bytes(content)
        with pytest.raises(InputError, match=name):
            read_environment(tmp_path / name)
    with pytest.raises(InputError, match=r"nowhere\.hdr"):
        read_environment(tmp_path / "nowhere.hdr")
    radiance[3, 4] = float("nan")
    exr.File({"type": exr.scanlineimage}, {"RGB": radiance.numpy()}).write(str(tmp_path / "nan.exr"))
    with pytest.raises(InputError, match=r"nan\.exr.*not finite"):
        read_environment(tmp_path / "nan.exr")
