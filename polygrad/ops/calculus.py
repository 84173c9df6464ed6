"""Interpolation and integration, samples on a logarithmic scale, and covariances."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ..core.operands import together
from ..errors import ShapeError
from ..typing import ArrayLike, DTypeLike
from .arguments import as_floating, floating
from .creation import arange
from .data_types import astype, result_type
from .elementwise import clip, conj, imag, pow, real, sqrt
from .indexing import take
from .linalg.products import diagonal
from .linear_algebra import matmul, matrix_transpose
from .logic import logical_or
from .manipulation import broadcast_shapes, expand_dims, moveaxis, normal_axis, reshape
from .quantiles import lerp
from .searching import searchsorted, where
from .statistical import cumulative_sum
from .statistical import sum as sum_
from .utility import diff

if TYPE_CHECKING:
    from ..tensor import Tensor

__all__ = ["corrcoef", "cov", "cumulative_trapezoid", "interp", "logspace", "trapezoid"]

_NAN = float("nan")


# -- interpolation -----------------------------------------------------------------------------------


def interp(
    x: ArrayLike, xp: ArrayLike, fp: ArrayLike, /, left: ArrayLike | None = None, right: ArrayLike | None = None
) -> Tensor:
    """The piecewise linear function through the points ``(xp, fp)``, at ``x``; differentiable by all three.

    Args:
        x: real, of any shape.
        xp: real, of one dimension, ascending (which is not checked).
        fp: real or complex, as many.
        left, right: the values below ``xp[0]`` and above ``xp[-1]``; by default ``fp[0]`` and ``fp[-1]``.

    At a point of ``xp`` the slope is that of the piece behind it, at the last one that of the last piece.

    >>> import polygrad as pg
    >>> xp, fp = pg.asarray([0.0, 1.0, 2.0]), pg.asarray([0.0, 10.0, 0.0])
    >>> pg.interp(pg.asarray([0.5, 1.25, 9.0]), xp, fp)
    tensor([5. , 7.5, 0. ], dtype=float64)

    Raises:
        ShapeError: if ``xp`` and ``fp`` are not of one dimension and one length, or empty.
        DTypeError: if ``x`` or ``xp`` is complex.
    """
    x, places, values, *ends = together("interp", (x, xp, fp, *[v for v in (left, right) if v is not None]))
    low = None if left is None else ends.pop(0)
    high = None if right is None else ends.pop(0)
    x, places = as_floating("interp", x), as_floating("interp", places)
    values = as_floating("interp", values, complex_too=True)
    shapes = tuple(places._value.shape), tuple(values._value.shape)
    if shapes[0] != shapes[1] or len(shapes[0]) != 1 or shapes[0] == (0,):
        raise ShapeError(f"interp: xp and fp must be vectors of the same length, not empty; got shapes {shapes}")
    n = shapes[0][0]
    flat = reshape(x, (-1,))
    first, last = places[0], places[-1]
    before, behind = flat < first, flat > last
    inner = where(logical_or(before, behind), first, flat)  # infinities too go through what follows
    below = clip(searchsorted(places, inner, side="right") - 1, 0, max(n - 2, 0))
    above = clip(below + 1, 0, n - 1)
    start = take(places, below)
    width = take(places, above) - start
    none = width == 0  # one point alone, or the last ones at the same place
    t = where(none, 1.0, (inner - start) / where(none, 1.0, width))
    made = lerp(take(values, below), take(values, above), t)
    made = where(before, values[0] if low is None else low, made)
    made = where(behind, values[-1] if high is None else high, made)
    return reshape(made, tuple(x._value.shape))


# -- integration -------------------------------------------------------------------------------------


def trapezoid(y: ArrayLike, /, x: ArrayLike | None = None, dx: ArrayLike = 1.0, axis: int = -1) -> Tensor:
    """The integral of samples ``y`` along ``axis`` by the trapezoidal rule.

    Args:
        y: real or complex.
        x: where the samples are taken, of one dimension or of ``y``'s; else they are ``dx`` apart.
        dx: the distance between samples.
        axis: of ``y``.

    >>> import polygrad as pg
    >>> pg.trapezoid(pg.asarray([1.0, 2.0, 3.0]))
    tensor(4., dtype=float64)
    """
    areas, place = _areas("trapezoid", y, x, dx, axis)
    return sum_(areas, axis=place)


def cumulative_trapezoid(
    y: ArrayLike, /, x: ArrayLike | None = None, dx: ArrayLike = 1.0, axis: int = -1, initial: float | None = None
) -> Tensor:
    """The integral of samples ``y`` along ``axis`` up to each but the first, by the trapezoidal rule; with
    ``initial=0`` up to the first too, which gives 0. See :func:`trapezoid`.

    >>> import polygrad as pg
    >>> pg.cumulative_trapezoid(pg.asarray([1.0, 2.0, 3.0]), initial=0)
    tensor([0. , 1.5, 4. ], dtype=float64)

    Raises:
        ValueError: if ``initial`` is neither None nor 0.
    """
    if initial is not None and initial != 0:
        raise ValueError(f"cumulative_trapezoid: initial must be None or 0, got {initial!r}")
    areas, place = _areas("cumulative_trapezoid", y, x, dx, axis)
    return cumulative_sum(areas, axis=place, include_initial=initial is not None)


def _areas(name: str, y: Any, x: Any, dx: Any, axis: int) -> tuple[Any, int]:
    """The areas between neighbours, and the axis counted from the front."""
    y, other = together(name, (y, dx if x is None else x))
    y, other = as_floating(name, y, complex_too=True), as_floating(name, other, complex_too=True)
    ndim = y._value.ndim
    if ndim == 0:
        raise ShapeError(f"{name}: needs at least one dimension, got a 0-d array")
    place = normal_axis(name, axis, ndim)
    before, n = (slice(None),) * place, y._value.shape[place]
    sums = y[(*before, slice(1, None), ...)] + y[(*before, slice(None, -1), ...)]
    if x is None:
        return sums * (other / 2), place
    own = tuple(other._value.shape)
    if len(own) == 1:
        other = reshape(other, tuple([own[0] if i == place else 1 for i in range(ndim)]))
    elif len(own) != ndim:
        raise ShapeError(f"{name}: x of shape {own} has neither one dimension nor those of y, {tuple(y._value.shape)}")
    if other._value.shape[place] != n:
        raise ShapeError(f"{name}: {other._value.shape[place]} places x for {n} samples y along axis {place}")
    return diff(other, axis=place) * sums / 2, place


# -- samples -----------------------------------------------------------------------------------------


def logspace(
    start: ArrayLike,
    stop: ArrayLike,
    /,
    num: int = 50,
    endpoint: bool = True,
    base: ArrayLike = 10.0,
    dtype: DTypeLike | None = None,
    axis: int = 0,
) -> Tensor:
    """``num`` numbers from ``base ** start`` to ``base ** stop``, each the same multiple of the one before;
    differentiable by all three.

    Args:
        start, stop: real or complex; arrays broadcast, and the samples lie along ``axis`` of the result.
        num: how many.
        endpoint: whether ``stop`` is the last one.
        base: a number, or an array that broadcasts with them.
        dtype: of the result.
        axis: of the result.

    >>> import polygrad as pg
    >>> pg.logspace(0.0, 2.0, 3)
    tensor([  1.,  10., 100.], dtype=float64)

    Raises:
        ValueError: if ``num`` is negative.
    """
    if num < 0:
        raise ValueError(f"logspace: num must not be negative, got {num}")
    ends = together("logspace", (start, stop, base))
    common = result_type(*[as_floating("logspace", v, complex_too=True) for v in ends])
    first, last, factor = [astype(v, common, copy=False) for v in ends]
    shape = broadcast_shapes(*[tuple(v._value.shape) for v in (first, last, factor)])
    steps = max(num - 1 if endpoint else num, 1)
    t: Any = astype(arange(num, device=first.device), real(first).dtype) / steps
    t = reshape(t, (num, *(1,) * len(shape)))
    made: Any = pow(factor, first * (1 - t) + last * t)
    made = moveaxis(made, 0, axis) if axis else made
    return made if dtype is None else astype(made, dtype)


# -- covariances -------------------------------------------------------------------------------------


def cov(m: ArrayLike, /, correction: float = 1) -> Tensor:
    """The covariances of variables, one in each row: ``(..., N, M)`` has N variables with M observations each, and
    gives ``(..., N, N)``. A vector is one variable, and gives its variance.

    Args:
        m: real or complex; of complex ones the second factor is conjugated.
        correction: sums are divided by ``M - correction``; where that is not positive the result is nan.

    >>> import polygrad as pg
    >>> pg.cov(pg.asarray([[0.0, 1.0, 2.0], [2.0, 1.0, 0.0]]))
    tensor([[ 1., -1.],
            [-1.,  1.]], dtype=float64)

    Raises:
        ShapeError: if ``m`` has no dimension.
    """
    m = floating("cov", m, complex_too=True)
    shape = tuple(m._value.shape)
    if not shape:
        raise ShapeError("cov: needs at least one dimension, got a 0-d array")
    rows: Any = expand_dims(m) if len(shape) == 1 else m
    n = shape[-1]
    away: Any = rows - sum_(rows, axis=-1, keepdims=True) / max(n, 1)
    freedom = n - correction if n > correction else _NAN
    made: Any = matmul(away, conj(matrix_transpose(away))) / freedom
    return reshape(made, ()) if len(shape) == 1 else made


def corrcoef(m: ArrayLike, /) -> Tensor:
    """The correlation coefficients of variables, one in each row: :func:`cov` divided by both standard deviations.
    nan where one of them is 0.

    >>> import polygrad as pg
    >>> pg.corrcoef(pg.asarray([[0.0, 1.0, 2.0], [5.0, 3.0, 1.0]]))
    tensor([[ 1., -1.],
            [-1.,  1.]], dtype=float64)

    Raises:
        ShapeError: if ``m`` has no dimension.
    """
    m = floating("corrcoef", m, complex_too=True)
    single = m._value.ndim == 1
    c: Any = cov(expand_dims(m) if single else m)
    variances = real(diagonal(c))
    deviations = sqrt(where(variances == 0, _NAN, variances))
    made = c / expand_dims(deviations, axis=-1) / expand_dims(deviations, axis=-2)
    if made.dtype.kind == "c":  # rounding may lead beyond 1
        made = clip(real(made), -1.0, 1.0) + 1j * clip(imag(made), -1.0, 1.0)
    else:
        made = clip(made, -1.0, 1.0)
    return reshape(made, ()) if single else made
