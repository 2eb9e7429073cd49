"""Prompts from files, and a loader that goes on where it stopped."""

import itertools
import json
from collections import Counter

import pyarrow
import pyarrow.parquet
import pytest
import torch

from rlcourse.alignment.datasets import Options, PromptDataset
from rlcourse.alignment.loader import Loader

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


def texts(n):
    return [{"prompt": f"{i:03d}" * (1 + i % 2), "answer": i} for i in range(n)]


@pytest.fixture
def dataset(tmp_path):
    """A dataset of n prompts: a function of n."""

    def make(n, **options):
        file = json_lines(tmp_path / f"{n}.jsonl", texts(n))
        return PromptDataset(file, encode, pad=PAD, options=Options(max_prompt_length=6, **options))

    return make


def answers(batches):
    return [batch["answer"] for batch in batches]


# ------------------------------------------------------------------------------- the dataset


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


# ------------------------------------------------------------------------------- the loader


@pytest.mark.parametrize("drop_last", [True, False])
@pytest.mark.parametrize("seed", [None, 3])
@pytest.mark.parametrize(("n", "size"), [(1, 1), (7, 1), (7, 3), (6, 3), (7, 7), (9, 4)])
def test_a_run_resumed_at_any_stop_sees_what_the_unbroken_one_saw(
    dataset, n, size, seed, drop_last
):
    data = dataset(n)

    def fresh():
        return Loader(data, size, seed=seed, drop_last=drop_last)

    loader, unbroken, states = fresh(), [], []
    states.append(loader.state_dict())
    for _ in range(3):
        epoch = []
        for batch in loader:
            epoch.append(batch["answer"])
            states.append(json.loads(json.dumps(loader.state_dict())))
        assert len(epoch) == len(loader)
        unbroken += epoch
    assert len(states) == len(unbroken) + 1
    for i, state in enumerate(states):
        resumed = fresh()
        resumed.load_state_dict(state)
        rest = []
        while resumed.epoch < 3:
            rest += answers(resumed)
        assert rest == unbroken[i:]


@pytest.mark.parametrize("drop_last", [True, False])
def test_an_epoch_holds_every_sample_once_but_for_the_last_batch(dataset, drop_last):
    loader = Loader(dataset(11), 4, seed=1, drop_last=drop_last)
    for _ in range(4):
        seen = Counter(itertools.chain(*answers(loader)))
        assert set(seen.values()) == {1}
        assert len(seen) == (8 if drop_last else 11)


def test_orders_differ_between_epochs_and_seeds_and_are_the_same_again(dataset):
    data = dataset(50)
    orders = [Loader(data, 5, seed=seed).order(epoch) for seed in (1, 2) for epoch in (0, 1, 2)]
    assert len({*map(tuple, orders)}) == 6
    assert all(sorted(order) == [*range(50)] for order in orders)
    assert Loader(data, 7, seed=2).order(1) == orders[4]
    assert Loader(data, 7, seed=None).order(1) == [*range(50)]


def test_a_shuffled_sample_comes_first_equally_often(dataset):
    loader = Loader(dataset(4), 1, seed=5)
    first = Counter(loader.order(epoch)[0] for epoch in range(4000))
    assert all(abs(first[i] - 1000) < 5 * 750**0.5 for i in range(4))  # 5 standard deviations


def test_a_broken_loop_goes_on_with_the_next_batch(dataset):
    loader, whole = (Loader(dataset(8), 2, seed=7) for _ in range(2))
    parts = [next(iter(loader))["answer"] for _ in range(2)]
    assert parts + answers(loader) == answers(whole)
    assert loader.epoch == 1


def test_another_batch_size_goes_on_with_the_same_samples(dataset):
    data = dataset(12)
    loader = Loader(data, 2, seed=7)
    order = loader.order(0)
    batches = iter(loader)
    next(batches)
    assert torch.equal(next(batches)["input_ids"], data.batch(order[2:4])["input_ids"])
    wider = Loader(data, 3, seed=7)
    wider.load_state_dict(loader.state_dict())
    assert answers(wider) == [order[4:7], order[7:10]]
    widest = Loader(data, 10, seed=7)  # 8 samples are left, so it's the next epoch's turn
    widest.load_state_dict(loader.state_dict())
    assert answers(widest) == [loader.order(1)[:10]]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"seed": 8}, "state must have seed 7, as the loader, got 8"),
        ({"size": 11}, "state must have size 12, as the loader, got 11"),
        ({"done": 12}, r"done in \[0, 12\), got 0 and 12"),
        ({"epoch": -1}, "epoch >= 0 .* got -1 and 0"),
        ({"place": 3}, r"state must have keys \['seed', 'epoch', 'done', 'size'\], got"),
    ],
)
def test_a_state_of_other_data_is_refused(dataset, change, message):
    loader = Loader(dataset(12), 2, seed=7)
    with pytest.raises(ValueError, match=message):
        loader.load_state_dict(loader.state_dict() | change)


def test_a_batch_that_cannot_be_filled_is_refused(dataset):
    data = dataset(3)
    for size in (0, 4):
        with pytest.raises(ValueError, match=rf"batch_size must lie in \[1, 3\], got {size}"):
            Loader(data, size, seed=1)
    assert answers(Loader(data, 4, seed=None, drop_last=False)) == [[0, 1, 2]]
    with pytest.raises(ValueError, match="seed must not be negative, got -1"):
        Loader(data, 1, seed=-1)
