"""State outside the graph that moves on by being used: iterators and sources of random numbers."""

from __future__ import annotations

import gc
import operator
import random
import types
import warnings
from collections.abc import Callable, Iterator
from typing import Any, Final

from .. import registry

__all__ = ["global_streams", "is_iterator", "progress", "stream_of"]

_Pair = tuple[Callable[[], Any], Callable[[Any], None]]

_ITERATORS: Final = ("builtins", "itertools", "collections", "_io", "_csv")
"""Modules whose iterators are known; a user's own class of iterators is an object with attributes."""


def is_iterator(thing: Any) -> bool:
    """Whether something is an iterator of Python's own, or a generator."""
    kind = type(thing)
    if not hasattr(kind, "__next__"):
        return False
    return issubclass(type(thing), types.GeneratorType) or kind.__module__ in _ITERATORS


def progress(iterator: Any) -> Any:
    """A value that changes when an iterator moves on; the iterator is left alone."""
    if issubclass(type(iterator), types.GeneratorType):
        frame = iterator.gi_frame
        inner = [] if frame is None else [x for x in frame.f_locals.values() if is_iterator(x)]
        local = () if frame is None else tuple(sorted((k, id(v)) for k, v in frame.f_locals.items()))
        return None if frame is None else (frame.f_lasti, local, [progress(x) for x in inner])
    if hasattr(iterator, "__length_hint__"):
        return operator.length_hint(iterator)
    if type(iterator).__name__ == "count":
        return repr(iterator)
    if hasattr(iterator, "tell"):
        return iterator.tell()
    inner = [progress(x) for x in gc.get_referents(iterator) if is_iterator(x)]
    if type(iterator).__name__ == "cycle":
        return inner, _place_in_cycle(iterator)
    return inner


def _place_in_cycle(iterator: Any) -> Any:
    """Where an ``itertools.cycle`` stands; what equals nothing where Python (from 3.14) does not tell it."""
    try:
        with warnings.catch_warnings(action="ignore", category=DeprecationWarning):
            return iterator.__reduce__()[2][1]
    except (AttributeError, TypeError):
        referents = gc.get_referents(iterator)
        first_round = any(is_iterator(x) for x in referents)  # what it has drawn grows
        return [len(x) for x in referents if isinstance(x, list)] if first_round else object()


def _of_python(source: random.Random) -> _Pair:
    return source.getstate, source.setstate


def stream_of(thing: Any) -> _Pair | None:
    """What gets and what sets the state of a source of random numbers; None for anything else."""
    if issubclass(type(thing), random.Random) and not issubclass(type(thing), random.SystemRandom):
        return _of_python(thing)
    kind = type(thing)
    if kind.__module__.startswith("numpy.random") and hasattr(kind, "state"):  # a bit generator
        return lambda: thing.state, lambda state: setattr(thing, "state", state)
    if kind.__module__.startswith("numpy.random") and hasattr(thing, "_bit_generator"):
        return stream_of(thing._bit_generator)
    if kind.__module__.startswith("torch") and hasattr(kind, "manual_seed") and hasattr(kind, "get_state"):
        return lambda: thing.get_state().tolist(), lambda state: None
    return None


def global_streams() -> Iterator[_Pair]:
    """The sources of random numbers that the process shares."""
    yield _of_python(random._inst)
    for backend in registry.loaded():
        yield from backend.random_streams()
