"""What a compiled step does in plain Python at each run: an optimiser's counts and rates, random draws."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from .tracing import paused, running

__all__ = ["is_tracing", "on_each_run", "paused"]


def is_tracing() -> bool:
    """Whether a function is being traced in this thread or task."""
    return running() is not None


def on_each_run(f: Callable[..., Any], *args: Any) -> Any:
    """``f(*args)``, now and before each run of the static graph that is being traced, if one is.

    Its result is None or a tuple. Its floats are numbers that each run gets anew: in a trace they can take part in
    arithmetic with tensors and each other, and nothing else. Arrays of a registered library (not Tensors) are tensors
    that each run gets anew. Everything else must stay the same, or the function is traced again.

    >>> import polygrad as pg
    >>> rates = iter([0.5, 0.25])
    >>> @pg.compile
    ... def scaled(x):
    ...     (rate,) = pg.graph.on_each_run(lambda: (next(rates),))
    ...     return x * rate
    >>> scaled(pg.ones(2)), scaled(pg.ones(2))
    (tensor([0.5, 0.5], dtype=float64), tensor([0.25, 0.25], dtype=float64))
    """
    trace = running()
    return f(*args) if trace is None else trace.host(f, args)
