"""What a policy network's numbers mean: one of A actions, or K numbers with a spread each.

Both kinds of policies answer the same four questions, so that a learner needn't know which it has:
draw an action, how likely was it, how unsure is the policy, what would it do without chance.

    Softmax   A actions           log π(a|s) of the logits                  (eq-log-prob)
    Gaussian  K numbers, D = K    the sum of K log-densities                 (eq-gaussian-policy)

The Gaussian's spread doesn't depend on the state. What an environment clips is not what was drawn,
and it is what was drawn whose log-density counts.

Shapes: B learners, N samples (or E environments), A actions, K numbers of an action.
"""

from typing import Any, NamedTuple, Protocol

import torch
from torch import Tensor

from rlcourse.deep.environments import Observations, Transition
from rlcourse.deep.networks import Mlp, forward
from rlcourse.deep.policies import gaussian_entropy, gaussian_log_prob
from rlcourse.deep.policy_losses import categorical_entropy, log_prob


class Continuous(Protocol):
    """A resumable vector environment whose actions (n, K) are numbers; `Pendulum` is one."""

    @property
    def n(self) -> int: ...
    @property
    def action_size(self) -> int: ...
    @property
    def observation_size(self) -> int: ...
    def reset(self) -> Observations: ...
    def step(self, a: Any) -> Transition: ...
    def state(self) -> Any: ...
    def set_state(self, x: Any) -> None: ...


class Softmax(NamedTuple):
    """Policies over A actions, by their logits (B, N, A)."""

    logits: Tensor

    def draw(self, generator: torch.Generator) -> Tensor:
        """One action of each: (B, N)."""
        u = torch.rand(self.logits.shape[:-1], generator=generator)
        up_to = self.logits.softmax(-1).cumsum(-1)[..., :-1]
        return (u[..., None] >= up_to).sum(-1)

    def log_prob(self, a: Tensor) -> Tensor:
        """log π(a|s) of actions (B, N)."""
        return log_prob(self.logits, a)

    def entropy(self) -> Tensor:
        """H(s), (B, N)."""
        return categorical_entropy(self.logits)

    def likeliest(self) -> Tensor:
        """(B, N)."""
        return self.logits.argmax(-1)


class Gaussian(NamedTuple):
    """Policies over K numbers: means (B, N, K), and log σ (B, 1, K) for all states alike."""

    mean: Tensor
    log_std: Tensor

    def draw(self, generator: torch.Generator) -> Tensor:
        """One action of each: (B, N, K)."""
        return self.mean + self.log_std.exp() * torch.randn(self.mean.shape, generator=generator)

    def log_prob(self, a: Tensor) -> Tensor:
        """log π(a|s) of actions (B, N, K): (B, N)."""
        density: Any = gaussian_log_prob
        total: Tensor = density(a, self.mean, self.log_std).sum(-1)
        return total

    def entropy(self) -> Tensor:
        """H(s), (B, N): the same in every state."""
        of: Any = gaussian_entropy
        total: Tensor = of(self.log_std).sum(-1)
        return total.expand(self.mean.shape[:-1])

    def likeliest(self) -> Tensor:
        """(B, N, K)."""
        return self.mean


def policy_of(net: Mlp, log_std: Tensor | None, s: Tensor) -> Softmax | Gaussian:
    """The policies in states (B, N, D): Gaussian where there is a log σ, softmax else."""
    out = forward(net, s, torch.tanh)
    return Softmax(out) if log_std is None else Gaussian(out, log_std)
