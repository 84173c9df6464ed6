"""Eight threads at once: sums into shared leaves lose nothing, and nested gradients are right."""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Callable, Iterator

import numpy as np
import pytest

import polygrad as pg

ALL_CASES = os.environ.get("POLYGRAD_ALL_CASES") == "1"
THREADS = 8


@pytest.fixture(autouse=True)
def _impatient() -> Iterator[None]:
    """Threads that are changed as often as the interpreter can."""
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    yield
    sys.setswitchinterval(before)


def in_threads(work: Callable[[int], None]) -> None:
    """Run ``work(number of the thread)`` in all threads; the first error is raised here."""
    errors: list[BaseException] = []
    start = threading.Barrier(THREADS)

    def run(number: int) -> None:
        try:
            start.wait()
            work(number)
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=run, args=(n,)) for n in range(THREADS)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    if errors:
        raise errors[0]


@pytest.mark.parametrize("how", ["plain", "create_graph", "inputs", "anomaly", "hooks", "retained"])
def test_concurrent_backward_into_shared_leaves(how: str) -> None:
    """15 of 20 such runs lost a part of the sum."""
    each = (10_000 if ALL_CASES else 640) // THREADS
    leaves = [pg.asarray(np.zeros(4), requires_grad=True) for _ in range(3)]
    shared = leaves[0] * 1.0
    if how == "hooks":
        leaves[0].register_hook(lambda g: g * 1.0)
    if how == "retained":
        shared.retain_grad()

    def work(number: int) -> None:
        for _ in range(each):
            a, b, c = leaves
            loss = pg.sum((shared if how == "retained" else a) * 2.0 + b * 3.0 + c)
            if how == "anomaly":
                with pg.detect_anomaly():
                    loss.backward()
            else:
                loss.backward(
                    retain_graph=True, create_graph=how == "create_graph", inputs=leaves if how == "inputs" else None
                )

    in_threads(work)
    for x, slope in zip(leaves, (2.0, 3.0, 1.0), strict=True):
        assert x.grad is not None
        assert x.grad.detach().tolist() == [slope * each * THREADS] * 4
    if how == "retained":
        assert shared.grad is not None
        assert shared.grad.tolist() == [2.0 * each * THREADS] * 4


def test_nested_gradients_in_threads() -> None:
    """d/dx of x * d/dx (c x^3) is 9 c x^2; another library's global state gave 84 wrong of 3,200."""
    each = (100_000 if ALL_CASES else 1_600) // THREADS

    def work(number: int) -> None:
        scale = float(number + 1)
        slope = pg.grad(lambda x: x * pg.grad(lambda y: scale * y * y * y)(x))
        for i in range(each):
            x = 0.5 + i % 7
            assert slope(x) == pytest.approx(9.0 * scale * x * x, rel=1e-12)

    in_threads(work)


def test_hooks_registered_by_threads_are_all_there() -> None:
    for _ in range(20):
        x = pg.asarray(np.zeros(2), requires_grad=True)
        in_threads(lambda number, x=x: x.register_hook(lambda g: g + 1.0) and None)
        pg.sum(x).backward()
        assert x.grad is not None
        assert x.grad.tolist() == [1.0 + THREADS] * 2
