"""Meshes without texture, and points on their surfaces, for measurements of thousands of shapes."""

from pathlib import Path
from typing import Any

import numpy as np
import torch
import trimesh
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from get3d.distributed.processes import Ranks
from get3d.files import InputError, writing
from get3d.generation.manifest import MANIFEST, begin_manifest, finish_manifest, read_manifest
from get3d.generation.objects import first_to_last, made_together, shapes_of
from get3d.generation.settings import Settings
from get3d.generation.shape_list import ShapeList, shape_entry
from get3d.generator import Generator
from get3d.meshes import Mesh, MeshBatch
from get3d.sampling import sample_surface
from get3d.storage import checksum

__all__ = ["BARE_FORMATS", "write_geometry"]

BARE_FORMATS = ("glb", "obj", "ply")
"""Formats for meshes without texture: those that keep the units and the orientation of an object."""


def write_geometry(
    generator: Generator, shape_list: ShapeList, settings: Settings, points: int, console: Console, ranks: Ranks
) -> list[Path]:
    """Writes the meshes of a shape list and returns their files.

    Files of an earlier call with the same settings are kept. Each mesh comes with `<name>.npz` with `points` [p, 3] and
    `normals` [p, 3], uniform by area. Shapes without a surface are left out and recorded in `shapes.json`.

    Args:
        generator: the model, on the requested grid.
        shape_list: the shape list.
        settings: folder and format.
        points: number of points on each mesh; 0 for none.
        console: console for progress.
        ranks: processes that divide the shapes.

    Raises:
        InputError: the folder holds shapes made with other settings, or cannot be written to.
    """
    out, suffix = settings.out, settings.format
    files = [f"{name}.{end}" for name in shape_list.names for end in ((suffix, "npz") if points else (suffix,))]
    last = "npz" if points else suffix

    def begin() -> tuple[dict[str, Any], dict[str, str | None], list[int]]:
        """What is recorded of all, the files that were recorded before, and which meshes are missing."""
        description = _described(generator, shape_list, settings, points)
        before = begin_manifest(out, files, description)
        # What was there, but not in the manifest, is somebody else's.
        there = [name in before and (out / name).exists() for name in (f"{name}.{last}" for name in shape_list.names)]
        return description, before, [number for number, known in enumerate(there) if not known]

    description, before, missing = ranks.from_first(begin)
    columns = TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn()
    with Progress(*columns, console=console, transient=True) as progress:
        done = len(shape_list.names) - len(missing)
        task = progress.add_task("meshes", total=len(shape_list.names), completed=done)
        chosen = ShapeList(
            [shape_list.names[number] for number in missing],
            shape_list.latents[torch.tensor(missing, dtype=torch.long, device=shape_list.latents.device)],
            [shape_list.metadata[number] for number in missing],
            shape_list.psi,
        )

        def make(numbers: range) -> list[str]:
            """Writes some of them, and names those without a surface."""
            surfaces = shapes_of(generator, chosen, numbers).surfaces
            without = surfaces.empty.tolist()
            for number, mesh in zip(numbers, surfaces.meshes.split(), strict=True):
                name, seed = chosen.names[number], chosen.metadata[number].get("seed", missing[number])
                if not without[number - numbers.start]:
                    _save(mesh, out / f"{name}.{suffix}")
                    if points:
                        _save_points(mesh, points, seed, out / f"{name}.npz")
                progress.update(task, completed=done + number + 1)
            return [chosen.names[number] for number in numbers if without[number - numbers.start]]

        found = ranks.each(made_together(generator, len(missing), ranks), make)

    def finish() -> list[Path]:
        empty = [name for names in found for name in names]
        finish_manifest(out, files, description | {"empty": empty}, before, console)
        written = [out / f"{name}.{suffix}" for name in shape_list.names if name not in set(empty)]
        said = [*([first_to_last(written)] if written else []), *(["their points (.npz)"] if points else [])]
        text = f"{out}: {len(written)} meshes: {', '.join([*said, MANIFEST])}"
        text += f"; {len(empty)} shapes have no surface" if empty else ""
        console.print(text, highlight=False, markup=False, soft_wrap=True)
        return written

    return ranks.from_first(finish)


def _described(generator: Generator, shape_list: ShapeList, settings: Settings, points: int) -> dict[str, Any]:
    """The manifest of all shapes. Existing shapes must have been made with the same settings."""
    path = settings.out / MANIFEST
    weights = {name: tensor.cpu() for name, tensor in generator.state_dict().items()}
    common = {
        "model": settings.model,
        "weights": checksum(weights),
        "psi": shape_list.psi,
        "grid": generator.isosurface.grid.resolution,
        "points": points,
        "suffix": settings.format,
    }
    # A seed says as much as its latents, which would take gigabytes for ten thousand shapes.
    shapes = [
        shape_entry(generator, shape_list, number, codes="seed" not in metadata)
        for number, metadata in enumerate(shape_list.metadata)
    ]
    if path.exists():
        found = read_manifest(path)
        for name, value in common.items():
            there = found.get(name)
            if there != value:
                raise InputError(
                    f"{path}: the shapes there have {name} {there}, requested is {value}; "
                    "choose another --out, or use the same settings to resume"
                )
    return common | {"shapes": shapes}


def _save(mesh: Mesh, path: Path) -> None:
    shape = trimesh.Trimesh(mesh.vertices.cpu().numpy(), mesh.faces.cpu().numpy(), process=False, validate=False)
    content = shape.export(file_type=path.suffix[1:])
    with writing(path) as temporary:
        temporary.write_bytes(content.encode() if isinstance(content, str) else content)


def _save_points(mesh: Mesh, count: int, seed: int, path: Path) -> None:
    """Points of a shape depend on its seed only, not on what is made along with it."""
    batch = MeshBatch.from_meshes([mesh])
    drawn = sample_surface(batch, count, torch.Generator().manual_seed(seed))
    normals = torch.nn.functional.normalize(batch.face_crosses()[drawn.faces[0]], dim=1)
    with writing(path) as temporary:
        np.savez(temporary, points=drawn.positions[0].cpu().numpy(), normals=normals.cpu().numpy())
