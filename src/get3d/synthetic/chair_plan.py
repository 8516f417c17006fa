"""Proportions and materials that the parts of a chair share."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from get3d.synthetic.materials import dull_color, fabric, leather, metal, plain, vivid_color, wood
from get3d.synthetic.parts import Grid, Material, Part, ellipse, rounded_rectangle, slab

__all__ = ["ChairPlan", "draw_plan", "upright"]


@dataclass(frozen=True)
class ChairPlan:
    """Proportions and materials that the parts of one chair share.

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


def draw_plan(generator: np.random.Generator) -> ChairPlan:
    """Random proportions and materials of a chair."""
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
    return ChairPlan(
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


def upright(outline: Float[np.ndarray, "s 2"], thickness: float, bevel: float, dome: float = 0.0) -> Grid:
    """A slab whose outline stands upright, its thickness toward the sitter."""
    grid = slab(outline, thickness, bevel, dome, rings=4)
    return np.stack([grid[..., 0], grid[..., 2], -grid[..., 1]], axis=-1)
