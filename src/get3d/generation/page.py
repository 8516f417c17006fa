"""`index.html`: the objects of a folder, to turn them in a browser, without a network and from the file itself."""

import html
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from get3d.camera_prior import CameraPrior
from get3d.cameras import Cameras
from get3d.console import command_line
from get3d.export import TexturedMesh
from get3d.export.formats import files_of
from get3d.export.gltf import glb_bytes
from get3d.files import writing
from get3d.generation.turntable import STILL, TURN
from get3d.html import (
    Orbit,
    PageObject,
    data_file,
    document,
    folded,
    linked_objects,
    url,
    viewer_licence,
    viewer_script,
)

__all__ = ["PAGE", "first_view", "page_files", "write_page", "write_page_object"]

PAGE = "index.html"
_FOLDER = "page"
"""Folder next to the page with its objects as scripts."""
_OBJECTS = f"{_FOLDER}/objects"
SHOWN = 200
"""Objects that a page shows at most: each takes its .glb's size by four thirds once more."""


def page_files(names: Sequence[str]) -> list[str]:
    """All files of the page of objects of these names."""
    programs = [PAGE, f"{_FOLDER}/model-viewer.js", f"{_FOLDER}/LICENSE.txt"]
    return [*programs, *(f"{_OBJECTS}/{name}.js" for name in names[:SHOWN])]


def write_page_object(out: Path, name: str, number: int, textured: TexturedMesh) -> None:
    """Writes what the page shows of an object.

    Args:
        out: folder of the page.
        name: of the object.
        number: its place among the objects.
        textured: the object.
    """
    if number < SHOWN:
        _write(out / _OBJECTS / f"{name}.js", data_file(f"objects/{name}", glb_bytes(textured)))


def write_page(
    out: Path,
    records: Sequence[Mapping[str, Any]],
    description: Mapping[str, Any],
    channels: Sequence[str],
    prior: CameraPrior,
    images: Sequence[str],
) -> None:
    """Writes the page, with all that it needs but the objects.

    Args:
        out: the folder.
        records: what `shapes.json` says of each object.
        description: what `shapes.json` says of all: "model", "psi", "grid".
        channels: of the objects' material.
        prior: the cameras of training.
        images: names of images and videos in the same folder.
    """
    psi = description["psi"]
    found = [entry for entry in records if "file" in entry]
    first = [entry for entry in records[:SHOWN] if "file" in entry]
    shown = [_object(entry, psi, channels) for entry in first]
    title = f"{len(found)} objects of {description['model']}"
    parts = [f"<h1>{html.escape(title)}</h1>", "<p>Drag an object to turn it.</p>"]
    if len(found) > len(first):
        parts.append(f"<p>These are the first {len(first)}; the others are files in the same folder.</p>")
    parts.append(linked_objects(shown, [f"objects/{entry['name']}" for entry in first], _FOLDER, first_view(prior)))
    missing = [entry for entry in records if "problem" in entry]
    if missing:
        left_out = [f"<li>{html.escape(entry['name'])}: {html.escape(entry['problem'])}</li>" for entry in missing]
        parts.append(f"<h2>Left out</h2><ul>{''.join(left_out)}</ul>")
    stills = [name for name in images if not name.endswith(".mp4")]
    if stills:
        parts.append("<h2>Images</h2>" + "".join(_image(name) for name in stills))
    command = command_line()
    lines = [f"<pre>{html.escape(command)}</pre>"] if command else []
    settings = {**{name: value for name, value in description.items() if name != "shapes"}, "objects": len(found)}
    rows = "".join(
        f"<tr><td>{html.escape(name)}</td><td>{html.escape(str(v))}</td></tr>" for name, v in settings.items()
    )
    lines.append(f"<table>{rows}</table>")
    lines.append('<p><a href="shapes.json" download>shapes.json</a> makes the same objects again: ')
    lines.append("<code>get3d generate MODEL --latents shapes.json</code></p>")
    parts.append(folded("How they were made", "".join(lines)))
    _write(out / _FOLDER / "model-viewer.js", viewer_script())
    _write(out / _FOLDER / "LICENSE.txt", viewer_licence())
    _write(out / PAGE, document(title, "\n".join(parts)))


def first_view(prior: CameraPrior) -> Orbit:
    """The camera of the contact sheet."""
    cameras: Cameras = Cameras.turntable(prior, TURN)
    azimuth, polar = cameras.angles[STILL].rad2deg().tolist()
    return Orbit(azimuth, polar, prior.radius, prior.fov)


def _object(entry: Mapping[str, Any], psi: float, channels: Sequence[str]) -> PageObject:
    name, suffix = entry["name"], Path(entry["file"]).suffix
    lines = [*_origin(entry), f"ψ {entry.get('psi', psi):g}"]
    lines.append(f"{entry['faces']:,} triangles, {'watertight' if entry['watertight'] else 'not watertight'}")
    files = files_of(name, suffix[1:], channels)
    links = {
        path.removeprefix(name).removeprefix(".") if len(files) > 1 else f"{suffix[1:]} file": path for path in files
    }
    return PageObject(f"seed {entry['seed']}" if "seed" in entry else name, lines, links)


def _origin(entry: Mapping[str, Any]) -> list[str]:
    """What an object was made from, but for its seed."""
    lines = []
    if "label" in entry:
        lines.append(entry["label"])
    if "of" in entry:
        lines.append(f"variation of {_named(entry['of'])}, strength {entry['strength']:g}, of {_changed(entry)}")
    if "share" in entry:
        start, end = _named(entry["from"]), _named(entry["to"])
        lines.append(f"{entry['share']:.0%} of the way from {start} to {end}, {_changed(entry)}")
    return lines


def _named(object_: int | str) -> str:
    return f"seed {object_}" if isinstance(object_, int) else object_


def _changed(entry: Mapping[str, Any]) -> str:
    return "geometry and texture" if entry["change"] == "both" else str(entry["change"])


def _image(name: str) -> str:
    path = html.escape(url(name))
    return f'<figure><a href="{path}"><img src="{path}" alt="{html.escape(name)}" loading="lazy"></a></figure>'


def _write(path: Path, text: str) -> None:
    with writing(path) as temporary:
        temporary.write_text(text, encoding="utf-8", errors="xmlcharrefreplace")
