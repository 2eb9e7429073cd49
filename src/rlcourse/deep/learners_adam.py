"""Adam for B learners of which some may pause.

Adam works element by element, and so torch's own serves B learners at once, as long as all of them
take every step. A learner that stops early must keep its parameters, its moments *and* its count of
steps, or it is no longer what it would have been alone.

Shapes: B learners.
Source: Kingma and Ba (2015), algorithm 1.
"""

from typing import Any

import torch
from torch import Tensor


class LearnersAdam(torch.optim.Optimizer):
    """Adam whose learners can pause: each counts its own steps, and `active` says who takes one.

    Every parameter has the B learners as leading axis. Groups may have an "lr" of their own.
    Kingma and Ba (2015), algorithm 1.
    """

    def __init__(self, params: Any, rate: float, eps: float = 1e-5) -> None:
        super().__init__(params, {"lr": rate, "eps": eps})

    @torch.no_grad()
    def advance(self, active: Tensor) -> None:
        """One step of the learners that are True in `active` (B,)."""
        for group in self.param_groups:
            parts = [p for p in group["params"] if p.grad is not None]
            g = torch.cat([p.grad.flatten(1) for p in parts], 1)
            x = self.state[parts[0]]
            if not x:
                x |= {
                    "m": torch.zeros_like(g),
                    "v": torch.zeros_like(g),
                    "t": g.new_zeros(len(g), 1),
                }
            on = active.to(g.dtype)[:, None]
            x["t"] += on
            x["m"].addcmul_(on * 0.1, g - x["m"])
            x["v"].addcmul_(on * 0.001, g * g - x["v"])
            t = x["t"].clamp(min=1)
            root = (x["v"] / (1 - 0.999**t)).sqrt_().add_(group["eps"])
            change = (-group["lr"] * on) * (x["m"] / (1 - 0.9**t) / root)
            sizes = [p[0].numel() for p in parts]
            for p, part in zip(parts, change.split(sizes, 1), strict=True):
                p.add_(part.view_as(p))
