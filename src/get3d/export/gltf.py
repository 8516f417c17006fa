"""Objects as glTF 2.0, in one binary file."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
import trimesh
from PIL import Image
from torch import Tensor

from get3d.export.encoding import image_of
from get3d.export.material_mesh import MaterialMesh
from get3d.export.report import mesh_report
from get3d.export.tangents import vertex_tangents
from get3d.files import writing
from get3d.materials import CHANNELS, NORMAL

__all__ = ["glb_bytes", "write_glb"]

_TANGENT = "_TANGENT"
"""What trimesh calls an attribute that it does not know."""


def write_glb(textured: MaterialMesh, path: Path) -> None:
    """Writes a .glb: one mesh, with a metallic-roughness material and its textures."""
    content = glb_bytes(textured)
    with writing(path) as temporary:
        temporary.write_bytes(content)


def glb_bytes(textured: MaterialMesh, adapt: Callable[[dict[str, Any]], None] | None = None) -> bytes:
    """What `write_glb` writes.

    Args:
        textured: the object.
        adapt: changes the glTF's JSON before it is written; None leaves it as it is.
    """
    report = mesh_report(textured.mesh)
    material = trimesh.visual.material.PBRMaterial(
        name="surface", doubleSided=not (report.closed and report.volume > 0), **_images(textured)
    )
    shape = trimesh.Trimesh(
        vertices=textured.vertices.numpy(),
        faces=textured.faces.numpy(),
        vertex_normals=textured.normals.numpy(),
        visual=trimesh.visual.TextureVisuals(uv=textured.uv.numpy(), material=material),
        process=False,
        validate=False,
    )
    if NORMAL in textured.textures:
        tangents = vertex_tangents(textured.vertices, textured.faces, textured.normals, textured.uv)
        shape.vertex_attributes[_TANGENT] = tangents.numpy()

    def set_factors(tree: dict[str, Any]) -> None:
        """Writes into the file itself what trimesh would change: it rounds colours to bytes, and renames tangents."""
        _set_factors(tree["materials"][0], textured)
        attributes = tree["meshes"][0]["primitives"][0]["attributes"]
        if _TANGENT in attributes:
            attributes["TANGENT"] = attributes.pop(_TANGENT)
        if adapt is not None:
            adapt(tree)

    scene = trimesh.Scene({"object": shape})
    content: bytes = trimesh.exchange.gltf.export_glb(scene, include_normals=True, tree_postprocessor=set_factors)
    return content


def _images(textured: MaterialMesh) -> dict[str, Image.Image]:
    """The images of the material by their names in glTF; components that no channel gives leave their factor as it is.

    Raises:
        ValueError: channels that share an image have textures of different sizes.
    """
    images: dict[str, Tensor] = {}
    for name, texture in textured.textures.items():
        channel = CHANNELS[name]
        if channel.gltf is None:
            continue
        size = texture.shape[:2]
        image = images.setdefault(channel.gltf.texture, torch.full((*size, 3), 255, dtype=torch.uint8))
        if image.shape[:2] != size:
            raise ValueError(
                f"{name} has a texture of {list(size)} texels, and one of {list(image.shape[:2])} is in the same image"
                f" of a .glb ({channel.gltf.texture}); give both one size"
            )
        image[..., channel.gltf.lane : channel.gltf.lane + channel.components] = texture
    return {name: image_of(image) for name, image in images.items()}


def _set_factors(material: dict[str, Any], textured: MaterialMesh) -> None:
    for channel in CHANNELS.values():
        slot = channel.gltf
        if slot is None or slot.factor is None:
            continue
        painted = channel.name in textured.textures
        numbers = [1.0] * channel.components if painted else textured.linear_constant(channel.name)
        numbers += [1.0] * slot.alpha
        place = material.setdefault("pbrMetallicRoughness", {}) if slot.inside else material
        place[slot.factor] = numbers if len(numbers) > 1 else numbers[0]
