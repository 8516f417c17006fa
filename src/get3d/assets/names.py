"""Names of lights and directions, from which options are made. This module imports nothing heavy."""

from typing import Literal

__all__ = ["BlenderLight", "Light", "Up"]

Light = Literal["studio", "even"]
"""A key light and the sky, or equal light from all sides, which shows the colours of the texture."""

BlenderLight = Literal[Light, "published"]
"""Those, and the lamps, tone and bounces of the paper's render script."""

Up = Literal["file", "x", "y", "z", "-x", "-y", "-z"]
"""The direction that is up in a model; "file": as its format or the file says."""
