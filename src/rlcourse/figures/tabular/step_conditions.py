"""The conditions on step sizes, noise and g: what they give, and each of them broken.

Shapes: B runs, T steps, n iterates kept, N readings, m blocks of steps.
"""

from collections.abc import Callable, Iterable
from typing import NamedTuple

import numpy as np
from matplotlib.ticker import MaxNLocator

from rlcourse.figures.tabular.iterates import (
    HALF,
    gaussian,
    kept,
    log_steps,
    say,
    show_band,
    show_root,
)
from rlcourse.figures.tabular.stochastic_approximation import ROOT
from rlcourse.plot import BLUE, COLOUR_OF, GREEN, GREY, OCHRE, RED, Picture, panel, picture
from rlcourse.tabular.mdp import Floats, Ints
from rlcourse.tabular.stochastic_approximation import (
    Reading,
    clipped,
    cubic,
    noisy,
    robbins_monro,
    squashed,
    step_sizes,
)

# ------------------------------------------------------------------------------- the question


class Question(NamedTuple):
    """One equation, read with noise, and three ways to use the readings.

    at, seen  (N,) where g was read, and what was read
    k         (n,) iterates kept
    w         step sizes -> (n, B) iterates, all from the same noise
    """

    at: Floats
    seen: Floats
    k: Ints
    w: dict[str, Floats]


STEPS: dict[str, Callable[[int], Floats]] = {
    "1/k": step_sizes,
    "constant step": lambda steps: step_sizes(steps, c=0.5, p=0),
    "1/k²": lambda steps: step_sizes(steps, p=2),
}


def data_question(
    *, rng: np.random.Generator, steps: int = 2000, runs: int = 200, sigma: float = 1.0
) -> Question:
    """tanh(w - 1) = 0 from w_1 = 3: the same noise for three sequences of step sizes."""
    at = rng.uniform(-2, 4, 60)
    seen = squashed(at) + rng.normal(0, sigma, 60)
    noise = rng.normal(0, sigma, (steps, runs))
    k = kept(steps)
    w = {
        name: robbins_monro(noisy(squashed), np.full(runs, 3.0), a(steps), noise, k).w
        for name, a in STEPS.items()
    }
    return Question(at, seen, k, w)


def draw_question(data: Question) -> Picture:
    """What can be read, and what the three sequences make of it."""
    left, axes = panel("All that one sees: noisy readings of g", HALF)
    axes.plot(data.at, data.seen, "o", color=GREY, markersize=3, alpha=0.9, markeredgewidth=0)
    w = np.linspace(-2, 4, 41)
    axes.plot(w, squashed(w), color=GREEN)
    axes.axhline(0, color="#000000", linewidth=0.8)
    axes.plot([1], [0], "o", color="#000000", markersize=6)
    say(axes, "g, unseen", (2.75, 0.2), GREEN)
    axes.annotate("the root we want", (1, 0), (1.35, -1.7), arrowprops={"arrowstyle": "-"})
    axes.set(xlabel="w", ylabel="reading of g(w)", ylim=(-3, 3))
    right, axes = panel("The step size decides", HALF)
    looks = zip(data.w.items(), ("-", "-", "--"), (2.2, 0.9, 1.6), strict=True)
    for (name, path), look, width in looks:
        axes.plot(data.k + 1, path[:, 0], look, color=COLOUR_OF[name], linewidth=width, label=name)
    show_root(axes, 1.0)
    log_steps(axes)
    axes.set_ylabel("w")
    axes.legend(loc="upper right", ncols=3, fontsize=7.5, columnspacing=1, handlelength=1.6)
    axes.set_ylim(-0.9, 4.6)
    return picture(
        [left, right],
        "Left: a cloud of noisy readings around an increasing curve with a root at 1. Right: with"
        " steps 1/k a run settles at the root, with a constant step it keeps jumping around it,"
        " with 1/k² it stops beside it.",
    )


# ------------------------------------------------------------------------------- the conditions


class Failure(NamedTuple):
    """A condition of the theorem: runs that keep it, and runs that break it.

    kept, broken  (n, B) iterates; NaN where a run has diverged
    root          the root of g
    """

    title: str
    keep_words: str
    break_words: str
    root: float
    kept: Floats
    broken: Floats


def flat(w: Floats) -> Floats:
    """(w - 1) exp(-(w - 1)²/2): the right root, but no slope far from it."""
    return np.asarray((w - 1) * np.exp(-((w - 1) ** 2) / 2))


def data_failures(
    *, rng: np.random.Generator, steps: int = 1000, runs: int = 200
) -> tuple[Ints, list[Failure]]:
    """Six pairs of experiments, each alike but for one condition: the noise too, if not broken."""
    k, slow = kept(steps, 22), step_sizes(steps)
    noise = rng.normal(size=(steps, runs))
    tails = rng.standard_cauchy((steps, runs))

    def run(reading: Reading, w: float, a: Floats, eta: Floats) -> Floats:
        return robbins_monro(reading, np.full(runs, w), a, eta, k).w

    tanh, cube = noisy(squashed), noisy(cubic)
    line = noisy(lambda w: w - 1)
    held = run(tanh, 5.0, slow, 0.5 * noise)
    jumpy = run(tanh, 5.0, slow, noise)
    return k, [
        Failure("Steps with a finite sum: stops too early", "1/k", "1/k²", 1.0, held,
                run(tanh, 5.0, step_sizes(steps, p=2), 0.5 * noise)),
        Failure("Squares with an infinite sum: never settles", "1/k", "constant 0.5", 1.0, jumpy,
                run(tanh, 5.0, step_sizes(steps, c=0.5, p=0), noise)),
        Failure("Noise with a mean: another root", "mean 0", "mean 0.5", 1.0, jumpy,
                run(tanh, 5.0, slow, noise + 0.5)),
        Failure("Noise without a variance: no progress", "Gaussian", "Cauchy", 1.0,
                run(line, 5.0, slow, noise), run(line, 5.0, slow, tails)),
        Failure("A slope that fades: hardly moves", "tanh", "flat far out", 1.0, held,
                run(noisy(flat), 5.0, slow, 0.5 * noise)),
        Failure("A slope without a bound: explodes", "w³ − 5, cut to ±5", "w³ − 5", ROOT,
                run(clipped(cube, 5.0), 0.0, slow, noise), run(cube, 0.0, slow, noise)),
    ]  # fmt: skip


def draw_failures(k: Ints, failures: list[Failure]) -> Picture:
    """One panel a condition: blue keeps it, orange breaks it."""
    panels = []
    for failure in failures:
        figure, axes = panel(failure.title, (3.4, 1.9))
        lost = np.isnan(failure.broken).any(0)
        show_band(axes, k, failure.kept, BLUE)
        if lost.any():
            for b in np.flatnonzero(lost)[:8]:
                alive = np.isfinite(failure.broken[:, b])
                axes.plot(k[alive] + 1, failure.broken[alive, b], "--", color=RED, linewidth=0.9)
            axes.set_ylim(-12, 12)
        else:
            show_band(axes, k, failure.broken, RED, "--")
        show_root(axes, failure.root, "")
        axes.plot([], [], color=BLUE, label=failure.keep_words)
        axes.plot([], [], "--", color=RED, label=failure.break_words)
        low, high = axes.get_ylim()
        axes.set_ylim(low, high + 0.22 * (high - low))  # room for the legend
        axes.legend(loc="upper right", ncols=2, fontsize=7.5, handlelength=1.6)
        axes.yaxis.set_major_locator(MaxNLocator(4, integer=True))
        log_steps(axes, "")
        panels.append(figure)
    return picture(
        panels,
        "Six panels of iterates against steps, one for each condition. The blue band, which keeps"
        " the condition, closes in on the root; the orange one stops too early, stays wide, goes to"
        " another value, stays wide, stays where it began, explodes.",
    )


# ------------------------------------------------------------------------------- rare jumps


class Jumps(NamedTuple):
    """Noise that is rare and large: ±1/a_k with probability a_k², of variance 1 at every step.

    A jump moves w by 1. On the line g(w) = w, from w_1 = 0.

    blocks          (m,) first steps of the blocks k .. 2k - 1
    gaussian, rare  (m, B) largest |w| within a block with a_k = k^-0.4, for each noise
    seen, chance    power p -> (m,) share of runs that jump within a block, and its probability
    """

    blocks: Ints
    gaussian: Floats
    rare: Floats
    seen: dict[float, Floats]
    chance: dict[float, Floats]


def data_jumps(*, rng: np.random.Generator, steps: int = 8191, runs: int = 200) -> Jumps:
    """Is Σ a² < ∞ needed? Two noises of variance 1, and how often the rare one strikes."""
    blocks = 2 ** np.arange(int(np.log2(steps + 1)))
    cut = [slice(n - 1, 2 * n - 1) for n in blocks]

    def largest(a: Floats, eta: Iterable[Floats]) -> Floats:
        w = robbins_monro(noisy(lambda w: w), np.zeros(runs), a, eta).w
        return np.array([np.abs(w[1:][c]).max(0) for c in cut])

    rare, seen, chance = {}, {}, {}
    for p in (0.4, 0.5, 0.75):
        a = step_sizes(steps, p=p)
        size, u = a[:, None], rng.random((steps, runs))
        jumps = u < size**2
        rare[p] = largest(a, np.where(jumps, np.sign(u - size**2 / 2) / size, 0.0))
        seen[p] = np.array([jumps[c].any(0).mean() for c in cut])
        chance[p] = np.array([1 - np.prod(1 - a[c] ** 2) for c in cut])
    calm = largest(step_sizes(steps, p=0.4), gaussian(steps, runs, 1.0, rng=rng))
    return Jumps(blocks, calm, rare[0.4], seen, chance)


def draw_jumps(data: Jumps) -> Picture:
    """How far runs go astray under each noise, and the chance of a jump, block by block."""
    left, axes = panel("Farthest from the root between k and 2k", HALF)
    for w, colour, look, words in (
        (data.rare, RED, "--", "rare, large noise"),
        (data.gaussian, BLUE, "-", "Gaussian noise"),
    ):
        low, middle, high = np.quantile(w, [0.1, 0.5, 0.9], axis=1)
        axes.fill_between(data.blocks, low, high, color=colour, alpha=0.22, linewidth=0)
        axes.plot(data.blocks, middle, look, color=colour, label=words)
    log_steps(axes)
    axes.set(ylabel="largest $|w|$", ylim=(0, 2.4))
    axes.legend(loc="upper right")
    right, axes = panel("Chance of a jump between k and 2k", HALF)
    looks = zip(data.chance.items(), (RED, OCHRE, BLUE), ("o", "s", "^"), strict=True)
    for (p, chance), colour, mark in looks:
        axes.plot(data.blocks, chance, color=colour, linewidth=1)
        axes.plot(data.blocks, data.seen[p], mark, color=colour, markersize=3.5)
        say(axes, f"p = {p:g}", (data.blocks[-1], chance[-1]), colour, xytext=(-4, 9),
            textcoords="offset points", ha="right")  # fmt: skip
    log_steps(axes)
    axes.set_ylim(0, 1.2)
    return picture(
        [left, right],
        "Left: with Gaussian noise runs come to rest at 0; with rare, large noise of the same"
        " variance they are thrown off by 1 in every block. Right: such a jump becomes certain for"
        " p 0.4, stays at one half for p 0.5, dies out for p 0.75.",
    )
