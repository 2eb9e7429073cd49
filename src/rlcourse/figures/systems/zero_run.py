"""ZeRO on real ranks: two processes of this machine train a small decoder under each stage.

What they hold is the bytes of their tensors' storages; what they send is counted call by call.
This module draws nothing, so that a process that imports it is soon at work.
"""

import json
import multiprocessing
import os
import tempfile
from pathlib import Path
from typing import Any, NamedTuple

import torch
import torch.distributed as dist

from rlcourse.language.config import Config
from rlcourse.language.training import next_token_loss
from rlcourse.language.transformer import Decoder
from rlcourse.systems.communication import counted
from rlcourse.systems.data_parallel import STAGES
from rlcourse.systems.parallel_training import Adam
from rlcourse.systems.zero import RECIPES, states

CONFIG = Config(97, 24, 2, heads=3, kv_heads=1, head_dim=8, hidden=50)
RECIPE = "bf16 Adam"
BATCH, TOKENS = 8, 16
LIMIT = 60.0  # seconds until the processes count as stuck


class Run(NamedTuple):
    """One stage on W ranks.

    losses     of the whole batch, step by step
    held       bytes of each rank's tensors
    predicted  the same by the formula, each unit padded for itself
    payload    elements of a step, counted
    """

    stage: int
    losses: list[float]
    held: list[int]
    predicted: list[int]
    payload: int


def data_run(ranks: int = 2, steps: int = 10) -> list[Run]:
    """All four stages, one after another, in one group of processes; tokens count up."""
    spawn = multiprocessing.get_context("spawn")
    with tempfile.TemporaryDirectory() as folder:
        started = [
            spawn.Process(target=_rank, args=(rank, ranks, steps, folder), daemon=True)
            for rank in range(ranks)
        ]
        for process in started:
            process.start()
        for process in started:
            process.join(LIMIT)
        if not (place := Path(folder) / "found.json").is_file():
            raise RuntimeError(f"a rank failed: exit codes {[x.exitcode for x in started]}")
        found = json.loads(place.read_text("utf-8"))
    return [Run(*fields) for fields in found]


def _rank(rank: int, ranks: int, steps: int, folder: str) -> None:
    """One process; the first writes down what all have found. Never returns."""
    torch.set_num_threads(1)
    place = (Path(folder) / "meeting").as_uri()
    dist.init_process_group("gloo", init_method=place, rank=rank, world_size=ranks)
    found = [_train(stage, rank, ranks, steps) for stage in range(len(STAGES))]
    if not rank:
        (Path(folder) / "found.json").write_text(json.dumps(found), "utf-8")
    dist.barrier()
    os._exit(0)  # gloo's threads may abort when they are taken down in order


def _train(stage: int, rank: int, ranks: int, steps: int) -> Run:
    generator = torch.Generator().manual_seed(0)
    model = Decoder(CONFIG, generator=generator)
    training = STAGES[stage](model, list(model.layers), precision=RECIPE, adam=Adam(0.01))
    predicted = [0] * ranks
    for unit in training.units:
        of = states(unit.trained.shapes, RECIPES[RECIPE], ranks, stage)
        predicted = [a + b.total for a, b in zip(predicted, of, strict=True)]
    losses = []
    for _ in range(steps):
        training.ranks.calls.clear()
        first = torch.randint(CONFIG.vocabulary, (BATCH, 1), generator=generator)
        mine = ((first + torch.arange(TOKENS + 1)) % CONFIG.vocabulary)[rank::ranks]
        loss = next_token_loss(model(mine[:, :-1]), mine)
        training.backward(loss)
        training.step()
        losses.append(sum(_everybody(loss.item(), ranks)) / ranks)
    held = _everybody(training.held().total, ranks)
    return Run(stage, losses, held, predicted, counted(training.ranks.calls))


def _everybody(x: Any, ranks: int) -> list[Any]:
    found = [None] * ranks
    dist.all_gather_object(found, x)
    return found
