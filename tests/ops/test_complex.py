"""Complex numbers: PyTorch's convention, as ``docs/numerics.md`` has it. Accuracy is in ``test_accuracy.py``, the adjoint
of every op with complex samples in the table."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from table import ROWS

import polygrad as pg
from polygrad.core.op import OPS
from polygrad.errors import DTypeError

pytestmark = pytest.mark.devices("numpy", "strict", "torch", "cupy")

_rng = np.random.default_rng(20261126)
Z = _rng.normal(size=(3, 3)) + 1j * _rng.normal(size=(3, 3))
W = _rng.normal(size=(3, 3)) + 1j * _rng.normal(size=(3, 3))
V = _rng.normal(size=(3, 3)) + 1j * _rng.normal(size=(3, 3))


def host(x: Any) -> Any:
    return np.asarray(pg.asarray(x).detach().to_device("cpu").numpy())


def inner(a: Any, b: Any) -> float:
    """C as the plane: Re(sum(conj(a) b))."""
    return float(np.sum(np.conj(a) * b).real)


HOLOMORPHIC = {
    "acos": lambda z: -1 / (np.sqrt(1 - z) * np.sqrt(1 + z)),
    "acosh": lambda z: 1 / (np.sqrt(z - 1) * np.sqrt(z + 1)),
    "asin": lambda z: 1 / (np.sqrt(1 - z) * np.sqrt(1 + z)),
    "asinh": lambda z: 1 / (np.sqrt(1 - 1j * z) * np.sqrt(1 + 1j * z)),
    "atan": lambda z: 1 / (1 + z * z),
    "atanh": lambda z: 1 / (1 - z * z),
    "cos": lambda z: -np.sin(z),
    "cosh": np.sinh,
    "exp": np.exp,
    "expm1": np.exp,
    "log": lambda z: 1 / z,
    "log10": lambda z: 1 / (z * np.log(10)),
    "log1p": lambda z: 1 / (1 + z),
    "log2": lambda z: 1 / (z * np.log(2)),
    "negative": lambda z: -np.ones_like(z),
    "positive": np.ones_like,
    "reciprocal": lambda z: -1 / z**2,
    "sin": np.cos,
    "sinh": np.cosh,
    "sqrt": lambda z: 0.5 / np.sqrt(z),
    "square": lambda z: 2 * z,
    "tan": lambda z: 1 / np.cos(z) ** 2,
    "tanh": lambda z: 1 / np.cosh(z) ** 2,
}


@pytest.mark.parametrize("name", HOLOMORPHIC)
def test_vjp_of_holomorphic_functions(name: str, device: pg.Device) -> None:
    """vjp(v) = v conj(f'(z)), jvp(v) = v f'(z), and grad(..., holomorphic=True) is f'(z) itself."""
    f, expected = getattr(pg, name), HOLOMORPHIC[name](Z)
    z, v = (pg.asarray(x, device=device) for x in (Z, V))
    np.testing.assert_allclose(host(pg.vjp(f, z)[1](v)[0]), V * np.conj(expected), rtol=1e-12)
    np.testing.assert_allclose(host(pg.jvp(f, (z,), (v,))[1]), V * expected, rtol=1e-12)
    np.testing.assert_allclose(
        host(pg.grad(lambda z: pg.sum(f(z)), holomorphic=True)(z)), np.broadcast_to(expected, Z.shape), rtol=1e-12
    )
    np.testing.assert_allclose(host(pg.jacrev(f, holomorphic=True)(z[0, :])), np.diag(expected[0]), rtol=1e-12)
    np.testing.assert_allclose(host(pg.jacfwd(f, holomorphic=True)(z[0, :])), np.diag(expected[0]), rtol=1e-12)


@pytest.mark.parametrize(
    ("f", "by_z", "by_w"),
    [
        (pg.add, lambda z, w: 1, lambda z, w: 1),
        (pg.subtract, lambda z, w: 1, lambda z, w: -1),
        (pg.multiply, lambda z, w: w, lambda z, w: z),
        (pg.divide, lambda z, w: 1 / w, lambda z, w: -z / w**2),
        (pg.pow, lambda z, w: w * z ** (w - 1), lambda z, w: z**w * np.log(z)),
    ],
)
def test_vjp_of_holomorphic_functions_of_two(f: Any, by_z: Any, by_w: Any, device: pg.Device) -> None:
    z, w, v = (pg.asarray(x, device=device) for x in (Z, W, V))
    gz, gw = pg.vjp(f, z, w)[1](v)
    np.testing.assert_allclose(host(gz), V * np.conj(by_z(Z, W)), rtol=1e-12)
    np.testing.assert_allclose(host(gw), V * np.conj(by_w(Z, W)), rtol=1e-12)


def test_second_derivatives_of_holomorphic_functions() -> None:
    first = pg.grad(pg.tanh, holomorphic=True)
    second = pg.grad(first, holomorphic=True)
    for z in (0.3 - 0.4j, 2.5 + 0.5j, -3.0 + 1.0j):
        np.testing.assert_allclose(second(z), -2 * np.tanh(z) / np.cosh(z) ** 2, rtol=1e-12)


def test_the_gradient_is_the_direction_of_steepest_ascent(device: pg.Device) -> None:
    """dL/dx + i dL/dy: ``z -= lr * z.grad`` descends."""
    z = pg.asarray(Z, device=device, requires_grad=True)
    loss = lambda z: pg.sum(pg.abs(z @ z - pg.asarray(W, device=device)) ** 2)  # noqa: E731
    value = loss(z)
    value.backward()
    assert z.grad is not None
    g = host(z.grad)
    h = 1e-6
    for index in [(0, 0), (2, 1)]:
        moved = []
        for direction in (1.0, 1j):
            unit = np.zeros_like(Z)
            unit[index] = direction * h
            up, down = (float(host(loss(pg.asarray(Z + s * unit, device=device)))) for s in (1, -1))
            moved.append((up - down) / (2 * h))
        np.testing.assert_allclose(g[index], moved[0] + 1j * moved[1], rtol=1e-7)
    before = float(host(value))
    assert float(host(loss(pg.asarray(Z - 1e-4 * g, device=device)))) < before
    assert float(host(loss(pg.asarray(Z - 1e-4 * np.conj(g), device=device)))) > before - 1e-4 * inner(g, g)


@pytest.mark.parametrize("f", [pg.add, pg.subtract, pg.multiply, pg.divide, pg.matmul, pg.vecdot, pg.linalg.solve])
def test_a_real_argument_gets_the_real_part(f: Any, device: pg.Device) -> None:
    """In its own dtype; and the inner products agree."""
    x, z, v = (pg.asarray(a, device=device) for a in (np.eye(3) * 2 + Z.real / 4, W, V))
    for args in ((x, z), (z, x)):
        out, pull = pg.vjp(f, *args)
        given = v if out.shape == (3, 3) else v[0, :]
        cotangents = pull(given)
        assert [g.dtype for g in cotangents] == [a.dtype for a in args]
        tangents = [pg.ones_like(a) * (1.0 if a is x else 0.5 - 2.0j) for a in args]
        moved = pg.jvp(f, args, tuple(tangents))[1]
        left = inner(host(given), host(moved))
        right = sum(inner(host(g), host(t)) for g, t in zip(cotangents, tangents, strict=True))
        np.testing.assert_allclose(left, right, rtol=1e-12)
        whole = pg.vjp(f, *[pg.astype(a, "complex128") for a in args])[1](given)
        for own, other in zip(cotangents, whole, strict=True):
            np.testing.assert_allclose(
                host(own), host(other).real if own.dtype == "float64" else host(other), rtol=1e-12
            )


def test_vecdot_conjugates_its_first_argument(device: pg.Device) -> None:
    z, w = (pg.asarray(a, device=device) for a in (Z[0], W[0]))
    v = 0.3 - 1.2j
    gz, gw = pg.vjp(pg.vecdot, z, w)[1](pg.asarray(v, device=device))
    np.testing.assert_allclose(host(gz), np.conj(v) * W[0], rtol=1e-13)
    np.testing.assert_allclose(host(gw), v * Z[0], rtol=1e-13)


def test_sign_turns_with_the_angle(device: pg.Device) -> None:
    """z / |z| is not piecewise constant: along z it stays, across it turns by 1 / |z|."""
    z = pg.asarray([3.0 - 4.0j, 0.0 + 0.0j, -2.0 + 0.0j], device=device)
    s = np.array([0.6 - 0.8j, 0.0, -1.0])
    along = host(pg.jvp(pg.sign, (z,), (pg.asarray(s, device=device),))[1])
    np.testing.assert_allclose(along, 0.0, atol=1e-15)
    across = host(pg.jvp(pg.sign, (z,), (pg.asarray(1j * s, device=device),))[1])
    np.testing.assert_allclose(across, 1j * s / np.array([5.0, 1.0, 2.0]), atol=1e-15)


@pytest.mark.parametrize("z", [-2.0 + 1.0j, -2.0 - 1.0j, 0.5 + 1e-3j, 0.5 - 1e-3j, 2.0 + 1e-12j])
def test_slope_of_acosh_is_on_the_branch_of_its_value(z: complex, device: pg.Device) -> None:
    """1 / (sqrt(z - 1) sqrt(z + 1)): 1 / sqrt(z^2 - 1) has the wrong sign to the left of the imaginary axis."""
    at = pg.asarray(z, device=device)
    h = 1e-5 * abs(z.imag) if abs(z.imag) > 1e-6 else 1e-6
    moved = (host(pg.acosh(at + h)) - host(pg.acosh(at - h))) / (2 * h)
    np.testing.assert_allclose(host(pg.grad(pg.acosh, holomorphic=True)(at)), moved, rtol=1e-4)


def test_holomorphic_needs_complex_numbers() -> None:
    """A real argument's gradient is a real part, which is no f'(z)."""
    for transform in (pg.grad, pg.value_and_grad, pg.jacrev, pg.jacfwd):
        with pytest.raises(DTypeError, match=r"holomorphic=True.*argument has dtype float64"):
            transform(lambda x: x * 1j, holomorphic=True)(1.0)
        with pytest.raises(DTypeError, match=r"holomorphic=True.*output has dtype float64"):
            transform(pg.abs, holomorphic=True)(1.0 + 1.0j)


def test_jacfwd_of_a_complex_function_of_real_numbers() -> None:
    np.testing.assert_allclose(
        pg.jacfwd(lambda x: pg.exp(x * 1j))(np.array([0.3, 1.2])), np.diag(1j * np.exp(1j * np.array([0.3, 1.2])))
    )
    with pytest.raises(DTypeError, match="jacrev: complex"):
        pg.jacrev(lambda x: pg.exp(x * 1j))(np.array([0.3, 1.2]))


REAL_ONLY = {
    "atan2", "ceil", "copysign", "floor", "floor_divide", "hypot", "logaddexp", "maximum", "minimum", "nextafter",
    "remainder", "round", "trunc",
}  # fmt: skip


def test_every_elementwise_op_of_complex_numbers_has_a_complex_row() -> None:
    """The table tests vjp against jvp by inner products for each row."""
    from polygrad.array_api import _CHAPTERS
    from polygrad.ops import elementwise

    complex_rows = {r.name for r in ROWS if any(np.iscomplexobj(a) for s in r.samples for a in s)}
    names = set(_CHAPTERS[elementwise].split()) - REAL_ONLY - {"clip"}
    assert names & set(OPS) >= {"exp", "pow", "abs"}
    assert names <= complex_rows
