"""Rasterisation: visible faces, interpolated values, and masks with smooth, differentiable edges."""

from get3d.render.antialias import mask_of, render_mask
from get3d.render.interpolate import interpolate
from get3d.render.kernels import visible_faces
from get3d.render.rasterize import Fragments, rasterize, rasterize_through

__all__ = ["Fragments", "interpolate", "mask_of", "rasterize", "rasterize_through", "render_mask", "visible_faces"]
