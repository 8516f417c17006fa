"""Names of lights and directions, from which options are made. This module imports nothing heavy."""

from typing import Literal

from get3d.light_prior import LightChoice

__all__ = ["BlenderLight", "Up"]

BlenderLight = Literal[LightChoice, "published"]
"""Those, and the lamps, tone and bounces of the paper's render script."""

Up = Literal["file", "x", "y", "z", "-x", "-y", "-z"]
"""The direction that is up in a model; "file": as its format or the file says."""
