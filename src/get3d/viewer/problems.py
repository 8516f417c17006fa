"""The objects of a dataset, grouped by the problems that `get3d check` finds."""

import numpy as np
from jaxtyping import Int

from get3d.datasets.advice import unlike_their_mesh
from get3d.datasets.check import Report
from get3d.datasets.index import Listing

__all__ = ["objects_by_problem"]


def objects_by_problem(report: Report, listing: Listing) -> dict[str, Int[np.ndarray, " k"]]:
    """Indices of the objects with each kind of problem, errors first; kinds that no object has are left out.

    Args:
        report: the result of `get3d.datasets.check.check`.
        listing: the dataset that was checked.
    """
    files = {problem.file for problem in report.errors}
    images = [number for number in range(len(listing.images)) if listing.path(number) in files] if files else []
    meshes = [number for number, name in enumerate(listing.objects) if listing.root / "meshes" / f"{name}.glb" in files]
    found = {"with an error": np.unique([*listing.object_index[images], *meshes])}
    if report.details is not None:
        details = report.details
        by_image = {
            "touching the border": [number for number, one in details.framings.items() if one.touching],
            "with an image that is there twice": [number for group in details.repeated for number in group],
            "with an image unlike its mesh": unlike_their_mesh(listing, details.comparisons),
        }
        found |= {kind: np.unique(listing.object_index[numbers]) for kind, numbers in by_image.items() if numbers}
    return {kind: objects.astype(np.int64) for kind, objects in found.items() if len(objects)}
