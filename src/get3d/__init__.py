"""A generative model of textured 3D meshes, learned from pictures."""

from get3d import metrics, official, render, surface
from get3d.cameras import CameraPrior, Cameras
from get3d.export import TexturedMesh
from get3d.files import InputError
from get3d.generator import Generator, load
from get3d.latents import Latents, Styles
from get3d.meshes import Mesh, MeshBatch
from get3d.pictures import Images

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
    "Styles",
    "TexturedMesh",
    "load",
    "metrics",
    "official",
    "render",
    "surface",
]
