"""Images of a dataset with their cameras: loaded by index, or as an endless stream that can resume at any position."""

import io
import os
import time
from collections import deque
from collections.abc import Generator, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float, Int, UInt8
from PIL import Image
from torch import Tensor

from get3d.camera_prior import CameraPrior
from get3d.color import bytes_to_unit, unit_to_signed
from get3d.datasets.image_files import read_image
from get3d.datasets.index import Assumed, Listing, read, remember
from get3d.datasets.resizing import reduced
from get3d.datasets.validation import head_problem, quick_problems
from get3d.files import InputError
from get3d.light_prior import LightPrior

__all__ = ["Batch", "ImageDataset", "decode", "decode_listed", "to_network"]

_AHEAD = 3
"""Maximum number of batches that are decoded in advance."""


def to_network(images: UInt8[Tensor, "n 4 h w"]) -> Float[Tensor, "n 4 h w"]:
    """Images for the networks: colours in [−1, 1], black where alpha is 0, and masks in [0, 1].

    The colour of a partly covered pixel is not darkened by the mask.
    """
    values = bytes_to_unit(images)
    color, mask = values[:, :3], values[:, 3:]
    return torch.cat([torch.where(mask > 0, unit_to_signed(color), -1.0), mask], dim=1)


def decode(path: Path, resolution: int) -> UInt8[np.ndarray, "4 {resolution} {resolution}"]:
    """Reads one image. The size in its header is checked before any pixel is decoded.

    Raises:
        InputError: the file is missing, truncated or not a PNG, or has no alpha channel or another size.
    """
    return _decoded(read_image(path), path, resolution)


def decode_listed(listing: Listing, number: int, resolution: int) -> UInt8[np.ndarray, "4 {resolution} {resolution}"]:
    """Reads one image of a dataset, from its file or its shard; see `decode`.

    Raises:
        InputError: the file or the shard cannot be read or has changed, or the image is not valid for `decode`.
    """
    return _decoded(listing.content(number), listing.path(number), resolution)


def _decoded(content: bytes, path: Path, resolution: int) -> UInt8[np.ndarray, "4 {resolution} {resolution}"]:
    problem = head_problem(path, content[:26], resolution)
    if problem is not None:
        raise InputError(problem.message)
    try:
        with Image.open(io.BytesIO(content), formats=["PNG"]) as image:
            return np.ascontiguousarray(np.asarray(image).transpose(2, 0, 1))
    except Exception as error:  # Decoders of damaged images raise whatever they do.
        raise InputError(f"{path}: is damaged ({error}); restore it or make the dataset again") from error


@dataclass(frozen=True)
class Batch:
    """Images with cameras and labels.

    Attributes:
        images: RGBA.
        angles: azimuth and polar angle of each camera, radians.
        label: class indices; None in a dataset of one kind.
        object: index of the object that each image shows, in `ImageDataset.objects`.
        turn: rotation of the light about +Y in each image, radians; None if it never turns.
    """

    images: UInt8[Tensor, "m 4 r r"]
    angles: Float[Tensor, "m 2"]
    label: Int[Tensor, " m"] | None = None
    object: Int[Tensor, " m"] | None = None
    turn: Float[Tensor, " m"] | None = None


class ImageDataset:
    """The images of one split, cached in memory after decoding if they fit.

    Attributes:
        angles: [n, 2] azimuth and polar angle of each image's camera, radians.
        classes: names of the classes; none if all objects are of one kind.
        labels: [n] class index of each image; 0 without classes.
        objects: names of the split's objects.
        object: [n] object index of each image.
        light: the light of the images; None if it is unknown.
        turns: [n] rotation of the light about +Y in each image, radians; None if it never turns.
        prior: the distribution of the cameras.
        resolution: side of the returned images in pixels.
        scale: longest side of the objects' bounding boxes.
        filled: the splits with objects.
    """

    angles: Float[Tensor, "n 2"]
    classes: tuple[str, ...]
    labels: Int[Tensor, " n"]
    objects: tuple[str, ...]
    object: Int[Tensor, " n"]
    light: LightPrior | None
    turns: Float[Tensor, " n"] | None
    prior: CameraPrior
    resolution: int
    scale: float
    filled: frozenset[str]

    def __init__(
        self,
        root: Path | str,
        split: str,
        splits: Path | str | None = None,
        cache_bytes: int = 2 * 1024**3,
        assumed: Assumed | None = None,
        resolution: int | None = None,
    ) -> None:
        """Lists the dataset and does the checks that need no decoding.

        Args:
            root: the dataset folder, in our layout or the published one, or packed.
            split: "train", "val" or "test".
            splits: folder with train.txt, val.txt and test.txt, in place of the dataset's own splits.
            cache_bytes: keep decoded images in memory if the whole split takes no more than this.
            assumed: what the dataset is taken to be where it does not say so itself.
            resolution: side that larger images are reduced to, in pixels; None leaves them as they are.

        Raises:
            InputError: something is wrong; names the first file, and counts the others.
        """
        began = time.time()
        listing = read(root, splits, assumed)
        self._stored, problems = quick_problems(listing)
        if problems:
            more = f"; {len(problems) - 1} more, see `get3d check {root}`" if len(problems) > 1 else ""
            raise InputError(f"{problems[0].message}{more}")
        remember(listing, began)
        self.resolution = self._stored if resolution is None else resolution
        if self.resolution < 1 or self._stored % self.resolution:
            raise InputError(
                f"{root}: its images are {self._stored}², requested is {resolution}²; larger images are reduced, not "
                f"enlarged: use --resolution {self._stored} or a smaller power of two, or make the dataset again"
            )
        self.filled = frozenset(name for name, objects in listing.splits.items() if len(objects))
        numbers = listing.of_split(split)
        if not len(numbers):
            raise InputError(f"{root}: no object is in the split {split!r}; make a dataset of at least 10 shapes")
        self._listing, self._numbers = listing, numbers
        self.angles = torch.from_numpy(listing.angles[numbers].astype(np.float32))
        self.classes = listing.classes
        no_labels = torch.zeros((), dtype=torch.long).expand(len(numbers))
        self.labels = torch.from_numpy(listing.labels[listing.object_index[numbers]]) if listing.classes else no_labels
        shown, self.object = torch.from_numpy(listing.object_index[numbers]).unique(return_inverse=True)
        self.objects = tuple(listing.objects[number] for number in shown.tolist())
        self.light = listing.light
        turns = listing.turns
        self.turns = None if turns is None else torch.from_numpy(turns[numbers].astype(np.float32))
        self.prior = listing.prior
        self.scale = listing.scale
        shape = (len(numbers), 4, self.resolution, self.resolution)
        fits = int(np.prod(shape)) <= cache_bytes
        self._cache = np.empty(shape, np.uint8) if fits else None
        self._cached = np.zeros(len(numbers), bool)
        self._threads = ThreadPoolExecutor(min(os.cpu_count() or 1, 16), thread_name_prefix="decode")

    def __len__(self) -> int:
        return len(self._numbers)

    @property
    def kept_bytes(self) -> int:
        """Memory of the decoded images, once each has been loaded; 0 if they are not kept."""
        return 0 if self._cache is None else self._cache.nbytes

    def by_object(self) -> tuple[Int[Tensor, " k"], ...]:
        """The image numbers of each object, in the order of `objects`."""
        return self.object.argsort(stable=True).split(self.object.bincount().tolist())

    def load(self, indices: Int[Tensor, " m"] | Sequence[int]) -> UInt8[Tensor, "m 4 r r"]:
        """Decodes the images with the given indices.

        Raises:
            InputError: one of the files cannot be used.
        """
        # Not by PyTorch: a thread that calls it gets OpenMP threads of its own, and with more of them than cores all of
        # them sleep between calls, which doubles the time of a training step.
        numbers = np.asarray(indices, dtype=np.int64)
        if self._cache is None:
            images = np.empty((len(numbers), 4, self.resolution, self.resolution), np.uint8)
            for place, image in zip(images, self._threads.map(self._decode, numbers.tolist()), strict=True):
                place[:] = image
            return torch.from_numpy(images)
        missing = np.unique(numbers[~self._cached[numbers]])
        for number, image in zip(missing, self._threads.map(self._decode, missing.tolist()), strict=True):
            self._cache[number] = image
        self._cached[missing] = True
        return torch.from_numpy(self._cache[numbers])

    def _decode(self, number: int) -> UInt8[np.ndarray, "4 r r"]:
        pixels = decode_listed(self._listing, int(self._numbers[number]), self._stored)
        return reduced(pixels, self.resolution)

    def batches(
        self, batch_size: int, seed: int, position: int = 0, rank: int = 0, world_size: int = 1
    ) -> Generator[Batch, None, None]:
        """An endless stream of batches, with a new order in each epoch.

        The order of epoch e depends only on (seed, e), and the position of the stream only on the number of images that
        it has returned, so a stream that starts at `position` resumes exactly where another stopped. Batches cross the
        ends of epochs. Other threads decode the next batches in advance.

        Several processes divide a batch in the order of their ranks, so the images do not depend on the number of
        processes.

        Args:
            batch_size: images in a batch of all processes together.
            seed: seed of the order.
            position: number of images returned before, by all processes together.
            rank: rank of this process.
            world_size: number of processes.

        Raises:
            InputError: an image cannot be used.
        """
        if not 0 <= rank < world_size or batch_size % world_size:
            raise ValueError(f"a batch of {batch_size} has no part {rank} of {world_size} equal ones")
        share = slice(rank * batch_size // world_size, (rank + 1) * batch_size // world_size)
        return self._stream(_order(len(self), batch_size, seed, position), share)

    def object_batches(
        self, batch_size: int, views: int, seed: int, position: int = 0, rank: int = 0, world_size: int = 1
    ) -> Generator[Batch, None, None]:
        """Batches without end of a few images of each of a few objects; the images of an object follow each other.

        Objects come in an order of their own each epoch; images of an object are drawn anew each time, without
        repetition where it has enough. As in `batches`, all follows from the seed and the number of images given.

        Args:
            batch_size: images in a batch, of all processes together, a multiple of `views` for each process.
            views: images of each object.
            seed: of the order.
            position: images shown before, by all processes together.
            rank: of this process.
            world_size: how many processes there are.

        Raises:
            InputError: an image cannot be used.
        """
        if not 0 <= rank < world_size or batch_size % (views * world_size):
            raise ValueError(f"a batch of {batch_size} has no part {rank} of {world_size} with {views} of each object")
        share = slice(rank * batch_size // world_size, (rank + 1) * batch_size // world_size)
        return self._stream(self._views(batch_size, views, seed, position), share)

    def _views(self, batch_size: int, views: int, seed: int, position: int) -> Iterator[Int[Tensor, " m"]]:
        """The image numbers of each batch of a stream of objects."""
        images = self.by_object()
        for chosen in _order(len(self.objects), batch_size // views, seed, position // views):
            random = np.random.default_rng([seed, position])
            drawn = []
            for number in chosen.tolist():
                own = images[number].numpy()
                drawn.append(random.choice(own, views, replace=len(own) < views))
            yield torch.from_numpy(np.concatenate(drawn))
            position += batch_size

    def _stream(self, order: Iterator[Int[Tensor, " m"]], share: slice) -> Generator[Batch, None, None]:
        """The batches of an order of images, of which this process takes its share."""
        with ThreadPoolExecutor(_AHEAD, thread_name_prefix="batches") as ahead:
            waiting: deque[tuple[Tensor, Future[Tensor]]] = deque()
            try:
                while True:
                    while len(waiting) < _AHEAD:
                        indices = next(order)[share]
                        waiting.append((indices, ahead.submit(self.load, indices)))
                    indices, images = waiting.popleft()
                    label = self.labels[indices] if self.classes else None
                    turn = None if self.turns is None else self.turns[indices]
                    yield Batch(images.result(), self.angles[indices], label, self.object[indices], turn)
            finally:
                ahead.shutdown(cancel_futures=True)


def _order(count: int, batch_size: int, seed: int, position: int) -> Iterator[Int[Tensor, " m"]]:
    """The image numbers of each batch of a stream."""
    if batch_size < 1 or position < 0:
        raise ValueError(f"batch_size is {batch_size} and position {position}; they must be at least 1 and 0")
    epoch, start = divmod(position, count)
    rest = _shuffled(count, seed, epoch)[start:]
    while True:
        while len(rest) < batch_size:
            epoch += 1
            rest = torch.cat([rest, _shuffled(count, seed, epoch)])
        yield rest[:batch_size]
        rest = rest[batch_size:]


def _shuffled(count: int, seed: int, epoch: int) -> Int[Tensor, " n"]:
    return torch.from_numpy(np.random.default_rng([seed, epoch]).permutation(count))
