"""What reshapes and cuts a distribution, against loops over sorted probabilities and counting."""

import numpy as np
import pytest
import torch

from rlcourse.language import sampling
from rlcourse.language.sampling import ORDER, Sampling, process


def draw(*shape, seed=0, size=2.0):
    g = torch.Generator().manual_seed(seed)
    return size * torch.randn(*shape, generator=g, dtype=torch.float64)


def kept(logits):
    return [set(np.flatnonzero(np.isfinite(row))) for row in logits.numpy()]


def test_a_temperature_raises_probabilities_to_a_power():
    z = draw(3, 7)
    for temperature in (0.3, 1.0, 2.5):
        p = z.softmax(-1) ** (1 / temperature)
        found = sampling.with_temperature(z, temperature).softmax(-1)
        assert torch.allclose(found, p / p.sum(-1, keepdim=True), rtol=1e-12)


@pytest.mark.parametrize("k", [1, 3, 7, 50])
def test_top_k_keeps_the_k_largest(k):
    z = draw(4, 7)
    best = [set(np.argsort(-row)[:k]) for row in z.numpy()]
    assert kept(sampling.keep_top_k(z, k)) == best


def test_top_k_keeps_what_equals_the_kth():
    z = torch.tensor([[1.0, 3.0, 2.0, 2.0, 0.0]])
    assert kept(sampling.keep_top_k(z, 2)) == [{1, 2, 3}]


@pytest.mark.parametrize("p", [0.05, 0.5, 0.9, 1.0])
def test_top_p_keeps_the_fewest_that_hold_p(p):
    z = draw(6, 9)
    for row, found in zip(z.softmax(-1).numpy(), kept(sampling.keep_top_p(z, p)), strict=True):
        total, expected = 0.0, set()
        for token in np.argsort(-row):
            if total >= p - 1e-15:
                break
            expected.add(token)
            total += row[token]
        assert found == expected


def test_top_p_keeps_the_token_that_crosses_and_the_first_of_equals():
    z = torch.tensor([[0.5, 0.3, 0.2], [0.2, 0.4, 0.4]], dtype=torch.float64).log()
    assert kept(sampling.keep_top_p(z, 0.6)) == [{0, 1}, {1, 2}]
    assert kept(sampling.keep_top_p(z, 0.3)) == [{0}, {1}]


def test_min_p_keeps_what_is_likely_beside_the_likeliest():
    z = torch.tensor([[0.5, 0.3, 0.04, 0.16]], dtype=torch.float64).log()
    assert kept(sampling.keep_min_p(z, 0.1)) == [{0, 1, 3}]
    assert kept(sampling.keep_min_p(z, 0.5)) == [{0, 1}]
    assert kept(sampling.keep_min_p(z, 1.0)) == [{0}]


def test_a_repeated_token_is_penalised_once_and_padding_never():
    z = torch.tensor([[2.0, -1.0, 0.0, 3.0]] * 2)
    tokens = torch.tensor([[3, 0, 0, 1], [3, 3, 3, 2]])
    present = torch.tensor([[False, True, True, True], [True, True, False, True]])
    found = sampling.penalise_repetition(z, tokens, 2.0, present)
    assert found.tolist() == [[1.0, -2.0, 0.0, 3.0], [2.0, -1.0, 0.0, 1.5]]
    everything = sampling.penalise_repetition(z, tokens, 2.0)
    assert everything[0].tolist() == [1.0, -2.0, 0.0, 1.5]


def test_cuts_compose_and_the_order_of_temperature_matters():
    z = torch.tensor([[0.6, 0.25, 0.15]], dtype=torch.float64).log()
    row = torch.zeros(1, 1, dtype=torch.long)
    hot = Sampling(temperature=3.0, top_p=0.75)
    assert kept(process(z, row, hot)) == [{0, 1, 2}]  # flattened first: 0.75 needs all three
    late = [*ORDER[:1], *ORDER[2:], "temperature"]
    assert kept(process(z, row, hot, order=late)) == [{0, 1}]


def test_the_default_order_is_that_of_hugging_face_and_does_nothing_by_default():
    z, tokens = draw(2, 5), torch.tensor([[1, 2, 2], [0, 0, 0]])
    assert torch.equal(process(z, tokens, Sampling()), z)
    s = Sampling(0.7, top_k=4, top_p=0.8, min_p=0.05, repetition_penalty=1.3)
    steps = sampling.penalise_repetition(z, tokens, 1.3) / 0.7
    for cut, value in ((sampling.keep_top_k, 4), (sampling.keep_top_p, 0.8)):
        steps = cut(steps, value)
    assert torch.equal(process(z, tokens, s), sampling.keep_min_p(steps, 0.05))


def test_without_a_uniform_the_likeliest_token_is_certain():
    z, row = draw(3, 5), torch.zeros(3, 1, dtype=torch.long)
    assert torch.equal(process(z, row, sampling.GREEDY), z)
    tokens, log_probs = sampling.draw(z, None)
    assert torch.equal(tokens, z.argmax(-1))
    assert torch.equal(log_probs, torch.zeros(3).double())


def test_tokens_are_chosen_as_often_as_they_are_likely():
    p = torch.tensor([0.0, 0.5, 0.0, 0.2, 0.3, 0.0], dtype=torch.float64)
    u = (torch.arange(10_000) + 0.5) / 10_000
    counts = sampling.choose(p.expand(10_000, 6), u).bincount(minlength=6)
    assert counts.tolist() == [0, 5000, 0, 2000, 3000, 0]


def test_the_largest_uniform_still_chooses_a_token_that_can_be_drawn():
    u = torch.tensor([np.nextafter(1.0, 0.0), 0.0], dtype=torch.float64)
    for kind in (torch.float32, torch.float64):
        p = torch.tensor([[0.0, 0.7, 0.2, 0.0]] * 2, dtype=kind)
        assert sampling.choose(p, u).tolist() == [2, 1]


def test_sampled_log_probs_are_those_of_the_cut_distribution():
    z = sampling.keep_top_k(draw(4, 6), 3)
    tokens = z.argmax(-1)
    p = z.exp() / z.exp().sum(-1, keepdim=True)
    expected = p.gather(1, tokens[:, None])[:, 0].log()
    assert torch.allclose(sampling.sampled_log_probs(z, tokens), expected, rtol=1e-12)
    assert sampling.sampled_log_probs(z, z.argmin(-1)).tolist() == [-np.inf] * 4


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"temperature": -1.0}, "temperature must not be negative, got -1.0"),
        ({"top_k": 0}, "top_k must be at least 1 or None, got 0"),
        ({"top_p": 0.0}, r"top_p must lie in \(0, 1\] or be None, got 0.0"),
        ({"min_p": 1.5}, r"min_p must lie in \(0, 1\] or be None, got 1.5"),
        ({"repetition_penalty": 0.0}, "repetition_penalty must be positive, got 0.0"),
    ],
)
def test_options_out_of_range_are_refused(options, message):
    with pytest.raises(ValueError, match=message):
        Sampling(**options)


def test_an_order_that_leaves_a_step_out_is_refused():
    with pytest.raises(ValueError, match="order must hold each of"):
        process(draw(1, 3), torch.zeros(1, 1, dtype=torch.long), Sampling(), order=ORDER[1:])
    with pytest.raises(ValueError, match="temperature must be positive, got 0"):
        sampling.with_temperature(draw(1, 3), 0)
