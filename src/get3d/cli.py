"""The commands. Flags come from the configurations of the rooms that do the work; there is no logic in here."""

import sys
from collections.abc import Callable
from typing import Annotated, Any

import tyro
from rich.console import Console

from get3d import benchmarks as bench
from get3d import generation, presets
from get3d.authoring import from_images as importing
from get3d.authoring import procedural
from get3d.authoring.from_meshes import command as rendering
from get3d.authoring.from_meshes.config import RenderConfig
from get3d.checkpoints import published
from get3d.datasets import check as checking
from get3d.datasets import check_html as check_page
from get3d.datasets import pack as packing
from get3d.distributed import launcher
from get3d.distributed.processes import RanksError
from get3d.evaluation import report
from get3d.files import InputError
from get3d.ranges import require_ranges
from get3d.training import loop, runs
from get3d.training.config import TrainConfig, prepare_run

__all__ = ["main"]

_console = Console()
_flat = tyro.conf.arg(name="")
_Presets = tyro.extras.subcommand_type_from_defaults(
    {name: preset.config for name, preset in presets.PRESETS.items()},
    {name: preset.description for name, preset in presets.PRESETS.items()},
    prefix_names=False,
)


def synth(config: Annotated[procedural.SynthConfig, _flat]) -> None:
    """Make a dataset of procedural objects: images, cameras and ground-truth meshes, free to use."""
    procedural.synthesize(config, _console)


def render(config: Annotated[RenderConfig, _flat]) -> None:
    """Make a dataset of 3D models that you have; each that cannot be used is left out and named. Repeat to go on."""
    launcher.run(rendering.render_models, config, _console, lambda: rendering.validate(config))


def import_(config: Annotated[importing.ImportConfig, _flat]) -> None:
    """Make a dataset of images that you have, with their cameras; what cannot be used is left out and named."""
    importing.import_images(config, _console)


def pack(config: Annotated[packing.PackConfig, _flat]) -> None:
    """Pack a dataset into tar shards, for many images on network storage; every command reads them like a folder."""
    packing.pack(config, _console)


def check(config: Annotated[checking.CheckConfig, _flat]) -> None:
    """Read a whole dataset and say what is wrong with each file; exits with 1 when it cannot be trained on."""
    found = checking.check(config.data, config.splits, _console)
    if config.report is not None:
        check_page.write_page(found, config.report)
    _console.print(str(found), highlight=False, soft_wrap=True)
    sys.exit(0 if found.usable else 1)


def train(config: Annotated[TrainConfig, _flat]) -> None:
    """Train a generator on a dataset, from a preset; any field of it can be overridden. Repeat the command to go on."""
    launcher.run(loop.train, config, _console, lambda: prepare_run(config, config.ranks.processes), ends_well=True)


train.__annotations__["config"] = Annotated[_Presets, _flat]


def list_runs(config: Annotated[runs.RunsConfig, _flat]) -> None:
    """List the training runs of a folder: how far, how fast and how good each is, and whether it still goes on."""
    runs.list_runs(config, _console)


def generate(config: Annotated[generation.GenerateConfig, _flat]) -> None:
    """Make new textured meshes with a trained model, with a contact sheet and a turntable."""
    launcher.run(generation.generate, config, _console, lambda: generation.validate(config))


def interpolate(config: Annotated[generation.InterpolateConfig, _flat]) -> None:
    """Make the way from one object to another: meshes, a video, and a sheet of geometry × texture swaps."""
    generation.interpolate(config, _console)


def vary(config: Annotated[generation.VaryConfig, _flat]) -> None:
    """Make variations of an object, of its geometry, its texture or both."""
    generation.vary(config, _console)


def models() -> None:
    """List the models that come with the package, which every command takes by name."""
    generation.list_models(_console)


def release(config: Annotated[generation.ReleaseConfig, _flat]) -> None:
    """Write a model to share: the averaged generator by itself, without what only training needs."""
    generation.release(config, _console)


def convert(config: Annotated[published.ConvertConfig, _flat]) -> None:
    """Make one of our models of a published checkpoint (nothing in it is executed), or the way back."""
    require_ranges(config)
    if config.to_published:
        published.convert_back(config.file, config.out)
    else:
        published.convert(config.file, config.out, config.kind, config.grid)
    _console.print(f"{config.out}: written", highlight=False)


def evaluate(config: Annotated[report.EvaluateConfig, _flat]) -> None:
    """Compare models with a dataset: shapes, images, meshes, variety; a table, report.json and report.html."""
    launcher.run(report.evaluate, config, _console, lambda: report.validate(config))


def benchmark(config: Annotated[bench.BenchConfig, _flat]) -> None:
    """Time each stage of a training step and of generation beside slow, plain references, in one run."""
    bench.run(config, _console)


COMMANDS: dict[str, Callable[..., Any]] = {
    "synth": synth,
    "render": render,
    "import": import_,
    "pack": pack,
    "check": check,
    "train": train,
    "runs": list_runs,
    "generate": generate,
    "interpolate": interpolate,
    "vary": vary,
    "models": models,
    "release": release,
    "convert": convert,
    "evaluate": evaluate,
    "bench": benchmark,
}


def main() -> None:
    """Runs a command; bad input ends with one clear line and exit status 2, training that failed with status 1."""
    try:
        tyro.extras.subcommand_cli_from_dict(
            COMMANDS,
            prog="get3d",
            description="Learn from images of objects of one kind to make new textured 3D meshes.",
        )
    except InputError as error:
        sys.stderr.write(f"error: {error}\n")
        sys.exit(2)
    except (FloatingPointError, RanksError) as error:
        sys.stderr.write(f"error: {error}\n")
        sys.exit(1)
