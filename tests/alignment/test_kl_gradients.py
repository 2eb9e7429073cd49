"""What an estimate of the KL descends: identities, and finite differences of the KL itself."""

import torch

from rlcourse.alignment import kl_gradients as k

g = torch.Generator().manual_seed(0)
LOGITS, LOG_REF = 2 * torch.randn(2, 6, dtype=torch.float64, generator=g)
LOG_REF = LOG_REF.log_softmax(0)


def kl(logits, forward):
    pair = logits.log_softmax(0), LOG_REF
    a, b = reversed(pair) if forward else pair
    return float((a.exp() * (a - b)).sum())


def differences(forward, step=1e-6):
    return torch.tensor(
        [
            (kl(LOGITS + e, forward) - kl(LOGITS - e, forward)) / (2 * step)
            for e in step * torch.eye(6, dtype=torch.float64)
        ],
        dtype=torch.float64,
    )


def test_the_gradient_of_both_kls_is_that_of_finite_differences():
    for forward in (False, True):
        found = k.kl_gradient(LOGITS, LOG_REF, forward=forward)
        torch.testing.assert_close(found, differences(forward), rtol=1e-7, atol=1e-8)
        assert found.abs().max() > 0.05


def test_k1_in_the_loss_has_no_gradient_on_average():
    found = k.mean_gradient(LOGITS, LOG_REF, "k1")
    torch.testing.assert_close(found, torch.zeros_like(found), rtol=0, atol=1e-14)


def test_k2_and_k3_with_its_gradient_descend_the_kl():
    for kind in ("k2", "k3+"):
        found = k.mean_gradient(LOGITS, LOG_REF, kind)
        torch.testing.assert_close(found, k.kl_gradient(LOGITS, LOG_REF))


def test_k3_descends_the_other_kl():
    found = k.mean_gradient(LOGITS, LOG_REF, "k3")
    torch.testing.assert_close(found, k.kl_gradient(LOGITS, LOG_REF, forward=True))
    assert (found - k.kl_gradient(LOGITS, LOG_REF)).abs().max() > 0.05


def test_k1_as_a_reward_descends_the_kl():
    torch.testing.assert_close(k.reward_gradient(LOGITS, LOG_REF), k.kl_gradient(LOGITS, LOG_REF))
