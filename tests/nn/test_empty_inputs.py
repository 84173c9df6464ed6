"""Networks' functions of nothing: no batch, no channels, no classes that count, no frames, no dimensions."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import polygrad as pg
from polygrad import nn

F = nn.functional


@pytest.mark.parametrize("f", [pg.softmax, pg.log_softmax, pg.logsumexp])
@pytest.mark.parametrize("executor", ["eager", None, "native"])
def test_along_an_empty_axis(f: Any, executor: Any) -> None:
    x = np.ones((3, 0))

    def value_and_grad(x: Any) -> Any:
        return pg.value_and_grad(lambda x: (pg.sum(pg.exp(f(x, axis=1))), f(x, axis=1)), has_aux=True)(x)

    run = value_and_grad if executor == "eager" else pg.compile(value_and_grad, executor=executor)
    (total, values), grad = run(x)
    assert total == 0
    assert grad.shape == (3, 0)
    assert values.tolist() == ([-np.inf] * 3 if f is pg.logsumexp else [[]] * 3)
    assert pg.jvp(lambda x: f(x, axis=1), (x,), (x,))[1].shape == np.shape(values)


@pytest.mark.parametrize("kwargs", [{}, {"momentum": None}])
def test_a_batch_of_nothing_teaches_nothing(kwargs: Any) -> None:
    layer = nn.BatchNorm1d(3, **kwargs)
    assert layer(pg.zeros((0, 3, 2))).shape == (0, 3, 2)
    assert layer.running_mean.tolist() == [0.0] * 3
    assert layer.running_var.tolist() == [1.0] * 3
    assert layer.num_batches_tracked.item() == 0
    for other in (nn.GroupNorm(3, 3), nn.InstanceNorm1d(3, affine=True, track_running_stats=True)):
        assert other(pg.zeros((0, 3, 2))).shape == (0, 3, 2)


@pytest.mark.parametrize("executor", ["eager", None, "native"])
def test_losses_of_targets_that_do_not_count(executor: Any) -> None:
    target = pg.asarray([-100, -100])
    weight = pg.asarray([1.0, 2.0])
    for loss in (
        lambda x: F.cross_entropy(x, target),
        lambda x: F.cross_entropy(x, target, label_smoothing=0.1),
        lambda x: F.cross_entropy(x, target, weight=weight),
        lambda x: F.nll_loss(x, target),
    ):
        f = pg.value_and_grad(loss)
        value, grad = (f if executor == "eager" else pg.compile(f, executor=executor))(pg.ones((2, 2)))
        assert np.isnan(value.item())
        assert grad.tolist() == [[0.0, 0.0]] * 2
        assert pg.jvp(loss, (pg.ones((2, 2)),), (pg.ones((2, 2)),))[1].item() == 0


@pytest.mark.on_host("values are looked at, at once, in the host's memory only")
def test_ctc_of_nothing() -> None:
    logits = pg.asarray(np.zeros((3, 2, 4)), requires_grad=True)
    scores = pg.log_softmax(logits, axis=-1)
    some = F.ctc_loss(scores, pg.asarray([[1], [1]]), [0, 0], [0, 1], reduction="none")
    assert some.tolist() == [0.0, np.inf]
    blank = F.ctc_loss(scores, [[], []], [3, 0], [0, 0], reduction="none")
    np.testing.assert_allclose(blank.tolist(), [3 * np.log(4), 0.0])
    pg.sum(blank).backward()
    assert np.isfinite(logits.grad.numpy()).all()
    assert not logits.grad[:, 1, :].numpy().any()
    assert F.ctc_loss(pg.zeros((0, 2, 4)), [], [0, 0], [0, 0], reduction="none").tolist() == [0.0, 0.0]


@pytest.mark.parametrize("executor", ["eager", None, "native"])
def test_convolutions_of_no_channels(executor: Any) -> None:
    for f, x, w, shape in (
        (F.conv1d, (2, 0, 7), (3, 0, 3), (2, 3, 5)),
        (F.conv2d, (2, 0, 5, 5), (3, 0, 3, 3), (2, 3, 3, 3)),
        (F.conv2d, (2, 4, 5, 5), (0, 4, 3, 3), (2, 0, 3, 3)),
        (F.conv1d, (0, 2, 7), (3, 2, 3), (0, 3, 5)),
        (F.conv_transpose1d, (2, 0, 7), (0, 3, 3), (2, 3, 9)),
    ):
        run = pg.value_and_grad(lambda x, w, f=f: (pg.sum(f(x, w)), f(x, w)), (0, 1), has_aux=True)
        run = run if executor == "eager" else pg.compile(run, executor=executor)
        (total, out), grads = run(pg.zeros(x), pg.zeros(w))
        assert total.item() == 0
        assert out.shape == shape
        assert [g.shape for g in grads] == [x, w]


def test_arguments_of_convolutions_may_be_arrays() -> None:
    x, w, b = np.ones((1, 3, 7)), np.ones((2, 3, 3)), np.ones(2)
    for f in (F.conv1d, F.conv_transpose1d):
        w_, b_ = (w, b) if f is F.conv1d else (w[:1].repeat(3, 0), np.ones(3))
        np.testing.assert_array_equal(f(x, w_, b_).numpy(), f(pg.asarray(x), pg.asarray(w_), pg.asarray(b_)).numpy())


def test_prelu_and_one_hot_and_cosine() -> None:
    assert F.prelu(pg.asarray(-4.0), pg.asarray([0.25])).shape == ()
    assert F.prelu(pg.asarray(-4.0), pg.asarray(0.25)).item() == -1.0
    assert F.one_hot([1, 0]).tolist() == [[0, 1], [1, 0]]
    with pytest.raises(ValueError, match="give num_classes"):
        F.one_hot(pg.zeros(0, dtype="int64"))
    np.testing.assert_allclose(F.cosine_similarity(pg.ones((3, 1)), pg.ones((3, 4))).numpy(), np.ones(3))


def test_mistakes_are_refused() -> None:
    parameters = list(nn.Linear(2, 2).parameters())
    for given in (set(parameters), [{"params": frozenset(parameters)}]):
        with pytest.raises(TypeError, match="give a list"):
            pg.optim.SGD(given, lr=0.1)
    with pytest.raises(pg.errors.GradientError, match="complex128"):
        (pg.asarray(1 + 2j, requires_grad=True) * 2).backward()


def test_jacobians_of_what_does_not_move() -> None:
    x = np.asarray([-1.0, 2.0])
    for f in (lambda x: x > 0, lambda x: pg.astype(x, "int64"), lambda x: pg.argsort(x)):
        for jacobian in (pg.jacfwd(f)(x), pg.jacrev(f)(x)):
            assert jacobian.dtype == np.float64
            assert not jacobian.any()
            assert jacobian.shape == (2, 2)


def test_sequential_schedules_nest() -> None:
    optimizer = pg.optim.SGD([nn.Parameter(pg.ones(2))], lr=0.5)
    s = pg.optim.lr_scheduler
    for place in (0, 1):
        inner = s.SequentialLR(optimizer, [s.ConstantLR(optimizer, 0.5, 2), s.ExponentialLR(optimizer, 0.9)], [2])
        plain = s.StepLR(optimizer, 10)
        both = [inner, plain] if place == 0 else [plain, inner]
        schedule = s.SequentialLR(optimizer, both, [3])
        rates = [optimizer.param_groups[0]["lr"]]
        for _ in range(6):
            optimizer.step()
            schedule.step()
            rates.append(optimizer.param_groups[0]["lr"])
        want = [0.25, 0.25, 0.5, 0.5, 0.5, 0.5, 0.5] if place == 0 else [0.5, 0.5, 0.5, 0.25, 0.25, 0.5, 0.45]
        np.testing.assert_allclose(rates, want)
