"""The surroundings of a random draw: the vmaps and the trace that run, and whether a run is repeated."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, NamedTuple

__all__ = [
    "Draws",
    "Place",
    "Replay",
    "place_of",
    "provide_place",
    "provide_trace",
    "recording",
    "replay",
    "scoped",
    "system_seed",
    "trace",
]


class Place(NamedTuple):
    """Where a draw is made.

    Attributes:
        device: of the numbers drawn, below every vmap.
        lead: the axes in front of the shape asked for: the batches whose examples draw independently.
        enter: makes of the Tensor drawn what the function that draws sees.
    """

    device: Any
    lead: tuple[int, ...]
    enter: Callable[[Any], Any]


def _same(x: Any) -> Any:
    return x


def _no_vmap(name: str, device: Any) -> Place:
    return Place(device, (), _same)


def _no_trace() -> Any:
    return None


_place: Callable[[str, Any], Place] = _no_vmap
_trace: Callable[[], Any] = _no_trace


def provide_place(f: Callable[[str, Any], Place]) -> None:
    """Fill in how vmap draws: ``f(name, device)``."""
    global _place
    _place = f


def provide_trace(f: Callable[[], Any]) -> None:
    """Fill in which trace is running."""
    global _trace
    _trace = f


def place_of(name: str, device: Any) -> Place:
    """Where the function ``name`` draws that is asked for numbers on ``device``.

    Raises:
        VmapError: if a running vmap allows no draws.
    """
    return _place(name, device)


def trace() -> Any:
    """The innermost trace of this thread or task, or None."""
    return _trace()


scoped: ContextVar[Any] = ContextVar("polygrad.random", default=None)
"""The generator of the innermost ``pg.random.use``."""

_recording: ContextVar[tuple[Draws, ...]] = ContextVar("polygrad_recorded_draws", default=())
_replay: ContextVar[Replay | None] = ContextVar("polygrad_replayed_draws", default=None)


class Draws:
    """The draws of one run of a function, kept so that a second run draws the same.

    Attributes:
        states: of each generator, before the run first used it.
        seeds: those that the operating system gave.
        arrays: what was drawn in a trace, where generators draw later.
        trace: the trace in which the run took place, or None.
    """

    __slots__ = ("_scoped", "arrays", "seeds", "states", "trace")

    def __init__(self) -> None:
        self.states: dict[Any, Any] = {}
        self.seeds: list[int] = []
        self.arrays: list[Any] = []
        self.trace = trace()
        self._scoped = scoped.get()

    @contextmanager
    def recorded(self) -> Iterator[None]:
        """The scope of the first run."""
        token = _recording.set((*_recording.get(), self))
        try:
            yield
        finally:
            _recording.reset(token)

    @contextmanager
    def repeated(self) -> Iterator[None]:
        """The scope of a second run. The generators themselves do not move."""
        recorded, replayed, generator = _recording.set(()), _replay.set(Replay(self)), scoped.set(self._scoped)
        try:
            yield
        finally:
            scoped.reset(generator)
            _replay.reset(replayed)
            _recording.reset(recorded)


class Replay:
    """A second run: copies of the generators, as the first run found them, stand in for them."""

    def __init__(self, draws: Draws) -> None:
        self._draws = draws
        self._stand_ins: dict[Any, Any] = {}
        self._seeds = iter(draws.seeds)
        self._arrays = iter(draws.arrays)
        self._opened = trace()

    def in_first_trace(self) -> bool:
        """Whether the first run was in the trace that is running."""
        running = trace()
        return running is not None and self._draws.trace is running

    def in_later_trace(self) -> bool:
        """Whether the first run was over before the trace that this run is in."""
        running = trace()
        return running is not None and self._opened is running and self._draws.trace is not running

    def array(self) -> Any:
        """The next draw of the first run, in the trace that is running; None if it drew nothing more."""
        return next(self._arrays, None)

    def seed(self) -> int | None:
        """The next seed that the operating system gave the first run."""
        return next(self._seeds, None)

    def stand_in(self, generator: Any) -> Any:
        """The generator that draws in another's place."""
        copy = self._stand_ins.get(generator)
        if copy is None:
            copy = self._stand_ins[generator] = generator.copied(self._draws.states.get(generator))
        return copy


def recording() -> tuple[Draws, ...]:
    """The runs that are recorded, the outermost first."""
    return _recording.get()


def replay() -> Replay | None:
    """The second run that is taking place, if one is."""
    return _replay.get()


def system_seed() -> int:
    """A seed from the operating system; in a second run that of the first."""
    running = _replay.get()
    seed = None if running is None else running.seed()
    if seed is None:
        seed = secrets.randbits(64)
    for draws in _recording.get():
        draws.seeds.append(seed)
    return seed
