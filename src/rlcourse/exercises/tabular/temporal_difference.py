"""The six exercises of the temporal-difference chapter: the targets of five methods, and the values
that a batch of transitions suggests.

Axes differ in size and vary: B learners, A actions, n steps in a row; N transitions, S states.
"""

import numpy as np

from rlcourse.grading import exercise
from rlcourse.tabular import targets
from rlcourse.tabular import temporal_difference as td


def flagged(rng, shape, count, kind=bool):
    """So many flags among the others, True or 1."""
    return rng.permutation(np.arange(np.prod(shape, dtype=int)) < count).reshape(shape).astype(kind)


def steps(rng, shape, ends=0, size=3.0, gamma=None, kind=bool):
    """One step of each learner, `ends` of which end: all but what follows."""
    return {
        "r": size * rng.normal(size=shape),
        "terminated": flagged(rng, shape, ends, kind),
        "gamma": rng.uniform(0.3, 0.95) if gamma is None else gamma,
    }


def alone(case):
    """The case of one agent: its reward and its flag are plain numbers."""
    return {n: x.item() if np.ndim(x) == 0 and hasattr(x, "item") else x for n, x in case.items()}


def slips_of_every_target(exercise):
    """Mistakes that all the targets invite, whatever it is that follows the step."""

    @exercise.misconception("The episode ended: nothing follows, no value must count there.")
    def bootstraps_past_the_end(terminated, **case):
        return exercise.reference(terminated=0 * terminated, **case)

    @exercise.misconception("The mask is upside down: what follows counts where it goes on.")
    def bootstraps_only_at_the_end(terminated, **case):
        return exercise.reference(terminated=1 - terminated, **case)

    @exercise.misconception("The last reward is real: an end cuts off the future alone.")
    def cuts_off_the_last_reward(r, terminated, **case):
        return exercise.reference(r=r * (1 - terminated), terminated=terminated, **case)

    @exercise.misconception("γ discounts what comes later: the reward of this step counts whole.")
    def discounts_the_reward(r, gamma, **case):
        return exercise.reference(r=gamma * r, gamma=gamma, **case)

    @exercise.misconception("What comes a step later is worth γ times as much: multiply by γ.")
    def leaves_gamma_out(gamma, **case):
        return exercise.reference(gamma=1.0, **case)

    @exercise.misconception("What follows is added to the reward, not subtracted from it.")
    def subtracts_what_follows(gamma, **case):
        return exercise.reference(gamma=-gamma, **case)

    @exercise.misconception(
        "~ makes -1 and -2 of 0 and 1, and of Python's own False and True: write 1 - terminated."
    )
    def inverts_numbers_bit_by_bit(terminated, **case):
        other = ~terminated if hasattr(terminated, "dtype") else -1 - terminated  # as ~False is
        return exercise.reference(terminated=1 - other, **case)


# ------------------------------------------------------------------------------- TD(0)

td_target = exercise(
    targets.td_target,
    nudge="The step itself earned r. What can still be earned from s', and when nothing can?",
    worked={
        "r": np.array([1.0, 1.0, -2.0]),
        "v_next": np.array([10.0, 10.0, 4.0]),
        "terminated": np.array([False, True, False]),
        "gamma": 0.5,
    },
)


def td_steps(rng, shape, ends=0, size=3.0, **more):
    return steps(rng, shape, ends, size, **more) | {"v_next": size * rng.normal(size=shape)}


@td_target.check(points=2)
def test_a_td_target_is_the_reward_and_the_discounted_value_of_the_next_state(rng):
    for n in (7, 4, 9):
        yield td_steps(rng, n)
    yield td_steps(rng, 5, gamma=0.995)


@td_target.check(points=1)
def test_a_td_target_lets_nothing_follow_an_end_but_keeps_its_reward(rng):
    for n, ends in ((7, 3), (8, 6), (5, 1)):
        yield td_steps(rng, n, ends)
    yield td_steps(rng, 6, 6)


@td_target.check(points=1)
def test_a_td_target_takes_flags_that_are_zero_or_one(rng):
    """the flag may be a boolean or a number, 0 or 1"""
    for kind, n, ends in ((int, 7, 3), (float, 6, 2), (int, 9, 8), (np.uint8, 5, 2)):
        yield td_steps(rng, n, ends, kind=kind)


@td_target.check(points=1)
def test_a_td_target_serves_one_step_in_plain_numbers_and_tables_of_them_alike(rng):
    for flag in (False, True, 0, 1):
        yield alone(td_steps(rng, ())) | {"terminated": flag}
    yield {"r": int(rng.integers(-9, 0)), "v_next": 8, "terminated": False, "gamma": 0.5}
    for shape, ends in (((1,), 0), ((1,), 1), ((3, 5), 6), ((2, 1, 4), 3), ((300,), 90)):
        yield td_steps(rng, shape, ends)
    yield td_steps(rng, 7, 2) | {"r": -1.0}  # each step costs the same
    yield td_steps(rng, (4, 3), 5) | {"r": rng.normal(size=(4, 1)), "v_next": rng.normal(size=3)}


@td_target.check(points=1)
def test_a_td_target_holds_at_gamma_one_and_zero_and_for_large_values(rng):
    for n, gamma in ((6, 1.0), (5, 0.0), (7, 1), (4, 0)):
        yield td_steps(rng, n, 2, 1e4, gamma=gamma)
        case = td_steps(rng, n, 1, gamma=gamma)
        yield case | {"v_next": -np.abs(case["v_next"]) - 1}


slips_of_every_target(td_target)


@td_target.misconception("An array has no single truth: choose for each step, with np.where.")
def asks_all_steps_one_question(r, v_next, terminated, gamma):
    return r if terminated else r + gamma * v_next


@td_target.misconception("Each step ends or goes on by itself: one end doesn't end the others.")
def ends_all_if_one_ends(r, v_next, terminated, gamma):
    return targets.td_target(r, v_next, 0 * terminated + np.max(terminated), gamma)


@td_target.misconception(
    "v_next[terminated] = 0 picks flagged rows by booleans only; 0 and 1 are rows 0 and 1."
)
def picks_rows_by_number(r, v_next, terminated, gamma):
    follows = np.array(v_next, float)
    follows[terminated] = 0
    return r + gamma * follows


@td_target.misconception("r += ... writes into the caller's rewards: write r + ... instead.")
def writes_into_the_rewards(r, v_next, terminated, gamma):
    r += gamma * (1 - terminated) * v_next
    return r


@td_target.misconception("One reward may stand for many steps: don't work in the shape of r.")
def works_in_the_shape_of_the_rewards(r, v_next, terminated, gamma):
    found, on = np.array(r, float), np.equal(terminated, 0)
    found[on] += gamma * np.asarray(v_next)[on]
    return found


@td_target.misconception(
    "v_next *= ... writes into the caller's values: make an array of your own."
)
def writes_into_the_values(r, v_next, terminated, gamma):
    v_next *= gamma * (1 - terminated)
    v_next += r
    return v_next


@td_target.misconception("The reward of the step belongs to its target as well.")
def forgets_the_reward(r, v_next, terminated, gamma):
    return targets.td_target(0 * r, v_next, terminated, gamma)


@td_target.misconception("The flag switches v(s') off: it is a factor, and not subtracted.")
def subtracts_the_flag(r, v_next, terminated, gamma):
    return r + gamma * v_next - terminated


@td_target.misconception("That is an error already: v(s') is added, and v(s) comes in later.")
def subtracts_the_next_value_once_more(r, v_next, terminated, gamma):
    return targets.td_target(r, v_next, terminated, gamma) - v_next


@td_target.control
def chosen_by_where(r, v_next, terminated, gamma):
    return np.where(terminated, r, r + gamma * np.asarray(v_next))


@td_target.control
def step_by_step(r, v_next, terminated, gamma):
    rewards, values, ends = np.broadcast_arrays(r, v_next, terminated)
    found = np.array(rewards, float)
    for at in np.ndindex(found.shape):
        if not ends[at]:
            found[at] += gamma * values[at]
    return found


# ------------------------------------------------------------------------------- expected Sarsa

expected_sarsa_target = exercise(
    targets.expected_sarsa_target,
    nudge="Sarsa waits for the next action. What would its target be on average?",
    worked={
        "r": np.array([1.0, 0.0]),
        "q_next": np.array([[2.0, 4.0, 10.0], [1.0, 2.0, 3.0]]),
        "pi_next": np.array([[0.5, 0.25, 0.25], [0.1, 0.1, 0.8]]),
        "terminated": np.array([False, True]),
        "gamma": 0.5,
    },
)


def policy(rng, shape):
    """Probabilities along the last axis, of one action or of many."""
    return rng.dirichlet(np.ones(shape[-1]), size=shape[:-1])


def greedy(rng, shape):
    """A policy that is sure of one action."""
    return np.eye(shape[-1])[rng.integers(shape[-1], size=shape[:-1])]


def sarsa_steps(rng, shape, ends=0, size=3.0, **more):
    """Steps with a row of action values and one of probabilities for each: shape (..., A)."""
    case = steps(rng, shape[:-1], ends, size, **more)
    return case | {"q_next": size * rng.normal(size=shape), "pi_next": policy(rng, shape)}


@expected_sarsa_target.check(points=2)
def test_expected_sarsa_averages_the_next_values_with_the_policy(rng):
    for shape in ((7, 3), (4, 6), (8, 2), (5, 9)):
        yield sarsa_steps(rng, shape)
    yield sarsa_steps(rng, (6, 4), gamma=0.995)


@expected_sarsa_target.check(points=1)
def test_expected_sarsa_counts_unlikely_actions_and_leaves_out_impossible_ones(rng):
    """an unlikely action counts by its probability, an impossible one not at all"""
    for shape in ((5, 3), (6, 4)):
        case = sarsa_steps(rng, shape)
        yield case | {"pi_next": greedy(rng, shape)}
        pi = 0.999 * greedy(rng, shape) + 0.001 * policy(rng, shape)
        yield case | {"pi_next": pi, "q_next": case["q_next"] - 1e4 * (pi < 0.5)}
        some = case["pi_next"] * (np.arange(shape[-1]) > 0)
        yield case | {"pi_next": some / some.sum(-1, keepdims=True)}


@expected_sarsa_target.check(points=1)
def test_expected_sarsa_lets_nothing_follow_an_end_but_keeps_its_reward(rng):
    for shape, ends, kind in (((7, 3), 3, bool), ((5, 4), 2, int), ((6, 2), 5, bool)):
        yield sarsa_steps(rng, shape, ends, kind=kind)


@expected_sarsa_target.check(points=1)
def test_expected_sarsa_serves_one_agent_or_action_and_many(rng):
    """one agent, one action and any leading axes are served alike"""
    for shape, ends in (((6, 1), 2), ((1, 5), 0), ((1, 4), 1), ((2, 3, 5), 2), ((4, 1, 7), 1)):
        yield sarsa_steps(rng, shape, ends)
    yield alone(sarsa_steps(rng, (4,)))
    yield alone(sarsa_steps(rng, (3,), 1))


@expected_sarsa_target.check(points=1)
def test_expected_sarsa_holds_at_gamma_one_and_zero_and_for_large_values(rng):
    for shape, gamma in (((6, 4), 1.0), ((5, 3), 0.0), ((7, 2), 1), ((4, 9), 0)):
        yield sarsa_steps(rng, shape, 1, 1e4, gamma=gamma)
        case = sarsa_steps(rng, shape, 2, gamma=gamma)
        yield case | {"q_next": -np.abs(case["q_next"]) - 1}


slips_of_every_target(expected_sarsa_target)


@expected_sarsa_target.misconception(
    "That is Q-learning's maximum: here the policy says how often each action is taken."
)
def takes_the_best_action(r, q_next, pi_next, terminated, gamma):
    return targets.td_target(r, q_next.max(-1), terminated, gamma)


@expected_sarsa_target.misconception("The actions are not equally likely: weigh them by π(a|s').")
def averages_the_actions_alike(r, q_next, pi_next, terminated, gamma):
    return targets.td_target(r, q_next.mean(-1), terminated, gamma)


@expected_sarsa_target.misconception(
    "π takes every action with its probability, not the likeliest alone."
)
def follows_the_likeliest_action(r, q_next, pi_next, terminated, gamma):
    return targets.sarsa_target(np.asarray(r), q_next, pi_next.argmax(-1), terminated, gamma)


@expected_sarsa_target.misconception("Multiply each value by its probability before the sum.")
def adds_up_without_the_policy(r, q_next, pi_next, terminated, gamma):
    return targets.td_target(r, q_next.sum(-1), terminated, gamma)


@expected_sarsa_target.misconception("The probabilities sum to 1 already: sum, don't use mean.")
def divides_by_the_number_of_actions(r, q_next, pi_next, terminated, gamma):
    return targets.td_target(r, (pi_next * q_next).mean(-1), terminated, gamma)


@expected_sarsa_target.misconception("A sum without an axis mixes all learners: sum(-1).")
def sums_over_all_learners(r, q_next, pi_next, terminated, gamma):
    return targets.td_target(r, (pi_next * q_next).sum(), terminated, gamma)


@expected_sarsa_target.misconception("Actions lie along the last axis: sum over it, axis=-1.")
def sums_along_the_first_axis(r, q_next, pi_next, terminated, gamma):
    return targets.td_target(r, (pi_next * q_next).sum(0), terminated, gamma)


@expected_sarsa_target.misconception("Leading axes may be none or many: the actions' is -1, not 1.")
def sums_along_axis_one(r, q_next, pi_next, terminated, gamma):
    return targets.td_target(r, (pi_next * q_next).sum(1), terminated, gamma)


@expected_sarsa_target.misconception(
    "π @ q.T pairs every learner with every other: multiply element by element, sum over actions."
)
def pairs_every_learner_with_every_other(r, q_next, pi_next, terminated, gamma):
    return targets.td_target(r, pi_next @ q_next.T, terminated, gamma)


@expected_sarsa_target.control
def averaged_by_einsum(r, q_next, pi_next, terminated, gamma):
    mean = np.einsum("...a,...a->...", pi_next, q_next)
    return np.where(terminated, r, r + gamma * mean)


@expected_sarsa_target.control
def averaged_action_by_action(r, q_next, pi_next, terminated, gamma):
    found = np.array(r, float)
    on = np.logical_not(terminated)
    for a in range(q_next.shape[-1]):
        found = found + gamma * on * pi_next[..., a] * q_next[..., a]
    return found


# ------------------------------------------------------------------------------- Q-learning

q_learning_target = exercise(
    targets.q_learning_target,
    nudge="What is s' worth to an agent that does its best from there on?",
    worked={
        "r": np.array([1.0, 0.0, 2.0]),
        "q_next": np.array([[2.0, 4.0], [6.0, 3.0], [-8.0, -2.0]]),
        "terminated": np.array([False, True, False]),
        "gamma": 0.5,
    },
)


def q_steps(rng, shape, ends=0, size=3.0, **more):
    """Steps with a row of action values for each, the best of them positive: shape (..., A)."""
    q_next = size * rng.normal(size=shape)
    good = rng.integers(shape[-1])
    q_next[..., good] = np.abs(q_next[..., good])
    return steps(rng, shape[:-1], ends, size, **more) | {"q_next": q_next}


@q_learning_target.check(points=2)
def test_q_learning_counts_on_the_best_next_action(rng):
    for shape in ((7, 3), (4, 6), (8, 2), (5, 9)):
        yield q_steps(rng, shape)
    yield q_steps(rng, (6, 4), gamma=0.995)


@q_learning_target.check(points=1)
def test_q_learning_takes_the_least_bad_action_where_all_values_are_negative(rng):
    for shape, size in (((6, 4), 3), ((5, 3), 0.1), ((7, 2), 1e4)):
        case = q_steps(rng, shape)
        yield case | {"q_next": -size * rng.uniform(0.1, 1, shape)}
        some = rng.permutation(np.arange(shape[0]) < 2)[:, None]
        yield case | {"q_next": np.where(some, -np.abs(case["q_next"]) - 1, case["q_next"])}


@q_learning_target.check(points=1)
def test_q_learning_lets_nothing_follow_an_end_but_keeps_its_reward(rng):
    for shape, ends, kind in (((7, 3), 3, bool), ((5, 4), 2, int), ((6, 2), 5, bool)):
        yield q_steps(rng, shape, ends, kind=kind)


@q_learning_target.check(points=1)
def test_q_learning_serves_one_agent_or_action_and_many(rng):
    """one agent, one action and any leading axes are served alike"""
    for shape, ends in (((6, 1), 2), ((1, 5), 0), ((1, 4), 1), ((2, 3, 5), 2), ((4, 1, 7), 1)):
        yield q_steps(rng, shape, ends)
    yield alone(q_steps(rng, (4,)))
    yield alone(q_steps(rng, (3,), 1))


@q_learning_target.check(points=1)
def test_q_learning_holds_at_gamma_one_and_zero_and_for_large_values(rng):
    for shape, gamma in (((6, 4), 1.0), ((5, 3), 0.0), ((7, 2), 1), ((4, 9), 0)):
        yield q_steps(rng, shape, 1, 1e4, gamma=gamma)
        case = q_steps(rng, shape, 2, gamma=gamma)
        yield case | {"q_next": np.round(case["q_next"])}  # with ties


slips_of_every_target(q_learning_target)


@q_learning_target.misconception("A target never clips: the best value may be negative.")
def clips_at_zero(r, q_next, terminated, gamma):
    return targets.td_target(r, np.maximum(q_next.max(-1), 0), terminated, gamma)


@q_learning_target.misconception("The best value is the greatest, not the one of greatest size.")
def takes_the_value_of_greatest_size(r, q_next, terminated, gamma):
    return targets.td_target(r, np.abs(q_next).max(-1), terminated, gamma)


@q_learning_target.misconception(
    "argmax says which action is the best; asked is what it is worth, max."
)
def adds_the_number_of_the_action(r, q_next, terminated, gamma):
    return targets.td_target(r, q_next.argmax(-1), terminated, gamma)


@q_learning_target.misconception("A maximum without an axis is that of all learners: max(-1).")
def takes_the_best_of_all_learners(r, q_next, terminated, gamma):
    return targets.td_target(r, q_next.max(), terminated, gamma)


@q_learning_target.misconception("Actions lie along the last axis: take the best over it, axis=-1.")
def takes_the_best_along_the_first_axis(r, q_next, terminated, gamma):
    return targets.td_target(r, q_next.max(0), terminated, gamma)


@q_learning_target.misconception("Leading axes may be none or many: the actions' is -1, not 1.")
def takes_the_best_along_axis_one(r, q_next, terminated, gamma):
    return targets.td_target(r, q_next.max(1), terminated, gamma)


@q_learning_target.misconception(
    "keepdims leaves an axis of 1 behind: (B,) and (B, 1) make (B, B). Let max drop the axis."
)
def keeps_the_axis_of_the_actions(r, q_next, terminated, gamma):
    return targets.td_target(r, q_next.max(-1, keepdims=True), terminated, gamma)


@q_learning_target.misconception("The mean is what a random agent gets; Q-learning takes the best.")
def averages_the_actions(r, q_next, terminated, gamma):
    return targets.td_target(r, q_next.mean(-1), terminated, gamma)


@q_learning_target.misconception("The least value is the best of costs only; here rewards count.")
def takes_the_worst_action(r, q_next, terminated, gamma):
    return targets.td_target(r, q_next.min(-1), terminated, gamma)


@q_learning_target.misconception(
    "Action values are the caller's: q_next[terminated] = 0 writes into them. Copy, or np.where."
)
def wipes_the_values_at_an_end(r, q_next, terminated, gamma):
    q_next[np.asarray(terminated, bool)] = 0
    return r + gamma * q_next.max(-1)


@q_learning_target.control
def best_of_one_target_for_each_action(r, q_next, terminated, gamma):
    on = np.logical_not(terminated)
    return (np.asarray(r)[..., None] + gamma * on[..., None] * q_next).max(-1)


@q_learning_target.control
def best_by_sorting(r, q_next, terminated, gamma):
    return np.where(terminated, r, r + gamma * np.sort(q_next, axis=-1)[..., -1])


# ------------------------------------------------------------------------------- double Q-learning

double_q_target = exercise(
    targets.double_q_target,
    nudge="One table says which action is the best. Which of the two says what it is worth?",
    worked={
        "r": np.array([1.0, 0.0]),
        "q_choose": np.array([[2.0, 5.0, 5.0], [9.0, 1.0, 3.0]]),
        "q_judge": np.array([[7.0, 4.0, 6.0], [1.0, 8.0, 2.0]]),
        "terminated": np.array([False, True]),
        "gamma": 0.5,
    },
)


def double_steps(rng, shape, ends=0, size=3.0, **more):
    """Steps with a row of values of each table: shape (..., A)."""
    case = steps(rng, shape[:-1], ends, size, **more)
    return case | {n: size * rng.normal(size=shape) for n in ("q_choose", "q_judge")}


@double_q_target.check(points=2)
def test_double_q_learning_chooses_by_one_table_and_judges_by_the_other(rng):
    for shape in ((7, 3), (4, 6), (8, 2), (5, 9)):
        yield double_steps(rng, shape)
    yield double_steps(rng, (6, 4), gamma=0.995)


@double_q_target.check(points=1)
def test_double_q_learning_judges_the_first_of_equal_best_actions(rng):
    for shape in ((7, 5), (8, 6)):
        case = double_steps(rng, shape)
        yield case | {"q_choose": rng.integers(-2, 1, shape) * 1.0}
        yield case | {"q_choose": case["q_choose"] * flagged(rng, (shape[0], 1), 3)}  # unlearnt
        best = rng.uniform(1, 2, (shape[0], 1))  # by a hair the last is better than the first
        nearly = [best, best - 1, best + 4e-6]
        yield case | {"q_choose": np.hstack(nearly), "q_judge": case["q_judge"][:, :3]}


@double_q_target.check(points=1)
def test_double_q_learning_lets_nothing_follow_an_end_but_keeps_its_reward(rng):
    for shape, ends, kind in (((7, 3), 3, bool), ((5, 4), 2, int), ((6, 2), 5, bool)):
        yield double_steps(rng, shape, ends, kind=kind)


@double_q_target.check(points=1)
def test_double_q_learning_serves_one_agent_or_action_and_many(rng):
    """one agent, one action and any leading axes are served alike"""
    for shape, ends in (((6, 1), 2), ((1, 5), 0), ((1, 4), 1), ((2, 3, 5), 2), ((4, 1, 7), 1)):
        yield double_steps(rng, shape, ends)
    yield alone(double_steps(rng, (4,)))
    yield alone(double_steps(rng, (3,), 1))


@double_q_target.check(points=1)
def test_double_q_learning_holds_at_gamma_one_and_zero_and_for_large_values(rng):
    for shape, gamma in (((6, 4), 1.0), ((5, 3), 0.0), ((7, 2), 1), ((4, 9), 0)):
        yield double_steps(rng, shape, 1, 1e4, gamma=gamma)
        case = double_steps(rng, shape, 2, gamma=gamma)
        negative = {n: -np.abs(case[n]) - 1 for n in ("q_choose", "q_judge")}
        yield case | negative


slips_of_every_target(double_q_target)


def judged(r, q_judge, chosen, terminated, gamma):
    """The target if that action is judged; chosen (...)."""
    return targets.sarsa_target(np.asarray(r), q_judge, np.asarray(chosen), terminated, gamma)


@double_q_target.misconception(
    "That is Q-learning by the second table: the first one chooses, its best may be another."
)
def takes_the_best_of_the_judge(r, q_choose, q_judge, terminated, gamma):
    return targets.q_learning_target(r, q_judge, terminated, gamma)


@double_q_target.misconception(
    "A table that judges its own choice flatters itself: q_judge says what it is worth."
)
def judges_by_the_table_that_chose(r, q_choose, q_judge, terminated, gamma):
    return targets.q_learning_target(r, q_choose, terminated, gamma)


@double_q_target.misconception("The two tables are swapped: q_choose chooses, q_judge judges.")
def swaps_the_tables(r, q_choose, q_judge, terminated, gamma):
    return targets.double_q_target(r, q_judge, q_choose, terminated, gamma)


@double_q_target.misconception("Both tables choose how to act; here q_choose alone chooses.")
def chooses_by_both_tables(r, q_choose, q_judge, terminated, gamma):
    return targets.double_q_target(r, q_choose + q_judge, q_judge, terminated, gamma)


@double_q_target.misconception("No average here: the value of the choice is q_judge's alone.")
def averages_both_judgements(r, q_choose, q_judge, terminated, gamma):
    return targets.double_q_target(r, q_choose, (q_choose + q_judge) / 2, terminated, gamma)


@double_q_target.misconception(
    "The smaller of two values is another method's cure: q_judge's counts, greater or not."
)
def takes_the_smaller_of_two_values(r, q_choose, q_judge, terminated, gamma):
    return targets.double_q_target(r, q_choose, np.minimum(q_choose, q_judge), terminated, gamma)


@double_q_target.misconception("Of equal best actions the first is judged, as argmax has it.")
def judges_the_last_of_equal_actions(r, q_choose, q_judge, terminated, gamma):
    return targets.double_q_target(r, q_choose[..., ::-1], q_judge[..., ::-1], terminated, gamma)


@double_q_target.misconception("Of equal best actions one is judged, the first: no average.")
def averages_over_equal_actions(r, q_choose, q_judge, terminated, gamma):
    best = q_choose == q_choose.max(-1, keepdims=True)
    return targets.td_target(r, (best * q_judge).sum(-1) / best.sum(-1), terminated, gamma)


@double_q_target.misconception(
    "q_judge[:, best] takes those columns of every row: pair row and action, take_along_axis."
)
def takes_the_choices_of_all_learners(r, q_choose, q_judge, terminated, gamma):
    return targets.td_target(r, q_judge[:, q_choose.argmax(-1)], terminated, gamma)


@double_q_target.misconception(
    "argmax says which action is chosen; add what q_judge says of it, not its number."
)
def adds_the_number_of_the_choice(r, q_choose, q_judge, terminated, gamma):
    return targets.td_target(r, q_choose.argmax(-1), terminated, gamma)


@double_q_target.misconception("Leading axes may be none or many: use argmax(-1), not arange(B).")
def knows_one_axis_of_learners_only(r, q_choose, q_judge, terminated, gamma):
    chosen = q_judge[np.arange(len(q_judge)), q_choose.argmax(1)]
    return targets.td_target(r, chosen, terminated, gamma)


@double_q_target.control
def judged_by_one_hot(r, q_choose, q_judge, terminated, gamma):
    chosen = np.eye(q_choose.shape[-1])[q_choose.argmax(-1)]
    return np.where(terminated, r, r + gamma * (chosen * q_judge).sum(-1))


@double_q_target.control
def judged_one_at_a_time(r, q_choose, q_judge, terminated, gamma):
    found = np.array(r, float)
    for at in np.ndindex(found.shape):
        if not np.asarray(terminated)[at]:
            values = q_choose[at].tolist()
            found[at] += gamma * q_judge[at][values.index(max(values))]
    return found


# ------------------------------------------------------------------------------- n steps

n_step_target = exercise(
    targets.n_step_target,
    nudge="Begin with the last step, whose target is TD(0)'s. What changes for the one before?",
    worked={
        "r": np.array([[1.0, 2.0, 4.0], [1.0, 2.0, 4.0], [1.0, 2.0, 4.0]]),
        "v_next": np.array([[10.0, 20.0, 40.0], [10.0, 20.0, 40.0], [10.0, 20.0, 40.0]]),
        "terminated": np.array([[0, 0, 0], [0, 1, 0], [0, 0, 0]], bool),
        "truncated": np.array([[0, 0, 0], [0, 0, 0], [0, 1, 0]], bool),
        "gamma": 0.5,
    },
)


def stops(rng, shape, rows):
    """One flag in each of so many rows, at every step along the last axis in turn."""
    n, count = shape[-1], np.prod(shape[:-1], dtype=int)
    at = rng.permutation(count)[:rows]
    flags = np.zeros((count, n), bool)
    flags[at, (rng.integers(n) + np.arange(len(at))) % n] = True
    return flags.reshape(shape)


def stretch(rng, shape, ends=0, cuts=0, size=3.0, gamma=None, kind=bool):
    """n steps in a row of each learner; some of them end, some meet a time limit."""
    return {
        "r": size * rng.normal(size=shape),
        "v_next": size * rng.normal(size=shape),
        "terminated": stops(rng, shape, ends).astype(kind),
        "truncated": stops(rng, shape, cuts).astype(kind),
        "gamma": rng.uniform(0.3, 0.95) if gamma is None else gamma,
    }


def with_leftovers(rng, case):
    """The same stretch, with what another episode left in the arrays after the first stop."""
    stopped = (case["terminated"] | case["truncated"]).cumsum(-1) > 0
    after = stopped.cumsum(-1) > 1
    for name in ("r", "v_next"):
        case |= {name: np.where(after, 1e3 * rng.normal(size=after.shape), case[name])}
    for name in ("terminated", "truncated"):
        case |= {name: case[name] | (after & (rng.random(after.shape) < 0.5))}
    return case


@n_step_target.check(points=2)
def test_n_steps_earn_their_discounted_rewards_and_then_the_value_of_the_last_state(rng):
    for shape in ((5, 3), (4, 7), (6, 2), (3, 8)):
        yield stretch(rng, shape)
    yield stretch(rng, (7, 4), gamma=0.995)


@n_step_target.check(points=1)
def test_n_steps_stop_at_an_end_and_nothing_follows_it(rng):
    for shape, ends, kind in (((7, 3), 5, bool), ((6, 4), 4, int), ((5, 2), 3, bool)):
        yield stretch(rng, shape, ends, kind=kind)


@n_step_target.check(points=1)
def test_n_steps_stop_at_a_time_limit_and_the_state_there_still_has_its_value(rng):
    for shape, cuts, kind in (((7, 3), 5, bool), ((6, 4), 4, int), ((5, 2), 3, bool)):
        yield stretch(rng, shape, 0, cuts, kind=kind)


@n_step_target.check(points=1)
def test_n_steps_are_over_at_the_first_stop_and_an_end_outweighs_a_time_limit(rng):
    """the first stop is the last, and where both flags are set the episode has ended"""
    for shape, ends, cuts in (((9, 4), 4, 5), ((8, 3), 6, 6), ((7, 5), 5, 2)):
        yield with_leftovers(rng, stretch(rng, shape, ends, cuts))
        case = stretch(rng, shape, ends)
        both = case["terminated"] & (rng.random(shape) < 0.7)
        yield with_leftovers(rng, case | {"truncated": both | stops(rng, shape, 1)})


@n_step_target.check(points=1)
def test_n_steps_may_be_one_step_of_one_agent_or_many_at_gamma_one_or_zero(rng):
    """one step or many, one agent or many, gamma 1 or 0: all are served alike"""
    for shape, ends, cuts in (
        ((6, 1), 2, 2), ((1, 5), 0, 0), ((1, 4), 1, 0), ((1, 3), 0, 1), ((2, 3, 5), 2, 2),
        ((3, 2, 1), 2, 1), ((4,), 0, 0), ((6,), 1, 0), ((5,), 0, 1), ((1,), 0, 0), ((3, 60), 1, 1),
    ):  # fmt: skip
        yield stretch(rng, shape, ends, cuts)
    for shape, gamma in (((6, 4), 1.0), ((5, 3), 0.0), ((7, 2), 1), ((4, 9), 0)):
        yield stretch(rng, shape, 2, 2, 1e4, gamma)
        case = stretch(rng, shape, 1, 2, gamma=gamma)
        yield case | {"v_next": -np.abs(case["v_next"]) - 1}


slips_of_every_target(n_step_target)


def last_step(terminated, truncated):
    """The step k that is the last one: the first stop, or the n-th."""
    stop = np.logical_or(terminated, truncated)
    stop[..., -1] = True
    return stop.argmax(-1)


def at_step(x, k):
    return np.take_along_axis(x, np.asarray(k)[..., None], -1)[..., 0]


def summed(r, gamma, last, power, value):
    """Rewards up to the step `last`, and a value that is discounted so many times."""
    k = np.arange(r.shape[-1])
    rewards = (r * (k <= np.asarray(last)[..., None]) * np.power(float(gamma), k)).sum(-1)
    return rewards + np.power(float(gamma), power) * value


@n_step_target.misconception("v(s_n) lies n steps ahead: the power of its γ is n, not n - 1.")
def discounts_the_value_a_step_less(r, v_next, terminated, truncated, gamma):
    last = last_step(terminated, truncated)
    value = (1 - at_step(terminated, last)) * at_step(v_next, last)
    return summed(r, gamma, last, last, value)


@n_step_target.misconception("The rewards of n steps are not all: the last state has a value.")
def forgets_to_bootstrap(r, v_next, terminated, truncated, gamma):
    return targets.n_step_target(r, 0 * v_next, terminated, truncated, gamma)


@n_step_target.misconception(
    "n steps without a stop end in a state as well: begin the recursion with its value, not with 0."
)
def begins_with_nothing(r, v_next, terminated, truncated, gamma):
    only_cuts = v_next * (np.cumsum(truncated, -1) > 0)
    return targets.n_step_target(r, only_cuts, terminated, truncated, gamma)


@n_step_target.misconception("Rewards that come after the stop belong to another episode.")
def adds_the_rewards_after_the_stop(r, v_next, terminated, truncated, gamma):
    last = last_step(terminated, truncated)
    value = (1 - at_step(terminated, last)) * at_step(v_next, last)
    return summed(r, gamma, r.shape[-1], last + 1, value)


@n_step_target.misconception(
    "A time limit is no end: the agent was stopped, the state is still worth v(s')."
)
def takes_a_time_limit_for_an_end(r, v_next, terminated, truncated, gamma):
    either = np.logical_or(terminated, truncated)
    return targets.n_step_target(r, v_next, either, either, gamma)


@n_step_target.misconception("After an end nothing follows: only a time limit leaves v(s') in.")
def takes_an_end_for_a_time_limit(r, v_next, terminated, truncated, gamma):
    either = np.logical_or(terminated, truncated)
    return targets.n_step_target(r, v_next, 0 * terminated, either, gamma)


@n_step_target.misconception("After a time limit comes another episode: stop there, take v(s').")
def goes_on_past_the_time_limit(r, v_next, terminated, truncated, gamma):
    return targets.n_step_target(r, v_next, terminated, 0 * truncated, gamma)


@n_step_target.misconception("Where both flags are set the episode has ended: nothing follows.")
def lets_the_time_limit_win(r, v_next, terminated, truncated, gamma):
    only = np.logical_and(terminated, np.logical_not(truncated))
    return targets.n_step_target(r, v_next, only, truncated, gamma)


@n_step_target.misconception("Cut off at step k, take v_next[..., k]: v of the state of the cut.")
def takes_the_last_value_at_a_cut(r, v_next, terminated, truncated, gamma):
    last = last_step(terminated, truncated)
    value = (1 - at_step(terminated, last)) * v_next[..., -1]
    return summed(r, gamma, last, last + 1, value)


@n_step_target.misconception("v_next[..., k] is already the state after step k, not before it.")
def takes_the_value_a_step_too_early(r, v_next, terminated, truncated, gamma):
    last = last_step(terminated, truncated)
    value = (1 - at_step(terminated, last)) * at_step(v_next, np.maximum(last - 1, 0))
    return summed(r, gamma, last, last + 1, value)


@n_step_target.misconception("Cut off after k steps, the value is k steps away, not n: γ^k.")
def discounts_a_cut_by_all_n_steps(r, v_next, terminated, truncated, gamma):
    last = last_step(terminated, truncated)
    value = (1 - at_step(terminated, last)) * at_step(v_next, last)
    return summed(r, gamma, last, r.shape[-1], value)


@n_step_target.misconception("The step that was cut off was made: its reward counts.")
def drops_the_reward_of_a_cut(r, v_next, terminated, truncated, gamma):
    return targets.n_step_target(r * (1 - truncated), v_next, terminated, truncated, gamma)


@n_step_target.misconception("Each learner stops by itself: one's end doesn't stop the others.")
def stops_all_learners_at_once(r, v_next, terminated, truncated, gamma):
    last = np.min(last_step(terminated, truncated)) + np.zeros(r.shape[:-1], int)
    value = (1 - at_step(terminated, last)) * at_step(v_next, last)
    return summed(r, gamma, last, last + 1, value)


@n_step_target.misconception("The first stop counts: what the arrays hold after it is not yours.")
def stops_at_the_last_stop(r, v_next, terminated, truncated, gamma):
    stop = np.logical_or(terminated, truncated)
    k = np.arange(r.shape[-1])
    last = np.where(stop.any(-1), (k * stop).max(-1), k[-1])
    value = (1 - at_step(terminated, last)) * at_step(v_next, last)
    return summed(r, gamma, last, last + 1, value)


@n_step_target.misconception("Bootstrap once, where the steps stop: before that rewards alone.")
def bootstraps_at_every_step(r, v_next, terminated, truncated, gamma):
    return targets.n_step_target(
        targets.td_target(r, v_next, terminated, gamma), 0 * v_next, terminated, truncated, gamma
    )


@n_step_target.misconception("That is one step's target: the rewards of all n steps count.")
def takes_the_first_step_alone(r, v_next, terminated, truncated, gamma):
    return targets.td_target(r[..., 0], v_next[..., 0], terminated[..., 0], gamma)


@n_step_target.misconception("The steps run along the last axis; the first ones are learners.")
def steps_along_the_first_axis(r, v_next, terminated, truncated, gamma):
    turned = (np.moveaxis(x, 0, -1) for x in (r, v_next, terminated, truncated))
    return targets.n_step_target(*turned, gamma)


@n_step_target.misconception("Asked is the target of the first step alone, (...), not of each.")
def gives_the_target_of_every_step(r, v_next, terminated, truncated, gamma):
    rows = (r, v_next, terminated, truncated)
    each = [targets.n_step_target(*(x[..., k:] for x in rows), gamma) for k in range(r.shape[-1])]
    return np.stack(each, axis=-1)


@n_step_target.control
def summed_by_powers(r, v_next, terminated, truncated, gamma):
    last = last_step(terminated, truncated)
    value = np.where(at_step(terminated, last), 0, at_step(v_next, last))
    return summed(r, gamma, last, last + 1, value)


@n_step_target.control
def summed_step_by_step(r, v_next, terminated, truncated, gamma):
    found = np.zeros(r.shape[:-1])
    for at in np.ndindex(found.shape):
        weight = 1.0
        for k in range(r.shape[-1]):
            found[at] += weight * r[at][k]
            weight *= gamma
            if terminated[at][k]:
                weight = 0.0
            if terminated[at][k] or truncated[at][k]:
                break
        found[at] += weight * v_next[at][k]
    return found


@n_step_target.control
def summed_by_recursion(r, v_next, terminated, truncated, gamma):
    follows = v_next[..., 0]
    if r.shape[-1] > 1:
        rest = (x[..., 1:] for x in (r, v_next, terminated, truncated))
        follows = np.where(truncated[..., 0], follows, summed_by_recursion(*rest, gamma))
    return r[..., 0] + gamma * np.where(terminated[..., 0], 0.0, follows)


# ------------------------------------------------------------------------------- batch TD

batch_td = exercise(
    td.batch_td,
    nudge="Believe the transitions to be all there is. What reward does s give on average, and how "
    "often does each state follow it?",
    worked={
        "s": np.array([0, 1, 1, 1, 1]),
        "r": np.array([0.0, 1.0, 1.0, 1.0, 0.0]),
        "s_next": np.array([1, 0, 0, 0, 0]),
        "terminated": np.array([False, True, True, True, True]),
        "n_states": 3,
        "gamma": 0.5,
    },
)


def batch(rng, s, s_next, n_states, ends=0, size=3.0, gamma=None):
    """Those transitions in any order, some of which end; `size` None: rewards 0 and 1 alone."""
    order, n = rng.permutation(len(s)), len(s)
    return {
        "s": np.asarray(s)[order],
        "r": rng.integers(2, size=n) * 1.0 if size is None else size * rng.normal(size=n),
        "s_next": np.asarray(s_next)[order],
        "terminated": flagged(rng, (n,), ends),
        "n_states": n_states,
        "gamma": rng.uniform(0.6, 0.95) if gamma is None else gamma,
    }


def different(rng, n_states):
    """A share of all pairs of states, each once; every state is left, more often or less."""
    share = rng.uniform(0.2, 0.9, (n_states, 1))
    pairs = rng.random((n_states, n_states)) < share
    pairs[np.arange(n_states), rng.permutation(n_states)] = True
    return np.nonzero(pairs)


def repeated(rng, n_states, n):
    """Transitions between few states, so that many come again; every state is left."""
    s = np.concatenate([np.arange(n_states), rng.integers(n_states, size=n - n_states)])
    return s, rng.integers(n_states, size=n)


@batch_td.check(points=2)
def test_batch_td_gives_the_values_of_the_model_that_the_transitions_suggest(rng):
    for n_states in (5, 4, 7):
        yield batch(rng, *different(rng, n_states), n_states)
    yield batch(rng, *different(rng, 6), 6, gamma=0.995)


@batch_td.check(points=1)
def test_batch_td_counts_an_end_as_a_visit_that_nothing_follows(rng):
    for n_states, n, ends in ((5, 23, 6), (4, 12, 5), (8, 40, 30)):
        yield batch(rng, *repeated(rng, n_states, n), n_states, ends)


@batch_td.check(points=1)
def test_batch_td_counts_a_transition_as_often_as_it_occurs(rng):
    for n_states, n, size in ((3, 20, 3.0), (4, 70, 3.0), (2, 9, None), (3, 40, None)):
        yield batch(rng, *repeated(rng, n_states, n), n_states, size=size)


@batch_td.check(points=1)
def test_batch_td_gives_zero_for_a_state_that_no_transition_leaves(rng):
    """a state that no transition leaves is worth 0, whether it is entered or not"""
    for n_states, left, n in ((8, 5, 19), (7, 3, 14)):
        names = rng.permutation(n_states)  # the last one is never entered either
        s, s_next = rng.integers(left, size=n), rng.integers(n_states - 1, size=n)
        yield batch(rng, names[s], names[s_next], n_states, 2)
    yield batch(rng, [0, 2, 2, 0], [2, 1, 0, 0], int(rng.integers(5, 9)))
    s = rng.integers(5)
    yield batch(rng, [s], [(s + 2) % 5], 5)


@batch_td.check(points=1)
def test_batch_td_holds_at_gamma_one_and_zero_and_for_one_state_or_many(rng):
    """gamma 1 (where all comes to an end), gamma 0, one state, many, large rewards"""
    for n_states, n, gamma in ((6, 25, 1.0), (4, 15, 1)):
        inner = n_states - 1  # each of these leads to the last state, which no transition leaves
        s, s_next = repeated(rng, inner, n)
        s_next[:inner] = inner
        case = batch(rng, s, s_next, n_states, size=1e4, gamma=gamma)
        yield case | {"terminated": (case["s_next"] == inner) & (rng.random(n) < 0.8)}
    yield batch(rng, *repeated(rng, 5, 17), 5, 3, gamma=0.0)
    yield batch(rng, *repeated(rng, 3, 16), 3, 4, size=1e4, gamma=0)
    yield batch(rng, [0, 0, 0], [0, 0, 0], 1, 1)
    yield batch(rng, [0], [0], 1, 0)
    yield batch(rng, *repeated(rng, 40, 300), 40, 30)


def solved(p, mean_r, gamma):
    return np.linalg.solve(np.eye(len(mean_r)) - gamma * p, mean_r)


def counts(s, r, s_next, terminated, n_states, *_):
    """How often each state followed, how often each state was left, and with what reward in all."""
    n = np.zeros((n_states, n_states))
    np.add.at(n, (s, s_next), 1 - terminated)
    return n, np.bincount(s, minlength=n_states), np.bincount(s, r, n_states)


def shares(n, visits):
    return n / np.maximum(visits, 1)[:, None]


@batch_td.misconception("The episode ended: nothing follows, leave that transition out of P̂.")
def bootstraps_past_the_end(s, r, s_next, terminated, n_states, gamma):
    return td.batch_td(s, r, s_next, 0 * terminated, n_states, gamma)


@batch_td.misconception("The mask is upside down: what goes on belongs into P̂, not what ended.")
def bootstraps_only_at_the_end(s, r, s_next, terminated, n_states, gamma):
    return td.batch_td(s, r, s_next, ~terminated, n_states, gamma)


@batch_td.misconception(
    "An end is a visit too: a row of P̂ sums to less than 1 by the share of steps that ended."
)
def leaves_ends_out_of_the_shares(s, r, s_next, terminated, n_states, gamma):
    n, visits, total = counts(s, r, s_next, terminated, n_states)
    return solved(shares(n, n.sum(1)), total / np.maximum(visits, 1), gamma)


@batch_td.misconception("The last reward is real: an end cuts off the future alone.")
def cuts_off_the_last_reward(s, r, s_next, terminated, n_states, gamma):
    return td.batch_td(s, r * ~terminated, s_next, terminated, n_states, gamma)


@batch_td.misconception("What ended was a step as well: it has a reward, and counts as a visit.")
def drops_the_steps_that_ended(s, r, s_next, terminated, n_states, gamma):
    on = ~terminated
    return td.batch_td(s[on], r[on], s_next[on], terminated[on], n_states, gamma)


@batch_td.misconception("An end belongs to the step: the state it led to may go on elsewhere.")
def takes_a_state_where_one_ended_for_worthless(s, r, s_next, terminated, n_states, gamma):
    alive = ~np.isin(s, s_next[terminated])
    return td.batch_td(s[alive], r[alive], s_next[alive], terminated[alive], n_states, gamma)


@batch_td.misconception(
    "P[s, s_next] += 1 counts a pair once, however often it occurs: use np.add.at or a loop."
)
def loses_repeated_transitions(s, r, s_next, terminated, n_states, gamma):
    _, visits, total = counts(s, r, s_next, terminated, n_states)
    n = np.zeros((n_states, n_states))
    n[s, s_next] += ~terminated
    return solved(shares(n, visits), total / np.maximum(visits, 1), gamma)


@batch_td.misconception("What occurred twice counts twice, in r̂ and in P̂: keep the repeats.")
def drops_repeated_transitions(s, r, s_next, terminated, n_states, gamma):
    _, once = np.unique(np.stack([s, r, s_next, terminated]), axis=1, return_index=True)
    return td.batch_td(s[once], r[once], s_next[once], terminated[once], n_states, gamma)


@batch_td.misconception("r̂ is a mean: divide the rewards from s by the visits to s.")
def adds_the_rewards_up(s, r, s_next, terminated, n_states, gamma):
    n, visits, total = counts(s, r, s_next, terminated, n_states)
    return solved(shares(n, visits), total, gamma)


@batch_td.misconception("r̂(s) is the mean over all steps from s: r̂[s] = r keeps the last alone.")
def keeps_the_last_reward(s, r, s_next, terminated, n_states, gamma):
    n, visits, mean_r = counts(s, r, s_next, terminated, n_states)
    mean_r[s] = r
    return solved(shares(n, visits), mean_r, gamma)


@batch_td.misconception("A share is of the steps from s: divide by the visits to s, not by N.")
def divides_by_all_the_transitions(s, r, s_next, terminated, n_states, gamma):
    n, _, total = counts(s, r, s_next, terminated, n_states)
    return solved(n / len(s), total / len(s), gamma)


@batch_td.misconception("P̂ goes from row to column: count at [s, s_next], not at [s_next, s].")
def writes_the_matrix_transposed(s, r, s_next, terminated, n_states, gamma):
    n, visits, total = counts(s, r, s_next, terminated, n_states)
    return solved(shares(n.T, visits), total / np.maximum(visits, 1), gamma)


@batch_td.misconception(
    "The visits divide each row: visits[:, None]. Without it they divide the columns."
)
def divides_the_columns(s, r, s_next, terminated, n_states, gamma):
    n, visits, total = counts(s, r, s_next, terminated, n_states)
    return solved(n / np.maximum(visits, 1), total / np.maximum(visits, 1), gamma)


@batch_td.misconception("Once through the batch is not the end: TD(0) goes on until v rests.")
def goes_through_the_batch_once(s, r, s_next, terminated, n_states, gamma):
    v = np.zeros(n_states)
    for i in range(len(s)):
        v[s[i]] += 0.1 * (r[i] + gamma * (1 - terminated[i]) * v[s_next[i]] - v[s[i]])
    return v


@batch_td.misconception(
    "Mean returns are batch Monte Carlo's answer; TD's is what the model of the batch is worth."
)
def averages_the_returns(s, r, s_next, terminated, n_states, gamma):
    g, after = np.zeros(len(s)), 0.0
    for i in reversed(range(len(s))):
        g[i] = after = r[i] + gamma * (1 - terminated[i]) * after
    return np.bincount(s, g, n_states) / np.maximum(np.bincount(s, minlength=n_states), 1)


@batch_td.misconception("A fixed number of sweeps may be too few: go on until v rests, or solve.")
def sweeps_twenty_times(s, r, s_next, terminated, n_states, gamma):
    n, visits, total = counts(s, r, s_next, terminated, n_states)
    v = np.zeros(n_states)
    for _ in range(20):
        v = total / np.maximum(visits, 1) + gamma * shares(n, visits) @ v
    return v


@batch_td.misconception("That is the mean reward of one step: what follows counts as well.")
def gives_the_mean_reward_alone(s, r, s_next, terminated, n_states, gamma):
    return td.batch_td(s, r, s_next, terminated, n_states, 0.0)


@batch_td.misconception("γ discounts what comes later, not the reward of the step itself.")
def discounts_the_reward(s, r, s_next, terminated, n_states, gamma):
    return td.batch_td(s, gamma * r, s_next, terminated, n_states, gamma)


@batch_td.misconception("0 / 0 is no number: where nothing leaves a state, r̂ and P̂ are 0.")
def divides_by_no_visits(s, r, s_next, terminated, n_states, gamma):
    n, visits, total = counts(s, r, s_next, terminated, n_states)
    with np.errstate(invalid="ignore"):
        return solved(n / visits[:, None], total / visits, gamma)


@batch_td.misconception("There are n_states values, also of states that the batch never saw.")
def counts_only_the_states_it_saw(s, r, s_next, terminated, n_states, gamma):
    return td.batch_td(s, r, s_next, terminated, max(s.max(), s_next.max()) + 1, gamma)


@batch_td.control
def values_by_counting_one_at_a_time(s, r, s_next, terminated, n_states, gamma):
    left = [[i for i in range(len(s)) if s[i] == state] for state in range(n_states)]
    a, b = np.eye(n_states), np.zeros(n_states)
    for state, mine in enumerate(left):
        for i in mine:
            b[state] += r[i] / len(mine)
            if not terminated[i]:
                a[state, s_next[i]] -= gamma / len(mine)
    return np.linalg.inv(a) @ b


@batch_td.control
def values_by_doubling_the_horizon(s, r, s_next, terminated, n_states, gamma):
    n, visits, total = counts(s, r, s_next, terminated, n_states)
    v, m = total / np.maximum(visits, 1), gamma * shares(n, visits)
    for _ in range(30):
        v, m = v + m @ v, m @ m
    return v


@batch_td.control
def values_by_least_squares(s, r, s_next, terminated, n_states, gamma):
    here, there = np.eye(n_states)[s], np.eye(n_states)[s_next] * ~terminated[:, None]
    a = here.T @ (here - gamma * there) + np.diag(~np.isin(np.arange(n_states), s))
    return np.linalg.solve(a, here.T @ r)
