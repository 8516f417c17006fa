"""Models in files: loaded, released, bundled; published checkpoints and ours."""
