"""Powers, exponential, diagonals, products: accuracy, views, the order of axes."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import scipy.linalg
from linalg_shared import both, cplx, eager, host, real

import polygrad as pg
from polygrad import linalg
from polygrad.errors import ShapeError


def test_matrix_power() -> None:
    x = real(3, 3)
    for n in (-5, -1, 0, 1, 2, 3, 10, 37):
        np.testing.assert_allclose(linalg.matrix_power(x, n).numpy(), np.linalg.matrix_power(x, n), rtol=1e-9)
    np.testing.assert_array_equal(both(lambda x: pg.sum(linalg.matrix_power(x, 0)), x), np.zeros((3, 3)))
    singular = np.diag([1.0, 0.0])
    np.testing.assert_array_equal(both(lambda x: pg.sum(linalg.matrix_power(x, 1)), singular), np.ones((2, 2)))
    y = linalg.matrix_power(pg.asarray(x, copy=True), 1)
    y[0, 0] = 99.0
    assert x[0, 0] != 99.0
    with pytest.raises(TypeError):
        linalg.matrix_power(x, 1.5)  # type: ignore[arg-type]


@eager
@pytest.mark.parametrize("scale", [1e-3, 1.0, 20.0])
def test_expm_against_scipy(scale: float, device: pg.Device) -> None:
    x, e = cplx(3, 3) * scale, cplx(3, 3)
    value, moved = scipy.linalg.expm_frechet(x, e)
    found, along = pg.jvp(linalg.expm, (pg.asarray(x, device=device),), (pg.asarray(e, device=device),))
    size = np.abs(value).max()
    np.testing.assert_allclose(host(found) / size, value / size, atol=1e-11)
    np.testing.assert_allclose(host(along) / size, moved / size, atol=1e-10)


@eager
def test_expm_of_matrices_of_different_sizes_at_once(device: pg.Device) -> None:
    """Each is scaled by its own norm. (SciPy's values are good to 1e-11 only, so those of mpmath are compared with.)"""
    mpmath = pytest.importorskip("mpmath")
    mpmath.mp.dps = 60
    batch = np.stack([real(2, 2) * s for s in (0.01, 1.0, 50.0)] + [np.zeros((2, 2)), -30 * np.eye(2)])
    found = host(linalg.expm(pg.asarray(batch, device=device)))
    for y, x in zip(found, batch, strict=True):
        exact = np.array(mpmath.expm(mpmath.matrix(x.tolist()), method="taylor").tolist(), dtype=float)
        np.testing.assert_allclose(y, exact, rtol=1e-12, atol=1e-12 * np.abs(y).max())
    nilpotent = np.triu(real(4, 4), 1)
    exact = np.eye(4) + nilpotent + nilpotent @ nilpotent / 2 + np.linalg.matrix_power(nilpotent, 3) / 6
    np.testing.assert_allclose(host(linalg.expm(pg.asarray(nilpotent, device=device))), exact, atol=1e-13)


def test_mistake_3_tensordot_and_the_order_of_axes() -> None:
    """autograd#446: the pairs of axes in their order, not sorted."""
    a, b = real(2, 3, 4), real(4, 5, 3)

    def f(a, b):
        return linalg.tensordot(a, b, axes=((2, 1), (0, 2)))

    np.testing.assert_allclose(f(a, b).numpy(), np.einsum("ijk,klj->il", a, b), rtol=1e-12)
    w = real(2, 5)
    ga, gb = pg.grad(lambda a, b: pg.sum(w * f(a, b)), (0, 1))(a, b)
    np.testing.assert_allclose(ga, np.einsum("il,klj->ijk", w, b), rtol=1e-12)
    np.testing.assert_allclose(gb, np.einsum("il,ijk->klj", w, a), rtol=1e-12)


def test_diagonal_is_a_view() -> None:
    x = pg.asarray(real(3, 3), copy=True)
    d = linalg.diagonal(x)
    d[0] = 7.0
    assert x[0, 0].item() == 7.0
    x[1, 1] = 5.0
    assert d[1].item() == 5.0


@eager
@pytest.mark.parametrize("shape", [(3, 3), (2, 4), (4, 2), (1, 3), (0, 3), (3, 0), (2, 2, 3)])
def test_diagonal_at_every_offset(shape: Any, device: pg.Device) -> None:
    x = real(*shape)
    for offset in range(-5, 6):
        expected = np.linalg.diagonal(x, offset=offset)
        found = linalg.diagonal(pg.asarray(x, device=device), offset=offset)
        np.testing.assert_array_equal(host(found), expected)
        np.testing.assert_allclose(host(linalg.trace(pg.asarray(x, device=device), offset=offset)), expected.sum(-1))


def test_trace_of_integers_and_dtype() -> None:
    assert linalg.trace(np.eye(3, dtype=np.int8)).dtype == pg.int64
    assert linalg.trace(np.eye(3, dtype=np.float32), dtype="float64").dtype == pg.float64


def test_multi_dot_in_the_best_order() -> None:
    arrays = [real(10, 30), real(30, 5), real(5, 60), real(60, 2)]
    np.testing.assert_allclose(linalg.multi_dot(arrays).numpy(), np.linalg.multi_dot(arrays), rtol=1e-12)
    np.testing.assert_allclose(linalg.multi_dot(arrays[:2]).numpy(), arrays[0] @ arrays[1], rtol=1e-12)
    vectors = [real(3), real(3, 4), real(4)]
    np.testing.assert_allclose(linalg.multi_dot(vectors).numpy(), np.linalg.multi_dot(vectors), rtol=1e-12)
    columns = pg.asarray(np.ones((1000, 1)))
    assert linalg.multi_dot([columns, columns.T, columns]).shape == (1000, 1)  # never 1000 x 1000 first


def test_products_that_do_not_fit(device: pg.Device) -> None:
    """Dask takes an inner length of 1 for any."""
    a, b = pg.asarray(real(2, 1), device=device), pg.asarray(real(3, 2), device=device)
    with pytest.raises(ShapeError, match="inner lengths 1 and 3"):
        linalg.matmul(a, b)
    small = pg.asarray(np.ones((), np.uint8), device=device)
    assert linalg.tensordot(small, small, axes=0).dtype == pg.uint8
