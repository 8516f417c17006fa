"""Mesh files of many formats as assets, the shading of assets, and Blender as the other renderer."""
