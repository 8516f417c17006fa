"""The commands. Their options are made from the configuration classes of the rooms that do the work.

Each command imports its room when it runs, so that `--help` and the message for a mistyped option appear at once.
"""

import functools
import inspect
import os
import sys
from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, Any

import tyro

import get3d
from get3d import presets
from get3d.authoring.from_images.config import ImportConfig
from get3d.authoring.from_meshes.config import RenderConfig
from get3d.benchmarks.config import BenchConfig
from get3d.checkpoints.config import ModelsConfig, ReleaseConfig
from get3d.checkpoints.published_config import ConvertConfig
from get3d.console import end_quietly, prepare_process, print_json, terminal
from get3d.datasets.config import CheckConfig, PackConfig, SynthConfig
from get3d.distributed.config import RanksError
from get3d.evaluation.config import EvaluateConfig
from get3d.files import InputError
from get3d.fitting.config import FitConfig, ReconstructConfig
from get3d.flags import REGISTRY, errors_in_one_line
from get3d.generation.config import GenerateConfig, InterpolateConfig, VaryConfig
from get3d.ranges import require_ranges
from get3d.training.run_config import RunsConfig, TrainConfig
from get3d.viewer.config import ViewConfig

__all__ = ["main"]

_flat = tyro.conf.arg(name="")
_Presets = tyro.extras.subcommand_type_from_defaults(
    {name: preset.config for name, preset in presets.PRESETS.items()},
    {name: preset.description for name, preset in presets.PRESETS.items()},
    prefix_names=False,
)


@dataclass(frozen=True)
class Printing:
    """What a command prints.

    Attributes:
        quiet: print errors and warnings only.
    """

    quiet: Annotated[bool, tyro.conf.FlagCreatePairsOff] = False


_Printing = Annotated[Printing, _flat]


def synth(config: Annotated[SynthConfig, _flat], printing: _Printing) -> None:
    """Make a dataset of procedural objects: images, cameras and ground-truth meshes, free to use.

    Example: get3d synth chair --out data/chair --shapes 500 --resolution 64
    """
    from get3d.authoring import procedural

    procedural.synthesize(config, terminal(quiet=printing.quiet))


def render(config: Annotated[RenderConfig, _flat], printing: _Printing) -> None:
    """Make a dataset from 3D models. Models that cannot be used are reported and left out. Repeat to resume.

    Example: get3d render models/ --out data/mine --views 24 --resolution 64
    """
    from get3d.authoring.from_meshes import command
    from get3d.distributed import launcher

    console = terminal(quiet=printing.quiet)
    launcher.run(command.render_models, config, console, lambda: command.validate(config))


def import_(config: Annotated[ImportConfig, _flat], printing: _Printing) -> None:
    """Make a dataset from existing images and their cameras. What cannot be used is reported and left out.

    Example: get3d import photos/ --cameras transforms.json --out data/mine
    """
    from get3d.authoring.from_images import command

    command.import_images(config, terminal(quiet=printing.quiet))


def pack(config: Annotated[PackConfig, _flat], printing: _Printing) -> None:
    """Pack a dataset into tar files, for many images on network storage. Every command reads them like a folder.

    Example: get3d pack data/chair --out shards/chair
    """
    from get3d.datasets.pack import pack as pack_dataset

    pack_dataset(config, terminal(quiet=printing.quiet))


def check(config: Annotated[CheckConfig, _flat], printing: _Printing) -> None:
    """Read all files of a dataset and report what is wrong with each. Exit status 1: it cannot be used for training.

    Example: get3d check data/chair --report chair.html
    """
    from get3d.datasets.check import check as check_dataset
    from get3d.datasets.check import print_report
    from get3d.datasets.check_html import write_page

    console = terminal(quiet=printing.quiet)
    found = check_dataset(config.data, config.splits, None if config.json else console)
    if config.report is not None:
        write_page(found, config.report)
    if config.json:
        print_json(console, found.as_json())
    else:
        print_report(found, console)
    sys.exit(0 if found.usable else 1)


def train(config: Annotated[TrainConfig, _flat], printing: _Printing) -> None:
    """Train a generator on a dataset, starting from a preset whose settings can be overridden. Repeat to resume.

    Example: get3d train demo --data data/chair --out runs/chair
    """
    if config.dry_run:
        from get3d.training import dry_run

        dry_run.dry_run(config, terminal())
        return
    from get3d.distributed import launcher
    from get3d.training import loop
    from get3d.training.config import prepare_run

    console = terminal(quiet=printing.quiet)
    launcher.run(loop.train, config, console, lambda: prepare_run(config, config.ranks.processes), ends_well=True)


train.__annotations__["config"] = Annotated[_Presets, _flat]


def list_runs(config: Annotated[RunsConfig, _flat]) -> None:
    """List the training runs of a folder: progress, speed, metrics, and whether each is still running.

    Example: get3d runs runs
    """
    from get3d.training import runs

    runs.list_runs(config, terminal())


def generate(config: Annotated[GenerateConfig, _flat], printing: _Printing) -> None:
    """Make new textured meshes with a trained model, a contact sheet and a turntable.

    Example: get3d generate chair --num 8 --out chairs
    """
    from get3d.distributed import launcher
    from get3d.generation import generate as generation

    launcher.run(generation.generate, config, terminal(quiet=printing.quiet), lambda: generation.validate(config))


def interpolate(config: Annotated[InterpolateConfig, _flat], printing: _Printing) -> None:
    """Interpolate between two objects: meshes, a video, and a sheet of geometry × texture swaps.

    Example: get3d interpolate chair --from 3 --to 14 --out way
    """
    from get3d.generation import interpolation

    interpolation.interpolate(config, terminal(quiet=printing.quiet))


def vary(config: Annotated[VaryConfig, _flat], printing: _Printing) -> None:
    """Make variations of an object: of its geometry, its texture or both.

    Example: get3d vary chair --seed 3 --strength 0.3 --out like-3
    """
    from get3d.generation import interpolation

    interpolation.vary(config, terminal(quiet=printing.quiet))


def fit(config: Annotated[FitConfig, _flat], printing: _Printing) -> None:
    """Fit an object of a model to one or several images of it, with or without their cameras.

    Example: get3d fit chair photo.png --mask mask.png --out mine
    """
    from get3d.fitting import fit as fitting

    fitting.fit(config, terminal(quiet=printing.quiet))


def reconstruct(config: Annotated[ReconstructConfig, _flat], printing: _Printing) -> None:
    """Make a textured mesh of one object from many images with cameras, without a model. Repeat to resume.

    Example: get3d reconstruct data/mine --object shoe --out shoe
    """
    from get3d.fitting import reconstruct as reconstruction

    reconstruction.reconstruct(config, terminal(quiet=printing.quiet))


def view(config: Annotated[ViewConfig, _flat], printing: _Printing) -> None:
    """Open a live page on a model (sliders, variations, save), a dataset (images, cameras, meshes) or mesh files.

    Example: get3d view chair
    """
    from get3d.viewer import command

    command.view(config, terminal(quiet=printing.quiet))


def models(config: Annotated[ModelsConfig, _flat]) -> None:
    """List the bundled models. Every command accepts their names.

    Example: get3d models
    """
    from get3d.checkpoints.release import list_models

    list_models(config, terminal())


def release(config: Annotated[ReleaseConfig, _flat], printing: _Printing) -> None:
    """Write a model to share: only the averaged (EMA) generator, without what only training needs.

    Example: get3d release runs/chair --out chair --title "office chairs" --licence CC-BY-4.0
    """
    from get3d.checkpoints.release import release as release_model

    release_model(config, terminal(quiet=printing.quiet))


def convert(config: Annotated[ConvertConfig, _flat], printing: _Printing) -> None:
    """Convert a published checkpoint to a get3d model, or back. Nothing in the file is executed.

    Example: get3d convert shapenet_car.pt --class car --out car
    """
    from get3d.checkpoints import published

    require_ranges(config)
    if config.to_published:
        published.convert_back(config.file, config.out)
        written = config.out
    else:
        written = published.convert(config.file, config.out, config.kind, config.grid, config.grid_size)
    terminal(quiet=printing.quiet).print(f"{written}: written", soft_wrap=True)


def evaluate(config: Annotated[EvaluateConfig, _flat], printing: _Printing) -> None:
    """Compare models with a dataset (shapes, images, meshes, variety): a table, report.json and report.html.

    Example: get3d evaluate runs/chair --data data/chair --out evaluation
    """
    from get3d.distributed import launcher
    from get3d.evaluation import report

    launcher.run(report.evaluate, config, terminal(quiet=printing.quiet), lambda: report.validate(config))


def benchmark(config: Annotated[BenchConfig, _flat], printing: _Printing) -> None:
    """Time each stage of a training step and of generation, compared with slow, plain references in the same run.

    Example: get3d bench --repeats 3
    """
    from get3d.benchmarks import command

    command.run(config, terminal(quiet=printing.quiet))


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
    "fit": fit,
    "reconstruct": reconstruct,
    "view": view,
    "models": models,
    "release": release,
    "convert": convert,
    "evaluate": evaluate,
    "bench": benchmark,
}

_RESUMABLE = ("synth", "render", "pack", "train", "evaluate", "reconstruct")
"""Commands that resume where they stopped."""


def main() -> None:
    """Runs a command.

    Exit status: 2 for bad input, with one line that explains it; 1 for failed training; 130 for Ctrl-C; 141 if the
    reader of the output has closed it, as in a shell.
    """
    prepare_process()
    try:
        try:
            _run()
        finally:
            sys.stdout.flush()
    except BrokenPipeError:
        end_quietly()
        sys.exit(141)
    except InputError as error:
        sys.stderr.write(f"error: {error}\n")
        sys.exit(2)
    except (FloatingPointError, RanksError) as error:
        sys.stderr.write(f"error: {error}\n")
        sys.exit(1)
    except KeyboardInterrupt as stopped:
        again = "; repeat the command to resume" if sys.argv[1:2] and sys.argv[1] in _RESUMABLE else ""
        # Of several processes, only the first one prints it.
        if os.environ.get("RANK", "0") == "0":
            sys.stderr.write(f"{str(stopped) or f'stopped{again}'}\n")
        sys.exit(130)


def _in_short(command: Callable[..., Any]) -> Callable[..., Any]:
    """A command for the list of commands: without its example."""

    @functools.wraps(command)
    def called(*arguments: Any, **options: Any) -> Any:
        return command(*arguments, **options)

    called.__doc__ = (inspect.getdoc(command) or "").partition("\n\n")[0]
    return called


def _run() -> None:
    if sys.argv[1:] == ["--version"]:
        sys.stdout.write(f"get3d {get3d.__version__}\n")
        return
    command = COMMANDS.get(sys.argv[1]) if sys.argv[1:] else None
    if command is None and sys.argv[1:] and not sys.argv[1].startswith("-"):
        raise InputError(f"{sys.argv[1]}: no such command; give one of {', '.join(COMMANDS)}")
    if command is train and sys.argv[2:] and not sys.argv[2].startswith("-") and sys.argv[2] not in presets.PRESETS:
        raise InputError(f"{sys.argv[2]}: no such preset; give one of {', '.join(presets.PRESETS)}")
    _, _, example = (inspect.getdoc(command or generate) or "").partition("Example: ")
    with errors_in_one_line(example):
        tyro.extras.subcommand_cli_from_dict(
            COMMANDS if command else {name: _in_short(each) for name, each in COMMANDS.items()},
            prog="get3d",
            description="Learns from images of objects of one kind, and makes new textured 3D meshes. "
            "`get3d COMMAND --help` explains a command. `get3d --version` prints the version.",
            registry=REGISTRY,
        )
