"""QR, pseudoinverse, rank, least squares: extra columns, rank-deficient matrices."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from linalg_shared import cplx, eager, host, real

import polygrad as pg
from polygrad import linalg
from polygrad.errors import NoRuleError
from polygrad.testing import check_jvp, check_vjp


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


def test_qr_of_dependent_columns_has_no_derivative(device: pg.Device) -> None:
    x = pg.asarray(np.stack([np.zeros((3, 2)), np.eye(3, 2)]), device=device)
    g = host(pg.grad(lambda x: pg.sum(linalg.qr(x).R))(x))
    assert not np.isfinite(g[0]).all()
    assert np.isfinite(g[1]).all()


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
