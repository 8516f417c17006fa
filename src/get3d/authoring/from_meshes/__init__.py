"""Datasets of 3D models that one has: `get3d render`."""
