"""The loop that all reinforcement learning on language models shares, on a page.

    write -> score -> old and reference log-probabilities -> values -> advantages -> learn

Each part takes named columns and returns new ones (`rlcourse.alignment.columns`), and doesn't know
who calls it, so that it may as well be a process on another machine. PPO, GRPO and their kin are
this loop with other advantages and another loss of a token.

Shapes: B responses, T tokens of the longest prompt, R of the longest response.
"""

from collections.abc import Callable
from functools import partial
from typing import NamedTuple

import torch
from torch import Tensor

from rlcourse.alignment.actor import scored, written
from rlcourse.alignment.columns import Columns, joined
from rlcourse.alignment.critic import valued
from rlcourse.alignment.policy_step import Numbers, Run, TokenLoss, learn, ppo
from rlcourse.alignment.ppo_rlhf import adapted_beta, token_advantages, token_rewards, whitened

Role = Callable[[Columns], dict[str, Tensor]]
Advantages = Callable[[Tensor, Tensor], Tensor]  # rewards and groups (B,) -> (B,)


class Roles(NamedTuple):
    """Who does what. Those that are None have no part."""

    write: Role  # prompts -> tokens, present, mask, log_prob_rollout
    score: Role  # -> score (B,)
    choose: Callable[[Columns], Columns] | None  # the responses to go on with
    old: Role  # -> log_prob_old
    reference: Role | None  # -> log_prob_ref
    foretell: Role | None  # -> value
    compare: Role  # -> advantage (B, R), and target where there is a critic
    learn: Callable[[Columns], Numbers]


def iteration(roles: Roles, prompts: Columns) -> tuple[Columns, Numbers]:
    """One batch, from its prompts to the steps that it leads to; the batch, and what it was like.

    prompts: the columns `prompts` (B, T) and `group` (B,), each prompt as often as it is answered.
    Where `choose` leaves nothing there is nothing to learn. Raises ValueError for an answer without
    a token.
    """
    batch: Columns = joined(prompts, roles.write(prompts))
    if not batch["mask"].any(1).all():
        raise ValueError("write must give each response a token, got one without")
    batch = joined(batch, roles.score(batch))
    seen = numbers_of(batch)
    if roles.choose and not len((batch := roles.choose(batch))["score"]):
        return batch, seen
    for role in (roles.old, roles.reference, roles.foretell, roles.compare):
        if role:
            batch = joined(batch, role(batch))
    return batch, seen | roles.learn(batch)


def train(
    run: Run,
    prompts: Tensor,
    roles: Roles,
    steps: int | None = None,
    *,
    watch: Callable[[Run, Columns], None] | None = None,
) -> Run:
    """Go on for so many iterations, to the end if None; each on prompts of (M, T) drawn anew."""
    x = run.recipe
    end = x.training.steps if steps is None else min(run.step + steps, x.training.steps)
    while run.step < end:
        chosen = torch.randint(len(prompts), (x.prompts,), generator=run.generator)
        groups = torch.arange(x.prompts).repeat_interleave(x.samples)
        batch, seen = iteration(roles, {"prompts": prompts[chosen[groups]], "group": groups})
        if x.kl_target:
            run.beta = adapted_beta(run.beta, seen["kl"], x.kl_target, len(groups), x.horizon)
        run.step += 1
        run.history.append(seen)
        if watch:
            watch(run, batch)
    return run


def numbers_of(batch: Columns) -> Numbers:
    """Of all answers: the mean score and length, and the share of groups with one score."""
    score, group = batch["score"], batch["group"]
    each = [score[group == g] for g in set(group.tolist())]
    equal = [bool((own == own[0]).all()) for own in each]
    return {
        "score": float(score.mean()),
        "length": float(batch["mask"].sum(1).double().mean()),
        "equal_groups": sum(equal) / len(equal),
    }


# ------------------------------------------------------------------------------- in one process


def roles_of(
    run: Run,
    score: Role,
    advantages: Advantages | None = None,
    *,
    loss: TokenLoss = ppo,
    choose: Callable[[Columns], Columns] | None = None,
) -> Roles:
    """All parts in this process, on the models of the run.

    advantages: of whole answers, such as `grpo_advantages`; None for those of the critic. Raises
    ValueError where both or neither are there.
    """
    if (advantages is None) != (run.critic is not None):
        raise ValueError("advantages must be given unless there is a critic, and only then")
    x = run.recipe
    rows, heat = x.training.batch, x.writing.temperature
    compare = by_token if advantages is None else partial(by_answer, of=advantages)
    return Roles(
        partial(written, run.policy, how=x.writing, generator=run.generator),
        score,
        choose,
        partial(scored, run.policy, name="log_prob_old", rows=rows, temperature=heat),
        run.reference
        and partial(scored, run.reference, name="log_prob_ref", rows=rows, temperature=heat),
        run.critic and partial(valued, run.critic, rows=rows),
        partial(compare, run),
        partial(learn, run, loss),
    )


def by_token(run: Run, batch: Columns) -> dict[str, Tensor]:
    """PPO: advantages of the critic over tokens, whitened; and what the critic shall learn."""
    x, mask = run.recipe, batch["mask"]
    rewards = token_rewards(
        batch["score"], log_ratio(batch), mask, run.beta * (x.leash == "reward")
    )
    found = token_advantages(rewards, batch["value"], mask, x.gamma, x.lam)
    return {"advantage": whitened(found.advantage, mask), "target": found.target}


def by_answer(run: Run, batch: Columns, of: Advantages) -> dict[str, Tensor]:
    """GRPO and its kin: every token of an answer has the answer's advantage."""
    rewards = batch["score"]
    if run.recipe.leash == "reward":
        rewards = rewards - run.beta * log_ratio(batch).sum(1)
    return {"advantage": of(rewards, batch["group"])[:, None] * batch["mask"]}


def log_ratio(batch: Columns) -> Tensor:
    """log π/π_ref of each token, (B, R), when the answers were written; 0 without a reference."""
    old = batch["log_prob_old"]
    return old - batch.get("log_prob_ref", old)
