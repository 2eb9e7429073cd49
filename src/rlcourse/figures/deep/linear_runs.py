"""Long runs of linear prediction: Zhao's figures 8.6 to 8.8, Sutton and Barto's 9.5 and 9.10.

Shapes: S states, F features, B seeds, N episodes, n points of a curve.
"""

from typing import Any, NamedTuple

import numpy as np

from rlcourse.deep import features as f
from rlcourse.deep.function_approximation import best_fit, on_policy_distribution, value_error
from rlcourse.deep.linear_learning import follow, gradient_monte_carlo
from rlcourse.deep.long_walk import groups, long_walk, position
from rlcourse.tabular.environment import environment
from rlcourse.tabular.gridworld import ZHAO, closed_form, grid_mdp
from rlcourse.tabular.mdp import MDP, Floats, Ints, PolicyModel, policy_model, uniform_policy
from rlcourse.tabular.sampling import walk


class Known(NamedTuple):
    """A world, its policy, and what can be computed exactly of both.

    mdp, pi, model  with S states
    start           (S,) probability of each first state
    v               (S,) exact values
    d               (S,) how much each state counts
    """

    mdp: MDP
    pi: Floats
    model: PolicyModel
    start: Floats
    v: Floats
    d: Floats


class Curves(NamedTuple):
    """Errors against episodes.

    episodes  (n,)
    error     method -> (n,) root mean square error of the values, mean of the seeds
    spread    method -> (n,) standard error of that mean
    best      method -> the least error that its features allow
    """

    episodes: Ints
    error: dict[str, Floats]
    spread: dict[str, Floats]
    best: dict[str, float]


def summary(error: Floats) -> tuple[Floats, Floats]:
    """Mean and standard error of errors (n, B) over the seeds."""
    return error.mean(1), error.std(1) / np.sqrt(error.shape[1])


# ------------------------------------------------------------------------------- Zhao's world


def zhao_world() -> Known:
    """The uniform policy on Zhao's world, γ = 0.9, every cell counting alike."""
    mdp = grid_mdp(ZHAO)
    pi = uniform_policy(mdp)
    alike = np.full(ZHAO.n_states, 1 / ZHAO.n_states)
    return Known(mdp, pi, policy_model(mdp, pi), alike, closed_form(mdp, pi, 0.9), alike)


def cells() -> Floats:
    """Row and column of each cell of Zhao's world, in the unit box: (25, 2)."""
    row, col = np.divmod(np.arange(ZHAO.n_states), ZHAO.n_cols)
    return f.to_unit_box(np.stack([row, col], -1), [0, 0], [ZHAO.n_rows - 1, ZHAO.n_cols - 1])


def zhao_features() -> dict[str, Floats]:
    """The features of Zhao's section 8.2.4: a table, and two families of three sizes each.

    Polynomials see the map as [-1, 1]², cosines as [0, 1]².
    """
    found = {"table": np.eye(ZHAO.n_states)}
    for n in (1, 2, 3):
        phi = f.polynomial_features(2 * cells() - 1, n)
        found[f"polynomial, {phi.shape[1]}"] = phi
    for n in (1, 2, 3):
        phi = f.fourier_features(cells(), n)
        found[f"Fourier, {phi.shape[1]}"] = phi
    return found


def data_zhao(
    *,
    rng: np.random.Generator,
    seeds: int = 20,
    episodes: int = 500,
    steps: int = 500,
    names: tuple[str, ...] | None = None,
) -> Curves:
    """TD(0) on the uniform policy's values, γ = 0.9, from episodes of 500 steps.

    An episode begins in a state drawn anew. α = 0.005 for the table, 0.0005 for features, as in the
    book. All methods read the same walks.
    """
    mdp, pi, _, _, v, d = zhao_world()
    chosen = {name: phi for name, phi in zhao_features().items() if not names or name in names}
    w: dict[str, Any] = {name: np.zeros((seeds, phi.shape[1])) for name, phi in chosen.items()}
    errors = {name: np.empty((episodes + 1, seeds)) for name in chosen}
    last = np.array([steps])
    for k in range(episodes + 1):
        for name, phi in chosen.items():
            errors[name][k] = np.sqrt(value_error(w[name], phi, v, d))
        x = walk(mdp, pi, rng.integers(25, size=seeds), steps=steps, rng=rng)
        for name, phi in chosen.items() if k < episodes else ():
            alpha = 0.005 if name == "table" else 0.0005
            w[name] = follow(x, phi, "td", alpha=alpha, gamma=0.9, w=w[name], keep=last)[0]
    both = {name: summary(error) for name, error in errors.items()}
    return Curves(
        np.arange(episodes + 1),
        {name: x[0] for name, x in both.items()},
        {name: x[1] for name, x in both.items()},
        {name: least_error(phi, v, d) for name, phi in chosen.items()},
    )


def least_error(phi: Floats, v: Floats, d: Floats) -> float:
    """The root mean square error of the best fit."""
    return float(np.sqrt(value_error(best_fit(phi, v, d), phi, v, d)))


# ------------------------------------------------------------------------------- the long walk


def walk_world() -> Known:
    """The long walk, γ = 1, its states weighted by the on-policy distribution."""
    mdp, middle = long_walk()
    pi, start = uniform_policy(mdp), np.eye(len(mdp.p))[middle]
    model = policy_model(mdp, pi)
    d = on_policy_distribution(model.p, start)
    return Known(mdp, pi, model, start, closed_form(mdp, pi, 1.0), d)


def run_walk(
    sets: dict[str, tuple[Floats, float]],
    *,
    rng: np.random.Generator,
    seeds: int,
    episodes: int,
    points: int,
) -> Curves:
    """Gradient Monte Carlo on the long walk: name -> its features (1000, F) and step size."""
    mdp, pi, _, start, v, d = walk_world()
    env, keep = environment(mdp, start), np.linspace(0, episodes, points).astype(np.intp)
    width = max(phi.shape[1] for phi, _ in sets.values())
    padded = [np.pad(phi, ((0, 0), (0, width - phi.shape[1]))) for phi, _ in sets.values()]
    w = gradient_monte_carlo(
        env, pi, np.repeat(padded, seeds, axis=0), episodes=episodes, learners=seeds * len(sets),
        alpha=np.repeat([alpha for _, alpha in sets.values()], seeds), gamma=1.0, keep=keep,
        rng=rng,
    )  # fmt: skip
    error, spread = {}, {}
    for i, (name, phi) in enumerate(zip(sets, padded, strict=True)):
        mine = np.sqrt(value_error(w[:, i * seeds : (i + 1) * seeds], phi, v, d))
        error[name], spread[name] = summary(mine)
    best = {name: least_error(phi, v, d) for name, (phi, _) in sets.items()}
    return Curves(keep, error, spread, best)


def data_bases(
    *, rng: np.random.Generator, seeds: int = 20, episodes: int = 5000, points: int = 51
) -> Curves:
    """Sutton & Barto's figure 9.5: polynomials with α = 0.0001, cosines with α = 0.00005."""
    x, sets = position(), {}
    for n in (5, 10, 20):
        sets[f"polynomial, {n}"] = f.polynomial_features(x, n), 1e-4
        sets[f"Fourier, {n}"] = f.fourier_features(x, n), 5e-5
    return run_walk(sets, rng=rng, seeds=seeds, episodes=episodes, points=points)


def data_tilings(
    *, rng: np.random.Generator, seeds: int = 20, episodes: int = 5000, points: int = 51
) -> Curves:
    """Sutton & Barto's figure 9.10: groups of 200 states with α = 0.0001, and 50 tilings of them.

    Each of the tilings is shifted by 4 states, and learns with a 50th of the step.
    """
    sets = {
        "state aggregation": (groups(5), 1e-4),
        "tile coding": (f.tile_features(position(), 50, 5), 1e-4 / 50),
    }
    return run_walk(sets, rng=rng, seeds=seeds, episodes=episodes, points=points)
