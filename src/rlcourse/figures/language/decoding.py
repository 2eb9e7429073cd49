"""Figures of the chapter on decoding: how surprising texts are, what cuts keep, how they end.

The model is the psalmist. Shapes: B texts, R new tokens, V vocabulary.
"""

import math
from collections.abc import Callable, Sequence
from functools import cache
from textwrap import fill
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from rlcourse.figures.language.psalmist import psalmist, tokens_of
from rlcourse.language.beam import beam_search
from rlcourse.language.decoding import Rollout, generate
from rlcourse.language.masks import padded_mask, padded_positions
from rlcourse.language.sampling import GREEDY, ORDER, Sampling, process, sampled_log_probs
from rlcourse.language.text import split
from rlcourse.plot import BLUE, GREEN, GREY, LOOKS, OCHRE, PURPLE, RED, Picture, panel, picture
from rlcourse.tabular.mdp import Floats

LATE = ("repetition_penalty", "top_k", "top_p", "min_p", "temperature")  # temperature after cuts
CUTS: dict[str, tuple[dict[str, Any], str, str]] = {
    "top-k 20": ({"top_k": 20}, BLUE, LOOKS[0]),
    "top-p 0.9": ({"top_p": 0.9}, RED, LOOKS[1]),
    "min-p 0.1": ({"min_p": 0.1}, GREEN, LOOKS[2]),
}


def prompts(n: int, size: int = 6) -> list[list[int]]:
    """The first `size` tokens of n held-out verses, behind the end token of the one before."""
    tokenizer = psalmist().tokenizer
    rows = [tokenizer.encode(verse) for verse in split().validation]
    return [[tokenizer.eos, *row[:size]] for row in rows if len(row) > size + 20][::8][:n]


def written(
    sampling: Sampling, rows: Sequence[Sequence[int]], most: int = 60, *, seed: int = 0
) -> Rollout:
    """What the psalmist writes after prompts, up to the end of the verse or `most` tokens."""
    model, tokenizer = psalmist()
    return generate(
        model, rows, sampling=sampling, max_tokens=most, eos=[tokenizer.eos], pad=tokenizer.pad,
        generator=torch.Generator().manual_seed(seed),
    )  # fmt: skip


@torch.no_grad()
def token_log_p(row: Sequence[int], new: int) -> Floats:
    """log p of the last `new` tokens of a row, by the psalmist as it is."""
    logits = psalmist().model(torch.tensor([row]))[0, :-1].log_softmax(-1)
    found = logits.gather(1, torch.tensor(row[1:])[:, None])[-new:, 0]
    return np.asarray(found.numpy(), dtype=np.float64)


# ------------------------------------------------------------------------------- how surprising


class Surprise(NamedTuple):
    """Texts after one prompt: who wrote it -> its surprise by token, in bits; and the texts."""

    bits: dict[str, Floats]
    texts: dict[str, str]
    prompt: str


@cache
def data_surprise(number: int = 8, most: int = 40) -> Surprise:
    """One verse as it stands, the likeliest continuations and a sampled one."""
    model, tokenizer = psalmist()
    prompt = prompts(number + 1)[number]
    verse = next(
        v for v in split().validation if [tokenizer.eos, *tokenizer.encode(v)[:6]] == prompt
    )
    human = [*tokenizer.encode(verse)[6:], tokenizer.eos][:most]
    beam = beam_search(model, prompt, beams=8, max_tokens=most, eos=[tokenizer.eos])[0].tokens
    greedy, drawn = (written(s, [prompt], most) for s in (GREEDY, Sampling()))
    rows = {
        "the verse as it stands": human,
        "beam search, 8 beams": [*beam],
        "greedy": greedy.response[0][greedy.mask[0]].tolist(),
        "sampled, T = 1": drawn.response[0][drawn.mask[0]].tolist(),
    }
    bits = {who: -token_log_p([*prompt, *row], len(row)) / math.log(2) for who, row in rows.items()}
    return Surprise(
        bits, {who: spelled(row) for who, row in rows.items()}, tokenizer.decode(prompt[1:])
    )


def spelled(row: Sequence[int]) -> str:
    """Tokens as text, without the end token."""
    tokenizer = psalmist().tokenizer
    return tokenizer.decode([x for x in row if x != tokenizer.eos])


def table_of_surprise(data: Surprise) -> str:
    """The texts, wrapped."""
    lines = [f"{data.prompt} …"]
    for who, text in data.texts.items():
        lines += [
            "",
            f"{who}:",
            fill(text.strip(), 72, initial_indent="  ", subsequent_indent="  "),
        ]
    return "\n".join(lines)


def draw_surprise(data: Surprise) -> Picture:
    """Bits of surprise of each token, a panel a writer."""
    figures = []
    looks = zip(data.bits.items(), (GREY, OCHRE, RED, BLUE), strict=True)
    for (who, bits), colour in looks:
        figure, axes = panel(f"{who}: {bits.mean():.1f} bits", (3.5, 1.75))
        axes.bar(np.arange(1, len(bits) + 1), bits, width=1.0, color=colour)
        axes.axhline(bits.mean(), color="#000000", linewidth=0.9, linestyle="--")
        axes.set(ylim=(0, 13), xlim=(0, 41), xlabel="token", ylabel="bits")
        figures.append(figure)
    return picture(
        figures,
        "Surprise of each token in bits. The verse as people wrote it and the sampled text jump"
        " between none and ten bits; beam search and greedy text stay low throughout.",
    )


# ------------------------------------------------------------------------------- what cuts keep


class Kept(NamedTuple):
    """Mean numbers of tokens that a cut keeps, by temperature: name -> (temperatures,)."""

    temperatures: Floats
    first: dict[str, Floats]
    after: dict[str, Floats]


@cache
@torch.no_grad()
def data_kept(contexts: int = 512) -> Kept:
    """Over held-out places: the temperature before the cuts, and after them."""
    model, tokenizer = psalmist()
    held = torch.tensor(tokens_of(tokenizer)[1])[: contexts // 4 * 8].reshape(-1, 128)
    z = model(held).flatten(0, 1)[:: held.numel() // contexts]
    nothing = torch.zeros(len(z), 1, dtype=torch.long)
    temperatures = np.array([0.25, 0.5, 0.75, 1.0, 1.25, 1.5, 1.75, 2.0])

    def count(options: dict[str, Any], order: Sequence[str]) -> Floats:
        each = [
            process(z, nothing, Sampling(t, **options), order=order)
            .isfinite()
            .sum(-1)
            .float()
            .mean()
            for t in temperatures
        ]
        return np.array([float(x) for x in each])

    return Kept(
        temperatures,
        {name: count(options, ORDER) for name, (options, *_) in CUTS.items()},
        {name: count(options, LATE) for name, (options, *_) in CUTS.items()},
    )


def draw_kept(data: Kept) -> Picture:
    """Tokens kept, by temperature, in both orders."""
    figures = []
    for title, table in (
        ("temperature, then cuts", data.first),
        ("cuts, then temperature", data.after),
    ):
        figure, axes = panel(title, (3.5, 2.5))
        for name, (_, colour, look) in CUTS.items():
            axes.plot(data.temperatures, table[name], color=colour, linestyle=look, label=name)
        axes.set(xlabel="temperature", ylabel="tokens kept, mean", yscale="log", ylim=(0.9, 1500))
        axes.legend(fontsize=7.5, loc="upper left")
        figures.append(figure)
    return picture(
        figures,
        "Mean number of tokens kept by temperature. With the temperature first, top-p keeps a few"
        " at 0.25 and hundreds at 2, min-p a few dozen; top-k keeps 20 always. With the cuts first"
        " all three lines are flat.",
    )


# ------------------------------------------------------------------------------- quality, diversity


class Score(NamedTuple):
    """What a set of texts is like: shares of word triples that are real, and that are distinct."""

    real: float
    distinct: float
    ended: float
    tokens: float


@cache
def _triples() -> frozenset[tuple[str, ...]]:
    parts = split()
    return frozenset(t for verse in (*parts.train, *parts.validation) for t in triples(verse))


def triples(text: str) -> list[tuple[str, ...]]:
    """Every three words in a row, in lower case and without punctuation."""
    words = ["".join(c for c in w.lower() if c.isalpha()) for w in text.split()]
    return [*zip(words, words[1:], words[2:], strict=False)]


def score(texts: Sequence[str], ended: float, tokens: float) -> Score:
    """The scores of some texts."""
    found = [t for text in texts for t in triples(text)]
    real = sum(t in _triples() for t in found) / len(found)
    return Score(real, len({*found}) / len(found), ended, tokens)


STRATEGIES: dict[str, tuple[Callable[[float], Sampling], tuple[float, ...]]] = {
    "temperature": (lambda x: Sampling(x), (0.3, 0.5, 0.7, 0.85, 1.0, 1.2)),
    "top-k": (lambda x: Sampling(top_k=int(x)), (1, 2, 4, 10, 30, 100)),
    "top-p": (lambda x: Sampling(top_p=x), (0.2, 0.4, 0.6, 0.8, 0.9, 0.97)),
    "min-p": (lambda x: Sampling(min_p=x), (0.9, 0.5, 0.25, 0.1, 0.05, 0.01)),
    "min-p 0.1, temperature": (lambda x: Sampling(x, min_p=0.1), (0.7, 1.0, 1.5, 2.0, 3.0)),
}


def recorded_strategies(n: int = 96) -> dict[str, Any]:
    """name -> rows of [setting, real, distinct, ended, tokens]; and the verses as they stand."""
    torch.set_num_threads(1)
    rows, tokenizer = prompts(n), psalmist().tokenizer
    table: dict[str, Any] = {}
    for name, (sampling, settings) in STRATEGIES.items():
        table[name] = []
        for x in settings:
            found = written(sampling(x), rows)
            texts = [
                spelled(row[mask].tolist())
                for row, mask in zip(found.response, found.mask, strict=True)
            ]
            ends = [bool((row == tokenizer.eos).any()) for row in found.response]
            result = score(texts, float(np.mean(ends)), float(found.mask.sum(1).float().mean()))
            table[name].append([x, *(round(v, 4) for v in result)])
    starts = {tuple(row[1:]) for row in rows}
    human = [v for v in split().validation if tuple(tokenizer.encode(v)[:6]) in starts]
    table["verses"] = [[0, *(round(v, 4) for v in score(human, 1.0, 0.0))]]
    return table


def draw_strategies(table: dict[str, Any]) -> Picture:
    """Real triples against distinct ones, a line a strategy."""
    figure, axes = panel("Likely or varied", (5.0, 3.3))
    colours = (RED, GREY, BLUE, GREEN, PURPLE)
    for (name, rows), colour, mark in zip(
        [x for x in table.items() if x[0] != "verses"], colours, "os^Dv", strict=True
    ):
        x = np.array(rows)
        axes.plot(100 * x[:, 2], 100 * x[:, 1], marker=mark, markersize=4, color=colour, label=name)
    verse = table["verses"][0]
    axes.plot(100 * verse[2], 100 * verse[1], "*", color=OCHRE, markersize=12, label="the verses")
    axes.set(xlabel="distinct triples of words, %", ylabel="triples that occur, %")
    axes.legend(fontsize=7.5, loc="lower left")
    return picture(
        figure,
        "Share of word triples that occur in the verses against the share that are distinct. All"
        " strategies lie near one falling curve; the verses themselves lie far above its end.",
    )


# ------------------------------------------------------------------------------- beams


def recorded_beams(n: int = 12, most: int = 40) -> list[list[float]]:
    """Rows of [beams, length penalty, mean log p, mean tokens, share of distinct triples]."""
    torch.set_num_threads(1)
    model, tokenizer = psalmist()
    table = []
    for penalty in (0.0, 1.0):
        for beams in (1, 2, 4, 8, 16):
            best = [
                beam_search(
                    model, row, beams=beams, max_tokens=most, eos=[tokenizer.eos],
                    length_penalty=penalty,
                )[0]
                for row in prompts(n)
            ]  # fmt: skip
            found = [t for b in best for t in triples(spelled(b.tokens))]
            table.append(
                [
                    beams, penalty, round(float(np.mean([b.log_prob for b in best])), 3),
                    round(float(np.mean([len(b.tokens) for b in best])), 2),
                    round(len({*found}) / max(1, len(found)), 4),
                ]
            )  # fmt: skip
    return table


def draw_beams(table: list[list[float]]) -> Picture:
    """log p, and the length of the best text, by the number of beams."""
    x = np.array(table)
    figures = []
    for title, column, limits in (
        ("log p of the best text", 2, None),
        ("its tokens, of 40 at most", 3, (0, 42)),
    ):
        figure, axes = panel(title, (3.5, 2.4))
        for penalty, colour, look in ((0.0, RED, LOOKS[1]), (1.0, BLUE, LOOKS[0])):
            rows = x[x[:, 1] == penalty]
            axes.plot(rows[:, 0], rows[:, column], "o", linestyle=look, color=colour,
                      markersize=4, label=f"a = {penalty:.0f}")  # fmt: skip
        axes.set(xlabel="beams", xscale="log", xticks=[1, 2, 4, 8, 16])
        axes.set_xticklabels(["1", "2", "4", "8", "16"])
        axes.minorticks_off()
        if limits:
            axes.set_ylim(*limits)
        axes.legend(fontsize=7.5, title="penalty", title_fontsize=7.5)
        figures.append(figure)
    return picture(
        figures,
        "By the number of beams: with length penalty 0 the likeliest text found gets likelier and"
        " shorter; with 1 texts stay long.",
    )


# ------------------------------------------------------------------------------- off policy


class OffPolicy(NamedTuple):
    """Texts drawn under a repetition penalty, weighed by who believes there was none.

    ratios  penalty -> (texts,) p(text) believed over p(text) true, as a logarithm
    tokens  mean tokens of a text
    """

    ratios: dict[float, Floats]
    tokens: float


@cache
def data_off_policy(n: int = 128, *, seed: int = 0) -> OffPolicy:
    """Rollouts at temperature 1 that someone believes to be the model's own."""
    ratios, lengths = {}, []
    rows = prompts(16) * (n // 16)
    for penalty in (1.0, 1.05, 1.2):
        found = written(Sampling(repetition_penalty=penalty), rows, 40, seed=seed)
        believed = sampled_log_probs(plain_logits(found), found.response)
        ratios[penalty] = ((believed - found.log_probs) * found.mask).sum(1).double().numpy()
        lengths.append(float(found.mask.sum(1).float().mean()))
    return OffPolicy(ratios, lengths[0])


@torch.no_grad()
def plain_logits(rollout: Rollout) -> Tensor:
    """The psalmist's logits (B, R, V) before each token of the response: one forward pass."""
    tokens, present = rollout.tokens[:, :-1], rollout.present[:, :-1]
    logits: Tensor = psalmist().model(
        tokens, positions=padded_positions(present), mask=padded_mask(present, tokens.shape[1])
    )
    return logits[:, -rollout.response.shape[1] :]


def draw_off_policy(data: OffPolicy) -> Picture:
    """Sorted log-ratios of the texts, a line a penalty."""
    figure, axes = panel("How wrong the belief is, text by text", (5.0, 2.9))
    for (penalty, x), colour, look in zip(
        data.ratios.items(), (GREY, BLUE, RED), LOOKS, strict=False
    ):
        share = (np.arange(len(x)) + 0.5) / len(x)
        axes.plot(
            np.sort(x), 100 * share, color=colour, linestyle=look, label=f"penalty {penalty:g}"
        )
    axes.set(xlabel="log p believed - log p true, of a whole text", ylabel="% of texts below")
    axes.legend(fontsize=7.5, loc="upper left")
    return picture(
        figure,
        "Distribution of the difference of log-probabilities. Without a penalty it is 0 for every"
        " text; with 1.05 it spreads over several nats below 0, with 1.2 over dozens.",
    )


# ------------------------------------------------------------------------------- padding


@torch.no_grad()
def data_sides(most: int = 12) -> dict[str, str]:
    """What is written after a short prompt: alone, and in a batch padded on either side.

    All three hide the padding and count positions rightly, and read the last column.
    """
    model, tokenizer = psalmist()
    short, other = ([tokenizer.eos, *tokenizer.encode(x)] for x in ("And God", LONG))
    gap = [tokenizer.pad] * (len(other) - len(short))
    layouts = {
        "alone": short,
        "padded on the left": gap + short,
        "padded on the right": short + gap,
    }
    texts = {}
    for name, row in layouts.items():
        tokens = torch.tensor([row])
        for _ in range(most):
            present = tokens != tokenizer.pad
            z = model(
                tokens,
                positions=padded_positions(present),
                mask=padded_mask(present, len(tokens[0])),
            )
            tokens = torch.cat([tokens, z[:, -1:].argmax(-1)], 1)
        texts[name] = tokenizer.decode([x for x in tokens[0].tolist() if x != tokenizer.pad][1:])
    return texts


LONG = "And it came to pass in those days, that there went out a decree"


# ------------------------------------------------------------------------------- the bug hunt


class Hunt(NamedTuple):
    """What a rule for recorded log-probabilities comes to: 64 texts at T = 0.7 with top-p 0.9.

    mean   of log p over their tokens, as recorded
    error  the largest difference from that of the distribution that was drawn from
    """

    mean: float
    error: float


def data_hunt(record: Callable[[Tensor, Tensor, Tensor], Tensor]) -> Hunt:
    """record(logits, processed, tokens) -> log p is the rule; logits (N, V), tokens (N,)."""
    rows = prompts(64)
    sampling = Sampling(0.7, top_p=0.9)
    found = written(sampling, rows, 20)
    logits = plain_logits(found)[found.mask]
    nothing = torch.zeros(len(logits), 1, dtype=torch.long)
    processed = process(logits, nothing, sampling)
    noted = record(logits, processed, found.response[found.mask])
    true = found.log_probs[found.mask]
    return Hunt(float(noted.mean()), float((noted - true).abs().max()))


# ------------------------------------------------------------------------------- live


class Lines(str):
    """A text of several lines that is shown as it reads."""

    def __repr__(self) -> str:
        return str(self)


def draw_live(
    temperature: float = 1.0, top_p: float = 1.0, min_p: float = 0.0, seed: int = 0
) -> Lines:
    """Four verses drawn with these settings: for sliders."""
    sampling = Sampling(temperature, top_p=top_p if top_p < 1 else None, min_p=min_p or None)
    found = written(sampling, prompts(4), 40, seed=seed)
    texts = [
        spelled([*prompt[1:], *row[mask].tolist()])
        for prompt, row, mask in zip(prompts(4), found.response, found.mask, strict=True)
    ]
    return Lines("\n".join(fill(f"· {text}", 68, subsequent_indent="  ") for text in texts))


RECORDED: dict[str, Callable[[], Any]] = {
    "strategies": recorded_strategies,
    "beams": recorded_beams,
}
RECORDED_MODULES = (
    "rlcourse.language.beam",
    "rlcourse.language.decoding",
    "rlcourse.language.sampling",
    "rlcourse.language.transformer",
    "rlcourse.figures.language.psalmist",
)
