import pytest
import torch

from get3d.files import InputError
from get3d.images import Images
from get3d.metrics import feature_networks
from get3d.metrics.feature_networks import EfficientNetLite
from get3d.networks import StylePrior
from get3d.reconstruction import losses
from get3d.reconstruction.codes import ObjectCodes
from get3d.reconstruction.config import LOSS_WEIGHTS
from get3d.reconstruction.losses import IMAGE_LOSSES, color_loss, image_losses, mask_loss
from tiny import seeded


def _images(count: int, side: int, seed: int, dtype: torch.dtype = torch.float64) -> tuple[Images, torch.Tensor]:
    """Drawn images and real ones; the masks have clear edges, so that no pixel is about half covered."""
    random = seeded(seed)
    rgb, real = (2 * torch.rand(count, 3, side, side, generator=random, dtype=dtype) - 1 for _ in range(2))
    mask, seen = (torch.rand(count, 1, side, side, generator=random, dtype=dtype) for _ in range(2))
    seen = (seen > 0.4).to(dtype)
    return Images(rgb, mask, torch.zeros(count, dtype=torch.bool)), torch.cat([real, seen], dim=1)


def test_every_loss_of_the_warmup_is_known():
    assert LOSS_WEIGHTS.keys() <= IMAGE_LOSSES.keys()


def test_colours_are_compared_where_both_images_show_the_object():
    drawn, real = _images(3, 5, 0)
    want = []
    for number in range(3):
        differences = [
            (drawn.rgb[number, channel, row, column] - real[number, channel, row, column]).abs()
            for row in range(5)
            for column in range(5)
            for channel in range(3)
            if drawn.mask[number, 0, row, column] > 0.5 and real[number, 3, row, column] > 0.5
        ]
        want.append(torch.stack(differences).mean())
    torch.testing.assert_close(color_loss(drawn, real), torch.stack(want).mean())


def test_images_that_have_nothing_in_common_have_no_difference_of_colours():
    drawn, real = _images(2, 4, 1)
    nothing = Images(drawn.rgb, torch.zeros_like(drawn.mask), drawn.empty)
    assert color_loss(nothing, real) == 0


def test_masks_are_compared_at_four_scales():
    drawn, real = _images(2, 16, 2)
    difference = drawn.mask - real[:, 3:]
    want = 0.0
    for size in (1, 2, 4, 8):
        blocks = difference.view(2, 16 // size, size, 16 // size, size).mean((2, 4))
        want = want + blocks.square().mean()
    torch.testing.assert_close(mask_loss(drawn, real), want)


@pytest.mark.parametrize("name", IMAGE_LOSSES)
def test_a_loss_is_a_mean_over_images_and_has_the_gradient_of_finite_differences(name: str):
    drawn, real = _images(4, 8, 3)
    halves = [IMAGE_LOSSES[name](drawn[part], real[part]) for part in (slice(0, 2), slice(2, 4))]
    torch.testing.assert_close(IMAGE_LOSSES[name](drawn, real), sum(halves) / 2)

    def loss(rgb: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        return IMAGE_LOSSES[name](Images(rgb, mask, drawn.empty[:1]), real[:1])

    inputs = (drawn.rgb[:1].clone().requires_grad_(True), drawn.mask[:1].clone().requires_grad_(True))
    # Along random directions where each of many inputs would take a trained network.
    assert torch.autograd.gradcheck(loss, inputs, fast_mode=name == "perceptual")


def test_features_are_compared_by_their_directions():
    drawn, real = _images(2, 64, 5, torch.float32)
    network = EfficientNetLite()
    same = Images(real[:, :3], real[:, 3:], drawn.empty)
    assert losses.perceptual_loss(same, real) < 1e-6
    found, scales = 0.0, []
    for image, other in zip(drawn.rgb * drawn.mask, real[:, :3] * real[:, 3:], strict=True):
        for a, b in zip(network.maps(image[None], 4), network.maps(other[None], 4), strict=True):
            cosine = torch.nn.functional.cosine_similarity(a, b)
            found, scales = found + (2 - 2 * cosine).mean() / 8, [*scales, a.shape[-1]]
    assert scales == [32, 16, 8, 4] * 2
    torch.testing.assert_close(losses.perceptual_loss(drawn, real), found, rtol=1e-3, atol=1e-4)


def test_a_loss_that_cannot_be_computed_is_refused(monkeypatch: pytest.MonkeyPatch):
    losses.require_losses({"color": 1.0, "perceptual": 0.0})
    with pytest.raises(InputError, match="--losses is colour; it must be of color, mask, structure, perceptual"):
        losses.require_losses({"colour": 1.0})
    losses._network.cache_clear()
    monkeypatch.setattr(feature_networks, "find_spec", lambda name: None)
    with pytest.raises(InputError, match="the perceptual loss need the package efficientnet_lite_pytorch; pip install"):
        losses.require_losses({"perceptual": 0.1})


def test_losses_are_weighted_and_those_of_no_weight_left_out():
    drawn, real = _images(1, 8, 4)
    found = image_losses(drawn, real, {"color": 0.0, "mask": 3.0})
    assert found.keys() == {"mask"}
    torch.testing.assert_close(found["mask"], 3 * mask_loss(drawn, real))


def test_a_prior_of_all_components_has_the_mean_and_the_covariance_of_the_codes():
    styles = (
        torch.randn(50, 6, generator=seeded(0), dtype=torch.float64) @ torch.diag(torch.arange(1.0, 7).double()) + 3
    )
    prior = StylePrior.fitted(styles, 6)
    torch.testing.assert_close(prior.mean, styles.mean(0))
    torch.testing.assert_close(prior.directions.T @ prior.directions, torch.cov(styles.T))
    lengths = StylePrior.fitted(styles, 2).directions.norm(dim=1)
    largest = torch.linalg.eigvalsh(torch.cov(styles.T)).flip(0)[:2]
    torch.testing.assert_close(lengths.square(), largest)


def test_codes_are_styles_of_geometry_and_texture_with_noise_as_a_share_of_their_spread():
    codes = ObjectCodes(5, 4)
    codes.styles.data.copy_(torch.randn(5, 2, 4, generator=seeded(0)))
    codes.styles.data[:, 1] *= 10
    objects, noise = torch.tensor([3, 1]), torch.full((2, 2, 4), 0.5)
    styles = codes(objects, noise)
    for number, given in enumerate((styles.geometry, styles.texture)):
        known = codes.styles.detach()[:, number]
        share = 0.5 * (sum(float(value) ** 2 for value in known.flatten()) / known.numel()) ** 0.5
        torch.testing.assert_close(given.detach(), known[[3, 1]] + share)
    styles.texture.sum().backward()
    assert codes.styles.grad.sum() == 8  # The noise has no part in the gradient.
