"""The playground of ZeRO: which states of training shrink with the ranks, and what fits."""

import functools
from typing import Any, NamedTuple

import numpy as np

from rlcourse import _check
from rlcourse.playgrounds._base import Playground, Prompt
from rlcourse.systems.parameter_counts import MODELS, count
from rlcourse.systems.training_memory import CARDS, FAMILIES, RESERVED, Plan, peak_of, sizes_of
from rlcourse.systems.unit_memory import Form, forms
from rlcourse.systems.zero import GB, RECIPES, States, states

EXAMPLE = "7.5 G parameters"
EXAMPLES = {EXAMPLE: 7_500_000_000}  # of the ZeRO paper, figure 1: a number without layers
NAMES = (*EXAMPLES, *MODELS)
RANKS = 1024
BATCHES = tuple(2**i for i in range(7))
LENGTHS = tuple(2**i for i in range(9, 18))


class Settings(NamedTuple):
    """What the reader can change.

    model   whose parameters are trained
    ranks   W, data-parallel ranks
    stage   of ZeRO, 0 to 3
    recipe  what training keeps of each parameter
    card    whose memory must hold what a rank keeps
    batch   B, sequences of each rank
    tokens  N, tokens of a sequence
    checkpointing  whether layers are computed again in the backward pass
    """

    model: str = EXAMPLE
    ranks: int = 64
    stage: int = 2
    recipe: str = "bf16 Adam"
    card: str = "A100 80 GB"
    batch: int = 1
    tokens: int = 8192
    checkpointing: bool = False


PROMPTS = (
    Prompt(
        "Sixteen times as many ranks, W = 1024: how much less does stage 2 keep?",
        {"ranks": 1024},
        "Hardly any less: 15.1 GB instead of 16.6. Its weights are whole, 15 GB on each rank, and"
        " no number of ranks shrinks them. Stage 1 keeps 30 GB whole. Only stage 3 has no floor:"
        " it goes from 1.9 to 0.1 GB.",
    ),
    Prompt(
        "All in float32 is 16 bytes a parameter too. Do the bars stay as they are?",
        {"recipe": "fp32 Adam"},
        "At stages 0 and 3, yes. But whole weights and gradients are twice as large, and there are"
        " no master weights to share out: stage 1 keeps 60.9 GB instead of 31.4, stage 2 keeps"
        " 31.4 instead of 16.6.",
    ),
    Prompt(
        "Llama-3.1-8B keeps 17.8 GB of states then. Does a step on one sequence of 8192 tokens fit"
        " in 80 GB?",
        {"model": "Llama-3.1-8B"},
        "No, it peaks at 87.5 GB: 61.5 are activations, and the loss needs 8.4 for itself. Each"
        " rank has sequences of its own, so no number of ranks shrinks these. Computing the layers"
        " again leaves 6.7 GB of activations and a peak of 32.7.",
    ),
)
"""Each answer is asserted, from the package's own numbers, in tests/playgrounds."""


class ZeROPlayground(Playground):
    """What each rank keeps at stages 0 to 3, beside the memory of a card.

    Arguments are those of `Settings`, which says what they mean; without any it comes with three
    questions to predict. Raises ValueError for what the controls cannot set.
    """

    name = "zero"

    def __init__(self, title: str | None = None, **settings: Any) -> None:
        if odd := settings.keys() - set(Settings._fields):
            raise ValueError(f"settings must be among {Settings._fields}, got {sorted(odd)}")
        w = Settings(**settings)
        known = {
            "model": NAMES, "stage": range(4), "recipe": RECIPES, "card": CARDS, "batch": BATCHES,
            "tokens": LENGTHS, "checkpointing": (False, True),
        }  # fmt: skip
        for name, options in known.items():
            if getattr(w, name) not in options:
                options = ", ".join(map(str, options))
                raise ValueError(f"{name} must be one of {options}, got {getattr(w, name)!r}")
        if _check.positive_integer("ranks", w.ranks) > RANKS:
            raise ValueError(f"ranks must be at most {RANKS}, got {w.ranks}")
        self.settings, self.title = w, title

    def data(self) -> dict[str, Any]:
        """Settings, models, recipes, cards, prompts, and the bytes that the script must repeat."""
        w = self.settings
        totals = [kept(w._replace(stage=stage)).total for stage in range(4)]
        data = {
            "settings": w._asdict(),
            "models": [(name, {"parameters": parameters(name), **ledger(name)}) for name in NAMES],
            "recipes": [(name, recipe._asdict()) for name, recipe in RECIPES.items()],
            "rooms": [(card, room(card)) for card in CARDS],
            "golden": {"states": totals, "peaks": peaks(w), "gb": totals[w.stage] / GB},
            "prompts": [prompt._asdict() for prompt in PROMPTS] if w == Settings() else [],
        }
        return data | ({"title": self.title} if self.title else {})

    def fallback(self) -> str:
        """A table of the stages: what a rank keeps of each state, and whether that fits."""
        w, rows, most = self.settings, "", room(self.settings.card)
        for stage in range(4):
            mine = kept(w._replace(stage=stage))
            columns = (mine.weights, mine.gradients, mine.master + mine.moments, mine.total)
            rows += f"<tr><td>{stage}" + "".join(f"<td>{n / GB:.1f}" for n in columns)
            rows += f"<td>{'yes' if mine.total <= most else 'no'}"
        return (
            f"<table><caption>What each of {w.ranks} ranks keeps of {parameters(w.model):,}"
            f" parameters, {w.recipe}, in GB of 10⁹ bytes; room on the {w.card}: {most / GB:.1f}."
            " With JavaScript this is a playground.</caption><tr><th>stage<th>weights<th>gradients"
            f"<th>master weights and moments<th>all states<th>fits{rows}</table>"
        )

    def __repr__(self) -> str:
        fields = ", ".join(f"{k}={v!r}" for k, v in self.settings._asdict().items())
        return f"ZeROPlayground({fields})"


@functools.cache
def parameters(model: str) -> int:
    """How many parameters a model has."""
    return EXAMPLES.get(model) or count(MODELS[model]).total


def kept(w: Settings) -> States:
    """The bytes of states that each rank keeps."""
    return states([(parameters(w.model),)], RECIPES[w.recipe], w.ranks, w.stage)[0]


def room(card: str) -> int:
    """Bytes that a card has for training: what CUDA keeps for itself is taken off."""
    return CARDS[card] - RESERVED


def layered(model: str) -> bool:
    """Whether the moments of a step of this model are known, not only its parameters."""
    return model in MODELS and MODELS[model]["model_type"] in FAMILIES


@functools.cache
def ledger(model: str) -> dict[str, Any]:
    """The units of a model for any B and N: by bytes of a weight its ends, and its blocks twice.

    Ends: embedding and loss; blocks: the first one and any other, without and with checkpointing.
    """
    if not layered(model):
        return {}
    sizes = sizes_of(MODELS[model])
    ends: dict[int, Any] = {}
    blocks: dict[int, list[Any]] = {}
    for e in sorted({recipe.weights for recipe in RECIPES.values()}):
        for lean in (False, True):
            embedding, *known, loss = map(plain, forms(sizes, e, lean).values())
            ends[e] = [embedding, loss]  # the same with checkpointing
            blocks.setdefault(e, []).append([known[0], known[-1]])
    return {"layers": sizes.layers, "tied": sizes.tied, "ends": ends, "blocks": blocks}


def plain(form: Form) -> list[Any]:
    """The fields of a form in their order; of the rows those that are ever the most here."""
    grid = np.array([[1, n, b * n] for b in BATCHES for n in LENGTHS]).T
    forward, backward = (
        rows[sorted({*(rows @ grid).argmax(0).tolist()})] for rows in (form.forward, form.backward)
    )
    rest = [x.tolist() for x in (form.held, forward, backward, form.released)]
    return [form.parameters, form.tensors, *rest]


def peaks(w: Settings) -> list[int] | None:
    """Bytes at the peak of a step without and with checkpointing; None without layers."""
    if not layered(w.model):
        return None
    return [peak_of(plan(w._replace(checkpointing=lean))).total for lean in (False, True)]


def plan(w: Settings) -> Plan:
    """The step whose peak is shown."""
    return Plan(**{name: x for name, x in w._asdict().items() if name != "card"})
