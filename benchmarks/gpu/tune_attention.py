"""Measure how the attention kernels are best cut on this GPU, and write attention_tuned.json.

    PYTHONPATH=src python benchmarks/gpu/tune_attention.py [--output FILE] [--processes 12]

For each kernel, head dimension and kind of mask every candidate is compiled and run once, in
parallel; what doesn't compile, fit or end is left out. The rest is timed on 16 k tokens, and the
fastest kept.
"""

import argparse
import json
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import torch
import triton

from rlcourse.systems import attention_launches as al
from rlcourse.systems import gpu_softmax
from rlcourse.systems.attention import FAR

TOKENS, N, WIDTH = 16384, 8192, 2048
TIME_LIMIT = 40  # seconds for a candidate to start, compile and run
Job = tuple[str, int, bool, tuple[Any, ...]]  # kernel, D, causal, launch
CANDIDATES = {
    "forward": ((128, 64, 8, 3), (64, 64, 4, 2), (64, 64, 4, 3), (64, 32, 4, 3), (64, 32, 4, 4)),
    "backward_kv": ((64, 64, 4, 2), (32, 64, 4, 2), (32, 64, 4, 3)),
    "backward_q": ((64, 64, 4, 2), (64, 32, 4, 3)),
}
SOFTMAX = {1024: ((2, 4), (4, 4), (8, 8)), 4096: ((1, 4), (1, 8), (2, 8)), 16384: ((1, 8), (1, 16))}


def problem(d: int, causal: bool) -> al.Problem:
    """16 k tokens in bfloat16."""
    generator = torch.Generator("cuda").manual_seed(0)
    shape = TOKENS // N, WIDTH // d, N, d
    q, k, v = (
        torch.randn(shape, generator=generator, device="cuda", dtype=torch.bfloat16)
        for _ in range(3)
    )
    return al.Problem(q, k, v, d**-0.5, FAR, 0 if causal else FAR, 0.0, None, None, None)


def runner(name: str, p: al.Problem, cut: al.Launch) -> Any:
    """A function that runs the kernel once, cut in this way."""
    out, rows = torch.empty_like(p.q), torch.zeros(p.q.shape[:3], device="cuda")
    rest, delta = torch.zeros_like(rows), torch.zeros_like(rows)

    def run() -> None:
        al.launch_for = lambda *_: cut
        if name == "forward":
            al.launch(name, p, {"q": (p.q,), "k": (p.k, p.v)}, (out, rows, rest, None), SINKS=False)
        elif name == "backward_q":
            al.launch(name, p, {"q": (p.q, p.q), "k": (p.k, p.v)}, (rows, rest, delta, out))
        else:
            both = torch.empty_like(p.k), torch.empty_like(p.v)
            al.launch(name, p, {"q": (p.q, p.q), "k": (p.k, p.v)}, (rows, rest, delta, *both))

    return run


def attempt(job: Job) -> None:
    """Compile and run one candidate; the compiled kernel stays in Triton's cache."""
    name, d, causal, cut = job
    runner(name, problem(d, causal), al.Launch(*cut))()
    torch.cuda.synchronize()


def works(job: Job) -> bool:
    """Whether a candidate compiles and runs: in a process of its own, since some of them hang."""
    command = [sys.executable, __file__, "--attempt", json.dumps(job)]
    try:
        subprocess.run(command, timeout=TIME_LIMIT, check=True, capture_output=True)
    except subprocess.TimeoutExpired:
        print("hangs:", *job, flush=True)
        return False
    except subprocess.CalledProcessError as error:
        print("fails:", *job, error.stderr.decode().strip().splitlines()[-1:], flush=True)
        return False
    return True


def tune_softmax() -> dict[tuple[str, int, str], dict[str, Any]]:
    """The best (rows, warps) of a program for rows of each length."""
    best: dict[tuple[str, int, str], dict[str, Any]] = {}
    for m, cuts in SOFTMAX.items():
        x = torch.randn(2**26 // m, m, device="cuda", dtype=torch.bfloat16)
        for rows, warps in cuts:
            cut = al.Launch(rows, m, warps, 1)
            gpu_softmax.cut_for = lambda *_, cut=cut: cut
            ms = triton.testing.do_bench(
                lambda x=x: gpu_softmax.gpu_softmax(x), warmup=5, rep=40, return_mode="median"
            )
            row = {"kernel": "softmax", "D": m, "edges": "row", "launch": cut._asdict()}
            row["tb_per_s"] = round(4 * x.numel() / ms / 1e9, 3)
            print(f"softmax      M {m:5} {cut} {row['tb_per_s']:6.3f} TB/s", flush=True)
            key = "softmax", m, "row"
            if key not in best or row["tb_per_s"] > best[key]["tb_per_s"]:
                best[key] = row
    return best


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--output", type=Path, default=al.TUNED)
    parser.add_argument("--processes", type=int, default=12)
    parser.add_argument("--attempt", type=json.loads, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.attempt:
        attempt(args.attempt)
        return
    jobs = [
        (name, d, causal, cut)
        for name, cuts in CANDIDATES.items() for d in (128, 64) for causal in (False, True)
        for cut in cuts
    ]  # fmt: skip
    began = time.perf_counter()
    with ThreadPoolExecutor(args.processes) as pool:
        alive = [job for job, ok in zip(jobs, pool.map(works, jobs), strict=True) if ok]
    print(f"{len(alive)} of {len(jobs)} candidates compile, {time.perf_counter() - began:.0f} s")
    best: dict[tuple[str, int, str], dict[str, Any]] = {}
    for name, d, causal, cut in alive:
        run = runner(name, problem(d, causal), al.Launch(*cut))
        ms = triton.testing.do_bench(run, warmup=5, rep=40, return_mode="median")
        matmuls = {"forward": 2, "backward_kv": 4, "backward_q": 3}[name]
        flops = matmuls * 2 * TOKENS * N * WIDTH / (1 + causal)
        row = {"kernel": name, "D": d, "edges": "causal" if causal else "full"}
        row |= {"launch": al.Launch(*cut)._asdict(), "tflops": round(flops / ms / 1e9, 1)}
        print(f"{name:12} D {d:3} {row['edges']:6} {cut!s:28} {row['tflops']:6.1f} TFLOP/s",
              flush=True)  # fmt: skip
        key = name, d, row["edges"]
        if key not in best or row["tflops"] > best[key]["tflops"]:
            best[key] = row
    best |= tune_softmax()
    table = {
        "device": torch.cuda.get_device_name(), "triton": triton.__version__,
        "capability": list(torch.cuda.get_device_capability()), "launches": list(best.values()),
    }  # fmt: skip
    args.output.write_text(json.dumps(table, indent=1) + "\n", encoding="utf-8")
    print(f"wrote {args.output} after {time.perf_counter() - began:.0f} s")


if __name__ == "__main__":
    main()
