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

from get3d.datasets import index
from get3d.datasets.ground_truth import read_mesh
from get3d.fitting.config import ReconstructConfig
from get3d.meshes import Mesh, MeshBatch
from get3d.sampling import sample_surface

POINTS = 30_000


def points_of(mesh: Mesh) -> np.ndarray:
    return sample_surface(MeshBatch.from_meshes([mesh]), POINTS, torch.Generator().manual_seed(0)).positions[0].numpy()


def distances(found: Mesh, true: Mesh) -> dict[str, float]:
    """Chamfer distance (×10³, mean squares, both directions) and F-score at 1 %, the longest side being 1."""
    longest = float((true.vertices.amax(0) - true.vertices.amin(0)).max())
    a, b = points_of(found) / longest, points_of(true) / longest
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
    facts = reconstruct(ReconstructConfig(data, name, out=out / name, device="cpu", **options), Console(quiet=True))
    found = read_mesh(out / name / f"{name}.glb")
    return {
        "object": name,
        **distances(found, read_mesh(data / "meshes" / f"{name}.glb")),
        "psnr_held_out": facts["held_out"]["psnr"],
        "psnr_fitted": facts["fitted"]["psnr"],
        "iou_held_out": facts["held_out"]["iou"],
        "faces": facts["faces"],
        "watertight": facts["watertight"],
        "steps": facts["steps"],
        "seconds": time.monotonic() - began,
        "cpu_seconds": time.process_time() - cpu,
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
    parser.add_argument("--options", type=json.loads, default={}, help="JSON of further options")
    args = parser.parse_args()
    listing = index.read(args.data)
    if args.what == "reconstruct":
        names = listing.objects[: args.objects]
        rows = []
        for name in names:
            options = {key: tuple(v) if isinstance(v, list) else v for key, v in args.options.items()}
            rows.append(reconstructed(args.data, name, args.out, options))
            printed(rows, args.out / "reconstruct.json")


if __name__ == "__main__":
    main()
