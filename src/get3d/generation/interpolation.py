"""Interpolation between objects, and variations of one: `get3d interpolate` and `get3d vary`."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

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
from get3d.generation.settings import PSI, Settings, chosen_light, open_generator
from get3d.generation.shape_list import ShapeList
from get3d.generation.turntable import seen_from, sheet, write_sheet, write_video
from get3d.generator import Generator
from get3d.latents import Latents, Styles, between, joined, near

__all__ = ["InterpolateConfig", "VaryConfig", "interpolate", "vary"]


def interpolate(config: InterpolateConfig, console: Console) -> list[Path]:
    """Writes objects between two others and returns their files.

    It also writes `way.gif` with its images in `frames/`, `swaps.png`, `contact-sheet.png`, `turntable.gif` and
    `shapes.json`.

    Raises:
        InputError: an option is out of range, the seeds are of different classes, the model cannot be read, or the
            folder cannot be written to.
    """
    generator = open_generator(config)
    ends = [generator.sample_latents(1, seed, config.label) for seed in (config.start, config.end)]
    labels = [None if end.label is None else generator.config.classes[int(end.label)] for end in ends]
    if labels[0] != labels[1]:
        raise InputError(
            f"--from {config.start} is of the class {labels[0]}, --to {config.end} of the class {labels[1]}, "
            f"and there is no interpolation between classes; give both one class with --label {labels[0]}"
        )
    psi = PSI if config.psi is None else config.psi
    others = [f"way.{config.video}"] * (config.video != "none")
    others += [f"frames/{number:04d}.png" for number in range(config.frames)] + ["swaps.png"] * (config.swaps > 0)
    begin_manifest(config.out, others)
    way = _Way(generator, ends[0], ends[1], config.space, psi)
    _write_way(generator, _along(way, config.change, config.frames), psi, config)
    if config.swaps:
        _write_swaps(generator, way, psi, config)
    shares = torch.linspace(0, 1, config.num).tolist()
    said = {"from": config.start, "to": config.end, "change": config.change, "space": config.space}
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
    generator = open_generator(config)
    latents = generator.sample_latents(1, config.seed, config.label)
    # The object itself was drawn from only the seed.
    drawn_from = int(np.random.SeedSequence([config.seed, 1]).generate_state(1)[0])
    varied = near(
        latents,
        config.num,
        geometry=config.strength if config.change != "texture" else 0.0,
        texture=config.strength if config.change != "geometry" else 0.0,
        generator=torch.Generator().manual_seed(drawn_from),
    )
    names = [f"{config.seed:06d}-{number:03d}" for number in range(config.num + 1)]
    changed: dict[str, Any] = {"of": config.seed, "strength": config.strength, "change": config.change}
    metadata = [{"seed": config.seed}] + [changed] * config.num
    psi = PSI if config.psi is None else config.psi
    return write_objects(generator, ShapeList(names, joined([latents, varied]), metadata, psi), config, console)


@dataclass(frozen=True)
class _Way:
    """From one shape to another, in Z or in W.

    Attributes:
        generator: the model.
        start: the one shape.
        end: the other, of the same class.
        space: where the way is.
        psi: truncation of the styles, of a way in W.
    """

    generator: Generator
    start: Latents
    end: Latents
    space: Literal["z", "w"]
    psi: float

    @torch.no_grad()
    def at(self, geometry: Float[Tensor, " s"], texture: Float[Tensor, " s"]) -> Latents | Styles:
        """Codes at shares of the way, for geometry and for texture."""
        if self.space == "z":
            return between(self.start, self.end, geometry, texture)
        a, b = (self.generator.styles(latents, self.psi) for latents in (self.start, self.end))
        down, right = (share.to(a.geometry)[:, None, None] for share in (geometry, texture))
        return Styles(torch.lerp(a.geometry, b.geometry, down), torch.lerp(a.texture, b.texture, right))


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
