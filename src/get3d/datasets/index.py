"""Dataset folders: the own and the published layout, read into one listing of images and cameras.

The own layout (docs/datasets.md): `dataset.json`, `cameras.csv` with a line for each image,
`images/<object>/<view>.png` and, if known, `meshes/<object>.glb`. The published one: `img/<group>/<object>/<view>.png`
with `camera/<group>/<object>/{rotation,elevation}.npy`. Angles in files are degrees, angles in memory radians. Both can
be packed into shards (`get3d.datasets.shards`), which give the same listing.
"""

import os
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Float, Int
from numpy.lib.recfunctions import structured_to_unstructured

from get3d.camera_prior import CameraPrior
from get3d.datasets import cache as folder_cache
from get3d.datasets.camera_table import TURN, read_cameras, read_published_cameras
from get3d.datasets.description import SPLITS, Assumed, Description, require_prior, require_scale, split_of
from get3d.datasets.image_files import read_image
from get3d.datasets.shards import INDEX, MANIFEST, Names, Shards, in_parts, shard_name
from get3d.files import InputError, require_names, text_lines
from get3d.light_prior import LightPrior

__all__ = [
    "SPLITS",
    "Assumed",
    "Description",
    "Listing",
    "read",
    "read_splits",
    "remember",
    "require_prior",
    "split_of",
]

_MOST_LINES = 20_000_000
"""Maximum lines of a table or list; pack larger datasets."""


@dataclass(frozen=True)
class Listing:
    """All images of a dataset, by object and view.

    Attributes:
        root: the dataset folder.
        folder: its folder of images; empty for packed images.
        images: n names in that folder, or before packing.
        objects: names of the objects.
        object_index: [n] index of the object of each image.
        angles: [n, 2] azimuth and polar angle in radians; for packed images, mapped from the index file.
        splits: indices of the objects in each split.
        classes: names of the classes; none if all objects are of one kind.
        labels: index of the class of each object; 0 without classes.
        prior: the distribution of the cameras.
        scale: longest side of the objects' bounding boxes.
        resolution: resolution in dataset.json; None without that file.
        present: names of the existing image files.
        seen: whether the files are known to be valid, from a cached listing or from the index of the shards.
        shards: the shards of packed images; None for image files.
        light: the light of the images; None if it is unknown.
        turns: [n] rotation of the light about +Y in each image, radians; None if it never turns.
    """

    root: Path
    folder: str
    images: Sequence[str]
    objects: list[str]
    object_index: Int[np.ndarray, " n"]
    angles: Float[np.ndarray, "n 2"]
    splits: dict[str, Int[np.ndarray, " k"]]
    classes: tuple[str, ...]
    labels: Int[np.ndarray, " o"]
    prior: CameraPrior
    scale: float
    resolution: int | None
    present: Sequence[str]
    seen: bool = False
    shards: Shards | None = None
    light: LightPrior | None = None
    turns: Float[np.ndarray, " n"] | None = None

    def path(self, number: int) -> Path:
        """Path of an image; for a packed image the shard and the member, for messages only."""
        if self.shards is not None:
            return self.shards.path(number)
        return self.root / self.folder / self.images[number]

    def content(self, number: int) -> bytes:
        """The bytes of an image's PNG file.

        Raises:
            InputError: it cannot be read, or has changed since it was packed.
        """
        if self.shards is not None:
            return self.shards.content(number)
        path = self.path(number)
        return read_image(path)

    def of_split(self, split: str) -> Int[np.ndarray, " m"]:
        """Indices of the images of a split."""
        chosen = np.zeros(len(self.objects), dtype=bool)
        chosen[self.splits[split]] = True
        return np.flatnonzero(chosen[self.object_index])


def read(root: Path | str, splits: Path | str | None = None, assumed: Assumed | None = None) -> Listing:
    """Lists a dataset folder in either layout.

    Args:
        root: the folder.
        splits: folder with train.txt, val.txt and test.txt, lists of object names (with or without group), to use
            instead of the dataset's own splits. The published layout has splits only in a `dataset.json`. Without
            splits, the split of an object is a function of its name.
        assumed: values for a dataset without dataset.json.

    Raises:
        InputError: the folder is missing or is not a dataset, or one of its files cannot be read.
    """
    root = Path(root)
    if assumed is not None:
        try:
            require_scale(assumed.scale)
            require_prior(assumed.prior)
        except ValueError as error:
            raise InputError(f"--assumed: {error}; see --help for the meaning of each option") from error
    if not root.is_dir():
        raise InputError(f"{root}: no such folder; make a dataset with `get3d synth chair --out {root}`")
    if (root / MANIFEST).is_file():
        listing = _read_packed(root)
    elif (root / shard_name(0)).is_file():
        raise InputError(f"{root / MANIFEST}: no such file, packing was not completed; repeat `get3d pack`")
    elif (root / "img").is_dir():
        listing = _read_published(root, Assumed() if assumed is None else assumed)
    elif (root / "dataset.json").is_file():
        listing = _read_own(root)
    else:
        raise InputError(f"{root}: holds neither dataset.json nor img/, so it is not a dataset; see docs/datasets.md")
    require_names(listing.objects, f"{root}: an object, the folder of its images,")
    if splits is None:
        return listing
    return Listing(**{**vars(listing), "splits": read_splits(Path(splits), listing.objects)})


def remember(listing: Listing, began: float) -> None:
    """Caches a large, valid listing for the next start, if the folder did not change recently.

    Args:
        listing: a listing of valid files.
        began: start of reading, in seconds since the epoch.
    """
    if listing.seen:
        return
    if listing.folder == "images":
        tables = ["dataset.json", "cameras.csv"]
    else:
        names = (f"camera/{name}/{part}.npy" for name in listing.objects for part in ("rotation", "elevation"))
        tables = ["dataset.json", *names]
    angles = listing.angles
    if listing.turns is not None:
        angles = np.concatenate([angles, listing.turns[:, None]], axis=1)
    found = folder_cache.Found(list(listing.images), angles)
    folder_cache.remember(listing.root, listing.folder, tables, found, began)


def _read_own(root: Path) -> Listing:
    description = Description.read(root)
    table = root / "cameras.csv"
    if not table.is_file():
        command = description.source.get("command", "the command that makes it")
        raise InputError(f"{table}: no such file, the dataset is not complete; repeat `{command}`")
    found = folder_cache.recall(root, "images")
    if found is None:
        images, angles = read_cameras(table)
        present = images_below(root / "images")
    else:
        images, angles, present = found.images, found.angles, found.images
    light, turns = _lit(table, description, angles)
    names = [image.rpartition("/")[0] for image in images]
    objects = sorted(set(names))
    numbers = {name: number for number, name in enumerate(objects)}
    return Listing(
        root=root,
        folder="images",
        images=images,
        objects=objects,
        object_index=np.array([numbers[name] for name in names], dtype=np.int64),
        angles=angles[:, :2],
        splits=_described_splits(table, description, objects),
        classes=tuple(description.labels),
        labels=_labels(root, description, objects),
        prior=description.prior,
        scale=description.scale,
        resolution=description.resolution,
        present=present,
        seen=found is not None,
        light=light,
        turns=turns,
    )


def _lit(
    table: Path, description: Description, angles: Float[np.ndarray, "n k"]
) -> tuple[LightPrior | None, Float[np.ndarray, " n"] | None]:
    """The light of a dataset, and its turn in each image."""
    turned = description.light is not None and description.light.turned
    if turned != (angles.shape[1] == 3):
        said = "says that the light is turned in each image" if turned else "does not say that the light is turned"
        raise InputError(f"{table}: dataset.json {said}, but the column {TURN!r} says otherwise; make it again")
    return description.light, angles[:, 2] if turned else None


def _read_packed(root: Path) -> Listing:
    description, shards = Description.read(root), Shards(root)
    index, names = shards.index, Names(shards.index["name"])
    object_index = index["object"]
    count = int(object_index.max()) + 1
    first = np.full(count, -1)
    for part in reversed(in_parts(len(index))):
        first[object_index[part][::-1]] = np.arange(part.start, part.stop)[::-1]
    if first.min() < 0:
        raise InputError(f"{root / INDEX}: leaves out an object of {count}; pack the dataset again")
    objects = [names[number].rpartition("/")[0] for number in first.tolist()]
    return Listing(
        root=root,
        folder="",
        images=names,
        objects=objects,
        object_index=object_index,
        angles=structured_to_unstructured(index[["azimuth", "polar"]], copy=False),
        splits=_described_splits(root / INDEX, description, objects),
        classes=tuple(description.labels),
        labels=_labels(root, description, objects),
        prior=description.prior,
        scale=description.scale,
        resolution=description.resolution,
        present=names,
        seen=True,
        shards=shards,
        light=description.light,
        turns=index["turn"] if "turn" in (index.dtype.names or ()) else None,
    )


def _described_splits(table: Path, description: Description, objects: list[str]) -> dict[str, Int[np.ndarray, " k"]]:
    numbers = {name: number for number, name in enumerate(objects)}
    splits = {}
    for split, members in description.splits.items():
        lost = [name for name in members if name not in numbers]
        if lost:
            raise InputError(
                f"{table}: the object {lost[0]!r} of the split {split!r} in dataset.json has no image "
                f"({len(lost)} such objects); complete the dataset, or remove them from the split"
            )
        splits[split] = np.array([numbers[name] for name in members], dtype=np.int64)
    return splits


def _labels(root: Path, description: Description | None, objects: list[str]) -> Int[np.ndarray, " o"]:
    labels = {} if description is None else description.labels
    if not labels:
        return np.zeros(len(objects), dtype=np.int64)
    pairs = [(name, number) for number, names in enumerate(labels.values()) for name in names]
    found = dict(pairs)
    if len(found) < len(pairs):
        twice = next(name for name, number in pairs if found[name] != number)
        raise InputError(f"{root / 'dataset.json'}: labels name the object {twice!r} twice; give each object one class")
    without = [name for name in objects if name not in found]
    if without:
        raise InputError(
            f"{root / 'dataset.json'}: labels leave out the object {without[0]!r} ({len(without)} such objects); "
            "give every object a class, or remove the labels"
        )
    return np.array([found[name] for name in objects], dtype=np.int64)


def images_below(folder: Path) -> list[str]:
    """Names, relative to `folder` and with `/` between, of all images in its folders, in order."""
    found = []
    for place, folders, files in os.walk(folder):
        folders.sort()
        prefix = Path(place).relative_to(folder).as_posix()
        images = sorted(name for name in files if name.endswith(".png") and not name.startswith("."))
        found += images if prefix == "." else [f"{prefix}/{name}" for name in images]
    return found


def _read_published(root: Path, assumed: Assumed) -> Listing:
    found = folder_cache.recall(root, "img")
    if found is None:
        images, objects, angles, present = _look_at_published(root)
    else:
        images, angles, present = found.images, found.angles, found.images
        objects = list(dict.fromkeys(name.rpartition("/")[0] for name in images))
    numbers = {name: number for number, name in enumerate(objects)}
    described = Description.read(root) if (root / "dataset.json").is_file() else None
    chosen = np.array([SPLITS.index(split_of(zlib.crc32(name.encode()))) for name in objects])
    splits = {split: np.flatnonzero(chosen == number) for number, split in enumerate(SPLITS)}
    if described is not None and any(described.splits.values()):
        splits = _described_splits(root / "img", described, objects)
    return Listing(
        root=root,
        folder="img",
        images=images,
        objects=objects,
        object_index=np.array([numbers[name.rpartition("/")[0]] for name in images], dtype=np.int64),
        angles=angles,
        splits=splits,
        classes=() if described is None else tuple(described.labels),
        labels=_labels(root, described, objects),
        prior=assumed.prior if described is None else described.prior,
        scale=assumed.scale if described is None else described.scale,
        resolution=None if described is None else described.resolution,
        present=present,
        seen=found is not None,
        light=None if described is None else described.light,
    )


def _look_at_published(root: Path) -> tuple[list[str], list[str], Float[np.ndarray, "n 2"], list[str]]:
    """Images that have a camera, objects, angles in radians, and images that are there."""
    images: list[str] = []
    angles = []
    present = images_below(root / "img")
    by_object: dict[str, list[str]] = {}
    for name in present:
        by_object.setdefault(name.rpartition("/")[0], []).append(name)
    for name, views in by_object.items():
        degrees = read_published_cameras(root / "camera" / name)
        # A camera without an image is listed under the name that its image would have.
        images += views[: len(degrees)]
        images += [f"{name}/{view:03d}.png" for view in range(len(views), len(degrees))]
        angles.append(degrees)
    if not images:
        raise InputError(f"{root}: holds no image with a camera under img/ and camera/; see docs/datasets.md")
    return images, list(by_object), np.radians(np.concatenate(angles)), present


def read_splits(folder: Path, objects: list[str]) -> dict[str, Int[np.ndarray, " k"]]:
    """Indices of the objects named in train.txt, val.txt and test.txt, with or without their group.

    Raises:
        InputError: a file is missing, or names none of the objects.
    """
    numbers: dict[str, int] = {}
    for number, name in enumerate(objects):
        numbers[name] = numbers[name.rpartition("/")[2]] = number
    splits = {}
    for split in SPLITS:
        path = folder / f"{split}.txt"
        if not path.is_file():
            raise InputError(f"{path}: no such file; a folder of splits has train.txt, val.txt and test.txt")
        with text_lines(path, _MOST_LINES) as lines:
            names = [line.strip() for line in lines if line.strip()]
        # The published lists name more objects than were rendered for some kinds, so absent ones are left out.
        splits[split] = np.array(sorted({numbers[name] for name in names if name in numbers}), dtype=np.int64)
        if not len(splits[split]):
            raise InputError(f"{path}: names none of the {len(objects)} objects of the dataset; check the file")
    return splits
