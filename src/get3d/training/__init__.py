"""How a generator learns from images."""
