"""Alarms about a run, from the statistics of a tick."""

import math
from collections.abc import Mapping, Sequence
from statistics import median

__all__ = ["alarms"]

_FAR = 10.0
"""Logits beyond this on both sides give the generator nothing to learn from."""

_EARLY = 2.0
"""kimg in which shapes may still be empty."""

_TICKS = 10
"""Number of earlier ticks whose speed is compared with the newest one."""


def alarms(values: Mapping[str, float], *, kimg: float, speed: float, speeds: Sequence[float]) -> list[str]:
    """Messages about what is wrong, and what may help; none for most ticks.

    Args:
        values: statistics of the tick by name.
        kimg: thousands of images shown.
        speed: images a second in this tick.
        speeds: the same for earlier ticks.
    """
    found = [f"{name} is not finite" for name, value in values.items() if not math.isfinite(value)]
    for branch in ("rgb", "mask"):
        real, fake = (values.get(f"logits/{branch}_{side}", 0.0) for side in ("real", "fake"))
        if real > _FAR and fake < -_FAR:
            found.append(
                f"the discriminator wins outright (logits/{branch}: {real:.1f} and {fake:.1f}); "
                "raise --objective.r1-gamma"
            )
    empty = values.get("surface/empty", 0.0)
    if kimg > _EARLY and empty > 0.1:
        found.append(f"{100 * empty:.0f} % of the shapes are empty; raise --objective.regularizers.sdf")
    empty = values.get("random/empty", 0.0)
    if kimg > _EARLY and empty > 0.1:
        found.append(f"{100 * empty:.0f} % of the random shapes are empty; lower --objective.regularizers.floaters")
    if len(speeds) >= _TICKS and speed < 0.5 * median(speeds[-_TICKS:]):
        usual = median(speeds[-_TICKS:])
        found.append(f"{speed:.1f} img/s, less than half of before ({usual:.1f}); check what else the machine is doing")
    return found
