"""From a batch to a step: parts of any size, padding, and what must not matter."""

import pytest
import torch
from rl_worlds import EOS, PAD, model, recipe, run, whole_batch

from rlcourse.alignment import grpo
from rlcourse.alignment.aggregation import WAYS, token_weights
from rlcourse.alignment.columns import joined
from rlcourse.alignment.critic import Critic
from rlcourse.alignment.policy_step import accumulate, begin, learn, ppo, step
from rlcourse.alignment.ppo_rlhf import kl_penalty, policy_loss
from rlcourse.deep.ppo_losses import clipped_surrogate
from rlcourse.language.config import Config
from rlcourse.language.transformer import Decoder

LOSSES = {
    "ppo": ppo,
    "dual": lambda p, old, a, m: policy_loss(p, old, a, 0.2, 0.28, 3.0),
    "cispo": lambda p, old, a, m: grpo.cispo_loss(p, old, a, 0.2, 0.28),
    "gspo": lambda p, old, a, m: -clipped_surrogate(grpo.sequence_log_ratio(p, old, m), a, 0.2),
}


def gradients(this, loss, batch):
    """Of the policy and the critic, after all of a minibatch went through in parts."""
    found = []
    for learner, optimiser in zip((this.policy, this.critic), this.optimisers, strict=False):
        optimiser.step = lambda *_: None
        optimiser.zero_grad = lambda *_: None
        learner.zero_grad()
    numbers = step(this, loss, batch)
    for learner in (this.policy, *([this.critic] if this.critic else [])):
        found += [p.grad.clone() for p in learner.parameters()]
    return numbers, found


def shifted(batch):
    """Old log-probabilities of another policy: ratios on both sides of both bounds."""
    g = torch.Generator().manual_seed(5)
    old = batch["log_prob_old"] + torch.randn(batch["mask"].shape, dtype=torch.float64, generator=g)
    return {**batch, "log_prob_old": old * batch["mask"], "counts": batch["mask"]}


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("name", LOSSES)
def test_a_minibatch_may_go_through_in_parts_of_any_size(name, way):
    whole = None
    for micro in (8, 3, 1):
        options = {"micro": micro, "way": way, "length": 5, "beta": 0.1, "leash": "loss"}
        this = run(critic=True, training={"batch": 8, "most": 1e9}, **options)
        numbers, found = gradients(this, LOSSES[name], shifted(whole_batch(this.policy, 8)))
        whole = whole or (numbers, found)
        assert numbers == pytest.approx(whole[0], rel=1e-9, abs=1e-12)
        for own, other in zip(found, whole[1], strict=True):
            torch.testing.assert_close(own, other, rtol=1e-9, atol=1e-12)
    assert max(float(x.abs().max()) for x in whole[1]) > 1e-3


@pytest.mark.parametrize("name", LOSSES)
def test_more_padding_changes_no_gradient(name):
    this = run(critic=True, training={"batch": 8, "most": 1e9})
    batch = shifted(whole_batch(this.policy, 8))
    _, found = gradients(this, LOSSES[name], batch)
    wide = dict(batch)
    fills = {"tokens": PAD, "prompts": PAD}
    for key, column in batch.items():
        if column.dim() == 2:
            sides = {"prompts": (2, 0), "tokens": (2, 3), "present": (2, 3)}.get(key, (0, 3))
            wide[key] = torch.nn.functional.pad(column, sides, value=fills.get(key, 0))
    this = run(critic=True, training={"batch": 8, "most": 1e9})
    _, other = gradients(this, LOSSES[name], wide)
    for own, padded in zip(found, other, strict=True):
        torch.testing.assert_close(own, padded, rtol=1e-9, atol=1e-12)


def test_the_ratio_is_exactly_1_at_the_first_minibatch_also_in_float32():
    for dtype in (torch.float64, torch.float32):
        this = run(dtype=dtype, epochs=2)
        numbers = learn(this, ppo, whole_batch(this.policy, 4))
        assert numbers["first_ratio"] == 0
        assert numbers["furthest_ratio"] > 0
        assert numbers["rollout_gap"] <= 1e-4


def test_a_policy_has_no_kl_to_itself():
    policy = model()
    this = begin(policy, recipe(), generator=torch.Generator(), reference=model())
    batch = whole_batch(policy)
    batch = {**batch, "log_prob_ref": batch["log_prob_old"]}
    assert learn(this, ppo, batch)["kl"] == 0


@pytest.mark.parametrize("kind", ["k1", "k2", "k3", "k3+"])
def test_the_leash_in_the_loss_adds_its_gradient(kind):
    found = []
    for beta in (0.0, 0.3):
        this = run(beta=beta, leash="loss", kind=kind, training={"batch": 8, "most": 1e9})
        batch = shifted(whole_batch(this.policy, 8))
        found.append(gradients(this, ppo, batch)[1])
    policy = run().policy
    from rlcourse.alignment.actor import response_log_probs

    log_prob, _ = response_log_probs(policy, batch)
    total = (
        0.3
        * token_weights(batch["mask"], "token mean")
        * kl_penalty(log_prob, batch["log_prob_ref"], kind)
    ).sum()
    expected = torch.autograd.grad(total, [*policy.parameters()])
    for without, with_leash, own in zip(*found, expected, strict=True):
        torch.testing.assert_close(with_leash - without, own, rtol=1e-7, atol=1e-10)


def test_a_leash_in_the_reward_is_none_in_the_loss():
    found = []
    for beta in (0.0, 0.3):
        this = run(beta=beta, leash="reward", training={"batch": 8})
        found.append(gradients(this, ppo, shifted(whole_batch(this.policy, 8)))[1])
    assert all(torch.equal(*pair) for pair in zip(*found, strict=True))


def test_groups_with_equal_rewards_move_nothing():
    this = run(reference=False)
    before = [p.clone() for p in this.policy.parameters()]
    batch = whole_batch(this.policy)
    rewards = torch.full((8,), 0.3)
    a = grpo.grpo_advantages(rewards, batch["group"])
    numbers = learn(this, ppo, {**batch, "advantage": a[:, None] * batch["mask"]})
    assert numbers["gradient"] == 0
    assert all(torch.equal(*pair) for pair in zip(before, this.policy.parameters(), strict=True))


def test_answers_without_an_end_have_no_loss_when_asked():
    kept = run(training={"batch": 8, "most": 1e9}, drop_cut=True)
    batch = whole_batch(kept.policy, 8)
    ended = (batch["tokens"][:, 3:] == EOS).any(1)
    assert 0 < int(ended.sum()) < 8
    from rlcourse.alignment.policy_step import counted

    _, found = gradients(kept, ppo, counted(batch, kept.recipe))
    fewer = {name: x[ended] for name, x in batch.items()}
    this = run(training={"batch": 8, "most": 1e9})
    _, expected = gradients(this, ppo, joined(fewer, {"counts": fewer["mask"]}))
    for pair in zip(found, expected, strict=True):
        torch.testing.assert_close(*pair, rtol=1e-9, atol=1e-12)
    none = {name: x[~ended] for name, x in batch.items()}
    assert "loss" not in learn(kept, ppo, none)


def test_the_loss_is_0_and_the_gradient_not_on_the_first_step_of_sequence_means():
    this = run(way="sequence mean", training={"batch": 8}, reference=False)
    batch = whole_batch(this.policy, 8)
    rewards = torch.arange(8.0, dtype=torch.float64)
    a = grpo.grpo_advantages(rewards, batch["group"])[:, None] * batch["mask"]
    numbers = learn(this, ppo, {**batch, "advantage": a})
    assert numbers["loss"] == pytest.approx(0, abs=1e-15)
    assert numbers["gradient"] > 1e-2
    this = run(way="token mean", training={"batch": 8}, reference=False)
    assert abs(learn(this, ppo, {**batch, "advantage": a})["loss"]) > 1e-3


def test_a_loss_that_is_no_number_is_said():
    this = run()
    batch = whole_batch(this.policy)
    with pytest.raises(FloatingPointError, match="the loss is no number at step 0"):
        learn(this, ppo, {**batch, "advantage": batch["advantage"] * torch.nan})


def test_bad_beginnings_are_refused():
    policy, g = model(), torch.Generator()
    other = Decoder(Config(
        vocabulary=11, width=16, layers=1, heads=2, kv_heads=1, head_dim=8, hidden=24, positions=32
    ), generator=g)  # fmt: skip
    with pytest.raises(ValueError, match="reference must be a copy of the policy"):
        begin(policy, recipe(), generator=g, reference=policy)
    with pytest.raises(
        ValueError, match="reference must have the policy's vocabulary of 9 tokens, got 11"
    ):
        begin(policy, recipe(), generator=g, reference=other)
    with pytest.raises(
        ValueError, match="critic must have the policy's vocabulary of 9 tokens, got 11"
    ):
        begin(policy, recipe(), generator=g, critic=Critic(other))
    with pytest.raises(ValueError, match=r"reference must be given for beta = 0.1, got None"):
        begin(policy, recipe(beta=0.1), generator=g)
    for options, words in (
        ({"leash": "both"}, r"leash must be one of .*, got 'both'"),
        ({"samples": 0}, "samples must be"), ({"beta": -1.0}, "beta must"),
    ):  # fmt: skip
        with pytest.raises(ValueError, match=words):
            recipe(**options)


def test_parts_add_to_gradients():
    this = run(critic=True)
    batch = shifted(whole_batch(this.policy))
    part = joined(batch, {"weight": token_weights(batch["mask"], "token mean")})
    accumulate(this, ppo, part)
    once = [p.grad.clone() for p in this.policy.parameters()]
    accumulate(this, ppo, part)
    for p, own in zip(this.policy.parameters(), once, strict=True):
        torch.testing.assert_close(p.grad, 2 * own)
