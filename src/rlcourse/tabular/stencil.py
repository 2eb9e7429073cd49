"""Value iteration on a grid by shifting whole arrays: no index is ever looked up.

The value of entering a cell, y = c + γ v, is kept in an array with a border of one cell around the
map, which holds what a bump into the wall brings. What an action is worth is then y shifted by one
cell, and the best of all is a maximum of shifted arrays:

    v_next = max(y up, y right, y down, y left, y)

On a slippery floor v_next is (1 - slip) times that maximum plus slip times the mean.

Shapes: N rows, M columns, S = N M states.
"""

from collections.abc import Iterator
from itertools import count
from typing import NamedTuple

import numpy as np

from rlcourse.tabular.mdp import Bools, Floats
from rlcourse.tabular.sweeps import Sweep


class Grid(NamedTuple):
    """A map and its rules; the arrays are (N, M).

    cell      reward for entering a cell, or staying in it
    wall      reward for bumping into the wall from a cell
    terminal  True where entering a cell ends the episode
    slip      probability that the action is replaced by a uniform one of all
    stay      True: a fifth action stays where it is
    """

    cell: Floats
    wall: Floats
    terminal: Bools
    slip: float
    stay: bool


def sweeps(grid: Grid, gamma: float, every: int) -> Iterator[Sweep]:
    """v <- max_a q(s, a) from v = 0, for ever; of `every` sweeps the last one is shown.

    With its border the map is one flat array, row by row: beside cell i are the cells i ± 1 and
    i ± w, where w = M + 2.
    """
    reward, ends = np.pad(grid.cell, 1), np.flatnonzero(np.pad(grid.terminal, 1))
    v, y, bump = np.zeros_like(reward), reward.copy(), grid.wall - grid.cell
    w, cells = reward.shape[1], (slice(1, -1), slice(1, -1))
    run = slice(w, -w - 1)  # from the first cell to the last, with the border at their sides
    here, best, earned = (x.ravel()[run] for x in (y, v, reward))
    pair, total = np.empty(y.size - w), np.empty_like(best)
    for number in count(1):
        if shown := number % every == 0:
            before = v[cells].flatten()
        _border(y, bump)
        _combine(np.maximum, y.ravel(), w, grid.stay, pair, best)
        if grid.slip:
            _combine(np.add, y.ravel(), w, grid.stay, pair, total)
            best *= 1 - grid.slip
            best += grid.slip / (4 + grid.stay) * total
        v.ravel()[ends] = 0
        np.multiply(best, gamma, out=here)
        here += earned
        if shown:
            yield Sweep(before, v[cells].flatten(), number)


def _border(y: Floats, bump: Floats) -> None:
    """Beside each cell at the edge, what a bump brings: `bump` (N, M) more than entering it."""
    y[0, 1:-1], y[-1, 1:-1] = y[1, 1:-1] + bump[0], y[-2, 1:-1] + bump[-1]
    y[1:-1, 0], y[1:-1, -1] = y[1:-1, 1] + bump[:, 0], y[1:-1, -2] + bump[:, -1]


def _combine(op: np.ufunc, y: Floats, w: int, stay: bool, pair: Floats, out: Floats) -> None:
    """The maximum or sum of the cells beside each one, and of itself if one can stay there.

    The pair below and to the right of cell i is the pair above and to the left of cell i + w + 1,
    so that each pair is combined once.
    """
    op(y[:-w], y[w - 1 : -1], out=pair)
    op(pair[: -w - 1], pair[w + 1 :], out=out)
    if stay:
        op(out, y[w : -w - 1], out=out)
