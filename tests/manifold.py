"""What a surface must be, checked by counting; used by the tests of everything that makes meshes."""

import torch
from torch import Tensor


def signed_volume(vertices: Tensor, faces: Tensor) -> float:
    """Volume enclosed by faces that look outward, by the divergence theorem."""
    a, b, c = vertices.detach()[faces].double().unbind(1)
    return float((a * torch.linalg.cross(b, c)).sum() / 6)


def area(vertices: Tensor, faces: Tensor) -> float:
    a, b, c = vertices.detach()[faces].double().unbind(1)
    return float(torch.linalg.cross(b - a, c - a).norm(dim=1).sum() / 2)


def assert_closed_manifold(faces: Tensor, vertex_count: int) -> None:
    """No degenerate or duplicate face; every edge has two faces, once in each direction; one fan around a vertex."""
    assert bool(((faces >= 0) & (faces < vertex_count)).all())
    assert len(torch.unique(faces)) == vertex_count
    following = faces.roll(-1, dims=1)
    assert bool((faces != following).all())
    assert len(torch.unique(faces.sort(dim=1).values, dim=0)) == len(faces)
    ahead = faces.flatten() * vertex_count + following.flatten()
    back = following.flatten() * vertex_count + faces.flatten()
    sorted_ahead, order = ahead.sort()
    assert bool((sorted_ahead.diff() > 0).all())
    assert torch.equal(sorted_ahead, back.sort().values)
    # Walking from each corner of a face to the face across the edge that leaves the corner goes once around a vertex.
    # So the number of such cycles is the number of vertices.
    previous = torch.arange(faces.numel(), device=faces.device).view(-1, 3).roll(1, dims=1).flatten()
    across = order[torch.searchsorted(sorted_ahead, back[previous])]
    label = torch.arange(faces.numel(), device=faces.device)
    while True:
        lower = torch.minimum(label, label[across]).scatter_reduce(0, across, label, "amin")
        if torch.equal(lower, label):
            break
        label = lower
    assert len(torch.unique(label)) == vertex_count


def assert_same_points(a: Tensor, b: Tensor, tolerance: float = 1e-5) -> None:
    """Two sets of points are the same, in any order."""
    assert a.shape == b.shape
    distance, nearest = torch.cdist(a.double(), b.double(), compute_mode="donot_use_mm_for_euclid_dist").min(1)
    assert float(distance.max()) < tolerance
    assert len(torch.unique(nearest)) == len(b)
