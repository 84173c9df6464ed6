"""Writing in place: right on every library, immutable ones too, or an error; views follow, gradients included."""

from __future__ import annotations

import copy
import pickle
from typing import Any

import numpy as np
import pytest

import polygrad as pg
from polygrad.errors import DetachError, DTypeError, MutationError, ShapeError


def host(x: pg.Tensor) -> Any:
    return np.asarray(x.detach().to_device("cpu").numpy())


def test_a_write_to_a_slice_shows_in_the_array_and_back(device: pg.Device) -> None:
    x = pg.arange(5.0, device=device)
    y = x[1:]
    z = y[1:]
    y[0] = 50.0
    assert host(x).tolist() == [0, 50, 2, 3, 4]
    x[2] = 60.0
    assert host(y).tolist() == [50, 60, 3, 4]
    assert host(z).tolist() == [60, 3, 4]
    z += 1.0
    assert host(x).tolist() == [0, 50, 61, 4, 5]


@pytest.mark.parametrize(
    ("view", "expected"),
    [
        (lambda x: pg.reshape(x, (6,)), [[9, 9, 9], [9, 9, 9]]),
        (lambda x: x.T, [[9, 9, 9], [9, 9, 9]]),
        (lambda x: pg.permute_dims(x, (1, 0))[0], [[9, 1, 2], [9, 4, 5]]),
        (lambda x: pg.expand_dims(x, axis=1)[0], [[9, 9, 9], [3, 4, 5]]),
        (lambda x: pg.squeeze(x[:1, ...], 0), [[9, 9, 9], [3, 4, 5]]),
        (lambda x: pg.moveaxis(x, 0, 1)[1:, ...], [[0, 9, 9], [3, 9, 9]]),
        (lambda x: pg.unstack(x, axis=1)[2], [[0, 1, 9], [3, 4, 9]]),
        (lambda x: x[:, ::-2], [[9, 1, 9], [9, 4, 9]]),
        (lambda x: x.detach()[1, ...], [[0, 1, 2], [9, 9, 9]]),
        (lambda x: x[None, ..., 1], [[0, 9, 2], [3, 9, 5]]),
        (lambda x: x[1, 2], [[0, 1, 2], [3, 4, 9]]),
        (lambda x: x[0][1], [[0, 9, 2], [3, 4, 5]]),
    ],
)
def test_every_kind_of_view_writes_through(view: Any, expected: Any, device: pg.Device) -> None:
    x = pg.reshape(pg.arange(6.0, device=device), (2, 3))
    x = pg.asarray(x, copy=True)
    view(x)[...] = 9.0
    assert host(x).tolist() == expected


def test_an_element_is_a_view_too(device: pg.Device) -> None:
    """NumPy and array-api-strict give elements as scalars, which are copies."""
    x = pg.arange(3.0, device=device) + 0
    y = x[1]
    y *= 5.0
    assert host(x).tolist() == [0, 5, 2]
    x[1] = 7.0
    assert y.item() == 7
    y[...] = 8.0
    x += 1.0
    assert host(x).tolist() == [1, 9, 3]
    assert y.item() == 9


def test_index_arrays_copy(device: pg.Device) -> None:
    x = pg.arange(4.0, device=device)
    y = x[pg.asarray([0, 1], device=device)]
    y[...] = 7.0
    assert host(x).tolist() == [0, 1, 2, 3]


def test_gradients_through_writes(device: pg.Device) -> None:
    a = pg.asarray([1.0, 2.0, 3.0], device=device, requires_grad=True)
    x = a * 1.0
    x[1] = a[0] * a[2]
    pg.sum(x * x).backward()
    assert a.grad is not None
    np.testing.assert_allclose(host(a.grad), [2 * 1 + 2 * 3 * 3, 0, 2 * 3 + 2 * 3 * 1])


def test_gradients_through_a_write_to_a_view(device: pg.Device) -> None:
    a = pg.asarray([1.0, 2.0, 3.0], device=device, requires_grad=True)
    x = a * 2.0
    y = x[1:]
    before = x * 1.0
    y[0] = a[0] * 5.0
    y *= 3.0
    assert host(x).tolist() == [2, 15, 18]
    assert host(before).tolist() == [2, 4, 6]
    pg.sum(x * x + before).backward()
    assert a.grad is not None
    np.testing.assert_allclose(host(a.grad), [2 * 2 * 2 + 2 * 15 * 15 + 2, 2, 2 * 18 * 6 + 2])


def test_writing_a_tracked_value_into_a_plain_array(device: pg.Device) -> None:
    a = pg.asarray(3.0, device=device, requires_grad=True)
    out = pg.zeros(3, device=device)
    part = out[1:]
    part[0] = a * a
    assert out.requires_grad
    pg.sum(out * out).backward()
    assert a.grad is not None
    assert a.grad.item() == pytest.approx(4 * 27)


def test_values_that_a_graph_saved_never_change(device: pg.Device) -> None:
    """pytorch#31258: here the write goes elsewhere, and backward uses what was there."""
    w = pg.asarray([1.0, 2.0], device=device, requires_grad=True)
    x = pg.asarray([3.0, 4.0], device=device, copy=True)
    y = w * x
    x[0] = 100.0
    x += 1.0
    pg.sum(y).backward()
    assert w.grad is not None
    assert host(w.grad).tolist() == [3.0, 4.0]
    assert host(x).tolist() == [101.0, 5.0]


def test_reads_before_an_in_place_op_with_broadcasting_keep_their_gradient() -> None:
    """mlx#610."""
    a = pg.asarray([[1.0, 2.0], [3.0, 4.0]], requires_grad=True)
    b = pg.asarray([10.0, 20.0], requires_grad=True)
    x = a * 1.0
    early = pg.sum(x)
    x += b
    (early + pg.sum(x)).backward()
    assert a.grad is not None
    assert b.grad is not None
    assert a.grad.tolist() == [[2, 2], [2, 2]]
    assert b.grad.tolist() == [2, 2]


def test_in_place_on_a_leaf_is_refused() -> None:
    x = pg.asarray([1.0, 2.0], requires_grad=True)
    for write in (lambda: x.__setitem__(0, 5.0), lambda: x.__iadd__(1.0), lambda: x[1:].__setitem__(0, 5.0)):
        with pytest.raises(MutationError, match=r"leaf that requires grad.*shape \(2,\).*no_grad"):
            write()
    assert x.tolist() == [1.0, 2.0]


def test_in_place_on_a_leaf_under_no_grad_updates_the_parameter(device: pg.Device) -> None:
    x = pg.asarray([1.0, 2.0], device=device, copy=True, requires_grad=True)
    old = pg.sum(x * x)
    with pg.no_grad():
        x -= 0.5
        x[1] = 7.0
    assert host(x).tolist() == [0.5, 7.0]
    assert x.is_leaf
    assert x.requires_grad
    old.backward()
    assert x.grad is not None
    assert host(x.grad).tolist() == [2.0, 4.0]  # at the old values


def test_shared_memory_with_numpy() -> None:
    a = np.arange(4.0)
    x = pg.asarray(a)
    a[0] = 9.0
    assert x[0].item() == 9.0
    x[1] = 8.0
    assert a[1] == 8.0
    x += 1.0
    assert a.tolist() == [10, 9, 3, 4]
    assert x.numpy() is not None
    x.numpy()[3] = 0.0
    assert a[3] == 0.0


def test_writing_to_borrowed_memory_that_a_graph_holds_is_refused() -> None:
    a = np.arange(3.0)
    x = pg.asarray(a)
    w = pg.asarray([1.0, 1.0, 1.0], requires_grad=True)
    y = pg.sum(w * x)
    with pytest.raises(MutationError, match="shares its memory with an array of yours"):
        x[0] = 5.0
    y.backward()
    x[0] = 5.0
    assert a[0] == 5.0


def test_numpy_of_what_a_graph_holds_is_read_only() -> None:
    w = pg.asarray([1.0, 2.0], copy=True, requires_grad=True)
    y = pg.exp(w)
    for x in (y, w):
        with pytest.raises(ValueError, match="read-only"):
            x.detach().numpy()[0] = 5.0


def test_broadcast_results_are_not_written_through(device: pg.Device) -> None:
    x = pg.asarray([1.0], device=device)
    y = pg.broadcast_to(x, (20000,))
    y[0] = 5.0
    assert host(y)[:2].tolist() == [5.0, 1.0]
    assert host(x).tolist() == [1.0]


def test_in_place_keeps_dtype_and_shape() -> None:
    x = pg.asarray([1, 2])
    with pytest.raises(TypeError, match=r"dtype would change from int64 to float64"):
        x += 0.5
    y = pg.asarray([1.0, 2.0])
    with pytest.raises(ShapeError, match=r"shape would change from \(2,\) to \(2, 2\)"):
        y += pg.ones((2, 2))
    with pytest.raises(DTypeError, match="cannot write complex128 values into an array of float64"):
        y[0] = 1j


def test_repeated_indices_in_a_write_leave_the_last_and_its_gradient() -> None:
    v = pg.asarray([1.0, 2.0, 3.0], requires_grad=True)
    x = pg.zeros(3)
    x[[0, 0, 2]] = v
    assert x.tolist() == [2.0, 0.0, 3.0]
    pg.sum(x * x).backward()
    assert v.grad is not None
    assert v.grad.tolist() == [0.0, 4.0, 6.0]


def test_repeated_indices_in_a_read_sum(device: pg.Device) -> None:
    """pytorch#146299."""
    x = pg.asarray([1.0, 2.0, 3.0], device=device, requires_grad=True)
    pg.sum(x[[0, 2, 0, 0]] * pg.asarray([1.0, 2.0, 3.0, 4.0], device=device)).backward()
    assert x.grad is not None
    assert host(x.grad).tolist() == [8.0, 0.0, 2.0]


def test_masks(device: pg.Device) -> None:
    x = pg.asarray([1.0, -2.0, 3.0, -4.0], device=device, requires_grad=True)
    y = x * 1.0
    y[y < 0.0] = 0.0
    pg.sum(y * y).backward()
    assert x.grad is not None
    assert host(x.grad).tolist() == [2.0, 0.0, 6.0, 0.0]


def test_nothing_is_silently_detached() -> None:
    x = pg.asarray([1.0], requires_grad=True)
    for convert in (lambda: np.asarray(x), x.numpy, lambda: np.from_dlpack(x), lambda: pickle.dumps(x * 2)):
        with pytest.raises(DetachError, match="detach"):
            convert()
    with pytest.warns(pg.errors.DetachWarning):
        assert float(x) == x.item() == 1.0
    assert x.tolist() == [1.0]


def test_pickle_and_deepcopy(device: pg.Device) -> None:
    x = pg.asarray([[1.5, 2.5]], dtype="float32", device=device, requires_grad=True)
    for made in (pickle.loads(pickle.dumps(x)), copy.deepcopy(x)):
        assert made.dtype is pg.float32
        assert made.device is device
        assert made.requires_grad
        assert made.is_leaf
        assert host(made).tolist() == [[1.5, 2.5]]
        with pg.no_grad():
            made += 1.0
    assert host(x).tolist() == [[1.5, 2.5]]


def test_bounds_of_slices_may_be_tensors(device: pg.Device) -> None:
    x = pg.asarray([1.0, 2.0, 3.0], device=device, requires_grad=True)
    one, two = pg.asarray(1, device=device), pg.asarray(2, dtype="int32", device=device)
    assert [x[one:].tolist(), x[:one].tolist(), x[one:two].tolist(), x[::two].tolist()] == [[2, 3], [1], [2], [1, 3]]
    pg.sum(x[one:two] * 5).backward()
    assert x.grad.tolist() == [0.0, 5.0, 0.0]
