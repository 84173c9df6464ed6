"""The executor ``"native"``: static graphs as machine code give what eager code gives, to rounding, in all circumstances."""

from __future__ import annotations

import sys
import threading
from functools import partial
from typing import Any

import numpy as np
import pytest
from polygrad_backends.native import engine
from polygrad_backends.native.plan import NativePlan
from small import close as _close

import polygrad as pg
from polygrad import nn

pytestmark = [
    pytest.mark.devices("numpy"),
    pytest.mark.skipif(engine.reason() is not None, reason=str(engine.reason())),
]


def native(f: Any) -> Any:
    return pg.compile(f, executor="native")


close = partial(_close, least=1e-3)


def wavy(x: Any, y: Any) -> Any:
    return pg.sum(pg.tanh(x * y + pg.sin(x)) * pg.exp(-x * x))


# -- how arrays lie --------------------------------------------------------------------------------------------


def test_inputs_in_any_order() -> None:
    def f(x: Any, y: Any) -> Any:
        return pg.sum(x * y, axis=0), x @ y.T, pg.exp(x) - y

    g = native(f)
    base = np.random.default_rng(0).standard_normal((12, 10))
    x, y = base[::2, :5], base[1::2, 5:]
    ways = [(x, y), (np.asfortranarray(x), y), (base.T[:6, :5], base.T[2:8, 5:10]), (x[::-1], y[:, ::-1])]
    bytes_ = np.zeros(6 * 5 * 8 + 1, np.uint8)
    crooked = bytes_[1:].view(np.float64).reshape(6, 5)
    crooked[...] = x
    for a, b in [*ways, (crooked, np.broadcast_to(y[0], (6, 5)))]:
        tensors = pg.asarray(a), pg.asarray(b)
        close(g(*tensors), f(*tensors))


def test_views_within_a_graph() -> None:
    def f(x: Any) -> Any:
        y = pg.exp(x)
        parts = y[1:, ::2], y[:-1, ::-1][:, ::2], y[2], y[..., 1], pg.permute_dims(y, (1, 0)), pg.reshape(y, (2, -1))
        made = [p * 2 + 1 for p in parts]
        made.append(
            pg.expand_dims(y[0], axis=0) * y[:, :1] + pg.broadcast_to(pg.sum(y, axis=1, keepdims=True), y.shape)
        )
        made.append(pg.squeeze(y[:1, :], axis=0) - pg.moveaxis(y, 0, 1)[:, 0] if y.shape[0] == y.shape[1] else y[1, :])
        return (*made, parts[0], pg.flip(y, axis=1) * y)

    g = native(f)
    for shape in ((4, 6), (6, 6)):
        x = pg.asarray(np.random.default_rng(0).standard_normal(shape))
        for _ in range(2):
            close(g(x), f(x))


def test_constants_in_any_order() -> None:
    rng = np.random.default_rng(0)
    kept = [
        rng.standard_normal((5, 5)).T,
        np.broadcast_to(rng.standard_normal(5), (5, 5)),
        rng.standard_normal((10, 10))[::2, 5:],
    ]
    f = native(lambda x: [x * k + 1 for k in kept])
    x = pg.asarray(rng.standard_normal((5, 5)))
    close(f(x), [x * k + 1 for k in kept])


def test_slices_that_are_written_to() -> None:
    def f(x: Any) -> Any:
        return pg.sum(x[1:] * x[:-1] ** 2) + pg.sum(x[::2] * 3) + x[-1] * x[0]

    for n in (2, 9, 100):
        x = pg.asarray(np.random.default_rng(0).standard_normal(n))
        close(native(pg.grad(f))(x), pg.grad(f)(x))
    x = pg.asarray(np.random.default_rng(0).standard_normal((6, 7)))
    slope = pg.grad(lambda x: f(x[:, 2]) + pg.sum(x[2:4, 1:] ** 3))
    close(native(slope)(x), slope(x))


def test_results_are_memory_of_their_own() -> None:
    f = native(lambda x: (x + 1, pg.reshape(x + 1, (-1,)), x, pg.sum(x), x * 0))
    x = pg.ones((300, 300))
    first = [np.array(a.numpy()) for a in f(x)]
    held = f(x)
    f(x * 5)
    for a, b in zip(held, first, strict=True):
        np.testing.assert_array_equal(a.numpy(), b)
    assert not any(np.shares_memory(a.numpy(), b.numpy()) for i, a in enumerate(held) for b in held[:i])


# -- work ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("n", [1, 7, 1000, 100_003, 1_000_000])
def test_large_and_small(n: int, dtype: str) -> None:
    rng = np.random.default_rng(0)
    x, y = (pg.asarray(rng.uniform(-1, 1, n).astype(dtype)) for _ in range(2))
    f = pg.value_and_grad(wavy, argnums=(0, 1))
    close(native(f)(x, y), f(x, y), 1e-12 if dtype == "float64" else 1e-5)


def test_the_number_of_threads_changes_no_bit(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(0)
    x, y = (pg.asarray(rng.uniform(-1, 1, (700, 513))) for _ in range(2))
    found = []
    for n in ("1", "2", "3", "7"):
        monkeypatch.setenv("POLYGRAD_NUM_THREADS", n)
        f = native(
            lambda x, y: (wavy(x, y), pg.tanh(x + y), pg.sum(pg.exp(x) * y, axis=1), pg.mean(pg.sin(x) * pg.cos(y)))
        )
        made = f(x, y)
        found.append([made[0].numpy(), *[a.numpy() for a in made[1:]]])
    for other in found[1:]:
        for a, b in zip(found[0], other, strict=True):
            assert a.tobytes() == b.tobytes()


def test_many_threads_at_once() -> None:
    f = native(lambda x: (pg.sum(pg.sin(x) * x), pg.tanh(x) @ x))
    rng = np.random.default_rng(0)
    xs = [pg.asarray(rng.standard_normal((n, n))) for n in (20, 20, 20, 400, 400, 20)]
    expected = [f(x) for x in xs]
    wrong: list[int] = []

    def work(i: int) -> None:
        for _ in range(20):
            made = f(xs[i])
            if any(a.numpy().tobytes() != b.numpy().tobytes() for a, b in zip(made, expected[i], strict=True)):
                wrong.append(i)

    threads = [threading.Thread(target=work, args=(i,)) for i in range(len(xs))]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    assert wrong == []


def test_numbers_that_change() -> None:
    w, v = (nn.Parameter(pg.ones((3, 4))) for _ in range(2))

    def train(p: Any, executor: str) -> list[float]:
        optimizer = pg.optim.Adam([p], lr=0.1)
        schedule = pg.optim.lr_scheduler.ExponentialLR(optimizer, 0.7)

        @pg.compile(executor=executor)
        def step() -> Any:
            optimizer.zero_grad()
            loss = pg.sum((p - 3) ** 2)
            loss.backward()
            optimizer.step()
            return loss

        losses = []
        for _ in range(6):
            losses.append(step().item())
            schedule.step()
        assert step.cache_info().misses <= 2
        return losses

    np.testing.assert_allclose(train(w, "native"), train(v, "planned"), rtol=1e-13)
    close(w, v)


def test_what_machine_code_cannot_do_is_left_to_numpy() -> None:
    def f(x: Any) -> Any:
        whole = pg.astype(x * 10, "int64")
        complex_ = pg.exp(x * 1j)
        return pg.sort(pg.exp(x), axis=-1), whole + 1, pg.real(complex_) * x, pg.cumulative_sum(x * 2, axis=0), x // 2

    x = pg.asarray(np.random.default_rng(0).standard_normal((5, 6)))
    g = native(f)
    close(g(x), f(x))
    explained = g.explain()
    assert "machine code, over [5, 6]" in explained
    assert "sort" in explained.split("NumPy:")[1]


def test_what_nobody_looks_at_may_stay() -> None:
    def f(x: Any) -> Any:
        pg.sum(pg.exp(x)), pg.max(x * 3, axis=1), x @ x.T
        return pg.tanh(x)

    x = pg.asarray(np.random.default_rng(0).standard_normal((5, 6)))
    close(pg.compile(f, executor="native", without=("dead_code", "common_subexpressions"))(x), f(x))


def test_random_draws_and_dropout_differ_and_agree() -> None:
    layer = nn.Dropout(0.5)
    f = native(lambda x: layer(pg.exp(x)) * 2)
    x = pg.ones((40, 40))
    pg.random.manual_seed(0)
    first, second = f(x).numpy(), f(x).numpy()
    pg.random.manual_seed(0)
    expected = [(layer(pg.exp(x)) * 2).numpy() for _ in range(2)]
    assert (first != second).any()
    np.testing.assert_allclose([first, second], expected, rtol=1e-14)


# -- functions that Python calls -------------------------------------------------------------------------------


def test_calls_keep_the_count_of_references() -> None:
    f = native(lambda x: pg.sum(pg.exp(x) * x))
    x = pg.ones(10)
    f(x)
    before = sys.getrefcount(None), sys.getrefcount(x._value)
    for _ in range(1000):
        f(x)
    assert abs(sys.getrefcount(None) - before[0]) < 50
    assert abs(sys.getrefcount(x._value) - before[1]) < 5


def test_the_text_is_readable_and_reasons_are_told(monkeypatch: pytest.MonkeyPatch) -> None:
    run = NativePlan(np, pg.trace(wavy, pg.Spec((8,)), pg.Spec((8,))), pg.Device("cpu"))
    assert "native" in run.source
    monkeypatch.setattr(engine, "reason", lambda: "llvmlite is not installed: pip install llvmlite")
    with pytest.raises(
        RuntimeError, match="executor 'native' is not to be had: llvmlite is not installed: pip install"
    ):
        native(lambda x: x * 2)(pg.ones(3))


def test_text_that_llvm_refuses() -> None:
    with pytest.raises(RuntimeError, match="parsing error"):
        engine.Machine("define nonsense")


def test_constants_that_are_scalars_of_numpy() -> None:
    """They have no array's memory to be read: the process ended in a segmentation fault."""
    number = np.float64(2.5)
    f = pg.compile(lambda x: x * 2 * number + pg.sum(x) * number, executor="native")
    x = pg.asarray(np.arange(5.0))
    np.testing.assert_allclose(f(x).numpy(), np.arange(5.0) * 5 + 25)
