"""Executors by name; JAX's and PyTorch's compilers give what eager code gives, to rounding."""

from __future__ import annotations

import shutil
from typing import Any

import numpy as np
import pytest
from small import close
from table import BY_VALUES, Row, every
from test_table import CASES, arrays, function
from training import batches, train

import polygrad as pg
from polygrad import nn
from polygrad.graph import Graph, Program

# -- which there are -------------------------------------------------------------------------------------------


@pytest.mark.devices("numpy", "strict", "torch", "jax", "dask")
def test_every_backend_has_the_straight_line(device: Any) -> None:
    f = pg.compile(lambda x: pg.sum(pg.sin(x) * x), executor="straight")
    x = pg.asarray([1.0, 2.0], device=device)
    close(f(x), pg.sum(pg.sin(x) * x))
    assert "a straight line of calls" in f.explain()


def test_a_wrong_name_is_told_with_the_right_ones() -> None:
    with pytest.raises(ValueError, match=r"no executor 'jax\.jit' for cpu; there are: straight, planned, native$"):
        pg.compile(lambda x: x * 2, executor="jax.jit")(pg.ones(2))
    with pytest.raises(ValueError, match=r"no executor 'fast' for strict; there are: straight$"):
        pg.compile(lambda x: x * 2, executor="fast")(pg.ones(2, device="strict"))
    with pytest.raises(TypeError, match="a name or a function"):
        pg.compile(lambda x: x, executor=3)  # type: ignore[call-overload]


def test_one_of_ones_own() -> None:
    seen: list[Graph] = []

    def mine(graph: Graph, device: Any) -> Any:
        seen.append(graph)
        return Program(graph, device).run

    @pg.compile(executor=mine)
    def f(x: Any) -> Any:
        return x * 2 + 1

    x = pg.asarray([1.0, 2.0], requires_grad=True)
    y = f(x)
    pg.sum(y).backward()
    assert (y.tolist(), x.grad.tolist()) == ([3, 5], [2, 2])
    assert [[i.op for i in g.instructions] for g in seen] == [["multiply", "add"], ["multiply"]]


# -- JAX -------------------------------------------------------------------------------------------------------


@pytest.mark.devices("jax")
@pytest.mark.over([c for c in every(27, CASES) if c.values[0].name not in BY_VALUES])
def test_jit_of_some_ops(row: Row, sample: Any, device: Any) -> None:
    f = function(row, device)
    xs = arrays(sample, device)
    close(pg.compile(f)(*xs), f(*xs))


@pytest.mark.devices("jax")
def test_jit_leaves_to_scipy_what_is_its_own(device: Any) -> None:
    def f(x: Any) -> Any:
        return pg.special.gammaln(x * 2) * pg.sum(pg.special.erf(x))

    x = pg.asarray(np.linspace(0.1, 30.0, 7), device=device)
    c = pg.compile(pg.value_and_grad(lambda x: pg.sum(f(x))))
    close(c(x), pg.value_and_grad(lambda x: pg.sum(f(x)))(x), 1e-14)
    assert "called as it is: special.gammaln" in c.explain()
    assert "jax.jit: " in c.explain()


def network(device: Any) -> Any:
    pg.random.manual_seed(0)
    layers = [nn.Linear(6, 5), nn.BatchNorm1d(5), nn.Tanh(), nn.Dropout(0.3), nn.Linear(5, 3)]
    return nn.Sequential(*layers).to("float64").to(device)


def trained(device: Any, steps: int, **options: Any) -> tuple[list[float], list[Any]]:
    """Losses and state after some steps with draws, running statistics, a schedule and clipped gradients."""
    net = network(device)
    optimizer = pg.optim.Adam(net.parameters(), lr=0.01)
    schedule = pg.optim.lr_scheduler.ExponentialLR(optimizer, 0.7)
    losses, run = train(net, optimizer, schedule, batches(device, steps, (8, 6), 3, "float64"), 0.5, options or None)
    if options:
        assert run.cache_info()[:3] == (steps - 2, 1, 1)
        if not device.backend.lazy:
            with pytest.raises(IndexError, match="the targets range from"):
                run(pg.ones((8, 6), dtype="float64", device=device), pg.asarray([3] * 8, device=device))
    return losses, [p.detach() for p in net.state_dict().values()]


@pytest.mark.devices("jax", "torch", "dask")
@pytest.mark.parametrize("executor", [None, "straight"])
def test_training_steps(device: Any, executor: Any) -> None:
    if device.backend.name != "jax" and executor is None:
        pytest.skip("the straight line is the default here")
    steps = 4 if device.backend.lazy else 6  # a step on Dask takes half a second
    losses, state = trained(device, steps)
    found, reached = trained(device, steps, executor=executor)
    np.testing.assert_allclose(found, losses, rtol=1e-12)
    for a, b in zip(reached, state, strict=True):
        close(a, b, 1e-10)  # Adam divides by the roots of its first, small, squares


# -- PyTorch ---------------------------------------------------------------------------------------------------


@pytest.mark.devices("torch")
@pytest.mark.skipif(shutil.which("g++") is None, reason="torch.compile needs a C++ compiler")
def test_torch_compile(device: Any) -> None:
    """A step with a check, a rate that each run gets anew, a write, and a special function that SciPy computes."""
    w = nn.Parameter(pg.asarray(np.linspace(-1, 1, 6).reshape(3, 2), device=device))
    rates = [0.5, 0.25, 0.125]

    def train() -> Any:
        left = iter(rates)

        def step(x: Any, y: Any) -> Any:
            (rate,) = pg.graph.on_each_run(lambda: (next(left),))
            loss = nn.functional.cross_entropy(pg.tanh(x @ w), y) + pg.special.jv(1.0, pg.sum(w))
            w.grad = None
            loss.backward()
            with pg.no_grad():
                w.__isub__(w.grad * rate)
            return loss

        return step

    x, y = pg.asarray(np.linspace(0, 1, 12).reshape(4, 3), device=device), pg.asarray([0, 1, 1, 0], device=device)
    start = w.detach().numpy().copy()
    results = []
    for options in (None, {"executor": "torch.compile"}):
        with pg.no_grad():
            w[...] = pg.asarray(start, device=device)
        w.grad = None
        run = pg.compile(train(), **options) if options else train()
        losses = [run(x, y).item() for _ in rates]
        results.append((losses, w.detach().numpy().copy()))
        if options:
            assert "torch.compile: " in run.explain()
            assert run.cache_info() == (1, 2, 0, 2)  # the first step had no gradient to drop
    np.testing.assert_allclose(results[1][0], results[0][0], rtol=1e-12)
    np.testing.assert_allclose(results[1][1], results[0][1], rtol=1e-12)
