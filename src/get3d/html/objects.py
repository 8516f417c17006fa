"""Objects to turn in a page, with <model-viewer>: from a file, without a server and without a network.

A browser lets a page that is opened as a file run scripts next to it, but not fetch files or modules. So <model-viewer>
is a plain script, and each object is one, too: a call with the .glb in base64, next to the page (`linked_objects`) or
    in
it (`embedded_objects`).
"""

import base64
import html
import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from importlib.resources import files
from pathlib import Path
from urllib.parse import quote

from get3d.files import open_file

__all__ = [
    "Orbit",
    "PageObject",
    "data_file",
    "embeddable",
    "embedded_objects",
    "frame",
    "linked_objects",
    "url",
    "viewer_licence",
    "viewer_script",
]

_LARGEST = 2**22
"""Bytes of an object that is held in a page."""


@dataclass(frozen=True)
class Orbit:
    """Where a camera stands that looks at the origin, as `get3d.cameras` has it.

    Attributes:
        azimuth: degrees.
        polar: degrees from +Y.
        radius: distance from the origin.
        fov: vertical field of view in degrees.
    """

    azimuth: float
    polar: float
    radius: float
    fov: float


@dataclass(frozen=True)
class PageObject:
    """An object of a page.

    Attributes:
        name: what it is called; plain text.
        lines: what is said under it; plain text.
        links: paths of files relative to the page, by what they are called.
        glb: the object itself, of a page that embeds it.
    """

    name: str
    lines: Sequence[str] = ()
    links: Mapping[str, str] = field(default_factory=dict)
    glb: bytes | None = None


def viewer_script() -> str:
    """The program `<model-viewer>`, a plain script."""
    return _file("vendor/model-viewer.js")


def viewer_licence() -> str:
    """The licences of `viewer_script`, which must go where it goes."""
    return _file("vendor/LICENSE.txt")


def embeddable(path: Path) -> bytes | None:
    """What a .glb file holds; None where it cannot be read, is another file, or is too large for a page to hold."""
    if path.suffix != ".glb":
        return None
    try:
        with open_file(path) as file:
            content = file.read(_LARGEST + 1)
    except OSError:
        return None
    return content if len(content) <= _LARGEST else None


def data_file(key: str, glb: bytes) -> str:
    """A script that gives an object to the page that loads it.

    Args:
        key: as in `linked_objects`.
        glb: the object.
    """
    return f'get3dObject({json.dumps(key)}, "{base64.b64encode(glb).decode()}")\n'


def linked_objects(objects: Sequence[PageObject], keys: Sequence[str], folder: str, orbit: Orbit | None) -> str:
    """A grid of objects in scripts next to the page.

    Args:
        objects: what is shown.
        keys: one for each, a path in `folder`; `folder`/`key`.js holds what `data_file` gave.
        folder: relative to the page; holds `viewer_script` as model-viewer.js, too.
        orbit: where all are seen from at first; None shows each as a whole.
    """
    sources = [{"key": key, "source": url(f"{folder}/{key}.js")} for key in keys]
    script = f'<script src="{html.escape(url(folder))}/model-viewer.js"></script>'
    return _light() + _grid(objects, sources, orbit) + script + _program()


def embedded_objects(groups: Mapping[str, Sequence[PageObject]]) -> str:
    """Grids of objects that stand in the page itself, each shown as a whole; for a page that has no other objects.

    Args:
        groups: objects with their `glb`, by the heading over them, which is HTML.
    """
    # Each object stands there once, however often it is shown.
    parts, names = [_light()], dict[bytes, str]()
    for heading, objects in groups.items():
        sources = []
        for shown in objects:
            assert shown.glb is not None
            name = names.setdefault(shown.glb, f"object-{len(names)}")
            sources.append({"key": name, "embedded": name})
        parts.append(heading + _grid(objects, sources, None))
    contents = [
        f'<script type="text/plain" id="{name}">{base64.b64encode(glb).decode()}</script>'
        for glb, name in names.items()
    ]
    # What looks like the end of a script must not stand in one.
    program = viewer_script().replace("</script", "<\\/script")
    return "".join([*parts, *contents, f"<script>{program}</script>", _program()])


def _grid(objects: Sequence[PageObject], sources: Sequence[Mapping[str, str]], orbit: Orbit | None) -> str:
    """The objects, without the programs that show them.

    Args:
        objects: what is shown.
        sources: for each, what viewer.js finds it by.
        orbit: as in `linked_objects`.
    """
    view = json.dumps(_view(orbit))
    cells = []
    for shown, source in zip(objects, sources, strict=True):
        data = {"view": view, "name": shown.name, **source}
        attributes = "".join(f' data-{name}="{html.escape(value)}"' for name, value in data.items())
        links = " ".join(
            f'<a href="{html.escape(url(path))}" download>{html.escape(label)}</a>'
            for label, path in shown.links.items()
        )
        lines = "".join(f"<br>{html.escape(line)}" for line in shown.lines)
        cells.append(
            f'<figure><div class="stage"{attributes}></div><figcaption><b>{html.escape(shown.name)}</b>{lines}'
            f'<span class="actions">{links} <button type="button" class="enlarge">Enlarge</button></span>'
            "</figcaption></figure>"
        )
    return f'<div class="objects">{"".join(cells)}</div>'


def frame(page: str) -> str:
    """A page inside of another, of a notebook for one, which it can neither read nor change."""
    style = "width: 100%; height: 34rem; border: 0"
    return f'<iframe sandbox="allow-scripts" style="{style}" srcdoc="{html.escape(page)}"></iframe>'


def url(path: str) -> str:
    """A relative path as a link has it: no character of a name means anything."""
    return quote(os.fsencode(path))


def _view(orbit: Orbit | None) -> dict[str, str]:
    """The same camera in the words of `<model-viewer>`, whose azimuth is 0 on the other side."""
    if orbit is None:
        return {"camera-orbit": "210deg 75deg 105%"}
    return {
        "camera-orbit": f"{orbit.azimuth + 180:.8g}deg {orbit.polar:.8g}deg {orbit.radius:.8g}m",
        "camera-target": "0m 0m 0m",
        "field-of-view": f"{orbit.fov:.8g}deg",
        "max-field-of-view": "120deg",
        "max-camera-orbit": f"auto 170deg {4 * orbit.radius:.8g}m",
    }


def _light() -> str:
    return (
        '<p><label><input type="checkbox" id="light" checked> Light the objects; without it they have the colours that '
        "their textures say</label></p>"
    )


def _program() -> str:
    dialog = '<dialog id="enlarged"><form method="dialog"><h2></h2><button>Close</button></form>'
    return f'{dialog}<div class="large"></div></dialog><script>{_file("viewer.js")}</script>'


@cache
def _file(name: str) -> str:
    return (files("get3d.html") / name).read_text(encoding="utf-8")
