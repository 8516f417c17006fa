"""From signed distances on a fixed grid to triangle meshes. No networks in here."""
