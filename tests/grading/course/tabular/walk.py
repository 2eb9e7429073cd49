"""Functions that build on each other, one of them in float32."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from rlcourse.tabular.chain import Array, Chain, chain_target

Float32s = NDArray[np.float32]


class Best(NamedTuple):
    """action (B,) and value (B,)."""

    action: NDArray[np.intp]
    value: Array


def best(q: Array) -> Best:
    """An action of greatest value in each row of q (B, A), and that value."""
    return Best(q.argmax(-1), q.max(-1))


def next_target(chain: Chain, q_next: Array, gamma: float) -> Array:
    """r + γ max_a q(s', a): `chain_target` of the value of `best`."""
    return chain_target(chain, best(q_next).value, gamma)


def mean_square(x: Float32s) -> Float32s:
    """Σ x² / n along the last axis, in float32."""
    return (x * x).mean(-1)
