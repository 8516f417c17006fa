"""Ways between latents and around them: their ends, their length, and that they stay random codes."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import tiny
from get3d.latents import Latents, between, joined, near


def _random(n, seed, label=None, z=64):
    codes = torch.randn(2, n, z, generator=tiny.seeded(seed))
    return Latents(codes[0], codes[1], None if label is None else torch.full((n,), label))


def _angle(a, b):
    return torch.acos(torch.nn.functional.cosine_similarity(a, b).clamp(-1, 1))


def test_a_way_begins_and_ends_with_its_ends():
    start, end = _random(1, 0), _random(1, 1)
    way = between(start, end, torch.tensor([0.0, 1.0]), torch.tensor([1.0, 0.0]))
    torch.testing.assert_close(way.geometry, torch.cat([start.geometry, end.geometry]))
    torch.testing.assert_close(way.texture, torch.cat([end.texture, start.texture]))


@settings(max_examples=30)
@given(first=st.integers(0, 1000), second=st.integers(0, 1000), share=st.floats(0, 1, width=32))
def test_a_share_of_the_way_is_that_share_of_the_angle_and_no_shorter_than_the_ends(first, second, share):
    start, end = _random(1, first), _random(1, second)
    way = between(start, end, share, 0.0)
    whole = _angle(start.geometry, end.geometry)
    unit = [torch.nn.functional.normalize(code) for code in (start.geometry, end.geometry)]
    turned = between(Latents(unit[0], start.texture), Latents(unit[1], end.texture), share, 0.0)
    torch.testing.assert_close(_angle(unit[0], turned.geometry), share * whole, atol=2e-3, rtol=0)
    torch.testing.assert_close(turned.geometry.norm(dim=1), torch.ones(1), atol=1e-4, rtol=0)
    torch.testing.assert_close(way.texture, start.texture)


def test_a_way_to_itself_stands_still():
    start = _random(1, 0)
    way = between(start, start, torch.linspace(0, 1, 5), torch.linspace(0, 1, 5))
    torch.testing.assert_close(way.geometry, start.geometry.expand(5, -1))
    torch.testing.assert_close(way.texture, start.texture.expand(5, -1))


def test_there_is_no_way_between_classes():
    with pytest.raises(ValueError, match="different classes"):
        between(_random(1, 0, label=0), _random(1, 1, label=1), 0.5, 0.5)
    assert between(_random(1, 0, label=2), _random(1, 1, label=2), torch.zeros(3), 0.0).label.tolist() == [2, 2, 2]


@pytest.mark.parametrize("strength", [0.0, 0.3, 1.0])
def test_variations_are_as_far_as_asked_and_stay_normal(strength):
    center = _random(1, 0, z=20_000)
    varied = near(center, 3, geometry=strength, texture=0.0, generator=tiny.seeded(1))
    cosine = torch.nn.functional.cosine_similarity(center.geometry, varied.geometry)
    torch.testing.assert_close(cosine, torch.full((3,), math.sqrt(1 - strength**2)), atol=0.03, rtol=0)
    torch.testing.assert_close(varied.geometry.std(1), torch.ones(3), atol=0.03, rtol=0)
    assert torch.equal(varied.texture, center.texture.expand(3, -1))
    if strength:
        assert not torch.equal(varied.geometry[0], varied.geometry[1])


def test_joining_and_taking_apart():
    parts = [_random(2, 0, label=1), _random(3, 1, label=0)]
    whole = joined(parts)
    assert len(whole) == 5
    assert whole.label.tolist() == [1, 1, 0, 0, 0]
    assert torch.equal(whole[2:].geometry, parts[1].geometry)
    assert torch.equal(whole[torch.tensor([4, 0])].texture, torch.stack([parts[1].texture[2], parts[0].texture[0]]))
    assert joined([_random(1, 0), _random(1, 1)]).label is None
    with pytest.raises(ValueError, match="labels"):
        joined([_random(1, 0), _random(1, 0, label=0)])
