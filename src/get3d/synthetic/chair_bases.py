"""Bases of chairs: legs, stars on castors, discs, runners, cantilevers, boards."""

import numpy as np
from jaxtyping import Float

from get3d.synthetic.chair_plan import ChairPlan
from get3d.synthetic.materials import metal, plain
from get3d.synthetic.parts import Part, X, Y, Z, bar, bend, ellipse, lathe, rounded_rectangle, tube

__all__ = ["chair_base"]


def chair_base(plan: ChairPlan, generator: np.random.Generator, straight: float) -> list[Part]:
    """A base; `straight` is the probability of four legs near the seat's corners."""
    if generator.random() < straight:
        return _legs(plan, generator)
    bases = [_legs, _star, _disc, _sled, _cantilever, _panels]
    return bases[generator.choice(len(bases), p=[0.3, 0.26, 0.08, 0.16, 0.12, 0.08])](plan, generator)


def _legs(plan: ChairPlan, generator: np.random.Generator) -> list[Part]:
    splay = generator.uniform(0.02, 0.16) if generator.random() < 0.5 else generator.uniform(0.0, 0.015)
    inset = plan.limb * 0.6 + (generator.uniform(0.02, 0.08) if splay > 0.05 else 0.0)
    turned = generator.random() < 0.25
    beads = _turning(generator, plan.limb)
    taper = generator.uniform(0.45, 1.0)
    parts = []
    feet = []
    for end in (-1, 1):
        x, z = plan.corner(end) - [inset, end * inset]
        top, foot = np.array([x, plan.height + 0.01, z]), np.array([x + 0.7 * splay, 0.0, z + end * splay])
        if turned:
            path = np.linspace(top, foot, len(beads))
            grid = tube(path, ellipse(1.0, 1.0, 12), scale=beads, up=Z)
        else:
            grid = bar(top, foot, plan.section, taper=taper)
        leg = Part(grid, plan.frame, grain=Y)
        parts += [leg, leg.mirrored()]
        feet.append((top, foot))
    if generator.random() < 0.4:
        parts += _stretchers(plan, generator, feet)
    return parts


def _turning(generator: np.random.Generator, limb: float) -> Float[np.ndarray, " 28"]:
    """Thickness of a turned leg from top to foot: a random row of beads, necks and vases."""
    knots = generator.uniform(0.55, 1.35, size=generator.integers(5, 10))
    knots[0], knots[-1] = 1.1, generator.uniform(0.5, 0.8)
    return limb * np.interp(np.linspace(0, 1, 28), np.linspace(0, 1, len(knots)) ** generator.uniform(0.8, 1.2), knots)


def _stretchers(plan: ChairPlan, generator: np.random.Generator, feet: list) -> list[Part]:
    section = ellipse(0.6 * plan.limb, 0.6 * plan.limb, 8)
    level = generator.uniform(0.3, 0.75)
    a, b = ((1 - level) * foot + level * top for top, foot in feet)
    flip = np.array([-1.0, 1.0, 1.0])
    style = generator.choice(["box", "h", "x"])
    pairs = [(a, a * flip), (b, b * flip), (a, b), (a * flip, b * flip)]
    if style == "h":
        pairs = [(a, b), (a * flip, b * flip), ((a + b) / 2, (a + b) / 2 * flip)]
    elif style == "x":
        pairs = [(a, b * flip), (a * flip, b)]
    return [Part(bar(p, q, section, up=Y), plan.frame, grain=q - p) for p, q in pairs]


def _star(plan: ChairPlan, generator: np.random.Generator) -> list[Part]:
    """A column on a star of arms, with castors or without."""
    material = metal(generator) if generator.random() < 0.6 else plain(np.full(3, generator.uniform(0.05, 0.2)))
    arms = int(generator.integers(4, 6))
    reach = generator.uniform(0.24, 0.33)
    castor = 0.028 if generator.random() < 0.65 else 0.0
    hub, rise = 2 * castor + 0.03, generator.uniform(0.02, 0.08)
    waist = generator.uniform(0.3, 0.6) * plan.height
    column = lathe(
        np.array([[0.035, hub - 0.01], [0.035, waist], [0.022, waist + 0.002], [0.022, plan.height - 0.03]]), 14
    )
    plate = lathe(np.array([[0.03, plan.height - 0.05], [0.13, plan.height - 0.015], [0.13, plan.height + 0.005]]), 14)
    parts = [Part(column, material, Y), Part(plate, material, Y)]
    black = plain(np.full(3, 0.07))
    for i in range(arms):
        angle = 2 * np.pi * (i + 0.5) / arms
        arm = bar((0, hub + rise, 0), (0, hub - 0.005, -reach), rounded_rectangle(0.05, 0.035), taper=0.6, up=Y)
        pieces = [Part(arm, material, Z)]
        if castor:
            wheel = lathe(np.array([[0.6, -0.5], [1, -0.35], [1, 0.35], [0.6, 0.5]]) * castor, 12)
            pieces.append(Part(wheel, black).turned(2, np.pi / 2).moved((0, castor, -reach)))
        parts += [piece.turned(1, angle) for piece in pieces]
    return parts


def _disc(plan: ChairPlan, generator: np.random.Generator) -> list[Part]:
    """A column that widens into a round foot."""
    material = plan.frame if generator.random() < 0.5 else metal(generator)
    foot, waist = generator.uniform(0.18, 0.25), generator.uniform(0.02, 0.05)
    knots = [[foot, 0.0], [foot, 0.018], [0.7 * foot, 0.03], [waist + 0.02, 0.09], [waist, 0.2], [waist, plan.height]]
    return [Part(lathe(np.array([*knots[:-1], [waist, plan.height - 0.04], [0.12, plan.height]]), 28), material, Y)]


def _sled(plan: ChairPlan, generator: np.random.Generator) -> list[Part]:
    """A bent frame on each side that stands on a runner."""
    x, z = plan.width / 2 - 0.03, plan.depth / 2 - 0.02
    shift = generator.uniform(-0.02, 0.1)
    y = plan.limb / 2
    corners = [(x, plan.height, -z), (x, y, -z - shift), (x, y, z + shift), (x, plan.height, z)]
    side = Part(tube(bend(corners, 0.06), plan.section, up=X), plan.frame, Y)
    level = plan.height - plan.limb / 2
    across = [bar((-x, level, s * z), (x, level, s * z), plan.section, up=Y) for s in (-1, 1)]
    return [side, side.mirrored(), *(Part(grid, plan.frame, X) for grid in across)]


def _cantilever(plan: ChairPlan, generator: np.random.Generator) -> list[Part]:
    """A tube from the back of the seat to its front, down, and back along the floor."""
    x, z = plan.width / 2 - 0.02, plan.depth / 2 - 0.03
    y, level = plan.limb / 2, plan.height - plan.limb / 2 + 0.004
    half = [(x, level, z), (x, level, -z), (x, y, -z + generator.uniform(-0.05, 0.05)), (x, y, z)]
    corners = half + [(-a, b, c) for a, b, c in half[::-1]]
    return [Part(tube(bend(corners, generator.uniform(0.04, 0.09)), plan.section, up=X), plan.frame, Y)]


def _panels(plan: ChairPlan, generator: np.random.Generator) -> list[Part]:
    """A board under each side, and one between."""
    thickness, depth = generator.uniform(0.02, 0.035), plan.depth * generator.uniform(0.7, 0.95)
    x = plan.width / 2 - thickness - 0.02
    side = bar((x, 0, 0), (x, plan.height + 0.005, 0), rounded_rectangle(thickness, depth, 0.005))
    board = bar((-x, 0.65 * plan.height, 0), (x, 0.65 * plan.height, 0), rounded_rectangle(0.02, 0.1), up=Y)
    part = Part(side, plan.body, Y)
    return [part, part.mirrored(), Part(board, plan.body, X)]
