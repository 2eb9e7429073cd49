"""How fast attention is: recorded benchmarks of a card and of a CPU, and a demonstration.

What was not measured is not drawn: without a record these functions say so, in words.
Operations are counted by `attention_flops`, the field's convention.
"""

from typing import Any

from matplotlib.figure import Figure

from rlcourse.plot import COLOUR_OF, GREY, Picture, panel, picture
from rlcourse.results import HERE, load
from rlcourse.systems.attention_tiles import attention_flops

GPU, CPU = "gpu/flash_attention", "benchmarks/tiled_attention"
LOOKS = {  # method, as the record names it -> colour, line, marker, words
    "ours": (COLOUR_OF["FlashAttention"], "-", "o", "this chapter's Triton"),
    "sdpa_flash": (COLOUR_OF["SDPA, flash"], "--", "s", "PyTorch, flash"),
    "cudnn": (COLOUR_OF["SDPA, cuDNN"], "-.", "^", "PyTorch, cuDNN"),
    "flex": (COLOUR_OF["FlexAttention"], ":", "D", "FlexAttention"),
    "naive": (COLOUR_OF["standard attention"], "-", "x", "standard attention"),
    "torch": (COLOUR_OF["SDPA, flash"], "--", "s", "torch.softmax"),
}
Record = dict[str, Any]


def read(name: str) -> Record | None:
    """A recorded benchmark, or None where none was made."""
    return load(name) if (HERE / f"{name}.json").is_file() else None


# ------------------------------------------------------------------------------- the card


def show_gpu() -> Picture | None:
    """What was measured on a card, as a table, then TFLOP/s against the length, as a figure."""
    record = read(GPU)
    if record is None:
        print("Not measured yet: no record of benchmarks/gpu/flash_attention.py is in this copy.")
        return None
    _display(gpu_table(record))
    return draw_gpu(record)


def _display(text: str) -> None:
    from IPython.display import Markdown, display

    display(Markdown(text))  # type: ignore[no-untyped-call]


def speeds(record: Record, what: str, causal: bool, d: int = 128) -> dict[str, dict[int, float]]:
    """method -> length -> TFLOP/s, of plain attention without shared heads of keys."""
    found: dict[str, dict[int, float]] = {name: {} for name in LOOKS}
    for row in record["rows"]:
        if row["kind"] == "attention" and (row["D"], row["causal"]) == (d, causal):
            for method, speed in row[f"{what}_tflops"].items() if row["G"] == row["H"] else ():
                found[method].setdefault(row["N"], speed)
    return {method: of for method, of in found.items() if of}


def draw_gpu(record: Record) -> Picture:
    """Forward and backward at head dimension 128, each without and with a causal mask."""
    return picture(
        [_draw_speeds(record, *kind) for kind in KINDS if speeds(record, *kind)],
        "TFLOP/s against the number of tokens, one line for each implementation, and the speed of a"
        " plain matrix product.",
    )


def _draw_speeds(record: Record, what: str, causal: bool) -> Figure:
    figure, axes = panel(f"{what.title()}{', causal' if causal else ''}, D = 128", (3.6, 2.9))
    found = speeds(record, what, causal)
    for method, (colour, line, marker, words) in LOOKS.items():
        if method in found:
            n = sorted(found[method])
            axes.plot(n, [found[method][x] for x in n], line, marker=marker, color=colour,
                      markersize=4.5, linewidth=1.4, label=words)  # fmt: skip
    axes.axhline(record["matmul_tflops"], color=GREY, linewidth=0.9, linestyle=":",
                 label="matrix product")  # fmt: skip
    lengths = sorted({n for of in found.values() for n in of})
    axes.set_xscale("log")
    axes.set_xticks(lengths, [f"{n // 1024}k" for n in lengths])
    axes.minorticks_off()
    axes.set(xlabel="tokens", ylabel="TFLOP/s", ylim=(0, 1.3 * record["matmul_tflops"]))
    axes.legend(fontsize=6.5, ncols=2, loc="upper left")
    return figure


KINDS = [(what, causal) for what in ("forward", "backward") for causal in (False, True)]


def gpu_table(record: Record) -> str:
    """Markdown: the card; TFLOP/s at each method's greatest length; TB/s of decoding and softmax.

    Shares are of the matrix product, and of the copy, that the same run measured.
    """
    whole = record["matmul_tflops"]
    lines = [
        f"{record['device']}, {record['date']}, PyTorch {record['torch']}, Triton"
        f" {record['triton']}. A matrix product runs at {whole:.0f} TFLOP/s, a copy at"
        f" {record['copy_tb_per_s']:.2f} TB/s.",
        "",
        "| TFLOP/s at D = 128 | forward | causal | backward | causal |",
        "|---|---|---|---|---|",
    ]
    found = [speeds(record, *kind) for kind in KINDS]
    for method in (name for name in LOOKS if any(name in of for of in found)):
        longest = max(n for of in found for n in of.get(method, ()))
        cells = (of.get(method, {}).get(longest) for of in found)
        words = (f"{x:.0f} ({x / whole:.0%})" if x else "" for x in cells)
        name = f"{LOOKS[method][3]}, {longest // 1024}k tokens"
        lines.append("| " + " | ".join((name, *words)) + " |")
    for kind, methods in (
        ("decode", ("ours", "sdpa_flash", "cudnn")),
        ("softmax", ("ours", "torch")),
    ):
        heads = " | ".join(LOOKS[method][3] for method in methods)
        lines += ["", f"| TB/s: {kind} | {heads} |", "|---" * (1 + len(methods)) + "|"]
        for row in record["rows"]:
            if row["kind"] == kind:
                done = [(row["tb_per_s"].get(m), row["of_copy"].get(m)) for m in methods]
                words = (f"{x:.2f} ({share:.0%})" if x else "" for x, share in done)
                lines.append("| " + " | ".join((_problem(row), *words)) + " |")
    return "\n".join(lines)


def _problem(row: dict[str, Any]) -> str:
    if row["kind"] == "softmax":
        return f"{row['N']} rows of {row['M']}"
    return f"B = {row['B']}, {row['H']} heads on {row['G']} of keys, {row['M']} keys"


# ------------------------------------------------------------------------------- the CPU


def show_cpu() -> None:
    """Seconds and peak memory of tiled, PyTorch's own and standard attention on a CPU."""
    record = read(CPU)
    if record is None:
        print("Not measured yet: no record of benchmarks/tiled_attention.py is in this copy.")
    else:
        _display(cpu_table(record))


def cpu_table(record: Record) -> str:
    """Markdown: the machine; seconds, speed against SDPA's, and memory of each run."""
    lines = [
        f"{record['machine']['cpu']}, {record['date']}, PyTorch {record['versions']['torch']}.",
        "",
        "| N | | seconds | times SDPA's speed | MB |",
        "|---|---|---|---|---|",
    ]
    for row in record["rows"]:
        speed, name = row["times_sdpa"]["median"], f"{row['method']}, {row['what']}"
        numbers = f"{row['seconds']:.3f} | {speed:.2f} | {row['bytes'] / 1e6:.0f}"
        lines.append(f"| {row['N']} | {name} | {numbers} |")
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
