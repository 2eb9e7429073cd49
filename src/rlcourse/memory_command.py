"""`rlcourse memory`: what training a language model takes on each GPU, and whether it fits.

The numbers are those of `rlcourse.systems`: parameters and cache by `parameter_counts`, states by
`zero`, a step's timeline and advice by `training_memory`, traffic by `communication`. They make one
dictionary, which is printed as a table or as JSON, and may be drawn.
Bytes are of one rank; GB = 10⁹ bytes, GiB = 2³⁰ bytes, KiB = 2¹⁰ bytes.
"""

import json
import re
from argparse import ArgumentParser, Namespace
from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rlcourse.systems.memory_timeline import Moment
    from rlcourse.systems.training_memory import Plan

Report = dict[str, Any]
NUMBERS = {  # option -> its value if none is given, what it means
    "ranks": (1, "GPUs, data-parallel"),
    "stage": (0, "ZeRO's stage, 0 to 3"),
    "batch": (1, "sequences on each GPU"),
    "tokens": (4096, "tokens of a sequence"),
}
NAMES = {
    "recipe": ("bf16 Adam", "what is kept for each parameter"),
    "card": ("H100", "the GPU"),
    "link": ("NVLink 4", "between the GPUs"),
}


def options(sub: ArgumentParser) -> None:
    """The arguments of the command, but for MODEL."""
    sub.epilog = "MODEL is a name (Qwen2.5-7B) or the path of a config.json."
    for name, (usual, says) in NUMBERS.items():
        sub.add_argument(
            f"--{name}", type=int, default=usual, metavar="N", help=f"{says} ({usual})"
        )
    for name, (choice, says) in NAMES.items():
        sub.add_argument(f"--{name}", default=choice, metavar="NAME", help=f"{says} ({choice})")
    sub.add_argument("--checkpointing", action="store_true", help="recompute each block")
    sub.add_argument("--json", action="store_true", help="print bytes, elements and seconds")
    sub.add_argument("--plot", type=Path, metavar="FILE.svg", help="draw the step's timeline")


def memory(given: Namespace) -> int:
    """Whether training a model fits on a GPU, and what to change.

    0: it fits, or it isn't known whether; 1: it doesn't.
    """
    from rlcourse import memory_table

    found, moments = report(given)
    if given.plot:
        memory_table.draw(found, moments, given.plot)
    print(json.dumps(found, indent=2) if given.json else "\n".join(memory_table.lines(found)))
    return 1 if found["card"]["fits"] is False else 0


def report(given: Namespace) -> tuple[Report, list["Moment"]]:
    """All numbers, and the moments of a step; none where only states are known of the family.

    ValueError for what isn't known, and for sizes that can't be.
    """
    from rlcourse._check import positive_integer
    from rlcourse.systems import communication, parameter_counts, training_memory, zero

    name, config = _model(given.model)
    recipe = _one_of("recipe", given.recipe, zero.RECIPES)
    card = _one_of("card", given.card, training_memory.CARDS)
    link = _one_of("link", given.link, communication.LINKS)
    asked = {key: getattr(given, key) for key in (*NUMBERS, "checkpointing")} | {"recipe": recipe}
    for key in ("ranks", "batch", "tokens"):
        positive_integer(key, asked[key])
    counts = parameter_counts.count(config)
    known = config["model_type"] in training_memory.FAMILIES
    plan = training_memory.Plan(config, **asked) if known else None
    units = [u.parameters for u in training_memory.units_of(plan)] if plan else [counts.total]
    moments = training_memory.timeline_of(plan) if plan else []
    states = zero.states([(n,) for n in units], zero.RECIPES[recipe], given.ranks, given.stage)[0]
    found = {
        "model": name,
        "parameters": {"total": counts.total, "active": counts.active},
        "plan": asked,
        "state_bytes": states._asdict() | {"total": states.total},
        "activation_bytes": max((m.activations for m in moments), default=None),
        "peak": _peak(moments),
        "kv_cache_bytes_per_token": parameter_counts.kv_per_token(config),
        "communication": _traffic(units, given, recipe, link),
        "card": _card(card, plan, states.total),
    }
    return found, moments


def _model(given: str) -> tuple[str, Mapping[str, Any]]:
    """A name among MODELS or the path of a config.json, or of its folder; what it holds."""
    from rlcourse.systems.model_configs import MODELS, read

    for name, config in MODELS.items():
        if _plain(name) == _plain(given):
            return name, config
    path = Path(given) / "config.json" if Path(given).is_dir() else Path(given)
    if not path.is_file():
        known = ", ".join(MODELS)
        raise ValueError(f"MODEL must be the path of a config.json or one of {known}, got {given}")
    try:
        return str(path), read(path)
    except json.JSONDecodeError as error:
        raise ValueError(f"{path} must hold JSON: {error}") from None


def _one_of(name: str, given: str, known: Iterable[str]) -> str:
    """The known name that is given, or that alone contains it, whatever the case and the signs."""
    names = list(known)
    same = [x for x in names if _plain(x) == _plain(given)]
    if len(found := same or [x for x in names if _plain(given) in _plain(x)]) != 1:
        raise ValueError(f"{name} must be one of {'; '.join(names)}, got {given!r}")
    return found[0]


def _plain(name: str) -> str:
    return re.sub(r"[\W_]", "", name).lower()


def _traffic(units: list[int], given: Namespace, recipe: str, link: str) -> Report:
    """Elements of payload, bytes that a rank sends, seconds: of a step, all units together."""
    from rlcourse.systems.communication import calls, counted, seconds, sent_in_step
    from rlcourse.systems.zero import RECIPES

    made, sizes = calls(given.stage, units, given.ranks), RECIPES[recipe]
    weights = [call for call in made if call[0] == "all_gather"]
    gradients = [call for call in made if call[0] != "all_gather"]
    sent = sent_in_step(weights, sizes.weights, given.ranks)
    sent += sent_in_step(gradients, sizes.gradients, given.ranks)
    return {
        "payload_elements": counted(made),
        "sent_bytes": sent,
        "link": link,
        "seconds": seconds(sent, link),
    }


def _peak(moments: list["Moment"]) -> Report | None:
    """The largest moment, and who owns its bytes."""
    from rlcourse.systems.memory_timeline import OWNERS, peak

    if not moments:
        return None
    most = peak(moments)
    owned = {owner: getattr(most, owner) for owner in OWNERS}
    return {"moment": most.name, "bytes": most.total, "bytes_by_owner": owned}


def _card(name: str, plan: "Plan | None", states: int) -> Report:
    """Whether it fits, and what would; without a timeline only whether the states alone don't."""
    from rlcourse.systems.memory_advice import advice
    from rlcourse.systems.training_memory import CARDS, RESERVED, fits

    card: Report = {"name": name, "bytes": CARDS[name], "reserved_bytes": RESERVED}
    if plan is None:
        return card | {"fits": False if states + RESERVED > CARDS[name] else None, "advice": []}
    if fits(plan, name):
        return card | {"fits": True, "advice": []}
    changes = [(change.what, change.peak.total) for change in advice(plan, name)]
    keys = "change", "peak_bytes"
    told = [dict(zip(keys, x, strict=True)) for x in changes + _together(plan, name)]
    return card | {"fits": False, "advice": told}


def _together(plan: "Plan", card: str) -> list[tuple[str, int]]:
    """What is enough for most models: stage 3, checkpointing and as many ranks as that takes.

    If no number of ranks is enough, the same with one sequence.
    """
    from rlcourse.systems.memory_advice import MOST_RANKS
    from rlcourse.systems.training_memory import fits, peak_of

    for batch in dict.fromkeys((plan.batch, 1)):
        ranks = plan.ranks
        while ranks <= MOST_RANKS:
            other = replace(plan, ranks=ranks, batch=batch, stage=3, checkpointing=True)
            if fits(other, card):
                words = f"stage 3, ranks {ranks}, checkpointing" + ", batch 1" * (
                    batch != plan.batch
                )
                return [(words, peak_of(other).total)]
            ranks *= 2
    return []
