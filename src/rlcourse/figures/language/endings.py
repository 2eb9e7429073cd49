"""A model that never stops, and why: four ways to train the same small decoder to count.

A prompt is a number n from 1 to 8; the answer is n times the word "tick", then the end token. The
task is easy, so that nothing but the end can go wrong. Shapes: B texts, T tokens, R new tokens.
"""

from functools import cache
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

from rlcourse.language.config import Config
from rlcourse.language.decoding import generate, response_mask
from rlcourse.language.sampling import GREEDY
from rlcourse.language.transformer import Decoder
from rlcourse.plot import BLUE, GREEN, GREY, LOOKS, OCHRE, RED, Picture, panel, picture

END, TICK, PAD, MOST = 0, 1, 2, 8
FIRST = 3  # the token of the number 1
CONFIG = Config(vocabulary=FIRST + MOST, width=32, layers=2, heads=2, kv_heads=1, head_dim=16,
                hidden=64, positions=64)  # fmt: skip
STEPS, LIMIT = 150, 16
NUMBERS = torch.arange(1, MOST + 1)


class Lesson(NamedTuple):
    """Texts to learn from: inputs and labels (B, T), and which labels count (B, T)."""

    inputs: Tensor
    labels: Tensor
    counts: Tensor


class Ending(NamedTuple):
    """What a model does when it is asked to count to each number.

    ticks    (8,) how many it wrote, of LIMIT at most
    stopped  share of the numbers at which it ended by itself
    """

    ticks: Tensor
    stopped: float


def texts(pad: int, ends: bool) -> Tensor:
    """All eight texts (8, MOST + 2): a number, its ticks, the end if there is one, padding."""
    rows = torch.full((MOST, MOST + 2), pad)
    rows[:, 0] = FIRST + NUMBERS - 1
    for row, n in zip(rows, NUMBERS.tolist(), strict=True):
        row[1 : n + 1] = TICK
        if ends:
            row[n + 1] = END
    return rows


def lesson(rows: Tensor, counts: Tensor) -> Lesson:
    """The shift by one; counts (8, T) says which tokens are to be learned."""
    return Lesson(rows[:, :-1], rows[:, 1:], counts[:, 1:])


@cache
def lessons() -> dict[str, Lesson]:
    """Four ways to prepare the same texts."""
    good, endless, same = texts(PAD, True), texts(PAD, False), texts(END, True)
    within = torch.cat(
        [torch.ones(MOST, 1, dtype=torch.bool), response_mask(same[:, 1:], [END])], 1
    )
    return {
        "padding of its own": lesson(good, good != PAD),
        "no end in the texts": lesson(endless, endless != PAD),
        "padding is the end, masked by id": lesson(same, same != END),
        "padding is the end, masked by place": lesson(same, within),
    }


@cache
def data_endings(*, seed: int = 0) -> dict[str, Ending]:
    """Train a model on each lesson and let it count."""
    return {name: counted(trained(x, seed)) for name, x in lessons().items()}


def trained(x: Lesson, seed: int) -> Decoder:
    """A small decoder after STEPS steps on all eight texts."""
    torch.set_num_threads(1)
    model = Decoder(CONFIG, generator=torch.Generator().manual_seed(seed))
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-2)
    for step in range(STEPS):
        optimizer.param_groups[0]["lr"] = 1e-2 * (1 - step / STEPS)
        logits = model(x.inputs)
        loss = F.cross_entropy(logits[x.counts], x.labels[x.counts])
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
    return model


def counted(model: Decoder, eos: tuple[int, ...] = (END,)) -> Ending:
    """What it writes after each number; eos is what whoever runs it takes for an end."""
    prompts = [[FIRST + n - 1] for n in NUMBERS.tolist()]
    found = generate(
        model, prompts, sampling=GREEDY, max_tokens=LIMIT, eos=eos, pad=PAD, generator=None
    )
    ended = torch.isin(found.response, torch.tensor(eos)).any(1)
    ticks = ((found.response == TICK) & found.mask).sum(1)
    return Ending(ticks, float(ended.float().mean()))


def draw_endings(data: dict[str, Ending]) -> Picture:
    """Ticks written against ticks asked for."""
    figure, axes = panel("How often it ticks", (5.0, 3.1))
    looks = zip(data.items(), (BLUE, OCHRE, RED, GREEN), LOOKS, ("o", "s", "v", "x"), strict=True)
    for (name, x), colour, look, mark in looks:
        axes.plot(NUMBERS, x.ticks, color=colour, linestyle=look, marker=mark, markersize=5,
                  label=name)  # fmt: skip
    axes.axhline(LIMIT, color=GREY, linewidth=0.8)
    axes.text(8.2, LIMIT + 0.3, "the limit of the run", ha="right", fontsize=8)
    axes.set(xlabel="asked for", ylabel="written", ylim=(0, 19.5))
    axes.legend(fontsize=7.5, loc=(0.03, 0.5))
    return picture(
        figure,
        "Two of the four models write as many ticks as they are asked for. The one that never saw"
        " an end, and the one whose padding and end are the same and masked, run to the limit.",
    )
