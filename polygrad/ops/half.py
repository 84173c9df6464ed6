"""Half precision: its sums, counts and means are made in float32, since it holds no count above 65,504."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ..typing import Namespace, Raw

__all__ = ["in_single", "is_half", "over_count", "single"]


def is_half(xp: Namespace, x: Any) -> bool:
    """Whether ``x`` is an array of real numbers of 16 bits."""
    dtype = getattr(x, "dtype", None)
    return dtype is not None and xp.isdtype(dtype, "real floating") and xp.finfo(dtype).bits == 16


def single(xp: Namespace, f: Callable[..., Raw], x: Raw, *args: Any) -> Raw:
    """``f(x, *args)``, in float32 where ``x`` is in half precision; the result has ``x``'s dtype."""
    if not is_half(xp, x):
        return f(x, *args)
    wide = [xp.astype(a, xp.float32) if is_half(xp, a) else a for a in (x, *args)]
    return xp.astype(f(*wide), x.dtype)


def in_single(f: Callable[..., Raw]) -> Callable[..., Raw]:
    """A rule or kernel ``f(xp, x, ...)`` that works in float32 where ``x`` is in half precision."""

    def widened(xp: Namespace, x: Raw, *args: Any) -> Raw:
        return single(xp, lambda *wide: f(xp, *wide), x, *args)

    code = f.__code__
    widened.needs = list(code.co_varnames[2 : code.co_argcount])  # type: ignore[attr-defined]
    widened.__name__, widened.__doc__ = f.__name__, f.__doc__
    return widened


# Half precision holds whole numbers up to 2,048 exactly, so that only larger counts are worth a look at the dtype.
def over_count(xp: Namespace, g: Raw, n: int) -> Raw:
    """``g / n`` for a number of elements."""
    return g / n if n <= 2048 else single(xp, lambda wide: wide / n, g)
