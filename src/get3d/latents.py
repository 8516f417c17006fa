"""The codes that shapes are made from: random latents, the styles that follow from them, and the ways between them."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor

from get3d.tensors import TensorDataclass

__all__ = ["Latents", "Styles", "between", "joined", "mix", "near"]


@dataclass(frozen=True)
class Latents(TensorDataclass):
    """Random codes of n shapes.

    Attributes:
        geometry: [n, z].
        texture: [n, z].
        label: [n] class numbers, for a generator of several classes.
    """

    geometry: Float[Tensor, "n z"]
    texture: Float[Tensor, "n z"]
    label: Int[Tensor, " n"] | None = None


@dataclass(frozen=True)
class Styles(TensorDataclass):
    """Styles of n shapes: one for every layer of the synthesis network (W+), or one for all layers (W).

    Attributes:
        geometry: [n, layers, w], or [n, w].
        texture: [n, layers, w], or [n, w].
    """

    geometry: Float[Tensor, "n lg w"] | Float[Tensor, "n w"]
    texture: Float[Tensor, "n lt w"] | Float[Tensor, "n w"]


def mix(first: Styles, second: Styles, kept: Float[Tensor, "n 2"]) -> Styles:
    """Style mixing: early layers from the first styles, later ones from the second (Karras et al. 2019, section 3.1).

    Args:
        first: styles of n shapes, for every layer.
        second: styles of as many others, for every layer.
        kept: share of the layers that the first keep, for geometry and texture; at least one layer, 1 keeps all.
    """

    def crossed(a: Tensor, b: Tensor, share: Tensor) -> Tensor:
        layers = a.shape[1]
        cut = 1 + torch.floor(share * (layers - 1))
        return torch.where((torch.arange(layers, device=a.device) < cut[:, None])[..., None], a, b)

    return Styles(
        crossed(first.geometry, second.geometry, kept[:, 0]), crossed(first.texture, second.texture, kept[:, 1])
    )


def joined(parts: Sequence[Latents]) -> Latents:
    """Latents one after the other.

    Raises:
        ValueError: there are none, or some have labels and others not.
    """
    labels = [part.label for part in parts if part.label is not None]
    if len(labels) not in (0, len(parts)):
        raise ValueError("latents with labels cannot be joined with others that have none")
    geometry, texture = torch.cat([part.geometry for part in parts]), torch.cat([part.texture for part in parts])
    return Latents(geometry, texture, torch.cat(labels) if labels else None)


def between(
    start: Latents, end: Latents, geometry: Float[Tensor, " s"] | float, texture: Float[Tensor, " s"] | float
) -> Latents:
    """Latents on the way from one shape to another, for each code along the great circle through both.

    High-dimensional normal codes lie near a sphere; a straight line would leave it.

    Args:
        start: of one shape.
        end: of one shape, of the same class.
        geometry: [s] how far along the geometry codes are, 0 at the start and 1 at the end; a float serves all.
        texture: [s] the same for the texture codes.

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
    """Latents around one shape's: √(1 − σ²) of its code and σ of a random one, so that they stay normal codes.

    Args:
        latents: of one shape.
        count: how many.
        geometry: σ of the geometry code; 0 leaves it, 1 draws it anew.
        texture: σ of the texture code.
        generator: on any device.
    """
    shape = (2, count, latents.geometry.shape[1])
    noise = torch.randn(shape, generator=generator, device=generator.device).to(latents.geometry)
    return Latents(
        (1 - geometry**2) ** 0.5 * latents.geometry + geometry * noise[0],
        (1 - texture**2) ** 0.5 * latents.texture + texture * noise[1],
        None if latents.label is None else latents.label.expand(count),
    )
