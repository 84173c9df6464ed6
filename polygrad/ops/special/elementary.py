"""Logarithms, powers and losses with their limits taken, and the logistic function."""

from __future__ import annotations

from typing import Final

from ...core.kernels import kernel
from ...typing import Namespace, Raw
from .declare import special

__all__ = [
    "boxcox",
    "boxcox1p",
    "cbrt",
    "cosdg",
    "cosm1",
    "cotdg",
    "entr",
    "exp2",
    "exp10",
    "expit",
    "exprel",
    "huber",
    "inv_boxcox",
    "inv_boxcox1p",
    "kl_div",
    "log_expit",
    "logit",
    "powm1",
    "pseudo_huber",
    "radian",
    "rel_entr",
    "sinc",
    "sindg",
    "softplus",
    "tandg",
    "xlog1py",
    "xlogy",
]  # fmt: skip

LN2: Final = 0.69314718055994530942
LN10: Final = 2.30258509299404568402
DEGREE: Final = 0.01745329251994329577

# -- the logistic function -----------------------------------------------------------------------------


@special(lambda xp, x: xp.sigmoid_slope(x))
def expit(xp: Namespace, x: Raw, /) -> Raw:
    """The logistic function ``1 / (1 + exp(-x))``; its derivative is exact in both tails."""
    return xp.special.expit(x)


@special(lambda xp, x: 1 / (x * (1 - x)))
def logit(xp: Namespace, x: Raw, /) -> Raw:
    """``log(x / (1 - x))``, the inverse of :func:`expit`; its derivative is inf at 0 and 1."""
    return xp.special.logit(x)


@special(lambda xp, x: xp.special.expit(-x))
def log_expit(xp: Namespace, x: Raw, /) -> Raw:
    """``log(expit(x))`` without underflow."""
    return xp.special.log_expit(x)


@special(lambda xp, x: xp.special.expit(x))
def softplus(xp: Namespace, x: Raw, /) -> Raw:
    """``log(1 + exp(x))`` without overflow; its derivative is :func:`expit`."""
    return xp.special.softplus(x)


@kernel(space="special")
def _expit(xp: Namespace, x: Raw) -> Raw:
    return xp.sigmoid(x)


@kernel(space="special")
def _logit(xp: Namespace, x: Raw) -> Raw:
    return xp.log(x) - xp.log1p(-x)


@kernel(space="special")
def _softplus(xp: Namespace, x: Raw) -> Raw:
    return xp.maximum(x, xp.zeros_like(x)) + xp.log1p(xp.exp(-xp.abs(x)))


@kernel(space="special")
def _log_expit(xp: Namespace, x: Raw) -> Raw:
    return xp.minimum(x, xp.zeros_like(x)) - xp.log1p(xp.exp(-xp.abs(x)))


# -- x log y -------------------------------------------------------------------------------------------
# At x = 0 the value is 0 whatever y is: by x the slope is log(y), by y it is 0, for y = 0 too.


@special(lambda xp, y: xp.log(y), lambda xp, x, y: x / xp.where((x == 0) & (y == 0), xp.ones_like(y), y))
def xlogy(xp: Namespace, x: Raw, y: Raw, /) -> Raw:
    """``x * log(y)``, 0 where ``x`` is.

    >>> import polygrad as pg
    >>> pg.grad(lambda y: pg.special.xlogy(0.0, y))(0.0)
    0.0
    """
    return xp.special.xlogy(x, y)


@special(lambda xp, y: xp.log1p(y), lambda xp, x, y: x / xp.where((x == 0) & (y == -1), xp.ones_like(y), 1 + y))
def xlog1py(xp: Namespace, x: Raw, y: Raw, /) -> Raw:
    """``x * log1p(y)``, 0 where ``x`` is."""
    return xp.special.xlog1py(x, y)


@kernel(space="special")
def _xlogy(xp: Namespace, x: Raw, y: Raw) -> Raw:
    zero = (x == 0) & (y == y)
    made = x * xp.log(xp.where(zero, xp.ones_like(y), y))
    return xp.where(zero, xp.zeros_like(made), made)


@kernel(space="special")
def _xlog1py(xp: Namespace, x: Raw, y: Raw) -> Raw:
    zero = (x == 0) & (y == y)
    made = x * xp.log1p(xp.where(zero, xp.zeros_like(y), y))
    return xp.where(zero, xp.zeros_like(made), made)


@special(lambda xp, x: -xp.log(x) - 1)
def entr(xp: Namespace, x: Raw, /) -> Raw:
    """The entropy ``-x * log(x)``: 0 at 0, where its derivative is inf; -inf below."""
    return xp.special.entr(x)


@kernel(space="special")
def _entr(xp: Namespace, x: Raw) -> Raw:
    return xp.where(x < 0, xp.full_like(x, -float("inf")), -xp.special.xlogy(x, xp.where(x < 0, xp.ones_like(x), x)))


def _minus_ratio(xp: Namespace, x: Raw, y: Raw) -> Raw:
    return -x / xp.where((x == 0) & (y == 0), xp.ones_like(y), y)


@special(lambda xp, x, y: xp.special.log_ratio(x, y) + 1, _minus_ratio)
def rel_entr(xp: Namespace, x: Raw, y: Raw, /) -> Raw:
    """``x * log(x / y)``, 0 at ``x == 0``, inf outside of the first quadrant."""
    return xp.special.rel_entr(x, y)


def _kl_second(xp: Namespace, x: Raw, y: Raw) -> Raw:
    return (y - x) / xp.where((x == 0) & (y == 0), xp.ones_like(y), y)


@special(lambda xp, x, y: xp.special.log_ratio(x, y), _kl_second)
def kl_div(xp: Namespace, x: Raw, y: Raw, /) -> Raw:
    """``x * log(x / y) - x + y``, inf outside of the first quadrant."""
    return xp.special.kl_div(x, y)


@kernel(space="special")
def _rel_entr(xp: Namespace, x: Raw, y: Raw) -> Raw:
    inside = (x > 0) & (y > 0)
    a, b = xp.where(inside, x, xp.ones_like(x)), xp.where(inside, y, xp.ones_like(y))
    nothing = (x == 0) & (y >= 0)
    made = xp.where(nothing, xp.zeros_like(a * b), xp.full_like(a * b, float("inf")))
    made = xp.where(inside, a * xp.special.log_ratio(a, b), made)
    return xp.where((x != x) | (y != y), x + y, made)


@kernel(space="special")
def _kl_div(xp: Namespace, x: Raw, y: Raw) -> Raw:
    inside = (x > 0) & (y > 0)
    a, b = xp.where(inside, x, xp.ones_like(x)), xp.where(inside, y, xp.ones_like(y))
    nothing = (x == 0) & (y >= 0)
    made = xp.where(nothing, y + 0 * x, xp.full_like(a * b, float("inf")))
    # a log(a / b) - a + b = -a (log1p(u) - u) with u = (b - a) / a, small near a == b
    near = (a < 2 * b) & (b < 2 * a)
    u = (b - a) / xp.where(near, a, xp.ones_like(a))
    close = -a * xp.special.log1pmx(xp.where(near, u, xp.zeros_like(u)))
    made = xp.where(inside, xp.where(near, close, a * xp.special.log_ratio(a, b) - a + b), made)
    return xp.where((x != x) | (y != y), x + y, made)


# -- losses --------------------------------------------------------------------------------------------


@special(
    lambda xp, delta, r: xp.where(xp.abs(r) <= delta, xp.zeros_like(r), xp.abs(r) - delta),
    lambda xp, delta, r: xp.where(xp.abs(r) <= delta, r, delta * xp.sign(r)),
)
def huber(xp: Namespace, delta: Raw, r: Raw, /) -> Raw:
    """Huber's loss: ``r**2 / 2`` where ``abs(r) <= delta``, ``delta * (abs(r) - delta / 2)`` beyond; inf for negative
    ``delta``."""
    return xp.special.huber(delta, r)


@kernel(space="special")
def _huber(xp: Namespace, delta: Raw, r: Raw) -> Raw:
    size = xp.abs(r)
    made = xp.where(size <= delta, r * r / 2, delta * (size - delta / 2))
    return xp.where(delta < 0, xp.full_like(made, float("inf")), made)


# With h = hypot(delta, r), sqrt(1 + (r/delta)^2) = h/delta: the slopes are delta r / h and r (r/(delta + h))^2 r/h.
def _pseudo_huber_delta(xp: Namespace, delta: Raw, r: Raw) -> Raw:
    h = xp.hypot(delta, r)
    h = xp.where(h == 0, xp.ones_like(h), h)
    part = r / (delta + h)
    return r * part * part * (r / h)


def _pseudo_huber_r(xp: Namespace, delta: Raw, r: Raw) -> Raw:
    h = xp.hypot(delta, r)
    h = xp.where(h == 0, xp.ones_like(h), h)
    inside = xp.abs(r) < delta
    return xp.where(inside, r, delta) * (xp.where(inside, delta, r) / h)


@special(_pseudo_huber_delta, _pseudo_huber_r)
def pseudo_huber(xp: Namespace, delta: Raw, r: Raw, /) -> Raw:
    """``delta**2 * (sqrt(1 + (r / delta)**2) - 1)``, smooth everywhere; inf for negative ``delta``."""
    return xp.special.pseudo_huber(delta, r)


@kernel(space="special")
def _pseudo_huber(xp: Namespace, delta: Raw, r: Raw) -> Raw:
    h = xp.hypot(delta, r)
    made = delta * r * (r / xp.where(h == 0, xp.ones_like(h), delta + h))
    return xp.where(delta < 0, xp.full_like(made, float("inf")), made)


# -- powers --------------------------------------------------------------------------------------------


@special(lambda xp, out: LN2 * out)
def exp2(xp: Namespace, x: Raw, /) -> Raw:
    """``2 ** x``."""
    return xp.special.exp2(x)


@special(lambda xp, out: LN10 * out)
def exp10(xp: Namespace, x: Raw, /) -> Raw:
    """``10 ** x``."""
    return xp.special.exp10(x)


@kernel(space="special")
def _exp2(xp: Namespace, x: Raw) -> Raw:
    return xp.pow(xp.full_like(x, 2.0), x)


@kernel(space="special")
def _exp10(xp: Namespace, x: Raw) -> Raw:
    return xp.pow(xp.full_like(x, 10.0), x)


@special(lambda xp, out: 1 / (3 * out * out))
def cbrt(xp: Namespace, x: Raw, /) -> Raw:
    """The real cube root; its derivative is inf at 0."""
    return xp.special.cbrt(x)


@special(lambda xp, x: xp.special.exprel_slope(x))
def exprel(xp: Namespace, x: Raw, /) -> Raw:
    """``(exp(x) - 1) / x``, 1 at 0."""
    return xp.special.exprel(x)


@kernel(space="special")
def _exprel(xp: Namespace, x: Raw) -> Raw:
    zero = x == 0
    return xp.where(zero, xp.ones_like(x), xp.expm1(x) / xp.where(zero, xp.ones_like(x), x))


# As pow's slopes are: x^y log(x) is 0 at x = 0 for y >= 0.
def _powm1_second(xp: Namespace, out: Raw, x: Raw, y: Raw) -> Raw:
    zero = (x == 0) & (y >= 0)
    return xp.where(zero, xp.zeros_like(out), out + 1) * xp.log(xp.where(zero, xp.ones_like(x), x))


def _powm1_first(xp: Namespace, x: Raw, y: Raw) -> Raw:
    zero = (x == 0) & (y == 0)
    return y * xp.pow(xp.where(zero, xp.ones_like(x), x), y - 1)


@special(_powm1_first, _powm1_second)
def powm1(xp: Namespace, x: Raw, y: Raw, /) -> Raw:
    """``x ** y - 1``, exact near 0."""
    return xp.special.powm1(x, y)


# ((x^l - 1) / l) = L exprel(l L) with L = log(x): by l, L^2 exprel'(l L), which is right at l = 0 too.
# Where L is -inf, the value is -1/l for positive l.
def _boxcox_rate(xp: Namespace, log: Raw, lmbda: Raw) -> Raw:
    end = (log == -float("inf")) & (lmbda > 0)
    s, p = xp.where(end, xp.zeros_like(log), log), xp.where(end, lmbda, xp.ones_like(lmbda))
    return xp.where(end, 1 / (p * p), s * (s * xp.special.exprel_slope(lmbda * s)))


@special(
    lambda xp, x, lmbda: xp.pow(x, lmbda - 1),
    lambda xp, x, lmbda: _boxcox_rate(xp, xp.log(x), lmbda),
)
def boxcox(xp: Namespace, x: Raw, lmbda: Raw, /) -> Raw:
    """``(x**lmbda - 1) / lmbda``, ``log(x)`` at ``lmbda == 0``."""
    return xp.special.boxcox(x, lmbda)


@special(
    lambda xp, x, lmbda: xp.exp((lmbda - 1) * xp.log1p(x)),
    lambda xp, x, lmbda: _boxcox_rate(xp, xp.log1p(x), lmbda),
)
def boxcox1p(xp: Namespace, x: Raw, lmbda: Raw, /) -> Raw:
    """``((1 + x)**lmbda - 1) / lmbda``, ``log1p(x)`` at ``lmbda == 0``."""
    return xp.special.boxcox1p(x, lmbda)


@kernel(space="special")
def _boxcox(xp: Namespace, x: Raw, lmbda: Raw) -> Raw:
    log = xp.log(x)
    return log * xp.special.exprel(lmbda * log)


@kernel(space="special")
def _boxcox1p(xp: Namespace, x: Raw, lmbda: Raw) -> Raw:
    log = xp.log1p(x)
    return log * xp.special.exprel(lmbda * log)


# d/dl log1p(l y)/l = (p/(1+p) - log1p(p)) / l^2 with p = l y; and p/(1+p) - log1p(p) = log1p(-w) + w with
# w = p/(1+p), which for small p is (y/(1+p))^2 times something regular at 0.
@kernel(space="special")
def inv_boxcox_rate(xp: Namespace, y: Raw, lmbda: Raw) -> Raw:
    """The derivative of ``log1p(lmbda * y) / lmbda`` by ``lmbda``."""
    p = lmbda * y
    near = (p < 0.5) & (p > -0.25)
    s = xp.where(near, p, xp.zeros_like(p))
    f = xp.where(near, xp.ones_like(p), p)
    ratio = y / (1 + s)
    scale = xp.where(near, xp.ones_like(p), lmbda + 0 * y)
    far = (f / (1 + f) - xp.log1p(f)) / scale / scale
    return xp.where(near, ratio * (ratio * xp.special.log1pmx_over_square(-s / (1 + s))), far)


# (1 + p)^(1/l - 1): the quotient is 0/0 where p is -1.
def _inv_boxcox_slope(xp: Namespace, power: Raw, y: Raw, lmbda: Raw) -> Raw:
    base = 1 + lmbda * y
    end = (base == 0) & (lmbda != 0)
    exponent = 1 / xp.where(end, lmbda, xp.ones_like(base)) - 1
    at_end = xp.pow(xp.where(end, base, xp.ones_like(base)), exponent)
    return xp.where(end, at_end, xp.where(end, xp.ones_like(base), power) / xp.where(end, xp.ones_like(base), base))


# By l at the end, where the logarithm is infinite: the first term of y/(l (1 + p)) - log1p(p)/l^2, times the power.
def _inv_boxcox_by_lmbda(xp: Namespace, power: Raw, y: Raw, lmbda: Raw) -> Raw:
    base = 1 + lmbda * y
    end = (base == 0) & (lmbda != 0)
    s, p = xp.where(end, xp.zeros_like(base), y), xp.where(end, lmbda, xp.ones_like(base))
    inside = xp.where(end, xp.ones_like(power), power) * xp.special.inv_boxcox_rate(s, lmbda + 0 * s)
    return xp.where(end, y / p * xp.pow(xp.where(end, base, xp.ones_like(base)), 1 / p - 1), inside)


@special(
    lambda xp, out, y, lmbda: _inv_boxcox_slope(xp, out, y, lmbda),
    lambda xp, out, y, lmbda: _inv_boxcox_by_lmbda(xp, out, y, lmbda),
)
def inv_boxcox(xp: Namespace, y: Raw, lmbda: Raw, /) -> Raw:
    """The inverse of :func:`boxcox`: ``(1 + lmbda * y) ** (1 / lmbda)``, ``exp(y)`` at ``lmbda == 0``."""
    return xp.special.inv_boxcox(y, lmbda)


@special(
    lambda xp, y, lmbda: _inv_boxcox_slope(xp, xp.special.inv_boxcox(y, lmbda), y, lmbda),
    lambda xp, y, lmbda: _inv_boxcox_by_lmbda(xp, xp.special.inv_boxcox(y, lmbda), y, lmbda),
)
def inv_boxcox1p(xp: Namespace, y: Raw, lmbda: Raw, /) -> Raw:
    """The inverse of :func:`boxcox1p`: :func:`inv_boxcox` less 1."""
    return xp.special.inv_boxcox1p(y, lmbda)


@kernel(space="special")
def _inv_boxcox(xp: Namespace, y: Raw, lmbda: Raw) -> Raw:
    zero = lmbda == 0
    safe = xp.where(zero, xp.ones_like(lmbda), lmbda)
    return xp.exp(xp.where(zero, y + 0 * lmbda, xp.log1p(safe * y) / safe))


@kernel(space="special")
def _inv_boxcox1p(xp: Namespace, y: Raw, lmbda: Raw) -> Raw:
    zero = lmbda == 0
    safe = xp.where(zero, xp.ones_like(lmbda), lmbda)
    return xp.expm1(xp.where(zero, y + 0 * lmbda, xp.log1p(safe * y) / safe))


# -- angles --------------------------------------------------------------------------------------------


@special(lambda xp, x: xp.special.sinc_slope(x))
def sinc(xp: Namespace, x: Raw, /) -> Raw:
    """``sin(pi x) / (pi x)``, 1 at 0."""
    return xp.special.sinc(x)


@kernel(space="special")
def _sinc(xp: Namespace, x: Raw) -> Raw:
    zero = x == 0
    t = 3.14159265358979323846 * xp.where(zero, xp.ones_like(x), x)
    return xp.where(zero, xp.ones_like(x), xp.sin(t) / t)


@special(lambda xp, x: -xp.sin(x))
def cosm1(xp: Namespace, x: Raw, /) -> Raw:
    """``cos(x) - 1``, exact near 0."""
    return xp.special.cosm1(x)


@special(lambda xp, x: DEGREE * xp.special.cosdg(x))
def sindg(xp: Namespace, x: Raw, /) -> Raw:
    """The sine of an angle in degrees."""
    return xp.special.sindg(x)


@special(lambda xp, x: -DEGREE * xp.special.sindg(x))
def cosdg(xp: Namespace, x: Raw, /) -> Raw:
    """The cosine of an angle in degrees."""
    return xp.special.cosdg(x)


@special(lambda xp, x: DEGREE / (xp.special.cosdg(x) * xp.special.cosdg(x)))
def tandg(xp: Namespace, x: Raw, /) -> Raw:
    """The tangent of an angle in degrees."""
    return xp.special.tandg(x)


@special(lambda xp, x: -DEGREE / (xp.special.sindg(x) * xp.special.sindg(x)))
def cotdg(xp: Namespace, x: Raw, /) -> Raw:
    """The cotangent of an angle in degrees."""
    return xp.special.cotdg(x)


@special(
    lambda xp, out: xp.full_like(out, DEGREE),
    lambda xp, out: xp.full_like(out, DEGREE / 60),
    lambda xp, out: xp.full_like(out, DEGREE / 3600),
)
def radian(xp: Namespace, d: Raw, m: Raw, s: Raw, /) -> Raw:
    """An angle of ``d`` degrees, ``m`` minutes and ``s`` seconds in radians."""
    return xp.special.radian(d, m, s)


# -- where a library has none of its own (CuPy) ------------------------------------------------------------


@kernel(space="special")
def _powm1(xp: Namespace, x: Raw, y: Raw) -> Raw:
    positive = x > 0
    exponent = y * xp.log(xp.where(positive, x, xp.ones_like(x)))
    near = positive & (xp.abs(exponent) < 0.5)
    return xp.where(near, xp.expm1(xp.where(near, exponent, xp.zeros_like(exponent))), xp.pow(x, y) - 1)
