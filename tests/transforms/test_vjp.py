"""vjp, grad and value_and_grad: JAX's semantics, on every backend, results in kind."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import polygrad as pg
from polygrad.errors import DTypeError, GradientError, ShapeError


def host(x: Any) -> Any:
    return np.asarray(
        x.to_device("cpu").numpy() if isinstance(x, pg.Tensor) else pg.asarray(x).to_device("cpu").numpy()
    )


def on(device: pg.Device, values: Any) -> Any:
    """A raw array of the device's own library."""
    return pg.asarray(values, device=device)._value


def test_raw_arrays_in_raw_arrays_out(device: pg.Device) -> None:
    x = on(device, [1.0, 2.0])
    value, g = pg.value_and_grad(lambda x: pg.sum(x**3))(x)
    assert type(g) is type(x)
    assert type(value) is type(x)
    assert host(g).tolist() == [3.0, 12.0]


def test_tensors_in_tensors_out(device: pg.Device) -> None:
    x = pg.asarray([1.0, 2.0], device=device)
    g = pg.grad(lambda x: pg.sum(x**3))(x)
    assert isinstance(g, pg.Tensor)
    assert not g.requires_grad
    assert g.device is device


def test_numbers_in_numbers_out() -> None:
    found = pg.value_and_grad(lambda x: x * x)(3.0)
    assert found == (9.0, 6.0)
    assert type(found[1]) is float


def test_argnums_and_pytrees() -> None:
    def f(a: Any, b: Any, c: Any) -> Any:
        return pg.sum(a["w"] * b[0]) * c + pg.sum(b[1])

    a, b = {"w": np.array([1.0, 2.0])}, (np.array([3.0, 4.0]), np.ones(2))
    ga, gc = pg.grad(f, argnums=(0, 2))(a, b, 2.0)
    assert ga["w"].tolist() == [6.0, 8.0]
    assert gc == 11.0
    gb = pg.grad(f, argnums=1)(a, b, 2.0)
    assert isinstance(gb, tuple)
    assert [x.tolist() for x in gb] == [[2.0, 4.0], [1.0, 1.0]]
    assert pg.grad(f, argnums=-1)(a, b, 2.0) == 11.0


def test_has_aux() -> None:
    (value, aux), g = pg.value_and_grad(lambda x: (pg.sum(x * x), {"double": x * 2}), has_aux=True)(
        np.array([1.0, 2.0])
    )
    assert value == 5.0
    assert g.tolist() == [2.0, 4.0]
    assert isinstance(aux["double"], np.ndarray)
    assert aux["double"].tolist() == [2.0, 4.0]
    g, aux = pg.grad(lambda x: (x * x, "text"), has_aux=True)(3.0)
    assert (g, aux) == (6.0, "text")


def test_unreached_inputs_have_zero_gradients(device: pg.Device) -> None:
    """chainer#6260; pytorch#32304: 0, not None and no error."""
    x, y = pg.asarray([1.0, 2.0], device=device), pg.asarray([[3.0]], dtype="float32", device=device)
    gx, gy = pg.grad(lambda x, y: pg.sum(x), argnums=(0, 1))(x, y)
    assert host(gx).tolist() == [1.0, 1.0]
    assert host(gy).tolist() == [[0.0]]
    assert gy.dtype is pg.float32


def test_second_derivative_of_a_linear_function_is_zero() -> None:
    assert pg.grad(pg.grad(lambda x: 3.0 * x))(2.0) == 0.0


@pytest.mark.parametrize("order", [1, 2, 3, 4, 5])
def test_nested_grad(order: int) -> None:
    f: Any = pg.sin
    for _ in range(order):
        f = pg.grad(f)
    assert f(0.7) == pytest.approx(np.sin(0.7 + order * np.pi / 2), rel=1e-13)


def test_perturbations_are_not_confused() -> None:
    assert pg.grad(lambda x: x * pg.grad(lambda y: x + y)(1.0))(1.0) == 1.0
    assert pg.grad(lambda x: x * pg.grad(lambda y: x * y)(2.0))(3.0) == 6.0
    assert pg.grad(lambda x: pg.grad(lambda x: x * x)(x) * x)(3.0) == 12.0


def test_closed_over_tensors_keep_their_graph() -> None:
    """Nothing is silently detached: a gradient that depends on a tracked tensor carries its graph."""
    w = pg.asarray(3.0, requires_grad=True)
    g: Any = pg.grad(lambda x: w * x * x)(2.0)
    assert isinstance(g, pg.Tensor)
    g.backward()
    assert w.grad is not None
    assert w.grad.item() == 4.0
    assert w.grad.requires_grad is False


def test_grad_inside_a_backward_graph() -> None:
    x = pg.asarray([1.0, 2.0], requires_grad=True)
    g = pg.grad(lambda y: pg.sum(y**3))(x)
    pg.sum(g).backward()
    assert x.grad is not None
    assert x.grad.tolist() == [6.0, 12.0]


def test_under_no_grad_gradients_are_still_computed() -> None:
    with pg.no_grad():
        assert pg.grad(lambda x: x * x)(3.0) == 6.0
        w = pg.asarray(3.0, requires_grad=True)
        assert pg.grad(lambda x: w * x)(2.0) == 3.0


def test_vjp_of_trees_may_be_called_many_times() -> None:
    x = np.array([1.0, 2.0])
    out, pull = pg.vjp(lambda d: {"a": d["x"] * 2, "b": pg.sum(d["y"] * d["x"])}, {"x": x, "y": x})
    assert out["a"].tolist() == [2.0, 4.0]
    for scale in (1.0, 10.0):
        (found,) = pull({"a": x * scale, "b": np.array(scale)})
        assert found["x"].tolist() == [3 * scale, 6 * scale]
        assert found["y"].tolist() == [scale, 2 * scale]


def test_vjp_is_differentiable_in_its_cotangent() -> None:
    _, pull = pg.vjp(lambda x: x * x, np.array([3.0]))
    assert pg.grad(lambda g: pg.sum(pull(g)[0]))(np.array([1.0])).tolist() == [6.0]


def test_complex_gradients_follow_pytorch() -> None:
    z = np.array([1.0 + 2.0j, -0.5j])
    g = pg.grad(lambda z: pg.sum(pg.real(z * pg.conj(z))))(z)
    np.testing.assert_allclose(g, 2 * z)
    np.testing.assert_allclose(pg.grad(lambda z: z**3, holomorphic=True)(1.0 + 2.0j), 3 * (1.0 + 2.0j) ** 2)
    assert pg.grad(lambda x: pg.real(pg.sum(x * (1 + 2j))))(np.array([1.0])).dtype == np.float64


def test_scipy_minimises_a_plain_numpy_function() -> None:
    optimize = pytest.importorskip("scipy.optimize")

    def rosenbrock(x: Any) -> Any:
        return pg.sum(100.0 * (x[1:] - x[:-1] ** 2) ** 2 + (1.0 - x[:-1]) ** 2)

    found = optimize.minimize(pg.value_and_grad(rosenbrock), np.zeros(10), jac=True, method="L-BFGS-B")
    assert found.success
    np.testing.assert_allclose(found.x, 1.0, atol=1e-4)
    by_newton = optimize.minimize(
        pg.value_and_grad(rosenbrock), np.zeros(4), jac=True, hess=pg.hessian(rosenbrock), method="trust-exact",
        options={"gtol": 1e-9},
    )  # fmt: skip
    np.testing.assert_allclose(by_newton.x, 1.0, atol=1e-6)


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: pg.grad(lambda x: x * x)(np.ones(2)), ShapeError, r"must return a scalar.*shape \(2,\).*pg.sum"),
        (lambda: pg.grad(lambda x: (x, x))(1.0), GradientError, "one scalar.*has_aux"),
        (lambda: pg.grad(lambda x: x)(3), DTypeError, "argument 0 is 3 of type int"),
        (lambda: pg.grad(lambda x: x)(np.array(3)), DTypeError, "argument 0 has dtype int64.*Cast"),
        (lambda: pg.grad(lambda x: x > 0)(1.0), DTypeError, "output has dtype bool"),
        (lambda: pg.grad(lambda z: z)(1j), DTypeError, "complex128.*holomorphic=True"),
        (lambda: pg.grad(lambda x: x, argnums=1)(1.0), TypeError, "argnums=1 .* 1 positional"),
        (lambda: pg.vjp(lambda x: x, np.ones(2))[1](np.ones(3)), ShapeError, r"shape \(3,\).*shape \(2,\)"),
        (lambda: pg.value_and_grad(lambda x: x, has_aux=True)(1.0), TypeError, r"pair \(out, aux\)"),
    ],
)
def test_wrong_use_is_told(call: Any, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        call()
