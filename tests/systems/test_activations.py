"""The ledger of a GPT layer against the paper's formulas and against a layer of real tensors."""

import random
from fractions import Fraction

import pytest
import torch
from torch.nn import functional as F

from rlcourse.systems.activations import Entry, Size, korthikanti, symbols, total
from rlcourse.systems.memory_counter import storage_bytes
from rlcourse.systems.saved_tensors import saved_tensors
from rlcourse.systems.zero import layer_activations

s, b, h, a, t, c = symbols("N B C H t c")  # the paper's letters, and c
SBH = s * b * h


# ------------------------------------------------------------------------------- the paper


def test_a_layer_as_it_stands_saves_34_and_the_scores():
    found = total(korthikanti()).at(t=1, c=1)
    assert found == SBH * (34 + 5 * a * s / h)


def test_tensor_parallelism_leaves_10_on_each_rank():
    found = total(korthikanti()).at(c=1)
    assert found == SBH * (10 + 24 / t + 5 * a * s / (h * t))


def test_sequence_parallelism_divides_the_10_too():
    found = total(korthikanti(sequence_parallel=True)).at(c=1)
    assert found == SBH / t * (34 + 5 * a * s / h)


def test_selective_recomputation_drops_the_scores_alone():
    assert total(korthikanti("selective", True)).at(c=1) == 34 * SBH / t
    assert total(korthikanti("selective")).at(c=1) == SBH * (10 + 24 / t)


def test_full_recomputation_keeps_the_input():
    assert total(korthikanti("full")).at(c=1) == 2 * SBH
    assert total(korthikanti("full", True)).at(c=1) == 2 * SBH / t


@pytest.mark.parametrize("sequence_parallel", [False, True])
@pytest.mark.parametrize("recompute", ["none", "selective", "full"])
def test_a_context_of_c_ranks_divides_all_of_it(recompute, sequence_parallel):
    found = total(korthikanti(recompute, sequence_parallel))
    assert found == found.at(c=1) / c


def test_gpt3_keeps_more_than_twice_as_much_for_its_scores_as_for_all_else():
    # section 4 of the paper: 5as/h = 80 for GPT-3 of 175 G parameters, 64 for the 530 G
    for heads, width, published in ((96, 12288, 80), (128, 20480, 64)):
        size = total(korthikanti()).at(t=1, c=1, N=2048, B=1, C=width, H=heads)
        assert int(size) == (34 + published) * 2048 * width


@pytest.mark.parametrize("sequence_parallel", [False, True])
@pytest.mark.parametrize("recompute", ["none", "selective", "full"])
def test_the_ledger_and_the_closed_form_agree_on_any_sizes(recompute, sequence_parallel):
    rng = random.Random(1)
    size = total(korthikanti(recompute, sequence_parallel))
    for _ in range(100):
        ranks, batch = rng.randint(1, 8), rng.randint(1, 5)
        heads, tokens = ranks * rng.randint(1, 4), ranks * rng.randint(1, 30)
        width = heads * rng.randint(1, 16)
        expected = layer_activations(
            batch, tokens, width, heads, ranks, sequence_parallel, recompute
        )
        assert int(size.at(B=batch, N=tokens, C=width, H=heads, t=ranks, c=1)) == expected


def test_another_recomputation_is_refused():
    with pytest.raises(ValueError, match="recompute must be none, selective or full, got 'all'"):
        korthikanti("all")


# ------------------------------------------------------------------------------- real tensors


def dropped(x):
    """Dropout whose mask is Boolean, as on a GPU."""
    return torch.native_dropout(x, 0.1, True)[0]


def gpt_layer(x, heads, ranks, head_dim, weights):
    """One rank's part of a layer; what the ranks would add up stays a part of the sum."""
    normed = F.layer_norm(x, x.shape[-1:], weights["norm"], weights["norm"])
    q, k, v = (
        F.linear(normed, w).unflatten(-1, (heads // ranks, head_dim)).transpose(1, 2)
        for w in (weights["q"], weights["k"], weights["v"])
    )
    p = dropped(torch.softmax(q @ k.mT * head_dim**-0.5, -1))
    o = (p @ v).transpose(1, 2).flatten(2)
    x = x + dropped(F.linear(o, weights["o"]))
    normed = F.layer_norm(x, x.shape[-1:], weights["norm"], weights["norm"])
    return x + dropped(F.linear(F.gelu(F.linear(normed, weights["up"])), weights["down"]))


@pytest.mark.parametrize(
    ("batch", "tokens", "heads", "head_dim", "ranks"),
    [(2, 8, 4, 8, 1), (3, 16, 2, 4, 1), (2, 5, 6, 4, 2), (4, 8, 4, 16, 4), (5, 3, 3, 2, 3)],
)
def test_a_real_layer_saves_what_the_ledger_lists(batch, tokens, heads, head_dim, ranks):
    width = heads * head_dim
    mine = width // ranks
    shapes = dict(
        norm=(width,), q=(mine, width), k=(mine, width), v=(mine, width), o=(width, mine),
        up=(4 * mine, width), down=(width, 4 * mine),
    )  # fmt: skip
    weights = {
        name: torch.ones(shape, dtype=torch.bfloat16, requires_grad=True)
        for name, shape in shapes.items()
    }
    x = torch.ones(batch, tokens, width, dtype=torch.bfloat16, requires_grad=True)
    torch.manual_seed(0)  # which elements are dropped changes no size
    saved = saved_tensors(lambda: gpt_layer(x, heads, ranks, head_dim, weights), weights.values())
    statistics = [y for y in saved if y.shape == (batch, tokens, 1)]
    assert len(statistics) == 4  # mean and 1/σ of two norms, which the paper leaves out
    found = storage_bytes(saved) - storage_bytes(statistics)
    size = total(korthikanti()).at(B=batch, N=tokens, C=width, H=heads, t=ranks, c=1)
    assert found == int(size)


# ------------------------------------------------------------------------------- sizes


def a_size(rng, values):
    """A random size, and its value by exact fractions."""
    size, value = Size({}), Fraction(0)
    for _ in range(rng.randint(0, 3)):
        term, number = Size({(): 1}), Fraction(1)
        k = rng.randint(-4, 4)
        for name, x in values.items():
            exponent = rng.randint(-2, 2)
            (letter,) = symbols(name)
            for _ in range(abs(exponent)):
                term = term * letter if exponent > 0 else term / letter
            number *= Fraction(x) ** exponent
        size, value = size + term * k, value + number * k
    return size, value


def test_sums_and_products_of_sizes_are_those_of_their_values():
    rng = random.Random(3)
    for _ in range(200):
        values = {name: rng.randint(1, 9) for name in "BCN"}
        (x, x_value), (y, y_value) = a_size(rng, values), a_size(rng, values)
        unit = (x + y * x).at(**values)
        assert unit == Size({(): x_value + y_value * x_value})
        assert x * y == y * x
        assert (x + y) * x == x * x + y * x
        partly = (x * y).at(B=values["B"])
        assert partly.at(**values) == (x * y).at(**values)


def test_a_size_is_written_as_a_formula():
    assert repr(SBH / t * (34 + 5 * a * s / h)) == "34BCN/t + 5BHN²/t"
    assert repr(a * s / (2 * h * t)) == "HN/(2Ct)"
    assert repr(Size({})) == "0"
    assert repr(s * s * s + 1 + 3 / t) == "1 + 3/t + N³"


def test_a_number_is_all_that_becomes_an_integer():
    assert int((6 * s / t).at(N=2, t=3)) == 4
    with pytest.raises(ValueError, match="must be a whole number, got 2N"):
        int(2 * s)
    with pytest.raises(ValueError, match="must be a whole number, got 2/3"):
        int((s / t).at(N=2, t=3))


def test_only_a_single_term_divides():
    for other in (s + 1, Size({}), 0):
        with pytest.raises(ValueError, match="other must be a single term"):
            s / other


def test_a_tensor_in_the_storage_of_another_costs_nothing():
    ledger = [Entry("norm", "x", (b, s, h), 4), Entry("product", "y", (b, s, h), 4, shared="x")]
    assert total(ledger) == 4 * SBH
    assert total([ledger[0], ledger[1]._replace(shared="")]) == 8 * SBH
    assert total([Entry("loss", "weight", (), 4)]) == 4
    names = [entry.name for entry in korthikanti()]
    assert len(set(names)) == len(names)
    for i, entry in enumerate(korthikanti()):
        assert not entry.shared or entry.shared in names[:i]
