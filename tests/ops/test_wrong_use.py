"""What each op says to arguments that do not fit, and the corners that no table row has."""

from __future__ import annotations

import operator
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import polygrad as pg
from polygrad.backend import generic_kernel
from polygrad.errors import AxisError, DeviceError, DTypeError, ShapeError
from polygrad.nn import functional as F
from polygrad.ops.kernels import sum_at
from polygrad.ops.keys import expand, positions

X = pg.asarray([[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]])
V = pg.asarray([1.0, 2.0, 3.0])
IMAGE, WINDOW = pg.ones((1, 2, 4)), pg.ones((2, 2, 3))


class Unknown:
    """No array, and nothing that could become one."""


class Foreign:
    """Another library's array, of which only DLPack is known."""

    def __init__(self, array: Any, kind: int | None = None) -> None:
        self.array, self.kind = array, kind

    def __dlpack__(self, **options: Any) -> Any:
        return self.array.__dlpack__(**options)

    def __dlpack_device__(self) -> Any:
        return self.array.__dlpack_device__() if self.kind is None else (self.kind, 0)


WRONG: list[tuple[Callable[[], Any], type[Exception], str]] = [
    # making arrays
    (lambda: pg.asarray(X, dtype="float32", copy=False), ValueError, "float64 to float32 needs a copy"),
    (lambda: pg.asarray(np.ones(2), dtype="float32", copy=False), ValueError, "float64 to float32 needs a copy"),
    (lambda: pg.asarray([1.0], copy=False), ValueError, "Python values cannot be shared"),
    (lambda: pg.asarray(Unknown()), DTypeError, "cannot make an array of .*Unknown"),
    (lambda: pg.asarray(["a", "b"]), DTypeError, "cannot make an array of numbers"),
    (lambda: pg.asarray([[1.0], [1.0, 2.0]]), ShapeError, "asarray"),
    (lambda: pg.asarray([1j], dtype="float64"), DTypeError, "would drop the imaginary part"),
    (lambda: pg.from_dlpack(Foreign(np.ones(2), 7)), DeviceError, "DLPack device type 7"),
    # dtypes
    (lambda: pg.astype(X + 1j, "float64"), DTypeError, "complex128 to float64"),
    (lambda: pg.result_type(), DTypeError, "at least one"),
    (lambda: pg.finfo("int64"), DTypeError, "use iinfo"),
    (lambda: pg.iinfo("float64"), DTypeError, "use finfo"),
    # keys
    (lambda: X[pg.asarray([0.5])], IndexError, "integers or booleans, not float64"),
    (lambda: pg.take(V, pg.asarray([0.5])), DTypeError, "indices must be integers"),
    (lambda: pg.take(X, pg.asarray([0])), ShapeError, "axis is required for an array of 2"),
    (lambda: pg.take(V, pg.asarray([5])), IndexError, r"take: .*shape \(3,\), axis 0"),
    (lambda: pg.take_along_axis(X, pg.asarray([0])), ShapeError, "x has 2 dimensions, indices have 1"),
    (lambda: operator.setitem(+X, 0, 1j), DTypeError, "cannot write complex128 values"),
    (lambda: operator.setitem(+X, 5, 1.0), IndexError, r"setitem: .*shape \(2, 3\)"),
    (lambda: operator.setitem(+X, 0, pg.ones(4)), ShapeError, r"setitem: .*shape \(2, 3\)"),
    # products
    (lambda: pg.matmul(X, pg.asarray(1.0)), ShapeError, "0-d array is no matrix"),
    (lambda: pg.matmul(pg.ones((2, 1, 3)), pg.ones((3, 3, 1))), ShapeError, "broadcast"),
    (lambda: pg.matrix_transpose(V), ShapeError, "at least 2 dimensions"),
    (lambda: pg.tensordot(X, V, axes=2), ShapeError, "axes=2 for arrays of 2 and 1"),
    (lambda: pg.tensordot(X, X, axes=1), ShapeError, "do not fit over axes"),
    (lambda: pg.vecdot(X, V, axis=-2), ShapeError, "axis -2 is out of range"),
    (lambda: pg.vecdot(X, X[:, :2]), ShapeError, "lengths 3 and 2 of axis -1 differ"),
    (lambda: V.T, ShapeError, "this array has 1"),
    # shapes and axes
    (lambda: pg.reshape(X, (-1, -1)), ShapeError, "cannot fit"),
    (lambda: pg.sum(X, axis=2), AxisError, "axis 2 is out of range"),
    # searching, sorting, statistics
    (lambda: pg.where(X, X, X), DTypeError, "the condition must be boolean"),
    (lambda: pg.argmax(pg.ones((0,))), ShapeError, "of no elements"),
    (lambda: pg.searchsorted(X, V), ShapeError, "x1 must have one dimension"),
    (lambda: pg.searchsorted(V, V, side="middle"), ValueError, "side must be"),
    (lambda: pg.mean(pg.asarray([1, 2])), DTypeError, "mean: needs a floating dtype"),
    (lambda: pg.var(X + 1j), DTypeError, "needs a real floating dtype"),
    (lambda: pg.cumulative_sum(pg.asarray(1.0)), ShapeError, "at least one dimension"),
    (lambda: pg.diff(pg.asarray(1.0)), ShapeError, "at least one dimension"),
    (lambda: pg.diff(V, n=-1), ValueError, "n must not be negative"),
    # networks
    (lambda: F.cross_entropy(pg.asarray([[1, 2]]), pg.asarray([0])), DTypeError, "logits of a floating dtype"),
    (lambda: pg.neural.conv(V, WINDOW), ShapeError, "at least 3"),
    (lambda: pg.neural.conv(IMAGE, pg.ones((2, 3, 3))), ShapeError, "2 channels"),
    (lambda: pg.neural.conv(IMAGE, WINDOW, stride=0), ValueError, "stride must be"),
    (lambda: pg.neural.conv(IMAGE, WINDOW, padding=-1), ValueError, "padding must be"),
    (lambda: pg.neural.conv(IMAGE, WINDOW, padding=(1, 1)), ValueError, "padding must be"),
    (lambda: pg.neural.conv(IMAGE, WINDOW, groups=0), ValueError, "groups must be"),
    (lambda: pg.neural.conv_input(IMAGE, WINDOW, (4, 4)), ShapeError, "1 lengths are wanted"),
    (lambda: pg.neural.conv_input(IMAGE, WINDOW, (4,)), ShapeError, "does not fit w"),
    (lambda: pg.neural.conv_weight(IMAGE, IMAGE, (3, 3)), ShapeError, "1 lengths of the window"),
    (lambda: pg.neural.conv_weight(IMAGE, IMAGE, (3,)), ShapeError, "conv_weight"),
    (
        lambda: pg.neural.lstm(pg.ones((2, 1, 8)), pg.ones((8, 3)), pg.ones((1, 3)), pg.ones((1, 2))),
        ShapeError,
        "w_hr is missing",
    ),
    (lambda: pg.neural.rnn(pg.ones((0, 1, 2)), pg.eye(2), pg.ones((1, 2))), ShapeError, "at least one time"),
    (
        lambda: pg.neural.rnn(pg.ones((1, 1, 2)), pg.eye(2), pg.ones((1, 2)), nonlinearity="sin"),
        ValueError,
        "nonlinearity must be",
    ),
]


@pytest.mark.parametrize(("call", "error", "text"), WRONG, ids=[str(i) for i in range(len(WRONG))])
def test_wrong_use_is_told(call: Callable[[], Any], error: type[Exception], text: str) -> None:
    with pytest.raises(error, match=text):
        call()


# -- making arrays -----------------------------------------------------------------------------------


def test_arrays_of_arrays_are_stacked_in_their_common_dtype() -> None:
    made = pg.asarray([np.ones(2), np.ones(2, dtype="float32")])
    assert made.dtype == "float64"
    assert made.shape == (2, 2)
    x = pg.asarray(2.0, requires_grad=True)
    mixed = pg.asarray([x, 1, np.float64(3.0)])
    assert mixed.tolist() == [2.0, 1.0, 3.0]
    assert pg.grad(lambda x: pg.sum(pg.asarray([x, x * x])))(2.0) == 5.0


def test_a_moved_array_is_told_or_moved_with_its_graph() -> None:
    pytest.importorskip("array_api_strict")
    with pytest.raises(ValueError, match="moving from cpu to strict"):
        pg.asarray(X, device="strict", copy=False)
    with pytest.raises(ValueError, match="moving from cpu to strict"):
        pg.asarray(np.ones(2), device="strict", copy=False)
    there = pg.ones((), device="strict")
    assert pg.asarray([there, np.float64(3.0)]).device == there.device
    with pytest.raises(DeviceError, match="different devices"):
        pg.asarray([pg.ones(2, device="strict"), np.ones(2)])

    def f(x: Any) -> Any:
        y = x.to_device("strict")
        return (y * y * y).to_device("cpu")

    assert pg.grad(pg.grad(f))(2.0) == 12.0
    assert [float(v) for v in pg.jvp(f, (2.0,), (1.0,))] == [8.0, 12.0]
    assert pg.jvp(pg.grad(f), (2.0,), (1.0,))[1] == 12.0


def test_a_numpy_array_moves_to_dask_by_being_wrapped() -> None:
    dask = pytest.importorskip("dask.array")
    moved = pg.asarray(np.arange(3.0), requires_grad=True).to_device("dask")
    assert moved.requires_grad
    assert isinstance(moved.detach()._value, dask.Array)
    assert moved.tolist() == [0.0, 1.0, 2.0]


def test_dlpack_of_tensors_arrays_and_strangers() -> None:
    array = np.arange(3.0)
    assert pg.from_dlpack(V).tolist() == [1.0, 2.0, 3.0]
    assert pg.from_dlpack(array).tolist() == [0.0, 1.0, 2.0]
    stranger = pg.from_dlpack(Foreign(array))
    assert stranger.device == "cpu"
    array[0] = 7.0
    assert stranger.tolist() == [7.0, 1.0, 2.0]
    assert pg.from_dlpack(Foreign(array), copy=True).tolist() == [7.0, 1.0, 2.0]
    assert pg.asarray(Foreign(array)).tolist() == [7.0, 1.0, 2.0]
    assert pg.from_dlpack(Foreign(array), device="cpu").tolist() == [7.0, 1.0, 2.0]


def test_fills_and_ends_that_are_tensors_keep_their_graph() -> None:
    assert pg.grad(lambda v: pg.sum(pg.full((2, 3), v)))(1.5) == 6.0
    assert pg.grad(lambda v: pg.sum(pg.full_like(X, v)))(1.5) == 6.0
    assert pg.full_like([1.0, 2.0], pg.asarray(3.0)).tolist() == [3.0, 3.0]
    assert pg.zeros_like([1.0, 2.0]).tolist() == [0.0, 0.0]
    assert pg.linspace(0.0, 1.0, 3).tolist() == [0.0, 0.5, 1.0]
    assert pg.linspace(0.0, 1j, 2).dtype == "complex128"
    assert pg.grad(lambda v: pg.sum(pg.linspace(0.0, v, 3)))(1.0) == 1.5


# -- dtypes ------------------------------------------------------------------------------------------


def test_numbers_and_foreign_arrays_promote_as_the_standard_says() -> None:
    assert pg.result_type(np.ones(2, dtype="float32"), 1.0) == "float32"
    assert pg.result_type(1.0) == "float64"
    assert pg.result_type(pg.float32, 1j) == "complex64"
    assert pg.result_type(pg.int64, 1j) == "complex128"
    assert pg.result_type(pg.int64, 1.0) == "float64"
    assert pg.result_type(pg.bool, 1) == "int64"
    assert pg.can_cast(pg.int8, pg.int16)
    assert not pg.can_cast(pg.float64, pg.float32)
    assert not pg.can_cast(pg.int64, pg.float32)
    assert pg.can_cast(pg.bool, pg.float32)
    assert pg.clip(pg.ones(2, dtype="float32") * 5, 0, pg.asarray(3)).dtype == "float32"
    assert pg.clip(V).tolist() == V.tolist()
    assert pg.sigmoid([0.0]).tolist() == [0.5]
    assert (pg.asarray([2.0]) ** 1).tolist() == [2.0]


# -- keys --------------------------------------------------------------------------------------------


def test_every_kind_of_key() -> None:
    want = X.numpy()
    keys: list[Any] = [
        True, False, [], range(0), np.int64(1), slice(np.int64(0), np.int64(1)), pg.asarray(1), (pg.asarray(0), [0, 2]),
        (None, 1, ..., None), np.array(True), (np.int64(1), slice(None, None, np.int64(2))),
    ]  # fmt: skip
    for key in keys:
        plain = (
            tuple(np.asarray(k.tolist()) if isinstance(k, pg.Tensor) else k for k in key)
            if isinstance(key, tuple)
            else key
        )
        plain = np.asarray(key.tolist()) if isinstance(key, pg.Tensor) else plain
        plain = np.empty(0, dtype=int) if isinstance(key, (list, range)) else plain
        np.testing.assert_array_equal(X[key].numpy(), want[plain], str(key))


@pytest.mark.parametrize(
    "key", [0, (0, 1), (slice(None), 1), (slice(None, None, -1), None, 2), ([0, 1], [1, 2]), (slice(None), [0, 0]),
            np.array(True), (np.array(False), 0), (0, slice(None), None), ([[1], [0]], slice(1, None))]
)  # fmt: skip
def test_positions_are_those_that_numpy_takes(key: Any) -> None:
    arrays = tuple(np.asarray(k) if isinstance(k, list) else k for k in key) if isinstance(key, tuple) else key
    np.testing.assert_array_equal(positions(np, (2, 3), arrays), np.arange(6).reshape(2, 3)[key])


def test_a_slice_of_an_axis_of_unknown_length_stays_as_it_is() -> None:
    assert expand((float("nan"), 3), slice(1, None)) == [slice(1, None), slice(0, 3, 1)]  # type: ignore[arg-type]


def test_writes_that_no_graph_sees_and_those_that_one_does() -> None:
    x = pg.asarray([1.0, 2.0, 3.0], requires_grad=True)
    y = x * 2
    with pg.no_grad():
        y[0] = 7.0
    assert y.tolist() == [7.0, 4.0, 6.0]
    z = x * 1
    z[0] = pg.ones((1, 1, 1))[0, 0, 0]
    z[1:] = pg.asarray([[5.0, 6.0]])  # leading axes of length 1 go, as NumPy has it
    assert z.tolist() == [1.0, 5.0, 6.0]
    z[:2] = pg.asarray([8, 9])
    assert z.tolist() == [8.0, 9.0, 6.0]
    pg.sum(z * z).backward()
    assert x.grad is not None
    assert x.grad.tolist() == [0.0, 0.0, 0.0]


@pytest.mark.devices("numpy", "strict")
@pytest.mark.parametrize(
    "key",
    [0, (0, 1), ([0, 1], [1, 2]), np.array([], dtype=int), np.array(True), (np.array(False), 0), (0, [0, 2]), ([1], 0)],
)
def test_tracked_writes_under_every_kind_of_key(device: pg.Device, key: Any) -> None:
    start = np.arange(6.0).reshape(2, 3)
    x, v = (pg.asarray(a, device=device, requires_grad=True) for a in (start, np.asarray(9.0)))
    y = x * 1
    y[key] = v
    want = start.copy()
    want[key] = 9.0
    assert y.tolist() == want.tolist()
    pg.sum(y).backward()
    hits = np.ones_like(start)
    hits[key] = 0.0
    assert x.grad is not None
    assert v.grad is not None
    assert x.grad.tolist() == hits.tolist()
    assert float(v.grad) == 6.0 - hits.sum()


@pytest.mark.devices("numpy", "strict")
def test_too_many_indices_are_told(device: pg.Device) -> None:
    x = pg.ones((2, 3), device=device) * pg.asarray(1.0, device=device, requires_grad=True)
    with pytest.raises(IndexError):
        x[0, 0, 0] = 1.0


def test_a_write_of_each_examples_own_into_what_is_shared_is_told() -> None:
    shared = pg.zeros(3)

    def at_own_place(i: Any) -> Any:
        shared[i] = 1.0
        return i

    with pytest.raises(pg.errors.VmapError, match="made outside vmap"):
        pg.vmap(at_own_place)(pg.asarray([0, 1]))


# -- the rest ----------------------------------------------------------------------------------------


def test_operators_do_what_the_functions_of_their_ops_say() -> None:
    """Eager code calls Python's operator directly; the op's own forward must say the same."""
    real, whole = (np.array([1.5, -2.0]), np.array([0.5, 2.0])), (np.array([6, 5]), np.array([3, 1]))
    for name in "add subtract multiply divide equal not_equal less less_equal greater greater_equal".split():
        np.testing.assert_array_equal(
            getattr(pg, name).op.forward(np, *real), getattr(operator, _SIGN.get(name, name))(*real)
        )
    for name in ("bitwise_and", "bitwise_or", "bitwise_xor"):
        np.testing.assert_array_equal(getattr(pg, name).op.forward(np, *whole), getattr(operator, _SIGN[name])(*whole))


_SIGN = {
    "add": "add", "subtract": "sub", "multiply": "mul", "divide": "truediv", "equal": "eq", "not_equal": "ne", "less": "lt",
    "less_equal": "le", "greater": "gt", "greater_equal": "ge", "bitwise_and": "and_", "bitwise_or": "or_",
    "bitwise_xor": "xor",
}  # fmt: skip


def test_what_a_library_refuses_of_shapes_that_fit_is_its_own_error() -> None:
    pytest.importorskip("array_api_strict")
    mask = pg.ones((2, 2), dtype="bool", device="strict")
    with pytest.raises(TypeError, match="numeric"):
        pg.matmul(mask, mask)


def test_repeats_of_every_kind() -> None:
    assert pg.repeat(X, 2).shape == (12,)
    assert pg.repeat(V, pg.asarray(2)).tolist() == [1.0, 1.0, 2.0, 2.0, 3.0, 3.0]
    assert pg.repeat(V, [1, 0, 2]).tolist() == [1.0, 3.0, 3.0]
    got = pg.grad(lambda v: pg.sum(pg.repeat(v, pg.asarray([1, 0, 2])) * pg.asarray([1.0, 2.0, 3.0])))(V)
    assert got.tolist() == [1.0, 0.0, 5.0]


def test_reductions_over_no_axes_and_plain_sequences() -> None:
    assert pg.prod(pg.asarray([2, 3], dtype="int8"), axis=()).dtype == "int64"
    assert pg.prod(V, axis=()).tolist() == V.tolist()
    assert pg.mean([1.0, 3.0]) == 2.0
    assert pg.sum(X, axis=np.int64(0)).tolist() == [5.0, 7.0, 9.0]
    assert pg.searchsorted(pg.asarray([3.0, 1.0]), [2.0], sorter=pg.asarray([1, 0])).tolist() == [1]
    assert pg.diff(V, n=0).tolist() == V.tolist()


def test_the_tangent_of_gelu_is_its_gradient_times_the_direction() -> None:
    direction = pg.asarray([1.0, -2.0, 0.5])
    _, tangent = pg.jvp(F.gelu, (V,), (direction,))
    np.testing.assert_allclose(
        tangent.numpy(), (pg.grad(lambda v: pg.sum(F.gelu(v)))(V) * direction).numpy(), rtol=1e-14
    )


def test_targets_that_are_ignored_may_lie_outside_the_classes() -> None:
    logits = pg.asarray([[0.0, 1.0], [2.0, 0.0]])
    assert F.cross_entropy(logits, pg.asarray([-100, 0])) == F.cross_entropy(logits[1:], pg.asarray([0]))


@pytest.mark.devices("numpy", "strict")
def test_attention_weights_without_a_mask(device: pg.Device) -> None:
    q, k = (pg.asarray(a, device=device) for a in (np.eye(2), np.ones((3, 2))))
    made = pg.neural.attention_weights(q, k, scale=1.0)
    np.testing.assert_allclose(np.asarray(made.tolist()), np.full((2, 3), 1 / 3), rtol=1e-15)


@pytest.mark.devices("numpy", "strict")
def test_convolution_of_nothing_and_without_padding(device: pg.Device) -> None:
    w = pg.asarray(np.ones((2, 2, 3)), device=device)
    assert pg.neural.conv(pg.zeros((0, 2, 4), device=device), w, padding=1).shape == (0, 2, 4)
    assert pg.neural.conv(pg.ones((1, 2, 4), device=device), w).tolist() == [[[6.0, 6.0], [6.0, 6.0]]]


def test_convolution_of_what_no_example_owns_inside_vmap() -> None:
    def f(b: Any) -> Any:
        x, w = pg.ones((1, 2, 4), device=b.device), pg.ones((2, 2, 3), device=b.device)
        g = pg.neural.conv(x, w)
        return b * pg.sum(g) + pg.sum(pg.neural.conv_weight(x, g, (3,)))

    assert pg.vmap(f)(pg.asarray([1.0, 2.0])).tolist() == [24.0 + 144.0, 48.0 + 144.0]


def test_axes_counted_from_the_front_and_unsigned_limits() -> None:
    assert pg.vecdot(X, X, axis=1).tolist() == pg.vecdot(X, X).tolist()
    assert (pg.iinfo("uint8").min, pg.iinfo("uint8").max) == (0, 255)


def test_a_constant_moves_onto_the_device_inside_vmap() -> None:
    made = pg.vmap(lambda b: pg.sum(V.to_device(b.device)) * b)(pg.asarray([1.0, 2.0]))
    assert made.tolist() == [6.0, 12.0]


def test_a_move_within_a_library() -> None:
    pytest.importorskip("array_api_strict")
    moved = pg.ones(2, device="strict").to_device("strict:device1")
    assert moved.device == "strict:device1"
    assert moved.tolist() == [1.0, 1.0]


def test_a_reversed_view_of_a_library_without_such_views_is_written_through() -> None:
    pytest.importorskip("torch")
    x = pg.asarray([1.0, 2.0, 3.0], device="torch:cpu")
    y = x[::-1]
    y[0] = 9.0
    assert x.tolist() == [1.0, 2.0, 9.0]
    x[0] = 5.0
    assert y.tolist() == [9.0, 2.0, 5.0]


def test_generic_kernels_of_keys_and_sums() -> None:
    """What libraries get that have nothing of their own; NumPy stands for them here."""
    x = np.arange(6.0).reshape(2, 3)
    keys: list[Any] = [0, slice(None, None, -1), (0, ..., None), (np.array([1, 0]), np.array([2, 2])), x > 2]
    for key in keys:
        np.testing.assert_array_equal(generic_kernel("getitem")(np, x, key), x[key])
    none = np.empty(0, dtype=int)
    np.testing.assert_array_equal(sum_at(np, 2, none, np.empty(0)), [0.0, 0.0])
    np.testing.assert_array_equal(generic_kernel("relu")(np, x - 2), np.maximum(x - 2, 0))
