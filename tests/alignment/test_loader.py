"""A loader that goes on where it stopped."""

import itertools
import json
from collections import Counter

import pytest
import torch

from rlcourse.alignment.datasets import Options, PromptDataset
from rlcourse.alignment.loader import Loader


@pytest.fixture
def dataset(tmp_path):
    """A dataset of n prompts: a function of n."""

    def make(n):
        file = tmp_path / f"{n}.jsonl"
        rows = [{"prompt": f"{i:03d}" * (1 + i % 2), "answer": i} for i in range(n)]
        file.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
        options = Options(max_prompt_length=6)
        return PromptDataset(file, lambda text: [*map(ord, text)], pad=0, options=options)

    return make


def answers(batches):
    return [batch["answer"] for batch in batches]


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
