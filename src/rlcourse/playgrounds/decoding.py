"""The playground of decoding: what reshapes the psalmist's next token, what cuts it, what is drawn.

Its logits were recorded (`rlcourse.figures.language.next_tokens`): all of the vocabulary's, rounded
to 0.01 for the 36 largest and to 0.1 for the others, the largest first. Shapes: V vocabulary.
"""

import functools
from collections.abc import Mapping, Sequence
from typing import Any, Literal, NamedTuple, get_args

import numpy as np
from numpy.typing import NDArray

from rlcourse import _check, results
from rlcourse.playgrounds._base import Playground, Prompt
from rlcourse.tabular.mdp import Bools, Floats

First = Literal["temperature", "cuts"]

ROWS = 12  # tokens with a row of their own
LOGITS = -20.0, 20.0  # between which a logit can be moved


class Settings(NamedTuple):
    """What the reader can change.

    context      the text, by its place among the recorded ones
    temperature  from 0, the likeliest token alone, to 2.5
    top_k        up to 40, 0 is off
    top_p        1 is off
    min_p        up to 0.5, 0 is off
    penalty      of tokens that stand in the text, up to 2, 1 is off
    first        whether the temperature comes before the cuts, as in Hugging Face, or after
    moved        places of tokens and the logits that they are moved to
    u            the uniform number, below 1, that draws
    """

    context: int = 0
    temperature: float = 1.5
    top_k: int = 0
    top_p: float = 0.9
    min_p: float = 0.0
    penalty: float = 1.0
    first: First = "temperature"
    moved: tuple[tuple[int, float], ...] = ()
    u: float = 0.25


PROMPTS = (
    Prompt(
        "Top-k 8 in place of top-p: does it matter whether the temperature comes first?",
        {"top_k": 8, "top_p": 1.0, "first": "cuts"},
        "No: a temperature keeps the ranking, so the same 8 tokens are left, with the same"
        " probabilities. Top-p and min-p look at probabilities: at T = 1.5, top-p 0.9 keeps 413"
        " tokens after the temperature and 22 before it, min-p 0.1 keeps 6 and 4.",
    ),
    Prompt(
        "Top-p 0.9 at T = 1, where a verse ends: how many tokens are kept?",
        {"context": 15, "temperature": 1.0},
        "One: the end token alone has 0.901. After “Woe unto you,” the same 0.9 keeps 246. Top-p"
        " follows how sure the model is, and top-k doesn’t: 40 are too many here and too few"
        " there.",
    ),
    Prompt(
        "Where a verse ends, a repetition penalty of 1.3 alone: does it end as surely?",
        {"context": 15, "temperature": 1.0, "top_p": 1.0, "penalty": 1.3},
        "No: with 0.438 in place of 0.901. The end token of the verse before stands in the text, so"
        " it is penalised, as ends of turns are in a chat: z = 10.68 is divided to 8.22. A good"
        " repetition suffers too: after “for ever and”, “ever” falls from 0.732 to 0.287.",
    ),
)
"""Each answer is asserted, from the package's own numbers, in tests/playgrounds."""


class DecodingPlayground(Playground):
    """The next token of a small model: temperature, cuts, their order, and a draw.

    Arguments are those of `Settings`, which says what they mean; without any it comes with three
    questions to predict. Raises ValueError for what the controls cannot set.
    """

    name = "decoding"

    def __init__(self, title: str | None = None, **settings: Any) -> None:
        if odd := settings.keys() - set(Settings._fields):
            raise ValueError(f"settings must be among {Settings._fields}, got {sorted(odd)}")
        w = Settings(**settings)
        w = w._replace(moved=tuple((place, logit) for place, logit in w.moved))
        texts = len(recorded()["contexts"])
        if w.context not in range(texts):
            raise ValueError(f"context must be an integer from 0 to {texts - 1}, got {w.context!r}")
        if w.top_k not in range(41):
            raise ValueError(f"top_k must be an integer from 0 to 40, got {w.top_k!r}")
        if w.first not in get_args(First):
            raise ValueError(f"first must be one of {get_args(First)}, got {w.first!r}")
        limits = {"temperature": (0, 2.5), "top_p": (0.05, 1), "min_p": (0, 0.5)}
        for name, (least, most) in (limits | {"penalty": (1, 2), "u": (0, 0.999)}).items():
            _check.interval(name, getattr(w, name), least, most)
        for place, logit in w.moved:
            if place not in range(ROWS):
                raise ValueError(f"moved must name places from 0 to {ROWS - 1}, got {place!r}")
            _check.interval("moved", logit, *LOGITS)
        self.settings, self.title = w, title

    def data(self) -> dict[str, Any]:
        """Settings, logits, prompts, and the package's numbers, which the script must repeat."""
        w, now = self.settings, solve(self.settings)
        found = recorded()
        names = sorted({name for c in found["contexts"] for name in c["names"]})
        contexts = [
            c | {"names": [names.index(name) for name in c["names"]]} for c in found["contexts"]
        ]
        data = {
            "settings": w._asdict(),
            "roots": found["roots"],
            "names": "|".join(names),
            "contexts": contexts,
            "golden": {
                "own": now.own[:ROWS].tolist(),
                "p": now.p[:ROWS].tolist(),
                "kept": int(now.kept.sum()),
                "otherwise": int(solve(other(w)).kept.sum()),
                "token": now.token,
            },
            "prompts": [prompt._asdict() for prompt in PROMPTS] if w == Settings() else [],
        }
        return data | ({"title": self.title} if self.title else {})

    def fallback(self) -> str:
        """A table of the likeliest tokens: logit, the model's probability, what is drawn from."""
        w, now = self.settings, solve(self.settings)
        z, names = logits(w.context), recorded()["contexts"][w.context]["names"]
        rows = [
            (f"“{_spoken(name)}”", _minus(z[i]), now.own[i], now.p[i])
            for i, name in enumerate(names[:ROWS])
        ]
        rows.append((f"{len(z) - ROWS} others", "", now.own[ROWS:].sum(), now.p[ROWS:].sum()))
        body = "".join(f"<tr><td>{a}<td>{b}<td>{c:.3f}<td>{d:.3f}" for a, b, c, d in rows)
        return (
            f"<table><caption>What may come after “{_spoken(text(w.context))}”: the likeliest of"
            f" {len(z)} tokens, before and after {described(w)}, which keep {now.kept.sum()}. With"
            " JavaScript this is a playground.</caption><tr><th>token<th>logit<th>the model’s"
            f" probability<th>drawn from{body}</table>"
        )

    def __repr__(self) -> str:
        fields = ", ".join(f"{k}={v!r}" for k, v in self.settings._asdict().items())
        return f"DecodingPlayground({fields})"


def _minus(x: float) -> str:
    return f"{x + 0.0:.2f}".replace("-", "−")


def _spoken(name: str) -> str:
    return name.replace("&", "&amp;").replace("<", "&lt;")


def described(w: Settings) -> str:
    """The settings in words, in the order in which they act."""
    cuts = [
        f"top-k {w.top_k}" if w.top_k else "",
        f"top-p {w.top_p:g}" if w.top_p < 1 else "",
        f"min-p {w.min_p:g}" if w.min_p else "",
    ]
    heat = [f"temperature {w.temperature:g}"]
    penalty = [f"penalty {w.penalty:g}" if w.penalty > 1 else ""]
    both = heat + cuts if w.first == "temperature" else cuts + heat
    return ", ".join(filter(None, penalty + both))


# ------------------------------------------------------------------------------- the recorded texts


@functools.cache
def recorded() -> Mapping[str, Any]:
    """The recorded texts and logits: shared, so never write to it."""
    found: Mapping[str, Any] = results.load("language/next_tokens")["data"]["next_tokens"]
    return found


def logits(context: int) -> Floats:
    """The logits (V,) of what follows a text, about the largest first."""
    c = recorded()["contexts"][context]
    top = c["top"][0] - np.cumsum([0, *c["top"][1:]])
    start, *counts = c["others"]
    return np.concatenate([top / 100, np.repeat(start - np.arange(len(counts)), counts) / 10])


def seen(context: int) -> NDArray[np.int64]:
    """The places among those logits of the tokens that stand in the text."""
    return np.array(recorded()["contexts"][context]["seen"])


def named(context: int, place: int) -> str:
    """The token at a place among those logits; "?" for one of those that have no name here."""
    names = recorded()["contexts"][context]["names"]
    return str(names[place]) if place < len(names) else "?"


def text(context: int) -> str:
    """The text, without the end token of the verse before."""
    c = recorded()["contexts"][context]
    if c["parent"] is None:
        return next(str(words) for _, words, first in recorded()["roots"] if first == context)
    parent = recorded()["contexts"][c["parent"]]
    return text(c["parent"]) + str(parent["names"][c["chosen"]])


# ------------------------------------------------------------------------------- what is drawn


class Solution(NamedTuple):
    """own (V,): the model's probabilities; p (V,): what is drawn from; kept (V,): what wasn't cut.

    token  the place of the token that u draws
    """

    own: Floats
    p: Floats
    kept: Bools
    token: int


@functools.cache
def solve(w: Settings) -> Solution:
    """The functions of `rlcourse.language.sampling` on the recorded logits; never write to it."""
    import torch  # here, so that the other playgrounds come without it

    from rlcourse.language.sampling import ORDER, Sampling, draw, process

    sampling = Sampling(
        temperature=w.temperature,
        top_k=w.top_k or None,
        top_p=w.top_p if w.top_p < 1 else None,
        min_p=w.min_p or None,
        repetition_penalty=w.penalty if w.penalty > 1 else None,
    )
    order: Sequence[str] = ORDER
    if w.first == "cuts":
        order = ("repetition_penalty", "top_k", "top_p", "min_p", "temperature")
    z = torch.tensor(logits(w.context))
    own = z.softmax(-1)
    for place, logit in w.moved:
        z[place] = logit
    z = process(z[None], torch.tensor(seen(w.context))[None], sampling, order=order)[0]
    u = torch.tensor(w.u, dtype=z.dtype) if w.temperature > 0 else None
    token = int(draw(z, u)[0])
    p = z.softmax(-1) if w.temperature > 0 else torch.nn.functional.one_hot(z.argmax(), len(z))
    return Solution(own.numpy(), p.double().numpy(), z.isfinite().numpy(), token)


def other(w: Settings) -> Settings:
    """The same with temperature and cuts the other way round."""
    return w._replace(first="cuts" if w.first == "temperature" else "temperature")


def choices(p: Floats) -> float:
    """exp(entropy): among how many equally likely tokens the choice would be as uncertain."""
    likely = p[p > 0]
    return float(np.exp(-(likely * np.log(likely)).sum()))
