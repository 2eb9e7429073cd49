"""How the losses of tokens become one number: which tokens weigh how much.

    token mean      1 / Σ m           each token of the batch the same          (eq-token-mean)
    sequence mean   1 / (B |y_i|)     each response the same, its tokens share  (eq-sequence-mean)
    constant        1 / (B L)         each token the same, in every batch       (eq-constant-sum)

A token of a long answer weighs less by the second, so a long wrong answer costs less than a short
one. The weights are those of the whole batch: its parts, on one machine or many, add up to the same
loss and the same gradient however it is cut.

Shapes: B responses, R tokens of the longest.
Sources: Shao et al. (2024), eq. 3, the sequence mean; Yu et al. (2025), the token mean; Liu et al.
(2025), the constant.
"""

from torch import Tensor

from rlcourse import _check

WAYS = "token mean", "sequence mean", "constant"


def token_weights(mask: Tensor, way: str, length: int | None = None) -> Tensor:
    """What the loss of each token is multiplied by before all are summed; mask (B, R) -> (B, R),
    float64 (eq-token-mean, eq-sequence-mean, eq-constant-sum).

    way: "token mean", "sequence mean", or "constant" with a `length` L, such as the longest answer
    allowed. A response without a token that counts has no weight and isn't one of the B. Raises
    ValueError for another way, for a constant without a whole length of at least 1, and where no
    token counts at all.
    """
    if way not in WAYS:
        raise ValueError(f"way must be one of {WAYS}, got {way!r}")
    if not mask.any():
        raise ValueError("mask must have a token, got none")
    counts = mask.double()
    if way == "token mean":
        return counts / counts.sum()
    lengths = counts.sum(1, keepdim=True)
    responses = (lengths > 0).sum()
    if way == "sequence mean":
        return counts / (responses * lengths.clamp(min=1))
    if length is None:
        raise ValueError("length must be given for a constant sum, got None")
    _check.positive_integer("length", length)
    return counts / (responses * length)
