"""The six exercises of the transformer chapter: RMSNorm, rotary positions, attention with grouped
queries, SwiGLU, the mask of a padded batch, and positions in a packed one. Where tensors of floats
come in, gradients are graded too.

Axes differ in size and vary: B batch, H heads, G groups, N queries, M keys, T tokens, D head
dimension, C width.
"""

import math

import torch
from torch.nn import functional as F

from rlcourse.exercises.deep.policy_gradient import tensor
from rlcourse.grading import exercise
from rlcourse.language import activations, attention, masks, rotary, transformer
from rlcourse.language.rotary import frequencies

FAR = 1e4


def normal(rng, *shape, size=1.0):
    return tensor(size * rng.normal(size=shape))


# ------------------------------------------------------------------------------- RMSNorm

rms_norm = exercise(
    transformer.rms_norm,
    nudge="Which one number does each row share? It is a mean of squares, and ε keeps its root "
    "away from 0.",
    worked={
        "x": torch.tensor([[3.0, -4.0], [0.0, 0.0]], dtype=torch.float64),
        "weight": torch.tensor([1.0, 2.0], dtype=torch.float64),
        "eps": 0.5,
    },
)


def stream(rng, *shape, size=1.0, mean=0.0, eps=1e-6):
    return {
        "x": normal(rng, *shape, size=size) + mean,
        "weight": normal(rng, shape[-1]) + 0.5,
        "eps": eps,
    }


@rms_norm.check(points=1, gradients=("x", "weight"))
def test_rms_norm_brings_each_row_to_one_size(rng):
    """rms_norm divides each row by the root of its mean square, and multiplies by the weight"""
    for shape in ((3, 5), (7,), (2, 3, 8), (4, 6), (1, 9)):
        yield stream(rng, *shape)
    yield stream(rng, 5, 1)


@rms_norm.check(points=1, gradients=("x", "weight"))
def test_rms_norm_takes_no_mean_away(rng):
    for shape, mean in (((3, 5), 4.0), ((2, 7), -3.0), ((2, 4, 3), 30.0)):
        yield stream(rng, *shape, mean=mean)


@rms_norm.check(points=1, gradients=("x", "weight"))
def test_rms_norm_has_its_epsilon_under_the_root(rng):
    """rms_norm adds ε to the mean square: small rows stay small, and a row of 0 stays 0"""
    for size, eps in ((1e-3, 1e-6), (1e-4, 1e-5), (0.3, 0.2)):
        yield stream(rng, 4, 6, size=size, eps=eps)
    case = stream(rng, 5, 3, eps=1e-5)
    rows = tensor(rng.permutation([0.0, 1e-5, 1e-3, 1.0, 0.0]))[:, None]
    yield case | {"x": case["x"] * rows}


@rms_norm.check(points=1, gradients=("x", "weight"))
def test_rms_norm_is_the_same_for_rows_of_ten_thousand(rng):
    """rms_norm of rows of ten thousand, of either sign, is that of ordinary ones"""
    for sign in (1, -1):
        yield stream(rng, 3, 7, size=FAR, mean=sign * FAR)
    case = stream(rng, 4, 5)
    yield case | {"x": case["x"] * tensor(rng.permutation([FAR, -FAR, 1.0, 1e-2]))[:, None]}


@rms_norm.misconception("LayerNorm takes the mean away. RMSNorm doesn't: no x - mean(x).")
def takes_the_mean_away(x, weight, eps):
    z = x - x.mean(-1, keepdim=True)
    return weight * z * torch.rsqrt(z.square().mean(-1, keepdim=True) + eps)


@rms_norm.misconception("A variance takes the mean away. The mean square doesn't: mean(x²).")
def divides_by_the_standard_deviation(x, weight, eps):
    return weight * x * torch.rsqrt(x.var(-1, keepdim=True, correction=0) + eps)


@rms_norm.misconception("ε stands under the root: √(mean(x²) + ε), not √mean(x²) + ε.")
def adds_epsilon_to_the_root(x, weight, eps):
    z = x.square().mean(-1, keepdim=True)
    root = torch.where(z > 0, z, 1.0).sqrt() * (z > 0)
    return weight * x / (root + eps)


@rms_norm.misconception("The squares are averaged, not summed: a row of √C ones has size 1.")
def divides_by_the_length(x, weight, eps):
    return weight * x * torch.rsqrt(x.square().sum(-1, keepdim=True) + eps)


@rms_norm.misconception("The weight is the factor itself. 1 + w is Gemma's way to store it.")
def adds_one_to_the_weight(x, weight, eps):
    return transformer.rms_norm(x, 1 + weight, eps)


@rms_norm.misconception("Each number of a row has a weight of its own: multiply by it at the end.")
def forgets_the_weight(x, weight, eps):
    return transformer.rms_norm(x, torch.ones_like(weight), eps)


@rms_norm.misconception("Each row has a size of its own: the mean goes over the last axis alone.")
def shares_one_size_among_all_rows(x, weight, eps):
    return weight * x * torch.rsqrt(x.square().mean() + eps)


@rms_norm.misconception("ε comes as an argument: models have 1e-5 or 1e-6, and tests other values.")
def has_an_epsilon_of_its_own(x, weight, eps):
    return transformer.rms_norm(x, weight, 1e-6)


@rms_norm.misconception("The size must not be detached: x has a gradient through it too.")
def passes_no_gradient_through_the_size(x, weight, eps):
    return weight * x * torch.rsqrt(x.detach().square().mean(-1, keepdim=True) + eps)


@rms_norm.misconception("Divide by the root of the mean square, not by the mean square.")
def forgets_the_root(x, weight, eps):
    return weight * x / (x.square().mean(-1, keepdim=True) + eps)


@rms_norm.control
def by_pytorch(x, weight, eps):
    return F.rms_norm(x, (x.shape[-1],), weight, eps)


@rms_norm.control
def with_a_norm(x, weight, eps):
    wide = torch.cat([x / x.shape[-1] ** 0.5, torch.full_like(x[..., :1], eps**0.5)], -1)
    return x / wide.norm(dim=-1, keepdim=True) * weight


# ------------------------------------------------------------------------------- rotary positions

rotate = exercise(
    rotary.rotate,
    nudge="Take the pair (x_i, x_{i + D/2}) for a point of the plane. By which angle does it turn "
    "at position p, and which pair turns fastest?",
    worked={
        "x": torch.tensor([[1.0, 0.0, 0.0, 0.0], [0.0, 1.0, 0.0, 0.0]], dtype=torch.float64),
        "positions": torch.tensor([1, 1]),
        "theta": 100.0,
    },
)


def text(rng, *shape, start=0, theta=None):
    """x of shape (..., T, D) with positions that count on from a start."""
    return {
        "x": normal(rng, *shape),
        "positions": start + torch.arange(shape[-2]),
        "theta": theta or float(rng.uniform(20, 20_000)),
    }


@rotate.check(points=1, gradients=("x",))
def test_rotate_turns_the_first_pair_by_a_radian_a_position(rng):
    """rotate turns the pair (0, D/2) by one radian a position"""
    for t, d in ((5, 2), (3, 2), (1, 2)):
        yield text(rng, t, d)


@rotate.check(points=2, gradients=("x",))
def test_rotate_turns_each_pair_at_a_speed_of_its_own(rng):
    """rotate turns the pair (i, i + D/2) by p θ^(-2i/D)"""
    for shape in ((5, 4), (3, 8), (7, 6), (2, 3, 5, 4), (3, 7, 10)):
        yield text(rng, *shape)
    yield text(rng, 4, 6, theta=10_000.0)


@rotate.check(points=1, gradients=("x",))
def test_rotate_reads_the_positions_it_is_given(rng):
    """rotate reads the positions: they may start anywhere, repeat, and differ among the rows"""
    yield text(rng, 4, 6, start=3)
    yield text(rng, 3, 4, start=-5)
    yield text(rng, 3, 8) | {"positions": tensor(rng.permutation([0, 7, 7]))}
    for b, h, t, d in ((2, 3, 5, 4), (3, 2, 4, 6)):
        positions = torch.stack([torch.arange(t).sub(i).clamp(min=0) for i in range(b)])
        yield text(rng, b, h, t, d) | {"positions": positions[:, None]}


@rotate.check(points=1, gradients=("x",))
def test_rotate_is_exact_at_far_positions(rng):
    """rotate is exact at position 100 000 and for numbers of ten thousand"""
    for start in (4096, 100_000):
        yield text(rng, 3, 8, start=start)
    case = text(rng, 5, 4, start=131_000, theta=1e6)
    yield case | {"x": FAR * case["x"]}


def turned(x, angle):
    """Pairs of halves turned by angles (..., D/2)."""
    a, b = x.chunk(2, -1)
    return torch.cat([a * angle.cos() - b * angle.sin(), b * angle.cos() + a * angle.sin()], -1)


def angles(x, positions, theta):
    return positions[..., None] * frequencies(x.shape[-1], theta)


@rotate.misconception("The pairs are (i, i + D/2), not neighbours: halves, as the hub has them.")
def turns_neighbours(x, positions, theta):
    a = angles(x, positions, theta)
    even, odd = x[..., 0::2], x[..., 1::2]
    pairs = [even * a.cos() - odd * a.sin(), odd * a.cos() + even * a.sin()]
    return torch.stack(pairs, -1).flatten(-2)


@rotate.misconception("It turns the other way round: a cos - b sin, and b cos + a sin.")
def turns_backwards(x, positions, theta):
    return turned(x, -angles(x, positions, theta))


@rotate.misconception("Pair i has the speed θ^(-2i/D): of D/2 pairs the last is nearly at 1/θ.")
def has_half_the_exponent(x, positions, theta):
    half = x.shape[-1] // 2
    omega = theta ** -(torch.arange(half, dtype=torch.float64) / x.shape[-1])
    return turned(x, positions[..., None] * omega)


@rotate.misconception("θ is an argument: 10 000 in the first papers, a million in Qwen.")
def has_a_theta_of_its_own(x, positions, theta):
    return rotary.rotate(x, positions, 10_000.0)


@rotate.misconception(
    "Positions come as an argument: behind a cache or padding they start elsewhere."
)
def counts_for_itself(x, positions, theta):
    return rotary.rotate(x, torch.arange(x.shape[-2]), theta)


@rotate.misconception("The fast pairs come first: θ^(-2i/D) falls with i.")
def has_the_slow_pairs_first(x, positions, theta):
    return turned(x, positions[..., None] * frequencies(x.shape[-1], theta).flip(0))


@rotate.misconception("A frequency grows with i here. It falls: the exponent is negative.")
def turns_ever_faster(x, positions, theta):
    return turned(x, positions[..., None] / frequencies(x.shape[-1], theta))


@rotate.misconception("float32 holds an angle of 100 000 radians to two digits only: use float64.")
def has_angles_of_half_precision(x, positions, theta):
    return turned(x, angles(x, positions, theta).float()).to(x.dtype)


@rotate.misconception("Both halves turn: the second one is b cos + a sin.")
def forgets_to_mix_the_second_half(x, positions, theta):
    c, s = angles(x, positions, theta).cos(), angles(x, positions, theta).sin()
    a, b = x.chunk(2, -1)
    return torch.cat([a * c - b * s, b * c - a * s], -1)


@rotate.control
def with_complex_numbers(x, positions, theta):
    z = torch.complex(*x.chunk(2, -1))
    i = torch.arange(z.shape[-1], dtype=torch.float64)
    angle = positions[..., None] * torch.exp(-2 * i / x.shape[-1] * math.log(theta))
    z = z * torch.polar(torch.ones_like(angle), angle)
    return torch.cat([z.real, z.imag], -1)


@rotate.control
def with_the_half_turned(x, positions, theta):
    d = x.shape[-1]
    omega = torch.tensor([theta ** (-2 * i / d) for i in range(d // 2)], dtype=torch.float64)
    angle = (positions.unsqueeze(-1) * omega).repeat_interleave(2, -1)
    angle = torch.cat([angle[..., 0::2], angle[..., 1::2]], -1)
    back = torch.cat([-x[..., d // 2 :], x[..., : d // 2]], -1)
    return x * angle.cos() + back * angle.sin()


# ------------------------------------------------------------------------------- grouped attention

grouped_attention = exercise(
    attention.grouped_attention,
    nudge="With four heads of queries and two of keys, which heads read the first one? And what "
    "does a softmax make of a row of -inf?",
    worked={
        "q": torch.tensor([[[[1.0, 0.0]], [[0.0, 2.0]]]], dtype=torch.float64),
        "k": torch.tensor([[[[1.0, 0.0], [0.0, 1.0], [4.0, 4.0]]]], dtype=torch.float64),
        "v": torch.tensor([[[[1.0, 0.0], [0.0, 1.0], [9.0, 9.0]]]], dtype=torch.float64),
        "mask": torch.tensor([[True, True, False]]),
    },
)


def heads(rng, b, h, g, n, m, d, seen=None, size=1.0):
    """q, k, v of these sizes; all is seen unless a mask is given."""
    return {
        "q": normal(rng, b, h, n, d, size=size),
        "k": normal(rng, b, g, m, d, size=size),
        "v": normal(rng, b, g, m, d),
        "mask": torch.ones(n, m, dtype=torch.bool) if seen is None else seen,
    }


def causal(n, m):
    return masks.causal_mask(n, m)


ATTENTION = ("q", "k", "v")


@grouped_attention.check(points=1, gradients=ATTENTION)
def test_attention_weighs_values_by_a_softmax_of_scaled_products(rng):
    """attention weighs the values by a softmax over the keys of q·k / √D"""
    for n, m, d in ((4, 5, 3), (3, 7, 5), (1, 6, 2)):
        yield heads(rng, 1, 1, 1, n, m, d)
        yield heads(rng, 2, 1, 1, n, m, 9)


@grouped_attention.check(points=1, gradients=ATTENTION)
def test_attention_shares_a_head_of_keys_among_neighbours(rng):
    """query head h reads key head h // (H/G): neighbours share one"""
    for b, h, g in ((1, 4, 2), (2, 6, 3), (1, 6, 2), (1, 8, 4)):
        yield heads(rng, b, h, g, 9, 5, 7)
    yield heads(rng, 2, 4, 1, 3, 6, 5)
    yield heads(rng, 3, 5, 5, 2, 4, 6)


@grouped_attention.check(points=1, gradients=ATTENTION)
def test_attention_gives_no_weight_to_keys_that_are_not_seen(rng):
    """keys that are not seen have no weight, and the others share 1 among them"""
    yield heads(rng, 1, 2, 1, 4, 6, 3, causal(4, 6))
    yield heads(rng, 3, 4, 2, 5, 7, 6, masks.causal_mask(5, 7, 2))
    case = heads(rng, 2, 8, 4, 3, 7, 5, causal(3, 7)[None, None])
    yield case | {
        "mask": case["mask"] & tensor(rng.random((2, 1, 1, 7)) < 0.7) | torch.eye(3, 7).bool()
    }
    hidden = torch.arange(6) >= 4
    case = heads(rng, 1, 3, 1, 2, 6, 4, ~hidden[None])
    yield case | {"k": torch.where(hidden[:, None], FAR, case["k"])}


@grouped_attention.check(points=1, gradients=ATTENTION)
def test_attention_of_a_query_that_sees_nothing_is_zero(rng):
    """a query that sees no key gets 0, and passes no NaN on"""
    blind = tensor(rng.permutation([True, False, False, True]))[:, None]
    yield heads(rng, 1, 2, 1, 4, 6, 3, causal(4, 6) & ~blind)
    yield heads(rng, 3, 6, 2, 4, 5, 7, ~blind.expand(4, 5))
    row = torch.zeros(1, 1, 1, 7, dtype=torch.bool)
    yield heads(rng, 1, 3, 1, 2, 7, 5, row)


@grouped_attention.check(points=1, gradients=ATTENTION)
def test_attention_is_finite_for_scores_of_ten_thousand(rng):
    """attention is finite for scores of ten thousand, of either sign"""
    yield heads(rng, 1, 4, 2, 3, 5, 7, causal(3, 5), size=70)
    yield heads(rng, 3, 2, 1, 4, 6, 5, size=100)
    case = heads(rng, 1, 2, 1, 3, 4, 5)
    q, k = case["q"].abs(), case["k"].abs()
    yield case | {"q": 60 * q, "k": -60 * k}
    yield case | {"q": 60 * q, "k": 60 * k}


def spread(q, k, v):
    """k and v with a head for each head of q."""
    shared = q.shape[1] // k.shape[1]
    return k.repeat_interleave(shared, 1), v.repeat_interleave(shared, 1)


def weigh(s, v, mask):
    p = torch.softmax(s.masked_fill(~mask, -torch.inf), -1)
    return p.masked_fill(~mask, 0) @ v


@grouped_attention.misconception(
    "Neighbours share a head of keys: repeat_interleave, not repeat, which deals them out in turn."
)
def deals_the_heads_out_in_turn(q, k, v, mask):
    shared = q.shape[1] // k.shape[1]
    return attention.grouped_attention(
        q, k.repeat(1, shared, 1, 1), v.repeat(1, shared, 1, 1), mask
    )


@grouped_attention.misconception("Scores are divided by √D, or they grow with the dimension.")
def forgets_the_scale(q, k, v, mask):
    return attention.grouped_attention(q * q.shape[-1] ** 0.5, k, v, mask)


@grouped_attention.misconception("A sum of D products has standard deviation √D: divide by that.")
def divides_by_the_dimension(q, k, v, mask):
    return attention.grouped_attention(q / q.shape[-1] ** 0.5, k, v, mask)


@grouped_attention.misconception("The keys compete, not the queries: softmax over the last axis.")
def normalises_over_the_queries(q, k, v, mask):
    k, v = spread(q, k, v)
    s = (q @ k.mT / q.shape[-1] ** 0.5).masked_fill(~mask, -torch.inf)
    return torch.softmax(s, -2).nan_to_num(0) @ v


@grouped_attention.misconception(
    "What is hidden must leave the sum as well: mask the scores with -inf, before the softmax."
)
def hides_after_the_softmax(q, k, v, mask):
    k, v = spread(q, k, v)
    return torch.softmax(q @ k.mT / q.shape[-1] ** 0.5, -1).masked_fill(~mask, 0) @ v


@grouped_attention.misconception(
    "A softmax of a row of -inf is NaN: put 0 where nothing is seen, after the softmax."
)
def meets_nan_where_nothing_is_seen(q, k, v, mask):
    k, v = spread(q, k, v)
    s = (q @ k.mT / q.shape[-1] ** 0.5).masked_fill(~mask, -torch.inf)
    return torch.softmax(s, -1) @ v


@grouped_attention.misconception(
    "With -1e9 for -inf a row that sees nothing becomes a plain mean of all values: it must be 0."
)
def averages_where_nothing_is_seen(q, k, v, mask):
    k, v = spread(q, k, v)
    s = (q @ k.mT / q.shape[-1] ** 0.5).masked_fill(~mask, -1e9)
    return torch.softmax(s, -1) @ v


@grouped_attention.misconception("True means: may be seen. It is what is False that must go.")
def hides_what_is_seen(q, k, v, mask):
    return attention.grouped_attention(q, k, v, ~mask)


@grouped_attention.misconception(
    "A Boolean mask added to the scores favours what is seen by 1, and hides nothing."
)
def adds_the_mask_to_the_scores(q, k, v, mask):
    k, v = spread(q, k, v)
    return torch.softmax(q @ k.mT / q.shape[-1] ** 0.5 + mask, -1) @ v


@grouped_attention.misconception("The mask comes as an argument, and the keys it hides must go.")
def forgets_the_mask(q, k, v, mask):
    return attention.grouped_attention(q, k, v, torch.ones_like(mask))


@grouped_attention.misconception("exp of a large score is inf: let softmax subtract the row's max.")
def overflows(q, k, v, mask):
    k, v = spread(q, k, v)
    p = torch.exp(q @ k.mT / q.shape[-1] ** 0.5) * mask
    total = p.sum(-1, keepdim=True)
    return p / torch.where(total == 0, 1.0, total) @ v


@grouped_attention.control
def group_by_group(q, k, v, mask):
    b, h, n, d = q.shape
    g, m = k.shape[1], k.shape[2]
    s = torch.einsum("bgsnd,bgmd->bgsnm", q.reshape(b, g, h // g, n, d), k) / math.sqrt(d)
    mask = mask.expand(b, h, n, m).reshape(b, g, h // g, n, m)
    return torch.einsum("bgsnm,bgmd->bgsnd", weigh_by_hand(s, mask), v).reshape(b, h, n, d)


def weigh_by_hand(s, mask):
    s = torch.where(mask, s, -torch.inf)
    top = s.amax(-1, keepdim=True).detach()
    p = torch.exp(s - torch.where(top == -torch.inf, 0, top))
    total = p.sum(-1, keepdim=True)
    return p / torch.where(total == 0, 1, total)


# ------------------------------------------------------------------------------- SwiGLU

swiglu = exercise(
    activations.swiglu,
    nudge="Two views of x meet in a product. Which of the two goes through the curve first?",
    worked={
        "x": torch.tensor([1.0, -1.0], dtype=torch.float64),
        "w_gate": torch.tensor([[1.0, 0.0], [0.0, 1.0], [0.0, 0.0]], dtype=torch.float64),
        "w_up": torch.tensor([[2.0, 0.0], [2.0, 0.0], [2.0, 0.0]], dtype=torch.float64),
        "w_down": torch.tensor([[1.0, 1.0, 5.0]], dtype=torch.float64),
    },
)


def layer(rng, *shape, hidden, size=1.0):
    c = shape[-1]
    return {
        "x": normal(rng, *shape, size=size),
        "w_gate": normal(rng, hidden, c),
        "w_up": normal(rng, hidden, c),
        "w_down": normal(rng, c, hidden),
    }


LAYER = ("x", "w_gate", "w_up", "w_down")


@swiglu.check(points=2, gradients=LAYER)
def test_swiglu_is_a_product_of_a_gate_and_a_view(rng):
    """swiglu is W_down of silu(W_gate x) times W_up x"""
    for shape, hidden in (((4, 3), 8), ((5,), 2), ((2, 3, 5), 7), ((1, 6), 3)):
        yield layer(rng, *shape, hidden=hidden)


@swiglu.check(points=1, gradients=LAYER)
def test_swiglu_lets_a_closed_gate_pass_nothing(rng):
    """swiglu passes nothing where the gate is far below 0, and its input where far above"""
    for sign in (1, -1):
        case = layer(rng, 4, 3, hidden=5)
        yield case | {"x": case["x"].abs(), "w_gate": sign * FAR * case["w_gate"].abs()}
    yield layer(rng, 2, 7, hidden=4, size=300)


def glu(curve, x, w_gate, w_up, w_down):
    return F.linear(curve(F.linear(x, w_gate)) * F.linear(x, w_up), w_down)


@swiglu.misconception("The gate is silu(z) = z σ(z). σ alone makes the older GLU.")
def gates_with_a_sigmoid(x, w_gate, w_up, w_down):
    return glu(torch.sigmoid, x, w_gate, w_up, w_down)


@swiglu.misconception("GELU in the gate makes GEGLU: close, but checkpoints know the difference.")
def gates_with_gelu(x, w_gate, w_up, w_down):
    return glu(F.gelu, x, w_gate, w_up, w_down)


@swiglu.misconception("ReLU in the gate makes ReGLU: silu is smooth and a little below 0.")
def gates_with_relu(x, w_gate, w_up, w_down):
    return glu(F.relu, x, w_gate, w_up, w_down)


@swiglu.misconception("The curve goes over the gate's view, not over the other one.")
def bends_the_other_view(x, w_gate, w_up, w_down):
    return glu(F.silu, x, w_up, w_gate, w_down)


@swiglu.misconception("The two views meet in a product, not in a sum.")
def adds_the_views(x, w_gate, w_up, w_down):
    return F.linear(F.silu(F.linear(x, w_gate)) + F.linear(x, w_up), w_down)


@swiglu.misconception("One view stays straight: silu(W_gate x) · W_up x, not silu of both.")
def bends_both_views(x, w_gate, w_up, w_down):
    return F.linear(F.silu(F.linear(x, w_gate)) * F.silu(F.linear(x, w_up)), w_down)


@swiglu.misconception("The curve comes before the product: silu(a) b, not silu(a b).")
def bends_the_product(x, w_gate, w_up, w_down):
    return F.linear(F.silu(F.linear(x, w_gate) * F.linear(x, w_up)), w_down)


@swiglu.misconception("Without W_up x it is an ordinary layer with Swish: multiply by that view.")
def forgets_the_second_view(x, w_gate, w_up, w_down):
    return F.linear(F.silu(F.linear(x, w_gate)), w_down)


@swiglu.misconception("A gate that is no data: no .detach() there, it must learn as well.")
def gates_without_a_gradient(x, w_gate, w_up, w_down):
    return F.linear(F.silu(F.linear(x, w_gate)).detach() * F.linear(x, w_up), w_down)


@swiglu.control
def with_matrix_products(x, w_gate, w_up, w_down):
    z = x @ w_gate.T
    return (z * torch.sigmoid(z) * (x @ w_up.T)) @ w_down.T


# ------------------------------------------------------------------------------- the padded mask

padded_mask = exercise(
    masks.padded_mask,
    nudge="The last query stands at the last key. So where among the keys does query i stand? And "
    "who may look at padding: nobody, but for one?",
    worked={"present": torch.tensor([[False, True, True], [True, True, True]]), "n": 2},
)


def padded(rng, b, m, n, window=None, left=True):
    """A batch whose rows have different numbers of tokens, one of them all."""
    tokens = rng.permutation(rng.integers(1, m + 1, size=b))
    tokens[rng.integers(b)] = m
    place = torch.arange(m)
    pad = m - tensor(tokens)[:, None]
    present = place >= pad if left else place < m - pad
    case = {"present": present, "n": n}
    return case if window is None else case | {"window": window}


@padded_mask.check(points=1)
def test_the_mask_hides_what_comes_later(rng):
    """the mask lets a query see itself and what stands before it, and nothing after"""
    for b, m in ((2, 5), (3, 4), (1, 6)):
        yield {"present": torch.ones(b, m, dtype=torch.bool), "n": m}


@padded_mask.check(points=1)
def test_the_mask_sets_the_last_query_at_the_last_key(rng):
    """with fewer queries than keys the last query stands at the last key"""
    for b, m, n in ((2, 5, 3), (3, 7, 2), (1, 4, 1)):
        yield {"present": torch.ones(b, m, dtype=torch.bool), "n": n}


@padded_mask.check(points=2)
def test_the_mask_hides_padding_from_all_but_itself(rng):
    """padding is seen by nobody, wherever it stands, except that a query sees itself"""
    for b, m, n in ((3, 5, 5), (4, 7, 7), (3, 6, 4), (5, 8, 2)):
        yield padded(rng, b, m, n)
        yield padded(rng, b, m, n, left=False)
    yield {"present": tensor(rng.random((3, 8)) < 0.6), "n": 8}
    yield {"present": torch.zeros(2, 3, dtype=torch.bool), "n": 3}
    yield {"present": tensor(rng.permuted(np_halves(4, 7), axis=1)), "n": 5}


def np_halves(rows, columns):
    return (torch.arange(rows * columns).reshape(rows, columns) % 2).long().numpy()


@padded_mask.check(points=1)
def test_the_mask_of_a_window_ends_behind(rng):
    """with a window w a query sees itself and w - 1 places before it"""
    for b, m, n, window in ((2, 7, 7, 3), (3, 5, 4, 1), (4, 6, 1, 2), (2, 5, 3, 9)):
        yield padded(rng, b, m, n, window)
    yield {"present": torch.ones(2, 6, dtype=torch.bool), "n": 5, "window": 3}
    yield {"present": tensor(rng.permuted(np_halves(3, 8), axis=1)), "n": 8, "window": 4}


@padded_mask.check(points=1)
def test_the_mask_refuses_more_queries_than_keys(rng):
    """more queries than keys, and a window below 1, raise ValueError"""
    yield padded(rng, 2, 4, 5)
    yield padded(rng, 3, 5, 9)
    yield padded(rng, 3, 5, 4, 0)
    yield padded(rng, 2, 4, 3, -2)
    yield padded(rng, 3, 5, 5)
    yield padded(rng, 2, 6, 4, 1)


def behind(m, n):
    """How far key j lies behind query i: (N, M)."""
    return torch.arange(m - n, m)[:, None] - torch.arange(m)


def refuse(m, n, window):
    if n > m or (window is not None and window < 1):
        raise ValueError("n or window")


def seen_by(present, n, window, back, itself=True):
    """The mask for a given table of how far behind a key lies."""
    refuse(present.shape[1], n, window)
    seen = (back >= 0) & (back < (window or 1 << 30))
    seen = seen & present[:, None, :].bool()
    return (seen | (behind(present.shape[1], n) == 0) if itself else seen)[:, None]


@padded_mask.misconception(
    "The last query stands at the last key: query i at key i + M - N, not at key i."
)
def sets_the_first_query_at_the_first_key(present, n, window=None):
    m = present.shape[1]
    refuse(m, n, window)
    back = torch.arange(n)[:, None] - torch.arange(m)
    seen = (back >= 0) & (back < (window or 1 << 30)) & present[:, None, :].bool()
    return (seen | (back == 0))[:, None]


@padded_mask.misconception(
    "A padding query that sees nothing makes NaN in its softmax: let it see itself."
)
def lets_padding_see_nothing(present, n, window=None):
    return seen_by(present, n, window, behind(present.shape[1], n), itself=False)


@padded_mask.misconception("Padding must be hidden as a key too, from every other token.")
def shows_the_padding(present, n, window=None):
    return seen_by(torch.ones_like(present), n, window, behind(present.shape[1], n)).expand(
        len(present), 1, n, present.shape[1]
    )


@padded_mask.misconception("A token sees no token after it: j <= i.")
def sees_the_future(present, n, window=None):
    return seen_by(present, n, window, behind(present.shape[1], n).abs())


@padded_mask.misconception("The window counts the token itself: it ends w - 1 places behind.")
def has_a_window_of_one_too_many(present, n, window=None):
    refuse(present.shape[1], n, window)
    return seen_by(present, n, window and window + 1, behind(present.shape[1], n))


@padded_mask.misconception("With a window the older keys are hidden: see at most w tokens.")
def forgets_the_window(present, n, window=None):
    refuse(present.shape[1], n, window)
    return seen_by(present, n, None, behind(present.shape[1], n))


@padded_mask.misconception("It is the padding that is hidden: present is True for a token.")
def takes_padding_for_tokens(present, n, window=None):
    return seen_by(~present.bool(), n, window, behind(present.shape[1], n))


@padded_mask.misconception(
    "(B, 1, N, M) is wanted: the axis of the heads has to be there, or B is taken for the heads."
)
def has_no_axis_for_the_heads(present, n, window=None):
    return masks.padded_mask(present, n, window)[:, 0]


@padded_mask.misconception(
    "The first queries would see nothing: more queries than keys must raise ValueError."
)
def accepts_more_queries_than_keys(present, n, window=None):
    m = present.shape[1]
    if window is not None and window < 1:
        raise ValueError("window")
    return (
        seen_by(present, min(n, m), window, behind(m, min(n, m)))
        if n > m
        else (seen_by(present, n, window, behind(m, n)))
    )


@padded_mask.misconception("True means: may see. The mask is turned round.")
def turns_the_mask_round(present, n, window=None):
    return ~masks.padded_mask(present, n, window)


@padded_mask.control
def pair_by_pair(present, n, window=None):
    b, m = present.shape
    if n > m or (window is not None and window <= 0):
        raise ValueError("too many queries, or no window")
    seen = torch.zeros(b, 1, n, m, dtype=torch.bool)
    for r in range(b):
        for i in range(n):
            at = i + m - n
            seen[r, 0, i, at] = True
            for j in range(0 if window is None else max(0, at - window + 1), at):
                seen[r, 0, i, j] = bool(present[r, j])
    return seen


# ------------------------------------------------------------------------------- packed positions

packed_positions = exercise(
    masks.packed_positions,
    nudge="If you knew for each token where its segment began, what would be left to do? A running "
    "maximum remembers the last start.",
    worked={"segments": torch.tensor([[0, 0, 0, 1, 1, -1], [4, 7, 7, 7, 7, 7]])},
)


def packed(rng, b, t, most, shift=0):
    """Rows of T tokens of segments that follow one another, of 1 to `most` tokens."""
    rows = []
    for _ in range(b):
        lengths = rng.integers(1, most + 1, size=t)
        rows.append(torch.arange(t).repeat_interleave(tensor(lengths))[:t] + shift)
    return {"segments": torch.stack(rows)}


@packed_positions.check(points=2)
def test_positions_count_from_zero_within_each_segment(rng):
    for b, t, most in ((1, 9, 4), (2, 7, 5), (3, 12, 6), (4, 10, 3)):
        yield packed(rng, b, t, most)
        yield packed(rng, b, t, most, shift=int(rng.integers(1, 9)))
    yield {"segments": torch.zeros(2, 5, dtype=torch.long)}
    yield {"segments": torch.arange(300).gt(9).long()[None]}
    yield packed(rng, 3, 1, 2)


@packed_positions.check(points=1)
def test_positions_restart_for_padding_and_for_numbers_that_come_again(rng):
    """positions start anew wherever the number changes: at padding (-1), at a number seen before"""
    for b, t in ((2, 8), (3, 7)):
        case = packed(rng, b, t, 3)["segments"]
        yield {"segments": torch.where(torch.arange(t) >= t - 3, -1, case)}
        yield {"segments": torch.where(torch.arange(t) < 2, -1, case)}
        yield {"segments": case % 2}
        yield {"segments": -case}
    yield {"segments": torch.tensor([[5, 5, 3, 3, 3, 5, 5, 5, 5, 0]])}


def starts(segments):
    new = torch.ones_like(segments, dtype=torch.bool)
    new[:, 1:] = segments[:, 1:] != segments[:, :-1]
    return new


@packed_positions.misconception("Each segment is a text of its own: its positions start at 0 anew.")
def counts_on(segments):
    return torch.arange(segments.shape[1]).expand_as(segments).clone()


@packed_positions.misconception("The first token of a segment stands at position 0, not at 1.")
def counts_from_one(segments):
    return masks.packed_positions(segments) + 1


@packed_positions.misconception("What is wanted is the place of a token, not the segment's number.")
def numbers_the_segments(segments):
    return starts(segments).long().cumsum(1) - 1


@packed_positions.misconception(
    "The running maximum goes along the tokens, axis 1: rows have nothing to do with each other."
)
def remembers_across_the_rows(segments):
    t = torch.arange(segments.shape[1])
    return t - torch.where(starts(segments), t, 0).cummax(0).values.cummax(1).values


@packed_positions.misconception("Positions count from the left: 0 is the first token of a segment.")
def counts_from_the_end(segments):
    return masks.packed_positions(segments.flip(1)).flip(1)


@packed_positions.misconception(
    "A number may come again, and padding be in the middle: count anew wherever it changes."
)
def counts_all_of_one_number(segments):
    same = segments[:, :, None] == segments[:, None, :]
    return same.tril().sum(2) - 1


@packed_positions.misconception(
    "Padding is a segment like the others: its positions count from 0 too."
)
def leaves_padding_at_zero(segments):
    return torch.where(segments < 0, 0, masks.packed_positions(segments))


@packed_positions.control
def token_by_token(segments):
    out = torch.zeros_like(segments)
    for b, row in enumerate(segments.tolist()):
        for t in range(1, len(row)):
            out[b, t] = out[b, t - 1] + 1 if row[t] == row[t - 1] else 0
    return out


@packed_positions.control
def with_lengths(segments):
    rows = []
    for row in segments:
        lengths = torch.unique_consecutive(row, return_counts=True)[1]
        rows.append(torch.cat([torch.arange(int(n)) for n in lengths]))
    return torch.stack(rows)
