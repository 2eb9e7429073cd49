"""Attention against a loop over queries, and PyTorch's against the plain form."""

import math

import pytest
import torch

from rlcourse.language.attention import grouped_attention, sdpa
from rlcourse.language.masks import causal_mask, padded_mask


def draw(b, h, g, n, m, d, seed=0):
    generator = torch.Generator().manual_seed(seed)
    shapes = (b, h, n, d), (b, g, m, d), (b, g, m, d)
    return [
        torch.randn(s, generator=generator, dtype=torch.float64, requires_grad=True) for s in shapes
    ]


def test_attention_is_a_weighted_mean_for_each_query():
    q, k, v = (x.detach() for x in draw(2, 4, 2, 3, 5, 6))
    mask = causal_mask(3, 5)
    found = grouped_attention(q, k, v, mask)
    for b in range(2):
        for h in range(4):
            for i in range(3):
                keys = [j for j in range(5) if mask[i, j]]
                w = [math.exp(float(q[b, h, i] @ k[b, h // 2, j]) / math.sqrt(6)) for j in keys]
                mean = sum(x * v[b, h // 2, j] for x, j in zip(w, keys, strict=True)) / sum(w)
                assert torch.allclose(found[b, h, i], mean, rtol=0, atol=1e-12)


@pytest.mark.parametrize(("n", "m"), [(5, 5), (1, 5), (3, 7), (1, 1)])
def test_pytorch_agrees_and_is_causal_from_the_last_key_backwards(n, m):
    tensors = draw(2, 6, 3, n, m, 4)
    plain = grouped_attention(*tensors, causal_mask(n, m))
    fused = sdpa(*tensors)
    assert torch.allclose(fused, plain, rtol=0, atol=1e-13)
    want, got = (torch.autograd.grad(o.sin().sum(), tensors) for o in (plain, fused))
    assert all(torch.allclose(a, b, rtol=0, atol=1e-13) for a, b in zip(want, got, strict=True))


def test_pytorch_agrees_under_a_mask():
    tensors = draw(3, 4, 2, 5, 5, 8)
    present = torch.tensor([[0, 0, 1, 1, 1], [1] * 5, [0, 1, 1, 1, 1]]).bool()
    mask = padded_mask(present, 5)
    plain = grouped_attention(*tensors, mask)
    assert torch.allclose(sdpa(*tensors, mask), plain, rtol=0, atol=1e-13)


def test_a_query_that_sees_nothing_gets_zero_and_passes_zero_on():
    tensors = draw(1, 2, 1, 3, 4, 2)
    mask = causal_mask(3, 4) & torch.tensor([[True], [False], [True]])
    o = grouped_attention(*tensors, mask)
    assert torch.equal(o[:, :, 1], torch.zeros(1, 2, 2, dtype=torch.float64))
    gradients = torch.autograd.grad(o.square().sum(), tensors)
    assert all(g.isfinite().all() for g in gradients)
    assert torch.equal(gradients[0][:, :, 1], torch.zeros(1, 2, 2, dtype=torch.float64))
