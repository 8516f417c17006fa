"""How an object is displayed: lit, or one of its maps or its normals without light; with or without edges."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
import trimesh
from jaxtyping import Float
from torch import Tensor

from get3d.color import bytes_to_unit, linear_to_srgb, srgb_to_linear, unit_to_bytes
from get3d.export import TexturedMesh
from get3d.export.gltf import glb_bytes
from get3d.materials import BASE_COLOR, CHANNELS
from get3d.meshes import Mesh, MeshBatch

if TYPE_CHECKING:
    import viser

__all__ = ["LIT", "NORMALS", "Look", "Shown", "draw", "preview_of", "shown", "views_of"]

LIT, NORMALS = "lit", "normals"
_UNLIT = "KHR_materials_unlit"


@dataclass(frozen=True)
class Look:
    """Display settings of a window.

    Attributes:
        grid: resolution of the grid.
        faces: maximum number of triangles; None keeps all.
        view: one of `views_of`.
        wireframe: whether to draw edges.
    """

    grid: int
    faces: int | None
    view: str = LIT
    wireframe: bool = False


@dataclass(frozen=True)
class Shown:
    """An object as it is sent to a browser.

    Attributes:
        glb: the object.
        edges: [e, 2, 3] end points of its edges; None without a wireframe.
    """

    glb: bytes
    edges: Float[np.ndarray, "e 2 3"] | None


def views_of(channels: Sequence[str]) -> dict[str, str]:
    """The views of an object with these material channels, and the title of each."""
    maps = {name: CHANNELS[name].name.replace("_", " ").capitalize() for name in channels}
    return {LIT: "Lit", **maps, NORMALS: "Normals"}


def shown(textured: TexturedMesh, look: Look) -> Shown:
    """An object with its textures."""
    edges = _edges(textured.vertices, textured.faces) if look.wireframe else None
    if look.view == LIT:
        return Shown(glb_bytes(textured), edges)
    if look.view == NORMALS:
        return Shown(_colored(textured.mesh, textured.normals, _as_color(textured.normals), unlit=True), edges)
    texture = textured.textures.get(look.view)
    if texture is None:
        texture = unit_to_bytes(torch.tensor([[textured.constant(look.view)]]))
    image = unit_to_bytes(untoned(bytes_to_unit(texture).expand(-1, -1, 3)))
    return Shown(glb_bytes(replace(textured, textures={BASE_COLOR: image}, constants={}), _set_unlit), edges)


def draw(scene: "viser.SceneApi", made: Shown) -> None:
    """Shows an object in a window, in place of the one before."""
    scene.add_glb("/object", made.glb)
    edges = np.zeros((1, 2, 3), np.float32) if made.edges is None else made.edges
    scene.add_line_segments(
        "/edges", edges, (40, 40, 40), thickness=1.0, thickness_units="screen", visible=made.edges is not None
    )


def preview_of(mesh: MeshBatch, values: Mapping[str, Float[Tensor, "v _"]], look: Look) -> Shown:
    """A mesh without textures.

    Args:
        mesh: one mesh.
        values: of each material channel at its vertices, in the network's range.
        look: how to show it.
    """
    normals = mesh.vertex_normals().cpu()
    if look.view == NORMALS:
        color = _as_color(normals)
    else:
        channel = CHANNELS[BASE_COLOR if look.view == LIT else look.view]
        low, high = channel.network_range
        color = ((values[channel.name].cpu().clamp(low, high) - low) / (high - low)).expand(-1, 3)
    edges = _edges(mesh.vertices, mesh.faces) if look.wireframe else None
    return Shown(_colored(mesh, normals, color, unlit=look.view != LIT), edges)


# A page of viser applies three.js' filmic tone curve (ACES, fitted by Stephen Hill). Maps and normals are data, so the
# curve is undone for them.
_TO_ACES = ((0.59719, 0.35458, 0.04823), (0.076, 0.90834, 0.01566), (0.0284, 0.13383, 0.83777))
_FROM_ACES = ((1.60475, -0.53108, -0.07367), (-0.10208, 1.10813, -0.00605), (-0.00327, -0.07276, 1.07602))
_EXPOSURE = 1 / 0.6
_BRIGHTEST = 0.95
"""The curve reaches 1 only in the limit of infinite light."""
_GAIN = 5.0
"""Factor on the light of colours in files, so that the whole range of the curve can be undone."""
_LEAST = 0.002
"""Light below 0 that is too little to see."""
_BISECTIONS = 8


def untoned(color: Float[Tensor, "*n 3"]) -> Float[Tensor, "*n 3"]:
    """Colours (sRGB, 0 to 1) that a page displays as the given ones if it multiplies their light by `_GAIN`.

    The curve has no bright saturated greens and oranges: those become as dark as they must be to keep their hue.
    """
    wanted = srgb_to_linear(color.double()).clamp(max=_BRIGHTEST)
    light = _before_curve(wanted)
    beyond = (light < -_LEAST).any(-1)
    # Bisect for the brightest within reach. Less than half the light would be worse than pure colours that are pale.
    hues = wanted[beyond]
    low, high = hues.new_full((len(hues), 1), 0.5), hues.new_ones(len(hues), 1)
    for _ in range(_BISECTIONS):
        middle = (low + high) / 2
        within = (_before_curve(middle * hues) >= -_LEAST).all(-1, keepdim=True)
        low, high = torch.where(within, middle, low), torch.where(within, high, middle)
    light[beyond] = _before_curve(low * hues)
    return linear_to_srgb((light / _GAIN).clamp(0, 1)).to(color.dtype)


def _before_curve(light: Float[Tensor, "*n 3"]) -> Float[Tensor, "*n 3"]:
    """What the curve makes the given light of; negative for colours that it cannot give."""
    y = (light @ torch.linalg.inv(light.new_tensor(_FROM_ACES)).T).clamp(0, 1)
    # y = (v (v + a) - b) / (v (c v + d) + e), solved for v.
    a, b, c, d, e = 0.0245786, 0.000090537, 0.983729, 0.4329510, 0.238081
    square, linear, rest = 1 - c * y, a - d * y, -b - e * y
    v = (-linear + (linear**2 - 4 * square * rest).sqrt()) / (2 * square)
    return v @ torch.linalg.inv(light.new_tensor(_TO_ACES)).T / _EXPOSURE


def _as_color(normals: Float[Tensor, "v 3"]) -> Float[Tensor, "v 3"]:
    """The usual colours of normals, (n + 1) / 2 in sRGB."""
    return (normals + 1) / 2


def _set_unlit(tree: dict[str, Any]) -> None:
    """Makes a material unlit, with `_GAIN` times its colour: above the range of glTF, but viser takes it."""
    material = tree["materials"][0]
    material["extensions"] = {_UNLIT: {}}
    material["pbrMetallicRoughness"]["baseColorFactor"] = [_GAIN, _GAIN, _GAIN, 1.0]
    tree["extensionsUsed"] = [*tree.get("extensionsUsed", []), _UNLIT]


def _colored(mesh: Mesh | MeshBatch, normals: Tensor, color: Float[Tensor, "v 3"], *, unlit: bool) -> bytes:
    """A .glb with vertex colours, given in sRGB and stored linear, as in glTF."""
    body = trimesh.Trimesh(
        mesh.vertices.cpu().numpy(),
        mesh.faces.cpu().numpy(),
        vertex_normals=normals.numpy(),
        vertex_colors=unit_to_bytes(srgb_to_linear(untoned(color) if unlit else color)).numpy(),
        process=False,
        validate=False,
    )

    def set_material(tree: dict[str, Any]) -> None:
        tree["materials"] = [{"pbrMetallicRoughness": {"metallicFactor": 0.0}, "doubleSided": True}]
        tree["meshes"][0]["primitives"][0]["material"] = 0
        if unlit:
            _set_unlit(tree)

    scene = trimesh.Scene({"object": body})
    content: bytes = trimesh.exchange.gltf.export_glb(scene, include_normals=True, tree_postprocessor=set_material)
    return content


def _edges(vertices: Float[Tensor, "v 3"], faces: Tensor) -> Float[np.ndarray, "e 2 3"]:
    sides = torch.cat([faces[:, [0, 1]], faces[:, [1, 2]], faces[:, [2, 0]]]).sort(dim=1).values.unique(dim=0)
    return vertices[sides].cpu().numpy()
