"""Linear algebra beyond the table: singular points, what depends on a gauge, errors, signatures, other libraries."""

from __future__ import annotations

import inspect
from typing import Any

import numpy as np
import pytest
import rows_linalg
import scipy.linalg

import polygrad as pg
from polygrad import linalg
from polygrad.core.kernels import GENERIC
from polygrad.errors import DTypeError, NoRuleError, ShapeError, VmapError
from polygrad.testing import check_grads, check_jvp, check_vjp

INF, NAN = float("inf"), float("nan")

# Where each new shape costs nothing: rules are the same everywhere, and the table has run them on all libraries.
eager = pytest.mark.devices("numpy", "strict", "torch", "cupy")

_rng = np.random.default_rng(0)


@pytest.fixture(autouse=True)
def _the_same_numbers_in_any_order() -> None:
    global _rng
    _rng = np.random.default_rng(20261126)


def real(*shape: int) -> Any:
    return _rng.normal(size=shape)


def cplx(*shape: int) -> Any:
    return _rng.normal(size=shape) + 1j * _rng.normal(size=shape)


def host(x: Any) -> Any:
    return np.asarray(pg.asarray(x).detach().to_device("cpu").numpy())


def both(f: Any, x: Any) -> Any:
    """The gradient of a scalar function, in both modes, which must agree (nan where nan)."""
    x = np.asarray(x)
    with np.errstate(all="ignore"):
        reverse = pg.grad(f)(x)
        forward = np.zeros_like(x)
        for index in np.ndindex(x.shape):
            unit = np.zeros_like(x)
            unit[index] = 1.0
            forward[index] = pg.jvp(f, (x,), (unit,))[1]
    np.testing.assert_allclose(forward, reverse, rtol=1e-12, atol=1e-13)
    return reverse


# -- determinants --------------------------------------------------------------------------------------


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


# -- triangles and symmetry ----------------------------------------------------------------------------


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


@eager
@pytest.mark.parametrize("f", [linalg.eigvalsh, lambda x: pg.abs(linalg.eigh(x).eigenvectors)])
def test_mistake_17_eigh_gradient_is_hermitian(f: Any, device: pg.Device) -> None:
    a = cplx(3, 3)
    x = pg.asarray(a + a.conj().T, device=device)
    w = pg.asarray(real(3, 3), device=device)
    g = host(pg.grad(lambda x: pg.sum(w * f(x)))(x))
    np.testing.assert_allclose(g, g.conj().T, rtol=1e-11)


# -- repeated values -----------------------------------------------------------------------------------


def test_mistake_18_svdvals_at_repeated_values(device: pg.Device) -> None:
    """pytorch#49886: losses of the values alone are finite, through svd as through svdvals."""
    x = pg.asarray(np.stack([np.eye(3), np.zeros((3, 3)), np.diag([2.0, 2.0, 1.0])]), device=device)
    for f in (linalg.svdvals, lambda x: linalg.svd(x, full_matrices=False).S, lambda x: linalg.svd(x)[1]):
        g = host(pg.grad(lambda x: pg.sum(f(x) ** 2))(x))  # noqa: B023
        np.testing.assert_allclose(g, 2 * host(x), atol=1e-14)
        t = host(pg.jvp(f, (x,), (pg.ones_like(x),))[1])
        assert np.isfinite(t).all()


@eager
def test_mistake_18_eigvalsh_at_repeated_values(device: pg.Device) -> None:
    x = pg.asarray(np.stack([np.eye(3), np.zeros((3, 3))]), device=device)
    for f in (linalg.eigvalsh, lambda x: linalg.eigh(x).eigenvalues):
        np.testing.assert_allclose(host(pg.grad(lambda x: pg.sum(f(x)))(x)), [np.eye(3)] * 2)  # noqa: B023
        assert np.isfinite(host(pg.jvp(f, (x,), (pg.ones_like(x),))[1])).all()


def test_vectors_of_repeated_values_have_no_derivative() -> None:
    w = real(3, 3)
    for f in (lambda x: linalg.eigh(x).eigenvectors, lambda x: linalg.svd(x).U, lambda x: linalg.svd(x).Vh):
        assert not np.isfinite(pg.grad(lambda x: pg.sum(w * f(x)))(np.eye(3))).any()  # noqa: B023


@eager
@pytest.mark.parametrize("shape", [(4, 2), (2, 4), (3, 3)])
def test_mistake_18_complex_svd(shape: Any, device: pg.Device) -> None:
    """autograd#538: of a loss that does not depend on phases, with both vectors in it."""

    def f(x: Any) -> Any:
        u, s, vh = linalg.svd(x, full_matrices=False)
        return pg.matmul(u * pg.astype(pg.exp(-s), u.dtype)[..., None, :], vh)

    x = pg.asarray(cplx(*shape), device=device)
    check_vjp(f, [x])
    check_jvp(f, [x])


def test_complex_vectors_and_phases() -> None:
    """The rule adds nothing along the phases: multiplying U and V by a phase leaves a gradient as it was."""
    x, w = cplx(3, 3), cplx(3, 3)

    def loss(x: Any, phase: complex) -> Any:
        u, _, vh = linalg.svd(x)
        return pg.sum(pg.abs(pg.matmul(u * phase, w)) ** 3) + pg.sum(pg.abs(pg.matmul(w, pg.conj(phase) * vh)) ** 3)

    one, turned = (pg.grad(loss)(x, np.asarray(p)) for p in (1.0 + 0j, np.exp(0.7j)))
    np.testing.assert_allclose(turned, one, rtol=1e-12)


# -- extra vectors -------------------------------------------------------------------------------------


@eager
def test_extra_singular_vectors_have_no_derivative(device: pg.Device) -> None:
    """The singular values always have; U or Vh with vectors beyond min(M, N) raises in the backward pass."""
    tall, wide = pg.asarray(real(4, 2), device=device), pg.asarray(real(2, 4), device=device)
    for x, bad, good in ((tall, "U", "Vh"), (wide, "Vh", "U")):
        y = x.detach().requires_grad_()
        made = linalg.svd(y)
        assert [tuple(p.shape) for p in made] == [(x.shape[0],) * 2, (2,), (x.shape[1],) * 2]
        with pytest.raises(NoRuleError, match="full_matrices=False"):
            pg.sum(getattr(made, bad)).backward()
        with pytest.raises(NoRuleError, match="full_matrices=False"):
            pg.jvp(lambda x: getattr(linalg.svd(x), bad), (x,), (x,))  # noqa: B023
        reduced = pg.grad(lambda x: pg.sum(pg.abs(getattr(linalg.svd(x, full_matrices=False), good))))(x)  # noqa: B023
        full = pg.grad(lambda x: pg.sum(pg.abs(getattr(linalg.svd(x), good))))(x)  # noqa: B023
        np.testing.assert_allclose(host(full), host(reduced), rtol=1e-12)


@eager
def test_extra_columns_of_q_have_no_derivative(device: pg.Device) -> None:
    x = pg.asarray(real(4, 2), device=device)
    y = x.detach().requires_grad_()
    q, r = linalg.qr(y, mode="complete")
    assert (q.shape, r.shape) == ((4, 4), (4, 2))
    np.testing.assert_allclose(host(q) @ host(r), host(x), atol=1e-14)
    with pytest.raises(NoRuleError, match="mode='reduced'"):
        pg.sum(q).backward()
    with pytest.raises(NoRuleError, match="mode='reduced'"):
        pg.jvp(lambda x: linalg.qr(x, mode="complete").Q, (x,), (x,))
    pg.sum(pg.abs(linalg.qr(y, mode="complete").R)).backward()
    np.testing.assert_allclose(
        host(y.grad), host(pg.grad(lambda x: pg.sum(pg.abs(linalg.qr(x).R)))(x)), rtol=1e-12, atol=1e-14
    )
    wide = linalg.qr(pg.asarray(real(2, 4), device=device, requires_grad=True), mode="complete")
    pg.sum(wide.Q * wide.Q + wide.R[:, :2]).backward()  # square: nothing extra


def test_extra_vectors_inside_vmap() -> None:
    x = real(3, 4, 2)
    values = pg.vmap(pg.grad(lambda x: pg.sum(linalg.svd(x).S)))(x)
    outside = pg.grad(lambda x: pg.sum(pg.vmap(lambda x: linalg.svd(x).S)(x)))(x)
    loop = [pg.grad(lambda x: pg.sum(linalg.svd(x).S))(one) for one in x]
    np.testing.assert_allclose(values, loop, rtol=1e-12)
    np.testing.assert_allclose(outside, loop, rtol=1e-12)
    with pytest.raises(NoRuleError, match="full_matrices"):
        pg.grad(lambda x: pg.sum(pg.vmap(lambda x: linalg.svd(x).U)(x)))(x)


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


def test_qr_of_dependent_columns_has_no_derivative(device: pg.Device) -> None:
    x = pg.asarray(np.stack([np.zeros((3, 2)), np.eye(3, 2)]), device=device)
    g = host(pg.grad(lambda x: pg.sum(linalg.qr(x).R))(x))
    assert not np.isfinite(g[0]).all()
    assert np.isfinite(g[1]).all()


def test_parts_of_what_is_given_alone() -> None:
    """Each output of a decomposition by itself: the other cotangents are not there."""
    x, z = rows_linalg.regular(3, 3, make=real), rows_linalg.regular(3, 3, make=cplx)
    for f in (
        lambda x: linalg.svd(x)[0] ** 2, lambda x: linalg.svd(x)[2] ** 2, lambda x: linalg.qr(x)[0],
        lambda x: linalg.qr(x)[1], lambda x: linalg.qr(x[:2, :])[0], lambda x: linalg.qr(x[:2, :])[1],
    ):  # fmt: skip
        check_grads(f, [x])
    check_grads(lambda x: linalg.eigh(x + pg.matrix_transpose(x))[1] ** 2, [x])
    # summed over the vectors, whose order may change on the way
    check_grads(lambda x: pg.sum(pg.abs(linalg.eig(x)[1]) ** 4, axis=-1), [np.diag([1.0, 2.0, 4.0]) + 0.1 * x])
    check_grads(lambda x: linalg.slogdet(x).logabsdet, [x])
    check_grads(lambda x: linalg.slogdet(x).logabsdet, [z])
    check_grads(lambda x: linalg.slogdet(x).sign, [z])
    check_grads(lambda x: pg.abs(linalg.svd(x)[0]), [z])
    check_grads(lambda x: pg.abs(linalg.svd(x)[2]), [z])
    check_grads(lambda x: linalg.slogdet(x).sign, [x])


# -- norms ---------------------------------------------------------------------------------------------

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


# -- pseudoinverse, ranks, powers ------------------------------------------------------------------------


@eager
@pytest.mark.parametrize("make", [real, cplx])
@pytest.mark.parametrize("shape", [(3, 3), (4, 3), (3, 5)])
def test_pinv_of_rank_deficient_matrices(shape: Any, make: Any, device: pg.Device) -> None:
    """At constant rank: along curves ``a(t) b(t)`` of rank 2."""
    a, b = (pg.asarray(make(*s), device=device) for s in ((shape[0], 2), (2, shape[1])))

    def f(a, b):
        return linalg.pinv(pg.matmul(a, b), rtol=1e-10)

    check_vjp(f, [a, b])
    check_jvp(f, [a, b])
    np.testing.assert_allclose(host(f(a, b)), np.linalg.pinv(host(a) @ host(b), rtol=1e-10), rtol=1e-9, atol=1e-11)


@eager
def test_pinv_with_a_cutoff_for_each_matrix(device: pg.Device) -> None:
    x = np.stack([np.diag([1.0, 0.1]), np.diag([1.0, 0.1])])
    rtol = np.array([0.5, 0.01])
    found = linalg.pinv(pg.asarray(x, device=device), rtol=pg.asarray(rtol, device=device))
    np.testing.assert_allclose(host(found), [np.diag([1.0, 0.0]), np.diag([1.0, 10.0])])
    ranks = linalg.matrix_rank(pg.asarray(x, device=device), rtol=pg.asarray(rtol, device=device))
    assert ranks.tolist() == [1, 2]
    assert ranks.dtype == pg.int64
    inside = pg.vmap(lambda x, r: linalg.pinv(x, rtol=r))(pg.asarray(x, device=device), pg.asarray(rtol, device=device))
    np.testing.assert_allclose(host(inside), host(found))
    inside = pg.vmap(lambda r: linalg.pinv(pg.asarray(x, device=device), rtol=r))(pg.asarray(rtol, device=device))
    np.testing.assert_allclose(host(inside)[1], [np.diag([1.0, 10.0])] * 2)
    inside = pg.vmap(lambda x, r: linalg.pinv(x, rtol=r))(
        pg.asarray(np.stack([x, x, x]), device=device), pg.asarray(np.array([0.5, 0.01, 0.5]), device=device)
    )
    np.testing.assert_allclose(host(inside)[:, 0], [np.diag([1.0, 0.0]), np.diag([1.0, 10.0]), np.diag([1.0, 0.0])])


def test_matrix_rank_has_no_derivative(device: pg.Device) -> None:
    x = pg.asarray(np.stack([np.eye(3), np.ones((3, 3)), np.zeros((3, 3))]), device=device, requires_grad=True)
    rank = linalg.matrix_rank(x)
    assert rank.tolist() == [3, 1, 0]
    assert not rank.requires_grad
    assert linalg.matrix_rank(pg.zeros((2, 0, 3), device=device)).tolist() == [0, 0]
    rtol = pg.asarray(0.1, device=device, requires_grad=True)  # the rank is piecewise constant: so is pinv in rtol
    pg.sum(linalg.pinv(x[:1, ...], rtol=rtol)).backward()
    assert rtol.grad is None
    np.testing.assert_allclose(host(x.grad)[0], -np.ones((3, 3)), atol=1e-12)


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


# -- exponential -----------------------------------------------------------------------------------------


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


# -- views, products ---------------------------------------------------------------------------------------


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


@eager
def test_lstsq(device: pg.Device) -> None:
    a, b = real(5, 2), real(3, 5, 2)
    found = linalg.lstsq(pg.asarray(a, device=device), pg.asarray(b, device=device))
    for k in range(3):
        x, residuals, rank, s = np.linalg.lstsq(a, b[k])
        np.testing.assert_allclose(host(found.solution)[k], x, rtol=1e-10)
        np.testing.assert_allclose(host(found.residuals)[k], residuals, rtol=1e-10)
        assert found.rank.item() == rank
        np.testing.assert_allclose(host(found.singular_values), s, rtol=1e-12)
    deficient = np.ones((3, 2))
    least = linalg.lstsq(pg.asarray(deficient, device=device), pg.asarray(np.arange(3.0), device=device))
    np.testing.assert_allclose(host(least.solution), [0.5, 0.5])
    assert least.rank.item() == 1


# -- other libraries ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("make", [real, cplx])
@pytest.mark.parametrize(
    ("name", "shape"),
    [
        ("det", (3, 3)), ("inv", (3, 3)), ("slogdet", (3, 3)), ("svdvals", (4, 2)), ("svdvals", (2, 4)),
        ("pinv", (4, 2)), ("pinv", (2, 4)), ("qr", (4, 2)), ("qr", (2, 4)), ("qr", (3, 3)), ("matrix_exp", (3, 3)),
        ("cholesky", (3, 3)), ("eigvalsh", (3, 3)),
    ],
)  # fmt: skip
def test_gradients_are_those_of_pytorch(name: str, shape: Any, make: Any) -> None:
    """The same convention for complex numbers too; only its cholesky and eigh are not made Hermitian, so that is done
    here."""
    torch = pytest.importorskip("torch")
    x = make(*shape)
    if name in ("cholesky", "eigvalsh"):
        x = x @ x.conj().T + np.eye(3)
    own = getattr(linalg, {"matrix_exp": "expm"}.get(name, name))
    tracked = pg.asarray(x, requires_grad=True)
    theirs = torch.tensor(x, requires_grad=True)
    mine, other = own(tracked), getattr(torch.linalg, name)(theirs)
    total, reference = pg.asarray(0.0), torch.zeros((), dtype=torch.float64)
    for y, z in zip(*[(v if isinstance(v, tuple) else (v,)) for v in (mine, other)], strict=True):
        w = make(*y.shape) if y.dtype.kind == "c" else real(*y.shape)
        np.testing.assert_allclose(y.detach().numpy(), z.detach().resolve_conj().numpy(), rtol=1e-9, atol=1e-11)
        total = total + pg.real(pg.sum(pg.conj(pg.asarray(w)) * y))
        reference = reference + torch.sum(torch.conj(torch.tensor(w)) * z).real
    total.backward()
    reference.backward()
    g = theirs.grad.resolve_conj().numpy()
    g = (g + g.conj().T) / 2 if name in ("cholesky", "eigvalsh") else g
    np.testing.assert_allclose(tracked.grad.numpy(), g, rtol=1e-8, atol=1e-10)  # type: ignore[union-attr]


def test_gradients_of_vectors_are_those_of_pytorch() -> None:
    """Of losses that depend on no phase."""
    torch = pytest.importorskip("torch")
    for make, shape in ((real, (3, 3)), (cplx, (3, 3)), (cplx, (4, 2)), (real, (2, 4))):
        x = make(*shape)
        a, b = real(shape[0], min(shape)), real(min(shape), shape[1])
        u, s, vh = torch.linalg.svd(t := torch.tensor(x, requires_grad=True), full_matrices=False)
        (
            torch.sum(u.abs() ** 3 * torch.tensor(a)) + torch.sum(vh.abs() ** 3 * torch.tensor(b)) + torch.sum(s**3)
        ).backward()

        def loss(x: Any) -> Any:
            u, s, vh = linalg.svd(x, full_matrices=False)
            return pg.sum(pg.abs(u) ** 3 * a) + pg.sum(pg.abs(vh) ** 3 * b) + pg.sum(s**3)  # noqa: B023

        np.testing.assert_allclose(pg.grad(loss)(x), t.grad.resolve_conj().numpy(), rtol=1e-8, atol=1e-9)


@eager
def test_general_eigenvalues_of_real_and_complex_matrices(device: pg.Device) -> None:
    """Always complex, as the standard says, though NumPy gives real ones where all happen to be."""
    for x in (np.diag([1.0, 2.0]), np.array([[0.0, -1.0], [1.0, 0.0]]), np.diag([1j, 2.0])):
        for dtype, made in (("float64", "complex128"), ("float32", "complex64")):
            native = x.astype(dtype) if x.dtype.kind == "f" else x.astype(made)
            w, v = linalg.eig(pg.asarray(native, device=device))
            assert (w.dtype.name, v.dtype.name) == (made, made)
            assert linalg.eigvals(pg.asarray(native, device=device)).dtype.name == made
            np.testing.assert_allclose(host(v) * host(w), native @ host(v), atol=1e-6)
    real_input = pg.asarray(real(3, 3), device=device)
    assert pg.grad(lambda x: pg.sum(pg.abs(linalg.eigvals(x))))(real_input).dtype == pg.float64


def test_dask_arrays_in_chunks() -> None:
    """Block by block over the stack, whole along the matrices."""
    da = pytest.importorskip("dask.array")
    x, b = rows_linalg.regular(4, 3, 3, make=real), real(4, 3, 2)

    def f(x: Any, b: Any) -> Any:
        u, s, vh = linalg.svd(x, full_matrices=False)
        spectrum = pg.fft.fft(linalg.solve(x, b), axis=-2)
        return pg.sum(pg.abs(u) * s[..., None, :]) + pg.sum(linalg.det(x)) + pg.sum(pg.abs(spectrum)) + pg.sum(vh**2)

    chunked = da.from_array(x, chunks=(2, 2, 2)), da.from_array(b, chunks=(1, 3, 1))
    value, grads = pg.value_and_grad(f, (0, 1))(*chunked)
    expected, reference = pg.value_and_grad(f, (0, 1))(x, b)
    np.testing.assert_allclose(value.compute(), expected, rtol=1e-12)
    for g, e in zip(grads, reference, strict=True):
        np.testing.assert_allclose(g.compute(), e, rtol=1e-10, atol=1e-12)
    blocks = linalg.inv(chunked[0])._value.numblocks
    assert blocks[0] > 1
    assert blocks[1:] == (1, 1)


# -- arguments -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["inv", "det", "slogdet", "cholesky", "eigh", "eigvalsh", "eig", "eigvals", "expm"])
def test_errors_of_square_matrices(name: str) -> None:
    f = getattr(linalg, name)
    with pytest.raises(ShapeError, match=rf"{name}: needs square matrices, got shape \(2, 3\)"):
        f(np.ones((2, 3)))
    with pytest.raises(ShapeError, match=rf"{name}: needs a matrix"):
        f(np.ones(3))
    with pytest.raises(DTypeError, match=rf"{name}: needs float32, .*got int64"):
        f(np.ones((2, 2), np.int64))
    with pytest.raises(DTypeError, match="float16"):
        f(np.ones((2, 2), np.float16))


@pytest.mark.parametrize(
    ("f", "error", "words"),
    [
        (lambda: linalg.solve(np.eye(2), np.ones(3)), ShapeError, r"solve: shapes \(2, 2\) and \(3,\) do not fit"),
        (lambda: linalg.solve(np.eye(2), np.ones((3, 2))), ShapeError, "needs 2 rows"),
        (lambda: linalg.solve(np.eye(2), 1.0), ShapeError, "do not fit"),
        (lambda: linalg.solve(np.ones((2, 3)), np.ones(2)), ShapeError, "square"),
        (lambda: linalg.solve(np.eye(2), np.ones(2, np.int64)), DTypeError, "int64"),
        (lambda: linalg.solve_triangular(np.ones((2, 3)), np.ones(2)), ShapeError, "square"),
        (lambda: linalg.cross(np.ones(2), np.ones(3)), ShapeError, "length 3"),
        (lambda: linalg.cross(np.ones((2, 3)), np.ones((4, 3))), ShapeError, "broadcast"),
        (lambda: linalg.cross(np.ones((3, 2)), np.ones(3), axis=0), ShapeError, "length 3 along axis -2"),
        (lambda: linalg.outer(np.ones((2, 2)), np.ones(2)), ShapeError, "two vectors"),
        (lambda: linalg.diagonal(np.ones(2)), ShapeError, "diagonal: needs a matrix"),
        (lambda: linalg.trace(np.ones(2)), ShapeError, "trace: needs a matrix"),
        (lambda: linalg.svd(np.ones(2)), ShapeError, "svd: needs a matrix"),
        (lambda: linalg.qr(np.ones((2, 2)), mode="full"), ValueError, "'reduced' or 'complete'"),
        (lambda: linalg.matrix_norm(np.eye(2), ord=3), ValueError, "ord must be"),
        (lambda: linalg.matrix_norm(np.ones((0, 2)), ord=2), ShapeError, "no elements"),
        (lambda: linalg.vector_norm(np.ones(2, np.int64)), DTypeError, "vector_norm: needs a floating"),
        (lambda: linalg.vector_norm(np.ones(2), axis=1), ShapeError, "axis 1"),
        (lambda: linalg.vector_norm(np.ones(0), ord=-1), ShapeError, "no elements"),
        (lambda: linalg.cond(np.ones((0, 0))), ShapeError, "no elements"),
        (lambda: linalg.multi_dot([np.eye(2)]), ShapeError, "two or more"),
        (lambda: linalg.multi_dot([np.eye(2), np.eye(3)]), ShapeError, "inner lengths"),
        (lambda: linalg.multi_dot([np.eye(2), np.ones(2), np.eye(2)]), ShapeError, "two or more matrices"),
        (lambda: linalg.inv(np.zeros((2, 2))), np.linalg.LinAlgError, r"inv of shape \(2, 2\): Singular matrix"),
        (lambda: linalg.solve(np.zeros((2, 2)), np.ones(2)), np.linalg.LinAlgError, "solve of shape"),
        (lambda: linalg.cholesky(-np.eye(2)), np.linalg.LinAlgError, "cholesky of shape"),
        (lambda: pg.vmap(lambda x: x.__array_namespace__() and x._device.raw.linalg.nothing(x._value))(np.eye(2)),
         VmapError, "linalg.nothing has no batching rule"),
    ],
)  # fmt: skip
def test_errors(f: Any, error: Any, words: str) -> None:
    with pytest.raises(error, match=words):
        f()


def test_products_that_do_not_fit(device: pg.Device) -> None:
    """Dask takes an inner length of 1 for any."""
    a, b = pg.asarray(real(2, 1), device=device), pg.asarray(real(3, 2), device=device)
    with pytest.raises(ShapeError, match="inner lengths 1 and 3"):
        linalg.matmul(a, b)
    small = pg.asarray(np.ones((), np.uint8), device=device)
    assert linalg.tensordot(small, small, axes=0).dtype == pg.uint8


def test_generic_kernels_of_empty_matrices() -> None:
    """Backends without ways of their own."""
    xp = pg.Device("cpu").raw
    for name in ("adjugate", "inv_or_inf", "expm", "pinv", "matrix_rank"):
        x = np.zeros((2, 0, 0))
        options = {"rtol": np.asarray(0.1)} if name in ("pinv", "matrix_rank") else {}
        assert GENERIC[f"linalg.{name}"](xp, x, **options).shape == ((2,) if name == "matrix_rank" else (2, 0, 0))


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


STANDARD = {
    "cholesky": "(x, /, *, upper=False)",
    "cross": "(x1, x2, /, *, axis=-1)",
    "det": "(x, /)",
    "diagonal": "(x, /, *, offset=0)",
    "eig": "(x, /)",
    "eigh": "(x, /)",
    "eigvals": "(x, /)",
    "eigvalsh": "(x, /)",
    "inv": "(x, /)",
    "matmul": "(x1, x2, /)",
    "matrix_norm": "(x, /, *, keepdims=False, ord='fro')",
    "matrix_power": "(x, n, /)",
    "matrix_rank": "(x, /, *, rtol=None)",
    "matrix_transpose": "(x, /)",
    "outer": "(x1, x2, /)",
    "pinv": "(x, /, *, rtol=None)",
    "qr": "(x, /, *, mode='reduced')",
    "slogdet": "(x, /)",
    "solve": "(x1, x2, /)",
    "svd": "(x, /, *, full_matrices=True)",
    "svdvals": "(x, /)",
    "tensordot": "(x1, x2, /, *, axes=2)",
    "trace": "(x, /, *, offset=0, dtype=None)",
    "vecdot": "(x1, x2, /, *, axis=-1)",
    "vector_norm": "(x, /, *, axis=None, keepdims=False, ord=2)",
}


@pytest.mark.parametrize("name", STANDARD)
def test_signatures_are_the_standards(name: str) -> None:
    signature = inspect.signature(getattr(linalg, name))
    bare = [p.replace(annotation=inspect.Parameter.empty) for p in signature.parameters.values()]
    assert str(inspect.Signature(bare)) == STANDARD[name]
    assert getattr(pg.zeros(1).__array_namespace__().linalg, name) is getattr(linalg, name)


def test_every_function_is_in_the_table() -> None:
    source = inspect.getsource(rows_linalg)
    functions = [n for n in linalg.__all__ if not n.endswith("Result")]
    assert set(STANDARD) <= set(functions)
    assert not [n for n in functions if f'"{n}' not in source and f".{n}(" not in source and f".{n} " not in source]


def test_main_functions_are_the_same_objects() -> None:
    for name in ("matmul", "matrix_transpose", "tensordot", "vecdot"):
        assert getattr(linalg, name) is getattr(pg, name)


def test_named_tuples() -> None:
    x = np.eye(2)
    assert linalg.eigh(x)._fields == linalg.eig(x)._fields == ("eigenvalues", "eigenvectors")
    assert linalg.qr(x)._fields == ("Q", "R")
    assert linalg.slogdet(x)._fields == ("sign", "logabsdet")
    assert linalg.svd(x)._fields == ("U", "S", "Vh")


@eager
def test_empty_stacks(device: pg.Device) -> None:
    """No matrices, or matrices of no elements: shapes come out, gradients too."""
    for shape in ((0, 2, 2), (2, 0, 0)):
        x = pg.asarray(np.zeros(shape), device=device, copy=True, requires_grad=True)
        values = [
            linalg.inv(x), linalg.det(x), linalg.slogdet(x).logabsdet, linalg.eigvalsh(x), linalg.svdvals(x),
            linalg.pinv(x), linalg.expm(x), linalg.qr(x).R, linalg.cholesky(x), linalg.matrix_power(x, 3),
            linalg.matrix_norm(x),
        ]  # fmt: skip
        assert [v.shape[0] for v in values] == [shape[0]] * len(values)
        sum((pg.sum(v) for v in values), pg.asarray(0.0, device=device)).backward()
        assert x.grad.shape == shape  # type: ignore[union-attr]
