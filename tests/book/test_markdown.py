"""The converter: nothing of MyST is left, nothing of the text is lost."""

import re

import pytest

from rlcourse.book.markdown import Page, plain
from rlcourse.book.notebook import notebook
from rlcourse.book.references import Index

NASTY = """\
# A page of everything

% a comment that no reader sees
(sec-start)=
## Start with {math}`x^2`

See {eq}`eq-one`, [](eq-two), {ref}`sec-start`, {numref}`fig-a`, {numref}`Fig. %s <fig-a>`,
{prf:ref}`thm-a`, {doc}`../other`, {doc}`that <../other>`, [page](../other.md), {eq}`eq-other`,
{cite}`sutton2018`, {cite:t}`many2020`, {cite:p}`sutton2018,many2020`, {term}`Return`,
{term}`value <State value>`, {py:func}`rlcourse.tabular.mdp.greedy`, H{sub}`2`, {kbd}`Ctrl`,
``{eq}`eq-one` `` and `{role}` as code, a note[^1], [a site](https://example.org).

[^1]: The note's text with {eq}`eq-one`.

$$
a = b
$$ (eq-one)

```{math}
:label: eq-two

c = d
```

$$ e = f $$ (eq-three)

:::{note}
A note. {eq}`eq-three`
:::

```{tip} On the same line
and the next.
```

````{admonition} With *title*
:class: warning

```python
text = "{eq}`eq-one`"
```

:::{prf:theorem} Fixed point
:label: thm-a

$T v = v$
:::
````

```{prf:proof}
By {prf:ref}`thm-a`.
```

```{dropdown} Open me
$$ g $$
```

::::{tab-set}
:::{tab-item} NumPy
numpy
:::
:::{tab-item} PyTorch
torch
:::
::::

::::{grid} 2
:::{grid-item-card} Card
inside
:::
::::

```{figure} ../images/a.svg
:name: fig-a
:alt: What is seen

The caption of {eq}`eq-one`.
```

- a list

  ```{note}
  inside an item
  ```

```{table} Results
| a | b |
|---|---|
| 1 | 2 |
```

```{code-block} bash
make book
```

:::{quiz}
Is $1 < 2$ in {eq}`eq-one`?

- [x] Yes :: By counting.
- [ ] No ::
  Count `again`.
:::

+++

```{rubric} The end
```
"""
RAW = re.compile(
    r"(?<!`)\{[a-z:-]+\}`(?=\w)|^ *[`:]{3,}\{|^\([\w-]+\)=|^%|^:::|^\+\+\+|\$\$ *\(", re.M
)


def text_of(cells) -> str:
    parts = ["".join(c["source"]) for c in cells if c["cell_type"] == "markdown"]
    return "\n\n".join(parts)


@pytest.fixture
def nasty(small_book) -> str:
    return text_of(notebook(small_book(NASTY), "book/tabular/page")["cells"])


def test_no_raw_myst_survives_the_nastiest_page(nasty):
    code = re.compile(r"```.*?\n```|``.*?``", re.S)  # what is code there is code here
    assert RAW.findall(code.sub("", nasty)) == []
    assert 'text = "{eq}`eq-one`"' in nasty
    assert "``{eq}`eq-one` `` and `{role}` as code" in nasty
    assert "no reader sees" not in nasty


@pytest.mark.parametrize(
    "expected",
    [
        "See (1), (2), Start with $x^2$, Figure 1, Fig. 1,\nTheorem 1, [The other page](",
        "[that](https://github.com/example-org/rlcourse/blob/main/book/other.md)",
        "(1) of [The other page](https://github.com/example-org/rlcourse/blob/main/book/other.md)",
        "(Sutton & Barto, 2018), First et al. (2020), (Sutton & Barto, 2018; First et al., 2020)",
        "Return,\nvalue, `tabular.mdp.greedy`, H<sub>2</sub>, <kbd>Ctrl</kbd>",
        "a note<sup>1</sup>, [a site](https://example.org)",
        "## Start with $x^2$",
        "$$\na = b \\tag{1}\n$$",
        "c = d \\tag{2}",
        "$$ e = f  \\tag{3}$$",
        "> **Note**\n>\n> A note. (3)",
        "> **Tip.** On the same line\n> and the next.",
        "> **With *title***",
        "> > **Theorem 1** (Fixed point)**.**",
        "> **Proof****.**\n>\n> By Theorem 1.",
        "<details><summary>Open me</summary>\n\n$$ g $$\n\n</details>",
        "**NumPy**\n\nnumpy",
        "**PyTorch**\n\ntorch",
        "**Card**\n\ninside",
        "![What is seen](https://github.com/example-org/rlcourse/raw/main/book/images/a.svg)",
        "*Figure 1. The caption of (1).*",
        "  > **Note**\n  >\n  > inside an item",
        "**Results**\n\n| a | b |",
        "```bash\nmake book\n```",
        "**Question.** Is $1 < 2$ in (1)?",
        "Right. By counting.",
        "Wrong. Count `again`.",
        "**The end**",
        "## References\n\n- First et al. (2020). *Many*.\n- Sutton & Barto (2018). "
        "[Reinforcement Learning](http://incompleteideas.net).",
    ],
)
def test_the_plain_form_says_the_same(nasty, expected):
    assert expected in nasty


@pytest.mark.parametrize(
    ("source", "words"),
    [
        ("{nonsense}`x`", "role {nonsense}"),
        ("```{nonsense} x\n```", "directive {nonsense}"),
        ("```{eval-rst}\nx\n```", "directive {eval-rst}"),
        ("{eq}`eq-nowhere`", "eq-nowhere"),
        ("{cite}`nobody1900`", "nobody1900"),
        ("text $$ x $$ (eq-x) goes on", "(eq-x)"),
        ("\\begin{align}\nx\n\\end{align}", "align"),
        ("{{ substituted }}", "substituted"),
        ("```{quiz} is `this` open?\n- [x] a :: b\n```", "no plain form"),
        ("{glue:text}`never`", "no cell glues"),
        (":::{quiz}\nWhat?\n\n- [ ] a :: b\n- [ ] c :: d\n:::", "right one"),
        (":::{quiz}\nWhat?\n\n- [x] a :: b\n- [ ] c\n:::", "why"),
        (":::{quiz}\n- [x] a :: b\n- [ ] c :: d\n:::", "question"),
    ],
)
def test_what_has_no_plain_form_is_refused_with_its_words(small_book, source, words):
    with pytest.raises(ValueError, match=re.escape(words)):
        notebook(small_book(f"# Title\n\n{source}\n"), "book/tabular/page")


def test_labels_in_code_are_no_labels(small_book):
    book = small_book("# T\n\n```python\n$$ a $$ (eq-code)\n```\n\n$$ b $$ (eq-real)\n")
    labels = Index(book).labels
    assert "eq-code" not in labels
    assert labels["eq-real"].number == "1"


def test_formulas_are_not_read_as_links_or_environments(small_book):
    book = small_book("# T\n")
    text = "$f[a](s)$ and\n\n$$\n\\begin{aligned}\nq[a](s) &= 1\n\\end{aligned}\n$$"
    assert plain(text.split("\n"), Page(book, "book/tabular/page", Index(book))) == text


def test_converting_plain_markdown_changes_nothing(small_book):
    book = small_book("# T\n")
    lines = ["A *word*, `code`, $x$.", "", "- one", "- two", "", "| a |", "|---|", "| 1 |"]
    assert plain(lines, Page(book, "book/tabular/page", Index(book))) == "\n".join(lines)
