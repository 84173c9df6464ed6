"""What the derivatives of special functions need beside special functions: written with the standard's functions,
so that they run everywhere and can be differentiated themselves, and without cancellation or overflow.

Where a formula holds on a part of the line only, it is given arguments of that part (``where`` before, ``where``
after): so the branch not taken has finite slopes.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import factorial
from typing import Any, Final

from ...core.kernels import kernel
from ...typing import Namespace, Raw

__all__ = ["DIGAMMA", "HALF_LOG_2PI", "horner", "like"]

HALF_LOG_2PI: Final = 0.91893853320467274178
PI: Final = 3.14159265358979323846
SQRT_PI: Final = 1.77245385090551602730


def horner(coefficients: Sequence[float], t: Raw) -> Any:
    """The polynomial with these coefficients, the constant one first."""
    total: Any = coefficients[-1]
    for c in reversed(coefficients[:-1]):
        total = total * t + c
    return total


def like(xp: Namespace, out: Raw, x: Raw) -> Raw:
    """A result in the dtype of an argument: beside integers SciPy gives float64 for float32."""
    return out if out.dtype == x.dtype else xp.astype(out, x.dtype)


# -- elementary ----------------------------------------------------------------------------------------

# log1p(u) - u: with r = u / (2 + u), log1p(u) = 2 r (1 + r^2/3 + r^4/5 + ...), and 2 r - u = -r u.
_LOG1PMX: Final = [1 / (2 * k + 3) for k in range(14)]


@kernel(space="special")
def log1pmx(xp: Namespace, u: Raw) -> Raw:
    """``log1p(u) - u`` without cancellation near 0."""
    near = xp.abs(u) < 0.4
    s = xp.where(near, u, xp.zeros_like(u))
    r = s / (2 + s)
    y = r * r
    far = xp.where(near, xp.ones_like(u), u)
    return xp.where(near, r * (2 * y * horner(_LOG1PMX, y) - s), xp.log1p(far) - far)


# (log1p(u) - u) / u^2 for |u| < 0.4, in the same way: r / u = 1 / (2 + u).
@kernel(space="special")
def log1pmx_over_square(xp: Namespace, u: Raw) -> Raw:
    """``(log1p(u) - u) / u**2`` for ``abs(u) < 0.5``; -1/2 at 0."""
    w = 1 / (2 + u)
    r = u * w
    y = r * r
    return w * (2 * w * r * horner(_LOG1PMX, y) - 1)


# exprel'(t) = (e^t (t - 1) + 1) / t^2 = sum of t^n / (n! (n + 2)); e^(t/2) twice, since e^t overflows first.
_EXPREL_SLOPE: Final = [1 / (factorial(n) * (n + 2)) for n in range(22)]


@kernel(space="special")
def exprel_slope(xp: Namespace, t: Raw) -> Raw:
    """The derivative of ``expm1(t) / t``."""
    near = xp.abs(t) < 1
    s = xp.where(near, t, xp.zeros_like(t))
    f = xp.where(near, xp.ones_like(t), t)
    e = xp.exp(f / 2)
    return xp.where(near, horner(_EXPREL_SLOPE, s), e * (e * ((1 - 1 / f) / f)) + 1 / f / f)


@kernel(space="special")
def log_ratio(xp: Namespace, x: Raw, y: Raw) -> Raw:
    """``log(x / y)``, exact near ``x == y`` and without overflow."""
    near = (x < 2 * y) & (y < 2 * x)
    a, b = xp.where(near, x, xp.ones_like(x)), xp.where(near, y, xp.ones_like(y))
    return xp.where(near, xp.log1p((a - b) / b), xp.log(x) - xp.log(y))


# The angle is reduced before it is multiplied by pi, exactly.
@kernel(space="special")
def sinpi(xp: Namespace, x: Raw) -> Raw:
    """``sin(pi * x)``."""
    r = x - 2 * xp.round(x / 2)
    return xp.sin(PI * xp.where(r > 0.5, 1 - r, xp.where(r < -0.5, -1 - r, r)))


@kernel(space="special")
def cospi(xp: Namespace, x: Raw) -> Raw:
    """``cos(pi * x)``."""
    r = x - 2 * xp.round(x / 2)
    return xp.where(xp.abs(r) < 0.25, xp.cos(PI * r), xp.sin(PI * xp.where(r > 0, 0.5 - r, 0.5 + r)))


# (cos t - sin(t)/t) / t with t = pi x; near 0 the series of s'(t) = (t cos t - sin t) / t^2, of odd powers.
_SINC_SLOPE: Final = [2 * k * (-1) ** k / factorial(2 * k + 1) for k in range(1, 13)]


# The quotients by x of odd functions: near 0 by their series in x^2. (They differentiate as they are written, and
# the quotients' own derivatives cancel near 0, the more the higher.)
_SIN_OVER: Final = [(-1) ** k / factorial(2 * k + 1) for k in range(14)]
_SINH_OVER: Final = [1 / factorial(2 * k + 1) for k in range(14)]


def over_argument(xp: Namespace, out: Raw, x: Raw, coefficients: Sequence[float], radius: float) -> Raw:
    """``out / x``, where ``abs(x) < radius`` by its series in ``x * x``."""
    near = xp.abs(x) < radius
    s = xp.where(near, x, xp.zeros_like(x))
    quotient = xp.where(near, xp.zeros_like(x), out) / xp.where(near, xp.ones_like(x), x)
    return xp.where(near, horner(coefficients, s * s), quotient)


@kernel(space="special")
def sin_over(xp: Namespace, x: Raw) -> Raw:
    """``sin(x) / x``, 1 at 0."""
    return over_argument(xp, xp.sin(x), x, _SIN_OVER, 1.0)


@kernel(space="special")
def sinh_over(xp: Namespace, x: Raw) -> Raw:
    """``sinh(x) / x``, 1 at 0."""
    return over_argument(xp, xp.sinh(x), x, _SINH_OVER, 1.0)


@kernel(space="special")
def sinc_slope(xp: Namespace, x: Raw) -> Raw:
    """The derivative of ``sin(pi x) / (pi x)``."""
    near = xp.abs(x) < 0.35
    t = PI * xp.where(near, x, xp.zeros_like(x))
    f = xp.where(near, xp.ones_like(x), x)
    far = (xp.special.cospi(f) - xp.special.sinpi(f) / (PI * f)) / f
    return xp.where(near, PI * t * horner(_SINC_SLOPE, t * t), far)


# x is split into two halves whose products are exact (Veltkamp), so that x^2 is known modulo 4.
@kernel(space="special")
def half_square(xp: Namespace, x: Raw) -> Raw:
    """``x**2 / 2`` less a multiple of 2: an angle in units of pi."""
    shift = 134217729.0 if xp.finfo(x.dtype).bits > 32 else 4097.0
    high = shift * x
    high = high - (high - x)
    low = x - high
    total = xp.zeros_like(x)
    for part in (high * high, 2 * high * low, low * low):
        total = total + (part - 4 * xp.round(part / 4))
    return total / 2


# -- error functions -----------------------------------------------------------------------------------


# erfcx' = 2 x erfcx - 2/sqrt(pi) cancels for large x, its own derivatives the more. The derivatives have the recurrence
# f^(n+1) = 2 x f^(n) + 2 n f^(n-1), of which they are the least solution (DLMF 7.18.7): the quotients f^(n)/f^(n-1) are
# -2n/(2x - the next one), a continued fraction of terms of one sign. 40 of them give 1e-15 from 3 on.
@kernel(space="special")
def erfcx_slope(xp: Namespace, out: Raw, x: Raw) -> Raw:
    """The derivative of erfcx at ``x``, where ``out`` is ``erfcx(x)``."""
    far = x > 3
    f = xp.where(far, x, xp.full_like(x, 3.0))
    quotient: Any = -1 / f
    for n in range(40, 0, -1):
        quotient = -n / (f - 0.5 * quotient)
    near = 2 * xp.where(far, xp.zeros_like(x), x) * xp.where(far, xp.zeros_like(x), out) - 2 / SQRT_PI
    return xp.where(far, xp.where(far, out, xp.zeros_like(x)) * quotient, near)


# 1 - 2 x dawsn(x) cancels for large x; there -w (1 + 3 w (1 + 5 w (1 + ...))) with w = 1/(2 x^2), the asymptotic series.
@kernel(space="special")
def dawsn_slope(xp: Namespace, out: Raw, x: Raw) -> Raw:
    """The derivative of dawsn, where ``out`` is ``dawsn(x)``."""
    far = xp.abs(x) > 6.5
    f = xp.where(far, x, xp.full_like(x, 6.5))
    w = 0.5 / f / f
    series: Any = 1.0
    for n in range(36, 0, -1):
        series = 1 + (2 * n + 1) * w * series
    near = 1 - 2 * xp.where(far, xp.zeros_like(x), x) * xp.where(far, xp.zeros_like(x), out)
    return xp.where(far, -w * series, near)


@kernel(space="special")
def log_ndtr_slope(xp: Namespace, x: Raw) -> Raw:
    """The derivative of log_ndtr, ``pdf(x) / cdf(x)``: below 0 as ``sqrt(2/pi) / erfcx(-x / sqrt(2))``."""
    above = x > 0
    p = xp.where(above, x, xp.zeros_like(x))
    n = xp.where(above, xp.zeros_like(x), x)
    right = 0.39894228040143267794 * xp.exp(-p * p / 2) / xp.special.ndtr(p)
    return xp.where(above, right, 0.79788456080286535588 / xp.special.erfcx(n * -0.70710678118654752440))


# -- the gamma function --------------------------------------------------------------------------------

_STIRLING: Final = [1 / 12, -1 / 360, 1 / 1260, -1 / 1680, 1 / 1188, -691 / 360360, 1 / 156]
DIGAMMA: Final = [0.0, 1 / 12, -1 / 120, 1 / 252, -1 / 240, 1 / 132, -691 / 32760, 1 / 12]


@kernel(space="special")
def stirling_rest(xp: Namespace, a: Raw) -> Raw:
    """``gammaln(a) - ((a - 1/2) log(a) - a + log(2 pi) / 2)``, what Stirling's formula leaves out, for ``a > 0``."""
    large = a >= 16
    b = xp.where(large, a, xp.full_like(a, 16.0))
    s = xp.where(large, xp.ones_like(a), a)
    direct = xp.special.gammaln(s) - (s - 0.5) * xp.log(s) + s - HALF_LOG_2PI
    return xp.where(large, horner(_STIRLING, 1 / b / b) / b, direct)


@kernel(space="special")
def digamma_gap(xp: Namespace, x: Raw, d: Raw) -> Raw:
    """``digamma(x + d) - digamma(x)``, exact for small steps too where both arguments are positive.

    Ten steps up by ``digamma(x + 1) - digamma(x) = 1/x``, then the asymptotic series, whose terms are differenced by
    divided differences: every part is proportional to ``d``.
    """
    low = xp.where(d < 0, x + d, x)
    positive = low > 0
    step = xp.where(d < 0, -d, d)
    a = xp.where(positive, low, xp.ones_like(low))
    total = xp.zeros_like(a + step)
    for k in range(10):
        total = total + step / (a + k + step) / (a + k)
    u = 1 / (a + 10)
    v = 1 / (a + 10 + step)
    p: Any = DIGAMMA[-1]
    quotient: Any = 0.0
    for c in reversed(DIGAMMA[:-1]):
        quotient = quotient * (v * v) + p
        p = p * (u * u) + c
    slope = 0.5 + (u + v) * quotient
    total = total + xp.log1p(step * u) + step * v * u * slope
    free = xp.where(positive, xp.full_like(low, 0.5), x)
    other = xp.special.digamma(free + xp.where(positive, xp.zeros_like(low), d)) - xp.special.digamma(free)
    return xp.where(positive, xp.where(d < 0, -total, total), other)


@kernel(space="special")
def trigamma(xp: Namespace, x: Raw) -> Raw:
    """The derivative of digamma; left of 0 by reflection (SciPy's polygamma counts up from there, one by one)."""
    left = x < 0
    r = xp.where(left, 1 - x, x)
    s = xp.where(left, x, xp.full_like(x, 0.5))
    root = PI / xp.special.sinpi(s)
    value = xp.special.polygamma(1, r)
    return xp.where(left, root * root - value, value)


@kernel(space="special")
def log_beta(xp: Namespace, a: Raw, b: Raw) -> Raw:
    """``betaln(a, b)`` for positive arguments, with an error of 1e-14 of the result's *size*: no large terms cancel."""
    first = a >= b  # not maximum and minimum: these share their slopes at ties
    p, q = xp.where(first, a, b), xp.where(first, b, a)
    large = p >= 16
    h = xp.where(large, p, xp.full_like(p, 16.0))
    both = q >= 16
    k = xp.where(both, q, xp.full_like(q, 16.0))
    s = xp.where(both, xp.ones_like(q), q)
    rest = xp.special.stirling_rest
    # log gamma(h) - log gamma(h + q)
    tail = rest(h) - rest(h + q) - (h - 0.5) * xp.log1p(q / h)
    one = xp.special.gammaln(s) - q * xp.log(h + q) + q
    two = rest(k) + q * xp.log(k / (h + k)) - 0.5 * xp.log(k) + HALF_LOG_2PI
    x, y = xp.where(large, xp.ones_like(p), p), xp.where(large, xp.ones_like(q), q)
    small = xp.special.gammaln(x) + xp.special.gammaln(y) - xp.special.gammaln(x + y)
    return xp.where(large, tail + xp.where(both, two, one), small)


# x^(a-1) e^-x / gamma(a), the power as such: its derivatives are right at x = 0. For large a both factors are huge: by
# Stirling's formula the logarithm is a (log1p(m) - m) with m = (x - a)/a, and what is left is small (Loader 2000, "Fast
# and accurate computation of binomial probabilities").
@kernel(space="special")
def gamma_density(xp: Namespace, a: Raw, x: Raw) -> Raw:
    """The derivative of ``gammainc(a, x)`` by ``x``."""
    large = a >= 16
    # the density and its first 15 derivatives are 0 at the ends of large a, all of them far to the right of small a
    nothing = xp.where(large, (x == 0) | (x == float("inf")), x > 2000)
    x = xp.where(nothing, xp.ones_like(x), x)
    s, b = xp.where(large, xp.ones_like(a), a), xp.where(large, a, xp.full_like(a, 16.0))
    direct = xp.pow(xp.where(large, xp.ones_like(x), x), s - 1) * xp.exp(-x - xp.special.gammaln(s))
    x = xp.where(large, x, b)
    m = (x - b) / b
    low = x < b / 2
    y = xp.where(low, x, b)
    z = xp.where(low, b, x)
    peak = xp.where(low, (b - 1) * xp.log(y / b) - b * m - xp.log(b),
                    b * xp.special.log1pmx(xp.where(low, xp.zeros_like(m), m)) - xp.log(z))  # fmt: skip
    stirling = peak + 0.5 * xp.log(b) - HALF_LOG_2PI - xp.special.stirling_rest(b)
    density = xp.where(large, xp.exp(stirling), direct)
    return xp.where(nothing, xp.zeros_like(density), density)


# x^(a-1) y^(b-1) / B(a, b) with y = 1 - x, of which one may be rounded: the larger one's logarithm is taken from
# the smaller. For large a and b as above, with n = a + b: a log(x n / a) + b log(y n / b) and no large terms.
@kernel(space="special")
def beta_density(xp: Namespace, a: Raw, b: Raw, x: Raw, y: Raw) -> Raw:
    """The derivative of ``betainc(a, b, x)`` by ``x``, where ``y`` is ``1 - x``."""
    flip = x > y
    low = xp.where(flip, y, x)
    end = low == 0
    log_low, log_high = xp.log(xp.where(end, xp.ones_like(low), low)), xp.log1p(-low)
    log_x, log_y = xp.where(flip, log_high, log_low), xp.where(flip, log_low, log_high)
    large = xp.minimum(a, b) >= 16
    p, q = xp.where(large, xp.ones_like(a), a), xp.where(large, xp.ones_like(b), b)
    # small exponents as powers, whose derivatives are right at the ends; large ones as exponentials, which are 0 there
    by_x, by_y = p < 16, q < 16
    none = (p == 0) | (q == 0) | ((x == 0) & ~by_x) | ((y == 0) & ~by_y)
    one = xp.ones_like(x)
    powers = xp.pow(xp.where(by_x & ~none, x, one), xp.where(by_x, p - 1, one)) * xp.pow(
        xp.where(by_y & ~none, y, one), xp.where(by_y, q - 1, one)
    )
    nothing = xp.zeros_like(log_x)
    logs = xp.where(by_x, nothing, (p - 1) * log_x) + xp.where(by_y, nothing, (q - 1) * log_y)
    direct = xp.where(none, nothing, powers * xp.exp(logs - xp.special.log_beta(p, q)))
    x, y = xp.where(end, xp.full_like(x, 0.5), x), xp.where(end, xp.full_like(y, 0.5), y)
    p, q = xp.where(large, a, xp.full_like(a, 16.0)), xp.where(large, b, xp.full_like(b, 16.0))
    n = p + q
    d = x * q - y * p
    one, two = _deviance(xp, p, d / p, x * n / p, log_x, n), _deviance(xp, q, -d / q, y * n / q, log_y, n)
    rest = xp.special.stirling_rest
    scale = 0.5 * xp.log(p / n) + 0.5 * xp.log(q) - HALF_LOG_2PI - rest(p) - rest(q) + rest(n)
    stirling = one + two + scale
    return xp.where(large, xp.where(end, xp.zeros_like(stirling), xp.exp(stirling)), direct)


def _deviance(xp: Namespace, a: Raw, u: Raw, ratio: Raw, log: Raw, n: Raw) -> Raw:
    """``a log(ratio) - a u - log``, where ratio = 1 + u, and log is the logarithm of ``ratio a / n``."""
    low = ratio < 0.5
    r, v = xp.where(low, ratio, xp.ones_like(u)), xp.where(low, xp.zeros_like(u), u)
    return xp.where(low, (a - 1) * xp.log(r) - a * u + xp.log(n / a),
                    a * xp.special.log1pmx(v) - xp.where(low, xp.zeros_like(log), log))  # fmt: skip
