"""What a compiled function writes: to arguments, closures, places and views; after an error everything is as it was."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from small import X, equal, tensor

import polygrad as pg
from polygrad import nn
from polygrad.errors import TraceError


def test_python_side_effects_are_refused_and_undone() -> None:
    seen: list[Any] = []
    state = {"n": 0}

    def append(x: Any) -> Any:
        seen.append(x * 2)
        return x

    def count(x: Any) -> Any:
        state["n"] += 1
        return x

    def add(x: Any) -> Any:
        state["new"] = x * 2
        return x

    for f in (append, count):
        with pytest.raises(TraceError, match="in Python"):
            pg.compile(f)(tensor())
    assert seen == []
    assert state == {"n": 0}
    added = pg.compile(add)  # the first call fills the place, eagerly; then it is filled at each run
    for k in range(3):
        added(tensor() + k)
        equal(state["new"], (tensor() + k) * 2)
    assert added.cache_info()[:3] == (1, 1, 1)


def test_an_error_in_the_function_leaves_everything_as_it_was() -> None:
    w, places = tensor(requires_grad=True), {"h": tensor()}

    @pg.compile
    def f(x: Any) -> Any:
        places["h"] = x * 2
        with pg.no_grad():
            w[0, 0] = 9.0
        raise KeyError("mine")

    h = places["h"]
    with pytest.raises(KeyError, match="mine"):
        f(tensor())
    assert places["h"] is h
    equal(w, tensor())
    equal(w * 2, tensor() * 2)


def test_tensors_of_a_trace_do_not_get_out() -> None:
    kept: dict[str, Any] = {}

    class Box:
        pass

    box = Box()
    boxes = {"box": box}
    f = pg.compile(lambda x: [setattr(box, "x", x * 2), x * 3][1] if boxes else x)
    for k in range(3):
        f(tensor() + k)
        equal(box.x, (tensor() + k) * 2)  # type: ignore[attr-defined]
    assert kept == {}


def test_arguments_and_closures_are_written_to(device: Any) -> None:
    total, counts = pg.zeros((3, 4), device=device), pg.zeros(3, dtype="int64", device=device)

    def f(x: Any) -> Any:
        nonlocal total
        x *= 2
        x[0, :] = 7
        total += x
        counts[1] += 1
        return pg.sum(total)

    c = pg.compile(f)
    for _ in range(3):
        x = tensor(device)
        handle = total
        out = c(x)
        assert total is handle
        want = X * 2
        want[0] = 7
        equal(x, pg.asarray(want))
        assert out.item() == pg.sum(total).item()
    assert counts.tolist() == [0, 3, 0]
    np.testing.assert_array_equal(total.to_device("cpu").numpy(), want * 3)
    assert c.cache_info().hits == 2


def test_places_are_filled_anew_and_read_anew() -> None:
    class Cell:
        def __init__(self) -> None:
            self.state = (pg.zeros((3, 4)), pg.zeros((3, 4)))
            self.last: Any = None

        def step(self, x: Any) -> Any:
            h, c = self.state
            self.state = (h + x, c + h)
            self.last = pg.sum(h)
            return c

    eager, static = Cell(), Cell()
    step = pg.compile(lambda x: static.step(x))
    for i in range(5):
        x = tensor() + i
        before = static.state[0].numpy().copy()
        held = static.state[0]
        equal(step(x), eager.step(x))
        for a, b in zip(static.state, eager.state, strict=True):
            equal(a, b)
        equal(static.last, eager.last)
        equal(held, pg.asarray(before))  # what was there before is another tensor
    assert step.cache_info().misses == 2  # last was None at first


def test_views_are_followed() -> None:
    base = pg.zeros((2, 3))
    row = base[1]

    @pg.compile
    def f(x: Any) -> Any:
        nonlocal row
        row += x
        return base[0, :], base

    for i in range(1, 4):
        view, whole = f(pg.ones(3))
        assert whole is base
        assert row.tolist() == [i] * 3
        assert base.tolist() == [[0] * 3, [i] * 3]
    view[0] = 5
    assert base[0, 0].item() == 5

    @pg.compile
    def g(x: Any) -> Any:
        x[...] = 1.0

    y = pg.zeros((2, 2))
    g(y[0])
    g(y[0])
    assert y.tolist() == [[1, 1], [0, 0]]
    z = np.zeros(3)
    g(pg.asarray(z))
    assert z.tolist() == [1, 1, 1]


def test_overlapping_arguments_run_the_function_itself() -> None:
    @pg.compile
    def f(x: Any, y: Any) -> Any:
        x += 1
        return y * 1

    a = pg.zeros(4)
    f(pg.zeros(3), pg.zeros(3))
    assert f(a[:3], a[1:]).tolist() == [1, 1, 0]
    assert f(a, a).tolist() == [2, 2, 2, 1]
    b = pg.zeros(3)
    assert f(b, b).tolist() == [1, 1, 1]


def test_results_share_no_memory() -> None:
    w = tensor()
    f = pg.compile(lambda x: (+x, pg.broadcast_to(w, (2, 3, 4)), w, x + 0))
    x = tensor()
    for _ in range(2):
        out = f(x)
        x[0, 0] = 100.0
        w[0, 0] = 50.0
        assert out[0][0, 0].item() != 100
        assert out[1][0, 0, 0].item() != 50
        assert out[3][0, 0].item() != 100
        assert out[2] is w
        x, w[0, 0] = tensor(), -1.0
    first, second = f(x)[3], f(x)[3]
    first += 1
    equal(second, x + 0)


def test_a_failed_run_counts_nothing() -> None:
    w = pg.nn.Parameter(np.ones((4, 3)))
    optimizer = pg.optim.Adam([w], lr=0.1)

    @pg.compile
    def step(x: Any, y: Any) -> Any:
        optimizer.zero_grad()
        loss = nn.functional.cross_entropy(x @ w, y)
        loss.backward()
        optimizer.step()
        return loss

    x, y = tensor(), pg.asarray([0, 1, 2])
    step(x, y)
    step(x, y)
    before = w.detach().numpy().copy()
    with pytest.raises(IndexError):
        step(x, pg.asarray([0, 1, 3]))
    np.testing.assert_array_equal(w.detach().numpy(), before)
    step(x, y)
    assert optimizer.state[w]["step"] == 3
    assert optimizer.steps == 3
