"""Lists of shapes to make: from seeds, or exactly those in a `shapes.json`.

Styles of a shape are many numbers (about 16,000 for W+), so the file has them as little-endian float32 in base64: this
is exact, takes a quarter of the size of decimals, and needs no second file.
"""

import base64
import binascii
import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from get3d.checkpoints.model import training_styles
from get3d.files import FORMAT, InputError, require_names, write_json
from get3d.generation.manifest import read_manifest
from get3d.generation.settings import PSI
from get3d.generator import Generator
from get3d.latents import Latents, Styles, joined
from get3d.ranges import SEED, Range, whole

__all__ = [
    "ShapeList",
    "of_seeds",
    "of_training_objects",
    "read_shape_list",
    "read_shapes",
    "require_plain_names",
    "shape_entry",
    "write_shape_list",
]


@dataclass(frozen=True)
class ShapeList:
    """The shapes to make.

    Attributes:
        names: file names, without suffix.
        latents: latents, or styles, which are not truncated again.
        metadata: other values of each shape in `shapes.json`.
        psi: truncation.
        grid: resolution of the grid; None for the model's own.
    """

    names: list[str]
    latents: Latents | Styles
    metadata: list[dict[str, Any]]
    psi: float = PSI
    grid: int | None = None


def of_seeds(generator: Generator, num: int, seed: int, label: str | None, psi: float) -> ShapeList:
    """The shapes of the seeds seed, seed + 1, …"""
    seeds = range(seed, seed + num)
    latents = generator.sample_latents(num, seed, label)
    return ShapeList([f"{number:06d}" for number in seeds], latents, [{"seed": number} for number in seeds], psi)


def of_training_objects(generator: Generator, model: str, names: Sequence[str]) -> ShapeList:
    """What a run has made of objects of its training set.

    Raises:
        InputError: as `training_styles`, or a name comes twice.
    """
    styles = generator.require_styles(training_styles(model, names, generator.device))
    files = [name.replace("/", "-") for name in names]
    require_plain_names(Path("--training-object"), files)
    return ShapeList(files, styles, [{"training_object": name} for name in names])


def shape_entry(generator: Generator, shape_list: ShapeList, number: int, *, codes: bool) -> dict[str, Any]:
    """The entry of a shape in `shapes.json`, for `read_shape_list`.

    Args:
        generator: the model, for the names of classes.
        shape_list: the shape list.
        number: index of the shape.
        codes: include latents or styles; a shape with a seed does not need them.
    """
    latent = shape_list.latents[number]
    values: dict[str, Any] = {"name": shape_list.names[number], **shape_list.metadata[number]}
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
    """Writes a `shapes.json` for `get3d generate MODEL --latents`.

    Args:
        path: path of the file.
        generator: the model of the latents or styles.
        codes: latents or styles of n shapes.
        names: names of the n shapes, without suffix; None numbers them.
        psi: truncation of latents; styles are used unchanged.
        grid: resolution of the grid; None for the current one of the generator.

    Raises:
        InputError: a name is not a plain file name, or is repeated; or the file cannot be written.
        ValueError: the number of names differs, or the styles do not fit the generator.
    """
    path = Path(path)
    names = [f"{number:06d}" for number in range(len(codes))] if names is None else list(names)
    if len(names) != len(codes):
        raise ValueError(f"{len(names)} names for {len(codes)} shapes")
    require_plain_names(path, names)
    if isinstance(codes, Styles):
        generator.require_styles(codes)
    shape_list = ShapeList(names, codes, [{}] * len(names), psi)
    shapes = [shape_entry(generator, shape_list, number, codes=True) for number in range(len(names))]
    write_json(
        path, {"format": FORMAT, "psi": psi, "grid": grid or generator.isosurface.grid.resolution, "shapes": shapes}
    )


def read_shape_list(path: Path, generator: Generator, psi: float | None = None) -> ShapeList:
    """Reads the shapes of a `shapes.json`, with the same names, truncation and grid.

    If one shape has styles, latents and seeds of the others are converted to truncated styles.

    Args:
        path: path of the file.
        generator: the model of the file.
        psi: truncation of latents and seeds, instead of the one in the file.

    Raises:
        InputError: the file is missing or not from get3d, names a file outside its folder, or is for another model.
    """
    values = read_manifest(path, "give a shapes.json of this version")
    try:
        own, grid = float(values["psi"]), whole(values["grid"], "grid", Range(4, 1024))
        entries = list(values["shapes"])
        names = [str(entry["name"]) for entry in entries]
        parts = [_codes(generator, entry, f"{path}: the shape {entry['name']}") for entry in entries]
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        if isinstance(error, InputError):
            raise
        raise InputError(f"{path}: is not a shapes.json of get3d ({error!r}); give another file") from error
    if not entries:
        raise InputError(f"{path}: contains no shape; give another file")
    require_plain_names(path, names)
    metadata = [{"seed": entry["seed"]} if isinstance(entry.get("seed"), int) else {} for entry in entries]
    latents = [part for part in parts if isinstance(part, Latents)]
    if not latents and psi not in (None, own):
        raise InputError(f"--psi is {psi:g}, but {path} contains styles, which are already truncated; leave it out")
    psi = own if psi is None else psi
    if len(latents) == len(parts):
        return ShapeList(names, joined(latents), metadata, psi, grid)
    styles = [part if isinstance(part, Styles) else generator.styles(part, psi) for part in parts]
    geometry, texture = torch.cat([part.geometry for part in styles]), torch.cat([part.texture for part in styles])
    return ShapeList(names, Styles(geometry, texture), metadata, psi, grid)


def read_shapes(paths: Sequence[Path], names: Sequence[str], generator: Generator) -> list[ShapeList]:
    """The shapes of some `shapes.json`, each as a list of its own.

    Args:
        paths: of the files.
        names: of the shapes that are wanted, in this order; empty for all.
        generator: the model of the files.

    Raises:
        InputError: as `read_shape_list`, or no file has a shape of such a name, or more than one.
    """
    found: list[ShapeList] = []
    for path in paths:
        whole = read_shape_list(path, generator)
        found += [
            replace(whole, names=[name], latents=whole.latents[number], metadata=[whole.metadata[number]])
            for number, name in enumerate(whole.names)
        ]
    if not names:
        return found
    files = ", ".join(map(str, paths)) or "no file of --latents"
    chosen = []
    for name in names:
        same = [one for one in found if one.names == [name]]
        if len(same) != 1:
            known = ", ".join(one.names[0] for one in found[:8]) + (", …" if len(found) > 8 else "") or "none"
            said = "no shape" if not same else f"{len(same)} shapes"
            raise InputError(f"--shape {name}: {said} of this name in {files}; the shapes are {known}")
        chosen += same
    return chosen


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
            raise InputError(f"{path}: {name!r} is not a plain file name; correct it")
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
        raise InputError(f"{source}: {error}; use the model that made them") from error


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
        raise InputError(f"{source} styles are not base64 ({error}); write the list again") from error
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
        return generator.sample_latents(1, whole(entry["seed"], "seed", SEED), label)
    codes = [torch.tensor([entry["latents"][kind]], dtype=torch.float32) for kind in ("geometry", "texture")]
    for code in codes:
        if code.shape != (1, config.z_dim):
            raise InputError(
                f"{source} has latents of {code.shape[-1]} numbers, this model takes {config.z_dim}; "
                "use the model that made them"
            )
        if not code.isfinite().all():
            raise InputError(f"{source} has latents that are not finite; correct them")
    if (label is None) != (not config.classes) or (label is not None and label not in config.classes):
        known = ", ".join(config.classes) or "none"
        raise InputError(f"{source} is of the class {label}, this model knows {known}; use the model that made it")
    number = None if label is None else torch.tensor([config.classes.index(label)], device=device)
    return Latents(codes[0].to(device), codes[1].to(device), number)
