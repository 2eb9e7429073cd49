"""The trained model of the language room, in Hugging Face's transformers."""

import pytest
import torch

from rlcourse.figures.language.psalmist import FOLDER, psalmist

transformers = pytest.importorskip("transformers")
pytestmark = pytest.mark.peers


def test_transformers_loads_the_folder_and_agrees_about_the_logits():
    ours, tokenizer = psalmist()
    theirs, about = transformers.AutoModelForCausalLM.from_pretrained(
        FOLDER, dtype=torch.float32, output_loading_info=True
    )
    assert not about["missing_keys"]
    assert not about["unexpected_keys"]
    ids = torch.tensor([tokenizer.encode("And God said, Let there be light.")])
    with torch.no_grad():
        torch.testing.assert_close(theirs(ids).logits, ours(ids), rtol=0, atol=2e-4)


def test_transformers_cuts_texts_into_the_same_tokens():
    ours = psalmist().tokenizer
    theirs = transformers.AutoTokenizer.from_pretrained(FOLDER)
    for text in ("And it came to pass,", " élan\n", "a<|endoftext|>b<|im_end|>"):
        assert theirs(text).input_ids == ours.encode(text)
        assert theirs.decode(ours.encode(text)) == text
    assert (theirs.eos_token_id, theirs.pad_token_id) == (ours.eos, ours.pad)
