"""A type and a function that the topic `walk` borrows from a helper module."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]


class Chain(NamedTuple):
    """One step of B learners: r (B,), terminated (B,)."""

    r: Array
    terminated: NDArray[np.bool_]


def chain_target(chain: Chain, v_next: Array, gamma: float) -> Array:
    """r + γ v(s'), and r alone at the end of an episode.

    v_next (B,) -> (B,). Raises ValueError unless 0 <= gamma <= 1.
    """
    _refuse(gamma)
    return chain.r + gamma * np.where(chain.terminated, 0.0, v_next)


def _refuse(gamma: float) -> None:
    if not 0 <= gamma <= 1:
        raise ValueError(f"gamma must lie in [0, 1], got {gamma}")
