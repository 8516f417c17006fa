"""Images for the report: samples in colour, and comparisons of shapes in grey."""

from collections.abc import Sequence
from pathlib import Path

import torch
from jaxtyping import Float, UInt8
from PIL import Image
from torch import Tensor

from get3d.cameras import Cameras
from get3d.color import linear_to_srgb, unit_to_bytes
from get3d.datasets.ground_truth import read_mesh
from get3d.evaluation.drawing import Sampling, images_of
from get3d.evaluation.shape_sets import mesh_path
from get3d.export.gltf import glb_bytes
from get3d.generator import Generator
from get3d.html import PageObject, embeddable
from get3d.images import contact_sheet
from get3d.meshes import Mesh, MeshBatch
from get3d.metrics.sampling import in_unit_cube
from get3d.render import interpolate, rasterize
from get3d.render.lights import STUDIO

__all__ = ["grey", "neighbour_sheet", "objects_to_turn", "sample_sheet"]

RESOLUTION = 128
_SUPERSAMPLE = 2
_VIEW = (30.0, 70.0)
"""Azimuth and polar angle in degrees: from the front, a little from the side and from above."""
_AT_ONCE = 4
_TEXTURE, _FACES = 256, 5000
"""Of objects that stand in the page itself."""
_NEAREST = 2
"""Number of training objects that are shown next to a shape."""


def _cameras(count: int, radius: float, fov: float) -> Cameras:
    azimuth, polar = (torch.full((count,), angle).deg2rad() for angle in _VIEW)
    return Cameras.orbit(azimuth, polar, radius, fov)


@torch.no_grad()
def sample_sheet(generator: Generator, sampling: Sampling, count: int) -> Image.Image:
    """The first shapes in colour, from one side; the place of an empty shape stays empty."""
    prior = generator.config.cameras
    drawn = []
    for number in range(count):
        shapes = sampling.shapes(generator, [number])
        cameras = _cameras(1, prior.radius, torch.deg2rad(torch.tensor(prior.fov)).item())
        images = images_of(generator, shapes, cameras.to(shapes.surfaces.empty.device), RESOLUTION)
        drawn.append(torch.cat([images[:, :3].clamp(-1, 1), images[:, 3:].clamp(0, 1)], dim=1).cpu())
    return contact_sheet(torch.cat(drawn), columns=8)


def neighbour_sheet(
    generator: Generator,
    sampling: Sampling,
    numbers: Sequence[int],
    folder: Path,
    neighbours: Sequence[Sequence[str]],
) -> Image.Image:
    """Rows of a shape in grey, followed by its nearest objects in the dataset."""
    rows = []
    for number, names in zip(numbers, neighbours, strict=True):
        (own,) = sampling.shapes(generator, [number]).surfaces.meshes.to("cpu").split()
        rows += [own, *(read_mesh(mesh_path(folder, name)) for name in names)]
    return contact_sheet(grey(rows), columns=1 + len(neighbours[0]))


@torch.no_grad()
def objects_to_turn(
    generator: Generator,
    sampling: Sampling,
    numbers: Sequence[int],
    folder: Path | None = None,
    neighbours: Sequence[Sequence[str]] = (),
) -> list[PageObject]:
    """Some shapes with their textures, each followed by the dataset's objects that are its neighbours.

    Shapes without a surface are left out, and objects whose mesh is no .glb or too large for a page.

    Args:
        generator: the model.
        sampling: how its shapes are drawn.
        numbers: of the shapes.
        folder: of the dataset's meshes.
        neighbours: names of objects for each shape, nearest first; none where they are not to be shown.
    """
    found = []
    for place, number in enumerate(numbers):
        (textured,) = generator.textured(sampling.styles(generator, [number]), None, _TEXTURE, _FACES)
        if not textured.empty:
            name = f"seed {sampling.seed + number}"
            found.append(PageObject(name, [f"ψ {sampling.psi:g}"], glb=glb_bytes(textured)))
        for near in neighbours[place][:_NEAREST] if neighbours else ():
            content = None if folder is None else embeddable(mesh_path(folder, near))
            if content is not None:
                found.append(PageObject(near, [f"training object, near seed {sampling.seed + number}"], glb=content))
    return found


def grey(meshes: Sequence[Mesh]) -> UInt8[Tensor, "n 4 r r"]:
    """Shapes in grey, at the same scale, from one side."""
    parts = [meshes[start : start + _AT_ONCE] for start in range(0, len(meshes), _AT_ONCE)]
    return torch.cat([_grey(MeshBatch.from_meshes(part)) for part in parts])


def _grey(meshes: MeshBatch) -> UInt8[Tensor, "n 4 r r"]:
    unit = in_unit_cube(meshes)
    # Far away with a narrow lens, so that the whole cube is seen.
    fragments = rasterize(unit, _cameras(len(unit), 4.0, 0.34), RESOLUTION * _SUPERSAMPLE)
    normals = torch.nn.functional.normalize(interpolate(unit.vertex_normals(), unit.faces, fragments), dim=1)
    light = 0.5 * STUDIO.diffuse(normals).expand(-1, 3)
    color = torch.nn.functional.avg_pool2d(fragments.scatter(light.contiguous(), 0.0), _SUPERSAMPLE)
    alpha = torch.nn.functional.avg_pool2d(fragments.covered.float(), _SUPERSAMPLE)
    straight: Float[Tensor, "n 3 r r"] = linear_to_srgb(color / alpha.clamp_min(1e-6))
    return unit_to_bytes(torch.cat([straight, alpha], dim=1))
