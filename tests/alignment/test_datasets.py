"""Prompts from files."""

import json

import pyarrow
import pyarrow.parquet
import pytest

from rlcourse.alignment.datasets import Options, PromptDataset

PAD = 0


def encode(text):
    return [ord(letter) for letter in text]


def render(messages):
    return encode(
        "".join(f"<{turn['role']}>{turn['content']}" for turn in messages) + "<assistant>"
    )


def parquet(path, rows):
    pyarrow.parquet.write_table(pyarrow.Table.from_pylist(rows), path)
    return path


def json_lines(path, rows):
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


def test_defaults_are_those_of_verl():
    o = Options()
    assert (o.prompt_key, o.max_prompt_length, o.truncation) == ("prompt", 1024, "error")
    assert (o.filter_overlong_prompts, o.return_raw_chat) == (True, False)


@pytest.mark.parametrize("write", [parquet, json_lines])
def test_a_batch_is_padded_on_the_left_and_keeps_the_other_columns(tmp_path, write):
    suffix = ".parquet" if write is parquet else ".jsonl"
    rows = [
        {"question": "abc", "answer": 7, "extra_info": {"index": 40}},
        {"question": "ë", "answer": 8, "extra_info": {"index": 41}},
    ]
    file = write(tmp_path / f"a{suffix}", rows)
    options = Options(prompt_key="question", max_prompt_length=4, return_raw_chat=True)
    batch = PromptDataset(file, encode, pad=PAD, options=options).batch([1, 0])
    assert batch["input_ids"].tolist() == [[0, 0, 0, 235], [0, 97, 98, 99]]
    assert batch["attention_mask"].tolist() == [[0, 0, 0, 1], [0, 1, 1, 1]]
    assert batch["position_ids"].tolist() == [[0, 0, 0, 0], [0, 0, 1, 2]]
    assert batch["raw_prompt_ids"] == [[235], [97, 98, 99]]
    assert batch["raw_prompt"] == ["ë", "abc"]
    assert batch["answer"] == [8, 7]
    assert batch["index"] == [41, 40]
    assert "question" not in batch
    assert {len(column) for column in batch.values()} == {2}


def test_files_follow_one_another_and_rows_are_numbered_over_all_of_them(tmp_path):
    one = parquet(tmp_path / "one.parquet", [{"prompt": "a"}, {"prompt": "b" * 9}])
    two = json_lines(tmp_path / "two.json", [{"prompt": "c", "answer": 5}])
    options = Options(max_prompt_length=3)
    batch = PromptDataset([one, str(two)], encode, pad=PAD, options=options).batch([0, 1])
    assert batch["raw_prompt_ids"] == [[97], [99]]
    assert batch["index"] == [0, 2]
    assert batch["answer"] == [None, 5]


def test_a_chat_goes_through_its_template(tmp_path):
    chat = [{"role": "user", "content": "hi"}]
    file = parquet(tmp_path / "chat.parquet", [{"prompt": chat}])
    options = Options(return_raw_chat=True)
    data = PromptDataset(file, encode, pad=PAD, render=render, options=options)
    batch = data.batch([0])
    assert batch["input_ids"].shape == (1, 1024)
    assert batch["raw_prompt_ids"] == [encode("<user>hi<assistant>")]
    assert batch["raw_prompt"] == [chat]


@pytest.mark.parametrize(
    ("mode", "kept"), [("left", "bcde"), ("right", "abcd"), ("middle", "abde")]
)
def test_what_is_too_long_is_cut_where_told(tmp_path, mode, kept):
    file = json_lines(tmp_path / "a.jsonl", [{"prompt": "abcde"}, {"prompt": "abcd"}])
    options = Options(max_prompt_length=4, truncation=mode, filter_overlong_prompts=False)
    batch = PromptDataset(file, encode, pad=PAD, options=options).batch([0, 1])
    assert batch["raw_prompt_ids"] == [encode(kept), encode("abcd")]
    assert batch["input_ids"].tolist() == batch["raw_prompt_ids"]


def test_what_is_too_long_is_filtered_before_it_could_be_cut(tmp_path):
    file = json_lines(tmp_path / "a.jsonl", [{"prompt": "abcde"}, {"prompt": "abcd"}])
    for mode in ("error", "left"):
        options = Options(max_prompt_length=4, truncation=mode)
        assert len(PromptDataset(file, encode, pad=PAD, options=options)) == 1


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ('{"question": "a", "answer": 1}', r"a.jsonl, line 1: prompt_key 'prompt' is none of its "
         r"columns, \['question', 'answer'\]"),
        ('{"prompt": "a"}\n\n{"prompt": }', "a.jsonl, line 3 must be JSON: Expecting value"),
        ('{"prompt": "a"}\n["a"]', "a.jsonl, line 2 must be an object, got list"),
        ('{"prompt": ""}', "a.jsonl, line 1: the prompt must have a token, got ''"),
        ('{"prompt": []}', r"a.jsonl, line 1: the prompt must have a token, got \[\]"),
        ('{"prompt": null}', "line 1: the prompt must be a text or a list of turns, got None"),
        ('{"prompt": [{"role": "user"}]}', "must be a text or a list of turns"),
        ('{"prompt": [{"role": "user", "content": "a"}]}', "line 1: render must be given"),
        ('{"prompt": "abc"}\n{"prompt": "abcde"}', "line 2: the prompt must not exceed "
         "max_prompt_length = 4 tokens, got 5"),
        ('{"prompt": "abc", "index": 1}', "line 1: the column 'index' has the name of one"),
        ("", "files hold no prompt of up to 4 tokens, among 0 rows"),
    ],
)  # fmt: skip
def test_a_bad_row_is_named_with_its_place(tmp_path, content, message):
    (tmp_path / "a.jsonl").write_text(content, encoding="utf-8")
    options = Options(max_prompt_length=4, filter_overlong_prompts=False)
    with pytest.raises(ValueError, match=message):
        PromptDataset(tmp_path / "a.jsonl", encode, pad=PAD, options=options)


def test_a_bad_file_is_named(tmp_path):
    def load(*files):
        return PromptDataset([tmp_path / file for file in files], encode, pad=PAD)

    parquet(tmp_path / "a.parquet", [{"question": "a", "answer": 1}])
    (tmp_path / "b.parquet").write_text("no parquet", encoding="utf-8")
    json_lines(tmp_path / "c.jsonl", [{"prompt": "a" * 2000}])
    for files, message in (
        ((), "files must not be empty, got none"),
        (("none.jsonl",), "files must exist, got .*none.jsonl"),
        (("a.csv",), "files must end with one of .*, got .*a.csv"),
        (("a.parquet",), r"a.parquet, row 0: prompt_key 'prompt' .*\['question', 'answer'\]"),
        (("b.parquet",), "b.parquet can't be read as parquet"),
        (("c.jsonl",), "files hold no prompt of up to 1024 tokens, among 1 rows"),
    ):
        with pytest.raises(ValueError, match=message):
            load(*files)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"truncation": "center"}, r"truncation must be one of \('error', .*got 'center'"),
        ({"max_prompt_length": 0}, "max_prompt_length must be at least 1, got 0"),
    ],
)
def test_options_out_of_range_are_refused(options, message):
    with pytest.raises(ValueError, match=message):
        Options(**options)
