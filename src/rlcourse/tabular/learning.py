"""What B learners of action values have in common: how they act, and the log of their episodes.

Each learner acts ε-greedily on its own table, or all follow one fixed behaviour. In the loop a
table has its actions first, (A, B S): the best of A actions is then A - 1 comparisons of long
vectors, whatever B is.

Shapes: S states, A actions, B independent learners, N episodes.
"""

from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from rlcourse import _check
from rlcourse.tabular.environment import MOST_STEPS, Environment, Outcome
from rlcourse.tabular.mdp import Bools, Floats, Ints
from rlcourse.tabular.sampling import Alias, alias, draw

Ties = Literal["uniform", "first"]
NEVER = -1e300  # the value of an action that is not available: 0 times it is still 0


class Behaviour(NamedTuple):
    """How learners act.

    epsilon    probability to explore
    ties       whether equal best actions are drawn, or the first of them is taken
    available  (S, A) the actions that exist; None: all
    fixed      tables of a policy that all learners follow instead; None: ε-greedy on their own q
    sums       (A, A) a triangle of ones: it adds up the actions before and including each
    """

    epsilon: float
    ties: Ties
    available: Bools | None
    fixed: Alias | None
    sums: NDArray[np.float32]


class Learned(NamedTuple):
    """What B learners have learned in N episodes each.

    tables   (1, B, S, A), or (2, B, S, A) of double Q-learning
    returns  (N, B)  sum of the rewards of each episode, undiscounted
    lengths  (N, B)  its steps
    """

    tables: Floats
    returns: Floats
    lengths: Ints

    @property
    def q(self) -> Floats:
        """The action values (B, S, A): the mean of the tables."""
        return np.asarray(self.tables.mean(0))


class Log(NamedTuple):
    """The episodes so far; the last four have one entry for each learner that is still at it.

    returns, lengths  (N, B) as in `Learned`
    learner           its number in [0, B)
    episode           the number of its present episode
    age, total        steps and rewards of that episode so far
    """

    returns: Floats
    lengths: Ints
    learner: Ints
    episode: Ints
    age: Ints
    total: Floats


# ------------------------------------------------------------------------------- acting


def check_learning(learners: int, alpha: ArrayLike, gamma: float) -> Floats:
    """The step sizes (B,); ValueError for one outside (0, 1], or a gamma outside [0, 1]."""
    _check.interval("gamma", gamma, 0, 1)
    n = _check.positive_integer("learners", learners)
    for x in np.atleast_1d(_check.finite("alpha", alpha)).ravel():
        _check.step_size("alpha", float(x))
    rate: Floats = _check.spread("alpha", alpha, (n,)).astype(np.float64)
    return rate


def check_behaviour(
    env: Environment,
    epsilon: float,
    ties: Ties,
    available: Bools | None,
    fixed: Floats | None,
    must_cover: bool,
) -> Behaviour:
    """The behaviour, checked.

    Raises ValueError for epsilon outside [0, 1], unknown ties, a state without an action, and, if
    it must cover all actions, a fixed policy that never takes one that is available.
    """
    _check.interval("epsilon", epsilon, 0, 1)
    if ties not in ("uniform", "first"):
        raise ValueError(f"ties must be 'uniform' or 'first', got {ties!r}")
    shape = (env.n_states, env.n_actions)
    if available is not None:
        _check.shape("available", available, shape)
        if not available.any(1).all():
            lost = int(available.any(1).argmin())
            raise ValueError(f"available must offer an action in each state, got none in {lost}")
    sums = np.tri(env.n_actions, dtype=np.float32)
    if fixed is None:
        return Behaviour(epsilon, ties, available, None, sums)
    _check.shape("behaviour", _check.probabilities("behaviour", fixed), shape)
    exists = np.ones(shape, dtype=np.bool_) if available is None else available
    if (fixed[~exists] > 0).any():
        s, a = np.argwhere((fixed > 0) & ~exists)[0]
        raise ValueError(f"behaviour must take available actions, got action {a} in state {s}")
    if must_cover and (fixed[exists] == 0).any():
        s, a = np.argwhere((fixed == 0) & exists)[0]
        raise ValueError(
            f"behaviour must cover the target policy, which may take any action: in state {s} it"
            f" never takes action {a}; give each action a positive probability"
        )
    return Behaviour(epsilon, ties, available, alias(fixed), sums)


def act(how: Behaviour, q: Floats, s: Ints, *, rng: np.random.Generator) -> Ints:
    """An action of each learner (B,), from its row of action values, q (A, B), and its state.

    Explorers find every action best; one of the best is drawn. That is a draw from the ε-greedy
    policy (eq-epsilon-greedy), for two random numbers a learner.
    """
    if how.fixed is not None:
        return draw(how.fixed, s, rng)
    best = q == q.max(0)
    if how.ties == "first":
        best = np.arange(len(q))[:, None] == best.argmax(0)
    explores = rng.random(len(s)) < how.epsilon
    if how.available is not None:
        explores = explores & how.available[s].T
    up_to = how.sums @ (best | explores)  # how many of them are among the first actions
    return np.asarray((up_to <= rng.random(len(s)) * up_to[-1]).sum(0))


def exploring_policy(how: Behaviour, s: Ints, n_actions: int) -> Floats:
    """The policy of explorers in states s (B,): every available action alike, (B, A)."""
    if how.available is None:
        return np.full((len(s), n_actions), 1 / n_actions)
    open_to = how.available[s]
    return np.asarray(open_to / open_to.sum(-1, keepdims=True))


# ------------------------------------------------------------------------------- tables


def actions_first(
    q: ArrayLike, n: int, learners: int, env: Environment, available: Bools | None
) -> Floats:
    """n tables for each learner, from what broadcasts to (n, B, S, A): a copy (A, n B S)."""
    whole = _check.spread(
        "q", np.asarray(q, np.float64), (n, learners, env.n_states, env.n_actions)
    )
    if available is not None:
        whole[..., ~available] = NEVER
    tables = _check.finite("q", whole)
    return np.ascontiguousarray(tables.reshape(-1, env.n_actions).T)


def rows(table: Floats, at: Ints, size: int) -> Floats:
    """Action values (A, B) at places of a table (A, n size); of two tables, their sum."""
    first = table.take(at, 1)
    return first if table.shape[1] == size else first + table.take(at + size, 1)


def finish(table: Floats, n: int, env: Environment, log: Log) -> Learned:
    """The tables with their actions last again, -inf where an action is not available."""
    tables = table.T.reshape(n, -1, env.n_states, env.n_actions).copy()
    tables[tables <= NEVER] = -np.inf
    return Learned(tables, log.returns, log.lengths)


# ------------------------------------------------------------------------------- the log


def new_log(episodes: int, learners: int) -> Log:
    """An empty log of N episodes of each of B learners."""
    shape = (_check.positive_integer("episodes", episodes), learners)
    returns, lengths = np.zeros(shape), np.zeros(shape, dtype=np.intp)
    episode, age = np.zeros((2, learners), dtype=np.intp)
    return Log(returns, lengths, np.arange(learners), episode, age, np.zeros(learners))


def add_step(log: Log, x: Outcome, env: Environment, how: Behaviour) -> Ints:
    """Count a step of each learner; the places of those whose episode terminated or was truncated.

    Raises ValueError where an episode without a limit lasts 100 000 steps.
    """
    np.add(log.total, x.r, out=log.total)
    np.add(log.age, 1, out=log.age)
    at_limit = log.age == (env.limit or MOST_STEPS)
    if env.limit is None and (loops := at_limit & ~x.terminated).any():
        i = loops.argmax()
        policy = f"{how.epsilon:g}-greedy policy" if how.fixed is None else "behaviour"
        raise ValueError(
            f"episodes must end: the {policy} of learner {log.learner[i]} loops: after"
            f" {MOST_STEPS} steps it is in state {x.s_next[i]}; let it explore more, or give the"
            " environment a limit"
        )
    return np.flatnonzero(x.terminated | at_limit)


def close_episodes(log: Log, ended: Ints) -> None:
    """Enter the episodes that are over, of the learners at the places `ended`; begin new ones."""
    at = log.episode[ended], log.learner[ended]
    log.returns[at], log.lengths[at] = log.total[ended], log.age[ended]
    log.episode[ended] += 1
    log.age[ended] = 0
    log.total[ended] = 0


def keep(log: Log, on: Bools) -> Log:
    """The log of the learners that go on."""
    return log._replace(
        learner=log.learner[on], episode=log.episode[on], age=log.age[on], total=log.total[on]
    )
