"""What a function can reach besides its arguments, and whether it is still what it was.

A traced function's Python ran once. What it read on the way (closure variables, globals, defaults, attributes of modules
and optimisers, items of lists and dicts) is fixed in the graph, so it is looked at again before each run: a
:class:`Surroundings` holds every place where such a thing was found. It also tells where the function put a new Tensor,
which each run must then do again.
"""

from __future__ import annotations

import functools
import os
import sys
import types
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass
from typing import Any, Final

from .. import registry
from ..backend import Device
from ..core.cell import Cell
from ..dtypes import DType

__all__ = ["Place", "Surroundings"]

_OURS: Final = ("polygrad", "polygrad_backends")

_LONG: Final = 64
"""Longer lists and dicts of plain things are compared as a whole."""

_MISSING: Final = object()
_PLAIN: Final = (int, float, complex, bool, str, bytes, type(None), DType, Device, range, types.EllipsisType)


@dataclass(frozen=True, slots=True)
class Place:
    """Where something was found: ``container[key]``, ``container.key``, or the length of a container.

    ``kind`` is one of ``item``, ``attribute``, ``cell``, ``length``, ``truth`` (of an item that is a number) and ``get``.
    """

    kind: str
    container: Any
    key: Any

    def read(self) -> Any:
        """What is there now, or a mark for nothing."""
        try:
            match self.kind:
                case "item":
                    return self.container[self.key]
                case "attribute":
                    return getattr(self.container, self.key)
                case "cell":
                    return self.container.cell_contents
                case "length":
                    return len(self.container)
                case "truth":
                    return bool(self.container[self.key])
                case "equal":
                    return type(self.container)(self.container)
                case _:
                    return self.container.get(self.key)
        except (KeyError, IndexError, AttributeError, ValueError):
            return _MISSING

    def write(self, value: Any) -> None:
        """Put something there."""
        if self.kind == "item":
            self.container[self.key] = value
        elif self.kind == "attribute":
            setattr(self.container, self.key, value)
        else:
            self.container.cell_contents = value

    def code(self, container: str, key: str) -> str:
        """The expression that reads it."""
        forms = {
            "item": f"{container}[{key}]", "attribute": f"{container}.{self.key}", "cell": f"{container}.cell_contents",
            "length": f"len({container})", "truth": f"(not not {container}[{key}])", "equal": container,
            "get": f"{container}.get({key})",
        }  # fmt: skip
        return forms[self.kind]

    def __str__(self) -> str:
        where = type(self.container).__name__
        if self.kind == "attribute":
            return f"{where}.{self.key}"
        return f"{self.kind} of a {where}" + (f" [{self.key!r}]" if isinstance(self.key, (str, int)) else "")


def _all_plain(container: Any) -> bool:
    values = container.values() if isinstance(container, dict) else container
    return all(isinstance(v, _PLAIN) for v in values)


def same(a: Any, b: Any) -> bool:
    """Whether two things found in one place lead to the same graph."""
    if a is b:
        return True
    if type(a) is not type(b) or not isinstance(a, _PLAIN):
        return False
    if isinstance(a, (float, complex)):
        return repr(a) == repr(b)  # nan is nan, and 0.0 is not -0.0
    return bool(a == b)


class Surroundings:
    """Every place that a function's run can look at, and what is there.

    Args:
        f: the function.
        more: what it is given besides tensors.

    Attributes:
        places: every place and what is there.
        tensors: the tensors found.
    """

    def __init__(self, f: Any, *more: Any) -> None:
        self.places: dict[Any, tuple[Place, Any]] = {}
        self.loose: dict[Any, tuple[Place, Any]] = {}  # numbers that may change, but not by the function itself
        self.tensors: dict[int, Any] = {}
        self.unready: list[Any] = []  # objects that finish themselves at their first use
        self._seen: set[int] = set()
        self._alive: list[Any] = []
        self._own = (getattr(f, "__module__", None) or "").partition(".")[0]
        for root in (f, *more):
            self._walk(root)

    def reached(self, thing: Any) -> bool:
        """Whether an object is among what the function can look at."""
        return id(thing) in self._seen

    def _is_library(self, name: str | None) -> bool:
        """Whether a module's code is taken to stay as it is; the function's own package is not."""
        if name is not None and self._own and name.partition(".")[0] == self._own and self._own not in _OURS:
            return False
        return is_library(name)

    # -- collecting --------------------------------------------------------------------------------

    def _note(self, kind: str, container: Any, key: Any, value: Any, *, loose: bool = False) -> None:
        place = Place(kind, container, key)
        name = (kind, id(container), key if isinstance(key, (str, int)) else id(key))
        (self.loose if loose else self.places)[name] = (place, value)

    def _walk(self, root: Any) -> None:
        stack = [root]
        while stack:
            thing = stack.pop()
            if isinstance(thing, Cell):
                self.tensors[id(thing)] = thing
                continue
            if isinstance(thing, (*_PLAIN, types.BuiltinFunctionType, type)):
                continue
            if id(thing) in self._seen or registry.owner(thing) is not None:
                continue
            self._seen.add(id(thing))
            self._alive.append(thing)
            stack.extend(self._inside(thing))

    def _inside(self, thing: Any) -> Iterator[Any]:
        if isinstance(thing, types.FunctionType):
            yield from self._function(thing)
        elif isinstance(thing, types.MethodType):
            yield thing.__self__
            yield thing.__func__
        elif isinstance(thing, functools.partial):
            yield from (thing.func, thing.args, thing.keywords)
        elif isinstance(thing, (dict, list)) and len(thing) > _LONG and _all_plain(thing):
            self._note("equal", thing, None, type(thing)(thing))
        elif isinstance(thing, dict):
            self._note("length", thing, None, len(thing))
            for key, value in thing.items():
                self._note("item", thing, key, value)
                yield value
        elif isinstance(thing, (list, tuple)):
            if isinstance(thing, list):
                self._note("length", thing, None, len(thing))
            for i, value in enumerate(thing):
                if isinstance(thing, list):
                    self._note("item", thing, i, value)
                yield value
        elif isinstance(thing, (set, frozenset)):
            self._note("length", thing, None, len(thing))
        elif hasattr(thing, "__surroundings__"):
            for entry in thing.__surroundings__():
                kind, container, key, value, loose = entry
                if kind == "unready":
                    self.unready.append(thing)
                    continue
                self._note(kind, container, key, value, loose=loose)
                if not loose and kind != "length":
                    yield value
        elif isinstance(thing, types.ModuleType):
            return
        else:
            yield from self._object(thing)

    def _function(self, f: types.FunctionType) -> Iterator[Any]:
        own = f.__code__.co_filename.startswith("<") or not self._is_library(f.__module__)
        if own:
            yield from self._defaults(f)
        for cell in f.__closure__ or ():
            try:
                value = cell.cell_contents
            except ValueError:  # not bound yet
                continue
            self._note("cell", cell, None, value)
            yield value
        if own:
            yield from self._globals(f)

    def _defaults(self, f: types.FunctionType) -> Iterator[Any]:
        self._note("attribute", f, "__code__", f.__code__)
        for name in ("__defaults__", "__kwdefaults__"):
            value = getattr(f, name)
            if value:
                self._note("attribute", f, name, value)
                yield value

    def _globals(self, f: types.FunctionType) -> Iterator[Any]:
        for name in _names(f.__code__):
            value = f.__globals__.get(name, _MISSING)
            if value is _MISSING:
                continue
            self._note("item", f.__globals__, name, value)
            if isinstance(value, types.ModuleType):
                if not self._is_library(value.__name__):
                    for attribute in _names(f.__code__):
                        found = value.__dict__.get(attribute, _MISSING)
                        if found is not _MISSING:
                            self._note("item", value.__dict__, attribute, found)
                            yield found
            else:
                yield value

    def _object(self, thing: Any) -> Iterator[Any]:
        cls = type(thing)
        for base in cls.__mro__:
            if not self._is_library(base.__module__):
                for value in base.__dict__.values():
                    inner = getattr(value, "__func__", value)
                    inner = getattr(inner, "fget", inner)
                    if isinstance(inner, types.FunctionType):
                        yield inner
            for name in _slots(base) if not self._is_library(base.__module__) else ():
                value = getattr(thing, name, _MISSING)
                if value is not _MISSING:
                    self._note("attribute", thing, name, value)
                    yield value
        state = getattr(thing, "__dict__", None)
        if state is not None and (not self._is_library(cls.__module__) or cls.__module__.startswith("polygrad.nn")):
            self._note("length", state, None, len(state))
            for name, value in state.items():
                self._note("item", state, name, value)
                yield value

    # -- comparing -----------------------------------------------------------------------------------

    def check(self, leave_out: Collection[Any] = ()) -> Callable[[], bool]:
        """A function that says, quickly, whether everything is as it was, but for the places of some names."""
        scope: dict[str, Any] = {"_same": same}
        names: dict[int, str] = {}

        def named(thing: Any) -> str:
            name = names.get(id(thing))
            if name is None:
                name = names[id(thing)] = f"t{len(names)}"
                scope[name] = thing
            return name

        tests = []
        for name, (place, value) in self.places.items():
            if name in leave_out:
                continue
            key = repr(place.key) if isinstance(place.key, (str, int)) else named(place.key)
            now, before = place.code(named(place.container), key), named(value)
            if place.kind in ("length", "truth"):
                tests.append(f"{now} == {value!r}")
            elif place.kind == "equal":
                tests.append(f"{now} == {before}")
            elif isinstance(value, _PLAIN) and not (value is None or isinstance(value, (bool, DType, Device))):
                tests.append(f"({now} is {before} or _same({now}, {before}))")
            else:
                tests.append(f"{now} is {before}")
        body = " and\n        ".join(tests) or "True"
        source = (
            f"def holds():\n    try:\n        return ({body})\n"
            "    except (KeyError, IndexError, AttributeError, ValueError):\n        return False\n"
        )
        exec(compile(source, "<guards>", "exec"), scope)
        return scope["holds"]  # type: ignore[no-any-return]

    def changes(self, before: Surroundings) -> list[tuple[Any, Place, Any, Any]]:
        """The places of ``before`` that have another content now: name, place, then, now. What is loose is not among
        them: it changes by what each run calls."""
        changed = []
        for name, (place, old) in before.places.items():
            now = place.read() if name not in self.places else self.places[name][1]
            if place.kind == "equal":
                if now != old:
                    changed.append((name, place, old, now))
            elif not same(old, now):
                changed.append((name, place, old, now))
        return changed

    def restore(self, changed: list[tuple[Any, Place, Any, Any]]) -> None:
        """Undo changes: what these places hold is again what it was."""
        whole = {
            id(place.container): place.container for _, place, _, _ in changed if place.kind in ("length", "equal")
        }
        for container in whole.values():
            own = [(p, v) for p, v in self.places.values() if p.container is container and p.kind in ("item", "equal")]
            if isinstance(container, dict):
                container.clear()
                container.update(own[0][1] if own and own[0][0].kind == "equal" else {p.key: v for p, v in own})
            elif isinstance(container, list):
                container[:] = own[0][1] if own and own[0][0].kind == "equal" else [v for _, v in own]
        for _, place, old, _ in changed:
            if id(place.container) not in whole and place.kind in ("item", "attribute", "cell"):
                place.write(old)


@functools.cache
def is_library(name: str | None) -> bool:
    """Whether a module is installed, or Python's own: such code does not change while a program runs."""
    if name is None or name == "__main__":
        return name is None
    top = name.partition(".")[0]
    if top in sys.stdlib_module_names or top in _OURS:
        return True
    file = getattr(sys.modules.get(name), "__file__", None)
    if file is None:
        return name in sys.builtin_module_names
    parts = file.split(os.sep)
    return "site-packages" in parts or "dist-packages" in parts


@functools.cache
def _names(code: types.CodeType) -> tuple[str, ...]:
    """The global names and attributes that a function's code and the functions inside it mention."""
    found = dict.fromkeys(code.co_names)
    for const in code.co_consts:
        if isinstance(const, types.CodeType):
            found |= dict.fromkeys(_names(const))
    return tuple(found)


def _slots(cls: type) -> tuple[str, ...]:
    slots = cls.__dict__.get("__slots__", ())
    return (slots,) if isinstance(slots, str) else tuple(s for s in slots if not s.startswith("__"))
