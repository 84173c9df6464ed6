"""PyTorch's and JAX's own kernels of convolution and pooling against the generic versions, over a grid."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

import polygrad as pg
from polygrad.backend import generic_kernel

LENGTHS = (7, 6, 5)
GRID: list[Any] = [
    # axes, window, strides, padding, dilation, groups
    (1, (3,), (1,), ((0, 0),), (1,), 1),
    (1, (2,), (2,), ((1, 0),), (2,), 2),
    (2, (3, 2), (2, 1), ((1, 1), (1, 1)), (1, 2), 2),
    (2, (2, 2), (2, 2), ((0, 0), (0, 0)), (1, 1), 1),
    (2, (3, 3), (1, 2), ((0, 2), (1, 0)), (1, 1), 4),
    (3, (2, 1, 3), (2, 1, 1), ((1, 1), (0, 0), (1, 1)), (1, 1, 2), 1),
]
assert pg.neural.conv  # whose module, imported on first use, declares the kernels

TOLERANCE = {"float32": 1e-5, "float64": 1e-13, "complex128": 1e-13}


def natives(device: pg.Device, *arrays: Any) -> list[Any]:
    return [pg.asarray(pg.asarray(a), device=device, copy=True)._value for a in arrays]


def run_both(device: pg.Device, name: str, arrays: list[Any], setting: tuple[Any, ...], dtype: str) -> None:
    got = device.backend.kernels[name](*arrays, *setting)
    hosts = [np.asarray(device.backend.to_numpy(x)) for x in arrays]
    want = generic_kernel(name)(pg.Device("cpu").raw, *hosts, *setting)
    for g, w in zip(*(x if isinstance(x, tuple) else (x,) for x in (got, want)), strict=True):
        g = np.asarray(device.backend.to_numpy(g))
        assert (g.shape, g.dtype) == (w.shape, w.dtype), name
        largest = np.abs(w[np.isfinite(w)]).max(initial=0.0) if w.dtype.kind in "fc" else 0.0
        np.testing.assert_allclose(g, w, rtol=TOLERANCE[dtype], atol=TOLERANCE[dtype] * largest, err_msg=name)


@pytest.mark.devices("torch", "jax")
@pytest.mark.parametrize("case", range(len(GRID)))
def test_kernels_are_the_generic_ones(device: pg.Device, case: int) -> None:
    axes, size, strides, pads, dilation, groups = GRID[case]
    rng = np.random.default_rng(case)
    lengths = LENGTHS[:axes]
    out = tuple(
        (n + a + b - d * (k - 1) - 1) // s + 1
        for n, k, s, (a, b), d in zip(lengths, size, strides, pads, dilation, strict=True)
    )
    dtypes = ["float32", "float64", *(["complex128"] if case in (1, 2) else [])]
    for dtype in dtypes if device.backend.name == "torch" else dtypes[case % 2 :: 2]:  # JAX compiles each
        imaginary = 1j if dtype[0] == "c" else 0.0

        def drawn(*shape: int, dtype: str = dtype, imaginary: Any = imaginary) -> np.ndarray:
            x = rng.normal(size=shape) + imaginary * rng.normal(size=shape)
            return (x if imaginary else x.real).astype(dtype)

        x, g = natives(device, drawn(2, 4, *lengths), drawn(2, 8, *out))
        (w,) = natives(device, drawn(8, 4 // groups, *size))
        setting = (strides, pads, dilation)
        run_both(device, "conv_nd", [x, w], (*setting, groups), dtype)
        run_both(device, "conv_input_nd", [g, w], (lengths, *setting, groups), dtype)
        run_both(device, "conv_weight_nd", [x, g], (size, *setting, groups), dtype)
        h, chosen = natives(device, drawn(2, 4, *out), rng.integers(0, math.prod(size), (2, 4, *out)).astype("uint8"))
        run_both(device, "windows_sum", [x], (size, *setting), dtype)
        run_both(device, "windows_spread", [h], (lengths, size, *setting), dtype)
        run_both(device, "take_chosen", [x, chosen], (size, *setting), dtype)
        run_both(device, "spread_chosen", [h, chosen], (lengths, size, *setting), dtype)
        if dtype[0] == "f":
            run_both(device, "max_windows", [x], (size, *setting), dtype)


@pytest.mark.devices("torch", "jax")
def test_the_largest_among_equals_infinities_and_nans(device: pg.Device) -> None:
    rng = np.random.default_rng(5)
    x = rng.integers(0, 3, size=(2, 3, 6, 6)).astype("float64")  # many ties
    setting = ((2, 2), (2, 2), ((1, 1), (1, 1)), (1, 1))
    for change in (None, -math.inf, math.nan):
        y = x.copy()
        if change is not None:
            y[0, 1, 2:5, 1:4] = change
            y[1, :, 5, :] = change
        run_both(device, "max_windows", natives(device, y), setting, "float64")
    run_both(device, "max_windows", natives(device, x), ((2, 2), (1, 1), ((2, 2), (0, 1)), (1, 1)), "float64")


@pytest.mark.devices("torch", "jax")
def test_empty_arrays_and_integers(device: pg.Device) -> None:
    (w,) = natives(device, np.ones((2, 3, 2, 2)))
    for shape in ((0, 3, 4, 4), (2, 3, 4, 4)):
        x, whole = natives(device, np.ones(shape), np.ones(shape, dtype="int64"))
        run_both(device, "conv_nd", [x, w], ((1, 1), ((0, 0), (0, 0)), (1, 1), 1), "float64")
        run_both(device, "windows_sum", [whole], ((2, 2), (1, 1), ((0, 0), (0, 0)), (1, 1)), "float64")
