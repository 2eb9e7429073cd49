"""Smaller SVG: the same drawing as matplotlib's in a third of the bytes.

A page holds twenty drawings, and is to weigh 300 kB. What looks alike says so once: marks where
their shape is defined, texts and lines that follow each other in one group or path, a grid as one
path. Numbers keep one decimal, a tenth of a point. Words are left alone.
"""

import itertools
import re

GRID_ALPHA = 0.18  # of the grid's lines, by which they are known


def compact(text: str) -> str:
    """The same drawing in half of the bytes: few decimals, no spare space, no style for all.

    Matplotlib's <style> would reach every other drawing of the page. Words are left alone.
    """
    text = re.sub(r"<style.*?</style>", "", text, flags=re.DOTALL)
    text = re.sub(r"<[^>]*>", lambda tag: _shorter(tag[0]), text)
    text = re.sub(r"(?<=>)\s+(?=<)", "", text)
    text = _marked(re.sub(r'<defs></defs>|<path d="[^"]*" style="fill:none"/>', "", text))
    text = _one_grid(text)
    text = _WORDS.sub(_in_one_style, _ungrouped(text))
    return re.sub(r'(?:<path d="[^"]*"[^>]*?style="fill:none[^>]*/>){2,}', _joined, text)


_GRID_LINE = re.compile(
    rf'<path d="(M[^"LVH]*[LVH][^"LVH]*)"([^>]*stroke-opacity:{GRID_ALPHA};[^>]*)/>'
)


def _ungrouped(text: str) -> str:
    """Without the groups that say nothing."""
    kept: list[bool] = []

    def tag(match: re.Match[str]) -> str:
        if match[0] == "</g>":
            return "</g>" if kept.pop() else ""
        kept.append(match[0] != "<g>")
        return match[0] if kept[-1] else ""

    return re.sub(r"<g\b[^>]*(?<!/)>|</g>", tag, text)


_WORDS = re.compile(
    r'<text style="([^"]*)"[^>]*>[^<]*</text>(?:<text style="\1"[^>]*>[^<]*</text>)+'
)


def _in_one_style(words: re.Match[str]) -> str:
    """Texts that follow each other and look alike say so once."""
    plain = words[0].replace(f'<text style="{words[1]}"', "<text")
    return f'<g style="{words[1]}">{plain}</g>'


def _one_grid(text: str) -> str:
    """All lines of an axes' grid as one path, where the first of them stands."""
    lines: dict[str, str] = {}
    for d, look in _GRID_LINE.findall(text):
        lines[look] = lines.get(look, "") + d

    def first(match: re.Match[str]) -> str:
        d = lines.pop(match[2], None)
        return f'<path d="{d}"{match[2]}/>' if d else ""

    return _GRID_LINE.sub(first, text)


def _marked(text: str) -> str:
    """Marks that all look alike say so once, where their shape is defined."""
    looks: dict[str, set[str]] = {}
    for name, look in re.findall(r'<use xlink:href="#([^"]+)"[^>]*? style="([^"]*)"', text):
        looks.setdefault(name, set()).add(look)
    for name, (look, *others) in looks.items():
        if not others:
            text = re.sub(rf'(<path id="{name}" d="[^"]*")[^>]*/>', rf'\1 style="{look}"/>', text)
            text = re.sub(rf'(<use xlink:href="#{name}"[^>]*?) style="[^"]*"', r"\1", text)
    return text


def _joined(match: re.Match[str]) -> str:
    """Lines that follow each other and look alike, as one path; opaque ones, which may cross."""
    paths: list[list[str]] = []
    for d, look in re.findall(r'<path d="([^"]*)"([^>]*)/>', match[0]):
        if paths and paths[-1][1] == look and "opacity" not in look:
            paths[-1][0] += d
        else:
            paths.append([d, look])
    return "".join(f'<path d="{d}"{look}/>' for d, look in paths)


def _shorter(tag: str) -> str:
    tag = re.sub(r"\d+\.\d{3,}", lambda m: f"{float(m[0]):.2f}".rstrip("0").rstrip("."), tag)
    tag = re.sub(r' d="[^"]*"', lambda d: _shorter_path(d[0]), tag)
    tag = re.sub(r'(?<=[:;]) | transform="rotate\(-0 [^"]*"', "", tag)
    return tag.replace(";stroke-linejoin:miter", "").replace(";;", ";")


def _shorter_path(d: str) -> str:
    """A path with one decimal, a tenth of a point."""
    d = re.sub(r"\d+\.\d+", lambda m: f"{float(m[0]):.1f}".removesuffix(".0"), d)
    d = re.sub(r'\s*([MLQCSTz"])\s*', r"\1", d)
    d = re.sub(r"M([\d. ]+)(L[^M]*)L\1z", r"M\1\2z", d)  # z draws the last side itself
    return re.sub(r"M[\d. -]+(?:L[\d. -]+)+", lambda line: _along_the_axes(line[0]), d)


def _along_the_axes(line: str) -> str:
    """Lines with steps H and V where one of the two numbers stays."""
    points = [point.split() for point in re.split("[ML]", line)[1:]]
    path = f"M{' '.join(points[0])}"
    for (x0, y0), (x, y) in itertools.pairwise(points):
        path += f"H{x}" if y == y0 else f"V{y}" if x == x0 else f"L{x} {y}"
    return path
