"""The ways from one object to another, and what lies around one: `get3d interpolate` and `get3d vary`."""

from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import UInt8
from PIL import Image
from rich.console import Console
from torch import Tensor

from get3d.files import InputError, writing
from get3d.gallery.config import Code, InterpolateConfig, VaryConfig
from get3d.gallery.film import seen_from, sheet, write_film, write_sheet
from get3d.gallery.objects import made_together, shapes_of, write_objects
from get3d.gallery.plan import Plan
from get3d.gallery.settings import PSI, Settings, opened, require_ranges
from get3d.generator import Generator
from get3d.latents import Latents, between, joined, near

__all__ = ["InterpolateConfig", "VaryConfig", "interpolate", "vary"]


_SEEDS = (0, 2**63 - 1)


def interpolate(config: InterpolateConfig, console: Console) -> list[Path]:
    """Writes objects on the way from one to another and returns their files.

    Beside them lie `way.gif` with its pictures in `frames/`, `swaps.png`, `contact-sheet.png`, `turntable.gif` and
    `shapes.json`.

    Raises:
        InputError: an option is out of its range, the seeds are of different classes, the model cannot be read, or the
            folder cannot be written to.
    """
    require_ranges(config, {"start": _SEEDS, "end": _SEEDS, "num": (2, 1000), "frames": (2, 10_000), "swaps": (0, 20)})
    generator = opened(config)
    ends = [generator.sample_latents(1, seed, config.label) for seed in (config.start, config.end)]
    labels = [None if end.label is None else generator.config.classes[int(end.label)] for end in ends]
    if labels[0] != labels[1]:
        raise InputError(
            f"--from {config.start} is of the class {labels[0]}, --to {config.end} of the class {labels[1]}, "
            f"and there is nothing between classes; make both of one with --label {labels[0]}"
        )
    psi = PSI if config.psi is None else config.psi
    files = _write_way(generator, _along(ends, config.change, config.frames), psi, config)
    if config.swaps:
        files.append(_write_swaps(generator, ends, psi, config))
    shares = torch.linspace(0, 1, config.num).tolist()
    facts = [{"from": config.start, "to": config.end, "change": config.change, "share": share} for share in shares]
    plan = Plan([f"{number:03d}" for number in range(config.num)], _along(ends, config.change, config.num), facts, psi)
    return write_objects(generator, plan, config, console, also=files)


def vary(config: VaryConfig, console: Console) -> list[Path]:
    """Writes an object and variations of it, and returns their files.

    Beside them lie `contact-sheet.png`, `turntable.gif` and `shapes.json`.

    Raises:
        InputError: an option is out of its range, the model cannot be read, or the folder cannot be written to.
    """
    require_ranges(config, {"seed": _SEEDS, "strength": (0.0, 1.0), "num": (1, 1000)})
    generator = opened(config)
    latents = generator.sample_latents(1, config.seed, config.label)
    # The object itself was drawn from the seed alone.
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
    facts = [{"seed": config.seed}] + [changed] * config.num
    psi = PSI if config.psi is None else config.psi
    return write_objects(generator, Plan(names, joined([latents, varied]), facts, psi), config, console)


def _along(ends: list[Latents], change: Code, count: int) -> Latents:
    """Evenly spaced latents from one end to the other."""
    share, still = torch.linspace(0, 1, count), torch.zeros(count)
    start, end = ends
    return between(start, end, share if change != "texture" else still, share if change != "geometry" else still)


def _write_way(generator: Generator, latents: Latents, psi: float, config: InterpolateConfig) -> list[str]:
    """Writes the pictures of a way and their film, and names them."""
    pictures = _pictures(generator, latents, psi, config)
    for number, picture in enumerate(pictures):
        with writing(config.out / "frames" / f"{number:04d}.png") as temporary:
            sheet(picture[None], columns=1).save(temporary)
    if config.film != "none":
        there = [sheet(picture[None], columns=1) for picture in pictures]
        back: list[Image.Image] = there[-2:0:-1]
        write_film(config.out / f"way.{config.film}", [*there, *back])
        return [f"way.{config.film}", "frames/"]
    return ["frames/"]


def _write_swaps(generator: Generator, ends: list[Latents], psi: float, config: InterpolateConfig) -> str:
    share = torch.linspace(0, 1, config.swaps) if config.swaps > 1 else torch.zeros(1)
    down, right = share.repeat_interleave(config.swaps), share.repeat(config.swaps)
    pictures = _pictures(generator, between(ends[0], ends[1], down, right), psi, config)
    write_sheet(config.out / "swaps.png", pictures, config.swaps)
    return "swaps.png"


def _pictures(generator: Generator, latents: Latents, psi: float, config: Settings) -> UInt8[Tensor, "n 3 r r"]:
    plan = Plan([""] * len(latents), latents, [{}] * len(latents), psi)
    parts = [shapes_of(generator, plan, part, config.debris) for part in made_together(generator, len(latents))]
    return torch.cat([seen_from(generator, shapes, config.resolution) for shapes in parts])
