"""One look for every static figure of the book: transparent, in the page's own colour and font.

A figure is a `Picture`: panels of inline SVG that stand side by side where there is room and below
each other on a phone. Black means "the page's text colour" (currentColor), so one drawing serves
light, dark and print. The palette takes the hues of Okabe and Ito, for colour-blind readers, at a
lightness that reads on both backgrounds (at least 3:1, tested); nothing is said by colour alone.

Sizes are in inches of matplotlib (1 in = 72 units of the SVG); PANEL is the usual one.
"""

import html
import re
import zlib
from dataclasses import dataclass
from io import StringIO
from typing import Any

import matplotlib
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from rlcourse._svg import GRID_ALPHA, compact

MIME = "application/vnd.rlcourse.html+json"  # the book shows {"html": ...} as it is
PANEL = (3.6, 2.8)
HALF = (3.5, 2.9)  # one of two panels side by side
LOOKS = ("-", "--", "-.", ":")

BLUE, RED, GREEN, PURPLE, OCHRE, GREY = (
    "#2a7fb8",
    "#cf5b00",
    "#00936b",
    "#b0558a",
    "#a87400",
    "#7d8590",
)
PALETTE = (BLUE, RED, GREEN, PURPLE, OCHRE, GREY)

COLOUR_OF = {  # one colour per method in the whole book
    "closed form": BLUE,
    "structured grid": GREEN,
    "sweeps": OCHRE,
    "sampled returns": PURPLE,
    "quantecon": RED,
    "plain Python": GREY,
    "Monte Carlo": PURPLE,
    "exploring starts": OCHRE,
    "ordinary importance sampling": RED,
    "weighted importance sampling": GREEN,
    "1/k": BLUE,
    "constant step": RED,
    "1/k²": OCHRE,
    "value iteration": OCHRE,
    "truncated policy iteration": GREEN,
    "policy iteration": BLUE,
    "MacQueen's bounds": PURPLE,
    "in place": RED,
    "prioritized sweeping": GREEN,
    "grid stencil": PURPLE,
    "pymdptoolbox": GREY,
    "TD(0)": BLUE,
    "Sarsa": GREEN,
    "expected Sarsa": OCHRE,
    "Q-learning": RED,
    "double Q-learning": BLUE,
    "DQN": RED,
    "double DQN": BLUE,
    "gymnasium loop": GREY,
    "standard attention": RED,
    "FlashAttention": BLUE,
    "SDPA, flash": GREEN,
    "SDPA, cuDNN": PURPLE,
    "FlexAttention": OCHRE,
    "TDC": GREEN,
    "GTD2": OCHRE,
    "LSTD": PURPLE,
    "best fit": GREEN,
    "TD fixed point": BLUE,
    "least residual": OCHRE,
    "table": GREY,
    "polynomial": RED,
    "Fourier": BLUE,
    "tile coding": GREEN,
    "radial": PURPLE,
    "state aggregation": OCHRE,
    "total return": RED,
    "reward-to-go": OCHRE,
    "constant baseline": PURPLE,
    "state values": BLUE,
    "optimal baseline": GREEN,
    "exact advantages": GREY,
    "γᵗ dropped": RED,
    "PPO in NumPy": BLUE,
    "PPO in torch": GREEN,
    "Stable-Baselines3": GREY,
    "actor-critic": BLUE,
    "QAC": PURPLE,
    "off-policy actor-critic": OCHRE,
    "deterministic actor-critic": GREEN,
    "float16": OCHRE,
    "bfloat16": PURPLE,
    "float32": BLUE,
}

STYLE: Any = {
    "axes.grid": True,
    "axes.spines.right": False,
    "axes.spines.top": False,
    "axes.titlelocation": "left",
    "axes.titlesize": 9,
    "axes.titleweight": "bold",
    "axes.labelsize": 8.5,
    "figure.constrained_layout.use": True,
    "font.size": 8.5,
    "grid.alpha": GRID_ALPHA,
    "grid.color": "#000000",
    "grid.linewidth": 0.6,
    "hatch.linewidth": 0.7,
    "legend.frameon": False,
    "lines.linewidth": 1.8,
    "svg.fonttype": "none",
    "svg.hashsalt": "rlcourse",
    "xtick.labelsize": 8,
    "xtick.major.size": 0,  # the grid's lines end there
    "xtick.minor.size": 0,
    "ytick.labelsize": 8,
    "ytick.major.size": 0,
    "ytick.minor.size": 0,
}


def use() -> None:
    """Set matplotlib's defaults to the book's."""
    matplotlib.rcParams.update(STYLE)


def panel(title: str = "", size: tuple[float, float] = PANEL) -> tuple[Figure, Axes]:
    """One panel: a figure with one pair of axes in the book's style."""
    use()
    figure = Figure(figsize=size)
    axes = figure.add_subplot()
    axes.set_title(title)
    return figure, axes


@dataclass(frozen=True)
class Picture:
    """A static figure: the SVG of its panels, and what it shows in words (alt)."""

    panels: tuple[str, ...]
    alt: str

    def _repr_mimebundle_(self, **_: object) -> dict[str, object]:
        page = self._repr_html_()
        return {"text/plain": f"[{self.alt}]", "text/html": page, MIME: {"html": page}}

    def _repr_html_(self) -> str:
        label = html.escape(self.alt, quote=True)
        body = "".join(
            f'<div style="flex:1 1 290px;max-width:460px">{svg}</div>' for svg in self.panels
        )
        return (
            f'<div class="rlc-picture" role="img" aria-label="{label}" style="display:flex;'
            f'flex-wrap:wrap;gap:.8rem 1.4rem;justify-content:center">{body}</div>'
        )


def picture(figures: Figure | list[Figure], alt: str) -> Picture:
    """The Picture of one figure or several panels; alt says what is to be seen. Deterministic."""
    if not alt.strip():
        raise ValueError(f"alt must say what the figure shows, got {alt!r}")
    each = figures if isinstance(figures, list) else [figures]
    return Picture(tuple(svg(f, f"{alt}{i}") for i, f in enumerate(each)), alt)


def svg(figure: Figure, salt: str) -> str:
    """Inline SVG without ids of its own, in currentColor and the page's font."""
    out = StringIO()
    with matplotlib.rc_context(STYLE):
        figure.savefig(out, format="svg", transparent=True, metadata={"Date": None})
    text = out.getvalue()
    text = text[text.index("<svg") :]
    text = re.sub(r"<metadata>.*?</metadata>", "", text, flags=re.DOTALL)
    text = re.sub(r'<g id="[^"]*"', "<g", text)
    mark = f"f{zlib.crc32(salt.encode()):08x}"  # a page holds many figures: ids must differ
    for i, name in enumerate(dict.fromkeys(re.findall(r'\bid="([^"]+)"', text))):
        text = re.sub(rf'(\bid="|url\(#|href="#){name}(?=[")])', rf"\g<1>{mark}_{i}", text)
    text = re.sub(r"font(-family)?: [^;\"]*'DejaVu Sans'[^;\"]*", _font, text)
    text = re.sub(r'(<svg [^>]*?) width="[^"]*"', r"\1", text)
    page = 'fill="currentColor" stroke-linejoin="round" aria-hidden="true"'
    text = re.sub(r'(<svg [^>]*?) height="[^"]*"', rf"\1 {page}", text)
    text = compact(text)
    return text.replace("#000000", "currentColor").replace("#ffffff", "none").strip()


def _font(match: re.Match[str]) -> str:
    size = re.search(r"[\d.]+px", match[0])
    weight = "font-weight: 600; " if "bold" in match[0] or "700" in match[0] else ""
    return weight + (f"font-size: {size[0]}" if size else "")
