"""The six exercises of the PPO chapter: the clip, the clipped value loss, estimates of a KL
divergence, the whole loss, the natural step, and the loss's gradient by hand. Where tensors come
in, gradients are graded too.

Axes differ in size and vary: B learners, N samples, A actions, D parameters.
"""

import numpy as np
import torch

from rlcourse.deep import ppo_gradients, ppo_losses, trust_region
from rlcourse.deep.policies import log_softmax
from rlcourse.deep.ppo_losses import KlEstimates
from rlcourse.exercises.deep.policy_gradient import some_of, tensor
from rlcourse.grading import exercise

FAR = 1e4
SHAPES = ((8,), (3, 5), (2, 4, 3), (1,))

# ------------------------------------------------------------------------------- the clip

clipped_surrogate = exercise(
    ppo_losses.clipped_surrogate,
    nudge="Which of the two, ρ Â or its clipped version, is the more cautious promise? And which "
    "argument is a weight only?",
    worked={
        "log_ratio": torch.tensor([0.5, 1.5, 0.5, 1.5], dtype=torch.float64).log(),
        "advantage": torch.tensor([1.0, 1.0, -1.0, -1.0], dtype=torch.float64),
        "epsilon_low": 0.2,
    },
)


def inside(rng, shape, epsilon):
    """Log-ratios that no clip reaches."""
    return np.log1p(epsilon * rng.uniform(-0.9, 0.9, size=shape))


def outside(rng, shape, epsilon, size=0.8):
    """Log-ratios beyond the clip, on either side."""
    side = rng.permutation(np.arange(int(np.prod(shape))) % 2 * 2 - 1).reshape(shape)
    return side * (rng.uniform(0.1, size, shape) - np.log1p(-epsilon))


def pushed(log_ratio, advantage, low, high=None):
    case = {"log_ratio": tensor(log_ratio), "advantage": tensor(advantage), "epsilon_low": low}
    return case if high is None else case | {"epsilon_high": high}


@clipped_surrogate.check(points=1, gradients=("log_ratio",))
def test_a_ratio_within_the_clip_weighs_the_advantage(rng):
    """within the clip the surrogate is ρ Â, with the gradient ρ Â of log ρ"""
    for shape in SHAPES:
        low = rng.uniform(0.1, 0.4)
        yield pushed(inside(rng, shape, low), 2 * rng.normal(size=shape), low)
    yield pushed(np.zeros((4, 3)), rng.normal(size=(4, 3)), 0.2)


@clipped_surrogate.check(points=2, gradients=("log_ratio",))
def test_beyond_the_clip_what_has_gone_far_enough_earns_no_more(rng):
    """where ρ has passed the clip in the advantage's direction: (1 ± ε) Â, with the gradient 0"""
    for shape in SHAPES:
        low = rng.uniform(0.05, 0.4)
        x = outside(rng, shape, low)
        yield pushed(x, np.sign(x) * rng.uniform(0.2, 3, shape), low)
    x = outside(rng, (5,), 0.3, 5.0)
    yield pushed(x, np.sign(x) * FAR, 0.3)


@clipped_surrogate.check(points=2, gradients=("log_ratio",))
def test_beyond_the_clip_what_went_the_wrong_way_is_pulled_back_in_full(rng):
    """where ρ has gone against the advantage nothing is clipped, neither value nor gradient"""
    for shape in SHAPES:
        low = rng.uniform(0.05, 0.4)
        x = outside(rng, shape, low)
        yield pushed(x, -np.sign(x) * rng.uniform(0.2, 3, shape), low)
    x = outside(rng, (7,), 0.1, 6.0)
    yield pushed(x, -np.sign(x) * rng.uniform(1, 100, 7), 0.1)


@clipped_surrogate.check(points=1, gradients=("log_ratio",))
def test_the_clip_may_be_wider_above_than_below(rng):
    """ε_high bounds the ratio above, ε_low below; one alone serves both"""
    for shape in SHAPES:
        low, high = rng.permutation([rng.uniform(0.05, 0.2), rng.uniform(0.35, 0.6)])
        x, a = rng.uniform(-1.2, 0.9, shape), 2 * rng.normal(size=shape)
        yield pushed(x, a, float(low), float(high))
        yield pushed(x, a, float(high))
    yield pushed(rng.uniform(-0.5, 0.5, 6), rng.normal(size=6), 0.3, 0.0)


@clipped_surrogate.check(points=1, gradients=("log_ratio", "advantage"))
def test_no_gradient_of_the_surrogate_reaches_the_advantage(rng):
    for shape in ((7,), (3, 5), (2, 3, 4)):
        yield pushed(0.4 * rng.normal(size=shape), rng.normal(size=shape), rng.uniform(0.1, 0.3))
    yield pushed(0.4 * rng.normal(size=6), 0 * rng.normal(size=6), 0.2)


def bounds(epsilon_low, epsilon_high):
    return 1 - epsilon_low, 1 + (epsilon_low if epsilon_high is None else epsilon_high)


@clipped_surrogate.misconception("The smaller of the two is the cautious one: min, not max.")
def min_and_max_swapped(log_ratio, advantage, epsilon_low, epsilon_high=None):
    rho, a = log_ratio.exp(), advantage.detach()
    return torch.maximum(rho * a, rho.clamp(*bounds(epsilon_low, epsilon_high)) * a)


@clipped_surrogate.misconception(
    "Clipping alone also stops what must be undone: take the minimum with ρ Â."
)
def clips_without_the_minimum(log_ratio, advantage, epsilon_low, epsilon_high=None):
    return log_ratio.exp().clamp(*bounds(epsilon_low, epsilon_high)) * advantage.detach()


@clipped_surrogate.misconception("Without the clip nothing holds the new policy near the old one.")
def clips_nothing(log_ratio, advantage, epsilon_low, epsilon_high=None):
    return log_ratio.exp() * advantage.detach()


@clipped_surrogate.misconception("The ratio is inverted: it is exp(log ρ), new over old.")
def inverts_the_ratio(log_ratio, advantage, epsilon_low, epsilon_high=None):
    return ppo_losses.clipped_surrogate(-log_ratio, advantage, epsilon_low, epsilon_high)


@clipped_surrogate.misconception("What comes in is log ρ: the ratio is its exp.")
def takes_the_log_for_the_ratio(log_ratio, advantage, epsilon_low, epsilon_high=None):
    a = advantage.detach()
    return torch.minimum(log_ratio * a, log_ratio.clamp(*bounds(epsilon_low, epsilon_high)) * a)


@clipped_surrogate.misconception(
    "The advantage is a weight: .detach() it, or its own parameters are trained to flatter."
)
def gradient_through_the_weight(log_ratio, advantage, epsilon_low, epsilon_high=None):
    rho = log_ratio.exp()
    near = rho.clamp(*bounds(epsilon_low, epsilon_high))
    return torch.minimum(rho * advantage, near * advantage)


@clipped_surrogate.misconception("The bounds may differ: above it is 1 + ε_high.")
def takes_one_bound_for_both(log_ratio, advantage, epsilon_low, epsilon_high=None):
    return ppo_losses.clipped_surrogate(log_ratio, advantage, epsilon_low)


@clipped_surrogate.misconception("ε_low bounds the ratio below, ε_high above: they are swapped.")
def swaps_the_bounds(log_ratio, advantage, epsilon_low, epsilon_high=None):
    high = epsilon_low if epsilon_high is None else epsilon_high
    return ppo_losses.clipped_surrogate(log_ratio, advantage, high, epsilon_low)


@clipped_surrogate.misconception("`or` takes 0 for not given: ask whether ε_high is None.")
def takes_zero_for_none(log_ratio, advantage, epsilon_low, epsilon_high=None):
    return ppo_losses.clipped_surrogate(
        log_ratio, advantage, epsilon_low, epsilon_high or epsilon_low
    )


@clipped_surrogate.misconception("The ratio is clipped to 1 ± ε, not its log to ± ε.")
def clips_the_log(log_ratio, advantage, epsilon_low, epsilon_high=None):
    low, high = bounds(epsilon_low, epsilon_high)
    a = advantage.detach()
    return torch.minimum(log_ratio.exp() * a, log_ratio.clamp(low - 1, high - 1).exp() * a)


@clipped_surrogate.misconception("The lower bound is 1 - ε, not 1/(1 + ε).")
def takes_the_inverse_for_the_lower_bound(log_ratio, advantage, epsilon_low, epsilon_high=None):
    low, high = bounds(epsilon_low, epsilon_high)
    rho, a = log_ratio.exp(), advantage.detach()
    return torch.minimum(rho * a, rho.clamp(1 / (2 - low), high) * a)


@clipped_surrogate.misconception(
    "The clip stops gradients on one side of each advantage only: no mask over all that is far."
)
def stops_every_gradient_beyond_the_clip(log_ratio, advantage, epsilon_low, epsilon_high=None):
    low, high = bounds(epsilon_low, epsilon_high)
    rho, a = log_ratio.exp(), advantage.detach()
    near = (rho >= low) & (rho <= high)
    kept = torch.where(near, rho, rho.detach())
    return torch.minimum(kept * a, kept.clamp(low, high) * a)


@clipped_surrogate.misconception(
    "Multiply before you compare: for Â < 0 the smaller ratio makes the larger product."
)
def compares_ratios_before_weighing(log_ratio, advantage, epsilon_low, epsilon_high=None):
    rho = log_ratio.exp()
    near = rho.clamp(*bounds(epsilon_low, epsilon_high))
    return torch.minimum(rho, near) * advantage.detach()


@clipped_surrogate.misconception("A surrogate is to be made large: the minus belongs to the loss.")
def turns_the_surrogate_round(log_ratio, advantage, epsilon_low, epsilon_high=None):
    return -ppo_losses.clipped_surrogate(log_ratio, advantage, epsilon_low, epsilon_high)


@clipped_surrogate.misconception("Element by element: whoever calls it takes the mean.")
def averages_the_surrogate(log_ratio, advantage, epsilon_low, epsilon_high=None):
    return ppo_losses.clipped_surrogate(log_ratio, advantage, epsilon_low, epsilon_high).mean(-1)


@clipped_surrogate.misconception(
    "The gradient runs through ρ: with it detached the policy never moves."
)
def detaches_the_ratio(log_ratio, advantage, epsilon_low, epsilon_high=None):
    found = ppo_losses.clipped_surrogate(log_ratio, advantage, epsilon_low, epsilon_high)
    return found.detach() + 0 * log_ratio


@clipped_surrogate.control
def surrogate_by_cases(log_ratio, advantage, epsilon_low, epsilon_high=None):
    low, high = bounds(epsilon_low, epsilon_high)
    with torch.no_grad():
        a = advantage.clone()
        edge = low + (a > 0).to(a.dtype) * (high - low)
        done = torch.where(a > 0, log_ratio.exp() > high, log_ratio.exp() < low)
    return torch.where(done, edge * a, log_ratio.exp() * a)


@clipped_surrogate.control
def surrogate_from_parts_of_each_sign(log_ratio, advantage, epsilon_low, epsilon_high=None):
    low, high = bounds(epsilon_low, epsilon_high)
    a, rho = advantage.detach(), torch.exp(log_ratio)
    return rho.clamp(max=high) * a.clamp(min=0) + rho.clamp(min=low) * a.clamp(max=0)


# ------------------------------------------------------------------------------- values

clipped_value_loss = exercise(
    ppo_losses.clipped_value_loss,
    nudge="Two predictions, v and the one that stays near v_old. Which of their errors counts?",
    worked={
        "v": torch.tensor([2.0, 2.0], dtype=torch.float64),
        "v_old": torch.tensor([0.0, 0.0], dtype=torch.float64),
        "target": torch.tensor([1.0, 3.0], dtype=torch.float64),
        "epsilon": 0.5,
    },
)


def valued(rng, shape, far=1.0, size=1.0, epsilon=None):
    """Values that have moved by up to `far` clips, and targets on either side."""
    epsilon = rng.uniform(0.1, 0.6) if epsilon is None else epsilon
    old = size * rng.normal(size=shape)
    side = rng.permutation(np.arange(int(np.prod(shape))) % 2 * 2 - 1).reshape(shape)
    moved = side * epsilon * rng.uniform(max(far - 1, 0.1), 0.9 * far, shape)
    goal = old + moved + size * rng.normal(size=shape)
    parts = {"v": old + moved, "v_old": old, "target": goal}
    return {name: tensor(x) for name, x in parts.items()} | {"epsilon": epsilon}


@clipped_value_loss.check(points=1, gradients=("v",))
def test_a_value_that_stayed_near_counts_half_its_squared_error(rng):
    for shape in SHAPES:
        yield valued(rng, shape)
    yield valued(rng, (6,), size=100.0)


@clipped_value_loss.check(points=2, gradients=("v",))
def test_a_value_that_went_far_counts_the_larger_of_two_errors(rng):
    """beyond the clip the larger error counts: v's own, or that of v_old ± ε, with gradient 0"""
    for shape in SHAPES:
        for far in (2.0, 5.0):
            yield valued(rng, shape, far)
    case = valued(rng, (7,), 3.0)
    yield case | {"target": case["v_old"] + 4 * (case["v"] - case["v_old"])}
    yield case | {"target": case["v_old"] - (case["v"] - case["v_old"])}


@clipped_value_loss.check(points=1, gradients=("v",))
def test_the_clip_of_values_may_be_narrow_or_so_wide_that_it_does_nothing(rng):
    """with ε so large that nothing is clipped half the squared error is left"""
    for shape, epsilon in (((5,), np.inf), ((2, 3), 0.01), ((4, 2, 3), 1e-3)):
        case = valued(rng, shape, 1.0, epsilon=0.5)
        yield case | {"epsilon": epsilon}
    yield valued(rng, (4,), 4.0, size=FAR, epsilon=10.0)


@clipped_value_loss.check(points=1, gradients=("v", "v_old", "target"))
def test_no_gradient_of_the_value_loss_reaches_old_values_or_targets(rng):
    for shape in ((9,), (3, 4)):
        for far in (1.0, 3.0):
            yield valued(rng, shape, far)


def near_old(v, v_old, epsilon):
    return v_old.detach() + (v - v_old.detach()).clamp(-epsilon, epsilon)


@clipped_value_loss.misconception("The larger error counts, or a value could hide in the clip.")
def takes_the_smaller_error(v, v_old, target, epsilon):
    g = target.detach()
    return torch.minimum((v - g) ** 2, (near_old(v, v_old, epsilon) - g) ** 2) / 2


@clipped_value_loss.misconception(
    "The clipped value alone has no gradient where it moved away: v's own error may count more."
)
def counts_the_clipped_value_alone(v, v_old, target, epsilon):
    return (near_old(v, v_old, epsilon) - target.detach()) ** 2 / 2


@clipped_value_loss.misconception("Nothing is clipped: v_old and ε aren't used.")
def clips_no_value(v, v_old, target, epsilon):
    return (v - target.detach()) ** 2 / 2


@clipped_value_loss.misconception("Half the squared error: the ½ is missing.")
def forgets_the_half(v, v_old, target, epsilon):
    return 2 * ppo_losses.clipped_value_loss(v, v_old, target, epsilon)


@clipped_value_loss.misconception("It is the step v - v_old that is clipped to ± ε, not v itself.")
def clips_the_value_itself(v, v_old, target, epsilon):
    g = target.detach()
    return torch.maximum((v - g) ** 2, (v.clamp(-epsilon, epsilon) - g) ** 2) / 2


@clipped_value_loss.misconception("A value is clipped to v_old ± ε, a ratio to 1 ± ε.")
def clips_by_a_share_of_the_old_value(v, v_old, target, epsilon):
    old, g = v_old.detach(), target.detach()
    near = old + (v - old).clamp(-epsilon * old.abs(), epsilon * old.abs())
    return torch.maximum((v - g) ** 2, (near - g) ** 2) / 2


@clipped_value_loss.misconception("Targets are data: .detach() them.")
def gradient_through_the_target(v, v_old, target, epsilon):
    near = near_old(v, v_old, epsilon)
    return torch.maximum((v - target) ** 2, (near - target) ** 2) / 2


@clipped_value_loss.misconception("v_old is what v was: data. .detach() it.")
def gradient_through_the_old_value(v, v_old, target, epsilon):
    g, near = target.detach(), v_old + (v - v_old).clamp(-epsilon, epsilon)
    return torch.maximum((v - g) ** 2, (near - g) ** 2) / 2


@clipped_value_loss.misconception("Square first, then compare: a large error below 0 is large too.")
def compares_signed_errors(v, v_old, target, epsilon):
    g = target.detach()
    return torch.maximum(v - g, near_old(v, v_old, epsilon) - g) ** 2 / 2


@clipped_value_loss.misconception("Errors count squared, not by their size.")
def takes_the_size_of_the_error(v, v_old, target, epsilon):
    g = target.detach()
    return torch.maximum((v - g).abs(), (near_old(v, v_old, epsilon) - g).abs()) / 2


@clipped_value_loss.misconception("Element by element: whoever calls it takes the mean.")
def averages_the_value_loss(v, v_old, target, epsilon):
    return ppo_losses.clipped_value_loss(v, v_old, target, epsilon).mean(-1)


@clipped_value_loss.misconception("The loss moves v, not v_old: the clip is around v_old.")
def swaps_new_and_old(v, v_old, target, epsilon):
    return ppo_losses.clipped_value_loss(v_old, v, target, epsilon)


@clipped_value_loss.misconception("A mean of both errors is no bound: the larger one counts.")
def averages_both_errors(v, v_old, target, epsilon):
    g = target.detach()
    return ((v - g) ** 2 + (near_old(v, v_old, epsilon) - g) ** 2) / 4


@clipped_value_loss.control
def value_loss_by_cases(v, v_old, target, epsilon):
    with torch.no_grad():
        edge = torch.minimum(torch.maximum(v, v_old - epsilon), v_old + epsilon)
        stuck = (edge - target).abs() > (v - target).abs()
        constant = (edge - target) ** 2 / 2
        g = target.clone()
    return torch.where(stuck, constant, 0.5 * (v - g) * (v - g))


@clipped_value_loss.control
def value_loss_from_the_larger_size(v, v_old, target, epsilon):
    old, g = v_old.detach(), target.detach()
    near = v.clamp(old - epsilon, old + epsilon)
    errors = torch.stack([(v - g).abs(), (near - g).abs()])
    return errors.amax(0).square().mul(0.5)


# ------------------------------------------------------------------------------- divergence

kl_estimates = exercise(
    ppo_losses.kl_estimates,
    nudge="The samples are the old policy's: KL(π_old ‖ π) = E_old[log π_old - log π]. What has "
    "the mean 0 under π_old, so that it may be added?",
    worked={"log_ratio": torch.tensor([0.5, -0.5], dtype=torch.float64)},
)


def ratios(x):
    return {"log_ratio": tensor(x)}


@kl_estimates.check(points=2, gradients=("log_ratio",))
def test_the_three_estimates_of_a_divergence(rng):
    """k1 = -log ρ, k2 is half the square of it, and k3 = ρ - 1 - log ρ"""
    for shape in SHAPES:
        yield ratios(rng.normal(size=shape))
    yield ratios(rng.uniform(0.3, 1.5, (5, 2)) * np.array([1, -1]))


@kl_estimates.check(points=1, gradients=("log_ratio",))
def test_the_third_estimate_of_a_divergence_is_never_negative(rng):
    """k3 is 0 where both policies agree and positive elsewhere, however far they are apart"""
    x = rng.normal(size=(4, 5))
    yield ratios(np.where(some_of(rng, 4, 2)[:, None], 0.0, x))
    yield ratios(10 * rng.normal(size=7))
    yield ratios(np.array([0.0]))
    yield ratios(rng.permutation([-30.0, 15.0, 3.0, -2.0]))


@kl_estimates.check(points=1, gradients=("log_ratio",))
def test_estimates_of_a_divergence_are_made_sample_by_sample(rng):
    for shape in ((3, 7), (2, 1, 6), (5, 4), (1, 9)):
        yield ratios(0.3 * rng.normal(size=shape) + 0.1)


def three(x):
    return ppo_losses.kl_estimates(x)


@kl_estimates.misconception("log ρ is log π - log π_old: k1 is minus it.")
def forgets_the_minus_of_k1(log_ratio):
    return three(log_ratio)._replace(k1=log_ratio)


@kl_estimates.misconception("The samples are π_old's: the ratio is π over π_old, not its inverse.")
def turns_the_divergence_round(log_ratio):
    return three(-log_ratio)


@kl_estimates.misconception("k3 = ρ - 1 - log ρ with ρ itself: the inverse serves samples of π.")
def takes_the_inverse_ratio_in_k3(log_ratio):
    return three(log_ratio)._replace(k3=three(-log_ratio).k3)


@kl_estimates.misconception("k2 is half the square: the ½ is missing.")
def forgets_the_half_of_k2(log_ratio):
    return three(log_ratio)._replace(k2=log_ratio**2)


@kl_estimates.misconception("k2 is the square of log ρ, not of ρ - 1.")
def squares_the_ratio_itself(log_ratio):
    return three(log_ratio)._replace(k2=(log_ratio.exp() - 1) ** 2 / 2)


@kl_estimates.misconception("The 1 is missing: E_old[ρ] is 1, and has to be taken off.")
def forgets_to_take_one_off(log_ratio):
    return three(log_ratio)._replace(k3=log_ratio.exp() - log_ratio)


@kl_estimates.misconception("k3 adds ρ - 1, of mean 0, to k1: the log is taken off, not added.")
def adds_the_log_in_k3(log_ratio):
    return three(log_ratio)._replace(k3=torch.expm1(log_ratio) + log_ratio)


@kl_estimates.misconception("k3 = ρ - 1 - log ρ: log ρ is missing.")
def takes_the_ratio_alone(log_ratio):
    return three(log_ratio)._replace(k3=torch.expm1(log_ratio))


@kl_estimates.misconception("A single k1 may be negative: clamped it has another mean.")
def clamps_k1_at_zero(log_ratio):
    return three(log_ratio)._replace(k1=(-log_ratio).clamp(min=0))


@kl_estimates.misconception("The size of k1 has another mean: keep its sign.")
def takes_the_size_of_k1(log_ratio):
    return three(log_ratio)._replace(k1=log_ratio.abs())


@kl_estimates.misconception("One estimate for each sample: whoever calls it takes the mean.")
def averages_the_estimates(log_ratio):
    return KlEstimates(*(k.mean(-1) for k in three(log_ratio)))


@kl_estimates.misconception("The order is k1, k2, k3.")
def mixes_up_the_order(log_ratio):
    k1, k2, k3 = three(log_ratio)
    return KlEstimates(k1, k3, k2)


@kl_estimates.misconception(
    "Weighing by ρ makes it the divergence of π from π_old: no weight here."
)
def weighs_the_log_by_the_ratio(log_ratio):
    return three(log_ratio)._replace(k1=log_ratio.exp() * log_ratio)


@kl_estimates.misconception("They are functions of log ρ: with it detached none has a gradient.")
def estimates_without_a_gradient(log_ratio):
    return KlEstimates(*(k.detach() + 0 * log_ratio for k in three(log_ratio)))


@kl_estimates.control
def estimates_from_the_ratio(log_ratio):
    rho = log_ratio.exp()
    return KlEstimates(0 - log_ratio, 0.5 * log_ratio * log_ratio, rho - 1 - log_ratio)


@kl_estimates.control
def estimates_built_on_each_other(log_ratio):
    k1 = log_ratio.neg()
    return KlEstimates(k1, k1.square().div(2), k1 + torch.special.expm1(-k1))


# ------------------------------------------------------------------------------- loss

ppo_loss = exercise(
    ppo_losses.ppo_loss,
    nudge="Three means with three signs: what should grow, what should grow a little, and what "
    "should shrink? Which of the tensors are data?",
    worked={
        "log_prob": torch.tensor([0.5, 0.5], dtype=torch.float64).log(),
        "entropy": torch.tensor([0.6, 0.4], dtype=torch.float64),
        "value_loss": torch.tensor([1.0, 3.0], dtype=torch.float64),
        "log_prob_old": torch.tensor([0.25, 0.5], dtype=torch.float64).log(),
        "advantage": torch.tensor([1.0, -1.0], dtype=torch.float64),
        "epsilon": 0.2,
        "value_weight": 0.5,
        "beta": 0.1,
    },
)
POLICY = ("log_prob",)
TENSORS = ("log_prob", "entropy", "value_loss", "log_prob_old", "advantage")


def batch(rng, *shape, apart=0.5, **numbers):
    """Samples of either advantage, whose ratios lie within the clip and beyond it on both sides."""
    old = np.log(rng.uniform(0.05, 0.95, shape))
    parts = {
        "log_prob": old + apart * rng.normal(size=shape),
        "entropy": rng.uniform(0.1, 1.5, shape),
        "value_loss": rng.uniform(0.1, 4.0, shape),
        "log_prob_old": old,
        "advantage": 2 * rng.normal(size=shape) + 0.3,
    }
    known = {"epsilon": rng.uniform(0.1, 0.35), "value_weight": rng.uniform(0.2, 1.5)}
    case = {name: tensor(x) for name, x in parts.items()}
    return case | known | {"beta": rng.uniform(0.02, 0.5)} | numbers


@ppo_loss.check(points=2, gradients=POLICY)
def test_the_ppo_loss_descends_the_clipped_surrogate(rng):
    """without the other two terms the loss is minus the mean of the clipped surrogate"""
    for shape in ((8,), (5,), (12,)):
        yield batch(rng, *shape, value_weight=0.0, beta=0.0)
    case = batch(rng, 9, value_weight=0, beta=0, apart=2.0)
    yield case | {"advantage": -case["advantage"].abs()}
    yield case | {"advantage": case["advantage"].abs()}


@ppo_loss.check(points=1, gradients=POLICY)
def test_the_ppo_loss_of_an_unmoved_policy_still_has_its_gradient(rng):
    """where the policy hasn't moved the ratio is 1, and the gradient that of REINFORCE"""
    for shape in ((7,), (2, 5)):
        yield batch(rng, *shape, apart=0.0)
        yield batch(rng, *shape, apart=0.02)


@ppo_loss.check(points=2, gradients=("log_prob", "entropy", "value_loss"))
def test_the_ppo_loss_pays_for_entropy_and_charges_for_wrong_values(rng):
    for shape in ((6,), (4, 3), (1,)):
        yield batch(rng, *shape)
    yield batch(rng, 5, beta=2, value_weight=1)


@ppo_loss.check(points=1, gradients=POLICY)
def test_the_ppo_loss_of_each_learner_is_a_mean_over_its_own_samples(rng):
    for shape in ((4, 6), (1, 5), (3, 1), (2, 3, 7)):
        yield batch(rng, *shape)
    yield batch(rng, 3, 4, apart=3.0) | {"advantage": tensor(FAR * rng.normal(size=(3, 4)))}


@ppo_loss.check(points=1, gradients=TENSORS)
def test_no_gradient_of_the_ppo_loss_reaches_what_is_data(rng):
    """no gradient reaches old log-probabilities or advantages"""
    for shape in ((8,), (3, 5), (2, 4, 3)):
        yield batch(rng, *shape)


def whole(surrogate, entropy, value_loss, value_weight, beta):
    return (value_weight * value_loss - surrogate - beta * entropy).mean(-1)


def clip_of(log_prob, log_prob_old, advantage, epsilon):
    return ppo_losses.clipped_surrogate(log_prob - log_prob_old.detach(), advantage, epsilon)


@ppo_loss.misconception(
    "The ratio is inverted: log π - log π_old, so that it grows as the action becomes likelier."
)
def ratio_inverted(
    log_prob, entropy, value_loss, log_prob_old, advantage, epsilon, value_weight, beta
):
    gain = ppo_losses.clipped_surrogate(log_prob_old.detach() - log_prob, advantage, epsilon)
    return whole(gain, entropy, value_loss, value_weight, beta)


@ppo_loss.misconception(
    "Entropy is paid for, so the loss falls as it grows: - β H. With a plus the policy is pressed "
    "to be sure."
)
def sign_of_the_entropy_bonus(
    log_prob, entropy, value_loss, log_prob_old, advantage, epsilon, value_weight, beta
):
    gain = clip_of(log_prob, log_prob_old, advantage, epsilon)
    return whole(gain, entropy, value_loss, value_weight, -beta)


@ppo_loss.misconception("The value loss is to shrink: it is added.")
def sign_of_the_value_loss(
    log_prob, entropy, value_loss, log_prob_old, advantage, epsilon, value_weight, beta
):
    gain = clip_of(log_prob, log_prob_old, advantage, epsilon)
    return whole(gain, entropy, value_loss, -value_weight, beta)


@ppo_loss.misconception(
    "When the minus is moved inside, min becomes max: -min(x, y) = max(-x, -y)."
)
def keeps_min_under_the_minus(
    log_prob, entropy, value_loss, log_prob_old, advantage, epsilon, value_weight, beta
):
    rho, a = (log_prob - log_prob_old.detach()).exp(), advantage.detach()
    gain = torch.maximum(rho * a, rho.clamp(1 - epsilon, 1 + epsilon) * a)
    return whole(gain, entropy, value_loss, value_weight, beta)


@ppo_loss.misconception(
    "The advantage is a weight: .detach() it, or its own parameters are trained to flatter."
)
def gradient_through_the_advantage(
    log_prob, entropy, value_loss, log_prob_old, advantage, epsilon, value_weight, beta
):
    rho = (log_prob - log_prob_old.detach()).exp()
    gain = torch.minimum(rho * advantage, rho.clamp(1 - epsilon, 1 + epsilon) * advantage)
    return whole(gain, entropy, value_loss, value_weight, beta)


@ppo_loss.misconception(
    "The old log-probabilities are those of when the actions were taken. Recomputed with the "
    "policy of now the ratio is always 1, and nothing is ever clipped."
)
def old_log_probabilities_recomputed(
    log_prob, entropy, value_loss, log_prob_old, advantage, epsilon, value_weight, beta
):
    gain = clip_of(log_prob, log_prob, advantage, epsilon)
    return whole(gain, entropy, value_loss, value_weight, beta)


@ppo_loss.misconception("The old policy is past: .detach() its log-probabilities.")
def gradient_through_the_old_policy(
    log_prob, entropy, value_loss, log_prob_old, advantage, epsilon, value_weight, beta
):
    gain = ppo_losses.clipped_surrogate(log_prob - log_prob_old, advantage, epsilon)
    return whole(gain, entropy, value_loss, value_weight, beta)


@ppo_loss.misconception("With a sum the step grows with the batch: take the mean.")
def sums_the_samples(
    log_prob, entropy, value_loss, log_prob_old, advantage, epsilon, value_weight, beta
):
    gain = clip_of(log_prob, log_prob_old, advantage, epsilon)
    return whole(gain, entropy, value_loss, value_weight, beta) * log_prob.shape[-1]


@ppo_loss.misconception("Leading axes are learners: the mean goes over the last axis alone.")
def averages_over_the_learners(
    log_prob, entropy, value_loss, log_prob_old, advantage, epsilon, value_weight, beta
):
    gain = clip_of(log_prob, log_prob_old, advantage, epsilon)
    return (value_weight * value_loss - gain - beta * entropy).mean()


@ppo_loss.misconception("Nothing is clipped: from the second step on the policy may run away.")
def clips_no_ratio(
    log_prob, entropy, value_loss, log_prob_old, advantage, epsilon, value_weight, beta
):
    gain = (log_prob - log_prob_old.detach()).exp() * advantage.detach()
    return whole(gain, entropy, value_loss, value_weight, beta)


@ppo_loss.misconception("The clip alone also stops what must be undone: take the minimum.")
def clips_the_ratio_alone(
    log_prob, entropy, value_loss, log_prob_old, advantage, epsilon, value_weight, beta
):
    rho = (log_prob - log_prob_old.detach()).exp()
    gain = rho.clamp(1 - epsilon, 1 + epsilon) * advantage.detach()
    return whole(gain, entropy, value_loss, value_weight, beta)


@ppo_loss.misconception(
    "That is REINFORCE's loss, right for one step only: samples of an old policy count by ρ."
)
def takes_the_log_probability(
    log_prob, entropy, value_loss, log_prob_old, advantage, epsilon, value_weight, beta
):
    return whole(log_prob * advantage.detach(), entropy, value_loss, value_weight, beta)


@ppo_loss.misconception("An optimizer goes down: the surrogate enters the loss with a minus.")
def sign_of_the_surrogate(
    log_prob, entropy, value_loss, log_prob_old, advantage, epsilon, value_weight, beta
):
    gain = clip_of(log_prob, log_prob_old, advantage, epsilon)
    return whole(-gain, entropy, value_loss, value_weight, beta)


@ppo_loss.misconception("Scaling advantages is the caller's: use them as they come.")
def scales_the_advantages(
    log_prob, entropy, value_loss, log_prob_old, advantage, epsilon, value_weight, beta
):
    scaled = advantage - advantage.mean(-1, keepdim=True)
    scaled = scaled / (advantage.std(-1, correction=0, keepdim=True) + 1e-8)
    gain = clip_of(log_prob, log_prob_old, scaled, epsilon)
    return whole(gain, entropy, value_loss, value_weight, beta)


@ppo_loss.misconception("β weighs the entropy, c the value loss: they are swapped.")
def swaps_the_weights(
    log_prob, entropy, value_loss, log_prob_old, advantage, epsilon, value_weight, beta
):
    gain = clip_of(log_prob, log_prob_old, advantage, epsilon)
    return whole(gain, entropy, value_loss, beta, value_weight)


@ppo_loss.control
def loss_term_by_term(
    log_prob, entropy, value_loss, log_prob_old, advantage, epsilon, value_weight, beta
):
    with torch.no_grad():
        past, a = log_prob_old.clone(), advantage.clone()
    rho = torch.exp(log_prob - past)
    worse = torch.maximum(-a * rho, -a * rho.clamp(1 - epsilon, 1 + epsilon))
    return worse.mean(-1) - beta * entropy.mean(-1) + value_weight * value_loss.mean(-1)


@ppo_loss.control
def loss_sample_by_sample(
    log_prob, entropy, value_loss, log_prob_old, advantage, epsilon, value_weight, beta
):
    total = 0.0
    for i in range(log_prob.shape[-1]):
        a = advantage[..., i].detach()
        rho = (log_prob[..., i] - log_prob_old[..., i].detach()).exp()
        best = torch.where(a > 0, rho.clamp(max=1 + epsilon), rho.clamp(min=1 - epsilon))
        total = total - best * a + value_weight * value_loss[..., i] - beta * entropy[..., i]
    return total / log_prob.shape[-1]


# ------------------------------------------------------------------------------- natural step

natural_step = exercise(
    trust_region.natural_step,
    nudge="First the direction in which F x = g. How long may it be, if ½ xᵀ F x = δ?",
    worked={
        "gradient": np.array([1.0, 1.0]),
        "fisher": np.diag([1.0, 4.0]),
        "delta": 0.1,
    },
)


def steep(rng, d, *leading, size=1.0, delta=None):
    """A gradient, and a Fisher matrix that is as positive as a mean of D + 3 squares."""
    x = rng.normal(size=(*leading, d + 3, d)) * rng.uniform(0.3, 3.0, size=d)
    fisher = np.swapaxes(x, -1, -2) @ x / (d + 3) + 0.05 * np.eye(d)
    return {
        "gradient": size * rng.normal(size=(*leading, d)),
        "fisher": fisher,
        "delta": rng.uniform(0.01, 0.3) if delta is None else delta,
    }


@natural_step.check(points=2)
def test_the_natural_step_solves_with_the_fisher_matrix(rng):
    for d in (3, 7, 2, 5):
        yield steep(rng, d)
    yield steep(rng, 4) | {"fisher": np.diag(rng.uniform(0.1, 5.0, 4))}


@natural_step.check(points=1)
def test_the_natural_step_has_the_length_that_was_asked_for(rng):
    """½ xᵀ F x is δ, however large the gradient"""
    for d, size, delta in (
        (3, 100.0, 0.5),
        (4, 0.01, 0.01),
        (2, FAR, 1e-3),
        (1, 3.0, 2),
        (5, 1e-6, 0.1),
    ):
        yield steep(rng, d, size=size, delta=delta)


@natural_step.check(points=1)
def test_each_learner_has_a_natural_step_of_its_own(rng):
    for d, leading in ((3, (5,)), (4, (2, 3)), (2, (1,)), (5, (4,))):
        yield steep(rng, d, *leading)
    case = steep(rng, 3, 4)
    yield case | {"gradient": case["gradient"] * np.array([1.0, 30.0, 0.01, 5.0])[:, None]}


@natural_step.check(points=1)
def test_the_natural_step_is_none_where_there_is_no_gradient(rng):
    """where the gradient is 0 so is the step"""
    case = steep(rng, 3, 5)
    yield case | {"gradient": case["gradient"] * some_of(rng, 5, 2)[:, None]}
    case = steep(rng, 4)
    yield case | {"gradient": 0 * case["gradient"]}
    yield steep(rng, 2) | {"gradient": np.array([0.0, 1.5])}


def direction(gradient, fisher):
    return np.linalg.solve(fisher, gradient[..., None])[..., 0]


def stretch(x, steepness, delta):
    """x with the scale √(2δ / steepness), 0 where nothing rises."""
    safe = np.where(steepness > 0, steepness, np.inf)
    return np.sqrt(2 * delta / safe)[..., None] * x


def dot(x, y):
    return (x * y).sum(-1)


@natural_step.misconception("Divide by F, don't multiply: the direction x solves F x = g.")
def multiplies_by_the_fisher_matrix(gradient, fisher, delta):
    x = (fisher @ gradient[..., None])[..., 0]
    return stretch(x, dot(gradient, x), delta)


@natural_step.misconception(
    "The gradient itself, if only of the right length, still measures directions in parameters."
)
def stretches_the_plain_gradient(gradient, fisher, delta):
    along = (fisher @ gradient[..., None])[..., 0]
    return stretch(gradient, dot(gradient, along), delta)


@natural_step.misconception("½ xᵀ F x = δ: the 2 under the root is missing.")
def forgets_the_two(gradient, fisher, delta):
    return trust_region.natural_step(gradient, fisher, delta / 2)


@natural_step.misconception("The length enters squared: take the root of 2δ / gᵀF⁻¹g.")
def forgets_the_root(gradient, fisher, delta):
    x = direction(gradient, fisher)
    steepness = dot(gradient, x)
    safe = np.where(steepness > 0, steepness, np.inf)
    return (2 * delta / safe)[..., None] * x


@natural_step.misconception("δ bounds the divergence of policies, not the length in parameters.")
def measures_the_step_in_parameters(gradient, fisher, delta):
    x = direction(gradient, fisher)
    return stretch(x, dot(x, x), delta)


@natural_step.misconception("The scale has xᵀ F x = gᵀF⁻¹g under the root, not gᵀg.")
def scales_by_the_plain_gradient(gradient, fisher, delta):
    return stretch(direction(gradient, fisher), dot(gradient, gradient), delta)


@natural_step.misconception("The scale is missing: F⁻¹g alone grows with the rewards' size.")
def leaves_the_length_to_chance(gradient, fisher, delta):
    return direction(gradient, fisher)


@natural_step.misconception("Uphill: the surrogate is to grow, so no minus.")
def steps_downhill(gradient, fisher, delta):
    return -trust_region.natural_step(gradient, fisher, delta)


@natural_step.misconception(
    "F isn't diagonal: parameters that act together share its other entries."
)
def takes_the_diagonal_alone(gradient, fisher, delta):
    x = gradient / np.diagonal(fisher, axis1=-2, axis2=-1)
    return stretch(x, dot(gradient, x), delta)


@natural_step.misconception("1/F entry by entry is no inverse: solve F x = g.")
def inverts_each_entry(gradient, fisher, delta):
    x = ((1 / fisher) @ gradient[..., None])[..., 0]
    return stretch(x, np.abs(dot(gradient, x)), delta)


@natural_step.misconception("0 divided by 0 is NaN: where the gradient is 0 the step is 0.")
def divides_by_no_gradient(gradient, fisher, delta):
    x = direction(gradient, fisher)
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.sqrt(2 * delta / dot(gradient, x))[..., None] * x


@natural_step.misconception(
    "A small constant under the root changes the length: ask for 0 instead."
)
def adds_a_little_under_the_root(gradient, fisher, delta):
    x = direction(gradient, fisher)
    return np.sqrt(2 * delta / (dot(gradient, x) + 1e-4))[..., None] * x


@natural_step.misconception("Each learner's step has a scale of its own: sum over D alone.")
def scales_all_learners_alike(gradient, fisher, delta):
    x = direction(gradient, fisher)
    total = (gradient * x).sum()
    return np.sqrt(2 * delta / total) * x if total > 0 else 0 * x


@natural_step.control
def step_by_the_inverse(gradient, fisher, delta):
    x = np.einsum("...ij,...j->...i", np.linalg.inv(fisher), gradient)
    length = np.einsum("...i,...ij,...j->...", x, fisher, x)
    scale = np.sqrt(np.divide(2 * delta, length, out=np.zeros_like(length), where=length > 0))
    return scale[..., None] * x


@natural_step.control
def step_in_whitened_parameters(gradient, fisher, delta):
    root = np.linalg.cholesky(fisher)
    y = np.linalg.solve(root, gradient[..., None])
    size = np.sqrt((y**2).sum((-2, -1), keepdims=True))
    unit = np.divide(y, size, out=np.zeros_like(y), where=size > 0)
    return np.linalg.solve(np.swapaxes(root, -1, -2), np.sqrt(2 * delta) * unit)[..., 0]


# ------------------------------------------------------------------------------- by hand

ppo_logits_gradient = exercise(
    ppo_gradients.ppo_logits_gradient,
    nudge="∂ log π(a)/∂z = 1_a - π, and dρ = ρ d log π. For which samples is the clipped surrogate "
    "flat?",
    worked={
        "logits": np.array([[0.0, 0.0], [0.0, 0.0]]),
        "a": np.array([0, 1]),
        "log_prob_old": np.log(np.array([0.5, 0.25])),
        "advantage": np.array([2.0, 1.0]),
        "epsilon": 0.2,
        "beta": 0.0,
    },
)


def acted(rng, *shape, apart=0.4, size=1.0, epsilon=None, beta=None):
    """Logits (..., N, A) and actions of an older policy, with advantages of either sign."""
    logits, a = size * rng.normal(size=shape), rng.integers(shape[-1], size=shape[:-1])
    log_pi = np.take_along_axis(log_softmax(logits), a[..., None], -1)[..., 0]
    return {
        "logits": logits,
        "a": a,
        "log_prob_old": log_pi - apart * rng.normal(size=shape[:-1]),
        "advantage": 2 * rng.normal(size=shape[:-1]) + 0.3,
        "epsilon": rng.uniform(0.1, 0.35) if epsilon is None else epsilon,
        "beta": rng.uniform(0.05, 0.5) if beta is None else beta,
    }


def shifted(case, log_ratio):
    """The case with these log-ratios."""
    log_pi = np.take_along_axis(log_softmax(case["logits"]), case["a"][..., None], -1)[..., 0]
    return case | {"log_prob_old": log_pi - log_ratio}


@ppo_logits_gradient.check(points=2)
def test_samples_within_the_clip_push_the_logits_by_hand(rng):
    """within the clip a sample pushes by -ρ Â (1_a - π) / N"""
    for shape in ((5, 3), (3, 7), (8, 2), (1, 4)):
        case = acted(rng, *shape, epsilon=0.9, beta=0.0)
        yield shifted(case, 0.4 * rng.uniform(-1, 1, shape[:-1]))
    yield acted(rng, 6, 4, apart=0.0, beta=0)


@ppo_logits_gradient.check(points=2)
def test_samples_beyond_the_clip_push_the_logits_back_only(rng):
    """beyond the clip a sample pushes on only if it went the wrong way"""
    for shape in ((9, 3), (6, 4), (7, 2)):
        case = acted(rng, *shape, beta=0.0)
        x = outside(rng, shape[:-1], case["epsilon"])
        for away in (1.0, -1.0):
            push = away * np.sign(x) * rng.uniform(0.5, 2, shape[:-1])
            yield shifted(case, x) | {"advantage": push}
        yield shifted(case, x)


@ppo_logits_gradient.check(points=1)
def test_entropy_pushes_the_logits_of_every_sample(rng):
    """the bonus for entropy pushes towards equal probabilities, clipped or not"""
    for shape in ((5, 3), (4, 6)):
        yield acted(rng, *shape, size=2.0)
        case = acted(rng, *shape, beta=1)
        yield case | {"advantage": 0 * case["advantage"]}
        x = outside(rng, shape[:-1], case["epsilon"])
        yield shifted(case, x) | {"advantage": np.sign(x)}
    yield acted(rng, 7, 2, size=0.0)


@ppo_logits_gradient.check(points=1)
def test_logits_of_many_learners_and_of_any_size_have_gradients_by_hand(rng):
    """each learner's gradient is that of a mean over its own N samples, for logits of any size"""
    for shape in ((4, 6, 3), (1, 5, 2), (3, 1, 4), (2, 3, 5, 4), (7, 1)):
        yield acted(rng, *shape)
    yield acted(rng, 6, 4, size=300.0)
    case = acted(rng, 3, 5)
    yield case | {"logits": case["logits"] + FAR, "advantage": 100 * case["advantage"]}
    yield case | {"logits": case["logits"] - FAR}
    yield case | {"logits": case["logits"] + FAR * np.array([[1.0], [0.0], [-1.0]])}


def parts(logits, a, log_prob_old):
    """log π, π, 1_a and ρ."""
    log_pi = log_softmax(logits)
    taken = np.arange(logits.shape[-1]) == a[..., None]
    return log_pi, np.exp(log_pi), taken, np.exp((log_pi * taken).sum(-1) - log_prob_old)


def push_of(weight, logits, a, log_prob_old, beta):
    """The gradient with these weights in the place of m ρ Â."""
    log_pi, pi, taken, _ = parts(logits, a, log_prob_old)
    h = -(pi * log_pi).sum(-1, keepdims=True)
    return -(weight[..., None] * (taken - pi) - beta * pi * (log_pi + h)) / logits.shape[-2]


def is_open(rho, advantage, epsilon):
    return ppo_gradients.clip_is_open(rho, advantage, epsilon)


@ppo_logits_gradient.misconception("The gradient of a loss: it points where the surrogate falls.")
def points_uphill(logits, a, log_prob_old, advantage, epsilon, beta):
    return -ppo_gradients.ppo_logits_gradient(logits, a, log_prob_old, advantage, epsilon, beta)


@ppo_logits_gradient.misconception(
    "What went the wrong way must be undone: the mask depends on the advantage's sign."
)
def masks_both_sides(logits, a, log_prob_old, advantage, epsilon, beta):
    rho = parts(logits, a, log_prob_old)[3]
    weight = rho * advantage * (np.abs(rho - 1) <= epsilon)
    return push_of(weight, logits, a, log_prob_old, beta)


@ppo_logits_gradient.misconception("The mask is turned round: it stops what has gone far enough.")
def masks_the_wrong_side(logits, a, log_prob_old, advantage, epsilon, beta):
    rho = parts(logits, a, log_prob_old)[3]
    weight = rho * advantage * is_open(rho, -advantage, epsilon)
    return push_of(weight, logits, a, log_prob_old, beta)


@ppo_logits_gradient.misconception("Beyond the clip the surrogate is flat: the mask is missing.")
def masks_nothing(logits, a, log_prob_old, advantage, epsilon, beta):
    rho = parts(logits, a, log_prob_old)[3]
    return push_of(rho * advantage, logits, a, log_prob_old, beta)


@ppo_logits_gradient.misconception("dρ = ρ d log π: the factor ρ is missing.")
def forgets_the_ratio(logits, a, log_prob_old, advantage, epsilon, beta):
    rho = parts(logits, a, log_prob_old)[3]
    weight = advantage * is_open(rho, advantage, epsilon)
    return push_of(weight, logits, a, log_prob_old, beta)


@ppo_logits_gradient.misconception("The ratio is inverted: π over π_old.")
def inverts_the_ratio_by_hand(logits, a, log_prob_old, advantage, epsilon, beta):
    rho = 1 / parts(logits, a, log_prob_old)[3]
    weight = rho * advantage * is_open(rho, advantage, epsilon)
    return push_of(weight, logits, a, log_prob_old, beta)


@ppo_logits_gradient.misconception(
    "A clipped ratio is a constant: its gradient is 0, not (1 ± ε) Â."
)
def pushes_with_the_clipped_ratio(logits, a, log_prob_old, advantage, epsilon, beta):
    rho = parts(logits, a, log_prob_old)[3]
    weight = np.where(advantage > 0, np.minimum(rho, 1 + epsilon), np.maximum(rho, 1 - epsilon))
    return push_of(weight * advantage, logits, a, log_prob_old, beta)


@ppo_logits_gradient.misconception("A mean over N samples: divide by N.")
def forgets_to_divide(logits, a, log_prob_old, advantage, epsilon, beta):
    found = ppo_gradients.ppo_logits_gradient(logits, a, log_prob_old, advantage, epsilon, beta)
    return found * logits.shape[-2]


@ppo_logits_gradient.misconception("Divide by the N samples alone: A is no part of the mean.")
def divides_by_every_entry(logits, a, log_prob_old, advantage, epsilon, beta):
    found = ppo_gradients.ppo_logits_gradient(logits, a, log_prob_old, advantage, epsilon, beta)
    return found / logits.shape[-1]


@ppo_logits_gradient.misconception("Leading axes are learners, each with a mean over its own N.")
def divides_by_the_samples_of_all(logits, a, log_prob_old, advantage, epsilon, beta):
    found = ppo_gradients.ppo_logits_gradient(logits, a, log_prob_old, advantage, epsilon, beta)
    return found * logits.shape[-2] / a.size


@ppo_logits_gradient.misconception("Entropy is paid for: the loss has - β H.")
def charges_for_entropy(logits, a, log_prob_old, advantage, epsilon, beta):
    return ppo_gradients.ppo_logits_gradient(logits, a, log_prob_old, advantage, epsilon, -beta)


@ppo_logits_gradient.misconception(
    "π depends on every logit: ∂H/∂z = -π (log π + H), whose rows sum to 0. H is missing."
)
def forgets_the_entropy_in_its_gradient(logits, a, log_prob_old, advantage, epsilon, beta):
    log_pi, pi, taken, rho = parts(logits, a, log_prob_old)
    weight = rho * advantage * is_open(rho, advantage, epsilon)
    return -(weight[..., None] * (taken - pi) - beta * pi * log_pi) / logits.shape[-2]


@ppo_logits_gradient.misconception("That is ∂H/∂π: the chain rule through softmax is missing.")
def differentiates_by_the_probabilities(logits, a, log_prob_old, advantage, epsilon, beta):
    log_pi, pi, taken, rho = parts(logits, a, log_prob_old)
    weight = rho * advantage * is_open(rho, advantage, epsilon)
    return -(weight[..., None] * (taken - pi) - beta * (log_pi + 1)) / logits.shape[-2]


@ppo_logits_gradient.misconception("Every logit moves log π(a|s): the gradient is 1_a - π.")
def moves_the_action_taken_alone(logits, a, log_prob_old, advantage, epsilon, beta):
    log_pi, pi, taken, rho = parts(logits, a, log_prob_old)
    weight = rho * advantage * is_open(rho, advantage, epsilon)
    h = -(pi * log_pi).sum(-1, keepdims=True)
    rise = weight[..., None] * taken * (1 - pi) - beta * pi * (log_pi + h)
    return -rise / logits.shape[-2]


@ppo_logits_gradient.misconception("A sample that is clipped keeps its entropy bonus.")
def masks_the_entropy_too(logits, a, log_prob_old, advantage, epsilon, beta):
    log_pi, pi, taken, rho = parts(logits, a, log_prob_old)
    on = is_open(rho, advantage, epsilon)[..., None]
    h = -(pi * log_pi).sum(-1, keepdims=True)
    rise = (rho * advantage)[..., None] * (taken - pi) - beta * pi * (log_pi + h)
    return -on * rise / logits.shape[-2]


@ppo_logits_gradient.misconception(
    "exp of large logits overflows: take the largest of each row off first."
)
def takes_exp_of_raw_logits(logits, a, log_prob_old, advantage, epsilon, beta):
    with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
        pi = np.exp(logits) / np.exp(logits).sum(-1, keepdims=True)
        log_pi = np.log(pi)
        taken = np.arange(logits.shape[-1]) == a[..., None]
        rho = np.exp(np.take_along_axis(log_pi, a[..., None], -1)[..., 0] - log_prob_old)
        weight = np.where(is_open(rho, advantage, epsilon), rho * advantage, 0.0)
        h = -(pi * log_pi).sum(-1, keepdims=True)
        rise = weight[..., None] * (taken - pi) - beta * pi * (log_pi + h)
    return -rise / logits.shape[-2]


@ppo_logits_gradient.control
def gradient_by_autograd(logits, a, log_prob_old, advantage, epsilon, beta):
    z = torch.tensor(logits, dtype=torch.float64, requires_grad=True)
    dist = torch.distributions.Categorical(logits=z)
    rho = (dist.log_prob(torch.as_tensor(a)) - torch.as_tensor(log_prob_old)).exp()
    adv = torch.as_tensor(advantage)
    best = torch.where(adv > 0, rho.clamp(max=1 + epsilon), rho.clamp(min=1 - epsilon))
    loss = -(best * adv).mean(-1) - beta * dist.entropy().mean(-1)
    loss.sum().backward()
    return z.grad.numpy()


@ppo_logits_gradient.control
def gradient_sample_by_sample(logits, a, log_prob_old, advantage, epsilon, beta):
    found = np.zeros(logits.shape)
    for i in np.ndindex(*a.shape):
        log_pi = logits[i] - logits[i].max()
        log_pi = log_pi - np.log(np.exp(log_pi).sum())
        pi, rho = np.exp(log_pi), np.exp(log_pi[a[i]] - log_prob_old[i])
        far = rho > 1 + epsilon if advantage[i] > 0 else rho < 1 - epsilon
        weight = 0.0 if far else rho * advantage[i]
        rise = weight * (np.eye(len(pi))[a[i]] - pi)
        rise = rise - beta * pi * (log_pi - (pi * log_pi).sum())
        found[i] = -rise / a.shape[-1]
    return found
