"""All Warp kernels compile to CUDA's PTX, without a warning, to exact arithmetic and to atomics that GPUs have."""

import os
import re
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest
import warp as wp

import get3d
from get3d.render.kernels import start_warp

pytestmark = pytest.mark.slow

PACKAGE = Path(get3d.__file__).parent
KERNELS = sorted(path for path in PACKAGE.rglob("*.py") if "@wp.kernel" in path.read_text(encoding="utf-8"))
WANTED = (70, 80, 90, 100, 120)
"""Volta, Ampere, Hopper, and both Blackwells; compilers that no longer have the first ones are taken as they are."""

FAULTS = {
    r"\b(?:atom|red)\.\S*cas\S*": "an atomic operation that GPUs do not have, emulated by a loop",
    r"\b[a-z]\w*(?:\.\w+)*\.(?:approx|ftz)\b\S*": "arithmetic that is less precise than on a CPU",
    r"\bvprintf\b": "printing",
}

INFINITY = "222-D"
"""The compiler's warning of its own macro for infinity, whose product is "out of range"."""

MISTAKES = {
    "emulated": (
        "@wp.kernel\ndef k(x: wp.array(dtype=wp.float64)):\n    wp.atomic_max(x, 0, wp.float64(wp.tid()))\n",
        "atomic",
    ),
    "approximate": (
        (
            'wp.set_module_options({"fast_math": True})\n'
            "@wp.kernel\ndef k(x: wp.array(dtype=float)):\n    x[wp.tid()] = wp.sqrt(x[wp.tid()]) / x[0]\n"
        ),
        "precise",
    ),
    "warned of": (
        (
            "@wp.func_native('return x + float(1 << 40);')\ndef f(x: float) -> float: ...\n"
            "@wp.kernel\ndef k(x: wp.array(dtype=float)):\n    x[wp.tid()] = f(x[0])\n"
        ),
        "warning #",
    ),
    "printing": ("@wp.kernel\ndef k(x: wp.array(dtype=float)):\n    print(x[wp.tid()])\n", "printing"),
}


@pytest.fixture(scope="module")
def architectures() -> tuple[int, ...]:
    start_warp()
    found = tuple(number for number in WANTED if number in wp.get_cuda_supported_archs())
    if not found:
        pytest.skip("this build of Warp has no compiler for CUDA")
    return found


def _faults(file: Path, folder: Path, architectures: Sequence[int]) -> list[str]:
    program = [sys.executable, Path(__file__).with_name("ptx.py"), folder, file, *map(str, architectures)]
    done = subprocess.run(program, capture_output=True, text=True, check=False, env=os.environ)
    log = done.stdout + done.stderr
    if done.returncode:
        return [log]
    found = [line for line in log.splitlines() if re.search(rf"warning #(?!{INFINITY})", line, re.IGNORECASE)]
    written = sorted(folder.rglob("*.ptx"))
    assert len(written) == len(architectures)
    for path in written:
        ptx = path.read_text(encoding="ascii", errors="replace")
        assert ".entry" in ptx
        matches = ((re.search(pattern, ptx), what) for pattern, what in FAULTS.items())
        found += [f"{path.parent.name}: {what}: {match[0]}" for match, what in matches if match]
    return found


def test_kernels_are_found():
    assert {path.stem for path in KERNELS} >= {"kernels", "distance_kernels", "contour_kernels", "silhouette_kernels"}


@pytest.mark.parametrize("file", KERNELS, ids=lambda path: path.stem)
def test_kernels_compile_for_every_gpu(file, architectures, tmp_path):
    assert {90, 120} <= set(architectures)
    assert _faults(file, tmp_path, architectures) == []


@pytest.mark.parametrize("name", MISTAKES)
def test_a_mistake_is_found(name, architectures, tmp_path):
    source, words = MISTAKES[name]
    file = tmp_path / "mistaken.py"
    file.write_text(f"import warp as wp\n\n{source}")
    found = _faults(file, tmp_path / "ptx", architectures[-1:])
    assert any(words in fault.lower() for fault in found), found


def test_a_kernel_that_is_not_cuda_is_found(architectures, tmp_path):
    file = tmp_path / "mistaken.py"
    file.write_text(
        "import warp as wp\n\n@wp.func_native('return not_there(x);')\ndef f(x: float) -> float: ...\n"
        "@wp.kernel\ndef k(x: wp.array(dtype=float)):\n    x[0] = f(x[0])\n"
    )
    (fault,) = _faults(file, tmp_path / "ptx", architectures[-1:])
    assert "not_there" in fault
