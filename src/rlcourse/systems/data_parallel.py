"""Data parallel and ZeRO-1, 2 and 3 on a process group, each as what it changes in the one before.

Each rank runs the whole model on its own part of the batch.

                  DataParallel       Zero1              Zero2            Zero3
    optimizer of  all                a share            a share          a share
    micro-batch   add gradients up   add gradients up   reduce-scatter   reduce-scatter
    step          all-reduce         reduce-scatter     –                –
    new weights   –                  all-gather         all-gather       –
    around a unit –                  –                  –                gather, release

    training = Zero2(model, model.layers)
    for tokens in batches:
        training.backward(mean_loss(model(tokens)))
        training.step()

Nothing overlaps here: every collective is waited for. All ranks must run the same graph, on parts
of one size. Shapes: W ranks; a unit of P parameters has a row (W s,), s = ⌈P/W⌉.

    torchrun --nproc-per-node 2 -m rlcourse.systems.data_parallel --stage 3

trains a small decoder, on GPUs where there are any, and prints losses, bytes and payload.
Sources: Rajbhandari et al. (2020), ZeRO, section 5; Zhao et al. (2023), PyTorch FSDP, section 3.
"""

import argparse
import os
from collections.abc import Callable, Sequence
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor
from torch.nn import functional as F

from rlcourse.language.config import Config
from rlcourse.language.text import verses
from rlcourse.language.training import next_token_loss, random_windows
from rlcourse.language.transformer import Decoder
from rlcourse.systems.communication import counted
from rlcourse.systems.flat_unit import Unit
from rlcourse.systems.parallel_training import PRECISIONS, ParallelTraining


class DataParallel(ParallelTraining):
    """Stage 0: every rank keeps everything, and does the same step on the same gradient."""

    stage = 0

    def mine(self, unit: Unit, row: Tensor) -> Tensor:
        """All but the padding: (W s,) -> (P,)."""
        return row[: unit.trained.size]

    def kept(self, unit: Unit, row: Tensor) -> Tensor:
        """All but the padding: (W s,) -> (P,)."""
        return row[: unit.trained.size]

    def receive(self, unit: Unit, gradients: Tensor) -> None:
        """Gradients of this rank's part of the batch are added up; nothing is sent."""
        unit.gradient += self.kept(unit, gradients)

    def reduced(self, unit: Unit) -> Tensor:
        """The sum over the ranks, once a step."""
        return self.ranks.all_reduce(unit.gradient)

    def weights(self, unit: Unit) -> Tensor:
        """The weights of what is `mine`, out of the model."""
        return self.mine(unit, unit.trained.flatten(unit.trained.parameters))

    def publish(self, unit: Unit, weights: Tensor) -> None:
        """Nothing is sent: all ranks have come to the same weights."""
        unit.trained.fill(weights)


class Zero1(DataParallel):
    """Stage 1: the optimizer's states are cut, so a rank needs the gradient of its share alone."""

    stage = 1

    def mine(self, unit: Unit, row: Tensor) -> Tensor:
        """This rank's share: (W s,) -> (s,)."""
        return unit.trained.mine(row)

    def reduced(self, unit: Unit) -> Tensor:
        """The share of the sum over the ranks, once a step."""
        row = unit.trained
        return self.ranks.reduce_scatter(
            F.pad(unit.gradient, (0, row.each * self.ranks.size - row.size))
        )

    def publish(self, unit: Unit, weights: Tensor) -> None:
        """The ranks hand one another their shares."""
        unit.trained.fill(self.ranks.all_gather(weights))


class Zero2(Zero1):
    """Stage 2: the gradients are cut too; what isn't mine is reduced and dropped at once."""

    stage = 2

    def kept(self, unit: Unit, row: Tensor) -> Tensor:
        """This rank's share: (W s,) -> (s,)."""
        return unit.trained.mine(row)

    def receive(self, unit: Unit, gradients: Tensor) -> None:
        """Reduced in every micro-batch: nobody keeps what would have to be reduced later."""
        unit.gradient += self.ranks.reduce_scatter(gradients)

    def reduced(self, unit: Unit) -> Tensor:
        """It is already."""
        return unit.gradient


class Zero3(Zero2):
    """Stage 3: the weights are cut too; a unit is whole only while it computes."""

    stage = 3

    def prepare(self, unit: Unit) -> None:
        """Keeps shares of the weights, and watches where the unit begins and ends."""
        super().prepare(unit)
        for row in unit.rows:
            row.cut()
        self.running = False  # backward
        unit.module.register_forward_pre_hook(lambda _, inputs: self.enter(unit, inputs))
        unit.module.register_forward_hook(lambda _, inputs, output: self.leave(unit, output))

    def enter(self, unit: Unit, inputs: tuple[Any, ...]) -> None:
        """Before forward: the weights are gathered.

        Backward is done when the gradients of the unit's parameters and of its inputs are there:
        a frozen weight is needed for the latter.
        """
        for row in unit.rows:
            row.gather()
        if torch.is_grad_enabled() and not self.running:  # else recomputed by a checkpoint
            for x in inputs:
                if isinstance(x, Tensor) and x.requires_grad:
                    unit.waiting += 1
                    watch(x, self.arrive, unit)

    def leave(self, unit: Unit, output: Tensor) -> None:
        """After forward: released, until the gradient of the output comes."""
        if self.running:
            return
        for row in unit.rows:
            row.release()
        if output.requires_grad:
            watch(output, self.again, unit)

    def again(self, unit: Unit) -> None:
        """Before the unit's backward pass: gathered once more."""
        for row in unit.rows:
            row.gather()

    def backward(self, loss: Tensor, micro_batches: int = 1) -> None:
        """As ever; a forward pass that happens meanwhile is a recomputation."""
        self.running = True
        super().backward(loss, micro_batches)
        self.running = False

    def finish(self, unit: Unit) -> None:
        """Gradients are reduced, then the weights released."""
        super().finish(unit)
        for row in unit.rows:
            row.release()

    def weights(self, unit: Unit) -> Tensor:
        """The share itself."""
        assert unit.trained.share is not None
        return unit.trained.share

    def publish(self, unit: Unit, weights: Tensor) -> None:
        """Nothing is sent before the next gather."""
        self.weights(unit).copy_(weights)


STAGES: tuple[type[ParallelTraining], ...] = (DataParallel, Zero1, Zero2, Zero3)


def watch(x: Tensor, then: Callable[[Unit], None], unit: Unit) -> None:
    """Calls `then(unit)` when the gradient of x is known, before anything is made of it."""
    x.register_hook(lambda _: then(unit))  # type: ignore[no-untyped-call]


def train(a: argparse.Namespace) -> None:
    """Trains a decoder of bytes with the other ranks; the first one prints what becomes of it."""
    device = torch.device("cuda" if on_gpu() else "cpu")
    generator = torch.Generator().manual_seed(0)
    config = Config(
        256, a.width, a.layers, 4, kv_heads=2, head_dim=a.width // 4, hidden=3 * a.width
    )
    model = Decoder(config, generator=generator).to(device)
    training = STAGES[a.stage](model, list(model.layers), precision=a.precision)
    ids, ranks = torch.tensor(list(" ".join(verses("Mark")).encode())), training.ranks
    say(f"stage {a.stage}, {ranks.size} ranks on {device.type}, {a.precision}. Bytes of each rank:")
    for held in everybody(training.held()._asdict()):
        say("  ", ", ".join(f"{name} {size:,}" for name, size in held.items()))
    for step in range(1, a.steps + 1):
        ranks.calls.clear()
        tokens = random_windows(ids, a.batch, 65, generator=generator)
        mine = tokens[ranks.rank :: ranks.size].to(device)
        loss = next_token_loss(model(mine[:, :-1]), mine)
        training.backward(loss)
        training.step()
        mean = sum(everybody(loss.item())) / ranks.size
        say(f"step {step}: loss {mean:.6f}, payload {counted(ranks.calls):,} elements")


def everybody(x: Any) -> list[Any]:
    """What x is on each rank."""
    found = [None] * dist.get_world_size()
    dist.all_gather_object(found, x)
    return found


def say(*words: object) -> None:
    """Prints, on the first rank alone."""
    if dist.get_rank() == 0:
        print(*words, flush=True)


def on_gpu() -> bool:
    """Whether each rank of this machine has a GPU of its own."""
    return torch.cuda.device_count() >= int(os.environ["LOCAL_WORLD_SIZE"])


def options(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """The words behind `torchrun … -m rlcourse.systems.data_parallel`."""
    parser = argparse.ArgumentParser(prog="rlcourse.systems.data_parallel")
    parser.add_argument("--stage", type=int, choices=range(4), default=3)
    parser.add_argument("--steps", type=int, default=5)
    parser.add_argument("--precision", choices=PRECISIONS, default="fp32 Adam")
    parser.add_argument("--width", type=int, default=64)
    parser.add_argument("--layers", type=int, default=2)
    parser.add_argument("--batch", type=int, default=8, help="sequences, of all ranks together")
    return parser.parse_args(arguments)


def main(arguments: Sequence[str] | None = None) -> None:
    """One rank of a run; torchrun says which, in the environment."""
    a = options(arguments)
    if on_gpu():
        torch.cuda.set_device(int(os.environ["LOCAL_RANK"]))
    dist.init_process_group("nccl" if on_gpu() else "gloo")
    try:
        train(a)
    finally:
        dist.destroy_process_group()


if __name__ == "__main__":
    main()
