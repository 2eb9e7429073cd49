"""Rewards of padded rows against each row alone, and training against steps taken by hand."""

import itertools
import math
from dataclasses import replace

import pytest
import torch
from comparison_cases import CONFIG, LENGTHS, SHORT, comparisons, decoder, generator, samples
from torch.nn.functional import logsigmoid, pad

from rlcourse.alignment.descent import batches
from rlcourse.alignment.packing import Batch, padded_batch
from rlcourse.alignment.reward_model import pairwise_loss
from rlcourse.alignment.reward_network import (
    RewardModel,
    both_sides,
    rewards_of,
    train_reward_model,
)
from rlcourse.language.transformer import Decoder


def reward_model():
    """One whose head is no longer 0."""
    model = RewardModel(decoder())
    with torch.no_grad():
        model.score.weight.normal_(generator=generator(5))
    return model


def alone(model, tokens):
    """w · the last state of a row without padding."""
    return model.score.weight[0] @ model.decoder.states(tokens[None])[0, -1]


def padded(batch, left, right):
    return Batch(
        *(pad(x, (left, right), value=v) for x, v in zip(batch, (0, -1, False), strict=True))
    )


# ------------------------------------------------------------------------------- both sides


def test_rows_of_both_sides_are_as_wide_as_the_longest_of_them():
    batch = both_sides(comparisons(20), torch.tensor([2, 0]))
    rows = [samples(own, seed)[i] for seed, own in enumerate(LENGTHS) for i in (2, 0)]
    expected = padded_batch(rows)
    assert torch.equal(batch.tokens, expected.tokens)
    assert torch.equal(batch.mask, expected.mask)
    assert torch.equal(batch.segments >= 0, expected.segments >= 0)
    assert batch.mask.dtype == torch.bool


def test_padding_on_the_left_is_kept():
    sides = comparisons()
    both = both_sides(type(sides)(padded(sides.chosen, 3, 2), sides.rejected), torch.tensor([0, 3]))
    assert both.tokens.shape == (4, 3 + 7)
    assert both.tokens[0].tolist() == [0, 0, 0, *sides.chosen.tokens[0, :5].tolist(), 0, 0]
    assert (both.segments[1] >= 0).tolist() == [False] * 3 + [True] * 7


# ------------------------------------------------------------------------------- the model


def test_each_reward_is_that_of_the_row_alone():
    model, rows = reward_model(), samples((5, 9, 1, 3, 9))
    found = model(padded_batch(rows))
    expected = torch.stack([alone(model, tokens) for tokens, _ in rows])
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-12)
    assert found.std() > 0.1


@pytest.mark.parametrize("width", [(4, 0), (0, 6), (2, 3)])
def test_padding_on_either_side_changes_no_reward(width):
    model, batch = reward_model(), padded_batch(samples((5, 9, 1, 3)))
    torch.testing.assert_close(model(padded(batch, *width)), model(batch), rtol=0, atol=1e-12)


def test_before_training_each_reward_is_zero_in_the_type_of_the_decoder():
    for start, dtype in ((decoder(), torch.float64), (decoder().float(), torch.float32)):
        found = RewardModel(start)(padded_batch(samples((5, 2))))
        assert found.tolist() == [0.0, 0.0]
        assert found.dtype == dtype


def test_the_gradient_reaches_every_weight():
    model = reward_model()
    torch.autograd.backward(model(padded_batch(samples((5, 9)))).sum())
    assert all(p.grad.abs().sum() > 0 for p in model.parameters())


@pytest.mark.parametrize("rows", [1, 2, 5, 100])
def test_many_rows_are_scored_in_parts(rows):
    model, batch = reward_model(), padded_batch(samples((5, 9, 1, 3, 7)))
    found = rewards_of(model, batch, rows)
    torch.testing.assert_close(found, model(batch).detach(), rtol=0, atol=1e-12)
    assert not found.requires_grad


def test_a_loss_may_be_computed_from_rewards_that_were_scored():
    scale = torch.ones(2, dtype=torch.float64, requires_grad=True)
    found = rewards_of(reward_model(), padded_batch(samples((5, 9))))
    (slope,) = torch.autograd.grad((scale * found).sum(), scale)
    assert torch.equal(slope, found)


# ------------------------------------------------------------------------------- training


def trained(settings=SHORT, sides=None, **options):
    model = RewardModel(decoder())
    sides = sides or comparisons()
    return model, train_reward_model(model, sides, settings, generator=generator(2), **options)


def test_padding_changes_nothing_that_is_learned():
    _, losses = trained()
    assert len({*losses}) == 4
    assert trained(sides=comparisons(20))[1] == pytest.approx(losses, abs=1e-12)


def test_training_begins_at_log_two_and_orders_all_pairs():
    start, sides = decoder(), comparisons()
    model, losses = trained(replace(SHORT, steps=40))
    assert losses[0] == pytest.approx(math.log(2))
    assert max(losses[-4:]) < 0.2
    better, worse = (rewards_of(model, side) for side in sides)
    assert (better > worse).all()
    assert all(map(torch.equal, start.parameters(), decoder().parameters()))


def test_the_decoder_that_was_copied_does_not_change():
    start = decoder()
    train_reward_model(RewardModel(start), comparisons(), SHORT, generator=generator(2))
    assert all(map(torch.equal, start.parameters(), decoder().parameters()))


def test_one_generator_gives_one_model():
    (one, losses), (other, again) = trained(), trained()
    assert losses == again
    assert all(map(torch.equal, one.parameters(), other.parameters()))


def test_each_loss_is_taken_before_its_step():
    _, losses = trained(replace(SHORT, steps=2, warm_up=2, rate=2e-2))
    model, once = trained(replace(SHORT, steps=1, warm_up=1, rate=1e-2))
    second = [*itertools.islice(batches(4, 2, generator=generator(2)), 2)][1]
    better, worse = (rewards_of(model, side)[second] for side in comparisons())
    assert once == losses[:1]
    assert losses[1] == pytest.approx(-logsigmoid(better - worse).mean().item(), rel=1e-12)
    assert losses[1] != pytest.approx(math.log(2), abs=1e-6)


def test_a_margin_stays_with_its_comparison():
    margin = torch.tensor([0.0, 1.0, 2.0, 4.0])
    seen = []

    def loss(better, worse, m):
        seen.append(m.tolist())
        return pairwise_loss(better, worse, m)

    _, losses = trained(margin=margin, loss=loss)
    rows = itertools.islice(batches(4, 2, generator=generator(2)), 4)
    assert seen == [margin[own].tolist() for own in rows]
    by_hand = sum(math.log1p(math.exp(m)) for m in seen[0]) / 2  # all rewards are 0
    assert losses[0] == pytest.approx(by_hand)


def test_one_margin_may_be_for_all():
    _, losses = trained(margin=1.5)
    assert losses[0] == pytest.approx(math.log1p(math.exp(1.5)))
    assert trained(margin=torch.full((4,), 1.5))[1] == losses


def test_progress_is_told_of_each_step():
    told = []
    _, losses = trained(progress=lambda *x: told.append(x))
    assert [x[:2] for x in told] == [(1, 4), (2, 4), (3, 4), (4, 4)]
    assert told[-1][2].tolist() == losses


def test_fewer_comparisons_than_a_batch_are_refused():
    with pytest.raises(ValueError, match="samples must be at least 5, a batch, got 4"):
        trained(replace(SHORT, batch=5))


def test_a_loss_that_is_no_number_stops_the_training():
    with pytest.raises(FloatingPointError, match="the loss is no number at step 0"):
        trained(margin=math.nan)
    start = Decoder(CONFIG, generator=generator())
    start.embed_tokens.weight.data.fill_(torch.inf)
    with pytest.raises(FloatingPointError, match="the loss is no number at step 0"):
        train_reward_model(RewardModel(start), comparisons(), SHORT, generator=generator())
