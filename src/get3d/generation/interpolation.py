"""Interpolation between objects, and variations of one: `get3d interpolate` and `get3d vary`."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from jaxtyping import Float, UInt8
from PIL import Image
from rich.console import Console
from torch import Tensor

from get3d.files import InputError, writing
from get3d.generation.config import Code, InterpolateConfig, VaryConfig
from get3d.generation.manifest import begin_manifest
from get3d.generation.objects import made_together, shapes_of, write_objects
from get3d.generation.settings import PSI, Settings, chosen_light, set_grid, validated_generator
from get3d.generation.shape_list import ShapeList, of_seeds, read_shapes
from get3d.generation.turntable import seen_from, sheet, write_sheet, write_video
from get3d.generator import Generator
from get3d.latents import Latents, Styles, between, between_styles, joined, near, near_styles

__all__ = ["InterpolateConfig", "VaryConfig", "interpolate", "variations", "vary"]


def interpolate(config: InterpolateConfig, console: Console) -> list[Path]:
    """Writes objects between two others and returns their files.

    It also writes `way.gif` with its images in `frames/`, `swaps.png`, `contact-sheet.png`, `turntable.gif` and
    `shapes.json`.

    Raises:
        InputError: an option is out of range, the seeds are of different classes, the model cannot be read, or the
            folder cannot be written to.
    """
    generator = validated_generator(config)
    ends = _ends(generator, config)
    set_grid(generator, ends[0].grid)
    way = _way(generator, ends, config.space)
    others = [f"way.{config.video}"] * (config.video != "none")
    others += [f"frames/{number:04d}.png" for number in range(config.frames)] + ["swaps.png"] * (config.swaps > 0)
    begin_manifest(config.out, others)
    psi = ends[0].psi
    _write_way(generator, _along(way, config.change, config.frames), psi, config)
    if config.swaps:
        _write_swaps(generator, way, psi, config)
    shares = torch.linspace(0, 1, config.num).tolist()
    start, end = (one.metadata[0].get("seed", one.names[0]) for one in ends)
    space = "z" if isinstance(way.start, Latents) else "w"
    said = {"from": start, "to": end, "change": config.change, "space": space}
    metadata = [{**said, "share": share} for share in shares]
    shape_list = ShapeList(
        [f"{number:03d}" for number in range(config.num)], _along(way, config.change, config.num), metadata, psi
    )
    return write_objects(generator, shape_list, config, console, others=others)


def vary(config: VaryConfig, console: Console) -> list[Path]:
    """Writes an object and variations of it, and returns their files.

    It also writes `contact-sheet.png`, `turntable.gif` and `shapes.json`.

    Raises:
        InputError: an option is out of range, the model cannot be read, or the folder cannot be written to.
    """
    generator = validated_generator(config)
    own = _varied(generator, config)
    set_grid(generator, own.grid)
    # The object itself was drawn from only the seed.
    drawn_from = int(np.random.SeedSequence([config.seed, 1]).generate_state(1)[0])
    varied = variations(
        generator,
        own.latents,
        config.num,
        geometry=config.strength if config.change != "texture" else 0.0,
        texture=config.strength if config.change != "geometry" else 0.0,
        psi=own.psi,
        label=config.label,
        random=torch.Generator().manual_seed(drawn_from),
    )
    (name,) = own.names
    names = [f"{name}-{number:03d}" for number in range(config.num + 1)]
    changed = {"of": own.metadata[0].get("seed", name), "strength": config.strength, "change": config.change}
    metadata = [own.metadata[0], *([changed] * config.num)]
    return write_objects(generator, ShapeList(names, varied, metadata, own.psi), config, console)


@torch.no_grad()
def variations(
    generator: Generator,
    codes: Latents | Styles,
    count: int,
    *,
    geometry: float,
    texture: float,
    psi: float,
    label: str | None,
    random: torch.Generator,
) -> Latents | Styles:
    """An object, and variations of it.

    Args:
        generator: the model.
        codes: latents or styles of one object.
        count: number of variations.
        geometry: how much of the geometry changes, from 0 to 1.
        texture: likewise.
        psi: truncation of the random objects towards which styles are varied.
        label: class of styles, for a model of several.
        random: of what changes.

    Raises:
        InputError: the class of styles is not known.
    """
    if isinstance(codes, Latents):
        return joined([codes, near(codes, count, geometry=geometry, texture=texture, generator=random)])
    classes = generator.config.classes
    if classes and label not in classes:
        raise InputError(f"--label is {label}: styles do not say the class of their object; it is {', '.join(classes)}")
    drawn = torch.randn((2, count, generator.config.z_dim), generator=random).to(generator.device)
    number = None if label is None or not classes else torch.full((count,), classes.index(label), device=drawn.device)
    latents = Latents(drawn[0], drawn[1], number)
    own, others, mean = generator.require_styles(codes), generator.styles(latents, psi), generator.styles(latents, 0.0)
    found = near_styles(own, others, mean, geometry=geometry, texture=texture)
    return Styles(torch.cat([own.geometry, found.geometry]), torch.cat([own.texture, found.texture]))


def _listed(
    generator: Generator, config: InterpolateConfig | VaryConfig, paths: Sequence[Path], names: Sequence[str]
) -> list[ShapeList]:
    """The shapes of --latents, with the truncation and the grid of the options, if these are given."""
    if names and not paths:
        raise InputError(f"--shape {names[0]}: names a shape of a shapes.json; give it with --latents")
    psi, grid = config.psi, config.grid
    return [
        replace(one, psi=one.psi if psi is None else psi, grid=one.grid if grid is None else grid)
        for one in read_shapes(paths, names, generator)
    ]


def _ends(generator: Generator, config: InterpolateConfig) -> list[ShapeList]:
    """Both ends: shapes of --latents, then of seeds."""
    found = _listed(generator, config, config.latents, config.shape)
    if len(found) > 2:
        raise InputError(f"--latents: has {len(found)} shapes; name one or two of them with --shape")
    psi = PSI if config.psi is None else config.psi
    seeds = [of_seeds(generator, 1, seed, config.label, psi) for seed in (config.start, config.end)]
    ends = [*found, *(replace(one, grid=config.grid) for one in seeds[len(found) :])]
    labels = [one.latents.label for one in ends if isinstance(one.latents, Latents)]
    kinds = [generator.config.classes[int(label)] for label in labels if label is not None]
    if len(set(kinds)) > 1:
        titles = [str(one.metadata[0].get("seed", one.names[0])) for one in ends]
        raise InputError(
            f"--from {titles[0]} is of the class {kinds[0]}, --to {titles[1]} of the class {kinds[1]}, "
            f"and there is no interpolation between classes; give both one class with --label {kinds[0]}"
        )
    return ends


def _varied(generator: Generator, config: VaryConfig) -> ShapeList:
    """The object of --latents or of the seed."""
    paths, names = [config.latents] if config.latents else [], [config.shape] if config.shape else []
    found = _listed(generator, config, paths, names)
    if len(found) > 1:
        raise InputError(f"{config.latents}: has {len(found)} shapes; name one of them with --shape")
    if found:
        return found[0]
    psi = PSI if config.psi is None else config.psi
    return replace(of_seeds(generator, 1, config.seed, config.label, psi), grid=config.grid)


@dataclass(frozen=True)
class _Way:
    """From one shape to another: along a great circle of latents, or along a straight line of styles.

    Attributes:
        start: the one shape.
        end: the other, of the same class.
    """

    start: Latents | Styles
    end: Latents | Styles

    @torch.no_grad()
    def at(self, geometry: Float[Tensor, " s"], texture: Float[Tensor, " s"]) -> Latents | Styles:
        """Codes at shares of the way, for geometry and for texture."""
        if isinstance(self.start, Latents) and isinstance(self.end, Latents):
            return between(self.start, self.end, geometry, texture)
        assert isinstance(self.start, Styles) and isinstance(self.end, Styles)
        return between_styles(self.start, self.end, geometry, texture)


@torch.no_grad()
def _way(generator: Generator, ends: Sequence[ShapeList], space: Literal["z", "w"]) -> _Way:
    """The way between two shapes; in W also where a shape has no latents, or another truncation."""
    start, end = (one.latents for one in ends)
    if space == "z" and isinstance(start, Latents) and isinstance(end, Latents) and ends[0].psi == ends[1].psi:
        return _Way(start, end)
    return _Way(
        *(
            generator.require_styles(one.latents)
            if isinstance(one.latents, Styles)
            else generator.styles(one.latents, one.psi)
            for one in ends
        )
    )


def _along(way: _Way, change: Code, count: int) -> Latents | Styles:
    """Evenly spaced codes from one end to the other."""
    share, still = torch.linspace(0, 1, count), torch.zeros(count)
    return way.at(share if change != "texture" else still, share if change != "geometry" else still)


def _write_way(generator: Generator, latents: Latents | Styles, psi: float, config: InterpolateConfig) -> None:
    images = _images(generator, latents, psi, config)
    for number, image in enumerate(images):
        with writing(config.out / "frames" / f"{number:04d}.png") as temporary:
            sheet(image[None], columns=1).save(temporary)
    if config.video != "none":
        there = [sheet(image[None], columns=1) for image in images]
        back: list[Image.Image] = there[-2:0:-1]
        write_video(config.out / f"way.{config.video}", [*there, *back])


def _write_swaps(generator: Generator, way: _Way, psi: float, config: InterpolateConfig) -> None:
    share = torch.linspace(0, 1, config.swaps) if config.swaps > 1 else torch.zeros(1)
    down, right = share.repeat_interleave(config.swaps), share.repeat(config.swaps)
    images = _images(generator, way.at(down, right), psi, config)
    write_sheet(config.out / "swaps.png", images, config.swaps)


def _images(generator: Generator, latents: Latents | Styles, psi: float, config: Settings) -> UInt8[Tensor, "n 3 r r"]:
    shape_list = ShapeList([""] * len(latents), latents, [{}] * len(latents), psi)
    parts = [
        shapes_of(generator, shape_list, part, config.small_components)
        for part in made_together(generator, len(latents))
    ]
    light, prior = chosen_light(config.light), generator.config.cameras
    return torch.cat([seen_from(shapes, prior, config.resolution, light) for shapes in parts])
