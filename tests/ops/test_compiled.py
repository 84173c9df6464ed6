"""Every row of the table as a static graph: the values and derivatives that eager code gives, bit for bit."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from table import BY_VALUES, Row, every
from test_table import CASES, SMOOTH, arrays, function

import polygrad as pg
from polygrad.errors import TraceError


def same(a: Any, b: Any, rtol: float = 0.0) -> None:
    assert type(a) is type(b)
    if isinstance(a, (tuple, list)):
        assert len(a) == len(b)
        for x, y in zip(a, b, strict=True):
            same(x, y, rtol)
        return
    assert a.dtype is b.dtype
    assert a.requires_grad is b.requires_grad
    x, y = (np.asarray(t.detach().to_device("cpu").numpy()) for t in (a, b))
    assert x.shape == y.shape
    if a.device.backend.name in ("numpy", "strict") and not rtol:
        np.testing.assert_array_equal(x, y)
    else:  # these libraries' own results depend on how memory is aligned
        np.testing.assert_allclose(x, y, rtol=rtol or 1e-12, atol=1e-13)


@pytest.mark.devices("numpy", "cupy")
@pytest.mark.over(CASES)
def test_value(row: Row, sample: Any, device: Any) -> None:
    f = function(row, device)
    compiled = pg.compile(f)
    if row.name in BY_VALUES:
        with pytest.raises(TraceError, match="whose shape depends on values"):
            compiled(*arrays(sample, device))
        return
    expected = f(*arrays(sample, device))
    for _ in range(2):
        same(compiled(*arrays(sample, device)), expected)
    assert compiled.cache_info().hits == 1


@pytest.mark.devices("strict", "torch", "jax", "dask")
@pytest.mark.over(every(24, CASES))
def test_some_values(row: Row, sample: Any, device: Any) -> None:
    test_value(row, sample, device)


@pytest.mark.devices("numpy", "cupy")
@pytest.mark.over([c for c in SMOOTH if c.values[0].name not in BY_VALUES], first=("cpu",))
def test_derivatives(row: Row, sample: Any, device: Any) -> None:
    f = function(row, device)

    def loss(*tensors: Any) -> Any:
        out = f(*tensors)
        parts = [pg.sum(pg.real(y * y) if y.dtype.kind == "c" else y * y) for y in (out if isinstance(out, tuple) else (out,))
                 if y.dtype.kind in "fc"]  # fmt: skip
        return sum(parts[1:], parts[0])

    which = [i for i, x in enumerate(sample) if x.dtype.kind in "fc"]
    expected = pg.grad(loss, argnums=which)(*arrays(sample, device))
    # Planned buffers are in C order where NumPy would have kept a transposed one, so that sums may add in another order.
    same(pg.grad(pg.compile(loss), argnums=which)(*arrays(sample, device)), expected, 1e-14)
    same(pg.compile(pg.grad(loss, argnums=which))(*arrays(sample, device)), expected, 1e-14)
