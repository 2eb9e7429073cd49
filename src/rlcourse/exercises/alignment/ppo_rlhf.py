"""The six exercises of the chapter on PPO for language models: rewards and advantages of tokens,
whitening, the clipped loss, the leash in the loss, and its price. What is data and what is learned
shows in the gradients, which are graded too.

Axes differ in size and vary: B responses, R tokens of the longest.
"""

import math

import numpy as np
import torch

from rlcourse.alignment import ppo_rlhf
from rlcourse.alignment.ppo_rlhf import TokenAdvantages
from rlcourse.deep.generalized_advantage import generalized_advantage, next_values
from rlcourse.exercises.deep.policy_gradient import tensor
from rlcourse.exercises.deep.ppo import inside, outside
from rlcourse.grading import exercise

FAR = 1e4
BATCHES = (2, 5), (4, 3), (1, 6)
SHAPES = (2, 5), (4, 2, 3)


def ended(rng, b, r):
    """Which tokens count in answers of unequal length that nothing interrupts."""
    lengths = rng.integers(1, r + 1, size=b)
    lengths[int(rng.integers(b))] = r
    return tensor(np.arange(r) < lengths[:, None])


def interrupted(rng, b, r, share=0.5):
    """Which tokens count where tools write too, in the middle and at either end."""
    mask = rng.random((b, r)) < share
    mask[range(b), rng.integers(r, size=b)] = True
    return tensor(mask)


def emptied(rng, mask):
    """The same, but nothing counts in one of the rows."""
    mask = mask.clone()
    mask[int(rng.integers(len(mask)))] = False
    return mask


def last(mask):
    """The last token of each row that counts."""
    return mask & (mask.flip(1).cumsum(1).flip(1) == 1)


# ------------------------------------------------------------------------------- rewards

token_rewards = exercise(
    ppo_rlhf.token_rewards,
    nudge="What does each token cost, and which of them hears the score? Whose tokens are these?",
    worked={
        "score": torch.tensor([1.0, -2.0], dtype=torch.float64),
        "log_ratio": torch.tensor([[1.0, 2.0, -1.0], [0.5, 3.0, 4.0]], dtype=torch.float64),
        "mask": torch.tensor([[True, False, True], [True, True, False]]),
        "beta": 0.5,
    },
)


def leashed(rng, mask, **more):
    b, r = mask.shape
    return {
        "score": tensor(3 * rng.normal(size=b)),
        "log_ratio": tensor(2 * rng.normal(size=(b, r))),
        "mask": mask,
        "beta": float(rng.uniform(0.05, 0.9)),
    } | more


@token_rewards.check(points=2)
def test_each_token_pays_the_leash_and_the_last_one_earns_the_score_too(rng):
    """every token of an answer costs β log π/π_ref, and the last one earns the score as well"""
    for b, r in BATCHES:
        yield leashed(rng, ended(rng, b, r))
    yield leashed(rng, torch.ones(2, 7, dtype=torch.bool))
    yield leashed(rng, ended(rng, 3, 4), beta=0.0)


@token_rewards.check(points=1)
def test_a_tools_tokens_cost_and_earn_nothing(rng):
    """tokens of tools get 0, and the score stands at the last token that the policy wrote"""
    for b, r in ((2, 7), (4, 9), (3, 5)):
        yield leashed(rng, interrupted(rng, b, r))


@token_rewards.check(points=1)
def test_the_leash_hears_nothing_of_what_the_mask_leaves_out(rng):
    """log-ratios that the mask leaves out may be infinite or NaN"""
    for b, r, bad in ((2, 6, -torch.inf), (3, 4, torch.nan), (4, 7, torch.inf)):
        case = leashed(rng, interrupted(rng, b, r))
        yield case | {"log_ratio": torch.where(case["mask"], case["log_ratio"], bad)}


@token_rewards.check(points=1, gradients=("score", "log_ratio"))
def test_a_reward_is_data(rng):
    """no gradient reaches the score or the log-ratios"""
    for b, r in ((2, 4), (3, 5)):
        yield leashed(rng, interrupted(rng, b, r))


@token_rewards.check(points=1)
def test_a_negative_price_and_an_answer_without_tokens_are_refused(rng):
    """a negative β, and a row in which nothing counts, raise ValueError"""
    for beta in (-0.3, -1e-6):
        yield leashed(rng, interrupted(rng, 2, 5), beta=beta)
    for b, r in ((3, 5), (2, 4)):
        yield leashed(rng, emptied(rng, interrupted(rng, b, r)))
    yield leashed(rng, interrupted(rng, 3, 6))


def refuse_rewards(mask, beta):
    if beta < 0 or not mask.any(1).all():
        raise ValueError("beta or mask")


def earned(score, place):
    return torch.where(place, score.detach()[:, None], 0)


def paid(log_ratio, mask, beta):
    return torch.where(mask, -beta * log_ratio.detach(), 0)


@token_rewards.misconception("Straying is punished: the log-ratio is subtracted.")
def pays_for_straying(score, log_ratio, mask, beta):
    return ppo_rlhf.token_rewards(score, -log_ratio, mask, beta)


@token_rewards.misconception("β is the price of a nat: it multiplies the log-ratio.")
def forgets_the_price(score, log_ratio, mask, beta):
    refuse_rewards(mask, beta)
    return paid(log_ratio, mask, 1.0) + earned(score, last(mask))


@token_rewards.misconception("β is the price of the leash alone, the score counts in full.")
def scales_the_score_too(score, log_ratio, mask, beta):
    refuse_rewards(mask, beta)
    return paid(log_ratio, mask, beta) + beta * earned(score, last(mask))


@token_rewards.misconception("The last token pays the leash as all others do: add the score to it.")
def frees_the_last_token(score, log_ratio, mask, beta):
    refuse_rewards(mask, beta)
    return torch.where(last(mask), 0, paid(log_ratio, mask, beta)) + earned(score, last(mask))


@token_rewards.misconception("Short answers end before the last column: find the last True.")
def pays_in_the_last_column(score, log_ratio, mask, beta):
    refuse_rewards(mask, beta)
    place = torch.zeros_like(mask)
    place[:, -1] = True
    return paid(log_ratio, mask, beta) + earned(score, place)


@token_rewards.misconception("With tools in between the last token isn't at place Σ mask - 1.")
def counts_to_find_the_last(score, log_ratio, mask, beta):
    refuse_rewards(mask, beta)
    place = torch.arange(mask.shape[1]) == mask.sum(1, keepdim=True) - 1
    return paid(log_ratio, mask, beta) + earned(score, place)


@token_rewards.misconception("The answer is scored once, at its last token, not at each.")
def pays_the_score_to_each_token(score, log_ratio, mask, beta):
    refuse_rewards(mask, beta)
    return paid(log_ratio, mask, beta) + earned(score, mask)


@token_rewards.misconception("Nobody knows a token's share: the whole score comes at the last one.")
def shares_the_score_out(score, log_ratio, mask, beta):
    refuse_rewards(mask, beta)
    return paid(log_ratio, mask, beta) + earned(score, mask) / mask.sum(1, keepdim=True)


@token_rewards.misconception("The score is known when the answer is whole: at its last token.")
def pays_the_score_at_once(score, log_ratio, mask, beta):
    refuse_rewards(mask, beta)
    return paid(log_ratio, mask, beta) + earned(score, last(mask.flip(1)).flip(1))


@token_rewards.misconception("Each token pays for itself: the leash isn't summed at the end.")
def pays_the_leash_at_the_end(score, log_ratio, mask, beta):
    refuse_rewards(mask, beta)
    whole = paid(log_ratio, mask, beta).sum(1)
    return earned(score + whole, last(mask))


@token_rewards.misconception("The price is for a nat of each token, however long the answer.")
def averages_the_leash(score, log_ratio, mask, beta):
    refuse_rewards(mask, beta)
    return paid(log_ratio, mask, beta) / mask.sum(1, keepdim=True) + earned(score, last(mask))


@token_rewards.misconception("A tool's tokens aren't the policy's doing: they pay no leash.")
def leashes_the_tools(score, log_ratio, mask, beta):
    refuse_rewards(mask, beta)
    return -beta * log_ratio.detach() + earned(score, last(mask))


@token_rewards.misconception("inf · 0 is NaN: leave tokens out by where, not by a product.")
def multiplies_the_leash_by_the_mask(score, log_ratio, mask, beta):
    refuse_rewards(mask, beta)
    return -beta * log_ratio.detach() * mask + earned(score, last(mask))


@token_rewards.misconception(
    "As a reward it is the log-ratio itself whose mean gradient is the KL's, not k3."
)
def leashes_by_k3(score, log_ratio, mask, beta):
    refuse_rewards(mask, beta)
    x = torch.where(mask, log_ratio.detach(), 0)
    return paid(torch.expm1(-x) + x, mask, beta) + earned(score, last(mask))


@token_rewards.misconception("A token may be likelier or less likely: no absolute value.")
def leashes_by_the_size(score, log_ratio, mask, beta):
    return ppo_rlhf.token_rewards(score, log_ratio.abs(), mask, beta)


@token_rewards.misconception("A reward is data: .detach() the log-ratio.")
def gradient_through_the_leash(score, log_ratio, mask, beta):
    refuse_rewards(mask, beta)
    return torch.where(mask, -beta * log_ratio, 0) + earned(score, last(mask))


@token_rewards.misconception("A reward is data: .detach() the score, which a network gave.")
def gradient_through_the_score(score, log_ratio, mask, beta):
    refuse_rewards(mask, beta)
    return paid(log_ratio, mask, beta) + torch.where(last(mask), score[:, None], 0)


@token_rewards.misconception("A negative price would pay for straying: raise ValueError.")
def accepts_any_price(score, log_ratio, mask, beta):
    refuse_rewards(mask, 0)
    return paid(log_ratio, mask, beta) + earned(score, last(mask))


@token_rewards.misconception("An answer without a token has no place for its score: ValueError.")
def accepts_an_answer_without_tokens(score, log_ratio, mask, beta):
    refuse_rewards(mask | True, beta)
    return paid(log_ratio, mask, beta) + earned(score, last(mask))


@token_rewards.control
def rewards_row_by_row(score, log_ratio, mask, beta):
    if beta < 0:
        raise ValueError("beta")
    found = torch.zeros_like(log_ratio)
    rows = zip(found, score.detach(), log_ratio.detach(), mask, strict=True)
    for row, s, x, counts in rows:
        places = counts.nonzero().flatten()
        if len(places) == 0:
            raise ValueError("mask")
        row[places] = -beta * x[places]
        row[places[-1]] += s
    return found


# ------------------------------------------------------------------------------- advantages

token_advantages = exercise(
    ppo_rlhf.token_advantages,
    nudge="Strike out the tokens of tools. Which token follows which? What follows the last?",
    worked={
        "rewards": torch.tensor([[1.0, 0.0, 2.0]], dtype=torch.float64),
        "values": torch.tensor([[4.0, 9.0, 6.0]], dtype=torch.float64),
        "mask": torch.tensor([[True, False, True]]),
        "gamma": 1.0,
        "lam": 0.5,
    },
)


def foretold(rng, mask, **more):
    shape = tuple(mask.shape)
    return {
        "rewards": tensor(2 * rng.normal(size=shape)),
        "values": tensor(3 * rng.normal(size=shape) + 1),
        "mask": mask,
        "gamma": float(rng.uniform(0.5, 0.95)),
        "lam": float(rng.uniform(0.3, 0.95)),
    } | more


@token_advantages.check(points=2)
def test_the_errors_of_the_critic_are_summed_with_fading_weights(rng):
    """Â sums the TD errors of the tokens to come, weighed by (γλ)^l; the target is Â + v"""
    for b, r in ((2, 4), (4, 3)):
        yield foretold(rng, torch.ones(b, r, dtype=torch.bool))


@token_advantages.check(points=1)
def test_nothing_follows_the_last_token(rng):
    """after an answer's last token nothing follows, whatever stands there"""
    for b, r in ((2, 6), (4, 5)):
        yield foretold(rng, ended(rng, b, r))


@token_advantages.check(points=2)
def test_tokens_of_tools_are_skipped_as_if_they_were_not_there(rng):
    """value and sum are carried across the tokens of tools, without fading"""
    for b, r in ((2, 7), (4, 6)):
        yield foretold(rng, interrupted(rng, b, r))


@token_advantages.check(points=1)
def test_what_the_mask_leaves_out_has_no_say_and_gets_nothing(rng):
    """where the mask is False numbers may be infinite or NaN; what comes out is 0"""
    for b, r, bad in ((2, 5, -torch.inf), (3, 4, torch.nan)):
        case = foretold(rng, interrupted(rng, b, r))
        names = "rewards", "values"
        yield case | {n: torch.where(case["mask"], case[n], bad) for n in names}
    yield foretold(rng, emptied(rng, interrupted(rng, 3, 5)))


@token_advantages.check(points=1)
def test_lambda_decides_how_far_an_advantage_looks(rng):
    """λ = 0 gives the TD error, λ = 1 with γ = 1 the rewards to come less v"""
    yield foretold(rng, interrupted(rng, 2, 5), lam=0.0)
    yield foretold(rng, interrupted(rng, 3, 6), lam=1.0)
    yield foretold(rng, interrupted(rng, 4, 3), lam=1.0, gamma=1.0)


@token_advantages.check(points=1, gradients=("rewards", "values"))
def test_advantages_and_targets_are_data(rng):
    """no gradient reaches rewards or values"""
    yield foretold(rng, interrupted(rng, 3, 5))


def clean(rewards, values, mask):
    return (torch.where(mask, x.detach(), 0) for x in (rewards, values))


def gae(r, v, mask, gamma, lam, carry_value=True, fade=False, forget=False, after=None):
    """GAE from the end, with what may go wrong at the tokens of tools."""
    found, nothing = torch.zeros_like(r), torch.zeros_like(r[:, 0])
    follows, v_next = nothing, nothing if after is None else after
    for t in reversed(range(r.shape[1])):
        here, counts = r[:, t] + gamma * v_next - v[:, t] + gamma * lam * follows, mask[:, t]
        found[:, t] = torch.where(counts, here, 0)
        skipped = nothing if forget else gamma * lam * follows if fade else follows
        follows = torch.where(counts, here, skipped)
        v_next = torch.where(counts | (not carry_value), v[:, t], v_next)
    return found


def both(advantage, v):
    return TokenAdvantages(advantage, advantage + v)


@token_advantages.misconception("A tool's token is no step: its error, -v or r, isn't summed.")
def counts_a_tool_as_a_step(rewards, values, mask, gamma, lam):
    r, v = clean(rewards, values, mask)
    return both(torch.where(mask, gae(r, v, torch.ones_like(mask), gamma, lam), 0), v)


@token_advantages.misconception("Carry the sum across a tool's tokens as it is: nothing fades.")
def fades_across_tools(rewards, values, mask, gamma, lam):
    r, v = clean(rewards, values, mask)
    return both(gae(r, v, mask, gamma, lam, fade=True), v)


@token_advantages.misconception("Carry the value too: what follows is the policy's next token.")
def takes_a_tools_value(rewards, values, mask, gamma, lam):
    r, v = clean(rewards, values, mask)
    return both(gae(r, v, mask, gamma, lam, carry_value=False), v)


@token_advantages.misconception("A tool ends no episode: the sum goes on behind it.")
def ends_at_a_tool(rewards, values, mask, gamma, lam):
    r, v = clean(rewards, values, mask)
    return both(gae(r, v, mask, gamma, lam, forget=True, carry_value=False), v)


@token_advantages.misconception("What pads an answer is worth nothing: don't bootstrap from it.")
def bootstraps_from_padding(rewards, values, mask, gamma, lam):
    r, v = rewards.detach(), values.detach()
    found = gae(r, v, mask, gamma, lam, carry_value=False)
    return both(found, torch.where(mask, v, 0))


@token_advantages.misconception("After the last token nothing follows, not its own value again.")
def bootstraps_from_the_last_value(rewards, values, mask, gamma, lam):
    r, v = clean(rewards, values, mask)
    return both(gae(r, v, mask, gamma, lam, after=(v * last(mask)).sum(1)), v)


@token_advantages.misconception("λ is missing: errors far ahead weigh (γλ)^l, not γ^l.")
def forgets_lambda(rewards, values, mask, gamma, lam):
    return ppo_rlhf.token_advantages(rewards, values, mask, gamma, 1.0)


@token_advantages.misconception("One error isn't the sum: λ says how many of them count.")
def takes_one_error(rewards, values, mask, gamma, lam):
    return ppo_rlhf.token_advantages(rewards, values, mask, gamma, 0.0)


@token_advantages.misconception("The sum fades by γλ, not by λ alone.")
def fades_by_lambda_alone(rewards, values, mask, gamma, lam):
    return ppo_rlhf.token_advantages(rewards, values, mask, gamma, lam / gamma)


@token_advantages.misconception("The next value comes a step later: γ v'.")
def does_not_discount_the_value(rewards, values, mask, gamma, lam):
    return ppo_rlhf.token_advantages(rewards, values, mask, 1.0, gamma * lam)


@token_advantages.misconception("An advantage looks ahead: sum from the last token backwards.")
def looks_back(rewards, values, mask, gamma, lam):
    r, v = clean(rewards, values, mask)
    error = gae(r, v, mask, gamma, 0.0).flip(1)
    return both(gae(error, 0 * v, mask.flip(1), gamma, lam).flip(1), v)


@token_advantages.misconception("The target is a value: Â + v, not Â.")
def teaches_the_advantage(rewards, values, mask, gamma, lam):
    found = ppo_rlhf.token_advantages(rewards, values, mask, gamma, lam)
    return TokenAdvantages(found.advantage, found.advantage.clone())


@token_advantages.misconception("The critic learns Â + v, the λ-return, not the whole return.")
def teaches_the_return(rewards, values, mask, gamma, lam):
    found = ppo_rlhf.token_advantages(rewards, values, mask, gamma, lam)
    whole = ppo_rlhf.token_advantages(rewards, 0 * values.nan_to_num(0, 0, 0), mask, gamma, 1.0)
    return TokenAdvantages(found.advantage, whole.advantage)


@token_advantages.misconception("Advantage first, then the target.")
def gives_the_target_first(rewards, values, mask, gamma, lam):
    found = ppo_rlhf.token_advantages(rewards, values, mask, gamma, lam)
    return TokenAdvantages(found.target, found.advantage)


@token_advantages.misconception("What the policy didn't write has no target: 0 there.")
def gives_tools_a_target(rewards, values, mask, gamma, lam):
    found = ppo_rlhf.token_advantages(rewards, values, mask, gamma, lam)
    return both(found.advantage, values.detach())


@token_advantages.misconception("inf · 0 is NaN: leave tokens out by where, not by a product.")
def multiplies_numbers_by_the_mask(rewards, values, mask, gamma, lam):
    return ppo_rlhf.token_advantages(
        (rewards * mask).sum(1, keepdim=True) * 0 + rewards,
        (values * mask).sum(1, keepdim=True) * 0 + values,
        mask, gamma, lam,
    )  # fmt: skip


@token_advantages.misconception(
    "A target is data: .detach() the values, or the critic chases itself."
)
def gradient_through_the_target(rewards, values, mask, gamma, lam):
    found = ppo_rlhf.token_advantages(rewards, values, mask, gamma, lam)
    return TokenAdvantages(found.advantage, found.advantage + torch.where(mask, values, 0))


@token_advantages.misconception("Rewards are data: .detach() them, a network gave them.")
def gradient_through_rewards(rewards, values, mask, gamma, lam):
    r, v = torch.where(mask, rewards, 0), torch.where(mask, values.detach(), 0)
    return both(gae(r, v, mask, gamma, lam), v)


@token_advantages.control
def struck_out(rewards, values, mask, gamma, lam):
    """Each row without its tools, as a plain double sum."""
    found = torch.zeros_like(rewards)
    for row, r, v, counts in zip(found, rewards.detach(), values.detach(), mask, strict=True):
        places = counts.nonzero().flatten()
        r, v = r[places].tolist(), [*v[places].tolist(), 0.0]
        errors = [r[i] + gamma * v[i + 1] - v[i] for i in range(len(r))]
        for i, place in enumerate(places):
            row[place] = sum((gamma * lam) ** (j - i) * errors[j] for j in range(i, len(r)))
    found = found.detach()
    return TokenAdvantages(found, found + torch.where(mask, values.detach(), 0))


@token_advantages.control
def with_an_end_at_the_last(rewards, values, mask, gamma, lam):
    r, v = clean(rewards, values, mask)
    ends, counts = last(mask).to(r.dtype).T, mask.to(r.dtype).T
    after = next_values(v.T, v[:, -1], counts)
    found = generalized_advantage(r.T, v.T, after, ends, 0 * ends, gamma, lam, counts)
    return both(found.T, v)


# ------------------------------------------------------------------------------- whitening

whitened = exercise(
    ppo_rlhf.whitened,
    nudge="Of which numbers do you take mean and standard deviation? What if all are equal?",
    worked={
        "advantage": torch.tensor([[1.0, 9.0, 3.0], [5.0, 7.0, 9.0]], dtype=torch.float64),
        "mask": torch.tensor([[True, False, True], [True, True, False]]),
    },
)


def some(rng, b, r, count=None, size=1e3):
    """Advantages so large that 1e-8 is nothing, of which `count` count."""
    count = int(rng.integers(b * r // 2, b * r)) if count is None else count
    mask = rng.permutation(np.arange(b * r) < count).reshape(b, r)
    shift = size * rng.normal()
    return {"advantage": tensor(size * rng.normal(size=(b, r)) + shift), "mask": tensor(mask)}


@whitened.check(points=2)
def test_what_counts_has_the_mean_zero_and_the_deviation_one(rng):
    """all that count in the whole batch together have the mean 0 and the deviation 1"""
    for b, r in ((3, 4), (2, 8), (5, 3)):
        yield some(rng, b, r)
    yield some(rng, 2, 6, 12)
    for b, r in ((3, 5), (4, 6)):
        case = some(rng, b, r)
        yield case | {"advantage": case["advantage"] + float(rng.choice([-3e7, 3e7]))}


@whitened.check(points=1)
def test_what_does_not_count_has_no_say_and_stays_zero(rng):
    """where the mask is False numbers may be infinite or NaN, and 0 comes out"""
    for b, r, bad in ((4, 3, -torch.inf), (3, 5, torch.nan), (2, 9, torch.inf)):
        case = some(rng, b, r)
        yield case | {"advantage": torch.where(case["mask"], case["advantage"], bad)}


@whitened.check(points=1)
def test_answers_of_unequal_length_and_none_share_mean_and_deviation(rng):
    """however many tokens of a row count, or none, mean and deviation are those of the batch"""
    for b, r in ((5, 4), (3, 7)):
        case = some(rng, b, r)
        yield case | {"mask": ended(rng, b, r)}
        yield case | {"mask": emptied(rng, torch.ones(b, r, dtype=torch.bool))}


@whitened.check(points=1)
def test_equal_advantages_become_zero(rng):
    """where all that count are equal, or only one counts, 0 comes out and no NaN"""
    for b, r in ((3, 4), (2, 5)):
        case = some(rng, b, r)
        value = float(rng.integers(1, 9)) / 4
        yield case | {"advantage": torch.where(case["mask"], value, case["advantage"])}
        yield some(rng, b, r, 1)
        yield case


@whitened.check(points=1)
def test_a_deviation_as_small_as_epsilon_is_not_blown_up(rng):
    """1e-8 is added to the standard deviation, outside of the root"""
    for b, r in ((3, 4), (2, 7)):
        yield some(rng, b, r, size=1e-8)
        yield some(rng, b, r, size=1e-7)


@whitened.check(points=1)
def test_a_batch_in_which_nothing_counts_is_refused(rng):
    """a mask that is False everywhere raises ValueError"""
    for b, r in ((3, 4), (2, 5)):
        yield some(rng, b, r, 0)
        yield some(rng, b, r)


def refuse_nothing(mask):
    if not mask.any():
        raise ValueError("mask")


def placed(advantage, mask, x):
    return torch.zeros_like(advantage).masked_scatter(mask, x)


@whitened.misconception("Deviation over n, not n - 1: one token alone would give NaN.")
def takes_the_unbiased_deviation(advantage, mask):
    refuse_nothing(mask)
    x = advantage[mask]
    return placed(advantage, mask, (x - x.mean()) / (x.std() + 1e-8))


@whitened.misconception("Not each answer by itself: the batch has one mean and one deviation.")
def whitens_each_answer(advantage, mask):
    refuse_nothing(mask)
    rows = [
        ppo_rlhf.normalised(x[m]) if m.any() else x[m] for x, m in zip(advantage, mask, strict=True)
    ]
    return placed(advantage, mask, torch.cat(rows))


@whitened.misconception("What doesn't count isn't a number of the batch: leave it out, not at 0.")
def counts_padding_as_zeros(advantage, mask):
    refuse_nothing(mask)
    x = torch.where(mask, advantage, 0)
    whole = ppo_rlhf.normalised(x.flatten()).reshape(x.shape)
    return torch.where(mask, whole, 0)


@whitened.misconception("The mask says which numbers count: nothing was left out here.")
def ignores_the_mask(advantage, mask):
    refuse_nothing(mask)
    return ppo_rlhf.normalised(advantage.flatten()).reshape(advantage.shape)


@whitened.misconception("Where the mask is False 0 comes out: padding mustn't get -mean/std.")
def whitens_padding_too(advantage, mask):
    refuse_nothing(mask)
    std, mean = torch.std_mean(advantage[mask], correction=0)
    return (advantage - mean) / (std + 1e-8)


@whitened.misconception("inf · 0 is NaN: leave tokens out by where, not by a product.")
def multiplies_by_the_mask(advantage, mask):
    refuse_nothing(mask)
    std, mean = torch.std_mean(advantage[mask], correction=0)
    return (advantage - mean) / (std + 1e-8) * mask


@whitened.misconception("The mean goes too, or every token of a good batch is pushed up.")
def only_scales(advantage, mask):
    refuse_nothing(mask)
    x = advantage[mask]
    return placed(advantage, mask, x / (x.std(correction=0) + 1e-8))


@whitened.misconception("Divide by the standard deviation too, not only subtract the mean.")
def only_centres(advantage, mask):
    refuse_nothing(mask)
    x = advantage[mask]
    return placed(advantage, mask, x - x.mean())


@whitened.misconception(
    "Where the mean is large mean Â² and its square are nearly equal: subtract the mean first."
)
def subtracts_the_square_of_the_mean(advantage, mask):
    refuse_nothing(mask)
    x = advantage[mask]
    variance = ((x**2).mean() - x.mean() ** 2).clamp(min=0)
    return placed(advantage, mask, (x - x.mean()) / (variance.sqrt() + 1e-8))


@whitened.misconception("Divide by the standard deviation, its square is the variance.")
def divides_by_the_variance(advantage, mask):
    refuse_nothing(mask)
    x = advantage[mask]
    return placed(advantage, mask, (x - x.mean()) / (x.var(correction=0) + 1e-8))


@whitened.misconception("The deviation is about the mean, not about 0.")
def takes_the_root_mean_square(advantage, mask):
    refuse_nothing(mask)
    x = advantage[mask]
    return placed(advantage, mask, (x - x.mean()) / ((x**2).mean().sqrt() + 1e-8))


@whitened.misconception("ε is added to the deviation: under the root it would be 1e-4.")
def hides_epsilon_under_the_root(advantage, mask):
    refuse_nothing(mask)
    x = advantage[mask]
    return placed(advantage, mask, (x - x.mean()) / (x.var(correction=0) + 1e-8).sqrt())


@whitened.misconception("0/0 is NaN where all are equal: add 1e-8 to the deviation.")
def forgets_epsilon(advantage, mask):
    refuse_nothing(mask)
    x = advantage[mask]
    return placed(advantage, mask, (x - x.mean()) / x.std(correction=0))


@whitened.misconception("1e-8 is added, it is no lower bound.")
def bounds_the_deviation(advantage, mask):
    refuse_nothing(mask)
    x = advantage[mask]
    return placed(advantage, mask, (x - x.mean()) / x.std(correction=0).clamp(min=1e-8))


@whitened.misconception("Outliers are advantages too: nothing is cut at ± 1.")
def cuts_outliers(advantage, mask):
    return ppo_rlhf.whitened(advantage, mask).clamp(-1, 1)


@whitened.misconception("A batch without a token that counts has no mean: raise ValueError.")
def accepts_nothing(advantage, mask):
    return ppo_rlhf.whitened(advantage, mask) if mask.any() else torch.zeros_like(advantage)


@whitened.control
def by_weighted_sums(advantage, mask):
    if mask.sum() == 0:
        raise ValueError("nothing counts")
    n = mask.sum()
    x = torch.where(mask, advantage, 0)
    x = torch.where(mask, x - x.sum() / n, 0)
    return x / ((x**2).sum().div(n).sqrt() + 1e-8)


# ------------------------------------------------------------------------------- the policy's loss

policy_loss = exercise(
    ppo_rlhf.policy_loss,
    nudge="Four cases: Â above or below 0, ρ beyond the clip above or below. In which two has the "
    "policy gone far enough? And what if ρ is huge where Â < 0?",
    worked={
        "log_prob": torch.tensor([0.5, 1.5, 0.5, 5.0], dtype=torch.float64).log() - 2,
        "log_prob_old": torch.full((4,), -2.0, dtype=torch.float64),
        "advantage": torch.tensor([1.0, 1.0, -1.0, -1.0], dtype=torch.float64),
        "dual": 3.0,
    },
)


def moved(rng, log_ratio, advantage, **more):
    """Log-probabilities now and before, with this log-ratio."""
    old = tensor(-rng.uniform(3, 6, np.shape(log_ratio)))
    return {
        "log_prob": old + tensor(log_ratio),
        "log_prob_old": old,
        "advantage": tensor(advantage),
    } | more


def low_of(rng):
    return float(rng.uniform(0.05, 0.4))


@policy_loss.check(points=1, gradients=("log_prob",))
def test_within_the_clip_the_loss_is_minus_ratio_times_advantage(rng):
    """within the clip the loss is -ρ Â, with the gradient -ρ Â; at first ρ is 1"""
    for shape in SHAPES:
        low = low_of(rng)
        yield moved(rng, inside(rng, shape, low), 2 * rng.normal(size=shape), epsilon_low=low)
    yield moved(rng, inside(rng, (6,), 0.2), rng.normal(size=6))
    yield moved(rng, np.zeros(1), rng.normal(size=1))


@policy_loss.check(points=2, gradients=("log_prob",))
def test_a_token_that_went_far_enough_has_no_gradient(rng):
    """where ρ passed the clip in the advantage's direction: -(1 ± ε) Â, with the gradient 0"""
    for shape in SHAPES:
        low = low_of(rng)
        x = outside(rng, shape, low)
        yield moved(rng, x, np.sign(x) * rng.uniform(0.2, 3, shape), epsilon_low=low)


@policy_loss.check(points=2, gradients=("log_prob",))
def test_a_token_that_went_the_wrong_way_is_pulled_back(rng):
    """where ρ has gone against the advantage the loss is -ρ Â, with its gradient"""
    for shape in SHAPES:
        low = low_of(rng)
        x = outside(rng, shape, low)
        yield moved(rng, x, -np.sign(x) * rng.uniform(0.2, 3, shape), epsilon_low=low)


@policy_loss.check(points=1, gradients=("log_prob",))
def test_the_clip_above_has_a_width_of_its_own(rng):
    """ε_high bounds the ratio above, ε_low below; one alone serves both"""
    for shape in SHAPES:
        low, high = rng.permutation([rng.uniform(0.05, 0.2), rng.uniform(0.35, 0.6)]).tolist()
        x, a = rng.uniform(-1.2, 0.9, shape), 2 * rng.normal(size=shape)
        yield moved(rng, x, a, epsilon_low=low, epsilon_high=high)
    yield moved(rng, x, a, epsilon_low=low)
    yield moved(rng, rng.uniform(0.05, 0.2, 6), rng.uniform(0.5, 2, 6), epsilon_high=0.0)


@policy_loss.check(points=2, gradients=("log_prob",))
def test_a_huge_ratio_of_a_bad_token_costs_no_more_than_the_dual_clip(rng):
    """where Â < 0 the loss is at most -c Â, with the gradient 0 beyond; elsewhere as before"""
    for shape in SHAPES:
        c = float(rng.uniform(1.5, 4))
        side = rng.permutation(np.arange(int(np.prod(shape))) % 2 * 2 - 1).reshape(shape)
        x = math.log(c) + side * rng.uniform(0.1, 2, shape)
        yield moved(rng, x, -rng.uniform(0.2, 3, shape), dual=c)
    yield moved(rng, x, rng.normal(size=shape), dual=c, epsilon_low=low_of(rng))
    yield moved(rng, x + 0.3, -rng.uniform(0.2, 3, shape))
    c, high = float(rng.uniform(1.05, 1.3)), float(rng.uniform(0.5, 0.9))  # c within the clip
    x = rng.uniform(math.log(c) + 0.02, math.log(1 + high) - 0.02, 6)
    yield moved(rng, x, rng.permutation([1.0, -1, 1, 1, -1, 1]), dual=c, epsilon_high=high)


@policy_loss.check(points=1, gradients=("log_prob", "log_prob_old", "advantage"))
def test_old_log_probabilities_and_advantages_are_data(rng):
    """no gradient reaches the old log-probabilities or the advantages"""
    x = 0.4 * rng.normal(size=(3, 5))
    yield moved(rng, x, rng.normal(size=x.shape), epsilon_low=low_of(rng))
    yield moved(rng, x + 1, rng.normal(size=x.shape), dual=float(rng.uniform(1.5, 4)))


@policy_loss.check(points=1, gradients=("log_prob",))
def test_a_token_that_became_impossible_has_a_finite_loss(rng):
    """a log-probability of minus thousands gives a finite loss and gradient"""
    for n, dual in ((6, None), (4, float(rng.uniform(2, 4)))):
        sign = rng.permutation([1.0, -1.0, 1.0, -1.0, 1.0, -1.0][:n])
        far = -FAR * rng.uniform(0.5, 1, n)
        yield moved(rng, far, sign * rng.uniform(0.5, 2, n), dual=dual, epsilon_low=low_of(rng))


def surrogates(log_prob, log_prob_old, advantage, epsilon_low, epsilon_high):
    """ρ Â, its clipped version and Â."""
    high = epsilon_low if epsilon_high is None else epsilon_high
    rho, a = (log_prob - log_prob_old.detach()).exp(), advantage.detach()
    return rho * a, rho.clamp(1 - epsilon_low, 1 + high) * a, a


def bounded(surrogate, a, dual):
    """The loss of a surrogate, with the dual clip."""
    if dual is None:
        return -surrogate
    return -torch.where(a < 0, torch.maximum(surrogate, dual * a), surrogate)


@policy_loss.misconception("The smaller of the two is the cautious promise: min, not max.")
def promises_the_larger(
    log_prob, log_prob_old, advantage, epsilon_low=0.2, epsilon_high=None, dual=None
):
    full, near, a = surrogates(log_prob, log_prob_old, advantage, epsilon_low, epsilon_high)
    return bounded(torch.maximum(full, near), a, dual)


@policy_loss.misconception("The clip alone also frees what must be undone: take the minimum.")
def clips_without_the_minimum(
    log_prob, log_prob_old, advantage, epsilon_low=0.2, epsilon_high=None, dual=None
):
    _, near, a = surrogates(log_prob, log_prob_old, advantage, epsilon_low, epsilon_high)
    return bounded(near, a, dual)


@policy_loss.misconception("Without a clip nothing holds the policy near the one that wrote.")
def clips_nothing(log_prob, log_prob_old, advantage, epsilon_low=0.2, epsilon_high=None, dual=None):
    full, _, a = surrogates(log_prob, log_prob_old, advantage, epsilon_low, epsilon_high)
    return bounded(full, a, dual)


@policy_loss.misconception("It is a loss, to be made small: minus the surrogate.")
def turns_the_loss_round(
    log_prob, log_prob_old, advantage, epsilon_low=0.2, epsilon_high=None, dual=None
):
    return -ppo_rlhf.policy_loss(log_prob, log_prob_old, advantage, epsilon_low, epsilon_high, dual)


@policy_loss.misconception("New over old: the ratio is exp(log π - log π_old).")
def inverts_the_ratio(
    log_prob, log_prob_old, advantage, epsilon_low=0.2, epsilon_high=None, dual=None
):
    old = log_prob_old.detach()
    return ppo_rlhf.policy_loss(2 * old - log_prob, old, advantage, epsilon_low, epsilon_high, dual)


@policy_loss.misconception("A difference of logarithms is no ratio yet: take its exp.")
def takes_the_log_for_the_ratio(
    log_prob, log_prob_old, advantage, epsilon_low=0.2, epsilon_high=None, dual=None
):
    high = epsilon_low if epsilon_high is None else epsilon_high
    x, a = log_prob - log_prob_old.detach(), advantage.detach()
    return bounded(torch.minimum(x * a, x.clamp(1 - epsilon_low, 1 + high) * a), a, dual)


@policy_loss.misconception("A ratio of what is drawn: the new probability alone weighs nothing.")
def forgets_the_old_policy(
    log_prob, log_prob_old, advantage, epsilon_low=0.2, epsilon_high=None, dual=None
):
    return ppo_rlhf.policy_loss(
        log_prob, 0 * log_prob_old, advantage, epsilon_low, epsilon_high, dual
    )


@policy_loss.misconception("The bounds may differ: above it is 1 + ε_high.")
def takes_one_bound_for_both(
    log_prob, log_prob_old, advantage, epsilon_low=0.2, epsilon_high=None, dual=None
):
    return ppo_rlhf.policy_loss(log_prob, log_prob_old, advantage, epsilon_low, None, dual)


@policy_loss.misconception("ε_low bounds the ratio below, ε_high above: they are swapped.")
def swaps_the_bounds(
    log_prob, log_prob_old, advantage, epsilon_low=0.2, epsilon_high=None, dual=None
):
    high = epsilon_low if epsilon_high is None else epsilon_high
    return ppo_rlhf.policy_loss(log_prob, log_prob_old, advantage, high, epsilon_low, dual)


@policy_loss.misconception("`or` takes 0 for not given: ask whether ε_high is None.")
def takes_zero_for_none(
    log_prob, log_prob_old, advantage, epsilon_low=0.2, epsilon_high=None, dual=None
):
    high = epsilon_high or epsilon_low
    return ppo_rlhf.policy_loss(log_prob, log_prob_old, advantage, epsilon_low, high, dual)


@policy_loss.misconception(
    "The dual clip is for Â < 0: where c is below 1 + ε_high, cutting every ratio at c clips good "
    "tokens too early."
)
def cuts_every_ratio_at_c(
    log_prob, log_prob_old, advantage, epsilon_low=0.2, epsilon_high=None, dual=None
):
    top = log_prob_old.detach() + (math.inf if dual is None else math.log(dual))
    return ppo_rlhf.policy_loss(
        torch.minimum(log_prob, top), log_prob_old, advantage, epsilon_low, epsilon_high
    )


@policy_loss.misconception("Nothing bounds a huge ratio where Â < 0: the dual clip is missing.")
def forgets_the_dual_clip(
    log_prob, log_prob_old, advantage, epsilon_low=0.2, epsilon_high=None, dual=None
):
    return ppo_rlhf.policy_loss(log_prob, log_prob_old, advantage, epsilon_low, epsilon_high)


@policy_loss.misconception(
    "-c Â is the most that a token may cost: the smaller loss, not the larger."
)
def turns_the_dual_clip_round(
    log_prob, log_prob_old, advantage, epsilon_low=0.2, epsilon_high=None, dual=None
):
    full, near, a = surrogates(log_prob, log_prob_old, advantage, epsilon_low, epsilon_high)
    found = torch.minimum(full, near)
    if dual is None:
        return -found
    return -torch.where(a < 0, torch.minimum(found, dual * a), found)


@policy_loss.misconception(
    "The dual clip is for Â < 0: where Â > 0 it would raise the surrogate to c Â."
)
def clips_both_signs_dually(
    log_prob, log_prob_old, advantage, epsilon_low=0.2, epsilon_high=None, dual=None
):
    full, near, a = surrogates(log_prob, log_prob_old, advantage, epsilon_low, epsilon_high)
    found = torch.minimum(full, near)
    return -found if dual is None else -torch.maximum(found, dual * a)


@policy_loss.misconception("The dual clip is for Â < 0: where Â > 0 the first clip is enough.")
def clips_good_tokens_dually(
    log_prob, log_prob_old, advantage, epsilon_low=0.2, epsilon_high=None, dual=None
):
    full, near, a = surrogates(log_prob, log_prob_old, advantage, epsilon_low, epsilon_high)
    found = torch.minimum(full, near)
    if dual is None:
        return -found
    return -torch.where(a > 0, torch.maximum(found, dual * a), found)


@policy_loss.misconception("The bound holds c Â: at what a token costs, not at c.")
def bounds_without_the_advantage(
    log_prob, log_prob_old, advantage, epsilon_low=0.2, epsilon_high=None, dual=None
):
    full, near, a = surrogates(log_prob, log_prob_old, advantage, epsilon_low, epsilon_high)
    found = torch.minimum(full, near)
    return -found if dual is None else -torch.where(a < 0, found.clamp(min=-dual), found)


@policy_loss.misconception("The ratio is clipped to 1 ± ε, not its log to ± ε.")
def clips_the_log(log_prob, log_prob_old, advantage, epsilon_low=0.2, epsilon_high=None, dual=None):
    high = epsilon_low if epsilon_high is None else epsilon_high
    x, a = log_prob - log_prob_old.detach(), advantage.detach()
    return bounded(torch.minimum(x.exp() * a, x.clamp(-epsilon_low, high).exp() * a), a, dual)


@policy_loss.misconception("What the tokens were drawn from is data: .detach() log π_old.")
def gradient_through_the_old_policy(
    log_prob, log_prob_old, advantage, epsilon_low=0.2, epsilon_high=None, dual=None
):
    return ppo_rlhf.policy_loss(
        log_prob - log_prob_old, 0 * log_prob_old, advantage, epsilon_low, epsilon_high, dual
    )


@policy_loss.misconception(
    "The advantage is a weight: .detach() it, or the critic learns to flatter."
)
def gradient_through_the_advantage(
    log_prob, log_prob_old, advantage, epsilon_low=0.2, epsilon_high=None, dual=None
):
    high = epsilon_low if epsilon_high is None else epsilon_high
    rho = (log_prob - log_prob_old.detach()).exp()
    full, near = rho * advantage, rho.clamp(1 - epsilon_low, 1 + high) * advantage
    return bounded(torch.minimum(full, near), advantage, dual)


@policy_loss.misconception("The gradient runs through ρ: with it detached the policy never moves.")
def detaches_the_ratio(
    log_prob, log_prob_old, advantage, epsilon_low=0.2, epsilon_high=None, dual=None
):
    return ppo_rlhf.policy_loss(
        log_prob.detach(), log_prob_old, advantage, epsilon_low, epsilon_high, dual
    )


@policy_loss.misconception("Token by token: how they are averaged is another choice.")
def averages_the_tokens(
    log_prob, log_prob_old, advantage, epsilon_low=0.2, epsilon_high=None, dual=None
):
    return ppo_rlhf.policy_loss(
        log_prob, log_prob_old, advantage, epsilon_low, epsilon_high, dual
    ).mean()


@policy_loss.control
def loss_by_cases(log_prob, log_prob_old, advantage, epsilon_low=0.2, epsilon_high=None, dual=None):
    high = epsilon_low if epsilon_high is None else epsilon_high
    a = advantage.detach()
    rho = (log_prob - log_prob_old.detach()).exp()
    good = rho.clamp(max=1 + high)
    bad = rho.clamp(1 - epsilon_low, dual)
    return -torch.where(a > 0, good, bad) * a


@policy_loss.control
def as_the_larger_of_two_losses(
    log_prob, log_prob_old, advantage, epsilon_low=0.2, epsilon_high=None, dual=None
):
    """The ratio that costs most, where Â < 0 cut at c first."""
    rho, a = torch.exp(log_prob - log_prob_old.detach()), advantage.detach()
    rho = rho if dual is None else torch.where(a < 0, rho.clamp(max=dual), rho)
    top = 1 + (epsilon_low if epsilon_high is None else epsilon_high)
    return torch.maximum(-a * rho, -a * rho.clamp(1 - epsilon_low, top))


# ------------------------------------------------------------------------------- the leash

kl_penalty = exercise(
    ppo_rlhf.kl_penalty,
    nudge="The tokens are the policy's own. Which sign has x on average? For k3+ you want the "
    "value of one thing and the gradient of another: what is a - a.detach()?",
    worked={
        "log_prob": torch.tensor([-1.0, -2.0], dtype=torch.float64),
        "log_prob_ref": torch.tensor([-2.0, -1.0], dtype=torch.float64),
        "kind": "k3",
    },
)
BOTH = "log_prob", "log_prob_ref"


def compared(rng, shape, kind, size=1.0):
    ref = -rng.uniform(2, 6, shape)
    side = rng.permutation(np.arange(int(np.prod(shape))) % 2 * 2 - 1).reshape(shape)
    return {
        "log_prob": tensor(ref + size * side * rng.uniform(0.2, 1.5, shape)),
        "log_prob_ref": tensor(ref),
        "kind": kind,
    }


@kl_penalty.check(points=1, gradients=BOTH)
def test_k1_is_the_difference_of_log_probabilities(rng):
    """k1 is log π - log π_ref, also where that is negative"""
    for shape in SHAPES:
        yield compared(rng, shape, "k1")


@kl_penalty.check(points=1, gradients=BOTH)
def test_k2_is_half_the_squared_difference(rng):
    """k2 is half of the square of log π - log π_ref"""
    for shape in SHAPES:
        yield compared(rng, shape, "k2")


@kl_penalty.check(points=2, gradients=BOTH)
def test_k3_is_never_negative_and_has_the_mean_of_k1(rng):
    """k3 is π_ref/π - 1 + log π - log π_ref, for tokens that π drew"""
    for shape in SHAPES:
        yield compared(rng, shape, "k3")


@kl_penalty.check(points=2, gradients=BOTH)
def test_k3_plus_has_the_value_of_k3_and_the_gradient_of_k2(rng):
    """k3+ shows the value of k3 and descends by the gradient of k2"""
    for shape in SHAPES:
        yield compared(rng, shape, "k3+")


@kl_penalty.check(points=1, gradients=BOTH)
def test_a_reference_that_finds_a_token_impossible_gives_finite_penalties(rng):
    """log-probabilities that are thousands apart give finite penalties and gradients"""
    for kind, n in zip(ppo_rlhf.KINDS, (5, 3, 4, 6), strict=True):
        case = compared(rng, (n,), kind)
        yield case | {"log_prob_ref": case["log_prob_ref"] - FAR}


@kl_penalty.check(points=1)
def test_another_kind_is_refused(rng):
    """a kind that isn't one of the four raises ValueError"""
    for kind in ("k4", "K1", "k3 ", "kl", ""):
        yield compared(rng, (4,), kind)
    yield compared(rng, (3, 5), ppo_rlhf.KINDS[int(rng.integers(4))])


def estimates(x, kind, **other):
    """The four of x, and what else stands in their place."""
    k2, k3 = x**2 / 2, torch.expm1(-x) + x
    plus = k3.detach() + k2 - k2.detach()
    every = {"k1": x, "k2": k2, "k3": k3, "k3+": plus} | other
    if kind not in every:
        raise ValueError("kind")
    return every[kind]


def difference(log_prob, log_prob_ref):
    return log_prob - log_prob_ref.detach()


@kl_penalty.misconception("Above 0 on average is log π - log π_ref, since π drew: turn it round.")
def turns_k1_round(log_prob, log_prob_ref, kind):
    x = difference(log_prob, log_prob_ref)
    return estimates(x, kind, k1=-x)


@kl_penalty.misconception("An estimate may be negative: cut at 0 its mean is no longer the KL.")
def cuts_k1_at_zero(log_prob, log_prob_ref, kind):
    x = difference(log_prob, log_prob_ref)
    return estimates(x, kind, k1=x.clamp(min=0))


@kl_penalty.misconception("k1 has a sign: its absolute value has another mean.")
def takes_the_size(log_prob, log_prob_ref, kind):
    x = difference(log_prob, log_prob_ref)
    return estimates(x, kind, k1=x.abs())


@kl_penalty.misconception("k2 is half the square.")
def forgets_the_half(log_prob, log_prob_ref, kind):
    x = difference(log_prob, log_prob_ref)
    twice = x**2
    plus = estimates(x, "k3").detach() + twice - twice.detach()
    return estimates(x, kind, k2=twice, **{"k3+": plus})


@kl_penalty.misconception(
    "k3 has π_ref/π = e^-x: the other way round it belongs to tokens of π_ref."
)
def turns_k3_round(log_prob, log_prob_ref, kind):
    x = difference(log_prob, log_prob_ref)
    k3, k2 = torch.expm1(x) - x, x**2 / 2
    return estimates(x, kind, k3=k3, **{"k3+": k3.detach() + k2 - k2.detach()})


@kl_penalty.misconception("At x = 0 the KL is 0: the -1 of k3 is missing.")
def forgets_the_one(log_prob, log_prob_ref, kind):
    x = difference(log_prob, log_prob_ref)
    k3, k2 = (-x).exp() + x, x**2 / 2
    return estimates(x, kind, k3=k3, **{"k3+": k3.detach() + k2 - k2.detach()})


@kl_penalty.misconception("Without + x k3 has the mean 0 and measures nothing.")
def forgets_the_log_ratio(log_prob, log_prob_ref, kind):
    x = difference(log_prob, log_prob_ref)
    k3, k2 = torch.expm1(-x), x**2 / 2
    return estimates(x, kind, k3=k3, **{"k3+": k3.detach() + k2 - k2.detach()})


@kl_penalty.misconception("k3+ has k2's gradient: k3's own is that of the other KL.")
def lets_k3_plus_be_k3(log_prob, log_prob_ref, kind):
    x = difference(log_prob, log_prob_ref)
    return estimates(x, kind, **{"k3+": estimates(x, "k3")})


@kl_penalty.misconception("k3+ has k3's value: only the gradient is k2's.")
def lets_k3_plus_be_k2(log_prob, log_prob_ref, kind):
    x = difference(log_prob, log_prob_ref)
    return estimates(x, kind, **{"k3+": x**2 / 2})


@kl_penalty.misconception("k3+ is the value of k3 and the gradient of k2, not the reverse.")
def swaps_value_and_gradient(log_prob, log_prob_ref, kind):
    x = difference(log_prob, log_prob_ref)
    k2, k3 = x**2 / 2, torch.expm1(-x) + x
    return estimates(x, kind, **{"k3+": k2.detach() + k3 - k3.detach()})


@kl_penalty.misconception("Both gradients are added up: .detach() the value of k3.")
def keeps_both_gradients(log_prob, log_prob_ref, kind):
    x = difference(log_prob, log_prob_ref)
    k2, k3 = x**2 / 2, torch.expm1(-x) + x
    return estimates(x, kind, **{"k3+": k3 + k2 - k2.detach()})


@kl_penalty.misconception("Detached altogether k3+ is a number to look at: k2 needs its gradient.")
def detaches_k3_plus(log_prob, log_prob_ref, kind):
    x = difference(log_prob, log_prob_ref)
    return estimates(x, kind, **{"k3+": (torch.expm1(-x) + x).detach() + 0 * log_prob})


@kl_penalty.misconception("The reference doesn't learn: .detach() it.")
def gradient_through_the_reference(log_prob, log_prob_ref, kind):
    return estimates(log_prob - log_prob_ref, kind)


@kl_penalty.misconception("The tokens are drawn by π already: no weight π on top of that.")
def weighs_by_the_policy(log_prob, log_prob_ref, kind):
    return log_prob.exp() * estimates(difference(log_prob, log_prob_ref), kind)


@kl_penalty.misconception("Token by token: how they are averaged is another choice.")
def averages_the_penalties(log_prob, log_prob_ref, kind):
    return estimates(difference(log_prob, log_prob_ref), kind).mean()


@kl_penalty.misconception("A kind that nobody knows is a slip of the pen: raise ValueError.")
def takes_any_kind_for_k1(log_prob, log_prob_ref, kind):
    x = difference(log_prob, log_prob_ref)
    return estimates(x, kind, **({} if kind in ppo_rlhf.KINDS else {kind: x}))


@kl_penalty.control
def kind_by_kind(log_prob, log_prob_ref, kind):
    with torch.no_grad():
        ref = 1 * log_prob_ref
    if kind == "k1":
        return log_prob - ref
    square = 0.5 * (ref - log_prob) ** 2
    if kind == "k2":
        return square
    value = torch.exp(ref - log_prob) - 1 - ref + log_prob
    if kind == "k3":
        return value
    if kind == "k3+":
        return square + (value - square).detach()
    raise ValueError(kind)


# ------------------------------------------------------------------------------- its price

adapted_beta = exercise(
    ppo_rlhf.adapted_beta,
    nudge="By which share is the KL too long? How much of that may one batch change, and of how "
    "many responses is the horizon?",
    worked={"beta": 0.1, "kl": 5.5, "target": 5.0, "samples": 256, "horizon": 1024},
)


def measured(rng, error, **more):
    """A KL that is off its target by this share."""
    target = float(rng.uniform(0.5, 8))
    return {
        "beta": float(rng.uniform(0.05, 2)),
        "kl": target * (1 + error),
        "target": target,
        "samples": int(rng.integers(100, 900)),
        "horizon": int(rng.integers(300, 2000)),
    } | more


@adapted_beta.check(points=2)
def test_beta_follows_the_share_by_which_the_kl_is_off(rng):
    """off by less than 20 %, β changes by that share times n/horizon"""
    for sign in (1, -1):
        for _ in range(3):
            yield measured(rng, sign * rng.uniform(0.04, 0.19))
    yield measured(rng, 0.0)


@adapted_beta.check(points=2)
def test_one_batch_changes_beta_by_a_fifth_at_most(rng):
    """off by more than 20 %, in either direction, it counts as 20 %"""
    for error in (rng.uniform(0.25, 0.9), rng.uniform(1, 20), rng.uniform(20, 1e4)):
        yield measured(rng, error)
    for error in (-rng.uniform(0.25, 0.5), -rng.uniform(0.6, 1), -1.0, -rng.uniform(1.1, 3)):
        yield measured(rng, error)


@adapted_beta.check(points=1)
def test_a_batch_weighs_as_much_as_its_share_of_the_horizon(rng):
    """the change grows with n and falls with the horizon, wherever either is larger"""
    for n in (1, 64, 5000):
        yield measured(rng, rng.uniform(0.1, 0.5), samples=n, horizon=40)
        yield measured(rng, -rng.uniform(0.1, 0.5), samples=n, horizon=700)
    yield measured(rng, rng.uniform(0.1, 0.5), beta=0.0)
    yield measured(rng, rng.uniform(0.1, 0.5), samples=0)


@adapted_beta.check(points=1)
def test_a_target_or_horizon_that_is_not_positive_is_refused(rng):
    """a target or a horizon of 0 or below raises ValueError"""
    for target in (0.0, -0.5):
        yield measured(rng, 0.1, target=target)
    for horizon in (0, -100):
        yield measured(rng, -0.1, horizon=horizon)
    yield measured(rng, 0.3)


def refuse_beta(target, horizon):
    if target <= 0 or horizon <= 0:
        raise ValueError("target or horizon")


def clipped(x):
    return min(max(x, -0.2), 0.2)


@adapted_beta.misconception("A leash that is too long must become dearer: the sign is turned.")
def cheapens_a_long_leash(beta, kl, target, samples, horizon):
    refuse_beta(target, horizon)
    return beta * (1 - clipped(kl / target - 1) * samples / horizon)


@adapted_beta.misconception("One wild batch mustn't throw β far: clip the error to ± 0.2.")
def clips_no_error(beta, kl, target, samples, horizon):
    refuse_beta(target, horizon)
    return beta * (1 + (kl / target - 1) * samples / horizon)


@adapted_beta.misconception("The error is clipped below too, at -0.2.")
def clips_above_only(beta, kl, target, samples, horizon):
    refuse_beta(target, horizon)
    return beta * (1 + min(kl / target - 1, 0.2) * samples / horizon)


@adapted_beta.misconception("The error is clipped above too, at 0.2.")
def clips_below_only(beta, kl, target, samples, horizon):
    refuse_beta(target, horizon)
    return beta * (1 + max(kl / target - 1, -0.2) * samples / horizon)


@adapted_beta.misconception("The error is what is clipped, before it is weighed by n/horizon.")
def clips_the_whole_change(beta, kl, target, samples, horizon):
    refuse_beta(target, horizon)
    return beta * (1 + clipped((kl / target - 1) * samples / horizon))


@adapted_beta.misconception("A share, not nats: divide the KL by its target.")
def subtracts_the_target(beta, kl, target, samples, horizon):
    refuse_beta(target, horizon)
    return beta * (1 + clipped(kl - target) * samples / horizon)


@adapted_beta.misconception("The KL over its target, not the reverse.")
def divides_the_target_by_the_kl(beta, kl, target, samples, horizon):
    refuse_beta(target, horizon)
    return beta * (1 + clipped(1 - target / (kl or 1e-300)) * samples / horizon)


@adapted_beta.misconception("On target the error is 0: KL/target - 1.")
def forgets_the_minus_one(beta, kl, target, samples, horizon):
    refuse_beta(target, horizon)
    return beta * (1 + clipped(kl / target) * samples / horizon)


@adapted_beta.misconception("A small batch says little: the error is weighed by n/horizon.")
def forgets_the_horizon(beta, kl, target, samples, horizon):
    refuse_beta(target, horizon)
    return beta * (1 + clipped(kl / target - 1))


@adapted_beta.misconception("n over horizon: a larger batch moves β further.")
def inverts_the_share(beta, kl, target, samples, horizon):
    refuse_beta(target, horizon)
    return beta * (1 + clipped(kl / target - 1) * horizon / max(samples, 1e-9))


@adapted_beta.misconception("n/horizon is a fraction: // makes 0 of it.")
def divides_without_a_rest(beta, kl, target, samples, horizon):
    refuse_beta(target, horizon)
    return beta * (1 + clipped(kl / target - 1) * (samples // horizon))


@adapted_beta.misconception("β is multiplied: what is added would have the size of no β.")
def adds_the_change(beta, kl, target, samples, horizon):
    refuse_beta(target, horizon)
    return beta + clipped(kl / target - 1) * samples / horizon


@adapted_beta.misconception("The factor is 1 + e n/horizon; its exponential is near, but another.")
def takes_the_exponential(beta, kl, target, samples, horizon):
    refuse_beta(target, horizon)
    return beta * math.exp(clipped(kl / target - 1) * samples / horizon)


@adapted_beta.misconception(
    "β follows the error; doubling and halving is the rule of another paper."
)
def doubles_or_halves(beta, kl, target, samples, horizon):
    refuse_beta(target, horizon)
    return beta * 2 if kl > 1.5 * target else beta / 2 if kl < target / 1.5 else beta


@adapted_beta.misconception("Without a positive target there is no share: raise ValueError.")
def accepts_any_target(beta, kl, target, samples, horizon):
    return ppo_rlhf.adapted_beta(beta, kl, target if target > 0 else 1.0, samples, horizon)


@adapted_beta.misconception("A horizon is a number of responses, above 0: raise ValueError.")
def accepts_any_horizon(beta, kl, target, samples, horizon):
    return ppo_rlhf.adapted_beta(beta, kl, target, samples, horizon if horizon > 0 else 1)


@adapted_beta.control
def by_a_clipped_ratio(beta, kl, target, samples, horizon):
    if not (target > 0 and horizon > 0):
        raise ValueError("target, horizon")
    ratio = sorted((0.8, kl / target, 1.2))[1]
    return beta + beta * (ratio - 1) * (samples / horizon)
