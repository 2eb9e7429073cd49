"""The steps of a decoder against every allocation of a real one, and the script for GPUs, dry."""

import runpy
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from rlcourse.language.transformer import RMSNorm
from rlcourse.systems.decoder_activations import layer_bytes
from rlcourse.systems.decoder_memory import Sizes
from rlcourse.systems.measured_step import counted, decoder_of, loss_of
from rlcourse.systems.memory_counter import MemoryCounter
from rlcourse.systems.operation_memory import heights, net
from rlcourse.systems.unit_memory import forms, passes, undominated

torch.set_num_threads(1)
SCRIPT = Path(__file__).parents[2] / "benchmarks/gpu/memory.py"
TINY = Sizes(97, 32, 2, 4, 2, 8, 48, tied=False)
VARIANTS = {
    "llama": TINY,
    "qwen2": TINY._replace(qkv_bias=True, tied=True),
    "qwen3": TINY._replace(qk_norm=True, head_dim=12),
    "all biases, one head of keys": TINY._replace(
        qkv_bias=True, o_bias=True, mlp_bias=True, kv_heads=1
    ),
}
B, N = 3, 17


class Log(MemoryCounter):  # type: ignore[no-untyped-call]
    """Keeps what is alive after each operation that allocates."""

    def __init__(self) -> None:
        super().__init__()
        self.heights: list[int] = []

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        before = self.live
        out = super().__torch_dispatch__(func, types, args, kwargs)
        if self.live > before:
            self.heights.append(self.live)
        return out


@contextmanager
def logged(sizes: Sizes, dtype: torch.dtype, checkpointing: bool) -> Iterator[list[int]]:
    """What is alive beyond weights and batch, allocation by allocation of the first two passes."""
    generator = torch.Generator().manual_seed(0)
    model = decoder_of(sizes, dtype, checkpointing, generator=generator)
    x, y = torch.zeros(2, B, N, dtype=torch.int64)
    with Log() as log:
        log.add([*model.parameters(), x, y])
        start = log.live
        torch.autograd.backward(loss_of(model(x), y))
    yield [height - start for height in log.heights]


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("checkpointing", [False, True])
@pytest.mark.parametrize("variant", VARIANTS)
def test_every_allocation_of_a_step_is_a_step(
    dtype: torch.dtype, checkpointing: bool, variant: str
) -> None:
    parts = list(passes(VARIANTS[variant], dtype.itemsize, checkpointing).values())
    steps = [s for part in parts for s in part.forward]
    steps += [s for part in reversed(parts) for s in part.backward]
    at = np.array([1, N, B * N])
    ours = [int(h @ at) for h, s in zip(heights(steps), steps, strict=True) if s.grows.any()]
    with logged(VARIANTS[variant], dtype, checkpointing) as theirs:
        assert len(theirs) > 200
        assert ours == theirs


@pytest.mark.parametrize("element", [2, 4])
@pytest.mark.parametrize("variant", VARIANTS)
def test_what_a_block_holds_is_what_the_ledger_lists(element: int, variant: str) -> None:
    sizes = VARIANTS[variant]
    for checkpointing, policy in ((False, "all"), (True, "full")):
        block = passes(sizes, element, checkpointing)["block 1"]
        held = int(net(block.forward) @ np.array([1, N, B * N]))
        assert held == layer_bytes(sizes, B, N, element, policy)


def test_the_rows_that_are_left_out_are_never_the_most() -> None:
    part = passes(TINY, 2)["block 0"]
    rows = heights(part.backward)
    few = undominated(rows)
    assert len(few) < len(rows) / 3
    for batch, tokens in ((1, 2), (1, 500), (64, 3), (1000, 4000)):
        at = np.array([1, tokens, batch * tokens])
        assert (few @ at).max() == max(int(row @ at) for row in rows)


def test_blocks_but_the_first_are_alike() -> None:
    first, second, third = (
        form for name, form in forms(TINY._replace(layers=3), 4).items() if name[0:5] == "block"
    )
    assert second is third
    assert first is not second


def test_other_types_are_refused() -> None:
    with pytest.raises(ValueError, match="e must be 2 or 4 bytes, got 8"):
        passes(TINY, 8)


# ------------------------------------------------------------------------------- on a GPU


def test_norms_in_single_operations_allocate_what_the_timeline_says() -> None:
    plain_norms = runpy.run_path(str(SCRIPT))["plain_norms"]
    for dtype in (torch.float32, torch.bfloat16):
        for sizes in VARIANTS.values():
            fused = counted(sizes, B, N, dtype, generator=torch.Generator().manual_seed(0))
            before = RMSNorm.forward
            with plain_norms():
                assert RMSNorm.forward is not before
                plain = counted(sizes, B, N, dtype, generator=torch.Generator().manual_seed(0))
            assert plain == fused
            assert RMSNorm.forward is before


def test_the_script_lists_at_least_twenty_predictions() -> None:
    done = subprocess.run(
        [sys.executable, SCRIPT, "--dry"], capture_output=True, text=True, check=True
    )
    assert done.stdout.count(" bytes\n") >= 20


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_without_a_gpu_the_script_says_so_and_ends_with_2(tmp_path: Path) -> None:
    output = tmp_path / "memory.json"
    done = subprocess.run(
        [sys.executable, SCRIPT, "--output", output], capture_output=True, text=True, check=False
    )
    assert (done.returncode, output.exists()) == (2, False)
    assert "there is none" in done.stderr
