"""Training on comparisons, against each row alone and the gradient of DPO written out."""

import itertools
import math
from dataclasses import replace

import pytest
import torch
from comparison_cases import LENGTHS, SHORT, comparisons, decoder, generator, samples

from rlcourse.alignment import preference_training
from rlcourse.alignment.descent import batches
from rlcourse.alignment.dpo import dpo_loss, orpo_loss
from rlcourse.alignment.packing import padded_batch
from rlcourse.alignment.preference_training import log_probs_of, train_on_comparisons

BETA = 0.5


def dpo(_, h):
    return dpo_loss(h, BETA)


def trained(loss=dpo, settings=SHORT, sides=None, ref=0, **options):
    model, sides = decoder(), sides or comparisons()
    options = {"generator": generator(2)} | options
    return model, train_on_comparisons(model, decoder(ref), sides, loss, settings, **options)


def first_rows():
    return next(batches(4, 2, generator=generator(2))).tolist()


def pairs(model, which):
    """log p of each token of the answers of chosen and rejected, row by row, by plain softmax."""
    parts = [samples(own, seed) for seed, own in enumerate(LENGTHS)]
    return [[token_log_probs(model, *side[i]) for side in parts] for i in which]


def token_log_probs(model, tokens, mask):
    log_p = model(tokens[None])[0].log_softmax(-1)
    return torch.stack([log_p[t - 1, tokens[t]] for t in range(1, len(tokens)) if mask[t]])


# ------------------------------------------------------------------------------- the reference


@pytest.mark.parametrize("rows", [1, 3, 1024])
def test_an_answer_has_the_log_probability_that_it_has_alone(rows):
    model, parts = decoder(), samples((5, 9, 2, 7))
    found = log_probs_of(model, padded_batch(parts), rows)
    expected = torch.stack([token_log_probs(model, *part).sum() for part in parts])
    torch.testing.assert_close(found, expected.detach(), rtol=0, atol=1e-12)
    assert not found.requires_grad


def test_only_the_model_is_trained():
    model, reference = decoder(), decoder()
    train_on_comparisons(model, reference, comparisons(), dpo, SHORT, generator=generator(2))
    assert all(map(torch.equal, reference.parameters(), decoder().parameters()))
    assert not any(map(torch.equal, model.parameters(), reference.parameters()))


# ------------------------------------------------------------------------------- a step


def test_training_begins_at_log_two_without_a_margin():
    _, steps = trained()
    assert steps[0].loss == pytest.approx(math.log(2), abs=1e-12)
    assert steps[0].chosen == pytest.approx(0, abs=1e-12)
    assert steps[0].rejected == pytest.approx(0, abs=1e-12)


@pytest.mark.parametrize(("turned", "accuracy"), [(False, 0.75), (True, 0.25)])
def test_a_step_says_what_was_before_it(turned, accuracy):
    sides, four = comparisons(), replace(SHORT, batch=4)
    sides = type(sides)(*sides[::-1]) if turned else sides
    _, steps = trained(settings=four, sides=sides, ref=4)
    own, ref = (pairs(decoder(seed), range(4)) for seed in (0, 4))
    ratios = torch.tensor([
        [(a.sum() - b.sum()).item() for a, b in zip(*pair, strict=True)]
        for pair in zip(own, ref, strict=True)
    ]).double()  # fmt: skip
    chosen, rejected = ratios.T.flip(0) if turned else ratios.T
    h = chosen - rejected
    assert steps[0].chosen == pytest.approx(chosen.mean().item(), rel=1e-5)
    assert steps[0].rejected == pytest.approx(rejected.mean().item(), rel=1e-5)
    assert steps[0].accuracy == (h > 0).double().mean().item() == accuracy
    assert steps[0].loss == pytest.approx((1 + (-BETA * h).exp()).log().mean().item(), rel=1e-5)


@pytest.mark.parametrize("sft_weight", [0.0, 0.7])
def test_a_step_goes_down_the_gradient_of_dpo_and_of_the_chosen(monkeypatch, sft_weight):
    found = []
    monkeypatch.setattr(
        preference_training, "descend",
        lambda model, *_: found.extend(p.grad.clone() for p in model.parameters()),
    )  # fmt: skip
    trained(settings=replace(SHORT, steps=1), ref=1, sft_weight=sft_weight)

    model, weights = decoder(), []
    own, ref = pairs(model, first_rows()), pairs(decoder(1), first_rows())
    for (w, l), (w_ref, l_ref) in zip(own, ref, strict=True):
        h = w.sum() - l.sum() - (w_ref.sum() - l_ref.sum()).detach()
        weights.append(-BETA / (1 + (BETA * h.detach()).exp()) * h / 2)
    total = sum(weights) - sft_weight * torch.cat([w for w, _ in own]).mean()
    expected = torch.autograd.grad(total, list(model.parameters()))
    for a, b in zip(found, expected, strict=True):
        torch.testing.assert_close(a, b, rtol=0, atol=1e-12)
    assert max(x.abs().max() for x in found) > 0.01


def test_the_loss_holds_the_sft_term():
    _, steps = trained(sft_weight=0.7)
    chosen = torch.cat([w for w, _ in pairs(decoder(), first_rows())])
    expected = math.log(2) - 0.7 * chosen.mean().item()
    assert steps[0].loss == pytest.approx(expected, rel=1e-12)


def test_a_loss_is_handed_all_log_probabilities():
    seen = []

    def loss(answers, h):
        seen.append(answers)
        return orpo_loss(answers.chosen.mean, answers.rejected.mean, 0.3) + 0 * h

    _, steps = trained(loss, ref=1)
    own, ref = (pairs(decoder(seed), first_rows()) for seed in (0, 1))
    for i in (0, 1):
        for found, column in ((seen[0].chosen, 0), (seen[0].rejected, 1)):
            assert found.total[i].item() == pytest.approx(own[i][column].sum().item())
            assert found.mean[i].item() == pytest.approx(own[i][column].mean().item())
        assert seen[0].chosen_ref[i].item() == pytest.approx(ref[i][0].sum().item())
        assert seen[0].rejected_ref[i].item() == pytest.approx(ref[i][1].sum().item())
    means = [torch.stack([pair[side].mean() for pair in own]).detach() for side in (0, 1)]
    assert steps[0].loss == pytest.approx(orpo_loss(*means, 0.3).mean().item())


# ------------------------------------------------------------------------------- many steps


def test_training_orders_all_pairs():
    model, steps = trained(settings=replace(SHORT, steps=40))
    assert max(s.loss for s in steps[-4:]) < 0.1
    assert [s.accuracy for s in steps[-4:]] == [1.0] * 4
    chosen, rejected = (log_probs_of(model, side) for side in comparisons())
    before = [log_probs_of(decoder(), side) for side in comparisons()]
    assert (chosen - before[0] > rejected - before[1] + 4).all()


def test_the_sft_term_keeps_the_chosen_answers_likely():
    long = replace(SHORT, steps=40)
    kept, let_go = (trained(settings=long, sft_weight=w)[1][-1].chosen for w in (1.0, 0.0))
    assert kept > let_go + 1


def test_padding_changes_nothing_that_is_learned():
    losses = [step.loss for step in trained(sft_weight=0.5)[1]]
    assert len({*losses}) == 4
    wide = [step.loss for step in trained(sft_weight=0.5, sides=comparisons(20))[1]]
    assert wide == pytest.approx(losses, abs=1e-12)


def test_one_generator_gives_one_model():
    (one, steps), (other, again), (_, another) = (
        trained(ref=1), trained(ref=1), trained(ref=1, generator=generator(4)),
    )  # fmt: skip
    assert steps == again
    assert all(map(torch.equal, one.parameters(), other.parameters()))
    assert steps != another


def test_each_step_is_one_from_the_order_of_samples():
    seen = []
    trained(lambda answers, h: seen.append(answers.chosen_ref) or dpo(answers, h), ref=1)
    ref = log_probs_of(decoder(1), comparisons().chosen)
    rows = itertools.islice(batches(4, 2, generator=generator(2)), 4)
    assert [x.tolist() for x in seen] == [ref[own].tolist() for own in rows]


def test_progress_is_told_of_each_step():
    told = []
    _, steps = trained(progress=lambda *x: told.append(x))
    assert [x[:2] for x in told] == [(1, 4), (2, 4), (3, 4), (4, 4)]
    assert told[-1][2].tolist() == [s.loss for s in steps]


# ------------------------------------------------------------------------------- refusals


def test_the_model_itself_is_refused_as_reference():
    model = decoder()
    with pytest.raises(ValueError, match="reference must be a copy of the model, got the model"):
        train_on_comparisons(model, model, comparisons(), dpo, SHORT, generator=generator())


def test_fewer_comparisons_than_a_batch_are_refused():
    with pytest.raises(ValueError, match="samples must be at least 5, a batch, got 4"):
        trained(settings=replace(SHORT, batch=5))


def test_a_loss_that_is_no_number_stops_the_training_before_its_step():
    model, calls = decoder(), itertools.count()
    with pytest.raises(FloatingPointError, match="the loss is no number at step 0"):
        train_on_comparisons(
            model, decoder(), comparisons(), lambda _, h: h / 0, SHORT, generator=generator()
        )
    assert all(map(torch.equal, model.parameters(), decoder().parameters()))
    with pytest.raises(FloatingPointError, match="the loss is no number at step 2"):
        trained(lambda _, h: h * (torch.nan if next(calls) == 2 else 1))
