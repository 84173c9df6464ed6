"""Order statistics: medians, quantiles, the largest elements, and running extremes.

Each picks elements by their places in a sorted order and interpolates between them, so its gradient goes to the
elements that were picked: of equal ones, to those that the stable order put there.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, NamedTuple

from ..core.apply import apply
from ..core.cell import Cell
from ..core.declare import op
from ..core.operands import SCALARS, together
from ..errors import DTypeError, ShapeError
from ..typing import ArrayLike, Namespace, Raw
from .arguments import floating
from .creation import asarray
from .data_types import astype
from .elementwise import ceil, clip, floor, minimum
from .elementwise import round as round_
from .indexing import take, take_along_axis
from .logic import isinf, isnan, logical_and, logical_not, logical_or
from .manipulation import concat, moveaxis, normal_axes, normal_axis, permute_dims, reshape
from .searching import where
from .sorting import argsort, sort
from .statistical import mean
from .statistical import sum as sum_

if TYPE_CHECKING:
    from ..tensor import Tensor

__all__ = ["TopK", "cummax", "cummin", "lerp", "median", "nanmedian", "quantile", "topk"]

Axis = int | tuple[int, ...] | None
_NAN = float("nan")


def _rows(x: Any, axes: tuple[int, ...]) -> Any:
    """``x`` with the axes flattened into one, the last."""
    shape = tuple(x._value.shape)
    rest = tuple([a for a in range(len(shape)) if a not in axes])
    if rest + axes != tuple(range(len(shape))):
        x = permute_dims(x, rest + axes)
    n = 1
    for a in axes:
        n *= shape[a]
    return reshape(x, (*[shape[a] for a in rest], n))


def _reduced(made: Any, shape: tuple[int, ...], axes: tuple[int, ...], keepdims: bool, leading: int = 0) -> Any:
    """A result with the reduced axes back, of length 1, if they are to be kept."""
    if not keepdims or not axes:
        return made
    kept = tuple([1 if i in axes else n for i, n in enumerate(shape)])
    return reshape(made, tuple(made._value.shape)[:leading] + kept)


def lerp(a: Any, b: Any, t: Any) -> Any:
    """From ``a`` at ``t = 0`` to ``b`` at ``t = 1``, exact at both ends and between equal numbers, beside infinities too."""
    infinite = logical_or(isinf(a), isinf(b))
    low, high = where(infinite, 0.0, a), where(infinite, 0.0, b)
    step = high - low
    between = where(t < 0.5, low + step * t, high - step * (1 - t))
    beyond = where(logical_and(isinf(a), t == 1), 0.0, a) * (1 - t) + where(logical_and(isinf(b), t == 0), 0.0, b) * t
    return where(infinite, beyond, between)


# -- medians and quantiles ---------------------------------------------------------------------------


def median(x: ArrayLike, /, axis: Axis = None, keepdims: bool = False) -> Tensor:
    """The middle element over ``axis`` (all axes by default), or the mean of the two in the middle; nan if one is nan
    or there are none.

    The gradient goes to the elements in the middle; of equal ones, to those that the stable order puts there.

    >>> import polygrad as pg
    >>> pg.median(pg.asarray([3.0, 1.0, 10.0, 2.0]))
    tensor(2.5, dtype=float64)

    Raises:
        DTypeError: for complex numbers, which have no order.
    """
    x = floating("median", x)
    shape = tuple(x._value.shape)
    axes = normal_axes("median", axis, len(shape))
    rows = _rows(x, axes)
    n = rows._value.shape[-1]
    if n == 0:
        return _reduced(sum_(rows, axis=-1) + _NAN, shape, axes, keepdims)  # type: ignore[no-any-return]
    at = _ranked(rows)
    last = at(slice(n - 1, n))[..., 0]  # a nan if there is one, which then has the gradient
    middle = mean(at(slice((n - 1) // 2, n // 2 + 1)), axis=-1)
    return _reduced(where(isnan(last), last, middle), shape, axes, keepdims)  # type: ignore[no-any-return]


def _ranked(rows: Any) -> Callable[[Any], Any]:
    """What gives the elements of each row at some ranks in ascending order: a slice, one array of ranks for all rows
    (of one dimension), or one for each."""
    in_order = rows._node is None  # sorting values takes less time than finding out where they came from
    ranked = sort(rows, stable=False) if in_order else argsort(rows)

    def at(ranks: Any) -> Any:
        if isinstance(ranks, slice):
            found = ranked[..., ranks]
        else:
            found = take(ranked, ranks, axis=-1) if ranks._value.ndim == 1 else take_along_axis(ranked, ranks)
        return found if in_order else take_along_axis(rows, found)

    return at


def nanmedian(x: ArrayLike, /, axis: Axis = None, keepdims: bool = False) -> Tensor:
    """The median over ``axis`` of what is not nan; nan where there is nothing else. See :func:`median`.

    >>> import polygrad as pg
    >>> pg.nanmedian(pg.asarray([3.0, float("nan"), 1.0, 10.0]))
    tensor(3., dtype=float64)

    Raises:
        DTypeError: for complex numbers, which have no order.
    """
    x = floating("nanmedian", x)
    shape = tuple(x._value.shape)
    axes = normal_axes("nanmedian", axis, len(shape))
    rows = _rows(x, axes)
    n = rows._value.shape[-1]
    if n == 0:
        return _reduced(sum_(rows, axis=-1) + _NAN, shape, axes, keepdims)  # type: ignore[no-any-return]
    count: Any = sum_(astype(logical_not(isnan(rows)), "int64"), axis=-1, keepdims=True)
    places = concat([clip((count - 1) // 2, 0, None), minimum(count // 2, n - 1)], axis=-1)
    return _reduced(mean(_ranked(rows)(places), axis=-1), shape, axes, keepdims)  # type: ignore[no-any-return]


_POSITIONS: Any = {
    "linear": lambda h: h,
    "lower": floor,
    "higher": ceil,
    "nearest": round_,
    "midpoint": lambda h: (floor(h) + ceil(h)) / 2,
}


def quantile(
    x: ArrayLike, q: ArrayLike, /, axis: Axis = None, keepdims: bool = False, method: str = "linear"
) -> Tensor:
    """The values below which a part ``q`` of the elements over ``axis`` (all axes by default) lies; nan where there is
    a nan, or nothing.

    Args:
        x: real numbers.
        q: between 0 and 1, of any shape, which comes first in the result's. A Tensor gets its gradient too, and gives
            nan where it is out of range.
        axis, keepdims: as for :func:`polygrad.sum`.
        method: between two elements: ``"linear"`` interpolation, the ``"lower"``, ``"higher"`` or ``"nearest"`` one
            (at a half the one with the even place), or their ``"midpoint"``.

    The gradient goes to the elements picked; of equal ones, to those that the stable order puts there.

    >>> import polygrad as pg
    >>> pg.quantile(pg.asarray([1.0, 2.0, 4.0, 8.0]), pg.asarray([0.0, 0.5]))
    tensor([1., 3.], dtype=float64)
    >>> pg.grad(lambda q: pg.quantile(pg.asarray([1.0, 2.0, 4.0]), q))(0.75)
    4.0

    Raises:
        ValueError: if a number ``q`` is not between 0 and 1, or for another method.
        DTypeError: for complex numbers, which have no order.
    """
    if method not in _POSITIONS:
        raise ValueError(f"quantile: method {method!r} is not one of {', '.join(_POSITIONS)}")
    _check_parts(q)
    x, part = together("quantile", (x, q))
    x = floating("quantile", x)
    weak = type(q) in SCALARS
    kind = x.dtype if weak else part.dtype if part.dtype.inexact else "float64"
    part = astype(part, "float64", copy=False) if not weak else asarray(float(q), dtype="float64", device=x.device)
    shape, wanted = tuple(x._value.shape), tuple(part._value.shape)
    axes = normal_axes("quantile", axis, len(shape))
    rows = _rows(x, axes)
    n = rows._value.shape[-1]
    if n == 0:
        rows, n = concat([rows, sum_(rows, axis=-1, keepdims=True) + _NAN], axis=-1), 1
    flat = reshape(part, (-1,))
    inside = logical_and(flat >= 0, flat <= 1)
    at: Any = _POSITIONS[method](where(inside, flat, 0.0) * (n - 1))
    low: Any = clip(floor(at), 0, max(n - 2, 0))
    ranked = _ranked(rows)
    below = astype(low, "int64")
    a, b = ranked(below), ranked(clip(below + 1, 0, n - 1))
    t = at - low
    made = lerp(a, b, astype(t, kind, copy=False))
    last = ranked(slice(n - 1, n))
    made = moveaxis(where(inside, where(isnan(last), last, made), _NAN), -1, 0)
    made = reshape(made, wanted + tuple(made._value.shape)[1:])
    return _reduced(made, shape, axes, keepdims, len(wanted))  # type: ignore[no-any-return]


def _check_parts(q: Any) -> None:
    """Numbers out of range are an error; of Tensors nothing is read."""
    if isinstance(q, Cell):
        return
    values = [q.tolist() if hasattr(q, "tolist") else q]
    while values:
        value = values.pop()
        if isinstance(value, (list, tuple)):
            values += value
        elif isinstance(value, (int, float)) and not 0 <= value <= 1:
            raise ValueError(f"quantile: q must be between 0 and 1, got {value!r}")


# -- the largest elements ----------------------------------------------------------------------------


class TopK(NamedTuple):
    """The result of :func:`topk`."""

    values: Any
    indices: Any


def topk(x: ArrayLike, k: int, /, axis: int = -1, largest: bool = True) -> TopK:
    """The ``k`` largest elements along ``axis`` in descending order (or the smallest, ascending), and where they stand.

    nan counts as larger than all numbers. Of equal elements the first ones are taken, and get the gradient.

    >>> import polygrad as pg
    >>> pg.topk(pg.asarray([3.0, 1.0, 5.0]), 2)
    TopK(values=tensor([5., 3.], dtype=float64), indices=tensor([2, 0], dtype=int64))

    Raises:
        ShapeError: if there are fewer than ``k`` elements.
        DTypeError: for complex numbers, which have no order.
    """
    x = _ordered("topk", x)
    place = normal_axis("topk", axis, x._value.ndim)
    n = x._value.shape[place]
    if not 0 <= k <= n:
        raise ShapeError(f"topk: k={k} of {n} elements along axis {place} of shape {tuple(x._value.shape)}")
    order: Any = argsort(x, axis=place, descending=largest)
    indices = order[(slice(None),) * place + (slice(0, k), ...)]
    return TopK(take_along_axis(x, indices, axis=place), indices)


def _ordered(name: str, x: ArrayLike) -> Any:
    (x,) = together(name, (x,))
    if x.dtype.kind not in "iuf":
        raise DTypeError(f"{name}: needs real numbers, got {x.dtype}")
    return x


# -- running extremes --------------------------------------------------------------------------------
# The latest place at which the running extreme was reached, or a nan stood.
@op()
def _reached(xp: Namespace, x: Raw, /, axis: int, smallest: bool) -> Raw:
    extreme = xp.running_extreme(x, axis, smallest)
    places = xp.reshape(xp.arange(x.shape[axis], dtype=xp.int64), (-1, *(1,) * (x.ndim - axis - 1)))
    own = xp.where((x == extreme) | (x != x), places, xp.zeros((), dtype=xp.int64))
    return xp.running_extreme(own, axis, False)


def _extreme_so_far(name: str, x: ArrayLike, axis: int, smallest: bool) -> Any:
    x = _ordered(name, x)
    if x._value.ndim == 0:
        raise ShapeError(f"{name}: needs at least one dimension, got a 0-d array")
    place = normal_axis(name, axis, x._value.ndim)
    return take_along_axis(x, apply(_reached, (x,), (place, smallest)), axis=place)


def cummax(x: ArrayLike, /, axis: int = -1) -> Tensor:
    """The largest element so far along ``axis``; nan from the first nan on.

    The gradient goes to the element that is the largest so far; of equal ones to the latest, as in PyTorch.

    >>> import polygrad as pg
    >>> pg.cummax(pg.asarray([1.0, 3.0, 2.0, 5.0]))
    tensor([1., 3., 3., 5.], dtype=float64)

    Raises:
        DTypeError: for complex numbers, which have no order, and booleans.
    """
    return _extreme_so_far("cummax", x, axis, False)  # type: ignore[no-any-return]


def cummin(x: ArrayLike, /, axis: int = -1) -> Tensor:
    """The smallest element so far along ``axis``; nan from the first nan on. See :func:`cummax`.

    >>> import polygrad as pg
    >>> pg.cummin(pg.asarray([3.0, 1.0, 2.0]))
    tensor([3., 1., 1.], dtype=float64)

    Raises:
        DTypeError: for complex numbers, which have no order, and booleans.
    """
    return _extreme_so_far("cummin", x, axis, True)  # type: ignore[no-any-return]
