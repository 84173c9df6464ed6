"""Hypergeometric, zeta, Lambert and Legendre functions."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from ...core.apply import apply
from ...core.declare import op
from ...core.kernels import kernel
from ...core.operands import together
from ...errors import DTypeError
from ...typing import ArrayLike, Namespace, Raw
from ..data_types import astype
from .declare import COUNTS, NO_FORMULA, special
from .kernels import PI, horner, like

if TYPE_CHECKING:
    from ...tensor import Tensor

__all__ = ["hyp0f1", "hyp1f1", "hyp2f1", "lambertw", "lpmv", "spence", "wrightomega", "zeta", "zetac"]

# -- hypergeometric ------------------------------------------------------------------------------------


@special(NO_FORMULA, lambda xp, v, z: xp.special.hyp0f1(v + 1, z) / v)
def hyp0f1(xp: Namespace, v: Raw, z: Raw, /) -> Raw:
    """The confluent hypergeometric limit function."""
    return xp.special.hyp0f1(v, z)


@special(NO_FORMULA, NO_FORMULA, lambda xp, a, b, x: a / b * xp.special.hyp1f1(a + 1, b + 1, x))
def hyp1f1(xp: Namespace, a: Raw, b: Raw, x: Raw, /) -> Raw:
    """Kummer's confluent hypergeometric function."""
    return xp.special.hyp1f1(a, b, x)


@special(
    NO_FORMULA, NO_FORMULA, NO_FORMULA, lambda xp, a, b, c, z: a * b / c * xp.special.hyp2f1(a + 1, b + 1, c + 1, z)
)
def hyp2f1(xp: Namespace, a: Raw, b: Raw, c: Raw, z: Raw, /) -> Raw:
    """Gauss's hypergeometric function."""
    return xp.special.hyp2f1(a, b, c, z)


# -- zeta ----------------------------------------------------------------------------------------------
# By Euler and Maclaurin, sum of (q + k)^-s: twelve terms, then with A = q + 12 the integral A^(1-s)/(s - 1), half a
# term and B_2j/(2j)! s (s+1)...(s+2j-2) A^(1-s-2j); all of it differentiated by s.

_BERNOULLI: Final = [1 / 12, -1 / 720, 1 / 30240, -1 / 1209600, 1 / 47900160, -691 / 1307674368000, 1 / 74724249600,
                     -3617 / 10670622842880000, 43867 / 5109094217170944000, -174611 / 802857662698291200000]  # fmt: skip


@kernel(space="special")
def zeta_rate(xp: Namespace, s: Raw, q: Raw) -> Raw:
    """The derivative of ``zeta(s, q)`` by ``s``."""
    total: Any = 0.0
    for k in range(12):
        log = xp.log(q + k)
        total = total - log * xp.exp(-s * log)
    log = xp.log(q + 12)
    power = xp.exp(-s * log)
    total = total - power * ((q + 12) * (log + 1 / (s - 1)) / (s - 1) + log / 2)
    inverse = 1 / (q + 12)
    factor, rate = power * inverse, xp.ones_like(power)  # rate: the derivative of the product s (s+1)...
    product = s + 0 * power
    for j, b in enumerate(_BERNOULLI):
        total = total + b * factor * (rate - product * log)
        for i in (2 * j + 1, 2 * j + 2):
            rate = rate * (s + i) + product
            product = product * (s + i)
        factor = factor * (inverse * inverse)
    return total


# Left of -1/2 by the functional equation zeta(s) = 2 (2 pi)^(s-1) sin(pi s/2) gamma(1 - s) zeta(1 - s).
@kernel(space="special")
def riemann_zeta_slope(xp: Namespace, x: Raw) -> Raw:
    """The derivative of Riemann's zeta function."""
    left = x < -0.5
    one = xp.ones_like(x)
    right = xp.special.zeta_rate(xp.where(left, 2 * one, x), one)
    s = xp.where(left, x, -one)
    t = 1 - s
    value, slope = xp.special.zeta(t, one), xp.special.zeta_rate(t, one)
    log = 1.83787706640934548356
    bracket = 1.57079632679489661923 * xp.special.cospi(s / 2) * value
    bracket = bracket + xp.special.sinpi(s / 2) * (value * (log - xp.special.digamma(t)) - slope)
    return xp.where(left, 2 * xp.exp((s - 1) * log) * xp.special.gamma(t) * bracket, right)


@special(lambda xp, x: xp.special.riemann_zeta_slope(x))
def _riemann_zeta(xp: Namespace, x: Raw, /) -> Raw:
    return xp.special.zeta(x)


@special(lambda xp, x, q: xp.special.zeta_rate(x, q), lambda xp, x, q: -x * xp.special.zeta(x + 1, q))
def _hurwitz_zeta(xp: Namespace, x: Raw, q: Raw, /) -> Raw:
    return xp.special.zeta(x, q)


def zeta(x: ArrayLike, q: ArrayLike = None) -> Tensor:
    """Riemann's zeta function, or with ``q`` Hurwitz's: the sum of ``(k + q) ** -x``, ``k`` from 0.

    >>> import polygrad as pg
    >>> pg.grad(pg.special.zeta)(2.0)
    -0.93754825...
    """
    return _riemann_zeta(x) if q is None else _hurwitz_zeta(x, q)


@special(lambda xp, x: xp.special.riemann_zeta_slope(x))
def zetac(xp: Namespace, x: Raw, /) -> Raw:
    """Riemann's zeta function less 1."""
    return xp.special.zetac(x)


# -- others --------------------------------------------------------------------------------------------


# log(z)/(1 - z), -1 at 1: near it log(z)/(z - 1) = 2 w (1 + r^2/3 + r^4/5 + ...) with w = 1/(z + 1), r = (z - 1) w.
_SPENCE: Final = [1 / (2 * k + 1) for k in range(18)]


def _spence_slope(xp: Namespace, z: Raw) -> Raw:
    near = xp.abs(z - 1) < 0.5
    w = 1 / (1 + xp.where(near, z, xp.ones_like(z)))
    r = (xp.where(near, z, xp.ones_like(z)) - 1) * w
    f = xp.where(near, xp.full_like(z, 2.0), z)
    return xp.where(near, -2 * w * horner(_SPENCE, r * r), xp.log(f) / (1 - f))


@special(_spence_slope)
def spence(xp: Namespace, z: Raw, /) -> Raw:
    """Spence's function, the dilogarithm of ``1 - z``: ``integral of log(t)/(1 - t), t from 1 to z``."""
    return xp.special.spence(z)


@special(lambda xp, out: out / (1 + out))
def wrightomega(xp: Namespace, z: Raw, /) -> Raw:
    """The solution of ``w + log(w) == z``."""
    return xp.special.wrightomega(z)


# W' = exp(-W)/(1 + W), which is right at 0 too.
def _lambertw_slope(xp: Namespace, out: Raw) -> Raw:
    return xp.exp(-out) / (1 + out)


@op(
    vjps=[lambda xp, g, out: xp.strong_multiply(g, xp.conj(_lambertw_slope(xp, out)))],
    jvps=[lambda xp, t, out: xp.strong_multiply(t, _lambertw_slope(xp, out))],
)
def _lambertw(xp: Namespace, z: Raw, /, k: int, tol: float) -> Raw:
    return like(xp, xp.special.lambertw(z, k, tol), z)


def lambertw(z: ArrayLike, k: int = 0, tol: float = 1e-8) -> Tensor:
    """Lambert's W, the solution of ``w * exp(w) == z`` on branch ``k``: always complex, as SciPy's is.

    >>> import polygrad as pg
    >>> pg.real(pg.special.lambertw(1.0))
    tensor(0.56714329, dtype=float64)
    """
    if not isinstance(k, int):
        raise DTypeError(f"lambertw: the branch k must be a Python integer, got {k!r}")
    (z,) = together("lambertw", (z,))
    if z.dtype.kind != "c":
        z = astype(z, "complex64" if z.dtype.kind == "f" and z.dtype.itemsize <= 4 else "complex128")
    return apply(_lambertw, (z,), (k, tol))


# (1 - x^2)^(1/2) dP/dx = ((v + m)(v - m + 1) P_v^(m-1) - P_v^(m+1)) / 2; for m = 0 the two terms are alike.
# Near 1, where that is 0/0, the formula by F(m - v, v + m + 1; m + 1; (1 - x)/2) (DLMF 14.3.4); near -1 by parity, where
# v is whole (other ones have a singularity there).
def _lpmv_slope(xp: Namespace, m: Raw, v: Raw, x: Raw) -> Raw:
    size = xp.where(x < 0, -x, x)
    near = ((1 - size) * (v + 1) * (v + 1) < 8) & (size > 0.5) & ((x > 0) | (v == xp.floor(v)))
    s = xp.where(near, xp.zeros_like(x), x)
    zero = m == 0
    above = xp.special.lpmv(m + 1, v, s)
    below = xp.special.lpmv(xp.where(zero, xp.ones_like(m), m) - 1, v, s)
    away = xp.where(zero, -above, ((v + m) * (v - m + 1) * below - above) / 2) / xp.sqrt((1 - s) * (1 + s))
    count = v + m
    parity = xp.where((x < 0) & (count != 2 * xp.floor(count / 2)), -xp.ones_like(away), xp.ones_like(away))
    t = xp.where(near, size, xp.full_like(x, 0.75))
    return xp.where(near, parity * xp.where(x < 0, -xp.ones_like(x), xp.ones_like(x)) * _lpmv_end(xp, m, v, t), away)


def _lpmv_end(xp: Namespace, m: Raw, v: Raw, x: Raw) -> Raw:
    """The slope near ``x == 1``."""
    half, z = m / 2, (1 - x) / 2
    scale = xp.special.poch(v - m + 1, 2 * m) * xp.special.rgamma(m + 1) * xp.pow(xp.full_like(m, -0.5), m)
    square = (1 - x) * (1 + x)
    # F' and the power's slope, which is none for m = 0
    first = -0.5 * (m - v) * (v + m + 1) / (m + 1) * xp.special.hyp2f1(m - v + 1, v + m + 2, m + 2, z)
    none = m == 0
    power = -2 * half * x * xp.pow(xp.where(none, xp.ones_like(square), square), xp.where(none, half, half - 1))
    return scale * (xp.pow(square, half) * first + power * xp.special.hyp2f1(m - v, v + m + 1, m + 1, z))


@special(COUNTS, NO_FORMULA, _lpmv_slope)
def lpmv(xp: Namespace, m: Raw, v: Raw, x: Raw, /) -> Raw:
    """The associated Legendre function of order ``m`` and degree ``v``, for ``abs(x) <= 1``."""
    return xp.special.lpmv(m, v, x)


# -- where a library has none of its own (CuPy) ------------------------------------------------------------


# Li2(x) with y = -log(1 - x), |y| <= log 2: y - y^2/4 + sum of B_2k y^(2k+1) / (2k+1)!
_LI2: Final = (
    2.7777777777777776e-02, -2.7777777777777778e-04, 4.7241118669690098e-06, -9.1857730746619641e-08, 1.8978869988970999e-09,
    -4.0647616451442256e-11, 8.9216910204564526e-13, -1.9939295860721075e-14, 4.5189800296199182e-16, -1.0356517612182247e-17,
)  # fmt: skip


def _dilogarithm(xp: Namespace, x: Raw) -> Raw:
    """Of at most 1/2 in magnitude."""
    y = -xp.log1p(-x)
    square = y * y
    series: Any = 0.0
    for coefficient in reversed(_LI2):
        series = series * square + coefficient
    return y - 0.25 * square + y * square * series


# Spence's function of z is Li2(1 - z). For u = 1 - z the arguments are brought into [0, 1/2] by Landen's formula (u < 0,
# behind inversion if u < -1) and by Euler's (u > 1/2).


@kernel(space="special")
def _spence(xp: Namespace, z: Raw) -> Raw:
    one, u = xp.ones_like(z), 1 - z
    far = u < -1
    v = xp.where(far, 1 / xp.where(far, u, one), u)
    below, above = v < 0, v > 0.5
    x = xp.where(below, v / (xp.where(below, v, -one) - 1), xp.where(above, 1 - v, v))
    value = _dilogarithm(xp, xp.where((x >= 0) & (x <= 0.5), x, xp.zeros_like(x)))
    log = xp.log1p(-xp.where(below, v, xp.zeros_like(v)))
    landen = -value - 0.5 * log * log
    w = xp.where(above & (v < 1), v, 0.75 * one)
    euler = PI * PI / 6 - value - xp.where(v == 1, xp.zeros_like(v), xp.log(w) * xp.log1p(-w))
    near = xp.where(below, landen, xp.where(above, euler, value))
    far_log = xp.log(-xp.where(far, u, -one))
    inverted = -PI * PI / 6 - 0.5 * far_log * far_log - near
    return xp.where((z < 0) | (z != z), xp.full_like(z, float("nan")), xp.where(far, inverted, near))
