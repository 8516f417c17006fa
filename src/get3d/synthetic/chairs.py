"""Chairs. +Y up, the sitter looks along −Z; lengths in metres."""

from dataclasses import replace

import numpy as np

from get3d.synthetic.chair_backs import chair_back
from get3d.synthetic.chair_bases import chair_base
from get3d.synthetic.chair_plan import ChairPlan, draw_plan, upright
from get3d.synthetic.materials import fabric
from get3d.synthetic.parts import Grid, Part, X, Y, Z, bar, bend, ellipse, rounded_rectangle, slab, spline, tube

__all__ = ["chair"]


def chair(generator: np.random.Generator) -> list[Part]:
    """The parts of a chair, determined by the random generator."""
    plan = draw_plan(generator)
    kind = generator.choice(["classic", "shell", "club"], p=[0.7, 0.16, 0.14])
    if kind == "club":
        return _club(plan, generator)
    if kind == "shell":
        outline = plan.outline * [0.66, 0.78]
        mount = replace(plan, width=0.66 * plan.width, depth=0.78 * plan.depth, outline=outline)
        return _shell(plan, generator) + chair_base(mount, generator, 0.0)
    posts = generator.random() < 0.6
    parts = _seat(plan, generator) + chair_base(plan, generator, 0.75)
    if plan.back > 0:
        parts += chair_back(plan, generator, posts)
        parts += _arms(plan, generator)
    return parts


def _seat(plan: ChairPlan, generator: np.random.Generator) -> list[Part]:
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


def _apron(plan: ChairPlan) -> list[Part]:
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


def _arms(plan: ChairPlan, generator: np.random.Generator) -> list[Part]:
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


def _shell(plan: ChairPlan, generator: np.random.Generator) -> list[Part]:
    """Seat and back as one bent sheet with raised sides."""
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


def _club(plan: ChairPlan, generator: np.random.Generator) -> list[Part]:
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
    back = upright(ellipse(width + arm, height + seat - 0.08, 44, top), thick, bevel=0.4 * thick, dome=0.02)
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
