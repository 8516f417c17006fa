"""The sliced Wasserstein distance of two sets of images, which needs no trained network.

Karras et al. 2018, "Progressive Growing of GANs for Improved Quality, Stability, and Variation", section 5: small
patches of every level of a Laplacian pyramid (Burt and Adelson 1983), compared as sets by their Wasserstein distance
along random directions.
"""

import torch
from jaxtyping import Float, Int, UInt8
from torch import Tensor
from torch.nn import functional

__all__ = ["sliced_wasserstein_distance", "sliced_wasserstein_levels"]

COARSEST = 16
PATCH = 7
PATCHES_PER_IMAGE = 128
DIRECTIONS = 512
IMAGES_AT_ONCE = 64
VALUES_AT_ONCE = 2**26

Images = Float[Tensor, "_ _ _ _"] | UInt8[Tensor, "_ _ _ _"]


def sliced_wasserstein_distance(images_a: Images, images_b: Images, generator: torch.Generator | None = None) -> float:
    """Sliced Wasserstein distance of two sets of images: the mean over the levels of `sliced_wasserstein_levels`.

    Args:
        images_a: square images of any number of channels (three for colour, one for masks), in any range.
        images_b: the other set, of the same channels and size; the number of images may differ.
        generator: random generator for patches and directions; by default seed 0, so that the same images give the
            same number.

    Returns:
        10³ times the distance, the unit of the paper's tables. It is symmetric, and zero for a set and itself. Two
        finite samples of one distribution do not give zero: report this floor together with the number.

    Raises:
        ValueError: as `sliced_wasserstein_levels`.
    """
    levels = sliced_wasserstein_levels(images_a, images_b, generator)
    return sum(levels.values()) / len(levels)


def sliced_wasserstein_levels(
    images_a: Images, images_b: Images, generator: torch.Generator | None = None
) -> dict[int, float]:
    """Sliced Wasserstein distance for each level of the Laplacian pyramid, fine to coarse.

    A level gives 128 patches of 7 × 7 pixels per image, normalised per channel by the mean and standard deviation of
    their set, so that brightness and contrast of a set do not count. They are projected on 512 random directions and
    compared along each as sorted lists. Both sets are sampled at the same places, which lowers the noise and makes a
    set equal to itself.

    Args:
        images_a: square images of any number of channels, in any range.
        images_b: the other set, of the same channels and size.
        generator: random generator for patches and directions; by default seed 0.

    Returns:
        10³ times the distance, by the side of the level in pixels; the coarsest side is at least 16.

    Raises:
        ValueError: the sets are empty, not square, of different sizes or channels, smaller than 16 pixels, or contain
            numbers that are not finite.
    """
    _check(images_a, images_b)
    generator = generator or torch.Generator().manual_seed(0)
    count = max(len(images_a), len(images_b))
    places = [_places(side, count, generator) for side in _sides(images_a.shape[-1])]
    result = {}
    for level, side in enumerate(_sides(images_a.shape[-1])):
        a, b = (_patches(images, level, places[level]) for images in (images_a, images_b))
        smaller = min(len(a), len(b))
        order = torch.randperm(max(len(a), len(b)), generator=generator, device=generator.device)[:smaller]
        a, b = (patches if len(patches) == smaller else patches[order.to(patches.device)] for patches in (a, b))
        result[side] = 1000 * _sliced_distance(_normalised(a), _normalised(b), generator)
    return result


def _check(images_a: Tensor, images_b: Tensor) -> None:
    for name, images in (("images_a", images_a), ("images_b", images_b)):
        if images.shape[0] == 0:
            raise ValueError(f"{name} holds no image")
        if images.shape[2] != images.shape[3] or images.shape[2] < COARSEST:
            raise ValueError(
                f"{name} holds images of {images.shape[2]} × {images.shape[3]} pixels; "
                f"they must be square, with a side of at least {COARSEST}"
            )
        if not torch.isfinite(images).all():
            raise ValueError(f"{name} holds numbers that are not finite")
    if images_a.shape[1:] != images_b.shape[1:]:
        raise ValueError(f"images of shape {tuple(images_a.shape[1:])} against {tuple(images_b.shape[1:])}")


def _sides(side: int) -> list[int]:
    """Sides of the pyramid's levels: halved as long as the next one is whole and at least 16."""
    sides = [side]
    while sides[-1] % 2 == 0 and sides[-1] // 2 >= COARSEST:
        sides.append(sides[-1] // 2)
    return sides


def _places(side: int, count: int, generator: torch.Generator) -> Int[Tensor, "n patches"]:
    """The flat number of the first pixel of each patch."""
    corner = torch.randint(
        side - PATCH + 1, (2, count, PATCHES_PER_IMAGE), generator=generator, device=generator.device
    )
    return corner[0] * side + corner[1]


def _patches(images: Tensor, level: int, places: Tensor) -> Float[Tensor, "m c 49"]:
    """All patches of one level of all images."""
    found = []
    for start in range(0, len(images), IMAGES_AT_ONCE):
        image = _level(images[start : start + IMAGES_AT_ONCE].float(), level)
        n, c, side, _ = image.shape
        inside = torch.arange(PATCH, device=image.device)
        pixel = (
            places[start : start + n].to(image.device)[:, :, None] + (inside[:, None] * side + inside).flatten()[None]
        )
        index = pixel.reshape(n, 1, -1).expand(n, c, -1)
        patches = image.flatten(2).gather(2, index).reshape(n, c, PATCHES_PER_IMAGE, PATCH * PATCH)
        found.append(patches.transpose(1, 2).flatten(0, 1))
    return torch.cat(found)


def _level(images: Tensor, level: int) -> Float[Tensor, "n c s s"]:
    """One level of the Laplacian pyramid; the coarsest is the low-pass image itself."""
    coarsest = len(_sides(images.shape[-1])) - 1
    for _ in range(level):
        images = _low_pass(images)[:, :, ::2, ::2]
    if level == coarsest:
        return images
    smaller = _low_pass(images)[:, :, ::2, ::2]
    spread = torch.zeros_like(images)
    spread[:, :, ::2, ::2] = 4 * smaller
    return images - _low_pass(spread)


def _low_pass(images: Tensor) -> Float[Tensor, "n c s s"]:
    """The binomial filter 1 4 6 4 1 along both axes, mirrored at the border."""
    for axis in (2, 3):
        size = images.shape[axis]
        padded = functional.pad(images, (2, 2, 0, 0) if axis == 3 else (0, 0, 2, 2), mode="reflect")
        a, b, c, d, e = (padded.narrow(axis, start, size) for start in range(5))
        images = ((a + e) + 4 * (b + d) + 6 * c) / 16
    return images


def _normalised(patches: Tensor) -> Float[Tensor, "m k"]:
    """Each channel with mean 0 and deviation 1 over the set; a channel that does not vary is zero."""
    deviation, mean = torch.std_mean(patches, dim=(0, 2), keepdim=True, correction=0)
    return ((patches - mean) / deviation.clamp_min(1e-6)).flatten(1)


def _sliced_distance(a: Tensor, b: Tensor, generator: torch.Generator) -> float:
    """The mean over random directions of the Wasserstein-1 distance of two equally large sets along them."""
    directions = torch.randn(a.shape[1], DIRECTIONS, generator=generator, device=generator.device)
    directions = functional.normalize(directions, dim=0).to(a.device)
    total = 0.0
    for block in directions.split(max(1, VALUES_AT_ONCE // len(a)), dim=1):
        along_a, along_b = (_sorted((patches @ block).T.contiguous()) for patches in (a, b))
        total += float((along_a - along_b).abs().mean(dim=1).sum())
    return total / DIRECTIONS


def _sorted(rows: Tensor) -> Float[Tensor, "r m"]:
    """Each row in ascending order. NumPy's vectorised sort is an order of magnitude faster than torch's on a CPU."""
    if rows.is_cuda:
        return rows.sort(dim=1).values
    rows.numpy().sort(axis=1)
    return rows
