"""How fast attention is: recorded benchmarks of the card and of the CPU, and a demonstration.

What was not measured is not drawn: without a record these functions say so, in words.
Operations are counted by `attention_flops`, the field's convention.
"""

from typing import Any

from matplotlib.figure import Figure

from rlcourse.plot import COLOUR_OF, GREY, Picture, panel, picture
from rlcourse.results import HERE, load
from rlcourse.systems.attention_tiles import attention_flops

GPU, CPU = "gpu/flash_attention", "benchmarks/tiled_attention"
LOOKS = {
    "ours": (COLOUR_OF["FlashAttention"], "-", "o", "this chapter's Triton"),
    "SDPA flash": (COLOUR_OF["SDPA, flash"], "--", "s", "PyTorch, FlashAttention-2"),
    "SDPA cuDNN": (COLOUR_OF["SDPA, cuDNN"], "-.", "^", "PyTorch, cuDNN"),
    "FlexAttention": (COLOUR_OF["FlexAttention"], ":", "D", "FlexAttention"),
    "naive": (COLOUR_OF["standard attention"], "-", "x", "standard attention"),
}
Rows = list[dict[str, Any]]


def read(name: str) -> dict[str, Any] | None:
    """A recorded benchmark, or None where none was made."""
    return load(name) if (HERE / f"{name}.json").is_file() else None


# ------------------------------------------------------------------------------- the card


def show_gpu() -> Picture | None:
    """TFLOP/s against the length on the card that was measured, and a table of what was."""
    record = read(GPU)
    if record is None:
        print("Not measured yet: no record of benchmarks/gpu/flash_attention.py is in this copy.")
        return None
    print(table(record))
    return draw_gpu(record)


def draw_gpu(record: dict[str, Any]) -> Picture:
    """Forward and backward at head dimension 128, each without and with a causal mask."""
    panels = [
        _speeds(record, what, causal)
        for what in ("forward", "backward")
        for causal in (False, True)
        if _chosen(record["rows"], what, causal)
    ]
    return picture(
        panels,
        "TFLOP/s against the number of tokens, a line for each implementation; standard attention"
        " stays lowest throughout.",
    )


def _chosen(rows: Rows, what: str, causal: bool) -> Rows:
    plain = (r for r in rows if r.get("groups", 1) == 1 and not r.get("packed"))
    return [r for r in plain if (r["what"], r["causal"], r["D"]) == (what, causal, 128)]


def _speeds(record: dict[str, Any], what: str, causal: bool) -> Figure:
    figure, axes = panel(f"{what.title()}{', causal' if causal else ''}, D = 128", (3.6, 2.9))
    rows = _chosen(record["rows"], what, causal)
    for method, (colour, line, marker, words) in LOOKS.items():
        mine = sorted((r["N"], r["tflops"]) for r in rows if r["method"] == method and r["tflops"])
        if mine:
            axes.plot(*zip(*mine, strict=True), line, marker=marker, color=colour, markersize=4.5,
                      linewidth=1.4, label=words)  # fmt: skip
    if record.get("matmul_tflops"):
        axes.axhline(record["matmul_tflops"], color=GREY, linewidth=0.9, linestyle=":")
    lengths = sorted({r["N"] for r in rows})
    axes.set_xscale("log")
    axes.set_xticks(lengths, [f"{n // 1024}k" for n in lengths])
    axes.minorticks_off()
    axes.set(xlabel="tokens", ylabel="TFLOP/s", ylim=(0, None))
    axes.legend(fontsize=6.5)
    return figure


def table(record: dict[str, Any]) -> str:
    """The card, and at the greatest length each method's TFLOP/s and share of a plain product."""
    versions = ", ".join(f"{name} {x}" for name, x in record["versions"].items())
    lines = [f"{record['machine'].get('gpu', '')}, {record['date']}, {versions}"]
    whole = record.get("matmul_tflops")
    for what in ("forward", "backward"):
        for causal in (False, True):
            rows = _chosen(record["rows"], what, causal)
            longest = max((r["N"] for r in rows), default=0)
            for r in rows:
                if r["N"] == longest and r["tflops"]:
                    share = f", {r['tflops'] / whole:4.0%} of a product" if whole else ""
                    name = f"{what}{', causal' if causal else ''}"
                    lines.append(
                        f"{name:17} N = {longest:6} {r['method']:14}"
                        f" {r['tflops']:6.0f} TFLOP/s{share}"
                    )
    return "\n".join(lines)


# ------------------------------------------------------------------------------- the CPU


def show_cpu() -> None:
    """Seconds and peak memory of tiled, PyTorch's own and standard attention on a CPU."""
    record = read(CPU)
    if record is None:
        print("Not measured yet: no record of benchmarks/tiled_attention.py is in this copy.")
    else:
        print(cpu_table(record))


def cpu_table(record: dict[str, Any]) -> str:
    """The machine, and a line for each run: its length, method, seconds and bytes."""
    lines = [f"{record['machine']['cpu']}, {record['date']}, torch {record['versions']['torch']}"]
    for r in record["rows"]:
        lines.append(
            f"{r['what']:20} N = {r['N']:6} {r['method']:6}"
            f" {r['seconds']:8.3f} s {r['bytes'] / 1e6:8.1f} MB"
        )
    return "\n".join(lines)


def demo(heads: int = 16, n: int = 8192, d: int = 128, device: str = "cuda") -> None:
    """Print seconds, TFLOP/s and bytes of one causal forward: the kernel's and PyTorch's own."""
    import torch
    from torch.nn.functional import scaled_dot_product_attention
    from torch.utils.benchmark import Timer

    from rlcourse.systems.gpu_attention import gpu_attention

    kind = torch.bfloat16 if device == "cuda" else torch.float32
    generator = torch.Generator(device).manual_seed(0)
    q, k, v = torch.randn(3, 1, heads, n, d, generator=generator, device=device, dtype=kind)
    runs = {
        "this kernel": lambda: gpu_attention(q, k, v, causal=True),
        "PyTorch": lambda: scaled_dot_product_attention(q, k, v, is_causal=True),
    }
    flops = attention_flops(n, n, d, heads, causal=True)
    for name, run in runs.items():
        seconds = Timer("run()", globals={"run": run}).blocked_autorange(min_run_time=0.2).median
        print(f"{name:11} {1e3 * seconds:8.2f} ms  {flops / seconds / 1e12:6.1f} TFLOP/s")
    apart = (runs["this kernel"]() - runs["PyTorch"]()).abs().max().item()
    print(f"largest difference {apart:.0e}; the scores alone would be {2 * heads * n**2:.0e} bytes")
