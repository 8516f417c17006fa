"""Vases, jugs and urns: hollow, turned from a profile, with or without handles. +Y up; a vase is about one high."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float
from scipy.interpolate import PchipInterpolator

from get3d.synthetic.materials import Color, dull_color, hexadecimal, hsv, mixed, noise
from get3d.synthetic.parts import Grid, Material, Part, PBRMaterial, ellipse, lathe, spline, tube

__all__ = ["vase"]

_CLAYS = ["#b5623c", "#8a4a2f", "#d8c3a0", "#efe7d8", "#5a4a40", "#c98d5e"]
_GLAZES = ["#1f3f77", "#2e6f6a", "#f1efe6", "#111315", "#7a1f24", "#c99a2e", "#5d7f4a", "#8fb6c9", "#d9c7a8", "#4a2f5a"]


@dataclass(frozen=True)
class _Form:
    """The wall of a vase.

    Attributes:
        profile: radius of the outer wall at a height from 0 to 1.
        thickness: of the wall.
        lobes: how many ribs run up the wall; 0: round.
        depth: of the ribs, as a share of the radius.
        twist: turns the ribs make on their way up.
    """

    profile: Callable[[Float[np.ndarray, "*n"]], Float[np.ndarray, "*n"]]
    thickness: float
    lobes: int
    depth: float
    twist: float


def vase(generator: np.random.Generator) -> list[Part]:
    """The parts of a vase, determined by the random generator."""
    form = _form(generator)
    material = _glaze(form, generator)
    parts = [Part(_wall(form), material)]
    number = int(generator.choice([0, 1, 2, 3], p=[0.5, 0.14, 0.3, 0.06]))
    if number:
        handle = Part(_handle(form, generator), material)
        parts += [handle.turned(1, 2 * np.pi * i / number) for i in range(number)]
    if generator.random() < 0.12:
        parts += _lid(form, material, generator)
    return parts


def _form(generator: np.random.Generator) -> _Form:
    uniform = generator.uniform
    belly, at = uniform(0.16, 0.46), uniform(0.25, 0.72)
    foot, neck = belly * uniform(0.35, 0.9), belly * uniform(0.18, 0.85)
    rim = neck * uniform(1.0, 1.9)
    rise = at + (1 - at) * uniform(0.45, 0.85)
    heights, radii = [0.0, at, rise, 1.0], [foot, belly, neck, rim]
    shape = generator.choice(["vase", "footed", "bowl", "bottle", "cylinder"], p=[0.42, 0.2, 0.12, 0.14, 0.12])
    if shape == "footed":
        stem = uniform(0.3, 0.7) * foot
        heights, radii = [0.0, 0.03, 0.12, *heights[1:]], [1.2 * foot, 1.1 * foot, stem, *radii[1:]]
    elif shape == "bowl":
        heights, radii = [0.0, 0.06, 0.6, 1.0], [0.6 * belly, 0.62 * belly, uniform(0.45, 0.6), uniform(0.5, 0.75)]
    elif shape == "bottle":
        thin = uniform(0.05, 0.09)
        heights, radii = [0.0, 0.6 * at, at + 0.08, 0.95, 1.0], [foot, belly, thin, thin, thin * uniform(1.1, 1.8)]
    elif shape == "cylinder":
        side = uniform(0.18, 0.34)
        heights, radii = (
            [0.0, 0.06, 0.9, 1.0],
            [0.9 * side, side, side * uniform(0.85, 1.25), side * uniform(0.85, 1.3)],
        )
    ribbed = generator.random() < 0.22
    return _Form(
        profile=PchipInterpolator(heights, radii),
        thickness=uniform(0.018, 0.035),
        lobes=int(generator.integers(5, 15)) if ribbed else 0,
        depth=uniform(0.03, 0.08),
        twist=uniform(-0.4, 0.4) if generator.random() < 0.5 else 0.0,
    )


def _wall(form: _Form) -> Grid:
    """Up the outside, over a round rim, down the inside to a floor."""
    up = 1 - np.cos(np.linspace(0, np.pi, 44))
    outer = np.stack([form.profile(up / 2), up / 2], axis=1)
    half = form.thickness / 2
    turn = np.linspace(0, np.pi, 7)[1:-1]
    rim = [outer[-1, 0] - half, 1.0] + half * np.stack([np.cos(turn), np.sin(turn)], axis=1)
    down = np.linspace(1.0, 0.03, 30)
    inner = np.stack([(form.profile(down) - form.thickness).clip(0.012), down], axis=1)
    grid = lathe(np.concatenate([outer, rim, inner]), 56 if form.lobes else 44)
    if form.lobes:
        angle = np.arctan2(grid[..., 0], grid[..., 2])
        wave = np.cos(form.lobes * (angle + 2 * np.pi * form.twist * grid[..., 1]))
        fade = np.sin(np.pi * grid[..., 1].clip(0, 1)) ** 0.5
        grid = grid * np.stack([f := 1 + form.depth * fade * wave, np.ones_like(f), f], axis=-1)
    return grid


def _handle(form: _Form, generator: np.random.Generator) -> Grid:
    """A bent rod, its ends inside the wall."""
    low = generator.uniform(0.25, 0.6)
    high = min(low + generator.uniform(0.2, 0.45), 0.97)
    reach, lift = generator.uniform(0.08, 0.2), generator.uniform(-0.06, 0.1)
    inside = 0.4 * form.thickness
    (a, b), widest = form.profile(np.array([low, high])) - inside, float(form.profile(np.linspace(low, high, 9)).max())
    out = widest + reach
    knots = [(a, low, 0), (0.4 * a + 0.6 * out, low + 0.03, 0), (out, (low + high) / 2 + lift, 0)]
    knots += [(0.4 * b + 0.6 * out, high + max(lift, 0.0), 0), (b, high, 0)]
    thick = generator.uniform(0.03, 0.055)
    section = ellipse(thick * generator.uniform(1.0, 1.9), thick, 12, 2.4)
    return tube(spline(knots, 26), section, up=(0, 1, 0))


def _lid(form: _Form, material: Material, generator: np.random.Generator) -> list[Part]:
    rim = float(form.profile(np.array(1.0)))
    knob, height = 0.22 * rim + 0.02, generator.uniform(0.03, 0.14)
    profile = [(1.04 * rim, 0.0), (1.04 * rim, 0.015), (0.8 * rim, 0.4 * height), (0.3 * rim, height)]
    profile += [(0.5 * knob, height + 0.01), (knob, height + 0.04), (0.7 * knob, height + 0.07)]
    return [Part(lathe(np.array(profile), 36), material).moved((0, 1.0 + 0.4 * form.thickness, 0))]


def _glaze(form: _Form, generator: np.random.Generator) -> Material:
    """A ground of one colour, two that run, drip or swirl into each other, or crackle; on it ornaments and speckles."""
    base, second, third = _palette(generator)
    style = str(generator.choice(["bands", "drip", "crackle", "marble", "gradient", "plain"], p=_STYLES))
    speckle, scale = generator.random() < 0.35, generator.uniform(0.02, 0.05)
    ornaments = _ornaments(generator, [second, third]) if style in ("bands", "gradient") else []
    if style != "bands" and generator.random() < 0.5:
        ornaments = _ornaments(generator, [second, third])[:1]
    edge, wave = generator.uniform(0.35, 0.75), generator.uniform(0.04, 0.12)
    inside = generator.choice([0, 1, 2])

    def material(points: Float[np.ndarray, "p 3"]) -> Float[np.ndarray, "p 3"]:
        height, radius = points[:, 1], np.hypot(points[:, 0], points[:, 2])
        angle = np.arctan2(points[:, 0], points[:, 2])
        around = np.stack([np.sin(angle), height, np.cos(angle)], axis=1)
        if style == "drip":
            line = edge + wave * noise(around, (0.12, 9.0, 0.12)) + 0.5 * wave * noise(around, (0.4, 9.0, 0.4))
            colors = mixed(base, second, (height - line) / 0.012 + 0.5)
            colors = mixed(colors, third, 0.35 * (1 - np.abs(height - line - 0.02) / 0.03).clip(0, 1))
        elif style == "crackle":
            cracks = np.minimum(np.abs(noise(points, 0.16)), np.abs(noise(points + 5.0, 0.13)))
            colors = mixed(mixed(base, second, 0.15 * noise(points, 0.4)), 0.35 * base, (0.1 - cracks) / 0.06)
        elif style == "marble":
            veins = np.sin(280 * scale * (points[:, 1] + 0.3 * points[:, 0]) + 2.6 * noise(points, 0.35))
            colors = mixed(base, second, 0.5 + 0.5 * veins**3)
        elif style == "gradient":
            colors = mixed(base, second, (height - edge + 0.25) / 0.5 + 0.1 * noise(points, 0.1))
        else:
            colors = np.broadcast_to(base, points.shape)
        for ornament in ornaments:
            colors = ornament(colors, height, angle)
        if speckle:
            colors = mixed(colors, 0.4 * base, (noise(points, scale) - 1.9) / 0.2)
        hidden = (radius < form.profile(height.clip(0, 1)) - 0.7 * form.thickness) & (height < 0.995) & (height > 0.02)
        colors = np.where(hidden[:, None], (base, second, third)[inside] * 0.85, colors)
        return (colors * (1 + 0.03 * noise(points, 0.2))[:, None]).clip(0, 1)

    def roughness(points: Float[np.ndarray, "p 3"]) -> Float[np.ndarray, " p"]:
        if style == "drip":
            # The glaze has run down over bare clay.
            height, angle = points[:, 1], np.arctan2(points[:, 0], points[:, 2])
            around = np.stack([np.sin(angle), height, np.cos(angle)], axis=1)
            line = edge + wave * noise(around, (0.12, 9.0, 0.12)) + 0.5 * wave * noise(around, (0.4, 9.0, 0.4))
            return 0.85 - 0.75 * ((height - line) / 0.012 + 0.5).clip(0, 1)
        if style == "crackle":
            cracks = np.minimum(np.abs(noise(points, 0.16)), np.abs(noise(points + 5.0, 0.13)))
            return 0.12 + 0.6 * ((0.1 - cracks) / 0.06).clip(0, 1)
        return np.full(len(points), 0.65 if style == "plain" and speckle else 0.12)

    return PBRMaterial(material, roughness)


_STYLES = [0.42, 0.14, 0.12, 0.1, 0.12, 0.1]


def _palette(generator: np.random.Generator) -> tuple[Color, Color, Color]:
    codes = generator.permutation(_GLAZES)
    base = hexadecimal(str(generator.choice(_CLAYS))) if generator.random() < 0.4 else hexadecimal(str(codes[0]))
    second, third = hexadecimal(str(codes[1])), hexadecimal(str(codes[2]))
    if generator.random() < 0.3:
        base = hsv(generator.random(), generator.uniform(0.3, 0.8), generator.uniform(0.35, 0.9))
    if generator.random() < 0.2:
        third = dull_color(generator)
    return base, second, third


_Ornament = Callable[
    [Float[np.ndarray, "p 3"], Float[np.ndarray, " p"], Float[np.ndarray, " p"]], Float[np.ndarray, "p 3"]
]
"""(colours, height, angle around the axis) to colours with the ornament on them."""


def _ornaments(generator: np.random.Generator, colors: list[Color]) -> list[_Ornament]:
    """Bands one above the other, each with a pattern of its own."""
    edges = np.sort(generator.uniform(0.06, 0.96, size=2 * int(generator.integers(1, 5))))
    return [
        _band(generator, colors[i % 2], colors[(i + 1) % 2], float(low), float(high))
        for i, (low, high) in enumerate(zip(edges[::2], edges[1::2], strict=True))
        if high - low > 0.012
    ]


def _band(generator: np.random.Generator, color: Color, other: Color, low: float, high: float) -> _Ornament:
    pattern = str(generator.choice(["solid", "lines", "dots", "waves", "zigzag", "checks", "leaves"]))
    size = high - low
    number = max(4, round(generator.uniform(0.5, 1.3) * 2.2 / max(size, 0.08)))
    rows = max(1, round(size / generator.uniform(0.05, 0.12)))
    bordered, filled = generator.random() < 0.5, generator.random() < 0.4

    def ornament(
        colors: Float[np.ndarray, "p 3"], height: Float[np.ndarray, " p"], angle: Float[np.ndarray, " p"]
    ) -> Float[np.ndarray, "p 3"]:
        v = (height - low) / size
        inside = np.abs(v - 0.5) < 0.5
        turn, row = angle / (2 * np.pi) * number, v * rows
        p, q = turn % 1 - 0.5, row % 1 - 0.5
        if pattern == "solid":
            mark = np.ones_like(v)
        elif pattern == "lines":
            mark = 0.25 - np.abs(q)
        elif pattern == "dots":
            p = (turn + 0.5 * (np.floor(row) % 2)) % 1 - 0.5
            mark = 0.3 - np.hypot(p, q)
        elif pattern == "waves":
            mark = 0.16 - np.abs(v - 0.5 - 0.3 * np.sin(2 * np.pi * turn))
        elif pattern == "zigzag":
            mark = 0.14 - np.abs(v - 0.15 - 1.4 * np.abs(p))
        elif pattern == "checks":
            mark = np.where((np.floor(turn * 2) + np.floor(row)) % 2 == 0, 1.0, -1.0)
        else:
            mark = 0.2 - np.abs(p - 0.3 * (v - 0.5)) - 0.7 * (v - 0.5) ** 2
        if filled:
            colors = np.where(inside[:, None], other, colors)
        colors = mixed(colors, color, inside * (mark / 0.08 + 0.5))
        if bordered:
            colors = mixed(
                colors, color, (0.008 - np.minimum(np.abs(height - low), np.abs(height - high))) / 0.004 + 0.5
            )
        return colors

    return ornament
