"""The commands. Flags come from the configurations of the rooms that do the work; there is no logic in here."""

import json
import sys
from collections.abc import Callable
from typing import Annotated, Any

import tyro
from rich.console import Console

from get3d import bench, gallery, launching, official, presets
from get3d.data import check as checking
from get3d.data import check_page, importing, procedural
from get3d.data import pack as packing
from get3d.data.assets import command as rendering
from get3d.data.assets.config import RenderConfig
from get3d.files import InputError
from get3d.metrics import report
from get3d.ranges import require_ranges
from get3d.ranks import RanksError
from get3d.training import loop, runs
from get3d.training.config import TrainConfig, opened

__all__ = ["main"]

_console = Console()
_flat = tyro.conf.arg(name="")
_Presets = tyro.extras.subcommand_type_from_defaults(
    {name: preset.config for name, preset in presets.PRESETS.items()},
    {name: preset.description for name, preset in presets.PRESETS.items()},
    prefix_names=False,
)


def synth(config: Annotated[procedural.SynthConfig, _flat]) -> None:
    """Make a dataset of procedural objects: pictures, cameras and ground-truth meshes, free to use."""
    procedural.synthesize(config, _console)


def render(config: Annotated[RenderConfig, _flat]) -> None:
    """Make a dataset of 3D models that you have; each that cannot be used is left out and named. Repeat to go on."""
    launching.run(rendering.render_models, config, _console, lambda: rendering.prove(config))


def import_(config: Annotated[importing.ImportConfig, _flat]) -> None:
    """Make a dataset of pictures that you have, with their cameras; what cannot be used is left out and named."""
    importing.import_pictures(config, _console)


def pack(config: Annotated[packing.PackConfig, _flat]) -> None:
    """Pack a dataset into tar shards, for many pictures on network storage; every command reads them like a folder."""
    packing.pack(config, _console)


def check(config: Annotated[checking.CheckConfig, _flat]) -> None:
    """Read a whole dataset and say what is wrong with each file; exits with 1 when it cannot be trained on."""
    found = checking.check(config.data, config.splits, None if config.json else _console)
    if config.report is not None:
        check_page.write_page(found, config.report)
    if config.json:
        sys.stdout.write(json.dumps(found.as_json(), indent=1, allow_nan=False) + "\n")
    else:
        checking.print_report(found, _console)
    sys.exit(0 if found.usable else 1)


def train(config: Annotated[TrainConfig, _flat]) -> None:
    """Train a generator on a dataset, from a preset; any field of it can be overridden. Repeat the command to go on."""
    launching.run(loop.train, config, _console, lambda: opened(config, config.ranks.processes), ends_well=True)


train.__annotations__["config"] = Annotated[_Presets, _flat]


def list_runs(config: Annotated[runs.RunsConfig, _flat]) -> None:
    """List the training runs of a folder: how far, how fast and how good each is, and whether it still goes on."""
    runs.list_runs(config, _console)


def generate(config: Annotated[gallery.GenerateConfig, _flat]) -> None:
    """Make new textured meshes with a trained model, with a contact sheet and a turntable."""
    launching.run(gallery.generate, config, _console, lambda: gallery.prove(config))


def interpolate(config: Annotated[gallery.InterpolateConfig, _flat]) -> None:
    """Make the way from one object to another: meshes, a film, and a sheet of geometry × texture swaps."""
    gallery.interpolate(config, _console)


def vary(config: Annotated[gallery.VaryConfig, _flat]) -> None:
    """Make variations of an object, of its geometry, its texture or both."""
    gallery.vary(config, _console)


def models() -> None:
    """List the models that come with the package, which every command takes by name."""
    gallery.list_models(_console)


def release(config: Annotated[gallery.ReleaseConfig, _flat]) -> None:
    """Write a model to share: the averaged generator by itself, without what only training needs."""
    gallery.release(config, _console)


def convert(config: Annotated[official.ConvertConfig, _flat]) -> None:
    """Make one of our models of a published checkpoint (nothing in it is executed), or the way back."""
    require_ranges(config)
    if config.to_published:
        official.convert_back(config.file, config.out)
    else:
        official.convert(config.file, config.out, config.kind, config.grid, config.grid_size)
    _console.print(f"{config.out}: written", highlight=False)


def evaluate(config: Annotated[report.EvaluateConfig, _flat]) -> None:
    """Compare models with a dataset: shapes, pictures, meshes, variety; a table, report.json and report.html."""
    launching.run(report.evaluate, config, _console, lambda: report.prove(config))


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
            description="Learn from pictures of objects of one kind to make new textured 3D meshes.",
        )
    except InputError as error:
        sys.stderr.write(f"error: {error}\n")
        sys.exit(2)
    except (FloatingPointError, RanksError) as error:
        sys.stderr.write(f"error: {error}\n")
        sys.exit(1)
