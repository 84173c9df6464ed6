"""Interpolation, integration and covariances: values, dtypes, errors."""

from __future__ import annotations

import numpy as np
import pytest
from shared import slope

import polygrad as pg
from polygrad.errors import AxisError, DTypeError, ShapeError

INF, NAN = float("inf"), float("nan")


# -- interpolation and integration ---------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(30))
def test_interp_against_numpy(seed: int) -> None:
    rng = np.random.default_rng(seed)
    n = int(rng.integers(1, 6))
    xp = np.sort(np.round(rng.normal(size=n), 1))
    fp = rng.normal(size=n) + (1j * rng.normal(size=n) if seed % 4 == 0 else 0)
    x = np.concatenate([rng.normal(size=5), xp, xp + 0.05, [INF, -INF]])
    if seed % 3 == 0:
        np.testing.assert_allclose(pg.interp(x, xp, fp, 7.0, -7.0).numpy(), np.interp(x, xp, fp, 7.0, -7.0), rtol=1e-12)
    if len(set(xp.tolist())) == n:  # elsewhere NumPy's choice among values at one place is not told
        np.testing.assert_allclose(pg.interp(x, xp, fp).numpy(), np.interp(x, xp, fp), rtol=1e-12, atol=1e-15)


def test_interp_at_the_points_and_beyond() -> None:
    xp, fp = np.asarray([0.0, 1.0, 3.0]), np.asarray([0.0, 2.0, -2.0])
    np.testing.assert_array_equal(pg.interp(xp, xp, np.asarray([1.0, INF, 3.0])).numpy(), [1.0, INF, 3.0])
    found = slope(lambda x: pg.interp(x, xp, fp), [-1.0, 0.0, 0.5, 1.0, 2.0, 3.0, 4.0])
    np.testing.assert_allclose(found, [0, 2, 2, -2, -2, -2, 0])
    np.testing.assert_array_equal(slope(lambda f: pg.interp([-1.0, 4.0], xp, f), fp), [1, 0, 1])
    np.testing.assert_array_equal(slope(lambda f: pg.interp([-1.0, 4.0], xp, f, left=0.0), fp), [0, 0, 1])
    assert np.isnan(pg.interp(NAN, xp, fp).item())
    assert pg.interp([0.0, 5.0, 9.0], [5.0], [2.0], left=1.0).tolist() == [1.0, 2.0, 2.0]
    assert pg.interp(1.0, [0.0, 1.0, 1.0], [1.0, 2.0, 3.0]).item() == 3.0  # the last of several at one place
    np.testing.assert_array_equal(slope(lambda f: pg.interp([1.0], [0.0, 1.0, 1.0], f), fp), [0, 0, 1])
    assert pg.interp(np.asarray(2), [0, 4], [0, 1]).item() == 0.5
    assert pg.interp(np.ones((2, 0)), xp, fp).shape == (2, 0)


def test_errors_of_calculus() -> None:
    for xp, fp in [([1.0], [1.0, 2.0]), ([], []), ([[1.0]], [[1.0]]), (1.0, 1.0)]:
        with pytest.raises(ShapeError, match="vectors of the same length"):
            pg.interp(0.5, np.asarray(xp), np.asarray(fp))
    for args in [(1j, [0.0], [1.0]), (0.5, [1j], [1.0])]:
        with pytest.raises(DTypeError, match="interp: needs real numbers"):
            pg.interp(*[np.asarray(a) for a in args])
    y = np.ones((2, 3))
    with pytest.raises(ShapeError, match="trapezoid: 2 places x for 3 samples y along axis 1"):
        pg.trapezoid(y, [1.0, 2.0])
    with pytest.raises(ShapeError, match="neither one dimension nor those of y"):
        pg.trapezoid(y, np.ones((1, 2, 3)))
    with pytest.raises(ShapeError, match="trapezoid: needs at least one dimension"):
        pg.trapezoid(1.0)
    with pytest.raises(AxisError, match="cumulative_trapezoid: axis 2"):
        pg.cumulative_trapezoid(y, axis=2)
    with pytest.raises(ValueError, match="initial must be None or 0"):
        pg.cumulative_trapezoid(y, initial=1.0)
    with pytest.raises(ValueError, match="num must not be negative"):
        pg.logspace(0.0, 1.0, -1)


def test_dtypes_of_calculus() -> None:
    whole = np.asarray([1, 2, 4])
    assert pg.trapezoid(whole).item() == 4.5
    assert pg.trapezoid(whole, whole).item() == 7.5
    assert pg.cumulative_trapezoid(whole).tolist() == [1.5, 4.5]
    single = whole.astype("float32")
    assert pg.trapezoid(single).dtype is pg.float32
    assert pg.trapezoid(np.ones((2, 0))).tolist() == [0.0, 0.0]
    assert pg.trapezoid(np.ones((2, 1)), [3.0]).tolist() == [0.0, 0.0]
    assert pg.interp(single, single, single).dtype is pg.float32
    assert pg.logspace(0, 2, 3).tolist() == [1.0, 10.0, 100.0]
    assert pg.logspace(0, 3, 3, endpoint=False, dtype="int64").tolist() == [1, 10, 100]
    assert pg.logspace(np.asarray(1.0, "float32"), 2, 3).dtype is pg.float32
    assert pg.logspace(1.0, 2.0, 1).tolist() == [10.0]
    assert pg.logspace(1.0, 2.0, 0).shape == (0,)
    assert pg.logspace(np.zeros((2, 3)), 1.0, 4, axis=1).shape == (2, 4, 3)


def test_covariances() -> None:
    x = np.asarray([[1, 2, 4], [2, 0, 1]])
    np.testing.assert_allclose(pg.cov(x).numpy(), np.cov(x), rtol=1e-14)
    np.testing.assert_allclose(pg.corrcoef(x).numpy(), np.corrcoef(x), rtol=1e-14)
    assert pg.cov(x[0]).shape == () == pg.corrcoef(x[0]).shape
    assert pg.corrcoef(x[0]).item() == 1.0
    assert np.isnan(pg.cov(np.ones((2, 1))).numpy()).all()  # one observation, and one degree of freedom less
    assert pg.cov(np.ones((2, 1)), 0).tolist() == [[0.0, 0.0], [0.0, 0.0]]
    assert np.isnan(pg.cov(np.ones((2, 0))).numpy()).all()
    flat = np.asarray([[1.0, 1.0, 1.0], [1.0, 2.0, 4.0]])
    made = pg.corrcoef(flat).numpy()
    np.testing.assert_array_equal(np.isnan(made), [[True, True], [True, False]])
    assert pg.corrcoef(np.stack([x, x + x[::-1]])).shape == (2, 2, 2)
    for f in (pg.cov, pg.corrcoef):
        with pytest.raises(ShapeError, match="needs at least one dimension"):
            f(1.0)
    far = np.random.default_rng(0).normal(size=(1, 50)) * np.asarray([[1.0], [1.0]])
    assert np.abs(pg.corrcoef(far).numpy()).max() <= 1.0
