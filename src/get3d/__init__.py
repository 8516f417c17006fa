"""A generative model of textured 3D meshes, learned from images."""

import lazy_loader

__version__ = "0.2.0"

# `__init__.pyi` lists the public names; each is imported on first use.
__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
