"""The Triton kernels against the reference: on a GPU in full, else by Triton's interpreter."""

import os

import pytest
import torch

if not torch.cuda.is_available():
    os.environ["TRITON_INTERPRET"] = "1"  # read when the kernels are decorated

pytest.importorskip("triton")
from attention_cases import CASES, Case, check

from rlcourse.systems.gpu_attention import gpu_attention

DEVICE = "cuda" if torch.cuda.is_available() else "cpu"
# the interpreter's dot of bfloat16 is wrong
KINDS = [torch.float32, torch.float16, *([torch.bfloat16] if DEVICE == "cuda" else [])]


@pytest.mark.parametrize("dtype", KINDS, ids=lambda t: str(t).removeprefix("torch."))
@pytest.mark.parametrize("case", CASES, ids=lambda c: c.name)
def test_the_kernels_are_as_exact_as_may_be_asked(case: Case, dtype: torch.dtype) -> None:
    check(gpu_attention, case, dtype, DEVICE)
