"""A text to learn from: nine books of the King James Bible, 9027 verses of plain ASCII.

`verses.txt` beside this file has a verse on each line and a blank line after each chapter. Genesis
tells, the Psalms and Proverbs speak in parallel lines, and the Gospels tell the same days four
times over: a million characters with so little variety that a small model learns their voice.

Source: the King James Version of 1611, whose copyright has expired, as it stands in Debian's
package bible-kjv-text; prepared by Chip Chapin, 1989, "for unrestricted use".
"""

from functools import cache
from importlib.resources import files
from typing import NamedTuple

BOOKS = {
    "Genesis": 50,
    "Psalms": 150,
    "Proverbs": 31,
    "Ecclesiastes": 12,
    "Song of Solomon": 8,
    "Matthew": 28,
    "Mark": 16,
    "Luke": 24,
    "John": 21,
}


class Split(NamedTuple):
    """Verses to learn from, and verses of chapters that are held back."""

    train: list[str]
    validation: list[str]


@cache
def _chapters() -> tuple[tuple[str, ...], ...]:
    text = files(__package__).joinpath("verses.txt").read_text(encoding="ascii")
    return tuple(tuple(chapter.split("\n")) for chapter in text.strip().split("\n\n"))


def chapters(book: str | None = None) -> list[list[str]]:
    """The verses of each chapter, of one book or of all; ValueError for a book not in BOOKS."""
    found, start = [list(chapter) for chapter in _chapters()], 0
    if book is None:
        return found
    for name, count in BOOKS.items():
        if name == book:
            return found[start : start + count]
        start += count
    raise ValueError(f"book must be one of {', '.join(BOOKS)}, got {book!r}")


def verses(book: str | None = None) -> list[str]:
    """All verses in order, of one book or of all."""
    return [verse for chapter in chapters(book) for verse in chapter]


def split(every: int = 10) -> Split:
    """Each `every`-th chapter for validation, the others for training.

    Whole chapters, since neighbouring verses repeat each other. The Gospels repeat each other too,
    so the loss on held-out chapters is a little better than it would be on another book. Raises
    ValueError for every < 2.
    """
    if every < 2:
        raise ValueError(f"every must be at least 2, got {every}")
    parts: tuple[list[str], list[str]] = [], []
    for i, chapter in enumerate(chapters(), start=1):
        parts[i % every == 0].extend(chapter)
    return Split(*parts)
