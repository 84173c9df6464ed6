"""Norms: slopes at zero and at kinks, extremes."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from linalg_shared import INF, NAN, both, eager, host

import polygrad as pg
from polygrad import linalg

ORDERS = [0, 0.5, 1, 1.5, 2, 3, -1, -2.5, INF, -INF]


@pytest.mark.parametrize("ord", ORDERS)
def test_mistake_30_vector_norm_at_zero(ord: float) -> None:
    """pytorch#2421: slope 0 at 0, in every norm, real and complex."""
    for x in (np.zeros(3), np.zeros(3, complex)):
        np.testing.assert_array_equal(both(lambda x: linalg.vector_norm(x, ord=ord), x), x)
    rows = np.array([[0.0, 0.0], [3.0, 4.0]])
    g = both(lambda x: pg.sum(linalg.vector_norm(x, axis=1, ord=ord)), rows)
    np.testing.assert_array_equal(g[0], [0.0, 0.0])
    np.testing.assert_allclose(g[1], both(lambda x: linalg.vector_norm(x, ord=ord), rows[1]))


@pytest.mark.parametrize("ord", ["fro", "nuc", 1, -1, 2, -2, INF, -INF])
def test_mistake_30_matrix_norm_at_zero(ord: Any) -> None:
    np.testing.assert_array_equal(both(lambda x: linalg.matrix_norm(x, ord=ord), np.zeros((2, 3))), np.zeros((2, 3)))


@pytest.mark.parametrize(
    ("ord", "x", "expected"),
    [
        (1, [3.0, 0.0, -2.0], [1.0, 0.0, -1.0]),
        (0.5, [0.0, 4.0], [0.0, 1.0]),
        (3, [0.0, -2.0], [0.0, -1.0]),
        (INF, [2.0, -2.0, 1.0], [0.5, -0.5, 0.0]),
        (-INF, [1.0, -1.0, 3.0], [0.5, -0.5, 0.0]),
        (-1, [0.0, 2.0], [0.0, 0.0]),
        (0, [0.0, 2.0], [0.0, 0.0]),
        (2, [NAN, 2.0], [NAN, NAN]),
    ],
)
def test_kinks_of_vector_norms(ord: float, x: Any, expected: Any) -> None:
    np.testing.assert_allclose(both(lambda x: linalg.vector_norm(x, ord=ord), x), expected)


def test_nan_is_the_largest() -> None:
    found = pg.grad(lambda x: linalg.vector_norm(x, ord=INF))(np.array([NAN, 2.0]))
    np.testing.assert_array_equal(found, [NAN, 0.0])


@pytest.mark.parametrize(
    ("ord", "x", "expected"),
    [
        (2, np.eye(2), np.eye(2) / 2),
        (-2, np.eye(2), np.eye(2) / 2),
        ("nuc", np.diag([2.0, 0.0]), np.diag([1.0, 0.0])),
        (-2, np.diag([2.0, 0.0]), np.zeros((2, 2))),
        (1, np.ones((2, 2)), np.full((2, 2), 0.5)),
        (INF, [[1.0, -1.0], [2.0, 0.0]], [[0.5, -0.5], [0.5, 0.0]]),
    ],
)
def test_kinks_of_matrix_norms(ord: Any, x: Any, expected: Any) -> None:
    np.testing.assert_allclose(both(lambda x: linalg.matrix_norm(x, ord=ord), x), expected, atol=1e-15)


@eager
@pytest.mark.parametrize("ord", [1, 1.5, 2, 3, -2, INF])
@pytest.mark.parametrize("scale", [1e-300, 1e-160, 1e160, 1e300])
def test_vector_norms_neither_overflow_nor_underflow(ord: float, scale: float, device: pg.Device) -> None:
    plain = np.array([3.0, -4.0, 1.0])
    x = pg.asarray(plain * scale, device=device)

    def norm(x):
        return linalg.vector_norm(x, ord=ord)

    np.testing.assert_allclose(host(norm(x)), np.linalg.norm(plain, ord) * scale, rtol=1e-12)
    expected = pg.grad(norm)(plain)
    np.testing.assert_allclose(host(pg.grad(norm)(x)), expected, rtol=1e-12)
    t = host(pg.jvp(norm, (x,), (pg.ones_like(x),))[1])
    np.testing.assert_allclose(t, np.sum(expected), rtol=1e-12, atol=1e-15)


def test_norms_of_float32_and_extremes() -> None:
    x = np.array([3e30, 4e30], np.float32)
    assert linalg.vector_norm(x).dtype == pg.float32
    np.testing.assert_allclose(linalg.vector_norm(x).numpy(), 5e30, rtol=1e-6)
    assert linalg.vector_norm(np.array([INF, 1.0])).item() == INF
    assert linalg.vector_norm(np.zeros(0)).item() == 0.0
    assert linalg.vector_norm(np.zeros((2, 0)), axis=1, ord=INF).tolist() == [0.0, 0.0]
    assert linalg.vector_norm(np.array([3.0, 0.0]), axis=(), ord=0).tolist() == [1.0, 0.0]
