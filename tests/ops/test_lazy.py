"""pg.compute: lazy values made present, in place, graphs untouched."""

from __future__ import annotations

import pytest

import polygrad as pg


def test_values_and_graphs_stay(device: pg.Device) -> None:
    x = pg.asarray([1.0, 2.0], device=device, requires_grad=True)
    y = x * 3.0
    view = y[0:1]
    before = y.grad_fn
    pg.compute(x, y, view)
    assert (y.tolist(), view.tolist(), y.grad_fn, y.device) == ([3.0, 6.0], [3.0], before, device)
    pg.sum(y * y).backward()
    assert x.grad.tolist() == [18.0, 36.0]
    pg.compute()


@pytest.mark.devices("dask")
def test_what_was_computed_is_not_computed_again(device: pg.Device) -> None:
    x = pg.ones(3, device=device)
    for _ in range(10):
        x = x + 1.0
    tasks = len(x._value.dask)
    pg.compute(x)
    assert len(x._value.dask) < tasks
    assert x.tolist() == [11.0] * 3
