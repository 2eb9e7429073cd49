"""What the chapter on checkpointing claims of real layers: counted bytes, recorded seconds."""

from functools import cache
from itertools import combinations, pairwise

import pytest
import torch

from rlcourse.figures.systems import checkpointing_chain as chain
from rlcourse.figures.systems import checkpointing_experiment as ce
from rlcourse.figures.systems import checkpointing_parts as parts
from rlcourse.figures.systems import checkpointing_run as f
from rlcourse.figures.systems import checkpointing_tensors as tensors
from rlcourse.results import load
from rlcourse.systems.checkpoint_schedules import run
from rlcourse.systems.memory_counter import storage_bytes
from rlcourse.systems.optimal_checkpoints import optimal
from rlcourse.systems.saved_tensors import saved_tensors


def seeded():
    return torch.Generator().manual_seed(0)


@cache
def experiment():
    return ce.data_experiment(generator=seeded())


@cache
def record():
    return {row["way"]: row for row in load("benchmarks/checkpointing")["rows"]}


# ------------------------------------------------------------------------------- the experiment


def test_no_way_changes_a_gradient():
    assert max(way.apart for way in experiment().ways.values()) == 0


def test_what_is_counted_is_the_schedules_and_a_few_states_more():
    data = experiment()
    for way in data.ways.values():
        if way.cost:
            assert 5 * data.state < way.peak - way.cost.peak < 9 * data.state


def test_a_checkpoint_at_every_block_takes_a_small_part_and_little_is_left_beyond():
    ways = experiment().ways
    whole, every = ways["store all"].peak, ways["every block"].peak
    assert every < whole / 5
    assert ce.relative_time(ways["every block"].cost) < 4 / 3
    for name in ("revolve, 4 states", "revolve, 2 states", "recursive", "recompute all"):
        assert 0.7 * every < ways[name].peak < every
        assert ce.relative_time(ways[name].cost) > 1.45
    assert ways["autograd"].peak == whole
    assert ways["torch.utils.checkpoint"].peak == every
    assert abs(ways["recomputed"].peak - every) <= 2 * experiment().state
    assert every < ways["the same, attention kept"].peak < ways["the same, products kept"].peak


def test_recorded_seconds_follow_the_count_of_forwards():
    for name, way in experiment().ways.items():
        row = record()[name]
        if way.cost:
            assert row["forwards"] == way.cost.forwards
            assert row["model"] == pytest.approx(ce.relative_time(way.cost), abs=1e-3)
            assert row["times"]["median"] == pytest.approx(row["model"], rel=0.06)


def test_our_checkpoint_costs_what_pytorchs_does_and_one_policy_gains_and_one_loses():
    median = {name: row["times"]["median"] for name, row in record().items()}
    plain = median["torch.utils.checkpoint"]
    assert median["recomputed"] == pytest.approx(plain, rel=0.02)
    assert 0.9 * plain < median["the same, products kept"] < plain
    assert median["the same, attention kept"] > plain


def test_the_table_has_a_line_for_each_way():
    (table,) = ce.table_of_experiment(experiment()).tables
    assert [row[0] for row in table[1:]] == list(experiment().ways)
    assert set(record()) - set(experiment().ways) == set(ce.RECORDED_ONLY)


def test_the_ceis_drawn():
    assert len(ce.draw_experiment(experiment()).panels) == 2


# ------------------------------------------------------------------------------- unequal layers


@cache
def frontier():
    return chain.data_frontier(points=8, generator=seeded())


def test_nothing_lies_below_the_staircase_which_falls():
    data = frontier()
    for a, b in pairwise(data.optimum):
        assert a.forwards >= b.forwards
    for costs in data.others.values():
        for cost in costs:
            found = run(optimal(*data.sizes, cost.peak), *data.sizes)
            assert found.forwards <= cost.forwards
            assert found.peak <= cost.peak
    assert data.optimum[-1] == data.others["store all"][0]


def test_the_optimum_spares_a_little_of_the_extra_time_of_segments():
    assert 0.02 < chain.saved_by_optimum(frontier()) < 0.15


def test_sizes_are_those_of_the_tensors_rounded_up():
    sizes = frontier().sizes
    part = f.chain(generator=seeded(), halves=True)
    counted = [
        storage_bytes(saved_tensors(lambda g=g: g(part.x), part.there)) for g in part.layers[:2]
    ]
    for units, size in zip(sizes.tapes[:2], counted, strict=True):
        assert 0 <= units - chain.UNITS * size / part.x.nbytes < 1
    assert sizes.tapes[:-1] == sizes.tapes[:2] * chain.BLOCKS
    assert set(sizes.states) == {chain.UNITS}


def test_the_frontier_is_drawn():
    assert len(chain.draw_frontier(frontier()).panels) == 1


# ------------------------------------------------------------------------------- inside a block


@pytest.mark.parametrize("tokens", [256, 2048])
def test_no_set_of_tensors_saves_more_than_the_one_that_is_kept(tokens):
    data = tensors.data_choice(tokens, points=12)
    everything = [
        (sum(data.sizes[i] for i in s), sum(data.micros[i] for i in s))
        for n in range(len(data.sizes) + 1)
        for s in combinations(range(len(data.sizes)), n)
    ]
    for budget, left in zip(data.budgets, data.left, strict=True):
        best = max(saved for size, saved in everything if size <= budget)
        assert left == sum(data.micros) - best


def test_attention_is_few_of_the_bytes_and_more_of_the_time_the_longer_the_text():
    shares = []
    for tokens in (256, 2048):
        data = tensors.data_choice(tokens, points=1)
        i = data.names.index("attention")
        assert data.sizes[i] < 0.06 * sum(data.sizes)
        shares.append(data.micros[i] / sum(data.micros))
        (table,) = tensors.table_of_choice(data).tables
        assert [row[0] for row in table[1:2]] == ["attention"]
        assert set(table[1][4:]) == {"kept"}
        assert {row[0] for row in table[-5:-1]} == {"SiLU", "inner", "second norm", "first norm"}
    assert shares[0] < 0.25
    assert shares[1] > 0.45


def test_the_tensors_of_a_block_are_those_that_autograd_saves():
    config, batch, tokens = f.CONFIG, 2, 16
    block = tensors.steps(config, batch, tokens, generator=seeded())
    part = f.chain(config, batch, tokens, generator=seeded())
    assert sum(step.bytes for step in block.values()) == f.tape_bytes(part)[0]
    rows = batch * tokens
    assert block["gate"].again().numel() == rows * config.hidden
    assert block["attention"].bytes == 4 * rows * (config.width + config.heads)


def test_choices_are_drawn():
    assert len(tensors.draw_choice({"a": tensors.data_choice(256, points=9)}).panels) == 1


# ------------------------------------------------------------------------------- micro-batches


@cache
def accumulated():
    return parts.data_parts(generator=seeded())


def test_the_peak_falls_nearly_with_the_number_of_micro_batches():
    peaks = accumulated().peaks
    for n in parts.PARTS:
        assert peaks[1] / n <= peaks[n] < 1.1 * peaks[1] / n


def test_the_mean_of_means_is_off_where_counts_differ_and_weights_by_tokens_are_right():
    data = accumulated()
    assert max(data.weighted.values()) < 1e-6
    assert data.equal[1] < 1e-6
    errors = [data.equal[ratio] for ratio in parts.RATIOS[1:]]
    assert errors == sorted(errors)
    assert errors[0] > 0.1
    assert errors[-1] > 1


def test_half_of_the_sequences_have_so_many_times_the_tokens_that_count():
    batch = parts.batch_of(4, generator=seeded())
    long, short = parts.counts(batch, 2)
    assert long == 4 * short


def test_parts_are_drawn():
    assert len(parts.draw_parts(accumulated()).panels) == 2
