"""Rotary positions against complex numbers, their defining property, and published frequencies."""

import math

import pytest
import torch

from rlcourse.language import rotary


def draw(*shape, seed=0, dtype=torch.float64):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=dtype)


def test_a_pair_is_turned_as_a_complex_number():
    x, positions, theta = draw(2, 3, 7, 8), torch.arange(5, 12), 500.0
    z = torch.complex(x[..., :4], x[..., 4:])
    for i in range(4):
        z[..., i] *= torch.exp(1j * positions.double() * theta ** (-2 * i / 8))
    found = rotary.rotate(x, positions, theta)
    assert torch.allclose(found, torch.cat([z.real, z.imag], -1), rtol=0, atol=1e-14)


def test_scores_depend_on_the_distance_alone():
    q, k = draw(1, 6), draw(1, 6, seed=1)
    at = lambda x, p: rotary.rotate(x, torch.tensor([p]), 1e4)  # noqa: E731
    near = at(q, 9) @ at(k, 2).T
    for shift in (1, 30, 100_000):
        far = at(q, 9 + shift) @ at(k, 2 + shift).T
        assert torch.allclose(far, near, rtol=0, atol=1e-9)
    assert not torch.allclose(at(q, 10) @ at(k, 2).T, near, atol=1e-3)


def test_turning_keeps_the_length():
    x = draw(4, 10)
    turned = rotary.rotate(x, torch.tensor([0, 3, 70, 4096]), 1e4)
    assert torch.allclose(turned.norm(dim=-1), x.norm(dim=-1))
    assert torch.equal(turned[0], x[0])


def test_sixteen_bits_are_turned_in_float32_and_come_back():
    x = draw(5, 8).bfloat16()
    positions = torch.arange(100, 105)
    found = rotary.rotate(x, positions, 1e4)
    assert found.dtype == torch.bfloat16
    assert torch.equal(found, rotary.rotate(x.float(), positions, 1e4).bfloat16())


def test_a_float32_angle_is_wrong_far_out():
    omega = rotary.frequencies(128, 1e4)
    worst = {}
    for last in (4096, 131_071):
        place = torch.arange(last - 500, last)
        exact = rotary.cos_sin(place, omega)[0][:, :64]
        single = (place.float()[:, None] * omega.float()).cos()
        worst[last] = float((exact - single).abs().max())
    assert 5e-5 < worst[4096] < 5e-4
    assert 1e-3 < worst[131_071] < 1e-2


def test_llama_keeps_the_fast_frequencies_and_slows_the_slow_ones():
    scaling = rotary.Llama3Scaling(factor=8, low=1, high=4, original=8192)
    omega = rotary.frequencies(128, 500_000.0)
    found = rotary.stretched(omega, scaling)
    lengths = 2 * math.pi / omega  # tokens of a turn
    for plain, new, length in zip(*(x.tolist() for x in (omega, found, lengths)), strict=True):
        if length < 8192 / 4:
            assert new == plain
        elif length > 8192 / 1:
            assert new == pytest.approx(plain / 8, rel=1e-15)
        else:  # the formula of Llama's own code
            smooth = (8192 / length - 1) / (4 - 1)
            assert new == pytest.approx((1 - smooth) * plain / 8 + smooth * plain, rel=1e-12)
    between = (found < omega) & (found > omega / 8 * (1 + 1e-12))
    assert 0 < int(between.sum()) < 20
