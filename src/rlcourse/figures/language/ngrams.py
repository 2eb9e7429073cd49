"""What counting can do: n-grams, smoothed, to compare a network with.

    p(w | h) = (count(h w) + T(h) p(w | h')) / (count(h) + T(h))

h is the history of n - 1 tokens, h' the same without its first token, T(h) how many different
tokens have followed h: the more there were, the likelier is yet another one. The history of no
token falls back on 1 / V. Source: Witten and Bell (1991), as Chen and Goodman (1999) have it.
"""

import math
from collections import Counter
from collections.abc import Sequence

History = tuple[int, ...]


class Ngrams:
    """Counts of all runs of up to n tokens in a row."""

    def __init__(self, ids: Sequence[int], n: int, vocabulary: int) -> None:
        self.n, self.vocabulary = n, vocabulary
        self.count: Counter[History] = Counter()
        self.seen: Counter[History] = Counter()  # how often a history was followed by a token
        self.kinds: Counter[History] = Counter()  # by how many different ones
        for size in range(1, n + 1):
            runs = Counter(zip(*(ids[i:] for i in range(size)), strict=False))
            self.count += runs
            for run, times in runs.items():
                self.seen[run[:-1]] += times
                self.kinds[run[:-1]] += 1

    def probability(self, token: int, history: History) -> float:
        """p(token | history), with the last n - 1 tokens of the history at most."""
        p = 1 / self.vocabulary
        for size in range(self.n):
            if size > len(history):
                break
            h = history[len(history) - size :]
            if not (kinds := self.kinds[h]):
                break
            p = (self.count[(*h, token)] + kinds * p) / (self.seen[h] + kinds)
        return p

    def loss(self, ids: Sequence[int]) -> float:
        """Nats a token over a row, each token but the first given those before it."""
        row = tuple(ids)
        total = sum(
            math.log(self.probability(row[i], row[max(0, i - self.n + 1) : i]))
            for i in range(1, len(row))
        )
        return -total / (len(row) - 1)
