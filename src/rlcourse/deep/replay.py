"""Experience replay: keep the last transitions, learn from a random handful of them.

Successive transitions are alike, and gradient descent wants independent samples. A replay buffer
is a ring: the newest transition overwrites the oldest, and a minibatch is drawn from what it holds,
uniformly (eq-replay) or by priority (eq-priority), whose bias weights undo (eq-priority-weight).

A transition is (s, a, r, s_next, terminated, truncated). s_next is its true successor, also where a
time limit cut the episode there. A ring holds steps in their order, so that n of them in a row can
be read as one transition of n steps (eq-n-step-transition).

Shapes: B independent learners, each with its own ring; N transitions of a minibatch; n steps in a
row; (...) whatever an observation or an action is.
Source: Lin (1992); Mnih et al. (2015); Schaul et al. (2016).
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, cast

import torch
from torch import Tensor

from rlcourse import _check
from rlcourse.tabular import targets

# made of operators only, so that it serves tensors as well as arrays
n_step_target: Callable[[Tensor, Tensor, Tensor, Tensor, float], Tensor] = cast(
    Any, targets.n_step_target
)


class Batch(NamedTuple):
    """Transitions: of B learners one each (B, ...), or N each (B, N, ...).

    s and s_next (..., D), a (...) whole numbers, r (...), both flags (...) False/True.
    """

    s: Tensor
    a: Tensor
    r: Tensor
    s_next: Tensor
    terminated: Tensor
    truncated: Tensor


@dataclass
class Replay:
    """B rings of one size; `count` transitions were added to each so far.

    held.s is (B, capacity, D), and so on; slot count mod capacity is written next.
    """

    held: Batch
    count: int = 0

    @property
    def capacity(self) -> int:
        """How many transitions a ring can hold."""
        return self.held.r.shape[1]

    @property
    def size(self) -> int:
        """How many it holds."""
        return min(self.count, self.capacity)


def empty_replay(capacity: int, like: Batch) -> Replay:
    """Rings for transitions of the shapes and types of `like`, one of each learner (B, ...)."""
    _check.positive_integer("capacity", capacity)
    return Replay(Batch(*(x.new_zeros(x.shape[0], capacity, *x.shape[1:]) for x in like)))


def add(replay: Replay, new: Batch) -> None:
    """Write one transition of each learner over its oldest; changes the buffer in place."""
    slot = replay.count % replay.capacity
    for ring, x in zip(replay.held, new, strict=True):
        ring[:, slot] = x
    replay.count += 1


def draw_slots(
    replay: Replay, size: int, times: int, n: int = 1, *, generators: Sequence[torch.Generator]
) -> Tensor:
    """Slots of `times` minibatches of so many transitions, uniform, with replacement  (eq-replay).

    Each is followed by n - 1 others that are held. One generator for each learner, so that none
    depends on its neighbours: (times, B, N). Raises ValueError for a buffer of less than n steps.
    """
    if replay.size < n:
        raise ValueError(f"replay must hold n = {n} transitions or more, got {replay.size}")
    choices, oldest = replay.size - n + 1, replay.count - replay.size
    draws = [torch.randint(choices, (times, size), generator=g) for g in generators]
    return (oldest + torch.stack(draws, 1)) % replay.capacity


def at(replay: Replay, slots: Tensor) -> Batch:
    """The transitions in slots (B, N): a Batch of shapes (B, N, ...)."""
    each = torch.arange(len(slots))[:, None]
    return Batch(*(ring[each, slots] for ring in replay.held))


def n_step_transitions(replay: Replay, slots: Tensor, n: int, gamma: float) -> tuple[Batch, Tensor]:
    """(s_0, a_0, Σ_{k<m} γ^k r_k, s_m, flags of step m) and γ^m  (eq-n-step-transition).

    The m <= n steps from slots (B, N) on, fewer than n where the episode ends before. One step of
    the world if n = 1; a target takes γ^m in the place of γ. Both (B, N, ...).
    """
    window = (slots[..., None] + torch.arange(n)) % replay.capacity
    each = torch.arange(len(slots))[:, None, None]
    r, terminated, truncated = (
        ring[each, window]
        for ring in (replay.held.r, replay.held.terminated, replay.held.truncated)
    )
    over = terminated | truncated
    m = (over.cumsum(-1) - over.long() == 0).sum(-1)  # steps before which nothing was over
    earned = n_step_target(r, torch.zeros_like(r), terminated.to(r), truncated.to(r), gamma)
    first, last = at(replay, slots), at(replay, (slots + m - 1) % replay.capacity)
    return last._replace(s=first.s, a=first.a, r=earned), gamma**m


# ------------------------------------------------------------------------------- priorities


def priority_probabilities(error: Tensor, omega: float, small: float = 1e-2) -> Tensor:
    """P(i) = p_i^ω / Σ_j p_j^ω with p_i = |δ_i| + small  (eq-priority).

    error (..., N) of TD errors -> (..., N). ω = 0 is uniform; `small` > 0 leaves none out.
    Schaul et al. (2016), eq. 1 and section 3.3, where ω is called α.
    """
    p = (error.abs() + small) ** omega
    return p / p.sum(-1, keepdim=True)


def importance_weights(p: Tensor, beta: float) -> Tensor:
    """w_i = (1/N · 1/P(i))^β, divided by the largest of them  (eq-priority-weight).

    p (..., N), the probabilities of all N transitions held -> (..., N). β = 1 makes the expected
    update that of uniform replay, up to a factor. Schaul et al. (2016), section 3.4.
    """
    w = (p.shape[-1] * p) ** -beta
    return w / w.amax(-1, keepdim=True)
