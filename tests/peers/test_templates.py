"""Chat templates against Hugging Face's `apply_chat_template`, on the same Jinja."""

import pytest

pytestmark = pytest.mark.peers
transformers = pytest.importorskip("transformers")

from rlcourse.alignment.templates import (  # noqa: E402
    CHATML,
    FORGETFUL,
    LLAMA3,
    Template,
    render,
    template_sample,
)
from rlcourse.language.tokenizers import EOS, PAD, train_bpe  # noqa: E402

NAMES = sorted({*CHATML.reserved, *LLAMA3.reserved} - {EOS})
CHAT = [
    {"role": "system", "content": "Be brief."},
    {"role": "user", "content": " 2 + 2?\n"},
    {"role": "assistant", "content": "<think>\ntwo\n</think>\n\n4"},
    {"role": "user", "content": "And 3 + 3?"},
    {"role": "assistant", "content": "6, été"},
]
MARKED = Template(
    """\
{% for message in messages %}
    {{- '<|im_start|>' + message.role + '\\n' }}
    {%- if message.role == 'assistant' %}
        {% generation %}
        {{- message.content + '<|im_end|>' }}
        {%- endgeneration %}
    {%- else %}
        {{- message.content + '<|im_end|>' }}
    {%- endif %}
{{ '\\n' }}
{%- endfor %}""",
    CHATML.end,
    CHATML.reserved,
)


def pair():
    """A byte-level tokenizer, and Hugging Face's with the same vocabulary."""
    ours = train_bpe([m["content"] for m in CHAT], 300, (EOS, PAD, *NAMES))
    peer = transformers.PreTrainedTokenizerFast(tokenizer_object=ours.core, eos_token=EOS)
    return ours, peer


@pytest.mark.parametrize("template", [CHATML, LLAMA3, FORGETFUL, MARKED])
@pytest.mark.parametrize("opened", [False, True])
def test_texts_are_those_of_apply_chat_template(template, opened):
    _, peer = pair()
    for n in range(1, len(CHAT) + 1):
        expected = peer.apply_chat_template(
            CHAT[:n], chat_template=template.source, tokenize=False, add_generation_prompt=opened
        )
        assert render(template, CHAT[:n], add_generation_prompt=opened) == expected


def test_marked_tokens_carry_the_loss_that_hugging_face_gives_them():
    ours, peer = pair()
    expected = peer.apply_chat_template(
        CHAT, chat_template=MARKED.source, return_dict=True, return_assistant_tokens_mask=True
    )
    tokens, mask = template_sample(MARKED, CHAT, ours.encode)
    assert tokens.tolist() == expected["input_ids"]
    assert mask.int().tolist() == expected["assistant_masks"]
    assert mask.tolist() == template_sample(CHATML, CHAT, ours.encode).mask.tolist()
