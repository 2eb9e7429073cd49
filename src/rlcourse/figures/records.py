"""Experiments as recorded runs: a NamedTuple of arrays to plain data, and back."""

from collections.abc import Callable
from typing import Any

import numpy as np


def run(seed: int, data: Callable[[np.random.Generator], Any]) -> dict[str, Any]:
    """An experiment and its seed, as plain data."""
    fields: dict[str, Any] = data(np.random.default_rng(seed))._asdict()
    return {"seed": seed} | {name: plain(x) for name, x in fields.items()}


def plain(data: Any, digits: int = 4) -> Any:
    """Arrays as rounded lists, in mappings too."""
    if isinstance(data, dict):
        return {name: plain(x, digits) for name, x in data.items()}
    if isinstance(data, np.ndarray):
        return data.round(digits).tolist()
    return data


def from_record(kind: type[Any], record: dict[str, Any], name: str) -> Any:
    """The experiment of a recorded run, as its NamedTuple with arrays."""
    fields = record["data"][name]

    def arrays(x: Any) -> Any:
        if isinstance(x, dict):
            return {key: arrays(value) for key, value in x.items()}
        return np.array(x) if isinstance(x, list) else x

    return kind(**{key: arrays(fields[key]) for key in kind._fields})
