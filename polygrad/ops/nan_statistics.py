"""Statistics of what is not nan, and numbers in the place of nan.

Elements that are nan count for nothing and get gradient 0. Where all are nan, ``nansum`` and ``nanprod`` give what they
give of nothing, the others nan.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ..core.apply import apply
from ..core.declare import op
from ..core.kernels import kernel
from ..core.operands import together
from ..errors import DTypeError
from ..typing import ArrayLike, DTypeLike, Namespace, Raw
from .arguments import floating
from .data_types import astype, finfo
from .elementwise import conj, imag, positive, real, sqrt
from .half import in_single
from .logic import isnan, logical_not
from .manipulation import normal_axes
from .searching import where
from .statistical import kept, max, min, not_empty, prod
from .statistical import sum as sum_

if TYPE_CHECKING:
    from ..tensor import Tensor

__all__ = ["nan_to_num", "nanmax", "nanmean", "nanmin", "nanprod", "nanstd", "nansum", "nanvar"]

Axis = int | tuple[int, ...] | None
Axes = tuple[int, ...]
_NAN = float("nan")


def _without_nan(name: str, x: ArrayLike, other: float) -> Any:
    (x,) = together(name, (x,))
    return where(isnan(x), other, x) if x.dtype.inexact else x


def nansum(x: ArrayLike, /, axis: Axis = None, dtype: DTypeLike | None = None, keepdims: bool = False) -> Tensor:
    """The sum over ``axis`` (all axes by default) of what is not nan.

    >>> import polygrad as pg
    >>> pg.nansum(pg.asarray([1.0, float("nan"), 2.0]))
    tensor(3., dtype=float64)
    """
    return sum_(_without_nan("nansum", x, 0.0), axis=axis, dtype=dtype, keepdims=keepdims)


def nanprod(x: ArrayLike, /, axis: Axis = None, dtype: DTypeLike | None = None, keepdims: bool = False) -> Tensor:
    """The product over ``axis`` (all axes by default) of what is not nan.

    >>> import polygrad as pg
    >>> pg.nanprod(pg.asarray([3.0, float("nan"), 2.0]))
    tensor(6., dtype=float64)
    """
    return prod(_without_nan("nanprod", x, 1.0), axis=axis, dtype=dtype, keepdims=keepdims)


def _counted(x: Any, axis: Axis, keepdims: bool) -> Any:
    """How many elements are not nan, as real numbers; nan (which divides without a warning) where there are none."""
    n = sum_(astype(logical_not(isnan(x)), real(x).dtype), axis=axis, keepdims=keepdims)
    return where(n == 0, _NAN, n)


def nanmean(x: ArrayLike, /, axis: Axis = None, keepdims: bool = False) -> Tensor:
    """The mean over ``axis`` (all axes by default) of what is not nan; nan where all are.

    >>> import polygrad as pg
    >>> pg.nanmean(pg.asarray([1.0, float("nan"), 2.0]))
    tensor(1.5, dtype=float64)
    """
    x = floating("nanmean", x, complex_too=True)
    return nansum(x, axis=axis, keepdims=keepdims) / _counted(x, axis, keepdims)  # type: ignore[no-any-return]


def nanvar(x: ArrayLike, /, axis: Axis = None, correction: float = 0.0, keepdims: bool = False) -> Tensor:
    """The variance over ``axis`` (all axes by default) of what is not nan: squared distances from their mean, summed,
    over ``n - correction``; nan where that is not positive. Of complex numbers it is real.

    >>> import polygrad as pg
    >>> pg.nanvar(pg.asarray([1.0, float("nan"), 3.0]))
    tensor(1., dtype=float64)
    """
    x = floating("nanvar", x, complex_too=True)
    away = where(isnan(x), 0.0, x - nanmean(x, axis=axis, keepdims=True))
    squares = real(away * conj(away)) if x.dtype.kind == "c" else away * away
    freedom = _counted(x, axis, keepdims) - correction
    return sum_(squares, axis=axis, keepdims=keepdims) / where(freedom > 0, freedom, _NAN)


def nanstd(x: ArrayLike, /, axis: Axis = None, correction: float = 0.0, keepdims: bool = False) -> Tensor:
    """The standard deviation over ``axis`` of what is not nan: the square root of :func:`nanvar`; its derivative is 0
    where it is 0.

    >>> import polygrad as pg
    >>> pg.nanstd(pg.asarray([1.0, float("nan"), 3.0]))
    tensor(1., dtype=float64)
    """
    squares = nanvar(x, axis=axis, correction=correction, keepdims=keepdims)
    nothing = squares == 0
    return where(nothing, 0.0, sqrt(where(nothing, 1.0, squares)))


# -- extremes ----------------------------------------------------------------------------------------
# As for max and min ties share evenly; a nan never takes part, not even beside an infinity that is the extreme.


def _shares(xp: Namespace, out: Raw, x: Raw, axes: Axes, keepdims: bool) -> Raw:
    chosen = xp.astype(x == kept(xp, out, x.shape, axes, keepdims), x.dtype)
    n = xp.sum(chosen, axis=axes, keepdims=True)
    return chosen / xp.where(n == 0, xp.ones_like(n), n)


@in_single
def _extreme_vjp(xp: Namespace, g: Raw, out: Raw, x: Raw, axes: Axes, keepdims: bool) -> Raw:
    return kept(xp, g, x.shape, axes, keepdims) * _shares(xp, out, x, axes, keepdims)


@in_single
def _extreme_jvp(xp: Namespace, t: Raw, out: Raw, x: Raw, axes: Axes, keepdims: bool) -> Raw:
    return xp.sum(_shares(xp, out, x, axes, keepdims) * t, axis=axes, keepdims=keepdims)


@op(vjps=[_extreme_vjp], jvps=[_extreme_jvp])
def _nan_extreme(xp: Namespace, x: Raw, /, axes: Axes, keepdims: bool, largest: bool) -> Raw:
    return xp.nan_extreme(x, axes, keepdims, largest)


@kernel
def nan_extreme(xp: Namespace, x: Raw, axes: Axes, keepdims: bool, largest: bool) -> Raw:
    """The largest or smallest of what is not nan."""
    missing = xp.isnan(x)
    least = xp.full((), -float("inf") if largest else float("inf"), dtype=x.dtype)
    found = xp.max if largest else xp.min
    made = found(xp.where(missing, least, x), axis=axes, keepdims=keepdims)
    nothing = xp.all(missing, axis=axes, keepdims=keepdims)
    return xp.where(nothing, xp.full((), float("nan"), dtype=x.dtype), made)


def _extreme(name: str, x: ArrayLike, axis: Axis, keepdims: bool) -> Any:
    (x,) = together(name, (x,))
    if x.dtype.kind not in "iuf":
        raise DTypeError(f"{name}: needs real numbers, got {x.dtype}")
    if x.dtype.kind != "f":
        return (max if name == "nanmax" else min)(x, axis=axis, keepdims=keepdims)
    axes = normal_axes(name, axis, x._value.ndim)
    not_empty(name, x, axes)
    if not axes:  # each element by itself
        return positive(x)
    return apply(_nan_extreme, (x,), (axes, keepdims, name == "nanmax"))


def nanmax(x: ArrayLike, /, axis: Axis = None, keepdims: bool = False) -> Tensor:
    """The largest element over ``axis`` (all axes by default) that is not nan; nan where all are. Ties share the
    gradient evenly.

    >>> import polygrad as pg
    >>> pg.nanmax(pg.asarray([1.0, float("nan"), 3.0]))
    tensor(3., dtype=float64)

    Raises:
        ShapeError: of no elements.
        DTypeError: for complex numbers, which have no order.
    """
    return _extreme("nanmax", x, axis, keepdims)  # type: ignore[no-any-return]


def nanmin(x: ArrayLike, /, axis: Axis = None, keepdims: bool = False) -> Tensor:
    """The smallest element over ``axis`` (all axes by default) that is not nan; nan where all are. Ties share the
    gradient evenly.

    >>> import polygrad as pg
    >>> pg.nanmin(pg.asarray([1.0, float("nan"), 3.0]))
    tensor(1., dtype=float64)

    Raises:
        ShapeError: of no elements.
        DTypeError: for complex numbers, which have no order.
    """
    return _extreme("nanmin", x, axis, keepdims)  # type: ignore[no-any-return]


# -- numbers instead ---------------------------------------------------------------------------------


def nan_to_num(
    x: ArrayLike, /, *, nan: ArrayLike = 0.0, posinf: ArrayLike | None = None, neginf: ArrayLike | None = None
) -> Tensor:
    """``x`` with numbers in the place of nan and the infinities: by default 0, the dtype's largest and its smallest.
    What was replaced has gradient 0. Of complex numbers both parts are replaced.

    >>> import polygrad as pg
    >>> pg.nan_to_num(pg.asarray([1.0, float("nan"), float("inf")]), posinf=9.0)
    tensor([1., 0., 9.], dtype=float64)
    """
    (x,) = together("nan_to_num", (x,))
    if not x.dtype.inexact:
        return positive(x) if x.dtype.kind != "b" else astype(x, x.dtype)
    if x.dtype.kind == "c":
        parts: list[Any] = [nan_to_num(part, nan=nan, posinf=posinf, neginf=neginf) for part in (real(x), imag(x))]
        return parts[0] + 1j * parts[1]  # type: ignore[no-any-return]
    info = finfo(x.dtype)
    made = where(isnan(x), nan, x)
    made = where(x == float("inf"), info.max if posinf is None else posinf, made)
    return where(x == -float("inf"), info.min if neginf is None else neginf, made)
