"""How fast each part is, beside plain versions of it: `get3d bench`."""
