"""A walk to every place that a function's code can read."""

from __future__ import annotations

import abc
import functools
import gc
import os
import sys
import threading
import types
import weakref
import zlib
from collections import deque
from collections.abc import Iterable, Iterator
from contextlib import suppress
from contextvars import ContextVar
from typing import Any, Final

from .. import registry
from ..core.cell import Cell
from .code import Names, is_generated, is_ours, names_in
from .objects import descriptor_value, functions_of, is_data_descriptor, is_network, slots_of, state_of
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
    Empty,
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
    has_plain_attributes,
    pairs,
)
from .witness import Witness, is_user_module

__all__ = ["Walk", "address"]

# Longer containers of plain values are compared as a whole.
_LONG: Final = 64

# Arrays of a library that the function holds as they are: contents of so many bytes are compared before each run.
_COMPARED_BYTES: Final = 1 << 20

# Objects of installed packages whose attributes are followed though no user code names them.
_MOST_FOREIGN_OBJECTS: Final = 2000

_CONTAINERS: Final = frozenset({"collections", "types", "argparse", "os", "queue", "functools", "weakref", "builtins"})
"""Modules of Python whose objects are treated as the user's own: containers, namespaces, exceptions."""

_QUIET_DUNDERS: Final = frozenset(
    "__module__ __doc__ __dict__ __weakref__ __annotations__ __qualname__ __firstlineno__ __static_attributes__ "
    "__orig_bases__ __parameters__ __abstractmethods__ __match_args__ __dataclass_fields__ __dataclass_params__ "
    "__hash__ __slots__ __annotate__ __annotate_func__ __annotations_cache__ __init__ __new__".split()
)

_BY_NAME: Final[dict[str, type[Place]]] = {"item": Item, "attribute": Attribute, "length": Length, "truth": Truth}
"""The places that an object's ``__surroundings__`` names; an ``own`` one holds what it goes on to name itself."""

_BUILTIN_ATTRIBUTES: Final = frozenset(
    "args __name__ __qualname__ __cause__ __context__ __notes__ name obj errno strerror filename value code msg".split()
)
"""Attributes of functions, classes and exceptions that lie in no dict."""

_METHODS_OF_MODULES: Final = frozenset({"forward", "__call__"})
_OPAQUE: Final = (
    types.BuiltinFunctionType, types.CodeType, types.FrameType, types.GetSetDescriptorType, types.MemberDescriptorType,
    types.MethodDescriptorType, types.WrapperDescriptorType, types.ClassMethodDescriptorType,
)  # fmt: skip


class Walk:
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
        self.places: dict[Any, tuple[Place, Any]] = {}
        self.loose: dict[Any, tuple[Place, Any]] = {}
        self.tensors: dict[int, Any] = {}
        self.unready: list[Any] = []
        self._quiet: set[Any] = set()  # places that libraries may change by themselves
        self._seen: set[int] = set()
        self._alive: list[Any] = []
        self._objects: list[Any] = []  # things whose attributes are read by name
        self._scanned: dict[int, frozenset[str]] = {}
        self._scanned_classes: set[tuple[int, int]] = set()
        self._names: set[str] = set()
        self._foreign_names: set[str] = set()
        self._dynamic = False
        self._codes: set[types.CodeType] = set()
        self._foreign = 0
        self._proxies: dict[type, Any] = {}
        self.is_user = is_user_module((getattr(f, "__module__", None) or "").partition(".")[0])
        self._witness = witness
        self._inputs = frozenset(inputs)
        self._stepped = None if stepped is None else {id(x) for x in stepped}
        self._stack: list[Any] = [f, *more]
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

    def _note(self, place: Place, value: Any, *, loose: bool = False, quiet: bool = False) -> None:
        name = place.name
        (self.loose if loose else self.places)[name] = (place, value)
        if quiet:
            self._quiet.add(name)

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
        if issubclass(type(thing), Cell):
            self.tensors[id(thing)] = thing
            return
        kind = type(thing)
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
        if issubclass(type(thing), _OPAQUE):
            return
        if issubclass(type(thing), (types.FunctionType, types.MethodType, functools.partial)):
            self._function(thing)
        elif issubclass(type(thing), (type, types.ModuleType)):
            self._objects.append(thing)
            if issubclass(type(thing), type):
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
        if issubclass(type(thing), dict):
            self._items_of(thing, pairs(thing))
        elif issubclass(type(thing), list):
            self._sequence(thing)
        elif issubclass(type(thing), tuple):
            self._stack.extend(tuple.__iter__(thing))
        elif issubclass(type(thing), (set, frozenset, deque)):
            self._note(Values(thing), tuple(thing))
            self._stack.extend(thing)
        elif issubclass(type(thing), (bytearray, memoryview)) or kind.__module__ == "array":
            place = Bytes(thing)
            self._note(place, place.read())
        elif issubclass(type(thing), ContextVar):
            value = Context(thing).read()
            self._note(Context(thing), value)
            self._stack.append(value)
        elif issubclass(type(thing), weakref.ref):
            value = thing()
            self._note(Referent(thing), value)
            self._stack.append(value)
        elif is_iterator(thing):
            self._note(Progress(thing, progress), progress(thing))
            if not issubclass(type(thing), types.GeneratorType):
                self._stack.extend(x for x in gc.get_referents(thing) if not isinstance(x, type))
        elif issubclass(type(thing), (property, staticmethod, classmethod, functools.cached_property)):
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
        elif self._witness is not None and address(thing) not in (None, *self._inputs):
            place = Derived(thing, _digest)
            self._note(place, place.read())

    # -- objects -----------------------------------------------------------------------------------

    def _class(self, cls: type) -> None:
        """A class: the special methods that Python looks up by itself, and whether any are added."""
        for base in cls.__mro__:
            if self.is_user(base.__module__):
                self._note(Members(base), tuple(base.__dict__))
        if type(cls) is not type:
            self._stack.append(type(cls))
        if isinstance(cls, abc.ABCMeta) and self.is_user(
            cls.__module__
        ):  # whose instances others may be declared to be
            self._note(Derived(cls, _registrations), _registrations(cls))

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

    def _scan(self, thing: Any, names: frozenset[str]) -> None:
        """Note the attributes of these names."""
        if issubclass(type(thing), types.ModuleType):
            self._scan_module(thing, names)
        elif issubclass(type(thing), type):
            self._scan_class(thing, names, None)
            if type(thing) is not type:
                self._scan_class(type(thing), names, thing.__dict__)
            self._scan_builtin(thing, names)
        elif issubclass(type(thing), types.FunctionType):
            for name in names & thing.__dict__.keys():
                self._note(Item(thing.__dict__, name), thing.__dict__[name])
                self._stack.append(thing.__dict__[name])
            self._scan_builtin(thing, names)
        else:
            self._scan_object(thing, names)
            if issubclass(type(thing), BaseException):
                self._scan_builtin(thing, names)

    def _scan_builtin(self, thing: Any, names: frozenset[str]) -> None:
        """Note attributes that Python keeps outside of any dict: ``error.args``, ``C.__name__``."""
        for name in names & _BUILTIN_ATTRIBUTES:
            value = getattr(thing, name, MISSING)
            if value is not MISSING:
                self._note(Attribute(thing, name), value)
                self._stack.append(value)

    def _scan_module(self, module: types.ModuleType, names: frozenset[str]) -> None:
        if is_ours(module.__name__) and not self.is_user(module.__name__):
            return
        foreign = not self.is_user(module.__name__)
        for name in names & module.__dict__.keys():
            value = module.__dict__[name]
            self._note(Item(module.__dict__, name), value)
            if not (foreign and isinstance(value, (type, types.FunctionType, types.ModuleType))):
                self._stack.append(value)

    def _scan_object(self, thing: Any, names: frozenset[str]) -> None:
        cls = type(thing)
        state = state_of(thing)
        user = any(self.is_user(base.__module__) for base in cls.__mro__)
        net = is_network(cls)
        first = id(thing) not in self._scanned
        if net and state is not None:
            if first:
                self._whole_state(thing, state)
        elif hasattr(cls, "__surroundings__"):
            if "param_groups" in names:  # the user's code reads options itself
                self._stack.append(thing.param_groups)
        else:
            self._own_state(thing, state, names, user, first)
        if first and any(is_ours(base.__module__) for base in cls.__mro__):
            names = names | _METHODS_OF_MODULES
        if user or net or any(not is_ours(base.__module__) for base in cls.__mro__[:-1]):
            self._scan_class(cls, names, None if net else state)  # a net's attributes were all noted
        if user:
            for name in slots_of(cls):
                self._slot(thing, name)

    def _whole_state(self, thing: Any, state: Any) -> None:
        """The state of a network's module: every attribute, in its dict."""
        if self._witness is None:
            self._note(Order(state), tuple(state))
        else:
            self._note(Length(state), len(state))
        for name, value in state.items():
            if self._witness is not None and name.startswith("_") and type(value) in (dict, set) and not value:
                self._note(Empty(state, name), True)  # whichever it is: nobody else has what is in it
                continue
            self._note(Item(state, name), value)
            self._stack.append(value)

    def _own_state(self, thing: Any, state: Any, names: frozenset[str], user: bool, first: bool) -> None:
        cls = type(thing)
        if state is None:
            if not user:
                for name in names:
                    if any(isinstance(b.__dict__.get(name), types.MemberDescriptorType) for b in cls.__mro__):
                        self._slot(thing, name)
            return
        container = cls.__module__.partition(".")[0] in _CONTAINERS or issubclass(type(thing), BaseException)
        local = issubclass(type(thing), threading.local)
        chosen = set((names | self._foreign_names if user else names) & state.keys())
        if (user and self._dynamic) or container:
            chosen = set(state)
        if user or container:
            if (first and self._witness is None) or self._dynamic:  # an attribute that appears while it is traced
                self._note(Order(state), tuple(state))
            elif self._witness is not None and type(state) is dict:  # or that was looked for in vain
                self._note(Length(state), len(state))
        quiet: set[str] = set()
        if not user and not container:
            if self._witness is None and self._foreign < _MOST_FOREIGN_OBJECTS and not is_ours(cls.__module__):
                quiet = set(state) - names if first else set()
                self._foreign += 1
            elif self._witness is not None:
                quiet = (self._foreign_names & state.keys()) - names
            if is_ours(cls.__module__) and cls.__module__.startswith("polygrad.optim"):
                chosen |= set(state) if self._witness is None else set()
        for name in [*chosen, *quiet]:
            value = state.get(name, MISSING)
            by_name = not is_data_descriptor(cls, name) and has_plain_attributes(cls)
            place = Attribute(thing, name) if by_name or local else Item(state, name)
            self._note(place, value, quiet=name in quiet)
            self._stack.append(value)

    def _slot(self, thing: Any, name: str) -> None:
        value = next(
            (descriptor_value(b.__dict__[name], thing) for b in type(thing).__mro__ if name in b.__dict__), MISSING
        )
        self._note(Attribute(thing, name), value)
        self._stack.append(value)

    def _scan_class(self, cls: type, names: frozenset[str], state: Any) -> None:
        """Note what a class has under these names, for itself or for an instance whose own attributes are ``state``."""
        key = (id(cls), id(state))
        first = key not in self._scanned_classes
        if first:
            self._scanned_classes.add(key)
            self._alive.append(state)
            names = names | {
                n
                for base in cls.__mro__
                if self.is_user(base.__module__)
                for n in base.__dict__
                if n.startswith("__") and n not in _QUIET_DUNDERS
            }
        for name in names:
            owner = next((b for b in cls.__mro__ if name in b.__dict__), None)
            if owner is None or owner is object or owner.__module__ == "builtins":
                continue
            raw = owner.__dict__[name]
            ours = is_ours(owner.__module__) and not self.is_user(owner.__module__)
            if ours and name not in _METHODS_OF_MODULES and type(raw) not in PLAIN:
                continue
            data = hasattr(type(raw), "__set__")
            if state is not None and not data and name in state:
                continue
            self._class_attribute(cls, owner, name, raw, state if not data else None)

    def _class_attribute(self, cls: type, owner: type, name: str, raw: Any, state: Any) -> None:
        inner = functions_of(raw)
        if self._witness is not None and inner and all(self._did_not_run(g) for g in inner):
            return
        described = hasattr(type(raw), "__get__")
        place = (
            Attribute(cls, name)
            if (not described or isinstance(raw, (types.FunctionType, property)))
            and not any(name in meta.__dict__ for meta in _metaclasses(cls))
            else Item(self._proxies.setdefault(owner, owner.__dict__), name)
        )
        self._note(place, raw)
        if state is not None:
            self._note(Item(state, name), MISSING)
        foreign = not self.is_user(owner.__module__)
        self._stack.extend(inner or ([raw] if not foreign or not callable(raw) else []))

    def _did_not_run(self, f: Any) -> bool:
        if not isinstance(f, types.FunctionType):
            return False
        user = self.is_user(f.__globals__.get("__name__")) or is_generated(f.__code__)
        assert self._witness is not None
        return user and f.__code__ not in self._witness.codes


def witness_functions(witness: Witness) -> Iterator[types.FunctionType]:
    """The functions of user code that ran though no walk had reached them, but for those that ran code defined."""
    inner = {c for code in witness.codes for c in code.co_consts if isinstance(c, types.CodeType)}
    for frame in witness.frames:
        if frame.f_code in inner:
            continue
        for thing in gc.get_referents(frame):
            if issubclass(type(thing), types.FunctionType) and thing.__code__ is frame.f_code:
                yield thing


def address(array: Any) -> int | None:
    """Where the memory of a NumPy array begins; None for other arrays, and for objects."""
    about = getattr(array, "__array_interface__", None)
    return None if about is None or array.dtype.hasobject else int(about["data"][0])


def _digest(array: Any) -> int:
    """A number that stands for the contents of a large array: other contents have another one, but for one in 2^32."""
    try:
        return zlib.crc32(array)
    except (BufferError, ValueError, TypeError):  # not in C order, or of a dtype that has no letter
        return zlib.crc32(array.tobytes())


def _registrations(cls: type) -> Any:
    """What changes whenever a class is registered with an abstract one."""
    return abc.get_cache_token()


def _metaclasses(cls: type) -> tuple[type, ...]:
    """The classes of a class, without ``object``."""
    kind: type = type(cls)
    return kind.__mro__[:-1]


def _imported(name: str, scope: dict[str, Any]) -> types.ModuleType | None:
    module = sys.modules.get(name)
    if module is None:
        package = scope.get("__package__")
        module = sys.modules.get(f"{package}.{name}") if package else None
    return module
