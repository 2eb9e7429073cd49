"""Each error names the argument, what came and what was expected."""

import re

import pytest
import torch

from rlcourse.systems.attention_arguments import check_attention, check_lengths

Q, K = torch.zeros(1, 4, 3, 8), torch.zeros(1, 2, 5, 8)
SLOPES = torch.zeros(4)


def ends(*numbers):
    return torch.tensor(numbers, dtype=torch.int32)


def test_the_scale_is_one_over_the_root_of_the_head_dimension_unless_given():
    options = check_attention(Q, K, K)
    assert options == (8**-0.5, False, None, None, None, None, None)
    assert check_attention(Q, K, K, scale=0.25, causal=True, window=2, softcap=3)[:4] == (
        (0.25, True, 2, 3.0)
    )


def test_slopes_and_sinks_may_be_of_another_float_type_and_lengths_may_be_zero():
    check_attention(Q.half(), K.half(), K.half(), alibi=SLOPES, sinks=SLOPES.double())
    check_attention(Q[:, :, :0], K[:, :, :0], K[:, :, :0], cu_seqlens=(ends(0), ends(0)))
    check_attention(Q[:0], K[:0], K[:0])
    check_attention(Q, K, K, cu_seqlens=(ends(0, 0, 2), ends(0, 5, 5)))


@pytest.mark.parametrize(
    ("tensors", "message"),
    [
        ((None, K, K), "q must be a torch tensor, got NoneType"),
        ((Q[0], K, K), "q must have shape (B, H, N, D), got (4, 3, 8)"),
        ((Q, K[0], K), "k must have shape (B, G, M, D), got (2, 5, 8)"),
        ((Q, K, K[0]), "v must have shape (B, G, M, D), got (2, 5, 8)"),
        ((Q[:, :0], K, K), "q must have shape (B, H, N, D), got (1, 0, 3, 8)"),
        (
            (Q.int(), K, K),
            "q must be of torch.float16, torch.bfloat16, torch.float32, torch.float64",
        ),
        ((Q, K.double(), K), "k must be of torch.float32 as q is, got torch.float64"),
        ((Q, K, K.half()), "v must be of torch.float32 as q is, got torch.float16"),
        ((Q, K.to("meta"), K), "k must be on cpu as q is, got meta"),
        ((Q, K[..., :4], K), "k must have shape (1, G, M, 8) as q has, got (1, 2, 5, 4)"),
        ((Q, K, K[:, :, :2]), "v must have shape (1, 2, 5, 8) as k has, got (1, 2, 2, 8)"),
        ((Q[:, :3], K, K), "q must have a multiple of the 2 heads of k, got 3 heads"),
    ],
)
def test_tensors_that_do_not_fit_are_named(tensors, message):
    with pytest.raises(ValueError, match=re.escape(message)):
        check_attention(*tensors)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (dict(scale=float("nan")), "scale must be finite, got nan"),
        (dict(window=0), "window must be an integer of at least 1, got 0"),
        (dict(window=2.5), "window must be an integer of at least 1, got 2.5"),
        (dict(softcap=0.0), "softcap must be positive, got 0.0"),
        (dict(alibi=0.5), "alibi must be a torch tensor, got float"),
        (dict(alibi=SLOPES[:2]), "alibi must have shape (4,), one a head, got (2,)"),
        (dict(alibi=SLOPES.clone().requires_grad_()), "alibi must not require a gradient"),
        (dict(sinks=SLOPES[None]), "sinks must have shape (4,), one a head, got (1, 4)"),
        (dict(sinks=SLOPES.int()), "sinks must be of torch.float16"),
        (dict(sinks=SLOPES.to("meta")), "sinks must be on cpu as q is, got meta"),
        (dict(cu_seqlens=ends(0, 3)), "cu_seqlens must be a pair (cu_q, cu_k), got tensor"),
        (dict(cu_seqlens=([0, 3], [0, 5])), "cu_q must be a tensor of int32 on cpu, got list"),
        (dict(cu_seqlens=(ends(0, 3), ends(0, 5).long())), "cu_k must be a tensor of int32 on cpu"),
        (dict(cu_seqlens=(ends(), ends())), "cu_q must have shape (P + 1,), got (0,)"),
        (dict(cu_seqlens=(ends(0, 3), ends(0, 2, 5))), "cu_k must have shape (2,) as cu_q has"),
        (dict(cu_seqlens=(ends(1, 3), ends(0, 5))), "cu_q must begin with 0, got 1"),
        (
            dict(cu_seqlens=(ends(0, 3, 1), ends(0, 1, 5))),
            "cu_q must not decrease, got 3 and then 1",
        ),
        (dict(cu_seqlens=(ends(0, 3), ends(0, 6))), "cu_k must not exceed the length 5, got 6"),
    ],
)
def test_options_that_mean_nothing_are_named(options, message):
    with pytest.raises(ValueError, match=re.escape(message)):
        check_attention(Q, K, K, **options)


def test_packed_sequences_are_one_batch():
    with pytest.raises(
        ValueError, match="q must have batch size 1 where sequences are packed, got 2"
    ):
        check_attention(
            Q.expand(2, -1, -1, -1), K.expand(2, -1, -1, -1), K.expand(2, -1, -1, -1),
            cu_seqlens=(ends(0, 3), ends(0, 5)),
        )  # fmt: skip


def test_lengths_are_read_on_the_cpu_alone():
    """Elsewhere they would have to be waited for; `meta` tensors have no numbers to read."""
    q, k, cu = Q.to("meta"), K.to("meta"), ends(0, 9).to("meta")
    assert check_attention(q, k, k, cu_seqlens=(cu, cu)).cu_seqlens == (cu, cu)
    with pytest.raises(ValueError, match="cu_q must not exceed the length 3, got 9"):
        check_lengths((ends(0, 9), ends(0, 5)), 3, 5)
