"""Training a decoder on the verses: a small one live, the psalmist from its record, and counting.

Shapes: n points of a curve. Losses are in nats a token.
"""

import math
import sys
from functools import cache
from typing import Any, NamedTuple

import numpy as np
import torch

from rlcourse.figures.language.ngrams import Ngrams
from rlcourse.figures.language.psalmist import letters, psalmist, tokens_of
from rlcourse.language.config import Config
from rlcourse.language.text import split
from rlcourse.language.training import Run, Settings, begin, loss_bar, train
from rlcourse.language.transformer import Decoder
from rlcourse.plot import BLUE, GREY, OCHRE, PURPLE, RED, Picture, panel, picture
from rlcourse.tabular.mdp import Floats, Ints

TINY = Config(
    vocabulary=1024, width=64, layers=2, heads=4, kv_heads=2, head_dim=16, hidden=176,
    positions=1024, qk_norm=True,
)  # fmt: skip
LIVE = Settings(steps=140, batch=16, window=64, rate=1e-2, warm_up=15, every=35)


class Recorded(NamedTuple):
    """The psalmist's training.

    steps, loss   (n,) mean of twenty steps each, and where they end
    checks, held  (k,) steps of the checks, and the loss on held-out chapters there
    stored        the held-out loss of the weights as they are stored, in 16 bits
    data          the record itself
    """

    steps: Ints
    loss: Floats
    checks: Ints
    held: Floats
    stored: float
    data: dict[str, Any]


def data_live(settings: Settings = LIVE, *, seed: int, quiet: bool = False) -> Run:
    """Train a tiny decoder on one thread, with a bar that moves at each check."""
    torch.set_num_threads(1)
    ids, held = tokens_of(psalmist().tokenizer)
    generator = torch.Generator().manual_seed(seed)
    model = Decoder(TINY, generator=generator)
    run = begin(model, ids, settings, generator=generator, validation=held[:4097])
    bar = loss_bar(sys.stdout)

    def now_and_then(done: int, steps: int, losses: Floats) -> None:
        if done % settings.every == 0 and not quiet:
            bar(done, steps, losses)

    return train(run, progress=now_and_then)


def read_recorded(record: dict[str, Any]) -> Recorded:
    """The psalmist's training, from its record."""
    data = record["data"]["training"]
    loss = np.array(data["losses"])
    checks, held = np.array(data["checks"]).T
    steps = 20 * np.arange(1, len(loss) + 1)
    return Recorded(steps, loss, checks.astype(int), held, data["stored"], data)


@cache
def data_counts() -> dict[str, float]:
    """What counting loses on held-out chapters, nats a token, by the length of its runs."""
    tokenizer = psalmist().tokenizer
    ids, held = tokens_of(tokenizer)
    names = ("single tokens", "pairs", "triples")
    return {
        name: Ngrams(ids, n, tokenizer.vocabulary).loss(held)
        for n, name in enumerate(names, start=1)
    }


def bits_a_byte(loss: float) -> float:
    """A held-out loss in nats a token as bits for each byte of the text."""
    tokens = len(tokens_of(psalmist().tokenizer)[1]) - 1
    return loss * tokens / letters(split().validation) / math.log(2)


def draw_live(run: Run) -> Picture:
    """The loss of each step, and on held-out text."""
    figure, axes = panel("A tiny decoder learns", (4.6, 2.6))
    axes.plot(np.arange(1, len(run.losses) + 1), run.losses, color=GREY, linewidth=0.9)
    steps, held = zip(*run.checks, strict=True)
    axes.plot(steps, held, "o-", color=BLUE, markersize=4, label="held-out chapters")
    axes.plot([], [], color=GREY, label="each step's windows")
    axes.axhline(math.log(TINY.vocabulary), color="#000000", linewidth=0.8)
    axes.text(len(run.losses), math.log(TINY.vocabulary) + 0.06, "ln V", ha="right", fontsize=8)
    axes.set(xlabel="steps", ylabel="nats a token", ylim=(3.5, 7.4))
    axes.legend(fontsize=7.5, loc="lower left")
    return picture(
        figure, "The loss falls from the logarithm of the vocabulary's size, fast and then slowly."
    )


def draw_recorded(data: Recorded, counts: dict[str, float]) -> Picture:
    """Training and held-out loss of the psalmist, beside what counting loses."""
    figure, axes = panel("The psalmist learns", (5.0, 3.0))
    axes.plot(data.steps, data.loss, color=GREY, linewidth=1.0, label="training windows")
    axes.plot(data.checks, data.held, "o-", color=BLUE, markersize=4, label="held-out chapters")
    looks = zip(counts.items(), (PURPLE, OCHRE, RED), (":", "-.", "--"), strict=True)
    for (name, loss), colour, look in looks:
        axes.axhline(loss, linestyle=look, color=colour, linewidth=1.2)
        axes.text(data.steps[-1], loss + 0.05, f"counting {name}", color=colour, fontsize=8,
                  ha="right")  # fmt: skip
    axes.set(xlabel="steps", ylabel="nats a token", ylim=(1.9, 6.6))
    axes.legend(fontsize=7.5, loc="upper center")
    return picture(
        figure,
        "Loss of the psalmist by steps. On held-out chapters it passes what counting of single"
        " tokens, of pairs and of triples loses, and levels off; on training windows it goes on.",
    )
