"""Tables of the chapter on ZeRO: predicted and measured, live and recorded."""

from rlcourse.figures.systems.attention_speed import Rows, Tables
from rlcourse.figures.systems.zero_run import CONFIG, RECIPE, Run
from rlcourse.language.transformer import Decoder


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
