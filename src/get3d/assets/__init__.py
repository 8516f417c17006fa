"""Loading mesh files of many formats as assets, and rendering them with the built-in renderer or Blender."""
