"""Norms of vectors and matrices: minimum-norm subgradients where they have kinks, so 0 at 0."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, Literal

from ...core.apply import apply
from ...core.declare import op
from ...core.operands import together
from ...errors import DTypeError, ShapeError
from ...typing import ArrayLike, Namespace, Raw
from ..elementwise import abs as abs_
from ..half import in_single, single
from ..manipulation import expand_dims, normal_axes
from ..searching import where
from ..statistical import kept
from ..statistical import max as max_
from ..statistical import min as min_
from ..statistical import sum as sum_
from ..strong import tip
from ..utility import any as any_
from .arguments import is_complex, matrix, square
from .solving import inv
from .spectra import svdvals

if TYPE_CHECKING:
    from ...tensor import Tensor

__all__ = ["cond", "matrix_norm", "vector_norm"]

Axes = tuple[int, ...]

# -- of vectors --------------------------------------------------------------------------------------
# d|x|_p / dx = x / |x| (|x| / out)^(p - 1), whose factors are at most 1: nothing over- or underflows. 0 where an
# entry is 0, and where out is 0. Of entries that tie for the largest (or smallest) each has an equal share.


def _power_slope(xp: Namespace, x: Raw, out: Raw, axes: Axes, p: float) -> Raw:
    a = xp.abs(x)
    at_tip = zero = out == 0
    ratio = a / xp.where(zero, xp.ones_like(out), out)
    if p < 1:  # an entry of 0 would have an infinite factor
        zero = zero | (a == 0)
        ratio = xp.where(zero, xp.ones_like(ratio), ratio)
    return xp.where(at_tip, tip(xp, x, axes), xp.sign(x) * xp.where(zero, xp.zeros_like(ratio), ratio ** (p - 1)))


# Infinite entries hide the finite ones, and count alike.
def _at_infinity(xp: Namespace, x: Raw, out: Raw, axes: Axes, p: float) -> tuple[Raw, Raw]:
    """Entries and a norm with the same slopes that are finite: of infinite ones their signs."""
    hit = xp.astype(xp.isinf(x), x.dtype)
    count = xp.sum(hit, axis=axes, keepdims=True)
    infinite = xp.isinf(out) & (count > 0)
    return xp.where(infinite, xp.sign(x) * hit, x), xp.where(infinite, count ** (1 / p), out)


def _norm_slope(xp: Namespace, x: Raw, out: Raw, axes: Axes, p: float, keepdims: bool) -> Raw:
    """The gradient of the norm by ``x``."""
    out = kept(xp, out, x.shape, tuple(i + x.ndim for i in axes), keepdims)
    if p == 0:
        return xp.zeros_like(x)
    if p == 1 or not axes:
        return xp.sign(x)
    if p > 1 and p != math.inf and not is_complex(xp, x):
        x, out = _at_infinity(xp, x, out, axes, p)
    if p == 2:
        zero = out == 0
        return xp.where(zero, tip(xp, x, axes), x / xp.where(zero, xp.ones_like(out), out))
    if p in (math.inf, -math.inf):
        a = xp.abs(x)
        chosen = xp.astype((a == out) | ((a != a) & (out != out)), a.dtype)
        return xp.sign(x) * (chosen / xp.sum(chosen, axis=axes, keepdims=True))
    return _power_slope(xp, x, out, axes, p)


# At 0 the norm is the tip of a cone: the slope is chosen, and has none of its own (``ops/strong.py``). The choice stands
# outside of the product: a square's cotangent 2 |x| is 0 there as well.
def _norm_vjp(xp: Namespace, g: Raw, out: Raw, x: Raw, axes: Axes, p: float, keepdims: bool) -> Raw:
    slopes = _slopes_times(xp, g, out, x, axes, p, keepdims)
    if p in (0, 1, math.inf, -math.inf) or not axes:
        return slopes
    zero = kept(xp, out, x.shape, tuple(i + x.ndim for i in axes), keepdims) == 0
    return xp.where(zero, tip(xp, x, axes), slopes)


@in_single
def _slopes_times(xp: Namespace, g: Raw, out: Raw, x: Raw, axes: Axes, p: float, keepdims: bool) -> Raw:
    slope = _norm_slope(xp, x, out, axes, p, keepdims)
    return xp.strong_multiply(kept(xp, g, x.shape, tuple(i + x.ndim for i in axes), keepdims), slope)


@in_single
def _norm_jvp(xp: Namespace, t: Raw, out: Raw, x: Raw, axes: Axes, p: float, keepdims: bool) -> Raw:
    slope = _norm_slope(xp, x, out, axes, p, keepdims)
    moved = xp.strong_multiply(t, xp.conj(slope))
    if is_complex(xp, x):
        moved = xp.real(moved)
    return xp.sum(moved, axis=axes, keepdims=keepdims)


@op(vjps=[_norm_vjp], jvps=[_norm_jvp])
def _vector_norm(xp: Namespace, x: Raw, /, axes: Axes, p: float, keepdims: bool) -> Raw:
    return single(xp, xp.linalg.p_norm, x, axes, p, keepdims)


def p_norm(x: Any, axes: Axes, p: float, keepdims: bool) -> Tensor:
    """The norm over axes counted from the end."""
    return apply(_vector_norm, (x,), (axes, p, keepdims))


def vector_norm(
    x: ArrayLike, /, *, axis: int | tuple[int, ...] | None = None, keepdims: bool = False, ord: float = 2
) -> Tensor:
    """The norms ``sum(abs(x) ** ord) ** (1 / ord)`` over ``axis`` (all axes by default), without overflow.

    Args:
        x: real or complex numbers.
        axis: the axes of one vector.
        keepdims: keep the reduced axes, with length 1.
        ord: any number; ``inf`` and ``-inf`` give the largest and the smallest magnitude, 0 the count of nonzeros.

    The derivative is 0 at 0 and, for ``ord=1``, where an entry is 0; of equal extremes each has an even share.

    >>> import polygrad as pg
    >>> pg.linalg.vector_norm(pg.asarray([3e200, 4e200]))
    tensor(5.e+200, dtype=float64)
    >>> pg.grad(pg.linalg.vector_norm)(pg.zeros(2))
    tensor([0., 0.], dtype=float64)

    Raises:
        DTypeError: if the dtype is not a floating one.
        ShapeError: if an axis is out of range, or there is no extreme of no elements.
    """
    (x,) = together("vector_norm", (x,))
    ndim = x._value.ndim
    axes = normal_axes("vector_norm", axis, ndim)
    if not x._device.backend.to_dtype(x._value.dtype).inexact:
        raise DTypeError(f"vector_norm: needs a floating dtype, got {x.dtype}; cast with pg.astype")
    if ord < 0 and any(x._value.shape[i] == 0 for i in axes):
        raise ShapeError(f"vector_norm: ord={ord} of no elements (shape {tuple(x._value.shape)}) is not defined")
    return p_norm(x, tuple(i - ndim for i in axes), float(ord), keepdims)


# -- of matrices -------------------------------------------------------------------------------------
# Through the singular values' magnitudes: those of 0 have slope 0, so that all norms have slope 0 at 0.


def _magnitudes(x: Any) -> Tensor:
    """The singular values as norms, so that one of 0 is a tip; of a matrix of zeros in every direction."""
    s = p_norm(expand_dims(svdvals(x), axis=-1), (-1,), 2.0, False)
    return where(any_(x != 0, axis=(-2, -1))[..., None], s, p_norm(x, (-2, -1), 2.0, False)[..., None])


def matrix_norm(
    x: ArrayLike, /, *, keepdims: bool = False, ord: float | Literal["fro", "nuc"] | None = "fro"
) -> Tensor:
    """The norms of matrices ``(..., M, N)``.

    Args:
        x: the matrices.
        keepdims: keep the last two axes, with length 1.
        ord: ``"fro"`` (the root of the sum of squares), ``"nuc"`` (the sum of the singular values), 2 and -2 (the largest
            and the smallest singular value), 1 and -1 (the largest and smallest column sum of magnitudes), inf and
            -inf (the same of rows).

    Of equal extremes each has an even share of the gradient; it is 0 at 0.

    >>> import polygrad as pg
    >>> pg.linalg.matrix_norm(pg.asarray([[3.0, 0.0], [0.0, -4.0]]), ord="nuc")
    tensor(7., dtype=float64)
    >>> pg.grad(lambda x: pg.linalg.matrix_norm(x, ord=2))(pg.eye(2))
    tensor([[0.5, 0. ],
            [0. , 0.5]], dtype=float64)

    Raises:
        ShapeError: if ``x`` is no matrix, or there is no extreme of no elements.
        DTypeError: if the dtype is not a floating one of 32 bits or more.
    """
    x = matrix("matrix_norm", x)
    if ord == "fro" or ord is None:
        return p_norm(x, (-2, -1), 2.0, keepdims)
    if ord not in ("nuc", 1, -1, 2, -2, math.inf, -math.inf):
        raise ValueError(f"matrix_norm: ord must be 'fro', 'nuc', 1, -1, 2, -2, inf or -inf, got {ord!r}")
    shape = tuple(x._value.shape)
    if ord == "nuc":
        made = sum_(_magnitudes(x), axis=-1)
    elif 0 in shape[-2:]:
        raise ShapeError(f"matrix_norm: ord={ord} of a matrix of no elements (shape {shape}) is not defined")
    elif ord in (2, -2):
        made = (max_ if ord > 0 else min_)(_magnitudes(x), axis=-1)
    else:
        sums = sum_(abs_(x), axis=-2 if ord in (1, -1) else -1)
        made = (max_ if ord > 0 else min_)(sums, axis=-1)
    return expand_dims(expand_dims(made, axis=-1), axis=-1) if keepdims else made


def cond(x: ArrayLike, /, *, ord: float | Literal["fro", "nuc"] | None = None) -> Tensor:
    """The condition numbers of matrices: the largest singular value over the smallest (``ord`` None or 2), its
    inverse (-2), or ``matrix_norm(x) * matrix_norm(inv(x))`` of square matrices in another norm.

    >>> import polygrad as pg
    >>> pg.linalg.cond(pg.asarray([[4.0, 0.0], [0.0, 2.0]]))
    tensor(2., dtype=float64)
    """
    if ord is None or ord in (2, -2):
        x = matrix("cond", x)
        if 0 in x._value.shape[-2:]:
            raise ShapeError(f"cond: a matrix of no elements (shape {tuple(x._value.shape)}) has none")
        s = _magnitudes(x)
        largest, smallest = max_(s, axis=-1), min_(s, axis=-1)
        return smallest / largest if ord == -2 else largest / smallest
    x = square("cond", x)
    return matrix_norm(x, ord=ord) * matrix_norm(inv(x), ord=ord)
