"""The stages of ZeRO on real ranks: against one process, PyTorch's own, and the bytes foretold.

Four processes run all of `rank_cases`, in groups of 1 to 4; here stands what must come out.
"""

import os
import socket
import subprocess
import sys
import time
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import rank_cases
import torch
from rank_cases import CASES, CONFIG, FEW, STEPS, Case, batches, end_to_end, loss_of, model_of
from torch import Tensor, nn

from rlcourse.systems import data_parallel
from rlcourse.systems.communication import calls, counted, payload
from rlcourse.systems.parallel_training import PRECISIONS
from rlcourse.systems.zero import States, shares, states

RANKS, SECONDS = 4, 150
RUNS = [
    (ranks, stage, name)
    for ranks in range(1, RANKS + 1)
    for stage in range(4)
    for name in (CASES if ranks == 2 else FEW)
]
EXACT = [run for run in RUNS if CASES[run[2]].precision in ("fp64 Adam", "fp32 Adam")]
BRAIN = [run for run in RUNS if run not in EXACT]
Found = list[dict[Any, Any]]


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> Found:
    """What each rank found. Of several workers of pytest one runs the ranks, the others wait."""
    folder = tmp_path_factory.getbasetemp()
    folder = folder.parent if "PYTEST_XDIST_WORKER" in os.environ else folder
    out, failed = folder / "ranks.pt", folder / "ranks.failed"
    try:
        (folder / "ranks").mkdir()
    except FileExistsError:
        deadline = time.monotonic() + SECONDS
        while not (out.exists() or failed.exists()) and time.monotonic() < deadline:
            time.sleep(0.2)
    else:
        failures = run_ranks(out)
        if failures:
            failed.write_text(failures, encoding="utf-8")
    assert out.exists(), failed.read_text(encoding="utf-8")
    return torch.load(out, weights_only=False)


def free_port() -> str:
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return str(s.getsockname()[1])


def environment(rank: int, ranks: int, port: str) -> dict[str, str]:
    """What torchrun tells a process."""
    return {
        "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port, "RANK": str(rank), "LOCAL_RANK": str(rank),
        "WORLD_SIZE": str(ranks), "LOCAL_WORLD_SIZE": str(ranks),
    }  # fmt: skip


def run_ranks(out: Path) -> str:
    """Runs the ranks until they end, or for SECONDS; what they say if one fails."""
    port, arguments = free_port(), [sys.executable, rank_cases.__file__, str(out)]
    ranks = [
        subprocess.Popen(
            arguments,
            env={**os.environ, **environment(rank, RANKS, port)},
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        )
        for rank in range(RANKS)
    ]  # fmt: skip
    deadline = time.monotonic() + SECONDS
    words = []
    for rank in ranks:
        try:
            words.append(rank.communicate(timeout=max(1.0, deadline - time.monotonic()))[0])
        except subprocess.TimeoutExpired:
            rank.kill()
            words.append(f"killed after {SECONDS} s: {rank.communicate()[0]}")
    return "\n".join(words) if any(rank.returncode for rank in ranks) else ""


@cache
def alone(name: str) -> tuple[Tensor, Tensor]:
    """Losses and last weights of one process that sees the whole batch, by PyTorch's AdamW."""
    case = CASES[name]
    model, _ = model_of(case)
    a = case.adam
    optimizer = torch.optim.AdamW(model.parameters(), a.rate, a.betas, a.eps, a.decay)
    losses = []
    for batch in batches():
        loss = loss_of(model, batch)
        loss.backward()
        losses.append(loss.item())
        if a.clip is not None:
            assert nn.utils.clip_grad_norm_(model.parameters(), a.clip) > a.clip
        optimizer.step()
        optimizer.zero_grad()
    return torch.tensor(losses, dtype=torch.double), end_to_end(model)


def mean_losses(found: Found, key: Any, ranks: int) -> Tensor:
    """The losses of the steps: means over ranks and micro-batches."""
    losses = torch.tensor([found[rank][key]["losses"] for rank in range(ranks)], dtype=torch.double)
    return losses.view(ranks, STEPS, -1).mean((0, 2))


def close(mine: Tensor, right: Tensor, tolerance: float) -> None:
    """Within the tolerance of the largest number."""
    assert (mine.double() - right.double()).abs().max() <= tolerance * right.abs().max()


# ------------------------------------------------------------------------------------ the numbers


@pytest.mark.parametrize(("ranks", "stage", "name"), EXACT)
def test_ranks_learn_what_one_process_learns(
    found: Found, ranks: int, stage: int, name: str
) -> None:
    losses, weights = alone(name)
    tolerance = 1e-10 if CASES[name].precision == "fp64 Adam" else 1e-5
    close(mean_losses(found, (ranks, stage, name), ranks), losses, tolerance)
    for rank in range(ranks):
        close(found[rank][ranks, stage, name]["weights"], weights, tolerance)


@pytest.mark.parametrize(("ranks", "stage", "name"), BRAIN)
def test_in_16_bits_the_weights_go_where_those_of_32_go(
    found: Found, ranks: int, stage: int, name: str
) -> None:
    first, (_, last) = end_to_end(model_of(CASES["float32"])[0]), alone(name)
    weights = found[0][ranks, stage, name]["weights"]
    assert (weights - last).abs().mean() < (first - last).abs().mean() / 4
    for rank in range(1, ranks):
        assert torch.equal(found[rank][ranks, stage, name]["weights"], weights)


@pytest.mark.parametrize("ranks", [2, 3, 4])
def test_pytorch_learns_the_same(found: Found, ranks: int) -> None:
    losses, weights = alone("float64")
    close(mean_losses(found, (ranks, "fsdp2"), ranks), losses, 1e-10)
    close(found[0][ranks, "fsdp2"]["weights"], weights, 1e-10)
    close(found[0][ranks, "whole"]["weights"], weights, 1e-10)


# -------------------------------------------------------------------------------------- the bytes


def units(case: Case) -> list[tuple[list[torch.Size], list[torch.Size]]]:
    """Shapes of the trained and the frozen parameters of each unit, the model's own first."""
    model, modules = model_of(case)
    parts = [list(module.parameters()) for module in modules]
    inside = {p for part in parts for p in part}
    parts.insert(0, [p for p in model.parameters() if p not in inside])
    return [
        ([p.shape for p in part if p.requires_grad], [p.shape for p in part if not p.requires_grad])
        for part in parts
    ]


@pytest.mark.parametrize(("ranks", "stage", "name"), RUNS)
def test_each_rank_holds_the_bytes_foretold(
    found: Found, ranks: int, stage: int, name: str
) -> None:
    recipe = PRECISIONS[CASES[name].precision].recipe
    parts = [
        states(trained, recipe, ranks, stage, frozen=frozen) if trained
        else states(frozen, recipe._replace(gradients=0, master=0, moments=0), ranks, stage)
        for trained, frozen in units(CASES[name])
    ]  # fmt: skip
    for rank in range(ranks):
        foretold = States(*map(sum, zip(*(part[rank] for part in parts), strict=True)))
        held = found[rank][ranks, stage, name]["held"]
        assert held == [tuple(foretold)] * (STEPS + 1)  # before the first step and after each


@pytest.mark.parametrize("ranks", [2, 3, 4])
def test_fully_shard_cuts_rows_and_pads_weights_and_gradients(found: Found, ranks: int) -> None:
    shapes = [p.shape for p in model_of(CASES["float64"])[0].parameters()]
    rows = shares(shapes, ranks, "rows")
    assert min(rows) < max(rows) == rows[0]
    for rank in range(ranks):
        seen = found[rank][ranks, "fsdp2"]
        assert seen["elements"] == rows[rank]
        weights, gradients, first_moments = seen["bytes"]
        assert first_moments == 8 * rows[rank]
        assert weights == gradients == 8 * rows[0]  # every rank has room for the longest share


@pytest.mark.parametrize("ranks", [2, 3, 4])
def test_zero_redundancy_optimizer_gives_away_whole_parameters(found: Found, ranks: int) -> None:
    shapes = [p.shape for p in model_of(CASES["float64"])[0].parameters()]
    held = [found[rank][ranks, "whole"]["bytes"] // 8 for rank in range(ranks)]
    assert held == shares(shapes, ranks, "whole")


@pytest.mark.parametrize("ranks", range(1, RANKS + 1))
def test_of_the_layers_one_at_a_time_is_whole(found: Found, ranks: int) -> None:
    own, layer = (sum(map(torch.Size.numel, shapes)) for shapes, _ in units(Case())[:2])
    one = own + layer
    forward, backward = [one] * CONFIG.layers, [one] * CONFIG.layers
    assert found[0][ranks, "gathered"] == [0, *forward, 0, *backward, 0]


# ------------------------------------------------------------------------------ what they send


@pytest.mark.parametrize(("ranks", "stage", "name"), RUNS)
def test_the_calls_are_those_foretold(found: Found, ranks: int, stage: int, name: str) -> None:
    case = CASES[name]
    trained, frozen = (
        [sum(map(torch.Size.numel, shapes)) for shapes in kind]
        for kind in zip(*units(case), strict=True)
    )
    foretold = calls(
        stage, trained, ranks,
        micro_batches=case.micro_batches, frozen=frozen, clip=case.adam.clip is not None,
    )  # fmt: skip
    for rank in range(ranks):
        for made in found[rank][ranks, stage, name]["calls"]:
            assert sorted(made) == sorted(foretold)


@pytest.mark.parametrize("stage", range(4))
def test_without_padding_the_payload_is_the_papers(found: Found, stage: int) -> None:
    parameters = sum(p.numel() for p in model_of(CASES["float64"])[0].parameters())
    for made in found[0][1, stage, "float64"]["calls"]:
        assert counted(made) == payload(stage, parameters) == (2, 2, 2, 3)[stage] * parameters


# ------------------------------------------------------------------------------ its surroundings


def test_what_is_wrong_is_named(found: Found) -> None:
    precision, foreign, shared, micro, outside = found[0]["refusals"]
    assert precision.startswith("ValueError: precision must be one of fp64 Adam, ")
    assert foreign == "ValueError: units[0] must be a part of the model, got Linear"
    assert shared == "ValueError: units[0] must not share a parameter with the rest"
    assert micro == "ValueError: micro_batches must be an integer of at least 1, got 0"
    assert outside.startswith("RuntimeError: size mismatch")  # it has no element then


def test_the_stages_print_the_same_losses(found: Found) -> None:
    lines = found[0]["printed"].splitlines()
    losses = [line.split(",")[0] for line in lines if line.startswith("step")]
    assert losses == losses[:2] * 4
    assert losses[0] != losses[1]
    assert [line for line in lines if line.startswith("stage 3, 4 ranks on ")]


def test_a_run_may_have_one_rank(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for name, value in environment(0, 1, free_port()).items():
        monkeypatch.setenv(name, value)
    data_parallel.main(["--stage", "3", "--steps", "1", "--width", "8", "--batch", "1"])
    assert "step 1: loss 5." in capsys.readouterr().out
    assert not torch.distributed.is_initialized()
