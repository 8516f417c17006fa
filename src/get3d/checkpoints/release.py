"""Models to share (`get3d release`) and bundled models (`get3d models`)."""

from dataclasses import replace
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table
from torch import Tensor

from get3d.bundled import MODEL_FILE, bundled
from get3d.checkpoints.config import ModelsConfig, ReleaseConfig
from get3d.checkpoints.model import WEIGHTS, images_shown, load, load_weights, model_file, read_config
from get3d.console import print_json
from get3d.files import InputError, require_writable
from get3d.networks import PriorMapping
from get3d.ranges import require_ranges
from get3d.storage import describe, read_description, save_tensors, with_prefix

__all__ = ["ReleaseConfig", "list_models", "release"]

_OF_THIS_MACHINE = (
    "data",
    "splits",
    "out",
    "init_from",
    "device",
    "compile",
    "take_over",
    "dry_run",
    "dataset",
    "training_objects",
    "generator",
)
"""What a released model does not tell of its run; the generator's sizes stand by themselves."""


def release(config: ReleaseConfig, console: Console) -> Path:
    """Writes the averaged generator, with the settings and the length of its training, and returns the file.

    Raises:
        InputError: an option is out of range, the model cannot be read, or the folder cannot be written to.
    """
    require_ranges(config)
    for name in ("title", "licence"):
        if not getattr(config, name).strip():
            raise InputError(f"--{name} is empty; the users of the model need it")
    require_writable(config.out)
    source = model_file(config.model)
    read_config(source)
    described = read_description(source)
    known = described.get("about")
    about: dict[str, Any] = known if isinstance(known, dict) else {}
    about |= {"title": config.title, "licence": config.licence}
    if "progress" in described:
        settings = {name: value for name, value in described.items() if name not in (*_OF_THIS_MACHINE, "progress")}
        about |= {"kimg": images_shown(described) / 1000, "training": settings}
    path = config.out / MODEL_FILE
    if config.bandwidth is None:
        generator, weights = described["generator"], load_weights(source)
    else:
        generator, weights = _with_bandwidth(source, config.bandwidth)
    save_tensors(path, with_prefix(WEIGHTS, weights), {"generator": generator, "about": about})
    console.print(f"{path}: {path.stat().st_size / 1e6:.1f} MB", highlight=False, soft_wrap=True)
    return path


def _with_bandwidth(source: Path, bandwidth: float) -> tuple[dict[str, Any], dict[str, Tensor]]:
    """The description and the weights of a generator whose random styles have another bandwidth."""
    generator = load(source, "cpu")
    config = generator.config
    for mapping in (generator.mapping_geometry, generator.mapping_texture):
        if not isinstance(mapping, PriorMapping) or mapping.bandwidth == 1:
            raise InputError(
                f"--bandwidth is {bandwidth:g}, but {source} holds no codes of training objects: it had no warm-up, "
                "or one with a bandwidth of 1; leave it out"
            )
        mapping.narrow(bandwidth)
    return describe(replace(config, prior=replace(config.prior, bandwidth=bandwidth))), generator.state_dict()


def list_models(config: ModelsConfig, console: Console) -> None:
    """Prints the bundled models as a table or as JSON."""
    found: list[dict[str, Any]] = []
    for name, path in bundled().items():
        about = read_description(path)["about"]
        summary = {key: about[key] for key in ("title", "kimg", "licence")}
        found.append({"name": name, **summary, "bytes": path.stat().st_size, "file": str(path)})
    if config.json:
        print_json(console, {"models": found})
        return
    table = Table("name", "makes", "trained for", "size", "licence", box=None)
    for model in found:
        size = f"{model['bytes'] / 1e6:.1f} MB"
        table.add_row(model["name"], model["title"], f"{model['kimg']:.0f} kimg", size, model["licence"])
    console.print(table)
