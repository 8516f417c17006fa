import pytest
import torch

from get3d.networks.mapping import MappingNetwork, normalized, one_hot


def test_normalisation_gives_a_second_moment_of_one() -> None:
    x = 7 * torch.randn(4, 100) + 3
    torch.testing.assert_close(normalized(x).square().mean(1), torch.ones(4))
    assert normalized(torch.zeros(1, 3)).isfinite().all()


def test_scale_of_a_latent_does_not_matter() -> None:
    mapping = MappingNetwork(z_dim=8, w_dim=6)
    z = torch.randn(3, 8)
    torch.testing.assert_close(mapping(5 * z), mapping(z))


def test_truncation_goes_from_the_mean_to_the_style() -> None:
    mapping = MappingNetwork(z_dim=8, w_dim=6, layers=2)
    mapping.w_avg.normal_()
    style = mapping(torch.randn(3, 8))
    assert mapping.truncate(style, 1.0) is style
    torch.testing.assert_close(mapping.truncate(style, 0.0), mapping.w_avg.expand(3, -1))
    torch.testing.assert_close(mapping.truncate(style, 0.7), mapping.w_avg + 0.7 * (style - mapping.w_avg))


def test_mean_style_is_the_mean_over_latents_and_the_same_each_time() -> None:
    mapping = MappingNetwork(z_dim=5, w_dim=6, layers=2)
    found = mapping.mean_style(25_000, torch.Generator().manual_seed(1))
    assert found.equal(mapping.mean_style(25_000, torch.Generator().manual_seed(1)))
    z = torch.randn(200_000, 5, generator=torch.Generator().manual_seed(2))
    torch.testing.assert_close(found, mapping(z).mean(0).detach(), atol=0.03, rtol=0)


def test_classes_change_the_style() -> None:
    torch.manual_seed(0)
    mapping = MappingNetwork(z_dim=5, w_dim=6, label_dim=3)
    z = torch.randn(1, 5).expand(3, -1)
    styles = mapping(z, torch.arange(3))
    assert (styles[0] - styles[1]).abs().max() > 0.01
    torch.testing.assert_close(mapping(z, torch.tensor([1, 1, 1]))[0], styles[1])


def test_each_class_has_a_mean_style_of_its_own() -> None:
    mapping = MappingNetwork(z_dim=5, w_dim=6, layers=2, label_dim=2)
    found = mapping.mean_style(40_000, torch.Generator().manual_seed(0))
    z = torch.randn(100_000, 5, generator=torch.Generator().manual_seed(1))
    for label in (0, 1):
        expected = mapping(z, torch.full((len(z),), label)).mean(0).detach()
        torch.testing.assert_close(found[label], expected, atol=0.03, rtol=0)
    mapping.w_avg.copy_(found)
    style, label = torch.randn(2, 6), torch.tensor([1, 0])
    torch.testing.assert_close(mapping.truncate(style, 0.0, label), found.flip(0))


def test_a_label_must_come_with_classes() -> None:
    with pytest.raises(ValueError, match="a network of 0 classes needs no label"):
        MappingNetwork(z_dim=5, w_dim=6)(torch.randn(2, 5), torch.zeros(2, dtype=torch.long))
    with pytest.raises(ValueError, match="a network of 3 classes needs a label"):
        MappingNetwork(z_dim=5, w_dim=6, label_dim=3)(torch.randn(2, 5))


def test_one_hot_rows() -> None:
    like = torch.zeros(2, 1)
    assert one_hot(torch.tensor([2, 0]), 3, like).tolist() == [[0, 0, 1], [1, 0, 0]]
    assert one_hot(None, 0, like).shape == (2, 0)
