"""Shapes from images of known cameras: direct image losses, codes of objects, and the prior that is fitted to them."""
