"""The Triton kernels against PyTorch's own attention on this GPU, in one run.

    PYTHONPATH=src python benchmarks/gpu/flash_attention.py [--full] [--output FILE]

bfloat16, B N = 16 k tokens, H D = 2048. Peers: SDPA's flash and cuDNN backends, FlexAttention
(compiled) and naive attention. A large matrix product and a large copy of the same run are the
ceilings. Errors are against the naive computation in float32. Times are medians; operations are
counted as 4 B H N M D for the forward, half of it when causal, 2.5 times as much for the backward.
The JSON is written after every row, so that an aborted run keeps what it has. Needs torch, triton
and numpy alone.
"""

import argparse
import json
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import date
from pathlib import Path
from typing import Any

import torch
import triton
from torch import Tensor
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.nn.functional import scaled_dot_product_attention as sdpa

from rlcourse.systems.gpu_attention import gpu_attention
from rlcourse.systems.gpu_decode import gpu_decode
from rlcourse.systems.gpu_softmax import gpu_softmax

OUTPUT = Path(__file__).parents[2] / "src/rlcourse/results/gpu/flash_attention.json"
TOKENS, WIDTH = 16384, 2048
Run = Callable[[], Any]


def milliseconds(run: Run, budget: int = 40) -> float:
    return float(triton.testing.do_bench(run, warmup=8, rep=budget, return_mode="median"))


def replayed(run: Run) -> float:
    """Milliseconds of a short call without what Python takes to launch it: a graph's replay."""
    return float(triton.testing.do_bench_cudagraph(run, rep=20, return_mode="median"))


def normal(*shape: int, seed: int = 0) -> Tensor:
    generator = torch.Generator("cuda").manual_seed(seed)
    return torch.randn(shape, generator=generator, device="cuda", dtype=torch.bfloat16)


@contextmanager
def quietly(row: dict[str, Any], name: str) -> Iterator[None]:
    """A peer that can't do a case is no number, and its reason is kept."""
    try:
        yield
    except Exception as error:
        row.setdefault("failed", {})[name] = f"{type(error).__name__}: {str(error)[:120]}"


# ------------------------------------------------------------------------------- attention


def naive(q: Tensor, k: Tensor, v: Tensor, causal: bool) -> Tensor:
    s = q @ k.mT * q.shape[-1] ** -0.5
    if causal:
        n, m = s.shape[-2:]
        hidden = torch.ones(n, m, dtype=torch.bool, device=s.device).triu(m - n + 1)
        s = s.masked_fill_(hidden, -torch.inf)
    return torch.softmax(s, -1) @ v


def backend(kind: SDPBackend) -> Callable[..., Tensor]:
    def attention(q: Tensor, k: Tensor, v: Tensor, causal: bool) -> Tensor:
        with sdpa_kernel(kind):
            return sdpa(q, k, v, is_causal=causal, enable_gqa=q.shape[1] != k.shape[1])

    return attention


def flex(q: Tensor, k: Tensor, v: Tensor, causal: bool) -> Tensor:
    from torch.nn.attention.flex_attention import create_block_mask, flex_attention

    global _compiled
    _compiled = globals().get("_compiled") or torch.compile(flex_attention, dynamic=False)
    mask = None
    if causal:
        key = q.shape[2], k.shape[2]
        if key not in MASKS:
            MASKS[key] = create_block_mask(lambda b, h, i, j: i >= j, None, None, *key)
        mask = MASKS[key]
    return _compiled(q, k, v, block_mask=mask, enable_gqa=q.shape[1] != k.shape[1])


MASKS: dict[tuple[int, int], Any] = {}
PEERS: dict[str, Callable[..., Tensor]] = {
    "ours": lambda q, k, v, causal: gpu_attention(q, k, v, causal=causal),
    "sdpa_flash": backend(SDPBackend.FLASH_ATTENTION),
    "cudnn": backend(SDPBackend.CUDNN_ATTENTION),
    "flex": flex,
    "naive": naive,
}


def attention_row(d: int, n: int, causal: bool, groups: int, peers: list[str]) -> dict[str, Any]:
    """Forward and backward of every peer on one problem; errors are relative, in the 2-norm."""
    b, h = TOKENS // n, WIDTH // d
    q, do = normal(b, h, n, d), normal(b, h, n, d, seed=3)
    k, v = normal(b, h // groups, n, d, seed=1), normal(b, h // groups, n, d, seed=2)
    leaves = [x.requires_grad_() for x in (q, k, v)]
    row: dict[str, Any] = {"kind": "attention", "B": b, "H": h, "G": h // groups, "N": n, "D": d}
    row |= {"causal": causal, "forward_ms": {}, "backward_ms": {}, "error": {}}
    wide = [x.detach()[:1, :1].float() for x in (q, k, v)]
    truth = naive(*wide, causal)
    for name in peers:
        with quietly(row, name):
            o = PEERS[name](q, k, v, causal)
            difference = (o.detach()[:1, :1].float() - truth).norm() / truth.norm()
            row["error"][name] = float(f"{float(difference):.3g}")
            with torch.no_grad():
                ms = milliseconds(lambda: PEERS[name](q, k, v, causal))  # noqa: B023
            row["forward_ms"][name] = round(ms, 4)
            ms = milliseconds(lambda: torch.autograd.grad(o, leaves, do, retain_graph=True))  # noqa: B023
            row["backward_ms"][name] = round(ms, 4)
    flops = 4 * b * h * n * n * d / (1 + causal)
    row["forward_tflops"] = {p: round(flops / ms / 1e9, 1) for p, ms in row["forward_ms"].items()}
    row["backward_tflops"] = {
        p: round(2.5 * flops / ms / 1e9, 1) for p, ms in row["backward_ms"].items()
    }
    return row


def packed_row(d: int = 128) -> dict[str, Any]:
    """Sequences of unequal lengths in one pack, against the padded batch that SDPA needs."""
    lengths = [512, 8192, 1024, 3072, 256, 2304, 640, 384]
    h, total, longest = WIDTH // d, sum(lengths), max(lengths)
    cu = torch.tensor([0, *lengths], device="cuda").cumsum(0).int()
    q, k, v = (normal(1, h, total, d, seed=s) for s in range(3))
    padded = [normal(len(lengths), h, longest, d, seed=s) for s in range(3)]
    row: dict[str, Any] = {"kind": "packed", "lengths": lengths, "H": h, "D": d, "causal": True}
    row["ours_ms"] = milliseconds(lambda: gpu_attention(q, k, v, causal=True, cu_seqlens=(cu, cu)))
    for name in ("sdpa_flash", "cudnn"):
        with quietly(row, name):
            row[f"{name}_padded_ms"] = milliseconds(lambda: PEERS[name](*padded, True))  # noqa: B023
    return row


def decode_row(b: int, h: int, g: int, m: int, d: int, copy: float) -> dict[str, Any]:
    """One new query a head against a cache of m keys; bytes are those of k and v, read once."""
    q, k, v = normal(b, h, 1, d), normal(b, g, m, d, seed=1), normal(b, g, m, d, seed=2)
    moved = 2 * k.numel() * 2
    row: dict[str, Any] = {"kind": "decode", "B": b, "H": h, "G": g, "M": m, "D": d, "ms": {}}
    row["error"] = {}
    truth = sdpa(q.float(), k.float(), v.float(), enable_gqa=h != g)
    runs = {"ours": lambda: gpu_decode(q, k, v)}
    for name in ("sdpa_flash", "cudnn"):
        runs[name] = lambda name=name: PEERS[name](q, k, v, False)
    for name, run in runs.items():
        with quietly(row, name), torch.no_grad():
            row["error"][name] = float(
                f"{float((run().float() - truth).norm() / truth.norm()):.3g}"
            )
            row["ms"][name] = round(replayed(run), 4)
    row["tb_per_s"] = {p: round(moved / ms / 1e9, 3) for p, ms in row["ms"].items()}
    row["of_copy"] = {p: round(x / copy, 3) for p, x in row["tb_per_s"].items()}
    return row


def softmax_row(n: int, m: int, copy: float) -> dict[str, Any]:
    x = normal(n, m)
    row: dict[str, Any] = {"kind": "softmax", "N": n, "M": m, "ms": {}}
    with torch.no_grad():
        for name, run in {
            "ours": lambda: gpu_softmax(x),
            "torch": lambda: torch.softmax(x, -1),
        }.items():
            row["ms"][name] = round(milliseconds(run), 4)
        row["error"] = float((gpu_softmax(x).float() - torch.softmax(x.float(), -1)).abs().max())
    row["tb_per_s"] = {p: round(4 * x.numel() / ms / 1e9, 3) for p, ms in row["ms"].items()}
    row["of_copy"] = {p: round(t / copy, 3) for p, t in row["tb_per_s"].items()}
    return row


def ceilings() -> dict[str, float]:
    """A bf16 matrix product (TFLOP/s), and a copy (TB/s, read and written)."""
    a, b = normal(8192, 8192), normal(8192, 8192, seed=1)
    x = torch.empty(2**31, dtype=torch.uint8, device="cuda").random_()
    y = torch.empty_like(x)
    product = 2 * 8192**3 / milliseconds(lambda: a @ b, 100) / 1e9
    return {
        "matmul_tflops": round(product, 1),
        "copy_tb_per_s": round(2 * x.numel() / milliseconds(lambda: y.copy_(x), 100) / 1e9, 3),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "--full", action="store_true", help="FlexAttention and naive at all lengths"
    )
    parser.add_argument("--output", type=Path, default=OUTPUT)
    args = parser.parse_args()
    began = time.perf_counter()
    result: dict[str, Any] = {
        "date": date.today().isoformat(), "device": torch.cuda.get_device_name(),
        "torch": torch.__version__, "triton": triton.__version__, "cuda": torch.version.cuda,
        "cudnn": torch.backends.cudnn.version(), **ceilings(), "rows": [],
    }  # fmt: skip

    def keep(row: dict[str, Any]) -> None:
        result["rows"].append(row)
        result["seconds"] = round(time.perf_counter() - began, 1)
        args.output.parent.mkdir(parents=True, exist_ok=True)
        args.output.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
        print(f"{result['seconds']:6.1f} s", {k: x for k, x in row.items() if k[-3:] != "_ms"},
              flush=True)  # fmt: skip

    fast = ["ours", "sdpa_flash", "cudnn"]
    for n in (16384, 8192, 4096, 2048, 1024):
        for d in (128, 64):
            for causal in (False, True):
                naively = ["naive"] if args.full or n == 4096 else []
                keep(attention_row(d, n, causal, 1, fast + naively))
    for n in (4096, 16384):
        keep(attention_row(128, n, True, 8, fast))
    keep(packed_row())
    copy = result["copy_tb_per_s"]
    for b, h, g in ((1, 32, 8), (8, 32, 8), (32, 32, 4), (8, 16, 16)):
        keep(decode_row(b, h, g, 32768, 128, copy))
    for n, m in ((65536, 1024), (16384, 4096), (8192, 16384), (2048, 131072)):
        keep(softmax_row(n, m, copy))
    for n in (8192, 16384, 4096, 2048, 1024) if args.full else (8192,):
        for causal in (False, True):
            keep(attention_row(128, n, causal, 1, ["ours", "flex"]))


if __name__ == "__main__":
    main()
