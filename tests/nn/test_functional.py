"""nn.functional: values and gradients against PyTorch, extremes, and what is refused."""

from __future__ import annotations

import math

import numpy as np
import pytest

import polygrad as pg
from polygrad.nn import functional as F

INF = float("inf")


@pytest.mark.parametrize("reduction", ["mean", "sum", "none"])
@pytest.mark.parametrize("shape", [(4,), (5, 4), (3, 4, 2), (2, 4, 3, 2)])
def test_cross_entropy_against_torch(shape: tuple[int, ...], reduction: str) -> None:
    torch = pytest.importorskip("torch")
    rng = np.random.default_rng(1)
    logits = rng.normal(size=shape) * 5
    axis = 1 if len(shape) > 1 else 0
    target = np.asarray(rng.integers(0, 4, size=shape[:axis] + shape[axis + 1 :]))
    tx, px = torch.asarray(logits, requires_grad=True), pg.asarray(logits, requires_grad=True)
    expected = torch.nn.functional.cross_entropy(tx, torch.asarray(target), reduction=reduction)
    got = F.cross_entropy(px, target, reduction=reduction)
    seed = rng.normal(size=got.shape)
    expected.backward(torch.asarray(seed))
    got.backward(seed)
    np.testing.assert_allclose(got.detach().numpy(), expected.detach().numpy(), rtol=1e-13)
    np.testing.assert_allclose(px.grad.numpy(), tx.grad.numpy(), atol=1e-14)


def test_cross_entropy_is_exact_at_extremes(device: pg.Device) -> None:
    x = pg.asarray([[1000.0, 0.0], [0.0, -INF], [-INF, 0.0]], device=device, requires_grad=True)
    losses = F.cross_entropy(x, pg.asarray([0, 0, 0], device=device), reduction="none")
    assert losses.tolist() == [0.0, 0.0, INF]
    losses.backward(pg.ones((3,), device=device))
    assert x.grad.tolist() == [[0.0, 0.0], [0.0, 0.0], [-1.0, 1.0]]


def test_softmax_of_minus_infinity_alone_has_gradient_zero(device: pg.Device) -> None:
    for f in (F.softmax, F.log_softmax):
        x = pg.asarray([[-INF, -INF], [0.0, 1.0]], device=device, requires_grad=True)
        y = f(x, dim=-1)
        y.backward(pg.asarray([[1.0, 2.0], [1.0, 2.0]], device=device))
        assert x.grad.tolist()[0] == [0.0, 0.0]
        assert all(map(math.isfinite, x.grad.tolist()[1]))


def test_cross_entropy_takes_lists_and_small_integers(device: pg.Device) -> None:
    x = pg.asarray([[0.0, 1.0, 2.0], [1.0, 0.0, 0.0]], device=device)
    expected = F.cross_entropy(x, [2, 0]).item()
    assert F.cross_entropy(x, pg.asarray([2, 0], dtype="int32", device=device)).item() == expected


@pytest.mark.on_host("values are looked at, at once, in the host's memory only")
@pytest.mark.parametrize(
    ("target", "error", "words"),
    [
        ([0, 3], IndexError, "range from 0 to 3, but the classes of the input are 0 to 2"),
        ([-1, 0], IndexError, "range from -1 to 0"),
        ([0.0, 1.0], pg.errors.DTypeError, "integer classes, not float64"),
        ([0, 1, 2], pg.errors.ShapeError, r"target of shape \(3,\) does not fit input of shape \(2, 3\)"),
    ],
)
def test_cross_entropy_refuses_bad_targets(target, error, words: str) -> None:
    with pytest.raises(error, match=words):
        F.cross_entropy(pg.ones((2, 3)), target)


def test_unknown_reductions_are_refused() -> None:
    with pytest.raises(ValueError, match="cross_entropy: reduction must be 'mean', 'sum' or 'none'"):
        F.cross_entropy(pg.ones((1, 2)), [0], reduction="avg")
    with pytest.raises(ValueError, match="mse_loss: reduction"):
        F.mse_loss(pg.ones(1), pg.ones(1), "avg")


def test_mse_loss(device: pg.Device) -> None:
    x = pg.asarray([[1.0, 2.0], [3.0, 5.0]], device=device, requires_grad=True)
    y = pg.asarray([[1.0, 0.0], [0.0, 1.0]], device=device)
    assert F.mse_loss(x, y, "none").tolist() == [[0.0, 4.0], [9.0, 16.0]]
    assert F.mse_loss(x, y, "sum").item() == 29.0
    loss = F.mse_loss(x, y)
    loss.backward()
    assert loss.item() == 7.25
    assert x.grad.tolist() == [[0.0, 1.0], [1.5, 2.0]]
    with pytest.raises(pg.errors.ShapeError, match=r"\(2, 2\), but target of shape \(2,\)"):
        F.mse_loss(x, y[0, ...])


def test_relu_has_slope_zero_at_zero_and_keeps_nan(device: pg.Device) -> None:
    x = pg.asarray([-1.0, 0.0, 2.0, math.nan], device=device, requires_grad=True)
    y = F.relu(x)
    y.backward(pg.asarray([1.0, 1.0, 3.0, 1.0], device=device))
    assert y.tolist()[:3] == [0.0, 0.0, 2.0]
    assert math.isnan(y.tolist()[3])
    assert x.grad.tolist()[:3] == [0.0, 0.0, 3.0]


@pytest.mark.parametrize("x", [-700.0, -40.0, -1.0, 0.0, 0.5, 40.0, 700.0])
def test_sigmoid_and_its_slope_are_exact_in_the_tails(x: float) -> None:
    t = pg.asarray(x, requires_grad=True)
    y = F.sigmoid(t)
    y.backward()
    e = math.exp(-abs(x))
    np.testing.assert_allclose(y.item(), (1 if x >= 0 else e) / (1 + e), rtol=1e-12)
    np.testing.assert_allclose(t.grad.item(), e / (1 + e) ** 2, rtol=1e-12)


def test_sigmoid_keeps_the_dtype(device: pg.Device) -> None:
    y = F.sigmoid(pg.asarray([0.0], dtype="float32", device=device))
    assert (y.dtype, y.device, y.tolist()) == (pg.float32, device, [0.5])


def test_dropout(device: pg.Device) -> None:
    g = pg.random.Generator(3)
    x = pg.ones((1000,), dtype="float32", device=device)
    x.requires_grad_()
    y = F.dropout(x, 0.5, generator=g)
    pg.sum(y).backward()
    assert (y.dtype, y.device) == (pg.float32, device)
    assert set(y.tolist()) == {0.0, 2.0}
    assert x.grad.tolist() == y.tolist()
    assert F.dropout(x, 0.0) is x
    assert F.dropout(x, 0.5, training=False) is x
    gone = F.dropout(x, 1.0)
    assert set(gone.tolist()) == {0.0}
    x.grad = None
    pg.sum(gone).backward()
    assert set(x.grad.tolist()) == {0.0}
    with pytest.raises(pg.errors.DTypeError, match="int64"):
        F.dropout(pg.asarray([1, 2]))
    with pytest.raises(ValueError, match="-1"):
        F.dropout(x, -1)


def test_cross_entropy_second_order() -> None:
    torch = pytest.importorskip("torch")
    rng = np.random.default_rng(0)
    a, v = rng.normal(size=(3, 4)), rng.normal(size=(3, 4))
    target = np.asarray([0, 3, 1])
    tx, px = torch.asarray(a, requires_grad=True), pg.asarray(a, requires_grad=True)
    (tg,) = torch.autograd.grad(torch.nn.functional.cross_entropy(tx, torch.asarray(target)), tx, create_graph=True)
    (tg * torch.asarray(v)).sum().backward()
    F.cross_entropy(px, target).backward(create_graph=True)
    first, px.grad = px.grad, None
    pg.sum(first * v).backward()
    np.testing.assert_allclose(px.grad.numpy(), tx.grad.numpy(), atol=1e-14)
