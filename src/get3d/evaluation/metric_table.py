"""What each number of a report is called, which way is better, and what it means: the report's own explanation."""

from dataclasses import dataclass
from typing import Literal

__all__ = ["METRICS", "Metric", "worse"]


@dataclass(frozen=True)
class Metric:
    """A row of the report's table.

    Attributes:
        title: its name in the table.
        better: which way is better; "fifty" nearer to 50, "real" nearer to what real objects give.
        group: the part of the table it stands in.
        text: what it is.
        digits: decimals shown.
        caveat: how a better model can have a worse number.
    """

    title: str
    better: Literal["lower", "higher", "fifty", "real"] | None
    group: str
    text: str
    digits: int = 2
    caveat: str = ""


_DISTANCES = {
    "cd": ("Chamfer distance ×10³", 3),
    "lfd": ("light field distance", 0),
}


def _shape_metrics() -> dict[str, Metric]:
    metrics: dict[str, Metric] = {}
    for name, (distance, digits) in _DISTANCES.items():
        short, group = name.upper(), f"Shapes, {distance}"
        metrics |= {
            f"cov-{name}": Metric(
                f"COV-{short} %",
                "higher",
                group,
                "Share of the references that are nearest to some generated shape. Low: whole styles are missing.",
                caveat="Shapeless shapes spread over many references, too, so noise covers well.",
            ),
            f"mmd-{name}": Metric(
                f"MMD-{short}",
                "lower",
                group,
                "Mean distance from a reference to the nearest generated shape. Falls with the number generated.",
                digits,
            ),
            f"1nna-{name}": Metric(
                f"1-NNA-{short} %",
                "fifty",
                group,
                "How often a shape's nearest other is of its own set, both sets equally large. 100: the sets are told "
                "apart always; well below 50: generated shapes are copies of references.",
            ),
            f"variety-{name}": Metric(
                f"Variety-{short}",
                "real",
                group,
                "Mean distance between two generated shapes. Far below that of real objects the model repeats itself.",
                digits,
                caveat="Small components and blobs of all sizes lie far from each other; shapes that have become alike "
                "in kind do not, until their details differ.",
            ),
            f"train-{name}": Metric(
                f"To training-{short}",
                "real",
                group,
                "Median distance from a generated shape to the nearest training object; for real objects, from a "
                "reference. Far below, the model has learned objects memorised.",
                digits,
            ),
        }
    return metrics


METRICS: dict[str, Metric] = {
    "swd-rgb": Metric(
        "SWD images ×10³",
        "lower",
        "Images",
        "Sliced Wasserstein distance of patches of a Laplacian pyramid; needs no trained network.",
    ),
    "swd-mask": Metric("SWD masks ×10³", "lower", "Images", "The same for the masks: outlines alone."),
    "fid": Metric(
        "FID",
        "lower",
        "Images",
        "Fréchet distance of Inception features. Depends on the number of images: compare equal numbers only.",
    ),
    "kid": Metric(
        "KID ×10³", "lower", "Images", "Kernel distance of Inception features; does not depend on the number.", 3
    ),
    "precision": Metric("Precision %", "higher", "Images", "Share of the generated images within reach of a real one."),
    "recall": Metric("Recall %", "higher", "Images", "Share of the real images within reach of a generated one."),
    **_shape_metrics(),
    "empty": Metric(
        "Without a surface %", "lower", "Meshes", "Shapes that have none; the other numbers leave them out."
    ),
    "watertight": Metric(
        "Watertight %", "higher", "Meshes", "Closed, two faces at every edge, facing outward: fit to print."
    ),
    "manifold": Metric("Manifold %", "higher", "Meshes", "No edge has more than two faces."),
    "uncut": Metric(
        "Free of self-intersection %",
        "higher",
        "Meshes",
        "No face cuts another that is no neighbour.",
        caveat="Larger deformations of the grid, which detail needs, make cuts likelier.",
    ),
    "whole": Metric(
        "Whole %",
        "higher",
        "Meshes",
        "Watertight, and one part has at least 90 % of the area; small components does not count.",
        caveat="Objects put together from closed parts are in pieces that touch; a model makes one surface of them.",
    ),
    "single": Metric(
        "In one part %",
        "real",
        "Meshes",
        "All faces hang together. Floating small components lowers it.",
        caveat="Objects put together from closed parts have many; images do not tell, so a model makes one surface, "
        "and small components beside it.",
    ),
    "components": Metric(
        "Parts",
        "real",
        "Meshes",
        "Mean number of parts that no edge joins.",
        caveat="As in one part.",
    ),
    "genus": Metric(
        "Handles",
        "real",
        "Meshes",
        "Mean genus of the closed ones: holes through the shape.",
        caveat="Holes appear late and at first too many: gaps between slats count each.",
    ),
    "faces": Metric("Faces", None, "Meshes", "Mean number of triangles.", 0),
    "slivers": Metric(
        "Slivers %",
        "lower",
        "Meshes",
        "Share of the faces with an angle below 10°.",
        caveat="A smooth blob is cut evenly by the grid; flat, detailed surfaces near grid vertices are not.",
    ),
    "stretched": Metric(
        "Stretched %",
        "lower",
        "Meshes",
        "Share of the faces with an aspect above 10.",
        caveat="As slivers.",
    ),
    "thin": Metric(
        "Thin sheets %",
        "real",
        "Meshes",
        "Share of the area behind which a shape is thinner than 1 % of its length.",
        caveat="A blob has none; thin parts pass through paper-thin ones while they form.",
    ),
    "texture-used": Metric(
        "Texels used %",
        "higher",
        "Textures",
        "Share of the texture that faces show.",
        caveat="A blob unwraps into few large charts; more detailed shapes into more, which pack less well.",
    ),
    "texture-black": Metric(
        "Black texels %",
        "lower",
        "Textures",
        "Share of the used texels that are black.",
        caveat="An object may be black.",
    ),
    "texture-seam": Metric(
        "Seam texels %",
        "lower",
        "Textures",
        "Share of the used texels at the border of a chart.",
        caveat="More detailed shapes unwrap into more charts.",
    ),
}


def worse(name: str, value: float, real: float | None) -> float | None:
    """How far a number is from the best there is, in its own unit; None where no way is better, or none is known."""
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
