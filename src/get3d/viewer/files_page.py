"""The page of mesh files: all of them, side by side, scaled to the same size."""

import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import viser

from get3d.assets.loading import load_asset
from get3d.camera_prior import CameraPrior
from get3d.viewer.camera import open_as_in_training
from get3d.viewer.lamps import Lamps

__all__ = ["FilesPage", "Mesh", "load"]

_APART = 1.1
"""Distance between the centres of neighbouring objects, what a training image shows; their longest side is 0.9."""


@dataclass(frozen=True)
class Mesh:
    """A mesh of a file.

    Attributes:
        name: of the file.
        glb: content of a .glb file.
        note: number of triangles, and files that were not found.
    """

    name: str
    glb: bytes
    note: str


def load(paths: Sequence[str]) -> list[Mesh]:
    """Reads mesh files, with the care that untrusted files need.

    Raises:
        InputError: one cannot be read.
    """
    found = []
    for path in map(Path, paths):
        loaded = load_asset(path, path.parent)
        with tempfile.TemporaryDirectory() as folder:
            loaded.asset.save(Path(folder) / "mesh.glb")
            content = (Path(folder) / "mesh.glb").read_bytes()
        note = f"{len(loaded.asset.faces):,} triangles"
        note += f", not found: {', '.join(loaded.missing)}" if loaded.missing else ""
        found.append(Mesh(path.name, content, note))
    return found


class FilesPage:
    """The page, which is the same in all windows."""

    def __init__(self, server: viser.ViserServer, meshes: Sequence[Mesh]) -> None:
        lamps = Lamps(server.scene, "warehouse")
        middle = (len(meshes) - 1) / 2
        for number, mesh in enumerate(meshes):
            place = ((number - middle) * _APART, 0.0, 0.0)
            server.scene.add_glb(f"/meshes/{number}", mesh.glb, position=place)
            server.gui.add_text(f"{number + 1}", f"{mesh.name}: {mesh.note}", disabled=True)
        lamps.add_controls(server.gui)
        server.on_client_connect(lambda client: open_as_in_training(client, CameraPrior(), width=float(len(meshes))))
