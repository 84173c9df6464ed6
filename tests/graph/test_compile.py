"""``pg.compile``: the same numbers as eager code in every circumstance, or an error; never a stale graph."""

from __future__ import annotations

import threading
from typing import Any

import numpy as np
import pytest
from small import X, equal, tensor

import polygrad as pg
from polygrad import nn
from polygrad.errors import FreedGraphError, GradientError, TraceError

# -- what a function may not do ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    "read",
    [
        float,
        int,
        bool,
        lambda x: x.item(),
        lambda x: x.numpy(),
        lambda x: x.tolist(),
        np.asarray,
        lambda x: [0, 1][int(x > 0)],
    ],
)
@pytest.mark.parametrize("outside", [False, True])
def test_reading_a_value_raises_and_points_at_the_line(read: Any, outside: bool) -> None:
    w = pg.asarray(1.0)

    @pg.compile
    def f(x: Any) -> Any:
        read(w if outside else x)
        return x

    with pytest.raises(TraceError, match=r"test_compile\.py:\d+"):
        f(pg.asarray(1.0))
    assert w.item() == 1.0


def test_devices_do_not_mix() -> None:
    other = pg.asarray(X, device="strict")
    f = pg.compile(lambda x: (x * 2, other * 2))
    with pytest.raises(TraceError, match="lives on strict"):
        f(tensor())


# -- derivatives -----------------------------------------------------------------------------------------------


def test_gradients_flow_through() -> None:
    w = tensor(requires_grad=True)

    def f(x: Any, y: Any) -> Any:
        return pg.tanh(x @ pg.matrix_transpose(w)) * y, pg.sum(x, axis=1)

    c = pg.compile(f)
    found = []
    for g in (f, c, c):
        x, y = tensor(requires_grad=True), pg.asarray(2.0, requires_grad=True)
        a, b = g(x * 1.0, y)
        pg.sum(a * a).backward(retain_graph=True)
        (pg.sum(b) + pg.sum(a)).backward()
        found.append([x.grad, y.grad, w.grad])
        w.grad = None
        with pytest.raises(FreedGraphError):
            pg.sum(a).backward()
    for other in found[1:]:
        for one, two in zip(found[0], other, strict=True):
            np.testing.assert_allclose(one.numpy(), two.numpy(), rtol=1e-14)


def test_transforms_through_and_inside() -> None:
    def f(x: Any) -> Any:
        return pg.sum(pg.sin(x) * x * x)

    c = pg.compile(f)
    x = tensor()
    equal(pg.grad(c)(x), pg.grad(f)(x))
    equal(pg.compile(pg.grad(f))(x), pg.grad(f)(x))
    equal(pg.compile(pg.grad(c))(x), pg.grad(f)(x))
    equal(pg.compile(pg.vmap(f))(x), pg.vmap(f)(x))
    equal(pg.vmap(c)(x), pg.vmap(f)(x))
    equal(pg.vmap(pg.grad(c))(x), pg.vmap(pg.grad(f))(x))
    equal(pg.compile(pg.vmap(pg.grad(f)))(x), pg.vmap(pg.grad(f))(x))
    hess = pg.hessian(f)(x[0])
    equal(pg.hessian(c)(x[0]), hess)
    equal(pg.compile(pg.hessian(f))(x[0]), hess)
    for one, two in zip(pg.jvp(c, (x,), (x,)), pg.jvp(f, (x,), (x,)), strict=True):
        equal(one, two)
    for one, two in zip(pg.compile(lambda x: pg.jvp(f, (x,), (x,)))(x), pg.jvp(f, (x,), (x,)), strict=True):
        equal(one, two)
    equal(pg.compile(lambda x: c(x) + c(x * 2))(x), f(x) + f(x * 2))
    with pg.detect_anomaly():
        equal(c(x), f(x))


def test_second_derivatives_refuse_what_cannot_run_again() -> None:
    total = pg.zeros(())

    @pg.compile
    def f(x: Any) -> Any:
        nonlocal total
        with pg.no_grad():
            total += pg.sum(x)
        return pg.sum(x * x * x)

    x = tensor(requires_grad=True)
    y = f(x)
    with pytest.raises(GradientError, match="writes to tensors outside"):
        y.backward(create_graph=True)


def test_backward_inside() -> None:
    w, v = tensor(requires_grad=True), tensor(requires_grad=True)

    def step(x: Any) -> Any:
        loss = pg.sum((w * x) ** 2) + pg.sum(x)
        loss.backward()
        return loss

    c = pg.compile(step)
    for _ in range(3):
        step(tensor())
    expected, w.grad = w.grad, None
    for _ in range(3):
        loss = c(tensor())
    equal(w.grad, expected)
    assert v.grad is None
    assert loss.requires_grad
    with pytest.raises(FreedGraphError):
        loss.backward()
    w.grad = None
    c(tensor())
    equal(w.grad * 3, expected)
    hidden = w * 2
    with pytest.raises(TraceError, match="graph began outside"):
        pg.compile(lambda: pg.sum(hidden * hidden).backward())()


def test_hooks_run_once() -> None:
    w = tensor(requires_grad=True)
    f = pg.compile(lambda x: pg.sum(w * x))
    f(tensor())
    w.register_hook(lambda g: g * 2)
    f(tensor()).backward()
    equal(w.grad, tensor() * 2)
    w.grad = None

    @pg.compile
    def step(x: Any) -> None:
        pg.sum(w * x).backward()

    step(tensor())
    equal(w.grad, tensor() * 2)


# -- what each run does anew ---------------------------------------------------------------------------------------


def test_draws_differ_and_follow_the_generator(device: Any) -> None:
    def f(x: Any) -> Any:
        return (
            x + pg.random.normal(4, device=x.device),
            pg.random.integers(3, 0, 10, device=x.device),
            nn.functional.dropout(x, 0.5),
        )

    c = pg.compile(f)
    x = pg.ones(4, device=device)
    with pg.random.use(pg.random.Generator(0)):
        expected = [f(x) for _ in range(3)]
    with pg.random.use(pg.random.Generator(0)):
        found = [c(x) for _ in range(3)]
    for one, two in zip(expected, found, strict=True):
        for a, b in zip(one, two, strict=True):
            equal(a, b)
    assert c.cache_info().misses == 1


def test_checks_are_made_at_each_run() -> None:
    f = pg.compile(lambda x, y: nn.functional.cross_entropy(x, y))
    x, good = tensor(), pg.asarray([0, 1, 3])
    expected = nn.functional.cross_entropy(x, good)
    equal(f(x, good), expected)
    for bad in ([0, 1, 4], [0, -1, 2]):
        with pytest.raises(IndexError, match="the targets range from"):
            f(x, pg.asarray(bad))
    equal(f(x, good), expected)


# -- threads, looks -------------------------------------------------------------------------------------------------


def test_many_threads() -> None:
    f = pg.compile(lambda x: pg.sum(pg.sin(x) * x))
    xs = [tensor() + i for i in range(8)]
    expected = [pg.sum(pg.sin(x) * x).item() for x in xs]
    wrong: list[Any] = []

    def work(i: int) -> None:
        wrong.extend(i for _ in range(50) if f(xs[i]).item() != expected[i])

    threads = [threading.Thread(target=work, args=(i,)) for i in range(8)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    assert wrong == []


def test_trace_gives_a_graph() -> None:
    w = tensor()
    graph = pg.trace(lambda x, k: {"y": x @ pg.matrix_transpose(w) * k}, pg.Spec((2, 4)), 3)
    x = pg.ones((2, 4))
    equal(graph(x)["y"], x @ pg.matrix_transpose(w) * 3)
    w += 1
    equal(graph(x)["y"], x @ pg.matrix_transpose(w) * 3)
    with pytest.raises(pg.errors.ShapeError, match=r"shape \(3, 4\)"):
        graph(tensor())
    with pytest.raises(pg.errors.DTypeError, match="float32"):
        graph(pg.astype(x, "float32"))
    with pytest.raises(TypeError, match="takes 1"):
        graph(x, x)
    with pytest.raises(TraceError, match="changes tensors"):
        pg.trace(lambda x: x.__iadd__(1), pg.ones(3))
    gradient = pg.trace(pg.grad(lambda x: pg.sum(pg.sin(x))), pg.Spec(3))
    equal(gradient(pg.zeros(3)), pg.ones(3))
    assert gradient.stats()["ops"]["cos"] == 1


def test_trace_returns_views_and_tensors_that_were_never_used() -> None:
    w = tensor()
    graph = pg.trace(lambda x: (pg.reshape(x, (4, 3)), x[1], pg.matrix_transpose(w), w, x), pg.Spec((3, 4)))
    for x in (tensor(), tensor() + 1):
        out = graph(x)
        for a, b in zip(out, (pg.reshape(x, (4, 3)), x[1], pg.matrix_transpose(w), w, x), strict=True):
            equal(a, b)
        out[0][0, 0] = out[3][0, 0] = out[4][0, 0] = 50.0
        assert x[0, 0].item() != 50
        assert w[0, 0].item() == X[0, 0]
