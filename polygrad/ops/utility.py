"""Utility functions: all, any, diff."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ..core.apply import apply
from ..core.declare import op
from ..core.operands import together
from ..errors import ShapeError
from ..typing import ArrayLike, Namespace, Raw
from .elementwise import subtract
from .indexing import getitem
from .logic import not_equal
from .manipulation import concat, normal_axes, normal_axis

if TYPE_CHECKING:
    from ..tensor import Tensor

_bool = bool
Axis = int | tuple[int, ...] | None


@op()
def _all(xp: Namespace, x: Raw, /, axes: Any, keepdims: _bool) -> Raw:
    return xp.all(x, axis=axes, keepdims=keepdims)


@op()
def _any(xp: Namespace, x: Raw, /, axes: Any, keepdims: _bool) -> Raw:
    return xp.any(x, axis=axes, keepdims=keepdims)


def all(x: ArrayLike, /, *, axis: Axis = None, keepdims: _bool = False) -> Tensor:
    """Whether all elements over ``axis`` are true (not 0)."""
    (x,) = together("all", (x,))
    return apply(_all, (x,), (normal_axes("all", axis, x._value.ndim), keepdims))


def any(x: ArrayLike, /, *, axis: Axis = None, keepdims: _bool = False) -> Tensor:
    """Whether any element over ``axis`` is true (not 0)."""
    (x,) = together("any", (x,))
    return apply(_any, (x,), (normal_axes("any", axis, x._value.ndim), keepdims))


def diff(
    x: ArrayLike,
    /,
    *,
    axis: int = -1,
    n: int = 1,
    prepend: ArrayLike | None = None,
    append: ArrayLike | None = None,
) -> Tensor:
    """The differences between neighbours along ``axis``, taken ``n`` times, after joining ``prepend`` and
    ``append`` on.

    >>> import polygrad as pg
    >>> pg.diff(pg.asarray([1.0, 4.0, 9.0]))
    tensor([3., 5.], dtype=float64)
    """
    ends = [v for v in (prepend, append) if v is not None]
    cells = together("diff", (x, *ends))
    x = cells[0]
    ndim = x._value.ndim
    if ndim == 0:
        raise ShapeError("diff: needs at least one dimension, got a 0-d array")
    if n < 0:
        raise ValueError(f"diff: n must not be negative, got {n}")
    place = normal_axis("diff", axis, ndim)
    if n == 0:
        return x  # type: ignore[no-any-return]
    if ends:
        parts = iter(cells[1:])
        before = [next(parts)] if prepend is not None else []
        x = concat([*before, x, *parts], axis=place)
    ahead: Any = (*(slice(None),) * place, slice(1, None), ...)
    behind: Any = (*(slice(None),) * place, slice(None, -1), ...)
    for _ in range(n):
        later, earlier = getitem(x, ahead), getitem(x, behind)
        x = not_equal(later, earlier) if later.dtype.kind == "b" else subtract(later, earlier)
    return x  # type: ignore[no-any-return]
