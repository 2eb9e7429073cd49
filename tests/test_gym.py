"""The environment against its tables, and Gymnasium's tables against other ways to their values."""

import itertools
import json

import gymnasium
import numpy as np
import pytest
from gymnasium.utils.env_checker import check_env
from numpy.typing import NDArray

from rlcourse import gym
from rlcourse.tabular import gridworld
from rlcourse.tabular.gridworld import GridWorld, closed_form, grid_mdp, parse, value_iteration
from rlcourse.tabular.mdp import action_values, uniform_policy

MAP = "S.x\n..T\nx.."
WORLDS = {
    "Zhao's": {},
    "a map that ends": {"world": MAP, "terminal": True},
    "a slippery one": {"world": MAP, "slip": 0.4, "stay": False},
    "one with jumps": {"world": gridworld.SUTTON_BARTO_3_5},
    "one cell": {"world": GridWorld(1, 1)},
}


def grid_env(**kwargs: object) -> gym.GridWorldEnv:
    env = gymnasium.make(gym.GRID_WORLD, **kwargs).unwrapped
    assert isinstance(env, gym.GridWorldEnv)
    return env


# ------------------------------------------------------------------------------- environment


@pytest.mark.parametrize("kwargs", WORLDS.values(), ids=WORLDS)
def test_gymnasiums_checker_has_nothing_to_say(kwargs: dict[str, object]) -> None:
    check_env(grid_env(**kwargs))


@pytest.mark.parametrize("kwargs", WORLDS.values(), ids=WORLDS)
def test_every_step_is_a_row_of_the_tables(kwargs: dict[str, object]) -> None:
    env = grid_env(**kwargs)
    mdp = grid_mdp(env.world)
    env.reset(seed=0)
    for s, a in itertools.product(range(mdp.p.shape[0]), range(mdp.p.shape[1])):
        env.s = s
        s_next, r, terminated, truncated, info = env.step(a)
        row = zip(mdp.s_next[s, a], mdp.r[s, a], mdp.terminated[s, a], mdp.p[s, a], strict=True)
        assert (s_next, r, terminated, info["prob"]) in list(row)
        assert info["prob"] > 0
        assert not truncated
        assert type(s_next) is int
        assert type(terminated) is bool


def test_outcomes_come_as_often_as_their_probability_says() -> None:
    env = grid_env(world=MAP, slip=0.4, stay=False)
    env.reset(seed=7)
    n, s, a = 20_000, 4, 1  # the middle: all four successors differ
    count = dict.fromkeys(env.mdp.s_next[s, a].tolist(), 0)
    for _ in range(n):
        env.s = s
        count[env.step(a)[0]] += 1
    expected = n * env.mdp.p[s, a]
    seen = np.array([count[s_next] for s_next in env.mdp.s_next[s, a].tolist()])
    chi_square = ((seen - expected) ** 2 / expected).sum()
    assert chi_square < 16.27  # 3 degrees of freedom, one run in a thousand


def test_an_episode_starts_anywhere_but_in_a_target() -> None:
    env = grid_env(world="T..\n.x.")
    seen = {env.reset(seed=seed)[0] for seed in range(200)}
    assert seen == {1, 2, 3, 4, 5}
    assert env.reset(seed=1)[1] == {"prob": 0.2}


def test_an_episode_starts_at_the_start() -> None:
    env = grid_env(world="...\n.ST")
    assert {env.reset(seed=seed)[0] for seed in range(20)} == {4}


def test_a_terminal_target_ends_the_episode_and_another_does_not() -> None:
    for terminal in (True, False):
        env = grid_env(world="ST", terminal=terminal)
        env.reset(seed=0)
        assert env.step(1)[:4] == (1, 1.0, terminal, False)


def test_the_time_limit_truncates_and_does_not_terminate() -> None:
    env = gymnasium.make(gym.GRID_WORLD, world="S.", max_episode_steps=3)
    env.reset(seed=0)
    flags = [env.step(4)[2:4] for _ in range(3)]
    assert flags == [(False, False), (False, False), (False, True)]
    assert gymnasium.make(gym.GRID_WORLD).spec.max_episode_steps == gym.MOST_STEPS


def test_the_same_seed_gives_the_same_episode() -> None:
    def episode(seed: int) -> list[object]:
        env = grid_env(slip=0.5)
        return [env.reset(seed=seed), *(env.step(i % 5) for i in range(50))]

    assert episode(3) == episode(3)
    assert episode(3) != episode(4)


def test_rules_change_a_given_world_and_a_map() -> None:
    assert grid_env(world=gridworld.ZHAO, slip=0.1).world.slip == 0.1
    assert grid_env(world=MAP, r_step=-2.0).world == parse(MAP, r_step=-2.0)


def test_the_walker_is_seen_on_the_map() -> None:
    env = grid_env(world=MAP, render_mode="ansi")
    env.reset(seed=0)
    assert env.render() == "@.x\n..T\nx..\n"
    env.step(1)
    assert env.render() == "S@x\n..T\nx..\n"


def test_the_picture_shows_cells_by_their_kind_and_the_walker() -> None:
    env = grid_env(world=MAP, render_mode="rgb_array")
    env.reset(seed=0)
    image = env.render()
    assert isinstance(image, np.ndarray)
    assert (image.shape, image.dtype) == ((3 * gym.CELL, 3 * gym.CELL, 3), np.uint8)
    half = gym.CELL // 2

    def colour(row: int, col: int, at: int) -> tuple[int, ...]:
        return tuple(image[row * gym.CELL + at, col * gym.CELL + at].tolist())

    assert [colour(0, 0, half), colour(0, 1, half)] == [gym.WALKER, gym.COLOUR["."]]
    assert [colour(0, 0, 2), colour(0, 2, 2)] == [gym.COLOUR["S"], gym.COLOUR["x"]]
    assert [colour(1, 2, half), colour(2, 2, 0)] == [gym.COLOUR["T"], gym.LINE]


def test_wrong_use_is_explained() -> None:
    with pytest.raises(ValueError, match=r"render_mode must be None or one of .*, got 'human'"):
        gym.GridWorldEnv(render_mode="human")
    with pytest.raises(ValueError, match="targets only"):
        gym.GridWorldEnv("TT")
    env = grid_env()
    with pytest.raises(gymnasium.error.ResetNeeded):
        env.step(0)
    env.reset(seed=0)
    with pytest.raises(ValueError, match=r"action must lie in \[0, 5\), got 5"):
        env.step(5)
    with pytest.warns(UserWarning, match="no render_mode"):
        assert env.render() is None


def test_vector_environments_step_it() -> None:
    envs = gymnasium.make_vec(gym.GRID_WORLD, num_envs=3, vectorization_mode="sync", world=MAP)
    s, _ = envs.reset(seed=0)
    assert s.tolist() == [0, 0, 0]
    assert envs.step(np.array([1, 2, 4]))[0].tolist() == [1, 3, 0]
    envs.close()


# ------------------------------------------------------------------------------- tables


def values_by_loops(env: gymnasium.Env, gamma: float, sweeps: int) -> NDArray[np.float64]:
    """Optimal values straight from env.P: no array of ours, no rule for terminal states."""
    P = env.unwrapped.P
    v = [0.0] * len(P)
    for _ in range(sweeps):
        v = [
            max(
                sum(p * (r + (0 if end else gamma * v[s_next])) for p, s_next, r, end in outcomes)
                for outcomes in P[s].values()
            )
            for s in range(len(P))
        ]
    return np.array(v)


def met_in_episodes(env: gymnasium.Env) -> list[int]:
    """The states that an episode can be in before its end."""
    met = set(np.flatnonzero(env.unwrapped.initial_state_distrib).tolist())
    fresh = met
    while fresh:
        outcomes = [o for s in fresh for listed in env.unwrapped.P[s].values() for o in listed]
        fresh = {int(s_next) for p, s_next, _, end in outcomes if p and not end} - met
        met = met | fresh
    return sorted(met)


FAMILIES = ["FrozenLake", "FrozenLake8x8", "CliffWalking", "Taxi"]
FAMILIES += [f for f in ["CliffWalkingSlippery"] if f"{f}-v1" in gymnasium.registry]


@pytest.mark.parametrize("family", FAMILIES)
def test_optimal_values_agree_with_plain_loops_over_the_table(family: str) -> None:
    env = gym.make(family)
    met = met_in_episodes(env)
    mdp, start = gym.model_of(env)
    v = value_iteration(mdp, 0.9, 1e-9).v
    assert np.abs(v - values_by_loops(env, 0.9, 220))[met].max() < 1e-7
    assert start[met].sum() == pytest.approx(1)


@pytest.mark.parametrize("family", FAMILIES)
def test_an_episode_ends_in_a_state_worth_nothing(family: str) -> None:
    env = gym.make(family)
    mdp, _ = gym.model_of(env)
    v = value_iteration(mdp, 0.9, 1e-9).v
    table = env.unwrapped.P
    last = {o[1] for s in met_in_episodes(env) for x in table[s].values() for o in x if o[3]}
    assert last
    assert not v[sorted(last)].any()


def test_the_edge_of_the_cliff_is_thirteen_steps_long() -> None:
    mdp, start = gym.model_of(gym.make("CliffWalking"))
    v = value_iteration(mdp, 1.0).v
    assert start @ v == pytest.approx(-13)
    assert v[47] == 0
    assert v[35] == -1  # above the goal


def test_the_frozen_lake_is_crossed_fourteen_times_in_seventeen() -> None:
    mdp, start = gym.model_of(gym.make("FrozenLake"))
    assert start @ value_iteration(mdp, 1.0, 1e-12).v == pytest.approx(14 / 17, abs=1e-8)


def test_the_frozen_lake_that_is_not_slippery_takes_six_steps() -> None:
    mdp, start = gym.model_of(gym.make("FrozenLake", is_slippery=False))
    assert mdp.p.shape == (16, 4, 1)
    assert start @ value_iteration(mdp, 0.9).v == pytest.approx(0.9**5)


def test_a_taxi_earns_twenty_less_one_for_each_step_before() -> None:
    mdp, start = gym.model_of(gym.make("Taxi"))
    v = value_iteration(mdp, 1.0).v
    in_taxi_at_its_goal = ((0 * 5 + 0) * 5 + 4) * 4 + 0  # row 0, column 0, passenger in, goal red
    assert v[in_taxi_at_its_goal] == 20
    waiting_at_red_for_green = ((0 * 5 + 0) * 5 + 0) * 4 + 1
    # picked up, 8 steps round the wall (down 2, right 4, up 2), set down
    assert v[waiting_at_red_for_green] == -1 - 8 + 20
    # the passenger is at one of four places and goes to another: 300 first states
    assert np.count_nonzero(start) == 300


def test_rolled_out_episodes_earn_what_the_closed_form_says() -> None:
    env, gamma = gym.make("FrozenLake", max_episode_steps=10_000), 0.95
    mdp, start = gym.model_of(env)
    expected = start @ closed_form(mdp, uniform_policy(mdp), gamma)
    env.action_space.seed(1)
    returns = []
    for episode in range(4000):
        env.reset(seed=episode)
        g, discount, over = 0.0, 1.0, False
        while not over:
            _, r, terminated, truncated, _ = env.step(env.action_space.sample())
            g, discount, over = g + discount * r, discount * gamma, terminated or truncated
        returns.append(g)
    error = np.std(returns) / np.sqrt(len(returns))
    assert 0 < error < 0.002
    assert abs(np.mean(returns) - expected) < 4 * error


def test_a_grid_world_gives_its_own_model() -> None:
    env = gymnasium.make(gym.GRID_WORLD, world=MAP, terminal=True)
    mdp, start = gym.model_of(env)
    for ours, expected in zip(mdp, grid_mdp(parse(MAP, terminal=True)), strict=True):
        np.testing.assert_array_equal(ours, expected)
    assert start.tolist() == [1, 0, 0, 0, 0, 0, 0, 0, 0]


def test_an_environment_without_a_table_has_no_model() -> None:
    with pytest.raises(ValueError, match=r"must hold a table P .*got CartPoleEnv"):
        gym.model_of(gym.make("CartPole"))


CHAIN = {0: {0: [(1.0, 1, -1.0, False)]}, 1: {0: [(0.5, 0, -1.0, True), (0.5, 0, -1.0, True)]}}


def test_shorter_lists_are_filled_up_and_duplicates_stay_outcomes() -> None:
    mdp = gym.mdp_from_table(CHAIN, start=[1.0, 0.0])
    assert mdp.p.tolist() == [[[1, 0]], [[0.5, 0.5]]]
    assert mdp.terminated[1].all()
    assert closed_form(mdp, uniform_policy(mdp), 1.0).tolist() == [-2, -1]


def test_a_start_that_the_end_leads_back_to_is_not_terminal() -> None:
    q = action_values(gym.mdp_from_table(CHAIN, start=[1.0, 0.0]), np.array([0.0, 5.0]), 1.0)
    assert q.tolist() == [[4], [-1]]
    without = gym.mdp_from_table(CHAIN)
    assert without.terminated[0].all()  # nothing says that it is where episodes begin


def test_a_state_that_is_also_entered_midway_is_not_terminal() -> None:
    table = {
        0: {0: [(1.0, 1, 0.0, True)], 1: [(1.0, 1, 0.0, False)]},
        1: {0: [(1.0, 0, 7.0, False)], 1: [(1.0, 1, 1.0, False)]},
    }
    mdp = gym.mdp_from_table(table)
    assert mdp.r[1].ravel().tolist() == [7, 1]
    assert not mdp.terminated[1].any()
    assert mdp.terminated[0].ravel().tolist() == [True, False]


@pytest.mark.parametrize(
    ("table", "message"),
    [
        ({}, r"P must have an entry for each of 0, 1, 2, …, got keys \[\]"),
        (3, r"P must have an entry .* got 3"),
        ({1: {0: [(1, 1, 0, True)]}}, r"P must have an entry .* got keys \[1\]"),
        ([{0: [(1, 0, 0, True)]}, {}], r"P\[1\] must have an entry .* got keys \[\]"),
        (
            [{0: [(1, 0, 0, True)]}, {0: [(1, 0, 0, True)], 1: [(1, 0, 0, True)]}],
            r"P\[1\] must hold 1 actions as P\[0\] does, got 2",
        ),
        ([[[(1, 0, 0)]]], r"P\[0\]\[0\].* must have shape \(K, 4\), got \(1, 3\)"),
        ([[[]]], r"P\[0\]\[0\].* must have shape \(K, 4\), got \(0,\)"),
        ([[[(1, 0, 0, True), (0, 0)]]], r"P\[0\]\[0\] must be an array of numbers"),
        ([[[(1, 4, 0, True)]]], r"s_next in P\[0\]\[0\] must lie in \[0, 1\), got 4"),
        ([[[(1, 0.5, 0, True)]]], r"s_next in P\[0\]\[0\] must be integers"),
        ([[[(1, 0, float("nan"), True)]]], r"P\[0\]\[0\] must be finite, got nan"),
        ([[[(0.5, 0, 0, True)]]], r"p must sum to 1 in each row, got 0.5 in row \(0, 0\)"),
    ],
)
def test_a_malformed_table_is_named(table: object, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        gym.mdp_from_table(table)


def test_a_start_of_another_size_is_named() -> None:
    with pytest.raises(ValueError, match=r"start must have shape \(2\), got \(1,\)"):
        gym.mdp_from_table(CHAIN, start=[1.0])


# ------------------------------------------------------------------------------- ids


def test_a_family_means_its_newest_version() -> None:
    for family in ("CliffWalking", "Taxi", "FrozenLake"):
        name, version = gym.resolve_id(family).split("-v")
        assert name == family
        assert f"{family}-v{int(version) + 1}" not in gymnasium.registry
    assert gym.resolve_id("rlcourse/GridWorld") == gym.GRID_WORLD


def test_the_newest_of_several_versions_wins() -> None:
    ids = [f"OfThisTest-v{version}" for version in (0, 2, 10)]
    for name in ids:
        gymnasium.register(id=name, entry_point="rlcourse.gym:GridWorldEnv")
    try:
        assert gym.resolve_id("OfThisTest") == "OfThisTest-v10"
    finally:
        for name in ids:
            del gymnasium.registry[name]


def test_an_unknown_family_is_answered_with_its_neighbours() -> None:
    with pytest.raises(ValueError, match=r"got 'FrozenLak'; gymnasium .* has .*FrozenLake-v1"):
        gym.make("FrozenLak")


def test_a_registered_world_can_be_written_down() -> None:
    spec = gymnasium.spec(gym.GRID_WORLD)
    assert json.loads(spec.to_json())["id"] == gym.GRID_WORLD
