"""Datasets of images that one has, with their cameras: `get3d import`."""

from get3d.authoring.from_images.command import ImportConfig, import_images

__all__ = ["ImportConfig", "import_images"]
