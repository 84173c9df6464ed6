"""Bessel functions, plain and scaled, and those of Airy and Struve.

By the order there is no formula here: differentiating by it raises.
"""

from __future__ import annotations

from math import factorial, gamma
from typing import TYPE_CHECKING, Any, Final

from ...core.apply import apply_multiple
from ...core.declare import op
from ...core.kernels import kernel
from ...typing import ArrayLike, Namespace, Raw
from ..data_types import astype
from .declare import COUNTS, NO_FORMULA, checked, special
from .error_functions import summed
from .kernels import like, over_argument

if TYPE_CHECKING:
    from ...tensor import Tensor

__all__ = [
    "airy", "i0", "i0e", "i1", "i1e", "iv", "ive", "j0", "j1", "jv", "k0", "k0e", "k1", "k1e", "kn", "kv", "kve",
    "modstruve", "struve", "y0", "y1", "yn", "yv",
]  # fmt: skip

# -- orders 0 and 1 ------------------------------------------------------------------------------------


# J_1(x)/x and I_1(x)/x by their series in x^2 (DLMF 10.2.2, 10.25.2).
_J1_OVER: Final = [0.5 * (-0.25) ** k / (factorial(k) * factorial(k + 1)) for k in range(14)]
_I1_OVER: Final = [0.5 * 0.25**k / (factorial(k) * factorial(k + 1)) for k in range(14)]
_NEAR: Final = 1.5


@special(lambda xp, x: -xp.special.j1(x))
def j0(xp: Namespace, x: Raw, /) -> Raw:
    """The Bessel function of the first kind of order 0."""
    return xp.special.j0(x)


@special(lambda xp, out, x: xp.special.j0(x) - over_argument(xp, out, x, _J1_OVER, _NEAR))
def j1(xp: Namespace, x: Raw, /) -> Raw:
    """The Bessel function of the first kind of order 1."""
    return xp.special.j1(x)


@special(lambda xp, x: -xp.special.y1(x))
def y0(xp: Namespace, x: Raw, /) -> Raw:
    """The Bessel function of the second kind of order 0."""
    return xp.special.y0(x)


@special(lambda xp, out, x: xp.special.y0(x) - out / x)
def y1(xp: Namespace, x: Raw, /) -> Raw:
    """The Bessel function of the second kind of order 1."""
    return xp.special.y1(x)


@special(lambda xp, x: xp.special.i1(x))
def i0(xp: Namespace, x: Raw, /) -> Raw:
    """The modified Bessel function of order 0."""
    return xp.special.i0(x)


@special(lambda xp, out, x: xp.special.i0(x) - over_argument(xp, out, x, _I1_OVER, _NEAR))
def i1(xp: Namespace, x: Raw, /) -> Raw:
    """The modified Bessel function of order 1."""
    return xp.special.i1(x)


@special(lambda xp, x: -xp.special.k1(x))
def k0(xp: Namespace, x: Raw, /) -> Raw:
    """The modified Bessel function of the second kind of order 0."""
    return xp.special.k0(x)


@special(lambda xp, out, x: -xp.special.k0(x) - out / x)
def k1(xp: Namespace, x: Raw, /) -> Raw:
    """The modified Bessel function of the second kind of order 1."""
    return xp.special.k1(x)


# -- scaled by exp(-|x|) and exp(x) --------------------------------------------------------------------
# Their slopes are the difference of two functions that agree ever better as x grows. There the asymptotic series is
# differentiated: exp(-x) I_v(x) ~ sum of (-1)^k a_k x^-k / sqrt(2 pi x), exp(x) K_v(x) ~ sqrt(pi/2x) sum of a_k x^-k,
# with a_k = a_(k-1) (4 v^2 - (2k - 1)^2) / (8 k).

_FAR: Final = 25.0


@kernel(space="special")
def bessel_tail(xp: Namespace, v: Any, x: Raw, sign: float) -> Raw:
    """``-(1/x) x^(-1/2) sum of (k + 1/2) (sign)^k a_k x^-k``."""
    term: Any = 1.0
    total: Any = 0.5
    for k in range(1, 22):
        term = term * (sign * (4 * v * v - (2 * k - 1) ** 2) / (8 * k) / x)
        total = total + (k + 0.5) * term
    return -total / x / xp.sqrt(x)


def _scaled_first(xp: Namespace, v: Any, near: Raw, x: Raw, far: Raw) -> Raw:
    """The slope of exp(-|x|) I_v(x), given it where x is not ``far``."""
    size = xp.where(far, xp.abs(x), xp.full_like(x, _FAR))
    tail = xp.special.bessel_tail(v, size, -1.0) * 0.39894228040143267794
    return xp.where(far, tail, near)


def _scaled_second(xp: Namespace, v: Any, near: Raw, x: Raw, far: Raw) -> Raw:
    tail = xp.special.bessel_tail(v, xp.where(far, x, xp.full_like(x, _FAR)), 1.0) * 1.25331413731550025121
    return xp.where(far, tail, near)


def _i0e_slope(xp: Namespace, out: Raw, x: Raw) -> Raw:
    far = xp.abs(x) > _FAR
    return xp.sign(x) * _scaled_first(xp, 0.0, xp.abs(xp.special.i1e(x)) - out, x, far)


def _i1e_slope(xp: Namespace, out: Raw, x: Raw) -> Raw:
    far = xp.abs(x) > _FAR
    near = xp.abs(x) < _NEAR
    s = xp.where(near, x, xp.zeros_like(x))
    # I_1(x)/x near 0, the scale apart: it has a kink there, and so has the slope of i1e
    over = over_argument(xp, out, x, _I1_OVER, _NEAR) * xp.exp(-xp.abs(s))
    return _scaled_first(xp, 1.0, xp.special.i0e(x) - over - xp.abs(out), x, far)


def _k0e_slope(xp: Namespace, out: Raw, x: Raw) -> Raw:
    return _scaled_second(xp, 0.0, out - xp.special.k1e(x), x, x > _FAR)


def _k1e_slope(xp: Namespace, out: Raw, x: Raw) -> Raw:
    return _scaled_second(xp, 1.0, out - xp.special.k0e(x) - out / x, x, x > _FAR)


@special(_i0e_slope)
def i0e(xp: Namespace, x: Raw, /) -> Raw:
    """``exp(-abs(x)) * i0(x)``."""
    return xp.special.i0e(x)


@special(_i1e_slope)
def i1e(xp: Namespace, x: Raw, /) -> Raw:
    """``exp(-abs(x)) * i1(x)``."""
    return xp.special.i1e(x)


@special(_k0e_slope)
def k0e(xp: Namespace, x: Raw, /) -> Raw:
    """``exp(x) * k0(x)``."""
    return xp.special.k0e(x)


@special(_k1e_slope)
def k1e(xp: Namespace, x: Raw, /) -> Raw:
    """``exp(x) * k1(x)``."""
    return xp.special.k1e(x)


# -- any order -----------------------------------------------------------------------------------------


@special(NO_FORMULA, lambda xp, v, x: (xp.special.jv(v - 1, x) - xp.special.jv(v + 1, x)) / 2)
def jv(xp: Namespace, v: Raw, x: Raw, /) -> Raw:
    """The Bessel function of the first kind of real order ``v``."""
    return xp.special.jv(v, x)


@special(NO_FORMULA, lambda xp, v, x: (xp.special.yv(v - 1, x) - xp.special.yv(v + 1, x)) / 2)
def yv(xp: Namespace, v: Raw, x: Raw, /) -> Raw:
    """The Bessel function of the second kind of real order ``v``."""
    return xp.special.yv(v, x)


@special(COUNTS, lambda xp, n, x: (xp.special.yn(n - 1, x) - xp.special.yn(n + 1, x)) / 2, integers=(0,))
def yn(xp: Namespace, n: Raw, x: Raw, /) -> Raw:
    """The Bessel function of the second kind of integer order ``n``."""
    return like(xp, xp.special.yn(n, x), x)


@special(NO_FORMULA, lambda xp, v, x: (xp.special.iv(v - 1, x) + xp.special.iv(v + 1, x)) / 2)
def iv(xp: Namespace, v: Raw, x: Raw, /) -> Raw:
    """The modified Bessel function of the first kind of real order ``v``."""
    return xp.special.iv(v, x)


@special(NO_FORMULA, lambda xp, v, x: (xp.special.kv(v - 1, x) + xp.special.kv(v + 1, x)) / -2)
def kv(xp: Namespace, v: Raw, x: Raw, /) -> Raw:
    """The modified Bessel function of the second kind of real order ``v``."""
    return xp.special.kv(v, x)


@special(COUNTS, lambda xp, n, x: (xp.special.kn(n - 1, x) + xp.special.kn(n + 1, x)) / -2, integers=(0,))
def kn(xp: Namespace, n: Raw, x: Raw, /) -> Raw:
    """The modified Bessel function of the second kind of integer order ``n``."""
    return like(xp, xp.special.kn(n, x), x)


def _ive_slope(xp: Namespace, out: Raw, v: Raw, x: Raw) -> Raw:
    far = (x > _FAR) & (x > v * v)
    near = (xp.special.ive(v - 1, x) + xp.special.ive(v + 1, x)) / 2 - xp.sign(x) * out
    return _scaled_first(xp, v, near, x + 0 * v, far)


def _kve_slope(xp: Namespace, out: Raw, v: Raw, x: Raw) -> Raw:
    far = (x > _FAR) & (x > v * v)
    near = out - (xp.special.kve(v - 1, x) + xp.special.kve(v + 1, x)) / 2
    return _scaled_second(xp, v, near, x + 0 * v, far)


@special(NO_FORMULA, _ive_slope)
def ive(xp: Namespace, v: Raw, x: Raw, /) -> Raw:
    """``exp(-abs(x)) * iv(v, x)``."""
    return xp.special.ive(v, x)


@special(NO_FORMULA, _kve_slope)
def kve(xp: Namespace, v: Raw, x: Raw, /) -> Raw:
    """``exp(x) * kv(v, x)``."""
    return xp.special.kve(v, x)


@kernel(space="special")
def _kn(xp: Namespace, n: Raw, x: Raw) -> Raw:
    return xp.special.kv(n, x)


# -- Struve --------------------------------------------------------------------------------------------
# H_v' = H_(v-1) - v H_v/x, L_v' in the same way. Near 0 the power series, differentiated term by term (DLMF 11.2.1):
# the sum of (-+1)^m (2m+v+1)/2 (x/2)^(2m+v) / (gamma(m + 3/2) gamma(m + v + 3/2)), the power x^v apart.

_STRUVE_NEAR: Final = 4.0
_STRUVE_TERMS: Final = 28


def _struve_series(xp: Namespace, v: Raw, x: Raw, sign: float) -> Raw:
    """The slope near 0."""
    u = x * x / 4
    # 1/gamma of m + v + 3/2, the last one first: at a pole it is 0 and the product stays right
    reciprocal = xp.special.rgamma(v + (_STRUVE_TERMS + 0.5))
    total = xp.zeros_like(u * v)
    for m in range(_STRUVE_TERMS - 1, 0, -1):
        total = total * u + sign**m * (2 * m + v + 1) * reciprocal / gamma(m + 1.5)
        reciprocal = reciprocal * (v + (m + 0.5))
    none = v == -1  # of the first term, whose power has a pole at 0 then
    power = xp.pow(x, xp.where(none, xp.ones_like(v), v))
    first = (v + 1) * reciprocal / gamma(1.5) * power
    rest = total * xp.pow(x, v + 2) / 4
    return xp.pow(xp.full_like(v, 2.0), -v - 1) * (first + rest)


def _struve_slope(xp: Namespace, f: Any, out: Raw, v: Raw, x: Raw, sign: float) -> Raw:
    near = xp.abs(x) < _STRUVE_NEAR
    away = xp.where(near, xp.full_like(x, _STRUVE_NEAR), x)
    far = f(v - 1, away) - v * xp.where(near, xp.zeros_like(out), out) / away
    return xp.where(near, _struve_series(xp, v, xp.where(near, x, xp.ones_like(x)), sign), far)


@special(NO_FORMULA, lambda xp, out, v, x: _struve_slope(xp, xp.special.struve, out, v, x, -1.0))
def struve(xp: Namespace, v: Raw, x: Raw, /) -> Raw:
    """Struve's function of real order ``v``."""
    return xp.special.struve(v, x)


@special(NO_FORMULA, lambda xp, out, v, x: _struve_slope(xp, xp.special.modstruve, out, v, x, 1.0))
def modstruve(xp: Namespace, v: Raw, x: Raw, /) -> Raw:
    """The modified Struve function of real order ``v``."""
    return xp.special.modstruve(v, x)


# -- Airy ----------------------------------------------------------------------------------------------
# Ai'' = x Ai, Bi'' = x Bi


def _airy_slopes(out: tuple[Raw, ...], x: Raw) -> tuple[Raw, ...]:
    return out[1], x * out[0], out[3], x * out[2]


def _airy_vjp(xp: Namespace, g: list[Raw], out: tuple[Raw, ...], x: Raw) -> Raw:
    return summed(
        [None if c is None else xp.strong_multiply(c, s) for c, s in zip(g, _airy_slopes(out, x), strict=True)]
    )


def _airy_jvp(xp: Namespace, t: Raw, out: tuple[Raw, ...], x: Raw) -> list[Raw]:
    return [xp.strong_multiply(t, s) for s in _airy_slopes(out, x)]


@op(vjps=[_airy_vjp], jvps=[_airy_jvp], multiple=True)
def _airy(xp: Namespace, x: Raw, /) -> tuple[Raw, ...]:
    return tuple(xp.special.airy(x))


def airy(x: ArrayLike, /) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Airy's functions and their derivatives: ``Ai, Ai', Bi, Bi'``."""
    (x,), narrow = checked("airy", ("x",), (x,))
    made = apply_multiple(_airy, (x,))
    return made if narrow is None else tuple(astype(y, narrow) for y in made)  # type: ignore[return-value]
