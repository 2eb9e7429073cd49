"""What must change for a training step to fit on a card.

The mildest change of each kind that is enough by itself; where none is, of two kinds, or three:

    checkpointing   on
    stage           the next one that fits            (if there are several ranks)
    ranks           2, 4, 8 … times as many           (if the stage cuts anything)
    batch, tokens   a half, a quarter …
    recipe          Adam with fewer bytes for each parameter, or as many

Ranks cut what a rank keeps; batch is that of each rank, so more ranks see more tokens in a step.
"""

from dataclasses import replace
from itertools import combinations
from typing import Any, NamedTuple

from rlcourse.systems.memory_timeline import Moment
from rlcourse.systems.training_memory import RESERVED, Plan, fits, peak_of
from rlcourse.systems.zero import RECIPES

KINDS = ("checkpointing", "stage", "ranks", "batch", "tokens", "recipe")
MOST_RANKS = 4096
HALVINGS = [2**i for i in range(1, 25)]


class Change(NamedTuple):
    """What to change, the plan that follows, and its peak."""

    what: str
    plan: Plan
    peak: Moment


def advice(plan: Plan, card: str, reserved: int = RESERVED) -> list[Change]:
    """The mildest change of each kind that makes a plan fit; if there is none, two or three kinds.

    Empty where the plan fits, and where three kinds aren't enough. Errors: those of `fits`.
    """
    if fits(plan, card, reserved):
        return []
    for many in (1, 2, 3):
        found = [
            Change(_words(plan, other), other, peak_of(other))
            for chosen in combinations(KINDS, many)
            if (other := _mildest(plan, chosen, card, reserved))
        ]
        if found:
            return found
    return []


def _mildest(plan: Plan, kinds: tuple[str, ...], card: str, reserved: int) -> Plan | None:
    """The first plan that fits: the last kind is tried out for each step of the kinds before it."""
    strongest: Plan | None = plan
    for kind in kinds:
        strongest = strongest and next(reversed(_options(strongest, kind)), None)
    if strongest is None or not fits(strongest, card, reserved):
        return None
    if len(kinds) == 1:
        return next(x for x in _options(plan, kinds[0]) if fits(x, card, reserved))
    tries = (_mildest(x, kinds[1:], card, reserved) for x in _options(plan, kinds[0]))
    return next(x for x in tries if x)


def _options(plan: Plan, kind: str) -> list[Plan]:
    """Changes of one kind, the mildest first."""
    size = _bytes(plan.recipe)
    recipes = [x for x in RECIPES if "Adam" in x and x != plan.recipe and _bytes(x) <= size]
    ranks = (plan.ranks * p for p in HALVINGS if plan.stage)
    values: dict[str, list[Any]] = {
        "checkpointing": [True] * (not plan.checkpointing),
        "stage": [*range(plan.stage + 1, 4)] * (plan.ranks > 1),
        "ranks": [n for n in ranks if n <= MOST_RANKS],
        "batch": [plan.batch // p for p in HALVINGS if plan.batch // p],
        "tokens": [plan.tokens // p for p in HALVINGS if plan.tokens // p > 1],
        "recipe": sorted(recipes, key=_bytes, reverse=True),
    }
    return [replace(plan, **{kind: value}) for value in values[kind]]


def _bytes(recipe: str) -> int:
    """Bytes for each parameter; constants of 8-bit moments are left out."""
    return sum(RECIPES[recipe][:4])


def _words(plan: Plan, other: Plan) -> str:
    changed = [name for name in KINDS if getattr(plan, name) != getattr(other, name)]
    says = {"checkpointing": "checkpoint each block"}
    return " and ".join(says.get(name, f"{name} {getattr(other, name)}") for name in changed)
