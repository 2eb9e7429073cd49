"""The playground of direct preference optimisation computes what the package computes."""

import functools
import math
import re

import numpy as np
import pytest
import torch

from rlcourse.alignment.dpo import (
    dpo_loss,
    gradient_weight,
    hinge_loss,
    implicit_reward,
    ipo_loss,
    preference_margin,
)
from rlcourse.playgrounds import DPOPlayground
from rlcourse.playgrounds.dpo import (
    LEAST,
    LOSSES,
    MOST,
    PROMPTS,
    REFERENCE,
    Settings,
    goal,
    loss,
    margin,
    trained,
    weight,
)

NAME = "dpo"
SOLVE = """([w, reference]) => {
  const margin = marginOf(w, reference);
  return { margin, ratios: logRatios(w, reference), loss: lossOf(w, margin),
           weight: weightOf(w, margin), goal: goal(w) === Infinity ? null : goal(w),
           moves: moves(w), trained: trained(w, reference) };
}"""


def random_settings(rng):
    chosen, rejected = rng.integers(10 * LEAST, 10 * MOST + 1, 2) / 10
    return Settings(
        float(chosen),
        float(rejected),
        float(rng.integers(1, 11) / 20),
        str(rng.choice(list(LOSSES))),
        float(rng.integers(1, 41) / 100),
        float(rng.integers(21) / 20),
    )


def reference_settings(**fields):
    return Settings(*REFERENCE, **fields)


@pytest.fixture(scope="module")
def cases():
    rng = np.random.default_rng(0)
    asked = [Settings()._replace(**prompt.set) for prompt in PROMPTS]
    starts = [reference_settings(loss=name, overlap=c) for name in LOSSES for c in (0.0, 1.0)]
    return [Settings(), *asked, *starts, *(random_settings(rng) for _ in range(300))]


def loss_of(w, h):
    """The package's loss of a margin that is a tensor."""
    if w.loss == "ipo":
        return ipo_loss(h, w.beta)
    if w.loss == "hinge":
        return hinge_loss(h, w.beta)
    return dpo_loss(h, w.beta, w.smoothing if w.loss == "cdpo" else 0.0)


def pair(w):
    """log π (2,), which wants a gradient, log π_ref (2,), the margin and the loss."""
    log_prob = torch.tensor([w.chosen, w.rejected], dtype=torch.float64, requires_grad=True)
    log_prob_ref = torch.tensor(REFERENCE, dtype=torch.float64)
    h = preference_margin(*log_prob, *log_prob_ref)
    return log_prob, log_prob_ref, h, loss_of(w, h)


@functools.cache
def package(w):
    """Margin, log-ratios, loss and push on the chosen of settings, by the package and autograd."""
    log_prob, log_prob_ref, h, value = pair(w)
    (push,) = torch.autograd.grad(-value, log_prob)
    assert push[0] == -push[1]
    ratios = implicit_reward(log_prob, log_prob_ref, 1.0).tolist()
    return [h.item(), *ratios, value.item(), push[0].item()]


def at_the_kink(w):
    """Whether rounding decides on which side of the hinge the margin is."""
    return w.loss == "hinge" and abs(1 - w.beta * margin(w)) < 1e-12


def disagreements(evaluate, cases, **options):
    """The settings for which the script's answers are not the package's."""
    answers = evaluate(NAME, SOLVE, [(w._asdict(), REFERENCE) for w in cases], **options)
    return [w for w, got in zip(cases, answers, strict=True) if not agrees(w, got)]


def agrees(w, got):
    end = goal(w) if w.loss != "dpo" else None
    ends = (got["goal"] is None) == (end is None)
    numbers = [
        ([got["margin"], *got["ratios"], got["loss"], got["weight"]], package(w)),
        (got["goal"] or 0.0, end or 0.0),
        (got["moves"], [1 - 2 * w.overlap, 2 * w.overlap - 4]),
        (got["trained"], trained(w)),
    ]
    return ends and all(np.allclose(*both, rtol=1e-12, atol=1e-12) for both in numbers)


def test_every_number_is_the_packages(evaluate, cases):
    cases = [w for w in cases if not at_the_kink(w)]
    where = {(w.loss, bool(np.sign(weight(w, margin(w))) > 0)) for w in cases}
    assert where == {(name, side) for name in LOSSES for side in (True, False)} - {("dpo", False)}
    assert disagreements(evaluate, cases) == []


MUTANTS = {
    "the reference is left out": ("w.rejected - (chosen - rejected)", "w.rejected"),
    "the reference is added": ("- (chosen - rejected)", "+ (chosen - rejected)"),
    "one reference for both": ("w.rejected - rejected]", "w.rejected - chosen]"),
    "IPO's goal is 1/β": ("ipo: 0.5", "ipo: 1"),
    "the hinge's goal is 1": ("hinge: 1,", "hinge: beta,"),
    "odds of the wrong label": ("Math.log((1 - smoothing) /", "-Math.log((1 - smoothing) /"),
    "softplus without its ramp": ("(x) => Math.max(x, 0) + ", "(x) => "),
    "not squared": ("(margin - goal(w)) ** 2", "Math.abs(margin - goal(w))"),
    "a hinge that goes on": ("Math.max(0, 1 - x)", "1 - x"),
    "the labels turned": ("softplus(-x) + epsilon(w)", "softplus(x) + epsilon(w)"),
    "all losses smoothed": ('(loss === "cdpo" ? smoothing : 0)', "smoothing"),
    "half the slope of a square": ("return -2 * (margin", "return -1 * (margin"),
    "the hinge pushes by 1": ("x < 1 ? w.beta : 0", "x < 1 ? 1 : 0"),
    "the hinge never stops": ("x < 1 ? w.beta : 0", "w.beta"),
    "the weight of the right order": ("(sigmoid(-x) - epsilon", "(sigmoid(x) - epsilon"),
    "no β in the weight": ("return w.beta * (sigmoid", "return (sigmoid"),
    "the answers share nothing": ("[1 - LONGER * overlap, LONGER", "[1, LONGER"),
    "gradients of one length": ("LONGER * overlap - LONGER ** 2", "LONGER * overlap - 1"),
    "one step": ("step < STEPS", "step < 1"),
    "all steps with the first push": ("weightOf(now, marginOf(now", "weightOf(w, marginOf(w"),
    "beyond the picture": ("< LEAST || ", "< LEAST && "),
}  # fmt: skip


@pytest.mark.parametrize("name", MUTANTS)
def test_a_wrong_script_is_caught(evaluate, cases, name):
    some = [w for w in cases[:80] if not at_the_kink(w)]
    assert disagreements(evaluate, some, mutant=MUTANTS[name])


# ------------------------------------------------------------------------------- the reference


def test_margin_loss_and_weight_are_the_packages(cases):
    for w in cases:
        h, _, _, value, push = package(w)
        assert margin(w) == pytest.approx(h, rel=1e-12, abs=1e-12)
        assert float(loss(w, h)) == pytest.approx(value, rel=1e-12, abs=1e-12)
        if not at_the_kink(w):
            assert float(weight(w, h)) == pytest.approx(push, rel=1e-12, abs=1e-12)


def test_the_weight_of_dpo_is_the_gradient_weight():
    w, h = Settings(beta=0.3), np.linspace(-50, 50, 101)
    want = gradient_weight(torch.tensor(h), 0.3).numpy()
    np.testing.assert_allclose(weight(w, h), want, rtol=1e-12)


@pytest.mark.parametrize("name", ["cdpo", "ipo", "hinge"])
@pytest.mark.parametrize("beta", [0.05, 0.3])
def test_a_loss_pushes_up_below_its_goal_alone(name, beta):
    w = Settings(loss=name, beta=beta, smoothing=0.2)
    assert weight(w, goal(w) - 1e-6) > 0
    assert weight(w, goal(w) + 1e-6) <= 0
    values = loss(w, goal(w) + np.linspace(-100, 100, 2001))
    assert values.min() == pytest.approx(float(loss(w, goal(w))), abs=1e-12)


@pytest.mark.parametrize("name", LOSSES)
@pytest.mark.parametrize("overlap", [0.0, 0.5, 0.75])
def test_training_is_gradient_descent_through_shared_weights(name, overlap):
    """Both log π are linear in θ, with gradients of lengths 1 and 2 at the given angle."""
    w = reference_settings(loss=name, overlap=overlap)
    sine = math.sqrt(1 - overlap**2)
    x = torch.tensor([[1.0, 0.0], [2 * overlap, 2 * sine]], dtype=torch.float64)
    start = torch.tensor(REFERENCE, dtype=torch.float64)
    theta = torch.zeros(2, dtype=torch.float64)
    rate = 0.1 / package(w)[-1]
    for _ in range(20):
        theta.requires_grad_()
        value = loss_of(w, preference_margin(*(start + x @ theta), *start))
        (gradient,) = torch.autograd.grad(value, theta)
        theta = (theta - rate * gradient).detach()
    np.testing.assert_allclose(trained(w), start + x @ theta, rtol=1e-12)


def test_training_stops_at_the_border_of_the_picture():
    w = Settings(rejected=-59.95)
    chosen, rejected = trained(w)
    assert LEAST <= rejected < -59.95
    assert trained(w._replace(chosen=chosen, rejected=rejected)) == (chosen, rejected)


def test_the_pictures_hold_every_margin():
    least = margin(Settings(LEAST, MOST))
    most = margin(Settings(MOST, LEAST))
    assert (least, most) == (-54, 46)


NUMBER = re.compile(r"-?\d+\.\d+")


def test_copied_code_prints_the_same_numbers(evaluate, cases, capsys):
    some = [w for w in cases[4:40] if not at_the_kink(w)]
    copied = "([w, reference]) => python(w, reference)"
    texts = evaluate(NAME, copied, [(w._asdict(), REFERENCE) for w in some])
    for w, text in zip(some, texts, strict=True):
        exec(text, {})
        h, one, two, value, push = package(w)
        p = 1 / (1 + math.exp(-w.beta * h))
        moved = push * (1 - 2 * w.overlap), push * (2 * w.overlap - 4)
        want = [w.beta * one, w.beta * two, h, p, value, push, -push, *moved]
        got = [float(x) for x in NUMBER.findall(capsys.readouterr().out)]
        assert got == pytest.approx(want, abs=6e-5)


# ------------------------------------------------------------------------------- prompts


def asked(number):
    return Settings()._replace(**PROMPTS[number].set), PROMPTS[number].answer


def test_by_default_the_loss_is_small_although_both_answers_became_rarer():
    h, one, two, value, push = package(Settings())
    assert (h, one, two) == (24, -6, -30)
    assert value < 0.13 * math.log(2)
    assert push < 0.17 * 0.05
    assert f"{push:.4f}" == "0.0083"


def test_the_default_is_where_training_from_the_reference_leads():
    w, gaps = reference_settings(), []
    for _ in range(20):
        w = w._replace(**dict(zip(("chosen", "rejected"), trained(w), strict=True)))
        gaps.append(abs(w.chosen - Settings().chosen) + abs(w.rejected - Settings().rejected))
        assert w.rejected - REFERENCE[1] == pytest.approx(5 * (w.chosen - REFERENCE[0]))
    assert min(gaps) < 0.5


def test_at_the_reference_the_chosen_is_pushed_up_and_moves_down():
    w, answer = asked(0)
    assert (w.chosen, w.rejected) == REFERENCE
    h, _, _, value, push = package(w)
    assert (h, value, push) == (0, pytest.approx(math.log(2)), 0.05)
    assert [f"{x:.1f}" for x in trained(w)] == ["-20.9", "-28.6"]
    assert trained(w._replace(overlap=0.5))[0] == w.chosen
    assert trained(w._replace(overlap=0.45))[0] > w.chosen
    for words in ("No: w is β/2 = 0.05", "−20.0 to −20.9", "−24.0 to −28.6", "overlap of 0.50"):
        assert words in answer


def test_ipo_pulls_back_beyond_its_goal():
    w, answer = asked(1)
    assert package(w)[-1] == pytest.approx(-38)
    assert (goal(w), margin(w)) == (5, 24)
    assert package(w._replace(loss="dpo"))[-1] > 0
    cdpo = w._replace(loss="cdpo")
    assert cdpo.smoothing == 0.1
    assert f"{goal(cdpo):.1f}" == "22.0"
    assert package(cdpo)[-1] < 0
    for words in ("= 5.0", "h is 24.0", "w = −38.0", "ε = 0.10", "h = 22.0"):
        assert words in answer


def test_with_a_large_beta_the_push_is_gone():
    w, answer = asked(2)
    h, _, _, _, push = package(w)
    assert w.beta == 5 * Settings().beta
    assert w.beta * h == 12
    assert f"{1 / (1 + math.exp(-12)):.6f}" == "0.999994"
    assert (f"{push / w.beta:.6f}", f"{push:.6f}") == ("0.000006", "0.000003")
    for beta, tenth in ((0.5, "4.4"), (0.1, "22.0")):
        end = math.log(9) / beta
        assert float(weight(w._replace(beta=beta), end)) == pytest.approx(beta / 10)
        assert f"{end:.1f}" == tenth
        assert tenth in answer
    for words in ("0.999994", "0.000003", "0.0083"):
        assert words in answer


def test_only_the_default_asks_its_questions():
    assert DPOPlayground(beta=0.2).data()["prompts"] == []


# ------------------------------------------------------------------------------- the object


def test_the_table_shows_all_losses_of_the_pair():
    table = DPOPlayground().fallback()
    assert table.count("<tr>") == 5
    assert "<tr><td>DPO<td>0.087<td>0.0083<td>none" in table
    assert "<tr><td>cDPO<td>0.327<td>−0.0017<td>22.0" in table
    assert "<tr><td>IPO<td>361.000<td>−38.0000<td>5.0" in table
    assert "<tr><td>hinge<td>0.000<td>0.0000<td>10.0" in table
    assert "of the chosen is −6.0, of the rejected −30.0" in table
    assert "h = 24.0; β = 0.10" in table


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"chosen": -61.0}, r"chosen must lie in \[-60, -10\], got -61.0"),
        ({"rejected": 0.0}, r"rejected must lie in \[-60, -10\]"),
        ({"beta": 0.0}, r"beta must lie in \[0.05, 0.5\]"),
        ({"smoothing": 0.5}, r"smoothing must lie in \[0.01, 0.4\]"),
        ({"overlap": float("nan")}, r"overlap must lie in \[0, 1\]"),
        ({"loss": "kto"}, "loss must be one of dpo, cdpo, ipo, hinge, got 'kto'"),
        ({"gamma": 1.0}, r"settings must be among .* got \['gamma'\]"),
    ],
)
def test_settings_that_cannot_be_are_refused(settings, words):
    with pytest.raises(ValueError, match=words):
        DPOPlayground(**settings)
