"""PPO on tokens without training: who hands what to whom, one answer, the loss, and the hunt.

The hunt has all 27 answers of three tokens, and every mean is a sum over them.

Shapes: Y answers, R tokens of one, n points or steps.
"""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import torch
from matplotlib.axes import Axes
from torch import Tensor

from rlcourse.alignment.ppo_rlhf import policy_loss, token_advantages
from rlcourse.deep.ppo_losses import explained_variance
from rlcourse.plot import BLUE, GREEN, GREY, OCHRE, PURPLE, RED, Picture, panel
from rlcourse.plot import picture as as_picture
from rlcourse.tabular.mdp import Floats

# ------------------------------------------------------------------------------- the models

BOXES = {  # name: (x, y, what it does, does it learn)
    "policy": (5.0, 8.6, "writes answers", True),
    "reference": (1.5, 5.3, "log π_ref of\neach token", False),
    "reward model": (5.0, 5.3, "a score of\nthe whole answer", False),
    "critic": (8.5, 5.3, "v before\neach token", True),
    "rewards": (3.25, 1.6, "of each token", None),
    "advantages": (8.5, 1.6, "of each token", None),
}
ARROWS = (
    ("policy", "reference"),
    ("policy", "reward model"),
    ("policy", "critic"),
    ("reference", "rewards"),
    ("reward model", "rewards"),
    ("critic", "advantages"),
    ("rewards", "advantages"),
)


def draw_models() -> Picture:
    """Who hands what to whom."""
    figure, axes = panel("", (3.9, 3.0))
    axes.set(xlim=(-0.4, 11.4), ylim=(0.4, 9.8))
    axes.axis("off")
    for name, (x, y, does, learns) in BOXES.items():
        colour = GREY if learns is None else BLUE if learns else OCHRE
        _box(axes, x, y, f"{name}\n{does}", colour, dashed=learns is None)
    for start, end in ARROWS:
        (x0, y0, *_), (x1, y1, *_) = BOXES[start], BOXES[end]
        side = 1.55 if y0 == y1 else 0
        gap = 0 if side else 1.0
        _arrow(axes, (x0 + side, y0 - gap), (x1 - side, y1 + gap))
    axes.plot([10.1, 10.9, 10.9], [1.6, 1.6, 8.6], color=GREEN)
    _arrow(axes, (10.9, 8.6), (6.6, 8.6), GREEN)
    _arrow(axes, (10.9, 5.3), (10.1, 5.3), GREEN)
    return as_picture(
        figure,
        "The policy's answers go to the reference, the reward model and the critic. Log-"
        "probabilities and score make the rewards of tokens; with the critic's values they make"
        " advantages, from which policy and critic learn. The other two models stay as they are.",
    )


def _box(axes: Axes, x: float, y: float, text: str, colour: str, dashed: bool) -> None:
    """A box with a name in its first line."""
    look = {"boxstyle": "round,pad=0.35", "facecolor": "none", "edgecolor": colour, "lw": 1.8}
    axes.text(
        x, y, text, ha="center", va="center", fontsize=7.5, linespacing=1.3,
        bbox=look | {"linestyle": "--" if dashed else "-"},
    )  # fmt: skip


def _arrow(
    axes: Axes, start: tuple[float, float], end: tuple[float, float], colour: str = GREY
) -> None:
    axes.annotate("", end, start, arrowprops={"arrowstyle": "->", "color": colour, "lw": 1.3})


# ------------------------------------------------------------------------------- tokens

FORETOLD = (0.5, 0.6, 0.55, 0.0, 0.0, 0.7, 0.8, 0.9)  # by a critic, before each of eight tokens


def draw_tokens(
    lam: float = 0.95, score: float = 1.0, tool: int = 2, beta: float = 0.05
) -> Picture:
    """Rewards, values and advantages of one answer of 8 tokens, `tool` of them a tool's."""
    mask = torch.ones(1, 8, dtype=torch.bool)
    mask[:, 3 : 3 + tool] = False
    v = torch.tensor([FORETOLD], dtype=torch.float64)
    v[:, 3:5] = 0.65  # where the policy writes them itself
    r = torch.where(mask, -beta, 0.0).double()
    r[:, -1] += score
    found = token_advantages(r, v, mask, 1.0, lam)
    figure, axes = panel(f"one answer, λ = {lam:g}, score {score:g}", (4.6, 2.7))
    t = np.arange(8)
    axes.bar(t - 0.2, r[0].numpy(), 0.38, color=OCHRE, label="reward")
    axes.bar(t + 0.2, found.advantage[0].numpy(), 0.38, color=BLUE, label="Â")
    own = mask[0].numpy()
    axes.plot(t[own], v[0].numpy()[own], "o-", color=PURPLE, ms=4, label="v before it")
    axes.axhline(0, color="#000000", linewidth=0.6)
    axes.set_xticks(t, [str(i + 1) if kept else "tool" for i, kept in enumerate(own)])
    axes.set(xlabel="token", ylim=(-1.3, 1.3))
    axes.legend(loc="lower left", ncols=3)
    numbers = ", ".join(f"{x:.2f}" for x in found.advantage[0])
    return as_picture(figure, f"Rewards, values and advantages of eight tokens: {numbers}.")


# ------------------------------------------------------------------------------- the policy's loss


class Losses(NamedTuple):
    """The policy's loss over ρ (n,), for Â = 1 and for Â = -1."""

    rho: Floats
    praised: dict[str, Floats]
    blamed: dict[str, Floats]


def data_losses() -> Losses:
    """The loss with no clip, PPO's clip, a higher one above, and the dual clip."""
    rho = torch.linspace(0.02, 4, 200, dtype=torch.float64)
    ways = {
        "no clip": (torch.inf, None, None),
        "ε = 0.2": (0.2, None, None),
        "higher: 0.28": (0.2, 0.28, None),
        "dual: c = 3": (0.2, None, 3.0),
    }
    praised, blamed = (
        {
            name: policy_loss(rho.log(), torch.zeros_like(rho), sign * torch.ones_like(rho), *way)
            .numpy()
            for name, way in ways.items()
        }
        for sign in (1, -1)
    )  # fmt: skip
    return Losses(rho.numpy(), praised, blamed)


def draw_losses(data: Losses) -> Picture:
    """Two panels: a token that was better than foretold, and one that was worse."""
    figures = []
    for title, curves in (("Â = 1", data.praised), ("Â = −1", data.blamed)):
        figure, axes = panel(title, (3.4, 2.5))
        looks = zip(curves.items(), (GREY, BLUE, GREEN, RED), (":", "-", "--", "-."), strict=True)
        for (name, y), colour, look in looks:
            axes.plot(data.rho, y, color=colour, linestyle=look, label=name)
        axes.set(xlabel="ρ", ylabel="loss")
        figures.append(figure)
    axes.legend()
    return as_picture(
        figures,
        "The loss over the ratio. Left: for a praised token it falls to ρ = 1.2, with the higher"
        " clip to 1.28, and is flat from there. Right: for a blamed token it rises with ρ without"
        " an end, but with the dual clip no further than 3.",
    )


# ------------------------------------------------------------------------------- the hunt

TOKENS, LENGTH = 3, 3
ANSWERS = torch.cartesian_prod(*[torch.arange(TOKENS)] * LENGTH)  # (Y, R)
RIGHT = torch.tensor([0, 1, 2])
PLACES = torch.stack(  # (Y, R + 1): the number of what has been written, before each token and last
    [(ANSWERS[:, :t] * TOKENS ** torch.arange(t)).sum(1) for t in range(LENGTH + 1)], 1
)


class Hunt(NamedTuple):
    """What a rule for reading the critic leads to, over the iterations (n,)."""

    right: Floats
    explained: Floats

    def __repr__(self) -> str:
        lines = ["iteration  P(right)  the critic explains"]
        for i in (0, 10, 30, 100, 300):
            lines.append(f"{i:9}  {self.right[i]:8.2f}  {self.explained[i]:18.2f}")
        return "\n".join(lines)


def data_hunt(
    read: Callable[[Tensor], Tensor], steps: int = 301, rate: float = 4.0, learning: float = 0.2
) -> Hunt:
    """Policy gradients with a critic, exactly, on a policy that is a table of beginnings.

    read: what the critic says at each place, (Y, R + 1), before the first token and on, to what it
    foretold of each token, (Y, R).
    """
    logits = [torch.zeros(TOKENS**t, TOKENS, dtype=torch.float64) for t in range(LENGTH)]
    table = torch.zeros(LENGTH + 1, TOKENS**LENGTH, dtype=torch.float64)
    score, mask = (ANSWERS == RIGHT).all(1).double(), torch.ones(ANSWERS.shape, dtype=torch.bool)
    rewards = torch.zeros(ANSWERS.shape, dtype=torch.float64)
    rewards[:, -1] = score
    where = read(torch.arange(LENGTH + 1).expand(len(ANSWERS), -1))
    right, explained = [], []
    for _ in range(steps):
        z = [x.requires_grad_(True) for x in logits]
        log_prob = torch.stack(
            [x.log_softmax(1)[PLACES[:, t], ANSWERS[:, t]] for t, x in enumerate(z)], 1
        )
        p = log_prob.detach().sum(1).exp()
        v = read(table[torch.arange(LENGTH + 1), PLACES])
        found = token_advantages(rewards, v, mask, 1.0, 0.95)
        right.append(float(p @ score))
        explained.append(float(explained_variance(*_often(p, v, found.target))))
        total = (p[:, None] * found.advantage * log_prob).sum()
        steps_up = torch.autograd.grad(total, z)
        logits = [(x + rate * up).detach() for x, up in zip(z, steps_up, strict=True)]
        table = _learned(table, p, where, found.target, learning)
    return Hunt(np.array(right), np.array(explained))


def _often(p: Tensor, v: Tensor, target: Tensor, n: int = 2000) -> tuple[Tensor, Tensor]:
    """Both, each answer as often as it is said among n."""
    rows = torch.arange(len(p)).repeat_interleave((p * n).round().long())
    return v[rows].flatten(), target[rows].flatten()


def _learned(table: Tensor, p: Tensor, where: Tensor, target: Tensor, rate: float) -> Tensor:
    """The critic after a step towards the mean target of each place that was read."""
    sums, often = torch.zeros_like(table), torch.zeros_like(table)
    for t in range(LENGTH):
        place = int(where[0, t])
        sums[place].index_add_(0, PLACES[:, place], p * target[:, t])
        often[place].index_add_(0, PLACES[:, place], p)
    return torch.where(often > 0, table + rate * (sums / often - table), table)
