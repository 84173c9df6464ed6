"""What only whole processes show: the cost of importing, of a node, of freeing a deep graph, of 10,000 steps, of new memory."""

from __future__ import annotations

import os
import statistics
import subprocess
import sys

_CLOCK = "import time; start = time.perf_counter(); {body}; print(time.perf_counter() - start)"

_CHAIN = """
import polygrad as pg
kb = lambda: int(next(line for line in open("/proc/self/status") if line.startswith("VmHWM")).split()[1])
y = x = pg.asarray([1.0], requires_grad=True)
before = kb()
for _ in range(1_000_000): y = y + 1.0
y.backward(pg.ones_like(y))
print((kb() - before) * 1024 / 1e6)
"""

_STEPS = """
import gc, tracemalloc, numpy as np, polygrad as pg
w = pg.asarray(np.ones((8, 8)), requires_grad=True)
x = pg.asarray(np.ones((4, 8)))
def step():
    global w
    w.grad = None
    pg.mean(pg.tanh(x @ w) ** 2).backward()
    with pg.no_grad(): w -= 0.01 * w.grad
gc.disable()
for _ in range(100): step()
tracemalloc.start()
before = tracemalloc.get_traced_memory()[0]
for _ in range(10_000): step()
print((tracemalloc.get_traced_memory()[0] - before) / 1e6)
"""

_DOUBLING = """
import time, polygrad as pg
x = pg.asarray([0.0], requires_grad=True)
start = time.perf_counter(); y = x
for _ in range(10_000): y = y + y
y.backward(pg.ones_like(y))
print(time.perf_counter() - start)
"""

_BY_HAND = """
import statistics, time
import numpy as np
rng = np.random.default_rng(0)
x, y = (rng.uniform(-1, 1, 100_000).astype(np.float32) for _ in range(2))
def step():
    t = np.tanh(x * y + np.sin(x))
    e = np.exp(-x * x)
    loss = (t * e).sum()
    gt = e * (1 - t * t)
    return loss, gt * (y + np.cos(x)) - 2 * x * t * e, gt * x
"""

_EAGER = """
import statistics, time
import numpy as np, polygrad as pg
rng = np.random.default_rng(0)
x, y = (pg.asarray(rng.uniform(-1, 1, 100_000).astype(np.float32), requires_grad=True) for _ in range(2))
def step():
    x.grad = y.grad = None
    loss = pg.sum(pg.tanh(x * y + pg.sin(x)) * pg.exp(-x * x))
    loss.backward()
    return loss, x.grad, y.grad
"""

_TIMED = """
def timed():
    start = time.perf_counter()
    for _ in range(10): step()
    return time.perf_counter() - start
timed()
print(statistics.median(timed() for _ in range(20)))
"""


def _alone(rounds: int) -> float:
    """The elementwise workload of 100,000 float32 numbers, each contestant alone in its processes: eager over by hand."""
    hand, own = [], []
    for _ in range(rounds):
        hand.append(_run(_BY_HAND + _TIMED))
        own.append(_run(_EAGER + _TIMED))
    return statistics.median(own) / statistics.median(hand)


def _run(code: str) -> float:
    # Bytecode is cached, as it is wherever polygrad is installed and imported a second time.
    env = {k: v for k, v in os.environ.items() if k not in ("PYTHONDONTWRITEBYTECODE", "POLYGRAD_KEEP_FREED")}
    command = [sys.executable, "-W", "ignore", "-c", code]
    out = subprocess.run(command, check=True, capture_output=True, text=True, env=env).stdout
    return float(out.strip().splitlines()[-1])


def report(rounds: int) -> str:
    """The figures, as a table with their bars."""
    numpy_only, with_pg = [], []
    _run(_CLOCK.format(body="import polygrad"))
    for _ in range(max(rounds, 5)):
        numpy_only.append(_run(_CLOCK.format(body="import numpy")))
        with_pg.append(_run(_CLOCK.format(body="import numpy, polygrad as pg; pg.asarray([1.0]) + 1.0")))
    extra = 1e3 * (statistics.median(with_pg) - statistics.median(numpy_only))
    rows = [
        ("import and the first op, over importing NumPy", f"{extra:.0f} ms", extra <= 60, "60 ms"),
        ("y = y + y, 10,000 deep", f"{(deep := _run(_DOUBLING)):.3f} s", deep < 0.2, "0.2 s"),
        ("a chain of 1,000,000 ops, per node", f"{(node := _run(_CHAIN)):.0f} B", node <= 1000, "1 kB"),
        (
            "elementwise 100,000, each alone, over by hand",
            f"{(alone := _alone(max(rounds, 3))):.2f}",
            alone <= 1.3,
            "1.3",
        ),
        ("10,000 steps without gc, growth", f"{(grown := _run(_STEPS)):.3f} MB", grown < 1, "1 MB"),
    ]
    return "\n".join(f"  {what:<48}{value:>12}   {bar} {'met' if met else 'MISSED'}" for what, value, met, bar in rows)
