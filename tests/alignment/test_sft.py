"""Fine-tuning: one gradient for all layouts, and a loop that learns and repeats."""

import copy

import pytest
import torch

from rlcourse.alignment.data import Sample
from rlcourse.alignment.packing import packed_batch, padded_batch
from rlcourse.alignment.sft import backward, fine_tune, kept, scored
from rlcourse.language.config import Config
from rlcourse.language.training import Settings
from rlcourse.language.transformer import Decoder

CONFIG = Config(23, 12, 2, 4, 2, 6, 20, positions=64, qk_norm=True)


def model():
    generator = torch.Generator().manual_seed(0)
    decoder = Decoder(CONFIG, generator=generator).double()
    for p in decoder.parameters():
        p.data += 0.3 * torch.randn(p.shape, generator=generator, dtype=torch.float64)
    return decoder


def samples(lengths=(5, 9, 3, 7, 2, 4)):
    g = torch.Generator().manual_seed(1)
    return [
        Sample(torch.randint(1, 23, (n,), generator=g), torch.rand(n, generator=g) < 0.8)
        for n in lengths
    ]


def gradients(decoder):
    found = [p.grad.clone() for p in decoder.parameters()]
    decoder.zero_grad()
    return found


def alone(decoder, parts):
    """The mean of -log p over what carries loss, each sample by itself with plain softmax."""
    terms = []
    for tokens, mask in parts:
        log_p = decoder(tokens[None])[0].log_softmax(-1)
        terms += [-log_p[t - 1, tokens[t]] for t in range(1, len(tokens)) if mask[t]]
    return torch.stack(terms).mean()


@pytest.mark.parametrize("rows", [None, 1, 2])
@pytest.mark.parametrize("layout", [padded_batch, lambda x: packed_batch(x, 13)])
def test_loss_and_gradient_are_those_of_each_sample_alone(layout, rows):
    decoder, parts = model(), samples()
    expected = alone(decoder, parts)
    torch.autograd.backward(expected)
    truth = gradients(decoder)
    loss = backward(decoder, layout(parts), rows)
    assert loss == pytest.approx(expected.item(), abs=1e-12)
    for a, b in zip(gradients(decoder), truth, strict=True):
        assert torch.allclose(a, b, rtol=0, atol=1e-12)


def test_nobody_predicts_the_first_token_of_a_sequence():
    parts = [Sample(torch.tensor([1, 2, 3]), torch.ones(3).bool()) for _ in range(4)]
    assert kept(packed_batch(parts, 12)).sum() == kept(padded_batch(parts)).sum() == 8
    assert scored(model(), packed_batch(parts, 12)).mask.shape == (1, 11)


def test_means_of_parts_are_not_the_mean_of_the_batch():
    decoder, parts = model(), samples((3, 20))
    parts = [Sample(p.tokens, torch.ones_like(p.mask)) for p in parts]
    means = [backward(decoder, padded_batch([p])) for p in parts]
    whole = backward(decoder, padded_batch(parts), 1)
    assert whole == pytest.approx((2 * means[0] + 19 * means[1]) / 21, abs=1e-12)
    assert abs(whole - sum(means) / 2) > 0.01


SETTINGS = Settings(steps=60, batch=3, window=12, rate=1e-2, warm_up=5)


@pytest.mark.parametrize("packed", [True, False])
def test_it_learns_its_samples_and_repeats_bit_for_bit(packed):
    def run():
        decoder = Decoder(CONFIG, generator=torch.Generator().manual_seed(0))
        g = torch.Generator().manual_seed(3)
        return decoder, fine_tune(decoder, samples(), SETTINGS, generator=g, packed=packed)

    decoder, losses = run()
    assert losses[-1] < 0.5 * losses[0]
    again, same = run()
    assert losses == same
    assert all(map(torch.equal, decoder.parameters(), again.parameters()))


def test_packed_and_padded_runs_are_the_same_run():
    decoder = model()
    other = copy.deepcopy(decoder)
    runs = [
        fine_tune(m, samples(), SETTINGS, generator=torch.Generator().manual_seed(3), packed=p)
        for m, p in ((decoder, True), (other, False))
    ]
    assert runs[0][:10] == pytest.approx(runs[1][:10], abs=1e-9)


def test_progress_is_told_of_each_step():
    seen = []
    settings = Settings(steps=4, batch=2, window=12, warm_up=1)
    fine_tune(
        model(), samples(), settings, generator=torch.Generator().manual_seed(0),
        progress=lambda done, steps, losses: seen.append((done, steps, len(losses))),
    )  # fmt: skip
    assert seen == [(1, 4, 1), (2, 4, 2), (3, 4, 3), (4, 4, 4)]


def test_what_cannot_be_learned_from_is_refused():
    g = torch.Generator().manual_seed(0)
    with pytest.raises(ValueError, match="at least 3, a batch, got 2"):
        fine_tune(model(), samples((2, 3)), SETTINGS, generator=g)
    with pytest.raises(ValueError, match="window of 12 tokens, got 13"):
        fine_tune(model(), samples((2, 13, 3)), SETTINGS, generator=g)
    silent = Sample(torch.tensor([1, 2]), torch.tensor([True, False]))
    with pytest.raises(ValueError, match="tokens that carry loss, got none"):
        backward(model(), padded_batch([silent]))


def test_a_loss_that_is_no_number_stops_the_run():
    decoder = model()
    decoder.norm.weight.data[0] = torch.nan
    with pytest.raises(FloatingPointError, match="step 0"):
        fine_tune(decoder, samples(), SETTINGS, generator=torch.Generator().manual_seed(0))
