"""What stands beyond the standard: every value on every library; comparison, steps, running logarithms, programs of many."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import rows_extras
import table
from shared import host, slope

import polygrad as pg
from polygrad.errors import DTypeError, ShapeError
from polygrad.testing import check_grads

INF, NAN = float("inf"), float("nan")
ROWS = [r for r in table.ROWS if r.skip in (rows_extras.VARIANT, rows_extras.SLOW_VARIANT, rows_extras.MADE_OF_OTHERS)]
assert len(ROWS) > 100


@pytest.mark.devices("jax", "dask")
@pytest.mark.part(4, "jax:cpu")
@pytest.mark.parametrize("row", [r for r in ROWS if "jax" in r.skip], ids=lambda r: r.name)
def test_values_where_the_table_leaves_them_out(row: table.Row, device: Any) -> None:
    sample = row.samples[-1]
    found = row.f(device.xp, *[pg.asarray(x, device=device, copy=True) for x in sample])
    found = found if isinstance(found, tuple) else (found,)
    assert row.reference is not None
    want = row.reference(*sample)
    for y, e in zip(found, want if isinstance(want, tuple) else (want,), strict=True):
        assert y.device is device
        assert y.dtype == np.asarray(e).dtype
        np.testing.assert_allclose(host(y), e, rtol=1e-12, atol=1e-14)


# -- comparison and steps ----------------------------------------------------------------------------------


def test_closeness_against_numpy(device: Any) -> None:
    edge = [0.0, 1.0, 1.0 + 9e-6, 1.0 + 1.2e-5, 1.0 + 5e-5, 1.2e-8, INF, -INF, NAN, 1e-9]
    a, b = (np.asarray(v) for v in np.meshgrid(edge, edge))
    for x, y in [(a, b), (a + 1j, b + 1j), (np.asarray([[1, 2]]), np.asarray([1, 3])), (np.asarray([True]), a[1])]:
        there = [pg.asarray(v, device=device, copy=True) for v in (x, y)]
        for equal_nan in (False, True):
            with np.errstate(all="ignore"):
                want = np.isclose(x, y, equal_nan=equal_nan)
                every = np.allclose(x, y, equal_nan=equal_nan)
            made = pg.isclose(*there, equal_nan=equal_nan)
            assert made.dtype is pg.bool
            np.testing.assert_array_equal(host(made), want)
            assert bool(pg.allclose(*there, equal_nan=equal_nan)) == every
    assert pg.isclose(1.0, 1.2, rtol=0.5).item()
    assert pg.isclose(pg.asarray(0.0, requires_grad=True), 0.2, atol=0.3).item()


def test_heaviside_against_numpy(device: Any) -> None:
    x1, x2 = np.asarray([-1.5, 0.0, -0.0, 2.0, NAN, INF]), np.asarray([[0.3], [NAN]])
    made = pg.heaviside(pg.asarray(x1, device=device), pg.asarray(x2, device=device))
    np.testing.assert_array_equal(host(made), np.heaviside(x1, x2))
    assert pg.heaviside(pg.asarray([1, 0, -1], device=device), 0.5).tolist() == [1.0, 0.5, 0.0]
    assert pg.heaviside(pg.asarray(x1.astype("float32"), device=device), 0.5).dtype is pg.float32


def test_slopes_of_steps() -> None:
    first, second = slope(pg.heaviside, [-1.0, 0.0, 2.0], [0.5, 0.5, 0.5], argnums=(0, 1))
    assert (first.tolist(), second.tolist()) == ([0, 0, 0], [0, 1, 0])
    with pytest.raises(DTypeError, match="heaviside: needs real numbers"):
        pg.heaviside(1j, 0.0)


def test_softplus_at_zero_and_in_the_tails() -> None:
    """jax#2107"""
    assert pg.grad(pg.softplus)(0.0) == 0.5
    assert pg.grad(pg.grad(pg.softplus))(0.0) == 0.25
    assert pg.softplus([-1000.0, 1000.0]).tolist() == [0.0, 1000.0]
    assert pg.grad(pg.softplus)(-700.0) == pytest.approx(np.exp(-700.0), rel=1e-13)
    assert slope(pg.softplus, [INF, -INF, 800.0]).tolist() == [1.0, 0.0, 1.0]
    assert pg.grad(pg.grad(pg.sigmoid))(0.0) == 0.0


# -- running logarithms of sums ------------------------------------------------------------------------------


@pytest.mark.part(3, "jax:cpu", "dask")
@pytest.mark.parametrize(
    "x",
    [
        [0.5, -1.0, 2.0, 0.1],
        [-INF, -INF, 1.0, 2.0],
        [1.0, INF, 3.0, INF, 2.0],
        [-INF, INF, -INF],
        [-INF, -INF],
        [1e3, -1e3, 1e3, 0.0],
        [700.0, -700.0, 1e300, -1e300],
        [INF, INF, INF],
        [-3.0],
        [],
    ],
)
def test_running_logsumexp_is_logsumexp_of_each_beginning(x: list[float], device: Any) -> None:
    found = pg.jacrev(pg.cumulative_logsumexp)(pg.asarray(np.asarray(x, "float64"), device=device))
    values = pg.cumulative_logsumexp(pg.asarray(np.asarray(x, "float64"), device=device))
    for i in range(len(x)):
        beginning = np.asarray(x[: i + 1])
        np.testing.assert_allclose(host(values)[i], pg.logsumexp(beginning).item(), rtol=1e-14)
        weights = np.zeros(len(x))
        weights[: i + 1] = pg.grad(pg.logsumexp)(beginning)
        np.testing.assert_allclose(host(found)[i], weights, rtol=1e-13, atol=0)
    if device.name == "cpu" and x:
        moved = pg.jacfwd(pg.cumulative_logsumexp)(np.asarray(x))
        np.testing.assert_allclose(moved, host(found), rtol=1e-13, atol=0)
        batch = pg.grad(lambda v: pg.sum(pg.vmap(pg.cumulative_logsumexp)(v)[:, -1]))(np.asarray([x, x]))
        np.testing.assert_allclose(batch[1], host(found)[-1], rtol=1e-13, atol=0)
        again = pg.jacfwd(pg.jacrev(pg.cumulative_logsumexp))(np.asarray(x))
        for i in range(len(x)):
            want = np.pad(pg.hessian(pg.logsumexp)(np.asarray(x[: i + 1])), (0, len(x) - i - 1))
            np.testing.assert_allclose(again[i], want, rtol=1e-10, atol=1e-13)


def test_running_logsumexp_passes_nan_on() -> None:
    with np.errstate(invalid="ignore"):  # NumPy's logaddexp warns of nan
        assert np.isnan(pg.cumulative_logsumexp([1.0, NAN, 2.0]).numpy()).tolist() == [False, True, True]
        assert np.isnan(slope(pg.cumulative_logsumexp, [1.0, NAN, 2.0])).all()
    with pytest.raises(ShapeError, match="cumulative_logsumexp: axis is required"):
        pg.cumulative_logsumexp(np.ones((2, 2)))
    with pytest.raises(DTypeError, match="cumulative_logsumexp: needs a real floating dtype"):
        pg.cumulative_logsumexp([1, 2])


# -- all together --------------------------------------------------------------------------------------------


def test_a_program_of_many() -> None:
    """Derivatives of functions made of these functions, in both modes and of second order."""

    def f(x: Any, w: Any) -> Any:
        windows = pg.sliding_window_view(pg.pad(x, 1, mode="reflect"), 3)
        smooth = pg.einsum("nk,k->n", windows, w)
        return pg.trapezoid(pg.cumulative_logsumexp(smooth)) + pg.median(smooth) * pg.quantile(x, 0.3) + pg.nanstd(x)

    check_grads(f, [np.asarray([0.3, -0.7, 1.1, 0.2, -0.4]), np.asarray([0.2, 0.5, -0.3])])


def test_nothing_is_detached() -> None:
    x = pg.asarray([0.3, -0.7, 1.1], requires_grad=True)
    for f in (
        pg.median, pg.nanmedian, pg.nanmax, pg.nanmin, pg.nansum, pg.nanprod, pg.nanmean, pg.nanvar, pg.nanstd, pg.cummax,
        pg.cummin, pg.trapezoid, pg.cumulative_trapezoid, pg.cov, pg.diag, pg.nan_to_num, pg.softplus, pg.corrcoef,
        pg.cumulative_logsumexp, lambda v: pg.quantile(v, 0.5), lambda v: pg.topk(v, 2).values, lambda v: pg.pad(v, 1),
        lambda v: pg.heaviside(v, 0.5), lambda v: pg.einsum("i->", v), lambda v: pg.interp(0.1, [0.0, 1.0, 2.0], v),
        lambda v: pg.logspace(v[0], 1.0, 3), lambda v: pg.sliding_window_view(v, 2), lambda v: pg.kron(v, v),
        lambda v: pg.outer(v, v), lambda v: pg.segment_sum(v, [0, 1, 0], 2),
    ):  # fmt: skip
        assert f(x).requires_grad
    assert not pg.isclose(x, x).requires_grad
    assert not pg.one_hot([1], 2).requires_grad
