"""The page of a dataset: its objects, each with its cameras, images and mesh."""

import math
import threading
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import torch
import viser
from jaxtyping import Int

from get3d.cameras import Cameras
from get3d.datasets.check import check
from get3d.datasets.index import Listing, read
from get3d.datasets.loader import decode_listed
from get3d.files import InputError
from get3d.html import embeddable
from get3d.viewer.camera import open_as_in_training, quaternions
from get3d.viewer.lamps import Lamps
from get3d.viewer.problems import objects_by_problem
from get3d.viewer.windows import Windows, on_press, on_use

__all__ = ["DataPage", "is_dataset", "open_listing"]

_FRUSTA = 48
"""Maximum number of cameras that are shown."""
_SIDE = 128
_SEEN = 2.5
"""What is seen of the surroundings of an object, as a multiple of what its images show."""
_ALL = "all"
_ANY = "with or without"


def is_dataset(path: Path) -> bool:
    """Whether a folder is a dataset: it has a description or images, which runs and models have not."""
    return path.is_dir() and any((path / name).exists() for name in ("dataset.json", "images", "img"))


def open_listing(path: Path) -> Listing:
    """The dataset of a folder.

    Raises:
        InputError: it cannot be read, or has no object.
    """
    listing = read(path)
    if not listing.objects:
        raise InputError(f"{path}: has no object; get3d check {path} says what is wrong")
    return listing


class DataPage:
    """The windows of a dataset, each with an object of its own.

    Attributes:
        problems: the objects with each kind of problem; None until the dataset was checked.
    """

    def __init__(self, server: viser.ViserServer, listing: Listing) -> None:
        self.listing = listing
        self.problems: dict[str, Int[np.ndarray, " k"]] | None = None
        self._checking = threading.Lock()
        Lamps(server.scene)
        self._windows = Windows(server, lambda client: Window(client, self))

    def find_problems(self) -> None:
        """Checks the dataset, once, and shows the result in all windows. It reads every image.

        Raises:
            InputError: the dataset cannot be read any more.
        """
        with self._checking:
            found = self.problems
            if found is None:
                found = objects_by_problem(check(self.listing.root), self.listing)
        with self._windows.held() as windows:
            self.problems = found
        for window in windows:
            window.show_problems(found)


class Window:
    """One browser window."""

    def __init__(self, client: viser.ClientHandle, page: DataPage) -> None:
        listing = page.listing
        self._client, self._listing = client, listing
        self._lock, self._closed = threading.Lock(), False
        gui = client.gui
        everything = np.arange(len(listing.objects))
        self._splits = {_ALL: everything, **listing.splits}
        self._problems = {_ANY: everything}
        self._state = gui.add_text("Object", "", disabled=True)
        self._split = gui.add_dropdown("Split", [name for name, chosen in self._splits.items() if len(chosen)])
        self._problem = gui.add_dropdown("Problem", list(self._problems))
        self._find = gui.add_button("Find problems", hint="Reads every image, as get3d check does")
        self._number = gui.add_slider("Number", 0, max(1, len(listing.objects) - 1), 1, 0)
        self._mesh = gui.add_checkbox("Mesh", True)
        self._cameras = gui.add_checkbox("Cameras and images", True)
        self._size = gui.add_slider("Size of the images", 0.05, 0.6, 0.01, 0.2)
        for control in (self._split, self._problem, self._number, self._mesh, self._cameras, self._size):
            on_use(client, control, self._show)
        on_press(client, self._find, "Reading all images …", page.find_problems)
        if page.problems is not None:
            self.show_problems(page.problems)
        open_as_in_training(client, listing.prior, _SEEN, _SEEN)
        self._show()

    def close(self) -> None:
        """Shows nothing more."""
        self._closed = True

    def show_problems(self, problems: Mapping[str, Int[np.ndarray, " k"]]) -> None:
        """Offers the kinds of problems that there are."""
        with self._lock:
            self._problems = {_ANY: self._splits[_ALL]}
            self._problems |= {f"{kind} ({len(objects)})": objects for kind, objects in problems.items()}
            self._problem.options = list(self._problems)
            self._find.disabled = True
            self._find.label = "Problems are found" if problems else "No problem is found"

    def _show(self) -> None:
        """Replaces everything that is shown by the chosen object."""
        # Controls call this in threads of their own; the last one shows what they then say.
        with self._lock:
            if not self._closed:
                self._replace()

    def _replace(self) -> None:
        listing, scene = self._listing, self._client.scene
        chosen = np.intersect1d(self._splits[self._split.value], self._problems[self._problem.value])
        if not len(chosen):
            scene.reset()
            self._state.value = "no such object"
            return
        number = int(chosen[min(self._number.value, len(chosen) - 1)])
        name = listing.objects[number]
        said = [f"{name} ({min(self._number.value, len(chosen) - 1) + 1} of {len(chosen)})"]
        scene.reset()
        content = embeddable(listing.root / "meshes" / f"{name}.glb") if self._mesh.value else None
        if content is not None:
            scene.add_glb("/mesh", content)
        elif self._mesh.value:
            said.append("no mesh")
        images = np.flatnonzero(listing.object_index == number)
        said.append(f"{len(images)} images")
        if self._cameras.value:
            said += self._frusta(images[:: math.ceil(len(images) / _FRUSTA) or 1])
        self._state.value = ", ".join(said)

    def _frusta(self, images: np.ndarray) -> list[str]:
        """Shows cameras with their images; returns errors of images that cannot be read."""
        listing, problems = self._listing, []
        angles = torch.from_numpy(np.asarray(listing.angles)[images]).float()
        usable = angles.isfinite().all(dim=1)
        cameras: Cameras = Cameras.of_prior(listing.prior, angles[usable])
        turned = quaternions(cameras)
        for place, number in enumerate(images[usable.numpy()].tolist()):
            try:
                pixels = decode_listed(listing, number, listing.resolution or _SIDE)
            except InputError as error:
                problems.append(str(error))
                continue
            step = math.ceil(pixels.shape[1] / _SIDE)
            self._client.scene.add_camera_frustum(
                f"/cameras/{number}",
                fov=math.radians(listing.prior.fov),
                aspect=1.0,
                scale=self._size.value,
                thickness=0.004,
                image=np.ascontiguousarray(pixels[:, ::step, ::step].transpose(1, 2, 0)),
                wxyz=turned[place],
                position=cameras.positions[place].numpy(),
            )
        return problems[:3]
