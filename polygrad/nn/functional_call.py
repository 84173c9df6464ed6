"""Calling a module with other parameters than its own."""

from __future__ import annotations

from collections.abc import Mapping, MutableMapping
from typing import Any

import polygrad as pg

from .module import Module

__all__ = ["functional_call"]


def functional_call(
    module: Module,
    parameters_and_buffers: Mapping[str, Any],
    args: Any = (),
    kwargs: Mapping[str, Any] | None = None,
    *,
    tie_weights: bool = True,
    strict: bool = False,
) -> Any:
    """What the module computes if these are its parameters and buffers: a function of them, for the transforms.

    Args:
        module: any module; it is as before afterwards.
        parameters_and_buffers: tensors by path; those that are not named are the module's own. Where the call gives a
            buffer a new value (running statistics), a dict has it afterwards.
        args: the call's arguments: a tuple, or one that is none.
        kwargs: its keyword arguments.
        tie_weights: a parameter that the module has under several paths is replaced under all of them.
        strict: all of the module's must be named.

    Raises:
        StateError: listing unknown paths, and with ``strict`` those that are missing.
        ValueError: if tied ones are given different values.

    >>> import polygrad as pg
    >>> net = pg.nn.Linear(2, 1)
    >>> loss = lambda parameters, x: pg.sum(pg.nn.functional_call(net, parameters, x) ** 2)
    >>> pg.grad(loss)(dict(net.named_parameters()), pg.ones((3, 2)))["weight"].shape
    (1, 2)
    """
    places = _places(module)
    unknown = [path for path in parameters_and_buffers if path not in places]
    groups: dict[int, list[str]] = {}
    for path, (held, name) in places.items():
        groups.setdefault(id(held[name]), []).append(path)
    given = dict(parameters_and_buffers)
    if tie_weights:
        for paths in groups.values():
            values = [given[path] for path in paths if path in given]
            if any(value is not values[0] for value in values):
                raise ValueError(f"functional_call: {', '.join(paths)} are one tensor, but were given several")
            given.update(dict.fromkeys(paths, values[0]) if values else {})
    missing = [path for path in places if path not in given] if strict else []
    if unknown or missing:
        faults = [f"missing: {path}" for path in missing] + [f"unexpected: {path}" for path in unknown]
        head = f"the parameters do not fit {type(module).__qualname__}"
        raise pg.errors.StateError("\n  ".join([head, *faults]))
    before = {path: places[path][0][places[path][1]] for path in given}
    put = {path: value if isinstance(value, pg.Tensor) else pg.asarray(value) for path, value in given.items()}
    try:
        for path, value in put.items():
            held, name = places[path]
            held[name] = value
        return module(*(args if isinstance(args, tuple) else (args,)), **(kwargs or {}))
    finally:
        for path, own in before.items():
            held, name = places[path]
            if isinstance(parameters_and_buffers, MutableMapping) and held[name] is not put[path]:
                parameters_and_buffers[path] = held[name]
            held[name] = own


def _places(module: Module) -> dict[str, tuple[dict[str, Any], str]]:
    """Where each parameter and buffer is held, by path; tied ones under each of theirs."""
    found: dict[str, tuple[dict[str, Any], str]] = {}
    stack = [("", module)]
    while stack:
        path, inner = stack.pop()
        for held in (inner._parameters, inner._buffers):
            found |= {path + name: (held, name) for name, x in held.items() if x is not None}
        stack.extend((f"{path}{name}.", m) for name, m in inner._modules.items() if m is not None)
    return found
