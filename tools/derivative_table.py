"""Writes ``tests/ops/derivatives.json``: derivatives of orders 1 to 5 of special functions, activations and losses at
their special points and close to them, by mpmath, for ``tests/ops/test_higher_derivatives.py``.

    python tools/derivative_table.py            # all rows, some minutes
    python tools/derivative_table.py j0 binom   # rows whose key contains one of these words

A row is a function of one argument, the others fixed. Its points are special ones (ends of the domain, zeros and poles
of factors, whole numbers, places where the implementation changes its formula) and those at distances of 1e-9 to 1e-3.
"""

from __future__ import annotations

import json
import math
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Final

import mpmath as mp

TABLE: Final = Path(__file__).resolve().parent.parent / "tests" / "ops" / "derivatives.json"
ORDERS: Final = 5
DISTANCES: Final = (1e-9, 1e-6, 1e-3)

Real = Any
Function = Callable[[Real], Real]
Rows = dict[str, dict[str, Any]]
PENDING: dict[str, tuple[Any, ...]] = {}


class Closed:
    """A function whose n-th derivative is known: ``f(x, n)``. (By differences mpmath's K and Y take minutes.)"""

    def __init__(self, derivative: Callable[[Real, int], Real]) -> None:
        self._derivative = derivative

    def __call__(self, x: Real, n: int) -> Real:
        return self._derivative(x, n)


def around(*centres: float) -> list[tuple[float, int]]:
    """Points and those beside them on both sides; 0 says that derivatives are two-sided."""
    return [(c + s * d, 0) for c in centres for d in (0.0, *DISTANCES) for s in ((1,) if d == 0 else (1, -1))]


def right(*centres: float, end: bool = True) -> list[tuple[float, int]]:
    """Ends of a domain, from the right; without ``end`` only the points beside them."""
    return [(c + d, 1 if d == 0 else 0) for c in centres for d in ((0.0, *DISTANCES) if end else DISTANCES)]


def left(*centres: float, end: bool = True) -> list[tuple[float, int]]:
    """Ends of a domain, from the left."""
    return [(c - d, -1 if d == 0 else 0) for c in centres for d in ((0.0, *DISTANCES) if end else DISTANCES)]


def row(
    name: str, f: Function, points: Sequence[tuple[float, int]], *fixed: float | None, part: int | None = None,
    inverse: bool = False, digits: int = 40, start: Callable[[float], float] | None = None, slope: bool = False,
) -> None:  # fmt: skip
    """Enter a row: ``fixed`` are the arguments with None for the one that varies, ``part`` the output that is meant.

    ``f`` is the function; with ``inverse`` that of which it is the inverse, from ``start``; with ``slope`` its slope.
    """
    fixed = fixed or (None,)
    key = name + "(" + ", ".join("x" if v is None else repr(v) for v in fixed) + ")"
    key += "" if part is None else f"[{part}]"
    PENDING[key] = (name, f, list(points), fixed, part, inverse, digits, start, slope)


def derivatives(f: Function, x: Real, direction: int, orders: range) -> list[Real]:
    result = []
    for n in orders:
        try:
            if isinstance(f, Closed):
                result.append(f(x, n))
            else:
                result.append(f(x) if n == 0 else mp.diff(f, x, n, direction=direction))
        except (ZeroDivisionError, ValueError):
            result.append(mp.nan)
    return result


def reverted(d: Sequence[Real]) -> list[Real]:
    """The derivatives of an inverse function from those of the function (Lagrange's reversion, by five)."""
    a, b, c, e, g = (v / math.factorial(i + 1) for i, v in enumerate(d))
    if a == 0 or mp.isinf(a):
        return [mp.nan] * 5
    series = [
        1 / a,
        -b / a**3,
        (2 * b**2 - a * c) / a**5,
        (5 * a * b * c - a**2 * e - 5 * b**3) / a**7,
        (6 * a**2 * b * e + 3 * a**2 * c**2 + 14 * b**4 - a**3 * g - 21 * a * b**2 * c) / a**9,
    ]
    return [s * math.factorial(i + 1) for i, s in enumerate(series)]


def number(value: Real) -> float | str:
    """A number as the table has it: what is less than 1e-30 is the error of a difference."""
    result = float(mp.re(value))
    if not math.isfinite(result):
        return str(result)
    return 0.0 if abs(result) < 1e-30 else float(f"{result:.15g}")


def entry(
    name: str, f: Function, points: list[tuple[float, int]], fixed: Any, part: Any, inverse: bool, digits: int, start: Any,
    slope: bool,
) -> dict[str, Any]:  # fmt: skip
    found = []
    with mp.workdps(digits):
        for x, direction in points:
            if inverse:
                at = mp.mpf(start(x)) if direction else mp.findroot(lambda t, x=x: f(t) - x, mp.mpf(start(x)))
                d = reverted(derivatives(f, at, direction, range(1, ORDERS + 1)))
            else:
                d = derivatives(f, mp.mpf(x), direction, range(0 if slope else 1, ORDERS + (0 if slope else 1)))
            found.append([number(v) for v in d])
    return {"name": name, "fixed": list(fixed), "part": part, "points": [x for x, _ in points], "derivatives": found}


def main(words: list[str]) -> None:
    import derivative_rows  # noqa: F401 - its import enters the rows

    rows: Rows = json.loads(TABLE.read_text()) if TABLE.exists() and words else {}
    for key, given in PENDING.items():
        if words and not any(w in key for w in words):
            continue
        began = time.perf_counter()
        rows[key] = entry(*given)
        print(f"{time.perf_counter() - began:6.1f} s  {key}", flush=True)
    rows = {key: rows[key] for key in PENDING if key in rows}
    lines = [f"{json.dumps(key)}: {json.dumps(value)}" for key, value in rows.items()]
    TABLE.write_text("{\n" + ",\n".join(lines) + "\n}\n")


if __name__ == "__main__":
    sys.modules["derivative_table"] = sys.modules["__main__"]
    main(sys.argv[1:])
