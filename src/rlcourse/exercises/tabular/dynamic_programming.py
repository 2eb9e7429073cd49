"""The six exercises of the dynamic programming chapter: the two halves of policy iteration, policy
iteration itself, the error bounds, sweeps in place, and what new rewards do to the values.

Axes differ in size and vary: S states, A actions, K outcomes; N policies.
"""

import numpy as np

from rlcourse.exercises.tabular.gridworld import draw_mdp, with_a_rare_fortune
from rlcourse.grading import exercise
from rlcourse.grading.compare import kind
from rlcourse.tabular import asynchronous
from rlcourse.tabular import dynamic_programming as dp
from rlcourse.tabular.dynamic_programming import Bounds, OptimalPolicy
from rlcourse.tabular.gridworld import closed_form
from rlcourse.tabular.mdp import MDP, deterministic_policy, uniform_policy

# ------------------------------------------------------------------------------- affine values

affine_values = exercise(
    dp.affine_values,
    nudge="A reward of 1 more in each step, for ever: what is that worth from here on?",
    worked={"v": np.array([3.0, -1.0]), "gamma": 0.5, "scale": 2.0, "shift": 4.0},
)


def affine(rng, n_states, gamma, size=3.0):
    return {
        "v": size * rng.normal(size=n_states),
        "gamma": gamma,
        "scale": rng.uniform(0.2, 3.0),
        "shift": rng.uniform(0.5, 2.0) * (1 if rng.random() < 0.5 else -1),
    }


@affine_values.check(points=2)
def test_affine_values_earn_the_shift_again_in_every_step(rng):
    for n_states in (7, 4):
        yield affine(rng, n_states, rng.uniform(0.3, 0.95))
    yield affine(rng, 5, rng.uniform(0.99, 0.995))


@affine_values.check(points=1)
def test_affine_values_hold_for_one_state_for_many_and_for_large_values(rng):
    yield affine(rng, 1, rng.uniform(0.3, 0.95))
    yield affine(rng, 300, rng.uniform(0.3, 0.95))
    yield affine(rng, 6, 0.995, size=1e4)
    yield affine(rng, 8, rng.uniform(0.3, 0.95)) | {"shift": rng.uniform(-2e4, -1e4)}
    yield affine(rng, 3, 0.9999) | {"scale": rng.uniform(50, 99)}
    yield affine(rng, 7, rng.uniform(0.3, 0.95)) | {"scale": 1}
    some = affine(rng, 9, rng.uniform(0.3, 0.95))
    yield some | {"v": some["v"] * (np.arange(9) % 2)}  # a value of 0 is one like any other


@affine_values.check(points=1)
def test_affine_values_of_rewards_that_nothing_follows_are_the_rewards_scaled_and_shifted(rng):
    """at gamma zero the values are the rewards, and so is what becomes of them"""
    for gamma, n_states in ((0.0, 5), (0, 6)):
        yield affine(rng, n_states, gamma)
        yield affine(rng, n_states + 3, gamma) | {"shift": 0.0}


@affine_values.check(points=1)
def test_affine_values_refuse_a_scale_that_is_not_positive(rng):
    for scale in (0.0, 0, -1e-6, -1, -2.5, np.nan):
        yield affine(rng, 5, rng.uniform(0.3, 0.95)) | {"scale": scale}
    for scale in (1e-6, 1e-3, 40):
        yield affine(rng, 4, rng.uniform(0.93, 0.98)) | {"scale": scale}


@affine_values.check(points=1)
def test_affine_values_refuse_gammas_without_a_finite_sum(rng):
    for gamma in (1.0, 1, 1.0001, 3.0, -1e-4, -0.5, np.nan):
        yield affine(rng, 5, gamma)
        yield affine(rng, 4, gamma) | {"shift": 0.0}
    for gamma in (0.0, 1e-4, 0.999):
        yield affine(rng, 4, gamma)


def refuse(gamma, scale):
    if not (0 <= gamma < 1 and scale > 0):
        raise ValueError("gamma must lie in [0, 1) and scale be positive")


@affine_values.misconception(
    "The shift comes again in every step: 1 + γ + γ² + … = 1 / (1 - γ) times."
)
def adds_the_shift_once(v, gamma, scale, shift):
    refuse(gamma, scale)
    return scale * v + shift


@affine_values.misconception("The rewards are scale · r + shift: the shift itself is not scaled.")
def scales_the_shift_too(v, gamma, scale, shift):
    refuse(gamma, scale)
    return scale * (v + shift / (1 - gamma))


@affine_values.misconception(
    "The first step earns the shift as well: the sum begins with 1, not with γ."
)
def begins_a_step_too_late(v, gamma, scale, shift):
    refuse(gamma, scale)
    return scale * v + shift * gamma / (1 - gamma)


@affine_values.misconception(
    "The best actions don't notice the shift, but the values do: add shift / (1 - γ)."
)
def ignores_the_shift(v, gamma, scale, shift):
    refuse(gamma, scale)
    return scale * v


@affine_values.misconception("1 + γ + γ² + … is 1 / (1 - γ): divide, don't multiply.")
def multiplies_by_one_minus_gamma(v, gamma, scale, shift):
    refuse(gamma, scale)
    return scale * v + shift * (1 - gamma)


@affine_values.misconception(
    "The episodes never end: a sum cut off after some steps misses what comes later."
)
def sums_a_hundred_steps(v, gamma, scale, shift):
    refuse(gamma, scale)
    return scale * v + shift * sum(gamma**t for t in range(100))


@affine_values.misconception(
    "A negative scale turns best into worst, and 0 makes all alike: raise ValueError."
)
def believes_any_scale(v, gamma, scale, shift):
    refuse(gamma, 1)
    return scale * v + shift / (1 - gamma)


@affine_values.misconception("Say what is wrong: raise ValueError unless 0 <= γ < 1.")
def believes_any_gamma(v, gamma, scale, shift):
    refuse(0, scale)
    return scale * v + shift / (1 - gamma)


@affine_values.misconception("γ must be right even where no shift needs it: check it first.")
def checks_gamma_only_to_shift(v, gamma, scale, shift):
    refuse(gamma if shift else 0, scale)
    return scale * v + (shift / (1 - gamma) if shift else 0)


@affine_values.misconception(
    "No state is terminal here, since episodes never end: a value of 0 is shifted like all others."
)
def leaves_zeros_alone(v, gamma, scale, shift):
    refuse(gamma, scale)
    return np.where(v == 0, 0.0, scale * v + shift / (1 - gamma))


@affine_values.misconception("Only scale <= 0 is refused: γ = 0 is a fair discount.")
def refuses_gamma_zero(v, gamma, scale, shift):
    if not 0 < gamma < 1:
        raise ValueError("gamma must lie in (0, 1)")
    return dp.affine_values(v, gamma, scale, shift)


@affine_values.control
def affine_state_by_state(v, gamma, scale, shift):
    refuse(gamma, scale)
    constant = np.linalg.solve([[1.0 - gamma]], [float(shift)])[0]
    return [constant + scale * value for value in v.tolist()]


@affine_values.control
def affine_by_undoing_the_discount(v, gamma, scale, shift):
    refuse(gamma, scale)
    return (scale * v * (1 - gamma) + shift) / (1 - gamma)


# ------------------------------------------------------------------------------- improvement


def no_actions(got, shape, n_actions):
    """What is wrong with an answer that is no array of actions; None for one that is.

    A letter in the shape stands for any positive size.
    """
    wanted = f"actions of shape ({', '.join(map(str, shape))}{',' * (len(shape) == 1)})"
    if got is None:
        return f"is None instead of {wanted}: is a `return` missing?"
    try:
        array = np.asarray(got)
    except ValueError:  # ragged
        return f"is {kind(got)} instead of {wanted}"
    if array.dtype.kind not in "biuf":
        return f"is {kind(got)} instead of {wanted}"
    fits = len(array.shape) == len(shape) and all(
        n > 0 if isinstance(e, str) else n == e for n, e in zip(array.shape, shape, strict=True)
    )
    if not fits or array.dtype.kind not in "iu":
        return f"{wanted} were expected, got {array.dtype} {array.shape}"
    odd = array[(array < 0) | (array >= n_actions)]
    return f"{odd[0]} is no action: there are {n_actions}, from 0" if odd.size else None


def improved(got, expected, q, a, tolerance=1e-9):
    """Right is a(s) where it ties with the best, and any action of greatest q elsewhere."""
    if fault := no_actions(got, a.shape, q.shape[1]):
        return fault
    got, s, best = np.asarray(got), np.arange(len(a)), q.max(-1)
    kept = q[s, a] >= best - tolerance
    if len(odd := np.flatnonzero(kept & (got != a))):
        return (
            f"[{odd[0]}] is {got[odd[0]]} instead of {a[odd[0]]}, which is among the best already"
        )
    short = best - q[s, got] > 1e-9 * np.maximum(1, np.abs(best))
    if len(odd := np.flatnonzero(~kept & short)):
        return (
            f"[{odd[0]}] is {got[odd[0]]}, where q is {q[odd[0], got[odd[0]]]:.6g};"
            f" action {q[odd[0]].argmax()} has {best[odd[0]]:.6g}"
        )
    return None


policy_improvement = exercise(
    dp.policy_improvement,
    judge=improved,
    nudge="In which states is there nothing to gain? What must happen there?",
    worked={
        "q": np.array([[1.0, 2.0, 2.0], [3.0, 0.0, 1.0], [-1.0, -3.0, -2.0]]),
        "a": np.array([2, 1, 0]),
        "tolerance": 1e-9,
    },
)


def draw_actions(rng, n_states, n_actions):
    return rng.integers(n_actions, size=n_states)


def ties(rng, n_states, n_actions, size=1.0, rounding=0.0):
    """Values whose best two or three tie, or nearly so; a is one of them in most states."""
    q = size * rng.normal(size=(n_states, n_actions))
    a = draw_actions(rng, n_states, n_actions)
    for s in range(n_states - 2):
        best = rng.permutation(n_actions)[: rng.integers(2, 4)]
        q[s, best] = q[s].max()
        a[s] = best[0]
        q[s, a[s]] -= rounding
    return {"q": q, "a": a}


@policy_improvement.check(points=2)
def test_improvement_takes_an_action_of_greatest_value_where_there_is_a_better_one(rng):
    for n_states, n_actions in ((7, 3), (4, 8), (12, 2)):
        q = rng.normal(size=(n_states, n_actions))
        yield {"q": q, "a": q.argmin(-1)}
        yield {"q": q - q.max() - 1, "a": draw_actions(rng, n_states, n_actions)}
        yield {"q": 1e4 * q, "a": draw_actions(rng, n_states, n_actions)}
    q[:, 0] = q[:, 1] = q.max() + 1e-3  # two alike, and a third one worse
    yield {"q": np.hstack([q, -q[:, :1]]), "a": np.full(12, 2), "tolerance": 1e-6}


@policy_improvement.check(points=2)
def test_improvement_keeps_an_action_that_ties_with_the_best(rng):
    for n_states, n_actions in ((8, 3), (5, 7)):
        yield ties(rng, n_states, n_actions)
        yield ties(rng, n_states, n_actions) | {"tolerance": 0.0}
        yield ties(rng, n_states, n_actions, rounding=1e-13)
        yield ties(rng, n_states, n_actions, size=1e4, rounding=1e-10)


@policy_improvement.check(points=1)
def test_improvement_takes_the_tolerance_for_what_still_ties(rng):
    for n_states, n_actions in ((30, 4), (9, 7)):
        for tolerance in (0.5, 0.25, 1.0, 1):
            q = rng.integers(-8, 9, size=(n_states, n_actions)) / 4.0
            yield {
                "q": q,
                "a": draw_actions(rng, n_states, n_actions),
                "tolerance": tolerance,
            }
        yield ties(rng, n_states, n_actions, rounding=1e-13) | {"tolerance": 1e-3}


@policy_improvement.check(points=1)
def test_improvement_sees_a_small_gain_of_a_large_value(rng):
    for size, gain in ((1e4, 1e-3), (-1e4, 1e-3), (1e4, 1e-6), (3.0, 1e-7)):
        q = size + gain * rng.permuted(np.tile(np.arange(5), (8, 1)), axis=1)
        yield {"q": q, "a": draw_actions(rng, 8, 5)}


@policy_improvement.check(points=1)
def test_improvement_takes_one_state_or_many_and_one_action_or_many(rng):
    for n_states, n_actions in ((1, 6), (400, 3), (2, 9)):
        q = rng.normal(size=(n_states, n_actions))
        yield {"q": q, "a": q.argmin(-1)}
    yield {"q": rng.normal(size=(5, 1)), "a": np.zeros(5, int)}
    whole = rng.permuted(np.tile(np.arange(-3, 1), (6, 1)), axis=1)
    yield {"q": whole, "a": draw_actions(rng, 6, 4)}


def of_actions(q, a):
    return q[np.arange(len(a)), a]


@policy_improvement.misconception(
    "Where a ties with the best there is nothing to gain: keep it, or two equal policies take turns"
    " for ever."
)
def takes_the_first_of_the_best(q, a, tolerance=1e-9):
    return q.argmax(-1)


@policy_improvement.misconception(
    "Equal values that were summed in another order differ in their last bits: compare with the"
    " tolerance."
)
def compares_to_the_last_bit(q, a, tolerance=1e-9):
    return np.where(of_actions(q, a) == q.max(-1), a, q.argmax(-1))


@policy_improvement.misconception(
    "Each state decides for itself: keep its action where it ties, whatever others do."
)
def keeps_all_or_none(q, a, tolerance=1e-9):
    kept = of_actions(q, a) >= q.max(-1) - tolerance
    return a if kept.all() else q.argmax(-1)


@policy_improvement.misconception(
    "The tolerance decides whether a stays; what replaces it is the very best, not the first within"
    " the tolerance."
)
def takes_the_first_within_the_tolerance(q, a, tolerance=1e-9):
    near = q >= q.max(-1, keepdims=True) - tolerance
    return np.where(of_actions(near, a), a, near.argmax(-1))


@policy_improvement.misconception(
    "np.isclose adds 1e-5 of the value itself: large values then tie. The tolerance is absolute."
)
def calls_large_values_close(q, a, tolerance=1e-9):
    kept = np.isclose(of_actions(q, a), q.max(-1), atol=tolerance)
    return np.where(kept, a, q.argmax(-1))


@policy_improvement.misconception(
    "An action exactly `tolerance` below the best still ties, and with tolerance 0 equal ones do:"
    " >=, not >."
)
def wants_less_than_the_tolerance(q, a, tolerance=1e-9):
    return np.where(of_actions(q, a) > q.max(-1) - tolerance, a, q.argmax(-1))


@policy_improvement.misconception("The caller says what ties: use the argument tolerance.")
def has_a_tolerance_of_its_own(q, a, tolerance=1e-9):
    return dp.policy_improvement(q, a, 1e-9)


@policy_improvement.misconception("Larger q is better: argmax, also where all are negative.")
def takes_the_worst(q, a, tolerance=1e-9):
    return np.where(of_actions(q, a) <= q.min(-1) + tolerance, a, q.argmin(-1))


@policy_improvement.misconception(
    "Those are the values of the best actions; asked are the actions."
)
def gives_the_values(q, a, tolerance=1e-9):
    return np.maximum(of_actions(q, a), q.max(-1))


@policy_improvement.misconception("One action for each state, (S,), not a table of probabilities.")
def gives_probabilities(q, a, tolerance=1e-9):
    return np.eye(q.shape[1])[dp.policy_improvement(q, a, tolerance)]


@policy_improvement.control
def improves_state_by_state(q, a, tolerance=1e-9):
    better = []
    for row, action in zip(q.tolist(), a.tolist(), strict=True):
        tied = max(row) - row[action] <= tolerance
        better.append(action if tied else row.index(max(row)))
    return better


@policy_improvement.control
def improves_to_the_last_of_the_best(q, a, tolerance=1e-9):
    last = q.shape[1] - 1 - q[:, ::-1].argmax(-1)
    return np.where((q - of_actions(q, a)[:, None] <= tolerance).all(-1), a, last)


# ------------------------------------------------------------------------------- what MDPs share


def backed_up(mdp, v, gamma, ends=None):
    ends = mdp.terminated if ends is None else ends
    return (mdp.p * (mdp.r + gamma * ~ends * v[mdp.s_next])).sum(-1)


def never(mdp):
    return np.zeros_like(mdp.terminated)


SMALL = MDP(
    np.array([[[0], [1]], [[0], [1]]]),
    np.ones((2, 2, 1)),
    np.array([[[0.0], [1.0]], [[4.0], [2.0]]]),
    np.array([[[False], [False]], [[True], [False]]]),
)

# ------------------------------------------------------------------------------- evaluation

truncated_evaluation = exercise(
    dp.truncated_evaluation,
    nudge="One sweep looks one step ahead. From which values does the next sweep begin?",
    worked={
        "mdp": SMALL,
        "a": np.array([1, 0]),
        "v": np.array([2.0, 0.0]),
        "gamma": 0.5,
        "j": 2,
    },
)


def evaluation(rng, m, j, gamma=None, size=3.0):
    return {
        "mdp": m,
        "a": draw_actions(rng, *m.p.shape[:2]),
        "v": size * rng.normal(size=len(m.p)),
        "gamma": rng.uniform(0.5, 0.95) if gamma is None else gamma,
        "j": j,
    }


@truncated_evaluation.check(points=2)
def test_truncated_evaluation_sweeps_j_times_under_the_policy(rng):
    for sizes, j in (((5, 3, 2), 2), ((6, 2, 4), 3), ((4, 7, 2), 5), ((9, 2, 8), 1)):
        yield evaluation(rng, draw_mdp(rng, *sizes), j)
    yield evaluation(rng, with_a_rare_fortune(draw_mdp(rng, 5, 3, 2)), 4)


@truncated_evaluation.check(points=1)
def test_truncated_evaluation_with_no_sweep_is_where_it_began(rng):
    for sizes in ((5, 3, 2), (4, 2, 3)):
        yield evaluation(rng, draw_mdp(rng, *sizes), 0)
        yield evaluation(rng, draw_mdp(rng, *sizes), 1)


@truncated_evaluation.check(points=1)
def test_truncated_evaluation_lets_nothing_follow_an_end_but_keeps_its_reward(rng):
    for sizes, ends, j in (((5, 3, 2), 12, 2), ((6, 2, 3), 14, 3), ((7, 4, 1), 14, 1)):
        yield evaluation(rng, draw_mdp(rng, *sizes, ends=ends), j)


@truncated_evaluation.check(points=1)
def test_truncated_evaluation_holds_for_any_number_of_sweeps_states_and_actions(rng):
    for sizes, j in (((1, 3, 2), 2), ((5, 1, 3), 3), ((6, 4, 1), 2), ((120, 3, 2), 2)):
        yield evaluation(rng, draw_mdp(rng, *sizes), j)
    yield evaluation(rng, draw_mdp(rng, 4, 3, 2), 150, 0.995)
    yield evaluation(rng, draw_mdp(rng, 3, 2, 4), 40, size=1e4)
    slow = draw_mdp(rng, 5, 3, 2)  # little changes in each sweep, much in all
    slow = slow._replace(r=rng.uniform(0.6, 0.8, size=slow.r.shape))
    yield evaluation(rng, slow, 300, 0.99999) | {"v": 5e4 + 0.01 * rng.normal(size=5)}


@truncated_evaluation.check(points=1)
def test_truncated_evaluation_holds_at_gamma_one_and_zero_and_for_large_values(rng):
    for sizes, gamma in (((5, 3, 2), 1.0), ((4, 2, 3), 0.0), ((5, 2, 3), 1), ((4, 3, 2), 0)):
        m = draw_mdp(rng, *sizes, ends=4)
        yield evaluation(rng, m, 2, gamma, size=1e4)
        case = evaluation(rng, m._replace(r=1e4 * m.r), 3, gamma)
        yield case | {"v": -np.abs(case["v"]) - 1}


def follows(mdp, a, v, gamma, ends=None):
    """One sweep under the policy a."""
    return of_actions(backed_up(mdp, v, gamma, ends), a)


@truncated_evaluation.misconception("The episode ended: nothing follows, v(s_next) does not count.")
def evaluates_past_the_end(mdp, a, v, gamma, j):
    for _ in range(j):
        v = follows(mdp, a, v, gamma, never(mdp))
    return v


@truncated_evaluation.misconception("The last reward is real: an end cuts off the future alone.")
def drops_the_last_reward(mdp, a, v, gamma, j):
    m = mdp._replace(r=mdp.r * ~mdp.terminated)
    return dp.truncated_evaluation(m, a, v, gamma, j)


@truncated_evaluation.misconception(
    "That is value iteration: evaluation follows the policy a, good or bad."
)
def takes_the_best_action_in_each_sweep(mdp, a, v, gamma, j):
    for _ in range(j):
        v = backed_up(mdp, v, gamma).max(-1)
    return v


@truncated_evaluation.misconception("j sweeps are j, not j + 1: `v` is where they begin.")
def sweeps_once_too_often(mdp, a, v, gamma, j):
    return dp.truncated_evaluation(mdp, a, v, gamma, j + 1)


@truncated_evaluation.misconception("range(1, j) holds j - 1 numbers: sweep j times.")
def sweeps_once_too_little(mdp, a, v, gamma, j):
    return dp.truncated_evaluation(mdp, a, v, gamma, max(0, j - 1))


@truncated_evaluation.misconception("j = 0 asks for no sweep at all: return the values of v.")
def sweeps_at_least_once(mdp, a, v, gamma, j):
    return dp.truncated_evaluation(mdp, a, v, gamma, max(1, j))


@truncated_evaluation.misconception(
    "Begin with v, not with 0: the values of the policy before are what makes few sweeps enough."
)
def begins_with_zeros(mdp, a, v, gamma, j):
    return dp.truncated_evaluation(mdp, a, 0 * v, gamma, j)


@truncated_evaluation.misconception(
    "Within a sweep all states look at the old v: write the new values into another array."
)
def sweeps_state_by_state(mdp, a, v, gamma, j):
    v = v.copy()
    for _ in range(j):
        for s, action in enumerate(a):
            v[s] = backed_up(mdp, v, gamma)[s, action]
    return v


@truncated_evaluation.misconception("v is the caller's: v[:] = … changes it. Make a new array.")
def sweeps_over_the_given_array(mdp, a, v, gamma, j):
    for _ in range(j):
        v[:] = follows(mdp, a, v, gamma)
    return v


@truncated_evaluation.misconception(
    "j says when to stop, not the change: many small changes are a large one."
)
def stops_when_little_changes(mdp, a, v, gamma, j):
    for _ in range(j):
        before, v = v, follows(mdp, a, v, gamma)
        if np.allclose(v, before):
            break
    return v


@truncated_evaluation.misconception(
    "Evaluation is truncated: stop after j sweeps, don't solve for v_π."
)
def evaluates_to_the_end(mdp, a, v, gamma, j):
    for _ in range(600 if j else 0):
        v = follows(mdp, a, v, gamma)
    return v


@truncated_evaluation.misconception(
    "The rewards of all j steps count, each discounted: sweep j times with γ, not once with γ^j."
)
def discounts_j_steps_at_once(mdp, a, v, gamma, j):
    return follows(mdp, a, v, gamma**j) if j else v


@truncated_evaluation.control
def evaluates_by_recursion(mdp, a, v, gamma, j):
    if j == 0:
        return v.copy()
    return follows(mdp, a, evaluates_by_recursion(mdp, a, v, gamma, j - 1), gamma)


@truncated_evaluation.control
def evaluates_with_a_matrix(mdp, a, v, gamma, j):
    n_states, _, n_outcomes = mdp.p.shape
    p, r = np.zeros((n_states, n_states)), np.zeros(n_states)
    for s in range(n_states):
        for k in range(n_outcomes):
            w = mdp.p[s, a[s], k]
            r[s] += w * mdp.r[s, a[s], k]
            if not mdp.terminated[s, a[s], k]:
                p[s, mdp.s_next[s, a[s], k]] += w
    for _ in range(j):
        v = r + gamma * (p @ v)
    return v


# ------------------------------------------------------------------------------- policy iteration


def best_of_all(got, expected, mdp, gamma, a=None):
    """Right is an optimal policy with its exact values, reached by full improvements.

    Where several actions tie any of them is right, on the way as well as at the end; but a policy
    that nothing improves is the last one.
    """
    if not {"v", "a", "policies"} <= {*getattr(got, "_fields", ())}:
        return f"is {kind(got)} instead of OptimalPolicy(v, a, policies)"
    n_states, n_actions, _ = mdp.p.shape
    for name, shape in (("a", (n_states,)), ("policies", ("N", n_states))):
        if fault := no_actions(getattr(got, name), shape, n_actions):
            return f".{name}: {fault}"
    v, last, policies = np.asarray(got.v), np.asarray(got.a), np.asarray(got.policies)
    if v.shape != (n_states,) or v.dtype.kind not in "fiu":
        return f".v: values of shape ({n_states},) were expected, got {v.dtype} {v.shape}"
    scale = max(1.0, float(np.abs(expected.v).max()))
    if fault := not_on_the_way(policies, mdp, gamma, a):
        return fault
    if (last != policies[-1]).any():
        return ".a is not the last of .policies"
    off = ~(np.abs(v - expected.v) <= 1e-9 * scale)
    if off.any():
        s = int(np.flatnonzero(off)[0])
        return f".v[{s}] {v[s]:.12g} instead of {expected.v[s]:.12g}"
    return None


def not_on_the_way(policies, mdp, gamma, a):
    """What is wrong with policies, of which each is to be greedy for the values before it."""
    if a is not None and (policies[0] != a).any():
        return ".policies[0] is not the first policy, a, that was given"
    same = (policies[1:] == policies[:-1]).all(-1)
    if same.any():
        return f".policies[{1 + same.argmax()}] repeats the one before: each stands there once"
    names = [f".policies[{i}]" for i in range(len(policies))]
    steps = [*zip(names, np.eye(mdp.p.shape[1])[policies], policies[1:], strict=False)]
    steps += [(names[-1], np.eye(mdp.p.shape[1])[policies[-1]], policies[-1])]
    if a is None:
        steps = [("the uniform policy", uniform_policy(mdp), policies[0]), *steps]
    for whose, pi, actions in steps:
        v = closed_form(mdp, pi, gamma)
        q, scale = backed_up(mdp, v, gamma), max(1.0, np.abs(v).max())
        short = q.max(-1) - of_actions(q, actions) > 1e-8 * scale
        if short.any():
            s = int(short.argmax())
            return (
                f"{whose} is followed by action {actions[s]} in state {s},"
                f" of q {q[s, actions[s]]:.6g}; action {q[s].argmax()} has {q[s].max():.6g}"
            )
        gain = (q.max(-1) - (pi * q).sum(-1)).max()
        if whose in names[:-1] and gain <= 1e-11 * scale:
            return f"{whose} is best already: nothing but ties can change, so stop there"
    return None


policy_iteration = exercise(
    dp.policy_iteration,
    judge=best_of_all,
    nudge="You have its exact values: where would one step of another action be better?",
    worked={"mdp": SMALL, "gamma": 0.5, "a": np.array([0, 1])},
)


def corridor(rng, n_states, n_actions, reward, cost, ends=False):
    """One action of each state leads one room on, the others stay; the last room pays."""
    place, on = rng.permutation(n_states), rng.integers(n_actions, size=n_states)
    s = np.arange(n_states)
    s_next = np.tile(s[:, None, None], (1, n_actions, 1))
    r = np.full(s_next.shape, -cost)
    s_next[place[:-1], on[place[:-1]], 0] = place[1:]
    r[s, on, 0] = -2 * cost
    r[place[-1], on[place[-1]], 0] = reward
    terminated = np.zeros(s_next.shape, bool)
    if ends:  # whatever state is named there, nothing follows
        terminated[place[-1], on[place[-1]], 0] = True
        s_next[place[-1], on[place[-1]], 0] = place[0]
    return MDP(s_next, np.ones(s_next.shape), r, terminated), on


def with_what_never_happens(m):
    """A second outcome of each action, of probability 0, that ends."""
    doubled = MDP(*(np.concatenate([x, x], axis=-1) for x in m))
    doubled.p[..., 1], doubled.terminated[..., 1] = 0.0, True
    return doubled


def alike(rng, n_states, n_actions, n_outcomes, apart=0.0):
    """All actions of a state are one, its outcomes in another order: they tie but for rounding."""
    s = np.arange(n_states)[:, None, None]
    order = np.argsort(rng.random((n_states, n_actions, n_outcomes)))
    s_next = np.argsort(rng.random((n_states, n_states)))[:, :n_outcomes][s, order]
    p = rng.dirichlet(np.ones(n_outcomes), size=n_states)[s, order]
    r = rng.normal(size=(n_states, n_outcomes))[s, order]
    return MDP(s_next, p, r + apart * rng.normal(size=p.shape), np.zeros(p.shape, bool))


def large(m):
    """Values far below 0, but for one of a state that ends at once, for nothing."""
    m = m._replace(r=1e6 * (m.r - 3))
    m.terminated[0], m.r[0] = True, 0.0
    return m


def with_an_end(m):
    """Whatever is done may end: every policy is finite at gamma = 1."""
    m.terminated[..., -1] = True
    return m


@policy_iteration.check(points=2)
def test_policy_iteration_finds_a_policy_that_none_beats_and_its_exact_values(rng):
    for sizes in ((5, 3, 2), (6, 2, 4), (9, 7, 2), (4, 3, 8)):
        m = draw_mdp(rng, *sizes)
        yield {"mdp": m, "gamma": rng.uniform(0.3, 0.95)}
        yield {"mdp": m._replace(r=m.r - 9), "gamma": 0.995, "a": draw_actions(rng, *sizes[:2])}
    m = with_a_rare_fortune(draw_mdp(rng, 7, 3, 2))
    yield {"mdp": m, "gamma": rng.uniform(0.3, 0.95), "a": None}
    yield {"mdp": alike(rng, 7, 3, 4, apart=1e-6), "gamma": 0.9}
    yield {"mdp": draw_mdp(rng, 70, 3, 2), "gamma": rng.uniform(0.3, 0.95)}
    for sizes in ((1, 9, 4), (8, 1, 3)):
        yield {"mdp": draw_mdp(rng, *sizes), "gamma": 0.995, "a": draw_actions(rng, *sizes[:2])}


@policy_iteration.check(points=2)
def test_policy_iteration_improves_in_every_state_each_time_and_keeps_all_policies(rng):
    for n_states, n_actions, gamma in ((12, 3, 0.9), (25, 2, 0.95), (4, 7, rng.uniform(0.6, 0.9))):
        m, on = corridor(rng, n_states, n_actions, rng.uniform(50, 99), rng.uniform(0.01, 0.02))
        yield {"mdp": m, "gamma": gamma, "a": (on + 1) % n_actions}
        yield {"mdp": m, "gamma": gamma, "a": [*map(int, on)]}
        yield {"mdp": m, "gamma": gamma, "a": 0 * on}
        m = draw_mdp(rng, n_states, n_actions, 5)
        yield {"mdp": m, "gamma": gamma, "a": (m.p * m.r).sum(-1).argmin(-1)}
        yield {"mdp": m, "gamma": gamma}


@policy_iteration.check(points=1)
def test_policy_iteration_stops_at_a_policy_that_ties_with_the_best(rng):
    for sizes in ((6, 4, 1), (9, 3, 1)):
        m = alike(rng, *sizes)
        yield {"mdp": m, "gamma": rng.uniform(0.3, 0.95), "a": draw_actions(rng, *sizes[:2])}
        m, on = corridor(rng, *sizes[:2], rng.uniform(50, 99), 0.01)
        twins = MDP(*(np.repeat(x, 2, axis=1) for x in m))
        yield {"mdp": twins, "gamma": rng.uniform(0.7, 0.95), "a": 2 * on + 1}
        yield {"mdp": twins, "gamma": 0.0, "a": 2 * on}


@policy_iteration.check(points=1)
def test_policy_iteration_stops_where_values_tie_up_to_rounding_small_or_large(rng):
    for sizes, gamma in (((40, 7, 8), 0.995), ((30, 6, 5), 0.9)):
        yield {"mdp": alike(rng, *sizes), "gamma": gamma}
        yield {"mdp": large(alike(rng, *sizes)), "gamma": gamma}
        yield {"mdp": large(alike(rng, *sizes)), "gamma": gamma, "a": draw_actions(rng, *sizes[:2])}


@policy_iteration.check(points=1)
def test_policy_iteration_lets_nothing_follow_an_end_and_then_takes_gamma_one(rng):
    for sizes in ((5, 3, 2), (7, 2, 3), (1, 3, 2), (6, 1, 2)):
        yield {"mdp": draw_mdp(rng, *sizes, ends=sizes[0]), "gamma": rng.uniform(0.6, 0.95)}
        m = with_an_end(draw_mdp(rng, *sizes))
        yield {"mdp": m, "gamma": 1.0}
        yield {"mdp": m._replace(r=-1e4 * np.abs(m.r)), "gamma": 1}
        yield {"mdp": m, "gamma": 0.0, "a": draw_actions(rng, *sizes[:2])}
    m, on = corridor(rng, 9, 3, -1.0, 0.7, ends=True)
    yield {"mdp": m, "gamma": 1.0, "a": on}
    yield {"mdp": with_what_never_happens(m), "gamma": 1.0}


@policy_iteration.check(points=1)
def test_policy_iteration_refuses_gammas_and_policies_without_finite_values(rng):
    m = with_an_end(draw_mdp(rng, 5, 3, 2))
    for gamma in (-1e-4, -0.5, 1.0001, 3.0, np.nan, 0.0, 0.999, 1):
        yield {"mdp": m, "gamma": gamma}
        yield {"mdp": m, "gamma": gamma, "a": draw_actions(rng, 5, 3)}
    for reward in (-3.0, 2.0):
        m, on = corridor(rng, 7, 3, reward, 0.7, ends=True)
        loops = np.where(np.arange(7) == rng.integers(7), (on + 1) % 3, on)
        yield {"mdp": m, "gamma": 1.0, "a": loops}  # the first policy never ends
        yield {"mdp": m, "gamma": 0.9, "a": loops}
        yield {"mdp": with_what_never_happens(m), "gamma": 1.0, "a": loops}
        paid = m._replace(r=np.abs(m.r))  # a later one never ends: it is paid to stay
        yield {"mdp": paid, "gamma": 1.0, "a": on}
        yield {"mdp": paid, "gamma": 1.0}
    yield {"mdp": draw_mdp(rng, 4, 3, 2), "gamma": 1.0}  # none ends


def exact(mdp, a, gamma, v):
    return closed_form(mdp, deterministic_policy(a, mdp.p.shape[1]), gamma)


def best_but_keep(q, a):
    return dp.policy_improvement(q, a, 1e-10 * max(1, np.abs(q).max()))


def first_best(mdp, gamma):
    return backed_up(mdp, closed_form(mdp, uniform_policy(mdp), gamma), gamma).argmax(-1)


def iterated(mdp, gamma, a, value=exact, choose=best_but_keep, begin=first_best):
    """Policy iteration; what follows replaces one part of it each."""
    a = begin(mdp, gamma) if a is None else np.array(a)
    policies, v = [a], np.zeros(len(a))
    while len(policies) <= 200:
        v = value(mdp, a, gamma, v)
        better = choose(backed_up(mdp, v, gamma), a)
        if (better == a).all():
            return OptimalPolicy(v, a, np.array(policies))
        a = better
        policies.append(a)
    raise RuntimeError("it would go on for ever")


@policy_iteration.misconception(
    "One sweep doesn't evaluate a policy: solve v = r_π + γ P_π v before you improve."
)
def evaluates_by_one_sweep(mdp, gamma, a=None):
    exact(mdp, first_best(mdp, gamma) if a is None else a, gamma, None)  # which refuses

    def value(mdp, a, gamma, v):
        return follows(mdp, a, v, gamma)

    return iterated(mdp, gamma, a, value)


@policy_iteration.misconception(
    "Exact values solve a linear system; sweeps that stop at a small change are only near them."
)
def evaluates_until_little_changes(mdp, gamma, a=None):
    def value(mdp, a, gamma, v):
        v, before = 0 * exact(mdp, a, gamma, v), np.inf
        p, r = model(mdp, np.eye(mdp.p.shape[1])[a])
        while np.abs(v - before).max() > 1e-6 * np.abs(v).max():
            before, v = v, r + gamma * p @ v
        return v

    return iterated(mdp, gamma, a, value)


@policy_iteration.misconception(
    "Rounding makes equal values differ in their last bits: keep an action that is within 1e-10 of"
    " the best, relative to the values."
)
def compares_values_to_the_last_bit(mdp, gamma, a=None):
    return iterated(mdp, gamma, a, choose=lambda q, a: dp.policy_improvement(q, a, 0.0))


@policy_iteration.misconception(
    "Rounding grows with the values, and so must the tolerance: 1e-10 · max|v|, not 1e-9 alone."
)
def has_a_tolerance_that_does_not_grow(mdp, gamma, a=None):
    return iterated(mdp, gamma, a, choose=dp.policy_improvement)


@policy_iteration.misconception(
    "Equally good policies take turns for ever: keep an action that ties with the best."
)
def takes_turns_among_ties(mdp, gamma, a=None):
    return iterated(mdp, gamma, a, choose=lambda q, a: q.argmax(-1))


@policy_iteration.misconception(
    "Keep an action only where it ties up to rounding: a gain of 1e-5 of the value is still a gain."
)
def stops_at_small_gains(mdp, gamma, a=None):
    def choose(q, a):
        return np.where(np.isclose(of_actions(q, a), q.max(-1)), a, q.argmax(-1))

    return iterated(mdp, gamma, a, choose=choose)


@policy_iteration.misconception("Where the episode ended nothing follows: mask v(s_next).")
def iterates_past_the_end(mdp, gamma, a=None):
    on = dp.policy_iteration(mdp, gamma, a)  # which refuses
    return iterated(mdp._replace(terminated=never(mdp)), gamma, a) if gamma < 1 else on


@policy_iteration.misconception("The policy that is given is the first one: begin with a.")
def forgets_the_given_policy(mdp, gamma, a=None):
    if a is not None:
        exact(mdp, a, gamma, None)  # which refuses
    return iterated(mdp, gamma, None)


@policy_iteration.misconception(
    "Without a policy a the first one is the best under the uniform policy's values."
)
def begins_with_the_first_action(mdp, gamma, a=None):
    dp.policy_iteration(mdp, gamma, a)  # which refuses
    return iterated(mdp, gamma, a, begin=lambda mdp, gamma: np.zeros(len(mdp.p), int))


@policy_iteration.misconception("The first policy is on the way too: put it into policies.")
def leaves_out_the_first_policy(mdp, gamma, a=None):
    found = dp.policy_iteration(mdp, gamma, a)
    return found._replace(policies=found.policies[min(1, len(found.policies) - 1) :])


@policy_iteration.misconception(
    "The policy that changed no more is there already: policies holds each one once."
)
def adds_the_last_policy_twice(mdp, gamma, a=None):
    found = dp.policy_iteration(mdp, gamma, a)
    return found._replace(policies=np.vstack([found.policies, found.a]))


@policy_iteration.misconception(
    "All rows of policies are one array, overwritten each time: append a copy."
)
def appends_one_array_again_and_again(mdp, gamma, a=None):
    found = dp.policy_iteration(mdp, gamma, a)
    return found._replace(policies=np.tile(found.a, (len(found.policies), 1)))


@policy_iteration.misconception(
    "One improvement is not enough: evaluate the new policy and improve it again."
)
def improves_only_once(mdp, gamma, a=None):
    dp.policy_iteration(mdp, gamma, a)  # which refuses
    first = first_best(mdp, gamma) if a is None else np.array(a)
    a = best_but_keep(backed_up(mdp, exact(mdp, first, gamma, None), gamma), first)
    policies = [first] if (a == first).all() else [first, a]
    return OptimalPolicy(exact(mdp, a, gamma, None), a, np.array(policies))


@policy_iteration.misconception(
    "Improve wherever a better action is: one state at a time takes far more policies."
)
def improves_one_state_at_a_time(mdp, gamma, a=None):
    def choose(q, a):
        s = (q.max(-1) - of_actions(q, a)).argmax()
        return np.where(np.arange(len(a)) == s, best_but_keep(q, a), a)

    return iterated(mdp, gamma, a, choose=choose)


@policy_iteration.misconception("γ = 1 is fine as long as every policy on the way ends.")
def refuses_gamma_one(mdp, gamma, a=None):
    if gamma == 1:
        raise ValueError("gamma must be less than 1")
    return dp.policy_iteration(mdp, gamma, a)


@policy_iteration.misconception(
    "At γ = 1 a later policy may never end either, where going round pays: check each one."
)
def checks_the_first_policy_alone(mdp, gamma, a=None):
    closed_form(mdp, uniform_policy(mdp) if a is None else np.eye(mdp.p.shape[1])[a], gamma)
    return believes_the_solver(mdp, gamma, a)


@policy_iteration.misconception(
    "Action 0 everywhere is a policy too: ask `a is None`, not whether a holds anything."
)
def takes_zeros_for_none(mdp, gamma, a=None):
    return dp.policy_iteration(mdp, gamma, a if np.any(a) else None)


@policy_iteration.misconception(
    "Say what is wrong: raise ValueError for γ outside [0, 1], and where γ = 1 meets a policy that"
    " never ends."
)
def believes_the_solver(mdp, gamma, a=None):
    def value(mdp, a, gamma, v):
        return solved(mdp, np.eye(mdp.p.shape[1])[a], gamma)

    def begin(mdp, gamma):
        return backed_up(mdp, solved(mdp, uniform_policy(mdp), gamma), gamma).argmax(-1)

    return iterated(mdp, gamma, a, value, begin=begin)


def model(mdp, pi):
    """P_π and r_π."""
    weight = pi[..., None] * mdp.p
    to = np.eye(len(pi))[mdp.s_next] * (weight * ~mdp.terminated)[..., None]
    return to.sum((1, 2)), (weight * mdp.r).sum((1, 2))


def solved(mdp, pi, gamma):
    """The values of a policy by a dense solve, whatever gamma is."""
    p, r = model(mdp, pi)
    return np.linalg.solve(np.eye(len(pi)) - gamma * p, r)


def reaches_an_end(mdp, pi):
    possible = pi[..., None] * mdp.p > 0
    ends = np.zeros(len(pi), bool)
    for _ in range(len(pi)):
        ends = (possible & (mdp.terminated | ends[mdp.s_next])).any((1, 2))
    return ends.all()


@policy_iteration.control
def iterates_with_a_dense_solve(mdp, gamma, a=None):
    def value(pi):
        if not 0 <= gamma <= 1 or (gamma == 1 and not reaches_an_end(mdp, pi)):
            raise ValueError("gamma must lie in [0, 1], and episodes end where it is 1")
        return solved(mdp, pi, gamma)

    n_actions = mdp.p.shape[1]
    if a is None:
        q = backed_up(mdp, value(uniform_policy(mdp)), gamma)
        a = n_actions - 1 - q[:, ::-1].argmax(-1)
    policies = [np.array(a)]
    while True:
        v = value(np.eye(n_actions)[policies[-1]])
        q = backed_up(mdp, v, gamma)
        gain = q.max(-1) - of_actions(q, policies[-1])
        improve = gain > 1e-11 * max(1, np.abs(v).max())
        if not improve.any():
            return OptimalPolicy(v, policies[-1], np.stack(policies))
        policies.append(np.where(improve, q.argmax(-1), policies[-1]))


@policy_iteration.control
def iterates_and_prefers_the_last_of_the_best(mdp, gamma, a=None):
    def choose(q, a):
        near = q >= q.max(-1, keepdims=True) - 1e-11 * max(1, np.abs(q).max())
        last = q.shape[1] - 1 - near[:, ::-1].argmax(-1)
        return a if of_actions(near, a).all() else last

    return iterated(mdp, gamma, a, choose=choose)


# ------------------------------------------------------------------------------- error bounds

macqueen_bounds = exercise(
    dp.macqueen_bounds,
    nudge="If every value rose by 1 in this sweep, how much will they rise in all that follow?",
    worked={
        "v": np.array([0.0, 0.0, 0.0]),
        "v_next": np.array([1.0, 2.0, 4.0]),
        "gamma": 0.5,
        "ends": False,
    },
)


def swept(rng, n_states, ends, least=-1.0, most=2.0, gamma=None, size=3.0):
    """Values and what a sweep made of them, each changed by something from least to most."""
    v = size * rng.normal(size=n_states)
    change = rng.uniform(least, most, size=n_states)
    gamma = rng.uniform(0.3, 0.95) if gamma is None else gamma
    return {"v": v, "v_next": v + change, "gamma": gamma, "ends": ends}


@macqueen_bounds.check(points=2)
def test_macqueen_bounds_carry_the_least_and_the_greatest_change_on(rng):
    for n_states in (7, 4, 12):
        yield swept(rng, n_states, False, 1.0, 2.0)
        yield swept(rng, n_states, False, -2.0, -1.0)
        yield swept(rng, n_states, False, -1.0, 1.5)


@macqueen_bounds.check(points=2)
def test_macqueen_bounds_count_on_no_change_where_episodes_may_end(rng):
    for n_states in (6, 5, 9):
        yield swept(rng, n_states, True, 1.0, 2.0)
        yield swept(rng, n_states, True, -2.0, -1.0)


@macqueen_bounds.check(points=1)
def test_macqueen_bounds_keep_changes_of_both_signs_where_episodes_may_end(rng):
    for n_states in (8, 5):
        both = swept(rng, n_states, True, -3.0, 3.0)
        both["v_next"][:2] = both["v"][:2] + [4.0, -4.5]
        yield both


@macqueen_bounds.check(points=1)
def test_macqueen_bounds_hold_for_one_state_for_many_and_for_large_changes(rng):
    for ends in (False, True):
        yield swept(rng, 1, ends)
        yield swept(rng, 300, ends)
        yield swept(rng, 5, ends, -1e4, 1e4)
        yield swept(rng, 4, ends, 1e4, 2e4, gamma=0.995)
        yield swept(rng, 6, ends, -1e-3, -1e-4, size=1e4)
        yield swept(rng, 3, ends, gamma=0.0)
        yield swept(rng, 7, ends, 0.0, 0.0)


def carried(v_next, gamma, least, most):
    return Bounds(v_next + gamma / (1 - gamma) * least, v_next + gamma / (1 - gamma) * most)


def changes(v, v_next, ends):
    """The least and the greatest change, with 0 between them where episodes may end."""
    change = v_next - v
    if ends:
        change = np.append(change, 0.0)
    return change.min(), change.max()


@macqueen_bounds.misconception(
    "v_next holds the first change already, what still comes is γ + γ² + … = γ / (1 - γ) times it."
)
def counts_the_first_change_twice(v, v_next, gamma, ends):
    least, most = changes(v, v_next, ends)
    return Bounds(v_next + least / (1 - gamma), v_next + most / (1 - gamma))


@macqueen_bounds.misconception("The bounds stand around v_next, the newer values, not around v.")
def stands_on_the_values_before(v, v_next, gamma, ends):
    return carried(v, gamma, *changes(v, v_next, ends))


@macqueen_bounds.misconception(
    "That is the contraction's bound, the same to both sides; least and greatest change do better."
)
def goes_as_far_down_as_up(v, v_next, gamma, ends):
    most = np.abs(v_next - v).max()
    return carried(v_next, gamma, -most, most)


@macqueen_bounds.misconception(
    "A state's own change doesn't bound what the others will bring it: take the least and the"
    " greatest of all states."
)
def carries_each_change_by_itself(v, v_next, gamma, ends):
    change = v_next - v
    low, high = (np.minimum(change, 0), np.maximum(change, 0)) if ends else (change, change)
    return carried(v_next, gamma, low, high)


@macqueen_bounds.misconception(
    "Where an episode may end, the change is carried to a part of what follows only: min δ counts"
    " as at most 0, max δ as at least 0."
)
def forgets_that_episodes_end(v, v_next, gamma, ends):
    return carried(v_next, gamma, *changes(v, v_next, False))


@macqueen_bounds.misconception(
    "Where no episode ends the bounds are sharper: only with `ends` does 0 come between."
)
def always_lets_episodes_end(v, v_next, gamma, ends):
    return carried(v_next, gamma, *changes(v, v_next, True))


@macqueen_bounds.misconception("The lower bound needs care as well: min δ counts as at most 0.")
def minds_the_end_above_alone(v, v_next, gamma, ends):
    low, high = changes(v, v_next, False)
    return carried(v_next, gamma, low, max(high, 0) if ends else high)


@macqueen_bounds.misconception("δ is new minus old, v_next - v: values that rose rise further.")
def turns_the_change_round(v, v_next, gamma, ends):
    return carried(v_next, gamma, *changes(v_next, v, ends))


@macqueen_bounds.misconception(
    "The next sweep is not the last one: all that follow carry γ + γ² + … = γ / (1 - γ)."
)
def looks_one_sweep_ahead(v, v_next, gamma, ends):
    least, most = changes(v, v_next, ends)
    return Bounds(v_next + gamma * least, v_next + gamma * most)


@macqueen_bounds.misconception(
    "min δ and max δ have signs: the least change may be a fall. Don't take abs first."
)
def forgets_which_values_fell(v, v_next, gamma, ends):
    change = np.abs(v_next - v)
    least = 0.0 if ends else change.min()
    return carried(v_next, gamma, least, change.max())


@macqueen_bounds.misconception(
    "With `ends` 0 must lie between: at most 0 is min(min δ, 0), at least 0 is max(max δ, 0)."
)
def clips_to_the_wrong_side(v, v_next, gamma, ends):
    least, most = changes(v, v_next, False)
    return carried(v_next, gamma, *((max(least, 0), min(most, 0)) if ends else (least, most)))


@macqueen_bounds.control
def bounds_state_by_state(v, v_next, gamma, ends):
    change = [new - old for new, old in zip(v_next.tolist(), v.tolist(), strict=True)]
    change = [*change, 0.0] if ends else change
    shrink = gamma / (1 - gamma)
    return Bounds(
        [new + shrink * min(change) for new in v_next.tolist()],
        [new + shrink * max(change) for new in v_next.tolist()],
    )


@macqueen_bounds.control
def bounds_from_the_older_side(v, v_next, gamma, ends):
    least, most = changes(v, v_next, ends)
    low, high = least / (1 - gamma) - least, most / (1 - gamma) - most
    return Bounds(v_next + low, v_next + high)


# ------------------------------------------------------------------------------- in place

in_place_sweep = exercise(
    asynchronous.in_place_sweep,
    nudge="Which values does the second state of the order see?",
    worked={"mdp": SMALL, "v": np.array([0.0, 0.0]), "gamma": 0.5, "order": [1, 0, 1]},
)


def in_place(rng, m, order, gamma=None, size=3.0):
    return {
        "mdp": m,
        "v": size * rng.normal(size=len(m.p)),
        "gamma": rng.uniform(0.5, 0.95) if gamma is None else gamma,
        "order": order,
    }


@in_place_sweep.check(points=2)
def test_in_place_later_states_see_what_earlier_ones_have_learnt(rng):
    for sizes in ((5, 3, 2), (6, 2, 4), (4, 7, 2), (9, 3, 8)):
        yield in_place(rng, draw_mdp(rng, *sizes), rng.permutation(sizes[0]))
    yield in_place(rng, with_a_rare_fortune(draw_mdp(rng, 7, 3, 2)), rng.permutation(7))


@in_place_sweep.check(points=2)
def test_in_place_the_order_may_leave_states_out_and_repeat_them(rng):
    for sizes in ((6, 3, 2), (7, 2, 4)):
        m = draw_mdp(rng, *sizes)
        yield in_place(rng, m, rng.permutation(sizes[0])[:5])
        yield in_place(rng, m, [int(s) for s in rng.integers(sizes[0], size=20)])
        s, j = (int(x) for x in rng.permutation(sizes[0])[:2])
        yield in_place(rng, m, [s, j, s])
        yield in_place(rng, m, np.array([s]))
        yield in_place(rng, m, [])


@in_place_sweep.check(points=1)
def test_in_place_nothing_follows_an_end_but_its_reward_counts(rng):
    for sizes, ends in (((5, 3, 2), 12), ((6, 2, 3), 14)):
        yield in_place(rng, draw_mdp(rng, *sizes, ends=ends), rng.permutation(sizes[0]))


@in_place_sweep.check(points=1)
def test_in_place_sweeps_hold_for_all_sizes_gammas_and_values(rng):
    for sizes in ((1, 3, 2), (5, 1, 3), (6, 4, 1), (90, 3, 2)):
        yield in_place(rng, draw_mdp(rng, *sizes), rng.permutation(sizes[0]))
    for sizes, gamma in (((5, 3, 2), 1.0), ((4, 2, 3), 0.0), ((5, 2, 3), 1), ((6, 3, 2), 0.995)):
        m = draw_mdp(rng, *sizes, ends=4)
        m = m._replace(r=1e4 * m.r - 2e4)
        yield in_place(rng, m, rng.permutation(sizes[0]), gamma, size=1e4)


def one_by_one(mdp, v, gamma, order, backup):
    """Each state of the order in turn gets backup(mdp, v, gamma)[s]."""
    v = v.copy()
    for s in order:
        v[s] = backup(mdp, v, gamma)[s]
    return v


def best(mdp, v, gamma):
    return backed_up(mdp, v, gamma).max(-1)


@in_place_sweep.misconception(
    "In place means that the next state sees the new value: read from the array that you write."
)
def looks_at_the_old_values(mdp, v, gamma, order):
    new, at = v.copy(), np.asarray(order, int)
    new[at] = best(mdp, v, gamma)[at]
    return new


@in_place_sweep.misconception("The caller says which state comes next: go through `order`.")
def goes_from_first_to_last(mdp, v, gamma, order):
    return one_by_one(mdp, v, gamma, range(len(v)), best)


@in_place_sweep.misconception("The order counts: don't sort it, and don't make a set of it.")
def sorts_the_order(mdp, v, gamma, order):
    return one_by_one(mdp, v, gamma, sorted(order), best)


@in_place_sweep.misconception("A state that stands in `order` twice is backed up twice.")
def backs_up_each_state_once(mdp, v, gamma, order):
    return one_by_one(mdp, v, gamma, dict.fromkeys(int(s) for s in order), best)


@in_place_sweep.misconception("Only the state s is backed up; all others keep their values.")
def sweeps_all_states_each_time(mdp, v, gamma, order):
    for _ in order:
        v = best(mdp, v, gamma)
    return v.copy()


@in_place_sweep.misconception(
    "In place in a copy: the caller's v must stay as it is. Begin with v.copy()."
)
def writes_into_the_given_values(mdp, v, gamma, order):
    v[:] = one_by_one(mdp, v, gamma, order, best)
    return v


@in_place_sweep.misconception("The episode ended: nothing follows, v(s_next) does not count.")
def backs_up_past_the_end(mdp, v, gamma, order):
    return one_by_one(
        mdp, v, gamma, order, lambda m, v, gamma: backed_up(m, v, gamma, never(m)).max(-1)
    )


@in_place_sweep.misconception("The last reward is real: an end cuts off the future alone.")
def loses_the_reward_at_the_end(mdp, v, gamma, order):
    return one_by_one(mdp._replace(r=mdp.r * ~mdp.terminated), v, gamma, order, best)


@in_place_sweep.misconception(
    "That evaluates the uniform policy: take the best action, max_a, not the mean."
)
def averages_the_actions(mdp, v, gamma, order):
    return one_by_one(mdp, v, gamma, order, lambda m, v, gamma: backed_up(m, v, gamma).mean(-1))


@in_place_sweep.misconception(
    "Outcomes are chance, not choice: average them with p, then take the best action."
)
def takes_the_luckiest_outcome(mdp, v, gamma, order):
    def lucky(m, v, gamma):
        return (m.r + gamma * ~m.terminated * v[m.s_next]).max((1, 2))

    return one_by_one(mdp, v, gamma, order, lucky)


@in_place_sweep.misconception("All values come back, (S,), not those of `order` alone.")
def gives_the_values_of_the_order(mdp, v, gamma, order):
    return one_by_one(mdp, v, gamma, order, best)[np.asarray(order, int)]


@in_place_sweep.misconception("A backup may lower a value: it replaces v(s), better or not.")
def never_lets_a_value_fall(mdp, v, gamma, order):
    return one_by_one(mdp, v, gamma, order, lambda m, v, gamma: np.maximum(v, best(m, v, gamma)))


@in_place_sweep.control
def sweeps_in_place_with_loops(mdp, v, gamma, order):
    values = v.tolist()
    for s in order:
        q = []
        for a in range(mdp.p.shape[1]):
            outcomes = zip(*(x[s, a].tolist() for x in mdp), strict=True)
            q.append(
                sum(p * (r + (0 if end else gamma * values[to])) for to, p, r, end in outcomes)
            )
        values[s] = max(q)
    return np.array(values)


@in_place_sweep.control
def sweeps_whole_and_takes_one(mdp, v, gamma, order):
    for s in order:
        v = np.where(np.arange(len(v)) == s, best(mdp, v, gamma), v)
    return v.copy()
