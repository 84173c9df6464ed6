"""A walk to every place that a function's code can read."""

from __future__ import annotations

import abc
import functools
import gc
import os
import sys
import types
import weakref
from collections import deque
from collections.abc import Iterable, Iterator
from contextlib import suppress
from contextvars import ContextVar
from typing import Any, Final

from .. import registry
from ..core.cell import Cell
from .code import Names, is_generated, names_in
from .objects import address, digest, functions_of, is_network, registrations
from .outside import is_iterator, progress, stream_of
from .places import (
    MISSING,
    PLAIN,
    Attribute,
    Bound,
    Bytes,
    Context,
    Derived,
    Elements,
    Item,
    Kind,
    Length,
    Members,
    Order,
    Place,
    Progress,
    Referent,
    Stream,
    Truth,
    Values,
    pairs,
)
from .scanning import Scan
from .witness import Witness, is_user_module

__all__ = ["Walk"]

# Longer containers of plain values are compared as a whole.
_LONG: Final = 64

# Arrays of a library that the function holds as they are: contents of so many bytes are compared before each run.
_COMPARED_BYTES: Final = 1 << 20

_BY_NAME: Final[dict[str, type[Place]]] = {"item": Item, "attribute": Attribute, "length": Length, "truth": Truth}
"""The places that an object's ``__surroundings__`` names; an ``own`` one holds what it goes on to name itself."""

_OPAQUE: Final = (
    types.BuiltinFunctionType, types.CodeType, types.FrameType, types.GetSetDescriptorType, types.MemberDescriptorType,
    types.MethodDescriptorType, types.WrapperDescriptorType, types.ClassMethodDescriptorType,
)  # fmt: skip


class Walk(Scan):
    """Every place that a function's run can look at, and what is there.

    Args:
        f: the function.
        more: what it is given besides tensors.
        witness: which code ran; None before the trace, when all code counts.
        stepped: the optimisers whose ``step`` ran.
        inputs: where the memory of arrays begins that the graph reads at each run.

    Attributes:
        places: every place and what is there.
        loose: numbers that each run takes anew.
        tensors: the tensors found, by identity.
        unready: objects that finish themselves at their first use.
    """

    def __init__(
        self,
        f: Any,
        *more: Any,
        witness: Witness | None = None,
        stepped: Iterable[Any] | None = None,
        inputs: Iterable[int] = (),
    ) -> None:
        super().__init__(is_user_module((getattr(f, "__module__", None) or "").partition(".")[0]), witness)
        self._stack += [f, *more]
        self.tensors: dict[int, Any] = {}
        self.unready: list[Any] = []
        self._seen: set[int] = set()
        self._objects: list[Any] = []  # things whose attributes are read by name
        self._names: set[str] = set()
        self._codes: set[types.CodeType] = set()
        self._inputs = frozenset(inputs)
        self._stepped = None if stepped is None else {id(x) for x in stepped}
        if witness is not None:
            for code, scope in list(witness.codes.items()):
                if code not in witness.library:
                    self._mention(code, scope)
            for code in witness.attribute_names():
                self._foreign_names |= names_in(code).attributes
                if code.co_name in ("getenv", "getenvb"):
                    self._stack.append(os.environ)
            for function in witness_functions(witness):
                self._stack.append(function)
        self._drain()

    def reached(self, thing: Any) -> bool:
        """Whether an object is among what the function can look at."""
        return id(thing) in self._seen

    def enter(self, frame: types.FrameType) -> bool:
        """Add what a function reads that runs though no walk has reached it; says whether it was new."""
        if frame.f_code in self._codes:
            return False
        self._mention(frame.f_code, frame.f_globals)
        self._drain()
        return True

    # -- collecting --------------------------------------------------------------------------------

    def _drain(self) -> None:
        """Walk until nothing new is found: each new name may lead on from objects already met."""
        while True:
            while self._stack:
                self._visit(self._stack.pop())
            names = frozenset(self._names)
            for thing in list(self._objects):
                if self._scanned.get(id(thing)) != names:
                    self._scan(thing, names - self._scanned.get(id(thing), frozenset()))
                    self._scanned[id(thing)] = names
            if not self._stack and len(names) == len(self._names):
                return

    def _visit(self, thing: Any) -> None:
        kind = type(thing)
        if issubclass(kind, Cell):
            self.tensors[id(thing)] = thing
            return
        if kind in PLAIN or id(thing) in self._seen:
            return
        self._seen.add(id(thing))
        self._alive.append(thing)
        # From here on only types are asked: an object may answer for its class, and anything else, as it likes.
        if kind in weakref.ProxyTypes:
            with suppress(ReferenceError):
                self._stack.append(thing.__repr__.__self__)
            return
        if kind is types.BuiltinFunctionType or kind is types.MethodWrapperType:
            self._stack.append(thing.__self__)
            return
        if issubclass(kind, _OPAQUE):
            return
        if issubclass(kind, (types.FunctionType, types.MethodType, functools.partial)):
            self._function(thing)
        elif issubclass(kind, (type, types.ModuleType)):
            self._objects.append(thing)
            if issubclass(kind, type):
                self._class(thing)
        elif registry.owner(thing) is not None:
            self._array(thing)
        elif not self._container(thing):
            self._object(thing)

    # -- functions ---------------------------------------------------------------------------------

    def _mention(self, code: types.CodeType, scope: dict[str, Any]) -> None:
        """Note the globals that user code reads, and the names of attributes."""
        if code in self._codes:
            return
        self._codes.add(code)
        names: Names = names_in(code)
        self._names |= names.attributes
        self._dynamic = self._dynamic or names.dynamic
        builtins = scope.get("__builtins__", {})
        builtins = builtins if isinstance(builtins, dict) else builtins.__dict__
        for name in names.globals | names.texts:
            value = scope.get(name, MISSING)
            self._note(Item(scope, name), value)
            if value is MISSING and name in builtins:
                value = builtins[name]
                self._note(Item(builtins, name), value)
            if value is not MISSING:
                self._stack.append(value)
        for name in names.modules:
            module = _imported(name, scope)
            if module is not None:
                self._stack.append(module)
        if self._witness is None:  # functions defined inside may run; after the trace it is known which did
            for const in code.co_consts:
                if isinstance(const, types.CodeType):
                    self._mention(const, scope)

    def _function(self, f: Any) -> None:
        if isinstance(f, types.MethodType):
            self._stack += [f.__self__, f.__func__]
            return
        if isinstance(f, functools.partial):
            for name in ("func", "args", "keywords"):
                value = getattr(f, name)
                self._note(Attribute(f, name), value)
                self._stack.append(value)
            self._objects.append(f)
            return
        user = self.is_user(f.__globals__.get("__name__")) or is_generated(f.__code__)
        if user:
            self._objects.append(f)
        if self._witness is not None and user and f.__code__ not in self._witness.codes:
            return
        if user:
            for name in ("__code__", "__defaults__", "__kwdefaults__"):
                value = getattr(f, name)
                self._note(Attribute(f, name), value)
                self._stack.append(value)
        for cell in f.__closure__ or ():
            place = Bound(cell)
            value = place.read()
            self._note(place, value)
            if value is not MISSING:
                self._stack.append(value)
        if user:
            self._mention(f.__code__, f.__globals__)

    # -- containers --------------------------------------------------------------------------------

    def _container(self, thing: Any) -> bool:
        """Note the items of a container; says whether there is nothing else to it."""
        kind = type(thing)
        exact = kind.__module__ in ("builtins", "collections") and not hasattr(thing, "__dict__")
        if issubclass(kind, dict):
            self._items_of(thing, pairs(thing))
        elif issubclass(kind, list):
            self._sequence(thing)
        elif issubclass(kind, tuple):
            self._stack.extend(tuple.__iter__(thing))
        elif issubclass(kind, (set, frozenset, deque)):
            self._note(Values(thing), tuple(thing))
            self._stack.extend(thing)
        elif issubclass(kind, (bytearray, memoryview)) or kind.__module__ == "array":
            place = Bytes(thing)
            self._note(place, place.read())
        elif issubclass(kind, ContextVar):
            value = Context(thing).read()
            self._note(Context(thing), value)
            self._stack.append(value)
        elif issubclass(kind, weakref.ref):
            value = thing()
            self._note(Referent(thing), value)
            self._stack.append(value)
        elif is_iterator(thing):
            self._note(Progress(thing, progress), progress(thing))
            if not issubclass(kind, types.GeneratorType):
                self._stack.extend(x for x in gc.get_referents(thing) if not isinstance(x, type))
        elif issubclass(kind, (property, staticmethod, classmethod, functools.cached_property)):
            self._stack.extend(functions_of(thing))
        elif kind.__module__ in ("builtins", "operator") and not hasattr(thing, "__dict__"):  # views, slices, ...
            self._stack.extend(x for x in gc.get_referents(thing) if not isinstance(x, type))
        else:
            exact = False
        return exact

    def _items_of(self, thing: Any, items: Iterable[tuple[Any, Any]]) -> None:
        pairs = list(items)
        if len(pairs) > _LONG and all(type(v) in PLAIN for _, v in pairs):
            self._note(Values(thing), tuple(x for pair in pairs for x in pair))
            return
        self._note(Order(thing), tuple(k for k, _ in pairs))
        for key, value in pairs:
            self._note(Item(thing, key), value)
            self._stack.append(value)
            if type(key) not in PLAIN:
                self._stack.append(key)

    def _sequence(self, thing: Any) -> None:
        values = list(list.__iter__(thing))
        if len(values) > _LONG and all(type(v) in PLAIN for v in values):
            self._note(Values(thing), tuple(values))
            return
        self._note(Length(thing), len(values))
        for i, value in enumerate(values):
            self._note(Item(thing, i), value)
            self._stack.append(value)

    def _array(self, thing: Any) -> None:
        """An array of a library: what the function made of it in that library is fixed in the graph."""
        if getattr(thing, "nbytes", _COMPARED_BYTES + 1) <= _COMPARED_BYTES and hasattr(thing, "tobytes"):
            if getattr(thing.dtype, "hasobject", False):
                elements = Elements(thing).get()
                self._note(Elements(thing), elements)
                self._stack.extend(elements)
                return
            place: Place = Bytes(thing)
            self._note(place, place.read())
        elif self._witness is not None and (start := address(thing)) is not None and start not in self._inputs:
            place = Derived(thing, digest)
            self._note(place, place.read())

    # -- objects -----------------------------------------------------------------------------------

    def _class(self, cls: type) -> None:
        """A class: the special methods that Python looks up by itself, and whether any are added."""
        for base in cls.__mro__:
            if self.is_user(base.__module__):
                self._note(Members(base), tuple(base.__dict__))
        if type(cls) is not type:
            self._stack.append(type(cls))
        if isinstance(cls, abc.ABCMeta) and self.is_user(cls.__module__):  # other classes may be registered with it
            self._note(Derived(cls, registrations), registrations(cls))

    def _object(self, thing: Any) -> None:
        cls = type(thing)
        stream = stream_of(thing)
        if stream is not None:
            self._note(Stream(thing, stream), stream[0]())
            return
        surroundings = getattr(cls, "__surroundings__", None)
        if surroundings is not None:
            self._protocol(thing, surroundings)
        user = self.is_user(cls.__module__) or any(self.is_user(b.__module__) for b in cls.__mro__)
        if user or is_network(cls):
            self._note(Kind(thing), cls)
            self._stack.append(cls)
        self._objects.append(thing)

    def _protocol(self, thing: Any, surroundings: Any) -> None:
        """An object that says itself what a step reads of it."""
        stepped = self._stepped is None or id(thing) in self._stepped
        for kind, container, key, value, loose in surroundings(thing, stepped):
            if kind == "unready":
                self.unready.append(thing)
                continue
            own, _, kind = kind.rpartition(" ")
            self._note(_BY_NAME[kind](container, key), value, loose=loose)
            if not loose and kind != "length" and not own:  # of its own containers it names what counts
                self._stack.append(value)


def witness_functions(witness: Witness) -> Iterator[types.FunctionType]:
    """The functions of user code that ran though no walk had reached them, but for those that ran code defined."""
    inner = {c for code in witness.codes for c in code.co_consts if isinstance(c, types.CodeType)}
    for frame in witness.frames:
        if frame.f_code in inner:
            continue
        for thing in gc.get_referents(frame):
            if issubclass(type(thing), types.FunctionType) and thing.__code__ is frame.f_code:
                yield thing


def _imported(name: str, scope: dict[str, Any]) -> types.ModuleType | None:
    module = sys.modules.get(name)
    if module is None:
        package = scope.get("__package__")
        module = sys.modules.get(f"{package}.{name}") if package else None
    return module
