"""The tiled version against the reference, by finite differences, and under a tracer."""

import pytest
import torch
from attention_cases import CASES, Case, check, draw, exact, run
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from rlcourse.systems.attention import attention_reference
from rlcourse.systems.tiled_attention import tiled_attention

ALL = dict(causal=True, window=9, softcap=2.0, alibi=True, sinks=True)
BLOCKS = ((16, 16), (32, 8), (7, 13), (1, 1), (1, 1000), (1000, 3))


def in_tiles(block_q, block_k):
    def attention(q, k, v, **options):
        return tiled_attention(q, k, v, block_q=block_q, block_k=block_k, **options)

    return attention


class Tracer(TorchDispatchMode):
    """Counts of operations, and the elements of the largest tensor that any of them made."""

    def __init__(self):
        super().__init__()
        self.largest, self.calls = 0, dict[str, int]()

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        made = function(*args, **(kwargs or {}))
        name = str(function).split(".")[1]
        self.calls[name] = self.calls.get(name, 0) + 1
        for x in made if isinstance(made, tuple | list) else (made,):
            if isinstance(x, Tensor):
                self.largest = max(self.largest, x.numel())
        return made


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.float16, torch.bfloat16])
@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_it_is_as_exact_as_may_be_asked(case, dtype):
    check(in_tiles(16, 32), case, dtype)


@pytest.mark.parametrize("blocks", BLOCKS, ids=str)
def test_any_block_sizes_will_do(blocks):
    for case in CASES[-2:]:
        check(in_tiles(*blocks), case, torch.float32)
    rng = torch.Generator().manual_seed(blocks[0])
    for seed in range(12):
        n, m, w = torch.randint(1, 20, (3,), generator=rng).tolist()
        options = {
            "causal": bool(seed % 2),
            "window": w if seed % 3 else None,
            "sinks": seed % 5 == 0,
        }
        case = Case(f"{n} by {m}, {options}", H=4, N=n, M=m, D=5, options=options)
        check(in_tiles(*blocks), case, torch.float64, seed=seed)


@pytest.mark.parametrize(
    "case",
    [
        Case("plain", B=1, D=2, N=5, M=4),
        Case("rows that see no key", B=1, D=2, N=5, M=3, options={"causal": True}),
        Case("all of it", B=1, D=2, N=4, M=5, G=1, options=ALL | {"window": 3}),
        Case("packed", B=1, D=2, N=6, M=7, lengths=((2, 4), (3, 1)), options={"sinks": True}),
    ],
    ids=lambda case: case.name,
)
def test_gradients_are_those_of_finite_differences(case):
    x = exact(draw(case, torch.float32))
    options = {name: a for name, a in x.options.items() if name != "sinks"}
    leaves = [torch.nan_to_num(a).requires_grad_() for a in (x.q, x.k, x.v)]
    sinks = x.options.get("sinks")

    def attention(q, k, v, *sinks):
        return in_tiles(2, 3)(q, k, v, sinks=sinks[0] if sinks else None, **options)

    if sinks is not None:
        leaves.append(sinks.requires_grad_())
    assert torch.autograd.gradcheck(attention, leaves)


@pytest.mark.parametrize("options", [{}, {"causal": True}, ALL], ids=str)
@pytest.mark.parametrize(("n", "m"), [(200, 200), (40, 400)])
@pytest.mark.parametrize("groups", [4, 1])
def test_no_tensor_is_ever_larger_than_the_inputs_and_a_tile(n, m, groups, options):
    """The reference, under the same tracer, makes N x M for each head: five times of that."""
    case = Case("", B=1, H=4, G=groups, N=n, M=m, D=8, options=options)
    x, largest = draw(case, torch.float32), {}
    for f in (in_tiles(16, 16), attention_reference):
        with Tracer() as tracer:
            run(f, x)
        largest[f] = tracer.largest
    ours, naive = largest.values()
    assert ours <= 4 * (n + m) * 8 + 16 * 16
    assert naive >= 4 * n * m > 4 * ours


def test_the_backward_keeps_the_inputs_the_output_and_a_number_for_each_row():
    x, kept = draw(Case("", N=50, M=70, options={"sinks": True}), torch.float32), []
    with torch.autograd.graph.saved_tensors_hooks(kept.append, lambda x: x):
        q = x.q.requires_grad_()
        tiled_attention(q, x.k, x.v, **x.options)
    shapes = [x.q.shape, x.k.shape, x.v.shape, (2,), x.q.shape, x.q.shape[:3]]
    assert [tuple(a.shape) for a in kept] == [tuple(shape) for shape in shapes]


def products(n, m, **options):
    """Matrix products of a forward in tiles of 10 by 10."""
    x = draw(Case("", B=1, H=1, G=1, N=n, M=m, options=options), torch.float32)
    with Tracer() as tracer:
        in_tiles(10, 10)(x.q, x.k, x.v, **x.options)
    assert tracer.calls["mm"] == tracer.calls["addmm_"]  # q kᵀ, and p v
    return tracer.calls["mm"]


def test_tiles_that_nobody_sees_are_left_out():
    assert products(100, 100) == 100
    assert products(100, 100, causal=True) == 55
    assert products(10, 100, causal=True) == 10
    assert products(100, 100, causal=True, window=11) == 1 + 9 * 2
    assert products(100, 100, window=11) == 2 + 8 * 3 + 2


def test_only_tiles_that_some_row_does_not_see_in_full_are_masked():
    x = draw(Case("", B=1, H=1, G=1, N=100, M=100), torch.float32)
    for options, masked in (({}, 0), ({"causal": True}, 10), ({"window": 200}, 0)):
        with Tracer() as tracer:
            in_tiles(10, 10)(x.q, x.k, x.v, **options)
        masks = tracer.calls.get("triu_", 0) + tracer.calls.get("tril_", 0)
        assert masks == masked, options


def test_an_expanded_gradient_is_taken_as_it_comes():
    x = draw(Case("", options={"causal": True}), torch.float64)
    q = x.q.clone().requires_grad_()
    tiled_attention(q, x.k, x.v, causal=True).sum().backward()
    (expected,) = torch.autograd.grad(attention_reference(q, x.k, x.v, causal=True).sum(), q)
    torch.testing.assert_close(q.grad, expected)


def test_only_what_learns_gets_a_gradient():
    x = draw(Case(""), torch.float32)
    v = x.v.requires_grad_()
    tiled_attention(x.q, x.k, v).sum().backward()
    assert x.q.grad is None
    assert v.grad is not None


def test_a_second_derivative_is_refused():
    """Also where the gradient of o is a constant, which would make it a silent zero."""
    x = draw(Case(""), torch.float64)
    q = x.q.requires_grad_()
    with pytest.raises(RuntimeError, match="tiled_attention can be differentiated once"):
        torch.autograd.grad(tiled_attention(q, x.k, x.v).sum(), q, create_graph=True)


def test_no_sequence_at_all_is_zero():
    x = draw(Case("", B=1, lengths=()), torch.float32)
    assert not tiled_attention(x.q, x.k, x.v, **x.options).any()
    assert not run(tiled_attention, x)["dq"].any()


@pytest.mark.parametrize("name", ["block_q", "block_k"])
def test_an_empty_tile_is_refused(name):
    x = draw(Case(""), torch.float32)
    with pytest.raises(ValueError, match=f"{name} must be an integer of at least 1, got 0"):
        tiled_attention(x.q, x.k, x.v, **{name: 0})
