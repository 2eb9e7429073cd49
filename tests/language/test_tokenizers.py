"""Tokenizers: there and back on any text, and errors that name the place."""

import json
import random
import re
from pathlib import Path

import pytest

from rlcourse.language.text import verses
from rlcourse.language.tokenizers import (
    EOS,
    PAD,
    BpeTokenizer,
    CharTokenizer,
    load_bpe,
    stream,
    train_bpe,
)

CHAT = (EOS, PAD, "<|im_start|>", "<|im_end|>")


@pytest.fixture(scope="module")
def bpe() -> BpeTokenizer:
    return train_bpe(verses("Genesis"), 600, CHAT)


def any_text(seed: int) -> str:
    """Characters of all planes but surrogates, control characters and ends of lines among them."""
    draw = random.Random(seed)
    ranges = ((0, 0x80), (0, 0x80), (0x80, 0x800), (0x800, 0xD800), (0xE000, 0x110000))
    return "".join(chr(draw.randrange(*draw.choice(ranges))) for _ in range(draw.randrange(60)))


# ------------------------------------------------------------------------------- characters


def test_characters_follow_the_specials_in_order() -> None:
    tokenizer = CharTokenizer("cab")
    assert tokenizer.tokens == (EOS, PAD, "a", "b", "c")
    assert (tokenizer.eos, tokenizer.pad, tokenizer.vocabulary) == (0, 1, 5)
    assert tokenizer.encode("abc") == [2, 3, 4]


def test_characters_come_back_with_their_specials_or_without() -> None:
    tokenizer = CharTokenizer("0123456789+=\n")
    text = f"12+3={EOS}\n{PAD}"
    ids = tokenizer.encode(text)
    assert len(ids) == 8
    assert tokenizer.decode(ids) == text
    assert tokenizer.decode(ids, specials=False) == "12+3=\n"


def test_a_special_name_can_be_read_as_plain_characters() -> None:
    tokenizer = CharTokenizer(set("ab" + EOS))
    ids = tokenizer.encode(f"a{EOS}", specials=False)
    assert len(ids) == 1 + len(EOS)
    assert tokenizer.eos not in ids
    assert tokenizer.decode(ids) == f"a{EOS}"


def test_the_longer_of_two_specials_is_read() -> None:
    tokenizer = CharTokenizer("a", specials=("<e", "<e>", "<p>"), eos="<e>", pad="<p>")
    assert tokenizer.encode("<e>a<e") == [1, 3, 0]


def test_a_special_of_one_character_stays_one() -> None:
    tokenizer = CharTokenizer("ab", specials=("$", "_"), eos="$", pad="_")
    assert tokenizer.encode("a$") == [2, 0]
    with pytest.raises(ValueError, match=re.escape("got '$' at index 1")):
        tokenizer.encode("a$", specials=False)


def test_an_unknown_character_is_named_with_its_place() -> None:
    tokenizer = CharTokenizer("ab<")
    with pytest.raises(ValueError, match=r"3 known characters, got 'é' at index 2"):
        tokenizer.encode("abéb")
    with pytest.raises(ValueError, match=r"got '\|' at index 14"):  # behind the special's own bars
        tokenizer.encode(f"a{EOS}|")


def test_wrong_alphabets_are_refused() -> None:
    with pytest.raises(ValueError, match="characters must be different single ones, got 'aab'"):
        CharTokenizer("aba")
    with pytest.raises(ValueError, match="specials must hold '<|pad|>'".replace("|", r"\|")):
        CharTokenizer("ab", specials=(EOS,))
    with pytest.raises(ValueError, match="specials must be different"):
        CharTokenizer("ab", specials=(EOS, PAD, PAD))


@pytest.mark.parametrize(("wrong", "place"), [(-1, 0), (5, 2)])
def test_ids_out_of_range_are_refused(wrong: int, place: int, bpe: BpeTokenizer) -> None:
    tokenizer = CharTokenizer("abc")
    with pytest.raises(
        ValueError, match=rf"ids must lie in \[0, 5\), got {wrong} at index {place}"
    ):
        tokenizer.decode([2] * place + [wrong])
    with pytest.raises(ValueError, match=r"ids must lie in \[0, 600\), got 600 at index 1"):
        bpe.decode([3, 600])


# ------------------------------------------------------------------------------- pairs of bytes


@pytest.mark.parametrize("seed", range(50))
def test_any_unicode_comes_back_from_bytes(seed: int, bpe: BpeTokenizer) -> None:
    text = any_text(seed)
    ids = bpe.encode(text, specials=False)
    assert bpe.decode(ids) == text
    assert not {bpe.eos, bpe.pad} & set(ids)


def test_verses_come_back_and_grow_shorter(bpe: BpeTokenizer) -> None:
    for verse in verses("Genesis")[::100]:
        assert bpe.decode(bpe.encode(verse)) == verse
        assert len(bpe.encode(verse)) < 0.6 * len(verse)


def test_specials_come_first_and_are_read_by_name_or_as_text(bpe: BpeTokenizer) -> None:
    assert [bpe.encode(name) for name in CHAT] == [[0], [1], [2], [3]]
    assert (bpe.eos, bpe.pad, bpe.vocabulary) == (0, 1, 600)
    text = f"And{EOS}God"
    ids = bpe.encode(text)
    assert ids == [*bpe.encode("And"), bpe.eos, *bpe.encode("God")]
    assert bpe.decode(ids) == text
    assert bpe.decode(ids, specials=False) == "AndGod"
    plain = bpe.encode(text, specials=False)
    assert bpe.eos not in plain
    assert bpe.decode(plain) == text
    assert bpe.encode(text) == ids  # the last call changed nothing


def test_the_most_frequent_pair_is_merged_first() -> None:
    tokenizer = train_bpe(["ab ab ab ac"], 258 + 1)
    assert tokenizer.token(258) == "ab"
    assert tokenizer.vocabulary == 259


def test_half_a_character_becomes_the_replacement(bpe: BpeTokenizer) -> None:
    first, *rest = bpe.encode("é")
    assert rest
    assert bpe.decode([first]) == "\ufffd"


def test_half_a_surrogate_pair_is_refused(bpe: BpeTokenizer) -> None:
    with pytest.raises(ValueError, match="half a surrogate pair at index 2"):
        bpe.encode("ab\ud800c")


def test_learning_twice_gives_the_same_vocabulary(bpe: BpeTokenizer) -> None:
    again = train_bpe(verses("Genesis"), 600, CHAT)
    assert again.core.to_str() == bpe.core.to_str()


def test_a_saved_tokenizer_is_the_same(tmp_path: Path, bpe: BpeTokenizer) -> None:
    bpe.save(tmp_path / "new")
    loaded = load_bpe(tmp_path / "new")
    for text in (verses()[7], any_text(1), f"a{PAD}"):
        assert loaded.encode(text) == bpe.encode(text)
    assert (loaded.eos, loaded.pad) == (bpe.eos, bpe.pad)


def test_the_hubs_older_form_of_names_is_read(tmp_path: Path, bpe: BpeTokenizer) -> None:
    bpe.save(tmp_path)
    about = {"eos_token": {"content": "<|im_end|>"}}
    (tmp_path / "tokenizer_config.json").write_text(json.dumps(about))
    loaded = load_bpe(tmp_path)
    assert loaded.eos == loaded.pad == 3


def test_folders_without_a_tokenizer_are_refused(tmp_path: Path, bpe: BpeTokenizer) -> None:
    with pytest.raises(ValueError, match=r"folder must hold tokenizer\.json"):
        load_bpe(tmp_path)
    bpe.save(tmp_path)
    (tmp_path / "tokenizer_config.json").write_text("{}")
    with pytest.raises(ValueError, match="must name eos_token"):
        load_bpe(tmp_path)
    (tmp_path / "tokenizer_config.json").write_text('{"eos_token": "<s>"}')
    with pytest.raises(ValueError, match="must be tokens of the vocabulary, got '<s>'"):
        load_bpe(tmp_path)
    (tmp_path / "tokenizer.json").write_text("{")
    with pytest.raises(ValueError, match="folder must hold a tokenizer"):
        load_bpe(tmp_path)


def test_a_vocabulary_too_small_for_the_bytes_is_refused() -> None:
    with pytest.raises(ValueError, match="vocabulary must be at least 258, got 257"):
        train_bpe(["ab"], 257)


def test_a_stream_ends_each_text() -> None:
    tokenizer = CharTokenizer("ab")
    assert stream(tokenizer, ["a", "", "bb"]) == [2, 0, 0, 3, 3, 0]
