"""ZeRO on real ranks: bytes held against bytes foretold, and losses against those of one process.

    .venv/bin/python benchmarks/memory_ranks.py

writes src/rlcourse/results/benchmarks/memory_ranks.json, in about a minute, on CPUs with gloo.
Each row: a decoder of odd sizes, trained for 5 steps at a stage, each layer a unit. held: bytes of
the storages of each rank's tensors, read after the last step; bytes_off: the largest difference
from `zero.states`, unit by unit. payload: elements that a step's collectives carry, counted call by
call; payload_off: from `communication.calls`. loss_off: the largest relative difference of a loss
from that of one process that sees the whole batch, by torch's AdamW (for bf16: of the float32 run).
peers: what FSDP2's `fully_shard` and `ZeroRedundancyOptimizer` hold for the same model in float32;
`rows` and `whole`: bytes of 4 for each element of `zero.shares` in that cut. Nothing is timed.
"""

import os

os.environ["OMP_NUM_THREADS"] = "1"  # before torch loads

import tempfile
import warnings
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor
from torch.distributed.device_mesh import DeviceMesh
from torch.distributed.fsdp import fully_shard

from rlcourse import results
from rlcourse.language.config import Config
from rlcourse.language.training import next_token_loss
from rlcourse.language.transformer import Decoder
from rlcourse.systems.communication import calls, counted
from rlcourse.systems.data_parallel import STAGES
from rlcourse.systems.parallel_training import PRECISIONS, Adam
from rlcourse.systems.zero import shares, states

CONFIG = Config(1009, 51, 3, heads=5, kv_heads=1, head_dim=10, hidden=131, qkv_bias=True)
RANKS, STEPS, BATCH, TOKENS = (2, 4), 5, 8, 33
ADAM = Adam(rate=1e-2, decay=0.1, clip=1.0)


def model_of(dtype: torch.dtype) -> Decoder:
    return Decoder(CONFIG, generator=torch.Generator().manual_seed(1)).to(dtype)


def batches() -> Tensor:
    """(STEPS, BATCH, TOKENS) tokens that count up, each row from a random place in the first 99."""
    generator = torch.Generator().manual_seed(2)
    return torch.randint(99, (STEPS, BATCH, 1), generator=generator) + torch.arange(TOKENS)


def loss_of(model: torch.nn.Module, tokens: Tensor) -> Tensor:
    return next_token_loss(model(tokens[:, :-1]), tokens)


def losses_alone(dtype: torch.dtype) -> list[float]:
    """One process that sees the whole batch."""
    model, found = model_of(dtype), []
    optimizer = torch.optim.AdamW(
        model.parameters(), ADAM.rate, ADAM.betas, ADAM.eps, weight_decay=ADAM.decay
    )
    for tokens in batches():
        loss = loss_of(model, tokens)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), ADAM.clip or 0.0)
        optimizer.step()
        optimizer.zero_grad()
        found.append(loss.item())
    return found


def foretold(stage: int, ranks: int, precision: str) -> tuple[list[list[int]], int]:
    """Bytes of each rank, and elements of a step's payload, by formula alone."""
    model, recipe = model_of(torch.float32), PRECISIONS[precision].recipe
    inside = [[p.shape for p in layer.parameters()] for layer in model.layers]
    units = [[model.embed_tokens.weight.shape, model.norm.weight.shape], *inside]
    held = [[0] * 4 for _ in range(ranks)]
    for shapes in units:
        for rank, more in enumerate(states(shapes, recipe, ranks, stage)):
            held[rank] = [a + b for a, b in zip(held[rank], more, strict=True)]
    sizes = [sum(map(torch.Size.numel, shapes)) for shapes in units]
    return held, counted(calls(stage, sizes, ranks, clip=True))


def run(stage: int, ranks: int, precision: str) -> dict[str, Any]:
    """A row of the table; all ranks call this together."""
    types = PRECISIONS[precision]
    wide = torch.promote_types(types.weights, torch.float32)
    model = model_of(wide)
    training = STAGES[stage](model, list(model.layers), precision=precision, adam=ADAM)
    losses = []
    for tokens in batches():
        training.ranks.calls.clear()
        loss = loss_of(model, tokens[training.ranks.rank :: ranks])
        training.backward(loss)
        training.step()
        losses.append(sum(everybody(loss.item(), ranks)) / ranks)
    held = everybody(list(training.held()), ranks)
    right, payload = foretold(stage, ranks, precision)
    made = counted(training.ranks.calls)
    return {
        "ranks": ranks, "stage": stage, "precision": precision, "held": held,
        "bytes_off": largest(right, held), "payload": made, "payload_off": made - payload,
        "losses": [round(x, 4) for x in losses], "loss_off": relative(losses, losses_alone(wide)),
    }  # fmt: skip


def largest(right: list[list[int]], held: list[list[int]]) -> int:
    ranks = zip(right, held, strict=True)
    return max(abs(a - b) for pair in ranks for a, b in zip(*pair, strict=True))


def relative(losses: list[float], right: list[float]) -> float:
    return float(f"{max(abs(a / b - 1) for a, b in zip(losses, right, strict=True)):.2g}")


def everybody(x: Any, ranks: int) -> list[Any]:
    found = [None] * ranks
    dist.all_gather_object(found, x)
    return found


def peers(ranks: int) -> dict[str, Any]:
    """What PyTorch's own hold on each rank, after a step in float32."""
    from torch.distributed.optim import ZeroRedundancyOptimizer

    shapes = [p.shape for p in model_of(torch.float32).parameters()]
    model = model_of(torch.float32)
    mesh = DeviceMesh.from_group(dist.group.WORLD, "cpu")
    for module in (*model.layers, model):
        fully_shard(module, mesh=mesh)
    optimizer = torch.optim.AdamW(model.parameters())
    loss_of(model, batches()[0]).backward()
    optimizer.step()
    parts = {
        "weights": [p.to_local() for p in model.parameters()],
        "gradients": [p.grad.to_local() for p in model.parameters()],
        "moments": [
            optimizer.state[p][name].to_local()
            for p in model.parameters()
            for name in ("exp_avg", "exp_avg_sq")
        ],
    }
    model = model_of(torch.float32)
    sharing = ZeroRedundancyOptimizer(model.parameters(), torch.optim.AdamW, lr=1e-3)
    loss_of(model, batches()[0]).backward()
    sharing.step()
    moments = [s[name] for s in sharing.optim.state.values() for name in ("exp_avg", "exp_avg_sq")]
    return {
        "ranks": ranks,
        "fully_shard": {name: everybody(stored(x), ranks) for name, x in parts.items()},
        "rows": [4 * n for n in shares(shapes, ranks, "rows")],
        "zero_redundancy_moments": everybody(stored(moments), ranks),
        "whole": [4 * n for n in shares(shapes, ranks, "whole")],
    }


def stored(tensors: Iterable[Tensor]) -> int:
    """Bytes of their storages, each once."""
    return sum({x.untyped_storage()._cdata: x.untyped_storage().nbytes() for x in tensors}.values())


def rank_of(rank: int, ranks: int, folder: str) -> None:
    """One process of a group; the first one saves what all have found."""
    warnings.simplefilter("ignore")
    torch.set_num_threads(1)
    place = (Path(folder) / f"meeting{ranks}").as_uri()
    dist.init_process_group("gloo", init_method=place, rank=rank, world_size=ranks)
    rows = [
        run(stage, ranks, precision) for stage in range(len(STAGES)) for precision in PRECISIONS
    ]
    found = {"rows": rows, "peers": peers(ranks)}
    if rank == 0:
        torch.save(found, Path(folder) / f"found{ranks}.pt")
    dist.barrier()
    dist.destroy_process_group()


if __name__ == "__main__":
    content = results.circumstances("torch")
    content |= {"parameters": sum(p.numel() for p in model_of(torch.float32).parameters())}
    content |= {"rows": [], "peers": []}
    with tempfile.TemporaryDirectory() as folder:
        for ranks in RANKS:
            torch.multiprocessing.spawn(rank_of, (ranks, folder), ranks)
            found = torch.load(Path(folder) / f"found{ranks}.pt")
            content["rows"] += found["rows"]
            content["peers"].append(found["peers"])
    for row in content["rows"]:
        print(row)
    print(results.write("benchmarks/memory_ranks", content))
