"""NumPy's ufuncs on Tensors: by name, with their methods and options."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import polygrad as pg
from polygrad.errors import DetachError
from polygrad.protocols import ufuncs
from polygrad.testing import check_jvp, check_vjp

_rng = np.random.default_rng(11)
P = _rng.uniform(0.2, 0.8, size=(3, 4))
Q = _rng.uniform(1.1, 1.9, size=(3, 4))
X = _rng.normal(size=(3, 4))

UNARY = """absolute fabs arccos arcsin arctan arcsinh arctanh cbrt cos cosh deg2rad degrees exp exp2 expm1 floor ceil trunc
rint log log10 log1p log2 negative positive rad2deg radians reciprocal sign sin sinh sqrt square tan tanh conjugate
isfinite isinf isnan signbit logical_not modf""".split()
BINARY = """add subtract multiply divide true_divide floor_divide remainder mod fmod power float_power arctan2 hypot logaddexp
logaddexp2 maximum minimum fmax fmin copysign nextafter heaviside equal not_equal less less_equal greater greater_equal
logical_and logical_or logical_xor divmod""".split()
INTEGERS = "bitwise_and bitwise_or bitwise_xor left_shift right_shift gcd".split()


def same(got: Any, want: Any) -> None:
    if isinstance(want, tuple):
        for g, w in zip(got, want, strict=True):
            same(g, w)
        return
    assert isinstance(got, pg.Tensor)
    np.testing.assert_allclose(got.detach().numpy(), want, rtol=1e-13)


@pytest.mark.parametrize("name", UNARY)
def test_unary(name: str) -> None:
    f = getattr(np, name)
    same(f(pg.asarray(P, requires_grad=True)), f(P))
    if pg.asarray(f(P)[0] if isinstance(f(P), tuple) else f(P)).dtype.inexact:
        smooth = pg.asarray(0.1 + 0.3 * P)  # away from the steps
        check_vjp(f, [smooth])
        check_jvp(f, [smooth])


def test_arccosh() -> None:
    same(np.arccosh(pg.asarray(Q, requires_grad=True)), np.arccosh(Q))


@pytest.mark.on_host("NumPy arrays meet tensors on the default device")
@pytest.mark.parametrize("name", BINARY)
def test_binary(name: str) -> None:
    f = getattr(np, name)
    same(f(pg.asarray(Q, requires_grad=True), pg.asarray(P)), f(Q, P))
    same(f(Q, pg.asarray(P, requires_grad=True)), f(Q, P))
    same(f(pg.asarray(Q, requires_grad=True), 0.75), f(Q, 0.75))
    if name not in ("nextafter", "heaviside") and np.asarray(f(Q, P)).dtype != bool:
        away = [pg.asarray(1.3 + 0.1 * P), pg.asarray(0.85 + 0.05 * P)]  # quotients between 1.4 and 1.7
        check_vjp(f, away)
        check_jvp(f, away)


@pytest.mark.parametrize("name", INTEGERS)
def test_of_integers(name: str) -> None:
    f = getattr(np, name)
    a, b = np.array([6, 5, 12]), np.array([2, 3, 1])
    same(f(pg.asarray(a), pg.asarray(b)), f(a, b))
    same(np.invert(pg.asarray(a)), np.invert(a))


@pytest.mark.on_host("NumPy arrays meet tensors on the default device")
def test_products_of_matrices() -> None:
    a, b, v = X, X.T, X[0]
    same(np.matmul(a, pg.asarray(b)), a @ b)
    same(np.vecdot(pg.asarray(a), v), np.vecdot(a, v))
    same(np.matvec(pg.asarray(a), v), np.matvec(a, v))
    same(np.vecmat(pg.asarray(X[:, 0]), a), np.vecmat(X[:, 0], a))
    same(np.ldexp(pg.asarray(X), 3), np.ldexp(X, 3))


def test_heaviside_nan_and_fmax() -> None:
    x = np.array([-1.0, 0.0, 2.0, np.nan])
    same(np.heaviside(pg.asarray(x), 0.5), np.heaviside(x, 0.5))
    y = np.array([np.nan, 1.0, 1.0, np.nan])
    same(np.fmax(pg.asarray(x), y), np.fmax(x, y))
    same(np.fmin(pg.asarray(x), y), np.fmin(x, y))


@pytest.mark.parametrize("name", ["add", "multiply", "maximum", "minimum"])
def test_reduce(name: str) -> None:
    f = getattr(np, name)
    x = pg.asarray(X, requires_grad=True)
    for options in ({}, {"axis": 1}, {"axis": None}, {"axis": (0, 1), "keepdims": True}, {"axis": 0, "initial": 0.5}):
        same(f.reduce(x, **options), f.reduce(X, **options))
    same(f.reduce(x, axis=0, where=X > 0, initial=0.5), f.reduce(X, axis=0, where=X > 0, initial=0.5))
    check_vjp(lambda t: f.reduce(t, axis=1), [pg.asarray(X)])
    with pytest.raises(ValueError, match="initial="):
        np.maximum.reduce(x, where=X > 0)


def test_reduce_of_truths_accumulate_and_outer() -> None:
    b = X > 0
    same(np.logical_and.reduce(pg.asarray(b)), np.logical_and.reduce(b))
    same(np.logical_or.reduce(pg.asarray(b), axis=1), np.logical_or.reduce(b, axis=1))
    x = pg.asarray(X, requires_grad=True)
    same(np.add.accumulate(x), np.add.accumulate(X))
    same(np.multiply.accumulate(x, axis=1), np.multiply.accumulate(X, axis=1))
    same(np.subtract.outer(x, X[0]), np.subtract.outer(X, X[0]))
    check_vjp(lambda a, c: np.multiply.outer(a, c), [pg.asarray(X), pg.asarray(Q[0])])


def test_at() -> None:
    for f in (np.add, np.subtract):
        want = X.copy()
        f.at(want, [0, 0, 2], 1.5)
        got = pg.asarray(X, requires_grad=True) * 1.0
        f.at(got, [0, 0, 2], 1.5)
        same(got, want)

    def added(x: Any, v: Any) -> Any:
        y = x * 1.0
        np.add.at(y, [1, 1], v)
        return y

    check_vjp(added, [pg.asarray(X), pg.asarray(X[0])])
    with pytest.raises(TypeError, match="first argument"):
        np.add.at(X.copy(), [0], pg.asarray(X[0], requires_grad=True))


@pytest.mark.on_host("NumPy arrays meet tensors on the default device")
def test_out_dtype_where() -> None:
    x = pg.asarray(X, requires_grad=True)
    out = pg.zeros((3, 4))
    assert np.sin(x, out=out) is out
    same(out, np.sin(X))
    assert out.requires_grad
    with pytest.raises(DetachError, match="out= is a NumPy array"):
        np.sin(x, out=np.zeros((3, 4)))
    host = np.zeros((3, 4))
    np.sin(x.detach(), out=host)
    np.testing.assert_allclose(host, np.sin(X))
    assert np.add(x, 1.0, dtype="float32").dtype is pg.float32
    kept = pg.ones((3, 4))
    same(np.sqrt(pg.asarray(Q), where=X > 0, out=kept), np.sqrt(Q, where=X > 0, out=np.ones((3, 4))))
    with pytest.raises(TypeError, match="where= needs out="):
        np.sqrt(x, where=X > 0)


def test_what_has_no_equivalent() -> None:
    x = pg.asarray(X, requires_grad=True)
    for f in (np.spacing, np.frexp, lambda t: np.add.reduceat(t, [0, 1]), np.hypot.reduce):
        with pytest.raises(DetachError, match="no equivalent"):
            f(x)
    same(np.spacing(x.detach()), np.spacing(X))
    mantissa, exponent = np.frexp(x.detach())
    same(mantissa, np.frexp(X)[0])
    assert exponent.dtype.kind == "i"


def test_scalars_and_arrays_beside_a_tensor(device: pg.Device) -> None:
    x = pg.asarray(X, device="cpu").to_device(device).requires_grad_()
    for made in (np.float64(2.0) * x, x * np.float64(2.0), np.multiply(np.float64(2.0), x)):
        assert isinstance(made, pg.Tensor)
        assert made.device is device
        np.testing.assert_allclose(np.asarray(made.detach().to_device("cpu").numpy()), 2.0 * X)


def test_scipy_ufuncs() -> None:
    special = pytest.importorskip("scipy.special")
    x = pg.asarray(P, requires_grad=True)
    same(special.gammaln(x), special.gammaln(P))
    same(special.xlogy(x, Q), special.xlogy(P, Q))
    check_vjp(special.erf, [pg.asarray(P)])
    with pytest.raises(DetachError, match="no equivalent"):
        special.kelvin(x)
    assert ufuncs.find("no_such_function", "__call__") is None
