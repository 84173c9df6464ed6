"""``pad``: values, dtypes, copies, errors."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from shared import host

import polygrad as pg
from polygrad.errors import AxisError, DTypeError, ShapeError
from polygrad.testing import check_adjoint

INF, NAN = float("inf"), float("nan")


# -- pad ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(60))
def test_pad_against_numpy(seed: int) -> None:
    rng = np.random.default_rng(seed)
    ndim = int(rng.integers(0, 4))
    x = rng.uniform(-1, 1, rng.integers(1, 4, ndim))
    mode = str(rng.choice(["constant", "edge", "reflect", "symmetric", "wrap"]))
    pairs = rng.integers(0, 6, (ndim, 2)).tolist()
    forms: list[Any] = [pairs, int(rng.integers(0, 4)), (2, 1), ((1, 3),), np.asarray(pairs).reshape(ndim, 2)]
    if ndim:
        forms += [{-1: 2, 0: (1, 3)} if ndim > 1 else {0: (1, 3)}, [[n] for n, _ in pairs]]
    width = forms[seed % len(forms)] if ndim else 3
    options = {"constant_values": (0.5, -2.0)} if mode == "constant" and seed % 2 else {}
    want = np.pad(x, width, mode=mode, **options)
    got = pg.pad(x, width, mode, **options)
    np.testing.assert_array_equal(got.numpy(), want)
    check_adjoint(lambda v: pg.pad(v, width, mode, **options), [x])


def test_pad_keeps_the_dtype(device: Any) -> None:
    for dtype in ("int32", "uint8", "bool", "float32", "complex64"):
        x = pg.asarray(np.asarray([1, 0, 1], dtype), device=device)
        for mode in ("constant", "reflect", "wrap"):
            made = pg.pad(x, 1, mode=mode)
            assert (made.dtype, made.device) == (x.dtype, device)
            np.testing.assert_array_equal(host(made), np.pad(np.asarray([1, 0, 1], dtype), 1, mode=mode))
    assert pg.pad(pg.asarray([1, 2], device=device), 1, constant_values=7.0).tolist() == [7, 1, 2, 7]
    assert pg.pad(pg.asarray([1, 2], device=device), 1, constant_values=[7.0, 3]).tolist() == [7, 1, 2, 3]
    assert pg.pad(pg.asarray([False], device=device), 1, constant_values=(0, 1)).tolist() == [False, False, True]
    assert pg.pad(pg.asarray([1.5], device=device), (0, 1), constant_values=INF).tolist() == [1.5, INF]
    assert np.isnan(pg.pad(pg.asarray([1.5], device=device), (0, 1), constant_values=NAN)[1].item())


def test_pad_is_a_copy() -> None:
    for mode in ("constant", "edge"):
        for values in (0, (0, 0)) if mode == "constant" else (0,):
            x = pg.asarray([1.0, 2.0])
            made = pg.pad(x, 0, mode, values)
            made[0] = 9.0
            assert x.tolist() == [1.0, 2.0]


@pytest.mark.parametrize(
    ("args", "options", "error", "words"),
    [
        (([1.0], 1), {"mode": "linear_ramp"}, ValueError, "mode 'linear_ramp' is not one of constant, edge"),
        (([1.0], 1), {"mode": len}, ValueError, "is not one of"),
        (([1.0], -1), {}, ValueError, "must not be negative"),
        (([1.0], 1.5), {}, TypeError, "whole numbers"),
        (([1.0], (1, 2, 3)), {}, ShapeError, "fits no array of 1 dimensions"),
        (([1.0], ((1, 2), (3, 4))), {}, ShapeError, "fits no array of 1 dimensions"),
        (([1.0], ((1, 2, 3),)), {}, ShapeError, "fits no array of 1 dimensions"),
        (([1.0], {3: 1}), {}, AxisError, "axis 3"),
        ((np.ones((0, 2)), 1), {"mode": "edge"}, ShapeError, "has nothing to repeat"),
        (([1.0], 1), {"mode": "edge", "constant_values": 2}, ValueError, "belong to mode='constant'"),
        (([1], 1), {"constant_values": INF}, DTypeError, "the constant inf does not fit"),
        (([True], 1), {"constant_values": 2}, DTypeError, "the constant 2 does not fit"),
        (([1], 1), {"constant_values": 1.5}, DTypeError, "does not fit into an array of int64"),
        (([1.0], 1), {"constant_values": 1j}, DTypeError, "does not fit into an array of float64"),
        (([1.0], 1), {"constant_values": (0, pg.asarray(1j))}, DTypeError, "does not fit into an array of float64"),
        (([1.0], 1), {"constant_values": (1, 2, 3)}, ShapeError, "constant_values=(1, 2, 3)"),
    ],
)
def test_pad_errors(args: Any, options: Any, error: type[Exception], words: str) -> None:
    with pytest.raises(error) as caught:
        pg.pad(*args, **options)
    assert str(caught.value).startswith("pad: ")
    assert words in str(caught.value)


def test_pad_of_nothing_where_nothing_is_needed() -> None:
    assert pg.pad(np.ones((0, 2)), ((0, 0), (1, 1)), mode="wrap").shape == (0, 4)
