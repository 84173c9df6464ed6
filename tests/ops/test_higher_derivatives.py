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
from pathlib import Path
from typing import Any

import numpy as np
import pytest

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


def nested(f: Any, order: int, forward: bool = False) -> Any:
    """The derivative of this order of a function of each element."""
    for _ in range(order - forward):
        f = (lambda f: pg.grad(lambda x: pg.sum(f(x))))(f)
    return f if not forward else lambda x: pg.jvp(f, (x,), (np.ones_like(x),))[1]


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


@pytest.mark.parametrize("key", TABLE)
def test_derivatives(key: str) -> None:
    row = TABLE[key]
    f, points = function(row), np.asarray(row["points"])
    with np.errstate(all="ignore"):
        wrong = [fault for n in range(1, 5) for fault in faults(row, nested(f, n)(points), n)]
    assert not wrong, wrong
