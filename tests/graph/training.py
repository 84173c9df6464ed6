"""Training steps with draws, clipped gradients and a schedule, eager and as static graphs."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

import polygrad as pg
from polygrad import nn


def batches(device: Any, steps: int, shape: tuple[int, ...], classes: int, dtype: str) -> Iterator[tuple[Any, Any]]:
    """Random samples (n, ...) and their classes (n,), the same each time."""
    rng = np.random.default_rng(0)
    for _ in range(steps):
        x = pg.asarray(rng.standard_normal(shape).astype(dtype), device=device)
        yield x, pg.asarray(rng.integers(0, classes, shape[0]), device=device)


def train(
    model: Any, optimizer: Any, schedule: Any, given: Iterator[tuple[Any, Any]], clip: float, options: Any = None
) -> tuple[list[float], Any]:
    """The losses, and what was run: eager code, or with ``options`` (of ``pg.compile``) static graphs."""

    def step(x: Any, y: Any) -> Any:
        optimizer.zero_grad()
        loss = nn.functional.cross_entropy(model(x), y)
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), clip)
        optimizer.step()
        return loss

    run = step if options is None else pg.compile(step, **options)
    pg.random.manual_seed(1)
    losses = []
    for x, y in given:
        losses.append(run(x, y).item())
        schedule.step()
    return losses, run
