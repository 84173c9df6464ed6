"""What derivatives are at kinks, poles and ties: the policy of ``docs/numerics.md``, row by row."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import pytest

import polygrad as pg

INF, NAN = float("inf"), float("nan")


def host(x: Any) -> Any:
    return np.asarray(pg.asarray(x).detach().to_device("cpu").numpy())


def slope(f: Any, *args: Any, argnums: Any = 0, device: Any = None) -> Any:
    """The gradient of the sum, in both modes, which must agree."""
    arrays = [pg.asarray(np.asarray(a), device=device) for a in args]
    with np.errstate(all="ignore"), warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # Dask computes elsewhere
        reverse = pg.grad(lambda *xs: pg.sum(f(*xs)), argnums=argnums)(*arrays)
        same_of_graphs(f, arrays, argnums, reverse)
        if not isinstance(argnums, int):
            return tuple(host(g) for g in reverse)
        x = arrays[argnums]
        found = np.zeros(x.shape, host(x).dtype)
        for index in np.ndindex(x.shape):
            unit = np.zeros_like(found)
            unit[index] = 1.0
            tangents = [pg.asarray(unit, device=device) if a is x else pg.zeros_like(a) for a in arrays]
            found[index] = host(pg.jvp(lambda *xs: pg.sum(f(*xs)), tuple(arrays), tuple(tangents))[1])
        reverse = host(reverse)
        assert reverse.shape == found.shape
        np.testing.assert_array_equal(np.isnan(reverse), np.isnan(found))
        np.testing.assert_allclose(found, reverse, rtol=1e-14)
    return reverse


def same_of_graphs(f: Any, arrays: list[Any], argnums: Any, reverse: Any) -> None:
    """What a static graph derives of itself is the same, on NumPy."""
    if arrays[0].device.backend.name != "numpy":
        return
    graph = pg.trace(lambda *xs: pg.sum(f(*xs)), *arrays).vjp()
    _, found = graph(*arrays, pg.ones((), dtype=reverse.dtype if isinstance(argnums, int) else reverse[0].dtype))
    for i, g in (
        zip((argnums,), (reverse,), strict=True) if isinstance(argnums, int) else zip(argnums, reverse, strict=True)
    ):
        derived = np.zeros(g.shape) if found[i] is None else host(found[i])
        np.testing.assert_allclose(derived, host(g), rtol=1e-14, atol=1e-15)


@pytest.mark.part(3, "jax:cpu", "dask")
@pytest.mark.parametrize(
    ("f", "x", "expected"),
    [
        (pg.abs, 0.0, 0.0),
        (pg.abs, -0.0, 0.0),
        (pg.abs, NAN, NAN),
        (pg.sqrt, 0.0, INF),
        (pg.log, 0.0, INF),
        (pg.log1p, -1.0, INF),
        (pg.log2, 0.0, INF),
        (pg.log10, 0.0, INF),
        (pg.asin, 1.0, INF),
        (pg.asin, -1.0, INF),
        (pg.acos, 1.0, -INF),
        (pg.acosh, 1.0, INF),
        (pg.atanh, 1.0, INF),
        (pg.atanh, -1.0, INF),
        (pg.sqrt, -1.0, NAN),
        (pg.reciprocal, 0.0, -INF),
        (lambda x: 1.0 / x, 0.0, -INF),
        (pg.tanh, INF, 0.0),
        (pg.sigmoid, -INF, 0.0),
        (pg.exp, -INF, 0.0),
        (pg.exp, NAN, NAN),
        (pg.tanh, NAN, NAN),
        (pg.floor, 1.0, 0.0),
        (pg.ceil, 1.0, 0.0),
        (pg.round, 0.5, 0.0),
        (pg.trunc, 1.0, 0.0),
        (lambda x: pg.floor_divide(x, 1.0), 1.0, 0.0),
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
        (lambda x: pg.pow(x, 2.0), -2.0, -4.0),
        (lambda x: pg.pow(x, 0.5), 0.0, INF),
        (lambda x: pg.pow(x, 0.0), NAN, 0.0),  # pow(nan, 0) is 1
        (lambda x: pg.pow(x, 2.0), NAN, NAN),
        (lambda x: pg.hypot(x, 0.0), 0.0, 0.0),
        (lambda x: pg.atan2(x, 0.0), 0.0, 0.0),
        (lambda x: pg.atan2(0.0, x), 0.0, 0.0),
        (lambda x: pg.maximum(x, 1.0), 1.0, 0.5),
        (lambda x: pg.minimum(x, 1.0), 1.0, 0.5),
        (lambda x: pg.maximum(x, x), 1.0, 1.0),
        (lambda x: pg.maximum(x, 1.0), NAN, 1.0),
        (lambda x: pg.maximum(x, NAN), 1.0, 0.0),
        (lambda x: pg.minimum(x, 1.0), NAN, 1.0),
        (lambda x: pg.minimum(x, NAN), 1.0, 0.0),
        (lambda x: pg.clip(x, 0.0, 1.0), 0.0, 1.0),
        (lambda x: pg.clip(x, 0.0, 1.0), 1.0, 1.0),
        (lambda x: pg.clip(x, 0.0, 1.0), 1.5, 0.0),
        (lambda x: pg.clip(x, x, 2.0), 1.0, 1.0),
        (lambda x: pg.clip(0.0 * x + 0.5, 1.0, x), 0.0, 1.0),
        (lambda x: pg.clip(0.0 * x + 0.5, x, 0.0), 1.0, 0.0),
        (lambda x: pg.clip(x, 1.0, 0.0), 0.5, 0.0),
        (lambda x: pg.clip(0.0 * x + 0.5, x, 1.0), 0.5, 0.0),
        (lambda x: pg.clip(0.0 * x + 0.5, 0.0, x), 0.5, 0.0),
        (lambda x: pg.clip(0.0 * x + 0.5, x, 2.0), 1.0, 1.0),
        (lambda x: pg.clip(x, 0.0, 1.0), NAN, 1.0),
        (lambda x: pg.logaddexp(x, -INF), -INF, 0.5),
        (lambda x: pg.logaddexp(x, INF), INF, 0.5),
        (lambda x: pg.logaddexp(x, 0.0), 0.0, 0.5),
        (lambda x: pg.logaddexp(x, 0.0), INF, 1.0),
        (lambda x: pg.logaddexp(x, 0.0), -INF, 0.0),
        (lambda x: pg.safe_where(x > 0, pg.sqrt, x, 0.0), 0.0, 0.0),
    ],
)
def test_scalar(f: Any, x: float, expected: float, device: pg.Device) -> None:
    np.testing.assert_array_equal(slope(f, x, device=device), expected)


@pytest.mark.part(3, "jax:cpu", "dask")
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
        (pg.logsumexp, [INF, 0.0, INF], [0.5, 0.0, 0.5]),
        (pg.logsumexp, [NAN, 0.0], [NAN, NAN]),
        (lambda x: pg.log_softmax(x)[0], [0.0, -INF, 0.0], [0.5, 0.0, -0.5]),
        (pg.linalg.vector_norm, [0.0, 0.0], [0.0, 0.0]),
        (lambda x: pg.linalg.vector_norm(x, ord=1), [0.0, -2.0], [0.0, -1.0]),
        (lambda x: pg.linalg.vector_norm(x, ord=3), [0.0, 0.0], [0.0, 0.0]),
        (lambda x: pg.linalg.vector_norm(x, ord=INF), [0.0, 0.0], [0.0, 0.0]),
        (pg.linalg.matrix_norm, [[0.0, 0.0]], [[0.0, 0.0]]),
        (lambda x: pg.linalg.matrix_norm(x, ord=2), [[1.0, 0.0], [0.0, 1.0]], [[0.5, 0.0], [0.0, 0.5]]),
        (pg.linalg.det, [[1.0, 2.0], [2.0, 4.0]], [[4.0, -2.0], [-2.0, 1.0]]),
        (pg.linalg.det, [[0.0, 0.0], [0.0, 0.0]], [[0.0, 0.0], [0.0, 0.0]]),
        (pg.linalg.svdvals, [[2.0, 0.0], [0.0, 2.0]], [[1.0, 0.0], [0.0, 1.0]]),
        (pg.linalg.eigvalsh, [[2.0, 0.0], [0.0, 2.0]], [[1.0, 0.0], [0.0, 1.0]]),
        (lambda x: pg.sort(x)[0], [3.0, 1.0, 1.0], [0.0, 1.0, 0.0]),
        (pg.softmax, [-INF, -INF], [0.0, 0.0]),
        (lambda x: pg.log_softmax(x)[0], [-INF, -INF], [0.0, 0.0]),
    ],
)
def test_vector(f: Any, x: Any, expected: Any, device: pg.Device) -> None:
    np.testing.assert_allclose(slope(f, np.array(x), device=device), expected, rtol=1e-14, atol=1e-15)


@pytest.mark.parametrize(
    ("f", "a", "b", "expected"),
    [
        (pg.hypot, 0.0, 0.0, (0.0, 0.0)),
        (pg.atan2, 0.0, 0.0, (0.0, 0.0)),
        (pg.pow, 0.0, 0.0, (0.0, 0.0)),
        (pg.pow, 0.0, 1.5, (0.0, 0.0)),
        (pg.pow, -2.0, 3.0, (12.0, NAN)),
        (pg.maximum, 2.0, 2.0, (0.5, 0.5)),
        (pg.minimum, 2.0, 2.0, (0.5, 0.5)),
        (pg.maximum, NAN, 1.0, (1.0, 0.0)),
        (pg.minimum, 1.0, NAN, (0.0, 1.0)),
        (pg.maximum, NAN, NAN, (0.5, 0.5)),
        (pg.logaddexp, -INF, -INF, (0.5, 0.5)),
        (pg.logaddexp, INF, INF, (0.5, 0.5)),
        (pg.logaddexp, INF, -INF, (1.0, 0.0)),
        (pg.logaddexp, INF, 0.0, (1.0, 0.0)),
        (pg.logaddexp, 0.0, -INF, (1.0, 0.0)),
        (pg.logaddexp, NAN, 0.0, (NAN, NAN)),
        (pg.copysign, -2.0, 3.0, (-1.0, 0.0)),
        (pg.remainder, -5.5, 3.0, (1.0, 2.0)),
        (pg.divide, 0.0, 1e-200, (1e200, 0.0)),
    ],
)
def test_both_of_two(f: Any, a: float, b: float, expected: Any, device: pg.Device) -> None:
    np.testing.assert_array_equal(slope(f, a, b, argnums=(0, 1), device=device), expected)


@pytest.mark.parametrize(
    ("f", "x", "expected"),
    [
        (pg.abs, 0.0, 0.0),
        (pg.relu, 0.0, 0.0),
        (lambda x: pg.maximum(x, 1.0), 1.0, 0.0),
        (lambda x: pg.hypot(x, 0.0), 0.0, NAN),
        (lambda x: pg.clip(x, 0.0, 1.0), 1.0, 0.0),
        (lambda x: x**2, 0.0, 2.0),
        (lambda x: pg.pow(x, 2.0), 0.0, 2.0),
        (pg.sqrt, 0.0, -INF),
        (pg.log, 0.0, -INF),
        (pg.sign, 0.0, 0.0),
        (pg.tanh, 0.0, 0.0),
        (pg.sigmoid, 0.0, 0.0),
        (lambda x: pg.logaddexp(x, 0.0), 0.0, 0.25),
        (lambda x: pg.logaddexp(x, -INF), -INF, 0.0),
        (lambda x: pg.logaddexp(x, 0.0), INF, 0.0),
    ],
)
def test_second_order(f: Any, x: float, expected: float, device: pg.Device) -> None:
    np.testing.assert_array_equal(slope(pg.grad(f), x, device=device), expected)


def test_pow_by_base_and_exponent_at_exponent_zero() -> None:
    """d/dp d/dx x^p = x^(p-1) (1 + p log x), which is 1 / x at p = 0, in either order."""
    both = lambda x, p: pg.grad(lambda p: pg.grad(lambda x: pg.pow(x, p))(x))(p)  # noqa: E731
    swapped = lambda x, p: pg.grad(lambda x: pg.grad(lambda p: pg.pow(x, p))(p))(x)  # noqa: E731
    assert both(4.0, 0.0) == swapped(4.0, 0.0) == 0.25


@pytest.mark.parametrize("order", [1, 2, 3, 4, 5])
@pytest.mark.parametrize("f", [pg.tanh, pg.sigmoid, pg.special.expit, pg.asin, pg.atanh, pg.special.softplus])
def test_higher_derivatives_at_zero(f: Any, order: int) -> None:
    """Formulas in abs(x) have a kink at 0 that the function has not."""
    mpmath = pytest.importorskip("mpmath")
    exact = {
        "tanh": mpmath.tanh, "asin": mpmath.asin, "atanh": mpmath.atanh, "softplus": lambda x: mpmath.log1p(mpmath.exp(x)),
    }.get(f.__name__, lambda x: 1 / (1 + mpmath.exp(-x)))  # fmt: skip
    g = f
    for _ in range(order):
        g = pg.grad(g)
    with mpmath.workdps(60):
        expected = float(mpmath.diff(exact, 0, order))
    np.testing.assert_allclose(g(0.0), expected, rtol=1e-12, atol=1e-14)


def test_an_infinite_slope_in_the_branch_not_taken_counts_nothing() -> None:
    """PyTorch and JAX give nan, 0 times inf: see test_strong_zeros.py."""
    assert pg.grad(lambda x: pg.where(x > 0, pg.sqrt(x), 0.0))(0.0) == 0.0


def test_nan_variance_has_the_right_shape() -> None:
    """pytorch#82644, #94184."""
    assert slope(lambda x: pg.var(x, axis=1, correction=3), np.ones((2, 3))).shape == (2, 3)


def test_second_derivative_of_prod_with_two_zeros() -> None:
    """pytorch#106789."""
    hessian = pg.hessian(pg.prod)(np.array([0.0, 0.0, 3.0]))
    np.testing.assert_array_equal(hessian, [[0, 3, 0], [3, 0, 0], [0, 0, 0]])


def test_second_derivative_of_cumulative_prod_with_zeros(device: pg.Device) -> None:
    x = pg.asarray([2.0, 0.0, 3.0, 0.0], device=device)
    hessian = host(pg.hessian(lambda x: pg.sum(pg.cumulative_prod(x)))(x))
    expected = np.zeros((4, 4))
    for i, j in ((0, 1), (0, 2), (0, 3), (1, 2), (1, 3), (2, 3)):
        for end in range(j, 4):
            expected[i, j] += np.prod([v for k, v in enumerate([2.0, 0.0, 3.0, 0.0][: end + 1]) if k not in (i, j)])
        expected[j, i] = expected[i, j]
    np.testing.assert_array_equal(hessian, expected)


def test_both_sides_of_a_tie_of_the_same_tensor() -> None:
    ga, gb = slope(pg.maximum, 2.0, 2.0, argnums=(0, 1))
    assert (ga, gb) == (0.5, 0.5)


def test_complex_abs_and_sign_at_zero() -> None:
    z = np.array([0.0 + 0.0j, 3.0 - 4.0j])
    np.testing.assert_allclose(pg.grad(lambda z: pg.sum(pg.abs(z)))(z), [0.0, 0.6 - 0.8j])
    assert np.isnan(pg.grad(lambda z: pg.sum(pg.abs(z)))(np.array([complex(NAN, 1.0)])))
    np.testing.assert_allclose(pg.grad(lambda z: pg.sum(pg.real(pg.sign(z))))(z)[0], 0.0)


def test_remainder_of_mixed_signs() -> None:
    """jax#11466."""
    for a, b in [(5.5, 3.0), (-5.5, 3.0), (5.5, -3.0), (-5.5, -3.0)]:
        assert slope(pg.remainder, a, b, argnums=(0, 1)) == (1.0, -np.floor(a / b))


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


def test_norms_of_infinite_components() -> None:
    """An infinite component hides the finite ones; several count alike."""
    x = np.asarray([np.inf, 2.0, -np.inf])
    for ord in (1.5, 2.0, 3.0):
        share = 0.5 ** (1 - 1 / ord)
        grad = pg.grad(lambda x, ord=ord: pg.linalg.vector_norm(x, ord=ord))
        np.testing.assert_allclose(grad(x), [share, 0.0, -share])
        np.testing.assert_allclose(grad(x[1:]), [0.0, -1.0])
    np.testing.assert_array_equal(pg.grad(pg.linalg.matrix_norm)(np.asarray([[np.inf, 2.0]])), [[1.0, 0.0]])
    for a, b, want in ((np.inf, 2.0, [1.0, 0.0]), (2.0, -np.inf, [0.0, -1.0]), (np.inf, np.inf, [0.5**0.5] * 2)):
        np.testing.assert_allclose(pg.grad(pg.hypot, (0, 1))(a, b), want)


# -- tips of cones ---------------------------------------------------------------------------------------
# The slope was a choice, so that the second derivative is nan: never 0 in silence, as that of |x|^2, which is 2, would be.

_NORM = pg.linalg.vector_norm
CONES: dict[str, Any] = {
    "norm": _NORM,
    "square": lambda x: _NORM(x) ** 2,
    "bell": lambda x: pg.exp(-(_NORM(x) ** 2)),
    "ord 3": lambda x: _NORM(x, ord=3) ** 3,
    "ord 1.5": lambda x: _NORM(x, ord=1.5) ** 2,
    "ord 0.5": lambda x: _NORM(x, ord=0.5) ** 2,
    "frobenius": lambda x: pg.linalg.matrix_norm(x[None]) ** 2,
    "spectral": lambda x: pg.linalg.matrix_norm(x[None], ord=2) ** 2,
    "nuclear": lambda x: pg.linalg.matrix_norm(x[None], ord="nuc") ** 2,
    "hypot": lambda x: pg.hypot(x[0], x[1]) ** 2,
    "complex abs": lambda x: pg.abs(x[0] + 1j * x[1]) ** 2,
    "std": lambda x: pg.std(x) ** 2,
    "beside": lambda x: _NORM(x) * (3 + _NORM(x + 1)),
    "distance": lambda x: pg.sum(pg.nn.functional.pairwise_distance(x[None], pg.zeros((1, 2)), eps=0.0)) ** 2,
}
SECOND: dict[str, Any] = {
    "hessian": pg.hessian,
    "reverse over reverse": lambda f: pg.jacrev(pg.jacrev(f)),
    "forward over forward": lambda f: pg.jacfwd(pg.jacfwd(f)),
    "compiled": lambda f: pg.compile(pg.hessian(f)),
    "vmap": lambda f: lambda x: pg.vmap(pg.hessian(f))(x[None])[0],
}


@pytest.mark.parametrize("second", SECOND)
@pytest.mark.parametrize("name", CONES)
def test_the_slope_at_the_tip_of_a_cone_has_no_slope(name: str, second: str) -> None:
    x = np.zeros(2)
    np.testing.assert_array_equal(pg.grad(CONES[name])(x), 0.0)
    h = np.asarray(SECOND[second](CONES[name])(x))
    assert np.isnan(h).any(axis=0).all(), h
    assert np.isnan(np.diagonal(h)).any(), h
    x = np.asarray([0.6, -0.8])  # elsewhere it has one
    assert np.isfinite(SECOND[second](CONES[name])(x)).all()


def test_other_rows_know_nothing_of_a_tip() -> None:
    x = np.asarray([[0.0, 0.0], [3.0, 4.0]])
    for square in (lambda x: pg.sum(_NORM(x, axis=1) ** 2), lambda x: pg.sum(pg.std(x, axis=1, correction=1) ** 2) * 2):
        for second in (pg.hessian, SECOND["reverse over reverse"]):
            h = second(square)(x)
            assert np.isnan(h[0, :, 0, :]).all()
            assert not np.isnan(h[1]).any()
            assert not h[0, :, 1].any()
    h = pg.hessian(lambda x: pg.sum(_NORM(x, axis=1) ** 2))(x)
    np.testing.assert_allclose(h[1, :, 1, :], 2 * np.eye(2), atol=1e-12)


def test_lengths_with_a_least_one_are_smooth_at_zero() -> None:
    functional, x = pg.nn.functional, np.zeros((1, 2))
    h = pg.hessian(lambda x: pg.sum(functional.normalize(x, eps=0.5) * x))(x)
    np.testing.assert_array_equal(h[0, :, 0], 4.0 * np.eye(2))
    h = pg.hessian(lambda x: pg.sum(functional.cosine_similarity(x, pg.ones((1, 2)))))(x)
    np.testing.assert_array_equal(h, np.zeros((1, 2, 1, 2)))


def test_the_deviation_of_one_number_is_always_zero() -> None:
    np.testing.assert_array_equal(pg.hessian(lambda x: pg.std(x) ** 2 + pg.std(x))(np.asarray([3.0])), [[0.0]])
