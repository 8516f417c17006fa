"""From meshes and cameras to pixels. No networks in here."""
