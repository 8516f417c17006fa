"""Teaches a trial's mapping networks the Gaussian of its codes in W, and shows what z ~ N(0, I) then gives.

python teach.py TRIAL_FOLDER [--components 40] [--steps 3000]; writes taught.png (16 random draws), taught_swap.png (4
geometries by 8 textures) and taught.json beside the trial's files.
"""

import json
import math
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import torch
import tyro
from measure import mesh_numbers, save_rows
from trial import Run, Trial
from warmup import draw_views

from get3d.cameras import Cameras
from get3d.latents import Latents
from get3d.reconstruction.codes import CodePrior, teach_mapping


@dataclass(frozen=True)
class Teach:
    folder: Annotated[Path, tyro.conf.Positional]
    components: int = 40
    psi: float = 0.8
    steps: int = 3000


def main(teach: Teach) -> None:
    torch.set_num_threads(1)
    settings = json.loads((teach.folder / "trial.json").read_text())
    names = ("data", "out", "codes", "grid", "planes", "channels")
    paths = {"data": Path(settings["data"]), "out": Path(settings["out"])}
    run = Run(Trial(**{name: settings[name] for name in names if name not in paths}, **paths))
    run.load()
    g, d = run.g, run.data
    start, missed = time.process_time(), []
    generator = torch.Generator().manual_seed(0)
    for kind, mapping in enumerate((g.mapping_geometry, g.mapping_texture)):
        prior = CodePrior.fitted(run.codes.mean[:, kind].detach(), teach.components)
        missed.append(teach_mapping(mapping, [prior], generator, teach.steps))
    spent = time.process_time() - start
    with torch.no_grad():
        latents = g.sample_latents(32, 0)
        shapes = g.shapes(g.styles(latents, teach.psi))
        cameras = Cameras.sample(d.prior, 32, torch.Generator().manual_seed(3))
        save_rows(
            list(draw_views(shapes, torch.arange(32), cameras, 128).rgb[:16].split(8)), teach.folder / "taught.png"
        )
        numbers = mesh_numbers(shapes.surfaces.meshes.split())
        pairs = Latents(latents.geometry[:4].repeat_interleave(8, 0), latents.texture[:8].repeat(4, 1))
        orbit = Cameras.orbit(
            torch.full((32,), 0.7), torch.full((32,), 1.25), d.prior.radius, math.radians(d.prior.fov)
        )
        swap = draw_views(g.shapes(g.styles(pairs, teach.psi)), torch.arange(32), orbit, 128).rgb
        save_rows(list(swap.split(8)), teach.folder / "taught_swap.png")
    numbers |= {"missed_geometry": missed[0], "missed_texture": missed[1], "seconds": spent}
    line = json.dumps({name: round(value, 4) for name, value in numbers.items()})
    (teach.folder / "taught.json").write_text(line + "\n")
    print(line)


if __name__ == "__main__":
    main(tyro.cli(Teach))
