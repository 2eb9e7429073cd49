"""A critic of begun answers."""

import pytest
import torch
from rl_worlds import model, written_batch

from rlcourse.alignment.critic import Critic, valued

POLICY = model()
BATCH = written_batch(POLICY, samples=4)


@pytest.fixture
def critic():
    found = Critic(POLICY)
    g = torch.Generator().manual_seed(0)
    found.value.weight.data = torch.randn(
        found.value.weight.shape, dtype=torch.float64, generator=g
    )
    found.value.bias.data.fill_(0.5)
    return found


def test_it_foretells_nothing_at_first():
    assert not Critic(POLICY)(BATCH).any()


def test_a_value_is_said_before_its_token_is_seen(critic):
    other = {name: x.clone() for name, x in BATCH.items()}
    t = 1
    rows = BATCH["mask"][:, t + 1]
    other["tokens"][:, 3 + t] = (other["tokens"][:, 3 + t] + 1) % 7
    before, after = critic(BATCH), critic(other)
    torch.testing.assert_close(before[:, : t + 1], after[:, : t + 1], rtol=0, atol=0)
    assert (before[rows, t + 1] != after[rows, t + 1]).all()
    assert rows.any()


def test_values_are_those_of_rows_without_padding_and_0_on_padding(critic):
    found = valued(critic, BATCH, 3)["value"]
    for i, own in enumerate(BATCH["mask"]):
        row = BATCH["tokens"][i][BATCH["present"][i]]
        states = critic.decoder.states(row[None])[0, -int(own.sum()) - 1 : -1]
        torch.testing.assert_close(found[i, own], critic.value(states)[:, 0].detach())
        assert not found[i, ~own].any()


def test_it_is_a_copy(critic):
    assert critic.decoder is not POLICY
    critic.decoder.norm.weight.data += 1
    assert not torch.equal(critic.decoder.norm.weight, POLICY.norm.weight)
