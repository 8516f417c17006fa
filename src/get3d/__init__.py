"""A generative model of textured 3D meshes, learned from pictures."""
