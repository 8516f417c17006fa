"""Makes objects with a model: new ones, variations, and interpolations."""
