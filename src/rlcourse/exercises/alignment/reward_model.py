"""The six exercises of the chapter on reward models: the loss of a comparison, the token that
bears the reward, strengths without a network, calibration, the best of n, and the policy that a
reward makes of another.

Axes differ in size and vary: B pairs or sequences, T tokens, N items, M samples, Y answers.
"""

import math

import torch
from torch.nn import functional as F

from rlcourse.alignment import optimum
from rlcourse.alignment import reward_model as rm
from rlcourse.exercises.deep.policy_gradient import tensor
from rlcourse.grading import exercise

FAR = 1e4
SHAPES = ((6,), (3,), (11,), (1,))

# ------------------------------------------------------------------------------- the loss

pairwise_loss = exercise(
    rm.pairwise_loss,
    nudge="How probable is the comparison that was made, if the chosen answer must lead by m? And "
    "what does log make of a probability that has become 0?",
    worked={
        "chosen": torch.tensor([2.0, 0.0], dtype=torch.float64),
        "rejected": torch.tensor([1.0, 1.0], dtype=torch.float64),
        "margin": 0.5,
    },
)
BOTH = ("chosen", "rejected")


def pairs(rng, shape, size=1.5, **more):
    return {name: tensor(size * rng.normal(size=shape)) for name in BOTH} | more


@pairwise_loss.check(points=1, gradients=BOTH)
def test_the_loss_is_minus_the_log_of_the_preference(rng):
    """without a margin the loss is -log σ of the chosen reward less the rejected one"""
    for shape in SHAPES:
        yield pairs(rng, shape)
    tie = pairs(rng, (4,))
    yield tie | {"rejected": tie["chosen"].clone()}


@pairwise_loss.check(points=1, gradients=BOTH)
def test_a_margin_must_be_led_by(rng):
    """the margin is taken from the difference: the chosen answer must lead by that much"""
    for shape in SHAPES:
        yield pairs(rng, shape, margin=float(rng.uniform(0.5, 3)))


@pairwise_loss.check(points=1, gradients=(*BOTH, "margin"))
def test_each_pair_may_have_a_margin_of_its_own(rng):
    for shape in ((5,), (8,), (2,)):
        yield pairs(rng, shape, margin=tensor(rng.uniform(0, 3, size=shape)))
    yield pairs(rng, (4,), margin=tensor(-rng.uniform(0.5, 2, size=4)))


@pairwise_loss.check(points=2, gradients=BOTH)
def test_the_loss_of_rewards_far_apart_is_finite(rng):
    """however far apart the rewards are, loss and gradient are finite and right, on both sides"""
    for shape in ((6,), (4,)):
        far = FAR * rng.choice([-1.0, 1.0], size=shape) * rng.uniform(0.5, 1, size=shape)
        yield {"chosen": tensor(far), "rejected": tensor(rng.normal(size=shape))}
        yield {"chosen": tensor(rng.normal(size=shape)), "rejected": tensor(far), "margin": 1.0}
    yield {"chosen": tensor([FAR, -FAR, 900.0]), "rejected": tensor([-FAR, FAR, -900.0])}
    yield {"chosen": tensor([40.0, -40.0]), "rejected": tensor([0.0, 0.0])}


@pairwise_loss.misconception("log σ(x) of a large negative x is log 0: use logsigmoid.")
def takes_the_log_of_a_sigmoid(chosen, rejected, margin=0.0):
    return -torch.log(torch.sigmoid(chosen - rejected - margin))


@pairwise_loss.misconception("The chosen answer must be ahead by the margin: subtract it.")
def adds_the_margin(chosen, rejected, margin=0.0):
    return rm.pairwise_loss(chosen, rejected, -margin)


@pairwise_loss.misconception("It is the chosen reward less the rejected one.")
def prefers_the_rejected(chosen, rejected, margin=0.0):
    return -F.logsigmoid(rejected - chosen - margin)


@pairwise_loss.misconception("The loss is minus the log: here it would be maximised.")
def turns_the_loss_round(chosen, rejected, margin=0.0):
    return -rm.pairwise_loss(chosen, rejected, margin)


@pairwise_loss.misconception(
    "Without the log it is no likelihood: a confident error costs hardly more than a slight one."
)
def forgets_the_log(chosen, rejected, margin=0.0):
    return -torch.sigmoid(chosen - rejected - margin)


@pairwise_loss.misconception("A hinge forgets pairs that are ahead enough: it is -log σ.")
def takes_a_hinge(chosen, rejected, margin=0.0):
    return torch.relu(margin - (chosen - rejected))


@pairwise_loss.misconception("Element by element: whoever calls it takes the mean.")
def averages_the_pairs(chosen, rejected, margin=0.0):
    return rm.pairwise_loss(chosen, rejected, margin).mean()


@pairwise_loss.misconception("The margin is part of the loss.")
def ignores_the_margin(chosen, rejected, margin=0.0):
    return rm.pairwise_loss(chosen, rejected)


@pairwise_loss.misconception(
    "Clamped differences have no gradient: the pairs most wrong teach most."
)
def clamps_the_difference(chosen, rejected, margin=0.0):
    return -F.logsigmoid((chosen - rejected - margin).clamp(-30, 30))


@pairwise_loss.misconception(
    "Both answers learn: the rejected reward must fall too. No detach here."
)
def learns_from_the_chosen_alone(chosen, rejected, margin=0.0):
    return rm.pairwise_loss(chosen, rejected.detach(), margin)


@pairwise_loss.misconception(
    "max(0, -x) and |x| have no slope at 0: two equal rewards would never part. Use logsigmoid."
)
def is_flat_at_a_tie(chosen, rejected, margin=0.0):
    x = chosen - rejected - margin
    return torch.relu(-x) + torch.log1p(torch.exp(-x.abs()))


@pairwise_loss.control
def by_softplus(chosen, rejected, margin=0.0):
    return F.softplus(rejected - chosen + margin)


@pairwise_loss.control
def by_cross_entropy(chosen, rejected, margin=0.0):
    both = torch.stack([chosen - margin, rejected], -1)
    return -torch.log_softmax(both, -1)[..., 0]


# ------------------------------------------------------------------------------- the last token

last_rewards = exercise(
    rm.last_rewards,
    nudge="Where does a row end if padding stands after it, and where if padding stands before it?",
    worked={
        "rewards": torch.tensor([[0.1, 0.2, 0.3], [0.4, 0.5, 0.6]], dtype=torch.float64),
        "present": torch.tensor([[True, True, False], [False, True, True]]),
    },
)


def rows(rng, b, t, side):
    """Rewards, and rows of unequal length, padded on the right, the left, or on both sides."""
    first = rng.integers(0, t - 1, size=(b, 1)) if side != "right" else 0
    last = rng.integers(first, t - 1 if side != "left" else t, size=(b, 1))
    last = last if side != "left" else t - 1
    t_here = torch.arange(t).numpy()
    present = (t_here >= first) & (t_here <= last) & (t_here[None] >= 0)
    return {"rewards": tensor(rng.normal(size=(b, t))), "present": tensor(present)}


@last_rewards.check(points=1, gradients=("rewards",))
def test_the_reward_stands_at_the_last_token_before_padding(rng):
    """padded on the right, a row's reward stands at its last token, not in the last column"""
    for b, t in ((3, 6), (4, 5), (2, 9), (1, 4)):
        yield rows(rng, b, t, "right")
    case = rows(rng, 6, 8, "right")
    last = case["present"].sum(1, keepdim=True) - 1
    yield case | {"rewards": case["rewards"].scatter(1, last[:5], 0.0)}


@last_rewards.check(points=1, gradients=("rewards",))
def test_padding_on_the_left_moves_nothing(rng):
    """padded on the left, or not at all, it stands in the last column"""
    for b, t in ((3, 5), (2, 8), (5, 4)):
        yield rows(rng, b, t, "left")
        yield rows(rng, b, t, "left") | {"present": torch.ones(b, t, dtype=torch.bool)}


@last_rewards.check(points=1, gradients=("rewards",))
def test_padding_may_stand_on_both_sides(rng):
    for b, t in ((3, 7), (4, 9), (6, 5)):
        yield rows(rng, b, t, "both")


@last_rewards.check(points=1, gradients=("rewards",))
def test_what_padding_says_has_no_part_in_it(rng):
    """rewards at padding may be NaN or infinite: neither value nor gradient knows"""
    for bad in (torch.nan, torch.inf, -torch.inf):
        for side in ("right", "left", "both"):
            case = rows(rng, int(rng.integers(2, 5)), 6, side)
            yield case | {"rewards": torch.where(case["present"], case["rewards"], bad)}


@last_rewards.check(points=1)
def test_a_row_without_a_token_is_refused(rng):
    """a row of padding alone raises ValueError"""
    for b, t in ((3, 4), (2, 5)):
        case = rows(rng, b, t, "right")
        empty = case["present"].clone()
        empty[int(rng.integers(b))] = False
        yield case | {"present": empty}
        yield case


def refuse_empty(present):
    if not present.any(1).all():
        raise ValueError("present")


@last_rewards.misconception("Right padding stands in the last column: look for the last token.")
def takes_the_last_column(rewards, present):
    refuse_empty(present)
    return rewards[:, -1]


@last_rewards.misconception(
    "The number of tokens less 1 is the last place only where nothing stands before them."
)
def counts_the_tokens(rewards, present):
    refuse_empty(present)
    return rewards.gather(1, present.sum(1, keepdim=True) - 1)[:, 0]


@last_rewards.misconception("The number of tokens is one place too far: places count from 0.")
def goes_one_too_far(rewards, present):
    refuse_empty(present)
    places = torch.arange(present.shape[1])
    last = torch.where(present, places, -1).amax(1) + 1
    return rewards.gather(1, last.clamp(max=present.shape[1] - 1)[:, None])[:, 0]


@last_rewards.misconception("The first padded token finds nothing with padding on the left.")
def looks_for_the_first_padding(rewards, present):
    refuse_empty(present)
    first = (~present).int().argmax(1) - 1
    return rewards.gather(1, first.remainder(present.shape[1])[:, None])[:, 0]


@last_rewards.misconception("One number for the whole answer, said at its end: no mean.")
def averages_the_tokens(rewards, present):
    refuse_empty(present)
    return torch.where(present, rewards, 0).sum(1) / present.sum(1)


@last_rewards.misconception("One number for the whole answer: no sum over tokens.")
def sums_the_tokens(rewards, present):
    refuse_empty(present)
    return torch.where(present, rewards, 0).sum(1)


@last_rewards.misconception("The first token has read nothing of the answer: take the last.")
def takes_the_first_token(rewards, present):
    refuse_empty(present)
    return rewards.gather(1, present.int().argmax(1, keepdim=True))[:, 0]


@last_rewards.misconception("NaN · 0 is NaN: pick the place, don't multiply by a mask.")
def multiplies_by_a_mask(rewards, present):
    refuse_empty(present)
    places = torch.arange(present.shape[1])
    last = torch.where(present, places, -1).amax(1, keepdim=True)
    return (rewards * (places == last)).sum(1)


@last_rewards.misconception("A reward may be 0: the mask says where a row ends, not the rewards.")
def skips_a_reward_of_zero(rewards, present):
    refuse_empty(present)
    places = torch.arange(present.shape[1])
    last = torch.where(present & (rewards != 0), places, 0).amax(1, keepdim=True)
    return rewards.gather(1, last)[:, 0]


@last_rewards.misconception("A row without a token has no reward: say so, raise ValueError.")
def accepts_an_empty_row(rewards, present):
    places = torch.arange(present.shape[1])
    last = torch.where(present, places, 0).amax(1, keepdim=True)
    return rewards.gather(1, last)[:, 0]


@last_rewards.control
def row_by_row(rewards, present):
    found = []
    for r, p in zip(rewards, present, strict=True):
        places = p.nonzero()
        if len(places) == 0:
            raise ValueError("a row is empty")
        found.append(r[places[-1, 0]])
    return torch.stack(found)


# ------------------------------------------------------------------------------- strengths

updated_strengths = exercise(
    rm.updated_strengths,
    nudge="How often should i have won, if its strength were right? Which strength makes that "
    "the number of its wins?",
    worked={
        "strengths": torch.tensor([1.0, 1.0, 2.0], dtype=torch.float64),
        "wins": torch.tensor([[0.0, 3, 1], [1, 0, 2], [1, 2, 0]], dtype=torch.float64),
    },
)


def league(rng, n, least=1, **more):
    return {
        "strengths": tensor(rng.lognormal(size=n)),
        "wins": tensor(rng.integers(least, 9, size=(n, n)) * (1.0 - torch.eye(n).numpy())),
    } | more


@updated_strengths.check(points=2)
def test_a_step_divides_wins_by_expected_chances(rng):
    """the new strength is W_i / Σ_j n_ij/(s_i + s_j), over the geometric mean of all"""
    for n in (3, 5, 4, 2, 7):
        yield league(rng, n)


@updated_strengths.check(points=1)
def test_items_that_never_met_have_no_say(rng):
    """items that never met change nothing between them"""
    for n in (4, 6, 5):
        case = league(rng, n, least=0)
        wins = case["wins"]
        wins[torch.arange(n), (torch.arange(n) + 1) % n] += 1
        yield case


@updated_strengths.check(points=1)
def test_nobody_beats_himself(rng):
    """the diagonal of the wins doesn't count"""
    for n in (3, 5, 4):
        case = league(rng, n)
        yield case | {"wins": case["wins"] + torch.diag(tensor(rng.integers(1, 9, size=n) * 1.0))}


@updated_strengths.check(points=1)
def test_the_scale_of_the_strengths_changes_nothing(rng):
    """strengths far from 1 give the same answer as those with the geometric mean 1"""
    for n, scale in ((4, 1e6), (3, 1e-6), (5, 30.0), (12, 1e30), (13, 1e-30)):
        case = league(rng, n)
        yield case | {"strengths": case["strengths"] * scale}


@updated_strengths.check(points=1)
def test_an_item_that_never_won_is_refused(rng):
    """an item without a win off the diagonal raises ValueError; one without a loss is fine"""
    for n in (3, 5):
        case = league(rng, n)
        wins = case["wins"].clone()
        wins[int(rng.integers(n))] = 0
        yield case | {"wins": wins}
        yield case | {"wins": wins + torch.diag(torch.ones(n, dtype=wins.dtype))}
        wins = case["wins"].clone()
        wins[0] = torch.eye(n, dtype=wins.dtype)[1]  # a single win
        yield case | {"wins": wins}
        wins = case["wins"].clone()
        wins[:, int(rng.integers(n))] = 0
        yield case | {"wins": wins}


def met(wins):
    wins = wins * (1 - torch.eye(len(wins), dtype=wins.dtype))
    if (wins.sum(1) <= 0).any():
        raise ValueError("wins")
    return wins, wins + wins.T


def centred(s):
    return s / s.log().mean().exp()


@updated_strengths.misconception(
    "Wins are in the rows: sum over columns, i beat j stands at [i, j]."
)
def counts_the_losses(strengths, wins):
    met(wins)
    won, games = met(wins.T)
    return centred(won.sum(1) / (games / (strengths[:, None] + strengths)).sum(1))


@updated_strengths.misconception("A comparison that was lost was made too: n_ij counts both.")
def counts_wins_for_games(strengths, wins):
    won, _ = met(wins)
    return centred(won.sum(1) / (won / (strengths[:, None] + strengths)).sum(1))


@updated_strengths.misconception("The share of wins ignores against whom they were won.")
def takes_the_share_of_wins(strengths, wins):
    won, games = met(wins)
    return centred(won.sum(1) / games.sum(1))


@updated_strengths.misconception(
    "Only ratios count, so fix the scale: divide by the geometric mean."
)
def leaves_the_scale(strengths, wins):
    won, games = met(wins)
    return won.sum(1) / (games / (strengths[:, None] + strengths)).sum(1)


@updated_strengths.misconception("The geometric mean is asked for: logs of strengths are centred.")
def divides_by_the_sum(strengths, wins):
    s = rm.updated_strengths(strengths, wins)
    return s / s.sum()


@updated_strengths.misconception("The geometric mean is the exp of the mean log, not the mean.")
def divides_by_the_mean(strengths, wins):
    s = rm.updated_strengths(strengths, wins)
    return s / s.mean()


@updated_strengths.misconception("The sum of both strengths belongs below, not the other's alone.")
def leaves_out_the_own_strength(strengths, wins):
    won, games = met(wins)
    return centred(won.sum(1) / (games / strengths).sum(1))


@updated_strengths.misconception("Nobody plays against himself: leave the diagonal out.")
def counts_the_diagonal(strengths, wins):
    met(wins)
    games = wins + wins.T
    return centred(wins.sum(1) / (games / (strengths[:, None] + strengths)).sum(1))


@updated_strengths.misconception(
    "An item that never won has no likeliest strength: raise ValueError."
)
def accepts_items_that_never_won(strengths, wins):
    won = wins * (1 - torch.eye(len(wins), dtype=wins.dtype))
    games = won + won.T
    return centred(won.sum(1) / (games / (strengths[:, None] + strengths)).sum(1))


@updated_strengths.misconception("The step of an item that never lost is finite: let it in.")
def refuses_items_that_never_lost(strengths, wins):
    met(wins.T)
    return rm.updated_strengths(strengths, wins)


@updated_strengths.misconception(
    "A product of many strengths overflows or becomes 0: take the mean of their logarithms."
)
def takes_the_root_of_a_product(strengths, wins):
    won, games = met(wins)
    s = won.sum(1) / (games / (strengths[:, None] + strengths)).sum(1)
    return s / s.prod() ** (1 / len(s))


@updated_strengths.misconception(
    "The formula already contains the old strength: don't multiply by it again."
)
def multiplies_by_the_old_strength(strengths, wins):
    return centred(strengths * rm.updated_strengths(strengths, wins))


@updated_strengths.control
def item_by_item(strengths, wins):
    n = len(strengths)
    new = []
    for i in range(n):
        won = sum(float(wins[i, j]) for j in range(n) if j != i)
        if won == 0:
            raise ValueError(f"item {i} never won")
        chances = 0.0
        for j in range(n):
            if j != i:
                chances += float(wins[i, j] + wins[j, i]) / float(strengths[i] + strengths[j])
        new.append(won / chances)
    logs = [math.log(s) for s in new]
    return torch.tensor([math.exp(x - sum(logs) / n) for x in logs], dtype=strengths.dtype)


# ------------------------------------------------------------------------------- calibration

calibration_error = exercise(
    rm.calibration_error,
    nudge="Of all that was given 70 %, how much came true? What weight has a bin with few in it?",
    worked={
        "probabilities": torch.tensor([0.6, 0.9, 0.7, 0.2], dtype=torch.float64),
        "outcomes": torch.tensor([1.0, 1.0, 0.0, 0.0], dtype=torch.float64),
        "bins": 2,
    },
)


def forecasts(rng, m, bins, among=None):
    """Probabilities well within their bins, and what came of them."""
    place = rng.integers(bins, size=m) if among is None else rng.choice(among, size=m)
    p = (place + rng.uniform(0.1, 0.9, size=m)) / bins
    return {
        "probabilities": tensor(p),
        "outcomes": tensor(rng.integers(2, size=m) * 1.0),
        "bins": bins,
    }


@calibration_error.check(points=2)
def test_the_error_is_the_mean_gap_weighed_by_the_bins(rng):
    """the gap between share and mean probability of each bin, weighed by its share of all"""
    for m, bins in ((30, 4), (17, 3), (50, 7), (9, 2), (23, 5)):
        yield forecasts(rng, m, bins)
    yield forecasts(rng, 13, 1)


@calibration_error.check(points=1)
def test_bins_without_a_forecast_count_nothing(rng):
    for m, bins in ((12, 10), (7, 8), (20, 15)):
        yield forecasts(rng, m, bins, among=rng.choice(bins, size=3, replace=False))
    yield forecasts(rng, 1, 6)


@calibration_error.check(points=1)
def test_a_boundary_belongs_to_the_bin_above_and_one_to_the_last(rng):
    """a probability on a boundary belongs to the bin above it, 0 to the first and 1 to the last"""
    for m, bins in ((24, 4), (40, 8), (15, 2)):
        case = forecasts(rng, m, bins)
        edge = tensor(rng.integers(bins + 1, size=m) / bins)
        on = tensor(rng.random(m) < 0.5)
        on[:2] = True
        edge[0], edge[1] = 1.0, 0.0
        yield case | {"probabilities": torch.where(on, edge, case["probabilities"])}


@calibration_error.check(points=1)
def test_no_bins_and_what_is_no_probability_are_refused(rng):
    """bins below 1, and probabilities below 0, above 1 or NaN, raise ValueError"""
    yield forecasts(rng, 5, 3) | {"bins": 0}
    yield forecasts(rng, 4, 2) | {"bins": -2}
    for wrong in (-0.2, 1.2, -1e-3, 1.001, math.nan):
        case = forecasts(rng, 6, 4)
        case["probabilities"][int(rng.integers(6))] = wrong
        yield case
    yield forecasts(rng, 8, 3)


def binned(probabilities, outcomes, bins):
    """Of each bin with something in it: how many, the mean outcome, the mean probability."""
    if bins < 1 or not ((probabilities >= 0) & (probabilities <= 1)).all():
        raise ValueError("bins or probabilities")
    place = (probabilities * bins).long().clamp(max=bins - 1)
    for b in range(bins):
        here = place == b
        if here.any():
            yield int(here.sum()), outcomes[here].mean(), probabilities[here].mean(), b


@calibration_error.misconception("A bin with many forecasts counts for more: weigh by its share.")
def gives_all_bins_one_weight(probabilities, outcomes, bins):
    gaps = [(o - p).abs() for _, o, p, _ in binned(probabilities, outcomes, bins)]
    return torch.stack(gaps).mean()


@calibration_error.misconception("Bins without a forecast aren't right, they say nothing.")
def averages_over_all_bins(probabilities, outcomes, bins):
    gaps = [(o - p).abs() for _, o, p, _ in binned(probabilities, outcomes, bins)]
    return torch.stack(gaps).sum() / bins


@calibration_error.misconception("The worst bin alone is the maximum calibration error.")
def takes_the_worst_bin(probabilities, outcomes, bins):
    return torch.stack(
        [(o - p).abs() for _, o, p, _ in binned(probabilities, outcomes, bins)]
    ).max()


@calibration_error.misconception(
    "Compare with the mean probability of the bin, not with its middle."
)
def compares_with_the_middle(probabilities, outcomes, bins):
    gaps = [
        n * (o - (b + 0.5) / bins).abs() for n, o, p, b in binned(probabilities, outcomes, bins)
    ]
    return torch.stack(gaps).sum() / len(probabilities)


@calibration_error.misconception("Take the absolute value of each bin's gap, or bins cancel.")
def lets_bins_cancel(probabilities, outcomes, bins):
    gaps = [n * (o - p) for n, o, p, _ in binned(probabilities, outcomes, bins)]
    return torch.stack(gaps).sum().abs() / len(probabilities)


@calibration_error.misconception("Average within the bin first: a single outcome is never 0.7.")
def takes_the_error_of_each_forecast(probabilities, outcomes, bins):
    list(binned(probabilities, outcomes, bins))
    return (outcomes - probabilities).abs().mean()


@calibration_error.misconception("Squares make it another measure: the gap's absolute value.")
def squares_the_gaps(probabilities, outcomes, bins):
    gaps = [n * (o - p) ** 2 for n, o, p, _ in binned(probabilities, outcomes, bins)]
    return torch.stack(gaps).sum() / len(probabilities)


@calibration_error.misconception("A boundary belongs to the bin above it.")
def puts_boundaries_below(probabilities, outcomes, bins):
    list(binned(probabilities, outcomes, bins))
    place = ((probabilities * bins).ceil().long() - 1).clamp(min=0)
    gap = outcomes.new_zeros(bins).index_add(0, place, outcomes - probabilities)
    return gap.abs().sum() / len(probabilities)


@calibration_error.misconception("A probability of 1 belongs to the last bin: it is lost here.")
def loses_the_probability_one(probabilities, outcomes, bins):
    list(binned(probabilities, outcomes, bins))
    fine = probabilities < 1
    place = (probabilities[fine] * bins).long()
    gap = outcomes.new_zeros(bins).index_add(0, place, (outcomes - probabilities)[fine])
    return gap.abs().sum() / len(probabilities)


@calibration_error.misconception("A number outside [0, 1] is no probability: raise ValueError.")
def accepts_any_number(probabilities, outcomes, bins):
    if bins < 1:
        raise ValueError("bins")
    return rm.calibration_error(probabilities.clamp(0, 1), outcomes, bins)


@calibration_error.misconception("NaN is neither below 0 nor above 1, and yet no probability.")
def lets_nan_in(probabilities, outcomes, bins):
    if bins < 1 or ((probabilities < 0) | (probabilities > 1)).any():
        raise ValueError("bins or probabilities")
    return rm.calibration_error(probabilities.nan_to_num(0.5), outcomes, bins)


@calibration_error.control
def bin_by_bin(probabilities, outcomes, bins):
    gaps = [n * abs(float(o - p)) for n, o, p, _ in binned(probabilities, outcomes, bins)]
    return torch.tensor(sum(gaps) / len(probabilities), dtype=probabilities.dtype)


# ------------------------------------------------------------------------------- best of n

best_of_n = exercise(
    rm.best_of_n,
    nudge="Of all choices of n among the M samples, in how many is this one the best? The others "
    "must all lie below it.",
    worked={
        "proxy": torch.tensor([3.0, 1.0, 2.0], dtype=torch.float64),
        "gold": torch.tensor([0.0, 4.0, 10.0], dtype=torch.float64),
        "n": 2,
    },
)


def samples(rng, m, n, ties=False):
    proxy = rng.integers(max(2, m // 3), size=m) * 1.5 - 2 if ties else rng.normal(size=m)
    return {"proxy": tensor(proxy * 1.0), "gold": tensor(3 * rng.normal(size=m)), "n": n}


@best_of_n.check(points=2)
def test_it_is_the_mean_over_all_choices_of_n(rng):
    """what the best by proxy is worth on average, over all choices of n of the M samples"""
    for m, n in ((7, 3), (10, 2), (6, 5), (12, 4), (9, 7)):
        yield samples(rng, m, n)


@best_of_n.check(points=1)
def test_the_best_of_one_is_the_mean_and_of_all_the_best(rng):
    """for n = 1 it is the mean of gold, for n = M the gold of the best by proxy"""
    for m in (5, 8, 11):
        yield samples(rng, m, 1)
        yield samples(rng, m, m)
    yield samples(rng, 1, 1)


@best_of_n.check(points=1)
def test_a_fair_lot_decides_among_equal_proxies(rng):
    """equal proxies are decided by a fair lot, whatever the order of the samples"""
    for m, n in ((8, 3), (12, 5), (9, 2), (10, 10)):
        yield samples(rng, m, n, ties=True)
    yield samples(rng, 6, 2) | {"proxy": torch.zeros(6, dtype=torch.float64)}


@best_of_n.check(points=1)
def test_a_thousand_samples_overflow_nothing(rng):
    """a thousand samples and large n give no overflow, and no 0/0"""
    for m, n in ((400, 150), (300, 290), (700, 2)):
        yield samples(rng, m, n)
    yield samples(rng, 1040, 520, ties=True)  # C(M, n) is more than a float can be


@best_of_n.check(points=1)
def test_an_n_that_no_choice_has_is_refused(rng):
    """n below 1, or above the number of samples, raises ValueError"""
    for n in (0, -1, 6, 9):
        yield samples(rng, 5, n)
    yield samples(rng, 7, 6)


def combinations(proxy, gold, n, value):
    """The value of each sample in order of its proxy, weighed by how often it is the best of n."""
    size = len(proxy)
    if not 1 <= n <= size:
        raise ValueError("n")
    order = proxy.argsort(stable=True)
    weight = [math.comb(i, n - 1) / math.comb(size, n) for i in range(size)]
    return (torch.tensor(weight, dtype=gold.dtype) * value[order]).sum()


@best_of_n.misconception("A lot decides among equals: the order of the samples must not.")
def lets_the_order_decide(proxy, gold, n):
    return combinations(proxy, gold, n, gold)


@best_of_n.misconception("The proxy chooses, but gold is what the choice is worth.")
def reports_the_proxy(proxy, gold, n):
    return rm.best_of_n(proxy, proxy.clone(), n)


@best_of_n.misconception("The proxy chooses: gold isn't known when it does.")
def chooses_by_gold(proxy, gold, n):
    return rm.best_of_n(gold, gold.clone(), n)


@best_of_n.misconception("One choice of n samples is noise: average over all choices.")
def takes_the_first_n(proxy, gold, n):
    if not 1 <= n <= len(proxy):
        raise ValueError("n")
    return gold[:n][proxy[:n].argmax()]


@best_of_n.misconception("The n best of the M are no draw of n: in most draws the best is missing.")
def averages_the_n_best(proxy, gold, n):
    if not 1 <= n <= len(proxy):
        raise ValueError("n")
    return gold[proxy.argsort(descending=True)[:n]].mean()


@best_of_n.misconception(
    "The M samples are drawn without replacement: F^n is right for the distribution, not for them."
)
def draws_with_replacement(proxy, gold, n):
    size = len(proxy)
    if not 1 <= n <= size:
        raise ValueError("n")
    order = proxy.sort().values
    below, up_to = (torch.searchsorted(order, proxy, right=side) for side in (False, True))
    f = ((up_to / size).to(gold.dtype) ** n - (below / size).to(gold.dtype) ** n) / (up_to - below)
    return (f * gold).sum()


@best_of_n.misconception("Best means the largest proxy, not the smallest.")
def takes_the_worst(proxy, gold, n):
    return rm.best_of_n(-proxy, gold, n)


@best_of_n.misconception("Of the other n - 1 samples all lie below: C(k, n - 1), not C(k, n).")
def chooses_n_below(proxy, gold, n):
    size = len(proxy)
    if not 1 <= n <= size:
        raise ValueError("n")
    order = proxy.argsort(stable=True)
    weight = [math.comb(i, n) / math.comb(size, n) for i in range(size)]
    return (torch.tensor(weight, dtype=gold.dtype) * gold[order]).sum()


@best_of_n.misconception("Products of hundreds of numbers overflow: divide factor by factor.")
def overflows(proxy, gold, n):
    size = len(proxy)
    if not 1 <= n <= size:
        raise ValueError("n")

    def choose(k):  # in floats
        j = torch.arange(n, dtype=torch.float64)
        top = (k.double()[:, None] - j).clamp(min=0).prod(1)
        return top / (j + 1).prod()

    order = proxy.sort().values
    below, up_to = (torch.searchsorted(order, proxy, right=side) for side in (False, True))
    weight = (choose(up_to) - choose(below)) / choose(torch.tensor([size])) / (up_to - below)
    return (weight.to(gold.dtype) * gold).sum()


@best_of_n.misconception("More than M samples were never drawn: raise ValueError.")
def accepts_any_n(proxy, gold, n):
    return rm.best_of_n(proxy, gold, min(max(n, 1), len(proxy)))


@best_of_n.control
def group_by_group(proxy, gold, n):
    size = len(proxy)
    if n < 1 or n > size:
        raise ValueError("no such choice")
    total, below = 0.0, 0
    for value in sorted({*proxy.tolist()}):
        group = gold[proxy == value]
        up_to = below + len(group)
        ways = math.comb(up_to, n) - math.comb(below, n)
        total += ways / math.comb(size, n) * float(group.mean())
        below = up_to
    return torch.tensor(total, dtype=gold.dtype)


# ------------------------------------------------------------------------------- the tilted policy

tilted = exercise(
    optimum.tilted,
    nudge="Which answers gain, and by which factor? What makes the probabilities add up to 1?",
    worked={
        "log_ref": torch.tensor([0.5, 0.25, 0.25], dtype=torch.float64).log(),
        "r": torch.tensor([0.0, 1.0, 2.0], dtype=torch.float64),
        "beta": 0.5,
    },
)


def answers(rng, shape, beta, size=1.0):
    logits = tensor(rng.normal(size=shape))
    return {
        "log_ref": torch.log_softmax(logits, -1),
        "r": tensor(size * rng.normal(size=shape)),
        "beta": beta,
    }


@tilted.check(points=2, gradients=("log_ref", "r"))
def test_each_answer_gains_by_exp_of_its_reward_over_beta(rng):
    """π_β is π_ref e^(r/β), normalised, in logarithms"""
    for shape in ((5,), (3, 4), (2, 7), (2, 3, 6)):
        yield answers(rng, shape, float(rng.uniform(0.2, 3)))


@tilted.check(points=1, gradients=("log_ref", "r"))
def test_a_small_beta_gives_the_best_answer_all_and_stays_finite(rng):
    """however small β or large the rewards, log-probabilities are finite and right"""
    for shape in ((4,), (2, 5)):
        yield answers(rng, shape, 1e-3)
        yield answers(rng, shape, 0.5, size=FAR)
        yield answers(rng, shape, 2.0, size=-FAR)
    yield answers(rng, (3, 6), 1e4)


@tilted.check(points=1)
def test_what_the_reference_never_says_stays_impossible(rng):
    """an answer with the reference probability 0 keeps it, however good"""
    for shape in ((6,), (3, 5)):
        case = answers(rng, shape, float(rng.uniform(0.2, 2)), size=3.0)
        case["log_ref"][..., int(rng.integers(shape[-1]))] = -torch.inf
        yield case | {"log_ref": torch.log_softmax(case["log_ref"], -1)}


@tilted.check(points=1)
def test_a_beta_that_is_not_positive_is_refused(rng):
    """β of 0 or below raises ValueError"""
    for beta in (0.0, -0.5, -3.0, 0.3):
        yield answers(rng, (4,), beta)


def positive(beta):
    if beta <= 0:
        raise ValueError("beta")


@tilted.misconception("β is the price of leaving the reference: divide the reward by it.")
def multiplies_by_beta(log_ref, r, beta):
    positive(beta)
    return torch.log_softmax(log_ref + beta * r, -1)


@tilted.misconception("Without the reference it is the best policy for an entropy bonus.")
def forgets_the_reference(log_ref, r, beta):
    positive(beta)
    return torch.log_softmax(r / beta + 0 * log_ref.nan_to_num(neginf=0), -1)


@tilted.misconception("The weights don't add up to 1 yet: subtract log Z.")
def forgets_to_normalise(log_ref, r, beta):
    positive(beta)
    return log_ref + r / beta


@tilted.misconception("Logarithms are asked for, as they came in.")
def returns_probabilities(log_ref, r, beta):
    return optimum.tilted(log_ref, r, beta).exp()


@tilted.misconception("e^(r/β) overflows: stay in logarithms, with log_softmax.")
def leaves_the_logarithms(log_ref, r, beta):
    positive(beta)
    weights = log_ref.exp() * torch.exp(r / beta)
    return (weights / weights.sum(-1, keepdim=True)).log()


@tilted.misconception("Each prompt has a Z of its own: normalise along the last axis.")
def normalises_along_the_first_axis(log_ref, r, beta):
    positive(beta)
    return torch.log_softmax(log_ref + r / beta, 0)


@tilted.misconception("The temperature is for the reward alone, not for the reference.")
def tempers_the_reference_too(log_ref, r, beta):
    positive(beta)
    return torch.log_softmax((log_ref + r) / beta, -1)


@tilted.misconception("Reference probabilities come in as logarithms: add them, don't multiply.")
def multiplies_by_the_log(log_ref, r, beta):
    positive(beta)
    return torch.log_softmax(log_ref * (r / beta), -1)


@tilted.misconception("Good answers gain: the sign of the reward is turned.")
def prefers_the_worst(log_ref, r, beta):
    return optimum.tilted(log_ref, -r, beta)


@tilted.misconception("A price that isn't positive has no best policy: raise ValueError.")
def accepts_any_beta(log_ref, r, beta):
    return torch.log_softmax(log_ref + r / (beta or 1e-6), -1)


@tilted.control
def with_a_log_sum_exp(log_ref, r, beta):
    if not beta > 0:
        raise ValueError("beta must be above 0")
    gain = r * (1 / beta) + log_ref
    return gain - torch.logsumexp(gain, -1, keepdim=True)
