"""Six training steps by printed CUDA C against eager code: python examples/nests.py [FILE.cu]"""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import nests_to_cuda
import numpy as np

import polygrad as pg

nn, F = pg.nn, pg.nn.functional


def training(dtype: str, compiled: bool) -> Callable[[Any, Any], Any]:
    pg.random.manual_seed(0)
    net = nn.Sequential(nn.Linear(12, 40), nn.LayerNorm(40), nn.Tanh(), nn.Linear(40, 33), nn.ReLU(), nn.Linear(33, 5))
    net.to(dtype)
    optimizer = pg.optim.Adam(net.parameters(), lr=1e-2)

    def step(x: Any, y: Any) -> Any:
        optimizer.zero_grad()
        out = net(x)
        weights = pg.exp(out - pg.max(out, axis=1, keepdims=True))
        chances = weights / pg.sum(weights, axis=1, keepdims=True)
        loss = pg.mean((chances - y) ** 2) + F.cross_entropy(out, pg.argmax(y, axis=1))
        loss.backward()
        optimizer.step()
        return loss

    return pg.compile(step, executor=nests_to_cuda.Executor) if compiled else step


def main() -> int:
    rng = np.random.default_rng(0)
    inputs, targets = rng.standard_normal((70, 12)), np.eye(5)[rng.integers(0, 5, 70)]
    wrong = 0
    for dtype, tolerance in (("float32", 1e-6), ("float64", 1e-14)):
        x, y = pg.asarray(inputs, dtype=dtype), pg.asarray(targets, dtype=dtype)
        eager, printed = training(dtype, compiled=False), training(dtype, compiled=True)
        losses = np.array([[step(x, y).item() for _ in range(6)] for step in (eager, printed)])
        apart = float(np.max(np.abs(losses[1] / losses[0] - 1)))
        wrong += not apart < tolerance
        print(f"{dtype}: losses {losses[0, 0]:.6f} ... {losses[0, -1]:.6f}, at most {apart:.1e} apart")
    executor = nests_to_cuda.Executor
    print(f"{executor.kernels} kernels, {executor.launches} launches; by NumPy: {executor.others}")
    if len(sys.argv) > 1:
        Path(sys.argv[1]).write_text(executor.sources[-1] + "\n")
    return wrong


if __name__ == "__main__":
    sys.exit(main())
