"""Directions in the style space W that change shapes in a meaningful way, and the names that users give them.

The directions are the principal components of the styles that a mapping network gives (Härkönen et al. 2020,
"GANSpace: Discovering Interpretable GAN Controls"), of geometry and of texture separately.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal

import torch

from get3d.bundled import bundled
from get3d.checkpoints.model import model_file
from get3d.files import FORMAT, InputError, read_json, require_format, write_json
from get3d.generator import Generator
from get3d.latents import Styles
from get3d.networks import Mapping, StylePrior
from get3d.storage import restore

__all__ = [
    "DIRECTIONS",
    "Direction",
    "directions_file",
    "find_directions",
    "moved",
    "read_directions",
    "renamed",
    "write_directions",
]

Kind = Literal["geometry", "texture"]
COUNT = 4
"""Directions of geometry, and as many of texture."""
DIRECTIONS = "directions.json"
_SAMPLES = 10_000
_LONGEST = 60
"""Characters of a name."""


@dataclass(frozen=True)
class Direction:
    """A direction in W.

    Attributes:
        name: given by the user, or its kind and number.
        kind: which styles it changes.
        vector: [w] one standard deviation of the styles along it.
    """

    name: str
    kind: Kind
    vector: list[float]


@torch.no_grad()
def find_directions(generator: Generator) -> list[Direction]:
    """The principal components of W with the largest variance: geometry first, then texture."""
    found: list[Direction] = []
    # On the CPU, so that a direction has the same sign on every device.
    random = torch.Generator().manual_seed(0)
    mappings: dict[Kind, Mapping] = {
        "geometry": generator.mapping_geometry,
        "texture": generator.mapping_texture,
    }
    for kind, mapping in mappings.items():
        z = torch.randn(_SAMPLES, mapping.z_dim, generator=random).to(generator.device)
        classes = len(generator.config.classes)
        label = torch.randint(classes, (_SAMPLES,), generator=random).to(z.device) if classes else None
        styles = mapping(z, label).double().cpu()
        if label is not None:
            # Otherwise the first components would be the differences between classes.
            mean = torch.stack([styles[label.cpu() == number].mean(0) for number in range(classes)])
            styles = styles - mean[label.cpu()]
        axes = StylePrior.fitted(styles, COUNT).directions
        # The sign of a component is arbitrary: its largest number is positive here.
        axes = axes * axes.gather(1, axes.abs().argmax(1, keepdim=True)).sign()
        for number, vector in enumerate(axes.float().tolist()):
            found.append(Direction(f"{kind} {number + 1}", kind, vector))
    return found


def moved(styles: Styles, directions: Sequence[Direction], steps: Sequence[float]) -> Styles:
    """Styles moved along directions, in every layer.

    Args:
        styles: of one shape, for every layer (W+).
        directions: the directions.
        steps: how far along each, in standard deviations.
    """
    changed = {"geometry": styles.geometry, "texture": styles.texture}
    for direction, step in zip(directions, steps, strict=True):
        if step:
            changed[direction.kind] = changed[direction.kind] + step * styles.geometry.new_tensor(direction.vector)
    return Styles(**changed)


def renamed(directions: Sequence[Direction], number: int, name: str) -> list[Direction]:
    """The directions, one with another name.

    Raises:
        InputError: the name is empty, too long, not printable, or the name of another one.
    """
    name = name.strip()
    if not name or len(name) > _LONGEST or not name.isprintable():
        raise InputError(f"a direction cannot be called {name!r:.70}; give 1 to {_LONGEST} printable characters")
    if any(direction.name == name for other, direction in enumerate(directions) if other != number):
        raise InputError(f"another direction is called {name!r}; give another name")
    return [
        Direction(name, direction.kind, direction.vector) if other == number else direction
        for other, direction in enumerate(directions)
    ]


def directions_file(model: str, out: Path) -> Path:
    """Where the names are stored: next to the model; for a bundled model, in the folder of saved objects."""
    path = model_file(model)
    return (out if path in bundled().values() else path.parent) / DIRECTIONS


def read_directions(path: Path, generator: Generator) -> list[Direction]:
    """The stored directions, or those of the model if there is no file.

    Raises:
        InputError: the file is damaged, or of another model.
    """
    if not path.exists():
        return find_directions(generator)
    values = require_format(read_json(path), path, "remove it, and name the directions again")
    entries = values.get("directions")
    if not isinstance(entries, list) or len(entries) != 2 * COUNT:
        raise InputError(f"{path}: must list {2 * COUNT} directions; remove it, and name the directions again")
    found: list[Direction] = []
    for entry in entries:
        direction = restore(Direction, entry, path)
        if len(direction.vector) != generator.config.w_dim:
            raise InputError(
                f"{path}: {direction.name!r:.70} has {len(direction.vector)} numbers, but this model's styles have "
                f"{generator.config.w_dim}; remove it, and name the directions again"
            )
        found.append(direction)
    try:
        for number, direction in enumerate(found):
            renamed(found, number, direction.name)
    except InputError as error:
        raise InputError(f"{path}: {error}") from error
    return found


def write_directions(path: Path, directions: Sequence[Direction]) -> None:
    """Stores directions with their names.

    Raises:
        InputError: the file cannot be written.
    """
    write_json(path, {"format": FORMAT, "directions": [asdict(direction) for direction in directions]})
