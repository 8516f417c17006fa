"""Objects for 3D printers: .stl, and .3mf with its texture. In millimetres, +Z up, standing on the plate."""

from dataclasses import replace
from pathlib import Path

import torch
import trimesh
from torch import Tensor

from get3d.export.encoding import archive_bytes, png_bytes
from get3d.export.material_mesh import MaterialMesh
from get3d.export.welded import WeldedMesh
from get3d.files import writing

__all__ = ["write_3mf", "write_stl"]

_CORE = "http://schemas.microsoft.com/3dmanufacturing/core/2015/02"
_MATERIALS = "http://schemas.microsoft.com/3dmanufacturing/material/2015/02"
_RELATIONS = "http://schemas.openxmlformats.org/package/2006/relationships"
_TYPES = "http://schemas.openxmlformats.org/package/2006/content-types"
_KINDS = "http://schemas.microsoft.com/3dmanufacturing/2013/01"
_XML = '<?xml version="1.0" encoding="UTF-8"?>\n'
_MODEL, _TEXTURE = "3D/3dmodel.model", "3D/Textures/base_color.png"


def write_stl(textured: MaterialMesh, path: Path, size: float) -> None:
    """Writes a binary .stl, its longest side `size` millimetres."""
    welded = _on_plate(textured, size)
    shape = trimesh.Trimesh(welded.positions.numpy(), welded.position.numpy(), process=False, validate=False)
    with writing(path) as temporary:
        temporary.write_bytes(trimesh.exchange.stl.export_stl(shape))


def write_3mf(textured: MaterialMesh, path: Path, size: float) -> None:
    """Writes a .3mf, its longest side `size` millimetres, with the base colour as a texture.

    3MF Core Specification 1.3 and Materials and Properties Extension 1.2.
    """
    files = {
        "[Content_Types].xml": f'{_XML}<Types xmlns="{_TYPES}">'
        '<Default Extension="rels" ContentType="application/vnd.openxmlformats-package.relationships+xml"/>'
        '<Default Extension="model" ContentType="application/vnd.ms-package.3dmanufacturing-3dmodel+xml"/>'
        '<Default Extension="png" ContentType="image/png"/></Types>\n',
        "_rels/.rels": _relation(_MODEL, "3dmodel"),
        _MODEL: _model(_on_plate(textured, size)),
        "3D/_rels/3dmodel.model.rels": _relation(_TEXTURE, "3dtexture"),
    }
    contents = {name: text.encode("utf-8") for name, text in files.items()}
    with writing(path) as temporary:
        temporary.write_bytes(archive_bytes(contents | {_TEXTURE: png_bytes(textured.texture)}))


def _on_plate(textured: MaterialMesh, size: float) -> WeldedMesh:
    """The object in millimetres, +Z up, all coordinates positive, its bottom at 0.

    Raises:
        ValueError: all its points are one.
    """
    x, y, z = textured.vertices.double().unbind(1)
    points = torch.stack([x, -z, y], dim=1)
    points = points - points.amin(dim=0)
    longest = float(points.amax())
    if longest == 0:
        raise ValueError("all points of the object are at one place; it cannot be printed")
    # What becomes equal by rounding is joined after it.
    return WeldedMesh.of(replace(textured, vertices=(points * (size / longest)).float()))


def _model(welded: WeldedMesh) -> str:
    vertices = _lines('<vertex x="%.9g" y="%.9g" z="%.9g"/>', welded.positions)
    places = _lines('<m:tex2coord u="%.9g" v="%.9g"/>', welded.uv)
    corners = torch.cat([welded.position, welded.place], dim=1)
    triangles = _lines('<triangle v1="%d" v2="%d" v3="%d" pid="2" p1="%d" p2="%d" p3="%d"/>', corners)
    return (
        f'{_XML}<model unit="millimeter" xml:lang="en-US" xmlns="{_CORE}" xmlns:m="{_MATERIALS}">\n'
        '<metadata name="Application">get3d</metadata>\n<resources>\n'
        f'<m:texture2d id="1" path="/{_TEXTURE}" contenttype="image/png" tilestyleu="wrap" tilestylev="wrap"/>\n'
        f'<m:texture2dgroup id="2" texid="1">\n{places}\n</m:texture2dgroup>\n'
        f'<object id="3" type="model" pid="2" pindex="0"><mesh>\n<vertices>\n{vertices}\n</vertices>\n'
        f"<triangles>\n{triangles}\n</triangles>\n</mesh></object>\n"
        '</resources>\n<build><item objectid="3"/></build>\n</model>\n'
    )


def _relation(target: str, kind: str) -> str:
    one = f'<Relationship Id="rel0" Target="/{target}" Type="{_KINDS}/{kind}"/>'
    return f'{_XML}<Relationships xmlns="{_RELATIONS}">{one}</Relationships>\n'


def _lines(form: str, rows: Tensor) -> str:
    return "\n".join(form % tuple(row) for row in rows.tolist())
