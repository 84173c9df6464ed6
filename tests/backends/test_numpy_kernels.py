"""NumPy's kernels where they work in bands and runs, against the generic versions: sizes of several of these."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from polygrad_backends import convolution, numpy_recurrent
from test_network_kernels import run_both

import polygrad as pg
from polygrad.backend import generic_kernel

CPU = pg.Device("cpu")
assert pg.neural.conv  # whose module declares the kernels
SETTINGS: list[Any] = [
    # x, window, channels made, strides, padding, dilation, groups
    ((16, 4, 40, 40), (3, 3), 8, (1, 1), ((1, 1), (1, 1)), (1, 1), 1),
    ((16, 4, 40, 41), (3, 2), 8, (2, 3), ((0, 2), (1, 0)), (2, 1), 2),
    ((32, 16, 9, 64), (3, 3), 4, (1, 2), ((1, 1), (0, 0)), (1, 1), 1),  # a row is more than a band
    ((64, 6, 200), (5,), 12, (1,), ((2, 2),), (1,), 6),
    ((8, 3, 9, 10, 11), (2, 3, 2), 5, (1, 1, 2), ((0, 0), (1, 1), (1, 0)), (1, 2, 1), 1),
    ((64, 8, 30, 30), (1, 1), 4, (1, 1), ((0, 0), (0, 0)), (1, 1), 1),
    ((64, 8, 30, 30), (1, 1), 4, (2, 2), ((0, 0), (0, 0)), (1, 1), 2),
]


@pytest.mark.parametrize("threads", [1, 3])
@pytest.mark.parametrize("case", range(len(SETTINGS)))
def test_convolution_in_bands(case: int, threads: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(convolution, "threads", lambda: threads)
    monkeypatch.setattr(convolution, "_SPREAD_BYTES", 1 << 20)
    shape, size, many, strides, pads, dilation, groups = SETTINGS[case]
    lengths = shape[2:]
    out = convolution.window_places(lengths, size, strides, pads, dilation)
    rng = np.random.default_rng(case)
    x, w = rng.standard_normal(shape), rng.standard_normal((many, shape[1] // groups, *size))
    g = rng.standard_normal((shape[0], many, *out))
    lying = [
        np.moveaxis(np.ascontiguousarray(np.moveaxis(a, 0, -1)), -1, 0) for a in (x, g)
    ]  # the batch last in memory
    for images, cotangents in ((x, g), lying):
        setting = (strides, pads, dilation, groups)
        run_both(CPU, "conv_nd", [images, w], setting, "float64")
        run_both(CPU, "conv_input_nd", [cotangents, w], (lengths, *setting), "float64")
        run_both(CPU, "conv_weight_nd", [images, cotangents], (size, *setting), "float64")


def test_bands_are_bounded() -> None:
    for case in SETTINGS:
        shape, size, _, strides, pads, dilation, _ = case
        out = convolution.window_places(shape[2:], size, strides, pads, dilation)
        width = shape[1] * int(np.prod(size))
        bands = convolution._bands(width, out, shape[0], 8)
        least = 256 + shape[0] * int(np.prod(out[2:]))  # a column more
        assert bands.most * width * 8 <= max(1 << 18, width * 8 * least)
        covered = np.zeros(int(np.prod(out)) * shape[0], int)
        for i in range(bands.number):
            covered[bands.of(i)[1]] += 1
        assert (covered == 1).all()


@pytest.mark.parametrize("reverse", [False, True])
@pytest.mark.parametrize("given", ["states", "cells", "both"])
def test_the_walk_back_through_an_lstm_in_runs(given: str, reverse: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(numpy_recurrent, "_RUN", 3 * 4 * 5)  # three times of batch 4 and 5 states at once
    times, batch, n = 10, 4, 5
    rng = np.random.default_rng(0)
    gx, w = rng.standard_normal((times, batch, 4 * n)), rng.standard_normal((4 * n, n))
    h, c = rng.standard_normal((2, batch, n))
    out = CPU.backend.kernels["lstm_forward"](gx, w, h, c, reverse)
    g_hs = rng.standard_normal(out[0].shape) if given != "cells" else None
    g_cs = rng.standard_normal(out[1].shape) if given != "states" else None
    want = generic_kernel("lstm_backward")(CPU.raw, [g_hs, g_cs, None], list(out), w, c, reverse)
    kept = CPU.backend.kernels["lstm_backward"]([g_hs, g_cs, None], out, w, c, reverse)
    gates = out[2].copy()
    spent = CPU.backend.kernels["lstm_backward"]([g_hs, g_cs, None], (*out[:2], gates), w, c, reverse, spend=True)
    assert spent[0] is gates
    for a, b, e in zip(kept, spent, want, strict=True):
        np.testing.assert_array_equal(a, b)
        np.testing.assert_allclose(a, e, rtol=1e-12, atol=1e-13)


def test_kernels_spend_only_what_lies_as_their_result_would() -> None:
    kernels = CPU.backend.kernels
    rng = np.random.default_rng(0)
    x = rng.standard_normal((6, 8))
    for name, others in (("relu", ()), ("relu_linear", (x,)), ("softmax_rows_linear", (np.abs(x),))):
        for order in ("C", "F"):
            g = np.array(rng.standard_normal((6, 8)), order=order)  # type: ignore[call-overload]
            want = kernels[name](g.copy(order="K"), *others)
            found = kernels[name](g, *others, spend=True)
            np.testing.assert_array_equal(found, want)
            assert found.strides == want.strides
    y = x.astype("float32")
    want = kernels["gelu_parts"](y.copy())
    for a, b in zip(kernels["gelu_parts"](y, spend=True), want, strict=True):
        np.testing.assert_array_equal(a, b)
