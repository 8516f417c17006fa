"""New objects: `get3d generate`."""

from dataclasses import replace
from pathlib import Path

from rich.console import Console

from get3d.files import InputError
from get3d.gallery.config import GenerateConfig
from get3d.gallery.geometry import write_geometry
from get3d.gallery.objects import write_objects
from get3d.gallery.plan import Plan, of_seeds, read_plan
from get3d.gallery.settings import PSI, proved, set_grid
from get3d.generator import Generator
from get3d.ranks import joined
from get3d.storage import checksum

__all__ = ["GenerateConfig", "generate", "prove"]


def generate(config: GenerateConfig, console: Console) -> list[Path]:
    """Writes objects and returns their files.

    Textured ones have `contact-sheet.png`, `turntable.gif` and `shapes.json` beside them, bare ones points and
    `shapes.json`. Where the environment names several processes (as torchrun sets it), all of them call this, and share
    the objects.

    Raises:
        InputError: an option is out of its range, the model cannot be read, or the folder cannot be written to.
        RanksError: a process that works with this one is lost or hangs; names it.
    """
    with joined(config.ranks, config.device) as ranks:
        generator = ranks.alike(lambda: _opened(config), _weights)
        plan = ranks.alike(lambda: _plan(config, generator))
        ranks.alike(lambda: set_grid(generator, plan.grid))
        ranks.require_same(config.out)
        if config.geometry_only:
            return write_geometry(generator, plan, config, config.points, ranks.console(console), ranks)
        return write_objects(generator, plan, config, ranks.console(console), ranks)


def prove(config: GenerateConfig) -> None:
    """Sees to it that objects can be made as asked, as far as that can be told before processes are started.

    Raises:
        InputError: as `generate`.
    """
    _plan(config, _opened(replace(config, device="cpu")))


def _opened(config: GenerateConfig) -> Generator:
    return proved(config)


def _weights(generator: Generator) -> dict[str, str]:
    return {"a model of weights": checksum({name: value.cpu() for name, value in generator.state_dict().items()})}


def _plan(config: GenerateConfig, generator: Generator) -> Plan:
    if config.latents is None:
        psi = PSI if config.psi is None else config.psi
        plan = of_seeds(generator, config.num, config.seed, config.label, psi)
        return replace(plan, grid=config.grid)
    if config.label is not None:
        raise InputError("--label cannot be changed by --latents, which says the class of each shape; leave one out")
    plan = read_plan(config.latents, generator, config.psi)
    return replace(plan, grid=plan.grid if config.grid is None else config.grid)
