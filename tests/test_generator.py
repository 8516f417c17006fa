import math
from dataclasses import replace

import pytest
import torch
from torch.nn.functional import avg_pool2d, max_pool2d

import tiny
from get3d.cameras import Cameras
from get3d.checkpoints.model import WEIGHTS, load
from get3d.files import InputError
from get3d.generator import Generator
from get3d.meshes import MeshBatch
from get3d.networks.fields import PlaneTexture
from get3d.render import render_mask
from get3d.storage import describe, save_tensors, with_prefix
from solids import painted_ripples, torus


@pytest.fixture(scope="module", params=["tetrahedra", "flexicubes"])
def generator(request):
    torch.manual_seed(0)
    generator = Generator(replace(tiny.GENERATOR, isosurface=request.param)).eval().requires_grad_(False)
    generator.estimate_mean_styles(samples=1000)
    return generator


def _cameras(n):
    return Cameras.sample(tiny.GENERATOR.cameras, n, tiny.seeded())


def _rays(cameras, number, side):
    """Origins and directions of the rays through the pixel centres of a camera's image, row by row."""
    steps, extent = (torch.arange(side) + 0.5) / side * 2 - 1, math.tan(cameras.fov[number].item() / 2)
    y, x = torch.meshgrid(-steps * extent, steps * extent, indexing="ij")
    directions = torch.stack([x, y, -torch.ones_like(x)], dim=-1).view(-1, 3) @ cameras.rotations[number]
    return cameras.positions[number].expand_as(directions).numpy(), directions.numpy()


def test_a_seed_is_one_shape_however_many_are_asked_for(generator):
    four, later = generator.sample_latents(4, 10), generator.sample_latents(2, 12)
    assert torch.equal(four.geometry[2:], later.geometry)
    assert torch.equal(four.texture[2:], later.texture)
    assert not torch.equal(four.geometry, four.texture)
    whole = generator.meshes(four).split()
    for number in range(4):
        alone = generator.meshes(generator.sample_latents(1, 10 + number))
        assert torch.equal(alone.faces, whole[number].faces)
        torch.testing.assert_close(alone.vertices, whole[number].vertices, rtol=0, atol=1e-5)


def test_images_do_not_depend_on_the_batch(generator):
    latents, cameras = generator.sample_latents(3, 0), _cameras(3)
    together = generator.render(latents, cameras, 32)
    alone = generator.render(latents[1:2], cameras[1:2], 32)
    torch.testing.assert_close(alone.rgb, together.rgb[1:2], rtol=0, atol=1e-4)
    torch.testing.assert_close(alone.mask, together.mask[1:2], rtol=0, atol=1e-4)


def test_images_show_the_meshes_in_the_fields_colours(generator):
    """Colours of pixels against rays cast at the meshes by another library."""
    import trimesh

    latents, cameras, side = generator.sample_latents(2, 3), _cameras(2), 32
    images = generator.render(latents, cameras, side, psi=1.0)
    meshes = generator.meshes(latents, psi=1.0)
    torch.testing.assert_close(images.mask, render_mask(meshes, cameras, side))
    field = generator.field(latents, psi=1.0)
    for number, mesh in enumerate(meshes.split()):
        body = trimesh.Trimesh(mesh.vertices.numpy(), mesh.faces.numpy(), process=False)
        points, rays, _ = body.ray.intersects_location(*_rays(cameras, number, side), multiple_hits=False)
        color = field.color(torch.from_numpy(points).float().expand(2, -1, -1))[number]
        drawn = images.rgb[number].flatten(1).t()[torch.from_numpy(rays)]
        close = (drawn - color).abs().amax(1) < 2e-2
        assert close.float().mean() > 0.97
        hit = torch.zeros(side * side)
        hit[torch.from_numpy(rays)] = 1.0
        # What rays just miss may be partly covered.
        beyond = max_pool2d(hit.view(1, side, side), 3, stride=1, padding=1).flatten() == 0
        for missed, least in ((beyond, 0.97), (images.mask[number].flatten() == 0, 1.0)):
            assert missed.any()
            assert (images.rgb[number].flatten(1).t()[missed] == -1).all(1).float().mean() >= least


class Ripples(PlaneTexture):
    """A texture field of one smooth colour for all shapes."""

    def at_packed(self, points, shape):
        return painted_ripples(points / 3)


def test_partly_covered_pixels_have_the_colour_of_what_covers_them(generator):
    """Against the mean colour of the covered ones of 8 × 8 smaller pixels, on the edges of silhouettes."""
    cameras, side = _cameras(4), 64
    shapes = generator.shapes(generator.sample_latents(1, 0))
    surfaces = replace(shapes.surfaces, meshes=MeshBatch.from_meshes([torus()]))
    fields = replace(shapes.fields, texture=Ripples(**vars(shapes.fields.texture)))
    shapes = replace(shapes, surfaces=surfaces, fields=fields)
    images, fine = shapes.draw(cameras, side), shapes.draw(cameras, 8 * side)
    covered = (fine.mask > 0.5).float()
    share = avg_pool2d(covered, 8)
    mean = avg_pool2d(fine.rgb * covered, 8) / share.clamp(min=1e-6)
    for least, most in ((0.05, 0.45), (0.55, 0.95)):
        edge = ((images.mask > least) & (images.mask < most) & (share > 0)).expand_as(mean)
        assert edge.sum() > 500
        difference = (images.rgb - mean)[edge].abs()
        # Near a silhouette the surface turns away, so neighbours may see places far apart.
        assert difference.median() < 0.05
        assert difference.mean() < 0.1


def test_edges_teach_the_texture(generator):
    """An image of partly covered pixels alone has gradients of colours."""
    latents, cameras, side = generator.sample_latents(1, 3), _cameras(1), 32
    shapes = generator.shapes(latents)
    planes = shapes.fields.texture.planes
    features = planes.features.clone().requires_grad_()
    texture = replace(shapes.fields.texture, planes=replace(planes, features=features))
    images = replace(shapes, fields=replace(shapes.fields, texture=texture)).draw(cameras, side)
    edge = (images.mask > 0) & (images.mask < 0.3)
    (images.rgb * edge).sum().backward()
    assert features.grad.abs().sum() > 0


def test_deflation_pushes_what_is_seen_inward(generator):
    """The gradient against rays that another library casts: the mean normal over all pixels, none on hidden faces."""
    import trimesh

    latents, cameras, side = generator.sample_latents(2, 3), _cameras(4), 48
    shapes = generator.shapes(latents, psi=1.0)
    vertices = shapes.meshes.vertices.clone().requires_grad_()
    meshes = replace(shapes.meshes, vertices=vertices)
    shapes = replace(shapes, surfaces=replace(shapes.surfaces, meshes=meshes))
    shapes.seen_by(cameras, side).deflation().backward()

    for number, (mesh, gradient) in enumerate(
        zip(shapes.meshes.split(), vertices.grad.split(meshes.vertex_offsets.diff().tolist()), strict=True)
    ):
        body = trimesh.Trimesh(mesh.vertices.detach().numpy(), mesh.faces.numpy(), process=False)
        total, seen = torch.zeros(3), torch.zeros(len(mesh.vertices), dtype=torch.bool)
        for camera in (2 * number, 2 * number + 1):
            _, _, hit = body.ray.intersects_location(*_rays(cameras, camera, side), multiple_hits=False)
            total += torch.from_numpy(body.face_normals[hit]).float().sum(0)
            seen[mesh.faces[torch.from_numpy(hit)].flatten()] = True
        torch.testing.assert_close(gradient.sum(0), total / (4 * side**2), rtol=0.02, atol=2e-3)
        # Rays and pixels may disagree where a face is seen from its edge.
        assert (gradient[~seen].abs().sum(1) > 0).float().mean() < 0.02
        assert (gradient[seen].abs().sum(1) > 0).float().mean() > 0.98


def test_surfaces_are_where_the_field_changes_sign(generator):
    """With no deformation of the grid, the SDF at a mesh's vertices is small against the SDF of the grid."""
    still = Generator(generator.config).eval().requires_grad_(False)
    still.load_state_dict(generator.state_dict())
    last = still.synthesis.deformation_head.layers[-1]
    last.weight.zero_()
    last.bias.zero_()
    still.use_grid(48)
    latents = still.sample_latents(1, 1)
    sdf = still.field(latents, psi=0.7).sdf(still.meshes(latents, psi=0.7).vertices[None])
    grid = still.field(latents, psi=0.7).sdf(still.isosurface.grid.vertices[None])
    assert sdf.abs().median() < 0.05 * grid.abs().median()


def test_truncation_goes_from_the_mean_to_all_variety(generator):
    latents = generator.sample_latents(3, 0)
    mean = generator.styles(latents, psi=0.0)
    torch.testing.assert_close(mean.geometry[0], mean.geometry[2])
    half, full = generator.styles(latents, psi=0.5), generator.styles(latents, psi=1.0)
    torch.testing.assert_close(half.geometry, (mean.geometry + full.geometry) / 2)
    torch.testing.assert_close(half.texture, (mean.texture + full.texture) / 2)


def test_a_shape_without_surface_does_not_stop_the_others():
    torch.manual_seed(0)
    generator = Generator(tiny.GENERATOR)
    with torch.no_grad():
        generator.synthesis.sdf_head.layers[-1].weight.zero_()
        generator.synthesis.sdf_head.layers[-1].bias.fill_(-3.0)
    shapes = generator.shapes(generator.styles(generator.sample_latents(2, 0)))
    assert shapes.surfaces.empty.all()
    images = shapes.draw(_cameras(2), 16)
    assert images.mask.amax((1, 2, 3)).gt(0).all()
    assert shapes.surfaces.regularizers["sdf"].item() == pytest.approx(3)
    (images.mask.sum() + shapes.surfaces.regularizers["sdf"]).backward()
    gradient = generator.synthesis.sdf_head.layers[-1].bias.grad
    assert gradient.item() == pytest.approx(-1.0)


def test_a_cameras_azimuth_turns_the_object_in_the_image(generator):
    latents = generator.sample_latents(1, 5)
    front, back = (
        generator.render(latents, Cameras.orbit(torch.tensor([a]), torch.tensor([math.pi / 2]), 50.0, 0.025), 64)
        for a in (0.3, 0.3 + math.pi)
    )
    assert 0.05 < front.mask.mean() < 0.95
    assert (front.mask - back.mask.flip(3)).abs().mean() < 0.01


def test_textured_objects_have_the_fields_colours(generator):
    (textured,) = generator.textured(generator.sample_latents(1, 2), psi=0.7, texture_resolution=128, faces=300)
    assert len(textured.faces) <= 300
    assert textured.texture.shape == (128, 128, 3)
    assert textured.uv.amin() >= 0 and textured.uv.amax() <= 1


def _saved(path, generator):
    save_tensors(path, with_prefix(WEIGHTS, generator.state_dict()), {"generator": describe(generator.config)})


def test_a_model_comes_back_from_its_file(generator, tmp_path):
    path = tmp_path / "model.safetensors"
    _saved(path, generator)
    for source in (path, str(tmp_path)):
        loaded = load(source)
        assert loaded.config == generator.config
        latents = loaded.sample_latents(1, 0)
        assert torch.equal(loaded.meshes(latents).vertices, generator.meshes(latents).vertices)
        assert not loaded.training


def test_models_that_cannot_be_read_are_named(generator, tmp_path):
    with pytest.raises(InputError, match="no such model"):
        load(tmp_path / "none")
    with pytest.raises(InputError, match="holds neither"):
        load(tmp_path)
    path = tmp_path / "model.safetensors"
    save_tensors(path, {WEIGHTS + "x": torch.zeros(1)}, {"generator": describe(generator.config)})
    with pytest.raises(InputError, match=r"model\.safetensors"):
        load(path)
    save_tensors(path, {}, {"generator": {"z_dimension": 3}})
    with pytest.raises(InputError, match="z_dimension"):
        load(path)
    _saved(path, generator)
    path.write_bytes(path.read_bytes()[:1000])
    with pytest.raises(InputError, match="truncated"):
        load(path)
