"""Fused log-probabilities against log_softmax and gather, their gradients and their memory."""

import pytest
import torch

from rlcourse.language.log_probs import fused_log_probs, token_log_probs


def draw(*lead, c=5, v=11, dtype=torch.float64, seed=0):
    g = torch.Generator().manual_seed(seed)
    states = torch.randn(*lead, c, generator=g, dtype=dtype, requires_grad=True)
    head = torch.randn(v, c, generator=g, dtype=dtype, requires_grad=True)
    return states, head, torch.randint(v, lead, generator=g)


def plain(states, head, tokens):
    return torch.log_softmax(states @ head.T, -1).gather(-1, tokens[..., None])[..., 0]


def test_token_log_probs_are_a_log_softmax_at_the_tokens():
    states, head, tokens = draw(3, 4)
    found = token_log_probs(states @ head.T, tokens)
    assert torch.allclose(found, plain(states, head, tokens), rtol=0, atol=1e-13)


@pytest.mark.parametrize("chunk", [1, 3, 4, 12, 50, None])
def test_chunks_change_nothing(chunk):
    states, head, tokens = draw(3, 4)
    found = fused_log_probs(states, head, tokens, chunk=chunk)
    expected = plain(states, head, tokens)
    assert torch.allclose(found, expected, rtol=0, atol=1e-13)
    weights = torch.linspace(-2, 3, 12, dtype=torch.float64).reshape(3, 4)  # any loss
    want = torch.autograd.grad((expected.exp() * weights).sum(), (states, head))
    got = torch.autograd.grad((found.exp() * weights).sum(), (states, head))
    assert all(torch.allclose(a, b, rtol=0, atol=1e-13) for a, b in zip(want, got, strict=True))


def test_gradients_are_those_of_finite_differences():
    states, head, tokens = draw(4)
    assert torch.autograd.gradcheck(
        lambda x, w: fused_log_probs(x, w, tokens, chunk=3), (states, head)
    )


def test_only_the_gradients_asked_for_are_computed():
    states, head, tokens = draw(6)
    alone = fused_log_probs(states, head.detach(), tokens, chunk=4)
    (found,) = torch.autograd.grad(alone.sum(), states)
    (expected,) = torch.autograd.grad(plain(states, head, tokens).sum(), states)
    assert torch.allclose(found, expected, rtol=0, atol=1e-13)
    fused_log_probs(states.detach(), head, tokens).sum().backward()
    assert head.grad is not None


def test_logits_of_ten_thousand_stay_finite():
    states, head, tokens = draw(5)
    found = fused_log_probs(1e4 * states, head, tokens, chunk=2)
    assert torch.allclose(found, plain(1e4 * states, head, tokens), rtol=1e-12)
    assert torch.autograd.grad(found.sum(), head)[0].isfinite().all()


def test_sixteen_bits_are_summed_in_float32():
    states, head, tokens = draw(64, c=32, v=500, dtype=torch.bfloat16)
    found = fused_log_probs(states, head, tokens)
    exact = plain(states.double(), head.double(), tokens)
    naive = plain(states, head, tokens)
    assert found.dtype == torch.float32
    error, naive_error = ((x.double() - exact).abs().max() for x in (found, naive))
    assert error <= naive_error
    want = torch.autograd.grad(exact.sum(), (states, head))
    got = torch.autograd.grad(found.sum(), (states, head))
    for a, b in zip(want, got, strict=True):
        assert b.dtype == torch.bfloat16
        assert float((a.float() - b.float()).norm() / a.float().norm()) < 0.02


def test_nothing_in_nothing_out():
    states, head, _ = draw(2)
    found = fused_log_probs(states[:0], head, torch.zeros(0, dtype=torch.long))
    assert found.shape == (0,)


def test_no_array_of_all_logits_is_ever_made():
    states, head, tokens = draw(64, c=4, v=512)
    largest = 0

    class Watch(torch.utils._python_dispatch.TorchDispatchMode):
        def __torch_dispatch__(self, function, types, args=(), kwargs=None):
            nonlocal largest
            out = function(*args, **(kwargs or {}))
            for x in out if isinstance(out, tuple | list) else (out,):
                if isinstance(x, torch.Tensor):
                    largest = max(largest, x.numel())
            return out

    with Watch():
        fused_log_probs(states, head, tokens, chunk=4).sum().backward()
    assert largest == 4 * 512
    with Watch():
        plain(states, head, tokens).sum().backward()
    assert largest == 64 * 512


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"tokens": torch.tensor([1, 11])}, r"tokens must lie in \[0, 11\), got 11"),
        ({"tokens": torch.tensor([-1, 2])}, r"tokens must lie in \[0, 11\), got -1"),
        ({"tokens": torch.tensor([1, 2, 3])}, r"states must have shape \(3, 5\), got \(2, 5\)"),
        ({"chunk": 0}, "chunk must be at least 1, got 0"),
    ],
)
def test_what_does_not_fit_is_refused(change, message):
    states, head, tokens = draw(2)
    with pytest.raises(ValueError, match=message):
        fused_log_probs(**{"states": states, "head": head, "tokens": tokens} | change)
