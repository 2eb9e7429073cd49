"""What verl's own functions made of the same numbers (verl_vectors.py wrote them down)."""

import json
from functools import partial
from pathlib import Path

import pytest
import torch

from rlcourse.alignment import aggregation, grpo, ppo_rlhf
from rlcourse.deep.ppo_losses import clipped_surrogate, clipped_value_loss

VECTORS = json.loads(Path(__file__).with_name("verl_vectors.json").read_text(encoding="utf-8"))
NUMBERS = VECTORS["numbers"]
X = {name: torch.tensor(x, dtype=torch.float64) for name, x in VECTORS["inputs"].items()}
MASK, GROUPS = X["mask"].bool(), torch.tensor(NUMBERS["groups"])
same = partial(torch.testing.assert_close, rtol=1e-12, atol=1e-12)


def expected(name):
    return torch.tensor(VECTORS["outputs"][name], dtype=torch.float64)


def assert_same_with_gradient(function, x, theirs):
    own = x.clone().requires_grad_(True)
    total = function(own)
    same(total.detach(), torch.tensor(theirs["value"], dtype=torch.float64))
    same(torch.autograd.grad(total, own)[0], torch.tensor(theirs["gradient"], dtype=torch.float64))


def token_mean(loss):
    return (aggregation.token_weights(MASK, "token mean") * torch.where(MASK, loss, 0)).sum()


def test_rewards_of_tokens_are_those_of_verl():
    log_ratio = X["log_prob_old"] - X["log_prob_ref"]
    found = ppo_rlhf.token_rewards(X["score"], log_ratio, MASK, NUMBERS["beta"])
    same(found, torch.where(MASK, expected("rewards"), 0))


def test_generalised_advantages_skip_tools_as_in_verl_which_whitens_with_another_variance():
    found = ppo_rlhf.token_advantages(
        expected("rewards"), X["value"], MASK, NUMBERS["gamma"], NUMBERS["lam"]
    )
    same(found.target[MASK], expected("returns")[MASK])
    a = found.advantage[MASK]
    theirs = (a - a.mean()) / (a.var() + 1e-8).sqrt()  # over n - 1; ours divides by n
    torch.testing.assert_close(theirs, expected("whitened")[MASK], rtol=1e-8, atol=1e-8)
    own, n = ppo_rlhf.whitened(found.advantage, MASK)[MASK], len(a)
    torch.testing.assert_close(own * ((n - 1) / n) ** 0.5, theirs, rtol=1e-7, atol=1e-7)


@pytest.mark.parametrize("scale", ["group", "none"])
def test_advantages_of_groups_are_those_of_verl(scale):
    found = grpo.grpo_advantages(X["score"], GROUPS, scale)
    same(found[:, None] * MASK, expected(scale))


def test_advantages_with_one_left_out_are_those_of_verl():
    same(grpo.leave_one_out(X["score"], GROUPS)[:, None] * MASK, expected("rloo"))


def test_the_clipped_loss_with_its_dual_is_verls():
    def loss(log_prob):
        return token_mean(ppo_rlhf.policy_loss(
            log_prob, X["log_prob_old"], X["advantage"], NUMBERS["low"], NUMBERS["high"],
            NUMBERS["dual"],
        ))  # fmt: skip

    assert_same_with_gradient(loss, X["log_prob"], VECTORS["outputs"]["policy"])


def test_gspo_is_verls():
    def loss(log_prob):
        ratio = grpo.sequence_log_ratio(log_prob, X["log_prob_old"], MASK)
        return token_mean(
            -clipped_surrogate(ratio, X["advantage"], NUMBERS["low"], NUMBERS["high"])
        )

    assert_same_with_gradient(loss, X["log_prob"], VECTORS["outputs"]["gspo"])


def test_cispo_is_verls():
    def loss(log_prob):
        return token_mean(grpo.cispo_loss(
            log_prob, X["log_prob_old"], X["advantage"], NUMBERS["low"], NUMBERS["high"]
        ))  # fmt: skip

    assert_same_with_gradient(loss, X["log_prob"], VECTORS["outputs"]["cispo"])


@pytest.mark.parametrize("kind", ppo_rlhf.KINDS)
def test_each_estimate_of_the_kl_is_verls(kind):
    def total(log_prob):
        return ppo_rlhf.kl_penalty(log_prob, X["log_prob_ref"], kind)[MASK].sum()

    assert_same_with_gradient(total, X["log_prob"], VECTORS["outputs"]["kl"][kind])


@pytest.mark.parametrize("way", aggregation.WAYS)
def test_each_sum_over_tokens_is_verls(way):
    weights = aggregation.token_weights(MASK, way, NUMBERS["length"])

    def total(loss):
        return (weights * loss).sum()

    own = X["loss"].clone().requires_grad_(True)
    found = total(own)
    theirs = VECTORS["outputs"]["aggregated"][way]  # verl adds 1e-8 to a length
    assert float(found.detach()) == pytest.approx(theirs["value"], rel=1e-7)
    torch.testing.assert_close(
        torch.autograd.grad(found, own)[0], torch.tensor(theirs["gradient"], dtype=torch.float64),
        rtol=1e-7, atol=0,
    )  # fmt: skip


def test_the_value_loss_is_verls():
    def loss(v):
        return token_mean(clipped_value_loss(v, X["value_old"], X["target"], NUMBERS["value"]))

    assert_same_with_gradient(loss, X["value"], VECTORS["outputs"]["value_loss"])


def test_the_leash_adapts_as_verls():
    found = ppo_rlhf.adapted_beta(NUMBERS["beta"], 9.0, 6.0, 64, 1000)
    assert found == pytest.approx(VECTORS["outputs"]["beta"], rel=1e-15)
