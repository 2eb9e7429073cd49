"""Prompts from files, as equal rows of tokens: parquet and JSON lines, after verl's RLHFDataset.

    file -> rows -> tokens -> filtered or truncated -> padded on the left to max_prompt_length

One column is the prompt, a text or a chat. The others (the right answer, where the row comes from)
travel along untouched: a reward will want them. All prompts are padded to one length, so that any
batches can be put together.

Names and defaults are those of `RLHFDataset` in verl (commit 00080f11, 2025; it reads JSON since).
Its data config (commit 532d5616) overrides three: max_prompt_length 512, filter_overlong_prompts
off, return_raw_chat on. What differs here:

    all prompts are tokenized at the beginning: what is too long is an error then, not hours later
    a prompt may be plain text; verl's are chats
    index is the row's number over all files where extra_info brings none, not 0
    other columns are lists, not arrays of objects; there is none for images, videos and tools

Shapes: B prompts of a batch, T = max_prompt_length.
"""

import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow.parquet
import torch
from torch import Tensor

from rlcourse.alignment.data import MODES, truncate
from rlcourse.language.masks import padded_positions

Row = dict[str, Any]
Encode = Callable[[str], list[int]]
Render = Callable[[list[dict[str, str]]], list[int]]
COLUMNS = "input_ids", "attention_mask", "position_ids", "raw_prompt_ids", "raw_prompt", "index"


@dataclass(frozen=True)
class Options:
    """How rows become prompts.

    prompt_key               the column of the prompt
    max_prompt_length        T, in tokens
    truncation               "error", "left", "right" or "middle": see `data.truncate`
    filter_overlong_prompts  leave out what is longer, before it could be truncated
    return_raw_chat          keep the prompt as it stands in the file, in the column raw_prompt
    Raises ValueError for another truncation and a length below 1.
    """

    prompt_key: str = "prompt"
    max_prompt_length: int = 1024
    truncation: str = "error"
    filter_overlong_prompts: bool = True
    return_raw_chat: bool = False

    def __post_init__(self) -> None:
        if self.truncation not in MODES:
            raise ValueError(f"truncation must be one of {MODES}, got {self.truncation!r}")
        if self.max_prompt_length < 1:
            raise ValueError(f"max_prompt_length must be at least 1, got {self.max_prompt_length}")


class PromptDataset:
    """The prompts of files, one after another; number i is a row of a batch.

    `encode` gives the tokens of a text; `render` those of a chat, a list of role and content, up to
    what opens the assistant's turn.
    Raises ValueError for files that can't be read, and names file and row (from 0; in JSON the
    line, from 1) where a prompt is missing, empty, of another form, or too long with truncation
    "error"; and where no prompt is left.
    """

    def __init__(
        self,
        files: str | Path | Sequence[str | Path],
        encode: Encode,
        *,
        pad: int,
        render: Render | None = None,
        options: Options = Options(),
    ) -> None:
        files = [files] if isinstance(files, str | Path) else files
        if not files:
            raise ValueError("files must not be empty, got none")
        self.pad, self.options = pad, options
        self.rows: list[Row] = []
        number = 0
        for file in map(Path, files):
            for place, row in read(file, options.prompt_key):
                sample = self._sample(place, row, number, encode, render)
                number += 1
                if sample is not None:
                    self.rows.append(sample)
        if not self.rows:
            limit = options.max_prompt_length
            raise ValueError(f"files hold no prompt of up to {limit} tokens, among {number} rows")
        self.columns = list(dict.fromkeys(name for row in self.rows for name in row))

    def _sample(
        self, place: str, row: Row, number: int, encode: Encode, render: Render | None
    ) -> Row | None:
        """The row with its tokens in place of the prompt, or None where it is filtered."""
        o = self.options
        if taken := [name for name in COLUMNS if name in row and name != o.prompt_key]:
            raise ValueError(f"{place}: the column {taken[0]!r} has the name of one that is made")
        prompt = row.pop(o.prompt_key)
        ids = tokens_of(prompt, place, encode, render)
        if (n := len(ids)) > o.max_prompt_length:
            if o.filter_overlong_prompts:
                return None
            if o.truncation == "error":
                raise ValueError(
                    f"{place}: the prompt must not exceed max_prompt_length = "
                    f"{o.max_prompt_length} tokens, got {n}; filter it, or choose a truncation"
                )
        row["raw_prompt_ids"] = truncate(ids, o.max_prompt_length, o.truncation)
        if o.return_raw_chat:
            row["raw_prompt"] = prompt
        extra = row.get("extra_info")
        row["index"] = extra.get("index", number) if isinstance(extra, dict) else number
        return row

    def __len__(self) -> int:
        return len(self.rows)

    def batch(self, numbers: Sequence[int]) -> dict[str, Tensor | list[Any]]:
        """Named columns, B long each: three tensors (B, T), and lists of what rows brought along.

        input_ids are padded on the left, attention_mask is 0 for padding and position_ids count
        tokens alone; raw_prompt_ids are the tokens without padding. A column that a row lacks holds
        None there.
        """
        rows = [self.rows[i] for i in numbers]
        length = self.options.max_prompt_length
        ids = [row["raw_prompt_ids"] for row in rows]
        tokens = torch.tensor([[self.pad] * (length - len(x)) + x for x in ids])
        first = length - torch.tensor([len(x) for x in ids])
        present = torch.arange(length) >= first[:, None]
        return {
            "input_ids": tokens,
            "attention_mask": present.long(),
            "position_ids": padded_positions(present),
            **{name: [row.get(name) for row in rows] for name in self.columns},
        }


def read(file: Path, prompt_key: str) -> Iterator[tuple[str, Row]]:
    """Each row of a file and its place in words; .parquet, or .jsonl and .json of a row a line.

    Raises ValueError for a file of another kind, one that isn't there or can't be parsed, and a row
    without the prompt's column.
    """
    kinds: dict[str, Callable[[Path], Iterator[tuple[str, Any]]]] = {
        ".parquet": _parquet, ".jsonl": _json_lines, ".json": _json_lines,
    }  # fmt: skip
    if file.suffix not in kinds:
        raise ValueError(f"files must end with one of {tuple(kinds)}, got {file}")
    if not file.is_file():
        raise ValueError(f"files must exist, got {file}")
    for place, row in kinds[file.suffix](file):
        if prompt_key not in row:
            raise ValueError(f"{place}: prompt_key {prompt_key!r} is none of its columns, {[*row]}")
        yield place, row


def _parquet(file: Path) -> Iterator[tuple[str, Any]]:
    try:
        table = pyarrow.parquet.read_table(file)
    except pyarrow.ArrowInvalid as error:
        raise ValueError(f"{file} can't be read as parquet: {error}") from None
    for i, row in enumerate(table.to_pylist()):
        yield f"{file}, row {i}", row


def _json_lines(file: Path) -> Iterator[tuple[str, Any]]:
    with file.open(encoding="utf-8") as lines:
        for i, line in enumerate(lines, 1):
            place = f"{file}, line {i}"
            if not line.strip():
                continue
            try:
                row = json.loads(line)
            except json.JSONDecodeError as error:
                raise ValueError(f"{place} must be JSON: {error}") from None
            if not isinstance(row, dict):
                raise ValueError(f"{place} must be an object, got {type(row).__name__}")
            yield place, row


def tokens_of(prompt: Any, place: str, encode: Encode, render: Render | None) -> list[int]:
    """The tokens of a text or a chat; ValueError, with its place, for anything else or nothing."""
    if isinstance(prompt, str):
        ids = encode(prompt)
    elif isinstance(prompt, list) and all(
        isinstance(turn, dict) and turn.keys() >= {"role", "content"} for turn in prompt
    ):
        if prompt and render is None:
            raise ValueError(f"{place}: render must be given, since the prompt is a chat, got None")
        ids = render(prompt) if render and prompt else []
    else:
        raise ValueError(f"{place}: the prompt must be a text or a list of turns, got {prompt!r}")
    if not ids:
        raise ValueError(f"{place}: the prompt must have a token, got {prompt!r}")
    return [*ids]
