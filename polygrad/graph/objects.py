"""What objects and classes hold, looked up without running any code of theirs."""

from __future__ import annotations

import abc
import functools
import threading
import types
import zlib
from typing import Any

from .places import MISSING

__all__ = [
    "address", "descriptor_value", "digest", "functions_of", "is_data_descriptor", "is_network", "registrations", "slots_of",
    "state_of",
]  # fmt: skip


def state_of(thing: Any) -> Any:
    """An object's own attributes, or None."""
    try:
        local = issubclass(type(thing), threading.local)  # whose attributes are those of the thread that asks
        state = thing.__dict__ if local else object.__getattribute__(thing, "__dict__")
    except AttributeError:
        return None
    return state if isinstance(state, dict) else None


def is_data_descriptor(cls: type, name: str) -> bool:
    raw = next((b.__dict__[name] for b in cls.__mro__ if name in b.__dict__), None)
    return raw is not None and hasattr(type(raw), "__set__")


def descriptor_value(raw: Any, thing: Any) -> Any:
    try:
        return raw.__get__(thing, type(thing))
    except (AttributeError, TypeError):
        return MISSING


def functions_of(raw: Any) -> list[Any]:
    """The functions behind what a class holds: methods, and those of properties and wrappers."""
    if isinstance(raw, types.FunctionType):
        return [raw]
    if isinstance(raw, property):
        return [g for g in (raw.fget, raw.fset, raw.fdel) if g is not None]
    if isinstance(raw, (staticmethod, classmethod)):
        return [raw.__func__]
    if isinstance(raw, functools.cached_property):
        return [raw.func]
    return []


def is_network(cls: type) -> bool:
    """Whether objects of a class are networks: all their attributes count, as polygrad reads them by other names."""
    return any(base.__module__.startswith("polygrad.nn") for base in cls.__mro__)


def slots_of(cls: type) -> tuple[str, ...]:
    names = []
    for base in cls.__mro__:
        slots = base.__dict__.get("__slots__", ())
        slots = (slots,) if isinstance(slots, str) else tuple(slots)
        names += [s for s in slots if isinstance(base.__dict__.get(s), types.MemberDescriptorType)]
    return tuple(names)


def address(array: Any) -> int | None:
    """Where the memory of a NumPy array begins; None for other arrays, and for objects."""
    about = getattr(array, "__array_interface__", None)
    return None if about is None or array.dtype.hasobject else int(about["data"][0])


def digest(array: Any) -> int:
    """A checksum of the contents of a large array; two contents share one with a chance of 2^-32."""
    try:
        return zlib.crc32(array)
    except (BufferError, ValueError, TypeError):  # not in C order, or of a dtype that has no letter
        return zlib.crc32(array.tobytes())


def registrations(cls: type) -> Any:
    """A token that changes whenever a class is registered with an abstract one."""
    return abc.get_cache_token()
