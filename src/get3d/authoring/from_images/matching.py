"""Matches images with cameras on a sphere, and lists the images that are left out."""

import posixpath
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float

from get3d.authoring.from_images.config import Tolerances
from get3d.authoring.from_images.crop import Head, UnusableImageError, read_head
from get3d.authoring.from_images.poses import Lens, Orbit, Poses, fit_orbit
from get3d.authoring.from_images.sources import Present, Source, find_sources, list_images, without_copies
from get3d.files import InputError, contained

__all__ = ["Left", "Matched", "Tolerances", "match"]

_KEPT_APART = re.compile(r"(images?|masks?|rgb|color)(_\d+)?", re.IGNORECASE)
_POLE = 0.05
"""Within this many degrees of straight above or below, azimuth is undefined."""
_SIDES = {
    "x": (1.0, 0.0, 0.0),
    "y": (0.0, 1.0, 0.0),
    "z": (0.0, 0.0, 1.0),
    "-x": (-1.0, 0.0, 0.0),
    "-y": (0.0, -1.0, 0.0),
    "-z": (0.0, 0.0, -1.0),
}


@dataclass(frozen=True)
class Left:
    """An image that is left out.

    Attributes:
        image: its name, or its name in a camera file.
        reason: the kind of reason, in a word or two.
        text: the reason, with numbers.
        values: the numbers.
    """

    image: str
    reason: str
    text: str
    values: dict[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class Matched:
    """n images whose cameras are level, on a sphere, and look at its centre.

    Attributes:
        images: their names in the folder.
        objects: name of the object of each image; empty for images in the folder itself.
        heads: headers of their files.
        focal: [n] focal lengths in pixels.
        principal: [n, 2] principal point of each image, in pixels from its upper left corner.
        angles: [n, 2] azimuth and polar angle in degrees.
        deviations: [n, 3] deviations from the sphere: aim and roll in degrees, distance in per cent.
        left: images left out so far.
        worlds: description of the world of each camera file.
        warnings: for the report.
    """

    images: list[str]
    objects: list[str]
    heads: list[Head]
    focal: Float[np.ndarray, " n"]
    principal: Float[np.ndarray, "n 2"]
    angles: Float[np.ndarray, "n 2"]
    deviations: Float[np.ndarray, "n 3"]
    left: list[Left]
    worlds: list[dict[str, Any]]
    warnings: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class _Found:
    """One of the images of `Matched`."""

    image: str
    object: str
    head: Head
    focal: float
    principal: tuple[float, float]
    angles: Float[np.ndarray, "2"]
    deviations: tuple[float, float, float]


def match(
    root: Path,
    cameras: Path,
    masks: Path | None,
    up: str | None,
    centre: tuple[float, float, float] | None,
    fov: float,
    tolerance: Tolerances,
) -> Matched:
    """Reads cameras and the headers of images, and matches them.

    Args:
        root: folder of the images.
        cameras: the cameras, see `find_sources`.
        masks: folder of masks, if alpha is not in the images.
        up: world axis that is up, "cameras" for the direction to which cameras are level, None for the format's.
        centre: centre of the object in the world of the cameras; None: see `fit_orbit`.
        fov: vertical field of view in degrees, for tables.
        tolerance: allowed deviations of cameras.

    Raises:
        InputError: images or cameras cannot be read, or the cameras name none of the images.
    """
    listed = list_images(root, masks)
    images, warnings = without_copies(listed)
    sources = find_sources(cameras, images, fov)
    if len(sources) == 1 and isinstance(sources[0].poses, InputError):
        raise sources[0].poses
    masked = None if masks is None else _masks(masks)
    present = Present(root, images)
    found: dict[str, _Found] = {}
    left: list[Left] = []
    worlds: list[dict[str, Any]] = []
    named: set[str] = set()
    for source in sources:
        try:
            poses = _readable(source)
            names = present.look_up(poses.names, poses.file, source.object)
            if masks is None and poses.masks:
                masked = (masked or {}) | _named_masks(poses, names, root)
            orbit = _orbit(poses, up, centre)
        except InputError as error:
            if len(sources) == 1:
                raise
            lost = [image for image in images if image.startswith(f"{source.object}/")]
            left += [Left(image, "camera file", str(error)) for image in lost]
            named.update(lost)
            continue
        worlds.append(_world(source, poses, orbit))
        refused_names = present.look_up(list(poses.refused), poses.file, source.object)
        for (name, why), refused in zip(poses.refused.items(), refused_names, strict=True):
            left.append(Left(refused or name, "camera", why))
            named.update([refused] if refused else [])
        for number, image in enumerate(names):
            if image is None:
                text = f"{poses.file} names it, but there is no such image in {root}"
                left.append(Left(poses.names[number], "no image", text))
            elif image in named:
                left.append(Left(image, "two cameras", f"{poses.file} gives it another camera; the first one is used"))
            else:
                named.add(image)
                result = _judge(image, source, poses.lenses[number], orbit, number, root, masked, tolerance)
                if isinstance(result, Left):
                    left.append(result)
                else:
                    found[image] = result
    if not named:
        first = next(entry.image for entry in left)
        raise InputError(
            f"{cameras}: does not name the images of {root}, for example {first!r} instead of {images[0]!r}; "
            "paths are relative to the folder of the images"
        )
    used = frozenset() if masks is not None or masked is None else frozenset(masked.values())
    left += [
        Left(image, "no camera", f"{cameras} has no camera for it")
        for image in images
        if image not in named and root / image not in used
    ]
    turned = sum(one.head.turned for one in found.values())
    if turned:
        warnings.append(f"{turned} images are stored sideways and were rotated as their EXIF data says")
    kept = [found[image] for image in images if image in found]
    return Matched(
        images=[one.image for one in kept],
        objects=[one.object for one in kept],
        heads=[one.head for one in kept],
        focal=np.array([one.focal for one in kept]),
        principal=np.array([one.principal for one in kept]).reshape(-1, 2),
        angles=np.array([one.angles for one in kept]).reshape(-1, 2),
        deviations=np.array([one.deviations for one in kept]).reshape(-1, 3),
        left=left,
        worlds=worlds,
        warnings=warnings,
    )


def _readable(source: Source) -> Poses:
    if isinstance(source.poses, InputError):
        raise source.poses
    return source.poses


def _orbit(poses: Poses, up: str | None, centre: tuple[float, float, float] | None) -> Orbit | None:
    """The sphere of the cameras; None where there is no camera."""
    if not poses.names:
        return None
    axis = poses.up if up is None else _SIDES.get(up)
    return fit_orbit(poses, axis, poses.centre if centre is None else centre)


def _world(source: Source, poses: Poses, orbit: Orbit | None) -> dict[str, Any]:
    described: dict[str, Any] = {"cameras": str(poses.file), "format": poses.format, "count": len(poses.names)}
    if source.object is not None:
        described["object"] = source.object
    if orbit is not None:
        described |= {"centre": orbit.centre.tolist(), "up": orbit.up.tolist(), "radius": orbit.radius}
    return described


def _masks(folder: Path) -> dict[str, Path]:
    """Masks by the names that images may have, see `_mask_names`."""
    found: dict[str, Path] = {}
    names = list_images(folder, None)
    # Names that are nearer to the mask's own come first, whatever mask they are of.
    for keys in zip(*map(_mask_names, names), strict=True):
        for key, name in zip(keys, names, strict=True):
            found.setdefault(key, folder / name)
    return found


def _mask_names(name: str) -> tuple[str, ...]:
    """A name, the name without its suffix, and both without folders for masks and images."""
    parts = name.split("/")
    plain = "/".join([*(part for part in parts[:-1] if not _KEPT_APART.fullmatch(part)), parts[-1]])
    return tuple(way for each in (name, plain) for way in (each, posixpath.splitext(each)[0]))


def _named_masks(poses: Poses, images: Sequence[str | None], root: Path) -> dict[str, Path]:
    """The masks named in a camera file, which must be in its folder or in the folder of images."""
    folder = poses.file if poses.file.is_dir() else poses.file.parent
    found: dict[str, Path] = {}
    for image, name in zip(images, poses.names, strict=True):
        if image is not None and name in poses.masks:
            for place in (folder, root):
                try:
                    mask = contained(place, poses.masks[name])
                    if mask.is_file():
                        found.setdefault(image, mask)
                except (OSError, ValueError):
                    continue  # It is no path, or leads out of the folder: the image has no mask.
    return found


def _judge(
    image: str,
    source: Source,
    lens: Lens,
    orbit: Orbit | None,
    number: int,
    root: Path,
    masks: Mapping[str, Path] | None,
    tolerance: Tolerances,
) -> _Found | Left:
    """An image with its camera, or why it is left out."""
    if orbit is None:
        raise ValueError(f"{image} has a camera, but there is no orbit")
    aim, roll, distance = float(orbit.aim[number]), float(orbit.roll[number]), 100 * float(orbit.distance[number])
    values = {"aim": round(aim, 3), "roll": round(roll, 3), "distance": round(distance, 3)}
    if aim > tolerance.aim:
        return Left(image, "aim", f"its camera looks past the object's centre by {aim:.2f}°", values)
    if abs(roll) > tolerance.roll:
        return Left(image, "roll", f"its camera is turned about its axis by {roll:.2f}°", values)
    if abs(distance) > tolerance.distance:
        text = f"its camera stands {abs(distance):.1f} % {'farther' if distance > 0 else 'nearer'} than the median"
        return Left(image, "distance", text, values)
    polar = float(orbit.angles[number, 1])
    if not _POLE <= polar <= 180 - _POLE:
        return Left(image, "pole", "its camera looks straight down or up, where azimuth is undefined", values)
    mask = None
    if masks is not None:
        mask = next((masks[name] for name in _mask_names(image) if name in masks), None)
        if mask is None:
            return Left(image, "no mask", "there is no mask with its name")
    try:
        head = read_head(root / image, mask, lens.aspect)
    except UnusableImageError as error:
        return Left(image, "image", str(error))
    if lens.aspect is not None and abs(lens.aspect * head.height / head.width - 1) > 0.01:
        size = f"{head.width} × {head.height}"
        return Left(image, "lens", f"it is {size}, its camera's images are {lens.aspect:.3f} times as wide as high")
    focals = [
        focal * side for focal, side in ((lens.focal_x, head.width), (lens.focal_y, head.height)) if focal is not None
    ]
    if abs(focals[0] / focals[-1] - 1) > tolerance.fov / 100:
        return Left(image, "lens", f"its focal lengths are {focals[0]:.1f} across, {focals[1]:.1f} down, in pixels")
    return _Found(
        image=image,
        object=image.rpartition("/")[0] if source.object is None else source.object,
        head=head,
        focal=sum(focals) / len(focals),
        principal=(lens.centre[0] * head.width, lens.centre[1] * head.height),
        angles=orbit.angles[number],
        deviations=(aim, roll, distance),
    )
