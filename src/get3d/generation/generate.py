"""New objects: `get3d generate`."""

from dataclasses import replace
from pathlib import Path

from rich.console import Console

from get3d.distributed.processes import joined
from get3d.files import InputError
from get3d.generation.config import GenerateConfig
from get3d.generation.geometry import BARE_FORMATS, write_geometry
from get3d.generation.objects import write_objects
from get3d.generation.settings import PSI, set_grid, validated_generator
from get3d.generation.shape_list import ShapeList, of_seeds, of_training_objects, read_shape_list
from get3d.generator import Generator
from get3d.storage import checksum

__all__ = ["GenerateConfig", "generate", "validate"]


def generate(config: GenerateConfig, console: Console) -> list[Path]:
    """Writes objects and returns their files.

    Textured objects come with `contact-sheet.png`, `turntable.gif` and `shapes.json`, meshes without texture with
    points and `shapes.json`. If the environment names several processes (as torchrun sets it), all of them call this
    function, and divide the objects.

    Raises:
        InputError: an option is out of range, the model cannot be read, or the folder cannot be written to.
        RanksError: another process is lost or hangs; the message names it.
    """
    with joined(config.ranks, config.device) as ranks:
        generator = ranks.require_agreement(lambda: _opened(config), _weights)
        shape_list = ranks.require_agreement(lambda: _shape_list(config, generator))
        ranks.require_agreement(lambda: set_grid(generator, shape_list.grid))
        ranks.require_same(config.out)
        if config.geometry_only:
            return write_geometry(generator, shape_list, config, config.points, ranks.console(console), ranks)
        return write_objects(generator, shape_list, config, ranks.console(console), ranks)


def validate(config: GenerateConfig) -> None:
    """Checks whether the objects can be made, as far as possible before processes are started.

    Raises:
        InputError: as `generate`.
    """
    _shape_list(config, _opened(replace(config, device="cpu")))


def _opened(config: GenerateConfig) -> Generator:
    if config.geometry_only and config.format not in BARE_FORMATS:
        raise InputError(
            f"--format {config.format}: meshes without texture are {' or '.join(BARE_FORMATS)}; use one of these"
        )
    return validated_generator(config)


def _weights(generator: Generator) -> dict[str, str]:
    return {"a model of weights": checksum({name: value.cpu() for name, value in generator.state_dict().items()})}


def _of_objects(config: GenerateConfig, generator: Generator) -> ShapeList:
    if config.latents is not None or config.label is not None or config.psi is not None:
        raise InputError("--training-object has no use for --latents, --label and --psi; leave them out")
    shape_list = of_training_objects(generator, config.model, config.training_object)
    return replace(shape_list, grid=config.grid)


def _shape_list(config: GenerateConfig, generator: Generator) -> ShapeList:
    if config.training_object:
        return _of_objects(config, generator)
    if config.latents is None:
        psi = PSI if config.psi is None else config.psi
        shape_list = of_seeds(generator, config.num, config.seed, config.label, psi)
        return replace(shape_list, grid=config.grid)
    if config.label is not None:
        raise InputError("--label cannot be combined with --latents, which has the class of each shape; leave one out")
    shape_list = read_shape_list(config.latents, generator, config.psi)
    return replace(shape_list, grid=shape_list.grid if config.grid is None else config.grid)
