"""What is printed: any character, never markup, and an end in one line however the command is ended."""

import ast
import io
import json
import os
import signal
import subprocess
import sys
import textwrap
import time
import tomllib
import warnings
from pathlib import Path

import pytest
from rich.table import Table

from get3d import cli, console
from get3d.console import print_json, terminal

SOURCE = Path(cli.__file__).parent
HOSTILE = "a[/b] [red]b[/red] :smile: \udcff ü.glb"
"""A name that would be markup, an emoji, and has a byte that is no text."""


def _lines(capsys):
    return capsys.readouterr().out.splitlines()


def test_names_are_printed_as_they_are(capsys):
    name = HOSTILE.replace("\udcff", "")
    terminal().print(name, soft_wrap=True)
    table = Table("name", box=None)
    table.add_row(name)
    terminal().print(table)
    shown = _lines(capsys)
    assert shown[0] == name
    assert shown[2].strip() == name


def test_a_quiet_terminal_prints_nothing(capsys):
    terminal(quiet=True).print("something")
    assert _lines(capsys) == []


def test_json_is_ascii_and_whole_at_any_width(capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "20")
    value = {"name": HOSTILE, "text": "[bold] " * 30}
    print_json(terminal(), value)
    shown = capsys.readouterr().out
    assert shown.isascii()
    assert json.loads(shown) == value
    with pytest.raises(ValueError, match="JSON"):
        print_json(terminal(), {"number": float("nan")})


def test_no_module_writes_markup_or_makes_a_console_that_reads_it():
    for path in SOURCE.rglob("*.py"):
        tree = ast.parse(path.read_text(encoding="utf-8"))
        for node in ast.walk(tree):
            if isinstance(node, ast.Constant) and isinstance(node.value, str):
                assert not any(f"[{style}]" in node.value for style in ("bold", "dim", "red", "yellow", "green")), path
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "Console":
                assert [option.arg for option in node.keywords] == ["quiet"], path
            if isinstance(node, ast.ImportFrom):
                assert node.module != "rich.markup", path


@pytest.fixture
def process(monkeypatch):
    """A process that is prepared as commands prepare theirs, and as before afterwards."""
    monkeypatch.setattr(sys, "unraisablehook", sys.unraisablehook)
    monkeypatch.setattr("warnings.showwarning", warnings.showwarning)


def test_an_output_takes_what_its_encoding_cannot_say(process, monkeypatch):
    raw = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(raw, encoding="ascii"))
    console.prepare_process()
    terminal().print("ü \udcff – 64²", soft_wrap=True)
    sys.stdout.flush()
    assert raw.getvalue() == b"\\xfc \\udcff \\u2013 64\\xb2\n"


def test_a_warning_is_one_line(process, capsys):
    console.prepare_process()
    warnings.showwarning("a folder is read-only", RuntimeWarning, "x.py", 3)
    assert capsys.readouterr().err == "warning: a folder is read-only\n"


@pytest.mark.slow
def test_ctrl_c_that_nothing_could_raise_comes_again(process):
    class Interrupted:
        def __del__(self):
            raise KeyboardInterrupt

    # Launchers that tests before this one ran leave handlers of their own.
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        console.prepare_process()
        with pytest.raises(KeyboardInterrupt):
            Interrupted()
            time.sleep(10)
    finally:
        signal.signal(signal.SIGINT, before)


def _command(*arguments, **changes):
    return subprocess.Popen(
        [sys.executable, "-m", "get3d", *map(str, arguments)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=os.environ | changes,
        text=True,
        encoding="utf-8",
    )


def test_a_closed_pipe_ends_a_command_without_a_word():
    process = _command("train", "demo", "--help")
    process.stdout.close()
    assert process.stderr.read() == ""
    assert process.wait(60) == 141
    process.stderr.close()


def test_help_in_ascii():
    said, error = _command("--help", PYTHONIOENCODING="ascii", LC_ALL="C").communicate(timeout=60)
    assert "interpolate" in said
    assert "\\xd7 texture swaps" in said
    assert not error


@pytest.mark.parametrize(
    ("command", "expected"),
    [
        ("train", "stopped; repeat the command to resume\n"),
        ("vary", "stopped\n"),
    ],
)
def test_ctrl_c_is_one_line_and_status_130(monkeypatch, capsys, command, expected):
    def interrupted():
        raise KeyboardInterrupt

    monkeypatch.setitem(cli.COMMANDS, command, interrupted)
    monkeypatch.setattr(sys, "argv", ["get3d", command])
    with pytest.raises(SystemExit) as end:
        cli.main()
    assert end.value.code == 130
    assert capsys.readouterr().err == expected


def test_ctrl_c_says_what_the_work_says_of_it(monkeypatch, capsys):
    def interrupted():
        raise KeyboardInterrupt("run/checkpoints/a: stopped at 1.00 kimg; repeat the command to resume")

    monkeypatch.setitem(cli.COMMANDS, "train", interrupted)
    monkeypatch.setattr(sys, "argv", ["get3d", "train"])
    with pytest.raises(SystemExit) as end:
        cli.main()
    assert end.value.code == 130
    assert capsys.readouterr().err == "run/checkpoints/a: stopped at 1.00 kimg; repeat the command to resume\n"


def test_ctrl_c_while_modules_are_imported_is_one_line_too():
    code = """
        import sys
        class Interrupted:
            def find_spec(self, name, path, target=None):
                if name == "get3d.cli":
                    raise KeyboardInterrupt
        sys.meta_path.insert(0, Interrupted())
        from get3d.__main__ import main
        main()
    """
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code)], capture_output=True, text=True, check=False, timeout=100
    )
    assert (done.returncode, done.stdout, done.stderr) == (130, "", "stopped\n")
    scripts = tomllib.loads((Path(__file__).parents[1] / "pyproject.toml").read_text())["project"]["scripts"]
    assert scripts == {"get3d": "get3d.__main__:main"}
