"""A small tensor for tests of static graphs, and how two are compared."""

from __future__ import annotations

from typing import Any

import numpy as np

import polygrad as pg

X = np.linspace(-1.0, 2.0, 12).reshape(3, 4)


def tensor(device: Any = None, **options: Any) -> Any:
    return pg.asarray(X, copy=True, device=device, **options)


def equal(a: Any, b: Any) -> None:
    np.testing.assert_array_equal(*(np.asarray(t.detach().to_device("cpu").numpy()) for t in (a, b)))
