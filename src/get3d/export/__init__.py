"""From a mesh and a colour field to files that other programs open."""
