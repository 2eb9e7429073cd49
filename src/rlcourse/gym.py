"""Gymnasium and this course: a grid world as an environment, a table of outcomes as an MDP.

Importing this module registers `rlcourse/GridWorld-v0`. An environment hides its model and is
stepped; an MDP shows it and is solved: `model_of` leads from the first to the second.

    env = gymnasium.make("rlcourse/GridWorld-v0", world=".x\\n.T", terminal=True)
    mdp, start = model_of(make("FrozenLake"))

Shapes: S states, A actions, K outcomes of an action.
"""

import difflib
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, NamedTuple

import gymnasium
import numpy as np
from gymnasium import spaces
from numpy.typing import ArrayLike, NDArray

from rlcourse import _check
from rlcourse.tabular.gridworld import ZHAO, GridWorld, grid_mdp, parse, render
from rlcourse.tabular.mdp import MDP, Bools, Floats, absorb, finite_mdp

GRID_WORLD = "rlcourse/GridWorld-v0"
MOST_STEPS = 100  # as FrozenLake's; gymnasium.make(..., max_episode_steps=...) sets another
CELL = 24  # pixels
COLOUR = {".": (255, 255, 255), "S": (230, 230, 230), "x": (213, 140, 60), "T": (110, 160, 215)}
LINE, WALKER = (190, 190, 190), (40, 40, 40)

Outcome = tuple[float, int, float, bool]
Table = Mapping[int, Mapping[int, Sequence[Outcome]]]
Info = dict[str, Any]


class Model(NamedTuple):
    """What an environment hides: its MDP, and where episodes begin.

    start  (S,) the probability of each first state
    """

    mdp: MDP
    start: Floats


# ------------------------------------------------------------------------------- environment


class GridWorldEnv(gymnasium.Env[Any, Any]):
    """A grid world to be stepped: observations and actions are numbers, as in `grid_mdp`.

    `world` is a GridWorld, or a map in letters; `rules` are fields of GridWorld that replace its
    own. An episode begins in world.start, or in any cell but a target, each as probable as another.
    It is `terminated` in a terminal target; the time limit of `gymnasium.make` truncates it.
    info["prob"] is the probability of what happened.
    """

    metadata = {"render_modes": ["ansi", "rgb_array"], "render_fps": 4}  # noqa: RUF012

    def __init__(
        self, world: GridWorld | str = ZHAO, *, render_mode: str | None = None, **rules: Any
    ) -> None:
        if render_mode not in (None, *self.metadata["render_modes"]):
            modes = self.metadata["render_modes"]
            raise ValueError(f"render_mode must be None or one of {modes}, got {render_mode!r}")
        self.world = parse(world, **rules) if isinstance(world, str) else replace(world, **rules)
        self.mdp = grid_mdp(self.world)
        self.initial_state_distrib = _first_states(self.world)
        self.observation_space = spaces.Discrete(self.world.n_states)
        self.action_space = spaces.Discrete(self.world.n_actions)
        self.render_mode = render_mode
        self.s: int | None = None
        self._up_to = self.mdp.p.cumsum(-1)

    def reset(self, *, seed: int | None = None, options: Info | None = None) -> tuple[int, Info]:
        """The first state of an episode; `options` has no meaning here."""
        super().reset(seed=seed)
        self.s = int(self.np_random.choice(self.world.n_states, p=self.initial_state_distrib))
        return self.s, {"prob": float(self.initial_state_distrib[self.s])}

    def step(self, action: int) -> tuple[int, float, bool, bool, Info]:
        """One row of the MDP's tables, drawn by its probability.

        Raises ValueError for an action that doesn't exist, ResetNeeded before the first reset.
        """
        if not self.action_space.contains(action):
            raise ValueError(f"action must lie in [0, {self.world.n_actions}), got {action!r}")
        if self.s is None:
            raise gymnasium.error.ResetNeeded("call reset() before step()")
        at = (self.s, int(action), 0)
        if self.mdp.p.shape[-1] > 1:
            up_to = self._up_to[at[:2]]
            k = up_to.searchsorted(self.np_random.random() * up_to[-1], side="right")
            at = (*at[:2], int(k))
        self.s = int(self.mdp.s_next[at])
        prob = {"prob": float(self.mdp.p[at])}
        return self.s, float(self.mdp.r[at]), bool(self.mdp.terminated[at]), False, prob

    def render(self) -> str | NDArray[np.uint8] | None:
        """The map with the walker on it: letters and @, or pixels (rows, columns, 3)."""
        if self.render_mode is None:
            gymnasium.logger.warn("render() shows nothing: the environment has no render_mode")
            return None
        rows = [list(line) for line in render(self.world).splitlines()]
        row, col = (None, None) if self.s is None else divmod(self.s, self.world.n_cols)
        if self.render_mode == "rgb_array":
            return _pixels(rows, row, col)
        if row is not None and col is not None:
            rows[row][col] = "@"
        return "\n".join(map("".join, rows)) + "\n"


def _first_states(world: GridWorld) -> Floats:
    """Where an episode begins: p (S,)."""
    first = np.ones(world.n_states) if world.start is None else np.eye(world.n_states)[world.start]
    if world.start is None:
        first[list(world.target)] = 0
    if not first.any():
        raise ValueError("world must have a start or a cell that is no target, got targets only")
    return np.asarray(first / first.sum())


def _pixels(rows: list[list[str]], row: int | None, col: int | None) -> NDArray[np.uint8]:
    image = np.array([[COLOUR[letter] for letter in line] for line in rows], dtype=np.uint8)
    image = image.repeat(CELL, 0).repeat(CELL, 1)
    image[::CELL] = image[:, ::CELL] = LINE
    if row is not None and col is not None:
        y, x = (slice(i * CELL + CELL // 4 + 1, (i + 1) * CELL - CELL // 4) for i in (row, col))
        image[y, x] = WALKER
    return image


# ------------------------------------------------------------------------------- models


def model_of(env: gymnasium.Env[Any, Any]) -> Model:
    """The MDP and the first states of a grid world, or of FrozenLake, CliffWalking or Taxi.

    Raises ValueError for an environment that keeps no table.
    """
    bare: Any = env.unwrapped
    if isinstance(bare, GridWorldEnv):
        return Model(bare.mdp, bare.initial_state_distrib)
    if not hasattr(bare, "P") or not hasattr(bare, "initial_state_distrib"):
        raise ValueError(
            "env must hold a table P and initial_state_distrib, as FrozenLake does,"
            f" got {type(bare).__name__}"
        )
    start = np.asarray(bare.initial_state_distrib, dtype=np.float64)
    return Model(mdp_from_table(bare.P, start), start)


def mdp_from_table(P: Table, start: ArrayLike | None = None) -> MDP:
    """The MDP of a table P[s][a] = [(probability, s_next, reward, terminated), …].

    K is the largest number of outcomes; shorter lists are filled up with outcomes of probability 0.
    Such tables may go on after the end (the cliff's goal has a way out), so a state is made
    terminal, and worth 0, if other states enter it by outcomes that end the episode and by no
    others. Give `start` (S,), the probability of each first state, where the end leads back to the
    beginning, or states that no episode visits lead to the end (Taxi): those don't count then.
    Raises ValueError naming state and action where the table is malformed.
    """
    rows = [_numbered(f"P[{s}]", row) for s, row in enumerate(_numbered("P", P))]
    if uneven := [s for s, row in enumerate(rows) if len(row) != len(rows[0])]:
        s = uneven[0]
        raise ValueError(
            f"P[{s}] must hold {len(rows[0])} actions as P[0] does, got {len(rows[s])}"
        )
    outcomes = max(len(row[a]) for row in rows for a in range(len(row)))
    table = np.zeros((len(rows), len(rows[0]), outcomes, 4))
    table[..., 1] = np.arange(len(rows))[:, None, None]
    for s, row in enumerate(rows):
        for a, listed in enumerate(row):
            table[s, a, : len(listed)] = _outcomes(f"P[{s}][{a}]", listed, len(rows))
    p, s_next, r, terminated = np.moveaxis(table, -1, 0)
    mdp = finite_mdp(s_next.astype(np.intp), p, r, terminated)
    if start is None:
        return absorb(mdp, _ends(mdp, np.ones(len(rows), dtype=np.bool_)))
    chance = _check.probabilities("start", start)
    _check.shape("start", chance, (len(rows),))
    return absorb(mdp, _ends(mdp, chance > 0) & (chance == 0))


def _numbered(name: str, x: Any) -> list[Any]:
    """The values of a mapping or sequence whose keys are 0, 1, …; ValueError otherwise."""
    keys = x.keys() if isinstance(x, Mapping) else range(len(x)) if isinstance(x, Sequence) else ()
    if not keys or set(keys) != set(range(len(x))):
        what = f"keys {sorted(keys)[:5]}" if isinstance(x, Mapping) else repr(x)
        raise ValueError(f"{name} must have an entry for each of 0, 1, 2, …, got {what}")
    return [x[i] for i in range(len(x))]


def _outcomes(name: str, listed: Sequence[Outcome], n_states: int) -> Floats:
    """The outcomes of one action (K, 4), checked here so that the error can name it."""
    rows = _check.finite(name, listed)
    _check.shape(f"{name}, outcomes (probability, s_next, reward, terminated),", rows, ("K", 4))
    _check.indices(f"s_next in {name}", [outcome[1] for outcome in listed], n_states)
    return rows


def _ends(mdp: MDP, first: Bools) -> Bools:
    """The terminal states (S,) by the rule of `mdp_from_table`, given the first states (S,)."""
    here = np.arange(len(first))[:, None, None]
    goes_on = (mdp.p > 0) & ~mdp.terminated
    visited, before = first.copy(), 0
    while visited.sum() > before:
        before = visited.sum()
        visited[mdp.s_next[goes_on & visited[here]]] = True
    ends = np.zeros(len(first), dtype=np.bool_)
    ends[mdp.s_next[(mdp.p > 0) & mdp.terminated]] = True
    ends[mdp.s_next[goes_on & visited[here] & (mdp.s_next != here)]] = False
    return ends


# ------------------------------------------------------------------------------- ids


def resolve_id(family: str) -> str:
    """The id of the newest registered version: "Taxi" is Taxi-v4 in gymnasium 1.4, v3 before.

    Raises ValueError for a family that this gymnasium doesn't know.
    """
    versions = {
        spec.version or 0: spec.id
        for spec in gymnasium.registry.values()
        if family == (f"{spec.namespace}/{spec.name}" if spec.namespace else spec.name)
    }
    if not versions:
        near = difflib.get_close_matches(family, gymnasium.registry, n=3)
        raise ValueError(
            f"family must name an environment, without its version, got {family!r};"
            f" gymnasium {gymnasium.__version__} has {near or 'nothing like it'}"
        )
    return versions[max(versions)]


def make(family: str, **kwargs: Any) -> gymnasium.Env[Any, Any]:
    """gymnasium.make with the newest registered version of a family: make("CliffWalking")."""
    return gymnasium.make(resolve_id(family), **kwargs)


gymnasium.register(
    id=GRID_WORLD, entry_point="rlcourse.gym:GridWorldEnv", max_episode_steps=MOST_STEPS
)
