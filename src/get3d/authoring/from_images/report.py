"""The report of an import."""

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console
from rich.table import Table

from get3d.authoring.from_images.crop import Made
from get3d.authoring.from_images.matching import Left, Matched
from get3d.console import counted
from get3d.datasets.index import Description

__all__ = ["make_report", "nothing_left", "print_report"]

_SHOWN = 10
_UNRELATED = ("no camera", "no image")
"""Reasons of images without a camera and of cameras without an image."""


def make_report(
    matched: Matched,
    description: Description,
    made: dict[int, Made],
    left: Sequence[Left],
    warnings: Sequence[str],
) -> dict[str, Any]:
    """The content of report.json: number of images, results for their cameras, and each image that is left out.

    Args:
        matched: images with their cameras.
        description: description of the dataset.
        made: how each image was made, by index in `matched`.
        left: images that are left out.
        warnings: for the report.
    """
    deviations = np.abs(matched.deviations[list(made)])
    return {
        "format": 1,
        "command": description.source["command"],
        "imported": len(made),
        "left_out": len(left),
        "objects": sum(map(len, description.splits.values())),
        "made": {how: list(made.values()).count(how) for how in sorted(set(made.values()))},
        "deviations": {
            name: {"median": float(np.median(column)), "largest": float(column.max())}
            for name, column in zip(("aim", "roll", "distance"), deviations.T, strict=True)
        },
        "warnings": list(warnings),
        "worlds": matched.worlds,
        "camera": {
            name: list(value) if isinstance(value, tuple) else value
            for name, value in asdict(description.prior).items()
        },
        "resolution": description.resolution,
        "scale": description.scale,
        "reasons": {
            reason: sum(entry.reason == reason for entry in left) for reason in sorted({entry.reason for entry in left})
        },
        "images_left_out": [asdict(entry) for entry in sorted(left, key=lambda entry: entry.image)],
    }


def print_report(report: dict[str, Any], out: Path, console: Console) -> None:
    """Prints the report to a terminal."""
    how = ", ".join(f"{count} {made}" for made, count in report["made"].items())
    camera = report["camera"]
    size = report["resolution"]
    images, objects = counted(report["imported"], "image"), counted(report["objects"], "object")
    lines = [
        f"{images} of {objects} ({how}), {size} × {size}; {report['left_out']} left out",
        "cameras {:.4g} away, field of view {:.4g}°, azimuth {:g}° to {:g}°, polar angle {:g}° to {:g}°".format(
            camera["radius"], camera["fov"], *camera["azimuth"], *camera["polar"]
        ),
        "they are off by at most {:.3f}° in aim, {:.3f}° in roll, {:.2f} % in distance".format(
            *(report["deviations"][name]["largest"] for name in ("aim", "roll", "distance"))
        ),
        f"objects {report['scale']:g} long",
    ]
    for line in [*lines, *report["warnings"]]:
        console.print(line, highlight=False, markup=False, soft_wrap=True)
    entries = report["images_left_out"]
    if entries:
        table = Table("left out", "why", "what", box=None)
        for entry in entries[:_SHOWN]:
            table.add_row(entry["image"], entry["reason"], entry["text"])
        console.print(table, markup=False)
        if len(entries) > _SHOWN:
            reasons = ", ".join(f"{reason} {count}" for reason, count in report["reasons"].items())
            console.print(f"and {len(entries) - _SHOWN} more ({reasons})", highlight=False, soft_wrap=True)
    console.print(f"{out / 'report.json'}; next: get3d check {out}", highlight=False, markup=False, soft_wrap=True)


def nothing_left(cameras: Path, left: Sequence[Left]) -> str:
    """The message if no image can be used: the most frequent reason, an example, and a possible fix."""
    # Files that have nothing to do with one another say nothing of those that belong together.
    telling = [entry for entry in left if entry.reason not in _UNRELATED] or list(left)
    reasons = [entry.reason for entry in telling]
    most = max(sorted(set(reasons)), key=reasons.count)
    example = next(entry for entry in telling if entry.reason == most)
    aims = [entry.values["aim"] for entry in left if "aim" in entry.values]
    hint = ""
    if most == "aim" and np.median(aims) > 90:
        hint = (
            ". They look away from the object: a camera's axes must be right, up and backward (OpenGL's), "
            "see docs/datasets.md"
        )
    elif most == "roll":
        hint = ". Another axis may be up: set it, for example with --up=-z or --up=cameras"
    return (
        f"{cameras}: not one of {counted(len(telling), 'image')} can be used; {reasons.count(most)} are left out like "
        f"{example.image}: {example.text}{hint}"
    )
