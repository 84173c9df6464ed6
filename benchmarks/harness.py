"""Runs the same workload in every library, interleaved, and prints medians of ratios.

Absolute times of a shared machine mean little, for its speed doubles and halves from second to second. In every round each
contestant has its turn, another one first each time, and times are compared within a round. Every contestant's loss and
gradients are compared with the hand-written ones first.
"""

from __future__ import annotations

import gc
import importlib.util
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np

STATIC = {"polygrad compiled": None, "polygrad native": "native"}
"""Contestants, and the executors of their static graphs; the last one there is has the bars."""
if importlib.util.find_spec("llvmlite") is None:
    del STATIC["polygrad native"]

Run = Callable[[], tuple[Any, list[Any]]]
"""One evaluation: the loss, and the gradients (anything ``np.asarray`` takes after ``to_host``)."""


@dataclass
class Workload:
    """One workload: its contestants by name, the first being what the others are compared with."""

    name: str
    contestants: dict[str, Run]
    bars: dict[str, float] = field(default_factory=dict)
    """Upper bounds for polygrad's median over the named contestant's."""
    rtol: float = 1e-4
    compiled: dict[str, float] = field(default_factory=dict)
    """The same for polygrad's compiled function, by the fastest of its executors here."""


@dataclass
class CompiledRun:
    """A Run of polygrad's as a static graph.

    Attributes:
        compiled: what ``pg.compile`` gave.
        run: calls it.
    """

    compiled: Any
    run: Run

    def __call__(self) -> tuple[Any, list[Any]]:
        return self.run()


def to_host(x: Any) -> Any:
    """Any library's array as NumPy's."""
    if hasattr(x, "detach"):
        x = x.detach()
    if hasattr(x, "numpy") and callable(x.numpy):
        x = x.numpy()
    return np.asarray(getattr(x, "data", x) if type(x).__module__.startswith("mygrad") else x)


def check(workload: Workload) -> None:
    """Every contestant computes the same."""
    names = list(workload.contestants)
    loss, grads = workload.contestants[names[0]]()
    for name in names[1:]:
        other_loss, other_grads = workload.contestants[name]()
        np.testing.assert_allclose(to_host(other_loss), to_host(loss), rtol=workload.rtol, err_msg=f"{name}: loss")
        assert len(other_grads) == len(grads), name
        for a, b in zip(other_grads, grads, strict=True):
            a, b = to_host(a), to_host(b)
            np.testing.assert_allclose(a, b, rtol=workload.rtol, atol=workload.rtol * np.abs(b).max(), err_msg=name)


def measure(workload: Workload, rounds: int, seconds: float) -> dict[str, list[float]]:
    """The time of one evaluation in every round, for each contestant, in seconds."""
    repeats = {}
    for name, run in workload.contestants.items():
        for _ in range(3):
            run()
        start = time.perf_counter()
        run()
        once = time.perf_counter() - start
        repeats[name] = max(1, int(seconds / max(once, 1e-7)))
    names = list(workload.contestants)
    times: dict[str, list[float]] = {name: [] for name in names}
    for turn in range(rounds):
        first = turn % len(names)
        for name in names[first:] + names[:first]:
            run, n = workload.contestants[name], repeats[name]
            gc.collect()
            start = time.perf_counter()
            for _ in range(n):
                run()
            times[name].append((time.perf_counter() - start) / n)
    return times


def ratio(times: list[float], others: list[float]) -> float:
    """The median over all rounds of one contestant's time over another's."""
    return statistics.median([a / b for a, b in zip(times, others, strict=True)])


def report(workload: Workload, times: dict[str, list[float]]) -> str:
    """A table of ratios: each contestant over the hand-written one, and polygrad over each contestant."""
    base, own = next(iter(times.values())), times["polygrad"]
    best = list(STATIC)[-1]
    static = times.get(best)
    head = f"  {'':<18}{'over ' + next(iter(times)):>18}{'polygrad over it':>18}{'bar':>12}"
    lines = [
        workload.name,
        head + ("" if static is None else f"{best.removeprefix('polygrad ') + ' over it':>20}{'bar':>12}"),
    ]
    for name, value in times.items():
        eager = ratio(own, value)
        line = f"  {name:<18}{ratio(value, base):>18.2f}{eager:>18.2f}{_mark(eager, workload.bars.get(name)):>12}"
        if static is not None:
            compiled = ratio(static, value)
            line += f"{compiled:>20.2f}{_mark(compiled, workload.compiled.get(name)):>12}"
        lines.append(line)
    return "\n".join(lines)


def _mark(ratio: float, bar: float | None) -> str:
    return "" if bar is None else f"{bar:.2f} {'met' if ratio <= bar else 'MISSED'}"
