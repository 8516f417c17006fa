"""The networks: mapping, planes, volumes, fields, discriminators. No geometry in here."""

from get3d.networks.discriminator import Discriminator, DiscriminatorConfig, Logits
from get3d.networks.fields import Fields, GeometryField, GeometryValues, PlaneTexture, UnifiedConfig, UnifiedSynthesis
from get3d.networks.mapping import MappingNetwork
from get3d.networks.planes import PlanesConfig
from get3d.networks.volume import SeparateConfig, SeparateSynthesis, VolumeConfig

__all__ = [
    "Discriminator",
    "DiscriminatorConfig",
    "Fields",
    "GeometryField",
    "GeometryValues",
    "Logits",
    "MappingNetwork",
    "PlaneTexture",
    "PlanesConfig",
    "SeparateConfig",
    "SeparateSynthesis",
    "UnifiedConfig",
    "UnifiedSynthesis",
    "VolumeConfig",
]
