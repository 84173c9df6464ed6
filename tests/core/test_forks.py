"""A forked child has one thread and finds every lock of the package free, whatever other threads were at."""

from __future__ import annotations

import ast
import os
import subprocess
import sys
from pathlib import Path

import pytest

import polygrad
from polygrad.core.locks import ForkLock

ROOT = Path(polygrad.__file__).parent.parent
forks = pytest.mark.skipif(not hasattr(os, "fork"), reason="this platform does not fork")

# Each thread holds what it says; the child then needs it.
_HELD = {
    "a lock of the registry": "from polygrad import registry; registry._lock.held.acquire()",
    "a pin's lock": "from polygrad.core import cell; cell._pinning.held.acquire()",
    "the lock of sums": "from polygrad.core import tape; tape._committing.held.acquire()",
    "the pause of the collector": "from polygrad.graph import no_collection; no_collection.__enter__()",
    "one BLAS thread": "from polygrad_backends.numpy_threads import one_blas_thread; one_blas_thread.__enter__()",
    "the lock of that": "from polygrad_backends.numpy_threads import one_blas_thread; one_blas_thread._lock.held.acquire()",
    "all locks": "[lock.held.acquire() for lock in tuple(__import__('polygrad.core.locks').core.locks._locks)]",
}
_SCRIPT = """
import gc, os, sys, threading
import numpy as np
import polygrad as pg

def work():
    x = pg.asarray(np.eye(64) + 1.0, requires_grad=True)
    pg.sum(pg.linalg.inv(x @ x)).backward()
    assert pg.compile(lambda v: v * 2.0 + 1.0)(pg.ones(4)).tolist() == [3.0] * 4
    with pg.device("cpu"), pg.no_grad():
        pg.zeros(2)
    gc.collect()
    return x.grad is not None and gc.isenabled()

pg.linalg.inv(pg.asarray(np.eye(64)))
holding, release = threading.Event(), threading.Event()

def hold():
    exec(sys.argv[1])
    holding.set()
    release.wait()

threading.Thread(target=hold, daemon=True).start()
holding.wait()
child = os.fork()
if child == 0:
    os._exit(0 if work() else 1)
print(os.waitpid(child, 0)[1])
os._exit(0)
"""


@forks
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
@pytest.mark.one_in(2)
@pytest.mark.parametrize("what", _HELD)
def test_children_forked_while_another_thread_holds(what: str) -> None:
    env = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    command = [sys.executable, "-W", "ignore", "-c", _SCRIPT, _HELD[what]]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, env=env)
    assert done.stdout == "0\n", done.stderr


@forks
def test_a_lock_that_the_forking_thread_holds_stays_its_own() -> None:
    lock = ForkLock()
    with lock.held:
        child = os.fork()
        if child == 0:
            lock.held.release()
            os._exit(0 if lock.held.acquire(blocking=False) else 1)
        assert os.waitpid(child, 0)[1] == 0
    assert lock.held.acquire(blocking=False)
    lock.held.release()


# A fork replaces the locks of a team of threads with the team.
_OTHERWISE = {"polygrad/core/locks.py", "backends/polygrad_backends/numpy_threads.py"}


def test_no_other_locks_are_made() -> None:
    for folder in ("polygrad", "backends"):
        for path in sorted((ROOT / folder).rglob("*.py")):
            name = path.relative_to(ROOT).as_posix()
            made = {
                node.func.attr
                for node in ast.walk(ast.parse(path.read_text()))
                if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute)
            }
            if name not in _OTHERWISE:
                assert made.isdisjoint({"Lock", "RLock", "Condition", "Semaphore"}), f"{name}: use core.locks.ForkLock"
            assert "getrefcount" not in path.read_text(), f"{name}: interpreters lend references, so counts say nothing"
