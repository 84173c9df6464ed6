"""What tests of linalg share: random matrices, and gradients in both modes."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import polygrad as pg

INF, NAN = float("inf"), float("nan")

# Where each new shape costs nothing: rules are the same everywhere, and the table has run them on all libraries.
eager = pytest.mark.devices("numpy", "strict", "torch", "cupy")

_rng = np.random.default_rng(0)


def start_anew() -> None:
    """The same numbers in each test, in whatever order tests run."""
    global _rng
    _rng = np.random.default_rng(20261126)


def real(*shape: int) -> Any:
    return _rng.normal(size=shape)


def cplx(*shape: int) -> Any:
    return _rng.normal(size=shape) + 1j * _rng.normal(size=shape)


def host(x: Any) -> Any:
    return np.asarray(pg.asarray(x).detach().to_device("cpu").numpy())


def both(f: Any, x: Any) -> Any:
    """The gradient of a scalar function, in both modes, which must agree (nan where nan)."""
    x = np.asarray(x)
    with np.errstate(all="ignore"):
        reverse = pg.grad(f)(x)
        forward = np.zeros_like(x)
        for index in np.ndindex(x.shape):
            unit = np.zeros_like(x)
            unit[index] = 1.0
            forward[index] = pg.jvp(f, (x,), (unit,))[1]
    np.testing.assert_allclose(forward, reverse, rtol=1e-12, atol=1e-13)
    return reverse
