import hashlib

import numpy as np
import pytest
import torch
from scipy.linalg import sqrtm
from torchmetrics.image.fid import FrechetInceptionDistance
from torchmetrics.image.kid import poly_mmd

from get3d.files import InputError
from get3d.metrics import frechet_distance
from get3d.metrics.feature_networks import EfficientNetLite, features_of
from get3d.metrics.features import (
    FeatureNetwork,
    frechet_feature_distance,
    inception_path,
    kernel_distance,
    precision_recall,
)


def features(n: int, d: int = 16, seed: int = 0) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    mixing = torch.randn(d, d, generator=torch.Generator().manual_seed(99))
    return torch.randn(n, d, generator=generator) @ mixing + seed


def covariance(d: int, seed: int) -> torch.Tensor:
    root = torch.randn(d, d, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))
    return root @ root.T


def test_frechet_distance_of_normal_distributions_in_closed_form(device):
    # Covariances with common axes: |μa − μb|² + Σ (√λa − √λb)².
    axes = torch.linalg.qr(covariance(12, 0)).Q
    a, b = torch.rand(2, 12, dtype=torch.float64, generator=torch.Generator().manual_seed(1)) * 9
    mean_a, mean_b = torch.randn(2, 12, dtype=torch.float64, generator=torch.Generator().manual_seed(2))
    moments = (mean_a, axes @ torch.diag(a) @ axes.T, mean_b, axes @ torch.diag(b) @ axes.T)
    expected = (mean_a - mean_b).square().sum() + (a.sqrt() - b.sqrt()).square().sum()
    assert frechet_distance(*(moment.to(device) for moment in moments)) == pytest.approx(float(expected), rel=1e-9)


def test_frechet_distance_is_that_of_the_matrix_root():
    a, b = covariance(20, 0), covariance(20, 1)
    mean_a, mean_b = torch.randn(2, 20, dtype=torch.float64, generator=torch.Generator().manual_seed(2))
    root = np.trace(sqrtm((a @ b).numpy()).real)
    expected = float((mean_a - mean_b).square().sum() + a.trace() + b.trace()) - 2 * root
    assert frechet_distance(mean_a, a, mean_b, b) == pytest.approx(expected, rel=1e-6)
    assert frechet_distance(mean_b, b, mean_a, a) == pytest.approx(expected, rel=1e-6)


def test_frechet_distance_of_singular_covariances():
    few = features(5, 64).double()
    moments = few.mean(0), torch.cov(few.T)
    assert frechet_distance(*moments, *moments) == pytest.approx(0, abs=1e-6 * float(moments[1].trace()))
    zero = torch.zeros(64, 64)
    assert frechet_distance(moments[0], zero, moments[0] + 1, zero) == pytest.approx(64, rel=1e-6)


def test_frechet_distance_is_that_of_torchmetrics():
    class Identity(torch.nn.Module):
        num_features = 16

        def forward(self, x):
            return x.flatten(1)

    a, b = features(200, seed=0), features(150, seed=1)
    reference = FrechetInceptionDistance(feature=Identity(), normalize=True).set_dtype(torch.float64)
    reference.update(a.double()[:, :, None, None], real=True)
    reference.update(b.double()[:, :, None, None], real=False)
    assert frechet_feature_distance(a, b) == pytest.approx(float(reference.compute()), rel=1e-6)


def test_kernel_distance_of_whole_sets_is_the_plain_double_sum():
    a, b = features(9, seed=0), features(9, seed=1)

    def kernel(x, y):
        return (float(x.double() @ y.double()) / 16 + 1) ** 3

    pairs = [(i, j) for i in range(9) for j in range(9) if i != j]
    within = sum(kernel(a[i], a[j]) + kernel(b[i], b[j]) for i, j in pairs) / len(pairs)
    between = sum(kernel(x, y) for x in a for y in b) / 81
    found = kernel_distance(a, b, torch.Generator().manual_seed(0), subsets=3)
    assert found == pytest.approx(within - 2 * between, rel=1e-9)
    assert found == pytest.approx(float(poly_mmd(a.double(), b.double())), rel=1e-6)


def test_kernel_distance_of_one_distribution_is_about_zero():
    a, b, c = features(800, seed=0), features(800, seed=0), features(800, seed=0) + 1
    b = b[torch.randperm(800, generator=torch.Generator().manual_seed(1))].roll(1, 0)
    generator = torch.Generator().manual_seed(0)
    far = kernel_distance(a, c, generator, subset_size=200)
    halves = kernel_distance(a[:400], a[400:], generator, subset_size=200)
    assert abs(halves) < 0.2 * far


def test_precision_and_recall_by_hand():
    real = torch.tensor([[0.0], [1], [2], [3], [4]])
    # Radii with k = 2: 2, 1, 1, 1, 2.
    generated = torch.tensor([[-1.5], [2.4], [6.5], [7.0]])
    # Reached: −1.5 (from 0) and 2.4. Radii of the generated: 8.5 (to 7), 4.1 …
    found = precision_recall(real, generated, neighbours=2)
    assert found.precision == 0.5
    radii = (generated - generated.T).abs().sort(dim=1).values[:, 2]
    expected = [bool(((generated[:, 0] - value).abs() <= radii).any()) for value in real[:, 0]]
    assert found.recall == np.mean(expected)


def test_precision_and_recall_of_equal_and_of_strange_sets(monkeypatch):
    a = features(60, seed=0)
    same, strange = precision_recall(a, a), precision_recall(a, features(60, seed=0) + 1000)
    assert (same.precision, same.recall) == (1, 1)
    assert (strange.precision, strange.recall) == (0, 0)
    b = features(50, seed=1)
    whole = precision_recall(a, b)
    monkeypatch.setattr("get3d.metrics.features.ROWS_AT_ONCE", 7)
    assert precision_recall(a, b) == whole


def test_too_few_images_are_refused():
    generator = torch.Generator()
    with pytest.raises(ValueError, match="at least 2"):
        frechet_feature_distance(features(1), features(5))
    with pytest.raises(ValueError, match="at least 2"):
        kernel_distance(features(1), features(5), generator)
    with pytest.raises(ValueError, match="more than 3"):
        precision_recall(features(3), features(5))
    with pytest.raises(ValueError, match="not finite"):
        frechet_distance(torch.full((2,), torch.nan), torch.eye(2), torch.zeros(2), torch.eye(2))


class StandIn(torch.nn.Module):
    """What the real network is from outside: bytes in, a feature vector an image out."""

    def forward(self, x: torch.Tensor, return_features: bool = False) -> torch.Tensor:
        x = x.to(torch.float32)
        return torch.cat([x.mean(dim=[2, 3]), x.amax(dim=3).amax(dim=2)], dim=1) if return_features else x


@pytest.fixture
def network_file(tmp_path):
    path = tmp_path / "network.pt"
    with pytest.warns(DeprecationWarning):
        torch.jit.save(torch.jit.script(StandIn()), path)
    return path, hashlib.sha256(path.read_bytes()).hexdigest()


def test_a_torchscript_network_gives_features(network_file, device):
    path, sha256 = network_file
    network = FeatureNetwork(path, sha256)
    images = torch.randint(0, 256, (5, 3, 20, 20), dtype=torch.uint8).to(device)
    expected = torch.cat([images.float().mean((2, 3)), images.float().amax((2, 3))], dim=1)
    torch.testing.assert_close(network(images), expected)
    torch.testing.assert_close(features_of(network, images.cpu(), device), expected.cpu())
    assert network.key == sha256


def test_another_file_is_refused_before_it_is_read(network_file):
    path, _ = network_file
    with pytest.raises(InputError, match=r"network\.pt: its SHA-256 is .*download https"):
        FeatureNetwork(path)
    truncated = path.with_name("short.pt")
    truncated.write_bytes(path.read_bytes()[:100])
    with pytest.raises(InputError, match="truncated"):
        FeatureNetwork(truncated, network_file[1])


def test_an_absent_file_says_what_to_download_and_where(monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert inception_path().parent == tmp_path / "get3d"
    with pytest.raises(InputError) as error:
        FeatureNetwork()
    assert str(inception_path()) in str(error.value)
    assert "download https://" in str(error.value)
    assert "--inception" in str(error.value)


def test_efficientnet_tells_what_is_seen_and_scores_it_against_its_own_classifier():
    """What stands before the classifier gives, through the classifier, what the whole network says."""
    network = EfficientNetLite()
    images = (torch.rand(2, 3, 40, 40, generator=torch.Generator().manual_seed(0)) * 255).to(torch.uint8)
    features = network(images)
    assert features.shape == (2, 1280)
    inner = network._network
    large = torch.nn.functional.interpolate(
        images.float(), (240, 240), mode="bilinear", align_corners=False, antialias=True
    )
    with torch.no_grad():
        torch.testing.assert_close(inner._fc(features), inner((large - 127) / 128), rtol=1e-3, atol=1e-3)
    assert not any(parameter.requires_grad for parameter in inner.parameters())


def test_features_that_are_not_installed_say_how_to_get_them(monkeypatch):
    monkeypatch.setattr("get3d.metrics.feature_networks.find_spec", lambda name: None)
    with pytest.raises(InputError, match=r"pip install 'get3d\[features\]'"):
        EfficientNetLite()
