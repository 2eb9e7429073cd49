"""RLHF's budget in the chapter on ZeRO: who is on the card at each moment of an iteration."""

from typing import NamedTuple

from matplotlib.figure import Figure

from rlcourse.plot import BLUE, GREEN, OCHRE, PURPLE, RED, Picture, panel, picture
from rlcourse.systems.parameter_counts import MODELS
from rlcourse.systems.rlhf_memory import Rlhf, bytes_by_moment, peak, rlhf
from rlcourse.systems.zero import GB

MODEL, RANKS, ENGINE_RANKS, CACHED = "Qwen2.5-7B", 4, 2, 2**19
CARD = 80 * GB
LOOKS = {
    "actor": (RED, "a"),
    "reference": (OCHRE, "f"),
    "critic": (PURPLE, "c"),
    "reward": (GREEN, "r"),
    "engine": (BLUE, "e"),
}
SHORT = {
    "log-probabilities": "log-probs",
    "reference log-probabilities": "reference",
}


class Budget(NamedTuple):
    """name -> a plan of PPO or GRPO on one pool of ranks."""

    plans: dict[str, Rlhf]
    ranks: int


def data_rlhf(ranks: int = RANKS) -> Budget:
    """PPO with everybody on the card, PPO where the idle leave it, and GRPO with a rule.

    All models of one size; engines over two ranks, with room for 2¹⁹ tokens; stage 3, bf16 Adam.
    """
    config = MODELS[MODEL]
    everybody = rlhf(config, CACHED, tensor_parallel=ENGINE_RANKS)
    return Budget(
        {
            "PPO, all stay": everybody,
            "PPO, the idle leave": everybody._replace(offload=everybody.owners),
            "GRPO, all stay": rlhf(
                config, CACHED, ("actor", "reference"), tensor_parallel=ENGINE_RANKS
            ),
        },
        ranks,
    )


def most(data: Budget, name: str) -> int:
    """Bytes at the peak of a plan."""
    return sum(peak(data.plans[name], data.ranks)[1].values())


def draw_rlhf(data: Budget) -> Picture:
    """A panel a plan, a bar for each moment of an iteration, and the card's line."""
    top = 1.25 * max(CARD, *(most(data, name) for name in data.plans)) / GB
    words = (f"{name}: {most(data, name) / GB:.1f} GB" for name in data.plans)
    return picture(
        [_panel(name, plan, data.ranks, top) for name, plan in data.plans.items()],
        f"Bytes on one of {data.ranks} ranks at the moments of an iteration, by model. The most is"
        f" {'; '.join(words)}; the card has {CARD / GB:.0f}.",
    )


def _panel(title: str, plan: Rlhf, ranks: int, top: float) -> Figure:
    figure, axes = panel(title, (3.5, 2.6))
    moments = bytes_by_moment(plan, ranks)
    for y, of in enumerate(moments.values()):
        start = 0.0
        for owner, size in of.items():
            colour, letter = LOOKS[owner]
            axes.barh(-y, size / GB, 0.7, start, color=(colour, 0.6), edgecolor=colour,
                      label=f"{letter}: {owner}" if not y else None)  # fmt: skip
            if size / GB > 0.05 * top:
                at = start + size / GB / 2
                axes.annotate(letter, (at, -y), ha="center", va="center", fontsize=8)
            start += size / GB
        axes.annotate(f"{start:.0f}", (start, -y), (3, -3), textcoords="offset points", fontsize=7)
    axes.axvline(CARD / GB, color="#000000", linewidth=1, linestyle=":")
    axes.set_yticks([-y for y in range(len(moments))], [SHORT.get(m, m) for m in moments])
    axes.set(xlabel="GB", xlim=(0, top))
    axes.grid(axis="y", visible=False)
    if "leave" in title:
        axes.legend(fontsize=6.5, loc="lower right")
    return figure
