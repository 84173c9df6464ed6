"""Exact values and derivatives by mpmath, to 60 digits, and the points they are asked for at.

A point counts where the value and the derivative are normal numbers: finite, and not so small that double
precision itself runs out of digits.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import mpmath
import numpy as np

mp = mpmath.mp.clone()
mp.dps = 60
TOLERANCE = 1e-12
SMALLEST, LARGEST = 2.2250738585072014e-308, 1.7976931348623157e308

_rng = np.random.default_rng(20261126)
_EXPONENTS = [-300, -250, -200, -160, -154, -150, -100, -50, -20, -16, -10, -8, -5, -3, -2, -1]
MAGNITUDES = np.concatenate([10.0 ** np.array(_EXPONENTS), 10.0 ** -np.array(_EXPONENTS[1:]), [1.0, 1e299]])
MAGNITUDES *= _rng.uniform(1.0, 1.3, MAGNITUDES.size)
NEAR_ONE = np.concatenate([1 - 2.0 ** -np.arange(1, 54, 4), 1 + 2.0 ** -np.arange(1, 53, 4)])
MIDDLE = np.concatenate([_rng.uniform(0.05, 40, 60), _rng.uniform(40, 700, 20)])
POINTS = np.concatenate([MAGNITUDES, NEAR_ONE, MIDDLE])
POINTS = np.concatenate([POINTS, -POINTS, [1e-300, -1e-300, 1e300, -1e300]])

Exact = Callable[..., Any]


class Case(NamedTuple):
    """An elementwise function of one number, on an open interval."""

    value: Exact
    slope: Exact
    second: Exact | None = None
    low: float = -np.inf
    high: float = np.inf


def logistic(x: Any) -> Any:
    return 1 / (1 + mp.exp(-x))


def _flat(*x: Any) -> Any:
    return mp.mpf(0)


def _one(*x: Any) -> Any:
    return mp.mpf(1)


LN2, LN10 = mp.log(2), mp.log(10)

UNARY: dict[str, Case] = {
    "abs": Case(abs, mp.sign, _flat),
    "acos": Case(mp.acos, lambda x: -1 / mp.sqrt((1 - x) * (1 + x)), lambda x: -x / ((1 - x) * (1 + x)) ** 1.5, -1, 1),
    "acosh": Case(mp.acosh, lambda x: 1 / mp.sqrt((x - 1) * (x + 1)), lambda x: -x / ((x - 1) * (x + 1)) ** 1.5, 1),
    "asin": Case(mp.asin, lambda x: 1 / mp.sqrt((1 - x) * (1 + x)), lambda x: x / ((1 - x) * (1 + x)) ** 1.5, -1, 1),
    "asinh": Case(mp.asinh, lambda x: 1 / mp.sqrt(1 + x * x), lambda x: -x / (1 + x * x) ** 1.5),
    "atan": Case(mp.atan, lambda x: 1 / (1 + x * x), lambda x: -2 * x / (1 + x * x) ** 2),
    "atanh": Case(mp.atanh, lambda x: 1 / ((1 - x) * (1 + x)), lambda x: 2 * x / ((1 - x) * (1 + x)) ** 2, -1, 1),
    "ceil": Case(mp.ceil, _flat, _flat),
    "conj": Case(_one, _one, _flat),
    "cos": Case(mp.cos, lambda x: -mp.sin(x), lambda x: -mp.cos(x)),
    "cosh": Case(mp.cosh, mp.sinh, mp.cosh),
    "exp": Case(mp.exp, mp.exp, mp.exp),
    "expm1": Case(mp.expm1, mp.exp, mp.exp),
    "floor": Case(mp.floor, _flat, _flat),
    "log": Case(mp.log, lambda x: 1 / x, lambda x: -1 / x**2, 0),
    "log10": Case(lambda x: mp.log(x) / LN10, lambda x: 1 / (x * LN10), lambda x: -1 / (x**2 * LN10), 0),
    "log1p": Case(mp.log1p, lambda x: 1 / (1 + x), lambda x: -1 / (1 + x) ** 2, -1),
    "log2": Case(lambda x: mp.log(x) / LN2, lambda x: 1 / (x * LN2), lambda x: -1 / (x**2 * LN2), 0),
    "negative": Case(_one, lambda x: -_one(), _flat),
    "positive": Case(_one, _one, _flat),
    "real": Case(_one, _one, _flat),
    "reciprocal": Case(lambda x: 1 / x, lambda x: -1 / x**2, lambda x: 2 / x**3),
    "relu": Case(_one, lambda x: mp.mpf(x > 0), _flat),
    "round": Case(mp.nint, _flat, _flat),
    "sigmoid": Case(
        logistic,
        lambda x: logistic(x) * logistic(-x),
        lambda x: -logistic(x) * logistic(-x) * mp.tanh(x / 2),
    ),
    "sign": Case(mp.sign, _flat, _flat),
    "sin": Case(mp.sin, mp.cos, lambda x: -mp.sin(x)),
    "sinh": Case(mp.sinh, mp.cosh, mp.sinh),
    "sqrt": Case(mp.sqrt, lambda x: 1 / (2 * mp.sqrt(x)), lambda x: -1 / (4 * x * mp.sqrt(x)), 0),
    "square": Case(lambda x: x * x, lambda x: 2 * x, lambda x: mp.mpf(2)),
    "tan": Case(mp.tan, lambda x: 1 / mp.cos(x) ** 2, lambda x: 2 * mp.tan(x) / mp.cos(x) ** 2),
    "tanh": Case(mp.tanh, lambda x: mp.sech(x) ** 2, lambda x: -2 * mp.tanh(x) * mp.sech(x) ** 2),
    "trunc": Case(mp.floor, _flat, _flat),
    # Beyond the standard, and operators with numbers.
    "special.expit": Case(
        logistic,
        lambda x: logistic(x) * logistic(-x),
        lambda x: -logistic(x) * logistic(-x) * mp.tanh(x / 2),
    ),
    "special.softplus": Case(
        lambda x: max(x, 0) + mp.log1p(mp.exp(-abs(x))), logistic, lambda x: logistic(x) * logistic(-x)
    ),
    "x ** 3": Case(lambda x: x**3, lambda x: 3 * x**2, lambda x: 6 * x),
    "x ** 2": Case(lambda x: x**2, lambda x: 2 * x, lambda x: mp.mpf(2)),
    "x ** -1": Case(lambda x: 1 / x, lambda x: -1 / x**2, lambda x: 2 / x**3),
    "x ** 0.5": Case(mp.sqrt, lambda x: 1 / (2 * mp.sqrt(x)), lambda x: -1 / (4 * x * mp.sqrt(x)), 0),
    "2 ** x": Case(lambda x: mp.mpf(2) ** x, lambda x: LN2 * mp.mpf(2) ** x, lambda x: LN2**2 * mp.mpf(2) ** x),
    "1 / x": Case(lambda x: 1 / x, lambda x: -1 / x**2, lambda x: 2 / x**3),
}

WRITTEN: dict[str, Callable[[Any], Any]] = {
    "x ** 3": lambda x: x**3,
    "x ** 2": lambda x: x**2,
    "x ** -1": lambda x: x**-1,
    "x ** 0.5": lambda x: x**0.5,
    "2 ** x": lambda x: 2.0**x,
    "1 / x": lambda x: 1 / x,
}
"""Those of ``UNARY`` that are no function's name."""


def _h(x: Any, y: Any) -> Any:
    return mp.sqrt(x * x + y * y)


class Case2(NamedTuple):
    """A function of two numbers: its slopes, and those of its slopes (None: not asked for)."""

    value: Exact
    slopes: tuple[Exact, Exact]
    seconds: tuple[Exact, Exact, Exact] | None = None  # xx, xy, yy


BINARY: dict[str, Case2] = {
    "add": Case2(lambda x, y: x + y, (_one, _one)),
    "subtract": Case2(lambda x, y: x - y, (_one, lambda x, y: -_one())),
    "multiply": Case2(lambda x, y: x * y, (lambda x, y: y, lambda x, y: x), (_flat, _one, _flat)),
    "divide": Case2(
        lambda x, y: x / y,
        (lambda x, y: 1 / y, lambda x, y: -x / y**2),
        (_flat, lambda x, y: -1 / y**2, lambda x, y: 2 * x / y**3),
    ),
    "atan2": Case2(
        mp.atan2,
        (lambda x, y: y / (x * x + y * y), lambda x, y: -x / (x * x + y * y)),
        (
            lambda x, y: -2 * x * y / (x * x + y * y) ** 2,
            lambda x, y: (x - y) * (x + y) / (x * x + y * y) ** 2,
            lambda x, y: 2 * x * y / (x * x + y * y) ** 2,
        ),
    ),
    "hypot": Case2(
        _h,
        (lambda x, y: x / _h(x, y), lambda x, y: y / _h(x, y)),
        (lambda x, y: y * y / _h(x, y) ** 3, lambda x, y: -x * y / _h(x, y) ** 3, lambda x, y: x * x / _h(x, y) ** 3),
    ),
    "logaddexp": Case2(
        lambda x, y: max(x, y) + mp.log1p(mp.exp(-abs(x - y))),
        (lambda x, y: logistic(x - y), lambda x, y: logistic(y - x)),
        (
            lambda x, y: logistic(x - y) * logistic(y - x),
            lambda x, y: -logistic(x - y) * logistic(y - x),
            lambda x, y: logistic(x - y) * logistic(y - x),
        ),
    ),
    "pow": Case2(
        lambda x, y: x**y,
        (lambda x, y: y * x ** (y - 1), lambda x, y: x**y * mp.log(x)),
    ),
    "maximum": Case2(max, (lambda x, y: mp.mpf(x > y), lambda x, y: mp.mpf(x < y))),
    "minimum": Case2(min, (lambda x, y: mp.mpf(x < y), lambda x, y: mp.mpf(x > y))),
    "copysign": Case2(lambda x, y: abs(x) * mp.sign(y), (lambda x, y: mp.sign(x) * mp.sign(y), _flat)),
    "nextafter": Case2(lambda x, y: x, (_one, _flat)),
    "remainder": Case2(lambda x, y: x - mp.floor(x / y) * y, (_one, lambda x, y: -mp.floor(x / y))),
    "floor_divide": Case2(lambda x, y: mp.floor(x / y), (_flat, _flat)),
}


def pairs(name: str) -> list[tuple[float, float]]:
    """Where a function of two numbers is asked: every size with every size, of all signs; near ties too."""
    sizes = np.concatenate([MAGNITUDES[::2], MIDDLE[:5], NEAR_ONE[[3, 10, 20]]])
    signed = np.concatenate([sizes, -sizes])
    if name == "pow":
        powers = [*signed, -3.0, -2.0, -1.0, -0.5, 0.5, 1.0, 2.0, 3.0, 7.25, 1 / 3]
        return [(x, p) for x in sizes for p in powers if abs(p * np.log10(x)) < 308]
    made = [(x, y) for x in signed for y in signed if x != y]
    if name == "logaddexp":
        made += [(x, x + d) for x in signed for d in _rng.uniform(-50, 50, 3)]
    return made


def normal(exact: Any) -> bool:
    return bool(exact == 0 or SMALLEST <= abs(exact) <= LARGEST)


def worst(found: Any, exact: Sequence[Any], counts: Sequence[bool]) -> tuple[float, int, int]:
    """The largest relative error among the points that count, the index of the point, and how many count."""
    errors = [0.0] * len(exact)
    used = 0
    for i, (f, e, c) in enumerate(zip(np.asarray(found).ravel(), exact, counts, strict=True)):
        if not c or not normal(e):
            continue
        used += 1
        wanted = float(e)  # rounded once, which is 1e-16
        f = float(f)
        if f != wanted:
            errors[i] = abs(f - wanted) / abs(wanted) if wanted and np.isfinite(f) else np.inf
    at = int(np.argmax(errors))
    return errors[at], at, used
