"""Run by Blender: a sphere or a .glb in a map of light, drawn by Cycles, linear."""

import json
import math
import sys
from pathlib import Path

import bpy

job = json.loads(Path(sys.argv[-1]).read_text(encoding="utf-8"))
bpy.ops.wm.read_factory_settings(use_empty=True)
scene = bpy.context.scene
scene.render.engine = "CYCLES"
scene.cycles.samples = job["samples"]
scene.cycles.use_denoising = False
scene.render.film_transparent = True
scene.render.resolution_x = scene.render.resolution_y = job["resolution"]
scene.render.image_settings.file_format = "OPEN_EXR"
scene.render.image_settings.color_depth = "32"
scene.view_settings.view_transform = "Raw"
scene.world = bpy.data.worlds.new("world")
scene.world.use_nodes = True
nodes, links = scene.world.node_tree.nodes, scene.world.node_tree.links
texture = nodes.new("ShaderNodeTexEnvironment")
texture.image = bpy.data.images.load(job["light"])
background = next(node for node in nodes if node.type == "BACKGROUND")
links.new(texture.outputs["Color"], background.inputs["Color"])
if "mesh" in job:
    bpy.ops.import_scene.gltf(filepath=job["mesh"])
else:
    bpy.ops.mesh.primitive_uv_sphere_add(segments=128, ring_count=64, radius=job["radius"])
    bpy.ops.object.shade_smooth()
    material = bpy.data.materials.new("surface")
    material.use_nodes = True
    bpy.context.object.data.materials.append(material)
    surface = next(node for node in material.node_tree.nodes if node.type == "BSDF_PRINCIPLED")
camera = bpy.data.objects.new("camera", bpy.data.cameras.new("camera"))
camera.data.sensor_width, camera.data.lens = 32, 35
# Azimuth 0: at −Z of our world, +Y of Blender's, looking back.
camera.location, camera.rotation_euler = (0, job["distance"], 0), (math.pi / 2, 0, math.pi)
scene.collection.objects.link(camera)
scene.camera = camera
if "mesh" in job:
    # Neither shadows nor light from other parts of the object, which our renderer has not.
    scene.cycles.max_bounces = 0
for number, look in enumerate(job["materials"]):
    if look is not None:
        surface.inputs["Base Color"].default_value = (*look["base_color"], 1)
        surface.inputs["Roughness"].default_value = look["roughness"]
        surface.inputs["Metallic"].default_value = look["metallic"]
    scene.render.filepath = f"{job['out']}/{number}.exr"
    bpy.ops.render.render(write_still=True)
