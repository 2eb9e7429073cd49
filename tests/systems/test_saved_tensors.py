"""The hooks see each storage once, in order, and leave out what was there."""

import torch

from rlcourse.systems.memory_counter import storage_bytes
from rlcourse.systems.saved_tensors import explicit_attention, saved_tensors


def test_a_storage_counts_once_in_the_order_of_saving():
    x, p = torch.ones(3, 4, requires_grad=True), torch.ones(4, requires_grad=True)

    def run():
        z = x.exp()  # saves z, 48 bytes
        w = torch.cat([z, z])
        torch.ones(0, requires_grad=True).exp()  # saves nothing to speak of
        return (w * w[:1]).sigmoid() * p  # saves w, the sigmoid and p

    assert [y.untyped_storage().nbytes() for y in saved_tensors(run)][:3] == [48, 96, 96]
    assert storage_bytes(saved_tensors(run)) == 48 + 96 + 96 + 16
    assert storage_bytes(saved_tensors(run, [p[1:]])) == 48 + 96 + 96


def test_nothing_is_saved_where_no_gradient_is_wanted():
    assert saved_tensors(lambda: torch.ones(3).exp()) == []
    x = torch.ones(3, requires_grad=True)
    assert saved_tensors(lambda: x + x) == []
    with torch.no_grad():
        assert saved_tensors(lambda: x.exp()) == []


def test_a_storage_is_held_while_its_address_is_known():
    x = torch.ones(100, requires_grad=True)

    def run():
        for _ in range(20):
            x.exp()  # freed at once, were it not for the list

    assert len(saved_tensors(run)) == 20


def test_explicit_attention_sees_the_past_alone():
    q, k, v = torch.randn(3, 2, 4, 5, 6, generator=torch.Generator().manual_seed(0))
    ours = explicit_attention(q, k[:, :2], v[:, :2], None)
    theirs = torch.nn.functional.scaled_dot_product_attention(
        q, k[:, :2], v[:, :2], is_causal=True, enable_gqa=True
    )
    torch.testing.assert_close(ours, theirs)
