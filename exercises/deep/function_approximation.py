# desk ee6550998df4: the hash of what follows. Edit below, and the file is yours.
"""Your desk for deep/function_approximation. Write the functions, then: rlcourse check function_approximation"""

from itertools import product
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Ints = NDArray[np.intp]
Bools = NDArray[np.bool_]


class LinearSystem(NamedTuple):
    """The mean update of a linear learner is α (b - A w)  (eq-td-system).

    a  (F, F)
    b  (F,)
    """

    a: Floats
    b: Floats


class LstdState(NamedTuple):
    """What recursive least squares remembers  (eq-recursive-lstd).

    inverse  (..., F, F)  the inverse of (ridge I + Σ φ (φ - γφ')ᵀ)
    b        (..., F)     Σ r φ
    """

    inverse: Floats
    b: Floats


class GradientTD(NamedTuple):
    """The two sets of weights of gradient TD.

    w  (..., F)  those of the values
    h  (..., F)  those that estimate C⁻¹(b - A w)
    """

    w: Floats
    h: Floats


def fourier_features(x: Floats, order: int) -> Floats:
    """φ_i(x) = cos(π c_i·x), c_i in {0, 1, ..., n}^D  (eq-fourier-features).

    x (..., D) in [0, 1] -> (..., (n + 1)^D). The last coordinate's frequency runs fastest:
    c = (0, 0), (0, 1), ..., (1, 0), ... . The cosines alone suffice: a function on the box is half
    of an even one. Sutton & Barto, eq. 9.18; Zhao, section 8.2.4.
    """
    raise NotImplementedError


def tile_indices(x: Floats, tilings: int, tiles: int) -> Ints:
    """The tile of each tiling that holds x: floor(n x_d + k (2d - 1) / T mod 1)  (eq-tile-coding).

    x (..., D) in [0, 1] -> (..., T) integers below T (n + 1)^D. Each coordinate is cut into n
    tiles; tiling k = 0, 1, ..., T - 1 is shifted along coordinate d = 1, ..., D by the fraction
    k (2d - 1) / T mod 1 of a tile, so that it needs n + 1 tiles to cover the box. Tilings are
    numbered one after the other, and their tiles with the last coordinate fastest.
    Sutton & Barto, section 9.5.4.
    """
    raise NotImplementedError


def td_system(phi: Floats, p: Floats, r: Floats, d: Floats, gamma: float) -> LinearSystem:
    """A = ΦᵀD(I - γP)Φ and b = ΦᵀDr: the mean of semi-gradient TD  (eq-td-system).

    phi (S, F), p (S, S), r (S,), d (S,) -> (F, F) and (F,). d may be that of another policy than
    the one of p and r; then the mean is that of TD with importance ratios.
    Sutton & Barto, section 9.4; Zhao, section 8.2.5.
    """
    raise NotImplementedError


def semi_gradient_td_step(
    w: Floats,
    phi: Floats,
    r: Floats,
    phi_next: Floats,
    terminated: Bools,
    alpha: float | Floats,
    gamma: float,
) -> Floats:
    """w + α δ φ(s), with δ = r + γ (1 - terminated) φ(s')ᵀw - φ(s)ᵀw  (eq-semi-gradient).

    One transition of each learner: w, phi and phi_next (..., F), r and terminated (...) ->
    (..., F). The target counts as a constant: v(s) has the gradient φ(s), v(s') none. A truncated
    step is like any other: phi_next holds the features of the state that it led to.
    alpha may be (...), one for each learner. Sutton & Barto, section 9.3; Zhao, section 8.2.
    """
    raise NotImplementedError


def recursive_lstd_step(
    state: LstdState,
    phi: Floats,
    r: Floats,
    phi_next: Floats,
    terminated: Bools,
    gamma: float,
) -> LstdState:
    """M - (M φ)(gᵀM) / (1 + gᵀMφ) and b + r φ, g = φ - γ (1 - terminated) φ'  (eq-recursive-lstd).

    M = state.inverse (..., F, F), phi and phi_next (..., F), r and terminated (...): one sample
    more, without inverting anything (Sherman and Morrison). Zhao, p. 178, prints a plus for the
    minus. Sutton & Barto, eq. 9.22.
    """
    raise NotImplementedError


def tdc_step(
    w: Floats,
    h: Floats,
    phi: Floats,
    r: Floats,
    phi_next: Floats,
    terminated: Bools,
    rho: Floats,
    alpha: float | Floats,
    beta: float | Floats,
    gamma: float,
) -> GradientTD:
    """w + α ρ (δφ - γ (1 - terminated) φ' φᵀh) and h + β ρ (δ - φᵀh) φ  (eq-tdc).

    w, h, phi and phi_next (..., F), r, terminated and the ratio rho = π(a|s) / b(a|s) (...) ->
    (..., F) twice; both from the old w and h. alpha and beta may be (...), one for each learner.
    Sutton & Barto, section 11.7.
    """
    raise NotImplementedError
