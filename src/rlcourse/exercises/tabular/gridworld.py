"""The five exercises of the GridWorld chapter: moves, returns, policy model, action values, sweeps.

Axes differ in size and vary: S states, A actions, K outcomes, T steps.
"""

import numpy as np

from rlcourse.grading import exercise
from rlcourse.grading.compare import kind
from rlcourse.tabular import gridworld, mdp
from rlcourse.tabular.gridworld import Move, closed_form
from rlcourse.tabular.mdp import MDP, PolicyModel

# ------------------------------------------------------------------------------- moves

move = exercise(
    gridworld.move,
    nudge="Go by row and column: which of the two does each action change?",
    worked={"s": np.array([3, 3, 0]), "a": np.array([1, 2, 4]), "n_rows": 3, "n_cols": 4},
)


def shuffled(rng, s, a):
    order = rng.permutation(len(s))
    return {"s": np.asarray(s)[order], "a": np.asarray(a)[order]}


def inner(rng, n_rows, n_cols, copies=1):
    """Every action from cells that touch no wall, where all of them lead somewhere else or stay."""
    row, col = rng.integers(1, n_rows - 1, 5 * copies), rng.integers(1, n_cols - 1, 5 * copies)
    return row * n_cols + col, np.tile(np.arange(5), copies)


def walls(rng, n_rows, n_cols):
    """One step into each wall, and one out of a corner into two of them."""
    i, j = rng.integers(n_rows), rng.integers(n_cols)
    cells = [
        (0, j),
        (i, n_cols - 1),
        (n_rows - 1, j),
        (i, 0),
        (0, 0),
        (0, 0),
        (n_rows - 1, n_cols - 1),
    ]
    return np.array([r * n_cols + c for r, c in cells]), np.array([0, 1, 2, 3, 0, 3, 1])


@move.check(points=2)
def test_a_move_changes_the_row_or_the_column_by_one(rng):
    for n_rows, n_cols in ((3, 6), (7, 4)):
        s, a = inner(rng, n_rows, n_cols, 2)
        go = a < 4
        yield {**shuffled(rng, s[go], a[go]), "n_rows": n_rows, "n_cols": n_cols}
    s, a = inner(rng, 230, 190, 2)
    yield {"s": s[a < 4], "a": a[a < 4], "n_rows": 230, "n_cols": 190}


@move.check(points=2)
def test_a_wall_bumps_back_into_the_same_cell(rng):
    for n_rows, n_cols in ((3, 5), (6, 4)):
        (s, a), (more, b) = walls(rng, n_rows, n_cols), inner(rng, n_rows, n_cols)
        go = b < 4
        both = shuffled(rng, [*s, *more[go]], [*a, *b[go]])
        yield {**both, "n_rows": n_rows, "n_cols": n_cols}
    for n_rows, n_cols in ((2, 3), (1, 4), (4, 1)):  # every step of a small map
        s, a = np.divmod(np.arange(n_rows * n_cols * 4), 4)
        yield {**shuffled(rng, s, a), "n_rows": n_rows, "n_cols": n_cols}


@move.check(points=1)
def test_staying_is_no_bump_not_even_at_a_wall(rng):
    """staying is no bump, not even at a wall"""
    for n_rows, n_cols in ((4, 5), (5, 3)):
        (s, a), (more, b) = walls(rng, n_rows, n_cols), inner(rng, n_rows, n_cols)
        stay = rng.integers(0, n_rows * n_cols, 2)
        both = shuffled(rng, [*s, *s, *more, *stay], [*a, *(0 * a + 4), *b, 4, 4])
        yield {**both, "n_rows": n_rows, "n_cols": n_cols}


@move.check(points=1)
def test_a_move_keeps_the_shape_of_its_arrays(rng):
    for n_rows, n_cols in ((2, 3), (3, 4)):
        s, a = np.meshgrid(np.arange(n_rows * n_cols), rng.permutation(5), indexing="ij")
        yield {"s": s, "a": a, "n_rows": n_rows, "n_cols": n_cols}


def stepped(s, a, n_cols, rows=(-1, 0, 1, 0, 0), cols=(0, 1, 0, -1, 0)):
    return s // n_cols + np.array(rows)[a], s % n_cols + np.array(cols)[a]


def bounded(s, row, col, n_rows, n_cols):
    inside = (row >= 0) & (row < n_rows) & (col >= 0) & (col < n_cols)
    return Move(np.where(inside, row * n_cols + col, s), ~inside)


@move.misconception(
    "Going right from the last column must not reach the next row: test row and column, not s."
)
def slides_into_the_next_row(s, a, n_rows, n_cols):
    to = s + np.array([-n_cols, 1, n_cols, -1, 0])[a]
    inside = (to >= 0) & (to < n_rows * n_cols)
    return Move(np.where(inside, to, s), ~inside)


@move.misconception("Cells are numbered along a row of n_cols cells: divide by n_cols.")
def divides_by_the_number_of_rows(s, a, n_rows, n_cols):
    row, col = stepped(s, a, n_rows)
    return bounded(s, row, col, n_rows, n_cols)


@move.misconception("Row 0 is the top row: up makes the row number smaller.")
def counts_rows_from_below(s, a, n_rows, n_cols):
    row, col = stepped(s, a, n_cols, rows=(1, 0, -1, 0, 0))
    return bounded(s, row, col, n_rows, n_cols)


@move.misconception("A wall is no door: don't come out at the other side (%), stay where you are.")
def wraps_around_the_map(s, a, n_rows, n_cols):
    row, col = stepped(s, a, n_cols)
    return Move((row % n_rows) * n_cols + col % n_cols, np.zeros(np.shape(s), bool))


@move.misconception("Staying is no bump: bumped means that the wall was in the way.")
def calls_staying_a_bump(s, a, n_rows, n_cols):
    s_next = bounded(s, *stepped(s, a, n_cols), n_rows, n_cols).s_next
    return Move(s_next, s_next == s)


@move.misconception("The step is right, but the bump goes unsaid: bumped is True at the wall.")
def never_says_that_it_bumped(s, a, n_rows, n_cols):
    row, col = stepped(s, a, n_cols)
    at = np.clip(row, 0, n_rows - 1) * n_cols + np.clip(col, 0, n_cols - 1)
    return Move(at, np.zeros(np.shape(s), bool))


@move.misconception("The last row is n_rows - 1, the last column n_cols - 1: one cell less.")
def leaves_the_map_by_one_cell(s, a, n_rows, n_cols):
    row, col = stepped(s, a, n_cols)
    inside = (row >= 0) & (row <= n_rows) & (col >= 0) & (col <= n_cols)
    return Move(np.where(inside, row * n_cols + col, s), ~inside)


@move.misconception("That is FrozenLake's order. Here: 0 up, 1 right, 2 down, 3 left, 4 stay.")
def takes_the_actions_in_the_order_of_frozen_lake(s, a, n_rows, n_cols):
    row, col = stepped(s, a, n_cols, rows=(0, 1, 0, -1, 0), cols=(-1, 0, 1, 0, 0))
    return bounded(s, row, col, n_rows, n_cols)


@move.misconception("That is up, down, left, right. Here: 0 up, 1 right, 2 down, 3 left, 4 stay.")
def takes_the_actions_in_opposite_pairs(s, a, n_rows, n_cols):
    row, col = stepped(s, a, n_cols, rows=(-1, 1, 0, 0, 0), cols=(0, 0, -1, 1, 0))
    return bounded(s, row, col, n_rows, n_cols)


@move.misconception("The two answers are swapped: where one is comes first, Move(s_next, bumped).")
def swaps_the_two_answers(s, a, n_rows, n_cols):
    s_next, bumped = bounded(s, *stepped(s, a, n_cols), n_rows, n_cols)
    return Move(bumped, s_next)


@move.misconception("bumped is upside down: it is True where the wall was in the way.")
def says_bumped_when_it_was_free(s, a, n_rows, n_cols):
    s_next, bumped = bounded(s, *stepped(s, a, n_cols), n_rows, n_cols)
    return Move(s_next, ~bumped)


@move.control
def moves_one_at_a_time(s, a, n_rows, n_cols):
    s_next, bumped = [], []
    for cell, action in zip(s.ravel(), a.ravel(), strict=True):
        row, col = divmod(cell, n_cols)
        wall = (row == 0, col == n_cols - 1, row == n_rows - 1, col == 0, False)[action]
        bumped.append(wall)
        s_next.append(cell if wall else cell + (-n_cols, 1, n_cols, -1, 0)[action])
    return Move(np.array(s_next).reshape(s.shape), np.array(bumped).reshape(s.shape))


@move.control
def moves_by_clipping(s, a, n_rows, n_cols):
    row, col = stepped(s, a, n_cols)
    at = np.clip(row, 0, n_rows - 1) * n_cols + np.clip(col, 0, n_cols - 1)
    return Move(at, (at == s) & (a != 4))


# ------------------------------------------------------------------------------- returns

discounted_returns = exercise(
    mdp.discounted_returns,
    nudge="Begin with the last step: what is its return? Then the one before.",
)


@discounted_returns.check(points=2)
def test_a_return_discounts_each_later_reward_once_more(rng):
    for steps in (6, 4):
        yield {"r": rng.normal(size=steps), "gamma": rng.uniform(0.3, 0.95)}
    yield {"r": rng.normal(size=8), "gamma": 0.99999}
    yield {"r": rng.normal(size=700), "gamma": rng.uniform(0.3, 0.35)}


@discounted_returns.check(points=1)
def test_returns_of_many_episodes_run_along_the_last_axis(rng):
    for shape in ((4, 6), (2, 3, 5), (1, 4), (3, 1)):
        yield {"r": rng.normal(size=shape), "gamma": rng.uniform(0.3, 0.95)}


@discounted_returns.check(points=1)
def test_returns_at_gamma_one_and_zero_are_the_sum_and_the_reward_alone(rng):
    for gamma, steps in ((1.0, 5), (0.0, 4), (1, 1), (0.9, 1)):
        yield {"r": -10 * rng.random(steps), "gamma": gamma}
        yield {"r": 1e4 * rng.normal(size=steps), "gamma": gamma}


@discounted_returns.check(points=1)
def test_returns_of_whole_numbers_keep_their_fractions(rng):
    for steps in (5, 3):
        yield {"r": rng.integers(-5, 6, size=steps) * 2 + 1, "gamma": rng.uniform(0.3, 0.95)}


def powers(r, gamma):
    return gamma ** np.arange(r.shape[-1])


def sums_to_the_end(x):
    return x[..., ::-1].cumsum(-1)[..., ::-1]


@discounted_returns.misconception("The return looks ahead, not back: G_t = r_t + γ G_{t+1}.")
def gathers_the_past(r, gamma):
    g = r.copy()
    for t in range(1, r.shape[-1]):
        g[..., t] = r[..., t] + gamma * g[..., t - 1]
    return g


@discounted_returns.misconception(
    "γ counts from the step itself, not from the beginning: r_t enters G_t with weight 1."
)
def discounts_from_the_first_step(r, gamma):
    return sums_to_the_end(powers(r, gamma) * r)


@discounted_returns.misconception("That is G_0 alone: give the return of every step.")
def gives_the_first_return_alone(r, gamma):
    return r @ powers(r, gamma)


@discounted_returns.misconception("r_t is not discounted in G_t: γ multiplies what comes later.")
def discounts_the_first_reward_too(r, gamma):
    return gamma * mdp.discounted_returns(r, gamma)


@discounted_returns.misconception("Later rewards count less: multiply G_{t+1} by γ.")
def forgets_to_discount(r, gamma):
    return sums_to_the_end(r)


@discounted_returns.misconception(
    "The reward of the step itself belongs to its return: G_t begins with r_t."
)
def begins_one_step_too_late(r, gamma):
    g = mdp.discounted_returns(r, gamma)
    return gamma * np.concatenate([g[..., 1:], 0 * g[..., :1]], axis=-1)


@discounted_returns.misconception("Time is the last axis of r; the first ones are episodes.")
def takes_time_along_the_first_axis(r, gamma):
    return np.moveaxis(mdp.discounted_returns(np.moveaxis(r, 0, -1), gamma), -1, 0)


@discounted_returns.misconception(
    "zeros_like(r) of whole numbers holds whole numbers only: ask for floats, dtype=float."
)
def rounds_down_to_whole_numbers(r, gamma):
    g = np.zeros_like(r)
    after = 0 * r[..., 0]
    for t in reversed(range(r.shape[-1])):
        g[..., t] = after = r[..., t] + gamma * after
    return g


@discounted_returns.misconception("γ multiplies the whole future once more: once per step, not γ².")
def discounts_each_step_twice(r, gamma):
    return mdp.discounted_returns(r, gamma**2)


@discounted_returns.misconception("G_{t+1} must be finished before G_t: go backwards.")
def runs_forwards(r, gamma):
    g = 1.0 * r
    for t in range(r.shape[-1] - 1):
        g[..., t] += gamma * g[..., t + 1]
    return g


@discounted_returns.misconception(
    "The first step has a return too: a loop down to 0 is range(T - 1, -1, -1), not ..., 0, -1)."
)
def forgets_the_first_step(r, gamma):
    g = 1.0 * r
    for t in range(r.shape[-1] - 2, 0, -1):
        g[..., t] += gamma * g[..., t + 1]
    return g


@discounted_returns.misconception("What was appended last is G_0: turn the list round at the end.")
def leaves_the_returns_in_reverse(r, gamma):
    return mdp.discounted_returns(r, gamma)[..., ::-1]


@discounted_returns.control
def returns_by_a_triangle_of_powers(r, gamma):
    t = np.arange(r.shape[-1])
    later = t[:, None] - t[None, :]
    weights = np.where(later >= 0, np.power(float(gamma), np.maximum(later, 0)), 0.0)
    return r @ weights


@discounted_returns.control
def returns_by_recursion(r, gamma):
    if r.shape[-1] == 1:
        return 1.0 * r
    later = returns_by_recursion(r[..., 1:], gamma)
    return np.concatenate([r[..., :1] + gamma * later[..., :1], later], axis=-1)


# ------------------------------------------------------------------------------- MDPs to draw


def draw_mdp(rng, n_states, n_actions, n_outcomes, *, apart=False, ends=0):
    """A random MDP; `apart`: all outcomes of a state lead elsewhere; `ends` of them end."""
    pairs = n_actions * n_outcomes
    shape = (n_states, n_actions, n_outcomes)
    s_next = rng.integers(n_states, size=shape)
    if apart:
        s_next = np.argsort(rng.random((n_states, n_states)))[:, :pairs].reshape(shape)
    else:
        s_next[:, -1, -1] = s_next[:, 0, 0]  # the same successor by another action, in every state
    return MDP(
        s_next,
        rng.dirichlet(np.ones(n_outcomes), size=shape[:2]),
        rng.normal(size=shape),
        rng.permutation(np.arange(n_states * pairs) < ends).reshape(shape),
    )


def with_a_rare_fortune(m):
    """One outcome in ten million, of a reward that makes it count."""
    p, r = m.p.copy(), m.r.copy()
    p[:, 0], r[:, 0, 1] = (1 - 1e-7, 1e-7), 1e6
    return m._replace(p=p, r=r)


def draw_policy(rng, m):
    return rng.dirichlet(np.ones(m.p.shape[1]), size=len(m.p))


# ------------------------------------------------------------------------------- policy model

policy_model = exercise(
    mdp.policy_model,
    nudge="How likely is one outcome under π? Add that up by where it leads.",
    worked={
        "mdp": MDP(
            np.array([[[0, 1], [1, 1]], [[0, 1], [0, 0]]]),
            np.array([[[0.9, 0.1], [0.5, 0.5]], [[0.7, 0.3], [1.0, 0.0]]]),
            np.array([[[0.0, 1.0], [2.0, 4.0]], [[0.0, 10.0], [1.0, 0.0]]]),
            np.array([[[False, False], [False, False]], [[False, True], [False, False]]]),
        ),
        "pi": np.array([[0.8, 0.2], [1.0, 0.0]]),
    },
)


@policy_model.check(points=2)
def test_a_policy_model_weighs_every_outcome_by_policy_and_probability(rng):
    for sizes in ((7, 3, 2), (6, 2, 3)):
        m = draw_mdp(rng, *sizes, apart=True)
        yield {"mdp": m, "pi": draw_policy(rng, m)}
        yield {"mdp": m, "pi": np.eye(sizes[1])[rng.integers(sizes[1], size=sizes[0])]}
    yield {"mdp": m, "pi": np.tile([0.995, 0.005], (sizes[0], 1))}
    m = draw_mdp(rng, 7, 3, 2, apart=True)
    yield {"mdp": with_a_rare_fortune(m), "pi": draw_policy(rng, m)}


@policy_model.check(points=2)
def test_a_policy_model_adds_up_outcomes_that_lead_to_the_same_state(rng):
    for sizes in ((5, 3, 2), (4, 2, 3), (9, 3, 8), (4, 7, 2)):
        m = draw_mdp(rng, *sizes)
        yield {"mdp": m, "pi": draw_policy(rng, m)}


@policy_model.check(points=1)
def test_a_policy_model_goes_nowhere_after_an_end_but_keeps_its_reward(rng):
    for sizes, ends in (((7, 3, 2), 9), ((6, 2, 3), 5)):
        m = draw_mdp(rng, *sizes, apart=True, ends=ends)
        yield {"mdp": m, "pi": draw_policy(rng, m)}


def modelled(m, weight, reward=None):
    """P by a one-hot sum, r by a plain one, from the weights (S, A, K) of the outcomes."""
    p = (weight[..., None] * np.eye(len(m.p))[m.s_next]).sum((1, 2))
    return PolicyModel(p, ((weight if reward is None else reward) * m.r).sum((1, 2)))


def weights(m, pi):
    return pi[..., None] * m.p


@policy_model.misconception(
    "P[s, s_next] += w counts a successor once, however often it occurs: use np.add.at or a loop."
)
def loses_repeated_successors(mdp, pi):
    p = np.zeros((len(pi), len(pi)))
    s = np.arange(len(pi))[:, None, None] + 0 * mdp.s_next
    p[s, mdp.s_next] += weights(mdp, pi) * ~mdp.terminated
    return PolicyModel(p, (weights(mdp, pi) * mdp.r).sum((1, 2)))


@policy_model.misconception("Where the episode ends nothing follows: leave such outcomes out of P.")
def goes_on_after_the_end(mdp, pi):
    return modelled(mdp, weights(mdp, pi))


@policy_model.misconception("An end is no loop: what ends leads nowhere, so leave it out of P.")
def stays_for_ever_where_it_ends(mdp, pi):
    here = np.arange(len(pi))[:, None, None]
    return modelled(
        mdp._replace(s_next=np.where(mdp.terminated, here, mdp.s_next)), weights(mdp, pi)
    )


@policy_model.misconception("The last reward is real: an end cuts off P, not r.")
def drops_the_reward_of_the_last_step(mdp, pi):
    return modelled(mdp, weights(mdp, pi) * ~mdp.terminated)


@policy_model.misconception("That averages over all actions alike: weigh them by π(a|s).")
def averages_without_the_policy(mdp, pi):
    w = weights(mdp, 0 * pi + 1 / pi.shape[1])
    return modelled(mdp, w * ~mdp.terminated, w)


@policy_model.misconception("π takes every action with its probability, not the likeliest alone.")
def follows_the_likeliest_action(mdp, pi):
    w = weights(mdp, np.eye(pi.shape[1])[pi.argmax(1)])
    return modelled(mdp, w * ~mdp.terminated, w)


@policy_model.misconception("P goes from row to column: P[s, s_next], not P[s_next, s].")
def writes_the_matrix_transposed(mdp, pi):
    w = weights(mdp, pi)
    p, r = modelled(mdp, w * ~mdp.terminated, w)
    return PolicyModel(p.T, r)


@policy_model.misconception("Outcomes are not equally likely: weigh them by p in r as well.")
def averages_rewards_without_probabilities(mdp, pi):
    w = weights(mdp, pi)
    p, _ = modelled(mdp, w * ~mdp.terminated)
    return PolicyModel(p, (pi * mdp.r.mean(-1)).sum(-1))


@policy_model.misconception(
    "A row may sum to less than 1: what is missing is the chance that the episode ends."
)
def scales_each_row_to_one(mdp, pi):
    w = weights(mdp, pi)
    p, r = modelled(mdp, w * ~mdp.terminated, w)
    total = p.sum(1, keepdims=True)
    return PolicyModel(p / np.where(total > 0, total, 1), r)


@policy_model.control
def models_with_loops(mdp, pi):
    n_states, n_actions, n_outcomes = mdp.p.shape
    p, r = np.zeros((n_states, n_states)), np.zeros(n_states)
    for s in range(n_states):
        for a in range(n_actions):
            for k in range(n_outcomes):
                w = pi[s, a] * mdp.p[s, a, k]
                r[s] += w * mdp.r[s, a, k]
                if not mdp.terminated[s, a, k]:
                    p[s, mdp.s_next[s, a, k]] += w
    return PolicyModel(p, r)


@policy_model.control
def models_by_one_hot(mdp, pi):
    w = weights(mdp, pi)
    return modelled(mdp, w * (1 - mdp.terminated), w)


# ------------------------------------------------------------------------------- action values

action_values = exercise(
    mdp.action_values,
    nudge="One outcome gives r now and γ v(s') later. Average over the outcomes.",
    worked={
        "mdp": MDP(
            np.array([[[0, 1]], [[0, 1]]]),
            np.array([[[0.9, 0.1]], [[0.7, 0.3]]]),
            np.array([[[0.0, 1.0]], [[0.0, 10.0]]]),
            np.array([[[False, False]], [[False, True]]]),
        ),
        "v": np.array([2.0, 4.0]),
        "gamma": 0.5,
    },
)


@action_values.check(points=2)
def test_action_values_average_reward_and_discounted_future(rng):
    for sizes in ((5, 3, 2), (6, 2, 4), (4, 7, 2), (300, 2, 3)):
        m = draw_mdp(rng, *sizes)
        yield {"mdp": m, "v": 3 * rng.normal(size=len(m.p)), "gamma": rng.uniform(0.3, 0.95)}
    m = with_a_rare_fortune(draw_mdp(rng, 5, 3, 2))
    yield {"mdp": m, "v": rng.normal(size=5), "gamma": rng.uniform(0.3, 0.95)}


@action_values.check(points=1)
def test_action_values_keep_their_shape_where_there_is_one_state_or_action(rng):
    for sizes in ((5, 1, 3), (1, 3, 2)):
        m = draw_mdp(rng, *sizes)
        yield {"mdp": m, "v": 3 * rng.normal(size=len(m.p)), "gamma": rng.uniform(0.3, 0.95)}


@action_values.check(points=1)
def test_action_values_let_nothing_follow_an_end(rng):
    for sizes, ends in (((5, 3, 2), 8), ((4, 2, 3), 6)):
        m = draw_mdp(rng, *sizes, ends=ends)
        yield {"mdp": m, "v": 3 * rng.normal(size=len(m.p)), "gamma": rng.uniform(0.3, 0.95)}


@action_values.check(points=1)
def test_action_values_hold_at_gamma_one_and_zero_and_for_large_values(rng):
    for sizes, gamma in (((5, 3, 2), 1.0), ((4, 2, 3), 0.0), ((5, 2, 3), 1)):
        m = draw_mdp(rng, *sizes, ends=4)
        yield {"mdp": m, "v": 1e4 * rng.normal(size=len(m.p)), "gamma": gamma}
        yield {"mdp": m, "v": -rng.random(len(m.p)) - 1, "gamma": gamma}


def future(m, v):
    return ~m.terminated * v[m.s_next]


@action_values.misconception("The episode ended: nothing follows, v(s_next) must not count there.")
def bootstraps_past_the_end(mdp, v, gamma):
    return (mdp.p * (mdp.r + gamma * v[mdp.s_next])).sum(-1)


@action_values.misconception("The last reward is real: only the future is cut off where it ends.")
def cuts_off_the_last_reward(mdp, v, gamma):
    return (mdp.p * ~mdp.terminated * (mdp.r + gamma * v[mdp.s_next])).sum(-1)


@action_values.misconception(
    "γ discounts what comes later, not the reward of this step: r + γ v, not γ (r + v)."
)
def discounts_the_reward(mdp, v, gamma):
    return gamma * (mdp.p * (mdp.r + future(mdp, v))).sum(-1)


@action_values.misconception("A step later is worth γ times as much: multiply v(s_next) by γ.")
def leaves_gamma_out(mdp, v, gamma):
    return (mdp.p * (mdp.r + future(mdp, v))).sum(-1)


@action_values.misconception(
    "Outcomes are chance, not choice: average them with p, don't pick one."
)
def takes_the_best_outcome(mdp, v, gamma):
    return (mdp.r + gamma * future(mdp, v)).max(-1)


@action_values.misconception(
    "Outcomes are not equally likely: weigh them by p, sum, don't average."
)
def weighs_outcomes_alike(mdp, v, gamma):
    return (mdp.r + gamma * future(mdp, v)).mean(-1)


@action_values.misconception("Each outcome happens only with its p: multiply by p before the sum.")
def adds_the_outcomes_up_without_p(mdp, v, gamma):
    return (mdp.r + gamma * future(mdp, v)).sum(-1)


@action_values.misconception("p sums to 1 already: sum p × (…), don't divide by K once more.")
def divides_by_the_number_of_outcomes(mdp, v, gamma):
    return (mdp.p * (mdp.r + gamma * future(mdp, v))).mean(-1)


@action_values.misconception("What follows is worth v(s_next), the value of where the step leads.")
def takes_the_value_of_the_state_itself(mdp, v, gamma):
    return (mdp.p * (mdp.r + gamma * ~mdp.terminated * v[:, None, None])).sum(-1)


@action_values.misconception(
    "That is the value of the best action; q has a value for every action."
)
def gives_the_best_value_alone(mdp, v, gamma):
    return (mdp.p * (mdp.r + gamma * future(mdp, v))).sum(-1).max(-1)


@action_values.misconception(
    "The mask is upside down: the future counts where the episode goes on."
)
def bootstraps_only_at_the_end(mdp, v, gamma):
    return (mdp.p * (mdp.r + gamma * mdp.terminated * v[mdp.s_next])).sum(-1)


@action_values.misconception(
    "Where one outcome ends, the others of that state go on: mask each outcome by itself."
)
def masks_the_whole_state(mdp, v, gamma):
    on = ~mdp.terminated.any((1, 2), keepdims=True)
    return (mdp.p * (mdp.r + gamma * on * v[mdp.s_next])).sum(-1)


@action_values.control
def values_with_loops(mdp, v, gamma):
    q = np.zeros(mdp.p.shape[:2])
    for s, a, k in np.ndindex(mdp.p.shape):
        after = 0.0 if mdp.terminated[s, a, k] else gamma * v[mdp.s_next[s, a, k]]
        q[s, a] += mdp.p[s, a, k] * (mdp.r[s, a, k] + after)
    return q


@action_values.control
def values_by_einsum(mdp, v, gamma):
    later = np.where(mdp.terminated, 0.0, v[mdp.s_next])
    return np.einsum("sak,sak->sa", mdp.p, mdp.r) + gamma * np.einsum("sak,sak->sa", mdp.p, later)


# ------------------------------------------------------------------------------- sweeps


def no_values(got, shape):
    """What is wrong with an answer that is no array of values; None for one that is."""
    wanted = f"one array of shape {shape}"
    if got is None:
        return f"is None instead of {wanted}: is a `return` missing?"
    try:
        values = np.asarray(got)
    except ValueError:  # ragged
        values = np.asarray(None)
    if values.shape == shape and values.dtype.kind in "fiu":
        return None
    if hasattr(got, "dtype"):
        return f"values of shape {shape} were expected, got {values.dtype} {values.shape}"
    alone = ": return v alone" if isinstance(got, tuple) else ""
    return f"is {kind(got)} instead of {wanted}{alone}"


def near_enough(got, expected, mdp, pi, gamma, tolerance):
    """Right is every v within `tolerance` of the exact values, however it was found."""
    exact = closed_form(mdp, pi, gamma)
    if fault := no_values(got, exact.shape):
        return fault
    error = np.abs(np.asarray(got) - exact)
    if (error <= tolerance * (1 + 1e-9) + 1e-12).all():
        return None
    s = int(np.nanargmax(np.where(np.isnan(error), np.inf, error)))
    return f"v[{s}] is {error[s] / tolerance:.3g} tolerances from the exact value {exact[s]:.6g}"


iterative_evaluation = exercise(
    gridworld.iterative_evaluation,
    judge=near_enough,
    nudge="How far is v from v_π if the last sweep changed it by at most δ, and the next by γ δ?",
)


def evaluation(rng, m, gamma, shift):
    m = m._replace(r=m.r + shift)
    return {"mdp": m, "pi": draw_policy(rng, m), "gamma": gamma}


@iterative_evaluation.check(points=2)
def test_evaluation_brings_the_true_error_below_the_tolerance(rng):
    for sizes, shift, tolerance in (((5, 3, 2), 2.0, 1e-3), ((4, 2, 3), -2.0, 1e-5)):
        m = draw_mdp(rng, *sizes)
        yield evaluation(rng, m, rng.uniform(0.9, 0.96), shift) | {"tolerance": tolerance}


@iterative_evaluation.check(points=1)
def test_evaluation_waits_for_the_slowest_state(rng):
    for n_states, gamma, reward, tolerance in (
        (6, rng.uniform(0.85, 0.95), 1.0, 10 ** rng.uniform(-6, -2)),
        (5, rng.uniform(0.85, 0.95), -1.0, 10 ** rng.uniform(-6, -2)),
        (5, 0.995, -1.0, 1e-4),
        (6, 0.95, 1e3, 1e-3),
        (5, 0.9, 1.0, 1e-10),
    ):
        m = draw_mdp(rng, n_states, 3, 2, ends=6 * n_states)
        slow = rng.integers(n_states)  # goes on for ever, among states that end at once
        m.terminated[slow], m.s_next[slow], m.r[slow] = False, slow, reward
        yield evaluation(rng, m, gamma, 0.0) | {"tolerance": tolerance}


@iterative_evaluation.check(points=1)
def test_evaluation_lets_nothing_follow_an_end(rng):
    for sizes, ends in (((5, 3, 2), 12), ((6, 2, 3), 10)):
        m = draw_mdp(rng, *sizes, ends=ends)
        yield evaluation(rng, m, rng.uniform(0.4, 0.9), rng.normal()) | {"tolerance": 1e-6}


@iterative_evaluation.check(points=1)
def test_evaluation_refuses_what_has_no_error_bound(rng):
    m = draw_mdp(rng, 5, 3, 2, ends=8)
    for gamma, tolerance in (
        (0.6, 1e-3),
        (0.0, 1e-2),
        (1.0, 1e-3),
        (1, 1e-2),
        (1.0001, 1e-3),
        (3.0, 1e-3),
        (np.nan, 1e-3),
        (0.6, np.nan),
        (-1e-4, 1e-3),
        (-0.5, 1e-3),
        (0.6, 0.0),
        (0.6, -1e-6),
        (0.0, 0),
        (0.9, -1.0),
    ):
        yield evaluation(rng, m, gamma, 0.0) | {"tolerance": tolerance}


def refuse(gamma, tolerance):
    if not (0 <= gamma < 1 and tolerance > 0):
        raise ValueError("gamma must lie in [0, 1) and tolerance be positive")


def swept(mdp, pi, gamma, enough, most=5000, ends=None, start=0.0):
    """Sweeps until enough(change) holds; the shared body of what follows."""
    ends = mdp.terminated if ends is None else ends
    p, r = modelled(mdp, weights(mdp, pi) * ~ends, weights(mdp, pi))
    v = np.full(len(pi), start)
    for _ in range(most):
        before, v = v, r + gamma * p @ v
        if enough(v - before):
            break
    return v


@iterative_evaluation.misconception(
    "A small change is not a small error: the rest adds up to γ / (1 - γ) times the last change."
)
def stops_when_little_changes(mdp, pi, gamma, tolerance):
    refuse(gamma, tolerance)
    return swept(mdp, pi, gamma, lambda d: np.abs(d).max() <= tolerance)


@iterative_evaluation.misconception(
    "Values may fall as well as rise: take the size of the change, abs, before the maximum."
)
def forgets_the_size_of_a_negative_change(mdp, pi, gamma, tolerance):
    refuse(gamma, tolerance)
    return swept(mdp, pi, gamma, lambda d: gamma * d.max() <= (1 - gamma) * tolerance)


@iterative_evaluation.misconception(
    "The mean change hides the slowest state: the bound wants the largest."
)
def watches_the_mean_change(mdp, pi, gamma, tolerance):
    refuse(gamma, tolerance)
    return swept(mdp, pi, gamma, lambda d: gamma * np.abs(d).mean() <= (1 - gamma) * tolerance)


@iterative_evaluation.misconception(
    "A fixed number of sweeps promises nothing: the tolerance must decide when to stop."
)
def sweeps_a_fixed_number_of_times(mdp, pi, gamma, tolerance):
    refuse(gamma, tolerance)
    return swept(mdp, pi, gamma, lambda d: False, most=50)


@iterative_evaluation.misconception(
    "A cap on the sweeps breaks the promise silently: near γ = 1 a thousand are not enough."
)
def gives_up_after_a_thousand_sweeps(mdp, pi, gamma, tolerance):
    refuse(gamma, tolerance)
    bound = (1 - gamma) * tolerance
    return swept(mdp, pi, gamma, lambda d: gamma * np.abs(d).max() <= bound, most=1000)


@iterative_evaluation.misconception(
    "The bound is γ / (1 - γ), large near γ = 1; you used it upside down."
)
def turns_the_bound_upside_down(mdp, pi, gamma, tolerance):
    refuse(gamma, tolerance)
    return swept(mdp, pi, gamma, lambda d: (1 - gamma) * np.abs(d).max() <= gamma * tolerance)


@iterative_evaluation.misconception(
    "That is value iteration: evaluating π averages over its actions instead of taking the best."
)
def takes_the_best_action(mdp, pi, gamma, tolerance):
    refuse(gamma, tolerance)
    return gridworld.value_iteration(mdp, gamma, tolerance).v


@iterative_evaluation.misconception("The bound is for v after the sweep: return the new v.")
def returns_the_values_before_the_last_sweep(mdp, pi, gamma, tolerance):
    refuse(gamma, tolerance)
    p, r = modelled(mdp, weights(mdp, pi) * ~mdp.terminated, weights(mdp, pi))
    v, change = np.zeros(len(pi)), np.inf
    while gamma * change > (1 - gamma) * tolerance:
        before, v = v, r + gamma * p @ v
        change = np.abs(v - before).max()
    return before


@iterative_evaluation.misconception(
    "before and v are one array, so the change is always 0: make a new array, not v[:] = ..."
)
def compares_an_array_with_itself(mdp, pi, gamma, tolerance):
    refuse(gamma, tolerance)
    return swept(mdp, pi, gamma, lambda d: True)


@iterative_evaluation.misconception("Where the episode ended nothing follows: mask v(s_next).")
def sweeps_past_the_end(mdp, pi, gamma, tolerance):
    refuse(gamma, tolerance)
    bound = (1 - gamma) * tolerance
    never = np.zeros_like(mdp.terminated)
    return swept(mdp, pi, gamma, lambda d: gamma * np.abs(d).max() <= bound, ends=never)


@iterative_evaluation.misconception(
    "Say what is wrong: raise ValueError unless 0 <= γ < 1 and the tolerance is positive."
)
def believes_any_gamma(mdp, pi, gamma, tolerance):
    return swept(mdp, pi, gamma, lambda d: gamma * np.abs(d).max() <= (1 - gamma) * tolerance)


@iterative_evaluation.control
def solves_at_once(mdp, pi, gamma, tolerance):
    refuse(gamma, tolerance)
    return closed_form(mdp, pi, gamma)


@iterative_evaluation.control
def sweeps_in_place(mdp, pi, gamma, tolerance):
    refuse(gamma, tolerance)
    v, change = np.zeros(len(pi)), np.inf
    while change > (1 - gamma) * tolerance:
        change = 0.0
        for s in range(len(v)):
            after = mdp.r[s] + gamma * np.where(mdp.terminated[s], 0, v[mdp.s_next[s]])
            new = (pi[s, :, None] * mdp.p[s] * after).sum()
            change, v[s] = max(change, abs(new - v[s])), new
    return v


@iterative_evaluation.control
def counts_the_sweeps_beforehand(mdp, pi, gamma, tolerance):
    refuse(gamma, tolerance)
    p, r = modelled(mdp, weights(mdp, pi) * ~mdp.terminated, weights(mdp, pi))
    bound, v = np.abs(r).max() / (1 - gamma), np.zeros(len(pi))
    while bound > tolerance:
        v, bound = r + gamma * p @ v, gamma * bound
    return v
