"""Models to share: `get3d release`, and those that come with the package: `get3d models`."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import tyro
from rich.console import Console
from rich.table import Table

from get3d.bundled import MODEL_FILE, bundled
from get3d.files import InputError, require_writable
from get3d.generator import WEIGHTS, model_file, read_config
from get3d.storage import load_tensors, read_description, save_tensors

__all__ = ["ReleaseConfig", "list_models", "release"]

_OF_THIS_MACHINE = ("data", "splits", "out", "source", "device", "compile", "take_over", "dataset", "generator")
"""What a released model does not tell of its run; the generator's sizes stand by themselves."""


@dataclass(frozen=True)
class ReleaseConfig:
    """A model by itself, without what only training needs.

    Attributes:
        model: the folder of a training run, a checkpoint, or a model.
        out: folder for model.safetensors.
        title: what it makes, in a few words; `get3d models` and whoever reads the file see it.
        licence: of the model.
    """

    model: tyro.conf.Positional[str]
    out: Path
    title: str
    licence: str


def release(config: ReleaseConfig, console: Console) -> Path:
    """Writes the averaged generator, with the settings and the length of its training, and returns the file.

    Raises:
        InputError: the model cannot be read, or the folder cannot be written to.
    """
    for name in ("title", "licence"):
        if not getattr(config, name).strip():
            raise InputError(f"--{name} is empty; say it, for whoever gets the model")
    require_writable(config.out)
    source = model_file(config.model)
    read_config(source)
    stored = load_tensors(source, prefix=WEIGHTS)
    described = stored.description
    about: dict[str, Any] = {"title": config.title, "licence": config.licence}
    if "progress" in described:
        settings = {name: value for name, value in described.items() if name not in (*_OF_THIS_MACHINE, "progress")}
        about |= {"kimg": described["progress"]["shown"] / 1000, "training": settings}
    path = config.out / MODEL_FILE
    save_tensors(path, stored.tensors, {"generator": described["generator"], "about": about})
    console.print(f"{path}: {path.stat().st_size / 1e6:.1f} MB", highlight=False, soft_wrap=True)
    return path


def list_models(console: Console) -> None:
    """Prints the models that come with the package."""
    table = Table("name", "makes", "trained for", "size", "licence", box=None)
    for name, path in bundled().items():
        about = read_description(path)["about"]
        size = f"{path.stat().st_size / 1e6:.1f} MB"
        table.add_row(name, about["title"], f"{about['kimg']:.0f} kimg", size, about["licence"])
    console.print(table)
