"""Tables of the chapter on ZeRO: predicted and measured, live and recorded."""

from typing import Any

from rlcourse.figures.systems.attention_speed import Rows, Tables
from rlcourse.figures.systems.zero_run import CONFIG, RECIPE, Run
from rlcourse.language.transformer import Decoder
from rlcourse.results import load


def table_of_run(data: list[Run]) -> Tables:
    """A row a stage."""
    rows: Rows = [("stage", "bytes held", "predicted", "off", "payload", "loss")]
    for run in data:
        held, predicted = run.held[0], run.predicted[0]
        cells = f"{held:,}", f"{predicted:,}", f"{held - predicted}", f"{run.payload:,}"
        rows.append((str(run.stage), *cells, f"{run.losses[0]:.3f} to {run.losses[-1]:.5f}"))
    parameters = sum(p.numel() for p in Decoder(CONFIG, generator=None).parameters())
    says = f"{len(data[0].held)} processes, {parameters:,} parameters, {RECIPE}; bytes of rank 0:"
    return Tables(says, (rows,))


def records() -> dict[str, dict[str, Any]]:
    """The recorded benchmarks: shares on real ranks, saved activations, whole steps."""
    return {name: load(f"benchmarks/memory_{name}") for name in ("ranks", "activations", "peak")}


def table_of_records() -> Tables:
    """What was predicted and measured in each benchmark: how often, and the largest difference."""
    ranks, saved, steps = records().values()
    one = [row["loss_off"] for row in ranks["rows"] if row["precision"] == "fp64 Adam"]
    rows: Rows = [("what", "cases", "off at most")]
    for what, name, unit in (
        ("states of each rank, stages 0 to 3", "bytes_off", "bytes"),
        ("payload of a step", "payload_off", "elements"),
    ):
        off = max(abs(row[name]) for row in ranks["rows"])
        rows.append((what, str(len(ranks["rows"])), f"{off} {unit}"))
    loss = "losses in float64, against one process"
    rows += [
        (loss, str(len(one)), f"{max(one):.0e}"),
        ("moments of PyTorch's two", str(2 * len(ranks["peers"])), f"{peers_off(ranks)} bytes"),
        ("saved activations", str(len(saved["rows"])), f"{saved['bytes_off']} bytes"),
        ("peaks of phases of a step", str(len(steps["rows"])), f"{steps_off(steps['rows'])} bytes"),
        ("the same, transformers", str(len(steps["peers"])), f"{steps['worst_peer']:.1%}"),
    ]
    says = f"Recorded on {ranks['date']}, PyTorch {ranks['versions']['torch']}:"
    return Tables(says, (rows,))


def steps_off(rows: list[dict[str, Any]]) -> int:
    """The largest difference of a phase of a step, in bytes."""
    return max(abs(int(x)) for row in rows for step in row["off"] for x in step)


def peers_off(record: dict[str, Any]) -> int:
    """Bytes by which the moments of FSDP2 and of ZeroRedundancyOptimizer are not two shares."""
    off: list[int] = []
    for peer in record["peers"]:
        found = peer["fully_shard"]["moments"], peer["zero_redundancy_moments"]
        for moments, one in zip(found, (peer["rows"], peer["whole"]), strict=True):
            off += [abs(a - 2 * b) for a, b in zip(moments, one, strict=True)]
    return max(off)


def table_of_layers() -> Tables:
    """One layer's saved bytes in units of BNC, of each implementation that was measured."""
    record = records()["activations"]
    problem = record["problem"]
    rows: Rows = [("layer", "bytes / BNC")]
    rows += [(row["layer"], f"{row['units']:.1f}") for row in record["layers"]]
    says = (
        f"16 bits, C = {problem['width']}, {problem['heads']} heads, B = {problem['B']},"
        f" N = {problem['N']}:"
    )
    return Tables(says, (rows,))
