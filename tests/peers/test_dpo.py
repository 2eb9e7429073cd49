"""Losses on comparisons against TRL's own code, run on trainers that were never built.

Both sides read the same model of bigrams, in float64: values and gradients of its table must agree.
Where TRL does something else, a test says what.
"""

import warnings
from collections import defaultdict
from types import SimpleNamespace

import pytest
import torch
from torch import nn

pytestmark = pytest.mark.peers
trl = pytest.importorskip("trl")

from hugging_face import float64  # noqa: E402
from trl.trainer.utils import FusedCausalLMOutput  # noqa: E402

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # it says that it is experimental
    from trl.experimental.cpo import CPOTrainer
    from trl.experimental.orpo import ORPOTrainer

from rlcourse.alignment import dpo  # noqa: E402
from rlcourse.alignment.data import token_loss  # noqa: E402
from rlcourse.alignment.reward_model import pairwise_loss  # noqa: E402

V, B, BETA, IGNORED = 11, 6, 0.3, -100
ACCELERATOR = SimpleNamespace(
    device=torch.device("cpu"), gather=lambda x: x, gather_for_metrics=lambda x: x
)


class Bigrams(nn.Module):
    """log p(token | the one before) from a table, with what TRL's trainers ask of a model."""

    def __init__(self, seed):
        super().__init__()
        g = torch.Generator().manual_seed(seed)
        self.table = nn.Parameter(2 * torch.randn(V, V, dtype=torch.float64, generator=g))

    def log_probs(self, tokens):
        return self.table.log_softmax(-1)[tokens[:, :-1], tokens[:, 1:]]

    def forward(self, input_ids, labels=None, fused_lm_head=False, **_):
        if not fused_lm_head:
            return SimpleNamespace(logits=self.table[input_ids])
        asked = labels[:, 1:] != IGNORED
        nothing = torch.zeros(asked.shape)
        return FusedCausalLMOutput(
            log_probs=torch.where(asked, self.log_probs(input_ids), 0.0),
            entropy=nothing, mean_logits=nothing, is_top1=nothing.bool(),
        )  # fmt: skip


class Rows:
    """Random prompts and answers of other lengths each, padded at the end."""

    def __init__(self, seed, prompt=(1, 5), answer=(1, 7)):
        g = torch.Generator().manual_seed(seed)

        def between(low, high):
            return torch.randint(low, high, (B, 1), generator=g)

        start = between(*prompt)
        end = start + between(*answer)
        t = torch.arange(max(prompt) + max(answer))
        self.tokens = torch.randint(V, (B, len(t)), generator=g)
        self.present, self.answer = t < end, (t >= start) & (t < end)

    def labels(self):
        return self.tokens.masked_fill(~self.answer, IGNORED)

    def read_by(self, model):
        """Log-probabilities of the answers, in all and a token."""
        return dpo.sequence_log_probs(model.log_probs(self.tokens), self.answer[:, 1:])


POLICY, REFERENCE, CHOSEN, REJECTED = Bigrams(0), Bigrams(1), Rows(2), Rows(3)


def unbuilt(kind, **attributes):
    """A trainer of TRL's with the attributes that its loss reads, and no others."""
    trainer = object.__new__(kind)
    common = {
        "model": POLICY, "accelerator": ACCELERATOR, "aux_loss_enabled": False, "beta": BETA,
        "_metrics": {"train": defaultdict(list)}, "_total_train_tokens": 0, "_tp_size": 1,
    }  # fmt: skip
    vars(trainer).update(common | attributes)
    return trainer


def assert_same(found, expected, model=POLICY):
    """The value, and its gradient in the table."""
    torch.testing.assert_close(found, expected, rtol=1e-12, atol=1e-12)
    gradients = [torch.autograd.grad(x, model.table)[0] for x in (found, expected)]
    assert gradients[1].abs().max() > 1e-3
    torch.testing.assert_close(*gradients, rtol=1e-12, atol=1e-12)


# ------------------------------------------------------------------------------- with a reference


def peer_dpo(*kinds, weights=None, smoothing=0.0):
    trainer = unbuilt(
        trl.DPOTrainer, ld_alpha=None, precompute_ref_logps=True, f_divergence_type="reverse_kl",
        loss_types=kinds, loss_weights=weights or [1.0], label_smoothing=smoothing,
        use_weighting=False,
    )  # fmt: skip
    with torch.no_grad():
        refs = [side.read_by(REFERENCE).total for side in (CHOSEN, REJECTED)]
    batch = {
        "input_ids": torch.cat([CHOSEN.tokens, REJECTED.tokens]),
        "attention_mask": torch.cat([CHOSEN.present, REJECTED.present]).long(),
        "completion_mask": torch.cat([CHOSEN.answer, REJECTED.answer]).long(),
        "ref_chosen_logps": refs[0],
        "ref_rejected_logps": refs[1],
    }
    return trainer.compute_loss(POLICY, batch)


def margin(part="total"):
    """h of whole answers, or of means a token."""
    sides = [
        getattr(side.read_by(model), part)
        for model in (POLICY, REFERENCE)
        for side in (CHOSEN, REJECTED)
    ]
    return dpo.preference_margin(*sides)


def test_dpo_and_hinge_are_those_of_trl():
    assert_same(dpo.dpo_loss(margin(), BETA).mean(), peer_dpo("sigmoid"))
    assert_same(dpo.hinge_loss(margin(), BETA).mean(), peer_dpo("hinge"))


@pytest.mark.parametrize("smoothing", [0.0, 0.2, 0.45])
def test_the_robust_loss_is_that_of_trl(smoothing):
    ours = dpo.robust_loss(margin(), BETA, smoothing).mean()
    assert_same(ours, peer_dpo("robust", smoothing=smoothing))


def test_ipo_is_that_of_trl_for_means_a_token_instead_of_whole_answers():
    theirs = peer_dpo("ipo")
    assert_same(dpo.ipo_loss(margin("mean"), BETA).mean(), theirs)
    assert abs(dpo.ipo_loss(margin(), BETA).mean() - theirs) > 1


def test_trl_s_dpo_does_not_read_its_smoothing_of_labels():
    theirs = peer_dpo("sigmoid", smoothing=0.3)
    assert_same(dpo.dpo_loss(margin(), BETA).mean(), theirs)
    assert abs(dpo.dpo_loss(margin(), BETA, 0.3).mean() - theirs) > 0.01


def test_dpo_with_an_sft_term_is_that_of_trl():
    theirs = peer_dpo("sigmoid", "sft", weights=[1.0, 0.7])
    mask = CHOSEN.answer[:, 1:]
    sft = token_loss(POLICY.log_probs(CHOSEN.tokens), mask, int(mask.sum()))
    assert_same(dpo.dpo_loss(margin(), BETA).mean() + 0.7 * sft, theirs)


@pytest.mark.parametrize(("policy", "reference", "above"), [(1, 0, True), (4, 5, False)])
def test_kto_is_that_of_trl_whatever_the_sign_of_the_mean_ratio(policy, reference, above):
    policy, reference = Bigrams(policy), Bigrams(reference)
    desirable = torch.tensor([1, 0, 0, 1, 1, 0]).bool()
    answers, others = Rows(6), Rows(7)
    with torch.no_grad():
        refs = [side.read_by(reference).total for side in (answers, others)]
    batch = {
        "label": desirable, "input_ids": answers.tokens, "attention_mask": answers.present.long(),
        "completion_mask": answers.answer.long(), "ref_logps": refs[0],
        "KL_input_ids": others.tokens, "KL_attention_mask": others.present.long(),
        "KL_completion_mask": others.answer.long(), "ref_KL_logps": refs[1],
    }  # fmt: skip
    trainer = unbuilt(
        trl.KTOTrainer, model=policy, calculate_KL=True, precompute_ref_logps=True,
        loss_type="kto", desirable_weight=1.3, undesirable_weight=0.8,
    )  # fmt: skip
    theirs = trainer.compute_loss(policy, batch)
    own, mismatched = (
        side.read_by(policy).total - ref for side, ref in zip((answers, others), refs, strict=True)
    )
    assert (mismatched.mean() > 0) == above == (trainer._metrics["train"]["kl"][0] > 0)
    assert_same(dpo.kto_loss(own, desirable, mismatched, BETA, (1.3, 0.8)).mean(), theirs, policy)


# ------------------------------------------------------------------------------- without one


def peer_without_reference(kind, chosen=CHOSEN, **attributes):
    trainer = unbuilt(
        kind, is_encoder_decoder=False, padding_value=0, pad_token_id=0, cpo_alpha=0, alpha=0.0,
        **attributes,
    )  # fmt: skip
    batch = {
        f"{name}_{key}": value
        for name, side in (("chosen", chosen), ("rejected", REJECTED))
        for key, value in {
            "input_ids": side.tokens, "attention_mask": side.present.long(),
            "labels": side.labels(),
        }.items()
    }  # fmt: skip
    with float64():
        return trainer.get_batch_loss_metrics(POLICY, batch)[0]


def test_simpo_is_that_of_trl():
    sides = [side.read_by(POLICY).mean for side in (CHOSEN, REJECTED)]
    theirs = peer_without_reference(
        CPOTrainer, loss_type="simpo", simpo_gamma=0.5, label_smoothing=0.0
    )
    assert_same(dpo.simpo_loss(*sides, BETA, 0.5).mean(), theirs)


def test_smoothed_dpo_for_a_constant_reference_is_trl_s_smoothed_cpo():
    chosen, rejected = (side.read_by(POLICY).total for side in (CHOSEN, REJECTED))
    theirs = peer_without_reference(CPOTrainer, loss_type="sigmoid", label_smoothing=0.2)
    assert_same(dpo.dpo_loss(chosen - rejected, BETA, 0.2).mean(), theirs)


def orpo(chosen):
    sides = [side.read_by(POLICY).mean for side in (chosen, REJECTED)]
    return dpo.orpo_loss(*sides, BETA).mean()


def test_orpo_is_that_of_trl_where_the_prompt_is_one_token_and_answers_are_equally_long():
    chosen = Rows(8, prompt=(1, 2), answer=(5, 6))
    assert_same(orpo(chosen), peer_without_reference(ORPOTrainer, chosen))


def test_trl_s_orpo_learns_the_prompt_as_well_and_means_over_the_tokens_of_all_answers():
    log_p, present = POLICY.log_probs(CHOSEN.tokens), CHOSEN.present[:, 1:]
    mean = CHOSEN.read_by(POLICY).mean.mean()
    theirs = peer_without_reference(ORPOTrainer)
    assert_same(orpo(CHOSEN) + mean - log_p[present].mean(), theirs)
    assert abs(mean - log_p[present].mean()) > 0.01


# ------------------------------------------------------------------------------- reward models


@pytest.mark.parametrize("margins", [None, torch.linspace(0, 2, B, dtype=torch.float64)])
def test_the_loss_of_reward_models_is_that_of_trl(margins):
    trainer = unbuilt(trl.RewardTrainer, args=SimpleNamespace(center_rewards_coefficient=None))
    inputs = {"attention_mask": torch.ones(2 * B, 1)}
    rewards = POLICY.table.flatten()[: 2 * B]
    theirs = trainer.compute_loss(
        lambda **_: SimpleNamespace(logits=rewards[:, None]),
        inputs if margins is None else inputs | {"margin": margins},
    )
    ours = pairwise_loss(*rewards.chunk(2), 0.0 if margins is None else margins).mean()
    assert_same(ours, theirs)
