"""Why the target is computed with old weights: two states, two features, exact growth.

Both states lead to the first one, and each step pays 1, so that both are worth 10 for γ = 0.9. Two
features span all values. A step that raises the second state's value by 1 raises the first one's
by x(0)·x(1) / x(1)·x(1) = 2.5, and so its own target by 2.25: the value chases itself.

Shapes: S = 2 states, D = 2 features, K updates between two copies, T updates.
"""

from typing import NamedTuple

import numpy as np

from rlcourse.plot import BLUE, GREEN, OCHRE, RED, Picture, panel, picture
from rlcourse.tabular.mdp import Floats, Ints

X = np.array([[3.0, 2.0], [1.0, 1.0]])
NEXT = np.array([0, 0])
SHARE = np.array([0.2, 0.8])  # of each state in the minibatches
GAMMA, ALPHA = 0.9, 0.3
MOST = 1e4  # a larger error is drawn by nobody
SHOWN = (1, 10, 70, 400)
LOOK_OF = {1: (RED, ":"), 10: (OCHRE, "-."), 70: (GREEN, "-"), 400: (BLUE, "--")}


class Growth(NamedTuple):
    """What an update multiplies the error by, in the long run.

    k         (n,)     updates between two copies
    factor    (n,)     largest |eigenvalue| of a period, to the power 1/K
    runs      K -> (T + 1,) largest error of a value, over the updates
    shift     what a rise of q(s) by 1 adds to its target, s the second state
    """

    k: Ints
    factor: Floats
    runs: dict[int, Floats]
    shift: float


def period(k: int, alpha: float = ALPHA) -> Floats:
    """E_{j+1} = G E_j for the error of the weights, from copy to copy (2, 2)  (eq-period).

    G = A + (I - A) C⁻¹ γ B with A = (I - α C)^K, C = Σ d(s) x(s) x(s)ᵀ, B = Σ d(s) x(s) x(s')ᵀ.
    """
    c = X.T @ (SHARE[:, None] * X)
    b = X.T @ (SHARE[:, None] * X[NEXT])
    kept = np.linalg.matrix_power(np.eye(2) - alpha * c, k)
    return np.asarray(kept + (np.eye(2) - kept) @ np.linalg.solve(c, GAMMA * b))


def run(k: int, steps: int, alpha: float = ALPHA) -> Floats:
    """Semi-gradient Q-learning with one action, expected updates, w⁻ <- w after every K.

    The largest error of a value before each update (T + 1,), NaN once it was beyond MOST.
    """
    w = old = np.zeros(2)
    error = np.full(steps + 1, np.nan)
    for t in range(steps + 1):
        error[t] = np.abs(X @ w - 1 / (1 - GAMMA)).max()
        if error[t] > MOST:
            break
        if t % k == 0:
            old = w
        delta = 1 + GAMMA * X[NEXT] @ old - X @ w
        w = w + alpha * (SHARE * delta) @ X
    return error


def data_growth(steps: int = 4000) -> Growth:
    """The exact factor for every K up to 1000, and runs for four of them."""
    k = np.unique(np.append(np.arange(1, 100), np.geomspace(100, 1000, 40).round())).astype(int)
    factor = [np.abs(np.linalg.eigvals(period(int(x)))).max() ** (1 / x) for x in k]
    return Growth(
        k, np.array(factor), {x: run(x, steps) for x in SHOWN}, GAMMA * X[0] @ X[1] / (X[1] @ X[1])
    )


def draw_growth(data: Growth) -> Picture:
    """Runs with four periods, and the factor against the period."""
    left, axes = panel("Two states, one after another")
    for k, error in data.runs.items():
        colour, look = LOOK_OF[k]
        name = "no target network" if k == 1 else f"a copy every {k}"
        axes.semilogy(error, look, color=colour, label=name)
    axes.set(xlabel="updates", ylabel="largest error of a value", ylim=(1e-3, MOST))
    axes.legend(fontsize=7.5, loc="upper right")
    right, axes = panel("What an update does to the error")
    axes.semilogx(data.k, data.factor, color=BLUE)
    for k in data.runs:
        i = int(np.searchsorted(data.k, k))
        axes.plot(data.k[i], data.factor[i], "o", color=LOOK_OF[k][0], markersize=6)
    axes.axhline(1, color="#000000", linewidth=0.8)
    axes.text(110, 1.006, "diverges above", fontsize=7.5, va="bottom")
    axes.set(xlabel="K, updates between two copies", ylabel="factor per update", ylim=(0.98, 1.1))
    axes.set_xticks([1, 10, 100, 1000], ["1", "10", "100", "1000"])
    return picture(
        [left, right],
        "Left: without a target network the error explodes at once, with a copy every 10 updates"
        " later; with one every 70 it falls fast, every 400 slowly. Right: the factor per update is"
        " above 1 for short periods, least near 70, and rises towards 1 for long ones.",
    )
