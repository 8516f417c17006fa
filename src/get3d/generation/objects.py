"""Textured objects in a folder: meshes, a contact sheet, a turntable, and a record of how to make them again."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from math import ceil
from pathlib import Path
from typing import Any

import torch
from jaxtyping import UInt8
from rich.console import Console
from rich.progress import Progress
from torch import Tensor

from get3d.console import counted
from get3d.distributed.processes import SINGLE_PROCESS, Ranks
from get3d.export import TexturedMesh, mesh_report, textured_mesh, without_small_components
from get3d.export.formats import files_of
from get3d.files import InputError
from get3d.generation.manifest import MANIFEST, begin_manifest, extend_manifest, finish_manifest, read_manifest
from get3d.generation.page import PAGE, page_files, write_page, write_page_object
from get3d.generation.settings import Settings, at_once, chosen_light
from get3d.generation.shape_list import ShapeList, require_plain_names, shape_entry
from get3d.generation.turntable import STILL, columns_for, seen_from, sheet, turning, write_sheet, write_video
from get3d.generator import Generator
from get3d.latents import Latents
from get3d.materials import NORMAL
from get3d.shapes import Shapes

__all__ = [
    "add_object",
    "first_to_last",
    "is_taken",
    "made_together",
    "require_addable",
    "shapes_of",
    "textured_object",
    "write_objects",
]

TURNED = 16
"""Maximum number of objects in a turntable."""


@dataclass(frozen=True)
class _Made:
    """Objects that were made together, and their meshes written.

    Attributes:
        records: what `shapes.json` says of each.
        stills: an image of each.
        turns: a turn around each that a turntable shows, f frames; None where it shows none of them.
    """

    records: list[dict[str, Any]]
    stills: UInt8[Tensor, "n 3 r r"]
    turns: UInt8[Tensor, "f m 3 r r"] | None


def made_together(generator: Generator, count: int, ranks: Ranks = SINGLE_PROCESS) -> list[range]:
    """Divides shapes into batches: as many as memory allows, and few enough that each process has some."""
    step = max(1, min(ranks.from_first(lambda: at_once(generator)), ceil(count / ranks.world)))
    return [range(start, min(start + step, count)) for start in range(0, count, step)]


@torch.no_grad()
def shapes_of(generator: Generator, shape_list: ShapeList, numbers: range, small_components: float = 0.0) -> Shapes:
    """Makes some of the shapes of a shape list, without small components."""
    codes = shape_list.latents[numbers.start : numbers.stop]
    shapes = generator.shapes(codes, shape_list.psi if isinstance(codes, Latents) else None)
    cleaned = replace(shapes.surfaces, meshes=without_small_components(shapes.surfaces.meshes, small_components))
    return replace(shapes, surfaces=cleaned)


def write_objects(
    generator: Generator,
    shape_list: ShapeList,
    settings: Settings,
    console: Console,
    ranks: Ranks = SINGLE_PROCESS,
    others: Sequence[str] = (),
) -> list[Path]:
    """Writes the objects of a shape list and returns their files.

    It also writes `index.html`, which shows them in a browser, `contact-sheet.png`, `turntable.gif` and `shapes.json`.
    A shape without a surface is left out and recorded. Unchanged files of an earlier command in the folder are removed,
    so that the manifest lists all files.

    Args:
        generator: the model, on the requested grid.
        shape_list: the shape list.
        settings: folder, format and sizes.
        console: console for progress.
        ranks: processes that divide the objects; the first one makes the sheet and the video.
        others: names of other files that the command has written there.

    Raises:
        InputError: no shape has a surface, or a file cannot be written.
    """
    with Progress(console=console, transient=True) as progress:
        task = progress.add_task("objects", total=len(shape_list.names))

        def make(numbers: range) -> _Made:
            shapes = shapes_of(generator, shape_list, numbers, settings.small_components)
            records = []
            for offset, number in enumerate(numbers):
                records.append(_written(generator, shapes, offset, shape_list, number, settings))
                # They are taken in order, so what comes before is done or in other hands.
                progress.update(task, completed=number + 1)
            return _Made(records, *_images(generator, shapes, numbers, settings))

        names = _files(shape_list, settings, _channels(generator, settings), others)
        before = ranks.from_first(lambda: begin_manifest(settings.out, names))
        made = ranks.each(made_together(generator, len(shape_list.names), ranks), make)
    return ranks.from_first(lambda: _finish(generator, shape_list, settings, made, others, before, console))


def require_addable(generator: Generator, settings: Settings) -> dict[str, Any]:
    """What the `shapes.json` of a folder says, to which objects of a generator can be added; empty where there is none.

    Raises:
        InputError: it is of another grid or of another version, and so are the objects in it.
    """
    path, there = settings.out / MANIFEST, _there(settings.out)
    grid = generator.isosurface.grid.resolution
    if there.get("grid", grid) != grid:
        raise InputError(
            f"{path}: its shapes are on a grid of {there.get('grid')}, and the page's on {grid}; choose another --out"
        )
    for name, value in _shared(settings).items():
        if there.get(name, value) != value:
            raise InputError(
                f"{path}: its shapes have {name} {there[name]}, and the page's {value}; choose another --out, so that "
                "one command can make the shapes of a folder again"
            )
    return there


def _shared(settings: Settings) -> dict[str, Any]:
    """The settings that all added objects of a folder must share, besides the grid."""
    return {name: getattr(settings, name) for name in ("faces", "texture", "small_components")}


def _there(out: Path) -> dict[str, Any]:
    path = out / MANIFEST
    there = read_manifest(path) if path.exists() else {}
    shapes = there.get("shapes", [])
    if not isinstance(shapes, list) or not all(isinstance(entry, dict) and "name" in entry for entry in shapes):
        raise InputError(f"{path}: its `shapes` is not a list of shapes; choose another --out, or move it away")
    return there


def is_taken(name: str, generator: Generator, settings: Settings) -> bool:
    """Whether there is an object of a name in the folder of `settings`, or a file that it would have."""
    others = _there(settings.out).get("shapes", [])
    files = files_of(name, settings.format, generator.config.synthesis.channels)
    return any(entry["name"] == name for entry in others) or any((settings.out / file).exists() for file in files)


def add_object(generator: Generator, shape_list: ShapeList, settings: Settings) -> dict[str, Any]:
    """Writes the one object of a shape list beside those that are in a folder, to its `shapes.json` and to its page.

    Returns:
        What `shapes.json` says of it.

    Raises:
        InputError: its name is no name of a file, or taken; the shape has no surface, or a file cannot be written.
    """
    (name,), out, channels = shape_list.names, settings.out, generator.config.synthesis.channels
    there = require_addable(generator, settings)
    others = there.get("shapes", [])
    require_plain_names("the name", [name])
    own = files_of(name, settings.format, channels)
    if is_taken(name, generator, settings):
        raise InputError(f"{out}: {name!r} is there already; choose another name")
    shapes = shapes_of(generator, shape_list, range(1), settings.small_components)
    # Before anything is written: what has no surface leaves no trace.
    metadata, textured = textured_object(shapes, 0, settings)
    if textured is None:
        raise InputError(f"{name}: {metadata['problem']}; choose another shape")
    names = [entry["name"] for entry in others]
    files = [*own, *page_files([*names, name])]
    before = begin_manifest(out, files)
    textured.save(out / own[0], settings.size)
    write_page_object(out, name, len(others), textured)
    entry = {"file": own[0]} | metadata | shape_entry(generator, shape_list, 0, codes=True)
    grid = generator.isosurface.grid.resolution
    description = {
        "model": settings.model,
        "psi": there.get("psi", shape_list.psi),
        "grid": grid,
        **_shared(settings),
        "shapes": [*others, entry],
    }
    images = [file for file in before if file.endswith((".png", ".gif")) and "/" not in file and (out / file).exists()]
    write_page(out, description["shapes"], description, channels, generator.config.cameras, images)
    extend_manifest(out, files, description, before)
    return entry


def _channels(generator: Generator, settings: Settings) -> tuple[str, ...]:
    """The channels of the textures that are written."""
    return generator.config.channels + ((NORMAL,) if settings.normal_map else ())


def _files(shape_list: ShapeList, settings: Settings, channels: Sequence[str], others: Sequence[str]) -> list[str]:
    """All files that a command may write to its folder, but for the manifest of them."""
    meshes = [name for stem in shape_list.names for name in files_of(stem, settings.format, channels)]
    videos = [] if settings.video == "none" else [f"turntable.{settings.video}"]
    return [*meshes, "contact-sheet.png", *videos, *page_files(shape_list.names), *others]


def _written(
    generator: Generator, shapes: Shapes, offset: int, shape_list: ShapeList, number: int, settings: Settings
) -> dict[str, Any]:
    """Writes a mesh, and gives what is to be said of it."""
    metadata, textured = textured_object(shapes, offset, settings)
    if textured is not None:
        path = settings.out / f"{shape_list.names[number]}.{settings.format}"
        textured.save(path, settings.size)
        write_page_object(settings.out, shape_list.names[number], number, textured)
        metadata = {"file": path.name} | metadata
    return metadata | shape_entry(generator, shape_list, number, codes=True)


def _images(
    generator: Generator, shapes: Shapes, numbers: range, settings: Settings
) -> tuple[UInt8[Tensor, "n 3 r r"], UInt8[Tensor, "f m 3 r r"] | None]:
    """Stills, and turns."""
    light = chosen_light(settings.light)
    if settings.video == "none" or numbers.start >= TURNED:
        return seen_from(shapes, generator.config.cameras, settings.resolution, light), None
    turns = turning(shapes, generator.config.cameras, settings.resolution, light)
    return turns[STILL], turns[:, : TURNED - numbers.start]


def _finish(
    generator: Generator,
    shape_list: ShapeList,
    settings: Settings,
    made: list[_Made],
    others: Sequence[str],
    before: dict[str, str | None],
    console: Console,
) -> list[Path]:
    """Writes what belongs to all objects, and gives their files."""
    out = settings.out
    records = [entry for each in made for entry in each.records]
    labels = [f"seed {entry['seed']}" if "seed" in entry else entry["name"] for entry in records]
    stills = torch.cat([each.stills for each in made])
    write_sheet(out / "contact-sheet.png", stills, columns_for(len(records)), labels)
    turns = [each.turns for each in made if each.turns is not None]
    if turns:
        frames = torch.cat(turns, dim=1)
        columns = columns_for(frames.shape[1])
        write_video(out / f"turntable.{settings.video}", (sheet(images, columns) for images in frames))
    grid = generator.isosurface.grid.resolution
    description = {"model": settings.model, "psi": shape_list.psi, "grid": grid, "shapes": records}
    videos = [f"turntable.{settings.video}"] if turns else []
    images = ["contact-sheet.png", *videos, *(name for name in others if "/" not in name)]
    write_page(out, records, description, _channels(generator, settings), generator.config.cameras, images)
    finish_manifest(
        out, _files(shape_list, settings, _channels(generator, settings), others), description, before, console
    )
    paths = [out / entry["file"] for entry in records if "file" in entry]
    _say(paths, [*_in_short(others), "contact-sheet.png", *videos, PAGE, "page/", MANIFEST], records, out, console)
    return paths


@torch.no_grad()
def textured_object(shapes: Shapes, number: int, settings: Settings) -> tuple[dict[str, Any], TexturedMesh | None]:
    """What is to be said of one of some shapes, and the object that is to be written; None where there is none."""
    if shapes.surfaces.empty[number]:
        return {"problem": "its field has the same sign everywhere, so there is no surface"}, None
    mesh = shapes.surfaces.meshes.select(torch.tensor([number], device=shapes.surfaces.empty.device)).split()[0]
    try:
        textured = textured_mesh(mesh, shapes.material(number), settings.texture, settings.faces, settings.normal_map)
    except ValueError as error:
        return {"problem": str(error)}, None
    report = mesh_report(textured.mesh)
    metadata = {"faces": len(textured.faces), "watertight": report.watertight, "components": report.components}
    return metadata, textured


def _say(paths: list[Path], files: list[str], records: list[dict[str, Any]], out: Path, console: Console) -> None:
    problems = [f"{entry['name']}: {entry['problem']}" for entry in records if "problem" in entry]
    if not paths:
        raise InputError(
            f"{out}: none of {counted(len(records), 'shape')} could be made ({problems[0]}); "
            "train the model longer, or try other seeds"
        )
    closed = sum(bool(entry.get("watertight")) for entry in records)
    text = f"{out}: {counted(len(paths), 'object')} ({closed} watertight): {', '.join([first_to_last(paths), *files])}"
    console.print(text, highlight=False, markup=False, soft_wrap=True)
    if problems:
        more = f", and {len(problems) - 1} more" if len(problems) > 1 else ""
        text = f"left out {problems[0]}{more}"
        console.print(text, style="yellow", highlight=False, markup=False, soft_wrap=True)


def _in_short(files: Sequence[str]) -> list[str]:
    """Files for messages: of files in a folder, only the name of the folder."""
    return list(dict.fromkeys(f"{name.partition('/')[0]}/" if "/" in name else name for name in files))


def first_to_last(paths: list[Path]) -> str:
    """The names of files for messages: of many, the first and the last."""
    names = [path.name for path in paths]
    text = ", ".join(names) if len(names) < 4 else f"{names[0]} … {names[-1]}"
    return f"{text} with .mtl and .png" if paths[0].suffix == ".obj" else text
