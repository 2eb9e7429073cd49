"""The training loop: its parts against closed forms, its runs against themselves."""

import io
import math

import numpy as np
import pytest
import torch
from torch import nn

from rlcourse.language import training
from rlcourse.language.config import Config
from rlcourse.language.training import Settings, begin, mean_loss, train
from rlcourse.language.transformer import Decoder

CONFIG = Config(
    vocabulary=7, width=16, layers=2, heads=2, kv_heads=1, head_dim=8, hidden=24, qk_norm=True
)
SETTINGS = Settings(steps=30, batch=4, window=6, rate=1e-2, warm_up=5, every=10)
IDS = [i * i % 7 for i in range(90)]  # 0 1 4 2 2 4 1, again and again


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def started(settings: Settings = SETTINGS, seed: int = 0) -> training.Run:
    g = generator(seed)
    return begin(Decoder(CONFIG, generator=g), IDS, settings, generator=g, validation=IDS[:20])


class Bigrams(nn.Module):
    """Logits that depend on the last token alone: the log of a table of counts."""

    def __init__(self, table: torch.Tensor) -> None:
        super().__init__()
        self.table = nn.Parameter(table)

    def forward(self, tokens: torch.Tensor) -> torch.Tensor:
        return self.table[tokens]


# ------------------------------------------------------------------------------- the parts


def test_the_loss_is_minus_log_p_of_the_next_token() -> None:
    p = torch.rand(3, 3, generator=generator()).double()
    p /= p.sum(1, keepdim=True)
    tokens = torch.tensor([[0, 1, 2], [2, 2, 1]])
    expected = -(p[0, 1].log() + p[1, 2].log() + p[2, 2].log() + p[2, 1].log()) / 4
    loss = training.next_token_loss(Bigrams(p.log())(tokens[:, :-1]), tokens)
    assert loss.item() == pytest.approx(float(expected), rel=1e-12)


def test_equal_logits_cost_log_v() -> None:
    loss = training.next_token_loss(torch.zeros(2, 5, 11), torch.zeros(2, 6, dtype=torch.long))
    assert float(loss) == pytest.approx(math.log(11))


@pytest.mark.parametrize("length", [2, 7, 8, 13, 14, 50])
def test_the_mean_loss_counts_each_token_but_the_first_once(length: int) -> None:
    table = torch.randn(7, 7, generator=generator())
    row = torch.randint(7, (length,), generator=generator(1))
    log_p = table.log_softmax(-1)
    expected = -log_p[row[:-1], row[1:]].mean()
    assert mean_loss(Bigrams(table), row, 6, batch=3) == pytest.approx(float(expected), rel=1e-6)


def test_windows_are_pieces_of_the_row_and_reach_both_ends() -> None:
    row = torch.arange(10, 20)
    seen = training.random_windows(row, 400, 4, generator=generator())
    assert seen.shape == (400, 4)
    assert (seen.diff(dim=1) == 1).all()
    assert sorted(set(seen[:, 0].tolist())) == list(range(10, 17))


def test_the_rate_rises_straight_and_falls_along_half_a_cosine() -> None:
    x = Settings(steps=110, warm_up=10, rate=2.0, last=0.1)
    rates = [training.learning_rate(step, x) for step in range(111)]
    np.testing.assert_allclose(rates[:10], np.linspace(0.2, 2.0, 10))
    assert rates[10] == pytest.approx(2.0)
    assert rates[60] == pytest.approx((2.0 + 0.2) / 2)  # half way
    assert rates[110] == pytest.approx(0.2)
    assert (np.diff(rates[10:]) < 0).all()


def test_without_gradients_matrices_alone_decay() -> None:
    model = Decoder(CONFIG, generator=generator())
    before = {name: p.detach().clone() for name, p in model.named_parameters()}
    for p in model.parameters():
        p.grad = torch.zeros_like(p)
    training.adamw(model, Settings(rate=0.5, decay=0.1)).step()
    for name, p in model.named_parameters():
        left = 1 - 0.5 * 0.1 if p.dim() == 2 else 1.0
        torch.testing.assert_close(p.detach(), left * before[name], msg=name)


def test_a_step_is_adams_on_the_clipped_gradient() -> None:
    settings = Settings(steps=9, batch=2, window=3, rate=0.1, warm_up=0, most=1e-3, decay=0.0)
    table = torch.randn(7, 7, generator=generator())
    run = begin(Bigrams(table.clone()), IDS, settings, generator=generator(5))
    loss = training.update(run, 0)
    w = table.requires_grad_()
    tokens = training.random_windows(torch.tensor(IDS), 2, 4, generator=generator(5))
    expected = training.next_token_loss(w[tokens[:, :-1]], tokens)
    g = torch.autograd.grad(expected, w)[0]
    g = g * 1e-3 / (g.norm() + 1e-6)
    assert loss == expected.item()
    step = 0.1 * g / (g.abs() + 1e-8)  # Adam's first: both means are corrected to g and g²
    torch.testing.assert_close(run.model.table.detach(), w.detach() - step, rtol=1e-4, atol=1e-5)


# ------------------------------------------------------------------------------- runs


def test_a_run_learns_a_row_that_repeats() -> None:
    run = train(started(Settings(steps=120, batch=8, window=12, rate=1e-2, warm_up=5, every=40)))
    assert run.losses[0] == pytest.approx(math.log(7), abs=0.2)
    assert [step for step, _ in run.checks] == [40, 80, 120]
    assert run.checks[-1][1] < 0.3


def test_a_run_repeats_bit_for_bit_and_another_seed_differs() -> None:
    first, again, other = train(started()), train(started()), train(started(seed=1))
    assert first.losses == again.losses
    assert first.checks == again.checks
    assert first.losses != other.losses


def test_a_resumed_run_goes_on_bit_for_bit() -> None:
    whole, first = train(started()), train(started(), 13)
    saved = training.checkpoint(first)
    train(first)  # what is saved is a copy
    second = started(seed=3)
    training.resume(second, saved)
    train(second)
    assert second.losses == first.losses == whole.losses
    assert second.checks == whole.checks
    for a, b in zip(second.model.parameters(), whole.model.parameters(), strict=True):
        assert torch.equal(a, b)


def test_a_run_stops_at_its_end() -> None:
    run = train(started(), 1000)
    assert len(train(run).losses) == SETTINGS.steps


def test_the_bar_shows_the_loss_and_the_steps() -> None:
    stream = io.StringIO()
    train(started(), 20, progress=training.loss_bar(stream))
    last = stream.getvalue().split("\r")[-1]
    assert "] 20/20  loss 1." in last
    assert last.endswith("\n")


# ------------------------------------------------------------------------------- refusals


def test_rows_that_cannot_be_learned_from_are_refused() -> None:
    model = Decoder(CONFIG, generator=generator())
    for ids, message in (
        (IDS[:6], "ids must have at least 7 tokens, got 6"),
        ([0.5] * 9, "ids must be a row of integers, got torch.float32"),
        ([IDS, IDS], r"ids must be a row of integers, got torch.int64 \(2, 90\)"),
    ):
        with pytest.raises(ValueError, match=message):
            begin(model, ids, SETTINGS, generator=generator())
    with pytest.raises(ValueError, match="validation must have at least 2 tokens, got 1"):
        begin(model, IDS, SETTINGS, generator=generator(), validation=[1])


def test_ids_outside_the_vocabulary_are_refused() -> None:
    run = begin(Decoder(CONFIG, generator=generator()), [7] * 9, SETTINGS, generator=generator())
    with pytest.raises(ValueError, match=r"tokens must lie in \[0, 7\), got 7"):
        train(run)


def test_a_loss_that_is_no_number_stops_the_run() -> None:
    run = begin(Bigrams(torch.full((7, 7), torch.nan)), IDS, SETTINGS, generator=generator())
    with pytest.raises(FloatingPointError, match="no number at step 0"):
        train(run)


def test_wrong_settings_are_refused() -> None:
    with pytest.raises(ValueError, match="batch must be an integer of at least 1, got 0"):
        Settings(batch=0)
    with pytest.raises(ValueError, match=r"warm_up must lie in \[0, 300\], got 301"):
        Settings(warm_up=301)
    with pytest.raises(ValueError, match="settings must be those of the checkpoint"):
        training.resume(started(Settings(window=5)), training.checkpoint(started()))
