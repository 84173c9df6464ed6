"""Scopes that end whatever happens: an interrupt finds them entered and sure to be left, or not entered.

``KeyboardInterrupt`` is raised between two steps of Python code, so also after the last line of an ``__enter__``, or before
the first of an ``__exit__``, that are written in Python; then what the scope changed would stay changed for ever. The
methods here are read from the scope first, which takes as many steps as it likes and changes nothing; what is then called
takes none.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import ContextDecorator
from contextvars import ContextVar
from functools import partial
from typing import Any, Final, Generic, TypeVar

__all__ = ["Enter", "Scope", "leaving"]

V = TypeVar("V")


def leaving(steps: Iterator[object]) -> Callable[..., Any]:
    """A function of any arguments, written in C, that takes a step of an iterator and returns something false.

    ``str.format`` ignores the arguments that its text does not name (the three of ``__exit__``), looks ``x`` up in a
    dictionary that has no keys, which takes the step, and cuts what comes out to an empty string.
    """

    class Steps(dict[str, object]):
        __missing__ = staticmethod(partial(next, steps))  # ``next(steps, key)``

    return partial(_format, Steps())


def leaving_once(action: Callable[[], object]) -> Callable[..., Any]:
    """The same for an action that is done once: a dictionary that keeps what it made is made more quickly."""
    return partial(_format, defaultdict(action))


_format: Final = "{0[x]!s:.0}".format


class Enter:
    """The attribute ``__enter__`` of a class whose ``_entering()`` returns what to call. What takes it from the class
    (``contextlib.ExitStack``) gets a function."""

    def __get__(self, scope: Any, owner: type) -> Any:
        return _enter if scope is None else scope._entering()


class Exit:
    """The attribute ``__exit__`` of a class whose ``_leaving()`` returns what to call; ``with`` reads it before it
    enters."""

    def __get__(self, scope: Any, owner: type) -> Any:
        return _leave if scope is None else scope._leaving()


def _enter(scope: Any) -> Any:
    return scope._entering()()


def _leave(scope: Any, *exc: object) -> None:
    scope._leaving()(*exc)


class Scope(ContextDecorator, Generic[V]):
    """A scope in which a context variable has a value; ``with`` gives the value. A decorator, too.

    Args:
        variable: what is set.
        value: to what.
    """

    def __init__(self, variable: ContextVar[Any], value: V) -> None:
        self._variable = variable
        self._value = value
        self._entered = False
        self._exit: Callable[..., Any] | None = None

    def _recreate_cm(self) -> Scope[V]:  # each call of a decorated function has a scope of its own
        return Scope(self._variable, self._value)

    def _entering(self) -> Callable[[], V]:
        if self._entered:
            raise RuntimeError("this scope was entered before; make another one for each with statement")
        self._leaving()  # notes what there was
        self._entered = True
        return partial(max, (self._value,), key=self._variable.set)  # sets it and returns it

    def _leaving(self) -> Callable[..., Any]:
        if self._exit is None:
            self._exit = leaving_once(partial(self._variable.set, self._variable.get()))
        return self._exit

    __enter__ = Enter()
    __exit__ = Exit()
