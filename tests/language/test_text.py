"""The verses: what is in them, and how they are held back."""

import re

import pytest

from rlcourse.language.text import BOOKS, chapters, split, verses


def test_the_text_has_the_chapters_and_verses_of_nine_books() -> None:
    counts = {book: (len(chapters(book)), len(verses(book))) for book in BOOKS}
    assert counts == {  # as printed editions count them
        "Genesis": (50, 1533),
        "Psalms": (150, 2461),
        "Proverbs": (31, 915),
        "Ecclesiastes": (12, 222),
        "Song of Solomon": (8, 117),
        "Matthew": (28, 1071),
        "Mark": (16, 678),
        "Luke": (24, 1151),
        "John": (21, 879),
    }
    assert len(chapters()) == sum(BOOKS.values())


def test_verses_are_lines_of_plain_ascii_below_a_million_bytes() -> None:
    for verse in verses():
        assert re.fullmatch(r"[A-Za-z !'(),\-.:;?]+", verse), verse
        assert verse == " ".join(verse.split())
    assert sum(len(verse) + 1 for verse in verses()) < 1_000_000


def test_well_known_verses_stand_where_they_belong() -> None:
    assert verses()[0] == "In the beginning God created the heaven and the earth."
    assert chapters("Psalms")[22][0] == "The LORD is my shepherd; I shall not want."
    assert len(chapters("Psalms")[116]) == 2  # the shortest chapter of all
    assert chapters("John")[10][34] == "Jesus wept."


def test_the_split_parts_whole_chapters() -> None:
    train, validation = split(every=10)
    held_out = [verse for chapter in chapters()[9::10] for verse in chapter]
    assert validation == held_out
    assert len(train) + len(validation) == len(verses())
    assert train[:3] == verses()[:3]
    assert sorted(train + validation) == sorted(verses())


def test_a_caller_cannot_change_the_text() -> None:
    chapters()[0].clear()
    assert len(chapters()[0]) == 31


def test_wrong_books_and_splits_are_refused() -> None:
    with pytest.raises(ValueError, match=r"book must be one of Genesis, .*, got 'Exodus'"):
        verses("Exodus")
    with pytest.raises(ValueError, match="every must be at least 2, got 1"):
        split(1)
