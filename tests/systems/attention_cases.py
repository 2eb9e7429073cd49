"""The cases that break attention kernels, and what may be asked of the errors.

Every implementation is held to the same list: `check(f, case, dtype)` draws the case's tensors,
runs f and its backward, and compares with the reference in float64 and with the naive computation
in the same type. It needs torch alone, so that it runs wherever a kernel does.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import torch
from torch import Tensor

from rlcourse.systems.attention import attend
from rlcourse.systems.attention_arguments import check_attention

Attention = Callable[..., Tensor]
"""f(q, k, v, **options) -> o"""


class Case(NamedTuple):
    """Shapes and options of a problem; its numbers are drawn by `draw`.

    size     standard deviation of q, hence of the logits
    layout   how the tensors lie in memory, see `lay`
    lengths  (queries, keys) of packed sequences; what N and M have beyond them is NaN
    options  scale, causal, window, softcap as they are; alibi and sinks are True where wanted
    """

    name: str
    B: int = 2
    H: int = 2
    G: int = 2
    N: int = 48
    M: int = 48
    D: int = 16
    size: float = 1.0
    layout: str = "contiguous"
    lengths: tuple[tuple[int, int], ...] | None = None
    options: dict[str, Any] = {}  # noqa: RUF012


def case(name: str, **fields: Any) -> Case:
    """A case: what is no field of it is an option."""
    mine = {key: fields.pop(key) for key in list(fields) if key in Case._fields}
    return Case(name, **mine, options=fields)


PACK = ((5, 5), (33, 33), (1, 1), (16, 16))
HOLES = ((0, 9), (13, 0), (0, 0), (20, 31), (31, 20), (0, 0))  # empty ones, and N > M, and N < M
LIKE_A_MODEL = dict(H=4, G=2, window=21, softcap=5.0, alibi=True, sinks=True)

CASES = (
    case("square"),
    case("one tile and no more", N=16, M=16),
    case("lengths that no tile divides", N=37, M=53),
    case("longer than a tile", B=1, N=150, M=133),
    case("one query", N=1, M=77),
    case("one key", N=40, M=1),
    case("no query", N=0),
    case("no key", M=0),
    case("no batch", B=0),
    case("causal", causal=True),
    case("causal, lengths that no tile divides", N=67, M=67, causal=True),
    case("causal, more keys", N=19, M=70, causal=True),
    case("causal, fewer keys, so that rows see none", N=70, M=19, causal=True),
    case("causal, one query", N=1, M=77, causal=True),
    case("causal, one key", N=40, M=1, causal=True),
    case("causal, no key", M=0, causal=True),
    case("causal, long", B=1, H=1, G=1, N=200, M=200, causal=True),
    case("window", N=100, M=100, window=7),
    case("window, more keys", N=45, M=80, window=11),
    case("window, fewer keys, so that rows see none", N=80, M=30, window=11),
    case("window, first tiles that nobody sees", N=20, M=150, window=9, causal=True),
    case("window, causal", N=100, M=100, window=7, causal=True),
    case("window, causal, fewer keys", N=80, M=45, window=20, causal=True),
    case("window of one", N=40, M=40, window=1),
    case("window of one, causal", N=40, M=40, window=1, causal=True),
    case("window longer than all", window=1000, causal=True),
    case("grouped queries", H=8, G=1),
    case("grouped queries, causal", H=6, G=2, N=33, M=65, causal=True),
    case("softcap", softcap=0.7),
    case("softcap of large logits", size=100.0, softcap=30.0, causal=True),
    case("alibi", N=33, M=57, alibi=True),
    case("alibi, causal, grouped", H=4, N=33, M=57, alibi=True, causal=True),
    case("sinks", sinks=True),
    case("sinks, grouped", H=4, sinks=True, causal=True),
    case("sinks where rows see no key", N=70, M=19, sinks=True, causal=True),
    case("sinks and no key", M=0, sinks=True),
    case("a scale of its own", scale=0.37),
    case("logits of 1e3", size=300.0),
    case("logits of 1e4", size=3000.0, causal=True),
    case("logits of 1e3 and sinks", size=300.0, sinks=True, causal=True),
    *(case(f"head dimension {d}", N=40, M=56, D=d, causal=True) for d in (24, 32, 64, 80, 96)),
    *(case(f"head dimension {d}", B=1, N=40, M=56, D=d, causal=True) for d in (128, 200, 256)),
    *(
        case(f"{layout} inputs", H=4, N=37, M=53, layout=layout, causal=True)
        for layout in ("transposed", "inset", "strided", "expanded")
    ),
    case("packed", B=1, N=55, M=55, lengths=PACK),
    case("packed, causal", B=1, N=55, M=55, lengths=PACK, causal=True),
    case("packed, NaN after the last", B=1, N=70, M=90, lengths=PACK, causal=True),
    case("packed, empty sequences", B=1, N=64, M=60, lengths=HOLES, causal=True),
    case("packed, sinks", B=1, N=70, M=70, lengths=HOLES, sinks=True),
    case("packed, grouped, window", B=1, H=4, N=70, M=70, lengths=PACK, window=4),
    case("all of it", N=33, M=48, causal=True, layout="transposed", **LIKE_A_MODEL),
    case("all of it, packed", B=1, N=70, M=70, lengths=HOLES, causal=True, **LIKE_A_MODEL),
    case("all of it, not causal", N=65, M=48, **LIKE_A_MODEL),
)


class Problem(NamedTuple):
    """Tensors of a case: q, k, v, the gradient of the output, and the options."""

    q: Tensor
    k: Tensor
    v: Tensor
    do: Tensor
    options: dict[str, Any]


def draw(case: Case, dtype: torch.dtype, device: str = "cpu", seed: int = 0) -> Problem:
    """The problem of a case, the same numbers on every device."""
    generator = torch.Generator().manual_seed(seed)

    def normal(*shape: int) -> Tensor:
        return torch.randn(shape, generator=generator, dtype=torch.float64)

    rows, keys = (case.B, case.H, case.N, case.D), (case.B, case.G, case.M, case.D)
    q, k, v, do = case.size * normal(*rows), normal(*keys), normal(*keys), normal(*rows)
    options = dict(case.options)
    if options.pop("sinks", False):
        options["sinks"] = normal(case.H).to(device, dtype)
    if options.pop("alibi", False):
        options["alibi"] = 2.0 ** -torch.arange(1.0, case.H + 1, device=device)
    if case.lengths is not None:
        ends = torch.tensor(((0, 0), *case.lengths)).cumsum(0).int().to(device)
        options["cu_seqlens"] = ends[:, 0].contiguous(), ends[:, 1].contiguous()
        for x, end in ((q, ends[-1, 0]), (do, ends[-1, 0]), (k, ends[-1, 1]), (v, ends[-1, 1])):
            x[:, :, end:] = torch.nan
    laid = (lay(x.to(device, dtype), case.layout) for x in (q, k, v, do))
    return Problem(*laid, options)


def lay(x: Tensor, layout: str) -> Tensor:
    """The numbers of x (B, H, N, D), or some of them, as they may lie in memory.

    transposed  (B, N, H, D) in memory, as a projection leaves them
    inset       in a larger array of NaN, which who reads out of bounds will find
    strided     every second number of a row is another's
    expanded    one head of one batch stands for all
    """
    b, h, n, d = x.shape
    if layout == "transposed":
        return x.transpose(1, 2).contiguous().transpose(1, 2)
    if layout == "inset":
        around = x.new_full((b + 2, h + 2, n + 20, d + 20), torch.nan)
        return around[1:-1, 1:-1, 3:-17, 5:-15].copy_(x)
    if layout == "strided":
        return x.new_full((b, h, n, 2 * d), torch.nan)[..., ::2].copy_(x)
    return x[:1, :1].expand_as(x) if layout == "expanded" else x


Results = dict[str, Tensor]


def run(f: Attention, x: Problem) -> Results:
    """o and the gradients of all that learns: dq, dk, dv, and dsinks where there are sinks."""
    learned = {"q": x.q, "k": x.k, "v": x.v}
    if "sinks" in x.options:
        learned["sinks"] = x.options["sinks"]
    leaves = {name: a.detach().requires_grad_() for name, a in learned.items()}
    o = f(**leaves, **{name: a for name, a in x.options.items() if name not in leaves})
    found = torch.autograd.grad(o, list(leaves.values()), x.do)
    return {"o": o.detach()} | {f"d{name}": a for name, a in zip(leaves, found, strict=True)}


def naive(q: Tensor, k: Tensor, v: Tensor, **options: Any) -> Tensor:
    """The reference, in the type of q."""
    return attend(q, k, v, check_attention(q, k, v, **options))[0]


def exact(x: Problem) -> Problem:
    """The same problem in float64, the numbers as rounded as they were."""
    options = dict(x.options)
    if "sinks" in options:
        options["sinks"] = options["sinks"].double()
    return Problem(*(a.double() for a in x[:4]), options)


def bound(name: str, truth: Tensor, plain: Tensor, case: Case, dtype: torch.dtype) -> float:
    """The largest error allowed: in float32 1e-6 at unit variance, else twice that of `plain`.

    Gradients in 16 bits: three times. But never less than a rounding: one in the last place of the
    largest number, and for gradients what is left where δ and do·v, added up in different orders,
    should have cancelled, times q in dk. The naive computation may happen to be exact there, and
    twice nothing is too little. Nor less than what a few roundings of a large score, four times
    `case.size`, do to weights of nearly equal scores: on which side they fall is the processor's.
    """
    if not truth.numel():
        return 0.0
    top, error = max(1.0, float(truth.abs().max())), float((plain.double() - truth).abs().max())
    eps = torch.finfo(dtype).eps
    tie = 4 * eps * 4 * case.size if case.size > 1 and dtype == torch.float32 else 0.0
    if dtype == torch.float64:
        return 50 * eps * case.size * top
    if name == "o":
        rest = 1e-6 if case.size == 1 and dtype == torch.float32 else eps * top
        return max(2 * error, rest, tie)
    rest = 2e-6 * (max(case.size, top) if name == "dk" else top)
    return max((2 if dtype == torch.float32 else 3) * error, eps * top, rest, tie * top)


def check(
    f: Attention, case: Case, dtype: torch.dtype, device: str = "cpu", seed: int = 0
) -> dict[str, tuple[float, float]]:
    """AssertionError unless f is as exact as may be asked; (error, bound) of each result.

    Rows that see no key, keys that nobody sees and padding must be 0 to the bit.
    """
    x = draw(case, dtype, device, seed)
    found, plain, truth = run(f, x), run(naive, x), run(naive, exact(x))
    assert found.keys() == truth.keys()
    blind, unseen = ((truth[name] == 0).all(-1) for name in ("o", "dv"))
    dead = {"o": blind, "dq": blind, "dk": unseen, "dv": unseen}
    report = {}
    for name, right in truth.items():
        a, where = found[name], f"{case.name}, {dtype}: {name}"
        assert (a.dtype, a.shape) == (plain[name].dtype, right.shape), (where, a.dtype, a.shape)
        assert a.isfinite().all(), f"{where} has NaN or infinite numbers"
        assert not a[dead[name]].any() if name in dead else True, (
            f"{where} isn't 0 where it must be"
        )
        error = float((a.double() - right).abs().max()) if a.numel() else 0.0
        report[name] = error, bound(name, right, plain[name], case, dtype)
        assert error <= report[name][1], f"{where} is off by {error:.2g} > {report[name][1]:.2g}"
    return report
