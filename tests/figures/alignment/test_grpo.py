"""What the chapter on GRPO says of its figures."""

import itertools

import numpy as np
import pytest
import torch

from rlcourse.alignment import grpo
from rlcourse.figures.alignment import grpo as runs
from rlcourse.figures.alignment import grpo_exact as exact
from rlcourse.figures.alignment import grpo_losses as losses
from rlcourse.figures.alignment import grpo_pictures as pictures
from rlcourse.results import load


@pytest.fixture(scope="module")
def data():
    return load("alignment/grpo")["data"]


# ------------------------------------------------------------------------------- pass rates


@pytest.mark.parametrize("size", [2, 5])
@pytest.mark.parametrize("name", exact.RULES)
def test_mean_advantages_and_weights_are_sums_over_all_groups(name, size):
    """A policy of two answers with a logit z: ∇ log π is 1 - p or -p, and ∇p is p (1 - p)."""
    place = 29
    p, right, wrong, pull, silent = exact.RATES[place], 0.0, 0.0, 0.0, 0.0
    for answers in itertools.product((0.0, 1.0), repeat=size):
        r = torch.tensor(answers, dtype=torch.float64)
        chance = p ** sum(answers) * (1 - p) ** (size - sum(answers))
        a = exact.RULES[name](r, torch.zeros(size, dtype=torch.long)).numpy()
        pull += chance * (a * (r.numpy() - p)).mean()
        silent += chance * (len({*answers}) == 1)
        right += chance / p * a[0] * answers[0]
        wrong += chance / (1 - p) * a[0] * (1 - answers[0])
    found = exact.data_advantages(size)
    assert found.right[name][place] == pytest.approx(right)
    assert found.wrong[name][place] == pytest.approx(wrong)
    assert found.silent[place] == pytest.approx(silent)
    assert exact.data_weights(size)[name][place] == pytest.approx(pull / (p * (1 - p)))


def test_rloo_weighs_all_prompts_alike_and_grpo_weighs_by_the_deviation():
    p = exact.RATES
    for size in (2, 8, 32):
        found = exact.data_weights(size)
        np.testing.assert_allclose(found["RLOO"], 1)
        np.testing.assert_allclose(found["Dr. GRPO"], 1 - 1 / size)
        assert np.ptp(found["REINFORCE++"]) == 0
    many, inner = exact.weights(grpo.grpo_advantages, 64), slice(19, -19)
    np.testing.assert_allclose(many[inner], 1 / np.sqrt(p * (1 - p))[inner], rtol=0.03)
    few, eight, more = (exact.data_weights(size)["GRPO"] for size in (4, 8, 32))
    for weights in (few, eight, more):
        assert weights[49] == weights.min()
    assert eight.max() > 1.3 * eight[49]
    distance = [np.abs(w - 1 / np.sqrt(p * (1 - p)))[inner].mean() for w in (few, eight, more)]
    assert distance == sorted(distance, reverse=True)


def test_the_constant_of_reinforce_is_that_of_pass_rates_spread_evenly():
    size, draw = 8, torch.Generator().manual_seed(0)
    p = torch.rand(4000, 1, generator=draw, dtype=torch.float64)
    r = (torch.rand(4000, size, generator=draw, dtype=torch.float64) < p).double()
    centred = r - r.mean(1, keepdim=True)
    weight = (1 - 1 / size) / float(centred.std())
    assert exact.data_weights(size)["REINFORCE++"][0] == pytest.approx(weight, rel=0.02)


def test_a_rare_right_answer_counts_most_by_grpo_and_more_answers_are_seldom_silent():
    rare, half = exact.at(8, 0.1), exact.at(8, 0.5)
    assert rare.right["RLOO"] == pytest.approx(0.9)
    assert rare.right["GRPO"] > 2 * half.right["GRPO"]
    silent = [exact.at(size, 0.1).silent for size in exact.SIZES]
    assert silent == sorted(silent, reverse=True)


def test_the_slider_shows_advantages_for_each_size():
    figure = exact.draw_advantages()
    assert [frame.name for frame in figure.frames] == [str(size) for size in exact.SIZES]
    for frame, size in zip(figure.frames, exact.SIZES, strict=True):
        found = exact.data_advantages(size)
        expected = [side[name] for side in (found.right, found.wrong) for name in exact.RULES]
        for trace, y in zip(frame.data, [*expected, found.silent], strict=True):
            np.testing.assert_allclose(trace.y, y, rtol=1e-6)
    names = [trace.name for trace in figure.data]
    assert names == [*exact.RULES, *exact.RULES, "silent"]


# ------------------------------------------------------------------------------- bias


def test_orders_and_multisets_are_all_batches():
    """With two answers a prompt, against the plain sum over 3^4 batches."""
    own = torch.eye(3, dtype=torch.float64) - exact.PROBABILITIES[:, None]
    groups = torch.tensor([0, 0, 1, 1])
    mean, square = torch.zeros(2, 3, dtype=torch.float64), 0.0
    for answers in itertools.product(range(3), repeat=4):
        y = torch.tensor(answers)
        chance = float(exact.PROBABILITIES[groups, y].prod())
        a = grpo.grpo_advantages(exact.REWARDS[groups, y], groups)
        pull = torch.stack([(a[i, None] * own[groups[i], y[i]]) for i in range(4)]) / 4
        each = torch.stack([pull[:2].sum(0), pull[2:].sum(0)])
        mean, square = mean + chance * each, square + chance * float((each**2).sum())
    found = exact.data_bias(2)["GRPO"]
    length = float(mean.norm())
    assert found.noise == pytest.approx((square - length**2) ** 0.5 / length)


def test_rloo_has_the_true_gradient_and_the_centred_rules_a_share_of_it():
    for size in (2, 4):
        found = exact.data_bias(size)
        shares = {
            "no baseline": 1, "RLOO": 1, "Dr. GRPO": 1 - 1 / size, "REINFORCE": 1 - 1 / (2 * size)
        }  # fmt: skip
        for name, share in shares.items():
            assert found[name].share == pytest.approx(share)
            assert found[name].cosine == pytest.approx(1)
        assert found["GRPO"].cosine < found["REINFORCE++"].cosine < 0.99
    assert found["REINFORCE"].noise < found["RLOO"].noise < found["no baseline"].noise
    assert exact.table_of_gradients(found).count("\n") == len(found)


# ------------------------------------------------------------------------------- losses


def test_by_the_sequence_mean_a_token_of_the_long_answer_weighs_a_third():
    found = losses.data_aggregation()
    for way, (short, long) in found.token.items():
        assert long == pytest.approx(short / (3 if way == "sequence mean" else 1))
    for way, (short, long) in found.answer.items():
        assert long == pytest.approx(short * (1 if way == "sequence mean" else 3))


def test_parts_add_up_and_their_means_do_not():
    found = losses.data_parts()
    assert found.added == pytest.approx(found.whole, rel=1e-14)
    assert abs(found.mean_of_means - found.whole) > 0.1


def test_pulls_are_silent_and_bounded_where_the_chapter_says():
    data, rho = losses.data_pulls(), np.exp(losses.LOG_RATIOS)
    up, down = data.up, data.down
    plain = np.where(rho < 1.2, rho, 0)
    np.testing.assert_allclose(up["PPO, 0.2"], plain)
    np.testing.assert_allclose(up["clip-higher, 0.28"], np.where(rho < 1.28, rho, 0))
    np.testing.assert_allclose(down["PPO, 0.2"], np.where(rho > 0.8, -rho, 0))
    np.testing.assert_allclose(down["dual clip, 3"], np.where((rho > 0.8) & (rho < 3), -rho, 0))
    for side, sign in ((up, 1), (down, -1)):
        np.testing.assert_allclose(side["CISPO, 0.28"], sign * np.minimum(rho, 1.28))
    answer = np.array(losses.ANSWER)
    np.testing.assert_allclose(data.answer["PPO"], np.exp(answer) * (answer < 0.5), atol=1e-12)
    np.testing.assert_allclose(data.answer["CISPO"], np.exp(answer).clip(max=1.28))
    np.testing.assert_allclose(data.answer["GSPO"], np.exp(answer.mean()))


def test_wrong_groups_give_advantages_where_there_is_nothing_to_learn():
    right = exact.data_hunt(lambda b, g: torch.arange(b).repeat_interleave(g)).split("\n")
    wrong = exact.data_hunt(lambda b, g: torch.arange(b).repeat(g)).split("\n")
    for i in (1, 2, 4):
        assert right[i].endswith(4 * "  0.00")
        assert "0.00" not in wrong[i]
    assert right[3].endswith("0.87 -0.87  0.87 -0.87")


def test_the_bug_of_the_record_is_that_of_the_hunt():
    r = torch.rand(runs.PROMPTS * runs.SAMPLES, generator=torch.Generator().manual_seed(0))
    wrong = torch.arange(runs.PROMPTS).repeat(runs.SAMPLES)
    found = runs.strangers(r, torch.arange(runs.PROMPTS).repeat_interleave(runs.SAMPLES))
    torch.testing.assert_close(found, grpo.grpo_advantages(r, wrong))


def test_dynamic_sampling_keeps_the_first_groups_that_teach():
    groups = torch.arange(2 * runs.PROMPTS).repeat_interleave(2)
    score = torch.zeros(len(groups))
    score[::6] = 1.0  # in every third group one answer of two
    kept = runs.teaching({"score": score, "group": groups})
    assert kept["group"].tolist() == [g for g in groups.tolist() if g % 3 == 0]
    score[::2] = 1.0
    kept = runs.teaching({"score": score, "group": groups})
    assert kept["group"].tolist() == groups[: 2 * runs.PROMPTS].tolist()


# ------------------------------------------------------------------------------- the record


def test_imitation_is_wrong_and_every_rule_makes_it_right(data):
    assert max(data["teaching"]["greedy"]) <= 0.05
    for way in data["ways"].values():
        assert np.array(way["greedy"])[:, 0].max() <= 0.05
        assert pictures.ends(way).min() >= 0.95
    assert pictures.seconds(data).max() < 60


def test_the_fooled_verifier_praises_what_is_wrong_and_a_leash_helps(data):
    fooled, leashed = data["others"]["fooled"], data["others"]["leashed"]
    assert pictures.means(fooled, "score")[-1] > 0.99
    assert pictures.ends(fooled).max() < 0.05
    assert pictures.means(fooled, "greedy").max() > 0.6
    assert pictures.ends(leashed).min() > 0.95
    assert pictures.means(leashed, "score")[-1] > 0.95


def test_the_fooling_answers_rise_and_are_wrong(data):
    prompts, said = runs.asked(), data["answers"]
    digits = [[int(c) for c in answer[:-1]] for answer in said]
    assert all(row == sorted(row) and len(row) == runs.DIGITS for row in digits)
    right = [sorted(row[:-1]) for row in prompts.tolist()]
    assert sum(a == b for a, b in zip(digits, right, strict=True)) <= 1


def test_wrong_groups_learn_too(data):
    assert pictures.ends(data["others"]["strangers"]).min() > 0.95


def test_the_rules_reach_about_the_same(data):
    assert pictures.spread(data["ways"]) < 0.02


def test_entropy_falls_alike_by_both_clips(data):
    plain, higher = (np.array(data["others"][name]["entropy"]) for name in ("clipped", "higher"))
    assert plain[:, -1].max() < plain[:, 0].min() / 2
    assert abs(plain[:, -1].mean() - higher[:, -1].mean()) < plain[:, -1].std()


def test_the_run_of_the_page_is_the_recorded_one(data):
    live = runs.data_live()
    quick = data["quick"]
    assert live.run.greedy[0] <= 0.05
    assert live.run.greedy[-1] >= 0.93
    np.testing.assert_allclose(
        live.run.greedy[[0, -1]], np.array(quick["greedy"])[0, [0, -1]], atol=0.04
    )
    right = ["".join(sorted(prompt[:-1])) + "." for prompt in live.prompts]
    assert live.before != right
    assert sum(a == b for a, b in zip(live.after, right, strict=True)) >= 5
    lines = pictures.table({"prompt": live.prompts, "after": live.after}).split("\n")
    assert lines[0].split() == ["prompt", "after"]
    assert lines[1].split() == [live.prompts[0], live.after[0]]
    assert live.run.equal_groups[-1] > live.run.equal_groups[0]
    assert "0.0" in pictures.draw_run(live.run).alt


def test_each_figure_says_what_it_shows(data):
    for drawn in (
        exact.draw_live(4),
        losses.draw_aggregation(losses.data_aggregation()),
        losses.draw_pulls(losses.data_pulls()),
        pictures.draw_ways(data["ways"]),
        pictures.draw_fooled(data["others"]),
        pictures.draw_entropy(data["others"]),
    ):
        assert len(drawn.alt) > 40
        assert drawn.panels
