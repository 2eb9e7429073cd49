"""Stochastic approximation against closed forms, exact moments, quadrature and linear solves."""

import numpy as np
import pytest

from rlcourse.figures.tabular.stochastic_approximation import exact_share
from rlcourse.tabular import stochastic_approximation as sa
from rlcourse.tabular.gridworld import ZHAO, GridWorld, closed_form, grid_mdp
from rlcourse.tabular.mdp import finite_mdp, policy_model, uniform_policy
from rlcourse.tabular.sampling import walk

ROOT = 5 ** (1 / 3)


def line(slope: float, root: float = 0.0):
    return sa.noisy(lambda w: slope * (w - root))


# ------------------------------------------------------------------------------- the mean


def test_the_incremental_mean_is_the_mean_of_the_samples_so_far():
    x = np.random.default_rng(0).normal(3, 2, (4, 50))
    expected = x.cumsum(-1) / np.arange(1, 51)
    np.testing.assert_allclose(sa.incremental_mean(x), expected, atol=1e-12)
    np.testing.assert_allclose(sa.incremental_mean([1, 2, 6]), [1, 1.5, 3])


def test_the_incremental_mean_is_robbins_monro_with_step_1_over_k_and_forgets_its_start():
    x = np.random.default_rng(0).normal(3, 2, (50, 3))
    w = np.array([-1e6, 0.0, 7.0])
    path = sa.robbins_monro(lambda w, x: w - x, w, sa.step_sizes(50), x).w
    np.testing.assert_allclose(path[1:], sa.incremental_mean(x.T).T, atol=1e-9)


def test_a_constant_step_forgets_old_samples_exponentially():
    x = np.random.default_rng(1).normal(size=(30, 1))
    w = sa.robbins_monro(lambda w, x: w - x, [5.0], np.full(30, 0.2), x).w[-1, 0]
    weights = 0.2 * 0.8 ** np.arange(30)[::-1]
    assert w == pytest.approx(0.8**30 * 5 + weights @ x[:, 0])


# ------------------------------------------------------------------------------- step sizes


def test_step_sizes_are_c_over_k_plus_offset_to_the_power_p():
    np.testing.assert_allclose(sa.step_sizes(4), [1, 1 / 2, 1 / 3, 1 / 4])
    np.testing.assert_allclose(sa.step_sizes(2, c=3, p=0.5, offset=2), [3**0.5, 1.5])
    np.testing.assert_allclose(sa.step_sizes(3, c=0.1, p=0), 0.1)


def test_the_conditions_agree_with_sums_over_doubling_blocks():
    """Σ k^-p over [n, 2n) tends to 2^(1-p) times the block before: the sum diverges from 1 on."""
    for p in (-0.5, 0.0, 0.25, 0.5, 0.51, 0.75, 1.0, 1.01, 1.5, 2.0):
        flags = sa.step_size_conditions(p)
        for power, diverges in ((p, flags.sum_diverges), (2 * p, ~flags.squares_converge)):
            first, second = ((np.arange(n, 2 * n) ** -power).sum() for n in (2**17, 2**18))
            assert (second / first > 1 - 1e-4) == diverges, (p, power)


def test_the_conditions_hold_for_powers_in_the_half_open_interval_from_one_half_to_one():
    both = np.logical_and(*sa.step_size_conditions([[0.0, 0.5, 0.501], [1.0, 1.001, 2.0]]))
    np.testing.assert_array_equal(both, [[False, False, True], [True, False, False]])


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (dict(steps=0), "steps must be an integer of at least 1"),
        (dict(steps=3, c=0), "c must be positive"),
        (dict(steps=3, offset=-1), "offset must be above -1"),
        (dict(steps=3, p=np.nan), "p must be finite"),
    ],
)
def test_step_sizes_refuse_what_is_no_positive_sequence(call, message):
    with pytest.raises(ValueError, match=message):
        sa.step_sizes(**call)


# ------------------------------------------------------------------------------- the iteration


def test_the_noise_free_iterates_of_the_tanh_example():
    path = sa.robbins_monro(sa.noisy(sa.squashed), [3.0], sa.step_sizes(3), np.zeros((3, 1))).w
    np.testing.assert_allclose(path[:, 0], [3, 2.035972, 1.647826, 1.457758], atol=5e-7)


def test_a_step_by_hand():
    got = sa.robbins_monro(sa.noisy(sa.cubic), [2.0], [0.1, 0.5], [[0.5], [-1.0]]).w[:, 0]
    second = 2 - 0.1 * (8 - 5 + 0.5)
    np.testing.assert_allclose(got, [2, second, second - 0.5 * (second**3 - 5 - 1)])


def test_runs_are_independent_and_samples_may_come_from_a_generator():
    noise = np.random.default_rng(0).normal(size=(40, 6))
    a, w = sa.step_sizes(40, offset=1), np.linspace(-1, 3, 6)
    whole = sa.robbins_monro(sa.noisy(sa.cubic), w, a, noise)
    for b in range(6):
        alone = sa.robbins_monro(sa.noisy(sa.cubic), w[b : b + 1], a, noise[:, b : b + 1])
        np.testing.assert_array_equal(alone.w[:, 0], whole.w[:, b])
        assert alone.diverged[0] == whole.diverged[b]
    rng = np.random.default_rng(0)
    stream = (rng.normal(size=6) for _ in range(1000))
    again = sa.robbins_monro(sa.noisy(sa.cubic), w, a, stream)
    np.testing.assert_array_equal(again.w, whole.w)


def test_only_the_iterates_asked_for_are_kept():
    noise = np.random.default_rng(0).normal(size=(40, 6))
    whole, some = (
        sa.robbins_monro(line(1.0), np.ones(6), sa.step_sizes(40), noise, keep).w
        for keep in (None, [0, 7, 40])
    )
    np.testing.assert_array_equal(some, whole[[0, 7, 40]])


def test_many_unknowns_are_solved_at_once():
    rng = np.random.default_rng(0)
    m, root = np.array([[2.0, 1.0], [0.0, 1.0]]), np.array([1.0, -2.0])
    noise = rng.normal(0, 0.1, (3000, 5, 2))
    a = sa.step_sizes(3000, c=2, offset=4)
    got = sa.robbins_monro(sa.noisy(lambda w: (w - root) @ m.T), np.zeros((5, 2)), a, noise)
    np.testing.assert_allclose(got.w[-1], np.tile(root, (5, 1)), atol=0.05)


def test_divergence_is_reported_run_by_run_and_without_a_warning():
    slow = sa.robbins_monro(
        sa.noisy(sa.cubic), [1.7, 100.0], sa.step_sizes(60, c=0.1), np.zeros((60, 2))
    )
    np.testing.assert_array_equal(slow.diverged, [False, True])
    assert np.isfinite(slow.w[:, 0]).all()
    last = int(np.isfinite(slow.w[:, 1]).sum())
    assert np.isnan(slow.w[last:, 1]).all()
    assert np.abs(slow.w[:last, 1]).max() <= sa.LIMIT
    explodes = sa.robbins_monro(sa.noisy(lambda w: -np.exp(w)), [9.0], np.ones(9), np.zeros((9, 1)))
    assert explodes.diverged[0]
    unknown = sa.robbins_monro(lambda w, _: np.log(w), [-1.0], np.ones(3), range(3))
    assert unknown.diverged[0]


def test_any_positive_step_sizes_are_taken():
    for a in ([3.0, 0.5], [1e-9, 1e9], [2, 1]):
        got = sa.robbins_monro(line(1.0), [1.0], a, np.zeros((2, 1))).w[-1, 0]
        assert got == pytest.approx((1 - a[0]) * (1 - a[1]))


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (dict(a=[0.5, 0.0]), "a must be positive at every step, got 0 at k = 2"),
        (dict(a=[-0.5, 0.1]), "a must be positive at every step, got -0.5 at k = 1"),
        (dict(a=[0.5, np.inf]), "a must be finite"),
        (dict(a=0.5), r"a must have shape \(T\)"),
        (dict(a=[]), r"a must have shape \(T\)"),
        (dict(a=[0.5] * 3), "samples must hold one for each of the 3 steps, got 2"),
        (dict(w=1.0), r"w must have shape \(B, ...\)"),
        (dict(w=[np.nan]), "w must be finite"),
        (dict(samples=np.zeros((2, 3))), r"reading must have w's shape \(1,\), got \(3,\)"),
        (dict(keep=[3]), r"keep must lie in \[0, 3\)"),
    ],
)
def test_robbins_monro_says_what_is_wrong(call, message):
    ordinary = dict(w=[1.0], a=[0.5, 0.1], samples=np.zeros((2, 1)))
    with pytest.raises(ValueError, match=message):
        sa.robbins_monro(line(1.0), **(ordinary | call))


# ------------------------------------------------------------------- the example that diverges


@pytest.mark.parametrize(
    ("offset", "sigma", "share"),
    [(0, 1, 0.004), (1, 1, 0.71), (2, 1, 1.0), (0, 0.5, 0.0), (1, 0.5, 0.86), (2, 0.5, 1.0)],
)
def test_the_share_of_runs_of_the_cubic_that_converge(offset, sigma, share):
    exact = exact_share(offset, sigma)
    assert exact == pytest.approx(share, abs=0.001 if share < 0.1 else 0.005)
    n, a = 8000, sa.step_sizes(200, offset=offset)
    rng = np.random.default_rng(7)
    noise = (sigma * rng.normal(size=n) for _ in a)
    got = sa.robbins_monro(sa.noisy(sa.cubic), np.zeros(n), a, noise, keep=[200])
    spread = np.sqrt(exact * (1 - exact) / n)
    assert abs(exact - (~got.diverged).mean()) < 4.5 * spread + 2 / n
    end = got.w[0][~got.diverged]
    assert (np.abs(end - ROOT) < 0.2).all()  # c σ / √((2 c g' - 1) T) = 0.02: ten of them


def test_the_step_sizes_of_the_example_satisfy_both_conditions():
    assert all(sa.step_size_conditions(1.0))


def test_with_a_bounded_reading_the_same_steps_and_noise_always_converge():
    rng = np.random.default_rng(7)
    noise = rng.normal(size=(400, 2000))
    a, w = sa.step_sizes(400), np.zeros(2000)
    got = sa.robbins_monro(sa.clipped(sa.noisy(sa.cubic), 5.0), w, a, noise)
    assert not got.diverged.any()
    assert (np.abs(got.w[-1] - ROOT) < 0.2).all()
    straight = sa.robbins_monro(line(3 * ROOT**2, ROOT), w, a, noise)
    assert not straight.diverged.any()


def test_a_step_overshoots_to_farther_away_where_the_slope_exceeds_two_over_the_step():
    w = np.linspace(-30, 30, 4001)
    for a in (1.0, 0.1, 0.01):
        after = w - a * sa.cubic(w)
        chord = w**2 + w * ROOT + ROOT**2  # (g(w) - g(root)) / (w - root)
        np.testing.assert_array_equal(np.abs(after - ROOT) > np.abs(w - ROOT), a * chord > 2)


def test_clipping_bounds_a_step():
    reading = sa.clipped(sa.noisy(sa.cubic), 2.0)
    np.testing.assert_allclose(reading(np.array([-9.0, 1.7, 9.0]), 0.0), [-2, 1.7**3 - 5, 2])
    with pytest.raises(ValueError, match="limit must be positive"):
        sa.clipped(reading, 0)


# ------------------------------------------------------------------------------- Dvoretzky


def test_robbins_monro_on_a_line_is_dvoretzkys_process():
    rng = np.random.default_rng(0)
    a, noise, slope, root = sa.step_sizes(80, c=0.7, p=0.8), rng.normal(size=(80, 5)), 1.7, 3.0
    w = rng.normal(size=5)
    path = sa.robbins_monro(line(slope, root), w, a, noise).w - root
    np.testing.assert_allclose(sa.dvoretzky(w - root, slope * a, -a, noise), path, atol=1e-12)


def test_dvoretzkys_process_may_shrink_each_run_at_its_own_rate():
    rng = np.random.default_rng(0)
    alpha, beta, eta = rng.random((3, 9, 4))
    path = sa.dvoretzky(np.ones(4), alpha, beta, eta)
    for k in range(9):
        for b in range(4):
            expected = (1 - alpha[k, b]) * path[k, b] + beta[k, b] * eta[k, b]
            assert path[k + 1, b] == pytest.approx(expected)


def test_the_exact_moments_are_the_unrolled_sums():
    rng = np.random.default_rng(0)
    alpha, beta, sigma = rng.random(12), rng.random(12), 1.3
    got = sa.exact_moments(-2.0, alpha, beta, sigma)
    for k in range(13):
        later = np.array([np.prod(1 - alpha[j + 1 : k]) for j in range(k)])
        assert got.mean[k] == pytest.approx(-2 * np.prod(1 - alpha[:k]))
        assert got.variance[k] == pytest.approx(sigma**2 * (beta[:k] ** 2 @ later**2))


def test_the_exact_moments_are_those_of_many_runs():
    a, n = sa.step_sizes(50, c=1.5, p=0.7), 20_000
    noise = np.random.default_rng(3).normal(0, 0.8, (50, n))
    path = sa.dvoretzky(np.full(n, 2.0), 0.9 * a, a, noise)
    exact = sa.exact_moments(2.0, 0.9 * a, a, 0.8)
    sd = np.sqrt(exact.variance[1:] / n)
    assert (np.abs(path[1:].mean(1) - exact.mean[1:]) < 5 * sd).all()
    ratio = path[1:].var(1) / exact.variance[1:]
    assert (np.abs(ratio - 1) < 5 * np.sqrt(2 / n)).all()


def test_many_settings_share_one_call_for_their_moments():
    a = np.stack([sa.step_sizes(20, c=c) for c in (0.5, 1, 2)], axis=1)
    whole = sa.exact_moments([1.0, 2.0, 3.0], a, a, [1.0, 0.0, 2.0])
    for i, (delta, sigma) in enumerate(((1.0, 1.0), (2.0, 0.0), (3.0, 2.0))):
        alone = sa.exact_moments(delta, a[:, i], a[:, i], sigma)
        np.testing.assert_allclose(whole.mean[:, i], alone.mean)
        np.testing.assert_allclose(whole.variance[:, i], alone.variance)


def test_a_constant_step_leaves_a_floor_of_noise():
    a, slope, sigma = 0.2, 1.5, 0.7
    end = sa.exact_moments(9.0, np.full(300, a * slope), np.full(300, a), sigma)
    assert end.variance[-1] == pytest.approx(a * sigma**2 / (slope * (2 - a * slope)))
    assert abs(end.mean[-1]) < 1e-12


def rms(exact: sa.Moments):
    return np.sqrt(exact.mean**2 + exact.variance)


@pytest.mark.parametrize(
    ("c", "p", "slope"),
    [(1, 0.6, -0.3), (1, 0.7, -0.35), (1, 1, -0.5), (2, 1, -0.5), (0.2, 1, -0.2)],
)
def test_the_rate_of_the_exact_error(c, p, slope):
    """Slope 1: -p/2 for p < 1; for p = 1, -1/2 if c > 1/2, else -c."""
    a = sa.step_sizes(20_000, c=c, p=p)
    error = rms(sa.exact_moments(1.0, a, a, 1.0))
    assert np.log(error[20_000] / error[5_000]) / np.log(4) == pytest.approx(slope, abs=0.005)


def test_steps_of_one_over_k_give_the_variance_of_a_mean():
    a = sa.step_sizes(500)
    exact = sa.exact_moments(4.0, a, a, 3.0)
    np.testing.assert_allclose(exact.variance[1:], 9 / np.arange(1, 501))
    np.testing.assert_array_equal(exact.mean[1:], 0)


# ------------------------------------------------------------------------------- gradients


def data(rng, n=12, d=3):
    x = rng.normal(size=(n, d))
    return x, x @ np.arange(1.0, d + 1) + rng.normal(size=n)


def test_the_gradient_is_that_of_the_batchs_loss():
    rng = np.random.default_rng(0)
    x, y = data(rng)
    w, index, h = rng.normal(size=3), np.array([1, 4, 4, 7, 2]), 1e-6
    losses = [((x[index] @ (w + e) - y[index]) ** 2).mean() / 2 for e in h * np.eye(3)]
    backward = [((x[index] @ (w - e) - y[index]) ** 2).mean() / 2 for e in h * np.eye(3)]
    expected = (np.array(losses) - backward) / (2 * h)
    np.testing.assert_allclose(sa.minibatch_gradient(w, x, y, index), expected, atol=1e-8)


def test_one_row_at_a_time_has_the_full_gradient_as_its_mean():
    rng = np.random.default_rng(0)
    x, y = data(rng)
    w = rng.normal(size=3)
    single = sa.minibatch_gradient(np.tile(w, (12, 1)), x, y, np.arange(12)[:, None])
    full = sa.minibatch_gradient(w, x, y, np.arange(12))
    np.testing.assert_allclose(single.mean(0), full)
    np.testing.assert_allclose(full, (x.T @ x @ w - x.T @ y) / 12)
    solution = np.linalg.lstsq(x, y)[0]
    np.testing.assert_allclose(sa.minibatch_gradient(solution, x, y, np.arange(12)), 0, atol=1e-12)


def test_a_mini_batch_divides_the_variance_of_the_gradient_by_its_size():
    rng = np.random.default_rng(0)
    x, y = data(rng)
    w = np.zeros((20_000, 3))
    spread = {
        m: sa.minibatch_gradient(w, x, y, rng.integers(12, size=(20_000, m))).var(0) for m in (1, 4)
    }
    np.testing.assert_allclose(spread[1] / spread[4], 4, rtol=0.15)


def test_three_batch_sizes_find_the_least_squares_solution():
    rng = np.random.default_rng(0)
    x, y = data(rng)
    solution = np.linalg.lstsq(x, y)[0]
    a = sa.step_sizes(4000, c=20, offset=100)
    for m in (1, 4, 12):
        batches = np.arange(12)[None, None] if m == 12 else rng.integers(12, size=(4000, 20, m))
        got = sa.robbins_monro(
            lambda w, index: sa.minibatch_gradient(w, x, y, index),
            np.zeros((20, 3)),
            a,
            np.broadcast_to(batches, (4000, 20, m)),
        )
        error = np.sqrt(((got.w[-1] - solution) ** 2).sum(-1).mean())
        assert error < {1: 0.14, 4: 0.065, 12: 1e-3}[m]


# ------------------------------------------------------------------------------- the bridge to TD


def test_the_residual_vanishes_at_the_values_of_the_policy_alone():
    mdp = grid_mdp(ZHAO)
    pi = uniform_policy(mdp)
    model, v = policy_model(mdp, pi), closed_form(mdp, pi, 0.9)
    np.testing.assert_allclose(sa.bellman_residual(v, model, 0.9), 0, atol=1e-12)
    other = np.stack([v + 1, 2 * v])
    expected = other - (model.r + 0.9 * np.einsum("ij,bj->bi", model.p, other))
    np.testing.assert_allclose(sa.bellman_residual(other, model, 0.9), expected, atol=1e-12)
    assert (np.abs(expected).max(1) > 0.05).all()


def test_the_mean_reading_of_a_state_is_its_bellman_residual():
    """Over all that may follow, weighed by its probability: enumerated, not sampled."""
    rng = np.random.default_rng(0)
    s_next = rng.integers(0, 4, (4, 2, 3))
    mdp = finite_mdp(
        s_next,
        rng.dirichlet(np.ones(3), (4, 2)),
        rng.normal(size=(4, 2, 3)),
        rng.random(s_next.shape) < 0.3,
    )
    pi, v = rng.dirichlet(np.ones(2), 4), rng.normal(size=4)
    s = np.broadcast_to(np.arange(4)[:, None, None], s_next.shape).ravel()
    fields = (x.ravel() for x in (mdp.r, mdp.s_next, mdp.terminated))
    readings = sa.td_reading(np.tile(v, (len(s), 1)), s, *fields, 0.8)
    weight = (pi[:, :, None] * mdp.p).ravel()
    mean = (weight[:, None] * readings).sum(0)
    np.testing.assert_allclose(mean, sa.bellman_residual(v, policy_model(mdp, pi), 0.8), atol=1e-12)


def test_a_reading_touches_one_state_and_nothing_follows_an_end():
    v = np.array([[1.0, 2.0, 4.0], [3.0, 5.0, 7.0]])
    before = v.copy()
    got = sa.td_reading(
        v, np.array([0, 2]), np.array([1.0, -1.0]), np.array([2, 1]), np.array([False, True]), 0.5
    )
    np.testing.assert_allclose(got, [[1 - (1 + 0.5 * 4), 0, 0], [0, 0, 7 - (-1)]])
    np.testing.assert_array_equal(v, before)


@pytest.mark.parametrize("terminal", [False, True])
def test_td_0_finds_the_values_of_a_policy(terminal):
    world = GridWorld(2, 3, forbidden=(1,), target=(5,), terminal=terminal)
    mdp = grid_mdp(world)
    pi, rng = uniform_policy(mdp), np.random.default_rng(0)
    exact = closed_form(mdp, pi, 0.9)
    steps, runs = 20_000, 20
    x = walk(mdp, pi, rng.integers(0, 6, steps * runs), steps=1, rng=rng)
    s, r, s_next, ends = (f.reshape(steps, runs) for f in (x.s, x.r, x.s_next, x.terminated))
    got = sa.robbins_monro(
        lambda v, seen: sa.td_reading(v, *seen, 0.9),
        np.zeros((runs, 6)),
        sa.step_sizes(steps, c=6 * 20, offset=6 * 40),
        zip(s, r, s_next, ends, strict=True),
        keep=[0, steps],
    )
    error = np.sqrt(((got.w - exact) ** 2).mean((1, 2)))
    assert error[1] < 0.15 < 0.9 < error[0]
