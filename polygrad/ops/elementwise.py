"""Elementwise functions: each one's forward and its derivative, one block.

A partial derivative serves reverse mode, forward mode, and complex input where the function is holomorphic.
The formulas are chosen to be exact in the tails as well; what they give at kinks is the policy of
``docs/numerics.md``: the minimum-norm subgradient, infinite one-sided slopes stay infinite.
"""

from __future__ import annotations

import operator
from typing import TYPE_CHECKING, Any

from ..core.apply import apply
from ..core.cotangents import pass_on
from ..core.declare import binary, op, unary
from ..core.kernels import ON_TENSORS, kernel
from ..typing import ArrayLike, Namespace, Raw
from .data_types import as_same_dtype
from .manipulation import view_of
from .strong import product, quotient

if TYPE_CHECKING:
    from ..tensor import Tensor

# -- helpers of the rules ----------------------------------------------------------------------------


def pass_negated(xp: Namespace, g: Raw) -> Raw:
    """The vjp and jvp of an argument with slope -1."""
    return -g


def flat(xp: Namespace, g: Raw) -> Raw:
    """The vjp and jvp of a piecewise constant function."""
    return xp.zeros_like(g)


def is_complex(xp: Namespace, x: Raw) -> bool:
    """Whether an array's dtype is complex."""
    return bool(xp.isdtype(x.dtype, "complex floating"))


def phase(xp: Namespace, z: Raw) -> Raw:
    """z / |z|, 0 at 0; the sign of a real z."""
    return xp.sign(z)


# -- arithmetic --------------------------------------------------------------------------------------


@binary(vjps=(pass_on, pass_on), jvps=(pass_on, pass_on), scalars=True, direct=operator.add)
def add(xp: Namespace, x1: Raw, x2: Raw, /) -> Raw:
    """``x1 + x2``, element by element."""
    return x1 + x2


@binary(vjps=(pass_on, pass_negated), jvps=(pass_on, pass_negated), scalars=True, direct=operator.sub)
def subtract(xp: Namespace, x1: Raw, x2: Raw, /) -> Raw:
    """``x1 - x2``, element by element."""
    return x1 - x2


@binary(
    (lambda xp, x2: x2, lambda xp, x1: x1),
    real_vjps=(lambda xp, g, x2: product(xp, g, x2), lambda xp, g, x1: product(xp, g, x1)),
    jvps=(lambda xp, t, x2: product(xp, t, x2), lambda xp, t, x1: product(xp, t, x1)),
    scalars=True,
    direct=operator.mul,
    square=lambda xp, x: x + x,
)
def multiply(xp: Namespace, x1: Raw, x2: Raw, /) -> Raw:
    """``x1 * x2``, element by element."""
    return x1 * x2


# -(a / b) / b, not a / (b * b), which over- and underflows.
@binary(
    (lambda xp, x2: 1.0 / x2, lambda xp, out, x2: -(out / x2)),
    real_vjps=(lambda xp, g, x2: quotient(xp, g, x2), lambda xp, g, out, x2: xp.divide_linear(g, out, x2)),
    jvps=(lambda xp, t, x2: quotient(xp, t, x2), lambda xp, t, out, x2: xp.divide_linear(t, out, x2)),
    scalars=True,
    direct=operator.truediv,
)
def divide(xp: Namespace, x1: Raw, x2: Raw, /) -> Raw:
    """``x1 / x2``, element by element."""
    return x1 / x2


@unary(vjp=pass_negated, jvp=pass_negated)
def negative(xp: Namespace, x: Raw, /) -> Raw:
    """``-x``, element by element."""
    return -x


@unary(vjp=pass_on, jvp=pass_on)
def positive(xp: Namespace, x: Raw, /) -> Raw:
    """``+x``, element by element."""
    return xp.positive(x)


@binary(vjps=(flat, flat), jvps=(flat, flat), scalars=True)
def floor_divide(xp: Namespace, x1: Raw, x2: Raw, /) -> Raw:
    """``floor(x1 / x2)``; its derivative is 0 wherever it has one."""
    return xp.floor_quotient(x1, x2)


# d remainder(a, b) / db = -floor(a / b), of mixed signs too (jax#11466 had it wrong).
@binary(
    (None, lambda xp, x1, x2: -xp.floor_divide(x1, x2)),
    vjps=(pass_on, None),
    jvps=(pass_on, None),
)
def remainder(xp: Namespace, x1: Raw, x2: Raw, /) -> Raw:
    """``x1 - floor(x1 / x2) * x2``, with the sign of ``x2``."""
    return xp.remainder(x1, x2)


@unary(derivative=lambda xp, out: -xp.strong_multiply(out, out))
def reciprocal(xp: Namespace, x: Raw, /) -> Raw:
    """``1 / x``, element by element."""
    return 1 / x


@unary(derivative=lambda xp, x: 2 * x)
def square(xp: Namespace, x: Raw, /) -> Raw:
    """``x * x``, element by element."""
    return x * x


# -- powers, exponentials, logarithms ----------------------------------------------------------------


# The slope in the base is p x^(p-1), taken as 0 at pow(0, 0), which would be 0 * inf, and at pow(nan, 0), which is 1.
# At other bases p = 0 is no exception: the slope's own slope in p is 1 / x there.
def _pow_base(xp: Namespace, x1: Raw, x2: Raw) -> Raw:
    x1 = xp.asarray(x1)
    zero = (x2 == 0) & ((x1 == 0) | (x1 != x1))
    p = xp.where(zero, xp.ones_like(x2), x2)
    return xp.strong_multiply(xp.where(zero, xp.zeros_like(x2), x2), xp.pow(x1, p - 1))


# The slope in the exponent is x^p log x: 0 at x = 0 for p >= 0 (the minimum-norm choice at p = 0), and nan
# for a negative base, where x^p is real at isolated p only.
def _pow_exponent(xp: Namespace, out: Raw, x1: Raw, x2: Raw) -> Raw:
    zero = (x1 == 0) & (xp.real(x2) >= 0 if is_complex(xp, x2) else x2 >= 0)
    base = xp.where(zero, xp.ones_like(x1), x1)
    if is_complex(xp, out) and not is_complex(xp, x1):
        base = xp.astype(base, out.dtype)  # the logarithm of a negative number is complex
    return xp.where(zero, xp.zeros_like(out), xp.strong_multiply(out, xp.log(base)))


@binary((_pow_base, _pow_exponent))
def pow(xp: Namespace, x1: Raw, x2: Raw, /) -> Raw:
    """``x1 ** x2``, element by element."""
    return xp.pow(x1, x2)


# A Python number as exponent is static: the common powers need no pow, and a graph no constant.
@op(
    name="integer_pow",
    vjps=[lambda xp, g, x, p: _static_pow_linear(xp, g, xp.conj(x), p)],
    jvps=[lambda xp, t, x, p: _static_pow_linear(xp, t, x, p)],
    broadcasts=True,
)
def _static_pow(xp: Namespace, x: Raw, /, p: float) -> Raw:
    return x**p


def _static_pow_linear(xp: Namespace, g: Raw, x: Raw, p: float) -> Raw:
    if p == 0:
        return xp.zeros_like(g)
    slope = p * static_power(xp, x, p - 1)
    return xp.strong_multiply(g, slope)


def static_power(xp: Namespace, x: Raw, p: float) -> Raw:
    """x to a Python number: 1 for p = 0 (also at 0 and nan), no pow for p = 2."""
    if p == 0:
        return xp.ones_like(x)
    return x * x if p == 2 else x**p


def power(x1: ArrayLike, x2: ArrayLike) -> Tensor:
    """``x1 ** x2`` as the operator does it: a Python number as the exponent stays a number."""
    if x2.__class__ in (int, float) and x1._device.backend.to_dtype(x1._value.dtype).inexact:
        return multiply(x1, x1) if x2 == 2 else apply(_static_pow, (x1,), (x2,))
    return pow.operator(x1, x2)  # type: ignore[attr-defined, no-any-return]


power.operator = power  # type: ignore[attr-defined]


@unary(derivative=lambda xp, out: out)
def exp(xp: Namespace, x: Raw, /) -> Raw:
    """``e ** x``, element by element."""
    return xp.exp(x)


@unary(derivative=lambda xp, x: xp.exp(x))  # out + 1 loses the tail: exp(-100) is not 0
def expm1(xp: Namespace, x: Raw, /) -> Raw:
    """``e ** x - 1``, exact near 0."""
    return xp.expm1(x)


@unary(derivative=lambda xp, x: 1 / x)
def log(xp: Namespace, x: Raw, /) -> Raw:
    """The natural logarithm."""
    return xp.log(x)


@unary(derivative=lambda xp, x: 1 / (1 + x))
def log1p(xp: Namespace, x: Raw, /) -> Raw:
    """``log(1 + x)``, exact near 0."""
    return xp.log1p(x)


@unary(derivative=lambda xp, x: 1.4426950408889634074 / x)  # log2(e)
def log2(xp: Namespace, x: Raw, /) -> Raw:
    """The logarithm to base 2."""
    return xp.log2(x)


@unary(derivative=lambda xp, x: 0.43429448190325182765 / x)  # log10(e)
def log10(xp: Namespace, x: Raw, /) -> Raw:
    """The logarithm to base 10."""
    return xp.log10(x)


# The weight exp(x1 - out) is the logistic function of x1 - x2, in which the rounding of a large out has no part:
# at 1e8, that alone is 1e-8. Where both are the same infinity, both weigh a half.
def _logaddexp_weight(xp: Namespace, mine: Raw, other: Raw) -> Raw:
    mine, other = xp.asarray(mine), xp.asarray(other)
    same = xp.isinf(mine) & (mine == other)
    ahead = xp.where(same, xp.zeros_like(mine), mine) - xp.where(same, xp.zeros_like(other), other)
    return xp.sigmoid(ahead)


@binary((lambda xp, x1, x2: _logaddexp_weight(xp, x1, x2), lambda xp, x1, x2: _logaddexp_weight(xp, x2, x1)))
def logaddexp(xp: Namespace, x1: Raw, x2: Raw, /) -> Raw:
    """``log(exp(x1) + exp(x2))`` without overflow."""
    return xp.logaddexp(x1, x2)


@unary(derivative=lambda xp, out: 0.5 / out)
def sqrt(xp: Namespace, x: Raw, /) -> Raw:
    """The square root."""
    return xp.sqrt(x)


# At (0, 0) the minimum norm is 0. An infinite argument has slope 1 and hides the other one; two share the diagonal's,
# as atan2(inf, inf) is pi / 4.
def _hypot_slope(xp: Namespace, out: Raw, mine: Raw, other: Raw) -> Raw:
    mine, other = xp.asarray(mine), xp.asarray(other)
    own = xp.astype(xp.isinf(mine), out.dtype)
    count = own + xp.astype(xp.isinf(other), out.dtype)
    at_infinity = xp.sign(mine) * own / xp.sqrt(xp.where(count == 0, xp.ones_like(count), count))
    return xp.where(count > 0, at_infinity, xp.hypot_slope(mine, other, out))


def _hypot_linear(xp: Namespace, g: Raw, out: Raw, mine: Raw, other: Raw) -> Raw:
    tip = xp.kink(xp.asarray(mine)) + xp.kink(xp.asarray(other))  # outside of the product: see linalg/norms.py
    return xp.where(out == 0, tip, xp.strong_multiply(g, _hypot_slope(xp, out, mine, other)))


def _hypot_first(xp: Namespace, g: Raw, out: Raw, x1: Raw, x2: Raw) -> Raw:
    return _hypot_linear(xp, g, out, x1, x2)


def _hypot_second(xp: Namespace, g: Raw, out: Raw, x1: Raw, x2: Raw) -> Raw:
    return _hypot_linear(xp, g, out, x2, x1)


@binary(vjps=(_hypot_first, _hypot_second), jvps=(_hypot_first, _hypot_second))
def hypot(xp: Namespace, x1: Raw, x2: Raw, /) -> Raw:
    """``sqrt(x1 ** 2 + x2 ** 2)`` without overflow."""
    return xp.hypot(x1, x2)


# -- trigonometry and hyperbolics --------------------------------------------------------------------


@unary(derivative=lambda xp, x: xp.cos(x))
def sin(xp: Namespace, x: Raw, /) -> Raw:
    """The sine of ``x`` in radians."""
    return xp.sin(x)


@unary(derivative=lambda xp, x: -xp.sin(x))
def cos(xp: Namespace, x: Raw, /) -> Raw:
    """The cosine of ``x`` in radians."""
    return xp.cos(x)


# tan(z) = -i tanh(i z): towards imaginary infinity 1 + tan^2 cancels as 1 - tanh^2 does.
def _tan_slope(xp: Namespace, out: Raw, x: Raw) -> Raw:
    return xp.tanh_slope(1j * out, 1j * x) if is_complex(xp, x) else 1 + out * out


@unary(derivative=_tan_slope)
def tan(xp: Namespace, x: Raw, /) -> Raw:
    """The tangent of ``x`` in radians."""
    return xp.tan(x)


@unary(derivative=lambda xp, x: xp.cosh(x))
def sinh(xp: Namespace, x: Raw, /) -> Raw:
    """The hyperbolic sine."""
    return xp.sinh(x)


@unary(derivative=lambda xp, x: xp.sinh(x))
def cosh(xp: Namespace, x: Raw, /) -> Raw:
    """The hyperbolic cosine."""
    return xp.cosh(x)


@unary(
    derivative=lambda xp, out, x: xp.tanh_slope(out, x),
    real_vjp=lambda xp, g, out, x: xp.tanh_vjp(g, out, x),
)
def tanh(xp: Namespace, x: Raw, /) -> Raw:
    """The hyperbolic tangent."""
    return xp.tanh(x)


@unary(derivative=lambda xp, x: xp.asin_slope(x))
def asin(xp: Namespace, x: Raw, /) -> Raw:
    """The angle in radians whose sine is ``x``."""
    return xp.asin(x)


@unary(derivative=lambda xp, x: -xp.asin_slope(x))
def acos(xp: Namespace, x: Raw, /) -> Raw:
    """The angle in radians whose cosine is ``x``."""
    return xp.acos(x)


# 1 / (1 + x^2) by hypot, which does not overflow.
def _atan_slope(xp: Namespace, x: Raw) -> Raw:
    if is_complex(xp, x):
        return 1 / ((1 - 1j * x) * (1 + 1j * x))
    h = 1 / xp.hypot(xp.ones_like(x), x)
    return h * h


@unary(derivative=_atan_slope)
def atan(xp: Namespace, x: Raw, /) -> Raw:
    """The angle in radians whose tangent is ``x``."""
    return xp.atan(x)


@binary((lambda xp, x1, x2: xp.atan2_slope(x2, x1), lambda xp, x1, x2: -xp.atan2_slope(x1, x2)))
def atan2(xp: Namespace, x1: Raw, x2: Raw, /) -> Raw:
    """The angle in radians of the point ``(x2, x1)``, in (-pi, pi]."""
    return xp.atan2(x1, x2)


# 1 / sqrt(1 + x^2), which hypot gives without overflow; complex branch cuts follow the two factors.
def _asinh_slope(xp: Namespace, x: Raw) -> Raw:
    if is_complex(xp, x):
        return 1 / (xp.sqrt(1 - 1j * x) * xp.sqrt(1 + 1j * x))
    return 1 / xp.hypot(xp.ones_like(x), x)


@unary(derivative=_asinh_slope)
def asinh(xp: Namespace, x: Raw, /) -> Raw:
    """The inverse hyperbolic sine."""
    return xp.asinh(x)


@unary(derivative=lambda xp, x: 1 / (xp.sqrt(x - 1) * xp.sqrt(x + 1)))
def acosh(xp: Namespace, x: Raw, /) -> Raw:
    """The inverse hyperbolic cosine."""
    return xp.acosh(x)


@unary(derivative=lambda xp, x: xp.atanh_slope(x))
def atanh(xp: Namespace, x: Raw, /) -> Raw:
    """The inverse hyperbolic tangent."""
    return xp.atanh(x)


# -- magnitude, sign, rounding -----------------------------------------------------------------------


# A complex magnitude is a cone: at its tip the slope is chosen, outside of the product (linalg/norms.py).
def _abs_vjp(xp: Namespace, g: Raw, x: Raw) -> Raw:
    slopes = xp.strong_multiply(g, phase(xp, x))
    return xp.where(x == 0, xp.kink(x), slopes) if is_complex(xp, x) else slopes


def _abs_jvp(xp: Namespace, t: Raw, x: Raw) -> Raw:
    if not is_complex(xp, x):
        return xp.strong_multiply(t, phase(xp, x))
    slope = xp.where(x == 0, xp.kink(x), phase(xp, x))
    return xp.real(xp.strong_multiply(t, xp.conj(slope)))


@unary(vjp=_abs_vjp, jvp=_abs_jvp)
def abs(xp: Namespace, x: Raw, /) -> Raw:
    """The magnitude of each element; its derivative at 0 is 0, the minimum-norm subgradient."""
    return xp.abs(x)


# z/|z| turns with the angle only: d(z/|z|) = (dz - s Re(conj(s) dz)) / |z|, and 0 at 0. It is symmetric.
def _sign_linear(xp: Namespace, g: Raw, out: Raw, x: Raw) -> Raw:
    if not is_complex(xp, x):
        return xp.zeros_like(g)
    r = xp.abs(x)
    zero = r == 0
    turned = g - out * xp.real(xp.conj(out) * g)
    return xp.where(zero, xp.zeros_like(turned), turned / xp.where(zero, xp.ones_like(r), r))


@unary(vjp=_sign_linear, jvp=_sign_linear)
def sign(xp: Namespace, x: Raw, /) -> Raw:
    """-1, 0 or 1; for complex input ``x / abs(x)``, which is not piecewise constant."""
    return xp.sign(x)


@unary(vjp=flat, jvp=flat)
def floor(xp: Namespace, x: Raw, /) -> Raw:
    """The greatest integer not above each element."""
    return xp.floor(x)


@unary(vjp=flat, jvp=flat)
def ceil(xp: Namespace, x: Raw, /) -> Raw:
    """The least integer not below each element."""
    return xp.ceil(x)


@unary(vjp=flat, jvp=flat)
def round(xp: Namespace, x: Raw, /) -> Raw:
    """The nearest integer, the even one of two."""
    return xp.round(x)


@unary(vjp=flat, jvp=flat)
def trunc(xp: Namespace, x: Raw, /) -> Raw:
    """The nearest integer towards 0."""
    return xp.trunc(x)


# The magnitude's slope is sign(x1) * sign(result), the sign argument's is 0.
@binary(
    (lambda xp, out, x1: xp.sign(x1) * xp.sign(out), lambda xp, out: xp.zeros_like(out)),
)
def copysign(xp: Namespace, x1: Raw, x2: Raw, /) -> Raw:
    """The magnitude of ``x1`` with the sign of ``x2``."""
    return xp.copysign(x1, x2)


@binary(vjps=(pass_on, flat), jvps=(pass_on, flat))
def nextafter(xp: Namespace, x1: Raw, x2: Raw, /) -> Raw:
    """The next representable number from ``x1`` towards ``x2``; it moves as ``x1`` does."""
    return xp.nextafter(x1, x2)


# -- the larger, the smaller, the clipped ------------------------------------------------------------


# 1 to the side chosen, a half each at a tie, nan to the side that is nan.
def _chosen(xp: Namespace, out: Raw, mine: Raw, other: Raw) -> Raw:
    mine, other = xp.asarray(mine), xp.asarray(other)
    won = (mine == out) | (mine != mine)
    tie = (mine == other) | ((mine != mine) & (other != other))
    weight = xp.astype(won, out.dtype)
    return xp.where(tie, weight * 0.5, weight)


_CHOSEN = (
    lambda xp, out, x1, x2: _chosen(xp, out, x1, x2),
    lambda xp, out, x1, x2: _chosen(xp, out, x2, x1),
)


@binary(_CHOSEN, finite=True)
def maximum(xp: Namespace, x1: Raw, x2: Raw, /) -> Raw:
    """The larger of each pair; a tie sends half of the gradient to each."""
    return xp.maximum(x1, x2)


@binary(_CHOSEN, finite=True)
def minimum(xp: Namespace, x1: Raw, x2: Raw, /) -> Raw:
    """The smaller of each pair; a tie sends half of the gradient to each."""
    return xp.minimum(x1, x2)


def _clip_inside(xp: Namespace, g: Raw, x: Raw, lo: Raw, hi: Raw) -> Raw:
    inside = xp.ones_like(x, dtype=xp.bool)
    if lo is not None:
        inside = inside & (x >= lo)
    if hi is not None:
        inside = inside & (x <= hi)
    if lo is not None and hi is not None:
        inside = inside & (lo <= hi)
    return xp.where(inside | xp.isnan(x), g, xp.zeros_like(g))


def _clip_lo(xp: Namespace, g: Raw, x: Raw, lo: Raw, hi: Raw) -> Raw:
    below = x < lo
    if hi is not None:
        below = below & (lo <= hi)
    return xp.where(below, g, xp.zeros_like(g))


def _clip_hi(xp: Namespace, g: Raw, x: Raw, lo: Raw, hi: Raw) -> Raw:
    above = x > hi
    if lo is not None:
        above = above | (lo > hi)
    return xp.where(above, g, xp.zeros_like(g))


@kernel
def clip_between(xp: Namespace, x: Raw, lo: Raw, hi: Raw) -> Raw:
    """``x`` held between two bounds; None for none."""
    if lo is not None:
        x = xp.maximum(x, lo)
    if hi is not None:
        x = xp.minimum(x, hi)
    return x


@op(vjps=[_clip_inside, _clip_lo, _clip_hi], jvps=[_clip_inside, _clip_lo, _clip_hi], broadcasts=True)
def _clip(xp: Namespace, x: Raw, lo: Raw, hi: Raw, /) -> Raw:
    return xp.clip_between(x, lo, hi)


@op(
    name="clip_min",
    vjps=[lambda xp, g, x, lo: _clip_inside(xp, g, x, lo, None), lambda xp, g, x, lo: _clip_lo(xp, g, x, lo, None)],
    jvps=[lambda xp, g, x, lo: _clip_inside(xp, g, x, lo, None), lambda xp, g, x, lo: _clip_lo(xp, g, x, lo, None)],
    broadcasts=True,
)
def _clip_min(xp: Namespace, x: Raw, lo: Raw, /) -> Raw:
    return xp.clip_between(x, lo, None)


@op(
    name="clip_max",
    vjps=[lambda xp, g, x, hi: _clip_inside(xp, g, x, None, hi), lambda xp, g, x, hi: _clip_hi(xp, g, x, None, hi)],
    jvps=[lambda xp, g, x, hi: _clip_inside(xp, g, x, None, hi), lambda xp, g, x, hi: _clip_hi(xp, g, x, None, hi)],
    broadcasts=True,
)
def _clip_max(xp: Namespace, x: Raw, hi: Raw, /) -> Raw:
    return xp.clip_between(x, None, hi)


def clip(x: ArrayLike, /, min: ArrayLike | None = None, max: ArrayLike | None = None) -> Tensor:
    """Each element held between ``min`` and ``max`` (``max`` wins where they cross).

    The gradient goes to ``x`` on the closed inside, to the bound where it holds, whole at the bound itself
    to ``x``. The result has ``x``'s dtype.

    >>> import polygrad as pg
    >>> pg.clip(pg.asarray([-2.0, 0.5, 2.0]), -1.0, 1.0)
    tensor([-1. ,  0.5,  1. ], dtype=float64)
    """
    x, lo, hi = as_same_dtype("clip", x, min, max)
    return positive(x) if lo is None and hi is None else _clipped(x, lo, hi)


def _clipped(x: Any, lo: Any, hi: Any) -> Tensor:
    if hi is None:
        return apply(_clip_min, (x, lo))
    if lo is None:
        return apply(_clip_max, (x, hi))
    return apply(_clip, (x, lo, hi))


ON_TENSORS["clip_between"] = _clipped


# -- complex numbers ---------------------------------------------------------------------------------


@unary(vjp=lambda xp, g: xp.conj(g), jvp=lambda xp, t: xp.conj(t))
def conj(xp: Namespace, x: Raw, /) -> Raw:
    """The complex conjugate; of real input, the input."""
    return xp.conj(x)


@op(
    vjps=[lambda xp, g, x_dtype: xp.astype(g, x_dtype)],
    jvps=[lambda xp, t: xp.real(t)],
)
def _real(xp: Namespace, x: Raw, /) -> Raw:
    return xp.real(x)


def real(x: ArrayLike, /) -> Tensor:
    """The real part."""
    return view_of(_real, x, (), real, lambda base, part: base - real(base) + part)  # type: ignore[no-any-return]


# For a real loss the cotangent is dL/dx + i dL/dy, so the imaginary part's comes back times i.
@op(
    vjps=[lambda xp, g, x_dtype: 1j * xp.astype(g, x_dtype)],
    jvps=[lambda xp, t: xp.imag(t)],
)
def _imag(xp: Namespace, x: Raw, /) -> Raw:
    return xp.imag(x)


def imag(x: ArrayLike, /) -> Tensor:
    """The imaginary part."""
    return view_of(_imag, x, (), imag, lambda base, part: real(base) + 1j * part)  # type: ignore[no-any-return]
