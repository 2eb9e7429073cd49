"""The Triton kernel beside the NumPy one, line by line, cut out of their tested sources.

A row pairs lines of both, named by how they begin; a name that no line has, and a line of either
loop that no row has, are errors, so that the listing can't fall behind the code. Sources are read,
not imported: the listing is drawn where there is no Triton too.
"""

import ast
import html
import importlib.util
import io
import textwrap
import tokenize
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from rlcourse.plot import BLUE, MIME, OCHRE

NUMPY, TRITON = "rlcourse.systems.flash_attention", "rlcourse.systems.attention_kernels"


class Row(NamedTuple):
    """Lines that do the same, as `function: beginning of the line`, and a word on both."""

    says: str
    numpy: tuple[str, ...]
    triton: tuple[str, ...]


ROWS = (
    Row(
        "Which tiles of keys to visit, and which of them need no mask.",
        ("flash_forward: full, seen = visible_tiles(", "flash_forward: o, lse = np.empty_like("),
        ("forward_kernel: lo, bulk_lo, bulk_hi, hi =",),
    ),
    Row(
        "The loop over tiles of queries is the grid: one program each, side by side.",
        ("flash_forward: for i, rows in",),
        ("forward_kernel: tile = tl.program_id(0)",),
    ),
    Row(
        "The queries are read once and stay.",
        ("flash_forward: q_i = q[rows]",),
        ("forward_kernel: q = load_tile(",),
    ),
    Row(
        "Nothing seen yet. The kernel sums in float32 whatever its inputs are.",
        ("flash_forward: m_i, l_i =", "flash_forward: o_i = np.zeros_like("),
        ("forward_kernel: m = tl.full(", "forward_kernel: l = tl.zeros(",
         "forward_kernel: acc = tl.zeros("),
    ),
    Row(
        "The keys pass by. The kernel calls this loop up to three times: for the bulk without a"
        " mask, and for the edges with one.",
        ("flash_forward: for j in range(", "flash_forward: cols = slice("),
        ("attend: unit: ", "attend: for j0 in tl.range(", "attend: j = j0 + tl.arange("),
    ),
    Row(
        "One tile of keys and one of values. The values are fetched late, while the scores are"
        " being computed.",
        ("flash_forward: k_j, v_j =",),
        ("attend: k = load_tile(", "attend: v = load_tile("),
    ),
    Row(
        "Scores. The kernel leaves 1/√D to the exponent, and for 16-bit inputs it works in powers"
        " of two: one factor, one instruction.",
        ("flash_forward: s = tile_scores(", "tile_scores: s = q @ k.T"),
        ("attend: s = tl.dot(q, k.T", "attend: if SOFTCAP or ALIBI:", "attend: s, _ = logits(",
         "attend: factor = 1.0", "attend: else:", "attend: factor = scale"),
    ),
    Row(
        "The mask, in tiles that it cuts.",
        ("tile_scores: return s if",),
        ("attend: if MASKED:", "attend: s = hide("),
    ),
    Row(
        "The running max, and 0 in its place where no key has been seen.",
        ("flash_forward: m_next =", "flash_forward: shift ="),
        ("attend: m_new =", "attend: shift ="),
    ),
    Row(
        "Weights of the new keys, and the factor by which all that was summed shrinks.",
        ("flash_forward: p, shrink =",),
        ("attend: p =", "attend: alpha ="),
    ),
    Row("The denominator.", ("flash_forward: l_i = shrink",), ("attend: l = l * alpha",)),
    Row(
        "The output so far, not yet divided. In 16 bits the weights are rounded for the product,"
        " the sum is not. Of packed sequences a tile may hold a neighbour's values.",
        ("flash_forward: o_i = shrink",),
        ("attend: acc = acc * alpha", "attend: if MASKED and PACKED:", "attend: v = tl.where(",
         "attend: acc = tl.dot("),
    ),
    Row("On to the next tile.", ("flash_forward: m_i = m_next",), ("attend: m = m_new",)),
    Row(
        "Divide once, and save the log-sum-exp for the backward. The kernel saves its two terms:"
        " their sum would round away what the weights need of large logits.",
        ("flash_forward: total =", "flash_forward: o[rows], lse[rows] ="),
        ("forward_kernel: l = tl.where(", "forward_kernel: acc = acc / ",
         "forward_kernel: tl.store(top", "forward_kernel: tl.store(rest",
         "forward_kernel: tl.store( o"),
    ),
    Row("Done.", ("flash_forward: return",), ("attend: return",)),
)  # fmt: skip
WHOLE = ("flash_forward", "tile_scores", "attend")  # functions all of whose lines must appear


@dataclass(frozen=True)
class Listing:
    """The rows with their lines, as a page of HTML and as text."""

    rows: tuple[tuple[str, str, str], ...]

    def _repr_mimebundle_(self, **_: object) -> dict[str, object]:
        page = self._repr_html_()
        return {"text/plain": str(self), "text/html": page, MIME: {"html": page}}

    def __str__(self) -> str:
        parts = (f"# {says}\n{left}\n# Triton\n{right}" for says, left, right in self.rows)
        return "\n\n".join(parts)

    def _repr_html_(self) -> str:
        head = _pair("<strong>NumPy</strong>", "<strong>Triton</strong>")
        body = "".join(
            f'<p style="margin:1rem 0 .3rem;max-width:none">{html.escape(says)}</p>'
            + _pair(_code(left), _code(right))
            for says, left, right in self.rows
        )
        look = "margin:1.5rem 0;font-size:.92rem"
        return f'<div class="rlc-listing" style="{look}">{head}{body}</div>'


def _pair(left: str, right: str) -> str:
    # below each other, on a phone, the edge says which is which
    look = "flex:1 1 290px;min-width:0;display:flex;padding-left:.5rem;border-left:3px"
    cells = "".join(
        f'<div style="{look} {edge}">{x}</div>'
        for edge, x in ((f"solid {BLUE}", left), (f"dashed {OCHRE}", right))
    )
    return f'<div style="display:flex;flex-wrap:wrap;gap:.3rem .6rem">{cells}</div>'


def _code(text: str) -> str:
    from pygments import highlight
    from pygments.formatters import HtmlFormatter
    from pygments.lexers import PythonLexer

    coloured = highlight(text, PythonLexer(), HtmlFormatter(nowrap=True)).rstrip().split("\n")
    # a long line goes on below, indented: nothing scrolls, and paper shows it whole
    body = "".join(
        f'<span style="display:block;padding-left:{at}ch;text-indent:-{at}ch">{line}</span>'
        for line, plain in zip(coloured, text.split("\n"), strict=True)
        for at in [len(plain) - len(plain.lstrip()) + 2]
    )
    look = "margin:0;padding:.4rem .6rem;white-space:pre-wrap;overflow-wrap:anywhere;width:100%"
    box = '<div class="highlight" style="margin:0;width:100%;display:flex">'
    return f'{box}<pre style="{look}">{body}</pre></div>'


def listing(rows: tuple[Row, ...] = ROWS) -> Listing:
    """Each row with the lines it names; ValueError for a name that no line, or a taken one, has."""
    sources = {NUMPY: _lines_of(NUMPY), TRITON: _lines_of(TRITON)}
    return Listing(tuple(
        (row.says, _take(sources[NUMPY], row.numpy), _take(sources[TRITON], row.triton))
        for row in rows
    ))  # fmt: skip


def left_out(rows: tuple[Row, ...] = ROWS) -> list[str]:
    """Lines of the loops that no row names."""
    names = {name for row in rows for name in (*row.numpy, *row.triton)}
    return [
        f"{function}: {line}"
        for module in (NUMPY, TRITON)
        for function, lines in _lines_of(module).items()
        if function in WHOLE
        for line in lines
        if not any(_is(f"{function}: ", line, name) for name in names)
    ]


def _is(function: str, line: str, name: str) -> bool:
    return name.startswith(function) and " ".join(line.split()).startswith(
        name.removeprefix(function)
    )


def _take(functions: dict[str, list[str]], names: tuple[str, ...]) -> str:
    found: dict[str, list[str]] = {}
    for name in names:
        function, _, start = name.partition(": ")
        lines = functions.get(function, [])
        line = next((x for x in lines if " ".join(x.split()).startswith(start)), None)
        if line is None:
            raise ValueError(f"rows must name lines of the sources, got {name!r}")
        found.setdefault(function, []).append(line)
    return "\n".join(textwrap.dedent("\n".join(lines)) for lines in found.values())


def _lines_of(module: str) -> dict[str, list[str]]:
    """function -> its statements as they stand, without docstring and comments."""
    spec = importlib.util.find_spec(module)
    assert spec is not None
    assert spec.origin is not None
    text = Path(spec.origin).read_text("utf-8")
    return {
        node.name: list(_logical(text.split("\n")[node.body[0].lineno - 1 : node.end_lineno]))
        for node in ast.parse(text).body
        if isinstance(node, ast.FunctionDef)
    }


def _logical(body: list[str]) -> Iterator[str]:
    """The logical lines of a function's body."""
    wrapped = "\n".join(["if True:", *body, ""])
    first: int | None = None
    skipped = {tokenize.COMMENT, tokenize.NL, tokenize.INDENT, tokenize.DEDENT}
    only_text = True
    for token in tokenize.generate_tokens(io.StringIO(wrapped).readline):
        if token.type == tokenize.NEWLINE and first is not None:
            if first > 1 and not only_text:
                lines = wrapped.split("\n")[first - 1 : token.end[0]]
                yield "\n".join(x.split("  # ")[0].rstrip() for x in lines)
            first, only_text = None, True
        elif token.type not in skipped and token.type != tokenize.NEWLINE:
            first = token.start[0] if first is None else first
            only_text = only_text and token.type == tokenize.STRING
