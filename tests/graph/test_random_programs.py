"""Random programs: compiled, differentiated, passed through every pass and through files, they give what eager code gives.

``POLYGRAD_EXAMPLES=10000 python -m pytest tests/graph/test_random_programs.py`` tries that many of each kind;
``--hypothesis-seed`` chooses which.
"""

from __future__ import annotations

import math
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from polygrad_backends.native.engine import reason as native_reason
from small import all_is_large

import polygrad as pg
from polygrad.graph import Program

EXAMPLES: Final = int(os.environ.get("POLYGRAD_EXAMPLES", "100" if os.environ.get("POLYGRAD_ALL_CASES") else "50"))
often = settings(
    max_examples=EXAMPLES, deadline=None, database=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture],
)  # fmt: skip
LARGEST: Final = 1 << 18
EXECUTORS: Final = ["planned"] + (["native"] if native_reason() is None else [])

Op = Callable[..., Any]


def bounded(x: Any) -> Any:
    return pg.tanh(x)


def scalar(x: Any) -> Any:
    return pg.mean(pg.astype(x, "float64") if x.dtype.kind != "f" else x)


def beside(a: Any, b: Any) -> Any:
    """``b`` if it broadcasts with ``a`` to something of bearable size and is of its dtype, else a number made of it."""
    try:
        fits = math.prod(np.broadcast_shapes(a.shape, b.shape)) <= LARGEST
    except ValueError:
        fits = False
    if not fits:
        b = scalar(b)
    return b if b.dtype is a.dtype else pg.astype(b, a.dtype)


def axis(a: Any, k: int) -> int:
    return k % a.ndim


def put(a: Any, b: Any, k: int) -> Any:
    """Written in place, through a view of a copy."""
    made = a + 0
    part = made[k % a.shape[0]] if a.ndim else made
    part *= 0.5
    made += beside(a, scalar(b))
    return made


def key(a: Any, k: int) -> Any:
    ways: list[Any] = [
        0,
        -1,
        slice(None, None, -1),
        slice(1, None),
        (Ellipsis, 0),
        (Ellipsis, None),
        (slice(None, 2), Ellipsis),
    ]
    return ways[k % len(ways)]


def permuted(a: Any, k: int) -> Any:
    axes = list(range(a.ndim))
    axes[k % a.ndim], axes[0] = axes[0], axes[k % a.ndim]
    return pg.permute_dims(a, tuple(axes))


UNARY: Final[dict[str, Op]] = {
    "sin": pg.sin, "tanh": pg.tanh, "exp": lambda x: pg.exp(bounded(x)), "neg": lambda x: -x, "abs": abs, "relu": pg.relu,
    "square": lambda x: bounded(x) ** 2, "sqrt": lambda x: pg.sqrt(abs(x) + 1), "log": lambda x: pg.log(abs(x) + 0.5),
    "one": lambda x: x * 1, "minus one": lambda x: x * -1, "minus zero": lambda x: x - 0.0, "zero": lambda x: x + 0.0,
    "half": lambda x: 0.5 * x, "less": lambda x: pg.where(x < 0.1, x, 2 * x), "same": lambda x: pg.astype(x, x.dtype),
    "narrow": lambda x: pg.astype(x, "float32"), "wide": lambda x: pg.astype(x, "float64"),
    "again": lambda x: pg.negative(-x) / 1, "sigmoid": lambda x: 1 / (1 + pg.exp(-bounded(x))),
    "clip": lambda x: pg.clip(x, -0.7, 0.9), "softmax": lambda x: pg.softmax(x, axis=-1),
}  # fmt: skip
WITH_NUMBER: Final[dict[str, Op]] = {
    "sum": lambda a, k: pg.sum(a, axis=axis(a, k)) / 4, "mean": lambda a, k: pg.mean(a, axis=axis(a, k), keepdims=True),
    "max": lambda a, k: pg.max(a, axis=axis(a, k)), "all": lambda a, k: pg.mean(a), "transpose": permuted,
    "flat": lambda a, k: pg.reshape(a, (-1,)), "item": lambda a, k: a[key(a, k)] if a.shape[0] > 2 else a,
    "expand": lambda a, k: pg.expand_dims(a, axis=axis(a, k)) if a.ndim < 3 else a,
    "flip": lambda a, k: pg.flip(a, axis=axis(a, k)),
    "twice": lambda a, k: pg.concat([a, a * 0.5], axis=axis(a, k)), "wider": lambda a, k: pg.broadcast_to(a, (2, *a.shape)),
    "product": lambda a, k: bounded(a @ pg.matrix_transpose(a) / a.shape[-1]) if a.ndim > 1 else a,
    "running": lambda a, k: bounded(pg.cumulative_sum(a, axis=axis(a, k))), "roll": lambda a, k: pg.roll(a, 1, axis=axis(a, k)),
}  # fmt: skip
BINARY: Final[dict[str, Op]] = {
    "add": lambda a, b, k: a + beside(a, b), "subtract": lambda a, b, k: a - beside(a, b),
    "multiply": lambda a, b, k: bounded(a) * beside(a, b), "divide": lambda a, b, k: a / (1 + beside(a, b) ** 2),
    "maximum": lambda a, b, k: pg.maximum(a, beside(a, b)), "where": lambda a, b, k: pg.where(a > 0, beside(a, b), a), "put": put,
    "matmul": lambda a, b, k: bounded(a @ b / 4) if a.ndim > 1 and b.shape == (a.shape[-1],) * 2 and a.dtype is b.dtype else a,
}  # fmt: skip


def programs() -> Any:
    names = [*UNARY, *WITH_NUMBER, *BINARY]
    step = st.tuples(st.sampled_from(names), st.integers(0, 9), st.integers(0, 9), st.integers(0, 6))
    return st.lists(step, min_size=1, max_size=12)


def interpret(program: Any, *inputs: Any) -> tuple[Any, Any]:
    """What a program makes of its inputs: the last value, and a number of all."""
    values = list(inputs)
    for op, i, j, k in program:
        a, b = values[-1 - i % len(values)], values[-1 - j % len(values)]
        if op in UNARY:
            made = UNARY[op](a) if a.ndim or op != "softmax" else a
        elif a.ndim == 0:
            made = a * 2
        else:
            made = WITH_NUMBER[op](a, k) if op in WITH_NUMBER else BINARY[op](a, b, k)
        values.append(made if made.size <= LARGEST and made.size else scalar(a))
    return values[-1], sum((scalar(v) for v in values[-4:]), scalar(values[0]))


def arrays(n: int, seed: int = 0) -> list[Any]:
    rng = np.random.default_rng(seed)
    return [pg.asarray(rng.standard_normal((n, n)), requires_grad=True), pg.asarray(rng.standard_normal((n, n)))]


def loss_of(program: Any) -> Any:
    def loss(x: Any, y: Any) -> Any:
        out, number = interpret(program, x, y)
        return pg.mean(out * out) + pg.astype(number, out.dtype)

    return loss


def close(a: Any, b: Any, rtol: float) -> None:
    assert (a.dtype, a.shape) == (b.dtype, b.shape)
    x, y = a.detach().numpy(), b.detach().numpy()
    rtol = rtol if a.dtype is pg.float64 else 1e-4
    np.testing.assert_allclose(x, y, rtol=rtol, atol=rtol * np.max(np.abs(y), initial=1e-3))


def narrow(program: Any) -> bool:
    """Whether it computes in single precision somewhere, where sums in another order differ more."""
    return any(op == "narrow" for op, *_ in program)


@pytest.mark.parametrize("frugal", [False, True])
@pytest.mark.parametrize("executor", EXECUTORS)
@often
@given(program=programs(), n=st.sampled_from([3, 3, 4, 260]))
def test_compiled_and_eager_agree(
    executor: str, frugal: bool, program: Any, n: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    if frugal:
        all_is_large(monkeypatch)
    xs = arrays(n)
    loss = loss_of(program)
    compiled = pg.compile(lambda x, y: (pg.grad(loss)(x, y), *interpret(program, x, y)), executor=executor)
    expected = (pg.grad(loss)(*xs), *interpret(program, *xs))
    for _ in range(2):
        for a, b in zip(compiled(*xs), expected, strict=True):
            close(a, b, 1e-4 if narrow(program) else 1e-12)


@often
@given(programs())
def test_backward_through_a_compiled_function_agrees(program: Any) -> None:
    loss = loss_of(program)
    found = []
    for f in (loss, compiled := pg.compile(loss), compiled):
        x, y = arrays(4)
        f(x, y).backward()
        found.append(x.grad)
    for g in found[1:]:
        close(g, found[0], 1e-4 if narrow(program) else 1e-12)


@often
@given(program=programs())
def test_passes_keep_every_bit(program: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    all_is_large(monkeypatch)
    xs = arrays(4)
    graph = pg.trace(lambda x, y: (pg.grad(loss_of(program))(x, y), *interpret(program, x, y)), *xs)
    device = pg.Device("cpu")
    raw = [x._value for x in xs]
    expected = Program(graph, device).run(*raw)
    for name, after in graph.passes()[1:]:
        for a, b in zip(Program(after, device).run(*raw), expected, strict=True):
            assert a.tobytes() == b.tobytes(), name


@often
@given(programs())
def test_derived_graphs_and_files_agree(tmp_path: Path, program: Any) -> None:
    xs = arrays(3)
    loss = loss_of(program)
    graph = pg.trace(loss, *xs)
    one = pg.ones((), dtype=graph.outputs[0].dtype)  # type: ignore[union-attr]
    _, grads = graph.vjp()(*xs, one)
    for i, g in enumerate(grads):
        close(g, pg.grad(loss, argnums=i)(*xs), 1e-4 if narrow(program) else 1e-12)
    pytest.importorskip("safetensors")
    graph.save(tmp_path / "graph")
    read = pg.graph.load(tmp_path / "graph")
    assert str(read) == str(graph)
    assert read(*xs).detach().numpy().tobytes() == graph(*xs).detach().numpy().tobytes()
