"""What is made again, done early, and written over what nobody needs: the same values in less memory.

Small arrays are left alone by these, so that the tests call all arrays large.
"""

from __future__ import annotations

import tracemalloc
from typing import Any

import numpy as np
import pytest
from polygrad_backends import numpy_executor
from polygrad_backends.native.engine import reason
from small import all_is_large, close, with_cotangents
from table import BY_VALUES, Row, every
from test_passes import same_bits
from test_table import CASES, arrays, function
from training import batches, train

import polygrad as pg
from benchmarks import networks, plans
from benchmarks.harness import STATIC
from polygrad import nn
from polygrad.graph import memory

CPU = pg.Device("cpu")
EXECUTORS = ["planned"] + (["native"] if reason() is None else [])
SMOOTH = [c for c in CASES if c.values[0].name not in BY_VALUES and c.values[0].differentiable]

pytestmark = pytest.mark.devices("numpy")


@pytest.fixture
def large(monkeypatch: pytest.MonkeyPatch) -> None:
    all_is_large(monkeypatch)


def ops(graph: Any) -> list[str]:
    return [i.op for i in graph.instructions]


# -- passes ----------------------------------------------------------------------------------------------------


def test_what_is_cheap_and_idle_is_made_again(large: None) -> None:
    def f(x: Any) -> Any:
        y = x * 2 + 1
        z = pg.sin(pg.sin(pg.sin(pg.sin(x))))
        return pg.sum(y * z)

    graph = pg.trace(f, pg.Spec(100))
    after = memory.recompute(graph)
    n = 8 * 100
    assert graph.stats()["peak_bytes"] == 4 * n  # x, y, and two sines
    assert after.stats()["peak_bytes"] == pytest.approx(4 * n, abs=n)
    same_bits(graph, after, [pg.asarray(np.linspace(-1, 1, 100))])


def test_it_is_made_again_of_what_is_there_anyway(large: None) -> None:
    def f(x: Any, w: Any) -> Any:
        y = pg.sin(x)
        scaled = y * w + 1
        first = pg.exp(scaled)
        second = pg.reshape(pg.cumulative_sum(pg.concat([first, first, first])), (3, 100))
        return pg.sum(second) + pg.sum(scaled * scaled) + pg.sum(y * y)

    graph = pg.trace(f, pg.Spec(100), pg.Spec(()))
    after = memory.recompute(graph)
    assert ops(graph).count("sin") == ops(after).count("sin") == 1
    assert ops(after).count("multiply") > ops(graph).count("multiply")
    assert after.stats()["peak_bytes"] < graph.stats()["peak_bytes"]
    same_bits(graph, after, [pg.asarray(np.linspace(-1, 1, 100)), pg.asarray(0.3)])


def test_what_frees_memory_is_done_early(large: None) -> None:
    def f(x: Any, w: Any) -> Any:
        a, b = pg.sin(x), pg.cos(x)
        wide = pg.concat([b, b, b, b])
        return pg.sum(a @ w), pg.sum(wide), pg.max(wide)

    graph = pg.trace(f, pg.Spec((50, 50)), pg.Spec((50, 1)))
    after = memory.free_early(graph)
    assert ops(graph) != ops(after)
    assert sorted(ops(graph)) == sorted(ops(after))
    assert after.stats()["peak_bytes"] < graph.stats()["peak_bytes"]
    rng = np.random.default_rng(0)
    same_bits(graph, after, [pg.asarray(rng.standard_normal(s)) for s in ((50, 50), (50, 1))])


def test_small_arrays_stay_as_they_are() -> None:
    graph = pg.trace(pg.grad(lambda x: pg.sum(pg.tanh(x @ x) * x)), pg.Spec((30, 30)))
    assert memory.recompute(graph) is graph
    assert memory.free_early(graph) is graph


def test_draws_and_checks_keep_their_order(large: None) -> None:
    def f(x: Any) -> Any:
        a = pg.random.normal((40,))
        y = pg.sin(x) * a
        b = pg.random.normal((40,))
        return pg.sum(y), pg.sum(y * b)

    compiled = pg.compile(f)
    for run in (f, compiled, compiled):
        pg.random.manual_seed(3)
        found = run(pg.ones(40))
        if run is f:
            expected = found
        for a, b in zip(found, expected, strict=True):
            assert a.numpy().tobytes() == b.numpy().tobytes()


# -- relu behind maximal pooling ---------------------------------------------------------------------------------


@pytest.mark.parametrize(("window", "stride", "padding"), [(2, 2, 0), (3, 1, 1), (3, 2, 0)])
def test_a_rectifier_behind_pooling_needs_the_largest_only(window: int, stride: int, padding: int) -> None:
    def f(x: Any) -> Any:
        return nn.functional.max_pool2d(nn.functional.relu(x), window, stride, padding)

    rng = np.random.default_rng(0)
    values = rng.integers(-2, 3, (2, 3, 7, 7)).astype(float)  # ties and zeros
    values[0, 0, 2, 2], values[1, 2, 3, 3], values[1, 1, 5, 5] = np.nan, np.inf, -0.0
    x = pg.asarray(values)
    graph = pg.trace(f, x).vjp()
    (relu,) = [i for i in graph.passes()[-1][1].instructions if i.op == "relu_linear"]
    assert relu.outputs[0].shape == f(x).shape
    g = pg.asarray(rng.standard_normal(f(x).shape))
    for _, after in graph.passes()[1:]:
        same_bits(graph, after, [x, g])


# -- writing over ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("executor", EXECUTORS)
@pytest.mark.parametrize(("row", "sample"), every(9, SMOOTH))
def test_every_op_with_nothing_planned(row: Row, sample: Any, executor: str, large: None) -> None:
    f, xs = function(row, CPU), arrays(sample, CPU)

    def pulled(*xs: Any) -> Any:
        """The op of what is made here, and so may be written over, and its derivative."""
        outs, cotangents = with_cotangents(f, tuple(x * 1.25 if x.dtype.kind in "fc" else x for x in xs))
        return *outs, *cotangents

    with np.errstate(all="ignore"):
        compiled = pg.compile(pulled, executor=executor)
        for _ in range(2):
            close(compiled(*xs), pulled(*xs), 1e-11, least=1e-2, single=2e-6)


def test_what_others_look_at_is_not_written_over(large: None) -> None:
    def f(x: Any) -> Any:
        y = pg.sin(x)
        part = y[1:]
        z = y + 1  # part still looks at y
        w = pg.relu(z)  # z is returned
        wide = pg.broadcast_to(pg.cos(x), (3, 50))  # one element in three places
        last = pg.flip(pg.cos(x * 2))
        return z, w, part * 2, pg.relu(x), pg.relu(wide), pg.relu(last) + 0, pg.relu(pg.cos(x)[::2])

    x = pg.asarray(np.linspace(-2.0, 2.0, 50))
    before = x.numpy().copy()
    for executor in EXECUTORS:
        compiled = pg.compile(f, executor=executor)
        kept = [t.numpy().copy() for t in compiled(x)]
        close(compiled(x), f(x))
        for a, b in zip(kept, f(x), strict=True):
            np.testing.assert_allclose(a, b.numpy(), rtol=1e-14)
        np.testing.assert_array_equal(x.numpy(), before)


def test_memory_is_written_over() -> None:
    n = 1 << 20

    def f(x: Any) -> Any:
        y = pg.sin(x)
        for _ in range(6):
            y = pg.relu(pg.cumulative_sum(y)) + 1
        return pg.sum(y)

    x = pg.asarray(np.zeros(n))
    for executor in EXECUTORS:
        compiled = pg.compile(f, executor=executor)
        for _ in range(3):
            compiled(x)
        tracemalloc.start()
        try:
            compiled(x)
            assert tracemalloc.get_traced_memory()[1] < 2.3 * 8 * n  # a running sum has memory of its own
        finally:
            tracemalloc.stop()


class Sequences(nn.Module):
    """Recurrent layers, attention, GELU and normalisation, and classes."""

    def __init__(self, kind: str, dtype: str) -> None:
        super().__init__()
        if kind == "transformer":
            self.layers: Any = nn.TransformerEncoderLayer(
                8, 2, 16, 0.1, activation="gelu", batch_first=True, dtype=dtype
            )
        else:
            self.layers = {"lstm": nn.LSTM, "gru": nn.GRU}[kind](
                8, 8, 2, batch_first=True, bidirectional=True, dtype=dtype
            )
        self.out = nn.Linear(8 if kind == "transformer" else 16, 3, dtype=dtype)

    def forward(self, x: Any) -> Any:
        made = self.layers(x)
        return self.out((made[0] if isinstance(made, tuple) else made)[:, -1, :])


def images(dtype: str) -> Any:
    return nn.Sequential(
        nn.Conv2d(2, 4, 3, padding=1, dtype=dtype), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(4, 6, 2, groups=2, dtype=dtype),
        nn.BatchNorm2d(6, dtype=dtype), nn.ReLU(), nn.AvgPool2d(2), nn.Flatten(), nn.Linear(6, 3, dtype=dtype),
    )  # fmt: skip


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("executor", EXECUTORS)
@pytest.mark.parametrize("kind", ["lstm", "gru", "transformer", "images"])
def test_networks_learn_the_same(kind: str, executor: str, dtype: str, large: None) -> None:
    losses = []
    for options in (None, {"executor": executor}):
        pg.random.manual_seed(0)
        net = images(dtype) if kind == "images" else Sequences(kind, dtype)
        optimizer = pg.optim.SGD(net.parameters(), lr=0.1, momentum=0.9)
        schedule = pg.optim.lr_scheduler.StepLR(optimizer, 3)
        shape = (5, 2, 6, 6) if kind == "images" else (5, 7, 8)
        found, _ = train(net, optimizer, schedule, batches(CPU, 8, shape, 3, dtype), 1.0, options)
        losses.append([*found, *(p.detach().numpy() for p in net.parameters())])
    for a, b in zip(*losses, strict=True):
        if executor == "planned":
            np.testing.assert_array_equal(a, b)
        else:
            np.testing.assert_allclose(
                a, b, rtol=1e-3 if dtype == "float32" else 1e-9, atol=1e-5 if dtype == "float32" else 1e-12
            )


def test_what_is_spent_is_told_in_the_text() -> None:
    net = nn.LSTM(64, 64, 1, dtype="float32")
    graph = pg.trace(lambda x: pg.sum(net(x)[0]), pg.Spec((50, 32, 64), "float32")).vjp()
    plan = numpy_executor.compile_graph(np, graph.passes()[-1][1], CPU).plan  # type: ignore[attr-defined]
    assert {i.op for i in plan.spent} == {"lstm_forward", "lstm_backward"}
    assert plan.source.count("spend=True") == 2
    assert f"written over at their last use: 3 arrays, {3 * 50 * 32 * 256 * 4} bytes" in plan.explain()


@pytest.mark.parametrize("name", ["lenet", "transformer"])
def test_training_steps_take_their_plan_and_less_than_eager_code(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(networks, "PEERS", [])
    for who in STATIC if name == "lenet" else [*STATIC][-1:]:
        eager, planned, compiled = plans.figures(networks.NETWORKS[name], who)
        assert compiled <= 1.1 * planned  # and what several threads hold at once, which is theirs to choose
        assert compiled <= 0.7 * eager
