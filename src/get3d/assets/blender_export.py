"""Exports one .blend as .glb. Blender runs this script; its job is a JSON file.

Usage: blender --background --factory-startup --disable-autoexec --python blender_export.py -- JOB.json
   or: python blender_export.py JOB.json, where the Python has the module bpy
"""

import json
import sys
from pathlib import Path

import bpy

__all__ = ["export"]


def export(job: dict) -> None:
    """Writes the .glb, and a report of the textures that are missing or why the file is refused."""
    bpy.ops.wm.read_factory_settings(use_empty=True)
    # Scripts in the file do not run, and its window settings are not loaded.
    bpy.ops.wm.open_mainfile(filepath=job["blend"], load_ui=False, use_scripts=False)
    report: dict = {}
    if len(bpy.data.libraries):
        report["refused"] = (
            f"it links the file {bpy.data.libraries[0].filepath!r}; make all local (Object, Relations, Make Local, All)"
        )
    else:
        report["missing"] = _drop_foreign(Path(job["root"]).resolve())
        bpy.ops.export_scene.gltf(
            filepath=job["out"],
            export_format="GLB",
            export_apply=True,
            export_animations=False,
            export_skins=False,
            export_morph=False,
            use_renderable=True,
        )
    Path(job["report"]).write_text(json.dumps(report), encoding="utf-8")


def _drop_foreign(root: Path) -> list[str]:
    """Removes images that are missing or outside the folder, and returns their names."""
    missing = []
    for image in list(bpy.data.images):
        if image.source != "FILE" or image.packed_file is not None:
            continue
        path = Path(bpy.path.abspath(image.filepath)).resolve()
        if not (path.is_file() and path.is_relative_to(root)):
            missing.append(image.filepath)
            bpy.data.images.remove(image)
    return missing


if __name__ == "__main__":
    with Path(sys.argv[-1]).open(encoding="utf-8") as file:
        export(json.load(file))
