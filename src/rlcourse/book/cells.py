"""The five words a chapter's cells use: setup, show, live, glue, glued.

    from rlcourse.book import setup, show
    setup()
    show(gridworld.grid_mdp)                     # prints the tested function itself

They work in the book, in JupyterLab, in Colab and in VS Code. IPython is imported when called.
"""

import ast
import importlib.util
import inspect
import json
import os
import re
import textwrap
from collections.abc import Callable
from importlib import metadata
from pathlib import Path
from typing import Any

GLUED: dict[str, object] = {}
RECORD = "application/papermill.record/"  # MyST-NB keeps what is glued under this prefix, unseen


def setup() -> None:
    """Numbers print as numbers, figures come out as SVG in the book's one style."""
    import numpy as np

    # 3.7 instead of np.float64(3.7), and four digits, which is what a reader compares
    np.set_printoptions(precision=4, suppress=True, linewidth=88, legacy="1.25")
    if importlib.util.find_spec("rlcourse.plot") is not None:
        importlib.import_module("rlcourse.plot").use()


def show(*functions: Callable[..., Any] | str, doc: bool = False) -> None:
    """Display the source of tested functions (or classes) as Python, with a link to the file.

    Of a docstring only the first line stays, the formula or fact; doc=True keeps all of it. A
    function that can't be imported everywhere is given by its name, `package.module.function`.
    """
    from IPython.display import Markdown

    text = "\n\n".join(source_block(f, doc=doc) for f in functions)
    _display(Markdown(text))  # type: ignore[no-untyped-call]


def source_block(function: Callable[..., Any] | str, *, doc: bool = False) -> str:
    """A fenced Python block of the function's source, then where it stands.

    Raises ValueError for what has no Python source (a built-in, an object, an unknown name).
    """
    try:
        lines, first, path = _read(function) if isinstance(function, str) else _found(function)
    except (OSError, TypeError, ImportError) as error:
        raise ValueError(
            f"show: functions must have Python source, got {function!r}: {error}"
        ) from error
    source = textwrap.dedent("".join(lines)).rstrip()
    source = source if doc else first_line_of_docstring(source)
    return f"```python\n{source}\n```\n\n{place(path, first)}".rstrip()


def _found(function: Callable[..., Any]) -> tuple[list[str], int, Path]:
    """The lines of a function, the number of the first one, and the file."""
    function = inspect.unwrap(function)
    return *inspect.getsourcelines(function), Path(inspect.getfile(function))


def _read(name: str) -> tuple[list[str], int, Path]:
    """The same of `package.module.function`, whose module is read and not imported."""
    module, _, wanted = name.rpartition(".")
    spec = importlib.util.find_spec(module) if module else None
    if spec is None or spec.origin is None:
        raise OSError(f"there is no module {module!r}")
    path = Path(spec.origin)
    text = path.read_text("utf-8")
    for node in ast.parse(text).body:
        if isinstance(node, ast.FunctionDef | ast.ClassDef) and node.name == wanted:
            first = min([node.lineno, *(above.lineno for above in node.decorator_list)])
            return text.splitlines(keepends=True)[first - 1 : node.end_lineno], first, path
    raise OSError(f"{module} defines no {wanted!r}")


def first_line_of_docstring(source: str) -> str:
    """The source of one function or class, its docstring cut to the first line."""
    body = getattr(ast.parse(source).body[0], "body", [])
    if not (body and isinstance(body[0], ast.Expr) and isinstance(body[0].value, ast.Constant)):
        return source
    text, where = body[0].value.value, body[0]
    if not isinstance(text, str) or where.end_lineno is None:
        return source
    lines, raw = source.split("\n"), where.lineno - 1
    first, prefix = text.strip().split("\n")[0], "r" if "\\" in text else ""
    cut = f'{" " * where.col_offset}{prefix}"""{first}"""'
    return "\n".join([*lines[:raw], cut, *lines[where.end_lineno :]])


def place(path: Path, line: int) -> str:
    """`rlcourse/tabular/mdp.py`, line 42: a link where the repository is known."""
    package = Path(__file__).parents[1]
    if package not in path.parents:
        return ""
    name = path.relative_to(package.parent).as_posix()
    url = repository()
    text = f"`{name}`, line {line}"
    return f"[{text}]({url}/src/{name}#L{line})" if url else text


def repository() -> str:
    """The address that shows a file of the repository, without the file's path; "" if unknown.

    A checkout has it in _config.yml; a package installed from git knows where it came from.
    """
    config = Path(__file__).parents[3] / "_config.yml"
    if config.is_file():
        text = config.read_text("utf-8")
        url, branch = (re.search(rf"^  {key}: *(\S+)", text, re.M) for key in ("url", "branch"))
        return f"{url[1]}/blob/{branch[1]}" if url and branch else ""
    try:
        origin = json.loads(metadata.distribution("rlcourse").read_text("direct_url.json") or "{}")
    except metadata.PackageNotFoundError:
        return ""
    commit = origin.get("vcs_info", {}).get("commit_id")
    return f"{origin['url'].removesuffix('.git')}/blob/{commit}" if commit else ""


def live(figure: Callable[..., object], **controls: Any) -> None:
    """ipywidgets.interact where a kernel runs; in the book's pages the figure of the defaults.

    A control is a widget, or anything that `interact` makes one of: (low, high, step), a list.
    """
    from ipywidgets import interact, interactive

    if not os.environ.get("RLCOURSE_BOOK"):
        interact(figure, **controls)
        return
    parameters = inspect.signature(figure).parameters  # whose defaults are where sliders begin
    widgets = {
        name: interactive.widget_from_abbrev(of, parameters[name].default)
        for name, of in controls.items()
    }
    result = figure(**{name: widget.value for name, widget in widgets.items()})
    if result is not None:
        _display(result)


def glue(name: str, value: object) -> None:
    """Keep a number of the run under a name; the prose shows it with {glue:text}`name:.2f`."""
    from IPython.core.formatters import format_display_data

    GLUED[name] = value
    value = value.item() if hasattr(value, "item") and getattr(value, "size", 1) == 1 else value
    bundle, extra = format_display_data(value)  # type: ignore[no-untyped-call]
    _display(
        {RECORD + mime: data for mime, data in bundle.items()},
        raw=True,
        metadata={**extra, "scrapbook": {"name": name, "mime_prefix": RECORD}},
    )


def glued(*names: str) -> None:
    """Print numbers that were glued, each as the prose formats it: glued("error:.1e").

    Raises ValueError for a name that no cell has glued.
    """
    for name in names:
        key, _, form = name.partition(":")
        if key not in GLUED:
            raise ValueError(f"names must be glued by an earlier cell, got {key!r}: run them first")
        print(f"{key} = {format(GLUED[key], form)}")


def _display(thing: object, **options: Any) -> None:
    from IPython.display import display

    display(thing, **options)  # type: ignore[no-untyped-call]
