"""The report of `get3d check` as a web page: thumbnails, cameras, and the worst examples."""

import html
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path

import numpy as np
import torch
from jaxtyping import UInt8
from PIL import Image, ImageDraw, ImageFont
from torch import Tensor

from get3d.color import bytes_to_unit, unit_to_bytes
from get3d.console import command_line
from get3d.datasets.advice import AXES, in_range
from get3d.datasets.check import Details, Report
from get3d.datasets.ground_truth import read_mesh
from get3d.datasets.index import Listing
from get3d.datasets.loader import decode_listed
from get3d.datasets.silhouette_consistency import silhouettes
from get3d.files import writing
from get3d.html import (
    COLORS,
    PageObject,
    Series,
    document,
    embeddable,
    embedded_objects,
    figure,
    folded,
    histogram,
    key,
)
from get3d.images import contact_sheet

__all__ = ["camera_diagram", "check_page", "write_page"]

_PROBLEMS = 500
_SIDE = 96
"""Approximate size of images in pixels."""
_COLUMNS, _THUMBNAILS, _WORST = 12, 48, 12
_TURNED = 8
"""Meshes that can be turned."""
_POINTS = 20_000
"""Maximum number of cameras in the diagram."""
_WIDTH, _HEIGHT, _BORDER = 1200, 520, 90
_EXTENTS = np.linspace(0, 1, 11)


def write_page(report: Report, path: Path) -> None:
    """Writes the page, and a diagram of the cameras as a .png next to it.

    Raises:
        InputError: a file cannot be written.
    """
    with writing(path) as temporary:
        temporary.write_text(check_page(report), encoding="utf-8")
    if report.details is not None:
        with writing(path.with_suffix(".png")) as temporary:
            camera_diagram(report.details.listing).save(temporary, format="PNG")


def check_page(report: Report) -> str:
    """The self-contained page."""
    title = f"Check of {report.root}"
    color = "good" if report.usable else "bad"
    parts = [f'<h1><span class="{color}">{html.escape(report.verdict)}</span></h1>', f"<p>{html.escape(title)}</p>"]
    if report.errors:
        parts.append("<ul>")
        parts += [f"<li>{html.escape(problem.message)}</li>" for problem in report.errors[:_PROBLEMS]]
        if len(report.errors) > _PROBLEMS:
            parts.append(f"<li>and {len(report.errors) - _PROBLEMS} more</li>")
        parts.append("</ul>")
    parts += ["<ul>", *(f"<li>{html.escape(line)}</li>" for line in report.summary), "</ul>"]
    if report.details is not None:
        parts += _images(report.details, report.resolution) + _cameras(report.details)
    command = command_line()
    if command is not None:
        parts.append(folded("Settings", f"<pre>{html.escape(command)}</pre>"))
    return document(title, "\n".join(parts))


def _images(details: Details, resolution: int) -> list[str]:
    """Thumbnails, and the images that are farthest from what one wants."""
    numbers = list(details.framings)
    if not numbers:
        return []
    framings = details.framings
    parts = ["<h2>Images</h2>"]
    spread = [numbers[i] for i in np.unique(np.linspace(0, len(numbers) - 1, _THUMBNAILS).round().astype(int))]
    parts.append(figure(_sheet(details.listing, spread, resolution), f"{len(spread)} of {len(numbers)}, evenly spread"))
    extents = np.array([framings[number].extent for number in numbers])
    counts = np.histogram(extents, _EXTENTS)[0].tolist()
    labels = [f"{low:.0%}–{high:.0%}" for low, high in pairwise(_EXTENTS)]
    parts.append(histogram("Longest side of the objects in their images", labels, [Series("", counts, COLORS[0])]))
    parts.append("<h2>Worst examples</h2>")
    worst = {
        "Objects that touch the border": [n for n in numbers if framings[n].touching],
        "Smallest objects": sorted(numbers, key=lambda n: framings[n].extent),
        "Objects farthest from the middle of their image": sorted(numbers, key=lambda n: -framings[n].offset),
        "Equal images": [n for group in details.repeated for n in group],
    }
    for what, chosen in worst.items():
        if chosen:
            names = ", ".join(details.listing.images[number] for number in chosen[:_WORST])
            parts.append(figure(_sheet(details.listing, chosen[:_WORST], resolution), f"{what}: {names}"))
    return parts + _disagreements(details, resolution)


def _sheet(listing: Listing, numbers: Sequence[int], resolution: int) -> Image.Image:
    pixels = torch.stack([torch.from_numpy(decode_listed(listing, number, resolution)) for number in numbers])
    return contact_sheet(_thumbnails(pixels), min(_COLUMNS, len(numbers)))


def _thumbnails(pixels: UInt8[Tensor, "n c r r"]) -> UInt8[Tensor, "n c s s"]:
    """Smaller by a whole number, or larger, so that each pixel of a small image is seen."""
    resolution = pixels.shape[-1]
    if resolution < _SIDE:
        return pixels.repeat_interleave(_SIDE // resolution, dim=2).repeat_interleave(_SIDE // resolution, dim=3)
    reduced = torch.nn.functional.avg_pool2d(pixels.float(), round(resolution / _SIDE))
    return reduced.round().to(torch.uint8)


def _disagreements(details: Details, resolution: int) -> list[str]:
    """Of each compared object the image that agrees least with its mesh."""
    listing = details.listing
    pixels, names = [], []
    for number, found in sorted(details.comparisons.items(), key=lambda item: item[1].overlap.min()):
        view = int(np.flatnonzero(listing.object_index == number)[found.overlap.argmin()])
        mesh = read_mesh(listing.root / "meshes" / f"{listing.objects[number]}.glb")
        seen = silhouettes(mesh, np.degrees(listing.angles[[view]]), listing.prior, resolution)[0, 0]
        shown = bytes_to_unit(torch.from_numpy(decode_listed(listing, view, resolution)[3]))
        # Where both are, it is dark; what only the image shows is blue, and what only the mesh shows is red.
        color = torch.stack([1 - shown, 1 - torch.maximum(shown, seen), 1 - seen])
        pixels.append(unit_to_bytes(color))
        names.append(f"{listing.images[view]} ({found.overlap.min():.2f})")
    if not pixels:
        return []
    what = "Silhouettes: dark where image and mesh agree, blue where only the image shows the object, red the mesh"
    sheet = contact_sheet(_thumbnails(torch.stack(pixels)), min(_COLUMNS, len(pixels)))
    return [figure(sheet, f"{what}. The worst of each object: {', '.join(names)}"), _meshes(details)]


def _meshes(details: Details) -> str:
    """The meshes that agree least with their images, to turn."""
    shown = []
    for number, found in sorted(details.comparisons.items(), key=lambda item: item[1].overlap.min())[:_TURNED]:
        name = details.listing.objects[number]
        content = embeddable(details.listing.root / "meshes" / f"{name}.glb")
        if content is not None:
            shown.append(PageObject(name, [f"overlap with its worst image: {found.overlap.min():.2f}"], glb=content))
    heading = "<h3>Their meshes, those that agree least first</h3>"
    return embedded_objects({heading: shown}) if shown else ""


def _cameras(details: Details) -> list[str]:
    listing = details.listing
    series = list(zip(listing.splits, COLORS, strict=False))
    parts = [
        "<h2>Cameras</h2>",
        key(series),
        figure(camera_diagram(listing), "Azimuth and polar angle of each image"),
    ]
    for values, (name, (what, bins)) in zip(in_range(listing).T, AXES.items(), strict=True):
        low, high = getattr(listing.prior, name)
        edges = np.linspace(low, high, bins + 1)
        labels = [f"{a:.0f}–{b:.0f}°" for a, b in pairwise(edges)]
        shown = [
            Series(split, np.histogram(values[listing.of_split(split)], edges)[0].tolist(), color)
            for split, color in series
            if len(listing.splits[split])
        ]
        parts.append(histogram(what.capitalize(), labels, shown))
    return parts


def camera_diagram(listing: Listing) -> Image.Image:
    """A diagram with a point for each camera: azimuth horizontally, polar angle downwards, coloured by split."""
    image = Image.new("RGB", (_WIDTH, _HEIGHT), "white")
    draw = ImageDraw.Draw(image, "RGBA")
    font = ImageFont.load_default(20)
    values = in_range(listing)
    (left, right), (top, bottom) = listing.prior.azimuth, listing.prior.polar
    finite = np.isfinite(values).all(axis=1)
    low = np.minimum([left, top], values[finite].min(axis=0, initial=np.inf))
    high = np.maximum([right, bottom], values[finite].max(axis=0, initial=-np.inf))
    size = np.array([_WIDTH - 1.5 * _BORDER, _HEIGHT - 1.5 * _BORDER])

    def place(point: Sequence[float]) -> tuple[float, float]:
        x, y = (np.array(point) - low) / (high - low) * size + np.array([_BORDER, 0.5 * _BORDER])
        return float(x), float(y)

    draw.rectangle([place((left, top)), place((right, bottom))], fill="#f4f6f8", outline=None)
    for value in np.linspace(low[0], high[0], 9):
        x, y = place((value, high[1]))
        draw.line([(x, y), (x, 0.5 * _BORDER)], fill="#d9dde1")
        draw.text((x, y + 8), f"{round(value, 1):g}°", fill="#444", font=font, anchor="ma")
    for value in np.linspace(low[1], high[1], 5):
        x, y = place((low[0], value))
        draw.line([(x, y), (_WIDTH - 0.5 * _BORDER, y)], fill="#d9dde1")
        draw.text((x - 10, y), f"{round(value, 1):g}°", fill="#444", font=font, anchor="rm")
    draw.text((_WIDTH / 2, _HEIGHT - 12), "azimuth", fill="#444", font=font, anchor="ms")
    draw.text((_BORDER, 0.5 * _BORDER - 8), "polar angle: 0° is straight above", fill="#444", font=font, anchor="ls")
    owner = np.full(len(listing.objects), -1)
    for number, objects in enumerate(listing.splits.values()):
        owner[objects] = number
    x = _WIDTH - 0.5 * _BORDER
    for split, color in reversed(list(zip(listing.splits, COLORS, strict=False))):
        draw.text((x, 0.5 * _BORDER - 8), split, fill=color, font=font, anchor="rs")
        x -= font.getlength(split) + 20
    numbers = np.flatnonzero(finite)
    numbers = numbers[:: max(1, -(-len(numbers) // _POINTS))]
    reach = 2 if len(numbers) > 2000 else 4
    for number in numbers.tolist():
        x, y = place(values[number].tolist())
        split = owner[listing.object_index[number]]
        color = COLORS[split % len(COLORS)] if split >= 0 else "#888888"
        draw.ellipse([x - reach, y - reach, x + reach, y + reach], fill=f"{color}b0")
    return image
