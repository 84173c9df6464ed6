"""Eigenvalues and singular values: repeated ones, what depends on a gauge, extra vectors."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import rows_linalg
from linalg_shared import cplx, eager, host, real

import polygrad as pg
from polygrad import linalg
from polygrad.errors import NoRuleError
from polygrad.testing import check_grads, check_jvp, check_vjp


@eager
@pytest.mark.parametrize("f", [linalg.eigvalsh, lambda x: pg.abs(linalg.eigh(x).eigenvectors)])
def test_mistake_17_eigh_gradient_is_hermitian(f: Any, device: pg.Device) -> None:
    a = cplx(3, 3)
    x = pg.asarray(a + a.conj().T, device=device)
    w = pg.asarray(real(3, 3), device=device)
    g = host(pg.grad(lambda x: pg.sum(w * f(x)))(x))
    np.testing.assert_allclose(g, g.conj().T, rtol=1e-11)


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


def test_extra_vectors_inside_vmap() -> None:
    x = real(3, 4, 2)
    values = pg.vmap(pg.grad(lambda x: pg.sum(linalg.svd(x).S)))(x)
    outside = pg.grad(lambda x: pg.sum(pg.vmap(lambda x: linalg.svd(x).S)(x)))(x)
    loop = [pg.grad(lambda x: pg.sum(linalg.svd(x).S))(one) for one in x]
    np.testing.assert_allclose(values, loop, rtol=1e-12)
    np.testing.assert_allclose(outside, loop, rtol=1e-12)
    with pytest.raises(NoRuleError, match="full_matrices"):
        pg.grad(lambda x: pg.sum(pg.vmap(lambda x: linalg.svd(x).U)(x)))(x)


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
