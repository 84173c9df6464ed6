"""State dicts of modules: what is in them, and loading them whole or not at all."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

import polygrad as pg

if TYPE_CHECKING:
    from .module import Module

__all__ = ["LoadResult", "load", "own_state", "save_to"]


class LoadResult(NamedTuple):
    """The paths that a state dict lacked, and those that the module did not know."""

    missing: list[str]
    unexpected: list[str]

    @property
    def missing_keys(self) -> list[str]:
        """The same as ``missing``, by PyTorch's name."""
        return self.missing

    @property
    def unexpected_keys(self) -> list[str]:
        """The same as ``unexpected``, by PyTorch's name."""
        return self.unexpected


def _places(module: Module, prefix: str = "") -> Iterator[tuple[str, Module]]:
    """The paths, with a dot behind, and modules, outer ones first; one in several places is named for each."""
    stack = [(prefix, module)]
    while stack:
        path, inner = stack.pop()
        yield path, inner
        stack.extend(reversed([(f"{path}{k}.", m) for k, m in inner._modules.items() if m is not None]))


def _own(path: str, module: Module) -> Iterator[tuple[str, pg.Tensor]]:
    for name, parameter in module._parameters.items():
        if parameter is not None:
            yield path + name, parameter
    for name, buffer in module._buffers.items():
        if buffer is not None and name not in module._transient:
            yield path + name, buffer


def own_state(module: Module) -> Iterator[tuple[str, pg.Tensor]]:
    """The path and tensor of every parameter and persistent buffer; tied ones under each of their paths."""
    for path, inner in _places(module):
        yield from _own(path, inner)


def _call(module: Module, when: str, *args: Any) -> None:
    for hook in tuple(module._state_hooks.get(when, {}).values()):
        hook.function(module, *args)


def save_to(module: Module, destination: dict[str, pg.Tensor], prefix: str, keep_vars: bool) -> None:
    """See :meth:`Module.state_dict`."""
    _call(module, "save pre", prefix, keep_vars)
    for path, x in _own(prefix, module):
        destination[path] = x if keep_vars else x.detach()
    for name, inner in module._modules.items():
        if inner is not None:
            save_to(inner, destination, f"{prefix}{name}.", keep_vars)
    _call(module, "save post", destination, prefix, {})


def load(module: Module, state_dict: Mapping[str, Any], strict: bool, assign: bool = False) -> LoadResult:
    """See :meth:`Module.load_state_dict`."""
    state, places = dict(state_dict), list(_places(module))
    notes: tuple[list[str], list[str], list[str]] = ([], [], [])  # missing, unexpected, other faults that hooks find
    for path, inner in places:
        _call(inner, "load pre", state, path, {}, strict, *notes)
    own = dict(own_state(module))
    missing = [path for path in own if path not in state] + notes[0]
    unexpected = [path for path in state if path not in own] + notes[1]
    values: dict[str, pg.Tensor] = {}
    faults = [f"refused: {text}" for text in notes[2]]
    for path, target in own.items():
        if path not in state:
            continue
        value = pg.asarray(state[path])
        if value.requires_grad:  # an error inside a transform that differentiates it: functional_call is for that
            value = pg.asarray(value, copy=True, requires_grad=True)
        if value.shape != target.shape:
            faults.append(f"misshapen: {path} has shape {value.shape}, the module's has {target.shape}")
        elif value.dtype.kind == "c" and target.dtype.kind != "c" and not assign:
            faults.append(f"misshapen: {path} has dtype {value.dtype}, the module's has {target.dtype}")
        else:
            values[path] = value
    result = LoadResult(missing, unexpected)
    hooked = any("load post" in inner._state_hooks for _, inner in places)
    if faults or (strict and not hooked):
        _refuse(module, result if strict else LoadResult([], []), faults, own)
    before = {path: pg.asarray(own[path].detach(), copy=True) for path in values} if hooked else {}
    if assign:
        _move(places, values)
        own = dict(own_state(module))
    _take(own, values)
    _loaded(module, result)
    if strict and (missing or unexpected):  # a hook may have taken them out of the lists
        if assign:
            _move(places, before)
            own = dict(own_state(module))
        _take(own, before)
        _refuse(module, result, [], own)
    return result


def _loaded(module: Module, result: LoadResult) -> None:
    for inner in module._modules.values():
        if inner is not None:
            _loaded(inner, result)
    _call(module, "load post", result)


def _refuse(module: Module, lists: LoadResult, faults: list[str], own: Mapping[str, pg.Tensor]) -> None:
    """Raise StateError with all that is wrong, if anything is."""
    lines = [f"missing: {path} {own[path].shape if path in own else ''}".rstrip() for path in lists.missing]
    lines += [f"unexpected: {path}" for path in lists.unexpected] + faults
    if lines:
        head = f"the state dict does not fit {type(module).__qualname__}; nothing was loaded"
        raise pg.errors.StateError("\n  ".join([head, *lines]))


def _take(own: Mapping[str, Any], values: Mapping[str, pg.Tensor]) -> None:
    with pg.no_grad():
        ready = {p: pg.asarray(v, dtype=own[p].dtype, device=own[p].device) for p, v in values.items()}
        for path, value in ready.items():
            own[path][...] = value


def _move(places: list[tuple[str, Module]], like: Mapping[str, pg.Tensor]) -> None:
    """Give parameters and buffers the dtypes and devices of others; parameters stay the same objects."""
    for path, module in places:
        for name, parameter in module._parameters.items():
            if parameter is not None and path + name in like:
                parameter.move_(like[path + name].device, like[path + name].dtype)
        for name, buffer in module._buffers.items():
            if buffer is not None and path + name in like:
                x = like[path + name]
                module._buffers[name] = pg.asarray(buffer, dtype=x.dtype, device=x.device, copy=True)
