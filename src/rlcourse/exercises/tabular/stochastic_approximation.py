"""The five exercises of the stochastic approximation chapter: the incremental mean, the conditions
on step sizes, the exact moments of an error, the mini-batch gradient and the reading of TD(0).

Axes differ in size and vary: B runs or learners, T steps, D unknowns, N samples of a data set, M of
a mini-batch, S states.
"""

import numpy as np

from rlcourse.grading import exercise
from rlcourse.tabular import stochastic_approximation as sa
from rlcourse.tabular.stochastic_approximation import Moments, StepConditions

# ------------------------------------------------------------------------------- the mean

incremental_mean = exercise(
    sa.incremental_mean,
    nudge="What does one more sample change in a mean of k - 1 samples, and how much?",
    worked={"x": np.array([4.0, 2.0, 9.0])},
)


@incremental_mean.check(points=2)
def test_each_mean_is_that_of_the_samples_so_far(rng):
    for steps in (6, 9, 2):
        yield {"x": rng.normal(rng.choice([-3, 3]), 2, steps)}
    yield {"x": rng.normal(size=1300)}
    some = rng.permutation(np.arange(7) < 4)
    yield {"x": np.where(some, rng.normal(size=7), 0.0)}


@incremental_mean.check(points=1)
def test_means_of_many_sequences_run_along_the_last_axis(rng):
    for shape in ((4, 7), (9, 3), (2, 3, 5), (1, 6), (5, 1), (2, 1, 8)):
        yield {"x": 3 * rng.normal(size=shape)}


@incremental_mean.check(points=1)
def test_the_mean_of_one_sample_is_that_sample_and_a_large_one_loses_weight(rng):
    """the mean of one sample is that sample, and a large one loses its weight with time"""
    for large in (1e4, -1e4):
        yield {"x": rng.uniform(0.5, 1, 1) * large}
        x = rng.normal(size=rng.integers(5, 9))
        x[0] = large
        yield {"x": x}
        x = rng.normal(size=(3, 8))
        x[:, rng.integers(1, 7)] = large
        yield {"x": x}


@incremental_mean.check(points=1)
def test_means_of_whole_numbers_keep_their_fractions(rng):
    for shape in ((5,), (3, 7), (8,)):
        yield {"x": rng.integers(-5, 6, size=shape) * 2 + 1}
    yield {"x": rng.integers(-(10**4), 10**4, size=6).astype(np.int32)}


def stepped(x, size):
    """w <- w - size(k) (w - x_k), from w = 0."""
    means, w = np.zeros(x.shape), 0.0
    for k in range(1, x.shape[-1] + 1):
        w = w - size(k) * (w - x[..., k - 1])
        means[..., k - 1] = w
    return means


@incremental_mean.misconception(
    "The start is no sample: with the first step of size 1 it is forgotten. Divide by k, not k + 1."
)
def counts_the_start_as_a_sample(x):
    return stepped(x, lambda k: 1 / (k + 1))


@incremental_mean.misconception(
    "x_k is the k-th sample, so it counts 1/k. Where the loop counts from 0, divide by k + 1."
)
def divides_by_the_samples_before(x):
    return stepped(x, lambda k: 1 / max(k - 1, 1))


@incremental_mean.misconception(
    "Step against the reading w - x: w - (w - x) / k moves towards the sample, plus moves away."
)
def steps_away_from_the_sample(x):
    return stepped(x, lambda k: -1 / k)


@incremental_mean.misconception(
    "A constant step forgets old samples; only steps of 1/k weigh all of them alike."
)
def keeps_the_step_constant(x):
    return stepped(x, lambda k: 0.1)


@incremental_mean.misconception(
    "Half old, half new weighs the last sample 1/2, always; among k samples its weight is 1/k."
)
def averages_the_old_mean_and_the_new_sample(x):
    return stepped(x, lambda k: 1 if k == 1 else 1 / 2)


@incremental_mean.misconception("That is the last mean alone: give one mean for each sample.")
def gives_the_last_mean_alone(x):
    return x.mean(-1)


@incremental_mean.misconception("The samples lie along the last axis; the first are sequences.")
def runs_along_the_first_axis(x):
    return np.moveaxis(sa.incremental_mean(np.moveaxis(x, 0, -1)), -1, 0)


@incremental_mean.misconception(
    "cumsum without an axis makes one long row of all sequences: axis=-1."
)
def runs_through_all_sequences_as_one(x):
    return sa.incremental_mean(x.ravel()).reshape(x.shape)


@incremental_mean.misconception(
    "zeros_like(x) of whole numbers holds whole numbers only: ask for floats, dtype=float."
)
def rounds_down_to_whole_numbers(x):
    return sa.incremental_mean(x).astype(x.dtype)


@incremental_mean.misconception("That is the sum so far: the mean divides it by k.")
def adds_up_without_dividing(x):
    return 1.0 * x.cumsum(-1)


@incremental_mean.misconception("After k samples the sum is of k terms: divide by k, not by T.")
def divides_by_all_the_samples(x):
    return x.cumsum(-1) / x.shape[-1]


@incremental_mean.misconception(
    "The k-th mean includes x_k: note w after the step, w_{k+1}, not before it."
)
def notes_the_mean_before_the_step(x):
    means = sa.incremental_mean(x)
    return np.concatenate([0 * means[..., :1], means[..., :-1]], axis=-1)


@incremental_mean.misconception("A sample of 0 is a sample like any other: it counts in k.")
def takes_zeros_for_no_samples(x):
    return x.cumsum(-1) / np.maximum((x != 0).cumsum(-1), 1)


@incremental_mean.misconception("x is the caller's: write the means into an array of your own.")
def writes_over_the_samples(x):
    w = 0.0
    for k in range(1, x.shape[-1] + 1):
        w = w - (w - x[..., k - 1]) / k
        x[..., k - 1] = w
    return x


@incremental_mean.control
def means_by_running_sums(x):
    return x.cumsum(-1) / np.arange(1, x.shape[-1] + 1)


@incremental_mean.control
def means_from_slices(x):
    return np.stack([x[..., :k].mean(-1) for k in range(1, x.shape[-1] + 1)], axis=-1)


@incremental_mean.control
def means_of_one_sequence_at_a_time(x):
    means = np.empty(x.shape)
    for at in np.ndindex(x.shape[:-1]):
        mean = x[*at, 0]
        for k, sample in enumerate(x[at]):
            mean = (k * mean + sample) / (k + 1)
            means[*at, k] = mean
    return means


# ------------------------------------------------------------------------------- step sizes

step_size_conditions = exercise(
    sa.step_size_conditions,
    nudge="Compare each sum with ∫ k^-q dk: for which q does it stay finite? What is q for a_k²?",
    worked={"p": np.array([0.0, 0.3, 0.8, 3.0])},
)


def ordinary_powers(rng):
    """One or more of each kind, away from the boundaries."""
    return np.concatenate(
        [
            rng.uniform(-3, -1.1, 1),
            rng.uniform(-0.9, -0.1, 1),
            rng.uniform(0.05, 0.45, 2),
            rng.uniform(0.55, 0.95, rng.integers(2, 4)),
            rng.uniform(1.05, 4, 2),
        ]
    )


def mixed(rng, *more):
    return {"p": rng.permutation([*ordinary_powers(rng), *more])}


@step_size_conditions.check(points=2)
def test_slow_steps_sum_to_infinity_and_squares_of_fast_ones_do_not(rng):
    for _ in range(2):
        yield mixed(rng)
    yield mixed(rng, 0.0, 1e4, -1e4)


@step_size_conditions.check(points=1)
def test_steps_of_one_over_k_satisfy_both_and_their_square_roots_the_first_alone(rng):
    """steps of 1/k satisfy both conditions, steps of 1/√k the first alone"""
    yield mixed(rng, 1.0, 0.5)
    yield mixed(rng, 0.5, 0.5, 1.0, -1.0, 0.0, -0.5)
    yield {"p": rng.permutation([1.0, 0.5, rng.uniform(0.6, 0.9)])}


@step_size_conditions.check(points=1)
def test_a_hair_beside_a_boundary_decides(rng):
    for hair in (1e-3, 1e-6, 10 ** rng.uniform(-12, -8), 1e-15):
        yield mixed(rng, 1 + hair, 1 - hair, 0.5 + hair, 0.5 - hair)
    beside = [np.nextafter(x, to) for x in (0.5, 1.0) for to in (-9, 9)]
    yield {"p": rng.permutation([*beside, 0.5, 1.0])}


@step_size_conditions.check(points=1)
def test_the_flags_have_the_shape_of_p_be_it_one_number_or_a_table(rng):
    """the flags have the shape of p, be it one number, whole numbers or a table"""
    for p in (rng.uniform(-2, 0), rng.uniform(0.1, 0.4), rng.uniform(0.6, 0.9), 1.5, 0.5, 1.0):
        yield {"p": float(p)}
    for whole in (-2, 0, 1, 2):
        yield {"p": whole}
    yield {"p": rng.permutation(np.arange(-3, 4))}
    for shape in ((2, 5), (7, 3), (1, 4), (3, 1), (2, 4, 3)):
        yield {"p": rng.uniform(-0.5, 2, shape)}
    yield {"p": rng.integers(-1, 4, size=(3, 8))}


@step_size_conditions.misconception("Σ 1/k has no limit, it grows like ln k: p = 1 is in.")
def leaves_one_over_k_out(p):
    return StepConditions(np.less(p, 1), np.greater(p, 1 / 2))


@step_size_conditions.misconception(
    "At p = 1/2 the squares are 1/k, and Σ 1/k has no limit: p must be above 1/2."
)
def lets_the_square_root_in(p):
    return StepConditions(np.less_equal(p, 1), np.greater_equal(p, 1 / 2))


@step_size_conditions.misconception(
    "Both boundaries are on the wrong side. Σ 1/k = ∞: it decides p = 1, and p = 1/2 for squares."
)
def puts_both_boundaries_on_the_wrong_side(p):
    return StepConditions(np.less(p, 1), np.greater_equal(p, 1 / 2))


@step_size_conditions.misconception(
    "Swapped: whether Σ a_k = ∞ comes first, StepConditions(sum_diverges, squares_converge)."
)
def swaps_the_two_conditions(p):
    return StepConditions(np.greater(p, 1 / 2), np.less_equal(p, 1))


@step_size_conditions.misconception(
    "The first flag is True where the sum is infinite: that is what lets w reach the root."
)
def asks_for_a_finite_sum(p):
    return StepConditions(np.greater(p, 1), np.greater(p, 1 / 2))


@step_size_conditions.misconception(
    "The second flag is True where the sum of squares is finite: then the noise dies out."
)
def asks_for_infinite_squares(p):
    return StepConditions(np.less_equal(p, 1), np.less_equal(p, 1 / 2))


@step_size_conditions.misconception(
    "That a_k → 0 is not enough: Σ 1/k^(2p) is finite only if 2p > 1."
)
def asks_only_that_the_steps_vanish(p):
    return StepConditions(np.less_equal(p, 1), np.greater(p, 0))


@step_size_conditions.misconception(
    "a_k² = 1/k^(2p): the squares have the power 2p, and 2p > 1 is enough."
)
def forgets_to_square_the_steps(p):
    return StepConditions(np.less_equal(p, 1), np.greater(p, 1))


@step_size_conditions.misconception("Squaring 1/k^p doubles the power, 2p; it does not square it.")
def squares_the_power(p):
    return StepConditions(np.less_equal(p, 1), np.square(p) > 1)


@step_size_conditions.misconception(
    "Two questions, two answers: each flag is for one sum, whatever the other says."
)
def merges_both_conditions(p):
    both = np.less_equal(p, 1) & np.greater(p, 1 / 2)
    return StepConditions(both, both)


@step_size_conditions.misconception(
    "Steps that stay or grow, p <= 0, sum to infinity all the more: the first condition holds."
)
def wants_steps_that_shrink(p):
    return StepConditions(np.less_equal(p, 1) & np.greater(p, 0), np.greater(p, 1 / 2))


@step_size_conditions.misconception(
    "The squares of faster steps, p > 1, are finite all the more: no upper limit there."
)
def caps_the_second_condition_too(p):
    return StepConditions(np.less_equal(p, 1), np.greater(p, 1 / 2) & np.less_equal(p, 1))


@step_size_conditions.misconception(
    "p may be an array: an `if`, or bool(...), wants one number. Comparing gives a flag for each."
)
def takes_one_power_only(p):
    return StepConditions(bool(p <= 1), bool(p > 1 / 2))


@step_size_conditions.control
def conditions_by_one_series(p):
    def converges(q):
        return np.asarray(q) > 1

    return StepConditions(~converges(p), converges(2 * p))


@step_size_conditions.control
def conditions_one_by_one(p):
    powers = np.asarray(p)
    flags = StepConditions(np.zeros(powers.shape, bool), np.ones(powers.shape, bool))
    for at, power in np.ndenumerate(powers):
        if not power > 1:
            flags.sum_diverges[at] = True
        if power <= 0.5:
            flags.squares_converge[at] = False
    return flags


# ------------------------------------------------------------------------------- moments

exact_moments = exercise(
    sa.exact_moments,
    nudge="What becomes of a mean and of a variance when a number is multiplied by c? And when "
    "independent noise is added to it?",
    worked={
        "delta": 8.0,
        "alpha": np.array([0.5, 1.0, 0.25]),
        "beta": np.array([1.0, 0.5, 2.0]),
        "sigma": 2.0,
    },
)


def process(rng, shape, low=0.1, high=0.9):
    """Draws of what differs by name: shrinking, gain, start and noise."""
    return {
        "delta": float(rng.uniform(2, 4) * rng.choice([-1, 1])),
        "alpha": rng.uniform(low, high, shape),
        "beta": rng.uniform(0.2, 1.8, shape),
        "sigma": float(rng.uniform(1.5, 3)),
    }


@exact_moments.check(points=2)
def test_the_mean_shrinks_and_the_variance_takes_in_the_noise_of_each_step(rng):
    for steps in (6, 9, 2):
        yield process(rng, steps)
    yield process(rng, 60, 0.01, 0.2) | {"sigma": float(rng.uniform(0.2, 0.6))}


@exact_moments.check(points=1)
def test_moments_begin_with_the_start_itself_which_has_no_variance(rng):
    """moments begin with the start itself, which has no variance"""
    yield process(rng, 1)
    yield process(rng, 1) | {"sigma": 0.0}
    yield process(rng, 5) | {"sigma": 0.0}
    yield process(rng, 4) | {"delta": 0.0}
    case = process(rng, 7)
    yield case | {"beta": case["beta"] * (np.arange(7) > 3)}


@exact_moments.check(points=1)
def test_moments_follow_steps_that_forget_overshoot_or_do_nothing(rng):
    """a step may overshoot (α > 1), forget all (α = 1) or nothing (α = 0), and β have any sign"""
    for steps in (5, 8):
        case = process(rng, steps, 1.1, 2.4)
        alpha, beta = case["alpha"], case["beta"] * rng.choice([-1, 1], steps)
        alpha[rng.permutation(steps)[:2]] = 0.0, 1.0
        alpha[-2] = rng.uniform(-0.5, -0.1)
        beta[0], beta[-1] = -abs(beta[0]), abs(beta[-1])
        beta[rng.integers(1, steps - 1)] = 0.0
        yield case | {"alpha": alpha, "beta": beta}


@exact_moments.check(points=1)
def test_moments_of_many_settings_share_one_call(rng):
    for shape in ((4, 7), (8, 3), (1, 5), (3, 2, 5), (6, 1, 4)):
        case, rest = process(rng, shape), shape[1:]
        yield case
        yield case | {"delta": 3 * rng.normal(size=rest), "sigma": rng.uniform(0.5, 3, rest)}
        yield case | {"sigma": rng.uniform(0.5, 3, rest[-1:])}
    case = process(rng, (4, 3, 7))
    yield case | {"delta": rng.normal(size=(3, 1)), "sigma": rng.uniform(0.5, 3, 7)}
    yield case | {"delta": rng.normal(size=7), "sigma": rng.uniform(0.5, 3, (3, 1))}


@exact_moments.check(points=1)
def test_moments_hold_for_large_starts_loud_noise_and_whole_numbers(rng):
    """moments hold for large starts, loud noise and whole numbers"""
    for delta, sigma in ((1e4, 2.0), (-1e4, 0.5), (3.0, 1e4)):
        yield process(rng, rng.integers(4, 8)) | {"delta": delta, "sigma": sigma}
    yield process(rng, 7) | {"delta": int(rng.integers(3, 9)), "sigma": int(rng.integers(2, 5))}
    whole = {"delta": rng.integers(-9, 9, 3) * 2 + 1, "sigma": rng.integers(2, 9, 3)}
    yield process(rng, (5, 3)) | whole


def moments(delta, alpha, beta, sigma, *, mean, variance, first=0.0):
    """Steps of both moments: mean(keep, mean, gain), variance(keep, variance, gain)."""
    m, v = np.zeros((2, len(alpha) + 1, *alpha.shape[1:]))
    m[0], v[0] = delta, first
    for k, (a, b) in enumerate(zip(alpha, beta, strict=True)):
        m[k + 1], v[k + 1] = mean(1 - a, m[k], b), variance(1 - a, v[k], b)
    return Moments(m, v)


def shrunk(keep, mean, gain):
    return keep * mean


def wrong_variance(delta, alpha, beta, sigma, variance, first=0.0):
    return moments(delta, alpha, beta, sigma, mean=shrunk, variance=variance, first=first)


@exact_moments.misconception("Var(cX) = c² Var X: the variance shrinks by (1 - α)², not 1 - α.")
def shrinks_the_variance_like_the_mean(delta, alpha, beta, sigma):
    return wrong_variance(
        delta, alpha, beta, sigma, lambda keep, v, gain: keep * v + (gain * sigma) ** 2
    )


@exact_moments.misconception("(1 - α)² is not 1 - α²: subtract first, then square.")
def squares_alpha_alone(delta, alpha, beta, sigma):
    return wrong_variance(
        delta,
        alpha,
        beta,
        sigma,
        lambda keep, v, gain: (1 - (1 - keep) ** 2) * v + (gain * sigma) ** 2,
    )


@exact_moments.misconception(
    "What was noise before shrinks as well: (1 - α)² Var, not the old variance whole."
)
def never_shrinks_the_variance(delta, alpha, beta, sigma):
    return wrong_variance(delta, alpha, beta, sigma, lambda keep, v, gain: v + (gain * sigma) ** 2)


@exact_moments.misconception("β multiplies the noise, so its variance is β² σ²: square β too.")
def forgets_to_square_beta(delta, alpha, beta, sigma):
    return wrong_variance(
        delta, alpha, beta, sigma, lambda keep, v, gain: keep**2 * v + gain * np.square(sigma)
    )


@exact_moments.misconception("σ is the standard deviation of the noise; its variance is σ².")
def takes_sigma_for_a_variance(delta, alpha, beta, sigma):
    return wrong_variance(
        delta, alpha, beta, sigma, lambda keep, v, gain: keep**2 * v + gain**2 * sigma
    )


@exact_moments.misconception("The noise has mean 0: it moves the variance, not the mean.")
def adds_the_noise_to_the_mean(delta, alpha, beta, sigma):
    return moments(
        delta,
        alpha,
        beta,
        sigma,
        mean=lambda keep, m, gain: keep * m + gain * sigma,
        variance=lambda keep, v, gain: keep**2 * v + (gain * sigma) ** 2,
    )


@exact_moments.misconception("Of independent numbers the variances add, not standard deviations.")
def adds_standard_deviations(delta, alpha, beta, sigma):
    spread = wrong_variance(
        delta, alpha, beta, sigma, lambda keep, v, gain: abs(keep) * v + abs(gain) * sigma
    )
    return Moments(spread.mean, spread.variance**2)


@exact_moments.misconception("α says how much is forgotten, β how much noise comes: keep 1 - α.")
def keeps_one_minus_beta(delta, alpha, beta, sigma):
    return sa.exact_moments(delta, beta, beta, sigma)


@exact_moments.misconception("The noise has a factor of its own: β, which need not be α.")
def takes_alpha_for_beta(delta, alpha, beta, sigma):
    return sa.exact_moments(delta, alpha, alpha, sigma)


@exact_moments.misconception(
    "The noise of a step comes after its shrinking: it is shrunk by later steps only."
)
def shrinks_the_new_noise_too(delta, alpha, beta, sigma):
    return wrong_variance(
        delta, alpha, beta, sigma, lambda keep, v, gain: keep**2 * (v + (gain * sigma) ** 2)
    )


@exact_moments.misconception("T steps make T + 1 moments: the start, Δ_1, is the first of them.")
def leaves_the_start_out(delta, alpha, beta, sigma):
    exact = sa.exact_moments(delta, alpha, beta, sigma)
    return Moments(exact.mean[1:], exact.variance[1:])


@exact_moments.misconception("The last step counts too: T steps make T + 1 moments.")
def leaves_the_last_step_out(delta, alpha, beta, sigma):
    return sa.exact_moments(delta, alpha[:-1], beta[:-1], sigma)


@exact_moments.misconception(
    "alpha (T, ...) may hold many settings: a row of the answer has the shape of alpha[0]."
)
def knows_one_setting_only(delta, alpha, beta, sigma):
    mean, variance = np.zeros(len(alpha) + 1), np.zeros(len(alpha) + 1)
    mean[0] = delta
    for k in range(len(alpha)):
        mean[k + 1] = (1 - alpha[k]) * mean[k]
        variance[k + 1] = (1 - alpha[k]) ** 2 * variance[k] + (beta[k] * sigma) ** 2
    return Moments(mean, variance)


@exact_moments.misconception("That is the standard deviation; asked is the variance.")
def gives_standard_deviations(delta, alpha, beta, sigma):
    exact = sa.exact_moments(delta, alpha, beta, sigma)
    return Moments(exact.mean, np.sqrt(exact.variance))


@exact_moments.misconception(
    "That is E Δ². The variance is about the mean, E Δ² - (E Δ)²: of the start it is 0, not delta²."
)
def gives_the_mean_square(delta, alpha, beta, sigma):
    exact = sa.exact_moments(delta, alpha, beta, sigma)
    return Moments(exact.mean, exact.variance + exact.mean**2)


@exact_moments.control
def moments_unrolled(delta, alpha, beta, sigma):
    """Each start and each noise, times all that it was shrunk by since."""
    mean, variance = [], []
    for k in range(len(alpha) + 1):
        mean.append(delta * np.prod(1 - alpha[:k], axis=0))
        after = [np.prod(1 - alpha[j + 1 : k], axis=0) for j in range(k)]
        noise = [(b * c) ** 2 for b, c in zip(beta[:k], after, strict=True)]
        variance.append(sum(noise, np.zeros(alpha.shape[1:])) * np.square(sigma))
    return Moments(np.stack(mean), np.stack(variance))


@exact_moments.control
def moments_by_the_mean_square(delta, alpha, beta, sigma):
    """E Δ² obeys the same line as the variance; subtract the squared mean at the end."""
    exact, rest = sa.exact_moments(0.0, alpha, beta, sigma), alpha.shape[1:]
    mean = np.cumprod(np.concatenate([np.ones((1, *rest)), 1 - alpha]), axis=0) * delta
    return Moments(mean, exact.variance)


@exact_moments.control
def moments_by_recursion(delta, alpha, beta, sigma):
    if len(alpha) == 0:
        start = np.zeros((1, *alpha.shape[1:]))
        return Moments(start + delta, start)
    before = moments_by_recursion(delta, alpha[:-1], beta[:-1], sigma)
    keep, noise = 1 - alpha[-1], beta[-1] * np.asarray(sigma)
    mean, variance = keep * before.mean[-1], keep * before.variance[-1] * keep + noise * noise
    return Moments(np.r_[before.mean, mean[None]], np.r_[before.variance, variance[None]])


# ------------------------------------------------------------------------------- gradients

minibatch_gradient = exercise(
    sa.minibatch_gradient,
    nudge="First one row: what is the slope of ½ (x_i·w - y_i)² in w? Then the mean over the rows.",
    worked={
        "w": np.array([1.0, 2.0]),
        "x": np.array([[1.0, 0.0], [2.0, 1.0], [0.0, 3.0]]),
        "y": np.array([2.0, 1.0, 4.0]),
        "index": np.array([2, 0]),
    },
)


def fitting(rng, n, d, batch, runs=(), size=1.0):
    """A data set of n rows with d unknowns; `batch` rows of each run, or the rows themselves."""
    drawn = isinstance(batch, int)
    return {
        "w": 2 * rng.normal(size=(*runs, d)),
        "x": size * rng.normal(rng.choice([-1, 1]), 1, (n, d)),
        "y": size * rng.normal(2, 3, n),
        "index": rng.integers(n, size=(*runs, batch)) if drawn else np.asarray(batch),
    }


@minibatch_gradient.check(points=2)
def test_the_gradient_is_the_mean_over_the_rows_of_the_batch(rng):
    for n, d, m in ((3, 1, 2), (9, 3, 4), (7, 2, 5), (12, 7, 8), (120, 3, 2)):
        yield fitting(rng, n, d, rng.permutation(n)[:m])


@minibatch_gradient.check(points=1)
def test_a_row_that_was_drawn_twice_counts_twice(rng):
    for n, d, m in ((8, 3, 5), (5, 2, 4)):
        rows = rng.permutation(n)[: m - 1]
        yield fitting(rng, n, d, rng.permutation([*rows, rows[0]]))
    yield fitting(rng, 3, 4, 11)
    yield fitting(rng, 6, 3, np.full(2, rng.integers(6)))


@minibatch_gradient.check(points=1)
def test_one_row_is_sgd_and_all_rows_are_bgd(rng):
    """one row makes SGD, all rows make BGD"""
    for n, d in ((7, 3), (8, 2)):
        yield fitting(rng, n, d, [rng.integers(1, n)])
        yield fitting(rng, n, d, rng.permutation(n))
    yield fitting(rng, 5, 4, np.arange(5))
    yield fitting(rng, 1, 3, [0])


@minibatch_gradient.check(points=1)
def test_each_run_has_a_batch_of_its_own(rng):
    for n, d, m, runs in ((9, 3, 4, (5,)), (6, 4, 2, (3,)), (8, 5, 3, (2, 4)), (7, 1, 5, (3,))):
        yield fitting(rng, n, d, m, runs)
    yield fitting(rng, 7, 2, 3, (1,))
    yield fitting(rng, 6, 3, 1, (7,))
    yield fitting(rng, 4, 2, 9, (1, 5))


@minibatch_gradient.check(points=1)
def test_the_gradient_holds_for_one_unknown_and_for_large_numbers(rng):
    yield fitting(rng, 8, 1, 3)
    yield fitting(rng, 5, 1, 7)
    for size in (1e4, 1e-2):
        yield fitting(rng, 7, 3, 4, size=size)
    case = fitting(rng, 9, 2, 5)
    yield case | {"w": 1e4 * rng.choice([-1, 1], 2) * rng.uniform(0.5, 1, 2)}
    yield case | {"w": np.zeros(2)}


def errors(w, x, y, index):
    return np.einsum("...md,...d->...m", x[index], w) - y[index]


@minibatch_gradient.misconception("A mean, not a sum: divide by the M rows of the batch.")
def sums_over_the_batch(w, x, y, index):
    return index.shape[-1] * sa.minibatch_gradient(w, x, y, index)


@minibatch_gradient.misconception("The mean is over the batch: divide by M, not by all N rows.")
def divides_by_the_size_of_the_data(w, x, y, index):
    return index.shape[-1] / len(x) * sa.minibatch_gradient(w, x, y, index)


@minibatch_gradient.misconception("J is half the mean square: its ½ takes away the factor 2.")
def forgets_the_half(w, x, y, index):
    return 2 * sa.minibatch_gradient(w, x, y, index)


@minibatch_gradient.misconception(
    "The gradient points uphill, (x·w - y) x; the minus sign comes with the step."
)
def points_downhill(w, x, y, index):
    return -sa.minibatch_gradient(w, x, y, index)


@minibatch_gradient.misconception("That is w after a step; asked is the gradient alone.")
def takes_the_step_already(w, x, y, index):
    return w - sa.minibatch_gradient(w, x, y, index)


@minibatch_gradient.misconception(
    "A row that was drawn twice counts twice, in the sum and in M: keep the repeats."
)
def drops_repeated_rows(w, x, y, index):
    g = np.zeros(w.shape)
    for run in np.ndindex(w.shape[:-1]):
        g[run] = sa.minibatch_gradient(w[run], x, y, np.unique(index[run]))
    return g


@minibatch_gradient.misconception(
    "a[index] += 1 adds once where an index is repeated: use np.add.at, or take x[index]."
)
def adds_once_where_an_index_repeats(w, x, y, index):
    g = np.zeros(w.shape)
    for run in np.ndindex(w.shape[:-1]):
        count = np.zeros(len(x))
        count[index[run]] += 1
        g[run] = (count * (x @ w[run] - y)) @ x / index.shape[-1]
    return g


@minibatch_gradient.misconception("That is the gradient on all the data: take the rows of index.")
def uses_all_the_data(w, x, y, index):
    return (w @ x.T - y) @ x / len(x)


@minibatch_gradient.misconception("The error is x·w - y: the target is missing.")
def forgets_the_target(w, x, y, index):
    return sa.minibatch_gradient(w, x, 0 * y, index)


@minibatch_gradient.misconception("Row i belongs to target i: take y[index] as you take x[index].")
def takes_the_targets_in_order(w, x, y, index):
    rows, m = x[index], index.shape[-1]
    error = (rows * w[..., None, :]).sum(-1) - y[:m]
    return (error[..., None] * rows).mean(-2)


@minibatch_gradient.misconception(
    "Average over the rows of the batch, axis -2; along the last axis lie the unknowns."
)
def averages_over_the_unknowns(w, x, y, index):
    return (errors(w, x, y, index)[..., None] * x[index]).mean(-1)


@minibatch_gradient.misconception(
    "The mean of products is not the product of means: each error multiplies its own row."
)
def multiplies_the_means(w, x, y, index):
    return errors(w, x, y, index).mean(-1, keepdims=True) * x[index].mean(-2)


@minibatch_gradient.misconception("Each run has a batch of its own: don't pool their rows.")
def pools_the_batches_of_all_runs(w, x, y, index):
    rows, targets = x[index.ravel()], y[index.ravel()]
    return (w @ rows.T - targets) @ rows / index.size


@minibatch_gradient.misconception(
    "w (..., D) and index (..., M) may have axes in front, one for the runs, say: use axes -1, -2."
)
def knows_one_run_only(w, x, y, index):
    rows = x[index]
    return rows.T @ (rows @ w - y[index]) / len(index)


@minibatch_gradient.control
def gradient_row_by_row(w, x, y, index):
    g = np.zeros(w.shape)
    for run in np.ndindex(w.shape[:-1]):
        for i in index[run]:
            error = sum(a * b for a, b in zip(x[i], w[run], strict=True)) - y[i]
            g[run] += error * x[i] / index.shape[-1]
    return g


@minibatch_gradient.control
def gradient_by_einsum(w, x, y, index):
    rows = x[index]
    return np.einsum("...m,...md->...d", errors(w, x, y, index), rows) / index.shape[-1]


@minibatch_gradient.control
def gradient_by_counting(w, x, y, index):
    g = np.zeros(w.shape)
    for run in np.ndindex(w.shape[:-1]):
        share = np.bincount(index[run], minlength=len(x)) / index.shape[-1]
        g[run] = x.T @ (share * (x @ w[run] - y))
    return g


# ------------------------------------------------------------------------------- the bridge to TD

td_reading = exercise(
    sa.td_reading,
    nudge="Which one of the S values did this transition say something about?",
    worked={
        "v": np.array([[2.0, 4.0, 8.0], [1.0, 3.0, 5.0]]),
        "s": np.array([0, 2]),
        "r": np.array([1.0, -1.0]),
        "s_next": np.array([1, 0]),
        "terminated": np.array([False, True]),
        "gamma": 0.5,
    },
)


def transitions(rng, n, n_states, ends=0, size=3.0, gamma=None):
    """One transition of each of n learners, to another state where there is one; `ends` end."""
    s = rng.integers(n_states, size=n)
    return {
        "v": size * rng.normal(size=(n, n_states)),
        "s": s,
        "r": size * rng.normal(size=n),
        "s_next": (s + rng.integers(1, max(n_states, 2), size=n)) % n_states,
        "terminated": rng.permutation(np.arange(n) < ends),
        "gamma": rng.uniform(0.3, 0.95) if gamma is None else gamma,
    }


@td_reading.check(points=2)
def test_a_reading_is_the_value_of_the_state_less_its_target_and_nothing_elsewhere(rng):
    """a reading is the value of the state less its target, and 0 in all other states"""
    for n, n_states in ((5, 7), (8, 3), (4, 2)):
        yield transitions(rng, n, n_states)
    yield transitions(rng, 6, 9, gamma=0.995)


@td_reading.check(points=1)
def test_a_reading_lets_nothing_follow_an_end_but_keeps_its_reward(rng):
    for n, n_states, ends in ((7, 4, 3), (5, 8, 2), (9, 3, 8)):
        yield transitions(rng, n, n_states, ends)


@td_reading.check(points=1)
def test_a_reading_of_a_state_that_follows_itself_counts_both_values(rng):
    for n, n_states, ends in ((6, 4, 0), (7, 3, 2)):
        case = transitions(rng, n, n_states, ends)
        stays = rng.permutation(np.arange(n) < n // 2)
        yield case | {"s_next": np.where(stays, case["s"], case["s_next"])}


@td_reading.check(points=1)
def test_readings_hold_for_one_learner_or_state_and_for_many(rng):
    for n, n_states, ends in ((1, 5, 0), (1, 4, 1), (6, 1, 2), (200, 3, 70), (3, 150, 1)):
        yield transitions(rng, n, n_states, ends)
    case = transitions(rng, 8, 5, 2)  # all learners in one state, and on to one other
    yield case | {"s": np.full(8, rng.integers(4)), "s_next": np.full(8, 4)}


@td_reading.check(points=1)
def test_readings_hold_at_gamma_one_and_zero_and_for_large_values(rng):
    for n, n_states, gamma in ((6, 4, 1.0), (5, 3, 0.0), (7, 2, 1), (4, 9, 0)):
        yield transitions(rng, n, n_states, 2, 1e4, gamma)
        case = transitions(rng, n, n_states, 1, 3.0, gamma)
        yield case | {"v": -np.abs(case["v"]) - 1}


def future(v, s_next, terminated, gamma):
    return gamma * ~terminated * v[np.arange(len(v)), s_next]


def placed(v, s, number):
    """The number of each learner at its state s, and 0 elsewhere."""
    reading = np.zeros(v.shape)
    reading[np.arange(len(v)), s] = number
    return reading


def error(v, s, r, s_next, terminated, gamma):
    return v[np.arange(len(v)), s] - r - future(v, s_next, terminated, gamma)


@td_reading.misconception("The episode ended: nothing follows, v(s_next) must not count there.")
def bootstraps_past_the_end(v, s, r, s_next, terminated, gamma):
    return sa.td_reading(v, s, r, s_next, np.zeros_like(terminated), gamma)


@td_reading.misconception("The mask is upside down: v(s_next) counts where the episode goes on.")
def bootstraps_only_at_the_end(v, s, r, s_next, terminated, gamma):
    return sa.td_reading(v, s, r, s_next, ~terminated, gamma)


@td_reading.misconception("The last reward is real: an end cuts off the future alone.")
def cuts_off_the_last_reward(v, s, r, s_next, terminated, gamma):
    return sa.td_reading(v, s, r * ~terminated, s_next, terminated, gamma)


@td_reading.misconception(
    "The last step is read as well: v(s) - r. An end cuts off γ v(s_next) alone."
)
def skips_the_last_step(v, s, r, s_next, terminated, gamma):
    return ~terminated[:, None] * sa.td_reading(v, s, r, s_next, terminated, gamma)


@td_reading.misconception(
    "That is the update. The reading is v(s) - target: its sign turns when the step is taken."
)
def gives_the_update(v, s, r, s_next, terminated, gamma):
    return -sa.td_reading(v, s, r, s_next, terminated, gamma)


@td_reading.misconception(
    "The target counts as a given number: it moves v(s) alone. Leave s_next at 0."
)
def follows_the_full_gradient(v, s, r, s_next, terminated, gamma):
    b, delta = np.arange(len(v)), error(v, s, r, s_next, terminated, gamma)
    reading = np.zeros(v.shape)
    reading[b, s] += delta
    reading[b, s_next] -= gamma * ~terminated * delta
    return reading


@td_reading.misconception("The transition speaks of s alone: every other state reads 0.")
def fills_every_state(v, s, r, s_next, terminated, gamma):
    return error(v, s, r, s_next, terminated, gamma)[:, None] + np.zeros(v.shape)


@td_reading.misconception("The reading of every state but s is 0, not its value.")
def leaves_the_values_in_the_other_states(v, s, r, s_next, terminated, gamma):
    reading = v.copy()
    reading[np.arange(len(v)), s] = error(v, s, r, s_next, terminated, gamma)
    return reading


@td_reading.misconception("What is learnt is the value of s, the state that was left, not s_next.")
def writes_at_the_next_state(v, s, r, s_next, terminated, gamma):
    return placed(v, s_next, error(v, s, r, s_next, terminated, gamma))


@td_reading.misconception("That is the target alone; the reading is v(s) less the target.")
def gives_the_target_alone(v, s, r, s_next, terminated, gamma):
    return placed(v, s, r + future(v, s_next, terminated, gamma))


@td_reading.misconception("v(s) - r + γ v' adds the future: the target is subtracted as a whole.")
def forgets_the_brackets(v, s, r, s_next, terminated, gamma):
    return sa.td_reading(v, s, r, s_next, terminated, -gamma)


@td_reading.misconception("γ discounts what comes later, not the reward of this step.")
def discounts_the_reward(v, s, r, s_next, terminated, gamma):
    return sa.td_reading(v, s, gamma * r, s_next, terminated, gamma)


@td_reading.misconception("A step later is worth γ times as much: multiply v(s_next) by γ.")
def leaves_gamma_out(v, s, r, s_next, terminated, gamma):
    return sa.td_reading(v, s, r, s_next, terminated, 1.0)


@td_reading.misconception("Give the reading of every state, (B, S): 0 where it says nothing.")
def gives_one_number_for_each_learner(v, s, r, s_next, terminated, gamma):
    return error(v, s, r, s_next, terminated, gamma)


@td_reading.misconception(
    "reading[:, s] means those columns in every row: pair learner and state, [np.arange(B), s]."
)
def writes_in_the_rows_of_all_learners(v, s, r, s_next, terminated, gamma):
    reading = np.zeros(v.shape)
    reading[:, s] = error(v, s, r, s_next, terminated, gamma)
    return reading


@td_reading.misconception(
    "A reading looks and does not step: leave v as it was, the caller takes the step."
)
def takes_the_step_as_well(v, s, r, s_next, terminated, gamma):
    reading = sa.td_reading(v, s, r, s_next, terminated, gamma)
    v -= reading
    return reading


@td_reading.control
def reads_learner_by_learner(v, s, r, s_next, terminated, gamma):
    reading = np.zeros(v.shape)
    for b in range(len(v)):
        target = r[b] if terminated[b] else r[b] + gamma * v[b, s_next[b]]
        reading[b, s[b]] = v[b, s[b]] - target
    return reading


@td_reading.control
def reads_by_one_hot(v, s, r, s_next, terminated, gamma):
    here, there = np.eye(v.shape[1])[s], np.eye(v.shape[1])[s_next]
    target = r + np.where(terminated, 0.0, gamma * (v * there).sum(1))
    return here * ((v * here).sum(1) - target)[:, None]


@td_reading.control
def reads_along_an_axis(v, s, r, s_next, terminated, gamma):
    now, then = (np.take_along_axis(v, x[:, None], 1) for x in (s, s_next))
    reading = np.zeros_like(v)
    target = r[:, None] + gamma * (1.0 - terminated[:, None]) * then
    np.put_along_axis(reading, s[:, None], now - target, 1)
    return reading
