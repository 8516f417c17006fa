"""Reads a whole dataset and says what is wrong with each of its files: `get3d check`."""

import os
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from jaxtyping import UInt8

from get3d.cameras import Cameras
from get3d.data.dataset import decode
from get3d.data.ground_truth import read_mesh
from get3d.data.layout import Listing, read
from get3d.data.problems import Problem, quick_problems
from get3d.files import InputError
from get3d.meshes import Mesh, MeshBatch
from get3d.render import rasterize

__all__ = ["Report", "check"]

_SHOWN = 20
"""Problems of which the report's text gives each; the others are counted."""
_EDGE = 8
"""Alpha up to this, of 255, counts as nothing: some renderers leave a trace of noise."""
_COMPARED = 12
_AGREEMENT = 0.9
"""How well silhouettes must agree with the meshes (intersection over union), as the mean over an object's views."""


@dataclass(frozen=True)
class Report:
    """What a dataset holds, and what is wrong with it.

    Attributes:
        root: the dataset folder.
        pictures: how many there are.
        objects: how many there are.
        splits: objects in each split.
        resolution: side of the pictures in pixels; 0 where it cannot be told.
        problems: what keeps the dataset from being used.
        touching: pictures whose object touches the border; training works, but parts of the shape are never seen.
        agreement: mean intersection over union of silhouettes and ground-truth meshes; None where there are no meshes.
    """

    root: Path
    pictures: int
    objects: int
    splits: dict[str, int]
    resolution: int
    problems: list[Problem]
    touching: int
    agreement: float | None

    @property
    def usable(self) -> bool:
        """Whether one can train on it."""
        return not self.problems

    def __str__(self) -> str:
        splits = ", ".join(f"{split} {count}" for split, count in self.splits.items())
        size = f"{self.resolution} × {self.resolution} pixels"
        lines = [f"{self.root}: {self.pictures} pictures of {self.objects} objects ({splits}), {size}"]
        if self.touching:
            share = 100 * self.touching / self.pictures
            lines.append(f"{self.touching} pictures ({share:.1f} %) show an object that touches the border")
        if self.agreement is not None:
            lines.append(f"silhouettes agree with the meshes: intersection over union {self.agreement:.3f}")
        lines += [problem.message for problem in self.problems[:_SHOWN]]
        if len(self.problems) > _SHOWN:
            lines.append(f"and {len(self.problems) - _SHOWN} more problems")
        lines.append("usable" if self.usable else f"not usable: {len(self.problems)} problems")
        return "\n".join(lines)


def check(root: Path | str, splits: Path | str | None = None) -> Report:
    """Decodes every picture of a dataset, and compares some with the meshes they show.

    Args:
        root: the dataset folder, in our layout or the published one.
        splits: folder with train.txt, val.txt and test.txt, in place of the dataset's own splits.
    """
    root = Path(root)
    try:
        listing = read(root, splits)
        resolution, problems = quick_problems(listing)
    except InputError as error:
        return Report(root, 0, 0, {}, 0, [Problem(root, str(error))], 0, None)
    known = {problem.file for problem in problems}
    touching = 0
    with ThreadPoolExecutor(os.cpu_count() or 1) as pool:
        numbers = [number for number in range(len(listing.pictures)) if listing.path(number) not in known]
        for found in pool.map(lambda number: _picture_problem(listing.path(number), resolution), numbers):
            if isinstance(found, Problem):
                problems.append(found)
            else:
                touching += found
    agreement, disagreeing = None, list[Problem]()
    if not problems:
        agreement, disagreeing = _compare_with_meshes(listing, resolution)
    return Report(
        root=root,
        pictures=len(listing.pictures),
        objects=len(listing.objects),
        splits={split: len(objects) for split, objects in listing.splits.items()},
        resolution=resolution,
        problems=problems + disagreeing,
        touching=touching,
        agreement=agreement,
    )


def _picture_problem(path: Path, resolution: int) -> Problem | bool:
    """What is wrong with a picture; where nothing is, whether its object touches the border."""
    try:
        alpha = decode(path, resolution)[3]
    except InputError as error:
        return Problem(path, str(error))
    if alpha.max() <= _EDGE:
        return Problem.found(path, "its alpha is empty, nothing is seen", "make it again, or remove it and its camera")
    if alpha.min() > _EDGE:
        return Problem.found(path, "its alpha is full, all is object", "save it with the background transparent")
    border = np.concatenate([alpha[[0, -1]].ravel(), alpha[:, [0, -1]].ravel()])
    return bool(border.max() > _EDGE)


def _compare_with_meshes(listing: Listing, resolution: int) -> tuple[float | None, list[Problem]]:
    """Mean agreement of alpha with the silhouettes of a few objects' meshes, and objects where it is poor."""
    overlaps, problems = [], []
    paths = [listing.root / "meshes" / f"{name}.glb" for name in listing.objects]
    present = [number for number, path in enumerate(paths) if path.is_file()]
    for number in present[:: max(1, len(present) // _COMPARED)][:_COMPARED]:
        try:
            mesh = read_mesh(paths[number])
        except InputError as error:
            problems.append(Problem(paths[number], str(error)))
            continue
        views = np.flatnonzero(listing.object_index == number)[:_COMPARED].tolist()
        alpha = np.stack([decode(listing.path(view), resolution)[3] for view in views])
        overlap = _overlap(mesh, listing, views, alpha)
        overlaps.append(overlap)
        if overlap < _AGREEMENT:
            what = f"its silhouettes agree poorly with the pictures of {listing.objects[number]} ({overlap:.2f})"
            mend = "angles, radius, field of view or the mesh's axes follow other conventions, see docs/datasets.md"
            problems.append(Problem.found(paths[number], what, mend))
    return (float(np.mean(overlaps)) if overlaps else None), problems


def _overlap(mesh: Mesh, listing: Listing, views: list[int], alpha: UInt8[np.ndarray, "v r r"]) -> float:
    """Mean intersection over union of a mesh's silhouettes and the alpha of its pictures."""
    angles = torch.from_numpy(listing.angles[views]).float()
    cameras = Cameras(angles[:, 0], angles[:, 1], listing.prior.radius, float(np.radians(listing.prior.fov)))
    batch = MeshBatch.from_meshes([mesh]).select(torch.zeros(len(cameras), dtype=torch.long))
    seen = rasterize(batch, cameras, alpha.shape[-1]).covered[:, 0].numpy()
    shown = alpha > 127
    both, either = (seen & shown).sum(axis=(1, 2)), (seen | shown).sum(axis=(1, 2))
    return float((both / np.maximum(either, 1)).mean())
