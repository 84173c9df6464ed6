"""Mistakes that other libraries shipped in the machinery around the rules, by the numbers of ``docs/numerics.md``:
views and writes, freeing, processes, threads, modes. And those of the ancestor, windshadow233/autograd-with-numpy."""

from __future__ import annotations

import gc
import os
import re
import subprocess
import sys
import threading
import time
import weakref
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import polygrad as pg
from polygrad.errors import MutationError

ROOT = Path(__file__).resolve().parents[2]

eager = pytest.mark.devices("numpy", "strict", "torch", "jax", "cupy")


def host(x: Any) -> Any:
    return np.asarray(pg.asarray(x).detach().to_device("cpu").numpy())


def leaf(values: Any, device: Any = None) -> pg.Tensor:
    return pg.asarray(np.asarray(values, float), device=device, requires_grad=True)


def tracks() -> bool:
    return (leaf([1.0]) * 2.0).requires_grad


# -- views, writes -----------------------------------------------------------------------------------------


@eager
def test_mistake_26_views_and_writes_in_place(device: pg.Device) -> None:
    """pytorch#31258: a view, a write through it, and gradients that know nothing of it."""
    x = leaf([1.0, 2.0, 3.0], device)
    y = x * 1.0
    view = y[1:]
    view *= 10.0
    view[0] = x[0] * 7.0
    np.testing.assert_array_equal(host(y), [1.0, 7.0, 30.0])
    pg.sum(y * pg.asarray([1.0, 2.0, 3.0], device=device)).backward()
    assert x.grad is not None
    np.testing.assert_array_equal(host(x.grad), [1.0 + 14.0, 0.0, 30.0])
    with pytest.raises(MutationError):
        x[0] = 1.0


@eager
def test_mistake_26_a_value_read_before_the_write_keeps_its_derivative(device: pg.Device) -> None:
    x = leaf([2.0, 3.0], device)
    y = x * 1.0
    squares = y * y
    y[...] = 100.0
    pg.sum(squares).backward()
    assert x.grad is not None
    np.testing.assert_array_equal(host(x.grad), [4.0, 6.0])


@eager
def test_mistake_27_adding_in_place_what_broadcasts(device: pg.Device) -> None:
    """mlx#610: the gradient was lost if the array was read before the ``+=``."""
    x, b = leaf([[1.0, 2.0], [3.0, 4.0]], device), leaf([0.5, -0.5], device)
    y = x * 2.0
    read = pg.sum(y * y)
    y += b
    (read + pg.sum(y * y)).backward()
    assert x.grad is not None
    assert b.grad is not None
    before, after = 2 * host(x), 2 * host(x) + host(b)
    np.testing.assert_allclose(host(x.grad), 4 * before + 4 * after)
    np.testing.assert_allclose(host(b.grad), (2 * after).sum(0))


# -- freeing -----------------------------------------------------------------------------------------------


def test_mistake_31_a_deep_graph_is_freed_without_recursion() -> None:
    """pytorch#5534: in a thread with a small stack, at the default recursion limit."""
    result: list[Any] = []

    def work() -> None:
        for used in (False, True):
            x = leaf([0.5])
            y = x
            for _ in range(100_000):
                y = y * 1.0
            watch = weakref.ref(y.grad_fn)  # type: ignore[arg-type]
            if used:
                pg.sum(y).backward()
            del y
            result.append(watch() is None)

    before = threading.stack_size(512 * 1024)
    try:
        thread = threading.Thread(target=work)
        thread.start()
        thread.join()
    finally:
        threading.stack_size(before)
    assert result == [True, True]


def test_mistake_32_no_cycles_by_create_graph_and_hooks() -> None:
    """pytorch#4661: ``.grad`` has a graph only if it was asked for, and nothing waits for the garbage collector."""
    gc.collect()
    gc.disable()
    try:
        x = leaf([1.0, 2.0])
        y = pg.sum(x * x * x)
        y.register_hook(lambda g: g * 1.0)
        x.register_hook(lambda g: g * 1.0)
        y.backward(retain_graph=True)
        assert x.grad is not None
        assert not x.grad.requires_grad
        x.grad = None
        y.backward(create_graph=True)
        assert x.grad.requires_grad
        pg.sum(x.grad * x.grad).backward()
        watches = [weakref.ref(y.grad_fn), weakref.ref(x)]  # type: ignore[arg-type]
        x.grad = None
        del y
        assert watches[0]() is None
        del x
        assert watches[1]() is None
    finally:
        gc.enable()


# -- processes, threads, modes -------------------------------------------------------------------------------

FORK = """
import os, sys, threading
import numpy as np, polygrad as pg

def work():
    x = pg.asarray(np.arange(1.0, 200.0), requires_grad=True)
    m = pg.asarray(np.eye(199) * 2.0)
    pg.sum(pg.tanh(m @ x) + x * x).backward()
    return x.grad.numpy()

expected = work()
thread = threading.Thread(target=work)
thread.start()
thread.join()
child = os.fork()
if child == 0:
    found = work()
    os._exit(0 if (found == expected).all() and pg.grad(lambda x: x * x)(3.0) == 6.0 else 1)
_, status = os.waitpid(child, 0)
assert (work() == expected).all()
sys.exit(os.waitstatus_to_exitcode(status))
"""


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no fork")
def test_mistake_33_backward_in_a_forked_child() -> None:
    """pytorch#3966: on the CPU the child's backward works, after the parent ran one."""
    path = os.pathsep.join([str(ROOT), str(ROOT / "backends"), os.environ.get("PYTHONPATH", "")])
    done = subprocess.run(
        [sys.executable, "-c", FORK],
        capture_output=True, text=True, timeout=120, check=False, env=os.environ | {"PYTHONPATH": path},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr


def test_mistake_34_grad_mode_and_nested_gradients_in_threads() -> None:
    """pytorch#20528; autograd's global trace stack gives 84 wrong gradients of 3,200."""

    def work(seed: int) -> int:
        rng = np.random.default_rng(seed)
        wrong = 0
        for _ in range(50):
            a, b = rng.uniform(0.5, 1.5, 2)
            found = pg.grad(lambda x, b=b: x * pg.grad(lambda y: pg.exp(x * y) * x)(b))(a)
            wrong += not np.isclose(found, np.exp(a * b) * a * a * (3 + a * b), rtol=1e-12)
            with pg.no_grad():
                time.sleep(0)
                wrong += tracks()
            wrong += not tracks()
        return wrong

    with pg.no_grad(), ThreadPoolExecutor(8) as pool:  # the caller's mode is not theirs either
        assert sum(pool.map(work, range(8))) == 0
        assert not tracks()


def test_mistake_35_no_grad_around_yield_and_after_an_exception() -> None:
    """pytorch#49017."""

    @pg.no_grad()
    def steps() -> Iterator[bool]:
        yield tracks()
        yield tracks()
        raise KeyError

    generator = steps()
    assert next(generator) is False
    assert tracks()
    assert next(generator) is False
    with pytest.raises(KeyError):
        next(generator)
    assert tracks()
    abandoned = steps()
    next(abandoned)
    del abandoned
    assert tracks()
    with pytest.raises(ZeroDivisionError), pg.no_grad(), pg.enable_grad():
        raise ZeroDivisionError
    assert tracks()


def test_mistake_36_unused_outputs_and_none_cotangents(device: pg.Device) -> None:
    """chainer#6260."""
    x = leaf([[1.0, 2.0], [3.0, 4.0]], device)
    _, second = pg.unstack(x)
    pg.sum(second * second).backward()
    assert x.grad is not None
    np.testing.assert_array_equal(host(x.grad), [[0.0, 0.0], [6.0, 8.0]])
    plain = x.detach()
    _, pull = pg.vjp(lambda x: (x * 2.0, x * 3.0), plain)
    np.testing.assert_array_equal(host(pull((None, pg.ones_like(plain)))[0]), np.full((2, 2), 3.0))
    np.testing.assert_array_equal(host(pull((None, None))[0]), np.zeros((2, 2)))

    class Both(pg.Function):
        @staticmethod
        def forward(ctx: Any, x: Any, y: Any) -> Any:
            return x * 2.0, y * 3.0

        @staticmethod
        def backward(ctx: Any, g: Any, h: Any) -> Any:
            return (None if g is None else g * 2.0), None

    a, b = leaf([1.0], device), leaf([1.0], device)
    first, _ = Both.apply(a, b)
    pg.sum(first).backward()
    assert a.grad is not None
    assert host(a.grad).tolist() == [2.0]
    assert b.grad is None or host(b.grad).tolist() == [0.0]


# -- what a compiler gets wrong; polygrad's is to come, so this is what eager code promises it -----------------


@pytest.mark.parametrize("name", ["SGD", "Adam", "AdamW"])
def test_mistake_39_the_step_size_and_the_count_are_read_at_each_step(name: str) -> None:
    """A scheduled step size, or a count of steps, taken as a constant. (Static graphs are to come.)"""

    def steps(sizes: Any) -> list[Any]:
        w = leaf([1.0, -2.0])
        optimizer = getattr(pg.optim, name)([w], lr=sizes[0])
        seen = [host(w).copy()]
        for i, size in enumerate(sizes):
            optimizer.param_groups[0]["lr"] = size
            w.grad = pg.asarray([0.3, -5.0]) * (1.0 + i)
            optimizer.step()
            seen.append(host(w).copy())
        return list(np.diff(seen, axis=0))

    constant, scheduled = steps([0.1, 0.1, 0.1]), steps([0.1, 0.05, 0.0])
    np.testing.assert_array_equal(constant[0], scheduled[0])
    if name == "AdamW":
        assert (np.abs(scheduled[1]) < 0.6 * np.abs(constant[1])).all()
    else:
        np.testing.assert_allclose(scheduled[1], constant[1] / 2, rtol=1e-12)
    np.testing.assert_array_equal(scheduled[2], [0.0, 0.0])
    assert not np.array_equal(constant[1], constant[2])  # the gradients differ, and so does Adam's correction


def test_mistake_40_a_function_is_run_anew_at_each_call() -> None:
    """pytorch#136662, #197887: what it closes over, and Python's branches, may have changed. (Static graphs are to
    come.)"""
    scale, branch = [2.0], [True]

    def f(x: Any) -> Any:
        return pg.sum(x * x * scale[0]) if branch[0] else pg.sum(x * scale[0])

    g = pg.grad(f)
    x = np.array([1.0, 3.0])
    np.testing.assert_array_equal(g(x), [4.0, 12.0])
    scale[0] = 5.0
    np.testing.assert_array_equal(g(x), [10.0, 30.0])
    branch[0] = False
    np.testing.assert_array_equal(g(x), [5.0, 5.0])
    np.testing.assert_array_equal(g(np.float64(2.0)), 5.0)
    assert g(x.astype(np.float32)).dtype == np.float32


@eager
def test_mistake_40_writes_inside_a_differentiated_function(device: pg.Device) -> None:
    """They are part of the function, and the caller's array is as before."""

    def f(x: Any) -> Any:
        y = x * 1.0
        y[0] = y[1] * x[0]
        y += x
        x = x * 2.0
        x -= y
        return pg.sum(x * x)

    given = np.array([1.5, -2.0])
    x = pg.asarray(given, device=device, copy=True)
    a, b = given
    p, q = a - a * b, -b + b  # 2x - (y + x)
    for _ in range(2):
        np.testing.assert_allclose(host(pg.grad(f)(x)), [2 * p * (1 - b), -2 * p * a + 0 * q], rtol=1e-12)
        np.testing.assert_array_equal(host(x), given)
        np.testing.assert_allclose(
            host(pg.jvp(f, (x,), (pg.asarray([1.0, 0.5], device=device),))[1]), 2 * p * (1 - b) - p * a, rtol=1e-12
        )


# -- the ancestor's ---------------------------------------------------------------------------------------------


def test_ancestor_backward_over_every_path() -> None:
    """2^200 paths."""
    y = x = leaf([1.0])
    for _ in range(200):
        y = y * 0.5 + y * 0.5
    pg.sum(y).backward()
    assert x.grad is not None
    assert host(x.grad).tolist() == [1.0]


@pytest.mark.parametrize("axis", [0, 1, (0, 2), None])
@pytest.mark.parametrize("name", ["sum", "mean", "max", "min"])
def test_ancestor_reductions_along_an_axis(name: str, axis: Any) -> None:
    rng = np.random.default_rng(1)
    x = rng.normal(size=(2, 3, 4))
    out, pull = pg.vjp(lambda x: getattr(pg, name)(x, axis=axis), x)
    g = rng.normal(size=out.shape)
    (found,) = pull(g)
    whole = np.expand_dims(g, axis) if axis is not None else g
    if name in ("sum", "mean"):
        expected = np.broadcast_to(whole, x.shape) / (1 if name == "sum" else x.size / np.size(out))
    else:
        expected = np.where(x == getattr(np, name)(x, axis=axis, keepdims=True), whole, 0.0)
    np.testing.assert_allclose(found, expected, rtol=1e-14)


def test_ancestor_concatenation() -> None:
    xs = [np.ones((2, n)) for n in (1, 3, 2)]
    _, pull = pg.vjp(lambda *xs: pg.concat(xs, axis=1), *xs)
    g = np.arange(12.0).reshape(2, 6)
    for found, expected in zip(pull(g), np.split(g, [1, 4], axis=1), strict=True):
        np.testing.assert_array_equal(found, expected)


def test_ancestor_adam_has_a_second_moment_for_each_element() -> None:
    """With one for each tensor, the element of the small gradient would hardly move."""
    w = leaf([1.0, 1.0])
    optimizer = pg.optim.Adam([w], lr=0.1, eps=0.0)
    w.grad = pg.asarray([1e-6, 100.0])
    optimizer.step()
    np.testing.assert_allclose(host(w), [0.9, 0.9], rtol=1e-9)


def test_ancestor_nested_no_grad() -> None:
    with pg.no_grad():
        with pg.no_grad():
            pass
        assert not tracks()
    assert tracks()


def test_ancestor_setitem() -> None:
    x, v = leaf([1.0, 2.0, 3.0]), leaf([5.0])
    y = x * x
    y[1:2] = v * v
    pg.sum(y * y).backward()
    assert x.grad is not None
    assert v.grad is not None
    assert host(x.grad).tolist() == [4.0, 0.0, 4 * 27.0]
    assert host(v.grad).tolist() == [4 * 125.0]


# -- the list -----------------------------------------------------------------------------------------------------


def test_every_mistake_has_a_named_test_and_a_line_in_the_docs() -> None:
    sources = "\n".join(p.read_text() for p in ROOT.glob("tests/**/*.py"))
    tested = {int(n) for n in re.findall(r"def test_mistake_(\d+)_\w+", sources)}
    assert tested == set(range(1, 41))
    text = (ROOT / "docs" / "numerics.md").read_text()
    listed = re.findall(r"^\| (\d+) \|.*`(test_mistake_\d+_\w+)`", text, re.MULTILINE)
    assert [int(n) for n, _ in listed] == list(range(1, 41))
    for number, name in listed:
        assert int(name.split("_")[2]) == int(number)
        assert f"def {name}(" in sources
