"""Rounding to low precision against PyTorch's types, bit by bit."""

import numpy as np
import pytest
import torch

from rlcourse.systems.low_precision import SIGNIFICAND, largest, rounded, to_bfloat16

EVERY = np.arange(2**16, dtype=np.uint32) << 16  # every bfloat16 there is


def torch_rounded(x, kind):
    return torch.from_numpy(x).to(getattr(torch, kind)).double().numpy()


@pytest.mark.parametrize("kind", SIGNIFICAND)
def test_numbers_of_all_sizes_are_rounded_as_torch_rounds_them(kind):
    rng = np.random.default_rng(0)
    x = rng.normal(size=20_000).astype(np.float32) * 10.0 ** rng.uniform(-12, 12, 20_000)
    x = x.astype(np.float32)
    np.testing.assert_array_equal(rounded(x, kind), torch_rounded(x, kind))


@pytest.mark.parametrize("lower", [0, 1, 0x7FFF, 0x8000, 0x8001, 0xFFFF])
def test_bfloat16_agrees_with_torch_on_every_number_just_below_at_and_above_each_tie(lower):
    x = (EVERY | np.uint32(lower)).view(np.float32)
    np.testing.assert_array_equal(to_bfloat16(x), torch_rounded(x, "bfloat16"))


@pytest.mark.parametrize("kind", ["float16", "bfloat16", "float32"])
def test_sums_products_and_quotients_come_out_as_in_the_type_itself(kind):
    rng = np.random.default_rng(1)
    x, y = rounded(rng.normal(size=(2, 20_000)) * 8, kind)
    a, b = (torch.from_numpy(z).to(getattr(torch, kind)) for z in (x, y))
    for ours, theirs in ((x + y, a + b), (x - y, a - b), (x * y, a * b), (x / y, a / b)):
        np.testing.assert_array_equal(rounded(ours, kind), theirs.double().numpy())


@pytest.mark.parametrize("kind", SIGNIFICAND)
def test_the_table_of_types_is_right(kind):
    info = torch.finfo(getattr(torch, kind))
    assert largest(kind) == info.max
    assert info.eps == 2.0 ** (1 - SIGNIFICAND[kind])
    whole = 2.0 ** SIGNIFICAND[kind]
    assert rounded(whole, kind) == rounded(whole + 1, kind) == whole
    assert rounded(whole - 1, kind) == whole - 1
    assert np.isinf(rounded(2 * largest(kind), kind)) or kind == "float64"


def test_exp_overflows_where_the_table_says():
    assert np.log(largest("float16")) == pytest.approx(11.09, abs=0.005)
    for kind in ("bfloat16", "float32"):
        assert np.log(largest(kind)) == pytest.approx(88.72, abs=0.005)


def test_nan_and_infinity_stay_what_they_are():
    for kind in SIGNIFICAND:
        np.testing.assert_array_equal(rounded([np.nan, np.inf, -np.inf, -0.0], kind),
                                      [np.nan, np.inf, -np.inf, 0])  # fmt: skip


def test_an_unknown_type_is_refused_by_name():
    with pytest.raises(ValueError, match=r"kind must be one of .*'bf16'"):
        rounded(1.0, "bf16")
