"""What consumers do with a namespace they do not know: names outside the standard, arrays where it has numbers."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import polygrad as pg
from polygrad.errors import DetachError, DTypeError, ShapeError
from polygrad.testing import check_jvp, check_vjp


def host(x: Any) -> Any:
    return x.detach().to_device("cpu").numpy()


def test_diag_and_logspace_are_there(device: pg.Device) -> None:
    xp = device.xp
    assert {"diag", "logspace"} <= set(dir(xp))
    assert xp.diag(xp.ones(2)).tolist() == [[1.0, 0.0], [0.0, 1.0]]
    made = xp.logspace(0, 2, 3)
    assert made.device == device
    np.testing.assert_allclose(host(made), [1.0, 10.0, 100.0])
    assert xp.logspace(0.0, xp.asarray(2.0), num=2, base=2.0).tolist() == [1.0, 4.0]


def test_linspace_between_tensors(device: pg.Device) -> None:
    a, b = pg.asarray(0.1, device=device), pg.asarray(0.7, device=device)
    for start, stop, options in [(a, b, {}), (a, 3, {"endpoint": False}), (0.5, b, {}), (a, b, {"dtype": "float32"})]:
        made = pg.linspace(start, stop, 7, **options)
        assert made.device == device
        expected = np.linspace(float(start), float(stop), 7, **options)
        assert made.dtype == expected.dtype
        np.testing.assert_allclose(host(made), expected, rtol=1e-7 if options.get("dtype") else 1e-15)
    made = pg.linspace(a, b, 50)
    np.testing.assert_allclose(host(made)[[0, -1]], [0.1, 0.7], rtol=4e-16)
    check_vjp(lambda x, y: pg.linspace(x, y, 5), (a, b))
    check_jvp(lambda x, y: pg.linspace(x, y, 5, endpoint=False), (a, b))
    place = device.xp.linspace(a, 2.0, 3)
    assert place.device == device


def test_dtypes_of_linspace_between_tensors() -> None:
    assert pg.linspace(pg.asarray(1.0, dtype="float32"), 2, 3).dtype == pg.float32
    assert pg.linspace(pg.asarray(1), 2, 3).dtype == pg.float64
    assert pg.linspace(pg.asarray(1), pg.asarray(9), 3, dtype="int32").tolist() == [1, 5, 9]
    assert pg.linspace(pg.asarray(1j), 2, 2).tolist() == [1j, 2 + 0j]
    assert pg.linspace(pg.asarray(1.0), 2, 1).tolist() == [1.0]
    assert pg.linspace(pg.asarray(1.0), 2, 0).shape == (0,)
    with pytest.raises(ShapeError, match=r"linspace: start and stop must be numbers, got shapes \(2,\) and \(\)"):
        pg.linspace(pg.ones(2), 1.0, 3)


def test_arange_takes_arrays_of_one_element() -> None:
    for number in (3, np.int64(3), np.asarray(3), pg.asarray(3)):
        made = pg.arange(number)
        assert made.tolist() == [0, 1, 2]
        assert made.dtype == pg.int64
    assert pg.arange(pg.asarray(0.5), 2).tolist() == [0.5, 1.5]
    with pytest.raises(DetachError, match="arange: an argument requires grad"):
        pg.arange(pg.asarray(3.0, requires_grad=True))


def test_in_place_operators_cast_within_a_kind(device: pg.Device) -> None:
    x = pg.asarray([1, 2], dtype="int32", device=device)
    x += pg.asarray([3, 4], dtype="int64", device=device)
    assert x.dtype == pg.int32
    assert x.tolist() == [4, 6]
    y = pg.asarray([1.0, 2.0], dtype="float32", device=device)
    w = pg.asarray([3.0, 4.0], device=device, requires_grad=True)
    y *= w
    assert y.dtype == pg.float32
    pg.sum(y).backward()
    assert w.grad is not None
    assert w.grad.dtype == pg.float64
    assert w.grad.tolist() == [1.0, 2.0]
    with pytest.raises(DTypeError, match="dtype would change from float64 to complex128"):
        pg.ones(2).__imul__(1j)


@pytest.mark.parametrize("pair", [("complex128", "float64"), ("complex64", "float32")])
def test_view_in_another_dtype(pair: tuple[str, str], device: pg.Device) -> None:
    of_complex, of_real = pair
    z = np.asarray([[1 + 2j, 3 + 4j]], dtype=of_complex)
    x = pg.asarray(z, device=device, copy=True)
    reals = x.view(of_real)
    np.testing.assert_array_equal(host(reals), z.view(of_real))
    np.testing.assert_array_equal(host(reals.view(of_complex)), z)
    reals[0, 1] = 7.0  # as in NumPy, both see it
    assert x.tolist() == [[1 + 7j, 3 + 4j]]
    x[0, 1] = 0.0
    assert reals.tolist() == [[1.0, 7.0, 0.0, 0.0]]
    same = x.view(of_complex)
    same[0, 0] = 2.0
    assert x.tolist() == [[2.0, 0.0]]


def test_gradients_of_views_in_another_dtype() -> None:
    z = np.asarray([1 + 2j, 3 - 4j, 0.5j])
    check_vjp(lambda x: x.view(float) ** 2, (z,))
    check_vjp(lambda x: x.view("complex128") ** 2, (np.asarray([1.0, 2.0, 3.0, 4.0]),))

    def written(x: Any) -> Any:
        y = x * 1
        y.view(float)[1::2] *= 3.0
        return y**2

    check_vjp(written, (z,))


def test_errors_of_views_in_another_dtype() -> None:
    with pytest.raises(DTypeError, match="view: float64 cannot be seen as int64"):
        pg.ones(2).view("int64")
    with pytest.raises(DTypeError, match="view: float64 cannot be seen as complex64"):
        pg.ones(2).view("complex64")
    with pytest.raises(ShapeError, match="view: needs a last axis"):
        pg.ones(3).view("complex128")
    with pytest.raises(ShapeError, match="view: needs a last axis"):
        pg.asarray(1j).view("float64")


def test_broadcasting_to_its_own_shape_is_a_view(device: pg.Device) -> None:
    x = pg.zeros(3, device=device)
    y = pg.broadcast_to(x, (3,))
    x[0] = 1.0
    assert y.tolist() == [1.0, 0.0, 0.0]
    y[1] = 2.0
    assert x.tolist() == [1.0, 2.0, 0.0]


def test_memory_stays_writable_after_a_comparison() -> None:
    out = pg.zeros(3)  # SciPy's ndimage writes into np.asarray(output)
    pg.broadcast_to(out, (3,))
    np.asarray(out)[0] = 1.0
    assert out.tolist() == [1.0, 0.0, 0.0]


def test_comparing_arrays_to_a_tolerance_that_is_a_tensor() -> None:
    a = np.ones(2)
    assert np.isclose(a, a + 1e-3, atol=pg.asarray(1e-2)).tolist() == [True, True]
    assert not np.allclose(a, a + 1e-3, atol=pg.asarray(1e-5), rtol=0.0)
    np.testing.assert_allclose(a, a + 1e-3, atol=pg.asarray(1e-2))


def test_least_squares_by_another_name() -> None:
    a, b = pg.asarray([[1.0, 1.0], [1.0, 1.0 + 1e-9]]), pg.asarray([1.0, 3.0])
    assert int(pg.linalg.lstsq(a, b, rcond=1e-6).rank) == int(pg.linalg.lstsq(a, b, rtol=1e-6).rank) == 1
    assert int(pg.linalg.lstsq(a, b).rank) == 2
