"""What the captions of the transformer chapter claim."""

import math
from functools import cache

import numpy as np
import pytest
import torch

from rlcourse.figures.language import attention_maps as maps
from rlcourse.figures.language import layer_parts as parts
from rlcourse.figures.language import psalmist as figures
from rlcourse.figures.language import training_curves as curves
from rlcourse.figures.language import transformer as pages
from rlcourse.figures.language.ngrams import Ngrams
from rlcourse.figures.language.psalmist import FOLDER, continued, digest, psalmist, tokens_of
from rlcourse.language.attention import grouped_attention
from rlcourse.language.checkpoints import load as load_checkpoint
from rlcourse.language.masks import causal_mask
from rlcourse.language.text import verses
from rlcourse.language.training import Settings, mean_loss
from rlcourse.results import load

RECORD = load("language/psalmist")


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


@cache
def habits():
    return maps.data_habits(psalmist())


# ------------------------------------------------------------------------------- the recorded model


def test_the_stored_weights_are_those_of_the_record():
    data = RECORD["data"]["training"]
    assert digest(load_checkpoint(FOLDER).state_dict()) == data["digest"]
    model, tokenizer = psalmist()
    assert model.config == figures.CONFIG
    assert sum(p.numel() for p in model.parameters()) == data["parameters"]
    assert (FOLDER / "model.safetensors").stat().st_size < 2_000_000
    train, held = tokens_of(tokenizer)
    assert data["tokens"] == {"train": len(train), "validation": len(held)}
    assert mean_loss(model, torch.tensor(held), 128) == pytest.approx(data["stored"], abs=2e-3)


def test_the_stored_tokenizer_is_learned_from_the_training_verses():
    parts_of = figures.split()
    again = figures.train_bpe(parts_of.train, figures.CONFIG.vocabulary, figures.SPECIALS)
    assert again.core.to_str() == psalmist().tokenizer.core.to_str()


def test_the_first_steps_of_the_recorded_run_come_out_again():
    torch.set_num_threads(1)
    train, _ = tokens_of(psalmist().tokenizer)
    g = generator(figures.SEED)
    run = figures.begin(
        figures.Decoder(figures.CONFIG, generator=g), train, figures.SETTINGS, generator=g
    )
    figures.train(run, 20)
    assert np.mean(run.losses) == pytest.approx(RECORD["data"]["training"]["losses"][0], abs=1e-3)


def test_the_psalmist_beats_counting_and_has_learned_more_of_what_it_has_read():
    recorded, counts = curves.read_recorded(RECORD), curves.data_counts()
    assert recorded.held[-1] < counts["triples"] - 0.15
    assert counts["triples"] < counts["pairs"] < counts["single tokens"]
    assert recorded.loss[-5:].mean() < recorded.held[-1] - 0.2
    assert recorded.stored == pytest.approx(recorded.held[-1], abs=2e-3)
    assert recorded.steps[-1] == recorded.checks[-1] == figures.SETTINGS.steps


def test_its_verses_end_and_are_made_of_known_words():
    known = {word.strip(",.:;?!()'").lower() for verse in verses() for word in verse.split()}
    drawn = [
        continued(psalmist(), "And", temperature=0.7, generator=generator(i)) for i in range(20)
    ]
    words = [word.strip(",.:;?!()'").lower() for text in drawn for word in text.split()]
    assert np.mean([word in known for word in words]) > 0.9
    assert sum(text[-1] in ".?!:;," for text in drawn) >= 18
    assert len(set(drawn)) == 20


def test_what_is_continued_repeats_with_its_generator():
    one, two, other = (continued(psalmist(), generator=generator(i)) for i in (3, 3, 4))
    assert one == two != other


# ------------------------------------------------------------------------------- its heads


def test_maps_are_the_weights_that_attention_has():
    tokens = torch.randint(1024, (2, 9), generator=generator())
    model = psalmist().model
    p = maps.attention_weights(model, tokens)
    assert p.shape == (4, 2, 4, 9, 9)
    assert torch.allclose(p.sum(-1), torch.ones(4, 2, 4, 9))
    assert (p.triu(1) == 0).all()
    seen = []

    def attention(q, k, v, mask):
        seen.append(grouped_attention(q, k, v, causal_mask(9, 9)))
        values = v.repeat_interleave(2, 1)
        torch.testing.assert_close(p[len(seen) - 1] @ values, seen[-1])
        return seen[-1]

    model(tokens, attention=attention)
    assert len(seen) == 4


def test_shares_are_means_over_the_queries_that_have_such_a_key():
    p = torch.rand(2, 3, 4, maps.WINDOW, maps.WINDOW, generator=generator())
    kind = torch.zeros(3, maps.WINDOW, maps.WINDOW, dtype=torch.bool)
    kind[0, 5, 2] = kind[0, 5, 3] = kind[2, 7, 0] = True
    expected = (p[:, 0, :, 5, 2] + p[:, 0, :, 5, 3] + p[:, 2, :, 7, 0]) / 2
    np.testing.assert_allclose(maps.share(p, kind), expected, rtol=1e-6)


def test_heads_have_habits_of_their_own():
    layer = {name: maps.top(x)[0] for name, x in habits()._asdict().items()}
    assert habits().previous.max() > 0.35
    assert np.median(habits().previous) < 0.2
    assert habits().near.max() > 0.7
    assert habits().far.max() > 0.6
    assert habits().marks.max() > 0.2
    assert (layer["near"], layer["far"], layer["marks"]) == (3, 0, 3)


def test_no_head_repeats_what_followed_an_earlier_copy():
    assert habits().after.max() < 0.1


# ------------------------------------------------------------------------------- parts


def test_a_state_forgets_and_attention_does_not():
    recall = parts.data_recall(rng=np.random.default_rng(1))
    assert (recall.attention > 0.99).all()
    assert (recall.state[recall.pairs <= 8] > 0.99).all()
    assert (np.diff(recall.state) <= 0.005).all()
    assert recall.state[-1] < 0.1


def test_the_state_of_the_figure_is_the_recurrence():
    keys, values = (parts.directions(7, 5, rng=np.random.default_rng(i)) for i in (0, 1))
    state = np.zeros((5, 5))
    for k, v in zip(keys, values, strict=True):
        state += np.outer(v, k)
    np.testing.assert_allclose(keys @ (keys.T @ values), keys @ state.T)


def test_scores_of_equal_pairs_are_means_of_cosines():
    data = parts.data_angles(generator=generator())
    i = 1 + int(np.searchsorted(data.distance, 17))
    far = int(data.distance[i])
    x = torch.ones(2, 64, dtype=torch.float64)
    q, k = pages.rotate(x, torch.tensor([0, far]), 100.0)
    assert float(q @ k) / 64 == pytest.approx(data.mean[0, i])
    assert data.shift < 1e-10
    late = data.distance > 500
    assert (data.mean[2, late].mean() > data.mean[1, late].mean() + 0.1).all()


def test_activation_curves_agree_with_their_slopes():
    for curve in parts.data_activations().values():
        step = curve.z[1] - curve.z[0]
        middle = (curve.value[2:] - curve.value[:-2]) / (2 * step)
        smooth = np.abs(curve.z[1:-1]) > step  # ReLU has a kink at 0
        np.testing.assert_allclose(middle[smooth], curve.slope[1:-1][smooth], atol=2e-3)


def test_masks_are_as_the_caption_says():
    drawn = list(parts.data_masks().values())
    assert drawn[0].sum(1).tolist() == [4, 5, 6, 7, 8]
    assert drawn[1].sum(1).tolist() == [1, 2, 3, 3, 3, 3, 3, 3]
    assert drawn[2].sum(1).tolist() == [1, 1, 1, 2, 3, 4, 5, 6]
    assert drawn[3].sum(1).tolist() == [1, 2, 3, 1, 2, 3, 4, 5]


# ------------------------------------------------------------------------------- the page


def test_published_models_have_the_sizes_that_are_known():
    assert {name: tuple(size) for name, size in pages.data_sizes().items()} == {
        "Llama 2 7B": (6_738_415_616, 524_288),
        "Qwen2.5 7B": (7_615_616_512, 57_344),
        "Qwen3 8B": (8_190_735_360, 147_456),
        "Qwen2 72B": (72_706_203_648, 327_680),
    }


def test_ways_that_must_agree_do():
    cached, flash, stored = pages.data_agreement()
    assert max(cached, flash) < 1e-12
    assert stored == 0


def test_the_bug_hunt_tells_a_wrong_rule_from_the_right_one():
    wrong = pages.data_hunt(lambda cached, new: torch.arange(new))
    right = pages.data_hunt(lambda cached, new: torch.arange(cached, cached + new))
    assert right.cached == pytest.approx(right.whole, abs=1e-4)
    assert wrong.whole == right.whole
    assert wrong.cached > wrong.whole + 0.3


def test_the_live_run_learns_within_its_steps():
    settings = Settings(steps=40, batch=8, window=32, rate=1e-2, warm_up=10, every=20)
    run = curves.data_live(settings, seed=1, quiet=True)
    assert run.losses[0] == pytest.approx(math.log(1024), abs=0.05)
    assert run.checks[-1][1] < 6.0


# ------------------------------------------------------------------------------- counting


def test_smoothed_counts_are_probabilities():
    ids = torch.randint(5, (60,), generator=generator()).tolist()
    counts = Ngrams(ids, 3, 6)  # token 5 was never seen
    for history in ((), (1,), (2, 3), (5, 5), (0, 5)):
        p = [counts.probability(token, history) for token in range(6)]
        assert sum(p) == pytest.approx(1)
        assert min(p) > 0


def test_counts_follow_witten_and_bell():
    counts = Ngrams([0, 1, 0, 2, 0, 1], 2, 4)
    one = (2 + 3 * (1 / 4)) / (6 + 3)  # 1 stands at two of six places; three kinds were seen
    assert counts.probability(1, ()) == pytest.approx(one)
    assert counts.probability(1, (0,)) == pytest.approx((2 + 2 * one) / (3 + 2))
    assert counts.probability(1, (3,)) == pytest.approx(one)  # 3 never stood before anything
    expected = -math.log(counts.probability(1, (0,)))
    assert counts.loss([0, 1]) == pytest.approx(expected)
