"""``Graph.vjp`` and ``Graph.jvp``: what ``pg.vjp`` and ``pg.jvp`` give, over the table of ops, nested, on every library."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import shared
from table import BY_VALUES, Row, every
from test_table import SMOOTH, arrays, function

import polygrad as pg
from polygrad import nn
from polygrad.errors import DTypeError, NoRuleError, TraceError

PARTS = {"linalg.expm-0", "linalg.expm, more-0", "std-2"}
"""Differentiated as their parts, these have no derivative, or none at this point; see below."""
CASES = [c for c in SMOOTH if c.values[0].name not in BY_VALUES and c.id not in PARTS]
ANY_BASIS = {"linalg.svd full", "linalg.qr complete"}
"""Once a graph, their extra vectors have zeros for cotangents rather than none, which is refused."""


def close(a: Any, b: Any) -> None:
    assert a.dtype is b.dtype
    x, y = (np.asarray(t.detach().to_device("cpu").numpy()) for t in (a, b))
    assert x.shape == y.shape
    np.testing.assert_allclose(x, y, rtol=1e-12, atol=1e-13)


def signed(like: Any, seed: int) -> Any:
    return pg.asarray(shared.signed(like, seed), device=like.device)


def along_both_ways(row: Row, sample: Any, device: Any) -> None:
    f, xs = function(row, device), arrays(sample, device)
    which = [i for i, x in enumerate(xs) if x.dtype.inexact]

    def chosen(*some: Any) -> Any:
        given = list(xs)
        for i, x in zip(which, some, strict=True):
            given[i] = x
        out = f(*given)
        return tuple(y for y in out if y.dtype.inexact) if isinstance(out, tuple) else out

    some = [xs[i] for i in which]
    graph = pg.trace(chosen, *some)
    out, pullback = pg.vjp(chosen, *some)
    outs = out if isinstance(out, tuple) else (out,)
    gs = tuple(signed(y, i) for i, y in enumerate(outs))
    found, grads = graph.vjp()(*some, *gs)
    for a, b in zip(found if isinstance(found, tuple) else (found,), outs, strict=True):
        close(a, b)
    for a, b in zip(grads, pullback(gs if isinstance(out, tuple) else gs[0]), strict=True):
        close(a, b)
    ts = tuple(signed(x, i) for i, x in enumerate(some))
    out, moved = pg.jvp(chosen, tuple(some), ts)
    _, tangents = graph.jvp()(*some, *ts)
    for a, b in zip(tangents, moved if isinstance(moved, tuple) else (moved,), strict=True):
        close(a, b)


@pytest.mark.devices("numpy", "cupy")
@pytest.mark.over(every(6, CASES))
def test_every_op(row: Row, sample: Any, device: Any) -> None:
    along_both_ways(row, sample, device)


@pytest.mark.devices("strict", "torch", "jax", "dask")
@pytest.mark.part(2, "jax:cpu", "strict")
@pytest.mark.over(every(60, CASES))
def test_some_ops_elsewhere(row: Row, sample: Any, device: Any) -> None:
    along_both_ways(row, sample, device)


@pytest.mark.devices("numpy", "cupy")
@pytest.mark.over([c for c in every(25, CASES) if c.values[0].second])
def test_nested(row: Row, sample: Any, device: Any) -> None:
    """The vjp of a vjp, and the jvp of one, against the same of eager code."""
    f, xs = function(row, device), arrays(sample, device)
    which = [i for i, x in enumerate(xs) if x.dtype.inexact]
    if isinstance(f(*xs), tuple):
        return  # one output is enough here
    g = signed(f(*xs), 0)

    def chosen(*some: Any) -> Any:
        given = list(xs)
        for i, x in zip(which, some, strict=True):
            given[i] = x
        return f(*given)

    some = [xs[i] for i in which]

    def first(*some_and_g: Any) -> Any:
        *some, g = some_and_g
        return pg.vjp(chosen, *some)[1](g)

    graph = pg.trace(chosen, *some).vjp()
    if row.name in ANY_BASIS and graph.inputs[0].shape[-1] != graph.inputs[0].shape[-2]:
        with pytest.raises(NoRuleError, match="any basis of what is left"):
            graph.vjp()
        return
    seeds = tuple(signed(x, i + 1) for i, x in enumerate(some))
    expected = pg.vjp(first, *some, g)[1](seeds)
    zero = pg.zeros_like(g)
    (_, inner), grads = graph.vjp()(*some, g, zero, *seeds)
    for a, b in zip(inner, first(*some, g), strict=True):
        close(a, b)
    for a, b in zip(grads, expected, strict=True):
        close(a, b)
    moved = pg.jvp(first, (*some, g), (*seeds, zero))[1]
    _, tangents = graph.jvp()(*some, g, *seeds, zero)
    for a, b in zip(tangents[1:], moved, strict=True):
        close(a, b)


def test_twice_on_every_library(device: Any) -> None:
    x, w = pg.asarray([0.3, -0.7], device=device), pg.asarray([[1.0, 2.0], [3.0, -1.0]], device=device)

    def f(x: Any, w: Any) -> Any:
        return pg.sum(pg.tanh(w @ x) * x)

    graph = pg.trace(f, x, w)
    one = pg.ones((), device=device)
    _, (gx, gw) = graph.vjp()(x, w, one)
    close(gx, pg.grad(f)(x, w))
    close(gw, pg.grad(f, argnums=1)(x, w))
    zeros = pg.zeros((), device=device), pg.asarray([1.0, 0.0], device=device)
    _, (row,) = graph.vjp(0).vjp(0)(x, w, one, *zeros)
    close(row, pg.hessian(f)(x, w)[0, :])
    _, tangents = graph.vjp(0).jvp(0)(x, w, one, zeros[1])
    close(tangents[1], pg.hessian(f)(x, w)[:, 0])


def test_tensors_that_were_reached_stay_so() -> None:
    net = nn.Sequential(nn.Linear(3, 4), nn.Tanh(), nn.Linear(4, 2)).to("float64")
    net[0].bias.requires_grad_(False)
    x = pg.asarray(np.linspace(-1, 1, 6).reshape(2, 3))
    graph = pg.trace(net, pg.Spec((2, 3)))
    g = signed(net(x), 0)
    parameters = [p for p in net.parameters() if p.requires_grad]
    for _ in range(2):
        out, grads = graph.vjp()(x, g)
        close(out, net(x))
        by_tensor = dict(zip([id(t) for t in graph.closed_over.values() if t.requires_grad], grads[1:], strict=True))
        assert len(by_tensor) == 3
        net.zero_grad()
        net(x).backward(g)
        for p in parameters:
            close(by_tensor[id(p)], p.grad)
        with pg.no_grad():
            net[0].weight *= 0.5  # the graph reads them anew
    (only,) = graph.vjp(closed_over=False)(x, g)[1]
    close(only, pg.vjp(net, x)[1](g)[0])
    assert len(graph.vjp(()).outputs) == 1 + 3
    ts = [signed(t, i) for i, t in enumerate(graph.closed_over.values()) if t.requires_grad]
    _, (moved,) = graph.jvp((), closed_over=True)(x, *ts)
    pairs = pg.sum(moved * g).item()
    total = sum(pg.sum(t * by).item() for t, by in zip(ts, graph.vjp(())(x, g)[1], strict=True))
    np.testing.assert_allclose(pairs, total, rtol=1e-12)


def test_what_depends_on_nothing_is_zero_and_trees_come_back() -> None:
    graph = pg.trace(lambda x, y, n: {"a": x * 2, "n": n + 1, "same": y}, pg.Spec(2), pg.Spec(3), pg.Spec(2, "int64"))
    x, y, n = pg.ones(2), pg.ones(3), pg.asarray([1, 2])
    out, grads = graph.vjp()(x, y, n, pg.asarray([1.0, 2.0]), pg.asarray([3.0, 4.0, 5.0]))
    assert list(out) == ["a", "n", "same"]
    assert [g.tolist() for g in grads] == [[2, 4], [3, 4, 5]]
    out, tangents = graph.jvp(1)(x, y, n, pg.asarray([3.0, 4.0, 5.0]))
    assert out["n"].tolist() == [2, 3]
    assert [t.tolist() for t in tangents] == [[0, 0], [3, 4, 5]]
    backward, forward = graph.vjp(), graph.jvp()
    assert [backward.names[v] for v in backward.inputs] == ["x", "y", "n", "cotangent 0", "cotangent 2"]
    assert [forward.names[v] for v in forward.inputs][3:] == ["tangent x", "tangent y"]


def test_checks_are_still_made() -> None:
    graph = pg.trace(nn.functional.cross_entropy, pg.Spec((2, 3)), pg.Spec(2, "int64")).vjp()
    x, one = pg.zeros((2, 3)), pg.asarray(1.0)
    _, (g,) = graph(x, pg.asarray([0, 2]), one)
    close(g, pg.grad(lambda x: nn.functional.cross_entropy(x, pg.asarray([0, 2])))(x))
    with pytest.raises(IndexError, match="the targets range from 0 to 3"):
        graph(x, pg.asarray([0, 3]), one)


def test_wrong_use_is_told() -> None:
    graph = pg.trace(lambda x, n: x * n, pg.Spec(2), pg.Spec(2, "int64"))
    with pytest.raises(DTypeError, match=r"vjp: input 1 is int64\[2\]"):
        graph.vjp(1)
    with pytest.raises(ValueError, match="argnums has 2, but the graph takes 2"):
        graph.jvp(2)
    with pytest.raises(ValueError, match="twice"):
        graph.vjp((0, -2))
    x = pg.Spec((2, 2))
    with pytest.raises(NoRuleError, match=r"expm: as part of a static graph.*pg\.trace\(pg\.grad"):
        pg.trace(lambda x: pg.linalg.expm(x), x).passes()[1][1].vjp()
    with pytest.raises(TraceError, match="being traced"):
        pg.compile(lambda x: [graph.vjp(), x][1])(pg.ones(2))


@pytest.mark.devices("numpy", "strict", "torch", "jax")
@pytest.mark.parametrize(
    "f",
    [pg.std, pg.linalg.expm, pg.relu, pg.logsumexp, lambda x: pg.softmax(x)[0, 1], lambda x: pg.clip(x, 0.0, 1.0)],
    ids="std expm relu logsumexp softmax clip".split(),
)
def test_ops_keep_their_own_rules(f: Any, device: Any) -> None:
    """At points where the parts of an op would give something else: noted whole, it is taken apart by a pass."""
    x = pg.asarray(np.asarray([[1.0, 1.0], [0.0, 0.0]] if f is not pg.std else np.ones((2, 2))), device=device)
    total = lambda x: pg.sum(f(x))  # noqa: E731
    graph = pg.trace(f, x)
    expected = pg.grad(total)(x)
    derived = graph.vjp()
    for one in (derived, derived.passes()[-1][1]):
        close(one(x, pg.ones_like(f(x)))[1][0], expected)
    tangent = pg.asarray(np.asarray([[0.5, -1.0], [2.0, 3.0]]), device=device)
    close(graph.jvp()(x, tangent)[1][0], pg.jvp(f, (x,), (tangent,))[1])
    compiled = pg.compile(f)
    close(compiled(x), f(x))
    close(pg.grad(lambda x: pg.sum(compiled(x)))(x), expected)
    close(pg.jvp(compiled, (x,), (tangent,))[1], pg.jvp(f, (x,), (tangent,))[1])


def test_derivatives_of_derivatives_and_tangents_of_views() -> None:
    x, t = pg.asarray([[1.0, 2.0], [3.0, 4.0]]), pg.asarray([[0.5, -1.0], [2.0, 3.0]])

    def f(x: Any) -> Any:
        y = pg.sin(x)
        return y[0], pg.reshape(y, (-1,))[1:], y

    compiled = pg.compile(f)
    for a, b in zip(pg.jvp(compiled, (x,), (t,)), pg.jvp(f, (x,), (t,)), strict=True):
        for p, q in zip(a, b, strict=True):
            close(p, q)
    squares = lambda f: lambda x: sum((pg.sum(y * y) for y in f(x)), pg.asarray(0.0))  # noqa: E731
    close(pg.hessian(squares(compiled))(x), pg.hessian(squares(f))(x))


@pytest.mark.parametrize("kind", ["LSTM", "GRU", "attention"])
def test_kernels_of_networks_stay_whole(kind: str) -> None:
    pg.random.manual_seed(0)
    layer: Any = nn.MultiheadAttention(4, 2, batch_first=True) if kind == "attention" else getattr(nn, kind)(4, 3)

    def loss(x: Any) -> Any:
        out = layer(x, x, x)[0] if kind == "attention" else layer(x)[0]
        return nn.functional.cross_entropy(pg.reshape(out, (10, -1)), pg.asarray([0, 1, 2, 0, 1, 2, 0, 1, 2, 0]))

    x = pg.asarray(np.random.default_rng(0).standard_normal((5, 2, 4)))
    graph = pg.trace(loss, x).vjp(closed_over=False)
    close(graph(x, pg.asarray(1.0))[1][0], pg.grad(loss)(x))
    assert graph.stats()["ops"]["class_loss_vjp"] == 1
    expected = {"LSTM": "lstm_backward", "GRU": "gru_backward", "attention": "softmax_rows_linear"}[kind]
    assert graph.stats()["ops"][expected] == 1
    assert len(graph.instructions) < 80
