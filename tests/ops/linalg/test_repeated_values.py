"""Vectors of repeated eigenvalues and singular values: right where the function does not depend on the basis, else nan."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import polygrad as pg

W = np.sin(np.arange(9.0)).reshape(3, 3)
B = np.exp(np.sin(np.arange(9.0) ** 2)).reshape(3, 3)
BASIS = np.linalg.qr(np.cos(np.arange(9.0) ** 2).reshape(3, 3))[0]


def of_values(f: Any, a: Any) -> Any:
    values, vectors = pg.linalg.eigh(a)
    return pg.sum((vectors * f(values)) @ pg.matrix_transpose(vectors) * W)


@pytest.mark.parametrize("repeated", [(2.0, 2.0, 2.0), (1.0, 2.0, 2.0), (2.0, 2.0, 3.0)])
@pytest.mark.parametrize("f", [pg.sqrt, pg.exp, lambda w: 1.0 / w], ids=["sqrt", "exp", "inverse"])
def test_functions_of_symmetric_matrices(f: Any, repeated: Any) -> None:
    a = (BASIS * np.asarray(repeated)) @ BASIS.T
    near = (BASIS * np.add(repeated, [0.0, 1e-4, 2.5e-4])) @ BASIS.T
    np.testing.assert_allclose(
        pg.grad(lambda a: of_values(f, a))(a), pg.grad(lambda a: of_values(f, a))(near), rtol=2e-3, atol=2e-3
    )


def test_a_logarithm_at_the_identity_says_nothing_about_the_vectors() -> None:
    """Its factor is 0 there, so that the cotangents do not tell its slope: nan, not a wrong number."""
    assert np.isnan(pg.grad(lambda a: of_values(pg.log, a))(np.eye(3))).any()


def test_the_polar_factor_at_equal_singular_values() -> None:
    def polar(x: Any) -> Any:
        u, _, vh = pg.linalg.svd(x, full_matrices=False)
        return pg.sum(u @ vh * W)

    # of X = I + dX the factor is I + (dX - dX^T) / 2
    np.testing.assert_allclose(pg.grad(polar)(np.eye(3)), (W - W.T) / 2, atol=1e-12)
    np.testing.assert_allclose(pg.jvp(polar, (np.eye(3),), (np.diag([1.0, 2.0, 3.0]),))[1], 0.0, atol=1e-12)


def test_a_vector_of_a_simple_value_beside_a_double_one() -> None:
    def projector(a: Any) -> Any:
        v = pg.linalg.eig(a)[1][:, :1]
        return pg.real(pg.sum(v @ pg.conj(pg.matrix_transpose(v)) * W))

    grad = pg.grad(projector)(np.diag([4.0, 1.0, 1.0]))
    assert np.isfinite(grad).all()


@pytest.mark.parametrize("values", [(0.0, 0.0, 0.0), (1.0, 0.0, 0.0), (2.0, 2.0, 2.0), (2.0, 2.0, 0.0)])
def test_third_derivative_of_the_determinant(values: Any) -> None:
    """The third derivative of det(A + s B) at 0 is 6 det(B) for 3 x 3 matrices, whatever A is."""
    a = (BASIS * np.asarray(values)) @ BASIS.T
    f = lambda s: pg.linalg.det(a + s * B)  # noqa: E731
    second = pg.grad(pg.grad(f))
    np.testing.assert_allclose(pg.grad(second)(0.0), 6 * np.linalg.det(B), rtol=1e-9)
    np.testing.assert_allclose(pg.jvp(second, (0.0,), (1.0,))[1], 6 * np.linalg.det(B), rtol=1e-9)
    assert pg.grad(lambda x: pg.sum(pg.grad(pg.linalg.det)(x)))(np.zeros((0, 0))).shape == (0, 0)
