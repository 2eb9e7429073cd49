"""Generation against one prompt at a time, no cache, enumeration and counting."""

import itertools

import pytest
import torch

from rlcourse.language import decoding
from rlcourse.language.beam import beam_search, beam_step
from rlcourse.language.config import Config
from rlcourse.language.decoding import generate
from rlcourse.language.sampling import GREEDY, Sampling, process, sampled_log_probs
from rlcourse.language.transformer import Decoder

PROMPTS = [[5, 2, 7, 7, 1], [3], [4, 4, 6]]


def model_of(vocabulary=9, seed=0, sharp=1.5):
    generator = torch.Generator().manual_seed(seed)
    config = Config(vocabulary, 12, 2, 4, 2, 6, 16, positions=40)
    model = Decoder(config, generator=generator).double()
    for p in model.parameters():
        p.data += 0.3 * torch.randn(p.shape, generator=generator, dtype=torch.float64)
    model.norm.weight.data *= sharp
    return model


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


def options(**changes):
    base = {"sampling": Sampling(), "max_tokens": 8, "eos": (), "pad": 0, "generator": seeded()}
    return base | changes


def test_prompts_end_in_the_last_column():
    tokens, present = decoding.left_pad(PROMPTS, pad=8)
    assert tokens.tolist() == [[5, 2, 7, 7, 1], [8, 8, 8, 8, 3], [8, 8, 4, 4, 6]]
    assert present.sum(1).tolist() == [5, 1, 3]
    assert [row[here].tolist() for row, here in zip(tokens, present, strict=True)] == PROMPTS


def test_a_response_ends_with_its_first_end():
    response = torch.tensor([[1, 2, 0, 0, 0], [3, 3, 3, 3, 3], [0, 1, 2, 0, 1], [1, 7, 2, 0, 0]])
    assert decoding.response_mask(response, [0, 7]).int().tolist() == [
        [1, 1, 1, 0, 0],
        [1, 1, 1, 1, 1],
        [1, 0, 0, 0, 0],
        [1, 1, 0, 0, 0],
    ]


def test_a_batch_writes_what_each_prompt_alone_would():
    model = model_of()
    batch = generate(model, PROMPTS, **options(sampling=GREEDY))
    for i, prompt in enumerate(PROMPTS):
        alone = generate(model, [prompt], **options(sampling=GREEDY))
        assert torch.equal(batch.response[i], alone.response[0])


def test_the_cache_changes_nothing():
    model = model_of()
    found = generate(model, [PROMPTS[0]], **options(sampling=GREEDY))
    row = [*PROMPTS[0]]
    for _ in range(8):
        row.append(int(model(torch.tensor([row]))[0, -1].argmax()))
    assert found.tokens[0].tolist() == row


def test_log_probs_are_those_of_the_distribution_that_was_drawn_from():
    model = model_of()
    sampling = Sampling(0.8, top_k=5, repetition_penalty=1.2)
    found = generate(model, PROMPTS, **options(sampling=sampling, eos=[6]))
    for i, prompt in enumerate(PROMPTS):
        row = [*prompt]
        for token, kept, log_prob in zip(
            found.response[i].tolist(), found.mask[i], found.log_probs[i], strict=True
        ):
            if not kept:
                assert token == 0
                assert log_prob == 0
                continue
            text = torch.tensor([row])
            z = process(model(text)[:, -1], text, sampling)
            assert torch.allclose(
                sampled_log_probs(z, torch.tensor([token]))[0], log_prob, rtol=0, atol=1e-12
            )
            row.append(token)


def test_samples_come_as_often_as_the_model_says():
    model, n = model_of(vocabulary=5, sharp=0.6), 4000
    found = generate(model, [[1, 2]] * n, **options(max_tokens=2))
    counts = torch.zeros(25)
    counts += (found.response[:, 0] * 5 + found.response[:, 1]).bincount(minlength=25)
    first = model(torch.tensor([[1, 2]]))[0, -1].softmax(-1)
    second = model(torch.tensor([[1, 2, i] for i in range(5)]))[:, -1].softmax(-1)
    expected = (n * first[:, None] * second).flatten().detach()
    assert float(((counts - expected) ** 2 / expected).sum()) < 51.2  # χ² of 24: 1 in 1000


def test_a_seed_gives_one_text_and_rows_draw_for_themselves():
    model = model_of()
    one, two = (generate(model, PROMPTS, **options(generator=seeded(3))) for _ in range(2))
    assert all(torch.equal(a, b) for a, b in zip(one, two, strict=True))
    alone = generate(model, PROMPTS[:1], **options(generator=seeded(3)))
    assert torch.equal(alone.response[0], one.response[0])


def test_it_stops_when_all_rows_have_ended():
    model = model_of()
    free = generate(model, PROMPTS, **options(sampling=GREEDY, max_tokens=20))
    ends = [int(free.response[0, 3]), int(free.response[1, 1]), int(free.response[2, 5])]
    found = generate(model, PROMPTS, **options(sampling=GREEDY, max_tokens=20, eos=ends))
    firsts = [min(row.tolist().index(e) for e in ends if e in row) for row in free.response]
    assert found.response.shape[1] == max(firsts) + 1
    assert found.mask.sum(1).tolist() == [first + 1 for first in firsts]
    assert torch.equal(found.present[:, 5:], found.mask)
    for row, mask, whole in zip(found.response, found.mask, free.response, strict=True):
        assert torch.equal(row[mask], whole[: int(mask.sum())])
        assert (row[~mask] == 0).all()


def test_what_was_generated_can_be_trained_on():
    model = model_of()
    found = generate(model, PROMPTS, **options())
    model(found.tokens).sum().backward()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"prompts": []}, "prompts must not be empty, got none"),
        ({"prompts": [[1], []]}, "prompts must have a token each, number 1 has none"),
        ({"prompts": [[1], [2, 9]]}, r"prompts\[1\] must hold ids in \[0, 9\), got 9"),
        ({"eos": [11]}, r"eos must hold ids in \[0, 9\), got 11"),
        ({"max_tokens": 0}, "max_tokens must be at least 1, got 0"),
        ({"max_tokens": 36}, "room for a prompt of 5 among 40 positions, got 36"),
        ({"generator": None}, "generator must be given unless temperature is 0, got None"),
    ],
)
def test_requests_that_cannot_be_met_are_refused(changes, message):
    with pytest.raises(ValueError, match=message):
        generate(model_of(), **{"prompts": PROMPTS} | options(**changes))


# ------------------------------------------------------------------------------- beams


def test_a_beam_step_ranks_every_continuation():
    scores = torch.tensor([[0.0, -1.0], [-2.0, -2.0]])
    log_probs = torch.tensor([[[-1.0, -3.0, -0.5], [-0.5, 0.0, -9.0]], [[-1.0, -1.0, -1.0]] * 2])
    step = beam_step(scores, log_probs, 4)
    assert step.score.tolist() == [[-0.5, -1.0, -1.0, -1.5], [-3.0] * 4]
    assert step.parent.tolist() == [[0, 0, 1, 1], [0, 0, 0, 1]]
    assert step.token.tolist() == [[2, 0, 1, 0], [0, 1, 2, 0]]


def test_one_beam_is_greedy():
    model = model_of()
    greedy = generate(model, [PROMPTS[0]], **options(sampling=GREEDY))
    (beam,) = beam_search(model, PROMPTS[0], beams=1, max_tokens=8, eos=())
    assert list(beam.tokens) == greedy.response[0].tolist()


def test_enough_beams_find_the_best_of_all_texts():
    model = model_of(vocabulary=4)
    every = torch.tensor([*itertools.product(range(4), repeat=3)])
    whole = torch.cat([torch.tensor([[1, 2]]).expand(64, 2), every], 1)
    log_probs = model(whole)[:, 1:-1].log_softmax(-1)
    total = log_probs.gather(2, every[..., None])[..., 0].sum(1)
    best = total.sort(descending=True)
    found = beam_search(model, [1, 2], beams=16, max_tokens=3, eos=())
    assert [beam.tokens for beam in found[:5]] == [
        tuple(every[i].tolist()) for i in best.indices[:5]
    ]
    for beam, expected in zip(found, best.values, strict=False):
        assert beam.log_prob == pytest.approx(expected.item(), abs=1e-12)
        assert beam.score == pytest.approx(expected.item() / 3, abs=1e-12)


def test_a_longer_text_wins_with_a_larger_length_penalty():
    model = model_of(seed=4)
    end = int(generate(model, [PROMPTS[0]], **options(sampling=GREEDY)).response[0, 2])
    lengths = []
    for penalty in (-2.0, 0.0, 1.0, 4.0):
        found = beam_search(
            model, PROMPTS[0], beams=4, max_tokens=8, eos=[end], length_penalty=penalty
        )
        assert found == sorted(found, key=lambda beam: -beam.score)
        assert all(beam.tokens[-1] == end or len(beam.tokens) == 8 for beam in found)
        lengths.append(len(found[0].tokens))
    assert lengths == sorted(lengths)
    assert lengths[0] < lengths[-1]


def test_a_beam_search_without_beams_is_refused():
    with pytest.raises(ValueError, match="beams must be at least 1, got 0"):
        beam_search(model_of(), [1], beams=0, max_tokens=2, eos=())
    with pytest.raises(ValueError, match="prompt must have a token, got none"):
        beam_search(model_of(), [], beams=2, max_tokens=2, eos=())
