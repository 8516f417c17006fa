"""Datasets from 3D models: `get3d render`."""
