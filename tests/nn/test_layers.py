"""The layers: shapes, initial values, agreement with PyTorch."""

from __future__ import annotations

import math

import numpy as np
import pytest

import polygrad as pg
from polygrad import nn


def test_linear_against_torch() -> None:
    torch = pytest.importorskip("torch")
    rng = np.random.default_rng(0)
    theirs = torch.nn.Linear(5, 3, dtype=torch.float64)
    ours = nn.Linear(5, 3)
    assert ours.weight.shape == tuple(theirs.weight.shape)
    assert list(ours.state_dict()) == list(theirs.state_dict())
    ours.load_state_dict({k: v.detach().numpy() for k, v in theirs.state_dict().items()})
    for shape in [(5,), (4, 5), (2, 3, 5), (0, 5)]:
        x = rng.normal(size=shape)
        seed = rng.normal(size=(*shape[:-1], 3))
        tx = torch.asarray(x, requires_grad=True)
        px = pg.asarray(x, requires_grad=True)
        theirs.zero_grad()
        ours.zero_grad()
        expected, got = theirs(tx), ours(px)
        expected.backward(torch.asarray(seed))
        got.backward(seed)
        np.testing.assert_allclose(got.detach().numpy(), expected.detach().numpy(), atol=1e-14)
        np.testing.assert_allclose(px.grad.numpy(), tx.grad.numpy(), atol=1e-14)
        np.testing.assert_allclose(ours.weight.grad.numpy(), theirs.weight.grad.numpy(), atol=1e-14)
        np.testing.assert_allclose(ours.bias.grad.numpy(), theirs.bias.grad.numpy(), atol=1e-14)


def test_linear_places_and_draws_its_parameters(device: pg.Device) -> None:
    pg.random.manual_seed(4)
    layer = nn.Linear(100, 50, device=device, dtype="float32")
    assert (layer.weight.device, layer.weight.dtype, layer.bias.dtype) == (device, pg.float32, pg.float32)
    assert layer.weight.shape == (50, 100)
    weight = layer.weight.detach().to_device("cpu").numpy()
    assert np.abs(weight).max() <= 0.1
    assert abs(weight.std() - 0.1 / math.sqrt(3)) < 0.002
    pg.random.manual_seed(4)
    again = nn.Linear(100, 50, dtype="float32", device="cpu")
    np.testing.assert_array_equal(again.weight.detach().numpy(), weight)
    assert layer(pg.ones((2, 100), dtype="float32", device=device)).shape == (2, 50)


def test_linear_without_bias_and_with_the_wrong_shape() -> None:
    layer = nn.Linear(3, 2, bias=False)
    assert layer.bias is None
    assert list(layer.state_dict()) == ["weight"]
    with pytest.raises(pg.errors.ShapeError, match=r"x of shape \(2, 4\).*weight of shape \(2, 3\)"):
        layer(pg.ones((2, 4)))
    with pytest.raises(pg.errors.ShapeError, match=r"linear: x of shape \(\)"):
        layer(pg.asarray(1.0))
    assert nn.Linear(0, 2)(pg.ones((3, 0))).shape == (3, 2)


def test_flatten() -> None:
    x = pg.reshape(pg.arange(24.0), (2, 3, 4))
    assert nn.Flatten()(x).shape == (2, 12)
    assert nn.Flatten(0)(x).shape == (24,)
    assert nn.Flatten(0, -2)(x).shape == (6, 4)
    assert nn.Flatten(-1)(x).shape == (2, 3, 4)
    assert repr(nn.Flatten()) == "Flatten(start_dim=1, end_dim=-1)"
    with pytest.raises(pg.errors.ShapeError, match="range of axes 2 to 1"):
        nn.Flatten(2, 1)(x)


def test_identity_and_activations() -> None:
    x = pg.asarray([-1.0, 0.0, 2.0])
    assert nn.Identity(1, a=2)(x) is x
    np.testing.assert_allclose(nn.ReLU()(x).numpy(), [0, 0, 2])
    np.testing.assert_allclose(nn.Tanh()(x).numpy(), np.tanh([-1, 0, 2]))
    np.testing.assert_allclose(nn.Sigmoid()(x).numpy(), 1 / (1 + np.exp([1, 0, -2])))


def test_dropout_follows_the_mode_and_the_generator() -> None:
    x = pg.ones((200, 50))
    layer = nn.Dropout(0.25, generator=pg.random.Generator(0))
    y = layer(x).numpy()
    assert set(np.unique(y)) == {0.0, 1 / 0.75}
    assert abs(y.mean() - 1) < 0.02
    assert (layer(x).numpy() != y).any()
    np.testing.assert_array_equal(nn.Dropout(0.25, generator=pg.random.Generator(0))(x).numpy(), y)
    assert layer.eval()(x) is x
    assert repr(layer) == "Dropout(p=0.25, inplace=False)"
    with pytest.raises(ValueError, match=r"1\.5"):
        nn.Dropout(1.5)


def test_loss_layers() -> None:
    logits, target = pg.asarray([[1.0, 2.0], [0.0, 0.0]]), pg.asarray([0, 1])
    expected = nn.functional.cross_entropy(logits, target, reduction="sum").item()
    assert nn.CrossEntropyLoss(reduction="sum")(logits, target).item() == expected
    assert nn.MSELoss()(pg.asarray([1.0, 2.0]), pg.asarray([1.0, 0.0])).item() == 2.0
    assert repr(nn.MSELoss("none")) == "MSELoss(reduction='none')"
    with pytest.raises(ValueError, match="'average'"):
        nn.MSELoss("average")
