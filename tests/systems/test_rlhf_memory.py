"""RLHF's budget against a schedule that is acted out with real arrays."""

from itertools import chain, combinations

import numpy as np
import pytest

from rlcourse.systems import rlhf_memory as rm
from rlcourse.systems.parameter_counts import MODELS
from rlcourse.systems.zero import RECIPES, Recipe

PPO = rm.Rlhf({"actor": 1001, "reference": 1001, "critic": 505, "reward": 333}, 24, 50)
SEVEN = MODELS["Qwen2.5-7B"]


def acted_out(plan, ranks):
    """moment -> bytes on the first card of one pool: arrays are laid down and taken away."""
    card: dict[tuple[str, str], np.ndarray] = {}

    def lay(owner, *states):
        size = plan.parameters.get(owner, 0)
        share, r = np.zeros(size + -size % ranks)[: -(-size // ranks)], plan.recipe
        element = {
            "weights": r.weights,
            "gradients": r.gradients,
            "optimizer": r.master + r.moments,
        }
        cut_from = {"weights": 3, "gradients": 2, "optimizer": 1}
        for state in states:
            n = share.size if plan.stage >= cut_from[state] else size
            card[owner, state] = np.zeros((n, element[state]), np.uint8)

    def wake():
        per_rank = -(-plan.parameters["actor"] // plan.tensor_parallel)
        card["engine", "weights"] = np.zeros((per_rank, 2), np.uint8)
        cache = plan.cached_tokens * plan.kv_per_token
        card["engine", "cache"] = np.zeros(-(-cache // plan.tensor_parallel), np.uint8)

    def leave(owner):
        for key in [key for key in card if key[0] == owner]:
            del card[key]

    def home(owner):
        """What stands on the card while the owner is idle."""
        leave(owner)
        if owner not in plan.offload:
            if owner == "engine":
                wake()
            else:
                trained = owner in ("actor", "critic")
                lay(owner, "weights", *["optimizer"] * trained)

    for owner in plan.owners:
        home(owner)
    seen = {}
    for moment, owner in rm.MOMENTS.items():
        if owner not in plan.owners:
            continue
        if owner == "engine":
            wake()
        elif moment in ("actor step", "critic step"):
            lay(owner, "weights", "gradients", "optimizer")
        else:
            lay(owner, "weights")
        seen[moment] = sum(a.nbytes for a in card.values())
        home(owner)
    return seen


def totals(moments):
    return {moment: sum(owners.values()) for moment, owners in moments.items()}


@pytest.mark.parametrize("stage", range(4))
@pytest.mark.parametrize("models", [rm.MODELS, ("actor", "reference"), ("actor", "reward")])
def test_bytes_are_those_of_arrays_that_come_and_go(stage, models):
    sizes = {m: n for m, n in PPO.parameters.items() if m in models}
    owners = (*models, "engine")
    choices = chain.from_iterable(combinations(owners, n) for n in range(len(owners) + 1))
    for i, offload in enumerate(choices):
        recipe = (*RECIPES.values(),)[i % 4]._replace(block=0)
        plan = PPO._replace(parameters=sizes, stage=stage, offload=offload, recipe=recipe,
                            tensor_parallel=(1, 2, 4)[i % 3])  # fmt: skip
        assert totals(rm.bytes_by_moment(plan, 4)) == acted_out(plan, 4)


def test_apart_the_pools_hold_together_what_one_rank_would():
    """On one rank nothing is cut, so owners can be counted one by one."""
    together = rm.bytes_by_moment(PPO, 1)
    for moment, owners in together.items():
        apart = [rm.bytes_by_moment(PPO, 1, [owner])[moment] for owner in PPO.owners]
        assert {k: v for pool in apart for k, v in pool.items()} == owners


def test_in_a_pool_of_its_own_a_model_is_cut_over_fewer_ranks_and_lies_idle():
    """The reference waits while the others work, and holds the same at every moment."""
    colocated, apart = rm.bytes_by_moment(PPO, 8), rm.bytes_by_moment(PPO, 2, ["reference"])
    assert {m["reference"] for m in apart.values()} == {2 * 501}
    assert {m["reference"] for m in colocated.values()} == {2 * 126}


def test_grpo_has_no_critic_and_without_a_reward_model_nobody_scores():
    plan = rm.rlhf(SEVEN, 4096, ("actor", "reference"))
    assert plan.owners == ("actor", "reference", "engine")
    moments = rm.bytes_by_moment(plan, 8)
    assert [*moments] == [
        "rollout",
        "log-probabilities",
        "reference log-probabilities",
        "actor step",
    ]
    with_critic = rm.bytes_by_moment(rm.rlhf(SEVEN, 4096), 8)
    for moment, owners in moments.items():
        assert sum(owners.values()) < sum(with_critic[moment].values())


def test_a_scalar_head_takes_the_place_of_the_vocabularys():
    """Qwen2.5-7B has a head of its own, the 0.5B's is the embedding."""
    sizes = rm.rlhf(SEVEN, 1).parameters
    assert sizes["actor"] == sizes["reference"] == 7_615_616_512
    assert sizes["actor"] - sizes["critic"] == (152_064 - 1) * 3584
    small = rm.rlhf(MODELS["Qwen2.5-0.5B"], 1).parameters
    assert small["reward"] - small["actor"] == 896
    gpt2 = rm.rlhf(MODELS["gpt2"], 1).parameters
    assert gpt2["critic"] - gpt2["actor"] == 768


def test_asleep_the_engine_leaves_its_room_to_the_step():
    awake = rm.rlhf(SEVEN, 200_000, tensor_parallel=2)
    asleep = awake._replace(offload=["engine"])
    engine = rm.bytes_by_moment(awake, 8)["actor step"]["engine"]
    assert engine == (2 * 7_615_616_512 + 200_000 * 56 * 1024) // 2
    assert rm.peak(awake, 8)[0] == "actor step"
    assert rm.peak(asleep, 8)[0] == "rollout"
    assert rm.bytes_by_moment(asleep, 8)["actor step"]["engine"] == 0
    difference = [sum(rm.bytes_by_moment(p, 8)["actor step"].values()) for p in (awake, asleep)]
    assert difference[0] - difference[1] == engine


def test_shared_weights_are_there_once():
    """Over two ranks of one engine the actor's own quarter of the weights is part of its half."""
    plan = PPO._replace(parameters={"actor": 1000, "reference": 1000}, tensor_parallel=2)
    whole, shared = rm.bytes_by_moment(plan, 4), rm.bytes_by_moment(plan._replace(shared=True), 4)
    for moment in whole:
        assert whole[moment]["engine"] - shared[moment]["engine"] == 2 * 250
    uncut = plan._replace(shared=True, stage=2)
    assert rm.bytes_by_moment(uncut, 4)["rollout"]["engine"] == 24 * 50 // 2


@pytest.mark.parametrize("away", [["actor"], ["engine"], ["actor", "engine"]])
def test_nothing_is_saved_by_sharing_where_one_of_the_two_is_away(away):
    plan = PPO._replace(offload=away)
    apart, shared = rm.bytes_by_moment(plan, 4), rm.bytes_by_moment(plan._replace(shared=True), 4)
    for moment, owners in apart.items():
        both = owners["actor"] and owners["engine"]
        saved = owners["engine"] - shared[moment]["engine"]
        assert saved == (2 * 251 if both else 0)


def test_activations_stand_beside_whoever_works_in_the_pool():
    plan = PPO._replace(working={"actor step": 7000, "values": 300})
    moments = rm.bytes_by_moment(plan, 4)
    assert {m: o["working"] for m, o in moments.items() if "working" in o} == dict(plan.working)
    assert "working" not in rm.bytes_by_moment(plan, 4, ["critic"])["actor step"]
    assert rm.bytes_by_moment(plan, 4, ["critic"])["values"]["working"] == 300


def test_the_peak_is_the_largest_moment():
    for offload in ((), PPO.owners):
        plan = PPO._replace(offload=offload)
        name, owners = rm.peak(plan, 4)
        all_of = totals(rm.bytes_by_moment(plan, 4))
        assert all_of[name] == sum(owners.values()) == max(all_of.values())


@pytest.mark.parametrize(
    ("change", "ranks", "owners", "says"),
    [
        ({"parameters": {"critic": 5}}, 4, None, "must have an actor"),
        ({"parameters": {"actor": 5, "judge": 5}}, 4, None, "parameters must be among"),
        ({"parameters": {"actor": 0}}, 4, None, "at least 1"),
        ({"offload": ["optimizer"]}, 4, None, "offload must be among"),
        ({"working": {"training": 5}}, 4, None, "working must be among"),
        ({}, 4, ["judge"], "owners must be among"),
        ({}, 0, None, "ranks must be an integer of at least 1"),
        ({"tensor_parallel": 3}, 4, None, "multiple of tensor_parallel = 3"),
        ({"cached_tokens": 0}, 4, None, "cached_tokens"),
        ({"stage": 4}, 4, None, "stage must be"),
        ({"shared": True}, 4, ["actor", "critic"], "one pool"),
        ({"shared": True, "recipe": Recipe(4, 4, 0, 8)}, 4, None, "weights of 2 bytes"),
    ],
)
def test_a_plan_that_cannot_be_is_refused(change, ranks, owners, says):
    with pytest.raises(ValueError, match=says):
        rm.bytes_by_moment(PPO._replace(**change), ranks, owners)
