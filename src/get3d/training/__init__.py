"""Training of generators from images."""
