"""What the tables of kinds of change are made of."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

Change = Callable[[], object]
Case = tuple[Callable[[Any], Any], Change]


class Kind(NamedTuple):
    name: str
    make: Callable[[], Case]


GUARDED: list[Kind] = []
REFUSED: list[Kind] = []


def guarded(make: Callable[[], Case]) -> Callable[[], Case]:
    GUARDED.append(Kind(make.__name__, make))
    return make


def refused(make: Callable[[], Case]) -> Callable[[], Case]:
    REFUSED.append(Kind(make.__name__, make))
    return make


def setting(container: Any, key: Any, value: Any) -> Change:
    return lambda: container.__setitem__(key, value)


def attribute(thing: Any, name: str, value: Any) -> Change:
    return lambda: setattr(thing, name, value)


def in_scope(source: str, **scope: Any) -> dict[str, Any]:
    exec(source, scope)
    return scope
