"""Medians, quantiles, running extremes, topk: values, slopes at ties, errors."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from shared import host, slope

import polygrad as pg
from polygrad.errors import AxisError, DTypeError, ShapeError

INF, NAN = float("inf"), float("nan")


# -- medians and quantiles ---------------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(40))
def test_quantiles_against_numpy(seed: int) -> None:
    rng = np.random.default_rng(seed)
    x = rng.normal(size=rng.integers(1, 5, int(rng.integers(1, 4))))
    if seed % 5 == 0:
        x = np.round(x)  # ties
    if seed % 7 == 0:
        x.reshape(-1)[0] = NAN
    axis: Any = [None, 0, -1, tuple(range(x.ndim))][seed % 4]
    keepdims = bool(seed % 3 == 0)
    q = rng.uniform(size=rng.integers(1, 4, int(rng.integers(0, 3))))
    for method in ("linear", "lower", "higher", "nearest", "midpoint"):
        want = np.quantile(x, q, axis=axis, keepdims=keepdims, method=method)
        got = pg.quantile(x, q, axis=axis, keepdims=keepdims, method=method)
        assert got.shape == want.shape
        np.testing.assert_allclose(got.numpy(), want, rtol=1e-13, atol=1e-15)
    np.testing.assert_allclose(
        pg.median(x, axis=axis, keepdims=keepdims).numpy(), np.median(x, axis=axis, keepdims=keepdims), rtol=1e-15
    )
    np.testing.assert_allclose(
        pg.nanmedian(x, axis, keepdims).numpy(), np.nanmedian(x, axis=axis, keepdims=keepdims), rtol=1e-15
    )


def test_quantiles_at_the_ends_and_between_equals() -> None:
    x = np.asarray([0.1, 0.7, 0.1, 0.3])
    assert pg.quantile(x, 0.0).item() == 0.1
    assert pg.quantile(x, 1.0).item() == 0.7
    assert pg.quantile(np.full(7, 0.1), 0.3).item() == 0.1
    assert pg.quantile(x, 0).item() == 0.1
    assert pg.quantile(x, True).item() == 0.7


def test_quantiles_beside_infinities() -> None:
    x = [-INF, 1.0, 2.0, INF]
    assert pg.quantile(x, [0.0, 1 / 3, 2 / 3, 1.0]).tolist() == [-INF, 1.0, 2.0, INF]
    assert pg.quantile(x, [0.9, 0.1]).tolist() == [INF, -INF]
    assert pg.quantile([INF, INF], 0.5).item() == INF
    assert pg.median([INF, INF]).item() == INF
    np.testing.assert_allclose(slope(lambda v: pg.quantile(v, 1 / 3), x), [0, 1, 0, 0])


def test_quantiles_of_nan_and_of_nothing() -> None:
    x = [1.0, NAN, 3.0]
    for made in (pg.median(x), pg.quantile(x, 0.0), pg.nanmedian([NAN, NAN])):
        assert np.isnan(made.item())
    np.testing.assert_array_equal(slope(pg.median, x), [0, 1, 0])  # what is nan has the slope
    np.testing.assert_array_equal(slope(lambda v: pg.quantile(v, 0.4), x), [0, 1, 0])
    empty = np.ones((2, 0))
    for f in (pg.median, pg.nanmedian):
        np.testing.assert_array_equal(f(empty, axis=1).numpy(), [NAN, NAN])
        assert f(empty, axis=0).shape == (0,)
        assert f(empty, keepdims=True).shape == (1, 1)
        assert slope(f, empty).shape == (2, 0)
    made = pg.quantile(empty, [0.1, 0.2, 0.3], axis=1)
    assert made.shape == (3, 2)
    assert np.isnan(made.numpy()).all()
    assert slope(lambda v: pg.quantile(v, 0.5, axis=1), empty).shape == (2, 0)


def test_quantiles_out_of_range() -> None:
    for q in (1.5, -0.1, [0.1, [2.0]], np.asarray(1.01), NAN):
        with pytest.raises(ValueError, match="q must be between 0 and 1"):
            pg.quantile([1.0, 2.0], q)
    made = pg.quantile([1.0, 2.0], pg.asarray([0.5, 1.5, NAN]))  # values of a Tensor are not read
    np.testing.assert_array_equal(made.numpy(), [1.5, NAN, NAN])


def test_slopes_at_ties_go_to_the_elements_picked() -> None:
    x = [2.0, 1.0, 2.0, 2.0]
    np.testing.assert_array_equal(slope(pg.median, x), [0.5, 0, 0.5, 0])  # in order: 1, 2 (first), 2 (third), 2 (last)
    np.testing.assert_allclose(slope(lambda v: pg.quantile(v, 0.75), x), [0, 0, 0.75, 0.25])
    np.testing.assert_array_equal(slope(lambda v: pg.topk(v, 2).values, x), [1, 0, 1, 0])
    np.testing.assert_array_equal(slope(pg.nanmedian, [*x, NAN]), [0.5, 0, 0.5, 0, 0])


def test_slopes_by_q() -> None:
    x = np.asarray([1.0, 2.0, 4.0, 8.0])
    for q, want in [(0.0, 3.0), (0.2, 3.0), (1 / 3, 6.0), (0.9, 12.0), (1.0, 12.0)]:
        assert slope(lambda v, q: pg.quantile(v, q), x, q, argnums=1) == pytest.approx(want)
    for method in ("lower", "higher", "nearest", "midpoint"):
        assert slope(lambda v, q, m=method: pg.quantile(v, q, method=m), x, 0.4, argnums=1) == 0.0


def test_dtypes_of_order_statistics() -> None:
    x = np.asarray([3, 1, 2])
    for made in (pg.median(x), pg.quantile(x, 0.5), pg.nanmedian(x), pg.quantile(x, pg.asarray(1))):
        assert made.dtype is pg.float64
    assert pg.median(np.asarray([True, False])).item() == 0.5
    single = x.astype("float32")
    assert pg.median(single).dtype is pg.float32
    assert pg.quantile(single, 0.5).dtype is pg.float32
    assert pg.quantile(single, np.asarray(0.5)).dtype is pg.float64  # as in NumPy
    assert (
        pg.quantile(single, np.asarray(0.5, "float32")).dtype is pg.float32
    )  # as there, though positions are found in float64
    assert pg.topk(x, 1).values.dtype is pg.int64
    assert pg.cummax(x).dtype is pg.int64
    for f in (pg.median, pg.nanmedian, lambda v: pg.quantile(v, 0.5), lambda v: pg.topk(v, 1), pg.cummax, pg.nanmax):
        with pytest.raises(DTypeError, match="needs real numbers, got complex128"):
            f(np.ones(2) * 1j)
    for f in (pg.cummin, lambda v: pg.topk(v, 1), pg.nanmin):
        with pytest.raises(DTypeError, match="needs real numbers, got bool"):
            f(np.ones(2) > 0)


def test_errors_of_order_statistics() -> None:
    with pytest.raises(ValueError, match="method 'weibull' is not one of linear, lower"):
        pg.quantile([1.0], 0.5, method="weibull")
    with pytest.raises(AxisError, match="median: axis 1"):
        pg.median([1.0], axis=1)
    with pytest.raises(AxisError, match="quantile: axis -2"):
        pg.quantile([1.0], 0.1, axis=-2)
    for k in (3, -1):
        with pytest.raises(ShapeError, match=f"topk: k={k} of 2 elements along axis 0"):
            pg.topk([1.0, 2.0], k)
    with pytest.raises(ShapeError, match="cummin: needs at least one dimension"):
        pg.cummin(1.0)
    with pytest.raises(AxisError, match="cummax: axis 2"):
        pg.cummax([1.0], 2)


# -- running extremes and topk, against PyTorch --------------------------------------------------------


def test_running_extremes_as_in_pytorch() -> None:
    torch = pytest.importorskip("torch")
    rng = np.random.default_rng(0)
    for k in range(20):
        x = np.round(rng.normal(size=(3, 7)), 0 if k % 2 else 3)  # ties
        if k > 15:
            x[1, 3] = NAN
        for name in ("cummax", "cummin"):
            for axis in (0, 1):
                t = torch.tensor(x, requires_grad=True)
                want = getattr(torch, name)(t, axis).values
                weights = rng.normal(size=x.shape)
                (want * torch.tensor(weights)).sum().backward()
                f = getattr(pg, name)
                np.testing.assert_array_equal(f(x, axis).numpy(), want.detach().numpy())
                got = pg.grad(lambda v, f=f, axis=axis, w=weights: pg.sum(f(v, axis) * w))(x)
                np.testing.assert_allclose(got, t.grad.numpy(), rtol=1e-14, atol=1e-14)


def test_topk_as_in_pytorch(device: Any) -> None:
    torch = pytest.importorskip("torch")
    x = np.asarray([[3.0, NAN, -1.0, INF, 2.5], [0.5, 7.0, -INF, 1.0, 2.0]])
    for largest in (True, False):
        for k in range(6):
            values, indices = pg.topk(pg.asarray(x, device=device), k, largest=largest)
            want = torch.topk(torch.tensor(x), k, largest=largest)
            np.testing.assert_array_equal(host(values), want.values.numpy())
            np.testing.assert_array_equal(host(indices), want.indices.numpy())
