"""New objects: `get3d generate`."""

from dataclasses import dataclass
from pathlib import Path

from rich.console import Console

from get3d.files import InputError
from get3d.gallery.geometry import write_geometry
from get3d.gallery.objects import write_objects
from get3d.gallery.plan import Plan, of_seeds, read_plan
from get3d.gallery.settings import PSI, Settings, opened, require_ranges, set_grid
from get3d.generator import Generator

__all__ = ["GenerateConfig", "generate"]


@dataclass(frozen=True)
class GenerateConfig(Settings):
    """New objects from a model.

    Attributes:
        num: how many objects.
        seed: of the first object; the next has the next seed, so one seed is one shape, whatever their number.
        latents: a shapes.json: makes the shapes it records again, in place of --num, --seed and --label.
        geometry_only: only meshes without texture, and points on them: fast, and gone on with where it was stopped.
        points: points on each mesh with --geometry-only, evenly by area.
    """

    num: int = 8
    seed: int = 0
    latents: Path | None = None
    geometry_only: bool = False
    points: int = 2048


_RANGES = {"num": (1, 1_000_000), "seed": (0, 2**63 - 1_000_001), "points": (0, 10_000_000)}


def generate(config: GenerateConfig, console: Console) -> list[Path]:
    """Writes objects and returns their files.

    Textured ones have `contact-sheet.png`, `turntable.gif` and `shapes.json` beside them, bare ones points and
    `shapes.json`.

    Raises:
        InputError: an option is out of its range, the model cannot be read, or the folder cannot be written to.
    """
    require_ranges(config, _RANGES)
    generator = opened(config)
    plan = _plan(config, generator)
    if config.geometry_only:
        return write_geometry(generator, plan, config, config.points, console)
    return write_objects(generator, plan, config, console)


def _plan(config: GenerateConfig, generator: Generator) -> Plan:
    if config.latents is None:
        return of_seeds(generator, config.num, config.seed, config.label, PSI if config.psi is None else config.psi)
    if config.label is not None:
        raise InputError("--label cannot be changed by --latents, which says the class of each shape; leave one out")
    plan = read_plan(config.latents, generator)
    if config.grid is None:
        set_grid(generator, plan.grid)
    psi = plan.psi if config.psi is None else config.psi
    return Plan(plan.names, plan.latents, plan.facts, psi)
