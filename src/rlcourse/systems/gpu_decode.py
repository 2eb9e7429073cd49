"""Attention of the newest queries to a long cache of keys, split over the whole GPU.

Shapes and letters: `rlcourse.systems.attention`; R = H/G.
"""

import torch
import triton
from torch import Tensor

from rlcourse import _check
from rlcourse.systems import decode_kernels as kernels
from rlcourse.systems.attention import reach
from rlcourse.systems.attention_arguments import check_attention
from rlcourse.systems.attention_launches import INTERPRETED, block_d, tiles
from rlcourse.systems.gpu_attention import check_device

MOST_ROWS, MOST_SPLITS = 64, 128


@torch.no_grad()
def gpu_decode(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    *,
    lengths: Tensor | None = None,
    scale: float | None = None,
    window: int | None = None,
    softcap: float | None = None,
    alibi: Tensor | None = None,
    sinks: Tensor | None = None,
    splits: int | None = None,
) -> Tensor:
    """Causal attention of N new queries to caches k and v (B, G, M, D): (B, H, N, D), no gradient.

    lengths (B,) int32 says how many keys of each cache are there; the last query stands at the
    last of them, and what lies beyond is never read, be it NaN. `splits` programs share the keys
    of a head; by default as many as fill the GPU. Raises ValueError as `check_attention` does, for
    more than 64 rows R N, or lengths of another shape or kind.
    """
    options = check_attention(
        q, k, v, scale=scale, causal=True, window=window, softcap=softcap, alibi=alibi, sinks=sinks
    )
    check_device(q)
    (b, h, n, d), (g, m) = q.shape, k.shape[1:3]
    rows = h // g * n
    if rows > MOST_ROWS:
        raise ValueError(
            f"q must have at most {MOST_ROWS} rows (queries times heads a head of keys), got {rows}"
        )
    if lengths is not None and (lengths.shape != (b,) or lengths.dtype != torch.int32):
        came = f"{tuple(lengths.shape)} of {lengths.dtype}"
        raise ValueError(f"lengths must have shape ({b},), int32, got {came}")
    out = torch.zeros(q.shape, dtype=q.dtype, device=q.device)
    if not q.numel() or not k.numel():
        return out
    block = 32 if INTERPRETED else (64 if q.element_size() == 2 and d <= 128 else 32)
    wanted = spread(b * g, q) if splits is None else _check.positive_integer("splits", splits)
    per_split = triton.cdiv(triton.cdiv(m, min(wanted, MOST_SPLITS)), block) * block
    splits = triton.cdiv(m, per_split)
    part = torch.empty((b, g, splits, rows, d), dtype=torch.float32, device=q.device)
    top, sums = torch.empty((2, *part.shape[:4]), dtype=torch.float32, device=q.device)
    q = q if q.stride(3) == 1 else q.contiguous()
    slopes = None if alibi is None else alibi.float().contiguous()
    bits = q.element_size() == 2
    kernels.split_kernel[(b * g * splits,)](
        q, *q.stride()[:3], tiles(k, block), tiles(v, block), lengths, slopes, part, top, sums,
        h // g, g, n, m, d, splits, per_split, options.scale, options.softcap or 0.0,
        reach(options)[0],
        ROWS=max(16, triton.next_power_of_2(rows)), BLOCK_K=block, BLOCK_D=block_d(out),
        BACK=window is not None, SOFTCAP=softcap is not None, ALIBI=slopes is not None,
        LENGTHS=lengths is not None, BITS=bits, num_warps=4, num_stages=3,
    )  # fmt: skip
    kernels.merge_kernel[(b * g * rows,)](
        part, top, sums, sinks, out, h // g, g, n, d, splits,
        SPLITS=triton.next_power_of_2(splits), BLOCK_D=block_d(out), SINKS=sinks is not None,
        BITS=bits, num_warps=4 if splits <= 64 else 8,
    )  # fmt: skip
    return out


def spread(heads: int, q: Tensor) -> int:
    """How many splits of each head of keys keep every multiprocessor busy."""
    if INTERPRETED:
        return 3
    programs: int = 4 * torch.cuda.get_device_properties(q.device).multi_processor_count
    return max(1, -(-programs // heads))
