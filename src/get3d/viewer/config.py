"""What one can ask of `get3d view`. This module imports nothing heavy."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from get3d.generator_config import PSI
from get3d.options import Option
from get3d.ranges import Range

__all__ = ["ViewConfig"]


@dataclass(frozen=True)
class ViewConfig:
    """A live page in a browser.

    Attributes:
        targets: a model (name, folder, run or checkpoint), a dataset's folder, or mesh files.
        out: folder for what is saved from the page of a model.
        psi: truncation at first, of a model.
        grid: steps along a side of the grid that surfaces of a model are extracted on.
        small_components: parts that have less than this share of an object's area are left out; 0 keeps all.
        faces: at most this many triangles an object; None keeps all.
        texture: side of the texture in pixels.
        device: "auto" takes a GPU where there is one.
        host: address to listen on. Any other than 127.0.0.1 lets other machines look and save, if they know the token
            in the address that is printed.
        port: to listen on; the next free one where it is taken.
    """

    targets: Annotated[tuple[str, ...], Option(positional="MODEL|DATA|FILE")]
    out: Annotated[Path, Option(common=True)] = Path("viewed")
    psi: Annotated[float, Range(0, 2)] = PSI
    grid: Annotated[int | None, Option(default="as in training"), Range(4, 1024)] = None
    small_components: Annotated[float, Range(0, 1)] = 0.01
    faces: Annotated[int | None, Range(4, 10_000_000)] = 20_000
    texture: Annotated[int, Range(16, 8192)] = 1024
    device: str = "auto"
    host: Annotated[str, Option(common=True)] = "127.0.0.1"
    port: Annotated[int, Option(common=True), Range(0, 65_535)] = 8080
