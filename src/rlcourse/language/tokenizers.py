"""Text into numbers and back: one token a character, or a byte-level vocabulary that is learned.

    CharTokenizer   a token is a character            few tokens, long texts, unknown characters
    BpeTokenizer    a token is a frequent run of bytes    any text at all, and shorter

Byte-pair encoding starts from the 256 bytes and merges, again and again, the pair of neighbours
that is most frequent in a text. What was never seen stays a row of bytes, so nothing is unknown.

Special tokens stand for no text: the end of a text, padding, the turns of a chat. `encode` reads
their names in a text as the tokens that they name; with `specials=False` they are text like any
other, which is how the words of a user should be read.

Sources: Gage (1994); Sennrich, Haddow and Birch (2016); Radford et al. (2019), bytes. The learning
and the encoding of pairs are those of Hugging Face's library `tokenizers`.
"""

import json
import re
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, Protocol, cast

import tokenizers
from tokenizers import decoders, models, pre_tokenizers, trainers

EOS, PAD = "<|endoftext|>", "<|pad|>"
SPECIALS = (EOS, PAD)


class Tokenizer(Protocol):
    """What the chapters ask of a tokenizer."""

    @property
    def vocabulary(self) -> int:
        """The number of tokens, V."""

    @property
    def eos(self) -> int:
        """The token that ends a text."""

    @property
    def pad(self) -> int:
        """The token that fills up a batch."""

    def encode(self, text: str, specials: bool = True) -> list[int]:
        """The tokens of a text."""

    def decode(self, ids: Sequence[int], specials: bool = True) -> str:
        """The text of tokens, with the names of special ones or without."""


def stream(tokenizer: Tokenizer, texts: Iterable[str]) -> list[int]:
    """Texts one after another, each with the end token behind it: what a model is trained on."""
    return [i for text in texts for i in (*tokenizer.encode(text, specials=False), tokenizer.eos)]


def _checked(ids: Sequence[int], vocabulary: int) -> list[int]:
    found = [int(i) for i in ids]
    for place, i in enumerate(found):
        if not 0 <= i < vocabulary:
            raise ValueError(f"ids must lie in [0, {vocabulary}), got {i} at index {place}")
    return found


def _unique(specials: Sequence[str], *wanted: str) -> tuple[str, ...]:
    if len(set(specials)) < len(specials) or "" in specials:
        raise ValueError(f"specials must be different and not empty, got {list(specials)}")
    for name in wanted:
        if name not in specials:
            raise ValueError(f"specials must hold {name!r}, got {list(specials)}")
    return tuple(specials)


# ------------------------------------------------------------------------------- characters


class CharTokenizer:
    """The special tokens, then the characters in order, a token each.

    Raises ValueError unless characters differ from one another and the specials hold eos and pad.
    """

    def __init__(
        self,
        characters: Iterable[str],
        specials: Sequence[str] = SPECIALS,
        eos: str = EOS,
        pad: str = PAD,
    ) -> None:
        found = sorted(characters)
        if len(set(found)) < len(found) or any(len(c) != 1 for c in found):
            raise ValueError(f"characters must be different single ones, got {''.join(found)!r}")
        self.tokens = (*_unique(specials, eos, pad), *found)
        self.ids = {token: i for i, token in enumerate(self.tokens)}
        self._characters = {c: self.ids[c] for c in found}
        self.specials = frozenset(range(len(specials)))
        self.vocabulary, self.eos, self.pad = len(self.tokens), self.ids[eos], self.ids[pad]
        longest = sorted(specials, key=len, reverse=True)
        self._pattern = re.compile("|".join([*map(re.escape, longest), "."]), re.DOTALL)

    def encode(self, text: str, specials: bool = True) -> list[int]:
        """A token a character; ValueError for one that is not known, with its place."""
        pieces = self._pattern.findall(text) if specials else list(text)
        known = self.ids if specials else self._characters
        try:
            return [known[piece] for piece in pieces]
        except KeyError as unknown:
            at = len("".join(pieces[: pieces.index(unknown.args[0])]))
            raise ValueError(
                f"text must be of the {len(self._characters)} known characters,"
                f" got {unknown} at index {at}"
            ) from None

    def decode(self, ids: Sequence[int], specials: bool = True) -> str:
        """The characters, with the names of special tokens or without; ValueError as for ids."""
        kept = _checked(ids, self.vocabulary)
        return "".join(self.tokens[i] for i in kept if specials or i not in self.specials)


# ------------------------------------------------------------------------------- pairs of bytes


class BpeTokenizer:
    """Byte-pair encoding as the hub stores it: tokenizer.json, and the names of eos and pad.

    Raises ValueError where a name isn't in the vocabulary.
    """

    def __init__(self, core: tokenizers.Tokenizer, eos: str = EOS, pad: str = PAD) -> None:
        self.core, self.names = core, (eos, pad)
        for name in self.names:
            if core.token_to_id(name) is None:
                raise ValueError(f"eos and pad must be tokens of the vocabulary, got {name!r}")
        self.vocabulary: int = core.get_vocab_size()
        self.eos, self.pad = (cast(int, core.token_to_id(name)) for name in self.names)

    def encode(self, text: str, specials: bool = True) -> list[int]:
        """The tokens of any text; ValueError where it has no UTF-8 (half a surrogate pair)."""
        try:
            text.encode()
        except UnicodeEncodeError as error:
            raise ValueError(
                f"text must be Unicode, got half a surrogate pair at index {error.start}"
            ) from None
        self.core.encode_special_tokens = not specials
        return self.core.encode(text, add_special_tokens=False).ids

    def decode(self, ids: Sequence[int], specials: bool = True) -> str:
        """The text, with the names of special tokens or without; ValueError as for ids.

        Bytes that are no UTF-8, as when a character was cut in two, become U+FFFD.
        """
        kept = _checked(ids, self.vocabulary)
        return self.core.decode(kept, skip_special_tokens=not specials)

    def token(self, i: int) -> str:
        """What one token stands for, as text."""
        return self.decode([i])

    def save(self, folder: Path | str) -> None:
        """Write tokenizer.json and tokenizer_config.json, which transformers reads too."""
        Path(folder).mkdir(parents=True, exist_ok=True)
        self.core.save(str(Path(folder, "tokenizer.json")))
        eos, pad = self.names
        about = {
            "tokenizer_class": "PreTrainedTokenizerFast",
            "eos_token": eos,
            "pad_token": pad,
            "clean_up_tokenization_spaces": False,
        }
        text = json.dumps(about, indent=2) + "\n"
        Path(folder, "tokenizer_config.json").write_text(text, encoding="utf-8")


def load_bpe(folder: Path | str) -> BpeTokenizer:
    """The tokenizer of a folder as the hub has it; ValueError where a file is missing or no JSON.

    Eos and pad are those of tokenizer_config.json; a pad that it lacks is its eos.
    """
    paths = [Path(folder, name) for name in ("tokenizer.json", "tokenizer_config.json")]
    for path in paths:
        if not path.is_file():
            raise ValueError(f"folder must hold {path.name}, {path.parent} doesn't")
    try:
        about: dict[str, Any] = json.loads(paths[1].read_text(encoding="utf-8"))
        core = tokenizers.Tokenizer.from_file(str(paths[0]))
    except Exception as error:  # the library raises Exception itself
        raise ValueError(f"folder must hold a tokenizer, {folder} doesn't: {error}") from None
    eos, pad = (_name(about.get(key)) for key in ("eos_token", "pad_token"))
    if eos is None:
        raise ValueError(f"tokenizer_config.json must name eos_token, it has {sorted(about)}")
    return BpeTokenizer(core, eos, pad or eos)


def _name(token: Any) -> str | None:
    """A token's name: a string, or the hub's older form, a mapping with "content"."""
    found = token["content"] if isinstance(token, dict) else token
    return found if isinstance(found, str) else None


def train_bpe(
    texts: Iterable[str],
    vocabulary: int,
    specials: Sequence[str] = SPECIALS,
    eos: str = EOS,
    pad: str = PAD,
) -> BpeTokenizer:
    """A byte-level vocabulary learned from texts: the specials, 256 bytes, then merged pairs.

    Pairs are merged within a word and the space before it, as GPT-2 cuts words. A short text may
    have fewer pairs to merge than `vocabulary` asks for. Raises ValueError for a vocabulary too
    small for the bytes and the specials.
    """
    least = 256 + len(_unique(specials, eos, pad))
    if vocabulary < least:
        raise ValueError(f"vocabulary must be at least {least}, got {vocabulary}")
    core = tokenizers.Tokenizer(models.BPE())
    core.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    core.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=vocabulary,
        special_tokens=list(specials),
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    core.train_from_iterator(texts, trainer)
    return BpeTokenizer(core, eos, pad)
