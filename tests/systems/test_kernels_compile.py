"""Without a GPU: every kernel as the package ships it, compiled for sm_80 and sm_90."""

import json
import os
import subprocess
import sys
from functools import cache
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("triton")

SCRIPT = Path(__file__).with_name("compile_kernels.py")
ROOM = {80: 163 * 1024, 90: 227 * 1024}  # bytes of shared memory a program may have
SMALL = 99 * 1024  # what the smallest cards have
SPILLS = {  # (kernel, D, type, tuned): bytes at most
    ("backward_kv", 128, "bf16", True): 200,  # and is 15 % faster than what spills nothing
    ("backward_q", 256, "bf16", False): 100,
    ("backward_q", 128, "fp32", False): 400,
    ("backward_kv", 128, "fp32", False): 16,
    ("merge", 128, None, None): 64,
}
LOOP = {"forward", "backward_kv", "backward_q"}


@cache
def results() -> list[dict[str, Any]]:
    """Both architectures at once, in processes where the kernels aren't interpreted."""
    clean = {k: v for k, v in os.environ.items() if k != "TRITON_INTERPRET"}
    running = [
        subprocess.Popen(
            [sys.executable, "-W", "ignore", SCRIPT, str(sm)], stdout=subprocess.PIPE, env=clean
        )
        for sm in ROOM
    ]
    lines = [process.communicate()[0].decode() for process in running]
    assert not any(process.returncode for process in running)
    return [json.loads(line) for text in lines for line in text.splitlines()]


def test_every_kernel_compiles_and_fits_the_shared_memory() -> None:
    kernels = {(r["kernel"], r["sm"]) for r in results()}
    names = LOOP | {"split", "merge", "delta", "softmax", "softmax_backward"}
    assert kernels == {(name, sm) for name in names for sm in ROOM}
    for r in results():
        assert r["shared"] <= (ROOM[r["sm"]] if r.get("tuned") else SMALL), r


def test_every_tuned_launch_was_compiled() -> None:
    tuned = [r for r in results() if r.get("tuned")]
    assert {r["kernel"] for r in tuned} == LOOP
    assert {r["d"] for r in tuned} == {64, 128}


def test_products_of_16_bits_run_on_the_tensor_cores_of_hopper() -> None:
    """But of tiles of less than 64 rows, as dK and dV at D = 256 have them."""
    hopper = [r for r in results() if r["sm"] == 90 and r.get("type") in ("bf16", "fp16")]
    assert len(hopper) > 20
    for r in hopper:
        rows = r["launch"][r["kernel"] == "backward_kv"]
        assert r["wgmma"] == (rows >= 64), r
        assert rows >= 64 or r["d"] == 256, r


@pytest.mark.parametrize("sm", ROOM)
def test_no_register_is_spilled_but_where_it_is_known(sm: int) -> None:
    """And where everything is asked for at once, which no tuned launch is for."""
    for r in results():
        if r["sm"] == sm and not r.get("rich"):
            known = SPILLS.get((r["kernel"], r.get("d"), r.get("type"), r.get("tuned")), 0)
            assert r["spilled"] <= known, r
