"""The six exercises of the policy gradient chapter: the score of a softmax policy, the policy
gradient theorem, returns of episodes that follow each other, the baseline of least variance, and
two losses whose gradients are graded too.

Axes differ in size and vary: B learners, S states, A actions, D parameters; T steps, N samples.
"""

import numpy as np
import torch
import torch.nn.functional as F

from rlcourse.deep import advantages, objectives, policies, policy_losses
from rlcourse.deep import policy_gradient as pg
from rlcourse.grading import exercise
from rlcourse.tabular.targets import td_target

FAR = 1e4


def policy(rng, *shape):
    """Probabilities along the last axis."""
    return rng.dirichlet(np.ones(shape[-1]), size=shape[:-1])


def sure(rng, pi, some):
    """The policy with one action, whichever, taken for sure in `some` states."""
    picked = np.eye(pi.shape[-1])[rng.integers(pi.shape[-1], size=pi.shape[:-1])]
    return np.where(some[..., None], picked, pi)


def some_of(rng, n, count):
    return rng.permutation(np.arange(n) < count)


# ------------------------------------------------------------------------------- score

softmax_score = exercise(
    policies.softmax_score,
    nudge="log π(a|s) = h(s, a) - log Σ_b exp h(s, b). Differentiate both terms: what does the "
    "second one become?",
    worked={
        "x": np.array([[[1.0, 0.0], [0.0, 1.0], [2.0, 2.0]]]),
        "pi": np.array([[0.5, 0.25, 0.25]]),
    },
)


def preferred(rng, x, *learners, size=1.0):
    """The features, and the policy that some parameters make of them."""
    theta = size * rng.normal(size=(*learners, x.shape[-1]))
    return {"x": x, "pi": policies.softmax_policy(x, theta)}


@softmax_score.check(points=2)
def test_a_score_is_the_feature_less_the_mean_feature_under_the_policy(rng):
    for shape in ((5, 3, 4), (3, 7, 2), (2, 4, 9)):
        yield preferred(rng, rng.normal(size=shape))
    yield preferred(rng, policies.tabular_features(4, 3))
    yield preferred(rng, 3 * rng.normal(size=(7, 2, 1)) + 1)


@softmax_score.check(points=1)
def test_scores_of_many_learners_share_the_features(rng):
    """the scores of one learner or of many use the same features"""
    for learners in ((), (6,), (1,), (2, 4)):
        yield preferred(rng, rng.normal(size=(5, 3, 7)), *learners)
    yield preferred(rng, rng.normal(size=(1, 4, 3)), 5)


@softmax_score.check(points=1)
def test_the_action_that_is_taken_for_sure_has_no_score(rng):
    """an action taken for sure has the score 0, and so has the only one of a state"""
    for shape in ((6, 3, 4), (5, 8, 2)):
        x = rng.normal(size=shape)
        far = 1 + FAR * some_of(rng, shape[0], 3)[:, None, None]
        yield preferred(rng, far * x)
        alike = some_of(rng, shape[0], 2)[:, None, None]
        yield preferred(rng, np.where(alike, x[:, :1], x))
    yield preferred(rng, rng.normal(size=(4, 1, 3)), 2)
    yield preferred(rng, rng.normal(size=(4, 5, 3)), 2, size=0.01)


@softmax_score.check(points=1)
def test_scores_of_large_features_and_of_whole_numbers_are_exact(rng):
    """features may be large, of either sign, or whole numbers"""
    for base in (FAR, -FAR):
        yield preferred(rng, rng.normal(size=(3, 5, 4)) + base)
        yield preferred(rng, rng.normal(size=(6, 2, 3)) * base, size=2 / FAR)
    yield preferred(rng, rng.integers(-3, 4, size=(4, 3, 5)), size=0.5)
    yield preferred(rng, rng.integers(-3, 4, size=(2, 4, 3)), 7, size=0.5)


def mean_feature(x, pi):
    return (pi[..., None] * x).sum(-2, keepdims=True)


@softmax_score.misconception("The actions are not equally likely: the mean is Σ_b π(b|s) x(s, b).")
def averages_the_features_alike(x, pi):
    return x - x.mean(-2, keepdims=True)


@softmax_score.misconception(
    "That is ∇h. The log of the normaliser depends on θ too: take its gradient off."
)
def forgets_the_normaliser(x, pi):
    return x


@softmax_score.misconception("The sign is turned round: what is likelier with θ has a score above.")
def takes_the_feature_from_the_mean(x, pi):
    return mean_feature(x, pi) - x


@softmax_score.misconception("That is ∇π = π ∇ log π: asked is the gradient of the log, without π.")
def differentiates_the_probability(x, pi):
    return pi[..., None] * (x - mean_feature(x, pi))


@softmax_score.misconception(
    "The mean goes over all actions with their probabilities, not the likeliest alone."
)
def takes_the_likeliest_feature_off(x, pi):
    return x - mean_feature(x, np.eye(pi.shape[-1])[pi.argmax(-1)])


@softmax_score.misconception(
    "[a = b] - π(b|s) holds where each pair has a parameter of its own. Here h = x·θ: use x."
)
def knows_the_table_only(x, pi):
    return np.eye(pi.shape[-1]) - pi[..., None, :]


@softmax_score.misconception("Each state has a mean of its own: sum over the actions, not states.")
def averages_over_states(x, pi):
    return x - (pi[..., None] * x).sum(-3, keepdims=True)


@softmax_score.misconception("The probabilities sum to 1 already: sum, don't divide by A.")
def divides_by_the_number_of_actions(x, pi):
    return x - mean_feature(x, pi) / pi.shape[-1]


@softmax_score.misconception(
    "One mean for all actions of a state, not each its own share: sum π x over the actions."
)
def takes_off_its_own_share(x, pi):
    return x - pi[..., None] * x


@softmax_score.misconception(
    "One learner is served only: pi may have leading axes, and x has none. Count axes from the end."
)
def serves_one_learner(x, pi):
    return x - np.einsum("sa,sad->sd", pi, x)[:, None]


@softmax_score.misconception("x -= ... writes into the caller's features: write x - ... instead.")
def writes_into_the_features(x, pi):
    x -= mean_feature(x, pi)
    return x


@softmax_score.misconception("pi are probabilities already: a softmax of them is another policy.")
def makes_a_policy_of_the_policy(x, pi):
    weight = np.exp(pi)
    return x - mean_feature(x, weight / weight.sum(-1, keepdims=True))


@softmax_score.misconception(
    "sum(1) is the action axis where pi has no leading axes alone: it is axis -2 of π x."
)
def counts_axes_from_the_front(x, pi):
    return x - (pi[..., None] * x).sum(1, keepdims=True)


@softmax_score.control
def score_by_einsum(x, pi):
    return x - np.einsum("...sa,sad->...sd", pi, x)[..., None, :]


@softmax_score.control
def score_against_every_other_action(x, pi):
    found = np.zeros((*pi.shape, x.shape[-1]))
    for a in range(x.shape[1]):
        for b in range(x.shape[1]):
            found[..., a, :] += pi[..., b, None] * (x[:, a] - x[:, b])
    return found


# ------------------------------------------------------------------------------- theorem

policy_gradient = exercise(
    objectives.policy_gradient,
    nudge="How often is the agent in s and takes a there? Then: which way makes a likelier, and "
    "what is it worth?",
    worked={
        "eta": np.array([2.0, 0.5]),
        "pi": np.array([[0.5, 0.5], [0.75, 0.25]]),
        "q": np.array([[1.0, -1.0], [4.0, 0.0]]),
        "score": np.array([[[0.5], [-0.5]], [[0.25], [-0.75]]]),
    },
)


def score_of(rng, pi, n):
    """Some score that has mean 0 under the policy, as all have."""
    x = rng.normal(size=(*pi.shape, n))
    return x - mean_feature(x, pi)


def known(rng, *shape, size=2.0):
    """All that the theorem asks for: shape (..., S, A, D)."""
    pi = policy(rng, *shape[:-1])
    return {
        "eta": rng.uniform(0.1, 3, size=pi.shape[:-1]),
        "pi": pi,
        "q": size * rng.normal(size=pi.shape) + 1,
        "score": score_of(rng, pi, shape[-1]),
    }


@policy_gradient.check(points=2)
def test_the_policy_gradient_weighs_scores_by_visits_probabilities_and_values(rng):
    for shape in ((5, 3, 4), (3, 7, 2), (8, 2, 5), (2, 4, 1)):
        yield known(rng, *shape)


@policy_gradient.check(points=1)
def test_each_learner_has_a_policy_gradient_of_its_own(rng):
    for shape in ((6, 4, 3, 5), (1, 3, 2, 4), (2, 7, 3, 4, 1)):
        yield known(rng, *shape)


@policy_gradient.check(points=1)
def test_the_policy_gradient_counts_what_is_rare_by_how_rare_it_is(rng):
    """states seldom or never met, and actions seldom or never taken, count by how rare they are"""
    for shape in ((5, 3, 4), (7, 2, 3)):
        case = known(rng, *shape)
        rare = some_of(rng, shape[0], 2)
        yield case | {
            "eta": np.where(rare, rng.permutation([0.0, 1e-4])[np.cumsum(rare) % 2], case["eta"]),
            "q": np.where(rare[:, None], FAR * case["q"], case["q"]),
        }
        pi = sure(rng, case["pi"], some_of(rng, shape[0], 2))
        yield case | {"pi": pi, "score": score_of(rng, pi, shape[2])}
        pi = 0.999 * sure(rng, pi, some_of(rng, shape[0], 3)) + 0.001 * policy(rng, *shape[:2])
        yield case | {
            "pi": pi,
            "q": np.where(pi < 0.01, -FAR, case["q"]),
            "score": score_of(rng, pi, shape[2]),
        }


@policy_gradient.check(points=1)
def test_the_policy_gradient_holds_for_values_of_any_size_and_sign(rng):
    """values may be large, all negative, or whole numbers; there may be one state only"""
    for shape in ((4, 3, 5), (1, 6, 2)):
        case = known(rng, *shape)
        yield case | {"q": FAR * case["q"]}
        yield case | {"q": -np.abs(case["q"]) - 1}
        yield case | {"q": rng.integers(-5, 6, size=shape[:2]), "eta": rng.integers(1, 4, shape[0])}


@policy_gradient.misconception("An action counts as often as it is taken: the weight π is missing.")
def forgets_the_policy(eta, pi, q, score):
    return objectives.policy_gradient(eta, 0 * pi + 1, q, score)


@policy_gradient.misconception("States count as often as they are met: η(s) is missing.")
def forgets_how_often_a_state_is_met(eta, pi, q, score):
    return objectives.policy_gradient(0 * eta + 1, pi, q, score)


@policy_gradient.misconception(
    "η are numbers of visits, and need not sum to 1: scaled so, the gradient is too short."
)
def makes_visits_a_distribution(eta, pi, q, score):
    return objectives.policy_gradient(eta / eta.sum(-1, keepdims=True), pi, q, score)


@policy_gradient.misconception("π ∇ log π is ∇π already: π counts once, not twice.")
def counts_the_policy_twice(eta, pi, q, score):
    return objectives.policy_gradient(eta, pi**2, q, score)


@policy_gradient.misconception("A sum over the states, not a mean: η says how often each counts.")
def averages_over_the_states(eta, pi, q, score):
    return objectives.policy_gradient(eta, pi, q, score) / eta.shape[-1]


@policy_gradient.misconception("The probabilities make it a mean already: sum over the actions.")
def averages_over_the_actions(eta, pi, q, score):
    return objectives.policy_gradient(eta, pi, q, score) / pi.shape[-1]


@policy_gradient.misconception("All states share one θ: sum the gradient over the states as well.")
def keeps_a_gradient_for_each_state(eta, pi, q, score):
    return ((eta[..., None] * pi * q)[..., None] * score).sum(-2)


@policy_gradient.misconception(
    "With v(s) for every action nothing is better than anything else: each action earns its q."
)
def pays_every_action_the_value_of_the_state(eta, pi, q, score):
    v = (pi * q).sum(-1, keepdims=True)
    return objectives.policy_gradient(eta, pi, v + 0 * q, score)


@policy_gradient.misconception(
    "Every action that is taken counts, with its own value, not the best one alone."
)
def counts_the_best_action_alone(eta, pi, q, score):
    return objectives.policy_gradient(eta, pi, q * (q == q.max(-1, keepdims=True)), score)


@policy_gradient.misconception("That is the gradient of a loss. Asked is ∇J, uphill: no minus.")
def goes_downhill(eta, pi, q, score):
    return -objectives.policy_gradient(eta, pi, q, score)


@policy_gradient.misconception(
    "Each learner has a gradient of its own: sum over axes -3 and -2, which are states and actions."
)
def sums_over_the_first_two_axes(eta, pi, q, score):
    return ((eta[..., None] * pi * q)[..., None] * score).sum((0, 1))


@policy_gradient.misconception("Leading axes are learners, who share no gradient: keep them apart.")
def adds_up_the_learners(eta, pi, q, score):
    every = ((eta[..., None] * pi * q)[..., None] * score).reshape(-1, score.shape[-1])
    return every.sum(0)


@policy_gradient.misconception(
    "q *= ... writes into the caller's values: make an array of your own."
)
def writes_into_the_values(eta, pi, q, score):
    q *= eta[..., None] * pi
    return (q[..., None] * score).sum((-3, -2))


@policy_gradient.misconception("A bad action must be made less likely: values may be negative.")
def learns_from_good_actions_only(eta, pi, q, score):
    return objectives.policy_gradient(eta, pi, np.maximum(q, 0), score)


@policy_gradient.control
def theorem_by_einsum(eta, pi, q, score):
    return np.einsum("...s,...sa,...sa,...sad->...d", eta, pi, q, score)


@policy_gradient.control
def theorem_with_the_advantage(eta, pi, q, score):
    advantage = q - (pi * q).sum(-1, keepdims=True)
    found = 0.0
    for s in range(eta.shape[-1]):
        for a in range(pi.shape[-1]):
            weight = eta[..., s] * pi[..., s, a] * advantage[..., s, a]
            found = found + weight[..., None] * score[..., s, a, :]
    return found


# ------------------------------------------------------------------------------- reward-to-go

reward_to_go = exercise(
    advantages.reward_to_go,
    nudge="Go backwards. Three things can follow a step: nothing, a state whose value must do, or "
    "the next row. Which flag says which, and what of the last row?",
    worked={
        "r": np.array([1.0, 1.0, 1.0, 1.0]),
        "v_next": np.array([8.0, 8.0, 8.0, 8.0]),
        "terminated": np.array([False, True, False, False]),
        "truncated": np.array([False, False, True, False]),
        "gamma": 0.5,
    },
)


def flags(rng, shape, count, kind):
    """So many flags in the rows before the last one."""
    rows = (shape[0] - 1, *shape[1:])
    found = np.zeros(shape, kind)
    found[:-1] = some_of(rng, np.prod(rows, dtype=int), count).reshape(rows)
    return found


def steps(rng, shape, ends=0, cuts=0, gamma=None, size=2.0, kind=bool):
    """T steps of some environments; no row ends in two ways, and the last one in none."""
    terminated = flags(rng, shape, ends, kind)
    truncated = flags(rng, shape, cuts, kind) * (1 - terminated)
    return {
        "r": size * rng.normal(size=shape) + 1,
        "v_next": size * rng.normal(size=shape) - 3,
        "terminated": terminated,
        "truncated": truncated.astype(kind),
        "gamma": rng.uniform(0.3, 0.95) if gamma is None else gamma,
    }


@reward_to_go.check(points=1)
def test_a_return_gathers_later_rewards_and_what_the_last_state_is_worth(rng):
    for shape in ((6,), (4, 3), (7, 2)):
        yield steps(rng, shape)
    yield steps(rng, (9,), gamma=0.995)


@reward_to_go.check(points=2)
def test_no_reward_of_the_next_episode_counts_after_an_end(rng):
    for shape, ends in (((7,), 2), ((6, 4), 5), ((4, 9), 12)):
        yield steps(rng, shape, ends)
    case = steps(rng, (5, 3), 4)
    case["terminated"][-1] = some_of(rng, 3, 2)  # the last row may be an end too
    yield case | {"v_next": FAR * case["v_next"]}


@reward_to_go.check(points=2)
def test_a_time_limit_is_no_end_the_value_of_its_last_state_follows(rng):
    """a time limit is no end: the value of the state it stopped in stands for what follows"""
    for shape, cuts in (((7,), 2), ((6, 4), 5), ((4, 9), 12)):
        yield steps(rng, shape, 0, cuts)
    case = steps(rng, (5, 3), 3, 4)
    case["truncated"][-1] = some_of(rng, 3, 2)  # the last row may be cut too
    yield case | {"v_next": np.where(case["truncated"], case["v_next"], FAR)}


@reward_to_go.check(points=1)
def test_a_step_that_ended_at_the_time_limit_has_ended(rng):
    """what ended in the very step of the time limit has ended: nothing follows"""
    for shape, ends, cuts in (((6, 4), 5, 4), ((5, 7), 8, 9)):
        case = steps(rng, shape, ends, cuts)
        first = np.argwhere(case["terminated"])[:2]
        for at in (*map(tuple, first), (shape[0] - 1, 1)):
            case["terminated"][at] = case["truncated"][at] = True
        yield case


@reward_to_go.check(points=1)
def test_returns_take_whole_numbers_any_gamma_and_environments_of_any_number(rng):
    """rewards and flags may be whole numbers, γ is 0 to 1, and any axes may follow T"""
    for gamma, shape, kind in ((1.0, (6, 3), int), (0.0, (4, 5), bool), (1, (5, 2), float)):
        yield steps(rng, shape, 3, 2, gamma, FAR, kind)
    for shape in ((1,), (1, 4), (5, 1), (4, 2, 3)):
        yield steps(rng, shape, min(2, shape[0] - 1), min(2, shape[0] - 1), kind=np.uint8)
    case = steps(rng, (8, 3), 4, 3, kind=int)
    yield case | {"r": rng.integers(-3, 4, (8, 3)), "v_next": rng.integers(-9, 10, (8, 3))}


def backwards(r, v_next, gamma, follows):
    """G_t = r_t + γ follows(t, G_{t+1}); G_T is None, what follows the last row."""
    g, after = np.zeros(r.shape), None
    for t in reversed(range(len(r))):
        g[t] = after = r[t] + gamma * follows(t, after)
    return g


@reward_to_go.misconception(
    "The next row may belong to another episode: G must not run on where one terminated or was cut."
)
def leaks_across_episodes(r, v_next, terminated, truncated, gamma):
    def follows(t, after):
        return (1 - terminated[t]) * v_next[t] if after is None else after

    return backwards(r, v_next, gamma, follows)


@reward_to_go.misconception(
    "A time limit is no end: where the episode was truncated v_next stands for what follows."
)
def takes_truncation_for_termination(r, v_next, terminated, truncated, gamma):
    over = 1 - np.maximum(terminated, truncated)
    return advantages.reward_to_go(r, v_next, 1 - over, 0 * truncated, gamma)


@reward_to_go.misconception("Where the episode terminated nothing follows: v_next counts no more.")
def takes_termination_for_truncation(r, v_next, terminated, truncated, gamma):
    return advantages.reward_to_go(
        r, v_next, 0 * terminated, np.maximum(terminated, truncated), gamma
    )


@reward_to_go.misconception("Both flags may be set: then the episode has ended. Ask that first.")
def lets_the_time_limit_win(r, v_next, terminated, truncated, gamma):
    return advantages.reward_to_go(r, v_next, terminated * (1 - truncated), truncated, gamma)


@reward_to_go.misconception(
    "A truncated episode ends too, for the rows: the next one starts another episode. Use v_next."
)
def runs_on_past_a_time_limit(r, v_next, terminated, truncated, gamma):
    return advantages.reward_to_go(r, v_next, terminated, 0 * truncated, gamma)


@reward_to_go.misconception(
    "The last row is a cut as well: v_next stands for the rows that were not collected."
)
def lets_nothing_follow_the_last_row(r, v_next, terminated, truncated, gamma):
    def follows(t, after):
        goes_on = 0 if after is None else after
        return (1 - terminated[t]) * np.where(truncated[t], v_next[t], goes_on)

    return backwards(r, v_next, gamma, follows)


@reward_to_go.misconception("The last row can be an end: then no v_next is added there either.")
def bootstraps_the_last_row_always(r, v_next, terminated, truncated, gamma):
    open_ = np.array(terminated)
    open_[-1] = 0
    return advantages.reward_to_go(r, v_next, open_, truncated, gamma)


@reward_to_go.misconception(
    "That is the one-step target. v_next counts at a cut alone: elsewhere G_{t+1} follows."
)
def looks_one_step_ahead(r, v_next, terminated, truncated, gamma):
    return td_target(r, v_next, terminated, gamma)


@reward_to_go.misconception("v_next comes a step later than r: discount it by γ as well.")
def adds_the_value_undiscounted(r, v_next, terminated, truncated, gamma):
    cut = np.array(truncated) * 1.0
    cut[-1] = 1
    extra = np.where(cut * (1 - terminated) > 0, (1 - gamma) * v_next, 0)
    return advantages.reward_to_go(r + extra, v_next, terminated, truncated, gamma)


@reward_to_go.misconception("At a cut v_next stands for G_{t+1}: either of them, not their sum.")
def adds_the_next_episode_to_the_value(r, v_next, terminated, truncated, gamma):
    def follows(t, after):
        cut = 1 if after is None else truncated[t]
        return (1 - terminated[t]) * (cut * v_next[t] + (0 if after is None else after))

    return backwards(r, v_next, gamma, follows)


@reward_to_go.misconception(
    "v_next[t] is the value of the state that step t led to: row t of it, and not row t + 1."
)
def takes_the_value_of_the_row_after(r, v_next, terminated, truncated, gamma):
    later = np.concatenate([v_next[1:], v_next[-1:]])
    return advantages.reward_to_go(r, later, terminated, truncated, gamma)


@reward_to_go.misconception(
    "Each environment is cut by itself: choose for each with np.where, not for the whole row."
)
def cuts_all_if_one_is_cut(r, v_next, terminated, truncated, gamma):
    def follows(t, after):
        cut = after is None or np.any(truncated[t])
        return (1 - terminated[t]) * (v_next[t] if cut else after)

    return backwards(r, v_next, gamma, follows)


@reward_to_go.misconception("Later rewards count less: each step multiplies what follows by γ.")
def forgets_to_discount_returns(r, v_next, terminated, truncated, gamma):
    return advantages.reward_to_go(r, v_next, terminated, truncated, 1.0)


@reward_to_go.misconception(
    "γ counts from the step itself: r_t enters G_t whole. The factor γ^t belongs to the weight."
)
def discounts_from_the_first_row(r, v_next, terminated, truncated, gamma):
    g = advantages.reward_to_go(r, v_next, terminated, truncated, gamma)
    return (float(gamma) ** np.arange(len(r))).reshape(-1, *[1] * (r.ndim - 1)) * g


@reward_to_go.misconception("What was earned before a step is not its doing: sum what is to come.")
def gathers_the_past(r, v_next, terminated, truncated, gamma):
    over = np.maximum(terminated, truncated)
    g = np.array(r, float)
    for t in range(1, len(r)):
        g[t] += gamma * (1 - over[t - 1]) * g[t - 1]
    return g


@reward_to_go.misconception("Time is the first axis: rows are steps, columns environments.")
def runs_along_the_last_axis(r, v_next, terminated, truncated, gamma):
    turned = [np.moveaxis(x, -1, 0) for x in (r, v_next, terminated, truncated)]
    return np.moveaxis(advantages.reward_to_go(*turned, gamma), 0, -1)


@reward_to_go.misconception("r[t] += ... writes into the caller's rewards: copy them first.")
def writes_into_the_rewards(r, v_next, terminated, truncated, gamma):
    found = advantages.reward_to_go(r, v_next, terminated, truncated, gamma)
    r[...] = found
    return r


@reward_to_go.misconception(
    "zeros_like(r) of whole numbers holds whole numbers only: ask for floats, dtype=float."
)
def rounds_returns_to_whole_numbers(r, v_next, terminated, truncated, gamma):
    g = np.zeros_like(r)
    after = v_next[-1]
    for t in reversed(range(len(r))):
        follows = np.where(truncated[t], v_next[t], after)
        g[t] = after = r[t] + gamma * (1 - terminated[t]) * follows
    return g


@reward_to_go.misconception(
    "~ makes -1 and -2 of 0 and 1: write 1 - terminated, which serves booleans and numbers."
)
def inverts_flags_bit_by_bit(r, v_next, terminated, truncated, gamma):
    return advantages.reward_to_go(r, v_next, 1 - ~terminated, truncated, gamma)


@reward_to_go.control
def returns_by_where(r, v_next, terminated, truncated, gamma):
    cut = np.asarray(truncated) != 0
    cut[-1] = True
    g, after = np.empty(r.shape), 0.0
    for t in range(len(r) - 1, -1, -1):
        after = np.where(cut[t], v_next[t], after)
        after = r[t] + gamma * np.where(terminated[t], 0.0, after)
        g[t] = after
    return g


@reward_to_go.control
def returns_forwards_one_by_one(r, v_next, terminated, truncated, gamma):
    g = np.zeros(r.shape)
    for first, *at in np.ndindex(r.shape):
        weight = 1.0
        for t in range(first, len(r)):
            g[first, *at] += weight * r[t, *at]
            weight *= gamma
            if terminated[t, *at]:
                break
            if truncated[t, *at] or t == len(r) - 1:
                g[first, *at] += weight * v_next[t, *at]
                break
    return g


# ------------------------------------------------------------------------------- baseline

optimal_baseline = exercise(
    pg.optimal_baseline,
    nudge="Σ_a π |∇ log π|² (q - b)² is a parabola in b. Where is it lowest, and where is it flat?",
    worked={
        "pi": np.array([[0.75, 0.25], [1.0, 0.0]]),
        "q": np.array([[4.0, 0.0], [3.0, 9.0]]),
        "score": np.array([[[0.25], [-0.75]], [[0.0], [-1.0]]]),
    },
)


def weighed(rng, *shape, size=2.0):
    """Values and scores under a policy: shape (..., S, A, D)."""
    case = known(rng, *shape, size=size)
    return {n: case[n] for n in ("pi", "q", "score")}


def still(case, states):
    """The case with scores of 0 in some states."""
    return case | {"score": np.where(states[..., None, None], 0.0, case["score"])}


@optimal_baseline.check(points=2)
def test_the_optimal_baseline_weighs_values_by_probability_and_squared_score(rng):
    for shape in ((5, 3, 4), (3, 7, 2), (8, 2, 3), (2, 4, 1)):
        yield weighed(rng, *shape)


@optimal_baseline.check(points=1)
def test_each_learner_has_optimal_baselines_of_its_own(rng):
    for shape in ((4, 5, 3, 2), (1, 3, 6, 4), (2, 3, 5, 4, 1)):
        yield weighed(rng, *shape)


@optimal_baseline.check(points=1)
def test_where_nothing_that_is_done_has_a_score_the_value_is_the_baseline(rng):
    """where nothing that the policy does has a score, the baseline is the value of the state"""
    for shape, n in (((6, 3, 4), 2), ((4, 2, 3), 1)):
        states = some_of(rng, shape[0], n)
        yield still(weighed(rng, *shape), states)
        pi = sure(rng, policy(rng, *shape[:2]), states)
        yield weighed(rng, *shape) | {"pi": pi, "score": score_of(rng, pi, shape[2])}
    yield still(weighed(rng, 3, 4, 5, 2), rng.permuted(np.eye(3, 4) > 0, axis=1))
    yield weighed(rng, 5, 1, 3)


@optimal_baseline.check(points=1)
def test_the_optimal_baseline_stands_scores_and_values_of_any_size(rng):
    """scores may be long or short, actions rare, values large, negative or whole numbers"""
    for size in (FAR, 1e-7):
        case = weighed(rng, 5, 4, 3)
        yield case | {"score": size * case["score"]}
        length = np.where(some_of(rng, 5, 2), size, 1.0)[:, None, None]
        yield case | {"score": length * case["score"], "q": FAR * case["q"]}
    pi = 0.999 * sure(rng, policy(rng, 4, 3), np.ones(4, bool)) + 0.001 * policy(rng, 4, 3)
    yield {"pi": pi, "q": -FAR * (pi < 0.5) - rng.random((4, 3)), "score": score_of(rng, pi, 5)}
    yield weighed(rng, 3, 5, 2) | {"q": rng.integers(-5, 6, (3, 5))}


def baseline(weight, q, flat):
    """Σ w q / Σ w, or `flat` where the weights are 0."""
    total = weight.sum(-1)
    return np.where(total > 0, (weight * q).sum(-1) / np.where(total > 0, total, 1), flat)


def square(score):
    return (score**2).sum(-1)


def value(pi, q):
    return (pi * q).sum(-1)


@optimal_baseline.misconception(
    "v(s) is a good baseline, and not the best: actions with a long score need it more."
)
def takes_the_value_of_the_state(pi, q, score):
    return value(pi, q)


@optimal_baseline.misconception("A variance is a square, so the length of the score is squared.")
def weighs_by_the_length_of_the_score(pi, q, score):
    return baseline(pi * np.sqrt(square(score)), q, value(pi, q))


@optimal_baseline.misconception(
    "An action counts as often as it is taken: the weight π is missing."
)
def forgets_how_often_an_action_is_taken(pi, q, score):
    return baseline(square(score), q, value(pi, q))


@optimal_baseline.misconception("π counts once: the score is ∇ log π, and not ∇π.")
def squares_the_probability_too(pi, q, score):
    return baseline(pi**2 * square(score), q, value(pi, q))


@optimal_baseline.misconception(
    "One baseline for all parameters is a ratio of sums, not the mean of the ratios."
)
def averages_a_baseline_of_each_parameter(pi, q, score):
    each = np.moveaxis(pi[..., None] * score**2, -1, 0)
    return baseline(each, q, value(pi, q)).mean(0)


@optimal_baseline.misconception("The squared length sums the squares: square first, then sum.")
def squares_the_sum_of_the_score(pi, q, score):
    total = score.sum(-1)
    return baseline(pi * np.where(square(score) > 0, total**2, 0), q, value(pi, q))


@optimal_baseline.misconception(
    "Where nothing that is done has a score 0 / 0 is NaN: any baseline will do, and v(s) is asked."
)
def divides_nothing_by_nothing(pi, q, score):
    weight = pi * square(score)
    with np.errstate(invalid="ignore"):
        return (weight * q).sum(-1) / weight.sum(-1)


@optimal_baseline.misconception("Where no score is left the baseline is v(s), not 0.")
def takes_zero_where_nothing_is_scored(pi, q, score):
    return baseline(pi * square(score), q, 0.0)


@optimal_baseline.misconception(
    "v(s) is the mean of q under π: the actions are not equally likely."
)
def takes_a_plain_mean_where_nothing_is_scored(pi, q, score):
    return baseline(pi * square(score), q, q.mean(-1))


@optimal_baseline.misconception(
    "A small constant in the divisor changes every baseline: ask where the sum is 0 instead."
)
def divides_by_a_little_more(pi, q, score):
    weight = pi * square(score)
    total = weight.sum(-1)
    return np.where(total > 0, (weight * q).sum(-1) / (total + 1e-8), value(pi, q))


@optimal_baseline.misconception("A short score is not none: v(s) only where the sum is exactly 0.")
def takes_a_short_score_for_none(pi, q, score):
    weight = pi * square(score)
    return baseline(np.where(weight.sum(-1, keepdims=True) > 1e-8, weight, 0), q, value(pi, q))


@optimal_baseline.misconception("Divide by the weights that were used: Σ π |∇ log π|².")
def leaves_the_weights_as_they_are(pi, q, score):
    return (pi * square(score) * q).sum(-1)


@optimal_baseline.misconception("Each state has a baseline of its own: sum over the actions alone.")
def takes_one_baseline_for_all_states(pi, q, score):
    weight = pi * square(score)
    one = (weight * q).sum((-2, -1)) / np.maximum(weight.sum((-2, -1)), 1e-300)
    return one[..., None] + 0 * value(pi, q)


@optimal_baseline.control
def baseline_by_einsum(pi, q, score):
    total = np.einsum("...a,...ad,...ad->...", pi, score, score)
    b = np.einsum("...a,...a,...ad,...ad->...", pi, q, score, score)
    found = value(pi, q)
    found[total != 0] = b[total != 0] / total[total != 0]
    return found


@optimal_baseline.control
def baseline_state_by_state(pi, q, score):
    found = np.zeros(pi.shape[:-1])
    for at in np.ndindex(found.shape):
        weight = [p * (s @ s) for p, s in zip(pi[at], score[at], strict=True)]
        if not sum(weight):
            weight = list(pi[at])
        found[at] = np.dot(weight, q[at]) / sum(weight)
    return found


# ------------------------------------------------------------------------------- loss

policy_gradient_loss = exercise(
    policy_losses.policy_gradient_loss,
    nudge="Its gradient must be -mean(Â ∇ log π) - β mean ∇H. What in it is data, and no function "
    "of the logits?",
    worked={
        "logits": torch.tensor([[0.0, 0.0], [0.0, 2.0]], dtype=torch.float64),
        "a": torch.tensor([1, 1]),
        "advantage": torch.tensor([2.0, -1.0], dtype=torch.float64),
        "beta": 0.5,
    },
)


def tensor(x):
    return torch.from_numpy(np.asarray(x))


def samples(rng, *shape, size=1.0):
    """Logits (..., N, A) with an action and an advantage of either sign for each sample."""
    return {
        "logits": tensor(size * rng.normal(size=shape)),
        "a": tensor(rng.integers(shape[-1], size=shape[:-1])),
        "advantage": tensor(2 * rng.normal(size=shape[:-1]) + 0.5),
    }


def paid(rng, *shape, beta=None, size=1.0):
    return samples(rng, *shape, size=size) | {"beta": beta or rng.uniform(0.05, 0.6)}


@policy_gradient_loss.check(points=2, gradients=("logits",))
def test_the_loss_makes_actions_of_positive_advantage_likelier(rng):
    """the loss is minus the mean of log π(a|s) Â, as a value and in its gradient"""
    for shape, beta in (((7, 3), 0.0), ((5, 4), 0), ((3, 8), 1e-3), ((1, 5), 0.01)):
        yield samples(rng, *shape, size=2) | {"beta": beta}


@policy_gradient_loss.check(points=1, gradients=("logits",))
def test_the_loss_pays_for_the_entropy_of_the_whole_policy(rng):
    for shape, size in (((6, 3), 1), ((4, 7), 3), ((5, 2), 0.1)):
        yield paid(rng, *shape, size=size)
    case = paid(rng, 5, 4)
    yield case | {"logits": torch.where(tensor(some_of(rng, 5, 2))[:, None], 0, case["logits"])}
    yield case | {"advantage": 0 * case["advantage"], "beta": 2}


@policy_gradient_loss.check(points=1, gradients=("logits", "advantage"))
def test_no_gradient_of_the_loss_flows_through_the_advantage(rng):
    for shape in ((7, 3), (4, 5), (2, 3, 4)):
        yield paid(rng, *shape)


@policy_gradient_loss.check(points=1, gradients=("logits",))
def test_the_loss_of_each_learner_is_a_mean_over_its_own_samples(rng):
    for shape in ((4, 6, 3), (1, 5, 2), (3, 1, 4), (2, 3, 5, 4)):
        yield paid(rng, *shape)


@policy_gradient_loss.check(points=1, gradients=("logits",))
def test_the_loss_stays_finite_at_logits_of_ten_thousand(rng):
    """the loss stays finite for logits of ten thousand of either sign, and for one action alone"""
    yield paid(rng, 6, 4, size=FAR)
    for base in (FAR, -FAR):
        case = paid(rng, 3, 5)
        yield case | {"logits": case["logits"] + base, "advantage": 100 * case["advantage"]}
    yield paid(rng, 5, 3) | {"logits": tensor(rng.permutation([0.0, -FAR, FAR])).repeat(5, 1)}
    yield paid(rng, 2, 4, 1)


def log_pi(logits, a):
    return policy_losses.log_prob(logits, a)


def entropies(logits):
    return policy_losses.categorical_entropy(logits)


@policy_gradient_loss.misconception(
    "The advantage is a weight: .detach() it, or its own parameters are trained to flatter."
)
def gradient_through_the_advantage(logits, a, advantage, beta):
    return -(log_pi(logits, a) * advantage + beta * entropies(logits)).mean(-1)


@policy_gradient_loss.misconception(
    "The sign of the entropy bonus is turned round: an optimizer goes down, so it is - β H."
)
def pays_for_being_sure(logits, a, advantage, beta):
    return policy_losses.policy_gradient_loss(logits, a, advantage, -beta)


@policy_gradient_loss.misconception("An optimizer goes down: a loss is minus what should grow.")
def climbs_down(logits, a, advantage, beta):
    return -policy_losses.policy_gradient_loss(logits, a, advantage, beta)


@policy_gradient_loss.misconception("With a sum the step grows with the batch: take the mean.")
def sums_over_the_samples(logits, a, advantage, beta):
    return logits.shape[-2] * policy_losses.policy_gradient_loss(logits, a, advantage, beta)


@policy_gradient_loss.misconception(
    "Logits are no log-probabilities: take their logsumexp off (log_softmax)."
)
def takes_logits_for_log_probabilities(logits, a, advantage, beta):
    taken = logits.gather(-1, a[..., None])[..., 0]
    return -(taken * advantage.detach() + beta * entropies(logits)).mean(-1)


@policy_gradient_loss.misconception(
    "The score is ∇ log π: samples come with weight π already, so weigh log π(a|s), not π(a|s)."
)
def takes_the_probability(logits, a, advantage, beta):
    gain = log_pi(logits, a).exp() * advantage.detach()
    return -(gain + beta * entropies(logits)).mean(-1)


@policy_gradient_loss.misconception(
    "Each learner has a loss of its own: the mean goes over the last axis, the samples."
)
def averages_over_all_learners(logits, a, advantage, beta):
    return -(log_pi(logits, a) * advantage.detach() + beta * entropies(logits)).mean()


@policy_gradient_loss.misconception(
    "Advantages come as they are to be used: to centre and scale them is another method."
)
def scales_the_advantages(logits, a, advantage, beta):
    far = advantage - advantage.mean(-1, keepdim=True)
    scaled = far / (far.square().mean(-1, keepdim=True).sqrt() + 1e-8)
    return policy_losses.policy_gradient_loss(logits, a, scaled, beta)


@policy_gradient_loss.misconception(
    "-log π(a|s) of the action taken is one sample of H, with another gradient: sum over actions."
)
def samples_the_entropy(logits, a, advantage, beta):
    lp = log_pi(logits, a)
    return -(lp * advantage.detach() - beta * lp).mean(-1)


@policy_gradient_loss.misconception("The bonus β H is missing: the loss pays for entropy too.")
def forgets_the_entropy(logits, a, advantage, beta):
    return policy_losses.policy_gradient_loss(logits, a, advantage, 0.0)


@policy_gradient_loss.misconception(
    "The bonus must move the policy: no .detach() and no .no_grad() around the entropy."
)
def pays_without_a_gradient(logits, a, advantage, beta):
    gain = log_pi(logits, a) * advantage.detach()
    return -(gain + beta * entropies(logits).detach()).mean(-1)


@policy_gradient_loss.misconception("Both terms are means over the samples: the entropy's too.")
def sums_the_entropy_over_the_samples(logits, a, advantage, beta):
    return policy_losses.policy_gradient_loss(logits, a, advantage, beta * logits.shape[-2])


@policy_gradient_loss.misconception("The probabilities make it a mean already: H is a sum over a.")
def divides_the_entropy_by_the_number_of_actions(logits, a, advantage, beta):
    return policy_losses.policy_gradient_loss(logits, a, advantage, beta / logits.shape[-1])


@policy_gradient_loss.misconception(
    "softmax underflows to 0 and log 0 is -inf, which makes NaN of 0 log 0: use log_softmax."
)
def takes_the_log_of_a_softmax(logits, a, advantage, beta):
    pi = logits.softmax(-1)
    gain = pi.log().gather(-1, a[..., None])[..., 0] * advantage.detach()
    return -(gain - beta * (pi * pi.log()).sum(-1)).mean(-1)


@policy_gradient_loss.misconception(
    "A small constant inside the log keeps it finite, and wrong: use log_softmax."
)
def adds_a_little_inside_the_log(logits, a, advantage, beta):
    pi = logits.softmax(-1)
    lp = (pi + 1e-8).log()
    gain = lp.gather(-1, a[..., None])[..., 0] * advantage.detach()
    return -(gain - beta * (pi * lp).sum(-1)).mean(-1)


@policy_gradient_loss.misconception("The bonus doesn't depend on how well it went: no Â before H.")
def weighs_the_entropy_by_the_advantage(logits, a, advantage, beta):
    gain = log_pi(logits, a) + beta * entropies(logits)
    return -(gain * advantage.detach()).mean(-1)


@policy_gradient_loss.misconception(
    "A bad action must be made less likely: advantages below 0 count as well."
)
def ignores_bad_actions(logits, a, advantage, beta):
    return policy_losses.policy_gradient_loss(logits, a, advantage.clamp(min=0), beta)


@policy_gradient_loss.control
def loss_by_cross_entropy(logits, a, advantage, beta):
    rows = logits.reshape(-1, logits.shape[-1])
    surprise = F.cross_entropy(rows, a.reshape(-1), reduction="none").reshape(a.shape)
    entropy = torch.distributions.Categorical(logits=logits).entropy()
    return (surprise * advantage.detach()).mean(-1) - beta * entropy.mean(-1)


@policy_gradient_loss.control
def loss_by_one_hot(logits, a, advantage, beta):
    lp = logits - logits.logsumexp(-1, keepdim=True)
    with torch.no_grad():
        picked = F.one_hot(a, logits.shape[-1]) * advantage[..., None]
    return -(lp * picked).sum((-2, -1)) / a.shape[-1] + beta * (lp.exp() * lp).sum(-1).mean(-1)


# ------------------------------------------------------------------------------- off-policy

weighted_policy_loss = exercise(
    policy_losses.weighted_policy_loss,
    nudge="How much more often would π have taken these actions than b did? And which of the two "
    "depends on the logits?",
    worked={
        "logits": torch.tensor([[0.0, 0.0], [0.0, 2.0]], dtype=torch.float64),
        "a": torch.tensor([1, 1]),
        "log_prob_old": torch.tensor([-1.4, -0.1], dtype=torch.float64),
        "advantage": torch.tensor([2.0, -1.0], dtype=torch.float64),
    },
)


def off_policy(rng, *shape, size=1.0, apart=0.7):
    """Samples of a behaviour policy whose log-probabilities differ from those of the logits."""
    case = samples(rng, *shape, size=size)
    lp = log_pi(case["logits"], case["a"])
    return case | {"log_prob_old": lp - tensor(apart * rng.normal(size=shape[:-1]))}


@weighted_policy_loss.check(points=2, gradients=("logits",))
def test_the_weighted_loss_counts_samples_by_how_much_likelier_they_have_become(rng):
    for shape in ((7, 3), (4, 5), (3, 8), (1, 4)):
        yield off_policy(rng, *shape)
    yield off_policy(rng, 6, 2) | {"log_prob_old": tensor(np.log(rng.uniform(0.1, 0.9, 6)))}


@weighted_policy_loss.check(points=1, gradients=("logits",))
def test_the_weighted_loss_still_has_a_gradient_where_both_policies_agree(rng):
    """where both policies agree the ratio is 1, and the gradient that of the policy"""
    for shape in ((6, 3), (5, 4), (2, 4, 7)):
        yield off_policy(rng, *shape, apart=0.0)
    yield off_policy(rng, 5, 2, apart=0.01)


@weighted_policy_loss.check(points=1, gradients=("logits", "log_prob_old", "advantage"))
def test_no_gradient_of_the_weighted_loss_reaches_the_data(rng):
    """no gradient reaches the old log-probabilities or the advantages: they are data"""
    for shape in ((7, 3), (4, 5), (3, 2, 4)):
        yield off_policy(rng, *shape)


@weighted_policy_loss.check(points=1, gradients=("logits",))
def test_the_weighted_loss_cuts_off_no_ratio_however_far_from_one(rng):
    """ratios far from 1 count in full, for good actions and bad ones"""
    for shape in ((8, 3), (6, 5)):
        case = off_policy(rng, *shape, apart=0.1)
        far = np.where(some_of(rng, shape[0], shape[0] // 2), 3.0, -3.0)
        yield case | {"log_prob_old": case["log_prob_old"] - tensor(far)}
        yield case | {"advantage": -case["advantage"], "log_prob_old": case["log_prob_old"] - 8}


@weighted_policy_loss.check(points=1, gradients=("logits",))
def test_the_weighted_loss_is_a_mean_for_each_learner_and_stays_finite(rng):
    """each learner has a mean of its own, finite also where probabilities underflow"""
    for shape in ((4, 6, 3), (1, 5, 2), (3, 1, 4), (2, 3, 5, 4), (7, 1)):
        yield off_policy(rng, *shape)
    yield off_policy(rng, 6, 4, size=FAR)
    case = off_policy(rng, 3, 5)
    yield case | {"logits": case["logits"] + FAR}


def ratio(logits, a, log_prob_old):
    return (log_pi(logits, a) - log_prob_old).exp()


@weighted_policy_loss.misconception(
    "The ratio is inverted: it is π over b, so log π(a|s) - log b(a|s)."
)
def ratio_inverted(logits, a, log_prob_old, advantage):
    rho = (log_prob_old.detach() - log_pi(logits, a)).exp()
    return -(rho * advantage.detach()).mean(-1)


@weighted_policy_loss.misconception(
    "Recomputed from the present logits the old log-probabilities are the new ones, and every "
    "ratio is 1: use those that were stored when the actions were taken."
)
def old_log_probabilities_recomputed(logits, a, log_prob_old, advantage):
    return -(ratio(logits, a, log_pi(logits, a).detach()) * advantage.detach()).mean(-1)


@weighted_policy_loss.misconception("The old policy is past: .detach() its log-probabilities.")
def gradient_through_the_old_policy(logits, a, log_prob_old, advantage):
    return -(ratio(logits, a, log_prob_old) * advantage.detach()).mean(-1)


@weighted_policy_loss.misconception(
    "The advantage is a weight: .detach() it, or its own parameters are trained to flatter."
)
def gradient_through_the_weight(logits, a, log_prob_old, advantage):
    return -(ratio(logits, a, log_prob_old.detach()) * advantage).mean(-1)


@weighted_policy_loss.misconception(
    "ρ.detach() log π has the right gradient, and another value: ρ itself is what is averaged."
)
def multiplies_the_ratio_by_the_log(logits, a, log_prob_old, advantage):
    rho = ratio(logits, a, log_prob_old).detach()
    return -(rho * log_pi(logits, a) * advantage.detach()).mean(-1)


@weighted_policy_loss.misconception(
    "A ratio that is detached carries no gradient: it is the only way from the loss to the logits."
)
def detaches_the_ratio(logits, a, log_prob_old, advantage):
    rho = ratio(logits, a, log_prob_old).detach()
    return -(rho * advantage).mean(-1).detach() + 0 * logits.sum((-2, -1))


@weighted_policy_loss.misconception("The difference of logs is the log of the ratio: take its exp.")
def forgets_the_exponential(logits, a, log_prob_old, advantage):
    return -((log_pi(logits, a) - log_prob_old.detach()) * advantage.detach()).mean(-1)


@weighted_policy_loss.misconception(
    "Logits are no log-probabilities: take their logsumexp off (log_softmax)."
)
def takes_logits_for_logs(logits, a, log_prob_old, advantage):
    taken = logits.gather(-1, a[..., None])[..., 0]
    return -((taken - log_prob_old.detach()).exp() * advantage.detach()).mean(-1)


@weighted_policy_loss.misconception(
    "Clipping comes with PPO. Here the ratio counts in full: the mean must stay unbiased."
)
def clips_the_ratio(logits, a, log_prob_old, advantage):
    rho, weight = ratio(logits, a, log_prob_old.detach()), advantage.detach()
    return -torch.minimum(rho * weight, rho.clamp(0.8, 1.2) * weight).mean(-1)


@weighted_policy_loss.misconception(
    "Ratios are multiplied along the steps of an episode. Samples have each a ratio of its own."
)
def multiplies_the_ratios_of_all_samples(logits, a, log_prob_old, advantage):
    rho = (log_pi(logits, a) - log_prob_old.detach()).cumsum(-1).exp()
    return -(rho * advantage.detach()).mean(-1)


@weighted_policy_loss.misconception(
    "Divided by Σ ρ the estimate is biased: an ordinary mean divides by N."
)
def divides_by_the_sum_of_the_ratios(logits, a, log_prob_old, advantage):
    rho = ratio(logits, a, log_prob_old.detach())
    return -(rho * advantage.detach()).sum(-1) / rho.sum(-1)


@weighted_policy_loss.misconception("With a sum the step grows with the batch: take the mean.")
def sums_the_weighted_samples(logits, a, log_prob_old, advantage):
    return -(ratio(logits, a, log_prob_old.detach()) * advantage.detach()).sum(-1)


@weighted_policy_loss.misconception("An optimizer goes down: a loss is minus what should grow.")
def goes_downhill_off_policy(logits, a, log_prob_old, advantage):
    return (ratio(logits, a, log_prob_old.detach()) * advantage.detach()).mean(-1)


@weighted_policy_loss.misconception(
    "Each learner has a loss of its own: the mean goes over the last axis, the samples."
)
def averages_over_every_learner(logits, a, log_prob_old, advantage):
    return -(ratio(logits, a, log_prob_old.detach()) * advantage.detach()).mean()


@weighted_policy_loss.misconception(
    "Two probabilities that underflow give 0 / 0: subtract the logs first, then take exp."
)
def divides_the_probabilities(logits, a, log_prob_old, advantage):
    rho = logits.softmax(-1).gather(-1, a[..., None])[..., 0] / log_prob_old.detach().exp()
    return -(rho * advantage.detach()).mean(-1)


@weighted_policy_loss.control
def weighted_by_cross_entropy(logits, a, log_prob_old, advantage):
    rows = logits.reshape(-1, logits.shape[-1])
    surprise = F.cross_entropy(rows, a.reshape(-1), reduction="none").reshape(a.shape)
    with torch.no_grad():
        weight = advantage / a.shape[-1]
        past = log_prob_old.clone()
    return -(torch.exp(-surprise - past) * weight).sum(-1)


@weighted_policy_loss.control
def weighted_sample_by_sample(logits, a, log_prob_old, advantage):
    behaviour, weight = log_prob_old.detach(), advantage.detach()
    total = 0.0
    for n in range(a.shape[-1]):
        dist = torch.distributions.Categorical(logits=logits[..., n, :])
        total = total - (dist.log_prob(a[..., n]) - behaviour[..., n]).exp() * weight[..., n]
    return total / a.shape[-1]
