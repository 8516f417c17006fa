"""Which shapes are to be made: from seeds, or those that a `shapes.json` records, exactly."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from get3d.files import InputError, read_json, require_names
from get3d.gallery.settings import PSI
from get3d.generator import Generator
from get3d.latents import Latents, joined

__all__ = ["Plan", "of_seeds", "read_plan", "record"]


@dataclass(frozen=True)
class Plan:
    """The shapes to make.

    Attributes:
        names: of their files, without suffix.
        latents: what they are made from.
        facts: what else `shapes.json` says of each.
        psi: truncation.
        grid: resolution of the grid; None is the model's own.
    """

    names: list[str]
    latents: Latents
    facts: list[dict[str, Any]]
    psi: float = PSI
    grid: int | None = None


def of_seeds(generator: Generator, num: int, seed: int, label: str | None, psi: float) -> Plan:
    """The shapes of the seeds seed, seed + 1, …"""
    seeds = range(seed, seed + num)
    latents = generator.sample_latents(num, seed, label)
    return Plan([f"{number:06d}" for number in seeds], latents, [{"seed": number} for number in seeds], psi)


def record(generator: Generator, plan: Plan, number: int, *, codes: bool) -> dict[str, Any]:
    """What `shapes.json` says of a shape so that `read_plan` finds it again.

    Args:
        generator: the model, which knows the names of classes.
        plan: the shapes.
        number: which one.
        codes: say its latents; a shape that has a seed can do without.
    """
    latent = plan.latents[number : number + 1]
    values: dict[str, Any] = {"name": plan.names[number], **plan.facts[number]}
    if latent.label is not None:
        values["label"] = generator.config.classes[int(latent.label)]
    if codes:
        values["latents"] = {"geometry": latent.geometry[0].tolist(), "texture": latent.texture[0].tolist()}
    return values


def read_plan(path: Path, generator: Generator) -> Plan:
    """The shapes that a `shapes.json` records, under the same names, with the same truncation and grid.

    Raises:
        InputError: the file is missing or none of ours, names a file outside of its folder, or is of another model.
    """
    values = read_json(path)
    try:
        psi, grid = float(values["psi"]), int(values["grid"])
        entries = list(values["shapes"])
        names = [str(entry["name"]) for entry in entries]
        parts = [_latents(generator, entry, f"{path}: the shape {entry['name']}") for entry in entries]
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        if isinstance(error, InputError):
            raise
        raise InputError(f"{path}: is no shapes.json that get3d wrote ({error!r}); give another file") from error
    if not entries:
        raise InputError(f"{path}: records no shape; give another file")
    require_names(names, path)
    for name in names:
        if "/" in name or name.startswith("."):
            raise InputError(f"{path}: {name!r} is no plain name of a file; correct it")
    if len(set(names)) < len(names):
        twice = next(name for name in names if names.count(name) > 1)
        raise InputError(f"{path}: two shapes have the name {twice!r}; rename one")
    facts = [{"seed": entry["seed"]} if isinstance(entry.get("seed"), int) else {} for entry in entries]
    return Plan(names, joined(parts), facts, psi, grid)


def _latents(generator: Generator, entry: dict[str, Any], source: str) -> Latents:
    config, device = generator.config, generator.mapping_geometry.w_avg.device
    label = entry.get("label")
    if "latents" not in entry:
        return generator.sample_latents(1, int(entry["seed"]), label)
    codes = [torch.tensor([entry["latents"][kind]], dtype=torch.float32) for kind in ("geometry", "texture")]
    for code in codes:
        if code.shape != (1, config.z_dim):
            raise InputError(
                f"{source} has latents of {code.shape[-1]} numbers, this model takes {config.z_dim}; "
                "give the model they were made with"
            )
        if not code.isfinite().all():
            raise InputError(f"{source} has latents that are not finite; correct them")
    if (label is None) != (not config.classes) or (label is not None and label not in config.classes):
        known = ", ".join(config.classes) or "none"
        raise InputError(f"{source} is of the class {label}, this model knows {known}; give the model it was made with")
    number = None if label is None else torch.tensor([config.classes.index(label)], device=device)
    return Latents(codes[0].to(device), codes[1].to(device), number)
