"""Derivatives of orders 1 to 4 of special functions, activations and losses, at their special points and at distances of
1e-9 to 1e-3 from them, against mpmath's (``derivatives.json``, written by ``tools/derivative_table.py``).

**Tolerance.** The error of the n-th derivative is measured against its natural scale, its own size or, next to a zero of
it, its size 1e-3 away (which is that of the next derivative times 1e-3, or times ``x`` if that is more: what the last
bits of ``x`` amount to). First derivatives must be within 1e-12 of it, as in ``test_special_accuracy.py``, higher ones
within 1e-9: a formula that loses a few digits at each order passes, one that is wrong or cancels close to a point does
not. Where a derivative is much less than the lower ones the rounding of these counts too: 2e-14 n! of their size.
"""

from __future__ import annotations

import json
import math
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from table import every

import polygrad as pg

TABLE = json.loads((Path(__file__).parent / "derivatives.json").read_text())
RTOL = (1e-12, 1e-9, 1e-9, 1e-9)
NEAR = 1e-3
ROUNDING = 2e-14
LEAST = 1e-29


def function(row: dict[str, Any]) -> Any:
    """The row's function of one array."""
    f: Any = pg
    for word in row["name"].split("."):
        f = getattr(f, word)
    softmax = row["name"] in ("softmax", "log_softmax", "logsumexp")
    loss = row["name"].endswith("_loss") or "cross_entropy" in row["name"] or row["name"].endswith("functional.kl_div")

    def call(x: Any) -> Any:
        args = [x if v is None else v for v in row["fixed"]]
        if softmax:
            result = f(pg.stack([x, pg.full_like(x, args[1])]), axis=0)
        elif loss:
            args = [pg.full_like(x, v) if isinstance(v, float) else v for v in args]
            result = f(*args, reduction="none")
        else:
            result = f(*args)
        result = result if row["part"] is None else result[row["part"]]
        return pg.real(result) if result.dtype.kind == "c" else result

    return call


def reverse(f: Any) -> Any:
    """The derivative of a function of each element, reverse mode."""
    return lambda x: pg.grad(lambda x: pg.sum(f(x)))(x)


def forward(f: Any) -> Any:
    return lambda x: pg.jvp(f, (x,), (np.ones_like(x),))[1]


def nested(f: Any, order: int) -> Any:
    for _ in range(order):
        f = reverse(f)
    return f


def tolerance(x: float, exact: list[float], order: int) -> float:
    """The greatest error that is allowed, see above."""
    sizes = [abs(v) for v in exact]
    own, after = sizes[order - 1], sizes[order]
    scale = max(own, max(abs(x), NEAR) * after) if math.isfinite(after) else own
    return RTOL[order - 1] * scale + ROUNDING * math.factorial(order) * max([0.0, *sizes[: order - 1]]) + LEAST


def faults(row: dict[str, Any], found: Any, order: int) -> list[Any]:
    """Where a derivative is not what the table says. (A table's nan: there is none, nothing is asked.)"""
    result = []
    for x, got, exact in zip(row["points"], found, row["derivatives"], strict=True):
        values = [float(v) for v in exact]
        want = values[order - 1]
        if not math.isfinite(want):
            continue
        if not abs(float(got) - want) <= tolerance(x, values, order):
            result.append((x, order, float(got), want))
    return result


def first_of_each() -> list[str]:
    """One row of each function and argument; with ``POLYGRAD_ALL_CASES=1`` all rows."""
    chosen: dict[Any, str] = {}
    for key, row in TABLE.items():
        chosen.setdefault((row["name"], row["fixed"].index(None), row["part"]), key)
    return list(TABLE) if os.environ.get("POLYGRAD_ALL_CASES") else [*chosen.values()]


# Rows at whose points formulas meet: 0 or an end of the domain in most of them.
ALWAYS = [
    "special.stdtr(3.0, x)", "special.struve(1.0, x)", "special.betainc(2.0, 3.0, x)", "special.betainc(1.0, 3.0, x)",
    "special.gammainc(2.0, x)", "special.gammainc(16.0, x)", "special.fdtr(2.0, 4.0, x)", "special.bdtr(1.0, 3, x)",
    "special.binom(x, 2.0)", "special.binom(3.0, x)", "special.poch(x, 2.0)", "special.poch(x, -1.5)",
    "special.beta(x, 0.5)", "special.beta(x, 1.0)", "special.lpmv(0.0, 2.0, x)", "special.boxcox(1.0, x)",
    "special.gammaincinv(0.5, x)", "special.betaincinv(0.5, 0.5, x)", "special.powm1(x, 2.0)", "special.iv(1.0, x)",
]  # fmt: skip


def orders(row: dict[str, Any]) -> range:
    """1 to 4; of integrals by their parameters, which take seconds, 1 and 2 unless all cases are asked for."""
    dear = (
        row["name"].removeprefix("special.") in ("betainc", "betaincc", "fdtr", "stdtr")
        and row["fixed"][-1] is not None
    )
    return range(1, 3 if dear and not os.environ.get("POLYGRAD_ALL_CASES") else 5)


@pytest.mark.parametrize("key", dict.fromkeys([*ALWAYS, *first_of_each()]))
def test_derivatives(key: str) -> None:
    row = TABLE[key]
    f, points = function(row), np.asarray(row["points"])
    with np.errstate(all="ignore"):
        wrong = [fault for n in orders(row) for fault in faults(row, nested(f, n)(points), n)]
    assert not wrong, wrong


def test_the_table_has_every_function_of_real_numbers() -> None:
    """Nobody adds a special function without its row."""
    rows = {row["name"].removeprefix("special.") for row in TABLE.values() if row["name"].startswith("special.")}
    others = {
        "gammasgn": "piecewise constant", "radian": "linear", "softmax": "in the main namespace", "log_softmax": "there too",
        "logsumexp": "there too",
    }  # fmt: skip
    assert rows | set(others) >= set(pg.special.__all__)


# -- other ways to the same derivatives ------------------------------------------------------------------


WAYS = {
    "forward over reverse": lambda f: forward(reverse(f)),
    "forward over forward": lambda f: forward(forward(f)),
    "inside vmap": lambda f: pg.vmap(pg.grad(pg.grad(f))),
    "outside vmap": lambda f: nested(pg.vmap(f), 2),
    "compiled": lambda f: pg.compile(nested(f, 2)),
    "native": lambda f: pg.compile(nested(f, 2), executor="native"),
}


# Each row one way; with ``POLYGRAD_ALL_CASES=1`` every way.
ONE_WAY = every(len(WAYS) + 1, [(key, way) for key in ALWAYS for way in WAYS])


@pytest.mark.parametrize(("key", "way"), ONE_WAY)
def test_second_derivatives_another_way(key: str, way: str) -> None:
    row = TABLE[key]
    points = np.asarray(row["points"])
    with np.errstate(all="ignore"):
        f = WAYS[way](function(row))
        found = [f(points) for _ in range(2 if way in ("compiled", "native") else 1)][-1]
    assert not faults(row, np.asarray(found), 2)


@pytest.mark.parametrize("key", ["special.gammainc(x, 2.0)", *ALWAYS[:12]])
def test_second_derivatives_in_single_precision(key: str) -> None:
    """Away from what single precision does not hold: points 1e-3 apart, an error of 1e-4 of the greatest."""
    row = TABLE[key]
    exact = {np.float32(x): float(d[1]) for x, d in zip(row["points"], row["derivatives"], strict=True)}
    exact = {x: v for x, v in exact.items() if np.isfinite(v) and (x == 0 or abs(x) > 1e-4) and abs(v) < 1e6}
    with np.errstate(all="ignore"):
        found = nested(function(row), 2)(np.asarray(list(exact), dtype="float32"))
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, list(exact.values()), rtol=0, atol=1e-3 * max(1.0, *map(abs, exact.values())))


# -- ends, by all arguments --------------------------------------------------------------------------------

INF = float("inf")
# (function, arguments, arguments to differentiate by in turn, the derivative)
ENDS: list[tuple[str, tuple[float, ...], tuple[int, ...], float]] = [
    # parameters do not move a value that is the same for all of them
    ("gammainc", (2.0, 0.0), (0,), 0.0), ("gammainc", (2.0, INF), (0,), 0.0), ("gammainc", (2.0, INF), (1, 1), 0.0),
    ("gammaincinv", (2.0, 0.0), (0,), 0.0), ("gammainccinv", (2.0, 1.0), (0,), 0.0), ("chdtri", (4.0, 1.0), (0,), 0.0),
    ("betaincinv", (2.0, 2.0, 0.0), (0,), 0.0), ("betaincinv", (2.0, 2.0, 1.0), (1,), 0.0), ("fdtri", (4.0, 2.0, 0.0), (0,), 0.0),
    ("betainccinv", (2.0, 2.0, 0.0), (1,), 0.0), ("fdtri", (4.0, 2.0, 0.0), (1,), 0.0), ("gdtr", (1.0, 0.5, 0.0), (0,), 0.0),
    ("gdtr", (1.0, 0.5, INF), (0,), 0.0), ("gdtr", (2.0, 3.5, INF), (0, 0), 0.0), ("gdtr", (0.0, 1.0, 2.0), (0,), 2.0),
    ("fdtr", (4.0, 4.0, INF), (2,), 0.0), ("fdtr", (4.0, 1.0, INF), (2, 2), 0.0), ("fdtr", (2.0, 4.0, 0.0), (0, 0), 0.0),
    ("fdtr", (1.0, 4.0, 0.0), (1, 1), 0.0), ("stdtr", (3.0, INF), (0, 0), 0.0), ("stdtr", (INF, 0.0), (1,), 0.3989422804014327),
    ("stdtr", (INF, 1.0), (1, 1), -0.24197072451914337), ("stdtr", (INF, 1.0), (0,), 0.0),
    ("owens_t", (0.0, INF), (1, 1), 0.0), ("owens_t", (INF, 0.0), (0, 0), 0.0),
    ("owens_t", (1.0, INF), (0,), -0.12098536225957168),
    ("agm", (1.0, 0.0), (0,), 0.0), ("agm", (1.0, 0.0), (1,), INF), ("boxcox", (0.0, 2.0), (1,), 0.25),
    ("boxcox1p", (-1.0, 2.0), (1,), 0.25), ("inv_boxcox", (-1.0, 1.0), (1,), -1.0), ("powm1", (0.0, 0.0), (0,), 0.0),
    # mixed: of the density by a parameter
    ("gammainc", (1.0, 0.0), (0, 1), -INF), ("gammainc", (2.0, 0.0), (0, 1), 0.0), ("gammainc", (2.0, 0.0), (0, 1, 1), -INF),
    ("betainc", (1.0, 3.0, 0.0), (1, 2), 1.0), ("betainc", (1.0, 3.0, 0.0), (2, 1), 1.0),
    ("betainc", (1.0, 3.0, 0.0), (0, 2), -INF), ("betainc", (3.0, 1.0, 1.0), (0, 2), 1.0),
    ("betainc", (2.0, 3.0, 0.0), (1, 2, 2), 7.0), ("betainc", (3.0, 2.0, 1.0), (0, 2, 2), -7.0),
    ("fdtr", (2.0, 4.0, 0.0), (0, 2), -INF), ("fdtr", (2.0, 4.0, 0.0), (1, 2), 0.0),
    ("stdtr", (3.0, 0.0), (0, 1), 0.009732981649988), ("stdtr", (3.0, 0.0), (1, 0), 0.009732981649988),
    ("chdtr", (4.0, 0.0), (0, 1), 0.0), ("gdtr", (2.0, 1.0, 0.0), (0, 2), 1.0), ("gdtr", (2.0, 0.5, 0.0), (0, 2), INF),
    ("poch", (2.0, 0.0), (0, 1), 0.6449340668482264), ("poch", (2.0, 0.0), (1, 0), 0.6449340668482264),
    ("beta", (1.0, 1.0), (0, 1), 2 - np.pi**2 / 6), ("binom", (0.0, 0.0), (0, 1), np.pi**2 / 6),
    ("binom", (-1.0, 2.0), (), 1.0), ("binom", (-3.0, 3.0), (), -10.0), ("binom", (-3.0, 3.0), (0,), 47 / 6),
]  # fmt: skip


@pytest.mark.parametrize(("name", "args", "turns", "expected"), ENDS)
def test_at_ends_by_all_arguments(name: str, args: Any, turns: Any, expected: float) -> None:
    f = getattr(pg.special, name)
    for argument in turns:
        f = pg.grad(f, argnums=argument)
    np.testing.assert_allclose(float(f(*args)), expected, rtol=1e-11, atol=1e-13)
