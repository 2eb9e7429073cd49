"""Figures of features: what each family sees, how far one step reaches, and the kernel.

Shapes: N points of a line, F features.
"""

from typing import NamedTuple

import numpy as np

from rlcourse.deep import features as f
from rlcourse.deep.function_approximation import best_fit, norm, td_fixed_point
from rlcourse.deep.long_walk import groups, position
from rlcourse.figures.deep.linear_runs import Curves, walk_world
from rlcourse.plot import COLOUR_OF, GREY, HALF, LOOKS, PURPLE, Picture, panel, picture
from rlcourse.tabular.mdp import Floats

AT = 0.3  # where the step is made whose reach is shown
FAMILIES = ("polynomial", "Fourier", "tile coding", "radial")


def family(name: str, n: int, x: Floats) -> Floats:
    """The features of a family at x (N, 1), n being the degree, the order, or a number of cells.

    Tile coding has 8 tilings of n tiles; n + 1 radial centres stand 1 / n apart, 0.6 / n wide.
    """
    if name == "polynomial":
        return f.polynomial_features(x, n)
    if name == "Fourier":
        return f.fourier_features(x, n)
    if name == "tile coding":
        return f.tile_features(x, 8, n)
    if name == "state aggregation":
        return f.tile_features(x, 1, n)
    return f.radial_features(x, np.linspace(0, 1, n + 1)[:, None], 0.6 / n)


class Reach(NamedTuple):
    """The features of each family on a line, and the kernel of the point AT.

    x        (N,)
    phi      family -> (N, F)
    kernel   family -> (N,) what a step at AT does to each value, 1 at AT itself
    """

    x: Floats
    phi: dict[str, Floats]
    kernel: dict[str, Floats]


def data_reach(points: int = 131) -> Reach:
    """Degree and order 5, 8 tilings of 5 tiles, 6 radial features."""
    x = np.linspace(0, 1, points)
    here = np.array([[AT]])
    phi = {name: family(name, 5, x[:, None]) for name in FAMILIES}
    kernels = {}
    for name in FAMILIES:
        k = f.kernel(phi[name], family(name, 5, here))[:, 0]
        kernels[name] = k / f.kernel(*[family(name, 5, here)] * 2)[0, 0]
    return Reach(x, phi, kernels)


def draw_reach(data: Reach) -> Picture:
    """Four panels: the features thin, the reach of one step thick."""
    figures = []
    for name in FAMILIES:
        figure, axes = panel(name, (3.4, 2.2))
        axes.plot(data.x, data.phi[name][:, :6], color=GREY, linewidth=0.7, alpha=0.8)
        style = "steps-mid" if name == "tile coding" else "default"
        axes.plot(data.x, data.kernel[name], color=COLOUR_OF[name], linewidth=2.6, drawstyle=style)
        axes.plot([AT], [1], "o", color="#000000", markersize=5)
        axes.set(ylim=(-1.1, 1.9 if name == "polynomial" else 1.25), xlim=(0, 1))
        axes.set_xticks([0, AT, 1])
        figures.append(figure)
    return picture(
        figures,
        "Four families of features on a line. A step at 0.3 moves polynomial and Fourier values"
        " everywhere, those of tile coding and radial features only nearby.",
    )


# ------------------------------------------------------------------------------- the kernel


class Limit(NamedTuple):
    """The kernel of radial features of one width, on grids of different spacing.

    x        (N,)
    centres  how many lie in [0, 1]
    kernel   (n, N)  φ(0.5)ᵀφ(x), scaled to the limit
    exact    (N,)    the Gaussian kernel
    """

    x: Floats
    centres: tuple[int, ...]
    kernel: Floats
    exact: Floats


def data_limit(width: float = 0.1, centres: tuple[int, ...] = (3, 5, 9)) -> Limit:
    """Grids that reach far beyond [0, 1] on both sides, so that no end is felt."""
    x, half = np.linspace(0, 1, 201)[:, None], np.array([[0.55]])
    rows = []
    for n in centres:
        h = 1 / (n - 1)
        grid = np.arange(-2, 3 + h / 2, h)[:, None]
        k = f.kernel(f.radial_features(half, grid, width), f.radial_features(x, grid, width))
        rows.append(k[0] * h / (width * np.sqrt(np.pi)))
    return Limit(x[:, 0], centres, np.array(rows), f.gaussian_kernel(half, x, width)[0])


def draw_limit(data: Limit) -> Picture:
    """The kernels approach the bell as centres are added."""
    figure, axes = panel("More radial features: one kernel", (4.4, 2.7))
    axes.plot(data.x, data.exact, color="#000000", linewidth=3.2, alpha=0.35, label="limit")
    for n, k, look in zip(data.centres, data.kernel, LOOKS[::-1], strict=False):
        axes.plot(data.x, k, look, color=PURPLE, linewidth=1.5, label=f"{n} centres")
    axes.set(xlabel="x", ylabel="k(0.55, x), scaled", ylim=(0, None))
    axes.legend(fontsize=7.5)
    return picture(
        figure,
        "With three centres on the unit interval the kernel of radial features is lopsided, with"
        " nine it lies on the Gaussian bell.",
    )


# ------------------------------------------------------------------------------- curves


def draw_curves(bases: Curves, tilings: Curves) -> Picture:
    """Sutton & Barto's figures 9.5 and 9.10, with bands of two standard errors."""
    figures = []
    for title, data in (("Polynomials and cosines", bases), ("One tiling and fifty", tilings)):
        figure, axes = panel(title, HALF)
        looks = iter(LOOKS * 3)
        for name, error in data.error.items():
            kind = name.split(",")[0]
            if name.endswith(", 10"):  # between the others
                continue
            look = {"5": "-", "20": "-."}.get(name.split(", ")[-1]) or next(looks)
            k = np.append(np.arange(0, 10), np.arange(10, len(error), 4))
            x, y, band = data.episodes[k], error[k], 2 * data.spread[name][k]
            axes.fill_between(x, y - band, y + band, color=COLOUR_OF[kind], alpha=0.2, linewidth=0)
            axes.plot(x, y, look, color=COLOUR_OF[kind], linewidth=1.4, label=name)
        axes.set(xlabel="episodes", ylabel="√VE", ylim=(0, 0.42))
        axes.legend(fontsize=7, ncols=2 if len(data.error) > 2 else 1)
        figures.append(figure)
    return picture(
        figures,
        "Left: on the long walk cosines reach a lower error than polynomials of the same order."
        " Right: fifty shifted tilings end far below a single one.",
    )


# ------------------------------------------------------------------------------- fits


class Fit(NamedTuple):
    """Values of the long walk: exact, best fit and TD's fixed point of some features.

    v, best, td           (1000,)
    best_error, td_error  root mean square errors of the last two
    n_features            how many weights there are
    """

    v: Floats
    best: Floats
    td: Floats
    best_error: float
    td_error: float
    n_features: int


def data_fit(name: str = "state aggregation", n: int = 10) -> Fit:
    """A family on the long walk, weighted by the on-policy distribution."""
    _, _, model, _, v, d = walk_world()
    phi = groups(n) if name == "state aggregation" else family(name, n, position())
    best = phi @ best_fit(phi, v, d)
    td = phi @ td_fixed_point(phi, *model, d, 1.0)
    best_error, td_error = (float(np.sqrt(norm(x - v, d))) for x in (best, td))
    return Fit(v, best, td, best_error, td_error, phi.shape[1])


def draw_fit(name: str = "state aggregation", n: int = 10) -> Picture:
    """Exact values, best fit and TD's fixed point: for a menu and a slider."""
    data = data_fit(name, n)
    figure, axes = panel(f"{name}, n = {n}: {data.n_features} weights", (4.6, 3.0))
    s = np.arange(1, 1001)
    shown = np.unique(np.append(np.arange(0, 1000, 10), [*range(99, 1000, 100), 999]))
    style = "steps-mid" if name in ("state aggregation", "tile coding") else "default"
    axes.plot(s[shown], data.v[shown], color="#000000", linewidth=1, label="exact")
    for label, y, error, look in (
        ("best fit", data.best, data.best_error, "--"),
        ("TD fixed point", data.td, data.td_error, "-"),
    ):
        axes.plot(
            s[shown], y[shown], look, color=COLOUR_OF[label], linewidth=1.6, drawstyle=style,
            label=f"{label}: √VE {error:.3f}",
        )  # fmt: skip
    axes.set(xlabel="state", ylabel="value", ylim=(-1.1, 1.1))
    axes.legend(fontsize=7.5, loc="upper left")
    return picture(
        figure,
        f"Values of a thousand states from {data.n_features} weights: the best fit and TD's fixed"
        " point beside the exact values.",
    )
