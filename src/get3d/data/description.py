"""What a dataset says of itself: `dataset.json`, and what holds for datasets that have none."""

import math
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from get3d.camera_prior import CameraPrior
from get3d.files import InputError, read_json, write_json

__all__ = ["SPLITS", "Assumed", "Description", "require_prior", "split_of"]

SPLITS = ("train", "val", "test")
_FORMAT = 1
_PATTERN = ("train", "train", "train", "test", "train", "train", "val", "train", "train", "test")


def split_of(number: int) -> str:
    """The split of the object of a number: of ten in a row seven train, one val, two test, as in the paper."""
    return _PATTERN[number % len(_PATTERN)]


@dataclass(frozen=True)
class Assumed:
    """What a dataset without a `dataset.json`, as published ones are, is taken to be.

    Attributes:
        scale: longest side of the objects' bounding boxes.
        prior: where the cameras were drawn from.
    """

    scale: float = 0.9
    prior: CameraPrior = field(default_factory=CameraPrior)


@dataclass(frozen=True)
class Description:
    """What `dataset.json` says.

    Attributes:
        kind: what the objects are.
        resolution: side of the pictures in pixels.
        scale: longest side of the objects' bounding boxes.
        prior: where the cameras were drawn from; radius and field of view hold for all pictures.
        splits: names of the objects in each split.
        licence: of the pictures and meshes (an SPDX identifier where there is one).
        source: how the dataset was made: command, seed, settings.
        labels: names of the objects of each class, by the name of the class; empty where all are of one kind.
    """

    kind: str
    resolution: int
    scale: float
    prior: CameraPrior
    splits: dict[str, list[str]]
    licence: str
    source: dict[str, Any] = field(default_factory=dict)
    labels: dict[str, list[str]] = field(default_factory=dict)

    def write(self, root: Path) -> None:
        """Writes `dataset.json` in the folder."""
        prior = {name: getattr(self.prior, name) for name in ("azimuth", "polar", "radius", "fov")}
        write_json(
            root / "dataset.json",
            {
                "format": _FORMAT,
                "kind": self.kind,
                "resolution": self.resolution,
                "scale": self.scale,
                "camera": prior,
                "licence": self.licence,
                "source": self.source,
                "splits": self.splits,
            }
            | ({"labels": self.labels} if self.labels else {}),
        )

    @classmethod
    def read(cls, root: Path) -> "Description":
        """Reads `dataset.json` of the folder.

        Raises:
            InputError: it is missing, or a value is missing or of a wrong kind.
        """
        path = root / "dataset.json"
        values = read_json(path)
        if not isinstance(values, dict) or values.get("format") != _FORMAT:
            found = values.get("format") if isinstance(values, dict) else type(values).__name__
            raise InputError(f"{path}: format is {found!r}, this program reads {_FORMAT}; make the dataset again")
        try:
            return cls(
                kind=str(values["kind"]),
                resolution=int(values["resolution"]),
                scale=float(values["scale"]),
                prior=_prior(values["camera"]),
                splits=_names(values["splits"]),
                licence=str(values["licence"]),
                source=dict(values["source"]),
                labels=_names(values.get("labels", {})),
            )
        except KeyError as error:
            raise InputError(f"{path}: the value {error} is missing; see docs/datasets.md for what it means") from error
        except (AttributeError, TypeError, ValueError) as error:
            raise InputError(f"{path}: {error}; see docs/datasets.md for what each value means") from error


def _names(values: dict[str, Any]) -> dict[str, list[str]]:
    return {str(part): [str(name) for name in names] for part, names in values.items()}


def require_prior(prior: CameraPrior) -> CameraPrior:
    """The same prior, if cameras can be drawn from it.

    Raises:
        ValueError: a range is empty, or a value cannot be what it is meant to be.
    """
    for name in ("azimuth", "polar"):
        low, high = getattr(prior, name)
        if not -math.inf < low < high < math.inf:
            raise ValueError(f"{name} is {low:g} to {high:g}, not a lower and a higher bound in degrees")
    low, high = prior.polar
    if low < 0 or high > 180 or high <= math.pi:
        raise ValueError(f"polar is {low:g} to {high:g}, not an angle in degrees from straight above (0 to 180)")
    if not (0 < prior.radius < math.inf and 1 < prior.fov < 179):
        raise ValueError(f"radius is {prior.radius:g} and fov {prior.fov:g}, not a distance and an angle in degrees")
    return prior


def _prior(values: dict[str, Any]) -> CameraPrior:
    (left, right), (top, bottom) = values["azimuth"], values["polar"]
    ranges = (float(left), float(right)), (float(top), float(bottom))
    return require_prior(CameraPrior(*ranges, float(values["radius"]), float(values["fov"])))
