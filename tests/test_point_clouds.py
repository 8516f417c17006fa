import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial import cKDTree

from get3d.metrics import chamfer_distance, coverage, minimum_matching_distance, nearest_neighbour_accuracy


def clouds(n: int, points: int, seed: int, spread: float = 1.0) -> torch.Tensor:
    """Points on the surfaces of boxes of many proportions."""
    generator = torch.Generator().manual_seed(seed)
    found = torch.rand(n, points, 3, generator=generator) - 0.5
    axis = torch.randint(0, 3, (n, points, 1), generator=generator)
    found.scatter_(2, axis, torch.randint(0, 2, axis.shape, generator=generator) - 0.5)
    return spread * found * (0.2 + torch.rand(n, 1, 3, generator=generator))


def reference(a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
    """By k-d trees, in double precision."""

    def one_way(x, y):
        return float((cKDTree(y.cpu().double()).query(x.cpu().double())[0] ** 2).mean())

    return torch.tensor([[one_way(x, y) + one_way(y, x) for y in b] for x in a], dtype=torch.float64)


def test_chamfer_is_that_of_a_kd_tree(device):
    a, b = clouds(4, 2048, 0).to(device), clouds(3, 2048, 1).to(device)
    found = chamfer_distance(a, b)
    assert (found.cpu() - reference(a, b)).abs().max() < 1e-7
    assert found.shape == (4, 3)


@settings(max_examples=30)
@given(st.integers(1, 70), st.integers(1, 70), st.integers(0, 2**32), st.booleans())
def test_chamfer_of_any_number_of_points(p, q, seed, coarse):
    a, b = clouds(2, p, seed), clouds(3, q, seed + 1)
    if coarse:
        # Many points at the same place.
        a, b = (a * 4).round() / 4, (b * 4).round() / 4
    found = chamfer_distance(a, b)
    assert (found - reference(a, b)).abs().max() < 1e-6
    torch.testing.assert_close(found, chamfer_distance(b, a).T)
    assert (chamfer_distance(a, a).diagonal() == 0).all()


def test_chamfer_of_no_clouds_is_an_empty_matrix():
    assert chamfer_distance(clouds(0, 5, 0), clouds(3, 5, 0)).shape == (0, 3)


@pytest.mark.parametrize(
    ("b", "message"), [(torch.zeros(1, 0, 3), "have no points"), (torch.full((1, 4, 3), torch.inf), "not finite")]
)
def test_unusable_clouds_are_refused(b, message):
    with pytest.raises(ValueError, match=message):
        chamfer_distance(torch.zeros(1, 4, 3), b)


GENERATED_TO_REFERENCE = torch.tensor([[1.0, 5.0, 9.0], [2.0, 3.0, 9.0], [0.5, 4.0, 7.0], [8.0, 9.0, 6.0]])


def test_coverage_and_matching_distance_by_hand(device):
    distances = GENERATED_TO_REFERENCE.to(device)
    # Nearest references: 0, 0, 0, 2.
    assert coverage(distances) == pytest.approx(200 / 3)
    # Nearest generated shapes: 0.5, 3, 6.
    assert minimum_matching_distance(distances) == pytest.approx(9.5 / 3)
    assert coverage(distances.long()) == pytest.approx(200 / 3)


def test_nearest_neighbour_accuracy_by_hand():
    gg = torch.tensor([[0.0, 1.0], [1.0, 0.0]])
    rr = torch.tensor([[0.0, 4.0], [4.0, 0.0]])
    gr = torch.tensor([[2.0, 3.0], [0.5, 5.0]])
    # Generated 0: own at 1, other at 2, right. Generated 1: 1 against 0.5, wrong.
    # Reference 0: own at 4, other at 0.5, wrong. Reference 1: 4 against 3, wrong.
    assert nearest_neighbour_accuracy(gg, gr, rr) == 25
    # Now generated 1 is as far from its own as from the other set: half right.
    assert nearest_neighbour_accuracy(gg / 2, gr, rr) == 37.5


def test_a_set_against_its_copy():
    own = clouds(12, 64, 0)
    distances = chamfer_distance(own, own)
    assert coverage(distances) == 100
    assert minimum_matching_distance(distances) == 0
    assert nearest_neighbour_accuracy(distances, distances, distances) == 0


def test_two_samples_of_one_distribution_cannot_be_told_apart():
    generator = torch.Generator().manual_seed(0)
    a, b = torch.randn(2, 600, 3, generator=generator)
    accuracy = nearest_neighbour_accuracy(torch.cdist(a, a), torch.cdist(a, b), torch.cdist(b, b))
    assert accuracy == pytest.approx(50, abs=5)
    apart = nearest_neighbour_accuracy(torch.cdist(a, a), torch.cdist(a, b + 20), torch.cdist(b, b))
    assert apart == 100


def test_one_reference():
    one = torch.tensor([[0.0]])
    assert coverage(torch.tensor([[3.0], [4.0]])) == 100
    assert nearest_neighbour_accuracy(torch.tensor([[0.0, 1], [1, 0]]), torch.tensor([[3.0], [4]]), one) == (
        pytest.approx(200 / 3)
    )


@pytest.mark.parametrize("function", [coverage, minimum_matching_distance])
def test_matrices_that_tell_nothing_are_refused(function):
    with pytest.raises(ValueError, match="are not enough"):
        function(torch.zeros(3, 0))
    with pytest.raises(ValueError, match="not numbers"):
        function(torch.tensor([[1.0, torch.nan]]))


def test_accuracy_refuses_what_is_no_number():
    good = torch.rand(2, 2)
    with pytest.raises(ValueError, match="not numbers"):
        nearest_neighbour_accuracy(good, good, torch.tensor([[0.0, torch.nan], [1, 0]]))
