"""Programs of others that read what we write. Debian has them; the README names the packages."""

import shutil
import subprocess
from pathlib import Path

import pytest

needs_slicer = pytest.mark.skipif(
    shutil.which("prusa-slicer") is None, reason="needs PrusaSlicer: sudo apt-get install prusa-slicer"
)
needs_assimp = pytest.mark.skipif(
    shutil.which("assimp") is None, reason="needs assimp: sudo apt-get install assimp-utils"
)


def sliced(path: Path) -> dict[str, str]:
    """What PrusaSlicer says of a file: "manifold", "number_of_parts", "size_x" and so on."""
    return _values(["prusa-slicer", "--info", str(path)], path, "=")


def assimp_info(path: Path) -> dict[str, str]:
    """What assimp says of a file: "Faces", "Materials", "Textures (embed.)" and so on."""
    return _values(["assimp", "info", str(path)], path, ":")


def _values(command: list[str], path: Path, separator: str) -> dict[str, str]:
    run = subprocess.run(command, capture_output=True, text=True, timeout=120, cwd=path.parent, check=False)
    assert run.returncode == 0, run.stdout + run.stderr
    values: dict[str, str] = {}
    for line in run.stdout.splitlines():
        name, found, value = line.partition(separator)
        if found:
            values.setdefault(name.strip(), value.strip())
    return values
