"""``pg.compile``: the same numbers as eager code in every circumstance, or an error; never a stale graph."""

from __future__ import annotations

import threading
import warnings
from typing import Any

import numpy as np
import pytest

import polygrad as pg
from polygrad import nn
from polygrad.errors import FreedGraphError, GradientError, TraceError

X = np.linspace(-1.0, 2.0, 12).reshape(3, 4)


def tensor(device: Any = None, **options: Any) -> Any:
    return pg.asarray(X, copy=True, device=device, **options)


def equal(a: Any, b: Any) -> None:
    np.testing.assert_array_equal(*(np.asarray(t.detach().to_device("cpu").numpy()) for t in (a, b)))


# -- what makes a new graph ------------------------------------------------------------------------------


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

    for f in (append, count, add):
        with pytest.raises(TraceError, match="in Python"):
            pg.compile(f)(tensor())
    assert seen == []
    assert state == {"n": 0}


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
    with pytest.raises(TraceError, match="in Python"):
        f(tensor())
    assert not hasattr(box, "x")
    assert kept == {}


def test_devices_do_not_mix() -> None:
    other = pg.asarray(X, device="strict")
    f = pg.compile(lambda x: (x * 2, other * 2))
    with pytest.raises(TraceError, match="lives on strict"):
        f(tensor())


# -- writing -------------------------------------------------------------------------------------------------


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
    steps = iter([optimizer.step] * 3)  # what an iterator will give cannot be seen

    @pg.compile
    def step() -> None:
        pg.sum(w * w).backward()
        next(steps)()

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
