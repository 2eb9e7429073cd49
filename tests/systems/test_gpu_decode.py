"""Split-KV decoding against the reference: on a GPU, else by Triton's interpreter."""

import pytest
import torch
from torch import Tensor

pytest.importorskip("triton")

from rlcourse.systems.attention import attention_reference
from rlcourse.systems.gpu_decode import gpu_decode

DEVICE = "cuda" if torch.cuda.is_available() else "cpu"
SHAPES = [(2, 4, 2, 1, 77, 16), (1, 8, 1, 3, 200, 24), (2, 2, 2, 1, 1, 64), (1, 2, 1, 5, 3, 16)]
OPTIONS = [{}, {"window": 9}, {"softcap": 2.0}, {"alibi": True}, {"sinks": True}]


def draw(shape: tuple[int, ...], options: dict) -> tuple[Tensor, Tensor, Tensor, dict]:
    b, h, g, n, m, d = shape
    generator = torch.Generator().manual_seed(0)
    q, k, v, heads = (
        torch.randn(size, generator=generator).to(DEVICE)
        for size in ((b, h, n, d), (b, g, m, d), (b, g, m, d), (h,))
    )
    filled = {name: heads.abs() if x is True else x for name, x in options.items()}
    return q, k, v, filled


@pytest.mark.parametrize("options", OPTIONS, ids=lambda o: next(iter(o), "plain"))
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_split_keys_give_what_whole_ones_give(shape: tuple[int, ...], options: dict) -> None:
    q, k, v, options = draw(shape, options)
    right = attention_reference(q, k, v, causal=True, **options)
    torch.testing.assert_close(gpu_decode(q, k, v, **options), right, atol=1e-6, rtol=0)


@pytest.mark.parametrize("splits", [1, 2, 7, 1000])
def test_any_number_of_splits_gives_the_same(splits: int) -> None:
    q, k, v, _ = draw((2, 4, 2, 1, 300, 16), {})
    right = attention_reference(q, k, v, causal=True)
    torch.testing.assert_close(gpu_decode(q, k, v, splits=splits), right, atol=1e-6, rtol=0)


@pytest.mark.parametrize("options", OPTIONS, ids=lambda o: next(iter(o), "plain"))
def test_each_cache_has_its_own_length_and_nothing_beyond_it_is_read(options: dict) -> None:
    q, k, v, options = draw((3, 4, 2, 2, 100, 16), options)
    lengths = [100, 37, 2]
    rows = (slice(i, i + 1) for i in range(3))
    right = torch.cat(
        [
            attention_reference(q[i], k[i, :, :l], v[i, :, :l], causal=True, **options)
            for i, l in zip(rows, lengths, strict=True)
        ]
    )
    for i, l in enumerate(lengths):
        k[i, :, l:] = v[i, :, l:] = torch.nan
    told = torch.tensor(lengths, dtype=torch.int32, device=DEVICE)
    found = gpu_decode(q, k, v, lengths=told, **options)
    torch.testing.assert_close(found, right, atol=1e-6, rtol=0)


def test_float16_is_summed_in_float32() -> None:
    q, k, v, _ = draw((1, 4, 1, 1, 400, 32), {})
    right = attention_reference(q.double(), k.double(), v.double(), causal=True)
    found = gpu_decode(q.half(), k.half(), v.half())
    assert (found.double() - right).abs().max() < 1e-3


def test_no_key_gives_zero() -> None:
    q, k, v, _ = draw((1, 2, 1, 1, 4, 16), {})
    assert not gpu_decode(q, k[:, :, :0], v[:, :, :0]).any()
    empty = torch.zeros(1, dtype=torch.int32, device=DEVICE)
    assert not gpu_decode(q, k, v, lengths=empty).any()


def test_what_cannot_be_decoded_is_named() -> None:
    q, k, v, _ = draw((2, 4, 2, 1, 9, 16), {})
    with pytest.raises(ValueError, match=r"lengths must have shape \(2,\), int32, got \(2,\)"):
        gpu_decode(q, k, v, lengths=torch.tensor([3, 4], device=DEVICE))
    with pytest.raises(ValueError, match=r"q must have at most 64 rows .* got 80"):
        gpu_decode(q.expand(2, 4, 40, 16), k, v)
    with pytest.raises(ValueError, match="splits must be"):
        gpu_decode(q, k, v, splits=0)
