"""Which shapes are to be made: from seeds, or those that a `shapes.json` records, exactly.

Styles of a shape are many numbers (W+: some 16,000), so they stand in the file as float32, little-endian, in base64:
exact, a quarter of the size of decimals, and with nothing to find beside the file.
"""

import base64
import binascii
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from get3d.files import FORMAT, InputError, require_names, write_json
from get3d.generation.record import read_record
from get3d.generation.settings import PSI
from get3d.generator import Generator
from get3d.latents import Latents, Styles, joined

__all__ = ["ShapeList", "of_seeds", "read_shape_list", "record", "require_plain_names", "write_shape_list"]


@dataclass(frozen=True)
class ShapeList:
    """The shapes to make.

    Attributes:
        names: of their files, without suffix.
        latents: what they are made from: latents, or styles, which are not truncated any more.
        facts: what else `shapes.json` says of each.
        psi: truncation.
        grid: resolution of the grid; None is the model's own.
    """

    names: list[str]
    latents: Latents | Styles
    facts: list[dict[str, Any]]
    psi: float = PSI
    grid: int | None = None


def of_seeds(generator: Generator, num: int, seed: int, label: str | None, psi: float) -> ShapeList:
    """The shapes of the seeds seed, seed + 1, …"""
    seeds = range(seed, seed + num)
    latents = generator.sample_latents(num, seed, label)
    return ShapeList([f"{number:06d}" for number in seeds], latents, [{"seed": number} for number in seeds], psi)


def record(generator: Generator, plan: ShapeList, number: int, *, codes: bool) -> dict[str, Any]:
    """What `shapes.json` says of a shape so that `read_shape_list` finds it again.

    Args:
        generator: the model, which knows the names of classes.
        plan: the shapes.
        number: which one.
        codes: say its latents or styles; a shape that has a seed can do without.
    """
    latent = plan.latents[number]
    values: dict[str, Any] = {"name": plan.names[number], **plan.facts[number]}
    if isinstance(latent, Styles):
        if codes:
            values["styles"] = {"geometry": _encoded(latent.geometry[0]), "texture": _encoded(latent.texture[0])}
        return values
    if latent.label is not None:
        values["label"] = generator.config.classes[int(latent.label)]
    if codes:
        values["latents"] = {"geometry": latent.geometry[0].tolist(), "texture": latent.texture[0].tolist()}
    return values


def write_shape_list(
    path: Path | str,
    generator: Generator,
    codes: Latents | Styles,
    names: Sequence[str] | None = None,
    psi: float = PSI,
    grid: int | None = None,
) -> None:
    """Writes a `shapes.json` that `get3d generate MODEL --latents` makes shapes of.

    Args:
        path: of the file.
        generator: the model that the codes are for.
        codes: latents or styles of n shapes.
        names: of the n shapes, without suffix; None numbers them.
        psi: truncation of latents; styles are taken as they are.
        grid: resolution of the grid; None is the generator's present one.

    Raises:
        InputError: a name is no plain name of a file, or comes twice; or the file cannot be written.
        ValueError: there is another number of names, or the styles do not fit the generator.
    """
    path = Path(path)
    names = [f"{number:06d}" for number in range(len(codes))] if names is None else list(names)
    if len(names) != len(codes):
        raise ValueError(f"{len(names)} names for {len(codes)} shapes")
    require_plain_names(path, names)
    if isinstance(codes, Styles):
        generator.require_styles(codes)
    plan = ShapeList(names, codes, [{}] * len(names), psi)
    shapes = [record(generator, plan, number, codes=True) for number in range(len(names))]
    write_json(
        path, {"format": FORMAT, "psi": psi, "grid": grid or generator.isosurface.grid.resolution, "shapes": shapes}
    )


def read_shape_list(path: Path, generator: Generator, psi: float | None = None) -> ShapeList:
    """The shapes that a `shapes.json` records, under the same names, with the same truncation and grid.

    Where a shape has styles, all get them: those of latents and seeds are truncated at once.

    Args:
        path: of the file.
        generator: the model that it is for.
        psi: truncation of latents and seeds, in place of the file's.

    Raises:
        InputError: the file is missing or none of ours, names a file outside of its folder, or is of another model.
    """
    values = read_record(path, "give a shapes.json of this version")
    try:
        own, grid = float(values["psi"]), int(values["grid"])
        entries = list(values["shapes"])
        names = [str(entry["name"]) for entry in entries]
        parts = [_codes(generator, entry, f"{path}: the shape {entry['name']}") for entry in entries]
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        if isinstance(error, InputError):
            raise
        raise InputError(f"{path}: is no shapes.json that get3d wrote ({error!r}); give another file") from error
    if not entries:
        raise InputError(f"{path}: records no shape; give another file")
    require_plain_names(path, names)
    facts = [{"seed": entry["seed"]} if isinstance(entry.get("seed"), int) else {} for entry in entries]
    latents = [part for part in parts if isinstance(part, Latents)]
    if not latents and psi not in (None, own):
        raise InputError(f"--psi is {psi:g}, but {path} holds styles, which are truncated already; leave it out")
    psi = own if psi is None else psi
    if len(latents) == len(parts):
        return ShapeList(names, joined(latents), facts, psi, grid)
    styles = [part if isinstance(part, Styles) else generator.styles(part, psi) for part in parts]
    geometry, texture = torch.cat([part.geometry for part in styles]), torch.cat([part.texture for part in styles])
    return ShapeList(names, Styles(geometry, texture), facts, psi, grid)


def require_plain_names(path: Path | str, names: list[str]) -> None:
    """Sees to it that names can be those of files in one folder, without suffix.

    Args:
        path: the file that they come from, for the message.
        names: one a file.

    Raises:
        InputError: one is no plain name of a file, or comes twice.
    """
    require_names(names, path)
    for name in names:
        if "/" in name or name.startswith("."):
            raise InputError(f"{path}: {name!r} is no plain name of a file; correct it")
    if len(set(names)) < len(names):
        twice = next(name for name in names if names.count(name) > 1)
        raise InputError(f"{path}: two shapes have the name {twice!r}; rename one")


def _codes(generator: Generator, entry: dict[str, Any], source: str) -> Latents | Styles:
    """What a shape is made from: styles for every layer, latents, or a seed."""
    if "styles" not in entry:
        return _latents(generator, entry, source)
    parts = [_decoded(entry["styles"][kind], f"{source}, {kind}") for kind in ("geometry", "texture")]
    try:
        return generator.require_styles(Styles(*(part.to(generator.device) for part in parts)))
    except ValueError as error:
        raise InputError(f"{source}: {error}; give the model they were made with") from error


def _encoded(style: Float[Tensor, "*layers w"]) -> dict[str, Any]:
    values = style.detach().cpu().numpy().astype("<f4")
    return {"shape": list(values.shape), "float32": base64.b64encode(values.tobytes()).decode("ascii")}


def _decoded(value: dict[str, Any], source: str) -> Float[Tensor, "1 *layers w"]:
    shape, text = value["shape"], value["float32"]
    if not isinstance(shape, list) or len(shape) not in (1, 2) or not all(type(n) is int and n > 0 for n in shape):
        raise InputError(f"{source} styles have the shape {shape}; it must be [w] or [layers, w]")
    try:
        content = base64.b64decode(text, validate=True)
    except binascii.Error as error:
        raise InputError(f"{source} styles are no base64 ({error}); write the list again") from error
    if len(content) != 4 * math.prod(shape):
        raise InputError(f"{source} styles are {len(content)} bytes, but {shape} float32 take {4 * math.prod(shape)}")
    style = torch.from_numpy(np.frombuffer(content, dtype="<f4").astype(np.float32).reshape(1, *shape))
    if not style.isfinite().all():
        raise InputError(f"{source} styles are not finite; correct them")
    return style


def _latents(generator: Generator, entry: dict[str, Any], source: str) -> Latents:
    config, device = generator.config, generator.device
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
