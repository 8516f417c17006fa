"""Textured objects in a folder: meshes, a contact sheet, a turntable, and a record of how to make them again."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from rich.console import Console
from rich.progress import Progress

from get3d.export import TexturedMesh, mesh_report, textured_mesh, without_debris
from get3d.files import InputError, write_json
from get3d.gallery.film import STILL, columns_for, seen_from, sheet, turning, write_film, write_sheet
from get3d.gallery.plan import Plan, record
from get3d.gallery.settings import Settings, at_once
from get3d.generator import Generator, Shapes

__all__ = ["Part", "in_parts", "write_objects"]

TURNED = 16
"""Objects that a turntable shows at most."""


@dataclass(frozen=True)
class Part:
    """Some of the shapes of a plan, made together.

    Attributes:
        numbers: their places in the plan.
        shapes: as they were made.
    """

    numbers: range
    shapes: Shapes


@torch.no_grad()
def in_parts(generator: Generator, plan: Plan, debris: float = 0.0) -> Iterator[Part]:
    """Makes the shapes of a plan, as many at once as memory allows, without parts below a share of their area."""
    count, step = len(plan.latents), at_once(generator)
    for start in range(0, count, step):
        numbers = range(start, min(start + step, count))
        styles = generator.styles(plan.latents[numbers.start : numbers.stop], plan.psi)
        shapes = generator.shapes(styles)
        cleaned = replace(shapes.surfaces, meshes=without_debris(shapes.surfaces.meshes, debris))
        yield Part(numbers, replace(shapes, surfaces=cleaned))


def write_objects(generator: Generator, plan: Plan, settings: Settings, console: Console) -> list[Path]:
    """Writes the objects of a plan, and gives their files.

    Beside them lie `contact-sheet.png`, `turntable.gif` and `shapes.json`.
    A shape without a surface is left out, and recorded as such.

    Raises:
        InputError: none has a surface, or a file cannot be written.
    """
    out = settings.out
    paths, records, stills, turns = [], [], [], []
    with Progress(console=console, transient=True) as progress:
        task = progress.add_task("objects", total=len(plan.names))
        for part in in_parts(generator, plan, settings.debris):
            for offset, number in enumerate(part.numbers):
                facts, textured = _textured(part.shapes, offset, settings)
                if textured is not None:
                    paths.append(out / f"{plan.names[number]}.{settings.format}")
                    textured.save(paths[-1])
                    facts = {"file": paths[-1].name} | facts
                records.append(facts | record(generator, plan, number, codes=True))
                progress.advance(task)
            if settings.film != "none" and part.numbers.stop <= TURNED:
                turns.append(turning(generator, part.shapes, settings.resolution))
                stills.append(turns[-1][STILL])
            else:
                stills.append(seen_from(generator, part.shapes, settings.resolution))
    write_sheet(out / "contact-sheet.png", torch.cat(stills), columns_for(len(plan.names)))
    if turns:
        frames = torch.cat(turns, dim=1)
        columns = columns_for(frames.shape[1])
        write_film(out / f"turntable.{settings.film}", (sheet(pictures, columns) for pictures in frames))
    grid = generator.isosurface.grid.resolution
    write_json(out / "shapes.json", {"model": settings.model, "psi": plan.psi, "grid": grid, "shapes": records})
    _say(paths, records, settings, console)
    return paths


@torch.no_grad()
def _textured(shapes: Shapes, number: int, settings: Settings) -> tuple[dict[str, Any], TexturedMesh | None]:
    """What is to be said of a shape, and the object that is to be written; None where there is none."""
    if shapes.surfaces.empty[number]:
        return {"problem": "its field has one sign everywhere, so there is no surface"}, None
    mesh = shapes.surfaces.meshes.select(torch.tensor([number], device=shapes.surfaces.empty.device)).split()[0]
    try:
        textured = textured_mesh(mesh, shapes.color(number), settings.texture, settings.faces)
    except ValueError as error:
        return {"problem": str(error)}, None
    report = mesh_report(textured.mesh)
    facts = {"faces": len(textured.faces), "watertight": report.watertight, "components": report.components}
    return facts, textured


def _say(paths: list[Path], records: list[dict[str, Any]], settings: Settings, console: Console) -> None:
    problems = [f"{entry['name']}: {entry['problem']}" for entry in records if "problem" in entry]
    if not paths:
        raise InputError(f"{settings.out}: none of the {len(records)} shapes could be made ({problems[0]})")
    closed = sum(bool(entry.get("watertight")) for entry in records)
    text = f"{settings.out}: {len(paths)} objects ({closed} watertight), contact-sheet.png, shapes.json"
    console.print(text, highlight=False, soft_wrap=True)
    if problems:
        more = f", and {len(problems) - 1} more" if len(problems) > 1 else ""
        console.print(f"[yellow]left out {problems[0]}{more}[/]", highlight=False, soft_wrap=True)
