"""`get3d view`: chooses a page and serves it until Ctrl-C."""

import threading
from collections.abc import Callable
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console

from get3d.assets.loading import SUFFIXES
from get3d.files import InputError
from get3d.generation.settings import Settings
from get3d.ranges import require_ranges
from get3d.viewer.config import ViewConfig

if TYPE_CHECKING:
    from get3d.generator import Generator
    from get3d.viewer.server import Server

__all__ = ["Page", "open_page", "view"]


@dataclass(frozen=True)
class Page:
    """A page that is being shown.

    Attributes:
        server: which shows it.
        stop: ends it.
    """

    server: "Server"
    stop: Callable[[], None]


def view(config: ViewConfig, console: Console) -> None:
    """Shows the page until Ctrl-C.

    Raises:
        InputError: as `open_page`.
    """
    page = open_page(config)
    console.print(f"Open {page.server.address} in a browser. Ctrl-C ends it.", soft_wrap=True)
    try:
        threading.Event().wait()
    except KeyboardInterrupt:
        console.print("ended")
    finally:
        page.stop()


def open_page(config: ViewConfig, generator: "Generator | None" = None) -> Page:
    """Loads a model, dataset or mesh files, and starts to serve its page.

    Args:
        config: the options.
        generator: the model to show; None for what `config.targets` names.

    Raises:
        InputError: it cannot be read, an option is out of its range, viser is missing, or nothing can listen at the
            address.
    """
    require_ranges(config)
    if find_spec("viser") is None:
        raise InputError("get3d view needs viser; pip install 'get3d[view]'")
    if not config.targets:
        raise InputError("nothing is named; give a model, a dataset or mesh files: get3d view chair")
    from get3d.viewer import data_page, files_page
    from get3d.viewer.server import start_server

    first = Path(config.targets[0])
    title = f"get3d: {first.name or first}"
    if generator is not None:
        return _model_page(config, title, generator)
    if config.latents is not None and (first.suffix.lower() in SUFFIXES or data_page.is_dataset(first)):
        raise InputError(f"--latents {config.latents}: has shapes of a model, and {first} is none; leave it out")
    if first.suffix.lower() in SUFFIXES:
        meshes = files_page.load(config.targets)
        server = start_server(config.host, config.port, title)
        files_page.FilesPage(server, meshes)
        return Page(server, server.stop)
    if len(config.targets) > 1:
        raise InputError(
            f"{config.targets[1]}: several can be seen at once only of mesh files; give one model or dataset"
        )
    if data_page.is_dataset(first):
        listing = data_page.open_listing(first)
        server = start_server(config.host, config.port, title)
        data_page.DataPage(server, listing)
        return Page(server, server.stop)
    return _model_page(config, title, None)


def _model_page(config: ViewConfig, title: str, generator: "Generator | None") -> Page:
    from get3d.viewer.model_page import ModelPage
    from get3d.viewer.server import start_server
    from get3d.viewer.studio import Studio

    settings = Settings(
        config.targets[0],
        out=config.out,
        psi=config.psi,
        grid=config.grid,
        small_components=config.small_components,
        faces=config.faces,
        texture=config.texture,
        device=config.device,
    )
    studio = Studio(settings, generator, config.latents)
    server = start_server(config.host, config.port, title)
    shown = ModelPage(server, studio)

    def stop() -> None:
        server.stop()
        shown.stop()

    return Page(server, stop)
