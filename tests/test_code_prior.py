"""The distribution of styles around known ones, and the flow that carries random latents to it."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import norm

from get3d.networks import MappingNetwork
from get3d.reconstruction.codes import CodePrior, teach_mapping, transport


def _seeded(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


@settings(deadline=None, max_examples=20)
@given(
    centers=st.lists(st.floats(-3, 3), min_size=1, max_size=6),
    bandwidth=st.floats(0.2, 1),
    x=st.floats(-2, 2),
)
def test_on_a_line_the_flow_keeps_quantiles(centers: list[float], bandwidth: float, x: float):
    """A flow cannot let points pass each other, so in one dimension it is the map between quantiles."""

    flowed = float(
        transport(torch.tensor([[x]]).double(), torch.tensor(centers).double()[:, None], bandwidth, steps=200)
    )
    below = sum(norm.cdf((flowed - center) / bandwidth) for center in centers) / len(centers)
    assert below == pytest.approx(norm.cdf(x), abs=0.01)


def test_a_bandwidth_of_one_is_a_gaussian():
    styles = torch.randn(30, 5, generator=_seeded(0)) * torch.tensor([3.0, 2.0, 1.0, 0.5, 0.1])
    prior = CodePrior.fitted(styles, 5)
    flowed = transport(torch.eye(5), torch.zeros(1, 5), 1.0)
    torch.testing.assert_close(flowed, torch.eye(5), atol=0.01, rtol=0)
    latents = torch.randn(100, 8, generator=_seeded(1))
    torch.testing.assert_close(prior(latents), prior.mean + latents[:, :5] @ prior.directions)
    torch.testing.assert_close(prior.directions.T @ prior.directions, styles.T.cov(), atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("bandwidth", [0.3, 0.6])
def test_mean_and_covariance_are_those_of_the_known_styles(bandwidth: float):
    """Of a skewed set, far from a Gaussian: two clusters of different sizes."""
    styles = torch.randn(40, 3, generator=_seeded(0)) * 0.2
    styles[:10] += torch.tensor([4.0, -2.0, 1.0])
    prior = CodePrior.fitted(styles, 3, bandwidth)
    drawn = prior(torch.randn(20_000, 3, generator=_seeded(1)))
    spread = styles.T.cov().diagonal().sum()
    assert (drawn.mean(0) - styles.mean(0)).square().sum() < 1e-3 * spread
    assert (drawn.T.cov() - styles.T.cov()).abs().max() < 0.03 * spread
    # Both clusters are there, in their shares, with little between them.
    along = (drawn - styles[10:].mean(0)) @ torch.tensor([4.0, -2.0, 1.0]) / 21
    assert float((along > 0.5).float().mean()) == pytest.approx(0.25, abs=0.02)


def test_small_noise_stays_near_the_known_styles():
    styles = torch.randn(20, 6, generator=_seeded(0))
    near, far = (CodePrior.fitted(styles, 6, bandwidth) for bandwidth in (0.1, 1.0))
    latents = torch.randn(200, 6, generator=_seeded(1))
    distances = [torch.cdist(prior(latents), styles).min(1).values.median() for prior in (near, far)]
    assert distances[0] < 0.4 * distances[1]


def test_a_mapping_network_learns_the_flow():
    styles = torch.randn(12, 8, generator=_seeded(0))
    styles[:4] += 4.0
    prior = CodePrior.fitted(styles, 2, 0.6)
    torch.manual_seed(0)
    mapping = MappingNetwork(z_dim=2, w_dim=8, layers=2, label_dim=0)
    missed = teach_mapping(mapping, [prior], _seeded(1), 400)
    latents = torch.randn(500, 2, generator=_seeded(2))
    unit = latents * latents.square().mean(1, keepdim=True).rsqrt()
    with torch.no_grad():
        error = (mapping(latents) - prior(unit)).square().sum() / (prior(unit) - prior.mean).square().sum()
    assert missed < 0.15
    assert error < 0.15
    torch.testing.assert_close(mapping.w_avg, prior.mean)
