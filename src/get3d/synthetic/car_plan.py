"""Proportions of cars. +Y up, the front is at −Z; lengths in metres, the road is y = 0."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float
from scipy.interpolate import PchipInterpolator

__all__ = ["CarPlan", "draw_plan"]


@dataclass(frozen=True)
class _Style:
    """Ranges of a style of cars; places along the car are shares of its length, −0.5 in front to 0.5 at the back.

    Attributes:
        length: of the car.
        width: of the car.
        roof: height of the roof.
        belt: height where the windows begin.
        nose: height of the front edge of the bonnet.
        tail: height of the rear edge of the deck.
        base: where windscreen and rear window meet the body.
        top: where they meet the roof.
        axles: where the wheels are.
        wheel: radius of the wheels.
        clearance: height of the body's underside.
    """

    length: tuple[float, float]
    width: tuple[float, float]
    roof: tuple[float, float]
    belt: tuple[float, float]
    nose: tuple[float, float]
    tail: tuple[float, float]
    base: tuple[float, float]
    top: tuple[float, float]
    axles: tuple[float, float]
    wheel: tuple[float, float]
    clearance: tuple[float, float]


_STYLES = {
    "sedan": _Style(
        (4.3, 5.0), (1.7, 1.88), (1.38, 1.5), (0.88, 0.98), (0.62, 0.76), (0.86, 0.98),
        (-0.18, 0.34), (-0.05, 0.19), (-0.31, 0.29), (0.3, 0.35), (0.15, 0.2),
    ),
    "hatchback": _Style(
        (3.4, 4.2), (1.6, 1.8), (1.4, 1.58), (0.88, 1.0), (0.66, 0.8), (0.85, 0.95),
        (-0.22, 0.47), (-0.06, 0.35), (-0.32, 0.31), (0.28, 0.34), (0.15, 0.2),
    ),
    "wagon": _Style(
        (4.4, 4.9), (1.7, 1.86), (1.42, 1.54), (0.9, 0.98), (0.64, 0.76), (0.9, 0.96),
        (-0.19, 0.49), (-0.06, 0.42), (-0.31, 0.29), (0.3, 0.34), (0.15, 0.2),
    ),
    "van": _Style(
        (4.4, 5.4), (1.8, 2.0), (1.85, 2.3), (1.0, 1.15), (0.8, 0.98), (1.05, 1.15),
        (-0.39, 0.493), (-0.22, 0.475), (-0.33, 0.29), (0.31, 0.36), (0.18, 0.24),
    ),
    "pickup": _Style(
        (4.8, 5.5), (1.8, 2.0), (1.65, 1.85), (1.0, 1.12), (0.88, 1.02), (0.98, 1.1),
        (-0.19, 0.11), (-0.08, 0.07), (-0.32, 0.28), (0.36, 0.43), (0.26, 0.36),
    ),
    "sports": _Style(
        (4.0, 4.6), (1.78, 1.96), (1.12, 1.26), (0.76, 0.86), (0.46, 0.58), (0.72, 0.86),
        (-0.14, 0.33), (0.0, 0.12), (-0.31, 0.29), (0.31, 0.36), (0.1, 0.14),
    ),
    "suv": _Style(
        (4.2, 4.9), (1.8, 1.98), (1.62, 1.84), (0.98, 1.1), (0.85, 1.0), (0.95, 1.08),
        (-0.2, 0.48), (-0.08, 0.42), (-0.32, 0.3), (0.35, 0.41), (0.22, 0.3),
    ),
    "classic": _Style(
        (3.6, 4.4), (1.55, 1.75), (1.42, 1.56), (0.9, 1.0), (0.6, 0.72), (0.58, 0.75),
        (-0.16, 0.4), (-0.04, 0.16), (-0.31, 0.29), (0.3, 0.35), (0.17, 0.23),
    ),
}  # fmt: skip


@dataclass(frozen=True)
class CarPlan:
    """Dimensions that the parts and the paint of one car share; metres, the front is at −Z.

    Attributes:
        style: name of the style.
        length: of the body.
        width: of the body.
        roof: height of the roof.
        belt: height where the windows begin.
        nose: height of the bonnet's front edge.
        bonnet: height of its rear edge.
        tail: height of the deck's rear edge.
        base: z where windscreen and rear window meet the body.
        top: z where they meet the roof.
        axles: z of the wheels.
        wheel: radius of the wheels.
        clearance: height of the underside.
        arch: radius of the wheel arches.
        bed: z where the open bed of a pickup begins and ends.
    """

    style: str
    length: float
    width: float
    roof: float
    belt: float
    nose: float
    bonnet: float
    tail: float
    base: tuple[float, float]
    top: tuple[float, float]
    axles: tuple[float, float]
    wheel: float
    clearance: float
    arch: float
    bed: tuple[float, float] | None

    def deck(self, z: Float[np.ndarray, "*n"]) -> Float[np.ndarray, "*n"]:
        """Height of the body without its cabin along the car."""
        half, (front, back) = self.length / 2, self.base
        profile = [
            (-half, self.nose),
            (-half + 0.3 * (front + half), 0.4 * self.nose + 0.6 * self.bonnet),
            (front, self.bonnet),
            (front + 0.15, self.belt),
            (back - 0.1, self.belt),
            (min(back + 0.1, 0.97 * half), max(self.tail, self.belt - 0.05)),
            (half, self.tail),
        ]
        return PchipInterpolator(*np.transpose(profile))(z)


def draw_plan(generator: np.random.Generator) -> CarPlan:
    """Random proportions of a car."""
    style = str(generator.choice(list(_STYLES)))
    ranges = _STYLES[style]
    length, width, roof, belt, nose, tail, wheel, clearance = (
        float(generator.uniform(*getattr(ranges, name)))
        for name in ("length", "width", "roof", "belt", "nose", "tail", "wheel", "clearance")
    )
    shift = generator.uniform(-0.025, 0.025, size=6) * [1, 0.3 if ranges.base[1] > 0.42 else 1, 1, 1, 0.4, 0.4]
    base = (length * (ranges.base[0] + shift[0]), length * min(ranges.base[1] + shift[1], 0.493))
    top = (length * (ranges.top[0] + shift[2]), min(length * (ranges.top[1] + shift[3]), base[1] - 0.06))
    return CarPlan(
        style=style,
        length=length,
        width=width,
        roof=roof,
        belt=belt,
        nose=min(nose, belt - 0.1),
        bonnet=belt - generator.uniform(0.02, 0.09),
        tail=min(tail, belt),
        base=base,
        top=top,
        axles=(length * (ranges.axles[0] + shift[4]), length * (ranges.axles[1] + shift[5])),
        wheel=wheel,
        clearance=clearance,
        arch=wheel * generator.uniform(1.1, 1.2),
        bed=(base[1] + 0.12, 0.47 * length) if style == "pickup" else None,
    )
