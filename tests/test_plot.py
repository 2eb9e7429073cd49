"""Static figures: readable on every background, the same at every build, named for the blind."""

import re

import pytest

from rlcourse import plot

BACKGROUNDS = {"light": "#ffffff", "dark": "#14181e"}


def luminance(colour: str) -> float:
    """Relative luminance (WCAG 2.2)."""
    parts = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    linear = [x / 12.92 if x <= 0.04045 else ((x + 0.055) / 1.055) ** 2.4 for x in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


@pytest.mark.parametrize("background", BACKGROUNDS.values(), ids=BACKGROUNDS)
@pytest.mark.parametrize("colour", plot.PALETTE)
def test_every_colour_has_contrast_on_both_backgrounds(colour, background):
    low, high = sorted((luminance(colour), luminance(background)))
    assert (high + 0.05) / (low + 0.05) >= 3


def sketch(alt: str = "A line that rises.") -> plot.Picture:
    left, axes = plot.panel("rising")
    axes.plot([0, 1], [0, 1], "o-", color=plot.BLUE)
    axes.fill_between([0, 1], [0, 1], color=plot.RED, alpha=0.2)
    right, axes = plot.panel("falling")
    axes.plot([0, 1], [1, 0], label="a < b")
    axes.legend()
    return plot.picture([left, right], alt)


def test_a_picture_is_the_same_at_every_build():
    assert sketch() == sketch()


def test_a_picture_takes_colour_and_font_from_the_page():
    html = sketch()._repr_html_()
    assert "currentColor" in html
    assert not re.search(r"DejaVu|#000000|#ffffff|<\?xml|<metadata|<!DOCTYPE", html)
    assert "font-family" not in html  # so it is inherited
    assert "<style" not in html  # it would reach other drawings
    assert not re.search(r"<svg[^>]* (width|height)=", html)


def test_a_drawing_is_made_smaller_but_its_words_are_not_touched():
    tag = '<path d="M 1.23456 2.0 \nL 3.10000 0.0009 \nz\n" style="fill: #aabbcc; stroke: none"/>'
    small = '<path d="M1.2 2L3.1 0z" style="fill:#aabbcc;stroke:none"/>'
    assert plot.compact(f"<g>\n <text>0.0001: a, M 1.23456</text>\n{tag}\n</g>") == (
        f"<text>0.0001: a, M 1.23456</text>{small}"
    )
    clipped = '<g clip-path="url(#a)"><g><text>b</text></g></g><g/>'
    assert plot.compact(clipped) == '<g clip-path="url(#a)"><text>b</text></g><g/>'
    box = '<g><path d="M 1 2 L 3 2 L 3 4 L 1 2 z" style="fill: red"/></g>'
    assert plot.compact(box) == '<path d="M1 2H3V4z" style="fill:red"/>'


def test_lines_that_look_alike_are_one_path_and_a_grid_is_one_too():
    thin, faint = 'style="fill:none;stroke:red"', 'style="stroke:red;stroke-opacity:0.18;"'
    assert plot.compact(
        f'<path d="M 0 0 L 1 1" {thin}/><path d="M 2 2 L 3 4" {thin}/><text>a</text>'
    ) == (f'<path d="M0 0L1 1M2 2L3 4" {thin}/><text>a</text>')
    assert plot.compact(f'<path d="M 0 0 L 1 0" {faint}/><b/><path d="M 0 1 L 0 2" {faint}/>') == (
        f'<path d="M0 0H1M0 1V2" {faint}/><b/>'
    )


def test_words_that_look_alike_say_so_once():
    words = [f'<text style="{style}" x="{i}">w</text>' for i, style in enumerate("aab")]
    assert plot.compact("".join(words)) == (
        f'<g style="a"><text x="0">w</text><text x="1">w</text></g>{words[2]}'
    )


def test_marks_that_look_alike_say_so_once():
    mark = '<path id="m" d="M 0 0 L 1 2"/>'
    uses = [f'<use xlink:href="#m" x="{i}" style="fill:red"/>' for i in (1, 2)]
    assert plot.compact(mark + "".join(uses)) == (
        '<path id="m" d="M0 0L1 2" style="fill:red"/>'
        '<use xlink:href="#m" x="1"/><use xlink:href="#m" x="2"/>'
    )


def test_ids_are_unique_among_the_pictures_of_a_page():
    html = sketch()._repr_html_() + sketch("Another.")._repr_html_()
    ids = re.findall(r'\bid="([^"]+)"', html)
    assert ids
    assert len(ids) == len(set(ids))
    used = re.findall(r'(?:url\(#|href="#)([^")]+)', html)
    assert set(used) <= set(ids)


def test_a_picture_says_in_words_what_it_shows():
    html = sketch('Values <of> "v"')._repr_html_()
    assert 'role="img" aria-label="Values &lt;of&gt; &quot;v&quot;"' in html
    assert html.count('aria-hidden="true"') == 2
    with pytest.raises(ValueError, match="alt must say what the figure shows, got ''"):
        sketch("")


def test_every_output_of_a_picture_is_the_same_html():
    bundle = sketch()._repr_mimebundle_()
    assert bundle["text/html"] == bundle[plot.MIME]["html"]
    assert bundle["text/plain"] == "[A line that rises.]"
