"""The reference against plain loops, PyTorch's attention, FlexAttention and itself."""

import math

import pytest
import torch
from attention_cases import CASES, Case, check, draw, exact, run
from torch.nn.attention.bias import causal_lower_right
from torch.nn.attention.flex_attention import AuxRequest, create_block_mask, flex_attention
from torch.nn.functional import scaled_dot_product_attention

from rlcourse.systems.attention import FAR, attend, attention_reference, reach, visible
from rlcourse.systems.attention_arguments import check_attention

OPTIONS = (
    {},
    {"causal": True},
    {"window": 2},
    {"causal": True, "window": 3},
    {"scale": -0.3, "softcap": 1.5},
    {"alibi": True, "causal": True},
    {"sinks": True, "softcap": 2.0, "window": 2},
)


def draw_case(n=4, m=5, **fields):
    return exact(draw(Case("", N=n, M=m, D=3, **fields), torch.float32))


def options_of(x):
    return check_attention(x.q, x.k, x.v, **x.options)


def enumerated(x):
    """o and lse of a small problem, number by number."""
    (batches, heads, n, d), (_, groups, m, _) = x.q.shape, x.k.shape
    y, o, lse = x.options, torch.zeros_like(x.q), torch.zeros(x.q.shape[:3]).double()
    for b, h, i in ((b, h, i) for b in range(batches) for h in range(heads) for i in range(n)):
        g, place, weights = h // (heads // groups), i + m - n, {}
        for j in range(m):
            s = y.get("scale", 1 / math.sqrt(d)) * float(x.q[b, h, i] @ x.k[b, g, j])
            if "softcap" in y:
                s = y["softcap"] * math.tanh(s / y["softcap"])
            if "alibi" in y:
                s -= float(y["alibi"][h]) * abs(place - j)
            if y.get("causal") and j > place:
                continue
            if "window" in y and abs(place - j) >= y["window"]:
                continue
            weights[j] = math.exp(s)
        total = sum(weights.values()) + (math.exp(y["sinks"][h]) if "sinks" in y else 0.0)
        lse[b, h, i] = math.log(total) if total else -math.inf
        for j, weight in weights.items():
            o[b, h, i] += weight / total * x.v[b, g, j]
    return o, lse


@pytest.mark.parametrize("options", OPTIONS, ids=str)
@pytest.mark.parametrize(("n", "m", "groups"), [(4, 5, 2), (6, 3, 1), (1, 4, 4)])
def test_the_reference_is_what_a_loop_says(n, m, groups, options):
    x = draw_case(n, m, H=4, G=groups, options=options)
    o, lse = attend(x.q, x.k, x.v, options_of(x))
    expected, expected_lse = enumerated(x)
    torch.testing.assert_close(o, expected, rtol=1e-6, atol=1e-12)
    torch.testing.assert_close(lse, expected_lse, rtol=1e-6, atol=1e-12)


@pytest.mark.parametrize("causal", [False, True])
def test_it_agrees_with_pytorch_on_squares_and_grouped_queries(causal):
    x = draw_case(9, 9, H=6, G=2, options={"causal": causal})

    def theirs(q, k, v, causal):
        return scaled_dot_product_attention(q, k, v, is_causal=causal, enable_gqa=True)

    torch.testing.assert_close(run(attention_reference, x), run(theirs, x))


@pytest.mark.parametrize(("n", "m"), [(3, 9), (9, 9)])
def test_the_last_query_sees_every_key_as_in_pytorchs_lower_right_mask(n, m):
    x = draw_case(n, m, options={"causal": True})
    theirs = scaled_dot_product_attention(x.q, x.k, x.v, causal_lower_right(n, m))
    torch.testing.assert_close(attention_reference(x.q, x.k, x.v, causal=True), theirs)


def test_a_row_that_sees_no_key_is_zero_as_in_pytorchs_lower_right_mask():
    x = draw_case(9, 4, options={"causal": True})
    found = run(attention_reference, x)
    with pytest.warns(UserWarning, match="NaN"):  # which no longer come
        mask = causal_lower_right(9, 4)
    torch.testing.assert_close(found["o"], scaled_dot_product_attention(x.q, x.k, x.v, mask))
    assert not found["o"][:, :, :5].any()
    assert not found["dq"][:, :, :5].any()
    assert all(x.isfinite().all() for x in found.values())


@pytest.mark.parametrize("options", OPTIONS[:-1], ids=str)
@pytest.mark.filterwarnings("ignore:flex_attention called without")  # eagerly, that is
def test_it_agrees_with_flex_attention_in_value_and_log_sum(options):
    x = draw_case(7, 12, H=4, G=2, options=options)
    y = options_of(x)

    def bent(s, b, h, i, j):
        s = s if y.softcap is None else y.softcap * torch.tanh(s / y.softcap)
        return s if y.alibi is None else s - y.alibi[h] * (i + 12 - 7 - j).abs()

    def seen(b, h, i, j):
        ahead = j - (i + 12 - 7)
        inside = ahead.abs() < (y.window or FAR)
        return inside & (ahead <= 0) if y.causal else inside

    mask = create_block_mask(seen, None, None, 7, 12, device="cpu")
    o, aux = flex_attention(
        x.q, x.k, x.v, bent, mask, y.scale, enable_gqa=True, return_aux=AuxRequest(lse=True)
    )
    torch.testing.assert_close(attend(x.q, x.k, x.v, y), (o, aux.lse))


def test_a_sink_is_a_key_whose_value_is_zero():
    x = draw_case(4, 5, H=3, G=3, options={"sinks": True})
    sinks = x.options["sinks"]

    def with_a_key_more(q, k, v, sinks):
        """A coordinate in which all queries have 1, and only the new key has a number."""
        one, zero = torch.ones_like(q[..., :1]), torch.zeros_like(k[..., :1])
        key = torch.cat(
            [torch.zeros_like(k[:, :, :1]), sinks[:, None, None].expand_as(zero[:, :, :1])], -1
        )
        keys = torch.cat([torch.cat([k, zero], -1), key], 2)
        values = torch.cat([torch.cat([v, zero], -1), torch.zeros_like(key)], 2)
        queries = torch.cat([q / math.sqrt(3), one], -1)
        return attention_reference(queries, keys, values, scale=1.0)[..., :-1]

    torch.testing.assert_close(run(attention_reference, x), run(with_a_key_more, x))
    none = attention_reference(x.q, x.k, x.v)
    torch.testing.assert_close(attention_reference(x.q, x.k, x.v, sinks=sinks - 100), none)
    assert attention_reference(x.q, x.k, x.v, sinks=sinks + 100).abs().max() < 1e-30


def test_packed_sequences_are_as_each_alone():
    x = draw_case(30, 30, B=1, lengths=((4, 7), (0, 3), (9, 2), (5, 0)), options={"causal": True})
    o = attention_reference(x.q, x.k, x.v, **x.options)
    places = ((0, 4, 0, 7), (4, 13, 10, 12))
    for a, b, c, d in places:
        alone = attention_reference(x.q[:, :, a:b], x.k[:, :, c:d], x.v[:, :, c:d], causal=True)
        torch.testing.assert_close(o[:, :, a:b], alone)
    assert x.q[:, :, 18:].isnan().all()
    assert not o[:, :, 13:].any()


def test_whoever_sees_no_key_has_the_sink_for_a_log_sum_or_none():
    x = draw_case(3, 0, options={"sinks": True})
    o, lse = attend(x.q, x.k, x.v, options_of(x))
    torch.testing.assert_close(lse, x.options["sinks"][:, None].expand(2, 2, 3))
    assert not o.any()
    o, lse = attend(x.q, x.k, x.v, check_attention(x.q, x.k, x.v))
    assert lse.isneginf().all()
    assert not o.any()


@pytest.mark.parametrize("causal", [False, True])
@pytest.mark.parametrize("window", [None, 1, 3, 10**12])
def test_the_reach_says_who_is_visible(causal, window):
    x = draw_case(1, 1)
    options = check_attention(x.q, x.k, x.v, causal=causal, window=window)
    i, j = torch.arange(-5, 12)[:, None], torch.arange(9)
    expected = torch.ones(17, 9, dtype=torch.bool)
    if causal:
        expected &= j <= i
    if window is not None:
        expected &= i - window < j
        if not causal:
            expected &= j < i + window
    assert (visible(i, j, options) == expected).all()
    back, ahead = reach(options)
    assert max(back, ahead) <= FAR


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_the_reference_meets_its_own_bounds_in_float32(case):
    check(attention_reference, case, torch.float32)
