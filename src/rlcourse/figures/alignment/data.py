"""Figures of the chapter on data: the task, and a fine-tuning.

The task: the user sends a verse or some, the assistant names the book they stand in. The model is
the psalmist, which has read the books and never answered a question.
Shapes: B rows, T tokens of a row.
"""

import copy
import itertools
from collections.abc import Callable, Sequence
from functools import cache
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from rlcourse.alignment.data import Sample, Targets
from rlcourse.alignment.sft import fine_tune
from rlcourse.alignment.templates import CHATML, render, template_sample
from rlcourse.figures.language.psalmist import psalmist
from rlcourse.language.decoding import generate
from rlcourse.language.sampling import GREEDY
from rlcourse.language.text import BOOKS, chapters
from rlcourse.language.training import Settings
from rlcourse.language.transformer import Decoder
from rlcourse.plot import BLUE, LOOKS, OCHRE, RED, Picture, panel
from rlcourse.plot import picture as as_picture
from rlcourse.tabular.mdp import Floats

Rule = Callable[[Tensor, Tensor], Targets]
LENGTHS = (1, 1, 3, 1, 2, 1, 6)  # verses of a passage
RATE = 2e-3
END = "<|im_end|>"
WINDOW = 256  # tokens of a packed row: longer conversations are left out
WAYS = {
    "as it should": (BLUE, LOOKS[0]),
    "mask not shifted": (RED, LOOKS[1]),
    "prompts learned too": (OCHRE, LOOKS[2]),
}


# ------------------------------------------------------------------------------- the task


class Asked(NamedTuple):
    """A passage and the book it stands in."""

    text: str
    book: str


@cache
def asked(held_out: bool, every: int = 10) -> tuple[Asked, ...]:
    """Passages of the chapters that the psalmist learned from, or of those held out from it.

    Every chapter is cut into passages of 1, 1, 3, 1, 2, 1, 6 verses, again and again.
    """
    found, number = [], 0
    for book in BOOKS:
        for verses in chapters(book):
            number += 1
            if (number % every == 0) == held_out:
                found += [Asked(text, book) for text in passages(verses)]
    return tuple(found)


def passages(verses: Sequence[str]) -> list[str]:
    """Pieces of a chapter, of unequal length."""
    sizes = itertools.accumulate(itertools.cycle(LENGTHS), initial=0)
    cuts = list(itertools.takewhile(lambda x: x < len(verses), sizes))
    return [" ".join(verses[i:j]) for i, j in itertools.pairwise([*cuts, len(verses)])]


def messages(question: Asked) -> list[dict[str, str]]:
    """The conversation: a passage, and the name of its book."""
    return [
        {"role": "user", "content": question.text},
        {"role": "assistant", "content": question.book},
    ]


def chosen(questions: Sequence[Asked], n: int, seed: int) -> list[Asked]:
    """So many of them, drawn without replacement."""
    order = torch.randperm(len(questions), generator=torch.Generator().manual_seed(seed))
    return [questions[i] for i in order[:n].tolist()]


@cache
def conversations(n: int = 2000, seed: int = 0) -> tuple[Sample, ...]:
    """Samples to learn from that fit the window."""
    encode = psalmist().tokenizer.encode
    found = (template_sample(CHATML, messages(q), encode) for q in chosen(asked(False), n, seed))
    return tuple(x for x in found if len(x.tokens) <= WINDOW)


def held_out(n: int) -> list[Asked]:
    """Passages to ask for, of chapters that the model has never seen."""
    fit = [q for q in asked(True) if len(psalmist().tokenizer.encode(q.text)) < WINDOW - 16]
    return chosen(fit, n, seed=1)


# ------------------------------------------------------------------------------- fine-tuning


class Tuned(NamedTuple):
    """Losses of each step; answers to held-out passages before and after, how many are right."""

    losses: Floats
    questions: list[Asked]
    before: list[str]
    after: list[str]
    right: tuple[float, float]
    stopped: tuple[float, float]


def answers(model: Decoder, questions: Sequence[Asked], most: int = 8) -> tuple[list[str], float]:
    """The likeliest answers, and the share of them that end."""
    tokenizer = psalmist().tokenizer
    (end,) = tokenizer.encode(END)
    rows = [
        tokenizer.encode(render(CHATML, messages(q)[:1], add_generation_prompt=True))
        for q in questions
    ]
    found = generate(
        model, rows, sampling=GREEDY, max_tokens=most, eos=[end],
        pad=tokenizer.pad, generator=torch.Generator().manual_seed(0),
    )  # fmt: skip
    texts = [
        tokenizer.decode([i for i in row[mask].tolist() if i != end])
        for row, mask in zip(found.response, found.mask, strict=True)
    ]
    ended = (found.response == end).any(1)
    return [text.strip() for text in texts], float(ended.float().mean())


def share_right(texts: Sequence[str], questions: Sequence[Asked]) -> float:
    """The share of answers that name the book."""
    return sum(t == q.book for t, q in zip(texts, questions, strict=True)) / len(questions)


def prepared(way: str) -> list[Sample]:
    """The conversations with the mask of a way: one right, two of those that are met."""
    samples = conversations()
    if way == "mask not shifted":  # the loop shifts it: shifted back beforehand, it stays behind
        return [Sample(x.tokens, x.mask.roll(1)) for x in samples]
    if way == "prompts learned too":
        return [Sample(x.tokens, torch.ones_like(x.mask)) for x in samples]
    return [*samples]


@cache
def data_fine_tuning(steps: int = 80, way: str = "as it should", held: int = 64) -> Tuned:
    """The psalmist learns to answer: so many steps of 8 conversations, packed."""
    model = copy.deepcopy(psalmist().model).requires_grad_(True)
    questions = held_out(held)
    before, stopped = answers(model, questions)
    settings = Settings(steps=steps, batch=8, window=WINDOW, rate=RATE, warm_up=10)
    losses = fine_tune(
        model, prepared(way), settings, generator=torch.Generator().manual_seed(0)
    )  # fmt: skip
    after, stops = answers(model, questions)
    right = share_right(before, questions), share_right(after, questions)
    return Tuned(np.array(losses), questions, before, after, right, (stopped, stops))


def commonest(questions: Sequence[Asked]) -> float:
    """The share that a model has right which always names the commonest book."""
    books = [q.book for q in questions]
    return max(map(books.count, BOOKS)) / len(books)


def draw_losses(runs: dict[str, Floats], smooth: int = 5) -> Picture:
    """Losses of each step, a mean over some steps."""
    figure, axes = panel("loss of the kept tokens", (4.2, 2.7))
    for name, losses in runs.items():
        whole = losses[: len(losses) // smooth * smooth].reshape(-1, smooth).mean(1)
        colour, look = WAYS[name]
        step = np.arange(len(whole)) * smooth + smooth / 2
        axes.plot(step, whole, color=colour, linestyle=look, label=name)
    axes.set(xlabel="step", ylabel="nats a token", yscale="log")
    axes.set_yticks([0.1, 0.3, 1, 3], ["0.1", "0.3", "1", "3"])
    axes.minorticks_off()
    if len(runs) > 1:
        axes.legend()
    words = ", ".join(f"{name} ends at {losses[-10:].mean():.2f}" for name, losses in runs.items())
    return as_picture(figure, f"The loss falls over the steps: {words}.")


def losses_of(way: dict[str, Any]) -> Floats:
    """The losses of a recorded way."""
    return np.array(way["losses"])


def table_of_answers(data: Tuned, n: int = 6) -> str:
    """Some held-out passages, what the model said before and after, and the book."""
    lines = [f"{'passage':34} {'before':16} {'after':16} book"]
    for q, a, b in list(zip(data.questions, data.before, data.after, strict=True))[:n]:
        lines.append(f"{q.text[:32] + '…':34} {a[:14] or '(nothing)':16} {b[:14]:16} {q.book}")
    return "\n".join(lines)


# ------------------------------------------------------------------------------- the hunt


def data_hunt(rule: Rule) -> str:
    """What a rule for targets has the model learn in one conversation, as text."""
    tokenizer = psalmist().tokenizer
    sample = template_sample(CHATML, messages(asked(False)[0]), tokenizer.encode)
    found = rule(sample.tokens[None], sample.mask[None])
    labels = found.labels[0, found.mask[0]].tolist()
    return repr(tokenizer.decode(labels))


# ------------------------------------------------------------------------------- recorded


def recorded_ways() -> dict[str, Any]:
    """Each way of preparing the mask, in full."""
    torch.set_num_threads(1)
    out: dict[str, Any] = {}
    for way in WAYS:
        run = data_fine_tuning(steps=240, way=way, held=384)
        out[way] = {
            "losses": [float(f"{x:.4g}") for x in run.losses],
            "right": [round(x, 4) for x in run.right],
            "stopped": [round(x, 4) for x in run.stopped],
            "commonest": round(commonest(run.questions), 4),
            "answers": run.after[:6],
        }
        print(way, out[way]["right"], out[way]["stopped"], flush=True)
    return out


RECORDED: dict[str, Callable[[], dict[str, Any]]] = {"ways": recorded_ways}
RECORDED_MODULES = (
    "rlcourse.alignment.sft",
    "rlcourse.alignment.packing",
    "rlcourse.alignment.templates",
    "rlcourse.figures.language.psalmist",
)
