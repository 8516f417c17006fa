"""Datasets of images that one has, with their cameras: `get3d import`.

`__init__.pyi` names what is public; each is imported when it is first asked for.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
