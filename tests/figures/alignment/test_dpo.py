"""What the chapter on DPO says of its figures."""

import numpy as np
import pytest
import torch

from rlcourse.alignment.dpo import sequence_log_probs
from rlcourse.alignment.packing import Batch
from rlcourse.alignment.reward_network import Comparisons
from rlcourse.figures.alignment import dpo as figures
from rlcourse.figures.alignment import dpo_exact as exact
from rlcourse.figures.alignment import dpo_losses as losses
from rlcourse.results import load


@pytest.fixture(scope="module")
def ways():
    return load("alignment/dpo")["data"]["ways"]


# ------------------------------------------------------------------------------- exact


@pytest.mark.parametrize("beta", [0.2, 0.5, 2.0])
def test_dpo_finds_the_policy_that_the_reward_tilts(beta):
    data = exact.data_exact(beta)
    weights = exact.REFERENCE.numpy() * np.exp(exact.REWARDS.numpy() / beta)
    np.testing.assert_allclose(np.exp(data.fit.log_pi), weights / weights.sum(), rtol=1e-6)
    np.testing.assert_allclose(np.exp(data.goal), weights / weights.sum(), rtol=1e-12)
    assert data.fit.losses[0] == pytest.approx(np.log(2))


def test_the_distance_to_the_tilted_policy_falls_along_a_straight_line():
    steps = np.diff(np.log(exact.data_exact().fit.distance))[20:]
    np.testing.assert_allclose(steps, steps.mean(), rtol=0.02)
    assert steps.mean() < -0.3


def test_the_mean_rewards_of_the_caption_are_sums():
    data, ref, r = exact.data_exact(), exact.REFERENCE.numpy(), exact.REWARDS.numpy()
    pi = np.exp(data.fit.log_pi)
    assert data.start == pytest.approx(ref @ r)
    assert data.reward == pytest.approx(pi @ r)
    assert data.kl == pytest.approx(pi @ np.log(pi / ref))


@pytest.mark.parametrize("beta", [0.1, 0.5, 3.0])
def test_the_gradient_of_dpo_is_its_weight_times_that_of_the_margin(beta):
    by_autograd, by_formula = exact.gradients(beta, seed=2)
    torch.testing.assert_close(by_autograd, by_formula, rtol=1e-12, atol=1e-14)
    assert by_autograd.abs().max() > 0.01


def test_with_wrong_labels_the_robust_loss_alone_finds_the_rewards():
    data, true = exact.data_noise(), exact.REWARDS.numpy()
    for name in ("DPO, true labels", "robust"):
        np.testing.assert_allclose(data[name], true, atol=1e-6)
    wide = {name: np.ptp(r) for name, r in data.items()}
    assert wide["cDPO"] < 0.7 * wide["DPO"] < 0.4 * np.ptp(true)


def test_a_mean_for_a_reference_shows_in_the_loss_at_the_start_alone():
    good = exact.data_hunt(lambda x, mask: sequence_log_probs(x, mask).total)
    bad = exact.data_hunt(lambda x, mask: sequence_log_probs(x, mask).mean)
    assert good.start == pytest.approx(np.log(2))
    assert good.distance < 1e-6
    assert bad.start > 0.75
    assert bad.end == pytest.approx(good.end, rel=1e-9)
    assert good.ordered == bad.ordered == 1
    assert bad.distance > 1
    assert f"{bad.start:.3f}" in repr(bad)


# ------------------------------------------------------------------------------- the family


def test_slopes_of_the_family_have_the_signs_that_the_chapter_says():
    data = losses.data_family()
    h, slope = data.h, data.slopes
    np.testing.assert_allclose(slope["DPO"], -1 / (1 + np.exp(h)), rtol=1e-9)
    assert slope["robust"].max() < -0.1 / 0.8
    for name, goal in (("cDPO", np.log(9)), ("IPO", 0.5)):
        assert (slope[name][h < goal - 1e-6] < 0).all()
        assert (slope[name][h > goal + 1e-6] > 0).all()
    np.testing.assert_array_equal(slope["hinge"], np.where(h < 1, -1, 0))


def test_slopes_of_the_family_are_those_of_its_losses():
    data = losses.data_family()
    for name, y in data.losses.items():
        middle = np.diff(y) / np.diff(data.h)
        slopes = (data.slopes[name][1:] + data.slopes[name][:-1]) / 2
        kinks = np.abs(np.diff(data.slopes[name])) > 0.5
        np.testing.assert_allclose(middle[~kinks], slopes[~kinks], atol=1e-3)


def test_a_margin_comes_to_rest_where_the_loss_has_a_goal():
    data = losses.data_certain()
    assert data.goals == pytest.approx({"cDPO": 2 * np.log(9), "IPO": 1, "hinge": 2})
    for name, goal in data.goals.items():
        assert data.h[name][-1] == pytest.approx(goal, abs=0.06)
    log_steps = data.h["DPO"][[249, 499, 999]]
    assert np.diff(log_steps) == pytest.approx(2 * [np.log(2) / 0.5], rel=0.1)
    straight = np.diff(data.h["robust"][[599, 799, 999]])
    assert straight[1] == pytest.approx(straight[0], rel=0.1)
    assert straight[1] > 2


def test_kto_gives_up_hopeless_answers_and_simpo_and_orpo_fall_with_the_lead():
    x, curves = losses.data_single()
    np.testing.assert_allclose(curves["KTO, good"], 1 / (1 + np.exp(x)), rtol=1e-9)
    np.testing.assert_allclose(curves["KTO, bad"], curves["KTO, good"][::-1], atol=0.03)
    for name in ("SimPO", "ORPO"):
        assert (np.diff(curves[name]) < 0).all()


# ------------------------------------------------------------------------------- pairs


def rows(first):
    tokens = torch.arange(first, first + 12).view(4, 3)
    return Batch(tokens, torch.zeros(4, 3), tokens % 2 == 0)


def test_pairs_are_turned_round_whole():
    pairs, draw = Comparisons(rows(0), rows(100)), torch.Generator().manual_seed(0)
    half = figures.turned(pairs, 0.5, generator=draw)
    wrong = half.chosen.tokens[:, 0] >= 100
    assert 0 < wrong.sum() < 4
    for place, source in enumerate(wrong.tolist()):
        for side, own in enumerate(half):
            for column, before in zip(own, pairs[source ^ side], strict=True):
                torch.testing.assert_close(column[place], before[place])
    every = figures.turned(pairs, 1.0, generator=draw)
    torch.testing.assert_close(every.chosen.tokens, pairs.rejected.tokens)


def test_what_follows_an_answers_end_is_padding():
    prompts, answers = (
        torch.tensor([[3, 1, 10], [2, 4, 10]]),
        torch.tensor([[1, 3, 11], [4, 11, 0]]),
    )
    present = torch.tensor([[1, 1, 1], [1, 1, 0]]).bool()
    batch = figures.with_padding(prompts, answers, present)
    assert batch.segments.tolist() == [[0] * 6, [0] * 5 + [-1]]
    assert batch.mask.int().tolist() == [[0, 0, 0, 1, 1, 1], [0, 0, 0, 1, 1, 0]]


# ------------------------------------------------------------------------------- the record


def test_every_loss_orders_pairs_and_some_answer_wrongly(ways):
    low, high = figures.range_of_ends(ways)
    assert figures.least_ordered(ways) > 0.96
    assert low < 0.35
    assert high > 0.96


def test_dpo_alone_pushes_the_chosen_answers_below_the_reference_and_the_rejected_far_more(ways):
    for way in ("dpo", "dpo_half"):
        chosen, rejected = (np.array(ways[way][name]) for name in ("chosen", "rejected"))
        assert (chosen[:, 1:].mean(0) < 0).all()
        assert (rejected[:, -1] < 5 * chosen.min(1)).all()
        assert (chosen.min(1) < -0.4).all()
        assert np.array(ways[way]["accuracy"])[:, -1].min() > 0.98
        assert figures.ends(ways[way]).max() < 0.8


def test_an_sft_term_keeps_the_chosen_answers_and_makes_the_likeliest_right(ways):
    assert (np.array(ways["dpo_sft"]["chosen"]) > 0).all()
    assert figures.ends(ways["dpo_sft"]).min() > 0.94
    for name in ("dpo", "dpo_half", "dpo_sft"):
        assert np.array(ways[name]["greedy"])[:, 0].max() <= 0.05


def test_answers_are_right_where_the_chosen_stay_above_the_reference(ways):
    kept = {name for name in figures.labelled() if figures.chosen(ways[name])[-1] > 0}
    assert kept == {"dpo_sft", "ipo", "kto", "orpo"}
    for name in figures.labelled():
        accuracies = figures.ends(ways[name])
        assert accuracies.min() > 0.8 if name in kept else accuracies.max() < 0.5


def test_with_wrong_labels_a_softened_label_orders_pairs_worst_and_answers_best(ways):
    plain, soft, robust = (ways[name] for name in ("noisy_dpo", "noisy_cdpo", "noisy_robust"))
    assert figures.ends(soft).mean() > figures.ends(robust).mean() + 0.1
    assert figures.ends(robust).mean() > figures.ends(plain).mean()
    ordered = [np.mean(way["ordered"]) for way in (soft, plain, robust)]
    assert ordered == sorted(ordered)
    assert figures.least_ordered(ways, noisy=True) == ordered[0] > 0.94
    assert figures.chosen(robust)[-1] < 3 * figures.chosen(soft)[-1] < 0


def test_the_run_of_the_page_learns_as_its_record_says(ways):
    live = figures.data_live()
    recorded = np.array(ways["dpo_sft"]["greedy"][0])
    assert live.run.greedy[0] == pytest.approx(recorded[0], abs=0.04)
    assert live.run.greedy[-1] == pytest.approx(recorded[-1], abs=0.05)
    assert live.run.greedy[-1] >= 0.9
    right = ["".join(sorted(prompt[:-1])) + "." for prompt in live.prompts]
    assert live.before != right
    assert sum(a == b for a, b in zip(live.after, right, strict=True)) >= 5
    assert figures.table_of_answers(live).count("\n") == len(right)
    assert "0.0" in figures.draw_run(live.run).alt


def test_each_figure_says_what_it_shows(ways):
    for drawn in (
        figures.draw_ends(ways),
        figures.draw_displacement(ways),
        figures.draw_kept(ways),
        figures.draw_noisy(ways),
        exact.draw_live(2.0, 0),
        exact.draw_noise(exact.data_noise()),
        losses.draw_losses(losses.data_family()),
        losses.draw_certain(losses.data_certain()),
        losses.draw_single(losses.data_single()),
    ):
        assert len(drawn.alt) > 40
        assert drawn.panels
