"""The way from a latent to a file that other programs open, stage by stage."""

import tempfile
from pathlib import Path

import torch

from get3d.benchmarks.rows import Row, at_most
from get3d.benchmarks.timing import Stopwatch
from get3d.devices import keep_memory
from get3d.export import bake, simplify, unwrap
from get3d.generator import Generator

__all__ = ["rows"]

UNWRAP = "unwrap"
STAGES = ("field and surface", "simplify and repair", UNWRAP, "bake", "write a GLB")
TOTAL = "an object, from latent to file"
PSI = 0.7
SECONDS = 15.0
"""What an object of the full-size generator may take."""


def rows(of: str, generator: Generator, faces: int, texture: int, repeats: int, goals: bool) -> list[Row]:
    """Textured objects, one after the other; the first does not count. Keeps memory, as commands do.

    Args:
        of: what the generator is.
        generator: makes them.
        faces: an object has at most so many.
        texture: side of the texture in texels.
        repeats: how many objects.
        goals: whether this is the generator that the goals are for.
    """
    keep_memory()
    watches = [Stopwatch(generator.mapping_geometry.w_avg.device) for _ in range(2)]
    with tempfile.TemporaryDirectory() as folder:
        made = [
            _generate(generator, seed, faces, texture, watches[seed > 0], Path(folder)) for seed in range(repeats + 1)
        ]
    medians = watches[1].medians
    total = sum(medians[stage] for stage in STAGES)
    group = f"A textured object of {of}: at most {faces:,} faces, texture {texture}²"
    shares = [Row(group, stage, medians[stage], result=medians[stage] / total, unit="%") for stage in STAGES]
    note = f"its surface had {sorted(made)[len(made) // 2]:,} faces before"
    whole = medians[TOTAL]
    summed = {"sum of the stages": total}
    rows = [*shares, Row(group, TOTAL, whole, summed, whole, "s", at_most(SECONDS) if goals else None, note)]
    if goals:
        bound = at_most(SECONDS / 3)
        note = f"a third of the {SECONDS:.0f} s that an object may take"
        rows.append(Row(group, "its unwrapping", medians[UNWRAP], {}, medians[UNWRAP], "s", bound, note))
    return rows


@torch.no_grad()
def _generate(generator: Generator, seed: int, faces: int, texture: int, watch: Stopwatch, folder: Path) -> int:
    """Makes an object once stage by stage and once as users do; the number of faces that its surface had."""
    latents = generator.sample_latents(1, seed)
    with watch.lap(STAGES[0]):
        shapes = generator.shapes(generator.styles(latents, PSI))
    (mesh,) = shapes.surfaces.meshes.split()
    with watch.lap(STAGES[1]):
        bare = simplify(mesh, faces)
    with watch.lap(STAGES[2]):
        unwrapped = unwrap(bare, texture)
    with watch.lap(STAGES[3]):
        bake(unwrapped, shapes.material(0), texture)
    with watch.lap(TOTAL):
        (textured,) = generator.textured(latents, PSI, texture, faces)
        textured.save(folder / "object.glb")
    with watch.lap(STAGES[4]):
        textured.save(folder / "again.glb")
    return len(mesh.faces)
