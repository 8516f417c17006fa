"""Options of `get3d view`. This module imports nothing heavy."""

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
        targets: a model (name, folder, run or checkpoint), a dataset folder, or mesh files.
        latents: a shapes.json, as `fit` and `generate` write it, whose shapes the page of a model begins with.
        out: folder for objects that are saved from the page of a model.
        psi: initial truncation of a model.
        grid: resolution of the grid for extracting surfaces of a model.
        small_components: leave out parts with less than this share of an object's area; 0 keeps all.
        faces: maximum number of triangles per object; None keeps all.
        texture: side of the texture in pixels.
        device: "auto" uses a GPU if there is one.
        host: address to listen on. With an address other than 127.0.0.1, other machines can look and save, if they know
            the token in the printed address.
        port: port to listen on; if it is taken, the next free one.
    """

    targets: Annotated[tuple[str, ...], Option(positional="MODEL|DATA|FILE")]
    latents: Path | None = None
    out: Annotated[Path, Option(common=True)] = Path("viewed")
    psi: Annotated[float, Range(0, 2)] = PSI
    grid: Annotated[int | None, Option(default="as in training"), Range(4, 1024)] = None
    small_components: Annotated[float, Range(0, 1)] = 0.01
    faces: Annotated[int | None, Range(4, 10_000_000)] = 20_000
    texture: Annotated[int, Range(16, 8192)] = 1024
    device: str = "auto"
    host: Annotated[str, Option(common=True)] = "127.0.0.1"
    port: Annotated[int, Option(common=True), Range(0, 65_535)] = 8080
