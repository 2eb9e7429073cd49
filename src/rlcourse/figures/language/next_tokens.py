"""What the psalmist expects after four texts, and after their likeliest continuations: recorded.

The playground of decoding shows these logits. All of the vocabulary is there: the 36 largest
logits with their tokens, in hundredths, and the others without, in tenths, counted. Shapes: V
vocabulary.
"""

import heapq
from itertools import pairwise
from typing import Any, NamedTuple, cast

import torch
from torch import Tensor

from rlcourse.figures.language.psalmist import Psalmist, digest, psalmist

ROOTS = {
    "choice": "I will praise thee, O",
    "flat": "Woe unto you,",
    "repeated": "The LORD shall reign for ever and",
    "verse's end": "And the evening and the morning were the second day.",
}
"""What is special about a text, and the text; the end token of the verse before stands in front."""
NAMED, NODES = 36, 5


class Node(NamedTuple):
    """A text: its root's name, its tokens, its parent in the list and its token among its."""

    root: str
    tokens: list[int]
    parent: int | None = None
    chosen: int | None = None


def recorded_next_tokens() -> dict[str, Any]:
    """The five likeliest texts of each root, itself first, and the logits after each."""
    model = psalmist()
    nodes = [node for name in ROOTS for node in tree(model, name)]
    first = {name: [node.root for node in nodes].index(name) for name in ROOTS}
    return {
        "vocabulary": model.tokenizer.vocabulary,
        "model": digest({k: x.bfloat16() for k, x in model.model.state_dict().items()}),
        "roots": [[name, text, first[name]] for name, text in ROOTS.items()],
        "contexts": [packed(model, node, first[node.root]) for node in nodes],
    }


def tree(model: Psalmist, name: str) -> list[Node]:
    """The likeliest texts first: each costs the log-probability of what was added to the root."""
    eos = model.tokenizer.eos
    found, root = list[Node](), Node(name, [eos, *model.tokenizer.encode(ROOTS[name])])
    waiting = [(0.0, root.tokens, root)]
    while len(found) < NODES:
        cost, _, node = heapq.heappop(waiting)
        log_p = logits(model, node.tokens).log_softmax(-1)
        for i, token in enumerate(ranked(log_p)[:NAMED].tolist()):
            if token != eos:
                child = Node(name, [*node.tokens, token], len(found), i)
                heapq.heappush(waiting, (cost - float(log_p[token]), child.tokens, child))
        found.append(node)
    return found


def logits(model: Psalmist, tokens: list[int]) -> Tensor:
    """The logits (V,) of what follows, in float64."""
    return cast(Tensor, model.model(torch.tensor([tokens]))[0, -1].double())


def ranked(z: Tensor) -> Tensor:
    """The tokens (V,), the likeliest first; of equals the first."""
    return z.sort(descending=True, stable=True).indices


def packed(model: Psalmist, node: Node, first: int) -> dict[str, Any]:
    """Logits of a text, the largest first, as small integers.

    top      hundredths of the largest, then by how much each is below the one before
    names    their tokens
    others   tenths of the largest of the others, then how many there are at it, a tenth below, …
    seen     places, in that order, of the tokens that stand in the text
    parent, chosen   the text before, and the place of the token that was added to it
    """
    z = logits(model, node.tokens)
    order = ranked(z)
    top = [round(100 * x) for x in z[order[:NAMED]].tolist()]
    rest = [round(10 * x) for x in z[order[NAMED:]].tolist()]
    counts = [rest.count(level) for level in range(rest[0], rest[-1] - 1, -1)]
    steps = [a - b for a, b in pairwise(top)]
    return {
        "names": [spelled(model, token) for token in order[:NAMED].tolist()],
        "top": [top[0], *steps],
        "others": [rest[0], *counts],
        "seen": sorted(order.tolist().index(token) for token in set(node.tokens)),
        "parent": None if node.parent is None else first + node.parent,
        "chosen": node.chosen,
    }


def spelled(model: Psalmist, token: int) -> str:
    """A token as text."""
    return "<end>" if token == model.tokenizer.eos else model.tokenizer.decode([token])


RECORDED = {"next_tokens": recorded_next_tokens}
RECORDED_MODULES = ("rlcourse.language.transformer",)
