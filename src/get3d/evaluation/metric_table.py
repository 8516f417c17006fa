"""The table of metrics, used by training snapshots, `get3d evaluate`, its report and `get3d runs`.

A new metric is one new row: its name, which direction is better, what it needs, and how it is computed from `Evidence`.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Literal

import numpy as np

from get3d.evaluation.evidence import Evidence, Need
from get3d.evaluation.shape_metrics import (
    DistanceName,
    Distances,
    Value,
    accuracy,
    covered,
    matching_distance,
    to_training,
    variety,
)
from get3d.metrics.feature_networks import FeatureName
from get3d.metrics.quality import MAIN

__all__ = ["METRICS", "Metric", "compute", "needs_of", "worse"]


@dataclass(frozen=True)
class Metric:
    """A row of the table.

    Attributes:
        name: its key in statistics, reports and options.
        title: its name in tables.
        better: which direction is better; "fifty": nearer to 50, "real": nearer to the value of real objects.
        group: its section of the report.
        text: explanation.
        needs: what it is computed from.
        compute: returns the number, or None if there is none, such as a distance between no shapes.
        digits: number of decimals.
        caveat: why a better model can have a worse number.
    """

    name: str
    title: str
    better: Literal["lower", "higher", "fifty", "real"] | None
    group: str
    text: str
    needs: tuple[Need, ...]
    compute: Callable[[Evidence], Value | float | None]
    digits: int = 2
    caveat: str = ""


_IMAGES, _MESHES, _TEXTURES = "Images", "Meshes", "Textures"


def _image_rows() -> Iterable[Metric]:
    swd = "Sliced Wasserstein distance of patches of a Laplacian pyramid; needs no trained network."
    yield Metric(
        "swd",
        "SWD ×10³",
        "lower",
        _IMAGES,
        "The sum of the next two.",
        ("images",),
        lambda found: found.swd["rgb"] + found.swd["mask"],
    )
    yield Metric("swd_rgb", "SWD of colours ×10³", "lower", _IMAGES, swd, ("images",), lambda found: found.swd["rgb"])
    yield Metric(
        "swd_mask",
        "SWD of masks ×10³",
        "lower",
        _IMAGES,
        "The same for the masks: outlines only.",
        ("images",),
        lambda found: found.swd["mask"],
    )
    networks: tuple[tuple[FeatureName, str, str, str], ...] = (
        ("inception", "Inception", "fid", "kid"),
        ("efficientnet", "EfficientNet-Lite", "fed", "ked"),
    )
    for network, title, frechet, kernel in networks:
        yield Metric(
            frechet,
            frechet.upper(),
            "lower",
            _IMAGES,
            f"Fréchet distance of {title} features. Depends on the number of images: compare equal numbers only.",
            (network,),
            _frechet(network),
        )
        yield Metric(
            kernel,
            f"{kernel.upper()} ×10³",
            "lower",
            _IMAGES,
            f"Kernel distance of {title} features; does not depend on the number.",
            (network,),
            _kernel(network),
            3,
        )
    for name, text in (
        ("precision", "Share of the generated images within reach of a real one."),
        ("recall", "Share of the real images within reach of a generated one."),
    ):
        yield Metric(name, f"{name.title()} %", "higher", _IMAGES, text, ("inception",), _reached(name))


def _frechet(network: FeatureName) -> Callable[[Evidence], float]:
    return lambda found: found.features[network].frechet


def _kernel(network: FeatureName) -> Callable[[Evidence], float]:
    return lambda found: found.features[network].kernel(found.random())


def _reached(name: str) -> Callable[[Evidence], float]:
    return lambda found: 100 * float(getattr(found.reached, name))


def _shape_rows(name: DistanceName, distance: str, digits: int) -> Iterable[Metric]:
    short, group = name.upper(), f"Shapes, {distance}"

    def of(measure: Callable[[Distances], Value | None]) -> Callable[[Evidence], Value | None]:
        return lambda found: measure(found.distances[name])

    yield Metric(
        f"cov_{name}",
        f"COV-{short} %",
        "higher",
        group,
        "Share of the references that are nearest to some generated shape. Low: some kinds of shapes are missing.",
        (name,),
        of(covered),
        caveat="Bad shapes also spread over many references, so noise has a high coverage.",
    )
    yield Metric(
        f"mmd_{name}",
        f"MMD-{short}",
        "lower",
        group,
        "Mean distance from a reference to the nearest generated shape. Falls with the number generated.",
        (name,),
        of(matching_distance),
        digits,
    )
    yield Metric(
        f"1nna_{name}",
        f"1-NNA-{short} %",
        "fifty",
        group,
        "How often a shape's nearest other is of its own set, both sets equally large. 100: the sets are told apart "
        "always; well below 50: generated shapes are copies of references.",
        (name,),
        of(accuracy),
    )
    yield Metric(
        f"variety_{name}",
        f"Variety-{short}",
        "real",
        group,
        "Mean distance between two generated shapes. Far below that of real objects the model repeats itself.",
        (name,),
        of(variety),
        digits,
        caveat="Small components and blobs of all sizes lie far from each other; shapes that have become similar "
        "do not, until their details differ.",
    )
    yield Metric(
        f"train_{name}",
        f"To training-{short}",
        "real",
        group,
        "Median distance from a generated shape to the nearest training object; for real objects, from a reference. "
        "Far below, the model has memorised objects.",
        (name, "training objects"),
        of(to_training),
        digits,
    )


def _share(holds: Callable[[dict[str, np.ndarray]], np.ndarray]) -> Callable[[Evidence], float]:
    """The share of the shapes that were asked for of which something holds; it holds of no empty shape."""
    return lambda found: 100 * float(holds(found.quality).sum()) / found.asked


def _mean(name: str, factor: float = 1.0) -> Callable[[Evidence], float | None]:
    """The mean over the shapes with a surface of which a number is known; None where there are none."""

    def compute(found: Evidence) -> float | None:
        values = found.quality[name]
        known = values[np.isfinite(values)]
        return factor * float(known.mean()) if len(known) else None

    return compute


def _faces(name: str, bins: slice) -> Callable[[Evidence], float | None]:
    """The share of all faces that are counted in some bins, in per cent."""

    def compute(found: Evidence) -> float | None:
        counts = found.quality[name].sum(axis=0)
        return 100 * float(counts[bins].sum() / counts.sum()) if counts.sum() else None

    return compute


def _mesh_row(
    name: str,
    title: str,
    better: Literal["lower", "higher", "real"] | None,
    text: str,
    compute: Callable[[Evidence], float | None],
    caveat: str = "",
    digits: int = 2,
) -> Metric:
    return Metric(name, title, better, _MESHES, text, ("meshes",), compute, digits, caveat)


_AS_PARTS = (
    "Objects assembled from closed parts have many; images do not tell, so a model makes one surface, and small "
    "components next to it."
)

_MESH_ROWS = (
    _mesh_row(
        "empty",
        "Empty %",
        "lower",
        "Shapes without a surface. They count as not watertight, not manifold and not of a single body; distances and "
        "means leave them out.",
        lambda found: 100 * (found.asked - len(found.quality["faces"])) / found.asked,
    ),
    _mesh_row(
        "watertight",
        "Watertight %",
        "higher",
        "Closed, two faces at every edge, facing outward: fit to print.",
        _share(lambda quality: quality["watertight"]),
    ),
    _mesh_row(
        "manifold",
        "Manifold %",
        "higher",
        "No edge has more than two faces.",
        _share(lambda quality: quality["manifold"]),
    ),
    _mesh_row(
        "self_intersection_free",
        "Free of self-intersection %",
        "higher",
        "No face intersects a face that is not its neighbour.",
        _share(lambda quality: quality["intersecting"] == 0),
        "Larger deformations of the grid, which detail needs, make cuts likelier.",
    ),
    _mesh_row(
        "watertight_single_body",
        "Watertight single body %",
        "higher",
        "Watertight, and one component has at least 90 % of the area; smaller components do not count.",
        _share(lambda quality: (quality["watertight"] > 0) & (quality["largest_component_area"] >= MAIN)),
        "Objects assembled from closed parts are in pieces that touch; a model makes one surface of them.",
    ),
    _mesh_row(
        "single_body",
        "Single body %",
        "real",
        "All faces are connected by edges. Small components next to the object lower it.",
        _share(lambda quality: quality["components"] == 1),
        _AS_PARTS,
    ),
    _mesh_row(
        "largest_component_area",
        "Largest component %",
        "real",
        "Mean share of the area that the largest component has.",
        _mean("largest_component_area", 100.0),
        _AS_PARTS,
    ),
    _mesh_row(
        "components", "Components", "real", "Mean number of parts that no edge joins.", _mean("components"), _AS_PARTS
    ),
    _mesh_row(
        "genus",
        "Handles",
        "real",
        "Mean genus of the closed ones: holes through the shape.",
        _mean("genus"),
        "Holes appear late and at first too many: gaps between slats count each.",
    ),
    _mesh_row("faces", "Faces", None, "Mean number of triangles.", _mean("faces"), digits=0),
    _mesh_row(
        "slivers",
        "Slivers %",
        "lower",
        "Share of the faces with an angle below 10°.",
        _faces("angle_counts", slice(0, 2)),
        "A smooth blob is cut evenly by the grid; flat, detailed surfaces near grid vertices are not.",
    ),
    _mesh_row(
        "stretched",
        "Stretched %",
        "lower",
        "Share of the faces with an aspect above 10.",
        _faces("aspect_counts", slice(5, None)),
        "As slivers.",
    ),
    _mesh_row(
        "thin",
        "Thin sheets %",
        "real",
        "Share of the area behind which a shape is thinner than 1 % of its length.",
        _mean("thin", 100.0),
        "A blob has none; thin parts pass through paper-thin ones while they form.",
    ),
    _mesh_row(
        "roughness",
        "Roughness °",
        "real",
        "Mean sum of the angles between neighbouring faces along a path of 1 % of the length.",
        _mean("roughness"),
        "A blob is smoother than any real object.",
    ),
)


def _texture_row(field: str, title: str, better: Literal["lower", "higher"], text: str, caveat: str) -> Metric:
    def compute(found: Evidence) -> float | None:
        values = [getattr(texture, field) for texture in found.textures]
        return 100 * float(np.mean(values)) if values else None

    return Metric(f"texture_{field}", title, better, _TEXTURES, text, ("textures",), compute, caveat=caveat)


_TEXTURE_ROWS = (
    _texture_row(
        "used",
        "Texels used %",
        "higher",
        "Share of the texture that faces show.",
        "A blob unwraps into few large charts; more detailed shapes into more, which pack less well.",
    ),
    _texture_row(
        "black", "Black texels %", "lower", "Share of the used texels that are black.", "An object may be black."
    ),
    _texture_row(
        "seam",
        "Seam texels %",
        "lower",
        "Share of the used texels at the border of a chart.",
        "More detailed shapes unwrap into more charts.",
    ),
)

METRICS: dict[str, Metric] = {
    row.name: row
    for row in (
        *_image_rows(),
        *_shape_rows("cd", "Chamfer distance ×10³", 3),
        *_shape_rows("lfd", "light field distance", 0),
        *_MESH_ROWS,
        *_TEXTURE_ROWS,
    )
}
"""By name, in the order of the report."""


def needs_of(names: Iterable[str]) -> frozenset[Need]:
    """The inputs of some metrics."""
    return frozenset(need for name in names for need in METRICS[name].needs)


def compute(names: Iterable[str], found: Evidence) -> dict[str, Value]:
    """Computes metrics by name, without those that have no number.

    Args:
        names: names of the metrics, in any order.
        found: their inputs.
    """
    values = ((name, METRICS[name].compute(found)) for name in names)
    return {
        name: value if isinstance(value, Value) else Value(float(value)) for name, value in values if value is not None
    }


def worse(name: str, value: float, real: float | None) -> float | None:
    """Distance of a number from the best value, in its own unit; None if no direction is better, or none is known."""
    better = METRICS[name].better
    if better == "lower":
        return value
    if better == "higher":
        return -value
    if better == "fifty":
        return abs(value - 50)
    if better == "real" and real is not None:
        return abs(value - real)
    return None
