"""Chairs. +Y up, the sitter looks along −Z; lengths in metres."""

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Float

from get3d.data.materials import dull_color, fabric, leather, metal, plain, vivid_color, wood
from get3d.data.parts import (
    Grid,
    Material,
    Part,
    bar,
    bend,
    ellipse,
    lathe,
    rounded_rectangle,
    slab,
    spline,
    tube,
)

__all__ = ["chair"]

X, Y, Z = (1.0, 0.0, 0.0), (0.0, 1.0, 0.0), (0.0, 0.0, 1.0)


@dataclass(frozen=True)
class _Plan:
    """What the parts of one chair must agree on.

    Attributes:
        width: of the seat.
        depth: of the seat; it reaches from −depth/2 in front to depth/2 at the back.
        height: of the seat's underside.
        thickness: of the seat.
        back: height of the back above the seat; 0 for a stool.
        recline: how far the back leans backward per unit of height.
        curve: how far the middle of the back lies behind its sides.
        taper: how much narrower the seat is at the back, as a share.
        outline: of the seat, in (x, z).
        frame: material of legs and rails.
        cover: material of cushions.
        body: material of seat and back plates.
        section: outline of legs and posts.
        limb: their thickness.
    """

    width: float
    depth: float
    height: float
    thickness: float
    back: float
    recline: float
    curve: float
    taper: float
    outline: Float[np.ndarray, "s 2"]
    frame: Material
    cover: Material
    body: Material
    section: Float[np.ndarray, "k 2"]
    limb: float

    @property
    def top(self) -> float:
        """Height of the seat's upper side."""
        return self.height + self.thickness

    @property
    def back_width(self) -> float:
        """Width of the seat at the back."""
        return self.width * (1 - self.taper)

    def corner(self, end: int) -> Float[np.ndarray, " 2"]:
        """(x, z) of the outline's right corner in front (end = −1) or at the back (1)."""
        return self.outline[np.argmax(self.outline @ [1 / self.width, end / self.depth])]

    def lean(self, part: Part) -> Part:
        """Moves a part made upright (x across, y up from the seat, z = 0) to where the back of the chair is."""

        def function(grid: Grid) -> Grid:
            x, y, z = grid[..., 0], grid[..., 1], grid[..., 2]
            bow = self.curve * (1 - (2 * x / self.width) ** 2) * np.clip(y / max(self.back, 0.1) * 3, 0, 1)
            return np.stack([x, y + self.top, z + self.recline * y + bow + self.depth / 2 - self.limb / 2], axis=-1)

        return part.mapped(function)


def chair(generator: np.random.Generator) -> list[Part]:
    """The parts of a chair that depends on nothing but the generator."""
    plan = _plan(generator)
    kind = generator.choice(["classic", "shell", "club"], p=[0.7, 0.16, 0.14])
    if kind == "club":
        return _club(plan, generator)
    if kind == "shell":
        outline = plan.outline * [0.66, 0.78]
        mount = replace(plan, width=0.66 * plan.width, depth=0.78 * plan.depth, outline=outline)
        return _shell(plan, generator) + _base(mount, generator, 0.0)
    posts = generator.random() < 0.6
    parts = _seat(plan, generator) + _base(plan, generator, 0.75)
    if plan.back > 0:
        parts += _BACKS[generator.integers(len(_BACKS))](plan, generator, posts)
        parts += _arms(plan, generator)
    return parts


def _plan(generator: np.random.Generator) -> _Plan:
    uniform = generator.uniform
    rigid = generator.choice(["wood", "paint", "metal", "dark"], p=[0.5, 0.22, 0.2, 0.08])
    if rigid == "wood":
        frame = wood(generator)
    elif rigid == "metal":
        frame = metal(generator)
    else:
        frame = plain(np.full(3, 0.09) if rigid == "dark" else _paint_color(generator))
    cover = leather(generator) if generator.random() < 0.3 else fabric(generator)
    body = frame if rigid != "metal" and generator.random() < 0.75 else _plate(generator)
    limb = uniform(0.018, 0.03) if rigid == "metal" else uniform(0.026, 0.052)
    round_limb = rigid == "metal" or generator.random() < 0.45
    width, depth = uniform(0.38, 0.58), uniform(0.38, 0.52)
    taper = uniform(0.0, 0.2) if generator.random() < 0.5 else 0.0
    back = 0.0 if generator.random() < 0.06 else uniform(0.26, 0.72)
    return _Plan(
        width=width,
        depth=depth,
        height=uniform(0.36, 0.48) if generator.random() < 0.85 else uniform(0.55, 0.72),
        thickness=uniform(0.018, 0.05) if generator.random() < 0.65 else uniform(0.06, 0.13),
        back=back,
        recline=uniform(0.02, 0.32),
        curve=uniform(0.0, 0.09) if generator.random() < 0.6 else 0.0,
        taper=taper,
        outline=_outline(width, depth, taper, back == 0, generator),
        frame=frame,
        cover=cover,
        body=body,
        section=ellipse(limb, limb, 10) if round_limb else rounded_rectangle(limb, limb, 0.15 * limb, corner=1),
        limb=limb,
    )


def _outline(
    width: float, depth: float, taper: float, stool: bool, generator: np.random.Generator
) -> Float[np.ndarray, "s 2"]:
    shape = generator.choice(["square", "soft", "round"], p=[0.3, 0.25, 0.45])
    if shape == "square":
        outline = rounded_rectangle(width, depth, 0.02, corner=2, edge=3)
    elif shape == "soft":
        outline = rounded_rectangle(width, depth, generator.uniform(0.06, 0.15), corner=5, edge=2)
    elif stool:
        outline = ellipse(width, depth, 36)
    else:
        outline = ellipse(width, depth, 36, power=(generator.uniform(3.5, 9.0), generator.uniform(2.2, 3.2)))
    narrowing = 1 - taper * (0.5 + outline[:, 1:] / depth)
    return outline * np.concatenate([narrowing, np.ones_like(narrowing)], axis=1)


def _paint_color(generator: np.random.Generator) -> Float[np.ndarray, " 3"]:
    return vivid_color(generator) if generator.random() < 0.6 else dull_color(generator)


def _plate(generator: np.random.Generator) -> Material:
    """Material of a seat plate or shell: wood, or plastic of one colour."""
    return wood(generator) if generator.random() < 0.45 else plain(_paint_color(generator))


def _seat(plan: _Plan, generator: np.random.Generator) -> list[Part]:
    """A plate, a plate with a pad, or a thick cushion."""
    outline = plan.outline
    if plan.thickness > 0.055:
        dome = generator.uniform(0.0, 0.03)
        cushion = slab(outline, plan.thickness, bevel=generator.uniform(0.2, 0.5) * plan.thickness, dome=dome, rings=4)
        return [Part(cushion, plan.cover).moved((0, plan.height, 0))]
    hollow = -generator.uniform(0.3, 0.8) * plan.thickness if generator.random() < 0.3 else 0.0
    plate = slab(outline, plan.thickness, bevel=generator.uniform(0.1, 0.5) * plan.thickness, dome=hollow, rings=3)
    grain = Z if generator.random() < 0.5 else X
    parts = [Part(plate, plan.body, grain=grain).moved((0, plan.height, 0))]
    if generator.random() < 0.35:
        height = generator.uniform(0.015, 0.05)
        pad = slab(0.9 * outline, height, bevel=0.45 * height, dome=generator.uniform(0.005, 0.02), rings=3)
        parts.append(Part(pad, plan.cover).moved((0, plan.top - 0.004, 0)))
    elif generator.random() < 0.5:
        parts += _apron(plan)
    return parts


def _apron(plan: _Plan) -> list[Part]:
    """Rails under the seat."""
    rail = rounded_rectangle(0.016, 0.06)
    y = plan.height - 0.029
    x, front, back = 0.42 * plan.width, -0.42 * plan.depth, 0.42 * plan.depth
    narrow = x * (1 - 0.9 * plan.taper)
    ends = [((-x, front), (x, front)), ((-narrow, back), (narrow, back)), ((x, front), (narrow, back))]
    rails = [
        Part(bar((a[0], y, a[1]), (b[0], y, b[1]), rail, up=Y), plan.frame, np.subtract(b, a)[[0, 0, 1]] * [1, 0, 1])
        for a, b in ends
    ]
    return [*rails, rails[-1].mirrored()]


def _base(plan: _Plan, generator: np.random.Generator, straight: float) -> list[Part]:
    """Legs; `straight` is how likely they are four that stand near the seat's corners."""
    if generator.random() < straight:
        return _legs(plan, generator)
    bases = [_legs, _star, _disc, _sled, _cantilever, _panels]
    return bases[generator.choice(len(bases), p=[0.3, 0.26, 0.08, 0.16, 0.12, 0.08])](plan, generator)


def _legs(plan: _Plan, generator: np.random.Generator) -> list[Part]:
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
            grid = tube(path, ellipse(1, 1, 12), scale=beads, up=Z)
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


def _stretchers(plan: _Plan, generator: np.random.Generator, feet: list) -> list[Part]:
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


def _star(plan: _Plan, generator: np.random.Generator) -> list[Part]:
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


def _disc(plan: _Plan, generator: np.random.Generator) -> list[Part]:
    """A column that widens into a round foot."""
    material = plan.frame if generator.random() < 0.5 else metal(generator)
    foot, waist = generator.uniform(0.18, 0.25), generator.uniform(0.02, 0.05)
    knots = [[foot, 0.0], [foot, 0.018], [0.7 * foot, 0.03], [waist + 0.02, 0.09], [waist, 0.2], [waist, plan.height]]
    return [Part(lathe(np.array([*knots[:-1], [waist, plan.height - 0.04], [0.12, plan.height]]), 28), material, Y)]


def _sled(plan: _Plan, generator: np.random.Generator) -> list[Part]:
    """A bent frame on each side that stands on a runner."""
    x, z = plan.width / 2 - 0.03, plan.depth / 2 - 0.02
    shift = generator.uniform(-0.02, 0.1)
    y = plan.limb / 2
    corners = [(x, plan.height, -z), (x, y, -z - shift), (x, y, z + shift), (x, plan.height, z)]
    side = Part(tube(bend(corners, 0.06), plan.section, up=X), plan.frame, Y)
    level = plan.height - plan.limb / 2
    across = [bar((-x, level, s * z), (x, level, s * z), plan.section, up=Y) for s in (-1, 1)]
    return [side, side.mirrored(), *(Part(grid, plan.frame, X) for grid in across)]


def _cantilever(plan: _Plan, generator: np.random.Generator) -> list[Part]:
    """A tube from the back of the seat to its front, down, and back along the floor."""
    x, z = plan.width / 2 - 0.02, plan.depth / 2 - 0.03
    y, level = plan.limb / 2, plan.height - plan.limb / 2 + 0.004
    half = [(x, level, z), (x, level, -z), (x, y, -z + generator.uniform(-0.05, 0.05)), (x, y, z)]
    corners = half + [(-a, b, c) for a, b, c in half[::-1]]
    return [Part(tube(bend(corners, generator.uniform(0.04, 0.09)), plan.section, up=X), plan.frame, Y)]


def _panels(plan: _Plan, generator: np.random.Generator) -> list[Part]:
    """A board under each side, and one between."""
    thickness, depth = generator.uniform(0.02, 0.035), plan.depth * generator.uniform(0.7, 0.95)
    x = plan.width / 2 - thickness - 0.02
    side = bar((x, 0, 0), (x, plan.height + 0.005, 0), rounded_rectangle(thickness, depth, 0.005))
    board = bar((-x, 0.65 * plan.height, 0), (x, 0.65 * plan.height, 0), rounded_rectangle(0.02, 0.1), up=Y)
    part = Part(side, plan.body, Y)
    return [part, part.mirrored(), Part(board, plan.body, X)]


def _posts(plan: _Plan, posts: bool, height: float | None = None) -> list[Part]:
    """The two uprights of a back."""
    if not posts:
        return []
    x = plan.back_width / 2 - plan.limb / 2
    grid = bar((x, -plan.thickness, 0), (x, plan.back if height is None else height, 0), plan.section, 0.8, steps=8)
    post = plan.lean(Part(grid, plan.frame, Y))
    return [post, post.mirrored()]


def _upright(outline: Float[np.ndarray, "s 2"], thickness: float, bevel: float, dome: float = 0.0) -> Grid:
    """A slab whose outline stands upright, its thickness toward the sitter."""
    grid = slab(outline, thickness, bevel, dome, rings=4)
    return np.stack([grid[..., 0], grid[..., 2], -grid[..., 1]], axis=-1)


def _rail(plan: _Plan, y: float, width: float, height: float, thickness: float, arch: float = 0.0) -> Part:
    """A board across the back at height y, its middle raised by `arch`."""
    grid = bar((-width / 2, y, 0), (width / 2, y, 0), rounded_rectangle(thickness, height, 0.006, corner=1), 1.0, Y, 12)
    grid[..., 1] += arch * (1 - (2 * grid[..., 0] / width) ** 2)
    return plan.lean(Part(grid, plan.frame, X))


def _solid_back(plan: _Plan, generator: np.random.Generator, posts: bool) -> list[Part]:
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
    grid = _upright(outline, thickness, bevel=0.45 * thickness, dome=generator.uniform(0.0, 0.03) if soft else 0.0)
    plate = Part(grid, plan.cover if soft else plan.body, None if soft else Y).moved((0, low + height / 2, 0.0))
    return [plan.lean(plate), *_posts(plan, posts or low > 0, low + 0.5 * height)]


def _slat_back(plan: _Plan, generator: np.random.Generator, posts: bool) -> list[Part]:
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


def _ladder_back(plan: _Plan, generator: np.random.Generator, posts: bool) -> list[Part]:
    """Boards across between two posts."""
    number = int(generator.integers(2, 7))
    height = 0.85 * plan.back / number * generator.uniform(0.3, 0.8)
    arch = generator.uniform(0.0, 0.05)
    levels = np.linspace(0.2, 0.93, number) * plan.back
    return [_rail(plan, y, plan.back_width - plan.limb, height, 0.016, arch) for y in levels] + _posts(plan, True)


def _spindle_back(plan: _Plan, generator: np.random.Generator, posts: bool) -> list[Part]:
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


def _frame_back(plan: _Plan, generator: np.random.Generator, posts: bool) -> list[Part]:
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
        grid = _upright(outline, thickness, bevel=0.45 * thickness, dome=0.02 if soft else 0.0)
        part = Part(grid, plan.cover if soft else plan.body, None if soft else Y)
        parts.append(plan.lean(part.moved((0, low + height / 2, thickness / 2))))
    return parts


_BACKS: list[Callable[[_Plan, np.random.Generator, bool], list[Part]]] = [
    _solid_back,
    _solid_back,
    _slat_back,
    _ladder_back,
    _spindle_back,
    _frame_back,
]


def _arms(plan: _Plan, generator: np.random.Generator) -> list[Part]:
    """Nothing, straight arms on posts, or arms bent from the back to the front of the seat."""
    style = generator.choice(["none", "straight", "bent"], p=[0.62, 0.2, 0.18])
    if style == "none":
        return []
    level = min(generator.uniform(0.16, 0.27), 0.8 * plan.back)
    x = plan.width / 2 + plan.limb * 0.3
    back = np.array(
        [plan.back_width / 2 - 0.01, plan.top + level, plan.depth / 2 + plan.recline * level - plan.limb / 2]
    )
    front = np.array([x, plan.top + level + generator.uniform(-0.02, 0.03), -plan.depth * generator.uniform(0.2, 0.45)])
    foot = np.array([x - 0.4 * plan.limb, plan.height, front[2] + generator.uniform(0.0, 0.06)])
    if style == "bent":
        path = bend([back, front, foot], generator.uniform(0.05, 0.15), steps=8)
        arm = Part(tube(path, plan.section, up=X), plan.frame, Z)
        return [arm, arm.mirrored()]
    board = rounded_rectangle(generator.uniform(0.03, 0.07), 0.022, 0.008, corner=2)
    rest = Part(bar(back, front - [0, 0, 0.03], board, up=Y), plan.frame, Z)
    post = Part(bar(front - [0.3 * plan.limb, 0.005, 0], foot, plan.section), plan.frame, Y)
    return [rest, rest.mirrored(), post, post.mirrored()]


def _shell(plan: _Plan, generator: np.random.Generator) -> list[Part]:
    """Seat and back in one bent sheet, its sides raised."""
    material = plan.cover if generator.random() < 0.3 else plan.body
    top = plan.height + 0.02
    back = max(plan.back, 0.3)
    depth = plan.depth / 2
    lean = depth + plan.recline * back + 0.03
    knots = [
        (0, top - 0.035, -depth),
        (0, top + 0.005, -0.85 * depth),
        (0, top - 0.012, 0.0),
        (0, top + 0.012, 0.7 * depth),
        (0, top + 0.14, depth + 0.01),
        (0, top + back, lean),
    ]
    path = spline(knots, 30)
    t = np.linspace(0, 1, 30)
    waist = generator.uniform(0.75, 1.05)
    widths = np.interp(t, [0, 0.1, 0.45, 0.6, 0.9, 1.0], [0.86, 1.0, 1.0, waist, 0.9, generator.uniform(0.5, 0.85)])
    thickness = generator.uniform(0.012, 0.03)
    sheet = tube(path, ellipse(plan.width, thickness, 40, power=2.8), np.stack([widths, np.ones(30)], axis=1), up=Y)
    seat_lift, back_lift = generator.uniform(0.0, 0.16), generator.uniform(0.0, 0.14)
    power = generator.uniform(2, 4)

    def raise_sides(grid: Grid) -> Grid:
        ring = np.clip((np.arange(len(grid)) - 1) / 29, 0, 1)[:, None]
        edge = np.abs(2 * grid[..., 0] / plan.width) ** power
        turn = np.clip((ring - 0.3) / 0.45, 0, 1)
        envelope = np.sin(np.pi * np.clip(ring * 1.02, 0, 1)) ** 0.5
        lift = np.stack([0 * edge, seat_lift * edge * (1 - turn), -back_lift * edge * turn], axis=-1)
        return grid + lift * envelope[..., None]

    parts = [Part(sheet, material, Y).mapped(raise_sides)]
    if generator.random() < 0.3:
        pad = slab(ellipse(0.72 * plan.width, 0.72 * plan.depth, 32, 2.6), 0.02, 0.009, dome=0.012)
        parts.append(Part(pad, plan.cover).moved((0, top - 0.005, 0)))
    return parts


def _club(plan: _Plan, generator: np.random.Generator) -> list[Part]:
    """An upholstered armchair: block, cushion, thick arms and back, short feet."""
    arm, foot = generator.uniform(0.07, 0.15), generator.uniform(0.04, 0.16)
    width, depth = plan.width + 0.1, plan.depth + generator.uniform(0.05, 0.2)
    seat = generator.uniform(0.3, 0.38) - foot
    cover, second = plan.cover, plan.cover if generator.random() < 0.7 else fabric(generator)
    soft = generator.uniform(0.015, 0.05)
    block = slab(rounded_rectangle(width + arm, depth, soft, edge=3), seat - 0.08, bevel=min(soft, 0.04))
    cushion = slab(rounded_rectangle(width - 0.02, depth - 0.06, 0.04, edge=3), 0.14, bevel=0.05, dome=0.03, rings=4)
    parts = [
        Part(block, cover).moved((0, foot, 0)),
        Part(cushion, second).moved((0, foot + seat - 0.1, -0.02)),
    ]
    height = generator.uniform(0.35, 0.62)
    thick = generator.uniform(0.1, 0.17)
    top = (2.4, 9.0) if generator.random() < 0.4 else generator.uniform(5, 12)
    back = _upright(ellipse(width + arm, height + seat - 0.08, 44, top), thick, bevel=0.4 * thick, dome=0.02)
    back[..., 2] += plan.recline * 0.5 * (back[..., 1] + height / 2)
    parts.append(Part(back, cover).moved((0, foot + (height + seat) / 2, depth / 2 + 0.02)))
    rise = generator.uniform(0.12, 0.26)
    rolled = generator.random() < 0.4
    section = ellipse(arm, seat + rise, 28, (2.0, 10.0)) if rolled else rounded_rectangle(arm, seat + rise, soft)
    slope = generator.uniform(0.0, 0.1)
    side = bar((0, 0, -depth / 2 + 0.02), (0, 0, depth / 2), section, up=Y, steps=6)
    side[..., 1] += slope * side[..., 2] * (side[..., 1] > 0)
    if generator.random() < 0.85:
        part = Part(side, cover).moved(((width + arm) / 2 - 0.02, foot + (seat + rise) / 2, 0))
        parts += [part, part.mirrored()]
    if generator.random() < 0.35:
        pillow = slab(rounded_rectangle(0.36, 0.34, 0.06, edge=3), 0.05, 0.024, dome=0.06, rings=4)
        tilted = Part(pillow, fabric(generator)).turned(0, -1.25)
        parts.append(tilted.moved((generator.uniform(-0.06, 0.06), foot + seat + 0.2, depth / 2 - thick - 0.02)))
    for end in (-1, 1):
        x, z = (width + arm) / 2 - 0.06, end * (depth / 2 - 0.06)
        leg = Part(bar((x, foot + 0.02, z), (x + 0.02, 0, z + 0.02 * end), ellipse(0.05, 0.05, 10), 0.6), plan.frame, Y)
        parts += [leg, leg.mirrored()]
    return parts
