import numpy as np
import pytest
import torch
from scipy.ndimage import convolve
from scipy.stats import wasserstein_distance

from get3d.metrics import sliced_wasserstein as module
from get3d.metrics import sliced_wasserstein_distance, sliced_wasserstein_levels


def images(n: int = 12, channels: int = 3, side: int = 32, seed: int = 0) -> torch.Tensor:
    """Random blobs, so that every level of the pyramid holds something."""
    generator = torch.Generator().manual_seed(seed)
    coarse = torch.rand(n, channels, side // 8, side // 8, generator=generator)
    smooth = torch.nn.functional.interpolate(coarse, size=side, mode="bilinear")
    return smooth + 0.1 * torch.rand(n, channels, side, side, generator=generator)


def test_a_set_against_itself_is_zero_and_sides_may_be_swapped(device):
    a, b = images(seed=1).to(device), images(seed=2).to(device)
    assert sliced_wasserstein_distance(a, a) == 0
    assert sliced_wasserstein_distance(a, b) > 0
    assert sliced_wasserstein_distance(a, b) == pytest.approx(sliced_wasserstein_distance(b, a), rel=1e-5)


def test_the_same_generator_state_gives_the_same_number(device):
    a, b = images(seed=1).to(device), images(seed=2).to(device)
    first, second, third = (sliced_wasserstein_levels(a, b, torch.Generator().manual_seed(seed)) for seed in (5, 5, 6))
    assert first == second != third
    assert list(first) == [32, 16]


def test_levels_are_the_textbook_laplacian_pyramid(device):
    image = images(n=1, channels=1, side=64)
    taps = np.outer([1, 4, 6, 4, 1], [1, 4, 6, 4, 1]) / 256

    def blur(x):
        return convolve(x, taps, mode="mirror")

    gaussian = [image[0, 0].double().numpy()]
    for _ in range(2):
        gaussian.append(blur(gaussian[-1])[::2, ::2])
    for level in range(3):
        expected = gaussian[level]
        if level < 2:
            spread = np.zeros_like(expected)
            spread[::2, ::2] = 4 * gaussian[level + 1]
            expected = expected - blur(spread)
        found = module._level(image.to(device), level)[0, 0].cpu().numpy()
        np.testing.assert_allclose(found, expected, atol=1e-5)


def test_patches_are_cut_where_the_places_say():
    image = torch.arange(2 * 2 * 16 * 16).reshape(2, 2, 16, 16).float()
    places = torch.zeros(2, module.PATCHES_PER_IMAGE, dtype=torch.int64)
    places[1, 3] = 5 * 16 + 2
    patches = module._patches(image, 0, places).unflatten(0, (2, -1))
    assert torch.equal(patches[1, 3].reshape(2, 7, 7), image[1, :, 5:12, 2:9])


def test_distance_along_directions_is_the_exact_one_dimensional_transport():
    generator = torch.Generator().manual_seed(0)
    a, b = torch.randn(50, 6, generator=generator), 1 + 2 * torch.randn(50, 6, generator=generator)
    found = module._sliced_distance(a, b, torch.Generator().manual_seed(3))
    directions = torch.randn(6, module.DIRECTIONS, generator=torch.Generator().manual_seed(3))
    directions /= directions.norm(dim=0)
    expected = np.mean([wasserstein_distance(a @ d, b @ d) for d in directions.T])
    assert found == pytest.approx(expected, rel=1e-5)


def test_blocks_of_directions_do_not_change_the_number(monkeypatch):
    a, b = images(seed=1), images(seed=2)
    whole = sliced_wasserstein_distance(a, b)
    monkeypatch.setattr(module, "VALUES_AT_ONCE", 100_000)
    monkeypatch.setattr(module, "IMAGES_AT_ONCE", 5)
    assert sliced_wasserstein_distance(a, b) == pytest.approx(whole, rel=1e-5)


@pytest.mark.parametrize("channels", [1, 3])
def test_more_different_images_are_farther(device, channels):
    real = images(n=40, channels=channels, seed=1).to(device)
    other = images(n=40, channels=channels, seed=2).to(device)
    noise = torch.rand(40, 1, 32, 32, generator=torch.Generator().manual_seed(4)).to(device)
    near, middle, far = (
        sliced_wasserstein_distance(real, torch.lerp(other, noise.expand_as(other), t)) for t in (0.0, 0.3, 1.0)
    )
    assert near < middle < far


def test_bytes_and_floats_agree_and_set_sizes_may_differ():
    a, b = ((images(n=n, seed=n) * 200).to(torch.uint8) for n in (9, 14))
    scaled = sliced_wasserstein_distance(a.float() / 127.5 - 1, b.float() / 127.5 - 1)
    assert sliced_wasserstein_distance(a, b) == pytest.approx(scaled, rel=1e-3)


def test_blank_masks_are_no_error():
    blank, full = torch.zeros(4, 1, 32, 32), images(n=4, channels=1)
    assert sliced_wasserstein_distance(blank, blank) == 0
    assert np.isfinite(sliced_wasserstein_distance(blank, full))


@pytest.mark.parametrize(
    ("a", "b", "message"),
    [
        (torch.zeros(0, 3, 32, 32), torch.zeros(1, 3, 32, 32), "holds no image"),
        (torch.zeros(1, 3, 32, 16), torch.zeros(1, 3, 32, 16), "square"),
        (torch.zeros(1, 3, 8, 8), torch.zeros(1, 3, 8, 8), "at least 16"),
        (torch.zeros(1, 3, 32, 32), torch.zeros(1, 1, 32, 32), "against"),
        (torch.zeros(1, 3, 32, 32), torch.full((1, 3, 32, 32), torch.nan), "not finite"),
    ],
)
def test_unusable_images_are_refused(a, b, message):
    with pytest.raises(ValueError, match=message):
        sliced_wasserstein_distance(a, b)
