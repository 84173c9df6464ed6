"""The incomplete gamma and beta functions, their inverses, and the distributions made of them."""

from __future__ import annotations

from collections.abc import Callable

from ...core.kernels import kernel
from ...typing import Namespace, Raw
from . import parameters as parameters
from .declare import COUNTS, FLAT, special
from .kernels import HALF_LOG_2PI, like

__all__ = [
    "bdtr", "bdtrc", "bdtri", "betainc", "betaincc", "betainccinv", "betaincinv", "chdtr", "chdtrc", "chdtri", "fdtr",
    "fdtrc", "fdtri", "gammainc", "gammaincc", "gammainccinv", "gammaincinv", "gdtr", "gdtrc", "nbdtr", "nbdtrc",
    "nbdtri", "pdtr", "pdtrc", "pdtri", "stdtr", "stdtrit",
]  # fmt: skip

# -- gamma: P(a, x), its complement and inverses -------------------------------------------------------
# By x the slope is the density, by a it is gammainc_rate (parameters.py); an inverse x(a, y) has 1/density by y and
# -rate/density by a.


def _gamma_over(xp: Namespace, a: Raw, x: Raw) -> Raw:
    """The slope of the inverse by ``a``: 0 at the ends, which are the same for all."""
    end = (x == 0) | (x == float("inf"))
    s = xp.where(end, xp.ones_like(x), x)
    slope = -xp.special.gammainc_rate(a, s) / xp.special.gamma_density(a, s)
    return xp.where(end, xp.zeros_like(slope), slope)


@special(lambda xp, a, x: xp.special.gammainc_rate(a, x), lambda xp, a, x: xp.special.gamma_density(a, x))
def gammainc(xp: Namespace, a: Raw, x: Raw, /) -> Raw:
    """The regularised lower incomplete gamma function, differentiable by both arguments.

    >>> import polygrad as pg
    >>> pg.grad(pg.special.gammainc, argnums=(0, 1))(1.0, 1.0)
    (-0.43172..., 0.36787...)
    """
    return xp.special.gammainc(a, x)


@special(lambda xp, a, x: -xp.special.gammainc_rate(a, x), lambda xp, a, x: -xp.special.gamma_density(a, x))
def gammaincc(xp: Namespace, a: Raw, x: Raw, /) -> Raw:
    """The regularised upper incomplete gamma function, ``1 - gammainc(a, x)``."""
    return xp.special.gammaincc(a, x)


# Next to an end where the density is infinite an inverse is u + c u^2 + d u^3 + ... with u = (scale y)^(1/a), and so is
# its slope there (DLMF 8.17.24 and 8.11.4 reverted): 1 over the density cancels, and at the end itself is no function of
# the value.
def _inverse_slope(
    xp: Namespace, y: Raw, a: Raw, scale: Raw, terms: tuple[Raw, Raw], density: Callable[[Raw], Raw], x: Raw
) -> Raw:
    """The slope of an inverse whose value is ``x`` by ``y``, the distance from the end; ``terms`` are c and d."""
    one = xp.ones_like(x * y * a)
    small = (y >= 0) & (a < 1)
    p, t = 1 / xp.where(small, a, one), xp.where(small, y * scale, one)
    near = small & (xp.pow(t, p) < 1e-5)
    t = xp.where(near, t, one)
    (c, d), first = terms, p * scale
    series = first * (xp.pow(t, p - 1) + 2 * c * xp.pow(t, 2 * p - 1) + 3 * d * xp.pow(t, 3 * p - 1))
    return xp.where(near, series, 1 / density(xp.where(near, 0.5 * one, x)))


def _gammaincinv_slope(xp: Namespace, out: Raw, a: Raw, y: Raw) -> Raw:
    """By ``y``, the lower tail."""
    scale = xp.exp(xp.special.gammaln(a + 1))
    terms = 1 / (a + 1), (3 * a + 5) / (2 * (a + 1) * (a + 1) * (a + 2))
    return _inverse_slope(xp, y, a, scale, terms, lambda x: xp.special.gamma_density(a, x), out)


@special(lambda xp, out, a: _gamma_over(xp, a, out), lambda xp, out, a, y: _gammaincinv_slope(xp, out, a, y))
def gammaincinv(xp: Namespace, a: Raw, y: Raw, /) -> Raw:
    """The inverse of :func:`gammainc` in its second argument."""
    return xp.special.gammaincinv(a, y)


@special(lambda xp, out, a: _gamma_over(xp, a, out), lambda xp, out, a, y: -_gammaincinv_slope(xp, out, a, 1 - y))
def gammainccinv(xp: Namespace, a: Raw, y: Raw, /) -> Raw:
    """The inverse of :func:`gammaincc` in its second argument."""
    return xp.special.gammainccinv(a, y)


# gdtr(a, b, x) = P(b, a x)
def _scaled(xp: Namespace, a: Raw, x: Raw) -> Raw:
    """``a * x``, where x is infinite without a slope by ``a``."""
    infinite = xp.isinf(x)
    return xp.where(infinite, x + 0 * a, a * xp.where(infinite, xp.zeros_like(x), x))


# x times the density; where that is infinite, at x = 0 for b < 1, as b/a times the density of b + 1.
def _gdtr_by_rate(xp: Namespace, a: Raw, b: Raw, x: Raw) -> Raw:
    moved = (x == 0) & (b < 1) & (a != 0)
    infinite = xp.isinf(x)
    s = xp.where(infinite, xp.ones_like(x), x)
    density = xp.special.gamma_density(xp.where(moved, b + 1, b), a * s)
    factor = xp.where(moved, b / xp.where(moved, a, xp.ones_like(a)), s)
    return xp.where(infinite, xp.zeros_like(density), factor * density)


@special(
    lambda xp, a, b, x: _gdtr_by_rate(xp, a, b, x),
    lambda xp, a, b, x: xp.special.gammainc_rate(b, _scaled(xp, a, x)),
    lambda xp, a, b, x: a * xp.special.gamma_density(b, _scaled(xp, a, x)),
)
def gdtr(xp: Namespace, a: Raw, b: Raw, x: Raw, /) -> Raw:
    """The gamma distribution's cumulative function, of rate ``a`` and shape ``b``."""
    return xp.special.gdtr(a, b, x)


@special(
    lambda xp, a, b, x: -_gdtr_by_rate(xp, a, b, x),
    lambda xp, a, b, x: -xp.special.gammainc_rate(b, _scaled(xp, a, x)),
    lambda xp, a, b, x: -a * xp.special.gamma_density(b, _scaled(xp, a, x)),
)
def gdtrc(xp: Namespace, a: Raw, b: Raw, x: Raw, /) -> Raw:
    """``1 - gdtr(a, b, x)``."""
    return xp.special.gdtrc(a, b, x)


# chdtr(v, x) = P(v/2, x/2)
@special(
    lambda xp, v, x: xp.special.gammainc_rate(v / 2, x / 2) / 2,
    lambda xp, v, x: xp.special.gamma_density(v / 2, x / 2) / 2,
)
def chdtr(xp: Namespace, v: Raw, x: Raw, /) -> Raw:
    """The chi-square distribution's cumulative function, of ``v`` degrees of freedom."""
    return xp.special.chdtr(v, x)


@special(
    lambda xp, v, x: -xp.special.gammainc_rate(v / 2, x / 2) / 2,
    lambda xp, v, x: -xp.special.gamma_density(v / 2, x / 2) / 2,
)
def chdtrc(xp: Namespace, v: Raw, x: Raw, /) -> Raw:
    """``1 - chdtr(v, x)``."""
    return xp.special.chdtrc(v, x)


@special(
    lambda xp, out, v: _gamma_over(xp, v / 2, out / 2),
    lambda xp, out, v, p: -2 * _gammaincinv_slope(xp, out / 2, v / 2, 1 - p),
)
def chdtri(xp: Namespace, v: Raw, p: Raw, /) -> Raw:
    """The inverse of :func:`chdtrc` in its second argument."""
    return xp.special.chdtri(v, p)


# pdtr(k, m) = Q(floor(k) + 1, m)
@special(FLAT, lambda xp, k, m: -_poisson(xp, k, m))
def pdtr(xp: Namespace, k: Raw, m: Raw, /) -> Raw:
    """The Poisson distribution's cumulative function: at most ``k`` events, where ``m`` are expected."""
    return xp.special.pdtr(k, m)


@special(FLAT, lambda xp, k, m: _poisson(xp, k, m))
def pdtrc(xp: Namespace, k: Raw, m: Raw, /) -> Raw:
    """``1 - pdtr(k, m)``."""
    return xp.special.pdtrc(k, m)


@special(COUNTS, lambda xp, out, k, y: -1 / _poisson(xp, k, out), integers=(0,))
def pdtri(xp: Namespace, k: Raw, y: Raw, /) -> Raw:
    """The inverse of :func:`pdtr` in its second argument."""
    return like(xp, xp.special.pdtri(k, y), y)


def _poisson(xp: Namespace, k: Raw, m: Raw) -> Raw:
    return xp.special.gamma_density(xp.floor(_floating(xp, k, m)) + 1, m)


def _floating(xp: Namespace, k: Raw, x: Raw) -> Raw:
    """A count in the dtype of the argument beside it."""
    return k if k.dtype == x.dtype else xp.astype(k, x.dtype)


# -- beta: I_x(a, b), its complement and inverses ------------------------------------------------------


def _beta_slope(xp: Namespace, a: Raw, b: Raw, x: Raw) -> Raw:
    return xp.special.beta_density(a, b, x, 1 - x)


def _beta_rate(xp: Namespace, a: Raw, b: Raw, x: Raw) -> Raw:
    return xp.special.betainc_rate(a, b, x, 1 - x)


# I_x(a, b) = 1 - I_(1-x)(b, a)
def _beta_other_rate(xp: Namespace, a: Raw, b: Raw, x: Raw) -> Raw:
    return -xp.special.betainc_rate(b, a, 1 - x, x)


@special(_beta_rate, _beta_other_rate, _beta_slope)
def betainc(xp: Namespace, a: Raw, b: Raw, x: Raw, /) -> Raw:
    """The regularised incomplete beta function, differentiable by all arguments.

    >>> import polygrad as pg
    >>> pg.grad(pg.special.betainc, argnums=2)(2.0, 1.0, 0.25)
    0.5
    """
    return xp.special.betainc(a, b, x)


@special(
    lambda xp, a, b, x: -_beta_rate(xp, a, b, x),
    lambda xp, a, b, x: -_beta_other_rate(xp, a, b, x),
    lambda xp, a, b, x: -_beta_slope(xp, a, b, x),
)
def betaincc(xp: Namespace, a: Raw, b: Raw, x: Raw, /) -> Raw:
    """``1 - betainc(a, b, x)``."""
    return xp.special.betaincc(a, b, x)


def _inverse_beta(xp: Namespace, a: Raw, b: Raw) -> tuple[Raw, tuple[Raw, Raw]]:
    """The scale and the terms of ``_inverse_slope`` for the beta distribution."""
    scale = xp.exp(xp.special.log_beta(a, b) + xp.log(a))
    d = (b - 1) * (a * a + 3 * a * b - a + 5 * b - 4) / (2 * (a + 1) * (a + 1) * (a + 2))
    return scale, ((b - 1) / (a + 1), d)


def _betaincinv_slope(xp: Namespace, out: Raw, a: Raw, b: Raw, y: Raw, other: Raw) -> Raw:
    """By ``y``, the lower tail, where ``other`` is the upper one."""
    upper = out > 0.5
    p, q = xp.where(upper, b, a), xp.where(upper, a, b)
    scale, terms = _inverse_beta(xp, p, q)
    tail = xp.where(upper, other, y)
    return _inverse_slope(xp, tail, p, scale, terms, lambda x: _beta_slope(xp, a, b, x), out)


def _beta_over(xp: Namespace, rate: Callable[..., Raw], a: Raw, b: Raw, x: Raw) -> Raw:
    """The slope of the inverse by a parameter: 0 at the ends, which are the same for all."""
    end = (x == 0) | (x == 1)
    s = xp.where(end, xp.full_like(x, 0.5), x)
    slope = -rate(xp, a, b, s) / _beta_slope(xp, a, b, s)
    return xp.where(end, xp.zeros_like(slope), slope)


@special(
    lambda xp, out, a, b: _beta_over(xp, _beta_rate, a, b, out),
    lambda xp, out, a, b: _beta_over(xp, _beta_other_rate, a, b, out),
    lambda xp, out, a, b, y: _betaincinv_slope(xp, out, a, b, y, 1 - y),
)
def betaincinv(xp: Namespace, a: Raw, b: Raw, y: Raw, /) -> Raw:
    """The inverse of :func:`betainc` in its third argument."""
    return xp.special.betaincinv(a, b, y)


@special(
    lambda xp, out, a, b: _beta_over(xp, _beta_rate, a, b, out),
    lambda xp, out, a, b: _beta_over(xp, _beta_other_rate, a, b, out),
    lambda xp, out, a, b, y: -_betaincinv_slope(xp, out, a, b, 1 - y, y),
)
def betainccinv(xp: Namespace, a: Raw, b: Raw, y: Raw, /) -> Raw:
    """The inverse of :func:`betaincc` in its third argument."""
    return xp.special.betainccinv(a, b, y)


@kernel(space="special")
def _betaincc(xp: Namespace, a: Raw, b: Raw, x: Raw) -> Raw:
    return xp.special.betainc(b, a, 1 - x)


# bdtr(k, n, p) = I_(1-p)(n - k, k + 1) with k rounded down
def _binomial(xp: Namespace, k: Raw, n: Raw, p: Raw) -> Raw:
    k = xp.floor(_floating(xp, k, p))
    return xp.special.beta_density(k + 1, _floating(xp, n, p) - k, p, 1 - p)


@special(FLAT, COUNTS, lambda xp, k, n, p: -_binomial(xp, k, n, p), integers=(1,))
def bdtr(xp: Namespace, k: Raw, n: Raw, p: Raw, /) -> Raw:
    """The binomial distribution's cumulative function: at most ``k`` successes in ``n`` trials of probability ``p``."""
    return like(xp, xp.special.bdtr(k, n, p), p)


@special(FLAT, COUNTS, lambda xp, k, n, p: _binomial(xp, k, n, p), integers=(1,))
def bdtrc(xp: Namespace, k: Raw, n: Raw, p: Raw, /) -> Raw:
    """``1 - bdtr(k, n, p)``."""
    return like(xp, xp.special.bdtrc(k, n, p), p)


@special(FLAT, COUNTS, lambda xp, out, k, n: -1 / _binomial(xp, k, n, out), integers=(1,))
def bdtri(xp: Namespace, k: Raw, n: Raw, y: Raw, /) -> Raw:
    """The inverse of :func:`bdtr` in its third argument."""
    return like(xp, xp.special.bdtri(k, n, y), y)


# nbdtr(k, n, p) = I_p(n, k + 1)
def _negative_binomial(xp: Namespace, k: Raw, n: Raw, p: Raw) -> Raw:
    return xp.special.beta_density(_floating(xp, n, p), _floating(xp, k, p) + 1, p, 1 - p)


@special(COUNTS, COUNTS, lambda xp, k, n, p: _negative_binomial(xp, k, n, p), integers=(0, 1))
def nbdtr(xp: Namespace, k: Raw, n: Raw, p: Raw, /) -> Raw:
    """The negative binomial distribution's cumulative function: at most ``k`` failures before ``n`` successes."""
    return like(xp, xp.special.nbdtr(k, n, p), p)


@special(COUNTS, COUNTS, lambda xp, k, n, p: -_negative_binomial(xp, k, n, p), integers=(0, 1))
def nbdtrc(xp: Namespace, k: Raw, n: Raw, p: Raw, /) -> Raw:
    """``1 - nbdtr(k, n, p)``."""
    return like(xp, xp.special.nbdtrc(k, n, p), p)


@special(COUNTS, COUNTS, lambda xp, out, k, n: 1 / _negative_binomial(xp, k, n, out), integers=(0, 1))
def nbdtri(xp: Namespace, k: Raw, n: Raw, y: Raw, /) -> Raw:
    """The inverse of :func:`nbdtr` in its third argument."""
    return like(xp, xp.special.nbdtri(k, n, y), y)


# -- the F distribution: I_w(dfn/2, dfd/2), w = dfn x / (dfd + dfn x) ----------------------------------


def _f_parts(xp: Namespace, dfn: Raw, dfd: Raw, x: Raw) -> tuple[Raw, Raw, Raw]:
    """w, 1 - w and dw/dx."""
    total = dfd + dfn * x
    return dfn * x / total, dfd / total, dfd / total * (dfn / total)


def _in_range(xp: Namespace, slope: Callable[..., Raw], dfn: Raw, dfd: Raw, x: Raw, end: float = float("inf")) -> Raw:
    """A slope, 0 where ``x`` is infinite (or 0, with ``end=0.0``)."""
    none = (x == float("inf")) | (x == end)
    value = slope(xp, dfn, dfd, xp.where(none, xp.ones_like(x), x))
    return xp.where(none, xp.zeros_like(value), value)


def _f_slope(xp: Namespace, dfn: Raw, dfd: Raw, x: Raw) -> Raw:
    return _in_range(xp, _f_density, dfn, dfd, x)


def _f_density(xp: Namespace, dfn: Raw, dfd: Raw, x: Raw) -> Raw:
    w, v, rate = _f_parts(xp, dfn, dfd, x)
    return xp.special.beta_density(dfn / 2, dfd / 2, w, v) * rate


def _f_dfn(xp: Namespace, dfn: Raw, dfd: Raw, x: Raw) -> Raw:
    return _in_range(xp, _f_rate, dfn, dfd, x)


def _f_place(xp: Namespace, dfn: Raw, dfd: Raw, x: Raw) -> tuple[Raw, Raw]:
    """w and 1 - w, without a slope by ``dfn`` and ``dfd`` where that is 0 and meets an infinite one."""
    w, v, _ = _f_parts(xp, dfn, dfd, x)
    start = (x == 0) & (dfn <= 2)
    return xp.where(start, x, w), xp.where(start, 1 - x, v)


def _f_rate(xp: Namespace, dfn: Raw, dfd: Raw, x: Raw) -> Raw:
    w, v = _f_place(xp, dfn, dfd, x)
    return xp.special.fdtr_rate(dfn / 2, dfd / 2, w, v)


# 1/x is F distributed with the two exchanged
def _f_dfd(xp: Namespace, dfn: Raw, dfd: Raw, x: Raw) -> Raw:
    return _in_range(xp, _f_other_rate, dfn, dfd, x)


def _f_other_rate(xp: Namespace, dfn: Raw, dfd: Raw, x: Raw) -> Raw:
    w, v = _f_place(xp, dfn, dfd, x)
    return -xp.special.fdtr_rate(dfd / 2, dfn / 2, v, w)


# x = dfd/dfn (w + w^2 + w^3 + ...)
def _fdtri_slope(xp: Namespace, out: Raw, dfn: Raw, dfd: Raw, p: Raw) -> Raw:
    ratio = dfd / dfn
    scale, (c, d) = _inverse_beta(xp, dfn / 2, dfd / 2)
    terms = c + 1, d + 2 * c + 1
    # the density of x dfn/dfd, by which w + w^2 + ... is meant
    return ratio * _inverse_slope(xp, p, dfn / 2, scale, terms, lambda x: ratio * _f_slope(xp, dfn, dfd, x), out)


def _f_over(xp: Namespace, rate: Callable[..., Raw], dfn: Raw, dfd: Raw, x: Raw) -> Raw:
    """The slope of the inverse by a parameter: 0 at the ends, which are the same for all."""
    return _in_range(xp, lambda xp, m, n, x: -rate(xp, m, n, x) / _f_density(xp, m, n, x), dfn, dfd, x, end=0.0)


@special(_f_dfn, _f_dfd, _f_slope)
def fdtr(xp: Namespace, dfn: Raw, dfd: Raw, x: Raw, /) -> Raw:
    """The F distribution's cumulative function."""
    return xp.special.fdtr(dfn, dfd, x)


@special(
    lambda xp, dfn, dfd, x: -_f_dfn(xp, dfn, dfd, x),
    lambda xp, dfn, dfd, x: -_f_dfd(xp, dfn, dfd, x),
    lambda xp, dfn, dfd, x: -_f_slope(xp, dfn, dfd, x),
)
def fdtrc(xp: Namespace, dfn: Raw, dfd: Raw, x: Raw, /) -> Raw:
    """``1 - fdtr(dfn, dfd, x)``."""
    return xp.special.fdtrc(dfn, dfd, x)


@special(
    lambda xp, out, dfn, dfd: _f_over(xp, _f_rate, dfn, dfd, out),
    lambda xp, out, dfn, dfd: _f_over(xp, _f_other_rate, dfn, dfd, out),
    lambda xp, out, dfn, dfd, p: _fdtri_slope(xp, out, dfn, dfd, p),
)
def fdtri(xp: Namespace, dfn: Raw, dfd: Raw, p: Raw, /) -> Raw:
    """The inverse of :func:`fdtr` in its third argument."""
    return xp.special.fdtri(dfn, dfd, p)


# -- Student's t ---------------------------------------------------------------------------------------
# The density is (1 + r^2)^(-(df + 1)/2) / (sqrt(df) B(df/2, 1/2)) with r = t / sqrt(df).


@kernel(space="special")
def t_density(xp: Namespace, df: Raw, t: Raw) -> Raw:
    """Student's density: the derivative of ``stdtr(df, t)`` by ``t``."""
    normal, end = xp.isinf(df), xp.isinf(t)
    none = normal | end
    gauss = xp.where(normal & ~end, t, xp.zeros_like(t + df))
    t, df = xp.where(none, xp.zeros_like(t), t), xp.where(none, xp.ones_like(df), df)
    r = t / xp.sqrt(df)
    far = xp.abs(r) > 1e8
    log = xp.where(
        far, 2 * xp.log(xp.abs(xp.where(far, r, xp.ones_like(r)))), xp.log1p(xp.where(far, xp.zeros_like(r), r) ** 2)
    )
    half = xp.full_like(df, 0.5)
    density = xp.exp(-0.5 * (df + 1) * log - 0.5 * xp.log(df) - xp.special.log_beta(df / 2, half))
    density = xp.where(normal, xp.exp(-gauss * gauss / 2 - HALF_LOG_2PI), density)
    return xp.where(end, xp.zeros_like(density), density)


@special(lambda xp, df, t: xp.special.stdtr_rate(df, t), lambda xp, df, t: xp.special.t_density(df, t))
def stdtr(xp: Namespace, df: Raw, t: Raw, /) -> Raw:
    """Student's t distribution's cumulative function."""
    return xp.special.stdtr(df, t)


@special(
    lambda xp, out, df: -xp.special.stdtr_rate(df, out) / xp.special.t_density(df, out),
    lambda xp, out, df: 1 / xp.special.t_density(df, out),
)
def stdtrit(xp: Namespace, df: Raw, p: Raw, /) -> Raw:
    """The inverse of :func:`stdtr` in its second argument."""
    return xp.special.stdtrit(df, p)


# -- where a library has none of its own (CuPy) ------------------------------------------------------------


@kernel(space="special")
def _betainccinv(xp: Namespace, a: Raw, b: Raw, y: Raw) -> Raw:
    high = y > 0.5  # what is near 1 is exact in 1 - y, what is near 0 in y
    low = xp.where(high, 0.5 * xp.ones_like(y), y)
    return xp.where(high, xp.special.betaincinv(a, b, xp.where(high, 1 - y, 0.5)), 1 - xp.special.betaincinv(b, a, low))


@kernel(space="special")
def _stdtr(xp: Namespace, df: Raw, t: Raw) -> Raw:
    square = t * t
    half = xp.ones_like(df + t) * 0.5
    near = square < df  # each by the side that does not cancel
    middle = 0.5 * xp.special.betainc(half, df * half, square / (df + square))
    tail = 0.5 * xp.special.betainc(df * half, half, df / (df + square))
    below = xp.where(near, 0.5 - middle, tail)
    above = xp.where(near, 0.5 + middle, 1 - tail)
    return xp.where(t < 0, below, above)


@kernel(space="special")
def _stdtrit(xp: Namespace, df: Raw, p: Raw) -> Raw:
    half = xp.ones_like(df + p) * 0.5
    away = xp.abs(p - 0.5)
    near = away < 0.25
    z = xp.special.betaincinv(half, df * half, 2 * xp.where(near, away, 0 * away))
    x = xp.special.betaincinv(df * half, half, 2 * xp.where(near, half, 0.5 - away))
    odds = xp.where(near, z / (1 - z), (1 - x) / xp.where(x == 0, xp.ones_like(x), x))
    t = xp.where(~near & (x == 0), xp.full_like(odds, float("inf")), xp.sqrt(df * odds))
    return xp.where(p < 0.5, -t, t)
