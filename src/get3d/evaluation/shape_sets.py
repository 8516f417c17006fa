"""Measurements of sets of shapes: points, light field descriptors, mesh quality."""

import hashlib
import zlib
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float, Float32
from torch import Tensor

from get3d.datasets.ground_truth import read_mesh
from get3d.distributed.processes import SINGLE_PROCESS, Ranks
from get3d.evaluation.drawing import Sampling
from get3d.evaluation.resumable import Arrays, digest, in_blocks, read_arrays, write_arrays
from get3d.files import InputError
from get3d.generator import Generator
from get3d.meshes import Mesh, MeshBatch
from get3d.metrics import lightfield, quality
from get3d.metrics.lightfield import LightFieldDescriptors, light_field_descriptors
from get3d.metrics.quality import mesh_quality
from get3d.metrics.sampling import in_unit_cube, sample_outer_surface, sample_surface

__all__ = ["Measures", "ShapeSet", "generated_set", "mesh_path", "mesh_set"]

ANGLE_BINS = np.arange(0, 61, 5)
ASPECT_BINS = np.array([1, 1.5, 2, 3, 5, 10, 20, 50, np.inf])
MESH_SUFFIXES = (".glb", ".obj", ".ply", ".stl", ".off")
_GENERATED_AT_ONCE = 4
_BLOCK = 8


@dataclass(frozen=True)
class Measures:
    """What to measure for each shape.

    Attributes:
        points: number of points on the surface.
        outer: draw points only where the surface is visible from outside.
        descriptors: whether to compute light field descriptors.
        seed: seed of the points.
        centred: move the middle of each shape's bounding box to the origin; False divides by the longest side only.
    """

    points: int = 2048
    outer: bool = False
    descriptors: bool = True
    seed: int = 0
    centred: bool = True


@dataclass(frozen=True)
class ShapeSet:
    """n shapes with a surface, and the names of requested shapes without one.

    Attributes:
        names: names of the shapes.
        empty: names of those without a surface: a field of one sign, no face, no area, or numbers that are not finite.
        points: [n, p, 3] on their surfaces, scaled so that the longest side is 1.
        descriptors: light field descriptors; None if not requested.
        quality: results of `mesh_quality`, by name; angles and aspects as counts of faces in bins.
    """

    names: list[str]
    empty: list[str]
    points: Float32[Tensor, "n p 3"]
    descriptors: LightFieldDescriptors | None
    quality: dict[str, np.ndarray]

    def __len__(self) -> int:
        return len(self.names)

    @property
    def asked(self) -> int:
        """Number of requested shapes, with and without a surface."""
        return len(self.names) + len(self.empty)

    def first(self, count: int) -> "ShapeSet":
        """Only the first shapes."""
        return ShapeSet(
            self.names[:count],
            self.empty,
            self.points[:count],
            None if self.descriptors is None else self.descriptors[:count],
            {name: values[:count] for name, values in self.quality.items()},
        )


def generated_set(
    generator: Generator,
    count: int,
    sampling: Sampling,
    measures: Measures,
    path: Path,
    progress: Callable[[int], None],
    ranks: Ranks = SINGLE_PROCESS,
) -> ShapeSet:
    """Measures the first shapes of a generator, resuming from stored results at `path`.

    Args:
        generator: the generator.
        count: number of shapes.
        sampling: which shapes; the name of a shape is its seed.
        measures: what to measure.
        path: .npz file for the results.
        progress: called with the number of finished shapes.
        ranks: processes that divide the shapes.

    Returns:
        The shapes with a surface (possibly none), and the names of those without.

    Raises:
        InputError: the file cannot be written.
    """

    def compute(start: int, end: int) -> Arrays:
        parts = []
        for first in range(start, end, _GENERATED_AT_ONCE):
            numbers = range(first, min(first + _GENERATED_AT_ONCE, end))
            surfaces = sampling.shapes(generator, numbers).surfaces
            parts.append(_measure(surfaces.meshes.split(), measures, first, surfaces.empty.tolist()))
            progress(numbers.stop)
        return _joined(parts)

    key = digest(sampling.key(generator), asdict(measures), lightfield.VERSION, quality.VERSION)
    arrays = in_blocks(path, key, count, _BLOCK, compute, ranks=ranks)
    return _as_set([str(sampling.seed + number) for number in range(count)], arrays, measures)


def mesh_path(folder: Path, name: str) -> Path:
    """Path of the mesh of an object.

    Raises:
        InputError: there is no such mesh.
    """
    for suffix in MESH_SUFFIXES:
        path = folder / f"{name}{suffix}"
        if path.is_file():
            return path
    raise InputError(
        f"{folder / name}.glb: no such mesh; shapes are compared with the dataset's own meshes, so give their folder "
        "with --meshes, or skip shapes with --no-shapes"
    )


def mesh_set(
    folder: Path,
    names: Sequence[str],
    measures: Measures,
    device: torch.device,
    progress: Callable[[int], None],
    ranks: Ranks = SINGLE_PROCESS,
) -> ShapeSet:
    """Measures the meshes of objects.

    Results are stored next to each mesh, and used as long as its file stays the same.

    Args:
        folder: folder of the meshes.
        names: names of the objects.
        measures: what to measure.
        device: device for the computation.
        progress: called with the number of finished objects.
        ranks: processes that divide the objects.

    Raises:
        InputError: a mesh is missing or cannot be read, or none has a surface.
    """
    paths = ranks.from_first(lambda: [mesh_path(folder, name) for name in names])

    def measure(number: int) -> Arrays:
        arrays = _stored(folder, paths[number], measures, device)
        progress(number + 1)
        return arrays

    parts = ranks.each(range(len(paths)), measure)
    return ranks.from_first(lambda: _require_some(_as_set(list(names), _joined(parts), measures)))


def _require_some(shapes: ShapeSet) -> ShapeSet:
    if not len(shapes):
        raise InputError(f"none of the {shapes.asked} meshes ({shapes.empty[0]} …) has a surface; check the files")
    return shapes


def _stored(folder: Path, path: Path, measures: Measures, device: torch.device) -> Arrays:
    key = digest(hashlib.sha256(path.read_bytes()).hexdigest(), asdict(measures), lightfield.VERSION, quality.VERSION)
    place = path.with_name(f"{path.name}.measures.npz")
    arrays = read_arrays(place, key)
    if arrays is None:
        mesh = read_mesh(path)
        # Meshes with the same structure must not get the same random points, or they would seem too near to each other.
        own = zlib.crc32(path.name.encode())
        arrays = _measure([Mesh(mesh.vertices.to(device), mesh.faces.to(device))], measures, own, [False])
        if not path.parent.resolve().is_relative_to(folder.resolve()):
            return arrays  # Through a link of the dataset's: nothing is written outside of it.
        try:
            write_arrays(place, key, arrays)
        except InputError:
            # A dataset that cannot be written to is measured anew each time.
            return arrays
    return arrays


def _measure(meshes: Sequence[Mesh], measures: Measures, first: int, empty: Sequence[bool]) -> Arrays:
    """Arrays with a row for each mesh; rows of those that have no surface are zero, and `usable` says so.

    A mesh that stands in for an empty shape looks like any other, so it must be said which do.
    """
    usable = [not without and _has_surface(mesh) for mesh, without in zip(meshes, empty, strict=True)]
    found = _measure_usable([mesh for mesh, use in zip(meshes, usable, strict=True) if use], measures, first)
    number = np.cumsum(usable) - 1
    rows = {
        name: np.stack([values[i] if use else np.zeros_like(values[0]) for i, use in zip(number, usable, strict=True)])
        for name, values in found.items()
    }
    return {**rows, "usable": np.array(usable)}


def _has_surface(mesh: Mesh) -> bool:
    if not len(mesh.faces) or not torch.isfinite(mesh.vertices).all():
        return False
    return float(MeshBatch.from_meshes([mesh]).face_crosses().norm(dim=1).sum()) > 0


def _measure_usable(meshes: list[Mesh], measures: Measures, first: int) -> Arrays:
    # One stand-in gives the rows of an empty list their shapes.
    some = meshes or [_TRIANGLE]
    unit = in_unit_cube(MeshBatch.from_meshes(some))
    generator = torch.Generator().manual_seed(measures.seed + first)
    sample = sample_outer_surface if measures.outer else sample_surface
    positions = sample(unit, measures.points, generator).positions.float()
    if not measures.centred:
        # The views from outside need centred shapes, so points are drawn there and moved back.
        positions = positions + _moves(MeshBatch.from_meshes(some), unit).to(positions)
    found = {"points": positions.cpu().numpy()}
    if measures.descriptors:
        tensors = light_field_descriptors(some).tensors()
        found.update({f"descriptors_{name}": tensor.cpu().numpy() for name, tensor in tensors.items()})
    qualities = [_quality(mesh) for mesh in some]
    found.update({f"quality_{name}": np.array([q[name] for q in qualities]) for name in qualities[0]})
    return found


def _moves(meshes: MeshBatch, unit: MeshBatch) -> Float[Tensor, "n 1 3"]:
    """How far each shape was moved to lie at the origin, after scaling."""
    first = meshes.faces[meshes.face_offsets[:-1], 0]
    return (in_unit_cube(meshes, centred=False).vertices - unit.vertices)[first][:, None]


_TRIANGLE = Mesh(torch.tensor([[0.0, 0, 0], [1, 0, 0], [0, 1, 0]]), torch.tensor([[0, 1, 2]]))


def _quality(mesh: Mesh) -> dict[str, np.ndarray | float]:
    found = mesh_quality(mesh)
    names = (
        "faces",
        "watertight",
        "manifold",
        "components",
        "largest_component_area",
        "intersecting",
        "thin",
        "roughness",
    )
    return {
        **{name: float(getattr(found, name)) for name in names},
        "genus": np.nan if found.genus is None else float(found.genus),
        "angle_counts": np.histogram(found.smallest_angle.cpu().numpy(), ANGLE_BINS)[0],
        "aspect_counts": np.histogram(found.aspect.cpu().numpy().clip(1), ASPECT_BINS)[0],
    }


def _joined(parts: list[Arrays]) -> Arrays:
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}


def _as_set(names: list[str], arrays: Arrays, measures: Measures) -> ShapeSet:
    usable = arrays["usable"]
    kept = {name: values[usable] for name, values in arrays.items()}
    tensors = {name: torch.from_numpy(values) for name, values in kept.items()}
    described = {name.removeprefix("descriptors_"): t for name, t in tensors.items() if name.startswith("descriptors_")}
    return ShapeSet(
        names=[name for name, use in zip(names, usable, strict=True) if use],
        empty=[name for name, use in zip(names, usable, strict=True) if not use],
        points=tensors["points"],
        descriptors=LightFieldDescriptors(**described) if measures.descriptors else None,
        quality={name.removeprefix("quality_"): v for name, v in kept.items() if name.startswith("quality_")},
    )
