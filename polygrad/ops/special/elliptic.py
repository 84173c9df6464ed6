"""Elliptic integrals and the arithmetic-geometric mean. Their slopes by the parameter are Carlson's symmetric
integral R_D (DLMF 19.18, 19.25), in which nothing cancels."""

from __future__ import annotations

from typing import Any, Final

from ...core.kernels import kernel
from ...typing import Namespace, Raw
from .declare import special
from .kernels import PI

__all__ = ["agm", "ellipe", "ellipeinc", "ellipk", "ellipkinc", "ellipkm1"]


# Carlson's duplication: x, y, z -> (x + l)/4, ... with l = sqrt(xy) + sqrt(xz) + sqrt(yz) brings them together, by a
# factor 4 at each step once they are of one size; then a series in their distances (Carlson 1995, formula 2.24).
@kernel(space="special")
def elliprd(xp: Namespace, x: Raw, y: Raw, z: Raw) -> Raw:
    """Carlson's R_D, ``3/2 * integral of 1/(sqrt((t+x)(t+y)) (t+z)**(3/2)), t from 0 to inf``."""
    total: Any = 0.0
    scale = 1.0
    for _ in range(20):
        a, b, c = xp.sqrt(x), xp.sqrt(y), xp.sqrt(z)
        step = a * b + a * c + b * c
        total = total + scale / (c * (z + step))
        scale /= 4
        x, y, z = (x + step) / 4, (y + step) / 4, (z + step) / 4
    mean = (x + y + 3 * z) / 5
    x, y = (mean - x) / mean, (mean - y) / mean
    z = -(x + y) / 3
    e2, e3 = x * y - 6 * z * z, (3 * x * y - 8 * z * z) * z
    return scale * (1 - 3 / 14 * e2 + e3 / 6) / mean / xp.sqrt(mean) + 3 * total


def _complete(xp: Namespace, y: Raw, z: Raw) -> Raw:
    return xp.special.elliprd(xp.zeros_like(y), y, z)


# dK/dm = R_D(0, 1, 1 - m)/6, dE/dm = -R_D(0, 1 - m, 1)/6
@special(lambda xp, m: _complete(xp, xp.ones_like(m), 1 - m) / 6)
def ellipk(xp: Namespace, m: Raw, /) -> Raw:
    """The complete elliptic integral of the first kind, of parameter ``m``."""
    return xp.special.ellipk(m)


@special(lambda xp, p: _complete(xp, xp.ones_like(p), p) / -6)
def ellipkm1(xp: Namespace, p: Raw, /) -> Raw:
    """``ellipk(1 - p)``, exact near ``p == 0``."""
    return xp.special.ellipkm1(p)


@special(lambda xp, m: _complete(xp, 1 - m, xp.ones_like(m)) / -6)
def ellipe(xp: Namespace, m: Raw, /) -> Raw:
    """The complete elliptic integral of the second kind, of parameter ``m``."""
    return xp.special.ellipe(m)


# F(phi) = F(r) + 2 n K with r = phi - n pi in [-pi/2, pi/2]; for r, with s = sin r, c = cos r and d = 1 - m s^2,
# dF/dm = s^3 R_D(c^2, 1, d)/6 and dE/dm = -s^3 R_D(c^2, d, 1)/6.
def _incomplete(xp: Namespace, phi: Raw, m: Raw, first: bool) -> Raw:
    n = xp.round(phi / PI)
    r = (phi - n * PI) - n * 1.2246467991473532e-16
    s, c = xp.sin(r), xp.cos(r)
    d = 1 - m * s * s
    one = xp.ones_like(d)
    sign = 1 / 6 if first else -1 / 6
    part = sign * s * s * s * xp.special.elliprd(c * c + 0 * d, *((one, d) if first else (d, one)))
    turned = n != 0
    p = 1 - xp.where(turned, m, xp.zeros_like(m))
    whole = sign * (_complete(xp, xp.ones_like(p), p) if first else _complete(xp, p, xp.ones_like(p)))
    return part + 2 * n * whole


@special(
    lambda xp, phi, m: 1 / xp.sqrt(1 - m * xp.sin(phi) * xp.sin(phi)),
    lambda xp, phi, m: _incomplete(xp, phi, m, True),
)
def ellipkinc(xp: Namespace, phi: Raw, m: Raw, /) -> Raw:
    """The incomplete elliptic integral of the first kind, of amplitude ``phi`` and parameter ``m``."""
    return xp.special.ellipkinc(phi, m)


@special(
    lambda xp, phi, m: xp.sqrt(1 - m * xp.sin(phi) * xp.sin(phi)),
    lambda xp, phi, m: _incomplete(xp, phi, m, False),
)
def ellipeinc(xp: Namespace, phi: Raw, m: Raw, /) -> Raw:
    """The incomplete elliptic integral of the second kind, of amplitude ``phi`` and parameter ``m``."""
    return xp.special.ellipeinc(phi, m)


# 1/M = 2/pi R_F(0, a^2, b^2) gives dM/da = 2/(3 pi) M^2 a R_D(0, b^2, a^2), made homogeneous.
def _agm_slope(xp: Namespace, out: Raw, a: Raw, b: Raw) -> Raw:
    zero = (a == 0) | (b == 0)  # the mean is 0 there, by a an infinite slope at a = 0
    one = xp.ones_like(out)
    p, q = xp.where(zero, one, a), xp.where(zero, one, b)
    root_a, root_b = xp.sqrt(xp.abs(p)), xp.sqrt(xp.abs(q))
    mean = xp.where(zero, one, out) / (root_a * root_b)
    slope = 2 / (3 * PI) * mean * mean * (root_a / root_b) * _complete(xp, q / p, p / q)
    end = xp.where(a == 0, xp.where(b == 0, float("nan") * one, float("inf") * one), xp.zeros_like(one))
    return xp.where(zero, end, slope)


@special(lambda xp, out, a, b: _agm_slope(xp, out, a, b), lambda xp, out, a, b: _agm_slope(xp, out, b, a))
def agm(xp: Namespace, a: Raw, b: Raw, /) -> Raw:
    """The arithmetic-geometric mean of two numbers of one sign."""
    return xp.special.agm(a, b)


# -- where a library has none of its own (CuPy) ------------------------------------------------------------


_ROUNDS: Final = 9
"""Of the arithmetic-geometric mean, which doubles its digits each time: enough for ratios of 1e300."""

# The mean of positive numbers; of negative ones with the sign. With 0 it is 0, of two signs nan.


@kernel(space="special")
def _agm(xp: Namespace, a: Raw, b: Raw) -> Raw:
    negative = (a < 0) & (b <= 0) | (a <= 0) & (b < 0)
    mixed = (xp.sign(a) * xp.sign(b)) < 0
    x, y = xp.abs(a), xp.abs(b)
    for _ in range(_ROUNDS + 10):  # from ratios beyond 1e16 the first rounds only halve the logarithm
        x, y = 0.5 * (x + y), xp.sqrt(x) * xp.sqrt(y)
    mean = xp.where((a == 0) | (b == 0), xp.zeros_like(x), x)
    mean = xp.where(mixed, xp.full_like(mean, float("nan")), mean)
    return xp.where(negative, -mean, mean)


# With a_0 = 1, b_0 = sqrt(1 - m) and the differences c_0^2 = m, c_n = (a - b)/2 of their mean:
# K = pi / (2 a_n) and E = K (1 - sum of 2^(n-1) c_n^2) (Abramowitz and Stegun 17.6).


@kernel(space="special")
def _ellipe(xp: Namespace, m: Raw) -> Raw:
    end = m == 1
    m = xp.where(end, xp.zeros_like(m), m)
    a, b = xp.ones_like(m), xp.sqrt(1 - m)
    total: Any = 0.5 * m
    weight = 1.0
    for _ in range(_ROUNDS):
        c = 0.5 * (a - b)
        a, b = 0.5 * (a + b), xp.sqrt(a * b)
        total = total + weight * c * c
        weight *= 2
    return xp.where(end, xp.ones_like(m), 0.5 * PI / a * (1 - total))
