"""Grad mode, anomaly mode and whether a trace is running: one small integer in a ContextVar, read once per op.

A ContextVar gives every thread and every asyncio task its own mode. A generator shares its caller's
context, so the decorators switch the mode around each step of a generator instead of around its life.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Generator
from contextvars import ContextVar
from functools import partial
from operator import attrgetter
from typing import Any, Final, ParamSpec, TypeVar, cast

from .scopes import Enter, leaving

__all__ = [
    "ANOMALY", "GRAD", "TRACE", "WATCHED", "Mode", "detect_anomaly", "enable_grad", "get_mode", "is_grad_enabled",
    "no_grad", "set_grad_enabled",
]  # fmt: skip

P = ParamSpec("P")
R = TypeVar("R")

GRAD: Final = 1
ANOMALY: Final = 2
TRACE: Final = 4
WATCHED: Final = ANOMALY | TRACE
"""The modes in which every op's result is looked at."""

_mode: ContextVar[int] = ContextVar("polygrad_mode", default=GRAD)
get_mode = _mode.get


class _Entered(int):
    """The mode inside a scope, which remembers the one outside.

    Attributes:
        before: the mode outside.
        enter: sets this mode, without a step of Python's.
        inside: the modes of scopes inside this one, by their numbers.
    """

    before: int
    inside: dict[int, _Entered]
    enter: Callable[[], object]


_outermost: dict[int, dict[int, _Entered]] = {}


def _inside(mode: int, before: int) -> _Entered:
    """The mode of a scope inside another; one object for each pair, since making one takes longer than the rest."""
    known = before.inside if isinstance(before, _Entered) else _outermost.setdefault(before, {})
    entered = known.get(mode)
    if entered is None:
        entered = _Entered(mode)
        entered.before, entered.inside, entered.enter = before, {}, partial(_mode.set, entered)
        known[mode] = entered
    return entered


# Each step reads the mode, takes what was before it, and sets that.
_outer: Final = map(attrgetter("before"), iter(_mode.get, None))
_leave: Final = leaving(map(attrgetter("old_value"), map(_mode.set, _outer)))
"""Set the mode outside of the innermost scope, as an ``__exit__`` does that no interrupt divides."""


def is_grad_enabled() -> bool:
    """Whether ops record a graph in this thread or task."""
    return bool(_mode.get() & GRAD)


class Mode:
    """A context manager and decorator that sets some bits of the mode and clears others.

    An instance may be entered more than once, nested or in several threads.
    """

    def __init__(self, on: int, off: int) -> None:
        self._on = on
        self._off = off

    def _entering(self) -> Callable[[], object]:
        before = _mode.get()
        return _inside((before | self._on) & ~self._off, before).enter

    __enter__ = Enter()
    __exit__ = staticmethod(_leave)

    def __call__(self, f: Callable[P, R]) -> Callable[P, R]:
        import inspect  # 10 ms, for those who decorate only

        on, off = self._on, self._off

        if inspect.isgeneratorfunction(f):

            @functools.wraps(f)
            def generator(*args: P.args, **kwargs: P.kwargs) -> Generator[Any, Any, Any]:
                return _step(f(*args, **kwargs), on, off)

            return cast("Callable[P, R]", generator)

        if inspect.isasyncgenfunction(f):

            @functools.wraps(f)
            async def async_generator(*args: P.args, **kwargs: P.kwargs) -> Any:
                steps = f(*args, **kwargs)
                send: Any = None
                try:
                    while True:
                        with Mode(on, off):
                            try:
                                item = await steps.asend(send)
                            except StopAsyncIteration:
                                return
                        send = yield item
                finally:
                    await steps.aclose()

            return cast("Callable[P, R]", async_generator)

        if inspect.iscoroutinefunction(f):

            @functools.wraps(f)
            async def coroutine(*args: P.args, **kwargs: P.kwargs) -> Any:
                with Mode(on, off):
                    return await f(*args, **kwargs)

            return cast("Callable[P, R]", coroutine)

        @functools.wraps(f)
        def function(*args: P.args, **kwargs: P.kwargs) -> R:
            with Mode(on, off):
                return f(*args, **kwargs)

        return function


def _step(generator: Generator[Any, Any, Any], on: int, off: int) -> Generator[Any, Any, Any]:
    """Run each step of a generator in the mode, and give the caller its own back in between."""
    step: Callable[[], Any] = lambda: next(generator)  # noqa: E731
    try:
        while True:
            with Mode(on, off):
                try:
                    item = step()
                except StopIteration as stop:
                    return stop.value
            try:
                sent = yield item
            except GeneratorExit:
                raise
            except BaseException as error:
                step = functools.partial(generator.throw, error)
            else:
                step = functools.partial(generator.send, sent)
    finally:
        generator.close()


class no_grad(Mode):
    """Ops inside record no graph; a context manager and a decorator.

    >>> import polygrad as pg
    >>> x = pg.asarray([1.0], requires_grad=True)
    >>> with pg.no_grad():
    ...     y = x * 2
    >>> y.requires_grad
    False
    """

    def __init__(self) -> None:
        super().__init__(0, GRAD)


class enable_grad(Mode):
    """Ops inside record a graph again, within a ``no_grad``; a context manager and a decorator."""

    def __init__(self) -> None:
        super().__init__(GRAD, 0)


class set_grad_enabled(Mode):
    """Sets the grad mode from here on, or, used as a context manager or decorator, for a while.

    >>> import polygrad as pg
    >>> with pg.set_grad_enabled(False):
    ...     pg.is_grad_enabled()
    False
    >>> pg.is_grad_enabled()
    True
    """

    def __init__(self, mode: bool) -> None:
        super().__init__(GRAD if mode else 0, 0 if mode else GRAD)
        before = _mode.get()
        after = (before | self._on) & ~self._off
        self._before: int | None = before
        self._after = _inside(after, before.before) if isinstance(before, _Entered) else after
        try:
            _mode.set(self._after)
        except BaseException:
            _mode.set(before)
            raise

    def _undo(self) -> None:
        """It took effect when it was made; entering, and decorating, make that temporary."""
        if self._before is not None and _mode.get() is self._after:
            _mode.set(self._before)
        self._before = None

    def _entering(self) -> Callable[[], object]:
        self._undo()
        return super()._entering()

    def __call__(self, f: Callable[P, R]) -> Callable[P, R]:
        self._undo()
        return super().__call__(f)


class detect_anomaly(Mode):
    """Ops inside raise :class:`~polygrad.errors.AnomalyError` at the first NaN or infinity, forward or
    backward, naming the op and the line of your code; backward also checks that no array saved by the
    graph was changed since. Slow: every result is read.

    >>> import polygrad as pg
    >>> x = pg.asarray(0.0, requires_grad=True)
    >>> with pg.detect_anomaly():
    ...     pg.sqrt(x).backward()
    Traceback (most recent call last):
    ...
    polygrad.errors.AnomalyError: backward of 'sqrt' made infinity; the op was called at ...
    """

    def __init__(self) -> None:
        super().__init__(ANOMALY, 0)
