"""Backs of chairs: plates, cushions, slats, ladders, spindles, hoops, frames."""

from collections.abc import Callable

import numpy as np

from get3d.synthetic.chair_plan import ChairPlan, upright
from get3d.synthetic.parts import Part, X, Y, Z, bar, bend, ellipse, rounded_rectangle, tube

__all__ = ["chair_back"]


def chair_back(plan: ChairPlan, generator: np.random.Generator, posts: bool) -> list[Part]:
    """A back of a random style; with `posts`, on its own uprights if the style has a choice."""
    return _STYLES[generator.integers(len(_STYLES))](plan, generator, posts)


def _posts(plan: ChairPlan, posts: bool, height: float | None = None) -> list[Part]:
    """The two uprights of a back."""
    if not posts:
        return []
    x = plan.back_width / 2 - plan.limb / 2
    grid = bar((x, -plan.thickness, 0), (x, plan.back if height is None else height, 0), plan.section, 0.8, steps=8)
    post = plan.lean(Part(grid, plan.frame, Y))
    return [post, post.mirrored()]


def _rail(plan: ChairPlan, y: float, width: float, height: float, thickness: float, arch: float = 0.0) -> Part:
    """A board across the back at height y, its middle raised by `arch`."""
    grid = bar((-width / 2, y, 0), (width / 2, y, 0), rounded_rectangle(thickness, height, 0.006, corner=1), 1.0, Y, 12)
    grid[..., 1] += arch * (1 - (2 * grid[..., 0] / width) ** 2)
    return plan.lean(Part(grid, plan.frame, X))


def _solid_back(plan: ChairPlan, generator: np.random.Generator, posts: bool) -> list[Part]:
    """A plate or a cushion."""
    soft = generator.random() < 0.45
    low = generator.uniform(0.0, 0.3) * plan.back if posts else -0.02
    width = plan.back_width - (2 * plan.limb if posts else 0.0)
    height = plan.back - low
    shape = generator.choice(["square", "round", "arched"])
    if shape == "square":
        outline = rounded_rectangle(width, height, generator.uniform(0.01, 0.1), corner=4, edge=6)
    else:
        outline = ellipse(width, height, 44, power=(2.2, 10.0) if shape == "arched" else generator.uniform(2, 4))
    thickness = generator.uniform(0.04, 0.1) if soft else generator.uniform(0.012, 0.025)
    grid = upright(outline, thickness, bevel=0.45 * thickness, dome=generator.uniform(0.0, 0.03) if soft else 0.0)
    plate = Part(grid, plan.cover if soft else plan.body, None if soft else Y).moved((0, low + height / 2, 0.0))
    return [plan.lean(plate), *_posts(plan, posts or low > 0, low + 0.5 * height)]


def _slat_back(plan: ChairPlan, generator: np.random.Generator, posts: bool) -> list[Part]:
    """Upright boards between two rails."""
    number = int(generator.integers(1, 7))
    span = plan.back_width - 2 * plan.limb
    width = min(span / number * generator.uniform(0.35, 0.8), 0.2)
    rail, low = generator.uniform(0.04, 0.1), generator.uniform(0.03, 0.25) * plan.back
    arch = generator.uniform(0.0, 0.06)
    parts = [_rail(plan, plan.back - rail / 2, plan.back_width, rail, 0.022, arch)]
    parts.append(_rail(plan, low, plan.back_width - plan.limb, 0.035, 0.02))
    bulge = generator.uniform(-0.3, 0.5)
    steps = np.linspace(0, 1, 9)
    for i in range(number):
        x = span * ((i + 0.5) / number - 0.5)
        path = np.stack([np.full(9, x), low + steps * (plan.back - rail / 2 - low + arch / 2), np.zeros(9)], axis=1)
        scale = np.stack([1 + bulge * np.sin(np.pi * steps), np.ones(9)], axis=1)
        board = tube(path, rounded_rectangle(width, 0.013), scale, up=Z)
        parts.append(plan.lean(Part(board, plan.frame, Y)))
    return parts + _posts(plan, True)


def _ladder_back(plan: ChairPlan, generator: np.random.Generator, posts: bool) -> list[Part]:
    """Boards across between two posts."""
    number = int(generator.integers(2, 7))
    height = 0.85 * plan.back / number * generator.uniform(0.3, 0.8)
    arch = generator.uniform(0.0, 0.05)
    levels = np.linspace(0.2, 0.93, number) * plan.back
    return [_rail(plan, y, plan.back_width - plan.limb, height, 0.016, arch) for y in levels] + _posts(plan, True)


def _spindle_back(plan: ChairPlan, generator: np.random.Generator, posts: bool) -> list[Part]:
    """Thin rods below a top rail, or inside a hoop."""
    number = int(generator.integers(4, 10))
    thick = generator.uniform(0.009, 0.016)
    half = plan.back_width / 2 - plan.limb
    fan = generator.uniform(0.0, 0.25)
    hoop = generator.random() < 0.5
    parts = []
    for i in range(number):
        t = 2 * (i + 0.5) / number - 1
        height = plan.back * (np.sqrt(1 - (0.93 * t) ** 2) if hoop else 0.95)
        x = 0.85 * t * half
        rod = bar((x, -0.01, 0), (x * (1 + fan), height, 0), ellipse(thick, thick, 8), 0.8, steps=6)
        parts.append(plan.lean(Part(rod, plan.frame, Y)))
    if hoop:
        angle = np.linspace(0, np.pi, 25)
        width = half * (1 + 0.9 * fan) + plan.limb / 2
        arc = np.stack([width * np.cos(angle), plan.back * np.sin(angle) ** 0.8 - 0.01, 0 * angle], axis=1)
        bow = tube(arc, ellipse(1.8 * thick, 1.8 * thick, 10), up=Z)
        return [*parts, plan.lean(Part(bow, plan.frame, X))]
    rail = generator.uniform(0.04, 0.09)
    parts.append(_rail(plan, plan.back - rail / 3, plan.back_width, rail, 0.024, generator.uniform(0, 0.05)))
    return parts + _posts(plan, posts)


def _frame_back(plan: ChairPlan, generator: np.random.Generator, posts: bool) -> list[Part]:
    """A closed bent frame, empty, crossed or filled with a panel."""
    half, low = plan.back_width / 2 - plan.limb / 2, generator.uniform(0.02, 0.3) * plan.back
    corners = [(-half, -plan.thickness, 0), (-half, plan.back, 0), (half, plan.back, 0), (half, -plan.thickness, 0)]
    path = bend(corners, generator.uniform(0.03, 0.9 * half), steps=8)
    parts = [plan.lean(Part(tube(path, plan.section, up=Z), plan.frame, Y))]
    filling = generator.choice(["panel", "cushion", "cross", "rails"])
    inner = 0.6 * plan.limb
    if filling == "cross":
        for side in (-1, 1):
            rod = bar((-side * half, low, 0), (side * half, 0.9 * plan.back, 0), ellipse(inner, inner, 8), steps=8)
            parts.append(plan.lean(Part(rod, plan.frame, Y)))
    elif filling == "rails":
        parts += [_rail(plan, y, 2 * half, 0.03, 0.012) for y in np.linspace(low, 0.8 * plan.back, 3)]
    else:
        soft = filling == "cushion"
        height, thickness = 0.97 * plan.back - low, 0.05 if soft else 0.012
        outline = rounded_rectangle(2 * half - 0.2 * plan.limb, height, 0.06, corner=4, edge=5)
        grid = upright(outline, thickness, bevel=0.45 * thickness, dome=0.02 if soft else 0.0)
        part = Part(grid, plan.cover if soft else plan.body, None if soft else Y)
        parts.append(plan.lean(part.moved((0, low + height / 2, thickness / 2))))
    return parts


_STYLES: list[Callable[[ChairPlan, np.random.Generator, bool], list[Part]]] = [
    _solid_back,
    _solid_back,
    _slat_back,
    _ladder_back,
    _spindle_back,
    _frame_back,
]
