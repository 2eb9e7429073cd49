"""Fused log-probabilities against log_softmax and gather, their gradients and their memory."""

import pytest
import torch

from rlcourse.language.log_probs import (
    fused_log_probs,
    fused_log_probs_and_entropy,
)


def draw(*lead, c=5, v=11, dtype=torch.float64, seed=0):
    g = torch.Generator().manual_seed(seed)
    states = torch.randn(*lead, c, generator=g, dtype=dtype, requires_grad=True)
    head = torch.randn(v, c, generator=g, dtype=dtype, requires_grad=True)
    return states, head, torch.randint(v, lead, generator=g)


def plain(states, head, tokens, temperature=1.0):
    logs = torch.log_softmax(states @ head.T / temperature, -1)
    return logs.gather(-1, tokens[..., None])[..., 0]


def entropy(states, head, temperature=1.0):
    return torch.distributions.Categorical(logits=states @ head.T / temperature).entropy()


def close(found, expected, atol=1e-13):
    return torch.allclose(found, expected, rtol=0, atol=atol)


@pytest.mark.parametrize("temperature", [1.0, 0.6])
@pytest.mark.parametrize("chunk", [1, 3, 10, 11, 50, None])
def test_chunks_change_nothing(chunk, temperature):
    states, head, tokens = draw(3, 4)
    options = {"temperature": temperature, "chunk": chunk}
    found, spread = fused_log_probs_and_entropy(states, head, tokens, **options)
    expected = plain(states, head, tokens, temperature)
    expected_spread = entropy(states, head, temperature)
    assert close(found, expected)
    assert close(spread, expected_spread)
    assert torch.equal(fused_log_probs(states, head, tokens, **options), found)

    weights = torch.linspace(-2, 3, 12, dtype=torch.float64).reshape(3, 4)
    for loss in (  # any use of the two
        lambda a, h: (a.exp() * weights).sum(),
        lambda a, h: (h.square() * weights).sum(),
        lambda a, h: (a * h * weights).sum(),
    ):
        want = torch.autograd.grad(loss(expected, expected_spread), (states, head), None, True)
        got = torch.autograd.grad(loss(found, spread), (states, head), None, True)
        assert all(close(a, b, 1e-12) for a, b in zip(want, got, strict=True))


def test_gradients_are_those_of_finite_differences():
    states, head, tokens = draw(4)
    assert torch.autograd.gradcheck(
        lambda x, w: fused_log_probs_and_entropy(x, w, tokens, temperature=1.7, chunk=3),
        (states, head),
    )


def test_only_the_gradients_asked_for_are_computed():
    states, head, tokens = draw(6)
    alone = fused_log_probs(states, head.detach(), tokens, chunk=4)
    (found,) = torch.autograd.grad(alone.sum(), states)
    (expected,) = torch.autograd.grad(plain(states, head, tokens).sum(), states)
    assert close(found, expected)
    alone = fused_log_probs(states.detach(), head, tokens, chunk=4)
    (found,) = torch.autograd.grad(alone.sum(), head)
    (expected,) = torch.autograd.grad(plain(states, head, tokens).sum(), head)
    assert close(found, expected)


def test_a_tied_head_gathers_both_gradients():
    _, head, tokens = draw(6)
    want = torch.autograd.grad(plain(head[tokens], head, tokens.flip(0)).sum(), head)
    got = torch.autograd.grad(fused_log_probs(head[tokens], head, tokens.flip(0)).sum(), head)
    assert close(*want, *got)


def test_second_derivatives_are_refused():
    states, head, tokens = draw(3)
    found = fused_log_probs(states, head, tokens)
    (first,) = torch.autograd.grad(found.square().sum(), states, create_graph=True)
    with pytest.raises(RuntimeError, match="once_differentiable"):
        first.sum().backward()


@pytest.mark.parametrize("scale", [1e4, -1e4])
def test_logits_of_ten_thousand_stay_finite(scale):
    states, head, tokens = draw(5)
    found, spread = fused_log_probs_and_entropy(scale * states, head, tokens, chunk=2)
    assert torch.allclose(found, plain(scale * states, head, tokens), rtol=1e-12)
    assert close(spread, torch.zeros(5, dtype=torch.float64))
    (d_head,) = torch.autograd.grad((found + spread).sum(), head)
    assert d_head.isfinite().all()


def test_a_certain_token_has_a_log_probability_of_zero_exactly():
    states, head, _ = draw(40, c=64, v=30, dtype=torch.float32)
    likeliest = (states @ head.T).argmax(-1)
    found = fused_log_probs(1e4 * states, head, likeliest, chunk=7)
    assert torch.equal(found, torch.zeros(40))


def test_sixteen_bits_are_summed_in_float32():
    states, head, tokens = draw(64, c=32, v=500, dtype=torch.bfloat16)
    found, spread = fused_log_probs_and_entropy(states, head, tokens, chunk=60)
    exact = plain(states.double(), head.double(), tokens)
    naive = plain(states, head, tokens)
    assert found.dtype == spread.dtype == torch.float32
    error, naive_error = ((x.double() - exact).abs().max() for x in (found, naive))
    assert error <= naive_error
    want = torch.autograd.grad(exact.sum(), (states, head))
    got = torch.autograd.grad(found.sum(), (states, head))
    for a, b in zip(want, got, strict=True):
        assert b.dtype == torch.bfloat16
        assert float((a.float() - b.float()).norm() / a.float().norm()) < 0.01


def test_nothing_in_nothing_out():
    states, head, _ = draw(2)
    found = fused_log_probs(states[:0], head, torch.zeros(0, dtype=torch.long))
    assert found.shape == (0,)
    assert torch.autograd.grad(found.sum(), head)[0].eq(0).all()


def test_one_token_without_a_leading_axis():
    states, head, tokens = draw()
    assert close(fused_log_probs(states, head, tokens, chunk=4), plain(states, head, tokens))


def test_the_largest_array_is_the_gradient_of_the_head():
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
        sum(fused_log_probs_and_entropy(states, head, tokens, chunk=16)).sum().backward()
    assert largest == head.numel() == 4 * 512
    with Watch():
        plain(states, head, tokens).sum().backward()
    assert largest == 64 * 512


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"tokens": torch.tensor([1, 11])}, r"tokens must lie in \[0, 11\), got 11"),
        ({"tokens": torch.tensor([-1, 2])}, r"tokens must lie in \[0, 11\), got -1"),
        ({"tokens": torch.tensor([1, 2, 3])}, r"states must have shape \(3, 5\), got \(2, 5\)"),
        ({"states": torch.zeros(2, 5)}, "the type of head, torch.float64, got torch.float32"),
        ({"chunk": 0}, "chunk must be at least 1, got 0"),
        ({"temperature": 0.0}, "temperature must be positive, got 0.0"),
    ],
)
def test_what_does_not_fit_is_refused(change, message):
    states, head, tokens = draw(2)
    with pytest.raises(ValueError, match=message):
        fused_log_probs(**{"states": states, "head": head, "tokens": tokens} | change)
