"""The ledger of transformers' models against what was measured in them, and what it refuses."""

from types import SimpleNamespace

import pytest

from rlcourse import results
from rlcourse.systems.peer_activations import peer_bytes, peer_ends_ledger, peer_layer_ledger

MEASURED = results.load("benchmarks/memory_activations")["peers"]
ELEMENT = {"float32": 4, "bfloat16": 2}
SMALL = SimpleNamespace(
    vocabulary=9, width=8, heads=4, kv_heads=1, head_dim=2, hidden=5, qk_norm=False
)


@pytest.mark.parametrize("family", ["Llama", "Qwen2", "Qwen3"])
def test_recorded_models_saved_what_the_ledger_says(family):
    rows = [row for row in MEASURED if row["family"] == family]
    assert len({(r["dtype"], r["policy"], r["attention"]) for r in rows}) == 8
    for row in rows:
        config, element = SimpleNamespace(**row["sizes"]), ELEMENT[row["dtype"]]
        how = element, row["policy"], row["attention"]
        found = peer_bytes(config, config.layers, row["B"], row["N"], *how)
        if row["policy"] == "full":  # a checkpoint holds the tables of positions out of sight
            found -= 2 * row["N"] * config.head_dim * element
        assert found == row["saved"]


@pytest.mark.parametrize("attention", ["sdpa", "eager"])
@pytest.mark.parametrize("one_row", [False, True])
@pytest.mark.parametrize("element", [2, 4])
def test_a_line_that_shares_names_an_earlier_line(element, one_row, attention):
    before, *after = peer_ends_ledger(element, one_row)
    lines = [before, *peer_layer_ledger(SMALL, element, "all", attention, one_row), *after]
    for i, line in enumerate(lines):
        assert not line.shared or line.shared in {x.name for x in lines[:i]}


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (dict(batch=0), "batch must be an integer of at least 1, got 0"),
        (dict(tokens=-1), "tokens must be an integer of at least 1, got -1"),
        (dict(layers=1.5), "layers must be an integer of at least 1, got 1.5"),
        (dict(element=8), "element must be 2 or 4, got 8"),
        (dict(policy="selective"), "policy must be all or full, got 'selective'"),
        (dict(attention="explicit"), "attention must be sdpa or eager, got 'explicit'"),
    ],
)
def test_what_makes_no_sense_is_refused(change, words):
    arguments = dict(layers=1, batch=2, tokens=3) | change
    with pytest.raises(ValueError, match=words):
        peer_bytes(SMALL, **arguments)
