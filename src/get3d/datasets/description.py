"""`dataset.json`, and the values that are assumed without it."""

import math
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Annotated, Any, get_args

from get3d.camera_prior import CameraPrior
from get3d.files import FORMAT, InputError, read_json, require_format, require_name, require_names, write_json
from get3d.light_prior import LightName, LightPrior, ShadingName
from get3d.ranges import Range, whole

__all__ = ["LARGEST", "SPLITS", "Assumed", "Description", "require_prior", "require_scale", "split_of"]

SPLITS = ("train", "val", "test")
LARGEST = 1e6
"""Largest length or angle, for single precision."""
_PATTERN = ("train", "train", "train", "test", "train", "train", "val", "train", "train", "test")


def split_of(number: int) -> str:
    """The split of an object by its number: of ten in a row, seven train, one val, two test, as in the paper."""
    return _PATTERN[number % len(_PATTERN)]


@dataclass(frozen=True)
class Assumed:
    """Assumed values for a dataset without a `dataset.json`, such as published ones.

    Attributes:
        scale: longest side of the objects' bounding boxes.
        prior: where the cameras were drawn from.
    """

    scale: Annotated[float, Range(0, 2, above=True, below=True)] = 0.9
    prior: CameraPrior = field(default_factory=CameraPrior)


@dataclass(frozen=True)
class Description:
    """The content of `dataset.json`.

    Attributes:
        kind: what the objects are.
        resolution: side of the images in pixels.
        scale: longest side of the objects' bounding boxes.
        prior: the distribution of the cameras; radius and field of view hold for all images.
        splits: names of the objects in each split.
        licence: licence of the images and meshes, an SPDX identifier if there is one.
        source: how the dataset was made: command, seed, settings.
        labels: names of the objects of each class, by class; empty if all objects are of one kind.
        light: the light of the images; None if it is unknown.
    """

    kind: str
    resolution: int
    scale: float
    prior: CameraPrior
    splits: dict[str, list[str]]
    licence: str
    source: dict[str, Any] = field(default_factory=dict)
    labels: dict[str, list[str]] = field(default_factory=dict)
    light: LightPrior | None = None

    def write(self, root: Path) -> None:
        """Writes `dataset.json` in the folder.

        Raises:
            InputError: a name is not valid in a dataset, or the file cannot be written.
        """
        members = [name for names in self.splits.values() for name in names]
        require_names([self.kind, *self.labels, *members], root / "dataset.json")
        prior = {name: getattr(self.prior, name) for name in ("azimuth", "polar", "radius", "fov")}
        write_json(
            root / "dataset.json",
            {
                "format": FORMAT,
                "kind": self.kind,
                "resolution": self.resolution,
                "scale": self.scale,
                "camera": prior,
                "licence": self.licence,
                "source": self.source,
                "splits": self.splits,
            }
            | ({"labels": self.labels} if self.labels else {})
            | ({} if self.light is None else {"light": asdict(self.light)}),
        )

    @classmethod
    def read(cls, root: Path) -> "Description":
        """Reads `dataset.json` of the folder.

        Raises:
            InputError: the file or a value is missing, or a value is wrong.
        """
        path = root / "dataset.json"
        values = require_format(read_json(path), path, "make the dataset again")
        try:
            labels = _names(values.get("labels", {}))
            require_names(list(labels), f"{path}: labels")
            return cls(
                kind=require_name(str(values["kind"]), f"{path}: kind"),
                resolution=whole(values["resolution"], "the resolution", Range(1)),
                scale=require_scale(float(values["scale"])),
                prior=_prior(values["camera"]),
                splits=_splits(values["splits"]),
                licence=str(values["licence"]),
                source=dict(values["source"]),
                labels=labels,
                light=_light(values["light"]) if values.get("light") is not None else None,
            )
        except InputError:
            raise
        except KeyError as error:
            raise InputError(f"{path}: the value {error} is missing; see docs/datasets.md for its meaning") from error
        except (AttributeError, TypeError, ValueError, ArithmeticError) as error:
            raise InputError(f"{path}: {error}; see docs/datasets.md for the meaning of each value") from error


def _names(values: Any) -> dict[str, list[str]]:
    for part, names in values.items():
        if not isinstance(names, list):
            raise TypeError(f"{part} is {type(names).__name__}, not a list of names")
    return {str(part): [str(name) for name in names] for part, names in values.items()}


def _splits(values: Any) -> dict[str, list[str]]:
    splits = _names(values)
    unknown = [split for split in splits if split not in SPLITS]
    if unknown:
        raise ValueError(f"splits has the entry {unknown[0]!r}, not one of {', '.join(SPLITS)}")
    return {split: splits.get(split, []) for split in SPLITS}


def require_scale(scale: float) -> float:
    """Returns a scale after checking it.

    Raises:
        ValueError: objects cannot have this length.
    """
    if not 0 < scale <= LARGEST:
        raise ValueError(f"scale is {scale:g}, not the longest side of the objects: above 0, at most {LARGEST:g}")
    return scale


def require_prior(prior: CameraPrior) -> CameraPrior:
    """Returns a camera prior after checking it.

    Raises:
        ValueError: a range is empty, or a value is impossible.
    """
    for name in ("azimuth", "polar"):
        low, high = getattr(prior, name)
        if not -LARGEST <= low < high <= LARGEST:
            raise ValueError(f"{name} is {low:g} to {high:g}, not a lower and a higher bound in degrees")
    low, high = prior.polar
    if low < 0 or high > 180 or high <= math.pi:
        raise ValueError(f"polar is {low:g} to {high:g}, not an angle in degrees from straight above (0 to 180)")
    if not (0 < prior.radius <= LARGEST and 1 < prior.fov < 179):
        raise ValueError(f"radius is {prior.radius:g} and fov {prior.fov:g}, not a distance and an angle in degrees")
    return prior


def _prior(values: Any) -> CameraPrior:
    (left, right), (top, bottom) = values["azimuth"], values["polar"]
    ranges = (float(left), float(right)), (float(top), float(bottom))
    return require_prior(CameraPrior(*ranges, float(values["radius"]), float(values["fov"])))


def _light(values: Any) -> LightPrior:
    kind, turned, shading = values["kind"], values["turned"], values["shading"]
    known = {"kind": get_args(LightName), "shading": get_args(ShadingName), "turned": (False, True)}
    for name, value in (("kind", kind), ("turned", turned), ("shading", shading)):
        if value not in known[name]:
            raise ValueError(f"the light's {name} is {value!r}, not one of {', '.join(map(str, known[name]))}")
    return LightPrior(kind, bool(turned), shading)
