"""Statistical functions: reductions and running ones.

In every rule ``axes`` are the reduced axes counted from the front, and a reduced cotangent is first given
its axes back, with length 1.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from .. import dtypes as dt
from ..core.apply import apply
from ..core.cell import Cell
from ..core.declare import op
from ..core.kernels import ON_TENSORS, kernel
from ..core.operands import together
from ..dtypes import DType
from ..errors import DTypeError, ShapeError
from ..typing import ArrayLike, DTypeLike, Namespace, Raw, Shape
from .data_types import astype
from .elementwise import positive
from .half import in_single, over_count, single
from .manipulation import normal_axes, normal_axis
from .strong import tip

if TYPE_CHECKING:
    from ..tensor import Tensor

Axis = int | tuple[int, ...] | None
Axes = tuple[int, ...]
_ALL = [tuple(range(n)) for n in range(65)]  # the axes of arrays of n dimensions


def kept(xp: Namespace, g: Raw, shape: Shape, axes: Axes, keepdims: bool) -> Raw:
    """A reduced array with the reduced axes back, of length 1."""
    if keepdims or not axes or len(axes) == len(shape):
        return g
    return xp.reshape(g, tuple([1 if i in axes else n for i, n in enumerate(shape)]))


def spread(xp: Namespace, g: Raw, shape: Shape, axes: Axes, keepdims: bool) -> Raw:
    """A reduced array repeated over the axes it was reduced by."""
    return xp.broadcast_to(kept(xp, g, shape, axes, keepdims), shape)


def count(shape: Shape, axes: Axes) -> int:
    """How many elements each result is made of."""
    return math.prod(shape if len(axes) == len(shape) else [shape[a] for a in axes])


def _sum_dtype(x: Any, dtype: DTypeLike | None) -> Any:
    """The native dtype sums are made in: given, or the input's, integers at least 64 bits wide."""
    if dtype is None and x._node is not None:
        return None
    backend = x._device.backend
    if dtype is not None:
        return backend.to_native_dtype(dtype)
    own: DType = backend.to_dtype(x._value.dtype)
    if own.inexact:
        return None
    wide = dt.uint64 if own.kind == "u" and "uint64" in backend.native_dtypes else dt.int64
    return backend.to_native_dtype(wide)


def _real_floating(name: str, x: Any) -> None:
    kind = x._device.backend.to_dtype(x._value.dtype).kind
    if kind != "f":
        raise DTypeError(f"{name}: needs a real floating dtype, got {x.dtype}; cast with pg.astype")


# -- sums --------------------------------------------------------------------------------------------


@op(
    vjps=[lambda xp, g, axes, keepdims, shape: spread(xp, g, shape, axes, keepdims)],
    jvps=[lambda xp, t, axes, dtype, keepdims: xp.sum(t, axis=axes, dtype=dtype, keepdims=keepdims)],
)
def _sum(xp: Namespace, x: Raw, /, axes: Axes, dtype: Any, keepdims: bool, shape: Shape) -> Raw:
    return xp.sum(x, axis=axes, dtype=dtype, keepdims=keepdims)


def sum(x: ArrayLike, /, *, axis: Axis = None, dtype: DTypeLike | None = None, keepdims: bool = False) -> Tensor:
    """The sum over ``axis`` (all axes by default).

    >>> import polygrad as pg
    >>> pg.sum(pg.ones((2, 3)), axis=0)
    tensor([2., 2., 2.], dtype=float64)
    """
    if not isinstance(x, Cell):
        (x,) = together("sum", (x,))
    shape = x._value.shape
    axes = _ALL[len(shape)] if axis is None else normal_axes("sum", axis, len(shape))
    return apply(_sum, (x,), (axes, _sum_dtype(x, dtype), keepdims, shape))


@op(
    vjps=[
        lambda xp, g, axes, keepdims, shape: spread(xp, over_count(xp, g, count(shape, axes)), shape, axes, keepdims)
    ],
    jvps=[lambda xp, t, axes, keepdims: xp.mean(t, axis=axes, keepdims=keepdims)],
)
def _mean(xp: Namespace, x: Raw, /, axes: Axes, keepdims: bool, shape: Shape) -> Raw:
    return xp.mean(x, axis=axes, keepdims=keepdims)


def mean(x: ArrayLike, /, *, axis: Axis = None, keepdims: bool = False) -> Tensor:
    """The arithmetic mean over ``axis`` (all axes by default)."""
    if not isinstance(x, Cell):
        (x,) = together("mean", (x,))
    if x._node is None and not x._device.backend.to_dtype(x._value.dtype).inexact:
        raise DTypeError(f"mean: needs a floating dtype, got {x.dtype}; cast with pg.astype")
    shape = x._value.shape
    axes = _ALL[len(shape)] if axis is None else normal_axes("mean", axis, len(shape))
    return apply(_mean, (x,), (axes, keepdims, shape))


# -- spread ------------------------------------------------------------------------------------------
# var = sum((x - m)^2) / (n - c); the mean's own derivative drops out, for sum(x - m) = 0.


# Twice: the second time takes off what the rounding of the mean left, which counts where the mean is large.
def _centred(xp: Namespace, x: Raw, axes: Axes) -> Raw:
    x = x - xp.mean(x, axis=axes, keepdims=True)
    return x - xp.mean(x, axis=axes, keepdims=True)


@in_single
def _var_vjp(xp: Namespace, g: Raw, x: Raw, axes: Axes, correction: float, keepdims: bool) -> Raw:
    scale = _over(2.0, count(x.shape, axes) - correction)
    return xp.strong_multiply(kept(xp, g, x.shape, axes, keepdims), _centred(xp, x, axes) * scale)


@in_single
def _var_jvp(xp: Namespace, t: Raw, x: Raw, axes: Axes, correction: float, keepdims: bool) -> Raw:
    scale = _over(2.0, count(x.shape, axes) - correction)
    return xp.sum(xp.strong_multiply(t, _centred(xp, x, axes)), axis=axes, keepdims=keepdims) * scale


def _over(a: float, n: float) -> float:
    return a / n if n > 0 else float("nan")


@op(vjps=[_var_vjp], jvps=[_var_jvp])
def _var(xp: Namespace, x: Raw, /, axes: Axes, correction: float, keepdims: bool) -> Raw:
    n = count(x.shape, axes)
    if n - correction <= 0:  # no degrees of freedom: nan, without each library's own warning
        return xp.sum(x, axis=axes, keepdims=keepdims) * float("nan")
    return xp.var(x, axis=axes, correction=correction, keepdims=keepdims)


def var(x: ArrayLike, /, *, axis: Axis = None, correction: float = 0.0, keepdims: bool = False) -> Tensor:
    """The variance over ``axis``: squared deviations from the mean, summed, over ``n - correction``; nan
    where that is not positive."""
    (x,) = together("var", (x,))
    _real_floating("var", x)
    return apply(_var, (x,), (normal_axes("var", axis, x._value.ndim), correction, keepdims))


# std = sqrt(var): (x - m) / ((n - c) std), and 0 where std is 0, the minimum-norm subgradient.
def _std_slope(xp: Namespace, out: Raw, x: Raw, axes: Axes, correction: float, keepdims: bool) -> Raw:
    out = kept(xp, out, x.shape, axes, keepdims)
    scale = _over(1.0, count(x.shape, axes) - correction)
    zero = out == 0
    safe = xp.where(zero, xp.ones_like(out), out)
    chosen = xp.zeros_like(x) if count(x.shape, axes) == 1 else tip(xp, x, axes)
    return xp.where(zero, chosen, _centred(xp, x, axes) / safe * scale)


# Where std is 0 the choice stands outside of the product, as for norms (``linalg/norms.py``).
def _std_vjp(xp: Namespace, g: Raw, out: Raw, x: Raw, axes: Axes, correction: float, keepdims: bool) -> Raw:
    slopes = _std_slopes_times(xp, g, out, x, axes, correction, keepdims)
    if count(x.shape, axes) == 1:  # always 0
        return slopes
    return xp.where(kept(xp, out, x.shape, axes, keepdims) == 0, tip(xp, x, axes), slopes)


@in_single
def _std_slopes_times(xp: Namespace, g: Raw, out: Raw, x: Raw, axes: Axes, correction: float, keepdims: bool) -> Raw:
    slope = _std_slope(xp, out, x, axes, correction, keepdims)
    return xp.strong_multiply(kept(xp, g, x.shape, axes, keepdims), slope)


@in_single
def _std_jvp(xp: Namespace, t: Raw, out: Raw, x: Raw, axes: Axes, correction: float, keepdims: bool) -> Raw:
    slope = _std_slope(xp, out, x, axes, correction, keepdims)
    return xp.sum(xp.strong_multiply(t, slope), axis=axes, keepdims=keepdims)


@op(vjps=[_std_vjp], jvps=[_std_jvp])
def _std(xp: Namespace, x: Raw, /, axes: Axes, correction: float, keepdims: bool) -> Raw:
    n = count(x.shape, axes)
    if n - correction <= 0:
        return xp.sum(x, axis=axes, keepdims=keepdims) * float("nan")
    return single(xp, xp.std_over, x, axes, correction, keepdims)


# Deviations of 1e200 have squares beyond the largest number, those of 1e-200 would seem to be none: scaled by the
# largest of them.
@kernel
def std_over(xp: Namespace, x: Raw, axes: Axes, correction: float, keepdims: bool) -> Raw:
    """The standard deviation, without over- or underflow."""
    x = _centred(xp, x, axes)
    scale = xp.max(xp.abs(x), axis=axes, keepdims=True)
    scale = xp.where((scale == 0) | ~xp.isfinite(scale), xp.ones_like(scale), scale)
    ratio = x / scale
    squares = xp.sum(ratio * ratio, axis=axes, keepdims=True)
    made = xp.sqrt(squares / (count(x.shape, axes) - correction)) * scale
    return made if keepdims else xp.squeeze(made, axis=axes)


ON_TENSORS["std_over"] = lambda x, *setting: apply(_std, (x,), setting)


def std(x: ArrayLike, /, *, axis: Axis = None, correction: float = 0.0, keepdims: bool = False) -> Tensor:
    """The standard deviation over ``axis``: the square root of :func:`var`; its derivative is 0 where it is 0."""
    (x,) = together("std", (x,))
    _real_floating("std", x)
    return apply(_std, (x,), (normal_axes("std", axis, x._value.ndim), correction, keepdims))


# -- extremes ----------------------------------------------------------------------------------------
# Ties share evenly: each of k equal extremes has weight 1/k. A nan is the extreme where there is one.


def _extreme_weights(xp: Namespace, out: Raw, x: Raw, axes: Axes, keepdims: bool) -> Raw:
    out = kept(xp, out, x.shape, axes, keepdims)
    chosen = xp.astype((x == out) | ((x != x) & (out != out)), x.dtype)
    return chosen / xp.sum(chosen, axis=axes, keepdims=True)


@in_single
def _extreme_vjp(xp: Namespace, g: Raw, out: Raw, x: Raw, axes: Axes, keepdims: bool) -> Raw:
    return kept(xp, g, x.shape, axes, keepdims) * _extreme_weights(xp, out, x, axes, keepdims)


@in_single
def _extreme_jvp(xp: Namespace, t: Raw, out: Raw, x: Raw, axes: Axes, keepdims: bool) -> Raw:
    return xp.sum(_extreme_weights(xp, out, x, axes, keepdims) * t, axis=axes, keepdims=keepdims)


@op(vjps=[_extreme_vjp], jvps=[_extreme_jvp])
def _max_(xp: Namespace, x: Raw, /, axes: Axes, keepdims: bool) -> Raw:
    return xp.max(x, axis=axes, keepdims=keepdims)


@op(vjps=[_extreme_vjp], jvps=[_extreme_jvp])
def _min_(xp: Namespace, x: Raw, /, axes: Axes, keepdims: bool) -> Raw:
    return xp.min(x, axis=axes, keepdims=keepdims)


def not_empty(name: str, x: Any, axes: Axes) -> None:
    """Refuse the extremes of nothing."""
    if count(x._value.shape, axes) == 0:
        raise ShapeError(f"{name}: of no elements (shape {tuple(x._value.shape)}, axes {axes}) is not defined")


def max(x: ArrayLike, /, *, axis: Axis = None, keepdims: bool = False) -> Tensor:
    """The largest element over ``axis``; ties share the gradient evenly."""
    (x,) = together("max", (x,))
    axes = normal_axes("max", axis, x._value.ndim)
    not_empty("max", x, axes)
    return apply(_max_, (x,), (axes, keepdims))


def min(x: ArrayLike, /, *, axis: Axis = None, keepdims: bool = False) -> Tensor:
    """The smallest element over ``axis``; ties share the gradient evenly."""
    (x,) = together("min", (x,))
    axes = normal_axes("min", axis, x._value.ndim)
    not_empty("min", x, axes)
    return apply(_min_, (x,), (axes, keepdims))


# -- products ----------------------------------------------------------------------------------------
# d prod / dx_i is the product of all others: of those before times of those behind, exact at zeros.


def _others(xp: Namespace, x: Raw, axes: Axes) -> Raw:
    """For each element, the product of the others along the axes."""
    rest = tuple(a for a in range(x.ndim) if a not in axes)
    order = rest + axes
    moved = xp.permute_dims(x, order)
    rows = xp.reshape(moved, (*(x.shape[a] for a in rest), count(x.shape, axes)))
    n = rows.shape[-1]
    before = xp.cumulative_prod(rows, axis=-1, include_initial=True)[..., :n]
    behind = xp.flip(xp.cumulative_prod(xp.flip(rows, axis=-1), axis=-1, include_initial=True), axis=-1)[..., 1:]
    product = xp.reshape(before * behind, moved.shape)
    return xp.permute_dims(product, tuple(sorted(range(len(order)), key=order.__getitem__)))


def _prod_vjp(xp: Namespace, g: Raw, x: Raw, axes: Axes, dtype: Any, keepdims: bool) -> Raw:
    x = x if dtype is None else xp.astype(x, dtype)
    return xp.strong_multiply(kept(xp, g, x.shape, axes, keepdims), xp.conj(_others(xp, x, axes)))


def _prod_jvp(xp: Namespace, t: Raw, x: Raw, axes: Axes, dtype: Any, keepdims: bool) -> Raw:
    x = x if dtype is None else xp.astype(x, dtype)
    return xp.sum(xp.strong_multiply(t, _others(xp, x, axes)), axis=axes, keepdims=keepdims)


@op(vjps=[_prod_vjp], jvps=[_prod_jvp])
def _prod(xp: Namespace, x: Raw, /, axes: Axes, dtype: Any, keepdims: bool) -> Raw:
    if len(axes) not in (1, x.ndim):  # not every library takes several axes
        rest = tuple(a for a in range(x.ndim) if a not in axes)
        rows = xp.reshape(xp.permute_dims(x, rest + axes), (*(x.shape[a] for a in rest), count(x.shape, axes)))
        made = xp.prod(rows, axis=-1, dtype=dtype)
        return kept(xp, made, x.shape, axes, False) if keepdims else made
    axis = axes[0] if len(axes) == 1 else None
    return xp.prod(x, axis=axis, dtype=dtype, keepdims=keepdims)


def prod(x: ArrayLike, /, *, axis: Axis = None, dtype: DTypeLike | None = None, keepdims: bool = False) -> Tensor:
    """The product over ``axis`` (all axes by default); exact derivatives at zeros too."""
    (x,) = together("prod", (x,))
    axes = normal_axes("prod", axis, x._value.ndim)
    if axis == () and x._value.ndim:  # over no axes: a product of one element each
        wide = _sum_dtype(x, dtype)
        return positive(x if wide is None else astype(x, x._device.backend.to_dtype(wide)))
    return apply(_prod, (x,), (axes, _sum_dtype(x, dtype), keepdims))


# -- running sums and products -----------------------------------------------------------------------


def _behind(axis: int) -> tuple[Any, ...]:
    return (*(slice(None),) * axis, slice(1, None))


def _cumulative_sum_vjp(xp: Namespace, g: Raw, axis: int, include_initial: bool) -> Raw:
    if include_initial:
        g = g[(*_behind(axis), ...)]
    return xp.flip(xp.cumulative_sum(xp.flip(g, axis=axis), axis=axis), axis=axis)


@op(
    vjps=[_cumulative_sum_vjp],
    jvps=[lambda xp, t, axis, include_initial: xp.cumulative_sum(t, axis=axis, include_initial=include_initial)],
)
def _cumulative_sum(xp: Namespace, x: Raw, /, axis: int, dtype: Any, include_initial: bool) -> Raw:
    return xp.cumulative_sum(x, axis=axis, dtype=dtype, include_initial=include_initial)


def one_axis(name: str, x: Any, axis: int | None) -> int:
    """The axis of a running function, counted from the front."""
    ndim = x._value.ndim
    if ndim == 0:
        raise ShapeError(f"{name}: needs at least one dimension, got a 0-d array")
    if axis is None:
        if ndim > 1:
            raise ShapeError(f"{name}: axis is required for an array of {ndim} dimensions")
        return 0
    return normal_axis(name, axis, ndim)


def cumulative_sum(
    x: ArrayLike, /, *, axis: int | None = None, dtype: DTypeLike | None = None, include_initial: bool = False
) -> Tensor:
    """The running sum along ``axis``, beginning with 0 if ``include_initial``."""
    (x,) = together("cumulative_sum", (x,))
    place = one_axis("cumulative_sum", x, axis)
    return apply(_cumulative_sum, (x,), (place, _sum_dtype(x, dtype), include_initial))


def linear_scan(xp: Namespace, a: Raw, b: Raw, axis: int) -> Raw:
    """The solution of ``R[i] = b[i] + a[i] R[i+1]`` along ``axis`` (R beyond the end is 0), by doubling steps."""
    n = b.shape[axis]
    before = (slice(None),) * axis
    step = 1
    while step < n:
        head, tail = (*before, slice(0, n - step), ...), (*before, slice(n - step, n), ...)
        ahead = (*before, slice(step, n), ...)
        b = xp.concat([b[head] + xp.strong_multiply(b[ahead], a[head]), b[tail]], axis=axis)
        a = xp.concat([a[head] * a[ahead], xp.zeros_like(a[tail])], axis=axis)
        step *= 2
    return b


# P[i] = x[0] ... x[i]; dx_i = sum over j >= i of conj(P[j] / x[i]) g[j] = conj(P[i-1]) R[i] with the
# recurrence R[i] = g[i] + conj(x[i+1]) R[i+1], which divides by nothing.
def _cumulative_prod_vjp(xp: Namespace, g: Raw, x: Raw, axis: int, dtype: Any, include_initial: bool) -> Raw:
    x = xp.conj(x if dtype is None else xp.astype(x, dtype))
    if include_initial:
        g = g[(*_behind(axis), ...)]
    if x.shape[axis] == 0:
        return xp.zeros_like(x)
    before, n = (slice(None),) * axis, x.shape[axis]
    shifted = xp.concat([x[(*_behind(axis), ...)], xp.zeros_like(x[(*before, slice(0, 1), ...)])], axis=axis)
    exclusive = xp.cumulative_prod(x, axis=axis, include_initial=True)[(*before, slice(0, n), ...)]
    return xp.strong_multiply(linear_scan(xp, shifted, g, axis), exclusive)


# dP[i] = P[i-1] t[i] + x[i] dP[i-1], the same recurrence in the other direction.
def _cumulative_prod_jvp(xp: Namespace, t: Raw, x: Raw, axis: int, dtype: Any, include_initial: bool) -> Raw:
    x = x if dtype is None else xp.astype(x, dtype)
    if x.shape[axis] == 0:
        return 0 * xp.cumulative_prod(t, axis=axis, include_initial=include_initial)
    before, n = (slice(None),) * axis, x.shape[axis]
    exclusive = xp.cumulative_prod(x, axis=axis, include_initial=True)[(*before, slice(0, n), ...)]
    flipped = linear_scan(xp, xp.flip(x, axis=axis), xp.flip(xp.strong_multiply(t, exclusive), axis=axis), axis)
    made = xp.flip(flipped, axis=axis)
    if include_initial:
        first = xp.zeros((*made.shape[:axis], 1, *made.shape[axis + 1 :]), dtype=made.dtype)
        made = xp.concat([first, made], axis=axis)
    return made


@op(vjps=[_cumulative_prod_vjp], jvps=[_cumulative_prod_jvp])
def _cumulative_prod(xp: Namespace, x: Raw, /, axis: int, dtype: Any, include_initial: bool) -> Raw:
    return xp.cumulative_prod(x, axis=axis, dtype=dtype, include_initial=include_initial)


def cumulative_prod(
    x: ArrayLike, /, *, axis: int | None = None, dtype: DTypeLike | None = None, include_initial: bool = False
) -> Tensor:
    """The running product along ``axis``, beginning with 1 if ``include_initial``; exact derivatives at zeros."""
    (x,) = together("cumulative_prod", (x,))
    place = one_axis("cumulative_prod", x, axis)
    return apply(_cumulative_prod, (x,), (place, _sum_dtype(x, dtype), include_initial))
