"""Statistics without nan: rows of nan alone, slopes, degrees of freedom."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from shared import host, slope

import polygrad as pg
from polygrad.errors import ShapeError

INF, NAN = float("inf"), float("nan")


# -- without nan -------------------------------------------------------------------------------------


def test_rows_of_nan_alone(device: Any) -> None:
    """Without a warning, which would be an error here; the slope is 0."""
    x = np.asarray([[1.0, 2.0, NAN], [NAN, NAN, NAN]])
    for name, all_nan in [
        ("nansum", 0.0), ("nanprod", 1.0), ("nanmean", NAN), ("nanvar", NAN), ("nanstd", NAN), ("nanmax", NAN),
        ("nanmin", NAN), ("nanmedian", NAN),
    ]:  # fmt: skip
        f = getattr(pg, name)
        leaf = pg.asarray(x, device=device, requires_grad=True)
        made = f(leaf, axis=1)
        np.testing.assert_allclose(host(made)[1], all_nan)
        np.testing.assert_allclose(host(made)[0], getattr(np, name)(x[0]), rtol=1e-14)
        if device.name in ("cpu", "strict:device1", "torch:cpu") and name != "nanmedian":
            pg.sum(made[0]).backward()
            assert leaf.grad is not None
            g = host(leaf.grad)
            assert np.isfinite(g).all()
            np.testing.assert_array_equal(g[np.isnan(x)], 0)


def test_slopes_beside_nan() -> None:
    np.testing.assert_array_equal(slope(pg.nanmax, [NAN, -INF]), [0, 1])
    np.testing.assert_array_equal(slope(pg.nanmin, [INF, NAN, INF]), [0.5, 0, 0.5])
    np.testing.assert_array_equal(slope(pg.nanmax, [2.0, NAN, 1.0, 2.0]), [0.5, 0, 0, 0.5])
    np.testing.assert_array_equal(slope(pg.nanmax, [NAN, NAN]), [0, 0])
    np.testing.assert_array_equal(slope(pg.nanmean, [NAN, NAN]), [0, 0])
    np.testing.assert_array_equal(slope(pg.nanstd, [3.0, NAN, 3.0]), [0, 0, 0])
    np.testing.assert_array_equal(slope(pg.nanprod, [3.0, NAN, 0.0]), [0, 0, 3])
    inside = pg.vmap(pg.grad(pg.nanmax))(np.asarray([[NAN, -INF], [2.0, 2.0]]))
    np.testing.assert_array_equal(inside, [[0, 1], [0.5, 0.5]])
    outside = pg.grad(lambda m: pg.sum(pg.vmap(pg.nanmax)(m)))(np.asarray([[NAN, -INF], [2.0, 2.0]]))
    np.testing.assert_array_equal(outside, [[0, 1], [0.5, 0.5]])


def test_nan_statistics_without_degrees_of_freedom() -> None:
    for f in (pg.nanvar, pg.nanstd):
        assert np.isnan(f([1.0, NAN], correction=1).item())
        assert np.isnan(f([1.0, NAN, 2.0], correction=3).item())
        assert f([1.0, NAN], correction=0).item() == 0.0


def test_nan_statistics_of_whole_numbers() -> None:
    x = np.asarray([[1, 2], [3, 5]], "int32")
    assert pg.nansum(x).dtype is pg.int64
    assert pg.nanprod(x, axis=0).tolist() == [3, 10]
    assert pg.nansum(x, dtype="float32").dtype is pg.float32
    assert pg.nanmax(x, axis=0).dtype is pg.int32
    assert pg.nanmin(x, keepdims=True).tolist() == [[1]]
    assert pg.nanmean(x).item() == 2.75
    assert pg.nanvar(x).item() == np.var(x)
    assert pg.nansum(np.asarray([True, True])).item() == 2
    assert pg.nan_to_num(x).dtype is pg.int32
    assert pg.nan_to_num(np.asarray([True])).tolist() == [True]


def test_extremes_over_nothing() -> None:
    for f in (pg.nanmax, pg.nanmin):
        with pytest.raises(ShapeError, match="of no elements"):
            f(np.ones((0, 2)), axis=0)
        assert f(np.ones((0, 2)), axis=1).shape == (0,)
        np.testing.assert_array_equal(f([1.0, NAN], axis=()).numpy(), [1.0, NAN])


def test_nan_to_num() -> None:
    x = np.asarray([0.5, NAN, INF, -INF, -0.7])
    for dtype in ("float32", "float64"):
        np.testing.assert_array_equal(pg.nan_to_num(x.astype(dtype)).numpy(), np.nan_to_num(x.astype(dtype)))
    z = np.asarray([complex(NAN, 1), complex(2, -INF), complex(INF, NAN)])
    for dtype in ("complex64", "complex128"):
        np.testing.assert_array_equal(pg.nan_to_num(z.astype(dtype)).numpy(), np.nan_to_num(z.astype(dtype)))
    np.testing.assert_array_equal(slope(pg.nan_to_num, x), [1, 0, 0, 0, 1])
    fill = slope(lambda v, n: pg.nan_to_num(v, nan=n, posinf=n), x, 3.0, argnums=1)
    assert fill == 2.0
