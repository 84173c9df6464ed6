"""Pooling: agreement with PyTorch over a grid, choices, second derivatives, vmap, every backend, misuse."""

from __future__ import annotations

import itertools
import math
from typing import Any

import numpy as np
import pytest
from against_torch import same

import polygrad as pg
from polygrad import nn
from polygrad.backend import generic_kernel
from polygrad.nn import functional as F

_rng = np.random.default_rng(14)
MAX = [  # kernel_size, stride, padding, dilation, ceil_mode
    (2, None, 0, 1, False),
    (3, 2, 1, 1, True),
    (3, 1, 1, 2, False),
    (2, 3, 1, 1, True),
    (3, 2, 0, 2, True),
]


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("n", [1, 2, 3])
def test_max_pooling_against_torch(n: int, dtype: str) -> None:
    torch = pytest.importorskip("torch")
    x = _rng.normal(size=(2, 3, *(9, 8, 7)[:n]))
    for size, stride, padding, dilation, ceil in MAX if dtype == "float64" else MAX[:2]:
        options: dict[str, Any] = {"stride": stride, "padding": padding, "dilation": dilation, "ceil_mode": ceil}
        theirs, ours = getattr(torch.nn, f"MaxPool{n}d")(size, **options), getattr(nn, f"MaxPool{n}d")(size, **options)
        assert repr(ours) == repr(theirs)
        same(theirs, ours, [x], dtype)
        same(theirs, ours, [x[0]], dtype)
        function = getattr(torch.nn.functional, f"max_pool{n}d")
        own = getattr(F, f"max_pool{n}d")
        _, expected = function(torch.tensor(x), size, return_indices=True, **options)
        _, got = own(x, size, return_indices=True, **options)
        np.testing.assert_array_equal(got.numpy(), expected.numpy())


@pytest.mark.parametrize("n", [1, 2, 3])
def test_average_pooling_against_torch(n: int) -> None:
    torch = pytest.importorskip("torch")
    x = _rng.normal(size=(2, 2, *(9, 8, 7)[:n]))
    for (size, stride, padding), ceil, counted in itertools.product(
        [(2, None, 0), (3, 2, 1), ((3, 2, 4)[:n], 1, 1)], (False, True), (False, True)
    ):
        if n == 3 and ceil and counted:
            continue
        options: dict[str, Any] = {
            "stride": stride,
            "padding": padding,
            "ceil_mode": ceil,
            "count_include_pad": counted,
        }
        if n > 1 and ceil:
            options["divisor_override"] = 5
        theirs, ours = getattr(torch.nn, f"AvgPool{n}d")(size, **options), getattr(nn, f"AvgPool{n}d")(size, **options)
        same(theirs, ours, [x])
    same(getattr(torch.nn, f"AvgPool{n}d")(2), getattr(nn, f"AvgPool{n}d")(2), [x[0]], "float32")


@pytest.mark.parametrize("n", [1, 2, 3])
def test_adaptive_pooling_against_torch(n: int) -> None:
    torch = pytest.importorskip("torch")
    x = _rng.normal(size=(2, 2, *(6, 7, 4)[:n]))
    sizes: list[Any] = [1, 2, 5, 8, (3, 5, 2)[:n], (3, 1, 4)[:n]]
    if n > 1:
        sizes.append((None, 3, 2)[:n])
    for size in sizes:
        same(getattr(torch.nn, f"AdaptiveAvgPool{n}d")(size), getattr(nn, f"AdaptiveAvgPool{n}d")(size), [x])
        theirs = getattr(torch.nn, f"AdaptiveMaxPool{n}d")(size, return_indices=True)
        ours = getattr(nn, f"AdaptiveMaxPool{n}d")(size, return_indices=True)
        same(lambda x, layer=theirs: layer(x)[0], lambda x, layer=ours: layer(x)[0], [x])
        np.testing.assert_array_equal(ours(pg.asarray(x))[1].numpy(), theirs(torch.tensor(x))[1].numpy())
        same(lambda x, layer=theirs: layer(x)[0], lambda x, layer=ours: layer(x)[0], [x[0]], "float32")


def test_of_equal_elements_the_first_is_chosen_and_nan_before_all() -> None:
    x = pg.asarray([[[2.0, 2.0, math.nan, 9.0, -math.inf, -math.inf]]], requires_grad=True)
    values, chosen = pg.neural.max_pool(x, 2)
    np.testing.assert_array_equal(values.detach().numpy(), [[[2.0, math.nan, -math.inf]]])
    assert chosen.tolist() == [[[0, 0, 0]]]
    values.backward(pg.asarray([[[1.0, 10.0, 100.0]]]))
    assert x.grad.tolist() == [[[1.0, 0.0, 10.0, 0.0, 100.0, 0.0]]]


def test_padding_is_never_chosen() -> None:
    x = pg.full((1, 1, 3), -math.inf)
    values, indices = F.max_pool1d(x, 3, 1, 1, return_indices=True)
    assert values.tolist() == x.tolist()
    assert indices.tolist() == [[[0, 0, 1]]]


def test_an_infinite_gradient_stays_where_it_is() -> None:
    x = pg.asarray([[[1.0, 2.0, 0.0]]], requires_grad=True)
    F.max_pool1d(x, 2, 1).backward(pg.asarray([[[math.inf, 1.0]]]))
    assert x.grad.tolist() == [[[0.0, math.inf, 0.0]]]


def test_large_windows_count_beyond_bytes() -> None:
    x = pg.asarray(_rng.normal(size=(1, 1, 20, 20)))
    values, chosen = pg.neural.max_pool(x, 20)
    assert chosen.dtype is pg.int64
    assert x.numpy().ravel()[int(chosen)] == float(values) == x.numpy().max()


SETTING = ((3, 2), (1, 2), ((1, 0), (0, 1)), (1, 2))


@pytest.mark.parametrize("name", ["max_windows", "spread_chosen", "windows_sum", "windows_spread"])
def test_numpy_kernels_are_the_generic_ones(name: str) -> None:
    raw = pg.Device("cpu").raw
    x = _rng.normal(size=(2, 3, 5, 6))
    for setting in (SETTING, ((2, 2), (2, 2), ((0, 0), (1, 1)), (1, 1)), ((1, 3), (2, 1), ((0, 0), (0, 0)), (1, 1))):
        values, chosen = generic_kernel("max_windows")(raw, x, *setting)
        g = _rng.normal(size=values.shape)
        arguments = {
            "max_windows": (x,), "spread_chosen": (g, chosen, (5, 6)), "windows_sum": (x,), "windows_spread": (g, (5, 6)),
        }[name]  # fmt: skip
        got, want = getattr(raw, name)(*arguments, *setting), generic_kernel(name)(raw, *arguments, *setting)
        for a, b in zip(got, want, strict=True):
            np.testing.assert_allclose(a, b, rtol=1e-14)
            assert a.dtype == b.dtype


@pytest.mark.on_host("NumPy arrays meet tensors on the default device")
@pytest.mark.parametrize("pool", [
    lambda x: pg.neural.max_pool(x, (2, 3), stride=2, padding=1)[0],
    lambda x: pg.neural.sum_windows(x, (2, 3), stride=1, padding=1),
    lambda x: F.adaptive_max_pool2d(x, (2, 3)),
    lambda x: F.adaptive_avg_pool2d(x, (2, 3)),
])  # fmt: skip
def test_vmap_of_gradients_and_gradients_of_vmap_are_loops(pool: Any) -> None:
    x = pg.asarray(np.round(_rng.normal(size=(3, 2, 2, 5, 4)), 1))  # with equal elements
    f = lambda x: pg.sum(pool(x) ** 3)  # noqa: E731
    for made in (pg.vmap(pg.grad(f))(x), pg.grad(lambda x: pg.sum(pg.vmap(f)(x)))(x)):
        for i in range(3):
            np.testing.assert_allclose(made[i].numpy(), pg.grad(f)(x[i]).numpy(), rtol=1e-12)
    whole = pg.vmap(lambda s: pool(x[0]) * s)(pg.ones(2))
    np.testing.assert_array_equal(whole[1].numpy(), pool(x[0]).numpy())


def test_pooling_on_every_backend(device: pg.Device) -> None:
    x = _rng.normal(size=(2, 2, 5, 4))

    def run(where: Any) -> list[Any]:
        a = pg.asarray(pg.asarray(x), device=where, copy=True, requires_grad=True)
        outs = [F.max_pool2d(a, 3, 2, 1), F.avg_pool2d(a, 3, 2, 1), F.adaptive_avg_pool2d(a, 3)]
        total = sum((pg.sum(out * out) for out in outs), start=pg.asarray(0.0, device=where))
        total.backward()
        return [v.detach().to_device("cpu").numpy() for v in (*outs, a.grad)]

    for got, want in zip(run(device), run("cpu"), strict=True):
        np.testing.assert_allclose(got, want, rtol=1e-12)


def test_wrong_use_of_pooling_is_told() -> None:
    errors = pg.errors
    for call, error, words in [
        (lambda: nn.MaxPool2d(2)(pg.ones((4, 4))), errors.ShapeError, r"max_pool2d: x of shape \(4, 4\) must have 4 dim"),
        (lambda: F.max_pool2d(pg.ones((1, 2, 2)), 3), errors.ShapeError, r"max_pool2d: a window of lengths \(3, 3\)"),
        (lambda: F.max_pool1d(pg.ones((1, 4)), 2, padding=2), ValueError, "more than half of the window"),
        (lambda: F.max_pool1d(pg.ones((1, 4), dtype="int64"), 2), errors.DTypeError, "max_pool: needs a real floating"),
        (lambda: F.avg_pool1d(pg.ones((1, 4), dtype="int64"), 2), errors.DTypeError, "avg_pool1d: needs a floating"),
        (lambda: F.max_pool1d(pg.ones((1, 4)), 0), ValueError, "kernel_size must be a whole number of at least 1"),
        (lambda: F.avg_pool2d(pg.ones((1, 4, 4)), 2, divisor_override=0), ValueError, "divisor_override must be"),
        (lambda: F.adaptive_avg_pool2d(pg.ones((1, 4, 4)), (2, 0)), ValueError, "output_size must be"),
        (lambda: F.adaptive_avg_pool1d(pg.ones((1, 0)), 1), errors.ShapeError, "nothing to pool"),
        (lambda: F.adaptive_avg_pool1d(pg.ones((1, 4), dtype="int8"), 1), errors.DTypeError, "needs a floating dtype"),
        (lambda: pg.neural.max_pool(pg.ones((1, 2)), 2), errors.ShapeError, r"max_pool: x must be \(N, C, \*lengths\)"),
        (lambda: pg.neural.max_pool(pg.ones((1, 1, 9)), 2, padding=2), ValueError, "more than half"),
        (lambda: pg.neural.sum_windows(pg.ones((1, 1, 2)), 3), errors.ShapeError, "does not fit into x of shape"),
        (lambda: pg.neural.spread_windows(pg.ones((1, 1, 2)), (3, 3), 2), errors.ShapeError, "a length for each place"),
        (lambda: pg.neural.spread_windows(pg.ones((1, 1, 2)), (9,), 2), errors.ShapeError, r"must have the places \(4,\)"),
    ]:  # fmt: skip
        with pytest.raises(error, match=words):
            call()
