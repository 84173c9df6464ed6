"""What makes a new graph: everything that a function looks at is looked at again before each run."""

from __future__ import annotations

import ctypes
import itertools
import warnings
from typing import Any

import numpy as np
import pytest
from small import X, equal, tensor

import polygrad as pg
from polygrad import nn
from polygrad.errors import TraceError
from polygrad.graph.outside import _place_in_cycle


def test_runs_the_function_once_for_each_kind_of_call() -> None:
    runs = []

    @pg.compile
    def f(x: Any, k: Any = 2) -> Any:
        runs.append(None)
        return x * k

    # appending in Python is refused: the list is reached through a closure
    with pytest.raises(TraceError, match="in Python"):
        f(tensor())
    assert runs == []


def test_traces_anew_for_shapes_dtypes_values_and_modes() -> None:
    f = pg.compile(lambda x, k=2: x * k)
    x = tensor()
    for args in [(x,), (x,), (x, 3), (x, 3), (x[0],), (pg.astype(x, "float32"),), (tensor(requires_grad=True),)]:
        equal(f(*args), args[0] * (args[1] if len(args) > 1 else 2))
    assert f.cache_info()[:2] == (2, 5)
    with pg.no_grad():
        assert not f(tensor(requires_grad=True)).requires_grad
    assert f.cache_info().misses == 6
    g = pg.compile(lambda x, k: x * k)
    assert np.signbit(g(pg.ones(1), -0.0).numpy()[0])
    assert not np.signbit(g(pg.ones(1), 0.0).numpy()[0])


def test_trees_come_and_go() -> None:
    @pg.compile
    def f(tree: Any, *, scale: Any) -> Any:
        return {"sum": tree["a"] + tree["b"][0], "same": tree["a"], "fixed": 3, "none": None, "pair": (scale * 2,)}

    a, b, scale = tensor(), tensor(), pg.asarray(2.0)
    for _ in range(2):
        out = f({"a": a, "b": [b]}, scale=scale)
        equal(out["sum"], a + b)
        assert out["same"] is a
        assert (out["fixed"], out["none"]) == (3, None)
        assert out["pair"][0].item() == 4.0


def test_takes_arrays_of_the_library() -> None:
    f = pg.compile(lambda x: pg.sum(x))
    assert f(X).item() == X.sum()
    assert f(X + 1).item() == (X + 1).sum()
    assert f.cache_info().hits == 1


scale = 2.0


def test_globals_defaults_closures_and_modes_are_looked_at() -> None:
    global scale
    offset = 1.0

    def f(x: Any, power: Any = [2]) -> Any:  # noqa: B006
        return (x * scale + offset) ** power[0]

    c = pg.compile(f)
    x = tensor()
    equal(c(x), f(x))
    scale = 3.0
    equal(c(x), f(x))
    offset = 5.0
    equal(c(x), f(x))
    f.__defaults__[0][0] = 3  # type: ignore[index]
    equal(c(x), f(x))
    f.__defaults__ = ([1],)
    equal(c(x), f(x))
    scale = 2.0
    equal(c(x), f(x))
    assert c.cache_info().hits == 0
    equal(c(x), f(x))
    assert c.cache_info().hits == 1

    class Holder:
        kind = "sin"

        def apply(self, x: Any) -> Any:
            return pg.sin(x) if self.kind == "sin" else pg.cos(x)

    holder = Holder()
    g = pg.compile(lambda x: holder.apply(x))
    equal(g(x), pg.sin(x))
    holder.kind = "cos"
    equal(g(x), pg.cos(x))
    Holder.kind = "sin"
    del holder.kind
    equal(g(x), pg.sin(x))

    net = nn.Sequential(nn.Linear(4, 4), nn.Dropout(0.5))
    h = pg.compile(net)
    net.eval()
    first = h(x)
    equal(first, net(x))
    net.train()
    assert (h(x).detach().numpy() != first.detach().numpy()).any()
    net.eval()
    equal(h(x), first)
    net[0] = nn.Linear(4, 4)
    equal(h(x), net(x))


def test_long_plain_containers_are_compared() -> None:
    table = list(range(1000))
    f = pg.compile(lambda x: x * table[7])
    assert f(pg.ones(1)).item() == 7
    table[7] = 5
    assert f(pg.ones(1)).item() == 5
    table.append(1)
    assert f(pg.ones(1)).item() == 5


def test_the_default_device_and_tensors_reached_are_looked_at() -> None:
    w = [tensor()]
    f = pg.compile(lambda: pg.sum(w[0]) + pg.zeros(()))
    assert f().item() == X.sum()
    w[0] = pg.astype(w[0], "float32")
    assert f().dtype is pg.float64
    w[0] = pg.ones(3)
    assert f().item() == 3


def test_many_traces_warn() -> None:
    f = pg.compile(lambda x, k: x * k)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for k in range(7):
            f(pg.ones(1), k)
    with pytest.warns(UserWarning, match="traced 8 times"):
        f(pg.ones(1), 7)


def test_objects_among_the_arguments_are_looked_at() -> None:
    net = nn.Sequential(nn.Linear(4, 3), nn.Dropout(0.5))
    optimizer = pg.optim.Adam(net.parameters(), lr=0.1)

    @pg.compile
    def step(net: Any, optimizer: Any, x: Any) -> Any:
        optimizer.zero_grad()
        loss = pg.mean(net(x) ** 2)
        loss.backward()
        optimizer.step()
        return loss

    x = tensor()
    for _ in range(3):
        step(net, optimizer, x)
    assert step.cache_info() == (1, 1, 1, 1)
    net.eval()
    with pg.no_grad():
        expected = pg.mean(net(x) ** 2)
    equal(step(net, optimizer, x), expected)


def test_optimisers_that_nobody_can_look_at_are_refused() -> None:
    w = pg.nn.Parameter([1.0])
    optimizer = pg.optim.SGD([w], lr=1.0)
    hidden = ctypes.py_object(optimizer)  # what a compiled extension holds cannot be seen

    @pg.compile
    def step() -> None:
        pg.sum(w * w).backward()
        hidden.value.step()

    with pytest.raises(TraceError, match="does not hold the optimiser"):
        step()
    assert w.item() == 1.0


def test_a_rate_that_becomes_zero_is_seen() -> None:
    w = pg.nn.Parameter([1.0])
    optimizer = pg.optim.SGD([w], lr=1.0, weight_decay=0.0)

    @pg.compile
    def step() -> None:
        optimizer.zero_grad()
        pg.sum(w * 0.0).backward()
        optimizer.step()

    for _ in range(3):
        step()
    assert w.item() == 1.0
    optimizer.param_groups[0]["weight_decay"] = 0.5
    step()
    assert w.item() == 0.5
    optimizer.param_groups[0]["lr"] = 0.5
    step()
    assert w.item() == 0.375


def test_a_cycle_that_does_not_tell_its_place_is_never_where_it_was() -> None:
    class Silent(itertools.cycle):  # as from Python 3.14
        def __reduce__(self) -> Any:
            raise TypeError("cannot pickle")

    it = Silent([1, 2])
    next(it)
    assert _place_in_cycle(it) == _place_in_cycle(it)  # in the first round what was drawn is kept
    for _ in range(3):
        next(it)
    assert _place_in_cycle(it) != _place_in_cycle(it)


@pytest.mark.parametrize("options", [{}, {"dtype": "float32"}, {"copy": True}, {"device": "cpu"}])
def test_an_array_taken_in_a_trace_is_the_graphs_own_by_reference(options: Any) -> None:
    array = np.asarray([1.0, 2.0])
    f = pg.compile(lambda x: x * pg.asarray(array, **options))
    assert f(pg.ones(2)).tolist() == [1.0, 2.0]
    array[0] = 5.0
    assert f(pg.ones(2)).tolist() == [5.0, 2.0]
