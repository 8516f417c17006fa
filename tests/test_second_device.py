"""Every command and public call on a second device, as strict as a GPU, on machines that have none; see shadow.py."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow

PROGRAM = Path(__file__).with_name("second_device.py")
SCENARIOS = {
    table: re.findall(rf"^@scenario\({table.upper()}\)\ndef (\w+)", PROGRAM.read_text(), re.MULTILINE)
    for table in ("work", "mistakes")
}


@pytest.fixture(scope="module")
def found() -> dict[str, dict[str, str | None]]:
    """What went wrong in each scenario. In a process of its own: the device changes PyTorch."""
    path = os.pathsep.join(folder for folder in sys.path if folder)
    process = subprocess.run(
        [sys.executable, str(PROGRAM)],
        capture_output=True,
        text=True,
        env=os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": path},
        check=False,
    )
    assert process.returncode == 0, process.stderr[-3000:]
    return json.loads(process.stdout.splitlines()[-1])


@pytest.mark.parametrize("name", SCENARIOS["work"])
def test_it_works_on_a_second_device(found: dict[str, dict[str, str | None]], name: str) -> None:
    assert found["work"][name] is None, found["work"][name]


@pytest.mark.parametrize("name", SCENARIOS["mistakes"])
def test_a_mistake_is_found(found: dict[str, dict[str, str | None]], name: str) -> None:
    error = found["mistakes"][name]
    assert error is not None
    assert re.match(
        r"RuntimeError: \S+: expected (all tensors to be on the same device|a generator of the tensor's device)"
        r"|TypeError: can't convert a shadow tensor to numpy"
        r"|RuntimeError: Error launching kernel .* expects an array with dtype",
        error,
    ), error
