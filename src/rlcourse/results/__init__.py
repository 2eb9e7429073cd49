"""Recorded runs and benchmarks: what a page shows and no reader has to wait for.

`rlcourse.figures.<room>.<topic>` names its long runs in RECORDED, functions without arguments that
return plain data, and in RECORDED_MODULES the modules that these rest on. `record` runs them and
writes `<room>/<topic>.json` beside this file, together with a fingerprint of all that code;
`load` reads it, and refuses where the code has changed since.
"""

import ast
import hashlib
import importlib
import importlib.util
import json
import os
import platform
import re
import subprocess
import time
from collections.abc import Iterable, Mapping
from datetime import date
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent


def load(name: str) -> dict[str, Any]:
    """The committed JSON of a name such as "tabular/gridworld" or "benchmarks/gridworld".

    A recorded run has its data under "data", by the names in RECORDED. Raises ValueError where
    nothing was recorded under this name, or its code has changed since (a stale record).
    """
    path = _path(name)
    if not path.is_file():
        raise ValueError(f"name must be one of the recorded {names()}, got {name!r}")
    record: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    if "source" in record:
        code = record["modules"], _home(name), record["functions"]
        if fingerprint(*code) != record["source"]:
            raise ValueError(
                f"the record {name!r} of {record['date']} is stale: {', '.join(record['modules'])}"
                f" or {', '.join(record['functions'])} in {_home(name)} changed since;"
                f" run `make results TOPIC={name}`"
            )
    return record


def names() -> list[str]:
    """What `load` knows; folders of a room, such as a model's, hold no records."""
    paths = (*HERE.glob("*.json"), *HERE.glob("*/*.json"))
    return sorted(path.relative_to(HERE).with_suffix("").as_posix() for path in paths)


def record(topic: str) -> Path:
    """Run what rlcourse.figures.<room>.<topic> declares in RECORDED, and write the JSON file.

    Raises ValueError where the module declares nothing or a run returns no plain finite data.
    """
    home = _home(topic)
    module = importlib.import_module(home)
    runs, modules = (getattr(module, name, ()) for name in ("RECORDED", "RECORDED_MODULES"))
    if not runs or not modules:
        raise ValueError(f"topic must declare RECORDED and RECORDED_MODULES, {home} does not")
    functions = sorted({run.__name__ for run in runs.values()})
    content: dict[str, Any] = {
        "topic": topic,
        **circumstances("numpy"),
        "modules": list(modules),
        "functions": functions,
        "source": fingerprint(modules, home, functions),
        "seconds": {},
        "data": {},
    }
    for name, run in runs.items():
        began = time.perf_counter()
        content["data"][name] = run()
        content["seconds"][name] = round(time.perf_counter() - began, 3)
    return write(topic, content)


def write(name: str, content: Mapping[str, Any]) -> Path:
    """Write a mapping as JSON, one line a key, where `load(name)` finds it."""
    path = _path(name)
    lines = [f"{json.dumps(key)}: {json.dumps(content[key], allow_nan=False)}" for key in content]
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("{\n" + ",\n".join(lines) + "\n}\n", encoding="utf-8")
    return path


def _path(name: str) -> Path:
    if not re.fullmatch(r"\w+(/\w+)?", name):
        raise ValueError(f"name must look like 'tabular/gridworld', got {name!r}")
    return HERE / f"{name}.json"


def _home(topic: str) -> str:
    return f"rlcourse.figures.{topic.replace('/', '.')}"


# ------------------------------------------------------------------------------- circumstances


def circumstances(*packages: str) -> dict[str, Any]:
    """The date, the versions of Python, rlcourse and the packages, and the machine."""
    names = ("rlcourse", *packages)
    versions = {"python": platform.python_version(), **{name: _version(name) for name in names}}
    system = f"{platform.system()} {platform.machine()}"
    machine = {"cpu": _cpu(), "cores": os.cpu_count(), "system": system}
    return {"date": date.today().isoformat(), "versions": versions, "machine": machine}


def _version(package: str) -> str:
    return str(importlib.import_module(package).__version__)


def _cpu() -> str:
    """The processor's name, as the system tells it."""
    info = Path("/proc/cpuinfo")
    if info.exists() and (named := re.search(r"model name\s*: (.*)", info.read_text("utf-8"))):
        return named[1]
    if platform.system() == "Darwin":
        command = ["sysctl", "-n", "machdep.cpu.brand_string"]
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()
    return platform.processor() or "unknown"


# ------------------------------------------------------------------------------- fingerprints


def fingerprint(modules: Iterable[str], home: str, functions: Iterable[str]) -> str:
    """SHA-256 of the code of whole modules, and of functions of `home` with what they use there.

    Comments, docstrings and layout don't count, nor does the version of Python.
    """
    code = [_plain(_tree(name)) for name in modules]
    code += [_plain(node) for node in _used(_tree(home), functions)]
    return hashlib.sha256(json.dumps(code).encode()).hexdigest()


def _tree(module: str) -> ast.Module:
    spec = importlib.util.find_spec(module)
    if spec is None or spec.origin is None:
        raise ValueError(f"modules must have a source file, {module!r} has none")
    return ast.parse(Path(spec.origin).read_text(encoding="utf-8"))


def _plain(node: Any) -> Any:
    """A syntax tree as lists, without what differs between versions of Python: empty fields."""
    if isinstance(node, list):
        return [_plain(item) for item in node if not _is_text(item)]
    if not isinstance(node, ast.AST):
        return repr(node)
    fields = [(name, value) for name, value in ast.iter_fields(node) if value not in (None, [])]
    return [type(node).__name__, *([name, _plain(value)] for name, value in fields)]


def _is_text(node: Any) -> bool:
    """True for a docstring: a string that stands alone."""
    constant = node.value if isinstance(node, ast.Expr) else None
    return isinstance(constant, ast.Constant) and isinstance(constant.value, str)


def _used(tree: ast.Module, functions: Iterable[str]) -> list[ast.stmt]:
    """The top-level statements that define the functions, and all that these mention there."""
    wanted, used = set(functions), list[ast.stmt]()
    while fresh := [s for s in tree.body if s not in used and _defines(s) & wanted]:
        used += fresh
        wanted |= {n.id for s in fresh for n in ast.walk(s) if isinstance(n, ast.Name)}
    return [statement for statement in tree.body if statement in used]


def _defines(statement: ast.stmt) -> set[str]:
    if isinstance(statement, ast.FunctionDef | ast.ClassDef):
        return {statement.name}
    if isinstance(statement, ast.Import | ast.ImportFrom):
        return {alias.asname or alias.name.split(".")[0] for alias in statement.names}
    stored = (n for n in ast.walk(statement) if isinstance(n, ast.Name))
    return {n.id for n in stored if isinstance(n.ctx, ast.Store)}
