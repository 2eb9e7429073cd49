"""The loop: it learns, repeats, stops and goes on, whoever plays its parts."""

import copy

import pytest
import torch
from rl_worlds import EOS, PROMPTS, run

from rlcourse.alignment import grpo
from rlcourse.alignment.policy_step import ppo
from rlcourse.alignment.ppo_rlhf import token_advantages, token_rewards, whitened
from rlcourse.alignment.rl_checkpoints import resume, save
from rlcourse.alignment.trainer import iteration, roles_of, train


def likes_twos(batch):
    """A reward: the share of 2 among the tokens of an answer."""
    answers = batch["tokens"][:, -batch["mask"].shape[1] :]
    own = batch["mask"]
    return {"score": ((answers == 2) & own).sum(1) / own.sum(1).double()}


def started(seed=0, advantages=grpo.grpo_advantages, **options):
    this = run(seed=seed, **options)
    return this, roles_of(this, likes_twos, None if this.critic else advantages)


@pytest.mark.parametrize("critic", [False, True])
def test_it_learns_what_is_rewarded(critic):
    this, roles = started(
        critic=critic, prompts=8, samples=4, beta=0.01,
        training={"steps": 25, "batch": 16, "rate": 2e-2},
    )  # fmt: skip
    train(this, PROMPTS, roles)
    scores = [seen["score"] for seen in this.history]
    assert scores[0] < 0.3
    assert sum(scores[-3:]) / 3 > 0.8
    assert this.history[0]["kl"] > 0
    assert all(seen["first_ratio"] == 0 for seen in this.history)


@pytest.mark.parametrize("critic", [False, True])
def test_a_run_that_was_saved_goes_on_bit_for_bit(critic, tmp_path):
    options = {"critic": critic, "kl_target": 0.5, "horizon": 20, "beta": 0.1}
    whole, roles = started(**options)
    train(whole, PROMPTS, roles)
    part, roles = started(**options)
    train(part, PROMPTS, roles, 2)
    save(part, tmp_path / "run.safetensors")
    other, roles = started(**options)
    for p in other.policy.parameters():
        p.data.zero_()
    resume(other, tmp_path / "run.safetensors")
    assert (other.step, other.beta) == (2, part.beta)
    train(other, PROMPTS, roles)
    assert other.history == whole.history
    assert other.beta == whole.beta != 0.1
    for name, tensor in whole.policy.state_dict().items():
        assert torch.equal(tensor, other.policy.state_dict()[name])
    if critic:
        for name, tensor in whole.critic.state_dict().items():
            assert torch.equal(tensor, other.critic.state_dict()[name])


def test_a_file_of_another_kind_is_refused(tmp_path):
    from safetensors.torch import save_file

    this, _ = started(critic=True)
    save_file({"x": torch.ones(1)}, tmp_path / "x.safetensors")
    with pytest.raises(ValueError, match="path must be a file that `save` wrote"):
        resume(this, tmp_path / "x.safetensors")
    save(started()[0], tmp_path / "run.safetensors")
    with pytest.raises(ValueError, match="path must hold the weights of this critic"):
        resume(this, tmp_path / "run.safetensors")


def batch_of(**options):
    this, roles = started(**options)
    groups = torch.arange(4).repeat_interleave(2)
    return this, iteration(roles, {"prompts": PROMPTS[groups], "group": groups})[0]


def test_every_token_of_an_answer_has_the_answers_advantage():
    _, batch = batch_of()
    a = grpo.grpo_advantages(batch["score"], batch["group"])
    assert torch.equal(batch["advantage"], a[:, None] * batch["mask"])


def test_a_leash_in_the_reward_is_paid_by_whole_answers_without_a_critic():
    _, batch = batch_of(beta=0.2)
    log_ratio = (batch["log_prob_old"] - batch["log_prob_ref"]).sum(1)
    a = grpo.grpo_advantages(batch["score"] - 0.2 * log_ratio, batch["group"])
    torch.testing.assert_close(batch["advantage"], a[:, None] * batch["mask"])
    _, batch = batch_of(beta=0.2, leash="loss")
    a = grpo.grpo_advantages(batch["score"], batch["group"])
    assert torch.equal(batch["advantage"], a[:, None] * batch["mask"])


def test_with_a_critic_advantages_are_whitened_and_the_leash_is_on_every_token():
    _, batch = batch_of(critic=True, beta=0.2, gamma=0.9, lam=0.8)
    log_ratio = batch["log_prob_old"] - batch["log_prob_ref"]
    rewards = token_rewards(batch["score"], log_ratio, batch["mask"], 0.2)
    found = token_advantages(rewards, batch["value"], batch["mask"], 0.9, 0.8)
    assert torch.equal(batch["target"], found.target)
    assert torch.equal(batch["advantage"], whitened(found.advantage, batch["mask"]))


def test_dynamic_sampling_goes_on_with_informative_groups_alone():
    this = run(reference=False)

    def choose(batch):
        rows = grpo.informative(batch["score"], batch["group"])
        return {name: x[rows] for name, x in batch.items()}

    def first_group_alone(batch):
        return {"score": (torch.arange(8) == 0).double()}

    def never(batch):
        return {"score": torch.zeros(8)}

    groups = torch.arange(4).repeat_interleave(2)
    prompts = {"prompts": PROMPTS[groups], "group": groups}
    roles = roles_of(this, first_group_alone, grpo.grpo_advantages, choose=choose)
    batch, seen = iteration(roles, prompts)
    assert batch["group"].tolist() == [0, 0]
    assert seen["equal_groups"] == 0.75
    assert seen["score"] == 1 / 8
    assert seen["gradient"] > 0
    before = [p.clone() for p in this.policy.parameters()]
    roles = roles_of(this, never, grpo.grpo_advantages, choose=choose)
    _, seen = iteration(roles, prompts)
    assert "loss" not in seen
    assert all(torch.equal(*x) for x in zip(before, this.policy.parameters(), strict=True))


def test_beta_follows_its_target():
    this, roles = started(beta=0.1, kl_target=1e-6, horizon=80)
    train(this, PROMPTS, roles, 1)
    assert this.beta == pytest.approx(0.1 * (1 + 0.2 * 8 / 80))


def test_any_part_may_be_played_by_somebody_else():
    this, roles = started()
    seen = []

    def learner(batch):
        seen.append({name: x.shape for name, x in batch.items()})
        return {"loss": 1.0}

    def write(prompts):
        tokens = torch.cat([prompts["prompts"], torch.full((8, 1), EOS)], 1)
        return {
            "tokens": tokens, "present": tokens != 8, "mask": torch.ones(8, 1).bool(),
            "log_prob_rollout": torch.zeros(8, 1),
        }  # fmt: skip

    train(this, PROMPTS, roles._replace(write=write, learn=learner), 2)
    assert this.step == len(seen) == 2
    assert {shape[0] for shape in seen[0].values()} == {8}
    nothing = {"mask": torch.zeros(8, 1).bool()}
    roles = roles._replace(write=lambda p: {**write(p), **nothing})
    with pytest.raises(ValueError, match="write must give each response a token"):
        train(this, PROMPTS, roles, 1)


def test_a_critic_or_advantages_but_not_both():
    for critic, advantages in ((True, grpo.grpo_advantages), (False, None)):
        with pytest.raises(ValueError, match="advantages must be given unless there is a critic"):
            roles_of(run(critic=critic), likes_twos, advantages, loss=ppo)


def test_watching_sees_each_iteration_and_runs_repeat():
    found = []
    for _ in range(2):
        this, roles = started(seed=4)
        seen = []
        train(this, PROMPTS, roles, watch=lambda r, b, s=seen: s.append((r.step, len(b["score"]))))
        assert seen == [(1, 8), (2, 8), (3, 8), (4, 8)]
        found.append(copy.deepcopy(this.history))
    assert found[0] == found[1]
