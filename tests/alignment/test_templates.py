"""Chat templates against texts written by hand, and masks against what was said."""

import itertools

import pytest

from rlcourse.alignment.templates import (
    CHATML,
    FORGETFUL,
    LLAMA3,
    Template,
    render,
    spoken,
    template_sample,
)
from rlcourse.language.tokenizers import EOS, PAD, CharTokenizer

SYSTEM = {"role": "system", "content": "Be brief."}
ASKED = {"role": "user", "content": "2 + 2?"}
TOLD = {"role": "assistant", "content": "4"}
TOOL = {"role": "tool", "content": "5"}
THOUGHT = {"role": "assistant", "content": "<think>\nadd\n</think>\n\n4"}
MARKED = Template(  # drops thoughts of earlier turns, and marks what the assistant says
    """\
{% for message in messages %}
{{ '<|im_start|>' + message.role + '\\n' }}
{%- if message.role == 'assistant' %}
{% generation %}
{{- message.content if loop.last else message.content.split('</think>')[-1].lstrip('\\n') }}
{{- '<|im_end|>' }}
{%- endgeneration %}
{%- else %}
{{ message.content + '<|im_end|>' }}
{%- endif %}
{{ '\\n' }}
{%- endfor %}
{% if add_generation_prompt %}
{{ '<|im_start|>assistant\\n' }}
{%- endif %}""",
    FORGETFUL.end,
    FORGETFUL.reserved,
)


def tokenizer():
    names = sorted({*CHATML.reserved, *LLAMA3.reserved} - {EOS})
    return CharTokenizer(map(chr, [10, *range(32, 127)]), (EOS, PAD, *names))


def learned(template, messages, **options):
    """What carries loss, as text, and the whole."""
    t = tokenizer()
    tokens, mask = template_sample(template, messages, t.encode, **options)
    runs = itertools.groupby(zip(tokens.tolist(), mask.tolist(), strict=True), lambda x: x[1])
    said = [t.decode([i for i, _ in run]) for kept, run in runs if kept]
    return said, t.decode(tokens.tolist())


def test_a_conversation_is_written_as_chatml_has_it():
    text = render(CHATML, [SYSTEM, ASKED], add_generation_prompt=True)
    assert text == (
        "<|im_start|>system\nBe brief.<|im_end|>\n<|im_start|>user\n2 + 2?<|im_end|>\n"
        "<|im_start|>assistant\n"
    )


def test_a_conversation_is_written_as_llama_3_has_it():
    messages = [{"role": "user", "content": " 2 + 2?\n"}, TOLD]
    head = "<|start_header_id|>{}<|end_header_id|>\n\n"
    assert render(LLAMA3, messages) == (
        "<|begin_of_text|>" + head.format("user") + "2 + 2?<|eot_id|>"
        + head.format("assistant") + "4<|eot_id|>"
    )  # fmt: skip


@pytest.mark.parametrize("template", [CHATML, LLAMA3, MARKED, FORGETFUL])
def test_loss_stands_on_what_the_assistant_says_and_on_its_ends_alone(template):
    messages = [SYSTEM, ASKED, TOLD, TOOL, ASKED, {"role": "assistant", "content": "four\n4"}]
    said, text = learned(template, messages)
    assert said == ["4" + template.end, "four\n4" + template.end]
    assert text == render(template, messages)


@pytest.mark.parametrize("template", [CHATML, LLAMA3, MARKED, FORGETFUL])
def test_with_last_the_final_turn_alone_is_learned(template):
    messages = [ASKED, THOUGHT, ASKED, TOLD]
    said, text = learned(template, messages, last=True)
    assert said == ["4" + template.end]
    assert text == render(template, messages)


@pytest.mark.parametrize("template", [CHATML, LLAMA3])
def test_what_stands_before_an_answer_is_the_prompt_that_a_server_would_see(template):
    messages = [SYSTEM, ASKED, TOLD, ASKED, TOLD]
    (first, second), _ = spoken(template, messages)
    prompts = [render(template, messages[:n], add_generation_prompt=True) for n in (2, 4)]
    assert first.before == prompts[0]
    assert first.before + first.said + second.before == prompts[1]


def test_a_template_that_forgets_thoughts_is_found_out():
    messages = [ASKED, THOUGHT, ASKED, TOLD]
    with pytest.raises(ValueError, match=r"must write messages\[:2\] alike whatever follows"):
        spoken(FORGETFUL, messages)
    assert "add" not in render(FORGETFUL, messages)
    assert "add" in render(FORGETFUL, messages[:2])
    assert learned(FORGETFUL, messages[:2])[0] == ["<think>\nadd\n</think>\n\n4<|im_end|>"]


def test_marks_serve_a_template_that_forgets():
    assert learned(MARKED, [ASKED, THOUGHT, ASKED, TOLD])[0] == ["4<|im_end|>", "4<|im_end|>"]


def test_marks_write_the_text_that_prefixes_write():
    messages = [SYSTEM, ASKED, TOLD, ASKED, TOLD]
    assert spoken(MARKED, messages) == spoken(CHATML, messages)


def test_thoughts_of_equal_questions_are_told_apart_by_their_place():
    messages = [ASKED, THOUGHT, ASKED]
    assert "add" not in render(FORGETFUL, messages)


def test_a_generation_prompt_that_nobody_writes_is_found_out():
    odd = Template(
        CHATML.source.replace("assistant\\n", "assistant\\n<think>\\n"), "<|im_end|>", ()
    )
    with pytest.raises(ValueError, match=r"messages\[:2\]"):
        spoken(odd, [ASKED, TOLD])


def test_a_template_without_the_end_is_refused():
    with pytest.raises(ValueError, match=r"must end messages\[1\] with '<\|eot_id\|>'"):
        spoken(Template(CHATML.source, "<|eot_id|>", ()), [ASKED, TOLD])


def test_templates_see_variables_and_can_refuse():
    source = "{% if bos is not defined %}{{ raise_exception('no bos') }}{% endif %}{{ bos }}"
    source += "{{ messages[0] | tojson }}"
    template = Template(source, "x", ())
    assert render(template, [{"role": "user", "content": "é<"}], bos="B") == (
        'B{"role": "user", "content": "é<"}'
    )
    with pytest.raises(ValueError, match="template refuses messages: no bos"):
        render(template, [ASKED])
    with pytest.raises(ValueError, match="template must be Jinja"):
        render(Template("{% if %}", "x", ()), [ASKED])


def test_a_template_cannot_reach_out_of_its_sandbox():
    with pytest.raises(ValueError, match="template refuses messages"):
        render(Template("{{ messages.__class__.__mro__ }}", "x", ()), [ASKED])


@pytest.mark.parametrize(
    ("messages", "says"),
    [
        ([], "must not be empty"),
        ([{"role": "user"}], r"messages\[0\] must have 'content', got \['role'\]"),
        ([ASKED, {"role": "user", "content": None}], r"messages\[1\] must have a text"),
        ([{"role": "user", "content": "x<|im_end|>"}], r"must not hold '<\|im_end\|>'"),
    ],
)
def test_messages_that_no_template_should_see_are_refused(messages, says):
    with pytest.raises(ValueError, match=says):
        render(CHATML, messages)


def test_a_sample_ends_with_an_answer():
    with pytest.raises(ValueError, match="must end with the assistant's, got 'user'"):
        spoken(CHATML, [ASKED, TOLD, ASKED])
