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
    encoder = _Encoder()
    return json.dumps(encoder.walk(tree, ""), allow_nan=False), encoder.tensors


class _Encoder:
    """One encoding. (Functions that call each other inside one another would be a cycle, and keep the tensors.)"""

    def __init__(self) -> None:
        self.tensors: dict[str, pg.Tensor] = {}
        self._names: dict[int, str] = {}
        self._kept: list[Any] = []  # so that no id is given out twice
        self._open: set[int] = set()

    def _named(self, x: Any, path: str) -> dict[str, Any]:
        if id(x) not in self._names:
            name = path or "tensor"
            while name in self.tensors or name == "__metadata__":
                name += "_"
            self._names[id(x)] = name
            self._kept.append(x)
            self.tensors[name] = pg.asarray(x).detach()
        name = self._names[id(x)]
        found = self.tensors[name]
        return {MARK: "tensor", "name": name, "dtype": found.dtype.name, "shape": list(found.shape)}

    def walk(self, value: Any, path: str) -> Any:
        if value is None or isinstance(value, (bool, str)):
            return value
        if isinstance(value, pg.Tensor) or (hasattr(value, "shape") and hasattr(value, "dtype")):
            return self._named(value, path)
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
        return self._inner(value, path)

    def _inner(self, value: Any, path: str) -> Any:
        if id(value) in self._open:
            raise TypeError(f"save: the object at {path or 'the top'!r} holds itself")
        self._open.add(id(value))
        try:
            if isinstance(value, Mapping):
                return self._mapping(value, path)
            if type(value) in (list, tuple):
                made = [self.walk(v, f"{path}.{i}" if path else str(i)) for i, v in enumerate(value)]
                return made if type(value) is list else {MARK: "tuple", "items": made}
        finally:
            self._open.discard(id(value))
        raise TypeError(
            f"save: {path or 'the object'} is a {type(value).__qualname__}; what can be saved are tensors, numbers, "
            "strings, bytes, None, and dicts, lists and tuples of these (of modules and optimisers: their state_dict())"
        )

    def _mapping(self, value: Mapping[Any, Any], path: str) -> Any:
        made = {k: self.walk(v, f"{path}.{k}" if path else str(k)) for k, v in value.items()}
        if MARK not in made and all(type(k) is str for k in made):
            return made
        return {MARK: "dict", "items": [[self.walk(k, f"a key of {path}"), v] for k, v in made.items()]}


def decoded(text: str, tensor: Callable[[Mapping[str, Any]], Any]) -> Any:
    """The tree that JSON says, with ``tensor`` called for each tensor's entry.

    Raises:
        ValueError, KeyError, TypeError: if it is no such JSON.
    """
    return _walked(json.loads(text), tensor)


def _walked(value: Any, tensor: Callable[[Mapping[str, Any]], Any]) -> Any:
    if isinstance(value, list):
        return [_walked(v, tensor) for v in value]
    if not isinstance(value, dict):
        return value
    if MARK not in value:
        return {k: _walked(v, tensor) for k, v in value.items()}
    kind = value[MARK]
    if kind == "tensor":
        return tensor(value)
    if kind == "tuple":
        return tuple(_walked(v, tensor) for v in value["items"])
    if kind == "dict":
        return {_walked(k, tensor): _walked(v, tensor) for k, v in value["items"]}
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
