"""The five exercises of the Monte Carlo chapter: completed returns, first visits, ε-greedy
policies, importance ratios and weighted estimates.

Axes differ in size and vary: S states, A actions, B episodes or learners, T steps, N episodes.
"""

import numpy as np

from rlcourse.grading import exercise
from rlcourse.tabular import importance_sampling, monte_carlo, returns

# ------------------------------------------------------------------------------- episodes to draw


def draw_alive(rng, steps, n):
    """The mask (T, B) of n episodes of 1 .. T steps, one of which has all T."""
    lengths = rng.integers(1, steps + 1, n)
    lengths[rng.integers(n)] = steps
    return np.arange(steps)[:, None] < lengths


def draw_rewards(rng, alive, scale=1.0):
    return scale * rng.normal(size=alive.shape) * alive


# ------------------------------------------------------------------------------- completed returns

completed_returns = exercise(
    returns.completed_returns,
    nudge="Go backwards. What follows the last step if the episode was cut, and what if it ended?",
    worked={
        "r": np.array([[1.0, 1.0], [1.0, 1.0], [1.0, 0.0]]),
        "alive": np.array([[True, True], [True, True], [True, False]]),
        "terminated": np.array([False, True]),
        "v_last": np.array([10.0, 7.0]),
        "gamma": 0.5,
    },
)


def returns_case(rng, steps, n, ended, gamma, scale=1.0):
    alive = draw_alive(rng, steps, n)
    return {
        "r": draw_rewards(rng, alive, scale),
        "alive": alive,
        "terminated": rng.permutation(np.arange(n) < ended),
        "v_last": scale * (rng.choice([-1, 1], n) + rng.normal(size=n) / 2),
        "gamma": gamma,
    }


@completed_returns.check(points=2)
def test_a_return_of_an_episode_that_ended_adds_up_what_was_still_to_come(rng):
    for steps, n in ((6, 4), (9, 2), (3, 7)):
        yield returns_case(rng, steps, n, n, rng.uniform(0.3, 0.95))
    yield returns_case(rng, 8, 1, 1, rng.uniform(0.3, 0.95))
    yield returns_case(rng, 1, 5, 5, rng.uniform(0.3, 0.95))
    case = returns_case(rng, 9, 4, 4, rng.uniform(0.3, 0.95))
    case["r"] = case["r"] * (rng.random((9, 4)) < 0.4)  # many steps earn nothing
    yield case


@completed_returns.check(points=2)
def test_a_cut_episode_is_completed_by_what_its_last_state_is_worth(rng):
    for steps, n, ended in ((5, 4, 0), (4, 7, 3), (1, 6, 2)):
        case = returns_case(rng, steps, n, ended, rng.uniform(0.3, 0.95))
        case["alive"] = np.ones((steps, n), dtype=np.bool_)  # the limit cuts all in the same step
        case["r"] = rng.normal(size=(steps, n))
        yield case


@completed_returns.check(points=1)
def test_cut_and_ended_episodes_of_many_lengths_stand_side_by_side(rng):
    for steps, n, ended in ((7, 5, 2), (4, 9, 4), (8, 3, 1)):
        yield returns_case(rng, steps, n, ended, rng.uniform(0.3, 0.95))
    yield returns_case(rng, 120, 3, 1, 0.995)
    case = returns_case(rng, 6, 4, 1, rng.uniform(0.3, 0.95))
    case["r"][2:] = 0  # the last steps earn nothing
    yield case


@completed_returns.check(points=1)
def test_completed_returns_hold_at_gamma_one_and_zero_and_for_large_rewards(rng):
    for gamma, steps, n in ((1.0, 5, 4), (0.0, 4, 6), (1, 6, 3)):
        yield returns_case(rng, steps, n, n // 2, gamma)
        yield returns_case(rng, steps, n, n // 2, gamma, scale=1e4)


def added_up(case_r, alive, gamma, follows):
    """G_t backwards through each episode, from what follows its last step (B,)."""
    g = np.zeros(case_r.shape)
    for t in reversed(range(len(case_r))):
        follows = np.where(alive[t], case_r[t] + gamma * follows, follows)
        g[t] = follows * alive[t]
    return g


@completed_returns.misconception(
    "The last row is where the time limit came, not an end: unless it terminated, v_last follows."
)
def takes_the_time_limit_for_an_end(r, alive, terminated, v_last, gamma):
    return added_up(r, alive, gamma, np.where(terminated | alive[-1], 0.0, v_last))


@completed_returns.misconception(
    "An episode that was cut is not over: its last state is still worth v_last."
)
def forgets_what_a_cut_episode_is_still_worth(r, alive, terminated, v_last, gamma):
    return added_up(r, alive, gamma, np.zeros(len(v_last)))


@completed_returns.misconception(
    "Nothing follows an episode that terminated, whatever v_last says: use it for the others."
)
def completes_what_has_ended(r, alive, terminated, v_last, gamma):
    return added_up(r, alive, gamma, 1.0 * v_last)


@completed_returns.misconception(
    "The flag is upside down: v_last follows where the episode did not terminate."
)
def completes_only_what_has_ended(r, alive, terminated, v_last, gamma):
    return added_up(r, alive, gamma, np.where(terminated, v_last, 0.0))


@completed_returns.misconception(
    "The padding is no part of the episode: v_last is discounted over its own steps alone."
)
def discounts_through_the_padding(r, alive, terminated, v_last, gamma):
    follows, g = np.where(terminated, 0.0, v_last), np.zeros(r.shape)
    for t in reversed(range(len(r))):
        follows = r[t] + gamma * follows
        g[t] = follows * alive[t]
    return g


@completed_returns.misconception(
    "v_last comes after the last step: in G_t it is discounted by γ for every step until then."
)
def adds_the_last_value_undiscounted(r, alive, terminated, v_last, gamma):
    g = added_up(r, alive, gamma, np.zeros(len(v_last)))
    return g + np.where(terminated, 0.0, v_last) * alive


@completed_returns.misconception(
    "v_last is worth γ v_last at the last step, which earns its own reward first: r + γ v_last."
)
def takes_the_last_value_for_the_last_return(r, alive, terminated, v_last, gamma):
    last = alive & ~np.vstack([alive[1:], np.zeros_like(alive[:1])])
    follows, g = np.zeros(len(v_last)), np.zeros(r.shape)
    for t in reversed(range(len(r))):
        now = np.where(last[t] & ~terminated, v_last, r[t] + gamma * follows)
        follows = np.where(alive[t], now, follows)
        g[t] = follows * alive[t]
    return g


@completed_returns.misconception(
    "Each later reward counts γ times less: multiply by γ once a step."
)
def forgets_to_discount(r, alive, terminated, v_last, gamma):
    return added_up(r, alive, 1.0, np.where(terminated, 0.0, v_last))


@completed_returns.misconception(
    "γ counts from the step itself: r_t enters G_t with weight 1, not γ^t."
)
def discounts_from_the_first_step(r, alive, terminated, v_last, gamma):
    g = added_up(r, alive, gamma, np.where(terminated, 0.0, v_last))
    return gamma ** np.arange(len(r))[:, None] * g


@completed_returns.misconception("The return looks ahead, not back: begin with the last step.")
def gathers_the_past(r, alive, terminated, v_last, gamma):
    g, before = np.zeros(r.shape), np.zeros(r.shape[1])
    for t in range(len(r)):
        before = r[t] + gamma * before
        g[t] = before * alive[t]
    return g


@completed_returns.misconception("After the end there is no step and no return: 0 in the padding.")
def leaves_values_in_the_padding(r, alive, terminated, v_last, gamma):
    follows, g = np.where(terminated, 0.0, v_last), np.zeros(r.shape)
    for t in reversed(range(len(r))):
        follows = np.where(alive[t], r[t] + gamma * follows, follows)
        g[t] = follows
    return g


@completed_returns.misconception(
    "A step that earns nothing is a step: how long an episode lasted stands in `alive`."
)
def takes_the_length_from_the_rewards(r, alive, terminated, v_last, gamma):
    earns = r != 0
    lasted = len(r) - earns[::-1].argmax(0)
    short = np.arange(len(r))[:, None] < np.where(earns.any(0), lasted, 0)
    return added_up(r, short, gamma, np.where(terminated, 0.0, v_last))


@completed_returns.misconception("That is G_0 alone: give the return of every step, (T, B).")
def gives_the_first_return_alone(r, alive, terminated, v_last, gamma):
    return added_up(r, alive, gamma, np.where(terminated, 0.0, v_last))[0]


@completed_returns.control
def completed_one_episode_at_a_time(r, alive, terminated, v_last, gamma):
    g = np.zeros(r.shape)
    for b in range(r.shape[1]):
        later = 0.0 if terminated[b] else v_last[b]
        for t in range(int(alive[:, b].sum()) - 1, -1, -1):
            later = r[t, b] + gamma * later
            g[t, b] = later
    return g


@completed_returns.control
def completed_by_an_extra_reward(r, alive, terminated, v_last, gamma):
    """What follows as one more reward, one step after the last."""
    n_steps, n = r.shape
    longer = np.vstack([r * alive, np.zeros((1, n))])
    longer[alive.sum(0), np.arange(n)] += np.where(terminated, 0.0, v_last)
    t = np.arange(n_steps + 1)
    later = t - t[:, None]
    weights = np.where(later >= 0, np.power(float(gamma), np.maximum(later, 0)), 0.0)
    return (weights @ longer)[:-1] * alive


# ------------------------------------------------------------------------------- first visits

first_visits = exercise(
    returns.first_visits,
    nudge="Each episode has a set of states of its own that it has seen so far.",
    worked={
        "s": np.array([[3, 1], [0, 1], [3, 0], [0, 0], [0, 0]]),
        "alive": np.arange(5)[:, None] < np.array([4, 2]),
    },
)


def visits_case(rng, steps, n, n_states):
    alive = draw_alive(rng, steps, n)
    return {"s": rng.integers(n_states, size=(steps, n)) * alive, "alive": alive}


@first_visits.check(points=2)
def test_the_first_visit_is_where_an_episode_meets_a_state_first(rng):
    for steps, n_states in ((7, 3), (9, 4), (5, 2)):
        yield {
            "s": rng.integers(n_states, size=(steps, 1)),
            "alive": np.ones((steps, 1), dtype=np.bool_),
        }
    s = rng.permutation(6)[:3]  # there and back again
    yield {"s": np.append(s, s[::-1])[:, None], "alive": np.ones((6, 1), dtype=np.bool_)}
    yield {"s": rng.integers(400, size=(90, 1)), "alive": np.ones((90, 1), dtype=np.bool_)}


@first_visits.check(points=1)
def test_each_episode_has_first_visits_of_its_own(rng):
    for steps, n, n_states in ((6, 4, 3), (3, 8, 2), (1, 5, 2)):
        s = rng.integers(n_states, size=(steps, n))
        s[:, 1] = s[:, 0]  # two episodes through the same states
        yield {"s": s, "alive": np.ones((steps, n), dtype=np.bool_)}


@first_visits.check(points=2)
def test_the_padding_is_no_visit_and_state_zero_is_a_state(rng):
    for steps, n, n_states in ((7, 5, 3), (5, 8, 2), (8, 3, 6)):
        yield visits_case(rng, steps, n, n_states)
    case = visits_case(rng, 6, 4, 3)
    case["alive"][2:, 0] = False  # an episode that never was in state 0, with zeros behind it
    case["s"][:, 0] = [2, 1, 0, 0, 0, 0]
    yield case


def visited(s, alive, rule):
    """The mask of the steps whose state is new to the set that rule(b) names."""
    first, seen = np.zeros(s.shape, dtype=np.bool_), {}
    for t, b in np.ndindex(s.shape):
        if alive[t, b]:
            known = seen.setdefault(rule(b), set())
            first[t, b] = s[t, b] not in known
            known.add(s[t, b])
    return first


@first_visits.misconception("After the end there is no step: keep the mask `alive` in the answer.")
def counts_the_padding(s, alive):
    return visited(s, np.ones_like(alive), lambda b: b)


@first_visits.misconception(
    "Every episode begins anew: what another one has visited is no matter to it."
)
def keeps_one_set_for_all_episodes(s, alive):
    return visited(s, alive, lambda b: 0)


@first_visits.misconception("That is the last visit: go forwards, or overwrite when you go back.")
def marks_the_last_visit(s, alive):
    return visited(s[::-1], alive[::-1], lambda b: b)[::-1]


@first_visits.misconception(
    "A state may come back later: compare with all steps before, not with the last one alone."
)
def compares_with_the_step_before(s, alive):
    new = np.ones(s.shape, dtype=np.bool_)
    new[1:] = s[1:] != s[:-1]
    return new & alive


@first_visits.misconception("That is every visit: leave out the steps whose state was met before.")
def marks_every_visit(s, alive):
    return alive.copy()


@first_visits.misconception(
    "A state that comes back still has a first visit: don't leave it out altogether."
)
def marks_states_visited_once_only(s, alive):
    same = (s[:, None] == s[None]) & alive[None]
    return (same.sum(1) == 1) & alive


@first_visits.misconception("State 0 is a state like any other, it does not stand for padding.")
def takes_state_zero_for_padding(s, alive):
    return visited(s, alive, lambda b: b) & (s > 0)


@first_visits.misconception("Those are the repeated visits: the answer is upside down.")
def marks_the_repeats(s, alive):
    return ~visited(s, alive, lambda b: b) & alive


@first_visits.misconception("An episode goes on after a repeat: later states may be new.")
def stops_at_the_first_repeat(s, alive):
    return np.logical_and.accumulate(visited(s, alive, lambda b: b), axis=0)


@first_visits.control
def visits_by_comparing_all_pairs(s, alive):
    earlier = np.tri(len(s), k=-1, dtype=np.bool_)[:, :, None]
    met = ((s[:, None] == s[None]) & earlier & alive[None]).any(1)
    return ~met & alive


@first_visits.control
def visits_by_overwriting_backwards(s, alive):
    first = np.zeros(s.shape, dtype=np.bool_)
    for b in range(s.shape[1]):
        at = {int(s[t, b]): t for t in reversed(range(len(s))) if alive[t, b]}
        first[list(at.values()), b] = True
    return first


# ------------------------------------------------------------------------------- ε-greedy

epsilon_greedy = exercise(
    monte_carlo.epsilon_greedy,
    nudge="Exploring takes any action, the greedy one too: what does each get from that alone?",
    worked={"q": np.array([[1.0, 3.0, 3.0, 0.0], [2.0, 0.0, 0.0, 1.0]]), "epsilon": 0.4},
)


@epsilon_greedy.check(points=2)
def test_exploring_shares_epsilon_among_all_actions_the_best_included(rng):
    for shape in ((6, 3), (4, 5), (2, 3, 4), (3, 8), (7,)):
        yield {"q": rng.normal(size=shape) - 2, "epsilon": rng.uniform(0.1, 0.9)}
    yield {"q": 1e4 * rng.normal(size=(5, 4)), "epsilon": rng.uniform(0.1, 0.9)}
    yield {"q": rng.normal(size=(3, 1)), "epsilon": rng.uniform(0.1, 0.9)}


def tied(rng, rows, n_actions):
    """Rows in which two or more actions are best, beside others that are not."""
    q = rng.integers(-2, 1, size=(rows, n_actions)) * 1.5
    q[np.arange(rows), rng.integers(n_actions, size=rows)] = q.max(-1)
    q[0] = q[0, 0]
    return q


@epsilon_greedy.check(points=1)
def test_equal_best_actions_share_what_is_not_explored(rng):
    for rows, n_actions in ((6, 3), (4, 7), (5, 2)):
        case = {"q": tied(rng, rows, n_actions), "epsilon": rng.uniform(0.1, 0.9)}
        yield case
        yield case | {"ties": "uniform"}
    q = rng.uniform(1, 3, size=(4, 1)) * [1, 1 + 3e-6, 0.5]  # near is not equal
    yield {"q": q, "epsilon": rng.uniform(0.1, 0.9)}


@epsilon_greedy.check(points=1)
def test_with_ties_first_the_first_best_action_takes_it_all(rng):
    for rows, n_actions in ((6, 3), (4, 7), (5, 2)):
        yield {"q": tied(rng, rows, n_actions), "epsilon": rng.uniform(0.1, 0.9), "ties": "first"}
    q = np.stack([tied(rng, 3, 4), tied(rng, 3, 4)])
    yield {"q": q, "epsilon": rng.uniform(0.1, 0.9), "ties": "first"}
    yield {"q": tied(rng, 1, 5)[0], "epsilon": rng.uniform(0.1, 0.9), "ties": "first"}


@epsilon_greedy.check(points=1)
def test_epsilon_is_a_probability_and_both_ends_are_allowed(rng):
    q = tied(rng, 5, 3)
    for epsilon in (0.0, 1.0, 0, 1, -1e-4, -0.5, 1.0001, 3.0, np.nan, rng.uniform(0.1, 0.9)):
        yield {"q": q + rng.normal(), "epsilon": epsilon}


def probable(epsilon):
    if not 0 <= epsilon <= 1:
        raise ValueError("epsilon must lie in [0, 1]")


def best_of(q, ties):
    if ties == "first":
        return np.arange(q.shape[-1]) == q.argmax(-1)[..., None]
    return q == q.max(-1, keepdims=True)


def mixed(q, epsilon, best):
    """ε/A for all, and 1 - ε shared among the best."""
    probable(epsilon)
    return epsilon / q.shape[-1] + (1 - epsilon) * best / best.sum(-1, keepdims=True)


@epsilon_greedy.misconception(
    "Exploring may hit the best action too: it gets ε/A beside 1 - ε; the others get ε/A."
)
def explores_among_the_others_only(q, epsilon, ties="uniform"):
    probable(epsilon)
    best = best_of(q, ties)
    k = best.sum(-1, keepdims=True)
    others = np.maximum(q.shape[-1] - k, 1)
    rest = np.where(k == q.shape[-1], 1.0, 1 - epsilon) / k
    return np.where(best, rest, epsilon / others)


@epsilon_greedy.misconception("A row must sum to 1: the best action gets 1 - ε and its own ε/A.")
def leaves_the_best_without_its_share(q, epsilon, ties="uniform"):
    probable(epsilon)
    best = best_of(q, ties)
    return np.where(best, (1 - epsilon) / best.sum(-1, keepdims=True), epsilon / q.shape[-1])


@epsilon_greedy.misconception("ε is the probability to explore; 1 - ε goes to the best.")
def swaps_exploring_and_exploiting(q, epsilon, ties="uniform"):
    probable(epsilon)
    return mixed(q, 1 - epsilon, best_of(q, ties))


@epsilon_greedy.misconception(
    "Where several actions are best a row would sum to more than 1: divide 1 - ε among them."
)
def gives_each_best_action_all_of_it(q, epsilon, ties="uniform"):
    probable(epsilon)
    return epsilon / q.shape[-1] + (1 - epsilon) * best_of(q, ties)


@epsilon_greedy.misconception(
    "argmax takes the first of equal actions; with ties='uniform' they share."
)
def takes_the_first_of_equals_always(q, epsilon, ties="uniform"):
    return mixed(q, epsilon, best_of(q, "first"))


@epsilon_greedy.misconception(
    "ties='first' asks for the first best action alone: use argmax there."
)
def shares_among_equals_always(q, epsilon, ties="uniform"):
    return mixed(q, epsilon, best_of(q, "uniform"))


@epsilon_greedy.misconception("argmax finds the first of equals; yours takes the last.")
def takes_the_last_of_equals(q, epsilon, ties="uniform"):
    last = best_of(q[..., ::-1], ties)[..., ::-1]
    return mixed(q, epsilon, last)


@epsilon_greedy.misconception(
    "Each row has a best action of its own: take the maximum over axis -1."
)
def looks_for_one_best_in_the_whole_table(q, epsilon, ties="uniform"):
    probable(epsilon)
    best = np.zeros(q.shape, dtype=np.bool_)
    best.ravel()[q.argmax()] = True
    return mixed(q, epsilon, best if ties == "first" else q == q.max())


@epsilon_greedy.misconception("Values that are near are not equal: compare with ==.")
def calls_near_values_equal(q, epsilon, ties="uniform"):
    near = np.isclose(q, q.max(-1, keepdims=True))
    if ties == "first":
        near = np.arange(q.shape[-1]) == near.argmax(-1)[..., None]
    return mixed(q, epsilon, near)


@epsilon_greedy.misconception("The greedy action has the largest value, not the smallest: max.")
def prefers_the_worst(q, epsilon, ties="uniform"):
    return mixed(q, epsilon, best_of(-q, ties))


@epsilon_greedy.misconception("Say what is wrong: raise ValueError unless 0 <= ε <= 1.")
def believes_any_epsilon(q, epsilon, ties="uniform"):
    best = best_of(q, ties)
    return epsilon / q.shape[-1] + (1 - epsilon) * best / best.sum(-1, keepdims=True)


@epsilon_greedy.misconception("Never to explore, ε = 0, and always to, ε = 1, are allowed.")
def refuses_the_ends(q, epsilon, ties="uniform"):
    if not 0 < epsilon < 1:
        raise ValueError("epsilon must lie in (0, 1)")
    return mixed(q, epsilon, best_of(q, ties))


@epsilon_greedy.control
def policies_row_by_row(q, epsilon, ties="uniform"):
    probable(epsilon)
    rows = q.reshape(-1, q.shape[-1])
    pi = np.full(rows.shape, epsilon / q.shape[-1])
    for row, values in zip(pi, rows, strict=True):
        best = [a for a, x in enumerate(values) if x == max(values)]
        for a in best[:1] if ties == "first" else best:
            row[a] += (1 - epsilon) / (1 if ties == "first" else len(best))
    return pi.reshape(q.shape)


@epsilon_greedy.control
def policies_as_a_mixture(q, epsilon, ties="uniform"):
    probable(epsilon)
    best = best_of(q, ties).astype(float)
    greedy = best / best.sum(-1, keepdims=True)
    return epsilon * np.full(q.shape, 1 / q.shape[-1]) + (1 - epsilon) * greedy


# ------------------------------------------------------------------------------- importance ratios

importance_ratios = exercise(
    importance_sampling.importance_ratios,
    nudge="How much likelier is the action under π than under b, which took it?",
    worked={
        "pi": np.array([[0.5, 0.5], [1.0, 0.0]]),
        "behaviour": np.array([[0.8, 0.2], [0.5, 0.5]]),
        "s": np.array([[0, 1], [1, 0], [0, 0]]),
        "a": np.array([[1, 1], [0, 0], [0, 0]]),
        "alive": np.arange(3)[:, None] < np.array([2, 1]),
    },
)


def two_policies(rng, n_states, n_actions):
    """A target that never takes some actions, and a behaviour that covers it."""
    pi = rng.dirichlet(np.ones(n_actions), size=n_states)
    pi[0] = np.eye(n_actions)[rng.integers(n_actions)]
    return pi, rng.dirichlet(2 * np.ones(n_actions), size=n_states)


def ratios_case(rng, steps, n, n_states, n_actions, whole=False):
    alive = np.ones((steps, n), dtype=np.bool_) if whole else draw_alive(rng, steps, n)
    pi, behaviour = two_policies(rng, n_states, n_actions)
    return {
        "pi": pi,
        "behaviour": behaviour,
        "s": rng.integers(n_states, size=(steps, n)) * alive,
        "a": rng.integers(n_actions, size=(steps, n)) * alive,
        "alive": alive,
    }


@importance_ratios.check(points=2)
def test_a_ratio_is_the_targets_probability_over_the_behaviours(rng):
    for sizes in ((5, 4, 3, 2), (3, 7, 4, 5), (1, 6, 7, 3), (6, 1, 2, 8)):
        yield ratios_case(rng, *sizes, whole=True)
    case = ratios_case(rng, 4, 6, 3, 2, whole=True)
    case["behaviour"] = np.array([[1e-4, 1 - 1e-4], [0.5, 0.5], [1 - 1e-5, 1e-5]])
    yield case


@importance_ratios.check(points=1)
def test_the_padding_of_an_episode_has_ratio_one(rng):
    for sizes in ((5, 6, 3, 2), (8, 3, 4, 5), (4, 9, 2, 3)):
        yield ratios_case(rng, *sizes)


@importance_ratios.check(points=1)
def test_where_neither_policy_acts_there_is_nothing_to_cover(rng):
    for n_states, n_actions in ((4, 3), (3, 5)):
        case = ratios_case(rng, 5, 4, n_states, n_actions)
        b = case["behaviour"]
        b[0] = np.where(case["pi"][0] > 0, b[0], 0)
        b[0] /= b[0].sum()
        yield case


@importance_ratios.check(points=2)
def test_a_behaviour_that_leaves_out_an_action_of_the_target_is_refused(rng):
    """a behaviour that leaves out an action of the target is refused, seen or not"""
    for n_states, n_actions, seen in ((4, 3, True), (3, 5, False), (6, 2, False)):
        case = ratios_case(rng, 5, 4, n_states, n_actions)
        s, b = n_states - 1, case["behaviour"]
        a = int(rng.integers(n_actions))
        b[s, a] = 0
        b[s] /= b[s].sum()
        case["s"] = case["s"] % (n_states - 1)  # the last state is not visited
        if seen:
            case["s"][0, 0], case["a"][0, 0] = s, a
        yield case
        small = case["pi"].copy()
        small[s] = np.where(np.arange(n_actions) == a, 1e-5, (1 - 1e-5) / (n_actions - 1))
        yield case | {"pi": small}  # it counts, however rarely the target does it
        yield ratios_case(rng, 5, 4, n_states, n_actions)  # and one that is covered


def covers(pi, behaviour):
    if ((pi > 0) & (behaviour == 0)).any():
        raise ValueError("behaviour must cover pi")


def divided(x, y):
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(x > 0, x / y, 0.0)


def masked(pi, behaviour, s, a, alive, after=1.0):
    return np.where(alive, divided(pi, behaviour)[s, a], after)


@importance_ratios.misconception(
    "Upside down: what the target does more often than the behaviour must count more, π / b."
)
def turns_the_ratio_upside_down(pi, behaviour, s, a, alive):
    covers(pi, behaviour)
    return masked(behaviour, pi, s, a, alive)


@importance_ratios.misconception(
    "The padding is no step: its ratio is 1, so that the product stays what it is."
)
def reads_ratios_from_the_padding(pi, behaviour, s, a, alive):
    covers(pi, behaviour)
    return divided(pi, behaviour)[s, a]


@importance_ratios.misconception("A factor of 0 in the padding wipes out the product: use 1 there.")
def puts_zeros_into_the_padding(pi, behaviour, s, a, alive):
    covers(pi, behaviour)
    return masked(pi, behaviour, s, a, alive, 0.0)


@importance_ratios.misconception(
    "Those are the products ρ_0 … ρ_t: give the ratio of each step alone."
)
def multiplies_the_ratios_up(pi, behaviour, s, a, alive):
    covers(pi, behaviour)
    return masked(pi, behaviour, s, a, alive).cumprod(0)


@importance_ratios.misconception("That is the weight of a whole episode: give each step's ratio.")
def gives_one_weight_an_episode(pi, behaviour, s, a, alive):
    covers(pi, behaviour)
    return masked(pi, behaviour, s, a, alive).prod(0)


@importance_ratios.misconception(
    "What the target never does the behaviour need not do: only π > 0 with b = 0 is refused."
)
def wants_every_action_from_the_behaviour(pi, behaviour, s, a, alive):
    if (behaviour == 0).any():
        raise ValueError("behaviour must take every action")
    return masked(pi, behaviour, s, a, alive)


@importance_ratios.misconception(
    "Turned round: refuse what the target does and the behaviour never does, not the reverse."
)
def wants_the_target_to_cover_the_behaviour(pi, behaviour, s, a, alive):
    if ((behaviour > 0) & (pi == 0)).any():
        raise ValueError("pi must cover behaviour")
    return masked(pi, behaviour, s, a, alive)


@importance_ratios.misconception(
    "What the behaviour never does is never seen: check all of the tables, not the steps taken."
)
def checks_only_what_it_sees(pi, behaviour, s, a, alive):
    covers(pi[s[alive], a[alive]], behaviour[s[alive], a[alive]])
    return masked(pi, behaviour, s, a, alive)


@importance_ratios.misconception(
    "Nothing is refused: where π > 0 and b = 0 no episode can tell, so raise ValueError."
)
def covers_nothing_and_says_nothing(pi, behaviour, s, a, alive):
    return np.nan_to_num(masked(pi, behaviour, s, a, alive), posinf=0.0)


@importance_ratios.misconception(
    "Only actions of equal probability would have ratio 1: this takes π alone."
)
def takes_the_target_alone(pi, behaviour, s, a, alive):
    covers(pi, behaviour)
    return np.where(alive, pi[s, a], 1.0)


@importance_ratios.misconception(
    "A ratio above 1 is no mistake: cutting it makes the estimate biased. Leave it as it is."
)
def cuts_ratios_at_one(pi, behaviour, s, a, alive):
    covers(pi, behaviour)
    return np.minimum(masked(pi, behaviour, s, a, alive), 1.0)


@importance_ratios.control
def ratios_step_by_step(pi, behaviour, s, a, alive):
    for state, action in np.ndindex(pi.shape):
        if pi[state, action] > 0 and behaviour[state, action] == 0:
            raise ValueError("behaviour must cover pi")
    rho = np.ones(s.shape)
    for t, b in np.ndindex(s.shape):
        if alive[t, b]:
            p, q = pi[s[t, b], a[t, b]], behaviour[s[t, b], a[t, b]]
            rho[t, b] = p / q if p > 0 else 0.0
    return rho


@importance_ratios.control
def ratios_in_logarithms(pi, behaviour, s, a, alive):
    covers(pi, behaviour)
    with np.errstate(divide="ignore", invalid="ignore"):
        log = np.log(pi[s, a]) - np.log(behaviour[s, a])
    return np.where(alive, np.where(pi[s, a] > 0, np.exp(log), 0.0), 1.0)


# ------------------------------------------------------------------------------- weighted estimates

weighted_estimates = exercise(
    importance_sampling.weighted_estimates,
    nudge="A weighted mean divides by the sum of its weights. Which are known by then?",
    worked={
        "rho": np.array([[0.0, 2.0], [3.0, 1.0], [1.0, 0.0]]),
        "g": np.array([[5.0, 1.0], [2.0, 4.0], [6.0, 8.0]]),
    },
)


@weighted_estimates.check(points=2)
def test_a_weighted_mean_divides_by_the_sum_of_its_weights_so_far(rng):
    for episodes, n in ((6, 3), (9, 2), (2, 5), (4, 1)):
        rho = rng.gamma(0.7, 2.0, size=(episodes, n)) + 0.1
        yield {"rho": rho, "g": rng.normal(size=(episodes, n)) + rng.choice([-3, 3])}
    yield {"rho": rng.gamma(2.0, size=(300, 2)), "g": rng.normal(size=(300, 2))}


@weighted_estimates.check(points=1)
def test_each_learner_weighs_its_own_episodes(rng):
    for episodes, n in ((3, 8), (5, 4), (1, 6)):
        rho = rng.gamma(0.7, 2.0, size=(episodes, n)) + 0.1
        yield {"rho": rho * 10.0 ** np.arange(n), "g": rng.normal(size=(episodes, n))}


@weighted_estimates.check(points=2)
def test_an_estimate_is_zero_before_the_first_weight_and_stays_while_none_comes(rng):
    for episodes, n in ((7, 4), (5, 9), (6, 2)):
        rho = rng.gamma(0.7, 2.0, size=(episodes, n)) * (rng.random((episodes, n)) < 0.5)
        rho[: rng.integers(1, episodes), 0] = 0
        yield {"rho": rho, "g": rng.normal(size=(episodes, n)) - 2}
    yield {"rho": np.zeros((4, 3)), "g": rng.normal(size=(4, 3))}


@weighted_estimates.check(points=1)
def test_tiny_and_huge_weights_are_weights(rng):
    for episodes, n, scale in ((5, 3, 1e-7), (4, 6, 1e8), (6, 2, 1e-7)):
        rho = scale * rng.gamma(0.7, 2.0, size=(episodes, n))
        yield {"rho": rho, "g": 1e4 * rng.normal(size=(episodes, n))}


def over(total, weight):
    return np.divide(total, weight, out=np.zeros(np.shape(total)), where=weight > 0)


@weighted_estimates.misconception(
    "That is the ordinary estimate: divide by the sum of the weights, not by k."
)
def divides_by_the_number_of_episodes(rho, g):
    return (rho * g).cumsum(0) / np.arange(1, len(g) + 1)[:, None]


@weighted_estimates.misconception(
    "After k episodes only k weights are known: divide by their running sum, not by the sum of all."
)
def divides_by_the_sum_of_all_weights(rho, g):
    return over((rho * g).cumsum(0), np.broadcast_to(rho.sum(0), g.shape))


@weighted_estimates.misconception(
    "0/0 is NaN: before the first weight the estimate is 0. Divide where the sum is positive."
)
def divides_zero_by_zero(rho, g):
    with np.errstate(divide="ignore", invalid="ignore"):
        return (rho * g).cumsum(0) / rho.cumsum(0)


@weighted_estimates.misconception(
    "Each column is a learner of its own: sum along the episodes only."
)
def adds_up_all_learners(rho, g):
    total, weight = ((x.cumsum(0)).sum(1, keepdims=True) for x in (rho * g, rho))
    return np.broadcast_to(over(total, weight), g.shape)


@weighted_estimates.misconception(
    "Episodes run along the first axis: cumsum(0), not over learners."
)
def runs_along_the_learners(rho, g):
    return over((rho * g).cumsum(1), rho.cumsum(1))


@weighted_estimates.misconception(
    "Each return has its own weight: multiply before you sum, ρ G, not the sum of G."
)
def leaves_the_weights_out_of_the_sum(rho, g):
    return over(g.cumsum(0), rho.cumsum(0))


@weighted_estimates.misconception("That is the unweighted mean of the behaviour's own returns.")
def forgets_the_weights(rho, g):
    return g.cumsum(0) / np.arange(1, len(g) + 1)[:, None]


@weighted_estimates.misconception(
    "That is the last estimate alone: give the one after each episode."
)
def gives_the_last_estimate_alone(rho, g):
    return over((rho * g).sum(0), rho.sum(0))


@weighted_estimates.misconception(
    "An episode of weight 0 leaves the estimate as it was: it doesn't set it back to 0."
)
def forgets_all_when_a_weight_is_zero(rho, g):
    return np.where(rho > 0, over((rho * g).cumsum(0), rho.cumsum(0)), 0.0)


@weighted_estimates.misconception(
    "A small number in the denominator changes the estimate where weights are small: test for 0."
)
def adds_a_small_number_below(rho, g):
    return (rho * g).cumsum(0) / (rho.cumsum(0) + 1e-8)


@weighted_estimates.misconception("The step size is ρ_k / (ρ_1 + … + ρ_k), not ρ_k / k.")
def steps_by_the_weight_over_k(rho, g):
    v, now = np.zeros(g.shape), np.zeros(g.shape[1])
    for k in range(len(g)):
        now = now + rho[k] / (k + 1) * (g[k] - now)
        v[k] = now
    return v


@weighted_estimates.control
def weighted_one_step_at_a_time(rho, g):
    v, now, weight = np.zeros(g.shape), np.zeros(g.shape[1]), np.zeros(g.shape[1])
    for k in range(len(g)):
        weight = weight + rho[k]
        now = now + over(rho[k], weight) * (g[k] - now)
        v[k] = now
    return v


@weighted_estimates.control
def weighted_learner_by_learner(rho, g):
    v = np.zeros(g.shape)
    for b in range(g.shape[1]):
        top = below = 0.0
        for k in range(len(g)):
            top, below = top + rho[k, b] * g[k, b], below + rho[k, b]
            v[k, b] = top / below if below > 0 else 0.0
    return v
