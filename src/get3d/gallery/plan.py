"""Which shapes are to be made: from seeds, or those that a `shapes.json` records, exactly."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from get3d.files import InputError, require_names
from get3d.gallery.record import read_record
from get3d.gallery.settings import PSI
from get3d.generator import Generator, Styles
from get3d.latents import Latents, joined

__all__ = ["Plan", "of_seeds", "read_plan", "record"]


@dataclass(frozen=True)
class Plan:
    """The shapes to make.

    Attributes:
        names: of their files, without suffix.
        latents: what they are made from; or their styles, which are truncated already.
        facts: what else `shapes.json` says of each.
        psi: truncation.
        grid: resolution of the grid; None is the model's own.
    """

    names: list[str]
    latents: Latents | Styles
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
        codes: say its latents; a shape that has a seed can do without. Styles are always said.
    """
    latent = plan.latents[number : number + 1]
    values: dict[str, Any] = {"name": plan.names[number], **plan.facts[number]}
    if isinstance(latent, Styles):
        return values | {"styles": {kind: _shortest(getattr(latent, kind)[0]) for kind in ("geometry", "texture")}}
    if latent.label is not None:
        values["label"] = generator.config.classes[int(latent.label)]
    if codes:
        values["latents"] = {"geometry": latent.geometry[0].tolist(), "texture": latent.texture[0].tolist()}
    return values


def _shortest(styles: Float[Tensor, "layers w"]) -> list[Any]:
    """One style where all layers have the same."""
    found: list[Any] = (styles[0] if bool((styles == styles[0]).all()) else styles).tolist()
    return found


def read_plan(path: Path, generator: Generator) -> Plan:
    """The shapes that a `shapes.json` records, under the same names, with the same truncation and grid.

    Raises:
        InputError: the file is missing or none of ours, names a file outside of its folder, or is of another model.
    """
    values = read_record(path, "give a shapes.json of this version")
    try:
        psi, grid = float(values["psi"]), int(values["grid"])
        entries = list(values["shapes"])
        names = [str(entry["name"]) for entry in entries]
        of_styles = [entry for entry in entries if "styles" in entry]
        if of_styles and len(of_styles) < len(entries):
            raise InputError(f"{path}: only some of its shapes are of styles; keep those of one kind in a file")
        read = _styles if of_styles else _latents
        parts = [read(generator, entry, f"{path}: the shape {entry['name']}") for entry in entries]
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
    latents = [part for part in parts if isinstance(part, Latents)]
    styles = [part for part in parts if isinstance(part, Styles)]
    if not styles:
        return Plan(names, joined(latents), facts, psi, grid)
    codes = Styles(torch.cat([part.geometry for part in styles]), torch.cat([part.texture for part in styles]))
    return Plan(names, codes, facts, psi, grid)


def _styles(generator: Generator, entry: dict[str, Any], source: str) -> Styles:
    device, w_dim = generator.mapping_geometry.w_avg.device, generator.config.w_dim
    layers = {
        "geometry": generator.synthesis.num_geometry_styles,
        "texture": generator.synthesis.num_texture_styles,
    }
    found = {}
    for kind, count in layers.items():
        style = torch.tensor(entry["styles"][kind], dtype=torch.float32, device=device)
        if style.shape not in ((w_dim,), (count, w_dim)):
            raise InputError(
                f"{source} has {kind} styles of {list(style.shape)} numbers, this model takes [{w_dim}] or "
                f"[{count}, {w_dim}]; give the model they were made with"
            )
        if not style.isfinite().all():
            raise InputError(f"{source} has styles that are not finite; correct them")
        found[kind] = style.expand(1, count, w_dim)
    return Styles(**found)


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
