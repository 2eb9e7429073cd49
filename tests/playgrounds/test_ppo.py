"""The playground of PPO computes what the package computes."""

import subprocess
import sys

import numpy as np
import pytest
import torch

from rlcourse.deep.ppo_gradients import clip_is_open, ppo_logits_gradient
from rlcourse.deep.ppo_losses import clip_fraction, clipped_surrogate
from rlcourse.playgrounds import PPOPlayground
from rlcourse.playgrounds.ppo import (
    ADVANTAGES,
    EPOCHS,
    FARTHEST,
    FEATURES,
    OLD_WEIGHTS,
    PROMPTS,
    Settings,
    ascend,
    pushes,
    reach,
    slope,
    surrogate,
)

NAME = "ppo"
BATCH = {
    "features": FEATURES.tolist(),
    "advantages": ADVANTAGES.tolist(),
    "weights": OLD_WEIGHTS.tolist(),
}
SOLVE = """([w, batch]) => {
  const run = ascend(w, batch), free = ascend(w, batch, false);
  const { ratio, advantage, old } = w;
  return { surrogate: surrogate(w, ratio, advantage), slope: slope(w, ratio, advantage),
           logit: logitSlope(w, ratio, advantage, old), reach: reach(old),
           ratios: run.steps.map((step) => step.ratios), alive: run.steps.map((step) => step.alive),
           free: free.steps.map((step) => step.ratios),
           always: free.steps.flatMap((step) => step.alive),
           still: run.old.map((_, i) => still(run, i)),
           fraction: run.steps.map((step) => clipFraction(w, step.ratios)) };
}"""


def random_settings(rng):
    old = float(np.round(rng.uniform(0.05, 0.95), 2))
    return Settings(
        float(np.round(rng.uniform(0.05, reach(old)), 2)),
        float(np.round(rng.uniform(-2, 2), 1)),
        old,
        float(np.round(rng.uniform(0, 0.5), 2)),
        float(np.round(rng.uniform(0, 0.5), 2)),
        float(rng.choice(np.arange(0.25, 2.01, 0.25))),
        int(rng.integers(EPOCHS + 1)),
    )


@pytest.fixture(scope="module")
def cases():
    rng = np.random.default_rng(0)
    asked = [Settings()._replace(**prompt.set) for prompt in PROMPTS]
    edges = [Settings(ratio=1.2), Settings(ratio=0.8, advantage=-1.0), Settings(advantage=0.0)]
    return [Settings(), *asked, *edges, *(random_settings(rng) for _ in range(300))]


def one(w):
    return np.array(w.ratio), np.array(w.advantage), w.low, w.high


def disagreements(evaluate, cases, **options):
    """The settings for which the script's answers are not the package's."""
    answers = evaluate(NAME, SOLVE, [(w._asdict(), BATCH) for w in cases], **options)
    return [w for w, got in zip(cases, answers, strict=True) if not agrees(w, got)]


def agrees(w, got):
    run, free = ascend(w), ascend(w, clip=False)
    outside = (run.ratio > 1 + w.high) | (run.ratio < 1 - w.low)
    numbers = [
        (got["surrogate"], surrogate(*one(w))),
        (got["slope"], slope(*one(w))),
        (got["logit"], slope(*one(w)) * w.ratio * (1 - w.ratio * w.old)),
        (got["reach"], reach(w.old)),
        (got["ratios"], run.ratio),
        (got["free"], free.ratio),
        (got["fraction"], outside.mean(-1)),
    ]
    return (
        got["alive"] == run.alive.tolist()
        and all(got["always"])
        and got["still"] == [np.flatnonzero(~on).tolist() for on in run.alive.T]
        and all(np.allclose(*pair, rtol=1e-9, atol=1e-12) for pair in numbers)
    )


def test_every_number_is_the_packages(evaluate, cases):
    where = {(np.sign(w.advantage), (w.ratio > 1 + w.high) - (w.ratio < 1 - w.low)) for w in cases}
    assert {(a, b) for a in (-1, 1) for b in (-1, 0, 1)} <= where
    assert disagreements(evaluate, cases) == []


MUTANTS = {
    "min is max": ("=> Math.min(ratio * a", "=> Math.max(ratio * a"),
    "clips only": ("Math.min(ratio * a, clipped(w, ratio) * a)", "clipped(w, ratio) * a"),
    "one epsilon": ("Math.min(1 + high, ratio)", "Math.min(1 + low, ratio)"),
    "the clip is additive to 0": ("Math.max(1 - low, Math", "Math.max(-low, Math"),
    "silent on both sides": ("!(a > 0 ? ratio > 1 + high :", "!(ratio > 1 + high ||"),
    "the other side": ("!(a > 0 ?", "!(a < 0 ?"),
    "silent at the edge": ("a > 0 ? ratio > 1 + high", "a > 0 ? ratio >= 1 + high"),
    "one epsilon for the slope": ("a > 0 ? ratio > 1 + high", "a > 0 ? ratio > 1 + low"),
    "never silent": ("(pushes(w, ratio, a) ? a : 0)", "a"),
    "no ratio in the gradient": ("slope(w, ratio, a) * ratio *", "slope(w, ratio, a) *"),
    "the old probability's logit": ("(1 - ratio * old)", "(1 - old)"),
    "no ratio in the ascent": ("advantages[i] * ratio *", "advantages[i] *"),
    "downhill": ("t + (w.rate * dot(", "t - (w.rate * dot("),
    "sum for mean": (") / old.length", ")"),
    "a dead sample pushes": ("(alive[i] ? advantages[i] * ratio", "(true ? advantages[i] * ratio"),
    "always clipped": ("!clip || pushes", "pushes"),
    "old probabilities recomputed": ("pi.map((p, i) => p / old[i])", "pi.map((p) => p / p)"),
    "fraction of one side": ("ratio > 1 + high || ratio", "ratio"),
    "beyond certainty": ("Math.floor((100 * CERTAIN) / old) / 100", "1 / old"),
}  # fmt: skip


@pytest.mark.parametrize("name", MUTANTS)
def test_a_wrong_script_is_caught(evaluate, cases, name):
    assert disagreements(evaluate, cases[:60], mutant=MUTANTS[name])


# ------------------------------------------------------------------------------- the reference


def test_surrogate_and_slope_are_those_of_the_loss(cases):
    for w in cases[7:]:  # at the edges a rounded logarithm decides
        log_ratio = torch.tensor(w.ratio, dtype=torch.float64).log().requires_grad_()
        a = torch.tensor(w.advantage, dtype=torch.float64)
        value = clipped_surrogate(log_ratio, a, w.low, w.high)
        value.backward()
        assert value.item() == pytest.approx(float(surrogate(*one(w))), rel=1e-12, abs=1e-15)
        gradient = log_ratio.grad.item() / w.ratio
        edge = min(abs(w.ratio - 1 - w.high), abs(w.ratio - 1 + w.low)) < 1e-12
        assert edge or gradient == pytest.approx(float(slope(*one(w))), rel=1e-12, abs=1e-15)


def test_who_pushes_is_whose_clip_is_open():
    rng = np.random.default_rng(1)
    ratio, a = rng.uniform(0.4, 1.6, 500), rng.normal(size=500)
    np.testing.assert_array_equal(pushes(ratio, a, 0.2, 0.2), clip_is_open(ratio, a, 0.2))


def test_the_gradient_of_the_logits_is_the_packages(cases):
    """Of two actions: the one that was taken and all others."""
    for w in cases[7:80]:
        pi = w.ratio * w.old
        z = np.log([[pi, 1 - pi]])
        args = np.array([0]), np.log([w.old]), np.array([w.advantage])
        if w.low == w.high or w.advantage > 0:
            want = -ppo_logits_gradient(z, *args, w.high, 0.0)[0]
        else:
            want = -ppo_logits_gradient(z, *args, w.low, 0.0)[0]
        got = slope(*one(w)) * w.ratio * (1 - pi)
        if min(abs(w.ratio - 1 - w.high), abs(w.ratio - 1 + w.low)) > 1e-12:
            np.testing.assert_allclose([got, -got], want, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize(("low", "high"), [(0.2, 0.2), (0.05, 0.3), (0.5, 0.11)])
def test_the_ascent_is_that_of_autograd_on_the_loss(low, high):
    w = Settings(low=low, high=high, rate=1.5)
    x, a = torch.tensor(FEATURES), torch.tensor(ADVANTAGES)
    theta = torch.tensor(OLD_WEIGHTS, requires_grad=True)
    old = torch.nn.functional.logsigmoid(x @ theta).detach()
    for ratio in ascend(w).ratio:
        log_ratio = torch.nn.functional.logsigmoid(x @ theta) - old
        np.testing.assert_allclose(log_ratio.exp().detach(), ratio, rtol=1e-9)
        mean = clipped_surrogate(log_ratio, a, low, high).mean()
        (gradient,) = torch.autograd.grad(mean, theta)
        theta = (theta + w.rate * gradient).detach().requires_grad_()


def test_the_pictures_hold_every_ratio_that_a_clipped_batch_reaches():
    sizes = np.arange(0, 0.51, 0.1)
    for rate in np.arange(0.25, 2.01, 0.25):
        for low in sizes:
            for high in sizes:
                ratio = ascend(Settings(low=low, high=high, rate=rate)).ratio
                assert ratio.min() > 0.05
                assert ratio.max() < FARTHEST


def test_it_comes_without_torch():
    code = "import sys, rlcourse.playgrounds; assert 'torch' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_copied_code_prints_the_same_numbers(evaluate, cases, capsys):
    some = cases[7:27]
    for w, text in zip(some, evaluate(NAME, "python", [w._asdict() for w in some]), strict=True):
        exec(text, {})
        out = capsys.readouterr().out.splitlines()
        want = float(surrogate(*one(w))), float(slope(*one(w)))
        values = [float(part.split(" = ")[1]) for part in out[0].split(", ")]
        assert values == pytest.approx(want, abs=6e-5)
        logit = want[1] * w.ratio * (1 - w.ratio * w.old)
        assert float(out[1].split(" = ")[1]) == pytest.approx(logit, abs=6e-5)
        dead = (~ascend(w).alive).sum(-1)
        assert out[2:] == [f"epoch {k}: {n} of 12 without gradient" for k, n in enumerate(dead)]


# ------------------------------------------------------------------------------- prompts


def asked(number):
    return Settings()._replace(**PROMPTS[number].set), PROMPTS[number].answer


def test_by_default_a_good_action_beyond_the_clip_has_slope_0():
    w = Settings()
    assert w.advantage > 0
    assert w.ratio == 1.3 > 1 + w.high
    assert slope(*one(w)) == 0
    assert surrogate(*one(w)) == pytest.approx(1.2)


def test_a_bad_action_that_became_likelier_is_pushed_back_in_full():
    w, answer = asked(0)
    assert (w.ratio, w.advantage) == (1.5, -1.0)
    assert slope(*one(w)) == -1
    assert surrogate(*one(w)) == w.ratio * w.advantage
    assert slope(*one(w._replace(ratio=0.79))) == 0
    assert slope(*one(w._replace(ratio=0.81))) == -1
    for words in ("No: −1, in full", "below 0.80"):
        assert words in answer


def test_a_rare_action_is_pushed_by_little_and_a_likely_one_to_the_end():
    w, answer = asked(1)
    assert w.old == 0.05
    assert f"{(1 + w.high) * w.old:.2f}" == "0.06"
    assert slope(*one(w._replace(ratio=1.19))) == 1
    assert slope(*one(w._replace(ratio=1.21))) == 0
    assert 1 / 0.9 < 1.2
    assert slope(*one(w._replace(old=0.9, ratio=reach(0.9)))) == 1
    assert f"{1.28 * w.old:.3f}" == "0.064"
    assert slope(*one(w._replace(ratio=1.27, high=0.28))) == 1
    for words in ("To 0.06", "1.20", "0.28", "0.064"):
        assert words in answer


def test_ten_steps_leave_ratios_outside_the_clip():
    w, answer = asked(2)
    last, free = ascend(w).ratio[-1], ascend(w, clip=False).ratio[-1]
    outside = int((abs(last - 1) > 0.2).sum())
    assert f"{outside} of {len(last)}" == "7 of 12"
    assert float(clip_fraction(torch.tensor(last).log(), 0.2)) == outside / 12
    assert f"{last[ADVANTAGES < 0].max():.2f}" == "1.54"
    assert (f"{free.min():.2f}", f"{free.max():.2f}") == ("0.07", "2.18")
    for words in ("7 of 12", "1.54", "0.07 to 2.18"):
        assert words in answer


def test_the_first_step_is_that_of_a_plain_policy_gradient():
    run, free = ascend(Settings()), ascend(Settings(), clip=False)
    assert (run.ratio[0] == 1).all()
    assert run.alive[0].all()
    np.testing.assert_array_equal(run.ratio[1], free.ratio[1])


def test_a_sample_without_gradient_still_moves_and_may_come_back():
    run = ascend(Settings())
    dead = ~run.alive
    assert (abs(np.diff(run.ratio, axis=0))[dead[:-1]] > 0).all()
    assert (dead[:-1] & ~dead[1:]).any()


def test_only_the_default_asks_its_questions():
    assert PPOPlayground(epoch=3).data()["prompts"] == []


# ------------------------------------------------------------------------------- the object


def test_the_table_shows_both_signs():
    table = PPOPlayground().fallback()
    assert table.count("<tr>") == 5
    assert "<tr><td>1.30<td>1.20<td>0.00<td>−1.30<td>−1.00" in table
    assert "<tr><td>0.60<td>0.60<td>1.00<td>−0.80<td>0.00" in table
    assert "clipped to [0.80, 1.20]" in table


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"ratio": 2.3}, r"ratio must lie in \[0.05, 2.2\], got 2.3"),
        ({"ratio": 1.2, "old": 0.9}, r"ratio must lie in \[0.05, 1.1\], got 1.2"),
        ({"advantage": 2.5}, r"advantage must lie in \[-2, 2\]"),
        ({"old": 1.0}, r"old must lie in \[0.05, 0.95\]"),
        ({"old": 0.0}, r"old must lie in \[0.05, 0.95\]"),
        ({"low": -0.1}, r"low must lie in \[0, 0.5\]"),
        ({"high": float("nan")}, r"high must lie in \[0, 0.5\]"),
        ({"rate": 0.0}, r"rate must lie in \[0.25, 2\]"),
        ({"epoch": 11}, "epoch must be an integer from 0 to 10, got 11"),
        ({"clip": False}, r"settings must be among .* got \['clip'\]"),
    ],
)
def test_settings_that_cannot_be_are_refused(settings, words):
    with pytest.raises(ValueError, match=words):
        PPOPlayground(**settings)
