"""Run by Blender's own Python: opens a file, prints what Blender sees in it, and draws it from above, unlit.

Usage: python import_in_blender.py FILE IMAGE.png
"""

import json
import sys
from pathlib import Path

import bpy
from mathutils import Vector

file, rendered = Path(sys.argv[1]), Path(sys.argv[2])
bpy.ops.wm.read_factory_settings(use_empty=True)
if file.suffix == ".glb":
    bpy.ops.import_scene.gltf(filepath=str(file))
elif file.suffix == ".obj":
    bpy.ops.wm.obj_import(filepath=str(file))
elif file.suffix == ".usdz":
    bpy.ops.wm.usd_import(filepath=str(file), import_textures_mode="IMPORT_PACK")
elif file.suffix == ".stl":
    bpy.ops.wm.stl_import(filepath=str(file))
else:
    bpy.ops.wm.ply_import(filepath=str(file))
(thing,) = (thing for thing in bpy.data.objects if thing.type == "MESH")
mesh = thing.data
corners = [thing.matrix_world @ Vector(corner) for corner in thing.bound_box]
contents = {
    "faces": len(mesh.polygons),
    "triangles": all(len(polygon.vertices) == 3 for polygon in mesh.polygons),
    "uv_layers": [len(layer.data) for layer in mesh.uv_layers],
    "colors": [attribute.name for attribute in mesh.color_attributes],
    "low": [min(corner[axis] for corner in corners) for axis in range(3)],
    "high": [max(corner[axis] for corner in corners) for axis in range(3)],
    "normals": [tuple(normal.vector) for normal in mesh.corner_normals][:30],
    "corner_positions": [tuple(mesh.vertices[loop.vertex_index].co) for loop in mesh.loops][:30],
    "materials": [],
}
for material in mesh.materials:
    nodes = material.node_tree.nodes
    (surface,) = (node for node in nodes if node.type == "BSDF_PRINCIPLED")
    (link,) = surface.inputs["Base Color"].links
    image = link.from_node.image
    contents["materials"].append(
        {
            "image": list(image.size),
            "color_space": image.colorspace_settings.name,
            "metallic": surface.inputs["Metallic"].default_value,
            "roughness": surface.inputs["Roughness"].default_value,
            "culled": material.use_backface_culling,
        }
    )
    emission = nodes.new("ShaderNodeEmission")
    material.node_tree.links.new(link.from_socket, emission.inputs["Color"])
    (output,) = (node for node in nodes if node.type == "OUTPUT_MATERIAL")
    material.node_tree.links.new(emission.outputs["Emission"], output.inputs["Surface"])

scene = bpy.context.scene
camera = bpy.data.cameras.new("camera")
camera.type = "ORTHO"
camera.ortho_scale = 1.0
scene.camera = bpy.data.objects.new("camera", camera)
scene.camera.location = (0, 0, 2)
scene.collection.objects.link(scene.camera)
scene.render.engine = "CYCLES"
scene.cycles.samples = 16
scene.cycles.use_denoising = False
scene.render.resolution_x = scene.render.resolution_y = 64
scene.render.film_transparent = True
scene.view_settings.view_transform = "Standard"
scene.render.filepath = str(rendered)
bpy.ops.render.render(write_still=True)
print("CONTENTS " + json.dumps(contents))
