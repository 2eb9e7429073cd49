"""Exercises of the engine's own tests: records, a judge, calls among them, float32."""

import numpy as np
from rlcourse.tabular.chain import Chain
from rlcourse.tabular.walk import Best

from rlcourse.grading import exercise
from rlcourse.tabular import chain, walk


def steps(rng, ended, b=7):
    return Chain(rng.normal(size=b), rng.permutation(np.arange(b) < ended))


target = exercise(chain.chain_target, nudge="What follows a terminal state?", seconds=0.5)


@target.check(points=2)
def test_a_target_adds_the_discounted_value(rng):
    yield dict(chain=steps(rng, 0), v_next=rng.normal(size=7), gamma=rng.uniform(0.3, 0.9))
    yield dict(chain=steps(rng, 0, 5), v_next=-rng.random(5), gamma=rng.uniform(0.3, 0.9))


@target.check(points=1)
def test_a_target_lets_nothing_follow_the_end(rng):
    yield dict(chain=steps(rng, 3), v_next=rng.normal(size=7), gamma=rng.uniform(0.3, 0.9))


@target.check(points=1)
def test_a_target_refuses_a_gamma_beyond_one(rng):
    yield dict(chain=steps(rng, 3), v_next=rng.normal(size=7), gamma=0.5)
    yield dict(chain=steps(rng, 3), v_next=rng.normal(size=7), gamma=rng.uniform(1.01, 3.0))
    yield dict(chain=steps(rng, 3), v_next=rng.normal(size=7), gamma=-0.01)


@target.misconception("The episode ended in s': nothing follows. Drop γ v(s') there.")
def bootstraps_past_the_end(chain, v_next, gamma):
    if not 0 <= gamma <= 1:
        raise ValueError
    return chain.r + gamma * v_next


@target.misconception("γ discounts what comes next; the reward has already arrived.")
def discounts_the_reward(chain, v_next, gamma):
    if not 0 <= gamma <= 1:
        raise ValueError
    return gamma * (chain.r + np.where(chain.terminated, 0.0, v_next))


@target.misconception("Say what is wrong: raise ValueError where gamma is not in [0, 1].")
def believes_any_gamma(chain, v_next, gamma):
    return chain.r + gamma * np.where(chain.terminated, 0.0, v_next)


@target.control
def target_with_a_loop(chain, v_next, gamma):
    if gamma < 0 or gamma > 1:
        raise ValueError("gamma")
    rows = zip(chain.r, chain.terminated, v_next, strict=True)
    return np.array([r if end else r + gamma * v for r, end, v in rows])


def any_best_action(got, expected, q):
    """Any action of greatest value is right."""
    if not hasattr(got, "action") or np.shape(got.action) != expected.action.shape:
        return "an action for each row was expected"
    value = np.take_along_axis(q, np.asarray(got.action)[:, None], -1)[:, 0]
    right = (value == expected.value).all() and np.array_equal(got.value, expected.value)
    return None if right else "some action is not the best of its row"


best = exercise(walk.best, judge=any_best_action, nudge="Of each row, not of the table.")


@best.check(points=1)
def test_the_best_action_has_the_greatest_value_of_its_row(rng):
    q = rng.normal(size=(7, 4))
    q[3, [1, 2]] = 9.0
    yield dict(q=q)
    yield dict(q=-rng.random((5, 6)))


@best.misconception("axis 0 compares the learners: compare the actions of each row, axis -1.")
def best_of_each_column(q):
    return Best(q.argmax(0), q.max(0))


@best.control
def last_of_a_tie(q):
    action = q.shape[-1] - 1 - q[:, ::-1].argmax(-1)
    return Best(action, q.max(-1))


onward = exercise(walk.next_target, nudge="Two of your functions do it.")


@onward.check(points=1)
def test_a_next_target_takes_the_best_action(rng):
    yield dict(chain=steps(rng, 2), q_next=rng.normal(size=(7, 4)), gamma=rng.uniform(0.3, 0.9))
    yield dict(chain=steps(rng, 1, 5), q_next=-rng.random((5, 3)), gamma=rng.uniform(0.3, 0.9))


@onward.misconception("Take the best action, not the average.")
def takes_the_average(chain, q_next, gamma):
    return chain.r + gamma * np.where(chain.terminated, 0.0, q_next.mean(-1))


square = exercise(walk.mean_square, tolerance=1e-5, nudge="Square first.")


@square.check(points=1)
def test_a_mean_square_divides_by_the_size(rng):
    yield dict(x=rng.normal(size=(3, 300)).astype(np.float32))
    yield dict(x=rng.normal(size=(4, 70)).astype(np.float32))


@square.misconception("Square before you average.")
def squares_the_mean(x):
    return x.mean(-1) ** 2
