"""Sweeps of any finite MDP, in the form in which they are fastest.

Discount and ends are put into the weights, the rewards are summed over their outcomes, and the
states lie side by side in memory: sums over outcomes and maxima over actions are then operations on
long runs, several times as fast as on many short ones.

Shapes: S states, A actions, K outcomes; v is (S,), q is (S, A).
"""

from typing import NamedTuple

import numpy as np

from rlcourse.tabular.mdp import MDP, Floats, Ints


class Sweep(NamedTuple):
    """Values (S,) before and after a sweep that improves, and how many sweeps that makes."""

    before: Floats
    after: Floats
    number: int


class Linear(NamedTuple):
    """An MDP with discount and ends put into its weights: q = r + Σ_k w v(s_next).

    s_next and w are (S, A, K), r is (S, A); or (S, K) and (S,) under a deterministic policy.
    """

    s_next: Ints
    w: Floats
    r: Floats


def linear_form(mdp: MDP, gamma: float) -> Linear:
    """w = γ p (1 - terminated) and r = Σ_k p r, so that a sweep is a gather and a sum."""
    w, r = gamma * mdp.p * ~mdp.terminated, np.einsum("sak,sak->sa", mdp.p, mdp.r)
    runs = np.asfortranarray
    return Linear(runs(mdp.s_next), runs(w), runs(r))


def backup(model: Linear, v: Floats) -> Floats:
    """q = r + Σ_k w v(s_next), of the shape of r."""
    if model.w.shape[-1] == 1:
        return np.asarray(model.r + model.w[..., 0] * v[model.s_next[..., 0]])
    return np.asarray(model.r + np.einsum("...k,...k->...", model.w, v[model.s_next]))


def under(model: Linear, a: Ints) -> Linear:
    """The rows of a deterministic policy a (S,)."""
    s, runs = np.arange(len(a)), np.asfortranarray
    return Linear(runs(model.s_next[s, a]), runs(model.w[s, a]), runs(model.r[s, a]))
