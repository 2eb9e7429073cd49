"""The decoder against Hugging Face's models, whose own code runs in float64."""

import pytest
import torch

pytestmark = pytest.mark.peers
transformers = pytest.importorskip("transformers")

from hugging_face import FAMILIES, float64, peer, tokens  # noqa: E402

from rlcourse.language import checkpoints, masks  # noqa: E402

every_family = pytest.mark.parametrize("family", FAMILIES)


def pair(family, folder, seed=3):
    """Their model and ours, in float64, from one checkpoint."""
    theirs = peer(family, seed)
    theirs.save_pretrained(folder)
    return theirs.double(), checkpoints.load(folder, dtype=torch.float64)


@every_family
def test_logits_agree_in_float64(family, tmp_path):
    with float64():
        theirs, ours = pair(family, tmp_path)
        for n in (1, 7, 40):
            expected = theirs(tokens(n)).logits
            assert torch.allclose(ours(tokens(n)), expected, rtol=0, atol=1e-12)


@every_family
def test_logits_agree_in_float32_as_it_comes(family, tmp_path):
    peer(family).save_pretrained(tmp_path)
    theirs = transformers.AutoModelForCausalLM.from_pretrained(tmp_path)
    found = checkpoints.load(tmp_path)(tokens(40))
    assert torch.allclose(found, theirs(tokens(40)).logits, rtol=1e-4, atol=1e-4)


@every_family
def test_padded_batches_and_caches_agree(family, tmp_path):
    text = tokens(9)
    present = torch.tensor([[0, 0, 0, 1, 1, 1, 1, 1, 1], [1] * 9]).bool()
    with float64():
        theirs, ours = pair(family, tmp_path)
        for here in (present, present.flip(1)):
            places = masks.padded_positions(here)
            expected = theirs(text, attention_mask=here.long(), position_ids=places).logits
            found = ours(text, positions=places, mask=masks.padded_mask(here, 9))
            assert torch.allclose(found[here], expected[here], rtol=0, atol=1e-12)
        first = theirs(text[:, :6], use_cache=True)
        then = theirs(text[:, 6:], cache=first.past_key_values).logits
        cache = ours.cache(2, 9)
        ours(text[:, :6], cache=cache)
        assert torch.allclose(ours(text[:, 6:], cache=cache), then, rtol=0, atol=1e-12)


@every_family
def test_what_we_save_is_read_without_a_word_of_complaint(family, tmp_path):
    theirs, ours = pair(family, tmp_path / "a")
    for shard_bytes in (None, 1500):
        checkpoints.save(ours.float(), tmp_path / "b", shard_bytes=shard_bytes)
        again, about = transformers.AutoModelForCausalLM.from_pretrained(
            tmp_path / "b", output_loading_info=True
        )
        assert not any(about.values()), about
        for (name, a), b in zip(theirs.named_parameters(), again.parameters(), strict=True):
            assert torch.equal(a.float(), b), name
