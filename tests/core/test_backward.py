"""Backward: what it computes, frees, keeps and refuses."""

from __future__ import annotations

import gc
import os
import sys
import time
import tracemalloc
import weakref
from typing import Any

import numpy as np
import pytest

import polygrad as pg
from polygrad.errors import DetachedError, DTypeError, FreedGraphError, GradientError, ShapeError


def leaf(*values: float) -> pg.Tensor:
    return pg.asarray(list(values), requires_grad=True)


def test_sums_over_all_paths(device: pg.Device) -> None:
    x = pg.asarray([1.0, 2.0], device=device, requires_grad=True)
    y = x * x
    pg.sum(y * x + y).backward()
    assert x.grad is not None
    assert x.grad.tolist() == [3 * 1 + 2 * 1, 3 * 4 + 2 * 2]
    assert x.grad.device is device


def test_gradients_accumulate_over_backwards() -> None:
    x = leaf(1.0, 2.0)
    for _ in range(3):
        pg.sum(x * 2.0).backward()
    assert x.grad is not None
    assert x.grad.tolist() == [6.0, 6.0]
    assert not x.grad.requires_grad


def test_doubling_ten_thousand_deep_is_linear() -> None:
    """2^10000 paths: a walk over paths would never end."""
    y = x = leaf(1.0)
    start = time.perf_counter()
    for _ in range(10_000):
        y = y * 0.5 + y * 0.5
    y.backward(pg.ones_like(y))
    assert time.perf_counter() - start < 20  # milliseconds; a bound against exponential time, not a benchmark
    assert x.grad is not None
    assert x.grad.tolist() == [1.0]


def test_many_ops_at_the_default_recursion_limit() -> None:
    assert sys.getrecursionlimit() <= 1000 + 200
    x = leaf(1.0)
    y = x
    for _ in range(1_000_000 if os.environ.get("POLYGRAD_ALL_CASES") else 200_000):
        y = y + 1.0
    y.backward(pg.ones_like(y))
    assert x.grad is not None
    assert x.grad.tolist() == [1.0]
    watch = weakref.ref(y.grad_fn.parents[0])  # type: ignore[union-attr]
    del y
    assert watch() is None


def test_a_node_costs_less_than_a_kilobyte() -> None:
    y = leaf(1.0)
    tracemalloc.start()
    for _ in range(10_000):
        y = y + 1.0
    used = tracemalloc.get_traced_memory()[0]
    tracemalloc.stop()
    assert used / 1e4 < 1000


def test_a_deep_graph_is_freed_without_backward() -> None:
    y = leaf(1.0)
    for _ in range(200_000):
        y = pg.sin(y)
    watch = weakref.ref(y.grad_fn)  # type: ignore[arg-type]
    del y
    assert watch() is None


def test_no_reference_cycles_over_training_steps() -> None:
    w = pg.asarray(np.ones((8, 8)), requires_grad=True)
    x = pg.asarray(np.ones((4, 8)))

    def step() -> None:
        nonlocal w
        w.grad = None
        loss = pg.mean(pg.tanh(x @ w)[1:] ** 2) + pg.sum(pg.stack(list(w))[0] * 0.1)
        loss.backward()
        with pg.no_grad():
            w -= 0.01 * w.grad  # type: ignore[operator]

    gc.collect()
    gc.disable()
    try:
        for _ in range(3000):  # Python's own free lists fill up first
            step()
        tracemalloc.start()
        before = tracemalloc.get_traced_memory()[0]
        for _ in range(1000):
            step()
        grown = tracemalloc.get_traced_memory()[0] - before
        tracemalloc.stop()
    finally:
        gc.enable()
    assert grown < 50_000


def test_no_cycles_with_create_graph_and_hooks() -> None:
    gc.collect()
    gc.disable()
    try:
        x = leaf(1.0, 2.0)
        seen: list[Any] = []
        y = pg.sum(x**3)
        y.register_hook(lambda g: seen.append(g.item()))
        y.backward(create_graph=True)
        grad, x.grad = x.grad, None
        assert grad is not None
        pg.sum(grad).backward()
        watches = [weakref.ref(y.grad_fn), weakref.ref(grad.grad_fn)]  # type: ignore[arg-type]
        del y, grad
        assert [w() for w in watches] == [None, None]
        assert seen == [1.0]
    finally:
        gc.enable()


def test_saved_arrays_are_freed_after_backward_though_the_loss_lives() -> None:
    a = np.ones(1000)
    big = pg.asarray(a, copy=True)
    watch = weakref.ref(big)
    x = pg.asarray(a, copy=True, requires_grad=True)
    loss = pg.sum(x * big)
    node = loss.grad_fn.parents[0]  # type: ignore[union-attr]
    assert node.saved is not None  # type: ignore[union-attr]
    del big
    loss.backward()
    assert watch() is None
    assert node.saved is None  # type: ignore[union-attr]
    assert loss.item() == 1000.0


def test_second_backward_says_that_the_graph_was_freed() -> None:
    x = leaf(2.0)
    y = x * x
    y.backward(pg.ones_like(y))
    with pytest.raises(FreedGraphError, match=r"'multiply' saved.*freed.*retain_graph=True"):
        y.backward(pg.ones_like(y))


def test_retain_graph_allows_another() -> None:
    x = leaf(2.0)
    y = x * x
    y.backward(pg.ones_like(y), retain_graph=True)
    y.backward(pg.ones_like(y))
    assert x.grad is not None
    assert x.grad.tolist() == [8.0]


def test_create_graph_to_fourth_order(device: pg.Device) -> None:
    x = pg.asarray(2.0, device=device, requires_grad=True)
    y = x**5
    for expected in (5 * 16.0, 20 * 8.0, 60 * 4.0, 120 * 2.0):
        x.grad = None
        y.backward(create_graph=True)
        y = x.grad  # type: ignore[assignment]
        assert y.item() == pytest.approx(expected, rel=1e-13)
    assert y.requires_grad


def test_backward_needs_a_gradient_for_several_elements() -> None:
    x = leaf(1.0, 2.0)
    with pytest.raises(GradientError, match=r"2 elements \(shape \(2,\)\).*pg.sum"):
        (x * x).backward()


def test_backward_on_a_tensor_without_graph() -> None:
    with pytest.raises(DetachedError, match=r"no graph leads to this tensor \(shape \(2,\), dtype float64\)"):
        pg.asarray([1.0, 2.0]).backward()
    with pytest.raises(DetachedError, match="detached"):
        (leaf(1.0) * 2).detach().backward()


@pytest.mark.parametrize("shape", [(), (1,), (2, 1), (3,)])
def test_cotangents_of_the_wrong_shape_are_refused(shape: tuple[int, ...]) -> None:
    x = leaf(1.0, 2.0)
    with pytest.raises(ShapeError, match=r"gradient has shape .*the tensor has shape \(2,\)"):
        (x * x).backward(pg.ones(shape))


@pytest.mark.parametrize("values", [[1, 2], [True, False]])
def test_integers_cannot_require_grad(values: Any) -> None:
    with pytest.raises(DTypeError, match=r"dtype (int64|bool) has no derivative.*Cast it"):
        pg.asarray(values, requires_grad=True)


def test_inputs_chooses_who_collects() -> None:
    x, y = leaf(1.0), leaf(2.0)
    z = x * y
    pg.sum(z * x).backward(inputs=[y])
    assert x.grad is None
    assert y.grad is not None
    assert y.grad.tolist() == [1.0]


def test_retain_grad_and_hooks_on_what_ops_made() -> None:
    x = leaf(1.0, 2.0)
    y = x * 3.0
    y.retain_grad()
    y.register_hook(lambda g: g * 10.0)
    pg.sum(y * y).backward()
    assert y.grad is not None
    assert x.grad is not None
    assert y.grad.tolist() == [60.0, 120.0]
    assert x.grad.tolist() == [180.0, 360.0]


def test_hooks_on_leaves_and_their_removal() -> None:
    x = leaf(1.0)
    remove = x.register_hook(lambda g: g * 2.0)
    pg.sum(x).backward()
    remove()
    pg.sum(x).backward()
    assert x.grad is not None
    assert x.grad.tolist() == [3.0]


def test_a_hook_may_not_change_the_shape() -> None:
    x = leaf(1.0, 2.0)
    y = x * 1.0
    y.register_hook(lambda g: pg.sum(g))
    with pytest.raises(ShapeError, match=r"hook on the output of 'multiply'.*keep the shape \(2,\)"):
        pg.sum(y).backward()


def test_unused_outputs_have_no_part(device: pg.Device) -> None:
    x = pg.asarray([[1.0, 2.0], [3.0, 4.0]], device=device, requires_grad=True)
    first, _ = pg.unstack(x)
    pg.sum(first * first).backward()
    assert x.grad is not None
    assert x.grad.tolist() == [[2.0, 4.0], [0.0, 0.0]]


class _Fault(Exception):
    pass


def test_an_exception_in_a_rule_changes_nothing() -> None:
    """Compute all, then commit: gradients and graph are as before, and another try succeeds."""
    fail = [True]

    class Shaky(pg.Function):
        @staticmethod
        def forward(ctx: Any, x: Any) -> Any:
            return x * 2.0

        @staticmethod
        def backward(ctx: Any, g: Any) -> Any:
            if fail[0]:
                raise _Fault
            return g * 2.0

    x = leaf(1.0, 2.0)
    y = pg.sum(Shaky.apply(x * x) * pg.exp(x))
    with pytest.raises(_Fault):
        y.backward()
    assert x.grad is None
    assert pg.is_grad_enabled()
    fail[0] = False
    y.backward()
    assert x.grad is not None
    v = np.array([1.0, 2.0])
    np.testing.assert_allclose(x.grad.numpy(), (4 * v + 2 * v * v) * np.exp(v))


def test_backward_is_bitwise_deterministic() -> None:
    rng = np.random.default_rng(0)
    a, b = rng.standard_normal((20, 20)), rng.standard_normal((20, 20))
    results = set()
    for _ in range(100):
        x = pg.asarray(a, requires_grad=True)
        y = pg.tanh(x @ pg.asarray(b)) * x + x / (1.0 + x * x)
        pg.sum(y @ y).backward()
        assert x.grad is not None
        results.add(x.grad.numpy().tobytes())
    assert len(results) == 1


def test_mutating_an_array_that_a_graph_saved_is_caught() -> None:
    a = np.ones(3)
    x = pg.asarray(a, requires_grad=True)
    y = pg.sum(x * x)
    with pytest.raises(ValueError, match="read-only"):
        a[0] = 5.0
    y.backward()
    a[0] = 5.0  # freed: writable again
    y = pg.sum(pg.asarray(a, requires_grad=True) ** 2)
    del y
    a[1] = 5.0


def test_gradients_do_not_alias_the_users_arrays() -> None:
    x, seed = leaf(1.0, 2.0), np.ones(2)
    (x + 0.0).backward(pg.asarray(seed))
    assert x.grad is not None
    x.grad[...] = 9.0
    assert seed.tolist() == [1.0, 1.0]
