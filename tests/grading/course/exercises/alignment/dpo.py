"""Checks of DPO. Sizes differ on every axis: B = 6 pairs, T = 5 tokens, V = 4 words."""

import torch
import torch.nn.functional as F
from rlcourse.alignment import dpo

from rlcourse.grading import exercise

# ------------------------------------------------------------------ log-probability of an answer

log_prob = exercise(dpo.sequence_log_prob, nudge="Which position of logits predicts tokens[:, t]?")


def answers(rng, scale=1.0, b=6, v=4):
    """Answers of unequal length after prompts of unequal length."""
    at = torch.arange(5)
    start, stop = torch.tensor([1, 2, 3, 1, 2, 4])[:b], torch.tensor([5, 3, 5, 4, 4, 5])[:b]
    return dict(
        logits=torch.from_numpy(scale * rng.normal(size=(b, 5, v))),
        tokens=torch.from_numpy(rng.integers(v, size=(b, 5))),
        answer=(at >= start[:, None]) & (at < stop[:, None]),
    )


@log_prob.check(points=2, gradients=("logits",))
def test_the_log_prob_of_an_answer_sums_over_its_tokens(rng):
    yield answers(rng)
    yield answers(rng, b=3, v=7)


@log_prob.check(points=1)
def test_the_log_prob_of_an_answer_stays_finite_at_logits_of_ten_thousand(rng):
    yield answers(rng, scale=1e4)


@log_prob.misconception("logits[:, t] predict the next token, tokens[:, t + 1]: shift by one.")
def without_the_shift(logits, tokens, answer):
    return (logits.log_softmax(-1).gather(-1, tokens[..., None])[..., 0] * answer).sum(-1)


@log_prob.misconception("The prompt was given, not chosen: sum over the tokens of the answer only.")
def with_the_prompt(logits, tokens, answer):
    return logits[:, :-1].log_softmax(-1).gather(-1, tokens[:, 1:, None])[..., 0].sum(-1)


@log_prob.misconception(
    "A mean makes long answers as likely as short ones: the log of a product is a sum."
)
def averaged_over_the_answer(logits, tokens, answer):
    return dpo.sequence_log_prob(logits, tokens, answer) / answer[:, 1:].sum(-1)


@log_prob.misconception("softmax underflows to 0 and log 0 is -inf. log_softmax does both at once.")
def log_of_softmax(logits, tokens, answer):
    p = logits[:, :-1].softmax(-1).gather(-1, tokens[:, 1:, None])[..., 0]
    return torch.where(answer[:, 1:], p.log(), 0.0).sum(-1)


@log_prob.misconception("Logits are not log-probabilities: subtract their logsumexp (log_softmax).")
def sums_the_logits(logits, tokens, answer):
    return (logits[:, :-1].gather(-1, tokens[:, 1:, None])[..., 0] * answer[:, 1:]).sum(-1)


@log_prob.control
def by_cross_entropy(logits, tokens, answer):
    loss = F.cross_entropy(logits[:, :-1].mT, tokens[:, 1:], reduction="none")
    return -(loss * answer[:, 1:]).sum(-1)


# ------------------------------------------------------------------ DPO

loss = exercise(
    dpo.dpo_loss, nudge="How much more than the reference does the policy prefer the chosen answer?"
)


def pairs(rng, scale=1.0, b=6):
    names = ("chosen", "rejected", "chosen_ref", "rejected_ref")
    beta = rng.uniform(0.1, 0.7)
    return {n: torch.from_numpy(scale * rng.normal(size=b) - 9) for n in names} | dict(beta=beta)


@loss.check(points=2)
def test_the_dpo_loss_compares_policy_and_reference_on_both_answers(rng):
    yield pairs(rng)
    yield pairs(rng, scale=3, b=4)


@loss.check(points=1, gradients=("chosen", "rejected"))
def test_the_gradient_of_the_dpo_loss_reaches_both_answers(rng):
    yield pairs(rng)


@loss.check(points=1, gradients=("chosen_ref", "rejected_ref"))
def test_no_gradient_of_the_dpo_loss_reaches_the_reference(rng):
    yield pairs(rng)


@loss.check(points=1)
def test_the_dpo_loss_stays_finite_at_margins_of_ten_thousand(rng):
    yield pairs(rng, scale=1e4)


@loss.misconception("The preferred answer is the chosen one: its log-ratio comes first.")
def swaps_the_answers(chosen, rejected, chosen_ref, rejected_ref, beta):
    return dpo.dpo_loss(rejected, chosen, rejected_ref, chosen_ref, beta)


@loss.misconception(
    "Without the reference the policy may drift anywhere: subtract its log-probabilities."
)
def ignores_the_reference(chosen, rejected, chosen_ref, rejected_ref, beta):
    return -F.logsigmoid(beta * (chosen - rejected)).mean()


@loss.misconception("sigmoid underflows to 0 and log 0 is -inf. Use logsigmoid.")
def log_of_sigmoid(chosen, rejected, chosen_ref, rejected_ref, beta):
    margin = chosen - chosen_ref.detach() - rejected + rejected_ref.detach()
    return -torch.sigmoid(beta * margin).log().mean()


@loss.misconception("The loss is a mean over pairs: with a sum the step grows with the batch.")
def sums_over_pairs(chosen, rejected, chosen_ref, rejected_ref, beta):
    return len(chosen) * dpo.dpo_loss(chosen, rejected, chosen_ref, rejected_ref, beta)


@loss.misconception("β belongs inside the sigmoid: outside it only rescales the loss.")
def beta_outside(chosen, rejected, chosen_ref, rejected_ref, beta):
    return beta * dpo.dpo_loss(chosen, rejected, chosen_ref, rejected_ref, 1.0)


@loss.misconception("The rejected answer must be pushed down too: do not detach it.")
def detaches_the_rejected_answer(chosen, rejected, chosen_ref, rejected_ref, beta):
    return dpo.dpo_loss(chosen, rejected.detach(), chosen_ref, rejected_ref, beta)


@loss.misconception("The reference is frozen: detach its log-probabilities.")
def trains_the_reference(chosen, rejected, chosen_ref, rejected_ref, beta):
    return F.softplus(-beta * ((chosen - chosen_ref) - (rejected - rejected_ref))).mean()


@loss.control
def by_softplus(chosen, rejected, chosen_ref, rejected_ref, beta):
    with torch.no_grad():
        shift = rejected_ref - chosen_ref
    return F.softplus(-beta * (chosen - rejected + shift)).sum() / len(chosen)
