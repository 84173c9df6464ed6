"""The names that Python code mentions, and which code is whose."""

from __future__ import annotations

import dis
import functools
import os
import sys
import types
from typing import Final, NamedTuple

__all__ = ["Names", "argument_of_call", "is_generated", "is_library", "is_ours", "names_in"]

_OURS: Final = ("polygrad", "polygrad_backends")

_GLOBAL: Final = frozenset({"LOAD_GLOBAL", "LOAD_NAME", "STORE_GLOBAL", "DELETE_GLOBAL"})

_DYNAMIC: Final = frozenset(
    "getattr setattr delattr hasattr vars dir __dict__ __getattribute__ attrgetter methodcaller asdict astuple".split()
)
"""Names of what can read or write an attribute that the code does not mention by name."""


class Names(NamedTuple):
    """What one code object mentions, without the functions that are defined inside it.

    Attributes:
        globals: names looked up in the module and among the builtins.
        attributes: names of attributes that are read, written or deleted, and of what is imported from modules.
        modules: names of modules that are imported.
        dynamic: whether attributes may be reached that are not named.
        texts: where the module's dict is read as such: the code's constants, which may be keys.
    """

    globals: frozenset[str]
    attributes: frozenset[str]
    modules: frozenset[str]
    dynamic: bool
    texts: frozenset[str] = frozenset()


@functools.lru_cache(maxsize=100_000)
def names_in(code: types.CodeType) -> Names:
    """The names that a code object mentions."""
    globals_, modules, everything = set(), set(), set(code.co_names)
    for instruction in dis.get_instructions(code):
        if instruction.opname in _GLOBAL:
            globals_.add(instruction.argval)
        elif instruction.opname == "IMPORT_NAME":
            modules.add(instruction.argval)
    dynamic = not _DYNAMIC.isdisjoint(everything)
    # A name can be a global's in one place and an attribute's in another: only imports are told apart.
    words = {c for c in code.co_consts if isinstance(c, str) and c.isidentifier()}
    texts = words if "globals" in everything else set()
    if dynamic:  # ``getattr(x, "name")``
        everything |= words
    return Names(frozenset(globals_), frozenset(everything), frozenset(modules), dynamic, frozenset(texts))


@functools.lru_cache(maxsize=1000)
def _instructions(code: types.CodeType) -> list[dis.Instruction]:
    return [i for i in dis.get_instructions(code) if i.opname not in ("CACHE", "PRECALL", "EXTENDED_ARG", "NOP")]


_UNKNOWN: Final = object()


def argument_of_call(frame: types.FrameType) -> object | None:
    """The one argument of the call that a frame is about to make, if it is a variable or an attribute of one."""
    instructions = _instructions(frame.f_code)
    at = next((n for n, i in enumerate(instructions) if i.offset >= frame.f_lasti), None)
    if at is None:
        return None
    path: list[str] = []
    for instruction in reversed(instructions[:at]):
        name = str(instruction.argval)
        if instruction.opname == "LOAD_ATTR":
            path.append(name)
            continue
        thing = _UNKNOWN
        if instruction.opname.startswith(("LOAD_FAST", "LOAD_DEREF", "LOAD_CLASSDEREF")):
            thing = frame.f_locals.get(name, _UNKNOWN)
        elif instruction.opname in ("LOAD_GLOBAL", "LOAD_NAME"):
            thing = frame.f_globals.get(name, frame.f_locals.get(name, _UNKNOWN))
        for attribute in reversed(path):
            state = getattr(thing, "__dict__", {})
            thing = state.get(attribute, _UNKNOWN)
        return None if thing is _UNKNOWN else thing
    return None


def is_ours(name: str | None) -> bool:
    """Whether a module is part of polygrad."""
    return name is not None and name.partition(".")[0] in _OURS


def is_generated(code: types.CodeType) -> bool:
    """Whether code was made at run time, or typed at a prompt, whatever module it says it is of."""
    name = code.co_filename
    return name.startswith("<") and not name.startswith("<frozen")


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
