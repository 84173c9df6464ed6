"""What CuPy does otherwise than NumPy, and the backend mends: run on a GPU, or on ``tools/hostcuda``."""

from __future__ import annotations

import functools
import os
import subprocess
import sys
from typing import Any

import numpy as np
import pytest

import polygrad as pg
from polygrad.errors import DTypeError, NoFunctionError

pytestmark = pytest.mark.devices("cupy")

DTYPES = "bool int8 int16 int32 int64 uint8 uint16 uint32 uint64 float16 float32 float64 complex64 complex128".split()


def host(x: Any) -> np.ndarray:
    return np.asarray(x.to_device("cpu"))


# -- indices -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", ["float16", "float32", "float64", "complex64", "complex128"])
@pytest.mark.parametrize("way", ["take", "index", "take_along_axis", "mask"])
def test_gradients_of_indices_add_up(way: str, dtype: str, device: pg.Device) -> None:
    index = np.asarray([3, 1, 1, 0, 1])

    def f(x: Any) -> Any:
        i = pg.asarray(index, device=x.device)
        match way:
            case "take":
                picked = pg.take(x, i, axis=0)
            case "index":
                picked = x[i]
            case "take_along_axis":
                picked = pg.take_along_axis(x, i, axis=0)
            case _:
                picked = x[pg.asarray([True, True, False, True], device=x.device)]
        total = pg.sum(picked * picked)
        return pg.real(total) if total.dtype.kind == "c" else total

    x = np.asarray([1, 2, 3, 4]).astype(dtype)
    if dtype.startswith("complex"):
        x = x + np.asarray(0.5j, dtype)
    gradient = pg.grad(f)(pg.asarray(x, device=device))
    assert gradient.device == device
    np.testing.assert_allclose(host(gradient), np.asarray(pg.grad(f)(pg.asarray(x))), rtol=1e-3)


@pytest.mark.parametrize("dtype", DTYPES)
def test_scatter_add_of_every_dtype(dtype: str, device: pg.Device) -> None:
    values = np.asarray([1, 0, 1, 1, 100, 100]).astype(dtype)
    key = np.asarray([0, 1, 0, 2, 3, 3])
    sums = [
        place.raw.scatter_add((4,), place.backend.native_dtypes[dtype], [(k, v)])
        for place in (device, pg.Device("cpu"))
        for k, v in [(pg.asarray(key, device=place)._value, pg.asarray(values, device=place)._value)]
    ]
    np.testing.assert_array_equal(device.backend.to_numpy(sums[0]), sums[1])


# -- many arrays at once -------------------------------------------------------------------------------


@pytest.mark.parametrize("count", [2, 8, 9, 30])
def test_many_arrays_are_joined(count: int, device: pg.Device) -> None:
    arrays = [np.arange(6.0).reshape(2, 3)[:, : 1 + i % 3] + i for i in range(count)]
    joined = pg.concat([pg.asarray(x, device=device) for x in arrays], axis=-1)
    np.testing.assert_array_equal(host(joined), np.concatenate(arrays, axis=-1))
    flat = pg.concat([pg.asarray(x, device=device) for x in arrays], axis=None)
    np.testing.assert_array_equal(host(flat), np.concatenate(arrays, axis=None))
    mixed = [x.astype("float32" if i else "int32")[:, :1] for i, x in enumerate(arrays)]
    stacked = pg.stack([pg.asarray(x, device=device) for x in mixed], axis=1)
    np.testing.assert_array_equal(host(stacked), np.stack(mixed, axis=1))
    assert stacked.dtype == np.stack(mixed).dtype
    with pytest.raises(ValueError, match=r"shape|dimension"):
        pg.concat([pg.asarray(x, device=device) for x in [*arrays, np.ones((3, 1))]], axis=1)


# -- special functions ---------------------------------------------------------------------------------


@pytest.mark.parametrize("order", [1, 2, 3])
@pytest.mark.parametrize("name", ["digamma", "gammaln"])
def test_slopes_of_gamma_functions(name: str, order: int, device: pg.Device) -> None:
    def f(x: Any) -> Any:
        return pg.sum(getattr(pg.special, name)(x))

    def next_order(g: Any) -> Any:
        return lambda x: pg.sum(pg.grad(g)(x))

    g = functools.reduce(lambda g, _: next_order(g), range(order), f)
    x = np.asarray([1.5, 2.5, -0.5])
    np.testing.assert_allclose(g(pg.asarray(x, device=device)).item(), g(pg.asarray(x)).item(), rtol=1e-8)


def test_zeta_of_one_argument(device: pg.Device) -> None:
    x = np.asarray([1.5, 3.0])
    np.testing.assert_allclose(
        host(pg.special.zeta(pg.asarray(x, device=device))), pg.special.zeta(pg.asarray(x)).numpy()
    )


@pytest.mark.parametrize(
    ("name", "args"),
    [
        ("agm", ([1.0, 2.0], [3.0, 0.5])),
        ("ellipe", ([-2.0, 0.5],)),
        ("spence", ([0.3, 4.0],)),
        ("stdtr", ([2.0, 5.0], [-1.0, 0.4])),
        ("stdtrit", ([2.0, 5.0], [0.2, 0.6])),
        ("betainccinv", ([2.0, 1.5], [0.7, 3.0], [0.2, 0.8])),
        ("powm1", ([2.0, 0.5], [1e-5, 3.0])),
    ],
)
def test_functions_that_cupy_lacks(name: str, args: tuple[Any, ...], device: pg.Device) -> None:
    def f(x: Any) -> Any:
        others = [pg.asarray(a, device=x.device) for a in args[:-1]]
        return getattr(pg.special, name)(*others, x)

    x = pg.asarray(args[-1])
    np.testing.assert_allclose(host(f(x.to_device(device))), f(x).numpy(), rtol=1e-10)


@pytest.mark.parametrize("dtype", ["complex64", "complex128"])
@pytest.mark.parametrize("name", ["erf", "erfc", "erfi"])
def test_error_functions_of_complex_numbers(name: str, dtype: str, device: pg.Device) -> None:
    function, angles = getattr(pg.special, name), np.exp(1j * np.linspace(0.0, 2 * np.pi, 25))
    z = np.concatenate([(np.logspace(-4, 0.9, 20)[:, None] * angles).ravel(), [0.0]]).astype(dtype)
    result, expected = function(pg.asarray(z, device=device)), function(pg.asarray(z)).numpy()
    assert result.dtype == dtype
    bearable = np.isfinite(expected)
    error = np.abs(host(result) - expected) / np.maximum(np.abs(expected), 1e-30)
    assert np.max(error[bearable]) < (3e-7 if dtype == "complex64" else 2e-13)
    slope = pg.grad(lambda z: pg.sum(pg.real(function(z))))
    np.testing.assert_allclose(
        host(slope(pg.asarray(z[:99], device=device))), slope(pg.asarray(z[:99])).numpy(), rtol=1e-5
    )


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("name", ["dawsn", "erfi", "fresnel"])
def test_integrals_of_gaussians(name: str, dtype: str, device: pg.Device) -> None:
    function, x = getattr(pg.special, name), np.logspace(-6, 1.3, 60)
    x = np.concatenate([-x, [0.0, -0.0], x, [np.inf, -np.inf, np.nan]]).astype(dtype)
    result, expected = function(pg.asarray(x, device=device)), function(pg.asarray(x))
    for a, b in zip(*((r if isinstance(r, tuple) else (r,)) for r in (result, expected)), strict=True):
        assert a.dtype == dtype
        np.testing.assert_allclose(host(a), b.numpy(), rtol=3e-6 if dtype == "float32" else 1e-13)


@pytest.mark.parametrize("name", ["erfcx", "expit"])
def test_functions_of_real_numbers_refuse_complex_ones(name: str, device: pg.Device) -> None:
    with pytest.raises(NoFunctionError, match=r"complex numbers' is not there on 'cuda:0'.*to_device"):
        getattr(device.raw.special, name)(pg.asarray([1j], device=device)._value)


# -- linear algebra ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "call",
    [
        lambda place: pg.linalg.cholesky(pg.asarray([[1.0, 2.0], [2.0, 1.0]], device=place)),
        lambda place: pg.linalg.inv(pg.zeros((2, 2), device=place)),
        lambda place: pg.linalg.solve(pg.zeros((2, 2), device=place), pg.ones(2, device=place)),
    ],
    ids=["cholesky", "inv", "solve"],
)
def test_linear_algebra_that_fails_says_so(call: Any, device: pg.Device) -> None:
    with pytest.raises(Exception, match=r"positive definite|ingular") as error:
        call(device)
    with pytest.raises(type(error.value)):
        call(pg.Device("cpu"))


# -- several devices -----------------------------------------------------------------------------------

_SECOND = """
import hostcuda, cupy
import numpy as np
import polygrad as pg
from polygrad.errors import DeviceError

assert [d.name for d in pg.devices() if d.name.startswith("cuda")] == ["cuda:0", "cuda:1"]
x = pg.asarray([1.0, 2.0], device="cuda:1", requires_grad=True)
assert x._value.data.device_id == 1
for f in (lambda: x * x, lambda: pg.exp(x), lambda: pg.sum(x), lambda: x[0] + 1.0):
    try:
        y = f()
    except DeviceError as error:
        assert "cupy.cuda.Device(1).use()" in str(error), error
    else:
        raise AssertionError(f"computed on {y._value.data.device_id} in silence")
with cupy.cuda.Device(1):
    y = pg.sum(pg.exp(x) * x)
    assert y._value.data.device_id == 1 and y.device == "cuda:1"
    y.backward()
    assert x.grad._value.data.device_id == 1
    np.testing.assert_allclose(x.grad.to_device("cpu"), np.exp([1.0, 2.0]) * [2.0, 3.0])
moved = x.to_device("cuda:0")
assert (moved * 2.0)._value.data.device_id == 0
print("all well")
"""


def test_another_device_than_the_current_one_is_refused(device: pg.Device) -> None:
    if "hostcuda" not in sys.modules:
        pytest.skip("tools/hostcuda has as many devices as it is told; here is one")
    env = {**os.environ, "HOSTCUDA_DEVICES": "2", "PYTHONPATH": os.pathsep.join(sys.path)}
    run = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", _SECOND], env=env, capture_output=True, text=True, check=False
    )
    assert run.stdout.strip().endswith("all well"), run.stdout + run.stderr


# -- functions that end earlier, or take other arguments -----------------------------------------------


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize(
    ("name", "points"),
    [
        ("zeta", [-7.5, -4.0, -2.25, -0.5, 0.0, 0.25, 0.75, 1.0, 1.5, 4.0, 30.0, np.nan]),
    ],
)
def test_functions_that_end_earlier(name: str, points: list[float], dtype: str, device: pg.Device) -> None:
    function, x = getattr(pg.special, name), np.asarray(points, dtype)
    result, expected = function(pg.asarray(x, device=device)), function(pg.asarray(x))
    assert result.dtype == dtype
    np.testing.assert_allclose(host(result), np.asarray(expected), rtol=2e-14 if dtype == "float64" else 3e-6)


@pytest.mark.parametrize("n", [0, 1, 2, 5])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_polygamma_keeps_the_dtype_and_copies_nothing(n: int, dtype: str, device: pg.Device) -> None:
    x = np.asarray([0.3, 1.0, 2.5, 40.0], dtype)
    result = device.raw.special.polygamma(n, pg.asarray(x, device=device)._value)
    assert result.dtype == dtype
    expected = pg.Device("cpu").raw.special.polygamma(n, x)
    np.testing.assert_allclose(device.backend.to_numpy(result), expected, rtol=1e-5 if dtype == "float32" else 1e-12)


# -- errors --------------------------------------------------------------------------------------------


def test_a_dtype_that_cupy_lacks_names_cupy(device: pg.Device, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(device.backend, "native_dtypes", {"float32": device.backend.native_dtypes["float32"]})
    with pytest.raises(DTypeError, match="'cupy' has no dtype bfloat16"):
        pg.asarray([1.0], dtype="bfloat16", device=device)


_SHORTAGE = """
import hostcuda
import polygrad as pg

x = pg.asarray([1.0] * 1000, device="cuda", requires_grad=True)
for f in (lambda: pg.zeros((60_000_000,), device="cuda"), lambda: pg.sum(pg.broadcast_to(x, (60_000, 1000)) * 2.0)):
    try:
        f()
    except MemoryError as error:
        assert "llocating" in str(error), error
    else:
        raise AssertionError("there is more memory than there should be")
pg.sum(x * x).backward()
assert pg.sum(x.grad).item() == 2000.0
print("all well")
"""


def test_tensors_outlive_a_shortage_of_memory(device: pg.Device) -> None:
    if "hostcuda" not in sys.modules:
        pytest.skip("tools/hostcuda has as little memory as it is told")
    env = {**os.environ, "HOSTCUDA_MEMORY": str(64 << 20), "PYTHONPATH": os.pathsep.join(sys.path)}
    run = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", _SHORTAGE], env=env, capture_output=True, text=True, check=False
    )
    assert run.stdout.strip().endswith("all well"), run.stdout + run.stderr


def test_an_inverse_for_rules_does_not_raise(device: pg.Device) -> None:
    singular = pg.zeros((2, 2), device=device)._value
    assert not np.isfinite(device.backend.to_numpy(device.raw.linalg.inv_or_inf(singular))).all()
