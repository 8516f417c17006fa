"""Procedural objects, and datasets of them: `get3d synth`."""

import shlex
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float
from rich.console import Console
from torch import Tensor

from get3d.assets.shading import shade
from get3d.authoring.dataset_writer import (
    begin,
    draw_angles,
    draw_turns,
    in_processes,
    progress_bar,
    refuse,
    require_room,
    worker_count,
    write_images,
)
from get3d.camera_prior import CameraPrior
from get3d.cameras import Cameras
from get3d.console import counted
from get3d.datasets.camera_table import write_cameras
from get3d.datasets.config import SynthConfig
from get3d.datasets.index import SPLITS, Description, split_of
from get3d.export.write import TexturedMesh
from get3d.light_prior import LightPrior
from get3d.render.lights import LIGHTS
from get3d.synthetic.assemble import assemble
from get3d.synthetic.cars import car
from get3d.synthetic.chairs import chair
from get3d.synthetic.parts import Part
from get3d.synthetic.vases import vase

__all__ = ["KINDS", "Kind", "SynthConfig", "make", "synthesize"]


@dataclass(frozen=True)
class Kind:
    """A kind of objects.

    Attributes:
        parts: makes the parts of one object.
        scale: default longest side of the bounding box.
        roughness: roughness of the surface, 0 to 1.
    """

    parts: Callable[[np.random.Generator], list[Part]]
    scale: float
    roughness: float


KINDS = {
    "chair": Kind(chair, scale=0.7, roughness=0.7),
    "car": Kind(car, scale=0.9, roughness=0.35),
    "vase": Kind(vase, scale=0.8, roughness=0.3),
}


@dataclass(frozen=True)
class _Object:
    """An object of a dataset: its kind, its number among them, and its name in the dataset."""

    kind: str
    number: int
    name: str


def _objects(config: SynthConfig) -> list[_Object]:
    numbers = range(config.shapes)
    if config.kind != "all":
        return [_Object(config.kind, number, f"{number:06d}") for number in numbers]
    return [_Object(kind, number, f"{kind}/{number:06d}") for number in numbers for kind in KINDS]


def make(kind: str, seed: int, index: int, scale: float | None = None, texture: int = 512) -> TexturedMesh:
    """Object number `index` of a kind; the same numbers always give the same object.

    Args:
        kind: one of `KINDS`.
        seed: seed of a series of objects.
        index: index in the series.
        scale: longest side of the bounding box; None: the default of the kind.
        texture: side of the texture in texels.
    """
    chosen = KINDS[kind]
    generator = np.random.default_rng([seed, index])
    return assemble(
        chosen.parts(generator), chosen.scale if scale is None else scale, texture, generator, 0.0, chosen.roughness
    )


def synthesize(config: SynthConfig, console: Console) -> Path:
    """Makes a dataset folder, or resumes an incomplete one. Returns its path.

    Raises:
        InputError: the folder cannot be written to, has no room, or contains a dataset made with other settings.
    """
    root = config.out
    description = _describe(config)
    found = begin(root, description)
    if found is not None:
        before, after = (sum(map(len, splits.values())) for splits in (found.splits, description.splits))
        if before > after:
            refuse(root, "shapes", before, after)
    objects = _objects(config)
    missing = [item for item in objects if not _mesh_path(root, item).exists()]
    require_room(root, len(missing), config.views, config.resolution, config.texture)
    (root / "cameras.csv").unlink(missing_ok=True)
    description.write(root)
    with progress_bar(console) as progress:
        task = progress.add_task("objects", total=len(objects), completed=len(objects) - len(missing))
        for _ in in_processes(partial(_render, config), missing, worker_count(config.workers, len(missing))):
            progress.advance(task)
    names = [f"{item.name}/{view:03d}.png" for item in objects for view in range(config.views)]
    angles = torch.cat([_angles(config, item) for item in objects])
    turns = None if config.light != "random" else torch.cat([_turns(config, item) for item in objects])
    write_cameras(
        root, names, np.degrees(angles.double().numpy()), None if turns is None else np.degrees(turns.double().numpy())
    )
    files = f"images/, meshes/, cameras.csv, dataset.json; next: get3d check {shlex.quote(str(root))}"
    console.print(f"{root}: {counted(len(objects), 'object')}: {files}", highlight=False, markup=False, soft_wrap=True)
    return root


def _mesh_path(root: Path, item: _Object) -> Path:
    return root / "meshes" / f"{item.name}.glb"


def _describe(config: SynthConfig) -> Description:
    objects = _objects(config)
    kinds = [kind for kind in KINDS if config.kind in (kind, "all")]
    scale = max(KINDS[kind].scale for kind in kinds) if config.scale is None else config.scale
    settings = {"kind": config.kind, "views": config.views, "texture": config.texture}
    command = (
        f"get3d synth {config.kind} --out {shlex.quote(str(config.out))} --shapes {config.shapes} "
        f"--views {config.views} --resolution {config.resolution} --seed {config.seed} "
        f"--texture {config.texture}"
    )
    if config.light != "studio":
        command += f" --light {config.light}"
    if config.shading != "matte":
        command += f" --shading {config.shading}"
    if config.scale is not None:
        command += f" --scale {config.scale:g}"
    if config.prior != CameraPrior():
        (a, b), (c, d) = config.prior.azimuth, config.prior.polar
        command += f" --prior.azimuth {a:g} {b:g} --prior.polar {c:g} {d:g}"
        command += f" --prior.radius {config.prior.radius!r} --prior.fov {config.prior.fov!r}"
    return Description(
        kind=config.kind,
        resolution=config.resolution,
        scale=scale,
        prior=config.prior,
        splits={split: [item.name for item in objects if split_of(item.number) == split] for split in SPLITS},
        licence="CC0-1.0",
        source={"command": command, "seed": config.seed, "settings": settings},
        labels={kind: [item.name for item in objects if item.kind == kind] for kind in kinds if config.kind == "all"},
        light=LightPrior.of(config.light, config.shading),
    )


def _render(config: SynthConfig, item: _Object) -> _Object:
    """Writes the images of one object, then its mesh: the mesh's file says that the object is done."""
    mesh = make(item.kind, config.seed, item.number, config.scale, config.texture)
    images = shade(
        mesh,
        Cameras.of_prior(config.prior, _angles(config, item)),
        config.resolution,
        light=LIGHTS[LightPrior.of(config.light, config.shading).kind],
        shading=config.shading,
        turns=_turns(config, item) if config.light == "random" else None,
    )
    write_images(config.out / "images" / item.name, images)
    mesh.save(_mesh_path(config.out, item))
    return item


def _angles(config: SynthConfig, item: _Object) -> Float[Tensor, "n 2"]:
    return draw_angles(config.prior, config.views, [config.seed, item.number, 1])


def _turns(config: SynthConfig, item: _Object) -> Float[Tensor, " n"]:
    return draw_turns(config.views, [config.seed, item.number, 2])
