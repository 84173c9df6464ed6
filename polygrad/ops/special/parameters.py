"""Derivatives of the incomplete gamma and beta functions by their parameters, which have no closed form.

For small arguments a power series is differentiated term by term. Elsewhere the derivative under the integral, the
integral of score times density up to x or from x on, is computed by the double exponential rule (Takahasi and Mori
1974) in w, the distance from x in log t or logit t: there the integrands are analytic in a strip, and 184 fixed nodes
give 1e-12. Of the two sides the one is taken on which the score keeps its sign, so nothing cancels.
"""

from __future__ import annotations

from collections.abc import Callable
from math import cos, exp, pi, prod
from typing import Any, Final

from ...core.kernels import kernel
from ...typing import Namespace, Raw
from .kernels import DIGAMMA, horner

__all__ = ["half_line"]


def gauss_legendre(n: int) -> list[tuple[float, float]]:
    """The nodes and weights of Gauss's rule on (0, 1), by Newton's iteration on Legendre's polynomial."""
    rule = []
    for i in range(n):
        x = cos(pi * (i + 0.75) / (n + 0.5))
        for _ in range(8):
            before, value = 1.0, x
            for k in range(2, n + 1):
                before, value = value, ((2 * k - 1) * x * value - (k - 1) * before) / k
            slope = n * (x * value - before) / (x * x - 1)
            x -= value / slope
        rule.append(((1 + x) / 2, 1 / ((1 - x * x) * slope * slope)))
    return rule


_STEP: Final = 0.05
_TIMES: Final = [k * _STEP for k in range(-72, 112)]
_NODES: Final = [exp(t - exp(-t)) for t in _TIMES]
_WEIGHTS: Final = [_STEP * w * (1 + exp(-t)) for w, t in zip(_NODES, _TIMES, strict=True)]
# Gauss and Legendre's rule of 20 nodes on (0, 1): 1e-16 for Student's density where abs(t) <= sqrt(df)/2.
_GAUSS: Final = gauss_legendre(20)
_GROUP: Final = 8  # nodes at a time for large arrays: memory against calls


def half_line(xp: Namespace, f: Callable[[Raw], Raw], scale: Raw) -> Raw:
    """The integral of ``f(w)`` over positive w, where f decays on this scale; nodes are a new axis in front."""
    group = _GROUP if prod(scale.shape) > 2048 else len(_NODES)
    shape = (group, *(1,) * scale.ndim)
    total: Any = 0.0
    for i in range(0, len(_NODES), group):
        nodes = xp.reshape(xp.asarray(_NODES[i : i + group], dtype=scale.dtype), shape)
        weights = xp.reshape(xp.asarray(_WEIGHTS[i : i + group], dtype=scale.dtype), shape)
        total = total + xp.sum(weights * f(scale * nodes), axis=0)
    return scale * total


# log(a) - digamma(a) = 1/(2a) + sum of B_2k / (2k a^2k)
@kernel(space="special")
def digamma_rest(xp: Namespace, a: Raw) -> Raw:
    """``log(a) - digamma(a)`` for positive ``a``."""
    large = a >= 16
    u = 1 / xp.where(large, a, xp.full_like(a, 16.0))
    s = xp.where(large, xp.ones_like(a), a)
    return xp.where(large, 0.5 * u + horner(DIGAMMA, u * u), xp.log(s) - xp.special.digamma(s))


@kernel(space="special")
def digamma_rest_gap(xp: Namespace, a: Raw, d: Raw) -> Raw:
    """``digamma_rest(a) - digamma_rest(a + d)`` for positive ``a`` and ``d``, small where these are large."""
    large = a >= 16
    b = xp.where(large, a, xp.full_like(a, 16.0))
    u, v = 1 / b, 1 / (b + d)
    p: Any = DIGAMMA[-1]
    quotient: Any = 0.0
    for c in reversed(DIGAMMA[:-1]):
        quotient = quotient * (v * v) + p
        p = p * (u * u) + c
    s = xp.where(large, xp.ones_like(a), a)
    small = xp.special.digamma_gap(s, d) - xp.log1p(d / s)
    return xp.where(large, d * v * u * (0.5 + (u + v) * quotient), small)


# -- gamma ---------------------------------------------------------------------------------------------


# P = x^a / gamma(a + 1) * (1 + a sum of c_n / (a + n)), c_n = (-x)^n / n!
def _gamma_series(xp: Namespace, a: Raw, x: Raw) -> Raw:
    c: Any = 1.0
    total, slope = xp.ones_like(a * x), xp.zeros_like(a * x)
    for n in range(1, 20):
        c = c * (-x / n)
        total = total + a * (c / (a + n))
        slope = slope + c * (n / (a + n)) / (a + n)
    log, end = _log_with_end(xp, a, x)
    factor = xp.pow(x, a) * xp.exp(-xp.special.gammaln(a + 1))
    return factor * (total * (log - xp.special.digamma(a + 1)) + slope) + end


# x^a log(x) is 0 at x = 0, but its derivatives are 0 only as long as their order is less than a, and infinite then, with
# alternating signs: as those of -x^(k - 1/2) with k = ceil(a), which stands for it at this one point.
def _log_with_end(xp: Namespace, a: Raw, x: Raw) -> tuple[Raw, Raw]:
    """``log(x)``, 0 at ``x == 0``, and what is to be added to ``x**a * log(x)`` times anything there."""
    zero = x == 0
    end = -xp.pow(xp.where(zero, x, xp.ones_like(x)), xp.ceil(a) - 0.5)
    log = xp.log(xp.where(zero, xp.ones_like(x), x))
    return log, xp.where(zero, end, xp.zeros_like(end))


# In w = log(t / x) the density is that at x times exp(a w - x (e^w - 1)), the score log(t) - digamma(a).
def _gamma_integral(xp: Namespace, a: Raw, x: Raw) -> Raw:
    start = xp.special.log_ratio(x, a) + xp.special.digamma_rest(a)
    side = xp.where(start < 0, -xp.ones_like(start), xp.ones_like(start))
    slope = side * (x - a)
    scale = 1 / (xp.maximum(slope, xp.zeros_like(slope)) + xp.sqrt(x))

    end = 500.0 if xp.finfo(scale.dtype).bits > 32 else 80.0  # a little before e^w overflows; the density is 0 there

    def integrand(w: Raw) -> Raw:
        far = w > end
        step = side * xp.where(far, xp.zeros_like(w), w)
        density = xp.exp(a * step - x * xp.expm1(step))
        return (start + step) * xp.where(far, xp.zeros_like(density), density)

    return -side * x * xp.special.gamma_density(a, x) * half_line(xp, integrand, scale)


@kernel(space="special")
def gammainc_rate(xp: Namespace, a: Raw, x: Raw) -> Raw:
    """The derivative of ``gammainc(a, x)`` by ``a``."""
    edge = x == float("inf")
    small = x <= 1
    series = _gamma_series(xp, a, xp.where(small, x, xp.full_like(x, 0.5)))
    outside = small | edge
    integral = _gamma_integral(xp, xp.where(outside, xp.ones_like(a), a), xp.where(outside, xp.full_like(x, 2.0), x))
    made = xp.where(small, series, integral)
    return xp.where(edge, xp.zeros_like(made), made)


# -- beta ----------------------------------------------------------------------------------------------


def _log_x(xp: Namespace, x: Raw, y: Raw) -> Raw:
    """``log(x)`` where ``y = 1 - x`` may be the more precise one."""
    near = y < 0.5
    return xp.where(near, xp.log1p(-xp.where(near, y, xp.zeros_like(y))), xp.log(x))


# I_x(a, b) = x^a / (a B(a, b)) * (1 + a sum of c_n x^n / (a + n)), c_n = (1 - b)(2 - b)...(n - b) / n!
def _beta_series_first(xp: Namespace, a: Raw, b: Raw, x: Raw) -> Raw:
    """The derivative by ``a`` for small ``x``."""
    c: Any = 1.0
    total, slope = xp.ones_like(a * b * x), xp.zeros_like(a * b * x)
    for n in range(1, 56):
        c = c * (x * ((n - b) / n))
        total = total + a * (c / (a + n))
        slope = slope + c * (n / (a + n)) / (a + n)
    log, end = _log_with_end(xp, a, x)
    factor = xp.pow(x, a) * xp.exp(-xp.log(a) - xp.special.log_beta(a, b))
    # digamma(a + b) - digamma(a + 1), which has no pole at a = 0
    gap = xp.special.digamma_gap(a + 1, b) - 1 / (a + b)
    return factor * (total * (log + gap) + slope) + end


def _beta_series_second(xp: Namespace, a: Raw, b: Raw, x: Raw) -> Raw:
    """The derivative by ``b`` for small ``x``."""
    c: Any = 1.0
    rate: Any = 0.0
    total, slope = xp.ones_like(a * b * x), xp.zeros_like(a * b * x)
    for n in range(1, 56):
        rate = x * (rate * ((n - b) / n) - c / n)
        c = c * (x * ((n - b) / n))
        total = total + a * (c / (a + n))
        slope = slope + a * (rate / (a + n))
    factor = xp.pow(x, a) * xp.exp(-xp.log(a) - xp.special.log_beta(a, b))
    return factor * (total * xp.special.digamma_gap(b, a) + slope)


# In w = logit(t) - logit(x), to the left (p = a, q = b, u = 1 - x) or to the right (p = b, q = a, u = x), the density
# is that at x times exp(-p e1 - q e2), where e1 = log(1 + u (e^w - 1)) and e2 = log(1 + (1 - u)(e^-w - 1)).
def _beta_integral(xp: Namespace, a: Raw, b: Raw, x: Raw, y: Raw, left: Raw, score: Callable[[Raw, Raw], Raw]) -> Raw:
    """The integral of score times density up to x where ``left``, less that from x on elsewhere; ``score`` takes
    log(t / x) and log((1 - t) / (1 - x))."""
    p, q = xp.where(left, a, b), xp.where(left, b, a)
    u, v = xp.where(left, y, x), xp.where(left, x, y)
    slope = p * u - q * v
    scale = 1 / (xp.maximum(slope, xp.zeros_like(slope)) + xp.sqrt((p + q) * u * v))

    end = 500.0 if xp.finfo(scale.dtype).bits > 32 else 80.0  # a little before e^w overflows

    def integrand(w: Raw) -> Raw:
        far = w > end
        up = xp.expm1(xp.where(far, xp.zeros_like(w), w))
        down = xp.expm1(-w)
        e2 = xp.log1p(v * down)
        e1 = xp.where(far, w + xp.log1p(v * xp.where(far, down, xp.zeros_like(w))), xp.log1p(u * up))
        return score(-xp.where(left, e1, e2), -xp.where(left, e2, e1)) * xp.exp(-p * e1 - q * e2)

    made = x * y * xp.special.beta_density(a, b, x, y) * half_line(xp, integrand, scale)
    return xp.where(left, made, -made)


def _beta_parameter_integral(xp: Namespace, a: Raw, b: Raw, x: Raw, y: Raw) -> Raw:
    n = a + b
    excess = (x * b - y * a) / a
    near = xp.abs(excess) < 0.5
    log = xp.where(near, xp.log1p(xp.where(near, excess, xp.zeros_like(excess))), _log_x(xp, x, y) + xp.log(n / a))
    start = log + xp.special.digamma_rest_gap(a, b)
    return _beta_integral(xp, a, b, x, y, start < 0, lambda log_t, log_s: start + log_t)


@kernel(space="special")
def betainc_rate(xp: Namespace, a: Raw, b: Raw, x: Raw, y: Raw) -> Raw:
    """The derivative of ``betainc(a, b, x)`` by ``a``, where ``y`` is ``1 - x``."""
    first = (x <= 0.5) & (b * x <= 1)
    second = (x > 0.5) & (a * y <= 1)
    one = xp.ones_like(a * b * x)

    def where(mask: Raw, *given: tuple[Raw, float]) -> list[Raw]:
        return [xp.where(mask, value + 0 * one, c * one) for value, c in given]

    made = xp.zeros_like(one)
    made = xp.where(first, _beta_series_first(xp, *where(first, (a, 1.0), (b, 1.0), (x, 0.25))), made)
    made = xp.where(second, -_beta_series_second(xp, *where(second, (b, 1.0), (a, 1.0), (y, 0.25))), made)
    rest = ~(first | second)
    args = where(rest, (a, 1.0), (b, 1.0), (x, 0.5), (y, 0.5))
    return xp.where(rest, _beta_parameter_integral(xp, *args), made)


# The F distribution at a fixed point: by dfn = 2a the score is (log1p(u) - u + rest(a) - rest(n)) / 2 with
# u = t n / a - 1, in which the terms of first order have cancelled on paper.
def _f_integral(xp: Namespace, a: Raw, b: Raw, x: Raw, y: Raw) -> Raw:
    gap = xp.special.digamma_rest_gap(a, b)
    excess = x * b - y * a
    n = a + b

    def score(log_t: Raw, log_s: Raw) -> Raw:
        # t n - a = t b - (1 - t) a
        u = (x * b * xp.exp(log_t) - y * a * xp.exp(log_s)) / a
        low = u < -0.5
        log = xp.log(x * n / a) + log_t - u
        return 0.5 * (gap + xp.where(low, log, xp.special.log1pmx(xp.where(low, xp.zeros_like(u), u))))

    return _beta_integral(xp, a, b, x, y, excess < 0, score)


@kernel(space="special")
def fdtr_rate(xp: Namespace, a: Raw, b: Raw, x: Raw, y: Raw) -> Raw:
    """The derivative of ``fdtr(2 a, 2 b, f)`` by its first argument, where ``x = a f / (b + a f)`` and ``y = 1 - x``."""
    outside = (xp.minimum(a, b) < 0.25) | (x == 0) | (y == 0)
    one = xp.ones_like(a * b * x)

    def where(mask: Raw, *given: tuple[Raw, float]) -> list[Raw]:
        return [xp.where(mask, c * one, value + 0 * one) for value, c in given]

    args = where(outside, (a, 1.0), (b, 1.0), (x, 0.5), (y, 0.5))
    made = _f_integral(xp, *args)
    a, b, x, y = where(~outside, (a, 1.0), (b, 1.0), (x, 0.5), (y, 0.5))
    # x y / a times the density of a and b, which may be infinite at an end
    moved = b / (a + b) / (a + b + 1) * xp.special.beta_density(a + 1, b + 1, x, y)
    return xp.where(outside, (xp.special.betainc_rate(a, b, x, y) + moved) / 2, made)


# Half of that of the F distribution of t^2 by its second parameter; near t = 0, which is no end of this one, the
# integral of score times density from 0 on. With u = t^2/df and w = u/(1 + u) the score is
# (log1p(1/df) - 1/df + rest(df/2) - rest((df + 1)/2) + log1p(-w) + w + w/df) / 2: no terms of first order.
@kernel(space="special")
def _stdtr_rate(xp: Namespace, df: Raw, t: Raw) -> Raw:
    """The derivative of ``stdtr(df, t)`` by ``df``."""
    infinite = xp.isinf(t) | xp.isinf(df)
    t = xp.where(infinite, xp.zeros_like(t), t)
    df = xp.where(infinite, xp.ones_like(df), df)
    near = (xp.abs(t) <= 0.5) & (t * t <= df / 4)
    s = xp.where(near, xp.ones_like(t * df), t + 0 * df)
    square = s * s / df
    x, y = square / (1 + square), 1 / (1 + square)
    half = xp.full_like(x, 0.5)
    far = -xp.sign(s) * xp.special.fdtr_rate(df / 2 + 0 * x, half, y, x) / 2
    start = xp.special.log1pmx(1 / df) + xp.special.digamma_rest_gap(df / 2, xp.full_like(df, 0.5))
    s = xp.where(near, t + 0 * df, xp.zeros_like(x))
    b = xp.where(near, df + 0 * t, xp.ones_like(x))
    shape = (len(_GAUSS), *(1,) * s.ndim)
    nodes, weights = [xp.reshape(xp.asarray(list(v), dtype=s.dtype), shape) for v in zip(*_GAUSS, strict=True)]
    point = nodes * s
    w = point * point / (b + point * point)
    score = xp.where(near, start, xp.zeros_like(start)) + xp.special.log1pmx(-w) + w / b
    total = xp.sum(weights * score * xp.special.t_density(b + 0 * point, point), axis=0)
    return xp.where(near, s * total / 2, far)
