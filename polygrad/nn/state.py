"""State dicts of modules: what is in them, and loading them whole or not at all."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

import polygrad as pg

if TYPE_CHECKING:
    from .module import Module

__all__ = ["LoadResult", "load", "own_state"]


class LoadResult(NamedTuple):
    """The paths that a state dict lacked, and those that the module did not know."""

    missing: list[str]
    unexpected: list[str]


def own_state(module: Module) -> Iterator[tuple[str, pg.Tensor]]:
    """The path and tensor of every parameter and persistent buffer; tied ones under each of their paths."""
    stack: list[tuple[str, Module]] = [("", module)]
    while stack:
        path, inner = stack.pop()
        for name, parameter in inner._parameters.items():
            if parameter is not None:
                yield path + name, parameter
        for name, buffer in inner._buffers.items():
            if buffer is not None and name not in inner._transient:
                yield path + name, buffer
        stack.extend(reversed([(f"{path}{k}.", m) for k, m in inner._modules.items() if m is not None]))


def load(module: Module, state: Mapping[str, Any], strict: bool) -> LoadResult:
    """See :meth:`Module.load_state_dict`."""
    own = dict(own_state(module))
    missing = [path for path in own if path not in state]
    unexpected = [path for path in state if path not in own]
    values: dict[str, pg.Tensor] = {}
    misfits = []
    for path, target in own.items():
        if path not in state:
            continue
        value = pg.asarray(state[path])
        if value.shape != target.shape:
            misfits.append(f"{path} has shape {value.shape}, the module's has {target.shape}")
        elif value.dtype.kind == "c" and target.dtype.kind != "c":
            misfits.append(f"{path} has dtype {value.dtype}, the module's has {target.dtype}")
        else:
            values[path] = value
    faults = [f"misshapen: {text}" for text in misfits]
    if strict:
        faults = [f"unexpected: {path}" for path in unexpected] + faults
        faults = [f"missing: {path} {own[path].shape}" for path in missing] + faults
    if faults:
        head = f"the state dict does not fit {type(module).__qualname__}; nothing was loaded"
        raise pg.errors.StateError("\n  ".join([head, *faults]))
    with pg.no_grad():
        ready = {p: pg.asarray(v, dtype=own[p].dtype, device=own[p].device) for p, v in values.items()}
        for path, value in ready.items():
            own[path][...] = value
    return LoadResult(missing, unexpected)
