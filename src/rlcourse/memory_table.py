"""What `rlcourse memory` found, as text and as a drawing; both say no more than the dictionary.

GB = 10⁹ bytes, GiB = 2³⁰ bytes, KiB = 2¹⁰ bytes.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from rlcourse.systems.memory_timeline import OWNERS, Moment

STATES = {"master": "master weights", "total": "all states"}
NAMED = {"optimizer": "master and moments", "gathered": "gathered weights"}


def lines(found: Mapping[str, Any]) -> list[str]:
    """The table, a line each."""
    plan, peak, parameters = found["plan"], found["peak"], found["parameters"]
    total, active = parameters["total"], parameters["active"]
    text = [f"{found['model']}: {total:,} parameters" + f", {active:,} active" * (active != total)]
    text.append(
        f"{plan['ranks']} x GPU, stage {plan['stage']}, {plan['recipe']}, {plan['batch']} x"
        f" {plan['tokens']} tokens each" + ", checkpointing" * plan["checkpointing"]
    )
    text += ["", f"{'on each GPU':24}{'GB':>10}{'GiB':>10}"]
    text += [_size(STATES.get(name, name), n) for name, n in found["state_bytes"].items()]
    if peak:
        text += [_size("activations, at most", found["activation_bytes"]), ""]
        text.append(_size("peak", peak["bytes"]) + f"   {peak['moment']}")
        owned = peak["bytes_by_owner"].items()
        text += [_size(f"  {NAMED.get(owner, owner)}", n) for owner, n in owned if n]
    else:
        text += ["", "activations and peak: known of llama, qwen2 and qwen3 alone"]
    return [*text, "", *_beside(found), "", *_card(found)]


def _size(name: str, n: int) -> str:
    return f"{name:24}{n / 10**9:10.3f}{n / 2**30:10.3f}"


def _beside(found: Mapping[str, Any]) -> list[str]:
    """The cache of a token and the traffic of a step."""
    cache, made = found["kv_cache_bytes_per_token"], found["communication"]
    text = [f"KV cache in 16 bits: {cache / 2**10:g} KiB a token"]
    if found["plan"]["ranks"] == 1:
        return text
    return [
        *text,
        f"a step's payload: {made['payload_elements'] / 10**9:.3f} · 10⁹ elements",
        f"sent by each GPU: {made['sent_bytes'] / 10**9:.3f} GB, at least {made['seconds']:.3g} s"
        f" over {made['link']}",
    ]


def _card(found: Mapping[str, Any]) -> list[str]:
    """Whether it fits, and what to change."""
    card = found["card"]
    size, kept = card["bytes"] / 2**30, card["reserved_bytes"] / 2**30
    says = {True: "it fits", False: "it does not fit", None: "the states fit, the rest is unknown"}
    text = [
        f"{card['name']}, {size:.2f} GiB, {kept:g} GiB of them CUDA's own: {says[card['fits']]}"
    ]
    if card["advice"]:
        text.append("one of these changes is enough:")
    elif card["fits"] is False:
        text.append("no change is known that would be enough")
    changes = [(c["change"], c["peak_bytes"] / 10**9) for c in card["advice"]]
    return text + [f"  {change:44}peak {gb:9.3f} GB" for change, gb in changes]


def draw(found: Mapping[str, Any], moments: list[Moment], file: Path) -> None:
    """The step's timeline by owner and the card's line, as an SVG file of its own.

    ValueError for another kind of file, or where there is no timeline.
    """
    from rlcourse.plot import PALETTE, panel

    if file.suffix != ".svg":
        raise ValueError(f"plot must name an .svg file, got {file}")
    if not moments:
        raise ValueError(f"plot needs a timeline, which is not known of {found['model']}")
    card, title = found["card"], f"{found['model']}: a step on each GPU"
    figure, axes = panel(title, (7.2, 3.4))
    seen = found["peak"]["bytes"] / 1000  # less is no more than a line
    owners = [name for name in OWNERS if max(getattr(m, name) for m in moments) > seen]
    heights = [[getattr(m, name) / 10**9 for m in moments] for name in owners]
    names = [NAMED.get(owner, owner) for owner in owners]
    axes.stackplot(range(len(moments)), heights, labels=names, colors=PALETTE, step="mid")
    axes.axhline(card["bytes"] / 10**9, color="black", linestyle=":", label=card["name"])
    axes.set(ylabel="GB", xlabel="forward, backward, update", xlim=(0, len(moments) - 1))
    axes.legend(loc="center left", bbox_to_anchor=(1, 0.5), reverse=True)
    figure.savefig(file, format="svg", metadata={"Date": None})
