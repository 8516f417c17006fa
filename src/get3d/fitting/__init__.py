"""Objects from images: of a model (fit), or directly (reconstruct)."""
