"""Making datasets from procedural objects, meshes or images."""
