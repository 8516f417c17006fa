"""Advice on datasets: framing of objects, distribution of cameras, repeated images."""

import math
from collections.abc import Mapping, Sequence
from itertools import pairwise

import numpy as np
from jaxtyping import Float

from get3d.camera_prior import CameraPrior
from get3d.console import counted
from get3d.datasets.alpha import Framing
from get3d.datasets.index import Listing
from get3d.datasets.silhouette_consistency import Comparison

__all__ = [
    "AXES",
    "border_advice",
    "camera_advice",
    "framing_advice",
    "in_range",
    "mesh_advice",
    "repeated_advice",
    "split_advice",
    "unlike_their_mesh",
]

AXES = {"azimuth": ("azimuth", 12), "polar": ("polar angle", 6)}
"""Of each angle, by its name in the prior, its name in words, and into how many equal parts its range is divided."""
_EXPECTED = 8
"""Parts of which no more images than this can be expected tell nothing."""
_FEW = 0.25
_MANY = 0.1
"""More images than this share in which the object touches the border are not a matter of single views."""
_SMALL, _OFF = 0.35, 0.15
"""Half of the objects are smaller than, or farther off the middle than, these shares of their images."""
_NAMED = 3
_ODD = 0.5
"""Images that agree with their mesh by less than this share of what is usual are of another object or camera."""


def border_advice(framings: Sequence[Framing], prior: CameraPrior) -> list[str]:
    """How many images show an object that touches the border, and what to do if these are many."""
    touching = sum(one.touching for one in framings)
    if not touching:
        return []
    share = touching / len(framings)
    shows = "shows" if touching == 1 else "show"
    text = f"{counted(touching, 'image')} ({100 * share:.1f} %) {shows} an object that touches the border"
    if share > _MANY:
        # The sphere about a cube of this side just fits between the borders.
        fits = 2 * prior.radius * math.sin(math.radians(prior.fov) / 2) / math.sqrt(3)
        text += (
            f": objects are cut off. Render them with a smaller --scale ({math.floor(100 * fits) / 100:g} fits any "
            "form); of photographs, import wider ones, or with --fit pad"
        )
    return [text]


def framing_advice(framings: Sequence[Framing], prior: CameraPrior) -> list[str]:
    """Size and position of objects in their images."""
    if not framings:
        return []
    extents, offsets = (np.array([getattr(one, name) for one in framings]) for name in ("extent", "offset"))
    low, middle, high = (f"{value:.0%}" for value in np.quantile(extents, [0, 0.5, 1]))
    advice = [f"objects are {low} to {high} of their images' side long, half of them more than {middle}"]
    advice += border_advice(framings, prior)
    if np.median(extents) < _SMALL:
        advice.append(
            "objects are small in their images, and most of each image is empty: crop the images, or move the cameras "
            "nearer"
        )
    if np.median(offsets) > _OFF:
        advice.append(
            f"half of the objects are more than {np.median(offsets):.0%} of the side off the middle of their image: "
            "cameras should look at the objects' centre"
        )
    return advice


def in_range(listing: Listing) -> Float[np.ndarray, "n 2"]:
    """Azimuth and polar angle in degrees, with azimuth shifted to the prior's range; NaN if not finite."""
    degrees = np.where(np.isfinite(listing.angles), np.degrees(listing.angles), np.nan)
    low = listing.prior.azimuth[0]
    return np.stack([(degrees[:, 0] - low) % 360 + low, degrees[:, 1]], axis=1)


def camera_advice(listing: Listing) -> list[str]:
    """Parts of the range of angles with far fewer cameras than a uniform distribution, as of the generator, has."""
    advice = []
    for values, (name, (what, bins)) in zip(in_range(listing).T, AXES.items(), strict=True):
        low, high = getattr(listing.prior, name)
        edges = np.linspace(low, high, bins + 1)
        counts = np.histogram(values[np.isfinite(values)], edges)[0]
        expected = len(values) / bins
        if expected < _EXPECTED:
            continue
        thin = [
            f"{a:.0f}° to {b:.0f}°" for (a, b), n in zip(pairwise(edges), counts, strict=True) if n < _FEW * expected
        ]
        if thin:
            advice.append(
                f"few cameras or none have their {what} in {', '.join(thin)}, where the generator will have cameras: "
                "narrow the range in dataset.json (`camera`), or add images"
            )
    return advice


def repeated_advice(listing: Listing, repeated: Sequence[Sequence[int]]) -> list[str]:
    """Images that are equal, pixel by pixel, and those of them that are in two splits."""
    if not repeated:
        return []

    def named(group: Sequence[int]) -> str:
        return " and ".join(listing.images[number] for number in group[:_NAMED])

    advice = [f"{sum(map(len, repeated))} images equal another one, pixel by pixel, for example {named(repeated[0])}"]
    owner = np.full(len(listing.objects), -1)
    for number, objects in enumerate(listing.splits.values()):
        owner[objects] = number
    leaks = []
    for group in repeated:
        splits = owner[listing.object_index[list(group)]]
        if len(np.unique(splits[splits >= 0])) > 1:
            leaks.append(group)
    if leaks:
        advice.append(
            f"{counted(len(leaks), 'image')} {'is' if len(leaks) == 1 else 'are'} in two splits, for example "
            f"{named(leaks[0])}: "
            "what is measured on one split is not new to a model trained on the other"
        )
    return advice


def split_advice(listing: Listing) -> list[str]:
    """Splits without objects, and the consequences."""
    others = [split for split in ("train", "val") if len(listing.splits.get(split, ()))]
    uses = {
        "val": "training measures its snapshots on the images that it learns from",
        "test": f"`get3d evaluate` needs {' or '.join(f'--split {split}' for split in others) or 'one with objects'}",
    }
    return [
        f"no object is in the split {split!r}: {use}"
        for split, use in uses.items()
        if not len(listing.splits.get(split, ()))
    ]


def mesh_advice(listing: Listing, comparisons: Mapping[int, Comparison]) -> list[str]:
    """Images that do not show their mesh, while others of the same object do."""
    odd = unlike_their_mesh(listing, comparisons)
    if not odd:
        return []
    names = ", ".join(listing.images[number] for number in odd[:_NAMED])
    return [f"{len(odd)} images do not show their object's mesh, while others of it do: {names}"]


def unlike_their_mesh(listing: Listing, comparisons: Mapping[int, Comparison]) -> list[int]:
    """Indices of the images that do not show their mesh, while others of the same object do."""
    odd: list[int] = []
    for number, found in comparisons.items():
        views = np.flatnonzero(listing.object_index == number)
        odd += views[np.flatnonzero(found.overlap < _ODD * np.median(found.overlap))].tolist()
    return odd
