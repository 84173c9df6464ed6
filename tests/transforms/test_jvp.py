"""jvp and linearize, and forward mode nested in reverse mode and the other way round."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import polygrad as pg
from polygrad.errors import ShapeError


def f(x: Any) -> Any:
    return pg.sum(pg.sin(x) * x**2)


def test_value_and_tangent(device: pg.Device) -> None:
    x = pg.asarray([0.5, 1.5], device=device)
    t = pg.asarray([1.0, -2.0], device=device)
    out, moved = pg.jvp(lambda x: x * x, (x,), (t,))
    assert out.tolist() == [0.25, 2.25]
    assert moved.tolist() == [1.0, -6.0]
    assert moved.device is device


def test_raw_and_numbers_in_kind() -> None:
    out, moved = pg.jvp(pg.sin, (np.zeros(2),), (np.ones(2),))
    assert isinstance(out, np.ndarray)
    assert isinstance(moved, np.ndarray)
    assert pg.jvp(lambda x: x**3, (2.0,), (1.0,)) == (8.0, 12.0)


def test_trees_aux_and_outputs_that_do_not_move() -> None:
    out, moved, aux = pg.jvp(
        lambda d: ({"a": d["x"] * 2.0, "b": pg.ones(2)}, "aux"), ({"x": 3.0},), ({"x": 1.0},), has_aux=True
    )
    assert out["a"] == 6.0
    assert moved["a"] == 2.0
    assert np.asarray(moved["b"]).tolist() == [0.0, 0.0]
    assert aux == "aux"


@pytest.mark.parametrize("name", ["jvp of jvp", "jvp of grad", "grad of jvp", "jvp of vjp"])
def test_second_derivatives_agree(name: str) -> None:
    x, v = np.array([0.5, 1.5]), np.array([1.0, -2.0])
    expected = pg.hessian(f)(x) @ v
    if name == "jvp of jvp":
        inner = lambda x: pg.jvp(f, (x,), (v,))[1]  # noqa: E731
        assert pg.jvp(inner, (x,), (v,))[1] == pytest.approx(v @ expected, rel=1e-12)
    elif name == "jvp of grad":
        np.testing.assert_allclose(pg.jvp(pg.grad(f), (x,), (v,))[1], expected, rtol=1e-12)
    elif name == "grad of jvp":
        np.testing.assert_allclose(pg.grad(lambda x: pg.jvp(f, (x,), (v,))[1])(x), expected, rtol=1e-12)
    else:
        pulled = lambda x: pg.vjp(f, x)[1](np.array(1.0))[0]  # noqa: E731
        np.testing.assert_allclose(pg.jvp(pulled, (x,), (v,))[1], expected, rtol=1e-12)


def test_hessian_by_differences() -> None:
    x = np.array([0.5, 1.5, -0.3])
    g = pg.grad(f)
    columns = [(g(x + e) - g(x - e)) / 2e-5 for e in 1e-5 * np.eye(3)]
    np.testing.assert_allclose(pg.hessian(f)(x), np.stack(columns, -1), atol=1e-8)


def test_perturbations_are_not_confused() -> None:
    """The classic: d/dx [x d/dy (x + y)] = 1."""
    found = pg.jvp(lambda x: x * pg.jvp(lambda y: x + y, (1.0,), (1.0,))[1], (1.0,), (1.0,))
    assert found == (1.0, 1.0)
    assert pg.jvp(lambda x: pg.jvp(lambda y: x * y * y, (x,), (1.0,))[1], (3.0,), (1.0,))[1] == 12.0


def test_linearize_records_once() -> None:
    runs = []

    def g(x: Any, y: Any) -> Any:
        runs.append(1)
        return x * y

    out, along = pg.linearize(g, 2.0, 3.0)
    assert out == 6.0
    assert along(1.0, 0.0) == 3.0
    assert along(0.0, 1.0) == 2.0
    assert runs == [1]


def test_jacobians_of_both_modes_agree() -> None:
    def g(x: Any, y: Any) -> Any:
        return {"a": pg.stack([x[0] * y, pg.sin(x[1])]), "b": pg.sum(x) * y}

    x, y = np.array([0.5, 1.5]), 2.0
    fwd, rev = (jac(g, argnums=(0, 1))(x, y) for jac in (pg.jacfwd, pg.jacrev))
    for key, shapes in {"a": [(2, 2), (2,)], "b": [(2,), ()]}.items():
        for a, b, shape in zip(fwd[key], rev[key], shapes, strict=True):
            assert np.shape(a) == np.shape(b) == shape
            np.testing.assert_allclose(a, b, rtol=1e-13)
    np.testing.assert_allclose(rev["a"][0], [[2.0, 0.0], [0.0, np.cos(1.5)]])


def test_hvp_of_several_arguments() -> None:
    product = pg.hvp(
        lambda x, y: pg.sum(x * x * y), (np.array([1.0]), np.array([2.0])), (np.array([1.0]), np.array([0.0]))
    )
    assert [p.tolist() for p in product] == [[4.0], [2.0]]


def test_wrong_use_is_told() -> None:
    with pytest.raises(TypeError, match="tuples of arguments"):
        pg.jvp(pg.sin, 1.0, 1.0)  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="2 primals but 1 tangents"):
        pg.jvp(pg.add, (1.0, 2.0), (1.0,))
    with pytest.raises(ShapeError, match=r"a tangent has shape \(3,\).*shape \(2,\)"):
        pg.jvp(pg.sin, (np.ones(2),), (np.ones(3),))
