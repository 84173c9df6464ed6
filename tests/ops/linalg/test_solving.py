"""Determinants, solutions, Cholesky factors: singular points, symmetry, dtypes."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from linalg_shared import INF, both, cplx, eager, host, real

import polygrad as pg
from polygrad import linalg
from polygrad.testing import check_grads, check_jvp, check_vjp


def cofactors(x: Any) -> Any:
    """The matrix of cofactors, by its definition."""
    n = x.shape[0]
    made = np.zeros_like(x)
    for i in range(n):
        for j in range(n):
            minor = np.delete(np.delete(x, i, 0), j, 1)
            made[i, j] = (-1) ** (i + j) * np.linalg.det(minor)
    return made


def of_rank(n: int, rank: int, make: Any = real) -> Any:
    return make(n, rank) @ make(rank, n)


@pytest.mark.parametrize("make", [real, cplx])
@pytest.mark.parametrize(("n", "rank"), [(1, 0), (2, 1), (3, 2), (4, 3), (4, 2), (3, 1), (3, 0), (5, 5)])
def test_det_at_every_rank(n: int, rank: int, make: Any) -> None:
    """The cofactors: of rank 1 at rank n - 1, and 0 below."""
    x = of_rank(n, rank, make)
    found = pg.grad(lambda x: pg.real(linalg.det(x)))(x)
    np.testing.assert_allclose(found, np.conj(cofactors(x)), rtol=1e-10, atol=1e-12)
    if rank < n - 1:
        np.testing.assert_allclose(found, 0, atol=1e-12)


def test_mistake_12_det_of_zero_matrix() -> None:
    """pytorch#80761: det of [[0]] has slope 1."""
    np.testing.assert_array_equal(both(linalg.det, [[0.0]]), [[1.0]])
    np.testing.assert_array_equal(both(linalg.det, np.zeros((2, 2))), np.zeros((2, 2)))
    np.testing.assert_array_equal(both(linalg.det, np.zeros((3, 3))), np.zeros((3, 3)))
    assert linalg.det(np.zeros((0, 0))).item() == 1.0
    assert pg.grad(linalg.det)(np.zeros((0, 0))).shape == (0, 0)


@pytest.mark.parametrize("x", [np.zeros((2, 2)), np.diag([2.0, 0.0, 0.0]), np.diag([2.0, 3.0, 0.0]), np.eye(3)])
def test_second_derivative_of_det_at_singular_and_orthogonal_matrices(x: Any) -> None:
    """A polynomial: its Hessian has no singular points, though that of the singular vectors has."""
    n = x.shape[0]
    hessian = pg.hessian(linalg.det)(x)
    for i, j, k, m in np.ndindex((n, n, n, n)):
        moved = sum(
            a
            * b
            * np.linalg.det(x + a * np.outer(np.eye(n)[i], np.eye(n)[j]) + b * np.outer(np.eye(n)[k], np.eye(n)[m]))
            for a in (-1, 1)
            for b in (-1, 1)
        )  # exact: det is linear in each entry
        np.testing.assert_allclose(hessian[i, j, k, m], moved / 4, atol=1e-12)
    check_grads(linalg.det, [x])


def test_third_derivative_of_det() -> None:
    x = real(3, 3) + 2 * np.eye(3)
    hessian = pg.hessian(linalg.det)
    t = real(3, 3)
    moved = (hessian(x + t) - hessian(x - t)) / 2  # exact: the Hessian of a 3 x 3 determinant is linear
    np.testing.assert_allclose(pg.jvp(hessian, (x,), (t,))[1], moved, rtol=1e-9, atol=1e-10)


def test_det_of_a_batch_with_some_singular(device: pg.Device) -> None:
    batch = np.stack([of_rank(3, r) for r in (3, 2, 1, 0)])
    found = host(pg.grad(lambda x: pg.sum(linalg.det(x)))(pg.asarray(batch, device=device)))
    np.testing.assert_allclose(found, [cofactors(x) for x in batch], rtol=1e-9, atol=1e-12)


def test_det_is_accurate_where_the_inverse_is_not() -> None:
    """det * inv would be nothing but rounding: the condition number is 1e16."""
    x = np.array([[1.0, 2.0, 3.0], [4.0, 5.0, 6.0], [7.0, 8.0, 9.0]])
    np.testing.assert_allclose(pg.grad(linalg.det)(x), [[-3, 6, -3], [6, -12, 6], [-3, 6, -3]], rtol=1e-12)
    tiny = 1e-60 * np.eye(3)
    np.testing.assert_allclose(pg.grad(linalg.det)(tiny), 1e-120 * np.eye(3), rtol=1e-12)


def test_slogdet_at_a_singular_matrix(device: pg.Device) -> None:
    """-inf, with infinities or nan for a gradient, and no error; the other matrices of the batch are not touched."""
    x = np.stack([np.diag([2.0, 0.0]), np.diag([2.0, 4.0])])
    t = pg.asarray(x, device=device, requires_grad=True)
    sign, logabsdet = linalg.slogdet(t)
    np.testing.assert_allclose(host(sign), [0, 1])
    np.testing.assert_allclose(host(logabsdet), [-INF, np.log(8)])
    pg.sum(logabsdet).backward()
    g = host(t.grad)
    assert not np.isfinite(g[0]).all()
    np.testing.assert_allclose(g[1], np.diag([0.5, 0.25]))


def test_slogdet_of_large_and_small(device: pg.Device) -> None:
    x = np.diag([1e-200, 1e-200, 1e-3])
    found = host(pg.grad(lambda x: linalg.slogdet(x).logabsdet)(pg.asarray(x, device=device)))
    np.testing.assert_allclose(found, np.diag([1e200, 1e200, 1e3]), rtol=1e-12)


@eager
def test_the_sign_of_a_complex_determinant_turns(device: pg.Device) -> None:
    x = pg.asarray(cplx(3, 3), device=device)
    check_vjp(lambda x: linalg.slogdet(x).sign, [x])
    check_jvp(lambda x: linalg.slogdet(x).sign, [x])
    sign, logabsdet = linalg.slogdet(x)
    np.testing.assert_allclose(host(sign) * np.exp(host(logabsdet)), host(linalg.det(x)), rtol=1e-12)


def test_the_sign_of_a_real_determinant_has_slope_0() -> None:
    np.testing.assert_array_equal(both(lambda x: linalg.slogdet(x).sign, real(2, 2)), np.zeros((2, 2)))


@eager
@pytest.mark.parametrize("upper", [False, True])
@pytest.mark.parametrize("make", [real, cplx])
def test_mistake_17_cholesky_gradient_is_hermitian(upper: bool, make: Any, device: pg.Device) -> None:
    """pytorch#18825, jax#40421: a function of Hermitian matrices, whichever triangle the library reads."""
    a = make(3, 3)
    x = pg.asarray(a @ a.conj().T + np.eye(3), device=device)
    weights = pg.asarray(make(3, 3), device=device)
    g = host(pg.grad(lambda x: pg.real(pg.sum(weights * linalg.cholesky(x, upper=upper))))(x))
    np.testing.assert_allclose(g, g.conj().T, rtol=1e-12)
    t = make(3, 3)
    moved = host(pg.jvp(lambda x: linalg.cholesky(x, upper=upper), (x,), (pg.asarray(t, device=device),))[1])
    t = (t + t.conj().T) / 2
    h = 1e-5
    step = [np.linalg.cholesky(host(x) + s * h * t, upper=upper) for s in (1, -1)]
    np.testing.assert_allclose(moved, (step[0] - step[1]) / (2 * h), rtol=1e-6, atol=1e-8)


@eager
def test_the_two_cholesky_factors_are_adjoint(device: pg.Device) -> None:
    a = cplx(2, 3, 3)
    x = pg.asarray(a @ a.conj().swapaxes(-1, -2) + np.eye(3), device=device)
    lower, upper = linalg.cholesky(x), linalg.cholesky(x, upper=True)
    np.testing.assert_allclose(host(upper), host(lower).conj().swapaxes(-1, -2), rtol=1e-12, atol=1e-14)


def test_triangles_with_zeros_on_the_diagonal(device: pg.Device) -> None:
    """Infinities or nan, no error, and the other matrices of a stack are not touched."""
    good, bad = np.tril(real(2, 2)) + 2 * np.eye(2), np.array([[0.0, 0.0], [1.0, 2.0]])
    b = np.ones((2, 1))
    with device.backend.quiet():
        stack = host(
            linalg.solve_triangular(pg.asarray(np.stack([good, bad]), device=device), pg.asarray(b, device=device))
        )
        alone = host(linalg.solve_triangular(pg.asarray(bad, device=device), pg.asarray(b, device=device)))
    np.testing.assert_allclose(stack[0], np.linalg.solve(good, b), rtol=1e-12)
    assert not np.isfinite(stack[1]).all()
    assert not np.isfinite(alone).all()
    unit = linalg.solve_triangular(pg.asarray(bad, device=device), pg.asarray(b, device=device), unit_diagonal=True)
    np.testing.assert_allclose(host(unit), [[1.0], [0.0]])


def test_mixed_dtypes_are_promoted(device: pg.Device) -> None:
    a32, b64 = np.eye(2, dtype=np.float32) * 2, np.ones(2)
    for first, second, made in ((a32, b64, "float64"), (a32, b64 + 1j, "complex128"), (a32 + 0j, b64, "complex128")):
        a, b = (
            pg.asarray(first, device=device, requires_grad=True),
            pg.asarray(second, device=device, requires_grad=True),
        )
        x = linalg.solve(a, b)
        assert x.dtype.name == made
        pg.real(pg.sum(x)).backward()
        assert (a.grad.dtype, b.grad.dtype) == (a.dtype, b.dtype)  # type: ignore[union-attr]


def test_a_stack_of_vectors_is_a_matrix(device: pg.Device) -> None:
    """The standard's rule: only a one-dimensional right side is a vector, also where PyTorch guesses otherwise."""
    a, b = real(2, 2, 2), real(2, 2)
    x = linalg.solve(pg.asarray(a, device=device), pg.asarray(b, device=device))
    np.testing.assert_allclose(host(x), np.linalg.inv(a) @ b, rtol=1e-10)
