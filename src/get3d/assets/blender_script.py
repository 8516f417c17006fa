"""Renders the views of one .glb with Cycles. Blender runs this script; its job is a JSON file.

Usage: blender --background --factory-startup --python blender_script.py -- JOB.json
   or: python blender_script.py JOB.json, where the Python has the module bpy
"""

import json
import math
import sys
from pathlib import Path

import bpy
from mathutils import Matrix, Vector

__all__ = ["draw"]

KEY_DIRECTION = (-0.45, 0.75, -0.5)
KEY, AMBIENT = 0.52, 0.37
"""The strengths of the built-in renderer's lamp, and of its sky and ground on average."""
LAMP_DISTANCE, LAMP_SIZE = 3.0, 2.0
SENSOR = 32
"""Millimetres; with it, a lens of 35 mm has the published field of view."""

FIRST_LAMP, FIRST_LAMP_ENERGY, FIRST_LAMP_RADIUS = (4.0762, 1.0055, 5.9039), 1000.0, 0.1
FIRST_GREY = 0.05087609
"""The lamp and the sky of the scene that Blender starts with, in Blender's coordinates."""
WIDE_ENERGY, WIDE_SIZE = 30_000.0, 100.0
"""Energy and width of the area light of the paper's script, as described."""
WIDE_HEIGHT = 1.5
"""Our choice, as the description names none: above all cameras, which are 1.2 away, and all that they see. At any such
height a lamp 100 wide fills the half-space above: between 0.5 and 2 pixels change by 0.5 of 255."""


def draw(job: dict) -> None:
    """Writes 000.png and so on for the job's cameras."""
    bpy.ops.wm.read_factory_settings(use_empty=True)
    bpy.ops.import_scene.gltf(filepath=job["mesh"])
    for material in bpy.data.materials:
        if material.node_tree is not None:
            _tint(material)
            if job["light"] == "even":
                _glow(material)
    scene = bpy.context.scene
    _set_up(scene, job)
    if job["light"] == "studio":
        _light(scene)
    elif job["light"] == "published":
        _published(scene)
    camera = bpy.data.objects.new("camera", bpy.data.cameras.new("camera"))
    camera.data.sensor_width = SENSOR
    camera.data.clip_start = 0.01
    scene.collection.objects.link(camera)
    scene.camera = camera
    for view, seen in enumerate(job["cameras"]):
        # Right, up, backward and position: a camera's axes are the same in Blender.
        columns = [_turned(Vector(column)) for column in zip(*seen["to_world"], strict=True)]
        homogeneous = zip(columns, (0, 0, 0, 1), strict=True)
        camera.matrix_world = Matrix([(*column, last) for column, last in homogeneous]).transposed()
        camera.data.lens = SENSOR * seen["focal_length"]
        across, down = seen["principal_point"]
        camera.data.shift_x, camera.data.shift_y = 0.5 - across, down - 0.5
        scene.render.filepath = str(Path(job["out"]) / f"{view:03d}.png")
        bpy.ops.render.render(write_still=True)


def _turned(place: Vector) -> Vector:
    """A position of our world (+Y up) in Blender's (+Z up), with the rotation that its importer applies."""
    return Vector((place.x, -place.z, place.y))


def _set_up(scene: bpy.types.Scene, job: dict) -> None:
    scene.render.engine = "CYCLES"
    scene.cycles.samples = job["samples"]
    scene.cycles.use_denoising = True
    scene.render.film_transparent = True
    scene.render.resolution_x = scene.render.resolution_y = job["resolution"]
    scene.render.resolution_percentage = 100
    scene.render.threads_mode = "FIXED"
    scene.render.threads = job["threads"]
    scene.render.use_persistent_data = True
    scene.render.image_settings.file_format = "PNG"
    scene.render.image_settings.color_mode = "RGBA"
    scene.render.image_settings.color_depth = "8"
    scene.view_settings.view_transform = "Standard"
    if job["device"] != "cpu":
        cycles = bpy.context.preferences.addons["cycles"].preferences
        cycles.compute_device_type = "CUDA"
        cycles.get_devices()
        gpus = [device for device in cycles.devices if device.type == "CUDA"]
        for device in cycles.devices:
            device.use = device in (gpus if job["gpu"] is None else gpus[job["gpu"] :][:1])
        scene.cycles.device = "GPU"


def _light(scene: bpy.types.Scene) -> None:
    """An area light, and the same light from all sides."""
    lamp = bpy.data.lights.new("lamp", "AREA")
    lamp.size = LAMP_SIZE
    # What a white surface that faces it reflects is power / (pi · distance)².
    lamp.energy = KEY * (math.pi * LAMP_DISTANCE) ** 2
    thing = bpy.data.objects.new("lamp", lamp)
    thing.location = _turned(Vector(KEY_DIRECTION).normalized() * LAMP_DISTANCE)
    thing.rotation_euler = (-thing.location).to_track_quat("-Z", "Y").to_euler()
    scene.collection.objects.link(thing)
    scene.world = bpy.data.worlds.new("world")
    scene.world.use_nodes = True
    background = next(node for node in scene.world.node_tree.nodes if node.type == "BACKGROUND")
    background.inputs["Color"].default_value = (1, 1, 1, 1)
    background.inputs["Strength"].default_value = AMBIENT


def _published(scene: bpy.types.Scene) -> None:
    """Light, tone and limits of the paper's script: those of Blender's first scene, and a wide lamp above the object.

    Described are the lamp's energy and width, Filmic, the filter's width, the bounces, and the default lamp. The wide
    lamp's height is our choice. Its light comes evenly from the half-space above: energy / (pi · 100²), about 0.95 of
    what is white. Tones are Filmic's, so no colour is that of the texture.
    """
    lamp = bpy.data.lights.new("lamp", "POINT")
    lamp.energy, lamp.shadow_soft_size = FIRST_LAMP_ENERGY, FIRST_LAMP_RADIUS
    first = bpy.data.objects.new("lamp", lamp)
    first.location = FIRST_LAMP
    wide = bpy.data.lights.new("wide", "AREA")
    wide.energy, wide.size = WIDE_ENERGY, WIDE_SIZE
    above = bpy.data.objects.new("wide", wide)
    above.location = (0, 0, WIDE_HEIGHT)
    for thing in (first, above):
        scene.collection.objects.link(thing)
    scene.world = bpy.data.worlds.new("world")
    scene.world.use_nodes = True
    background = next(node for node in scene.world.node_tree.nodes if node.type == "BACKGROUND")
    background.inputs["Color"].default_value = (*[FIRST_GREY] * 3, 1)
    background.inputs["Strength"].default_value = 1.0
    scene.view_settings.view_transform = "Filmic"
    scene.cycles.filter_width = 0.01
    scene.cycles.diffuse_bounces = scene.cycles.glossy_bounces = 1
    scene.cycles.transparent_max_bounces = scene.cycles.transmission_bounces = 3


def _surface(material: bpy.types.Material) -> bpy.types.Node:
    return next(node for node in material.node_tree.nodes if node.type == "BSDF_PRINCIPLED")


def _tint(material: bpy.types.Material) -> None:
    """Multiplies the base colour by the colours of the vertices, where there are any."""
    nodes, links = material.node_tree.nodes, material.node_tree.links
    users = [thing.data for thing in bpy.data.objects if thing.type == "MESH" and material.name in thing.data.materials]
    colored = any(mesh.color_attributes for mesh in users)
    if not colored or any(node.type in ("VERTEX_COLOR", "ATTRIBUTE") for node in nodes):
        return
    color = _surface(material).inputs["Base Color"]
    product = nodes.new("ShaderNodeMix")
    product.data_type, product.blend_type = "RGBA", "MULTIPLY"
    product.inputs["Factor"].default_value = 1.0
    first, second = (socket for socket in product.inputs if socket.type == "RGBA")
    if color.links:
        links.new(color.links[0].from_socket, first)
    else:
        first.default_value = color.default_value
    links.new(nodes.new("ShaderNodeVertexColor").outputs["Color"], second)
    links.new(next(socket for socket in product.outputs if socket.type == "RGBA"), color)


def _glow(material: bpy.types.Material) -> None:
    """Makes the surface emit its base colour and reflect nothing."""
    surface = _surface(material)
    color = surface.inputs["Base Color"]
    if color.links:
        material.node_tree.links.new(color.links[0].from_socket, surface.inputs["Emission Color"])
        material.node_tree.links.remove(color.links[0])
    else:
        surface.inputs["Emission Color"].default_value = color.default_value
    color.default_value = (0, 0, 0, 1)
    surface.inputs["Emission Strength"].default_value = 1.0
    surface.inputs["Specular IOR Level"].default_value = 0.0


if __name__ == "__main__":
    draw(json.loads(Path(sys.argv[-1]).read_text(encoding="utf-8")))
