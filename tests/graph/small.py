"""A small tensor for tests of static graphs, and how results are compared."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from polygrad_backends import numpy_executor

import polygrad as pg
from polygrad.graph import memory

X = np.linspace(-1.0, 2.0, 12).reshape(3, 4)


def tensor(device: Any = None, **options: Any) -> Any:
    return pg.asarray(X, copy=True, device=device, **options)


def equal(a: Any, b: Any) -> None:
    np.testing.assert_array_equal(*(np.asarray(t.detach().to_device("cpu").numpy()) for t in (a, b)))


def all_is_large(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is done for large arrays only, to spare memory, is done for all."""
    monkeypatch.setattr(numpy_executor, "PLANNED_BYTES", 1)
    monkeypatch.setattr(memory, "LARGE_BYTES", 1)
    monkeypatch.setattr(memory, "SMALL_BYTES", 0)


def with_cotangents(f: Any, xs: tuple[Any, ...]) -> tuple[list[Any], tuple[Any, ...]]:
    """What ``f`` makes of floating and complex numbers, and the cotangents of its floating and complex arguments."""
    chosen = [i for i, x in enumerate(xs) if x.dtype.kind in "fc"]

    def of_some(*some: Any) -> Any:
        given = list(xs)
        for i, x in zip(chosen, some, strict=True):
            given[i] = x
        made = f(*given)
        return [y for y in (made if isinstance(made, tuple) else (made,)) if y.dtype.kind in "fc"]

    outs, pull = pg.vjp(of_some, *[xs[i] for i in chosen])
    return outs, pull([y * 0.5 + 1 for y in outs])


def close(
    found: Any, expected: Any, rtol: float = 1e-12, least: float | None = None, single: float | None = None
) -> None:
    """Alike, tuples entry by entry, but for rounding: ``single`` instead of ``rtol`` in single precision; with ``least``,
    relative to the largest element, or to this if it is larger."""
    if isinstance(expected, (tuple, list)):
        for a, b in zip(found, expected, strict=True):
            close(a, b, rtol, least, single)
        return
    assert (found.dtype, found.shape, found.device) == (expected.dtype, expected.shape, expected.device)
    a, b = (np.asarray(t.detach().to_device("cpu").numpy()) for t in (found, expected))
    if single is not None and a.dtype in (np.float32, np.complex64):
        rtol = single
    atol = rtol / 10 if least is None else rtol * np.max(np.abs(b[np.isfinite(b)]), initial=least)
    np.testing.assert_allclose(a, b, rtol=rtol, atol=atol)
