"""The generator: a seeded stream of numbers whose state is plain data."""

from __future__ import annotations

import functools
import secrets
import sys
from collections.abc import Callable, Mapping
from contextvars import ContextVar
from typing import Any, Final

from polygrad import errors, registry
from polygrad.backend import Scope

__all__ = ["Generator", "current", "default_generator", "get_state", "manual_seed", "set_state", "split", "use"]


class Generator:
    """A stream of random numbers.

    Args:
        seed: any integer >= 0; None draws one from the operating system.

    Generators of the same seed give the same numbers on every platform and for every backend. The host's
    generator is made on the first draw, so that making one of these loads no array library.

    >>> import polygrad as pg
    >>> g = pg.random.Generator(7)
    >>> before = g.get_state()
    >>> first = pg.random.uniform(3, generator=g)
    >>> g.set_state(before)
    >>> bool(pg.all(pg.random.uniform(3, generator=g) == first))
    True
    """

    __slots__ = ("_host", "_seed")

    def __init__(self, seed: int | None = None) -> None:
        self._host: Any = None
        self._seed = 0
        if seed is None:
            self._begin(secrets.randbits(64))
        else:
            self.manual_seed(seed)

    @property
    def seed(self) -> int:
        """The seed that the stream began with."""
        return self._seed

    @property
    def host(self) -> Any:
        """The generator that draws, NumPy's, on the host."""
        if self._host is None:
            self._host = registry.load("numpy").generator(self._seed)
        return self._host

    def manual_seed(self, seed: int) -> Generator:
        """Begin again from a seed; returns itself.

        Raises:
            ValueError: if the seed is negative.
            TypeError: if it is not an integer.
        """
        seed = seed.__index__()
        if seed < 0:
            raise ValueError(f"a seed must be an integer >= 0, got {seed}")
        _each_run(self, functools.partial(self._begin, seed))
        return self

    def _begin(self, seed: int) -> None:
        self._seed = seed
        self._host = None

    def get_state(self) -> dict[str, Any]:
        """Where the stream stands: dicts, lists, strings and integers, which JSON can hold.

        Raises:
            TraceError: inside a function that is traced, where it is known at each run only.
        """
        _refuse_traced("get_state")
        state: dict[str, Any] = _plain(self.host.bit_generator.state)
        return {"seed": self._seed, "stream": state}

    def set_state(self, state: Mapping[str, Any]) -> None:
        """Continue from where a stream stood.

        Raises:
            StateError: if this is no state of a generator; the generator is left as it was.
        """
        try:
            seed = state["seed"].__index__()
            host = registry.load("numpy").generator(seed)
            host.bit_generator.state = state["stream"]
        except (KeyError, TypeError, ValueError, IndexError, AttributeError, OverflowError) as error:
            raise errors.StateError(
                f"not a random generator's state ({type(error).__name__}: {error}); give a get_state()"
            ) from None
        _each_run(self, functools.partial(self._continue, seed, host.bit_generator.state))

    def _continue(self, seed: int, state: Any) -> None:
        host = registry.load("numpy").generator(seed)
        host.bit_generator.state = state
        self._seed, self._host = seed, host

    def split(self, n: int) -> list[Generator]:
        """``n`` new generators, independent of each other and of this one, which moves on.

        >>> import polygrad as pg
        >>> a, b = pg.random.Generator(0).split(2)
        >>> a.seed == b.seed
        False
        """
        _refuse_traced("split")
        words = self.host.integers(0, 2**64 - 1, size=(n, 2), dtype="uint64", endpoint=True).tolist()
        return [Generator(high << 64 | low) for high, low in words]

    def __reduce__(self) -> tuple[Any, ...]:
        return _restored, (self.get_state(),)

    def __repr__(self) -> str:
        return f"Generator(seed={self._seed})"


def _trace() -> Any:
    """The trace that is running, or None."""
    graph = sys.modules.get("polygrad.graph.tracing")  # what is not imported traces nothing
    return None if graph is None else graph.running()


def _each_run(generator: Generator, change: Callable[[], None]) -> None:
    """Change a generator now; in a function that is traced, at each run."""
    trace = _trace()
    if trace is None:
        change()
    else:
        trace.host(change, (), (generator.get_state, generator.set_state))


def _refuse_traced(name: str) -> None:
    if _trace() is not None:
        raise errors.TraceError(
            f"{name}: a generator's state is known at each run of a static graph only; do this outside the compiled "
            "function, or in pg.graph.on_each_run"
        )


def _restored(state: Mapping[str, Any]) -> Generator:
    made = Generator(0)
    made.set_state(state)
    return made


def _plain(value: Any) -> Any:
    """Nested dicts with their arrays as lists."""
    if isinstance(value, dict):
        return {key: _plain(v) for key, v in value.items()}
    return value.tolist() if hasattr(value, "tolist") else value


default_generator: Final = Generator()
"""What draws when no generator is given, outside of :func:`use`; seeded by the operating system until
:func:`manual_seed`."""

_scoped: ContextVar[Generator | None] = ContextVar("polygrad.random", default=None)


def current() -> Generator:
    """What draws when no generator is given: the default generator, or that of the innermost :func:`use`."""
    return _scoped.get() or default_generator


def use(generator: Generator) -> Scope[Generator]:
    """While this is open, in this thread or task, ``generator`` draws wherever no other is given.

    >>> import polygrad as pg
    >>> with pg.random.use(pg.random.Generator(1)):
    ...     a = pg.random.normal(2)
    >>> bool(pg.all(a == pg.random.normal(2, generator=pg.random.Generator(1))))
    True
    """
    return Scope(_scoped, generator)


def manual_seed(seed: int) -> Generator:
    """Seed the :func:`current` generator; returns it."""
    return current().manual_seed(seed)


def get_state() -> dict[str, Any]:
    """Where the :func:`current` generator stands; see :meth:`Generator.get_state`."""
    return current().get_state()


def set_state(state: Mapping[str, Any]) -> None:
    """Put the :func:`current` generator where a state says; see :meth:`Generator.set_state`."""
    current().set_state(state)


def split(n: int) -> list[Generator]:
    """``n`` independent generators off the :func:`current` one; see :meth:`Generator.split`."""
    return current().split(n)
