import pytest
import torch

from get3d.images import Images
from get3d.networks import MappingNetwork
from get3d.reconstruction.codes import CodePrior, ObjectCodes, teach_mapping
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
    assert torch.autograd.gradcheck(loss, inputs)


def test_losses_are_weighted_and_those_of_no_weight_left_out():
    drawn, real = _images(1, 8, 4)
    found = image_losses(drawn, real, {"color": 0.0, "mask": 3.0})
    assert found.keys() == {"mask"}
    torch.testing.assert_close(found["mask"], 3 * mask_loss(drawn, real))


def test_a_prior_of_all_components_has_the_mean_and_the_covariance_of_the_codes():
    styles = (
        torch.randn(50, 6, generator=seeded(0), dtype=torch.float64) @ torch.diag(torch.arange(1.0, 7).double()) + 3
    )
    prior = CodePrior.fitted(styles, 6)
    torch.testing.assert_close(prior.mean, styles.mean(0))
    torch.testing.assert_close(prior.directions.T @ prior.directions, torch.cov(styles.T))
    lengths = CodePrior.fitted(styles, 2).directions.norm(dim=1)
    largest = torch.linalg.eigvalsh(torch.cov(styles.T)).flip(0)[:2]
    torch.testing.assert_close(lengths.square(), largest)
    latents = torch.randn(3, 9, generator=seeded(1), dtype=torch.float64)
    torch.testing.assert_close(prior(latents), prior.mean + latents[:, :6] @ prior.directions)


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


@pytest.mark.parametrize("classes", [0, 2])
def test_a_mapping_network_learns_a_prior(classes: int):
    """Of unseen latents it gives the prior's styles, but for a small part of their variance."""
    torch.manual_seed(0)
    mapping = MappingNetwork(z_dim=8, w_dim=16, layers=2, label_dim=classes)
    random = seeded(0)
    priors = [
        CodePrior(torch.randn(16, generator=random), torch.randn(3, 16, generator=random), torch.zeros(1, 3), 1.0)
        for _ in range(classes or 1)
    ]
    before = {name: value.clone() for name, value in mapping.state_dict().items()}
    missed = teach_mapping(mapping, priors, seeded(1), 600)
    assert missed < 0.25
    assert not mapping.layers[0].weight.equal(before["layers.0.weight"])
    for number, prior in enumerate(priors):
        z = torch.randn(256, 8, generator=seeded(2))
        label = torch.full((256,), number) if classes else None
        wanted = prior(z * z.square().mean(1, keepdim=True).rsqrt())
        error = (mapping(z, label) - wanted).square().sum(1).mean()
        assert error < 0.3 * prior.directions.square().sum()
        mean = mapping.w_avg[number] if classes else mapping.w_avg
        torch.testing.assert_close(mean, prior.mean)
