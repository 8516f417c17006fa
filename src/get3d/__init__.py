"""A generative model of textured 3D meshes, learned from images.

`__init__.pyi` names what is public; each is imported when it is first asked for.
"""

import lazy_loader

__version__ = "0.2.0"

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
