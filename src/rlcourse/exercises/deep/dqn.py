"""The six exercises of the DQN chapter: two targets, the dueling head, the Huber loss, the loss of
a minibatch and the behaviour. Gradients are graded where a network would follow them.

Axes differ in size and vary: B learners, N transitions of a minibatch, A actions; all of float64.
"""

import numpy as np
import torch
from torch.nn import functional as F

from rlcourse.deep import q_learning
from rlcourse.exercises.tabular.temporal_difference import flagged
from rlcourse.grading import exercise
from rlcourse.tabular.targets import td_target

FAR = 1e4
MASKED = 1e-5  # γ (1 - terminated.float()) rounds γ to float32: no mistake, and much in use


def tensor(x):
    """A tensor of float64, or of the array's own type."""
    return torch.from_numpy(np.asarray(x))


def normal(rng, *shape, size=3.0):
    return tensor(size * rng.normal(size=shape))


def whole(rng, *shape, most=2):
    """Whole numbers from -most to most, as floats: many of them are equal."""
    return tensor(rng.integers(-most, most + 1, size=shape).astype(float))


def steps(rng, shape, ends=0, size=3.0, gamma=None, kind=bool):
    """One step of each learner, `ends` of which end: all but what follows."""
    return {
        "r": normal(rng, *shape, size=size),
        "terminated": tensor(flagged(rng, shape, ends, kind)),
        "gamma": rng.uniform(0.3, 0.95) if gamma is None else gamma,
    }


def slips_of_both_targets(exercise):
    """Mistakes that a target invites, however the next action is chosen."""

    @exercise.misconception("The episode ended: nothing follows, no value must count there.")
    def bootstraps_past_the_end(terminated, **case):
        return exercise.reference(terminated=0 * terminated, **case)

    @exercise.misconception("The mask is upside down: what follows counts where it goes on.")
    def bootstraps_only_at_the_end(terminated, **case):
        return exercise.reference(terminated=terminated == 0, **case)

    @exercise.misconception("The last reward is real: an end cuts off the future alone.")
    def cuts_off_the_last_reward(terminated, **case):
        found = exercise.reference(terminated=terminated, **case)
        return torch.where(terminated != 0, 0.0, found)

    @exercise.misconception("γ discounts what comes later: the reward of this step counts whole.")
    def discounts_the_reward(r, gamma, **case):
        return exercise.reference(r=gamma * r, gamma=gamma, **case)

    @exercise.misconception("What comes a step later is worth γ times as much: multiply by γ.")
    def leaves_gamma_out(gamma, **case):
        return exercise.reference(gamma=1.0, **case)

    @exercise.misconception("What follows is added to the reward, not subtracted from it.")
    def subtracts_what_follows(gamma, **case):
        return exercise.reference(gamma=-gamma, **case)

    @exercise.misconception("γ is an argument, and the usual 0.99 only one of its values.")
    def takes_the_usual_discount(gamma, **case):
        return exercise.reference(gamma=0.99, **case)

    @exercise.misconception(
        "torch has no 1 - terminated for booleans: make numbers of them, terminated.to(r.dtype)."
    )
    def takes_flags_for_numbers(terminated, **case):
        return exercise.reference(terminated=1 - (1 - terminated), **case)

    @exercise.misconception(
        "~ makes -1 and -2 of 0 and 1, and floats have none: write 1 - terminated.to(r.dtype)."
    )
    def inverts_numbers_bit_by_bit(terminated, **case):
        return exercise.reference(terminated=1 - (~terminated).double(), **case)

    @exercise.misconception("A tensor has no single truth: choose for each step by itself.")
    def asks_all_steps_one_question(r, terminated, **case):
        return r if terminated else exercise.reference(r=r, terminated=terminated, **case)

    @exercise.misconception("Each step ends or goes on by itself: one end doesn't end the others.")
    def ends_all_if_one_ends(terminated, **case):
        one = torch.full_like(terminated, (terminated != 0).any())
        return exercise.reference(terminated=one, **case)

    @exercise.misconception("r += ... writes into the caller's rewards: write r + ... instead.")
    def writes_into_the_rewards(r, **case):
        return r.copy_(exercise.reference(r=r, **case))


# ------------------------------------------------------------------------------- dqn_target

dqn_target = exercise(
    q_learning.dqn_target,
    tolerance=MASKED,
    nudge="It is Q-learning's target. What changes when q(s', .) is a row of a network's output, "
    "and the flags are a tensor?",
    worked={
        "r": torch.tensor([1.0, 0.0, 2.0], dtype=torch.float64),
        "q_next": torch.tensor([[2.0, 4.0], [6.0, 3.0], [-8.0, -2.0]], dtype=torch.float64),
        "terminated": torch.tensor([False, True, False]),
        "gamma": 0.5,
    },
)


def dqn_steps(rng, shape, ends=0, size=3.0, **more):
    """Steps with a row of values for each: shape (..., A)."""
    return steps(rng, shape[:-1], ends, size, **more) | {"q_next": normal(rng, *shape, size=size)}


@dqn_target.check(points=2)
def test_a_dqn_target_counts_on_the_best_next_action(rng):
    """a DQN target counts on the best next action"""
    for shape in ((7, 3), (4, 6), (8, 2), (5, 9)):
        yield dqn_steps(rng, shape)
    yield dqn_steps(rng, (6, 4), gamma=0.995)


@dqn_target.check(points=1)
def test_a_dqn_target_takes_the_least_bad_action_where_all_values_are_negative(rng):
    """a DQN target takes the least bad action where all values are negative"""
    for shape, size in (((6, 4), 3), ((5, 3), 0.1), ((7, 2), FAR)):
        case = dqn_steps(rng, shape)
        yield case | {"q_next": tensor(-size * rng.uniform(0.1, 1, shape))}
    yield dqn_steps(rng, (5, 4)) | {"q_next": whole(rng, 5, 4)}  # with ties


@dqn_target.check(points=1)
def test_a_dqn_target_lets_nothing_follow_an_end_but_keeps_its_reward(rng):
    """a DQN target lets nothing follow an end, whether flags are booleans or 0 and 1"""
    for shape, ends, kind in (((7, 3), 3, bool), ((5, 4), 2, int), ((6, 2), 5, bool)):
        yield dqn_steps(rng, shape, ends, kind=kind)
    for kind in (float, np.float32, np.uint8):
        yield dqn_steps(rng, (6, 5), 2, kind=kind)


@dqn_target.check(points=1)
def test_a_dqn_target_serves_one_step_or_action_and_many(rng):
    """one step, one action and any leading axes are served alike"""
    for shape, ends in (((6, 1), 2), ((1, 5), 0), ((1, 4), 1), ((2, 3, 5), 2), ((4, 1, 7), 1)):
        yield dqn_steps(rng, shape, ends)
    yield dqn_steps(rng, (4,))
    yield dqn_steps(rng, (3,), 1)


@dqn_target.check(points=1)
def test_a_dqn_target_holds_at_gamma_one_and_zero_and_for_large_values(rng):
    """a DQN target holds at γ = 1 and 0 and for large values"""
    for shape, gamma in (((6, 4), 1.0), ((5, 3), 0.0), ((7, 2), 1), ((4, 9), 0)):
        case = dqn_steps(rng, shape, 2, gamma=gamma)
        yield case | {"q_next": FAR * case["q_next"]}
        yield case | {"r": FAR * case["r"]}


slips_of_both_targets(dqn_target)


def after(r, v_next, terminated, gamma):
    return td_target(r, v_next, terminated.double(), gamma)


@dqn_target.misconception("The target takes the best next action, not the average of them.")
def averages_the_actions(r, q_next, terminated, gamma):
    return after(r, q_next.mean(-1), terminated, gamma)


@dqn_target.misconception("The agent does its best from s' on: the maximum, not the minimum.")
def takes_the_worst_action(r, q_next, terminated, gamma):
    return after(r, q_next.amin(-1), terminated, gamma)


@dqn_target.misconception("The best value is the greatest, not the one of greatest size.")
def takes_the_value_of_greatest_size(r, q_next, terminated, gamma):
    return after(r, q_next.abs().amax(-1), terminated, gamma)


@dqn_target.misconception("A target never clips: the best value may be negative.")
def clips_at_zero(r, q_next, terminated, gamma):
    return after(r, q_next.amax(-1).clamp(min=0), terminated, gamma)


@dqn_target.misconception("A target is no clipped reward: a reward may be of any size.")
def clips_the_reward(r, q_next, terminated, gamma):
    return after(r.clamp(-1, 1), q_next.amax(-1), terminated, gamma)


@dqn_target.misconception("Each state has a best action of its own: max over A, the last axis.")
def takes_the_best_of_the_batch(r, q_next, terminated, gamma):
    return after(r, q_next.amax(0), terminated, gamma)


@dqn_target.misconception("Leading axes may be none or many: that of the actions is -1, not 1.")
def takes_the_best_along_axis_one(r, q_next, terminated, gamma):
    return after(r, q_next.amax(1), terminated, gamma)


@dqn_target.misconception("max() without an axis is one number for all states: amax(-1).")
def takes_the_best_of_all(r, q_next, terminated, gamma):
    return after(r, q_next.max(), terminated, gamma)


@dqn_target.misconception("max(-1) gives values and indices in torch: take .values, or amax(-1).")
def takes_values_and_indices_for_one(r, q_next, terminated, gamma):
    return after(r, q_next.max(-1), terminated, gamma)


@dqn_target.misconception("argmax says which action is the best; asked is what it is worth.")
def adds_the_number_of_the_action(r, q_next, terminated, gamma):
    return after(r, q_next.argmax(-1), terminated, gamma)


@dqn_target.misconception(
    "best[terminated] = 0 picks flagged rows by booleans only; 0 and 1 are rows 0 and 1."
)
def picks_rows_by_number(r, q_next, terminated, gamma):
    best = q_next.amax(-1)
    best[terminated] = 0
    return r + gamma * best


@dqn_target.misconception("q_next[...] = 0 writes into the caller's values: mask a copy of them.")
def writes_into_the_values(r, q_next, terminated, gamma):
    q_next[terminated != 0] = 0
    return r + gamma * q_next.amax(-1)


@dqn_target.misconception("best is (N, 1) and r is (N,): together they make N×N. Drop keepdim.")
def keeps_the_axis_of_the_best(r, q_next, terminated, gamma):
    return after(r, q_next.amax(-1, keepdim=True), terminated, gamma)


@dqn_target.control
def chosen_by_where(r, q_next, terminated, gamma):
    return torch.where(terminated.bool(), r, r + gamma * q_next.max(-1).values)


@dqn_target.control
def masked_in_float32(r, q_next, terminated, gamma):
    return r + gamma * (1 - terminated.float()) * q_next.max(dim=-1)[0]


@dqn_target.control
def step_by_step(r, q_next, terminated, gamma):
    found = r.clone()
    for at in np.ndindex(found.shape):
        if not terminated[at]:
            found[at] += gamma * max(q_next[at].tolist())
    return found


# ------------------------------------------------------------------------------- double_dqn_target

double_dqn_target = exercise(
    q_learning.double_dqn_target,
    tolerance=MASKED,
    nudge="Two networks look at s'. One of them says which action, the other what it is worth.",
    worked={
        "r": torch.tensor([1.0, 0.0], dtype=torch.float64),
        "q_choose": torch.tensor([[2.0, 9.0, 1.0], [5.0, 5.0, 3.0]], dtype=torch.float64),
        "q_judge": torch.tensor([[8.0, 4.0, 6.0], [2.0, 7.0, 9.0]], dtype=torch.float64),
        "terminated": torch.tensor([False, False]),
        "gamma": 0.5,
    },
)


def double_steps(rng, shape, ends=0, size=3.0, **more):
    """Steps with two opinions of the next state, which differ: shape (..., A)."""
    both = {n: normal(rng, *shape, size=size) for n in ("q_choose", "q_judge")}
    return steps(rng, shape[:-1], ends, size, **more) | both


@double_dqn_target.check(points=2)
def test_a_double_dqn_target_lets_one_network_choose_and_the_other_judge(rng):
    """a double DQN target lets one network choose and the other judge"""
    for shape in ((7, 3), (4, 6), (8, 2), (5, 9)):
        yield double_steps(rng, shape)
    case = double_steps(rng, (6, 4), gamma=0.995)
    yield case | {"q_choose": -case["q_choose"].abs(), "q_judge": -case["q_judge"].abs()}


@double_dqn_target.check(points=1)
def test_a_double_dqn_target_judges_the_first_of_equal_best_actions(rng):
    """of equal best actions the first is judged, and of almost equal ones the better"""
    for shape in ((7, 3), (5, 8), (4, 6)):
        yield double_steps(rng, shape) | {"q_choose": whole(rng, *shape, most=1)}
    yield double_steps(rng, (6, 5)) | {"q_choose": torch.full((6, 5), rng.normal()).double()}
    case = double_steps(rng, (8, 4))
    yield case | {"q_choose": 1 + 1e-9 * case["q_choose"]}


@double_dqn_target.check(points=1)
def test_a_double_dqn_target_lets_nothing_follow_an_end_but_keeps_its_reward(rng):
    """a double DQN target lets nothing follow an end, whether flags are booleans or 0 and 1"""
    for shape, ends, kind in (((7, 3), 3, bool), ((5, 4), 2, int), ((6, 2), 5, bool)):
        yield double_steps(rng, shape, ends, kind=kind)
    for kind in (float, np.float32, np.uint8):
        yield double_steps(rng, (6, 5), 2, kind=kind)


@double_dqn_target.check(points=1)
def test_a_double_dqn_target_serves_one_step_or_action_and_many(rng):
    """two opinions of one step, of one action, and with any leading axes are served alike"""
    for shape, ends in (((6, 1), 2), ((1, 5), 0), ((1, 4), 1), ((2, 3, 5), 2), ((4, 1, 7), 1)):
        yield double_steps(rng, shape, ends)
    yield double_steps(rng, (4,))
    yield double_steps(rng, (3,), 1)


@double_dqn_target.check(points=1)
def test_a_double_dqn_target_holds_at_gamma_one_and_zero_and_for_large_values(rng):
    """a double DQN target holds at γ = 1 and 0 and for large values"""
    for shape, gamma in (((6, 4), 1.0), ((5, 3), 0.0), ((7, 2), 1), ((4, 9), 0)):
        case = double_steps(rng, shape, 2, gamma=gamma)
        yield case | {n: FAR * case[n] for n in ("q_choose", "q_judge")}
        yield case | {"r": FAR * case["r"]}


slips_of_both_targets(double_dqn_target)


def worth(q, a):
    """q of the action a in each row."""
    return q.gather(-1, a[..., None])[..., 0]


@double_dqn_target.misconception(
    "The roles are swapped: the online network chooses, the target network judges."
)
def swaps_the_roles(r, q_choose, q_judge, terminated, gamma):
    return q_learning.double_dqn_target(r, q_judge, q_choose, terminated, gamma)


@double_dqn_target.misconception(
    "The best value of the judge is DQN's own target, bias included: the other network chooses."
)
def lets_the_judge_choose(r, q_choose, q_judge, terminated, gamma):
    return q_learning.dqn_target(r, q_judge, terminated, gamma)


@double_dqn_target.misconception(
    "Who chooses must not judge: an action chosen for its error would count with it."
)
def lets_the_chooser_judge(r, q_choose, q_judge, terminated, gamma):
    return q_learning.dqn_target(r, q_choose, terminated, gamma)


@double_dqn_target.misconception(
    "The smaller of two maxima is no judge's opinion of the chosen action; it errs downwards."
)
def takes_the_smaller_maximum(r, q_choose, q_judge, terminated, gamma):
    best = torch.minimum(q_choose.amax(-1), q_judge.amax(-1))
    return after(r, best, terminated, gamma)


@double_dqn_target.misconception(
    "That is TD3's clipped target, which lets both judge. Here the second judges alone."
)
def takes_the_smaller_opinion_of_the_choice(r, q_choose, q_judge, terminated, gamma):
    best = q_choose.argmax(-1)
    return after(r, torch.minimum(q_choose.amax(-1), worth(q_judge, best)), terminated, gamma)


@double_dqn_target.misconception(
    "The best of the smaller values mixes both networks in each action: one chooses, one judges."
)
def takes_the_best_of_the_smaller(r, q_choose, q_judge, terminated, gamma):
    return q_learning.dqn_target(r, torch.minimum(q_choose, q_judge), terminated, gamma)


@double_dqn_target.misconception("The networks are not averaged: one chooses, the other judges.")
def averages_both_networks(r, q_choose, q_judge, terminated, gamma):
    return q_learning.dqn_target(r, (q_choose + q_judge) / 2, terminated, gamma)


@double_dqn_target.misconception("Each row has a best action of its own: argmax(-1), not argmax().")
def judges_one_action_in_all_rows(r, q_choose, q_judge, terminated, gamma):
    a = q_choose.argmax() % q_choose.shape[-1]
    return after(r, q_judge[..., a], terminated, gamma)


@double_dqn_target.misconception("Of equal best actions the first is judged, as argmax finds it.")
def judges_the_last_of_equals(r, q_choose, q_judge, terminated, gamma):
    best = q_choose.shape[-1] - 1 - q_choose.flip(-1).argmax(-1)
    return after(r, worth(q_judge, best), terminated, gamma)


@double_dqn_target.misconception("In float32 values that differ a little are equal: no float().")
def chooses_in_float32(r, q_choose, q_judge, terminated, gamma):
    return after(r, worth(q_judge, q_choose.float().argmax(-1)), terminated, gamma)


@double_dqn_target.misconception("Of equal best actions the first is judged, not their mean.")
def averages_over_equals(r, q_choose, q_judge, terminated, gamma):
    best = (q_choose == q_choose.amax(-1, keepdim=True)).double()
    return after(r, (best * q_judge).sum(-1) / best.sum(-1), terminated, gamma)


@double_dqn_target.misconception("The number of the action is no value: look it up in q_judge.")
def adds_the_number_of_the_choice(r, q_choose, q_judge, terminated, gamma):
    return after(r, q_choose.argmax(-1), terminated, gamma)


@double_dqn_target.misconception(
    "q_judge[..., best] pairs each row with every row's action: gather takes one from each row."
)
def pairs_every_row_with_every_action(r, q_choose, q_judge, terminated, gamma):
    return after(r, q_judge[..., q_choose.argmax(-1)], terminated, gamma)


@double_dqn_target.misconception("gather keeps the axis: take its one entry off, [..., 0].")
def keeps_the_axis_of_gather(r, q_choose, q_judge, terminated, gamma):
    return after(r, q_judge.gather(-1, q_choose.argmax(-1)[..., None]), terminated, gamma)


@double_dqn_target.misconception("Leading axes may be none or many: that of the actions is -1.")
def chooses_along_axis_one(r, q_choose, q_judge, terminated, gamma):
    best = q_choose.argmax(1, keepdim=True)
    return after(r, q_judge.gather(1, best)[:, 0], terminated, gamma)


@double_dqn_target.misconception(
    "q_judge[arange(N), best] serves one leading axis: gather along the last serves any."
)
def picks_from_numbered_rows(r, q_choose, q_judge, terminated, gamma):
    best = q_choose.argmax(1)
    return after(r, q_judge[torch.arange(len(r)), best], terminated, gamma)


@double_dqn_target.misconception(
    "squeeze() drops every axis of size 1, that of a lone learner too: [..., 0] drops one."
)
def squeezes_every_axis(r, q_choose, q_judge, terminated, gamma):
    best = q_judge.gather(-1, q_choose.argmax(-1, keepdim=True)).squeeze()
    return after(r, best, terminated, gamma)


@double_dqn_target.control
def judged_by_a_mask(r, q_choose, q_judge, terminated, gamma):
    one = F.one_hot(q_choose.argmax(-1), q_choose.shape[-1])
    return torch.where(terminated.bool(), r, r + gamma * (one * q_judge).sum(-1))


@double_dqn_target.control
def judged_under_a_mask_of_float32(r, q_choose, q_judge, terminated, gamma):
    best = q_judge.gather(-1, q_choose.argmax(-1).unsqueeze(-1)).squeeze(-1)
    return r + gamma * (1 - terminated.float()) * best


@double_dqn_target.control
def judged_row_by_row(r, q_choose, q_judge, terminated, gamma):
    found = r.clone()
    for at in np.ndindex(found.shape):
        if not terminated[at]:
            row = q_choose[at].tolist()
            found[at] += gamma * q_judge[at][row.index(max(row))]
    return found


# ------------------------------------------------------------------------------- dueling_q

dueling_q = exercise(
    q_learning.dueling_q,
    nudge="v and a may trade any constant without changing v + a. Which constant is taken off a, "
    "so that the mean of q over the actions is v?",
    worked={
        "v": torch.tensor([10.0, -1.0], dtype=torch.float64),
        "advantage": torch.tensor([[1.0, 2.0, 6.0], [3.0, 3.0, 3.0]], dtype=torch.float64),
    },
)


def heads(rng, *shape, size=3.0):
    """What the two heads of a network say: shape (..., A)."""
    v, advantage = normal(rng, *shape[:-1], size=size), 1 + normal(rng, *shape, size=size)
    return {"v": v, "advantage": advantage}


@dueling_q.check(points=2)
def test_a_dueling_network_adds_the_advantage_over_the_mean(rng):
    for shape in ((7, 3), (4, 6), (8, 2), (5, 9)):
        yield heads(rng, *shape)
    yield heads(rng, 6, 4) | {"advantage": whole(rng, 6, 4) - 3}  # with ties


@dueling_q.check(points=1, gradients=("v", "advantage"))
def test_the_gradient_of_a_dueling_network_reaches_both_heads(rng):
    """the gradient reaches v from every action, and each advantage also through the mean"""
    for shape in ((6, 3), (4, 5), (3, 1), (2, 3, 7), (4,)):
        yield heads(rng, *shape)


@dueling_q.check(points=1)
def test_a_dueling_network_serves_one_state_or_action_and_many(rng):
    """one state, one action and any leading axes are served alike"""
    for shape in ((6, 1), (1, 5), (2, 3, 5), (4, 1, 7), (5, 3, 1), (4,), (1,)):
        yield heads(rng, *shape)


@dueling_q.check(points=1)
def test_a_dueling_network_holds_for_large_values_of_either_sign(rng):
    for shape in ((6, 4), (5, 3), (7, 2)):
        yield heads(rng, *shape, size=FAR)
    case = heads(rng, 5, 4)
    yield case | {"advantage": case["advantage"] + FAR}
    yield case | {"v": case["v"] - FAR}


@dueling_q.misconception(
    "v + a alone leaves both free to drift: subtract the mean of a over the actions."
)
def leaves_the_mean_out(v, advantage):
    return v[..., None] + advantage


@dueling_q.misconception(
    "That is eq. 8 of Wang et al.; they, and we, subtract the mean (eq. 9), which moves less."
)
def subtracts_the_best_advantage(v, advantage):
    return v[..., None] + advantage - advantage.max(-1, keepdim=True).values


@dueling_q.misconception("Each state has a mean of its own: over the actions, the last axis.")
def subtracts_the_mean_of_the_batch(v, advantage):
    return v[..., None] + advantage - advantage.mean()


@dueling_q.misconception("The mean runs over the actions of a state, not over the states.")
def subtracts_the_mean_of_each_action(v, advantage):
    return v[..., None] + advantage - advantage.mean(0, keepdim=True)


@dueling_q.misconception("The mean is subtracted, so that the advantages sum to 0.")
def adds_the_mean(v, advantage):
    return v[..., None] + advantage + advantage.mean(-1, keepdim=True)


@dueling_q.misconception("The mean is subtracted, not the sum: with A actions it is A times less.")
def subtracts_the_sum(v, advantage):
    return v[..., None] + advantage - advantage.sum(-1, keepdim=True)


@dueling_q.misconception("The mean of q over the actions is v: v is added as it is.")
def subtracts_the_mean_value_too(v, advantage):
    return (v - v.mean())[..., None] + advantage - advantage.mean(-1, keepdim=True)


@dueling_q.misconception("Only a's mean is taken off: v - v leaves nothing of v.")
def subtracts_the_mean_of_the_sum(v, advantage):
    q = v[..., None] + advantage
    return q - q.mean(-1, keepdim=True)


@dueling_q.misconception(
    "The value is right, the gradient isn't: the mean depends on the advantages too, no detach."
)
def detaches_the_mean(v, advantage):
    return v[..., None] + advantage - advantage.mean(-1, keepdim=True).detach()


@dueling_q.misconception("v is learned too, from every action: no gradient may stop there.")
def detaches_the_value(v, advantage):
    return v.detach()[..., None] + advantage - advantage.mean(-1, keepdim=True)


@dueling_q.misconception(
    "v is one number a state, and needs an axis for the actions: v[..., None]."
)
def adds_the_value_along_the_actions(v, advantage):
    return v + advantage - advantage.mean(-1, keepdim=True)


@dueling_q.misconception("v[:, None] serves one leading axis only: v[..., None] serves any.")
def adds_the_second_axis(v, advantage):
    return v[:, None] + advantage - advantage.mean(-1, keepdim=True)


@dueling_q.misconception("mean(-1) drops the axis of the actions: keepdim=True.")
def drops_the_axis_of_the_mean(v, advantage):
    return v[..., None] + advantage - advantage.mean(-1)


@dueling_q.misconception("Leading axes may be none or many: that of the actions is -1, not 1.")
def averages_along_axis_one(v, advantage):
    return v[..., None] + advantage - advantage.mean(1, keepdim=True)


@dueling_q.misconception("The mean divides by A, the number of actions, not by A - 1.")
def divides_by_one_less(v, advantage):
    a = advantage.shape[-1]
    return v[..., None] + advantage - advantage.sum(-1, keepdim=True) / max(a - 1, 1)


@dueling_q.misconception("The mean is over all A actions, the action itself included.")
def compares_with_the_other_actions(v, advantage):
    a = advantage.shape[-1]
    others = (advantage.sum(-1, keepdim=True) - advantage) / max(a - 1, 1)
    return v[..., None] + advantage - others


@dueling_q.misconception("advantage -= ... writes into the caller's: write advantage - ...")
def centres_in_place(v, advantage):
    advantage -= advantage.mean(-1, keepdim=True)
    return v[..., None] + advantage


@dueling_q.control
def centred_by_a_matrix(v, advantage):
    a = advantage.shape[-1]
    centre = torch.eye(a, dtype=advantage.dtype) - 1 / a
    return v.unsqueeze(-1) + advantage @ centre


@dueling_q.control
def action_by_action(v, advantage):
    actions = advantage.unbind(-1)
    mean = sum(actions) / len(actions)
    return torch.stack([v + a - mean for a in actions], -1)


# ------------------------------------------------------------------------------- huber

huber = exercise(
    q_learning.huber,
    nudge="Half a square up to κ, then a line. Which line has the value and the slope of the "
    "half square at κ?",
    worked={"error": torch.tensor([0.5, -2.0, 4.0], dtype=torch.float64), "kappa": 2.0},
)


def errors(rng, *shape, kappa=None, size=3.0):
    """Errors on either side of ±κ, of both signs."""
    kappa = rng.uniform(0.4, 3.0) if kappa is None else kappa
    return {"error": normal(rng, *shape, size=size * kappa), "kappa": kappa}


def corners(rng, kappa):
    """0, ±κ and errors near them, shuffled."""
    near = [0.0, kappa, -kappa, 0.9 * kappa, -0.9 * kappa, 1.1 * kappa, -1.1 * kappa, 1e-3]
    return {"error": tensor(rng.permutation(near)), "kappa": kappa}


@huber.check(points=2)
def test_the_huber_loss_is_half_a_square_up_to_kappa_and_a_line_beyond(rng):
    """the Huber loss is half a square up to κ and a line beyond"""
    for shape in ((7,), (5, 3), (4, 6)):
        yield errors(rng, *shape)
    yield errors(rng, 8, size=0.3)
    yield errors(rng, 6, kappa=1.0)
    yield {"error": normal(rng, 9)}  # kappa is 1 then


@huber.check(points=1, gradients=("error",))
def test_the_derivative_of_the_huber_loss_is_the_error_cut_to_kappa(rng):
    """the derivative of the Huber loss is the error cut to κ"""
    for shape in ((7,), (5, 3), ()):
        yield errors(rng, *shape)
    yield errors(rng, 6, size=FAR)
    yield {"error": normal(rng, 9)}


@huber.check(points=1, gradients=("error",))
def test_the_huber_loss_joins_square_and_line_without_jump_or_corner(rng):
    """value and slope are right at 0 and at ±κ, where the square meets the line"""
    yield corners(rng, rng.uniform(0.4, 0.9))
    yield corners(rng, rng.uniform(1.1, 3.0))


@huber.check(points=1)
def test_the_huber_loss_serves_any_shape_and_size_and_no_bound(rng):
    """any shape and size of errors is served, and κ = ∞ leaves half the square"""
    for shape in ((), (1,), (2, 3, 4), (1, 5)):
        yield errors(rng, *shape)
    for kappa in (rng.uniform(0.4, 0.9), rng.uniform(50, 90)):
        yield {"error": normal(rng, 7, size=FAR), "kappa": kappa}
        yield {"error": normal(rng, 6, size=0.01), "kappa": kappa}
    for shape in ((8,), (3, 5)):
        yield {"error": normal(rng, *shape, size=9.0), "kappa": np.inf}
    yield {"error": whole(rng, 7, most=9), "kappa": 2}


@huber.misconception(
    "Clipping the error before squaring makes the loss flat, with slope 0, where the error is "
    "largest. Mnih et al. clip the derivative."
)
def clips_the_error_before_squaring(error, kappa=1.0):
    return error.clamp(-kappa, kappa) ** 2 / 2


@huber.misconception("Half the square: δ²/2 has the slope δ, and c - c/2 is c/2.")
def forgets_the_half(error, kappa=1.0):
    return 2 * q_learning.huber(error, kappa)


@huber.misconception("|δ| - 1/2 is the line of κ = 1 only: it is κ(|δ| - κ/2).")
def draws_the_line_of_kappa_one(error, kappa=1.0):
    size = error.abs()
    return torch.where(size <= kappa, error**2 / 2, size - 0.5)


@huber.misconception("The line's offset is κ²/2, and 1/2 only for κ = 1: κ(|δ| - κ/2).")
def takes_half_off_any_line(error, kappa=1.0):
    size = error.abs()
    return torch.where(size <= kappa, error**2 / 2, size.clamp(max=kappa) * size - 0.5)


@huber.misconception("Beyond κ the slope stays ±κ: a line that is detached has none.")
def detaches_the_line(error, kappa=1.0):
    found = q_learning.huber(error, kappa)
    return torch.where(error.abs() <= kappa, found, found.detach())


@huber.misconception("κ|δ| jumps at κ: the line that meets the square there is κ(|δ| - κ/2).")
def draws_a_line_through_zero(error, kappa=1.0):
    size = error.abs()
    return torch.where(size <= kappa, error**2 / 2, kappa * size)


@huber.misconception("The line is κ(|δ| - κ/2): the half belongs to κ, not to |δ|.")
def draws_a_line_of_half_the_slope(error, kappa=1.0):
    size = error.abs()
    return torch.where(size <= kappa, error**2 / 2, kappa * size / 2)


@huber.misconception("The line starts at the square's height κ²/2, not at 0: κ(|δ| - κ/2).")
def draws_a_line_from_kappa(error, kappa=1.0):
    size = error.abs()
    return torch.where(size <= kappa, error**2 / 2, kappa * (size - kappa))


@huber.misconception("Beyond κ the square must end: it gives one large error the whole gradient.")
def squares_everywhere(error, kappa=1.0):
    return error**2 / 2


@huber.misconception("Within κ it is half the square: |δ| has a corner at 0.")
def takes_the_size_everywhere(error, kappa=1.0):
    return error.abs()


@huber.misconception("smooth_l1_loss divides by its beta: it is the Huber loss over κ.")
def divides_by_kappa(error, kappa=1.0):
    return q_learning.huber(error, kappa) / kappa


@huber.misconception("κ is an argument: 1 is only its usual value.")
def fixes_kappa_at_one(error, kappa=1.0):
    return q_learning.huber(error, 1.0)


@huber.misconception("Element by element: the mean is taken later, over the right axis.")
def averages_the_errors(error, kappa=1.0):
    return q_learning.huber(error, kappa).mean()


@huber.misconception("The line has its mirror image: take |δ|, or negative errors earn a reward.")
def forgets_the_sign_of_the_line(error, kappa=1.0):
    return torch.where(error.abs() <= kappa, error**2 / 2, kappa * (error - kappa / 2))


@huber.misconception("Compare the size |δ| with κ: a large negative error is large too.")
def bounds_positive_errors_only(error, kappa=1.0):
    return torch.where(error <= kappa, error**2 / 2, kappa * (error - kappa / 2))


@huber.misconception("The square is for small errors, the line for large ones.")
def turns_the_condition(error, kappa=1.0):
    size = error.abs()
    return torch.where(size > kappa, error**2 / 2, kappa * (size - kappa / 2))


@huber.misconception("That is the pseudo-Huber loss, which is only near: cut the size at κ.")
def smooths_the_join(error, kappa=1.0):
    if kappa == np.inf:
        return error**2 / 2
    return kappa**2 * ((1 + (error / kappa) ** 2).sqrt() - 1)


@huber.misconception("√δ² is |δ|, but its derivative at 0 is 0/0: take abs().")
def takes_the_root_of_the_square(error, kappa=1.0):
    return q_learning.huber((error**2).sqrt(), kappa)


@huber.misconception("torch.tensor(...) of numbers has no history: no gradient flows through it.")
def makes_a_tensor_anew(error, kappa=1.0):
    return torch.tensor(q_learning.huber(error, kappa).tolist(), dtype=torch.float64)


@huber.misconception("That is its derivative; asked is the loss itself.")
def gives_the_derivative(error, kappa=1.0):
    return error.clamp(-kappa, kappa)


@huber.misconception("An array has no single truth: choose for each error, with torch.where.")
def asks_all_errors_one_question(error, kappa=1.0):
    return error**2 / 2 if error.abs() <= kappa else kappa * (error.abs() - kappa / 2)


@huber.misconception("abs_() writes into the caller's errors: abs() makes a new tensor.")
def takes_the_size_in_place(error, kappa=1.0):
    return q_learning.huber(error.abs_(), kappa)


@huber.control
def by_two_branches(error, kappa=1.0):
    size = error.abs()
    if kappa == np.inf:
        return error**2 / 2
    return torch.where(size <= kappa, error**2 / 2, kappa * (size - kappa / 2))


@huber.control
def by_a_constant_cut(error, kappa=1.0):
    """The gradient through c is 0 everywhere: |δ| - c is 0 where c moves."""
    cut = error.detach().clamp(-kappa, kappa)
    return cut * error - cut**2 / 2


@huber.control
def by_the_library(error, kappa=1.0):
    delta = 1e30 if kappa == np.inf else kappa
    return F.huber_loss(error, torch.zeros_like(error), reduction="none", delta=delta)


# ------------------------------------------------------------------------------- dqn_loss

dqn_loss = exercise(
    q_learning.dqn_loss,
    nudge="The network said q for every action, but only one was taken. And which of the two sides "
    "should move to meet the other?",
    worked={
        "q": torch.tensor([[1.0, 5.0], [2.0, 0.0]], dtype=torch.float64),
        "a": torch.tensor([1, 0]),
        "target": torch.tensor([4.0, 2.5], dtype=torch.float64),
        "kappa": 0.5,
    },
)


def minibatch(rng, *shape, size=2.0, kappa=None):
    """N states of each learner, the actions taken there and their targets: shape (..., N, A)."""
    return {
        "q": normal(rng, *shape, size=size),
        "a": tensor(rng.integers(shape[-1], size=shape[:-1])),
        "target": normal(rng, *shape[:-1], size=size),
        "kappa": rng.uniform(0.5, 2.5) if kappa is None else kappa,
    }


def usual(case):
    """The case without its kappa, which is 1 then."""
    return {n: x for n, x in case.items() if n != "kappa"}


@dqn_loss.check(points=2)
def test_the_dqn_loss_compares_the_value_of_the_action_taken_with_the_target(rng):
    """the DQN loss compares the value of the action taken with the target"""
    for shape in ((7, 3), (5, 8), (8, 2)):
        yield minibatch(rng, *shape)
    yield usual(minibatch(rng, 6, 4))
    yield minibatch(rng, 9, 5, size=0.3)


@dqn_loss.check(points=1, gradients=("q", "target"))
def test_the_gradient_of_the_dqn_loss_stops_at_the_target(rng):
    """no gradient reaches the target, as if it were given data"""
    for shape in ((7, 3), (5, 4), (3, 6, 2)):
        yield minibatch(rng, *shape)


@dqn_loss.check(points=1, gradients=("q",))
def test_the_gradient_of_the_dqn_loss_reaches_the_actions_taken_alone(rng):
    """the gradient reaches the actions taken, at most κ/N for each"""
    for shape in ((6, 4), (8, 3), (2, 5, 7)):
        yield minibatch(rng, *shape)
    yield usual(minibatch(rng, 7, 2))
    yield minibatch(rng, 5, 3, size=FAR)


@dqn_loss.check(points=1)
def test_the_dqn_loss_is_one_number_for_each_learner(rng):
    """each learner has a loss of its own, whatever the leading axes and sizes"""
    for shape in ((3, 5, 4), (4, 7, 2), (2, 3, 5, 4), (1, 6, 3), (5, 1, 4), (1, 7), (6, 1), (1, 1)):
        yield minibatch(rng, *shape)


@dqn_loss.check(points=1)
def test_the_dqn_loss_bounds_the_pull_of_a_large_error(rng):
    """a large error pulls no harder than κ; κ = ∞ leaves half the mean square"""
    for shape, kappa in (((6, 4), None), ((5, 3), 50.0), ((7, 2), 0.1)):
        yield minibatch(rng, *shape, size=FAR, kappa=kappa)
    for shape in ((8, 3), (2, 5, 4)):
        case = minibatch(rng, *shape, kappa=np.inf)
        case["target"] = case["target"] + tensor(100.0 * flagged(rng, shape[:-1], 1))
        yield case
        yield case | {"kappa": rng.uniform(1, 3)}


def losses(q, a, target, kappa):
    return q_learning.huber(worth(q, a) - target, kappa)


@dqn_loss.misconception(
    "Semi-gradient: the target is taken as given. Detach it, or the network also moves its "
    "target to meet its guess."
)
def follows_the_full_gradient(q, a, target, kappa=1.0):
    return losses(q, a, target, kappa).mean(-1)


@dqn_loss.misconception("The wrong side is detached: q(s, a) shall move, the target stays.")
def detaches_the_values(q, a, target, kappa=1.0):
    return losses(q.detach(), a, target, kappa).mean(-1)


@dqn_loss.misconception("Nothing learns: q(s, a) must keep its gradient, only the target loses it.")
def stops_every_gradient(q, a, target, kappa=1.0):
    with torch.no_grad():
        return q_learning.dqn_loss(q, a, target, kappa)


@dqn_loss.misconception(
    "The target is about the action that was taken: it says nothing about the others."
)
def fits_every_action(q, a, target, kappa=1.0):
    return q_learning.huber(target.detach()[..., None] - q, kappa).mean((-1, -2))


@dqn_loss.misconception("The action taken is compared with the target, not the best one.")
def compares_the_best_action(q, a, target, kappa=1.0):
    return q_learning.huber(target.detach() - q.max(-1).values, kappa).mean(-1)


@dqn_loss.misconception("A sum makes the step grow with the minibatch: take the mean over N.")
def sums_over_the_minibatch(q, a, target, kappa=1.0):
    return losses(q, a, target.detach(), kappa).sum(-1)


@dqn_loss.misconception(
    "mean() mixes independent learners, and divides each one's gradient by B: mean(-1)."
)
def averages_over_learners_too(q, a, target, kappa=1.0):
    return losses(q, a, target.detach(), kappa).mean()


@dqn_loss.misconception("The mean runs over the minibatch, the last axis, not over the learners.")
def averages_over_the_first_axis(q, a, target, kappa=1.0):
    return losses(q, a, target.detach(), kappa).mean(0)


@dqn_loss.misconception("The mean over N comes last: no mean, no loss for the learner.")
def leaves_the_mean_out_of_the_loss(q, a, target, kappa=1.0):
    return losses(q, a, target.detach(), kappa)


@dqn_loss.misconception("One action was taken in each state: divide by N, not by N·A.")
def divides_by_all_actions(q, a, target, kappa=1.0):
    return losses(q, a, target.detach(), kappa).mean(-1) / q.shape[-1]


@dqn_loss.misconception("Errors of opposite sign would cancel: huber first, then the mean.")
def averages_the_errors_first(q, a, target, kappa=1.0):
    return q_learning.huber((target.detach() - worth(q, a)).mean(-1), kappa)


@dqn_loss.misconception("Beyond κ the loss is a line: huber(error, kappa), not half the square.")
def squares_whatever_kappa(q, a, target, kappa=1.0):
    return losses(q, a, target.detach(), np.inf).mean(-1)


@dqn_loss.misconception("That is the mean squared error: huber bounds the pull, and has its half.")
def squares_the_whole_error(q, a, target, kappa=1.0):
    return ((target.detach() - worth(q, a)) ** 2).mean(-1)


@dqn_loss.misconception("kappa must be passed on: huber(error) alone has κ = 1.")
def leaves_kappa_out(q, a, target, kappa=1.0):
    return losses(q, a, target.detach(), 1.0).mean(-1)


@dqn_loss.misconception(
    "With the error clipped, a large one has no gradient at all. huber clips the derivative."
)
def clips_the_error(q, a, target, kappa=1.0):
    error = (target.detach() - worth(q, a)).clamp(-kappa, kappa)
    return (error**2 / 2).mean(-1)


@dqn_loss.misconception("smooth_l1_loss divides by its beta: F.huber_loss(..., delta=kappa).")
def divides_the_loss_by_kappa(q, a, target, kappa=1.0):
    return losses(q, a, target.detach(), kappa).mean(-1) / kappa


@dqn_loss.misconception(
    "q[..., a] pairs each state with every state's action: gather takes one from each row."
)
def pairs_states_with_all_actions(q, a, target, kappa=1.0):
    return q_learning.huber(target.detach() - q[..., a], kappa).mean(-1)


@dqn_loss.misconception("gather keeps the axis A: without [..., 0] each error meets every target.")
def keeps_the_axis_of_actions(q, a, target, kappa=1.0):
    return q_learning.huber(target.detach() - q.gather(-1, a[..., None]), kappa).mean((-1, -2))


@dqn_loss.misconception(
    "squeeze() drops every axis of size 1, that of a lone learner too: [..., 0] drops one."
)
def squeezes_every_axis_of_size_one(q, a, target, kappa=1.0):
    return q_learning.huber(target.detach() - q.gather(-1, a[..., None]).squeeze(), kappa).mean(-1)


@dqn_loss.misconception(
    "q[arange(N), a] serves one leading axis: gather along the last serves any."
)
def picks_from_rows_by_number(q, a, target, kappa=1.0):
    return q_learning.huber(target.detach() - q[torch.arange(len(a)), a], kappa).mean(-1)


@dqn_loss.misconception("a[:, None] serves one leading axis only: a[..., None] serves any.")
def gathers_along_axis_one(q, a, target, kappa=1.0):
    return q_learning.huber(target.detach() - q.gather(1, a[:, None])[:, 0], kappa).mean(-1)


@dqn_loss.control
def with_the_sign_turned(q, a, target, kappa=1.0):
    return q_learning.huber(worth(q, a) - target.detach(), kappa).mean(-1)


@dqn_loss.control
def by_a_mask_of_actions(q, a, target, kappa=1.0):
    taken = (q * F.one_hot(a, q.shape[-1])).sum(-1)
    size = (taken - target.clone().detach()).abs()
    cut = size.clamp(max=kappa)
    return (cut * size - cut**2 / 2).sum(-1) / a.shape[-1]


@dqn_loss.control
def state_by_state(q, a, target, kappa=1.0):
    if a.ndim > 1:
        each = [state_by_state(*row, kappa) for row in zip(q, a, target, strict=True)]
        return torch.stack(each)
    with torch.no_grad():
        goal = 1 * target
    return sum(q_learning.huber(q[i, a[i]] - goal[i], kappa) for i in range(len(a))) / len(a)


# ------------------------------------------------------------------------------- behaviour

epsilon_greedy_action = exercise(
    q_learning.epsilon_greedy_action,
    nudge="The first number of u is the coin, the second the die. What does the die show of A "
    "sides, each as likely as the others?",
    worked={
        "q": torch.tensor([[1.0, 3.0, 2.0], [1.0, 3.0, 2.0]], dtype=torch.float64),
        "epsilon": 0.25,
        "u": torch.tensor([[0.1, 0.9], [0.6, 0.9]], dtype=torch.float64),
    },
)


def choices(rng, *shape, epsilon=None):
    """States to act in, and the numbers that decide, half of them with an exploring coin."""
    epsilon = rng.uniform(0.2, 0.8) if epsilon is None else epsilon
    explore = flagged(rng, shape[:-1], np.prod(shape[:-1], dtype=int) // 2)
    coin = rng.uniform(size=shape[:-1])
    u = np.stack([epsilon + (1 - epsilon) * coin, rng.uniform(size=shape[:-1])], -1)
    u[..., 0] = np.where(explore, epsilon * coin, u[..., 0])
    return {"q": normal(rng, *shape), "epsilon": epsilon, "u": tensor(u)}


@epsilon_greedy_action.check(points=2)
def test_the_behaviour_explores_below_epsilon_and_is_greedy_above(rng):
    for shape in ((7, 3), (9, 5), (8, 4), (12, 6)):
        yield choices(rng, *shape)
    yield choices(rng, 9, 4, epsilon=0.05)


@epsilon_greedy_action.check(points=1)
def test_exploring_takes_each_action_as_often_the_best_one_too(rng):
    """exploring takes each of the A actions equally often, the best one too: floor(A u)"""
    for a in (4, 5, 8):
        die = rng.permutation(np.arange(3 * a)) / (3 * a) + rng.uniform(0.01, 0.3) / (3 * a)
        coin = rng.uniform(0, 0.9, 3 * a)
        q = normal(rng, 3 * a, a)
        yield {"q": q, "epsilon": rng.uniform(0.9, 1), "u": tensor(np.stack([coin, die], -1))}
    case = choices(rng, 7, 3, epsilon=1.0)
    case["u"][:, 1] = tensor(rng.permutation([0.0, 1 / 4, 1 / 2, 3 / 4, 1 - 1e-12, 0.1, 0.9]))
    yield case


@epsilon_greedy_action.check(points=1)
def test_the_first_of_equal_best_actions_is_taken(rng):
    for shape in ((9, 4), (7, 6), (5, 3)):
        yield choices(rng, *shape) | {"q": whole(rng, *shape, most=1)}
    yield choices(rng, 6, 5, epsilon=0.1) | {"q": torch.full((6, 5), rng.normal()).double()}


@epsilon_greedy_action.check(points=1)
def test_the_coin_explores_strictly_below_epsilon(rng):
    """the coin explores strictly below ε: never at ε = 0, always at ε = 1"""
    for shape in ((7, 4), (9, 5)):
        for epsilon in (0.0, 1.0, 0, 1, rng.uniform(0.2, 0.8)):
            case = choices(rng, *shape, epsilon=epsilon)
            case["u"][:, 0].clamp_(max=1 - 1e-9)
            case["u"][rng.permutation(shape[0])[:3], 0] = min(float(epsilon), 1 - 1e-9)
            yield case


@epsilon_greedy_action.check(points=1)
def test_the_behaviour_serves_one_state_or_action_and_many(rng):
    """one state, one action and any leading axes of states act alike"""
    for shape in ((6, 1), (1, 5), (3, 4, 5), (4, 1, 7), (5, 3, 1), (4,), (3, 4, 6)):
        yield choices(rng, *shape)
    yield choices(rng, 3, epsilon=1.0)


def acts(q, explore, die):
    """Each row's action, with the explored ones of `die`."""
    return torch.where(explore, die.long(), q.argmax(-1))


@epsilon_greedy_action.misconception("It explores with probability ε: where the coin is below ε.")
def explores_above_epsilon(q, epsilon, u):
    return acts(q, u[..., 0] >= epsilon, u[..., 1] * q.shape[-1])


@epsilon_greedy_action.misconception("Strictly below: at ε = 0 a coin of 0 must not explore.")
def explores_at_epsilon(q, epsilon, u):
    return acts(q, u[..., 0] <= epsilon, u[..., 1] * q.shape[-1])


@epsilon_greedy_action.misconception("u[..., 0] is the coin and u[..., 1] the die, not reversed.")
def takes_the_die_for_the_coin(q, epsilon, u):
    return acts(q, u[..., 1] < epsilon, u[..., 0] * q.shape[-1])


@epsilon_greedy_action.misconception(
    "The coin is below ε whenever it explores: with it for a die only the first actions come up."
)
def throws_the_coin_for_a_die(q, epsilon, u):
    return acts(q, u[..., 0] < epsilon, u[..., 0] * q.shape[-1])


@epsilon_greedy_action.misconception("(A - 1) u never reaches the last action: floor(A u).")
def leaves_out_the_last_action(q, epsilon, u):
    return acts(q, u[..., 0] < epsilon, u[..., 1] * (q.shape[-1] - 1))


@epsilon_greedy_action.misconception("Rounding gives both ends half a share each: floor(A u).")
def rounds_to_an_action(q, epsilon, u):
    return acts(q, u[..., 0] < epsilon, (u[..., 1] * (q.shape[-1] - 1)).round())


@epsilon_greedy_action.misconception("Rounding up to A leaves the actions: floor(A u) is below A.")
def rounds_beyond_the_last_action(q, epsilon, u):
    return acts(q, u[..., 0] < epsilon, (u[..., 1] * q.shape[-1]).round())


@epsilon_greedy_action.misconception("Actions are numbered from 0: floor(A u), not ceil.")
def counts_actions_from_one(q, epsilon, u):
    return acts(q, u[..., 0] < epsilon, (u[..., 1] * q.shape[-1]).ceil())


@epsilon_greedy_action.misconception("Exploring may take the best action too: all A are alike.")
def explores_the_other_actions(q, epsilon, u):
    a, best = q.shape[-1], q.argmax(-1)
    other = (u[..., 1] * (a - 1)).long()
    return torch.where(u[..., 0] < epsilon, other + (other >= best) * (a > 1), best)


@epsilon_greedy_action.misconception("Exploring may take the best action too, not the next ones.")
def explores_from_the_best_onwards(q, epsilon, u):
    a, best = q.shape[-1], q.argmax(-1)
    other = (best + 1 + (u[..., 1] * (a - 1)).long()) % a
    return torch.where(u[..., 0] < epsilon, other, best)


@epsilon_greedy_action.misconception(
    "In float32 a number just below 1 becomes 1, and floor(A) is no action: no float()."
)
def rounds_the_uniforms(q, epsilon, u):
    return acts(q, u[..., 0].float() < epsilon, u[..., 1].float() * q.shape[-1])


@epsilon_greedy_action.misconception("Each state has a coin of its own.")
def throws_one_coin_for_all(q, epsilon, u):
    explore = torch.full_like(u[..., 0], bool(u[..., 0].flatten()[0] < epsilon)).bool()
    return acts(q, explore, u[..., 1] * q.shape[-1])


@epsilon_greedy_action.misconception("There are q.shape[-1] actions; q.shape[0] counts the states.")
def counts_states_for_actions(q, epsilon, u):
    return acts(q, u[..., 0] < epsilon, u[..., 1] * q.shape[0])


@epsilon_greedy_action.misconception("An action is an index, a whole number: .long().")
def gives_actions_as_floats(q, epsilon, u):
    return acts(q, u[..., 0] < epsilon, u[..., 1] * q.shape[-1]).double()


@epsilon_greedy_action.misconception("Of equal best actions the first is taken, as argmax does.")
def takes_the_last_of_equals(q, epsilon, u):
    last = q.shape[-1] - 1 - q.flip(-1).argmax(-1)
    return torch.where(u[..., 0] < epsilon, (u[..., 1] * q.shape[-1]).long(), last)


@epsilon_greedy_action.misconception("Greedy is the best action, the argmax, not the worst.")
def takes_the_worst_of_all(q, epsilon, u):
    return torch.where(u[..., 0] < epsilon, (u[..., 1] * q.shape[-1]).long(), q.argmin(-1))


@epsilon_greedy_action.misconception("max(-1) is what the action is worth; argmax is which it is.")
def takes_the_value_for_the_action(q, epsilon, u):
    best = q.amax(-1).long()
    return torch.where(u[..., 0] < epsilon, (u[..., 1] * q.shape[-1]).long(), best)


@epsilon_greedy_action.misconception("Leading axes may be none or many: u[..., 0], not u[:, 0].")
def looks_along_axis_one(q, epsilon, u):
    return acts(q, u[:, 0] < epsilon, u[:, 1] * q.shape[-1])


@epsilon_greedy_action.misconception("A tensor has no single truth: choose for each state.")
def asks_all_states_one_question(q, epsilon, u):
    return (u[..., 1] * q.shape[-1]).long() if u[..., 0] < epsilon else q.argmax(-1)


@epsilon_greedy_action.control
def acts_state_by_state(q, epsilon, u):
    found = torch.zeros(q.shape[:-1], dtype=torch.int64)
    for at in np.ndindex(found.shape):
        coin, die = u[at].tolist()
        row = q[at].tolist()
        found[at] = int(die * len(row)) if coin < epsilon else row.index(max(row))
    return found


@epsilon_greedy_action.control
def acts_by_a_mixture(q, epsilon, u):
    coin, die = u.unbind(-1)
    explore = (coin < epsilon).long()
    return explore * (die * q.shape[-1]).floor().long() + (1 - explore) * q.max(-1).indices
