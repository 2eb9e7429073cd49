"""Comparisons whose sides differ in width, or are wider than a batch needs."""

import copy

import pytest
import torch

from rlcourse.alignment.data import Sample
from rlcourse.alignment.dpo import dpo_loss
from rlcourse.alignment.packing import padded_batch
from rlcourse.alignment.preference_training import train_on_comparisons
from rlcourse.alignment.reward_network import (
    Comparisons,
    RewardModel,
    both_sides,
    train_reward_model,
)
from rlcourse.language.config import Config
from rlcourse.language.training import Settings
from rlcourse.language.transformer import Decoder

CONFIG = Config(23, 12, 2, 4, 2, 6, 20, positions=64)
LENGTHS = (5, 9, 3, 7), (4, 12, 6, 2)
SETTINGS = Settings(steps=4, batch=2, rate=1e-2, warm_up=0)


def samples(lengths):
    g = torch.Generator().manual_seed(1)
    return [Sample(torch.randint(1, 23, (n,), generator=g), torch.arange(n) > 0) for n in lengths]


def sides(*more):
    """Both sides, each with rows of further lengths that only widen it, taken off again."""
    wide = [padded_batch(samples((*own, *more))) for own in LENGTHS]
    return Comparisons(*(type(x)(*(column[:4] for column in x)) for x in wide))


def test_rows_of_both_sides_are_as_wide_as_the_longest_of_them():
    batch = both_sides(sides(20), torch.tensor([2, 0]))
    alone = padded_batch([samples(own)[i] for own in LENGTHS for i in (2, 0)])
    assert torch.equal(batch.tokens, alone.tokens)
    assert torch.equal(batch.mask, alone.mask)
    assert torch.equal(batch.segments >= 0, alone.segments >= 0)
    assert batch.mask.dtype == torch.bool


def dpo(comparisons):
    decoder = Decoder(CONFIG, generator=torch.Generator().manual_seed(0)).double()
    g = torch.Generator().manual_seed(2)
    run = train_on_comparisons(
        decoder, copy.deepcopy(decoder), comparisons, lambda _, h: dpo_loss(h, 0.5), SETTINGS,
        generator=g,
    )  # fmt: skip
    return [step.loss for step in run]


def rewards(comparisons):
    decoder = Decoder(CONFIG, generator=torch.Generator().manual_seed(0)).double()
    g = torch.Generator().manual_seed(2)
    return train_reward_model(RewardModel(decoder), comparisons, SETTINGS, generator=g)


@pytest.mark.parametrize("train", [dpo, rewards])
def test_padding_changes_nothing_that_is_learned(train):
    losses = train(sides())
    assert len({*losses}) == 4
    assert train(sides(20)) == pytest.approx(losses, abs=1e-12)
