"""Help tells the truth, and answers before anything heavy is imported."""

import ast
import importlib
import inspect
import shlex
import shutil
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated

import pytest
import tyro

import get3d
from get3d import cli
from get3d.flags import REGISTRY
from get3d.options import Option

SOURCE = Path(cli.__file__).parent
HEAVY = ("torch", "warp", "trimesh", "numpy", "scipy", "PIL", "jaxtyping", "tensorboard")

QUICK = """
import sys
from contextlib import suppress

def loaded():
    return sorted(set({heavy!r}) & set(sys.modules))

import get3d
print("import", loaded() or "nothing")
from get3d import cli
commands = (
    ["--help"], ["--version"], ["fly"], ["train", "--help"], ["train", "demo", "--typo"], ["train", "demo", "--help"],
    *([command, "--typo"] for command in cli.COMMANDS),
)
for command in commands:
    sys.argv = ["get3d", *command]
    with suppress(SystemExit):
        cli.main()
    print("after", command, loaded() or "nothing", flush=True)
"""


def test_nothing_heavy_is_imported_for_help_the_version_and_mistyped_options():
    code = QUICK.format(heavy=HEAVY)
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    lines = [line for line in done.stdout.splitlines() if line.startswith(("import ", "after "))]
    assert len(lines) == 7 + len(cli.COMMANDS)
    assert all(line.endswith(" nothing") for line in lines), lines
    assert f"get3d {get3d.__version__}" in done.stdout


@pytest.mark.slow
@pytest.mark.parametrize(
    "package", ["get3d", "get3d.networks", "get3d.metrics", "get3d.benchmarks", "get3d.authoring.from_images"]
)
def test_what_a_package_names_is_there(package):
    module = importlib.import_module(package)
    stub = ast.parse(Path(module.__file__).with_suffix(".pyi").read_text())
    names = [name.asname for node in stub.body if isinstance(node, ast.ImportFrom) for name in node.names]
    assert sorted(module.__all__) == sorted(names)
    for name in names:
        assert getattr(module, name) is not None
    with pytest.raises(AttributeError):
        _ = module.nothing


@dataclass(frozen=True)
class _Inner:
    """Angles.

    Attributes:
        fov: in degrees,
            of the lens.
    """

    fov: float = 49.13434264120262


@dataclass(frozen=True)
class _Base:
    """What all have.

    Attributes:
        model: what to read.
        rate: how fast.
        psi: truncation.
        out: where to.
    """

    model: Annotated[str, Option(positional="MODEL")]
    rate: float = 0.002
    psi: Annotated[float | None, Option(default="0.7")] = None
    out: Annotated[Path, Option(common=True)] = Path("out")


@dataclass(frozen=True)
class _Config(_Base):
    """Something.

    Attributes:
        start: the first.
        limit: of objects.
        inner: more.
        secret: cannot be given.
    """

    start: Annotated[int, Option(flag="from", aliases=("--begin",))] = 1
    limit: int | None = None
    inner: _Inner = field(default_factory=_Inner)
    secret: Annotated[int, Option(hidden=True)] = 5


for _each in (_Inner, _Base, _Config):
    _each.__module__ = "get3d.test"
    sys.modules.setdefault("get3d.test", sys.modules[__name__])


def _parsed(*arguments):
    return tyro.cli(_Config, args=arguments, registry=REGISTRY)


def _helped(capsys, *arguments):
    with pytest.raises(SystemExit):
        _parsed(*arguments, "--help")
    return " ".join(capsys.readouterr().out.replace("│", " ").split())


def test_options_are_called_and_described_as_their_fields_say(capsys):
    shown = _helped(capsys)
    assert "MODEL what to read. (required)" in shown
    assert "--psi FLOAT truncation. (default: 0.7)" in shown
    assert "--limit INT of objects. (optional)" in shown
    assert "--rate FLOAT how fast. (default: 0.002)" in shown
    assert "--inner.fov FLOAT in degrees, of the lens. (default: 49.13)" in shown
    assert "--begin INT, --from INT the first. (default: 1)" in shown
    assert "secret" not in shown
    assert shown.index("--out") < shown.index("--rate")


def test_options_are_read_into_their_fields():
    assert _parsed("m") == _Config("m")
    config = _parsed("m", "--psi", "1", "--begin", "3", "--limit", "4", "--inner.fov", "50", "--out", "a b")
    assert config == _Config("m", psi=1.0, start=3, limit=4, inner=_Inner(50.0), out=Path("a b"))


@pytest.mark.parametrize("command", [name for name in cli.COMMANDS if name != "train"])
def test_help_of_a_command_has_an_example_and_no_python(monkeypatch, capsys, command):
    monkeypatch.setattr(sys, "argv", ["get3d", command, "--help"])
    with pytest.raises(SystemExit) as end:
        cli.main()
    assert not end.value.code
    shown = capsys.readouterr().out
    assert f"Example: get3d {command} " in shown or f"Example: get3d {command}\n" in shown
    assert "(default: None)" not in shown
    assert "config." not in shown


def test_examples_are_commands_that_can_be_typed(monkeypatch, capsys):
    """Each is parsed; what would run it is replaced."""
    for name, command in cli.COMMANDS.items():
        example = inspect.getdoc(command).partition("Example: get3d ")[2].splitlines()[0]
        arguments = shlex.split(example)
        assert arguments[0] == name
        done = []

        def record(*given, _done=done, **options):
            _done.append((given, options))

        record.__doc__, record.__annotations__ = command.__doc__, {}
        record.__signature__ = inspect.signature(command)
        record.__annotations__ = command.__annotations__
        tyro.extras.subcommand_cli_from_dict({name: record, "x": lambda: None}, args=arguments, registry=REGISTRY)
        assert len(done) == 1


@pytest.mark.skipif(shutil.which("bash") is None, reason="needs bash")
def test_bash_completes_commands_presets_and_options(tmp_path):
    """The script of the README, in a real shell."""
    script = tmp_path / "get3d"
    with script.open("w") as file:
        command = (sys.executable, "-m", "get3d", "--tyro-print-completion", "bash")
        subprocess.run(command, stdout=file, check=True)
    for words, expected in (
        (["ge"], {"generate"}),
        (["train", "ch"], {"chair", "chair-separate"}),
        (["generate", "--geo"], {"--geometry-only"}),
    ):
        line = " ".join(["get3d", *words])
        code = f"""
            source {script}
            COMP_WORDS=({line}) COMP_CWORD={len(words)} COMP_LINE="{line}" COMP_POINT={len(line)}
            $(complete -p get3d | sed 's/.*-F \\([^ ]*\\).*/\\1/')
            printf '%s\\n' "${{COMPREPLY[@]}}"
        """
        shown = subprocess.run(["bash", "-c", code], capture_output=True, text=True, check=True).stdout.split()
        assert set(shown) == expected
