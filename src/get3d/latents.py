"""Latents and styles, which shapes are made from, and interpolation between them."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor

from get3d.tensors import TensorDataclass

__all__ = ["Latents", "Styles", "between", "between_styles", "joined", "mix", "near", "near_styles"]


@dataclass(frozen=True)
class Latents(TensorDataclass):
    """Latents of n shapes.

    Attributes:
        geometry: [n, z].
        texture: [n, z].
        label: [n] class indices, for a generator of several classes.
    """

    geometry: Float[Tensor, "n z"]
    texture: Float[Tensor, "n z"]
    label: Int[Tensor, " n"] | None = None


@dataclass(frozen=True)
class Styles(TensorDataclass):
    """Styles of n shapes: a style for every layer of the synthesis network (W+), or one for all layers (W).

    Attributes:
        geometry: [n, layers, w], or [n, w].
        texture: [n, layers, w], or [n, w].
    """

    geometry: Float[Tensor, "n lg w"] | Float[Tensor, "n w"]
    texture: Float[Tensor, "n lt w"] | Float[Tensor, "n w"]


def mix(first: Styles, second: Styles, share: Float[Tensor, "n 2"]) -> Styles:
    """Style mixing: early layers from the first styles, later ones from the second (Karras et al. 2019, section 3.1).

    Args:
        first: styles of n shapes, for every layer.
        second: styles of n other shapes, for every layer.
        share: share of the layers that use the first styles, for geometry and texture; at least one layer, 1 for all.
    """

    def crossed(a: Tensor, b: Tensor, share: Tensor) -> Tensor:
        layers = a.shape[1]
        cut = 1 + torch.floor(share * (layers - 1))
        return torch.where((torch.arange(layers, device=a.device) < cut[:, None])[..., None], a, b)

    return Styles(
        crossed(first.geometry, second.geometry, share[:, 0]), crossed(first.texture, second.texture, share[:, 1])
    )


def joined(parts: Sequence[Latents]) -> Latents:
    """Concatenates latents.

    Raises:
        ValueError: there are no latents, or only some of them have labels.
    """
    labels = [part.label for part in parts if part.label is not None]
    if len(labels) not in (0, len(parts)):
        raise ValueError("latents with labels cannot be joined with latents without labels")
    geometry, texture = torch.cat([part.geometry for part in parts]), torch.cat([part.texture for part in parts])
    return Latents(geometry, texture, torch.cat(labels) if labels else None)


def between(
    start: Latents, end: Latents, geometry: Float[Tensor, " s"] | float, texture: Float[Tensor, " s"] | float
) -> Latents:
    """Interpolates between the latents of two shapes, along the great circle through both.

    High-dimensional normal vectors lie near a sphere, which a straight line would leave.

    Args:
        start: latents of one shape.
        end: latents of one shape, of the same class.
        geometry: [s] positions of the geometry latents, 0 at the start and 1 at the end; a float applies to all.
        texture: [s] the same for the texture latents.

    Raises:
        ValueError: the shapes are of different classes.
    """
    if start.label is not None and end.label is not None and not start.label.equal(end.label):
        raise ValueError("there is no interpolation between shapes of different classes")
    shares = torch.broadcast_tensors(*torch.atleast_1d(torch.as_tensor(geometry), torch.as_tensor(texture)))
    along = [share.to(start.geometry) for share in shares]
    label = None if start.label is None else start.label.expand(len(along[0]))
    geometry_code = _great_circle(start.geometry, end.geometry, along[0])
    return Latents(geometry_code, _great_circle(start.texture, end.texture, along[1]), label)


def _great_circle(a: Float[Tensor, "1 z"], b: Float[Tensor, "1 z"], share: Float[Tensor, " s"]) -> Float[Tensor, "s z"]:
    cosine = torch.nn.functional.cosine_similarity(a.double(), b.double())
    angle, along = torch.acos(cosine.clamp(-1, 1)), share.double()[:, None]
    sine = torch.sin(angle)
    if sine < 1e-6:
        return torch.lerp(a, b, share[:, None])
    mixed = torch.sin((1 - along) * angle) / sine * a + torch.sin(along * angle) / sine * b
    return mixed.to(a.dtype)


def near(latents: Latents, count: int, *, geometry: float, texture: float, generator: torch.Generator) -> Latents:
    """Variations of a latent: √(1 − σ²) · latent + σ · random latent, which are normally distributed again.

    Args:
        latents: latents of one shape.
        count: number of variations.
        geometry: σ of the geometry latent; 0 keeps it, 1 draws a new one.
        texture: σ of the texture latent.
        generator: random generator, on any device.
    """
    shape = (2, count, latents.geometry.shape[1])
    noise = torch.randn(shape, generator=generator, device=generator.device).to(latents.geometry)
    return Latents(
        (1 - geometry**2) ** 0.5 * latents.geometry + geometry * noise[0],
        (1 - texture**2) ** 0.5 * latents.texture + texture * noise[1],
        None if latents.label is None else latents.label.expand(count),
    )


def between_styles(
    start: Styles, end: Styles, geometry: Float[Tensor, " s"] | float, texture: Float[Tensor, " s"] | float
) -> Styles:
    """Interpolates between the styles of two shapes along a straight line, as the paper does.

    Args:
        start: styles of one shape, for every layer.
        end: styles of one shape, for every layer.
        geometry: [s] positions of the geometry styles, 0 at the start and 1 at the end; a float applies to all.
        texture: [s] the same for the texture styles.
    """
    shares = torch.broadcast_tensors(*torch.atleast_1d(torch.as_tensor(geometry), torch.as_tensor(texture)))
    down, right = (share.to(start.geometry)[:, None, None] for share in shares)
    return Styles(torch.lerp(start.geometry, end.geometry, down), torch.lerp(start.texture, end.texture, right))


def near_styles(styles: Styles, drawn: Styles, mean: Styles, *, geometry: float, texture: float) -> Styles:
    """Variations of styles that no latent gives: w̄ + √(1 − σ²)·(w − w̄) + σ·(v − w̄), as `near` does it with latents.

    Args:
        styles: w of one shape, for every layer.
        drawn: v of n random shapes, for every layer.
        mean: w̄ of the model, for every layer.
        geometry: σ of the geometry styles; 0 keeps them, 1 takes the random ones.
        texture: σ of the texture styles.
    """

    def varied(w: Tensor, v: Tensor, middle: Tensor, sigma: float) -> Tensor:
        return middle + (1 - sigma**2) ** 0.5 * (w - middle) + sigma * (v - middle)

    return Styles(
        varied(styles.geometry, drawn.geometry, mean.geometry, geometry),
        varied(styles.texture, drawn.texture, mean.texture, texture),
    )
