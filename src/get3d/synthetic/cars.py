"""Cars. +Y up, they drive along −Z; lengths in metres, the road is y = 0.

The body is swept along the car from a side profile, a plan and a section; the cabin is swept upward from the belt line
to the roof. Windows, lights and lines are in the paint (`car_paint.py`), since paint is a function of the position.
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float
from scipy.interpolate import PchipInterpolator

from get3d.synthetic.car_paint import Livery, car_paint, rim_paint
from get3d.synthetic.materials import hexadecimal, plain
from get3d.synthetic.parts import Grid, Part, Y, bar, ellipse, lathe, rounded_rectangle, slab, tube

__all__ = ["CarPlan", "car"]


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
    """What the parts and the paint of one car must agree on; metres, −Z in front.

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


def car(generator: np.random.Generator) -> list[Part]:
    """The parts of a car that depends on nothing but the generator."""
    plan = _plan(generator)
    livery = Livery.draw(generator)
    paint = car_paint(plan, livery)
    parts = [Part(_body(plan, generator), paint), Part(_cabin(plan, generator), paint), _chassis(plan)]
    return parts + _wheels(plan, generator) + _bumpers(plan, livery, generator) + _extras(plan, livery, generator)


def _plan(generator: np.random.Generator) -> CarPlan:
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


def _body(plan: CarPlan, generator: np.random.Generator) -> Grid:
    """Everything below the windows: rings across the car, from the nose to the tail."""
    half = plan.length / 2
    section = ellipse(1.0, 1.0, 56, (generator.uniform(3.5, 7.0), generator.uniform(5.0, 8.0)))
    across, level = 2 * section[:, 0], section[:, 1] + 0.5
    tuck, shoulder = generator.uniform(0.03, 0.1), generator.uniform(0.02, 0.1)
    across = (
        across * (1 - tuck * ((0.4 - level) / 0.4).clip(0) ** 1.5) * (1 - shoulder * ((level - 0.55) / 0.45).clip(0))
    )
    narrow, power = generator.uniform(0.05, 0.22), generator.uniform(3, 6)
    flare = generator.uniform(0.0, 0.05)
    rounding = generator.uniform(0.06, 0.2)

    rings = []
    for z, shrink in _stations(plan, rounding):
        width = plan.width / 2 * (1 - narrow * np.abs(z / half) ** power)
        top = float(plan.deck(np.array(z)))
        x, y = width * across, plan.clearance + level * (top - plan.clearance)
        x = x + np.sign(x) * flare * _near_arch(plan, z, y) * (np.abs(across) > 0.8)
        if plan.bed is not None and plan.bed[0] < z < plan.bed[1]:
            y = np.where((np.abs(across) < 0.86) & (level > 0.5), top - 0.42, y)
        y = np.maximum(y, min(_arch_height(plan, z), top - 0.04))
        middle = (plan.clearance + top) / 2
        rings.append(np.stack([x * (1 - shrink), middle + (y - middle) * (1 - shrink), np.full_like(x, z)], axis=1))
    ends = [np.broadcast_to(ring.mean(axis=0), ring.shape) for ring in (rings[0], rings[-1])]
    return np.stack([ends[0], *rings, ends[1]])


def _stations(plan: CarPlan, rounding: float) -> list[tuple[float, float]]:
    """Where along the car the body has a ring, and by how much the ring is shrunk at the rounded ends."""
    half = plan.length / 2
    places = list(np.linspace(-half + rounding, half - rounding, 30))
    for axle in plan.axles:
        places = [z for z in places if abs(z - axle) > plan.arch + 0.01]
        places += list(axle + plan.arch * np.sin(np.linspace(-np.pi / 2, np.pi / 2, 19)))
        places += [axle - plan.arch - 0.002, axle + plan.arch + 0.002]
    if plan.bed is not None:
        places += [end + step for end in plan.bed for step in (-0.004, 0.004)]
    arc = np.linspace(0, np.pi / 2, 6)[1:]
    ends = [(half - rounding * (1 - np.sin(a)), 0.16 * (1 - np.cos(a))) for a in arc]
    middle = [(z, 0.0) for z in sorted(places) if abs(z) <= half - rounding]
    return [(-z, shrink) for z, shrink in ends[::-1]] + middle + ends


def _arch_height(plan: CarPlan, z: float) -> float:
    """Height of the wheel arch above the road at z; 0 away from the wheels."""
    return max(
        plan.wheel + np.sqrt(max(plan.arch**2 - (z - axle) ** 2, 0.0)) if abs(z - axle) <= plan.arch else 0.0
        for axle in plan.axles
    )


def _near_arch(plan: CarPlan, z: float, y: Float[np.ndarray, " s"]) -> Float[np.ndarray, " s"]:
    """1 at the rim of a wheel arch, fading away from it."""
    distance = np.min([np.hypot(z - axle, y - plan.wheel) for axle in plan.axles], axis=0)
    return np.exp(-(((distance - plan.arch) / 0.09) ** 2))


def _cabin(plan: CarPlan, generator: np.random.Generator) -> Grid:
    """Rings around the cabin from below the belt line up to the roof, and over it."""
    lean = generator.uniform(0.7, 0.85) if plan.style != "van" else generator.uniform(0.84, 0.94)
    bow, crown = generator.uniform(0.05, 0.16), generator.uniform(0.03, 0.09)
    corner = generator.uniform(0.08, 0.2)
    outline = rounded_rectangle(1.0, 1.0, corner, corner=5, edge=4)
    edge = 0.93 * plan.width

    def ring(rise: float, inset: float, height: float) -> Float[np.ndarray, "s 3"]:
        front, back = (b + (t - b) * rise for b, t in zip(plan.base, plan.top, strict=True))
        width = edge * (1 + (lean - 1) * rise)
        x = outline[:, 0] * width * (1 - inset)
        z = (front + back) / 2 + outline[:, 1] * (back - front) * (1 - inset)
        z = z + np.sign(outline[:, 1]) * bow * (1 - (2 * x / width) ** 2) * (2 * np.abs(outline[:, 1])) ** 2 * (
            1 - inset
        )
        return np.stack([x, np.full_like(x, height), z], axis=1)

    glass = plan.roof - plan.belt
    rings = [ring(0.0, 0.0, plan.belt - 0.12)]
    rings += [ring(t, 0.0, plan.belt + t * (glass - crown)) for t in np.linspace(0, 0.94, 7)]
    for t in np.linspace(0.06, 1.0, 7):
        rings.append(ring(1.0, t, plan.roof - crown * (1 - np.sin(np.pi / 2 * t**0.55))))
    bottom = np.broadcast_to(rings[0].mean(axis=0), rings[0].shape)
    return np.stack([bottom, *rings])


def _chassis(plan: CarPlan) -> Part:
    """What is dark between the wheels."""
    ends = np.array([plan.axles[0] - plan.arch, plan.axles[1] + plan.arch])
    top = min(plan.wheel + plan.arch, *plan.deck(ends)) - 0.05
    bottom = plan.clearance + 0.02
    start, end = ((0.0, (top + bottom) / 2, z) for z in ends)
    section = rounded_rectangle(plan.width - 0.5, top - bottom)
    return Part(bar(start, end, section, up=Y), plain(np.full(3, 0.05), roughness=0.7))


def _wheels(plan: CarPlan, generator: np.random.Generator) -> list[Part]:
    width = generator.uniform(0.17, 0.26)
    rim = plan.wheel * generator.uniform(0.6, 0.76)
    rubber, metal = plain(np.full(3, 0.07), wear=0.15, roughness=0.9), rim_paint(plan, rim, generator)
    soft = 0.12 * width
    tread = [(rim, -width / 2), (plan.wheel - soft, -width / 2), (plan.wheel, -width / 2 + soft)]
    tread += [(r, -y) for r, y in tread[::-1]]
    dish = generator.uniform(-0.03, 0.05)
    face = [(1.02 * rim, 0.42 * width), (0.93 * rim, 0.46 * width), (0.85 * rim, 0.4 * width)]
    profile = [(1.02 * rim, -0.42 * width), *face, (0.25 * rim, 0.4 * width + dish), (0.2 * rim, 0.46 * width + dish)]
    parts = []
    for axle in plan.axles:
        place = (plan.width / 2 - width / 2 - 0.03, plan.wheel, axle)
        tyre = Part(lathe(np.array(tread), 28, poles=False), rubber, loop=True)
        disc = Part(lathe(np.array(profile), 28), metal)
        for part in (tyre, disc):
            right = part.turned(2, -np.pi / 2).moved(place)
            parts += [right, right.mirrored()]
    return parts


def _bumpers(plan: CarPlan, livery: Livery, generator: np.random.Generator) -> list[Part]:
    """A bar across the front and one across the back: dark, chrome, or in the body's colour."""
    kind = generator.choice(["dark", "chrome", "body"])
    color = {"dark": np.full(3, 0.13), "chrome": hexadecimal("#c8ccd0"), "body": livery.main}[str(kind)]
    material = plain(color)
    height, depth = generator.uniform(0.09, 0.22), generator.uniform(0.1, 0.16)
    level = plan.clearance + 0.06 + height / 2
    bow = generator.uniform(0.08, 0.22)
    x = np.linspace(-0.45, 0.45, 13) * plan.width
    parts = []
    for end in (-1, 1):
        z = end * (plan.length / 2 - 0.01 - bow * np.abs(2 * x / plan.width) ** 2.5)
        path = np.stack([x, np.full(13, level), z], axis=1)
        section = rounded_rectangle(depth, height, 0.3 * min(depth, height), corner=2)
        parts.append(Part(tube(path, section, up=Y), material))
    return parts


def _extras(plan: CarPlan, livery: Livery, generator: np.random.Generator) -> list[Part]:
    """Mirrors; sometimes a spoiler, a roof rack, a roof box, side steps."""
    dark, body = plain(np.full(3, 0.1), roughness=0.6), plain(livery.main, roughness=0.2)
    mirror = slab(ellipse(0.2, 0.13, 16, 3.0), 0.09, 0.035)
    mirror = np.stack([mirror[..., 0], mirror[..., 2], mirror[..., 1]], axis=-1)
    place = (0.47 * plan.width + 0.1, plan.belt + 0.09, plan.base[0] + 0.32)
    right = Part(mirror, body if generator.random() < 0.6 else dark).moved(place)
    parts = [right, right.mirrored()]
    roof, span = (plan.top[0] + plan.top[1]) / 2, plan.top[1] - plan.top[0]
    if plan.style in ("sports", "sedan", "hatchback", "classic") and generator.random() < 0.3:
        high = plan.style == "hatchback"
        y, z = (plan.roof - 0.03, plan.top[1] + 0.1) if high else (plan.tail + 0.16, plan.length / 2 - 0.15)
        wing = bar((-0.42 * plan.width, y, z), (0.42 * plan.width, y, z), ellipse(0.26, 0.045, 14), up=Y)
        parts.append(Part(wing, body))
        if not high:
            leg = bar((0.3 * plan.width, y, z), (0.3 * plan.width, y - 0.24, z), rounded_rectangle(0.03, 0.1))
            parts += [Part(leg, dark), Part(leg, dark).mirrored()]
    if plan.style in ("suv", "wagon", "van") and generator.random() < 0.5:
        x = 0.33 * plan.width
        rail = bar((x, plan.roof, roof - 0.4 * span), (x, plan.roof, roof + 0.4 * span), ellipse(0.05, 0.07, 8), up=Y)
        parts += [Part(rail, dark), Part(rail, dark).mirrored()]
        for t in (-0.25, 0.25):
            y, z = plan.roof + 0.04, roof + t * span
            parts.append(Part(bar((-x, y, z), (x, y, z), ellipse(0.05, 0.03, 8), up=Y), dark))
    if plan.style in ("suv", "wagon", "sedan", "hatchback") and generator.random() < 0.12:
        box = slab(ellipse(0.75, min(0.9 * span, 1.9), 28, 4.0), 0.3, 0.1, dome=0.04)
        parts.append(Part(box, plain(livery.second)).moved((0, plan.roof - 0.01, roof)))
    if plan.style in ("suv", "pickup") and generator.random() < 0.4:
        x, y = 0.5 * plan.width - 0.02, plan.clearance + 0.03
        front, back = plan.axles[0] + plan.arch + 0.1, plan.axles[1] - plan.arch - 0.1
        step = bar((x, y, front), (x, y, back), ellipse(0.1, 0.08, 10), up=Y)
        parts += [Part(step, dark), Part(step, dark).mirrored()]
    return parts
