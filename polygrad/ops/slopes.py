"""Derivatives that have derivatives of their own: the second derivative through a first one's formula cancels
(1 / ((1 - x) (1 + x)) near 0, the logistic slope in its tails) or overflows on the way, its own formula does not.

Each is a kernel on raw arrays, and on Tensors an op with its rule: rules say ``xp.<name>`` for both.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final

from ..core.declare import binary, unary
from ..core.kernels import kernel
from ..typing import Namespace, Raw

if TYPE_CHECKING:
    from ..tensor import Tensor

__all__ = ["ON_TENSORS"]


def _is_complex(xp: Namespace, x: Raw) -> bool:
    return bool(xp.isdtype(x.dtype, "complex floating"))


def over(xp: Namespace, x: Raw, h: Raw) -> Raw:
    """``x / h``, and 0 where ``h`` is 0."""
    zero = h == 0
    return xp.where(zero, xp.zeros_like(h), x / xp.where(zero, xp.ones_like(h), h))


# -- tanh, the logistic function -----------------------------------------------------------------------
# 1 - tanh^2 cancels in the tails; 1 / cosh^2 = (2 e / (1 + e^2))^2 with e = exp(-|x|) does not, nor does
# its derivative -2 tanh / cosh^2. Complex tanh has poles on the imaginary axis, where 1 - tanh^2 is exact.


@kernel
def tanh_slope(xp: Namespace, out: Raw, x: Raw) -> Raw:
    """The derivative of tanh at ``x``, where ``out`` is ``tanh(x)``."""
    if not _is_complex(xp, x):
        return xp.sech_squared(x)
    tail = xp.abs(xp.real(x)) > 1
    return xp.where(tail, xp.sech_squared(xp.where(tail, x, xp.ones_like(x))), 1 - out * out)


@kernel
def sech_squared(xp: Namespace, x: Raw) -> Raw:
    """``1 / cosh(x) ** 2``."""
    e = xp.exp(xp.where(xp.real(x) < 0, x, -x)) if _is_complex(xp, x) else xp.exp(-xp.abs(x))
    sech = 2 * e / (1 + e * e)
    return sech * sech


@unary(derivative=lambda xp, out, x: -2 * xp.tanh(x) * out)
def _sech_squared(xp: Namespace, x: Raw, /) -> Raw:
    return xp.sech_squared(x)


# out (1 - out) vanishes in the right tail; with e = exp(-|x|) the slope is e / (1 + e)^2, exact in both.
@kernel
def sigmoid_slope(xp: Namespace, x: Raw) -> Raw:
    """The derivative of the logistic function."""
    e = xp.exp(-xp.abs(x))
    return e / ((1 + e) * (1 + e))


@unary(derivative=lambda xp, out, x: -xp.tanh(0.5 * x) * out)
def _sigmoid_slope(xp: Namespace, x: Raw, /) -> Raw:
    return xp.sigmoid_slope(x)


# -- inverse functions ---------------------------------------------------------------------------------
# From (1 - x) (1 + x): 1 - x^2 cancels near 1. Two roots keep the branches of complex numbers.


@kernel
def asin_slope(xp: Namespace, x: Raw) -> Raw:
    """``1 / sqrt(1 - x ** 2)``."""
    if _is_complex(xp, x):
        return 1 / (xp.sqrt(1 - x) * xp.sqrt(1 + x))
    return 1 / xp.sqrt((1 - x) * (1 + x))


@unary(derivative=lambda xp, out, x: x * out * out * out)
def _asin_slope(xp: Namespace, x: Raw, /) -> Raw:
    return xp.asin_slope(x)


@kernel
def atanh_slope(xp: Namespace, x: Raw) -> Raw:
    """``1 / (1 - x ** 2)``."""
    return 1 / ((1 - x) * (1 + x))


@unary(derivative=lambda xp, out, x: 2 * x * out * out)
def _atanh_slope(xp: Namespace, x: Raw, /) -> Raw:
    return xp.atanh_slope(x)


# -- of two arguments ----------------------------------------------------------------------------------
# With h = hypot(x, y): every factor below is at most 1 or the last division, so that nothing overflows at 1e200
# or vanishes at 1e-200 before the result does. At (0, 0) all are 0.


@kernel
def hypot_slope(xp: Namespace, x: Raw, y: Raw, h: Raw) -> Raw:
    """``x / h``, the derivative of ``h = hypot(x, y)`` by ``x``."""
    return over(xp, x, h)


# d(x / h) = y^2 / h^3 dx - x y / h^3 dy
def _hypot_slope_first(xp: Namespace, x: Raw, y: Raw) -> Raw:
    h = xp.hypot(x, y)
    share = xp.hypot_slope(y, x, h)
    return share * over(xp, share, h)


def _hypot_slope_second(xp: Namespace, x: Raw, y: Raw) -> Raw:
    h = xp.hypot(x, y)
    return -xp.hypot_slope(x, y, h) * over(xp, xp.hypot_slope(y, x, h), h)


@binary((_hypot_slope_first, _hypot_slope_second))
def _hypot_slope(xp: Namespace, x: Raw, y: Raw, /) -> Raw:
    return xp.hypot_slope(x, y, xp.hypot(x, y))


@kernel
def atan2_slope(xp: Namespace, x: Raw, y: Raw) -> Raw:
    """``x / (x ** 2 + y ** 2)``."""
    h = xp.hypot(x, y)
    return over(xp, over(xp, x, h), h)


# d(x / h^2) = (y - x) (y + x) / h^4 dx - 2 x y / h^4 dy
def _atan2_slope_first(xp: Namespace, x: Raw, y: Raw) -> Raw:
    h = xp.hypot(x, y)
    return over(xp, over(xp, y - x, h), h) * over(xp, over(xp, y + x, h), h)


def _atan2_slope_second(xp: Namespace, x: Raw, y: Raw) -> Raw:
    return -2 * xp.atan2_slope(x, y) * xp.atan2_slope(y, x)


@binary((_atan2_slope_first, _atan2_slope_second))
def _atan2_slope(xp: Namespace, x: Raw, y: Raw, /) -> Raw:
    return xp.atan2_slope(x, y)


def _hypot_slope_of(x: Tensor, y: Tensor, h: Tensor) -> Tensor:
    return _hypot_slope(x, y)


ON_TENSORS: Final[dict[str, Callable[..., Any]]] = {
    "asin_slope": _asin_slope,
    "atan2_slope": _atan2_slope,
    "atanh_slope": _atanh_slope,
    "hypot_slope": _hypot_slope_of,
    "sech_squared": _sech_squared,
    "sigmoid_slope": _sigmoid_slope,
}
"""The kernels of this file as ops, by name."""
