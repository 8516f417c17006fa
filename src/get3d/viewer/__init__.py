"""A live page on a generator, a dataset or meshes: `get3d view`."""
