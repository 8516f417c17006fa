"""The material of a car as a function of position: paint, stripes, windows, lights, grille, plates, door lines."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float

from get3d.synthetic.car_plan import CarPlan
from get3d.synthetic.materials import Color, dull_color, hexadecimal, hsv, noise
from get3d.synthetic.parts import Material, PBRMaterial

__all__ = ["Livery", "car_paint", "rim_paint"]

_COATS = ["#b3121d", "#12306e", "#f2f2ef", "#17181a", "#c6c9cc", "#6d7175", "#e5b000", "#0f5a3c", "#d65a12", "#5fa8d3"]
_COATS += ["#6e1f2b", "#d9cdb2", "#2f6f8f", "#8a9a5b", "#7b4a2b", "#e3a7b5"]
_GLASS = hexadecimal("#1d262c")


@dataclass(frozen=True)
class Livery:
    """The colours of one car and where they go.

    Attributes:
        main: the coat.
        second: another colour, for what `scheme` says.
        scheme: "plain", "roof", "lower", "racing" (stripes along the car), "side" (a stripe on its flanks), "checks".
        place: where the second colour begins, 0 to 1.
        doors: two or four.
        cargo: no windows behind the front doors.
        lamps: shape of the lights, 0 wide and low to 1 round.
        grille: height of the grille, 0 to 1.
        plate: colour of the number plates.
    """

    main: Color
    second: Color
    scheme: str
    place: float
    doors: int
    cargo: bool
    lamps: float
    grille: float
    plate: Color

    @classmethod
    def draw(cls, generator: np.random.Generator) -> "Livery":
        """A random livery."""
        coat = hexadecimal(_COATS[generator.integers(len(_COATS))])
        if generator.random() < 0.35:
            coat = hsv(generator.random(), generator.uniform(0.3, 0.9), generator.uniform(0.3, 0.9))
        second = hexadecimal(str(generator.choice(["#f4f4f2", "#15161a", "#c8a23a", "#b8bcc0", "#a11a1a"])))
        if np.abs(second - coat).max() < 0.25 or generator.random() < 0.25:
            second = dull_color(generator)
        schemes = ["plain", "roof", "lower", "racing", "side", "checks"]
        return cls(
            main=(coat * generator.uniform(0.9, 1.05)).clip(0, 1),
            second=second,
            scheme=str(generator.choice(schemes, p=[0.46, 0.18, 0.1, 0.1, 0.12, 0.04])),
            place=generator.random(),
            doors=int(generator.choice([2, 4])),
            cargo=generator.random() < 0.5,
            lamps=generator.random(),
            grille=generator.random(),
            plate=hexadecimal(str(generator.choice(["#f0efe8", "#f3c623", "#f0efe8"]))),
        )


@dataclass(frozen=True)
class _Place:
    """Positions of texels on the car.

    Attributes:
        x: distance from the middle plane.
        y: height.
        z: along the car.
        rise: 0 at the belt line, 1 at the roof.
        along: 0 at the front of the cabin, 1 at its back, at the texel's height.
        edge: distance from the middle plane as a share of the cabin's half width there.
    """

    x: Float[np.ndarray, " p"]
    y: Float[np.ndarray, " p"]
    z: Float[np.ndarray, " p"]
    rise: Float[np.ndarray, " p"]
    along: Float[np.ndarray, " p"]
    edge: Float[np.ndarray, " p"]


def car_paint(plan: CarPlan, livery: Livery) -> Material:
    """The material of body and cabin."""

    def material(points: Float[np.ndarray, "p 3"]) -> Float[np.ndarray, "p 3"]:
        place = _place(plan, points)
        colors = _coat(plan, livery, place)
        colors = colors * (1 + 0.02 * noise(points, 0.6))[:, None]
        for color, where in _details(plan, livery, place):
            colors[where] = color
        glass = _windows(plan, livery, place)
        shine = 0.75 + 0.7 * place.rise[glass].clip(0, 1) + 0.12 * noise(points[glass], 0.5)
        colors[glass] = _GLASS * shine[:, None]
        return colors.clip(0, 1)

    def roughness(points: Float[np.ndarray, "p 3"]) -> Float[np.ndarray, " p"]:
        place = _place(plan, points)
        rough = np.full(len(points), _COAT)
        for color, where in _details(plan, livery, place):
            rough[where] = _RUBBER if color.max() < 0.1 else _LAMP
        rough[_windows(plan, livery, place)] = _PANE
        return rough

    return PBRMaterial(material, roughness)


_COAT, _PANE, _LAMP, _RUBBER = 0.2, 0.05, 0.15, 0.7
"""Roughness of varnished paint, glass, lamps and plates, and black parts."""


def _place(plan: CarPlan, points: Float[np.ndarray, "p 3"]) -> _Place:
    x, y, z = np.abs(points[:, 0]), points[:, 1], points[:, 2]
    rise = (y - plan.belt) / (plan.roof - plan.belt)
    part = rise.clip(0, 1)
    front, back = (base + (top - base) * part for base, top in zip(plan.base, plan.top, strict=True))
    narrow = 0.93 * (1 - (0.1 if plan.style == "van" else 0.22) * part)
    return _Place(x, y, z, rise, (z - front) / (back - front), x / (narrow * plan.width / 2))


def _coat(plan: CarPlan, livery: Livery, place: _Place) -> Float[np.ndarray, "p 3"]:
    if livery.scheme == "roof":
        second = place.rise > (0.8 if livery.place < 0.6 else 0.05)
    elif livery.scheme == "lower":
        second = place.y < plan.clearance + (0.3 + 0.35 * livery.place) * (plan.belt - plan.clearance)
    elif livery.scheme == "racing":
        second = (place.x > 0.06) & (place.x < 0.14 + 0.2 * livery.place)
    else:
        level = plan.clearance + (0.5 + 0.35 * livery.place) * (plan.belt - plan.clearance)
        second = np.abs(place.y - level) < 0.06
        second &= place.x > 0.3 * plan.width
        if livery.scheme == "checks":
            second &= (np.floor(place.z / 0.12) + np.floor((place.y - level) / 0.06)) % 2 == 0
        elif livery.scheme == "plain":
            second[:] = False
    return np.where(second[:, None], livery.second, livery.main)


def _windows(plan: CarPlan, livery: Livery, place: _Place) -> Bool[np.ndarray, " p"]:
    pane = (place.rise > 0.1) & (place.rise < 0.8)
    side = pane & (place.along > 0.09) & (place.along < 0.93) & (place.edge > 0.8)
    posts = {"pickup": (), "sports": (0.62,)}.get(plan.style, (0.36, 0.7) if livery.doors == 4 else (0.5,))
    for post in posts:
        side &= np.abs(place.along - post) > 0.03
    if plan.style == "van" and livery.cargo:
        side &= place.along < posts[0]
    ends = pane & (place.edge < 0.86) & ((place.along < 0.09) | (place.along > 0.96))
    return side | ends


def _details(plan: CarPlan, livery: Livery, place: _Place) -> list[tuple[Color, Bool[np.ndarray, " p"]]]:
    """Colours over the paint, and the texels that they cover, in order of application."""
    x, y, z = place.x, place.y, place.z
    half, flank = plan.length / 2, place.x > 0.36 * plan.width
    below = place.rise < 0
    dark = np.full(3, 0.06)
    reach = np.min([np.hypot(z - axle, y - plan.wheel) for axle in plan.axles], axis=0)
    front, back = below & (z < -half + 0.3) & ~flank, below & (z > half - 0.3) & ~flank
    arch = below & flank & (reach < 1.035 * plan.arch) & (y < plan.deck(z) - 0.05)
    details = [(dark, arch), (dark, y < plan.clearance + 0.035)]
    seams = [plan.base[0] + 0.12, plan.axles[1] - plan.arch * 0.75]
    if livery.doors == 4 and plan.style != "sports":
        seams.append(sum(seams) / 2)
    door = flank & below & (y > plan.clearance + 0.1)
    for seam in seams:
        details.append((livery.main * 0.3, door & (np.abs(z - seam) < 0.014)))
        handle = (np.abs(z - seam + 0.2) < 0.09) & (np.abs(y - plan.belt + 0.14) < 0.02)
        if seam != seams[0]:
            details.append((dark, door & handle))
    if plan.bed is not None:
        inside = (z > plan.bed[0]) & (z < plan.bed[1]) & (x < 0.42 * plan.width)
        details.append((np.full(3, 0.16), inside & (y < plan.tail - 0.06) & (y > plan.clearance + 0.2)))

    level = plan.clearance + 0.72 * (plan.nose - plan.clearance)
    tall = 0.05 + 0.06 * livery.lamps
    wide = 0.2 - 0.09 * livery.lamps
    lamp = np.hypot((x - 0.34 * plan.width) / wide, (y - level) / tall)
    nose, rear = below & (z < -half + 0.34), below & (z > half - 0.03 * plan.length)
    details += [
        (dark, front & (np.abs(y - level) < 0.03 + 0.09 * livery.grille) & (x < 0.34 * plan.width - wide)),
        (hexadecimal("#b9bec2"), front & (np.abs(y - level) < 0.012) & (x < 0.34 * plan.width - wide)),
        (dark, nose & (lamp < 1.15)),
        (hexadecimal("#f6f3e0"), nose & (lamp < 0.95)),
        (hexadecimal("#b8c4cc"), nose & (lamp < 0.45)),
    ]
    level = plan.clearance + 0.74 * (plan.tail - plan.clearance)
    upright = livery.lamps > 0.5
    half_wide, half_tall = (0.07, 0.16) if upright else (0.17, 0.06)
    red = (np.abs(x - 0.41 * plan.width) < half_wide) & (np.abs(y - level) < half_tall)
    details += [
        (hexadecimal("#a00d12"), rear & red),
        (hexadecimal("#e8862a"), rear & red & (np.abs(y - level) < 0.02)),
        (dark, back & (x < 0.28) & (np.abs(y - level + 0.02) < 0.075)),
        (livery.plate, back & (x < 0.26) & (np.abs(y - level + 0.02) < 0.06)),
    ]
    return details


def rim_paint(plan: CarPlan, radius: float, generator: np.random.Generator) -> Material:
    """The face of the wheels: spokes, holes or a full disc, around the nearest axle."""
    codes = ["#c9ccd0", "#a9adb1", "#3a3c40", "#d8d4c4", "#b08d3c"]
    color, dark = hexadecimal(codes[generator.integers(len(codes))]), np.full(3, 0.06)
    spokes = int(generator.integers(4, 13))
    share = generator.uniform(0.25, 0.6)
    style = generator.choice(["spokes", "holes", "disc"], p=[0.65, 0.22, 0.13])

    def material(points: Float[np.ndarray, "p 3"]) -> Float[np.ndarray, "p 3"]:
        z = points[:, 2]
        z = z - np.where(z < sum(plan.axles) / 2, *plan.axles)
        y = points[:, 1] - plan.wheel
        away, turn = np.hypot(z, y) / radius, np.arctan2(y, z) * spokes / (2 * np.pi) % 1
        if style == "spokes":
            open_ = (np.abs(turn - 0.5) < 0.5 * (1 - share)) & (away > 0.3) & (away < 0.86)
        elif style == "holes":
            open_ = (np.abs(turn - 0.5) < 0.3) & (np.abs(away - 0.68) < 0.1)
        else:
            open_ = np.abs(away - 0.55) < 0.03
        open_ |= (away < 0.1) | (points[:, 0] ** 2 < (0.3 * plan.width) ** 2)
        return np.where(open_[:, None], dark, color)

    def metallic(points: Float[np.ndarray, "p 3"]) -> Float[np.ndarray, " p"]:
        return (material(points).max(axis=1) > 0.1).astype(float)

    return PBRMaterial(material, lambda points: 0.8 - 0.55 * metallic(points), metallic)
