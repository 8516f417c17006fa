"""How long the live page of a model lets somebody wait: for the coarse object of a slider, and for the textured one."""

import tempfile
from pathlib import Path

from get3d.benchmarks.rows import Row, at_most
from get3d.benchmarks.timing import Stopwatch
from get3d.generation.settings import Settings
from get3d.viewer.look import shown
from get3d.viewer.studio import Studio

__all__ = ["rows"]

PREVIEW, TEXTURED = "a coarse object, while a slider moves", "the textured object, when it rests"
GOALS = {PREVIEW: 0.15, TEXTURED: 3.0}
"""Seconds, of the model that comes along on two CPU cores."""


def rows(model: str, faces: int, texture: int, repeats: int, device: str) -> list[Row]:
    """From what a slider says to the bytes that a browser gets; the first does not count. Keeps memory.

    Args:
        model: a model's name or path.
        faces: most of an object.
        texture: side of its texture in texels.
        repeats: how many objects.
        device: where to compute.
    """
    with tempfile.TemporaryDirectory() as folder:
        studio = Studio(Settings(model, out=Path(folder), faces=faces, texture=texture, device=device))
    watches = [Stopwatch(studio.generator.device) for _ in range(2)]
    for seed in range(repeats + 1):
        watch, pick = watches[seed > 0], studio.pick(seed, seed, 0.7, next(iter(studio.generator.config.classes), None))
        with watch.lap(PREVIEW):
            studio.preview(pick)
        with watch.lap(TEXTURED):
            textured = studio.textured(pick)
            if textured is not None:
                shown(textured, studio.look)
    medians = watches[1].medians
    group = f"The live page of {model}: at most {faces:,} faces, texture {texture}²"
    return [
        Row(group, stage, medians[stage], result=medians[stage], unit="s", goal=at_most(bound))
        for stage, bound in GOALS.items()
    ]
