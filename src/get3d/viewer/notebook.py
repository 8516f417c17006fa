"""The live page from Python: `get3d.view`."""

import html
from pathlib import Path

from get3d.generator import Generator
from get3d.generator_config import PSI
from get3d.viewer.command import Page, open_page
from get3d.viewer.config import ViewConfig

__all__ = ["LivePage", "view"]

_UNNAMED = "MODEL"
"""What stands for the model in commands, if only its generator is known."""


class LivePage:
    """A live page that is being served. Notebooks show it below the cell.

    Attributes:
        address: what to open in a browser.
        height: of the frame in notebooks, in pixels.
    """

    def __init__(self, page: Page, height: int) -> None:
        self._page = page
        self.address, self.height = page.server.address, height

    def stop(self) -> None:
        """Ends the page; without it, the page ends with the Python process."""
        self._page.stop()

    def __repr__(self) -> str:
        return f"LivePage({self.address!r})"

    def _repr_html_(self) -> str:
        address = html.escape(self.address)
        return f'<iframe src="{address}" width="100%" height="{self.height}" style="border:0"></iframe>'


def view(
    target: Generator | Path | str,
    *,
    out: Path | str = "viewed",
    psi: float = PSI,
    grid: int | None = None,
    faces: int | None = 20_000,
    texture: int = 1024,
    port: int = 8080,
    height: int = 720,
) -> LivePage:
    """Shows a live page, as `get3d view` does; the browser must run on the same machine.

    Args:
        target: a generator, which stays as it is; or a model, a dataset folder or a mesh file, as `get3d view` takes
            them.
        out: folder for objects that are saved from the page of a model.
        psi: initial truncation of a model.
        grid: resolution of the grid for extracting surfaces of a model; None for that of training.
        faces: maximum number of triangles per object; None keeps all.
        texture: side of the texture in texels.
        port: port to listen on; if it is taken, the next free one.
        height: height of the frame in notebooks, in pixels.

    Raises:
        InputError: the target cannot be read, an option is out of its range, or viser is missing.
    """
    generator = target if isinstance(target, Generator) else None
    name = str(target) if generator is None else _UNNAMED
    config = ViewConfig((name,), out=Path(out), psi=psi, grid=grid, faces=faces, texture=texture, port=port)
    return LivePage(open_page(config, generator), height)
