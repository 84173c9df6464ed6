"""Recurrent layers as machine code give what NumPy's kernels and eager code give, to rounding."""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np
import pytest
from polygrad_backends.native import engine, recurrent
from polygrad_backends.native.plan import NativePlan, compile_native
from small import close as _close

import polygrad as pg
from polygrad import nn

pytestmark = [
    pytest.mark.devices("numpy"),
    pytest.mark.skipif(engine.reason() is not None, reason=str(engine.reason())),
]

CPU = pg.Device("cpu")
close = partial(_close, rtol=1e-12, least=1e-3, single=2e-5)
GATES = {"lstm": 4, "gru": 3, "rnn": 1, "relu": 1}


def layer(cell: str, *, reverse: bool = False) -> Any:
    """A function of gx, w, h0 and c0 or b, which gives all that the layer makes."""

    def run(gx: Any, w: Any, h: Any, more: Any = None) -> Any:
        if cell == "lstm":
            return pg.neural.lstm(gx, w, h, more, reverse=reverse)
        if cell == "gru":
            return (pg.neural.gru(gx, w, more, h, reverse=reverse),)
        return (pg.neural.rnn(gx, w, h, nonlinearity="relu" if cell == "relu" else "tanh", reverse=reverse),)

    return run


def arrays(cell: str, times: int, batch: int, n: int, dtype: str = "float64") -> list[Any]:
    rng, gates = np.random.default_rng(0), GATES[cell]
    shapes = [(times, batch, gates * n), (gates * n, n), (batch, n), (batch, n) if cell == "lstm" else (gates * n,)]
    made = [pg.asarray((rng.standard_normal(s) / 2).astype(dtype)) for s in shapes]
    return made if cell in ("lstm", "gru") else made[:3]


def weighed(parts: Any, which: str = "both") -> Any:
    """A sum in which every number of the states, the cells or both counts differently."""
    chosen = {"both": parts, "states": parts[:1], "cells": parts[1:]}[which]
    total: Any = 0.0
    for part in chosen:
        weights = np.random.default_rng(1).standard_normal(part.shape).astype(str(part.dtype))
        total = total + pg.sum(part * pg.asarray(weights))
    return total


def walks(graph_function: Any, *args: Any) -> tuple[NativePlan, list[str]]:
    """The plan of a compiled function, and the ops that are machine code in it and walk over time."""
    graph = pg.trace(graph_function, *args).passes()[-1][1]
    plan = compile_native(np, graph, CPU).plan  # type: ignore[attr-defined]
    return plan, [s.instructions[0].op for s in plan.steps if isinstance(s, recurrent.Walk)]


@pytest.mark.parametrize("reverse", [False, True])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("cell", [*GATES])
def test_values_and_gradients(cell: str, dtype: str, reverse: bool) -> None:
    run = layer(cell, reverse=reverse)
    for times, batch, n in ((1, 1, 1), (3, 5, 7), (4, 13, 24)):
        for which in ("both", "states", "cells") if cell == "lstm" and n == 7 else ("both",):
            args = arrays(cell, times, batch, n, dtype)
            f = pg.value_and_grad(lambda *a, which=which: weighed(run(*a), which), argnums=tuple(range(len(args))))
            g = pg.compile(f, executor="native")
            close(g(*args), f(*args))
            name = "rnn" if cell == "relu" else cell
            for way in ("forward", "backward"):
                assert f"machine code, over [{times}, {batch}, " in str(g.explain())
                assert f"]: {name}_{way}\n" in str(g.explain())


@pytest.mark.parametrize("cell", ["lstm", "gru", "rnn"])
def test_gradients_of_one_argument(cell: str) -> None:
    args = arrays(cell, 4, 5, 6)
    for i in range(len(args)):
        f = pg.grad(lambda *a: weighed(layer(cell)(*a)), argnums=i)
        close(pg.compile(f, executor="native")(*args), f(*args))


@pytest.mark.parametrize("cell", [*GATES])
def test_the_number_of_threads_changes_no_bit(cell: str, monkeypatch: pytest.MonkeyPatch) -> None:
    args = arrays(cell, 20, 70, 64, "float32")  # 70: with a rest in every way of taking rows
    f = pg.grad(lambda *a: weighed(layer(cell)(*a)), argnums=tuple(range(len(args))))
    results = []
    for threads in ("1", "2", "5"):
        monkeypatch.setenv("POLYGRAD_NUM_THREADS", threads)
        g = pg.compile(f, executor="native")
        assert str(walks(f, *args)[0].source).count("spread(") >= 2
        results.append([np.asarray(x) for x in (*g(*args), *g(*args))])
    for other in results[1:]:
        for x, y in zip(results[0], other, strict=True):
            np.testing.assert_array_equal(x, y)


def test_arrays_in_any_order() -> None:
    gx, w, h, c = arrays("lstm", 6, 5, 8)

    def f(gx: Any, w: Any, h: Any, c: Any) -> Any:
        """The batch first, weights transposed, one state for all examples, cells backwards."""
        run = pg.grad(lambda *a: weighed(layer("lstm")(*a)), argnums=(0, 1, 2, 3))
        return run(pg.permute_dims(gx, (1, 0, 2)), w.T, pg.broadcast_to(h, (5, 8)), pg.flip(c, axis=1))

    args = pg.permute_dims(gx, (1, 0, 2)).copy(), w.T.copy(), h[:1], c
    close(pg.compile(f, executor="native")(*args), f(*args))
    assert walks(f, *args)[1] == ["lstm_forward", "lstm_backward"]


@pytest.mark.parametrize("cell", ["lstm", "gru", "rnn"])
def test_cotangents_that_are_all_alike(cell: str) -> None:
    args = arrays(cell, 4, 5, 6)
    f = pg.grad(lambda *a: sum(pg.sum(part) for part in layer(cell)(*a)), argnums=tuple(range(len(args))))
    close(pg.compile(f, executor="native")(*args), f(*args))
    assert walks(f, *args)[1] == [f"{cell}_forward", f"{cell}_backward"]


def test_numbers_at_the_edges() -> None:
    for cell in GATES:
        args = arrays(cell, 5, 3, 8)
        gx = np.asarray(args[0]).copy()
        gx[0, 0, ::3], gx[1, 1, ::2], gx[2, 2, 1], gx[3, 2, 5] = 1e4, -1e4, np.inf, np.nan
        args[0] = pg.asarray(gx)
        with np.errstate(all="ignore"):
            close(pg.compile(layer(cell), executor="native")(*args), layer(cell)(*args))


def test_without_gradients_no_gates_are_kept() -> None:
    for cell in ("lstm", "gru"):
        args = arrays(cell, 9, 16, 32, "float32")
        plan, found = walks(lambda *a, cell=cell: layer(cell)(*a)[0][-1], *args)
        assert found == [f"{cell}_forward"]
        (step,) = [s for s in plan.steps if isinstance(s, recurrent.Walk)]
        gates = step.instructions[0].outputs[-1]
        assert gates not in plan.external(step)
        assert gates not in plan.place
        assert plan.planned_bytes < gates.nbytes + step.packed.nbytes + 2 * 9 * 16 * 32 * 4


def test_gates_and_their_cotangents_are_written_over_what_they_come_from() -> None:
    net = nn.LSTM(64, 64, 1, dtype="float32")
    graph = pg.trace(lambda x: pg.sum(net(x)[0]), pg.Spec((50, 32, 64), "float32")).vjp().passes()[-1][1]
    plan = compile_native(np, graph, CPU).plan  # type: ignore[attr-defined]
    forward, backward = (s.instructions[0] for s in plan.steps if isinstance(s, recurrent.Walk))
    gates, dz = forward.outputs[2], backward.outputs[0]
    assert gates in plan.over
    assert plan.over[dz] is gates


def test_large_weights_are_left_to_blas(monkeypatch: pytest.MonkeyPatch) -> None:
    args = arrays("gru", 3, 4, 8)
    f = pg.grad(lambda *a: weighed(layer("gru")(*a)), argnums=(0, 1, 2, 3))
    wanted = f(*args)
    for forward, backward, each, found in (
        (1 << 20, 100, 1 << 20, ["gru_forward"]),
        (100, 1 << 20, 1 << 20, ["gru_backward"]),
        (1 << 20, 1 << 20, 10, ["gru_forward"]),
    ):
        monkeypatch.setattr(recurrent, "_MOST_BYTES", {False: forward, True: backward})
        monkeypatch.setattr(recurrent, "_MOST_BYTES_FOR_EACH", each)
        assert walks(f, *args)[1] == found
        close(pg.compile(f, executor="native")(*args), wanted)


@pytest.mark.parametrize("cell", ["lstm", "gru", "rnn"])
def test_second_derivatives(cell: str) -> None:
    """The cotangents of the gates, which no walk as machine code takes, are among what they need."""
    args = arrays(cell, 3, 2, 4)

    def penalty(*args: Any) -> Any:
        return pg.sum(pg.square(pg.grad(lambda *a: weighed(layer(cell)(*a)))(*args)))

    f = pg.grad(penalty, argnums=tuple(range(len(args))))
    close(pg.compile(f, executor="native")(*args), f(*args))
