"""Actor-critics: each step against an independent loop, its means against exact gradients, and what
is learned against what is known.
"""

import numpy as np
import pytest

from rlcourse.deep import actor_critic as ac
from rlcourse.deep import regulator
from rlcourse.deep.actor_critic import ActorCritic
from rlcourse.deep.objectives import value_objective
from rlcourse.deep.policies import softmax_policy, softmax_score, tabular_features
from rlcourse.deep.policy_worlds import hike
from rlcourse.tabular.environment import environment
from rlcourse.tabular.gridworld import ZHAO, closed_form, grid_mdp, value_iteration

GAMMA = 0.9


def rows(seed=0, b=4, d=3, f=5):
    rng = np.random.default_rng(seed)
    x = ActorCritic(rng.normal(size=(b, d)), rng.normal(size=(b, f)))
    score, phi, phi_next = rng.normal(size=(b, d)), *rng.normal(size=(2, b, f))
    return x, score, phi, phi_next, rng.normal(size=b), np.arange(b) % 2 == 0


def one(w, phi, phi_next, r, ended):
    """The value and the TD error of one learner."""
    q = sum(p * q for p, q in zip(phi, w, strict=True))
    follows = 0.0 if ended else sum(p * q for p, q in zip(phi_next, w, strict=True))
    return q, r + GAMMA * follows - q


# ------------------------------------------------------------------------------- one step


def test_steps_are_those_of_a_loop_over_learners():
    x, score, phi, phi_next, r, ended = rows()
    q_slope = np.random.default_rng(1).normal(size=phi.shape)
    rho, discount = np.array([0.5, 1.0, 2.0, 0.1]), np.array([1.0, 0.9, 0.5, 0.2])
    plain = ac.q_actor_critic_step(x, score, phi, phi_next, r, ended, 0.1, 0.3, GAMMA)
    advantage = ac.actor_critic_step(
        x, score, phi, phi_next, r, ended, rho, discount, 0.1, 0.3, GAMMA
    )
    smooth = ac.deterministic_actor_critic_step(
        x, score, q_slope, phi, phi_next, r, ended, 0.1, 0.3, GAMMA
    )
    for b in range(4):
        q, delta = one(x.w[b], phi[b], phi_next[b], r[b], ended[b])
        assert np.allclose(plain.theta[b], x.theta[b] + 0.1 * q * score[b])
        assert np.allclose(plain.w[b], x.w[b] + 0.3 * delta * phi[b])
        weighed = rho[b] * delta
        assert np.allclose(advantage.theta[b], x.theta[b] + 0.1 * discount[b] * weighed * score[b])
        assert np.allclose(advantage.w[b], x.w[b] + 0.3 * weighed * phi[b])
        rise = x.w[b] @ q_slope[b]
        assert np.allclose(smooth.theta[b], x.theta[b] + 0.1 * rise * score[b])
        assert np.allclose(smooth.w[b], x.w[b] + 0.3 * delta * phi[b])


def test_worked_cases_of_the_page():
    x = ActorCritic(np.array([0.0]), np.array([2.0, 1.0]))
    phi, phi_next, on = np.eye(2)[0], np.eye(2)[1], np.array(False)
    one_, slope = np.array([1.0]), np.array([3.0])
    found = ac.q_actor_critic_step(x, one_, phi, phi_next, 1.0, on, 0.1, 0.5, 0.5)
    assert np.allclose(found.theta, 0.2)
    assert np.allclose(found.w, [1.75, 1])
    found = ac.actor_critic_step(x, one_, phi, phi_next, 1.0, on, 2.0, 0.5, 0.1, 0.5, 0.5)
    assert np.allclose(found.theta, -0.05)
    assert np.allclose(found.w, [1.5, 1])
    found = ac.deterministic_actor_critic_step(x, slope, phi, phi, phi_next, 1.0, on, 0.1, 0.5, 0.5)
    assert np.allclose(found.theta, 0.6)
    assert np.allclose(found.w, [1.75, 1])


@pytest.mark.parametrize("off_policy", [False, True])
def test_with_exact_values_the_mean_step_is_the_policy_gradient(off_policy):
    """Σ η(s) b(a|s) p(s'|s, a) of the actor's steps, over every outcome of a hike."""
    world, theta = hike(), np.array([0.6, -0.3])
    exact = value_objective(world.mdp, world.x, theta, world.start, world.gamma)
    pi = softmax_policy(world.x, theta)
    b = np.full(pi.shape, 1 / 3) if off_policy else pi
    s, a, k = (z.ravel() for z in np.indices(world.mdp.p.shape))
    eye = np.eye(len(pi))
    x = ActorCritic(np.zeros((len(s), 2)), np.tile(exact.v, (len(s), 1)))
    moved = ac.actor_critic_step(
        x, softmax_score(world.x, pi)[s, a], eye[s], eye[world.mdp.s_next[s, a, k]],
        world.mdp.r[s, a, k], world.mdp.terminated[s, a, k], (pi / b)[s, a],
        np.ones(len(s)), 1.0, 0.0, world.gamma,
    )  # fmt: skip
    weight = exact.eta[s] * b[s, a] * world.mdp.p[s, a, k]
    assert np.allclose(weight @ moved.theta, exact.gradient)
    assert np.allclose(moved.w, x.w)


def test_exact_values_are_where_the_off_policy_critic_stands_still():
    world, theta = hike(), np.array([0.6, -0.3])
    pi = softmax_policy(world.x, theta)
    v = closed_form(world.mdp, pi, world.gamma)
    s, a, k = (z.ravel() for z in np.indices(world.mdp.p.shape))
    eye, x = np.eye(len(v)), ActorCritic(np.zeros((len(s), 2)), np.tile(v, (len(s), 1)))
    moved = ac.actor_critic_step(
        x, np.zeros((len(s), 2)), eye[s], eye[world.mdp.s_next[s, a, k]], world.mdp.r[s, a, k],
        world.mdp.terminated[s, a, k], 3 * pi[s, a], np.ones(len(s)), 0.0, 1.0, world.gamma,
    )  # fmt: skip
    mean = (world.mdp.p[s, a, k] / 3) @ (moved.w - x.w)
    assert np.allclose(mean, 0)


# ------------------------------------------------------------------------------- learning


def learn(method="actor_critic", limit=20, steps=3000, **more):
    mdp, anywhere = grid_mdp(ZHAO), np.full(25, 1 / 25)
    x = tabular_features(25, 5)
    learned = ac.learn_actor_critic(
        environment(mdp, anywhere, limit), x, method, steps=steps, learners=5, alpha=0.1,
        alpha_w=0.1, gamma=GAMMA, every=steps // 3, rng=np.random.default_rng(0), **more,
    )  # fmt: skip
    return learned, value_objective(mdp, x, learned.theta, anywhere, GAMMA).objective


def test_actor_critics_learn_zhaos_grid_world():
    learned, j = learn()
    assert learned.theta.shape == (4, 5, 125)
    assert learned.w.shape == (4, 5, 25)
    assert (np.diff(j.mean(1)) > 0).all()
    best = value_iteration(grid_mdp(ZHAO), GAMMA).v.mean()
    assert best > j[-1].mean() > best - 3
    uniform = np.full((25, 5), 0.2)
    assert learn(behaviour=uniform)[1][-1].mean() > best - 3
    assert learn("qac")[1][-1].mean() > j[0].mean() + 4


def test_the_same_seed_gives_the_same_learners():
    assert (learn(steps=90)[0].theta == learn(steps=90)[0].theta).all()


@pytest.mark.parametrize(
    ("more", "match"),
    [
        ({"method": "sarsa"}, "method must be one of"),
        ({"method": "qac", "behaviour": np.full((25, 5), 0.2)}, "behaviour must be None"),
        ({"steps": 100, "every": 7}, "every must divide"),
        ({"gamma": 1.5}, "gamma"),
    ],
)
def test_bad_input_is_named(more, match):
    known = {"steps": 10, "learners": 1, "alpha": 0.1, "alpha_w": 0.1, "gamma": 0.9, "every": 5}
    method = more.pop("method", "actor_critic")
    env = environment(grid_mdp(ZHAO), 0, 20)
    with pytest.raises(ValueError, match=match):
        ac.learn_actor_critic(
            env, tabular_features(25, 5), method, rng=np.random.default_rng(0), **(known | more)
        )


# ------------------------------------------------------------------------------- the regulator


def test_with_the_exact_critic_the_actors_step_is_uphill_and_zero_at_the_best():
    s = np.array([1.0, -0.5])
    for k, sign in ((0.5, 1), (regulator.best_gain(GAMMA), 0), (1.2, -1)):
        w = np.tile(regulator.q_weights(np.array(k), GAMMA), (2, 1))
        x, zero = ActorCritic(np.full((2, 1), -k), w), np.zeros((2, 4))
        moved = ac.deterministic_actor_critic_step(
            x, s[:, None], regulator.action_slopes(s, -k * s), zero, zero,
            np.zeros(2), np.zeros(2, bool), 1.0, 0.0, GAMMA,
        )  # fmt: skip
        rise = -(moved.theta - x.theta)[:, 0]
        assert np.allclose(rise, 0, atol=1e-9) if sign == 0 else (np.sign(rise) == sign).all()


def test_a_regulator_that_explores_too_far_stops_and_says_where():
    more = {"steps": 5000, "learners": 10, "alpha": 0.02, "gamma": GAMMA}
    with pytest.raises(FloatingPointError, match="ran away at step"):
        ac.learn_gain(spread=0.5, alpha_w=0.2, rng=np.random.default_rng(0), **more)
    with pytest.raises(ValueError, match="spread"):
        ac.learn_gain(spread=0.0, alpha_w=0.2, rng=np.random.default_rng(0), **more)
