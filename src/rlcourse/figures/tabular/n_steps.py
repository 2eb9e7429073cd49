"""The n-step target: errors on the 19-state walk, and its bias and variance, exact and sampled.

Shapes: S states, B seeds, n steps of a target.
"""

from typing import NamedTuple

import numpy as np

from rlcourse.figures.tabular.prediction import MARKS, rms
from rlcourse.figures.tabular.scales import log_axis
from rlcourse.plot import COLOUR_OF, LOOKS, PALETTE, Picture, panel, picture
from rlcourse.tabular.environment import environment, sample_episodes
from rlcourse.tabular.mdp import MDP, Floats
from rlcourse.tabular.targets import n_step_target
from rlcourse.tabular.temporal_difference import learn_v
from rlcourse.tabular.worlds import random_walk


class NSteps(NamedTuple):
    """The 19-state walk: RMS error over states and the first ten episodes, mean of the seeds.

    n       (n,)
    alphas  (alphas,)
    error   (n, alphas)
    spread  (n, alphas)  standard error of the mean
    """

    n: Floats
    alphas: Floats
    error: Floats
    spread: Floats


def data_n_steps(
    *,
    rng: np.random.Generator,
    seeds: int = 100,
    n: tuple[int, ...] = (1, 2, 4, 8, 16, 32, 64),
    alphas: tuple[float, ...] = (0.02, 0.05, 0.1, 0.15, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1),
) -> NSteps:
    """Sutton & Barto's figure 7.2: n-step TD with each step size, all in one run."""
    mdp, start, _ = random_walk(19, -1.0, 1.0)
    exact = np.arange(1, 20) / 10 - 1
    rows = []
    for steps in n:
        v = learn_v(
            environment(mdp, start), np.ones((19, 1)), episodes=10, n=steps, gamma=1.0, rng=rng,
            learners=len(alphas) * seeds, alpha=np.repeat(alphas, seeds),
        )  # fmt: skip
        rows.append(rms(v, exact).mean(0).reshape(len(alphas), seeds))
    error = np.array(rows)
    spread = error.std(-1) / np.sqrt(seeds)
    return NSteps(np.array(n, float), np.array(alphas), error.mean(-1), spread)


def draw_n_steps(data: NSteps) -> Picture:
    """Error against the step size, a curve for each n."""
    figure, axes = panel("19 states, first ten episodes", (4.6, 3.3))
    for i, n in enumerate(data.n):
        colour, seen = PALETTE[i % len(PALETTE)], data.error[i] < 0.62
        axes.plot(
            data.alphas[seen], data.error[i][seen], LOOKS[i // len(PALETTE)], marker=MARKS[i],
            color=colour, markersize=3.5, linewidth=1.4, label=f"n = {n:g}",
        )  # fmt: skip
    axes.set(xlabel="step size α", ylabel="RMS error", ylim=(0.22, 0.72), xlim=(0, 1.02))
    axes.legend(fontsize=7.5, ncols=4, loc="upper center")
    return picture(
        figure,
        "U-shaped curves of the error against the step size. The lowest points belong to n = 2 to"
        " 8, with smaller steps for larger n.",
    )


class Moments(NamedTuple):
    """Bias and variance of the n-step target, mean over the states.

    n         (n,)
    bias      (n,)  mean square of the exact bias
    variance  (n,)  mean of the exact variance
    sampled_bias, sampled_variance  (n,) the same of sampled targets
    """

    n: Floats
    bias: Floats
    variance: Floats
    sampled_bias: Floats
    sampled_variance: Floats


def target_moments(mdp: MDP, pi: Floats, v: Floats, n: int, gamma: float) -> tuple[Floats, Floats]:
    """Mean and variance (n + 1, S) of the targets of 0 to n steps from each state, for a fixed v.

    m_n(s) = Σ π p [r + γ m_{n-1}(s')], and the second moment likewise, with r² + 2 γ r m_{n-1}(s')
    + γ² times itself; nothing follows an end.
    """
    weight, goes_on = pi[..., None] * mdp.p, ~mdp.terminated
    mean, square = np.empty((2, n + 1, len(v)))
    mean[0], square[0] = v, v**2
    for k in range(n):
        after = gamma * goes_on * mean[k][mdp.s_next]
        later = gamma**2 * goes_on * square[k][mdp.s_next]
        mean[k + 1] = (weight * (mdp.r + after)).sum((1, 2))
        square[k + 1] = (weight * (mdp.r**2 + 2 * mdp.r * after + later)).sum((1, 2))
    return mean, square - mean**2


def data_moments(
    *, rng: np.random.Generator, episodes: int = 400, most: int = 128, guess: float = 0.0
) -> Moments:
    """Targets for v = guess · v_π on the 19-state walk: exact moments, and sampled ones."""
    mdp, _, _ = random_walk(19, -1.0, 1.0)
    pi, exact = np.ones((19, 1)), np.arange(1, 20) / 10 - 1
    v, n = guess * exact, 2 ** np.arange(int(np.log2(most)) + 1)
    mean, variance = target_moments(mdp, pi, v, most, 1.0)
    s = np.repeat(np.arange(19), episodes)
    x = sample_episodes(environment(mdp, 0), pi, len(s), rng=rng, s=s)
    after = np.vstack([x.s[1:], np.zeros_like(x.s[:1])])
    last = x.alive & ~np.vstack([x.alive[1:], np.zeros_like(x.alive[:1])])
    sampled = np.empty((len(n), 2))
    for i, k in enumerate(n):
        w = slice(0, min(k, len(x.s)))
        rows = (x.r[w].T, v[after[w]].T, last[w].T, np.zeros_like(last[w]).T)
        g = n_step_target(*rows, 1.0).reshape(19, episodes)
        sampled[i] = ((g.mean(1) - exact) ** 2).mean(), g.var(1, ddof=1).mean()
    bias = ((mean - exact) ** 2).mean(1)
    return Moments(n.astype(float), bias[n], variance.mean(1)[n], *sampled.T)


def draw_moments(data: Moments) -> Picture:
    """Bias², variance and their sum against n."""
    figure, axes = panel("The n-step target of a first guess, v = 0", (4.6, 3.0))
    blue, purple = COLOUR_OF["TD(0)"], COLOUR_OF["Monte Carlo"]
    for words, y, dots, colour, mark, place in (
        ("bias²", data.bias, data.sampled_bias, blue, "o", (0.03, 0.27)),
        ("variance", data.variance, data.sampled_variance, purple, "s", (0.86, 0.6)),
    ):
        axes.plot(data.n, y, color=colour)
        axes.plot(data.n, dots, mark, color=colour, markersize=5, fillstyle="none")
        axes.text(*place, words, color=colour, weight="bold", transform=axes.transAxes)
    axes.plot(data.n, data.bias + data.variance, color="#000000", linestyle="--", linewidth=1)
    axes.text(0.45, 0.37, "sum", transform=axes.transAxes)
    log_axis(axes, [int(n) for n in data.n])
    axes.set(xlabel="steps n before the guess is used", ylabel="mean over states", ylim=(0, None))
    axes.text(0.03, 0.9, "lines: exact\nmarks: sampled", va="top", transform=axes.transAxes)
    return picture(
        figure,
        "As n grows the squared bias falls to zero and the variance rises; the sampled marks lie on"
        " the exact lines.",
    )
