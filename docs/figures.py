"""Draws the figures of docs/architecture.md: the flow of the data, and the house as the code's own imports make it.

    python docs/figures.py

A test compares `docs/images/house.svg` with what this draws today.
"""

import ast
import html
import re
import tomllib
from collections.abc import Mapping, Sequence
from pathlib import Path

ROOT = Path(__file__).parent.parent
IMAGES = ROOT / "docs" / "images"
_STYLE = (
    "<style>text{font:13px system-ui,sans-serif;fill:#1d2329}.room{font-weight:600}.muted{fill:#6b7580}"
    ".line{stroke:#d5dade}.box{fill:#eef3f8;stroke:#2f6fb3}.data{fill:#fff;stroke:none}.arrow{stroke:#2f6fb3;fill:none;"
    "marker-end:url(#head)}.on{fill:#2f6fb3}.self{fill:#e4e7ea}</style>"
    '<defs><marker id="head" markerWidth="8" markerHeight="8" refX="7" refY="4" orient="auto">'
    '<path d="M0,0 L8,4 L0,8 z" fill="#2f6fb3"/></marker></defs>'
)


def rooms() -> list[list[str]]:
    """The layers of the import contract, top to bottom; each is a list of rooms."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    contract = next(each for each in project["tool"]["importlinter"]["contracts"] if each["type"] == "layers")
    return [[room.strip().removeprefix("get3d.") for room in re.split("[|:]", layer)] for layer in contract["layers"]]


def imports(package: Path) -> dict[str, set[str]]:
    """For each room, the rooms that its modules import, anywhere in them."""
    found: dict[str, set[str]] = {}
    for path in sorted(package.rglob("*.py")):
        room = path.relative_to(package).parts[0].removesuffix(".py")
        names = found.setdefault(room, set())
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.ImportFrom) and node.module == "get3d":
                names.update(alias.name for alias in node.names)
            elif isinstance(node, ast.ImportFrom) and node.module and node.module.startswith("get3d."):
                names.add(node.module.split(".")[1])
            elif isinstance(node, ast.Import):
                names.update(alias.name.split(".")[1] for alias in node.names if alias.name.startswith("get3d."))
        names.discard(room)
    return found


def purposes(package: Path) -> dict[str, str]:
    """The first line of each room's docstring."""
    found = {}
    for path in [*package.glob("*.py"), *package.glob("*/__init__.py")]:
        name = path.parent.name if path.name == "__init__.py" else path.stem
        text = ast.get_docstring(ast.parse(path.read_text())) or ""
        found[name] = text.split("\n", maxsplit=1)[0]
    return found


def house(layers: Sequence[Sequence[str]], arrows: Mapping[str, set[str]], texts: Mapping[str, str]) -> str:
    """A row for each room; a filled cell says that it imports the room of the column. All are left of the diagonal."""
    order = [room for layer in layers for room in layer]
    cell, left, top = 20, 640, 130
    width, height = left + cell * len(order) + 20, top + cell * len(order) + 20
    parts = []
    place = {room: len(order) - 1 - number for number, room in enumerate(order)}
    for number, room in enumerate(order):
        y = top + cell * number
        text = texts[room] if len(texts[room]) <= 88 else texts[room][:87].rsplit(" ", 1)[0] + " …"
        parts.append(f'<text class="room" x="10" y="{y + 14}">{room}</text>')
        parts.append(f'<text class="muted" x="118" y="{y + 14}" style="font-size:11px">{html.escape(text)}</text>')
        x = left + cell * place[room]
        parts.append(f'<text transform="translate({x + 14},{top - 6}) rotate(-60)">{room}</text>')
        parts.append(f'<rect class="self" x="{x + 2}" y="{y + 2}" width="{cell - 4}" height="{cell - 4}"/>')
        for other in sorted(arrows.get(room, set()) & set(order)):
            x = left + cell * place[other]
            parts.append(f'<rect class="on" x="{x + 2}" y="{y + 2}" width="{cell - 4}" height="{cell - 4}"/>')
    row = 0
    for layer in layers[:-1]:
        row += len(layer)
        y = top + cell * row
        parts.append(f'<line class="line" x1="10" x2="{width - 20}" y1="{y}" y2="{y}"/>')
    return _svg(width, height, parts)


FLOW = (
    (("latents, z", ""), ("mapping", "networks/mapping.py, style_prior.py"), ("styles, w", "")),
    (("styles, w", ""), ("synthesis network", "networks/planes.py, volume.py"), ("tri-planes", "")),
    (("tri-planes", ""), ("heads", "networks/fields.py"), ("SDF, deformation, colour fields", "")),
    (("SDF, deformation", ""), ("isosurface", "isosurface/"), ("MeshBatch", "")),
    (("MeshBatch, Cameras", ""), ("rasterize", "render/rasterize.py"), ("Fragments", "")),
    (
        ("Fragments", ""),
        ("texture field, antialiasing", "generator.py, render/antialias.py"),
        ("Images: RGB, mask", ""),
    ),
    (("Images", ""), ("discriminators", "networks/discriminator.py"), ("logits, loss", "training/objective.py")),
    (("MeshBatch, material", ""), ("simplify, unwrap, bake, write", "export/"), (".glb, .obj, .3mf, .usdz …", "")),
)


def flow() -> str:
    """From what goes in, through what works on it, to what comes out; a row for each step."""
    parts = []
    for number, (given, work, made) in enumerate(FLOW):
        y = 20 + 64 * number
        parts.append(f'<text x="190" y="{y + 26}" text-anchor="end">{given[0]}</text>')
        parts.append(f'<path class="arrow" d="M198,{y + 22} H232"/>')
        parts.append(f'<rect class="box" x="236" y="{y}" width="250" height="44" rx="6"/>')
        parts.append(f'<text class="room" x="361" y="{y + 19}" text-anchor="middle">{work[0]}</text>')
        parts.append(
            f'<text class="muted" x="361" y="{y + 36}" text-anchor="middle" style="font-size:11px">{work[1]}</text>'
        )
        parts.append(f'<path class="arrow" d="M486,{y + 22} H520"/>')
        parts.append(f'<text x="530" y="{y + 26}">{made[0]}</text>')
    return _svg(760, 20 + 64 * len(FLOW), parts)


def _svg(width: int, height: int, parts: Sequence[str]) -> str:
    body = "\n".join(parts)
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" height="{height}">'
        f'{_STYLE}<rect width="100%" height="100%" fill="#fff"/>\n{body}\n</svg>\n'
    )


def main() -> None:
    """Writes both figures."""
    package = ROOT / "src" / "get3d"
    (IMAGES / "house.svg").write_text(house(rooms(), imports(package), purposes(package)))
    (IMAGES / "flow.svg").write_text(flow())


if __name__ == "__main__":
    main()
