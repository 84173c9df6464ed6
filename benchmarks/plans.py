"""What static graphs cost besides time: the memory of a step beside its plan and eager code's, and the time to compile."""

from __future__ import annotations

import gc
import time
import tracemalloc
from collections.abc import Callable, Mapping, Sequence
from itertools import product
from typing import Any

import numpy as np

from .harness import STATIC, CompiledRun, Run, Workload

__all__ = ["compile_times", "figures", "memory"]

MEMORY = ("lenet", "lstm", "transformer", "elementwise-4m")
WITHIN, OVER_EAGER = 1.05, 0.7
"""The bars: the measured peak over the planned one, and over eager code's."""
SECONDS = 2.0
"""The bar for compiling one kind of call."""

Makers = Mapping[str, Callable[[], Workload]]


def _array_bytes() -> int:
    """Bytes of all NumPy arrays that are alive."""
    domain = tracemalloc.DomainFilter(True, np.lib.tracemalloc_domain)
    return sum(t.size for t in tracemalloc.take_snapshot().filter_traces((domain,)).traces)


def _contestant(make: Callable[[], Workload], name: str) -> Run:
    """One contestant of a workload, the others dropped."""
    run = make().contestants[name]
    gc.collect()
    return run


def _peak(make: Callable[[], Workload], name: str) -> tuple[int, Run]:
    """The most bytes of arrays that a step has alive, its parameters, state and buffers among them."""
    gc.collect()
    before = _array_bytes()
    run = _contestant(make, name)
    for _ in range(4):
        run()
    gc.collect()
    resting = _array_bytes() - before
    tracemalloc.reset_peak()
    start = tracemalloc.get_traced_memory()[0]
    run()
    return resting + tracemalloc.get_traced_memory()[1] - start, run


def figures(make: Callable[[], Workload], who: str) -> tuple[int, int, int]:
    """The peaks of bytes of a workload's step: eager, by the plan of a static graph, and measured when that is run."""
    tracemalloc.start()
    try:
        eager, _ = _peak(make, "polygrad")
        compiled, run = _peak(make, who)
    finally:
        tracemalloc.stop()
    assert isinstance(run, CompiledRun)
    return eager, run.compiled.passes()[-1][1].stats()["peak_bytes"], compiled


def memory(makers: Makers, names: Sequence[str] = MEMORY) -> str:
    """A table: each step's measured peak, what its graph's liveness says, and eager code's peak, in megabytes."""
    lines = [f"  {'':<26}{'eager':>9}{'planned':>9}{'compiled':>9}{'over plan':>20}{'over eager':>20}"]
    for name, who in product(names, STATIC):
        eager, planned, compiled = figures(makers[name], who)
        label = f"{name}, {who.removeprefix('polygrad ')}"
        lines.append(
            f"  {label:<26}{eager / 1e6:>9.2f}{planned / 1e6:>9.2f}{compiled / 1e6:>9.2f}"
            f"{_mark(compiled / planned, WITHIN):>20}{_mark(compiled / eager, OVER_EAGER):>20}"
        )
    return "\n".join(lines)


def _mark(ratio: float, bar: float) -> str:
    return f"{ratio:.2f} ({bar:.2f} {'met' if ratio <= bar else 'MISSED'})"


def _traced(run: CompiledRun) -> list[float]:
    """The seconds of each call that traced and compiled, less what a run takes."""
    seconds = []
    compiled: Any = run.compiled
    for _ in range(8):
        misses = compiled.cache_info().misses
        start = time.perf_counter()
        run()
        took = time.perf_counter() - start
        if compiled.cache_info().misses > misses:
            seconds.append(took)
    return [s - took for s in seconds]  # the last call ran a graph


def compile_times(makers: Makers) -> str:
    """A table: for each workload how long its kinds of calls took to trace and compile."""
    lines = []
    for (name, make), who in product(makers.items(), STATIC):
        run = _contestant(make, who)
        assert isinstance(run, CompiledRun)
        seconds = _traced(run)
        mark = "met" if max(seconds) <= SECONDS else "MISSED"
        label, each = f"{name}, {who.removeprefix('polygrad ')}", ", ".join(f"{s:.2f} s" for s in seconds)
        lines.append(f"  {label:<28}{each:<24}{SECONDS:.0f} s {mark}")
    return "\n".join(lines)
