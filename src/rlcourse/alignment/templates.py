"""Chat templates: a conversation becomes one text, and of its tokens some carry loss.

    text     a template in Jinja writes headers, contents and ends, as transformers has it do it
    prompt   the text of the turns so far, and the header that opens the assistant's
    said     what the assistant's turn adds to its prompt, up to the token that ends it: learned

The cut is found by writing the conversation up to each of the assistant's turns, without it and
with it: the one must begin with the other, and the whole with both. A template that rewrites the
past breaks that. Qwen3's does: it drops the thoughts of earlier turns. Then either the template
marks what the assistant says, between {% generation %} and {% endgeneration %}, or each turn
becomes a sample of its own (`last=True`).

Prompt and answer become tokens apart from each other, as they do when the model is served.

Sources: OpenAI's ChatML; Llama 3's model card; the environment and {% generation %} are those of
transformers' `apply_chat_template`. What it has for tools and documents goes in as `variables`.
"""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any, NamedTuple, NoReturn

import jinja2
from jinja2 import nodes
from jinja2.ext import Extension
from jinja2.parser import Parser
from jinja2.sandbox import ImmutableSandboxedEnvironment

from rlcourse.alignment.data import Sample, Turn, chat_sample

Message = Mapping[str, Any]
OPEN, CLOSE = "\ue000", "\ue001"  # private characters: they mark what the assistant says


@dataclass(frozen=True)
class Template:
    """A Jinja text, the name of the token that ends a turn, and those that no content may hold.

    Who could write "<|im_end|>" into a turn could end it, and go on as the system.
    """

    source: str
    end: str
    reserved: tuple[str, ...]


class Spoken(NamedTuple):
    """A turn of the assistant: the text before it, from the end of the last one on, and its own."""

    before: str
    said: str


# ------------------------------------------------------------------------------- three templates

CHATML = Template(
    """\
{% for message in messages %}
{{ '<|im_start|>' + message.role + '\\n' + message.content + '<|im_end|>\\n' }}
{%- endfor %}
{% if add_generation_prompt %}
{{ '<|im_start|>assistant\\n' }}
{%- endif %}""",
    "<|im_end|>",
    ("<|im_start|>", "<|im_end|>", "<|endoftext|>"),
)

LLAMA3 = Template(
    """\
{{ '<|begin_of_text|>' }}
{%- for message in messages %}
{{ '<|start_header_id|>' + message.role + '<|end_header_id|>\\n\\n' }}
{{- message.content | trim + '<|eot_id|>' }}
{%- endfor %}
{% if add_generation_prompt %}
{{ '<|start_header_id|>assistant<|end_header_id|>\\n\\n' }}
{%- endif %}""",
    "<|eot_id|>",
    ("<|begin_of_text|>", "<|start_header_id|>", "<|end_header_id|>", "<|eot_id|>"),
)

FORGETFUL = Template(  # ChatML that drops thoughts before the last question, as Qwen3's does
    """\
{% set ns = namespace(question=0) %}
{% for message in messages %}
{% if message.role == 'user' %}
{% set ns.question = loop.index0 %}
{% endif %}
{% endfor %}
{% for message in messages %}
{{ '<|im_start|>' + message.role + '\\n' }}
{%- if message.role == 'assistant' and loop.index0 < ns.question %}
{{ message.content.split('</think>')[-1].lstrip('\\n') + '<|im_end|>\\n' }}
{%- else %}
{{ message.content + '<|im_end|>\\n' }}
{%- endif %}
{% endfor %}
{% if add_generation_prompt %}
{{ '<|im_start|>assistant\\n' }}
{%- endif %}""",
    CHATML.end,
    CHATML.reserved,
)


# ------------------------------------------------------------------------------- the text


class _Generation(Extension):
    """{% generation %} … {% endgeneration %} puts its text between OPEN and CLOSE."""

    tags = {"generation"}  # noqa: RUF012 - Jinja reads it from the class

    def parse(self, parser: Parser) -> nodes.Node:
        line = next(parser.stream).lineno
        body = parser.parse_statements(("name:endgeneration",), drop_needle=True)
        return nodes.CallBlock(self.call_method("_mark"), [], [], body).set_lineno(line)

    def _mark(self, caller: Callable[[], str]) -> str:
        return OPEN + caller() + CLOSE


@cache
def _compiled(source: str) -> jinja2.Template:
    environment = ImmutableSandboxedEnvironment(
        trim_blocks=True, lstrip_blocks=True, extensions=[_Generation, "jinja2.ext.loopcontrols"]
    )
    environment.globals["raise_exception"] = _refuse
    environment.filters["tojson"] = lambda x, indent=None: json.dumps(
        x, ensure_ascii=False, indent=indent
    )
    try:
        return environment.from_string(source)
    except jinja2.TemplateError as error:
        raise ValueError(f"template must be Jinja: {error}") from None


def _refuse(message: str) -> NoReturn:
    raise jinja2.TemplateError(message)


def _marked(
    template: Template, messages: Sequence[Message], opened: bool, variables: Mapping[str, Any]
) -> str:
    try:
        return _compiled(template.source).render(
            messages=list(messages), add_generation_prompt=opened, **variables
        )
    except jinja2.TemplateError as error:
        raise ValueError(f"template refuses messages: {error}") from None


def render(
    template: Template,
    messages: Sequence[Message],
    *,
    add_generation_prompt: bool = False,
    **variables: Any,
) -> str:
    """The text of a conversation, and with `add_generation_prompt` the assistant's next header.

    messages are mappings with "role" and "content". Raises ValueError for one that lacks them or
    whose content holds a reserved name, for none, and where the template refuses.
    """
    _checked(template, messages)
    text = _marked(template, messages, add_generation_prompt, variables)
    return text.replace(OPEN, "").replace(CLOSE, "")


def _checked(template: Template, messages: Sequence[Message]) -> None:
    if not messages:
        raise ValueError("messages must not be empty, got none")
    for i, message in enumerate(messages):
        if missing := [key for key in ("role", "content") if key not in message]:
            raise ValueError(f"messages[{i}] must have {missing[0]!r}, got {[*message]}")
        content = message["content"]
        if not isinstance(content, str):
            raise ValueError(f"messages[{i}] must have a text as content, got {content!r}")
        for name in (*template.reserved, OPEN, CLOSE):
            if name in content:
                raise ValueError(f"messages[{i}] must not hold {name!r}, got {content!r}")


# ------------------------------------------------------------------------------- what is learned


def spoken(
    template: Template, messages: Sequence[Message], *, last: bool = False, **variables: Any
) -> tuple[list[Spoken], str]:
    """The assistant's turns with what stands before each, and the text behind the last of them.

    All together they are `render(template, messages)`. With `last` the final turn alone counts as
    the assistant's. Raises ValueError where the messages don't end with a turn of the assistant,
    where a template rewrites turns that stood already, and where it doesn't end one with its end.
    """
    _checked(template, messages)
    if messages[-1]["role"] != "assistant":
        raise ValueError(f"messages must end with the assistant's, got {messages[-1]['role']!r}")
    text = _marked(template, messages, False, variables)
    if OPEN in text:
        return _from_marks(text, last)
    return _from_prefixes(template, messages, text, last, variables)


def _from_marks(text: str, last: bool) -> tuple[list[Spoken], str]:
    *parts, rest = text.split(CLOSE)
    turns = [Spoken(*part.split(OPEN)) for part in parts]
    if last:
        turns = [Spoken("".join(map("".join, turns[:-1])) + turns[-1].before, turns[-1].said)]
    return turns, rest


def _from_prefixes(
    template: Template,
    messages: Sequence[Message],
    text: str,
    last: bool,
    variables: Mapping[str, Any],
) -> tuple[list[Spoken], str]:
    turns, done = [], 0
    for i, message in enumerate(messages):
        if message["role"] != "assistant" or (last and i + 1 < len(messages)):
            continue
        prompt = _marked(template, messages[:i], True, variables)
        whole = _marked(template, messages[: i + 1], False, variables)
        if not (text.startswith(whole) and whole.startswith(prompt)):
            raise ValueError(
                f"template must write messages[:{i + 1}] alike whatever follows, it doesn't: mark "
                "with {% generation %} what is learned, or take each turn as the last of a sample"
            )
        said, end, _ = whole[len(prompt) :].rpartition(template.end)
        if not end:
            raise ValueError(f"template must end messages[{i}] with {template.end!r}, it doesn't")
        turns.append(Spoken(text[done : len(prompt)], said + end))
        done = len(prompt) + len(said + end)
    return turns, text[done:]


def template_sample(
    template: Template,
    messages: Sequence[Message],
    encode: Callable[[str], list[int]],
    *,
    last: bool = False,
    **variables: Any,
) -> Sample:
    """The tokens of a conversation, and True for what the assistant says and its ends.

    `encode` reads the names of special tokens as these tokens. Errors are those of `spoken`.
    """
    turns, rest = spoken(template, messages, last=last, **variables)
    tokens = [Turn("assistant", encode(t.before), encode(t.said), []) for t in turns]
    tokens[-1] = tokens[-1]._replace(after=encode(rest))
    return chat_sample(tokens)
