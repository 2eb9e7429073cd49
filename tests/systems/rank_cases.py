"""What each rank of test_data_parallel runs: every case on groups of 1 to 4 of the same processes.

python rank_cases.py OUT    with the environment of torchrun; rank 0 writes what all ranks found
"""

import contextlib
import io
import os
import sys
from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Any, NamedTuple

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint, set_checkpoint_early_stop

from rlcourse.language.config import Config
from rlcourse.language.training import next_token_loss
from rlcourse.language.transformer import Decoder
from rlcourse.systems import data_parallel
from rlcourse.systems.data_parallel import STAGES
from rlcourse.systems.parallel_training import PRECISIONS, Adam

STEPS, BATCH, TOKENS = 2, 24, 5
# no size that 2, 3 or 4 would divide everywhere; layers that are wider than the embedding
CONFIG = Config(11, 6, 2, heads=3, kv_heads=1, head_dim=2, hidden=7, qkv_bias=True, qk_norm=True)


class Case(NamedTuple):
    """A way of training. units: whether each layer is one, or the model is a single unit."""

    precision: str = "fp64 Adam"
    adam: Adam = Adam(rate=1e-2)
    micro_batches: int = 1
    units: bool = True
    frozen: bool = False
    recompute: bool = False
    tied: bool = True


CASES = {
    "float64": Case(),
    "float32": Case("fp32 Adam"),
    "bfloat16": Case("bf16 Adam"),
    "float32 gradients": Case("bf16 Adam, fp32 gradients", micro_batches=2),
    "bfloat16 alone": Case("pure bf16 Adam", units=False),
    "one unit": Case(units=False, tied=False),
    "accumulated": Case(micro_batches=2, tied=False),
    "clipped, decayed": Case(adam=Adam(rate=1e-2, decay=0.3, clip=0.1)),
    "frozen": Case(frozen=True),
    "recomputed": Case(recompute=True),
    "frozen, recomputed": Case(frozen=True, recompute=True, micro_batches=2),
}
FEW = "float64", "bfloat16", "clipped, decayed", "frozen, recomputed"


class Recomputed(nn.Module):
    """A block that keeps its input alone, and runs again to its very end."""

    def __init__(self, block: nn.Module) -> None:
        super().__init__()
        self.block = block

    def forward(self, *inputs: Any) -> Tensor:
        with set_checkpoint_early_stop(False):
            return checkpoint(self.block, *inputs, use_reentrant=False)


def model_of(case: Case) -> tuple[Decoder, list[nn.Module]]:
    """A decoder in the widest type of the case, and its units."""
    types = PRECISIONS[case.precision]
    config = CONFIG if case.tied else Config(**{**vars(CONFIG), "tied": False})
    model = Decoder(config, generator=torch.Generator().manual_seed(3))
    model.to(torch.promote_types(types.optimizer, types.weights))
    if case.frozen:  # a parameter nobody uses; a layer with one trained matrix; one with none
        model.spare = nn.Parameter(torch.ones(5, dtype=model.head.dtype))
        model.layers.requires_grad_(False)
        model.layers[0].self_attn.q_proj.weight.requires_grad_(True)
    units = list(model.layers) if case.units else []
    if case.recompute:
        model.layers = nn.ModuleList(Recomputed(block) for block in model.layers)
    return model, units


def batches() -> Tensor:
    """(STEPS, BATCH, TOKENS + 1) tokens."""
    generator = torch.Generator().manual_seed(4)
    return torch.randint(CONFIG.vocabulary, (STEPS, BATCH, TOKENS + 1), generator=generator)


def loss_of(model: nn.Module, tokens: Tensor) -> Tensor:
    return next_token_loss(model(tokens[:, :-1]), tokens)


def whole(training: Any, model: nn.Module) -> Tensor:
    """All weights end to end, gathered where they are cut."""
    rows = [row for unit in training.units for row in unit.rows]
    for row in rows:
        row.gather()
    found = end_to_end(model)
    if training.stage == 3:
        for row in rows:
            row.release()
    return found


def end_to_end(model: nn.Module) -> Tensor:
    return torch.cat([p.detach().flatten() for p in model.parameters()])


def fit(group: Any, stage: int, case: Case) -> dict[str, Any]:
    """Trains at a stage; what one rank sees of it."""
    model, units = model_of(case)
    training = STAGES[stage](model, units, precision=case.precision, adam=case.adam, group=group)
    held, losses, made = [tuple(training.held())], [], []
    for batch in batches():
        training.ranks.calls.clear()
        mine = batch[dist.get_rank(group) :: dist.get_world_size(group)]
        for part in mine.chunk(case.micro_batches):
            loss = loss_of(model, part)
            training.backward(loss, case.micro_batches)
            losses.append(loss.item())
        training.step()
        held.append(tuple(training.held()))
        made.append(list(training.ranks.calls))
    return {"held": held, "losses": losses, "calls": made, "weights": whole(training, model)}


def fsdp2(group: Any) -> dict[str, Any]:
    """The same training by `fully_shard`, and the elements it keeps."""
    from torch.distributed.device_mesh import DeviceMesh
    from torch.distributed.fsdp import fully_shard

    model, units = model_of(CASES["float64"])
    mesh = DeviceMesh.from_group(group, "cpu")
    for module in (*units, model):
        fully_shard(module, mesh=mesh)
    optimizer = torch.optim.AdamW(model.parameters(), 1e-2, weight_decay=0.0)
    losses = []
    for batch in batches():
        loss = loss_of(model, batch[dist.get_rank(group) :: dist.get_world_size(group)])
        loss.backward()
        losses.append(loss.item())
        optimizer.step()
        gradients = [p.grad.to_local() for p in model.parameters()]
        optimizer.zero_grad()
    local = [p.to_local() for p in model.parameters()]
    moments = [optimizer.state[p]["exp_avg"].to_local() for p in model.parameters()]
    return {
        "losses": losses,
        "weights": torch.cat([p.full_tensor().detach().flatten() for p in model.parameters()]),
        "elements": sum(x.numel() for x in local),
        "bytes": [stored(local), stored(gradients), stored(moments)],
    }


def stored(tensors: list[Tensor]) -> int:
    """Bytes of their storages, each once."""
    return sum({x.untyped_storage()._cdata: x.untyped_storage().nbytes() for x in tensors}.values())


def whole_parameters(group: Any) -> dict[str, Any]:
    """The same training by `ZeroRedundancyOptimizer`, and the bytes of its first moments."""
    from torch.distributed.optim import ZeroRedundancyOptimizer

    model, _ = model_of(CASES["float64"])
    optimizer = ZeroRedundancyOptimizer(
        model.parameters(), torch.optim.AdamW, group, lr=1e-2, weight_decay=0.0
    )
    for batch in batches():
        loss_of(model, batch[dist.get_rank(group) :: dist.get_world_size(group)]).backward()
        for p in model.parameters():
            dist.all_reduce(p.grad, group=group)
            p.grad /= dist.get_world_size(group)
        optimizer.step()
        optimizer.zero_grad()
    moments = [state["exp_avg"] for state in optimizer.optim.state.values()]
    return {"weights": end_to_end(model), "bytes": stored(moments)}


def refusals(group: Any) -> list[str]:
    """The errors that come of what isn't allowed."""
    tied, _ = model_of(Case())
    other, _ = model_of(Case())
    pair = nn.ModuleList([nn.Linear(2, 2), nn.Linear(2, 2)])
    pair[1].weight = pair[0].weight

    def outside() -> None:
        STAGES[3](tied, [tied.embed_tokens], precision="fp64 Adam", group=group)
        tied(batches()[0])  # the last layer reads the embedding's weights too

    return list(
        errors(
            lambda: STAGES[1](other, precision="fp8", group=group),
            lambda: STAGES[1](other, [nn.Linear(2, 2)], group=group),
            lambda: STAGES[3](pair, [pair[1]], group=group),
            lambda: STAGES[0](other, group=group).backward(torch.zeros(()), micro_batches=0),
            outside,
        )
    )


def errors(*calls: Callable[[], Any]) -> Iterator[str]:
    for call in calls:
        try:
            call()
        except (ValueError, RuntimeError) as error:
            yield f"{type(error).__name__}: {error}"


def gathered_elements(group: Any) -> list[int]:
    """Elements of whole weights that there are at moments of a step of stage 3."""
    model, units = model_of(Case())
    training = STAGES[3](model, units, precision="fp64 Adam", group=group)
    found: list[int] = []

    def note(*_: Any) -> None:
        found.append(sum(p.numel() for p in model.parameters()))

    for unit in units:
        unit.mlp.register_forward_hook(note)
        unit.mlp.down_proj.register_full_backward_hook(note)
    note()
    loss = loss_of(model, batches()[0])
    note()
    training.backward(loss)
    note()
    return found


def printed() -> str:
    """What the first rank prints of runs from the command line."""
    found = io.StringIO()
    with contextlib.redirect_stdout(found):
        for stage in "0123":
            words = ["--stage", stage, "--steps", "2", "--width", "16", "--precision", "fp64 Adam"]
            data_parallel.train(data_parallel.options(words))
    return found.getvalue()


def run(out: str) -> None:
    torch.set_num_threads(1)
    dist.init_process_group("gloo", timeout=timedelta(seconds=60))
    found: dict[Any, Any] = {}
    for size in range(1, dist.get_world_size() + 1):
        group = dist.new_group(list(range(size)))
        if dist.get_rank() < size:
            for stage in range(4):
                for name in CASES if size == 2 else FEW:
                    found[size, stage, name] = fit(group, stage, CASES[name])
            found[size, "gathered"] = gathered_elements(group)
            if size > 1:
                found[size, "fsdp2"] = fsdp2(group)
                found[size, "whole"] = whole_parameters(group)
            else:
                found["refusals"] = refusals(group)
    found["printed"] = printed()
    everybody: list[Any] = [None] * dist.get_world_size()
    dist.all_gather_object(everybody, found)
    dist.destroy_process_group()
    if os.environ["RANK"] == "0":
        torch.save(everybody, f"{out}.part")
        os.replace(f"{out}.part", out)


if __name__ == "__main__":
    run(sys.argv[1])
