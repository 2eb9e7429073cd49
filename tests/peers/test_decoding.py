"""Decoding against Hugging Face's `generate` and its logits processors, on one small model."""

import pytest
import torch

pytestmark = pytest.mark.peers
transformers = pytest.importorskip("transformers")

from rlcourse.language import sampling as ours  # noqa: E402
from rlcourse.language.beam import beam_search  # noqa: E402
from rlcourse.language.config import Config  # noqa: E402
from rlcourse.language.decoding import generate, left_pad  # noqa: E402
from rlcourse.language.transformer import Decoder  # noqa: E402

PROMPTS = [[5, 2, 7, 7, 1], [3], [4, 4, 6]]


def pair(vocabulary=12, seed=0):
    """A Decoder and Hugging Face's Qwen3 with the same weights."""
    generator = torch.Generator().manual_seed(seed)
    config = Config(vocabulary, 16, 2, 4, 2, 8, 24, positions=64, qk_norm=True)
    model = Decoder(config, generator=generator)
    for p in model.parameters():
        p.data += 0.25 * torch.randn(p.shape, generator=generator)
    peer = transformers.Qwen3ForCausalLM(
        transformers.Qwen3Config(
            vocab_size=vocabulary, hidden_size=16, num_hidden_layers=2, num_attention_heads=4,
            num_key_value_heads=2, head_dim=8, intermediate_size=24, max_position_embeddings=64,
            tie_word_embeddings=True, rms_norm_eps=1e-6,
        )
    )  # fmt: skip
    weights = {f"model.{name}": p for name, p in model.state_dict().items()}
    peer.load_state_dict({**weights, "lm_head.weight": model.head.detach()})
    return model, peer.eval()


def ask(peer, prompts, **options):
    """The new tokens and scores of Hugging Face's generate, padded on the left with 0."""
    tokens, present = left_pad(prompts, 0)
    found = peer.generate(
        input_ids=tokens, attention_mask=present.long(), pad_token_id=0,
        return_dict_in_generate=True, output_scores=True, **options,
    )  # fmt: skip
    return found.sequences[:, tokens.shape[1] :], getattr(found, "sequences_scores", None)


@pytest.mark.parametrize("eos", [(), (6,), (6, 9)])
@pytest.mark.parametrize("penalty", [None, 1.3])
def test_greedy_texts_are_the_same(eos, penalty):
    model, peer = pair()
    found = generate(
        model, PROMPTS, sampling=ours.Sampling(0.0, repetition_penalty=penalty), max_tokens=12,
        eos=eos, pad=0, generator=None,
    )  # fmt: skip
    for row, mask, prompt in zip(found.response, found.mask, PROMPTS, strict=True):
        expected = ask(
            peer, [prompt], max_new_tokens=12, do_sample=False, eos_token_id=[*eos] or None,
            repetition_penalty=penalty or 1.0,
        )[0]  # fmt: skip
        assert row[mask].tolist() == expected[0].tolist()


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("beams", [2, 4])
@pytest.mark.parametrize("early_stopping", [False, True])
@pytest.mark.parametrize("penalty", [-1.0, 0.0, 1.0, 2.5])
def test_beams_are_the_same(seed, beams, early_stopping, penalty):
    model, peer = pair(seed=seed)
    for prompt, eos in (PROMPTS[0], (6,)), (PROMPTS[2], (3, 8)), (PROMPTS[1], ()):
        found = beam_search(
            model, prompt, beams=beams, max_tokens=9, eos=eos, length_penalty=penalty,
            early_stopping=early_stopping,
        )  # fmt: skip
        texts, scores = ask(
            peer, [prompt], num_beams=beams, num_return_sequences=beams, max_new_tokens=9,
            do_sample=False, eos_token_id=[*eos] or None, length_penalty=penalty,
            early_stopping=early_stopping,
        )  # fmt: skip
        for beam, text, score in zip(found, texts.tolist(), scores.tolist(), strict=True):
            assert list(beam.tokens) == text[: len(beam.tokens)]
            assert beam.score == pytest.approx(score, abs=1e-4)


def test_each_processor_is_the_same():
    g = torch.Generator().manual_seed(1)
    z = 3 * torch.randn(5, 12, generator=g)
    tokens = torch.randint(12, (5, 4), generator=g)
    cases = [
        (transformers.TemperatureLogitsWarper(0.6), ours.with_temperature(z, 0.6)),
        (transformers.TopKLogitsWarper(4), ours.keep_top_k(z, 4)),
        (transformers.TopPLogitsWarper(0.8), ours.keep_top_p(z, 0.8)),
        (transformers.MinPLogitsWarper(0.1), ours.keep_min_p(z, 0.1)),
        (
            transformers.RepetitionPenaltyLogitsProcessor(1.4),
            ours.penalise_repetition(z, tokens, 1.4),
        ),
    ]
    for theirs, mine in cases:
        assert torch.allclose(theirs(tokens, z.clone()), mine, rtol=1e-6), type(theirs).__name__
