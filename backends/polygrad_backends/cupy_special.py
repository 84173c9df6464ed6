"""CuPy's special functions that take other arguments than SciPy's, or end earlier."""

from __future__ import annotations

import math
from collections.abc import Callable
from importlib import import_module
from typing import Any

__all__ = ["polygamma", "zeta"]

# B(2j)/(2j)! for j from 1: the corrections of Euler and Maclaurin (DLMF 2.10.1).
_BERNOULLI = [1 / 12, -1 / 720, 1 / 30240, -1 / 1209600, 1 / 47900160, -691 / 1307674368000, 1 / 74724249600]
_TERMS = 12


def polygamma(library: Any) -> Callable[..., Any]:
    """``polygamma`` of a Python number as order, by Hurwitz's zeta function (DLMF 5.15.1): CuPy's takes arrays only."""

    def call(n: Any, x: Any) -> Any:
        if not isinstance(n, int):
            return library.polygamma(n, x)
        if n == 0:
            return library.digamma(x)
        return (-1.0) ** (n + 1) * math.factorial(n) * library.zeta(float(n + 1), x)

    return call


def zeta(library: Any) -> Callable[..., Any]:
    """``zeta`` of one argument or two: CuPy has Hurwitz's only."""
    cp = import_module("cupy")
    return lambda x, q=None: _riemann_zeta(cp, library, x) if q is None else library.zeta(x, q)


def _riemann_zeta(cp: Any, library: Any, x: Any) -> Any:
    """Riemann's zeta function of real numbers: the library's is Hurwitz's, which ends at 1.

    Between 0 and 1 by Euler's and Maclaurin's formula (DLMF 25.2.9), left of 0 by the functional equation (25.4.1).
    """
    one = cp.ones_like(x)
    left = x < 0
    right = library.zeta(cp.where(x > 1, x, 2 * one), one)
    middle = _between(cp, cp.where((x >= 0) & (x < 1), x, one / 2))
    s = cp.where(left, x, -one)
    reflected = 2 * (2 * math.pi) ** (s - 1) * cp.sin(math.pi / 2 * cp.fmod(s, 4)) * library.gamma(1 - s)
    reflected = reflected * library.zeta(1 - s, one)
    reflected = cp.where(cp.fmod(s, 2) == 0, cp.zeros_like(s), reflected)  # sin(pi k) is no exact 0
    value = cp.where(x > 1, right, cp.where(left, reflected, middle))
    value = cp.where(x == 1, one * math.inf, value)
    return cp.where(cp.isnan(x), x, value)


def _between(cp: Any, s: Any) -> Any:
    total = sum((float(k) ** -s for k in range(1, _TERMS)), cp.zeros_like(s))
    n = float(_TERMS)
    total = total + n ** (1 - s) / (s - 1) + n**-s / 2
    rising = s
    for j, b in enumerate(_BERNOULLI, 1):
        total = total + b * rising * n ** (1 - s - 2 * j)
        rising = rising * (s + 2 * j - 1) * (s + 2 * j)
    return total
