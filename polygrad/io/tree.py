"""Nested state as JSON, with names in place of the tensors."""

from __future__ import annotations

import base64
import json
import math
from collections.abc import Callable, Mapping
from typing import Any

import polygrad as pg

__all__ = ["decoded", "encoded"]

MARK = "$"
"""The key of what JSON has no word for: tuples, bytes, complex numbers, tensors, ..."""


def encoded(tree: Any) -> tuple[str, dict[str, pg.Tensor]]:
    """A tree as JSON, and its tensors by name: the path of keys to each, joined by dots, as state dicts have it.

    Raises:
        TypeError: naming the path of what cannot be saved.
    """
    tensors: dict[str, pg.Tensor] = {}
    names: dict[int, str] = {}
    kept: list[Any] = []  # so that no id is given out twice
    open_: set[int] = set()

    def named(x: Any, path: str) -> dict[str, Any]:
        if id(x) not in names:
            name = path or "tensor"
            while name in tensors or name == "__metadata__":
                name += "_"
            names[id(x)] = name
            kept.append(x)
            tensors[name] = pg.asarray(x).detach()
        name = names[id(x)]
        found = tensors[name]
        return {MARK: "tensor", "name": name, "dtype": found.dtype.name, "shape": list(found.shape)}

    def walk(value: Any, path: str) -> Any:
        if value is None or isinstance(value, (bool, str)):
            return value
        if isinstance(value, pg.Tensor) or (hasattr(value, "shape") and hasattr(value, "dtype")):
            return named(value, path)
        if type(value) is int:
            return value
        if type(value) is float:
            return value if math.isfinite(value) else {MARK: "float", "value": repr(value)}
        if type(value) is complex:
            return {MARK: "complex", "value": repr(value)}
        if type(value) is bytes:
            return {MARK: "bytes", "value": base64.b64encode(value).decode()}
        if isinstance(value, pg.DType):
            return {MARK: "dtype", "value": value.name}
        if isinstance(value, pg.Device):
            return {MARK: "device", "value": value.name}
        return inner(value, path)

    def inner(value: Any, path: str) -> Any:
        if id(value) in open_:
            raise TypeError(f"save: the object at {path or 'the top'!r} holds itself")
        open_.add(id(value))
        try:
            if isinstance(value, Mapping):
                return mapping(value, path)
            if type(value) in (list, tuple):
                made = [walk(v, f"{path}.{i}" if path else str(i)) for i, v in enumerate(value)]
                return made if type(value) is list else {MARK: "tuple", "items": made}
        finally:
            open_.discard(id(value))
        raise TypeError(
            f"save: {path or 'the object'} is a {type(value).__qualname__}; what can be saved are tensors, numbers, "
            "strings, bytes, None, and dicts, lists and tuples of these (of modules and optimisers: their state_dict())"
        )

    def mapping(value: Mapping[Any, Any], path: str) -> Any:
        made = {k: walk(v, f"{path}.{k}" if path else str(k)) for k, v in value.items()}
        if MARK not in made and all(type(k) is str for k in made):
            return made
        return {MARK: "dict", "items": [[walk(k, f"a key of {path}"), v] for k, v in made.items()]}

    return json.dumps(walk(tree, ""), allow_nan=False), tensors


def decoded(text: str, tensor: Callable[[Mapping[str, Any]], Any]) -> Any:
    """The tree that JSON says, with ``tensor`` called for each tensor's entry.

    Raises:
        ValueError, KeyError, TypeError: if it is no such JSON.
    """

    def walk(value: Any) -> Any:
        if isinstance(value, list):
            return [walk(v) for v in value]
        if not isinstance(value, dict):
            return value
        if MARK not in value:
            return {k: walk(v) for k, v in value.items()}
        kind = value[MARK]
        if kind == "tensor":
            return tensor(value)
        if kind == "tuple":
            return tuple(walk(v) for v in value["items"])
        if kind == "dict":
            return {walk(k): walk(v) for k, v in value["items"]}
        if kind == "bytes":
            return base64.b64decode(value["value"], validate=True)
        if kind == "device":
            if not isinstance(value["value"], str):
                raise ValueError(f"{value['value']!r} is no device")
            return pg.Device(value["value"])
        if kind == "dtype":
            found = getattr(pg, value["value"])
            if not isinstance(found, pg.DType):
                raise ValueError(f"{value['value']!r} is no dtype")
            return found
        return {"float": float, "complex": complex}[kind](value["value"])

    return walk(json.loads(text))
