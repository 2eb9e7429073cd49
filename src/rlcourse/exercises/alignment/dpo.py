"""The six exercises of the DPO chapter: log-probabilities of whole answers, and five losses. What
is data and what is learned shows in the gradients, which are graded too.

Axes differ in size and vary: B pairs or answers, T tokens, N mismatched answers.
"""

import math

import torch
from torch.nn import functional as F

from rlcourse.alignment import dpo
from rlcourse.alignment.dpo import SequenceLogProbs
from rlcourse.exercises.deep.policy_gradient import tensor
from rlcourse.grading import exercise

FAR = 1e4
SIZES = (6, 3, 9, 1)

# ------------------------------------------------------------------------------- whole answers

sequence_log_probs = exercise(
    dpo.sequence_log_probs,
    nudge="What is the logarithm of a product? Which tokens are the answer's, and by how many is "
    "the mean divided?",
    worked={
        "log_probs": torch.tensor([[-1.0, -2.0, -3.0], [-4.0, -5.0, -6.0]], dtype=torch.float64),
        "mask": torch.tensor([[False, True, True], [True, False, False]]),
    },
)


def scored(rng, b, t, share=0.5):
    mask = rng.random((b, t)) < share
    mask[range(b), rng.integers(t, size=b)] = True
    return {"log_probs": tensor(-rng.exponential(2, size=(b, t))), "mask": tensor(mask)}


@sequence_log_probs.check(points=2, gradients=("log_probs",))
def test_an_answer_has_the_sum_of_its_tokens_and_their_mean(rng):
    """the sum of the answer's log-probabilities, and that sum by the number of its tokens"""
    for b, t in ((2, 5), (4, 3), (3, 8), (1, 6)):
        yield scored(rng, b, t)
    yield scored(rng, 3, 7) | {"mask": torch.ones(3, 7, dtype=torch.bool)}


@sequence_log_probs.check(points=1, gradients=("log_probs",))
def test_each_answer_has_a_length_of_its_own(rng):
    """answers of one token and of many: each mean is over its own tokens"""
    for b, t in ((4, 9), (3, 6)):
        lengths = tensor(rng.permutation(t)[:b] + 1)[:, None]
        yield scored(rng, b, t) | {"mask": torch.arange(t) < lengths}


@sequence_log_probs.check(points=1, gradients=("log_probs",))
def test_what_is_no_answer_has_no_say(rng):
    """what the mask leaves out may be -inf or NaN: neither value nor gradient knows"""
    for b, t, bad in ((2, 6, -torch.inf), (3, 4, torch.nan), (4, 7, torch.inf)):
        case = scored(rng, b, t)
        yield case | {"log_probs": torch.where(case["mask"], case["log_probs"], bad)}
    case = scored(rng, 3, 5)
    yield case | {"log_probs": torch.where(case["mask"], case["log_probs"], -FAR)}


@sequence_log_probs.check(points=1, gradients=("log_probs",))
def test_what_the_answer_holds_counts_be_it_certain_or_impossible(rng):
    """in the answer 0 is a certain token, -inf an impossible one, and NaN an error"""
    for b, t in ((5, 6), (4, 9)):
        case = scored(rng, b, t)
        certain = torch.where(tensor(rng.random((b, t)) < 0.5), case["log_probs"], 0.0)
        certain[0] = 0.0
        yield case | {"log_probs": certain}
    for extreme in (-FAR, -torch.inf, torch.nan):
        case = scored(rng, 3, int(rng.integers(4, 8)))
        t = case["mask"][1].int().argmax()
        case["log_probs"][1, t] = extreme
        yield case


@sequence_log_probs.check(points=1)
def test_an_empty_answer_is_refused(rng):
    """an answer without a token raises ValueError, also beside others"""
    for b, t in ((3, 5), (2, 4)):
        case = scored(rng, b, t)
        mask = case["mask"].clone()
        mask[int(rng.integers(b))] = False
        yield case | {"mask": mask}
        yield case
    yield case | {"mask": torch.zeros_like(case["mask"])}


def refuse_empty(mask):
    if not mask.any(1).all():
        raise ValueError("mask")


def both(total, count):
    return SequenceLogProbs(total, total / count)


@sequence_log_probs.misconception("-inf · 0 is NaN: leave tokens out by where, not by a product.")
def multiplies_by_the_mask(log_probs, mask):
    refuse_empty(mask)
    return both((log_probs * mask).sum(1), mask.sum(1))


@sequence_log_probs.misconception("The prompt isn't the policy's doing: sum the answer alone.")
def counts_the_prompt(log_probs, mask):
    refuse_empty(mask)
    return both(log_probs.sum(1), mask.sum(1))


@sequence_log_probs.misconception("The mean is over the answer's tokens, not over all places.")
def divides_by_all_places(log_probs, mask):
    refuse_empty(mask)
    total = torch.where(mask, log_probs, 0).sum(1)
    return SequenceLogProbs(total, total / mask.shape[1])


@sequence_log_probs.misconception("Each answer has a length of its own: divide each by its count.")
def divides_by_the_mean_length(log_probs, mask):
    refuse_empty(mask)
    total = torch.where(mask, log_probs, 0).sum(1)
    return SequenceLogProbs(total, total / mask.sum(1).double().mean())


@sequence_log_probs.misconception("Logarithms of a product add up: no product of logarithms.")
def multiplies_logarithms(log_probs, mask):
    refuse_empty(mask)
    total = torch.where(mask, log_probs, 1).prod(1)
    return both(total, mask.sum(1))


@sequence_log_probs.misconception("log_probs are logarithms already: their sum is log π.")
def takes_the_log_again(log_probs, mask):
    refuse_empty(mask)
    return both(torch.where(mask, log_probs.exp(), 1).prod(1), mask.sum(1))


@sequence_log_probs.misconception("An answer each: sum over tokens, axis 1.")
def sums_over_the_batch(log_probs, mask):
    refuse_empty(mask)
    return both(torch.where(mask, log_probs, 0).sum(0), mask.sum(0).clamp(min=1))


@sequence_log_probs.misconception("Total first, then the mean.")
def gives_the_mean_first(log_probs, mask):
    total, mean = dpo.sequence_log_probs(log_probs, mask)
    return SequenceLogProbs(mean, total)


@sequence_log_probs.misconception("A token with the log-probability 0 was certain: it counts too.")
def counts_what_is_not_zero(log_probs, mask):
    refuse_empty(mask)
    kept = torch.where(mask, log_probs, 0)
    return both(kept.sum(1), (kept != 0).sum(1).clamp(min=1))


@sequence_log_probs.misconception("A sum of 0 may be a certain answer, no empty one: ask the mask.")
def takes_certain_answers_for_empty(log_probs, mask):
    total = torch.where(mask, log_probs, 0).sum(1)
    if (total == 0).any():
        raise ValueError("mask")
    return both(total, mask.sum(1))


@sequence_log_probs.misconception("-inf or NaN in the answer itself must be seen: no nan_to_num.")
def makes_the_impossible_finite(log_probs, mask):
    refuse_empty(mask)
    return both((log_probs.nan_to_num() * mask).sum(1), mask.sum(1))


@sequence_log_probs.misconception("nansum hides an error of the answer's own: choose by the mask.")
def hides_an_error(log_probs, mask):
    refuse_empty(mask)
    return both(torch.where(mask, log_probs, torch.nan).nansum(1), mask.sum(1))


@sequence_log_probs.misconception("An unlikely token is as unlikely as it is: don't clamp.")
def clamps_unlikely_tokens(log_probs, mask):
    return dpo.sequence_log_probs(log_probs.clamp(min=-100), mask)


@sequence_log_probs.misconception("An empty answer has no mean: raise ValueError.")
def accepts_an_empty_answer(log_probs, mask):
    return both(torch.where(mask, log_probs, 0).sum(1), mask.sum(1).clamp(min=1))


@sequence_log_probs.control
def row_by_row(log_probs, mask):
    if (mask.sum(1) == 0).any():
        raise ValueError("nothing was answered")
    rows = [x[m] for x, m in zip(log_probs, mask, strict=True)]
    return SequenceLogProbs(
        torch.stack([x.sum() for x in rows]), torch.stack([x.mean() for x in rows])
    )


# ------------------------------------------------------------------------------- DPO

dpo_loss = exercise(
    dpo.dpo_loss,
    nudge="How probable is the label, if h decides? And if it were wrong one time in 1/ε?",
    worked={
        "margin": torch.tensor([0.0, 5.0, -5.0], dtype=torch.float64),
        "beta": 0.2,
        "smoothing": 0.25,
    },
)


def margins(rng, n, size=4.0, **more):
    return {
        "margin": tensor(size * rng.normal(size=n)),
        "beta": float(rng.uniform(0.05, 0.9)),
    } | more


@dpo_loss.check(points=2, gradients=("margin",))
def test_the_loss_is_minus_the_log_of_the_labels_probability(rng):
    """without smoothing the loss is -log σ(βh)"""
    for n in SIZES:
        yield margins(rng, n)
    yield margins(rng, 4) | {"margin": torch.zeros(4, dtype=torch.float64)}
    yield margins(rng, 5, size=1.0, beta=float(rng.uniform(1.5, 3)))


@dpo_loss.check(points=2, gradients=("margin",))
def test_smoothing_lets_the_label_be_wrong(rng):
    """with smoothing ε the loss is that of a label which is turned with probability ε"""
    for n in SIZES:
        yield margins(rng, n, smoothing=float(rng.uniform(0.05, 0.45)))
    yield margins(rng, 5, smoothing=0.0)


@dpo_loss.check(points=2, gradients=("margin",))
def test_a_margin_of_thousands_gives_a_finite_loss(rng):
    """margins of either sign, however large, give a finite loss and gradient"""
    for n in (5, 4):
        far = FAR * rng.uniform(0.5, 1, size=n) * rng.permutation([1.0, -1.0, 1.0, -1.0, 1.0][:n])
        yield margins(rng, n) | {"margin": tensor(far)}
        yield margins(rng, n, smoothing=float(rng.uniform(0.1, 0.4))) | {"margin": tensor(far)}


@dpo_loss.check(points=1)
def test_an_impossible_beta_or_smoothing_is_refused(rng):
    """β that isn't positive, and ε outside [0, 0.5), raise ValueError"""
    for more in ({"beta": 0.0}, {"beta": -0.1}):
        yield margins(rng, 3) | more
    for smoothing in (-0.1, -1e-6, 0.5, 0.7, 1.0):
        yield margins(rng, 4, smoothing=smoothing)
    yield margins(rng, 4, smoothing=0.499)
    yield margins(rng, 3, smoothing=0.01)


def refuse(beta, smoothing=0.0):
    if beta <= 0 or not 0 <= smoothing < 0.5:
        raise ValueError("beta or smoothing")


@dpo_loss.misconception("log of a σ that became 0 is -inf: use logsigmoid.")
def takes_the_log_of_a_sigmoid(margin, beta, smoothing=0.0):
    refuse(beta, smoothing)
    p = torch.sigmoid(beta * margin)
    return -(1 - smoothing) * p.log() - smoothing * (1 - p).log()


@dpo_loss.misconception("A margin above 0 is right and costs little: the sign of h is turned.")
def turns_the_margin_round(margin, beta, smoothing=0.0):
    return dpo.dpo_loss(-margin, beta, smoothing)


@dpo_loss.misconception("β multiplies the margin inside σ.")
def forgets_beta(margin, beta, smoothing=0.0):
    refuse(beta, smoothing)
    return dpo.dpo_loss(margin, 1.0, smoothing)


@dpo_loss.misconception("β stands inside the logarithm, it is no factor of the loss.")
def scales_the_loss_by_beta(margin, beta, smoothing=0.0):
    refuse(beta, smoothing)
    return beta * dpo.dpo_loss(margin, 1.0, smoothing)


@dpo_loss.misconception("The margin is multiplied by β; π_β has the reward divided by it.")
def divides_by_beta(margin, beta, smoothing=0.0):
    refuse(beta, smoothing)
    return dpo.dpo_loss(margin, 1 / beta, smoothing)


@dpo_loss.misconception("Both cases cost: the turned label's loss is added, weighed by ε.")
def subtracts_the_turned_label(margin, beta, smoothing=0.0):
    refuse(beta, smoothing)
    x = beta * margin
    return -(1 - smoothing) * F.logsigmoid(x) + smoothing * F.logsigmoid(-x)


@dpo_loss.misconception("Both cases together have the weight 1: 1 - ε and ε.")
def keeps_the_whole_weight(margin, beta, smoothing=0.0):
    refuse(beta, smoothing)
    x = beta * margin
    return -F.logsigmoid(x) - smoothing * F.logsigmoid(-x)


@dpo_loss.misconception(
    "Label smoothing has a term of its own: TRL's plain sigmoid loss once forgot it."
)
def ignores_the_smoothing(margin, beta, smoothing=0.0):
    refuse(beta, smoothing)
    return dpo.dpo_loss(margin, beta)


@dpo_loss.misconception("Element by element: whoever calls it takes the mean.")
def averages_the_pairs(margin, beta, smoothing=0.0):
    return dpo.dpo_loss(margin, beta, smoothing).mean()


@dpo_loss.misconception("From ε = 1/2 on labels say nothing, or the opposite: raise ValueError.")
def accepts_any_smoothing(margin, beta, smoothing=0.0):
    refuse(beta)
    x = beta * margin
    return -(1 - smoothing) * F.logsigmoid(x) - smoothing * F.logsigmoid(-x)


@dpo_loss.misconception("β is a price and positive: raise ValueError where it isn't.")
def accepts_any_beta(margin, beta, smoothing=0.0):
    refuse(1.0, smoothing)
    x = beta * margin
    return -(1 - smoothing) * F.logsigmoid(x) - smoothing * F.logsigmoid(-x)


@dpo_loss.control
def as_cross_entropy(margin, beta, smoothing=0.0):
    if not (beta > 0 and 0 <= smoothing < 0.5):
        raise ValueError("beta, smoothing")
    target = torch.full_like(margin, 1 - smoothing)
    return F.binary_cross_entropy_with_logits(beta * margin, target, reduction="none")


@dpo_loss.control
def by_softplus(margin, beta, smoothing=0.0):
    if beta <= 0 or smoothing < 0 or smoothing >= 0.5:
        raise ValueError("beta, smoothing")
    return F.softplus(-beta * margin) + smoothing * beta * margin


# ------------------------------------------------------------------------------- IPO

ipo_loss = exercise(
    dpo.ipo_loss,
    nudge="Which margin is IPO content with? What does a margin beyond it cost?",
    worked={"margin": torch.tensor([0.0, 5.0, 10.0], dtype=torch.float64), "beta": 0.1},
)


@ipo_loss.check(points=2, gradients=("margin",))
def test_the_loss_is_the_squared_distance_from_the_goal(rng):
    """the loss is the squared distance of h from 1/(2β): at it, near and far, on both sides"""
    for n in SIZES:
        case = margins(rng, n)
        yield case | {"margin": case["margin"] + 0.5 / case["beta"]}
        yield margins(rng, n, size=10.0)
        yield margins(rng, n, size=FAR)
    yield margins(rng, 4, beta=float(rng.uniform(2e-3, 5e-3)))
    yield {"margin": tensor([1.0, 2.0, -1.0]), "beta": 0.5}


@ipo_loss.check(points=1, gradients=("margin",))
def test_at_the_start_the_loss_is_one_over_four_beta_squared(rng):
    """where policy and reference agree the loss is 1/(4β²)"""
    for n, beta in ((3, 0.5), (4, 0.1), (2, float(rng.uniform(1.5, 3)))):
        yield {"margin": torch.zeros(n, dtype=torch.float64), "beta": beta}


@ipo_loss.check(points=1)
def test_a_beta_without_a_goal_is_refused(rng):
    """β of 0 or below raises ValueError"""
    for beta in (0.0, -0.2, -5.0, 0.3):
        yield margins(rng, 3) | {"beta": beta}


@ipo_loss.misconception("The goal is 1/(2β), not 1/β.")
def aims_twice_as_far(margin, beta):
    refuse(beta)
    return (margin - 1 / beta) ** 2


@ipo_loss.misconception("The goal is 1/(2β): β stands below.")
def aims_at_half_beta(margin, beta):
    refuse(beta)
    return (margin - beta / 2) ** 2


@ipo_loss.misconception("The margin comes without β: its goal holds it.")
def scales_the_margin(margin, beta):
    refuse(beta)
    return (beta * margin - 0.5) ** 2


@ipo_loss.misconception("Beyond its goal a margin costs again: that is IPO's point.")
def is_content_beyond_the_goal(margin, beta):
    refuse(beta)
    return torch.relu(1 / (2 * beta) - margin) ** 2


@ipo_loss.misconception("The whole square, not half of it.")
def halves_the_square(margin, beta):
    return dpo.ipo_loss(margin, beta) / 2


@ipo_loss.misconception("Squared, not the absolute value.")
def takes_the_absolute_value(margin, beta):
    return (margin - 0.5 / beta).abs() if beta > 0 else dpo.ipo_loss(margin, beta)


@ipo_loss.misconception("The chosen answer should be ahead: the goal is positive.")
def aims_at_the_other_side(margin, beta):
    return dpo.ipo_loss(-margin, beta)


@ipo_loss.misconception("A square has no kink at its goal, but its root has: NaN is its slope.")
def goes_through_a_root(margin, beta):
    return dpo.ipo_loss(margin, beta).sqrt() ** 2


@ipo_loss.misconception("However far off a margin is, it pulls: a clamped one has no gradient.")
def clamps_the_margin(margin, beta):
    return dpo.ipo_loss(margin.clamp(-100, 100), beta)


@ipo_loss.misconception("Far from the goal IPO is a square still: Huber's loss turns straight.")
def turns_straight_far_away(margin, beta):
    refuse(beta)
    goal = torch.full_like(margin, 0.5 / beta)
    return 2 * F.huber_loss(margin, goal, reduction="none", delta=100.0)


@ipo_loss.misconception("No goal without a positive β: raise ValueError.")
def accepts_a_negative_beta(margin, beta):
    return (margin - 1 / (2 * (beta or 1e-9))) ** 2


@ipo_loss.control
def multiplied_out(margin, beta):
    if beta <= 0:
        raise ValueError("beta")
    goal = 0.5 / beta
    return margin * margin - 2 * goal * margin + goal * goal


# ------------------------------------------------------------------------------- KTO

kto_loss = exercise(
    dpo.kto_loss,
    nudge="Against what is a single answer good? What part of that may the gradient change?",
    worked={
        "log_ratio": torch.tensor([2.0, -1.0], dtype=torch.float64),
        "desirable": torch.tensor([True, False]),
        "mismatched": torch.tensor([0.5, 1.5], dtype=torch.float64),
        "beta": 0.5,
    },
)
WATCHED = ("log_ratio", "mismatched")


def called(rng, n, m, shift=0.0, **more):
    """Answers that were called good or bad, and mismatched ones with a mean above 0 or below."""
    good = rng.permutation(torch.arange(n).numpy() % 2 == 0)
    return {
        "log_ratio": tensor(3 * rng.normal(size=n)),
        "desirable": tensor(good),
        "mismatched": tensor(rng.normal(size=m) + shift),
        "beta": float(rng.uniform(0.05, 0.9)),
    } | more


@kto_loss.check(points=2, gradients=WATCHED)
def test_good_answers_should_be_above_the_baseline_and_bad_ones_below(rng):
    """1 - σ(β(log-ratio - z)) for desirable answers, and with the sign turned for the others"""
    for n, m in ((6, 4), (3, 5), (8, 2), (5, 7)):
        yield called(rng, n, m, shift=2.0)
    yield called(rng, 7, 3, shift=1.0, beta=float(rng.uniform(1.1, 2)))


@kto_loss.check(points=1, gradients=WATCHED)
def test_a_baseline_below_zero_is_zero(rng):
    """a mean of the mismatched below 0 gives the baseline 0"""
    for n, m in ((4, 3), (5, 6), (7, 2)):
        yield called(rng, n, m, shift=-2.0)


@kto_loss.check(points=1, gradients=WATCHED)
def test_the_baseline_is_data(rng):
    """no gradient reaches the mismatched answers"""
    for n, m in ((5, 3), (4, 6)):
        yield called(rng, n, m, shift=float(rng.uniform(1, 3)))
    yield called(rng, 3, 1, shift=3.0)


@kto_loss.check(points=1, gradients=WATCHED)
def test_good_and_bad_answers_have_weights_of_their_own(rng):
    """λ of the desirable comes first, that of the undesirable second"""
    for n, m in ((6, 3), (5, 4), (3, 2)):
        weights = (float(rng.uniform(0.3, 0.9)), float(rng.uniform(1.2, 3)))
        yield called(rng, n, m, shift=1.0, weights=weights)
        yield called(rng, n + 1, m, shift=1.0, weights=weights[::-1])


@kto_loss.check(points=1, gradients=WATCHED)
def test_all_answers_may_be_good_or_all_bad(rng):
    for n, m, good in ((4, 3, True), (3, 5, False), (1, 2, True)):
        yield called(rng, n, m, 1.5) | {"desirable": torch.full((n,), good)}


@kto_loss.check(points=1, gradients=WATCHED)
def test_ratios_of_thousands_saturate_and_no_more(rng):
    """log-ratios of either sign, however large, give a loss between 0 and λ"""
    for n, m in ((4, 3), (6, 2)):
        case = called(rng, n, m, 1.0)
        yield case | {"log_ratio": FAR * torch.sign(case["log_ratio"])}


@kto_loss.check(points=1)
def test_a_beta_that_is_not_positive_is_refused(rng):
    """β of 0 or below raises ValueError"""
    for beta in (0.0, -0.3, 0.2):
        yield called(rng, 4, 3, 1.0) | {"beta": beta}


def kto(log_ratio, desirable, z, beta, weights=(1.0, 1.0)):
    refuse(beta)
    good = weights[0] * (1 - torch.sigmoid(beta * (log_ratio - z)))
    bad = weights[1] * (1 - torch.sigmoid(beta * (z - log_ratio)))
    return torch.where(desirable, good, bad)


def baseline(mismatched):
    return mismatched.mean().clamp(min=0).detach()


@kto_loss.misconception("The baseline is data: .detach() it.")
def learns_the_baseline(log_ratio, desirable, mismatched, beta, weights=(1.0, 1.0)):
    return kto(log_ratio, desirable, mismatched.mean().clamp(min=0), beta, weights)


@kto_loss.misconception("A KL is never below 0, an estimate may be: clamp the mean at 0.")
def lets_the_baseline_be_negative(log_ratio, desirable, mismatched, beta, weights=(1.0, 1.0)):
    return kto(log_ratio, desirable, mismatched.mean().detach(), beta, weights)


@kto_loss.misconception("Clamp the mean, not each answer: else the baseline is too high.")
def clamps_each_answer(log_ratio, desirable, mismatched, beta, weights=(1.0, 1.0)):
    return kto(log_ratio, desirable, mismatched.clamp(min=0).mean().detach(), beta, weights)


@kto_loss.misconception("Good or bad is against a baseline, z: subtract it.")
def forgets_the_baseline(log_ratio, desirable, mismatched, beta, weights=(1.0, 1.0)):
    return kto(log_ratio, desirable, 0.0, beta, weights)


@kto_loss.misconception("The baseline comes from the mismatched answers, not from these.")
def takes_the_answers_own_mean(log_ratio, desirable, mismatched, beta, weights=(1.0, 1.0)):
    return kto(log_ratio, desirable, baseline(log_ratio), beta, weights)


@kto_loss.misconception("Bad answers should fall: turn the sign for them.")
def praises_all(log_ratio, desirable, mismatched, beta, weights=(1.0, 1.0)):
    refuse(beta)
    x = beta * (log_ratio - baseline(mismatched))
    return torch.where(desirable, *x.new_tensor(weights)) * (1 - torch.sigmoid(x))


@kto_loss.misconception("Good answers should rise: the signs are swapped.")
def swaps_good_and_bad(log_ratio, desirable, mismatched, beta, weights=(1.0, 1.0)):
    return kto(log_ratio, ~desirable, baseline(mismatched), beta, weights[::-1])


@kto_loss.misconception("The first weight is that of desirable answers.")
def swaps_the_weights_of_good_and_bad(
    log_ratio, desirable, mismatched, beta, weights=(1.0, 1.0)
):  # fmt: skip
    return kto(log_ratio, desirable, baseline(mismatched), beta, weights[::-1])


@kto_loss.misconception("The value saturates: σ without a logarithm. With it, hopeless cases rule.")
def takes_the_log(log_ratio, desirable, mismatched, beta, weights=(1.0, 1.0)):
    refuse(beta)
    x = beta * (log_ratio - baseline(mismatched))
    sign = torch.where(desirable, 1.0, -1.0).to(x.dtype)
    return -torch.where(desirable, *x.new_tensor(weights)) * F.logsigmoid(sign * x)


@kto_loss.misconception("A loss falls when the value rises: it is 1 - σ.")
def returns_the_value(log_ratio, desirable, mismatched, beta, weights=(1.0, 1.0)):
    return kto(log_ratio, desirable, baseline(mismatched), beta, weights).neg()


@kto_loss.misconception("The baseline too is multiplied by β: β (log-ratio - z).")
def leaves_the_baseline_unscaled(log_ratio, desirable, mismatched, beta, weights=(1.0, 1.0)):
    refuse(beta)
    return kto(log_ratio, desirable, baseline(mismatched) / beta, beta, weights)


@kto_loss.misconception("β is a price and positive: raise ValueError where it isn't.")
def accepts_a_beta_of_zero(log_ratio, desirable, mismatched, beta, weights=(1.0, 1.0)):
    return dpo.kto_loss(log_ratio, desirable, mismatched, max(beta, 1e-9), weights)


@kto_loss.control
def answer_by_answer(log_ratio, desirable, mismatched, beta, weights=(1.0, 1.0)):
    if beta <= 0:
        raise ValueError("beta")
    z = max(0.0, float(mismatched.sum()) / len(mismatched))
    good, bad = weights
    losses = [
        good * torch.sigmoid(beta * (z - x)) if d else bad * torch.sigmoid(beta * (x - z))
        for x, d in zip(log_ratio, desirable.tolist(), strict=True)
    ]
    return torch.stack(losses)


# ------------------------------------------------------------------------------- SimPO

simpo_loss = exercise(
    dpo.simpo_loss,
    nudge="What is the reward without a reference? By how much must the chosen one lead?",
    worked={
        "chosen": torch.tensor([-0.5, -2.0], dtype=torch.float64),
        "rejected": torch.tensor([-1.0, -1.0], dtype=torch.float64),
        "beta": 2.0,
        "gamma": 0.5,
    },
)
PAIR = ("chosen", "rejected")


def means(rng, n, **more):
    """Mean log-probabilities a token of both answers of n pairs."""
    return {name: tensor(-rng.exponential(1.0, size=n) - 0.02) for name in PAIR} | more


def priced(rng, n, **more):
    return means(rng, n, beta=float(rng.uniform(0.5, 3)), gamma=float(rng.uniform(0.2, 2))) | more


@simpo_loss.check(points=2, gradients=PAIR)
def test_the_chosen_mean_must_lead_by_gamma_in_units_of_the_reward(rng):
    """-log σ of β times the difference of the means, less γ"""
    for n in SIZES:
        yield priced(rng, n)


@simpo_loss.check(points=1, gradients=PAIR)
def test_without_gamma_equal_means_cost_log_two(rng):
    """γ may be 0 and below, and the means may be equal"""
    for n in (3, 5):
        yield priced(rng, n, gamma=0.0)
        yield priced(rng, n, gamma=-float(rng.uniform(0.3, 1)))
    tie = priced(rng, 4, gamma=0.0)
    yield tie | {"rejected": tie["chosen"].clone()}


@simpo_loss.check(points=1, gradients=PAIR)
def test_impossible_answers_give_a_finite_loss(rng):
    """means of -10⁴ on either side give a finite loss and gradient"""
    for n in (4, 3):
        case = priced(rng, n)
        yield case | {"chosen": case["chosen"] * FAR}
        yield case | {"rejected": case["rejected"] * FAR}


@simpo_loss.check(points=1)
def test_beta_must_be_above_zero(rng):
    """β of 0 or below raises ValueError"""
    for beta in (0.0, -1.0, 0.1):
        yield priced(rng, 4, beta=beta)


@simpo_loss.misconception("γ is a lead that is asked for: subtract it.")
def adds_gamma(chosen, rejected, beta, gamma):
    return dpo.simpo_loss(chosen, rejected, beta, -gamma)


@simpo_loss.misconception("γ is in units of the reward: it isn't multiplied by β.")
def scales_gamma(chosen, rejected, beta, gamma):
    return dpo.simpo_loss(chosen, rejected, beta, beta * gamma)


@simpo_loss.misconception("γ is part of the loss.")
def forgets_gamma(chosen, rejected, beta, gamma):
    return dpo.simpo_loss(chosen, rejected, beta, 0.0)


@simpo_loss.misconception("β multiplies the difference of the means.")
def forgets_the_factor(chosen, rejected, beta, gamma):
    refuse(beta)
    return -F.logsigmoid(chosen - rejected - gamma)


@simpo_loss.misconception("It is the chosen mean less the rejected one.")
def prefers_the_rejected_answer(chosen, rejected, beta, gamma):
    return dpo.simpo_loss(rejected, chosen, beta, gamma)


@simpo_loss.misconception("log of a σ that became 0 is -inf: use logsigmoid.")
def takes_a_sigmoid_and_a_log(chosen, rejected, beta, gamma):
    refuse(beta)
    return -torch.sigmoid(beta * (chosen - rejected) - gamma).log()


@simpo_loss.misconception("max(0, -x) and |x| have no slope at 0: equal means would never part.")
def rests_where_the_lead_is_right(chosen, rejected, beta, gamma):
    refuse(beta)
    x = beta * (chosen - rejected) - gamma
    return torch.relu(-x) + torch.log1p(torch.exp(-x.abs()))


@simpo_loss.misconception("Log-probabilities are compared, not probabilities.")
def compares_probabilities(chosen, rejected, beta, gamma):
    return dpo.simpo_loss(chosen.exp(), rejected.exp(), beta, gamma)


@simpo_loss.misconception("Both answers learn: the rejected one too.")
def lets_the_chosen_learn_alone(chosen, rejected, beta, gamma):
    return dpo.simpo_loss(chosen, rejected.detach(), beta, gamma)


@simpo_loss.misconception("Means come in already: don't take another over the pairs.")
def averages_the_batch(chosen, rejected, beta, gamma):
    return dpo.simpo_loss(chosen, rejected, beta, gamma).mean()


@simpo_loss.misconception("β is positive: raise ValueError where it isn't.")
def accepts_a_negative_price(chosen, rejected, beta, gamma):
    return -F.logsigmoid(beta * (chosen - rejected) - gamma)


@simpo_loss.control
def as_a_softplus(chosen, rejected, beta, gamma):
    if beta <= 0:
        raise ValueError("beta")
    return F.softplus(gamma + beta * rejected - beta * chosen)


# ------------------------------------------------------------------------------- ORPO

orpo_loss = exercise(
    dpo.orpo_loss,
    nudge="What are the odds of p, in logarithms? Where does log(1 - p) lose its digits: for p "
    "near 0, or near 1?",
    worked={
        "chosen": torch.tensor([0.5, 0.25], dtype=torch.float64).log(),
        "rejected": torch.tensor([0.25, 0.5], dtype=torch.float64).log(),
        "weight": 1.0,
    },
)


@orpo_loss.check(points=2, gradients=PAIR)
def test_the_odds_of_the_chosen_answer_should_be_the_larger(rng):
    """the chosen one's -mean log-probability, and λ times -log σ of the difference of log-odds"""
    for n in SIZES:
        yield means(rng, n, weight=float(rng.uniform(0.3, 2)))
    tie = means(rng, 4, weight=float(rng.uniform(0.3, 2)))
    yield tie | {"rejected": tie["chosen"].clone()}


@orpo_loss.check(points=1, gradients=PAIR)
def test_without_its_weight_the_loss_is_fine_tuning(rng):
    """with λ = 0 it is -mean log-probability of the chosen answer"""
    for n in (3, 5):
        yield means(rng, n, weight=0.0)
    yield means(rng, 4, weight=0.5)


@orpo_loss.check(points=2, gradients=PAIR)
def test_near_one_no_digit_is_lost(rng):
    """probabilities within 10⁻¹² of 1 have odds that are right to all digits"""
    for n, near in ((4, 1e-12), (3, 1e-9), (5, 1e-6)):
        case = means(rng, n, weight=float(rng.uniform(0.5, 2)))
        close = tensor(-near * rng.uniform(0.5, 2, size=n))
        yield case | {"chosen": close}
        yield case | {"rejected": close}


@orpo_loss.check(points=1, gradients=PAIR)
def test_near_zero_the_loss_stays_finite(rng):
    """mean log-probabilities of hundreds and thousands below 0 give a finite loss and gradient"""
    for n in (4, 3):
        case = means(rng, n, weight=float(rng.uniform(0.5, 2)))
        yield case | {"rejected": case["rejected"] * 1e3 - 700}
        yield case | {"chosen": case["chosen"] * 1e3 - 700}


def odds(x):
    return dpo.log_odds(x)


@orpo_loss.misconception("Near p = 1 the difference 1 - e^x has no digits left: use expm1.")
def loses_digits_near_one(chosen, rejected, weight):
    a, b = (x - torch.log(1 - torch.exp(x)) for x in (chosen, rejected))
    return -chosen - weight * F.logsigmoid(a - b)


@orpo_loss.misconception("Odds are p/(1 - p): log-probabilities alone are no log-odds.")
def compares_log_probabilities(chosen, rejected, weight):
    return -chosen - weight * F.logsigmoid(chosen - rejected)


@orpo_loss.misconception("log(1 - p) is subtracted: odds are a quotient.")
def adds_the_log_of_the_rest(chosen, rejected, weight):
    a, b = (2 * x - odds(x) for x in (chosen, rejected))
    return -chosen - weight * F.logsigmoid(a - b)


@orpo_loss.misconception("Odds grow with p: they are p/(1 - p), not (1 - p)/p.")
def turns_the_odds_round(chosen, rejected, weight):
    return -chosen - weight * F.logsigmoid(odds(rejected) - odds(chosen))


@orpo_loss.misconception("The first part is fine-tuning on the chosen answer: don't leave it out.")
def leaves_out_fine_tuning(chosen, rejected, weight):
    return -weight * F.logsigmoid(odds(chosen) - odds(rejected))


@orpo_loss.misconception("Fine-tuning raises the chosen answer: it is minus its log-probability.")
def climbs_down(chosen, rejected, weight):
    return chosen - weight * F.logsigmoid(odds(chosen) - odds(rejected))


@orpo_loss.misconception("Only the chosen answer is imitated.")
def imitates_both(chosen, rejected, weight):
    return -chosen - rejected - weight * F.logsigmoid(odds(chosen) - odds(rejected))


@orpo_loss.misconception("λ weighs the comparison, not the fine-tuning.")
def weighs_the_fine_tuning(chosen, rejected, weight):
    return -weight * chosen - F.logsigmoid(odds(chosen) - odds(rejected))


@orpo_loss.misconception("λ weighs the comparison: it is missing.")
def forgets_the_weight(chosen, rejected, weight):
    return -chosen - F.logsigmoid(odds(chosen) - odds(rejected))


@orpo_loss.misconception("λ stands before the logarithm, not in the exponent.")
def weighs_the_odds(chosen, rejected, weight):
    return -chosen - F.logsigmoid(weight * (odds(chosen) - odds(rejected)))


@orpo_loss.misconception("σ of a large negative number is 0, its log -inf: use logsigmoid.")
def takes_the_log_of_the_sigmoid(chosen, rejected, weight):
    return -chosen - weight * torch.sigmoid(odds(chosen) - odds(rejected)).log()


@orpo_loss.misconception("max(0, -x) and |x| have no slope at 0: equal odds would never part.")
def rests_at_equal_odds(chosen, rejected, weight):
    x = odds(chosen) - odds(rejected)
    return -chosen + weight * (torch.relu(-x) + torch.log1p(torch.exp(-x.abs())))


@orpo_loss.misconception("Both odds learn: the rejected answer's should fall.")
def holds_the_rejected(chosen, rejected, weight):
    return -chosen - weight * F.logsigmoid(odds(chosen) - odds(rejected.detach()))


@orpo_loss.control
def by_logit(chosen, rejected, weight):
    def logit(x):
        rest = torch.where(
            x > -0.5,
            (-torch.special.expm1(torch.where(x > -0.5, x, -1.0))).log(),
            torch.special.log1p(-torch.where(x > -0.5, math.log(0.5) + 0 * x, x).exp()),
        )
        return x - rest

    return F.logsigmoid(logit(chosen) - logit(rejected)) * -weight - chosen
