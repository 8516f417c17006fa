"""Colour, against the formula of IEC 61966-2-1 in exact arithmetic, and back again for every byte."""

from decimal import Decimal, getcontext

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from get3d.color import (
    bytes_to_linear,
    bytes_to_unit,
    linear_to_bytes,
    linear_to_srgb,
    signed_to_bytes,
    signed_to_unit,
    srgb_to_linear,
    unit_to_bytes,
    unit_to_signed,
)

BYTES = np.arange(256, dtype=np.uint8)


def decoded(color: float) -> float:
    """IEC 61966-2-1, equations for the reverse transformation."""
    getcontext().prec = 40
    value = Decimal(color)
    if value <= Decimal("0.04045"):
        return float(value / Decimal("12.92"))
    return float(((value + Decimal("0.055")) / Decimal("1.055")) ** Decimal("2.4"))


def encoded(light: float) -> float:
    """IEC 61966-2-1, equations for the forward transformation."""
    getcontext().prec = 40
    value = Decimal(light)
    if value <= Decimal("0.0031308"):
        return float(value * Decimal("12.92"))
    return float(Decimal("1.055") * value ** (1 / Decimal("2.4")) - Decimal("0.055"))


@given(st.floats(0, 1))
def test_curves_are_the_standards(value: float) -> None:
    for curve, formula in ((srgb_to_linear, decoded), (linear_to_srgb, encoded)):
        true = formula(value)
        assert float(curve(np.array([value]))[0]) == pytest.approx(true, abs=1e-14)
        assert float(curve(torch.tensor([value], dtype=torch.float64))[0]) == pytest.approx(true, abs=1e-14)
        assert float(curve(torch.tensor([value], dtype=torch.float32))[0]) == pytest.approx(true, abs=1e-6)


def test_known_values() -> None:
    """Middle grey: sRGB 188 is half of the light."""
    assert linear_to_bytes(np.array([0.0, 0.5, 1.0])).tolist() == [0, 188, 255]
    assert float(bytes_to_linear(BYTES)[119]) == pytest.approx(0.184475, abs=1e-6)


def test_every_byte_comes_back() -> None:
    assert np.array_equal(linear_to_bytes(bytes_to_linear(BYTES)), BYTES)
    assert np.array_equal(linear_to_bytes(bytes_to_linear(BYTES).astype(np.float32)), BYTES)
    assert np.array_equal(unit_to_bytes(BYTES / 255), BYTES)
    assert np.array_equal(signed_to_bytes(unit_to_signed(BYTES / 255)), BYTES)
    tensor = torch.from_numpy(BYTES)
    assert torch.equal(bytes_to_unit(tensor), tensor.float() / 255)
    assert np.array_equal(bytes_to_unit(BYTES), bytes_to_unit(tensor).numpy())
    for unit in (tensor.float() / 255, tensor.double() / 255):
        assert torch.equal(unit_to_bytes(unit), tensor)
        assert torch.equal(signed_to_bytes(unit_to_signed(unit)), tensor)
        assert torch.equal(unit_to_bytes(signed_to_unit(unit_to_signed(unit))), tensor)
        assert torch.equal(unit_to_bytes(linear_to_srgb(srgb_to_linear(unit))), tensor)


def test_bytes_are_as_their_numbers() -> None:
    np.testing.assert_array_equal(bytes_to_linear(BYTES), srgb_to_linear(BYTES / 255))
    assert bytes_to_linear(BYTES.reshape(2, 8, 16)).shape == (2, 8, 16)


def test_what_is_out_of_range_is_cut() -> None:
    wild = [-3.0, -0.001, 1.001, 9.0]
    ends = [0, 0, 255, 255]
    assert linear_to_bytes(np.array(wild)).tolist() == ends
    assert unit_to_bytes(np.array(wild)).tolist() == unit_to_bytes(torch.tensor(wild)).tolist() == ends
    assert signed_to_bytes(np.array([-9.0, -1.0, 0.0, 1.0, 9.0])).tolist() == [0, 0, 128, 255, 255]
    assert signed_to_bytes(torch.tensor([-9.0, -1.0, 0.0, 1.0, 9.0])).tolist() == [0, 0, 128, 255, 255]
    assert linear_to_srgb(torch.tensor(wild)).tolist() == pytest.approx([0, 0, 1, 1], abs=1e-6)


@given(st.lists(st.floats(-2, 2, width=32), min_size=1, max_size=20))
def test_tensors_and_arrays_agree(values: list[float]) -> None:
    tensor, array = torch.tensor(values), np.array(values, dtype=np.float32)
    for function in (srgb_to_linear, linear_to_srgb, unit_to_signed, signed_to_unit):
        found = function(tensor)
        assert found.dtype == tensor.dtype
        np.testing.assert_allclose(found.numpy(), function(array), atol=1e-6)
    for to_bytes in (unit_to_bytes, signed_to_bytes):
        assert to_bytes(tensor).tolist() == to_bytes(array).tolist()


@pytest.mark.parametrize("curve", [srgb_to_linear, linear_to_srgb])
def test_gradients_are_the_slopes_and_finite_everywhere(curve) -> None:
    inside = torch.tensor([0.001, 0.02, 0.2, 0.7, 0.99], dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(curve, (inside,))
    wild = torch.tensor([-1.0, -0.055, 0.0, 1.0, 2.0], requires_grad=True)
    curve(wild).sum().backward()
    assert wild.grad.isfinite().all()
