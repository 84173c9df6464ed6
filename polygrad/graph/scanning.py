"""The attributes of objects and classes that code names, as places."""

from __future__ import annotations

import threading
import types
from collections.abc import Callable
from typing import Any, Final

from .code import is_generated, is_ours
from .objects import descriptor_value, functions_of, is_data_descriptor, is_network, slots_of, state_of
from .places import MISSING, PLAIN, Attribute, Empty, Item, Length, Order, Place, has_plain_attributes
from .witness import Witness

__all__ = ["Scan"]

# Objects of installed packages whose attributes are followed though no user code names them.
_MOST_FOREIGN_OBJECTS: Final = 2000

_CONTAINERS: Final = frozenset({"collections", "types", "argparse", "os", "queue", "functools", "weakref", "builtins"})
"""Modules of Python whose objects are treated as the user's own: containers, namespaces, exceptions."""

_QUIET_DUNDERS: Final = frozenset(
    "__module__ __doc__ __dict__ __weakref__ __annotations__ __qualname__ __firstlineno__ __static_attributes__ "
    "__orig_bases__ __parameters__ __abstractmethods__ __match_args__ __dataclass_fields__ __dataclass_params__ "
    "__hash__ __slots__ __annotate__ __annotate_func__ __annotations_cache__ __init__ __new__".split()
)

_METHODS_OF_MODULES: Final = frozenset({"forward", "__call__"})


class Scan:
    """The places found, and which attributes of the things met belong to them.

    Args:
        is_user: whether a module's code is the user's.
        witness: which code ran; None before the trace, when all code counts.

    Attributes:
        places: every place and what is there.
        loose: numbers that each run takes anew.
    """

    def __init__(self, is_user: Callable[[str | None], bool], witness: Witness | None) -> None:
        self.places: dict[Any, tuple[Place, Any]] = {}
        self.loose: dict[Any, tuple[Place, Any]] = {}
        self.is_user = is_user
        self._witness = witness
        self._stack: list[Any] = []  # things that are still to be visited
        self._alive: list[Any] = []
        self._quiet: set[Any] = set()  # places that libraries may change by themselves
        self._scanned: dict[int, frozenset[str]] = {}
        self._scanned_classes: set[tuple[int, int]] = set()
        self._foreign_names: set[str] = set()
        self._dynamic = False
        self._foreign = 0
        self._proxies: dict[type, Any] = {}

    def _note(self, place: Place, value: Any, *, loose: bool = False, quiet: bool = False) -> None:
        name = place.name
        (self.loose if loose else self.places)[name] = (place, value)
        if quiet:
            self._quiet.add(name)

    def _scan(self, thing: Any, names: frozenset[str]) -> None:
        """Note the attributes of these names."""
        kind = type(thing)
        if issubclass(kind, types.ModuleType):
            self._scan_module(thing, names)
        elif issubclass(kind, type):
            self._scan_class(thing, names, None)
            if kind is not type:
                self._scan_class(kind, names, thing.__dict__)
            self._scan_built_in(thing, names)
        elif issubclass(kind, types.FunctionType):
            for name in names & thing.__dict__.keys():
                self._note(Item(thing.__dict__, name), thing.__dict__[name])
                self._stack.append(thing.__dict__[name])
            self._scan_built_in(thing, names)
        else:
            self._scan_object(thing, names)
            if issubclass(kind, BaseException):
                self._scan_built_in(thing, names)

    def _scan_built_in(self, thing: Any, names: frozenset[str]) -> None:
        """Note attributes that Python keeps in no dict: ``error.args``, ``C.__name__``."""
        for name in names:
            raw = next((b.__dict__[name] for b in type(thing).__mro__ if name in b.__dict__), None)
            if isinstance(raw, (types.GetSetDescriptorType, types.MemberDescriptorType)):
                value = descriptor_value(raw, thing)
                if value is not MISSING and value is descriptor_value(
                    raw, thing
                ):  # not one that is made anew each time
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
        container = cls.__module__.partition(".")[0] in _CONTAINERS or issubclass(cls, BaseException)
        local = issubclass(cls, threading.local)
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


def _metaclasses(cls: type) -> tuple[type, ...]:
    """The classes of a class, without ``object``."""
    kind: type = type(cls)
    return kind.__mro__[:-1]
