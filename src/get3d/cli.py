"""The commands. Flags come from the configurations of the rooms that do the work; there is no logic in here.

Each command imports its room when it runs, so that help and a mistyped option are answered at once.
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
from get3d.flags import REGISTRY, missing_in_one_line
from get3d.generation.config import GenerateConfig, InterpolateConfig, VaryConfig
from get3d.ranges import require_ranges
from get3d.training.run_config import RunsConfig, TrainConfig

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
        quiet: print nothing but errors and warnings.
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
    """Make a dataset of 3D models that you have; each that cannot be used is left out and named. Repeat to go on.

    Example: get3d render models/ --out data/mine --views 24 --resolution 64
    """
    from get3d.authoring.from_meshes import command
    from get3d.distributed import launcher

    console = terminal(quiet=printing.quiet)
    launcher.run(command.render_models, config, console, lambda: command.validate(config))


def import_(config: Annotated[ImportConfig, _flat], printing: _Printing) -> None:
    """Make a dataset of images that you have, with their cameras; what cannot be used is left out and named.

    Example: get3d import photos/ --cameras transforms.json --out data/mine
    """
    from get3d.authoring.from_images import command

    command.import_images(config, terminal(quiet=printing.quiet))


def pack(config: Annotated[PackConfig, _flat], printing: _Printing) -> None:
    """Pack a dataset into tar shards, for many images on network storage; every command reads them like a folder.

    Example: get3d pack data/chair --out shards/chair
    """
    from get3d.datasets import pack as packing

    packing.pack(config, terminal(quiet=printing.quiet))


def check(config: Annotated[CheckConfig, _flat], printing: _Printing) -> None:
    """Read a whole dataset and say what is wrong with each file; exits with 1 when it cannot be trained on.

    Example: get3d check data/chair --report chair.html
    """
    from get3d.datasets import check as checking
    from get3d.datasets import check_html as check_page

    console = terminal(quiet=printing.quiet)
    found = checking.check(config.data, config.splits, None if config.json else console)
    if config.report is not None:
        check_page.write_page(found, config.report)
    if config.json:
        print_json(console, found.as_json())
    else:
        checking.print_report(found, console)
    sys.exit(0 if found.usable else 1)


def train(config: Annotated[TrainConfig, _flat], printing: _Printing) -> None:
    """Train a generator on a dataset, from a preset; any field of it can be overridden. Repeat the command to go on.

    Example: get3d train demo --data data/chair --out runs/chair
    """
    from get3d.distributed import launcher
    from get3d.training import loop
    from get3d.training.config import prepare_run

    console = terminal(quiet=printing.quiet)
    launcher.run(loop.train, config, console, lambda: prepare_run(config, config.ranks.processes), ends_well=True)


train.__annotations__["config"] = Annotated[_Presets, _flat]


def list_runs(config: Annotated[RunsConfig, _flat]) -> None:
    """List the training runs of a folder: how far, how fast and how good each is, and whether it still goes on.

    Example: get3d runs runs
    """
    from get3d.training import runs

    runs.list_runs(config, terminal())


def generate(config: Annotated[GenerateConfig, _flat], printing: _Printing) -> None:
    """Make new textured meshes with a trained model, with a contact sheet and a turntable.

    Example: get3d generate chair --num 8 --out chairs
    """
    from get3d.distributed import launcher
    from get3d.generation import generate as making

    launcher.run(making.generate, config, terminal(quiet=printing.quiet), lambda: making.validate(config))


def interpolate(config: Annotated[InterpolateConfig, _flat], printing: _Printing) -> None:
    """Make the way from one object to another: meshes, a video, and a sheet of geometry × texture swaps.

    Example: get3d interpolate chair --from 3 --to 14 --out way
    """
    from get3d.generation import interpolation as walks

    walks.interpolate(config, terminal(quiet=printing.quiet))


def vary(config: Annotated[VaryConfig, _flat], printing: _Printing) -> None:
    """Make variations of an object, of its geometry, its texture or both.

    Example: get3d vary chair --seed 3 --strength 0.3 --out like-3
    """
    from get3d.generation import interpolation as walks

    walks.vary(config, terminal(quiet=printing.quiet))


def models(config: Annotated[ModelsConfig, _flat]) -> None:
    """List the models that come with the package, which every command takes by name.

    Example: get3d models
    """
    from get3d.checkpoints import release as releasing

    releasing.list_models(config, terminal())


def release(config: Annotated[ReleaseConfig, _flat], printing: _Printing) -> None:
    """Write a model to share: the averaged generator by itself, without what only training needs.

    Example: get3d release runs/chair --out chair --title "office chairs" --licence CC-BY-4.0
    """
    from get3d.checkpoints import release as releasing

    releasing.release(config, terminal(quiet=printing.quiet))


def convert(config: Annotated[ConvertConfig, _flat], printing: _Printing) -> None:
    """Make one of our models of a published checkpoint (nothing in it is executed), or the way back.

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
    """Compare models with a dataset: shapes, images, meshes, variety; a table, report.json and report.html.

    Example: get3d evaluate runs/chair --data data/chair --out evaluation
    """
    from get3d.distributed import launcher
    from get3d.evaluation import report

    launcher.run(report.evaluate, config, terminal(quiet=printing.quiet), lambda: report.validate(config))


def benchmark(config: Annotated[BenchConfig, _flat], printing: _Printing) -> None:
    """Time each stage of a training step and of generation beside slow, plain references, in one run.

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
    "models": models,
    "release": release,
    "convert": convert,
    "evaluate": evaluate,
    "bench": benchmark,
}

_GO_ON = ("synth", "render", "pack", "train", "evaluate")
"""Commands that keep what they have done, and go on with it."""


def main() -> None:
    """Runs a command.

    Bad input ends with one clear line and exit status 2, training that failed with status 1, Ctrl-C with status 130,
    and an output that nobody reads on with status 141, as the shell has it.
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
        again = "; repeat the command to resume" if sys.argv[1:2] and sys.argv[1] in _GO_ON else ""
        # Of processes that torchrun started, the first one says it.
        if os.environ.get("RANK", "0") == "0":
            sys.stderr.write(f"{str(stopped) or f'stopped{again}'}\n")
        sys.exit(130)


def _in_short(command: Callable[..., Any]) -> Callable[..., Any]:
    """A command as the list of commands has it: without its example."""

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
    _, _, example = (inspect.getdoc(command or generate) or "").partition("Example: ")
    with missing_in_one_line(example):
        tyro.extras.subcommand_cli_from_dict(
            COMMANDS if command else {name: _in_short(each) for name, each in COMMANDS.items()},
            prog="get3d",
            description="Learn from images of objects of one kind to make new textured 3D meshes. "
            "`get3d COMMAND --help` explains a command, `get3d --version` tells the version.",
            registry=REGISTRY,
        )
