"""Networks of B learners against torch's of one."""

import pytest
import torch

from rlcourse.deep import networks as n

B, N, SIZES = 3, 5, [4, 7, 6, 2]
torch.set_num_threads(1)


def random_net(learners=B, seed=0, dtype=torch.float64):
    return n.uniform_mlp(
        SIZES, learners, generator=torch.Generator().manual_seed(seed), dtype=dtype
    )


def inputs(seed=1):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(B, N, SIZES[0], generator=generator, dtype=torch.float64)


def loss(net, x, y):
    return ((n.forward(net, x, torch.tanh) - y) ** 2).mean((1, 2)).sum()


def as_sequential(net, b, activation):
    layers = []
    for weight, bias in zip(net.weights, net.biases, strict=True):
        linear = torch.nn.Linear(*weight.shape[1:], dtype=weight.dtype)
        linear.weight.data, linear.bias.data = weight[b].detach().T, bias[b, 0].detach()
        layers += [linear, activation()]
    return torch.nn.Sequential(*layers[:-1])


@pytest.mark.parametrize(
    ("ours", "theirs"), [(torch.relu, torch.nn.ReLU), (torch.tanh, torch.nn.Tanh)]
)
def test_each_learner_is_torchs_sequential_of_its_weights(ours, theirs):
    net, x = random_net(), inputs()
    y = n.forward(net, x, ours)
    assert y.shape == (B, N, SIZES[-1])
    for b in range(B):
        torch.testing.assert_close(y[b], as_sequential(net, b, theirs)(x[b]), rtol=0, atol=1e-14)


@pytest.mark.parametrize("most", [1e-2, 1e3])
def test_a_learner_trains_in_company_as_it_does_alone(most):
    """Loss, clipping and Adam: after 20 steps all its numbers are the same."""
    x, y = inputs(), torch.ones(B, N, SIZES[-1], dtype=torch.float64)
    together = random_net()
    alone = [n.of_learners(together, slice(b, b + 1)) for b in range(B)]
    optimiser = torch.optim.Adam(n.tensors(together), 1e-2)
    singles = [torch.optim.Adam(n.tensors(net), 1e-2) for net in alone]
    for _ in range(20):
        optimiser.zero_grad()
        loss(together, x, y).backward()
        n.clip_gradients(n.tensors(together), most)
        optimiser.step()
        for b, single in enumerate(singles):
            single.zero_grad()
            loss(alone[b], x[b : b + 1], y[b : b + 1]).backward()
            torch.nn.utils.clip_grad_norm_(n.tensors(alone[b]), most)
            single.step()
    for b, net in enumerate(alone):
        for one, many in zip(n.tensors(net), n.tensors(together), strict=True):
            torch.testing.assert_close(one[0], many[b], rtol=0, atol=1e-12)


def test_clipping_is_torchs_learner_by_learner():
    net = random_net()
    loss(net, inputs(), 0).backward()
    before = [x.grad.clone() for x in n.tensors(net)]
    norms = n.clip_gradients(n.tensors(net), 0.3)
    assert norms.min() < 0.3 < norms.max()  # some are clipped and some are not
    for b in range(B):
        one = [torch.nn.Parameter(torch.zeros_like(g[b])) for g in before]
        for parameter, g in zip(one, before, strict=True):
            parameter.grad = g[b].clone()
        norm = torch.nn.utils.clip_grad_norm_(one, 0.3)
        torch.testing.assert_close(norms[b], norm, rtol=1e-14, atol=0)
        for parameter, x in zip(one, n.tensors(net), strict=True):
            torch.testing.assert_close(x.grad[b], parameter.grad, rtol=1e-14, atol=0)


def test_a_huge_gradient_of_one_learner_leaves_the_others_as_they_were():
    net = random_net()
    loss(net, inputs() * torch.tensor([1, 1e6, 1])[:, None, None], 0).backward()
    before = [x.grad.clone() for x in n.tensors(net)]
    n.clip_gradients(n.tensors(net), 1e3)
    for x, g in zip(n.tensors(net), before, strict=True):
        torch.testing.assert_close(x.grad[[0, 2]], g[[0, 2]], rtol=0, atol=0)


@pytest.mark.parametrize(("wide", "tall"), [(9, 4), (4, 9), (6, 6)])
def test_orthogonal_matrices_are_orthonormal_in_their_fewer_vectors(wide, tall):
    generator = torch.Generator().manual_seed(0)
    x = n.orthogonal(B, wide, tall, generator=generator, dtype=torch.float64)
    assert x.shape == (B, wide, tall)
    gram = x.mT @ x if wide >= tall else x @ x.mT
    eye = torch.eye(min(wide, tall), dtype=torch.float64)
    torch.testing.assert_close(gram, eye.expand_as(gram), rtol=0, atol=1e-14)


def test_orthogonal_matrices_are_uniform():
    """Each element has mean 0, trace² has mean 1, as of a uniform rotation; a bare QR has not."""
    x = n.orthogonal(20_000, 3, 3, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    assert x.mean(0).abs().max() < 5 * (1 / 3 / 20_000) ** 0.5
    trace = x.diagonal(dim1=1, dim2=2).sum(1)
    assert abs((trace**2).mean() - 1) < 5 * (trace**2).std() / 20_000**0.5


def test_gains_are_root_two_in_hidden_layers_and_the_given_one_in_the_last():
    generator = torch.Generator().manual_seed(0)
    net = n.orthogonal_mlp(SIZES, B, last_gain=0.01, generator=generator, dtype=torch.float64)
    for weight, gain in zip(net.weights, [2**0.5, 2**0.5, 0.01], strict=True):
        singular = torch.linalg.svdvals(weight)
        torch.testing.assert_close(singular, torch.full_like(singular, gain), rtol=1e-12, atol=0)
    assert all((bias == 0).all() for bias in net.biases)


def test_uniform_weights_fill_the_interval_of_torchs_linear():
    generator = torch.Generator().manual_seed(0)
    net = n.uniform_mlp([16, 400, 9], 4, generator=generator)
    for x, within in zip(n.tensors(net), [1 / 4, 1 / 20, 1 / 4, 1 / 20], strict=True):
        assert x.abs().max() <= within
        assert x.max() > 0.8 * within
        assert x.min() < -0.8 * within
        assert abs(x.mean()) < 5 * within / (3 * x.numel()) ** 0.5
    linear = torch.nn.Linear(16, 400)
    assert linear.weight.abs().max() <= 1 / 4
    assert linear.weight.abs().max() > 0.99 / 4


def test_learners_begin_differently_and_a_seed_begins_them_the_same_again():
    one, two = random_net(seed=3), random_net(seed=3)
    for x, y in zip(n.tensors(one), n.tensors(two), strict=True):
        assert torch.equal(x, y)
        assert not torch.equal(x[0], x[1])


def test_parts_come_apart_and_together_and_copies_share_nothing():
    net = random_net()
    again = n.from_tensors(n.tensors(net))
    assert all(x is y for x, y in zip(n.tensors(net), n.tensors(again), strict=True))
    assert len(again.weights) == len(again.biases) == 3
    copy, some = n.copy_of(net), n.of_learners(net, slice(1, 3))
    assert not any(x.requires_grad for x in n.tensors(copy))
    assert all(x.requires_grad and x.is_leaf for x in n.tensors(some))
    with torch.no_grad():
        for x in n.tensors(net):
            x.zero_()
    assert all((x != 0).any() for x in n.tensors(copy) + n.tensors(some))


@pytest.mark.parametrize("sizes", [[4], [4, 0, 2], [4, 2.5]])
def test_bad_sizes_are_refused_with_a_reason(sizes):
    with pytest.raises(ValueError, match="sizes must"):
        n.uniform_mlp(sizes, B, generator=torch.Generator())
    with pytest.raises(ValueError, match="sizes must"):
        n.orthogonal_mlp(sizes, B, last_gain=1.0, generator=torch.Generator())


def test_no_learners_are_refused_with_a_reason():
    with pytest.raises(ValueError, match="learners must be an integer of at least 1, got 0"):
        n.uniform_mlp(SIZES, 0, generator=torch.Generator())
