"""What a function moves between slow and fast memory: some answers are wrong in nothing else.

    @attention.check(points=1, slow=("k", "v"))
    def test_each_key_is_read_once(rng): ...

hands k and v to the function as SlowMemory (of the reference's module, rlcourse.systems), which
counts. A right answer moves no more of anything than the reference does.
"""

from collections.abc import Iterator, Mapping
from typing import Any

from .plain import Data, encode

WORDS = {"reads": "read {}", "writes": "wrote {}", "largest": "moved {} at once"}


def sunk(question: Data, case: Mapping[str, Any], types: Mapping[str, Any]) -> dict[str, Any]:
    """The case, with what the question names in slow memory."""
    slow = question.get("slow", ())
    return {n: types["SlowMemory"](x) if n in slow else x for n, x in case.items()}


def ashore(x: Any) -> Any:
    """The same value in ordinary arrays."""
    if hasattr(x, "traffic"):
        return x.values
    return type(x)(*map(ashore, x)) if hasattr(x, "_fields") else x


def traffic(case: Mapping[str, Any]) -> Data:
    """{"traffic": {argument: its traffic}}; nothing where no argument counts."""
    found = {n: encode(x.traffic) for n, x in case.items() if hasattr(x, "traffic")}
    return {"traffic": found} if found else {}


def excess(got: Data, expected: Data) -> dict[str, str]:
    """argument.field -> in words, for all of which more was moved than is needed."""
    return dict(_excess(got.get("traffic", {}), expected.get("traffic", {})))


def _excess(got: Data, expected: Data) -> Iterator[tuple[str, str]]:
    for name, needed in expected.items():
        mine = got.get(name, needed)["fields"]
        for field, most in needed["fields"].items():
            if mine[field] > most:
                did = WORDS[field].format(f"{mine[field]} elements of {name}")
                yield f"{name}.{field}", f"{did} where {most} would be enough"
