# desk 929bf7182af8: the hash of what follows. Edit below, and the file is yours.
"""Your desk for systems/row_kernel. Write the functions, then: rlcourse check row_kernel"""

import torch
import triton
import triton.language as tl
from torch import Tensor


@triton.jit
def online_softmax_kernel(s_ptr, lengths_ptr, p_ptr, keys, scale, BLOCK: tl.constexpr):
    """One row of s to one row of p, both `keys` long, BLOCK scores at a time."""
    raise NotImplementedError


def online_softmax_rows(s: Tensor, lengths: Tensor, scale: float, block: int) -> Tensor:
    """p_ij = exp(scale s_ij - m_i) / l_i for j < length_i, and 0 beyond  (eq-online-update).

    s (N, M) float16 or float32, contiguous, and lengths (N,) int32 -> (N, M) float32, computed in
    float32. Of a row no more than `block` scores, a power of two, are held at a time. A score of
    -inf is a key that is not seen, and a row that sees no key is 0. Beyond its length a row holds
    padding, be it NaN. scale > 0.

    Raises ValueError unless 0 <= length <= M. To run it without a GPU set TRITON_INTERPRET=1.
    """
    raise NotImplementedError
