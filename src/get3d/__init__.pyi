from . import isosurface as isosurface
from . import metrics as metrics
from . import render as render
from .camera_prior import CameraPrior as CameraPrior
from .cameras import Cameras as Cameras
from .checkpoints import published as published
from .checkpoints.model import load as load
from .export import TexturedMesh as TexturedMesh
from .files import InputError as InputError
from .generator import Generator as Generator
from .images import Images as Images
from .latents import Latents as Latents
from .latents import Styles as Styles
from .meshes import Mesh as Mesh
from .meshes import MeshBatch as MeshBatch
from .viewer.notebook import view as view

__version__: str
