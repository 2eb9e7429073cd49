"""Masks, targets, losses and cuts, against values by hand and the sums they must add up to."""

import pytest
import torch

from rlcourse.alignment.data import (
    Turn,
    chat_sample,
    next_token_targets,
    token_loss,
    truncate,
)

TALK = [
    Turn("system", [1, 10], [20, 21], [2], [3]),
    Turn("user", [1, 11], [22], [2], [3]),
    Turn("assistant", [1, 12], [23, 24], [2], [3]),
    Turn("tool", [1, 13], [25], [2], [3]),
    Turn("assistant", [1, 12], [], [2], [3]),
]


def test_the_assistants_words_and_ends_carry_loss():
    sample = chat_sample(TALK)
    learned = sample.tokens[sample.mask].tolist()
    assert learned == [23, 24, 2, 2]
    assert sample.tokens.tolist() == [
        x for t in TALK for x in [*t.header, *t.content, *t.end, *t.after]
    ]


def test_an_empty_conversation_is_refused():
    with pytest.raises(ValueError, match="turns must hold a token, got none"):
        chat_sample([])


def test_each_kept_label_is_a_token_of_the_assistant():
    sample = chat_sample(TALK)
    inputs, labels, mask = next_token_targets(sample.tokens[None], sample.mask[None])
    assert labels[mask].tolist() == [23, 24, 2, 2]
    assert torch.equal(inputs[0, 1:], labels[0, :-1])


def test_losses_of_parts_add_up_to_that_of_the_batch():
    g = torch.Generator().manual_seed(0)
    log_probs = -torch.rand(6, 9, generator=g, dtype=torch.float64).requires_grad_()
    mask = torch.rand(6, 9, generator=g) < torch.linspace(0.1, 1, 6)[:, None]
    total = int(mask.sum())
    whole = token_loss(log_probs, mask, total)
    assert whole.item() == pytest.approx(-log_probs[mask].mean().item())
    (expected,) = torch.autograd.grad(whole, log_probs)
    for cuts in ([3, 3], [1, 4, 1], [1] * 6):
        parts = zip(log_probs.split(cuts), mask.split(cuts), strict=True)
        loss = sum(token_loss(x, m, total) for x, m in parts)
        (found,) = torch.autograd.grad(loss, log_probs)
        assert torch.allclose(found, expected, rtol=1e-14)
        means = [x[m].mean() for x, m in zip(log_probs.split(cuts), mask.split(cuts), strict=True)]
        assert abs(sum(means).item() / len(cuts) + whole.item()) > 1e-4  # the usual mistake


def test_masked_tokens_may_be_infinite():
    log_probs = torch.tensor([[-1.0, -torch.inf, torch.nan]], requires_grad=True)
    loss = token_loss(log_probs, torch.tensor([[True, False, False]]), 2)
    loss.backward()
    assert loss.item() == 0.5
    assert log_probs.grad.tolist() == [[-0.5, 0, 0]]
    with pytest.raises(ValueError, match="total must be at least 1, got 0"):
        token_loss(log_probs, torch.zeros(1, 3).bool(), 0)


@pytest.mark.parametrize(
    ("mode", "kept"),
    [("left", [3, 4, 5, 6, 7]), ("right", [1, 2, 3, 4, 5]), ("middle", [1, 2, 5, 6, 7])],
)
def test_each_mode_cuts_where_it_says(mode, kept):
    tokens = [*range(1, 8)]
    assert truncate(tokens, 5, mode) == kept
    assert truncate(tokens, 7, mode) == tokens
    assert truncate(tokens, 1, mode) == ([1] if mode == "right" else [7])


def test_what_cannot_be_cut_is_refused():
    with pytest.raises(ValueError, match="tokens must not exceed limit = 2, got 3"):
        truncate([1, 2, 3], 2, "error")
    with pytest.raises(ValueError, match=r"mode must be one of .* got 'centre'"):
        truncate([1], 2, "centre")
    with pytest.raises(ValueError, match="limit must be at least 1, got 0"):
        truncate([1], 0, "left")
