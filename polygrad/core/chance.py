"""What a function drew, so that it can be run again with the same numbers, and what draws mean inside ``vmap``."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, NamedTuple

from ..errors import GradientError

__all__ = [
    "Draws", "Mapping", "mapping_draws", "mappings", "note_draw", "note_generator", "recording", "repeated", "repeating",
]  # fmt: skip


class Draws:
    """The draws of one run of a function.

    Attributes:
        generators: the generators that drew, each with its state before its first draw.
        traced: in a trace, what was drawn.
    """

    def __init__(self) -> None:
        self.generators: list[tuple[Any, Any]] = []
        self.traced: list[Any] = []


_recording: ContextVar[tuple[Draws, ...]] = ContextVar("polygrad_draws_recorded", default=())
_repeating: ContextVar[Iterator[Any] | None] = ContextVar("polygrad_draws_repeated", default=None)


@contextmanager
def recording() -> Iterator[Draws]:
    """The scope of a run that may be repeated."""
    draws = Draws()
    token = _recording.set((*_recording.get(), draws))
    try:
        yield draws
    finally:
        _recording.reset(token)


@contextmanager
def repeating(draws: Draws) -> Iterator[None]:
    """The scope of a run that draws what an earlier one drew; generators are left where they are now."""
    now = [(generator, generator.get_state()) for generator, _ in draws.generators]
    token = _repeating.set(iter(draws.traced) if draws.traced else None)
    try:
        for generator, state in draws.generators:
            generator.set_state(state)
        yield
    finally:
        _repeating.reset(token)
        for generator, state in now:
            generator.set_state(state)


class Mapping(NamedTuple):
    """A running ``vmap``.

    Attributes:
        level: its device.
        size: the length of the batch.
        randomness: what draws inside it mean: ``"error"``, ``"different"`` or ``"same"``.
    """

    level: Any
    size: int
    randomness: str


_mappings: ContextVar[tuple[Mapping, ...]] = ContextVar("polygrad_vmap_draws", default=())


def mappings() -> tuple[Mapping, ...]:
    """The running vmaps, the outermost first."""
    return _mappings.get()


@contextmanager
def mapping_draws(level: Any, size: int, randomness: str) -> Iterator[None]:
    """The scope of a vmap's function."""
    token = _mappings.set((*_mappings.get(), Mapping(level, size, randomness)))
    try:
        yield
    finally:
        _mappings.reset(token)


def note_generator(generator: Any) -> None:
    """Note that a generator is about to draw."""
    for draws in _recording.get():
        if all(known is not generator for known, _ in draws.generators):
            draws.generators.append((generator, generator.get_state()))


def note_draw(tensor: Any) -> None:
    """Note what was drawn in a trace."""
    for draws in _recording.get():
        draws.traced.append(tensor)


def repeated(name: str, shape: tuple[int, ...] | None) -> Any:
    """The next draw of the run that is repeated, or None where none is.

    Raises:
        GradientError: if the function draws otherwise than it did.
    """
    items = _repeating.get()
    if items is None:
        return None
    drawn = next(items, None)
    if drawn is None or (shape is not None and tuple(drawn.shape) != shape):
        raise GradientError(
            f"{name}: the function draws otherwise when it is run again for its derivative (checkpoint); it must draw the "
            "same shapes in the same order"
        )
    return drawn
