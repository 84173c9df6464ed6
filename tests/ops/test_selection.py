"""Windows, diagonals and segments: values, views, errors."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from shared import host

import polygrad as pg
from polygrad.errors import AxisError, DTypeError, ShapeError

# -- windows, diagonals, segments --------------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(30))
def test_windows_against_numpy(seed: int) -> None:
    rng = np.random.default_rng(seed)
    ndim = int(rng.integers(1, 4))
    x = rng.normal(size=rng.integers(3, 6, ndim))
    axes = tuple(int(a) for a in rng.integers(-ndim, ndim, int(rng.integers(1, 3))))
    window = tuple(int(n) for n in rng.integers(1, 3, len(axes)))
    want = np.lib.stride_tricks.sliding_window_view(x, window, axis=axes)
    made, pull = pg.vjp(lambda v: pg.sliding_window_view(v, window, axis=axes), pg.asarray(x))
    np.testing.assert_array_equal(made.numpy(), want)
    g = rng.normal(size=want.shape)
    places = np.lib.stride_tricks.sliding_window_view(np.arange(x.size).reshape(x.shape), window, axis=axes)
    expected = np.zeros(x.size)
    np.add.at(expected, places.reshape(-1), g.reshape(-1))  # overlapping windows add up
    np.testing.assert_allclose(pull(pg.asarray(g))[0].numpy(), expected.reshape(x.shape), rtol=1e-13)


def test_windows_share_the_memory_of_numpys_arrays() -> None:
    x = np.arange(5.0)
    assert np.shares_memory(pg.sliding_window_view(pg.asarray(x), 3).numpy(), x)


@pytest.mark.devices("numpy", "torch", "strict", "cupy")
def test_windows_are_of_their_time(device: Any) -> None:
    """Later writes to the array do not reach them, nor theirs the array."""
    y = pg.asarray(np.arange(5.0), device=device, copy=True)
    windows = pg.sliding_window_view(y, 2)
    y[0] = 9.0
    assert windows[0, 0].item() == 0.0
    windows = pg.sliding_window_view(y, 2)
    windows[1, 0] = 7.0
    assert y.tolist() == [9.0, 1.0, 2.0, 3.0, 4.0]
    assert windows[0, 1].item() == 1.0


def test_window_errors() -> None:
    x = np.ones((3, 4))
    for window, axis in [((4, 1), None), (0, 0), ((2, 3), (0, 0)), (-1, 1), (5, -1)]:
        with pytest.raises(ShapeError, match="does not fit in shape"):
            pg.sliding_window_view(x, window, axis)
    with pytest.raises(ShapeError, match="for 2 axes; give axis"):
        pg.sliding_window_view(x, 2)
    with pytest.raises(AxisError, match="sliding_window_view: axis 2"):
        pg.sliding_window_view(x, 2, axis=2)


@pytest.mark.parametrize("k", [-5, -1, 0, 1, 4])
def test_diag_against_numpy(k: int, device: Any) -> None:
    for x in (np.arange(1.0, 4.0), np.arange(0.0), np.arange(12.0).reshape(3, 4), np.asarray([1, 2]), np.ones(2) > 0):
        made = pg.diag(pg.asarray(x, device=device, copy=True), k)
        want = np.diag(x, k)
        assert made.dtype == want.dtype
        np.testing.assert_array_equal(host(made), want)


def test_errors_of_selection() -> None:
    for v in (np.ones(()), np.ones((1, 2, 3))):
        with pytest.raises(ShapeError, match="diag: needs one or two dimensions"):
            pg.diag(v)
    with pytest.raises(DTypeError, match="one_hot: indices must be integers, not float64"):
        pg.one_hot([1.0], 3)
    with pytest.raises(DTypeError, match="segment_sum: indices must be integers"):
        pg.segment_sum([1.0], [1.0], 3)
    for values, ids in [([1.0, 2.0], [0]), (1.0, np.asarray(0)), ([1.0], [[0]])]:
        with pytest.raises(ShapeError, match="one id for each row"):
            pg.segment_sum(values, ids, 3)
    with pytest.raises(ValueError, match="must not be negative"):
        pg.segment_sum([1.0], [0], -1)


def test_one_hot_and_segments(device: Any) -> None:
    ids = pg.asarray(np.asarray([3, -1, 0, 7], "int32"), device=device)
    made = pg.one_hot(ids, 4, dtype="int32")
    assert made.dtype is pg.int32
    assert made.tolist() == [[0, 0, 0, 1], [0, 0, 0, 0], [1, 0, 0, 0], [0, 0, 0, 0]]  # out of range: nowhere
    values = pg.asarray(np.asarray([1, 2, 4, 8]), device=device)
    made = pg.segment_sum(values, ids, 4)
    assert (made.dtype, made.device) == (pg.int64, device)
    assert made.tolist() == [4, 0, 0, 1]
    assert pg.segment_sum(values, ids, 0).shape == (0,)
