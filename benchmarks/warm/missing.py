"""What reconstructions of training objects lack, and what 1-NNA-CD it costs.

For each of some training objects: the share of points of its outer surface that are farther than `--far` from its
reconstruction; then 1-NNA-CD against 40 held-out objects of the objects, of their reconstructions, and of the objects
without those points.

    python benchmarks/warm/missing.py --data data/car-round --run runs/car-shown
"""

import argparse
from pathlib import Path

import torch
import warp as wp

from get3d.assets.loading import load_asset
from get3d.checkpoints.model import load, training_objects, training_styles
from get3d.datasets.index import Listing, read
from get3d.meshes import MeshBatch
from get3d.metrics.point_clouds import chamfer_distance, nearest_neighbour_accuracy
from get3d.metrics.sampling import in_unit_cube, sample_outer_surface

POINTS = 2048


@wp.kernel
def closest(mesh: wp.uint64, points: wp.array(dtype=wp.vec3), found: wp.array(dtype=wp.vec3)):
    at = wp.tid()
    query = wp.mesh_query_point_no_sign(mesh, points[at], 2.0)
    found[at] = wp.mesh_eval_position(mesh, query.face, query.u, query.v)


def distances_to(mesh: MeshBatch, points: torch.Tensor) -> torch.Tensor:
    """The distance of each point [p, 3] from the surface of one mesh: [p]."""
    faces = wp.from_torch(mesh.faces.int().flatten().contiguous())
    body = wp.Mesh(wp.from_torch(mesh.vertices.float().contiguous(), dtype=wp.vec3), faces)
    found = wp.zeros(len(points), dtype=wp.vec3, device="cpu")
    inputs = [body.id, wp.from_torch(points.contiguous(), dtype=wp.vec3), found]
    wp.launch(closest, len(points), inputs=inputs, device="cpu")
    return (wp.to_torch(found) - points).norm(dim=1)


def real(data: Path, listing: Listing, name: str) -> MeshBatch:
    """The mesh that an object of a dataset was drawn from, its longest side 1."""
    folder = data / "meshes"
    loaded = load_asset(folder / f"{name}.glb", folder, scale=listing.scale, centred=False, maps=True)
    return in_unit_cube(MeshBatch.from_meshes([loaded.asset.mesh]))


def points_of(mesh: MeshBatch, count: int, random: torch.Generator) -> torch.Tensor:
    return sample_outer_surface(mesh, count, random).positions[0].float()


@torch.no_grad()
def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="dataset with meshes")
    parser.add_argument("--run", type=Path, required=True, help="run that began with a warm-up")
    parser.add_argument("--groups", type=int, default=3, help="groups of 40 training objects")
    parser.add_argument("--far", type=float, default=0.02, help="as a share of the longest side")
    args = parser.parse_args()
    listing, generator = read(args.data), load(args.run, "cpu")
    known = set(training_objects(args.run))
    of_split = {split: [listing.objects[number] for number in listing.splits[split]] for split in ("train", "test")}
    names = [name for name in of_split["train"] if name in known][: 40 * args.groups]
    random = torch.Generator().manual_seed(0)
    held_out = [real(args.data, listing, name) for name in of_split["test"][:40]]
    references = torch.stack([points_of(each, POINTS, random) for each in held_out])
    among = chamfer_distance(references, references)
    styles = training_styles(args.run, names, torch.device("cpu"))
    sets: dict[str, list[torch.Tensor]] = {"objects": [], "reconstructions": [], "objects without what is missing": []}
    missing = 0.0
    for number, name in enumerate(names):
        made = in_unit_cube(generator.meshes(styles[number]))
        points = points_of(real(args.data, listing, name), 2 * POINTS, random)
        near = distances_to(made, points) < args.far
        missing += 1 - float(near.float().mean())
        sets["objects"].append(points[:POINTS])
        sets["reconstructions"].append(points_of(made, POINTS, random))
        sets["objects without what is missing"].append(points[near][:POINTS])
    print(f"missing: {100 * missing / len(names):.1f} % of the points of {len(names)} objects")
    for title, clouds in sets.items():
        groups = torch.stack(clouds).split(40)
        told = [
            nearest_neighbour_accuracy(chamfer_distance(each, each), chamfer_distance(each, references), among)
            for each in groups
        ]
        print(f"{title}: 1-NNA-CD {sum(told) / len(told):.0f} % ({', '.join(f'{value:.0f}' for value in told)})")


if __name__ == "__main__":
    main()
