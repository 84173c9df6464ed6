"""Convolutions: agreement with PyTorch over a grid, derivatives, vmap, every backend, misuse."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest

import polygrad as pg
from polygrad import nn
from polygrad.nn import functional as F
from polygrad.testing import check_grads

_rng = np.random.default_rng(4)


def close(got: Any, want: Any, rtol: float) -> None:
    want = want.detach().numpy()
    np.testing.assert_allclose(got.detach().numpy(), want, rtol=rtol, atol=rtol * max(1.0, np.abs(want).max(initial=0)))


def compare(ours: Any, theirs: Any, x: Any, rtol: float = 1e-10) -> None:
    """Two layers with the same weights: outputs and all gradients by a random cotangent."""
    import torch

    assert list(ours.state_dict()) == list(theirs.state_dict())
    ours.load_state_dict({k: v.detach().numpy() for k, v in theirs.state_dict().items()})
    theirs.zero_grad()
    px, tx = pg.asarray(x, copy=True, requires_grad=True), torch.tensor(x, requires_grad=True)
    got, want = ours(px), theirs(tx)
    seed = _rng.normal(size=tuple(want.shape)).astype(x.dtype)
    want.backward(torch.tensor(seed))
    got.backward(seed)
    assert got.dtype == px.dtype
    close(got, want, rtol)
    close(px.grad, tx.grad, rtol)
    for (name, p), q in zip(ours.named_parameters(), theirs.parameters(), strict=True):
        assert p.grad is not None, name
        close(p.grad, q.grad, rtol)


SETTINGS = ((1, 0, 1), (2, 1, 1), (1, 2, 2), (2, 1, 2))  # stride, padding, dilation
GRID = [(n, setting, (1, 2, 4)[(n + i) % 3], (n + i) % 2 == 0) for n in (1, 2, 3) for i, setting in enumerate(SETTINGS)]


@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_convolution_layers_against_torch(dtype: str) -> None:
    torch = pytest.importorskip("torch")
    for n, (stride, padding, dilation), groups, bias in GRID:
        options: dict[str, Any] = {"stride": stride, "padding": padding, "dilation": dilation, "groups": groups}
        size = (3, 2, 1)[:n]
        x = _rng.normal(size=(2, 4, *(7, 6, 5)[:n])).astype(dtype)
        theirs = getattr(torch.nn, f"Conv{n}d")(4, 8, size, bias=bias, dtype=getattr(torch, dtype), **options)
        ours = getattr(nn, f"Conv{n}d")(4, 8, size, bias=bias, dtype=dtype, **options)
        assert repr(ours) == repr(theirs)
        compare(ours, theirs, x, 1e-10 if dtype == "float64" else 1e-5)


def test_transposed_convolution_layers_against_torch() -> None:
    torch = pytest.importorskip("torch")
    for n, (stride, padding, dilation), groups, bias in GRID:
        for more in range(max(stride, dilation)):
            options: dict[str, Any] = {"stride": stride, "padding": padding, "dilation": dilation, "groups": groups}
            options |= {"output_padding": more, "bias": bias}
            x = _rng.normal(size=(2, 4, *(4, 5, 6)[:n]))
            theirs = getattr(torch.nn, f"ConvTranspose{n}d")(4, 8, 3, dtype=torch.float64, **options)
            compare(getattr(nn, f"ConvTranspose{n}d")(4, 8, 3, **options), theirs, x)


@pytest.mark.filterwarnings("ignore:Using padding='same' with even kernel")
def test_same_padding_and_padding_modes_against_torch() -> None:
    torch = pytest.importorskip("torch")
    modes, paddings, sizes = ("zeros", "reflect", "replicate", "circular"), ("same", "valid", 2, (1, 2)), (2, 3, (3, 2))
    for i, (mode, padding) in enumerate(itertools.product(modes, paddings)):
        size = sizes[i % 3]
        options: dict[str, Any] = {"padding": padding, "padding_mode": mode, "dilation": (1, 2)}
        theirs = torch.nn.Conv2d(2, 3, size, dtype=torch.float64, **options)
        compare(nn.Conv2d(2, 3, size, **options), theirs, _rng.normal(size=(2, 2, 6, 7)))
        compare(nn.Conv2d(2, 3, size, **options), theirs, _rng.normal(size=(2, 6, 7)))


def test_convolution_is_differentiable_to_second_order_by_all_arguments() -> None:
    x, w, g = (_rng.normal(size=s) for s in ((2, 4, 5), (4, 2, 2), (2, 4, 3)))
    setting: dict[str, Any] = {"stride": 2, "padding": ((1, 0),), "groups": 2}
    check_grads(lambda x, w: pg.neural.conv(x, w, **setting), [pg.asarray(x), pg.asarray(w)])
    check_grads(lambda g, w: pg.neural.conv_input(g, w, (5,), **setting), [pg.asarray(g), pg.asarray(w)])
    check_grads(lambda x, g: pg.neural.conv_weight(x, g, (2,), **setting), [pg.asarray(x), pg.asarray(g)])
    z = pg.asarray(x + 1j * x[::-1])
    check_grads(lambda z, w: pg.neural.conv(z, w, **setting), [z, pg.asarray(w + 1j * w[::-1])])


@pytest.mark.parametrize("in_axes", [(0, 0), (0, None), (None, 0)])
def test_vmap_of_the_gradients_of_convolution_is_a_loop(in_axes: tuple[Any, Any]) -> None:
    x, w = (pg.asarray(_rng.normal(size=s)) for s in ((3, 2, 4, 5), (3, 4, 2, 2)))
    x, w = (v if axis == 0 else v[0, ...] for v, axis in zip((x, w), in_axes, strict=True))

    def f(x: Any, w: Any) -> Any:
        return pg.sum(pg.neural.conv(x, w, stride=2, padding=((1, 0),), groups=2) ** 3)

    got = pg.vmap(pg.grad(f, argnums=(0, 1)), in_axes=in_axes)(x, w)
    for i in range(3):
        own = [v[i, ...] if axis == 0 else v for v, axis in zip((x, w), in_axes, strict=True)]
        for a, b in zip(got, pg.grad(f, argnums=(0, 1))(*own), strict=True):
            np.testing.assert_allclose(a[i, ...].numpy(), b.numpy(), rtol=1e-12)


def test_convolution_on_every_backend(device: pg.Device) -> None:
    x, w = _rng.normal(size=(2, 2, 5)), _rng.normal(size=(4, 1, 2))

    def run(where: Any) -> list[Any]:
        a, b = (pg.asarray(pg.asarray(v), device=where, copy=True, requires_grad=True) for v in (x, w))
        out = pg.neural.conv(a, b, stride=2, padding=((1, 0),), dilation=2, groups=2)
        pg.sum(out * out).backward()
        return [v.detach().to_device("cpu").numpy() for v in (out, a.grad, b.grad)]

    for got, want in zip(run(device), run("cpu"), strict=True):
        np.testing.assert_allclose(got, want, rtol=1e-12)


def test_convolution_does_not_change_its_arguments_and_takes_half_precision() -> None:
    x, w = (_rng.normal(size=s).astype("float16") for s in ((2, 2, 5), (4, 2, 2)))
    before = x.copy(), w.copy()
    out = F.conv1d(pg.asarray(x), pg.asarray(w), padding=1)
    assert out.dtype is pg.float16
    np.testing.assert_array_equal(before[0], x)
    np.testing.assert_array_equal(before[1], w)


def test_wrong_use_of_convolution_is_told() -> None:
    layer = nn.Conv2d(3, 4, 3)
    for shape, words in [
        ((2, 4, 8, 8), r"conv2d: x of shape \(2, 4, 8, 8\) has 4 channels.*is for 3"),
        ((8, 8), r"conv2d: x of shape \(8, 8\).*must have 4 dimensions"),
        ((1, 3, 2, 8), r"does not fit into lengths \(2, 8\)"),
    ]:
        with pytest.raises(pg.errors.ShapeError, match=words):
            layer(pg.ones(shape))
    with pytest.raises(pg.errors.DTypeError, match="conv2d: x is float32, but the weight float64"):
        layer(pg.ones((1, 3, 8, 8), dtype="float32"))
    with pytest.raises(ValueError, match="Conv2d: 3 channels in and 4 out cannot be divided into 2 groups"):
        nn.Conv2d(3, 4, 3, groups=2)
    with pytest.raises(ValueError, match="padding='same' keeps the lengths"):
        nn.Conv2d(3, 4, 3, padding="same", stride=2)
    with pytest.raises(ValueError, match="padding_mode must be one of zeros"):
        nn.Conv2d(3, 4, 3, padding_mode="mirror")
    with pytest.raises(ValueError, match="stride must be a whole number of at least 1"):
        nn.Conv2d(3, 4, 3, stride=0)
    with pytest.raises(ValueError, match=r"output_padding \(2,\) must be less"):
        nn.ConvTranspose1d(2, 2, 3, stride=2, output_padding=2)(pg.ones((1, 2, 4)))
    with pytest.raises(pg.errors.ShapeError, match=r"weight of shape .* is for 2"):
        nn.ConvTranspose1d(2, 2, 3)(pg.ones((1, 3, 4)))
    with pytest.raises(pg.errors.ShapeError, match=r"bias of shape \(3,\), but there are 4 outputs"):
        F.conv1d(pg.ones((1, 2, 4)), pg.ones((4, 2, 2)), pg.ones(3))
