"""Measures `get3d fit` and `get3d reconstruct` on procedural objects: the numbers of docs/fitting.md.

python benchmarks/fitting.py reconstruct --data data/chair-256 --objects 10 --out measured
python benchmarks/fitting.py fit --model runs/chair --data data/chair --objects 20 --out measured [--unknown]
"""

import argparse
import json
import time
from pathlib import Path

import numpy as np
import torch
from rich.console import Console
from scipy.spatial import cKDTree
from torch.nn.functional import max_pool2d

from get3d.cameras import Cameras
from get3d.checkpoints.model import load
from get3d.datasets import index
from get3d.datasets.ground_truth import read_mesh
from get3d.datasets.loader import decode_listed, to_network
from get3d.fitting.comparison import mask_iou
from get3d.fitting.config import FitConfig, ReconstructConfig
from get3d.generation.shape_list import read_shape_list
from get3d.meshes import Mesh, MeshBatch
from get3d.render import interpolate, rasterize
from get3d.sampling import sample_surface

POINTS, DEPTH = 30_000, 384


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


def reconstructed(data: Path, name: str, out: Path, options: dict) -> dict:
    from get3d.fitting.reconstruct import reconstruct

    began, cpu = time.monotonic(), time.process_time()
    report = reconstruct(ReconstructConfig(data, name, out=out / name, device="cpu", **options), Console(quiet=True))
    seconds, cpu = time.monotonic() - began, time.process_time() - cpu
    listing = index.read(data)
    rows = np.flatnonzero(listing.object_index == listing.objects.index(name))
    cameras = Cameras.of_prior(listing.prior, torch.from_numpy(listing.angles[rows]).float())
    found = read_mesh(out / name / f"{name}.glb")
    return {
        "object": name,
        **distances(found, read_mesh(data / "meshes" / f"{name}.glb"), cameras),
        "psnr_held_out": report["held_out"]["psnr"],
        "psnr_fitted": report["fitted"]["psnr"],
        "iou_held_out": report["held_out"]["iou"],
        "faces": report["faces"],
        "watertight": report["watertight"],
        "steps": report["steps"],
        "seconds": seconds,
        "cpu_seconds": cpu,
    }


def fitted(model: str, data: Path, name: str, out: Path, known: bool, options: dict) -> dict:
    from get3d.fitting.fit import fit

    listing = index.read(data)
    rows = np.flatnonzero(listing.object_index == listing.objects.index(name))
    # Of the dataset's random views, the one that sees most of the object.
    masks = [decode_listed(listing, int(row), listing.resolution)[3] for row in rows]
    first = int(np.argmax([(mask > 127).mean() for mask in masks]))
    config = FitConfig(
        model,
        out / name,
        images=(listing.path(int(rows[first])),),
        cameras=data / "cameras.csv" if known else None,
        video="none",
        device="cpu",
        name=name,
        **options,
    )
    began, cpu = time.monotonic(), time.process_time()
    entry = fit(config, Console(quiet=True))
    seconds, cpu = time.monotonic() - began, time.process_time() - cpu
    generator = load(entry.get("model", model), "cpu")
    angles = torch.from_numpy(listing.angles[rows]).float()
    styles = read_shape_list(out / name / "shapes.json", generator).latents
    with torch.no_grad():
        drawn = generator.shapes(styles).draw(Cameras.of_prior(listing.prior, angles), listing.resolution)
    real = to_network(torch.from_numpy(np.stack([decode_listed(listing, int(r), listing.resolution) for r in rows])))
    others = [row for row in range(len(rows)) if row != first]
    error = (entry["angles"][0][0] - float(np.degrees(listing.angles[rows[first], 0])) + 180) % 360 - 180
    return {
        "object": name,
        "iou": entry["iou"][0],
        "psnr": entry["psnr"][0],
        "iou_held_out": float(mask_iou(drawn, real)[others].mean()),
        "azimuth_error": abs(error),
        "azimuth_within_10": abs(error) <= 10,
        "seconds": seconds,
        "cpu_seconds": cpu,
    }


def printed(rows: list[dict], path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(rows, indent=1))
    names = [name for name, value in rows[0].items() if isinstance(value, int | float)]
    for row in rows:
        print(row["object"], *(f"{name} {float(row[name]):.4g}" for name in names))
    print("mean", *(f"{name} {np.mean([row[name] for row in rows]):.4g}" for name in names))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("what", choices=("fit", "reconstruct"))
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--objects", type=int, default=10)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--model", help="of fit")
    parser.add_argument("--unknown", action="store_true", help="estimate the cameras of fit")
    parser.add_argument("--options", type=json.loads, default={}, help="JSON of further options")
    args = parser.parse_args()
    listing = index.read(args.data)
    options = {key: tuple(value) if isinstance(value, list) else value for key, value in args.options.items()}
    rows = []
    if args.what == "reconstruct":
        for name in listing.objects[: args.objects]:
            rows.append(reconstructed(args.data, name, args.out, options))
            printed(rows, args.out / "reconstruct.json")
        return
    for number in listing.splits["test"][: args.objects]:
        rows.append(fitted(args.model, args.data, listing.objects[number], args.out, not args.unknown, options))
        printed(rows, args.out / "fit.json")


if __name__ == "__main__":
    main()
