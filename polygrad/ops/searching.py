"""Searching: where values are, and choosing between values."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ..core.apply import apply, apply_multiple
from ..core.declare import op
from ..core.operands import SCALARS, beside, scalar_tensor, together
from ..errors import DTypeError, ShapeError
from ..typing import ArrayLike, Namespace, Raw
from .data_types import astype, result_type
from .manipulation import normal_axes, normal_axis

if TYPE_CHECKING:
    from ..tensor import Tensor

# -- where -------------------------------------------------------------------------------------------


@op(
    vjps=[
        None,
        lambda xp, g, condition: xp.where(condition, g, xp.zeros_like(g)),
        lambda xp, g, condition: xp.where(condition, xp.zeros_like(g), g),
    ],
    jvps=[
        None,
        lambda xp, t, condition: xp.where(condition, t, xp.zeros_like(t)),
        lambda xp, t, condition: xp.where(condition, xp.zeros_like(t), t),
    ],
    broadcasts=True,
)
def _where(xp: Namespace, condition: Raw, x1: Raw, x2: Raw, /) -> Raw:
    return xp.where(condition, x1, x2)


def where(condition: ArrayLike, x1: ArrayLike, x2: ArrayLike, /) -> Tensor:
    """``x1`` where the condition holds, ``x2`` elsewhere.

    The gradient goes to the side taken. An infinite or nan slope in the branch not taken has no part in it
    (``docs/numerics.md``: strong zeros).

    >>> import polygrad as pg
    >>> x = pg.asarray([-1.0, 2.0])
    >>> pg.where(x > 0, x, 0.0)
    tensor([0., 2.], dtype=float64)
    """
    arrays = [x for x in (x1, x2) if type(x) not in SCALARS]
    if arrays:
        cells = together("where", (condition, *arrays))
        condition, rest = cells[0], iter(cells[1:])
        values: list[Any] = [x if type(x) in SCALARS else next(rest) for x in (x1, x2)]
        like = next(v for v in values if type(v) not in SCALARS)
        values = [scalar_tensor(v, like) if type(v) in SCALARS else v for v in values]
    else:
        (condition,) = together("where", (condition,))
        common = result_type(result_type(x1), result_type(x2))
        values = [astype(beside("where", [v], condition)[0], common) for v in (x1, x2)]
    if condition._device.backend.to_dtype(condition._value.dtype).kind != "b":
        raise DTypeError(f"where: the condition must be boolean, not {condition.dtype}; compare it with something")
    if values[0]._value.dtype != values[1]._value.dtype:
        common = result_type(*values)
        values = [astype(v, common, copy=False) for v in values]
    return apply(_where, (condition, *values))


# -- what has no derivative --------------------------------------------------------------------------


@op()
def _argmax(xp: Namespace, x: Raw, /, axis: int | None, keepdims: bool) -> Raw:
    return xp.argmax(x, axis=axis, keepdims=keepdims)


@op()
def _argmin(xp: Namespace, x: Raw, /, axis: int | None, keepdims: bool) -> Raw:
    return xp.argmin(x, axis=axis, keepdims=keepdims)


def _arg(declared: Any, x: ArrayLike, axis: int | None, keepdims: bool) -> Any:
    (x,) = together(declared.name, (x,))
    shape = x._value.shape
    place = None if axis is None else normal_axis(declared.name, axis, len(shape))
    if (0 in shape) if place is None else shape[place] == 0:
        raise ShapeError(f"{declared.name}: of no elements (shape {tuple(shape)}) is not defined")
    return apply(declared, (x,), (place, keepdims))


def argmax(x: ArrayLike, /, *, axis: int | None = None, keepdims: bool = False) -> Tensor:
    """The index of the (first) largest element along ``axis``, or in the flattened array."""
    return _arg(_argmax, x, axis, keepdims)  # type: ignore[no-any-return]


def argmin(x: ArrayLike, /, *, axis: int | None = None, keepdims: bool = False) -> Tensor:
    """The index of the (first) smallest element along ``axis``, or in the flattened array."""
    return _arg(_argmin, x, axis, keepdims)  # type: ignore[no-any-return]


@op()
def _count_nonzero(xp: Namespace, x: Raw, /, axes: tuple[int, ...], keepdims: bool) -> Raw:
    found = x if xp.isdtype(x.dtype, "bool") else x != 0
    return xp.sum(xp.astype(found, xp.int64), axis=axes, keepdims=keepdims)


def count_nonzero(x: ArrayLike, /, *, axis: int | tuple[int, ...] | None = None, keepdims: bool = False) -> Tensor:
    """How many elements over ``axis`` are not 0."""
    (x,) = together("count_nonzero", (x,))
    return apply(_count_nonzero, (x,), (normal_axes("count_nonzero", axis, x._value.ndim), keepdims))


@op(multiple=True)
def _nonzero(xp: Namespace, x: Raw, /) -> tuple[Raw, ...]:
    return tuple(xp.nonzero(x))


def nonzero(x: ArrayLike, /) -> tuple[Tensor, ...]:
    """For each axis, the indices of the elements that are not 0."""
    (x,) = together("nonzero", (x,))
    if x._value.ndim == 0:
        raise ShapeError("nonzero: needs at least one dimension, got a 0-d array")
    return apply_multiple(_nonzero, (x,))


@op()
def _searchsorted(xp: Namespace, x1: Raw, x2: Raw, /, side: str) -> Raw:
    return xp.searchsorted(x1, x2, side=side)


def searchsorted(x1: ArrayLike, x2: ArrayLike, /, *, side: str = "left", sorter: ArrayLike | None = None) -> Tensor:
    """Where each element of ``x2`` would go into the sorted one-dimensional ``x1`` (sorted by ``sorter``)."""
    x1, x2 = together("searchsorted", (x1, x2))
    if x1._value.ndim != 1:
        raise ShapeError(f"searchsorted: x1 must have one dimension, got shape {tuple(x1._value.shape)}")
    if side not in ("left", "right"):
        raise ValueError(f"searchsorted: side must be 'left' or 'right', got {side!r}")
    if sorter is not None:
        x1 = x1._device.xp.take(x1, sorter)
    common = result_type(x1, x2)
    x1, x2 = astype(x1, common, copy=False), astype(x2, common, copy=False)
    return apply(_searchsorted, (x1, x2), (side,))
