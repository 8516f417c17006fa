"""Measures `get3d fit` and `get3d reconstruct`: the numbers of docs/fitting.md.

python benchmarks/fitting.py reconstruct --out measured     # 10 procedural objects and 5 pieces of furniture
python benchmarks/fitting.py fit --out measured             # 20 objects of each kind, and pieces of furniture
python benchmarks/fitting.py table --out measured           # the means so far, as Markdown

Datasets are made in the folder first. Each result is a line of reconstruct.jsonl or fit.jsonl there. The same command
again goes on with what is missing. The furniture is that of Debian's package sweethome3d-furniture; without it, it is
left out. `--data` and `--model` measure on other datasets.
"""

import argparse
import json
import time
import zipfile
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path

import numpy as np
import torch
from rich.console import Console
from scipy.spatial import cKDTree
from torch.nn.functional import max_pool2d

from get3d.authoring.from_meshes.command import render_models
from get3d.authoring.from_meshes.config import RenderConfig
from get3d.authoring.procedural import KINDS, SynthConfig, synthesize
from get3d.cameras import Cameras
from get3d.checkpoints.model import load
from get3d.datasets import index
from get3d.datasets.ground_truth import read_mesh
from get3d.datasets.loader import decode_listed, to_network
from get3d.export import without_small_components
from get3d.files import InputError
from get3d.fitting.comparison import mask_iou
from get3d.fitting.config import FitConfig, ReconstructConfig
from get3d.fitting.fit import fit
from get3d.fitting.optimisation import Reconstruction
from get3d.fitting.reconstruct import held_out, read_object, reconstruct
from get3d.generation.shape_list import read_shape_list
from get3d.meshes import Mesh, MeshBatch
from get3d.render import interpolate, rasterize
from get3d.sampling import sample_surface

POINTS, DEPTH = 30_000, 384
HULL_GRID = 128
"""Of the visual hull that reconstructions are compared with."""

FURNITURE = Path("/usr/share/sweethome3d/furniture")
RECONSTRUCTED = (
    "Scopia/teapot",
    "Scopia/armchair2",
    "Scopia/woman_shoes",
    "KatorLegaz/pedestal-vase-lamp",
    "BlendSwap-CC-0/chairWithCushion",
)
FITTED = (
    "Scopia/chair",
    "Scopia/chair3",
    "Scopia/chair4",
    "Scopia/armchair",
    "Scopia/plastic_chair",
    "Scopia/white_kitchen_chair",
    "KatorLegaz/cafe-chair",
    "KatorLegaz/dining-chair",
    "KatorLegaz/mid-century-chair",
    "BlendSwap-CC-0/chairWithCushion",
)
"""Pieces of furniture: collection and name."""


def points_of(mesh: Mesh) -> np.ndarray:
    return sample_surface(MeshBatch.from_meshes([mesh]), POINTS, torch.Generator().manual_seed(0)).positions[0].numpy()


def seen(points: np.ndarray, mesh: Mesh, cameras: Cameras) -> np.ndarray:
    """Which points of a mesh's surface are visible to a camera: nothing lies in front of them in its depth image."""
    found = np.zeros(len(points), dtype=bool)
    places = torch.from_numpy(points)
    for number in range(len(cameras)):
        camera = cameras[number]
        fragments = rasterize(MeshBatch.from_meshes([mesh]), camera, DEPTH)
        at = interpolate(mesh.vertices, mesh.faces, fragments)
        depth = torch.full((DEPTH * DEPTH,), torch.inf)
        depth[fragments.pixel] = (at - camera.positions).norm(dim=1)
        screen = camera.project(places, torch.zeros(len(places), dtype=torch.long), DEPTH)
        column, row = screen[:, :2].long().clamp(0, DEPTH - 1).unbind(1)
        # On slanted faces the depth changes within a pixel.
        far = max_pool2d(torch.where(depth.isinf(), -1.0, depth).view(1, 1, DEPTH, DEPTH), 3, 1, 1).flatten()
        own = (places - camera.positions).norm(dim=1)
        found |= (own <= far[row * DEPTH + column] + 1e-3).numpy()
    return found


def distances(found: Mesh, true: Mesh, cameras: Cameras) -> dict[str, float]:
    """Chamfer distance (×10³, mean squares, both directions) and F-score at 1 %, the longest side being 1.

    Both are of the surface that the cameras see. What no image shows, such as the underside of a seat or the inside,
    cannot be reconstructed.
    """
    longest = float((true.vertices.amax(0) - true.vertices.amin(0)).max())
    a, b = (part[seen(part, mesh, cameras)] / longest for part, mesh in ((points_of(m), m) for m in (found, true)))
    to_true, to_found = cKDTree(b).query(a)[0], cKDTree(a).query(b)[0]
    precision, recall = float((to_true < 0.01).mean()), float((to_found < 0.01).mean())
    return {
        "chamfer_1e3": 1e3 * float((to_true**2).mean() + (to_found**2).mean()),
        "f_score": 2 * precision * recall / max(precision + recall, 1e-9),
        "precision": precision,
        "recall": recall,
    }


def hull(data: Path, name: str, found: Callable[[Mesh], dict[str, float]]) -> dict[str, float]:
    """The same measures of the visual hull of the same images, which a reconstruction starts from."""
    config = ReconstructConfig(data, name, grids=(HULL_GRID,), device="cpu")
    views = read_object(config)
    held = held_out(len(views), config.held_out)
    fitted = torch.tensor([row for row in range(len(views)) if row not in held])
    with torch.no_grad():
        start = Reconstruction(views, fitted, config)
        shapes = start.shapes()
        (mesh,) = without_small_components(shapes.meshes, 0.005).split()
        rows = torch.tensor(held)
        iou = float(mask_iou(shapes.draw(views.cameras(rows), views.resolution), views.real(rows)).mean())
    measured = found(mesh)
    return {
        "hull_chamfer_1e3": measured["chamfer_1e3"],
        "hull_f_score": measured["f_score"],
        "hull_iou_held_out": iou,
    }


def reconstructed(data: Path, name: str, out: Path, options: dict) -> dict:
    began, cpu = time.monotonic(), time.process_time()
    report = reconstruct(ReconstructConfig(data, name, out=out, device="cpu", **options), Console(quiet=True))
    seconds, cpu = time.monotonic() - began, time.process_time() - cpu
    listing = index.read(data)
    rows = np.flatnonzero(listing.object_index == listing.objects.index(name))
    cameras = Cameras.of_prior(listing.prior, torch.from_numpy(listing.angles[rows]).float())
    true = read_mesh(data / "meshes" / f"{name}.glb")

    def measured(mesh: Mesh) -> dict[str, float]:
        return distances(mesh, true, cameras)

    return {
        **measured(read_mesh(out / f"{name.replace('/', '-')}.glb")),
        "psnr_held_out": report["held_out"]["psnr"],
        "psnr_fitted": report["fitted"]["psnr"],
        "iou_held_out": report["held_out"]["iou"],
        **hull(data, name, measured),
        "faces": report["faces"],
        "watertight": report["watertight"],
        "steps": report["steps"],
        "seconds": seconds,
        "cpu_seconds": cpu,
    }


def fitted(model: str, data: Path, name: str, out: Path, known: bool, options: dict) -> dict:
    """A fit to the one of the object's images that sees most of it; the others are held out.

    With an estimated camera, the held-out cameras are turned as the estimated one is: which way is the front of an
    object of another collection is not known.
    """
    listing = index.read(data)
    rows = np.flatnonzero(listing.object_index == listing.objects.index(name))
    masks = [decode_listed(listing, int(row), listing.resolution)[3] for row in rows]
    first = int(np.argmax([(mask > 127).mean() for mask in masks]))
    config = FitConfig(
        model,
        out,
        images=(listing.path(int(rows[first])),),
        cameras=data / "cameras.csv" if known else None,
        video="none",
        device="cpu",
        name=Path(name).name,
        **options,
    )
    began, cpu = time.monotonic(), time.process_time()
    entry = fit(config, Console(quiet=True))
    seconds, cpu = time.monotonic() - began, time.process_time() - cpu
    generator = load(entry.get("model", model), "cpu")
    angles = torch.from_numpy(listing.angles[rows]).float()
    error = (entry["angles"][0][0] - float(np.degrees(listing.angles[rows[first], 0])) + 180) % 360 - 180
    styles = read_shape_list(out / "shapes.json", generator).latents
    others = [row for row in range(len(rows)) if row != first]
    real = to_network(torch.from_numpy(np.stack([decode_listed(listing, int(r), listing.resolution) for r in rows])))

    def held(turn: float) -> float:
        turned = angles[others] + torch.tensor([np.radians(turn), 0.0], dtype=angles.dtype)
        with torch.no_grad():
            drawn = generator.shapes(styles).draw(Cameras.of_prior(listing.prior, turned), listing.resolution)
        return float(mask_iou(drawn, real[others]).mean())

    return {
        "iou": entry["iou"][0],
        "psnr": entry["psnr"][0],
        "iou_held_out": held(0.0),
        "iou_held_out_turned": held(error),
        "azimuth_error": abs(error),
        "azimuth_within_10": abs(error) <= 10,
        "seconds": seconds,
        "cpu_seconds": cpu,
    }


def furniture(out: Path, pieces: Sequence[str], views: int, resolution: int, scale: float) -> Path | None:
    """A dataset of some pieces of furniture; None without the package."""
    if not FURNITURE.is_dir():
        print(f"{FURNITURE} is not there: install Debian's package sweethome3d-furniture for real models")
        return None
    assets = out.with_name(f"{out.name}-assets")
    if not (out / "dataset.json").exists():
        for piece in pieces:
            collection, name = piece.split("/")
            with zipfile.ZipFile(FURNITURE / f"{collection}.sh3f") as content:
                for member in content.namelist():
                    if f"/{name}/" in member and not member.endswith("/"):
                        # Its own folder, since names come in several collections.
                        path = assets / f"{collection}-{name}" / Path(member).name
                        path.parent.mkdir(parents=True, exist_ok=True)
                        path.write_bytes(content.read(member))
        config = RenderConfig(assets, out, views=views, resolution=resolution, scale=scale, kind="furniture", workers=1)
        render_models(config, Console(quiet=True))
    return out


def synthetic(out: Path, kind: str, shapes: int, views: int, resolution: int) -> Path:
    """A dataset of objects that no bundled model has seen."""
    config = SynthConfig(kind, out, shapes=shapes, views=views, resolution=resolution, seed=1, workers=1)
    if not (out / "dataset.json").exists():
        synthesize(config, Console(quiet=True))
    return out


def for_reconstruction(out: Path) -> Iterator[tuple[Path, str]]:
    """The objects: a dataset, and a name."""
    for kind, count in (("chair", 4), ("car", 3), ("vase", 3)):
        data = synthetic(out / f"{kind}-256", kind, count, 50, 256)
        yield from ((data, name) for name in index.read(data).objects)
    data = furniture(out / "furniture-256", RECONSTRUCTED, 50, 256, 0.9)
    if data is not None:
        yield from ((data, name) for name in index.read(data).objects)


def for_fits(out: Path) -> Iterator[tuple[str, Path, str, bool]]:
    """The fits: model, dataset, name, and whether the camera is known; in turn, so that all kinds are there early."""
    sets = [(kind, synthetic(out / f"{kind}-64", kind, 20, 20, 64), (True, False)) for kind in KINDS]
    chairs = furniture(out / "chairs-64", FITTED, 20, 64, KINDS["chair"].scale)
    if chairs is not None:
        sets.append(("chair", chairs, (False,)))
    for number in range(20):
        for model, data, ways in sets:
            names = index.read(data).objects
            if number < len(names):
                yield from ((model, data, names[number], known) for known in ways)


def read_rows(path: Path) -> list[dict]:
    # A line that was cut off when the command was stopped is made again.
    return [json.loads(line) for line in path.read_text().splitlines() if line.endswith("}")] if path.exists() else []


def measure(path: Path, key: dict, make: Callable[[], dict]) -> None:
    """Adds a row, unless it is there."""
    if any(key.items() <= row.items() for row in read_rows(path)):
        return
    try:
        row = key | make()
    except InputError as error:
        row = key | {"refused": str(error)}
    with path.open("a") as file:
        file.write(json.dumps(row) + "\n")
    print(
        " ".join(
            f"{name} {value:.4g}" if isinstance(value, float) else f"{name} {value}" for name, value in row.items()
        )
    )


SHOWN = {
    "reconstruct": {
        "chamfer_1e3": ".3f",
        "f_score": ".3f",
        "psnr_held_out": ".1f",
        "iou_held_out": ".3f",
        "hull_chamfer_1e3": ".3f",
        "hull_f_score": ".3f",
        "hull_iou_held_out": ".3f",
        "watertight": ".0%",
        "cpu_seconds": ".0f",
    },
    "fit": {
        "iou": ".3f",
        "iou_held_out": ".3f",
        "iou_held_out_turned": ".3f",
        "psnr": ".1f",
        "azimuth_within_10": ".0%",
        "cpu_seconds": ".0f",
    },
}


def table(out: Path) -> None:
    """Prints the means of what is measured so far, and each reconstruction."""
    for what, columns in SHOWN.items():
        rows = [row for row in read_rows(out / f"{what}.jsonl") if "refused" not in row]
        if not rows:
            continue
        groups: dict[str, list[dict]] = {}
        for row in rows:
            camera = f", {row['camera']}" if "camera" in row else ""
            groups.setdefault(f"{row['data']}{camera}", []).append(row)
            if what == "reconstruct":
                groups[f"{row['data']}/{row['object']}"] = [row]
        print(f"\n| {what} | objects | {' | '.join(columns)} |\n|---|{'---|' * (1 + len(columns))}")
        for name, members in sorted(groups.items()):
            means = [format(float(np.mean([row[column] for row in members])), how) for column, how in columns.items()]
            print(f"| {name} | {len(members)} | {' | '.join(means)} |")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=("fit", "reconstruct", "table"))
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--data", type=Path, help="a dataset, in place of those that are made")
    parser.add_argument("--objects", type=int, default=10, help="of --data; fit takes them from its test objects")
    parser.add_argument("--model", help="of fit, with --data")
    parser.add_argument("--unknown", action="store_true", help="estimate the cameras of fit, with --data")
    parser.add_argument("--options", type=json.loads, default={}, help="JSON of further options")
    args = parser.parse_args()
    args.out.mkdir(parents=True, exist_ok=True)
    options = {key: tuple(value) if isinstance(value, list) else value for key, value in args.options.items()}
    listing = None if args.data is None else index.read(args.data)
    path = args.out / f"{args.what}.jsonl"
    if args.what == "reconstruct":
        names = [] if listing is None else [(args.data, name) for name in listing.objects[: args.objects]]
        for data, name in names or for_reconstruction(args.out):
            to = args.out / "reconstructed" / data.name / name
            measure(path, {"data": data.name, "object": name}, partial(reconstructed, data, name, to, options))
    elif args.what == "fit":
        own = [] if listing is None else [listing.objects[number] for number in listing.splits["test"][: args.objects]]
        for model, data, name, known in [(args.model, args.data, n, not args.unknown) for n in own] or for_fits(
            args.out
        ):
            key = {"model": model, "data": data.name, "object": name, "camera": "known" if known else "estimated"}
            to = args.out / "fitted" / key["camera"] / data.name / name
            measure(path, key, partial(fitted, model, data, name, to, known, options))
    table(args.out)


if __name__ == "__main__":
    main()
