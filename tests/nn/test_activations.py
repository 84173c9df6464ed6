"""Activations against PyTorch: values, slopes (at kinks and in the tails too), second slopes; what is refused."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from against_torch import same, same_module

import polygrad as pg
from polygrad import nn
from polygrad.nn import functional as F

X = np.random.default_rng(0).normal(size=(2, 4, 3)) * 3
KINKS = np.asarray([-6.0, -3.0, -1.0, -0.5, 0.0, 0.5, 1.0, 3.0, 6.0, -20.0, 20.0, 10.0])
TAILS = np.asarray([-750.0, -100.0, -40.0, -1e-8, 1e-8, 40.0, 100.0, 750.0])

ROWS: list[tuple[str, dict[str, Any]]] = [
    ("relu", {}), ("relu6", {}), ("leaky_relu", {}), ("leaky_relu", {"negative_slope": -0.3}), ("elu", {"alpha": 1.7}),
    ("selu", {}), ("celu", {"alpha": 0.5}), ("gelu", {}), ("gelu", {"approximate": "tanh"}), ("silu", {}), ("mish", {}),
    ("sigmoid", {}), ("tanh", {}), ("logsigmoid", {}), ("softplus", {}), ("softplus", {"beta": 2.0, "threshold": 3.0}),
    ("softsign", {}), ("tanhshrink", {}), ("softshrink", {"lambd": 1.0}), ("hardshrink", {"lambd": 1.0}), ("hardtanh", {}),
    ("hardtanh", {"min_val": -3.0, "max_val": 0.5}), ("hardsigmoid", {}), ("hardswish", {}),
    ("threshold", {"threshold": 0.5, "value": -7.0}), ("rrelu", {}),
]  # fmt: skip
PIECEWISE = ("relu", "relu6", "leaky_relu", "softshrink", "hardshrink", "hardtanh", "hardsigmoid", "hardswish",
             "threshold", "rrelu")  # fmt: skip


def rtol(name: str) -> float | None:
    """PyTorch's hardsigmoid has a sixth in float32 for its slope, in float64 too: 3e-8 off."""
    return 1e-7 if name in ("hardsigmoid", "Hardsigmoid") else None


QUIET = pytest.mark.filterwarnings("ignore:Using backward")
rows = pytest.mark.parametrize(("name", "options"), ROWS, ids=lambda v: v if isinstance(v, str) else "")


def both(name: str, options: Any) -> tuple[Any, Any]:
    torch = pytest.importorskip("torch")
    return lambda x: getattr(torch.nn.functional, name)(x, **options), lambda x: getattr(F, name)(x, **options)


@QUIET
@rows
def test_activation_to_second_order_is_torchs(name: str, options: Any) -> None:
    same(*both(name, options), [X], rtol=rtol(name), second=name not in PIECEWISE)


@rows
def test_activation_at_kinks_is_torchs(name: str, options: Any) -> None:
    same(*both(name, options), [KINKS], rtol=rtol(name))


@rows
def test_activation_in_float32_is_torchs(name: str, options: Any) -> None:
    same(*both(name, options), [X], "float32")


@rows
def test_activation_in_the_tails(name: str, options: Any) -> None:
    x = pg.asarray(TAILS, requires_grad=True)
    y = getattr(F, name)(x, **options)
    pg.sum(y).backward(create_graph=True)
    first, x.grad = x.grad, None
    values = [y.detach(), first.detach()]
    if first.requires_grad:
        pg.sum(first).backward()
        values += [] if x.grad is None else [x.grad]
    assert all(np.all(np.isfinite(v.numpy())) for v in values), values


@pytest.mark.devices("strict", "torch", "jax", "dask")
@pytest.mark.parametrize("name", ["gelu", "mish", "elu", "softplus", "hardswish"])
def test_activation_on_other_backends(name: str, device: Any) -> None:
    pytest.importorskip("torch")
    same(*both(name, {}), [X[0]], device=device)


def test_gelu_and_log_sigmoid_are_exact_in_the_left_tail() -> None:
    special = pytest.importorskip("scipy.special")
    x = np.asarray([-5.0, -20.0, -35.0])
    np.testing.assert_allclose(F.gelu(pg.asarray(x)).numpy(), x * special.ndtr(x), rtol=1e-14)
    np.testing.assert_allclose(F.logsigmoid(pg.asarray(x)).numpy(), special.log_expit(x), rtol=1e-14)


def test_activation_in_forward_mode_and_under_vmap() -> None:
    x = pg.asarray(X)
    for f in (F.mish, F.selu, F.softplus, F.hardswish):
        slope = pg.grad(lambda z, f=f: pg.sum(f(z)))(x).numpy()
        np.testing.assert_allclose(pg.jvp(f, (x,), (pg.asarray(X),))[1].numpy(), slope * X, rtol=1e-13)
        np.testing.assert_allclose(pg.vmap(pg.grad(lambda z, f=f: pg.sum(f(z))))(x).numpy(), slope, rtol=1e-13)


@pytest.mark.parametrize("dim", [0, 1, -1])
@pytest.mark.parametrize("name", ["softmax", "softmin", "log_softmax"])
def test_softmax_along_a_dim(name: str, dim: int) -> None:
    same(*both(name, {"dim": dim}), [X])


def test_softmax_without_dim_warns_and_casts_first() -> None:
    torch = pytest.importorskip("torch")
    with pytest.warns(UserWarning, match="dim was not given, and 0 was taken"):
        assert F.softmax(pg.asarray(X)).shape == X.shape
    x = pg.asarray(X, dtype="float32")
    assert F.log_softmax(x, -1, "float64").dtype is pg.float64
    want = torch.softmax(torch.tensor(X, dtype=torch.float32), -1, dtype=torch.float64).numpy()
    np.testing.assert_allclose(F.softmax(x, -1, dtype="float64").numpy(), want, rtol=1e-12)


@pytest.mark.parametrize("dim", [1, -2])
def test_glu(dim: int) -> None:
    same(*both("glu", {"dim": dim}), [X])
    with pytest.raises(pg.errors.ShapeError, match=r"glu: input of shape \(2, 4, 3\) cannot be halved along axis 2"):
        F.glu(pg.asarray(X), 2)


LAYERS = [
    ("ReLU", {}), ("ReLU6", {}), ("LeakyReLU", {"negative_slope": 0.3}), ("PReLU", {}), ("PReLU", {"num_parameters": 4}),
    ("ELU", {"alpha": 0.5}), ("SELU", {}), ("CELU", {"alpha": 2.0}), ("GELU", {"approximate": "tanh"}), ("SiLU", {}),
    ("Mish", {}), ("Sigmoid", {}), ("Tanh", {}), ("LogSigmoid", {}), ("Softplus", {"beta": 3.0, "threshold": 4.0}),
    ("Softsign", {}), ("Tanhshrink", {}), ("Softshrink", {"lambd": 0.2}), ("Hardshrink", {"lambd": 0.2}),
    ("Hardtanh", {"min_val": -2.0}), ("Hardsigmoid", {}), ("Hardswish", {}), ("Threshold", {"threshold": 1.0, "value": 2.0}),
    ("GLU", {"dim": 1}), ("Softmax", {"dim": 1}), ("Softmin", {"dim": -1}), ("LogSoftmax", {"dim": 2}), ("Softmax2d", {}),
]  # fmt: skip


@pytest.mark.parametrize(("name", "options"), LAYERS, ids=lambda v: v if isinstance(v, str) else "")
def test_activation_layer_is_torchs(name: str, options: Any) -> None:
    torch = pytest.importorskip("torch")
    same_module(getattr(torch.nn, name)(**options), getattr(nn, name)(**options), [X], rtol=rtol(name))


def test_rrelu_draws_slopes_between_its_bounds() -> None:
    layer = nn.RReLU(0.2, 0.4, generator=pg.random.Generator(1))
    x = pg.asarray(-np.ones(200))
    drawn = -layer(x).numpy()
    assert 0.2 <= drawn.min() < 0.25
    assert 0.35 < drawn.max() <= 0.4
    assert layer(pg.ones(3)).tolist() == [1.0, 1.0, 1.0]
    np.testing.assert_allclose(layer.eval()(x).numpy(), -0.3 * np.ones(200))


def test_activations_refuse_what_does_not_fit() -> None:
    with pytest.raises(pg.errors.DTypeError, match="silu: needs a real floating dtype, got int64"):
        F.silu(pg.asarray([1]))
    with pytest.raises(ValueError, match="approximate must be 'none' or 'tanh'"):
        nn.GELU("fast")
    with pytest.raises(ValueError, match="gelu: approximate"):
        F.gelu(pg.ones(1), "fast")
    with pytest.raises(pg.errors.ShapeError, match=r"prelu: weight of shape \(3,\).*4 channels"):
        F.prelu(pg.asarray(X), pg.ones(3))
    with pytest.raises(pg.errors.ShapeError, match="Softmax2d"):
        nn.Softmax2d()(pg.ones((2, 2)))
    with pytest.raises(ValueError, match="alpha must not be 0"):
        F.celu(pg.ones(1), 0.0)
    with pytest.raises(ValueError, match="min_val must be below"):
        nn.Hardtanh(1.0, 1.0)
    with pytest.raises(ValueError, match="lower must not be above"):
        F.rrelu(pg.ones(1), 0.5, 0.2)
