"""Datasets of pictures that one has, with their cameras: `get3d import`."""

from get3d.authoring.from_images.command import ImportConfig, import_pictures

__all__ = ["ImportConfig", "import_pictures"]
