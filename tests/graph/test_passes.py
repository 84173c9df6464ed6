"""Passes keep values; the plan's buffers keep apart what lives at one time; blocks do what whole arrays do."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from polygrad_backends import numpy_executor
from table import BY_VALUES, Row, every
from test_table import CASES, arrays, function

import polygrad as pg
from polygrad.graph import passes
from polygrad.graph.execute import Program

CPU = pg.Device("cpu")


def count(graph: Any, op: str) -> int:
    return sum(i.op == op for i in graph.instructions)


def test_dead_code() -> None:
    graph = pg.trace(lambda x: [pg.sin(x), pg.cos(x)][0], pg.Spec(3))
    assert count(graph, "cos") == 1
    graph = passes.dead_code(graph)
    assert (count(graph, "cos"), count(graph, "sin")) == (0, 1)


def test_common_subexpressions() -> None:
    graph = passes.common_subexpressions(pg.trace(lambda x: pg.sin(x) * pg.sin(x) + x * 1.0 + x * 1, pg.Spec(3)))
    assert count(graph, "sin") == 1
    graph = passes.common_subexpressions(pg.trace(lambda x: (x * 0.0, x * -0.0), pg.Spec(3)))
    assert count(graph, "multiply") == 2
    first, second = graph(pg.ones(3))
    assert np.signbit(second.numpy()).all()
    assert not np.signbit(first.numpy()).any()


def test_constants_are_made_once_and_never_given_away() -> None:
    f = pg.compile(lambda x: (x + pg.arange(3), pg.zeros(3)))
    x = pg.ones(3)
    zeros = f(x)[1]
    zeros += 5
    assert f(x)[1].tolist() == [0, 0, 0]
    graph = passes.fold_constants(pg.trace(lambda x: x + pg.arange(3) * 2, pg.Spec(3)), CPU)
    assert [i.op for i in graph.instructions] == ["add"]


def test_user_arrays_are_not_folded() -> None:
    table = np.zeros(3)
    f = pg.compile(lambda x: x + pg.asarray(table) * 2)
    assert f(pg.ones(3)).tolist() == [1, 1, 1]
    table[:] = 4
    assert f(pg.ones(3)).tolist() == [9, 9, 9]


def test_broadcasts_are_pushed() -> None:
    graph = pg.trace(pg.grad(lambda x: pg.sum(x * x)), pg.Spec(3))
    assert count(graph, "broadcast_to") == 1
    assert count(passes.optimized(graph, CPU), "broadcast_to") == 0


# -- identities, transposes ------------------------------------------------------------------------------------

X, N, B, Z = pg.Spec((3, 4)), pg.Spec((3, 4), "int64"), pg.Spec((3, 4), "bool"), pg.Spec((3, 4), "complex128")
KEPT: list[tuple[Any, Any, int]] = [  # a function, what it is of, how many instructions are left
    (lambda x: x * 1, X, 0), (lambda x: 1.0 * x, X, 0), (lambda x: x * pg.ones_like(x), X, 0), (lambda x: x / 1, X, 0),
    (lambda x: x - 0, X, 0), (lambda x: x - 0.0, X, 0), (lambda x: x - (-0.0), X, 1), (lambda x: x + 0, X, 1),
    (lambda x: x * 0, X, 1), (lambda x: x - x, X, 1), (lambda x: x / x, X, 1),
    (lambda x: pg.negative(-x), X, 0), (lambda x: pg.negative(pg.negative(-x)), X, 1), (lambda x: x * -1, X, 1),
    (lambda x: x + -x * 2, X, 2), (lambda x: -x * -x, X, 1), (lambda x: -x / -x, X, 1), (lambda x: abs(abs(x)), X, 1),
    (lambda x: abs(-x), X, 1), (lambda x: abs(abs(x)), N, 2), (lambda x: abs(-x), N, 2), (lambda x: abs(abs(x)), Z, 1),
    (lambda x: pg.astype(x, "float64"), X, 0), (lambda x: pg.astype(x, "float32"), X, 1),
    (lambda x: pg.astype(pg.astype(x, "float32"), "float64"), X, 2), (lambda x: +x, X, 0), (pg.real, X, 0), (pg.conj, X, 0),
    (lambda x: pg.conj(pg.conj(x)), Z, 0), (lambda x: x * 1, Z, 1), (lambda x: x / 1, Z, 1),
    (lambda x: pg.reshape(pg.reshape(x, (12,)), (4, 3)), X, 1), (lambda x: pg.reshape(x, (3, 4)), X, 0),
    (lambda x: pg.broadcast_to(x, (3, 4)), X, 0), (lambda x: pg.broadcast_to(pg.broadcast_to(x, (1, 3, 4)), (2, 3, 4)), X, 1),
    (lambda x: x.mT.mT, X, 0), (lambda x: pg.permute_dims(x, (0, 1)), X, 0),
    (lambda x: pg.permute_dims(pg.permute_dims(pg.reshape(x, (3, 2, 2)), (1, 2, 0)), (2, 0, 1)), X, 1),
    (lambda x: pg.permute_dims(pg.permute_dims(pg.reshape(x, (3, 2, 2)), (1, 2, 0)), (1, 2, 0)), X, 2),
    (lambda x: ~~x, N, 0), (lambda x: pg.logical_not(pg.logical_not(x)), B, 0), (lambda x: pg.maximum(x, x), X, 0),
    (lambda x: pg.where(x > 0, x, x), X, 2), (lambda x: pg.where(x > 0, x, 1.0), X, 3),
]  # fmt: skip


@pytest.mark.parametrize(("f", "spec", "left"), KEPT)
@pytest.mark.parametrize("place", ["cpu", "strict"])
def test_identities_and_what_is_none(f: Any, spec: Any, left: int, place: str) -> None:
    graph = pg.trace(f, pg.Spec(spec.shape, spec.dtype, device=place))
    after = passes.dead_code(passes.simplify(graph))
    assert len(after.instructions) == left, f"\n{graph}\n{after}"
    special = [0.0, -0.0, np.inf, -np.inf, np.nan, 5e-324, -1.5, 2.0, 1e308, -1e308, 1.0, -1.0]
    values = np.asarray(special).reshape(3, 4)
    if spec.dtype is pg.complex128:
        values = np.stack([values, values[::-1]], axis=-1).view(complex)[..., 0]
    elif spec.dtype is pg.int64:
        values = np.asarray([0, 1, -1, 2**63 - 1, -(2**63), 5] * 2).reshape(3, 4)
    elif spec.dtype is pg.bool:
        values = values > 0
    same_bits(graph, after, [pg.asarray(values, device=place)])


def same_bits(graph: Any, after: Any, xs: list[Any]) -> None:
    device = pg.Device(graph.device)
    own = iter(xs)
    given = [(graph.closed_over[v] if v in graph.closed_over else next(own))._value for v in graph.inputs]
    one, two = (Program(g, device).run(*given) for g in (graph, after))
    for a, b in zip(one, two, strict=True):
        if a is None:
            assert b is None
            continue
        p, q = np.asarray(device.backend.to_numpy(a)), np.asarray(device.backend.to_numpy(b))
        assert (p.dtype, p.shape) == (q.dtype, q.shape)
        np.testing.assert_array_equal(np.isnan(p), np.isnan(q))  # a nan's sign and payload mean nothing
        p, q = (np.where(np.isnan(x), 0, x) for x in (p, q))
        assert p.tobytes() == q.tobytes()


FIXED = [c for c in CASES if c.values[0].name not in BY_VALUES]


@pytest.mark.parametrize(("row", "sample"), every(20, FIXED))
def test_every_pass_keeps_what_ops_and_their_derivatives_give(row: Row, sample: Any) -> None:
    each_pass(row, sample, CPU)


@pytest.mark.one_in(3)
@pytest.mark.parametrize(("row", "sample"), every(90, FIXED))
def test_on_strict_too(row: Row, sample: Any) -> None:
    each_pass(row, sample, pg.Device("strict"))


def each_pass(row: Row, sample: Any, device: Any) -> None:
    xs = arrays(sample, device)
    graph = pg.trace(function(row, device), *xs)
    graphs = [(graph, xs)]
    if row.differentiable and not row.name.startswith("linalg.expm"):
        backward = graph.vjp()
        more = backward.own_inputs[len(xs) :]
        graphs.append((backward, [*xs, *[pg.ones(v.shape, dtype=v.dtype, device=device) for v in more]]))
    for before, takes in graphs:
        (_, first), *after = before.passes()
        assert first is before
        for _, one in after:  # one after the other, as they are run
            same_bits(before, one, takes)
        for name in pg.graph.PASSES:  # and each by itself
            alone = before.passes(without=[p for p in pg.graph.PASSES if p != name])
            assert [n for n, _ in alone] == ["traced", name]
            same_bits(before, alone[1][1], takes)


def test_transposes_are_pushed_behind_elementwise_work() -> None:
    def f(x: Any, y: Any) -> Any:
        p, q = x @ y, y @ x
        return pg.matrix_transpose(pg.sin(p.mT) * q.mT + 1) @ pg.exp(x.mT)

    graph = pg.trace(f, pg.Spec((3, 3)), pg.Spec((3, 3)))
    after = passes.push_transposes(graph)
    ops = ["matmul_2d", "matmul_2d", "sin", "multiply", "add", "exp", "matrix_transpose", "matmul_2d"]
    assert [i.op for i in after.instructions] == ops
    rng = np.random.default_rng(0)
    same_bits(graph, after, [pg.asarray(rng.standard_normal((3, 3))) for _ in range(2)])
    graph = pg.trace(lambda x: pg.sin(x.mT), pg.Spec((3, 4)))
    assert str(passes.push_transposes(graph)) == str(graph)  # a view would have to be copied
    graph = pg.trace(lambda x, y: (x.mT + y) * 2, pg.Spec((3, 3)), pg.Spec((3, 3)))
    assert str(passes.push_transposes(graph)) == str(graph)


def test_transposes_stay_where_sums_would_go_in_another_order() -> None:
    def f(x: Any, y: Any) -> Any:
        a = pg.sin(x.mT)
        return pg.sum(pg.cos(a.mT * y.mT), axis=0), pg.sum(a.mT * y.mT), pg.sum(pg.exp(x.mT * pg.sin(y).mT), axis=0)

    graph = pg.trace(f, pg.Spec((37, 37)), pg.Spec((37, 37)))
    rng = np.random.default_rng(0)
    for orders in ("CC", "CF", "FC", "FF"):
        xs = [pg.asarray(np.asarray(rng.standard_normal((37, 37)), order=o)) for o in orders]  # type: ignore[call-overload]
        same_bits(graph, passes.push_transposes(graph), xs)


def test_the_graph_after_each_pass_is_there_to_be_looked_at() -> None:
    w = pg.asarray([1.0, 2.0], requires_grad=True)
    step = pg.compile(lambda x: pg.sum(pg.sin(w * x) * 1 + pg.sin(w * x)), without=("dead_code",))
    step(pg.ones(2))
    assert [name for name, _ in step.passes()] == ["traced", *[p for p in pg.graph.PASSES if p != "dead_code"]]
    assert count(step.passes()[0][1], "sin") == 2
    assert count(step.passes()[-1][1], "sin") == 1
    assert "digraph" in str(pg.draw(step.passes(backward=True)[-1][1]))
    g = pg.compile(lambda x: x * 2)
    g(pg.ones(2))
    with pytest.raises(pg.errors.TraceError, match="has no backward"):
        g.passes(backward=True)
    with pytest.raises(ValueError, match="no pass fold; there are expand, simplify"):
        step.graph.passes(without=["fold"])


# -- plans ---------------------------------------------------------------------------------------------------


def test_plans_are_smaller_than_all_arrays_together() -> None:
    def f(x: Any) -> Any:
        for _ in range(20):
            x = pg.sin(x) + x * 2
        return pg.sum(x)

    graph = passes.optimized(pg.trace(f, pg.Spec((100, 100))), CPU)
    plan = numpy_executor.compile_graph(np, graph, CPU).plan  # type: ignore[attr-defined]
    assert plan.planned_bytes <= 3 * 100 * 100 * 8


@pytest.mark.parametrize("n", [1 << 16, (1 << 17) + 1, 300_001])
@pytest.mark.parametrize("workers", ["1", "2", "5"])
def test_blocks(n: int, workers: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("POLYGRAD_NUM_THREADS", workers)
    rng = np.random.default_rng(0)
    x, y = rng.uniform(-1, 1, n), rng.uniform(-1, 1, n).astype(np.float32)

    def f(x: Any, y: Any, k: Any) -> Any:
        t = pg.tanh(x * y + pg.sin(x)) * pg.exp(-x * x) * k
        return pg.sum(t), t > 0.1, pg.astype(t, "float32") + y, pg.mean(y * y) + pg.max(t)

    args = pg.asarray(x), pg.asarray(y), pg.asarray(0.5)
    graph = passes.optimized(pg.trace(f, *args), CPU)
    groups = [
        s
        for s in numpy_executor.grouped(graph, set(graph.inputs) | {v for i in graph.instructions for v in i.outputs})
        if isinstance(s, numpy_executor.Group)
    ]
    assert groups
    expected = Program(graph, CPU).run(*[a._value for a in args])
    run = numpy_executor.compile_graph(np, graph, CPU)
    first = run(*[a._value for a in args])
    for found in (first, run(*[a._value for a in args]), run(x[::-1][::-1], y, np.asarray(0.5))):
        for i, (a, b) in enumerate(zip(found, expected, strict=True)):
            np.testing.assert_allclose(a, b, rtol=1e-6 if i == 3 else 1e-13)  # it holds a mean in float32
    assert not np.shares_memory(first[1], run(*[a._value for a in args])[1])


def test_results_that_are_kept_are_not_written_over() -> None:
    f = pg.compile(lambda x: pg.sin(x) * 2 + x)
    x = pg.asarray(np.linspace(0, 1, 1 << 17))
    first = f(x)
    row = f(x + 1).numpy()[10:20]
    kept, part = first.numpy().copy(), row.copy()
    for i in range(3):
        f(x + i + 2)
    np.testing.assert_array_equal(first.numpy(), kept)
    np.testing.assert_array_equal(row, part)


def test_warnings_of_values_stay_quiet_in_threads() -> None:
    f = pg.compile(lambda x: pg.log(x) * 2)
    assert np.isneginf(f(pg.zeros(1 << 18)).numpy()).all()


def test_passes_can_be_left_out() -> None:
    with pytest.raises(ValueError, match="no pass nonsense"):
        pg.compile(lambda x: x, without=("nonsense",))
    for name in pg.graph.PASSES:

        @pg.compile(without=(name,))
        def f(x: Any) -> Any:
            return pg.sin(x) * pg.sin(x) + pg.arange(3)

        x = pg.ones(3)
        np.testing.assert_array_equal(f(x).numpy(), (pg.sin(x) * pg.sin(x) + pg.arange(3)).numpy())
        kept = {"fold_constants": 4, "common_subexpressions": 4}.get(name, 3)
        assert f"{kept} after the passes" in f.explain()


def test_an_element_of_a_planned_buffer_is_read_at_each_run() -> None:
    f = pg.compile(lambda x: pg.sin(pg.sum(x, axis=0)[0]) + pg.sum(x, axis=1)[(1, ...)])
    for i in range(3):
        x = pg.asarray(np.linspace(0.0, 1.0 + i, 12).reshape(3, 4))
        assert f(x).item() == (pg.sin(pg.sum(x, axis=0)[0]) + pg.sum(x, axis=1)[1]).item()
