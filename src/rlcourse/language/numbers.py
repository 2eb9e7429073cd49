"""The types that sums are kept in."""

import torch


def wide(dtype: torch.dtype) -> torch.dtype:
    """float32 for the 16-bit types, else the type itself: float64 stays exact."""
    return torch.promote_types(dtype, torch.float32)
