"""How fast attention is: recorded benchmarks of a card and of a CPU, and a demonstration.

What was not measured is not drawn: without a record these functions say so, in words.
Operations are counted by `attention_flops`, the field's convention.
"""

import html
from dataclasses import dataclass
from typing import Any

from matplotlib.figure import Figure

from rlcourse.plot import COLOUR_OF, GREY, MIME, Picture, panel, picture
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
Rows = list[tuple[str, ...]]


def read(name: str) -> Record | None:
    """A recorded benchmark, or None where none was made."""
    return load(name) if (HERE / f"{name}.json").is_file() else None


# ------------------------------------------------------------------------------- the card


@dataclass(frozen=True)
class Tables:
    """A line in words, then tables: each a head and rows of cells."""

    says: str
    tables: tuple[Rows, ...]

    def _repr_mimebundle_(self, **_: object) -> dict[str, object]:
        page = self._repr_html_()
        return {"text/plain": str(self), "text/html": page, MIME: {"html": page}}

    def __str__(self) -> str:
        rows = ("  ".join(row) for rows in self.tables for row in rows)
        return "\n".join([self.says, *rows])

    def _repr_html_(self) -> str:
        parts = [f"<p>{html.escape(self.says)}</p>"]
        for head, *rows in self.tables:
            body = "".join(_row("td", row) for row in rows)
            table = f"<table><thead>{_row('th', head)}</thead><tbody>{body}</tbody></table>"
            parts.append(f'<div style="overflow-x:auto" tabindex="0">{table}</div>')
        return "".join(parts)


def _row(tag: str, cells: tuple[str, ...]) -> str:
    inside = "".join(f"<{tag}>{html.escape(cell)}</{tag}>" for cell in cells)
    return f"<tr>{inside}</tr>"


NOTHING = "Not measured yet: no record of {} is in this copy."


def show_gpu() -> Tables | None:
    """What was measured on a card; where nothing was, a line that says so."""
    record = read(GPU)
    if record is None:
        print(NOTHING.format("benchmarks/gpu/flash_attention.py"))
        return None
    return gpu_tables(record)


def picture_gpu() -> Picture | None:
    """TFLOP/s against the length; nothing where nothing was measured."""
    record = read(GPU)
    return None if record is None else draw_gpu(record)


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


def gpu_tables(record: Record) -> Tables:
    """TFLOP/s at each method's greatest length, TB/s of decoding and of softmax.

    Shares are of the matrix product, and of the copy, that the same run measured.
    """
    whole = record["matmul_tflops"]
    says = (
        f"{record['device']}, {record['date']}, PyTorch {record['torch']}, Triton"
        f" {record['triton']}. A matrix product runs at {whole:.0f} TFLOP/s, a copy at"
        f" {record['copy_tb_per_s']:.2f} TB/s."
    )
    found = [speeds(record, *kind) for kind in KINDS]
    rows: Rows = [("TFLOP/s, D = 128", "forward", "causal", "backward", "causal")]
    for method in (name for name in LOOKS if any(name in of for of in found)):
        n = max(n for of in found for n in of.get(method, ()))
        cells = (_share(of.get(method, {}).get(n), whole) for of in found)
        rows.append((f"{LOOKS[method][3]}, {n // 1024}k tokens", *cells))
    decode = _moved(record, "decode", ("ours", "sdpa_flash", "cudnn"))
    softmax = _moved(record, "softmax", ("ours", "torch"))
    return Tables(says, (rows, _packed(record), decode, softmax))


def _packed(record: Record) -> Rows:
    names = [LOOKS[method][3] for method in ("ours", "sdpa_flash", "cudnn")]
    rows: Rows = [
        ("ms, forward, causal", f"{names[0]}, packed", *(f"{x}, padded" for x in names[1:]))
    ]
    for row in record["rows"]:
        if row["kind"] == "packed":
            times = (
                row.get(f"{name}_ms") for name in ("ours", "sdpa_flash_padded", "cudnn_padded")
            )
            of = row["lengths"]
            problem = f"{len(of)} sequences of {min(of)} to {max(of)} tokens"
            rows.append((problem, *("" if t is None else f"{t:.2f}" for t in times)))
    return rows


def _moved(record: Record, kind: str, methods: tuple[str, ...]) -> Rows:
    rows: Rows = [(f"TB/s, {kind}", *(LOOKS[method][3] for method in methods))]
    for row in record["rows"]:
        if row["kind"] == kind:
            cells = (_share(row["tb_per_s"].get(m), record["copy_tb_per_s"], 2) for m in methods)
            rows.append((_problem(row), *cells))
    return rows


def _share(x: float | None, whole: float, digits: int = 0) -> str:
    return "" if x is None else f"{x:.{digits}f} ({x / whole:.0%})"


def _problem(row: dict[str, Any]) -> str:
    if row["kind"] == "softmax":
        return f"{row['N']} rows of {row['M']}"
    return f"B = {row['B']}, {row['H']} heads on {row['G']} of keys, {row['M']} keys"


# ------------------------------------------------------------------------------- the CPU


def show_cpu() -> Tables | None:
    """Seconds and peak memory of tiled, PyTorch's own and standard attention on a CPU."""
    record = read(CPU)
    if record is None:
        print(NOTHING.format("benchmarks/tiled_attention.py"))
        return None
    return cpu_tables(record)


def cpu_tables(record: Record) -> Tables:
    """For each kind of run, at the greatest length: seconds, speed against SDPA's, and memory."""
    versions = f"PyTorch {record['versions']['torch']}"
    says = f"{record['machine']['cpu']}, {record['date']}, {versions}."
    longest = max(row["N"] for row in record["rows"])
    rows: Rows = [(f"{longest} tokens", "seconds", "speed, SDPA's = 1", "MB")]
    for row in record["rows"]:
        if row["N"] == longest:
            speed, name = row["times_sdpa"]["median"], f"{row['method']}, {row['what']}"
            cells = f"{row['seconds']:.2f}", f"{speed:.2f}", f"{row['bytes'] / 1e6:.0f}"
            rows.append((name, *cells))
    return Tables(says, (rows,))


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
