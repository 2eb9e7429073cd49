"""Does a training step fit on a card?

    peak    the largest moment of a step of a plan: model, batch, recipe, ranks, stage
    fits    peak + what CUDA keeps for itself <= memory of the card

The model is a dense decoder of the Llama, Qwen2 or Qwen3 family, as `language.transformer` runs it
in PyTorch on a CPU: moments are exact to the byte there for one rank (`memory_timeline` says what
is added for more). In 16 bits all that a norm or the loss computes is in float32, and is kept. A
GPU's fused norms keep less; so on a card this should err on the safe side, which
`benchmarks/gpu/memory.py` is there to measure.
Memory of cards: what the driver reports (nvidia-smi), in MiB = 2²⁰ bytes; the name of a card says
GB, of which there are more or less.
Sources: the table of the driver's numbers at thundergolfer.com/blog/nvidia-gpu-memory-capacity;
for the RTX 4090 the output of nvidia-smi.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise
from math import prod
from typing import Any

from rlcourse._check import positive_integer
from rlcourse.systems.decoder_memory import Sizes
from rlcourse.systems.memory_timeline import Moment, Unit, peak, timeline
from rlcourse.systems.model_configs import MODELS, heads, read, size
from rlcourse.systems.unit_memory import Form, forms, passes
from rlcourse.systems.zero import GIB, RECIPES, Recipe

MIB = 2**20
CARDS = {
    "T4 16 GB": 15_360 * MIB,
    "L4 24 GB": 23_034 * MIB,
    "A10 24 GB": 23_028 * MIB,
    "RTX 4090 24 GB": 24_564 * MIB,
    "A100 40 GB": 40_960 * MIB,
    "L40S 48 GB": 46_068 * MIB,
    "A100 80 GB": 81_920 * MIB,
    "H100 80 GB": 81_559 * MIB,
    "H200 141 GB": 143_771 * MIB,
}
RESERVED = GIB  # the CUDA context, cuBLAS's workspace and what an allocator can't use
FAMILIES = ("llama", "qwen2", "qwen3")
UPDATES = ("fused", "foreach", "loop")


@dataclass(frozen=True)
class Plan:
    """A training step. model: a name in MODELS or the content of a config.json.

    batch: sequences of each rank, of so many tokens. update: which of PyTorch's forms of AdamW.
    ahead: units gathered before their turn. ValueError names what doesn't exist or is below 1.
    """

    model: str | Mapping[str, Any]
    batch: int = 1
    tokens: int = 2048
    ranks: int = 1
    stage: int = 0
    recipe: str = "bf16 Adam"
    checkpointing: bool = False
    update: str = "fused"
    ahead: int = 0

    def __post_init__(self) -> None:
        for name in ("batch", "tokens", "ranks"):
            positive_integer(name, getattr(self, name))
        if self.tokens < 2:
            raise ValueError(f"tokens must be at least 2, got {self.tokens}")
        choices = {"stage": range(4), "recipe": RECIPES, "update": UPDATES}
        if isinstance(self.model, str):
            choices["model"] = MODELS
        for name, known in choices.items():
            if (value := getattr(self, name)) not in known:
                raise ValueError(
                    f"{name} must be one of {', '.join(map(str, known))}, got {value!r}"
                )
        if self.ahead < 0:
            raise ValueError(f"ahead must not be negative, got {self.ahead}")
        sizes_of(self.config)

    @property
    def config(self) -> Mapping[str, Any]:
        """The content of the model's config.json."""
        return MODELS[self.model] if isinstance(self.model, str) else self.model


def sizes_of(config: Mapping[str, Any]) -> Sizes:
    """What counts of a config.json; ValueError for a family whose timeline isn't known."""
    c = read(config)
    if (family := c["model_type"]) not in FAMILIES:
        raise ValueError(f"model_type must be one of {', '.join(FAMILIES)}, got {family!r}")
    bias = bool(c.get("attention_bias", False))
    return Sizes(
        size(c, "vocab_size"), size(c, "hidden_size"), size(c, "num_hidden_layers"), *heads(c),
        size(c, "intermediate_size"),
        qkv_bias=bias or family == "qwen2",
        o_bias=bias and family != "qwen2",
        mlp_bias=family == "llama" and bool(c.get("mlp_bias", False)),
        qk_norm=family == "qwen3",
        tied=bool(c.get("tie_word_embeddings", False)),
    )  # fmt: skip


@lru_cache(maxsize=32)
def _forms(sizes: Sizes, element: int, checkpointing: bool) -> dict[str, Form]:
    return forms(sizes, element, checkpointing)


def units_of(plan: Plan) -> list[Unit]:
    """Embedding, blocks, and loss with the final norm and the head.

    At stage 3 tied weights are gathered for the loss too.
    """
    sizes, recipe = sizes_of(plan.config), RECIPES[plan.recipe]
    known = _forms(sizes, recipe.weights, plan.checkpointing)
    alike = {id(form): form for form in known.values()}  # most blocks
    at = {key: form.at("", plan.batch, plan.tokens) for key, form in alike.items()}
    units = [at[id(form)]._replace(name=name) for name, form in known.items()]
    if sizes.tied and plan.stage == 3 and plan.ranks > 1:
        table = recipe.weights * plan.ranks * -(-units[0].parameters // plan.ranks)
        loss = units[-1]
        units[-1] = loss._replace(forward=loss.forward + table, backward=loss.backward + table)
    return units


def update_bytes(plan: Plan) -> int:
    """What AdamW needs for itself while it updates, in numbers as wide as its moments.

    "fused": nothing. "foreach": one number for each parameter. "loop": two for each element of a
    tensor, and one for each of the tensor before it, whose denominator is still there. 8-bit
    moments and other optimizers: nothing.
    """
    recipe = RECIPES[plan.recipe]
    if plan.update == "fused" or recipe.block or "Adam" not in plan.recipe:
        return 0
    if plan.ranks > 1 and plan.stage:
        pieces = [-(-unit.parameters // plan.ranks) for unit in units_of(plan)]
    else:
        parts = passes(sizes_of(plan.config), recipe.weights).values()
        pieces = [prod(shape) for part in parts for shape in part.shapes]
    most = max(before + 2 * now for before, now in pairwise([0, *pieces]))
    return recipe.moments // 2 * (sum(pieces) if plan.update == "foreach" else most)


def timeline_of(plan: Plan, *, first: bool = False) -> list[Moment]:
    """The moments of a step of one rank; first: of the first step, before which no moments are."""
    recipe: Recipe = RECIPES[plan.recipe]
    return timeline(
        units_of(plan), recipe, plan.ranks, plan.stage, first=first, ahead=plan.ahead,
        batch=2 * 8 * plan.batch * plan.tokens, update=update_bytes(plan),
    )  # fmt: skip


def peak_of(plan: Plan) -> Moment:
    """The largest moment of a step that isn't the first, which is no larger."""
    return peak(timeline_of(plan))


def fits(plan: Plan, card: str, reserved: int = RESERVED) -> bool:
    """Whether the peak and the bytes reserved fit; ValueError for a card that isn't in CARDS."""
    if card not in CARDS:
        raise ValueError(f"card must be one of {', '.join(CARDS)}, got {card!r}")
    return peak_of(plan).total + reserved <= CARDS[card]
