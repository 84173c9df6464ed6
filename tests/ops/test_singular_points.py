"""What derivatives are at kinks, poles and ties: the policy of ``docs/numerics.md``, row by row."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import polygrad as pg

INF, NAN = float("inf"), float("nan")


def slope(f: Any, *args: Any, argnums: Any = 0) -> Any:
    """The gradient of the sum, in both modes, which must agree."""
    arrays = [np.asarray(a) for a in args]
    with np.errstate(all="ignore"):
        reverse = pg.grad(lambda *xs: pg.sum(f(*xs)), argnums=argnums)(*arrays)
        if isinstance(argnums, int):
            x = arrays[argnums]
            found = np.zeros_like(x)
            for index in np.ndindex(x.shape):
                unit = np.zeros_like(x)
                unit[index] = 1.0
                tangents = [unit if i == argnums else np.zeros_like(a) for i, a in enumerate(arrays)]
                found[index] = pg.jvp(lambda *xs: pg.sum(f(*xs)), tuple(arrays), tuple(tangents))[1]
            np.testing.assert_array_equal(np.isnan(reverse), np.isnan(found))
    return reverse


@pytest.mark.parametrize(
    ("f", "x", "expected"),
    [
        (pg.abs, 0.0, 0.0),
        (pg.abs, -0.0, 0.0),
        (pg.abs, NAN, NAN),
        (pg.sqrt, 0.0, INF),
        (pg.log, 0.0, INF),
        (pg.asin, 1.0, INF),
        (pg.sign, 0.0, 0.0),
        (pg.relu, 0.0, 0.0),
        (pg.relu, NAN, 1.0),  # as maximum: nan is the larger side
        (pg.square, 0.0, 0.0),
        (lambda x: x**0, 0.0, 0.0),
        (lambda x: x**1, 0.0, 1.0),
        (lambda x: x**2, 0.0, 0.0),
        (lambda x: x**3, 0.0, 0.0),
        (lambda x: pg.pow(x, 0.0), 0.0, 0.0),
        (lambda x: pg.pow(0.0, x), 0.0, 0.0),
        (lambda x: pg.pow(0.0, x), 2.0, 0.0),
        (lambda x: pg.pow(-2.0, x), 2.0, NAN),
        (lambda x: pg.hypot(x, 0.0), 0.0, 0.0),
        (lambda x: pg.atan2(x, 0.0), 0.0, 0.0),
        (lambda x: pg.atan2(0.0, x), 0.0, 0.0),
        (lambda x: pg.maximum(x, 1.0), 1.0, 0.5),
        (lambda x: pg.minimum(x, 1.0), 1.0, 0.5),
        (lambda x: pg.maximum(x, x), 1.0, 1.0),
        (lambda x: pg.maximum(x, 1.0), NAN, 1.0),
        (lambda x: pg.clip(x, 0.0, 1.0), 0.0, 1.0),
        (lambda x: pg.clip(x, 0.0, 1.0), 1.0, 1.0),
        (lambda x: pg.clip(x, 0.0, 1.0), 1.5, 0.0),
        (lambda x: pg.clip(x, x, 2.0), 1.0, 1.0),
        (lambda x: pg.clip(0.5, 1.0, x), 0.0, 1.0),
        (lambda x: pg.logaddexp(x, -INF), -INF, 0.5),
        (lambda x: pg.logaddexp(x, INF), INF, 0.5),
        (lambda x: pg.logaddexp(x, 0.0), 0.0, 0.5),
        (lambda x: pg.logaddexp(x, 0.0), INF, 1.0),
        (lambda x: pg.logaddexp(x, 0.0), -INF, 0.0),
        (lambda x: pg.safe_where(x > 0, pg.sqrt, x, 0.0), 0.0, 0.0),
    ],
)
def test_scalar(f: Any, x: float, expected: float) -> None:
    np.testing.assert_array_equal(slope(f, x), expected)


@pytest.mark.parametrize(
    ("f", "x", "expected"),
    [
        (pg.max, [1.0, 3.0, 3.0], [0.0, 0.5, 0.5]),
        (pg.min, [1.0, 1.0, 1.0, 3.0], [1 / 3, 1 / 3, 1 / 3, 0.0]),
        (pg.max, [1.0, NAN, 3.0], [0.0, 1.0, 0.0]),
        (pg.std, [2.0, 2.0, 2.0], [0.0, 0.0, 0.0]),
        (pg.std, [2.0], [0.0]),
        (pg.var, [2.0, 2.0], [0.0, 0.0]),
        (lambda x: pg.var(x, correction=2), [1.0, 2.0], [NAN, NAN]),
        (lambda x: pg.std(x, correction=1), [1.0], [NAN]),
        (pg.prod, [2.0, 0.0, 3.0], [0.0, 6.0, 0.0]),
        (pg.prod, [0.0, 0.0, 3.0], [0.0, 0.0, 0.0]),
        (pg.cumulative_prod, [2.0, 0.0, 3.0], [1.0, 2.0 + 6.0, 0.0]),
        (lambda x: pg.softmax(x)[0], [0.0, -INF, 0.0], [0.25, 0.0, -0.25]),
        (pg.logsumexp, [-INF, 0.0], [0.0, 1.0]),
        (pg.logsumexp, [-INF, -INF], [0.0, 0.0]),
        (pg.softmax, [-INF, -INF], [0.0, 0.0]),
        (lambda x: pg.log_softmax(x)[0], [-INF, -INF], [0.0, 0.0]),
    ],
)
def test_vector(f: Any, x: Any, expected: Any) -> None:
    np.testing.assert_allclose(slope(f, np.array(x)), expected, rtol=1e-15)


def test_an_infinite_slope_in_the_branch_not_taken_gives_nan() -> None:
    """As the chain rule says, and PyTorch and JAX: 0 times inf. safe_where is the way round it."""
    assert np.isnan(pg.grad(lambda x: pg.where(x > 0, pg.sqrt(x), 0.0))(0.0))


def test_nan_variance_has_the_right_shape() -> None:
    """pytorch#82644, #94184."""
    assert slope(lambda x: pg.var(x, axis=1, correction=3), np.ones((2, 3))).shape == (2, 3)


def test_second_derivative_of_prod_with_two_zeros() -> None:
    """pytorch#106789."""
    hessian = pg.hessian(pg.prod)(np.array([0.0, 0.0, 3.0]))
    np.testing.assert_array_equal(hessian, [[0, 3, 0], [3, 0, 0], [0, 0, 0]])


def test_both_sides_of_a_tie_of_the_same_tensor() -> None:
    ga, gb = slope(pg.maximum, 2.0, 2.0, argnums=(0, 1))
    assert (ga, gb) == (0.5, 0.5)


def test_complex_abs_and_sign_at_zero() -> None:
    z = np.array([0.0 + 0.0j, 3.0 - 4.0j])
    np.testing.assert_allclose(pg.grad(lambda z: pg.sum(pg.abs(z)))(z), [0.0, 0.6 - 0.8j])
    np.testing.assert_allclose(pg.grad(lambda z: pg.sum(pg.real(pg.sign(z))))(z)[0], 0.0)


def test_remainder_of_mixed_signs() -> None:
    """jax#11466."""
    for a, b in [(5.5, 3.0), (-5.5, 3.0), (5.5, -3.0), (-5.5, -3.0)]:
        assert slope(pg.remainder, a, b, argnums=(0, 1)) == (1.0, -np.floor(a / b))


@pytest.mark.parametrize("x", [1e-300, 1e-200, 1e-8, 1.0, 20.0, 300.0, 1e8, 1e200, 1e300])
def test_derivatives_over_the_whole_range(x: float) -> None:
    """Against exact values by mpmath-free closed forms: to 1e-12 relative, no overflow, no vanishing tails."""
    mpmath = pytest.importorskip("mpmath")
    mpmath.mp.dps = 60
    v = mpmath.mpf(x)
    exact = {
        "tanh": 1 / mpmath.cosh(v) ** 2,
        "atan": 1 / (1 + v * v),
        "asinh": 1 / mpmath.sqrt(1 + v * v),
        "log1p": 1 / (1 + v),
        "sqrt": 1 / (2 * mpmath.sqrt(v)),
        "expm1": mpmath.exp(v) if x < 700 else None,
    }
    for sign in (1.0, -1.0):
        for name, value in exact.items():
            if value is None or (sign < 0 and name in ("log1p", "sqrt")):
                continue
            if sign < 0 and name == "expm1":
                value = mpmath.exp(-v)
            found = slope(getattr(pg, name), sign * x)
            assert abs(float(found) - float(value)) <= 1e-12 * abs(float(value)), (name, sign)
    for other in (1e-300, 1.0, 1e300):
        h = mpmath.hypot(v, mpmath.mpf(other))
        for found, value in (
            (slope(pg.hypot, x, other), v / h),
            (slope(pg.atan2, x, other), (mpmath.mpf(other) / h) / h),
        ):
            assert abs(float(found) - float(value)) <= 1e-12 * abs(float(value)) or float(value) == INF


def test_where_of_real_and_complex() -> None:
    g = pg.grad(lambda x, z: pg.sum(pg.real(pg.where(np.array([True, False]), x, z * 1j))), argnums=(0, 1))(
        np.array([1.0, 2.0]), np.array([1.0 + 1.0j, 2.0])
    )
    assert g[0].dtype == np.float64
    np.testing.assert_array_equal(g[0], [1.0, 0.0])
    np.testing.assert_array_equal(g[1], [0.0, -1.0j])


def test_mixed_precision_gradients_have_their_inputs_dtype() -> None:
    """pytorch#76786."""
    a, b = np.ones(3, np.float32), np.ones(3, np.float64)
    ga, gb = pg.grad(lambda a, b: pg.sum(a * b), argnums=(0, 1))(a, b)
    assert (ga.dtype, gb.dtype) == (np.float32, np.float64)
