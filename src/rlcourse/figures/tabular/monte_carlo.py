"""Figures and experiments of the Monte Carlo chapter: data_* computes, draw_* shows.

Shapes: S states, A actions, B learners, N episodes, T steps.
"""

from collections.abc import Callable
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np

from rlcourse.figures.tabular.grid_map import draw_map
from rlcourse.figures.tabular.scales import log_axis, spaced
from rlcourse.plot import (
    BLUE,
    COLOUR_OF,
    GREEN,
    GREY,
    OCHRE,
    PURPLE,
    RED,
    Picture,
    panel,
    picture,
)
from rlcourse.tabular import monte_carlo as mc
from rlcourse.tabular.blackjack import HIT, blackjack, state, stick_from
from rlcourse.tabular.environment import environment, sample_episodes
from rlcourse.tabular.gridworld import (
    SUTTON_BARTO_4_1,
    ZHAO,
    closed_form,
    grid_mdp,
    value_iteration,
)
from rlcourse.tabular.importance_sampling import evaluate_off_policy
from rlcourse.tabular.mdp import (
    MDP,
    Bools,
    Floats,
    Ints,
    action_values,
    finite_mdp,
    greedy_sets,
    uniform_policy,
)
from rlcourse.tabular.returns import first_visits, mean_returns
from rlcourse.tabular.sampling import walk

GAMMA = 0.9
ZHAO_5 = replace(ZHAO, r_forbidden=-10.0, bump="boundary + cell")
"""Zhao's world of chapter 5."""
WALK = grid_mdp(SUTTON_BARTO_4_1)
MIDDLE = 5  # a cell of that walk, worth -18


# ------------------------------------------------------------------------------- time limits


class Limits(NamedTuple):
    """The value of a cell by episodes cut after each time limit, under three ways to count.

    limits     (n,)
    completed  (n, B)  with what the last state is worth
    whole      (n, B)  as if nothing followed
    left_out   (n, B)  without the episodes that were cut; NaN where all were
    exact      the value
    """

    limits: Ints
    completed: Floats
    whole: Floats
    left_out: Floats
    exact: float


def data_limits(
    *,
    learners: int,
    steps: int,
    rng: np.random.Generator,
    limits: tuple[int, ...] = (1, 2, 4, 8, 16, 32, 64, 128),
) -> Limits:
    """The uniform policy on Sutton & Barto's example 4.1, from any cell; the value of one.

    A learner sees about so many steps for each limit: short episodes are cheaper.
    """
    pi = uniform_policy(WALK)
    start = np.full(len(WALK.p), 1 / len(WALK.p))
    rows = np.full((3, len(limits), learners), np.nan)
    for i, limit in enumerate(limits):
        env, episodes = environment(WALK, start, limit), steps // min(limit, 16)
        x = sample_episodes(env, pi, learners * episodes, rng=rng)
        rows[0, i] = mean_returns(x, learners, len(pi), 1.0, "first").v[:, MIDDLE]
        whole = x._replace(terminated=np.ones_like(x.terminated))
        rows[1, i] = mean_returns(whole, learners, len(pi), 1.0, "first").v[:, MIDDLE]
        ended = whole._replace(alive=x.alive & x.terminated)
        found = mean_returns(ended, learners, len(pi), 1.0, "first")
        rows[2, i] = np.where(found.visits > 0, found.v, np.nan)[:, MIDDLE]
    completed, counted, left_out = rows
    return Limits(
        np.array(limits), completed, counted, left_out, float(closed_form(WALK, pi, 1.0)[MIDDLE])
    )


def draw_limits(data: Limits) -> Picture:
    """Estimates against the time limit: one is right throughout."""
    figure, axes = panel("What a time limit does to a value", (4.8, 3.3))
    looks = (
        ("completed", data.completed, COLOUR_OF["Monte Carlo"], "o-"),
        ("left out", data.left_out, OCHRE, "^:"),
        ("counted as whole", data.whole, RED, "s--"),
    )
    for name, rows, colour, look in looks:
        seen = np.isfinite(rows).all(-1)
        middle, spread = rows[seen].mean(-1), 2 * rows[seen].std(-1)
        axes.fill_between(
            data.limits[seen], middle - spread, middle + spread, color=colour, alpha=0.2,
            linewidth=0,
        )  # fmt: skip
        axes.plot(data.limits[seen], middle, look, color=colour, markersize=4.5, label=name)
    axes.axhline(data.exact, color="#000000", linestyle="--", linewidth=1)
    axes.annotate("exact", (data.limits[0], data.exact), (0, -10), textcoords="offset points")
    log_axis(axes, data.limits.tolist())
    axes.set(xlabel="time limit (steps)", ylabel="estimated value", ylim=(-23, 1))
    axes.legend(loc="upper right", title="cut episodes are")
    return picture(
        figure,
        "The completed estimate lies on the exact value for every time limit. Counting cut episodes"
        " as whole, or leaving them out, gives values much too high until the limit is long.",
    )


# ------------------------------------------------------------------------------- episode length


def data_lengths(lengths: tuple[int, ...] = (1, 4, 14, 30)) -> dict[int, Floats]:
    """q (S, A) of MC Basic in Zhao's world for each length T of an episode (Zhao, figure 5.4)."""
    return {n_steps: _mc_basic(n_steps) for n_steps in lengths}


def _mc_basic(n_steps: int) -> Floats:
    """One learner is enough: world and policies are deterministic, so nothing is drawn."""
    env = environment(grid_mdp(ZHAO_5), 0, limit=n_steps)
    rng = np.random.default_rng(0)
    q = mc.mc_basic(env, 1, episodes=1, iterations=20, gamma=GAMMA, rng=rng)
    return np.asarray(q[-1, 0], dtype=np.float64)


def shortest_sight() -> int:
    """The shortest episode from which the cell at the bottom left has a positive value."""
    corner = ZHAO_5.n_states - ZHAO_5.n_cols
    n_steps = 1
    while _mc_basic(n_steps)[corner].max() <= 0:
        n_steps += 1
    return n_steps


def draw_lengths(data: dict[int, Floats]) -> Picture:
    """One map for each length: values and arrows where there is something to see."""
    maps = []
    for n_steps, q in data.items():
        v = q.max(-1)
        best = greedy_sets(q) & (v > 0)[:, None]
        blind = v[-ZHAO_5.n_cols] == 0 and (v[: -ZHAO_5.n_cols] > 0).all()
        title = f"T = {n_steps}" + (": only the bottom left sees nothing" if blind else "")
        maps.append(draw_map(ZHAO_5, v=v, best=best, title=title))
    return picture(
        maps,
        "Four maps. With episodes of one step only the star and its neighbours have a value. The"
        " longer the episodes the farther value reaches; with 14 steps the cell at the bottom left"
        " is the last without any.",
    )


# ------------------------------------------------------------------------------- exploration


class Softness(NamedTuple):
    """The best ε-greedy policy of Zhao's world for each epsilon.

    epsilons  (n,)
    v         (n, S)
    agrees    up to this epsilon its greedy actions are optimal ones
    stays     up to this epsilon it stays in the star
    """

    epsilons: Floats
    v: Floats
    agrees: float
    stays: float


def _greedy(epsilon: float) -> Bools:
    return greedy_sets(mc.soft_optimum(grid_mdp(ZHAO_5), epsilon, GAMMA).q, 1e-7)


def threshold(holds: Callable[[float], bool], high: float, tolerance: float = 1e-6) -> float:
    """The epsilon up to which something holds, by bisection of [0, high]."""
    low = 0.0
    while high - low > tolerance:
        middle = (low + high) / 2
        low, high = (middle, high) if holds(middle) else (low, middle)
    return low


def data_softness(points: int = 51, most: float = 0.5) -> Softness:
    """Values for each epsilon up to `most`, and both thresholds (Zhao, figures 5.6 and 5.7)."""
    mdp, best, star = grid_mdp(ZHAO_5), _greedy(0.0), ZHAO_5.target[0]
    epsilons = np.linspace(0, most, points)
    v = np.array([mc.soft_optimum(mdp, float(e), GAMMA).v for e in epsilons])
    agrees = threshold(lambda e: bool((_greedy(e) & best).any(-1).all()), most)
    stays = threshold(lambda e: bool(_greedy(e)[star, 4]), most)
    return Softness(epsilons, v, agrees, stays)


def draw_softness(data: Softness) -> Picture:
    """What exploring for ever costs, with the epsilons at which the best policy changes."""
    figure, axes = panel("The price of exploring for ever", (4.8, 3.2))
    for cell, name, colour, look in (
        (ZHAO_5.target[0], "the star", BLUE, "-"),
        (0, "top left", PURPLE, "--"),
    ):
        axes.plot(data.epsilons, data.v[:, cell], look, color=colour, label=name)
    axes.axhline(0, color="#000000", linewidth=0.6)
    for at, words, up in ((data.agrees, "other arrows", 8.2), (data.stays, "leaves the star", 6.2)):
        axes.axvline(at, color=GREY, linestyle=":", linewidth=1.4)
        axes.annotate(f"{words}:\nε > {at:.4f}", (at, up), (4, 0), textcoords="offset points")
    axes.set(xlabel="ε", ylabel="value under the best ε-greedy policy", xlim=(0, data.epsilons[-1]))
    axes.legend(loc="lower left")
    return picture(
        figure,
        "The value of the star falls from 10 below zero as epsilon grows, and that of the cell at"
        " the top left from 3.5. Two dotted lines mark where the best policy changes.",
    )


def draw_soft(epsilon: float = 0.2, r_forbidden: float = -10.0) -> Picture:
    """The best ε-greedy policy of Zhao's world and its values: for sliders."""
    found = mc.soft_optimum(grid_mdp(replace(ZHAO_5, r_forbidden=r_forbidden)), epsilon, GAMMA)
    title = f"best ε-greedy policy, ε = {epsilon:.2f}"
    return picture(
        draw_map(ZHAO_5, v=found.v, best=greedy_sets(found.q, 1e-7), title=title),
        f"Values and greedy actions of the {title}.",
    )


class Coverage(NamedTuple):
    """How much of Zhao's world walks under the best ε-greedy policies see, for each epsilon.

    steps   (n,)
    seen    epsilon -> (n,) pairs seen after so many steps, mean over the walkers
    visits  epsilon -> (S A,) visits to each pair in all, sorted
    shares  epsilon -> (S A,) what long walks tend to, in the same order
    """

    steps: Ints
    seen: dict[float, Floats]
    visits: dict[float, Ints]
    shares: dict[float, Floats]


def data_coverage(
    *,
    walkers: int,
    steps: int,
    rng: np.random.Generator,
    epsilons: tuple[float, ...] = (1.0, 0.5, 0.1),
) -> Coverage:
    """Walks from the top left (Zhao, figure 5.8, has one walk of a million steps for ε = 1, 0.5)"""
    mdp, at = grid_mdp(ZHAO_5), spaced(steps)
    data = Coverage(at, {}, {}, {})
    for epsilon in epsilons:
        pi = mc.soft_optimum(mdp, epsilon, GAMMA).pi
        x = walk(mdp, pi, np.zeros(walkers, dtype=np.intp), steps=steps, rng=rng)
        pair = x.s * pi.shape[1] + x.a
        new = first_visits(pair, np.ones_like(pair, dtype=np.bool_))
        data.seen[epsilon] = new.sum(1).cumsum()[at - 1] / walkers
        n = np.bincount(pair.ravel(), minlength=pi.size)
        order = n.argsort(kind="stable")
        data.visits[epsilon] = n[order]
        data.shares[epsilon] = _stationary(mdp, pi).ravel()[order]
    return data


def _stationary(mdp: MDP, pi: Floats) -> Floats:
    """The share of steps (S, A) that a walk without an end spends on each pair."""
    n = len(pi)
    p = np.zeros((n, n))
    np.add.at(p, (np.arange(n)[:, None, None], mdp.s_next), pi[..., None] * mdp.p)
    a = np.vstack([p.T - np.eye(n), np.ones(n)])
    share = np.linalg.lstsq(a, np.eye(n + 1)[n], rcond=None)[0]
    return np.asarray(share[:, None] * pi, dtype=np.float64)


def draw_coverage(data: Coverage) -> Picture:
    """Pairs seen against steps, and the visits to each pair."""
    left, axes = panel("Pairs seen, of 125", (3.5, 3.0))
    looks = dict(zip(data.seen, ((BLUE, "-"), (GREEN, "--"), (RED, ":")), strict=True))
    for epsilon, seen in data.seen.items():
        colour, look = looks[epsilon]
        axes.plot(data.steps, seen, look, color=colour, label=f"ε = {epsilon:g}")
    log_axis(axes, [1, 10, 100, 1000, 10_000])
    axes.set(xlabel="steps", ylim=(0, 130))
    axes.legend(loc="upper left")
    total = sum(next(iter(data.visits.values())))
    right, axes = panel(f"Visits to each pair in {total / 1e6:g} million steps", (3.5, 3.0))
    rank = np.arange(1, len(next(iter(data.visits.values()))) + 1)
    for epsilon, n in data.visits.items():
        colour, look = looks[epsilon]
        axes.semilogy(rank[n > 0][::2], n[n > 0][::2], look, color=colour)
    axes.set(xlabel="pairs, the rarest first")
    return picture(
        [left, right],
        "Left: with epsilon 1 all 125 pairs are seen within two thousand steps, with 0.5 or 0.1"
        " many are still missing. Right: with epsilon 1 all pairs have about 8000 visits, with 0.5"
        " some have a dozen and some hundreds of thousands.",
    )


# ------------------------------------------------------------------------------- control


class Control(NamedTuple):
    """The share of learners whose greedy policy is optimal, after so many episodes.

    episodes  (n,)
    share     method -> (n,)
    """

    episodes: Ints
    share: dict[str, Floats]


METHODS: dict[str, dict[str, Any]] = {
    "exploring starts, α = 0.1": {"epsilon": 0.0, "exploring_starts": True, "alpha": 0.1},
    "ε = 0.1, α = 0.1": {"epsilon": 0.1, "alpha": 0.1},
    "exploring starts, mean": {"epsilon": 0.0, "exploring_starts": True},
    "ε = 0.1, mean": {"epsilon": 0.1},
}
EPISODES = (25, 50, 100, 200, 400, 800, 1600)


def data_control(
    *, learners: int, seed: int, episodes: tuple[int, ...] = EPISODES, limit: int = 20
) -> Control:
    """Sutton & Barto's example 4.1 from any cell. Of one seed, short runs begin long ones."""
    n_states = len(WALK.p)
    best = greedy_sets(action_values(WALK, value_iteration(WALK, 1.0).v, 1.0))
    env = environment(WALK, np.full(n_states, 1 / n_states), limit)
    share = {}
    for name, settings in METHODS.items():
        rows = []
        for n in episodes:
            rng = np.random.default_rng(seed)
            q = mc.learn(env, learners, episodes=n, gamma=1.0, rng=rng, **settings).q
            rows.append(best[np.arange(n_states), q.argmax(-1)].all(-1).mean())
        share[name] = np.array(rows)
    return Control(np.array(episodes), share)


def draw_control(data: Control) -> Picture:
    """Four learning curves: two ways to explore, with a mean that remembers or forgets."""
    figure, axes = panel("Share of learners with an optimal policy", (4.8, 3.2))
    for name, share in data.share.items():
        colour = COLOUR_OF["exploring starts" if name.startswith("exp") else "Monte Carlo"]
        look = "o-" if "α" in name else "s:"
        axes.plot(data.episodes, 100 * share, look, color=colour, markersize=4, label=name)
    log_axis(axes, data.episodes.tolist())
    axes.set(xlabel="episodes", ylabel="%", ylim=(-3, 103))
    axes.legend(loc="upper left", fontsize=7.5)
    return picture(
        figure,
        "Four curves that rise with the number of episodes. Those with a constant step size rise"
        " first; the mean with epsilon 0.1 is far behind.",
    )


def recorded_of_control(record: dict[str, Any]) -> Control:
    """The experiment of a recorded run."""
    data = record["data"]["control"]
    share = {name: np.array(x) for name, x in data["share"].items()}
    return Control(np.array(data["episodes"]), share)


# ------------------------------------------------------------------------------- the bug hunt


class Hunt(NamedTuple):
    """What a suspect return makes of the uniform policy on example 4.1, beside the truth.

    v, exact          (S,)    its values and the right ones
    best, exact_best  (S, A)  the best action by each; all that tie by the truth
    """

    v: Floats
    exact: Floats
    best: Bools
    exact_best: Bools

    @property
    def acts_well(self) -> bool:
        return bool((self.best <= self.exact_best).all())


Returns = Callable[[Floats, Bools, Bools, Floats, float], Floats]


def data_hunt(
    returns: Returns, *, rng: np.random.Generator, limit: int = 8, episodes: int = 20_000
) -> Hunt:
    """Mean returns of pairs until they agree with those that they complete; cut after `limit`."""
    pi, (n_states, n_actions) = uniform_policy(WALK), WALK.p.shape[:2]
    env = environment(WALK, np.full(n_states, 1 / n_states), limit)
    x = sample_episodes(env, pi, episodes, rng=rng)
    pair = x.s * n_actions + x.a
    counted = first_visits(pair, x.alive)
    n = np.bincount(pair[counted], minlength=pi.size)
    q = np.zeros(pi.shape)
    for _ in range(100):
        g = returns(x.r, x.alive, x.terminated, (pi * q).sum(-1)[x.s_last], 1.0)
        q = (np.bincount(pair[counted], g[counted], pi.size) / n).reshape(pi.shape)
    exact = closed_form(WALK, pi, 1.0)
    best = np.eye(n_actions, dtype=np.bool_)[q.argmax(-1)]
    truth = greedy_sets(action_values(WALK, exact, 1.0))
    return Hunt((pi * q).sum(-1), exact, best, truth)


def draw_hunt(data: Hunt) -> Picture:
    """Both maps side by side, with their numbers."""
    ends = np.isin(np.arange(len(data.v)), SUTTON_BARTO_4_1.target)[:, None]
    maps = [
        draw_map(SUTTON_BARTO_4_1, v=v, best=best & ~ends, title=title)
        for v, best, title in (
            (data.v, data.best, "the suspect"),
            (data.exact, data.exact_best, "the truth"),
        )
    ]
    arrows = "right arrows" if data.acts_well else "wrong arrows"
    return picture(maps, f"Two maps: the values of the suspect, with {arrows}, and the true ones.")


# ------------------------------------------------------------------------------- runs to record


HAND = state(13, 2, 1)
"""Sutton & Barto, example 5.4: an ace and a two against a two."""

LOOP = finite_mdp(
    np.zeros((1, 2, 2), dtype=np.intp),
    [[[0.9, 0.1], [1.0, 0.0]]],
    [[[0.0, 1.0], [0.0, 0.0]]],
    [[[False, True], [True, True]]],
)
"""Sutton & Barto, example 5.5: left comes back with 0.9, or ends and pays 1; right ends."""

LEFT, EITHER = np.array([[1.0, 0.0]]), np.array([[0.5, 0.5]])


def ratio_errors(
    *, runs: int, episodes: int, rng: np.random.Generator, points: int = 40
) -> tuple[Floats, Floats]:
    """Squared errors (n, B) of the ordinary and the weighted estimate in Sutton & Barto's 5.4."""
    game, pi = blackjack(), stick_from(20)
    x = evaluate_off_policy(
        environment(game.mdp, HAND), pi, uniform_policy(game.mdp), runs, episodes=episodes,
        gamma=1.0, rng=rng,
    )  # fmt: skip
    v, at = closed_form(game.mdp, pi, 1.0)[HAND], spaced(episodes, points) - 1
    return (x.ordinary[at] - v) ** 2, (x.weighted[at] - v) ** 2


def infinite_run(at: Ints, *, chunk: int, rng: np.random.Generator) -> Floats:
    """Running mean of ρ G after each number of episodes in `at`, drawn chunk by chunk."""
    found, total, env = [], 0.0, environment(LOOP, 0)
    for start in range(0, int(at[-1]), chunk):
        x = evaluate_off_policy(env, LEFT, EITHER, 1, episodes=chunk, gamma=1.0, rng=rng)
        sums = total + x.ordinary[:, 0] * np.arange(1, chunk + 1)
        here = at[(at > start) & (at <= start + chunk)]
        found.append(sums[here - start - 1] / here)
        total = float(sums[-1])
    return np.concatenate(found)


def learn_blackjack(*, learners: int, episodes: int, rng: np.random.Generator) -> Floats:
    """q (B, S, A) of Monte Carlo with exploring starts from the 200 hands of 12 and more."""
    mdp = blackjack().mdp
    start = np.zeros(len(mdp.p))
    start[state(12, 1, 0) :] = 1 / 200
    return mc.learn(
        environment(mdp, start), learners, episodes=episodes, gamma=1.0, epsilon=0.0,
        exploring_starts=True, rng=rng,
    ).q  # fmt: skip


def recorded_control() -> dict[str, Any]:
    """Learning curves of 100 seeds."""
    seed, learners = 5, 100
    data = data_control(learners=learners, seed=seed)
    share = {name: x.round(4).tolist() for name, x in data.share.items()}
    return {
        "seed": seed, "learners": learners, "episodes": data.episodes.tolist(), "share": share
    }  # fmt: skip


def recorded_ratios() -> dict[str, Any]:
    """Sutton & Barto's figure 5.3: 100 runs of 10 000 episodes, ten runs a seed."""
    seeds, runs, episodes = list(range(10)), 10, 10_000
    rows: dict[str, list[list[float]]] = {"ordinary": [], "weighted": []}
    for seed in seeds:
        rng = np.random.default_rng(seed)
        errors = ratio_errors(runs=runs, episodes=episodes, rng=rng)
        for name, error in zip(rows, errors, strict=True):
            rows[name].append(error.mean(-1).round(8).tolist())
    return {"seeds": seeds, "runs": runs, "episodes": episodes, **rows}


def recorded_infinite() -> dict[str, Any]:
    """Sutton & Barto's figure 5.4: ten runs, here of a million episodes."""
    seeds, chunk, at = list(range(10)), 100_000, spaced(1_000_000, 90)
    runs = [infinite_run(at, chunk=chunk, rng=np.random.default_rng(seed)) for seed in seeds]
    ordinary = [run.round(5).tolist() for run in runs]
    return {"seeds": seeds, "chunk": chunk, "episodes": at.tolist(), "ordinary": ordinary}


def recorded_blackjack() -> dict[str, Any]:
    """20 learners with 200 000 games each; `early`, for a test, after the first 500."""
    seed, learners, short, long = 1, 20, 500, 200_000
    kept: dict[str, Any] = {"seed": seed, "learners": learners, "short": short, "episodes": long}
    for name, episodes in (("early", short), ("late", long)):
        q = learn_blackjack(learners=learners, episodes=episodes, rng=np.random.default_rng(seed))
        hits, v = (q.argmax(-1) == HIT).mean(0), q.max(-1).mean(0)
        kept[name] = {"hits": hits.round(4).tolist(), "v": v.round(5).tolist()}
    return kept


RECORDED: dict[str, Callable[[], dict[str, Any]]] = {
    "control": recorded_control,
    "ratios": recorded_ratios,
    "infinite": recorded_infinite,
    "blackjack": recorded_blackjack,
}
RECORDED_MODULES = (
    "rlcourse.figures.tabular.scales",
    "rlcourse.tabular.mdp",
    "rlcourse.tabular.sampling",
    "rlcourse.tabular.environment",
    "rlcourse.tabular.returns",
    "rlcourse.tabular.importance_sampling",
    "rlcourse.tabular.blackjack",
    "rlcourse.tabular.monte_carlo",
)
