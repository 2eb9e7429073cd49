"""The maximum of noisy values: how far it is too high, exactly, and what a second opinion does.

Shapes: N draws, A actions.
"""

from typing import NamedTuple

import numpy as np
import torch

from rlcourse.deep.q_learning import double_dqn_target, dqn_target
from rlcourse.plot import COLOUR_OF, Picture, panel, picture
from rlcourse.tabular.mdp import Floats, Ints

COUNTS = (2, 4, 8, 16, 32, 64)


class Maxima(NamedTuple):
    """Targets where all actions are worth 0 and the networks err by normal noise of deviation 1.

    actions     (n,)    A
    mean, error method -> (n,) mean target, and its standard error
    exact       (n,)    E max of A normal numbers, by quadrature
    """

    actions: Ints
    mean: dict[str, Floats]
    error: dict[str, Floats]
    exact: Floats


def expected_maximum(n: int) -> float:
    """E max of n independent normal numbers: ∫ x n φ(x) Φ(x)^{n-1} dx  (eq-expected-maximum)."""
    x = np.linspace(-9, 9, 20_001)
    density = np.exp(-(x**2) / 2) / np.sqrt(2 * np.pi)
    below = np.cumsum(density) * (x[1] - x[0]) - density * (x[1] - x[0]) / 2
    return float((x * n * density * below ** (n - 1)).sum() * (x[1] - x[0]))


def data_maxima(*, rng: np.random.Generator, draws: int = 20_000) -> Maxima:
    """Both targets on the same noise: r = 0, γ = 1, and the two networks err independently."""
    mean: dict[str, list[float]] = {"DQN": [], "double DQN": []}
    error: dict[str, list[float]] = {"DQN": [], "double DQN": []}
    r = flags = torch.zeros(draws, dtype=torch.float64)
    for n in COUNTS:
        choose, judge = torch.as_tensor(rng.normal(size=(2, draws, n)))
        found = {
            "DQN": dqn_target(r, judge, flags, 1.0),
            "double DQN": double_dqn_target(r, choose, judge, flags, 1.0),
        }
        for name, y in found.items():
            mean[name].append(float(y.mean()))
            error[name].append(float(y.std() / draws**0.5))
    return Maxima(
        np.array(COUNTS),
        {name: np.array(x) for name, x in mean.items()},
        {name: np.array(x) for name, x in error.items()},
        np.array([expected_maximum(n) for n in COUNTS]),
    )


def draw_maxima(data: Maxima) -> Picture:
    """Mean targets against the number of actions, and the exact curve."""
    figure, axes = panel("All actions are worth 0", (4.4, 2.6))
    axes.plot(data.actions, data.exact, color="#000000", linewidth=1, label="E max, exact")
    for name, marker in (("DQN", "o"), ("double DQN", "s")):
        axes.errorbar(
            data.actions, data.mean[name], 3 * data.error[name], fmt=marker, markersize=5,
            color=COLOUR_OF[name], label=name,
        )  # fmt: skip
    axes.set_xscale("log", base=2)
    axes.set_xticks(data.actions, [str(n) for n in data.actions])
    axes.set(xlabel="actions", ylabel="mean target, in σ", ylim=(-0.3, 2.8))
    axes.legend()
    return picture(
        figure,
        "The mean target of DQN rises with the number of actions, from 0.56 to 2.4 standard"
        " deviations, on the exact curve; that of double DQN stays at 0.",
    )
