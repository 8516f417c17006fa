"""Compiled networks of the presets' sizes do what eager ones do, in one graph each, compiled once."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow

PROGRAM = Path(__file__).with_name("compiled.py")


@pytest.mark.skipif(shutil.which("g++") is None, reason="torch.compile on a CPU needs g++")
@pytest.mark.parametrize("preset", ["demo", "paper"])
def test_compiled_networks_equal_eager_ones_and_are_compiled_once(preset: str, tmp_path: Path) -> None:
    """In a process of its own: the checks of shapes that tests switch on cannot be compiled."""
    path = os.pathsep.join(folder for folder in sys.path if folder)
    process = subprocess.run(
        [sys.executable, str(PROGRAM), preset],
        capture_output=True,
        text=True,
        env=os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": path},
        check=False,
    )
    assert process.stdout.endswith("same\n"), process.stderr[-3000:]
