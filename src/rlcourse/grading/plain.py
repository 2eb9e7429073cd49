"""Plain data: what questions and answers are made of. Nothing in them can execute.

    null, true, 1, 1.5, "a", [value, ...], {"tuple": [...]}, {"dict": {...}},
    {"record": type, "fields": {...}},
    {"array" or "tensor": dtype, "shape": [...], "data": base64}

They survive JSON, so that a question may as well be answered in another process.
"""

import dataclasses
import sys
from binascii import a2b_base64, b2a_base64
from collections import namedtuple
from collections.abc import Mapping
from functools import cache
from typing import Any

import numpy as np

Data = Any  # plain data as above
INTEGERS = ("uint8", "int8", "int16", "int32", "int64")
DTYPES = {"bool", *INTEGERS, "float16", "bfloat16", "float32", "float64"}


def encode(x: Any) -> Data:
    """The plain data that stand for x; TypeError for what has none."""
    torch = sys.modules.get("torch")
    if x is None or isinstance(x, (bool, str)):
        return x
    if isinstance(x, (np.ndarray, np.generic)):
        native = x if x.dtype.isnative else x.astype(x.dtype.newbyteorder("="))
        return _raw("array", _name(x.dtype), x.shape, native.tobytes())
    if torch and isinstance(x, torch.Tensor):
        name, host = _name(x.dtype), x.detach().cpu()
        host = host.view(torch.int16) if name == "bfloat16" else host  # NumPy has none
        return _raw("tensor", name, x.shape, host.numpy().tobytes())
    if isinstance(x, int) and abs(x) < 2**63:
        return int(x)
    if isinstance(x, float):
        return float(x)
    if isinstance(x, list):
        return [encode(v) for v in x]
    if isinstance(x, dict):
        return {"dict": {str(k): encode(v) for k, v in x.items()}}
    if isinstance(x, tuple) and not hasattr(x, "_fields"):
        return {"tuple": [encode(v) for v in x]}
    return {"record": type(x).__name__, "fields": {n: encode(v) for n, v in _fields(x).items()}}


def _fields(x: Any) -> dict[str, Any]:
    """The fields of a NamedTuple or dataclass; TypeError for anything else."""
    if hasattr(x, "_asdict"):
        return dict(x._asdict())
    if dataclasses.is_dataclass(x) and not isinstance(x, type):
        return {f.name: getattr(x, f.name) for f in dataclasses.fields(x)}
    raise TypeError(f"{type(x).__name__} is not a number, string, array, tensor or tuple of them")


@cache
def _name(dtype: Any) -> str:
    """What a type of numbers is called; TypeError for one that isn't in DTYPES."""
    name = dtype.name if isinstance(dtype, np.dtype) else str(dtype).removeprefix("torch.")
    if name not in DTYPES:
        raise TypeError(f"numbers of type {name} are no answer: use bool, int64 or float64")
    return name


def _raw(kind: str, dtype: str, shape: tuple[int, ...], data: bytes) -> Data:
    return {kind: dtype, "shape": list(shape), "data": b2a_base64(data, newline=False).decode()}


def decode(x: Data, types: Mapping[str, Any] | None = None) -> Any:
    """The value that plain data stand for; a record is of its type in `types`, or a namedtuple."""
    match x:
        case {"array": dtype, "shape": shape, "data": data} if dtype in DTYPES:
            return np.frombuffer(a2b_base64(data), dtype).reshape(shape).copy()
        case {"tensor": dtype, "shape": shape, "data": data} if dtype in DTYPES:
            return _tensor(dtype, shape, bytearray(a2b_base64(data)))
        case list():
            return [decode(v, types) for v in x]
        case {"tuple": items}:
            return tuple(decode(v, types) for v in items)
        case {"dict": items}:
            return {k: decode(v, types) for k, v in items.items()}
        case {"record": name, "fields": fields}:
            known = (types or {}).get(name)
            make: Any = known if isinstance(known, type) else namedtuple(name, fields)
            return make(**{k: decode(v, types) for k, v in fields.items()})
        case None | bool() | float() | str():
            return x
        case int() if abs(x) < 2**63:
            return x
    raise ValueError(f"{str(x)[:80]} is not plain data")


def _tensor(dtype: str, shape: list[int], data: bytearray) -> Any:
    import torch

    kind = getattr(torch, dtype)
    if not data:
        return torch.empty(shape, dtype=kind)
    return torch.frombuffer(data, dtype=kind).reshape(shape)
