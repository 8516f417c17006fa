"""A generative model of textured 3D meshes, learned from images."""

from get3d import isosurface as surface
from get3d import metrics, render
from get3d.cameras import CameraPrior, Cameras
from get3d.checkpoints import published
from get3d.export import TexturedMesh
from get3d.files import InputError
from get3d.generator import Generator, Images, load
from get3d.latents import Latents
from get3d.meshes import Mesh, MeshBatch

__version__ = "0.1.0"

__all__ = [
    "CameraPrior",
    "Cameras",
    "Generator",
    "Images",
    "InputError",
    "Latents",
    "Mesh",
    "MeshBatch",
    "TexturedMesh",
    "load",
    "metrics",
    "published",
    "render",
    "surface",
]
