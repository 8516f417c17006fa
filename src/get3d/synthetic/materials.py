"""Materials of procedural objects: functions from positions in space to sRGB colours, drawn at random.

Lengths are in the units of the objects' models, roughly metres. Materials with a grain have it along +Y.
"""

import colorsys
from functools import cache

import numpy as np
from jaxtyping import Float
from scipy.ndimage import gaussian_filter, map_coordinates

from get3d.synthetic.parts import Material, PBRMaterial

__all__ = [
    "Color",
    "dull_color",
    "fabric",
    "leather",
    "metal",
    "mixed",
    "noise",
    "plain",
    "vivid_color",
    "wood",
]

Color = Float[np.ndarray, " 3"]
Points = Float[np.ndarray, "p 3"]
Values = Float[np.ndarray, " p"]

_WOODS = {
    "oak": ("#c9a067", "#8f6436"),
    "beech": ("#dfb98a", "#bd8a58"),
    "pine": ("#e8cb94", "#c0904f"),
    "walnut": ("#7d563a", "#432a1a"),
    "cherry": ("#a85f3a", "#723520"),
    "mahogany": ("#7e3425", "#471710"),
    "teak": ("#b27a42", "#774a22"),
    "ebony": ("#3c302a", "#1b1512"),
    "ash": ("#ddcfb4", "#b3a083"),
    "driftwood": ("#a79c8e", "#746a5e"),
}


def hexadecimal(code: str) -> Color:
    """A colour from its #rrggbb code."""
    return np.array([int(code[i : i + 2], 16) for i in (1, 3, 5)]) / 255


def hsv(hue: float, saturation: float, value: float) -> Color:
    """A colour from hue, saturation and value, each 0 to 1."""
    return np.array(colorsys.hsv_to_rgb(hue % 1, saturation, value))


def vivid_color(generator: np.random.Generator) -> Color:
    """A strong colour."""
    return hsv(generator.random(), generator.uniform(0.4, 0.8), generator.uniform(0.4, 0.88))


def dull_color(generator: np.random.Generator) -> Color:
    """A muted, pale, dark or grey colour."""
    return hsv(generator.random(), generator.uniform(0.0, 0.4), generator.choice([0.2, 0.4, 0.6, 0.8, 0.93]))


@cache
def _volume() -> np.ndarray:
    white = np.random.default_rng(7).standard_normal((64, 64, 64))
    smooth = gaussian_filter(white, 1.2, mode="wrap")
    return smooth / smooth.std()


def noise(points: Points, stretch: tuple[float, float, float] | float) -> Values:
    """Smooth noise of mean 0 and deviation 1; its features are about one unit of `points / stretch` large."""
    coordinates = points / np.broadcast_to(stretch, 3) * 4
    return map_coordinates(_volume(), coordinates.T, order=1, mode="grid-wrap")


def mixed(low: Color | Points, high: Color | Points, amount: Values) -> Points:
    """Colours interpolated between two; the amount is clamped to 0 to 1."""
    t = amount.clip(0, 1)[:, None]
    return low * (1 - t) + high * t


def _step(values: Values, width: float) -> Values:
    """0 below −width, 1 above width, a ramp between: an antialiased edge."""
    return (0.5 + values / (2 * width)).clip(0, 1)


def wood(generator: np.random.Generator) -> Material:
    """Year rings and fibres of a wood drawn from ten, or stained in a colour."""
    light, dark = (hexadecimal(code) for code in generator.permutation(list(_WOODS.values()))[0])
    if generator.random() < 0.12:
        stain = vivid_color(generator)
        light, dark = 0.35 * light + 0.65 * stain, 0.35 * dark + 0.65 * stain * 0.6
    tint = generator.uniform(0.9, 1.08)
    spacing = generator.uniform(0.018, 0.05)
    wobble = generator.uniform(0.01, 0.035)
    fibre = generator.uniform(0.1, 0.3)

    def material(points: Points) -> Points:
        bent = wobble * noise(points, (0.25, 1.4, 0.25)) + 0.3 * wobble * noise(points, (0.07, 0.6, 0.07))
        rings = (np.hypot(points[:, 0], points[:, 2]) + bent) / spacing % 1.0
        amount = np.where(rings < 0.75, rings / 0.75, (1 - rings) / 0.25) * 0.75
        amount = amount + fibre * noise(points, (0.006, 0.2, 0.006)) + 0.12 * noise(points, (0.2, 0.8, 0.2))
        return mixed(light, dark, amount) * tint

    # Dark old wood is oiled, bright wood is varnished; fibres are a little rougher than the wood between them.
    varnish = 0.22 if tint > 0.97 else 0.5

    def roughness(points: Points) -> Values:
        return varnish + 0.05 * noise(points, (0.006, 0.2, 0.006)).clip(-2, 2)

    return PBRMaterial(material, roughness)


def plain(color: Color, wear: float = 0.03, roughness: float = 0.35) -> Material:
    """Paint or plastic of one colour, with the faint cloudiness that real surfaces have."""

    def material(points: Points) -> Points:
        return (color * (1 + wear * noise(points, 0.25)[:, None])).clip(0, 1)

    return PBRMaterial(material, roughness)


def metal(generator: np.random.Generator) -> Material:
    """Chrome, brushed steel, brass, copper, or black iron; the grain is the direction of brushing."""
    codes = ["#c9ccd0", "#a3a7ab", "#c8a655", "#b87350", "#2b2c2e", "#6f7276"]
    color = hexadecimal(codes[generator.integers(len(codes))])
    brushed = generator.uniform(0.02, 0.08)

    def material(points: Points) -> Points:
        shade = 1 + brushed * noise(points, (0.004, 0.15, 0.004)) + 0.06 * noise(points, 0.08)
        return (color * shade[:, None]).clip(0, 1)

    def roughness(points: Points) -> Values:
        return 0.1 + 4 * brushed + brushed * noise(points, (0.004, 0.15, 0.004)).clip(-2, 2)

    return PBRMaterial(material, roughness, 1.0)


def leather(generator: np.random.Generator) -> Material:
    """Brown, black, red or cream hide with wrinkles and worn patches."""
    codes = ["#6b3e26", "#2a211d", "#8c2f22", "#cdb593", "#a5673f", "#3d4a3a", "#e6e0d6", "#22303f"]
    color = hexadecimal(codes[generator.integers(len(codes))])

    def material(points: Points) -> Points:
        wrinkles = np.abs(noise(points, 0.035))
        shade = 1 - 0.12 * (wrinkles < 0.18) + 0.08 * noise(points, 0.15) + 0.03 * noise(points, 0.008)
        return (color * shade[:, None]).clip(0, 1)

    def roughness(points: Points) -> Values:
        return 0.42 + 0.25 * (np.abs(noise(points, 0.035)) < 0.18)

    return PBRMaterial(material, roughness)


def fabric(generator: np.random.Generator) -> Material:
    """Woven cloth: plain, striped, checked, dotted, herringbone or mottled."""
    first = vivid_color(generator) if generator.random() < 0.6 else dull_color(generator)
    second = dull_color(generator) if generator.random() < 0.6 else vivid_color(generator)
    third = dull_color(generator)
    pattern = generator.choice(["plain", "stripes", "checks", "dots", "herringbone", "mottled"], p=_FABRICS)
    size = generator.uniform(0.03, 0.11)
    share = generator.uniform(0.25, 0.6)
    thread = generator.uniform(0.004, 0.009)

    def material(points: Points) -> Points:
        across, along = points[:, 0], points[:, 1] + points[:, 2]
        weave = np.sin(2 * np.pi * across / thread) * np.sin(2 * np.pi * along / thread)
        shade = 1 + 0.05 * weave + 0.05 * noise(points, 0.02)
        p, q = across / size + 0.5 * share, along / size
        if pattern == "plain":
            colors = np.broadcast_to(first, points.shape)
        elif pattern == "stripes":
            colors = mixed(first, second, _band(p, share))
        elif pattern == "checks":
            colors = mixed(mixed(first, second, 0.5 * (_band(p, share) + _band(q, share))), third, _band(p, 0.1))
        elif pattern == "dots":
            rows = np.floor(q)
            radius = np.hypot((p + 0.5 * (rows % 2)) % 1 - 0.5, q % 1 - 0.5)
            colors = mixed(first, second, _step(0.5 * share + 0.08 - radius, 0.05))
        elif pattern == "herringbone":
            colors = mixed(first, second, _band(q + np.abs(p % 2 - 1), 0.5))
        else:
            colors = mixed(first, second, 0.5 + 0.6 * noise(points, 0.6 * size))
        return (colors * shade[:, None]).clip(0, 1)

    return PBRMaterial(material, 0.9)


_FABRICS = [0.34, 0.18, 0.14, 0.12, 0.1, 0.12]


def _band(values: Values, share: float) -> Values:
    """1 on the given share of every unit interval, around its middle, with soft edges."""
    return _step(share / 2 - np.abs(values % 1 - 0.5), 0.04)
