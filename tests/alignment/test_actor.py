"""A policy at work: what it wrote, and how likely that was, by another way."""

import pytest
import torch
from rl_worlds import EOS, PAD, WRITING, model, written_batch

from rlcourse.alignment.actor import Writing, response_log_probs, scored, written
from rlcourse.language.sampling import sampled_log_probs

POLICY = model()
BATCH = written_batch(POLICY, samples=4)


def alone(i, temperature=1.0):
    """log π of a row's answer and the entropies before it, from the row without any padding."""
    width = BATCH["mask"].shape[1]
    row = BATCH["tokens"][i][BATCH["present"][i]]
    length = int(BATCH["mask"][i].sum())
    logits = POLICY(row[None])[0, -length - 1 : -1] / temperature
    log_p = logits.log_softmax(-1)
    probs = sampled_log_probs(logits, row[-length:])
    pad = (0, width - length)
    entropy = -(log_p.exp() * log_p).sum(-1)
    return [torch.nn.functional.pad(x, pad) for x in (probs, entropy)]


def test_the_batch_has_answers_and_prompts_of_other_lengths():
    assert len({*BATCH["mask"].sum(1).tolist()}) > 2
    assert len({*BATCH["present"][:, :3].sum(1).tolist()}) == 3


@pytest.mark.parametrize("temperature", [1.0, 0.6])
def test_padding_changes_no_log_probability_and_no_entropy(temperature):
    found = response_log_probs(POLICY, BATCH, temperature)
    for i in range(len(BATCH["mask"])):
        for column, own in zip(found, alone(i, temperature), strict=True):
            torch.testing.assert_close(column[i], own, rtol=1e-10, atol=1e-12)


def test_a_rollout_with_its_cache_agrees_with_the_forward_that_learns():
    found, _ = response_log_probs(POLICY, BATCH)
    torch.testing.assert_close(found, BATCH["log_prob_rollout"], rtol=0, atol=1e-10)
    policy = model(dtype=torch.float32)
    batch = written_batch(policy, samples=4)
    found, _ = response_log_probs(policy, batch)
    assert (found - batch["log_prob_rollout"]).abs().max() <= 1e-4


def test_prompts_without_padding_give_the_same_by_the_plain_causal_mask():
    rows = BATCH["present"][:, 0]
    even = {name: x[rows] for name, x in BATCH.items()}
    assert 1 < int(rows.sum()) < len(rows)
    for found, whole in zip(
        response_log_probs(POLICY, even), response_log_probs(POLICY, BATCH), strict=True
    ):
        torch.testing.assert_close(found, whole[rows], rtol=0, atol=1e-12)


def test_scores_so_many_rows_at_a_time_are_the_same_and_have_no_gradient():
    whole, _ = response_log_probs(POLICY, BATCH)
    found = scored(POLICY, BATCH, "name", 3)["name"]
    torch.testing.assert_close(found, whole, rtol=0, atol=1e-12)
    assert whole.requires_grad
    assert not found.requires_grad


def test_an_answer_ends_with_its_end_token_which_counts():
    answers, mask = BATCH["tokens"][:, 3:], BATCH["mask"]
    for row, own in zip(answers, mask, strict=True):
        said = row[own].tolist()
        assert EOS not in said[:-1]
        assert said[-1] == EOS or len(said) == WRITING.max_tokens
        assert (row[~own] == PAD).all()


def test_the_same_generator_writes_the_same():
    prompts = {"prompts": BATCH["prompts"]}
    found = [
        written(POLICY, prompts, WRITING, generator=torch.Generator().manual_seed(3))["tokens"]
        for _ in range(2)
    ]
    assert torch.equal(*found)


def test_bad_requests_are_refused():
    for options, words in (
        ({"max_tokens": 0}, "max_tokens must be"),
        ({"temperature": 0.0}, "temperature must be positive"),
        ({"pad": EOS}, r"pad must be no end-of-text token, got 7 in \(7,\)"),
    ):
        with pytest.raises(ValueError, match=words):
            Writing(**{"max_tokens": 3, "eos": (EOS,), "pad": PAD} | options)
