"""Half precision holds no count above 65,504 and adds badly: counts, sums and means are made in float32."""

from __future__ import annotations

import numpy as np
import pytest

import polygrad as pg
from polygrad import nn

F = nn.functional
MANY = (300, 300)
"""More elements than half precision can count."""
_CLASSES = np.arange(70_000) % 2

REDUCTIONS = {
    "sum of ones by columns": lambda x: pg.mean(pg.sum(x, axis=0)) / 300,
    "mean": pg.mean,
    "max": lambda x: pg.max(x),
    "max of ties": lambda x: pg.max(0 * x) + 0 * pg.mean(x),
    "min of ties": lambda x: pg.min(0 * x) + 0 * pg.mean(x),
    "nanmax of ties": lambda x: pg.nanmax(0 * x),
    "var": pg.var,
    "std": pg.std,
    "logsumexp": pg.logsumexp,
    "softmax": lambda x: pg.sum(x * pg.softmax(x, axis=(0, 1))),
    "log_softmax": lambda x: pg.log_softmax(x[:, :2], axis=1)[0, 0] + pg.log_softmax(x, axis=(0, 1))[3, 3] * 0.001,
    "cumulative_sum": lambda x: pg.mean(pg.cumulative_sum(x / 300 + 0.01, axis=0)),
    "norm": lambda x: pg.linalg.vector_norm(x / 100),
    "norm of order 1": lambda x: pg.linalg.vector_norm(x / 100, ord=1),
    "norm of order 3": lambda x: pg.linalg.vector_norm(x, ord=3),
    "largest of many": lambda x: pg.linalg.vector_norm(0 * x + 1, ord=float("inf")),
}
LOSSES = {
    "mse_loss": lambda x: F.mse_loss(x, 0 * x),
    "weighted mse_loss": lambda x: F.mse_loss(x, 0 * x, weight=pg.ones_like(x)),
    "l1_loss": lambda x: F.l1_loss(x, 0 * x),
    "huber_loss": lambda x: F.huber_loss(x, 0 * x),
    "soft_margin_loss": lambda x: F.soft_margin_loss(x, 0 * x + 1),
    "kl_div": lambda x: F.kl_div(pg.log_softmax(x, axis=1), 0 * x + 1, "batchmean") / 300,
}
LAYERS = {
    "layer_norm": lambda x: pg.mean(pg.square(F.layer_norm(x, x.shape) - 0.5)),
    "rms_norm": lambda x: pg.mean(pg.square(F.rms_norm(x, x.shape) - 0.5)),
    "group_norm": lambda x: pg.mean(pg.square(F.group_norm(x[None, None, ...], 1) - 0.5)),
    "batch_norm": lambda x: pg.mean(pg.square(F.batch_norm(x[None, None, ...], None, None, training=True) - 0.5)),
    "instance_norm": lambda x: pg.mean(pg.square(F.instance_norm(x[None, None, ...]) - 0.5)),
    "avg_pool2d": lambda x: pg.sum(F.avg_pool2d(x[None, None, :257, :257] + 3.0, 257)),
    "adaptive_avg_pool2d": lambda x: pg.sum(F.adaptive_avg_pool2d(x[None, None, ...] + 3.0, 1)),
    "adaptive_avg_pool2d of parts": lambda x: pg.sum(F.adaptive_avg_pool2d(x[None, None, :, :299] + 3.0, (1, 2))),
}
PROGRAMS = REDUCTIONS | LOSSES | LAYERS


@pytest.fixture(scope="module")
def x() -> np.ndarray:
    return np.random.default_rng(0).normal(size=MANY).astype("float16")


def _agree(f, x, run) -> None:
    """Value and gradient in half precision are those of float64, rounded."""
    value, grad = run(pg.value_and_grad(f))(pg.asarray(x))
    exact_value, exact_grad = pg.value_and_grad(f)(pg.asarray(x.astype("float64")))
    assert value.dtype is grad.dtype is pg.float16
    np.testing.assert_allclose(value.numpy(), exact_value.numpy(), rtol=0.01, atol=1e-3)
    # the smallest number in half precision is 6e-8
    np.testing.assert_allclose(grad.numpy(), exact_grad.numpy(), rtol=0.03, atol=3e-7)


@pytest.mark.one_in(2)
@pytest.mark.parametrize("executor", ["eager", None, "native"])
@pytest.mark.parametrize("name", PROGRAMS)
def test_of_many_elements(name, executor, x):
    _agree(PROGRAMS[name], x, lambda f: f if executor == "eager" else pg.compile(f, executor=executor))


@pytest.mark.parametrize("name", REDUCTIONS)
def test_forward_mode_of_many_elements(name, x):
    t = np.where(np.arange(300) == 7, 1.0, 0.0) * np.ones((300, 1))
    value = pg.jvp(REDUCTIONS[name], (pg.asarray(x),), (pg.asarray(t.astype("float16")),))[1]
    exact = pg.jvp(REDUCTIONS[name], (pg.asarray(x.astype("float64")),), (pg.asarray(t),))[1]
    np.testing.assert_allclose(value.numpy(), exact.numpy(), rtol=0.03, atol=1e-3)


@pytest.mark.parametrize("executor", ["eager", None, "native"])
@pytest.mark.parametrize(
    "loss",
    [
        F.cross_entropy,
        lambda x, y: F.cross_entropy(x, y, label_smoothing=0.1),
        lambda x, y: F.cross_entropy(x, y, weight=pg.asarray([2.0, 3.0], dtype=x.dtype)),
        lambda x, y: F.nll_loss(pg.log_softmax(x, axis=1), y),
    ],
    ids=["plain", "smooth", "weighted", "nll"],
)
def test_cross_entropy_of_many(loss, executor):
    x = np.random.default_rng(1).normal(size=(70_000, 2)).astype("float16")
    target = pg.asarray(_CLASSES)
    _agree(lambda x: loss(x, target), x, lambda f: f if executor == "eager" else pg.compile(f, executor=executor))
    value = pg.jvp(lambda x: loss(x, target), (pg.asarray(x),), (pg.asarray(np.ones_like(x)),))[1]
    assert abs(value.item()) < 0.01  # the same added to all scores changes nothing


def test_sums_by_columns():
    x = pg.ones((5000, 3), dtype="float16")
    assert pg.sum(x, axis=0).tolist() == [5000.0] * 3
    assert pg.cumulative_sum(x, axis=0)[-1, 0].item() == 5000.0
    bias = pg.asarray(np.zeros(3, "float16"), requires_grad=True)
    pg.sum(pg.astype(x + bias, "float32")).backward()
    assert bias.grad.tolist() == [5000.0] * 3
