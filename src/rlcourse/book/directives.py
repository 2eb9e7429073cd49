"""What the book adds to MyST: {quiz}, {graded}, the fold of a solution, the line of a page's cost.

| in the page                              | what the reader gets                             |
|------------------------------------------|--------------------------------------------------|
| ```` ```{quiz} ````                      | options that open to say why right or wrong      |
| ```` ```{graded} move ````               | Exercise move · 3 points · easy · 10 min         |
| a cell tagged `solution`                 | its output in a closed fold, its input gone      |
| any page with cells                      | how long its cells ran, under the title          |
"""

import math
from typing import Any, ClassVar, cast

from docutils import nodes
from docutils.parsers.rst import directives
from docutils.statemachine import StringList
from myst_nb.sphinx_ import HideCodeCellNode, NbMetadataCollector
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective

from .graded import title
from .quiz import Option, read_quiz

SECONDS = "Its cells took {seconds} s of CPU time when this page was built."


class details(nodes.General, nodes.Element):
    """A fold: closed until the reader opens it, without a script."""


class summary(nodes.General, nodes.Element):
    """What a closed fold shows."""


class QuizDirective(SphinxDirective):
    """A question with options; each opens to say why it is right or wrong."""

    has_content = True
    optional_arguments = 1
    final_argument_whitespace = True

    def run(self) -> list[nodes.Node]:
        try:
            quiz = read_quiz(self.arguments[0] if self.arguments else "", list(self.content))
        except ValueError as error:
            raise self.error(str(error)) from error
        box = nodes.container(classes=["quiz"])
        box += nodes.container("", *self.parse(quiz.question), classes=["quiz-question"])
        box.extend(self.option(option) for option in quiz.options)
        return [box]

    def option(self, option: Option) -> details:
        line = summary("", *self.parse([option.text])[0].children)
        verdict = "Right." if option.right else "Wrong."
        why = self.parse(option.why)
        why[0].insert(0, [nodes.strong(text=verdict), nodes.Text(" ")])
        kind = "right" if option.right else "wrong"
        return details("", line, *why, classes=["quiz-option", f"quiz-{kind}"])

    def parse(self, lines: list[str]) -> list[nodes.Element]:
        holder = nodes.container()
        text = StringList(lines, self.state_machine.document["source"])
        self.state.nested_parse(text, self.content_offset, holder)
        return cast(list[nodes.Element], holder.children)


class GradedDirective(SphinxDirective):
    """The title bar of an exercise, with the points of its checks, and the task below it."""

    has_content = True
    required_arguments = 1
    option_spec: ClassVar[dict[str, Any]] = {
        "difficulty": lambda value: directives.choice(value, ("easy", "medium", "hard")),
        "minutes": directives.positive_int,
    }

    def run(self) -> list[nodes.Node]:
        name = self.arguments[0]
        try:
            text = title(self.env.docname, name, self.options)
        except (ImportError, ValueError) as error:
            raise self.error(f"graded: {error}") from error
        label = f"exercise-{name.rpartition('.')[2]}"
        box = nodes.container(classes=["graded"], ids=[nodes.make_id(label)], names=[label])
        first, *facts = text.split(" · ")
        bar = nodes.paragraph(classes=["graded-title"])
        bar += [nodes.strong(text=first), *(nodes.inline(text=f" · {fact}") for fact in facts)]
        box += bar
        self.state.nested_parse(self.content, self.content_offset, box)
        domain = cast(Any, self.env.get_domain("std"))
        domain.labels[label] = (self.env.docname, nodes.make_id(label), first)
        domain.anonlabels[label] = (self.env.docname, nodes.make_id(label))
        return [box]


def fold_solutions(app: Sphinx, doctree: nodes.document) -> None:
    """A cell tagged `solution` shows its output alone, in a closed fold named Solution."""
    for cell in list(doctree.findall(nodes.container)):
        if cell.get("nb_element") == "cell_code" and "tag_solution" in cell["classes"]:
            shown = [
                child
                for child in cell.children
                if cast(nodes.Element, child).get("nb_element") != "cell_code_source"
            ]
            cell.children = []
            fold = details("", summary("", nodes.Text("Solution")), *shown, classes=["solution"])
            cell += fold


def say_seconds(app: Sphinx, doctree: nodes.document) -> None:
    """Under the title of a page with cells: what they took, from the cache."""
    data = NbMetadataCollector.get_exec_data(cast(Any, app.env), app.env.docname) or {}
    seconds = data.get("runtime")
    heading = next(doctree.findall(nodes.title), None)
    if seconds is None or heading is None:
        return
    text = SECONDS.format(seconds=max(1, math.ceil(seconds)))
    heading.parent.insert(1, nodes.paragraph(text=text, classes=["page-seconds"]))


def add_directives(app: Sphinx) -> None:
    """Register all of the above."""
    app.add_node(details, html=(_open_details, _close("details")))
    app.add_node(summary, html=(_open("summary"), _close("summary")))
    app.add_node(HideCodeCellNode, override=True, html=(_open_hidden, _close("details")))
    app.add_directive("quiz", QuizDirective)
    app.add_directive("graded", GradedDirective)
    app.connect("doctree-read", fold_solutions)
    app.connect("doctree-read", say_seconds)


def _open(tag: str) -> Any:
    return lambda writer, node: writer.body.append(writer.starttag(node, tag, ""))


def _close(tag: str) -> Any:
    return lambda writer, node: writer.body.append(f"</{tag}>\n")


def _open_details(writer: Any, node: details) -> None:
    writer.body.append(writer.starttag(node, "details"))


def _open_hidden(writer: Any, node: HideCodeCellNode) -> None:
    # as MyST-NB does, without its aria-label, which hides the words that stand there
    writer.body.append(writer.starttag(node, "details", CLASS="admonition hide"))
    show, hide = writer.encode(node["prompt_show"]), writer.encode(node["prompt_hide"])
    writer.body.append(
        f'<summary><span class="collapsed admonition-title">{show}</span>'
        f'<span class="expanded admonition-title">{hide}</span></summary>\n'
    )
