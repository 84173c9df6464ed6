"""The generator: a seeded stream of numbers whose state is plain data."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

from polygrad import errors, registry
from polygrad.backend import Scope
from polygrad.core import drawing

__all__ = ["Generator", "current", "default_generator", "get_state", "manual_seed", "set_state", "split", "use"]


class Generator:
    """A stream of random numbers.

    Args:
        seed: any integer >= 0; None draws one from the operating system.

    Generators of the same seed give the same numbers on every platform and for every backend. The host's
    generator is made on the first draw, so that making one of these loads no array library. In a function that is
    traced, each run makes it again, and repeats :meth:`manual_seed`, :meth:`set_state` and :meth:`split`.

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
        checked = None if seed is None else _checked(seed)
        if drawing.trace() is None:
            self._seed = drawing.system_seed() if checked is None else checked
        else:
            self._each_run(self._begin, checked)

    def copied(self, state: Mapping[str, Any] | None = None) -> Generator:
        """A generator in a state: this one's own if None is given."""
        copy = Generator.__new__(Generator)
        copy._seed, copy._host = self._seed, None
        if state is not None or self._host is not None:
            copy._seed, copy._host = _host_of(self._read() if state is None else state)
        return copy

    @property
    def seed(self) -> int:
        """The seed that the stream began with."""
        return self._acting()._seed

    @property
    def host(self) -> Any:
        """The generator that draws, NumPy's, on the host."""
        acting = self._noted()
        if acting._host is None:
            acting._host = registry.load("numpy").generator(acting._seed)
        return acting._host

    def manual_seed(self, seed: int) -> Generator:
        """Begin again from a seed; returns itself.

        Raises:
            ValueError: if the seed is negative.
            TypeError: if it is not an integer.
        """
        self._each_run(self._begin, _checked(seed))
        return self

    def get_state(self) -> dict[str, Any]:
        """Where the stream stands: dicts, lists, strings and integers, which JSON can hold.

        Raises:
            TraceError: in a function that is traced, whose runs each have another state.
        """
        if drawing.trace() is not None:
            raise errors.TraceError(
                "get_state: the state of a random generator is read in a function that is traced; every run has another "
                "one. Read it outside the compiled function, or copy the generator there"
            )
        return self._state()

    def set_state(self, state: Mapping[str, Any]) -> None:
        """Continue from where a stream stood.

        Raises:
            StateError: if this is no state of a generator; the generator is left as it was.
        """
        self._each_run(self._put, state)

    def split(self, n: int) -> list[Generator]:
        """``n`` new generators, independent of each other and of this one, which moves on.

        >>> import polygrad as pg
        >>> a, b = pg.random.Generator(0).split(2)
        >>> a.seed == b.seed
        False
        """
        children = _blank(n)
        self._each_run(_Split(lambda: self, children))
        return children

    # -- second runs and traces ----------------------------------------------------------------------

    def _acting(self) -> Generator:
        """What draws in this one's place."""
        replay = drawing.replay()
        return self if replay is None else replay.stand_in(self)

    def _noted(self) -> Generator:
        """What draws in this one's place, after its state was noted for second runs."""
        acting = self._acting()
        for draws in drawing.recording():
            if self not in draws.states:
                draws.states[self] = acting._read()
        return acting

    def _each_run(self, change: Any, *args: Any, state: Any = None) -> None:
        """Change the state, in a function that is traced at each run."""
        trace = drawing.trace()
        replay = drawing.replay()
        if trace is None:
            change(*args)
        elif replay is None or not (replay.in_first_trace() or replay.in_later_trace()):
            trace.host(change, args, state or (self._state, self._put))
        elif replay.in_later_trace():
            change(*args)

    def _begin(self, seed: int | None) -> None:
        acting = self._noted()
        acting._seed = drawing.system_seed() if seed is None else seed
        acting._host = None

    def _put(self, state: Mapping[str, Any]) -> None:
        seed, host = _host_of(state)
        acting = self._noted()
        acting._seed, acting._host = seed, host

    def _state(self) -> dict[str, Any]:
        return self._acting()._read()

    def _read(self) -> dict[str, Any]:
        if self._host is None:
            self._host = registry.load("numpy").generator(self._seed)
        return {"seed": self._seed, "stream": _plain(self._host.bit_generator.state)}

    def __reduce__(self) -> tuple[Any, ...]:
        return _restored, (self.get_state(),)

    def __repr__(self) -> str:
        return f"Generator(seed={self.seed})"


class _Split:
    """Seeds generators from another one."""

    def __init__(self, parent: Callable[[], Generator], children: Sequence[Generator]) -> None:
        self._parent = parent
        self._children = children

    def __call__(self) -> None:
        size = (len(self._children), 2)
        words = self._parent().host.integers(0, 2**64 - 1, size=size, dtype="uint64", endpoint=True).tolist()
        for child, (high, low) in zip(self._children, words, strict=True):
            child._begin(high << 64 | low)


def _blank(n: int) -> list[Generator]:
    """Generators that are seeded later."""
    blank = [Generator.__new__(Generator) for _ in range(n)]
    for generator in blank:
        generator._seed, generator._host = 0, None
    return blank


def _checked(seed: int) -> int:
    seed = seed.__index__()
    if seed < 0:
        raise ValueError(f"a seed must be an integer >= 0, got {seed}")
    return seed


def _host_of(state: Mapping[str, Any]) -> tuple[int, Any]:
    """The seed of a state, and the host's generator in it."""
    try:
        seed: int = state["seed"].__index__()
        host = registry.load("numpy").generator(seed)
        host.bit_generator.state = state["stream"]
    except (KeyError, TypeError, ValueError, IndexError, AttributeError, OverflowError) as error:
        raise errors.StateError(
            f"not a random generator's state ({type(error).__name__}: {error}); give a get_state()"
        ) from None
    return seed, host


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


def current() -> Generator:
    """What draws when no generator is given: the default generator, or that of the innermost :func:`use`."""
    return drawing.scoped.get() or default_generator


def of_this_trace() -> Generator | None:
    """The current generator, if the function that is traced chose it; else each run has its own."""
    generator: Generator | None = drawing.scoped.get()
    trace = drawing.trace()
    return generator if trace is not None and any(g is generator for g in trace.generators) else None


def use(generator: Generator) -> Scope[Generator]:
    """While this is open, in this thread or task, ``generator`` draws wherever no other is given.

    >>> import polygrad as pg
    >>> with pg.random.use(pg.random.Generator(1)):
    ...     a = pg.random.normal(2)
    >>> bool(pg.all(a == pg.random.normal(2, generator=pg.random.Generator(1))))
    True
    """
    trace = drawing.trace()
    if trace is not None:
        trace.generators.append(generator)
    return Scope(drawing.scoped, generator)


class _Current:
    """Stands for the generator that is current when a run begins."""

    def begin(self, seed: int) -> None:
        current()._begin(seed)

    def put(self, state: Mapping[str, Any]) -> None:
        current()._put(state)

    def state(self) -> dict[str, Any]:
        return current()._state()


_now: Final = _Current()


def _changed(change: Any, of_current: Any, *args: Any) -> None:
    """Change the current generator, in a function that is traced the one that is current at each run."""
    if drawing.trace() is None or of_this_trace() is not None:
        change(*args)
    else:
        current()._each_run(of_current, *args, state=(_now.state, _now.put))


def manual_seed(seed: int) -> Generator:
    """Seed the :func:`current` generator; returns it."""
    generator = current()
    _changed(generator.manual_seed, _now.begin, _checked(seed))
    return generator


def get_state() -> dict[str, Any]:
    """Where the :func:`current` generator stands; see :meth:`Generator.get_state`."""
    return current().get_state()


def set_state(state: Mapping[str, Any]) -> None:
    """Put the :func:`current` generator where a state says; see :meth:`Generator.set_state`."""
    _changed(current().set_state, _now.put, state)


def split(n: int) -> list[Generator]:
    """``n`` independent generators off the :func:`current` one; see :meth:`Generator.split`."""
    children = _blank(n)
    generator = current()
    change = _Split(current, children)
    generator._each_run(_Split(lambda: generator, children)) if of_this_trace() else _changed(change, change)
    return children
