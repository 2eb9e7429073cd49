"""PPO with thousands of carts on one device: steps a second, and seconds until CartPole is solved.

    PYTHONPATH=src python benchmarks/gpu/ppo.py [--output FILE] [--small]

Collecting alone and whole training for several numbers of environments, collecting launched kernel
by kernel and as a CUDA graph; learning curves of three seeds; and training on the CPU of the same
machine. Times are taken after the device has finished. Without a GPU it runs on the CPU; --small
shrinks it to a test. The JSON is written after every part. Needs torch and numpy alone.
"""

import argparse
import json
import os
import platform
import time
from collections.abc import Callable
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import torch

from rlcourse.deep.ppo_tensors import Learner, Settings, captured

FOLDER = os.environ.get("OUT")
OUTPUT = Path(__file__).parents[2] / "src/rlcourse/results/gpu/ppo.json"
SIZES = (256, 1024, 4096, 16384, 65536, 262144)


def seconds(run: Callable[[], Any], repeats: int, device: torch.device) -> float:
    """Median time of a call, the device's work included; one call before doesn't count."""
    run()
    taken = []
    for _ in range(repeats):
        if device.type == "cuda":
            torch.cuda.synchronize()
        began = time.perf_counter()
        run()
        if device.type == "cuda":
            torch.cuda.synchronize()
        taken.append(time.perf_counter() - began)
    return float(np.median(taken))


def learner(n: int, steps: int, updates: int, device: torch.device, seed: int = 0) -> Learner:
    generator = torch.Generator(device).manual_seed(seed)
    return Learner(Settings(n=n, steps=steps, updates=updates), generator=generator)


def graph_of(x: Learner, device: torch.device, row: dict[str, Any]) -> Callable[[], None]:
    """Collecting as a graph, where it can be had; else as it is, and the reason is kept."""
    if device.type != "cuda":
        return x.collect
    try:
        return captured(x.collect, x.generator)
    except RuntimeError as error:
        row["no_graph"] = f"{type(error).__name__}: {str(error)[:120]}"
        return x.collect


def speed(n: int, steps: int, device: torch.device, repeats: int) -> dict[str, Any]:
    """Steps a second of collecting, eagerly and as a graph, and of training."""
    row: dict[str, Any] = {"kind": "speed", "device": device.type, "n": n, "steps": steps}
    x = learner(n, steps, 1000, device)
    row["collect"] = n * steps / seconds(x.collect, repeats, device)
    collect = graph_of(x, device, row)
    row["collect_graph"] = n * steps / seconds(collect, repeats, device)

    def train() -> None:
        collect()
        x.update()

    row["train"] = n * steps / seconds(train, repeats, device)
    return {key: round(y) if isinstance(y, float) else y for key, y in row.items()}


def curve(n: int, steps: int, updates: int, device: torch.device, seed: int) -> dict[str, Any]:
    """Return of the episodes that ended in each batch, and when; the graph's capture counts."""
    row: dict[str, Any] = {"kind": "curve", "n": n, "steps": steps, "seed": seed}
    x = learner(n, steps, updates, device, seed)
    began = time.perf_counter()
    collect = graph_of(x, device, row)
    row["returns"], row["seconds"] = [], []
    for _ in range(updates):
        collect()
        earned = x.update()
        row["returns"].append(round(earned, 2) if earned == earned else None)
        row["seconds"].append(round(time.perf_counter() - began, 4))
    return row


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    folder = Path(FOLDER) / "gpu_ppo.json" if FOLDER else OUTPUT
    parser.add_argument("--output", type=Path, default=folder)
    parser.add_argument("--small", action="store_true")
    arguments = parser.parse_args()
    torch.set_float32_matmul_precision("highest")
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    gpu = torch.cuda.get_device_name() if device.type == "cuda" else "none"
    small = arguments.small
    content: dict[str, Any] = {
        "date": date.today().isoformat(),
        "versions": {
            "python": platform.python_version(),
            "torch": torch.__version__,
            "numpy": np.__version__,
        },
        "machine": {"gpu": gpu, "cpu_threads": torch.get_num_threads()},
        "settings": vars(Settings()) | {"hidden": list(Settings().hidden)},
        "rows": [],
    }

    def keep(row: dict[str, Any]) -> None:
        content["rows"].append(row)
        print(json.dumps(row)[:300], flush=True)
        arguments.output.parent.mkdir(parents=True, exist_ok=True)
        lines = [f"{json.dumps(key)}: {json.dumps(value)}" for key, value in content.items()]
        arguments.output.write_text("{\n" + ",\n".join(lines) + "\n}\n", encoding="utf-8")

    steps = 4 if small else 32
    for n in (64,) if small else SIZES:
        keep(speed(n, steps, device, 1 if small else 5))
    for n, updates in ((64, 2),) if small else ((4096, 60), (16384, 40)):
        for seed in range(1 if small else 3):
            keep(curve(n, steps, updates, device, seed))
    if device.type == "cuda":
        for n in (256, 4096):
            keep(speed(n, steps, torch.device("cpu"), 1))


if __name__ == "__main__":
    main()
