"""The losses of GRPO's kin against TRL's own code, on a trainer that was never built.

Its log-probabilities are handed in, in float64: the value and its gradient must agree.
"""

from collections import defaultdict
from types import SimpleNamespace

import pytest
import torch

pytestmark = pytest.mark.peers
trl = pytest.importorskip("trl")

from rlcourse.alignment import grpo  # noqa: E402
from rlcourse.alignment.aggregation import token_weights  # noqa: E402
from rlcourse.alignment.ppo_rlhf import kl_penalty, policy_loss  # noqa: E402
from rlcourse.deep.ppo_losses import clipped_surrogate  # noqa: E402

LOW, HIGH, LENGTH, BETA = 0.2, 0.28, 9, 0.3
MASK = torch.tensor([[1, 1, 1, 0, 1, 0], [1, 0, 0, 0, 0, 0], [1] * 6, [1, 1, 0, 0, 0, 0]]).bool()
G = torch.Generator().manual_seed(3)
OLD = -torch.rand(4, 6, dtype=torch.float64, generator=G)
SHIFT = torch.randn(2, 4, 6, dtype=torch.float64, generator=G)
NEW, REF = OLD + 0.5 * SHIFT[0], OLD + 0.5 * SHIFT[1]
ADVANTAGE = torch.tensor([1.3, -0.7, -1.1, 0.4], dtype=torch.float64)
KINDS = {
    "grpo": "sequence mean", "bnpo": "token mean", "dapo": "token mean", "dr_grpo": "constant",
    "cispo": "token mean",
}  # fmt: skip
ACCELERATOR = SimpleNamespace(
    device=torch.device("cpu"),
    gather=lambda x: x,
    gather_for_metrics=lambda x: x,
    num_processes=1,
    reduce=lambda x, reduction: x,
)


def theirs(log_prob, kind, level="token", high=HIGH, beta=0.0, delta=None):
    trainer = object.__new__(trl.GRPOTrainer)
    vars(trainer).update(
        model=SimpleNamespace(training=True), accelerator=ACCELERATOR, aux_loss_enabled=False,
        top_entropy_quantile=1.0, off_policy_mask_threshold=None, importance_sampling_level=level,
        beta=beta, loss_type=kind, epsilon_low=LOW, epsilon_high=high, use_vllm=False,
        max_completion_length=LENGTH, current_gradient_accumulation_steps=1, _tp_size=1,
        _entropy_bonus_enabled=False, _metrics={"train": defaultdict(list)},
        args=SimpleNamespace(delta=delta, use_bias_correction_kl=False, steps_per_generation=1),
        _get_per_token_logps_and_entropies=lambda *_, **__: (log_prob, 0 * log_prob, None),
    )  # fmt: skip
    nothing = torch.zeros(4, 0, dtype=torch.long)
    return trainer._compute_loss(trainer.model, {
        "prompt_ids": nothing, "prompt_mask": nothing,
        "completion_ids": MASK.long(), "completion_mask": MASK.long(), "advantages": ADVANTAGE,
        "old_per_token_logps": OLD, "ref_per_token_logps": REF,
        "num_items_in_batch": MASK.sum(),
    })  # fmt: skip


def assert_same(ours, *, kind, way, **options):
    """ours: log π -> the loss of each token."""
    found = []
    for total in (
        lambda p: (token_weights(MASK, way, LENGTH) * torch.where(MASK, ours(p), 0)).sum(),
        lambda p: theirs(p, kind, **options),
    ):
        log_prob = NEW.clone().requires_grad_()
        value = total(log_prob)
        found.append((value.detach(), torch.autograd.grad(value, log_prob)[0]))
    for own, other in zip(*found, strict=True):
        torch.testing.assert_close(own, other, rtol=1e-6, atol=1e-9)  # its counts are float32
    assert found[0][1].abs().max() > 1e-3


@pytest.mark.parametrize("kind", ["grpo", "bnpo", "dapo", "dr_grpo"])
def test_the_clipped_loss_and_its_sums_over_tokens_are_trls(kind):
    assert_same(
        lambda p: policy_loss(p, OLD, ADVANTAGE[:, None], LOW, HIGH), kind=kind, way=KINDS[kind]
    )


def test_trls_two_sided_clip_is_the_dual_clip():
    assert_same(
        lambda p: policy_loss(p, OLD, ADVANTAGE[:, None], LOW, HIGH, 1.5),
        kind="dapo", way="token mean", delta=1.5,
    )  # fmt: skip


def test_cispo_is_trls_which_bounds_the_weight_from_above_alone():
    assert_same(
        lambda p: grpo.cispo_loss(p, OLD, ADVANTAGE[:, None], 1.0, HIGH),
        kind="cispo", way="token mean", high=1 + HIGH,
    )  # fmt: skip


def test_gspo_has_the_gradient_of_trls_ratio_of_answers():
    def loss(p):
        ratio = grpo.sequence_log_ratio(p, OLD, MASK)
        return -clipped_surrogate(ratio, ADVANTAGE[:, None], LOW, HIGH)

    assert_same(loss, kind="grpo", way="sequence mean", level="sequence")


def test_the_leash_in_the_loss_is_trls_k3():
    assert_same(
        lambda p: policy_loss(p, OLD, ADVANTAGE[:, None], LOW, HIGH)
        + BETA * kl_penalty(p, REF, "k3"),
        kind="dapo", way="token mean", beta=BETA,
    )  # fmt: skip
