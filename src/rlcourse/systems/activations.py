"""A ledger of what the forward pass saves for the backward pass, tensor by tensor.

An operation saves what its derivative reads: a product its two factors, a softmax its output, a
dropout its mask. Each line of the ledger names one such tensor; one that lies in the storage of
another costs nothing more. Sizes are letters, so a sum over the lines is a formula:

    GPT layer, 16 bits                       bytes, in units of BNC
    as it stands                             34 + 5HN/C              (eq-layer-activations)
    tensor parallel, t ranks                 10 + 24/t + 5HN/(Ct)
    and the rest cut along the sequence      (34 + 5HN/C) / t
    attention recomputed                     34 / t
    the layer recomputed                     2 / t

With a context of c ranks each holds N/c of the tokens: all of it over c.
Symbols: B sequences, N tokens, C width, H heads, t tensor-parallel ranks, c context-parallel ranks.
Sources: Korthikanti et al. (2022), Reducing Activation Recomputation, sections 4 and 5, table 2
(their s, b, h, a are N, B, C, H); Liu et al. (2023), Ring Attention, for c.
"""

from collections.abc import Iterable, Mapping
from fractions import Fraction
from functools import reduce
from operator import mul
from typing import NamedTuple

Monomial = tuple[tuple[str, int], ...]  # symbols and their exponents, in alphabetical order
SUPERSCRIPT = str.maketrans("0123456789", "⁰¹²³⁴⁵⁶⁷⁸⁹")


class Size:
    """A sum of products of symbols, 34 B C N / t + 5 B H N² / t, with exact coefficients."""

    def __init__(self, terms: Mapping[Monomial, Fraction | int]) -> None:
        """Keep the terms whose coefficient isn't 0."""
        self.terms = {m: Fraction(k) for m, k in terms.items() if k}

    def __add__(self, other: "Size | int") -> "Size":
        """Add term by term."""
        terms = dict(self.terms)
        for monomial, k in _size(other).terms.items():
            terms[monomial] = terms.get(monomial, Fraction()) + k
        return Size(terms)

    def __mul__(self, other: "Size | int") -> "Size":
        """Multiply each term by each: exponents add up."""
        terms: dict[Monomial, Fraction] = {}
        for one, k in self.terms.items():
            for two, j in _size(other).terms.items():
                both = _product(one, two)
                terms[both] = terms.get(both, Fraction()) + k * j
        return Size(terms)

    __radd__, __rmul__ = __add__, __mul__

    def __truediv__(self, other: "Size | int") -> "Size":
        """Divide by a single term; ValueError for a sum or 0."""
        divisor = _size(other)
        if len(divisor.terms) != 1:
            raise ValueError(f"other must be a single term to divide by, got {divisor}")
        ((monomial, k),) = divisor.terms.items()
        return self * Size({tuple((s, -e) for s, e in monomial): 1 / k})

    def __rtruediv__(self, other: int) -> "Size":
        """Divide a number by a single term."""
        return _size(other) / self

    def __eq__(self, other: object) -> bool:
        """Equal in all terms."""
        return isinstance(other, Size | int) and self.terms == _size(other).terms

    def at(self, **values: int) -> "Size":
        """With numbers in place of some of the symbols; those that don't occur are no error."""
        found = Size({})
        for monomial, k in self.terms.items():
            for symbol, exponent in monomial:
                k *= Fraction(values.get(symbol, 1)) ** exponent
            rest = tuple(pair for pair in monomial if pair[0] not in values)
            found += Size({rest: k})
        return found

    def __int__(self) -> int:
        """Return the number, where no symbol is left and it is whole; ValueError otherwise."""
        k = self.terms.get((), Fraction())
        if set(self.terms) - {()} or k.denominator != 1:
            raise ValueError(f"the size must be a whole number, got {self}")
        return int(k)

    def __repr__(self) -> str:
        """Write it as a formula, the highest powers last."""
        order = sorted(self.terms, key=lambda m: (sum(e for _, e in m if e > 0), m))
        return " + ".join(_written(self.terms[m], m) for m in order) or "0"


Length = Size | int


def _size(x: Length) -> Size:
    return x if isinstance(x, Size) else Size({(): x})


def _product(one: Monomial, two: Monomial) -> Monomial:
    exponents = dict(one)
    for symbol, exponent in two:
        exponents[symbol] = exponents.get(symbol, 0) + exponent
    return tuple(sorted((s, e) for s, e in exponents.items() if e))


def _written(k: Fraction, monomial: Monomial) -> str:
    """5BHN²/(Ct), say."""

    def power(symbol: str, exponent: int) -> str:
        return symbol + (str(exponent).translate(SUPERSCRIPT) if exponent > 1 else "")

    over = "".join(power(s, e) for s, e in monomial if e > 0)
    under = [str(k.denominator)] * (k.denominator > 1)
    under += [power(s, -e) for s, e in monomial if e < 0]
    above = over if over and k.numerator == 1 else f"{k.numerator}{over}"
    below = "".join(under)
    return above + (f"/({below})" if len(under) > 1 else f"/{below}" if under else "")


def symbols(names: str) -> tuple[Size, ...]:
    """Sizes that are one symbol each: symbols("B N C")."""
    return tuple(Size({((name, 1),): 1}) for name in names.split())


class Entry(NamedTuple):
    """A tensor that an operation saves: bytes per element, and whose storage it lies in, if any."""

    op: str
    name: str
    shape: tuple[Length, ...]
    element: int = 2
    shared: str = ""

    @property
    def bytes(self) -> Size:
        """Elements times bytes per element, or 0 where the storage is another's."""
        return Size({}) if self.shared else reduce(mul, self.shape, _size(self.element))


def total(ledger: Iterable[Entry]) -> Size:
    """Bytes of all entries together."""
    return sum((entry.bytes for entry in ledger), Size({}))


def korthikanti(recompute: str = "none", sequence_parallel: bool = False) -> list[Entry]:
    """A GPT layer in 16 bits and its dropout masks, on one of t c ranks  (eq-layer-activations).

    recompute: "none"; "selective", without what lies between the queries and keys and the values;
    "full", the input alone. Without tensor or context parallelism set t or c to 1, with `Size.at`.
    ValueError for another recompute.
    """
    b, n, c, h, t, ranks = symbols("B N C H t c")
    n_mine = n / ranks
    outside = (b, n_mine / t if sequence_parallel else n_mine, c)
    inside, inner, scores = (b, n_mine, c / t), (b, n_mine, 4 * c / t), (b, h / t, n_mine, n)
    if recompute == "full":
        return [Entry("checkpoint", "x", outside)]
    if recompute not in ("none", "selective"):
        raise ValueError(f"recompute must be none, selective or full, got {recompute!r}")
    attention = [
        Entry("softmax", "probabilities", scores),
        Entry("attention dropout", "probabilities mask", scores, 1),
        Entry("product with v", "dropped probabilities", scores),
    ]
    return [
        Entry("first norm", "x", outside),
        Entry("q projection", "normed", outside),
        Entry("k projection", "normed for k", outside, shared="normed"),
        Entry("v projection", "normed for v", outside, shared="normed"),
        Entry("product q·k", "q", inside),
        Entry("product q·k", "k", inside),
        *(attention if recompute == "none" else []),
        Entry("product with v", "v", inside),
        Entry("output projection", "o", inside),
        Entry("first dropout", "first mask", outside, 1),
        Entry("second norm", "x after attention", outside),
        Entry("up projection", "normed again", outside),
        Entry("GELU", "inner", inner),
        Entry("down projection", "activated", inner),
        Entry("second dropout", "second mask", outside, 1),
    ]
