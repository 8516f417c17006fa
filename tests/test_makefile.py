"""`make demo` with stand-ins for Python, pip and the driver's program: nothing is installed."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PIP = '#!/bin/sh\necho pip "$@" >> {calls}\ncase "$*" in *--index-url*) exit {status};; esac\n'
PYTHON = """#!/bin/sh
mkdir -p "$3/bin"
cp {pip} "$3/bin/pip"
printf '#!/bin/sh\\necho get3d "$@" >> {calls}\\n' > "$3/bin/get3d"
chmod +x "$3/bin/get3d"
"""


DONE = [
    "pip install -q -c constraints.txt -e .",
    "get3d generate car --num 8 --out demo/cars",
    "get3d generate chair --num 8 --out demo/chairs",
    "get3d generate vase --num 8 --out demo/vases",
]


def made(folder: Path, *, gpu: bool, reachable: bool = True) -> tuple[list[str], str]:
    """The commands that `make demo` runs in the new environment, and what it prints."""
    programs, clone, calls = folder / "programs", folder / "clone", folder / "calls"
    programs.mkdir()
    clone.mkdir()
    texts = {
        "python3": PYTHON.format(pip=programs / "pip", calls=calls),
        "pip": PIP.format(calls=calls, status=0 if reachable else 1),
        "nvidia-smi": f"#!/bin/sh\nexit {0 if gpu else 9}\n",
        "uname": "#!/bin/sh\necho Linux\n",
    }
    for name, text in texts.items():
        (programs / name).write_text(text)
        (programs / name).chmod(0o755)
    for name in ("Makefile", "pyproject.toml", "constraints.txt"):
        shutil.copy(ROOT / name, clone)
    environment = {**os.environ, "PATH": f"{programs}:{os.environ['PATH']}"}
    done = subprocess.run(
        ["make", "demo", "PYTHON=python3"], cwd=clone, env=environment, capture_output=True, text=True, check=True
    )
    return calls.read_text().splitlines(), done.stdout


@pytest.mark.parametrize("gpu", [False, True])
def test_pytorchs_build_for_cpus_is_taken_where_there_is_no_gpu(tmp_path, gpu):
    calls, _ = made(tmp_path, gpu=gpu)
    first = [call for call in calls if "--index-url https://download.pytorch.org/whl/cpu" in call]
    assert len(first) == (not gpu)
    assert all(call.endswith(" torch") for call in first)
    assert calls[len(first) :] == DONE


def test_where_that_build_cannot_be_had_it_is_said_and_any_is_taken(tmp_path):
    calls, said = made(tmp_path, gpu=False, reachable=False)
    assert "whl/cpu cannot be used; taking the usual build of PyTorch." in said
    assert calls[-len(DONE) :] == DONE
