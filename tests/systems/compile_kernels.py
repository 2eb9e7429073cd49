"""Compile every kernel ahead of time, without a GPU, and print what came out as JSON lines.

A script of its own, since a process in which TRITON_INTERPRET is set can't compile. For each kernel
and launch that the package ships: registers, bytes spilled, shared memory, and whether the tensor
cores of the architecture are used.
"""

import json
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import triton
from triton.backends.compiler import GPUTarget
from triton.compiler import ASTSource

from rlcourse.systems import backward_kernels, decode_kernels, gpu_softmax
from rlcourse.systems.attention_launches import KERNELS, Launch, plain, tuned

CUOBJDUMP = Path(triton.__file__).parent / "backends/nvidia/bin/cuobjdump"
PLAIN = dict(BACK=False, AHEAD=True, SOFTCAP=False, ALIBI=False, PACKED=False, RAGGED=False)
RICH = dict(BACK=True, AHEAD=True, SOFTCAP=True, ALIBI=True, PACKED=True, RAGGED=True)
ITEM = {"bf16": 2, "fp16": 2, "fp32": 4}


def compiled(
    kernel: Any, types: dict[str, str], constants: dict[str, Any], sm: int, warps: int, stages: int
) -> dict[str, Any]:
    """Compile one kernel for compute capability sm; arguments in neither mapping are integers."""
    names = kernel.arg_names
    kinds = ["constexpr" if name in constants else types.get(name, "i32") for name in names]
    aligned = {
        (i,): [["tt.divisibility", 16]] for i, kind in enumerate(kinds) if kind.startswith("*")
    }
    source = ASTSource(
        kernel, dict(zip(names, kinds, strict=True)),
        {(names.index(name),): value for name, value in constants.items()}, aligned,
    )  # fmt: skip
    options = dict(num_warps=warps, num_stages=stages)
    out = triton.compile(source, target=GPUTarget("cuda", sm, 32), options=options)
    with tempfile.NamedTemporaryFile(suffix=".cubin") as file:
        file.write(out.asm["cubin"])
        file.flush()
        usage = subprocess.run(
            [CUOBJDUMP, "-res-usage", file.name], capture_output=True, text=True, check=True
        ).stdout
    registers, stack, local = re.findall(r"REG:(\d+) STACK:(\d+).*?LOCAL:(\d+)", usage)[0]
    return {
        "sm": sm, "registers": int(registers), "spilled": int(stack) + int(local),
        "shared": out.metadata.shared, "wgmma": "wgmma.mma_async" in out.asm["ptx"],
    }  # fmt: skip


def attention(
    name: str, d: int, launch: Launch, kind: str, flags: dict[str, bool], sm: int
) -> dict[str, Any]:
    """One of the three attention kernels."""
    kernel = KERNELS[name]
    rows = {"q_desc": launch.block_q, "do_desc": launch.block_q}
    types = {n: f"tensordesc<{kind}[1,1,{rows.get(n, launch.block_k)},{d}]>"
             for n in ("q_desc", "do_desc", "k_desc", "v_desc")}  # fmt: skip
    types |= dict.fromkeys(("o", "dq", "dk", "dv"), f"*{kind}")
    types |= dict.fromkeys(("top", "rest", "delta", "sinks", "slopes"), "*fp32")
    types |= dict.fromkeys(("cu_q", "cu_k"), "*i32") | {"scale": "fp32", "softcap": "fp32"}
    constants: dict[str, Any] = dict(flags, BITS=ITEM[kind] == 2, BLOCK_D=d)
    constants |= {"BLOCK_Q": launch.block_q, "BLOCK_K": launch.block_k}
    if name == "forward":
        constants["SINKS"] = flags["ALIBI"]
    optional = {"sinks": "ALIBI", "slopes": "ALIBI", "cu_q": "PACKED", "cu_k": "PACKED"}
    constants |= {n: None for n, flag in optional.items()
                  if n in kernel.arg_names and not flags[flag]}  # fmt: skip
    return {
        "kernel": name, "d": d, "type": kind, "rich": flags["PACKED"], "launch": launch,
        **compiled(kernel, types, constants, sm, launch.warps, launch.stages),
    }  # fmt: skip


def decoding(d: int, kind: str, sm: int) -> Iterator[dict[str, Any]]:
    """The two kernels of split-KV decoding."""
    block = 64 if d <= 128 else 32
    types = dict.fromkeys(("k_desc", "v_desc"), f"tensordesc<{kind}[1,1,{block},{d}]>")
    types |= {"q": f"*{kind}", "out": f"*{kind}", "lengths": "*i32"}
    types |= dict.fromkeys(("o", "top", "sums", "sinks", "slopes"), "*fp32")
    types |= dict.fromkeys(("q_b", "q_h", "q_n"), "i64") | {"scale": "fp32", "softcap": "fp32"}
    flags = dict(BACK=True, SOFTCAP=True, ALIBI=True, LENGTHS=True, BITS=True)
    shape = dict(ROWS=16, BLOCK_K=block, BLOCK_D=d)
    split = compiled(decode_kernels.split_kernel, types, flags | shape, sm, 4, 3)
    yield {"kernel": "split", "d": d, "rich": True, **split}
    shape = dict(SPLITS=128, BLOCK_D=d, SINKS=True, BITS=True)
    merge = compiled(decode_kernels.merge_kernel, types, shape, sm, 8, 1)
    yield {"kernel": "merge", "d": d, **merge}


def rows(sm: int) -> Iterator[dict[str, Any]]:
    """The kernels that work on rows: delta, and softmax forward and backward, held and long."""
    pointers = dict.fromkeys(("o", "do", "x", "y", "dy", "dx"), "*bf16") | {"delta": "*fp32"}
    cut = dict(BLOCK=32, BLOCK_D=128)
    yield {"kernel": "delta", **compiled(backward_kernels.delta_kernel, pointers, cut, sm, 4, 1)}
    for long in (False, True):
        held = dict(ROWS=1, BLOCK=gpu_softmax.HELD, LONG=long, BITS=True)
        kernel = gpu_softmax.softmax_kernel
        yield {"kernel": "softmax", "long": long, **compiled(kernel, pointers, held, sm, 16, 1)}
    kernel, cut = gpu_softmax.softmax_backward_kernel, dict(ROWS=1, BLOCK=4096)
    yield {"kernel": "softmax_backward", **compiled(kernel, pointers, cut, sm, 8, 1)}


def everything(sm: int) -> Iterator[dict[str, Any]]:
    for name in KERNELS:
        for d, kind, flags in (
            (64, "fp16", PLAIN), (128, "bf16", PLAIN), (256, "bf16", PLAIN),
            (128, "bf16", RICH), (128, "fp32", PLAIN),
        ):  # fmt: skip
            launch = plain(name, d, ITEM[kind])
            yield attention(name, d, launch, kind, flags, sm) | {"tuned": False}
    yield from decoding(128, "bf16", sm)
    yield from rows(sm)
    for (name, d, edges), launch in tuned((sm // 10, sm % 10)).items():
        if name in KERNELS:
            flags = PLAIN | {"AHEAD": edges == "causal"}
            yield attention(name, d, launch, "bf16", flags, sm) | {"tuned": True}


if __name__ == "__main__":
    for result in everything(int(sys.argv[1])):
        print(json.dumps(result), flush=True)
