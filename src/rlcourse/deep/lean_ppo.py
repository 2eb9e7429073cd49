"""PPO in NumPy alone, with a gradient derived by hand: nothing is recorded, nothing played back.

Autograd pays for its generality with every operation, and where a network is small that is most of
the bill. Here the chain rule is worked out on paper. A loss meets the networks in their outputs,
the logits z and the values v; from there on it is the backpropagation of any network:

    ∂L/∂z           as `ppo_logits_gradient` has it          (eq-ppo-logits-gradient)
    ∂L/∂v           c (v - G) / N                            (eq-ppo-value-gradient)
    layer           h = tanh(x W + b)
    ∂L/∂W, ∂L/∂b    xᵀ δ and Σ δ, with δ = ∂L/∂h (1 - h²)    (eq-tanh-layer-gradient)
    ∂L/∂x           δ Wᵀ

Policy and value networks have the same hidden layers, so they are one stack of two: each product
serves both. The value network has A outputs too, of which the first counts. All parameters lie in
one vector θ, of which the layers are views: to measure, to shorten and to follow the gradient then
are a few operations, however many layers there are.

    learner = begin(CartPole(16, seeds=0), Settings(), rng=np.random.default_rng(0))
    learn(learner, 100)
    first_episodes(CartPole(100, seeds=1000), greedy(learner)).earned
    saved = copy.deepcopy(learner)      # a checkpoint: it goes on bit for bit

Shapes: E environments, T steps, N samples, D observation size, A actions, P parameters; an axis of
2 holds the policy network and the value network.
Source: Schulman et al. (2017); Kingma and Ba (2015), algorithm 1.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from rlcourse import _check
from rlcourse.deep.environments import Observations, VectorEnvironment
from rlcourse.deep.generalized_advantage import generalized_advantage
from rlcourse.deep.policies import log_softmax
from rlcourse.deep.ppo_gradients import ppo_logits_gradient
from rlcourse.deep.rollouts import Policy
from rlcourse.tabular.mdp import Ints

Array = NDArray[Any]  # of float32, or of float64 in tests
Layer = tuple[Array, Array]  # weights (..., in, out) and biases (..., 1, out)


@dataclass(frozen=True)
class Settings:
    """How to learn. An update sees `steps` steps of each environment, `epochs` times."""

    hidden: tuple[int, ...] = (32, 32)
    gamma: float = 0.98
    lam: float = 0.8
    rate: float = 5e-3
    steps: int = 32
    epochs: int = 6
    minibatches: int = 4
    epsilon: float = 0.2
    value_weight: float = 0.5
    beta: float = 0.0
    most: float = 0.5


@dataclass
class Learner:
    """All that decides how training goes on: a deep copy is a checkpoint.

    s (E, D) is what it sees now; theta (P,) are its parameters; Adam's m and v (P,) are running
    means of the gradient and of its square, over `t` of its steps.
    """

    settings: Settings
    env: VectorEnvironment
    rng: np.random.Generator
    s: Observations
    theta: Array
    m: Array
    v: Array
    t: int = 0
    updates: int = 0


class Samples(NamedTuple):
    """What an update learns from: s (N, D), actions, log π_old(a|s), Â and G, all (N,)."""

    s: Observations
    a: Ints
    log_prob: Array
    advantage: Array
    target: Array


# ------------------------------------------------------------------------------- learning


def begin(env: VectorEnvironment, settings: Settings, *, rng: np.random.Generator) -> Learner:
    """A learner before its first step: orthogonal weights, biases 0.

    Hidden weights are scaled by √2, the last ones of the policy by 0.01. Raises ValueError where
    the minibatches don't share out the T E samples evenly.
    """
    n, parts = env.n * settings.steps, _check.positive_integer("minibatches", settings.minibatches)
    if n % parts:
        raise ValueError(f"minibatches must share out {n} samples evenly, got {parts}")
    *hidden, last = shapes(env, settings)
    weights = [2**0.5 * np.array([orthogonal(*x, rng=rng) for _ in range(2)]) for x in hidden]
    weights += [np.array([scale * orthogonal(*last, rng=rng) for scale in (0.01, 1.0)])]
    theta = flat([(w, np.zeros((2, 1, w.shape[-1]))) for w in weights]).astype(np.float32)
    return Learner(settings, env, rng, env.reset(), theta, 0 * theta, 0 * theta)


def learn(learner: Learner, updates: int) -> None:
    """Go on for so many updates.

    Raises FloatingPointError, with the update and the minibatch, where a gradient is no number.
    """
    x = learner.settings
    for _ in range(_check.positive_integer("updates", updates)):
        data = collect(learner)
        for i, batch in enumerate(minibatches(learner, data)):
            g = gradient(learner, batch)
            norm = float(np.sqrt(g @ g))
            if not np.isfinite(norm):
                at = f"at update {learner.updates}, minibatch {i}"
                raise FloatingPointError(f"the gradient is not finite {at}")
            g *= min(1.0, x.most / (norm + 1e-6))
            learner.t += 1
            adam(learner.theta, g, learner.m, learner.v, learner.t, x.rate)
        learner.updates += 1


def greedy(learner: Learner) -> Policy:
    """The policy that takes the likeliest action, as it is now."""
    net = [(w[0].copy(), b[0].copy()) for w, b in layers(learner)]
    return lambda s: np.asarray(forward(net, s)[-1].argmax(-1))


def collect(learner: Learner) -> Samples:
    """T steps of each environment, with generalised advantages and targets Â + v.

    The action with the largest z_a + g_a, g from Gumbel's distribution, is one drawn from π.
    """
    x, env = learner.settings, learner.env
    policy, value = ([(w[i], b[i]) for w, b in layers(learner)] for i in range(2))
    rows = []
    for noise in learner.rng.gumbel(size=(x.steps, env.n, env.n_actions)):
        z = forward(policy, learner.s)[-1]
        a = (z + noise).argmax(-1)
        step = env.step(a)
        rows.append((learner.s, a, z, *step[:4]))
        learner.s = step.s
    s, a, z, s_next, r, over, cut = (np.array(column) for column in zip(*rows, strict=True))
    v, v_next = (forward(value, y)[-1][..., 0] for y in (s, s_next))
    advantage = generalized_advantage(r, v, v_next, over, cut, x.gamma, x.lam)
    known = np.take_along_axis(log_softmax(z), a[..., None], -1)
    columns = (y.astype(np.float32).ravel() for y in (known, advantage, advantage + v))
    return Samples._make((s.reshape(-1, s.shape[-1]), a.ravel(), *columns))


def minibatches(learner: Learner, data: Samples) -> Iterator[Samples]:
    """Those of every epoch: each goes once through all samples, in an order of its own."""
    for _ in range(learner.settings.epochs):
        order = learner.rng.permutation(len(data.a))
        for rows in order.reshape(learner.settings.minibatches, -1):
            yield Samples._make(y[rows] for y in data)


# ------------------------------------------------------------------------------- the gradient


def gradient(learner: Learner, x: Samples) -> Array:
    """∂L/∂θ (P,) of PPO's loss on a minibatch, whose advantages are normalised."""
    by, net = learner.settings, layers(learner)
    hs = forward(net, x.s)
    z, v = hs[-1][0], hs[-1][1, :, 0]
    advantage = (x.advantage - x.advantage.mean()) / (x.advantage.std() + 1e-8)
    d = np.zeros_like(hs[-1])
    d[0] = ppo_logits_gradient(z, x.a, x.log_prob, advantage, by.epsilon, by.beta)
    d[1, :, 0] = by.value_weight / len(v) * (v - x.target)
    return flat(backward(net, hs, d))


def forward(net: Sequence[Layer], x: Array) -> list[Array]:
    """The input (..., N, in) and what each layer makes of it: tanh(x W + b), the last x W + b."""
    out = [x]
    for i, (w, b) in enumerate(net):
        x = x @ w + b
        if i < len(net) - 1:
            np.tanh(x, out=x)
        out.append(x)
    return out


def backward(net: Sequence[Layer], hs: Sequence[Array], d: Array) -> list[Layer]:
    """∂L/∂W = xᵀ δ, ∂L/∂b = Σ δ of each layer, δ = ∂L/∂h (1 - h²)  (eq-tanh-layer-gradient).

    hs from `forward`, d = ∂L/∂hs[-1] (..., N, out). The last layer has no tanh: δ = d.
    """
    found = []
    for i in reversed(range(len(net))):
        found.append((hs[i].swapaxes(-1, -2) @ d, d.sum(-2, keepdims=True)))
        if i > 0:
            d = d @ net[i][0].swapaxes(-1, -2)
            d *= 1 - hs[i] * hs[i]
    return found[::-1]


def adam(
    theta: Array, g: Array, m: Array, v: Array, t: int, rate: float, eps: float = 1e-8
) -> None:
    """m, v ← means of g and g² with decays 0.9, 0.999; θ ← θ - rate m̂ / (√v̂ + eps).

    All (P,), in place; t = 1, 2, … counts the steps. m̂ = m / (1 - 0.9^t) and v̂ = v / (1 - 0.999^t)
    make up for the zeros that both began with. Kingma and Ba (2015), algorithm 1.
    """
    m += 0.1 * (g - m)
    v += 0.001 * (g * g - v)
    theta -= rate / (1 - 0.9**t) * m / (np.sqrt(v / (1 - 0.999**t)) + eps)


# ------------------------------------------------------------------------------- parameters


def layers(learner: Learner) -> list[Layer]:
    """Weights (2, in, out) and biases (2, 1, out) of each layer: views of θ."""
    net, at = list[Layer](), 0
    for n, m in shapes(learner.env, learner.settings):
        w = learner.theta[at : at + 2 * n * m].reshape(2, n, m)
        at += 2 * n * m
        net.append((w, learner.theta[at : at + 2 * m].reshape(2, 1, m)))
        at += 2 * m
    return net


def flat(net: Sequence[Layer]) -> Array:
    """All weights and biases in one vector (P,), in the order of `layers`."""
    return np.concatenate([x.ravel() for layer in net for x in layer])


def shapes(env: VectorEnvironment, settings: Settings) -> list[tuple[int, int]]:
    """In and out of each layer."""
    return list(pairwise((env.observation_size, *settings.hidden, env.n_actions)))


def orthogonal(n: int, m: int, *, rng: np.random.Generator) -> Array:
    """A matrix (n, m), uniform among those whose rows or columns, the fewer, are orthonormal."""
    q, r = np.linalg.qr(rng.normal(size=(max(n, m), min(n, m))))
    q *= np.sign(np.diag(r))
    return np.asarray(q if n >= m else q.T)
