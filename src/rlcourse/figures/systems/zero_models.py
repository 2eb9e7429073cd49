"""Models by name in the chapter on ZeRO: their parameters, and what a token adds to the cache."""

from typing import Any, NamedTuple

from rlcourse.figures.systems.attention_speed import Rows, Tables
from rlcourse.plot import BLUE, GREY, Picture, panel, picture
from rlcourse.systems.parameter_counts import MODELS, count, kv_per_token
from rlcourse.systems.zero import GB

KIB = 2**10
CACHED = ("Llama-2-7B", "Llama-2-70B", "Llama-3.1-8B", "Qwen2.5-7B", "Qwen3-8B", "DeepSeek-V3")


def table_of_models() -> Tables:
    """Parameters of each model that the package knows, those one token uses, bytes of a token."""
    rows: Rows = [("model", "parameters", "of a token", "to train, GB", "KiB a token")]
    for name, config in MODELS.items():
        counts = count(config)
        cache = kv_per_token(config) / KIB
        numbers = f"{counts.total:,}", f"{counts.active:,}", f"{16 * counts.total / GB:,.0f}"
        rows.append((name, *numbers, f"{cache:g}" if cache % 1 == 0 else f"{cache:.1f}"))
    return Tables("Counted from config.json:", (rows,))


class Cache(NamedTuple):
    """Bytes that one token adds, as the model keeps it, and if each head of queries had its own."""

    kept: dict[str, int]
    ungrouped: dict[str, int]


def data_cache(names: tuple[str, ...] = CACHED) -> Cache:
    """From config.json, 16 bits a number."""
    found = {name: MODELS[name] for name in names}
    return Cache({name: kv_per_token(c) for name, c in found.items()},
                 {name: _ungrouped(c) for name, c in found.items()})  # fmt: skip


def _ungrouped(config: dict[str, Any]) -> int:
    """As if every head of queries had keys and values of its own, written down."""
    if config["model_type"] == "deepseek_v3":
        key = config["qk_nope_head_dim"] + config["qk_rope_head_dim"]
        each = config["num_attention_heads"] * (key + config["v_head_dim"])
        return int(2 * config["num_hidden_layers"] * each)
    return kv_per_token({**config, "num_key_value_heads": config["num_attention_heads"]})


def draw_cache(data: Cache) -> Picture:
    """Two bars a model on a logarithmic scale."""
    figure, axes = panel("Keys and values of one token, 16 bits", (4.8, 3.1))
    places = range(len(data.kept))
    for shift, of, colour, label in (
        (-0.2, data.ungrouped, GREY, "a head of keys for each of queries"),
        (0.2, data.kept, BLUE, "as it is"),
    ):
        sizes = [x / KIB for x in of.values()]
        bars = axes.barh([y + shift for y in places], sizes, 0.36, color=colour, label=label)
        axes.bar_label(bars, [f"{x:,.0f}" for x in sizes], padding=3, fontsize=7.5)
    axes.set_yticks(places, list(data.kept))
    axes.invert_yaxis()
    axes.set(xlabel="KiB", xscale="log", xlim=(20, 3 * max(data.ungrouped.values()) / KIB))
    axes.set_xticks([100, 1000], ["100", "1000"])
    axes.minorticks_off()
    axes.grid(axis="y", visible=False)
    axes.legend(fontsize=7, loc="lower center", bbox_to_anchor=(0.4, -0.36), ncols=2)
    words = "; ".join(
        f"{name} {kept / KIB:.0f} of {data.ungrouped[name] / KIB:.0f}"
        for name, kept in data.kept.items()
    )
    return picture(figure, f"KiB that a token adds, of what it would be without sharing: {words}.")
