"""How datasets are made: of procedural objects, of meshes, of images; and one writer for all."""
