"""The distribution of styles around known ones, and the flow that carries random latents to it."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import multivariate_normal, norm

from get3d.networks import PriorConfig, PriorMapping, StylePrior
from get3d.networks.style_prior import transport


def _seeded(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def _mapping(styles: torch.Tensor, components: int, bandwidth: float, z_dim: int = 128, **sizes: int) -> PriorMapping:
    prior = PriorConfig(styles=len(styles), components=components, bandwidth=bandwidth)
    mapping = PriorMapping(**({"z_dim": z_dim, "w_dim": styles.shape[1], "prior": prior} | sizes))
    mapping.fit(styles, torch.zeros(len(styles), dtype=torch.long))
    return mapping


@settings(max_examples=20)
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
    mapping, prior = _mapping(styles, 5, 1.0), StylePrior.fitted(styles, 5)
    flowed = transport(torch.eye(5), torch.zeros(1, 5), 1.0)
    torch.testing.assert_close(flowed, torch.eye(5), atol=0.01, rtol=0)
    latents = torch.randn(100, 128, generator=_seeded(1))
    unit = latents / latents.square().mean(1, keepdim=True).sqrt()
    torch.testing.assert_close(mapping(latents), styles.mean(0) + unit[:, :5] @ prior.directions)
    torch.testing.assert_close(prior.directions.T @ prior.directions, styles.T.cov(), atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("bandwidth", [0.3, 0.6])
def test_mean_and_covariance_are_those_of_the_known_styles(bandwidth: float):
    """Of a skewed set, far from a Gaussian: two clusters of different sizes."""
    styles = torch.randn(40, 3, generator=_seeded(0)) * 0.2
    styles[:10] += torch.tensor([4.0, -2.0, 1.0])
    mapping = _mapping(styles, 3, bandwidth, z_dim=1000)
    drawn = mapping(torch.randn(20_000, 1000, generator=_seeded(1)))
    spread = styles.T.cov().diagonal().sum()
    assert (drawn.mean(0) - styles.mean(0)).square().sum() < 1e-3 * spread
    assert (drawn.T.cov() - styles.T.cov()).abs().max() < 0.03 * spread
    torch.testing.assert_close(mapping.mean_style(1, _seeded(0)), styles.mean(0))
    # Both clusters are there, in their shares, with little between them.
    along = (drawn - styles[10:].mean(0)) @ torch.tensor([4.0, -2.0, 1.0]) / 21
    assert float((along > 0.5).float().mean()) == pytest.approx(0.25, abs=0.02)


def test_small_noise_stays_near_the_known_styles():
    styles = torch.randn(20, 6, generator=_seeded(0))
    latents = torch.randn(200, 128, generator=_seeded(1))
    near, far = (
        torch.cdist(_mapping(styles, 6, bandwidth)(latents), styles).min(1).values.median() for bandwidth in (0.1, 1.0)
    )
    assert near < 0.4 * far


@pytest.mark.parametrize("bandwidth", [0.2, 0.4, 0.9])
def test_the_known_styles_come_back_along_the_axes(bandwidth: float):
    styles = torch.randn(20, 6, generator=_seeded(0)) * torch.tensor([3.0, 2.0, 1.0, 0.5, 0.2, 0.1])
    left, size, right = torch.linalg.svd(styles - styles.mean(0), full_matrices=False)
    for axes in (2, 6):
        along = styles.mean(0) + left[:, :axes] @ size[:axes].diag() @ right[:axes]
        mapping = _mapping(styles, axes, 0.6)
        mapping.narrow(bandwidth)
        torch.testing.assert_close(mapping.known_styles(), along, atol=1e-4, rtol=1e-4)


def test_a_gaussian_holds_no_known_styles():
    with pytest.raises(ValueError, match="a bandwidth below 1"):
        _mapping(torch.randn(20, 6, generator=_seeded(0)), 6, 1.0).known_styles()


@pytest.mark.parametrize("bandwidth", [0.4, 1.0])
def test_each_class_has_the_distribution_that_it_has_alone(bandwidth: float):
    """Also where one has fewer styles than there are axes."""
    styles, label = torch.randn(15, 6, generator=_seeded(0)), torch.arange(15) % 5 // 4
    styles[label == 1] += 5
    prior = PriorConfig(styles=15, components=5, bandwidth=bandwidth)
    both = PriorMapping(z_dim=128, w_dim=6, prior=prior, label_dim=2)
    both.fit(styles, label)
    z, drawn = torch.randn(8, 128, generator=_seeded(1)), torch.tensor([0, 1, 1, 0, 0, 1, 0, 1])
    for number in range(2):
        alone = _mapping(styles[label == number], 5, bandwidth)
        wanted = alone(z[drawn == number])
        torch.testing.assert_close(both(z, drawn)[drawn == number], wanted, atol=1e-4, rtol=1e-4)
        torch.testing.assert_close(both.w_avg[number], alone.w_avg)
    with pytest.raises(ValueError, match="a network of 2 classes needs a label"):
        both(z)


def test_of_many_styles_some_are_centers():
    styles = torch.randn(500, 4, generator=_seeded(0))
    prior = PriorConfig(styles=100, components=4, bandwidth=0.5)
    some = PriorMapping(z_dim=128, w_dim=4, prior=prior)
    some.fit(styles, torch.zeros(500, dtype=torch.long))
    torch.testing.assert_close(some.w_avg, styles.mean(0))
    whole = StylePrior.fitted(styles, 4, 0.5)
    torch.testing.assert_close(some.directions[0], whole.directions)
    distances = torch.cdist(some.centers, whole.centers)
    assert distances.min(1).values.max() < 0.01
    assert len(distances.argmin(1).unique()) == 100
    assert PriorConfig.of(10**6, 40, 0.6).styles == 4096


def test_gradients_reach_latents_and_autocast_changes_nothing():
    mapping = _mapping(torch.randn(12, 4, generator=_seeded(0)), 3, 0.6, z_dim=8).double()
    z = torch.randn(3, 8, generator=_seeded(1), dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(mapping, z)
    mapping, z = mapping.float(), z.detach().float()
    with torch.autocast("cpu", torch.bfloat16):
        lowered = mapping(z)
    assert lowered.equal(mapping(z))


def _plain_truncation(mapping: PriorMapping, style: torch.Tensor, psi: float, number: int) -> torch.Tensor:
    """In the coordinates of the styles: the mean of each center, weighted by Bayes' rule with scipy's densities."""
    axes = mapping.directions[number]
    axes = axes[axes.norm(dim=1) > 0]
    own = mapping.center_class == number
    centers = mapping.w_avg.view(-1, mapping.w_dim)[number] + mapping.centers[own, : len(axes)] @ axes
    noise = mapping.bandwidth**2 * axes.T @ axes
    density = [multivariate_normal(center, noise, allow_singular=True).pdf(style) for center in centers]
    mean = torch.tensor(density) @ centers / sum(density)
    return mean + psi * (style - mean)


@pytest.mark.parametrize("psi", [0.0, 0.7, 1.0, 1.3])
@pytest.mark.parametrize("classes", [0, 2])
def test_truncation_leads_to_the_centers_that_a_style_may_have_come_from(psi: float, classes: int):
    styles, label = torch.randn(18, 4, generator=_seeded(0)).double(), torch.arange(18) % max(classes, 1)
    styles[:9] += 3
    prior = PriorConfig(styles=18, components=4, bandwidth=0.5)
    mapping = PriorMapping(z_dim=64, w_dim=4, prior=prior, label_dim=classes).double()
    mapping.fit(styles, label)
    z, drawn = torch.randn(6, 64, generator=_seeded(1)).double(), (torch.arange(6) % 2 if classes else None)
    random = mapping(z, drawn)
    found = mapping.truncate(random, psi, drawn)
    for number, (style, one) in enumerate(zip(random, found, strict=True)):
        wanted = _plain_truncation(mapping, style, psi, 0 if drawn is None else int(drawn[number]))
        torch.testing.assert_close(one, wanted, atol=1e-6, rtol=1e-6)


def test_truncation_of_a_gaussian_leads_to_its_mean():
    mapping = _mapping(torch.randn(30, 5, generator=_seeded(0)), 5, 1.0)
    style = mapping(torch.randn(4, 128, generator=_seeded(1)))
    torch.testing.assert_close(mapping.truncate(style, 0.3), mapping.w_avg.lerp(style, 0.3))


def test_truncation_keeps_kinds_apart_and_has_gradients():
    """Half way to the mean of two far clusters lies nothing of either."""
    styles = torch.randn(40, 3, generator=_seeded(0)) * 0.1
    styles[:20] += 5
    mapping = _mapping(styles, 3, 0.3, z_dim=8).double()
    drawn = mapping(torch.randn(50, 8, generator=_seeded(1)).double())
    near = mapping.truncate(drawn, 0.0)
    kind, after = drawn.mean(1) > 2.5, near.mean(1)
    assert kind.any()
    assert not kind.all()
    clusters = torch.stack([styles[20:].mean(), styles[:20].mean()])[kind.long()]
    assert (after - clusters).abs().max() < 0.5
    style = drawn[:3].detach().requires_grad_(True)
    assert torch.autograd.gradcheck(lambda style: mapping.truncate(style, 0.4), style)


@pytest.mark.parametrize("bandwidth", [0.2, 0.9])
def test_a_narrower_distribution_is_the_one_that_fitting_would_give(bandwidth: float):
    styles = torch.randn(20, 5, generator=_seeded(0))
    mapping, wanted = _mapping(styles, 4, 0.6), _mapping(styles, 4, bandwidth)
    mapping.narrow(bandwidth)
    z = torch.randn(7, 128, generator=_seeded(1))
    torch.testing.assert_close(mapping(z), wanted(z), atol=1e-4, rtol=1e-4)
    torch.testing.assert_close(mapping.centers, wanted.centers)
    with pytest.raises(ValueError, match="does not hold them"):
        _mapping(styles, 4, 1.0).narrow(0.5)
