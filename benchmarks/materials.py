"""Measures what materials a generator has learnt: the numbers and images of docs/materials.md. Each command resumes.

python benchmarks/materials.py light --model RUN [RUN …]
    learnt lights against the studio: mean difference of the irradiance over all normals
python benchmarks/materials.py maps --model RUN --data DATA --image FILE.png [--light FILE.hdr]
    maps of training objects against the true ones, at the pixels of a few views, and an image of them relit
python benchmarks/materials.py samples --model RUN [RUN …] --data DATA [--objects 40]
    random shapes against held-out objects: distance of the histograms of normals, light in textures, roughness
python benchmarks/materials.py ablation --data DATA --out FOLDER [--minutes 12] [--adversarial 0]
    trains `color` and `base_color` for equal processor minutes from the same seed, then as `samples`, with FED
"""

import argparse
import itertools
import json
import math
import time
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from rich.console import Console
from torch import Tensor
from torch.nn.functional import normalize

from get3d.assets.asset import Asset
from get3d.assets.loading import load_asset
from get3d.assets.shading import shade
from get3d.cameras import Cameras
from get3d.checkpoints.model import load, training_objects, training_styles
from get3d.color import bytes_to_unit, linear_to_srgb, signed_to_unit, srgb_to_linear, unit_to_bytes
from get3d.datasets import index
from get3d.evaluation.config import EvaluateConfig
from get3d.evaluation.report import evaluate
from get3d.generation.turntable import write_sheet
from get3d.generator import Generator, Shapes
from get3d.meshes import Mesh, MeshBatch
from get3d.metrics import histogram_distance, light_correlation, normal_histograms
from get3d.metrics.quality import mesh_quality
from get3d.presets import PRESETS
from get3d.render import Fragments, interpolate, rasterize
from get3d.render.environment import read_environment
from get3d.render.lights import EVEN, STUDIO, Light, even_directions
from get3d.render.shade import seen_normals, views_of
from get3d.training.config import TrainConfig, prepare_run
from get3d.training.loop import start, train, train_step
from get3d.training.warmup_step import warmup_step

SIDE, SHOWN = 96, 6
QUIET = Console(quiet=True)


def views(prior, count: int = 4) -> Cameras:
    return Cameras.sample(prior, count, torch.Generator().manual_seed(0))


def lamp(generator: Generator) -> Tensor:
    """Unit vector to the light; where it turns, only its height is the same in all images."""
    direction = (0.0, 1.0, 0.0) if generator.config.light.turned else STUDIO.key_direction
    return normalize(torch.tensor(direction), dim=0)


def seen(meshes: MeshBatch, cameras: Cameras) -> tuple[Fragments, Tensor, Tensor]:
    """What cameras see of one mesh: fragments, points, normals."""
    meshes = meshes.select(torch.zeros(len(cameras), dtype=torch.long))
    fragments = rasterize(meshes, cameras, SIDE)
    points = interpolate(meshes.vertices, meshes.faces, fragments)
    return fragments, points, seen_normals(meshes, fragments, views_of(points, cameras, fragments))


def learnt_maps(shapes: Shapes, cameras: Cameras) -> dict[str, Tensor]:
    """Images [v, c, r, r] of the maps of one shape, 0 to 1, −1 where nothing is seen; the base colour linear."""
    fragments, points, _ = seen(shapes.meshes, cameras)
    values = {name: signed_to_unit(value).clamp(0, 1) for name, value in shapes.material(0)(points).items()}
    values["base_color"] = srgb_to_linear(values["base_color"])
    return {name: fragments.scatter(value, -1.0) for name, value in values.items()}


def true_maps(asset: Asset, cameras: Cameras) -> dict[str, Tensor]:
    """As `learnt_maps`, of an object of the dataset."""
    found = {}
    for name in ("base_color", "roughness", "metallic"):
        shown = asset
        if name != "base_color":
            grey = tuple(texels.expand(-1, -1, 3) for texels in asset.maps[name])
            opaque = (torch.cat([texels, torch.full_like(texels[..., :1], 255)], dim=2) for texels in grey)
            shown = replace(asset, textures=tuple(opaque))
        image = bytes_to_unit(shade(shown, cameras, SIDE, light="even"))
        color = srgb_to_linear(image[:, :3]) if name == "base_color" else image[:, :1]
        found[name] = torch.where(image[:, 3:] > 0.99, color, -1.0)
    return found


def true_asset(data: Path, name: str) -> Asset:
    folder = data / "meshes"
    return load_asset(folder / f"{name}.glb", folder, scale=index.read(data).scale, centred=False, maps=True).asset


def lights(models: list[Path]) -> list[dict]:
    normals, rows = even_directions(4000).float(), []
    truth = STUDIO.diffuse(normals)
    for model in models:
        light: Light = load(model, "cpu").light
        with torch.no_grad():
            found = light.diffuse(normals).expand(-1, 3)
        error = {"even": 1 - truth, "learnt": found - truth}
        both = torch.stack([found.mean(1), truth[:, 0]])
        rows.append(
            {"model": model.name}
            | {name: float(part.abs().mean()) for name, part in error.items()}
            | {"correlation": float(torch.corrcoef(both)[0, 1])}
        )
    return rows


def maps(model: Path, data: Path, objects: int, image: Path | None, light: Path | None) -> list[dict]:
    generator, names = load(model, "cpu"), training_objects(model)[:objects]
    cameras = views(generator.config.cameras)
    pairs: dict[str, list[Tensor]] = {}
    means: dict[str, list[tuple[float, float]]] = {}
    shown: list[dict[str, Tensor]] = []
    baked: list[list[float]] = []
    for name in names:
        styles = training_styles(model, [name], generator.device)
        shapes = generator.shapes(styles)
        asset = true_asset(data, name)
        learnt, true = learnt_maps(shapes, cameras), true_maps(asset, cameras)
        meshes = (shapes.meshes, MeshBatch.from_meshes([Mesh(asset.vertices, asset.faces)]))
        normals = [fragments.scatter(of, 0.0) for fragments, _, of in (seen(mesh, cameras) for mesh in meshes)]
        there = (learnt["base_color"] >= 0).all(1) & (true["base_color"] >= 0).all(1)
        colors = [found["base_color"].movedim(1, -1)[there] for found in (learnt, true)]
        own, real = (of.movedim(1, -1)[there] for of in normals)
        pairings = ((colors[0], own), (colors[0], real), (colors[1], real))
        baked.append([light_correlation(color, of, lamp(generator)) for color, of in pairings])
        for channel, values in learnt.items():
            both = ((values >= 0) & (true[channel] >= 0)).all(1)
            a, b = (part.movedim(1, -1)[both] for part in (values, true[channel]))
            pairs.setdefault(channel, []).append(torch.stack([a, b]))
            means.setdefault(channel, []).append((float(a.mean()), float(b.mean())))
        if len(shown) < SHOWN and image is not None:
            shown.append(relit(shapes, true, learnt, cameras[0], light))
    mean, error = np.mean(baked, axis=0).tolist(), (np.std(baked, axis=0) / math.sqrt(len(baked))).tolist()
    titles = ("light by own normals", "light by true normals", "of the true base colour")
    rows = [{"channel": "base_color"}]
    for title, value, spread in zip(titles, mean, error, strict=True):
        rows[0] |= {title: value, f"± {title}": spread}
    for channel, parts in pairs.items():
        a, b = torch.cat(parts, dim=1).unbind()
        row = {
            "channel": channel,
            "learnt": float(a.mean()),
            "true": float(b.mean()),
            "error": float((a - b).abs().mean()),
            "error of one value": float((b - b.median()).abs().mean()),
            "correlation of objects": float(np.corrcoef(np.array(means[channel]).T)[0, 1]),
        }
        if channel == "roughness":
            row |= {"learnt on glaze": float(a[b < 0.35].mean()), "learnt on clay": float(a[b > 0.6].mean())}
        rows.append(row)
    if image is not None:
        white, titles = torch.full((3, SIDE, SIDE), 255, dtype=torch.uint8), list(shown[0])
        tiles = [tile for title in titles for tile in (white, *(column[title] for column in shown))]
        labels = [label for title in titles for label in (title, *("" for _ in shown))]
        write_sheet(image, torch.stack(tiles), len(shown) + 1, labels)
    return rows


def relit(
    shapes: Shapes, true: dict[str, Tensor], learnt: dict[str, Tensor], camera: Cameras, light: Path | None
) -> dict[str, Tensor]:
    """One column of the image, by title: true and learnt maps, then the shape in lights; [3, r, r] bytes, on white."""

    def on_white(colors: Tensor, where: Tensor) -> Tensor:
        return torch.where(where, unit_to_bytes(colors.expand(3, -1, -1)), torch.tensor(255, dtype=torch.uint8))

    column = {}
    for kind, found in (("true", true), ("learnt", learnt)):
        for name in learnt:
            values = found[name][0]
            colors = linear_to_srgb(values) if name == "base_color" else values
            column[f"{kind}\n{name}"] = on_white(colors, (values >= 0).all(0))
    shown_in: dict[str, Light] = {"even": EVEN, "studio": STUDIO}
    if light is not None:
        shown_in["a map"] = read_environment(light)
    for name, one in shown_in.items():
        images = shapes.draw(camera, SIDE, light=one)
        column[f"in\n{name}"] = on_white(signed_to_unit(images.rgb[0]), images.mask[0] > 0.5)
    return column


Shown = Iterator[tuple[Mesh, dict[str, Tensor]]]


def surfaces(meshes: Shown, cameras: Cameras, direction: Tensor) -> dict[str, Tensor]:
    """Of each shape: the histogram of its normals, its roughness, and how its base colour varies with n · l."""
    found: dict[str, list] = {"normals": [], "roughness": [], "light": []}
    for mesh, of in meshes:
        batch = MeshBatch.from_meshes([mesh])
        found["normals"].append(normal_histograms(batch)[0])
        found["roughness"].append(mesh_quality(mesh).roughness)
        fragments, _, normals = seen(batch, cameras)
        color = of["base_color"].movedim(1, -1).flatten(0, 2)[fragments.pixel]
        known = (color >= 0).all(1)
        found["light"].append(light_correlation(color[known], normals[known], direction))
    return {"normals": torch.stack(found["normals"])} | {
        name: torch.tensor(found[name], dtype=torch.float64) for name in ("roughness", "light")
    }


def samples(models: list[Path], data: Path, objects: int) -> list[dict]:
    listing = index.read(data)

    def generated(generator: Generator, cameras: Cameras) -> Shown:
        for seed in range(objects):
            shapes = generator.shapes(generator.sample_latents(1, seed), psi=1.0)
            if not bool(shapes.empty):
                yield shapes.meshes[0], learnt_maps(shapes, cameras)

    def real(split: str, cameras: Cameras) -> Shown:
        for number in listing.splits[split][:objects]:
            asset = true_asset(data, listing.objects[number])
            yield Mesh(asset.vertices, asset.faces), true_maps(asset, cameras)

    rows, held_out = [], None
    for model in models:
        generator = load(model, "cpu")
        cameras, direction = views(generator.config.cameras), lamp(generator)
        if held_out is None:
            held_out = surfaces(real("test", cameras), cameras, direction)
            others = surfaces(real("train", cameras), cameras, direction)
            rows.append(said("training objects", others, held_out) | {"materials": "true"})
        found = surfaces(generated(generator, cameras), cameras, direction)
        rows.append(said(model.name, found, held_out) | {"materials": generator.config.materials})
    return rows


def said(name: str, found: dict[str, Tensor], held_out: dict[str, Tensor]) -> dict:
    light = found["light"]
    return {
        "shapes": name,
        "normals": histogram_distance(found["normals"], held_out["normals"]),
        "light": float(light.mean()),
        "± light": float(light.std() / math.sqrt(len(light))),
        "roughness": float(found["roughness"].mean()),
        "real roughness": float(held_out["roughness"].mean()),
    }


def steps_of(config: TrainConfig, adversarial: bool) -> Iterator[float]:
    """Takes steps of a phase without end, and gives the processor seconds of each."""
    run = prepare_run(config)
    state = start(run.config, len(run.images.objects))
    hulls = run.hulls()
    known = run.images.object_batches(config.batch, config.warmup.views, config.seed)
    batches = run.images.batches(config.batch, config.seed)
    with closing(known), closing(batches):
        for number in itertools.count():
            batch, began = next(batches if adversarial else known), time.process_time()
            if adversarial:
                # A step with R1 would count as often as without.
                state.cur_nimg = config.batch * (number * config.objective.r1_interval + 1)
                train_step(state, batch, replace(run.config, warmup_kimg=0.0))
            else:
                warmup_step(state, batch, run.config, hulls=hulls)
            yield time.process_time() - began


def lengths(configs: list[TrainConfig], minutes: float, adversarial: float) -> list[dict[str, float]]:
    """The kimg of both phases in so many processor minutes; steps are measured in turn, on the same machine for all."""
    streams = [steps_of(config, phase) for config in configs for phase in (False, True)]
    taken = np.median([[next(stream) for stream in streams] for _ in range(32)][8:], axis=0)
    found = []
    for config, (first, second) in zip(configs, taken.reshape(-1, 2), strict=True):
        warmup, game = (
            round(60 * length / each) * config.batch / 1000
            for length, each in ((minutes, first), (adversarial, second))
        )
        found.append({"warmup_kimg": warmup, "kimg": warmup + game})
    return found


def ablation(data: Path, out: Path, minutes: float, adversarial: float, objects: int) -> list[dict]:
    out.mkdir(parents=True, exist_ok=True)
    base = PRESETS["demo"].config
    configs = [
        replace(
            base, data=data, out=out / materials, device="cpu", generator=replace(base.generator, materials=materials)
        )
        for materials in ("color", "base_color")
    ]
    plan = out / "lengths.json"
    if not plan.is_file():
        speeds = [replace(config, out=out / "speed") for config in configs]
        plan.write_text(json.dumps(lengths(speeds, minutes, adversarial)))
    for config, length in zip(configs, json.loads(plan.read_text()), strict=True):
        train(replace(config, snapshot_kimg=length["kimg"], metrics=("swd",), **length), Console())
    folders = [config.out for config in configs]
    report = evaluate(
        EvaluateConfig(
            tuple(map(str, folders)),
            data,
            out / "evaluation",
            images=256,
            distances=("cd",),
            textures=0,
            references=objects,
            train_objects=64,
            device="cpu",
        ),
        QUIET,
    )
    rows = samples(folders, data, objects)
    for row, model in zip(rows[1:], report["models"], strict=True):
        found = model["metrics"]
        names = ("fed", "1nna_cd", "watertight_single_body")
        row["report"] = {name: found[name]["value"] for name in names if name in found}
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=("light", "maps", "samples", "ablation"))
    parser.add_argument("--model", type=Path, nargs="+")
    parser.add_argument("--data", type=Path)
    parser.add_argument("--out", type=Path)
    parser.add_argument("--image", type=Path)
    parser.add_argument("--light", type=Path, help="a map of light for --image")
    parser.add_argument("--objects", type=int, default=40)
    parser.add_argument("--minutes", type=float, default=12.0, help="processor minutes of the warm-up")
    parser.add_argument("--adversarial", type=float, default=0.0, help="processor minutes of the adversarial phase")
    args = parser.parse_args()
    torch.set_num_threads(1)
    if args.what == "ablation":
        rows = ablation(args.data, args.out, args.minutes, args.adversarial, args.objects)
    else:
        with torch.no_grad():
            if args.what == "light":
                rows = lights(args.model)
            elif args.what == "maps":
                rows = maps(args.model[0], args.data, args.objects, args.image, args.light)
            else:
                rows = samples(args.model, args.data, args.objects)
    for row in rows:
        print(json.dumps({key: round(value, 4) if isinstance(value, float) else value for key, value in row.items()}))


if __name__ == "__main__":
    main()
