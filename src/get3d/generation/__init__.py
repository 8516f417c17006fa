"""From a model to folders of new objects, variations of one, and ways from one to another."""
