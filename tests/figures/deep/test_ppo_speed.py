"""What the page says about the speed of PPO follows from the committed measurement."""

import numpy as np
import pytest

from rlcourse.figures.deep import ppo_speed
from rlcourse.results import load


@pytest.fixture(scope="module")
def record():
    return load(ppo_speed.RECORD)


def test_every_system_was_measured_with_the_same_five_seeds_and_criterion(record):
    criterion = {"every": 2048, "episodes": 100, "enough": 475, "in_a_row": 3, "most": 100_000}
    assert record["criterion"] == criterion
    assert record["threads"] == 1
    assert {"numpy", "torch", "gymnasium", "stable_baselines3"} <= record["versions"].keys()
    assert set(record["systems"]) == set(ppo_speed.LOOKS)
    for row in record["systems"].values():
        assert {len(x) for x in row.values()} == {5}
        # three checks 2048 steps apart, each after the first update beyond
        assert min(row["steps"]) >= 3 * 2048
        assert all(row["solved"]) or max(row["steps"]) >= criterion["most"]


def test_the_tuned_settings_are_those_of_the_zoo(record):
    zoo = dict(record["settings"]["zoo"])
    assert zoo.pop("linear") == ["learning_rate", "clip_range"]
    assert zoo == {
        "n_envs": 8, "n_steps": 32, "batch_size": 256, "gae_lambda": 0.8, "gamma": 0.98,
        "n_epochs": 20, "ent_coef": 0.0, "learning_rate": 0.001, "clip_range": 0.2,
    }  # fmt: skip


def test_the_same_settings_are_ours_in_the_words_of_the_peer(record):
    ours, same = record["settings"]["lean"], record["settings"]["same"]
    assert same["n_envs"] * same["n_steps"] == ours["envs"] * ours["steps"]
    assert same["batch_size"] * ours["minibatches"] == ours["envs"] * ours["steps"]
    # its value loss is a squared error, ours half of one
    assert same["vf_coef"] == ours["value_weight"] / 2
    pairs = (
        ("gamma", "gamma"), ("gae_lambda", "lam"), ("n_epochs", "epochs"), ("ent_coef", "beta"),
        ("learning_rate", "rate"), ("clip_range", "epsilon"), ("max_grad_norm", "most"),
    )  # fmt: skip
    for theirs, mine in pairs:
        assert same[theirs] == ours[mine]
    assert same["policy_kwargs"]["net_arch"] == ours["hidden"]


def test_both_of_ours_meet_their_targets_and_the_order_is_the_pictures(record):
    data = ppo_speed.data_speed(record)
    order = ["lean", "readable", "same", "zoo", "defaults"]
    assert list(ppo_speed.LOOKS) == order
    assert sorted(data.medians, key=data.medians.__getitem__) == order
    cost = {name: np.median(data.seconds[name] / data.steps[name]) for name in order}
    assert sorted(cost, key=cost.__getitem__) == order
    for name, target in ppo_speed.TARGETS.items():
        low, times, high = data.times[name]
        assert target < low <= times <= high
        assert times == pytest.approx(data.medians["zoo"] / data.medians[name])
    assert set(data.solved.values()) == {5}
    # settings explain part of it, the code the rest
    assert data.medians["zoo"] > 1.5 * data.medians["same"] > 4 * data.medians["lean"]


def test_the_picture_shows_every_seed_and_every_ratio(record):
    picture = ppo_speed.draw_speed(ppo_speed.data_speed(record))
    assert len(picture.panels) == 2
    assert picture.alt
    assert picture.panels[0].count("×") == len(ppo_speed.LOOKS) - 1
