"""``scipy.fft``'s cosine and sine transforms of Tensors: SciPy's values, right gradients, SciPy's errors."""

from __future__ import annotations

import itertools
import subprocess
import sys
from typing import Any

import numpy as np
import pytest
from shared import check_as_on_numpy

import polygrad as pg
from polygrad.errors import AxisError, ShapeError
from polygrad.protocols.real_transforms import FUNCTIONS
from polygrad.testing import check_jvp, check_vjp

sf = pytest.importorskip("scipy.fft")

NAMES = ["dct", "idct", "dst", "idst"]
TYPES = [1, 2, 3, 4]
_rng = np.random.default_rng(3)


def host(x: Any) -> Any:
    return x.detach().to_device("cpu").numpy()


@pytest.mark.parametrize("type", TYPES)
@pytest.mark.parametrize("name", NAMES)
def test_values_are_scipys(name: str, type: int) -> None:
    f = getattr(sf, name)
    for norm, orthogonalize, n, have in itertools.product(
        (None, "backward", "ortho", "forward"), (None, True, False), (None, 3, 9), (2, 5, 6)
    ):
        x = _rng.normal(size=(3, have))
        options = {"n": n, "norm": norm, "orthogonalize": orthogonalize}
        made = f(pg.asarray(x, requires_grad=True), type, **options)
        assert made.requires_grad
        np.testing.assert_allclose(host(made), f(x, type, **options), rtol=1e-13, atol=1e-13, err_msg=str(options))


@pytest.mark.parametrize("type", TYPES)
@pytest.mark.parametrize("name", [f"{name}n" for name in NAMES])
def test_values_over_several_axes_are_scipys(name: str, type: int) -> None:
    f = getattr(sf, name)
    x = _rng.normal(size=(3, 4, 5))
    ways: list[dict[str, Any]] = [
        {}, {"s": (3, 6)}, {"s": (-1, 2), "axes": (0, 1)}, {"axes": (1,)}, {"axes": -2}, {"s": 3}, {"axes": ()},
        {"axes": np.int64(1)}, {"s": np.asarray([2, 3])},
    ]  # fmt: skip
    for norm, way in itertools.product((None, "ortho", "forward"), ways):
        expected = f(x, type, norm=norm, **way)
        np.testing.assert_allclose(host(f(pg.asarray(x), type, norm=norm, **way)), expected, rtol=1e-13, atol=1e-13)


@pytest.mark.part(9, "jax:cpu", "dask")  # slow there, and the same functions of the standard everywhere
@pytest.mark.one_in(2)
@pytest.mark.parametrize("type", TYPES)
@pytest.mark.parametrize("name", NAMES)
def test_gradients(name: str, type: int, device: pg.Device) -> None:
    x = _rng.normal(size=(4, 3))
    ways = ({"axis": 0, "norm": "ortho"}, {"n": 6, "axis": 0, "orthogonalize": True}, {"n": 2})
    for options in ways:
        f = lambda v, options=options: getattr(sf, name)(v, type, **options)  # noqa: E731
        found = f(pg.asarray(x, device=device))
        assert found.device == device
        np.testing.assert_allclose(host(found), f(x), rtol=1e-13, atol=1e-13)
        if device.backend.name in ("jax", "dask"):
            check_as_on_numpy(lambda place, v, f=f: f(v), [x], device)
            check_as_on_numpy(lambda place, v, f=f: f(v), [x], device, forward=True)
        else:
            check_vjp(f, (pg.asarray(x, device=device),))
            check_jvp(f, (pg.asarray(x, device=device),))
    if device.backend.name not in ("jax", "dask"):
        check_vjp(lambda v: getattr(sf, f"{name}n")(v, type), (pg.asarray(x, device=device),))


def test_second_derivative() -> None:
    x = _rng.normal(size=4)
    check_vjp(pg.grad(lambda v: pg.sum(pg.exp(sf.dct(v, 3, norm="ortho")))), (x,))


@pytest.mark.parametrize("dtype", ["float16", "float32", "int64", "bool", "complex64", "complex128"])
def test_dtypes_are_scipys(dtype: str) -> None:
    x = (_rng.normal(size=6) * 3 + (1j if dtype.startswith("complex") else 0)).astype(dtype)
    for name in NAMES:
        expected = getattr(sf, name)(x)
        found = getattr(sf, name)(pg.asarray(x))
        assert found.dtype == expected.dtype
        np.testing.assert_allclose(host(found), expected, rtol=1e-5, atol=1e-5)


def test_the_orthogonal_transform_of_complex_numbers_is_that_of_their_parts() -> None:
    z = _rng.normal(size=5) + 1j * _rng.normal(size=5)  # SciPy ignores orthogonalize here
    expected = sf.dct(z.real, orthogonalize=True) + 1j * sf.dct(z.imag, orthogonalize=True)
    np.testing.assert_allclose(host(sf.dct(pg.asarray(z), orthogonalize=True)), expected, rtol=1e-13)
    check_vjp(lambda v: sf.idst(v, norm="ortho"), (z,))


@pytest.mark.parametrize("name", sorted(FUNCTIONS))
def test_the_signatures_are_scipys(name: str) -> None:
    x = pg.asarray(_rng.normal(size=(3, 4)))
    by_name = getattr(sf, name)(x=x, type=2, norm=None, overwrite_x=True, workers=1, orthogonalize=None)
    np.testing.assert_array_equal(host(by_name), host(getattr(sf, name)(x)))


def test_errors() -> None:
    x = pg.ones((2, 1))
    with pytest.raises(ShapeError, match=r"dct: type 1 needs at least 2 points, got 1 along axis 1 of shape \(2, 1\)"):
        sf.dct(x, 1)
    with pytest.raises(ShapeError, match="dct: invalid number of data points"):
        sf.dct(x, n=0)
    with pytest.raises(ValueError, match="dst: type must be 1, 2, 3 or 4, got 5"):
        sf.dst(x, 5)
    with pytest.raises(ValueError, match="idct: Invalid norm value 'other'"):
        sf.idct(x, norm="other")
    with pytest.raises(ShapeError, match="dctn: shape requires more axes than are present"):
        sf.dctn(x, s=(1, 2, 3))
    with pytest.raises(ShapeError, match="idstn: axes and shape arguments have to be of the same length"):
        sf.idstn(x, s=(1, 2), axes=(0,))
    with pytest.raises(AxisError, match="axis 2 is out of range"):
        sf.dct(x, axis=2)


def test_everything_else_stays_scipys() -> None:
    x = _rng.normal(size=4)
    assert type(sf.dct(x)) is np.ndarray
    assert type(sf.dct([1.0, 2.0])) is np.ndarray
    np.testing.assert_allclose(host(pg.asarray(sf.fft(pg.asarray(x)))), np.fft.fft(x))


@pytest.mark.parametrize("first", ["polygrad", "scipy.fft"])
def test_either_may_be_imported_first(first: str) -> None:
    second = {"polygrad": "scipy.fft", "scipy.fft": "polygrad"}[first]
    code = (
        f"import {first}, {second}, polygrad as pg\n"
        "assert scipy.fft.dct(pg.asarray([1.0, 2.0], requires_grad=True)).requires_grad\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
