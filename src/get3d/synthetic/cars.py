"""Cars. +Y up, they drive along −Z; lengths in metres, the road is y = 0.

The body is swept along the car from a side profile, a plan and a section; the cabin is swept upward from the belt line
to the roof. Windows, lights and lines are in the paint (`car_paint.py`), since paint is a function of the position.
"""

import numpy as np
from jaxtyping import Float

from get3d.synthetic.car_paint import Livery, car_paint, rim_paint
from get3d.synthetic.car_plan import CarPlan, draw_plan
from get3d.synthetic.materials import hexadecimal, plain
from get3d.synthetic.parts import Grid, Part, Y, bar, ellipse, lathe, rounded_rectangle, slab, tube

__all__ = ["car"]


def car(generator: np.random.Generator) -> list[Part]:
    """The parts of a car, determined by the random generator."""
    plan = draw_plan(generator)
    livery = Livery.draw(generator)
    paint = car_paint(plan, livery)
    parts = [Part(_body(plan, generator), paint), Part(_cabin(plan, generator), paint), _chassis(plan)]
    return parts + _wheels(plan, generator) + _bumpers(plan, livery, generator) + _extras(plan, livery, generator)


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
    """Positions of the body's rings along the car, and how much each ring is shrunk at the rounded ends."""
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
    """The dark underbody between the wheels."""
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
