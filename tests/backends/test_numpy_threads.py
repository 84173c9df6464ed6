"""Threads of the NumPy backend: the team that shares large work, and the scope in which BLAS takes one thread."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from typing import Any

import numpy as np
import pytest
from polygrad_backends import numpy_executor
from polygrad_backends.numpy_threads import Team, one_blas_thread, threads

import polygrad as pg


def test_every_task_is_done_once_and_the_first_in_the_calling_thread() -> None:
    own = Team(np)
    done: list[tuple[int, str]] = []
    for _ in range(50):
        own([lambda i=i: done.append((i, threading.current_thread().name)) for i in range(3)])  # type: ignore[misc]
    assert sorted(i for i, _ in done) == sorted([0, 1, 2] * 50)
    assert {name for i, name in done if i == 0} == {threading.current_thread().name}
    assert {name for i, name in done if i == 1} == {"polygrad-1"}


@pytest.mark.parametrize("which", [0, 1])
def test_an_error_of_any_task_arrives_and_the_team_goes_on(which: int) -> None:
    own = Team(np)
    done: list[int] = []

    def task(i: int) -> None:
        if i == which:
            raise ZeroDivisionError(f"task {i}")
        done.append(i)

    with pytest.raises(ZeroDivisionError, match=f"task {which}"):
        own([lambda i=i: task(i) for i in range(2)])  # type: ignore[misc]
    own([lambda: done.append(7), lambda: done.append(8)])
    assert sorted(done) == [1 - which, 7, 8]


def test_a_team_that_is_busy_leaves_the_work_to_the_caller() -> None:
    own = Team(np)
    names: list[str] = []

    def outer() -> None:
        own([lambda: names.append(threading.current_thread().name) for _ in range(2)])

    own([outer, lambda: None])
    assert names == [threading.current_thread().name] * 2


def test_numpy_errors_are_ignored_in_every_thread() -> None:
    own = Team(np)
    with np.errstate(all="ignore"):
        own([lambda: np.divide(np.ones(3), 0), lambda: np.divide(np.ones(3), 0)])  # a warning would be an error here


def test_threads_are_taken_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", "3")
    monkeypatch.delenv("POLYGRAD_NUM_THREADS", raising=False)
    assert threads() == 3
    monkeypatch.setenv("POLYGRAD_NUM_THREADS", "5")
    assert threads() == 5
    monkeypatch.setenv("POLYGRAD_NUM_THREADS", "many")
    assert threads() == 3


def _blas_threads() -> list[int]:
    from threadpoolctl import threadpool_info

    return [d["num_threads"] for d in threadpool_info() if d["user_api"] == "blas" and "torch" not in d["filepath"]]


def test_blas_takes_one_thread_within_the_scope_and_what_it_had_after_it() -> None:
    before = _blas_threads()
    assert before
    with one_blas_thread:
        with one_blas_thread:
            assert set(_blas_threads()) == {1}
        assert set(_blas_threads()) == {1}
    assert _blas_threads() == before
    with pytest.raises(KeyError), one_blas_thread:
        raise KeyError
    assert _blas_threads() == before


def test_factorisations_and_compiled_ones_leave_blas_as_it_was() -> None:
    before = _blas_threads()
    a = np.eye(64) + 0.01

    def f(x: Any) -> Any:
        factor = pg.linalg.cholesky(x)
        return pg.sum(pg.linalg.solve_triangular(factor, x) ** 2)

    expected = f(pg.asarray(a))
    found = pg.compile(f)(pg.asarray(a))
    assert found.item() == expected.item()
    np.testing.assert_allclose(expected.item(), (np.linalg.solve(np.linalg.cholesky(a), a) ** 2).sum(), rtol=1e-12)
    assert set(_blas_threads()) == set(before)  # SciPy's may have been loaded meanwhile


@pytest.mark.parametrize("upper", [False, True])
@pytest.mark.parametrize("order", ["C", "F"])
@pytest.mark.parametrize("unit", [False, True])
@pytest.mark.parametrize("dtype", ["float32", "float64", "complex128"])
def test_triangular_systems_in_every_order(upper: bool, order: Any, unit: bool, dtype: str) -> None:
    rng = np.random.default_rng(0)
    a = (rng.standard_normal((40, 40)) + 8 * np.eye(40)).astype(dtype)
    if dtype == "complex128":
        a = a + 1j * rng.standard_normal((40, 40))
    b = rng.standard_normal((40, 3)).astype(dtype)
    full = np.triu(a) if upper else np.tril(a)
    if unit:
        a[...] /= 40
        full = np.triu(a, 1) + np.eye(40, dtype=dtype) if upper else np.tril(a, -1) + np.eye(40, dtype=dtype)
    made = pg.linalg.solve_triangular(
        pg.asarray(np.array(a, order=order)), pg.asarray(np.array(b, order=order)), upper=upper, unit_diagonal=unit
    )
    np.testing.assert_allclose(made.numpy(), np.linalg.solve(full, b), rtol=1e-4 if dtype == "float32" else 1e-10)


def test_large_compiled_work_is_the_same_for_any_number_of_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    x = np.random.default_rng(0).standard_normal(200_001)

    def f(x: Any) -> Any:
        y = pg.tanh(x) * x
        return pg.sum(y), pg.exp(-y)

    results = []
    for n in (1, 2, 3):
        monkeypatch.setattr(numpy_executor, "threads", lambda n=n: n)
        total, e = pg.compile(f)(pg.asarray(x))
        results.append((total.item(), e.numpy().copy()))
    for total, e in results[1:]:
        assert total == results[0][0]
        np.testing.assert_array_equal(e, results[0][1])


def test_gelu_is_the_same_for_any_number_of_threads() -> None:
    x = np.random.default_rng(0).standard_normal(150_000).astype("float32")
    code = (
        "import sys, numpy as np, polygrad as pg; x = np.frombuffer(sys.stdin.buffer.read(), 'float32'); "
        "sys.stdout.buffer.write(pg.neural.gelu(pg.asarray(x.copy())).numpy().tobytes())"
    )
    made = [
        subprocess.run(
            [sys.executable, "-c", code],
            input=x.tobytes(),
            capture_output=True,
            check=True,
            env={**os.environ, "POLYGRAD_NUM_THREADS": str(n), "PYTHONPATH": os.pathsep.join(sys.path)},
        ).stdout
        for n in (1, 2)
    ]
    assert made[0] == made[1]
    assert len(made[0]) == x.nbytes


_FORKED = """
import os, numpy as np, polygrad as pg
f = pg.compile(lambda x: pg.sum(pg.tanh(x) * x))
x = pg.asarray(np.linspace(-1, 1, 200_000))
expected = f(x).item()
child = os.fork()
if child == 0:
    os._exit(0 if f(x).item() == expected else 1)
print(os.waitpid(child, 0)[1])
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this platform does not fork")
def test_a_forked_child_has_a_team_of_its_own() -> None:
    env = {**os.environ, "POLYGRAD_NUM_THREADS": "2", "PYTHONPATH": os.pathsep.join(sys.path)}
    made = subprocess.run([sys.executable, "-c", _FORKED], capture_output=True, text=True, timeout=60, env=env)
    assert made.stdout == "0\n", made.stderr


def test_returned_arrays_are_not_written_again_while_anybody_has_them() -> None:
    f = pg.compile(lambda x: (x * 2.0, pg.exp(x) - 1.0))
    rng = np.random.default_rng(0)
    kept = []
    for _ in range(6):
        x = rng.standard_normal(100_000)
        double, e = f(pg.asarray(x))
        kept.append((x, double, np.asarray(e.numpy())[10:]))  # a tensor, and a view of another's memory
        del double, e
    for x, double, part in kept:
        np.testing.assert_array_equal(double.numpy(), x * 2)
        np.testing.assert_array_equal(part, (np.exp(x) - 1)[10:])
