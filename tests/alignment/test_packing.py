"""Packing against brute force, and packed batches against each sequence alone."""

import itertools

import numpy as np
import pytest
import torch

from rlcourse.alignment.data import Sample, next_token_targets, token_loss
from rlcourse.alignment.packing import (
    pack,
    packed_batch,
    padded_batch,
    repad,
    token_budget_batches,
    unpad,
)
from rlcourse.language.config import Config
from rlcourse.language.masks import packed_mask, packed_positions
from rlcourse.language.sampling import sampled_log_probs
from rlcourse.language.transformer import Decoder


def check_rows(lengths, capacity, packing):
    """No row overflows, and no two sequences overlap."""
    taken = set()
    for n, b, start in zip(lengths, *packing, strict=True):
        places = {(b, start + t) for t in range(n)}
        assert start + n <= capacity
        assert not taken & places
        taken |= places


def fewest(lengths, capacity):
    """The least number of rows, by trying every assignment."""
    for rows in range(1, len(lengths) + 1):
        for where in itertools.product(range(rows), repeat=len(lengths)):
            if np.bincount(where, lengths, rows).max() <= capacity:
                return rows
    return 0


def test_packing_is_close_to_the_best_there_is():
    rng = np.random.default_rng(0)
    for _ in range(60):
        lengths = rng.integers(1, 11, size=rng.integers(1, 7)).tolist()
        packing = pack(lengths, 10)
        check_rows(lengths, 10, packing)
        assert max(packing.row) + 1 <= 11 / 9 * fewest(lengths, 10) + 6 / 9


def test_a_famous_case_is_packed_as_it_should():
    assert pack([3, 5, 2, 4], 7) == ([1, 0, 0, 1], [4, 0, 5, 0])
    assert pack([], 4) == ([], [])
    with pytest.raises(ValueError, match=r"lengths must lie in \[1, 7\], got 8"):
        pack([3, 8], 7)


def test_budgets_hold_and_every_sequence_comes_once():
    rng = np.random.default_rng(1)
    for budget in (20, 57, 300):
        lengths = rng.integers(1, 21, size=40).tolist()
        batches = token_budget_batches(lengths, budget)
        assert sorted(i for batch in batches for i in batch) == [*range(40)]
        costs = [max(lengths[i] for i in batch) * len(batch) for batch in batches]
        assert max(costs) <= budget
        for a, b in itertools.pairwise(batches):  # each was closed for a reason
            assert (len(a) + 1) * lengths[b[0]] > budget
    with pytest.raises(ValueError, match=r"lengths must lie in \[1, 5\], got 0"):
        token_budget_batches([0], 5)


def samples(lengths, seed=0):
    g = torch.Generator().manual_seed(seed)
    return [
        Sample(torch.randint(1, 23, (n,), generator=g), torch.rand(n, generator=g) < 0.7)
        for n in lengths
    ]


def model():
    generator = torch.Generator().manual_seed(0)
    config = Config(23, 12, 2, 4, 2, 6, 20, positions=64, qk_norm=True)
    decoder = Decoder(config, generator=generator).double()
    for p in decoder.parameters():
        p.data += 0.3 * torch.randn(p.shape, generator=generator, dtype=torch.float64)
    return decoder


def loss_of(decoder, tokens, carries, total, **layout):
    inputs, labels, kept = next_token_targets(tokens, carries)
    logits = decoder(inputs, **layout)
    log_probs = sampled_log_probs(logits, labels)
    return token_loss(log_probs, kept, total), log_probs


def gradients(decoder, loss):
    return torch.autograd.grad(loss, [*decoder.parameters()])


@pytest.mark.parametrize("capacity", [9, 13, 30])
def test_packed_separate_and_padded_have_the_same_log_probs_and_gradients(capacity):
    decoder, parts = model(), samples([5, 9, 3, 7, 2, 4])
    for part in parts:
        part.mask[0] = False  # nobody predicts a first token
    total = sum(int(part.mask.sum()) for part in parts)
    alone = [loss_of(decoder, p.tokens[None], p.mask[None], total) for p in parts]
    expected = gradients(decoder, sum(loss for loss, _ in alone))
    for batch in (packed_batch(parts, capacity), padded_batch(parts)):
        segments = batch.segments[:, :-1]
        loss, log_probs = loss_of(
            decoder, batch.tokens, batch.mask, total,
            positions=packed_positions(segments), mask=packed_mask(segments),
        )  # fmt: skip
        for i, (_, own) in enumerate(alone):
            here = (batch.segments[:, :-1] == i) & (batch.segments[:, 1:] == i)
            assert torch.allclose(log_probs[here], own[0], rtol=0, atol=1e-12)
        found = gradients(decoder, loss)
        assert all(
            torch.allclose(a, b, rtol=0, atol=1e-12) for a, b in zip(found, expected, strict=True)
        )


def test_a_naive_pack_leaks_into_its_neighbours():
    decoder, parts = model(), samples([5, 9])
    batch = packed_batch(parts, 14)
    first = decoder(batch.tokens[:, :9])
    leaked = decoder(batch.tokens)[0, 9:]
    alone = decoder(parts[0].tokens[None])[0]
    assert torch.allclose(first[0], decoder(parts[1].tokens[None])[0], rtol=0, atol=1e-12)
    assert (leaked - alone).abs().max() > 0.1


def test_unpadding_and_back_loses_nothing():
    present = torch.tensor([[0, 1, 1, 1], [1, 1, 0, 0], [0, 0, 0, 0], [1, 1, 1, 1]]).bool()
    tokens = torch.arange(1, 17).reshape(4, 4)
    row, cu_seqlens = unpad(tokens, present)
    assert row.tolist() == [[2, 3, 4, 5, 6, 13, 14, 15, 16]]
    assert cu_seqlens.tolist() == [0, 3, 5, 5, 9]
    assert torch.equal(repad(row, present, 0), tokens * present)
    states = torch.randn(1, 9, 3, generator=torch.Generator().manual_seed(0))
    back = repad(states, present)
    assert torch.equal(back[present], states[0])
    assert (back[~present] == 0).all()
