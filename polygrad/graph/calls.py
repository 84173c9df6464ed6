"""The tracing of one call: what it did, what it looked at, and everything outside as it was before."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from .. import registry
from ..core.cell import Cell, settle
from .guards import Change, Surroundings
from .noting import Noted, note
from .objects import address
from .outside import global_streams
from .places import Stream
from .tracing import Done, Trace, tracing, undo
from .witness import Witness

__all__ = ["Traced", "others", "traced"]


class Traced(NamedTuple):
    """A traced call.

    Attributes:
        noted: what it did.
        guards: what it looked at.
    """

    noted: Noted
    guards: Surroundings


def traced(call: Callable[[], Any], f: Any, leaves: Sequence[Any], before: Surroundings, pending: list[Done]) -> Traced:
    """Trace a call; what it did and what it looked at, with everything outside as it was before."""
    tensors = [x for x in leaves if isinstance(x, Cell)]
    for x in tensors:
        settle(x)
    reached = list(before.tensors.values())
    inner = next((x._device for x in (*tensors, *reached)), registry.default_device())
    trace = Trace(inner)
    trace.pending = pending
    trace.reached, trace.accepting = before.reached, before.accepting
    trace.witness = witness = Witness(before.enter, before.reached, before.is_user)
    views = [(x, x._extra) for x in tensors if x._extra is not None and x._extra.base is not None]
    for x, _ in views:
        x._extra = None  # in the graph it is an array of its own
    streams = [(Stream(pair, pair), pair[0]()) for pair in global_streams()]
    done = False
    try:
        with tracing(trace):
            try:
                _enter_arguments(trace, tensors, _names(f))
                with witness.watching():
                    result = call()
                witness.raise_refused()
                noted = note(trace, result, [*before.changes(), *_drawn(streams)])
                noted.arguments = {trace.entered[id(x)].traced.value for x in tensors if id(x) in trace.entered}
            finally:
                before.restore(before.changes())
                for stream, state in streams:
                    if stream.differs(state, stream.get()):
                        stream.write(state)
                del trace.reached, trace.accepting  # they hold what was there
        inputs = {start for entry in trace.entered.values() if (start := address(entry.value)) is not None}
        guards = Surroundings(f, *others(leaves), witness=witness, stepped=trace.stepped, inputs=inputs)
        done = True
        return Traced(noted, guards)
    finally:
        trace.witness = None
        witness.frames.clear()
        for x, extra in views:
            x._extra = extra
        if not done:
            undo([*trace.done, *trace.pending])


def _enter_arguments(trace: Trace, tensors: Sequence[Any], names: Sequence[str]) -> None:
    for i, x in enumerate(tensors):
        if x._device is trace.inner:
            trace.enter_one(x, names[i] if i < len(names) else "")
        else:
            trace.enter(x)


def _drawn(streams: Sequence[tuple[Stream, Any]]) -> list[Change]:
    """The shared sources of random numbers that moved on."""
    states = [(stream, state, stream.get()) for stream, state in streams]
    return [(stream.name, stream, then, now) for stream, then, now in states if stream.differs(then, now)]


def others(leaves: Sequence[Any]) -> list[Any]:
    """Arguments that are objects, whose attributes the function can look at."""
    return [x for x in leaves if not isinstance(x, Cell)]


def _names(f: Any) -> list[str]:
    try:
        return list(inspect.signature(f).parameters)
    except (TypeError, ValueError):
        return []
